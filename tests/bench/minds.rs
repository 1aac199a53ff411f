//! How fast a chat message is answered with the rules: from before it is published until its reply is heard.
//!
//! ```text
//! cargo bench --bench minds [-- --quick]
//! ```
//!
//! Starts a redis-server of its own (append-only file, `everysec`), and works in folders of its own. The floor of each figure is the bus
//! alone, measured in the same run: one relay that says something for each message, without reading or thinking.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark that cannot go on ends, and prints figures")]

#[path = "../support/redis_server.rs"]
mod redis_server;

use std::sync::Arc;
use std::time::{Duration, Instant};

use fullsend::bus::embedded::{EmbeddedBus, EmbeddedOptions};
use fullsend::bus::{
    Commit, Consumer, ConsumerOptions, Context, Effects, Failure, Handler, Listener, Op, Origin, Received, RedisBus,
    RedisOptions, SharedBus,
};
use fullsend::cli::bench::quantiles;
use fullsend::cli::bench::report::Comparison;
use fullsend::cli::output::Output;
use fullsend::cli::runtime;
use fullsend::contracts::body::Example;
use fullsend::contracts::channel::grants;
use fullsend::contracts::messages::{ChatMessage, DiscordRaw, FromOrchestrator, WatcherResponse};
use fullsend::contracts::wiring::{DISCORD_RAW, FROM_ORCHESTRATOR};
use fullsend::contracts::{ChannelName, Clock, Ids, SystemClock, Trust};
use fullsend::llm::Mind;
use fullsend::memory::Memory;
use fullsend::services::orchestrator::Orchestrator;
use fullsend::services::watcher::Watcher;
use redis_server::{RedisServer, Settings};
use tokio_util::sync::CancellationToken;

/// Nothing takes longer.
const PATIENCE: Duration = Duration::from_mins(1);
const FLOOD: usize = 1_000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if !arguments.iter().any(|argument| argument == "--bench") {
        println!("not measured; run it by `cargo bench --bench minds`");
        return;
    }
    let count = if arguments.iter().any(|argument| argument == "--quick") { 300 } else { 3_000 };
    let rows = runtime().unwrap().block_on(async {
        let mut rows = Vec::new();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let folder = tempfile::tempdir().unwrap();
        let options = EmbeddedOptions::new(folder.path().join("bench.db"), Arc::clone(&clock));
        let embedded: SharedBus = Arc::new(tokio::task::block_in_place(|| EmbeddedBus::open(options)).unwrap());
        rows.extend(figures(&embedded, "embedded", "p50 <= 1 ms, p99 <= 5 x p50", count).await);
        embedded.close().await;
        let server = RedisServer::start(Settings { durable: Some("everysec"), ..Settings::default() });
        let options = RedisOptions::new(server.url(), clock);
        let redis: SharedBus = Arc::new(RedisBus::connect(options).await.unwrap());
        rows.extend(figures(&redis, "redis", "p50 <= 2 ms, p99 <= 5 x p50", count).await);
        redis.close().await;
        rows
    });
    let rows: Vec<_> = rows.iter().map(Comparison::cells).collect();
    Output::standard(false).table(Comparison::HEADINGS, &rows).unwrap();
}

async fn figures(bus: &SharedBus, engine: &'static str, reach: &'static str, count: usize) -> Vec<Comparison> {
    println!("== {engine}");
    let running = Team::start(bus, |bus, clock, ids| vec![consume(bus, Relay, clock, ids)]);
    let floor = one_by_one(bus, "hello", count).await;
    let floor_rate = at_once(bus, "hello").await;
    running.stop().await;

    let team = |bus: &SharedBus, clock: &Arc<dyn Clock>, ids: &Arc<Ids>| {
        let memory = Arc::new(Memory::default());
        let watcher = Watcher::new(Mind::default(), Arc::clone(&memory), Arc::clone(clock));
        let orchestrator = Orchestrator::new(Mind::default(), memory, Duration::from_mins(1));
        vec![consume(bus, watcher, clock, ids), consume(bus, orchestrator, clock, ids)]
    };
    let running = Team::start(bus, team);
    let answered = one_by_one(bus, "hello", count).await;
    let status = one_by_one(bus, "how many experiments are running?", count).await;
    let decided = one_by_one(bus, "What if we scraped GitHub stargazers?", count).await;
    let rate = at_once(bus, "hello").await;
    running.stop().await;
    vec![
        Comparison::times("greeting answered, one in flight", floor, answered, reach),
        Comparison::times("status answered, one in flight", floor, status, reach),
        Comparison::times("idea decided and answered, one in flight", floor, decided, reach),
        Comparison::rates("1,000 at once, all answered", floor_rate, rate, ">= 3,000/s"),
    ]
}

/// The floor: says something for each message.
struct Relay;

impl Handler for Relay {
    type Grant = grants::Watcher;

    fn channels(&self) -> &[ChannelName] {
        &[ChannelName::DiscordRaw]
    }

    fn slots(&self) -> usize {
        32
    }

    async fn handle(
        &self,
        message: Received,
        cx: Context<grants::Watcher>,
    ) -> Result<Effects<grants::Watcher>, Failure> {
        let mut effects = cx.effects();
        if let DiscordRaw::Message(chat) = message.read::<DiscordRaw>()? {
            let response = WatcherResponse { reply_to: chat.message_id, ..WatcherResponse::example() };
            effects.send(FROM_ORCHESTRATOR, FromOrchestrator::from(response))?;
        }
        Ok(effects)
    }
}

type Task = tokio::task::JoinHandle<()>;

struct Team {
    stop: CancellationToken,
    tasks: Vec<Task>,
}

type Run = Box<dyn FnOnce(CancellationToken) -> Task>;

impl Team {
    fn start(bus: &SharedBus, team: impl Fn(&SharedBus, &Arc<dyn Clock>, &Arc<Ids>) -> Vec<Run>) -> Self {
        let (clock, ids): (Arc<dyn Clock>, _) = (Arc::new(SystemClock), Arc::new(Ids::random()));
        let stop = CancellationToken::new();
        let tasks = team(bus, &clock, &ids).into_iter().map(|run| run(stop.clone())).collect();
        Self { stop, tasks }
    }

    async fn stop(self) {
        self.stop.cancel();
        for task in self.tasks {
            task.await.unwrap();
        }
    }
}

fn consume<H: Handler>(bus: &SharedBus, handler: H, clock: &Arc<dyn Clock>, ids: &Arc<Ids>) -> Run {
    let consumer =
        Consumer::new(Arc::clone(bus), handler, ConsumerOptions::default(), Arc::clone(clock), Arc::clone(ids));
    Box::new(move |stop| tokio::spawn(async move { consumer.run(stop).await.unwrap() }))
}

fn said(origin: &Origin, content: &str, number: usize) -> Commit {
    let body = ChatMessage {
        content: content.into(),
        message_id: Some(number.to_string()),
        username: Some(format!("author-{number}").as_str().into()),
        user_id: None,
        ..ChatMessage::example()
    };
    Commit::of(vec![Op::Append(origin.compose::<grants::ControlRoom, _>(DISCORD_RAW, DiscordRaw::from(body)).unwrap())])
}

fn origin() -> Origin {
    Origin::new(Arc::new(SystemClock), Arc::new(Ids::random()), Trust::Member)
}

/// The message that the next reply answers.
async fn reply(replies: &mut Listener) -> usize {
    loop {
        let heard = tokio::time::timeout(PATIENCE, replies.heard.recv()).await.unwrap().unwrap();
        let body: serde_json::Value = serde_json::from_str(&heard.body).unwrap();
        if let Some(number) = body["reply_to"].as_str().and_then(|number| number.parse().ok()) {
            return number;
        }
    }
}

async fn one_by_one(bus: &SharedBus, content: &str, count: usize) -> fullsend::cli::bench::report::Figure {
    let origin = origin();
    let mut replies = bus.listen(&[ChannelName::FromOrchestrator]).await.unwrap();
    let mut times = Vec::with_capacity(count);
    // The first few find cold caches and consumers that take their slots.
    for number in 0..count + 20 {
        let unit = said(&origin, content, number);
        let began = Instant::now();
        bus.commit(vec![unit]).await.unwrap();
        assert_eq!(reply(&mut replies).await, number);
        if number >= 20 {
            times.push(began.elapsed().as_secs_f64());
        }
    }
    quantiles(times)
}

#[expect(clippy::cast_precision_loss, reason = "a rate")]
async fn at_once(bus: &SharedBus, content: &str) -> f64 {
    let origin = origin();
    let mut replies = bus.listen(&[ChannelName::FromOrchestrator]).await.unwrap();
    let units: Vec<Commit> = (0..FLOOD).map(|number| said(&origin, content, number)).collect();
    let began = Instant::now();
    let (sent, ()) = tokio::join!(bus.commit(units), async {
        let mut missing = vec![true; FLOOD];
        for _ in 0..FLOOD {
            let number = reply(&mut replies).await;
            assert!(std::mem::take(&mut missing[number]), "{number} was answered twice");
        }
    });
    sent.unwrap();
    FLOOD as f64 / began.elapsed().as_secs_f64()
}
