//! Criteria in prose, shares without a formula, counters that nobody named.

use super::Changes;
use crate::contracts::untrusted::sanitize_line;
use crate::experiments::check::{formula_for, is_name, slug, uncounted, unjudged, unknown_names};
use crate::experiments::criteria::{Criterion, Definitions};
use crate::experiments::spec::{Metric, MetricKind, Spec};

pub(super) fn mend(spec: &mut Spec, changes: &mut Changes) {
    shares(spec, changes);
    let mut learn = std::mem::take(&mut spec.learnings_to_capture);
    prose("success_criteria", &mut spec.success_criteria, &mut learn, changes);
    prose("failure_criteria", &mut spec.failure_criteria, &mut learn, changes);
    spec.learnings_to_capture = learn;
    thresholds(spec, changes);
    count_all(spec, changes);
    counted(spec, changes);
}

fn shares(spec: &mut Spec, changes: &mut Changes) {
    for (index, metric) in spec.metrics.iter_mut().enumerate() {
        if !is_name(&metric.name) && is_name(&slug(&metric.name)) {
            let name = slug(&metric.name);
            changes.add(
                format!("metrics[{index}].name"),
                format!("`{}` is `{name}` now", sanitize_line(&metric.name, 60)),
            );
            metric.name = name;
        }
        if metric.kind == MetricKind::Percentage
            && metric.formula.is_none()
            && let Some(formula) = formula_for(&metric.name)
        {
            // Its own name in its formula would be the share itself.
            if formula.split(' ').any(|word| word == metric.name) {
                let name = format!("{}_rate", metric.name);
                changes.add(
                    format!("metrics[{index}]"),
                    format!("the share is called `{name}`: `{}` counts", metric.name),
                );
                metric.name = name;
            }
            changes.add(format!("metrics[{index}].formula"), format!("`{}` is `{formula}`", metric.name));
            metric.formula = Some(formula);
        }
    }
}

/// Puts what a sentence may have meant in its place; what can be no criterion is to be learned.
fn prose(name: &str, list: &mut Vec<String>, learn: &mut Vec<String>, changes: &mut Changes) {
    let mut kept = Vec::new();
    for (index, text) in std::mem::take(list).into_iter().enumerate() {
        let path = format!("{name}[{index}]");
        let Err(err) = Criterion::parse(&text) else {
            kept.push(text);
            continue;
        };
        let shown = sanitize_line(&text, 120);
        match err.suggestion.or_else(|| flag(&text)).filter(|meant| Criterion::parse(meant).is_ok()) {
            Some(meant) => {
                changes.add(path, format!("`{shown}` is `{meant}` now"));
                kept.push(meant);
            }
            None => {
                changes.add(path, format!("`{shown}` names no number: it is among what is to be learned"));
                learn.push(text);
            }
        }
    }
    *list = kept;
}

/// `blocked: true` means at least one.
fn flag(text: &str) -> Option<String> {
    let (name, value) = text.split_once(':')?;
    (is_name(name.trim()) && value.trim() == "true").then(|| format!("{} >= 1", name.trim()))
}

/// Counts what criteria and formulas speak of and nothing counts. What may be a typing error is left for a person.
fn count_all(spec: &mut Spec, changes: &mut Changes) {
    let (definitions, _) = Definitions::of(&spec.metrics);
    let all: Vec<Criterion> = spec
        .success_criteria
        .iter()
        .chain(&spec.failure_criteria)
        .filter_map(|text| Criterion::parse(text).ok())
        .collect();
    let in_criteria = all.iter().flat_map(|criterion| unknown_names(criterion, spec, &definitions));
    let in_formulas = uncounted(spec, &definitions).into_iter().map(|(_, name)| name);
    let mut names: Vec<String> = in_criteria
        .chain(in_formulas)
        .filter(|unknown| !unknown.is_sample && unknown.is_event() && unknown.nearest(spec).is_none())
        .map(|unknown| unknown.name.name)
        .collect();
    names.sort_unstable();
    names.dedup();
    for name in names.into_iter().filter(|name| is_name(name) && !name.ends_with("_rate")) {
        changes.add("metrics", format!("`{name}` is counted"));
        spec.metrics.push(counter(name));
    }
}

/// Makes criteria of what is said to be a failure and nothing judges. What is said to be a success is not asked for besides: all of those
/// have to hold.
fn thresholds(spec: &mut Spec, changes: &mut Changes) {
    for it in unjudged(spec).into_iter().filter(|it| !it.is_success && !it.is_judged) {
        if Criterion::parse(&it.criterion).is_err() {
            continue;
        }
        let path = format!("metrics[{}].failure_threshold", it.index);
        changes.add(path, format!("it is the criterion `{}` of `failure_criteria` now", it.criterion));
        spec.failure_criteria.push(it.criterion);
    }
}

/// Counts what was sent, and computes the share of replies, where there is neither.
fn counted(spec: &mut Spec, changes: &mut Changes) {
    if spec.outreach.is_none() {
        return;
    }
    if !spec.metrics.iter().any(|metric| metric.kind == MetricKind::Counter && metric.name.ends_with("_sent")) {
        changes.add("metrics", "`emails_sent` is counted");
        spec.metrics.push(counter("emails_sent".to_owned()));
    }
    if !spec.metrics.iter().any(|metric| metric.kind == MetricKind::Percentage && metric.name.ends_with("_rate")) {
        changes.add("metrics", "`reply_rate` is computed");
        let kind = MetricKind::Percentage;
        spec.metrics.push(Metric { kind, formula: formula_for("reply_rate"), ..counter("reply_rate".to_owned()) });
    }
}

fn counter(name: String) -> Metric {
    Metric {
        name,
        kind: MetricKind::Counter,
        formula: None,
        success_threshold: None,
        failure_threshold: None,
        description: None,
    }
}
