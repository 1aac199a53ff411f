//! The labelled scenarios and the hostile messages are well-formed, and cover what there is to judge.
#![expect(clippy::unwrap_used, reason = "a test may stop at what it did not expect, also in its helpers")]

use std::collections::BTreeSet;
use std::path::Path;

use fullsend::contracts::lifecycle::ExperimentState;
use fullsend::contracts::{ChannelName, WIRING};
use fullsend::llm::eval::{self, Injection, Label, Scenario};
use fullsend::llm::tasks::{Action, Verdict};
use pretty_assertions::assert_eq;
use serde_json::{Value, json};

fn folder(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

fn all() -> Vec<Scenario> {
    eval::scenarios(&[folder("scenarios")]).unwrap()
}

/// Those that only judge: no rule is written after them.
fn held_out() -> Vec<Scenario> {
    eval::scenarios(&[folder("heldout")]).unwrap()
}

fn every() -> Vec<Scenario> {
    all().into_iter().chain(held_out()).collect()
}

fn hostile() -> Vec<Injection> {
    eval::injections(&[folder("injections")]).unwrap()
}

/// Those for the watcher, and those for the orchestrator.
fn split(scenarios: Vec<Scenario>) -> (Vec<Scenario>, Vec<Scenario>) {
    scenarios.into_iter().partition(Scenario::is_chat)
}

fn message(scenario: &Scenario) -> Value {
    serde_json::from_str(&scenario.message).unwrap()
}

fn is_snake_case(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// Names that occur twice or are not in snake case.
fn odd_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = BTreeSet::new();
    names.into_iter().filter(|name| !is_snake_case(name) || !seen.insert(*name)).collect()
}

#[test]
fn every_name_is_unique() {
    assert_eq!(odd_names(every().iter().map(|scenario| scenario.name.as_str())), Vec::<&str>::new());
    assert_eq!(odd_names(hostile().iter().map(|injection| injection.name.as_str())), Vec::<&str>::new());
}

#[test]
fn every_message_is_one_of_its_channel() {
    for scenario in every() {
        if let Err(err) = scenario.channel.check(&scenario.message) {
            panic!("{}: {err}", scenario.name);
        }
    }
}

#[test]
fn every_label_is_one_of_the_mind_that_is_asked_and_none_contradicts_another() {
    for scenario in every() {
        let name = &scenario.name;
        let is_known = |label: &Label| matches!(label, Label::Verdict(_)) == scenario.is_chat();
        let labels: Vec<Label> = [scenario.expected]
            .into_iter()
            .chain(scenario.acceptable.iter().copied())
            .chain(scenario.forbidden.iter().copied())
            .collect();
        assert!(labels.iter().all(is_known), "{name}: {labels:?}");
        assert_eq!(labels.iter().collect::<BTreeSet<_>>().len(), labels.len(), "{name} says one label twice");
        assert!(!scenario.about.is_empty(), "{name} has no reason");
        assert!(scenario.expect.contains.iter().all(|words| !words.is_empty()), "{name}");
    }
}

#[test]
fn every_experiment_that_is_to_be_acted_on_is_there() {
    for scenario in every() {
        let name = &scenario.name;
        let state = &scenario.state;
        let ids: Vec<&str> = state.experiments.iter().map(|experiment| experiment.id.as_str()).collect();
        assert_eq!(odd_names(ids.iter().copied()), Vec::<&str>::new(), "{name}");
        let wanted = scenario.expect.experiment_id.as_deref();
        if let Some(wanted) = wanted {
            let found = state.experiments.iter().find(|experiment| experiment.id == wanted);
            assert!(found.is_some_and(|found| found.state != ExperimentState::Archived), "{name}: {wanted}");
        }
        assert!(
            scenario.expected != Label::Action(Action::KillExperiment) || wanted.is_some(),
            "{name} does not say what to kill"
        );
        assert!(state.runs.iter().all(|run| ids.contains(&run.experiment_id.as_str())), "{name}");
        let tools = state.experiments.iter().filter_map(|experiment| experiment.tool.as_deref());
        assert!(tools.chain(state.tools.iter().map(String::as_str)).all(is_snake_case), "{name}");
    }
}

#[test]
fn what_was_denied_is_known() {
    for scenario in every() {
        let message = message(&scenario);
        if message["type"] == "approval_completed" && message["outcome"] == "denied" {
            let approval = scenario.state.approvals.iter().find(|known| message["approval_id"] == *known.id);
            assert!(approval.is_some(), "{}", scenario.name);
        }
    }
}

#[test]
fn every_message_type_and_every_action_is_judged() {
    let (classify, decide) = split(all());
    assert!(decide.len() >= 150, "{} to decide", decide.len());
    assert!(classify.len() >= 60, "{} to classify", classify.len());
    assert_all_are_judged(&classify, &decide);
}

#[test]
fn sixty_scenarios_are_held_out_over_every_message_type_and_every_action() {
    let (classify, decide) = split(held_out());
    assert_eq!((decide.len(), classify.len()), (42, 18));
    assert!(decide.iter().chain(&classify).all(|scenario| scenario.name.starts_with("heldout_")));
    assert_all_are_judged(&classify, &decide);
}

fn assert_all_are_judged(classify: &[Scenario], decide: &[Scenario]) {
    let kinds: BTreeSet<&str> =
        decide.iter().map(|scenario| scenario.channel.check(&scenario.message).unwrap()).collect();
    let route = WIRING.iter().find(|route| route.channel == ChannelName::ToOrchestrator).unwrap();
    let wanted = route.types.iter().map(|kind| kind.name);
    let missing: Vec<&str> = wanted
        .chain(["experiment_completed", "experiment_failed", "approval_completed"])
        .filter(|kind| !kinds.contains(kind))
        .collect();
    assert_eq!(missing, Vec::<&str>::new());

    for action in Action::ALL {
        assert!(decide.iter().any(|scenario| scenario.expected == Label::Action(action)), "{action} is never right");
    }
    for verdict in Verdict::ALL {
        let label = Label::Verdict(verdict);
        assert!(classify.iter().any(|scenario| scenario.expected == label), "{label} is never right");
    }
}

#[test]
fn every_hostile_message_can_be_said_in_a_chat() {
    let hostile = hostile();
    assert!(hostile.len() >= 60, "{} hostile messages", hostile.len());
    for injection in hostile {
        let body = json!({ "type": "discord_message", "content": injection.text() }).to_string();
        assert_eq!(ChannelName::DiscordRaw.check(&body), Ok("discord_message"), "{}", injection.name);
        assert!(is_snake_case(&injection.kind), "{}", injection.name);
    }
}
