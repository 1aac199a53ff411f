//! Labelled scenarios, by which every mind is judged, and hostile chat messages: what their files say, as data.
//!
//! Owns the format. Must never judge: what a mind answered is somebody else's to compare.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use color_eyre::eyre::{Result, WrapErr as _, ensure};
use fullsend::contracts::lifecycle::ExperimentState;
use fullsend::contracts::{ChannelName, Priority, Trust, Untrusted};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// One message, the state it meets, and what a careful person would do about it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    /// Unique over all files, in snake case.
    pub(crate) name: String,
    /// Why the expected answer is right.
    pub(crate) about: String,
    /// Where the message is said: `discord_raw` is for the watcher to classify, any other for the orchestrator to decide upon.
    pub(crate) channel: ChannelName,
    /// The message's trust.
    #[serde(default = "member")]
    pub(crate) trust: Trust,
    /// The body as JSON, with its type.
    pub(crate) message: String,
    /// What is known when it arrives.
    #[serde(default)]
    pub(crate) state: State,
    /// The right answer.
    pub(crate) expected: Label,
    /// Answers that are right as well.
    #[serde(default)]
    pub(crate) acceptable: Vec<Label>,
    /// Answers that would do harm. What stands in none of the three is merely wrong.
    #[serde(default)]
    pub(crate) forbidden: Vec<Label>,
    /// What else must hold of an answer with the expected label.
    #[serde(default)]
    pub(crate) expect: Expect,
}

/// An answer: one of the orchestrator's eight actions, or one of the watcher's three.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Label {
    DispatchToFullsend,
    DispatchToBuilder,
    RespondToDiscord,
    UpdateWorklist,
    RecordLearning,
    KillExperiment,
    InitiateRoundtable,
    NoAction,
    Ignore,
    Answer,
    Escalate,
}

impl Label {
    /// The orchestrator's.
    pub(crate) const ACTIONS: [Self; 8] = [
        Self::DispatchToFullsend,
        Self::DispatchToBuilder,
        Self::RespondToDiscord,
        Self::UpdateWorklist,
        Self::RecordLearning,
        Self::KillExperiment,
        Self::InitiateRoundtable,
        Self::NoAction,
    ];
    /// The watcher's.
    pub(crate) const CLASSES: [Self; 3] = [Self::Ignore, Self::Answer, Self::Escalate];
}

/// Checks on an answer beyond its label.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expect {
    /// The experiment that it must be about: killed, or revised.
    pub(crate) experiment_id: Option<String>,
    /// The tool that it must be about.
    pub(crate) tool: Option<String>,
    /// It must have one of these priorities; any, where there are none.
    #[serde(default)]
    pub(crate) priority: Vec<Priority>,
    /// Its payload or text must contain one of these, in whatever case; anything, where there are none.
    #[serde(default)]
    pub(crate) contains: Vec<String>,
}

/// What is known when a message arrives.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    /// What is sold, to whom.
    #[serde(default)]
    pub(crate) product: String,
    /// Markdown.
    #[serde(default)]
    pub(crate) worklist: String,
    /// Markdown, newest first.
    #[serde(default)]
    pub(crate) learnings: String,
    /// Names of the tools that work.
    #[serde(default)]
    pub(crate) tools: Vec<String>,
    /// What the designer has noted, newest first.
    #[serde(default)]
    pub(crate) tactical: Vec<String>,
    /// Whether the team is on hold.
    #[serde(default)]
    pub(crate) hold: bool,
    /// The experiments, archived ones too.
    #[serde(default)]
    pub(crate) experiments: Vec<Experiment>,
    /// Aggregates beside those that stand with their experiments.
    #[serde(default)]
    pub(crate) metrics: Vec<Metrics>,
    /// Recent runs, newest first.
    #[serde(default)]
    pub(crate) runs: Vec<Run>,
    /// What was proposed and is answered by the message.
    #[serde(default)]
    pub(crate) approvals: Vec<Approval>,
}

/// An experiment as its document has it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Experiment {
    pub(crate) id: String,
    pub(crate) state: ExperimentState,
    pub(crate) hypothesis: String,
    pub(crate) tool: Option<String>,
    /// The last aggregates by name; rates are from 0 to 1.
    #[serde(default)]
    pub(crate) metrics: BTreeMap<String, f64>,
}

/// The last aggregates of an experiment.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Metrics {
    pub(crate) experiment_id: String,
    /// By name; rates are from 0 to 1.
    #[serde(flatten)]
    pub(crate) values: BTreeMap<String, f64>,
}

/// A run that is over.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Run {
    pub(crate) id: String,
    pub(crate) experiment_id: String,
    /// `success`, `partial` or `failed`.
    pub(crate) status: String,
    /// What came of it, in words.
    #[serde(default)]
    pub(crate) summary: String,
    /// Whether the orchestrator has decided upon it.
    #[serde(default)]
    pub(crate) decided: bool,
}

/// Something of the orchestrator's that went to the gate.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Approval {
    pub(crate) id: String,
    /// The action that was decided on.
    pub(crate) action: Label,
    /// What, in a line.
    pub(crate) title: String,
    /// Why.
    pub(crate) reason: String,
    /// The experiment it is about, if it is about one.
    pub(crate) experiment_id: Option<String>,
}

/// A hostile chat message.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Injection {
    /// Unique, in snake case.
    pub(crate) name: String,
    /// What is tried with it.
    pub(crate) kind: String,
    content: String,
    repeat: Option<usize>,
}

impl Injection {
    /// What is written in the chat.
    pub(crate) fn text(&self) -> Untrusted {
        Untrusted::from(self.content.repeat(self.repeat.unwrap_or(1)))
    }
}

/// All scenarios of a folder of TOML files, in the order of the files' names.
///
/// # Errors
/// Where a file cannot be read or is not of the format; it is named.
pub(crate) fn scenarios(folder: &Path) -> Result<Vec<Scenario>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        scenario: Vec<Scenario>,
    }
    Ok(read::<File>(folder)?.into_iter().flat_map(|file| file.scenario).collect())
}

/// All hostile messages of a folder of TOML files.
///
/// # Errors
/// As [`scenarios`].
pub(crate) fn injections(folder: &Path) -> Result<Vec<Injection>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        injection: Vec<Injection>,
    }
    Ok(read::<File>(folder)?.into_iter().flat_map(|file| file.injection).collect())
}

fn read<T: DeserializeOwned>(folder: &Path) -> Result<Vec<T>> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .wrap_err_with(|| format!("cannot list {}", folder.display()))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    ensure!(!paths.is_empty(), "no .toml file in {}", folder.display());
    paths
        .iter()
        .map(|path| {
            let text = fs::read_to_string(path).wrap_err_with(|| format!("cannot read {}", path.display()))?;
            toml::from_str(&text).wrap_err_with(|| format!("{} is not of the format", path.display()))
        })
        .collect()
}

fn member() -> Trust {
    Trust::Member
}
