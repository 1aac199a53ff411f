//! Memory: what the team knows. The notes (product context, worklist, learnings) with all their versions, and what is loaded for a decision.
//!
//! Owns the notes' texts, versions and merges, their mirror in the context folder, and [`TeamContext`]. Must never lose a version, and
//! never decide what a note should say.

pub mod context;

pub use context::{ExperimentBrief, NoteBrief, TeamContext};
