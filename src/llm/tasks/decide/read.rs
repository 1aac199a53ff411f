//! Reads a decision as models write it: the payload under any of the names that were ever asked for, or as a text.
//!
//! Owns the names. The action alone is never guessed: an unknown one is an error.

use serde::{Deserialize, Deserializer, de};
use serde_json::{Map, Value};

use super::{Action, Decision, Payload};
use crate::contracts::Priority;

impl<'de> Deserialize<'de> for Decision {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        decision(Value::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

fn decision(value: Value) -> Result<Decision, String> {
    let Value::Object(mut fields) = value else { return Err("a decision is an object with `action`".to_owned()) };
    if let Some(Value::Object(inner)) = fields.remove("decision") {
        fields.extend(inner);
    }
    let named = fields.get("action").and_then(Value::as_str).ok_or("`action` is missing")?;
    let action = Action::read(named).ok_or_else(|| {
        let known: Vec<_> = Action::ALL.iter().map(|action| action.as_str()).collect();
        format!("unknown action `{}`; there are {}", named.chars().take(60).collect::<String>(), known.join(", "))
    })?;
    let given = match fields.remove("payload") {
        Some(Value::Object(payload)) => payload,
        None | Some(Value::Null) => Map::new(),
        Some(other) => Map::from_iter([("content".to_owned(), other)]),
    };
    let experiment_id =
        first(&fields, &["experiment_id"]).or_else(|| first(&given, &["experiment_id", "experiment", "revises"]));
    Ok(Decision {
        action,
        reasoning: first(&fields, &["reasoning", "reason"]).unwrap_or_else(|| "no reason was given".to_owned()),
        payload: payload(action, given),
        priority: fields.get("priority").and_then(|priority| Priority::deserialize(priority).ok()).unwrap_or_default(),
        experiment_id: experiment_id.filter(|id| id != "null" && id != "none"),
        context_for_fullsend: first(&fields, &["context_for_fullsend", "context"]),
    })
}

fn payload(action: Action, mut given: Map<String, Value>) -> Payload {
    // `{"prd": {…}}`, `{"idea": {…}}`: what counts stands one level below.
    for wrapper in ["prd", "idea", "value"] {
        if given.get(wrapper).is_some_and(Value::is_object)
            && let Some(Value::Object(inner)) = given.remove(wrapper)
        {
            given.extend(inner);
        }
    }
    let (titles, contents): (&[&str], &[&str]) = match action {
        Action::DispatchToFullsend => {
            (&["title", "name"], &["content", "description", "idea", "hypothesis", "text", "value", "title"])
        }
        Action::DispatchToBuilder => {
            (&["title", "name", "tool_name", "tool"], &["content", "description", "purpose", "text", "value"])
        }
        Action::RespondToDiscord => (&["title"], &["content", "message", "text", "response", "question", "value"]),
        Action::UpdateWorklist => (&["title"], &["content", "worklist", "text", "value"]),
        Action::RecordLearning => (
            &["title", "headline", "learning", "insight", "content", "text", "value"],
            &["content", "insight", "observation"],
        ),
        Action::KillExperiment => (&["title"], &["content", "reason", "text", "value"]),
        Action::InitiateRoundtable => {
            (&["title"], &["content", "prompt", "question", "topic", "text", "value", "title"])
        }
        Action::NoAction => (&["title"], &["content", "reason", "note", "value"]),
    };
    Payload {
        title: first(&given, titles),
        content: first(&given, contents),
        goal: first(&given, &["goal", "success_criteria"]),
        inputs: list(&given, &["inputs", "evidence"]),
        outputs: list(&given, &["outputs"]),
        requirements: list(&given, &["requirements", "constraints"]),
    }
}

/// The first of these that holds a text that is not empty.
fn first(fields: &Map<String, Value>, names: &[&str]) -> Option<String> {
    let texts = names.iter().filter_map(|name| match fields.get(*name)? {
        Value::String(text) => Some(text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    });
    texts.into_iter().find(|text| !text.is_empty())
}

/// The first of these that holds a list (or one text): each member in a line.
fn list(fields: &Map<String, Value>, names: &[&str]) -> Vec<String> {
    let line = |member: &Value| match member {
        Value::String(text) => text.trim().to_owned(),
        Value::Object(fields) => {
            let name = first(fields, &["name", "title"]);
            let about = first(fields, &["description", "type"]);
            match (name, about) {
                (Some(name), Some(about)) => format!("{name}: {about}"),
                (Some(only), None) | (None, Some(only)) => only,
                (None, None) => member.to_string(),
            }
        }
        other => other.to_string(),
    };
    let found = names.iter().find_map(|name| match fields.get(*name)? {
        Value::Array(members) => Some(members.iter().map(line).collect::<Vec<_>>()),
        Value::String(text) => Some(vec![text.trim().to_owned()]),
        _ => None,
    });
    found.unwrap_or_default().into_iter().filter(|text| !text.is_empty()).collect()
}
