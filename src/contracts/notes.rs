//! The team's notes: their names, and the ways in which they change.
//!
//! Owns the vocabulary of changes that travel inside proposals. How a change is applied to a text is `memory`'s.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A note of the team.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NoteName {
    /// What is being sold: the person's.
    ProductContext,
    /// What is done now, next, later: the orchestrator's.
    Worklist,
    /// What was learned, dated, newest first.
    Learnings,
}

impl NoteName {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::ProductContext, Self::Worklist, Self::Learnings];

    /// As it is written in keys, and with `.md` as a file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ProductContext => "product_context",
            Self::Worklist => "worklist",
            Self::Learnings => "learnings",
        }
    }
}

impl fmt::Display for NoteName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A section of the worklist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Section {
    /// In progress.
    Active,
    /// The queue, most important first.
    Ready,
    /// Waiting for something.
    Blocked,
    /// Done this week.
    Completed,
}

/// A change of a note.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum NoteChange {
    /// An item of the worklist stands in this section: moved there with its new words, or added.
    Item {
        /// What it is about (a request, experiment, tool or approval): the item that names it is the one that moves.
        key: String,
        /// Where it stands now.
        section: Section,
        /// What it says.
        text: String,
    },
    /// What matters now, at the top of the worklist.
    Focus {
        /// In a person's words.
        text: String,
    },
    /// A learning is added.
    Learn {
        /// In a line.
        headline: String,
        /// What it rests on, each in a line.
        #[serde(default)]
        evidence: Vec<String>,
        /// The experiment that taught it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        experiment_id: Option<String>,
    },
    /// The whole text is written anew; merged with what others changed since `base`.
    Rewrite {
        /// The new text.
        text: String,
        /// The version that the new text was made from.
        base: u64,
    },
}
