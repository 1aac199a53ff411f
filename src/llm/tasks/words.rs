//! Words: how the rules of thumb read what people write.
//!
//! Owns the reading: case, accents, repeated letters and small typing errors do not matter, and a word is a whole word. Must never
//! decide anything.

use std::collections::BTreeSet;

/// Most characters of a text that are read.
const READ: usize = 20_000;

/// Words that say nothing about what a text is about.
const EMPTY: &[&str] = &[
    "a",
    "an",
    "the",
    "and",
    "or",
    "but",
    "if",
    "then",
    "than",
    "that",
    "this",
    "these",
    "those",
    "of",
    "to",
    "in",
    "on",
    "at",
    "by",
    "for",
    "from",
    "with",
    "about",
    "as",
    "into",
    "is",
    "are",
    "was",
    "were",
    "be",
    "been",
    "am",
    "do",
    "does",
    "did",
    "have",
    "has",
    "had",
    "will",
    "would",
    "can",
    "could",
    "should",
    "may",
    "might",
    "must",
    "i",
    "me",
    "my",
    "we",
    "us",
    "our",
    "you",
    "your",
    "he",
    "she",
    "it",
    "its",
    "they",
    "them",
    "their",
    "who",
    "what",
    "which",
    "when",
    "where",
    "why",
    "how",
    "not",
    "no",
    "yes",
    "so",
    "too",
    "very",
    "just",
    "only",
    "also",
    "all",
    "any",
    "some",
    "each",
    "every",
    "more",
    "most",
    "one",
    "there",
    "here",
    "now",
    "again",
    "please",
    "up",
    "out",
    "off",
    "over",
    "s",
    "t",
    "re",
    "ll",
    "d",
    "m",
    "ve",
    "let",
    "lets",
    "maybe",
    "people",
    "get",
    "go",
    "make",
    "want",
    "like",
    "really",
    "active",
    "ready",
    "priority",
    "high",
    "low",
    "medium",
    "action",
    "exp",
    "experiment",
    "experiments",
    "idea",
    "ideas",
    "test",
    "try",
];

/// A text, read.
#[derive(Debug, Clone, Default)]
pub(super) struct Words {
    /// The words with single spaces between and around them.
    line: String,
    words: Vec<String>,
}

impl Words {
    /// Reads a text.
    pub(super) fn of(text: &str) -> Self {
        let mut words: Vec<String> = Vec::new();
        let mut word = String::new();
        for character in text.chars().take(READ).chain([' ']) {
            match plain(character) {
                Some(part) => word.push_str(&part),
                // People write don't and dont.
                None if matches!(character, '\'' | '\u{2019}') => {}
                None if word.is_empty() => {}
                None => words.push(squeezed(&std::mem::take(&mut word))),
            }
        }
        Self { line: format!(" {} ", words.join(" ")), words }
    }

    /// The words.
    pub(super) fn list(&self) -> &[String] {
        &self.words
    }

    /// Whether it has one of these, each a word or several.
    pub(super) fn has(&self, wanted: &[&str]) -> bool {
        wanted.iter().any(|wanted| self.has_one(wanted))
    }

    /// The first of these that it has.
    pub(super) fn first_of<'a>(&self, wanted: &[&'a str]) -> Option<&'a str> {
        wanted.iter().copied().find(|wanted| self.has_one(wanted))
    }

    /// Whether it begins with one of these.
    pub(super) fn begins(&self, wanted: &[&str]) -> bool {
        wanted.iter().any(|wanted| self.line.starts_with(&format!(" {wanted} ")))
    }

    fn has_one(&self, wanted: &str) -> bool {
        if wanted.contains(' ') || wanted.len() < 5 {
            return self.line.contains(&format!(" {wanted} "));
        }
        self.words.iter().any(|word| alike(word, wanted))
    }

    /// What it is about: the stems of its telling words.
    pub(super) fn stems(&self) -> BTreeSet<String> {
        self.words
            .iter()
            .filter(|word| !EMPTY.contains(&word.as_str()) && word.len() > 1)
            .map(|word| stem(word))
            .collect()
    }

    /// Whether it has a number, in digits or in words.
    pub(super) fn counts(&self) -> bool {
        const NUMBERS: &[&str] = &[
            "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "twelve", "twenty", "hundred",
            "half", "nobody", "none",
        ];
        self.words.iter().any(|word| word.starts_with(|c: char| c.is_ascii_digit()) || NUMBERS.contains(&word.as_str()))
    }
}

/// How much of the smaller set of stems the other has: 0 for nothing, 1 for all of it. Sets of one say little.
pub(super) fn overlap(a: &BTreeSet<String>, b: &BTreeSet<String>) -> f64 {
    let smaller = a.len().min(b.len());
    if smaller == 0 {
        return 0.0;
    }
    let common = a.intersection(b).count();
    #[expect(clippy::cast_precision_loss, reason = "a share of some dozens")]
    let share = common as f64 / smaller.max(3) as f64;
    share
}

/// A letter or digit as it is compared; none for what stands between words.
fn plain(character: char) -> Option<String> {
    let lower: String = character.to_lowercase().collect();
    let same = |text: &str| Some(text.to_owned());
    match lower.chars().next()? {
        'à'..='å' | 'ā' | 'ą' | 'ă' => same("a"),
        'æ' => same("ae"),
        'ç' | 'ć' | 'č' => same("c"),
        'è'..='ë' | 'ē' | 'ę' | 'ě' => same("e"),
        'ì'..='ï' | 'ī' | 'ı' => same("i"),
        'ñ' | 'ń' | 'ň' => same("n"),
        'ò'..='ö' | 'ø' | 'ō' | 'ő' => same("o"),
        'œ' => same("oe"),
        'ù'..='ü' | 'ū' | 'ů' | 'ű' => same("u"),
        'ý' | 'ÿ' => same("y"),
        'ß' => same("ss"),
        'ł' => same("l"),
        'ś' | 'š' => same("s"),
        'ź' | 'ż' | 'ž' => same("z"),
        'ř' => same("r"),
        'đ' | 'ď' => same("d"),
        'ť' => same("t"),
        '_' => same("_"),
        c if c.is_alphanumeric() => Some(lower),
        _ => None,
    }
}

/// Three and more of a letter are two: `sooooo`.
fn squeezed(word: &str) -> String {
    let mut out = String::new();
    let (mut last, mut run) = (None, 0);
    for c in word.chars() {
        run = if Some(c) == last { run + 1 } else { 1 };
        last = Some(c);
        if run <= 2 || !c.is_alphabetic() {
            out.push(c);
        }
    }
    out
}

/// The same word but for one typing error.
fn alike(word: &str, wanted: &str) -> bool {
    word == wanted
        || (wanted.len() >= 6
            && word.len().abs_diff(wanted.len()) <= 1
            && word.as_bytes().first() == wanted.as_bytes().first()
            && strsim::damerau_levenshtein(word, wanted) <= 1)
}

/// A word without its ending, roughly: enough to see that `mailing` and `mails` are the same.
fn stem(word: &str) -> String {
    for ending in ["ations", "ation", "ings", "ing", "ers", "ies", "ied", "er", "ed", "es", "ly", "s", "y"] {
        if let Some(rest) = word.strip_suffix(ending)
            && rest.chars().count() >= 4
        {
            return rest.to_owned();
        }
    }
    word.strip_suffix('s').filter(|rest| rest.len() >= 3).unwrap_or(word).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_a_whole_word_whatever_its_dress() {
        let words = Words::of("URGNT!!! Können wir das boken… SOOOO don’t nonstop");
        assert!(words.has(&["urgent"]) && words.has(&["broken"]) && words.has(&["konnen wir"]) && words.has(&["dont"]));
        assert!(!words.has(&["stop"]));
        assert!(words.begins(&["urgnt"]));
    }

    #[test]
    fn the_same_thing_in_other_words_overlaps() {
        let a = Words::of("we should mail CTOs who starred our competitors").stems();
        let b = Words::of("CTOs who star a competitor answer mails").stems();
        assert!(overlap(&a, &b) > 0.7, "{a:?} {b:?}");
        assert!(overlap(&a, &Words::of("sponsor a breakfast in Brno").stems()) < 0.1);
    }
}
