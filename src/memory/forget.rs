//! Forgetting a person: everything in the state that names them is taken out, and what remains is said.
//!
//! Owns where a person may stand and how they are taken out of it. Rows of lists go as a whole; in other text the address becomes
//! [`NOBODY`]. Must never break what others rely on: streams, notes' versions and the audit chain are not rewritten, so they are counted and
//! told, with the time when retention removes them.

mod files;
#[cfg(test)]
mod tests;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::Value;
use thiserror::Error;

use crate::bus::sender::commit_patiently;
use crate::bus::{
    BusError, Commit, Document, EntryId, Expect, Key, Op, Outcome, Range, SharedBus, State, StateChange, Ttl,
};
use crate::contracts::keys::{self, FAMILIES, KeyType};
use crate::contracts::{ChannelKind, ChannelName};

/// Why those are suppressed who are to be forgotten.
pub const REASON: &str = "forgotten";
/// What stands where an address stood: a name that no mail can reach.
pub const NOBODY: &str = "forgotten@person.invalid";
/// What stands where the hash of an address stood.
const NO_HASH: &str = "forgotten";
/// Keys, or entries, of one call.
const PAGE: usize = 500;
/// So often a document may change under our hands.
const TRIES: usize = 5;
/// How long an unreachable bus is asked again.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);
/// Fields of an action that say what was written to whom.
const OF_ACTIONS: [&str; 4] = ["subject", "message_id", "receipt", "error"];
/// Families that are not rewritten here: they hold no person, or are told of by themselves.
const LEFT: [&str; 7] = ["notes:", "note_versions:", "suppressions:", "contacts:", "collected:", "limits:", "audit:"];

/// Why somebody was not forgotten everywhere. What was done stays done; doing it again does the rest.
#[derive(Debug, Error)]
pub enum ForgetError {
    /// The bus.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// Something changes all the time.
    #[error("`{0}` was not changed, because others change it all the time; try again")]
    Busy(String),
    /// Something cannot be changed.
    #[error("`{key}` was not changed: {why}")]
    Refused {
        /// Which.
        key: String,
        /// Why.
        why: String,
    },
}

pub use files::{named_in, remove_files};

/// What was done, and what remains.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Forgotten {
    /// The person, as keys name people.
    pub person: String,
    /// Documents in which the person was named and is no longer.
    pub documents: Vec<String>,
    /// Lists likewise.
    pub lists: Vec<String>,
    /// Keys that are gone.
    pub removed: Vec<String>,
    /// Files that experiments read people from; whether the person is in them is looked at by [`named_in`].
    #[serde(skip)]
    pub sources: Vec<String>,
    /// Where the person is still named.
    pub remains: Vec<Remains>,
}

/// A place where a person is still named.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Remains {
    /// Which.
    pub place: String,
    /// How often.
    pub count: u64,
    /// Why, and what removes it.
    pub why: String,
    /// When it is gone by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<DateTime<Utc>>,
}

/// A person who is looked for.
pub(crate) struct Wanted {
    address: String,
    hash: String,
}

/// Takes a person out of the state. `retention` is how long streams are kept.
///
/// # Errors
/// Where the bus cannot be reached, or something cannot be changed.
pub async fn forget(bus: &SharedBus, address: &str, retention: std::time::Duration) -> Result<Forgotten, ForgetError> {
    let wanted = Wanted::new(address);
    let mut done = Forgotten { person: wanted.hash.clone(), ..Forgotten::default() };
    for (prefix, kind) in places() {
        for key in all_keys(bus, prefix).await? {
            match kind {
                KeyType::List => wanted.out_of_list(bus, &key, &mut done).await?,
                _ => wanted.out_of_document(bus, &key, &mut done).await?,
            }
        }
    }
    if let Ok(key) = keys::contact(&wanted.hash).map(Key::new)
        && bus.get(&key).await?.is_some()
    {
        apply(bus, &key, vec![Op::Delete { key: key.clone(), expect: Expect::Any }]).await?;
        done.removed.push(key.0);
    }
    wanted.count_notes(bus, &mut done).await?;
    wanted.count_streams(bus, retention, &mut done).await?;
    Ok(done)
}

/// Where documents and lists are, by how their keys begin; each once.
fn places() -> Vec<(&'static str, KeyType)> {
    let kept = |kind| matches!(kind, KeyType::Hash | KeyType::List);
    let rows = FAMILIES.iter().filter(|family| kept(family.kind) && !family.pattern.starts_with("bus:"));
    let begin = rows.map(|family| (family.pattern.split('{').next().unwrap_or_default(), family.kind));
    let mut places: Vec<_> = begin.filter(|(prefix, _)| !LEFT.iter().any(|left| prefix.starts_with(left))).collect();
    places.dedup();
    places
}

async fn all_keys(bus: &SharedBus, prefix: &str) -> Result<Vec<Key>, BusError> {
    let (mut found, mut cursor) = (Vec::new(), None);
    loop {
        let (keys, next) = bus.scan(prefix, cursor, PAGE).await?;
        // A longer prefix is a family of its own: `metrics:` is not the beginning of `metrics_specs:`, but a stream's key may fit.
        found.extend(keys.into_iter().filter(|key| !key.as_str().ends_with(":stream")));
        match next {
            Some(next) => cursor = Some(next),
            None => return Ok(found),
        }
    }
}

async fn read(bus: &SharedBus, key: &Key) -> Result<Option<State>, BusError> {
    match bus.get(key).await {
        // Somebody else's.
        Err(BusError::ForeignType { .. }) => Ok(None),
        read => read,
    }
}

/// Applies a change; false where something changed meanwhile.
async fn apply(bus: &SharedBus, key: &Key, ops: Vec<Op>) -> Result<bool, ForgetError> {
    match commit_patiently(bus, Commit::of(ops), PATIENCE).await? {
        Outcome::Committed(_) | Outcome::Duplicate(_) => Ok(true),
        Outcome::Conflict { .. } => Ok(false),
        Outcome::Refused(refusal) => Err(ForgetError::Refused { key: key.0.clone(), why: refusal.to_string() }),
        other => Err(ForgetError::Refused { key: key.0.clone(), why: format!("{other:?}") }),
    }
}

/// The files that a specification reads people from.
fn sources(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            let path = fields.get("path").and_then(Value::as_str).filter(|path| !path.contains("{{"));
            if let Some(path) = path.filter(|path| !found.iter().any(|known| known == path)) {
                found.push(path.to_owned());
            }
            fields.values().for_each(|value| sources(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| sources(item, found)),
        _ => {}
    }
}

impl Wanted {
    pub(crate) fn new(address: &str) -> Self {
        let address = address.trim().to_lowercase();
        Self { hash: keys::person(&address), address }
    }

    /// Whether a text names the person.
    pub(crate) fn is_in(&self, text: &str) -> bool {
        self.first(text).is_some() || text.contains(&self.hash)
    }

    /// Where the address stands first: as a whole, and not as the end or the beginning of another.
    fn first(&self, text: &str) -> Option<usize> {
        let lower = text.to_ascii_lowercase();
        let part = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '%' | '+' | '-');
        let mut from = 0;
        while let Some(found) = lower.get(from..)?.find(&self.address) {
            let at = from + found;
            let before = lower[..at].chars().next_back();
            let mut after = lower[at + self.address.len()..].chars();
            let goes_on = match after.next() {
                // The end of a sentence, or another label of the host.
                Some('.') => after.next().is_some_and(char::is_alphanumeric),
                Some(c) => c.is_alphanumeric() || c == '-',
                None => false,
            };
            if !before.is_some_and(part) && !goes_on {
                return Some(at);
            }
            from = at + self.address.len();
        }
        None
    }

    /// The text without the person; none where they are not in it.
    fn out_of(&self, text: &str) -> Option<String> {
        if !self.is_in(text) {
            return None;
        }
        let is_json = text.starts_with(['{', '[']);
        if let Some(mut value) = is_json.then(|| serde_json::from_str::<Value>(text).ok()).flatten() {
            self.out_of_value(&mut value);
            return Some(value.to_string());
        }
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = self.first(rest) {
            out.push_str(&rest[..at]);
            out.push_str(NOBODY);
            rest = &rest[at + self.address.len()..];
        }
        out.push_str(rest);
        Some(out.replace(&self.hash, NO_HASH))
    }

    /// Takes the person out of a value: rows and addresses that are theirs as a whole.
    pub(crate) fn out_of_value(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                if let Some(clean) = self.out_of(text) {
                    *text = clean;
                }
            }
            Value::Array(items) => {
                items.retain(|item| !self.is_theirs(item));
                for item in items {
                    self.out_of_value(item);
                }
            }
            Value::Object(fields) => {
                let named: Vec<String> = fields.keys().filter(|name| self.is_in(name)).cloned().collect();
                for name in &named {
                    fields.shift_remove(name);
                }
                for value in fields.values_mut() {
                    self.out_of_value(value);
                }
            }
            _ => {}
        }
    }

    /// Whether an item of a list is the person's own: their address, or a row that has it as a field.
    fn is_theirs(&self, item: &Value) -> bool {
        let is_address = |value: &Value| {
            value.as_str().is_some_and(|text| text.trim().eq_ignore_ascii_case(&self.address) || text == self.hash)
        };
        match item {
            Value::Object(fields) => fields.values().any(is_address),
            item => is_address(item),
        }
    }

    async fn out_of_document(&self, bus: &SharedBus, key: &Key, done: &mut Forgotten) -> Result<(), ForgetError> {
        for _ in 0..TRIES {
            let Some(State::Hash(document)) = read(bus, key).await? else { return Ok(()) };
            if let Some(spec) = document.get("spec_json").and_then(|text| serde_json::from_str::<Value>(text).ok()) {
                sources(&spec, &mut done.sources);
            }
            let fields = self.changes(key, &document);
            if fields.is_empty() {
                return Ok(());
            }
            // What waits for an answer is what was shown; it must not change under the eyes of whoever looks at it.
            if key.as_str().starts_with("approvals:") && document.get("state") == Some("pending") {
                let why = "it waits for an answer; answer it, then forget again".to_owned();
                done.remains.push(Remains { place: key.0.clone(), count: 1, why, until: None });
                return Ok(());
            }
            let expect = Expect::Version(document.version);
            if apply(bus, key, vec![Op::Change { key: key.clone(), expect, fields, ttl: Ttl::Keep }]).await? {
                done.documents.push(key.0.clone());
                return Ok(());
            }
        }
        Err(ForgetError::Busy(key.0.clone()))
    }

    fn changes(&self, key: &Key, document: &Document) -> Vec<(String, Option<String>)> {
        let clean = document.fields.iter().filter_map(|(name, text)| Some((name.clone(), Some(self.out_of(text)?))));
        let mut fields: Vec<_> = clean.collect();
        if !fields.is_empty() && key.as_str().starts_with("actions:") {
            fields.retain(|(name, _)| !OF_ACTIONS.contains(&name.as_str()));
            let told = OF_ACTIONS.iter().filter(|name| document.fields.contains_key(**name));
            fields.extend(told.map(|name| ((*name).to_owned(), None)));
        }
        fields
    }

    /// A list is written anew: what is said meanwhile may be missing from it, never from what was counted.
    async fn out_of_list(&self, bus: &SharedBus, key: &Key, done: &mut Forgotten) -> Result<(), ForgetError> {
        let Some(State::List(items)) = read(bus, key).await? else { return Ok(()) };
        if !items.iter().any(|item| self.is_in(item)) {
            return Ok(());
        }
        let keep = items.len().max(1);
        let clean = items.into_iter().map(|item| self.out_of(&item).unwrap_or(item));
        let push = |value| Op::State { key: key.clone(), change: StateChange::Push { value, keep } };
        let ops =
            std::iter::once(Op::Delete { key: key.clone(), expect: Expect::Any }).chain(clean.map(push)).collect();
        apply(bus, key, ops).await?;
        done.lists.push(key.0.clone());
        Ok(())
    }

    /// Notes are people's own texts, and no version of them is ever lost.
    async fn count_notes(&self, bus: &SharedBus, done: &mut Forgotten) -> Result<(), ForgetError> {
        for (prefix, why) in [
            ("notes:", "a text of yours: take them out with `fullsend notes edit`"),
            ("note_versions:", "every version of a note is kept"),
        ] {
            let mut count = 0;
            for key in all_keys(bus, prefix).await? {
                if let Some(State::Hash(note)) = read(bus, &key).await?
                    && note.fields.values().any(|text| self.is_in(text))
                {
                    count += 1;
                }
            }
            if count > 0 {
                let place = prefix.trim_end_matches(':').to_owned();
                done.remains.push(Remains { place, count, why: why.to_owned(), until: None });
            }
        }
        Ok(())
    }

    /// What was said cannot be unsaid; retention removes it.
    async fn count_streams(
        &self,
        bus: &SharedBus,
        retention: std::time::Duration,
        done: &mut Forgotten,
    ) -> Result<(), ForgetError> {
        let work = ChannelName::ALL.iter().copied().filter(|channel| channel.route().kind == ChannelKind::Work);
        for channel in work {
            let (mut count, mut newest, mut cursor) = (0, None, EntryId::ZERO);
            loop {
                let entries = match bus.range(channel, Range::after(cursor, PAGE)).await {
                    Err(BusError::ForeignType { .. }) => break,
                    entries => entries?,
                };
                for entry in &entries {
                    let texts = [Some(entry.b.as_str()), Some(entry.e.as_str()), entry.fields.as_deref()];
                    if texts.into_iter().flatten().any(|text| self.is_in(text)) {
                        count += 1;
                        newest = Some(entry.id.at());
                    }
                }
                match entries.last() {
                    Some(last) if entries.len() == PAGE => cursor = last.id,
                    _ => break,
                }
            }
            if count > 0 {
                let age = TimeDelta::from_std(retention).unwrap_or(TimeDelta::MAX);
                let until = newest.and_then(|newest| newest.checked_add_signed(age));
                let why = "what was said is kept until retention removes it".to_owned();
                done.remains.push(Remains { place: channel.to_string(), count, why, until });
            }
        }
        Ok(())
    }
}
