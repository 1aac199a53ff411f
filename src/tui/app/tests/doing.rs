//! Inject, answer, kill, undo, hold.

use chrono::TimeDelta;
use pretty_assertions::assert_eq;
use rstest::rstest;

use super::*;
use crate::approvals::ApprovalState;
use crate::contracts::messages::{ApprovalVerdict, Verdict};
use crate::contracts::{ChannelKind, ChannelName};
use crate::tui::actions::LayerKind;
use crate::tui::app::{Effect, Model, Msg, Outcome, Saying, Ticket, update};

pub(super) fn said(effects: &[Effect]) -> Vec<&Saying> {
    effects.iter().filter_map(|it| if let Effect::Say(_, saying) = it { Some(saying) } else { None }).collect()
}

pub(super) fn open(model: &Model) -> Option<LayerKind> {
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
    // The team's own channels are not for a person to speak on.
    let is_open = |it: &&ChannelName| it.route().kind == ChannelKind::Work && it.believes("control_room");
    let channels: Vec<_> = ChannelName::ALL.iter().filter(is_open).collect();
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
pub(super) fn asked() -> Model {
    let mut model = furnished(120, 40);
    press(&mut model, "a");
    passes(&mut model, 500);
    model
}

pub(super) fn verdict(effects: &[Effect]) -> &ApprovalVerdict {
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
    let lines: Vec<&str> = text.lines().collect();
    let at = lines.iter().position(|line| line.contains("▸ class 3")).expect("the list");
    assert!(lines[at + 1].contains("dispatch_to_fullsend: GitHub stargazers"), "{text}");
    assert!(text.contains("kill exp_20261121_hn") && text.contains("What happens on a yes"), "{text}");
}

#[test]
fn what_begins_to_wait_while_nothing_did_is_shown_and_armed_a_moment_later() {
    let mut model = empty(120, 40);
    press(&mut model, "a");
    assert!(crate::tui::draw::tests::shown(&model, 120, 40).contains("Nothing waits for you."));
    need(&mut model, "apr_1", "a new one", 30);
    assert!(crate::tui::draw::tests::shown(&model, 120, 40).contains("a new one"));
    assert_eq!(said(&press(&mut model, "y")), [] as [&Saying; 0], "it came on the screen just now");
    passes(&mut model, 500);
    assert_eq!(verdict(&press(&mut model, "y")).approval_id, "apr_1");
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
