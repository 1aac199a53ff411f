//! `/wtf`: what happened in the last hour, and why.
//!
//! Owns the telling. Everything in it is read from the bus; no model is asked.

use chrono::{DateTime, TimeDelta, Utc};

use crate::bus::{Bound, BusError, Range, SharedBus};
use crate::contracts::messages::{Alerts, ApprovalOutcome, Approvals, ExperimentResults};
use crate::contracts::{Body, ChannelName};
use crate::services::orchestrator::record;
use crate::services::wording::line;

/// Entries of a channel that are looked at.
const LOOKED_AT: usize = 200;
/// Lines of a kind that are told; the rest is a count.
const TOLD: usize = 4;

/// The last hour in words.
pub(super) async fn last_hour(bus: &SharedBus, now: DateTime<Utc>) -> Result<String, BusError> {
    let since = now - TimeDelta::hours(1);
    let decisions = record::newest(bus, LOOKED_AT).await?;
    let decided = decisions
        .iter()
        .filter(|record| record.at >= since)
        .map(|record| format!("{}: {}", record.action, line(&record.reasoning, 160)));
    let parts = [
        told("Decided", decided.collect()),
        told("Runs", read(bus, ChannelName::ExperimentResults, since, |found| Some(result(found))).await?),
        told("Approvals", read(bus, ChannelName::Approvals, since, |found| Some(approval(found))).await?),
        told("Alerts", read(bus, ChannelName::Alerts, since, alert).await?),
    ];
    let told: Vec<_> = parts.into_iter().flatten().collect();
    Ok(if told.is_empty() { "Nothing happened in the last hour.".to_owned() } else { told.join("\n") })
}

/// A kind of events, the newest first.
fn told(kind: &str, mut lines: Vec<String>) -> Option<String> {
    let more = lines.len().saturating_sub(TOLD);
    lines.truncate(TOLD);
    if lines.is_empty() {
        return None;
    }
    let rest = if more > 0 { format!("\n- and {more} more") } else { String::new() };
    Some(format!("**{kind}** ({})\n- {}{rest}", lines.len() + more, lines.join("\n- ")))
}

async fn read<M: Body>(
    bus: &SharedBus,
    channel: ChannelName,
    since: DateTime<Utc>,
    tell: impl Fn(M) -> Option<String>,
) -> Result<Vec<String>, BusError> {
    let range = Range { from: Bound::Time(since), ..Range::newest(LOOKED_AT) };
    let entries = bus.range(channel, range).await?;
    Ok(entries.iter().filter_map(|entry| M::read(&entry.b).ok().and_then(&tell)).collect())
}

fn result(result: ExperimentResults) -> String {
    match result {
        ExperimentResults::Completed(run) => format!("{} ended well", line(&run.experiment_id, 80)),
        ExperimentResults::Failed(run) => format!("{} failed: {}", line(&run.experiment_id, 80), run.error.line(120)),
    }
}

fn approval(approval: Approvals) -> String {
    let done = match approval {
        Approvals::Created(asked) => return format!("{} waits for an answer", line(&asked.title, 120)),
        Approvals::Completed(done) => done,
    };
    let outcome = match done.outcome {
        ApprovalOutcome::Approved => "approved",
        ApprovalOutcome::Denied => "denied",
        ApprovalOutcome::Expired => "expired",
        ApprovalOutcome::Superseded => "superseded",
    };
    let why = done.reason.map(|reason| format!(": {}", line(&reason, 120))).unwrap_or_default();
    format!("{} {outcome} by {}{why}", line(&done.approval_id, 40), line(&done.by, 40))
}

fn alert(alert: Alerts) -> Option<String> {
    match alert {
        Alerts::Triggered(alert) => Some(line(&alert.message, 200)),
        Alerts::Acknowledged(_) | Alerts::Resolved(_) => None,
    }
}
