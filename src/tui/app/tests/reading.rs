//! Following, holding still, filtering, tracing.

use pretty_assertions::assert_eq;

use super::*;
use crate::contracts::ChannelName;
use crate::tui::app::{Kept, Model};
use crate::tui::draw::tests::shown;
use crate::tui::keys::Keymap;
use crate::tui::screens::{Pane, Screen};
use crate::tui::store::{Caps, EngineStatus, Item};
use crate::tui::theme::Role;

fn talk(model: &mut Model, speaker: &mut Speaker, from: usize, to: usize) {
    for at in from..to {
        speaker.chat(model, &format!("message number {at:04}"));
    }
}

#[test]
fn what_is_held_still_does_not_move_whatever_comes() {
    let mut model = empty(80, 24);
    let mut speaker = Speaker::new();
    talk(&mut model, &mut speaker, 0, 50);
    assert!(shown(&model, 80, 24).contains("message number 0049"), "it follows");
    press(&mut model, "up");
    press(&mut model, "up");
    let lines = |model: &Model| -> Vec<String> {
        let text = shown(model, 80, 24);
        text.lines().filter(|line| line.contains("message number")).map(str::to_owned).collect()
    };
    let before = lines(&model);
    talk(&mut model, &mut speaker, 50, 87);
    assert_eq!(lines(&model), before);
    assert!(shown(&model, 80, 24).contains("paused +37"), "{}", shown(&model, 80, 24));
    press(&mut model, "end");
    let after = shown(&model, 80, 24);
    assert!(after.contains("message number 0086") && after.contains("live"), "{after}");
}

#[test]
fn space_holds_still_and_lets_go() {
    let mut model = empty(80, 24);
    let mut speaker = Speaker::new();
    talk(&mut model, &mut speaker, 0, 40);
    press(&mut model, "space");
    talk(&mut model, &mut speaker, 40, 45);
    let held = shown(&model, 80, 24);
    assert!(held.contains("paused +5") && !held.contains("0044"), "{held}");
    press(&mut model, "space");
    assert!(shown(&model, 80, 24).contains("0044"));
}

#[test]
fn trimming_does_not_move_what_is_held_still_until_it_is_gone_itself() {
    let mut model = empty(80, 24);
    model.store = crate::tui::store::Store::new(Caps { lines: 100, bytes: 8 << 20 });
    let mut speaker = Speaker::new();
    talk(&mut model, &mut speaker, 0, 100);
    press(&mut model, "pageup");
    let selected = model.lists[&Pane::Traffic].selected.clone();
    talk(&mut model, &mut speaker, 100, 140);
    assert_eq!(model.lists[&Pane::Traffic].selected, selected);
    assert!(shown(&model, 80, 24).contains("number 0090"), "{}", shown(&model, 80, 24));
    talk(&mut model, &mut speaker, 140, 400);
    let text = shown(&model, 80, 24);
    assert!(text.contains("number 0300") && text.contains("dropped 300"), "the oldest that is left: {text}");
}

#[test]
fn a_filter_is_applied_as_it_is_typed_and_a_mistake_is_told_inline() {
    let mut model = furnished(120, 40);
    press(&mut model, "/");
    write(&mut model, "source:watcher");
    let text = shown(&model, 120, 40);
    assert!(text.contains("1 of 3 messages match"), "{text}");
    write(&mut model, " priority:>=hgih");
    let text = shown(&model, 120, 40);
    assert!(text.contains("filter, column") && text.contains("expected"), "{text}");
    assert_eq!(model.store.all.shown().len(), 1, "what held before holds on");
    press(&mut model, "esc");
    assert_eq!((model.filter.as_str(), model.store.all.shown().len()), ("", 3));
}

#[test]
fn a_filter_stays_after_enter_also_for_what_comes_and_esc_takes_it_away() {
    let mut model = empty(120, 40);
    let mut speaker = Speaker::new();
    press(&mut model, "/");
    write(&mut model, "number -0003");
    press(&mut model, "enter");
    talk(&mut model, &mut speaker, 0, 10);
    speaker.chat(&mut model, "something else");
    assert_eq!(model.store.all.shown().len(), 9);
    assert_eq!(model.kept().filter, "number -0003");
    press(&mut model, "esc");
    assert_eq!(model.store.all.shown().len(), 11);
}

#[test]
fn the_newest_line_is_marked_while_it_follows_and_the_first_step_up_takes_hold_of_it() {
    let mut model = empty(80, 24);
    let mut speaker = Speaker::new();
    talk(&mut model, &mut speaker, 0, 3);
    let marked = |model: &Model, role| {
        let buffer = crate::tui::draw::tests::buffer(model, 80, 24);
        let ground = model.theme.style(role).bg.unwrap();
        let row = (0..24).find(|y| buffer[(60, *y)].bg == ground)?;
        let words: String = (0..80).map(|x| buffer[(x, row)].symbol()).collect();
        Some(words.split("number ").nth(1)?.get(..4)?.to_owned())
    };
    assert_eq!(marked(&model, Role::SelectionBack).as_deref(), Some("0002"));
    press(&mut model, "up");
    assert_eq!(marked(&model, Role::Selection).as_deref(), Some("0002"));
    press(&mut model, "up");
    assert_eq!(marked(&model, Role::Selection).as_deref(), Some("0001"));
}

#[test]
fn what_came_since_the_person_stopped_following_is_marked() {
    let mut model = empty(80, 24);
    let mut speaker = Speaker::new();
    talk(&mut model, &mut speaker, 0, 3);
    press(&mut model, "space");
    talk(&mut model, &mut speaker, 3, 5);
    let text = shown(&model, 80, 24);
    let is_new = |words: &str| {
        let line = text.lines().find(|line| line.contains(words)).unwrap();
        line.split("discord_raw").next().unwrap().contains('+')
    };
    assert!(!is_new("number 0002") && is_new("number 0003") && is_new("number 0004"), "{text}");
    press(&mut model, "end");
    assert!(!shown(&model, 80, 24).contains('+'), "it follows again");
}

#[test]
fn a_filter_holds_while_the_list_is_held_still() {
    let mut model = empty(80, 24);
    let mut speaker = Speaker::new();
    talk(&mut model, &mut speaker, 0, 60);
    press(&mut model, "space");
    press(&mut model, "/");
    write(&mut model, "0001");
    press(&mut model, "enter");
    let text = shown(&model, 80, 24);
    assert!(text.contains("number 0001") && !text.contains("number 0002"), "{text}");
}

#[test]
fn the_chain_of_a_message_is_one_key_away() {
    let mut model = empty(120, 40);
    let mut speaker = Speaker::new();
    speaker.chat(&mut model, "the idea");
    speaker.chat(&mut model, "something else");
    press(&mut model, "up");
    press(&mut model, "up");
    press(&mut model, "t");
    assert_eq!(model.screen, Screen::Trace);
    let text = shown(&model, 120, 40);
    assert!(text.contains("the idea") && !text.contains("something else"), "{text}");
}

#[test]
fn enter_zooms_a_channel_then_opens_its_message_and_esc_comes_back() {
    let mut model = empty(120, 40);
    Speaker::new().chat(&mut model, "the idea");
    press(&mut model, "2");
    press(&mut model, "enter");
    assert!(model.is_zoomed);
    assert_eq!(crate::tui::screens::panes(&model, model.body()).len(), 1);
    press(&mut model, "enter");
    let text = shown(&model, 120, 40);
    assert!(text.contains("\"content\": \"the idea\""), "{text}");
    press(&mut model, "esc");
    press(&mut model, "esc");
    assert!(!model.is_zoomed && model.layers.is_empty());
}

#[test]
fn each_value_is_folded_for_itself_and_says_how_much_is_in_it() {
    let mut model = furnished(120, 40);
    press(&mut model, "up");
    press(&mut model, "up");
    press(&mut model, "enter");
    let all = shown(&model, 120, 40);
    assert!(all.contains("\"username\": \"mara\""), "{all}");
    press(&mut model, "F");
    let text = shown(&model, 120, 40);
    assert!(text.contains("\"original_message\": { … 2 }") && !text.contains("\"username\""), "{text}");
    press(&mut model, "F");
    assert!(shown(&model, 120, 40).contains("\"username\""));
    // Down to a value within the nested one: what holds it is folded.
    let line = all.lines().position(|line| line.contains("\"username\"")).unwrap();
    let first = all.lines().position(|line| line.contains("channel   ")).unwrap();
    (first..line).for_each(|_| drop(press(&mut model, "down")));
    press(&mut model, "f");
    let text = shown(&model, 120, 40);
    assert!(text.contains("\"original_message\": { … 2 }") && text.contains("\"reason\": \"new idea"), "{text}");
    press(&mut model, "f");
    assert!(shown(&model, 120, 40).contains("\"username\""), "the line is still under the cursor");
}

#[test]
fn the_value_of_a_line_is_copied_or_all_of_it() {
    use crate::tui::app::Effect;
    let mut model = empty(120, 40);
    Speaker::new().chat(&mut model, "line one\nline two");
    press(&mut model, "enter");
    let text = shown(&model, 120, 40);
    let line = text.lines().position(|line| line.contains("\"content\"")).unwrap();
    let first = text.lines().position(|line| line.contains("channel   ")).unwrap();
    (first..line).for_each(|_| drop(press(&mut model, "down")));
    assert_eq!(press(&mut model, "y"), [Effect::Copy("line one\nline two".to_owned())]);
    match &press(&mut model, "Y")[..] {
        [Effect::Copy(all)] => assert!(all.starts_with('{') && all.contains("\"username\":\"mara\""), "{all}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_document_that_changes_while_it_is_shown_is_shown_as_it_is() {
    let mut model = furnished(120, 40);
    let key = crate::bus::Key::new("experiments:exp_20261121_stars");
    let detail = crate::tui::layers::detail::Detail::of(&model, crate::tui::screens::content::Target::Document(key));
    model.layers.push(crate::tui::layers::Layer::Detail(detail));
    assert!(shown(&model, 120, 40).contains("\"state\": \"running\""));
    document(&mut model, "experiments:exp_20260301_x", &[("state", "draft")]);
    document(&mut model, "experiments:exp_20261121_stars", &[("state", "archived"), ("spec", "{\"steps\":[1,2]}")]);
    let text = shown(&model, 120, 40);
    assert!(text.contains("\"state\": \"archived\"") && text.contains("\"steps\": ["), "{text}");
}

#[test]
fn a_message_of_a_megabyte_is_shown_line_by_line() {
    let mut model = empty(120, 40);
    Speaker::new().chat(&mut model, &"x".repeat(1 << 20));
    Speaker::new().chat(&mut model, &"long words ".repeat(20_000));
    press(&mut model, "enter");
    press(&mut model, "pagedown");
    let text = shown(&model, 120, 40);
    assert!(text.contains("long words long words") && text.contains("line "), "{text}");
    press(&mut model, "r");
    press(&mut model, "pageup");
    assert!(shown(&model, 120, 40).contains("discord_raw"));
}

#[test]
fn what_a_filter_found_is_marked_where_it_is() {
    let mut model = empty(120, 40);
    Speaker::new().chat(&mut model, "Stargazers gaze at stars");
    press(&mut model, "/");
    write(&mut model, "star /g.z/");
    press(&mut model, "enter");
    let marked: String =
        crate::tui::draw::text::message(model.store.all.shown().get(0).unwrap().row().unwrap(), &model, 120, true)
            .into_iter()
            .filter(|piece| piece.role == crate::tui::theme::Role::Match)
            .map(|piece| piece.words)
            .collect::<Vec<_>>()
            .join("|");
    assert_eq!(marked, "Star|gaz|gaz|star");
}

#[test]
fn the_welcome_is_shown_once_for_each_version() {
    let model = Model::new(about(), Keymap::default(), themes(), Kept::default(), Caps::DEFAULT);
    assert_eq!(model.layers.len(), 1);
    let mut model = model;
    press(&mut model, "enter");
    let kept = model.kept();
    assert_eq!(Model::new(about(), Keymap::default(), themes(), kept, Caps::DEFAULT).layers.len(), 0);
}

#[test]
fn a_bus_that_is_away_is_said_with_the_time_and_ends_with_a_gap() {
    let mut model = empty(120, 40);
    apply(&mut model, Item::Engine(EngineStatus::Away { since: now(), reason: "connection refused".to_owned() }));
    passes(&mut model, 3_000);
    assert!(shown(&model, 120, 40).contains("reconnecting 3s"));
    apply(&mut model, Item::Engine(EngineStatus::Live));
    apply(&mut model, Item::Gap("the bus was away".to_owned()));
    let text = shown(&model, 120, 40);
    assert!(text.contains("╌╌ the bus was away ╌╌") && !text.contains("reconnecting"), "{text}");
}

/// What is asked to be read back.
fn wanted(effects: &[crate::tui::app::Effect]) -> Option<&crate::tui::store::ReadBack> {
    effects
        .iter()
        .find_map(|it| if let crate::tui::app::Effect::ReadBack(wanted) = it { Some(&**wanted) } else { None })
}

/// Older messages for whoever asked.
fn older(speaker: &mut Speaker, wanted: &crate::tui::store::ReadBack, count: usize) -> Item {
    use crate::tui::store::Found;
    let mut rows: Vec<_> = (0..count)
        .map(|at| {
            speaker.row(
                crate::contracts::ChannelName::DiscordRaw,
                "discord",
                &serde_json::json!({ "content": format!("older {at}") }),
            )
        })
        .map(std::sync::Arc::new)
        .collect();
    rows.reverse();
    let reached = rows.last().and_then(|row| row.at());
    let found = Found { rows, reached, is_end: true, is_done: true, ..Found::default() };
    Item::Found { source: wanted.source, serial: wanted.serial, found: Box::new(found) }
}

#[test]
fn going_up_past_the_oldest_line_reads_on_and_nothing_moves_under_the_reader() {
    let mut model = empty(80, 24);
    let (mut past, mut speaker) = (Speaker::new(), Speaker::new());
    talk(&mut model, &mut speaker, 0, 30);
    assert_eq!(press(&mut model, "up"), [], "there is more to see");
    let effects = press(&mut model, "home");
    let wanted = wanted(&effects).expect("the past is asked for").clone();
    let before = shown(&model, 80, 24);
    assert!(before.contains("reading …") && before.contains("message number 0000"), "{before}");
    assert_eq!(press(&mut model, "pageup"), [], "once");
    let line = model.lists[&Pane::Traffic].clone();
    apply(&mut model, older(&mut past, &wanted, 40));
    assert_eq!(model.lists[&Pane::Traffic], line);
    assert!(shown(&model, 80, 24).contains("message number 0000"), "what was read stays where it was");
    press(&mut model, "pageup");
    let text = shown(&model, 80, 24);
    assert!(text.contains("older 39") && text.contains("from the beginning"), "{text}");
    press(&mut model, "home");
    assert!(shown(&model, 80, 24).contains("older 0"));
    let effects = press(&mut model, "end");
    assert_eq!(effects, [crate::tui::app::Effect::StopReading(crate::tui::store::Source::All)]);
    let text = shown(&model, 80, 24);
    assert!(text.contains("live") && !text.contains("beginning"), "{text}");
}

#[test]
fn where_there_is_no_past_the_first_line_says_so() {
    let mut model = empty(80, 24);
    let mut speaker = Speaker::new();
    talk(&mut model, &mut speaker, 0, 2);
    let effects = press(&mut model, "up");
    let wanted = wanted(&effects).unwrap().clone();
    apply(&mut model, older(&mut Speaker::new(), &wanted, 0));
    let text = shown(&model, 80, 24);
    assert!(text.contains("╌╌ the beginning ╌╌"), "{text}");
}

#[test]
fn a_filter_searches_the_past_too_and_another_filter_ends_that_search() {
    let mut model = empty(120, 40);
    let mut speaker = Speaker::new();
    talk(&mut model, &mut speaker, 0, 3);
    press(&mut model, "/");
    let effects = write(&mut model, "o");
    let first = wanted(&effects).unwrap().clone();
    assert_eq!((first.filter.text(), first.source), ("o", crate::tui::store::Source::All));
    let effects = write(&mut model, "l");
    assert!(matches!(effects[..], [crate::tui::app::Effect::StopReading(_), crate::tui::app::Effect::ReadBack(_)]));
    let second = wanted(&effects).unwrap().clone();
    apply(&mut model, older(&mut Speaker::new(), &first, 9));
    let text = shown(&model, 120, 40);
    assert!(text.contains("searching back …") && !text.contains("older 1"), "{text}");
    apply(&mut model, older(&mut Speaker::new(), &second, 31));
    press(&mut model, "enter");
    let text = shown(&model, 120, 40);
    assert!(text.contains("31 more in the past") && text.contains("older 30"), "{text}");
    press(&mut model, "esc");
    let text = shown(&model, 120, 40);
    assert!(text.contains("message number 0002") && !text.contains("older"), "{text}");
}

#[test]
fn an_answer_to_the_operator_is_told_and_what_was_said_before_is_not() {
    let mut model = empty(80, 24);
    let mut speaker = Speaker::new();
    let answer = |text: &str| serde_json::json!({ "type": "orchestrator_response", "content": text });
    speaker.say(&mut model, ChannelName::FromOrchestrator, "orchestrator", &answer("yesterday's words"));
    assert_eq!(model.toast, None, "history is no news");
    apply(&mut model, Item::Filled);
    speaker.say(&mut model, ChannelName::FromOrchestrator, "orchestrator", &answer("What do we sell\u{1b}[2J?"));
    let last = shown(&model, 80, 24).lines().last().unwrap().to_owned();
    assert!(last.contains("orchestrator: What do we sell?"), "{last}");
}

#[test]
fn the_first_column_of_a_screen_is_as_wide_as_it_was_made_also_after_a_restart() {
    let mut model = empty(120, 40);
    let width = |model: &Model| {
        let panes = crate::tui::screens::panes(model, model.body());
        assert_eq!(panes.iter().map(|(_, at)| at.area()).sum::<u32>(), model.body().area(), "{panes:?}");
        panes.iter().find(|(pane, _)| *pane == Pane::Services).unwrap().1.width
    };
    let before = width(&model);
    (0..3).for_each(|_| drop(press(&mut model, ")")));
    assert_eq!(width(&model), before + 6);
    let mut again = Model::new(about(), Keymap::default(), themes(), model.kept(), Caps::DEFAULT);
    crate::tui::app::update(&mut again, crate::tui::app::Msg::Resize(120, 40));
    assert_eq!(width(&again), before + 6);
    // However often it is pressed, no pane is squeezed, and the way back is as long as the way there.
    (0..200).for_each(|_| drop(press(&mut model, "(")));
    assert_eq!(width(&model), 20);
    assert!(model.toast.as_ref().unwrap().words.contains("no more room"), "{:?}", model.toast);
    press(&mut model, ")");
    assert_eq!(width(&model), 21);
    crate::tui::app::update(&mut model, crate::tui::app::Msg::Resize(60, 18));
    width(&model);
}
