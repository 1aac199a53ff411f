//! Events of a run, on their way to `fullsend:metrics`: each once, whatever is done again.
//!
//! Owns what makes an event the same one: the `id` that a tool gives it, else the act that it followed, else its number within the step.
//! Must never pass on what only the executor says (that a run began or ended), nor anybody's address.

use serde_json::{Map, Value};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::pen::{Unwritten, commit_all, settled};
use crate::bus::{Commit, Context, Draft, Op, Outgoing, SharedBus};
use crate::contracts::body::Body;
use crate::contracts::channel::grants;
use crate::contracts::envelope::rfc3339;
use crate::contracts::keys;
use crate::contracts::messages::Metrics;
use crate::contracts::untrusted::sanitize_line;
use crate::contracts::wiring::METRICS;
use crate::experiments::outreach;
use crate::experiments::spec::Mode;

/// Events that wait to be said; a tool that writes faster is held back.
const WAITING: usize = 1_024;
/// Events of one call.
const BATCH: usize = 128;
/// What only the executor says.
const OWN: [&str; 4] = ["run_started", "run_completed", "items_processed", "error"];
/// Fields that say whom an event is about.
const PEOPLE: [&str; 5] = ["address", "email", "recipient", "from", "to"];
/// What an event belongs to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Of<'a> {
    pub(super) experiment: &'a str,
    /// Empty where it is not known.
    pub(super) run: &'a str,
    pub(super) mode: Mode,
}

/// Whom an event is about: the hash of the address, as keys have it.
pub(super) fn person(event: &Map<String, Value>) -> Option<String> {
    let is_hash = |text: &&str| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let said = event.get("person").and_then(Value::as_str).filter(is_hash).map(str::to_owned);
    let address = || PEOPLE.iter().find_map(|name| outreach::address(event.get(*name)?.as_str()?));
    said.or_else(|| address().map(|address| keys::person(&address)))
}

/// The message for an event; or why there can be none.
pub(super) fn message(
    mut event: Map<String, Value>,
    of: Of<'_>,
    cx: &Context<grants::Executor>,
) -> Result<Outgoing, String> {
    let name = event.get("event").or_else(|| event.get("type")).and_then(Value::as_str).unwrap_or_default();
    let name = sanitize_line(name.trim(), 80);
    if name.is_empty() {
        return Err("an event has no name (`event`)".to_owned());
    }
    if OWN.contains(&name.as_str()) {
        return Err(format!("the event `{name}` is the executor's own to say"));
    }
    let whom = person(&event);
    for field in PEOPLE.into_iter().chain(["type", "dry_run", "simulation"]) {
        event.shift_remove(field);
    }
    let mut put = |name: &str, value: Value| event.insert(name.to_owned(), value);
    whom.map(|whom| put("person", whom.into()));
    put("event", name.into());
    put("experiment_id", of.experiment.into());
    if !of.run.is_empty() {
        put("run_id", of.run.into());
    }
    match of.mode {
        Mode::Live => {}
        Mode::DryRun => drop(put("dry_run", true.into())),
        Mode::Simulation => drop(put("simulation", true.into())),
    }
    if event.get("timestamp").and_then(Value::as_str).and_then(crate::contracts::envelope::read_time).is_none() {
        event.insert("timestamp".to_owned(), rfc3339(cx.now()).into());
    }
    let read = serde_json::to_string(&event).map_err(|err| err.to_string());
    let metrics = read.and_then(|text| Metrics::read(&text).map_err(|err| err.to_string()))?;
    let draft = Draft::new(metrics).subject(of.experiment);
    cx.origin().compose::<grants::Executor, _>(METRICS, draft).map_err(|err| err.to_string())
}

/// Says events as they come, many in one call.
pub(super) struct Events {
    waiting: mpsc::Sender<(String, Outgoing)>,
    task: JoinHandle<Result<(), Unwritten>>,
}

impl Events {
    pub(super) fn new(bus: &SharedBus, stop: CancellationToken) -> Self {
        let (waiting, mut come) = mpsc::channel::<(String, Outgoing)>(WAITING);
        let bus = SharedBus::clone(bus);
        let task = tokio::spawn(async move {
            let mut batch = Vec::with_capacity(BATCH);
            while come.recv_many(&mut batch, BATCH).await > 0 {
                let units = batch
                    .drain(..)
                    .map(|(once, message)| Commit { once: Some(once), ..Commit::of(vec![Op::Append(message)]) })
                    .collect();
                for outcome in commit_all(&bus, units, &stop).await? {
                    settled(outcome)?;
                }
            }
            Ok(())
        });
        Self { waiting, task }
    }

    /// Says this, once for all time by its key; false where nothing can be said any more.
    pub(super) async fn say(&self, once: String, message: Outgoing) -> bool {
        self.waiting.send((once, message)).await.is_ok()
    }

    /// Waits until all is said.
    pub(super) async fn close(self) -> Result<(), Unwritten> {
        drop(self.waiting);
        match self.task.await {
            Ok(said) => said,
            Err(_) => Err(Unwritten::Lost),
        }
    }
}
