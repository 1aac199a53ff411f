//! `/wtf`: what happened in the last hour, and why.
//!
//! Owns the telling. Everything in it is read from the bus; no model is asked.

use chrono::{DateTime, TimeDelta, Utc};

use crate::bus::{Bound, BusError, Range, SharedBus};
use crate::contracts::messages::{Alerts, ApprovalCompleted, ApprovalOutcome, Approvals, Audit, ExperimentResults};
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
    let decided = decisions.iter().filter(|record| record.at >= since).map(|record| {
        let what = record.payload.title.as_deref().or(record.payload.content.as_deref()).unwrap_or_default();
        let what = line(what, 100);
        let about = if what.is_empty() { String::new() } else { format!(" ({what})") };
        format!("{}{about}: {}", record.action, line(&record.reasoning, 160))
    });
    let parts = [
        told("Decided", decided.collect()),
        told("Runs", read(bus, ChannelName::ExperimentResults, since, |found| Some(result(found))).await?),
        told("Ordered", read(bus, ChannelName::Audit, since, ordered).await?),
        told("Approvals", approvals(bus, since).await?),
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

async fn read<M: Body, T>(
    bus: &SharedBus,
    channel: ChannelName,
    since: DateTime<Utc>,
    tell: impl Fn(M) -> Option<T>,
) -> Result<Vec<T>, BusError> {
    let range = Range { from: Bound::Time(since), ..Range::newest(LOOKED_AT) };
    let entries = bus.range(channel, range).await?;
    let believed = entries.iter().filter(|entry| entry.is_believed());
    Ok(believed.filter_map(|entry| M::read(&entry.b).ok().and_then(&tell)).collect())
}

fn result(result: ExperimentResults) -> String {
    match result {
        ExperimentResults::Completed(run) => format!("{} ended well", line(&run.experiment_id, 80)),
        ExperimentResults::Failed(run) => format!("{} failed: {}", line(&run.experiment_id, 80), run.error.line(120)),
    }
}

/// What was ordered, by whom.
fn ordered(audit: Audit) -> Option<String> {
    let Audit::Record(record) = audit;
    let order = record.details.get("order").and_then(serde_json::Value::as_str).unwrap_or_default();
    let why = record.details.get("reason").and_then(serde_json::Value::as_str);
    let why = why.map(|reason| format!(": {}", line(reason, 120))).unwrap_or_default();
    (record.event == "ordered")
        .then(|| format!("{} {} by {}{why}", line(order, 40), line(&record.subject, 80), line(&record.by, 40)))
}

/// What was asked and answered, by title.
async fn approvals(bus: &SharedBus, since: DateTime<Utc>) -> Result<Vec<String>, BusError> {
    let found = read(bus, ChannelName::Approvals, since, Some).await?;
    let mut lines = Vec::new();
    for found in found {
        lines.push(match found {
            Approvals::Created(asked) => format!("{} waits for an answer", line(&asked.title, 120)),
            Approvals::Completed(done) => {
                let record = crate::approvals::Record::load(bus, &done.approval_id).await?;
                let title = record.map_or_else(|| done.approval_id.clone(), |record| record.proposal.title);
                approval(&title, &done)
            }
        });
    }
    Ok(lines)
}

fn approval(title: &str, done: &ApprovalCompleted) -> String {
    let outcome = match done.outcome {
        ApprovalOutcome::Approved => "approved",
        ApprovalOutcome::Denied => "denied",
        ApprovalOutcome::Expired => "expired",
        ApprovalOutcome::Superseded => "superseded",
    };
    let why = done.reason.as_deref().map(|reason| format!(": {}", line(reason, 120))).unwrap_or_default();
    format!("{} - {outcome} by {}{why}", line(title, 120), line(&done.by, 40))
}

fn alert(alert: Alerts) -> Option<String> {
    match alert {
        Alerts::Triggered(alert) => Some(line(&alert.message, 200)),
        Alerts::Acknowledged(_) | Alerts::Resolved(_) => None,
    }
}
