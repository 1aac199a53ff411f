//! What `fullsend serve` takes of time and memory, and how long another process waits while the bus is flooded.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fullsend::bus::embedded::{EmbeddedBus, EmbeddedOptions};
use fullsend::bus::{Commit, Op, Origin, RedisBus, RedisOptions, SharedBus};
use fullsend::cli::bench::ours;
use fullsend::cli::runtime;
use fullsend::contracts::body::Example;
use fullsend::contracts::channel::grants;
use fullsend::contracts::messages::{ChatMessage, DiscordRaw};
use fullsend::contracts::wiring::DISCORD_RAW;
use fullsend::contracts::{ChannelName, Clock, Ids, SystemClock, Trust};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::durable_server;

const STARTS: usize = 10;
const PUBLISHES: usize = 20;
/// Units of one call while the store is filled.
const BATCH: usize = 512;
/// After this long a program has done what it does at its start.
const SETTLED: Duration = Duration::from_secs(5);

/// What was measured, the figure, and what we want to reach.
type Row = [String; 3];

/// A bus that `serve` can run on: a home, and the URL of a server where it is not the embedded one.
struct Place<'a> {
    engine: &'static str,
    home: &'a Path,
    url: Option<String>,
}

/// All figures whose names hold `only`.
pub(crate) fn figures(stored: usize, only: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    let home = private_folder();
    of_serve(&Place { engine: "embedded", home: home.path(), url: None }, stored, only, &mut rows);
    drop(home);

    let (server, home) = (durable_server(), private_folder());
    of_serve(&Place { engine: "redis", home: home.path(), url: Some(server.url()) }, stored, only, &mut rows);
    drop(server);

    let what = "embedded: publish from another process during a flood of relay chains";
    if what.contains(only) {
        let times = runtime().unwrap().block_on(during_a_flood());
        let (p50, most) = (times[times.len() / 2], times[times.len() - 1]);
        rows.push([what.to_owned(), format!("p50 {}, max {} of {PUBLISHES}", ms(p50), ms(most)), "≤ 250 ms".into()]);
    }
    rows
}

/// Start to ready and memory, with empty streams and with `stored` messages in them.
fn of_serve(place: &Place<'_>, stored: usize, only: &str, rows: &mut Vec<Row>) {
    for (messages, ready_in, memory) in [(0, "≤ 100 ms", "≤ 30 MB"), (stored, "≤ 300 ms", "≤ 60 MB")] {
        let start = format!("{}: serve, start to ready, {messages} messages", place.engine);
        let resident =
            format!("{}: serve, resident memory after {} s, {messages} messages", place.engine, SETTLED.as_secs());
        if !start.contains(only) && !resident.contains(only) {
            continue;
        }
        if messages > 0 {
            let began = Instant::now();
            runtime().unwrap().block_on(fill(place, messages));
            println!("{}: {messages} messages stored in {:.1} s", place.engine, began.elapsed().as_secs_f64());
        }
        let mut times: Vec<Duration> =
            (0..STARTS).map(|_| Serve::start(place)).map(|serve| serve.ready_after).collect();
        times.sort();
        rows.push([start, format!("median {} of {STARTS}", ms(times[STARTS / 2])), ready_in.to_owned()]);
        let serve = Serve::start(place);
        runtime().unwrap().block_on(async { tokio::time::sleep(SETTLED).await });
        rows.push([resident, serve.resident(), memory.to_owned()]);
    }
}

fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

/// A home as the program wants it: its owner's alone.
fn private_folder() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    tempfile::Builder::new().permissions(std::fs::Permissions::from_mode(0o700)).tempdir().unwrap()
}

fn fullsend(place: &Place<'_>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fullsend"));
    command.env_clear().env("HOME", place.home).env("FULLSEND_HOME", place.home).current_dir(place.home);
    // Nothing of what is stored is to go meanwhile.
    command.env("FULLSEND_RETENTION__LENGTH", "1000000000");
    if let Some(url) = &place.url {
        command.env("REDIS_URL", url);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// A running `fullsend serve`; stopped when dropped.
struct Serve {
    child: Child,
    ready_after: Duration,
}

impl Serve {
    /// Starts it, and returns when it says that it serves.
    fn start(place: &Place<'_>) -> Self {
        let began = Instant::now();
        let mut child = fullsend(place).arg("serve").stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let said: Vec<String> =
            lines.by_ref().map_while(Result::ok).take_while(|line| !line.starts_with("serving ")).collect();
        let ready_after = began.elapsed();
        assert!(child.try_wait().unwrap().is_none(), "serve ended: {said:?}");
        // Read on, so that its pipe never fills.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, ready_after }
    }

    fn resident(&self) -> String {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let kib = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse::<f64>().ok());
        kib.map_or_else(|| "unknown".to_owned(), |kib| format!("{:.1} MB", kib * 1_024.0 / 1e6))
    }
}

impl Drop for Serve {
    /// In order, so that the next one starts on a bus that was left in order.
    fn drop(&mut self) {
        let id = i32::try_from(self.child.id()).unwrap();
        kill(Pid::from_raw(id), Signal::SIGTERM).ok();
        self.child.wait().ok();
    }
}

async fn open(place: &Place<'_>) -> SharedBus {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    if let Some(url) = &place.url {
        Arc::new(RedisBus::connect(RedisOptions::new(url.as_str(), clock)).await.unwrap())
    } else {
        let options = EmbeddedOptions::new(place.home.join("fullsend.db"), clock);
        Arc::new(tokio::task::block_in_place(|| EmbeddedBus::open(options)).unwrap())
    }
}

async fn fill(place: &Place<'_>, messages: usize) {
    let bus = open(place).await;
    let origin = Origin::new(Arc::new(SystemClock), Arc::new(Ids::random()), Trust::System);
    let numbers: Vec<usize> = (0..messages).collect();
    for batch in numbers.chunks(BATCH) {
        let units = batch.iter().map(|number| {
            let body = ChatMessage { content: number.to_string().into(), ..ChatMessage::example() };
            let message = origin.compose::<grants::ControlRoom, _>(DISCORD_RAW, DiscordRaw::from(body)).unwrap();
            Commit::of(vec![Op::Append(message)])
        });
        bus.commit(units.collect()).await.unwrap();
    }
    let length = bus.inspect(ChannelName::DiscordRaw).await.unwrap().length;
    assert!(length >= messages as u64, "{length} of {messages} are stored");
    bus.close().await;
}

/// How long `fullsend publish` takes, its own start included, while this process floods the same file; sorted.
async fn during_a_flood() -> Vec<Duration> {
    let home = private_folder();
    let place = Place { engine: "embedded", home: home.path(), url: None };
    let bus = open(&place).await;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let flooded = Arc::clone(&bus);
    // More than is done in the time that this takes.
    let flood = tokio::spawn(async move { ours::relay(&flooded, &clock, 3_000_000, 64).await.map(|_| ()) });
    while bus.inspect(ChannelName::ToFullsend).await.unwrap().length < 1_000 {
        assert!(!flood.is_finished(), "the flood does not begin");
        tokio::task::yield_now().await;
    }
    let mut times = Vec::new();
    for _ in 0..PUBLISHES {
        let mut publish = fullsend(&place);
        publish.args(["publish", "metrics", r#"{"event":"meeting_booked","experiment_id":"exp_1"}"#]);
        let began = Instant::now();
        let ended = tokio::process::Command::from(publish).status().await.unwrap();
        times.push(began.elapsed());
        assert!(ended.success(), "a publish failed");
    }
    assert!(!flood.is_finished(), "the flood ended before the last publish");
    flood.abort();
    times.sort();
    times
}
