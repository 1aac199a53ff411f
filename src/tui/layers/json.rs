//! JSON, laid out in lines for reading.
//!
//! Must never show a text that was not made harmless, nor more lines than anybody reads.

use serde_json::Value;

use crate::contracts::untrusted::sanitize;
use crate::tui::draw::text::Piece;
use crate::tui::theme::Role;

/// Lines that are made at most.
const MOST: usize = 20_000;
/// Characters of a line of a text.
const LINE_LIMIT: usize = 2_000;

/// The lines of a JSON text; what is nested deeper than `depth` is folded. None where it is no JSON.
pub fn lines(text: &str, depth: usize) -> Option<Vec<Vec<Piece>>> {
    let value: Value = serde_json::from_str(text).ok()?;
    let mut out = Layout { lines: Vec::new(), depth };
    out.value(0, Vec::new(), &value, "");
    Some(out.lines)
}

struct Layout {
    lines: Vec<Vec<Piece>>,
    depth: usize,
}

impl Layout {
    fn push(&mut self, line: Vec<Piece>) {
        if self.lines.len() < MOST {
            self.lines.push(line);
        }
    }

    fn value(&mut self, level: usize, mut head: Vec<Piece>, value: &Value, comma: &str) {
        let indent = |level: usize| Piece::new(Role::Text, "  ".repeat(level));
        let sign = |text: String| Piece::new(Role::Muted, text);
        match value {
            Value::Object(fields) if fields.is_empty() => {
                head.push(sign(format!("{{}}{comma}")));
                self.push(head);
            }
            Value::Array(items) if items.is_empty() => {
                head.push(sign(format!("[]{comma}")));
                self.push(head);
            }
            Value::Object(fields) if level >= self.depth => {
                head.push(sign(format!("{{ … {} }}{comma}", fields.len())));
                self.push(head);
            }
            Value::Array(items) if level >= self.depth => {
                head.push(sign(format!("[ … {} ]{comma}", items.len())));
                self.push(head);
            }
            Value::Object(fields) => {
                head.push(sign("{".to_owned()));
                self.push(head);
                for (at, (name, value)) in fields.iter().enumerate() {
                    let name = crate::contracts::untrusted::sanitize_line(name, 100);
                    let head = vec![indent(level + 1), Piece::new(Role::Name, format!("\"{name}\": "))];
                    self.value(level + 1, head, value, if at + 1 < fields.len() { "," } else { "" });
                }
                self.push(vec![indent(level), sign(format!("}}{comma}"))]);
            }
            Value::Array(items) => {
                head.push(sign("[".to_owned()));
                self.push(head);
                for (at, value) in items.iter().enumerate() {
                    self.value(level + 1, vec![indent(level + 1)], value, if at + 1 < items.len() { "," } else { "" });
                }
                self.push(vec![indent(level), sign(format!("]{comma}"))]);
            }
            Value::String(text) => self.text(level, head, text, comma),
            Value::Null | Value::Bool(_) | Value::Number(_) => {
                head.push(Piece::new(Role::Value, format!("{value}{comma}")));
                self.push(head);
            }
        }
    }

    /// A text with its line breaks as lines: what is read is worth more than what could be parsed again.
    fn text(&mut self, level: usize, mut head: Vec<Piece>, text: &str, comma: &str) {
        let clean = sanitize(text, LINE_LIMIT);
        let mut parts = clean.split('\n').peekable();
        let first = parts.next().unwrap_or_default();
        let end = if parts.peek().is_none() { format!("\"{comma}") } else { String::new() };
        head.push(Piece::new(Role::Value, format!("\"{first}{end}")));
        self.push(head);
        while let Some(part) = parts.next() {
            let end = if parts.peek().is_none() { format!("\"{comma}") } else { String::new() };
            let indent = Piece::new(Role::Text, "  ".repeat(level + 1));
            self.push(vec![indent, Piece::new(Role::Value, format!("{part}{end}"))]);
        }
    }
}
