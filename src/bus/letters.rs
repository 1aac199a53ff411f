//! Dead letters and the bus's own alerts, as effects.
//!
//! Owns how a message that cannot be handled is kept: whole, with the reason, and never in silence.

use super::commit::{Op, Outgoing};
use super::effects::Origin;
use super::entry::Entry;
use crate::contracts::channel::grants;
use crate::contracts::messages::{AlertTriggered, DeadLetter, DeadLetterCode, Severity};
use crate::contracts::untrusted::sanitize_line;
use crate::contracts::wiring::{ALERTS, DEAD_LETTER};
use crate::contracts::{Body, ChannelName, Envelope, Grant, Trust};

/// Most characters of a reason: it may quote what was sent.
const REASON_LIMIT: usize = 2_000;

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

/// The dead letter and its alert.
pub fn dead(origin: &Origin, letter: &Letter<'_>) -> Vec<Op> {
    // It quotes the message, so it can be trusted no more than that; one without an envelope can be from anybody.
    let origin =
        letter.envelope.map_or_else(|| origin.trusting(Trust::External), |envelope| origin.caused_by(envelope));
    let reason = sanitize_line(&letter.reason, REASON_LIMIT);
    let channel = letter.entry.channel;
    let body = DeadLetter {
        channel: channel.as_str().to_owned(),
        entry: letter.entry.id.to_string(),
        group: letter.group.map(str::to_owned),
        reason: reason.clone(),
        code: letter.code,
        attempts: letter.attempts,
        original_envelope: letter.entry.e.clone(),
        original_body: letter.entry.b.clone(),
    };
    let envelope = origin.envelope(DEAD_LETTER_TYPE, grants::Bus::SERVICE.as_str());
    // A dead letter holds the original whole, so it alone may exceed the limit of a body.
    let body = serde_json::to_string(&crate::contracts::messages::DeadLetters::DeadLetter(body)).unwrap_or_default();
    let kept = Op::Append(Outgoing { channel: DEAD_LETTER.name, envelope, body, announce: true });
    let message = format!(
        "{} of {channel} was given up after {} attempts: {}",
        letter.envelope.map_or("a message", |envelope| envelope.kind.as_ref()),
        letter.attempts,
        reason
    );
    let alert_id = format!("dead-letter:{}:{}", letter.group.unwrap_or("bus"), channel.short());
    let fix = "see `fullsend dead-letters list`; when the cause is gone, `fullsend dead-letters replay`";
    let mut ops = vec![kept];
    ops.extend(alert(&origin, alert_id, Severity::Warning, &message, fix));
    ops
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
