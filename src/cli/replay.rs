//! `fullsend replay`: a recording, played in the control room.
//!
//! No bus is opened, and nothing can be said.

use std::fs::File;
use std::io::{BufReader, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use chrono::{DateTime, Local, TimeDelta, TimeZone, Utc};
use color_eyre::eyre::WrapErr;
use serde_json::json;

use super::output::{OK, Usage};
use super::{Context, room};
use crate::config::duration;
use crate::contracts::envelope::read_time;
use crate::tui::app::{Kept, Model};
use crate::tui::feed::Beside;
use crate::tui::recording::{self, Recording};
use crate::tui::replay::Player;
use crate::tui::run::{self, Room};
use crate::tui::store::Caps;

/// Plays a recording in the control room
///
/// The same screens, fed by the file: → and ← go by message, . and , by minute, space plays or stands still, + and - change the pace.
/// There is no bus: nothing can be said. With `--json`, or without a terminal, its items are printed instead.
///
/// Example: fullsend replay launch.recording --speed 4 --from +2m
#[derive(clap::Args)]
pub struct Args {
    /// The recording
    #[arg(id = "recording", value_name = "FILE")]
    pub file: PathBuf,

    /// How fast: 2 is twice as fast as it was
    #[arg(long, default_value_t = 1.0, value_name = "N", value_parser = pace)]
    pub speed: f64,

    /// Where to begin: a time, or how long after the beginning (`+2m`)
    #[arg(id = "begin", long = "from", value_name = "TIME|+DURATION")]
    pub from: Option<String>,
}

fn pace(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "it is no number".to_owned())?;
    if (0.125..=1_024.0).contains(&number) { Ok(number) } else { Err("it is not between 0.125 and 1024".to_owned()) }
}

/// Plays it.
///
/// # Errors
/// Where it is no recording, or there is no terminal.
pub fn run(args: &Args, cx: &Context) -> color_eyre::Result<ExitCode> {
    let recording = opened(&args.file, cx)?;
    let from = args.from.as_deref().map(|text| moment(text, &recording, "--from")).transpose()?;
    if cx.out.is_json() {
        return print(&recording, from, cx);
    }
    if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        return Err(Usage("a replay needs a terminal; without one `replay --json` prints its items".to_owned()).into());
    }
    let runtime = super::runtime()?;
    let ended = runtime.block_on(play(recording, from, args.speed, cx));
    runtime.shutdown_background();
    ended
}

async fn play(
    recording: Recording,
    from: Option<DateTime<Utc>>,
    speed: f64,
    cx: &Context,
) -> color_eyre::Result<ExitCode> {
    let (keymap, themes) = (room::keymap()?, room::themes());
    let signals = room::Signals::heard()?;
    let mut about = recording.head.about();
    about.zone = room::zone();
    about.is_plain = room::is_plain(cx);
    let kept = Kept { welcomed: env!("CARGO_PKG_VERSION").to_owned(), ..Kept::default() };
    let mut model = Model::new(about, keymap, themes, kept, Caps::DEFAULT);
    let recording = Arc::new(recording);
    let mut player = Player::new(Arc::clone(&recording), Caps::DEFAULT, speed);
    model.store = player.store_at(from.unwrap_or(recording.span().0));
    player.play();
    let room = Room {
        bus: None,
        clock: player.clock(),
        player: Some(player),
        ids: Arc::clone(&cx.ids),
        model,
        home: std::env::temp_dir(),
        memory: None,
        beside: Beside::default(),
        themes: None,
        shutdown: signals.end.clone(),
    };
    Box::pin(run::run(room)).await?;
    Ok(OK)
}

/// Reads a recording, and says what is missing of it.
///
/// # Errors
/// Where it is none that can be played.
pub(super) fn opened(file: &Path, cx: &Context) -> color_eyre::Result<Recording> {
    let shown = file.display();
    let open = File::open(file).wrap_err_with(|| format!("{shown} cannot be opened"))?;
    let recording = Recording::read(BufReader::new(open)).wrap_err_with(|| format!("{shown} cannot be played"))?;
    if recording.is_torn {
        cx.out.remark(&format!("warning: the last line of {shown} is cut off, and left out"));
    }
    Ok(recording)
}

/// A moment of a recording, as people write it.
///
/// # Errors
/// Where it is none.
pub(super) fn moment(text: &str, recording: &Recording, flag: &str) -> Result<DateTime<Utc>, Usage> {
    let (first, last) = recording.span();
    let wanted = match text.strip_prefix('+') {
        Some(length) => {
            let length = duration::parse(length).ok().and_then(|length| TimeDelta::from_std(length).ok());
            length.and_then(|length| first.checked_add_signed(length))
        }
        None => DateTime::parse_from_rfc3339(text).map(|at| at.with_timezone(&Utc)).ok().or_else(|| {
            // Without a zone it is the time of whoever looks on, as on the screen.
            let at = read_time(text)?.naive_utc();
            Local.from_local_datetime(&at).earliest().map(|at| at.with_timezone(&Utc))
        }),
    };
    let shown: String = text.chars().take(60).collect();
    let wanted = wanted.ok_or_else(|| {
        Usage(format!(
            "{flag}: `{shown}` is neither a time (`2026-03-01 09:30`) nor a length after the beginning (`+2m`)"
        ))
    })?;
    if wanted < first || wanted > last {
        return Err(Usage(format!("{flag}: the recording goes from {first} to {last}, `{shown}` is not in it")));
    }
    Ok(wanted)
}

fn print(recording: &Recording, from: Option<DateTime<Utc>>, cx: &Context) -> color_eyre::Result<ExitCode> {
    cx.out.json(&json!({ "head": recording.head }))?;
    for (at, item) in recording.items.iter().filter(|(at, _)| from.is_none_or(|from| *at >= from)) {
        if let Some(line) = recording::to_json(*at, item) {
            cx.out.json(&line)?;
        }
    }
    Ok(OK)
}
