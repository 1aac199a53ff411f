//! A worker killed in the middle of 4,000 messages, everything by default: how long until another has its work?

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use color_eyre::eyre::{Report, ensure};
use fullsend::bus::{Bus, EntryId, Key, Record};
use fullsend::contracts::{ChannelName, Clock as _, SystemClock};
use tokio::sync::mpsc;

use crate::Run;
use crate::chaos::quick_folder;
use crate::process::{Job, Orders, Store, Worker};
use crate::redis_server::RedisServer;
use crate::work::{self, Kind, Piece, Sent};

const MESSAGES: u64 = 4_000;

pub(crate) async fn redis(_run: Run) -> color_eyre::Result<()> {
    let server = RedisServer::durable();
    take_over(Store::Redis { url: server.url(), prefix: String::new() }).await
}

pub(crate) async fn embedded(_run: Run) -> color_eyre::Result<()> {
    let folder = quick_folder();
    take_over(Store::Embedded { path: folder.path().join("bus.db") }).await
}

async fn take_over(store: Store) -> color_eyre::Result<()> {
    let folder = tempfile::tempdir()?;
    let bus = store.open_patiently(None).await?;
    let mut sent = Sent::default();
    let sender = work::sender(&bus, Arc::new(SystemClock), Duration::from_secs(10));
    let pieces = (0..MESSAGES).map(|n| Piece { hop: 2, ..Piece::first(n, Kind::Plain) });
    for chunk in pieces.collect::<Vec<_>>().chunks(64) {
        let mut accounts = vec![Sent::default(); chunk.len()];
        let sends = chunk.iter().zip(&mut accounts).map(|(piece, sent)| work::send_all(&sender, [*piece], sent));
        let errors: Vec<String> = futures::future::join_all(sends).await.concat();
        ensure!(errors.is_empty(), "{errors:?}");
        for account in accounts {
            sent.said.extend(account.said);
        }
    }
    let orders = |host: &str| Orders {
        store: store.clone(),
        job: Job::Handle { pace_ms: 10, signs: true },
        host: host.to_owned(),
        slots: 8,
        stale_ms: None,
        seed: None,
        log: folder.path().join(format!("{host}.log")),
    };
    let (mut victim, heir) = (Worker::start(&orders("victim"))?, Worker::start(&orders("heir"))?);
    // In the middle: a quarter is done.
    loop {
        if let Some((group, Some(_))) = work::group(&*bus).await?
            && MESSAGES.saturating_sub(group.pending + group.lag.unwrap_or(MESSAGES)) > MESSAGES / 4
        {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let killed_at = SystemClock.now().timestamp_millis();
    victim.kill()?;
    let orphans = held_by(&*bus, "victim").await?;
    ensure!(!orphans.is_empty(), "the victim held nothing when it was killed: this test has tested nothing");
    work::settle(&*bus, Duration::from_mins(1)).await.map_err(|left| Report::msg(format!("{left}\n{}", heir.log())))?;
    let late = taken_over_after(&*bus, &orphans, killed_at).await?;
    let (first, last) = (late.first().copied().unwrap_or_default(), late.last().copied().unwrap_or_default());
    println!(
        "       {} messages of the killed worker handled by the other {:.2} to {:.2} s after the kill (goal: 3 s)",
        orphans.len(),
        first.as_secs_f64(),
        last.as_secs_f64()
    );
    ensure!(late.len() == orphans.len(), "{} of {} orphans are signed", late.len(), orphans.len());
    ensure!(last <= Duration::from_secs(10), "taken over after {last:?}");
    // Sent at the last hop: counted once there, and not passed on.
    let counts = work::counts_at(&*bus, 2).await?;
    let missing = sent.said.iter().filter(|piece| !counts.contains_key(&piece.n)).count();
    let doubled = counts.values().filter(|count| **count != 1).count();
    println!("       {missing} lost, {doubled} doubled of {MESSAGES}");
    ensure!(missing == 0 && doubled == 0 && counts.len() as u64 == MESSAGES, "{missing} lost, {doubled} doubled");
    heir.stop().await.map_err(Report::msg)
}

/// The entries that the consumers of a host hold.
async fn held_by(bus: &dyn Bus, host: &str) -> color_eyre::Result<BTreeSet<EntryId>> {
    let (sink, mut exported) = mpsc::channel(256);
    let collect = async {
        let mut held = BTreeSet::new();
        while let Some(one) = exported.recv().await {
            if let Record::Pending { channel: ChannelName::Echo, consumer, id, .. } = one
                && consumer.contains(host)
            {
                held.insert(id);
            }
        }
        held
    };
    let (done, held) = tokio::join!(bus.export(sink), collect);
    done?;
    Ok(held)
}

/// How long after the kill each orphan was handled, in order.
async fn taken_over_after(
    bus: &dyn Bus,
    orphans: &BTreeSet<EntryId>,
    killed_at: i64,
) -> color_eyre::Result<Vec<Duration>> {
    let mut late = Vec::new();
    for shard in 0..work::SHARDS {
        let state = bus.get(&Key::new(format!("faults:signed:{shard}"))).await?;
        for (entry, signature) in
            state.iter().filter_map(|state| state.document()).flat_map(|document| &document.fields)
        {
            if orphans.contains(&entry.parse()?)
                && let Some((_, at)) = signature.rsplit_once(' ')
            {
                late.push(Duration::from_millis(u64::try_from(at.parse::<i64>()? - killed_at)?));
            }
        }
    }
    late.sort_unstable();
    Ok(late)
}
