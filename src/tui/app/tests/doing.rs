//! Inject, answer, kill, undo, hold.

use chrono::TimeDelta;
use pretty_assertions::assert_eq;
use rstest::rstest;

use super::*;
use crate::approvals::ApprovalState;
use crate::contracts::messages::{ApprovalVerdict, Control, Verdict};
use crate::contracts::{ChannelKind, ChannelName};
use crate::tui::actions::LayerKind;
use crate::tui::app::{Effect, Model, Msg, Outcome, Saying, Ticket, update};
use crate::tui::screens::{Pane, Screen};

fn said(effects: &[Effect]) -> Vec<&Saying> {
    effects.iter().filter_map(|it| if let Effect::Say(_, saying) = it { Some(saying) } else { None }).collect()
}

fn open(model: &Model) -> Option<LayerKind> {
    model.layers.last().map(crate::tui::layers::Layer::kind)
}

#[test]
fn a_newcomer_needs_three_keys_to_say_something() {
    let mut model = empty(80, 24);
    press(&mut model, "i");
    assert_eq!(write(&mut model, "what if we asked the CTOs? q"), [], "letters are letters");
    let effects = press(&mut model, "ctrl-s");
    assert_eq!(said(&effects), [&Saying::Words("what if we asked the CTOs? q".to_owned())]);
    assert_eq!(open(&model), None);
}

#[test]
fn every_type_of_every_channel_has_an_example_that_fits_and_can_be_sent() {
    let channels: Vec<_> = ChannelName::ALL.iter().filter(|it| it.route().kind == ChannelKind::Work).collect();
    let mut model = empty(120, 40);
    for (at, channel) in channels.iter().enumerate() {
        for kind in 0..channel.route().types.len() {
            model.draft = None;
            press(&mut model, "i");
            (0..at).for_each(|_| drop(press(&mut model, "tab")));
            (0..kind).for_each(|_| drop(press(&mut model, "ctrl-n")));
            press(&mut model, "ctrl-e");
            let effects = press(&mut model, "ctrl-s");
            let name = channel.route().types[kind].name;
            match said(&effects)[..] {
                [Saying::Body(to, body)] => {
                    assert_eq!((to, to.check(body)), (*channel, Ok(name)));
                }
                ref other => panic!("{channel}/{name}: {other:?}"),
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_said_in_words_and_not_sent() {
    let mut model = empty(100, 30);
    press(&mut model, "i");
    press(&mut model, "tab");
    press(&mut model, "end");
    (0..3).for_each(|_| drop(press(&mut model, "backspace")));
    assert_eq!(press(&mut model, "ctrl-s"), []);
    assert_eq!(open(&model), Some(LayerKind::Inject), "it stays open");
    let shown = crate::tui::draw::tests::shown(&model, 100, 30);
    assert!(shown.contains("✗ not JSON"), "{shown}");
}

#[test]
fn a_draft_survives_closing_and_what_was_said_is_recalled() {
    let mut model = empty(80, 24);
    press(&mut model, "i");
    write(&mut model, "half a thou");
    press(&mut model, "esc");
    assert_eq!(model.kept().draft.unwrap().text, "half a thou");
    press(&mut model, "i");
    write(&mut model, "ght");
    press(&mut model, "ctrl-s");
    assert_eq!(model.kept().draft, None);
    press(&mut model, "i");
    press(&mut model, "ctrl-r");
    assert_eq!(said(&press(&mut model, "ctrl-s")), [&Saying::Words("half a thought".to_owned())]);
}

#[test]
fn a_draft_is_written_down_while_it_is_made() {
    let mut model = empty(80, 24);
    press(&mut model, "i");
    write(&mut model, "precious");
    let effects = passes(&mut model, 1_000);
    let kept = effects.iter().find_map(|it| if let Effect::Keep(kept) = it { Some(kept) } else { None }).unwrap();
    assert_eq!(kept.draft.as_ref().unwrap().text, "precious");
    assert_eq!(passes(&mut model, 2_000), [], "once");
}

#[test]
fn a_form_has_one_ticket_so_that_it_is_said_once() {
    let mut model = empty(80, 24);
    let ticket = |effects: Vec<Effect>| match effects[..] {
        [Effect::Say(ticket, _)] => ticket,
        ref other => panic!("{other:?}"),
    };
    press(&mut model, "i");
    write(&mut model, "one");
    let one = ticket(press(&mut model, "ctrl-s"));
    press(&mut model, "i");
    write(&mut model, "two");
    assert_ne!(ticket(press(&mut model, "ctrl-s")), one);
}

#[test]
fn what_the_editor_left_is_in_the_form() {
    let mut model = empty(80, 24);
    press(&mut model, "i");
    write(&mut model, "short");
    assert_eq!(press(&mut model, "ctrl-o"), [Effect::Edit("short".to_owned())]);
    update(&mut model, Msg::Outcome(Outcome::Edited(Ok("much longer".to_owned()))));
    assert_eq!(said(&press(&mut model, "ctrl-s")), [&Saying::Words("much longer".to_owned())]);
}

#[test]
fn pasted_text_is_harmless() {
    let mut model = empty(80, 24);
    press(&mut model, "i");
    update(&mut model, Msg::Paste("a\x1b]52;c;aGk=\x07b".to_owned()));
    assert_eq!(said(&press(&mut model, "ctrl-s")), [&Saying::Words("ab".to_owned())]);
}

/// A room in which the answers to the first request are armed.
fn asked() -> Model {
    let mut model = furnished(120, 40);
    press(&mut model, "a");
    passes(&mut model, 500);
    model
}

fn verdict(effects: &[Effect]) -> &ApprovalVerdict {
    match said(effects)[..] {
        [Saying::Verdict(verdict)] => verdict,
        ref other => panic!("{other:?}"),
    }
}

#[test]
fn an_answer_is_to_what_is_shown_the_nearest_deadline_first() {
    let mut model = asked();
    let effects = press(&mut model, "y");
    let found = verdict(&effects);
    assert_eq!((found.approval_id.as_str(), found.digest.as_deref()), ("apr_1", Some("sha256:apr_1")));
    assert_eq!((found.verdict, found.always, found.by.as_deref()), (Verdict::Approve, false, Some("mara")));
    assert_eq!(found.surface.as_deref(), Some("control_room"));
}

#[test]
fn keys_answer_only_after_the_request_was_on_the_screen_for_a_moment() {
    let mut model = furnished(120, 40);
    press(&mut model, "a");
    passes(&mut model, 399);
    assert_eq!(press(&mut model, "y"), []);
    assert_eq!(press(&mut model, "A"), []);
    passes(&mut model, 401);
    assert_eq!(said(&press(&mut model, "y")).len(), 1);
    assert_eq!(press(&mut model, "y"), [], "the next one came on the screen just now");
    passes(&mut model, 900);
    assert_eq!(verdict(&press(&mut model, "y")).approval_id, "apr_2");
    assert_eq!(open(&model), None, "nothing waits any more");
}

#[test]
fn a_no_has_a_reason_and_its_letters_answer_nothing() {
    let mut model = asked();
    assert_eq!(press(&mut model, "n"), []);
    assert_eq!(write(&mut model, "yes yA no"), []);
    let effects = press(&mut model, "enter");
    let found = verdict(&effects);
    assert_eq!((found.verdict, found.reason.as_deref()), (Verdict::Deny, Some("yes yA no")));
    let mut model = asked();
    press(&mut model, "n");
    press(&mut model, "esc");
    assert_eq!(open(&model), Some(LayerKind::NeedsYou), "esc takes the no back");
}

#[test]
fn always_has_an_end_that_can_be_chosen() {
    let mut model = asked();
    assert_eq!(press(&mut model, "A"), [], "first the end");
    passes(&mut model, 1_000);
    let effects = press(&mut model, "enter");
    let found = verdict(&effects);
    assert!(found.always);
    assert_eq!(found.until.unwrap() - now(), TimeDelta::days(7) + TimeDelta::seconds(1));
    for (text, until) in [("2026-12-31", "2027-01-01T00:00:00Z"), ("12h", "2026-11-22T02:02:12Z")] {
        let mut model = asked();
        press(&mut model, "A");
        (0..2).for_each(|_| drop(press(&mut model, "backspace")));
        write(&mut model, text);
        passes(&mut model, 1_000);
        assert_eq!(verdict(&press(&mut model, "enter")).until, Some(until.parse().unwrap()), "{text}");
    }
}

#[rstest]
#[case::over("2026-01-01", "over already")]
#[case::no_time("someday", "no time")]
#[case::class_3("forever", "until a date only")]
fn an_end_that_is_none_is_told_and_nothing_is_said(#[case] text: &str, #[case] words: &str) {
    let mut model = asked();
    press(&mut model, "A");
    (0..2).for_each(|_| drop(press(&mut model, "backspace")));
    write(&mut model, text);
    passes(&mut model, 1_000);
    assert_eq!(press(&mut model, "enter"), []);
    assert!(model.toast.as_ref().unwrap().words.contains(words), "{:?}", model.toast);
}

#[test]
fn an_edit_is_approved_only_after_its_difference_was_shown() {
    let mut model = asked();
    assert_eq!(press(&mut model, "e"), []);
    let text = crate::tui::draw::tests::shown(&model, 120, 40);
    assert!(text.contains("\"do\": \"step\"") && text.contains("ctrl-s see what changes"), "{text}");
    assert_eq!(write(&mut model, "yY"), [], "letters are letters");
    let text = crate::tui::draw::tests::shown(&model, 120, 40);
    assert!(text.contains("✗ no intents"), "what is wrong is said while it is written: {text}");
    assert_eq!(press(&mut model, "ctrl-s"), []);
    assert_eq!(open(&model), Some(LayerKind::Edit), "what cannot be done is not shown for approval");
    edit(&mut model);
    assert_eq!(press(&mut model, "ctrl-s"), []);
    assert_eq!(open(&model), Some(LayerKind::Review));
    let text = crate::tui::draw::tests::shown(&model, 120, 40);
    assert!(text.contains("What your edit changes"), "{text}");
    assert!(text.contains("-     \"experiment_id\": \"exp_20260301_forum\""), "{text}");
    assert!(text.contains("+     \"experiment_id\": \"exp_other\""), "{text}");
    assert_eq!(press(&mut model, "y"), [], "it came on the screen just now");
    passes(&mut model, 1_000);
    let effects = press(&mut model, "y");
    let found = verdict(&effects);
    assert_eq!((found.verdict, found.digest.as_deref()), (Verdict::Approve, Some("sha256:apr_1")));
    match found.edited.as_deref() {
        Some([crate::contracts::messages::Intent::Step { experiment_id, .. }]) => {
            assert_eq!(experiment_id, "exp_other");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_edit_that_changes_nothing_is_told_and_esc_takes_it_back() {
    let mut model = asked();
    press(&mut model, "e");
    press(&mut model, "ctrl-s");
    assert!(model.toast.as_ref().unwrap().words.contains("nothing was changed"));
    edit(&mut model);
    press(&mut model, "ctrl-s");
    press(&mut model, "e");
    let text = crate::tui::draw::tests::shown(&model, 120, 40);
    assert_eq!(open(&model), Some(LayerKind::Edit));
    assert!(text.contains("exp_other"), "the edit goes on: {text}");
    press(&mut model, "esc");
    assert_eq!(open(&model), Some(LayerKind::NeedsYou));
}

#[test]
fn all_at_once_asks_names_each_and_never_answers_class_3() {
    let mut model = asked();
    for id in ["apr_3", "apr_4"] {
        need_with(&mut model, id, &format!("tidy {id}"), 200, |record| {
            record.proposal.class = crate::contracts::messages::RiskClass::Internal;
        });
    }
    assert_eq!(press(&mut model, "Y"), []);
    let text = crate::tui::draw::tests::shown(&model, 120, 40);
    assert!(text.contains("Approve 2 at once?") && text.contains("yes: tidy apr_3"), "{text}");
    assert!(text.contains("Not answered by that: 2 of class 3."), "{text}");
    assert_eq!(press(&mut model, "enter"), [], "no is the default");
    press(&mut model, "Y");
    // One of them changes while it is asked.
    need_with(&mut model, "apr_4", "tidy more", 200, |record| {
        record.proposal.class = crate::contracts::messages::RiskClass::Internal;
        record.proposal.digest = "sha256:other".to_owned();
    });
    let effects = press(&mut model, "y");
    assert_eq!(verdict(&effects).approval_id, "apr_3");
}

#[test]
fn what_a_note_and_a_document_become_is_shown_as_a_difference() {
    use crate::contracts::messages::Intent;
    let mut model = furnished(120, 60);
    document(&mut model, "schedules:exp_a", &[("every", "1d"), ("next_at", "2026-11-22T09:00:00Z")]);
    need_with(&mut model, "apr_0", "a change", 1, |record| {
        let change = serde_json::json!([
            { "do": "note", "name": "worklist", "change": { "change": "item", "key": "exp_a", "section": "active", "text": "try exp_a" } },
            { "do": "set", "key": "schedules:exp_a", "fields": { "every": "2d" } },
        ]);
        record.proposal.intents = serde_json::from_value::<Vec<Intent>>(change).unwrap();
    });
    press(&mut model, "a");
    let text = crate::tui::draw::tests::shown(&model, 120, 60);
    assert!(text.contains("The note worklist changes") && text.contains("+ - [ ] try exp_a"), "{text}");
    assert!(text.contains("schedules:exp_a changes") && text.contains("- 1d") && text.contains("+ 2d"), "{text}");
}

#[test]
fn what_has_changed_since_and_what_the_chain_has_cost_are_on_the_request() {
    let mut model = furnished(120, 60);
    let trace = model.store.documents.needs()[0].record.envelope.trace.to_string();
    document(&mut model, &format!("budgets:trace:{trace}"), &[("spent_nano", "12000000")]);
    document(&mut model, "experiments:exp_20260301_forum", &[("state", "archived")]);
    press(&mut model, "a");
    let text = crate::tui::draw::tests::shown(&model, 120, 60);
    assert!(text.contains("its chain has cost $0.0120 so far"), "{text}");
    assert!(text.contains("This has changed since") && text.contains("was `draft`, is `archived` now"), "{text}");
}

#[test]
fn where_there_is_room_all_that_waits_stands_beside_the_request() {
    let mut model = furnished(200, 60);
    press(&mut model, "a");
    let text = crate::tui::draw::tests::shown(&model, 200, 60);
    let line = text.lines().find(|line| line.contains("▸ c3")).expect("the list");
    assert!(line.contains("dispatch_to_fullsend"), "{text}");
    assert!(text.contains("kill exp_20261121_hn") && text.contains("What happens on a yes"), "{text}");
}

#[test]
fn a_superseded_request_says_by_what() {
    let mut model = asked();
    need_with(&mut model, "apr_1", "dispatch_to_fullsend: GitHub stargazers", 42, |record| {
        record.state = ApprovalState::Superseded;
        record.superseded_by = Some("apr_9".to_owned());
        record.reason = Some("the facts changed".to_owned());
    });
    let text = crate::tui::draw::tests::shown(&model, 120, 40);
    assert!(text.contains("It is superseded: the facts changed.") && text.contains("apr_9 is asked instead"), "{text}");
}

#[rstest]
#[case::answered_elsewhere(|record: &mut crate::approvals::Record| record.state = ApprovalState::Approved)]
#[case::superseded(|record: &mut crate::approvals::Record| record.state = ApprovalState::Superseded)]
#[case::changed(|record: &mut crate::approvals::Record| record.proposal.digest = "sha256:other".to_owned())]
fn what_has_changed_cannot_be_answered(#[case] change: fn(&mut crate::approvals::Record)) {
    let mut model = asked();
    need_with(&mut model, "apr_1", "dispatch_to_fullsend: GitHub stargazers", 42, change);
    for key in ["y", "A", "n"] {
        assert_eq!(press(&mut model, key), [], "{key}");
    }
    let shown = crate::tui::draw::tests::shown(&model, 120, 40);
    assert!(shown.contains("cannot be answered any more"), "{shown}");
}

#[test]
fn a_request_is_answered_once_and_again_only_if_the_answer_was_not_said() {
    let mut model = asked();
    press(&mut model, "y");
    press(&mut model, "esc");
    press(&mut model, "a");
    passes(&mut model, 2_000);
    assert_eq!(verdict(&press(&mut model, "y")).approval_id, "apr_2", "the first is not offered again");
    let failed = Outcome::Said {
        ticket: Ticket(1),
        what: "approve".to_owned(),
        failed: Some("the bus cannot be reached".to_owned()),
        digest: Some("sha256:apr_1".to_owned()),
    };
    update(&mut model, Msg::Outcome(failed));
    press(&mut model, "a");
    passes(&mut model, 4_000);
    assert_eq!(verdict(&press(&mut model, "y")).approval_id, "apr_1");
}

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
        keys.iter().for_each(|key| drop(press(&mut model, key)));
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

#[test]
fn a_message_is_said_again_only_after_it_was_seen_in_the_form() {
    let mut model = empty(120, 40);
    Speaker::new().chat(&mut model, "an idea");
    press(&mut model, "enter");
    assert_eq!(press(&mut model, "s"), []);
    assert_eq!(open(&model), Some(LayerKind::Inject));
    match said(&press(&mut model, "ctrl-s"))[..] {
        [Saying::Body(ChannelName::DiscordRaw, body)] => assert!(body.contains("an idea")),
        ref other => panic!("{other:?}"),
    }
}

#[test]
fn the_arrows_go_through_what_was_said_where_nothing_is_written() {
    let mut model = empty(80, 24);
    for words in ["the first", "the second"] {
        press(&mut model, "i");
        write(&mut model, words);
        press(&mut model, "ctrl-s");
    }
    press(&mut model, "i");
    let text = |model: &Model| crate::tui::draw::tests::shown(model, 80, 24);
    press(&mut model, "up");
    assert!(text(&model).contains("the second"), "{}", text(&model));
    press(&mut model, "up");
    press(&mut model, "up");
    assert!(text(&model).contains("┃ the first"), "{}", text(&model));
    press(&mut model, "down");
    press(&mut model, "down");
    assert!(!text(&model).contains("┃ the "), "{}", text(&model));
    write(&mut model, "new");
    press(&mut model, "up");
    assert_eq!(said(&press(&mut model, "ctrl-s")), [&Saying::Words("new".to_owned())]);
}

#[test]
fn each_theme_is_shown_as_it_is_selected_and_esc_takes_the_former_one() {
    let mut model = furnished(120, 40);
    press(&mut model, "T");
    press(&mut model, "down");
    assert_eq!(model.theme.name, "light");
    assert!(crate::tui::draw::tests::shown(&model, 120, 40).contains("▸ light"));
    press(&mut model, "esc");
    assert_eq!((model.theme.name.as_str(), model.layers.len()), ("dark", 0));
    press(&mut model, "T");
    press(&mut model, "down");
    press(&mut model, "enter");
    assert_eq!(model.kept().theme, "light");
}
