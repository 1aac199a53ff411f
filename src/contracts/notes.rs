//! The team's notes: their names, and the ways in which they change.
//!
//! Owns the vocabulary of changes that travel inside proposals. How a change is applied to a text is `memory`'s.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::channel::UnknownName;
use super::untrusted::sanitize_line;

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

impl FromStr for NoteName {
    type Err = UnknownName;

    /// Reads `worklist`, and `worklist.md` as the file is called.
    fn from_str(text: &str) -> Result<Self, UnknownName> {
        let name = text.strip_suffix(".md").unwrap_or(text);
        Self::ALL
            .into_iter()
            .find(|note| note.as_str() == name)
            .ok_or_else(|| UnknownName::among("note", name, Self::ALL.map(Self::as_str)))
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

impl Section {
    /// All of them, as they stand on the worklist.
    pub const ALL: [Self; 4] = [Self::Active, Self::Ready, Self::Blocked, Self::Completed];

    /// Its heading.
    pub const fn heading(self) -> &'static str {
        match self {
            Self::Active => "Active (In Progress)",
            Self::Ready => "Ready (Prioritized Queue)",
            Self::Blocked => "Blocked",
            Self::Completed => "Completed This Week",
        }
    }
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
    /// What is being sold, in a person's words: in the first gap of the template, else at the end of the product context.
    Describe {
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

impl NoteChange {
    /// What it does, in a line, harmless.
    pub fn gist(&self) -> String {
        match self {
            Self::Item { key, section, .. } => {
                let section = format!("{section:?}").to_lowercase();
                format!("{} is {section}", sanitize_line(key, 80))
            }
            Self::Focus { text } => format!("focus: {}", sanitize_line(text, 120)),
            Self::Describe { text } => format!("we sell: {}", sanitize_line(text, 120)),
            Self::Learn { headline, .. } => format!("learned: {}", sanitize_line(headline, 120)),
            Self::Rewrite { base, .. } => format!("written anew, from version {base}"),
        }
    }
}
