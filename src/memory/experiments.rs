//! Experiments as a decision sees them, from documents that we or others wrote.
//!
//! Owns which fields mean what. Must never fail on a document: what it does not say stays empty.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::ExperimentBrief;
use crate::bus::{Document, State};
use crate::contracts::envelope::read_time;
use crate::contracts::lifecycle::ExperimentState;
use crate::contracts::untrusted::sanitize_line;

/// Characters of a hypothesis.
const HYPOTHESIS_LIMIT: usize = 500;
/// Characters of a name.
const NAME_LIMIT: usize = 120;
/// Numbers of an experiment.
const METRICS_LIMIT: usize = 60;

/// The fields from which it is seen whether a document is still the one that was read.
pub(super) const MARKS: &[&str] = &["state", "status", "created_at", "updated_at"];

/// How far a run is, or what it waits for, in a few words, by its document; harmless.
pub(crate) fn under_way(run: &Document) -> String {
    let get = |field: &str| run.get(field).unwrap_or_default();
    let words = if run.get("status") == Some("waiting") {
        let until = run.get("waiting_until").map(|until| format!(", until {until}")).unwrap_or_default();
        format!("for {}{until}", get("waiting_for"))
    } else {
        let progress =
            run.get("progress").and_then(|text| serde_json::from_str::<Value>(text).ok()).unwrap_or_default();
        let done = progress["done"].as_u64().filter(|_| progress["step"] == get("step"));
        let of = match (done, progress["total"].as_u64()) {
            (Some(done), Some(total)) => format!(" {done}/{total}"),
            (Some(done), None) => format!(" {done}"),
            (None, _) => String::new(),
        };
        format!("{}{of}", get("step"))
    };
    sanitize_line(&words, NAME_LIMIT)
}

/// How far a run is in its steps, by its document.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Steps {
    /// Their names, in order. Raw.
    names: Vec<String>,
    /// So many have ended.
    ended: usize,
    /// The part of the next one that is done, from 0 to 1.
    part: f64,
}

impl Steps {
    /// None where the document does not say which steps there are.
    pub(crate) fn of(run: &Document) -> Option<Self> {
        let names: Vec<String> = serde_json::from_str(run.get("steps")?).ok().filter(|it: &Vec<_>| !it.is_empty())?;
        let progress = run.get("progress").and_then(|text| serde_json::from_str::<Value>(text).ok());
        let progress = progress.filter(|it| it["step"].as_str() == run.get("step")).unwrap_or_default();
        let at = run.get("step").and_then(|step| names.iter().position(|name| name == step));
        // This is said when a step has ended, and the next one has not begun.
        let is_between = progress["message"] == "steps";
        let ended = at.map_or(0, |at| at + usize::from(is_between));
        let part = progress["done"].as_f64().zip(progress["total"].as_f64().filter(|total| *total > 0.0));
        let part = part.filter(|_| !is_between).map_or(0.0, |(done, total)| (done / total).clamp(0.0, 1.0));
        Some(Self { names, ended, part })
    }

    /// Whether a step has ended; none where it is under way, or the next.
    pub(crate) fn has_ended(&self, step: &str) -> Option<bool> {
        match self.names.iter().position(|name| name == step) {
            Some(at) if at == self.ended => None,
            at => Some(at.is_some_and(|at| at < self.ended)),
        }
    }

    /// How far all of them are, from 0 to 1.
    #[expect(clippy::cast_precision_loss, reason = "steps are few")]
    pub(crate) fn share(&self) -> f64 {
        ((self.ended as f64 + self.part) / self.names.len() as f64).clamp(0.0, 1.0)
    }
}

/// An experiment, and what it takes to know that it has not changed.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) brief: ExperimentBrief,
    pub(super) created_at: Option<DateTime<Utc>>,
    pub(super) archived: bool,
    marks: Vec<Option<String>>,
}

impl Known {
    pub(super) fn of(id: &str, document: &Document) -> Self {
        let json = |field: &str| document.get(field).and_then(|text| serde_json::from_str::<Value>(text).ok());
        // The specification as a whole, where its parts are not fields of their own.
        let spec = ["spec_json", "spec", "execution"].map(json);
        let text = |names: &[&str]| {
            let field = names.iter().find_map(|name| document.get(name).filter(|text| !text.is_empty()));
            let inner = || names.iter().find_map(|name| spec.iter().flatten().find_map(|spec| inside(spec, name)));
            field.map(str::to_owned).or_else(inner)
        };
        let state = document.get("state").or_else(|| document.get("status")).unwrap_or_default();
        let hypothesis = text(&["hypothesis", "summary", "title", "description", "name"]).unwrap_or_default();
        let brief = ExperimentBrief {
            id: id.to_owned(),
            state: ExperimentState::read(state).map_or_else(|| sanitize_line(state, 40), |state| state.to_string()),
            hypothesis: sanitize_line(&hypothesis, HYPOTHESIS_LIMIT),
            tool: text(&["tool", "tool_name"]).map(|tool| sanitize_line(&tool, NAME_LIMIT)),
            metrics: BTreeMap::new(),
            version: document.version,
        };
        Self {
            archived: ExperimentState::read(state) == Some(ExperimentState::Archived),
            created_at: ["created_at", "updated_at"].iter().find_map(|field| read_time(document.get(field)?)),
            marks: marks(document),
            brief,
        }
    }

    /// Whether this is still how the document stands. One that another program wrote has no version, and is read each time.
    pub(super) fn is_still(&self, document: &Document) -> bool {
        document.version > 0 && document.version == self.brief.version && self.marks == marks(document)
    }
}

fn marks(document: &Document) -> Vec<Option<String>> {
    MARKS.iter().map(|field| document.get(field).map(str::to_owned)).collect()
}

/// A text in a specification: at its top, or one level below.
fn inside(spec: &Value, name: &str) -> Option<String> {
    let object = spec.as_object()?;
    let direct = object.get(name).and_then(Value::as_str);
    let below = || object.values().find_map(|value| value.as_object()?.get(name)?.as_str());
    direct.or_else(below).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// A document; a text that holds a JSON object, as some programs write, is read as one.
pub(crate) fn document(state: State) -> Option<Document> {
    match state {
        State::Hash(document) => Some(document),
        State::String(text) => {
            let Value::Object(fields) = serde_json::from_str(&text).ok()? else { return None };
            let text = |value: Value| match value {
                Value::String(text) => text,
                other => other.to_string(),
            };
            let fields = fields.into_iter().map(|(name, value)| (name, text(value))).collect();
            Some(Document { version: 0, fields })
        }
        State::List(_) | State::Set(_) | State::Sorted(_) => None,
    }
}

/// The numbers in a document: what is computed before what it is computed from, and nothing of single variants.
pub(crate) fn numbers(document: &Document) -> BTreeMap<String, f64> {
    let number = |(name, text): (&String, &String)| {
        let value: f64 = text.parse().ok().filter(|value: &f64| value.is_finite())?;
        Some((sanitize_line(name, NAME_LIMIT), value))
    };
    let (parts, computed): (Vec<_>, Vec<_>) =
        document.fields.iter().filter(|(name, _)| !name.contains('@')).partition(|(name, _)| name.contains('.'));
    computed.into_iter().chain(parts).filter_map(number).take(METRICS_LIMIT).collect()
}
