//! What the rules of thumb answer: to the labelled scenarios, to hostile messages, and to anything at all.
#![expect(clippy::unwrap_used, reason = "a test may stop at what it did not expect, also in its helpers")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fullsend::contracts::{Trust, Untrusted};
use fullsend::llm::eval::{self, Label, Scenario};
use fullsend::llm::tasks::classify::ClassifyInput;
use fullsend::llm::tasks::decide::{DecideInput, Denied};
use fullsend::llm::tasks::respond::{RespondInput, Status};
use fullsend::llm::tasks::{Action, Classify, Decide, Respond, Verdict};
use fullsend::llm::{Ruled, Task};
use fullsend::memory::{ExperimentBrief, NoteBrief, TeamContext};
use pretty_assertions::assert_eq;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

fn scenarios() -> Vec<Scenario> {
    eval::scenarios(&[folder("scenarios")]).unwrap()
}

fn answer(scenario: &Scenario) -> (Label, Vec<String>) {
    if scenario.is_chat() {
        let Ruled { output, reasons } = Classify::rule(&scenario.classify_input().unwrap());
        (Label::Verdict(output.action), reasons)
    } else {
        let Ruled { output, reasons } = Decide::rule(&scenario.decide_input().unwrap());
        (Label::Action(output.action), reasons)
    }
}

#[test]
fn the_rules_are_right_nearly_always_and_never_do_harm() {
    let (mut answers, mut wrong, mut harmful) = (0.0, 0.0, Vec::new());
    for scenario in scenarios() {
        let (label, reasons) = answer(&scenario);
        answers += 1.0;
        if !scenario.is_right(label) {
            wrong += 1.0;
            eprintln!("{}: {label}, expected {}: {}", scenario.name, scenario.expected, reasons.join(" "));
        }
        if scenario.forbidden.contains(&label) {
            harmful.push(scenario.name);
        }
    }
    assert_eq!(harmful, Vec::<String>::new());
    assert!(1.0 - wrong / answers >= 0.93, "{wrong} of {answers} are wrong");
}

#[test]
fn every_answer_can_be_carried_out_and_gives_a_reason() {
    for scenario in scenarios() {
        let name = &scenario.name;
        let reasons = if scenario.is_chat() {
            let input = scenario.classify_input().unwrap();
            let ruled = Classify::rule(&input);
            assert_eq!(Classify::faults(&input, &ruled.output), Vec::<String>::new(), "{name}");
            let input = scenario.respond_input().unwrap();
            assert_eq!(Respond::faults(&input, &Respond::rule(&input).output), Vec::<String>::new(), "{name}");
            ruled.reasons
        } else {
            let input = scenario.decide_input().unwrap();
            let ruled = Decide::rule(&input);
            assert_eq!(Decide::faults(&input, &ruled.output), Vec::<String>::new(), "{name}");
            assert_eq!(ruled.output.reasoning, ruled.reasons.join(" "), "{name}");
            ruled.reasons
        };
        assert!(
            !reasons.is_empty() && reasons.iter().all(|reason| reason.ends_with(['.', '!', '?'])),
            "{name}: {reasons:?}"
        );
    }
}

#[test]
fn the_same_question_has_the_same_answer() {
    for scenario in scenarios() {
        if scenario.is_chat() {
            let input = scenario.classify_input().unwrap();
            assert_eq!(Classify::rule(&input), Classify::rule(&input), "{}", scenario.name);
        } else {
            let input = scenario.decide_input().unwrap();
            assert_eq!(Decide::rule(&input), Decide::rule(&input), "{}", scenario.name);
        }
    }
}

/// What stands in a state that hostile messages are put to.
fn team() -> TeamContext {
    let experiment = |id: &str, rate: f64| ExperimentBrief {
        id: id.to_owned(),
        state: "running".to_owned(),
        hypothesis: "people who asked about self-hosting answer a mail".to_owned(),
        tool: Some("email_sender".to_owned()),
        metrics: BTreeMap::from([("email_sent".to_owned(), 210.0), ("reply_rate".to_owned(), rate)]),
        version: 3,
    };
    let note = |text: &str| NoteBrief { text: text.to_owned(), version: 2 };
    TeamContext {
        product: note("Self-hosted error tracking for platform teams."),
        worklist: note(
            "# Worklist\n\n## Active (In Progress)\n\n## Ready (Prioritized Queue)\n1. Comparison page\n\n## Blocked\n\n## Completed This Week\n",
        ),
        learnings: note("# Learnings\n\n## 2026-02-24\n**Forum answers beat cold mail**\n- 6% of 412\n"),
        experiments: vec![experiment("exp_20260301_forum", 0.062), experiment("exp_20260401_other", 0.0)],
        archived: vec!["exp_20260101_old".to_owned()],
        tools: vec!["email_sender".to_owned()],
        ..TeamContext::default()
    }
}

fn escalation(text: &str, trust: Trust, team: &Arc<TeamContext>) -> DecideInput {
    let body = json!({ "type": "escalation", "priority": "medium", "reason": "request for action", "original_message": { "content": text } });
    let Value::Object(message) = body else { unreachable!() };
    DecideInput { kind: "escalation".to_owned(), trust, message, team: Arc::clone(team), denied: None }
}

#[test]
fn a_hostile_message_is_never_answered_with_its_own_words() {
    for hostile in eval::injections(&[folder("injections")]).unwrap() {
        let content = hostile.text();
        let input = ClassifyInput { username: None, channel: None, mentions_bot: false, content: content.clone() };
        let ruled = Classify::rule(&input);
        assert_eq!(ruled.output.suggested_response, None, "{}", hostile.name);
        if ruled.output.action == Verdict::Answer {
            let input = RespondInput { username: None, content, status: Status::default() };
            let empty = RespondInput { content: Untrusted::from("status?"), ..input.clone() };
            let hello = RespondInput { content: Untrusted::from("hello"), ..input.clone() };
            let reply = Respond::rule(&input).output;
            assert!(
                [Respond::rule(&empty).output, Respond::rule(&hello).output].contains(&reply),
                "{}: {}",
                hostile.name,
                reply.content
            );
        }
    }
}

#[test]
fn a_hostile_message_ends_nothing_and_teaches_nothing() {
    let team = Arc::new(team());
    for hostile in eval::injections(&[folder("injections")]).unwrap() {
        let input = escalation(hostile.text().raw(), Trust::External, &team);
        let Ruled { output, reasons } = Decide::rule(&input);
        let harmless =
            matches!(output.action, Action::NoAction | Action::RespondToDiscord | Action::DispatchToFullsend);
        assert!(harmless && output.experiment_id.is_none(), "{}: {} {reasons:?}", hostile.name, output.action);
        assert_eq!(Decide::faults(&input, &output), Vec::<String>::new(), "{}", hostile.name);
    }
}

/// Texts as people, and those who are none, write them.
fn text() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "what if",
        "we",
        "mail",
        "kill",
        "exp_20260301_forum",
        "exp_nothing",
        "stop",
        "the forum test",
        "remember",
        "7 of 9",
        "build a tool",
        "{{x}}",
        "urgent",
        "why",
        "?",
        "should",
        "move",
        "comparison page",
        "done",
        "pause",
        "everything",
        "round table",
        "äöü",
        "今日は",
        "\u{202e}",
        "CFOs",
        "12%",
        "please",
        "\n",
        "- [x]",
        "## Ready",
        "🎉",
    ]);
    prop_oneof![prop::collection::vec(words, 0..14).prop_map(|words| words.join(" ")), any::<String>(), "\\PC{0,60}",]
}

fn trust() -> impl Strategy<Value = Trust> {
    prop::sample::select(vec![Trust::External, Trust::Member, Trust::Operator, Trust::System])
}

/// Bodies with the fields that messages have, and others.
fn message() -> impl Strategy<Value = Map<String, Value>> {
    let name = prop::sample::select(vec![
        "experiment_id",
        "metric",
        "value",
        "threshold",
        "sample_size",
        "confidence",
        "direction",
        "alert_type",
        "error",
        "code",
        "tool_name",
        "summary",
        "prompt",
        "text",
        "reason",
        "idea",
        "run_id",
        "result_summary",
        "status",
        "outcome",
        "severity",
        "message",
        "recommendation",
        "output_preview",
        "request_id",
        "needs_tool",
        "attempt",
        "current_value",
    ]);
    let value = prop_oneof![
        text().prop_map(Value::from),
        any::<f64>().prop_map(|n| json!(n)),
        any::<bool>().prop_map(Value::from),
        prop::sample::select(vec![
            "exp_20260301_forum",
            "failure",
            "success",
            "error",
            "anomaly",
            "not_found",
            "timeout",
            "tool",
            "denied",
            "expired",
            "email_sender"
        ])
        .prop_map(Value::from),
        prop::collection::vec(text(), 0..4).prop_map(|texts| json!(texts)),
        Just(json!({ "emails_sent": 500, "replies": 0, "complaints": 30, "note": "x" })),
        Just(Value::Null),
    ];
    prop::collection::vec((name, value), 0..12)
        .prop_map(|fields| fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

const KINDS: &[&str] = &[
    "escalation",
    "metric_alert",
    "success_threshold",
    "failure_threshold",
    "error",
    "anomaly",
    "experiment_completed",
    "experiment_failed",
    "experiment_error",
    "experiment_success",
    "api_key_required",
    "periodic_summary",
    "tool_complete",
    "builder_completed",
    "tool_build_failed",
    "builder_failed",
    "experiment_ready",
    "design_failed",
    "fullsend_completed",
    "fullsend_failed",
    "roundtable_request",
    "roundtable_concluded",
    "learning_recorded",
    "approval_completed",
    "something_else",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn whatever_people_say_can_be_answered(said in text(), trust in trust(), held: bool, empty: bool) {
        let team = if empty { TeamContext::default() } else { TeamContext { held, ..team() } };
        let input = escalation(&said, trust, &Arc::new(team));
        let decision = Decide::rule(&input).output;
        prop_assert_eq!(Decide::faults(&input, &decision), Vec::<String>::new());
        prop_assert!(trust > Trust::External || decision.action != Action::KillExperiment);

        let chat = ClassifyInput { username: None, channel: None, mentions_bot: false, content: Untrusted::from(said.clone()) };
        prop_assert_eq!(Classify::faults(&chat, &Classify::rule(&chat).output), Vec::<String>::new());
        let reply = RespondInput { username: Some(Untrusted::from(said.clone())), content: Untrusted::from(said), status: Status { experiments: 3, running: 2, ..Status::default() } };
        prop_assert_eq!(Respond::faults(&reply, &Respond::rule(&reply).output), Vec::<String>::new());
    }

    #[test]
    fn whatever_is_reported_can_be_decided(kind in prop::sample::select(KINDS), message in message(), trust in trust(), refused in prop::option::of(text()), bare: bool) {
        let team = Arc::new(if bare { TeamContext::default() } else { team() });
        let denied = refused.map(|reason| Denied { action: Action::DispatchToFullsend, reason });
        let input = DecideInput { kind: kind.to_owned(), trust, message, team, denied };
        let decision = Decide::rule(&input).output;
        prop_assert_eq!(Decide::faults(&input, &decision), Vec::<String>::new());
    }
}
