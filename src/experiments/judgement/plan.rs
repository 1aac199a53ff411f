//! What an experiment measures and by what it is judged, as its documents say it.
//!
//! Must never fail on a document: what cannot be read is left out.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use crate::bus::Document;
use crate::config::duration;
use crate::contracts::messages::Direction;
use crate::contracts::untrusted::sanitize_line;
use crate::experiments::criteria::{Criterion, Definitions};
use crate::experiments::events;
use crate::experiments::spec::{Metric, MetricKind, Mode, Spec};

/// Criteria and metrics of one experiment that are looked at.
const MOST: usize = 100;
/// Characters of a criterion.
const LONGEST: usize = 400;

/// What an experiment measures, and by what it is judged.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// Its criteria, in their order: those for success first.
    pub criteria: Vec<Planned>,
    /// Its metrics.
    pub definitions: Definitions,
    /// How long is looked at what comes of a run: for so long a message may be answered. None where it is not said.
    pub window: Option<Duration>,
    /// What its steps can say; none where nobody knows that. See [`events::said_in`].
    pub said: Option<BTreeSet<&'static str>>,
    /// Events that shares are taken of, besides messages to people: what is too young of them is not judged either.
    pub totals: BTreeSet<String>,
}

/// A criterion of an experiment.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    /// As it was written; harmless.
    pub text: String,
    /// Whether it says that the experiment worked, or that it did not.
    pub direction: Direction,
    /// What it says; none where it is prose, which is unknown.
    pub criterion: Option<Criterion>,
}

impl Plan {
    /// What the documents `experiments:{id}` and `metrics_specs:{id}` say; what cannot be read is left out.
    pub fn read(experiment: &Document, specs: Option<&Document>) -> Self {
        let sources = [experiment.get("spec_json"), experiment.get("spec")];
        let specs_json: Vec<Value> =
            sources.into_iter().flatten().filter_map(|text| inner(text, "experiment")).collect();
        let list = |field: &str| {
            let direct = experiment.get(field).and_then(|text| serde_json::from_str(text).ok());
            let within = || specs_json.iter().find_map(|spec| spec.get(field).cloned());
            let beside = || specs.and_then(|specs| serde_json::from_str(specs.get(field)?).ok());
            match direct.or_else(within).or_else(beside) {
                Some(Value::Array(items)) => items,
                _ => Vec::new(),
            }
        };
        let criteria = [(Direction::Success, "success_criteria"), (Direction::Failure, "failure_criteria")];
        let criteria = criteria.into_iter().flat_map(|(direction, field)| {
            list(field).into_iter().take(MOST).filter_map(move |value| Planned::read(direction, &value))
        });
        let metrics: Vec<Metric> = list("metrics").iter().take(MOST).filter_map(metric).collect();
        let window =
            specs_json.iter().find_map(|spec| duration::parse(spec.pointer("/measuring/window")?.as_str()?).ok());
        let spec = specs_json.iter().find_map(|spec| serde_json::from_value::<Spec>(spec.clone()).ok());
        let mode = match experiment.get("mode") {
            Some("live") => Some(Mode::Live),
            Some("dry_run") => Some(Mode::DryRun),
            Some("simulation") => Some(Mode::Simulation),
            _ => None,
        };
        let (criteria, definitions) = (criteria.collect::<Vec<_>>(), Definitions::of(&metrics).0);
        let known = criteria.iter().filter_map(|planned: &Planned| planned.criterion.as_ref());
        let totals = known.flat_map(|criterion| definitions.totals(criterion));
        let totals = totals.flat_map(|name| events::candidates(&name.name)).collect();
        Self {
            criteria,
            definitions,
            totals,
            window: spec.as_ref().map(|spec| spec.measuring.window.0).or(window),
            said: spec.and_then(|spec| events::said_in(&spec, mode.unwrap_or(spec.mode))),
        }
    }
}

/// A JSON object in a text, or the one within it under this name.
fn inner(text: &str, name: &str) -> Option<Value> {
    let value: Value = serde_json::from_str(text).ok()?;
    Some(value.get(name).cloned().unwrap_or(value)).filter(Value::is_object)
}

impl Planned {
    fn read(direction: Direction, value: &Value) -> Option<Self> {
        let text = match value {
            Value::String(text) => text.as_str(),
            other => other.get("criterion").or_else(|| other.get("text"))?.as_str()?,
        };
        let text = sanitize_line(text.trim(), LONGEST);
        (!text.is_empty()).then(|| Self { criterion: Criterion::parse(&text).ok(), text, direction })
    }
}

/// A metric, as any of those that write them does.
fn metric(value: &Value) -> Option<Metric> {
    let text = |field: &str| value.get(field).and_then(Value::as_str);
    let name = value.as_str().or_else(|| text("name"))?;
    let formula = text("formula").or_else(|| text("calculation"));
    let kind = match text("type") {
        Some("percentage") => MetricKind::Percentage,
        Some("duration") => MetricKind::Duration,
        None if formula.is_some() || name.ends_with("_rate") => MetricKind::Percentage,
        Some(_) | None => MetricKind::Counter,
    };
    Some(Metric {
        name: name.to_owned(),
        kind,
        formula: formula.map(str::to_owned),
        success_threshold: None,
        failure_threshold: None,
        description: None,
    })
}
