//! What the rules do about answers to proposals: a refusal is decided again, silence is asked about.
//!
//! Must never propose the same again without the change that was asked for.

use serde_json::Value;

use super::{Case, cut, notes, wanted};
use crate::contracts::Priority;
use crate::llm::tasks::decide::{Action, Decision};
use crate::llm::tasks::intents::{self, Refusal};
use crate::llm::tasks::words::Words;

/// A person refused a decision: it is decided again, knowing why.
pub(super) fn refused(case: &mut Case<'_>) -> Decision {
    let Some(denied) = case.input.denied.clone() else { return case.nothing("Nothing was refused.") };
    after_refusal(case, denied.action, &denied.reason, None)
}

/// An answer to a proposal.
pub(super) fn answered(case: &mut Case<'_>) -> Decision {
    if case.text("proposer").is_some_and(|proposer| proposer != "orchestrator") {
        return case.nothing("It was somebody else's proposal.");
    }
    match case.text("outcome").unwrap_or_default() {
        "denied" | "rejected" => {
            let reason = case.text("reason").unwrap_or_default().to_owned();
            after_refusal(case, Action::NoAction, &reason, None)
        }
        "expired" | "timed_out" => {
            case.because("Nobody answered in time, which means no.");
            let id = case.text("approval_id").unwrap_or_default().to_owned();
            case.tell(
                &format!("Nobody answered {} in time, so it was not done. Should I ask again?", cut(&id, 40)),
                Priority::Medium,
            )
        }
        _ => case.nothing("It was answered, and is done."),
    }
}

fn after_refusal(case: &mut Case<'_>, action: Action, reason: &str, _about: Option<&str>) -> Decision {
    let words = Words::of(reason);
    if reason.trim().is_empty() {
        case.because("It was refused without a reason.");
        return case.tell("Understood, I will not do it. What should be different?", Priority::Medium);
    }
    case.because(&format!("It was refused: {}.", cut(reason, 300)));
    let reading = intents::read::<Refusal>(&words, reason);
    let surely = reading.surely();
    if surely == Some(Refusal::Never) || words.has("never, ever, dont propose, not again, dont ever, no more of, policy, out of the question, off limits, under no circumstances") {
        return case.learn(&cut(reason, 180), vec!["- said by a person who refused a proposal".to_owned()]);
    }
    if surely == Some(Refusal::Debate) || words.has("discuss, round table, roundtable, debate, brainstorm") {
        let question = format!("A person is not convinced: {}", cut(reason, 500));
        return case.debate(&question);
    }
    if reason.trim_end().ends_with('?') {
        return case.tell(&format!("You asked: {}. I do not know more than the numbers of the experiments show; tell me if it should be done, or changed.", cut(reason, 300)), Priority::Medium);
    }
    let kill = action == Action::KillExperiment || words.has("dont kill, not kill");
    let change = surely == Some(Refusal::Change) || words.has("\
        change, instead, rather, start with, begin with, limit, half, smaller, fewer, too many, reword, use, only, at most, first, without, \
        shorter");
    let later = surely == Some(Refusal::Later) || surely.is_none() && words.has("not before, not now, later, wait, until, next week, next month, ask again, after the, give it, too early, too soon, next quarter, in the autumn, in spring");
    if later && !words.has("instead") {
        if kill || action == Action::KillExperiment {
            return case.nothing("It is left to run, as the person wants.");
        }
        let line = format!("- Refused for now: {}", cut(reason, 160));
        let worklist = notes::with_line(&case.input.team.worklist.text, "blocked", &line, false);
        return case.rewrite(worklist);
    }
    if change && action == Action::DispatchToBuilder {
        if let Some(name) = wanted::named(&serde_json::to_string(&case.input.message).unwrap_or_default()) {
            let there = case.input.team.tools.contains(&name);
            if !there {
                return case.build(
                    &name,
                    &format!("As before, but: {}", cut(reason, 400)),
                    vec![cut(reason, 200)],
                    Priority::Medium,
                );
            }
        }
        return case.tell(
            &format!("I will ask for the tool again with this: {}. Which tool is meant?", cut(reason, 300)),
            Priority::Medium,
        );
    }
    if change && matches!(action, Action::DispatchToFullsend | Action::KillExperiment) {
        let said = original(case);
        let id = case
            .text("experiment_id")
            .map(str::to_owned)
            .filter(|id| case.known(id).is_some() && !case.is_archived(id));
        let idea = format!("{} With this change: {}", cut(&said, 800), cut(reason, 400));
        let mut decision = case.dispatch(&format!("Changed: {}", cut(reason, 60)), &idea, Priority::Medium);
        decision.experiment_id = id;
        return decision;
    }
    if kill {
        return case.nothing("It is left to run, as the person wants.");
    }
    case.tell(&format!("Understood, I leave it: {}.", cut(reason, 300)), Priority::Medium)
}

/// What the message was about, in words.
fn original(case: &Case<'_>) -> String {
    let chat = case.input.message.get("original_message").and_then(|chat| chat.get("content")).and_then(Value::as_str);
    let about = case.text("experiment_id").and_then(|id| case.known(id)).map(|known| known.hypothesis.clone());
    chat.map(str::to_owned)
        .or(about)
        .or_else(|| case.text("summary").map(str::to_owned))
        .unwrap_or_else(|| "The proposal that was refused.".to_owned())
}
