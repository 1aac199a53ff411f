//! What of a text is looked at: its words and pairs of words, pieces of words, and the kinds of words that it has.
//!
//! Owns the kinds, which are read from a list. Must never know what is wanted.

use std::collections::HashMap;
use std::sync::LazyLock;

/// The kinds of words, each with its words.
const KINDS: &str = include_str!("../../../../assets/judgement/kinds.txt");
/// Pieces of words have so many letters.
const PIECE: usize = 4;
/// Most words that are looked at.
const LOOKED_AT: usize = 60;

/// The kinds, ready to be looked up.
#[derive(Default)]
struct Kinds {
    /// A word, or a phrase, with the kinds it is of: one bit each.
    of: HashMap<&'static str, u64>,
    /// How many words the longest phrase has that begins with a word.
    longest: HashMap<&'static str, usize>,
}

static KNOWN: LazyLock<Kinds> = LazyLock::new(|| {
    let mut kinds = Kinds::default();
    let lines = KINDS.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(':'));
    for (bit, (_, phrases)) in lines.enumerate().take(64) {
        for phrase in phrases.split(',').map(str::trim) {
            *kinds.of.entry(phrase).or_default() |= 1 << bit;
            let first = phrase.split(' ').next().unwrap_or(phrase);
            let longest = kinds.longest.entry(first).or_default();
            *longest = (*longest).max(phrase.split(' ').count());
        }
    }
    kinds
});

/// The kinds of the phrases that begin at each word.
fn kinds(words: &[&str]) -> Vec<u64> {
    let known = &*KNOWN;
    let at = |at: usize| {
        let longest = known.longest.get(words[at]).copied().unwrap_or_default().min(words.len() - at);
        let mut phrase = String::new();
        words[at..at + longest].iter().fold(0, |kinds, word| {
            if !phrase.is_empty() {
                phrase.push(' ');
            }
            phrase.push_str(word);
            kinds | known.of.get(phrase.as_str()).copied().unwrap_or_default()
        })
    };
    (0..words.len()).map(at).collect()
}

/// What of a text is looked at, each once.
pub(super) fn of(words: &[String], text: &str) -> Vec<u64> {
    let words: Vec<&str> = words.iter().take(LOOKED_AT).map(|word| plain(word)).collect();
    let mut found = Vec::with_capacity(words.len() * 10);
    let kinds = kinds(&words);
    for (at, word) in words.iter().enumerate() {
        found.push(hash("word", &[word]));
        let before = if at == 0 { "" } else { words[at - 1] };
        found.push(hash("pair", &[before, word]));
        pieces(word, &mut found);
    }
    if let [first, second, ..] = words.as_slice() {
        found.push(hash("begins", &[first, second]));
    }
    if let (Some(first), Some(last)) = (words.first(), words.last()) {
        found.push(hash("first", &[first]));
        found.push(hash("last", &[last]));
    }
    let all = kinds.iter().fold(0, |all, kinds| all | kinds);
    for one in bits(all) {
        found.push(hash("kind", &[BITS[one]]));
        for other in bits(all).take_while(|other| *other < one) {
            found.push(hash("kinds", &[BITS[one], BITS[other]]));
        }
    }
    for one in bits(kinds.first().copied().unwrap_or_default()) {
        found.push(hash("first kind", &[BITS[one]]));
    }
    for mark in ["?", "!", "\""] {
        if text.contains(mark) {
            found.push(hash("mark", &[mark]));
        }
    }
    found.push(hash("length", &[BITS[(words.len() / 4).min(6)]]));
    found.sort_unstable();
    found.dedup();
    found
}

/// The number of a kind as it is hashed: one letter each.
const BITS: [&str; 64] = [
    "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s", "t", "u", "v", "w",
    "x", "y", "z", "A", "B", "C", "D", "E", "F", "G", "H", "I", "J", "K", "L", "M", "N", "O", "P", "Q", "R", "S", "T",
    "U", "V", "W", "X", "Y", "Z", "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "+", "/",
];

/// Names of experiments and numbers are all alike.
fn plain(word: &str) -> &str {
    if word.starts_with("exp_") {
        "exp_"
    } else if word.starts_with(|c: char| c.is_ascii_digit()) {
        "0"
    } else {
        word
    }
}

/// The pieces of a word, by which it is known with another ending, or a typing error.
fn pieces(word: &str, found: &mut Vec<u64>) {
    if word.len() < PIECE || !word.bytes().all(|byte| byte.is_ascii_lowercase()) {
        return;
    }
    let edged = format!("<{word}>");
    found.extend(edged.as_bytes().windows(PIECE).map(|piece| {
        let piece = std::str::from_utf8(piece).unwrap_or_default();
        hash("piece", &[piece])
    }));
}

fn bits(set: u64) -> impl Iterator<Item = usize> {
    (0..64).filter(move |bit| set & (1 << bit) != 0)
}

/// FNV-1a, the same everywhere and always.
fn hash(what: &str, parts: &[&str]) -> u64 {
    const PRIME: u64 = 0x0100_0000_01b3;
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(PRIME);
    let start = what.bytes().fold(0xcbf2_9ce4_8422_2325, step);
    parts.iter().fold(start, |hash, part| part.bytes().fold(step(hash, 0), step))
}
