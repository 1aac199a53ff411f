//! Hostile words: what leaves for the terminal holds no sequence that is not ours.

use std::sync::Arc;

use ratatui::backend::CrosstermBackend;
use ratatui::layout::Rect;
use ratatui::{Terminal, TerminalOptions, Viewport};
use rstest::rstest;
use serde_json::json;

use super::draw;
use crate::bus::{Entry, EntryId};
use crate::contracts::ChannelName;
use crate::tui::app::tests::{Speaker, apply, document, empty, need, press};
use crate::tui::store::{Item, Row};

/// What a terminal understands of what was written.
#[derive(Default)]
struct Understood {
    printed: String,
    foreign: Vec<String>,
}

impl vte::Perform for Understood {
    fn print(&mut self, c: char) {
        self.printed.push(c);
    }
    fn execute(&mut self, byte: u8) {
        self.foreign.push(format!("control {byte:#x}"));
    }
    fn hook(&mut self, _: &vte::Params, _: &[u8], _: bool, action: char) {
        self.foreign.push(format!("DCS {action}"));
    }
    fn osc_dispatch(&mut self, params: &[&[u8]], _: bool) {
        self.foreign.push(format!("OSC {params:?}"));
    }
    fn csi_dispatch(&mut self, params: &vte::Params, intermediates: &[u8], _: bool, action: char) {
        // Styles, places, and showing the cursor are ours; we set nothing else while we draw.
        let is_ours = match action {
            'm' | 'H' => intermediates.is_empty(),
            'l' | 'h' => intermediates == b"?" && params.iter().all(|it| it == [25]),
            _ => false,
        };
        if !is_ours {
            self.foreign.push(format!("CSI {action} {params:?}"));
        }
    }
    fn esc_dispatch(&mut self, _: &[u8], _: bool, byte: u8) {
        self.foreign.push(format!("ESC {byte:#x}"));
    }
}

fn written(model: &crate::tui::app::Model, width: u16, height: u16) -> Vec<u8> {
    let mut bytes = Vec::new();
    let options = TerminalOptions { viewport: Viewport::Fixed(Rect::new(0, 0, width, height)) };
    let mut terminal = Terminal::with_options(CrosstermBackend::new(&mut bytes), options).unwrap();
    terminal.draw(|frame| draw(frame, model)).unwrap();
    drop(terminal);
    bytes
}

/// Fails where what leaves for the terminal holds a sequence that is not ours, or a character that hides others.
pub(super) fn only_ours(model: &crate::tui::app::Model, width: u16, height: u16) {
    let mut understood = Understood::default();
    vte::Parser::new().advance(&mut understood, &written(model, width, height));
    let place = (model.screen, model.layers.last().map(crate::tui::layers::Layer::kind));
    assert_eq!(understood.foreign, Vec::<String>::new(), "{place:?}");
    assert!(understood.printed.contains("FULLSEND"));
    let hidden: String = understood.printed.chars().filter(|c| HIDDEN.contains(c)).collect();
    assert_eq!(hidden, "", "{place:?}");
}

const HIDDEN: [char; 9] =
    ['\u{202e}', '\u{2066}', '\u{200b}', '\u{200d}', '\u{feff}', '\u{e0041}', '\u{9b}', '\u{9d}', '\u{90}'];

#[rstest]
#[case::clear_the_screen("a\u{1b}[2Jb")]
#[case::clipboard("a\u{1b}]52;c;aGk=\u{7}b")]
#[case::link("\u{1b}]8;;https://evil.example\u{1b}\\bank\u{1b}]8;;\u{1b}\\")]
#[case::title("a\u{1b}]0;owned\u{7}b")]
#[case::device("a\u{1b}Pq#0\u{1b}\\b")]
#[case::eight_bit("a\u{9b}2Jb\u{9d}0;t\u{9c}c\u{90}q\u{9c}d")]
#[case::answer_back("a\u{1b}[6n\u{5}b")]
#[case::directions("a\u{202e}b\u{2066}c")]
#[case::invisible("a\u{200b}b\u{200d}c\u{feff}d\u{e0041}e")]
#[case::wide_and_combining("世界 👩‍👩‍👧‍👦 e\u{301}\u{301}\u{301}\u{301}")]
#[case::controls("a\0b\tc\rd\u{8}e\u{7f}f\u{c}g")]
#[case::lines("a\nb\r\nc\u{2028}d\u{85}e")]
#[case::unterminated("a\u{1b}[31;1")]
fn only_our_own_sequences_leave(#[case] words: &str) {
    for (width, height) in [(80, 24), (120, 40)] {
        let mut model = empty(width, height);
        let mut speaker = Speaker::new();
        speaker.chat(&mut model, words);
        let said =
            json!({ "type": "llm_delta", "call_id": words, "source": words, "part": "reasoning", "text": words });
        speaker.notice(&mut model, ChannelName::LlmCalls, "orchestrator", &said);
        let beat = json!({ "type": "heartbeat", "service": words, "instance": words, "handled": 1, "failed": 0, "holding": 0 });
        speaker.notice(&mut model, ChannelName::Health, "supervisor", &beat);
        let broken = Entry::new(ChannelName::Control, EntryId { ms: 1, seq: 0 }, words.to_owned(), words.to_owned());
        apply(&mut model, Item::Message(Arc::new(Row::stored(broken))));
        let id: String = words.chars().filter(|c| !c.is_control()).take(100).collect();
        document(&mut model, &format!("experiments:{id}"), &[("state", "ready"), ("hypothesis", words)]);
        document(&mut model, &format!("alerts:{id}"), &[("severity", words), ("message", words)]);
        document(&mut model, "notes:worklist", &[("text", words)]);
        document(&mut model, "fullsend:hold", &[("by", words), ("reason", words)]);
        document(&mut model, "decisions:d", &[("at", "2026-11-21T14:00:00Z"), ("reasoning", words), ("action", words)]);
        need(&mut model, "apr_1", words, 5);
        crate::tui::app::tests::text(&mut model, "fullsend:status", "paused");
        for keys in [
            vec![],
            vec!["2"],
            vec!["3"],
            vec!["4"],
            vec!["6"],
            vec!["0"],
            vec!["a"],
            vec!["up", "enter"],
            vec!["up", "enter", "r"],
        ] {
            model.layers.clear();
            model.screen = crate::tui::screens::Screen::Deck;
            for key in &keys {
                press(&mut model, key);
            }
            only_ours(&model, width, height);
        }
    }
}

#[test]
fn a_line_of_a_megabyte_is_one_line() {
    let mut model = empty(80, 24);
    let words = "\u{1b}[31mx\u{202e} ".repeat(100_000);
    Speaker::new().chat(&mut model, &words);
    let mut understood = Understood::default();
    vte::Parser::new().advance(&mut understood, &written(&model, 80, 24));
    assert_eq!(understood.foreign, Vec::<String>::new());
}
