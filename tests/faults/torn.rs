//! A damaged embedded file: it opens, says what is wrong with it, and at most its end is lost.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use color_eyre::eyre::{Report, ensure};
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

/// It works: something new is sent and handled.
async fn goes_on(bus: SharedBus) -> color_eyre::Result<()> {
    let rig = Rig::start(&bus, 4, Arc::new(SystemClock));
    let sender = work::sender(&bus, Arc::new(SystemClock), Duration::from_secs(5));
    let errors = work::send_all(&sender, [Piece::first(9_999, Kind::Plain)], &mut Sent::default()).await;
    ensure!(errors.is_empty(), "{errors:?}");
    work::settle(&*bus, Duration::from_secs(20)).await.map_err(Report::msg)?;
    let counts = work::counts_at(&*bus, 2).await?;
    ensure!(counts.get(&9_999) == Some(&1), "not handled: {counts:?}");
    let doubled: Vec<_> = counts.iter().filter(|(_, count)| **count != 1).collect();
    ensure!(doubled.is_empty(), "handled twice: {doubled:?}");
    rig.stop().await?;
    bus.close().await;
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

/// Bytes of the file itself are overwritten, or its end is gone.
pub(crate) async fn file_overwritten(run: Run) -> color_eyre::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("bus.db");
    let (bus, _) = open(&path).await?;
    let mut sent = Sent::default();
    let sender = work::sender(&bus, Arc::new(SystemClock), Duration::from_secs(5));
    let pieces = (0..PIECES).map(|n| Piece::first(n, Kind::Plain));
    let errors = work::send_all(&sender, pieces, &mut sent).await;
    ensure!(errors.is_empty(), "{errors:?}");
    bus.close().await;
    drop(bus);
    let mut rng = fastrand::Rng::with_seed(run.seed);
    for attempt in 0..4 {
        let damaged = folder.path().join(format!("damaged{attempt}"));
        fs::create_dir_all(&damaged)?;
        fs::copy(&path, damaged.join("bus.db"))?;
        let log = folder.path().join("bus.db-wal");
        if log.exists() {
            fs::copy(&log, damaged.join("bus.db-wal"))?;
        }
        let file = OpenOptions::new().write(true).open(damaged.join("bus.db"))?;
        let length = file.metadata()?.len();
        match attempt {
            // The first bytes: it is no longer a store at all.
            0 => (&file).write_all(&[0x5a; 64])?,
            // Its end is gone.
            1 => file.set_len(length / 2)?,
            // Nothing but nonsense is left.
            2 => {
                file.set_len(0)?;
                (&file).write_all(&vec![0x11; 10_000])?;
            }
            _ => {
                (&file).seek(SeekFrom::Start(rng.u64(100..4_000)))?;
                (&file).write_all(&[0xff; 900])?;
            }
        }
        drop(file);
        let (bus, report) = open(&damaged.join("bus.db")).await?;
        let left = kept(&bus).await?.len() as u64;
        let sentences = report.sentences();
        println!("       damage {attempt}: {left} of {PIECES} sends kept; {}", sentences.join(" "));
        ensure!(left == PIECES || !sentences.is_empty(), "{} sends were lost in silence", PIECES - left);
        if let Some(salvage) = &report.salvaged {
            ensure!(salvage.moved_to.exists(), "the damaged file is gone");
        }
        goes_on(bus).await?;
    }
    Ok(())
}
