//! What the rules read in the notes, and how they change the worklist: line by line, leaving every other line as it is.

use super::channels;
use crate::llm::tasks::intents::{self, Outcome};
use crate::llm::tasks::words::{Stems, Words, common, cover, is_listed, overlap};

/// Most bytes of a note that are looked at: the newest learnings, and more items than anybody keeps.
const LOOKED_AT: usize = 64 * 1024;
/// Most learnings that are looked at, the newest first.
const LEARNINGS: usize = 300;

/// A learning.
pub(super) struct Learning {
    pub(super) headline: String,
    /// The lines below it.
    pub(super) evidence: String,
    pub(super) words: Words,
}

impl Learning {
    /// With what stands below it.
    fn told(&self) -> String {
        let below = if self.evidence.is_empty() { String::new() } else { format!(" ({})", self.evidence) };
        format!("{}{below}", self.headline)
    }

    /// Whether it says, as a whole, that something does not work: by how it reads, or by its numbers.
    fn fails(&self) -> bool {
        let first = self.headline.split([',', ';']).next().unwrap_or_default();
        let reading = intents::read::<Outcome>(&Words::of(first), first);
        reading.share(Outcome::Fails) >= FAILS
            || reading.share(Outcome::Works) < intents::SURE && self.evidence.split(';').any(is_low)
    }

    /// Whether a text is about the same people, or thing, that it begins with, and has something else in common with it: what it says
    /// of them, or the way in which they were reached.
    fn is_about(&self, words: &Words, stems: &Stems, dull: &Stems) -> bool {
        let telling = |word: &String| {
            let stem = Words::of(word).stems().pop_first();
            stem.filter(|stem| !dull.contains(stem) && !stem.starts_with(|c: char| c.is_ascii_digit()))
        };
        let headline = Words::of(&self.headline);
        let mut subject = headline.list().iter().filter_map(telling);
        let Some(first) = subject.next().filter(|first| stems.contains(first)) else { return false };
        let seasonal = self.words.has(MONTHS) || self.words.has("season");
        let second = subject.next().is_some_and(|second| stems.contains(&second));
        let same_way = !channels::of(words).is_disjoint(&channels::of(&self.words));
        let more = self.words.stems().iter().any(|stem| *stem != first && !dull.contains(stem) && stems.contains(stem));
        !seasonal && (second || same_way || more)
    }
}

/// As much of a text as is looked at.
pub(super) fn start_of(text: &str) -> &str {
    let mut end = text.len().min(LOOKED_AT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// The learnings, newest first: each bold line, with what stands below it.
pub(super) fn learnings(text: &str) -> Vec<Learning> {
    let mut found: Vec<Learning> = Vec::new();
    for line in start_of(text).lines().map(str::trim) {
        if let Some(headline) = line.strip_prefix("**") {
            if found.len() == LEARNINGS {
                break;
            }
            let headline = headline.trim_end_matches('*').trim().to_owned();
            found.push(Learning { words: Words::of(&headline), headline, evidence: String::new() });
        } else if let Some(last) = found.last_mut()
            && let Some(below) = line.strip_prefix('-')
        {
            last.evidence.push_str(if last.evidence.is_empty() { "" } else { "; " });
            last.evidence.push_str(below.trim());
            last.words = std::mem::take(&mut last.words).and(&Words::of(below));
        }
    }
    found
}

/// The learning that speaks against something: it says of these people, or of this way, that it does not work.
pub(super) fn against(text: &str, words: &Words) -> Option<String> {
    let stems = words.stems();
    let now = words.has("now, this week, this month, today, tomorrow, right away");
    let dull = Words::of(DULL).stems();
    let mut best: Option<(f64, String)> = None;
    for learning in learnings(text) {
        if learning.fails() && learning.is_about(words, &stems, &dull) {
            return Some(learning.told());
        }
        let clauses = learning.headline.split([',', ';']).map(|clause| (clause, true));
        let below = learning.evidence.split(';').map(|clause| (clause, false));
        for (clause, is_headline) in clauses.chain(below) {
            let said = Words::of(clause);
            let fails = intents::read::<Outcome>(&said, clause).share(Outcome::Fails);
            let warned = warns(&said) && fails >= 0.05;
            if !(warned || is_low(clause) || fails >= FAILS) {
                continue;
            }
            let mut target = said.stems();
            target.retain(|stem| !dull.contains(stem) && !stem.starts_with(|c: char| c.is_ascii_digit()));
            let seasonal = said.has(MONTHS) || said.has("season");
            let in_season = seasonal
                && (now || said.list().iter().any(|word| is_listed(word, MONTHS) && words.list().contains(word)));
            let met = common(&target, &stems);
            let share = if in_season && met >= 1 {
                0.9
            } else if seasonal {
                0.0
            } else {
                cover(&target, &stems)
            };
            let enough = match met {
                3.. => 0.5,
                _ if is_headline => 0.6,
                _ => 0.66,
            };
            if met >= 1
                && share >= enough
                && (met >= 2 || target.len() == 1 || in_season)
                && best.as_ref().is_none_or(|(top, _)| share > *top)
            {
                best = Some((share, learning.told()));
            }
        }
    }
    best.map(|(_, learning)| learning)
}

/// A clause that reads as surely as this as if something failed, says so.
const FAILS: f32 = 0.5;
/// The months, as learnings about seasons name them.
const MONTHS: &str = "january, february, march, april, may, june, july, august, september, october, november, december";
/// Words of learnings that are about the outcome, not about whom or how.
const DULL: &str = "\
    answer, ignor, open, never, avoid, month, week, day, days, fail, complain, spam, worse, bad, los, lost, wast, \
    direct, almost, nothing, nobod, none, no, restrict, ban, block, expensiv, dear, dearer, too, book, demo, trial, repl, \
    click, sale, lead, meet, signup, sign, view, visit, install, download, themselv, keep, away, alone, leav, warn, about";

/// Whether it gives a rate that is next to nothing: `1% of 200`, `0 of 60`, `2,000 flyers, 1 demo`.
fn is_low(clause: &str) -> bool {
    const NEXT_TO_NOTHING: f64 = 1.5;
    let number = |word: &str| word.trim_matches(|c: char| !c.is_ascii_digit()).replace(',', "").parse::<f64>().ok();
    let words: Vec<&str> = clause.split_whitespace().collect();
    let rates = words.iter().filter_map(|word| word.trim_start_matches('(').split_once('%')?.0.parse::<f64>().ok());
    let shares = words.windows(3).filter(|three| matches!(three[1], "of" | "out" | "from")).filter_map(|three| {
        let (part, whole) = (number(three[0])?, number(three[2])?);
        (whole >= 20.0).then(|| part * 100.0 / whole)
    });
    // `2,000 flyers, 1 demo`
    let counts: Vec<f64> =
        words.iter().filter(|word| !word.contains([':', '%', '-'])).filter_map(|word| number(word)).collect();
    let pairs = counts.windows(2).filter(|pair| pair[0] >= 20.0).map(|pair| pair[1] * 100.0 / pair[0]);
    rates.chain(shares).chain(pairs).any(|rate| rate < NEXT_TO_NOTHING)
}

/// Whether it says that something does not work.
fn warns(words: &Words) -> bool {
    words.has(
        "\
        ignore, ignores, ignored, restricted, dont, do not, doesnt, does not, didnt, did not, never, loses, lost, \
        bounced, fails, failed, worse, 0 replies, no replies, no reply, 0 answers, 0, banned, refused, unsubscribed, \
        complained, complaints, wasted, avoid, dead, nobody, costs more, too expensive, spam, blocked, no more, hate, \
        hates, no, not, stop, useless, flopped, backfired, only harm, angry",
    )
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
    for line in start_of(worklist).lines() {
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
