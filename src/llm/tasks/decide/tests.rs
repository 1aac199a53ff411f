use pretty_assertions::assert_eq;
use rstest::rstest;
use serde_json::json;

use super::faults::{TEXT_LIMIT, faults};
use super::*;
use crate::memory::ExperimentBrief;

fn input() -> DecideInput {
    let experiment =
        |id: &str, state: &str| ExperimentBrief { id: id.into(), state: state.into(), ..Default::default() };
    DecideInput {
        kind: "escalation".to_owned(),
        trust: Trust::Member,
        message: Map::new(),
        team: Arc::new(TeamContext {
            experiments: vec![experiment("exp_1", "running")],
            archived: vec!["exp_0".to_owned()],
            tools: vec!["csv_leads".to_owned()],
            ..TeamContext::default()
        }),
        denied: None,
    }
}

fn read(value: Value) -> Decision {
    serde_json::from_value(value).unwrap()
}

/// Every form of the founding documents, and what models make of them.
#[rstest]
#[case(json!({"action":"dispatch_to_fullsend","reasoning":"fits","payload":{"idea":"sponsor a meetup"},"priority":"high"}), None, Some("sponsor a meetup"))]
#[case(json!({"action":"dispatch_to_fullsend","payload":{"idea":{"title":"Meetups","description":"sponsor one"}}}), Some("Meetups"), Some("sponsor one"))]
#[case(json!({"action":"dispatch_to_builder","payload":{"prd":{"name":"forum_finder","description":"finds members"}}}), Some("forum_finder"), Some("finds members"))]
#[case(json!({"action":"respond_to_discord","payload":"which market?"}), None, Some("which market?"))]
#[case(json!({"action":"respond_to_discord","payload":{"message":"which market?"}}), None, Some("which market?"))]
#[case(json!({"action":"update_worklist","payload":{"worklist":"## Active\n"}}), None, Some("## Active"))]
#[case(json!({"action":"record_learning","payload":{"insight":"CTOs answer"}}), Some("CTOs answer"), Some("CTOs answer"))]
#[case(json!({"action":"initiate_roundtable","payload":{"prompt":"what else?"}}), None, Some("what else?"))]
#[case(json!({"action":"No-Action","payload":null}), None, None)]
fn a_decision_is_read_in_any_of_its_forms(
    #[case] value: Value,
    #[case] title: Option<&str>,
    #[case] content: Option<&str>,
) {
    let decision = read(value);
    assert_eq!((decision.payload.title.as_deref(), decision.payload.content.as_deref()), (title, content));
}

#[test]
fn what_is_written_is_read_as_itself() {
    let decision = Decision {
        action: Action::KillExperiment,
        reasoning: "it fails".to_owned(),
        payload: Payload { content: Some("no replies".to_owned()), inputs: vec!["a".to_owned()], ..Payload::default() },
        priority: Priority::Urgent,
        experiment_id: Some("exp_1".to_owned()),
        context_for_fullsend: None,
    };
    assert_eq!(read(serde_json::to_value(&decision).unwrap()), decision);
}

#[test]
fn an_unknown_action_is_an_error_and_not_nothing() {
    let refused = serde_json::from_value::<Decision>(json!({"action":"launch","payload":{}})).unwrap_err().to_string();
    assert!(refused.starts_with("unknown action `launch`; there are dispatch_to_fullsend, "), "{refused}");
    assert!(serde_json::from_value::<Decision>(json!({"reasoning":"x"})).is_err());
    assert_eq!(read(json!({"action":"no_action","priority":"whenever"})).priority, Priority::Medium);
}

#[rstest]
#[case(json!({"action":"kill_experiment","experiment_id":"exp_1"}), &[])]
#[case(json!({"action":"kill_experiment","experiment_id":"exp_0"}), &["experiment `exp_0` is archived already"])]
#[case(json!({"action":"kill_experiment","experiment_id":"exp_9"}), &["there is no experiment `exp_9`"])]
#[case(json!({"action":"kill_experiment"}), &["`kill_experiment` needs `experiment_id`"])]
#[case(json!({"action":"dispatch_to_fullsend","payload":"x","experiment_id":"exp_9"}), &["there is no experiment `exp_9`"])]
#[case(json!({"action":"dispatch_to_fullsend","payload":{}}), &["`dispatch_to_fullsend` needs the idea in `payload.content`"])]
#[case(json!({"action":"dispatch_to_builder","payload":{"name":"csv_leads","purpose":"x"}}), &["there is a tool `csv_leads` already; it can be used"])]
#[case(json!({"action":"dispatch_to_builder","payload":{"name":"../x","purpose":"x"}}), &["`../x` cannot name a tool: lower-case letters, digits and `_`, a letter first, at most 64"])]
#[case(json!({"action":"update_worklist","payload":"do less"}), &["`update_worklist` needs the whole new worklist, with its sections, in `payload.content`"])]
#[case(json!({"action":"no_action"}), &[])]
fn what_does_not_exist_or_is_missing_is_a_fault(#[case] value: Value, #[case] expected: &[&str]) {
    assert_eq!(faults(&input(), &read(value)), expected);
}

#[test]
fn what_no_message_could_hold_is_a_fault() {
    let long = "x".repeat(TEXT_LIMIT + 1);
    let decision = read(json!({"action":"respond_to_discord","payload":long}));
    assert_eq!(faults(&input(), &decision), ["`payload.content` is too long; at most 8000 characters"]);
}

/// A kill needs the level of whoever judges, and who says nothing of it has proven nothing.
#[rstest]
#[case(json!({"proven": true, "confidence": 0.96}), Action::KillExperiment)]
#[case(json!({"confidence": 0.96}), Action::KillExperiment)]
#[case(json!({"proven": false, "confidence": 0.928}), Action::NoAction)]
#[case(json!({"confidence": 0.928}), Action::NoAction)]
#[case(json!({"proven": false}), Action::NoAction)]
#[case(json!({}), Action::RespondToDiscord)]
#[case(json!({"sample_size": 400}), Action::KillExperiment)]
fn what_is_not_proven_is_not_killed(#[case] said: Value, #[case] action: Action) {
    let mut message = json!({
        "type": "metric_alert", "experiment_id": "exp_1", "alert_type": "threshold_crossed", "direction": "failure",
        "metric": "reply_rate", "value": 0.0, "threshold": 0.02, "sample_size": 200,
    });
    let fields = message.as_object_mut().unwrap();
    fields.extend(said.as_object().unwrap().clone());
    let input =
        DecideInput { kind: "metric_alert".to_owned(), trust: Trust::System, message: fields.clone(), ..input() };
    assert_eq!(Decide::rule(&input).output.action, action, "{said}");
}

/// Whatever its words read like, what one of the team hands in as an idea is taken for one.
#[rstest]
#[case("Simulate mailing cleaning firms whose trial runs out")]
#[case("Mail the operations managers in leads.csv whose trial runs out, really send it, every minute")]
#[case("a stand at the harvest fair")]
fn an_idea_that_is_handed_in_is_one(#[case] idea: &str) {
    let mut input = input();
    let mut team = TeamContext::default();
    team.product.text = "We sell Pylon, which writes shift plans for cleaning firms".to_owned();
    input.team = Arc::new(team);
    let message = json!({ "reason": "the command /idea", "original_message": { "content": idea, "username": "mara" } });
    input.message = message.as_object().unwrap().clone();
    assert_eq!(Decide::rule(&input).output.action, Action::DispatchToFullsend, "{idea}");
}
