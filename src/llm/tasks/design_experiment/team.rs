//! What the team knows, read for a design: what is sold, to whom, and what was learned.

use super::idea::{capital, share_of_replies};
use crate::contracts::untrusted::sanitize_line;
use crate::llm::tasks::words::{Words, overlap};
use crate::memory::TEMPLATE_MARK;

/// What is sold.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Product {
    /// What it is called in a sentence.
    pub(super) name: Option<String>,
    /// What it does, as it goes on after a colon.
    pub(super) promise: Option<String>,
    /// The same as a whole sentence.
    pub(super) pitch: Option<String>,
    /// For whom.
    pub(super) who: Option<String>,
    /// What may never be said or done.
    pub(super) never: Option<String>,
}

/// A learning that matters for a design.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Learned {
    pub(super) text: String,
    /// The share of replies that it speaks of.
    pub(super) good: Option<f64>,
    /// Who answers, by it.
    pub(super) who: Option<String>,
    /// The day on which they do, as cron names it.
    pub(super) day: Option<&'static str>,
}

/// Reads the product context.
pub(super) fn product(text: &str) -> Product {
    let lines: Vec<&str> = text
        .lines()
        .map(|line| line.trim().trim_start_matches(['-', '*', ' ']))
        .filter(|line| !line.is_empty() && !line.contains(TEMPLATE_MARK))
        .collect();
    let labelled = |names: &[&str]| {
        lines.iter().find_map(|line| {
            let (label, rest) = line.split_once(':')?;
            let label = label.trim_matches(['#', '*', ' ']).to_lowercase();
            (label.len() < 40 && names.iter().any(|name| label.contains(name)) && !rest.trim().is_empty())
                .then(|| rest.trim().trim_start_matches("**").trim().to_owned())
        })
    };
    let inline = |names: &[&str]| {
        names.iter().find_map(|name| {
            let at = text.to_lowercase().find(name)?;
            let rest = text.get(at + name.len()..)?;
            let end = rest.find(['.', '\n']).unwrap_or(rest.len());
            Some(rest[..end].trim().to_owned()).filter(|words| !words.is_empty())
        })
    };
    let prose = lines.iter().find(|line| !line.starts_with('#') && line.split(' ').count() > 3).copied();
    let sold = labelled(&["being sold", "what we sell", "product", "what it is", "what it does"])
        .or_else(|| prose.map(str::to_owned));
    let who = labelled(&["for whom", "audience", "buyers", "customers", "who", "icp"])
        .or_else(|| inline(&["buyers:", "audience:", "for whom:", "customers:"]));
    let mut product = Product {
        who: who.map(|who| capital(&first(&who))),
        never: labelled(&["never"]).map(|never| sanitize_line(&never, 300)),
        ..Product::default()
    };
    if let Some(sold) = sold {
        name_and_promise(&first(&sold), &mut product);
    }
    product.pitch = product.name.as_ref().zip(product.promise.as_ref()).map(|(name, promise)| pitch(name, promise));
    product
}

/// The first sentence, without its end.
fn first(text: &str) -> String {
    let text = sanitize_line(text, 400);
    let end = text
        .match_indices(['.', ';', '!', '⏎'])
        .map(|(at, _)| at)
        .find(|at| text[at + 1..].starts_with([' ', '⏎']) || at + 1 == text.len() || text[*at..].starts_with('⏎'));
    text[..end.unwrap_or(text.len())].trim().to_owned()
}

/// How a sentence begins that says what is ours.
const OURS: [&str; 15] = [
    "we sell ",
    "we make ",
    "we build ",
    "we offer ",
    "we are building ",
    "we're building ",
    "we are selling ",
    "we develop ",
    "we provide ",
    "i sell ",
    "i make ",
    "i build ",
    "our product is ",
    "the product is ",
    "our tool is ",
];

fn name_and_promise(sentence: &str, product: &mut Product) {
    let sentence = sentence.trim_end_matches('.');
    let begins = |words: &str| {
        let same = sentence.get(..words.len()).is_some_and(|head| head.eq_ignore_ascii_case(words));
        same.then(|| &sentence[words.len()..])
    };
    // "Our product, Tessera, scans APIs": what follows the name is what it does.
    let apposed = ["our product, ", "our tool, "].iter().find_map(|words| begins(words)?.split_once(", "));
    if let Some((name, what)) = apposed.filter(|(name, _)| is_named(name)) {
        product.name = Some(name.to_owned());
        product.promise = Some(said_of_it(what));
        return;
    }
    if let Some(rest) = OURS.iter().find_map(|words| begins(words)) {
        return ours_is(rest, product);
    }
    // "Tessera, an API scanner": a name, and what it is.
    if let Some((name, what)) = named(sentence) {
        product.name = Some(name.to_owned());
        product.promise = Some(relative(what).map_or_else(|| what.to_owned(), |(clause, _)| said_of_it(clause)));
        return;
    }
    let mut words = sentence.split(' ');
    let mut name: Vec<&str> = Vec::new();
    let mut rest: Vec<&str> = Vec::new();
    for word in words.by_ref() {
        let capital = word.chars().next().is_some_and(char::is_uppercase);
        if rest.is_empty() && capital && name.len() < 3 {
            name.push(word);
        } else {
            rest.push(word);
        }
    }
    let named = name.join(" ");
    if name.is_empty() || !is_named(&named) || rest.is_empty() {
        // "a build cache for platform teams"
        let (thing, to) = until(sentence, &[" for ", " to "]);
        product.name = Some(format!("our {}", without_article(thing).to_lowercase()));
        product.promise = to.map(|to| format!("made for {to}"));
        if product.who.is_none() {
            product.who = to.map(capital);
        }
        return;
    }
    product.name = Some(named);
    let what = rest.join(" ");
    product.promise = Some(match rest.first() {
        Some(&"which" | &"that") => said_of_it(&rest.get(1..).unwrap_or_default().join(" ")),
        _ => said_of_it(&what),
    });
}

/// What follows "We sell": "Tessera, which scans APIs, to CTOs", or "a build cache to platform teams", which has no name, and is ours.
fn ours_is(rest: &str, product: &mut Product) {
    let (name, promise, to) = if let Some((name, what)) = named(rest) {
        match relative(what) {
            Some((clause, to)) => (name.to_owned(), Some(said_of_it(clause)), to),
            None => {
                let (what, to) = until(what, &[", to ", ", for ", " for "]);
                (name.to_owned(), Some(what.to_owned()), to)
            }
        }
    } else if let Some((at, length)) = earliest(rest, &[", which ", ", that ", " which ", " that "]) {
        let (clause, to) = until(&rest[at + length..], &[", to ", ", for "]);
        let thing = rest[..at].trim();
        let name = if is_named(thing) { thing.to_owned() } else { format!("our {}", without_article(thing)) };
        (name, Some(said_of_it(clause)), to)
    } else {
        let (thing, to) = until(rest, &[" to ", " for "]);
        let name = if is_named(thing) { thing.to_owned() } else { format!("our {}", without_article(thing)) };
        (name, to.map(|to| format!("made for {to}")), to)
    };
    product.name = Some(name);
    product.promise = promise.filter(|promise| !promise.is_empty());
    if product.who.is_none() {
        product.who = to.map(capital);
    }
}

/// A name, and what is said of it: "Tessera, an API scanner", "Tessera (an API scanner)", "Tessera - an API scanner".
fn named(text: &str) -> Option<(&str, &str)> {
    let (at, length) = earliest(text, &[", ", " - ", " – ", " — ", ": ", " ("])?;
    let (name, what) = (text[..at].trim(), text[at + length..].trim());
    let what = if text[at..].starts_with(" (") { what.split(')').next().unwrap_or(what) } else { what };
    (is_named(name) && !what.is_empty()).then_some((name, what))
}

/// The rest of a clause that begins with "which" or "that", and for whom it is where that follows.
fn relative(what: &str) -> Option<(&str, Option<&str>)> {
    let clause = ["which ", "that "].iter().find_map(|word| what.strip_prefix(word))?;
    Some(until(clause, &[", to ", ", for "]))
}

/// What is said of a thing, as it goes on after a colon: "is a scanner" is "a scanner", "scans" is "it scans".
fn said_of_it(clause: &str) -> String {
    let clause = clause.trim();
    let (first, rest) = clause.split_once(' ').unwrap_or((clause, ""));
    match first.to_lowercase().as_str() {
        "is" | "are" if !rest.is_empty() => rest.trim().to_owned(),
        // Somebody else does something with it.
        "we" | "you" | "they" | "i" => format!("one that {clause}"),
        "it" | "a" | "an" | "the" | "" => clause.to_owned(),
        _ => format!("it {clause}"),
    }
}

/// Where the first of these begins, and how long it is.
fn earliest(text: &str, marks: &[&str]) -> Option<(usize, usize)> {
    marks.iter().filter_map(|mark| text.find(mark).map(|at| (at, mark.len()))).min()
}

/// The text before the first of these, and after it.
fn until<'a>(text: &'a str, marks: &[&str]) -> (&'a str, Option<&'a str>) {
    match earliest(text, marks) {
        Some((at, length)) => (text[..at].trim(), Some(text[at + length..].trim()).filter(|rest| !rest.is_empty())),
        None => (text.trim(), None),
    }
}

/// What is said of something, as a sentence: `it writes plans` becomes `Pylon writes plans.`, `an API scanner` becomes `Tessera is an API
/// scanner.`
fn pitch(name: &str, promise: &str) -> String {
    const THINGS: [&str; 6] = ["a ", "an ", "the ", "one ", "our ", "made for "];
    let (name, promise) = (capital(name), promise.trim_end_matches('.'));
    match promise.strip_prefix("it ") {
        Some(does) => format!("{name} {does}."),
        None if THINGS.iter().any(|thing| promise.starts_with(thing)) => format!("{name} is {promise}."),
        None => format!("{name}: {promise}."),
    }
}

/// Whether words are a name: one to three, with a capital letter, and none that begins any sentence.
fn is_named(words: &str) -> bool {
    const NONE: &[&str] = &["we", "our", "the", "a", "an", "i", "this", "it", "they", "my", "what", "for"];
    let words: Vec<_> = words.split(' ').collect();
    words.len() <= 3
        && words.first().is_some_and(|word| !NONE.contains(&word.to_lowercase().as_str()))
        && words.iter().all(|word| word.chars().next().is_some_and(|c| c.is_uppercase() || c.is_ascii_digit()))
}

fn without_article(text: &str) -> &str {
    ["a ", "an ", "the ", "our ", "A ", "An ", "The ", "Our "]
        .iter()
        .find_map(|article| text.strip_prefix(article))
        .unwrap_or(text)
        .trim()
}

/// The learnings that are about something, the likest first.
pub(super) fn learned(learnings: &str, tactical: &[String], about: &str) -> Vec<Learned> {
    let stems = Words::of(about).stems();
    let mut told: Vec<(String, String)> = Vec::new();
    for line in learnings.lines() {
        let plain = line.trim_start_matches(['-', ' ']);
        match plain.strip_prefix("**").and_then(|rest| rest.split_once("**")) {
            Some((headline, rest)) => told.push((format!("{headline}{rest}"), String::new())),
            None => {
                if let Some((_, evidence)) = told.last_mut().filter(|_| !line.starts_with('#')) {
                    evidence.push_str(plain);
                    evidence.push('\n');
                }
            }
        }
    }
    told.extend(tactical.iter().map(|text| (text.clone(), String::new())));
    let mut found: Vec<(f64, Learned)> = told
        .into_iter()
        .take(200)
        .map(|(text, evidence)| {
            let text = sanitize_line(&text, 240);
            let like = overlap(&stems, &Words::of(&text).stems());
            let numbers = measured(&text, &evidence);
            let learned = Learned {
                good: numbers.and_then(share_of_replies),
                who: numbers.and_then(|_| answering(&text)),
                day: numbers.and_then(|_| best_day(&text)),
                text,
            };
            (like, learned)
        })
        .filter(|(like, _)| *like > 0.15)
        .collect();
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    found.into_iter().map(|(_, learned)| learned).take(5).collect()
}

/// Where the numbers of a learning stand; none where they are no measure for the next one: what failed or was simulated, and complaints
/// about how few there were. The headline of an experiment's learning is what was believed; its numbers are in the evidence.
fn measured<'a>(text: &'a str, evidence: &'a str) -> Option<&'a str> {
    const NO_MEASURE: [&str; 8] =
        ["does not work", "simulation", "dry run", "only ", "just ", "merely ", "nobody", "no replies"];
    let low = text.to_lowercase();
    if NO_MEASURE.iter().any(|words| low.contains(words)) {
        return None;
    }
    Some(if low.starts_with("works:") { evidence } else { text })
}

/// Who answers, by a learning: `CTOs respond, CFOs don't`.
fn answering(text: &str) -> Option<String> {
    let low = text.to_lowercase();
    let at = [" respond", " reply", " answer"].iter().filter_map(|verb| low.find(verb)).min()?;
    let before = text.get(..at)?;
    let words: Vec<_> = before.split(' ').collect();
    let who = words.join(" ");
    let plain = words.len() <= 4
        && who.chars().all(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '/'))
        && !low.starts_with("no ");
    (plain && who.ends_with('s')).then(|| capital(&who))
}

fn best_day(text: &str) -> Option<&'static str> {
    const DAYS: [(&str, &str); 5] =
        [("monday", "MON"), ("tuesday", "TUE"), ("wednesday", "WED"), ("thursday", "THU"), ("friday", "FRI")];
    let low = text.to_lowercase();
    let praised = ["best", "most", "higher", "better", "more replies", "twice"].iter().any(|word| low.contains(word));
    DAYS.iter().find(|(day, _)| praised && low.contains(day)).map(|(_, cron)| *cron)
}
