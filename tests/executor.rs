//! The executor in real processes on both engines: killed at every step, and two of them at once.
#![expect(clippy::unwrap_used, reason = "a test may stop at what it did not expect, also in its helpers")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use fullsend::bus::embedded::{EmbeddedBus, EmbeddedOptions};
use fullsend::bus::timers::Timers;
use fullsend::bus::{
    Commit, Consumer, ConsumerOptions, Document, Draft, EntryId, Expect, Key, Op, Origin, Range, RedisBus,
    RedisOptions, SharedBus, Timer, Ttl, leased,
};
use fullsend::config::{ExecutorConfig, OutreachConfig};
use fullsend::contracts::channel::grants;
use fullsend::contracts::envelope::rfc3339;
use fullsend::contracts::messages::{CollectionDue, ExecuteNow, RunNow, Schedules};
use fullsend::contracts::wiring::{EXECUTE_NOW, SCHEDULES};
use fullsend::contracts::{ChannelName, Clock, Ids, SystemClock, Trust, keys};
use fullsend::llm::Mind;
use fullsend::services::executor::{Executor, ExecutorParts, ToolFacts, Tools};
use fullsend::tools::contract::{ActOutcome, Action, ActionDone, Answer, Call, Desk, Outcome};
use fullsend::tools::registry::Registry;
use fullsend::tools::runner::{Limits, Runner, RunnerParts};
use fullsend::tools::sandbox::{Options, Sandbox};
use fullsend::tools::secrets::Secrets;
use fullsend::tools::shipped::MANIFESTS;
use kill_at::{KillAt, Points};
use redis_server::RedisServer;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

#[path = "support/kill_at.rs"]
#[expect(dead_code, clippy::print_stderr, reason = "what the tests of faults use")]
mod kill_at;
#[path = "support/redis_server.rs"]
mod redis_server;

/// How a process of the tests is told what to do.
const AT: &str = "FULLSEND_TEST_AT";
const OUTSIDE: &str = "FULLSEND_TEST_OUTSIDE";
const DEADLY: &str = "FULLSEND_TEST_DEADLY";
const FOREVER: &str = "FULLSEND_TEST_FOREVER";

const PEOPLE: [&str; 3] = ["a@example.com", "b@example.com", "c@example.com"];

async fn open(at: &str) -> SharedBus {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    if at.starts_with("redis") {
        Arc::new(RedisBus::connect(RedisOptions::new(at.to_owned(), clock)).await.unwrap())
    } else {
        Arc::new(EmbeddedBus::open(EmbeddedOptions::new(PathBuf::from(at), clock)).unwrap())
    }
}

/// Tools whose outside is a file: a line for each mail that went out. What came of it is read by the tool that is shipped.
struct Outside {
    file: PathBuf,
    runner: Runner,
}

#[async_trait]
impl Tools for Outside {
    async fn facts(&self, _: &str) -> Option<ToolFacts> {
        Some(ToolFacts { idempotent: false })
    }

    async fn run(&self, call: Call, desk: &mut dyn Desk, stop: CancellationToken) -> Outcome {
        if call.tool == "email_replies" {
            return self.runner.run(call, desk, stop).await;
        }
        let result = if call.tool == "email_send" {
            self.mail(&call, desk).await
        } else {
            json!({ "rows": call.params["rows"] })
        };
        Outcome { result: Ok(result), took: Duration::ZERO, dropped: 0 }
    }
}

impl Outside {
    async fn mail(&self, call: &Call, desk: &mut dyn Desk) -> Value {
        let mut sent = 0;
        for person in call.params["recipients"].as_array().unwrap() {
            let address = person["email"].as_str().unwrap();
            let key = format!("email:{}:{address}:first", call.run.experiment_id);
            let (kind, target) = ("email".to_owned(), address.to_owned());
            let action = Action { key: key.clone(), kind, target, details: serde_json::Map::new() };
            if desk.asked(&action).await == Answer::Go {
                let written = std::fs::read_to_string(&self.file).unwrap_or_default();
                std::fs::write(&self.file, format!("{written}{address}\n")).unwrap();
                desk.done(ActionDone { key, outcome: ActOutcome::Done, error: None, receipt: None }).await;
                sent += 1;
            }
        }
        json!({ "sent": sent, "skipped": PEOPLE.len() - sent })
    }
}

fn executor(outside: &Path, slots: u64) -> Executor {
    // What came of mail is beside the outside, where a test puts it.
    let beside = |name: &str| Some(outside.with_file_name(name)).filter(|path| path.exists());
    let outreach = OutreachConfig {
        sender: Some("mara@example.com".to_owned()),
        delay: Duration::ZERO,
        mailbox: beside("mailbox"),
        webhooks: beside("webhooks"),
        ..OutreachConfig::default()
    };
    let home = outside.with_file_name("home");
    let program = PathBuf::from(env!("CARGO_BIN_EXE_fullsend"));
    let runner = Runner::new(RunnerParts {
        registry: Registry::new(home.join("tools"), MANIFESTS),
        secrets: Secrets::new(&home, Vec::new(), Arc::new(|_: &str| None)),
        sandbox: Arc::new(Sandbox::new(Options { program, unsandboxed: false, allow_private: Vec::new() })),
        work: home.join("work"),
        forbidden: vec![home],
        limits: Limits::default(),
        rng: fastrand::Rng::new(),
    });
    Executor::new(ExecutorParts {
        tools: Arc::new(Outside { file: outside.to_owned(), runner }),
        mind: Mind::default(),
        settings: ExecutorConfig { slots, ..ExecutorConfig::default() },
        outreach,
        max_attempts: 5,
    })
}

/// An executor in a process of its own: ends when all is done, at its deadly point, or when it is killed.
#[test]
#[ignore = "a process that the other tests start"]
fn process() {
    let (Ok(at), Ok(outside)) = (std::env::var(AT), std::env::var(OUTSIDE)) else { return };
    let deadly = std::env::var(DEADLY).ok().and_then(|text| text.parse().ok());
    let is_forever = std::env::var(FOREVER).is_ok();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let ids = Arc::new(Ids::random());
        let bus: SharedBus = Arc::new(KillAt { inner: open(&at).await, points: Arc::new(Points::new(deadly)) });
        // What a dead one held is taken over soon.
        let options = ConsumerOptions {
            stale_after: Duration::from_millis(300),
            heartbeat: Duration::from_millis(100),
            ..ConsumerOptions::default()
        };
        let executor = executor(Path::new(&outside), 8);
        let consumer = Consumer::new(Arc::clone(&bus), executor, options, Arc::clone(&clock), Arc::clone(&ids));
        let stop = CancellationToken::new();
        if is_forever {
            let timers = Timers { bus: Arc::clone(&bus), clock: Arc::clone(&clock) };
            let (ended, _) = tokio::join!(consumer.run(stop.clone()), leased::hold(&timers, &bus, &clock, &ids, stop));
            return ended.unwrap();
        }
        let done = async {
            while !is_idle(&bus).await {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            stop.cancel();
        };
        let (ended, ()) = tokio::join!(consumer.run(stop.clone()), done);
        ended.unwrap();
    });
}

/// Whether everything that was said to executors is handled.
async fn is_idle(bus: &SharedBus) -> bool {
    for channel in [ChannelName::ExecuteNow, ChannelName::Schedules] {
        let groups = bus.inspect(channel).await.unwrap().groups;
        if !groups.iter().any(|group| group.pending == 0 && group.lag == Some(0)) {
            return false;
        }
    }
    true
}

fn start(at: &str, outside: &Path, more: &[(&str, String)]) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "process", "--ignored", "--nocapture"]).env(AT, at).env(OUTSIDE, outside);
    command.envs(more.iter().map(|(name, value)| (*name, value.as_str())));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn origin() -> Origin {
    Origin::new(Arc::new(SystemClock), Arc::new(Ids::random()), Trust::Operator)
}

async fn commit(bus: &SharedBus, ops: Vec<Op>) {
    assert!(bus.commit(vec![Commit::of(ops)]).await.unwrap()[0].is_done());
}

fn change(key: &str, fields: &[(&str, &str)]) -> Op {
    let fields = fields.iter().map(|(name, text)| ((*name).to_owned(), Some((*text).to_owned()))).collect();
    Op::Change { key: Key::new(key), expect: Expect::Any, fields, ttl: Ttl::Keep }
}

fn experiment(id: &str, mode: &str, outreach: bool) -> Op {
    let rows: Vec<Value> = PEOPLE.iter().map(|address| json!({ "email": address })).collect();
    let mut spec = json!({
        "id": id, "hypothesis": "people who are asked say what they think of it", "mode": mode,
        "target": { "description": "people" },
        "execution": { "steps": [{ "id": "list", "tool": "people", "params": { "rows": rows } }] },
        "metrics": [], "success_criteria": [], "failure_criteria": [],
    });
    if outreach {
        spec["outreach"] = json!({ "channel": "email", "template": "hello", "subject": "hi" });
    }
    let fields =
        [("state", "ready"), ("mode", mode), ("approved_at", "2026-01-01T00:00:00Z"), ("spec_json", &spec.to_string())];
    change(&format!("experiments:{id}"), &fields)
}

async fn documents(bus: &SharedBus, prefix: &str) -> BTreeMap<String, Document> {
    let (mut all, mut cursor) = (BTreeMap::new(), None);
    loop {
        let (keys, next) = bus.scan(prefix, cursor, 1_000).await.unwrap();
        for (key, found) in keys.iter().zip(bus.get_many(&keys, None).await.unwrap()) {
            if let Some(document) = found.unwrap().and_then(|state| state.document().cloned()) {
                all.insert(key.to_string(), document);
            }
        }
        match next {
            Some(_) => cursor = next,
            None => return all,
        }
    }
}

async fn events(bus: &SharedBus) -> Vec<String> {
    let entries = bus.range(ChannelName::Metrics, Range::after(EntryId::ZERO, 10_000)).await.unwrap();
    let name = |body: &str| serde_json::from_str::<Value>(body).unwrap()["event"].as_str().unwrap().to_owned();
    entries.iter().map(|entry| name(&entry.b)).collect()
}

/// Kills the executor at each of its points in turn; whatever happens, the run comes to its end, and nobody is written to twice.
async fn killed_at_each_step(places: impl AsyncFn() -> (String, Box<dyn std::any::Any>)) {
    let mut deadly = 0;
    loop {
        deadly += 1;
        let folder = tempfile::tempdir().unwrap();
        let outside = folder.path().join("outside");
        let (at, _kept) = places().await;
        let bus = open(&at).await;
        commit(&bus, vec![experiment("exp_a", "live", true)]).await;
        let run = RunNow {
            experiment_id: "exp_a".to_owned(),
            triggered_by: None,
            reason: None,
            due_at: None,
            force: false,
            timestamp: None,
        };
        let draft = Draft::new(ExecuteNow::from(run));
        commit(&bus, vec![Op::Append(origin().compose::<grants::ControlRoom, _>(EXECUTE_NOW, draft).unwrap())]).await;
        let wait = |mut child: Child| tokio::task::spawn_blocking(move || child.wait().unwrap().success());
        let came_to_its_end = wait(start(&at, &outside, &[(DEADLY, deadly.to_string())])).await.unwrap();
        if !came_to_its_end {
            assert!(wait(start(&at, &outside, &[])).await.unwrap(), "point {deadly}");
        }
        let runs = documents(&bus, "experiment_runs:").await;
        let states: Vec<_> = runs.values().map(|run| run.get("status").unwrap()).collect();
        assert_eq!(states, ["completed"], "point {deadly}");
        let sent = std::fs::read_to_string(&outside).unwrap();
        let mut sent: Vec<&str> = sent.lines().collect();
        let count = sent.len();
        sent.sort_unstable();
        sent.dedup();
        assert_eq!(sent.len(), count, "point {deadly}: somebody was written to twice");
        let actions = documents(&bus, "actions:").await;
        let state = |wanted: &str| actions.values().filter(|action| action.get("state") == Some(wanted)).count();
        let (done, unknown) = (state("done"), state("unknown"));
        assert_eq!((done + unknown, actions.len()), (PEOPLE.len(), PEOPLE.len()), "point {deadly}");
        assert!(unknown <= 1 && count >= done, "point {deadly}: {done} done, {unknown} unknown, {count} went out");
        let alerts = bus.range(ChannelName::Alerts, Range::after(EntryId::ZERO, 100)).await.unwrap().len();
        assert_eq!(alerts, unknown, "point {deadly}: what nobody knows is said, once");
        let events = events(&bus).await;
        let count = |name: &str| events.iter().filter(|event| *event == name).count();
        let counts = ["run_started", "items_processed", "email_sent", "run_completed"].map(count);
        assert_eq!(counts, [1, 1, done, 1], "point {deadly}");
        let results = bus.range(ChannelName::ExperimentResults, Range::after(EntryId::ZERO, 100)).await.unwrap().len();
        assert_eq!(results, 1, "point {deadly}");
        bus.close().await;
        if came_to_its_end {
            assert!(deadly > 20, "there are points to die at: {deadly}");
            return;
        }
    }
}

/// A store of its own, and what has to live as long.
fn embedded() -> (String, Box<dyn std::any::Any>) {
    let home = tempfile::tempdir().unwrap();
    (home.path().join("fullsend.db").display().to_string(), Box::new(home))
}

fn redis_of_its_own() -> (String, Box<dyn std::any::Any>) {
    let server = RedisServer::fleeting();
    (server.url(), Box::new(server))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_comes_to_its_end_wherever_its_process_dies_on_embedded() {
    killed_at_each_step(async || embedded()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_comes_to_its_end_wherever_its_process_dies_on_redis() {
    killed_at_each_step(async || redis_of_its_own()).await;
}

/// What came of the mail to the three: a reply and an unsubscribing in a maildir, a bounce and a complaint as webhook bodies.
fn answered(folder: &Path) {
    let id = |person: &str| format!("<fs1.exp_a.first.+.{}@example.com>", keys::person(person));
    let mails = [(PEOPLE[0], "Yes, I am interested. Let's talk on Tuesday."), (PEOPLE[2], "unsubscribe")];
    for (number, (person, text)) in mails.iter().enumerate() {
        let mail = format!(
            "From: {person}\r\nSubject: Re: hi\r\nMessage-ID: <r{number}@mx>\r\nIn-Reply-To: {}\r\n\r\n{text}\r\n",
            id(person)
        );
        std::fs::write(folder.join("mailbox/new").join(number.to_string()), mail).unwrap();
    }
    for (kind, person) in [("email.bounced", PEOPLE[1]), ("email.complained", PEOPLE[0])] {
        let headers = json!([{ "name": "Message-ID", "value": id(person) }]);
        let body = json!({ "type": kind, "data": { "to": [person], "headers": headers } });
        std::fs::write(folder.join("webhooks").join(kind), body.to_string()).unwrap();
    }
}

/// Kills the executor at each of its points while it reads what came of mail; whatever happens, each of it counts once.
async fn killed_while_it_reads(places: impl AsyncFn() -> (String, Box<dyn std::any::Any>)) {
    let wait =
        async |mut child: Child| tokio::task::spawn_blocking(move || child.wait().unwrap().success()).await.unwrap();
    let mut deadly = 0;
    loop {
        deadly += 1;
        let folder = tempfile::tempdir().unwrap();
        for name in ["mailbox/new", "mailbox/cur", "webhooks", "home"] {
            std::fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        let outside = folder.path().join("outside");
        let (at, _kept) = places().await;
        let bus = open(&at).await;
        let run = RunNow {
            experiment_id: "exp_a".to_owned(),
            triggered_by: None,
            reason: None,
            due_at: None,
            force: false,
            timestamp: None,
        };
        let run = origin().compose::<grants::ControlRoom, _>(EXECUTE_NOW, ExecuteNow::from(run)).unwrap();
        commit(&bus, vec![experiment("exp_a", "live", true), Op::Append(run)]).await;
        assert!(wait(start(&at, &outside, &[])).await);
        assert_eq!(std::fs::read_to_string(&outside).unwrap().lines().count(), PEOPLE.len());
        answered(folder.path());
        // It is time, whatever the timer says; and again, from the beginning of the mailbox.
        let due = async || {
            let message = Schedules::from(CollectionDue { due_at: None });
            let message = origin().compose::<grants::Executor, _>(SCHEDULES, message).unwrap();
            let fields = [("next_at", Some("2026-01-01T00:00:00Z".to_owned())), ("state", None)];
            let fields = fields.map(|(name, text)| (name.to_owned(), text)).to_vec();
            let change = Op::Change { key: Key::new(keys::MAILBOX), expect: Expect::Any, fields, ttl: Ttl::Keep };
            commit(&bus, vec![change, Op::Append(message)]).await;
        };
        due().await;
        let came_to_its_end = wait(start(&at, &outside, &[(DEADLY, deadly.to_string())])).await;
        if !came_to_its_end {
            assert!(wait(start(&at, &outside, &[])).await, "point {deadly}");
        }
        for again in [false, true] {
            if again {
                due().await;
                assert!(wait(start(&at, &outside, &[])).await, "point {deadly}");
            }
            assert_eq!(documents(&bus, keys::MAILBOX).await[keys::MAILBOX].get("error"), None, "point {deadly}");
            let events = events(&bus).await;
            let count = |name: &str| events.iter().filter(|event| *event == name).count();
            let counts = ["reply", "positive_reply", "email_bounced", "unsubscribe", "spam_complaint"].map(count);
            assert_eq!(counts, [1; 5], "point {deadly}, again: {again}");
            let left = documents(&bus, "suppressions:").await;
            let left: Vec<_> = left.values().map(|left| left.get("reason").unwrap()).collect();
            assert_eq!(left.len(), PEOPLE.len(), "point {deadly}: {left:?}");
        }
        bus.close().await;
        if came_to_its_end {
            assert!(deadly > 4, "there are points to die at: {deadly}");
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_came_of_mail_counts_once_wherever_its_reader_dies_on_embedded() {
    killed_while_it_reads(async || embedded()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_came_of_mail_counts_once_wherever_its_reader_dies_on_redis() {
    killed_while_it_reads(async || redis_of_its_own()).await;
}

/// Two executors on one bus, and a hundred experiments due at one instant: each is claimed once, and all within a second or so.
async fn due_at_one_instant(at: &str) {
    const DUE: usize = 100;
    let folder = tempfile::tempdir().unwrap();
    let outside = folder.path().join("outside");
    let bus = open(at).await;
    let mut children: Vec<_> = (0..2).map(|_| start(at, &outside, &[(FOREVER, "1".to_owned())])).collect();
    let due: DateTime<Utc> = SystemClock.now() + TimeDelta::seconds(4);
    for number in 0..DUE {
        let id = format!("exp_{number}");
        let next = rfc3339(due);
        let schedule = [("cron", "0 0 1 1 *"), ("state", "active"), ("next_at", &next)];
        let run = RunNow {
            experiment_id: id.clone(),
            triggered_by: Some("schedule".to_owned()),
            reason: None,
            due_at: next.parse().ok(),
            force: false,
            timestamp: None,
        };
        let message = origin().compose::<grants::Executor, _>(EXECUTE_NOW, ExecuteNow::from(run)).unwrap();
        let timer = Op::Schedule(Timer { id: format!("schedule:{id}"), at: due, message });
        commit(&bus, vec![experiment(&id, "dry_run", false), change(&format!("schedules:{id}"), &schedule), timer])
            .await;
    }
    let deadline = Instant::now() + Duration::from_mins(1);
    let runs = loop {
        let runs = documents(&bus, "experiment_runs:").await;
        let done = runs.values().filter(|run| run.get("status") == Some("completed")).count();
        if done >= DUE || Instant::now() > deadline {
            break runs;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    for child in &mut children {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert_eq!(runs.len(), DUE, "each moment is run once");
    assert!(runs.values().all(|run| run.get("status") == Some("completed")));
    let started = events(&bus).await.iter().filter(|event| *event == "run_started").count();
    assert_eq!(started, DUE);
    bus.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_a_hundred_moments_is_run_once_by_two_executors_on_embedded() {
    let home = tempfile::tempdir().unwrap();
    due_at_one_instant(&home.path().join("fullsend.db").display().to_string()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_a_hundred_moments_is_run_once_by_two_executors_on_redis() {
    let server = RedisServer::fleeting();
    due_at_one_instant(&server.url()).await;
}
