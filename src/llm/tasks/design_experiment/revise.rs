//! Changing an experiment by rule of thumb: what the wish names is changed, everything else stays.

use serde_json::{Value, json};

use super::DesignInput;
use super::compose::percent;
use super::idea;
use crate::contracts::untrusted::sanitize_line;
use crate::experiments::spec::{Mode, Spec};

/// The experiment with what the wish names, and why.
pub(super) fn revised(former: &Spec, input: &DesignInput) -> (Spec, Vec<String>) {
    let wish = [input.title.as_str(), input.idea.as_str()].join(". ");
    let said = idea::read(&wish);
    let mut spec = former.clone();
    let mut changed: Vec<(&str, String)> = Vec::new();
    if let Some(size) = said.size {
        spec.target.size = Some(size);
        for step in &mut spec.execution.steps {
            for name in ["limit", "size"] {
                if step.params.contains_key(name) {
                    step.params.insert(name.to_owned(), json!(size));
                }
            }
        }
        changed.push(("target.size", format!("{size} people")));
    }
    if let Some(schedule) = said.schedule {
        changed.push(("execution.schedule", format!("it runs at `{schedule}`")));
        spec.execution.schedule = Some(schedule);
    }
    if said.once {
        spec.execution.schedule = None;
        changed.push(("execution.schedule", "it runs once".to_owned()));
    }
    if let Some(good) = said.good {
        let is_old = |text: &String| text.starts_with("reply_rate") || text.starts_with("response_rate");
        if let Some(old) = spec.success_criteria.iter_mut().find(|text| is_old(text)) {
            let after = old.find(" after ").map(|at| old[at..].to_owned()).unwrap_or_default();
            let name = old.split(' ').next().unwrap_or("reply_rate").to_owned();
            *old = format!("{name} >= {}{after}", percent(good));
            changed.push(("success_criteria", format!("{} of replies is the line", percent(good))));
        }
    }
    if let Some(outreach) = &mut spec.outreach {
        if let Some(limit) = said.per_day {
            outreach.daily_limit = Some(limit);
            changed.push(("outreach.daily_limit", format!("{limit} messages a day")));
        }
        if outreach.sender.is_none() {
            outreach.sender.clone_from(&input.sender);
        }
    }
    if let Some(list) = input.list.as_ref().map(|list| list.path.clone()).or(said.list)
        && let Some(step) = spec.execution.steps.iter_mut().find(|step| step.tool == "csv_leads")
    {
        step.params.insert("path".to_owned(), Value::String(list.clone()));
        changed.push(("execution.steps", format!("the people come from {list}")));
    }
    let simulated = spec.execution.steps.iter().any(|step| step.tool == "simulated_audience");
    match said.mode {
        Some(Mode::Live) if simulated => {
            changed.push(("notes", "it stays a simulation: its people do not exist".to_owned()));
        }
        Some(Mode::Live) if input.sender.is_none() => {
            changed.push(("notes", "it stays a dry run: no sender is set (`outreach.sender`)".to_owned()));
        }
        Some(mode) if mode != spec.mode && !(simulated && mode == Mode::DryRun) => {
            spec.mode = mode;
            changed.push(("mode", format!("the mode is {mode}")));
        }
        _ => {}
    }
    for (path, _) in &changed {
        spec.sources.insert((*path).to_owned(), "idea".to_owned());
    }
    if spec.sources.is_empty() {
        spec.sources.insert("notes".to_owned(), "idea".to_owned());
    }
    let wish = sanitize_line(&wish, 400);
    let notes = spec.notes.get_or_insert_default();
    if !notes.is_empty() {
        notes.push('\n');
    }
    notes.push_str("Changed on request: ");
    notes.push_str(&wish);
    let reasons = if changed.is_empty() {
        vec![
            "The wish names nothing that a rule can change; it is kept in the notes for a person to work in."
                .to_owned(),
        ]
    } else {
        changed.into_iter().map(|(_, what)| format!("Changed: {what}.")).collect()
    };
    (spec, reasons)
}
