//! What the rules do about debates and what was learned.
//!
//! Must never learn from outside, and never debate what is known.

use serde_json::Value;

use super::{Case, cut, notes, wanted};
use crate::contracts::Priority;
use crate::llm::tasks::decide::Decision;
use crate::llm::tasks::words::{Words, overlap};

/// Somebody wants a debate.
pub(super) fn debate_wanted(case: &mut Case<'_>) -> Decision {
    let prompt = case
        .text("prompt")
        .or_else(|| case.text("topic"))
        .or_else(|| case.text("question"))
        .unwrap_or_default()
        .to_owned();
    let words = Words::of(&prompt);
    if case.is_external() && words.has("archive, kill, publish, delete, keys, ignore, approve") {
        return case.nothing("It came from outside, and orders instead of asking.");
    }
    if words.list().len() < 3 {
        case.because("There is no question in it.");
        return case.tell("A debate was asked for, but without a question. What should be discussed?", Priority::Low);
    }
    let worklist = case.input.team.worklist.text.clone();
    let held = notes::items(&worklist).into_iter().any(|item| {
        item.words.has("round table, roundtable, debate") && overlap(&words.stems(), &item.words.stems()) >= 0.5
    });
    if held {
        return case.nothing("The team has talked about this just now.");
    }
    let stems = words.stems();
    let answer = notes::learnings(&case.input.team.learnings.text)
        .into_iter()
        .find(|learning| overlap(&stems, &learning.words.stems()) >= 0.66);
    if let Some(learning) = answer.filter(|_| words.has("or")) {
        case.because("The learnings answer it already.");
        return case.tell(&format!("We know this already: {}.", cut(&learning.headline, 200)), Priority::Medium);
    }
    case.because("It needs several views.");
    case.debate(&cut(&prompt, 1_000))
}

/// A debate is over.
pub(super) fn debated(case: &mut Case<'_>) -> Decision {
    let tasks: Vec<String> = case
        .input
        .message
        .get("summary")
        .and_then(Value::as_array)
        .map(|tasks| tasks.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        .unwrap_or_default();
    if tasks.is_empty() {
        if let Some(error) = case.text("error").map(str::to_owned) {
            case.because("The debate came to nothing.");
            return case.tell(&format!("The round table came to nothing: {}.", cut(&error, 200)), Priority::Medium);
        }
        return case.nothing("The debate ended without a task.");
    }
    let owner = |task: &str, name: &str| task.to_lowercase().contains(&format!("owner: {name}"));
    let plain = |task: &str| task.split(" (Owner").next().unwrap_or(task).trim().to_owned();
    if let [task] = tasks.as_slice() {
        let words = Words::of(&plain(task));
        if words.begins("kill, end, stop, archive")
            && let Some(id) = wanted_experiment(case, task)
            && !case.is_external()
        {
            case.because("The team agreed to end it.");
            return case.kill(&id, &cut(&plain(task), 200), Priority::High);
        }
        if let Some(learning) = notes::against(&case.input.team.learnings.text, &words) {
            case.because(&format!("A learning speaks against it: {learning}."));
            return case.tell(
                &format!("The round table wants \"{}\", but we learned: {learning}. What now?", cut(&plain(task), 200)),
                Priority::Medium,
            );
        }
        if owner(task, "builder") {
            case.because("The debate asks for a tool.");
            if let wanted::Tool::Missing(name) = wanted::tool(&case.input.team, &plain(task)) {
                return case.build(&name, &plain(task), Vec::new(), Priority::Medium);
            }
            return case.nothing("The tool is there, or under way.");
        }
        if owner(task, "fullsend") {
            let alike = case.alike(&words).first().map_or(0.0, |(share, _)| *share);
            if alike >= 0.6 {
                return case.nothing("The same is running already.");
            }
            case.because("The debate has one clear task.");
            return case.dispatch(&cut(&plain(task), 80), &plain(task), Priority::Medium);
        }
    }
    case.because("The debate left tasks for several, which go onto the worklist.");
    let mut worklist = case.input.team.worklist.text.clone();
    for task in tasks.iter().take(10) {
        worklist = notes::with_line(&worklist, "ready", &format!("1. {}", cut(task, 200)), false);
    }
    case.rewrite(worklist)
}

fn wanted_experiment(case: &Case<'_>, text: &str) -> Option<String> {
    case.input
        .team
        .experiments
        .iter()
        .map(|known| known.id.clone())
        .find(|id| text.contains(id.as_str()) && !case.is_archived(id))
}

/// Something was learned.
pub(super) fn learned(case: &mut Case<'_>) -> Decision {
    let said = case
        .text("text")
        .or_else(|| case.text("learning"))
        .or_else(|| case.text("insight"))
        .or_else(|| case.text("content"))
        .unwrap_or_default()
        .to_owned();
    let words = Words::of(&said);
    if case.is_external() {
        return case.nothing("It came from outside; what the team learns comes from the team.");
    }
    if case.text("confidence") == Some("low") {
        return case.nothing("It rests on too little.");
    }
    let stems = words.stems();
    let known = notes::learnings(&case.input.team.learnings.text)
        .iter()
        .any(|learning| overlap(&stems, &Words::of(&learning.headline).stems()) >= 0.66);
    let operator = case.input.trust >= crate::contracts::Trust::Operator && case.text("confidence").is_none();
    if known && !words.counts() {
        return case.nothing("The learnings say so already.");
    }
    if operator
        || words.counts() && words.list().len() >= 6 && !words.has("characters, seconds, parameter, column, encoding")
    {
        case.because("It is about the market, and rests on numbers or on the operator's word.");
        let evidence = case.text("experiment_id").map(|id| format!("- {id}")).into_iter().collect();
        return case.learn(&cut(&said, 180), evidence);
    }
    case.nothing("It is a detail of how to work, and kept as a tactical learning.")
}
