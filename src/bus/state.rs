//! State: keys, documents and the other founding types.
//!
//! Owns their shapes. One document per entity, changed by version ([`super::Op::Change`]); must never be written except by a commit.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

/// A key, without the workspace's prefix.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(pub String);

impl Key {
    /// The key with this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What stands under a key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "value", rename_all = "lowercase")]
pub enum State {
    /// A hash: one entity.
    Hash(Document),
    /// A text.
    String(String),
    /// A list, oldest first.
    List(Vec<String>),
    /// A set.
    Set(BTreeSet<String>),
    /// A sorted set: members with scores.
    Sorted(BTreeMap<String, f64>),
}

impl State {
    /// The name of its type, as Redis says it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Hash(_) => "hash",
            Self::String(_) => "string",
            Self::List(_) => "list",
            Self::Set(_) => "set",
            Self::Sorted(_) => "zset",
        }
    }

    /// The document, where it is one.
    pub fn document(&self) -> Option<&Document> {
        match self {
            Self::Hash(document) => Some(document),
            Self::String(_) | Self::List(_) | Self::Set(_) | Self::Sorted(_) => None,
        }
    }
}

/// The field that holds a document's version.
pub const VERSION_FIELD: &str = "version";

/// One entity: texts by field; nested values are JSON text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// Raised by every change; 0 for one that another program wrote without.
    pub version: u64,
    /// Its fields, without `version`.
    pub fields: BTreeMap<String, String>,
}

impl Document {
    /// A field's text.
    pub fn get(&self, field: &str) -> Option<&str> {
        self.fields.get(field).map(String::as_str)
    }
}

/// What stands there, a document with only these fields. One that has none of them and no version counts as absent.
pub(super) fn reduced(state: Option<State>, only: Option<&[&str]>) -> Option<State> {
    match (state, only) {
        (Some(State::Hash(mut document)), Some(only)) => {
            document.fields.retain(|field, _| only.contains(&field.as_str()));
            let there = document.version > 0 || !document.fields.is_empty();
            there.then_some(State::Hash(document))
        }
        (state, _) => state,
    }
}
