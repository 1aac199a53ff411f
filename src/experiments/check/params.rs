//! Parameters of a step, held to what its tool takes.
//!
//! Owns which of them are known before a run: what an earlier step gives is not. Must never run a tool, and never fetch anything: a schema that
//! refers to another place checks nothing.

use jsonschema::JsonType;
use jsonschema::error::{TypeKind, ValidationErrorKind};
use serde_json::{Map, Value};

use super::Found;
use super::known::Known;
use crate::contracts::untrusted::sanitize_line;
use crate::experiments::spec::{Spec, Step};
use crate::experiments::steps::{self, By, Planned, SENDER, reference};

/// Faults of a step that are told of.
const TOLD: usize = 20;

/// Holds the parameters of each step to what its tool takes, as it would be given them.
pub(super) fn params(spec: &Spec, known: &Known, found: &mut Found) {
    let planned = steps::plan(spec).unwrap_or_default();
    for (index, step) in spec.execution.steps.iter().enumerate() {
        let path = format!("execution.steps[{index}].params");
        match planned.iter().find(|planned| planned.step.id == step.id) {
            Some(Planned { by: By::Person, .. }) => {}
            Some(Planned { step, .. }) => fit(step, &path, spec, known, found),
            // What is missing of a message that nobody gets is said otherwise.
            None if step.tool == SENDER => {}
            None => fit(step, &path, spec, known, found),
        }
    }
    let is_own = |id: &str| spec.execution.steps.iter().any(|step| step.id == id);
    for Planned { step, by } in planned.iter().filter(|planned| !is_own(&planned.step.id)) {
        if *by == By::Tool {
            fit(step, "outreach", spec, known, found);
        }
    }
}

fn fit(step: &Step, path: &str, spec: &Spec, known: &Known, found: &mut Found) {
    let Some(inputs) = known.inputs(&step.tool) else { return };
    // What outreach says is looked at where it says it.
    let is_said = |name: &str| {
        spec.outreach.is_some() && step.tool == SENDER && matches!(name, "template" | "subject" | "daily_limit")
    };
    let shown = sanitize_line(&step.tool, 60);
    for Misfit { at, what } in misfits(&step.params, inputs, &is_open) {
        let place = if at.is_empty() { path.to_owned() } else { format!("{path}.{at}") };
        let within = if at.is_empty() { String::new() } else { format!("`{at}` of ") };
        match what {
            Wrong::Missing(name) if at.is_empty() && is_said(&name) => {}
            Wrong::Missing(name) => {
                let fix = described(inputs, &name).filter(|_| at.is_empty()).unwrap_or_default();
                found.error(place, format!("{within}`{shown}` needs `{name}`"), fix);
            }
            Wrong::Unknown(name) => {
                let properties = inputs.get("properties").and_then(Value::as_object).filter(|_| at.is_empty());
                let taken = properties.map(|it| it.keys().map(|name| sanitize_line(name, 60)).collect::<Vec<_>>());
                let fix = taken.map(|taken| format!("it takes {}", taken.join(", "))).unwrap_or_default();
                found.error(path, format!("{within}`{shown}` has no parameter `{name}`"), fix);
            }
            Wrong::Other(_) if is_said(&at) => {}
            Wrong::Other(words) => found.error(place, format!("`{at}` of `{shown}` does not fit: {words}"), ""),
        }
    }
}

/// What a tool says of a parameter.
fn described(inputs: &Value, name: &str) -> Option<String> {
    let words = inputs.get("properties")?.get(name)?.get("description")?.as_str()?;
    Some(format!("`{name}`: {}", sanitize_line(words, 160)))
}

/// What an earlier step gives, which nobody knows yet.
fn is_open(value: &Value) -> bool {
    value.as_str().is_some_and(|text| reference::whole(text).is_some())
}

/// Something about parameters that does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Misfit {
    /// Where, as a path into the parameters: `filters.0`; empty for all of them. Harmless.
    at: String,
    /// What is wrong there; harmless.
    what: Wrong,
}

/// In what way parameters do not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Wrong {
    /// This one has to be there.
    Missing(String),
    /// There is no such one.
    Unknown(String),
    /// In words, whatever it is.
    Other(String),
}

/// What of these parameters does not fit, before those are filled in that nobody knows yet: `is_open` says of a value whether it is such a
/// one.
fn misfits(params: &Map<String, Value>, schema: &Value, is_open: &impl Fn(&Value) -> bool) -> Vec<Misfit> {
    // What cannot be used is the tool's fault, and said there.
    let Ok(validator) = jsonschema::validator_for(schema) else { return Vec::new() };
    let value = Value::Object(params.clone());
    let mut found = Vec::new();
    for fault in validator.iter_errors(&value) {
        let at = sanitize_line(&fault.instance_path().to_string().trim_start_matches('/').replace('/', "."), 80);
        let mut add = |what| found.push(Misfit { at: at.clone(), what });
        match fault.kind() {
            ValidationErrorKind::Required { property } => {
                add(Wrong::Missing(sanitize_line(property.as_str().unwrap_or_default(), 60)));
            }
            ValidationErrorKind::AdditionalProperties { unexpected }
            | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
                for name in unexpected {
                    add(Wrong::Unknown(sanitize_line(name, 60)));
                }
            }
            _ if has_open(fault.instance(), is_open) => {}
            ValidationErrorKind::Type { kind } => {
                add(Wrong::Other(format!("it should be {}, and is {}", types(kind), type_of(fault.instance()))));
            }
            // It quotes the value, which may be long or not harmless.
            _ => add(Wrong::Other(sanitize_line(&fault.to_string(), 200))),
        }
    }
    found.truncate(TOLD);
    found
}

fn has_open(value: &Value, is_open: &impl Fn(&Value) -> bool) -> bool {
    is_open(value)
        || match value {
            Value::Array(items) => items.iter().any(|item| has_open(item, is_open)),
            Value::Object(fields) => fields.values().any(|field| has_open(field, is_open)),
            _ => false,
        }
}

fn types(kind: &TypeKind) -> String {
    let word = |one: JsonType| match one {
        JsonType::Array => "a list",
        JsonType::Boolean => "true or false",
        JsonType::Integer => "a whole number",
        JsonType::Null => "nothing",
        JsonType::Number => "a number",
        JsonType::Object => "fields",
        JsonType::String => "a text",
    };
    match kind {
        TypeKind::Single(one) => word(*one).to_owned(),
        TypeKind::Multiple(several) => several.iter().map(word).collect::<Vec<_>>().join(" or "),
    }
}

const fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "fields",
    }
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_nobody_knows_yet_fits_and_the_rest_is_checked() {
        let schema = json!({
            "type": "object", "required": ["path", "people"], "additionalProperties": false,
            "properties": {
                "path": { "type": "string" }, "people": { "type": "array", "items": { "type": "object" } },
                "limit": { "type": "integer", "minimum": 1 }, "urls": { "type": ["string", "array"] },
            }
        });
        let of = |params: Value| {
            let open = |value: &Value| value.as_str().is_some_and(|text| text.starts_with("{{"));
            let found = misfits(params.as_object().unwrap(), &schema, &open);
            let mut found: Vec<_> = found.into_iter().map(|it| (it.at, it.what)).collect();
            found.sort_by_key(|it| format!("{it:?}"));
            found
        };
        assert_eq!(of(json!({ "path": "{{a.b}}", "people": "{{a.rows}}", "limit": "{{a.n}}" })), []);
        assert_eq!(of(json!({ "path": "a", "people": [{}, "{{a.person}}"] })), []);
        let text = |text: &str| Wrong::Other(text.to_owned());
        assert_eq!(
            of(json!({ "people": "everybody", "pth": "a", "limit": "many" })),
            [
                (String::new(), Wrong::Missing("path".to_owned())),
                (String::new(), Wrong::Unknown("pth".to_owned())),
                ("limit".to_owned(), text("it should be a whole number, and is a text")),
                ("people".to_owned(), text("it should be a list, and is a text")),
            ]
        );
        assert_eq!(
            of(json!({ "path": "a", "people": [7], "urls": 3 })),
            [
                ("people.0".to_owned(), text("it should be fields, and is a number")),
                ("urls".to_owned(), text("it should be a text or a list, and is a number")),
            ]
        );
        assert!(of(json!({ "path": "a", "people": [], "limit": 0 }))[0].0 == "limit");
    }
}
