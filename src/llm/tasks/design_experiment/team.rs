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

fn name_and_promise(sentence: &str, product: &mut Product) {
    let sentence = sentence.trim_end_matches('.');
    // "We sell a build cache to platform teams": it has no name, and is ours.
    let low = sentence.to_lowercase();
    for verb in [
        "we sell ",
        "we make ",
        "we build ",
        "we offer ",
        "we are building ",
        "we provide ",
        "i sell ",
        "i make ",
        "i build ",
    ] {
        let Some(rest) = low.starts_with(verb).then(|| &sentence[verb.len()..]) else { continue };
        let (thing, to) = split_at_word(rest, &["to", "for"]);
        let named = thing.split_once(", ").filter(|(name, _)| is_named(name));
        match named {
            Some((name, what)) => {
                product.name = Some(name.to_owned());
                product.promise = Some(what.to_owned());
            }
            None => {
                product.name = Some(format!("our {}", without_article(thing)));
                product.promise = to.map(|to| format!("made for {to}"));
            }
        }
        if product.who.is_none() {
            product.who = to.map(capital);
        }
        return;
    }
    // "Tessera, an API scanner": a name, and what it is.
    if let Some((name, what)) =
        sentence.split_once(", ").or_else(|| sentence.split_once(" - ")).or_else(|| sentence.split_once(": "))
        && is_named(name)
    {
        product.name = Some(name.trim().to_owned());
        product.promise = Some(what.trim().to_owned());
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
        let (thing, to) = split_at_word(sentence, &["for", "to"]);
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
        Some(&"is" | &"are") => rest.get(1..).unwrap_or_default().join(" "),
        _ => format!("it {what}"),
    });
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
    ["a ", "an ", "the ", "A ", "An ", "The "]
        .iter()
        .find_map(|article| text.strip_prefix(article))
        .unwrap_or(text)
        .trim()
}

fn split_at_word<'a>(text: &'a str, words: &[&str]) -> (&'a str, Option<&'a str>) {
    let at = words.iter().filter_map(|word| text.find(&format!(" {word} ")).map(|at| (at, word.len()))).min();
    match at {
        Some((at, length)) => (text[..at].trim(), Some(text[at + length + 2..].trim()).filter(|rest| !rest.is_empty())),
        None => (text.trim(), None),
    }
}

/// The learnings that are about something, the likest first.
pub(super) fn learned(learnings: &str, tactical: &[String], about: &str) -> Vec<Learned> {
    let stems = Words::of(about).stems();
    let headlines = learnings.lines().filter_map(|line| {
        let (headline, rest) = line.trim_start_matches(['-', ' ']).strip_prefix("**")?.split_once("**")?;
        Some(format!("{headline}{rest}"))
    });
    let mut found: Vec<(f64, Learned)> = headlines
        .chain(tactical.iter().cloned())
        .take(200)
        .map(|text| {
            let text = sanitize_line(&text, 240);
            let like = overlap(&stems, &Words::of(&text).stems());
            (like, Learned { good: share_of_replies(&text), who: answering(&text), day: best_day(&text), text })
        })
        .filter(|(like, _)| *like > 0.15)
        .collect();
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    found.into_iter().map(|(_, learned)| learned).take(5).collect()
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
