//! Tools of others that one of ours stands in for, and people who are still to be found.

use serde_json::{Map, Value, json};

use super::{Changes, note};
use crate::contracts::untrusted::sanitize_line;
use crate::experiments::aliases::{self, Shipped};
use crate::experiments::check::{Known, placeholder};
use crate::experiments::outreach::variables;
use crate::experiments::spec::{Spec, Step};
use crate::experiments::steps::SENDER;

/// Where people are to be put who are still to be found.
const LIST: &str = "leads.csv";

pub(super) fn mend(spec: &mut Spec, known: &Known, changes: &mut Changes) {
    let mut kept = Vec::new();
    for (index, step) in spec.execution.steps.iter_mut().enumerate() {
        let path = format!("execution.steps[{index}]");
        if let Some(tool) = aliases::stands_in_for(&step.tool).filter(|_| !known.has_tool(&step.tool)) {
            changes.add(
                format!("{path}.tool"),
                format!("`{}` does what `{}` should", tool.name, sanitize_line(&step.tool, 60)),
            );
            step.tool = tool.name.to_owned();
            rename(&mut step.params, tool);
            conditions(&mut step.params, tool, &spec.target.filters);
        }
        if let Some(tool) = aliases::shipped(&step.tool) {
            fit(step, tool, &path, &mut kept, changes);
        }
    }
    for line in kept {
        note(spec, &line);
    }
    people(spec, changes);
}

/// Gives parameters the names that they have here.
fn rename(params: &mut Map<String, Value>, tool: &Shipped) {
    for (there, here) in tool.renamed {
        if params.contains_key(*here) {
            continue;
        }
        if let Some(value) = params.shift_remove(*there) {
            params.insert((*here).to_owned(), value);
        }
    }
    // Companies to look at are pages.
    if tool.name == "web_page"
        && let Some(Value::Array(companies)) = params.shift_remove("companies")
    {
        let url = |company: &Value| {
            let text = company.as_str().or_else(|| company.get("url")?.as_str())?;
            Some(Value::String(if text.contains("://") { text.to_owned() } else { format!("https://{text}") }))
        };
        params.insert("urls".to_owned(), Value::Array(companies.iter().filter_map(url).collect()));
    }
}

/// Gives a tool that filters the conditions of the target, those that it can know, and titles that others name as a parameter.
fn conditions(params: &mut Map<String, Value>, tool: &Shipped, wanted: &[Map<String, Value>]) {
    if !tool.params.contains(&"filters") || params.contains_key("filters") || tool.columns.is_empty() {
        return;
    }
    let mut filters: Vec<Value> = Vec::new();
    for (name, value) in wanted.iter().flatten() {
        if tool.params.contains(&name.as_str()) {
            params.entry(name.clone()).or_insert_with(|| value.clone());
        } else if tool.columns.iter().any(|column| {
            name.strip_prefix("has_") == Some(column)
                || name.strip_prefix(column).is_some_and(|rest| rest.starts_with('_'))
        }) {
            filters.push(Value::Object(Map::from_iter([(name.clone(), value.clone())])));
        }
    }
    for titles in ["title_filters", "filter_job_titles", "target_roles"] {
        if let Some(value) = params.shift_remove(titles).filter(|_| tool.columns.contains(&"title")) {
            filters.push(json!({ "title_contains": value }));
        }
    }
    if !filters.is_empty() {
        params.insert("filters".to_owned(), Value::Array(filters));
    }
}

/// Takes out what a tool does not take.
fn fit(step: &mut Step, tool: &Shipped, path: &str, kept: &mut Vec<String>, changes: &mut Changes) {
    if tool.params.is_empty() {
        return;
    }
    let unknown: Vec<String> =
        step.params.keys().filter(|name| !tool.params.contains(&name.as_str())).cloned().collect();
    for name in unknown {
        let Some(value) = step.params.shift_remove(&name) else { continue };
        let shown = sanitize_line(&name, 60);
        changes
            .add(format!("{path}.params"), format!("`{}` does not take `{shown}`; it is kept in the notes", tool.name));
        kept.push(format!("{}.{shown}: {}", step.id, sanitize_line(&value.to_string(), 400)));
    }
}

/// People in the specification itself who are placeholders: a list takes their place, which somebody has to fill.
fn people(spec: &mut Spec, changes: &mut Changes) {
    let Some(index) = spec.execution.steps.iter().position(|step| step.tool == SENDER) else { return };
    let path = format!("execution.steps[{index}].params.recipients");
    let Some(Value::Array(people)) = spec.execution.steps[index].params.get_mut("recipients") else { return };
    let before = people.len();
    people.retain(|person| !is_placeholder(person));
    let left_out = before - people.len();
    if left_out == 0 {
        return;
    }
    if !people.is_empty() {
        changes.add(path, format!("{left_out} who do not exist are taken out"));
        return;
    }
    let mut fields = vec!["email".to_owned()];
    if let Some(outreach) = &spec.outreach {
        let texts = outreach.subject.iter().chain([&outreach.template]);
        let more = outreach.variants.iter().flat_map(|variant| variant.subject.iter().chain(&variant.template));
        for variable in texts.chain(more).filter_map(|text| variables(text).ok()).flatten() {
            if !fields.iter().any(|field| field == variable.name) {
                fields.push(variable.name.to_owned());
            }
        }
    }
    let mut id = "leads".to_owned();
    while spec.execution.steps.iter().any(|step| step.id == id) {
        id.push('_');
    }
    spec.execution.steps[index].params.insert("recipients".to_owned(), json!(format!("{{{{{id}.rows}}}}")));
    let params = Map::from_iter([("path".to_owned(), json!(LIST))]);
    let list = Step { id, tool: "csv_leads".to_owned(), params, depends_on: Vec::new() };
    spec.execution.steps.insert(index, list);
    let fields = fields.join(", ");
    changes
        .add(path, format!("nobody of them exists: they come from `{LIST}`, which is still to be filled ({fields})"));
    spec.manual_steps_required.insert(0, format!("Put the people into {LIST}, with the columns {fields}"));
}

/// Whether this is nobody yet.
fn is_placeholder(person: &Value) -> bool {
    let text = |name: &str| person.get(name).and_then(Value::as_str).unwrap_or_default();
    let address = person.as_str().unwrap_or_else(|| text("email"));
    let open = |value: &Value| value.as_str().is_some_and(|text| text.contains("{{") || placeholder(text).is_some());
    let fields = person.as_object();
    address.starts_with("placeholder@") || address.is_empty() || fields.is_some_and(|fields| fields.values().any(open))
}
