//! Markdown as lines for reading: headings, lists, check boxes, emphasis, code, tables, links as text.
//!
//! Owns how each of them looks. Must never show a character that was not made harmless, also where it was written as an entity
//! (`&#27;`), and never fail: whatever is no Markdown is shown as it is.

use pulldown_cmark::{CodeBlockKind, Event, HeadingLevel, Options, Parser, Tag, TagEnd};
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use super::text::Piece;
use crate::contracts::untrusted::{LINE_LIMIT, sanitize, sanitize_line};
use crate::tui::theme::Role;

/// Lines of the source that are read. A longer text says that it goes on.
const MOST: usize = 4_000;
/// Columns that are left for words, however deep a list goes.
const NARROWEST: usize = 12;

/// The lines of a text, of at most so many columns. An empty one separates parts.
pub fn lines(raw: &str, columns: u16) -> Vec<Vec<Piece>> {
    let clean = sanitize(raw, LINE_LIMIT);
    let end = clean.match_indices('\n').nth(MOST - 1).map_or(clean.len(), |(at, _)| at);
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    let mut page = Page { columns: usize::from(columns).max(1), ..Page::default() };
    for event in Parser::new_ext(&clean[..end], options) {
        page.take(event);
    }
    page.flush();
    if end < clean.len() {
        let more = clean[end..].lines().count().saturating_sub(1);
        page.lines.push(vec![Piece::new(Role::Warn, format!("… {more} more lines: open it in $EDITOR"))]);
    }
    page.lines
}

/// A page that is being written.
#[derive(Default)]
struct Page {
    columns: usize,
    lines: Vec<Vec<Piece>>,
    /// What is written of the present paragraph.
    open: Vec<Piece>,
    /// How words look, the innermost last.
    roles: Vec<Role>,
    /// The lists that are open: the next number, or none for bullets.
    lists: Vec<Option<u64>>,
    /// What stands before the first line of an item.
    marker: Option<String>,
    quotes: usize,
    /// Where the links that are open lead.
    links: Vec<String>,
    /// Cells of the present row of a table.
    cells: usize,
    /// Whether the next part stands below a heading.
    is_below: bool,
}

impl Page {
    fn role(&self) -> Role {
        self.roles.last().copied().unwrap_or(Role::Text)
    }

    fn say(&mut self, role: Role, words: &str) {
        let words = sanitize_line(words, LINE_LIMIT);
        if !words.is_empty() {
            self.open.push(Piece::new(role, words));
        }
    }

    /// A part of the page begins: an empty line before it, unless it is the first, within a list, or below a heading.
    fn part(&mut self) {
        self.flush();
        let is_first = self.lines.is_empty() || self.lines.last().is_some_and(Vec::is_empty);
        if self.lists.is_empty() && self.quotes == 0 && !is_first && !self.is_below {
            self.lines.push(Vec::new());
        }
        self.is_below = false;
    }

    /// Writes what is open, below and beside whatever it stands in.
    fn flush(&mut self) {
        let open = std::mem::take(&mut self.open);
        if open.is_empty() && self.marker.is_none() {
            return;
        }
        let depth = self.lists.len().saturating_sub(1);
        let quote = "> ".repeat(self.quotes.min(4));
        let indent = " ".repeat((depth * 2).min(self.columns / 2));
        let marker = self.marker.take();
        let hang = match (&marker, self.lists.last()) {
            (Some(marker), _) => marker.width(),
            (None, Some(_)) => 2,
            (None, None) => 0,
        };
        let before = quote.width() + indent.width() + hang;
        let room = self.columns.saturating_sub(before).max(NARROWEST.min(self.columns));
        for (at, mut line) in flowed(&open, room).into_iter().enumerate() {
            let first = if at == 0 { marker.clone() } else { None };
            let head = format!("{quote}{indent}{}", first.unwrap_or_else(|| " ".repeat(hang)));
            if !head.is_empty() {
                line.insert(0, Piece::new(Role::Muted, head));
            }
            self.lines.push(line);
        }
    }

    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.begin(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(words) => {
                let mut parts = words.split('\n').peekable();
                while let Some(part) = parts.next() {
                    self.say(self.role(), part);
                    if parts.peek().is_some() {
                        self.line_of_code();
                    }
                }
            }
            Event::Code(words) => self.say(Role::Value, &words),
            Event::Html(words) | Event::InlineHtml(words) => self.say(Role::Muted, &words),
            Event::InlineMath(words) | Event::DisplayMath(words) | Event::FootnoteReference(words) => {
                self.say(self.role(), &words);
            }
            // A person's line breaks say something; they stay.
            Event::SoftBreak | Event::HardBreak => self.flush(),
            Event::Rule => {
                self.part();
                self.lines.push(vec![Piece::new(Role::Muted, "-".repeat(self.columns))]);
            }
            Event::TaskListMarker(is_done) => {
                self.marker = Some(if is_done { "[x] ".to_owned() } else { "[ ] ".to_owned() });
            }
        }
    }

    /// A line of code ends; one without words is kept.
    fn line_of_code(&mut self) {
        if self.open.is_empty() {
            self.lines.push(Vec::new());
        } else {
            self.flush();
        }
    }

    fn begin(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Heading { level, .. } => {
                self.is_below = false;
                self.part();
                self.roles.push(if level == HeadingLevel::H1 { Role::Accent } else { Role::Title });
            }
            Tag::Paragraph | Tag::HtmlBlock | Tag::Table(_) => self.part(),
            Tag::List(first) => {
                self.part();
                self.lists.push(first);
            }
            Tag::Item => {
                self.flush();
                let marker = match self.lists.last_mut() {
                    Some(Some(number)) => {
                        *number += 1;
                        format!("{}. ", *number - 1)
                    }
                    _ => "- ".to_owned(),
                };
                self.marker = Some(marker);
            }
            Tag::BlockQuote(_) => {
                self.part();
                self.quotes += 1;
            }
            Tag::CodeBlock(kind) => {
                self.part();
                self.roles.push(Role::Value);
                if let CodeBlockKind::Fenced(language) = kind
                    && !language.is_empty()
                {
                    self.say(Role::Muted, &language);
                    self.flush();
                }
            }
            Tag::TableHead => {
                self.cells = 0;
                self.roles.push(Role::Title);
            }
            Tag::TableRow => self.cells = 0,
            Tag::TableCell => {
                if self.cells > 0 {
                    self.open.push(Piece::new(Role::Muted, " | "));
                }
                self.cells += 1;
            }
            Tag::Strong => self.roles.push(Role::Title),
            Tag::Emphasis => self.roles.push(Role::Source),
            Tag::Strikethrough => self.roles.push(Role::Muted),
            Tag::Link { dest_url, .. } => {
                self.links.push(dest_url.into_string());
                self.roles.push(Role::Accent);
            }
            Tag::Image { dest_url, .. } => {
                self.links.push(dest_url.into_string());
                self.roles.push(Role::Accent);
                self.say(Role::Muted, "picture: ");
            }
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Heading(_) => {
                self.flush();
                self.roles.pop();
                self.is_below = true;
            }
            TagEnd::CodeBlock | TagEnd::TableHead => {
                self.flush();
                self.roles.pop();
            }
            TagEnd::Paragraph | TagEnd::Item | TagEnd::TableRow | TagEnd::HtmlBlock => self.flush(),
            TagEnd::List(_) => {
                self.flush();
                self.lists.pop();
            }
            TagEnd::BlockQuote(_) => {
                self.flush();
                self.quotes = self.quotes.saturating_sub(1);
            }
            TagEnd::Strong | TagEnd::Emphasis | TagEnd::Strikethrough => drop(self.roles.pop()),
            TagEnd::Link | TagEnd::Image => {
                self.roles.pop();
                // Where it leads is always said: the words may say something else.
                let url = self.links.pop().unwrap_or_default();
                let shown = self.open.last().is_some_and(|piece| piece.words == url);
                if !url.is_empty() && !shown {
                    self.say(Role::Muted, &format!(" ({url})"));
                }
            }
            _ => {}
        }
    }
}

/// The pieces in lines of at most so many columns, broken between words where there are any.
pub fn flowed(pieces: &[Piece], columns: usize) -> Vec<Vec<Piece>> {
    let mut flow = Flow { columns, lines: Vec::new(), line: Vec::new(), width: 0 };
    let mut word: Vec<Piece> = Vec::new();
    for piece in pieces {
        for part in piece.words.split_inclusive(' ') {
            word.push(Piece::new(piece.role, part));
            if part.ends_with(' ') {
                flow.word(&std::mem::take(&mut word));
            }
        }
    }
    flow.word(&word);
    flow.lines.push(flow.line);
    flow.lines
}

struct Flow {
    columns: usize,
    lines: Vec<Vec<Piece>>,
    line: Vec<Piece>,
    width: usize,
}

impl Flow {
    fn turn(&mut self) {
        self.lines.push(std::mem::take(&mut self.line));
        self.width = 0;
    }

    fn word(&mut self, word: &[Piece]) {
        let long: usize = word.iter().map(|piece| piece.words.trim_end().width()).sum();
        if self.width > 0 && self.width + long > self.columns {
            self.turn();
        }
        for piece in word {
            for grapheme in piece.words.graphemes(true) {
                let width = grapheme.width();
                if self.width + width > self.columns {
                    if grapheme == " " {
                        continue;
                    }
                    self.turn();
                }
                match self.line.last_mut().filter(|last| last.role == piece.role) {
                    Some(last) => last.words.push_str(grapheme),
                    None => self.line.push(Piece::new(piece.role, grapheme)),
                }
                self.width += width;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;
    use rstest::rstest;

    use super::*;

    fn text(raw: &str, columns: u16) -> Vec<String> {
        let joined = |line: Vec<Piece>| line.into_iter().map(|piece| piece.words).collect::<String>();
        lines(raw, columns).into_iter().map(|line| joined(line).trim_end().to_owned()).collect()
    }

    #[rstest]
    #[case::headings("# One\n\n## Two\ntext", &["One", "", "Two", "text"])]
    #[case::lists("- a\n- b\n  1. c\n  2. d\n- e", &["- a", "- b", "  1. c", "  2. d", "- e"])]
    #[case::counted_from("3. c\n4. d", &["3. c", "4. d"])]
    #[case::check_boxes("- [ ] open\n- [x] done", &["[ ] open", "[x] done"])]
    #[case::emphasis("a **b** *c* ~~d~~ `e`", &["a b c d e"])]
    #[case::code("```rust\nfn a() {}\n\n  b\n```\nafter", &["rust", "fn a() {}", "", "  b", "", "after"])]
    #[case::quotes("> said\n> so\n\nnot", &["> said", "> so", "", "not"])]
    #[case::tables("|a|b|\n|-|-|\n|1|2|", &["a | b", "1 | 2"])]
    #[case::breaks_stay("one\ntwo", &["one", "two"])]
    #[case::paragraphs("one\n\n\n\ntwo", &["one", "", "two"])]
    #[case::rule("a\n\n---\n\nb", &["a", "", "--------------------", "", "b"])]
    #[case::html("a <b>c</b>", &["a <b>c</b>"])]
    #[case::nothing("", &[])]
    fn what_is_written_is_read(#[case] raw: &str, #[case] read: &[&str]) {
        assert_eq!(text(raw, 20), read);
    }

    #[test]
    fn a_link_says_where_it_leads() {
        assert_eq!(
            text("[bank](https://evil.example) <https://x.example>", 80),
            ["bank (https://evil.example) https://x.example"]
        );
    }

    #[test]
    fn words_are_broken_at_the_width_and_items_hang() {
        assert_eq!(text("- one two three four", 12), ["- one two", "  three four"]);
        assert_eq!(text("abcdefghijklmnop", 6), ["abcdef", "ghijkl", "mnop"]);
        assert_eq!(text("a **bc**d efg", 5), ["a bcd", "efg"], "a word is not broken where its look changes");
        assert_eq!(text("世界世界", 4), ["世界", "世界"]);
    }

    #[test]
    fn the_look_follows_what_it_is() {
        let found = lines("# T\n\na **b** `c`\n- [ ] d", 40);
        assert_eq!(found[0], [Piece::new(Role::Accent, "T")]);
        let line = [
            Piece::new(Role::Text, "a "),
            Piece::new(Role::Title, "b"),
            Piece::new(Role::Text, " "),
            Piece::new(Role::Value, "c"),
        ];
        assert_eq!(found[1], line);
        assert_eq!(found.last().unwrap()[0], Piece::new(Role::Muted, "[ ] "));
    }

    #[rstest]
    #[case("a &#27;[2Jb &#x9b;c")]
    #[case("[x](\u{1b}]8;;https://e\u{7})")]
    #[case("`a\u{202e}b` &#8238; &#x200b;")]
    #[case("```\n\u{1b}[31m\0\n```")]
    #[case("<b \u{1b}[2J>")]
    fn nothing_harmful_comes_out_also_not_as_an_entity(#[case] raw: &str) {
        let all = text(raw, 60).join("\n");
        assert!(!all.chars().any(|c| crate::contracts::untrusted::is_unseen(c) && c != '\n'), "{all:?}");
    }

    #[test]
    fn a_very_long_text_says_that_it_goes_on_and_deep_ones_end() {
        let long = "line\n".repeat(5_000);
        assert_eq!(text(&long, 40).last().unwrap(), "… 1000 more lines: open it in $EDITOR");
        for deep in ["> ".repeat(2_000), "- ".repeat(2_000), "*".repeat(5_000), "[".repeat(5_000)] {
            for columns in [1, 2, 13, 80] {
                assert!(lines(&deep, columns).len() < 10_000, "{columns}");
            }
        }
    }
}
