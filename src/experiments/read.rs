//! Reading a specification, however it was written: YAML or JSON, in any of the forms that real ones take.
//!
//! Owns what each form means. Everything that is wrong is found at once, each with its field, its place in the text and what to write
//! instead. Nothing is dropped without a word: what is no field of a specification is kept in its notes. Must never fail on a text, and
//! never guess where guessing changes what is done: then it is a finding.

mod execution;
mod mail;
mod measured;
mod outreach;
mod reader;
mod scaled;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::check::{self, Known};
use super::spec::{IterationPlan, Mode, Spec, Target};
use crate::contracts::envelope::read_time;
use crate::contracts::untrusted::sanitize_line;
use reader::{Fields, Reader, node_of};
use tree::{Kind, Node, Place};

/// What was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// The specification, where nothing is wrong with it.
    pub spec: Option<Spec>,
    /// What could be made of the text, whatever is wrong with it; none where it is no specification at all.
    pub draft: Option<Spec>,
    /// What was found, in the order of the text.
    pub findings: Vec<Finding>,
}

impl Reading {
    /// What is wrong.
    pub fn errors(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.severity == Severity::Error)
    }
}

/// Something about a specification that somebody should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The field, as a path below `experiment`: `metrics[2].formula`.
    pub path: String,
    /// The line in the text, from 1; 0 where it is not known.
    pub line: u64,
    /// The column in that line, from 1; 0 where it is not known.
    pub column: u64,
    /// How bad it is.
    pub severity: Severity,
    /// What was found; harmless.
    pub message: String,
    /// What to write instead; harmless.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "{}:{} ", self.line, self.column)?;
        }
        write!(f, "{}: {}: {}", self.severity, self.path, self.message)?;
        self.fix.iter().try_for_each(|fix| write!(f, " - {fix}"))
    }
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It cannot be used like that.
    Error,
    /// It can, and somebody should look.
    Warning,
    /// It was wrong, and is right now.
    Fixed,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Fixed => "fixed",
        })
    }
}

/// Reads a specification, and checks it with the tools that are shipped.
pub fn read(text: &str) -> Reading {
    read_with(text, &Known::default())
}

/// Reads a specification, and checks it with what is known.
pub fn read_with(text: &str, known: &Known) -> Reading {
    let (draft, mut findings, places) = shape(text, known);
    if let Some(spec) = &draft {
        findings.extend(check::check(spec, known).into_iter().map(|finding| placed(finding, &places)));
    }
    finished(draft, findings)
}

/// The reading with these findings.
pub(super) fn finished(draft: Option<Spec>, mut findings: Vec<Finding>) -> Reading {
    findings.sort_by_key(|finding| (finding.line, finding.column));
    let good = findings.iter().all(|finding| finding.severity != Severity::Error);
    Reading { spec: draft.clone().filter(|_| good), draft, findings }
}

/// Where the parts of a specification stand in its text, by path.
pub(super) type Places = BTreeMap<String, (u64, u64)>;

/// A finding with the place of its path, or of the nearest part around it.
pub(super) fn placed(mut finding: Finding, places: &Places) -> Finding {
    let mut path = finding.path.as_str();
    loop {
        if let Some((line, column)) = places.get(path) {
            (finding.line, finding.column) = (*line, *column);
            return finding;
        }
        match path.rfind(['.', '[']) {
            Some(end) => path = &path[..end],
            None => return finding,
        }
    }
}

/// The specification in its own form, as far as the text gives one, unchecked.
pub(super) fn shape(text: &str, known: &Known) -> (Option<Spec>, Vec<Finding>, Places) {
    let mut reader = Reader { own: known.own(), ..Reader::default() };
    let root = match tree::parse(text) {
        Ok(root) => root,
        Err(no) => {
            let message = format!("this is no YAML and no JSON: {}", sanitize_line(&no.message, 300));
            reader.error("", no.at, message, None);
            return (None, reader.findings, reader.places);
        }
    };
    let spec = reader.root(&root);
    (spec, reader.findings, reader.places)
}

impl Reader {
    fn root(&mut self, root: &Node) -> Option<Spec> {
        let Kind::Map(all) = &root.kind else {
            let message = format!("a specification has the root `experiment`; this is {}", root.what());
            self.error("", root.at, message, Some("begin with `experiment:`".to_owned()));
            return None;
        };
        let Some(experiment) = root.get("experiment") else {
            if !all.iter().any(|(key, _)| matches!(key.name.as_str(), "hypothesis" | "execution" | "target")) {
                let found: Vec<_> = all.iter().take(8).map(|(key, _)| sanitize_line(&key.name, 40)).collect();
                let message = format!("there is no `experiment`; the text has {}", found.join(", "));
                self.error("", root.at, message, Some("put the fields below `experiment:`".to_owned()));
                return None;
            }
            let fields = Fields::of(root, "")?;
            return Some(self.experiment(fields));
        };
        let Some(fields) = Fields::of(experiment, "") else {
            let message = format!("`experiment` must have fields; it is {}", experiment.what());
            self.error("", experiment.at, message, None);
            return None;
        };
        let mut spec = self.experiment(fields);
        for (key, node) in all.iter().filter(|(key, _)| key.name != "experiment") {
            if key.name == "notes" {
                let more = self.text(node, "notes");
                spec.notes = joined(spec.notes.take(), more);
            } else {
                self.keep(&key.name, key.at, node);
            }
        }
        spec.notes = joined(spec.notes, self.kept());
        Some(spec)
    }

    fn experiment(&mut self, mut fields: Fields<'_>) -> Spec {
        let at = fields.at;
        let id = self.needed(&mut fields, &["id"], at);
        let hypothesis = self.needed(&mut fields, &["hypothesis"], at);
        let created_at = fields.take(&["created_at"]).and_then(|(node, path)| {
            let text = self.text(node, &path)?;
            let time = read_time(&text);
            if time.is_none() {
                let message = format!("`{}` is no time, and is left out", sanitize_line(&text, 40));
                self.warn(&path, node.at, message, Some("write it like `2026-03-01T09:30:00Z`".to_owned()));
            }
            time
        });
        self.state(&mut fields);
        let mode = self.mode(&mut fields);
        let target_node = fields.take(&["target", "audience"]);
        let target_node = node_of(target_node);
        let (execution, mut sending) = self.execution(fields.take(&["execution", "steps"]), target_node, at);
        let target = self.target(target_node, at);
        let outreach = self.outreach(fields.take(&["outreach"]), &mut sending);
        let mut metrics = self.metrics(fields.take(&["metrics"]), at);
        let mut success_criteria = self.criteria(&mut fields, "success_criteria", at);
        let mut failure_criteria = self.criteria(&mut fields, "failure_criteria", at);
        let criteria = [("success_criteria", &mut success_criteria), ("failure_criteria", &mut failure_criteria)];
        for (path, message) in scaled::fractions(&mut metrics, criteria) {
            let finding = Finding { path, line: 0, column: 0, severity: Severity::Warning, message, fix: None };
            let placed = placed(finding, &self.places);
            self.findings.push(placed);
        }
        let measuring = self.measuring(fields.take(&["measuring", "observation"]));
        let iteration_plan = self.iteration_plan(fields.take(&["iteration_plan", "next_steps"]));
        let names = ["learnings_to_capture", "learning_goals", "learning_capture", "learnings"];
        let learnings_to_capture =
            names.iter().flat_map(|name| self.list(node_of(fields.take(&[*name])), "learnings_to_capture")).collect();
        let names = ["manual_steps_required", "manual_steps"];
        let manual_steps_required =
            names.iter().flat_map(|name| self.list(node_of(fields.take(&[*name])), "manual_steps_required")).collect();
        let sources = self.sources(fields.take(&["sources"]));
        let mut notes = fields.take(&["notes"]).and_then(|(node, path)| self.text(node, &path));
        for (key, node) in fields.rest() {
            self.keep(&key.name, key.at, node);
        }
        notes = joined(notes, self.kept());
        Spec {
            id,
            hypothesis,
            created_at,
            mode,
            target,
            execution,
            outreach,
            metrics,
            success_criteria,
            failure_criteria,
            measuring,
            iteration_plan,
            learnings_to_capture,
            manual_steps_required,
            sources,
            notes,
        }
    }

    /// A text that must be there; empty where it is not.
    fn needed(&mut self, fields: &mut Fields<'_>, names: &[&str], at: Place) -> String {
        let name = names.first().copied().unwrap_or_default();
        match fields.take(names) {
            Some((node, path)) => {
                self.place(name, node.at);
                self.text(node, &path).map(|text| text.trim().to_owned()).unwrap_or_default()
            }
            None => {
                self.place(name, at);
                String::new()
            }
        }
    }

    /// The state that older systems wrote into the text; it belongs to the document.
    fn state(&mut self, fields: &mut Fields<'_>) {
        if let Some((node, path)) = fields.take(&["state", "status"])
            && let Some(state) = self.text(node, &path)
            && state != "draft"
        {
            let message = format!("`{}` is left out: what is published begins as a draft", sanitize_line(&state, 40));
            self.warn(&path, node.at, message, None);
        }
    }

    fn mode(&mut self, fields: &mut Fields<'_>) -> Mode {
        let Some((node, path)) = fields.take(&["mode"]) else { return Mode::default() };
        self.place("mode", node.at);
        let text = self.text(node, &path).unwrap_or_default();
        match text.trim().to_lowercase().replace(['-', ' '], "_").as_str() {
            "dry_run" | "dryrun" | "dry" => Mode::DryRun,
            "live" => Mode::Live,
            "simulation" | "simulated" => Mode::Simulation,
            _ => {
                let message = format!("`{}` is no mode", sanitize_line(&text, 40));
                self.error(&path, node.at, message, Some("write `dry_run`, `live` or `simulation`".to_owned()));
                Mode::default()
            }
        }
    }

    fn target(&mut self, node: Option<&Node>, at: Place) -> Target {
        let Some(node) = node else {
            self.place("target", at);
            return Target::default();
        };
        self.place("target", node.at);
        if let Kind::Text(text) = &node.kind {
            return Target { description: text.trim().to_owned(), ..Target::default() };
        }
        let Some(mut fields) = Fields::of(node, "target") else {
            self.misfit(node, "target", "a text, or fields (`description`, `size`, `source`, `filters`)");
            return Target::default();
        };
        let description = self.needed_in(&mut fields, &["description"], "target.description");
        let size = fields.take(&["size", "count"]).and_then(|(node, path)| {
            self.place("target.size", node.at);
            self.count(node, &path)
        });
        let source = fields.take(&["source"]).and_then(|(node, path)| self.text(node, &path));
        let filters = fields.take(&["filters", "conditions"]).map(|(node, path)| self.filters(node, &path));
        // What steps name as `{{target.…}}` stands in them now.
        for (key, node) in fields.rest().filter(|(key, _)| !self.of_target.contains(&key.name)).collect::<Vec<_>>() {
            self.keep(&format!("target.{}", key.name), key.at, node);
        }
        Target { description, size, source, filters: filters.unwrap_or_default() }
    }

    /// Conditions: a list of one name each, a list of several, or names at once.
    fn filters(&mut self, node: &Node, path: &str) -> Vec<serde_json::Map<String, serde_json::Value>> {
        self.place("target.filters", node.at);
        let single = |fields: &[(tree::Key, Node)]| {
            let one = |(key, node): &(tree::Key, Node)| {
                let mut map = serde_json::Map::new();
                map.insert(key.name.clone(), node.value());
                map
            };
            fields.iter().map(one).collect::<Vec<_>>()
        };
        match &node.kind {
            Kind::Map(fields) => single(fields),
            Kind::List(items) => {
                let mut filters = Vec::new();
                for (index, item) in items.iter().enumerate() {
                    match &item.kind {
                        Kind::Map(fields) => filters.extend(single(fields)),
                        _ => {
                            let fix = "write it as a name and a value, like `has_email: true`".to_owned();
                            let message = "a condition in words filters nothing".to_owned();
                            self.error(&format!("{path}[{index}]"), item.at, message, Some(fix));
                        }
                    }
                }
                filters
            }
            _ => {
                self.misfit(node, path, "a list of conditions, like `- has_email: true`");
                Vec::new()
            }
        }
    }

    fn iteration_plan(&mut self, found: Option<(&Node, String)>) -> Option<IterationPlan> {
        let (node, path) = found?;
        self.place("iteration_plan", node.at);
        let Some(mut fields) = Fields::of(node, "iteration_plan") else {
            self.keep(&path, node.at, node);
            return None;
        };
        let mut text = |names: &[&str]| fields.take(names).and_then(|(node, path)| self.words(node, &path));
        let plan = IterationPlan {
            if_success: text(&["if_success", "on_success", "success"]),
            if_failure: text(&["if_failure", "on_failure", "failure"]),
        };
        for (key, node) in fields.rest() {
            self.keep(&format!("iteration_plan.{}", key.name), key.at, node);
        }
        Some(plan)
    }

    fn sources(&mut self, found: Option<(&Node, String)>) -> BTreeMap<String, String> {
        let Some((node, path)) = found else { return BTreeMap::new() };
        let Kind::Map(fields) = &node.kind else {
            self.misfit(node, &path, "fields with where they came from");
            return BTreeMap::new();
        };
        fields.iter().filter_map(|(key, node)| Some((key.name.clone(), self.text(node, &path)?))).collect()
    }
}

/// Two texts, one below the other.
fn joined(first: Option<String>, second: Option<String>) -> Option<String> {
    match (first, second) {
        (Some(first), Some(second)) => Some(format!("{}\n\n{}", first.trim_end(), second.trim_end())),
        (first, second) => first.or(second),
    }
    .filter(|text| !text.trim().is_empty())
}
