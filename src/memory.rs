//! Memory: what the team knows. The notes (product context, worklist, learnings) with all their versions, and what is loaded for a decision.
//!
//! Owns the notes' texts, versions and merges, and [`TeamContext`]. Must never lose a version, and never decide what a note should say.
//!
//! | file | what |
//! |---|---|
//! | `note` | a note's document, and how a change of it becomes a new version |
//! | `worklist`, `learnings`, `product` | how items, the focus, learnings and what is sold are written into the text |
//! | `write` | a person's text, merged with what others wrote meanwhile |
//! | `merge` | three-way merge with what others wrote meanwhile |
//! | `history`, `patch` | versions, and how each text is had again |
//! | `context`, `load`, `experiments` | what a decision is made from |
//! | `check` | what should not stand in a note |
//! | `forget` | a person taken out of all state, and what remains of them |
//!
//! The files in the context folder are kept by the mirror, a service.

pub mod check;
pub mod context;
pub(crate) mod experiments;
pub mod forget;
pub mod history;
mod learnings;
mod lines;
pub mod load;
pub mod merge;
pub mod note;
mod patch;
mod product;
#[cfg(test)]
mod tests;
mod worklist;
mod write;

pub use context::{ExperimentBrief, NoteBrief, TeamContext};
pub use load::{Memory, load};
pub use merge::{Hunk, MergeConflict};
pub use note::{Author, ChangeError, NoteEdit, NoteError, NoteState, apply, change, edits, try_change};
pub use write::{WriteError, Written, revert, write};

/// In a text that nobody has filled in yet.
pub const TEMPLATE_MARK: &str = "(fill in)";

/// Whether a text says nothing yet: it is empty, or has only headings and the gaps of the template.
pub fn is_unwritten(text: &str) -> bool {
    text.lines().map(str::trim).all(|line| line.is_empty() || line.starts_with('#') || line.contains(TEMPLATE_MARK))
}

/// What a new context folder is given as product context.
pub const PRODUCT_TEMPLATE: &str = "\
# Product context

What is being sold: (fill in)

For whom: (fill in)

What it costs: (fill in)

What makes it different: (fill in)

What we may never say or do: (fill in)
";
