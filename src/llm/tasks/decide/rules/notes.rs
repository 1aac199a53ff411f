//! What the rules read in the notes, and how they change the worklist: line by line, leaving every other line as it is.

use crate::llm::tasks::words::{Words, overlap};

/// Most learnings that are looked at, the newest first.
const LEARNINGS: usize = 300;

/// A learning.
pub(super) struct Learning {
    pub(super) headline: String,
    pub(super) words: Words,
    /// It says that something does not work.
    pub(super) warns: bool,
}

/// The learnings, newest first: each bold line, with what stands below it.
pub(super) fn learnings(text: &str) -> Vec<Learning> {
    const WARNS: &[&str] = &[
        "ignore",
        "restricted",
        "dont",
        "do not",
        "doesnt",
        "never",
        "loses",
        "lost",
        "bounced",
        "bounce",
        "fails",
        "failed",
        "worse",
        "0 replies",
        "no replies",
        "not",
        "only",
        "banned",
        "refused",
        "unsubscribed",
        "complained",
        "complaints",
        "wasted",
        "avoid",
        "dead",
        "nobody",
        "costs more",
        "too expensive",
        "spam",
        "blocked",
        "stop",
        "no more",
        "hate",
    ];
    let mut found: Vec<Learning> = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some(headline) = line.strip_prefix("**") {
            if found.len() == LEARNINGS {
                break;
            }
            let headline = headline.trim_end_matches('*').trim().to_owned();
            found.push(Learning { words: Words::of(&headline), warns: Words::of(&headline).has(WARNS), headline });
        } else if let Some(last) = found.last_mut()
            && line.starts_with('-')
        {
            let below = Words::of(line);
            last.warns |= below.has(WARNS);
            last.words = Words::of(&format!("{} {line}", last.words.list().join(" ")));
        }
    }
    found
}

/// An item of the worklist.
pub(super) struct Item<'a> {
    /// The whole line.
    pub(super) line: &'a str,
    /// Its section, in lower case.
    pub(super) section: String,
    pub(super) words: Words,
}

impl Item<'_> {
    /// The item without its mark.
    pub(super) fn words_of_it(&self) -> String {
        let text = self.line.trim().trim_start_matches(|c: char| c.is_ascii_digit() || "-*.[]x ".contains(c));
        text.replace("**", "")
    }

    /// What it is called: up to the dash or bracket that begins its remarks.
    pub(super) fn title(&self) -> String {
        let text = self.words_of_it();
        let end = [" - ", " (", " – "].iter().filter_map(|mark| text.find(mark)).min().unwrap_or(text.len());
        text[..end].trim().to_owned()
    }

    pub(super) fn is_in(&self, section: &str) -> bool {
        self.section.starts_with(section)
    }
}

/// The items, in order.
pub(super) fn items(worklist: &str) -> Vec<Item<'_>> {
    let mut section = String::new();
    let mut found = Vec::new();
    for line in worklist.lines() {
        let trimmed = line.trim();
        if let Some(heading) = trimmed.strip_prefix("## ") {
            section = heading.to_lowercase();
        } else if trimmed.starts_with("- ")
            || trimmed.starts_with("* ")
            || trimmed.starts_with(|c: char| c.is_ascii_digit())
        {
            found.push(Item { line, section: section.clone(), words: Words::of(trimmed) });
        }
    }
    found
}

/// The item that a text is about, and how much.
pub(super) fn likest<'a>(worklist: &'a str, words: &Words) -> Option<(f64, Item<'a>)> {
    let stems = words.stems();
    items(worklist)
        .into_iter()
        .map(|item| {
            (overlap(&stems, &Words::of(&item.title()).stems()).max(overlap(&stems, &item.words.stems())), item)
        })
        .max_by(|a, b| a.0.total_cmp(&b.0))
}

const HEADINGS: [(&str, &str); 4] = [
    ("active", "## Active (In Progress)"),
    ("ready", "## Ready (Prioritized Queue)"),
    ("blocked", "## Blocked"),
    ("completed", "## Completed This Week"),
];

/// The worklist with this line in a section: first or last.
pub(super) fn with_line(worklist: &str, section: &str, line: &str, first: bool) -> String {
    let mut lines: Vec<String> = worklist.lines().map(str::to_owned).collect();
    let is_heading = |line: &str| line.trim_start().starts_with("## ");
    let at = lines.iter().position(|line| is_heading(line) && line.to_lowercase().contains(section));
    let Some(at) = at else {
        let heading = HEADINGS.iter().find(|(name, _)| *name == section).map_or("## Ready", |(_, heading)| heading);
        lines.extend([String::new(), heading.to_owned(), line.to_owned()]);
        return lines.join("\n") + "\n";
    };
    let end = lines[at + 1..].iter().position(|line| is_heading(line)).map_or(lines.len(), |offset| at + 1 + offset);
    let last =
        lines[at + 1..end].iter().rposition(|line| !line.trim().is_empty()).map_or(at + 1, |offset| at + 2 + offset);
    lines.insert(if first { at + 1 } else { last }, line.to_owned());
    renumbered(&lines.join("\n")) + "\n"
}

/// The worklist without this line.
pub(super) fn without(worklist: &str, line: &str) -> String {
    let mut gone = false;
    let kept: Vec<&str> =
        worklist.lines().filter(|other| gone || *other != line || !std::mem::replace(&mut gone, true)).collect();
    renumbered(&kept.join("\n")) + "\n"
}

/// Numbered items count from 1 in each section.
fn renumbered(worklist: &str) -> String {
    let mut number = 0;
    let mut lines = Vec::new();
    for line in worklist.lines() {
        if line.trim_start().starts_with("## ") {
            number = 0;
        }
        match line.split_once(". ") {
            Some((digits, rest)) if !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit()) => {
                number += 1;
                lines.push(format!("{number}. {rest}"));
            }
            _ => lines.push(line.to_owned()),
        }
    }
    lines.join("\n")
}
