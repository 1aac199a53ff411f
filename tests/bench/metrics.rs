//! How fast what happens is added up, and how long a crossed line takes to become an alert; on both engines.
//!
//! ```text
//! cargo bench --bench metrics
//! ```
//!
//! Starts a redis-server of its own (append-only file, `everysec`). One process adds up, in the consumer loop that `serve` runs, while another
//! connection floods the channel. Figures are worth something on a quiet machine only.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark that cannot go on ends, and prints figures")]

#[path = "../support/redis_server.rs"]
mod redis_server;

use std::sync::Arc;
use std::time::{Duration, Instant};

use fullsend::bus::embedded::{EmbeddedBus, EmbeddedOptions};
use fullsend::bus::{
    Commit, Consumer, ConsumerOptions, EntryId, Expect, Key, Op, Origin, Outgoing, Range, RedisBus, RedisOptions,
    SharedBus, Ttl,
};
use fullsend::cli::output::Output;
use fullsend::cli::runtime;
use fullsend::contracts::{ChannelName, Clock, Ids, SystemClock, Trust};
use fullsend::services::redis_agent::{AgentOptions, RedisAgent};
use redis_server::{RedisServer, Settings};
use tokio_util::sync::CancellationToken;

/// Events of the flood.
const EVENTS: usize = 100_000;
/// Events of a commit of the flood.
const AT_ONCE: usize = 500;
/// Lines that are crossed, one after the other.
const LINES: usize = 200;

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        println!("not measured; run it by `cargo bench --bench metrics`");
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
        let mut redis = Vec::new();
        for _ in 0..2 {
            let options = RedisOptions::new(server.url(), Arc::new(SystemClock));
            redis.push(Arc::new(RedisBus::connect(options).await.unwrap()) as SharedBus);
        }
        let (reader, writer) = (redis.remove(0), redis.remove(0));
        for experiments in [1, 100] {
            flood(&reader, &writer, experiments, &mut rows).await;
        }
        latency(&reader, &writer, &mut rows).await;
        flood(&embedded, &embedded, 1, &mut rows).await;
        latency(&embedded, &embedded, &mut rows).await;
    });
    Output::standard(false).table(["ENGINE", "WHAT", "FOUND", "REACH"], &rows).unwrap();
}

fn origin() -> Origin {
    Origin::new(Arc::new(SystemClock), Arc::new(Ids::random()), Trust::System)
}

fn message(origin: &Origin, experiment: &str, event: &str) -> Op {
    let body = format!(r#"{{"event":"{event}","experiment_id":"{experiment}","variant":"a","hours":3.5}}"#);
    Op::Append(Outgoing::new(ChannelName::Metrics, origin.envelope("event", "executor"), body).unwrap())
}

async fn plan(bus: &SharedBus, experiment: &str) {
    let fields = [
        ("state", "measuring"),
        ("success_criteria", r#"["reply_rate >= 8% after 100 sends","meetings_booked >= 2"]"#),
        ("failure_criteria", r#"["reply_rate < 2% after 100 sends","spam_complaints >= 1","bounce_rate > 10%"]"#),
    ];
    let fields = fields.into_iter().map(|(name, text)| (name.to_owned(), Some(text.to_owned()))).collect();
    let key = Key::new(format!("experiments:{experiment}"));
    bus.commit(vec![Commit::of(vec![Op::Change { key, expect: Expect::Any, fields, ttl: Ttl::Keep }])]).await.unwrap();
}

/// Starts to add up on a bus, until it is told to stop.
fn start(bus: &SharedBus) -> CancellationToken {
    let stop = CancellationToken::new();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let agent = RedisAgent::new(AgentOptions { cooldown: Duration::from_mins(5), settle: Duration::from_hours(24) });
    let consumer = Consumer::new(Arc::clone(bus), agent, ConsumerOptions::default(), clock, Arc::new(Ids::random()));
    let stopped = stop.clone();
    tokio::spawn(async move { consumer.run(stopped).await });
    stop
}

async fn handled(bus: &SharedBus) -> bool {
    let groups = bus.inspect(ChannelName::Metrics).await.unwrap().groups;
    groups.iter().any(|group| group.pending == 0 && group.lag == Some(0))
}

async fn flood(reader: &SharedBus, writer: &SharedBus, experiments: usize, rows: &mut Vec<[String; 4]>) {
    for number in 0..experiments {
        plan(writer, &format!("flood_{number}")).await;
    }
    let origin = origin();
    let mut batches = Vec::new();
    for batch in 0..EVENTS / AT_ONCE {
        let one = |number: usize| {
            let number = batch * AT_ONCE + number;
            let event = if number.is_multiple_of(20) { "reply" } else { "email_sent" };
            message(&origin, &format!("flood_{}", number % experiments), event)
        };
        batches.push(Commit::of((0..AT_ONCE).map(one).collect()));
    }
    let stop = start(reader);
    let began = Instant::now();
    for batch in batches {
        writer.commit(vec![batch]).await.unwrap();
    }
    let said = began.elapsed();
    while !handled(writer).await {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let took = began.elapsed();
    stop.cancel();
    #[expect(clippy::cast_precision_loss, reason = "a hundred thousand")]
    let each = |time: Duration| format!("{:.0}/s", EVENTS as f64 / time.as_secs_f64());
    let of = format!("events added up, {experiments} experiments, said at {}", each(said));
    rows.push([reader.engine().to_owned(), of, each(took), "≥ 20000/s".to_owned()]);
}

/// From saying the event that crosses a line to the alert on the bus.
async fn latency(reader: &SharedBus, writer: &SharedBus, rows: &mut Vec<[String; 4]>) {
    let (origin, stop) = (origin(), start(reader));
    let mut times = Vec::new();
    for number in 0..LINES {
        let experiment = format!("line_{number}");
        plan(writer, &experiment).await;
        let newest = writer.newest(&[ChannelName::ToOrchestrator]).await.unwrap();
        let from = newest.first().and_then(|(_, id)| *id).unwrap_or(EntryId::ZERO);
        let began = Instant::now();
        writer.commit(vec![Commit::of(vec![message(&origin, &experiment, "spam_complaint")])]).await.unwrap();
        loop {
            let said = writer.range(ChannelName::ToOrchestrator, Range::after(from, 10)).await.unwrap();
            if said.iter().any(|entry| entry.b.contains(&format!("\"{experiment}\""))) {
                break;
            }
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        times.push(began.elapsed());
    }
    stop.cancel();
    times.sort_unstable();
    let found = format!("p50 {:.1?}, p99 {:.1?}", times[LINES / 2], times[LINES * 99 / 100]);
    let what = "from a crossed line to its alert".to_owned();
    rows.push([reader.engine().to_owned(), what, found, "≤ 50 ms".to_owned()]);
}
