//! What a sentence may have meant as a criterion: `At least 1 meeting booked` as `meetings_booked >= 1`.
//!
//! Must never be taken for what was written: it is shown to a person, who takes it or not. Where no number can be read out of a sentence, or
//! more than one, there is no suggestion.

use super::parse::{self, time_in_words};
use super::{Comparison, LONGEST};
use crate::config::duration;

/// Phrases in the singular, the longer ones first, and what counts them.
const SHARES: [(&str, &str); 19] = [
    ("positive reply rate", "positive_reply_rate"),
    ("positive response rate", "positive_reply_rate"),
    ("negative reply rate", "negative_reply_rate"),
    ("reply rate", "reply_rate"),
    ("response rate", "response_rate"),
    ("open rate", "open_rate"),
    ("click through rate", "click_through_rate"),
    ("click rate", "click_rate"),
    ("ctr", "click_through_rate"),
    ("bounce rate", "bounce_rate"),
    ("unsubscribe rate", "unsubscribe_rate"),
    ("opt out rate", "unsubscribe_rate"),
    ("meeting booked rate", "meeting_booked_rate"),
    ("meeting rate", "meeting_rate"),
    ("booking rate", "meeting_rate"),
    ("spam complaint rate", "spam_rate"),
    ("complaint rate", "spam_rate"),
    ("spam rate", "spam_rate"),
    ("delivery rate", "delivery_rate"),
];
const COUNTERS: [(&str, &str); 26] = [
    ("positive reply", "positive_replies"),
    ("positive response", "positive_replies"),
    ("positive sentiment", "positive_replies"),
    ("interested reply", "positive_replies"),
    ("interested response", "positive_replies"),
    ("negative reply", "negative_replies"),
    ("negative response", "negative_replies"),
    ("negative sentiment", "negative_replies"),
    ("spam complaint", "spam_complaints"),
    ("spam report", "spam_complaints"),
    ("demo call", "meetings_booked"),
    ("call booked", "meetings_booked"),
    ("meeting", "meetings_booked"),
    ("demo", "meetings_booked"),
    ("opt out", "unsubscribes"),
    ("unsubscribe", "unsubscribes"),
    ("bounce", "bounces"),
    ("click", "link_clicks"),
    ("open", "emails_opened"),
    ("opened", "emails_opened"),
    ("reply", "replies"),
    ("response", "replies"),
    ("email", "emails_sent"),
    ("mail", "emails_sent"),
    ("send", "emails_sent"),
    ("message", "emails_sent"),
];
/// Words that compare, in front of a number.
const COMPARING: [(&[&str], Comparison); 20] = [
    (&["no", "fewer", "than"], Comparison::AtLeast),
    (&["no", "less", "than"], Comparison::AtLeast),
    (&["no", "more", "than"], Comparison::AtMost),
    (&["at", "least"], Comparison::AtLeast),
    (&["at", "most"], Comparison::AtMost),
    (&["up", "to"], Comparison::AtMost),
    (&["more", "than"], Comparison::Above),
    (&["greater", "than"], Comparison::Above),
    (&["higher", "than"], Comparison::Above),
    (&["less", "than"], Comparison::Below),
    (&["fewer", "than"], Comparison::Below),
    (&["lower", "than"], Comparison::Below),
    (&["minimum"], Comparison::AtLeast),
    (&["maximum"], Comparison::AtMost),
    (&["over"], Comparison::Above),
    (&["above"], Comparison::Above),
    (&["exceeds"], Comparison::Above),
    (&["under"], Comparison::Below),
    (&["below"], Comparison::Below),
    (&["exactly"], Comparison::Equal),
];
/// Where the name of something ends.
const STOPS: [&str; 24] = [
    "to", "from", "in", "with", "by", "for", "of", "that", "who", "per", "after", "and", "or", "the", "a", "an", "is",
    "are", "on", "at", "than", "within", "as", "be",
];
/// Words that say the opposite of what stands beside them.
const NOT: [&str; 18] = [
    "not", "never", "nobody", "none", "without", "fail", "fails", "failed", "don", "doesn", "dont", "doesnt", "isn",
    "aren", "didn", "unless", "except", "no",
];
const NUMBERS: [(&str, f64); 11] = [
    ("zero", 0.0),
    ("no", 0.0),
    ("one", 1.0),
    ("two", 2.0),
    ("three", 3.0),
    ("four", 4.0),
    ("five", 5.0),
    ("six", 6.0),
    ("seven", 7.0),
    ("eight", 8.0),
    ("ten", 10.0),
];

#[derive(Debug, Clone, PartialEq)]
enum Part {
    Word(String),
    Number { value: f64, is_percent: bool, or_more: bool },
    Compare(Comparison),
}

/// A criterion that this text may have meant.
pub(super) fn suggestion(text: &str) -> Option<String> {
    if text.len() > LONGEST {
        return None;
    }
    let text = without_asides(text).to_lowercase();
    if let Some((name, "true" | "yes")) = text.split_once(':').map(|(name, value)| (name.trim(), value.trim())) {
        return checked(&format!("{} >= 1", name.split_whitespace().collect::<Vec<_>>().join("_")));
    }
    let mut parts = parts(&text);
    let mut suffixes = take_suffixes(&mut parts);
    let (how, number, at, taken) = the_comparison(&parts)?;
    // That there were few by a day is known on that day, and not before.
    if matches!(how, Comparison::Below | Comparison::AtMost | Comparison::Equal) {
        suffixes = suffixes.replace(" within ", " after ");
    }
    let Part::Number { value, is_percent, .. } = number else { return None };
    let before = words(&parts[..at]);
    let behind = words(&parts[at + taken..]);
    // Turned round by a word that the number does not know of.
    if before.iter().chain(&behind).any(|word| NOT.contains(&word.as_str())) {
        return None;
    }
    let (what, is_share) = measured(&before, &behind, is_percent)?;
    // Eight, of a share, are eight percent.
    let is_percent = is_percent || (is_share && value >= 1.0);
    let sign = if is_percent { "%" } else { "" };
    checked(&format!("{what} {} {value}{sign}{suffixes}", how.as_str()))
}

/// As it would be written, if it can be read.
fn checked(text: &str) -> Option<String> {
    parse::criterion(text).ok().map(|criterion| criterion.to_string())
}

/// Without what stands in parentheses.
fn without_asides(text: &str) -> String {
    let mut depth = 0_usize;
    let outside = text.chars().filter(|c| {
        match c {
            '(' => depth += 1,
            ')' => {
                depth = depth.saturating_sub(1);
                return false;
            }
            _ => {}
        }
        depth == 0
    });
    outside.collect()
}

fn parts(text: &str) -> Vec<Part> {
    let chars: Vec<char> = text.chars().collect();
    let mut parts = Vec::new();
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        let second = chars.get(at + 1).copied();
        let how = match (c, second) {
            ('>', Some('=')) => Some((Comparison::AtLeast, 2)),
            ('<', Some('=')) => Some((Comparison::AtMost, 2)),
            ('=', Some('=')) => Some((Comparison::Equal, 2)),
            ('!', Some('=')) => Some((Comparison::Unequal, 2)),
            ('>', _) => Some((Comparison::Above, 1)),
            ('<', _) => Some((Comparison::Below, 1)),
            ('≥', _) => Some((Comparison::AtLeast, 1)),
            ('≤', _) => Some((Comparison::AtMost, 1)),
            ('=', _) => Some((Comparison::Equal, 1)),
            _ => None,
        };
        if let Some((how, taken)) = how {
            parts.push(Part::Compare(how));
            at += taken;
        } else if c.is_ascii_digit() {
            let (part, taken) = number(&chars[at..]);
            parts.extend(part);
            at += taken;
        } else if c.is_alphabetic() || c == '_' {
            let word: String = chars[at..].iter().take_while(|c| c.is_alphanumeric() || **c == '_').collect();
            at += word.chars().count();
            match (word.as_str(), parts.last_mut()) {
                ("percent" | "pct", Some(Part::Number { is_percent, .. })) => *is_percent = true,
                _ => parts.push(Part::Word(word)),
            }
        } else {
            at += 1;
        }
    }
    parts
}

/// `8`, `8.5%`, `1,000`, `16+`, and of `1-2` the first.
fn number(rest: &[char]) -> (Option<Part>, usize) {
    let digits = |from: usize| rest[from..].iter().take_while(|c| c.is_ascii_digit() || matches!(c, '.' | ',')).count();
    let mut taken = digits(0);
    let text: String = rest[..taken].iter().filter(|c| **c != ',').collect();
    let text = text.trim_end_matches('.');
    if matches!(rest.get(taken), Some('-' | '–')) && rest.get(taken + 1).is_some_and(char::is_ascii_digit) {
        taken += 1 + digits(taken + 1);
    }
    let is_percent = rest.get(taken) == Some(&'%');
    taken += usize::from(is_percent);
    let or_more = rest.get(taken) == Some(&'+');
    taken += usize::from(or_more);
    let part = text.parse().ok().map(|value| Part::Number { value, is_percent, or_more });
    (part, taken)
}

/// Takes lengths of time and least numbers out, and gives them as suffixes.
fn take_suffixes(parts: &mut Vec<Part>) -> String {
    let mut suffixes = String::new();
    let mut at = 0;
    while at + 2 < parts.len() {
        let [Part::Word(word), Part::Number { value, is_percent: false, .. }, Part::Word(unit)] = &parts[at..at + 3]
        else {
            at += 1;
            continue;
        };
        let word = match word.as_str() {
            "after" => "after",
            "within" | "in" | "first" | "by" => "within",
            "for" => "for",
            _ => {
                at += 1;
                continue;
            }
        };
        let suffix = match (time_in_words(*value, unit), crate::experiments::events::event_of(unit)) {
            (Some(length), _) => format!(" {word} {}", duration::show(length)),
            (None, Some(event)) if word == "after" => format!(" after {value} {event}"),
            _ => {
                at += 1;
                continue;
            }
        };
        suffixes.push_str(&suffix);
        parts.drain(at..at + 3);
    }
    suffixes
}

/// The one comparison with a number: how, with what, where it stands, and how many parts it takes.
fn the_comparison(parts: &[Part]) -> Option<(Comparison, Part, usize, usize)> {
    let mut found = None;
    let mut at = 0;
    while at < parts.len() {
        if let Some((how, number, taken)) = comparison_at(&parts[at..]) {
            // More than one: nobody knows which was meant.
            if found.replace((how, number, at, taken)).is_some() {
                return None;
            }
            at += taken;
        } else {
            at += 1;
        }
    }
    found
}

fn comparison_at(parts: &[Part]) -> Option<(Comparison, Part, usize)> {
    let word = |at: usize| match parts.get(at) {
        Some(Part::Word(word)) => Some(word.as_str()),
        _ => None,
    };
    for (words, how) in COMPARING {
        if words.iter().enumerate().all(|(at, wanted)| word(at) == Some(*wanted)) {
            let number = number_at(parts, words.len())?;
            return Some((how, number, words.len() + 1));
        }
    }
    match parts.first()? {
        Part::Compare(how) => Some((*how, number_at(parts, 1)?, 2)),
        number @ Part::Number { .. } => Some((Comparison::AtLeast, number.clone(), 1)),
        Part::Word(word) if matches!(word.as_str(), "zero" | "no") => {
            Some((Comparison::Equal, number_at(parts, 0)?, 1))
        }
        Part::Word(_) => None,
    }
}

fn number_at(parts: &[Part], at: usize) -> Option<Part> {
    match parts.get(at)? {
        number @ Part::Number { .. } => Some(number.clone()),
        Part::Word(word) => NUMBERS.iter().find(|(known, _)| known == word).map(|(_, value)| Part::Number {
            value: *value,
            is_percent: false,
            or_more: false,
        }),
        Part::Compare(_) => None,
    }
}

/// The words, in the singular.
fn words(parts: &[Part]) -> Vec<String> {
    let word = |part: &Part| match part {
        Part::Word(word) => Some(word.clone()),
        _ => None,
    };
    parts.iter().filter_map(word).collect()
}

fn singular(word: &str) -> String {
    match word.strip_suffix("ies") {
        Some(stem) => format!("{stem}y"),
        None => word.strip_suffix('s').filter(|stem| !stem.ends_with('s')).unwrap_or(word).to_owned(),
    }
}

/// What is measured, and whether it is a share.
fn measured(before: &[String], behind: &[String], is_percent: bool) -> Option<(String, bool)> {
    let all = [before, behind].concat();
    match found_in(&line(&all), &SHARES).as_slice() {
        [] => {}
        [share] => return Some(((*share).to_owned(), true)),
        // Which of them was meant, nobody knows.
        _ => return None,
    }
    if let Some(at) = all.iter().position(|word| word == "rate") {
        let named = name(all[..at].iter().rev().take_while(|word| !STOPS.contains(&word.as_str())).take(3).collect())?;
        return Some((format!("{named}_rate"), true));
    }
    if is_percent {
        return part_of(before, behind).map(|share| (share, true));
    }
    // What stands behind the number is what is counted; in front of it only where there is one thing alone.
    let mut counted = found_in(&line(behind), &COUNTERS);
    let is_behind = !counted.is_empty();
    let words = if is_behind { behind } else { before };
    if !is_behind {
        counted = found_in(&line(before), &COUNTERS);
    }
    let joined = words.iter().any(|word| word == "or" || word == "and");
    match counted.as_slice() {
        [one] => Some(((*one).to_owned(), false)),
        // `unsubscribes or negative replies`
        [_, _, ..] if joined => Some((counted.iter().take(3).copied().collect::<Vec<_>>().join(" + "), false)),
        [first, _, ..] if is_behind => Some(((*first).to_owned(), false)),
        [_, _, ..] => None,
        [] => {
            let until_stop = |words: &[String]| -> Vec<String> {
                words.iter().take_while(|word| !STOPS.contains(&word.as_str())).take(3).cloned().collect()
            };
            let (behind, before) = (until_stop(behind), until_stop(before));
            let words = if behind.is_empty() { before } else { behind };
            name(words.iter().rev().collect()).map(|name| (name, false))
        }
    }
}

/// `N% of X are Y`, and `Y in N% of X`: Y / X. Anything else may be meant either way round.
fn part_of(before: &[String], behind: &[String]) -> Option<String> {
    let mut rest = behind.strip_prefix(&["of".to_owned()])?;
    while let [first, more @ ..] = rest
        && matches!(first.as_str(), "all" | "the" | "our" | "those" | "these" | "sent")
    {
        rest = more;
    }
    // What it is a part of: the first counter, of one word or two.
    let (whole, rest) = (1..=rest.len().min(2)).rev().find_map(|length| {
        let (head, tail) = rest.split_at(length);
        match found_in(&line(head), &COUNTERS).as_slice() {
            // `emails bounce` are two.
            [whole] if length == 1 || found_in(&line(&head[..1]), &COUNTERS).is_empty() => Some((*whole, tail)),
            _ => None,
        }
    })?;
    let mut parts = found_in(&line(rest), &COUNTERS);
    parts.retain(|part| *part != whole);
    if whole == "replies" {
        // `of replies are positive`
        let kinds =
            [("positive", "positive_replies"), ("interested", "positive_replies"), ("negative", "negative_replies")];
        parts.extend(kinds.iter().filter(|(word, _)| rest.iter().any(|it| it == word)).map(|(_, kind)| *kind));
        parts.dedup();
    }
    if parts.is_empty() {
        parts = found_in(&line(before), &COUNTERS);
    }
    match parts.as_slice() {
        [part] if *part != whole => Some(format!("{part} / {whole}")),
        _ => None,
    }
}

/// Words in the singular, with spaces around each.
fn line(words: &[String]) -> String {
    format!(" {} ", words.iter().map(|word| singular(word)).collect::<Vec<_>>().join(" "))
}

/// What a table has for the phrases of a line, in their order, each once.
fn found_in(line: &str, table: &[(&str, &'static str)]) -> Vec<&'static str> {
    let mut rest = line.to_owned();
    let mut found: Vec<(usize, &str)> = Vec::new();
    for (phrase, meant) in table {
        let phrase = format!(" {phrase} ");
        while let Some(at) = rest.find(&phrase) {
            found.push((at, meant));
            // The same length, so that places stay comparable, and what was found is not found again as a part of it.
            rest.replace_range(at + 1..at + phrase.len() - 1, &"_".repeat(phrase.len() - 2));
        }
    }
    found.sort_unstable();
    let mut all: Vec<&str> = Vec::new();
    for (_, meant) in found {
        if !all.contains(&meant) {
            all.push(meant);
        }
    }
    all
}

/// A name made of words that were collected from the last to the first.
fn name(mut words: Vec<&String>) -> Option<String> {
    words.reverse();
    let name = words.iter().map(|word| word.as_str()).collect::<Vec<_>>().join("_");
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (!name.is_empty() && name.chars().all(fits)).then_some(name)
}
