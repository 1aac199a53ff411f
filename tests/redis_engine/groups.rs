//! Groups, and what is pending in them.

use std::time::Duration;

use fullsend::bus::waiting::{Waiting, waiting};
use fullsend::bus::{Bus, BusError, Commit, GroupFound, Op, Outcome, SharedBus, Want};
use fullsend::contracts::ChannelName;

use crate::redis_server::RedisServer;
use crate::{
    CHANNEL, GROUP, ONE, PATIENCE, STREAM, append, blocked, committed, connect, message_on, one, pending, reader,
};

#[tokio::test]
async fn a_group_deleted_by_hand_is_said_and_resumes() {
    let server = RedisServer::fleeting();
    let bus = connect(&server).await;
    bus.ensure_group(CHANNEL, GROUP).await.unwrap();
    assert_eq!(bus.ensure_group(CHANNEL, GROUP).await, Ok(GroupFound::Existing));
    let first = committed(&bus, append(1)).await;
    let second = committed(&bus, append(2)).await;
    let third = committed(&bus, append(3)).await;
    let want = Want { start: 3, ahead: 0 };
    bus.read(&reader("a"), &[CHANNEL], want, PATIENCE).await.unwrap();
    let done = |id| Commit { acknowledge: vec![pending(id)], ..Commit::default() };
    committed(&bus, done(first)).await;
    committed(&bus, done(third)).await;

    let waiting = {
        let bus = bus.clone();
        tokio::spawn(async move { bus.read(&reader("a"), &[CHANNEL], ONE, PATIENCE).await })
    };
    blocked(&server, 1).await;
    server.run(&["XGROUP", "DESTROY", STREAM, GROUP]);
    let gone = BusError::NoGroup { channel: CHANNEL, group: GROUP.to_owned() };
    assert_eq!(waiting.await.unwrap(), Err(gone.clone()));
    assert_eq!(bus.own_pending(&reader("a"), &[CHANNEL], 9).await, Err(gone));
    assert_eq!(one(&bus, done(second)).await, Outcome::NotPending);

    let GroupFound::Resumed(mark) = bus.ensure_group(CHANNEL, GROUP).await.unwrap() else {
        panic!("it was there before")
    };
    assert!(mark >= first && mark < second);
    let again = bus.read(&reader("a"), &[CHANNEL], want, PATIENCE).await.unwrap();
    assert_eq!(again.iter().map(|one| one.entry.id).collect::<Vec<_>>(), [second, third]);
}

#[tokio::test]
async fn after_flushall_everything_is_new() {
    let server = RedisServer::fleeting();
    let bus = connect(&server).await;
    bus.ensure_group(CHANNEL, GROUP).await.unwrap();
    let id = committed(&bus, append(1)).await;
    bus.read(&reader("a"), &[CHANNEL], ONE, PATIENCE).await.unwrap();
    server.run(&["FLUSHALL"]);
    let read = bus.read(&reader("a"), &[CHANNEL], ONE, Duration::ZERO).await;
    assert!(matches!(read, Err(BusError::NoGroup { .. })));
    let late = Commit { acknowledge: vec![pending(id)], ..append(2) };
    assert_eq!(one(&bus, late).await, Outcome::NotPending);
    assert_eq!(bus.ensure_group(CHANNEL, GROUP).await, Ok(GroupFound::Created));
    let id = committed(&bus, append(3)).await;
    let read = bus.read(&reader("a"), &[CHANNEL], ONE, PATIENCE).await.unwrap();
    assert_eq!(read[0].entry.id, id);
}

#[tokio::test]
async fn a_dropped_read_leaves_its_message_pending_at_most() {
    let server = RedisServer::fleeting();
    let bus = connect(&server).await;
    bus.ensure_group(CHANNEL, GROUP).await.unwrap();
    let waiting = {
        let bus = bus.clone();
        tokio::spawn(async move { bus.read(&reader("a"), &[CHANNEL], ONE, PATIENCE).await })
    };
    blocked(&server, 1).await;
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    blocked(&server, 0).await;
    let id = committed(&bus, append(1)).await;
    let read = bus.read(&reader("a"), &[CHANNEL], ONE, PATIENCE).await.unwrap();
    assert_eq!(read[0].entry.id, id);
}

#[tokio::test]
async fn attempts_are_counted_by_starts_and_not_by_reads() {
    let server = RedisServer::fleeting();
    let bus = connect(&server).await;
    bus.ensure_group(CHANNEL, GROUP).await.unwrap();
    bus.ensure_group(ChannelName::Alerts, GROUP).await.unwrap();
    let first = committed(&bus, append(1)).await;
    let second = committed(&bus, append(2)).await;
    let third = committed(&bus, append(3)).await;
    let channels = [CHANNEL, ChannelName::Alerts];
    let want = Want { start: 1, ahead: 2 };
    let read = bus.read(&reader("a"), &channels, want, PATIENCE).await.unwrap();
    assert_eq!(read.iter().map(|one| one.attempt).collect::<Vec<_>>(), [1, 0, 0]);
    assert_eq!((read[0].entry.id, read[2].entry.id), (first, third));
    let start = |consumer: &str, attempt| {
        Commit::of(vec![Op::Start { pending: pending(third), consumer: consumer.to_owned(), attempt }])
    };
    assert_eq!(one(&bus, start("b", 1)).await, Outcome::NotPending);
    committed(&bus, start("a", 1)).await;
    let own = bus.own_pending(&reader("a"), &channels, 9).await.unwrap().claimed;
    assert_eq!(own.iter().map(|one| one.attempt).collect::<Vec<_>>(), [1, 0, 1]);
    let held = [(CHANNEL, third)];
    assert_eq!(bus.extend(&reader("b"), &held).await.unwrap(), held);
    assert_eq!(bus.extend(&reader("a"), &held).await.unwrap(), []);
    let nobody = bus.claim_stale(&reader("b"), &channels, PATIENCE, 9).await.unwrap();
    assert_eq!(nobody.claimed, []);
    bus.release(&reader("a"), &held).await.unwrap();
    let taken = bus.claim_stale(&reader("b"), &channels, PATIENCE, 9).await.unwrap().claimed;
    assert_eq!(taken.len(), 1);
    assert_eq!((taken[0].entry.id, taken[0].attempt), (third, 1));
    // What was deleted by somebody is said, and no longer pending.
    server.run(&["XDEL", STREAM, &first.to_string()]);
    let own = bus.own_pending(&reader("a"), &channels, 9).await.unwrap();
    assert_eq!(own.vanished, [(CHANNEL, first)]);
    assert_eq!(bus.inspect(CHANNEL).await.unwrap().groups[0].oldest_pending, Some(second));
}

#[tokio::test]
async fn a_window_is_filled_without_starting_anything() {
    let server = RedisServer::fleeting();
    let bus = connect(&server).await;
    bus.ensure_group(CHANNEL, GROUP).await.unwrap();
    let waiting = {
        let bus = bus.clone();
        let want = Want { start: 0, ahead: 3 };
        tokio::spawn(async move { bus.read(&reader("a"), &[CHANNEL], want, PATIENCE).await })
    };
    blocked(&server, 1).await;
    let id = committed(&bus, append(1)).await;
    let read = waiting.await.unwrap().unwrap();
    assert_eq!((read[0].entry.id, read[0].attempt), (id, 0));
}

#[tokio::test]
async fn a_busy_channel_does_not_starve_another() {
    let server = RedisServer::fleeting();
    let bus = connect(&server).await;
    let channels = [CHANNEL, ChannelName::Alerts];
    for channel in channels {
        bus.ensure_group(channel, GROUP).await.unwrap();
    }
    bus.commit((0..20).map(append).collect()).await.unwrap();
    committed(&bus, Commit::of(vec![Op::Append(message_on(ChannelName::Alerts, 99))])).await;
    let mut seen = Vec::new();
    for _ in 0..2 {
        seen.extend(bus.read(&reader("a"), &channels, ONE, PATIENCE).await.unwrap());
    }
    assert!(seen.iter().any(|one| one.entry.channel == ChannelName::Alerts), "{seen:?}");
    assert!(seen.iter().all(|one| one.attempt == 1));
    // Of several channels together, exactly as many are started as may be.
    let want = Want { start: 2, ahead: 100 };
    let rest = bus.read(&reader("a"), &channels, want, PATIENCE).await.unwrap();
    // Each of the first two may have brought one of either channel.
    assert_eq!(rest.len() + seen.len(), 21);
    assert_eq!(rest.iter().map(|one| one.attempt).sum::<u32>(), 2);
}

#[tokio::test]
async fn what_waits_is_counted_where_the_server_cannot_tell() {
    let server = RedisServer::fleeting();
    let bus: SharedBus = connect(&server).await;
    bus.ensure_group(CHANNEL, GROUP).await.unwrap();
    bus.commit((0..5).map(append).collect()).await.unwrap();
    bus.read(&reader("a"), &[CHANNEL], Want { start: 2, ahead: 0 }, PATIENCE).await.unwrap();
    let second = bus.inspect(CHANNEL).await.unwrap().groups[0].last_delivered;
    // Made again in the middle of the stream: the server no longer knows how many it has read.
    server.run(&["XGROUP", "DESTROY", STREAM, GROUP]);
    server.run(&["XGROUP", "CREATE", STREAM, GROUP, &second.to_string()]);
    let group = bus.inspect(CHANNEL).await.unwrap().groups.remove(0);
    assert_eq!((group.lag, group.idle), (None, None), "else this test shows nothing");
    assert_eq!(waiting(&bus, CHANNEL, &group).await, Ok(Waiting { count: 3, or_more: false }));
}
