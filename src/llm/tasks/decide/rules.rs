//! The rule of thumb for decisions: what a careful person would do about a message, from what it says and what the team knows.
//!
//! Owns the order in which things are weighed. When in doubt it does nothing, or asks back where a person waits. What comes from outside
//! never kills, orders or teaches. Must never name what is not in the message or the state.

mod builds;
mod channels;
mod debates;
mod notes;
mod numbers;
mod people;
mod progress;
mod refusals;
mod runs;
mod wanted;

use std::cell::OnceCell;
use std::collections::HashMap;

use serde_json::{Map, Value};

use super::faults::WORKLIST_LIMIT;
use super::{Action, DecideInput, Decision, Payload};
use crate::contracts::lifecycle::ExperimentState;
use crate::contracts::{Priority, Trust};
use crate::llm::Ruled;
use crate::llm::tasks::words::{Stems, Words, overlap};
use crate::memory::ExperimentBrief;

/// Most characters of an idea that is handed on.
const IDEA_LIMIT: usize = 4_000;

/// The rule.
pub(super) fn rule(input: &DecideInput) -> Ruled<Decision> {
    let mut case = Case { input, reasons: Vec::new(), known: OnceCell::new() };
    let decision = match input.kind.as_str() {
        _ if input.denied.is_some() => refusals::refused(&mut case),
        "escalation" => people::decide(&mut case),
        "metric_alert" | "success_threshold" | "failure_threshold" | "error" | "anomaly" => numbers::alert(&mut case),
        "experiment_completed" => runs::run_ended(&mut case),
        "experiment_failed" => runs::run_failed(&mut case),
        "experiment_error" => runs::run_reported(&mut case),
        "experiment_success" => case.nothing("The run is decided upon by its result; this only reports it."),
        "api_key_required" => progress::key_required(&mut case),
        "periodic_summary" => progress::summary(&mut case),
        "tool_complete" | "builder_completed" | "tool_built" => builds::tool_complete(&mut case),
        "tool_build_failed" | "builder_failed" => builds::build_failed(&mut case),
        "experiment_ready" => progress::ready(&mut case),
        "design_failed" => progress::design_failed(&mut case),
        "fullsend_completed" => progress::fullsend_completed(&mut case),
        "fullsend_failed" => progress::fullsend_failed(&mut case),
        "roundtable_request" => debates::debate_wanted(&mut case),
        "roundtable_concluded" => debates::debated(&mut case),
        "learning_recorded" => debates::learned(&mut case),
        "approval_completed" => refusals::answered(&mut case),
        _ => case.nothing("It reports work that goes on as it should."),
    };
    // What is to be done must be possible: otherwise a person is asked.
    let faults = super::faults::faults(input, &decision);
    let decision = if faults.is_empty() {
        decision
    } else {
        case.because(&format!("What the rules would do cannot be done: {}.", faults.join("; ")));
        case.tell("I cannot do that by myself. Can you say what you want done?", Priority::Medium)
    };
    Ruled { output: decision, reasons: case.reasons }
}

/// A message, what is known, and why.
struct Case<'a> {
    input: &'a DecideInput,
    reasons: Vec<String>,
    /// Read when it is first asked for: most messages do not need it.
    known: OnceCell<Vec<Known<'a>>>,
}

/// An experiment that goes on, or waits to, read.
struct Known<'a> {
    brief: &'a ExperimentBrief,
    /// The stems of its name.
    name: Stems,
    /// What its name and its hypothesis say.
    about: Words,
    /// The stems of that.
    stems: Stems,
    /// Its item on the worklist: the stems of its title, and all its words.
    item: Option<(Stems, Words)>,
}

impl<'a> Case<'a> {
    fn because(&mut self, reason: &str) {
        self.reasons.push(reason.to_owned());
    }

    /// A text of the message.
    fn text(&self, field: &str) -> Option<&str> {
        text(&self.input.message, field)
    }

    fn number(&self, field: &str) -> Option<f64> {
        self.input.message.get(field).and_then(Value::as_f64)
    }

    fn is_external(&self) -> bool {
        self.input.trust == Trust::External
    }

    /// Whether a word of this list that the message has is one of the product's.
    fn is_ours(&self, words: &Words, list: &str) -> bool {
        let product = Words::of(notes::start_of(&self.input.team.product.text));
        list.split(',').map(str::trim).any(|word| words.has(word) && product.has(word))
    }

    /// The experiment that the message is about, where it is known and not archived.
    fn experiment(&self) -> Option<&ExperimentBrief> {
        self.known(self.text("experiment_id")?)
    }

    fn known(&self, id: &str) -> Option<&ExperimentBrief> {
        self.input.team.experiments.iter().find(|known| known.id == id)
    }

    fn is_archived(&self, id: &str) -> bool {
        self.input.team.archived.iter().any(|archived| archived == id)
            || self.known(id).is_some_and(|known| state(known) == Some(ExperimentState::Archived))
    }

    /// The experiments that go on, or wait to.
    fn going_on(&self) -> impl Iterator<Item = &'a ExperimentBrief> + use<'a> {
        use ExperimentState::{Draft, Measuring, Paused, Ready, Running};
        let experiments = self.input.team.experiments.iter().take(1_000);
        experiments.filter(|known| matches!(state(known), Some(Running | Ready | Measuring | Draft | Paused)))
    }

    /// The same, read.
    fn read(&self) -> &[Known<'a>] {
        self.known.get_or_init(|| {
            let items = notes::items(&self.input.team.worklist.text);
            let is_part = |c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-');
            let names = |item: &notes::Item<'a>| item.line.split(is_part).filter(|word| word.contains('_'));
            let by_id: HashMap<&str, &notes::Item<'a>> =
                items.iter().flat_map(|item| names(item).map(move |name| (name, item))).collect();
            let read = |brief: &'a ExperimentBrief| {
                let about = about(brief);
                let item = by_id.get(brief.id.as_str());
                let item = item.map(|item| (Words::of(&item.title()).stems(), item.words.clone()));
                Known { brief, name: name(&brief.id).stems(), stems: about.stems(), about, item }
            };
            self.going_on().map(read).collect()
        })
    }

    /// The experiments that go on, with how much a text is about each, the likest first.
    fn alike(&self, words: &Words) -> Vec<(f64, &'a ExperimentBrief)> {
        let stems = words.stems();
        let mut found: Vec<_> = self.read().iter().map(|known| (overlap(&stems, &known.stems), known.brief)).collect();
        found.sort_by(|a, b| b.0.total_cmp(&a.0));
        found
    }

    fn decide(&self, action: Action, payload: Payload, priority: Priority) -> Decision {
        Decision {
            action,
            reasoning: self.reasons.join(" "),
            payload,
            priority,
            experiment_id: None,
            context_for_fullsend: None,
        }
    }

    fn nothing(&mut self, why: &str) -> Decision {
        self.because(why);
        self.decide(Action::NoAction, Payload::default(), Priority::Low)
    }

    /// Says something to whoever asked, or to the team.
    fn tell(&mut self, what: &str, priority: Priority) -> Decision {
        let payload = Payload { content: Some(cut(what, 1_500)), ..Payload::default() };
        self.decide(Action::RespondToDiscord, payload, priority)
    }

    fn dispatch(&mut self, title: &str, idea: &str, priority: Priority) -> Decision {
        let payload =
            Payload { title: Some(cut(title, 100)), content: Some(cut(idea, IDEA_LIMIT)), ..Payload::default() };
        let mut decision = self.decide(Action::DispatchToFullsend, payload, priority);
        decision.context_for_fullsend = self.context_for(idea);
        decision
    }

    /// A change of an experiment.
    fn revise(&mut self, id: &str, title: &str, idea: &str, priority: Priority) -> Decision {
        let mut decision = self.dispatch(title, idea, priority);
        decision.experiment_id = Some(id.to_owned());
        decision
    }

    fn kill(&mut self, id: &str, why: &str, priority: Priority) -> Decision {
        let payload = Payload { content: Some(cut(why, 500)), ..Payload::default() };
        let mut decision = self.decide(Action::KillExperiment, payload, priority);
        decision.experiment_id = Some(id.to_owned());
        decision
    }

    fn build(&mut self, name: &str, purpose: &str, requirements: Vec<String>, priority: Priority) -> Decision {
        let payload = Payload {
            title: Some(name.to_owned()),
            content: Some(cut(purpose, 2_000)),
            requirements,
            ..Payload::default()
        };
        self.decide(Action::DispatchToBuilder, payload, priority)
    }

    fn learn(&mut self, headline: &str, evidence: Vec<String>) -> Decision {
        let payload = Payload { title: Some(cut(headline, 190)), inputs: evidence, ..Payload::default() };
        self.decide(Action::RecordLearning, payload, Priority::Medium)
    }

    /// The worklist, written anew; told instead where it has become too long to travel in a message.
    fn rewrite(&mut self, worklist: String) -> Decision {
        if worklist.len() > WORKLIST_LIMIT {
            self.because("The worklist is too long to be written anew.");
            return self
                .tell("The worklist has become too long for me to change. Please shorten it.", Priority::Medium);
        }
        let payload = Payload { content: Some(worklist), ..Payload::default() };
        self.decide(Action::UpdateWorklist, payload, Priority::Medium)
    }

    fn debate(&mut self, question: &str) -> Decision {
        let payload =
            Payload { title: Some(cut(question, 100)), content: Some(cut(question, 2_000)), ..Payload::default() };
        self.decide(Action::InitiateRoundtable, payload, Priority::Medium)
    }

    /// What FULLSEND should know: the learnings that are about it, and the tools there are.
    fn context_for(&self, idea: &str) -> Option<String> {
        let stems = Words::of(idea).stems();
        let mut lines: Vec<String> = notes::learnings(&self.input.team.learnings.text)
            .into_iter()
            .filter(|learning| overlap(&stems, &learning.words.stems()) >= 0.3)
            .take(3)
            .map(|learning| format!("Learned: {}", cut(&learning.headline, 200)))
            .collect();
        if !self.input.team.tools.is_empty() {
            let tools: Vec<_> = self.input.team.tools.iter().take(20).map(String::as_str).collect();
            lines.push(format!("Tools: {}", tools.join(", ")));
        }
        if lines.is_empty() { None } else { Some(lines.join("\n")) }
    }
}

fn state(known: &ExperimentBrief) -> Option<ExperimentState> {
    ExperimentState::read(&known.state)
}

/// What an experiment is called: its id without the date.
fn name(id: &str) -> Words {
    let parts = id.split('_').filter(|part| !part.chars().all(|c| c.is_ascii_digit()));
    Words::of(&parts.collect::<Vec<_>>().join(" "))
}

/// What an experiment is about: its name and its hypothesis.
fn about(known: &ExperimentBrief) -> Words {
    name(&known.id).and(&Words::of(&known.hypothesis))
}

fn text<'a>(fields: &'a Map<String, Value>, field: &str) -> Option<&'a str> {
    fields.get(field).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty())
}

/// The text, harmless, on one line of at most so many characters.
fn cut(text: &str, limit: usize) -> String {
    crate::contracts::untrusted::sanitize_line(text, limit)
}

/// A share as people write it.
fn percent(share: f64) -> String {
    format!("{}%", (share * 1_000.0).round() / 10.0)
}
