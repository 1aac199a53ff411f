//! How long a decision waits for what it is made from: 1,000 experiments and 5 MB of notes, on both engines, beside plain reads of the
//! same keys.
//!
//! ```text
//! cargo bench --bench memory
//! ```
//!
//! Starts a redis-server of its own. Figures are worth something on a quiet machine only.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark that cannot go on ends, and prints figures")]

#[path = "../support/redis_server.rs"]
mod redis_server;

use std::sync::Arc;
use std::time::{Duration, Instant};

use fullsend::bus::embedded::{EmbeddedBus, EmbeddedOptions};
use fullsend::bus::{Commit, Expect, Key, Op, RedisBus, RedisOptions, SharedBus, StateChange, Ttl};
use fullsend::cli::output::Output;
use fullsend::cli::runtime;
use fullsend::contracts::SystemClock;
use fullsend::contracts::canonical::sha256;
use fullsend::memory::Memory;
use redis_server::{RedisServer, Settings};

const EXPERIMENTS: usize = 1_000;
const NOTE_BYTES: usize = 5_000_000 / 3;
const ROUNDS: usize = 100;
const REACH: &str = "20 ms";

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        println!("not measured; run it by `cargo bench --bench memory`");
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
    Output::standard(false).table(["ENGINE", "WHAT", "P50", "P99", "REACH"], &rows).unwrap();
}

async fn figures(bus: &SharedBus, rows: &mut Vec<[String; 5]>) {
    let keys = fill(bus).await;
    let mut row = |what: &str, times: Vec<Duration>, reach: &str| {
        let [p50, p99] = percentiles(times);
        rows.push([bus.engine().to_owned(), what.to_owned(), p50, p99, reach.to_owned()]);
    };
    let (mut first, mut again, mut floor, mut busy) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let memory = Memory::default();
    for round in 0..ROUNDS {
        if round < 10 {
            first.push(
                timed(async || assert_eq!(Memory::default().load(bus).await.unwrap().experiments.len(), EXPERIMENTS))
                    .await,
            );
        }
        // As in life: something has changed since the last look.
        let id = format!("e{:04}", round * 7 % EXPERIMENTS);
        commit(bus, vec![experiment(&id, round), metric(&id)]).await;
        again.push(timed(async || assert!(memory.load(bus).await.unwrap().product.text.len() >= NOTE_BYTES)).await);
        floor.push(timed(async || assert_eq!(bus.get_many(&keys, None).await.unwrap().len(), keys.len())).await);
    }
    row("context: the first load", first, "");
    row("context: every load after it", again, REACH);
    row("floor: plain reads of the same keys", floor, "");

    // Redis goes through all of its keys to find ours.
    let others: Vec<Op> = (0..50_000)
        .map(|n| Op::State { key: Key::new(format!("decisions:{n}")), change: StateChange::SetString("x".to_owned()) })
        .collect();
    for chunk in others.chunks(1_000) {
        commit(bus, chunk.to_vec()).await;
    }
    for _ in 0..ROUNDS {
        busy.push(timed(async || drop(memory.load(bus).await.unwrap())).await);
    }
    row("context: with 50,000 other keys", busy, REACH);
}

/// Answers the keys that a load reads.
async fn fill(bus: &SharedBus) -> Vec<Key> {
    let field = |name: &str, value: String| (name.to_owned(), Some(value));
    let mut ops = Vec::new();
    for name in ["product_context", "worklist", "learnings"] {
        let text = format!("- a line of the {name}\n").repeat(NOTE_BYTES / 20);
        let fields =
            vec![field("digest", sha256(text.as_bytes())), field("text", text), field("by", "bench".to_owned())];
        ops.push(Op::Change { key: Key::new(format!("notes:{name}")), expect: Expect::Any, fields, ttl: Ttl::Keep });
    }
    for n in 0..EXPERIMENTS {
        let id = format!("e{n:04}");
        ops.extend([experiment(&id, n), metric(&id)]);
    }
    for n in 0..200_u32 {
        let fields = vec![field("text", format!("what experiment {n} taught in passing"))];
        ops.push(Op::Change {
            key: Key::new(format!("learnings:tactical:{n}")),
            expect: Expect::Any,
            fields,
            ttl: Ttl::Keep,
        });
        let change = StateChange::Score { member: format!("learnings:tactical:{n}"), score: f64::from(n) };
        ops.push(Op::State { key: Key::new("learnings:tactical:index"), change });
    }
    for n in 0..40 {
        let fields = vec![field("state", "active".to_owned()), field("description", "does something".to_owned())];
        ops.push(Op::Change { key: Key::new(format!("tools:t{n}")), expect: Expect::Any, fields, ttl: Ttl::Keep });
    }
    let keys =
        ops.iter().filter_map(|op| if let Op::Change { key, .. } = op { Some(key.clone()) } else { None }).collect();
    for chunk in ops.chunks(100) {
        commit(bus, chunk.to_vec()).await;
    }
    keys
}

fn experiment(id: &str, round: usize) -> Op {
    let field = |name: &str, value: String| (name.to_owned(), Some(value));
    let fields = vec![
        field("state", "ready".to_owned()),
        field("hypothesis", format!("people who did {round} answer more often than others")),
        field("tool", "mailer".to_owned()),
        field("spec_json", format!("{{\"hypothesis\":\"h\",\"steps\":\"{}\"}}", "x".repeat(600))),
        field("criteria_json", "{\"success\":\"response_rate > 0.1\"}".to_owned()),
        field("created_at", "2026-11-20T09:00:00.000Z".to_owned()),
        field("updated_at", format!("2026-11-20T09:{:02}:00.000Z", round % 60)),
    ];
    Op::Change { key: Key::new(format!("experiments:{id}")), expect: Expect::Any, fields, ttl: Ttl::Keep }
}

fn metric(id: &str) -> Op {
    let names = ["emails_sent", "opens", "replies", "bounces", "meetings", "rate"];
    let fields = names.iter().map(|name| ((*name).to_owned(), Some("12.5".to_owned()))).collect();
    Op::Change { key: Key::new(format!("metrics_aggregated:{id}")), expect: Expect::Any, fields, ttl: Ttl::Keep }
}

async fn commit(bus: &SharedBus, ops: Vec<Op>) {
    let outcomes = bus.commit(vec![Commit::of(ops)]).await.unwrap();
    assert!(outcomes[0].is_done(), "{outcomes:?}");
}

async fn timed(work: impl AsyncFnOnce()) -> Duration {
    let began = Instant::now();
    work().await;
    began.elapsed()
}

fn percentiles(mut times: Vec<Duration>) -> [String; 2] {
    times.sort_unstable();
    [50, 99].map(|percent| format!("{:.1} ms", times[(times.len() - 1) * percent / 100].as_secs_f64() * 1e3))
}
