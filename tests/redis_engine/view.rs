//! History, listening, trimming and scanning.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::TimeDelta;
use fullsend::bus::{Bound, Bus, Commit, EntryId, Expect, Op, Outcome, Outgoing, Range, Want};
use fullsend::contracts::ChannelName;

use crate::redis_server::RedisServer;
use crate::{CHANNEL, GROUP, PATIENCE, append, at, blocked, change, committed, connect, message, pending, reader};

#[tokio::test]
async fn listeners_hear_bodies_and_notices_until_the_connection_ends() {
    let mut server = RedisServer::fleeting();
    let bus = connect(&server).await;
    let mut listener = bus.listen(&[CHANNEL]).await.unwrap();
    committed(&bus, append(1)).await;
    bus.notify(message(2)).await.unwrap();
    server.run(&["PUBLISH", "fullsend:metrics", r#"{"event":"bare"}"#]);
    let quiet = Outgoing { announce: false, ..message(3) };
    committed(&bus, Commit::of(vec![Op::Append(quiet)])).await;
    server.run(&["PUBLISH", "fullsend:metrics", "no object"]);
    for (envelope, body) in [
        (Some(message(1).envelope), message(1).body),
        (Some(message(2).envelope), message(2).body),
        (None, r#"{"event":"bare"}"#.to_owned()),
        (None, "no object".to_owned()),
    ] {
        let heard = listener.heard.recv().await.unwrap();
        assert_eq!((heard.channel, heard.envelope, heard.body), (CHANNEL, envelope, body));
    }
    server.kill();
    assert_eq!(listener.heard.recv().await, None);
}

#[tokio::test]
async fn a_channel_is_heard_under_its_former_name_too() {
    let server = RedisServer::fleeting();
    let bus = connect(&server).await;
    let mut listener = bus.listen(&[ChannelName::BuilderTasks]).await.unwrap();
    server.run(&["PUBLISH", "fullsend:builder_requests", r#"{"prd":{}}"#]);
    let heard = listener.heard.recv().await.unwrap();
    assert_eq!((heard.channel, heard.body.as_str()), (ChannelName::BuilderTasks, r#"{"prd":{}}"#));
}

#[tokio::test]
async fn watching_and_history() {
    let server = RedisServer::fleeting();
    let bus = connect(&server).await;
    assert_eq!(bus.newest(&[CHANNEL]).await.unwrap(), [(CHANNEL, None)]);
    let waiting = {
        let bus = bus.clone();
        tokio::spawn(async move { bus.watch(&[(CHANNEL, EntryId::ZERO)], 9, PATIENCE).await })
    };
    blocked(&server, 1).await;
    let ids = [committed(&bus, append(1)).await, committed(&bus, append(2)).await, committed(&bus, append(3)).await];
    assert_eq!(waiting.await.unwrap().unwrap()[0].id, ids[0]);
    assert_eq!(bus.newest(&[CHANNEL]).await.unwrap(), [(CHANNEL, Some(ids[2]))]);
    assert_eq!(bus.watch(&[(CHANNEL, ids[2])], 9, Duration::ZERO).await.unwrap(), []);
    let between = Range { from: Bound::Entry(ids[0]), to: Bound::Entry(ids[2]), newest_first: true, limit: 9 };
    let found = bus.range(CHANNEL, between).await.unwrap();
    assert_eq!(found.iter().map(|entry| entry.id).collect::<Vec<_>>(), [ids[1]]);
    let by_time = Range { from: Bound::Time(ids[2].at() + TimeDelta::milliseconds(1)), to: Bound::Open, ..between };
    assert_eq!(bus.range(CHANNEL, by_time).await.unwrap(), []);
}

#[tokio::test]
async fn trimming_stops_before_what_a_group_needs() {
    let server = RedisServer::fleeting();
    let bus = connect(&server).await;
    let ids: Vec<_> = bus
        .commit((0..1_000).map(append).collect())
        .await
        .unwrap()
        .into_iter()
        .map(|outcome| match outcome {
            Outcome::Committed(ids) => ids[0],
            other => panic!("{other:?}"),
        })
        .collect();
    bus.ensure_group(CHANNEL, GROUP).await.unwrap();
    let later = ids[999].at() + TimeDelta::days(1);
    assert_eq!(bus.trim(CHANNEL, later, 0).await, Ok(0));
    let want = Want { start: 500, ahead: 0 };
    let read = bus.read(&reader("a"), &[CHANNEL], want, PATIENCE).await.unwrap();
    let done =
        Commit { acknowledge: read.iter().skip(1).map(|one| pending(one.entry.id)).collect(), ..Commit::default() };
    committed(&bus, done).await;
    assert_eq!(bus.trim(CHANNEL, later, 0).await, Ok(0));
    let first = Commit { acknowledge: vec![pending(ids[0])], ..Commit::default() };
    committed(&bus, first).await;
    assert_eq!(bus.trim(CHANNEL, at(0), 700).await, Ok(300));
    assert_eq!(bus.inspect(CHANNEL).await.unwrap().first, Some(ids[300]));
    assert_eq!(bus.trim(CHANNEL, later, 700).await, Ok(200));
    let info = bus.inspect(CHANNEL).await.unwrap();
    assert_eq!((info.length, info.first, info.last), (500, Some(ids[500]), Some(ids[999])));
    assert_eq!((info.groups[0].pending, info.groups[0].lag), (0, Some(500)));
    assert_eq!(bus.drop_group(CHANNEL, GROUP).await, Ok(true));
    assert_eq!(bus.drop_group(CHANNEL, GROUP).await, Ok(false));
    assert_eq!(bus.drop_group(ChannelName::Echo, GROUP).await, Ok(false));
}

#[tokio::test]
async fn scans_come_in_pages_and_skip_what_is_the_engines_own() {
    let server = RedisServer::fleeting();
    let bus = connect(&server).await;
    let ops = (0..250).map(|n| change(&format!("experiments:{n}"), Expect::Absent, "f", "v")).collect();
    committed(&bus, Commit::of(ops)).await;
    committed(&bus, Commit { once: Some("k".to_owned()), ..append(1) }).await;
    for prefix in ["experiments:", ""] {
        let mut found = BTreeSet::new();
        let mut cursor = None;
        loop {
            let (page, next) = bus.scan(prefix, cursor, 10).await.unwrap();
            assert!(page.len() <= 10 && page.is_sorted());
            found.extend(page);
            match next {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
        assert_eq!(found.len(), 250);
    }
    assert_eq!(bus.scan("nothing:", None, 10).await.unwrap(), (vec![], None));
}
