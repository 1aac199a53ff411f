//! Tools of others that one of ours stands in for, and people who are still to be found.

use serde_json::{Map, Value, json};

use super::{Changes, note};
use crate::contracts::untrusted::sanitize_line;
use crate::experiments::aliases::{self, Shipped};
use crate::experiments::check::{Known, is_address, placeholder, suits};
use crate::experiments::outreach::{field, variables};
use crate::experiments::spec::{Spec, Step};
use crate::experiments::steps::SENDER;

/// Where people are to be put who are still to be found.
const LIST: &str = "leads.csv";

pub(super) fn mend(spec: &mut Spec, known: &Known, changes: &mut Changes) {
    let mut kept = Vec::new();
    let meant: Vec<Option<&Shipped>> = spec.execution.steps.iter().map(|step| meant(spec, step, known)).collect();
    for ((index, step), meant) in spec.execution.steps.iter_mut().enumerate().zip(meant) {
        let path = format!("execution.steps[{index}]");
        if let Some(tool) = meant {
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

/// The tool that stands in for a step's; none for one that is there, and where nothing does what is needed.
fn meant(spec: &Spec, step: &Step, known: &Known) -> Option<&'static Shipped> {
    let tool = aliases::stands_in_for(&step.tool).filter(|_| !known.has_tool(&step.tool))?;
    suits(spec, step, tool).then_some(tool)
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
    if !tool.takes("filters") || params.contains_key("filters") || tool.columns.is_empty() {
        return;
    }
    let mut filters: Vec<Value> = Vec::new();
    for (name, value) in wanted.iter().flatten() {
        if tool.takes(name) {
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
    let unknown: Vec<String> = step.params.keys().filter(|name| !tool.takes(name)).cloned().collect();
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
    let (nobody, somebody): (Vec<Value>, Vec<Value>) = std::mem::take(people).into_iter().partition(is_placeholder);
    if somebody.iter().any(Value::is_string) {
        changes.add(path.clone(), "addresses are people with an `email` now");
    }
    *people = somebody.into_iter().map(as_person).collect();
    let (left_out, is_empty) = (nobody.len(), people.is_empty());
    if left_out == 0 {
        return;
    }
    for person in nobody.iter().filter(|person| person.as_object().is_some_and(|fields| !fields.is_empty())) {
        note(
            spec,
            &format!("Taken out of the recipients, as nobody yet: {}", sanitize_line(&person.to_string(), 1_000)),
        );
    }
    if !is_empty {
        changes.add(path, format!("{left_out} who do not exist are taken out, and kept in the notes"));
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

/// An address by itself is somebody's.
fn as_person(person: Value) -> Value {
    match person {
        Value::String(address) if is_address(&address) => json!({ "email": address }),
        other => other,
    }
}

/// Whether this is nobody yet: what should be the address is left open. Whoever has one is somebody, whatever else is still to be found out.
fn is_placeholder(person: &Value) -> bool {
    let is_open = |text: &str| {
        let text = text.trim();
        text.is_empty() || text.starts_with("placeholder@") || text.contains("{{") || placeholder(text).is_some()
    };
    match person {
        Value::Object(fields) => {
            let mut addresses = fields.values().filter_map(Value::as_str).filter(|text| text.contains('@'));
            !addresses.any(|text| !is_open(text)) && field(fields, "email").is_none_or(|address| is_open(&address))
        }
        other => other.as_str().is_none_or(is_open),
    }
}
