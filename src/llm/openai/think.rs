//! `<think>…</think>` at the beginning of an answer, in whatever pieces it comes.
//!
//! Must never take a tag for one that stands within the answer itself: only what begins the answer is reasoning.

use crate::contracts::messages::LlmPart;

const OPEN: &str = "<think>";
const CLOSE: &str = "</think>";

/// Tells reasoning from text.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    state: State,
    /// What could still become a tag.
    held: String,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Beginning,
    Thinking,
    /// Behind the tag that closes, where white space is nobody's.
    Closed,
    Text,
}

impl Splitter {
    /// Takes a piece, and hands on what it is known to be.
    pub(super) fn push(&mut self, piece: &str, out: &mut impl FnMut(LlmPart, &str)) {
        if self.state == State::Text {
            return out(LlmPart::Text, piece);
        }
        if self.state == State::Closed {
            let text = piece.trim_start();
            if !text.is_empty() {
                self.state = State::Text;
                out(LlmPart::Text, text);
            }
            return;
        }
        self.held.push_str(piece);
        if self.state == State::Beginning {
            let begun = self.held.trim_start();
            if let Some(rest) = begun.strip_prefix(OPEN) {
                self.held = rest.to_owned();
                self.state = State::Thinking;
            } else if OPEN.starts_with(begun) {
                return;
            } else {
                self.state = State::Text;
                return out(LlmPart::Text, &std::mem::take(&mut self.held));
            }
        }
        if let Some((thought, rest)) = self.held.split_once(CLOSE) {
            out(LlmPart::Reasoning, thought);
            let rest = rest.to_owned();
            self.held.clear();
            self.state = State::Closed;
            return self.push(&rest, out);
        }
        let keep = (1..CLOSE.len()).rev().find(|length| self.held.ends_with(&CLOSE[..*length])).unwrap_or(0);
        let rest = self.held.split_off(self.held.len() - keep);
        out(LlmPart::Reasoning, &std::mem::replace(&mut self.held, rest));
    }

    /// Hands on what is still held.
    pub(super) fn finish(&mut self, out: &mut impl FnMut(LlmPart, &str)) {
        let part = if self.state == State::Thinking { LlmPart::Reasoning } else { LlmPart::Text };
        out(part, &std::mem::take(&mut self.held));
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn split<'a>(pieces: impl Iterator<Item = &'a str>) -> (String, String) {
        let (mut text, mut thought) = (String::new(), String::new());
        let mut out = |part, piece: &str| {
            if part == LlmPart::Text { text.push_str(piece) } else { thought.push_str(piece) }
        };
        let mut splitter = Splitter::default();
        pieces.for_each(|piece| splitter.push(piece, &mut out));
        splitter.finish(&mut out);
        (thought, text)
    }

    #[rstest]
    #[case("<think>a < b</think>\n\n{\"x\":1}", "a < b", "{\"x\":1}")]
    #[case("\n <think>a</thin</think>b", "a</thin", "b")]
    #[case("{\"x\":\"<think>no</think>\"}", "", "{\"x\":\"<think>no</think>\"}")]
    #[case("<thinner>", "", "<thinner>")]
    #[case("<think>never ends </thi", "never ends </thi", "")]
    #[case("<thi", "", "<thi")]
    #[case("", "", "")]
    #[case("<think>é</think>ü", "é", "ü")]
    fn the_same_in_whatever_pieces(#[case] whole: &str, #[case] thought: &str, #[case] text: &str) {
        let expected = (thought.to_owned(), text.to_owned());
        assert_eq!(split(std::iter::once(whole)), expected);
        let chars: Vec<String> = whole.chars().map(String::from).collect();
        assert_eq!(split(chars.iter().map(String::as_str)), expected);
        for (at, _) in whole.char_indices() {
            assert_eq!(split([&whole[..at], &whole[at..]].into_iter()), expected, "cut at {at}");
        }
    }
}
