//! Where there is little room: what must still be on the screen.

use rstest::rstest;

use super::{has, shown};
use crate::contracts::ChannelName;
use crate::tui::app::Model;
use crate::tui::app::tests::{Speaker, empty, furnished, machine, measured, passes, press, text, write};
use crate::tui::theme::Role;

fn footer(model: &Model) -> String {
    shown(model, 80, 24).lines().last().unwrap_or_default().to_owned()
}

fn header(model: &Model) -> String {
    shown(model, 80, 24).lines().next().unwrap_or_default().to_owned()
}

#[test]
fn the_header_says_who_answers_and_what_was_spent() {
    has(&header(&empty(80, 24)), &["embedded", "guarded", "rules", "$0.00", "needs 0"]);
    has(&header(&furnished(80, 24)), &["embedded", "guarded", "rules", "$0.42", "NEEDS YOU 2", "▲ 1"]);
}

#[test]
fn which_filter_holds_is_in_the_header_of_every_screen() {
    let mut model = furnished(80, 24);
    press(&mut model, "/");
    write(&mut model, "channel:approvals");
    press(&mut model, "enter");
    for key in ["1", "4", "5", "6"] {
        press(&mut model, key);
        has(&header(&model), &["/channel:appr"]);
    }
}

#[rstest]
#[case::experiments("4", &["a needs you", "p rest", "m number", "e edit", "? help", "q quit"])]
#[case::alerts("6", &["a needs you", "A seen", "R over", "? help", "q quit"])]
#[case::notes("5", &["a needs you", "e edit", "h history"])]
#[case::deck("1", &["i inject", "a needs you", "/ filter", "1 Deck 1-0"])]
fn the_footer_shows_the_keys_of_the_place(#[case] key: &str, #[case] words: &[&str]) {
    let mut model = measured(80, 24);
    crate::tui::app::tests::need(&mut model, "apr_1", "a request", 30);
    press(&mut model, key);
    has(&footer(&model), words);
}

#[test]
fn the_footer_says_how_a_hold_ends_and_shows_no_key_that_does_nothing() {
    let mut model = empty(80, 24);
    for key in ["1", "4", "6", "0"] {
        press(&mut model, key);
        let footer = footer(&model);
        let nothing = ["x kill", "p rest", "A seen", "r replay", "d drop"];
        assert!(nothing.iter().all(|words| !footer.contains(words)), "{footer}");
    }
    machine(&mut model);
    has(&footer(&model), &["r replay", "d drop"]);
    text(&mut model, "fullsend:status", "paused");
    for key in ["1", "4", "5", "6", "0"] {
        press(&mut model, key);
        has(&footer(&model), &["H go on"]);
    }
}

#[test]
fn what_is_told_is_whole_beside_the_ways_out() {
    let mut model = furnished(80, 24);
    let words: Vec<String> = (0..24).map(|at| format!("word{at}")).collect();
    model.tell(Role::Accent, words.join(" "));
    let text = shown(&model, 80, 24);
    has(&text, &words.iter().map(String::as_str).collect::<Vec<_>>());
    has(&footer(&model), &["? help", "q quit"]);
}

#[test]
fn what_a_layer_said_goes_with_it() {
    let mut model = empty(80, 24);
    press(&mut model, "i");
    press(&mut model, "ctrl-s");
    assert!(model.toast.is_some());
    press(&mut model, "esc");
    assert_eq!(model.toast, None);
    // What somebody else said stays.
    model.tell(Role::Accent, "an answer of the team");
    press(&mut model, "?");
    press(&mut model, "esc");
    assert!(model.toast.is_some());
}

#[test]
fn what_went_wrong_is_not_covered_at_once_by_what_went_well() {
    let mut model = empty(80, 24);
    model.tell(Role::Danger, "it failed");
    model.tell(Role::Ok, "said: something");
    assert_eq!(model.toast.as_ref().unwrap().words, "it failed");
    passes(&mut model, 2_500);
    model.tell(Role::Ok, "said: something");
    assert_eq!(model.toast.as_ref().unwrap().words, "said: something");
}

#[test]
fn an_order_a_verdict_and_a_number_are_told_apart_in_the_traffic() {
    let mut model = empty(80, 24);
    let mut speaker = Speaker::new();
    let hold = serde_json::json!({ "type": "hold", "by": "mara" });
    speaker.say(&mut model, ChannelName::Control, "control_room", &hold);
    let verdict =
        serde_json::json!({ "type": "approval_verdict", "approval_id": "apr_1", "verdict": "deny", "by": "mara" });
    speaker.say(&mut model, ChannelName::ApprovalVerdicts, "control_room", &verdict);
    let number = serde_json::json!({ "event": "meeting_booked", "experiment_id": "exp_a", "count": 1 });
    speaker.say(&mut model, ChannelName::Metrics, "control_room", &number);
    has(&shown(&model, 80, 24), &["control_room hold · ", "control_room deny", "control_room meeting_b"]);
}

#[test]
fn that_a_screen_has_more_panes_is_said_from_the_first() {
    let mut model = empty(80, 24);
    press(&mut model, "0");
    has(&shown(&model, 80, 24), &["· 1/8 "]);
    press(&mut model, "2");
    has(&shown(&model, 80, 24), &[&format!("· 1/{} ", ChannelName::ALL.len())]);
}

#[test]
fn what_is_missing_says_so_on_its_screen() {
    use crate::contracts::ServiceName;
    for (key, service) in [("4", ServiceName::Fullsend), ("6", ServiceName::RedisAgent)] {
        let mut model = empty(120, 40);
        press(&mut model, key);
        let is_told = shown(&model, 120, 40).contains("is not in this version yet");
        assert_eq!(is_told, !service.is_built(), "{service}");
    }
    let mut model = empty(120, 40);
    press(&mut model, "9");
    has(&shown(&model, 120, 40), &["Select a message anywhere and press t:"]);
}

#[test]
fn who_was_replaced_is_forgotten_and_who_is_missed_is_not() {
    let mut model = empty(120, 40);
    let mut speaker = Speaker::new();
    let mut beats = |model: &mut Model, service: &str, instance: &str| {
        let beat = serde_json::json!({ "type": "heartbeat", "service": service, "instance": instance, "handled": 1, "failed": 0, "holding": 0 });
        speaker.notice(model, ChannelName::Health, "supervisor", &beat);
    };
    beats(&mut model, "watcher", "host/1");
    beats(&mut model, "gate", "host/1");
    passes(&mut model, 700_000);
    beats(&mut model, "watcher", "host/2");
    let found: Vec<_> = model.store.services.all().map(|it| (it.service.as_str(), it.instance.as_str())).collect();
    assert_eq!(found, [("gate", "host/1"), ("watcher", "host/2")]);
}

#[test]
fn what_was_asked_about_is_selected_on_its_chain() {
    let mut model = empty(120, 40);
    Speaker::new().chat(&mut model, "an idea");
    let id = match model.target() {
        Some(crate::tui::screens::content::Target::Message(row)) => row.envelope.as_ref().unwrap().id.to_string(),
        other => panic!("{other:?}"),
    };
    press(&mut model, "t");
    let selected = model.lists[&crate::tui::screens::Pane::Chain].entry_id().map(str::to_owned);
    assert_eq!(selected, Some(id));
}
