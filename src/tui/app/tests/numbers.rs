//! What is done on the screens of experiments, alerts and decisions.

use pretty_assertions::assert_eq;
use rstest::rstest;

use super::*;
use crate::contracts::ChannelName;
use crate::contracts::messages::Control;
use crate::tui::actions::LayerKind;
use crate::tui::app::{Effect, Model, Saying};
use crate::tui::draw::tests::shown;
use crate::tui::screens::{Pane, Screen, alerts, experiments, mind};

fn said(effects: &[Effect]) -> &Saying {
    match effects {
        [Effect::Say(_, saying)] => saying,
        other => panic!("{other:?}"),
    }
}

fn on(screen: &str) -> Model {
    let mut model = measured(120, 40);
    press(&mut model, screen);
    model
}

fn open(model: &Model) -> Option<LayerKind> {
    model.layers.last().map(crate::tui::layers::Layer::kind)
}

#[test]
fn what_needs_attention_comes_first() {
    let model = on("4");
    let ids: Vec<&str> = experiments::sorted(&model).iter().map(|it| it.id.as_str()).collect();
    let expected = [
        "exp_20261121_hn",
        "exp_20261121_stars",
        "exp_20261119_meetup",
        "exp_20261120_forum",
        "exp_20261101_events",
        "exp_20261110_cfo",
    ];
    assert_eq!(ids, expected, "an alarm, running, a draft, resting, completed, put away");
}

#[test]
fn what_is_selected_is_shown_beside_the_list_at_once() {
    let mut model = on("4");
    assert!(shown(&model, 120, 40).contains("People who ask for help on Hacker News"));
    press(&mut model, "down");
    assert_eq!(experiments::selected(&model).unwrap().id, "exp_20261121_stars");
    assert!(shown(&model, 120, 40).contains("stargazers answer"));
    let mut model = on("3");
    press(&mut model, "down");
    assert_eq!(mind::selected(&model).unwrap().provider, "anthropic");
    assert!(shown(&model, 120, 40).contains("a third of the line"));
    let mut model = on("6");
    press(&mut model, "down");
    assert_eq!(alerts::selected(&model).unwrap().id, "disk");
}

#[rstest]
#[case::ready("ready", Some("pause_experiment"))]
#[case::resting("paused", Some("resume_experiment"))]
#[case::running("running", None)]
#[case::unknown("flying", None)]
fn an_experiment_rests_where_that_is_legal_and_else_the_reason_is_said(
    #[case] state: &str,
    #[case] order: Option<&str>,
) {
    let mut model = on("4");
    document(&mut model, "experiments:exp_20261121_hn", &[("state", state)]);
    let effects = press(&mut model, "p");
    let found = effects.first().map(|_| match said(&effects) {
        Saying::Control(order) => crate::contracts::Body::type_name(order),
        other => panic!("{other:?}"),
    });
    assert_eq!(found, order);
    if order.is_none() {
        let words = &model.toast.as_ref().unwrap().words;
        assert!(words.contains("cannot"), "{words}");
    }
}

#[test]
fn a_number_is_recorded_as_the_operators() {
    let mut model = on("4");
    press(&mut model, "m");
    assert_eq!(write(&mut model, "meeting_booked"), [], "letters are letters");
    press(&mut model, "tab");
    press(&mut model, "backspace");
    write(&mut model, "2");
    press(&mut model, "tab");
    write(&mut model, "with the CTO, q");
    let text = shown(&model, 120, 40);
    assert!(
        text.contains("Record a number · exp_20261121_hn") && text.contains("✓ it goes onto fullsend:metrics"),
        "{text}"
    );
    match said(&press(&mut model, "enter")) {
        Saying::Body(ChannelName::Metrics, body) => {
            let body: serde_json::Value = serde_json::from_str(body).unwrap();
            let expected = serde_json::json!({ "event": "meeting_booked", "experiment_id": "exp_20261121_hn", "count": 2,
                "by": "mara", "timestamp": "2026-11-21T14:02:11.002Z", "note": "with the CTO, q" });
            assert_eq!(body, expected);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(open(&model), None);
}

#[rstest]
#[case::nothing("", "1", "say what happened")]
#[case::words("two words", "1", "one word")]
#[case::the_executors("run_started", "1", "what the executor says")]
#[case::negative("reply", "-3", "not negative")]
#[case::no_number("reply", "many", "not negative")]
#[case::infinite("reply", "inf", "not negative")]
#[case::huge("reply", "1e300", "not negative")]
fn what_is_no_number_is_told_and_not_said(#[case] event: &str, #[case] count: &str, #[case] why: &str) {
    let mut model = on("4");
    press(&mut model, "m");
    write(&mut model, event);
    press(&mut model, "tab");
    press(&mut model, "backspace");
    write(&mut model, count);
    let text = shown(&model, 120, 40);
    assert!(text.contains(why), "{text}");
    assert_eq!(press(&mut model, "ctrl-s"), []);
    assert_eq!(open(&model), Some(LayerKind::Record));
}

#[test]
fn events_that_it_knows_are_one_key_away() {
    let mut model = on("4");
    press(&mut model, "m");
    press(&mut model, "ctrl-n");
    press(&mut model, "ctrl-n");
    assert!(shown(&model, 120, 40).contains("known: email_sent, reply, meeting_booked"));
    match said(&press(&mut model, "enter")) {
        Saying::Body(_, body) => assert!(body.contains(r#""event":"reply""#), "{body}"),
        other => panic!("{other:?}"),
    }
}

#[rstest]
#[case::change("e", true)]
#[case::clone("c", false)]
fn a_request_is_made_from_the_specification_and_seen_before_it_is_said(#[case] key: &str, #[case] revises: bool) {
    let mut model = on("4");
    assert_eq!(press(&mut model, key), []);
    assert_eq!(open(&model), Some(LayerKind::Inject));
    match said(&press(&mut model, "ctrl-s")) {
        Saying::Body(ChannelName::ToFullsend, body) => {
            let body: serde_json::Value = serde_json::from_str(body).unwrap();
            assert_eq!(body.get("revises").is_some(), revises);
            assert_eq!(body["context"]["experiment"]["target"]["size"], 500);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_request_that_was_only_looked_at_leaves_what_was_being_written() {
    let mut model = on("4");
    press(&mut model, "i");
    write(&mut model, "half a thought");
    press(&mut model, "esc");
    press(&mut model, "e");
    press(&mut model, "esc");
    assert_eq!(model.kept().draft.unwrap().text, "half a thought");
    press(&mut model, "e");
    write(&mut model, " ");
    press(&mut model, "esc");
    assert!(model.kept().draft.unwrap().text.contains("experiment_request"), "what was changed is a draft");
}

#[test]
fn the_chart_goes_from_metric_to_metric_and_round() {
    let mut model = on("4");
    let title = |model: &Model| {
        let text = shown(model, 120, 40);
        text.lines().find(|line| line.contains(" of 4)")).unwrap_or_else(|| panic!("{text}")).to_owned()
    };
    assert!(title(&model).contains("response_rate (1 of 4)"), "{}", title(&model));
    press(&mut model, "]");
    assert!(title(&model).contains("meeting_booked (2 of 4)"), "{}", title(&model));
    press(&mut model, "[");
    press(&mut model, "[");
    assert!(title(&model).contains("(4 of 4)"), "{}", title(&model));
    press(&mut model, "]");
    assert!(title(&model).contains("response_rate (1 of 4)"));
}

#[rstest]
#[case::seen("A", "alert_acknowledge")]
#[case::over("R", "alert_resolve")]
fn an_alert_is_seen_or_over_by_a_key(#[case] key: &str, #[case] order: &str) {
    let mut model = on("6");
    match said(&press(&mut model, key)) {
        Saying::Control(said) => {
            assert_eq!(crate::contracts::Body::type_name(said), order);
            let json = serde_json::to_value(said).unwrap();
            assert_eq!((&json["alert_id"], &json["by"]), (&"exp_20261121_hn:response_rate".into(), &"mara".into()));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_alert_that_is_over_cannot_be_seen_again() {
    let mut model = on("6");
    press(&mut model, "end");
    assert_eq!(alerts::selected(&model).unwrap().id, "budget:day");
    assert_eq!(press(&mut model, "A"), []);
    assert!(model.toast.as_ref().unwrap().words.contains("select an alert that is open"));
}

#[test]
fn an_alert_is_what_was_said_last_of_it() {
    let mut model = on("6");
    let mut speaker = Speaker::new();
    let id = "exp_20261121_hn:response_rate";
    let standing = |model: &mut Model| {
        passes(model, 10);
        let all = model.store.alerts.all();
        all.iter().find(|it| it.id == id).map(|it| it.standing.as_str()).unwrap()
    };
    assert_eq!(standing(&mut model), "triggered");
    let seen = serde_json::json!({ "type": "alert_acknowledged", "alert_id": id, "by": "mara" });
    speaker.say(&mut model, ChannelName::Alerts, "gate", &seen);
    assert_eq!(standing(&mut model), "seen");
    let over = serde_json::json!({ "type": "alert_resolved", "alert_id": id, "by": "mara", "reason": "killed" });
    speaker.say(&mut model, ChannelName::Alerts, "gate", &over);
    assert_eq!(standing(&mut model), "over");
    let again = serde_json::json!({ "type": "alert_triggered", "alert_id": id, "message": "again" });
    speaker.say(&mut model, ChannelName::Alerts, "gate", &again);
    assert_eq!(standing(&mut model), "triggered");
    document(&mut model, &format!("alerts:{id}"), &[("state", "resolved"), ("resolved_at", "2026-11-20T00:00:00Z")]);
    assert_eq!(standing(&mut model), "triggered", "the document is older than what was said");
    document(&mut model, &format!("alerts:{id}"), &[("state", "resolved"), ("resolved_at", "2026-11-22T00:00:00Z")]);
    assert_eq!(standing(&mut model), "over");
}

#[test]
fn kill_means_the_experiment_of_whatever_is_selected() {
    for (screen, pane) in [("4", Pane::Experiments), ("4", Pane::Experiment), ("6", Pane::Alerts), ("6", Pane::Alert)] {
        let mut model = on(screen);
        model.focus.insert(model.screen, pane);
        press(&mut model, "x");
        assert_eq!(open(&model), Some(LayerKind::Confirm), "{pane:?}");
        let effects = press(&mut model, "y");
        match said(&effects) {
            Saying::Control(Control::Kill(kill)) => assert_eq!(kill.experiment_id, "exp_20261121_hn"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_empty_room_says_what_is_missing_and_does_nothing() {
    for key in ["p", "m", "e", "c", "[", "]"] {
        let mut model = empty(80, 24);
        press(&mut model, "4");
        assert_eq!(press(&mut model, key), [], "{key}");
        assert!(model.toast.is_some() && model.layers.is_empty(), "{key}");
    }
    for key in ["A", "R", "x"] {
        let mut model = empty(80, 24);
        press(&mut model, "6");
        assert_eq!(press(&mut model, key), [], "{key}");
        assert!(model.toast.is_some(), "{key}");
    }
}

#[test]
fn the_trace_of_a_decision_is_its_chain() {
    let mut model = on("3");
    press(&mut model, "down");
    press(&mut model, "t");
    assert_eq!(model.screen, Screen::Trace);
    assert_eq!(model.trace.unwrap().to_string(), "0192f1a0-0000-7000-8000-000000000001");
}

#[test]
fn live_reasoning_follows_and_holds_still_where_somebody_reads() {
    let mut model = on("3");
    model.focus.insert(Screen::Mind, Pane::Reasoning);
    let mut speaker = Speaker::new();
    let mut think = |model: &mut Model, words: &str| {
        let delta = serde_json::json!({ "type": "llm_delta", "call_id": "c9", "source": "orchestrator", "operation": "decide", "part": "reasoning", "text": words });
        speaker.notice(model, ChannelName::LlmCalls, "orchestrator", &delta);
    };
    (0..60).for_each(|at| think(&mut model, &format!("thought {at:02}\n")));
    assert!(shown(&model, 120, 40).contains("thought 59"));
    press(&mut model, "pageup");
    press(&mut model, "pageup");
    think(&mut model, "thought 60\n");
    let held = shown(&model, 120, 40);
    assert!(!held.contains("thought 60"), "{held}");
    press(&mut model, "end");
    assert!(shown(&model, 120, 40).contains("thought 60"));
    think(&mut model, "thought 61\n");
    assert!(shown(&model, 120, 40).contains("thought 61"), "it follows again");
}
