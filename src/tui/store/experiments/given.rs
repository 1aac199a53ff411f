//! What an experiment's document says, wherever in it that stands: in fields of its own, in JSON in a field, in the specification.
//!
//! Must never fail on a document: what cannot be read is not there.

use serde_json::Value;

use super::{LIST_LIMIT, WORDS_LIMIT};
use crate::bus::Document;
use crate::contracts::lifecycle::ExperimentState;
use crate::contracts::untrusted::sanitize_line;

/// What a document says, in its fields or in the specification within it.
pub(super) struct Given<'a> {
    document: &'a Document,
    specs: Vec<Value>,
}

impl<'a> Given<'a> {
    pub(super) fn of(document: &'a Document) -> Self {
        let spec = |field: &&str| {
            let value: Value = serde_json::from_str(document.get(field)?).ok()?;
            Some(value.get("experiment").cloned().unwrap_or(value)).filter(Value::is_object)
        };
        Self { document, specs: ["spec_json", "spec", "criteria_json"].iter().filter_map(spec).collect() }
    }

    /// What stands there: in a field (which may hold JSON), or in the specification.
    fn at(&self, path: &[&str]) -> Option<Value> {
        let (first, rest) = path.split_first()?;
        let inner = |value: Value| rest.iter().try_fold(value, |value, name| value.get(*name).cloned());
        let field = self.document.get(first).map(|text| {
            let is_json = text.trim_start().starts_with(['{', '[', '"']);
            let json = if is_json { serde_json::from_str(text).ok() } else { None };
            json.unwrap_or_else(|| Value::String(text.to_owned()))
        });
        field.and_then(inner).or_else(|| self.specs.iter().find_map(|spec| inner(spec.get(*first)?.clone())))
    }

    /// The first of these that is there, as a line; harmless.
    pub(super) fn text(&self, paths: &[&[&str]]) -> String {
        let found = paths.iter().filter_map(|path| match self.at(path)? {
            Value::String(text) => Some(sanitize_line(text.trim(), WORDS_LIMIT)),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(it) => Some(it.to_string()),
            Value::Object(fields) => {
                let told = ["title", "description", "name"].iter().find_map(|name| fields.get(*name)?.as_str());
                told.map(|text| sanitize_line(text, WORDS_LIMIT))
            }
            Value::Null | Value::Array(_) => None,
        });
        found.into_iter().find(|text| !text.is_empty()).unwrap_or_default()
    }

    /// A list. A text is read as its lines.
    pub(super) fn list(&self, field: &str) -> Option<Vec<Value>> {
        match self.at(&[field])? {
            Value::Array(items) => Some(items),
            Value::String(text) => {
                let lines = text.lines().map(|line| line.trim().trim_start_matches("- "));
                Some(lines.filter(|line| !line.is_empty()).map(|line| Value::String(line.to_owned())).collect())
            }
            _ => None,
        }
    }
}

/// What is known of it, by name; harmless.
pub(super) fn facts(given: &Given<'_>, document: &Document) -> Vec<(&'static str, String)> {
    let paths: [(&'static str, &[&[&str]]); 12] = [
        ("tool", &[&["tool"], &["tool_name"], &["execution", "tool"]]),
        ("for", &[&["target", "description"], &["target"], &["audience"]]),
        ("how many", &[&["target", "size"]]),
        ("from", &[&["target", "source"], &["source"]]),
        ("through", &[&["outreach", "channel"]]),
        ("subject", &[&["outreach", "subject"]]),
        ("created", &[&["created_at"]]),
        ("approved", &[&["approved_by"]]),
        ("paused by", &[&["paused_by"]]),
        ("revises", &[&["revises"]]),
        ("archived", &[&["archived_by"]]),
        ("because", &[&["archived_reason"], &["paused_reason"]]),
    ];
    let mut facts: Vec<_> = paths.iter().map(|(name, paths)| (*name, given.text(paths))).collect();
    if ExperimentState::of(|field| document.get(field)).is_none() {
        let said = document.get("state").or_else(|| document.get("status")).unwrap_or_default();
        facts.insert(0, ("its state", format!("cannot be read: `{}`", sanitize_line(said, 40))));
    }
    facts.retain(|(_, text)| !text.is_empty());
    facts
}

/// What it does, one after the other; harmless.
pub(super) fn steps(given: &Given<'_>) -> Vec<String> {
    let listed = given.list("steps").or_else(|| match given.at(&["execution", "steps"]) {
        Some(Value::Array(steps)) => Some(steps),
        _ => None,
    });
    let step = |step: &Value| match step {
        Value::String(text) => sanitize_line(text, WORDS_LIMIT),
        other => {
            let said = |names: &[&str]| names.iter().find_map(|name| other.get(*name)?.as_str()).unwrap_or_default();
            let (name, tool) = (said(&["id", "name", "title"]), said(&["tool", "action", "type", "description"]));
            let between = if name.is_empty() || tool.is_empty() { "" } else { ": " };
            let params = other.get("params").map(Value::to_string).unwrap_or_default();
            sanitize_line(&format!("{name}{between}{tool} {params}"), WORDS_LIMIT)
        }
    };
    if let Some(listed) = listed {
        return listed.iter().take(LIST_LIMIT).map(step).collect();
    }
    let tool = given.text(&[&["tool"], &["tool_name"], &["execution", "tool"]]);
    let params =
        given.at(&["params"]).or_else(|| given.at(&["params_json"])).or_else(|| given.at(&["execution", "params"]));
    let params = params.map(|value| format!(" {value}")).unwrap_or_default();
    let outreach = given.text(&[&["outreach", "channel"]]);
    let mut steps = Vec::new();
    if !tool.is_empty() {
        steps.push(sanitize_line(&format!("{tool}{params}"), WORDS_LIMIT));
    }
    if !outreach.is_empty() {
        steps.push(format!("say it through {outreach}"));
    }
    steps
}
