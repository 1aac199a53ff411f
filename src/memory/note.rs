//! A note's document `notes:{name}`, and how a change becomes a new version of it.
//!
//! Owns the fields of `notes:{name}` and `note_versions:{name}:{version}`: the document's own version is the note's. A change expects the
//! version that it was made from, and is written together with its place in the history, in one commit. Must never change a version
//! that was written.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use thiserror::Error;

use super::history::{self, HistoryError};
use super::merge::{self, MergeConflict};
use super::{learnings, patch, product, worklist};
use crate::bus::{BusError, Document, Effects, Expect, Failure, Key, Op, Origin, SharedBus, State, Ttl};
use crate::contracts::canonical::sha256;
use crate::contracts::envelope::rfc3339;
use crate::contracts::notes::{NoteChange, NoteName};
use crate::contracts::{Grant, TraceId};

/// Most bytes of a note.
pub const NOTE_LIMIT: usize = 1 << 20;
/// Why a version is there that a person wrote.
pub const EDITED: &str = "edited by hand";
/// A version of at most so many bytes is kept whole; a longer one as a patch of the one before.
const WHOLE: usize = 4_096;
/// Every so many versions one is kept whole, so that none is far from one.
const SNAPSHOT: u64 = 20;

/// A note as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteState {
    /// Which.
    pub name: NoteName,
    /// Its text; empty where there is none.
    pub text: String,
    /// Its version; 0 where there is none.
    pub version: u64,
    /// When it last changed, as its document says.
    pub updated_at: Option<String>,
    /// Who changed it last.
    pub by: Option<String>,
    /// Whether there is a document.
    exists: bool,
    /// Whether the text is that of the last version. Another program may have written it.
    recorded: bool,
    /// The last version of an earlier document that somebody deleted.
    ended: u64,
    /// What a rewrite was made from.
    base: Option<String>,
}

impl NoteState {
    /// The note that nobody has written.
    pub fn empty(name: NoteName) -> Self {
        Self {
            name,
            text: String::new(),
            version: 0,
            updated_at: None,
            by: None,
            exists: false,
            recorded: true,
            ended: 0,
            base: None,
        }
    }

    /// Reads it. A missing one is empty.
    ///
    /// # Errors
    /// Where the bus cannot be read, or something else stands under the key.
    pub async fn read(bus: &SharedBus, name: NoteName) -> Result<Self, BusError> {
        match bus.get(&key(name)).await? {
            None => Ok(Self::empty(name)),
            Some(State::Hash(document)) => Ok(Self::of(name, document)),
            Some(other) => Err(BusError::ForeignType {
                key: key(name).to_string(),
                found: other.type_name().to_owned(),
                wanted: "hash",
            }),
        }
    }

    /// As its document says, without the text that a rewrite was made from.
    pub fn of(name: NoteName, mut document: Document) -> Self {
        let text = document.fields.remove("text").unwrap_or_default();
        let recorded = match document.get("digest") {
            Some(digest) => digest == sha256(text.as_bytes()),
            None => text.is_empty(),
        };
        Self {
            name,
            text,
            version: document.version,
            updated_at: document.fields.remove("updated_at"),
            by: document.fields.remove("by"),
            exists: true,
            recorded,
            ended: 0,
            base: None,
        }
    }

    /// Reads it with all that this change needs to know.
    ///
    /// # Errors
    /// As [`NoteState::read`].
    pub async fn read_for(bus: &SharedBus, name: NoteName, change: &NoteChange) -> Result<Self, BusError> {
        let mut state = Self::read(bus, name).await?;
        state.look_up(bus, change).await?;
        if !state.exists {
            state.ended = history::last(bus, name).await?;
        }
        Ok(state)
    }

    /// Looks up the text that a rewrite was made from.
    async fn look_up(&mut self, bus: &SharedBus, change: &NoteChange) -> Result<(), BusError> {
        self.base = match change {
            NoteChange::Rewrite { base, .. } if *base == self.version => Some(self.text.clone()),
            NoteChange::Rewrite { base: 0, .. } => Some(String::new()),
            NoteChange::Rewrite { base, .. } => match history::text(bus, self.name, *base).await {
                Ok(text) => Some(text),
                Err(HistoryError::Bus(err)) => return Err(err),
                // Without it nothing can be merged, and both texts are offered.
                Err(HistoryError::Missing { .. } | HistoryError::Broken { .. }) => None,
            },
            NoteChange::Item { .. }
            | NoteChange::Focus { .. }
            | NoteChange::Describe { .. }
            | NoteChange::Learn { .. } => None,
        };
        Ok(())
    }

    /// Whether the text is that of the last version. False: another program wrote it past the history; the next edit takes it in.
    pub fn is_recorded(&self) -> bool {
        self.recorded
    }

    fn expect(&self) -> Expect {
        if self.exists { Expect::Version(self.version) } else { Expect::Absent }
    }
}

/// The key of a note's document.
pub fn key(name: NoteName) -> Key {
    Key::new(format!("notes:{name}"))
}

/// Why a note cannot be changed in this way.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NoteError {
    /// Both changed the same place.
    #[error(transparent)]
    Conflict(#[from] MergeConflict),
    /// The change is for another note.
    #[error("`{name}` has no {what}; that belongs on `{belongs}`")]
    Misplaced {
        /// The note.
        name: NoteName,
        /// What it has not.
        what: &'static str,
        /// The note that has it.
        belongs: NoteName,
    },
    /// There is nothing to write.
    #[error("a change of `{0}` without words")]
    Nothing(NoteName),
    /// It would be too long.
    #[error(
        "`{name}` would have {bytes} bytes; at most {NOTE_LIMIT} are kept. Take out what nobody needs any more: `fullsend notes edit {name}`"
    )]
    TooLong {
        /// The note.
        name: NoteName,
        /// The bytes.
        bytes: usize,
    },
}

/// Why a note was not changed.
#[derive(Debug, Error)]
pub enum ChangeError {
    /// It cannot be.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The bus cannot be read.
    #[error(transparent)]
    Bus(#[from] BusError),
}

impl From<ChangeError> for Failure {
    fn from(err: ChangeError) -> Self {
        match err {
            ChangeError::Bus(err) => err.into(),
            ChangeError::Note(err) => Self::Terminal(err.into()),
        }
    }
}

/// Who changes a note, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// A service, or a person.
    pub by: String,
    /// The chain of messages that led to it.
    pub trace: Option<TraceId>,
    /// When.
    pub at: DateTime<Utc>,
}

impl Author {
    /// `by`, now, in the chain of `origin`.
    pub fn of(by: impl Into<String>, origin: &Origin) -> Self {
        Self { by: by.into(), trace: origin.trace(), at: origin.now() }
    }
}

/// A note's new text, not yet written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteEdit {
    before: NoteState,
    text: String,
    reason: String,
}

impl NoteEdit {
    /// This text in the place of the present one, whatever that is.
    ///
    /// # Errors
    /// Where it is too long.
    pub fn new(before: NoteState, text: String, reason: String) -> Result<Self, NoteError> {
        if text.len() > NOTE_LIMIT && text.len() > before.text.len() {
            return Err(NoteError::TooLong { name: before.name, bytes: text.len() });
        }
        Ok(Self { before, text, reason })
    }

    /// The note.
    pub fn name(&self) -> NoteName {
        self.before.name
    }

    /// The new text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it is another text than before.
    pub fn changes(&self) -> bool {
        self.text != self.before.text
    }

    /// The version that the note has once it is written.
    pub fn version(&self) -> u64 {
        let taken_in = u64::from(!self.before.recorded);
        self.before.version + self.before.ended + taken_in + u64::from(self.changes())
    }

    /// The note once it is written: what a further change in the same commit is made from.
    pub fn after(&self) -> NoteState {
        let version = self.version();
        let exists = self.before.exists || version > 0;
        NoteState {
            version,
            exists,
            text: self.text.clone(),
            recorded: true,
            ended: 0,
            base: None,
            ..self.before.clone()
        }
    }

    /// What is to be committed; nothing where nothing changes.
    pub fn ops(&self, author: &Author) -> Vec<Op> {
        let mut ops = Vec::new();
        let before = &self.before;
        if before.recorded && !self.changes() {
            return ops;
        }
        let mut expect = before.expect();
        // A document that was deleted begins again at version 0: it is brought to where its history ended.
        for _ in 0..before.ended {
            ops.push(Op::Change { key: key(before.name), expect, fields: Vec::new(), ttl: Ttl::Clear });
            expect = Expect::Any;
        }
        let mut version = before.version + before.ended;
        if !before.recorded {
            version += 1;
            let stranger = Author { by: "unknown".to_owned(), ..author.clone() };
            ops.extend(written(
                before.name,
                version,
                expect,
                None,
                &before.text,
                &stranger,
                "written past the history",
            ));
            expect = Expect::Version(version);
        }
        if self.changes() {
            let old = (before.version > 0 || !before.recorded).then_some(before.text.as_str());
            ops.extend(written(before.name, version + 1, expect, old, &self.text, author, &self.reason));
        }
        ops
    }
}

/// The document and its place in the history.
fn written(
    name: NoteName,
    version: u64,
    expect: Expect,
    old: Option<&str>,
    text: &str,
    author: &Author,
    reason: &str,
) -> [Op; 2] {
    let digest = sha256(text.as_bytes());
    let field = |name: &str, value: String| (name.to_owned(), Some(value));
    let about = vec![
        field("digest", digest),
        field("by", author.by.clone()),
        field("reason", reason.to_owned()),
        ("trace".to_owned(), author.trace.map(|trace| trace.to_string())),
    ];
    let mut fields = about.clone();
    fields.push(field("text", text.to_owned()));
    fields.push(field("updated_at", rfc3339(author.at)));
    let mut record = about;
    record.push(field("at", rfc3339(author.at)));
    record.push(field("bytes", text.len().to_string()));
    record.push(match old.and_then(|old| shorter(old, text, version)) {
        Some(patch) => field("patch", patch),
        None => field("text", text.to_owned()),
    });
    let record_key = history::key(name, version);
    [
        Op::Change { key: key(name), expect, fields, ttl: Ttl::Clear },
        Op::Change { key: record_key, expect: Expect::Absent, fields: record, ttl: Ttl::Clear },
    ]
}

/// The patch to keep in the place of the text, where that pays.
fn shorter(old: &str, text: &str, version: u64) -> Option<String> {
    if text.len() <= WHOLE || version.is_multiple_of(SNAPSHOT) {
        return None;
    }
    let patch = patch::between(old, text);
    let pays = patch.len() < text.len() / 2;
    (pays && patch::applied(old, &patch).as_deref() == Some(text)).then_some(patch)
}

/// The note after a change, with what it was merged with. `current` is read by [`NoteState::read_for`].
///
/// # Errors
/// Where the change and what others wrote since its base meet in the same place; where it is for another note; where it would be too long.
pub fn apply(change: &NoteChange, current: &NoteState, now: DateTime<Utc>) -> Result<NoteEdit, NoteError> {
    let name = current.name;
    let only = |belongs: NoteName, what| {
        if name == belongs { Ok(()) } else { Err(NoteError::Misplaced { name, what, belongs }) }
    };
    let today = now.date_naive();
    let text = match change {
        NoteChange::Item { key, section, text } => {
            only(NoteName::Worklist, "items")?;
            worklist::place(&current.text, key, *section, text, today).ok_or(NoteError::Nothing(name))?
        }
        NoteChange::Focus { text } => {
            only(NoteName::Worklist, "focus")?;
            worklist::focus(&current.text, text, today).ok_or(NoteError::Nothing(name))?
        }
        NoteChange::Describe { text } => {
            only(NoteName::ProductContext, "what is sold")?;
            product::describe(&current.text, text).ok_or(NoteError::Nothing(name))?
        }
        NoteChange::Learn { headline, evidence, experiment_id } => {
            only(NoteName::Learnings, "learnings")?;
            learnings::add(&current.text, headline, evidence, experiment_id.as_deref(), today)
                .ok_or(NoteError::Nothing(name))?
        }
        NoteChange::Rewrite { text, base } => {
            let from = current.base.as_deref().or((*base == current.version).then_some(current.text.as_str()));
            merge::merge(from.unwrap_or_default(), &current.text, text).map_err(|(hunks, marked)| MergeConflict {
                name,
                base: *base,
                version: current.version,
                ours: current.text.clone(),
                theirs: text.clone(),
                hunks,
                marked,
            })?
        }
    };
    NoteEdit::new(current.clone(), text, change.gist())
}

/// The edits that these changes make, each on what the one before it left; to be committed in this order, in one commit.
///
/// # Errors
/// As [`apply`], and where the bus cannot be read.
pub async fn edits<'a>(
    bus: &SharedBus,
    changes: impl IntoIterator<Item = (NoteName, &'a NoteChange)> + Send,
    now: DateTime<Utc>,
) -> Result<Vec<NoteEdit>, ChangeError> {
    let changes: Vec<_> = changes.into_iter().collect();
    let mut states: BTreeMap<NoteName, NoteState> = BTreeMap::new();
    let mut edits = Vec::with_capacity(changes.len());
    for (name, change) in changes {
        let state = match states.remove(&name) {
            Some(mut state) => {
                state.look_up(bus, change).await?;
                state
            }
            None => NoteState::read_for(bus, name, change).await?,
        };
        let edit = apply(change, &state, now)?;
        states.insert(name, edit.after());
        edits.push(edit);
    }
    Ok(edits)
}

/// Changes a note with these effects, as [`change`] does; where the note cannot take it, that is told in the log, and the effects are as they
/// were: a note that cannot take an item is no reason to lose the rest.
///
/// # Errors
/// Where the bus cannot be read.
pub async fn try_change<G: Grant>(
    effects: &mut Effects<G>,
    bus: &SharedBus,
    name: NoteName,
    it: &NoteChange,
    by: &str,
) -> Result<(), BusError> {
    match change(effects, bus, name, it, by).await {
        Err(ChangeError::Bus(err)) => Err(err),
        Err(err) => {
            tracing::warn!(note = %name, by, %err, "a note was not changed: {}", it.gist());
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

/// Changes a note with these effects. Once for each note: several changes of one note go through [`edits`].
///
/// # Errors
/// As [`edits`].
pub async fn change<G: Grant>(
    effects: &mut Effects<G>,
    bus: &SharedBus,
    name: NoteName,
    change: &NoteChange,
    by: &str,
) -> Result<(), ChangeError> {
    let author = Author::of(by, effects.origin());
    for edit in edits(bus, [(name, change)], author.at).await? {
        effects.extend(edit.ops(&author));
    }
    Ok(())
}
