//! One unit: everything that happens because of a message, composed so that several changes of a document are one.
//!
//! Owns reading before writing: a document is changed on the version that it was read at. Must never commit anything itself.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::Who;
use crate::bus::{
    BusError, Document, Draft, Expect, Failure, Key, Op, Origin, Outgoing, SharedBus, State, StateChange,
};
use crate::bus::{Timer, Ttl};
use crate::contracts::channel::grants;
use crate::contracts::envelope::rfc3339;
use crate::contracts::messages::{
    AlertResolved, AlertTriggered, Alerts, Audit, AuditRecord, FromOrchestrator, Severity, StatusUpdate, Words,
};
use crate::contracts::notes::{NoteChange, NoteName, Section};
use crate::contracts::wiring::{ALERTS, AUDIT, FROM_ORCHESTRATOR};
use crate::contracts::{Body, Channel, Envelope, MessageId, Says, ShapeError, keys};
use crate::memory;
use crate::memory::note::{Author, ChangeError};
use crate::telemetry::audit::{Head, link};

/// Characters of a chain's name.
const CHAIN_NAME: usize = 12;

/// A document as it was read, with what is to change of it.
#[derive(Clone)]
struct Planned {
    expect: Expect,
    there: bool,
    document: Document,
    changed: BTreeMap<String, Option<String>>,
}

/// What happens because of one message. A copy, made before something is tried, is what it goes back to.
#[derive(Clone)]
pub(super) struct Unit<'a> {
    bus: &'a SharedBus,
    origin: Origin,
    id: MessageId,
    documents: BTreeMap<String, Planned>,
    /// Changes of notes; the second is whether it may be left out where the note cannot take it.
    notes: Vec<(NoteName, NoteChange, bool)>,
    ops: Vec<Op>,
}

impl<'a> Unit<'a> {
    /// Nothing yet, because of the message `id`; what is said belongs to the chain of `origin`.
    pub(super) fn new(bus: &'a SharedBus, origin: &Origin, id: MessageId) -> Self {
        Self { bus, origin: origin.clone(), id, documents: BTreeMap::new(), notes: Vec::new(), ops: Vec::new() }
    }

    /// The same chain as this message's from now on.
    pub(super) fn caused_by(&mut self, cause: &Envelope) {
        self.origin = self.origin.caused_by(cause);
    }

    /// The message that is being handled.
    pub(super) fn id(&self) -> MessageId {
        self.id
    }

    pub(super) fn bus(&self) -> &'a SharedBus {
        self.bus
    }

    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        self.origin.now()
    }

    /// The time, as it is written.
    pub(super) fn at(&self) -> String {
        rfc3339(self.now())
    }

    // ---- state ---------------------------------------------------------------------------------------------------------

    /// The document under a key as it will be after this unit; none where there is none.
    pub(super) async fn document(&mut self, key: &str) -> Result<Option<&Document>, BusError> {
        if !self.documents.contains_key(key) {
            let planned = match self.bus.get(&Key::new(key)).await? {
                None => Planned {
                    expect: Expect::Absent,
                    there: false,
                    document: Document::default(),
                    changed: BTreeMap::new(),
                },
                Some(State::Hash(document)) => Planned {
                    expect: Expect::Version(document.version),
                    there: true,
                    document,
                    changed: BTreeMap::new(),
                },
                Some(other) => {
                    let found = other.type_name().to_owned();
                    return Err(BusError::ForeignType { key: key.to_owned(), found, wanted: "hash" });
                }
            };
            self.documents.insert(key.to_owned(), planned);
        }
        Ok(self.documents.get(key).filter(|planned| planned.there).map(|planned| &planned.document))
    }

    /// Sets (some) and removes (none) fields of a document, which is made where it is not there.
    pub(super) async fn set(
        &mut self,
        key: &str,
        fields: impl IntoIterator<Item = (&str, Option<String>)>,
    ) -> Result<(), BusError> {
        self.document(key).await?;
        if let Some(planned) = self.documents.get_mut(key) {
            for (name, value) in fields {
                match &value {
                    Some(text) => planned.document.fields.insert(name.to_owned(), text.clone()),
                    None => planned.document.fields.remove(name),
                };
                planned.changed.insert(name.to_owned(), value);
            }
            planned.there = true;
        }
        Ok(())
    }

    /// Changes something that is no document.
    pub(super) fn state(&mut self, key: &str, change: StateChange) {
        self.ops.push(Op::State { key: Key::new(key), change });
    }

    /// Something composed elsewhere.
    pub(super) fn push(&mut self, ops: impl IntoIterator<Item = Op>) {
        self.ops.extend(ops);
    }

    /// Changes a note; written by [`Unit::write_notes`].
    pub(super) fn note(&mut self, name: NoteName, change: NoteChange) {
        self.notes.push((name, change, false));
    }

    /// Moves an item of the worklist, unless the worklist cannot take it: what moves it must not wait for that.
    pub(super) fn move_item(&mut self, key: &str, section: Section, text: String) {
        self.note_if_possible(NoteName::Worklist, NoteChange::Item { key: key.to_owned(), section, text });
    }

    /// Changes a note, unless it cannot take the change.
    pub(super) fn note_if_possible(&mut self, name: NoteName, change: NoteChange) {
        self.notes.push((name, change, true));
    }

    /// Composes the new versions of the notes, each change on what the one before it left. Once a unit, in whoever's name.
    pub(super) async fn write_notes(&mut self, by: &str) -> Result<(), ChangeError> {
        let notes = std::mem::take(&mut self.notes);
        let now = self.now();
        let all = notes.iter().map(|(name, change, _)| (*name, change));
        let edits = match memory::edits(self.bus, all, now).await {
            Err(ChangeError::Note(err)) if notes.iter().any(|(.., spare)| *spare) => {
                tracing::warn!(%err, "an item of the worklist was not moved");
                let needed = notes.iter().filter(|(.., spare)| !spare).map(|(name, change, _)| (*name, change));
                memory::edits(self.bus, needed, now).await?
            }
            edits => edits?,
        };
        let author = Author::of(by, &self.origin);
        self.ops.extend(edits.iter().flat_map(|edit| edit.ops(&author)));
        Ok(())
    }

    // ---- saying --------------------------------------------------------------------------------------------------------

    /// Says a message in the gate's own name.
    pub(super) fn say<M: Body>(&mut self, channel: Channel<M>, draft: impl Into<Draft<M>>) -> Result<(), ShapeError>
    where
        grants::Gate: Says<M>,
    {
        let message = self.origin.compose::<grants::Gate, M>(channel, draft)?;
        self.ops.push(Op::Append(message));
        Ok(())
    }

    /// Says a message in the gate's own name at a time.
    pub(super) fn say_at<M: Body>(
        &mut self,
        timer: String,
        at: DateTime<Utc>,
        channel: Channel<M>,
        draft: impl Into<Draft<M>>,
    ) -> Result<(), ShapeError>
    where
        grants::Gate: Says<M>,
    {
        let message = self.origin.compose::<grants::Gate, M>(channel, draft)?;
        self.ops.push(Op::Schedule(Timer { id: timer, at, message }));
        Ok(())
    }

    /// Says a message whose envelope was made by the caller.
    pub(super) fn say_composed(&mut self, message: Outgoing) {
        self.ops.push(Op::Append(message));
    }

    pub(super) fn cancel(&mut self, timer: String) {
        self.ops.push(Op::Cancel { timer });
    }

    /// Tells people how things stand.
    pub(super) fn tell(&mut self, subject: &str, message: String) -> Result<(), ShapeError> {
        let update = StatusUpdate {
            payload: Words { message },
            priority: crate::contracts::Priority::Medium,
            timestamp: Some(self.now()),
        };
        self.say(FROM_ORCHESTRATOR, Draft::new(FromOrchestrator::Status(update)).subject(subject))
    }

    /// Raises an alert: said, and kept as a document until somebody ends it.
    pub(super) async fn alert(
        &mut self,
        alert_id: &str,
        severity: Severity,
        message: String,
        fix: &str,
    ) -> Result<(), Failure> {
        let alert = AlertTriggered {
            alert_id: alert_id.to_owned(),
            severity,
            message,
            fix: Some(fix.to_owned()),
            experiment_id: None,
            criterion: None,
            metric: None,
            value: None,
            threshold: None,
        };
        if let Ok(key) = keys::alert(alert_id) {
            let fields = [
                ("state", Some("triggered".to_owned())),
                ("severity", word(severity)),
                ("message", Some(alert.message.clone())),
                ("triggered_at", Some(self.at())),
            ];
            self.set(&key, fields).await?;
        }
        Ok(self.say(ALERTS, Alerts::Triggered(alert))?)
    }

    /// Ends an alert, if it is not over: in its document, and said.
    pub(super) async fn resolve(&mut self, alert_id: &str, who: &Who, reason: &str) -> Result<bool, Failure> {
        let Ok(key) = keys::alert(alert_id) else { return Ok(false) };
        let is_open = self.document(&key).await?.is_some_and(|alert| alert.get("state") != Some("resolved"));
        if is_open {
            let fields = [
                ("state", Some("resolved".to_owned())),
                ("resolved_at", Some(self.at())),
                ("resolved_by", Some(who.by.clone())),
                ("resolution", Some(reason.to_owned())),
            ];
            self.set(&key, fields).await?;
            self.say_resolved(alert_id, who, reason)?;
        }
        Ok(is_open)
    }

    pub(super) fn say_resolved(&mut self, alert_id: &str, who: &Who, reason: &str) -> Result<(), ShapeError> {
        let resolved =
            AlertResolved { alert_id: alert_id.to_owned(), by: who.by.clone(), reason: Some(reason.to_owned()) };
        self.say(ALERTS, Alerts::Resolved(resolved))
    }

    /// Adds a record to the audit chain. Two gates at once conflict on the head, and one of them runs again.
    pub(super) async fn audit(
        &mut self,
        event: &str,
        subject: &str,
        who: &Who,
        mut details: Map<String, Value>,
    ) -> Result<(), Failure> {
        if let Some(reason) = &who.reason {
            details.entry("reason").or_insert_with(|| reason.clone().into());
        }
        let head = self.document(keys::AUDIT_HEAD).await?.map_or_else(Head::default, head);
        let record = AuditRecord {
            number: 0,
            at: self.now(),
            event: event.to_owned(),
            subject: subject.to_owned(),
            by: who.by.clone(),
            surface: who.surface.clone(),
            details,
            previous: String::new(),
            hash: String::new(),
        };
        let record = link(&head, record);
        let mut fields = vec![("number", Some(record.number.to_string())), ("hash", Some(record.hash.clone()))];
        if record.number == 1 {
            fields.push(("chain", record.hash.get(..CHAIN_NAME).map(str::to_owned)));
        }
        self.set(keys::AUDIT_HEAD, fields).await?;
        Ok(self.say(AUDIT, Draft::new(Audit::Record(record)).subject(subject))?)
    }

    /// Everything, in order: documents first, then what is said.
    pub(super) fn into_ops(self) -> Vec<Op> {
        let changes = self.documents.into_iter().filter(|(_, planned)| !planned.changed.is_empty());
        let changes = changes.map(|(key, planned)| Op::Change {
            key: Key::new(key),
            expect: planned.expect,
            fields: planned.changed.into_iter().collect(),
            ttl: Ttl::Keep,
        });
        changes.chain(self.ops).collect()
    }
}

/// The end of the audit chain, as its document says.
pub(crate) fn head(document: &Document) -> Head {
    let number = document.get("number").and_then(|number| number.parse().ok());
    match (number, document.get("hash")) {
        (Some(number), Some(hash)) => Head { number, hash: hash.to_owned() },
        _ => Head::default(),
    }
}

/// The name of the audit chain, as the document of its end says: the beginning of its first record's hash. None for the chain of an
/// older version.
pub(crate) fn chain(document: &Document) -> Option<&str> {
    let is_name = |name: &&str| name.len() == CHAIN_NAME && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    document.get("chain").filter(is_name)
}

/// A value's name, as it is written.
pub(super) fn word(value: impl serde::Serialize) -> Option<String> {
    serde_json::to_value(value).ok()?.as_str().map(str::to_owned)
}
