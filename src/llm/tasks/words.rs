//! Words: how the rules of thumb read what people write.
//!
//! Owns the reading: case, accents, repeated letters and small typing errors do not matter, and a word is a whole word. Must never
//! decide anything.

mod stems;
#[cfg(test)]
mod tests;

pub(super) use stems::{Stems, common, cover, overlap};

/// Words that are one typing error away from others, and right as they are.
const RIGHT: &str = "lunch, launch, match, watch, series, posted, poster, posters, better, letter, weather, whether, costs, coasts, failed, sailed, calendar, mailed, boarder, border, blocks, clocks, buying, burying, stopped, shopped, archive, archived";

/// Most characters of a text that are read.
const READ: usize = 4_000;

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
            if !push_plain(character, &mut word) && !matches!(character, '\'' | '\u{2019}') && !word.is_empty() {
                // People write don't and dont, so an apostrophe is nothing.
                words.push(squeezed(&std::mem::take(&mut word)));
            }
        }
        Self { line: format!(" {} ", words.join(" ")), words }
    }

    /// These words, and then those.
    pub(super) fn and(mut self, more: &Self) -> Self {
        self.line.push_str(more.line.trim_start());
        self.words.extend_from_slice(&more.words);
        self
    }

    /// The words.
    pub(super) fn list(&self) -> &[String] {
        &self.words
    }

    /// How many words.
    pub(super) fn len(&self) -> usize {
        self.words.len()
    }

    /// Whether it has one of these words and phrases, which stand in a list with commas.
    pub(super) fn has(&self, wanted: &str) -> bool {
        self.first_of(wanted).is_some()
    }

    /// The first of these that it has.
    pub(super) fn first_of<'a>(&self, wanted: &'a str) -> Option<&'a str> {
        listed(wanted).find(|wanted| self.has_one(wanted))
    }

    /// Whether it begins with one of these.
    pub(super) fn begins(&self, wanted: &str) -> bool {
        listed(wanted).any(|wanted| {
            let rest = self.line.get(1..).and_then(|line| line.strip_prefix(wanted));
            rest.is_some_and(|rest| rest.starts_with(' '))
        })
    }

    fn has_one(&self, wanted: &str) -> bool {
        if wanted.contains(' ') {
            return self
                .line
                .match_indices(wanted)
                .any(|(at, _)| self.line[..at].ends_with(' ') && self.line[at + wanted.len()..].starts_with(' '));
        }
        self.words.iter().any(|word| alike(word, wanted))
    }

    /// What it is about: the stems of its telling words.
    pub(super) fn stems(&self) -> Stems {
        stems::of(&self.words)
    }

    /// Whether it has a number, in digits or in words.
    pub(super) fn counts(&self) -> bool {
        const NUMBERS: &str = "\
            two, three, four, five, six, seven, eight, nine, ten, eleven, twelve, twenty, thirty, fifty, hundred, \
            dozen, half, zero, twice";
        self.words.iter().any(|word| word.starts_with(|c: char| c.is_ascii_digit()) || is_listed(word, NUMBERS))
    }
}

/// Whether a word is one of these.
pub(super) fn is_listed(word: &str, list: &str) -> bool {
    listed(list).any(|member| member == word)
}

/// The members of a list with commas.
fn listed(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim)
}

/// Adds a letter or digit as it is compared; false for what stands between words.
fn push_plain(character: char, word: &mut String) -> bool {
    let character = if character.is_ascii() { character.to_ascii_lowercase() } else { lower(character) };
    let plain = match character {
        'à'..='å' | 'ā' | 'ą' | 'ă' => "a",
        'æ' => "ae",
        'ç' | 'ć' | 'č' => "c",
        'è'..='ë' | 'ē' | 'ę' | 'ě' => "e",
        'ì'..='ï' | 'ī' | 'ı' => "i",
        'ñ' | 'ń' | 'ň' => "n",
        'ò'..='ö' | 'ø' | 'ō' | 'ő' => "o",
        'œ' => "oe",
        'ù'..='ü' | 'ū' | 'ů' | 'ű' => "u",
        'ý' | 'ÿ' => "y",
        'ß' => "ss",
        'ł' => "l",
        'ś' | 'š' => "s",
        'ź' | 'ż' | 'ž' => "z",
        'ř' => "r",
        'đ' | 'ď' => "d",
        'ť' => "t",
        other if other.is_alphanumeric() || other == '_' => {
            word.push(other);
            return true;
        }
        _ => return false,
    };
    word.push_str(plain);
    true
}

fn lower(character: char) -> char {
    character.to_lowercase().next().unwrap_or(character)
}

/// Three and more of a letter are two: `sooooo`.
fn squeezed(word: &str) -> String {
    let mut out = String::with_capacity(word.len());
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

/// The same word but for one typing error, in words that are long enough to bear it.
fn alike(word: &str, wanted: &str) -> bool {
    word == wanted
        || (wanted.len() >= 6
            && word.len().abs_diff(wanted.len()) <= 1
            && word.as_bytes().first() == wanted.as_bytes().first()
            && strsim::damerau_levenshtein(word, wanted) <= 1
            && !is_listed(word, RIGHT))
}
