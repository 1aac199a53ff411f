//! `design_experiment`: the specification of an experiment for an idea.
//!
//! Owns FULLSEND's question and its answer: a whole specification, held to the same rules as one that a person wrote. What the idea says is
//! data. Must never let a specification through that could not be published.

mod compose;
mod idea;
mod revise;
mod team;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use chrono::NaiveDate;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::experiments::check::{self, Known};
use crate::experiments::list::Look;
use crate::experiments::read::{self, Severity};
use crate::experiments::spec::{Spec, Step};
use crate::llm::{Ruled, Task, TaskName};

/// The task.
#[derive(Debug, Clone, Copy)]
pub struct DesignExperiment;

/// What a design rests on.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct DesignInput {
    /// In a few words.
    pub title: String,
    /// The idea in full: data, whatever it says.
    pub idea: String,
    /// What it should achieve.
    pub goal: Option<String>,
    /// What whoever asked says besides.
    pub context: Option<String>,
    /// What is being sold: Markdown.
    pub product: String,
    /// What was learned: Markdown, newest first.
    pub learnings: String,
    /// What experiments taught in passing, newest first.
    pub tactical: Vec<String>,
    /// The tools that there are.
    pub tools: Vec<String>,
    /// The address that mail comes from, where one is set.
    pub sender: Option<String>,
    /// The name that mail comes from.
    pub sender_name: Option<String>,
    /// The list of people that the idea names, where it could be read.
    pub list: Option<ListBrief>,
    /// The day.
    pub today: NaiveDate,
    /// Ids that are taken.
    pub taken: Vec<String>,
    /// The experiment that is to be changed.
    pub revises: Option<Spec>,
}

/// A list of people, without the people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListBrief {
    /// Its file.
    pub path: String,
    /// What is known of each.
    pub columns: Vec<String>,
    /// How many there are.
    pub people: u64,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Designed {
    /// The experiment.
    pub experiment: Spec,
}

impl JsonSchema for Designed {
    fn schema_name() -> Cow<'static, str> {
        "Designed".into()
    }

    /// The specification as a text: parameters of tools are of any shape, which no model can be held to.
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({
            "type": "object",
            "properties": {
                "specification": { "type": "string", "description": "the whole specification as YAML, with its root `experiment`" },
                "reasoning": { "type": "string", "description": "why this audience, these words and these numbers, in two to four sentences" },
            },
            "required": ["specification", "reasoning"],
        })
    }
}

impl<'de> Deserialize<'de> for Designed {
    /// Reads a specification as text, or as the object itself.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let value = Value::deserialize(deserializer)?;
        let text = match value.get("specification") {
            Some(Value::String(text)) => unfenced(text).to_owned(),
            Some(other) => other.to_string(),
            None => value.to_string(),
        };
        let reading = read::read(&text);
        let shape = |reading: read::Reading| {
            let said: Vec<_> = reading.errors().take(5).map(ToString::to_string).collect();
            D::Error::custom(format!("this is no specification: {}", said.join("; ")))
        };
        match reading.draft.clone() {
            // What is wrong with the fields is a fault; that there are none is not.
            Some(experiment) if !experiment.id.is_empty() || !experiment.hypothesis.is_empty() => {
                Ok(Self { experiment })
            }
            _ => Err(shape(reading)),
        }
    }
}

/// The lists of people that a text names, as it names them.
pub fn lists_in(text: &str) -> Vec<String> {
    idea::read(text).list.into_iter().collect()
}

/// A text without the fence that models put around it.
fn unfenced(text: &str) -> &str {
    let text = text.trim();
    let Some(inner) = text.strip_prefix("```").and_then(|rest| rest.strip_suffix("```")) else { return text };
    inner.strip_prefix("yaml").or_else(|| inner.strip_prefix("json")).unwrap_or(inner).trim()
}

impl DesignInput {
    /// What a specification for this is checked against.
    pub fn known(&self) -> Known {
        Known { tools: self.tools.iter().map(|name| (name.clone(), None)).collect(), ..Known::default() }
    }

    /// The same, with the people of the list that the idea names, where the specification reads it.
    fn known_for(&self, spec: &Spec) -> Known {
        let mut known = self.known();
        if let Some(ListBrief { path, columns, people }) = &self.list {
            let look = Look { columns: columns.clone(), rows: *people, is_cut: false, first: Vec::new() };
            let reads = |step: &&Step| {
                step.tool == "csv_leads" && step.params.get("path").and_then(Value::as_str) == Some(path)
            };
            for step in spec.execution.steps.iter().filter(reads) {
                known.saw(step, Ok(&look));
            }
        }
        known
    }
}

/// Fields that do not say where they came from, and sources that are none.
fn unsourced(spec: &Spec) -> Vec<String> {
    const KNOWN: [&str; 5] = ["idea", "product_context", "learning", "playbook", "setting"];
    let has = |path: &str| spec.sources.keys().any(|key| key == path || key.starts_with(&format!("{path}.")));
    let outreach = spec.outreach.as_ref();
    let filled = [
        ("hypothesis", true),
        ("target", true),
        ("execution", true),
        ("outreach.template", outreach.is_some()),
        ("outreach.subject", outreach.is_some_and(|it| it.subject.is_some())),
        ("metrics", !spec.metrics.is_empty()),
        ("success_criteria", !spec.success_criteria.is_empty()),
        ("failure_criteria", !spec.failure_criteria.is_empty()),
    ];
    let missing: Vec<&str> =
        filled.iter().filter(|(path, filled)| *filled && !has(path)).map(|(path, _)| *path).collect();
    let mut faults = Vec::new();
    if !missing.is_empty() {
        faults.push(format!(
            "sources: say where these came from (the idea, the product context, a learning or a playbook): {}",
            missing.join(", ")
        ));
    }
    let odd = spec.sources.iter().find(|(_, source)| !KNOWN.iter().any(|known| source.starts_with(known)));
    if let Some((path, source)) = odd {
        let source = crate::contracts::untrusted::sanitize_line(source, 80);
        faults.push(format!("sources: `{path}` names `{source}`; a source is one of {}", KNOWN.join(", ")));
    }
    faults
}

impl Task for DesignExperiment {
    const NAME: TaskName = TaskName::DesignExperiment;
    type Input = DesignInput;
    type Output = Designed;

    fn rule(input: &DesignInput) -> Ruled<Designed> {
        let (experiment, reasons) = match &input.revises {
            Some(former) => revise::revised(former, input),
            None => compose::designed(input),
        };
        Ruled { output: Designed { experiment }, reasons }
    }

    fn faults(input: &DesignInput, output: &Designed) -> Vec<String> {
        let spec = &output.experiment;
        let mut faults: Vec<String> = check::check(spec, &input.known_for(spec))
            .into_iter()
            .filter(|finding| finding.severity == Severity::Error)
            .map(|finding| match finding.fix {
                Some(fix) => format!("{}: {} ({fix})", finding.path, finding.message),
                None => format!("{}: {}", finding.path, finding.message),
            })
            .collect();
        match &input.revises {
            Some(former) if former.id != spec.id => {
                faults.push(format!("id: it changes `{}` and keeps that id", former.id));
            }
            None if input.taken.contains(&spec.id) => faults.push(format!("id: `{}` is taken", spec.id)),
            _ => {}
        }
        faults.extend(unsourced(spec));
        faults
    }
}
