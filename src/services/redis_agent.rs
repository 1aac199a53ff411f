//! The Redis Agent: adds up what happens in experiments, and says when their numbers cross a line.
//!
//! Owns `metrics_aggregated:{id}`, `metrics:{id}`, and the alerts of criteria. Each event is added once: its effects are committed with its
//! acknowledgement. What was judged, what was told and when is kept with the numbers, so that a restart forgets nothing. A criterion
//! that becomes true raises one alert, and again one once chance no longer explains it; one that becomes false is armed again. Must never recommend a kill
//! where the statistics do not say so, never raise an alert for what is archived, nor one that is trusted more than the numbers that it rests on.

mod account;
mod summary;
mod tell;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

pub use summary::Summaries;

use self::account::Account;
use crate::bus::consumer::Together;
use crate::bus::{BusError, Context, Document, Effects, Failure, Handler, Key, Received, State};
use crate::contracts::channel::grants;
use crate::contracts::envelope::read_time;
use crate::contracts::lifecycle::ExperimentState;
use crate::contracts::messages::Metrics;
use crate::contracts::{ChannelName, ShapeError, keys};
use crate::experiments::judgement::Plan;
use crate::experiments::numbers::{Ageing, Happened, Refused};
use crate::memory::experiments as known;

/// Messages that are added up together.
const TOGETHER: usize = 500;
/// Plans of experiments that are kept in memory.
const PLANS: usize = 4_096;
/// What is read of an experiment each time; of its metrics the version is wanted.
const MARKS: &[&str] =
    &["state", "status", "mode", "verdict", "created_at", "restored_at", "success_criteria", "failure_criteria"];

/// How the agent judges.
#[derive(Debug, Clone, Copy)]
pub struct AgentOptions {
    /// The same criterion does not raise two alerts within this.
    pub cooldown: Duration,
    /// A message that was sent to a person counts against a share of answers only after this, or after the experiment's own window where that is
    /// longer: before, it may still be answered. In a simulation its own days count; in a dry run, where nobody is written to, it counts at once.
    pub settle: Duration,
}

/// The service.
#[derive(Debug)]
pub struct RedisAgent {
    options: AgentOptions,
    plans: Mutex<BTreeMap<String, (Versions, Arc<Plan>)>>,
}

/// The versions of the documents that a plan was read from: the experiment's, and that of its metrics.
type Versions = (u64, u64);

/// An experiment as its documents say it is.
#[derive(Debug, Default)]
struct Known {
    /// The version of its document; none where there is none that could be changed.
    version: Option<u64>,
    state: Option<ExperimentState>,
    verdict: Option<String>,
    /// When a kill of it was taken back.
    restored_at: Option<DateTime<Utc>>,
    /// By what clock its messages grow old.
    ageing: Ageing,
    plan: Arc<Plan>,
}

impl Known {
    /// How long it takes until a message counts against a share: for so long as it is waited for answers.
    fn settles_within(&self, usually: Duration) -> TimeDelta {
        let within = usually.max(self.plan.window.unwrap_or_default());
        TimeDelta::from_std(within).unwrap_or(TimeDelta::days(400))
    }
}

/// A message that can be added.
struct Event {
    message: Received,
    said: Metrics,
    happened: Happened,
}

impl RedisAgent {
    /// One that judges as the options say.
    pub fn new(options: AgentOptions) -> Self {
        Self { options, plans: Mutex::default() }
    }

    async fn take(
        &self,
        messages: Vec<Received>,
        cx: &Context<grants::RedisAgent>,
    ) -> Result<Together<grants::RedisAgent>, Failure> {
        let mut together = Together::from(cx.effects());
        let mut by_experiment: BTreeMap<String, Vec<Event>> = BTreeMap::new();
        for message in messages {
            match read(&message) {
                Ok((id, said, happened)) => {
                    by_experiment.entry(id).or_default().push(Event { message, said, happened });
                }
                Err(shape) => together.refused.push((message.entry.channel, message.entry.id, shape.into())),
            }
        }
        let ids: Vec<&str> = by_experiment.keys().map(String::as_str).collect();
        let numbers = documents(cx, ids.iter().copied(), keys::metrics_aggregated).await?;
        let known = self.known(&ids, cx).await?;
        for (((id, events), numbers), known) in by_experiment.into_iter().zip(numbers).zip(known) {
            let account = Account::new(&id, numbers, known, self.options, cx);
            let refused = account.settle(events, &mut together.effects)?;
            together.refused.extend(refused);
        }
        Ok(together)
    }

    /// What is known of these experiments: of those that did not change, what was read before.
    async fn known(&self, ids: &[&str], cx: &Context<grants::RedisAgent>) -> Result<Vec<Known>, Failure> {
        let experiments = ids.iter().map(|id| key(id, keys::experiment)).collect::<Result<Vec<_>, _>>()?;
        let specs = ids.iter().map(|id| key(id, keys::metrics_spec)).collect::<Result<Vec<_>, _>>()?;
        let mut marks = cx.bus().get_many(&[experiments.clone(), specs].concat(), Some(MARKS)).await?;
        let specs = marks.split_off(ids.len().min(marks.len()));
        let mut all = Vec::with_capacity(ids.len());
        for ((id, key), (mark, spec)) in ids.iter().zip(experiments).zip(marks.into_iter().zip(specs)) {
            let Some(state) = mark.or_else(foreign)? else {
                all.push(Known::default());
                continue;
            };
            let version = state.document().map(|document| document.version);
            let spec = spec.or_else(foreign)?;
            let spec = spec.as_ref().map_or(Some(0), |spec| spec.document().map(|document| document.version));
            let Some(document) = known::document(state) else {
                all.push(Known::default());
                continue;
            };
            let plan = match self.plan(id, version.zip(spec)) {
                Some(plan) => plan,
                None => self.read_plan(id, &key, cx).await?,
            };
            all.push(Known {
                version,
                state: ExperimentState::of(|field| document.get(field)),
                verdict: document.get("verdict").map(str::to_owned),
                restored_at: document.get("restored_at").and_then(read_time),
                ageing: match document.get("mode") {
                    Some("dry_run") => Ageing::AtOnce,
                    Some("simulation") => Ageing::BySimulation,
                    _ => Ageing::ByClock,
                },
                plan,
            });
        }
        Ok(all)
    }

    /// The plan that was read of these versions. A document that another program wrote has none, and is read each time.
    fn plan(&self, id: &str, versions: Option<Versions>) -> Option<Arc<Plan>> {
        let plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        let (read, plan) = plans.get(id)?;
        (versions == Some(*read) && read.0 > 0).then(|| Arc::clone(plan))
    }

    async fn read_plan(&self, id: &str, key: &Key, cx: &Context<grants::RedisAgent>) -> Result<Arc<Plan>, Failure> {
        let keys = [key.clone(), self::key(id, keys::metrics_spec)?];
        let mut found = cx.bus().get_many(&keys, None).await?.into_iter();
        let mut next = || found.next().map(|got| got.or_else(foreign)).transpose();
        let (experiment, specs) = (next()?.flatten(), next()?.flatten());
        let version = |state: Option<&State>| state.and_then(State::document).map_or(0, |document| document.version);
        let versions = (version(experiment.as_ref()), version(specs.as_ref()));
        let experiment = experiment.and_then(known::document).unwrap_or_default();
        let plan = Arc::new(Plan::read(&experiment, specs.and_then(known::document).as_ref()));
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        if plans.len() >= PLANS {
            plans.clear();
        }
        plans.insert(id.to_owned(), (versions, Arc::clone(&plan)));
        Ok(plan)
    }
}

impl Handler for RedisAgent {
    type Grant = grants::RedisAgent;

    fn channels(&self) -> &[ChannelName] {
        &[ChannelName::Metrics]
    }

    fn together(&self) -> usize {
        TOGETHER
    }

    async fn handle(
        &self,
        message: Received,
        cx: Context<grants::RedisAgent>,
    ) -> Result<Effects<grants::RedisAgent>, Failure> {
        let mut together = self.take(vec![message], &cx).await?;
        match together.refused.pop() {
            Some((.., failure)) => Err(failure),
            None => Ok(together.effects),
        }
    }

    async fn handle_together(
        &self,
        messages: Vec<Received>,
        cx: Context<grants::RedisAgent>,
    ) -> Result<Together<grants::RedisAgent>, Failure> {
        self.take(messages, &cx).await
    }
}

/// The experiment that a message is about, and what it says that happened.
fn read(message: &Received) -> Result<(String, Metrics, Happened), ShapeError> {
    let said: Metrics = message.read()?;
    let id = match &said {
        Metrics::RunStarted(it) => &it.experiment_id,
        Metrics::ItemsProcessed(it) => &it.experiment_id,
        Metrics::RunCompleted(it) => &it.experiment_id,
        Metrics::Error(it) => &it.experiment_id,
        Metrics::Look(it) => &it.experiment_id,
        Metrics::Event(it) => &it.experiment_id,
    };
    let wrong = |path: &str, reason: String| ShapeError::Field { kind: "metric", path: path.to_owned(), reason };
    keys::check_id(id).map_err(|err| wrong("experiment_id", err.to_string()))?;
    let id = id.clone();
    let happened = Happened::of(&said).map_err(|err| refusal(&err))?;
    Ok((id, said, happened))
}

/// Why something is not added, as it stands in its dead letter.
fn refusal(refused: &Refused) -> ShapeError {
    ShapeError::Field { kind: "metric", path: refused.field().to_owned(), reason: refused.to_string() }
}

fn key(id: &str, of: fn(&str) -> Result<String, keys::BadId>) -> Result<Key, Failure> {
    of(id).map(Key::new).map_err(|err| Failure::Terminal(err.into()))
}

/// Something foreign stands there: it is not ours to read.
fn foreign(err: BusError) -> Result<Option<State>, BusError> {
    if matches!(err, BusError::ForeignType { .. }) { Ok(None) } else { Err(err) }
}

/// Documents of a family, by id; none where there is none.
async fn documents(
    cx: &Context<grants::RedisAgent>,
    ids: impl Iterator<Item = &str>,
    of: fn(&str) -> Result<String, keys::BadId>,
) -> Result<Vec<Option<Document>>, Failure> {
    let keys = ids.map(|id| key(id, of)).collect::<Result<Vec<_>, _>>()?;
    let found = cx.bus().get_many(&keys, None).await?;
    let document = |got: Result<Option<State>, BusError>| match got.or_else(foreign)? {
        Some(State::Hash(document)) => Ok(Some(document)),
        _ => Ok(None),
    };
    found.into_iter().map(document).collect::<Result<_, BusError>>().map_err(Failure::from)
}
