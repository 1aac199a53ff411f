//! Upkeep: the version of the store, data that was lost, timers that nobody fires, bare bodies that nobody hears.

use std::time::Duration;

use chrono::TimeDelta;

use super::{Area, Report, long};
use crate::bus::consumer::DATA_LOST;
use crate::bus::{BusError, Key, Level, SCHEMA_VERSION, SharedBus, State};
use crate::cli::Context;
use crate::contracts::envelope::read_time;
use crate::contracts::keys;
use crate::contracts::untrusted::sanitize_line;
use crate::services::gate::mode;

/// A timer that is later than this is not fired by anybody.
const LATE: TimeDelta = TimeDelta::seconds(10);
/// The bridge says every second that it listens.
const DEAF: TimeDelta = TimeDelta::seconds(5);

/// Whether the store is of this program's schema. An engine that keeps no such key has looked at it when it was opened.
pub(super) async fn schema(bus: &SharedBus, report: &mut Report) {
    let found = match bus.get(&Key::new(keys::SCHEMA)).await {
        Ok(Some(State::String(version))) => version,
        Ok(None) => return report.schema = Some(SCHEMA_VERSION),
        Ok(Some(other)) => other.type_name().to_owned(),
        Err(BusError::ForeignType { found, .. }) => found,
        Err(err) => return report.failed(Area::Bus, keys::SCHEMA, &err),
    };
    report.schema = found.parse().ok();
    if report.schema != Some(SCHEMA_VERSION) {
        let what = format!("the store says that its schema is `{found}`; this program knows {SCHEMA_VERSION}");
        report.add(Area::Bus, Level::Error, what, "Use the program that wrote it, or choose another bus or prefix");
    }
}

/// Whether the team is on hold: then what waits waits for that.
pub(super) async fn hold(bus: &SharedBus, report: &mut Report) {
    let held = match bus.get(&Key::new(keys::STATUS)).await {
        Ok(Some(State::String(status))) => status == "paused",
        Ok(_) | Err(BusError::ForeignType { .. }) => false,
        Err(err) => return report.failed(Area::Bus, keys::STATUS, &err),
    };
    if !held {
        return;
    }
    let hold = bus.get(&Key::new(keys::HOLD)).await.ok().flatten();
    let said = |field: &str| {
        let text = hold.as_ref().and_then(State::document).and_then(|hold| hold.get(field));
        text.map(|text| sanitize_line(text, 120)).filter(|text| !text.is_empty())
    };
    let since = said("since").map(|since| format!(" since {since}")).unwrap_or_default();
    let by = said("by").map(|by| format!(", by {by}")).unwrap_or_default();
    let why = said("reason").map(|reason| format!(": {reason}")).unwrap_or_default();
    let what = format!("the team is on hold{since}{by}{why}; nothing new starts");
    report.add(Area::Bus, Level::Note, what, "`fullsend go` lets it go on");
}

/// Whether the server lost its data, and nobody has dealt with that yet.
pub(super) async fn lost(bus: &SharedBus, report: &mut Report) {
    let Ok(key) = keys::alert(DATA_LOST) else { return };
    let found = match bus.get(&Key::new(key.as_str())).await {
        Ok(found) => found,
        // What stands there instead is said where the keys are looked at.
        Err(BusError::ForeignType { .. }) => return,
        Err(err) => return report.failed(Area::Bus, &key, &err),
    };
    let Some(alert) = found.as_ref().and_then(State::document) else { return };
    if alert.get("state") == Some("triggered") {
        let what = sanitize_line(alert.get("message").unwrap_or("the server lost its data"), 400);
        let fix = format!(
            "Restore a backup (`fullsend restore`), or go on as it is; then `fullsend publish control '{{\"type\":\"alert_resolve\",\
             \"alert_id\":\"{DATA_LOST}\"}}'`"
        );
        report.add(Area::Bus, Level::Error, what, fix);
    }
}

/// Whether gates run in different modes.
pub(super) async fn modes(bus: &SharedBus, report: &mut Report) {
    let running = match mode::running(bus).await {
        Ok(running) => running,
        Err(err) => return report.failed(Area::Work, "the modes of the gates", &err),
    };
    if let [strictest, _, ..] = running.as_slice() {
        let names = running.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ");
        let what = format!("gates run on this bus in the modes {names}; {strictest} counts");
        report.add(Area::Work, Level::Warning, what, "Run every `fullsend serve` of this bus with the same `--mode`");
    }
}

/// Whether timers are fired.
pub(super) async fn timers(bus: &SharedBus, cx: &Context, report: &mut Report) {
    let late = match bus.next_timer().await {
        Ok(next) => next.map(|at| cx.clock.now() - at).filter(|late| *late > LATE),
        Err(err) => return report.failed(Area::Bus, "the timers", &err),
    };
    if let Some(late) = late.and_then(|late| late.to_std().ok()) {
        let what = format!("a timer is {} late: nobody fires timers", long(late));
        report.add(Area::Bus, Level::Warning, what, "Run `fullsend serve` (with `timers`)");
    }
}

/// Whether bare bodies are heard. The embedded engine has no pub/sub that others could use.
pub(super) async fn bridge(bus: &SharedBus, cx: &Context, report: &mut Report) {
    if bus.engine() == "embedded" {
        return;
    }
    let mark = match bus.get(&Key::new(keys::BRIDGE)).await {
        Ok(state) => state,
        Err(err) => return report.failed(Area::Bus, keys::BRIDGE, &err),
    };
    let until = mark.as_ref().and_then(State::document).and_then(|mark| mark.get("heard_until")).and_then(read_time);
    let (level, what) = match until.map(|until| cx.clock.now() - until) {
        None => (Level::Note, "nobody has ever listened here for bodies that are published bare".to_owned()),
        Some(silent) if silent > DEAF => {
            let since = long(silent.to_std().unwrap_or(Duration::MAX));
            (
                Level::Warning,
                format!("nobody has listened for bodies that are published bare for {since}; they are lost"),
            )
        }
        Some(_) => return,
    };
    report.add(Area::Bus, level, what, "Run `fullsend serve` (with `bridge`), or publish by `fullsend publish`");
}
