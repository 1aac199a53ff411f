//! What makes a decision unusable: something that it names does not exist, or something that its action needs is missing.

use super::{Action, DecideInput, Decision, Payload};
use crate::contracts::lifecycle::ExperimentState;
use crate::contracts::untrusted::sanitize_line;

/// Most characters of a title.
pub const TITLE_LIMIT: usize = 200;
/// Most characters of everything else but a worklist.
pub const TEXT_LIMIT: usize = 8_000;
/// Most bytes of a worklist; a message must hold it.
pub const WORKLIST_LIMIT: usize = 100_000;
/// Most members of a list.
const LIST_LIMIT: usize = 50;

/// What is wrong with a decision, each in words that a model can act on.
pub fn faults(input: &DecideInput, decision: &Decision) -> Vec<String> {
    let mut faults = Vec::new();
    let Payload { title, content, .. } = &decision.payload;
    let mut needs = |given: bool, what: &str| {
        if !given {
            faults.push(format!("`{}` needs {what}", decision.action));
        }
    };
    match decision.action {
        Action::DispatchToFullsend => needs(content.is_some(), "the idea in `payload.content`"),
        Action::DispatchToBuilder => {
            needs(title.is_some(), "the tool's name in `payload.title`");
            needs(content.is_some(), "what the tool is for in `payload.content`");
        }
        Action::RespondToDiscord => needs(content.is_some(), "what to say in `payload.content`"),
        Action::UpdateWorklist => needs(
            content.as_deref().is_some_and(|text| text.contains("## ")),
            "the whole new worklist, with its sections, in `payload.content`",
        ),
        Action::RecordLearning => needs(title.is_some(), "the learning in `payload.title`"),
        Action::KillExperiment => needs(decision.experiment_id.is_some(), "`experiment_id`"),
        Action::InitiateRoundtable => needs(content.is_some(), "the question in `payload.content`"),
        Action::NoAction => {}
    }
    faults.extend(experiment(input, decision));
    faults.extend(tool(input, decision));
    faults.extend(sizes(decision));
    faults
}

fn experiment(input: &DecideInput, decision: &Decision) -> Option<String> {
    let id = decision.experiment_id.as_deref()?;
    let shown = sanitize_line(id, 80);
    let kills = decision.action == Action::KillExperiment;
    if let Some(found) = input.team.experiments.iter().find(|experiment| experiment.id == id) {
        let archived = ExperimentState::read(&found.state) == Some(ExperimentState::Archived);
        return (kills && archived).then(|| format!("experiment `{shown}` is archived already"));
    }
    if input.team.archived.iter().any(|archived| archived == id) {
        return kills.then(|| format!("experiment `{shown}` is archived already"));
    }
    let matters = kills || decision.action == Action::DispatchToFullsend;
    matters.then(|| format!("there is no experiment `{shown}`"))
}

fn tool(input: &DecideInput, decision: &Decision) -> Option<String> {
    if decision.action != Action::DispatchToBuilder {
        return None;
    }
    let name = decision.payload.title.as_deref()?;
    let shown = sanitize_line(name, 80);
    let mut characters = name.chars();
    let fits = characters.next().is_some_and(|first| first.is_ascii_lowercase())
        && name.len() <= 64
        && characters.all(|other| other.is_ascii_lowercase() || other.is_ascii_digit() || other == '_');
    if !fits {
        return Some(format!(
            "`{shown}` cannot name a tool: lower-case letters, digits and `_`, a letter first, at most 64"
        ));
    }
    input
        .team
        .tools
        .iter()
        .any(|tool| tool == name)
        .then(|| format!("there is a tool `{shown}` already; it can be used"))
}

fn sizes(decision: &Decision) -> Vec<String> {
    let Payload { title, content, goal, inputs, outputs, requirements } = &decision.payload;
    let content_limit = if decision.action == Action::UpdateWorklist { WORKLIST_LIMIT } else { TEXT_LIMIT };
    let texts = [
        ("payload.title", title.as_deref(), TITLE_LIMIT),
        ("payload.content", content.as_deref(), content_limit),
        ("payload.goal", goal.as_deref(), TEXT_LIMIT),
        ("reasoning", Some(decision.reasoning.as_str()), TEXT_LIMIT),
        ("context_for_fullsend", decision.context_for_fullsend.as_deref(), TEXT_LIMIT),
    ];
    let long = texts.into_iter().filter(|(_, text, limit)| text.is_some_and(|text| text.len() > *limit));
    let mut faults: Vec<_> =
        long.map(|(name, _, limit)| format!("`{name}` is too long; at most {limit} characters")).collect();
    for (name, list) in [("inputs", inputs), ("outputs", outputs), ("requirements", requirements)] {
        if list.len() > LIST_LIMIT || list.iter().any(|member| member.len() > TEXT_LIMIT) {
            faults.push(format!("`payload.{name}` is too long; at most {LIST_LIMIT} members"));
        }
    }
    faults
}
