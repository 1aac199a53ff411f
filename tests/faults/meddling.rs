//! What somebody does to a Redis server by hand, while the work goes on.

use std::sync::Arc;
use std::time::Duration;

use color_eyre::eyre::{Report, ensure};
use fullsend::bus::Key;
use fullsend::bus::SharedBus;
use fullsend::contracts::messages::Alerts;
use fullsend::contracts::{Body as _, ChannelName, SystemClock};

use crate::Run;
use crate::process::Store;
use crate::redis_server::RedisServer;
use crate::rig::{Rig, eventually};
use crate::work::{self, Kind, Piece, Sent};

const STREAM: &str = "fullsend:echo:stream";

async fn start(slots: usize) -> color_eyre::Result<(RedisServer, SharedBus, Rig)> {
    let server = RedisServer::durable();
    let store = Store::Redis { url: server.url(), prefix: String::new() };
    let bus = store.open(Arc::new(SystemClock), None).await?;
    let rig = Rig::start(&bus, slots, Arc::new(SystemClock));
    Ok((server, bus, rig))
}

/// Sends plain pieces and expects every send to be taken.
async fn send(bus: &SharedBus, numbers: std::ops::Range<u64>, sent: &mut Sent) -> color_eyre::Result<()> {
    let sender = work::sender(bus, Arc::new(SystemClock), Duration::from_secs(10));
    let errors = work::send_all(&sender, numbers.map(|n| Piece::first(n, Kind::Plain)), sent).await;
    ensure!(errors.is_empty(), "{errors:?}");
    Ok(())
}

async fn finish(bus: &SharedBus, rig: Rig, sent: &Sent) -> color_eyre::Result<()> {
    work::settle(&**bus, Duration::from_secs(15)).await.map_err(Report::msg)?;
    let wrong = work::audit(&**bus, sent).await?;
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    rig.stop().await
}

async fn alerts(bus: &SharedBus) -> color_eyre::Result<Vec<String>> {
    let entries = work::entries(&**bus, ChannelName::Alerts).await?;
    let mut ids = Vec::new();
    for entry in entries {
        if let Alerts::Triggered(alert) = Alerts::read(&entry.b)? {
            ids.push(format!("{}: {}", alert.alert_id, alert.message));
        }
    }
    Ok(ids)
}

/// Everything is gone; what comes afterwards is handled.
pub(crate) async fn flushall(_run: Run) -> color_eyre::Result<()> {
    let (server, bus, rig) = start(4).await?;
    let mut before = Sent::default();
    send(&bus, 0..20, &mut before).await?;
    work::settle(&*bus, Duration::from_secs(15)).await.map_err(Report::msg)?;
    server.run(&["FLUSHALL"]);
    let mut after = Sent::default();
    send(&bus, 100..150, &mut after).await?;
    eventually("the group is there again", async || Ok(work::group(&*bus).await?.is_some())).await?;
    let lost = async || Ok(alerts(&bus).await?.iter().any(|alert| alert.starts_with("data-lost: ")));
    eventually("it is said that the server lost its data", lost).await?;
    ensure!(rig.errors().is_empty(), "{:?}", rig.errors());
    finish(&bus, rig, &after).await
}

/// The server forgets its scripts; they are loaded again.
pub(crate) async fn script_flush(_run: Run) -> color_eyre::Result<()> {
    let (server, bus, rig) = start(4).await?;
    let mut sent = Sent::default();
    for round in 0..30 {
        server.run(&["SCRIPT", "FLUSH"]);
        send(&bus, round * 5..round * 5 + 5, &mut sent).await?;
    }
    ensure!(rig.errors().is_empty(), "{:?}", rig.errors());
    finish(&bus, rig, &sent).await
}

/// The group is deleted again and again; it goes on where it was, and says so.
pub(crate) async fn group_deleted(_run: Run) -> color_eyre::Result<()> {
    // One slot: in order, so that no message after the mark was handled before.
    let (server, bus, rig) = start(1).await?;
    let mut sent = Sent::default();
    for round in 0..6 {
        send(&bus, round * 10..round * 10 + 10, &mut sent).await?;
        server.run(&["XGROUP", "DESTROY", STREAM, work::GROUP]);
        send(&bus, 1_000 + round..1_001 + round, &mut sent).await?;
        eventually("the group is there again", async || Ok(work::group(&*bus).await?.is_some())).await?;
    }
    ensure!(rig.errors().is_empty(), "{:?}", rig.errors());
    let said = alerts(&bus).await?;
    ensure!(said.iter().any(|alert| alert.contains("had been deleted")), "nobody was told: {said:?}");
    finish(&bus, rig, &sent).await
}

/// Somebody moves the stream away and puts a text there; when it is back, nothing is missing.
pub(crate) async fn foreign_type_under_the_stream(_run: Run) -> color_eyre::Result<()> {
    let (server, bus, rig) = start(4).await?;
    let mut sent = Sent::default();
    send(&bus, 0..30, &mut sent).await?;
    server.run(&["RENAME", STREAM, "aside"]);
    server.run(&["SET", STREAM, "mine"]);
    let sender = work::sender(&bus, Arc::new(SystemClock), Duration::from_secs(2));
    let errors = work::send_all(&sender, [Piece::first(900, Kind::Plain)], &mut Sent::default()).await;
    let clear = |text: &String| text.contains(STREAM) && text.contains("a stream belongs there");
    ensure!(errors.iter().any(clear), "not clear: {errors:?}");
    eventually("the consumer says why it cannot work", async || Ok(rig.errors().iter().any(clear))).await?;
    ensure!(rig.errors().iter().all(clear), "not clear: {:?}", rig.errors());
    server.run(&["DEL", STREAM]);
    server.run(&["RENAMENX", "aside", STREAM]);
    send(&bus, 30..60, &mut sent).await?;
    finish(&bus, rig, &sent).await
}

/// A list stands where a counter belongs: that work is given up with the reason, the other goes on.
pub(crate) async fn foreign_type_under_a_document(_run: Run) -> color_eyre::Result<()> {
    let (server, bus, rig) = start(4).await?;
    server.run(&["RPUSH", "faults:shard:5", "mine"]);
    let mut sent = Sent::default();
    send(&bus, 0..16, &mut sent).await?;
    eventually("a dead letter", async || Ok(!work::dead_letters(&*bus).await?.is_empty())).await?;
    work::settle(&*bus, Duration::from_secs(15)).await.map_err(Report::msg)?;
    let dead = work::dead_letters(&*bus).await?;
    let [(Some(piece), reason)] = dead.as_slice() else {
        return Err(Report::msg(format!("one dead letter was expected: {dead:?}")));
    };
    ensure!(piece.n == 5 && piece.hop == 1, "{piece}");
    ensure!(reason.contains("faults:shard:5") && reason.contains("list"), "not clear: {reason}");
    let counts = work::counts_at_but(&*bus, 2, 5).await?;
    ensure!((0..16).all(|n| n == 5 || counts.get(&n) == Some(&1)), "{counts:?}");
    // What is foreign to all of us can only be seen, not read.
    server.run(&["SETBIT", "faults:bits", "7", "1"]);
    server.run(&["XADD", "faults:stream", "*", "a", "b"]);
    let read = bus.get(&Key::new("faults:stream")).await;
    ensure!(read.as_ref().is_err_and(|err| err.to_string().contains("faults:stream")), "{read:?}");
    ensure!(rig.errors().is_empty(), "{:?}", rig.errors());
    rig.stop().await
}

/// Somebody adds an entry with the highest id there is: the stream takes no more. Nothing is half done because of that.
pub(crate) async fn ids_used_up(_run: Run) -> color_eyre::Result<()> {
    let server = RedisServer::durable();
    let store = Store::Redis { url: server.url(), prefix: String::new() };
    let bus = store.open(Arc::new(SystemClock), None).await?;
    let mut sent = Sent::default();
    send(&bus, 0..5, &mut sent).await?;
    let highest = format!("{0}-{0}", u64::MAX);
    server.run(&["XADD", STREAM, &highest, "foo", "bar"]);
    let sender = work::sender(&bus, Arc::new(SystemClock), Duration::from_secs(2));
    let errors = work::send_all(&sender, [Piece::first(900, Kind::Plain)], &mut Sent::default()).await;
    ensure!(errors.iter().any(|text| text.contains(STREAM) && text.contains("XSETID")), "not clear: {errors:?}");
    // Each piece is passed on, on the stream that takes nothing: none may be counted, and each is kept as a dead letter.
    let rig = Rig::start(&bus, 2, Arc::new(SystemClock));
    eventually("all are given up", async || Ok(work::dead_letters(&*bus).await?.len() == 6)).await?;
    work::settle(&*bus, Duration::from_secs(15)).await.map_err(Report::msg)?;
    let counts = work::counts_at(&*bus, 1).await?;
    ensure!(counts.is_empty(), "half done: {counts:?}");
    let dead = work::dead_letters(&*bus).await?;
    let kept: std::collections::BTreeSet<Piece> = dead.iter().filter_map(|(piece, _)| *piece).collect();
    ensure!(kept == sent.said, "not all are kept: {dead:?}");
    ensure!(rig.errors().is_empty(), "{:?}", rig.errors());
    rig.stop().await
}
