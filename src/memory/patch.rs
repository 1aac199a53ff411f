//! How one text becomes another, line by line: what a version is kept as where its text is long.
//!
//! Owns the form of a patch. Must never be applied to another text than the one it was made from: whoever applies it compares
//! digests.

use serde::{Deserialize, Serialize};
use similar::{DiffOp, TextDiff};

/// A step from the old text to the new one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Step {
    /// So many lines stay.
    Keep(usize),
    /// So many lines go.
    Drop(usize),
    /// This comes.
    Add(String),
}

/// The patch from `old` to `new`, as JSON.
pub(super) fn between(old: &str, new: &str) -> String {
    let diff = TextDiff::from_lines(old, new);
    let added =
        |start: usize, len: usize| -> String { (start..start + len).filter_map(|at| diff.new_slice(at)).collect() };
    let mut steps = Vec::new();
    for op in diff.ops() {
        match *op {
            DiffOp::Equal { len, .. } => steps.push(Step::Keep(len)),
            DiffOp::Delete { old_len, .. } => steps.push(Step::Drop(old_len)),
            DiffOp::Insert { new_index, new_len, .. } => steps.push(Step::Add(added(new_index, new_len))),
            DiffOp::Replace { old_len, new_index, new_len, .. } => {
                steps.push(Step::Drop(old_len));
                steps.push(Step::Add(added(new_index, new_len)));
            }
        }
    }
    // Texts and numbers are always JSON.
    serde_json::to_string(&steps).unwrap_or_default()
}

/// The text that a patch makes of `old`; none where it is no patch, or of another text.
pub(super) fn applied(old: &str, patch: &str) -> Option<String> {
    let steps: Vec<Step> = serde_json::from_str(patch).ok()?;
    // Cut into lines by the same rule as above.
    let whole = TextDiff::from_lines(old, "");
    let mut lines = whole.iter_old_slices();
    let mut new = String::with_capacity(old.len());
    for step in steps {
        match step {
            Step::Keep(count) => {
                for _ in 0..count {
                    new.push_str(lines.next()?);
                }
            }
            Step::Drop(count) => {
                for _ in 0..count {
                    lines.next()?;
                }
            }
            Step::Add(text) => new.push_str(&text),
        }
    }
    lines.next().is_none().then_some(new)
}
