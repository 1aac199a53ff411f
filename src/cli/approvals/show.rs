//! Approvals, for people and as JSON.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::{Context, NAME_LIMIT, all_ids};
use crate::approvals::{ApprovalState, Difference, Record, differences, record};
use crate::bus::SharedBus;
use crate::cli::output::OK;
use crate::config::duration;
use crate::contracts::envelope::rfc3339;
use crate::contracts::messages::{Intent, RiskClass};
use crate::contracts::untrusted::{sanitize, sanitize_line};
use crate::memory;

/// Characters of a title in the list.
const TITLE_LIMIT: usize = 70;
/// Characters of a line.
const LINE_LIMIT: usize = 400;

/// What waits, the first deadline first; with `all` also what was answered, the newest first after those.
pub(super) async fn list(all: bool, cx: &Context, bus: &SharedBus) -> color_eyre::Result<ExitCode> {
    let ids = if all { all_ids(bus).await? } else { record::pending(bus).await? };
    let mut records = Vec::new();
    for id in ids {
        records.extend(Record::load(bus, &id).await?);
    }
    records.sort_by_key(|it| {
        let decided = it.decided_at.map_or(0, |at| -at.timestamp_millis());
        (it.state != ApprovalState::Pending, decided, it.expires_at, it.proposal.approval_id.clone())
    });
    let mut rows = Vec::new();
    let mut values = Vec::new();
    for record in &records {
        let changed = stale(record, bus).await?;
        rows.push(row(record, &changed, cx.clock.now()));
        values.push(json!({ "approval": record, "changed_since": changed }));
    }
    if cx.out.is_json() {
        cx.out.json(&values)?;
    } else if rows.is_empty() {
        cx.out.remark(if all { "there are no approvals" } else { "nothing waits for a yes" });
    } else {
        cx.out.table(["ID", "STATE", "CLASS", "TRUST", "FROM", "LEFT", "WHAT", "CHANGED SINCE"], &rows)?;
    }
    Ok(OK)
}

/// What goes without asking because somebody said so.
pub(super) async fn rules(cx: &Context, bus: &SharedBus) -> color_eyre::Result<ExitCode> {
    let rules = crate::approvals::policy::rules(bus).await?;
    if cx.out.is_json() {
        cx.out.json(&rules)?;
        return Ok(OK);
    }
    if rules.is_empty() {
        cx.out.remark("there are no rules; `fullsend approvals approve ID --always` makes one");
        return Ok(OK);
    }
    let rows: Vec<[String; 7]> = rules
        .iter()
        .map(|rule| {
            let until = rule.until.map_or_else(|| "-".to_owned(), rfc3339);
            let per_day = rule.per_day.map_or_else(|| "-".to_owned(), |count| count.to_string());
            let trust = serde_json::to_value(rule.trust).ok().and_then(|trust| trust.as_str().map(str::to_owned));
            [
                rule.id.clone(),
                sanitize_line(&rule.kind, TITLE_LIMIT),
                u8::from(rule.class).to_string(),
                trust.unwrap_or_default(),
                per_day,
                until,
                sanitize_line(&rule.created_by, NAME_LIMIT),
            ]
        })
        .collect();
    cx.out.table(["RULE", "WHAT", "UP TO CLASS", "FROM TRUST", "A DAY", "UNTIL", "BY"], &rows)?;
    Ok(OK)
}

/// What a proposal that waits rested on, and is no longer so.
async fn stale(record: &Record, bus: &SharedBus) -> color_eyre::Result<Vec<Difference>> {
    Ok(match record.state {
        ApprovalState::Pending => differences(bus, &record.proposal.facts).await?,
        _ => Vec::new(),
    })
}

fn word(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

/// How long until then, in words; `over` where it has passed.
fn left(until: Option<DateTime<Utc>>, now: DateTime<Utc>) -> String {
    let Some(until) = until else { return "-".to_owned() };
    match (until - now).to_std() {
        Ok(left) if left >= Duration::from_mins(1) => duration::show(Duration::from_mins(left.as_secs() / 60)),
        Ok(left) => duration::show(Duration::from_secs(left.as_secs())),
        Err(_) => "over".to_owned(),
    }
}

fn row(record: &Record, changed: &[Difference], now: DateTime<Utc>) -> [String; 8] {
    let waits = record.state == ApprovalState::Pending;
    let fields: Vec<_> = changed.iter().map(|it| sanitize_line(&place(it), NAME_LIMIT)).collect();
    [
        sanitize_line(&record.proposal.approval_id, NAME_LIMIT),
        record.state.to_string(),
        u8::from(record.proposal.class).to_string(),
        word(&record.trust),
        sanitize_line(&record.proposal.proposer, NAME_LIMIT),
        if waits { left(record.expires_at, now) } else { "-".to_owned() },
        sanitize_line(&record.proposal.title, TITLE_LIMIT),
        if fields.is_empty() { "-".to_owned() } else { fields.join(", ") },
    ]
}

fn place(difference: &Difference) -> String {
    match &difference.field {
        Some(field) => format!("{} {field}", difference.key),
        None => difference.key.clone(),
    }
}

fn shown(value: Option<&String>) -> String {
    value.map_or_else(|| "nothing".to_owned(), |text| format!("`{}`", sanitize_line(text, 120)))
}

/// One approval with everything that a person should know before he answers.
pub(super) async fn one(record: &Record, cx: &Context, bus: &SharedBus) -> color_eyre::Result<ExitCode> {
    let changed = stale(record, bus).await?;
    let notes = note_diffs(record, cx.clock.now(), bus).await?;
    if cx.out.is_json() {
        cx.out.json(&json!({ "approval": record, "changed_since": changed, "notes": notes }))?;
    } else {
        cx.out.text(&described(record, &changed, &notes, cx.clock.now()))?;
    }
    Ok(OK)
}

/// In full, harmless.
pub(super) fn described(record: &Record, changed: &[Difference], notes: &[Value], now: DateTime<Utc>) -> String {
    let proposal = &record.proposal;
    let mut text = format!("approval {}\n", sanitize_line(&proposal.approval_id, NAME_LIMIT));
    // Writing to a string cannot fail.
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "  {name:<9} {}", sanitize_line(value, LINE_LIMIT));
    };
    line("what", &proposal.title);
    line("why", &proposal.reason);
    line("from", &proposal.proposer);
    line("class", &format!("{} ({})", u8::from(proposal.class), harm(proposal.class)));
    line("trust", &word(&record.trust));
    line("state", &told(record));
    if let Some(why) = &record.asked_because {
        line("asked", &format!("{why}, at {}", rfc3339(record.created_at)));
    }
    if let Some(cost) = proposal.cost_usd {
        line("cost", &format!("at most ${cost:.2}"));
    }
    if record.state == ApprovalState::Pending {
        let at = record.expires_at.map(rfc3339).unwrap_or_default();
        line("deadline", &format!("{at} ({} left); without an answer it is denied", left(record.expires_at, now)));
    }
    line("trace", &record.envelope.trace.to_string());
    line("digest", &proposal.digest);
    for (name, value) in &proposal.details {
        match value {
            Value::String(words) => line("detail", &format!("{name}: {words}")),
            Value::Array(items) if name == "mails" => items.iter().for_each(|mail| line("mail", &a_mail(mail))),
            Value::Array(items) if name == "follow_ups" => {
                for mail in items {
                    line("follow-up", &a_mail(mail));
                }
            }
            Value::Array(items) => items.iter().for_each(|item| {
                line("detail", &format!("{name}: {}", item.as_str().map_or_else(|| item.to_string(), str::to_owned)));
            }),
            other => line("detail", &format!("{name}: {other}")),
        }
    }
    for difference in &record.changed {
        let (was, is) = (shown(difference.was.as_ref()), shown(difference.now.as_ref()));
        line("new", &format!("{}: was {was} when it was first asked, is {is}", place(difference)));
    }
    for difference in changed {
        let (was, is) = (shown(difference.was.as_ref()), shown(difference.now.as_ref()));
        line("CHANGED", &format!("{}: was {was}, is {is} now; a yes asks again", place(difference)));
    }
    for fact in &proposal.facts {
        let field = fact.field.as_deref().unwrap_or("(all)");
        line("rests on", &format!("{} {field} is {}", fact.key, shown(fact.was.as_ref())));
    }
    text.push_str("on a yes, in this order:\n");
    for intent in &proposal.intents {
        let json = serde_json::to_string_pretty(intent).unwrap_or_default();
        for part in json.lines() {
            let _ = writeln!(text, "  {}", sanitize_line(part, usize::MAX));
        }
    }
    for note in notes {
        let name = note["note"].as_str().unwrap_or_default();
        let diff = note["diff"].as_str().or_else(|| note["problem"].as_str()).unwrap_or_default();
        let _ = writeln!(text, "the note {name} changes:");
        for part in sanitize(diff, usize::MAX).lines() {
            let _ = writeln!(text, "  {part}");
        }
    }
    text
}

/// A mail as it would go out.
fn a_mail(mail: &Value) -> String {
    let of = |field: &str| mail.get(field).and_then(Value::as_str).unwrap_or_default();
    let example = if of("example").is_empty() { String::new() } else { format!(" ({})", of("example")) };
    let when = if of("when").is_empty() { String::new() } else { format!(", {}", of("when")) };
    format!("to {}{when}{example}: {} | {}", of("to"), of("subject"), of("text").replace('\n', " ⏎ "))
}

fn harm(class: RiskClass) -> &'static str {
    match class {
        RiskClass::Harmless => "nothing is done",
        RiskClass::Internal => "internal, can be undone",
        RiskClass::Reversible => "starts work, no contact outside",
        RiskClass::Outward => "outward: people, money, network or secrets",
    }
}

fn told(record: &Record) -> String {
    let mut told = record.state.to_string();
    for (word, part) in [(" by ", &record.by), (" on ", &record.surface), (": ", &record.reason)] {
        if let Some(part) = part {
            told.push_str(word);
            told.push_str(part);
        }
    }
    if let Some(next) = &record.superseded_by {
        told.push_str("; now ");
        told.push_str(next);
    }
    told
}

/// How the notes would change, as things stand now.
async fn note_diffs(record: &Record, now: DateTime<Utc>, bus: &SharedBus) -> color_eyre::Result<Vec<Value>> {
    let mut diffs = Vec::new();
    for intent in &record.proposal.intents {
        let Intent::Note { name, change } = intent else { continue };
        let state = memory::NoteState::read_for(bus, *name, change).await?;
        diffs.push(match memory::apply(change, &state, now) {
            Ok(edit) => {
                let diff = similar::TextDiff::from_lines(state.text.as_str(), edit.text());
                json!({ "note": name, "diff": diff.unified_diff().context_radius(2).to_string() })
            }
            Err(err) => json!({ "note": name, "problem": err.to_string() }),
        });
    }
    Ok(diffs)
}
