//! The Redis Agent in real processes that are killed, on both engines: each event is counted once, and an alert is raised once.
#![expect(clippy::unwrap_used, reason = "a test may stop at what it did not expect, also in its helpers")]

#[path = "support/redis_server.rs"]
mod redis_server;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fullsend::bus::embedded::{EmbeddedBus, EmbeddedOptions};
use fullsend::bus::{
    Commit, Document, EntryId, Expect, Key, Op, Origin, Outgoing, Range, RedisBus, RedisOptions, SharedBus, Ttl,
};
use fullsend::contracts::{ChannelName, Clock, Ids, SystemClock, Trust};
use redis_server::RedisServer;
use serde_json::json;

/// Events that are said.
const EVENTS: u64 = 6_000;
/// Events of a commit.
const AT_ONCE: u64 = 100;

/// Processes that add up, and a bus to say things on.
struct Bench {
    home: tempfile::TempDir,
    url: Option<String>,
    bus: SharedBus,
    origin: Origin,
    agents: Vec<Child>,
}

impl Bench {
    async fn open(url: Option<String>) -> Self {
        let home = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let bus: SharedBus = match &url {
            Some(url) => Arc::new(RedisBus::connect(RedisOptions::new(url, Arc::clone(&clock))).await.unwrap()),
            None => {
                let options = EmbeddedOptions::new(home.path().join("fullsend.db"), Arc::clone(&clock));
                Arc::new(EmbeddedBus::open(options).unwrap())
            }
        };
        let origin = Origin::new(clock, Arc::new(Ids::random()), Trust::System);
        Self { home, url, bus, origin, agents: Vec::new() }
    }

    fn start(&mut self) {
        let path: &Path = self.home.path();
        let mut command = Command::new(env!("CARGO_BIN_EXE_fullsend"));
        command.args(["serve", "--only", "redis_agent,timers"]).env_clear().env("HOME", path).env("USER", "mara");
        command.arg("--home").arg(path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if let Some(url) = &self.url {
            command.arg("--bus").arg(url);
        }
        self.agents.push(command.spawn().unwrap());
    }

    /// Kills the oldest process as `kill -9` does, and starts another.
    fn kill_one(&mut self) {
        let mut agent = self.agents.remove(0);
        agent.kill().unwrap();
        agent.wait().unwrap();
        self.start();
    }

    async fn say(&self, bodies: impl Iterator<Item = String>) {
        let ops = bodies.map(|body| {
            let envelope = self.origin.envelope("event", "executor");
            Op::Append(Outgoing::new(ChannelName::Metrics, envelope, body).unwrap())
        });
        assert!(self.bus.commit(vec![Commit::of(ops.collect())]).await.unwrap()[0].is_done());
    }

    async fn sums(&self) -> Document {
        let state = self.bus.get(&Key::new("metrics_aggregated:exp_1")).await.unwrap();
        state.and_then(|state| state.document().cloned()).unwrap_or_default()
    }

    async fn count(&self, event: &str) -> u64 {
        self.sums().await.get(&format!("events.{event}")).and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    async fn until(&self, what: &str, done: impl AsyncFn(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_mins(2);
        while !done(self).await {
            assert!(Instant::now() < deadline, "it never happened: {what}; there is {:?}", self.sums().await);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn alerts(&self) -> Vec<String> {
        let said = self.bus.range(ChannelName::ToOrchestrator, Range::after(EntryId::ZERO, 100)).await.unwrap();
        said.into_iter().map(|entry| entry.b).collect()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        for agent in &mut self.agents {
            agent.kill().ok();
            agent.wait().ok();
        }
    }
}

fn event(number: u64) -> String {
    let event = if number.is_multiple_of(10) { "reply" } else { "email_sent" };
    let variant = if number.is_multiple_of(2) { "a" } else { "b" };
    json!({"event": event, "experiment_id": "exp_1", "variant": variant, "hours": 1 + number % 7}).to_string()
}

/// Two processes add up, and are killed in the middle of it.
async fn counted_once(mut bench: Bench) {
    let spec = json!(["bounce_rate > 10%", "reply_rate < 20% after 1000 sends"]).to_string();
    let fields = [("state", "measuring".to_owned()), ("mode", "simulation".to_owned()), ("failure_criteria", spec)];
    let fields = fields.into_iter().map(|(name, text)| (name.to_owned(), Some(text))).collect();
    let change = Op::Change { key: Key::new("experiments:exp_1"), expect: Expect::Any, fields, ttl: Ttl::Keep };
    bench.bus.commit(vec![Commit::of(vec![change])]).await.unwrap();
    bench.start();
    bench.start();
    for batch in 0..EVENTS / AT_ONCE {
        bench.say((0..AT_ONCE).map(|number| event(batch * AT_ONCE + number))).await;
        // One that cannot be counted among them stops nothing.
        bench.say(std::iter::once(json!({"event": "reply", "count": -1, "experiment_id": "exp_1"}).to_string())).await;
        if batch % 15 == 14 {
            let so_far = batch * AT_ONCE / 3;
            bench.until("some are counted", async |bench| bench.count("email_sent").await >= so_far).await;
            bench.kill_one();
        }
    }
    let replies = EVENTS / 10;
    bench.until("all are counted", async |bench| bench.count("email_sent").await >= EVENTS - replies).await;
    bench.until("all are counted", async |bench| bench.count("reply").await >= replies).await;
    let sums = bench.sums().await;
    let of = |name: &str| sums.get(name).unwrap_or_default().to_owned();
    assert_eq!(of("events.email_sent"), (EVENTS - replies).to_string());
    assert_eq!(of("events.reply"), replies.to_string());
    assert_eq!(of("events.reply@a"), replies.to_string());
    assert_eq!(of("events.email_sent@b"), (EVENTS / 2).to_string());
    assert_eq!(of("fields.hours.count"), EVENTS.to_string());
    let hours: u64 = (0..EVENTS).map(|number| 1 + number % 7).sum();
    assert_eq!(of("fields.hours.sum"), hours.to_string());
    // 600 of 5,400 are 11 %: below 20 % for sure. It is told once that it is so; the evidence was there in the same moment.
    let alerts = bench.alerts().await;
    assert_eq!(alerts.len(), 1, "{alerts:#?}");
    assert!(alerts[0].contains("kill: ") && alerts[0].contains("reply_rate < 20% after 1000 sends"), "{}", alerts[0]);
    let letters = async |bench: &Bench| {
        let bad = bench.bus.range(ChannelName::DeadLetter, Range::after(EntryId::ZERO, 1_000)).await.unwrap().len();
        bad == usize::try_from(EVENTS / AT_ONCE).unwrap()
    };
    bench.until("what cannot be counted is kept as a dead letter, once each", letters).await;
}

/// Bytes of memory that a process holds.
fn memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
    line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap_or_default() * 1_024
}

/// More at once than it can add up: all of it is counted, once each, in bounded memory, and the loop still turns.
async fn a_flood(mut bench: Bench) {
    const FLOOD: u64 = 50_000;
    const COMMIT: u64 = 1_000;
    bench.start();
    bench.say(std::iter::once(event(1))).await;
    bench.until("it runs", async |bench| bench.count("email_sent").await == 1).await;
    let before = memory(bench.agents[0].id());
    let began = Instant::now();
    for batch in 0..FLOOD / COMMIT {
        bench.say((0..COMMIT).map(|number| event(batch * COMMIT + number))).await;
    }
    // What comes behind the flood waits for it, and comes.
    let last = json!({"event": "meeting_booked", "experiment_id": "exp_1"}).to_string();
    bench.say(std::iter::once(last)).await;
    let mut most = before;
    let all = async |bench: &Bench| bench.count("meeting_booked").await == 1;
    let mut counts = vec![0];
    while !all(&bench).await {
        assert!(began.elapsed() < Duration::from_mins(3), "there is {:?}", bench.sums().await);
        most = most.max(memory(bench.agents[0].id()));
        counts.push(bench.count("reply").await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(counts.is_sorted(), "it never counts back");
    let replies = FLOOD / 10;
    bench.until("all replies", async |bench| bench.count("reply").await >= replies).await;
    bench.until("all sends", async |bench| bench.count("email_sent").await > FLOOD - replies).await;
    assert_eq!((bench.count("reply").await, bench.count("email_sent").await), (replies, FLOOD - replies + 1));
    let grew = most.saturating_sub(before) >> 20;
    assert!(grew < 150, "it holds {grew} MiB more");
    let letters = bench.bus.range(ChannelName::DeadLetter, Range::after(EntryId::ZERO, 10)).await.unwrap();
    assert_eq!(letters.len(), 0);
}

#[tokio::test]
async fn a_flood_is_counted_whole_in_bounded_memory_on_embedded() {
    a_flood(Bench::open(None).await).await;
}

#[tokio::test]
async fn a_flood_is_counted_whole_in_bounded_memory_on_redis() {
    let server = tokio::task::spawn_blocking(RedisServer::fleeting).await.unwrap();
    a_flood(Bench::open(Some(server.url())).await).await;
}

#[tokio::test]
async fn each_event_is_counted_once_whoever_is_killed_on_embedded() {
    counted_once(Bench::open(None).await).await;
}

#[tokio::test]
async fn each_event_is_counted_once_whoever_is_killed_on_redis() {
    let server = tokio::task::spawn_blocking(RedisServer::fleeting).await.unwrap();
    counted_once(Bench::open(Some(server.url())).await).await;
}
