//! Where a setting came from, and what is wrong with one.
//!
//! Must never carry a secret: texts are made with the value hidden.

use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

/// Where the value of a setting came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Nobody set it.
    Default,
    /// A line of the settings file.
    File {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Counted from 1, in characters.
        column: usize,
    },
    /// An environment variable, by name.
    Env(String),
    /// A flag of the command line, by name.
    Flag(&'static str),
}

impl Source {
    /// `default`, `file`, `env` or `flag`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::File { .. } => "file",
            Self::Env(_) => "env",
            Self::Flag(_) => "flag",
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            Self::Env(name) => write!(f, "env {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// One thing that is wrong with the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where: `fullsend.toml:3:1`, `env FULLSEND_MODE`, `flag --mode`.
    pub place: String,
    /// What is wrong there.
    pub what: String,
    /// The right name that is most like the wrong one.
    pub nearest: Option<String>,
}

impl Problem {
    /// One without a right name that is like a wrong one.
    pub(super) fn new(place: &str, what: &str) -> Self {
        Self { place: place.to_owned(), what: what.to_owned(), nearest: None }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)?;
        match &self.nearest {
            Some(nearest) => write!(f, "; did you mean `{nearest}`?"),
            None => Ok(()),
        }
    }
}

/// The settings cannot be used: everything that is wrong with them, at once.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}{}\n{}", Self::WHAT, listed(.problems), Self::HINT)]
pub struct ConfigError {
    /// At least one.
    pub problems: Vec<Problem>,
}

impl ConfigError {
    /// What happened.
    pub const WHAT: &str = "the settings cannot be used";
    /// What to do next.
    pub const HINT: &str = "`fullsend config --template` prints every setting with its meaning";
}

fn listed(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(|problem| format!("\n  {problem}")).collect();
    lines.concat()
}

/// The one of `known` that is most like `found`, if any is like it.
pub(super) fn nearest<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(found, name), name))
        .min()
        .filter(|(distance, name)| *distance <= 1 + name.len() / 4)
        .map(|(_, name)| name.to_owned())
}
