//! Dead letters and the bus's own alerts, as effects.
//!
//! Owns how a message that cannot be handled is kept: as far as it can be carried, with the reason, and never in silence. A
//! flood of them is one alert, which says how many more there were.

pub mod desk;
pub mod mark;

use std::collections::HashMap;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::commit::{Op, Outgoing};
use super::effects::Origin;
use super::entry::Entry;
use crate::contracts::body::BODY_LIMIT;
use crate::contracts::channel::grants;
use crate::contracts::messages::{AlertTriggered, Cut, DeadLetter, DeadLetterCode, Severity};
use crate::contracts::untrusted::sanitize_line;
use crate::contracts::wiring::{ALERTS, DEAD_LETTER};
use crate::contracts::{Body, ChannelName, Envelope, Grant, Trust};

/// Most characters of a reason: it may quote what was sent.
const REASON_LIMIT: usize = 2_000;
/// Characters of a type that somebody else wrote.
const NAME_LIMIT: usize = 60;
/// Letters of one cause ring at most this often.
const RING_EVERY: Duration = Duration::from_mins(1);

/// A message that is given up, and why.
#[derive(Debug)]
pub struct Letter<'a> {
    /// The message as it is stored.
    pub entry: &'a Entry,
    /// Its envelope, where it can be read: the dead letter belongs to its chain.
    pub envelope: Option<&'a Envelope>,
    /// Who gives it up.
    pub group: Option<&'a str>,
    /// How many times a handler was started on it.
    pub attempts: u32,
    /// Why, to match on.
    pub code: DeadLetterCode,
    /// Why, in words.
    pub reason: String,
}

/// When each alert of dead letters last rang, and how many letters came since: one alert a minute for each group, channel and
/// code, whatever comes.
#[derive(Debug, Default)]
pub struct Bell {
    rung: HashMap<String, (Duration, u64)>,
}

impl Bell {
    /// Whether the alert rings for one more letter at `now`; if so, how many letters it has not rung for since the last time.
    fn ring(&mut self, alert_id: &str, now: Duration) -> Option<u64> {
        match self.rung.get_mut(alert_id) {
            Some((last, silent)) if now < *last + RING_EVERY => {
                *silent += 1;
                None
            }
            Some(rung) => Some(std::mem::replace(rung, (now, 0)).1),
            None => {
                self.rung.insert(alert_id.to_owned(), (now, 0));
                Some(0)
            }
        }
    }
}

/// The dead letter, followed by its alert if `bell` rings for it at the monotonic time `now`.
pub fn dead(origin: &Origin, letter: &Letter<'_>, bell: &mut Bell, now: Duration) -> Vec<Op> {
    // It quotes the message, so it can be trusted no more than that; one without an envelope can be from anybody.
    let origin =
        letter.envelope.map_or_else(|| origin.trusting(Trust::External), |envelope| origin.caused_by(envelope));
    let reason = sanitize_line(&letter.reason, REASON_LIMIT);
    let channel = letter.entry.channel;
    let (original_envelope, envelope_cut) = kept(&letter.entry.e);
    // What is no message is worth all that came with it; a message is replayed by its body.
    let (original_body, body_cut) = match &letter.entry.fields {
        Some(fields) if letter.code == DeadLetterCode::Malformed => kept(fields),
        _ => kept(&letter.entry.b),
    };
    let letter_body = DeadLetter {
        channel: channel.as_str().to_owned(),
        entry: letter.entry.id.to_string(),
        group: letter.group.map(str::to_owned),
        reason: reason.clone(),
        code: letter.code,
        attempts: letter.attempts,
        original_envelope,
        original_body,
        envelope_cut,
        body_cut,
    };
    let kind =
        letter_body.original_type().map_or_else(|| "a message".to_owned(), |kind| sanitize_line(&kind, NAME_LIMIT));
    let envelope = origin.envelope(DEAD_LETTER_TYPE, grants::Bus::SERVICE.as_str());
    // A dead letter quotes the original, so it alone may exceed the limit of a body.
    let body =
        serde_json::to_string(&crate::contracts::messages::DeadLetters::DeadLetter(letter_body)).unwrap_or_default();
    let mut ops = vec![Op::Append(Outgoing { channel: DEAD_LETTER.name, envelope, body, announce: true })];
    let alert_id =
        format!("dead-letter:{}:{}:{}", letter.group.unwrap_or("bus"), channel.short(), letter.code.as_str());
    if let Some(silent) = bell.ring(&alert_id, now) {
        let more = if silent == 0 { String::new() } else { format!(", and {silent} more since this was last said") };
        let after = match letter.attempts {
            0 => "untried".to_owned(),
            1 => "after an attempt".to_owned(),
            attempts => format!("after {attempts} attempts"),
        };
        let message = format!("{kind} of {channel} was given up {after}{more}: {reason}");
        let fix = "see `fullsend dead-letters list`; when the cause is gone, `fullsend dead-letters replay`";
        ops.extend(alert(&origin, alert_id, Severity::Warning, &message, fix));
    }
    ops
}

/// As much of a text as a body may have, and what the whole is where that is not all.
fn kept(text: &str) -> (String, Option<Cut>) {
    if text.len() <= BODY_LIMIT {
        return (text.to_owned(), None);
    }
    let cut = Cut { bytes: text.len() as u64, sha256: format!("{:x}", Sha256::digest(text)) };
    (text[..text.floor_char_boundary(BODY_LIMIT)].to_owned(), Some(cut))
}

const DEAD_LETTER_TYPE: &str = "dead_letter";

/// An alert of the bus's.
pub fn alert(origin: &Origin, alert_id: String, severity: Severity, message: &str, fix: &str) -> Vec<Op> {
    let body = AlertTriggered {
        alert_id,
        severity,
        message: message.chars().take(2_000).collect(),
        fix: Some(fix.to_owned()),
        experiment_id: None,
        criterion: None,
        metric: None,
        value: None,
        threshold: None,
    };
    let body: crate::contracts::messages::Alerts = body.into();
    match origin.compose::<grants::Bus, _>(ALERTS, body) {
        Ok(message) => vec![Op::Append(message)],
        Err(err) => {
            tracing::error!(%err, "an alert could not be composed");
            Vec::new()
        }
    }
}

/// What `fullsend dead-letters replay` says again: the original body on its channel.
pub fn original_channel(letter: &DeadLetter) -> Option<ChannelName> {
    letter.channel.parse().ok()
}

/// Reads a dead letter from its entry.
///
/// # Errors
/// Where the entry is none.
pub fn read(entry: &Entry) -> Result<DeadLetter, crate::contracts::ShapeError> {
    let crate::contracts::messages::DeadLetters::DeadLetter(letter) = Body::read(&entry.b)?;
    Ok(letter)
}
