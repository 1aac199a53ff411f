//! `fullsend` and `fullsend attach`: the control room.
//!
//! Owns whether the services run inside, how the room is begun, and what happens to the services when it ends. One process of a home
//! runs the services beside a screen; a second one attaches, and says so. Must never draw, and never do a service's work.

pub(super) mod place;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::{ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::Offset;
use color_eyre::Section;
use color_eyre::eyre::WrapErr;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::output::{OK, Usage};
use super::{Context, operator, serve, team};
use crate::bus::SharedBus;
use crate::config::{Environment, LlmConfig, Switch};
use crate::contracts::untrusted::sanitize_line;
use crate::tui::app::told::Ways;
use crate::tui::app::{About, End, Model};
use crate::tui::feed::Beside;
use crate::tui::keys;
use crate::tui::run::{self, Ended, Room};
use crate::tui::store::Caps;
use crate::tui::theme::{Depth, Theme, person};
use crate::tui::zone::Zone;

/// Opens the control room on a bus that others work on
///
/// Shows everything that the team says and does, and takes orders, but runs no service itself. `fullsend` without a verb runs the
/// services inside, and attaches by itself where another process of the same home runs them already.
///
/// Example: fullsend attach
#[derive(clap::Args)]
pub struct Args {}

/// Whether the services run inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Where {
    /// They do, unless another process of this home runs them.
    Inside,
    /// They run elsewhere.
    Elsewhere,
}

/// Opens the room, until the person or a signal ends it.
///
/// # Errors
/// Where there is no terminal, or the bus or the terminal cannot be used.
pub async fn run(cx: &Context, at: Where) -> color_eyre::Result<ExitCode> {
    if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        return Err(Usage(
            "the control room needs a terminal; without one there are `fullsend serve` (the services) and `fullsend tail` (what they say)"
                .to_owned(),
        )
        .into());
    }
    let (keymap, depth) = (keymap()?, Depth::of_environment(|name| std::env::var(name).ok()));
    let themes_folder = themes_folder()?;
    let found = person::all(themes_folder.as_deref(), depth);
    cx.config.make_home().suggestion("Choose another folder with `--home DIR`, or make this one writable")?;
    let lock = if at == Where::Inside { place::take(cx)? } else { None };
    let attached = (at == Where::Inside && lock.is_none())
        .then(|| "the team runs already: attached to it, without services inside".to_owned());
    let broken = found.broken.first().map(|err| sanitize_line(&err.to_string(), 300));
    let remark = attached.or(broken);
    let signals = Signals::heard()?;
    let Some(bus) = serve::opened(cx, &signals.end).await? else {
        cx.out.remark("stopped before the bus could be reached");
        return Ok(OK);
    };
    let is_inside = lock.is_some();
    let about = about(cx, &bus, is_inside, remark).await?;
    let caps = Caps::of_lines(usize::try_from(cx.config.room.lines).unwrap_or(usize::MAX));
    let (memory, kept) = run::Memory::open(&cx.config.home);
    let team = about.team;
    let model = Model::new(about, keymap, found.themes, kept, caps);
    let stop = CancellationToken::new();
    let services = if is_inside {
        let (supervisor, stop) = (team::supervisor(cx, &bus)?, stop.clone());
        Some(tokio::spawn(async move { supervisor.run(stop).await }))
    } else {
        None
    };
    let room = Room {
        bus: Some(Arc::clone(&bus)),
        player: None,
        clock: Arc::clone(&cx.clock),
        ids: Arc::clone(&cx.ids),
        model,
        home: cx.config.home.clone(),
        memory: Some(memory),
        beside: Beside {
            logs: Some(cx.config.logs()),
            budgets: cx.config.budget.clone(),
            kept: cx.config.retention.age,
        },
        themes: themes_folder.filter(|_| depth != Depth::None).map(|folder| (folder, depth)),
        shutdown: signals.end.clone(),
    };
    let ended = Box::pin(run::run(room)).await;
    stop.cancel();
    let code = match services {
        Some(services) => {
            cx.out.remark("stopping the team; what is being handled gets ten seconds to finish");
            serve::told(&services.await.wrap_err("the services ended in disorder; the log says more")?, &cx.out)
        }
        None => OK,
    };
    bus.close().await;
    drop(lock);
    let ended = ended?;
    let is_asked = matches!(ended, Ended::Asked(_));
    let goes_on = match ended {
        Ended::Asked(end) => end == End::Leave,
        Ended::Shutdown => signals.is_hangup.load(Ordering::SeqCst),
        // A connection that was lost stops nobody's work.
        Ended::Closed => true,
    };
    match team.filter(|_| !is_inside) {
        Some(pid) if goes_on => cx
            .out
            .remark(&format!("the team goes on (process {pid}); `fullsend` comes back to it, `kill {pid}` stops it")),
        Some(_) if is_asked => place::stop(cx).await?,
        _ if goes_on && is_inside => leave(cx)?,
        _ => {}
    }
    Ok(code)
}

/// What SIGTERM, SIGINT and SIGHUP ask for.
pub(super) struct Signals {
    /// Cancelled by each of them.
    pub(super) end: CancellationToken,
    /// Whether it was SIGHUP: the terminal is gone, and the team is to go on.
    is_hangup: Arc<AtomicBool>,
}

impl Signals {
    /// Listens from now on.
    pub(super) fn heard() -> color_eyre::Result<Self> {
        let signals = Self { end: CancellationToken::new(), is_hangup: Arc::default() };
        for kind in [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()] {
            let mut heard = signal(kind).wrap_err("signals cannot be heard")?;
            let (end, is_hangup) = (signals.end.clone(), Arc::clone(&signals.is_hangup));
            tokio::spawn(async move {
                heard.recv().await;
                is_hangup.fetch_or(kind == SignalKind::hangup(), Ordering::SeqCst);
                end.cancel();
            });
        }
        Ok(signals)
    }
}

/// Lets the services go on in a process of their own, which outlives this terminal.
fn leave(cx: &Context) -> color_eyre::Result<()> {
    use std::os::unix::process::CommandExt;
    let program = std::env::current_exe().wrap_err("this program cannot be found again")?;
    let started = std::process::Command::new(program)
        .args(std::env::args_os().skip(1))
        .arg("serve")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .wrap_err("the team could not be left running")?;
    cx.out.remark(&format!(
        "the team goes on without a screen (process {}); `fullsend` comes back to it, `kill {0}` stops it",
        started.id()
    ));
    Ok(())
}

/// What a room says of its surroundings on this bus.
pub(super) async fn about(
    cx: &Context,
    bus: &SharedBus,
    is_inside: bool,
    remark: Option<String>,
) -> color_eyre::Result<About> {
    let health = bus.health().await?;
    Ok(About {
        workspace: cx.config.bus.prefix.clone(),
        engine: health.engine.to_owned(),
        location: health.location,
        mode: cx.config.mode.to_string(),
        providers: providers(&cx.config.llm),
        operator: operator(),
        is_inside,
        team: if is_inside { None } else { place::holder(cx) },
        day_limit: cx.config.budget.day.nano,
        home: cx.config.home.display().to_string(),
        remark,
        zone: zone(),
        ways: Ways {
            bell: cx.config.room.bell == Switch::On,
            notification: cx.config.room.notification == Switch::On,
            title: cx.config.room.title == Switch::On,
        },
        is_plain: is_plain(cx),
    })
}

/// The person's time zone: `TZ`, or that of the system.
pub(super) fn zone() -> Zone {
    let of_system = || iana_time_zone::get_timezone().ok();
    let name = std::env::var("TZ").ok().filter(|name| !name.is_empty()).or_else(of_system);
    Zone::of(name.as_deref(), chrono::Local::now().offset().fix())
}

/// Whether lines are to be drawn with `+-|`, and nothing moves.
pub(super) fn is_plain(cx: &Context) -> bool {
    let set = |name: &str| std::env::var(name).is_ok_and(|value| !value.is_empty());
    cx.config.room.plain == Switch::On
        || set("FULLSEND_PLAIN")
        || set("ACCESSIBILITY_ENABLED")
        || std::env::var("TERM").is_ok_and(|it| it == "dumb")
}

/// Who is asked, in the order in which they are.
fn providers(llm: &LlmConfig) -> String {
    let mut names: Vec<String> = Vec::new();
    for link in &llm.decide {
        let name = link.provider.to_string();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if names.is_empty() { "rules".to_owned() } else { names.join(" ") }
}

/// The folder of the person's own keys and themes.
fn person_folder() -> color_eyre::Result<Option<PathBuf>> {
    let environment = Environment::of_process().wrap_err("the working folder is gone")?;
    Ok(environment.config_home.map(|folder| folder.join("fullsend")))
}

/// The keys of this person.
///
/// # Errors
/// Where `keys.toml` cannot be used.
pub fn keymap() -> color_eyre::Result<keys::Keymap> {
    match person_folder()? {
        Some(folder) => Ok(keys::load(&folder.join("keys.toml"))?),
        None => Ok(keys::Keymap::default()),
    }
}

/// Where a person's own themes are.
///
/// # Errors
/// Where the working folder is gone.
pub fn themes_folder() -> color_eyre::Result<Option<PathBuf>> {
    Ok(person_folder()?.map(|folder| folder.join("themes")))
}

/// The themes that can be chosen, as this terminal shows them; the one without colours where it shows none.
pub(super) fn themes() -> Vec<Theme> {
    let depth = Depth::of_environment(|name| std::env::var(name).ok());
    person::all(themes_folder().ok().flatten().as_deref(), depth).themes
}
