//! The wall clock jumps by an hour, both ways, while messages flow.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use color_eyre::eyre::{Report, ensure};
use fullsend::contracts::{ChannelName, Clock, SystemClock};

use crate::Run;
use crate::process::Store;
use crate::redis_server::RedisServer;
use crate::rig::Rig;
use crate::work::{self, Kind, Piece, Sent};

/// The machine's clock, set wrong.
#[derive(Debug, Default)]
struct Jumping {
    seconds: AtomicI64,
}

impl Clock for Jumping {
    fn now(&self) -> DateTime<Utc> {
        SystemClock.now() + TimeDelta::seconds(self.seconds.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        SystemClock.monotonic()
    }

    fn boot(&self) -> String {
        SystemClock.boot()
    }
}

pub(crate) async fn embedded_clock_jumps(run: Run) -> color_eyre::Result<()> {
    let folder = tempfile::tempdir()?;
    jump(run, &Store::Embedded { path: folder.path().join("bus.db") }).await
}

/// Ids are the server's here, and Redis keeps them ascending by itself; what jumps is everything on our side.
pub(crate) async fn redis_clock_jumps(run: Run) -> color_eyre::Result<()> {
    let server = RedisServer::durable();
    jump(run, &Store::Redis { url: server.url(), prefix: String::new() }).await
}

async fn jump(run: Run, store: &Store) -> color_eyre::Result<()> {
    let clock = Arc::new(Jumping::default());
    let bus = store.open(Arc::<Jumping>::clone(&clock), None).await?;
    let rig = Rig::start(&bus, 4, Arc::<Jumping>::clone(&clock));
    let sender = work::sender(&bus, Arc::<Jumping>::clone(&clock), Duration::from_secs(10));
    let mut rng = fastrand::Rng::with_seed(run.seed);
    let (mut sent, mut n) = (Sent::default(), 0);
    for hours in [0, 1, -1, 0, -1, 1, 0] {
        clock.seconds.store(hours * 3_600, Ordering::SeqCst);
        let pieces = n..n + rng.u64(10..30);
        n = pieces.end;
        let errors = work::send_all(&sender, pieces.map(|n| Piece::first(n, Kind::Plain)), &mut sent).await;
        ensure!(errors.is_empty(), "{errors:?}");
    }
    work::settle(&*bus, Duration::from_secs(20)).await.map_err(Report::msg)?;
    let wrong = work::audit(&*bus, &sent).await?;
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    let ids: Vec<_> = work::entries(&*bus, ChannelName::Echo).await?.iter().map(|entry| entry.id).collect();
    ensure!(ids.len() as u64 == 2 * n && ids.is_sorted_by(|a, b| a < b), "ids do not ascend: {ids:?}");
    ensure!(rig.errors().is_empty(), "{:?}", rig.errors());
    rig.stop().await?;
    bus.close().await;
    Ok(())
}
