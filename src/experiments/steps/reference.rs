//! References: `{{step.path}}` within parameters.
//!
//! A name without a dot is a field of a person, for whoever writes to them; it means a step only where it is the whole text.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use thiserror::Error;

use crate::contracts::untrusted::sanitize_line;

/// How deep parameters may be nested.
const DEPTH: usize = 64;

/// A reference that leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{{{{{reference}}}}}` in `{at}` cannot be filled in: {why}")]
pub struct ResolveError {
    /// Where it stands, as a path into the parameters.
    pub at: String,
    /// The reference.
    pub reference: String,
    /// Why.
    pub why: String,
}

/// The names that references in these parameters begin with. `is_step` says of a name without a dot whether it is one.
pub fn heads(params: &Map<String, Value>, is_step: impl Fn(&str) -> bool) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for value in params.values() {
        walk(value, DEPTH, &mut |text| {
            for inner in inners(text) {
                match inner.split_once('.') {
                    Some((head, _)) if is_name(head) => found.insert(head.to_owned()),
                    None if whole(text) == Some(inner) && is_step(inner) => found.insert(inner.to_owned()),
                    _ => false,
                };
            }
        });
    }
    found
}

/// The parameters with what earlier steps gave filled in. A text that is one reference becomes the value itself, within other text its text.
///
/// # Errors
/// Where a reference leads nowhere.
pub fn resolve(
    params: &Map<String, Value>,
    outputs: &BTreeMap<String, Value>,
) -> Result<Map<String, Value>, ResolveError> {
    params.iter().map(|(name, value)| Ok((name.clone(), filled(value, outputs, name, DEPTH)?))).collect()
}

fn filled(value: &Value, outputs: &BTreeMap<String, Value>, at: &str, depth: usize) -> Result<Value, ResolveError> {
    let Some(depth) = depth.checked_sub(1) else {
        let why = format!("it is nested deeper than {DEPTH} levels");
        return Err(ResolveError { at: sanitize_line(at, 80), reference: String::new(), why });
    };
    Ok(match value {
        Value::String(text) => in_text(text, outputs, at)?,
        Value::Array(items) => {
            let item = |(index, item)| filled(item, outputs, &format!("{at}.{index}"), depth);
            Value::Array(items.iter().enumerate().map(item).collect::<Result<_, _>>()?)
        }
        Value::Object(fields) => {
            let field = |(name, field): (&String, &Value)| {
                Ok((name.clone(), filled(field, outputs, &format!("{at}.{name}"), depth)?))
            };
            Value::Object(fields.iter().map(field).collect::<Result<_, _>>()?)
        }
        other => other.clone(),
    })
}

fn in_text(text: &str, outputs: &BTreeMap<String, Value>, at: &str) -> Result<Value, ResolveError> {
    if let Some(inner) = whole(text) {
        return Ok(look_up(inner, outputs, at)?.cloned().unwrap_or_else(|| Value::String(text.to_owned())));
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, inner, after)) = next(rest) {
        out.push_str(before);
        // A person's field, which is filled in for each person.
        let found = if inner.contains('.') { look_up(inner, outputs, at)? } else { None };
        match found {
            // What a step gave is data: it must not become a reference or a person's field.
            Some(Value::String(data)) => out.push_str(&data.replace("{{", "{ {")),
            Some(data) => out.push_str(&data.to_string().replace("{{", "{ {")),
            None => out.push_str(&rest[before.len()..rest.len() - after.len()]),
        }
        rest = after;
    }
    out.push_str(rest);
    Ok(Value::String(out))
}

/// What a reference means; none where it is no reference to a step.
fn look_up<'a>(inner: &str, outputs: &'a BTreeMap<String, Value>, at: &str) -> Result<Option<&'a Value>, ResolveError> {
    let refuse =
        |why: String| Err(ResolveError { at: sanitize_line(at, 80), reference: sanitize_line(inner, 80), why });
    let mut parts = inner.split('.');
    let head = parts.next().unwrap_or_default();
    let Some(output) = outputs.get(head) else {
        return if inner.contains('.') && is_name(head) {
            refuse(format!("no step `{}` has ended before", sanitize_line(head, 60)))
        } else {
            Ok(None)
        };
    };
    let mut value = output;
    for (index, part) in parts.enumerate() {
        let below = match value {
            Value::Object(fields) => fields.get(part),
            Value::Array(items) => part.parse::<usize>().ok().and_then(|index| items.get(index)),
            _ => None,
        };
        value = match below {
            Some(below) => below,
            // `step.output.rows` and `step.rows` are the same.
            None if index == 0 && part == "output" => value,
            None => return refuse(format!("the step gave no `{}`{}", sanitize_line(part, 60), has(value))),
        };
    }
    Ok(Some(value))
}

/// What there is in the place of what is missing.
fn has(value: &Value) -> String {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            let names: Vec<_> = fields.keys().take(12).map(|name| sanitize_line(name, 40)).collect();
            format!("; it gave {}", names.join(", "))
        }
        Value::Array(items) => format!("; there is a list of {}", items.len()),
        _ => String::new(),
    }
}

fn walk(value: &Value, depth: usize, see: &mut impl FnMut(&str)) {
    let Some(depth) = depth.checked_sub(1) else { return };
    match value {
        Value::String(text) => see(text),
        Value::Array(items) => items.iter().for_each(|item| walk(item, depth, see)),
        Value::Object(fields) => fields.values().for_each(|field| walk(field, depth, see)),
        _ => {}
    }
}

/// The next `{{…}}` of a text: what stands before it, in it, after it.
fn next(text: &str) -> Option<(&str, &str, &str)> {
    let start = text.find("{{")?;
    let (inner, after) = text[start + 2..].split_once("}}")?;
    Some((&text[..start], inner.trim(), after))
}

fn inners(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (_, inner, after) = next(rest)?;
        rest = after;
        Some(inner)
    })
}

/// What stands within a text that is one `{{…}}` and nothing else.
pub(in crate::experiments) fn whole(text: &str) -> Option<&str> {
    let (before, inner, after) = next(text.trim())?;
    (before.is_empty() && after.is_empty()).then_some(inner)
}

/// Whether a text can be a step's name.
fn is_name(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

/// The text with each `{{…}}` as `other` says; as it is where that says nothing.
pub(in crate::experiments) fn rewritten(text: &str, mut other: impl FnMut(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, inner, after)) = next(rest) {
        out.push_str(before);
        match other(inner) {
            Some(inner) => {
                out.push_str("{{");
                out.push_str(&inner);
                out.push_str("}}");
            }
            None => out.push_str(&rest[before.len()..rest.len() - after.len()]),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Changes each text within a value.
pub(in crate::experiments) fn each_text(value: &mut Value, change: &mut impl FnMut(&str) -> Option<Value>) {
    match value {
        Value::String(text) => {
            if let Some(other) = change(text) {
                *value = other;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| each_text(item, change)),
        Value::Object(fields) => fields.values_mut().for_each(|field| each_text(field, change)),
        _ => {}
    }
}
