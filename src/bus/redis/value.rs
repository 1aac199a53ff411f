//! Reads the server's answers.
//!
//! Must never trust a shape: what is not as it should be is a [`BusError::Protocol`], never a panic.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use redis::Value;

use crate::bus::entry::{Entry, EntryId};
use crate::bus::error::BusError;
use crate::contracts::ChannelName;

/// A length of time as the server takes it, which adds it to the time of day in 64 bits.
pub(super) fn millis(length: Duration) -> u64 {
    const LONGEST: u64 = 1 << 52;
    u64::try_from(length.as_millis()).unwrap_or(LONGEST).min(LONGEST)
}

/// A number of things as the server takes it.
pub(super) fn at_most(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// The error for an answer of an unexpected shape.
pub(super) fn odd(wanted: &str, found: &Value) -> BusError {
    let found: String = format!("{found:?}").chars().take(120).collect();
    BusError::Protocol(format!("{found} where {wanted} was due"))
}

/// The text of a string or a number.
pub(super) fn text(value: &Value) -> Result<Cow<'_, str>, BusError> {
    match value {
        Value::BulkString(bytes) => Ok(String::from_utf8_lossy(bytes)),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Ok(Cow::Borrowed(text)),
        Value::Okay => Ok(Cow::Borrowed("OK")),
        Value::Int(n) => Ok(Cow::Owned(n.to_string())),
        Value::Double(n) => Ok(Cow::Owned(n.to_string())),
        other => Err(odd("a text", other)),
    }
}

/// The text, without copying it where it is one.
pub(super) fn into_text(value: Value) -> Result<String, BusError> {
    match value {
        Value::BulkString(bytes) => {
            Ok(String::from_utf8(bytes).unwrap_or_else(|bad| String::from_utf8_lossy(bad.as_bytes()).into_owned()))
        }
        other => text(&other).map(Cow::into_owned),
    }
}

/// A whole number.
pub(super) fn int(value: &Value) -> Result<i64, BusError> {
    match value {
        Value::Int(n) => Ok(*n),
        other => text(other)?.parse().map_err(|_| odd("a whole number", other)),
    }
}

/// A whole number that cannot be negative; a negative one counts as zero.
pub(super) fn count(value: &Value) -> Result<u64, BusError> {
    Ok(u64::try_from(int(value)?).unwrap_or(0))
}

/// The parts of a list; none for nil.
pub(super) fn items(value: Value) -> Result<Vec<Value>, BusError> {
    match value {
        Value::Array(items) | Value::Set(items) => Ok(items),
        Value::Nil => Ok(Vec::new()),
        other => Err(odd("a list", &other)),
    }
}

/// Exactly `N` parts.
pub(super) fn parts<const N: usize>(value: Value) -> Result<[Value; N], BusError> {
    items(value)?.try_into().map_err(|all: Vec<Value>| odd("another number of parts", &Value::Array(all)))
}

/// Names with values: a map, or a flat list of both in turn.
pub(super) fn pairs(value: Value) -> Result<Vec<(Value, Value)>, BusError> {
    match value {
        Value::Map(pairs) => Ok(pairs),
        other => {
            let mut items = items(other)?.into_iter();
            let mut pairs = Vec::with_capacity(items.len() / 2);
            while let (Some(name), Some(value)) = (items.next(), items.next()) {
                pairs.push((name, value));
            }
            Ok(pairs)
        }
    }
}

/// An entry's id.
pub(super) fn id(value: &Value) -> Result<EntryId, BusError> {
    let text = text(value)?;
    text.parse().map_err(|_| BusError::bad_id(&text))
}

/// An entry's id, or nil.
pub(super) fn id_or_nil(value: &Value) -> Result<Option<EntryId>, BusError> {
    match value {
        Value::Nil => Ok(None),
        value => id(value).map(Some),
    }
}

/// An entry from its id and its fields.
pub(super) fn entry(channel: ChannelName, entry_id: &Value, fields: Value) -> Result<Entry, BusError> {
    let fields = pairs(fields)?;
    let others = if is_ours(&fields) { None } else { Some(object(&fields)?.into_boxed_str()) };
    let (mut e, mut b) = (String::new(), String::new());
    for (name, value) in fields {
        match text(&name)?.as_ref() {
            "e" => e = into_text(value)?,
            "b" => b = into_text(value)?,
            _ => {}
        }
    }
    Ok(Entry { fields: others, ..Entry::new(channel, id(entry_id)?, e, b) })
}

/// Whether `e` and `b` say all that is there: none other, neither twice, both UTF-8.
fn is_ours(fields: &[(Value, Value)]) -> bool {
    let named = |wanted: &[u8]| {
        fields.iter().filter(|(name, _)| matches!(name, Value::BulkString(name) if name == wanted)).count()
    };
    let plain = |(_, value): &(Value, Value)| match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).is_ok(),
        _ => true,
    };
    let (e, b) = (named(b"e"), named(b"b"));
    e <= 1 && b <= 1 && e + b == fields.len() && fields.iter().all(plain)
}

/// Fields as the text of a JSON object that loses nothing: see [`Entry::fields`].
fn object(fields: &[(Value, Value)]) -> Result<String, BusError> {
    let mut object = serde_json::Map::new();
    for (name, value) in fields {
        let value = match value {
            Value::BulkString(bytes) if std::str::from_utf8(bytes).is_err() => {
                let mut hex = String::with_capacity(2 * bytes.len());
                for byte in bytes {
                    // Writing to a string cannot fail.
                    let _ = write!(hex, "{byte:02x}");
                }
                serde_json::json!({ "hex": hex })
            }
            value => text(value)?.into(),
        };
        match object.get_mut(text(name)?.as_ref()) {
            Some(serde_json::Value::Array(values)) => values.push(value),
            Some(first) => *first = serde_json::Value::Array(vec![first.take(), value]),
            None => {
                object.insert(text(name)?.into_owned(), value);
            }
        }
    }
    Ok(serde_json::Value::from(object).to_string())
}

/// Entries as `XRANGE` answers them.
pub(super) fn entries(channel: ChannelName, value: Value) -> Result<Vec<Entry>, BusError> {
    items(value)?
        .into_iter()
        .map(|one| {
            let [id, fields] = parts(one)?;
            entry(channel, &id, fields)
        })
        .collect()
}

/// Entries of several streams as `XREAD` answers them: streams by key, a map or a list of pairs.
pub(super) fn streams(value: Value) -> Result<Vec<(String, Value)>, BusError> {
    let streams = match value {
        Value::Map(pairs) => pairs,
        other => items(other)?
            .into_iter()
            .map(|one| parts(one).map(|[key, entries]| (key, entries)))
            .collect::<Result<_, _>>()?,
    };
    streams.into_iter().map(|(key, entries)| Ok((into_text(key)?, entries))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(fields: &[(&str, &[u8])]) -> Entry {
        let words = fields.iter().flat_map(|(name, value)| [name.as_bytes(), value]);
        let words = words.map(|word| Value::BulkString(word.to_vec())).collect();
        entry(ChannelName::Echo, &Value::BulkString(b"5-1".to_vec()), Value::Array(words)).unwrap()
    }

    #[test]
    fn fields_of_others_are_all_kept_as_they_came() {
        for (fields, e, b, all) in [
            (vec![("e", &b"{}"[..]), ("b", b"{1}")], "{}", "{1}", None),
            (vec![("b", b"{}"), ("e", b"")], "", "{}", None),
            (vec![("b", b"{}")], "", "{}", None),
            (vec![("foo", b"bar"), ("n", b"1")], "", "", Some(r#"{"foo":"bar","n":"1"}"#)),
            (vec![("e", b"{}"), ("b", b"x"), ("more", b"\"")], "{}", "x", Some(r#"{"e":"{}","b":"x","more":"\""}"#)),
            (vec![("b", b"1"), ("b", b"2"), ("b", b"3")], "", "3", Some(r#"{"b":["1","2","3"]}"#)),
            (vec![("b", b"\xff\0")], "", "\u{fffd}\0", Some(r#"{"b":{"hex":"ff00"}}"#)),
        ] {
            let entry = of(&fields);
            assert_eq!((entry.e.as_str(), entry.b.as_str(), entry.fields.as_deref()), (e, b, all), "{fields:?}");
        }
    }
}
