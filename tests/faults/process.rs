//! Worker processes: this binary, run again with its orders in an environment variable.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fullsend::bus::embedded::{EmbeddedBus, EmbeddedOptions, StepHook};
use fullsend::bus::{BusError, Consumer, ConsumerOptions, RedisBus, RedisOptions, SharedBus};
use fullsend::contracts::{Clock, Ids, SystemClock};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::kill_at::{KillAt, Points};
use crate::work::{self, Kind, Piece, Relay, Sent};

/// Holds a worker's orders as JSON.
pub(crate) const ORDERS: &str = "FAULTS_WORKER";

/// Where the bus is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Store {
    Redis { url: String, prefix: String },
    Embedded { path: PathBuf },
}

impl Store {
    /// Opens it once.
    pub(crate) async fn open(&self, clock: Arc<dyn Clock>, on_step: Option<StepHook>) -> Result<SharedBus, BusError> {
        match self {
            Self::Redis { url, prefix } => {
                let mut options = RedisOptions::new(url.clone(), clock);
                options.prefix.clone_from(prefix);
                // Black holes are noticed by this.
                options.response_timeout = Duration::from_secs(2);
                Ok(Arc::new(RedisBus::connect(options).await?))
            }
            Self::Embedded { path } => {
                let options = EmbeddedOptions { on_step, ..EmbeddedOptions::new(path.clone(), clock) };
                let opened = tokio::task::spawn_blocking(move || EmbeddedBus::open(options)).await;
                Ok(Arc::new(opened.map_err(|err| BusError::Protocol(err.to_string()))??))
            }
        }
    }

    /// Opens it, and waits for it where it is away.
    pub(crate) async fn open_patiently(&self, on_step: Option<StepHook>) -> Result<SharedBus, BusError> {
        let until = Instant::now() + Duration::from_mins(1);
        loop {
            match self.open(Arc::new(SystemClock), on_step.clone()).await {
                Err(err) if err.is_passing() && Instant::now() < until => {
                    tracing::warn!(%err, "not open yet");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                opened => return opened,
            }
        }
    }
}

/// What a worker does.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Job {
    /// Handles what comes until its standard input ends.
    Handle { pace_ms: u64, signs: bool },
    /// Sends pieces, handles them, and ends when all is done; dies at a point, if one is named.
    Script { pieces: u64, die_at: Option<u64>, report: PathBuf },
}

/// A worker's orders.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Orders {
    pub(crate) store: Store,
    pub(crate) job: Job,
    pub(crate) host: String,
    pub(crate) slots: usize,
    /// None: everything as it is by default.
    pub(crate) stale_ms: Option<u64>,
    pub(crate) seed: Option<u64>,
    pub(crate) log: PathBuf,
}

impl Orders {
    fn options(&self) -> ConsumerOptions {
        let defaults = ConsumerOptions { host: self.host.clone(), seed: self.seed, ..ConsumerOptions::default() };
        match self.stale_ms {
            None => defaults,
            Some(stale) => ConsumerOptions {
                stale_after: Duration::from_millis(stale),
                heartbeat: Duration::from_millis(stale / 5),
                // Being killed counts as an attempt; here it happens more often than anybody's handler may fail.
                max_attempts: 100,
                ..defaults
            },
        }
    }

    fn slow(&self) -> Duration {
        Duration::from_millis(self.stale_ms.unwrap_or(2_000) * 2)
    }
}

/// A worker that runs; killed when dropped.
#[derive(Debug)]
pub(crate) struct Worker {
    child: Child,
    orders: Orders,
}

impl Worker {
    pub(crate) fn start(orders: &Orders) -> std::io::Result<Self> {
        let log = OpenOptions::new().create(true).append(true).open(&orders.log)?;
        let child = Command::new(std::env::current_exe()?)
            .env(ORDERS, serde_json::to_string(orders)?)
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        Ok(Self { child, orders: orders.clone() })
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) -> std::io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }

    /// `kill -9`, and a new one in its place.
    pub(crate) fn replace(&mut self) -> std::io::Result<()> {
        self.kill()?;
        *self = Self::start(&self.orders)?;
        Ok(())
    }

    /// How it ended, if it did.
    pub(crate) fn ended(&mut self) -> std::io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Waits for its end.
    pub(crate) async fn wait(&mut self, patience: Duration) -> Result<ExitStatus, String> {
        let until = Instant::now() + patience;
        loop {
            match self.ended() {
                Ok(Some(status)) => return Ok(status),
                Ok(None) if Instant::now() < until => tokio::time::sleep(Duration::from_millis(5)).await,
                other => return Err(format!("the worker runs after {patience:?} ({other:?})\n{}", self.log())),
            }
        }
    }

    /// Asks it to end in order, and waits until it has.
    pub(crate) async fn stop(mut self) -> Result<(), String> {
        drop(self.child.stdin.take());
        let status = self.wait(Duration::from_secs(20)).await?;
        if status.success() { Ok(()) } else { Err(format!("the worker ended with {status}\n{}", self.log())) }
    }

    /// The end of what the workers of this log had to say.
    pub(crate) fn log(&self) -> String {
        tail(&self.orders.log)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The last lines of a file.
pub(crate) fn tail(path: &Path) -> String {
    let text = std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}

/// What a script found out.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) points: BTreeMap<String, u64>,
}

/// The worker's side.
pub(crate) fn main(orders: &str) -> ExitCode {
    let orders: Orders = serde_json::from_str(orders).expect("orders");
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).with_max_level(tracing::Level::INFO).init();
    tracing::info!(pid = std::process::id(), host = orders.host, "a worker starts");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("runtime");
    let result = runtime.block_on(work(&orders));
    tracing::info!(?result, "a worker ends");
    if result.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn work(orders: &Orders) -> Result<(), String> {
    let text = |err: BusError| err.to_string();
    let (pieces, die_at, report) = match &orders.job {
        Job::Handle { pace_ms, signs } => {
            let bus = orders.store.open_patiently(None).await.map_err(text)?;
            let relay = relay(orders, Duration::from_millis(*pace_ms), *signs);
            let stop = CancellationToken::new();
            let asked = stop.clone();
            std::thread::spawn(move || {
                let _ = std::io::stdin().read(&mut [0]);
                asked.cancel();
            });
            let done = consumer(&bus, orders, relay).run(stop).await.map_err(text);
            bus.close().await;
            return done;
        }
        Job::Script { pieces, die_at, report } => (*pieces, *die_at, report),
    };
    let points = Arc::new(Points::new(die_at));
    let counting = Arc::clone(&points);
    let on_step: StepHook = Arc::new(move |step| counting.pass(&format!("{step:?}")));
    let inner = orders.store.open_patiently(Some(on_step)).await.map_err(text)?;
    let bus: SharedBus = Arc::new(KillAt { inner: Arc::clone(&inner), points: Arc::clone(&points) });
    script(orders, &bus, &*inner, pieces).await?;
    bus.close().await;
    let report_file = File::create(report).map_err(|err| err.to_string())?;
    serde_json::to_writer(report_file, &Report { points: points.by_name() }).map_err(|err| err.to_string())
}

/// Pieces of a script: one of every kind that needs no long wait.
pub(crate) fn script_pieces(count: u64) -> impl Iterator<Item = Piece> {
    (0..count).map(|n| {
        let kind = match n {
            1 => Kind::Conflict,
            2 => Kind::Poison,
            4 => Kind::Fails,
            _ => Kind::Plain,
        };
        Piece::first(n, kind)
    })
}

async fn script(orders: &Orders, bus: &SharedBus, plain: &dyn fullsend::bus::Bus, pieces: u64) -> Result<(), String> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let stop = CancellationToken::new();
    let consumer = consumer(bus, orders, relay(orders, Duration::from_millis(1), false));
    let running = tokio::spawn({
        let stop = stop.clone();
        async move { consumer.run(stop).await }
    });
    let sender = work::sender(bus, Arc::clone(&clock), Duration::from_secs(20));
    let origin = fullsend::bus::Origin::new(clock, Arc::new(Ids::random()), fullsend::contracts::Trust::Operator);
    for piece in script_pieces(pieces) {
        let said = origin.compose::<fullsend::contracts::channel::grants::ControlRoom, _>(
            fullsend::contracts::wiring::ECHO,
            fullsend::bus::Draft::new(piece.request()),
        );
        let said = said.map_err(|err| err.to_string())?;
        // The same key in every run: a piece whose acknowledgement was lost is not said again.
        sender.send_once(format!("script:{}", piece.n), said).await.map_err(|err| err.to_string())?;
    }
    work::settle(plain, Duration::from_secs(30)).await?;
    stop.cancel();
    running.await.map_err(|err| err.to_string())?.map_err(|err| err.to_string())
}

fn relay(orders: &Orders, pace: Duration, signs: bool) -> Relay {
    Relay { pace, slow: orders.slow(), slots: orders.slots, signs }
}

fn consumer(bus: &SharedBus, orders: &Orders, relay: Relay) -> Consumer<Relay> {
    Consumer::new(Arc::clone(bus), relay, orders.options(), Arc::new(SystemClock), Arc::new(Ids::random()))
}

/// What a finished script has sent.
pub(crate) fn script_sent(count: u64) -> Sent {
    Sent { said: script_pieces(count).collect(), ..Sent::default() }
}
