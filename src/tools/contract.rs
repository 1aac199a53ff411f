//! The contract with a tool: one line of JSON on its stdin, lines of JSON on its stdout.
//!
//! The first line that it reads is the [`Input`]. It writes [`Line`]s: `{"metric":…}`, `{"progress":…}`, `{"log":…}`, and as the last one
//! `{"result":…}`. Before each outward act it writes `{"action":…}` and reads one line, a single word ([`Answer`]); after it, `{"done":…}`.
//! It ends with exit code 0. Must never trust what a tool writes: all of it is from outside.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::contracts::Untrusted;
use crate::contracts::messages::ErrorCode;
use crate::experiments::spec::Mode;

/// What a tool reads first, as one line.
#[derive(Clone, Serialize, Deserialize)]
pub struct Input {
    /// Its parameters, as its manifest's schema says.
    pub params: Map<String, Value>,
    /// What it is run for.
    pub run: RunContext,
    /// The secrets that its manifest names, by name. Nowhere else.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, String>,
}

/// What a tool is run for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunContext {
    /// The experiment; empty where a person runs the tool alone.
    pub experiment_id: String,
    /// The run.
    pub run_id: String,
    /// The step within it.
    pub step: String,
    /// Whether it reaches anybody.
    pub mode: Mode,
}

/// A line that a tool writes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// Something happened: `event`, and its fields. Becomes a message on `fullsend:metrics`.
    Metric(Map<String, Value>),
    /// How far it is.
    Progress(Progress),
    /// Something to be read by a person.
    Log(Untrusted),
    /// It wants to act outward, and waits for an [`Answer`].
    Action(Action),
    /// It has acted.
    Done(ActionDone),
    /// What came of it, as the last line. An object with `success: false` is a failure.
    Result(Value),
}

/// How far a tool is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// So much is done.
    #[serde(default)]
    pub done: u64,
    /// Of so much; none where it does not know.
    #[serde(default)]
    pub total: Option<u64>,
    /// What it is at.
    #[serde(default)]
    pub message: Option<Untrusted>,
}

/// An outward act that a tool wants to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Action {
    /// The same for the same act, whatever run it is tried in: `email:EXPERIMENT:ADDRESS:first`.
    pub key: String,
    /// What it is: `email`, `post`, …
    pub kind: String,
    /// Whom or what it reaches: an address, somebody's name there; a URL, `#room` or `a/b` is a place and no person.
    pub target: String,
    /// What else is worth knowing: subject, variant, zone of the recipient (`timezone`), and whom it reaches where the target does not say
    /// it (`person`: an address or a name; `false` for nobody in particular).
    #[serde(flatten)]
    pub details: Map<String, Value>,
}

/// An outward act that was begun, and what became of it. As it is written: `outcome`, or only `ok`; done where neither is said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "SaidDone")]
pub struct ActionDone {
    /// Which.
    pub key: String,
    /// What became of it.
    pub outcome: ActOutcome,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Untrusted>,
    /// What the other side calls it: a message id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Untrusted>,
}

/// What became of an outward act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ActOutcome {
    /// It was done.
    Done,
    /// It was certainly not done, and will not be by this run.
    Failed,
    /// It was certainly not done, because the other side does not take it now: the run tries it again later.
    Later,
    /// It was begun, and nobody knows whether it happened: a person is asked, and it is not done again.
    Unknown,
}

/// [`ActionDone`] as tools write it.
#[derive(Deserialize)]
struct SaidDone {
    key: String,
    outcome: Option<String>,
    ok: Option<bool>,
    error: Option<Untrusted>,
    receipt: Option<Untrusted>,
}

impl From<SaidDone> for ActionDone {
    fn from(said: SaidDone) -> Self {
        let outcome = match (said.outcome.as_deref(), said.ok) {
            (Some("done"), _) | (None, None | Some(true)) => ActOutcome::Done,
            (Some("failed"), _) | (None, Some(false)) => ActOutcome::Failed,
            (Some("later"), _) => ActOutcome::Later,
            // A word that is not known here says nothing of whether it happened.
            (Some(_), _) => ActOutcome::Unknown,
        };
        Self { key: said.key, outcome, error: said.error, receipt: said.receipt }
    }
}

/// The answer to an [`Action`]: one word on a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Answer {
    /// Do it now.
    Go,
    /// Leave this one out.
    Skip,
    /// Do nothing more, and end with what there is.
    Stop,
}

impl Answer {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Go => "go",
            Self::Skip => "skip",
            Self::Stop => "stop",
        }
    }

    /// Reads an answer; anything else is [`Answer::Stop`].
    pub fn read(word: &str) -> Self {
        match word.trim() {
            "go" => Self::Go,
            "skip" => Self::Skip,
            _ => Self::Stop,
        }
    }
}

/// A tool to be run.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// Its name.
    pub tool: String,
    /// Its parameters.
    pub params: Map<String, Value>,
    /// What for.
    pub run: RunContext,
    /// How long it may take; none for what its manifest says.
    pub timeout: Option<Duration>,
}

/// Who is told what a tool writes, and answers what it asks.
#[async_trait]
pub trait Desk: Send {
    /// It happened; may wait, and holds the tool back by that.
    async fn metric(&mut self, event: Map<String, Value>);

    /// It is so far.
    async fn progress(&mut self, progress: Progress);

    /// It says something.
    async fn log(&mut self, text: Untrusted);

    /// It wants to act; may wait for as long as a limit, a pause or quiet hours say. That time does not count as the tool's.
    async fn asked(&mut self, action: &Action) -> Answer;

    /// It has acted.
    async fn done(&mut self, done: ActionDone);
}

/// How a tool ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// What came of it, or why not.
    pub result: Result<Value, ToolError>,
    /// How long it took, without the time that it waited for answers.
    pub took: Duration,
    /// Bytes of its output beyond the limit, which were left out.
    pub dropped: u64,
}

/// Why a tool failed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct ToolError {
    /// The kind of error.
    pub code: ErrorCode,
    /// What happened; harmless.
    pub message: String,
    /// What it had until then.
    pub partial: Map<String, Value>,
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(r#"{"key":"k"}"#, ActOutcome::Done)]
    #[case(r#"{"key":"k","ok":true}"#, ActOutcome::Done)]
    #[case(r#"{"key":"k","ok":false,"error":"no"}"#, ActOutcome::Failed)]
    #[case(r#"{"key":"k","outcome":"failed"}"#, ActOutcome::Failed)]
    #[case(r#"{"key":"k","outcome":"later"}"#, ActOutcome::Later)]
    #[case(r#"{"key":"k","outcome":"unknown"}"#, ActOutcome::Unknown)]
    #[case(r#"{"key":"k","outcome":"perhaps","ok":true}"#, ActOutcome::Unknown)]
    fn what_became_of_an_act_is_read_in_either_way(#[case] text: &str, #[case] outcome: ActOutcome) {
        let done: ActionDone = serde_json::from_str(text).unwrap();
        assert_eq!(done.outcome, outcome);
        let again: ActionDone = serde_json::from_str(&serde_json::to_string(&done).unwrap()).unwrap();
        assert_eq!(again, done);
    }
}
