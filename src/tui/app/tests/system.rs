//! The machine, the tools and the debates: what can be done about them.

use std::sync::Arc;

use pretty_assertions::assert_eq;
use serde_json::json;

use super::*;
use crate::bus::Heard;
use crate::contracts::ChannelName;
use crate::contracts::messages::Control;
use crate::tui::actions::LayerKind;
use crate::tui::app::{Effect, LetterDeed, Model, Msg, Outcome, Saying, update};
use crate::tui::draw::tests::shown;
use crate::tui::screens::{Pane, Screen};
use crate::tui::store::system::LogLine;
use crate::tui::store::{Item, Row};

fn room() -> Model {
    let mut model = furnished(120, 40);
    machine(&mut model);
    press(&mut model, "0");
    model
}

fn toast(model: &Model) -> &str {
    model.toast.as_ref().map(|toast| toast.words.as_str()).unwrap_or_default()
}

#[test]
fn a_letter_is_replayed_or_dropped_only_on_a_yes() {
    for (key, deed, words) in [
        ("r", LetterDeed::Replay, "It is said again on to_orchestrator"),
        ("d", LetterDeed::Drop, "It stays in the history"),
    ] {
        let mut model = room();
        let id = model.store.system.letters().find(|letter| letter.reason == "the model was away").unwrap().id;
        assert_eq!(press(&mut model, key), []);
        let text = shown(&model, 120, 40);
        assert!(text.contains(words) && text.contains("the model was away"), "{text}");
        assert_eq!(press(&mut model, "enter"), [], "no is the default");
        press(&mut model, key);
        assert_eq!(press(&mut model, "y"), [Effect::Letter(id, deed)]);
    }
}

#[test]
fn the_letter_that_is_selected_is_meant_and_what_became_of_it_is_shown() {
    let mut model = room();
    model.focus.insert(Screen::System, Pane::Letters);
    press(&mut model, "down");
    press(&mut model, "d");
    assert!(shown(&model, 120, 40).contains("an old fault"), "the second");
    press(&mut model, "esc");
    press(&mut model, "up");
    let id = model.store.system.letters().find(|letter| letter.reason == "the model was away").unwrap().id;
    let fields = [("state".to_owned(), "replayed".to_owned()), ("by".to_owned(), "mara".to_owned())].into();
    let mark = crate::bus::State::Hash(crate::bus::Document { version: 1, fields });
    update(
        &mut model,
        Msg::Outcome(Outcome::Letter(id, Ok("replayed on fullsend:echo as 7-0".to_owned()), Some(mark))),
    );
    assert_eq!(toast(&model), format!("{id}: replayed on fullsend:echo as 7-0"));
    let text = shown(&model, 120, 40);
    assert!(text.contains("Dead letters (0)") && text.contains("replayed by mara"), "{text}");
}

#[test]
fn a_letter_opens_whole_and_belongs_to_its_chain() {
    let mut model = room();
    model.focus.insert(Screen::System, Pane::Letters);
    press(&mut model, "enter");
    assert_eq!(model.layers.last().unwrap().kind(), LayerKind::Detail);
    assert!(shown(&model, 120, 40).contains("original_envelope"));
    press(&mut model, "t");
    assert_eq!(model.screen, Screen::Trace);
}

#[test]
fn without_letters_there_is_nothing_to_replay() {
    let mut model = empty(120, 40);
    press(&mut model, "0");
    assert_eq!(press(&mut model, "r"), []);
    assert!(model.layers.is_empty());
    assert_eq!(toast(&model), "there are no dead letters");
}

#[test]
fn a_budget_is_ordered_once_the_form_fits() {
    let mut model = room();
    model.focus.insert(Screen::System, Pane::Budgets);
    press(&mut model, "down");
    press(&mut model, "b");
    assert!(shown(&model, 120, 40).contains("what may be spent at most?"));
    write(&mut model, "a lot");
    let text = shown(&model, 120, 40);
    assert!(text.contains("✗ limit:") && text.contains("month"), "{text}");
    assert_eq!(press(&mut model, "enter"), [], "it does not fit");
    (0..5).for_each(|_| drop(press(&mut model, "backspace")));
    write(&mut model, "7.50");
    press(&mut model, "tab");
    write(&mut model, "yesterday");
    assert!(shown(&model, 120, 40).contains("✗ until:"));
    (0..9).for_each(|_| drop(press(&mut model, "backspace")));
    write(&mut model, "6h");
    press(&mut model, "down");
    write(&mut model, "a busy day");
    let effects = press(&mut model, "enter");
    let [Effect::Say(_, Saying::Control(Control::SetBudget(order)))] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!((order.scope.as_str(), order.by.as_deref()), ("month", Some("mara")));
    assert_eq!(order.reason.as_deref(), Some("a busy day"));
    assert!((order.limit - 7.5).abs() < 1e-9);
    assert_eq!(order.until, Some(model.now.wall + chrono::TimeDelta::hours(6)));
    assert!(model.layers.is_empty());
}

#[test]
fn the_log_follows_is_filtered_and_opens() {
    let mut model = room();
    model.focus.insert(Screen::System, Pane::Logs);
    assert!(shown(&model, 120, 40).contains("· live"));
    press(&mut model, "up");
    press(&mut model, "up");
    assert!(shown(&model, 120, 40).contains("paused +0"));
    press(&mut model, "enter");
    let text = shown(&model, 120, 40);
    assert!(text.contains("\"level\": \"WARN\"") && text.contains("\"timestamp\":"), "{text}");
    press(&mut model, "esc");
    press(&mut model, "end");
    press(&mut model, "/");
    write(&mut model, "tried");
    press(&mut model, "enter");
    let text = shown(&model, 120, 40);
    assert!(text.contains("a send is tried again") && !text.contains("not of ours"), "{text}");
}

#[test]
fn the_log_keeps_its_newest_lines_and_counts_what_it_forgot() {
    let mut model = room();
    for at in 0..5_000 {
        apply(&mut model, Item::Log(Arc::new(LogLine::read(&format!("line {at} password=hunter22")))));
    }
    let logs = &model.store.system.logs;
    assert!(logs.len() <= 2_000 && logs.dropped() >= 3_000, "{} {}", logs.len(), logs.dropped());
    let text = shown(&model, 120, 40);
    assert!(text.contains("line 4999") && text.contains("dropped 3003"), "{text}");
    assert!(!format!("{logs:?}").contains("hunter22"), "no secret is kept");
}

#[test]
fn a_topic_is_handed_in_with_a_form_that_fits() {
    let mut model = furnished(120, 40);
    press(&mut model, "8");
    press(&mut model, "n");
    let text = shown(&model, 120, 40);
    assert!(text.contains("channel roundtable") && text.contains("✓ fits: roundtable_topic"), "{text}");
    let effects = press(&mut model, "ctrl-s");
    let [Effect::Say(_, Saying::Body(ChannelName::Roundtable, body))] = &effects[..] else { panic!("{effects:?}") };
    assert!(body.contains("\"prompt\""), "{body}");
}

#[test]
fn what_the_round_table_says_is_shown_as_it_goes() {
    let mut model = empty(120, 40);
    let mut speaker = Speaker::new();
    let topic = json!({ "type": "roundtable_topic", "topic_id": "t", "prompt": "why?" });
    let row = speaker.row(ChannelName::Roundtable, "orchestrator", &topic);
    let trace = row.envelope.as_ref().unwrap().trace;
    apply(&mut model, Item::Message(Arc::new(row)));
    let delta = json!({ "type": "llm_delta", "call_id": "c", "source": "roundtable", "operation": "llm.roundtable", "part": "text",
        "seq": 0, "text": "because **nobody** asked" });
    let mut envelope = speaker.envelope("llm_delta", "roundtable");
    envelope.trace = trace;
    let heard = Heard { channel: ChannelName::LlmCalls, envelope: Some(envelope), body: delta.to_string() };
    apply(&mut model, Item::Message(Arc::new(Row::heard(heard))));
    press(&mut model, "8");
    let text = shown(&model, 120, 40);
    assert!(text.contains("goes on  why?") && text.contains("because nobody asked"), "{text}");
}

#[test]
fn a_tool_that_is_asked_for_again_after_it_failed_is_another_build() {
    let mut model = empty(120, 40);
    let mut speaker = Speaker::new();
    let asked = json!({ "type": "tool_prd", "prd": { "name": "mailer" } });
    let failed = json!({ "type": "tool_build_failed", "tool_name": "mailer", "error": "no" });
    speaker.say(&mut model, ChannelName::BuilderTasks, "orchestrator", &asked);
    speaker.say(&mut model, ChannelName::BuilderResults, "builder", &failed);
    speaker.say(&mut model, ChannelName::BuilderTasks, "orchestrator", &asked);
    let ended: Vec<bool> = model.store.builds.all().map(|build| build.ended.is_some()).collect();
    assert_eq!(ended, [false, true]);
}
