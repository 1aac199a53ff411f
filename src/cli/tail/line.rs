//! One message as one line, for people or as JSON.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::value::RawValue;
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use super::{Context, Plan};
use crate::bus::filter::{EntryView, Filter};
use crate::bus::{Entry, EntryId, Heard};
use crate::contracts::gist::gist;
use crate::contracts::untrusted::{LINE_LIMIT, sanitize_line};
use crate::contracts::{ChannelName, Envelope, Priority};

/// Columns of the channel, the source and the type; a type is followed by what it is about at once.
const COLUMNS: [usize; 3] = [18, 12, 0];
/// Characters of a name that somebody else chose.
const NAME_LIMIT: usize = 60;
/// Where fewer columns than this are left for the gist, the trace gives way.
const GIST_MIN: usize = 20;

/// A message, or what stands in place of one.
pub(super) struct Shown<'a> {
    channel: ChannelName,
    /// None for a notice, which has no place in a stream.
    entry: Option<EntryId>,
    /// The envelope as it is stored.
    e: Cow<'a, str>,
    envelope: Option<Envelope>,
    body: &'a str,
    /// Why it is no message of its channel.
    malformed: Option<String>,
}

impl<'a> Shown<'a> {
    pub(super) fn stored(entry: &'a Entry) -> Self {
        let (envelope, unread) = match entry.message() {
            Ok(message) => (Some(message.envelope), None),
            Err(err) => (None, Some(err)),
        };
        let malformed = unread.or_else(|| entry.channel.check(&entry.b).err());
        Self {
            channel: entry.channel,
            entry: Some(entry.id),
            e: match &envelope {
                // A bare body: the envelope that its readers give it.
                Some(envelope) if entry.e.is_empty() => Cow::Owned(envelope.to_json()),
                _ => Cow::Borrowed(&entry.e),
            },
            envelope,
            // What is no message is shown with all that came with it.
            body: entry.fields.as_deref().filter(|_| malformed.is_some()).unwrap_or(&entry.b),
            malformed: malformed.map(|err| err.to_string()),
        }
    }

    pub(super) fn heard(heard: &'a Heard) -> Self {
        let malformed = match &heard.envelope {
            Some(_) => heard.channel.check(&heard.body).err().map(|err| err.to_string()),
            None => Some("published without an envelope".to_owned()),
        };
        Self {
            channel: heard.channel,
            entry: None,
            e: Cow::Owned(heard.envelope.as_ref().map(Envelope::to_json).unwrap_or_default()),
            envelope: heard.envelope.clone(),
            body: &heard.body,
            malformed,
        }
    }

    pub(super) fn is_wanted(&self, filter: &Filter) -> bool {
        filter.matches(&EntryView { channel: self.channel, envelope: self.envelope.as_ref(), body: self.body })
    }

    /// When it was said; where nobody knows, when it was stored.
    fn at(&self) -> Option<DateTime<Utc>> {
        self.envelope.as_ref().map(|envelope| envelope.at).or(self.entry.map(EntryId::at))
    }
}

/// Shows it, if it is wanted.
pub(super) fn show(plan: &Plan, cx: &Context, shown: &Shown<'_>) -> color_eyre::Result<()> {
    if !shown.is_wanted(&plan.filter) {
        return Ok(());
    }
    if cx.out.is_json() { cx.out.json(&Line::from(shown)) } else { cx.out.text(&text(plan, cx.clock.now(), shown)) }
}

#[derive(Serialize)]
struct Line<'a> {
    channel: ChannelName,
    entry: Option<EntryId>,
    envelope: Box<RawValue>,
    body: Box<RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    malformed: Option<&'a str>,
}

impl<'a> From<&'a Shown<'_>> for Line<'a> {
    fn from(shown: &'a Shown<'_>) -> Self {
        Self {
            channel: shown.channel,
            entry: shown.entry,
            envelope: raw(&shown.e),
            body: raw(shown.body),
            malformed: shown.malformed.as_deref(),
        }
    }
}

/// JSON as it stands, on one line; anything else as a text, and nothing as null.
fn raw(text: &str) -> Box<RawValue> {
    if text.is_empty() {
        return RawValue::NULL.to_owned();
    }
    // Outside of texts a line break is as good as a space, and inside JSON has none.
    RawValue::from_string(text.replace(['\n', '\r'], " "))
        .or_else(|_| serde_json::value::to_raw_value(text))
        .unwrap_or_else(|_| RawValue::NULL.to_owned())
}

fn text(plan: &Plan, now: DateTime<Utc>, shown: &Shown<'_>) -> String {
    let time = shown.at().map(|at| time(plan, now, at)).unwrap_or_default();
    let envelope = shown.envelope.as_ref();
    let source = envelope.map_or_else(|| "-".to_owned(), |envelope| sanitize_line(&envelope.source, NAME_LIMIT));
    let kind = envelope.map_or_else(|| "-".to_owned(), |envelope| sanitize_line(&envelope.kind, NAME_LIMIT));
    let mut head = time;
    for (cell, width) in [shown.channel.short(), &source, &kind].into_iter().zip(COLUMNS) {
        head.push_str("  ");
        head.push_str(cell);
        head.push_str(&" ".repeat(width.saturating_sub(cell.width())));
    }
    head.push_str("  ");
    match envelope.map(|envelope| envelope.priority) {
        Some(Priority::Low) => head.push_str("[low] "),
        Some(Priority::High) => head.push_str("[high] "),
        Some(Priority::Urgent) => head.push_str("[urgent] "),
        Some(Priority::Medium) | None => {}
    }
    if let Some(reason) = &shown.malformed {
        head.push_str("[malformed: ");
        head.push_str(&sanitize_line(reason, 200));
        head.push_str("] ");
    }
    let gist = gist(shown.body);
    let trace = envelope.map(|envelope| format!("  {}", short(&envelope.trace.to_string()))).unwrap_or_default();
    let Some(width) = plan.width else {
        return format!("{head}{}{trace}", gist.line(usize::MAX)).trim_end().to_owned();
    };
    let left = width.saturating_sub(head.width());
    let (room, trace) = match left.checked_sub(trace.width()) {
        Some(room) if room >= GIST_MIN => (room, trace.as_str()),
        _ => (left, ""),
    };
    // No more characters than columns can be seen.
    let gist = clipped(&gist.line(room.min(LINE_LIMIT) + 1), room);
    clipped(format!("{head}{gist}{trace}").trim_end(), width)
}

/// The end of an id, which differs where the beginning, a time, does not.
fn short(id: &str) -> &str {
    id.len().checked_sub(8).and_then(|at| id.get(at..)).unwrap_or(id)
}

/// The time of day; the date with it on another day.
fn time(plan: &Plan, now: DateTime<Utc>, at: DateTime<Utc>) -> String {
    let (now, at) = (plan.zone.shown(now), plan.zone.shown(at));
    let form = if now.date() == at.date() { "%H:%M:%S" } else { "%Y-%m-%d %H:%M:%S" };
    at.format(form).to_string()
}

/// The text in at most so many columns, cut between characters as people see them.
fn clipped(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut room = columns.saturating_sub(1);
    let mut kept = String::new();
    for grapheme in text.graphemes(true) {
        let width = grapheme.width();
        if width > room {
            break;
        }
        room -= width;
        kept.push_str(grapheme);
    }
    kept.push('…');
    kept
}
