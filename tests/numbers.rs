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

#[tokio::test]
async fn each_event_is_counted_once_whoever_is_killed_on_embedded() {
    counted_once(Bench::open(None).await).await;
}

#[tokio::test]
async fn each_event_is_counted_once_whoever_is_killed_on_redis() {
    let server = tokio::task::spawn_blocking(RedisServer::fleeting).await.unwrap();
    counted_once(Bench::open(Some(server.url())).await).await;
}
