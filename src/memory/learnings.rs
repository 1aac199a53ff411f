//! The learnings' form: a section for each day, the newest first; a headline in bold, then what it rests on.
//!
//! Owns where a learning stands. Must never add the same learning twice, and never touch another one.

use std::collections::HashSet;

use chrono::NaiveDate;

use super::lines::{Heading, Lines, clean};

const TITLE: &str = "# Strategic Learnings";
/// Most lines of evidence that come with one learning.
const EVIDENCE_LIMIT: usize = 50;

/// The text with this learning in it; none where it has no words.
pub(super) fn add(
    text: &str,
    headline: &str,
    evidence: &[String],
    experiment: Option<&str>,
    today: NaiveDate,
) -> Option<String> {
    let headline = clean(headline).replace("**", "");
    if same(&headline).is_empty() {
        return None;
    }
    let mut evidence: Vec<String> = evidence.iter().take(EVIDENCE_LIMIT).filter_map(|line| bullet(line)).collect();
    if let Some(id) = experiment.map(clean).filter(|id| !id.is_empty()) {
        let told = std::iter::once(&headline).chain(&evidence).any(|line| super::lines::names(line, &id));
        if !told {
            evidence.push(format!("- Experiment: {id}"));
        }
    }
    let mut lines = Lines::of(if text.trim().is_empty() { "" } else { text });
    if lines.all.is_empty() {
        lines.insert(0, [TITLE.to_owned(), String::new()]);
    }
    match known(&lines, &headline) {
        Some(at) => confirm(&mut lines, at, evidence),
        None => insert(&mut lines, &headline, evidence, today),
    }
    Some(lines.text())
}

/// A line of evidence, as an item.
fn bullet(line: &str) -> Option<String> {
    let line = clean(line);
    let words = ["- ", "* ", "+ "].iter().find_map(|mark| line.strip_prefix(mark)).unwrap_or(&line).trim();
    (!words.is_empty()).then(|| format!("- {words}"))
}

/// What two lines have in common where they say the same.
fn same(line: &str) -> String {
    let words = line.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect::<Vec<_>>().join(" ")
}

/// The headline that a line is.
fn headline_of(line: &str) -> Option<&str> {
    line.trim_start().strip_prefix("**")?.split_once("**").map(|(headline, _)| headline)
}

/// Where this learning stands already.
fn known(lines: &Lines, headline: &str) -> Option<usize> {
    let wanted = same(headline);
    (0..lines.all.len()).find(|at| headline_of(lines.get(*at)).is_some_and(|found| same(found) == wanted))
}

/// Puts what is new under a learning that is known.
fn confirm(lines: &mut Lines, at: usize, evidence: Vec<String>) {
    let ends = |at: usize| lines.is_blank(at) || lines.get(at).starts_with('#') || headline_of(lines.get(at)).is_some();
    let end = (at + 1..lines.all.len()).find(|at| ends(*at)).unwrap_or(lines.all.len());
    let mut there: HashSet<String> = (at..end).map(|at| same(lines.get(at))).collect();
    let new: Vec<String> = evidence.into_iter().filter(|line| there.insert(same(line))).collect();
    lines.insert(end, new);
}

/// The day that a heading names; older systems wrote the time behind it.
fn day(heading: &Heading) -> Option<NaiveDate> {
    heading.title.get(..10)?.parse().ok()
}

fn insert(lines: &mut Lines, headline: &str, evidence: Vec<String>, today: NaiveDate) {
    let mut entry = vec![format!("**{headline}**")];
    entry.extend(evidence);
    let days: Vec<(usize, NaiveDate)> = lines
        .headings()
        .iter()
        .filter(|heading| heading.level > 1)
        .filter_map(|heading| Some((heading.at, day(heading)?)))
        .collect();
    let at = match days.iter().find(|(_, day)| *day <= today) {
        Some((at, day)) if *day == today => {
            if at + 1 < lines.all.len() && !lines.is_blank(at + 1) {
                entry.push(String::new());
            }
            at + 1
        }
        Some((at, _)) => {
            entry.insert(0, format!("## {today}"));
            entry.push(String::new());
            *at
        }
        None => {
            entry.insert(0, format!("## {today}"));
            lines.all.len()
        }
    };
    // A section begins after an empty line.
    if entry[0].starts_with("## ") && at > 0 && !lines.is_blank(at - 1) {
        entry.insert(0, String::new());
    }
    lines.insert(at, entry);
}
