//! Exports and imports.

use std::sync::Arc;

use fullsend::bus::{
    Bus, BusError, Commit, EntryId, Expect, Key, Op, Outcome, Record, RedisBus, RedisOptions, StateChange, Timer, Want,
};
use tokio::sync::mpsc;

use crate::redis_server::RedisServer;
use crate::{CHANNEL, GROUP, PATIENCE, STREAM, add, at, change, committed, connect, message, one, options, reader};

async fn exported(bus: &Arc<RedisBus>) -> Vec<Record> {
    let (sink, mut records) = mpsc::channel(16);
    let source = bus.clone();
    let export = tokio::spawn(async move { source.export(sink).await });
    let mut all = Vec::new();
    while let Some(record) = records.recv().await {
        all.push(record);
    }
    export.await.unwrap().unwrap();
    all.sort_by_key(|record| format!("{record:?}"));
    all
}

#[tokio::test]
async fn what_is_exported_comes_back_as_it_was() {
    let server = RedisServer::fleeting();
    let bus = connect(&server).await;
    bus.ensure_group(CHANNEL, GROUP).await.unwrap();
    let lease = bus.lease("timers", "a", PATIENCE).await.unwrap().unwrap();
    let state = |key: &str, change| Op::State { key: Key::new(key), change };
    let member = "m".to_owned();
    let unit = Commit {
        once: Some("k".to_owned()),
        under: Some(lease),
        acknowledge: vec![],
        ops: vec![
            Op::Append(message(1)),
            Op::Append(message(2)),
            Op::Append(message(3)),
            change("experiments:a", Expect::Absent, "f", "v"),
            add("counter", 4, None),
            state("l", StateChange::Push { value: "x".to_owned(), keep: 9 }),
            state("s", StateChange::AddMember(member.clone())),
            state("z", StateChange::Score { member, score: 0.1 }),
            state("fullsend:status", StateChange::SetString("running".to_owned())),
            Op::Schedule(Timer { id: "t".to_owned(), at: at(1_772_357_400_123), message: message(7) }),
        ],
    };
    committed(&bus, unit.clone()).await;
    let want = Want { start: 1, ahead: 1 };
    let read = bus.read(&reader("a"), &[CHANNEL], want, PATIENCE).await.unwrap();
    // The newest id ever given is above the newest entry's.
    let newest = bus.newest(&[CHANNEL]).await.unwrap()[0].1.unwrap();
    server.run(&["XDEL", STREAM, &newest.to_string()]);
    let records = exported(&bus).await;
    assert!(records.contains(&Record::Channel { channel: CHANNEL, last: newest }));

    let to = RedisOptions { prefix: "copy:".to_owned(), ..options(server.url()) };
    // Under another prefix of the same server, which also shows that prefixes do not see each other.
    let copy = Arc::new(RedisBus::connect(to).await.unwrap());
    // Entries before their channel, groups before what is pending, as an export has them.
    let mut ordered = records.clone();
    ordered.sort_by_key(|record| match record {
        Record::Entry { id, .. } => (0, *id),
        Record::Channel { .. } => (1, EntryId::ZERO),
        Record::Group { .. } => (2, EntryId::ZERO),
        _ => (3, EntryId::ZERO),
    });
    let (sink, source) = mpsc::channel(ordered.len());
    for record in ordered {
        sink.send(record).await.unwrap();
    }
    drop(sink);
    assert_eq!(copy.import(source).await, Ok(records.len() as u64));
    let copied = exported(&copy).await;
    // Times to live are only as exact as the time between.
    let timeless = |records: Vec<Record>| -> Vec<Record> {
        records
            .into_iter()
            .map(|record| match record {
                Record::Once { key, entries, .. } => Record::Once { key, entries, expires_at: at(0) },
                other => other,
            })
            .collect()
    };
    assert_eq!(timeless(copied), timeless(records));
    let own = copy.own_pending(&reader("a"), &[CHANNEL], 9).await.unwrap().claimed;
    assert_eq!(
        own.iter().map(|one| (one.entry.id, one.attempt)).collect::<Vec<_>>(),
        [(read[0].entry.id, 1), (read[1].entry.id, 0)]
    );
    let again = Commit { under: None, ..unit };
    assert!(matches!(one(&copy, again).await, Outcome::Duplicate(ids) if ids.len() == 3));
    let (_sink, source) = mpsc::channel(1);
    assert!(matches!(copy.import(source).await, Err(BusError::NotEmpty(_))));
}
