//! A damaged embedded file: it opens, says what is wrong with it, and at most its end is lost.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use color_eyre::eyre::{Report, WrapErr as _, ensure};
use fullsend::bus::SharedBus;
use fullsend::bus::embedded::{EmbeddedBus, EmbeddedOptions, OpenReport};
use fullsend::contracts::SystemClock;

use crate::Run;
use crate::process::{Job, Orders, Store, Worker};
use crate::rig::Rig;
use crate::work::{self, Kind, Piece, Sent};

const PIECES: u64 = 400;

async fn open(path: &Path) -> color_eyre::Result<(SharedBus, OpenReport)> {
    let options = EmbeddedOptions::new(path, Arc::new(SystemClock));
    let bus = tokio::task::spawn_blocking(move || EmbeddedBus::open(options)).await??;
    let report = bus.opened().clone();
    Ok((Arc::new(bus), report))
}

/// Pieces that a store still has, by number.
async fn kept(bus: &SharedBus) -> color_eyre::Result<BTreeSet<u64>> {
    Ok(work::stored(&**bus).await?.into_keys().filter(|piece| piece.hop == 1).map(|piece| piece.n).collect())
}

/// It works: something new is sent and handled. Closed afterwards in any case.
async fn goes_on(bus: SharedBus) -> color_eyre::Result<()> {
    let rig = Rig::start(&bus, 4, Arc::new(SystemClock));
    let worked = works(&bus).await;
    let said = rig.errors();
    let stopped = rig.stop().await;
    bus.close().await;
    worked.wrap_err_with(|| format!("{said:?}"))?;
    stopped
}

async fn works(bus: &SharedBus) -> color_eyre::Result<()> {
    let sender = work::sender(bus, Arc::new(SystemClock), Duration::from_secs(3));
    let errors = work::send_all(&sender, [Piece::first(9_999, Kind::Plain)], &mut Sent::default()).await;
    ensure!(errors.is_empty(), "{errors:?}");
    work::settle(&**bus, Duration::from_secs(5)).await.map_err(Report::msg)?;
    let counts = work::counts_at(&**bus, 2).await?;
    let times = counts.get(&9_999).copied().unwrap_or(0);
    ensure!(times >= 1, "not handled: {counts:?}");
    let doubled: Vec<_> = counts.iter().filter(|(n, count)| **n < PIECES && **count != 1).collect();
    ensure!(doubled.is_empty(), "handled twice: {doubled:?}");
    Ok(())
}

/// A store that was killed while it was written to: its file and its log, as the kill left them.
async fn killed_store(folder: &Path) -> color_eyre::Result<Sent> {
    let path = folder.join("bus.db");
    let orders = Orders {
        store: Store::Embedded { path: path.clone() },
        job: Job::Script { pieces: PIECES, die_at: Some(2_000), report: folder.join("report.json") },
        host: "host".to_owned(),
        slots: 4,
        stale_ms: Some(500),
        seed: None,
        log: folder.join("worker.log"),
    };
    let mut worker = Worker::start(&orders)?;
    let status = worker.wait(Duration::from_secs(40)).await.map_err(Report::msg)?;
    ensure!(!status.success(), "the worker was to die\n{}", worker.log());
    Ok(Sent { said: (0..PIECES).map(|n| Piece::first(n, Kind::Plain)).collect(), ..Sent::default() })
}

fn copy(from: &Path, to: &Path) -> color_eyre::Result<()> {
    fs::create_dir_all(to)?;
    for name in ["bus.db", "bus.db-wal"] {
        fs::copy(from.join(name), to.join(name))?;
    }
    Ok(())
}

/// The log is cut off at any byte, or its end is overwritten.
pub(crate) async fn log_cut_off(run: Run) -> color_eyre::Result<()> {
    let folder = tempfile::tempdir()?;
    killed_store(folder.path()).await?;
    let whole = folder.path().join("whole");
    copy(folder.path(), &whole)?;
    let (bus, report) = open(&whole.join("bus.db")).await?;
    let all = kept(&bus).await?;
    ensure!(report.salvaged.is_none(), "a kill is no damage: {report:?}");
    bus.close().await;
    ensure!(all.len() > 20, "hardly anything was written: {all:?}");
    let mut rng = fastrand::Rng::with_seed(run.seed);
    let length = fs::metadata(folder.path().join("bus.db-wal"))?.len();
    ensure!(length > 10_000, "a log of {length} bytes");
    let (mut said, mut lost) = (0, 0);
    for attempt in 0..8 {
        let torn = folder.path().join(format!("torn{attempt}"));
        copy(folder.path(), &torn)?;
        let log = OpenOptions::new().write(true).open(torn.join("bus.db-wal"))?;
        let at = if attempt == 0 { length - 5 } else { rng.u64(0..length) };
        if attempt % 2 == 0 {
            log.set_len(at)?;
        } else {
            (&log).seek(SeekFrom::Start(at))?;
            (&log).write_all(&[0xa5; 64])?;
        }
        drop(log);
        let (bus, report) = open(&torn.join("bus.db")).await?;
        let left = kept(&bus).await?;
        // Nothing in the middle is missing: what is left is the beginning.
        let beginning = left.iter().zip(&all).all(|(left, all)| left == all);
        ensure!(beginning && left.len() <= all.len(), "attempt {attempt}, byte {at}: {left:?}");
        let sentences = report.sentences();
        ensure!(
            !sentences.is_empty() || left.len() == all.len(),
            "{} pieces were lost in silence (byte {at} of {length})",
            all.len() - left.len()
        );
        said += usize::from(!sentences.is_empty());
        lost += all.len() - left.len();
        goes_on(bus).await?;
    }
    println!("       8 torn logs: {said} said so, {lost} sends of {} lost from the ends", 8 * all.len());
    ensure!(said > 0, "nothing was ever torn: this test has tested nothing");
    Ok(())
}

/// A store that was closed in order, all of it in the file; returns the pieces that were sent.
async fn closed_store(path: &Path) -> color_eyre::Result<()> {
    let (bus, _) = open(path).await?;
    let sender = work::sender(&bus, Arc::new(SystemClock), Duration::from_secs(5));
    let pieces = (0..PIECES).map(|n| Piece::first(n, Kind::Plain));
    let errors = work::send_all(&sender, pieces, &mut Sent::default()).await;
    ensure!(errors.is_empty(), "{errors:?}");
    bus.close().await;
    drop((sender, bus));
    let log = fs::metadata(path.with_extension("db-wal")).map_or(0, |log| log.len());
    ensure!(log == 0, "a log of {log} bytes is left by an orderly end");
    Ok(())
}

/// Opens a damaged store and sends something; where that meets the damage, once more after opening it again.
async fn recovers(name: &str, path: &Path) -> color_eyre::Result<u64> {
    let mut refusals = Vec::new();
    for _ in 0..3 {
        let (bus, report) = open(path).await?;
        let left = kept(&bus).await;
        let sentences = report.sentences();
        let shown: String = sentences.join(" ").chars().take(300).collect();
        println!("       {name}: {:?} of {PIECES} sends kept. {shown}", left.as_ref().map(BTreeSet::len).ok());
        if let Some(salvage) = &report.salvaged {
            ensure!(salvage.moved_to.exists(), "the damaged file is gone");
        }
        let result = match left {
            Ok(left) => {
                let lost = PIECES - left.iter().filter(|n| **n < PIECES).count() as u64;
                ensure!(
                    lost == 0 || !(sentences.is_empty() && refusals.is_empty()),
                    "{lost} sends were lost in silence"
                );
                goes_on(bus).await.map(|()| PIECES - lost)
            }
            Err(refusal) => {
                bus.close().await;
                Err(refusal)
            }
        };
        match result {
            Ok(left) => return Ok(left),
            // A damage that shows later: it is said, and mended at the next start.
            Err(refusal) => {
                println!("       {name}: {}", format!("{refusal:#}").chars().take(300).collect::<String>());
                refusals.push(format!("{refusal:#}"));
            }
        }
    }
    Err(Report::msg(format!("{name}: it never recovers: {refusals:?}")))
}

/// Bytes of the file itself are overwritten, or its end is gone.
pub(crate) async fn file_overwritten(run: Run) -> color_eyre::Result<()> {
    let folder = tempfile::tempdir()?;
    let whole = folder.path().join("bus.db");
    closed_store(&whole).await?;
    let mut rng = fastrand::Rng::with_seed(run.seed);
    let mut kept = Vec::new();
    for (name, pages) in
        [("no header", 0), ("nine tenths", 0), ("nonsense", 0), ("1 page", 1), ("1 page", 1), ("8 pages", 8)]
    {
        let path = folder.path().join(format!("damaged{}.db", kept.len()));
        fs::copy(&whole, &path)?;
        let file = OpenOptions::new().write(true).open(&path)?;
        let length = file.metadata()?.len();
        match name {
            "no header" => (&file).write_all(&[0x5a; 64])?,
            "nine tenths" => file.set_len(length / 10 * 9)?,
            "nonsense" => {
                file.set_len(0)?;
                (&file).write_all(&vec![0x11; 10_000])?;
            }
            _ => {
                for _ in 0..pages {
                    (&file).seek(SeekFrom::Start(rng.u64(1..length / 4096) * 4096))?;
                    (&file).write_all(&[0xff; 4096])?;
                }
            }
        }
        drop(file);
        kept.push(recovers(name, &path).await?);
    }
    ensure!(kept[1] > 0, "nothing was saved of a file without its end");
    Ok(())
}
