//! Commits, announcements, notices, idempotency keys, and all-or-nothing.

use std::sync::atomic::Ordering;

use chrono::TimeDelta;
use fullsend::bus::{Commit, EntryId, Expect, Key, Op, Outcome, Outgoing, Range, Refusal, StateChange, Timer, Ttl};
use fullsend::contracts::body::BODY_LIMIT;
use pretty_assertions::assert_eq;

use crate::stores::Engine;
use crate::tools::*;

pub(crate) async fn ids_ascend_in_the_order_of_appends(engine: &dyn Engine) {
    let store = engine.open().await;
    let mut given = say(&*store.a, WORK, 0..20).await;
    store.pass(SHORT);
    given.extend(done(&*store.b, (20..25).map(|n| append(WORK, n)).collect()).await);
    given.extend(say(&*store.a, WORK, 25..30).await);
    assert!(given.is_sorted_by(|a, b| a < b), "{given:?}");
    let entries = all(&*store.c, WORK).await;
    assert_eq!(numbers(&entries), (0..30).collect::<Vec<_>>());
    assert_eq!(entries.iter().map(|entry| entry.id).collect::<Vec<_>>(), given);
    assert_eq!(entries[7].message().unwrap().envelope, envelope(7));
    assert!(all(&*store.a, OTHER).await.is_empty());
}

pub(crate) async fn ids_ascend_when_the_clock_steps_back(engine: &dyn Engine) {
    let store = engine.open().await;
    let mut given = say(&*store.a, WORK, 0..3).await;
    if let Some(clock) = &store.clock {
        clock.jump(TimeDelta::hours(-2));
    }
    given.extend(say(&*store.b, WORK, 3..6).await);
    assert!(given.is_sorted_by(|a, b| a < b), "{given:?}");
}

pub(crate) async fn an_append_is_announced_with_its_envelope(engine: &dyn Engine) {
    let store = engine.open().await;
    let mut listener = store.b.listen(&[WORK]).await.unwrap();
    say(&*store.a, WORK, [1, 2]).await;
    for n in [1, 2] {
        let heard = hear(&mut listener).await;
        assert_eq!(heard.channel, WORK);
        assert_eq!(heard.envelope, Some(envelope(n)));
        let body: serde_json::Value = serde_json::from_str(&heard.body).unwrap();
        assert_eq!(body, serde_json::json!({ "type": "test", "n": n }));
    }
    assert_eq!(listener.dropped.load(Ordering::SeqCst), 0);
}

pub(crate) async fn a_silent_append_is_not_announced(engine: &dyn Engine) {
    let store = engine.open().await;
    let mut listener = store.b.listen(&[WORK]).await.unwrap();
    let silent = Outgoing { announce: false, ..message(WORK, 1) };
    done(&*store.a, vec![Op::Append(silent), append(WORK, 2)]).await;
    assert_eq!(hear(&mut listener).await.envelope, Some(envelope(2)));
    assert_eq!(numbers(&all(&*store.a, WORK).await), [1, 2]);
}

pub(crate) async fn a_notice_is_heard_and_not_stored(engine: &dyn Engine) {
    let store = engine.open().await;
    let mut mine = store.a.listen(&[NOTICE]).await.unwrap();
    let mut theirs = store.b.listen(&[NOTICE, WORK]).await.unwrap();
    for n in 0..5 {
        store.a.notify(message(NOTICE, n)).await.unwrap();
    }
    for listener in [&mut mine, &mut theirs] {
        for n in 0..5 {
            let heard = hear(listener).await;
            assert_eq!((heard.channel, heard.envelope), (NOTICE, Some(envelope(n))));
            let body: serde_json::Value = serde_json::from_str(&heard.body).unwrap();
            assert_eq!(body, serde_json::json!({ "type": "test", "n": n }));
        }
    }
    assert!(all(&*store.a, NOTICE).await.is_empty());
    assert!(snapshot(&*store.a).await.is_empty());
}

pub(crate) async fn bare_bodies_are_heard(engine: &dyn Engine) {
    let store = engine.open().await;
    let mut listener = store.a.listen(&[WORK]).await.unwrap();
    for payload in [r#"{"event":"email_sent"}"#, "not JSON", "[1]"] {
        if !store.by_hand.publish_bare(WORK, payload).await {
            return;
        }
        let heard = hear(&mut listener).await;
        assert_eq!((heard.channel, heard.envelope), (WORK, None));
        assert_eq!(heard.body, payload);
    }
    assert!(all(&*store.a, WORK).await.is_empty());
}

pub(crate) async fn listeners_hear_only_their_channels(engine: &dyn Engine) {
    let store = engine.open().await;
    let mut listener = store.b.listen(&[OTHER]).await.unwrap();
    say(&*store.a, WORK, [1]).await;
    store.a.notify(message(NOTICE, 2)).await.unwrap();
    say(&*store.a, OTHER, [3]).await;
    assert_eq!(hear(&mut listener).await.channel, OTHER);
}

pub(crate) async fn a_slow_listener_loses_and_is_told_how_many(engine: &dyn Engine) {
    let store = engine.open().await;
    let mut listener = store.b.listen(&[NOTICE]).await.unwrap();
    let mut said = 0_u64;
    // Says more until the queue, whatever its length, has overflown.
    while listener.dropped.load(Ordering::SeqCst) == 0 {
        assert!(said < 200_000, "the queue has no bound");
        for n in said..said + 500 {
            store.a.notify(message(NOTICE, n)).await.unwrap();
        }
        said += 500;
    }
    // What was heard and what was dropped is all that was said.
    eventually("everything said to be heard or counted", async || {
        let there = listener.heard.len() as u64 + listener.dropped.load(Ordering::SeqCst);
        (there == said).then_some(())
    })
    .await;
    assert_eq!(hear(&mut listener).await.envelope, Some(envelope(0)));
}

pub(crate) async fn bodies_survive_byte_for_byte(engine: &dyn Engine) {
    let store = engine.open().await;
    let odd = [
        r#"{"type":"test","text":"nul \u0000 and \u001f"}"#.to_owned(),
        r#"{"type":"test","text":"😀 🇩🇪 👩‍👩‍👧 é ß 漢字 \ud83d\ude00"}"#.to_owned(),
        r#"{ "type" : "test" , "q" : "\"'`\\ $1 %s {} ; DROP TABLE x; --" }"#.to_owned(),
        "{\n\t\"type\":\"test\",\r\n\t\"n\":1.0e2, \"big\":12345678901234567890123\n}\n".to_owned(),
        r#"{"b":1,"a":2,"b":3,"":null}"#.to_owned(),
        "{}".to_owned(),
        format!(r#"{{"type":"test","bulk":"{}"}}"#, "x".repeat(BODY_LIMIT - 25)),
    ];
    assert_eq!(odd[6].len(), BODY_LIMIT);
    let who = reader("g", "a");
    store.a.ensure_group(WORK, &who.group).await.unwrap();
    let ops = odd.iter().map(|body| Op::Append(Outgoing::new(WORK, envelope(1), body.clone()).unwrap()));
    done(&*store.a, ops.collect()).await;
    let e = envelope(1).to_json();
    let same = |entries: Vec<fullsend::bus::Entry>| {
        assert_eq!(entries.len(), odd.len());
        for (entry, body) in entries.iter().zip(&odd) {
            assert!(entry.b == *body, "{} became {}", body, entry.b);
            assert_eq!(entry.e, e);
        }
    };
    same(all(&*store.b, WORK).await);
    let watched = store.b.watch(&[(WORK, EntryId::ZERO)], 100, SHORT).await.unwrap();
    same(watched);
    let read = read(&*store.b, &who, 100).await;
    same(read.into_iter().map(|message| message.entry).collect());
    let held = own(&*store.c, &who).await.claimed;
    same(held.into_iter().map(|message| message.entry).collect());
}

pub(crate) async fn a_used_key_answers_with_the_first_ids(engine: &dyn Engine) {
    let store = engine.open().await;
    let once = |n| Commit {
        once: Some("it's a \"key\"".to_owned()),
        ..Commit::of(vec![append(WORK, n), append(OTHER, n), add("count", 1, None)])
    };
    let Outcome::Committed(first) = commit(&*store.a, once(1)).await else { panic!("not committed") };
    assert_eq!(first.len(), 2);
    assert_eq!(commit(&*store.b, once(2)).await, Outcome::Duplicate(first.clone()));
    // Also within one call.
    let again = store.a.commit(vec![once(3), once(4)]).await.unwrap();
    assert_eq!(again, [Outcome::Duplicate(first.clone()), Outcome::Duplicate(first)]);
    assert_eq!(numbers(&all(&*store.a, WORK).await), [1]);
    assert_eq!(count(&*store.a, "count").await, 1);
    // Without appends, the key counts all the same.
    let bare = Commit { once: Some("other".to_owned()), ..Commit::of(vec![add("count", 1, None)]) };
    assert_eq!(commit(&*store.a, bare.clone()).await, Outcome::Committed(Vec::new()));
    assert_eq!(commit(&*store.a, bare).await, Outcome::Duplicate(Vec::new()));
    assert_eq!(count(&*store.a, "count").await, 2);
    // A unit that was not applied has not used its key.
    let refused =
        Commit { once: Some("third".to_owned()), ..Commit::of(vec![append(WORK, 5), add("count", 1, Some(2))]) };
    assert!(matches!(commit(&*store.a, refused).await, Outcome::Ceiling { .. }));
    let retried = Commit { once: Some("third".to_owned()), ..Commit::of(vec![append(WORK, 6)]) };
    assert!(matches!(commit(&*store.a, retried).await, Outcome::Committed(_)));
}

pub(crate) async fn a_key_used_by_many_at_once_appends_once(engine: &dyn Engine) {
    let store = engine.open().await;
    let mut callers = tokio::task::JoinSet::new();
    for (n, bus) in (0..24).zip([&store.a, &store.b, &store.c].into_iter().cycle()) {
        let bus = bus.clone();
        callers.spawn(async move {
            let unit = Commit { once: Some("key".to_owned()), ..Commit::of(vec![append(WORK, n)]) };
            commit(&*bus, unit).await
        });
    }
    let outcomes = in_time("the callers", callers.join_all()).await;
    let entries = all(&*store.a, WORK).await;
    assert_eq!(entries.len(), 1);
    let committed = outcomes.iter().filter(|outcome| **outcome == Outcome::Committed(vec![entries[0].id]));
    let duplicates = outcomes.iter().filter(|outcome| **outcome == Outcome::Duplicate(vec![entries[0].id]));
    assert_eq!((committed.count(), duplicates.count()), (1, 23));
}

pub(crate) async fn units_of_one_call_are_independent(engine: &dyn Engine) {
    let store = engine.open().await;
    let units = vec![
        Commit::of(vec![append(WORK, 1), add("count", 1, Some(1))]),
        Commit::of(vec![append(WORK, 2), add("count", 1, Some(1))]),
        Commit::of(vec![append(WORK, 3), append(OTHER, 3)]),
    ];
    let outcomes = store.a.commit(units).await.unwrap();
    let work = all(&*store.a, WORK).await;
    let other = all(&*store.a, OTHER).await;
    assert_eq!(numbers(&work), [1, 3]);
    let over = Outcome::Ceiling { key: Key::new("count"), field: "n".to_owned(), value: 1 };
    let third = Outcome::Committed(vec![work[1].id, other[0].id]);
    assert_eq!(outcomes, [Outcome::Committed(vec![work[0].id]), over, third]);
    assert_eq!(store.a.commit(Vec::new()).await.unwrap(), []);
}

pub(crate) async fn an_empty_unit_is_committed(engine: &dyn Engine) {
    let store = engine.open().await;
    assert_eq!(commit(&*store.a, Commit::default()).await, Outcome::Committed(Vec::new()));
}

pub(crate) async fn lease_then_key_then_acknowledgement_are_checked(engine: &dyn Engine) {
    let store = engine.open().await;
    let who = reader("g", "a");
    store.a.ensure_group(WORK, &who.group).await.unwrap();
    let id = say(&*store.a, WORK, [1]).await[0];
    read(&*store.a, &who, 1).await;
    let fence = lease(&*store.a, "l", "me").await;
    let unit = Commit { once: Some("key".to_owned()), under: Some(fence), ..handled(&who, id, vec![append(OTHER, 1)]) };
    let Outcome::Committed(ids) = commit(&*store.a, unit.clone()).await else { panic!("not committed") };
    // A retry finds the key used, although the message is no longer pending.
    assert_eq!(commit(&*store.a, unit.clone()).await, Outcome::Duplicate(ids));
    let without_key = Commit { once: None, ..unit.clone() };
    assert_eq!(commit(&*store.a, without_key).await, Outcome::NotPending);
    store.a.unlease("l", "me").await.unwrap();
    lease(&*store.b, "l", "another").await;
    assert_eq!(commit(&*store.a, unit).await, Outcome::Fenced);
}

pub(crate) async fn a_refused_unit_leaves_no_trace(engine: &dyn Engine) {
    let store = engine.open().await;
    let (who, other) = (reader("g", "a"), reader("g", "b"));
    store.a.ensure_group(WORK, &who.group).await.unwrap();
    let given = say(&*store.a, WORK, 1..=3).await;
    read(&*store.a, &who, 2).await;
    let change = |key: &str, expect| Op::Change {
        key: Key::new(key),
        expect,
        fields: vec![("text".to_owned(), Some("x".to_owned()))],
        ttl: Ttl::Keep,
    };
    let push =
        |key: &str| Op::State { key: Key::new(key), change: StateChange::Push { value: "x".to_owned(), keep: 5 } };
    let timer = |id: &str| Op::Schedule(Timer { id: id.to_owned(), at: envelope(1).at, message: message(WORK, 9) });
    let delete = |key: &str, expect| Op::Delete { key: Key::new(key), expect };
    let here = vec![change("doc", Expect::Any), add("count", 3, None), push("list"), timer("old")];
    done(&*store.a, here).await;
    let before = snapshot(&*store.a).await;

    let all_kinds = || {
        vec![
            append(OTHER, 1),
            start(&who, given[1], 7),
            change("doc", Expect::Version(1)),
            change("new", Expect::Absent),
            add("count", 1, None),
            push("list"),
            push("new list"),
            delete("list", Expect::Any),
            timer("new"),
            timer("old"),
            Op::Cancel { timer: "old".to_owned() },
        ]
    };
    let text = Op::Add { key: Key::new("doc"), field: "text".to_owned(), n: 1, ceiling: None };
    let last = [
        change("count", Expect::Version(9)),
        change("count", Expect::Absent),
        change("gone", Expect::Version(1)),
        delete("count", Expect::Version(9)),
        delete("gone", Expect::Version(1)),
        add("count", 1, Some(3)),
        text,
        push("count"),
        start(&other, given[0], 1),
        start(&who, given[2], 1),
    ];
    for refused in last {
        let mut ops = all_kinds();
        ops.push(refused.clone());
        let outcome = commit(&*store.a, handled(&who, given[0], ops)).await;
        assert!(!outcome.is_done(), "{refused:?} gave {outcome:?}");
        assert_eq!(snapshot(&*store.a).await, before, "after {refused:?}");
    }
    let lost =
        Commit { acknowledge: vec![pending(&who, given[0]), pending(&who, given[2])], ..Commit::of(all_kinds()) };
    assert_eq!(commit(&*store.a, lost).await, Outcome::NotPending);
    assert_eq!(snapshot(&*store.a).await, before);
    // The same without what refused it is applied.
    let outcome = commit(&*store.a, handled(&who, given[0], all_kinds())).await;
    assert!(matches!(outcome, Outcome::Committed(ids) if ids.len() == 1));
}

pub(crate) async fn a_foreign_stream_refuses_the_unit(engine: &dyn Engine) {
    let store = engine.open().await;
    if !store.by_hand.set_foreign(&Key::new(format!("{WORK}:stream"))).await {
        return;
    }
    let outcome = commit(&*store.a, Commit::of(vec![append(OTHER, 1), append(WORK, 1)])).await;
    assert!(
        matches!(&outcome, Outcome::Refused(Refusal::ForeignType { key, .. }) if key.contains("metrics")),
        "{outcome:?}"
    );
    assert!(store.a.range(OTHER, Range::newest(1)).await.unwrap().is_empty());
    assert!(store.a.ensure_group(WORK, "g").await.is_err());
}
