//! The desk: replaying and dropping letters, each in one commit with its mark.
//!
//! Owns how it is done, for the verbs and for the control room. Must never give a message more trust than it had.

use std::sync::Arc;
use std::time::Duration;

use super::mark::{self, Mark, Status};
use super::{original_channel, read};
use crate::bus::sender::commit_patiently;
use crate::bus::{BusError, Commit, Entry, EntryId, Op, Origin, Outcome, Outgoing, SharedBus, entry};
use crate::contracts::body::{can_be_announced, forced_kind};
use crate::contracts::messages::DeadLetter;
use crate::contracts::untrusted::sanitize_line;
use crate::contracts::{ChannelKind, ChannelName, Clock, Envelope, Ids, MessageId, ServiceName, Trust};

/// How long a bus that is away is tried again.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where an operator deals with letters.
#[derive(Clone)]
pub struct Desk {
    /// The bus.
    pub bus: SharedBus,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// New ids.
    pub ids: Arc<Ids>,
    /// Who does it.
    pub by: String,
    /// How long letters are kept.
    pub kept: Duration,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Done {
    /// It was said again.
    Replayed {
        /// On this channel.
        channel: ChannelName,
        /// As this entry.
        entry: Option<EntryId>,
        /// As this message.
        message: MessageId,
        /// Why it may be given up again: it still does not fit its channel.
        unfit: Option<String>,
    },
    /// It is done with.
    Dropped,
    /// Nothing: it was dealt with before.
    Before,
    /// Nothing: it is not there.
    Missing,
    /// Nothing: it cannot be said again, and why.
    Impossible(String),
    /// Nothing, and why: somebody else was faster, or the store refused.
    NotApplied(String),
}

impl Desk {
    /// Says a letter again; one that was dealt with before only where it is wanted `again`.
    ///
    /// # Errors
    /// Where the bus cannot be used.
    pub async fn replay(&self, id: EntryId, entry: Option<&Entry>, mark: &Mark, again: bool) -> Result<Done, BusError> {
        let Some(entry) = entry else { return Ok(Done::Missing) };
        if mark.status != Status::Open && !again {
            return Ok(Done::Before);
        }
        let message = match self.compose(entry) {
            Ok(message) => message,
            Err(reason) => return Ok(Done::Impossible(reason)),
        };
        let (channel, mut message_id) = (message.channel, message.envelope.id);
        let unfit = channel.check(&message.body).err().map(|err| err.to_string());
        let once = if again { message_id.to_string() } else { format!("dead-letter-replay:{id}") };
        let said_as = Some(message_id.to_string());
        let marked = mark::set(id, mark, Status::Replayed, &self.by, self.clock.now(), said_as, self.kept);
        let unit = Commit { once: Some(once), ..Commit::of(vec![Op::Append(message), marked]) };
        match commit_patiently(&self.bus, unit, PATIENCE).await? {
            Outcome::Committed(entries) | Outcome::Duplicate(entries) => {
                let said = entries.first().copied();
                tracing::info!(letter = %id, %channel, by = self.by, "a dead letter was replayed");
                if let Some(entry) = said {
                    self.add_entry(id, entry).await;
                    // Where somebody else was faster, it is theirs.
                    if let Some(stored) = entry::find(&self.bus, channel, entry).await? {
                        message_id = stored.message().map_or(message_id, |message| message.envelope.id);
                    }
                }
                Ok(Done::Replayed { channel, entry: said, message: message_id, unfit })
            }
            outcome => Ok(not_applied(outcome)),
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
        let letter: DeadLetter = read(entry).map_err(|err| format!("it is no dead letter: {err}"))?;
        let channel = original_channel(&letter)
            .filter(|channel| channel.route().kind == ChannelKind::Work)
            .ok_or_else(|| format!("there is no work channel `{}`", sanitize_line(&letter.channel, 60)))?;
        if let Some(cut) = &letter.body_cut {
            return Err(format!("only the beginning of its {} bytes is kept", cut.bytes));
        }
        let original = serde_json::from_str::<Envelope>(&letter.original_envelope).ok();
        // Words do not become more trustworthy by being said again; what nobody vouched for came from outside.
        let trust = original.as_ref().map_or(Trust::External, |envelope| envelope.trust.and(Trust::Operator));
        let mut origin = Origin::new(Arc::clone(&self.clock), Arc::clone(&self.ids), trust);
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
        if channel.is_the_teams_own() {
            // There the operator's word is none: it is said again in the name of whoever of the team said it, or not at all.
            let ours = original.as_ref().filter(|it| entry.is_believed() && channel.believes(&it.source));
            let source = ours.map(|original| original.source.clone());
            envelope.source =
                source.ok_or_else(|| format!("only the team speaks on {channel}, and it was not the team's"))?;
        }
        if let Some(original) = original {
            envelope.v = original.v;
            envelope.subject = original.subject;
            envelope.priority = original.priority;
        }
        let announce = can_be_announced(&body);
        let message = Outgoing::new(channel, envelope, body).map_err(|err| err.to_string())?;
        Ok(Outgoing { announce, ..message })
    }

    /// Marks a letter as done with. It stays in the history.
    ///
    /// # Errors
    /// Where the bus cannot be used.
    pub async fn drop_letter(&self, id: EntryId, is_there: bool, mark: &Mark) -> Result<Done, BusError> {
        if !is_there {
            return Ok(Done::Missing);
        }
        if mark.status != Status::Open {
            return Ok(Done::Before);
        }
        let now = self.clock.now();
        let op = mark::set(id, mark, Status::Dropped, &self.by, now, None, self.kept);
        let unit = Commit { once: Some(self.ids.message(now).to_string()), ..Commit::of(vec![op]) };
        match commit_patiently(&self.bus, unit, PATIENCE).await? {
            Outcome::Committed(_) | Outcome::Duplicate(_) => {
                tracing::info!(letter = %id, by = self.by, "a dead letter was dropped");
                Ok(Done::Dropped)
            }
            outcome => Ok(not_applied(outcome)),
        }
    }
}

fn not_applied(outcome: Outcome) -> Done {
    Done::NotApplied(match outcome {
        Outcome::Conflict { .. } => "somebody else was faster; look at it again".to_owned(),
        Outcome::Refused(refusal) => refusal.to_string(),
        other => format!("{other:?}"),
    })
}
