//! The screens about the machine, the tools and the debates.

use insta::assert_snapshot;
use rstest::rstest;

use super::{has, picture, shown};
use crate::tui::app::Model;
use crate::tui::app::tests::{empty, furnished, machine, press};

fn on(key: &str, width: u16, height: u16) -> Model {
    let mut model = furnished(width, height);
    machine(&mut model);
    press(&mut model, key);
    model
}

const ENGINE: &[&str] = &["▸Engine", "● live", "embedded (SQLite 3.50.4)", "5.0 MiB", "a kill loses nothing"];
const SERVICES: &[&str] =
    &["Services", "● watcher", "running", "0 restarts", "12 handled", "○ discord", "not in this version"];
const GROUPS: &[&str] = &["to_orchestrator", "orchestrator", "lag 3", "pending 2", "oldest 42s", "builder*", "2 wait"];
const LETTERS: &[&str] = &["Dead letters (1)", "the model was away", "dropped by mara"];
const BUDGETS: &[&str] = &["Budgets", "$0.42 of $5.00", "10%", "$0.10 reserved", "$1.20 of $1.00", "120%"];
const MODELS: &[&str] = &["Models", "▼ anthropic/opus", "5 calls", "$0.42 today", "5 failed in a row", "breaker"];
const WIRING: &[&str] = &["Wiring", "discord_raw", "discord*", "→ watcher"];
const LOG: &[&str] = &["Log", "live", "WARN", "a send is tried again", "not of ours"];

#[rstest]
#[case(120, 40)]
#[case(200, 60)]
fn system_shows_how_the_machine_is(#[case] width: u16, #[case] height: u16) {
    let model = on("0", width, height);
    let text = shown(&model, width, height);
    for words in [ENGINE, SERVICES, GROUPS, LETTERS, BUDGETS, MODELS, WIRING, LOG] {
        // In two columns the ends of some lines are cut.
        has(&text, if width == 200 { words } else { &words[..2] });
    }
    has(&text, &["r replay", "d drop", "b budget"]);
    assert_snapshot!(format!("system_{width}x{height}"), picture(&model, width, height));
}

#[test]
fn where_there_is_little_room_system_goes_two_panes_at_a_time() {
    let mut model = on("0", 80, 24);
    let pages = [[ENGINE, SERVICES], [GROUPS, LETTERS], [BUDGETS, MODELS], [WIRING, LOG]];
    for (at, [above, below]) in pages.into_iter().enumerate() {
        let text = shown(&model, 80, 24);
        let cut = |words: &'static [&'static str]| -> Vec<&'static str> {
            words
                .iter()
                .map(|it| it.trim_start_matches('▸'))
                .filter(|it| it.len() < 30 && !it.contains("breaker"))
                .collect()
        };
        has(&text, &cut(above));
        has(&text, &cut(below));
        assert_snapshot!(format!("system_80x24_{at}"), picture(&model, 80, 24));
        press(&mut model, "tab");
        if at < 3 {
            has(&shown(&model, 80, 24), &["/8 tab "]);
        }
        press(&mut model, "tab");
    }
    has(&shown(&model, 80, 24), &["▸Engine"]);
}

#[rstest]
#[case(80, 24)]
#[case(120, 40)]
#[case(200, 60)]
fn builds_shows_stages_and_the_registry(#[case] width: u16, #[case] height: u16) {
    let model = on("7", width, height);
    let text = shown(&model, width, height);
    has(&text, &["The service `builder` is not in this version", "○ forum_member_finder", "asked 14:01:"]);
    has(&text, &["→ waits", "exp_forum waits for it", "● mailer", "begun 14:01:", "built 14:01:"]);
    has(&text, &["▼ scraper", "failed 14:01:", "the smoke test failed"]);
    has(&text, &["Tools", "v2", "active", "sends mail", "exp_forum, exp_two", "▼ old", "broken"]);
    assert_snapshot!(format!("builds_{width}x{height}"), picture(&model, width, height));
}

#[rstest]
#[case(80, 24)]
#[case(120, 40)]
#[case(200, 60)]
fn roundtable_shows_the_debate_and_what_came_of_it(#[case] width: u16, #[case] height: u16) {
    let mut model = on("8", width, height);
    let text = shown(&model, width, height);
    has(&text, &["The service `roundtable` is not in this", "waits  Should we answer", "Nothing was said yet."]);
    has(&text, &["n new topic", "nothing came of it yet"]);
    press(&mut model, "down");
    let text = shown(&model, width, height);
    has(&text, &["concluded  What else could reach", "three campaigns by mail", "known: CTOs answer"]);
    has(&text, &["What came of it", "3 rounds", "1. Answer ten questions in forums"]);
    if height >= 40 {
        has(&text, &["--- Round 1 ---", "ARTIST: go where they ask", "2. Build a forum member finder"]);
    }
    assert_snapshot!(format!("roundtable_{width}x{height}"), picture(&model, width, height));
}

#[rstest]
#[case("7", &["The service `builder` is not in this version", "there are no tools yet"])]
#[case("8", &["The service `roundtable` is not in this", "no debate yet"])]
#[case("0", &["everything could be handled", "the budgets were not read yet", "no service has read"])]
fn what_nothing_fills_yet_says_so(#[case] key: &str, #[case] words: &[&str]) {
    let mut model = empty(120, 40);
    press(&mut model, key);
    has(&shown(&model, 120, 40), words);
}
