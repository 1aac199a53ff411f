//! The Redis engine against a real server: what the conformance suite cannot ask of every engine.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

#[path = "support/redis_server.rs"]
mod redis_server;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use fullsend::bus::{
    Bound, Bus, BusError, Commit, EntryId, Expect, GroupFound, Key, Level, Op, Outcome, Outgoing, PendingRef, Range,
    Reader, Record, RedisBus, RedisOptions, Refusal, State, StateChange, Timer, Ttl, Want,
};
use fullsend::contracts::{ChannelName, Envelope, Ids, Priority, SystemClock, Trust};
use redis_server::{RedisServer, Settings, Transport};
use tokio::sync::mpsc;

const CHANNEL: ChannelName = ChannelName::Metrics;
const STREAM: &str = "fullsend:metrics:stream";
const GROUP: &str = "redis_agent";
const ONE: Want = Want { start: 1, ahead: 0 };
/// Longer than any machine needs; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

fn options(url: impl Into<String>) -> RedisOptions {
    RedisOptions::new(url, Arc::new(SystemClock))
}

async fn connect(server: &RedisServer) -> Arc<RedisBus> {
    Arc::new(RedisBus::connect(options(server.url())).await.unwrap())
}

fn at(ms: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(ms).unwrap()
}

fn message(n: u64) -> Outgoing {
    message_on(CHANNEL, n)
}

fn message_on(channel: ChannelName, n: u64) -> Outgoing {
    let at = at(1_772_357_400_000);
    let id = Ids::seeded(n).message(at);
    let envelope = Envelope {
        id,
        kind: "run_started".into(),
        v: 1,
        source: "executor".into(),
        at,
        trace: id.into(),
        cause: None,
        subject: None,
        priority: Priority::Medium,
        trust: Trust::System,
        expires_at: None,
    };
    Outgoing::new(channel, envelope, format!(r#"{{"event":"run_started","n":{n}}}"#)).unwrap()
}

fn reader(consumer: &str) -> Reader {
    Reader { group: GROUP.to_owned(), consumer: consumer.to_owned() }
}

fn pending(entry: EntryId) -> PendingRef {
    PendingRef { channel: CHANNEL, group: GROUP.to_owned(), entry }
}

fn append(n: u64) -> Commit {
    Commit::of(vec![Op::Append(message(n))])
}

fn change(key: &str, expect: Expect, field: &str, value: &str) -> Op {
    Op::Change { key: Key::new(key), expect, fields: vec![(field.to_owned(), Some(value.to_owned()))], ttl: Ttl::Keep }
}

fn add(key: &str, n: i64, ceiling: Option<i64>) -> Op {
    Op::Add { key: Key::new(key), field: "n".to_owned(), n, ceiling }
}

async fn one(bus: &RedisBus, commit: Commit) -> Outcome {
    bus.commit(vec![commit]).await.unwrap().remove(0)
}

async fn committed(bus: &RedisBus, commit: Commit) -> EntryId {
    match one(bus, commit).await {
        Outcome::Committed(ids) => ids.first().copied().unwrap_or_default(),
        other => panic!("{other:?}"),
    }
}

async fn field(bus: &RedisBus, key: &str, field: &str) -> Option<String> {
    let state = bus.get(&Key::new(key)).await.unwrap()?;
    state.document()?.get(field).map(str::to_owned)
}

#[tokio::test]
async fn the_first_commit_wins_and_a_loser_writes_nothing() {
    let server = RedisServer::fleeting();
    let bus = connect(&server).await;
    assert_eq!(bus.ensure_group(CHANNEL, GROUP).await, Ok(GroupFound::Created));
    let id = committed(&bus, append(1)).await;
    let read = bus.read(&reader("a"), &[CHANNEL], ONE, PATIENCE).await.unwrap();
    assert_eq!((read[0].entry.id, read[0].attempt), (id, 1));
    assert_eq!(read[0].entry.message().unwrap().envelope, message(1).envelope);

    let effects = Commit {
        acknowledge: vec![pending(id)],
        ops: vec![Op::Append(message(2)), change("experiments:a", Expect::Absent, "state", "live")],
        ..Commit::default()
    };
    let outcomes = bus.commit(vec![effects.clone(), effects]).await.unwrap();
    assert!(matches!(&outcomes[0], Outcome::Committed(ids) if ids.len() == 1));
    assert_eq!(outcomes[1], Outcome::NotPending);
    assert_eq!(bus.inspect(CHANNEL).await.unwrap().length, 2);
    // The watermark has come to what was acknowledged.
    let mark: String = redis::cmd("HGET")
        .arg(&["bus:progress", "fullsend:metrics|redis_agent"])
        .query(&mut server.connection())
        .unwrap();
    assert_eq!(mark, id.to_string());
}

#[tokio::test]
async fn checks_see_what_earlier_steps_of_the_unit_will_have_done() {
    let server = RedisServer::fleeting();
    let bus = connect(&server).await;
    let unit = Commit::of(vec![
        change("d", Expect::Absent, "n", "4"),
        change("d", Expect::Version(1), "x", "1"),
        add("d", 3, Some(7)),
        Op::Delete { key: Key::new("e"), expect: Expect::Absent },
    ]);
    committed(&bus, unit).await;
    assert_eq!(field(&bus, "d", "n").await.as_deref(), Some("7"));
    let unit = Commit::of(vec![add("d", -2, None), add("d", 3, Some(7)), Op::Append(message(1))]);
    let refused = Outcome::Ceiling { key: Key::new("d"), field: "n".to_owned(), value: 5 };
    assert_eq!(one(&bus, unit).await, refused);
    assert_eq!(field(&bus, "d", "n").await.as_deref(), Some("7"));
    let gone = Op::Delete { key: Key::new("d"), expect: Expect::Version(2) };
    committed(&bus, Commit::of(vec![gone, change("d", Expect::Absent, "y", "1")])).await;
    let Some(State::Hash(document)) = bus.get(&Key::new("d")).await.unwrap() else { panic!() };
    assert_eq!((document.version, document.fields.len()), (1, 1));
    let stale = Commit::of(vec![change("d", Expect::Version(7), "y", "2")]);
    let conflict = Outcome::Conflict { key: Key::new("d"), found: Some(1) };
    assert_eq!(one(&bus, stale).await, conflict);
}

#[tokio::test]
async fn counters_are_whole_numbers_of_64_bits() {
    let server = RedisServer::fleeting();
    let bus = connect(&server).await;
    let mut value = 0_i64;
    for n in [i64::MAX - 1, 1, -1, i64::MIN + 2, -1, 999_999_999, 1, -2_000_000_000, 5] {
        let Some(sum) = value.checked_add(n) else { panic!("the test itself overflows") };
        committed(&bus, Commit::of(vec![add("c", n, Some(sum))])).await;
        if sum < i64::MAX {
            // One lower a ceiling, and it would not have fitted.
            let refused = one(&bus, Commit::of(vec![add("c", 1, Some(sum))])).await;
            assert!(matches!(refused, Outcome::Ceiling { value, .. } if value == sum), "{refused:?} at {sum}");
        }
        value = sum;
        assert_eq!(field(&bus, "c", "n").await, Some(value.to_string()));
    }
    committed(&bus, Commit::of(vec![add("max", i64::MAX, None), add("min", i64::MIN, None)])).await;
    for (key, n) in [("max", 1), ("min", -1)] {
        let refused = one(&bus, Commit::of(vec![Op::Append(message(1)), add(key, n, None)])).await;
        assert!(matches!(refused, Outcome::Refused(Refusal::NotANumber { .. })), "{refused:?}");
    }
    committed(&bus, Commit::of(vec![change("max", Expect::Any, "n", "007")])).await;
    let refused = one(&bus, Commit::of(vec![add("max", 1, None)])).await;
    assert!(matches!(refused, Outcome::Refused(Refusal::NotANumber { .. })));
    assert_eq!(bus.inspect(CHANNEL).await.unwrap().length, 0);
}

#[tokio::test]
async fn a_foreign_type_refuses_its_unit_only() {
    let server = RedisServer::fleeting();
    let bus = connect(&server).await;
    server.run(&["SET", "experiments:a", "text"]);
    server.run(&["SET", "fullsend:alerts:stream", "text"]);
    let push =
        |key: &str| Op::State { key: Key::new(key), change: StateChange::Push { value: "v".to_owned(), keep: 2 } };
    let units = vec![
        Commit::of(vec![Op::Append(message(1)), change("experiments:a", Expect::Any, "f", "v")]),
        Commit::of(vec![push("l"), push("l"), push("l")]),
        Commit::of(vec![push("x"), Op::Append(message_on(ChannelName::Alerts, 1))]),
    ];
    let outcomes = bus.commit(units).await.unwrap();
    for (outcome, key, wanted) in
        [(&outcomes[0], "experiments:a", "hash"), (&outcomes[2], "fullsend:alerts:stream", "stream")]
    {
        let refusal =
            Refusal::ForeignType { key: key.to_owned(), found: "string".to_owned(), wanted: wanted.to_owned() };
        assert_eq!(*outcome, Outcome::Refused(refusal));
    }
    let list = State::List(vec!["v".to_owned(); 2]);
    assert_eq!(bus.get(&Key::new("l")).await.unwrap(), Some(list));
    assert_eq!(bus.get(&Key::new("x")).await.unwrap(), None);
    assert_eq!(bus.inspect(CHANNEL).await.unwrap().length, 0);
    for error in [
        bus.ensure_group(ChannelName::Alerts, "g").await.unwrap_err(),
        bus.range(ChannelName::Alerts, Range::newest(1)).await.unwrap_err(),
        bus.inspect(ChannelName::Alerts).await.unwrap_err(),
    ] {
        assert!(matches!(error, BusError::ForeignType { key, .. } if key.ends_with("alerts:stream")));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_of_many_tasks_share_calls_and_keep_their_own_answers() {
    let server = RedisServer::fleeting();
    let bus = connect(&server).await;
    server.run(&["CONFIG", "RESETSTAT"]);
    let tasks: Vec<_> = (0..300)
        .map(|n| {
            let bus = bus.clone();
            tokio::spawn(async move {
                let unit = Commit { once: Some(format!("k{}", n / 2)), ..append(n) };
                bus.commit(vec![unit]).await.unwrap().remove(0)
            })
        })
        .collect();
    let mut committed = std::collections::HashMap::new();
    let mut duplicates = Vec::new();
    for (n, task) in (0_u64..).zip(tasks) {
        match task.await.unwrap() {
            Outcome::Committed(ids) => assert_eq!(committed.insert(n / 2, ids), None),
            Outcome::Duplicate(ids) => duplicates.push((n / 2, ids)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((committed.len(), duplicates.len()), (150, 150));
    for (key, ids) in duplicates {
        assert_eq!(committed[&key], ids);
        let entry = &bus.range(CHANNEL, Range::after(EntryId::ZERO, 1_000)).await.unwrap();
        let body = &entry.iter().find(|entry| entry.id == ids[0]).unwrap().b;
        let n: u64 = body.rsplit(':').next().unwrap().trim_end_matches('}').parse().unwrap();
        assert_eq!(n / 2, key);
    }
    let stats: String = redis::cmd("INFO").arg("commandstats").query(&mut server.connection()).unwrap();
    let calls = stats.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls=")).unwrap();
    let calls: u64 = calls.split(',').next().unwrap().parse().unwrap();
    assert!(calls < 500, "{calls} calls of scripts, 150 of them for the ranges");
}

#[tokio::test]
async fn a_large_commit_goes_in_several_calls_in_order() {
    let server = RedisServer::fleeting();
    let bus = connect(&server).await;
    let outcomes = bus.commit((0..200).map(append).collect()).await.unwrap();
    let ids: Vec<_> = outcomes
        .into_iter()
        .map(|outcome| match outcome {
            Outcome::Committed(ids) => ids[0],
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(ids.is_sorted());
    let entries = bus.range(CHANNEL, Range::after(EntryId::ZERO, 500)).await.unwrap();
    let bodies: Vec<_> = entries.iter().map(|entry| entry.b.clone()).collect();
    assert_eq!(bodies, (0..200).map(|n| message(n).body).collect::<Vec<_>>());
}

#[tokio::test]
async fn forgotten_scripts_are_loaded_again() {
    let server = RedisServer::fleeting();
    let bus = connect(&server).await;
    committed(&bus, append(1)).await;
    server.run(&["SCRIPT", "FLUSH"]);
    committed(&bus, append(2)).await;
    assert_eq!(bus.inspect(CHANNEL).await.unwrap().length, 2);
}

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

/// Waits until so many clients wait inside the server.
async fn blocked(server: &RedisServer, count: u32) {
    let mut connection = server.connection();
    let wanted = format!("blocked_clients:{count}\r");
    loop {
        let info: String = redis::cmd("INFO").arg("clients").query(&mut connection).unwrap();
        if info.lines().any(|line| line.trim_end() == wanted.trim_end()) {
            return;
        }
        tokio::task::yield_now().await;
    }
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
async fn a_full_memory_refuses_whole_units() {
    let server = RedisServer::fleeting();
    let bus = connect(&server).await;
    bus.ensure_group(CHANNEL, GROUP).await.unwrap();
    let id = committed(&bus, append(1)).await;
    bus.read(&reader("a"), &[CHANNEL], ONE, PATIENCE).await.unwrap();
    server.run(&["CONFIG", "SET", "maxmemory", "1"]);
    let unit = Commit {
        once: Some("k".to_owned()),
        acknowledge: vec![pending(id)],
        ops: vec![change("d", Expect::Absent, "f", "v"), Op::Append(message(2))],
        ..Commit::default()
    };
    // The unit begins with a write that a full memory does not refuse by itself: the acknowledgement. Either all of it
    // happens, or nothing.
    let whole = bus.commit(vec![unit.clone()]).await;
    let refused = bus.commit(vec![append(3)]).await.unwrap_err();
    assert!(matches!(&refused, BusError::ReadOnly { fix, .. } if fix.contains("maxmemory")), "{refused:?}");
    assert!(!refused.unknown_outcome());
    let health = bus.health().await.unwrap();
    assert!(health.findings.iter().any(|finding| finding.what.contains("memory")), "{health:?}");
    server.run(&["CONFIG", "SET", "maxmemory", "0"]);
    let length = bus.inspect(CHANNEL).await.unwrap().length;
    match whole {
        Ok(outcomes) => {
            assert!(matches!(outcomes[0], Outcome::Committed(_)));
            assert_eq!((length, field(&bus, "d", "f").await.as_deref()), (2, Some("v")));
            assert!(matches!(one(&bus, unit).await, Outcome::Duplicate(_)));
        }
        Err(error) => {
            assert!(matches!(error, BusError::ReadOnly { .. }));
            assert_eq!((length, field(&bus, "d", "f").await), (1, None));
            assert!(matches!(one(&bus, unit).await, Outcome::Committed(_)));
        }
    }
}

#[tokio::test]
async fn a_server_that_cannot_save_takes_no_writes_and_says_what_to_do() {
    let server = RedisServer::start(Settings {
        more: vec!["--dbfilename".to_owned(), "taken.rdb".to_owned()],
        ..Settings::default()
    });
    let bus = connect(&server).await;
    committed(&bus, append(1)).await;
    // The snapshot cannot be written where its name is a folder; from then on the server refuses writes.
    std::fs::create_dir(server.path("taken.rdb")).unwrap();
    server.run(&["CONFIG", "SET", "save", "3600 100000"]);
    server.run(&["BGSAVE"]);
    let mut connection = server.connection();
    loop {
        let info: String = redis::cmd("INFO").arg("persistence").query(&mut connection).unwrap();
        if info.contains("rdb_last_bgsave_status:err") {
            break;
        }
    }
    let unit = Commit::of(vec![change("d", Expect::Absent, "f", "v"), Op::Append(message(2))]);
    let refused = bus.commit(vec![unit.clone()]).await;
    assert!(matches!(&refused, Err(BusError::ReadOnly { fix, .. }) if fix.contains("disk")), "{refused:?}");
    assert!(bus.health().await.unwrap().findings.iter().any(|finding| finding.what.contains("disk")));
    server.run(&["CONFIG", "SET", "save", ""]);
    assert_eq!(bus.inspect(CHANNEL).await.unwrap().length, 1);
    assert_eq!(field(&bus, "d", "f").await, None);
    committed(&bus, unit).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_by_a_kill_of_the_server() {
    let mut server = RedisServer::durable();
    let bus = connect(&server).await;
    bus.ensure_group(CHANNEL, GROUP).await.unwrap();
    let tasks: Vec<_> = (0..8_u64)
        .map(|task| {
            let bus = bus.clone();
            tokio::spawn(async move {
                let mut said = Vec::new();
                for n in 0.. {
                    match bus.commit(vec![append(task * 1_000_000 + n)]).await {
                        Ok(outcomes) => match &outcomes[0] {
                            Outcome::Committed(ids) => said.push(ids[0]),
                            other => panic!("{other:?}"),
                        },
                        Err(error) => {
                            assert!(error.is_passing(), "{error:?}");
                            return said;
                        }
                    }
                }
                said
            })
        })
        .collect();
    while bus.inspect(CHANNEL).await.is_ok_and(|info| info.length < 300) {}
    server.kill();
    let mut said = Vec::new();
    for task in tasks {
        said.extend(task.await.unwrap());
    }
    let down = bus.health().await.unwrap();
    assert!(!down.reachable && down.findings[0].level == Level::Error);
    assert!(matches!(bus.commit(vec![append(1)]).await, Err(BusError::Unreachable(_))));
    server.restart();
    let found = loop {
        match bus.range(CHANNEL, Range::after(EntryId::ZERO, 1_000_000)).await {
            Ok(found) => break found,
            Err(error) => assert!(error.is_passing(), "{error:?}"),
        }
    };
    let found: std::collections::HashSet<_> = found.iter().map(|entry| entry.id).collect();
    assert!(said.len() >= 300);
    assert!(said.iter().all(|id| found.contains(id)), "{} of {} found", found.len(), said.len());
    let read = bus.read(&reader("a"), &[CHANNEL], ONE, PATIENCE).await.unwrap();
    assert_eq!(Some(&read[0].entry.id), found.iter().min());
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
async fn leases_fence_and_timers_fire_once() {
    let server = RedisServer::fleeting();
    let bus = connect(&server).await;
    let ttl = PATIENCE;
    let first = bus.lease("timers", "a", ttl).await.unwrap().unwrap();
    assert_eq!(bus.lease("timers", "a", ttl).await.unwrap(), Some(first.clone()));
    assert_eq!(bus.lease("timers", "b", ttl).await.unwrap(), None);
    bus.unlease("timers", "b").await.unwrap();
    assert_eq!(bus.lease("timers", "b", ttl).await.unwrap(), None);
    bus.unlease("timers", "a").await.unwrap();
    let second = bus.lease("timers", "b", ttl).await.unwrap().unwrap();
    assert!(second.number > first.number);
    let under = |fence: &fullsend::bus::LeaseFence| Commit { under: Some(fence.clone()), ..append(1) };
    assert_eq!(one(&bus, under(&first)).await, Outcome::Fenced);
    committed(&bus, under(&second)).await;

    let timer = |id: &str, ms| Op::Schedule(Timer { id: id.to_owned(), at: at(ms), message: message(9) });
    let cancel = Op::Cancel { timer: "c".to_owned() };
    let ops = vec![timer("a", 100), timer("a", 300), timer("b", 200), timer("c", 50), cancel];
    committed(&bus, Commit::of(ops)).await;
    assert_eq!(bus.fire_timers(at(250), 9, &first).await.unwrap(), 0);
    assert_eq!(bus.fire_timers(at(250), 9, &second).await.unwrap(), 1);
    assert_eq!(bus.fire_timers(at(250), 9, &second).await.unwrap(), 0);
    assert_eq!(bus.fire_timers(at(300), 9, &second).await.unwrap(), 1);
    let entries = bus.range(CHANNEL, Range::newest(9)).await.unwrap();
    assert_eq!(entries.len(), 3);
    assert_eq!(entries[0].message().unwrap().envelope, message(9).envelope);
    assert_eq!(entries[0].b, message(9).body);
}

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
async fn a_consumer_goes_on_after_its_server_was_killed_and_started_again() {
    let mut server = RedisServer::durable();
    let bus: fullsend::bus::SharedBus = connect(&server).await;
    let clock: std::sync::Arc<dyn fullsend::contracts::Clock> = std::sync::Arc::new(fullsend::contracts::SystemClock);
    let ids = std::sync::Arc::new(fullsend::contracts::Ids::seeded(5));
    let echo = fullsend::services::echo::Echo::default();
    let options = fullsend::bus::ConsumerOptions::default();
    let consumer = fullsend::bus::Consumer::new(bus.clone(), echo, options, clock.clone(), ids.clone());
    let stop = tokio_util::sync::CancellationToken::new();
    let running = tokio::spawn({
        let stop = stop.clone();
        async move { consumer.run(stop).await }
    });
    let origin = fullsend::bus::Origin::new(clock, ids, fullsend::contracts::Trust::Operator);
    let sender =
        fullsend::bus::Sender::<fullsend::contracts::channel::grants::ControlRoom>::new(bus.clone(), origin, PATIENCE);
    let counter = fullsend::services::echo::Echo::counter(ChannelName::Echo);
    for round in 1..=3 {
        let text = format!("round {round}");
        let request = fullsend::contracts::messages::EchoRequest { text };
        sender
            .send(fullsend::contracts::wiring::ECHO, fullsend::contracts::messages::Echoes::from(request))
            .await
            .unwrap();
        let handled = async {
            loop {
                let state = bus.get(&counter).await.ok().flatten();
                let count = state.and_then(|state| state.document()?.get("handled")?.parse::<u32>().ok());
                if count == Some(round) {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, handled).await.unwrap();
        server.kill();
        server.restart();
    }
    stop.cancel();
    running.await.unwrap().unwrap();
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
        let mut found = std::collections::BTreeSet::new();
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

#[tokio::test]
async fn workspaces_with_prefixes_do_not_meet() {
    let server = RedisServer::fleeting();
    let with = |prefix: &str| RedisOptions { prefix: prefix.to_owned(), ..options(server.url()) };
    let a = Arc::new(RedisBus::connect(with("a:")).await.unwrap());
    let b = RedisBus::connect(with("b:")).await.unwrap();
    let mut heard = a.listen(&[CHANNEL]).await.unwrap().heard;
    committed(&b, Commit::of(vec![Op::Append(message(1)), add("c", 1, None)])).await;
    assert_eq!(a.inspect(CHANNEL).await.unwrap().length, 0);
    assert_eq!(a.get(&Key::new("c")).await.unwrap(), None);
    assert_eq!(b.scan("", None, 9).await.unwrap().0, [Key::new("c")]);
    committed(&a, append(2)).await;
    assert_eq!(heard.recv().await.unwrap().envelope, Some(message(2).envelope));
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query(&mut server.connection()).unwrap();
    assert!(keys.iter().all(|key| key.starts_with("a:") || key.starts_with("b:")), "{keys:?}");
}

#[tokio::test]
async fn users_need_their_permissions_at_once() {
    let server = RedisServer::start(Settings {
        users: vec![
            "good on >secret1 ~w:* &w:* +@all -@dangerous".to_owned(),
            "full on >secret4 ~w:* &w:* +@all -@dangerous +info +config|get".to_owned(),
            "deaf on >secret2 ~w:* resetchannels +@all".to_owned(),
            "poor on >secret3 ~w:* &w:* +@all -xack".to_owned(),
        ],
        ..Settings::default()
    });
    let with =
        |user: &str, password: &str| RedisOptions { prefix: "w:".to_owned(), ..options(server.url_of(user, password)) };
    let bus = Arc::new(RedisBus::connect(with("good", "secret1")).await.unwrap());
    bus.ensure_group(CHANNEL, GROUP).await.unwrap();
    let id = committed(&bus, append(1)).await;
    bus.read(&reader("a"), &[CHANNEL], ONE, PATIENCE).await.unwrap();
    committed(&bus, Commit { acknowledge: vec![pending(id)], ..append(2) }).await;
    let health = bus.health().await.unwrap();
    assert!(health.reachable && health.findings.iter().all(|finding| finding.level == Level::Note), "{health:?}");
    assert!(!format!("{health:?} {bus:?}").contains("secret"));
    // The permissions that the errors advise are enough for everything.
    let full = RedisBus::connect(with("full", "secret4")).await.unwrap();
    let findings = full.health().await.unwrap().findings;
    assert!(findings.iter().all(|finding| finding.what.contains("append-only")), "{findings:?}");
    for (user, password, word) in
        [("deaf", "secret2", "PUBLISH"), ("poor", "secret3", "XACK"), ("good", "secret9", "password")]
    {
        let error = RedisBus::connect(with(user, password)).await.unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(matches!(error, BusError::Unsupported(_)) && text.contains(word), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }
}

#[tokio::test]
async fn a_password_tls_and_a_unix_socket() {
    let server = RedisServer::start(Settings { password: Some("s3cret".to_owned()), ..Settings::default() });
    committed(&*connect(&server).await, append(1)).await;

    let server = RedisServer::start(Settings { transport: Transport::Unix, ..Settings::default() });
    let bus = connect(&server).await;
    committed(&bus, append(1)).await;
    assert!(bus.health().await.unwrap().location.starts_with("unix:///"));

    let server = RedisServer::start(Settings { transport: Transport::Tls, ..Settings::default() });
    let stranger = RedisBus::connect(options(server.url())).await;
    assert!(stranger.is_err(), "its certificate is nobody's");
    let trusting = RedisOptions { ca_file: Some(server.ca_file()), ..options(server.url()) };
    let bus = Arc::new(RedisBus::connect(trusting).await.unwrap());
    let mut heard = bus.listen(&[CHANNEL]).await.unwrap().heard;
    committed(&bus, append(1)).await;
    assert!(heard.recv().await.is_some());
}

#[tokio::test]
async fn a_cluster_a_replica_and_a_newer_store_are_refused() {
    let server = RedisServer::start(Settings {
        more: vec!["--cluster-enabled".to_owned(), "yes".to_owned()],
        ..Settings::default()
    });
    let error = RedisBus::connect(options(server.url())).await.unwrap_err();
    assert!(matches!(&error, BusError::Unsupported(text) if text.contains("cluster")), "{error}");

    let server = RedisServer::fleeting();
    server.run(&["SET", "bus:schema", "2"]);
    let error = RedisBus::connect(options(server.url())).await.unwrap_err();
    assert!(matches!(&error, BusError::Unsupported(text) if text.contains("newer")), "{error}");
    server.run(&["DEL", "bus:schema"]);
    server.run(&["REPLICAOF", "127.0.0.1", "1"]);
    let error = RedisBus::connect(options(server.url())).await.unwrap_err();
    assert!(matches!(error, BusError::ReadOnly { .. }), "{error}");
}

#[tokio::test]
async fn sentinel_is_asked_where_the_master_is() {
    let first = RedisServer::fleeting();
    let second = RedisServer::fleeting();
    let port = first.port().to_string();
    let sentinel = RedisServer::start(Settings {
        sentinel: true,
        more: ["--sentinel", "monitor", "main", "127.0.0.1", &port, "1"].map(str::to_owned).to_vec(),
        ..Settings::default()
    });
    let url = format!("redis+sentinel://127.0.0.1:1,127.0.0.1:{}/main/0", sentinel.port());
    let bus = RedisBus::connect(options(url)).await.unwrap();
    committed(&bus, append(1)).await;
    // Another server becomes the master, and the first is gone.
    let mut asked = sentinel.connection();
    let port = second.port().to_string();
    let _: () = redis::cmd("SENTINEL").arg(&["REMOVE", "main"]).query(&mut asked).unwrap();
    let monitor = ["MONITOR", "main", "127.0.0.1", &port, "1"];
    let _: () = redis::cmd("SENTINEL").arg(&monitor).query(&mut asked).unwrap();
    drop(first);
    while bus.commit(vec![append(2)]).await.is_err() {}
    assert_eq!(bus.inspect(CHANNEL).await.unwrap().length, 1);
    assert_eq!(second.run(&["XLEN", STREAM]), redis::Value::Int(1));
}

#[tokio::test]
async fn a_closed_bus_says_so() {
    let server = RedisServer::fleeting();
    let bus = connect(&server).await;
    bus.ensure_group(CHANNEL, GROUP).await.unwrap();
    let waiting = {
        let bus = bus.clone();
        tokio::spawn(async move { bus.read(&reader("a"), &[CHANNEL], ONE, PATIENCE).await })
    };
    blocked(&server, 1).await;
    bus.close().await;
    assert_eq!(waiting.await.unwrap(), Err(BusError::Closed));
    assert_eq!(bus.commit(vec![append(1)]).await, Err(BusError::Closed));
    blocked(&server, 0).await;
}

#[tokio::test]
async fn no_argument_is_too_large() {
    let server = RedisServer::fleeting();
    let bus = connect(&server).await;
    bus.ensure_group(CHANNEL, GROUP).await.unwrap();
    let id = committed(&bus, append(1)).await;
    let most = Want { start: usize::MAX, ahead: usize::MAX };
    let read = bus.read(&reader("a"), &[CHANNEL], most, Duration::MAX).await.unwrap();
    assert_eq!(read[0].entry.id, id);
    let own = bus.own_pending(&reader("a"), &[CHANNEL], usize::MAX).await.unwrap();
    assert_eq!(own.claimed.len(), 1);
    let stale = bus.claim_stale(&reader("b"), &[CHANNEL], Duration::MAX, usize::MAX).await.unwrap();
    assert_eq!(stale.claimed, []);
    assert_eq!(bus.range(CHANNEL, Range::newest(usize::MAX)).await.unwrap().len(), 1);
    let seen = bus.watch(&[(CHANNEL, EntryId::ZERO)], usize::MAX, Duration::MAX).await.unwrap();
    assert_eq!(seen.len(), 1);
    assert!(bus.lease("l", "o", Duration::MAX).await.unwrap().is_some());
    let long = Op::Change {
        key: Key::new("d"),
        expect: Expect::Absent,
        fields: vec![("f".to_owned(), Some("v".to_owned())), ("version".to_owned(), Some("9".to_owned()))],
        ttl: Ttl::Set(Duration::MAX),
    };
    let unsayable =
        Op::State { key: Key::new("z"), change: StateChange::Score { member: "m".to_owned(), score: f64::NAN } };
    let outcomes = bus
        .commit(vec![Commit::of(vec![change("x", Expect::Any, "f", "v"), unsayable]), Commit::of(vec![long])])
        .await
        .unwrap();
    assert!(matches!(&outcomes[0], Outcome::Refused(Refusal::NotANumber { field, .. }) if field == "m"));
    assert!(matches!(outcomes[1], Outcome::Committed(_)));
    assert_eq!(bus.get(&Key::new("x")).await.unwrap(), None);
    let long_lived = bus.get(&Key::new("d")).await.unwrap().unwrap();
    assert_eq!(long_lived.document().unwrap().version, 1);
    assert_eq!(bus.trim(CHANNEL, DateTime::<Utc>::MIN_UTC, u64::MAX).await, Ok(0));
}

#[tokio::test]
async fn a_silent_server_is_told_from_one_that_is_not_there() {
    let patience = Duration::from_millis(100);
    let impatient = |url: String| RedisOptions { response_timeout: patience, ..options(url) };
    // It takes connections and never says a word.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}/0", silent.local_addr().unwrap());
    let error = RedisBus::connect(impatient(url)).await.unwrap_err();
    assert!(matches!(error, BusError::Unreachable(_)), "{error:?}");

    let server = RedisServer::fleeting();
    let bus = RedisBus::connect(impatient(server.url())).await.unwrap();
    let mut meddler = server.connection();
    let unit = Commit { once: Some("k".to_owned()), ..append(1) };
    let _: () = redis::cmd("CLIENT").arg(&["PAUSE", "600000", "WRITE"]).query(&mut meddler).unwrap();
    let error = bus.commit(vec![unit.clone()]).await.unwrap_err();
    assert!(error.unknown_outcome(), "{error:?}");
    let _: () = redis::cmd("CLIENT").arg("UNPAUSE").query(&mut meddler).unwrap();
    while bus.commit(vec![unit.clone()]).await.is_err() {}
    assert_eq!(bus.inspect(CHANNEL).await.unwrap().length, 1);
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
