//! `fullsend tail`: shows what is said on the bus, as it is said.
//!
//! A viewer: it reads history and the doorbell, holds no group and changes nothing. Must never end because of what a message holds,
//! or because the bus is away for a while.

mod follow;
mod history;
mod line;
#[cfg(test)]
mod tests;

use std::io::IsTerminal;
use std::process::ExitCode;

use chrono::{DateTime, Local, NaiveDateTime, NaiveTime, TimeDelta, TimeZone, Utc};
use color_eyre::eyre::WrapErr;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::Context;
use super::output::{OK, Usage};
use crate::bus::SharedBus;
use crate::bus::filter::Filter;
use crate::config::duration;
use crate::contracts::envelope::read_time;
use crate::contracts::{ChannelKind, ChannelName};

/// How many messages a look at the past shows that says neither how many nor since when.
const FEW: usize = 10;

/// Shows what is said on the bus
///
/// One line a message: time, channel, source, type, what it is about, and the end of its trace id. A filter is words, "phrases",
/// /regular expressions/, channel:, type:, source:, priority:>=high and trace:, all of which must match; - before one turns it
/// round.
///
/// Example: fullsend tail control alerts --since 10m --filter "priority:>=high -budget"
#[derive(clap::Args)]
pub struct Args {
    /// The channels; none for all (without heartbeats)
    #[arg(value_name = "CHANNEL")]
    pub channels: Vec<ChannelName>,

    /// Begin with the past: `10m`, a time (`09:30`, `2026-03-01 09:30`, RFC 3339), or `beginning`
    #[arg(long, value_name = "AGE|TIME")]
    pub since: Option<String>,

    /// Only messages that match
    #[arg(long, value_name = "EXPR", allow_hyphen_values = true)]
    pub filter: Option<Filter>,

    /// Begin with the newest N messages of the past
    #[arg(short = 'n', long, value_name = "N")]
    pub lines: Option<usize>,

    /// End after the past
    #[arg(long)]
    pub no_follow: bool,
}

/// Shows it.
///
/// # Errors
/// Where `--since` is no time, or the bus cannot be used.
pub fn run(args: &Args, cx: &Context) -> color_eyre::Result<ExitCode> {
    let mut plan = Plan::new(args, cx.clock.now(), Zone::Local)?;
    let stdout = std::io::stdout();
    if stdout.is_terminal() {
        plan.width = terminal_size::terminal_size_of(&stdout).map(|(width, _)| usize::from(width.0));
    }
    super::with_bus(cx, async |bus| {
        let stop = CancellationToken::new();
        let mut terminated = signal(SignalKind::terminate()).wrap_err("signals cannot be waited for")?;
        let asked = stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminated.recv() => {}
            }
            asked.cancel();
        });
        tail(&plan, cx, bus, &stop).await
    })
}

/// What is shown, and how.
struct Plan {
    work: Vec<ChannelName>,
    notices: Vec<ChannelName>,
    since: Since,
    /// Only the newest of the past.
    lines: Option<usize>,
    follow: bool,
    filter: Filter,
    zone: Zone,
    /// Columns that a line may take.
    width: Option<usize>,
}

/// What is shown of all channels, unless something else is asked for.
const ALL_BUT_HEARTBEATS: &str = "-type:heartbeat";

/// Where the past begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Since {
    Now,
    Time(DateTime<Utc>),
    Beginning,
}

/// In which zone times are shown and read.
#[derive(Debug, Clone, Copy)]
enum Zone {
    Local,
    #[cfg(test)]
    Utc,
}

impl Zone {
    fn shown(self, at: DateTime<Utc>) -> NaiveDateTime {
        match self {
            Self::Local => at.with_timezone(&Local).naive_local(),
            #[cfg(test)]
            Self::Utc => at.naive_utc(),
        }
    }

    fn read(self, at: NaiveDateTime) -> DateTime<Utc> {
        match self {
            // A time that the change to summer time leaves out is none: taken as UTC.
            Self::Local => Local.from_local_datetime(&at).earliest().map_or(at.and_utc(), |at| at.with_timezone(&Utc)),
            #[cfg(test)]
            Self::Utc => at.and_utc(),
        }
    }
}

impl Plan {
    fn new(args: &Args, now: DateTime<Utc>, zone: Zone) -> Result<Self, Usage> {
        let mut channels = if args.channels.is_empty() { ChannelName::ALL.to_vec() } else { args.channels.clone() };
        channels.sort_unstable();
        channels.dedup();
        let (work, notices) = channels.into_iter().partition(|channel| channel.route().kind == ChannelKind::Work);
        let since = args.since.as_deref().map_or(Ok(Since::Now), |text| since(text, now, zone))?;
        let lines = args.lines.or((args.no_follow && since == Since::Now).then_some(FEW));
        Ok(Self {
            work,
            notices,
            since,
            lines,
            follow: !args.no_follow,
            filter: match &args.filter {
                Some(filter) => filter.clone(),
                // Over all channels the heartbeats would drown the rest; whoever names the channel wants them.
                None if args.channels.is_empty() => Filter::parse(ALL_BUT_HEARTBEATS).unwrap_or_default(),
                None => Filter::default(),
            },
            zone,
            width: None,
        })
    }
}

fn since(text: &str, now: DateTime<Utc>, zone: Zone) -> Result<Since, Usage> {
    if text == "beginning" {
        return Ok(Since::Beginning);
    }
    if let Ok(age) = duration::parse(text) {
        let at = TimeDelta::from_std(age).ok().and_then(|age| now.checked_sub_signed(age));
        let at = at.filter(|at| *at >= DateTime::UNIX_EPOCH);
        return Ok(at.map_or(Since::Beginning, Since::Time));
    }
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Ok(Since::Time(at.with_timezone(&Utc)));
    }
    if let Some(at) = read_time(text) {
        return Ok(Since::Time(zone.read(at.naive_utc())));
    }
    let time = ["%H:%M", "%H:%M:%S"].iter().find_map(|form| NaiveTime::parse_from_str(text, form).ok());
    time.map(|time| Since::Time(zone.read(zone.shown(now).date().and_time(time)))).ok_or_else(|| {
        Usage(format!(
            "--since: `{}` is neither an age (`10m`) nor a time (`09:30`, `2026-03-01 09:30`) nor `beginning`",
            text.chars().take(60).collect::<String>()
        ))
    })
}

/// Shows the past, then what comes, until `stop` is cancelled.
async fn tail(plan: &Plan, cx: &Context, bus: &SharedBus, stop: &CancellationToken) -> color_eyre::Result<ExitCode> {
    // Notices are not kept: whoever listens late has missed them.
    let news = follow::News::new(bus);
    if plan.follow {
        news.hear(&plan.notices);
    }
    let cursors = history::show(plan, cx, bus, stop).await?;
    if plan.follow && !stop.is_cancelled() {
        news.watch(cursors);
        follow::show(plan, cx, news, stop).await?;
    }
    Ok(OK)
}
