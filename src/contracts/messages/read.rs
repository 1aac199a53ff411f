//! How the founding systems' many spellings are read: shared by all bodies.
//!
//! Must never guess: what no founding document names is left to fail, with its path.

use serde::de::{Deserialize, Deserializer, Error};
use serde_json::{Map, Value};

/// The object that `value` is; for specimens.
pub(super) fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// An id: a text, or a number that is kept as its digits.
pub(super) fn id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    id_option(deserializer)?.ok_or_else(|| D::Error::custom("null where an id belongs"))
}

/// An id that may be absent or null.
pub(super) fn id_option<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        Value::Number(number) => Ok(Some(number.to_string())),
        other => Err(D::Error::custom(format!("{} where an id belongs (a text or a number)", form(&other)))),
    }
}

/// A text that may be absent or null; lists are read as lines, anything else as its JSON.
pub(super) fn text_option<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Null => None,
        Value::Array(items) => Some(items.into_iter().map(text).collect::<Vec<_>>().join("\n")),
        other => Some(text(other)),
    })
}

/// A list of texts; one text is a list of one, an empty one and null are an empty list.
pub(super) fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Null => Vec::new(),
        Value::Array(items) => items.into_iter().map(text).collect(),
        other => Some(text(other)).filter(|text| !text.trim().is_empty()).into_iter().collect(),
    })
}

/// Null is read as the default.
pub(super) fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A number as criteria write it: `0.1`, `10%`.
pub(super) fn number(text: &str) -> Option<f64> {
    match text.strip_suffix('%') {
        Some(percent) => percent.parse().ok().map(|number: f64| number / 100.0),
        None => text.parse().ok(),
    }
    .filter(|number: &f64| number.is_finite())
}

/// Sets a field that is absent or null.
pub(super) fn fill(body: &mut Map<String, Value>, field: &str, value: Value) {
    if body.get(field).is_none_or(Value::is_null) {
        body.insert(field.to_owned(), value);
    }
}

/// Gives a field that is absent or null the value of the first of its other names that is there.
pub(super) fn first_of(body: &mut Map<String, Value>, field: &str, others: &[&str]) {
    let found = others.iter().find_map(|other| body.get(*other).filter(|value| !value.is_null()).cloned());
    if let Some(value) = found {
        fill(body, field, value);
    }
}

/// Reads a body of the founding `{type, payload, …}` form whose payload's fields stand in the body itself.
pub(super) fn wrap(body: &mut Map<String, Value>) {
    if !body.contains_key("payload") {
        let mut payload = body.clone();
        for around in ["type", "meta", "source", "user_id", "timestamp", "priority"] {
            payload.remove(around);
        }
        body.insert("payload".to_owned(), Value::Object(payload));
    }
}

/// As [`wrap`], and gives a field of the payload the value of the first of its other names; a text is read as that field.
pub(super) fn payload(body: &mut Map<String, Value>, field: &str, others: &[&str]) {
    wrap(body);
    match body.get_mut("payload") {
        Some(Value::Object(payload)) => first_of(payload, field, others),
        Some(payload @ Value::String(_)) => {
            let mut fields = Map::new();
            fields.insert(field.to_owned(), payload.take());
            *payload = Value::Object(fields);
        }
        _ => {}
    }
}

fn text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

fn form(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
