//! What is counted and computed, and when it is good or bad.

use super::{CRITERIA, Found, METRICS, is_name};
use crate::contracts::untrusted::sanitize_line;
use crate::experiments::criteria::{Criterion, DefinitionError, Definitions, Formula};
use crate::experiments::events;
use crate::experiments::spec::{MetricKind, Spec};

pub(super) fn metrics(spec: &Spec, found: &mut Found) {
    found.most("metrics", spec.metrics.len(), METRICS);
    for (index, metric) in spec.metrics.iter().enumerate() {
        let path = format!("metrics[{index}]");
        if !is_name(&metric.name) {
            let message = format!("`{}` is no name of a metric", sanitize_line(&metric.name, 60));
            found.error(format!("{path}.name"), message, "small letters, digits and `_`, a letter first");
            continue;
        }
        if metric.kind == MetricKind::Percentage
            && metric.formula.is_none()
            && events::usual_formula(&metric.name).is_none()
        {
            let message = format!("it is not said of what `{}` is a share", metric.name);
            let fix = formula_for(&metric.name).map_or_else(
                || "write its `formula`, like `replies / emails_sent`".to_owned(),
                |it| format!("write `formula: {it}`"),
            );
            found.error(format!("{path}.formula"), message, fix);
        }
        for (name, line) in
            [("success_threshold", metric.success_threshold), ("failure_threshold", metric.failure_threshold)]
        {
            let share = metric.kind == MetricKind::Percentage;
            if let Some(line) = line.filter(|line| *line < 0.0 || share && *line > 1.0 || !line.is_finite()) {
                found.error(
                    format!("{path}.{name}"),
                    format!("{line} can never be reached"),
                    "a share is a fraction: 0.08 for 8 %",
                );
            }
        }
    }
    let (_, errors) = Definitions::of(&spec.metrics);
    for err in errors {
        let index = spec.metrics.iter().rposition(|metric| metric.name == err.metric()).unwrap_or_default();
        let fix = match &err {
            DefinitionError::Formula { error, .. } => error
                .suggestion
                .as_ref()
                .map(|text| format!("write `{}`", sanitize_line(text, 120)))
                .unwrap_or_default(),
            DefinitionError::Cycle { .. } => "compute it from what is counted".to_owned(),
            DefinitionError::Twice { .. } => "take one of them out".to_owned(),
        };
        found.error(format!("metrics[{index}]"), sanitize_line(&err.to_string(), 300), fix);
    }
    counted(spec, found);
}

/// At least what was sent is counted, and at least one share is computed of it.
fn counted(spec: &Spec, found: &mut Found) {
    let sent = spec.metrics.iter().any(|metric| metric.kind == MetricKind::Counter && metric.name.ends_with("_sent"));
    let rate =
        spec.metrics.iter().any(|metric| metric.kind == MetricKind::Percentage && metric.name.ends_with("_rate"));
    let lacks = |found: &mut Found, message: &str, fix: &str| {
        if spec.outreach.is_some() {
            found.error("metrics", message, fix);
        } else if spec.metrics.is_empty() {
            found.error("metrics", "nothing is measured", "name what is counted in `metrics`");
        }
    };
    if !sent {
        lacks(found, "nothing counts what was sent", "add `- name: emails_sent` with `type: counter`");
    }
    if !rate && (sent || spec.outreach.is_some()) {
        lacks(
            found,
            "no share is computed",
            "add a `percentage` like `reply_rate` with `formula: replies / emails_sent`",
        );
    }
}

/// How a share with a counter's name is probably meant: `emails_opened` in percent is of those that were sent.
pub(in crate::experiments) fn formula_for(name: &str) -> Option<String> {
    if let Some(usual) = events::usual_formula(name) {
        return Some(usual.to_owned());
    }
    let event = events::event_of(name)?;
    (!events::is_sending(event)).then(|| format!("{name} / emails_sent"))
}

pub(super) fn criteria(spec: &Spec, found: &mut Found) {
    let (definitions, _) = Definitions::of(&spec.metrics);
    for (name, list) in [("success_criteria", &spec.success_criteria), ("failure_criteria", &spec.failure_criteria)] {
        found.most(name, list.len(), CRITERIA);
        if list.is_empty() {
            let fix = if name.starts_with("success") {
                "write for example `reply_rate >= 5%`"
            } else {
                "write for example `reply_rate < 1% after 100 sends`"
            };
            found.error(name, format!("there are no {}", name.replace('_', " ")), fix);
        }
        for (index, text) in list.iter().enumerate() {
            let path = format!("{name}[{index}]");
            match Criterion::parse(text) {
                Err(err) => {
                    let fix = err.suggestion.as_ref().map_or_else(
                        || "write a number and a line, like `reply_rate >= 8% after 50 sends`".to_owned(),
                        |text| format!("write `{}`", sanitize_line(text, 160)),
                    );
                    let message = format!(
                        "`{}` is no criterion: {}",
                        sanitize_line(text, 100),
                        sanitize_line(&err.to_string(), 160)
                    );
                    found.error(path, message, fix);
                }
                Ok(criterion) => {
                    for unknown in unknown_names(&criterion, spec, &definitions) {
                        let message = format!("nothing counts `{unknown}`, so that nobody will ever know");
                        found.error(&path, message, format!("add it to `metrics`: `name: {unknown}`, `type: counter`"));
                    }
                }
            }
        }
    }
}

/// The names in a criterion that nothing gives a number.
pub(in crate::experiments) fn unknown_names(
    criterion: &Criterion,
    spec: &Spec,
    definitions: &Definitions,
) -> Vec<String> {
    let known = |name: &str| {
        spec.metrics.iter().any(|metric| metric.name == name)
            || events::event_of(name).is_some()
            || definitions.formula(name).is_some()
            // What formulas count is counted.
            || spec.metrics.iter().filter_map(|metric| Formula::parse(metric.formula.as_deref()?).ok()).any(|formula| {
                formula.names().iter().any(|used| used.name == name)
            })
    };
    let mut names: Vec<String> = criterion
        .names()
        .into_iter()
        .filter(|name| name.space.is_none() && name.aggregate.is_none())
        .map(|name| name.name.clone())
        .collect();
    names.retain(|name| !known(name));
    names.dedup();
    names
}
