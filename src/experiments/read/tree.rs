//! A text as a tree whose every node knows where it stands.
//!
//! Owns the parsing of YAML and JSON (which is read as YAML, and as itself where that fails). Must never hold more than its limits.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::Spanned;

use crate::contracts::body::BODY_LIMIT;

/// How deep a text may be nested.
pub(super) const DEPTH: usize = 40;
/// Nodes of a text.
const NODES: usize = 20_000;

/// Where something stands in the text; from 1, and 0 where it is not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) line: u64,
    pub(super) column: u64,
}

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) at: Place,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Null,
    Flag(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// A name and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Key {
    pub(super) name: String,
    pub(super) at: Place,
}

/// Why a text is no tree.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct NoTree {
    pub(super) at: Place,
    pub(super) message: String,
}

/// Reads a text.
pub(super) fn parse(text: &str) -> Result<Node, NoTree> {
    if text.len() > BODY_LIMIT {
        let message = format!("it has {} bytes; a specification may have {BODY_LIMIT}", text.len());
        return Err(NoTree { at: Place::default(), message });
    }
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_documents: 1, max_depth: DEPTH, max_nodes: NODES },
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        with_snippet: false,
    };
    match serde_saphyr::from_str_with_options::<Node>(text, options) {
        Ok(node) => Ok(node),
        Err(err) => json(text).ok_or_else(|| {
            let at = err.location().map(|at| Place { line: at.line(), column: at.column() }).unwrap_or_default();
            NoTree { at, message: err.to_string() }
        }),
    }
}

/// JSON that is no YAML (tabs, for one). It has no places.
fn json(text: &str) -> Option<Node> {
    if !text.trim_start().starts_with(['{', '[']) {
        return None;
    }
    serde_json::from_str::<Value>(text).ok().and_then(|value| Node::of(value, DEPTH))
}

impl Node {
    /// A value, without places; none where it is nested too deeply.
    pub(super) fn of(value: Value, depth: usize) -> Option<Self> {
        let depth = depth.checked_sub(1)?;
        let kind = match value {
            Value::Null => Kind::Null,
            Value::Bool(flag) => Kind::Flag(flag),
            Value::Number(number) => Kind::Number(number),
            Value::String(text) => Kind::Text(text),
            Value::Array(items) => {
                Kind::List(items.into_iter().map(|item| Self::of(item, depth)).collect::<Option<_>>()?)
            }
            Value::Object(fields) => {
                let field = |(name, value)| Some((Key { name, at: Place::default() }, Self::of(value, depth)?));
                Kind::Map(fields.into_iter().map(field).collect::<Option<_>>()?)
            }
        };
        Some(Self { at: Place::default(), kind })
    }

    /// The value without places.
    pub(super) fn value(&self) -> Value {
        match &self.kind {
            Kind::Null => Value::Null,
            Kind::Flag(flag) => Value::Bool(*flag),
            Kind::Number(number) => Value::Number(number.clone()),
            Kind::Text(text) => Value::String(text.clone()),
            Kind::List(items) => Value::Array(items.iter().map(Self::value).collect()),
            Kind::Map(fields) => Value::Object(map(fields)),
        }
    }

    /// What is below a name.
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        let Kind::Map(fields) = &self.kind else { return None };
        fields.iter().find(|(key, _)| key.name == name).map(|(_, node)| node).filter(|node| node.kind != Kind::Null)
    }

    /// What it is, for messages.
    pub(super) const fn what(&self) -> &'static str {
        match &self.kind {
            Kind::Null => "nothing",
            Kind::Flag(_) => "yes or no",
            Kind::Number(_) => "a number",
            Kind::Text(_) => "a text",
            Kind::List(_) => "a list",
            Kind::Map(_) => "fields",
        }
    }
}

/// Fields without places.
pub(super) fn map(fields: &[(Key, Node)]) -> Map<String, Value> {
    fields.iter().map(|(key, node)| (key.name.clone(), node.value())).collect()
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Inner>::deserialize(deserializer)?;
        let at = Place { line: spanned.referenced.line(), column: spanned.referenced.column() };
        Ok(Self { at, kind: spanned.value.0 })
    }
}

struct Inner(Kind);

impl<'de> Deserialize<'de> for Inner {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Seen).map(Inner)
    }
}

struct Seen;

impl<'de> Visitor<'de> for Seen {
    type Value = Kind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Kind, E> {
        Ok(Kind::Null)
    }

    fn visit_none<E>(self) -> Result<Kind, E> {
        Ok(Kind::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Kind, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Kind, E> {
        Ok(Kind::Flag(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Kind, E> {
        Ok(Kind::Number(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Kind, E> {
        Ok(Kind::Number(number.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Kind, E> {
        Number::from_f64(number).map(Kind::Number).ok_or_else(|| E::custom("this is no finite number"))
    }

    fn visit_str<E>(self, text: &str) -> Result<Kind, E> {
        Ok(Kind::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Kind, E> {
        Ok(Kind::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Kind, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Kind::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Kind, A::Error> {
        let mut fields: Vec<(Key, Node)> = Vec::new();
        while let Some(name) = map.next_key::<Spanned<String>>()? {
            let at = Place { line: name.referenced.line(), column: name.referenced.column() };
            if fields.iter().any(|(key, _)| key.name == name.value) {
                return Err(A::Error::custom(format!("`{}` is there twice", name.value)));
            }
            fields.push((Key { name: name.value, at }, map.next_value()?));
        }
        Ok(Kind::Map(fields))
    }
}
