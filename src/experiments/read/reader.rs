//! What reading any part has in common: texts, numbers and lists in their several forms, what is found, and what is kept.

use std::collections::BTreeSet;

use serde_json::Value;

use super::tree::{DEPTH, Key, Kind, Node, Place};
use super::{Finding, Places, Severity};
use crate::contracts::untrusted::sanitize_line;
use crate::experiments::spec::Span;

/// Characters of something quoted.
pub(super) const QUOTED: usize = 80;

/// A reading under way.
#[derive(Default)]
pub(super) struct Reader {
    pub(super) findings: Vec<Finding>,
    pub(super) places: Places,
    /// What is no field of a specification, for its notes.
    pub(super) kept: Vec<String>,
    /// Tools of the home: what they are called means nothing else.
    pub(super) own: BTreeSet<String>,
    /// Whether thresholds of shares are numbers of percent.
    pub(super) in_percent: bool,
    /// What of `target` stands in a step, too.
    pub(super) of_target: BTreeSet<String>,
}

impl Reader {
    fn found(&mut self, severity: Severity, path: &str, at: Place, message: String, fix: Option<String>) {
        let (line, column) = (at.line, at.column);
        self.findings.push(Finding { path: sanitize_line(path, 120), line, column, severity, message, fix });
    }

    pub(super) fn error(&mut self, path: &str, at: Place, message: String, fix: Option<String>) {
        self.found(Severity::Error, path, at, message, fix);
    }

    pub(super) fn warn(&mut self, path: &str, at: Place, message: String, fix: Option<String>) {
        self.found(Severity::Warning, path, at, message, fix);
    }

    /// It has another form than it should.
    pub(super) fn misfit(&mut self, node: &Node, path: &str, wanted: &str) {
        self.error(path, node.at, format!("this is {}; it should be {wanted}", node.what()), None);
    }

    /// Where a part of the specification stands.
    pub(super) fn place(&mut self, path: &str, at: Place) {
        self.places.entry(path.to_owned()).or_insert((at.line, at.column));
    }

    /// A text; a number or a flag is read as its text.
    pub(super) fn text(&mut self, node: &Node, path: &str) -> Option<String> {
        match &node.kind {
            Kind::Text(text) => Some(text.clone()),
            Kind::Number(number) => Some(number.to_string()),
            Kind::Flag(flag) => Some(flag.to_string()),
            Kind::Null => None,
            Kind::List(_) | Kind::Map(_) => {
                self.misfit(node, path, "a text");
                None
            }
        }
    }

    /// A text, or a list of texts as one.
    pub(super) fn words(&mut self, node: &Node, path: &str) -> Option<String> {
        match &node.kind {
            Kind::List(items) => {
                let lines: Vec<_> = items.iter().map(|item| format!("- {}", in_words(item))).collect();
                Some(lines.join("\n"))
            }
            _ => self.text(node, path).map(|text| text.trim_end().to_owned()),
        }
    }

    /// A text that is written below a field whose path is known otherwise; empty where it is not there.
    pub(super) fn needed_in(&mut self, fields: &mut Fields<'_>, names: &[&str], path: &str) -> String {
        match fields.take(names) {
            Some((node, written)) => {
                self.place(path, node.at);
                self.text(node, &written).map(|text| text.trim().to_owned()).unwrap_or_default()
            }
            None => {
                self.place(path, fields.at);
                String::new()
            }
        }
    }

    /// A number; one within quotes, or with `%`, counts. 8% is 0.08.
    pub(super) fn number(&mut self, node: &Node, path: &str) -> Option<f64> {
        let number = match &node.kind {
            Kind::Number(number) => number.as_f64(),
            Kind::Text(text) => match text.trim().strip_suffix('%') {
                Some(percent) => percent.trim().parse::<f64>().ok().map(|percent| percent / 100.0),
                None => text.trim().parse().ok(),
            },
            _ => None,
        };
        let number = number.filter(|number| number.is_finite());
        if number.is_none() {
            self.misfit(node, path, "a number");
        }
        number
    }

    /// A whole number from 0.
    pub(super) fn count(&mut self, node: &Node, path: &str) -> Option<u64> {
        let whole = match &node.kind {
            Kind::Number(number) => number.as_u64(),
            Kind::Text(text) => text.trim().parse().ok(),
            _ => None,
        };
        if whole.is_none() {
            self.misfit(node, path, "a whole number");
        }
        whole
    }

    /// A length of time: `7d`, or a number of `unit`s.
    pub(super) fn span(&mut self, node: &Node, path: &str, unit: &str) -> Option<Span> {
        let text = match &node.kind {
            Kind::Number(number) if number.is_u64() => format!("{number}{unit}"),
            Kind::Number(number) => {
                // Half days and the like.
                let Some(length) = number.as_f64().filter(|n| (0.0..1e6).contains(n)) else {
                    let message = format!("{number} is no length of time");
                    self.error(path, node.at, message, Some("write it like `7d`".to_owned()));
                    return None;
                };
                format!("{:.0}s", length * f64::from(seconds_of(unit)))
            }
            Kind::Text(text) if text.trim().parse::<u64>().is_ok() => format!("{}{unit}", text.trim()),
            Kind::Text(text) => text.clone(),
            _ => {
                self.misfit(node, path, "a length of time, like `7d`");
                return None;
            }
        };
        match Span::try_from(text) {
            Ok(span) => Some(span),
            Err(why) => {
                self.error(path, node.at, sanitize_line(&why, 200), None);
                None
            }
        }
    }

    /// Texts: a list of them, one of them, or fields in words.
    pub(super) fn list(&mut self, found: Option<&Node>, path: &str) -> Vec<String> {
        let Some(node) = found else { return Vec::new() };
        self.place(path, node.at);
        let items: Vec<&Node> = match &node.kind {
            Kind::List(items) => items.iter().collect(),
            _ => vec![node],
        };
        let mut texts = Vec::new();
        for (index, item) in items.into_iter().enumerate() {
            self.place(&format!("{path}[{index}]"), item.at);
            let text = in_words(item).trim().to_owned();
            if !text.is_empty() {
                texts.push(text);
            }
        }
        texts
    }

    /// Keeps what is no field of a specification, and says so.
    pub(super) fn keep(&mut self, name: &str, at: Place, node: &Node) {
        self.keep_for(name, at, node, "this is no field of a specification; it is kept in its notes");
    }

    /// Keeps what has no place, and says why.
    pub(super) fn keep_for(&mut self, name: &str, at: Place, node: &Node, why: &str) {
        if node.kind == Kind::Null {
            return;
        }
        let shown = sanitize_line(name, QUOTED);
        self.warn(&shown, at, why.to_owned(), None);
        let text = match &node.kind {
            Kind::List(items) => {
                items.iter().map(|item| format!("\n- {}", in_words(item))).collect::<Vec<_>>().concat()
            }
            Kind::Text(text) if text.contains('\n') => format!("\n{}", text.trim_end()),
            _ => format!(" {}", in_words(node)),
        };
        self.kept.push(format!("{shown}:{text}"));
    }

    /// The same of a value, and of what nobody looked at.
    pub(super) fn keep_value(&mut self, name: &str, at: Place, value: Value, why: &str) {
        match Node::of(value, DEPTH) {
            Some(node) => self.keep_for(name, at, &node, why),
            None => self.error(name, at, "it is nested too deeply".to_owned(), None),
        }
    }

    pub(super) fn keep_rest(&mut self, fields: &Fields<'_>) {
        for (key, node) in fields.rest() {
            self.keep(&fields.path_of(&key.name), key.at, node);
        }
    }

    /// What was kept until now.
    pub(super) fn kept(&mut self) -> Option<String> {
        let kept = std::mem::take(&mut self.kept);
        (!kept.is_empty()).then(|| kept.join("\n"))
    }
}

const fn seconds_of(unit: &str) -> u32 {
    match unit.as_bytes() {
        b"d" => 86_400,
        b"h" => 3_600,
        b"m" => 60,
        _ => 1,
    }
}

/// A value in words: a text as it is, fields as `name: value`.
pub(super) fn in_words(node: &Node) -> String {
    match &node.kind {
        Kind::Null => String::new(),
        Kind::Text(text) => text.clone(),
        Kind::List(items) => items.iter().map(in_words).collect::<Vec<_>>().join(", "),
        Kind::Map(fields) => {
            let words = |(key, node): &(Key, Node)| format!("{}: {}", key.name, in_words(node));
            fields.iter().map(words).collect::<Vec<_>>().join("; ")
        }
        Kind::Number(_) | Kind::Flag(_) => node.value().to_string(),
    }
}

/// What was found, without its path.
pub(super) fn node_of(found: Option<(&Node, String)>) -> Option<&Node> {
    found.map(|(node, _)| node)
}

/// The fields of a node, and which of them were looked at.
pub(super) struct Fields<'a> {
    pub(super) at: Place,
    path: String,
    all: &'a [(Key, Node)],
    used: BTreeSet<&'a str>,
}

impl<'a> Fields<'a> {
    /// Those of a node; none where it has none.
    pub(super) fn of(node: &'a Node, path: &str) -> Option<Self> {
        match &node.kind {
            Kind::Map(all) => Some(Self { at: node.at, path: path.to_owned(), all, used: BTreeSet::new() }),
            _ => None,
        }
    }

    /// The first of these that is there, and its path. All of them count as looked at.
    pub(super) fn take(&mut self, names: &[&str]) -> Option<(&'a Node, String)> {
        let mut found = None;
        for name in names {
            let Some((key, node)) = self.all.iter().find(|(key, _)| key.name == *name) else { continue };
            if found.is_none() && node.kind != Kind::Null {
                self.used.insert(&key.name);
                found = Some((node, self.path_of(&key.name)));
            } else if node.kind == Kind::Null {
                self.used.insert(&key.name);
            }
        }
        found
    }

    /// The same, without looking at it.
    pub(super) fn has(&self, name: &str) -> bool {
        self.all.iter().any(|(key, node)| key.name == name && node.kind != Kind::Null)
    }

    /// What nobody looked at.
    pub(super) fn rest(&self) -> impl Iterator<Item = &'a (Key, Node)> {
        self.all.iter().filter(|(key, node)| !self.used.contains(key.name.as_str()) && node.kind != Kind::Null)
    }

    /// Where they stand.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }
}
