//! `decide`: what the team does about a message.
//!
//! Owns the orchestrator's question and its answer: one of eight actions, and what makes one unusable. What the message says is data.
//! Must never let an answer through that names something which does not exist.

pub mod faults;
mod read;
mod rules;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::contracts::{Priority, Trust};
use crate::llm::{Ruled, Task, TaskName};
use crate::memory::TeamContext;

/// The task.
#[derive(Debug, Clone, Copy)]
pub struct Decide;

/// What a decision rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DecideInput {
    /// The type of the message that is decided upon.
    pub kind: String,
    /// How far its words can be trusted.
    pub trust: Trust,
    /// Its body: data, whatever it says.
    pub message: Map<String, Value>,
    /// What the team knows.
    pub team: Arc<TeamContext>,
    /// Why the former decision on the same message was refused by a person.
    pub denied: Option<Denied>,
}

/// A decision that a person refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Denied {
    /// What had been decided.
    pub action: Action,
    /// Why it was refused.
    pub reason: String,
}

/// What can be decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// FULLSEND designs an experiment, or changes one.
    DispatchToFullsend,
    /// Builder makes a tool.
    DispatchToBuilder,
    /// Somebody is answered, or asked.
    RespondToDiscord,
    /// The worklist changes.
    UpdateWorklist,
    /// Something was learned.
    RecordLearning,
    /// An experiment is stopped for good.
    KillExperiment,
    /// The team debates.
    InitiateRoundtable,
    /// Nothing.
    NoAction,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::DispatchToFullsend,
        Self::DispatchToBuilder,
        Self::RespondToDiscord,
        Self::UpdateWorklist,
        Self::RecordLearning,
        Self::KillExperiment,
        Self::InitiateRoundtable,
        Self::NoAction,
    ];

    /// Reads an action, however its words are joined; none where it is none.
    pub fn read(text: &str) -> Option<Self> {
        let joined = text.trim().to_ascii_lowercase().replace([' ', '-'], "_");
        Self::ALL.into_iter().find(|action| action.as_str() == joined)
    }

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DispatchToFullsend => "dispatch_to_fullsend",
            Self::DispatchToBuilder => "dispatch_to_builder",
            Self::RespondToDiscord => "respond_to_discord",
            Self::UpdateWorklist => "update_worklist",
            Self::RecordLearning => "record_learning",
            Self::KillExperiment => "kill_experiment",
            Self::InitiateRoundtable => "initiate_roundtable",
            Self::NoAction => "no_action",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// Reading it is generous with everything but the action: see `decide/read.rs`.
/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Decision {
    /// What is done.
    pub action: Action,
    /// Why, in a few sentences.
    pub reasoning: String,
    /// What the action needs; which fields, its documentation says.
    pub payload: Payload,
    /// How soon.
    pub priority: Priority,
    /// The experiment that is meant: to kill, or to change.
    pub experiment_id: Option<String>,
    /// What FULLSEND should know besides the idea.
    pub context_for_fullsend: Option<String>,
}

/// What an action needs. Fields of other actions stay empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct Payload {
    /// `dispatch_to_fullsend`: the idea in a few words. `record_learning`: the learning in a line. `dispatch_to_builder`: the tool's name.
    /// `respond_to_discord`: an idea that is kept on the worklist until the question is answered, in a few words.
    pub title: Option<String>,
    /// `dispatch_to_fullsend`: the idea in full. `dispatch_to_builder`: what the tool is for. `initiate_roundtable`: the question.
    /// `respond_to_discord`: what to say. `update_worklist`: the whole new worklist. `kill_experiment`: why.
    pub content: Option<String>,
    /// `dispatch_to_fullsend`: what it should achieve.
    pub goal: Option<String>,
    /// `dispatch_to_builder`: what goes in. `record_learning`: what it rests on.
    pub inputs: Vec<String>,
    /// `dispatch_to_builder`: what comes out.
    pub outputs: Vec<String>,
    /// `dispatch_to_builder`: what it must do, or must not.
    pub requirements: Vec<String>,
}

impl Task for Decide {
    const NAME: TaskName = TaskName::Decide;
    type Input = DecideInput;
    type Output = Decision;

    fn rule(input: &DecideInput) -> Ruled<Decision> {
        rules::rule(input)
    }

    fn faults(input: &DecideInput, output: &Decision) -> Vec<String> {
        faults::faults(input, output)
    }
}
