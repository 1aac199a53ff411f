//! Ten thousand scheduled experiments: how soon a hundred that are due at one instant are claimed, and what it costs while none is.
//!
//! ```text
//! cargo bench --bench executor
//! ```
//!
//! Starts a redis-server of its own. Figures are worth something on a quiet machine only.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark that cannot go on ends, and prints figures")]

#[path = "../support/redis_server.rs"]
mod redis_server;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use fullsend::bus::embedded::{EmbeddedBus, EmbeddedOptions};
use fullsend::bus::timers::Timers;
use fullsend::bus::{
    Commit, Consumer, ConsumerOptions, Expect, Key, Op, Origin, RedisBus, RedisOptions, SharedBus, Timer, Ttl, leased,
};
use fullsend::cli::output::Output;
use fullsend::cli::runtime;
use fullsend::config::{ExecutorConfig, OutreachConfig};
use fullsend::contracts::channel::grants;
use fullsend::contracts::envelope::{read_time, rfc3339};
use fullsend::contracts::messages::{ExecuteNow, RunNow};
use fullsend::contracts::wiring::EXECUTE_NOW;
use fullsend::contracts::{Clock, Ids, SystemClock, Trust};
use fullsend::llm::Mind;
use fullsend::services::executor::{Executor, ExecutorParts, ToolFacts, Tools};
use fullsend::tools::contract::{Call, Desk, Outcome};
use redis_server::{RedisServer, Settings};
use serde_json::json;
use tokio_util::sync::CancellationToken;

const SCHEDULED: usize = 10_000;
const DUE: usize = 100;
const IDLE: Duration = Duration::from_secs(20);

/// A tool that takes a while, so that most of what is due has to wait.
struct Slow;

#[async_trait]
impl Tools for Slow {
    async fn facts(&self, _: &str) -> Option<ToolFacts> {
        Some(ToolFacts { idempotent: true })
    }

    async fn run(&self, _: Call, _: &mut dyn Desk, _: CancellationToken) -> Outcome {
        tokio::time::sleep(Duration::from_millis(200)).await;
        Outcome { result: Ok(json!({})), took: Duration::ZERO, dropped: 0 }
    }
}

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        println!("not measured; run it by `cargo bench --bench executor`");
        return;
    }
    if cfg!(debug_assertions) {
        println!("warning: this is a debug build; its figures mean nothing");
    }
    println!("load    {}", std::fs::read_to_string("/proc/loadavg").unwrap_or_default().trim());
    let folder = tempfile::tempdir().unwrap();
    let server = RedisServer::start(Settings { durable: Some("everysec"), ..Settings::default() });
    let mut rows = Vec::new();
    runtime().unwrap().block_on(async {
        let options = EmbeddedOptions::new(folder.path().join("fullsend.db"), Arc::new(SystemClock));
        let embedded: SharedBus = Arc::new(EmbeddedBus::open(options).unwrap());
        let options = RedisOptions::new(server.url(), Arc::new(SystemClock));
        let redis: SharedBus = Arc::new(RedisBus::connect(options).await.unwrap());
        for bus in [embedded, redis] {
            figures(&bus, &mut rows).await;
            bus.close().await;
        }
    });
    Output::standard(false).table(["ENGINE", "WHAT", "FIGURE", "REACH"], &rows).unwrap();
}

async fn figures(bus: &SharedBus, rows: &mut Vec<[String; 4]>) {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let ids = Arc::new(Ids::random());
    let due = fill(bus, &clock, &ids).await;
    let stop = CancellationToken::new();
    let parts = ExecutorParts {
        tools: Arc::new(Slow),
        mind: Mind::default(),
        settings: ExecutorConfig::default(),
        outreach: OutreachConfig::default(),
        max_attempts: 5,
    };
    let options = ConsumerOptions::default();
    let consumer = Consumer::new(Arc::clone(bus), Executor::new(parts), options, Arc::clone(&clock), Arc::clone(&ids));
    let stopped = stop.clone();
    let executor = tokio::spawn(async move { consumer.run(stopped).await });
    let (on, at, of, stopped) = (Arc::clone(bus), Arc::clone(&clock), Arc::clone(&ids), stop.clone());
    let timers = tokio::spawn(async move {
        let timers = Timers { bus: Arc::clone(&on), clock: Arc::clone(&at) };
        leased::hold(&timers, &on, &at, &of, stopped).await
    });
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = cpu();
    tokio::time::sleep(IDLE).await;
    let idle = (cpu() - before) / IDLE.as_secs_f64() * 100.0;
    let mut row = |what: &str, figure: String, reach: &str| {
        rows.push([bus.engine().to_owned(), what.to_owned(), figure, reach.to_owned()]);
    };
    row("idle, with 10,000 schedules", format!("{idle:.2} % of a core"), "0.5 %");
    let claimed = loop {
        let times = claimed(bus).await;
        if times.len() == DUE {
            break times.into_iter().max().unwrap();
        }
        assert!(clock.now() < due + TimeDelta::seconds(60), "only {} of {DUE} were ever claimed", times.len());
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    row("100 due at one instant: all claimed", format!("{} ms", (claimed - due).num_milliseconds()), "1000 ms");
    stop.cancel();
    let _ = tokio::join!(executor, timers);
}

/// When each run was put down as waiting.
async fn claimed(bus: &SharedBus) -> Vec<DateTime<Utc>> {
    let (mut times, mut cursor) = (Vec::new(), None);
    loop {
        let (keys, next) = bus.scan("experiment_runs:", cursor, 1_000).await.unwrap();
        let found = bus.get_many(&keys, Some(&["queued_at"])).await.unwrap();
        times.extend(found.into_iter().filter_map(|found| read_time(found.ok()??.document()?.get("queued_at")?)));
        cursor = next;
        if cursor.is_none() {
            return times;
        }
    }
}

/// Ten thousand experiments with schedules, a hundred of them due at one instant soon.
async fn fill(bus: &SharedBus, clock: &Arc<dyn Clock>, ids: &Arc<Ids>) -> DateTime<Utc> {
    let origin = Origin::new(Arc::clone(clock), Arc::clone(ids), Trust::System);
    let soon = clock.now() + TimeDelta::seconds(60);
    let due = read_time(&rfc3339(soon)).unwrap();
    for chunk in (0..SCHEDULED).collect::<Vec<_>>().chunks(100) {
        let units = chunk.iter().map(|number| Commit::of(one(*number, &origin, due))).collect();
        assert!(bus.commit(units).await.unwrap().iter().all(fullsend::bus::Outcome::is_done));
    }
    due
}

fn one(number: usize, origin: &Origin, due: DateTime<Utc>) -> Vec<Op> {
    let id = format!("exp_{number}");
    let at = if number < DUE { due } else { due + TimeDelta::days(30) };
    let spec = json!({
        "id": id, "hypothesis": "people who are asked say what they think of it",
        "target": { "description": "people" }, "execution": { "steps": [{ "id": "s", "tool": "slow" }] },
        "metrics": [], "success_criteria": [], "failure_criteria": [],
    });
    let set = |key: String, fields: &[(&str, &str)]| {
        let fields = fields.iter().map(|(name, text)| ((*name).to_owned(), Some((*text).to_owned()))).collect();
        Op::Change { key: Key::new(key), expect: Expect::Any, fields, ttl: Ttl::Keep }
    };
    let run = RunNow {
        experiment_id: id.clone(),
        triggered_by: Some("schedule".to_owned()),
        reason: None,
        due_at: Some(at),
        force: false,
        timestamp: None,
    };
    let message = origin.compose::<grants::Executor, _>(EXECUTE_NOW, ExecuteNow::from(run)).unwrap();
    let next = rfc3339(at);
    vec![
        set(format!("experiments:{id}"), &[("state", "ready"), ("mode", "dry_run"), ("spec_json", &spec.to_string())]),
        set(format!("schedules:{id}"), &[("cron", "0 0 1 1 *"), ("state", "active"), ("next_at", &next)]),
        Op::Schedule(Timer { id: format!("schedule:{id}"), at, message }),
    ]
}

/// Seconds of processor time that this process has used.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    ticks / 100.0
}
