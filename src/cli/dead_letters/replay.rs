//! Replaying and dropping letters: each one in one commit with its mark.

use std::time::Duration;

use serde_json::{Value, json};

use super::Context;
use super::mark::{self, Mark, Status};
use crate::bus::sender::commit_patiently;
use crate::bus::{Commit, Entry, EntryId, Op, Origin, Outcome, Outgoing, SharedBus, letters};
use crate::cli::publish::{can_be_announced, forced_kind};
use crate::contracts::messages::DeadLetter;
use crate::contracts::untrusted::sanitize_line;
use crate::contracts::{ChannelKind, Envelope, ServiceName, Trust};

/// How long a bus that is away is tried again.
const PATIENCE: Duration = Duration::from_secs(5);

/// Says letters again.
pub(super) struct Replayer<'a> {
    pub(super) cx: &'a Context,
    pub(super) bus: &'a SharedBus,
    /// Who does it.
    pub(super) by: &'a str,
    /// Also what was replayed or dropped already.
    pub(super) again: bool,
}

impl Replayer<'_> {
    /// Says a letter again, and tells what came of it. False where it could not be.
    pub(super) async fn replay(&self, id: EntryId, entry: Option<Entry>, mark: Mark) -> color_eyre::Result<bool> {
        let Some(entry) = entry else { return missing(self.cx, id) };
        if mark.status != Status::Open && !self.again {
            let told = format!("nothing done: it was {}; `--again` says it again", mark.told());
            return report(self.cx, id, true, "unchanged", &told, json!({ "mark": mark }));
        }
        let message = match self.compose(&entry) {
            Ok(message) => message,
            Err(reason) => {
                return report(
                    self.cx,
                    id,
                    false,
                    "failed",
                    &format!("not replayed: {reason}"),
                    json!({ "reason": reason }),
                );
            }
        };
        let (channel, mut message_id) = (message.channel, message.envelope.id);
        if let Err(err) = channel.check(&message.body) {
            self.cx.out.remark(&format!("note: {id} still does not fit {channel}, and may be given up again: {err}"));
        }
        let once = if self.again { message_id.to_string() } else { format!("dead-letter-replay:{id}") };
        let kept = self.cx.config.retention.age;
        let marked =
            mark::set(id, &mark, Status::Replayed, self.by, self.cx.clock.now(), Some(message_id.to_string()), kept);
        let unit = Commit { once: Some(once), ..Commit::of(vec![Op::Append(message), marked]) };
        match commit_patiently(self.bus, unit, PATIENCE).await? {
            Outcome::Committed(entries) | Outcome::Duplicate(entries) => {
                let said = entries.first().copied();
                tracing::info!(letter = %id, %channel, by = self.by, "a dead letter was replayed");
                if let Some(entry) = said {
                    self.add_entry(id, entry).await;
                    // Where somebody else was faster, it is theirs.
                    if let Some(stored) = crate::cli::entry(self.bus, channel, entry).await? {
                        message_id = stored.message().map_or(message_id, |message| message.envelope.id);
                    }
                }
                let place = said.map(|entry| entry.to_string()).unwrap_or_default();
                let told = format!("replayed on {channel} as {place}");
                let details = json!({ "channel": channel, "entry": said, "message": message_id });
                report(self.cx, id, true, "replayed", &told, details)
            }
            outcome => not_applied(self.cx, id, outcome),
        }
    }

    /// Completes the mark. It says enough without, so a failure is no failure of the replay.
    async fn add_entry(&self, letter: EntryId, entry: EntryId) {
        if let Err(err) = self.bus.commit(vec![Commit::of(vec![mark::add_entry(letter, entry)])]).await {
            tracing::warn!(%letter, %entry, %err, "the mark of a dead letter lacks the entry of its replay");
        }
    }

    /// The original body in a new envelope, caused by the letter.
    fn compose(&self, entry: &Entry) -> Result<Outgoing, String> {
        let letter: DeadLetter = letters::read(entry).map_err(|err| format!("it is no dead letter: {err}"))?;
        let channel = letters::original_channel(&letter)
            .filter(|channel| channel.route().kind == ChannelKind::Work)
            .ok_or_else(|| format!("there is no work channel `{}`", sanitize_line(&letter.channel, 60)))?;
        if let Some(cut) = &letter.body_cut {
            return Err(format!("only the beginning of its {} bytes is kept", cut.bytes));
        }
        let original = serde_json::from_str::<Envelope>(&letter.original_envelope).ok();
        // Words do not become more trustworthy by being said again; what nobody vouched for came from outside.
        let trust = original.as_ref().map_or(Trust::External, |envelope| envelope.trust.and(Trust::Operator));
        let mut origin = Origin::new(self.cx.clock.clone(), self.cx.ids.clone(), trust);
        if let Ok(message) = entry.message() {
            origin = origin.caused_by(&message.envelope);
        }
        let body = letter.original_body;
        let kind = match (&original, channel.check(&body)) {
            (_, Ok(kind)) => kind.to_owned(),
            (Some(envelope), Err(_)) => envelope.kind.to_string(),
            (None, Err(_)) => forced_kind(channel, &body),
        };
        let mut envelope = origin.envelope(kind, ServiceName::ControlRoom.as_str());
        if let Some(original) = original {
            envelope.v = original.v;
            envelope.subject = original.subject;
            envelope.priority = original.priority;
        }
        let announce = can_be_announced(&body);
        let message = Outgoing::new(channel, envelope, body).map_err(|err| err.to_string())?;
        Ok(Outgoing { announce, ..message })
    }
}

/// Marks a letter as dropped, and tells what came of it. False where it could not be.
pub(super) async fn drop_letter(
    id: EntryId,
    is_there: bool,
    mark: Mark,
    by: &str,
    cx: &Context,
    bus: &SharedBus,
) -> color_eyre::Result<bool> {
    if !is_there {
        return missing(cx, id);
    }
    if mark.status != Status::Open {
        let told = format!("nothing done: it was {}", mark.told());
        return report(cx, id, true, "unchanged", &told, json!({ "mark": mark }));
    }
    let now = cx.clock.now();
    let op = mark::set(id, &mark, Status::Dropped, by, now, None, cx.config.retention.age);
    let unit = Commit { once: Some(cx.ids.message(now).to_string()), ..Commit::of(vec![op]) };
    match commit_patiently(bus, unit, PATIENCE).await? {
        Outcome::Committed(_) | Outcome::Duplicate(_) => {
            tracing::info!(letter = %id, by, "a dead letter was dropped");
            report(cx, id, true, "dropped", "dropped; `list --all` still shows it", json!({}))
        }
        outcome => not_applied(cx, id, outcome),
    }
}

fn missing(cx: &Context, id: EntryId) -> color_eyre::Result<bool> {
    let reason = "there is no such dead letter; `fullsend dead-letters list` shows them";
    report(cx, id, false, "failed", reason, json!({ "reason": reason }))
}

fn not_applied(cx: &Context, id: EntryId, outcome: Outcome) -> color_eyre::Result<bool> {
    let reason = match outcome {
        Outcome::Conflict { .. } => "somebody else was faster; look at it again".to_owned(),
        Outcome::Refused(refusal) => refusal.to_string(),
        other => format!("{other:?}"),
    };
    report(cx, id, false, "failed", &format!("nothing done: {reason}"), json!({ "reason": reason }))
}

/// One line a letter: failures are remarks for people, and results for programs.
fn report(
    cx: &Context,
    id: EntryId,
    well: bool,
    outcome: &str,
    told: &str,
    details: Value,
) -> color_eyre::Result<bool> {
    if cx.out.is_json() {
        let mut line = json!({ "id": id, "outcome": outcome });
        if let (Value::Object(line), Value::Object(details)) = (&mut line, details) {
            line.extend(details);
        }
        cx.out.json(&line)?;
    } else if well {
        cx.out.text(&format!("{id}  {told}"))?;
    } else {
        cx.out.remark(&format!("error: {id}: {told}"));
    }
    Ok(well)
}
