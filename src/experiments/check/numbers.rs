//! What is counted and computed, and when it is good or bad.

use super::{CRITERIA, Found, METRICS, is_name};
use crate::contracts::untrusted::sanitize_line;
use crate::experiments::criteria::{
    Aggregate, Criterion, CriterionError, DefinitionError, Definitions, Formula, Name, Space,
};
use crate::experiments::events;
use crate::experiments::spec::{Metric, MetricKind, Spec};

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
    let (definitions, errors) = Definitions::of(&spec.metrics);
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
    for (index, unknown) in uncounted(spec, &definitions) {
        unknown.tell(&format!("metrics[{index}].formula"), spec, found);
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
                        unknown.tell(&path, spec, found);
                    }
                }
            }
        }
    }
}

/// A name that nothing gives a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::experiments) struct Uncounted {
    /// The name.
    pub(in crate::experiments) name: Name,
    /// Whether it is the least number of a suffix: `after 100 people`.
    pub(in crate::experiments) is_sample: bool,
}

impl Uncounted {
    /// Whether events of this name could be counted, if somebody said so.
    pub(in crate::experiments) fn is_event(&self) -> bool {
        self.name.space != Some(Space::Fields)
            && matches!(self.name.aggregate, None | Some(Aggregate::Count | Aggregate::Sum | Aggregate::Rate))
    }

    /// The counter that it may be a typing error of.
    pub(in crate::experiments) fn nearest(&self, spec: &Spec) -> Option<String> {
        let name = self.name.name.as_str();
        let distance = |known: &str| strsim::damerau_levenshtein(name, known);
        let own = spec.metrics.iter().map(|metric| (distance(&metric.name), metric.name.clone())).min();
        let usual = events::words().map(|word| (distance(word), word.to_owned())).min();
        let (far, near) = own.into_iter().chain(usual).min()?;
        (1..=1 + name.len() / 8).contains(&far).then_some(near)
    }

    fn tell(&self, path: &str, spec: &Spec, found: &mut Found) {
        let name = &self.name.name;
        let kind = if self.is_event() { "counter" } else { "duration" };
        let declare = format!("add it to `metrics`: `name: {name}`, `type: {kind}`");
        let fix = match self.nearest(spec) {
            Some(near) => format!("did you mean `{}`?", Name { name: near, ..self.name.clone() }),
            None if self.is_sample => format!("write messages, like `after 100 sends`; or {declare}"),
            None => declare,
        };
        let does = if self.is_event() { "counts" } else { "measures" };
        found.error(path, format!("nothing {does} `{}`, so that nobody will ever know", self.name), fix);
    }
}

/// What is counted of every run, whatever its tools say.
const ALWAYS: [&str; 4] = ["run_started", "run_completed", "items_processed", "error"];

/// The names in a criterion that nothing gives a number, those of its suffix too.
pub(in crate::experiments) fn unknown_names(
    criterion: &Criterion,
    spec: &Spec,
    definitions: &Definitions,
) -> Vec<Uncounted> {
    let mut found: Vec<Uncounted> = criterion
        .names()
        .into_iter()
        .filter(|name| !is_known(name, spec, definitions))
        .map(|name| Uncounted { name: name.clone(), is_sample: false })
        .collect();
    if let Some(sample) = &criterion.sample {
        let name = Name::event(&sample.event);
        let is_share = spec.metrics.iter().any(|it| it.name == sample.event && it.kind == MetricKind::Percentage);
        if is_share || !is_known(&name, spec, definitions) {
            found.push(Uncounted { name: Name::plain(&sample.event), is_sample: true });
        }
    }
    found.dedup();
    found
}

/// The names in the formulas of metrics that nothing gives a number, each with the metric's place. Without a word on them they would be
/// unknown, and not zero, until the first of them happens.
pub(in crate::experiments) fn uncounted(spec: &Spec, definitions: &Definitions) -> Vec<(usize, Uncounted)> {
    let mut found = Vec::new();
    for (index, metric) in spec.metrics.iter().enumerate() {
        let Some(Ok(formula)) = metric.formula.as_deref().map(Formula::parse) else { continue };
        for name in formula.names().into_iter().filter(|name| !is_known(name, spec, definitions)) {
            let one = (index, Uncounted { name: name.clone(), is_sample: false });
            if !found.contains(&one) {
                found.push(one);
            }
        }
    }
    found
}

fn is_known(name: &Name, spec: &Spec, definitions: &Definitions) -> bool {
    let is_declared = spec.metrics.iter().any(|metric| metric.name == name.name);
    let is_event = events::event_of(&name.name).is_some() || ALWAYS.contains(&name.name.as_str());
    let counts = Uncounted { name: name.clone(), is_sample: false }.is_event();
    let is_computed = name.space.is_none() && name.aggregate.is_none() && definitions.formula(&name.name).is_some();
    is_declared || counts && is_event || is_computed
}

/// A threshold of a metric that no criterion stands for.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::experiments) struct Unjudged {
    /// Which metric.
    pub(in crate::experiments) index: usize,
    /// Whether it is the one for success.
    pub(in crate::experiments) is_success: bool,
    /// The criterion that it would be.
    pub(in crate::experiments) criterion: String,
    /// Whether a criterion judges the metric, by another line.
    pub(in crate::experiments) is_judged: bool,
}

/// The thresholds that judge nothing.
pub(in crate::experiments) fn unjudged(spec: &Spec) -> Vec<Unjudged> {
    let mut found = Vec::new();
    for (index, metric) in spec.metrics.iter().enumerate() {
        for (is_success, line) in [(true, metric.success_threshold), (false, metric.failure_threshold)] {
            let Some(line) = line.filter(|line| line.is_finite()) else { continue };
            let list = if is_success { &spec.success_criteria } else { &spec.failure_criteria };
            let lines = lines_of(list, &metric.name);
            if !lines.iter().any(|known| (known - line).abs() < 1e-9) {
                let criterion = criterion_for(metric, is_success, line, spec);
                found.push(Unjudged { index, is_success, criterion, is_judged: !lines.is_empty() });
            }
        }
    }
    found
}

/// The lines that criteria draw for a metric, under whatever name it is counted.
fn lines_of(list: &[String], name: &str) -> Vec<f64> {
    let is_meant = |side: &Formula| matches!(side, Formula::Name(found) if events::counted_as(&found.name) == events::counted_as(name));
    let line = |text: &String| {
        // A sentence that says the same is put right, or refused, by itself.
        let meant = |err: CriterionError| Criterion::parse(&err.suggestion?).ok();
        let criterion = Criterion::parse(text).map_or_else(meant, Some)?;
        let (left, _, right) = criterion.comparison()?;
        match (is_meant(left), is_meant(right)) {
            (true, _) => right.constant(),
            (_, true) => left.constant(),
            _ => None,
        }
    };
    list.iter().filter_map(line).collect()
}

/// A threshold, as a criterion.
fn criterion_for(metric: &Metric, is_success: bool, line: f64, spec: &Spec) -> String {
    const WORSE: [&str; 12] = [
        "bounce",
        "unsubscri",
        "opt_out",
        "spam",
        "complaint",
        "negative",
        "error",
        "churn",
        "cost",
        "refund",
        "block",
        "fail",
    ];
    let more_is_bad = match (metric.success_threshold, metric.failure_threshold) {
        (Some(good), Some(bad)) => bad > good,
        _ => metric.kind == MetricKind::Duration || WORSE.iter().any(|word| metric.name.contains(word)),
    };
    let how = match (is_success, more_is_bad) {
        (true, true) => "<=",
        (true, false) => ">=",
        (false, true) => ">",
        (false, false) => "<",
    };
    let name = &metric.name;
    if metric.kind == MetricKind::Percentage {
        return format!("{name} {how} {}%", (line * 1e6).round() / 1e4);
    }
    // Too few of something are there from the beginning, until there was time for them.
    let later = if how.starts_with('<') && metric.kind == MetricKind::Counter {
        format!(" after {}", spec.measuring.window)
    } else {
        String::new()
    };
    format!("{name} {how} {line}{later}")
}

pub(super) fn thresholds(spec: &Spec, found: &mut Found) {
    for Unjudged { index, is_success, criterion, is_judged } in unjudged(spec) {
        let (field, list) = if is_success {
            ("success_threshold", "success_criteria")
        } else {
            ("failure_threshold", "failure_criteria")
        };
        let (message, fix) = if is_judged {
            (format!("it judges nothing: `{list}` draws another line"), String::new())
        } else {
            ("it judges nothing: criteria do".to_owned(), format!("write `{criterion}` into `{list}`"))
        };
        found.warn(format!("metrics[{index}].{field}"), message, fix);
    }
}
