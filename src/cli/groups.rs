//! `fullsend groups`: who reads which channel, how far each has come, and taking a group away.
//!
//! Must never take a group away before somebody was told what is lost with it.

#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::io::{self, BufRead, IsTerminal};
use std::process::ExitCode;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::Subcommand;
use color_eyre::Section;
use color_eyre::eyre::eyre;
use serde_json::{Value, json};

use super::Context;
use super::output::{FAILED, OK, Usage};
use crate::bus::waiting::{Waiting, waiting};
use crate::bus::{BusError, ChannelInfo, GroupInfo, SharedBus};
use crate::config::duration;
use crate::contracts::untrusted::sanitize_line;
use crate::contracts::{ChannelKind, ChannelName, ServiceName};

/// Characters of a group's name that are shown.
const NAME_LIMIT: usize = 60;

/// Shows the groups, and takes one away
///
/// A group handles every message of its channel once. One that nobody serves any more holds back the trimming of its channel.
///
/// Example: fullsend groups drop metrics reporter
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Lists the groups with what they have yet to do
    List {
        /// The channels; none for all
        #[arg(value_name = "CHANNEL")]
        channels: Vec<ChannelName>,
    },
    /// Takes a group away, with everything that it has not handled
    Drop {
        /// Its channel
        channel: ChannelName,
        /// Its name
        group: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

impl Args {
    /// Whether it changes anything, which is worth a log.
    pub(super) fn changes(&self) -> bool {
        matches!(self.action, Action::Drop { .. })
    }
}

/// Reads a person's answer; none where there is nobody to ask.
type Ask = Option<fn() -> io::Result<String>>;

/// Does it.
///
/// # Errors
/// Where there is no such group, nobody agreed, or the bus cannot be used.
pub fn run(args: &Args, cx: &Context) -> color_eyre::Result<ExitCode> {
    let ask: Ask = io::stdin().is_terminal().then_some(|| {
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer).map(|_| answer)
    });
    super::with_bus(cx, async |bus| act(args, ask, cx, bus).await)
}

async fn act(args: &Args, ask: Ask, cx: &Context, bus: &SharedBus) -> color_eyre::Result<ExitCode> {
    match &args.action {
        Action::List { channels } => list(channels, cx, bus).await,
        Action::Drop { channel, group, yes } => drop_group(*channel, group, *yes, ask, cx, bus).await,
    }
}

async fn list(channels: &[ChannelName], cx: &Context, bus: &SharedBus) -> color_eyre::Result<ExitCode> {
    let channels = if channels.is_empty() { ChannelName::ALL } else { channels };
    let mut found = Vec::new();
    let mut well = true;
    for channel in channels.iter().filter(|channel| channel.route().kind == ChannelKind::Work) {
        match bus.inspect(*channel).await {
            Ok(info) => found.push(info),
            Err(err @ BusError::ForeignType { .. }) => {
                well = false;
                cx.out.error(&format!("{channel}: {err}"));
            }
            Err(err) => return Err(err.into()),
        }
    }
    let now = cx.clock.now();
    let mut lags = Vec::new();
    for (info, group) in found.iter().flat_map(|info| info.groups.iter().map(move |group| (info, group))) {
        lags.push(waiting(bus, info.channel, group).await?);
    }
    let groups = || {
        let groups = found.iter().flat_map(|info| info.groups.iter().map(move |group| (info, group)));
        groups.zip(&lags).map(|((info, group), lag)| (info, group, lag))
    };
    if cx.out.is_json() {
        let groups: Vec<Value> = groups().map(|(info, group, lag)| as_json(info, group, *lag, now)).collect();
        cx.out.json(&groups)?;
    } else if groups().next().is_none() {
        cx.out.remark("there are no groups; each is made when its service first starts");
    } else {
        let heads = ["CHANNEL", "GROUP", "SERVICE", "PENDING", "LAG", "OLDEST PENDING", "IDLE", "CONSUMERS"];
        let rows: Vec<_> = groups().map(|(info, group, lag)| row(info, group, *lag, now)).collect();
        let is_narrow =
            cx.out.table_that_fits((heads, &rows), || (NARROW, rows.iter().zip(groups()).map(narrow).collect()))?;
        if is_narrow && groups().any(|(_, group, _)| is_built(&group.group) != Some(true)) {
            cx.out.text("\n* of no service of this version")?;
        }
    }
    Ok(if well { OK } else { FAILED })
}

/// Whether a group's service is in this version; none where no service is called so.
fn is_built(group: &str) -> Option<bool> {
    group.parse().ok().map(ServiceName::is_built)
}

/// How long ago the group's oldest pending message was said.
fn oldest_age(group: &GroupInfo, now: DateTime<Utc>) -> Option<Duration> {
    group.oldest_pending.map(|oldest| (now - oldest.at()).to_std().unwrap_or_default())
}

fn row(info: &ChannelInfo, group: &GroupInfo, lag: Waiting, now: DateTime<Utc>) -> [String; 8] {
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let service = match is_built(&group.group) {
        Some(true) => "built",
        Some(false) => "not in this version",
        None => "unknown",
    };
    [
        info.channel.to_string(),
        sanitize_line(&group.group, NAME_LIMIT),
        service.to_owned(),
        group.pending.to_string(),
        lag.to_string(),
        or_none(oldest_age(group, now).map(rounded)),
        or_none(group.idle.map(rounded)),
        group.consumers.len().to_string(),
    ]
}

/// The heads of the table on a narrow terminal.
const NARROW: [&str; 7] = ["CHANNEL", "GROUP", "PENDING", "LAG", "OLDEST", "IDLE", "CONSUMERS"];
/// Characters of a group's name there.
const NARROW_NAME: usize = 16;

/// A row without what can be missed: the prefix that all channels have, and words for whether the service is in this version.
fn narrow((row, (info, group, lag)): (&[String; 8], (&ChannelInfo, &GroupInfo, &Waiting))) -> [String; 7] {
    let [_, _, _, pending, _, oldest, idle, consumers] = row.clone();
    let lag = format!("{}{}", lag.count, if lag.or_more { "+" } else { "" });
    let mark = if is_built(&group.group) == Some(true) { "" } else { "*" };
    let name = format!("{}{mark}", sanitize_line(&group.group, NARROW_NAME));
    [info.channel.short().to_owned(), name, pending, lag, oldest, idle, consumers]
}

fn as_json(info: &ChannelInfo, group: &GroupInfo, lag: Waiting, now: DateTime<Utc>) -> Value {
    let consumers: Vec<Value> = group
        .consumers
        .iter()
        .map(|consumer| {
            json!({ "consumer": consumer.consumer, "pending": consumer.pending, "idle_s": consumer.idle.as_secs_f64() })
        })
        .collect();
    json!({
        "channel": info.channel,
        "group": group.group,
        "built": is_built(&group.group),
        "pending": group.pending,
        "lag": lag.count,
        "lag_or_more": lag.or_more,
        "oldest_pending": group.oldest_pending,
        "oldest_pending_s": oldest_age(group, now).map(|age| age.as_secs_f64()),
        "last_delivered": group.last_delivered,
        "idle_s": group.idle.map(|idle| idle.as_secs_f64()),
        "consumers": consumers,
    })
}

/// A length of time as exact as a person needs it.
fn rounded(length: Duration) -> String {
    let seconds = length.as_secs();
    let step = match seconds {
        0 => return duration::show(Duration::from_millis(u64::from(length.subsec_millis()))),
        1..3_600 => 1,
        3_600..86_400 => 60,
        _ => 3_600,
    };
    duration::show(Duration::from_secs(seconds / step * step))
}

async fn drop_group(
    channel: ChannelName,
    name: &str,
    yes: bool,
    ask: Ask,
    cx: &Context,
    bus: &SharedBus,
) -> color_eyre::Result<ExitCode> {
    let info = bus.inspect(channel).await?;
    let Some(group) = info.groups.iter().find(|group| group.group == name) else {
        let names: Vec<_> = info.groups.iter().map(|group| sanitize_line(&group.group, NAME_LIMIT)).collect();
        let there = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        return Err(eyre!("{channel} has no group `{}`", sanitize_line(name, NAME_LIMIT))
            .suggestion(format!("Its groups: {there}")));
    };
    let lag = waiting(bus, channel, group).await?;
    if !yes && !agreed(&lost(&info, group, lag), ask, cx).await? {
        cx.out.remark("nothing done");
        return Ok(FAILED);
    }
    let dropped = bus.drop_group(channel, name).await?;
    tracing::info!(%channel, group = name, pending = group.pending, %lag, "a group was dropped");
    if cx.out.is_json() {
        let line = json!({
            "channel": channel, "group": name, "dropped": dropped, "pending": group.pending, "lag": lag.count, "lag_or_more": lag.or_more,
        });
        cx.out.json(&line)?;
    } else if dropped {
        cx.out.text(&format!("dropped the group `{}` of {channel}", sanitize_line(name, NAME_LIMIT)))?;
    } else {
        cx.out.text("somebody else was faster: it is gone")?;
    }
    Ok(OK)
}

/// Tells what is lost, and asks whether it shall be.
async fn agreed(lost: &str, ask: Ask, cx: &Context) -> color_eyre::Result<bool> {
    let Some(ask) = ask else {
        return Err(Usage(format!("{lost} There is nobody to ask: `--yes` does it")).into());
    };
    cx.out.remark(&format!("{lost} Drop it? [y/N]"));
    let answer = tokio::task::spawn_blocking(ask).await??;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes" | "Yes"))
}

/// What is lost with a group, in words.
fn lost(info: &ChannelInfo, group: &GroupInfo, lag: Waiting) -> String {
    let name = sanitize_line(&group.group, NAME_LIMIT);
    let mut text = format!(
        "The group `{name}` of {} goes with {} messages that were handed out and not acknowledged, and {lag} not handed out yet: \
         it will handle none of them.",
        info.channel, group.pending
    );
    if is_built(&group.group) == Some(true) {
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            " When the service `{name}` next starts, it begins with the channel's oldest message ({} are stored) and handles again \
             what it had handled.",
            info.length
        );
    }
    text
}
