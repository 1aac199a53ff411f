//! Being told: a bell, a notice on the terminal, and a command of the person's own, when something needs him.
//!
//! Once an event, whichever process tells it: each is an action record (`actions:notify:…`) that is made before it is told. Must never
//! give a command a secret, a shell, or words that could be taken for anything but words.

use std::io::{IsTerminal, Write};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio_util::sync::CancellationToken;

use crate::approvals::record::pending;
use crate::bus::leased::Singleton;
use crate::bus::{BusError, Commit, Entry, EntryId, Expect, Key, LeaseFence, Op, SharedBus, State, Ttl};
use crate::contracts::canonical::sha256;
use crate::contracts::envelope::rfc3339;
use crate::contracts::messages::{Alerts, Approvals, Severity};
use crate::contracts::untrusted::sanitize_line;
use crate::contracts::{Body, ChannelName, Clock, keys};

/// Messages read at a time.
const PAGE: usize = 200;
/// A blocked read comes back after this long, so that a stop is never far.
const WAIT: Duration = Duration::from_millis(500);
/// How long the command may take.
const COMMAND_LIMIT: Duration = Duration::from_secs(10);
/// The same alert tells again after this long.
const QUIET: Duration = Duration::from_hours(1);
/// Action records are kept for so long.
const KEPT: Duration = Duration::from_hours(7 * 24);
/// Characters of what is told.
const TEXT_LIMIT: usize = 300;
/// What a command may need of the environment to reach a screen or a person; nothing of it is a secret of ours.
const PASSED_ON: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LANG",
    "LC_ALL",
    "TERM",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "XDG_RUNTIME_DIR",
    "DBUS_SESSION_BUS_ADDRESS",
    "TMUX",
];

/// The holder of the lease `notifier`.
pub struct Notifier {
    /// The bus.
    pub bus: SharedBus,
    /// What time it is.
    pub clock: std::sync::Arc<dyn Clock>,
    /// The program and its arguments; empty for none.
    pub command: Vec<String>,
    /// Where the bell rings: none where standard error is no terminal.
    pub terminal: Option<fn(&[u8])>,
}

impl std::fmt::Debug for Notifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notifier").field("command", &self.command.first()).finish_non_exhaustive()
    }
}

/// Rings on standard error, if that is a terminal.
pub fn terminal() -> Option<fn(&[u8])> {
    std::io::stderr().is_terminal().then_some(|bytes: &[u8]| {
        // Where it cannot be written, nobody could be told of that either.
        let mut stderr = std::io::stderr().lock();
        let _ = stderr.write_all(bytes).and_then(|()| stderr.flush());
    })
}

/// Something that a person is told.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Event {
    /// `needs_you` or `critical`.
    kind: &'static str,
    /// Names the record.
    id: String,
    /// In a line, harmless.
    text: String,
    /// How long the same is not told again.
    quiet: Duration,
}

/// Where the notifier stands, in `actions:notifier`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    approvals: EntryId,
    alerts: EntryId,
    needs_you: bool,
}

const PLACE: &str = "notifier";

impl Singleton for Notifier {
    fn lease(&self) -> &'static str {
        "notifier"
    }

    async fn work(&self, fence: LeaseFence, stop: CancellationToken) -> Result<(), BusError> {
        let mut place = self.place().await?;
        // So that the next holder goes on from here, whatever comes first.
        self.keep(&place, &fence).await?;
        while !stop.is_cancelled() {
            let after = [(ChannelName::Approvals, place.approvals), (ChannelName::Alerts, place.alerts)];
            let entries = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                watched = self.bus.watch(&after, PAGE, WAIT) => watched?,
            };
            let mut next = place.clone();
            let mut events = Vec::new();
            for entry in &entries {
                self.look(entry, &mut next, &mut events).await?;
            }
            for event in events {
                if self.claim(&event, &fence).await? {
                    self.tell(&event, &fence).await?;
                }
            }
            if next != place {
                self.keep(&next, &fence).await?;
                place = next;
            }
        }
        Ok(())
    }
}

impl Notifier {
    async fn look(&self, entry: &Entry, place: &mut Place, events: &mut Vec<Event>) -> Result<(), BusError> {
        if entry.channel == ChannelName::Alerts {
            place.alerts = entry.id;
            if entry.is_believed()
                && let Ok(Alerts::Triggered(alert)) = Alerts::read(&entry.b)
                && alert.severity == Severity::Critical
            {
                events.push(Event {
                    kind: "critical",
                    id: format!("notify:alert:{}", &sha256(alert.alert_id.as_bytes())[..16]),
                    text: sanitize_line(&alert.message, TEXT_LIMIT),
                    quiet: QUIET,
                });
            }
            return Ok(());
        }
        place.approvals = entry.id;
        if !entry.is_believed() {
            return Ok(());
        }
        match Approvals::read(&entry.b) {
            Ok(Approvals::Created(created)) if !place.needs_you => {
                place.needs_you = true;
                events.push(Event {
                    kind: "needs_you",
                    id: format!("notify:approval:{}", entry.id),
                    text: format!("needs a yes: {}", sanitize_line(&created.title, TEXT_LIMIT)),
                    quiet: KEPT,
                });
            }
            Ok(Approvals::Completed(_)) => place.needs_you = !pending(&self.bus).await?.is_empty(),
            _ => {}
        }
        Ok(())
    }

    /// Where a former holder came to. Without one, what was said before now is not told.
    async fn place(&self) -> Result<Place, BusError> {
        if let Some(State::Hash(document)) = self.bus.get(&key(PLACE)).await? {
            let id = |field| document.get(field).and_then(|text| text.parse().ok());
            if let (Some(approvals), Some(alerts)) = (id("approvals"), id("alerts")) {
                return Ok(Place { approvals, alerts, needs_you: document.get("needs_you") == Some("true") });
            }
        }
        let newest = self.bus.newest(&[ChannelName::Approvals, ChannelName::Alerts]).await?;
        let of = |channel| newest.iter().find(|(it, _)| *it == channel).and_then(|(_, id)| *id).unwrap_or_default();
        let needs_you = !pending(&self.bus).await?.is_empty();
        Ok(Place { approvals: of(ChannelName::Approvals), alerts: of(ChannelName::Alerts), needs_you })
    }

    async fn keep(&self, place: &Place, fence: &LeaseFence) -> Result<(), BusError> {
        let fields = [
            ("approvals", place.approvals.to_string()),
            ("alerts", place.alerts.to_string()),
            ("needs_you", place.needs_you.to_string()),
        ];
        self.write(PLACE, &fields, Expect::Any, Ttl::Keep, fence).await.map(|_| ())
    }

    async fn write(
        &self,
        id: &str,
        fields: &[(&str, String)],
        expect: Expect,
        ttl: Ttl,
        fence: &LeaseFence,
    ) -> Result<bool, BusError> {
        let fields = fields.iter().map(|(name, text)| ((*name).to_owned(), Some(text.clone()))).collect();
        let change = Op::Change { key: key(id), expect, fields, ttl };
        let unit = Commit { under: Some(fence.clone()), ..Commit::of(vec![change]) };
        Ok(self.bus.commit(vec![unit]).await?.first().is_some_and(crate::bus::Outcome::is_done))
    }

    /// Makes the record of an event. False where it was told already, by whomever.
    async fn claim(&self, event: &Event, fence: &LeaseFence) -> Result<bool, BusError> {
        let fields = [
            ("kind", "notify".to_owned()),
            ("event", event.kind.to_owned()),
            ("text", event.text.clone()),
            ("state", "started".to_owned()),
            ("started_at", rfc3339(self.clock.now())),
        ];
        self.write(&event.id, &fields, Expect::Absent, Ttl::Set(event.quiet), fence).await
    }

    /// Tells it, and writes down what came of that.
    async fn tell(&self, event: &Event, fence: &LeaseFence) -> Result<(), BusError> {
        if let Some(ring) = self.terminal {
            ring(&bell(&event.text));
        }
        let ended = match self.command.split_first() {
            None => Ok(()),
            Some((program, arguments)) => run(program, arguments, event).await,
        };
        let (state, error) = match ended {
            Ok(()) => ("done", String::new()),
            Err(error) => {
                tracing::warn!(%error, "the command of `notify_command` failed");
                ("failed", error)
            }
        };
        let fields = [("state", state.to_owned()), ("error", error), ("ended_at", rfc3339(self.clock.now()))];
        self.write(&event.id, &fields, Expect::Any, Ttl::Keep, fence).await.map(|_| ())
    }
}

fn key(id: &str) -> Key {
    // Ids are made here, of letters, digits, `:` and `-`.
    Key::new(keys::action(id).unwrap_or_default())
}

/// The bell, and the notice that terminals show (OSC 9).
fn bell(text: &str) -> Vec<u8> {
    format!("\x07\x1b]9;Fullsend: {}\x1b\\", sanitize_line(text, TEXT_LIMIT)).into_bytes()
}

/// Runs the command: no shell, nothing of our environment but what leads to a screen, the text on its standard input.
async fn run(program: &str, arguments: &[String], event: &Event) -> Result<(), String> {
    let mut command = tokio::process::Command::new(program);
    command.args(arguments).env_clear().kill_on_drop(true);
    command.envs(PASSED_ON.iter().filter_map(|name| Some((*name, std::env::var_os(name)?))));
    command.env("FULLSEND_NOTIFY_EVENT", event.kind).env("FULLSEND_NOTIFY_TEXT", &event.text);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|err| format!("`{program}` cannot be started: {err}"))?;
    let stdin = child.stdin.take();
    let told = async {
        if let Some(mut stdin) = stdin {
            // A command that does not read its input is none the worse for it.
            let _ = stdin.write_all(format!("{}\n", event.text).as_bytes()).await;
        }
        child.wait().await
    };
    match tokio::time::timeout(COMMAND_LIMIT, told).await {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(format!("`{program}` ended with {status}")),
        Ok(Err(err)) => Err(format!("`{program}` cannot be waited for: {err}")),
        Err(_) => Err(format!("`{program}` took longer than {COMMAND_LIMIT:?} and was ended")),
    }
}
