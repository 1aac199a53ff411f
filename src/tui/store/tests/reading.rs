//! Experiments and decisions, read from documents in every form that somebody wrote.

use pretty_assertions::assert_eq;
use rstest::rstest;
use serde_json::json;

use super::*;
use crate::contracts::messages::Direction;
use crate::tui::app::Model;
use crate::tui::app::tests::{Speaker, document, empty, measured, passes, text};

const SPEC: &str = r#"{"experiment":{"hypothesis":"they answer","execution":{"tool":"email_send","schedule":"0 9 * * MON"},
"metrics":[{"name":"rate","type":"percentage","calculation":"replies / sent"}],"failure_criteria":["rate < 5% after 10 sent"]}}"#;

#[rstest]
#[case::fields(&[("hypothesis", "they answer"), ("tool", "email_send"), ("failure_criteria", r#"["rate < 5% after 10 sent"]"#),
    ("metrics", r#"[{"name":"rate","type":"percentage","formula":"replies / sent"}]"#)])]
#[case::spec_json(&[("spec_json", SPEC)])]
#[case::spec(&[("spec", SPEC), ("state", "ready")])]
#[case::execution(&[("hypothesis", "they answer"), ("execution", r#"{"tool":"email_send","params":{}}"#),
    ("failure_criteria", "- rate < 5% after 10 sent\n"), ("metrics", r#"[{"name":"rate","type":"percentage","formula":"replies / sent"}]"#)])]
fn an_experiment_is_read_in_every_form(#[case] fields: &[(&str, &str)]) {
    let mut model = empty(80, 24);
    document(&mut model, "experiments:e", fields);
    let it = model.store.experiments.get("e").unwrap();
    assert_eq!((it.title.as_str(), it.plan.steps.len()), ("they answer", 1));
    assert!(it.facts.contains(&("tool", "email_send".to_owned())), "{:?}", it.facts);
    let criterion = &it.criteria[0];
    assert_eq!((criterion.direction, criterion.bound.as_ref().unwrap().line), (Direction::Failure, 0.05));
    assert!(it.is_share("rate") && it.metric("rate").unwrap().formula.is_some());
}

#[test]
fn a_text_that_holds_an_experiment_is_one() {
    let mut model = empty(80, 24);
    text(&mut model, "experiments:e", r#"{"state":"run","hypothesis":"a Python publisher wrote it"}"#);
    let it = model.store.experiments.get("e").unwrap();
    assert_eq!(it.state, Some(crate::contracts::lifecycle::ExperimentState::Completed));
    assert_eq!(it.title, "a Python publisher wrote it");
}

#[rstest]
#[case::hash(true)]
#[case::text(false)]
fn a_schedule_is_read_as_a_hash_and_as_a_text(#[case] is_hash: bool) {
    let mut model = empty(80, 24);
    document(&mut model, "experiments:e", &[("state", "ready")]);
    if is_hash {
        document(&mut model, "schedules:e", &[("cron", "0 9 * * MON"), ("next_at", "2026-11-23T09:00:00Z")]);
    } else {
        text(&mut model, "schedules:e", "0 9 * * MON");
    }
    let schedule = model.store.experiments.get("e").unwrap().schedule.clone().unwrap();
    assert_eq!((schedule.cron.as_str(), schedule.next.is_some()), ("0 9 * * MON", is_hash));
}

#[rstest]
#[case("rate", "sent", "40")]
#[case("sent_count", "sent", "40")]
#[case("events.sent", "sent", "40")]
#[case("sent_latest", "sent", "40")]
#[case("sent", "sent", "NaN")]
fn numbers_are_found_under_the_names_of_all_writers(#[case] field: &str, #[case] name: &str, #[case] value: &str) {
    let mut model = empty(80, 24);
    document(&mut model, "experiments:e", &[("state", "running")]);
    document(&mut model, "metrics_aggregated:e", &[(field, value)]);
    let found = model.store.experiments.get("e").unwrap().value(name, &model.store.series);
    assert_eq!(found, (field != "rate" && value != "NaN").then_some(40.0));
}

fn with_rate(formula: &str) -> Model {
    let mut model = empty(80, 24);
    let metrics = json!([{ "name": "rate", "type": "percentage", "formula": formula }]).to_string();
    document(&mut model, "experiments:e", &[("state", "running"), ("metrics", &metrics)]);
    let mut speaker = Speaker::new();
    for event in ["sent", "sent", "replies", "sent", "sent"] {
        speaker.say(&mut model, ChannelName::Metrics, "executor", &json!({ "event": event, "experiment_id": "e" }));
    }
    passes(&mut model, 10);
    model
}

#[test]
fn a_rate_is_computed_from_what_was_counted_and_from_what_was_added_up_before() {
    let mut model = with_rate("replies / sent");
    let value = |model: &Model| model.store.experiments.get("e").unwrap().figure.clone().unwrap().value;
    assert_eq!(value(&model), Some(0.25));
    document(&mut model, "metrics_aggregated:e", &[("sent_count", "100"), ("replies_count", "5")]);
    assert_eq!(value(&model), Some(0.05));
    let it = model.store.experiments.get("e").unwrap();
    let last = it.history("rate", &model.store.series).last().map(|(_, value)| *value);
    assert_eq!(last, Some(0.05), "the chart ends where the number stands");
}

#[rstest]
#[case::itself("rate / sent")]
#[case::unknown("replies / never")]
#[case::nothing("replies / (sent - sent)")]
fn a_formula_without_a_value_has_none(#[case] formula: &str) {
    let model = with_rate(formula);
    let it = model.store.experiments.get("e").unwrap();
    assert_eq!(it.value("rate", &model.store.series), None);
}

#[test]
fn an_experiment_that_is_gone_is_not_shown() {
    let mut model = measured(80, 24);
    let before = model.store.experiments.all().count();
    let found = Vec::new();
    model.store.apply(Item::Documents { prefix: "experiments:exp_20261121".to_owned(), found, left_out: 0 });
    assert_eq!(model.store.experiments.all().count(), before - 2);
}

#[test]
fn only_documents_that_changed_are_read_again() {
    let mut model = measured(80, 24);
    let all: Vec<_> = model.store.documents.of("decisions:").map(|(key, state)| (key.clone(), state.clone())).collect();
    let changed = model.store.documents.replace("decisions:", all.clone(), 0);
    assert_eq!(changed, Vec::<crate::bus::Key>::new());
    let changed = model.store.documents.replace("decisions:", all[1..].to_vec(), 0);
    assert_eq!(changed, [all[0].0.clone()]);
}

#[test]
fn decisions_are_in_their_order_with_what_they_cost() {
    let mut model = measured(80, 24);
    let more = [
        ("at", "2026-11-21T13:55:00Z"),
        ("kind", "x"),
        ("action", "no_action"),
        ("experiment_id", "exp_20261121_hn"),
        ("nano_usd", "18446744073709551615"),
    ];
    document(&mut model, "decisions:d2", &more);
    let ids: Vec<&str> = model.store.decisions.all().map(|it| it.id.as_str()).collect();
    assert_eq!(ids, ["d1", "d2", "0192f1a0-0000-7000-8000-00000000000a"]);
    assert_eq!(model.store.decisions.spent_on("exp_20261121_hn"), Some(u64::MAX), "it does not run over");
    assert_eq!(model.store.decisions.unread().collect::<Vec<_>>(), ["odd"]);
}

#[test]
fn how_sure_is_said_once_to_the_orchestrator_and_shown_with_the_alert() {
    let model = measured(80, 24);
    let alert = model.store.alerts.of("exp_20261121_hn").unwrap();
    assert_eq!((alert.confidence, alert.sample, alert.direction), (Some(0.97), Some(212), Some(Direction::Failure)));
    assert_eq!(alert.advice.as_deref(), Some("look at the replies, then kill the experiment or revise it"));
}

#[test]
fn alerts_that_were_only_said_are_bounded() {
    let mut model = empty(80, 24);
    let mut speaker = Speaker::new();
    for at in 0..1_200 {
        let body = json!({ "type": "alert_triggered", "alert_id": format!("a{at}"), "message": "x" });
        speaker.say(&mut model, ChannelName::Alerts, "gate", &body);
    }
    passes(&mut model, 10);
    assert_eq!(model.store.alerts.all().len(), 1_000);
    assert!(model.store.alerts.all().iter().any(|alert| alert.id == "a1199"), "the newest are kept");
}
