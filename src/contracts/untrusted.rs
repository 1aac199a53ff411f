//! Text from outside: chat, model output, tool output, web pages.
//!
//! Owns the one way in which such text becomes something that can be drawn, printed or logged. It is kept raw, and made harmless
//! each time it is shown. Must never give the raw text a way to a terminal by itself: there is no `Display`.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthChar;

/// Most characters of one line that are shown where nobody asked for less; longer lines end in `…`.
pub const LINE_LIMIT: usize = 4_096;

/// Most combining marks on one base; more would run over the neighbouring lines.
const MARKS: usize = 8;

/// What a tab is shown as.
const TAB: &str = "    ";

/// Text from outside, raw. Only a sanitised form can be shown.
#[derive(Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Untrusted(String);

impl Untrusted {
    /// Text from bytes that need not be UTF-8; what is none becomes `�`, and the eight-bit control bytes stay what they are.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut text = String::with_capacity(bytes.len());
        for chunk in bytes.utf8_chunks() {
            text.push_str(chunk.valid());
            match chunk.invalid() {
                [] => {}
                [byte @ 0x80..=0x9f] => text.push(char::from(*byte)),
                _ => text.push(char::REPLACEMENT_CHARACTER),
            }
        }
        Self(text)
    }

    /// The raw text: to store, to compare, to quote as data. Never to show.
    pub fn raw(&self) -> &str {
        &self.0
    }

    /// Harmless, on one line of at most `limit` characters; see [`sanitize_line`].
    pub fn line(&self, limit: usize) -> String {
        sanitize_line(&self.0, limit)
    }

    /// Harmless, on as many lines as it has; see [`sanitize`].
    pub fn sanitized(&self) -> String {
        sanitize(&self.0, LINE_LIMIT)
    }
}

impl From<String> for Untrusted {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Untrusted {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Untrusted({:?})", self.sanitized())
    }
}

/// Makes text harmless to show on several lines of at most `limit` characters each.
///
/// Escape sequences go as a whole, eight-bit ones too; one without an end goes to the end of its line. Other control characters
/// become visible signs (`␀`, `␡`), tabs spaces, CR LF and the Unicode line ends a newline. Characters that reorder or hide text go:
/// directions, tags, zero-width characters, variation selectors. The result has no control character but newline, and sanitising it
/// again changes nothing.
pub fn sanitize(text: &str, limit: usize) -> String {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\n')) {
        return cap_lines(text.to_owned(), limit);
    }
    let mut screen = Screen::default();
    let mut parser = vte::Parser::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\r' if chars.peek() == Some(&'\n') => {}
            '\n' | '\u{85}' | '\u{2028}' | '\u{2029}' => {
                parser = vte::Parser::new();
                screen.newline();
            }
            // An eight-bit control is the seven-bit one with ESC before it; vte knows only the latter in UTF-8.
            '\u{80}'..='\u{9f}' => parser.advance(&mut screen, &[0x1b, c as u8 - 0x40]),
            _ if c.is_ascii() => parser.advance(&mut screen, &[c as u8]),
            // vte ends a device control string at the byte 0x9C, also within a character: it sees a stand-in without that byte.
            _ => {
                screen.next = Some(c);
                parser.advance(&mut screen, "\u{fffd}".as_bytes());
                screen.next = None;
            }
        }
    }
    cap_lines(screen.out, limit)
}

/// Makes text harmless to show on one line of at most `limit` characters: as [`sanitize`], and a newline is shown as `⏎`.
/// Line ends at the end of the text are not shown.
pub fn sanitize_line(text: &str, limit: usize) -> String {
    let lines = sanitize(text, usize::MAX);
    cap_lines(lines.trim_end_matches('\n').replace('\n', "⏎"), limit)
}

/// What the parser's output becomes.
#[derive(Default)]
struct Screen {
    out: String,
    /// The character that the parser is shown a stand-in of.
    next: Option<char>,
    /// Combining marks on the last base; none where a line begins.
    marks: Option<usize>,
}

impl Screen {
    fn newline(&mut self) {
        self.out.push('\n');
        self.marks = None;
    }

    fn base(&mut self, c: char) {
        self.out.push(c);
        self.marks = Some(0);
    }
}

impl vte::Perform for Screen {
    fn print(&mut self, c: char) {
        let c = self.next.unwrap_or(c);
        match c {
            '\x7f' => self.base('␡'),
            _ if is_hidden(c) => {}
            _ if c.width() == Some(0) => {
                // A mark without a base, or one too many, is dropped.
                if let Some(marks) = self.marks.filter(|marks| *marks < MARKS) {
                    self.out.push(c);
                    self.marks = Some(marks + 1);
                }
            }
            _ => self.base(c),
        }
    }

    fn execute(&mut self, byte: u8) {
        match byte {
            b'\t' => {
                self.out.push_str(TAB);
                self.marks = Some(0);
            }
            0x00..=0x1f => self.base(char::from_u32(0x2400 + u32::from(byte)).unwrap_or(char::REPLACEMENT_CHARACTER)),
            _ => {}
        }
    }
}

/// Whether a reader does not see this character: a control, or one that hides or reorders others.
pub fn is_unseen(c: char) -> bool {
    c.is_control() || is_hidden(c)
}

/// Characters that are not seen themselves, and change how others are seen or hide text from the reader.
fn is_hidden(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Cuts each line to `limit` characters, the last of them `…`, between characters as people see them.
fn cap_lines(text: String, limit: usize) -> String {
    if text.len() <= limit || text.split('\n').all(|line| line.chars().count() <= limit) {
        return text;
    }
    let cut = |line: &str| {
        if line.chars().count() <= limit {
            return line.to_owned();
        }
        let mut room = limit.saturating_sub(1);
        let kept = line.graphemes(true).take_while(|grapheme| {
            let length = grapheme.chars().count();
            let fits = length <= room;
            room = room.saturating_sub(length);
            fits
        });
        let mut line: String = kept.collect();
        line.push('…');
        line
    };
    text.split('\n').map(cut).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::colour("a\x1b[31;1mb\x1b[0mc", "abc")]
    #[case::clipboard("x\x1b]52;c;aGk=\x07y", "xy")]
    #[case::title_with_st("x\x1b]0;title\x1b\\y", "xy")]
    #[case::link("\x1b]8;;https://evil.example\x1b\\bank\x1b]8;;\x1b\\", "bank")]
    #[case::device_control("a\x1bPq#0;2\x1b\\b", "ab")]
    #[case::device_control_with_9c_inside("a\x1bPq✜still in it\x1b\\b", "ab")]
    #[case::application("a\x1b_Gi=1\x1b\\b", "ab")]
    #[case::answer_back("a\x1b[6nb", "ab")]
    #[case::charset("a\x1b(0b", "ab")]
    #[case::full_reset("a\x1bcb", "ab")]
    #[case::eight_bit_csi("a\u{9b}31mb", "ab")]
    #[case::eight_bit_osc("a\u{9d}0;t\u{9c}b", "ab")]
    #[case::eight_bit_dcs("a\u{90}q\u{9c}b", "ab")]
    #[case::unterminated_csi("a\x1b[31", "a")]
    #[case::unterminated_osc_ends_with_its_line("a\x1b]0;rest\nnext", "a\nnext")]
    #[case::lone_escape("a\x1b", "a")]
    #[case::other_controls("a\0b\x07c\x08d\x7fe", "a␀b␇c␈d␡e")]
    #[case::tab("a\tb", "a    b")]
    #[case::line_ends("a\r\nb\u{2028}c\u{85}d", "a\nb\nc\nd")]
    #[case::lone_return_does_not_overwrite("safe\rEVIL", "safe␍EVIL")]
    #[case::directions("a\u{202e}b\u{2066}c\u{200f}d\u{61c}e", "abcde")]
    #[case::tags("hi\u{e0041}\u{e0042}!", "hi!")]
    #[case::zero_width("a\u{200b}b\u{200d}c\u{feff}d\u{fe0f}e", "abcde")]
    #[case::mark_without_base("\u{301}a\n\u{301}b", "a\nb")]
    #[case::plain_words("Grüße, 世界 👋 é", "Grüße, 世界 👋 é")]
    fn each_trick_is_made_harmless(#[case] raw: &str, #[case] shown: &str) {
        assert_eq!(Untrusted::from(raw).sanitized(), shown);
    }

    #[test]
    fn marks_are_capped() {
        let stacked = format!("a{}b", "\u{301}".repeat(50));
        assert_eq!(sanitize(&stacked, 100), format!("a{}b", "\u{301}".repeat(MARKS)));
        let hidden_between = format!("a{}b", "\u{301}\u{200b}".repeat(50));
        assert_eq!(sanitize(&hidden_between, 100), format!("a{}b", "\u{301}".repeat(MARKS)));
    }

    #[test]
    fn long_lines_are_cut_between_characters() {
        assert_eq!(sanitize("abcdef\nabc", 4), "abc…\nabc");
        assert_eq!(sanitize("abe\u{301}def", 4), "ab…");
        assert_eq!(sanitize_line("ab\ncd\n", 10), "ab⏎cd");
        assert_eq!(sanitize_line("ab\ncd", 4), "ab⏎…");
    }

    #[test]
    fn bytes_keep_what_they_mean() {
        assert_eq!(Untrusted::from_bytes(b"a\x9b31mb\xffc").sanitized(), "ab\u{fffd}c");
        assert_eq!(Untrusted::from_bytes("ü".as_bytes()).raw(), "ü");
    }

    #[test]
    fn debug_shows_nothing_raw() {
        assert_eq!(format!("{:?}", Untrusted::from("a\x1b[2Jb")), r#"Untrusted("ab")"#);
    }

    /// Text with all the tricks in it, more often than chance would put them there.
    fn hostile() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            any::<char>().prop_map(String::from),
            prop::sample::select(vec![
                "\x1b",
                "\x1b[",
                "\x1b]",
                "\x1bP",
                "\x1b_",
                "\x1b\\",
                "\u{9b}",
                "\u{9d}",
                "\u{90}",
                "\u{9c}",
                "\x07",
                "\x18",
                "\r",
                "\n",
                "\t",
                "31m",
                ";",
                "\u{301}",
                "\u{200d}",
                "\u{202e}",
                "\u{fe0f}",
                "\u{e0001}",
                "✜",
                "👩",
                "\u{1161}",
                "\u{1100}",
                "\x7f",
                "a"
            ])
            .prop_map(str::to_owned),
        ];
        prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn nothing_harmful_comes_out(text in hostile(), limit in 1_usize..40) {
            let shown = sanitize(&text, limit);
            prop_assert!(!shown.chars().any(|c| (c.is_control() && c != '\n') || is_hidden(c)), "{shown:?}");
            prop_assert!(shown.split('\n').all(|line| line.chars().count() <= limit), "{shown:?}");
            prop_assert_eq!(sanitize(&shown, limit), shown);

            let line = sanitize_line(&text, limit);
            prop_assert!(!line.chars().any(char::is_control), "{line:?}");
            prop_assert!(line.chars().count() <= limit);
            prop_assert_eq!(sanitize_line(&line, limit), line);
        }

        #[test]
        fn any_bytes_are_text(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let shown = Untrusted::from_bytes(&bytes).sanitized();
            prop_assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{shown:?}");
            prop_assert_eq!(sanitize(&shown, LINE_LIMIT), shown);
        }

        #[test]
        fn plain_text_stays(text in "[ -~äöü世界]{0,80}(\n[ -~äöü世界]{0,80}){0,3}") {
            prop_assert_eq!(sanitize(&text, 200), text);
        }
    }
}
