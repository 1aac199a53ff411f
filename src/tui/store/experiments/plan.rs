//! What an experiment does, as it is compiled: its steps in their order, the one that `outreach` becomes, and what timers do afterwards.
//!
//! Must never show another order than the one in which the executor goes: both come from [`steps::plan`].

use std::fmt::Write as _;

use serde_json::Value;

use super::{LIST_LIMIT, WORDS_LIMIT};
use crate::bus::Document;
use crate::contracts::untrusted::sanitize_line;
use crate::experiments::document::read_spec;
use crate::experiments::spec::{FollowUp, Mode, OutreachChannel, Spec};
use crate::experiments::steps::{self, By, OUTREACH, Planned};

/// Parameters that are told in words of their own, or are too long for a line.
const TOLD: [&str; 4] = ["template", "variants", "sender_name", "follow_up"];
/// Characters of a parameter.
const VALUE_LIMIT: usize = 80;

/// Something that an experiment does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its name in the documents of runs. Raw.
    pub id: String,
    /// What is done; harmless.
    pub words: String,
}

/// What an experiment does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// One after the other, in each run.
    pub steps: Vec<Step>,
    /// What timers do after a run; harmless.
    pub later: Vec<String>,
    /// What a person has to do before; harmless.
    pub first: Vec<String>,
    /// Why it cannot be done as it stands; harmless.
    pub fault: Option<String>,
}

impl Plan {
    /// That of a document with a specification; otherwise what the document names as steps.
    pub(super) fn of(document: &Document, mode: Mode, given: Vec<String>) -> Self {
        let given = |fault| {
            let steps = given.into_iter().map(|words| Step { id: String::new(), words }).collect();
            Self { steps, fault, ..Self::default() }
        };
        // What others wrote has no specification as ours, and is shown as it is.
        let Ok(spec) = read_spec(document) else { return given(None) };
        let planned = match steps::plan(&spec) {
            Ok(planned) => planned,
            Err(err) => return given(Some(sanitize_line(&err.to_string(), WORDS_LIMIT))),
        };
        let steps = planned.iter().take(LIST_LIMIT).map(|it| Step { id: it.step.id.clone(), words: words(it, &spec) });
        Self {
            steps: steps.collect(),
            later: later(&spec, mode),
            first: spec.manual_steps_required.iter().take(LIST_LIMIT).map(|it| line(it)).collect(),
            fault: None,
        }
    }
}

/// Whether an experiment writes mail to people, by its document; none where that does not say it.
pub(super) fn writes_mail(document: &Document) -> Option<bool> {
    let spec = read_spec(document).ok()?;
    Some(spec.outreach.is_some_and(|outreach| outreach.channel == OutreachChannel::Email))
}

fn line(text: &str) -> String {
    sanitize_line(text, WORDS_LIMIT)
}

/// A step in a line: its name, its tool, who does it, and with what.
fn words(planned: &Planned, spec: &Spec) -> String {
    let step = &planned.step;
    let mut words = format!("{}: {}", step.id, step.tool);
    if planned.by == By::Person {
        words.push_str(" by a person");
    }
    for (name, value) in step.params.iter().filter(|(name, _)| !TOLD.contains(&name.as_str())) {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let _ = write!(words, " {name}={}", sanitize_line(&value, VALUE_LIMIT));
    }
    let variants = step.params.get("variants").and_then(Value::as_array).map_or(0, Vec::len);
    if variants > 1 {
        let _ = write!(words, " in {variants} variants");
    }
    if step.id == OUTREACH && !spec.execution.steps.iter().any(|given| given.id == OUTREACH) {
        words.push_str(" (compiled from `outreach`)");
    }
    line(&words)
}

/// What timers do after a run.
fn later(spec: &Spec, mode: Mode) -> Vec<String> {
    let window = spec.measuring.window;
    let judged = match mode {
        Mode::Live => format!("judgement: {window} after a run"),
        Mode::DryRun => "judgement: at once; nobody was reached, so no follow-ups, and no replies".to_owned(),
        Mode::Simulation => "judgement: right after a run; replies are simulated while it runs".to_owned(),
    };
    let Some(outreach) = spec.outreach.as_ref().filter(|_| mode == Mode::Live) else { return vec![judged] };
    let follow_up = |(number, follow_up): (usize, &FollowUp)| {
        let Planned { step, by } = steps::follow_up(spec, number)?;
        let subject = step.params.get("subject").and_then(Value::as_str).unwrap_or_default();
        let subject = if subject.is_empty() { String::new() } else { format!(", `{subject}`") };
        let by = if by == By::Person { " by a person" } else { "" };
        let (id, tool, after) = (&step.id, &step.tool, follow_up.after);
        Some(line(&format!(
            "{id}: {after} after a run, {tool}{by} to whom did not answer, bounce or leave{subject}; where a mailbox is read"
        )))
    };
    let mut later: Vec<String> =
        outreach.follow_ups.iter().enumerate().take(LIST_LIMIT).filter_map(follow_up).collect();
    if outreach.channel == OutreachChannel::Email {
        let every = spec.measuring.collect_every;
        later.push(format!(
            "collection: every {every} the mailbox is read, if one is set, until twelve weeks after the last mail"
        ));
    }
    later.push(judged);
    later
}
