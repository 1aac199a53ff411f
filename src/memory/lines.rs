//! A Markdown text as lines, each with its own end: what is not touched stays byte for byte.
//!
//! Owns what counts as a heading and an item. Must never put a line in another form than it had.

use chrono::NaiveDate;

use crate::contracts::untrusted::sanitize_line;

/// Most characters of a line that is written.
const LINE_LIMIT: usize = 500;

/// Lines, and how this text ends them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lines {
    pub(super) all: Vec<String>,
    end: &'static str,
}

/// A heading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Heading {
    /// Its line.
    pub(super) at: usize,
    /// 1 for `#`.
    pub(super) level: usize,
    /// Its words.
    pub(super) title: String,
}

/// What stands before an item's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item<'a> {
    /// Bullet or number, and box, with the spaces.
    pub(super) mark: &'a str,
    /// Its words.
    pub(super) words: &'a str,
}

impl Lines {
    pub(super) fn of(text: &str) -> Self {
        let all: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
        let end = if all.first().is_some_and(|line| line.ends_with("\r\n")) { "\r\n" } else { "\n" };
        Self { all, end }
    }

    pub(super) fn text(&self) -> String {
        self.all.concat()
    }

    /// A line, without its end.
    pub(super) fn get(&self, at: usize) -> &str {
        self.all.get(at).map_or("", |line| line.trim_end_matches(['\n', '\r']))
    }

    pub(super) fn is_blank(&self, at: usize) -> bool {
        self.get(at).trim().is_empty()
    }

    /// Puts lines in before the one at `at`.
    pub(super) fn insert(&mut self, at: usize, lines: impl IntoIterator<Item = String>) {
        let at = at.min(self.all.len());
        if let Some(before) = at.checked_sub(1).and_then(|before| self.all.get_mut(before))
            && !before.ends_with('\n')
        {
            before.push_str(self.end);
        }
        let end = self.end;
        let lines: Vec<String> =
            lines.into_iter().map(|line| if line.ends_with('\n') { line } else { format!("{line}{end}") }).collect();
        self.all.splice(at..at, lines);
    }

    /// Other words in the place of a line's, with the same end.
    pub(super) fn set(&mut self, at: usize, line: &str) {
        if let Some(old) = self.all.get_mut(at) {
            let end = old[old.trim_end_matches(['\n', '\r']).len()..].to_owned();
            *old = format!("{line}{end}");
        }
    }

    /// The headings, but none within fenced code or a comment.
    pub(super) fn headings(&self) -> Vec<Heading> {
        let (mut headings, mut fence, mut comment) = (Vec::new(), None, false);
        for at in 0..self.all.len() {
            let line = self.get(at);
            let start = line.trim_start();
            if comment {
                comment = !line.contains("-->");
            } else if let Some(open) = fence {
                if start.starts_with(open) {
                    fence = None;
                }
            } else if start.starts_with("```") {
                fence = Some("```");
            } else if start.starts_with("~~~") {
                fence = Some("~~~");
            } else if start.starts_with("<!--") {
                comment = !start.contains("-->");
            } else if let Some((level, title)) = heading(line) {
                headings.push(Heading { at, level, title: title.to_owned() });
            }
        }
        headings
    }

    /// The item that begins at a line, if one does.
    pub(super) fn item(&self, at: usize) -> Option<Item<'_>> {
        item(self.get(at))
    }

    /// Where the item that begins at `at` ends: what is indented below it belongs to it.
    pub(super) fn item_end(&self, at: usize) -> usize {
        let mut end = at + 1;
        while end < self.all.len() && self.get(end).starts_with([' ', '\t']) && !self.is_blank(end) && {
            self.get(end).starts_with("  ") || self.get(end).starts_with('\t')
        } {
            end += 1;
        }
        end
    }
}

fn heading(line: &str) -> Option<(usize, &str)> {
    let start = line.trim_start_matches(' ');
    if line.len() - start.len() > 3 {
        return None;
    }
    let title = start.trim_start_matches('#');
    let level = start.len() - title.len();
    let is_heading = (1..=6).contains(&level) && (title.is_empty() || title.starts_with([' ', '\t']));
    is_heading.then(|| (level, title.trim().trim_end_matches('#').trim_end()))
}

fn item(line: &str) -> Option<Item<'_>> {
    let start = line.trim_start_matches(' ');
    if line.len() - start.len() > 1 {
        return None;
    }
    let digits = start.bytes().take_while(u8::is_ascii_digit).count();
    let after = match start.as_bytes().get(digits)? {
        b'-' | b'*' | b'+' if digits == 0 => &start[1..],
        b'.' | b')' if (1..=9).contains(&digits) => &start[digits + 1..],
        _ => return None,
    };
    let mut words = after.trim_start_matches([' ', '\t']);
    if words.len() == after.len() && !after.is_empty() {
        return None;
    }
    for tick in ["[ ]", "[x]", "[X]"] {
        if let Some(rest) = words.strip_prefix(tick).filter(|rest| rest.is_empty() || rest.starts_with([' ', '\t'])) {
            words = rest.trim_start_matches([' ', '\t']);
            break;
        }
    }
    Some(Item { mark: &line[..line.len() - words.len()], words: words.trim_end() })
}

/// Words fit for one line of a note, which cannot hide what follows them.
pub(super) fn clean(words: &str) -> String {
    sanitize_line(words.trim(), LINE_LIMIT).replace("<!--", "<! --").trim().to_owned()
}

/// Whether `key` stands in `line` as a word of its own.
pub(super) fn names(line: &str, key: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    !key.is_empty()
        && line.match_indices(key).any(|(at, _)| {
            !line[..at].chars().next_back().is_some_and(part)
                && !line[at + key.len()..].chars().next().is_some_and(part)
        })
}

/// Words with the day on which they were written.
pub(super) fn stamped(words: &str, day: NaiveDate) -> String {
    format!("{words} ({day})")
}

/// Words without the day, and the day.
pub(super) fn unstamped(words: &str) -> (&str, Option<NaiveDate>) {
    let parts = words.strip_suffix(')').and_then(|rest| rest.rsplit_once(" ("));
    match parts.and_then(|(before, day)| Some((before, day.parse().ok()?))) {
        Some((before, day)) => (before, Some(day)),
        None => (words, None),
    }
}
