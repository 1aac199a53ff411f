//! Kills and broken connections by chance, while work flows.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use color_eyre::eyre::{Report, bail};
use fullsend::contracts::SystemClock;
use tokio_util::sync::CancellationToken;

use crate::Run;
use crate::process::{Job, Orders, Store, Worker};
use crate::proxy::Proxy;
use crate::redis_server::{RedisServer, Settings};
use crate::work::{self, Kind, Piece, Sent};

const WORKERS: usize = 3;

/// A folder whose files are in memory, where there is one: Redis answers before it writes while a sync of the disk is under way
/// (`appendfsync everysec`), so on a slow disk its kill may take what it had acknowledged.
pub(crate) fn quick_folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = memory.is_dir().then(|| tempfile::tempdir_in(memory).ok()).flatten();
    made.unwrap_or_else(|| tempfile::tempdir().unwrap())
}

fn orders(store: Store, log: PathBuf, number: usize) -> Orders {
    let job = Job::Handle { pace_ms: 2, signs: false };
    Orders { store, job, host: format!("host{}", number % 2), slots: 8, stale_ms: Some(700), seed: None, log }
}

/// Sends pieces `first`, `first + every`, … until it is stopped. Every piece is tried until the bus has it.
async fn produce(store: Store, first: u64, every: u64, end: CancellationToken) -> color_eyre::Result<(Sent, usize)> {
    let bus = store.open_patiently(None).await?;
    let sender = work::sender(&bus, Arc::new(SystemClock), Duration::from_secs(20));
    let (mut sent, mut errors, mut n) = (Sent::default(), 0, first);
    while !end.is_cancelled() {
        let piece = Piece::first(n, Kind::of(n));
        errors += work::send_all(&sender, [piece], &mut sent).await.len();
        n += every;
        tokio::time::sleep(Duration::from_millis(8)).await;
    }
    bus.close().await;
    Ok((sent, errors))
}

fn merge(all: Vec<(Sent, usize)>) -> (Sent, usize) {
    let mut whole = (Sent::default(), 0);
    for (sent, errors) in all {
        whole.0.said.extend(sent.said);
        whole.0.unsure.extend(sent.unsure);
        whole.1 += errors;
    }
    whole
}

/// The end of every chaos: all is well again, the work is finished, and the books are balanced.
async fn conclude(
    store: &Store,
    workers: Vec<Worker>,
    producers: Vec<tokio::task::JoinHandle<color_eyre::Result<(Sent, usize)>>>,
    history: &[String],
) -> color_eyre::Result<()> {
    let mut accounts = Vec::new();
    for producer in producers {
        accounts.push(producer.await??);
    }
    let (sent, errors) = merge(accounts);
    let bus = store.open_patiently(None).await?;
    let logs = || workers.iter().map(Worker::log).collect::<Vec<_>>().join("\n");
    if let Err(left) = work::settle(&*bus, Duration::from_mins(1)).await {
        bail!("{left}\n{}\n{}", history.join("\n"), logs());
    }
    let wrong = work::audit(&*bus, &sent).await?;
    if !wrong.is_empty() {
        bail!("{} faults:\n{}\n{}\n{}", wrong.len(), wrong.join("\n"), history.join("\n"), logs());
    }
    for worker in workers {
        worker.stop().await.map_err(Report::msg)?;
    }
    println!(
        "       {} sends acknowledged, {} without an answer, {errors} errors, {} blows; every effect once",
        sent.said.len(),
        sent.unsure.len(),
        history.len()
    );
    if sent.said.len() < 100 {
        bail!("hardly anything was sent: this test has tested nothing");
    }
    Ok(())
}

/// Processes on one file; kills of workers.
pub(crate) async fn embedded(run: Run) -> color_eyre::Result<()> {
    let folder = tempfile::tempdir()?;
    let store = Store::Embedded { path: folder.path().join("bus.db") };
    let mut rng = fastrand::Rng::with_seed(run.seed);
    let mut workers = Vec::new();
    for number in 0..WORKERS {
        workers.push(Worker::start(&orders(store.clone(), folder.path().join(format!("worker{number}.log")), number))?);
    }
    let stop = CancellationToken::new();
    let producers = (0..2).map(|first| tokio::spawn(produce(store.clone(), first, 2, stop.clone()))).collect();
    let (began, mut history) = (Instant::now(), Vec::new());
    while began.elapsed() < Duration::from_secs(if run.long { 150 } else { 15 }) {
        tokio::time::sleep(Duration::from_millis(rng.u64(20..700))).await;
        let victim = rng.usize(0..WORKERS);
        workers[victim].replace()?;
        history.push(format!("{:.2} worker {victim} killed", began.elapsed().as_secs_f64()));
    }
    stop.cancel();
    conclude(&store, workers, producers, &history).await
}

/// A real server that survives kills; kills of it and of workers, and a bad network between it and two of them.
pub(crate) async fn redis(run: Run) -> color_eyre::Result<()> {
    let (folder, data) = (tempfile::tempdir()?, quick_folder());
    let settings = Settings {
        durable: Some("everysec"),
        more: vec!["--dir".to_owned(), data.path().display().to_string()],
        ..Settings::default()
    };
    let mut server = RedisServer::start(settings);
    let proxy = Proxy::start(server.port()).await?;
    let direct = Store::Redis { url: server.url(), prefix: String::new() };
    let shaky = Store::Redis { url: format!("redis://127.0.0.1:{}/0", proxy.port()), prefix: String::new() };
    let mut rng = fastrand::Rng::with_seed(run.seed);
    let mut workers = Vec::new();
    for number in 0..WORKERS {
        let store = if number == 0 { &direct } else { &shaky };
        workers.push(Worker::start(&orders(store.clone(), folder.path().join(format!("worker{number}.log")), number))?);
    }
    let stop = CancellationToken::new();
    let producers = vec![
        tokio::spawn(produce(direct.clone(), 0, 2, stop.clone())),
        tokio::spawn(produce(shaky.clone(), 1, 2, stop.clone())),
    ];
    let (began, mut history) = (Instant::now(), Vec::new());
    while began.elapsed() < Duration::from_secs(if run.long { 400 } else { 35 }) {
        tokio::time::sleep(Duration::from_millis(rng.u64(50..900))).await;
        let blow = match rng.u32(0..10) {
            0 | 1 => {
                server.kill();
                tokio::time::sleep(Duration::from_millis(rng.u64(0..1_200))).await;
                tokio::task::block_in_place(|| server.restart());
                "redis killed and started again".to_owned()
            }
            2..=4 => {
                let victim = rng.usize(0..WORKERS);
                workers[victim].replace()?;
                format!("worker {victim} killed")
            }
            _ => proxy.chaos(&mut rng),
        };
        history.push(format!("{:.2} {blow}", began.elapsed().as_secs_f64()));
    }
    proxy.heal();
    stop.cancel();
    conclude(&direct, workers, producers, &history).await
}
