//! What is on the screen: pictures of it with their styles, every size, and hostile words.

mod hostile;
mod little;
mod machine;
mod modes;
mod notes;
mod numbers;
mod trace;

use std::fmt::Write as _;

use insta::assert_snapshot;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use rstest::rstest;

use super::draw;
use crate::tui::app::Model;
use crate::tui::app::tests::{empty, furnished, measured, press};

pub(crate) fn buffer(model: &Model, width: u16, height: u16) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, model)).unwrap();
    terminal.backend().buffer().clone()
}

/// What can be read on the screen.
pub(crate) fn shown(model: &Model, width: u16, height: u16) -> String {
    let buffer = buffer(model, width, height);
    let mut text = String::new();
    for y in 0..height {
        let mut row = String::new();
        let mut skip = 0;
        for x in 0..width {
            let symbol = buffer[(x, y)].symbol();
            if skip == 0 {
                row.push_str(symbol);
            }
            skip = unicode_width::UnicodeWidthStr::width(symbol).max(skip).saturating_sub(1);
        }
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text
}

/// What can be read, and below it a letter for the style of each cell, with what the letters stand for.
pub(super) fn picture(model: &Model, width: u16, height: u16) -> String {
    let buffer = buffer(model, width, height);
    let mut styles = Vec::new();
    let mut map = String::new();
    for y in 0..height {
        let mut row = String::new();
        for x in 0..width {
            let cell = &buffer[(x, y)];
            let style = (cell.fg, cell.bg, cell.modifier);
            let at = styles.iter().position(|it| *it == style).unwrap_or_else(|| {
                styles.push(style);
                styles.len() - 1
            });
            row.push(char::from(b'a' + u8::try_from(at).unwrap()));
        }
        map.push_str(row.trim_end_matches('a'));
        map.push('\n');
    }
    let mut legend = String::new();
    for (at, (fg, bg, modifier)) in styles.iter().enumerate() {
        writeln!(legend, "{} = {fg} on {bg} {modifier:?}", char::from(b'a' + u8::try_from(at).unwrap())).unwrap();
    }
    format!("{}\n{map}\n{legend}", shown(model, width, height))
}

/// The lines of a screen that hold these words.
pub(super) fn has(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "`{word}` is not in\n{text}");
    }
}

#[rstest]
#[case(80, 24)]
#[case(120, 40)]
#[case(200, 60)]
fn the_deck_shows_everything_at_a_glance(#[case] width: u16, #[case] height: u16) {
    let model = furnished(width, height);
    let text = shown(&model, width, height);
    has(&text, &["FULLSEND", "embedded", "guarded", "NEEDS YOU 2", "14:02:11", "i inject", "a needs you"]);
    has(&text, &["? help", "q quit"]);
    has(&text, &["Services", "● watcher", "○ discord", "◐ orchestrator", "think"]);
    has(&text, &["▸Traffic · all channels · live", "what if we scraped", "Needs you (2)", "Reasoning", "Alerts (1)"]);
    has(&text, &["Experiments (2)", "stars"]);
    if height >= 40 {
        has(
            &text,
            &["$0.42 of $5.00", "▲ 1", "Worklist", "stargazer campaign", "Learnings", "Event lists beat cold lists"],
        );
        has(&text, &["A person proposes a list source.", "→ dispatch_to_fullsend", "c3   41m dispatch_to_fullsend"]);
    }
    assert_snapshot!(format!("deck_{width}x{height}"), picture(&model, width, height));
}

#[rstest]
#[case(80, 24)]
#[case(120, 40)]
#[case(200, 60)]
fn channels_has_a_live_pane_for_each_channel(#[case] width: u16, #[case] height: u16) {
    let mut model = furnished(width, height);
    press(&mut model, "2");
    let text = shown(&model, width, height);
    has(&text, &["▸discord_raw", "/s", "live", "what if we scraped", "to_orchestrator", "2 Channels"]);
    if height >= 40 {
        for channel in crate::contracts::ChannelName::ALL {
            has(&text, &[channel.short()]);
        }
    }
    assert_snapshot!(format!("channels_{width}x{height}"), picture(&model, width, height));
}

#[test]
fn where_not_all_channels_fit_the_grid_goes_with_the_focus() {
    let mut model = furnished(80, 24);
    press(&mut model, "2");
    let last = crate::contracts::ChannelName::ALL.last().unwrap().short();
    assert!(!shown(&model, 80, 24).contains(&format!("▸{last}")));
    press(&mut model, "shift-tab");
    has(&shown(&model, 80, 24), &[&format!("▸{last}")]);
}

#[test]
fn a_screen_that_nothing_fills_yet_says_what_will() {
    for (key, words) in [
        ("3", "Decisions of the orchestrator"),
        ("4", "fullsend"),
        ("7", "builder"),
        ("8", "roundtable"),
        ("9", "Select a message"),
    ] {
        let mut model = empty(120, 40);
        press(&mut model, key);
        has(&shown(&model, 120, 40), &[words]);
    }
}

#[test]
fn a_terminal_that_is_too_small_is_told_so() {
    let text = shown(&furnished(59, 18), 59, 18);
    assert_eq!(text.trim(), "59x18 is too small; 60x18 is needed");
    has(&shown(&furnished(60, 18), 60, 18), &["FULLSEND", "Traffic"]);
}

/// The room on every screen, and with every layer.
fn places() -> Vec<Vec<&'static str>> {
    let screens = ["1", "1", "2", "3", "4", "5", "6", "7", "8", "9", "0"].map(|key| vec![key]);
    let layers = [
        vec!["i"],
        vec!["i", "tab"],
        vec!["a"],
        vec![":"],
        vec!["?"],
        vec!["/"],
        vec!["q"],
        vec!["up", "enter"],
        vec!["z"],
        vec!["T"],
        vec!["5", "e"],
        vec!["5", "h"],
        vec!["4", "m"],
        vec!["4", "x"],
        vec!["0", "b"],
    ];
    screens.into_iter().chain(layers).collect()
}

#[test]
fn every_screen_and_layer_is_drawn_in_every_size() {
    // Below the least size all places look the same.
    let tiny = (0..12).flat_map(|width| (0..12).map(move |height| (width, height)));
    let mut sizes: Vec<(u16, u16)> = tiny.chain([(20, 60), (59, 60), (200, 1), (200, 17), (0, 60)]).collect();
    for (at, keys) in places().into_iter().enumerate() {
        if at == 1 {
            let of = |width| [18, 19, 24, 28, 40, 60].map(|height| (width, height));
            sizes = [60, 61, 72, 80, 99, 100, 120, 160, 200].into_iter().flat_map(of).collect();
        }
        let mut model = measured(120, 40);
        for key in &keys {
            press(&mut model, key);
        }
        for (width, height) in &sizes {
            model.area = ratatui::layout::Rect::new(0, 0, *width, *height);
            let drawn = buffer(&model, *width, *height);
            assert_eq!((drawn.area.width, drawn.area.height), (*width, *height), "{keys:?}");
        }
    }
}

#[test]
fn plain_frames_have_no_signs_that_are_read_aloud() {
    let mut model = furnished(120, 40);
    model.about.is_plain = true;
    let text = shown(&model, 120, 40);
    assert!(!text.contains(['│', '┃', '━', '┏', '┌']), "{text}");
    has(&text, &["+ Services", "#"]);
}

#[test]
fn the_focus_is_shown_by_more_than_colour() {
    let mut model = furnished(120, 40);
    model.theme = crate::tui::theme::mono();
    let text = shown(&model, 120, 40);
    has(&text, &["┏▸Traffic", "┌ Services"]);
}

#[test]
fn help_lists_the_keys_of_this_place_first() {
    let mut model = furnished(120, 40);
    press(&mut model, "?");
    let text = shown(&model, 120, 40);
    has(&text, &["in a list", "enter            Show the message or the document"]);
}
