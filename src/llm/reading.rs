//! Reading an answer: whatever a model wrote becomes an answer of the task's type, or a list of what is wrong with it.
//!
//! Owns where the answer is in what was written: bare, in a fence, in prose. How generously its fields are read is each task's. Must never
//! guess: what cannot be read is told in words that a model can act on.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::contracts::untrusted::sanitize_line;

/// Longer answers are not read; the longest that fits its purpose, a worklist, has a few thousand.
const LIMIT: usize = 1_024 * 1_024;

/// Places at which an object is looked for in prose.
const TRIES: usize = 64;

/// Characters of a model's words in a fault.
const QUOTE: usize = 120;

/// Reads an answer.
///
/// # Errors
/// What is wrong with it, each in words that a model can act on.
pub fn read<O: DeserializeOwned>(text: &str) -> Result<O, Vec<String>> {
    if text.trim().is_empty() {
        return Err(vec!["the answer is empty; one JSON object belongs there".to_owned()]);
    }
    if text.len() > LIMIT {
        return Err(vec![format!("the answer has {} bytes; at most {LIMIT} are read", text.len())]);
    }
    let Some(value) = object(text) else {
        let shown = sanitize_line(text, QUOTE);
        return Err(vec![format!("the answer holds no whole JSON object; it begins: {shown}")]);
    };
    serde_path_to_error::deserialize::<_, O>(&value).map_err(|err| {
        let path = err.path().to_string();
        let place = if path == "." { String::new() } else { format!("at `{}`: ", sanitize_line(&path, QUOTE)) };
        vec![format!("{place}{}", sanitize_line(&err.inner().to_string(), 2 * QUOTE))]
    })
}

/// The object in the text: all of it, or the first whole one in it.
fn object(text: &str) -> Option<Value> {
    let whole = text.trim_start_matches('\u{feff}').trim();
    if let Ok(value @ Value::Object(_)) = serde_json::from_str(whole) {
        return Some(value);
    }
    whole.match_indices('{').take(TRIES).find_map(|(at, _)| {
        let mut values = serde_json::Deserializer::from_str(&whole[at..]).into_iter::<Map<String, Value>>();
        values.next()?.ok().map(Value::Object)
    })
}

#[cfg(test)]
mod tests;
