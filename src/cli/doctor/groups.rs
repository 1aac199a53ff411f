//! Groups: what waits for whom, and for how long.
//!
//! Owns when a group counts as running, and when work counts as stuck. Must never take part in a group.

use std::time::Duration;

use serde::Serialize;

use super::{Area, Report, long};
use crate::bus::retention::IDLE_ALERT;
use crate::bus::waiting::{Waiting, waiting};
use crate::bus::{BusError, ChannelInfo, EntryId, GroupInfo, Level, SharedBus};
use crate::cli::Context;
use crate::cli::output::Output;
use crate::contracts::{ChannelKind, ChannelName, ServiceName};

/// A consumer that gave no sign of life for this long does not run, whatever the settings say of stale ones.
const SILENT: Duration = Duration::from_secs(10);

/// A group, as the report shows it.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    channel: ChannelName,
    group: String,
    /// Not handed out yet.
    waiting: u64,
    /// There are more: counting ended there.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    or_more: bool,
    pending: u64,
    /// Since a consumer gave a sign of life, in milliseconds.
    idle_ms: Option<u64>,
    consumers: usize,
}

pub(super) fn print(rows: &[Row], out: &Output) -> color_eyre::Result<()> {
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            [
                row.channel.short().to_owned(),
                row.group.clone(),
                Waiting { count: row.waiting, or_more: row.or_more }.to_string(),
                row.pending.to_string(),
                row.consumers.to_string(),
                row.idle_ms
                    .map_or_else(|| "never read".to_owned(), |ms| format!("{} ago", long(Duration::from_millis(ms)))),
            ]
        })
        .collect();
    out.table(["CHANNEL", "GROUP", "WAITING", "PENDING", "CONSUMERS", "LAST SEEN"], &rows)
}

/// Looks at every channel that has groups.
pub(super) async fn look(bus: &SharedBus, cx: &Context, report: &mut Report) {
    for channel in ChannelName::ALL.iter().copied().filter(|channel| channel.route().kind == ChannelKind::Work) {
        let info = match bus.inspect(channel).await {
            Ok(info) => info,
            Err(BusError::ForeignType { key, found, wanted }) => {
                let what = format!("`{key}` holds a {found}, and a {wanted} belongs there: {channel} does not work");
                report.add(Area::Keys, Level::Error, what, super::keys::fix(&key));
                continue;
            }
            Err(err) => return report.failed(Area::Work, channel.as_str(), &err),
        };
        report.messages += info.length;
        if channel == ChannelName::DeadLetter {
            dead_letters(bus, report).await;
        }
        never_run(&info, report);
        for group in &info.groups {
            let waiting = match waiting(bus, channel, group).await {
                Ok(waiting) => waiting,
                Err(err) => return report.failed(Area::Work, channel.as_str(), &err),
            };
            report.pending += group.pending;
            look_at(channel, group, waiting, cx, report);
            report.groups.push(Row {
                channel,
                group: group.group.clone(),
                waiting: waiting.count,
                or_more: waiting.or_more,
                pending: group.pending,
                idle_ms: group.idle.map(|idle| u64::try_from(idle.as_millis()).unwrap_or(u64::MAX)),
                consumers: group.consumers.len(),
            });
        }
    }
}

async fn dead_letters(bus: &SharedBus, report: &mut Report) {
    let open = match crate::cli::dead_letters::open_letters(bus).await {
        Ok(open) => open,
        Err(err) => return report.failed(Area::Work, ChannelName::DeadLetter.as_str(), &err),
    };
    report.dead_letters = open as u64;
    if open > 0 {
        report.add(
            Area::Work,
            Level::Warning,
            format!("{open} messages could not be handled and are kept as dead letters"),
            "See why: `fullsend dead-letters list`; then `replay` or `drop` them",
        );
    }
}

/// Messages for a service of this version that was never started on this bus.
fn never_run(info: &ChannelInfo, report: &mut Report) {
    let built = info.channel.route().groups.iter().filter(|service| service.is_built());
    for service in built.filter(|_| info.length > 0) {
        if !info.groups.iter().any(|group| group.group == service.as_str()) {
            let what =
                format!("{} messages on {} wait for `{service}`, which has never run here", info.length, info.channel);
            report.add(Area::Work, Level::Warning, what, start(service.as_str()));
        }
    }
}

fn look_at(channel: ChannelName, group: &GroupInfo, waiting: Waiting, cx: &Context, report: &mut Report) {
    let name = &group.group;
    let stale = cx.config.consumer.stale_after * 2;
    let silent = stale.max(SILENT);
    let Some(idle) = group.idle else {
        // A group that was given something has been served, if not since it was moved here.
        let served = group.last_delivered != EntryId::ZERO;
        let why = if served { "for which nobody reads any more" } else { "which has never run here" };
        if waiting.count > 0 {
            let what = format!("{waiting} messages on {channel} wait for `{name}`, {why}");
            report.add(Area::Work, Level::Warning, what, start(name));
        }
        return;
    };
    if idle >= IDLE_ALERT {
        let what = format!(
            "nobody has read {channel} for `{name}` for {}; {waiting} messages wait, and nothing is removed that it has not handled",
            long(idle)
        );
        let fix = format!("{}, or drop the group: `fullsend groups drop {} {name}`", start(name), channel.short());
        return report.add(Area::Work, Level::Warning, what, fix);
    }
    // What was handed out, and when the oldest of it was said.
    let age = group
        .oldest_pending
        .map(|oldest| (cx.clock.now() - oldest.at()).to_std().unwrap_or_default())
        .unwrap_or_default();
    if idle >= silent {
        if waiting.count > 0 {
            let what = format!(
                "{waiting} messages on {channel} wait for `{name}`, whose last sign of life was {} ago",
                long(idle)
            );
            report.add(Area::Work, Level::Warning, what, start(name));
        }
        if group.pending > 0 && age > stale {
            let what = format!(
                "{} messages of {channel} are stuck: handed to `{name}`, the oldest said {} ago, and nobody works on them",
                group.pending,
                long(age)
            );
            report.add(Area::Work, Level::Warning, what, start(name));
        }
        return;
    }
    for consumer in group.consumers.iter().filter(|consumer| consumer.pending > 0 && consumer.idle >= silent) {
        let what = format!(
            "`{}` has been silent for {} and still holds {} messages of {channel}, which nobody has taken over",
            consumer.consumer,
            long(consumer.idle),
            consumer.pending
        );
        let fix = "Look at the log of the others of its group; starting `fullsend serve` again takes them over";
        report.add(Area::Work, Level::Warning, what, fix);
    }
    let most = cx.config.consumer.handler_timeout * cx.config.consumer.max_attempts;
    if age > most.max(stale) {
        let what = format!("a message of {channel} was said {} ago and is still in the hands of `{name}`", long(age));
        report.add(Area::Work, Level::Note, what, "Nothing, if such work takes so long; else look at its log");
    }
}

fn start(group: &str) -> String {
    match group.parse::<ServiceName>() {
        Ok(service) if service.is_built() => format!("Run `fullsend serve` (with `{service}`)"),
        Ok(service) => format!("Run the program that contains `{service}`: this version does not"),
        Err(_) => format!("Start whatever reads as `{group}`"),
    }
}
