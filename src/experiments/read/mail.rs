//! What a step says about mail that goes out: the outreach's, wherever it is written.
//!
//! Must never lose a word of it: what nobody knows is given back.

use serde_json::{Map, Value};

use super::execution::Sending;
use crate::experiments::aliases;
use crate::experiments::spec::Span;
use crate::experiments::steps::SENDER;

/// The names under which parameters of a step say it themselves.
const OWN: [&str; 10] = [
    "subject",
    "body",
    "text",
    "sender",
    "sender_email",
    "from",
    "sender_name",
    "daily_limit",
    "delay_seconds",
    "delay",
];

/// Takes what is said about mail out of a step's parameters, and gives back what has no place.
pub(super) fn taken(
    params: &mut Map<String, Value>,
    options: Option<Value>,
    sending: &mut Sending,
) -> Vec<(String, Value)> {
    let mut left = Vec::new();
    let mut sources: Vec<(&str, Map<String, Value>)> = Vec::new();
    for value in params.shift_remove("send_options").into_iter().chain(options) {
        match value {
            Value::Object(fields) => sources.push(("send_options.", fields)),
            other => left.push(("send_options".to_owned(), other)),
        }
    }
    match params.shift_remove("template") {
        Some(Value::Object(template)) => sources.push(("template.", template)),
        Some(Value::String(text)) => sources.push(("", Map::from_iter([("template".to_owned(), text.into())]))),
        // The check says what is wrong with it.
        Some(other) => drop(params.insert("template".to_owned(), other)),
        None => {}
    }
    let own = OWN.iter().filter_map(|name| Some(((*name).to_owned(), params.shift_remove(*name)?)));
    sources.push(("", own.collect()));
    for (within, mut fields) in sources {
        said(&mut fields, sending);
        for (name, value) in fields {
            // A parameter of the tool, or one that is none and that the check refuses.
            let is_param = aliases::shipped(SENDER).is_some_and(|tool| tool.takes(&name)) && !is_said(&name, &value);
            if is_param && !params.contains_key(&name) {
                params.insert(name, value);
            } else {
                left.push((format!("{within}{name}"), value));
            }
        }
    }
    left
}

/// Whether it could have been taken, had not another been there before.
fn is_said(name: &str, value: &Value) -> bool {
    match name {
        "daily_limit" => value.as_u64().is_some(),
        "delay" => span(value).is_some(),
        "subject" | "template" | "sender" | "sender_name" => value.is_string(),
        _ => false,
    }
}

/// Takes what is said for the first time, or said again.
fn said(fields: &mut Map<String, Value>, sending: &mut Sending) {
    let mut text = |place: &mut Option<String>, names: &[&str]| {
        for name in names {
            let Some(found) = fields.get(*name).and_then(Value::as_str).map(|text| text.trim_end().to_owned()) else {
                continue;
            };
            if place.get_or_insert_with(|| found.clone()) == &found {
                fields.shift_remove(*name);
            }
        }
    };
    text(&mut sending.subject, &["subject"]);
    text(&mut sending.template, &["body", "text", "template"]);
    text(&mut sending.sender, &["sender_email", "sender", "from"]);
    text(&mut sending.sender_name, &["sender_name"]);
    let limit = fields.get("daily_limit").and_then(|it| it.as_u64().or_else(|| it.as_str()?.trim().parse().ok()));
    if limit.is_some_and(|limit| *sending.daily_limit.get_or_insert(limit) == limit) {
        fields.shift_remove("daily_limit");
    }
    for (name, found) in [
        ("delay_seconds", fields.get("delay_seconds").and_then(seconds)),
        ("delay", fields.get("delay").and_then(span)),
    ] {
        if found.is_some_and(|found| *sending.delay.get_or_insert(found) == found) {
            fields.shift_remove(name);
        }
    }
}

fn seconds(value: &Value) -> Option<Span> {
    let seconds = value.as_f64().filter(|n| (0.0..86_400.0).contains(n))?;
    Some(Span(std::time::Duration::from_secs_f64(seconds)))
}

fn span(value: &Value) -> Option<Span> {
    Span::try_from(value.as_str()?.to_owned()).ok()
}
