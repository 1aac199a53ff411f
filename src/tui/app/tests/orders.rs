//! Kill, undo and hold; what is read before a yes; what is kept of what was written.

use pretty_assertions::assert_eq;
use rstest::rstest;

use super::doing::{asked, open, said, verdict};
use super::*;
use crate::contracts::ChannelName;
use crate::contracts::messages::Control;
use crate::tui::actions::LayerKind;
use crate::tui::app::{Model, Msg, Saying, update};
use crate::tui::screens::{Pane, Screen};

#[test]
fn a_kill_names_what_stops_and_no_is_the_default() {
    let mut model = furnished(120, 40);
    model.focus.insert(Screen::Deck, Pane::Experiments);
    press(&mut model, "down");
    press(&mut model, "x");
    let shown = crate::tui::draw::tests::shown(&model, 120, 40);
    assert!(shown.contains("Kill exp_20261121_stars?") && shown.contains("Its run stops"), "{shown}");
    assert_eq!(press(&mut model, "x"), [], "the key that asked does not confirm");
    assert_eq!(open(&model), Some(LayerKind::Confirm));
    assert_eq!(press(&mut model, "enter"), [], "enter is no");
    assert_eq!(open(&model), None);
    press(&mut model, "x");
    let effects = press(&mut model, "y");
    match said(&effects)[..] {
        [Saying::Control(Control::Kill(kill))] => {
            assert_eq!((kill.experiment_id.as_str(), kill.by.as_deref()), ("exp_20261121_stars", Some("mara")));
        }
        ref other => panic!("{other:?}"),
    }
}

#[test]
fn a_kill_needs_an_experiment() {
    let mut model = empty(80, 24);
    assert_eq!(press(&mut model, "x"), []);
    assert_eq!(open(&model), None);
    assert!(model.toast.as_ref().unwrap().words.contains("select an experiment"));
}

#[test]
fn undo_brings_back_what_was_killed_last_also_by_another_room() {
    let mut model = furnished(120, 40);
    assert_eq!(press(&mut model, "u"), [], "nothing was killed");
    for (id, at) in [("exp_b", "2026-11-21T13:00:00.000Z"), ("exp_a", "2026-11-21T13:59:00.000Z")] {
        let fields = [("state", "archived"), ("former_state", "ready"), ("archived_at", at)];
        document(&mut model, &format!("experiments:{id}"), &fields);
    }
    let effects = press(&mut model, "u");
    match said(&effects)[..] {
        [Saying::Control(Control::Restore(restore))] => assert_eq!(restore.experiment_id, "exp_a"),
        ref other => panic!("{other:?}"),
    }
}

#[test]
fn what_was_killed_long_ago_comes_back_only_on_a_yes() {
    let mut model = furnished(120, 40);
    let fields = [("state", "archived"), ("former_state", "ready"), ("archived_at", "2026-11-01T13:00:00.000Z")];
    document(&mut model, "experiments:exp_old", &fields);
    assert_eq!(press(&mut model, "u"), []);
    let shown = crate::tui::draw::tests::shown(&model, 120, 40);
    assert!(shown.contains("Bring exp_old back?") && shown.contains("2026-11-01 13:00:00"), "{shown}");
    match said(&press(&mut model, "y"))[..] {
        [Saying::Control(Control::Restore(restore))] => assert_eq!(restore.experiment_id, "exp_old"),
        ref other => panic!("{other:?}"),
    }
}

#[test]
fn an_answer_that_nothing_came_of_can_be_given_again() {
    let mut model = asked();
    press(&mut model, "y");
    press(&mut model, "esc");
    passes(&mut model, 9_000);
    press(&mut model, "a");
    let shown = crate::tui::draw::tests::shown(&model, 120, 40);
    assert!(shown.contains("1 of 1"), "{shown}");
    press(&mut model, "esc");
    passes(&mut model, 11_000);
    press(&mut model, "a");
    passes(&mut model, 12_000);
    assert_eq!(verdict(&press(&mut model, "y")).approval_id, "apr_1");
}

#[test]
fn hold_is_shared_state_and_the_same_key_asks_before_it_lets_go() {
    let mut model = furnished(120, 40);
    assert!(matches!(said(&press(&mut model, "H"))[..], [Saying::Control(Control::Hold(_))]));
    text(&mut model, "fullsend:status", "paused");
    document(&mut model, "fullsend:hold", &[("by", "jo"), ("reason", "launch")]);
    let shown = crate::tui::draw::tests::shown(&model, 120, 40);
    assert!(shown.contains("HOLD by jo: launch"), "{shown}");
    passes(&mut model, 10_000);
    assert_eq!(press(&mut model, "H"), []);
    assert_eq!(open(&model), Some(LayerKind::Held));
    let shown = crate::tui::draw::tests::shown(&model, 120, 40);
    assert!(shown.contains("The team is held by jo: launch") && shown.contains("g  let the team go on"), "{shown}");
    assert_eq!(press(&mut model, "H"), [], "the key of the hold lets nobody go");
    assert!(matches!(said(&press(&mut model, "g"))[..], [Saying::Control(Control::Go(_))]));
    assert_eq!(open(&model), None);
}

#[test]
fn whoever_leans_on_the_key_of_the_hold_lets_nobody_go() {
    let mut model = furnished(120, 40);
    document(&mut model, "experiment_runs:exp_a:r1", &[("status", "running")]);
    let mut orders = Vec::new();
    for at in 0..40 {
        passes(&mut model, at * 500);
        orders.extend(press(&mut model, "H"));
        text(&mut model, "fullsend:status", "paused");
    }
    match said(&orders)[..] {
        [Saying::Control(Control::Hold(_)), Saying::Control(Control::CancelRun(_))] => {}
        ref other => panic!("{other:?}"),
    }
    let mut repeated = event("H");
    repeated.kind = crossterm::event::KeyEventKind::Repeat;
    assert_eq!(update(&mut furnished(120, 40), Msg::Key(repeated)), [], "a key that is held down is one order");
}

#[test]
fn the_team_goes_on_by_name() {
    let mut model = furnished(120, 40);
    text(&mut model, "fullsend:status", "paused");
    press(&mut model, ":");
    write(&mut model, "go");
    assert!(matches!(said(&press(&mut model, "enter"))[..], [Saying::Control(Control::Go(_))]));
}

/// A request whose intent says so many numbered words in one line.
fn long_request(width: u16, height: u16, count: usize) -> Model {
    use crate::contracts::messages::Intent;
    let mut model = empty(width, height);
    need_with(&mut model, "apr_1", "a long one", 30, |record| {
        let words = (0..count).map(|at| format!("word{at}")).collect::<Vec<_>>().join(" ");
        let say = serde_json::json!([{ "do": "set", "key": "notes:x", "fields": { "text": words } }]);
        record.proposal.intents = serde_json::from_value::<Vec<Intent>>(say).unwrap();
    });
    model
}

#[rstest]
#[case::rows(80, 24, "down", 1_500)]
#[case::pages(80, 24, "pagedown", 1_500)]
#[case::wide(200, 60, "pagedown", 4_000)]
#[case::narrow(60, 18, "down", 900)]
fn every_word_of_what_a_yes_is_to_can_be_seen(
    #[case] width: u16,
    #[case] height: u16,
    #[case] key: &str,
    #[case] count: usize,
) {
    let mut model = long_request(width, height, count);
    press(&mut model, "a");
    let mut seen = std::collections::BTreeSet::new();
    let mut last = String::new();
    loop {
        let text = crate::tui::draw::tests::shown(&model, width, height);
        seen.extend(text.split(|c: char| !c.is_alphanumeric()).map(str::to_owned));
        if text == last {
            break;
        }
        last = text;
        press(&mut model, key);
    }
    let missing: Vec<_> = (0..count).map(|at| format!("word{at}")).filter(|word| !seen.contains(word)).collect();
    assert!(missing.is_empty(), "{} were never on the screen: {:?}", missing.len(), missing.first());
}

#[test]
fn that_there_is_more_of_a_request_is_said_beside_its_answers() {
    let mut model = long_request(80, 24, 400);
    press(&mut model, "a");
    let text = crate::tui::draw::tests::shown(&model, 80, 24);
    assert!(text.contains("more lines"), "{text}");
    (0..40).for_each(|_| drop(press(&mut model, "pagedown")));
    let text = crate::tui::draw::tests::shown(&model, 80, 24);
    assert!(!text.contains("more lines"), "{text}");
}

#[test]
fn every_word_of_a_long_message_can_be_seen() {
    let mut model = empty(80, 24);
    let words = (0..1_200).map(|at| format!("word{at}")).collect::<Vec<_>>().join(" ");
    Speaker::new().chat(&mut model, &words);
    press(&mut model, "enter");
    let mut seen = String::new();
    for _ in 0..400 {
        seen.push_str(&crate::tui::draw::tests::shown(&model, 80, 24));
        press(&mut model, "down");
    }
    let seen: std::collections::BTreeSet<&str> = seen.split(|c: char| !c.is_alphanumeric()).collect();
    let missing = (0..1_200).map(|at| format!("word{at}")).filter(|word| !seen.contains(word.as_str())).count();
    assert_eq!(missing, 0);
}

#[test]
fn what_the_gate_refuses_is_told_to_whoever_ordered_it() {
    let mut model = empty(80, 24);
    apply(&mut model, crate::tui::store::Item::Filled);
    let mut speaker = Speaker::new();
    let told = |model: &mut Model, speaker: &mut Speaker, words: &str| {
        let body = serde_json::json!({ "type": "status_update", "payload": { "message": words } });
        speaker.say(model, ChannelName::FromOrchestrator, "gate", &body);
        let toast = model.toast.clone().unwrap();
        (toast.words, toast.role)
    };
    let (words, role) = told(&mut model, &mut speaker, "kill_experiment exp_a: archived, ordered by mara");
    assert!(words.contains("exp_a: archived") && role == crate::tui::theme::Role::Accent, "{words}");
    let refused = "resume_experiment was not done: a completed experiment cannot resume";
    let (words, role) = told(&mut model, &mut speaker, refused);
    assert_eq!((words, role), (format!("gate: {refused}"), crate::tui::theme::Role::Danger));
}

#[test]
fn a_form_that_is_filled_in_leaves_the_draft_alone() {
    let mut model = empty(80, 24);
    press(&mut model, "i");
    write(&mut model, "half an idea");
    for keys in [vec!["esc", "8", "n", "esc"], vec!["8", "n"]] {
        for key in keys {
            press(&mut model, key);
        }
    }
    // It is written in: both are kept.
    press(&mut model, "end");
    write(&mut model, " ");
    press(&mut model, "esc");
    assert!(model.draft.as_ref().unwrap().text.contains("roundtable_topic"), "{:?}", model.draft);
    assert!(model.said.iter().any(|said| said.text == "half an idea"), "{:?}", model.said);
}

#[test]
fn recalling_what_was_said_keeps_what_is_being_written() {
    let mut model = empty(80, 24);
    press(&mut model, "i");
    write(&mut model, "an old one");
    press(&mut model, "ctrl-s");
    press(&mut model, "i");
    write(&mut model, "precious text");
    press(&mut model, "ctrl-r");
    let shown = |model: &Model| crate::tui::draw::tests::shown(model, 80, 24);
    assert!(shown(&model).contains("an old one"), "{}", shown(&model));
    assert_eq!(model.kept().draft.unwrap().text, "precious text", "also after a crash");
    press(&mut model, "down");
    assert!(shown(&model).contains("precious text"), "{}", shown(&model));
    press(&mut model, "ctrl-r");
    press(&mut model, "ctrl-s");
    assert_eq!(model.kept().draft.unwrap().text, "precious text", "what was recalled was said");
}

#[test]
fn hold_twice_stops_what_runs() {
    let mut model = furnished(120, 40);
    document(&mut model, "experiment_runs:exp_a:r1", &[("status", "running")]);
    document(&mut model, "experiment_runs:exp_a:r0", &[("status", "completed")]);
    press(&mut model, "H");
    passes(&mut model, 1_000);
    let effects = press(&mut model, "H");
    match said(&effects)[..] {
        [Saying::Control(Control::CancelRun(cancel))] => {
            assert_eq!((cancel.run_id.as_str(), cancel.experiment_id.as_deref()), ("r1", Some("exp_a")));
        }
        ref other => panic!("{other:?}"),
    }
    let mut model = furnished(120, 40);
    press(&mut model, "H");
    assert_eq!(press(&mut model, "H"), [], "nothing runs");
    assert!(model.toast.as_ref().unwrap().words.contains("nothing runs"), "{:?}", model.toast);
}
