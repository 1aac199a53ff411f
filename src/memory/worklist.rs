//! The worklist's form: sections with items, and the focus at its top.
//!
//! Owns where an item stands. What it does not know (other sections, notes under an item, prose, odd Markdown) stays byte for byte.
//! Numbers of other items stay too: a list reads the same with a gap, and nobody's line changes for a move.

use chrono::{Days, NaiveDate};

use super::lines::{Heading, Lines, clean, names, stamped, unstamped};
use crate::contracts::notes::Section;

/// What is done leaves the worklist after so many days. It stays in the history.
const DONE_DAYS: u64 = 7;
const TITLE: &str = "# Fullsend Worklist";
const FOCUS: &str = "Focus";

/// A part of the text below a heading.
#[derive(Debug, Clone, Copy)]
struct Part {
    heading: usize,
    /// Where the next heading of any kind stands.
    first_end: usize,
    /// Where the next heading of its level or above stands.
    end: usize,
}

fn part(headings: &[Heading], index: usize, len: usize) -> Part {
    let this = &headings[index];
    let later = &headings[index + 1..];
    let at = |heading: Option<&Heading>| heading.map_or(len, |heading| heading.at);
    Part {
        heading: this.at,
        first_end: at(later.first()),
        end: at(later.iter().find(|heading| heading.level <= this.level)),
    }
}

/// The section that a heading means.
fn meant(heading: &Heading) -> Option<Section> {
    if heading.level < 2 {
        return None;
    }
    let title = heading.title.to_lowercase();
    let starts = |words: &[&str]| words.iter().any(|word| title.starts_with(word));
    if starts(&["active", "in progress"]) {
        Some(Section::Active)
    } else if starts(&["ready", "queue", "prioritized queue"]) {
        Some(Section::Ready)
    } else if starts(&["blocked"]) {
        Some(Section::Blocked)
    } else if starts(&["completed", "done"]) {
        Some(Section::Completed)
    } else {
        None
    }
}

/// The parts that are sections, in their order.
fn sections(lines: &Lines) -> Vec<(Section, Part)> {
    let headings = lines.headings();
    let parts = (0..headings.len())
        .filter_map(|index| Some((meant(&headings[index])?, part(&headings, index, lines.all.len()))));
    parts.collect()
}

/// The items of a part that begin before `end`: their lines.
fn items(lines: &Lines, part: Part, end: usize) -> Vec<usize> {
    let mut found = Vec::new();
    let mut at = part.heading + 1;
    while at < end {
        if lines.item(at).is_some() {
            found.push(at);
            at = lines.item_end(at);
        } else {
            at += 1;
        }
    }
    found
}

/// The text with the item `key` in this section, in these words; none where there are no words.
pub(super) fn place(text: &str, key: &str, section: Section, words: &str, today: NaiveDate) -> Option<String> {
    let (mut words, key) = (clean(words), clean(key));
    if words.is_empty() {
        return None;
    }
    if !key.is_empty() && !names(&words, &key) {
        words = format!("{words}, {key}");
    }
    let mut lines = begun(text);
    forget_done(&mut lines, today);
    let found = sections(&lines).into_iter().find_map(|(stands, part)| {
        let named = |at: &usize| lines.item(*at).is_some_and(|item| names(item.words, &key));
        items(&lines, part, part.end).into_iter().find(named).map(|at| (stands, at))
    });
    match found {
        Some((stands, at)) if stands == section => {
            let item = lines.item(at)?;
            let (said, day) = unstamped(item.words);
            if said != words && item.words != words {
                let words = if day.is_some() || section == Section::Completed { stamped(&words, today) } else { words };
                let line = format!("{}{words}", item.mark);
                lines.set(at, &line);
            }
        }
        Some((_, at)) => {
            let end = lines.item_end(at);
            let block: Vec<String> = lines.all.drain(at..end).collect();
            add(&mut lines, section, &words, block.into_iter().skip(1), today);
        }
        None => add(&mut lines, section, &words, [], today),
    }
    Some(lines.text())
}

/// The lines of a text; of an empty one, those of an empty worklist.
fn begun(text: &str) -> Lines {
    if !text.trim().is_empty() {
        return Lines::of(text);
    }
    let sections = Section::ALL.map(|section| format!("## {}\n", section.heading()));
    Lines::of(&format!("{TITLE}\n\n{}", sections.join("\n")))
}

/// Adds an item at the end of its section, with the lines that belong to it. Makes the section where it is missing.
fn add(lines: &mut Lines, section: Section, words: &str, below: impl IntoIterator<Item = String>, today: NaiveDate) {
    let found = sections(lines).into_iter().find(|(stands, _)| *stands == section);
    let part = match found {
        Some((_, part)) => part,
        None => make(lines, section),
    };
    let last = items(lines, part, part.first_end).pop();
    let bullet = last.and_then(|at| lines.item(at)?.mark.chars().next()).filter(|c| "*+".contains(*c)).unwrap_or('-');
    let mark = match section {
        Section::Active => format!("{bullet} [ ] "),
        Section::Ready => number(lines, last).unwrap_or_else(|| format!("{bullet} ")),
        Section::Blocked => format!("{bullet} "),
        Section::Completed => format!("{bullet} [x] "),
    };
    let words = if section == Section::Completed { stamped(words, today) } else { words.to_owned() };
    let at = last.map_or(part.heading + 1, |at| lines.item_end(at));
    lines.insert(at, [format!("{mark}{words}")].into_iter().chain(below));
}

/// The number after the last item's; none where that has none.
fn number(lines: &Lines, last: Option<usize>) -> Option<String> {
    let Some(at) = last else { return Some("1. ".to_owned()) };
    let mark = lines.item(at)?.mark.trim_start().to_owned();
    let digits = mark.trim_end_matches(|c: char| !c.is_ascii_digit());
    let digits: String = digits.chars().take_while(char::is_ascii_digit).collect();
    let next = digits.parse::<u64>().ok()? + 1;
    let delimiter = mark[digits.len()..].chars().next()?;
    Some(format!("{next}{delimiter} "))
}

/// Makes a section, in its order among the others.
fn make(lines: &mut Lines, section: Section) -> Part {
    let next = sections(lines).into_iter().find(|(stands, _)| *stands > section).map(|(_, part)| part.heading);
    let at = next.unwrap_or(lines.all.len());
    let mut new = Vec::new();
    if at > 0 && !lines.is_blank(at - 1) {
        new.push(String::new());
    }
    let heading = at + new.len();
    new.push(format!("## {}", section.heading()));
    if next.is_some() {
        new.push(String::new());
    }
    lines.insert(at, new);
    Part { heading, first_end: heading + 1, end: heading + 1 }
}

/// Takes out what was done long ago. Only what has its day: an entry without one is a person's.
fn forget_done(lines: &mut Lines, today: NaiveDate) {
    let Some(oldest) = today.checked_sub_days(Days::new(DONE_DAYS)) else { return };
    let mut old = Vec::new();
    for (section, part) in sections(lines) {
        if section == Section::Completed {
            let is_old = |at: &usize| {
                let day = lines.item(*at).and_then(|item| unstamped(item.words).1);
                day.is_some_and(|day| day < oldest)
            };
            old.extend(items(lines, part, part.end).into_iter().filter(is_old));
        }
    }
    for at in old.into_iter().rev() {
        let end = lines.item_end(at);
        lines.all.drain(at..end);
    }
}

/// The text with this at its top; none where there are no words.
pub(super) fn focus(text: &str, words: &str, today: NaiveDate) -> Option<String> {
    let words = clean(words);
    if words.is_empty() {
        return None;
    }
    let mut lines = begun(text);
    let headings = lines.headings();
    let is_focus = |heading: &Heading| heading.level > 1 && heading.title.to_lowercase().starts_with("focus");
    let line = format!("- {}", stamped(&words, today));
    match headings.iter().position(is_focus) {
        Some(index) => {
            let part = part(&headings, index, lines.all.len());
            let ours = items(&lines, part, part.first_end).into_iter().find_map(|at| {
                let (said, day) = unstamped(lines.item(at)?.words);
                day.map(|_| (at, said == words))
            });
            match ours {
                Some((_, true)) => {}
                Some((at, false)) => lines.set(at, &line),
                None => lines.insert(part.heading + 1, [line]),
            }
        }
        None => {
            let first = headings.iter().find(|heading| heading.level > 1).map(|heading| heading.at);
            let title = headings.iter().find(|heading| heading.level == 1).map(|heading| heading.at + 1);
            let at = first.or(title).unwrap_or(0);
            let mut new = vec![format!("## {FOCUS}"), line];
            if at > 0 && !lines.is_blank(at - 1) {
                new.insert(0, String::new());
            }
            if at < lines.all.len() {
                new.push(String::new());
            }
            lines.insert(at, new);
        }
    }
    Some(lines.text())
}
