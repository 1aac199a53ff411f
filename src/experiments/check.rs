//! What is wrong with a specification: everything, at once, each with its field and what to write instead.
//!
//! Owns the rules that a specification keeps to before it is published. It is the same for what a person wrote and for what was designed.
//! Must never change a specification (see [`super::fix`]), and never look anything up: what is known is given ([`Known`]).

mod copy;
mod known;
mod lines;
mod numbers;
mod params;

use std::time::Duration;

use chrono::NaiveDate;

use super::aliases::{self, Shipped};
use super::read::{Finding, Severity};
use super::schedule::{Schedule, ScheduleError};
use super::spec::{Mode, OutreachChannel, Spec, Step};
use super::steps::{self, PlanError, heads};
use crate::contracts::keys;
use crate::contracts::untrusted::{is_unseen, sanitize_line};

pub(super) use copy::{is_address, is_signature, placeholder};
pub use known::Known;
pub(super) use numbers::{formula_for, uncounted, unjudged, unknown_names};

/// Shortest and longest hypothesis, in characters.
const HYPOTHESIS: std::ops::RangeInclusive<usize> = 20..=500;
/// How many steps, metrics, criteria of a kind, variants and follow-ups there may be.
const STEPS: usize = 40;
const METRICS: usize = 80;
const CRITERIA: usize = 30;
const VARIANTS: usize = 10;
/// The longest observation.
const WINDOW: Duration = Duration::from_hours(400 * 24);

/// Findings under way.
struct Found(Vec<Finding>);

impl Found {
    fn add(&mut self, severity: Severity, path: impl Into<String>, message: impl Into<String>, fix: Option<String>) {
        let (path, message) = (path.into(), message.into());
        self.0.push(Finding { path, line: 0, column: 0, severity, message, fix });
    }

    fn error(&mut self, path: impl Into<String>, message: impl Into<String>, fix: impl Into<String>) {
        self.add(Severity::Error, path, message, Some(fix.into()).filter(|fix| !fix.is_empty()));
    }

    fn warn(&mut self, path: impl Into<String>, message: impl Into<String>, fix: impl Into<String>) {
        self.add(Severity::Warning, path, message, Some(fix.into()).filter(|fix| !fix.is_empty()));
    }

    fn most(&mut self, path: &str, count: usize, most: usize) {
        if count > most {
            self.error(path, format!("there are {count} of them; at most {most} can be looked after"), "");
        }
    }
}

/// Everything that is wrong with a specification, or that somebody should look at. The places in its text are for others to add.
pub fn check(spec: &Spec, known: &Known) -> Vec<Finding> {
    let mut found = Found(Vec::new());
    identity(spec, &mut found);
    target(spec, &mut found);
    execution(spec, known, &mut found);
    params::params(spec, known, &mut found);
    copy::outreach(spec, known, &mut found);
    numbers::metrics(spec, &mut found);
    numbers::criteria(spec, &mut found);
    lines::criteria(spec, &mut found);
    numbers::thresholds(spec, &mut found);
    measuring(spec, &mut found);
    found.0
}

fn identity(spec: &Spec, found: &mut Found) {
    let id = spec.id.as_str();
    let fix = "write it like `exp_20260301_short_name`: the day, then a name of small letters, digits and `_`";
    if id.is_empty() {
        found.error("id", "it has no `id`", fix);
    } else if keys::experiment(id).is_err() || id.contains(['/', '\\', ':']) || id.contains("..") {
        found.error("id", format!("`{}` cannot be an id: it could reach elsewhere", sanitize_line(id, 60)), fix);
    } else if !is_id(id) {
        found.error("id", format!("`{}` is no id of an experiment", sanitize_line(id, 60)), fix);
    } else if day_of(id).is_none() {
        found.warn("id", format!("`{}` names a day that does not exist", sanitize_line(id, 60)), "");
    }
    let length = spec.hypothesis.chars().count();
    if length == 0 {
        found.error(
            "hypothesis",
            "it has no `hypothesis`",
            "say what you believe, so that numbers can show it to be wrong",
        );
    } else if !HYPOTHESIS.contains(&length) {
        let (least, most) = HYPOTHESIS.into_inner();
        let fix = if length < least {
            "say who will do what, and why"
        } else {
            "keep what can be tested, put the rest into `notes`"
        };
        found.error("hypothesis", format!("it has {length} characters; it should have {least} to {most}"), fix);
    }
    for (path, text) in [("hypothesis", &spec.hypothesis), ("target.description", &spec.target.description)] {
        if text.chars().any(|c| is_unseen(c) && c != '\n') {
            found.error(path, "it has characters that nobody sees", "write it again without them");
        }
    }
}

/// Whether a text is an id as experiments have one: `exp_`, eight digits, a name.
pub(super) fn is_id(id: &str) -> bool {
    let Some((day, name)) = id.strip_prefix("exp_").and_then(|rest| rest.split_once('_')) else { return false };
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    day.len() == 8
        && day.bytes().all(|b| b.is_ascii_digit())
        && !name.is_empty()
        && id.len() <= 100
        && name.chars().all(good)
}

/// The day that an id names.
pub(super) fn day_of(id: &str) -> Option<NaiveDate> {
    let day = id.strip_prefix("exp_")?.get(..8)?;
    NaiveDate::parse_from_str(day, "%Y%m%d").ok()
}

/// A name of small letters, digits and `_`, made of any text; empty where nothing of it can be used.
pub fn slug(text: &str) -> String {
    let mut out = String::new();
    for c in text.trim().chars() {
        if c.is_ascii_alphanumeric() {
            out.push(c.to_ascii_lowercase());
        } else if !out.is_empty() && !out.ends_with('_') {
            out.push('_');
        }
        if out.len() >= 60 {
            break;
        }
    }
    out.trim_end_matches('_').to_owned()
}

fn target(spec: &Spec, found: &mut Found) {
    if spec.target.description.trim().is_empty() {
        found.error("target.description", "it is not said whom it is about", "write `target.description`");
    }
    let range = match spec.outreach.as_ref().map(|outreach| outreach.channel) {
        Some(OutreachChannel::Email) => 50..=5_000,
        Some(OutreachChannel::Linkedin) => 20..=200,
        _ => return,
    };
    if let Some(size) = spec.target.size.filter(|size| !range.contains(size)) {
        let (least, most) = range.into_inner();
        let why = if size < least { "too few to learn much from" } else { "many for one experiment" };
        found.warn("target.size", format!("{size} people are {why}; {least} to {most} are usual for this channel"), "");
    }
}

fn execution(spec: &Spec, known: &Known, found: &mut Found) {
    let steps = &spec.execution.steps;
    found.most("execution.steps", steps.len(), STEPS);
    for (index, step) in steps.iter().enumerate() {
        let path = format!("execution.steps[{index}]");
        if !is_name(&step.id) {
            let message = format!("`{}` is no name of a step", sanitize_line(&step.id, 60));
            found.error(format!("{path}.id"), message, "small letters, digits and `_`, a letter first");
        }
        tool(spec, step, known, &format!("{path}.tool"), found);
    }
    if let Err(err) = steps::plan(spec) {
        let fix = match &err {
            PlanError::Nothing => "name a tool: `execution.steps` with `id`, `tool` and `params`",
            PlanError::Nobody => "add a step that finds people, for example `csv_leads` with `path`",
            _ => "",
        };
        found.error("execution.steps", err.to_string(), fix);
    }
    match (&spec.execution.schedule, &spec.execution.timezone) {
        (Some(cron), zone) => match Schedule::parse(cron, zone.as_deref()) {
            Ok(_) => {}
            Err(err @ ScheduleError::Zone(_)) => {
                found.error("execution.timezone", err.to_string(), "write a name like `Europe/Berlin`");
            }
            Err(err) => found.error("execution.schedule", err.to_string(), ""),
        },
        (None, Some(_)) => found.warn("execution.timezone", "there is a zone and no `schedule` that counts in it", ""),
        (None, None) => {}
    }
}

fn tool(spec: &Spec, step: &Step, known: &Known, path: &str, found: &mut Found) {
    let shown = sanitize_line(&step.tool, 60);
    if !is_name(&step.tool) {
        found.error(path, format!("`{shown}` is no name of a tool"), "small letters, digits and `_`, a letter first");
    } else if !known.has_tool(&step.tool) {
        match aliases::stands_in_for(&step.tool).filter(|tool| suits(spec, step, tool)) {
            Some(tool) => {
                found.error(path, format!("there is no tool `{shown}`"), format!("`{}` does that here", tool.name));
            }
            None => {
                let message =
                    format!("there is no tool `{shown}`: it is asked for, and the experiment waits until it is there");
                found.warn(path, message, "or use one of `fullsend tools list`");
            }
        }
    } else if step.tool == "simulated_audience" && spec.mode == Mode::Live {
        found.error(
            path,
            "people that do not exist cannot be written to for real",
            "set `mode: simulation`, or take real people",
        );
    }
    if let Some(why) = known.unseen.get(&step.id) {
        let fix = "put it there; until then nobody knows whether the text can be filled in";
        found.warn(path.replace(".tool", ".params.path"), sanitize_line(why, 200), fix);
    }
}

/// Whether a shipped tool can stand in for a step's: where people are written to by what it gives, it gives people.
pub(super) fn suits(spec: &Spec, step: &Step, tool: &Shipped) -> bool {
    tool.finds_people || !feeds(spec, &step.id)
}

/// Whether people are written to by what a step gives.
fn feeds(spec: &Spec, id: &str) -> bool {
    let Some(outreach) = &spec.outreach else { return false };
    let sends = |step: &&Step| step.tool == steps::SENDER || aliases::sends_mail(&step.tool);
    let own = spec.execution.steps.iter().find(sends);
    let recipients = match own.and_then(|step| step.params.get("recipients").or_else(|| step.params.get("to"))) {
        Some(recipients) => Some(recipients.clone()),
        None => outreach.recipients.clone().map(serde_json::Value::String),
    };
    match recipients {
        Some(recipients) => {
            let params = serde_json::Map::from_iter([("recipients".to_owned(), recipients)]);
            heads(&params, |name| name == id).contains(id)
        }
        // Without a word it is what the last step before gave.
        None => spec.execution.steps.iter().rev().find(|step| !sends(step)).is_some_and(|last| last.id == id),
    }
}

/// Whether a text can be the name of a tool.
pub fn is_tool_name(name: &str) -> bool {
    is_name(name)
}

/// Whether a text is a name as steps, tools and metrics have one.
pub(super) fn is_name(name: &str) -> bool {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    name.starts_with(|c: char| c.is_ascii_lowercase()) && name.len() <= 64 && name.chars().all(good)
}

/// The step whose people outreach writes to.
pub fn source_of(spec: &Spec) -> Option<&Step> {
    let planned = steps::plan(spec).ok()?;
    let sender = planned.iter().find(|it| it.step.tool == steps::SENDER || it.by == steps::By::Person)?;
    let mut recipients = serde_json::Map::new();
    recipients.insert("recipients".to_owned(), sender.step.params.get("recipients")?.clone());
    let names = heads(&recipients, |name| spec.execution.steps.iter().any(|step| step.id == name));
    spec.execution.steps.iter().find(|step| names.contains(&step.id))
}

fn measuring(spec: &Spec, found: &mut Found) {
    let (window, every) = (spec.measuring.window.0, spec.measuring.collect_every.0);
    if window.is_zero() || window > WINDOW {
        let message = format!("what comes of a run cannot be looked at for {}", spec.measuring.window);
        found.error("measuring.window", message, "write for example `7d`");
    }
    if every < Duration::from_mins(1) {
        let message = format!("collecting every {} would do nothing else", spec.measuring.collect_every);
        found.error("measuring.collect_every", message, "write for example `15m`");
    }
}
