//! A process that dies at each point where it writes or claims, one after the other; the next one finishes its work.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use color_eyre::eyre::{Report, WrapErr as _, bail, ensure};
use futures::{StreamExt as _, TryStreamExt as _};

use crate::Run;
use crate::process::{self, Job, Orders, Store, Worker};
use crate::redis_server::RedisServer;
use crate::work;

/// Pieces of one script.
const PIECES: u64 = 6;
/// Scripts at the same time; they mostly wait.
const AT_ONCE: usize = 4;
const PATIENCE: Duration = Duration::from_secs(40);

fn orders(store: Store, folder: &Path, die_at: Option<u64>) -> Orders {
    let job = Job::Script { pieces: PIECES, die_at, report: folder.join("report.json") };
    let log = folder.join("worker.log");
    Orders { store, job, host: "host".to_owned(), slots: 2, stale_ms: Some(300), seed: Some(3), log }
}

/// Counts the points of a script that nobody kills.
async fn count(store: Store, folder: &Path) -> color_eyre::Result<u64> {
    let orders = orders(store.clone(), folder, None);
    let mut worker = Worker::start(&orders)?;
    let status = worker.wait(PATIENCE).await.map_err(Report::msg)?;
    ensure!(status.success(), "the script failed: {status}\n{}", worker.log());
    balanced(&store).await?;
    let points = report(folder)?;
    let all = points.values().sum();
    println!("       {all} kill points: {points:?}");
    Ok(all)
}

fn report(folder: &Path) -> color_eyre::Result<BTreeMap<String, u64>> {
    let report: process::Report = serde_json::from_slice(&std::fs::read(folder.join("report.json"))?)?;
    Ok(report.points)
}

async fn balanced(store: &Store) -> color_eyre::Result<()> {
    let bus = store.open_patiently(None).await?;
    let wrong = work::audit(&*bus, &process::script_sent(PIECES)).await?;
    bus.close().await;
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// Dies at point `at`; a fresh process finishes. Says whether it was reached.
async fn die_and_finish(store: Store, at: u64) -> color_eyre::Result<bool> {
    let folder = tempfile::tempdir()?;
    let mut first = Worker::start(&orders(store.clone(), folder.path(), Some(at)))?;
    let status = first.wait(PATIENCE).await.map_err(Report::msg)?;
    let died = status.signal() == Some(9);
    ensure!(died || status.success(), "point {at}: {status}\n{}", first.log());
    if died {
        let mut second = Worker::start(&orders(store.clone(), folder.path(), None))?;
        let status = second.wait(PATIENCE).await.map_err(Report::msg)?;
        ensure!(status.success(), "after a kill at point {at}: {status}\n{}", second.log());
    }
    balanced(&store).await.wrap_err_with(|| format!("after a kill at point {at}\n{}", first.log()))?;
    Ok(died)
}

/// Kills at points in a random order for as long as there is time; all of them in a long run.
async fn kill_at_each(run: Run, all: u64, seconds: u64, store: impl Fn(u64) -> Store) -> color_eyre::Result<()> {
    ensure!(all > 20, "only {all} points: this test has tested nothing");
    let mut order: Vec<u64> = (1..=all).collect();
    fastrand::Rng::with_seed(run.seed).shuffle(&mut order);
    let until = Instant::now() + Duration::from_secs(seconds);
    let tries = order.iter().take_while(|_| run.long || Instant::now() < until);
    let results: Vec<bool> = futures::stream::iter(tries)
        .map(|at| die_and_finish(store(*at), *at))
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    let died = results.iter().filter(|died| **died).count();
    println!("       killed at {died} points of {all}, {} tried; every effect once", results.len());
    if died < 5 {
        bail!("hardly any point was reached: this test has tested nothing");
    }
    Ok(())
}

pub(crate) async fn embedded(run: Run) -> color_eyre::Result<()> {
    let folder = tempfile::tempdir()?;
    let all = count(Store::Embedded { path: folder.path().join("count.db") }, folder.path()).await?;
    kill_at_each(run, all, 12, |at| Store::Embedded { path: folder.path().join(format!("{at}.db")) }).await
}

pub(crate) async fn redis(run: Run) -> color_eyre::Result<()> {
    let (folder, server) = (tempfile::tempdir()?, RedisServer::fleeting());
    let store = |prefix: String| Store::Redis { url: server.url(), prefix };
    let all = count(store("count:".to_owned()), folder.path()).await?;
    kill_at_each(run, all, 12, |at| store(format!("{at}:"))).await
}
