//! No room: what is sent meets a clear error, nothing is lost, and all goes on when there is room again.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use color_eyre::eyre::{Report, bail, ensure};
use fullsend::bus::embedded::{EmbeddedBus, EmbeddedOptions};
use fullsend::bus::{Draft, Level, SharedBus};
use fullsend::contracts::SystemClock;
use fullsend::contracts::messages::{EchoRequest, Echoes};
use fullsend::contracts::wiring::ECHO;

use crate::Run;
use crate::process::Store;
use crate::redis_server::{RedisServer, Settings};
use crate::rig::{Rig, eventually};
use crate::work::{self, Kind, Piece, Sent};

async fn start(server: &RedisServer) -> color_eyre::Result<(SharedBus, Rig)> {
    let store = Store::Redis { url: server.url(), prefix: String::new() };
    let bus = store.open(Arc::new(SystemClock), None).await?;
    let rig = Rig::start(&bus, 4, Arc::new(SystemClock));
    Ok((bus, rig))
}

async fn send(bus: &SharedBus, numbers: std::ops::Range<u64>, patience: u64, sent: &mut Sent) -> Vec<String> {
    let sender = work::sender(bus, Arc::new(SystemClock), Duration::from_secs(patience));
    work::send_all(&sender, numbers.map(|n| Piece::first(n, Kind::Plain)), sent).await
}

/// Ten good ones; one that is refused with `word`; room is made while another waits; ten more.
async fn through_a_refusal(
    bus: &SharedBus,
    rig: Rig,
    word: &str,
    refuse: impl AsyncFn() -> color_eyre::Result<()>,
    heal: impl AsyncFn() -> color_eyre::Result<()>,
) -> color_eyre::Result<()> {
    let mut sent = Sent::default();
    let errors = send(bus, 0..10, 5, &mut sent).await;
    ensure!(errors.is_empty(), "{errors:?}");
    refuse().await?;
    let errors = send(bus, 10..11, 1, &mut sent).await;
    ensure!(errors.iter().any(|text| text.contains("takes no writes") && text.contains(word)), "not clear: {errors:?}");
    let health = bus.health().await?;
    let waiting = tokio::spawn({
        let (bus, mut late) = (Arc::clone(bus), Sent::default());
        async move {
            let errors = send(&bus, 11..12, 20, &mut late).await;
            (errors, late)
        }
    });
    heal().await?;
    let (errors, late) = waiting.await?;
    ensure!(errors.is_empty(), "the patient one: {errors:?}");
    sent.said.extend(late.said);
    let errors = send(bus, 20..30, 10, &mut sent).await;
    ensure!(errors.is_empty(), "after it: {errors:?}");
    work::settle(&**bus, Duration::from_secs(20)).await.map_err(Report::msg)?;
    let wrong = work::audit(&**bus, &sent).await?;
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    ensure!(rig.errors().is_empty(), "the consumer ended: {:?}", rig.errors());
    let worst = health.findings.iter().map(|finding| finding.level).max();
    ensure!(worst >= Some(Level::Warning), "health saw nothing: {health:?}");
    rig.stop().await
}

/// MISCONF: the last snapshot failed, so the server takes no writes.
pub(crate) async fn redis_cannot_save(_run: Run) -> color_eyre::Result<()> {
    let more = ["--save", "3600 1000000"].map(str::to_owned).to_vec();
    let server = RedisServer::start(Settings { durable: Some("everysec"), more, ..Settings::default() });
    let (bus, rig) = start(&server).await?;
    let snapshot = server.path("dump.rdb");
    let saved = async |status: &str| {
        server.run(&["BGSAVE"]);
        eventually("the snapshot is tried", async || {
            let redis::Value::BulkString(info) = server.run(&["INFO", "persistence"]) else { bail!("no INFO") };
            let info = String::from_utf8_lossy(&info).into_owned();
            let ended = info.contains("rdb_bgsave_in_progress:0");
            Ok(ended && info.contains(&format!("rdb_last_bgsave_status:{status}")))
        })
        .await
    };
    let refuse = async || {
        // A folder that is not empty stands where the file belongs: that fails for every user.
        fs::create_dir_all(snapshot.join("x"))?;
        saved("err").await
    };
    let heal = async || {
        fs::remove_dir_all(&snapshot)?;
        saved("ok").await
    };
    through_a_refusal(&bus, rig, "MISCONF", refuse, heal).await
}

/// OOM: `maxmemory` is reached and nothing may be thrown away.
pub(crate) async fn redis_memory_is_full(_run: Run) -> color_eyre::Result<()> {
    let server = RedisServer::durable();
    let (bus, rig) = start(&server).await?;
    let limit = async |bytes: &str| {
        server.run(&["CONFIG", "SET", "maxmemory", bytes]);
        Ok(())
    };
    through_a_refusal(&bus, rig, "maxmemory", async || limit("1000").await, async || limit("0").await).await
}

/// A server that would throw keys away is named by `health`, with the fix.
pub(crate) async fn redis_would_evict(_run: Run) -> color_eyre::Result<()> {
    let more = ["--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru"].map(str::to_owned).to_vec();
    let server = RedisServer::start(Settings { durable: Some("everysec"), more, ..Settings::default() });
    let (bus, rig) = start(&server).await?;
    let health = bus.health().await?;
    let named = health.findings.iter().any(|finding| {
        finding.level == Level::Error && finding.what.contains("allkeys-lru") && finding.fix.contains("noeviction")
    });
    ensure!(named, "{health:?}");
    rig.stop().await
}

/// A small disk of its own.
struct SmallDisk {
    folder: tempfile::TempDir,
}

impl SmallDisk {
    /// None where this user may not mount one.
    fn mount(mebibytes: u32) -> color_eyre::Result<Option<Self>> {
        let folder = tempfile::tempdir()?;
        let size = format!("size={mebibytes}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "none"]).arg(folder.path()).output();
        match mounted {
            Ok(done) if done.status.success() => Ok(Some(Self { folder })),
            other => {
                println!("       NOT TESTED: a small disk cannot be mounted by this user ({other:?})");
                Ok(None)
            }
        }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }

    /// Fills it up to the last byte.
    fn fill(&self) -> color_eyre::Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).open(self.ballast())?;
        for size in [64 * 1024, 4096, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
        Ok(())
    }

    fn free(&self) -> color_eyre::Result<()> {
        Ok(fs::remove_file(self.ballast())?)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a server that is just being killed may still have a file open.
        let _ = Command::new("umount").arg("-l").arg(self.path()).output();
    }
}

/// ENOSPC under the append-only file.
pub(crate) async fn redis_disk_is_full(_run: Run) -> color_eyre::Result<()> {
    let Some(disk) = SmallDisk::mount(8)? else { return Ok(()) };
    let more = vec!["--dir".to_owned(), disk.path().display().to_string()];
    let server = RedisServer::start(Settings { durable: Some("everysec"), more, ..Settings::default() });
    let (bus, rig) = start(&server).await?;
    let refuse = async || {
        disk.fill()?;
        // The server finds out when it writes what it has already taken, which it keeps in memory until there is room.
        eventually("the server notices", async || {
            let redis::Value::BulkString(info) = server.run(&["INFO", "persistence"]) else { bail!("no INFO") };
            let _: Result<(), redis::RedisError> =
                redis::cmd("SET").arg("somebody").arg("x".repeat(20_000)).query(&mut server.connection());
            Ok(String::from_utf8_lossy(&info).contains("aof_last_write_status:err"))
        })
        .await
    };
    through_a_refusal(&bus, rig, "MISCONF", refuse, async || disk.free()).await
}

/// Fills the store with large messages until it says no; returns what it said.
async fn fill_store(bus: &SharedBus) -> color_eyre::Result<String> {
    let sender = work::sender(bus, Arc::new(SystemClock), Duration::from_millis(200));
    for _ in 0..2_000 {
        let large = Echoes::from(EchoRequest { text: "x".repeat(100_000) });
        if let Err(err) = sender.send(ECHO, Draft::new(large)).await {
            return Ok(err.to_string());
        }
    }
    bail!("the store never became full")
}

/// ENOSPC under the embedded store.
pub(crate) async fn embedded_disk_is_full(_run: Run) -> color_eyre::Result<()> {
    let Some(disk) = SmallDisk::mount(16)? else { return Ok(()) };
    let store = Store::Embedded { path: disk.path().join("bus.db") };
    let bus = store.open(Arc::new(SystemClock), None).await?;
    let rig = Rig::start(&bus, 4, Arc::new(SystemClock));
    through_a_refusal(&bus, rig, "", async || disk.fill(), async || disk.free()).await?;
    bus.close().await;
    let bus = store.open(Arc::new(SystemClock), None).await?;
    let counts = work::counts_at(&*bus, 2).await?;
    ensure!(counts.len() >= 21, "gone after it was opened again: {counts:?}");
    bus.close().await;
    Ok(())
}

/// The file may not grow: what cannot be kept is refused, what was taken stays.
pub(crate) async fn embedded_pages_are_used_up(_run: Run) -> color_eyre::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("bus.db");
    let options = EmbeddedOptions { max_pages: Some(400), ..EmbeddedOptions::new(&path, Arc::new(SystemClock)) };
    let bus: SharedBus = Arc::new(tokio::task::spawn_blocking(move || EmbeddedBus::open(options)).await??);
    let mut sent = Sent::default();
    let errors = send(&bus, 0..10, 5, &mut sent).await;
    ensure!(errors.is_empty(), "{errors:?}");
    let refusal = fill_store(&bus).await?;
    ensure!(refusal.contains("takes no writes"), "not clear: {refusal}");
    bus.close().await;
    drop(bus);
    // With room again, everything that was taken is handled.
    let bus = Store::Embedded { path }.open(Arc::new(SystemClock), None).await?;
    let rig = Rig::start(&bus, 4, Arc::new(SystemClock));
    work::settle(&*bus, Duration::from_secs(30)).await.map_err(Report::msg)?;
    let counts = work::counts_at(&*bus, 2).await?;
    ensure!((0..10).all(|n| counts.get(&n) == Some(&1)), "{counts:?}");
    ensure!(rig.errors().is_empty(), "{:?}", rig.errors());
    rig.stop().await?;
    bus.close().await;
    Ok(())
}
