//! Filters: which messages somebody wants to see.
//!
//! Owns the language that `tail` and the control room share, and its errors. Pure: everything is compiled when a filter is read, and
//! matching changes nothing. Must never fail on what a message holds.
//!
//! All terms must match:
//!
//! | term | matches |
//! |---|---|
//! | `word`, `"two words"` | that text in the body, type, source, subject or channel, in upper or lower case |
//! | `/re+gex/`, `/re+gex/i` | the same places by a regular expression (`i`: in upper or lower case) |
//! | `channel:metrics,alerts` | one of these channels |
//! | `type:escalation,design_*` | one of these types; `*` at the end stands for anything |
//! | `source:watcher` | who said it |
//! | `priority:high`, `priority:>=high` | how soon it wants to be handled (`=`, `<`, `<=`, `>`, `>=`) |
//! | `trace:019c…` | the chain, by its whole id, its beginning or its end |
//! | `-term` | whatever the term does not match |

mod parse;

use std::borrow::Cow;
use std::cell::LazyCell;
use std::str::FromStr;

use regex::Regex;
use thiserror::Error;

use crate::contracts::{ChannelName, Envelope, Priority};

/// A filter, ready to use. The default one matches everything.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    terms: Vec<Term>,
    text: String,
}

/// Two filters are the same where they are written the same.
impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// What a filter looks at.
#[derive(Debug, Clone, Copy)]
pub struct EntryView<'a> {
    /// The channel.
    pub channel: ChannelName,
    /// The envelope, where it can be read. Terms about it match nothing without it.
    pub envelope: Option<&'a Envelope>,
    /// The body's JSON, or whatever stands in its place.
    pub body: &'a str,
}

/// Why a text is no filter.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("filter, column {column}: expected {expected}, found {found}")]
pub struct FilterError {
    /// Where, in characters, counted from 1.
    pub column: usize,
    /// What should be there.
    pub expected: String,
    /// What is there.
    pub found: String,
}

#[derive(Debug, Clone)]
struct Term {
    negated: bool,
    test: Test,
}

#[derive(Debug, Clone)]
enum Test {
    /// A text, with the words that it is, unless it is an expression.
    Text(Regex, Option<String>),
    Channel(Vec<ChannelName>),
    Kind(Vec<Pattern>),
    Source(Vec<Pattern>),
    Trace(Vec<String>),
    Priority(Comparison, Priority),
}

/// A name, or how it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    Whole(String),
    Beginning(String),
}

impl Pattern {
    fn matches(&self, name: &str) -> bool {
        match self {
            Self::Whole(whole) => name.eq_ignore_ascii_case(whole),
            Self::Beginning(start) => name.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start)),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Less,
    AtMost,
    Equal,
    AtLeast,
    More,
}

impl Comparison {
    fn holds(self, left: Priority, right: Priority) -> bool {
        match self {
            Self::Less => left < right,
            Self::AtMost => left <= right,
            Self::Equal => left == right,
            Self::AtLeast => left >= right,
            Self::More => left > right,
        }
    }
}

impl Filter {
    /// Reads a filter.
    ///
    /// # Errors
    /// Where it is none: the column, and what was expected there.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        parse::terms(text).map(|terms| Self { terms, text: text.to_owned() })
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The words and phrases that a message must hold, for an index of words; what they leave over, [`Filter::matches`] decides.
    pub fn words(&self) -> Vec<&str> {
        let wanted = self.terms.iter().filter(|term| !term.negated);
        wanted.filter_map(|term| if let Test::Text(_, words) = &term.test { words.as_deref() } else { None }).collect()
    }

    /// Where in a text the words and expressions of this filter are, in order, without overlaps.
    pub fn spots(&self, text: &str) -> Vec<std::ops::Range<usize>> {
        let mut spots: Vec<std::ops::Range<usize>> = Vec::new();
        for term in self.terms.iter().filter(|term| !term.negated) {
            let Test::Text(regex, _) = &term.test else { continue };
            spots.extend(regex.find_iter(text).map(|found| found.range()).filter(|spot| !spot.is_empty()));
        }
        spots.sort_by_key(|spot| (spot.start, std::cmp::Reverse(spot.end)));
        let mut end = 0;
        spots.retain_mut(|spot| {
            spot.start = spot.start.max(end);
            let is_left = spot.start < spot.end;
            end = end.max(spot.end);
            is_left
        });
        spots
    }

    /// Whether everything that this one matches is matched by `wider`, as far as can be seen from how both are written: then what
    /// `wider` left out need not be looked at again.
    pub fn narrows(&self, wider: &Self) -> bool {
        let is_within = |term: &Term| {
            self.terms.iter().any(|own| match (&own.test, &term.test) {
                (Test::Text(_, Some(own_words)), Test::Text(_, Some(words))) if !own.negated && !term.negated => {
                    own_words.to_lowercase().contains(&words.to_lowercase())
                }
                _ => false,
            })
        };
        !wider.is_empty() && wider.terms.iter().all(is_within)
    }

    /// Whether it matches everything.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// Whether a message, or what stands in place of one, is wanted.
    pub fn matches(&self, entry: &EntryView<'_>) -> bool {
        // Only texts are looked for in the body, and only a body with escapes has to be made readable for that.
        let body = LazyCell::new(|| unescaped(entry.body));
        self.terms.iter().all(|term| {
            let envelope = entry.envelope;
            let found = match &term.test {
                Test::Text(text, words) => {
                    let names = |name: &str| is_in(text, words.as_deref(), name);
                    text.is_match(&body)
                        || names(entry.channel.short())
                        || envelope.is_some_and(|envelope| {
                            names(&envelope.kind)
                                || names(&envelope.source)
                                || envelope.subject.as_deref().is_some_and(names)
                        })
                }
                Test::Channel(channels) => channels.contains(&entry.channel),
                Test::Kind(patterns) => envelope.is_some_and(|said| any(patterns, &said.kind)),
                Test::Source(patterns) => envelope.is_some_and(|said| any(patterns, &said.source)),
                Test::Trace(parts) => envelope.is_some_and(|said| is_part(parts, &said.trace.to_string())),
                Test::Priority(comparison, priority) => {
                    envelope.is_some_and(|said| comparison.holds(said.priority, *priority))
                }
            };
            found != term.negated
        })
    }

    /// Whether a text that is no message is wanted. Terms about a message match nothing.
    pub fn matches_text(&self, text: &str) -> bool {
        let found = |test: &Test| matches!(test, Test::Text(wanted, _) if wanted.is_match(text));
        self.terms.iter().all(|term| found(&term.test) != term.negated)
    }
}

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        Self::parse(text)
    }
}

/// Whether a text is in a name. Names are short, and most are looked at in vain: plain words are compared without the expression.
fn is_in(text: &Regex, words: Option<&str>, name: &str) -> bool {
    match words {
        Some(words) if !words.is_empty() && words.is_ascii() && name.is_ascii() => {
            name.as_bytes().windows(words.len()).any(|part| part.eq_ignore_ascii_case(words.as_bytes()))
        }
        _ => text.is_match(name),
    }
}

fn any(patterns: &[Pattern], name: &str) -> bool {
    patterns.iter().any(|pattern| pattern.matches(name))
}

/// Whether the id begins or ends with one of the parts.
fn is_part(parts: &[String], id: &str) -> bool {
    parts.iter().any(|part| id.starts_with(part.as_str()) || id.ends_with(part.as_str()))
}

/// JSON with the escapes in its texts replaced by what they stand for: no longer JSON, but readable.
fn unescaped(json: &str) -> Cow<'_, str> {
    if !json.contains('\\') {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let (c, length) = escape(&rest[at..]);
        out.push(c);
        rest = &rest[at + length..];
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// The character that the escape at the beginning of `text` stands for, and the escape's length. What is no escape stands for itself.
fn escape(text: &str) -> (char, usize) {
    let unit = |at: usize| {
        let hex = text.get(at..at + 6)?.strip_prefix("\\u")?;
        hex.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u32::from_str_radix(hex, 16).ok())?
    };
    match text.as_bytes().get(1) {
        Some(b'n') => ('\n', 2),
        Some(b't') => ('\t', 2),
        Some(b'r') => ('\r', 2),
        Some(b'b') => ('\u{8}', 2),
        Some(b'f') => ('\u{c}', 2),
        Some(sign @ (b'"' | b'\\' | b'/')) => (char::from(*sign), 2),
        Some(b'u') => match (unit(0), unit(6)) {
            (Some(high @ 0xd800..=0xdbff), Some(low @ 0xdc00..=0xdfff)) => {
                let code = 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 12)
            }
            (Some(code), _) => (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 6),
            (None, _) => ('\\', 1),
        },
        _ => ('\\', 1),
    }
}

#[cfg(test)]
mod tests;
