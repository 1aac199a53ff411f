//! Facts: what a proposal rests on, and whether it still holds.
//!
//! Must never take an unreadable document for an unchanged one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::bus::{BusError, Key, SharedBus, State};
use crate::contracts::canonical::digest;
use crate::contracts::messages::Fact;

/// A fact that no longer holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The document's key.
    pub key: String,
    /// The field; none for the whole document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What it was.
    pub was: Option<String>,
    /// What it is.
    pub now: Option<String>,
}

/// The fact that a document's field is as it is now; without a field, that the whole document is.
///
/// # Errors
/// Where the bus cannot be read.
pub async fn fact(bus: &SharedBus, key: &str, field: Option<&str>) -> Result<Fact, BusError> {
    let state = read(bus, key).await?;
    Ok(Fact { key: key.to_owned(), field: field.map(str::to_owned), was: text(state.as_ref(), field) })
}

/// The facts that no longer hold.
///
/// # Errors
/// Where the bus cannot be read.
pub async fn differences(bus: &SharedBus, facts: &[Fact]) -> Result<Vec<Difference>, BusError> {
    let mut states: BTreeMap<&str, Option<State>> = BTreeMap::new();
    let mut different = Vec::new();
    for fact in facts {
        if !states.contains_key(fact.key.as_str()) {
            states.insert(&fact.key, read(bus, &fact.key).await?);
        }
        let state = states.get(fact.key.as_str()).and_then(Option::as_ref);
        let now = text(state, fact.field.as_deref());
        if now != fact.was {
            different.push(Difference { key: fact.key.clone(), field: fact.field.clone(), was: fact.was.clone(), now });
        }
    }
    Ok(different)
}

/// The facts as they are with these differences.
pub fn updated(facts: &[Fact], differences: &[Difference]) -> Vec<Fact> {
    let now = |fact: &Fact| {
        let changed = differences.iter().find(|change| change.key == fact.key && change.field == fact.field);
        changed.map_or_else(|| fact.clone(), |change| Fact { was: change.now.clone(), ..fact.clone() })
    };
    facts.iter().map(now).collect()
}

/// Something of a type that is none of ours counts as a state that nobody proposed on.
async fn read(bus: &SharedBus, key: &str) -> Result<Option<State>, BusError> {
    match bus.get(&Key::new(key)).await {
        Err(BusError::ForeignType { found, .. }) => Ok(Some(State::String(format!("a {found}")))),
        read => read,
    }
}

/// A field's text; of a whole document the digest of its fields, of a string its text.
pub fn text(state: Option<&State>, field: Option<&str>) -> Option<String> {
    match (state?, field) {
        (State::Hash(document), Some("version")) => Some(document.version.to_string()),
        (State::Hash(document), Some(field)) => document.get(field).map(str::to_owned),
        (State::Hash(document), None) => Some(format!("sha256:{}", digest(&document.fields))),
        (State::String(text), _) => Some(text.clone()),
        (other, _) => Some(format!("sha256:{}", digest(other))),
    }
}
