//! Putting right what can be put right in a specification that others wrote.
//!
//! Owns what is changed, and says each change. Must never change what is said to people beyond taking out a placeholder, never make up a
//! number, and never drop a word: what cannot stay where it is goes into the notes or among what is to be learned.

mod criteria;
mod tools;

use chrono::NaiveDate;

use super::check::{self, Known, day_of, is_signature, slug};
use super::read::{self, Finding, Reading, Severity};
use super::spec::{FollowUp, Outreach, Span, Spec};
use crate::contracts::untrusted::sanitize_line;

/// Days until a follow-up for which none were named.
const AFTER_DAYS: u64 = 4;

/// What was changed.
#[derive(Default)]
struct Changes(Vec<Finding>);

impl Changes {
    fn add(&mut self, path: impl Into<String>, message: impl Into<String>) {
        let (path, message) = (path.into(), message.into());
        self.0.push(Finding { path, line: 0, column: 0, severity: Severity::Fixed, message, fix: None });
    }
}

/// Reads a specification, puts right what can be, and checks what came of it. `today` is for an id that names no day.
pub fn fix(text: &str, known: &Known, today: NaiveDate) -> Reading {
    let (draft, findings, places) = read::shape(text, known);
    let Some(mut spec) = draft else { return read::finished(None, findings) };
    let place = |finding: Finding| read::placed(finding, &places);
    // How it was read is how it is written from now on.
    let settled = |finding: Finding| match finding.severity {
        Severity::Warning => Finding { severity: Severity::Fixed, fix: None, ..finding },
        _ => finding,
    };
    let mut findings: Vec<Finding> = findings.into_iter().map(settled).collect();
    findings.extend(mend(&mut spec, known, today).into_iter().map(place));
    findings.extend(check::check(&spec, known).into_iter().map(place));
    read::finished(Some(spec), findings)
}

/// Puts right what can be, and says what was done.
pub fn mend(spec: &mut Spec, known: &Known, today: NaiveDate) -> Vec<Finding> {
    let mut changes = Changes::default();
    identity(spec, today, &mut changes);
    tools::mend(spec, known, &mut changes);
    if let Some(outreach) = &mut spec.outreach {
        said(outreach, &mut changes);
    }
    criteria::mend(spec, &mut changes);
    changes.0
}

fn identity(spec: &mut Spec, today: NaiveDate, changes: &mut Changes) {
    let clean = check::is_id(&spec.id) && day_of(&spec.id).is_some();
    if clean {
        return;
    }
    let digits: String = spec.id.chars().filter(char::is_ascii_digit).collect();
    let named = digits.get(..8).and_then(|day| NaiveDate::parse_from_str(day, "%Y%m%d").ok());
    let day = named.or(spec.created_at.map(|at| at.date_naive())).unwrap_or(today);
    let rest = slug(&spec.id);
    let rest = rest.trim_start_matches("exp_").trim_start_matches(|c: char| c.is_ascii_digit() || c == '_');
    let name = if rest.is_empty() { short(&spec.hypothesis) } else { rest.to_owned() };
    let id = format!("exp_{}_{}", day.format("%Y%m%d"), if name.is_empty() { "unnamed" } else { &name });
    changes.add("id", format!("`{}` is `{id}` now", sanitize_line(&spec.id, 60)));
    spec.id = id;
}

/// A short name made of a sentence: its first words that say something.
pub fn short(sentence: &str) -> String {
    const EMPTY: [&str; 25] = [
        "what", "the", "a", "an", "of", "to", "and", "or", "in", "on", "at", "for", "with", "who", "that", "our", "we",
        "are", "is", "will", "their", "if", "about", "by", "from",
    ];
    let words = sentence.split(|c: char| !c.is_alphanumeric()).map(slug);
    let words: Vec<_> = words.filter(|word| word.len() > 1 && !EMPTY.contains(&word.as_str())).take(4).collect();
    slug(&words.join("_"))
}

fn said(outreach: &mut Outreach, changes: &mut Changes) {
    if outreach.subject.is_none()
        && let Some(subject) = outreach.variants.iter().find_map(|variant| variant.subject.clone())
        && outreach.variants.iter().any(|variant| variant.subject.is_none())
    {
        let message = format!("variants without a subject have `{}`", sanitize_line(&subject, 80));
        changes.add("outreach.subject", message);
        outreach.subject = Some(subject);
    }
    if outreach.template.is_empty()
        && let Some(template) = outreach.variants.iter().find_map(|variant| variant.template.clone())
        && outreach.variants.iter().any(|variant| variant.template.is_none())
    {
        changes.add("outreach.template", "variants without a text have that of the first one that has one");
        outreach.template = template;
    }
    let name = outreach.sender_name.clone();
    let mut texts: Vec<(String, &mut String)> = vec![("outreach.template".to_owned(), &mut outreach.template)];
    for (index, variant) in outreach.variants.iter_mut().enumerate() {
        texts.extend(variant.template.as_mut().map(|text| (format!("outreach.variants[{index}].template"), text)));
    }
    for (index, follow_up) in outreach.follow_ups.iter_mut().enumerate() {
        texts.push((format!("outreach.follow_ups[{index}].template"), &mut follow_up.template));
    }
    for (path, text) in texts {
        if let Some(signed) = signed(text, name.as_deref()) {
            *text = signed;
            let message = match &name {
                Some(name) => format!("it is signed by {}", sanitize_line(name, 60)),
                None => "a signature that was a placeholder is taken out: whoever sends it signs it".to_owned(),
            };
            changes.add(path, message);
        }
    }
    let mut former = std::time::Duration::ZERO;
    for (index, FollowUp { after, .. }) in outreach.follow_ups.iter_mut().enumerate() {
        if after.0 <= former {
            *after = Span(former + std::time::Duration::from_hours(24 * AFTER_DAYS));
            changes.add(format!("outreach.follow_ups[{index}].after"), format!("it comes after {after}"));
        }
        former = after.0;
    }
}

/// The text with a real signature in the place of one that is a placeholder; none where there is none.
fn signed(text: &str, name: Option<&str>) -> Option<String> {
    if !text.lines().any(is_signature) {
        return None;
    }
    let mut is_signed = false;
    let mut lines: Vec<&str> = Vec::new();
    for line in text.lines() {
        if !is_signature(line) {
            lines.push(line);
        } else if let Some(name) = name.filter(|_| !is_signed) {
            is_signed = true;
            lines.push(name);
        }
    }
    Some(lines.join("\n").trim_end().to_owned())
}

/// Adds to the notes.
fn note(spec: &mut Spec, line: &str) {
    let notes = spec.notes.get_or_insert_default();
    if !notes.is_empty() {
        notes.push('\n');
    }
    notes.push_str(line);
}
