//! Every action of the table, from its key.

use pretty_assertions::assert_eq;
use rstest::rstest;

use super::*;
use crate::contracts::notes::NoteName;
use crate::tui::actions::{ACTIONS, Action, LayerKind, Scope};
use crate::tui::app::{Effect, End, Mark, Model, Msg, NoteOutcome, Outcome, update};
use crate::tui::screens::{Pane, Screen};
use crate::tui::store::Item;

/// Brings the room to where an action works, and where it has something to do.
fn stage(action: Action) -> Model {
    let mut model = place(action);
    match action {
        Action::HistoryUp
        | Action::HistoryDown
        | Action::HistoryPageUp
        | Action::HistoryPageDown
        | Action::HistoryRevert => history(&mut model, action),
        Action::Send => drop(write(&mut model, "an idea")),
        Action::InjectRecall => {
            write(&mut model, "an idea");
            press(&mut model, "ctrl-s");
            press(&mut model, "i");
        }
        Action::AnswerSend => {
            passes(&mut model, 500);
            press(&mut model, "n");
        }
        Action::EditReview
        | Action::EditEditor
        | Action::EditApprove
        | Action::EditAgain
        | Action::ReviewUp
        | Action::ReviewDown => {
            passes(&mut model, 500);
            // What fits the screen is not scrolled.
            update(&mut model, Msg::Resize(60, 10));
            press(&mut model, "e");
            if row_is_review(action) {
                edit(&mut model);
                press(&mut model, "ctrl-s");
            }
            if action == Action::ReviewUp {
                press(&mut model, "down");
            }
        }
        Action::DetailFold => drop(press(&mut model, "pagedown")),
        Action::DetailUp | Action::DetailPageUp | Action::ThemeUp => drop(press(&mut model, "down")),
        Action::NeedUp | Action::NeedPageUp | Action::NeedDown | Action::NeedPageDown => {
            update(&mut model, Msg::Resize(60, 14));
            if matches!(action, Action::NeedUp | Action::NeedPageUp) {
                press(&mut model, "down");
            }
        }
        Action::Up | Action::Down | Action::PageDown | Action::Last | Action::Pause | Action::Back | Action::Open => {
            drop(press(&mut model, "pageup"));
        }
        Action::Kill | Action::ConfirmYes | Action::ConfirmNo => {
            model.focus.insert(Screen::Deck, Pane::Experiments);
            if action != Action::Kill {
                press(&mut model, "x");
            }
        }
        Action::PauseExperiment | Action::RunExperiment => {
            document(&mut model, "experiments:exp_20261121_hn", &[("state", "ready")]);
        }
        Action::RecordSend => drop(write(&mut model, "meeting_booked")),
        Action::Undo => {
            let fields = [("state", "archived"), ("former_state", "ready"), ("archived_at", "2026-11-21T13:00:00Z")];
            document(&mut model, "experiments:exp_old", &fields);
        }
        Action::Deck => drop(press(&mut model, "2")),
        Action::WelcomeDone => model.layers.push(crate::tui::layers::Layer::Welcome),
        _ => {}
    }
    passes(&mut model, 1_000);
    model
}

/// The history of a note, with a diff beside it.
fn history(model: &mut Model, action: Action) {
    let outcome = |outcome| Msg::Outcome(Outcome::Note(NoteName::Worklist, outcome));
    update(model, outcome(NoteOutcome::Versions(Ok(versions(9)))));
    let diff = "--- a\n+++ b\n".to_owned() + &"+line\n".repeat(200);
    let moves = if action == Action::HistoryDown { vec![] } else { vec!["down", "down"] };
    for key in moves {
        press(model, key);
    }
    update(model, outcome(NoteOutcome::Compared(9, Ok(diff))));
    if action == Action::HistoryPageUp {
        press(model, "pagedown");
    }
}

/// A room on the screen, or with the layer open, where an action works.
fn place(action: Action) -> Model {
    let mut model = measured(120, 40);
    for at in 0..100 {
        Speaker::new().chat(&mut model, &format!("message {at}"));
    }
    if let Scope::Screen(screen) = action.row().scope {
        model.screen = screen;
    }
    if action.row().scope == Scope::In(LayerKind::Held) {
        text(&mut model, "fullsend:status", "paused");
    }
    let keys: &[&str] = match action.row().scope {
        Scope::In(LayerKind::Inject) => &["i"],
        Scope::In(LayerKind::NeedsYou | LayerKind::Answer | LayerKind::Edit | LayerKind::Review) => &["a"],
        Scope::In(LayerKind::Palette) => &[":", "down"],
        Scope::In(LayerKind::Filter) => &["/", "m"],
        Scope::In(LayerKind::Detail) => &["up", "up", "up", "enter"],
        Scope::In(LayerKind::Help) | Scope::Layer => &["?", "down"],
        Scope::In(LayerKind::Quit) => &["q"],
        Scope::In(LayerKind::Held) => &["H"],
        Scope::In(LayerKind::Note) => &["5", "e", "x"],
        Scope::In(LayerKind::Budget) => &["0", "b", "5"],
        Scope::In(LayerKind::History) => &["5", "h"],
        Scope::In(LayerKind::Themes) => &["T", "down"],
        Scope::In(LayerKind::Record) => &["4", "m"],
        _ => &[],
    };
    for key in keys {
        press(&mut model, key);
    }
    if let Scope::Screen(screen) = action.row().scope {
        machine(&mut model);
        model.screen = screen;
    }
    if action.row().scope == Scope::Replay {
        let now = now();
        let playing = crate::tui::replay::Playing {
            at: now,
            span: (now, now),
            position: 1,
            total: 1,
            speed: 1.0,
            goes_on: false,
            is_seeking: false,
        };
        apply(&mut model, Item::Playing(playing));
    }
    model
}

fn row_is_review(action: Action) -> bool {
    action.row().scope == Scope::In(LayerKind::Review)
}

#[test]
fn every_action_does_something_from_each_of_its_keys() {
    for row in ACTIONS {
        for key in row.keys {
            let mut model = stage(row.action);
            let before = format!("{model:?}");
            let effects = press(&mut model, key);
            let changed = before != format!("{model:?}");
            assert!(changed || !effects.is_empty(), "`{}` on {key} did nothing", row.name);
        }
    }
}

#[test]
fn a_screen_has_its_key_on_every_screen() {
    for from in Screen::ALL {
        for (at, to) in Screen::ALL.into_iter().enumerate() {
            let mut model = furnished(120, 40);
            model.screen = from;
            assert_eq!(press(&mut model, &((at + 1) % 10).to_string()), []);
            assert_eq!(model.screen, to);
        }
    }
}

#[test]
fn the_focus_goes_round_all_panes_and_back() {
    let mut model = furnished(120, 40);
    let mut seen = Vec::new();
    for _ in 0..8 {
        seen.push(model.focused().unwrap().0);
        press(&mut model, "tab");
    }
    assert_eq!(model.focused().unwrap().0, seen[0], "{seen:?}");
    let mut once = seen.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), 8, "each pane once: {seen:?}");
    press(&mut model, "shift-tab");
    assert_eq!(model.focused().unwrap().0, seen[7]);
}

#[test]
fn a_room_on_a_bus_that_others_serve_just_quits() {
    let mut model = furnished(120, 40);
    model.about.is_inside = false;
    assert!(press(&mut model, "q").contains(&Effect::Quit(End::Leave)));
}

#[rstest]
#[case::stop("s", End::Stop)]
#[case::leave("l", End::Leave)]
#[case::others_sit_at_it("enter", End::Leave)]
fn a_room_that_attached_to_the_team_of_its_home_asks_too(#[case] key: &str, #[case] end: End) {
    let mut model = empty(120, 40);
    (model.about.is_inside, model.about.team) = (false, Some(4711));
    assert_eq!(press(&mut model, "q"), []);
    let text = crate::tui::draw::tests::shown(&model, 120, 40);
    assert!(text.contains("The team runs in process 4711"), "{text}");
    assert!(press(&mut model, key).contains(&Effect::Quit(end)));
    let mut model = empty(120, 40);
    (model.about.is_inside, model.about.team) = (false, Some(4711));
    press(&mut model, "ctrl-c");
    assert!(press(&mut model, "ctrl-c").contains(&Effect::Quit(End::Leave)), "two keys stop nobody else's team");
}

#[rstest]
#[case::stop("s", Some(End::Stop))]
#[case::leave("l", Some(End::Leave))]
#[case::what_runs_goes_on("enter", Some(End::Leave))]
#[case::stay("esc", None)]
#[case::other("x", None)]
fn a_room_with_the_team_inside_asks_once(#[case] key: &str, #[case] end: Option<End>) {
    let mut model = furnished(120, 40);
    assert_eq!(press(&mut model, "q"), []);
    let effects = press(&mut model, key);
    let found = effects.iter().find_map(|it| if let Effect::Quit(end) = it { Some(*end) } else { None });
    assert_eq!(found, end);
}

#[test]
fn where_nothing_runs_enter_stops_the_team() {
    let mut model = empty(80, 24);
    press(&mut model, "q");
    assert!(press(&mut model, "enter").contains(&Effect::Quit(End::Stop)));
}

#[test]
fn two_interrupts_quit_whatever_is_open_and_one_does_not() {
    for open in ["i", "a", ":", "?", "/", "q", "4"] {
        let mut model = furnished(120, 40);
        press(&mut model, open);
        assert!(!press(&mut model, "ctrl-c").iter().any(|it| matches!(it, Effect::Quit(_))), "{open}");
        assert!(press(&mut model, "ctrl-c").contains(&Effect::Quit(End::Stop)), "{open}");
    }
    let mut model = furnished(120, 40);
    press(&mut model, "ctrl-c");
    passes(&mut model, 3_000);
    assert!(!press(&mut model, "ctrl-c").contains(&Effect::Quit(End::Stop)), "the first was too long ago");
}

#[test]
fn the_palette_finds_an_action_by_a_part_of_its_name_and_does_it() {
    let mut model = furnished(120, 40);
    press(&mut model, ":");
    write(&mut model, "chann");
    press(&mut model, "enter");
    assert_eq!((model.screen, model.layers.len()), (Screen::Channels, 0));
    press(&mut model, ":");
    write(&mut model, "inje");
    press(&mut model, "enter");
    assert_eq!(model.layers.last().unwrap().kind(), LayerKind::Inject);
}

#[rstest]
#[case::go("go", Action::Go)]
#[case::another_word("resume", Action::Go)]
#[case::unhold("unhold", Action::Go)]
#[case::approve("approve", Action::NeedsYou)]
#[case::begins("pause", Action::Pause)]
#[case::holds("alert", Action::Alerts)]
#[case::spaces("page down", Action::PageDown)]
fn a_name_that_begins_so_is_meant_first(#[case] words: &str, #[case] action: Action) {
    let mut model = furnished(120, 40);
    press(&mut model, ":");
    write(&mut model, words);
    match model.layers.last() {
        Some(crate::tui::layers::Layer::Palette(palette)) => {
            assert_eq!(palette.found(&model).first().map(|row| row.action), Some(action));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_name_that_nothing_has_is_told() {
    let mut model = furnished(120, 40);
    press(&mut model, ":");
    write(&mut model, "zzzz");
    let text = crate::tui::draw::tests::shown(&model, 120, 40);
    assert!(text.contains("no action is called so; ? shows all keys"), "{text}");
}

#[test]
fn the_help_is_paged_to_its_end_and_back() {
    let mut model = furnished(80, 24);
    press(&mut model, "?");
    let shown = |model: &Model| crate::tui::draw::tests::shown(model, 80, 24);
    let first = shown(&model);
    (0..12).for_each(|_| drop(press(&mut model, "pagedown")));
    let paged = shown(&model);
    press(&mut model, "end");
    assert_eq!(shown(&model), paged);
    assert!(paged.contains("in the welcome") && paged.contains("enter space begin"), "{paged}");
    press(&mut model, "g");
    assert_eq!(shown(&model), first);
}

#[rstest]
#[case::seen("acknowledge", Screen::Alerts)]
#[case::over("resolve-alert", Screen::Alerts)]
#[case::rest("pause-exp", Screen::Experiments)]
fn what_is_done_with_what_is_selected_is_not_done_unseen(#[case] name: &str, #[case] screen: Screen) {
    let mut model = measured(120, 40);
    press(&mut model, ":");
    write(&mut model, name);
    let effects = press(&mut model, "enter");
    assert!(!effects.iter().any(|it| matches!(it, Effect::Say(..))), "{effects:?}");
    assert_eq!(model.screen, screen, "first it is shown");
    assert!(model.toast.as_ref().unwrap().words.contains("look at what is selected first"), "{:?}", model.toast);
}

#[test]
fn an_alert_that_comes_above_does_not_take_the_key_that_was_meant_for_another() {
    let mut model = measured(120, 40);
    press(&mut model, "6");
    let before = crate::tui::screens::alerts::selected(&model).unwrap().id.clone();
    let worse = [("state", "triggered"), ("severity", "critical"), ("triggered_at", "2026-11-21T14:02:10Z")];
    document(&mut model, "alerts:a_worse_one", &worse);
    assert_ne!(model.store.alerts.all()[0].id, before, "it stands above");
    assert_eq!(crate::tui::screens::alerts::selected(&model).unwrap().id, before);
    press(&mut model, "1");
    press(&mut model, "6");
    assert_ne!(crate::tui::screens::alerts::selected(&model).unwrap().id, before, "whoever comes back looks anew");
}

#[test]
fn the_mouse_gives_the_focus_selects_and_scrolls() {
    use crossterm::event::{MouseButton, MouseEvent, MouseEventKind};
    let mut model = furnished(120, 40);
    for at in 0..80 {
        Speaker::new().chat(&mut model, &format!("message {at}"));
    }
    let (_, area) =
        crate::tui::screens::panes(&model, model.body()).into_iter().find(|it| it.0 == Pane::Experiments).unwrap();
    let mouse = |kind, column, row| Msg::Mouse(MouseEvent { kind, column, row, modifiers: event("x").modifiers });
    update(&mut model, mouse(MouseEventKind::Down(MouseButton::Left), area.x + 3, area.y + 2));
    assert_eq!(model.focused().unwrap().0, Pane::Experiments);
    assert_eq!(
        model.lists[&Pane::Experiments].selected,
        Some(Mark::Entry("exp_20261121_stars".to_owned())),
        "the second"
    );
    let (_, traffic) =
        crate::tui::screens::panes(&model, model.body()).into_iter().find(|it| it.0 == Pane::Traffic).unwrap();
    update(&mut model, mouse(MouseEventKind::ScrollUp, traffic.x + 3, traffic.y + 2));
    assert!(!model.lists[&Pane::Traffic].is_following(), "scrolling up holds it still");
}
