//! The executor: runs experiments when their time comes, and keeps account of what they did to the outside.
//!
//! Owns schedules and runs. A moment of a schedule is claimed once, whatever the number of executors: a timer of the bus says it, and the
//! next one is set in the same commit. A run goes on after its last ended step, whoever died; an outward act has a record before it is
//! done, and is never done twice. Must never reach anybody without an approval, and never leave anything waiting without an end.
//!
//! | message | what is done |
//! |---|---|
//! | `schedule_created`, `experiment_created` | the schedule's next timer is set |
//! | `execute_now` | checked, claimed, and put down as a waiting run |
//! | `sample_experiment` | one mail goes to the operator, as a recipient would get it |
//! | `schedule_due` for a run | the run, within the slots: it holds its message until it is over, or has to wait for long |
//! | `schedule_due` for something else | follow-ups are sent, the observation closed |
//! | `collection_due` | what was answered to the mail of all experiments is read |

mod actions;
mod arm;
mod begin;
mod collect;
mod desk;
mod end;
mod events;
mod folders;
mod follow;
mod forgotten;
mod observe;
mod pace;
mod pen;
mod people;
mod person;
mod record;
mod run;
mod sample;
#[cfg(test)]
mod tests;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::bus::{BusError, Context, Document, Draft, Effects, Failure, Handler, Key, Received, SharedBus, State};
use crate::config::{ExecutorConfig, OutreachConfig};
use crate::contracts::channel::grants;
use crate::contracts::messages::{DueFor, ErrorNotice, ExecuteNow, Experiments, FromOrchestrator, Schedules, Words};
use crate::contracts::untrusted::sanitize_line;
use crate::contracts::wiring::FROM_ORCHESTRATOR;
use crate::contracts::{ChannelName, Priority};
use crate::llm::Mind;
use crate::tools::contract::{Call, Desk, Outcome};
use crate::tools::runner::Runner;

pub use folders::WorkFolders;
pub use pace::Pacer;
pub use sample::record_of as record_of_sample;

/// Messages held side by side: runs that wait for a slot among them.
const MESSAGES: usize = 256;
/// How long a message may be held. What has to wait for longer is put down with a timer.
const TIME_LIMIT: Duration = Duration::from_hours(7 * 24);
/// Characters of a text that is repeated.
const WORDS_LIMIT: usize = 400;

type Said = Result<Effects<grants::Executor>, Failure>;

/// What the executor has to know of a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ToolFacts {
    /// Whether doing the same again does no harm.
    pub idempotent: bool,
}

/// Those that run tools.
#[async_trait]
pub trait Tools: Send + Sync + 'static {
    /// What is known of a tool; none where there is none of this name.
    async fn facts(&self, tool: &str) -> Option<ToolFacts>;

    /// Runs one; `stop` ends it within two seconds, with whatever it started.
    async fn run(&self, call: Call, desk: &mut dyn Desk, stop: CancellationToken) -> Outcome;
}

#[async_trait]
impl Tools for Runner {
    async fn facts(&self, tool: &str) -> Option<ToolFacts> {
        let (registry, tool) = (self.registry().clone(), tool.to_owned());
        // It waits for the disk.
        let found = tokio::task::spawn_blocking(move || registry.find(&tool)).await.ok()?;
        found.ok().map(|tool| ToolFacts { idempotent: tool.manifest.idempotent })
    }

    async fn run(&self, call: Call, desk: &mut dyn Desk, stop: CancellationToken) -> Outcome {
        Self::run(self, call, desk, stop).await
    }
}

/// What an executor is made of.
pub struct ExecutorParts {
    /// Who runs tools.
    pub tools: Arc<dyn Tools>,
    /// Who is asked what a reply means.
    pub mind: Mind,
    /// How it runs experiments.
    pub settings: ExecutorConfig,
    /// In whose name people are written to.
    pub outreach: OutreachConfig,
    /// A message is begun so often at most (`consumer.max_attempts`).
    pub max_attempts: u32,
}

/// The service.
pub struct Executor {
    parts: ExecutorParts,
    slots: Arc<Semaphore>,
}

impl std::fmt::Debug for Executor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Executor").field("settings", &self.parts.settings).finish_non_exhaustive()
    }
}

impl Executor {
    /// An executor of these parts.
    pub fn new(parts: ExecutorParts) -> Self {
        let slots = usize::try_from(parts.settings.slots).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Self { slots: Arc::new(Semaphore::new(slots)), parts }
    }
}

impl Handler for Executor {
    type Grant = grants::Executor;

    fn channels(&self) -> &[ChannelName] {
        &[ChannelName::Experiments, ChannelName::Schedules, ChannelName::ExecuteNow, ChannelName::Approvals]
    }

    fn slots(&self) -> usize {
        MESSAGES
    }

    fn time_limit(&self) -> Option<Duration> {
        Some(TIME_LIMIT)
    }

    fn heeds_hold(&self) -> bool {
        true
    }

    async fn handle(&self, message: Received, cx: Context<grants::Executor>) -> Said {
        match message.entry.channel {
            ChannelName::Experiments => match message.read::<Experiments>()? {
                Experiments::Created(created) => arm::published(&created.experiment_id, &cx).await,
            },
            ChannelName::ExecuteNow => match message.read::<ExecuteNow>()? {
                ExecuteNow::Run(wanted) => begin::begin(&wanted, &message, &cx).await,
                ExecuteNow::Sample(wanted) => sample::sample(self, &wanted, &message, &cx).await,
            },
            ChannelName::Schedules => match message.read::<Schedules>()? {
                Schedules::Created(created) => arm::scheduled(&created, &cx).await,
                Schedules::Due(due) => match due.what {
                    DueFor::Run => run::run(self, &due, &message, &cx).await,
                    DueFor::FollowUp => follow::follow(self, &due, &message, &cx).await,
                    DueFor::Observation => observe::observe(&due, &cx).await,
                    DueFor::Answer => actions::answered(&due, &cx).await,
                },
                Schedules::Collect(_) => collect::collect(self, &message, &cx).await,
            },
            // What was approved is said in messages of its own.
            _ => Ok(cx.effects()),
        }
    }
}

/// The document under a key; none where there is none, or something else.
async fn document(bus: &SharedBus, key: &str) -> Result<Option<Document>, BusError> {
    match bus.get(&Key::new(key)).await {
        Ok(Some(State::Hash(document))) => Ok(Some(document)),
        Ok(_) | Err(BusError::ForeignType { .. }) => Ok(None),
        Err(err) => Err(err),
    }
}

/// Tells people that something did not go as it should.
fn warn(effects: &mut Effects<grants::Executor>, subject: &str, message: &str) -> Result<(), Failure> {
    tracing::warn!(subject, message);
    let payload = Words { message: sanitize_line(message, WORDS_LIMIT) };
    let notice = ErrorNotice { payload, priority: Priority::High, timestamp: Some(effects.now()) };
    effects.send(FROM_ORCHESTRATOR, Draft::new(FromOrchestrator::from(notice)).subject(subject))?;
    Ok(())
}

/// A name as it is shown.
fn shown(id: &str) -> String {
    sanitize_line(id, 80)
}

/// A key of an experiment's, or a message that can never be handled.
fn terminal(err: impl std::error::Error + Send + Sync + 'static) -> Failure {
    Failure::Terminal(color_eyre::Report::new(err))
}

fn field(name: &str, text: impl Into<String>) -> (String, Option<String>) {
    (name.to_owned(), Some(text.into()))
}

fn gone(name: &str) -> (String, Option<String>) {
    (name.to_owned(), None)
}
