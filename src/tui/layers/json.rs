//! JSON, laid out in lines for reading.
//!
//! Must never show a text that was not made harmless, nor leave out a part of it without saying so.

use serde_json::Value;

use crate::contracts::untrusted::sanitize;
use crate::tui::draw::text::Piece;
use crate::tui::theme::Role;

/// Lines that are made at most where somebody looks through something large.
const MOST: usize = 20_000;

/// The lines of a JSON text, all of it. None where it is no JSON.
pub fn lines(text: &str) -> Option<Vec<Vec<Piece>>> {
    let value: Value = serde_json::from_str(text).ok()?;
    let mut out = Layout { lines: Vec::new(), is_folded: &|_, _| false, next: 0, most: usize::MAX, left_out: 0 };
    out.value(0, Vec::new(), &value, "");
    Some(out.lines.into_iter().map(|line| line.pieces).collect())
}

/// A line of a value that is laid out.
#[derive(Debug, Clone)]
pub struct Line {
    /// What is shown.
    pub pieces: Vec<Piece>,
    /// The value that it belongs to, counted from the outermost one in the order in which they are written.
    pub node: usize,
    /// How deep that is nested.
    pub level: usize,
}

/// The lines of a value; those values are folded of which `is_folded` says so by number and depth.
pub fn laid_out(value: &Value, is_folded: &dyn Fn(usize, usize) -> bool) -> Vec<Line> {
    let mut out = Layout { lines: Vec::new(), is_folded, next: 0, most: MOST, left_out: 0 };
    out.value(0, Vec::new(), value, "");
    if out.left_out > 0 {
        let words = format!("… {} more lines; copied, it is whole", out.left_out);
        out.lines.push(Line { pieces: vec![Piece::new(Role::Warn, words)], node: 0, level: 0 });
    }
    out.lines
}

/// The value with this number.
pub fn node(value: &Value, number: usize) -> Option<&Value> {
    let mut left = number;
    find(value, &mut left)
}

fn find<'a>(value: &'a Value, left: &mut usize) -> Option<&'a Value> {
    if *left == 0 {
        return Some(value);
    }
    *left -= 1;
    match value {
        Value::Object(fields) => fields.values().find_map(|value| find(value, left)),
        Value::Array(items) => items.iter().find_map(|value| find(value, left)),
        _ => None,
    }
}

/// How many values are in it, with itself.
fn count(value: &Value) -> usize {
    1 + match value {
        Value::Object(fields) => fields.values().map(count).sum(),
        Value::Array(items) => items.iter().map(count).sum(),
        _ => 0,
    }
}

struct Layout<'a> {
    lines: Vec<Line>,
    is_folded: &'a dyn Fn(usize, usize) -> bool,
    next: usize,
    most: usize,
    left_out: usize,
}

impl Layout<'_> {
    fn push(&mut self, node: usize, level: usize, pieces: Vec<Piece>) {
        if self.lines.len() < self.most {
            self.lines.push(Line { pieces, node, level });
        } else {
            self.left_out += 1;
        }
    }

    fn value(&mut self, level: usize, mut head: Vec<Piece>, value: &Value, comma: &str) {
        let indent = |level: usize| Piece::new(Role::Text, "  ".repeat(level));
        let sign = |text: String| Piece::new(Role::Muted, text);
        let number = self.next;
        self.next += 1;
        let is_folded = match value {
            Value::Object(fields) => !fields.is_empty() && (self.is_folded)(number, level),
            Value::Array(items) => !items.is_empty() && (self.is_folded)(number, level),
            _ => false,
        };
        if is_folded {
            self.next = number + count(value);
            let words = match value {
                Value::Array(items) => format!("[ … {} ]{comma}", items.len()),
                Value::Object(fields) => format!("{{ … {} }}{comma}", fields.len()),
                _ => String::new(),
            };
            head.push(sign(words));
            return self.push(number, level, head);
        }
        match value {
            Value::Object(fields) if fields.is_empty() => {
                head.push(sign(format!("{{}}{comma}")));
                self.push(number, level, head);
            }
            Value::Array(items) if items.is_empty() => {
                head.push(sign(format!("[]{comma}")));
                self.push(number, level, head);
            }
            Value::Object(fields) => {
                head.push(sign("{".to_owned()));
                self.push(number, level, head);
                for (at, (name, value)) in fields.iter().enumerate() {
                    let name = crate::contracts::untrusted::sanitize_line(name, usize::MAX);
                    let head = vec![indent(level + 1), Piece::new(Role::Name, format!("\"{name}\": "))];
                    self.value(level + 1, head, value, if at + 1 < fields.len() { "," } else { "" });
                }
                self.push(number, level, vec![indent(level), sign(format!("}}{comma}"))]);
            }
            Value::Array(items) => {
                head.push(sign("[".to_owned()));
                self.push(number, level, head);
                for (at, value) in items.iter().enumerate() {
                    self.value(level + 1, vec![indent(level + 1)], value, if at + 1 < items.len() { "," } else { "" });
                }
                self.push(number, level, vec![indent(level), sign(format!("]{comma}"))]);
            }
            Value::String(text) => self.text(number, level, head, text, comma),
            Value::Null | Value::Bool(_) | Value::Number(_) => {
                head.push(Piece::new(Role::Value, format!("{value}{comma}")));
                self.push(number, level, head);
            }
        }
    }

    /// A text with its line breaks as lines: what is read is worth more than what could be parsed again.
    fn text(&mut self, number: usize, level: usize, mut head: Vec<Piece>, text: &str, comma: &str) {
        let clean = sanitize(text, usize::MAX);
        let mut parts = clean.split('\n').peekable();
        let first = parts.next().unwrap_or_default();
        let end = if parts.peek().is_none() { format!("\"{comma}") } else { String::new() };
        head.push(Piece::new(Role::Value, format!("\"{first}{end}")));
        self.push(number, level, head);
        while let Some(part) = parts.next() {
            let end = if parts.peek().is_none() { format!("\"{comma}") } else { String::new() };
            let indent = Piece::new(Role::Text, "  ".repeat(level + 1));
            self.push(number, level, vec![indent, Piece::new(Role::Value, format!("{part}{end}"))]);
        }
    }
}
