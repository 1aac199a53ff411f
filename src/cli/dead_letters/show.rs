//! Letters, for people and as JSON.

use std::fmt::Write as _;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::{Context, OK, PAGE};
use crate::bus::letters::mark::{Mark, Marks, Status};
use crate::bus::{Bound, Entry, Range, SharedBus, letters};
use crate::contracts::ChannelName;
use crate::contracts::envelope::rfc3339;
use crate::contracts::messages::Cut;
use crate::contracts::untrusted::{sanitize, sanitize_line};

/// Characters of a reason in the list.
const REASON_LIMIT: usize = 120;
/// Characters of a name.
const NAME_LIMIT: usize = 60;

/// The newest letters, the newest first.
pub(super) async fn list(
    all: bool,
    limit: usize,
    marks: &Marks,
    cx: &Context,
    bus: &SharedBus,
) -> color_eyre::Result<ExitCode> {
    let mut found = Vec::new();
    let mut more = false;
    let mut range = Range::newest(PAGE);
    'pages: loop {
        let page = bus.range(ChannelName::DeadLetter, range).await?;
        let Some(last) = page.last() else { break };
        range.to = Bound::Entry(last.id);
        for entry in page {
            let mark = marks.of(bus, entry.id).await?;
            if !all && mark.status != Status::Open {
                continue;
            }
            if found.len() == limit {
                more = true;
                break 'pages;
            }
            found.push((entry, mark));
        }
    }
    if cx.out.is_json() {
        let letters: Vec<Value> = found.iter().map(|(entry, mark)| as_json(entry, mark)).collect();
        cx.out.json(&letters)?;
    } else if found.is_empty() {
        cx.out.remark(if all {
            "there are no dead letters"
        } else {
            "there are no dead letters that nothing was done about"
        });
    } else {
        let heads = ["ID", "TIME", "STATE", "CHANNEL", "TYPE", "GROUP", "CODE", "ATTEMPTS", "REASON"];
        let rows: Vec<_> = found.iter().map(|(entry, mark)| row(entry, mark)).collect();
        cx.out.table(heads, &rows)?;
    }
    if more {
        cx.out.remark(&format!("there are more than these {limit}; `--limit N` shows them"));
    }
    Ok(OK)
}

fn row(entry: &Entry, mark: &Mark) -> [String; 9] {
    let name = |text: &str| sanitize_line(text, NAME_LIMIT);
    let at = rfc3339(entry.id.at());
    let state = mark.status.as_str().to_owned();
    match letters::read(entry) {
        Ok(letter) => [
            entry.id.to_string(),
            at,
            state,
            name(&letter.channel),
            letter.original_type().map_or_else(|| "-".to_owned(), |kind| name(&kind)),
            letter.group.as_deref().map_or_else(|| "-".to_owned(), name),
            letter.code.as_str().to_owned(),
            letter.attempts.to_string(),
            sanitize_line(&letter.reason, REASON_LIMIT),
        ],
        Err(err) => {
            let none = || "-".to_owned();
            let reason = sanitize_line(&format!("no dead letter: {err}"), REASON_LIMIT);
            [entry.id.to_string(), at, state, none(), none(), none(), none(), none(), reason]
        }
    }
}

fn as_json(entry: &Entry, mark: &Mark) -> Value {
    let envelope: Value = serde_json::from_str(&entry.e).unwrap_or_else(|_| json!(entry.e));
    let at = rfc3339(entry.id.at());
    match letters::read(entry) {
        Ok(letter) => {
            let kind = letter.original_type();
            json!({ "id": entry.id, "at": at, "mark": mark, "type": kind, "letter": letter, "envelope": envelope })
        }
        Err(err) => {
            json!({ "id": entry.id, "at": at, "mark": mark, "malformed": err.to_string(), "body": entry.b, "envelope": envelope })
        }
    }
}

/// One letter with everything that is known of it.
pub(super) fn one(entry: &Entry, mark: &Mark, cx: &Context) -> color_eyre::Result<()> {
    if cx.out.is_json() {
        return cx.out.json(&as_json(entry, mark));
    }
    let mut text = format!("dead letter {}\n", entry.id);
    // Writing to a string cannot fail.
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "  {name:<9} {}", sanitize_line(value, usize::MAX));
    };
    line("time", &rfc3339(entry.id.at()));
    line("state", &mark.told());
    if let Ok(message) = entry.message() {
        line("trace", &message.envelope.trace.to_string());
    }
    match letters::read(entry) {
        Ok(letter) => {
            line("channel", &letter.channel);
            line("entry", &letter.entry);
            line("group", letter.group.as_deref().unwrap_or("-"));
            line("code", letter.code.as_str());
            line("attempts", &letter.attempts.to_string());
            line("reason", &letter.reason);
            section(&mut text, &heading("original envelope", letter.envelope_cut.as_ref()), &letter.original_envelope);
            section(&mut text, &heading("original body", letter.body_cut.as_ref()), &letter.original_body);
        }
        Err(err) => {
            line("malformed", &err.to_string());
            section(&mut text, "envelope", &entry.e);
            section(&mut text, "body", &entry.b);
        }
    }
    cx.out.text(&text)
}

/// The name of a text, and what the whole is where only its beginning is kept.
fn heading(name: &str, cut: Option<&Cut>) -> String {
    match cut {
        None => name.to_owned(),
        Some(Cut { bytes, sha256 }) => {
            let sha256 = sanitize_line(sha256, NAME_LIMIT + 4);
            format!("{name}: the beginning of {bytes} bytes with the SHA-256 {sha256}")
        }
    }
}

/// A text below its heading: JSON laid out, anything else as it is, harmless in any case.
fn section(text: &mut String, heading: &str, content: &str) {
    let laid_out = serde_json::from_str::<Value>(content).and_then(|value| serde_json::to_string_pretty(&value));
    let content = sanitize(laid_out.as_deref().unwrap_or(content), usize::MAX);
    let _ = writeln!(text, "\n{heading}");
    for line in content.lines() {
        let _ = writeln!(text, "  {line}");
    }
    if content.is_empty() {
        let _ = writeln!(text, "  (empty)");
    }
}
