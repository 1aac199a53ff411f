//! What somebody means: what the message reads like, weighed with what the team has, and what is done about it then.
//!
//! What the words alone leave open, the state decides: of an item that is blocked it can be said that it is free, of an experiment that
//! it should end. Must never do what cannot be taken back on a guess.

use super::{Said, alarms, control, ideas, questions, requests, worklist};
use crate::contracts::Priority;
use crate::llm::tasks::decide::Decision;
use crate::llm::tasks::decide::rules::{Case, cut, notes};
use crate::llm::tasks::intents::{Intent, Meaning as _, SURE};
use crate::llm::tasks::words::{Words, common};

/// An intent less likely than this is not thought of.
const THOUGHT_OF: f32 = 0.05;

/// What is not answered at all must be as sure as this to need no answer.
const IDLE: f32 = 0.7;

/// The intents, the likeliest first, with how likely each is; together 1.
pub(super) fn weighed(case: &Case<'_>, said: &Said) -> Vec<(Intent, f32)> {
    let facts = Facts::of(case, said);
    let mut weighed: Vec<(Intent, f32)> =
        Intent::ALL.iter().map(|intent| (*intent, said.reading.share(*intent) * facts.weight(*intent))).collect();
    let all: f32 = weighed.iter().map(|(_, share)| share).sum();
    for (_, share) in &mut weighed {
        *share /= all.max(f32::MIN_POSITIVE);
    }
    weighed.sort_by(|a, b| b.1.total_cmp(&a.1));
    weighed
}

/// What the state says of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fact {
    /// It names, or describes, an experiment.
    Experiment,
    /// It is about an item in the queue.
    Ready,
    /// It is about an item that is blocked.
    Blocked,
    /// It is about an item that is worked on.
    Active,
    /// It has a number.
    Counts,
    /// The watcher took it for an idea.
    TakenForIdea,
    /// It came from outside.
    External,
    /// It shares a word with a tool, or with what an experiment is about.
    Ours,
}

struct Facts(Vec<Fact>);

impl Facts {
    fn of(case: &Case<'_>, said: &Said) -> Self {
        let items = notes::items(&case.input.team.worklist.text);
        let stems = said.words.stems();
        let about = |section: &str| worklist::likeliest(&items, &[section], said).is_some();
        let is_tool = |tool: &String| common(&Words::of(&tool.replace('_', " ")).stems(), &stems) > 0;
        let ours = case.read().iter().any(|known| common(&known.stems, &stems) > 0);
        let facts = [
            (Fact::Experiment, !said.ids().is_empty() || !control::meant(case, said).is_empty()),
            (Fact::Ready, about("ready")),
            (Fact::Blocked, about("blocked")),
            (Fact::Active, about("active")),
            (Fact::Counts, said.words.counts()),
            (Fact::TakenForIdea, said.reason.has("idea, idea_submit") && !said.reason.has("word")),
            (Fact::External, case.is_external()),
            (Fact::Ours, ours || case.input.team.tools.iter().any(is_tool)),
        ];
        Self(facts.into_iter().filter_map(|(fact, so)| so.then_some(fact)).collect())
    }

    fn any(&self, facts: &[Fact]) -> bool {
        self.0.iter().any(|fact| facts.contains(fact))
    }

    /// How much likelier, or less likely, an intent is by that.
    fn weight(&self, intent: Intent) -> f32 {
        use Fact::{Active, Blocked, Counts, Experiment, External, Ours, Ready, TakenForIdea};
        let if_any = |facts: &[Fact], yes: f32, no: f32| if self.any(facts) { yes } else { no };
        match intent {
            Intent::End => if_any(&[Experiment], 2.0, if_any(&[Ready, Blocked, Active], 0.4, 0.8)),
            Intent::Change => if_any(&[Experiment], 1.5, 0.5),
            Intent::Pause | Intent::Resume => if_any(&[Experiment], 1.0, if_any(&[Ready], 0.5, 1.0)),
            Intent::Done => if_any(&[Ready, Blocked, Active], 1.5, 0.4),
            Intent::Unblocked => if_any(&[Blocked], 2.5, 0.5),
            Intent::Order => if_any(&[Ready], 2.0, 0.4),
            Intent::Drop => if_any(&[Ready, Blocked], 2.0, 0.4),
            Intent::Learning => if_any(&[Counts], 1.5, 0.5),
            Intent::Idea => if_any(&[TakenForIdea], 2.0, 1.0),
            Intent::Vague => if_any(&[TakenForIdea], 1.5, 1.0),
            Intent::Talk | Intent::Thanks => if_any(&[Experiment, Ready, Blocked, Active, Ours], 0.5, 1.0),
            Intent::Offer => if_any(&[External], 1.5, 0.3),
            _ => 1.0,
        }
    }
}

/// What is done about the likeliest intent that something can be done about; none where it is too unsure what is meant.
pub(super) fn decide(case: &mut Case<'_>, said: &Said, at_least: f32) -> Option<Decision> {
    for (intent, share) in weighed(case, said).into_iter().take(3).filter(|(_, share)| *share >= THOUGHT_OF) {
        if share < at_least {
            return None;
        }
        let reasons = case.reasons.len();
        case.because(&said.reading.why(intent));
        if let Some(decision) = act(case, said, intent, share) {
            return Some(decision);
        }
        case.reasons.truncate(reasons);
    }
    None
}

fn act(case: &mut Case<'_>, said: &Said, intent: Intent, share: f32) -> Option<Decision> {
    Some(match intent {
        Intent::End => return control::end_meant(case, said),
        Intent::Pause => control::rest(case, said),
        Intent::Resume => control::go_on(case, said),
        // What is sent out because of a guess cannot be called back.
        Intent::Change | Intent::Idea | Intent::Vague if share < SURE && !ideas::is_proposed(said) => return None,
        Intent::Change | Intent::Idea | Intent::Vague => return ideas::proposed(case, said),
        Intent::Done | Intent::Unblocked | Intent::Order | Intent::Drop | Intent::Focus => {
            return worklist::by_intent(case, said, intent, share);
        }
        Intent::Tool => requests::build(case, said),
        Intent::Debate if !case.is_external() => requests::debated(case, said),
        Intent::Question | Intent::Status | Intent::Strategy | Intent::Debate => questions::answered(case, said),
        Intent::Learning | Intent::Opinion => requests::learned(case, said),
        Intent::Harm => alarms::harmed(case, said),
        Intent::Broken => alarms::broken(case, said),
        Intent::News => requests::gladdened(case),
        Intent::Help => requests::helped(case),
        Intent::Secret => super::orders::kept_secret(case),
        Intent::Thanks | Intent::Greeting | Intent::Talk if share >= IDLE => {
            case.nothing("There is nothing in it to be done.")
        }
        Intent::Offer if case.is_external() => case.nothing("Somebody sells something, which nobody asked for."),
        Intent::Thanks | Intent::Greeting | Intent::Talk | Intent::Offer => return None,
        Intent::Remark => {
            case.because("It orders nothing now, so everything stays as it is.");
            case.tell(
                &format!(
                    "Understood: \"{}\". I change nothing because of it; tell me if I should.",
                    cut(&said.text, 200)
                ),
                Priority::Low,
            )
        }
        Intent::Errand => {
            case.because("It asks for something that none of the team's actions is.");
            case.tell(
                &format!(
                    "That is nothing I can do myself: \"{}\". Somebody of the team should see to it.",
                    cut(&said.text, 200)
                ),
                Priority::Medium,
            )
        }
    })
}
