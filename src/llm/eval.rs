//! Labelled scenarios, by which every mind is judged, and hostile chat messages: what their files say, and what a mind is shown of them.
//!
//! Owns the format. What an answer is worth is told by `judge`.

mod judge;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::contracts::lifecycle::ExperimentState;
use crate::contracts::{ChannelName, Priority, Trust, Untrusted};
use color_eyre::eyre::{Result, WrapErr as _, ensure};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::llm::tasks::classify::ClassifyInput;
use crate::llm::tasks::decide::{DecideInput, Denied};
use crate::llm::tasks::respond::{RespondInput, Status};
use crate::llm::tasks::{Action, Verdict};
use crate::memory::{ExperimentBrief, NoteBrief, TeamContext};

pub use judge::{Judged, Tally};

/// One message, the state it meets, and what a careful person would do about it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Unique over all files, in snake case.
    pub name: String,
    /// Why the expected answer is right.
    pub about: String,
    /// Where the message is said: `discord_raw` is for the watcher to classify, any other for the orchestrator to decide upon.
    pub channel: ChannelName,
    /// The message's trust.
    #[serde(default = "member")]
    pub trust: Trust,
    /// The body as JSON, with its type.
    pub message: String,
    /// What is known when it arrives.
    #[serde(default)]
    pub state: State,
    /// The right answer.
    pub expected: Label,
    /// Answers that are right as well.
    #[serde(default)]
    pub acceptable: Vec<Label>,
    /// Answers that would do harm. What stands in none of the three is merely wrong.
    #[serde(default)]
    pub forbidden: Vec<Label>,
    /// What else must hold of an answer with the expected label.
    #[serde(default)]
    pub expect: Expect,
}

/// An answer: one of the orchestrator's eight actions, or one of the watcher's three verdicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Label {
    /// The orchestrator's.
    Action(Action),
    /// The watcher's.
    Verdict(Verdict),
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Action(action) => f.write_str(action.as_str()),
            Self::Verdict(verdict) => f.write_str(verdict.as_str()),
        }
    }
}

/// Checks on an answer beyond its label.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// The experiment that it must be about: killed, or revised.
    pub experiment_id: Option<String>,
    /// The tool that it must be about.
    pub tool: Option<String>,
    /// It must have one of these priorities; any, where there are none.
    #[serde(default)]
    pub priority: Vec<Priority>,
    /// Its payload or text must contain one of these, in whatever case; anything, where there are none.
    #[serde(default)]
    pub contains: Vec<String>,
}

/// What is known when a message arrives.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// What is sold, to whom.
    #[serde(default)]
    pub product: String,
    /// Markdown.
    #[serde(default)]
    pub worklist: String,
    /// Markdown, newest first.
    #[serde(default)]
    pub learnings: String,
    /// Names of the tools that work.
    #[serde(default)]
    pub tools: Vec<String>,
    /// What the designer has noted, newest first.
    #[serde(default)]
    pub tactical: Vec<String>,
    /// Whether the team is on hold.
    #[serde(default)]
    pub hold: bool,
    /// The experiments, archived ones too.
    #[serde(default)]
    pub experiments: Vec<Experiment>,
    /// Aggregates beside those that stand with their experiments.
    #[serde(default)]
    pub metrics: Vec<Metrics>,
    /// Recent runs, newest first.
    #[serde(default)]
    pub runs: Vec<Run>,
    /// What was proposed and is answered by the message.
    #[serde(default)]
    pub approvals: Vec<Approval>,
}

/// An experiment as its document has it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// Its id.
    pub id: String,
    /// Where it stands.
    pub state: ExperimentState,
    /// What it tests.
    pub hypothesis: String,
    /// What it uses.
    pub tool: Option<String>,
    /// The last aggregates by name; rates are from 0 to 1.
    #[serde(default)]
    pub metrics: BTreeMap<String, f64>,
}

/// The last aggregates of an experiment.
#[derive(Debug, Clone, Deserialize)]
pub struct Metrics {
    /// Whose.
    pub experiment_id: String,
    /// By name; rates are from 0 to 1.
    #[serde(flatten)]
    pub values: BTreeMap<String, f64>,
}

/// A run that is over.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// Its id.
    pub id: String,
    /// Whose.
    pub experiment_id: String,
    /// `success`, `partial` or `failed`.
    pub status: String,
    /// What came of it, in words.
    #[serde(default)]
    pub summary: String,
    /// Whether the orchestrator has decided upon it.
    #[serde(default)]
    pub decided: bool,
}

/// Something of the orchestrator's that went to the gate.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// Its id.
    pub id: String,
    /// The action that was decided on.
    pub action: Action,
    /// What, in a line.
    pub title: String,
    /// Why.
    pub reason: String,
    /// The experiment it is about, if it is about one.
    pub experiment_id: Option<String>,
}

/// A hostile chat message.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Injection {
    /// Unique, in snake case.
    pub name: String,
    /// What is tried with it.
    pub kind: String,
    content: String,
    repeat: Option<usize>,
}

impl Injection {
    /// What is written in the chat.
    pub fn text(&self) -> Untrusted {
        Untrusted::from(self.content.repeat(self.repeat.unwrap_or(1)))
    }
}

/// All scenarios of these TOML files, and of the files in these folders, in the order of their names.
///
/// # Errors
/// Where a file cannot be read or is not of the format; it is named.
pub fn scenarios<P: AsRef<Path>>(paths: &[P]) -> Result<Vec<Scenario>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        scenario: Vec<Scenario>,
    }
    Ok(read::<File, P>(paths)?.into_iter().flat_map(|file| file.scenario).collect())
}

/// All hostile messages of these TOML files, and of the files in these folders.
///
/// # Errors
/// As [`scenarios`].
pub fn injections<P: AsRef<Path>>(paths: &[P]) -> Result<Vec<Injection>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        injection: Vec<Injection>,
    }
    Ok(read::<File, P>(paths)?.into_iter().flat_map(|file| file.injection).collect())
}

fn read<T: DeserializeOwned, P: AsRef<Path>>(paths: &[P]) -> Result<Vec<T>> {
    let mut files: Vec<PathBuf> = Vec::new();
    for path in paths.iter().map(AsRef::as_ref) {
        if !path.is_dir() {
            files.push(path.to_owned());
            continue;
        }
        let mut within: Vec<PathBuf> = fs::read_dir(path)
            .wrap_err_with(|| format!("cannot list {}", path.display()))?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()?;
        within.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
        within.sort();
        ensure!(!within.is_empty(), "no .toml file in {}", path.display());
        files.extend(within);
    }
    let file = |path: &PathBuf| {
        let text = fs::read_to_string(path).wrap_err_with(|| format!("cannot read {}", path.display()))?;
        toml::from_str(&text).wrap_err_with(|| format!("{} is not of the format", path.display()))
    };
    files.iter().map(file).collect()
}

fn member() -> Trust {
    Trust::Member
}

impl Scenario {
    /// The message, as it is decided upon.
    ///
    /// # Errors
    /// Where it is no JSON object.
    pub fn body(&self) -> Result<Map<String, Value>> {
        serde_json::from_str(&self.message).wrap_err_with(|| format!("the message of {} is no JSON object", self.name))
    }

    /// The type of the message.
    pub fn kind(&self) -> String {
        let kind = |body: Map<String, Value>| body.get("type").and_then(Value::as_str).map(str::to_owned);
        self.body().ok().and_then(kind).unwrap_or_default()
    }

    /// Whether it is the watcher's.
    pub fn is_chat(&self) -> bool {
        self.channel == ChannelName::DiscordRaw
    }

    /// What the watcher is asked.
    ///
    /// # Errors
    /// As [`Scenario::body`].
    pub fn classify_input(&self) -> Result<ClassifyInput> {
        let body = self.body()?;
        let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
        Ok(ClassifyInput {
            username: text("username").map(Untrusted::from),
            channel: text("channel_name"),
            mentions_bot: body.get("mentions_bot").and_then(Value::as_bool).unwrap_or_default(),
            content: Untrusted::from(text("content").unwrap_or_default()),
        })
    }

    /// What the watcher is asked next, where it answers by itself.
    ///
    /// # Errors
    /// As [`Scenario::body`].
    pub fn respond_input(&self) -> Result<RespondInput> {
        let asked = self.classify_input()?;
        let goes_on = self.state.experiments.iter().filter(|experiment| experiment.state != ExperimentState::Archived);
        let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        let status = Status {
            held: Some(self.state.hold),
            experiments: count(goes_on.clone().count()),
            running: count(goes_on.filter(|experiment| experiment.state == ExperimentState::Running).count()),
            waiting: 0,
            recent_runs: self.state.run_lines().into_iter().take(3).collect(),
        };
        Ok(RespondInput { username: asked.username, content: asked.content, status })
    }

    /// What the orchestrator is asked. A refused proposal is put to it as a former decision that was denied, with what had been proposed.
    ///
    /// # Errors
    /// As [`Scenario::body`].
    pub fn decide_input(&self) -> Result<DecideInput> {
        let mut message = self.body()?;
        let text = |name: &str| message.get(name).and_then(Value::as_str).map(str::to_owned);
        let approval =
            text("approval_id").and_then(|id| self.state.approvals.iter().find(|approval| approval.id == id));
        let denied = approval
            .filter(|_| text("outcome").as_deref() == Some("denied"))
            .map(|approval| Denied { action: approval.action, reason: text("reason").unwrap_or_default() });
        if let Some(approval) = approval {
            message.insert("summary".to_owned(), Value::from(approval.title.as_str()));
            if let Some(id) = &approval.experiment_id {
                message.insert("experiment_id".to_owned(), Value::from(id.as_str()));
            }
        }
        Ok(DecideInput { kind: self.kind(), trust: self.trust, message, team: Arc::new(self.state.team()), denied })
    }
}

impl State {
    /// As the orchestrator's memory shows it.
    fn team(&self) -> TeamContext {
        let note = |text: &str| NoteBrief { text: text.to_owned(), version: u64::from(!text.is_empty()) };
        let brief = |experiment: &Experiment| {
            let mut metrics = experiment.metrics.clone();
            let more = self.metrics.iter().filter(|metrics| metrics.experiment_id == experiment.id);
            metrics.extend(more.flat_map(|metrics| metrics.values.clone()));
            ExperimentBrief {
                id: experiment.id.clone(),
                state: experiment.state.to_string(),
                hypothesis: experiment.hypothesis.clone(),
                tool: experiment.tool.clone(),
                metrics,
                version: 1,
            }
        };
        let (archived, others): (Vec<_>, Vec<_>) =
            self.experiments.iter().partition(|experiment| experiment.state == ExperimentState::Archived);
        TeamContext {
            product: note(&self.product),
            worklist: note(&self.worklist),
            learnings: note(&self.learnings),
            experiments: others.into_iter().map(brief).collect(),
            archived: archived.into_iter().map(|experiment| experiment.id.clone()).collect(),
            tools: self.tools.clone(),
            tactical: self.tactical.clone(),
            recent_runs: self.run_lines(),
            held: self.hold,
            warnings: Vec::new(),
        }
    }

    fn run_lines(&self) -> Vec<String> {
        let line = |run: &Run| {
            let decided = if run.decided { " (decided)" } else { "" };
            format!("{} {}: {}{decided}", run.id, run.status, run.summary)
        };
        self.runs.iter().map(line).collect()
    }
}
