//! The executor in its consumer loop, on paused time, with tools that are played.

mod mailbox;
mod outward;
mod reaching;
mod runs;
mod samples;
mod schedules;
mod side_by_side;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use chrono::TimeDelta;
use serde_json::{Map, Value, json};
use tokio::task::JoinHandle;

use super::*;
use crate::bus::leased::hold;
use crate::bus::testing::World;
use crate::bus::timers::Timers;
use crate::bus::{Consumer, ConsumerOptions, Document, EntryId, Expect, Op, Range, StateChange, Ttl};
use crate::contracts::Trust;
use crate::contracts::keys;
use crate::contracts::messages::{ErrorCode, RunNow, ScheduleCreated};
use crate::contracts::wiring::{EXECUTE_NOW, SCHEDULES};
use crate::tools::contract::{ActOutcome, Action, ActionDone, Answer, Progress, ToolError};

/// What the played tools did, whoever ran them.
#[derive(Default)]
struct Stage {
    /// Every run of a tool, by its step.
    begun: Mutex<Vec<String>>,
    /// Addresses that mail went to.
    sent: Mutex<Vec<String>>,
    /// Tools that run now, and the most that ever did.
    now: AtomicUsize,
    most: AtomicUsize,
    /// Whether mail hangs between having gone out and being told.
    hangs: std::sync::atomic::AtomicBool,
    /// How often the mailbox was read, and whether its reader hangs then.
    reads: AtomicUsize,
    reader_hangs: std::sync::atomic::AtomicBool,
    /// Tools that were there, and are not.
    gone: Mutex<Vec<String>>,
    /// What was asked for, as parameters.
    calls: Mutex<Vec<Call>>,
}

impl Stage {
    fn sent(&self) -> Vec<String> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn gone(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What becomes of mail to an address: `bounce@` is refused, `silent@` never answered, `later@` not taken the first time.
    fn became(&self, address: &str) -> ActOutcome {
        let times = self.sent().iter().filter(|sent| *sent == address).count();
        match address.split('@').next() {
            Some("bounce" | "slowly") => ActOutcome::Failed,
            Some("silent") => ActOutcome::Unknown,
            Some("later") if times == 1 => ActOutcome::Later,
            Some("never") => ActOutcome::Later,
            _ => ActOutcome::Done,
        }
    }

    fn begun(&self) -> Vec<String> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Counts a tool while it runs, however it ends.
struct Counted(Arc<Stage>);

impl Counted {
    fn new(stage: &Arc<Stage>) -> Self {
        let now = stage.now.fetch_add(1, Ordering::SeqCst) + 1;
        stage.most.fetch_max(now, Ordering::SeqCst);
        Self(Arc::clone(stage))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::SeqCst);
    }
}

struct Played(Arc<Stage>);

fn outcome(result: Result<Value, ToolError>) -> Outcome {
    Outcome { result, took: Duration::from_secs(1), dropped: 0 }
}

fn failure(code: ErrorCode, message: &str) -> ToolError {
    ToolError { code, message: message.to_owned(), partial: Map::new() }
}

#[async_trait]
impl Tools for Played {
    async fn facts(&self, tool: &str) -> Option<ToolFacts> {
        let known =
            ["people", "email_send", "notes", "email_replies", "hang", "slow", "broken", "acts_oddly", "vanishes"];
        let is_there = known.contains(&tool) && !self.0.gone().iter().any(|gone| gone == tool);
        is_there.then_some(ToolFacts { idempotent: tool == "people" })
    }

    async fn run(&self, call: Call, desk: &mut dyn Desk, stop: CancellationToken) -> Outcome {
        let _counted = Counted::new(&self.0);
        self.0.begun.lock().unwrap_or_else(PoisonError::into_inner).push(call.run.step.clone());
        self.0.calls.lock().unwrap_or_else(PoisonError::into_inner).push(call.clone());
        match call.tool.as_str() {
            "vanishes" if self.0.gone().is_empty() => {
                self.0.gone().push("vanishes".to_owned());
                outcome(Err(failure(ErrorCode::NotFound, "there is no tool `vanishes`")))
            }
            "vanishes" => outcome(Ok(json!({}))),
            "people" => outcome(Ok(json!({ "rows": call.params["rows"], "count": 1 }))),
            "slow" => {
                for done in 0..10 {
                    desk.progress(Progress { done, total: Some(10), message: None }).await;
                    if stop.run_until_cancelled(tokio::time::sleep(Duration::from_secs(1))).await.is_none() {
                        return outcome(Err(failure(ErrorCode::Cancelled, "stopped")));
                    }
                }
                outcome(Ok(json!({ "done": 10 })))
            }
            "hang" => {
                stop.cancelled().await;
                outcome(Err(failure(ErrorCode::Cancelled, "stopped")))
            }
            "acts_oddly" => {
                let action =
                    Action { key: String::new(), kind: "post".into(), target: "x".into(), details: Map::new() };
                let answer = desk.asked(&action).await;
                outcome(Ok(json!({ "answer": answer.as_str() })))
            }
            "email_send" => self.mail(&call, desk, &stop).await,
            "email_replies" => mailbox::read(call, &self.0, desk, &stop).await,
            "notes" => self.notes(&call, desk).await,
            _ => outcome(Err(failure(ErrorCode::Tool, "it broke"))),
        }
    }
}

impl Played {
    async fn mail(&self, call: &Call, desk: &mut dyn Desk, stop: &CancellationToken) -> Outcome {
        let (mut sent, mut skipped) = (0, 0);
        if let Some(to) = call.params.get("sample_to").and_then(Value::as_str) {
            return self.mail_to(to, call, desk).await;
        }
        let round = call.params.get("follow_up").map_or_else(|| "first".to_owned(), |n| format!("followup-{n}"));
        for person in call.params["recipients"].as_array().cloned().unwrap_or_default() {
            let address = person["email"].as_str().unwrap_or_default().to_owned();
            let key = format!("email:{}:{address}:{round}", call.run.experiment_id);
            let details = json!({ "timezone": person["timezone"], "variant": "a", "round": round });
            let Value::Object(details) = details else { return outcome(Ok(json!(null))) };
            let action = Action { key: key.clone(), kind: "email".into(), target: address.clone(), details };
            match desk.asked(&action).await {
                Answer::Stop => break,
                Answer::Skip => skipped += 1,
                Answer::Go => {
                    self.0.sent.lock().unwrap_or_else(PoisonError::into_inner).push(address.clone());
                    if self.0.hangs.load(Ordering::SeqCst) {
                        stop.cancelled().await;
                        return outcome(Err(failure(ErrorCode::Cancelled, "stopped")));
                    }
                    if address.starts_with("slowly") {
                        tokio::time::sleep(Duration::from_mins(45)).await;
                    }
                    let outcome = self.0.became(&address);
                    desk.done(ActionDone { key, outcome, error: None, receipt: Some("<id@x>".into()) }).await;
                    if let Value::Object(event) = json!({ "event": "email_sent", "person": keys::person(&address) }) {
                        desk.metric(event).await;
                    }
                    sent += 1;
                }
            }
        }
        outcome(Ok(json!({ "sent": sent, "skipped": skipped, "failed": 0 })))
    }
}

impl Played {
    /// One mail to somebody else than its recipient, as the real tool has it.
    async fn mail_to(&self, to: &str, call: &Call, desk: &mut dyn Desk) -> Outcome {
        let key = format!("email:none:{to}:sample-{}", call.run.run_id);
        let first = call.params["recipients"][0]["email"].as_str().unwrap_or_default();
        let Value::Object(details) = json!({ "subject": format!("[Sample for {first}] hi") }) else {
            return outcome(Ok(json!(null)));
        };
        let action = Action { key: key.clone(), kind: "email".into(), target: to.to_owned(), details };
        let mut sent = 0;
        // It tries to send more than one.
        for _ in 0..2 {
            if desk.asked(&action).await == Answer::Go {
                self.0.sent.lock().unwrap_or_else(PoisonError::into_inner).push(to.to_owned());
                let ok = !to.starts_with("bounce");
                let error = (!ok).then(|| "no such address".into());
                let outcome = if ok { ActOutcome::Done } else { ActOutcome::Failed };
                desk.done(ActionDone { key: key.clone(), outcome, error, receipt: None }).await;
                if let Value::Object(event) = json!({ "event": "email_sent", "person": keys::person(to) }) {
                    desk.metric(event).await;
                }
                sent += 1;
            }
        }
        outcome(Ok(json!({ "sent": sent, "skipped": 0, "failed": 0 })))
    }

    /// Writes to people by their names.
    async fn notes(&self, call: &Call, desk: &mut dyn Desk) -> Outcome {
        for name in call.params["names"].as_array().cloned().unwrap_or_default() {
            let name = name.as_str().unwrap_or_default().to_owned();
            let key = format!("dm:{}:{name}", call.run.experiment_id);
            let action = Action { key: key.clone(), kind: "dm".into(), target: name.clone(), details: Map::new() };
            match desk.asked(&action).await {
                Answer::Stop => break,
                Answer::Skip => {}
                Answer::Go => {
                    self.0.sent.lock().unwrap_or_else(PoisonError::into_inner).push(name);
                    desk.done(ActionDone { key, outcome: ActOutcome::Done, error: None, receipt: None }).await;
                }
            }
        }
        outcome(Ok(json!({})))
    }
}

/// A world with executors in it, and timers that fire.
struct Story {
    world: World,
    stage: Arc<Stage>,
    stop: CancellationToken,
    settings: ExecutorConfig,
    outreach: OutreachConfig,
    mind: Mind,
}

impl Story {
    /// Nobody runs anything yet.
    fn empty() -> Self {
        let outreach = OutreachConfig {
            sender: Some("mara@example.com".to_owned()),
            delay: Duration::ZERO,
            ..OutreachConfig::default()
        };
        let story = Self {
            world: World::new(),
            stage: Arc::default(),
            stop: CancellationToken::new(),
            settings: ExecutorConfig::default(),
            outreach,
            mind: Mind::default(),
        };
        story.timers();
        story
    }

    /// Timers fire.
    fn timers(&self) {
        let (bus, clock, ids) = (self.world.bus(), Arc::clone(&self.world.clock), Arc::clone(&self.world.ids));
        let stop = self.stop.clone();
        tokio::spawn(async move {
            let timers = Timers { bus: Arc::clone(&bus), clock: Arc::clone(&clock) };
            hold(&timers, &bus, &clock, &ids, stop).await
        });
    }

    fn new() -> Self {
        let story = Self::empty();
        story.executor();
        story
    }

    /// Another executor on the same bus, until its token stops it or its task is killed.
    fn executor(&self) -> (CancellationToken, JoinHandle<()>) {
        self.executor_on(self.world.bus())
    }

    /// The same, with a bus of its own that may be away.
    fn executor_on(&self, bus: SharedBus) -> (CancellationToken, JoinHandle<()>) {
        let parts = ExecutorParts {
            tools: Arc::new(Played(Arc::clone(&self.stage))),
            mind: self.mind.clone(),
            settings: self.settings.clone(),
            outreach: self.outreach.clone(),
            max_attempts: 5,
        };
        let options = ConsumerOptions { seed: Some(1), ..ConsumerOptions::default() };
        let (clock, ids) = (Arc::clone(&self.world.clock), Arc::clone(&self.world.ids));
        let consumer = Consumer::new(bus, Executor::new(parts), options, clock, ids);
        let stop = self.stop.child_token();
        let stopped = stop.clone();
        let task = tokio::spawn(async move { consumer.run(stopped).await.unwrap() });
        (stop, task)
    }

    async fn write(&self, key: &str, fields: &[(&str, &str)]) {
        let fields = fields.iter().map(|(name, text)| ((*name).to_owned(), Some((*text).to_owned()))).collect();
        self.world.commit(vec![Op::Change { key: Key::new(key), expect: Expect::Any, fields, ttl: Ttl::Keep }]).await;
    }

    /// An approved experiment with these steps.
    async fn experiment(&self, id: &str, mode: &str, steps: Value, more: Value) {
        let mut spec = json!({
            "id": id, "hypothesis": "people who are asked say what they think of it", "mode": mode,
            "target": { "description": "people" }, "execution": { "steps": steps },
            "metrics": [], "success_criteria": [], "failure_criteria": [],
            "measuring": { "window": "2h", "collect_every": "15m" },
        });
        if let (Some(spec), Value::Object(more)) = (spec.as_object_mut(), more) {
            spec.extend(more);
        }
        let fields = [
            ("state", "ready"),
            ("mode", mode),
            ("approved_at", "2027-01-01T00:00:00Z"),
            ("spec_json", &spec.to_string()),
        ];
        self.write(&format!("experiments:{id}"), &fields).await;
    }

    /// One that writes to these people.
    async fn outreach(&self, id: &str, people: &[&str], more: Value) {
        let rows: Vec<Value> = people.iter().map(|address| json!({ "email": address })).collect();
        let mut outreach = json!({ "channel": "email", "template": "hello", "subject": "hi" });
        if let (Some(outreach), Value::Object(more)) = (outreach.as_object_mut(), more) {
            outreach.extend(more);
        }
        let steps = json!([{ "id": "list", "tool": "people", "params": { "rows": rows } }]);
        self.experiment(id, "live", steps, json!({ "outreach": outreach })).await;
    }

    async fn run_now(&self, id: &str, force: bool) -> String {
        let body = RunNow {
            experiment_id: id.to_owned(),
            triggered_by: Some("operator".to_owned()),
            reason: None,
            due_at: None,
            force,
            timestamp: None,
        };
        let origin = self.world.origin(Trust::Operator);
        let message = origin.compose::<grants::ControlRoom, _>(EXECUTE_NOW, ExecuteNow::from(body)).unwrap();
        let id = message.envelope.id.to_string();
        self.world.say(message).await;
        id
    }

    async fn schedule(&self, id: &str, cron: &str, missed: &str) {
        self.write(&format!("schedules:{id}"), &[("missed", missed), ("state", "active")]).await;
        let created = ScheduleCreated {
            experiment_id: id.to_owned(),
            schedule: cron.to_owned(),
            timezone: None,
            source: None,
            timestamp: None,
        };
        let origin = self.world.origin(Trust::Operator);
        let message = origin.compose::<grants::Fullsend, _>(SCHEDULES, Schedules::from(created)).unwrap();
        self.world.say(message).await;
    }

    async fn read(&self, key: &str) -> Document {
        let found = self.world.bus().get(&Key::new(key)).await.unwrap();
        found.and_then(|state| state.document().cloned()).unwrap_or_default()
    }

    async fn field(&self, key: &str, field: &str) -> String {
        self.read(key).await.get(field).unwrap_or("-").to_owned()
    }

    async fn state(&self, id: &str) -> String {
        self.field(&format!("experiments:{id}"), "state").await
    }

    async fn run_of(&self, id: &str, run: &str) -> Document {
        self.read(&format!("experiment_runs:{id}:{run}")).await
    }

    /// All runs of an experiment, by their ids.
    async fn runs(&self, id: &str) -> BTreeMap<String, Document> {
        let prefix = format!("experiment_runs:{id}:");
        let (keys, _) = self.world.bus().scan(&prefix, None, 1_000).await.unwrap();
        let mut runs = BTreeMap::new();
        for key in keys {
            runs.insert(key.as_str().trim_start_matches(&prefix).to_owned(), self.read(key.as_str()).await);
        }
        runs
    }

    /// Waits until a run has this status.
    async fn until(&self, id: &str, run: &str, status: &str) {
        self.world.until(async |_| self.run_of(id, run).await.get("status") == Some(status)).await;
    }

    /// Bodies that were said, oldest first.
    async fn said(&self, channel: ChannelName) -> Vec<Value> {
        let entries = self.world.bus().range(channel, Range::after(EntryId::ZERO, 10_000)).await.unwrap();
        entries.iter().map(|entry| serde_json::from_str(&entry.b).unwrap()).collect()
    }

    async fn events(&self) -> Vec<String> {
        let said = self.said(ChannelName::Metrics).await;
        said.iter().map(|event| event["event"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Holds everything, or lets it go on.
    async fn hold(&self, is_held: bool) {
        let status = if is_held { "paused" } else { "running" };
        let change = StateChange::SetString(status.to_owned());
        self.world.commit(vec![Op::State { key: Key::new(keys::STATUS), change }]).await;
    }

    /// Lets so much time pass while no executor runs.
    async fn pass_without(
        &self,
        (stop, task): (CancellationToken, JoinHandle<()>),
        time: Duration,
    ) -> (CancellationToken, JoinHandle<()>) {
        stop.cancel();
        task.await.unwrap();
        self.pass(time).await;
        self.executor()
    }

    /// Lets so much time pass.
    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    fn now(&self) -> chrono::DateTime<chrono::Utc> {
        self.world.clock.now()
    }
}
