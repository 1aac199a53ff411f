//! How a filter is read: terms between spaces, each with its column, so that an error can point at it.

use std::iter::Peekable;
use std::str::Chars;

use regex::{Regex, RegexBuilder};

use super::{Comparison, FilterError, Pattern, Term, Test};
use crate::contracts::{ChannelName, Priority};

/// Most bytes of a compiled expression; nobody types a larger one on purpose.
const REGEX_LIMIT: usize = 1 << 20;

const FIELDS: &str = "`channel:`, `type:`, `source:`, `priority:` or `trace:`";

/// Reads all terms.
pub(super) fn terms(text: &str) -> Result<Vec<Term>, FilterError> {
    let mut scanner = Scanner { chars: text.chars().peekable(), column: 1 };
    let mut terms = Vec::new();
    while scanner.skip_spaces() {
        terms.push(term(&mut scanner)?);
    }
    Ok(terms)
}

fn term(scanner: &mut Scanner<'_>) -> Result<Term, FilterError> {
    let negated = scanner.take('-');
    let column = scanner.column;
    let test = match scanner.chars.peek() {
        Some('"') => words(scanner.quoted()?, column)?,
        Some('/') => Test::Text(scanner.expression()?, None),
        Some(c) if !c.is_whitespace() => word(scanner, column)?,
        _ => return Err(error(column, "a term after `-` (for a lone `-` write `\"-\"`)", scanner.shown())),
    };
    scanner.end_of_term()?;
    Ok(Term { negated, test })
}

/// A word, or a field with its value.
fn word(scanner: &mut Scanner<'_>, column: usize) -> Result<Test, FilterError> {
    let mut name = String::new();
    while let Some(c) = scanner.chars.peek().copied().filter(|c| !c.is_whitespace()) {
        scanner.next();
        let is_field = c == ':' && !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        if is_field {
            return field(&name, scanner, column);
        }
        name.push(c);
    }
    words(name, column)
}

fn words(text: String, column: usize) -> Result<Test, FilterError> {
    Ok(Test::Text(literal(&text, column)?, Some(text)))
}

fn field(name: &str, scanner: &mut Scanner<'_>, column: usize) -> Result<Test, FilterError> {
    if !["channel", "type", "source", "priority", "trace"].contains(&name) {
        let expected = format!("{FIELDS} (to look for the text itself, put it in quotes)");
        return Err(error(column, expected, format!("`{}:`", shortened(name))));
    }
    let column = scanner.column;
    let value = if scanner.chars.peek() == Some(&'"') { scanner.quoted()? } else { scanner.rest_of_word() };
    if name == "priority" {
        return priority(&value, column);
    }
    let mut items = Vec::new();
    let mut at = column;
    for item in value.split(',') {
        if item.is_empty() {
            return Err(error(at, format!("a value for `{name}:`"), found(&value)));
        }
        items.push((item, at));
        at += item.chars().count() + 1;
    }
    Ok(match name {
        "channel" => Test::Channel(items.into_iter().map(channel).collect::<Result<_, _>>()?),
        "trace" => Test::Trace(items.into_iter().map(trace).collect::<Result<_, _>>()?),
        "type" => Test::Kind(items.into_iter().map(pattern).collect()),
        _ => Test::Source(items.into_iter().map(pattern).collect()),
    })
}

fn channel((item, column): (&str, usize)) -> Result<ChannelName, FilterError> {
    item.parse().map_err(|unknown: crate::contracts::UnknownName| {
        let expected = match unknown.nearest {
            Some(near) => format!("a channel, perhaps `{near}`"),
            None => match ChannelName::ALL.iter().map(|channel| channel.short()).find(|name| name.starts_with(item)) {
                Some(begins) => format!("a channel, perhaps `{begins}`"),
                None => "a channel (`fullsend wiring` lists them)".to_owned(),
            },
        };
        error(column, expected, found(item))
    })
}

fn trace((item, column): (&str, usize)) -> Result<String, FilterError> {
    if item.len() <= 36 && item.chars().all(|c| c.is_ascii_hexdigit() || c == '-') {
        return Ok(item.to_ascii_lowercase());
    }
    Err(error(column, "the id of a chain, its beginning or its end (hexadecimal digits)", found(item)))
}

fn pattern((item, _): (&str, usize)) -> Pattern {
    match item.strip_suffix('*') {
        Some(start) => Pattern::Beginning(start.to_owned()),
        None => Pattern::Whole(item.to_owned()),
    }
}

fn priority(value: &str, column: usize) -> Result<Test, FilterError> {
    let signs = [
        (">=", Comparison::AtLeast),
        ("<=", Comparison::AtMost),
        (">", Comparison::More),
        ("<", Comparison::Less),
        ("=", Comparison::Equal),
        ("", Comparison::Equal),
    ];
    // The last sign, an empty one, always fits.
    let (sign, comparison) =
        signs.into_iter().find(|(sign, _)| value.starts_with(sign)).unwrap_or(("", Comparison::Equal));
    let name = &value[sign.len()..];
    let priority = match name.to_ascii_lowercase().as_str() {
        "low" => Priority::Low,
        "medium" | "normal" => Priority::Medium,
        "high" => Priority::High,
        "urgent" | "critical" => Priority::Urgent,
        _ => return Err(error(column + sign.len(), "low, medium, high or urgent", found(name))),
    };
    Ok(Test::Priority(comparison, priority))
}

/// Finds `text` as it stands, in upper or lower case.
fn literal(text: &str, column: usize) -> Result<Regex, FilterError> {
    compiled(&regex::escape(text), true, column)
}

fn compiled(expression: &str, any_case: bool, column: usize) -> Result<Regex, FilterError> {
    RegexBuilder::new(expression)
        .case_insensitive(any_case)
        .size_limit(REGEX_LIMIT)
        .dfa_size_limit(REGEX_LIMIT)
        .build()
        .map_err(|err| {
            // A syntax error draws a picture first; its last line says what is wrong.
            let said = err.to_string();
            let reason = said.lines().last().unwrap_or_default().trim().trim_start_matches("error: ");
            error(column, "a regular expression", format!("one that cannot be used: {}", shortened(reason)))
        })
}

fn error(column: usize, expected: impl Into<String>, found: impl Into<String>) -> FilterError {
    FilterError { column, expected: expected.into(), found: found.into() }
}

fn found(text: &str) -> String {
    if text.is_empty() { "nothing".to_owned() } else { format!("`{}`", shortened(text)) }
}

fn shortened(text: &str) -> String {
    text.chars().take(60).collect()
}

struct Scanner<'a> {
    chars: Peekable<Chars<'a>>,
    column: usize,
}

impl Scanner<'_> {
    fn next(&mut self) -> Option<char> {
        let c = self.chars.next()?;
        self.column += 1;
        Some(c)
    }

    fn take(&mut self, wanted: char) -> bool {
        let is_there = self.chars.peek() == Some(&wanted);
        if is_there {
            self.next();
        }
        is_there
    }

    /// Goes to the next term; false where there is none.
    fn skip_spaces(&mut self) -> bool {
        while self.chars.peek().is_some_and(|c| c.is_whitespace()) {
            self.next();
        }
        self.chars.peek().is_some()
    }

    fn rest_of_word(&mut self) -> String {
        let mut word = String::new();
        while let Some(c) = self.chars.peek().copied().filter(|c| !c.is_whitespace()) {
            self.next();
            word.push(c);
        }
        word
    }

    /// A text in quotes; `\"` and `\\` stand for the signs themselves.
    fn quoted(&mut self) -> Result<String, FilterError> {
        let column = self.column;
        self.next();
        let mut text = String::new();
        loop {
            match self.next() {
                Some('"') if text.is_empty() => return Err(error(column, "a text between the quotes", "nothing")),
                Some('"') => return Ok(text),
                Some('\\') if matches!(self.chars.peek(), Some('"' | '\\')) => text.extend(self.next()),
                Some(c) => text.push(c),
                None => return Err(error(self.column, "a closing `\"`", "the end")),
            }
        }
    }

    /// A regular expression between slashes; `\/` stands for a slash.
    fn expression(&mut self) -> Result<Regex, FilterError> {
        let column = self.column;
        self.next();
        let mut text = String::new();
        loop {
            match self.next() {
                Some('/') => break,
                Some('\\') if self.chars.peek() == Some(&'/') => text.extend(self.next()),
                // Escapes stay together, so that the slash after `\\` closes.
                Some('\\') => {
                    text.push('\\');
                    text.extend(self.next());
                }
                Some(c) => text.push(c),
                None => {
                    let expected = "a closing `/` (to look for a text with a slash, put it in quotes)";
                    return Err(error(self.column, expected, "the end"));
                }
            }
        }
        if text.is_empty() {
            return Err(error(column, "a regular expression between the slashes", "nothing"));
        }
        let any_case = self.take('i');
        compiled(&text, any_case, column)
    }

    fn end_of_term(&mut self) -> Result<(), FilterError> {
        match self.chars.peek() {
            None => Ok(()),
            Some(c) if c.is_whitespace() => Ok(()),
            Some(_) => Err(error(self.column, "a space before the next term", self.shown())),
        }
    }

    /// What comes next, for an error.
    fn shown(&self) -> String {
        let rest: String = self.chars.clone().take_while(|c| !c.is_whitespace()).take(60).collect();
        match rest.as_str() {
            "" if self.chars.clone().next().is_some() => "a space".to_owned(),
            "" => "the end".to_owned(),
            rest => format!("`{rest}`"),
        }
    }
}
