//! What a commit promises, said by a real server.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use fullsend::bus::{
    Bus, BusError, Commit, EntryId, Expect, GroupFound, Key, LeaseFence, Op, Outcome, Range, Refusal, State,
    StateChange, Timer, Ttl, Want,
};
use fullsend::contracts::ChannelName;

use crate::redis_server::{RedisServer, Settings};
use crate::{
    CHANNEL, GROUP, ONE, PATIENCE, add, append, at, change, committed, connect, field, message, message_on, one,
    pending, reader,
};

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

/// What was done out of order is not done again when somebody deletes the group: the watermark knows it.
#[tokio::test]
async fn a_deleted_group_goes_on_after_what_was_done_out_of_order() {
    let server = RedisServer::fleeting();
    let bus = connect(&server).await;
    bus.ensure_group(CHANNEL, GROUP).await.unwrap();
    let (first, second) = (committed(&bus, append(1)).await, committed(&bus, append(2)).await);
    let both = Want { start: 2, ahead: 0 };
    assert_eq!(bus.read(&reader("a"), &[CHANNEL], both, PATIENCE).await.unwrap().len(), 2);
    let destroy = || {
        let destroyed: i64 = redis::cmd("XGROUP")
            .arg(&["DESTROY", "fullsend:metrics:stream", GROUP])
            .query(&mut server.connection())
            .unwrap();
        assert_eq!(destroyed, 1);
    };
    let done = |id| Commit { acknowledge: vec![pending(id)], ..Commit::default() };
    assert!(matches!(one(&bus, done(second)).await, Outcome::Committed(_)));
    assert!(matches!(one(&bus, done(first)).await, Outcome::Committed(_)));
    destroy();
    assert_eq!(bus.ensure_group(CHANNEL, GROUP).await, Ok(GroupFound::Resumed(second)));
    assert!(bus.read(&reader("a"), &[CHANNEL], both, Duration::ZERO).await.unwrap().is_empty());

    // While an older one is to be done still, nothing newer may be passed over.
    let third = committed(&bus, append(3)).await;
    let fourth = committed(&bus, append(4)).await;
    assert_eq!(bus.read(&reader("a"), &[CHANNEL], both, PATIENCE).await.unwrap().len(), 2);
    assert!(matches!(one(&bus, done(fourth)).await, Outcome::Committed(_)));
    destroy();
    bus.ensure_group(CHANNEL, GROUP).await.unwrap();
    let again = bus.read(&reader("a"), &[CHANNEL], both, PATIENCE).await.unwrap();
    assert_eq!(again.iter().map(|claimed| claimed.entry.id).collect::<Vec<_>>(), [third, fourth]);
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
    let mut committed = HashMap::new();
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
    let under = |fence: &LeaseFence| Commit { under: Some(fence.clone()), ..append(1) };
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
