//! The probe: one echo request. How fast it is confirmed, by what clock, and whether anybody answers.
//!
//! Must never say more than the one request.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;

use super::{Area, Report, long};
use crate::bus::{BusError, EntryId, Level, Origin, SendError, Sender, SharedBus};
use crate::cli::Context;
use crate::contracts::channel::grants;
use crate::contracts::messages::{EchoRequest, Echoes};
use crate::contracts::wiring::ECHO;
use crate::contracts::{ChannelKind, ChannelName, MessageId, Trust};

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// A confirmed write that takes longer is a finding.
const SLOW: Duration = Duration::from_millis(250);
/// Clocks may differ by this much.
const APART: TimeDelta = TimeDelta::seconds(2);

/// Says the request and waits for its answer.
pub(super) async fn look(bus: &SharedBus, cx: &Context, report: &mut Report) {
    let work: Vec<_> =
        ChannelName::ALL.iter().copied().filter(|channel| channel.route().kind == ChannelKind::Work).collect();
    let mut newest = Vec::with_capacity(work.len());
    for channel in work {
        match bus.newest(&[channel]).await {
            Ok(found) => newest.extend(found),
            // Told with its groups.
            Err(BusError::ForeignType { .. }) => {}
            Err(err) => return report.failed(Area::Bus, "the channels", &err),
        }
    }
    future(&newest, cx.clock.now(), report);
    if !newest.iter().any(|(channel, _)| *channel == ChannelName::Echo) {
        return;
    }

    let origin = Origin::new(std::sync::Arc::clone(&cx.clock), std::sync::Arc::clone(&cx.ids), Trust::Operator);
    let body = Echoes::from(EchoRequest { text: "fullsend doctor".to_owned() });
    let request = match origin.compose::<grants::ControlRoom, _>(ECHO, body) {
        Ok(request) => request,
        Err(err) => return report.add(Area::Bus, Level::Error, err.to_string(), super::FIX_OPEN),
    };
    let id = request.envelope.id;
    let (before, began) = (cx.clock.now(), Instant::now());
    let sender = Sender::<grants::ControlRoom>::new(std::sync::Arc::clone(bus), origin, Duration::ZERO);
    let entry = match sender.send_composed(request).await {
        Ok(entry) => entry,
        Err(SendError::Bus(BusError::ReadOnly { reason, fix })) => {
            return report.add(Area::Bus, Level::Error, format!("the bus takes no writes: {reason}"), fix);
        }
        Err(err) => {
            let what = format!("a message could not be said: {err}");
            return report.add(Area::Bus, Level::Error, what, super::FIX_OPEN);
        }
    };
    let took = began.elapsed();
    report.commit_us = Some(micros(took));
    slow(took, report);
    let ours = newest.iter().find(|(channel, _)| *channel == ChannelName::Echo).and_then(|(_, newest)| *newest);
    clock(entry, ours, before, cx.clock.now(), report);

    match answer(bus, entry, id).await {
        Ok(true) => report.echo_us = Some(micros(began.elapsed())),
        Ok(false) => report.add(
            Area::Bus,
            Level::Note,
            format!("no echo service answered within {}: is `fullsend serve` running?", long(PATIENCE)),
            "Run `fullsend serve`; what is said meanwhile waits for it",
        ),
        Err(err) => report.failed(Area::Bus, "the echo", &err),
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn slow(took: Duration, report: &mut Report) {
    if took > SLOW {
        let what = format!("a write was confirmed only after {}", long(took));
        report.add(Area::Bus, Level::Warning, what, "Look at the load of the disk, the server and the network between");
    }
}

/// Entries of a time that has not come: the clock was set back, or another machine's is ahead.
fn future(newest: &[(ChannelName, Option<EntryId>)], now: DateTime<Utc>, report: &mut Report) {
    let ahead = newest.iter().filter_map(|(channel, newest)| Some(((*newest)?.at() - now, channel))).max();
    if let Some((by, channel)) = ahead.filter(|(by, _)| *by > APART) {
        let what = format!(
            "the newest message of {channel} is from {} in the future: a clock was set back, or this machine's is behind",
            long(by.to_std().unwrap_or_default())
        );
        let fix = "Set the clocks (NTP); until that time new messages keep their order, and ages are wrong";
        report.add(Area::Bus, Level::Warning, what, fix);
    }
}

/// Whether the store, which gave our message its time between two looks at our clock, goes by the same.
fn clock(entry: EntryId, last: Option<EntryId>, before: DateTime<Utc>, after: DateTime<Utc>, report: &mut Report) {
    // After an entry of the future, times only say that they do not go back.
    if last.is_some_and(|last| last.ms == entry.ms) {
        return;
    }
    let (ahead, behind) = (entry.at() - after, before - entry.at());
    let (by, word) = if ahead > behind { (ahead, "ahead of") } else { (behind, "behind") };
    if by > APART {
        let what = format!("the clock of the bus is {} {word} this machine's", long(by.to_std().unwrap_or_default()));
        report.add(Area::Bus, Level::Warning, what, "Set both clocks (NTP): leases hold, but ages and times are wrong");
    }
}

/// Waits for what was said because of the request.
async fn answer(bus: &SharedBus, request: EntryId, id: MessageId) -> Result<bool, BusError> {
    let deadline = Instant::now() + PATIENCE;
    let mut after = request;
    loop {
        let wait = deadline.saturating_duration_since(Instant::now());
        let entries = bus.watch(&[(ChannelName::Echo, after)], 64, wait).await?;
        for entry in &entries {
            after = entry.id;
            if entry.message().is_ok_and(|message| message.envelope.cause == Some(id)) {
                return Ok(true);
            }
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_answer_is_a_finding() {
        let mut report = Report::default();
        slow(SLOW, &mut report);
        assert_eq!(report.findings, []);
        slow(Duration::from_millis(3_400), &mut report);
        assert!(report.findings[0].finding.what.contains("after 3 s"), "{report:?}");
    }
}
