//! The gist of a body: what a person wants to know of it on one line.
//!
//! Must never fail on a body, whatever it is.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::Untrusted;

/// Fields that say in words what a message is about, the most telling first.
const TELLING: [&str; 19] = [
    "content",
    "message",
    "text",
    "summary",
    "reason",
    "question",
    "topic",
    "hypothesis",
    "title",
    "prompt",
    "error",
    "description",
    "name",
    "command",
    "verdict",
    "event",
    "state",
    "subject",
    "what",
];

/// Fields that other columns show, or that nobody reads.
const SILENT: [&str; 10] =
    ["type", "timestamp", "meta", "version", "priority", "source", "message_id", "reply_to", "channel_id", "user_id"];

/// The most telling text, then the short fields. A body that is no object is its own gist.
pub fn gist(body: &str) -> Untrusted {
    let Ok(fields) = serde_json::from_str::<Map<String, Value>>(body) else {
        return Untrusted::from(body);
    };
    let told = telling(&fields).or_else(|| fields.values().filter_map(Value::as_object).find_map(telling));
    let mut line = told.map(|(_, text)| text.to_owned()).unwrap_or_default();
    for (name, value) in &fields {
        let is_told = told.is_some_and(|(_, text)| value.as_str() == Some(text));
        if SILENT.contains(&name.as_str()) || is_told {
            continue;
        }
        let value = match value {
            Value::String(text) => text.clone(),
            Value::Number(_) | Value::Bool(_) => value.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => continue,
        };
        let space = if line.is_empty() { "" } else { "  " };
        // Writing to a string cannot fail.
        let _ = write!(line, "{space}{name}={value}");
    }
    Untrusted::from(if line.is_empty() { body.to_owned() } else { line })
}

fn telling(fields: &Map<String, Value>) -> Option<(&'static str, &str)> {
    TELLING.iter().find_map(|name| {
        let text = fields.get(*name)?.as_str()?;
        (!text.trim().is_empty()).then_some((*name, text))
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::words_first(r#"{"type":"x","id":7,"message":"hello"}"#, "hello  id=7")]
    #[case::most_telling(r#"{"name":"n","content":"c"}"#, "c  name=n")]
    #[case::inner(r#"{"payload":{"content":"an idea"},"username":"mara"}"#, "an idea  username=mara")]
    #[case::ids_say_nothing(r#"{"content":"c","message_id":"120001","reply_to":"7"}"#, "c")]
    #[case::no_words(r#"{"experiment_id":"exp_1","ok":true,"list":[1]}"#, "experiment_id=exp_1  ok=true")]
    #[case::nothing_short(r#"{"type":"go"}"#, r#"{"type":"go"}"#)]
    #[case::not_json("hello\x1b[2J", "hello")]
    #[case::lines(r#"{"text":"a\nb"}"#, "a⏎b")]
    fn gists(#[case] body: &str, #[case] expected: &str) {
        assert_eq!(gist(body).line(100), expected);
    }
}
