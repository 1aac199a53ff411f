//! Three-way merge: what two people made of one text, in one text.
//!
//! Owns when a merge is clean. Must never drop a line that only one side knows, and never guess where both changed the same place.

use std::fmt;

use serde::Serialize;
use similar::merge::{ConflictStyle, MergeRegion};
use similar::{DiffOp, TextDiff, TextMerge};
use thiserror::Error;

use crate::contracts::notes::NoteName;

/// The labels of the two sides between markers.
const NOW: &str = "the note now";
const TO_BE: &str = "to be written";

/// Both changed the same place, each in their own way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Error)]
pub struct MergeConflict {
    /// The note.
    pub name: NoteName,
    /// The version that both started from.
    pub base: u64,
    /// The version that the note has now.
    pub version: u64,
    /// The note's text now.
    pub ours: String,
    /// The text that was to be written.
    pub theirs: String,
    /// The places.
    pub hunks: Vec<Hunk>,
    /// One text with both, between the usual markers (`<<<<<<<`), for somebody who wants to settle it by hand.
    pub marked: String,
}

impl MergeConflict {
    /// The note now, with what was to be written in the places that both changed.
    pub fn with_theirs(&self) -> String {
        let mut text = String::new();
        let mut keeps = true;
        for line in self.marked.split_inclusive('\n') {
            match line.trim_end() {
                marker if marker == format!("<<<<<<< {NOW}") => keeps = false,
                "=======" if !keeps => keeps = true,
                marker if marker == format!(">>>>>>> {TO_BE}") => {}
                _ if keeps => text.push_str(line),
                _ => {}
            }
        }
        text
    }
}

impl fmt::Display for MergeConflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = if self.hunks.len() == 1 { "place" } else { "places" };
        write!(
            f,
            "`{}` was changed in the same {places} since version {} (it is at version {} now): {} {places}. Somebody must choose",
            self.name,
            self.base,
            self.version,
            self.hunks.len(),
        )
    }
}

/// A place that both changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hunk {
    /// The line of the note's present text where it begins, counted from 1.
    pub line: usize,
    /// What stood there.
    pub base: String,
    /// What stands there now.
    pub ours: String,
    /// What was to stand there.
    pub theirs: String,
}

/// The lines of a merge that a range means.
fn text<'a>(line: impl Fn(usize) -> Option<&'a str>, range: std::ops::Range<usize>) -> String {
    range.filter_map(line).collect()
}

/// One text with what each side changed since `base`; or the places that both changed, and a text with markers.
///
/// # Errors
/// Where both changed the same place, or places without a line between them.
pub fn merge(base: &str, ours: &str, theirs: &str) -> Result<String, (Vec<Hunk>, String)> {
    if ours == theirs || theirs == base {
        return Ok(ours.to_owned());
    }
    if ours == base {
        return Ok(theirs.to_owned());
    }
    // A last line without its end would melt into what the other side put behind it.
    let ends = ours.ends_with('\n') || theirs.ends_with('\n') || ours.is_empty() || theirs.is_empty();
    let (base, ours, theirs) = (ended(base), ended(ours), ended(theirs));
    let mut merged = TextMerge::from_lines(base.as_str(), ours.as_str(), theirs.as_str());
    if !merged.is_conflicted() {
        let mut text = merged.to_string();
        if !ends {
            text.pop();
        }
        return Ok(text);
    }
    let hunk = |region: &MergeRegion| Hunk {
        line: region.ours_range().start + 1,
        base: text(|at| merged.base_line(at), region.base_range()),
        ours: text(|at| merged.ours_line(at), region.ours_range()),
        theirs: text(|at| merged.theirs_line(at), region.theirs_range()),
    };
    let hunks = merged.conflicts().map(hunk).collect();
    merged.conflict_style(ConflictStyle::Diff3).labels("before", NOW, TO_BE);
    Err((hunks, merged.to_string()))
}

/// Whether `new` is `old` with lines put in, and none taken out or changed.
pub fn only_adds(old: &str, new: &str) -> bool {
    let kept = |op: &DiffOp| matches!(op, DiffOp::Equal { .. } | DiffOp::Insert { .. });
    TextDiff::from_lines(old, new).ops().iter().all(kept)
}

fn ended(text: &str) -> String {
    let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    format!("{text}{end}")
}
