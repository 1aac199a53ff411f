//! Trimming, inspection, separation of stores, health, closing.

use std::time::Duration;

use chrono::{DateTime, Utc};
use fullsend::bus::{BusError, Commit, EntryId, Outcome, Range, Reader};
use fullsend::contracts::{Clock, SystemClock};
use pretty_assertions::assert_eq;

use crate::stores::Engine;
use crate::tools::*;

/// Before and after everything.
const NEVER: DateTime<Utc> = DateTime::UNIX_EPOCH;

fn far_future() -> DateTime<Utc> {
    SystemClock.now() + chrono::TimeDelta::days(1_000)
}

/// How many entries an engine may keep beyond what it was asked to.
const SLACK: u64 = 128;

pub(crate) async fn trimming_keeps_the_newest(engine: &dyn Engine) {
    let store = engine.open().await;
    let given = say(&*store.a, WORK, 0..400).await;
    say(&*store.a, OTHER, 0..3).await;
    assert_eq!(store.a.trim(WORK, NEVER, 1_000).await, Ok(0));
    let gone = store.b.trim(WORK, NEVER, 50).await.unwrap();
    let left: Vec<_> = all(&*store.a, WORK).await.iter().map(|entry| entry.id).collect();
    assert!((350 - SLACK..=350).contains(&gone), "{gone} went");
    assert_eq!(left, given[usize::try_from(gone).unwrap()..]);
    assert_eq!(store.a.inspect(WORK).await.unwrap().length, 400 - gone);
    assert_eq!(all(&*store.a, OTHER).await.len(), 3);
}

pub(crate) async fn trimming_goes_by_age(engine: &dyn Engine) {
    let store = engine.open().await;
    let old = say(&*store.a, WORK, 0..200).await;
    store.pass(SHORT);
    // Where time is real, the next entries must be of a later millisecond.
    eventually("the next millisecond", async || {
        (SystemClock.now() > old[199].at() + SHORT / 10 || store.clock.is_some()).then_some(())
    })
    .await;
    let new = say(&*store.a, WORK, 200..300).await;
    assert!(new[0].ms > old[199].ms);
    let gone = store.b.trim(WORK, new[0].at(), 1_000).await.unwrap();
    assert!((200 - SLACK..=200).contains(&gone), "{gone} went");
    let left = numbers(&all(&*store.a, WORK).await);
    assert_eq!(left, (gone..300).collect::<Vec<_>>());
}

pub(crate) async fn trimming_spares_what_a_group_needs(engine: &dyn Engine) {
    let store = engine.open().await;
    let (fast, slow) = (reader("fast", "a"), reader("slow", "a"));
    store.a.ensure_group(WORK, "fast").await.unwrap();
    store.a.ensure_group(WORK, "slow").await.unwrap();
    let given = say(&*store.a, WORK, 0..300).await;
    // Everything that was handed out to one group is still undelivered for the other.
    assert_eq!(read(&*store.a, &fast, 300).await.len(), 300);
    assert_eq!(store.a.trim(WORK, far_future(), 0).await, Ok(0));
    // Handed out to both, acknowledged up to 280 by one and up to 200, with a gap, by the other.
    assert_eq!(read(&*store.a, &slow, 300).await.len(), 300);
    let acks = |who: &Reader, ids: &[EntryId]| {
        let units: Vec<_> = ids.iter().map(|id| handled(who, *id, Vec::new())).collect();
        let bus = store.a.clone();
        async move {
            let outcomes = bus.commit(units).await.unwrap();
            assert!(outcomes.iter().all(Outcome::is_done));
        }
    };
    acks(&fast, &given[..280]).await;
    acks(&slow, &given[..200]).await;
    acks(&slow, &given[201..]).await;
    let gone = store.b.trim(WORK, far_future(), 0).await.unwrap();
    assert!((200 - SLACK..=200).contains(&gone), "{gone} went");
    assert_eq!(numbers(&all(&*store.a, WORK).await), (gone..300).collect::<Vec<_>>());
    assert_eq!(ids(&own(&*store.a, &slow).await.claimed), [given[200]]);
    assert_eq!(own(&*store.a, &fast).await.vanished, []);
    // Nobody holds it back any more.
    acks(&slow, &given[200..=200]).await;
    assert_eq!(store.a.drop_group(WORK, "fast").await, Ok(true));
    let rest = store.b.trim(WORK, far_future(), 0).await.unwrap();
    assert!(gone + rest >= 300 - SLACK, "{rest} more went");
}

pub(crate) async fn ids_go_on_after_everything_was_trimmed(engine: &dyn Engine) {
    let store = engine.open().await;
    let who = reader("g", "a");
    let given = say(&*store.a, WORK, 0..300).await;
    store.a.trim(WORK, far_future(), 0).await.unwrap();
    // What an engine keeps beyond that, somebody deletes.
    for entry in all(&*store.a, WORK).await {
        store.by_hand.delete_entry(WORK, entry.id).await;
    }
    assert!(store.a.range(WORK, Range::newest(1)).await.unwrap().is_empty());
    assert_eq!(store.a.newest(&[WORK]).await.unwrap(), [(WORK, None)]);
    if let Some(clock) = &store.clock {
        clock.jump(chrono::TimeDelta::hours(-1));
    }
    let next = say(&*store.b, WORK, [300]).await;
    assert!(next[0] > given[299], "{} after {}", next[0], given[299]);
    store.a.ensure_group(WORK, "g").await.unwrap();
    assert_eq!(ids(&read(&*store.a, &who, 5).await), next);
}

pub(crate) async fn inspect_counts(engine: &dyn Engine) {
    let store = engine.open().await;
    let (one, two) = (reader("g", "one"), reader("g", "two"));
    let given = say(&*store.a, WORK, 0..10).await;
    store.a.ensure_group(WORK, "g").await.unwrap();
    let info = store.b.inspect(WORK).await.unwrap();
    assert_eq!((info.channel, info.length), (WORK, 10));
    assert_eq!((info.first, info.last), (Some(given[0]), Some(given[9])));
    let group = &info.groups[0];
    assert_eq!((group.group.as_str(), group.last_delivered, group.pending), ("g", EntryId::ZERO, 0));
    assert_eq!((group.oldest_pending, group.lag, group.idle), (None, Some(10), None));
    assert_eq!(group.consumers, []);

    read(&*store.a, &one, 4).await;
    read(&*store.a, &two, 2).await;
    assert!(commit(&*store.a, handled(&one, given[0], Vec::new())).await.is_done());
    store.a.ensure_group(WORK, "idle").await.unwrap();
    store.pass(Duration::from_secs(5));
    let mut info = store.b.inspect(WORK).await.unwrap();
    info.groups.sort_by(|a, b| a.group.cmp(&b.group));
    assert_eq!(info.groups.len(), 2);
    let group = &mut info.groups[0];
    assert_eq!((group.last_delivered, group.pending), (given[5], 5));
    assert_eq!((group.oldest_pending, group.lag), (Some(given[1]), Some(4)));
    group.consumers.sort_by(|a, b| a.consumer.cmp(&b.consumer));
    let consumers = group.consumers.iter().map(|consumer| (consumer.consumer.as_str(), consumer.pending));
    let expected = [(one.consumer.as_str(), 3), (two.consumer.as_str(), 2)];
    assert_eq!(consumers.collect::<Vec<_>>(), expected);
    let idle = group.idle.expect("somebody has read");
    assert!(idle < LONG, "{idle:?}");
    if store.clock.is_some() {
        assert_eq!(idle, Duration::from_secs(5));
        assert!(group.consumers.iter().all(|consumer| consumer.idle == Duration::from_secs(5)));
        store.a.extend(&two, &[(WORK, given[4])]).await.unwrap();
        let info = store.b.inspect(WORK).await.unwrap();
        let group = info.groups.iter().find(|group| group.group == "g").unwrap();
        assert_eq!(group.idle, Some(Duration::ZERO));
    }
}

pub(crate) async fn inspect_of_an_empty_channel(engine: &dyn Engine) {
    let store = engine.open().await;
    let info = store.a.inspect(WORK).await.unwrap();
    assert_eq!((info.length, info.first, info.last), (0, None, None));
    assert_eq!(info.groups, []);
    store.a.ensure_group(WORK, "g").await.unwrap();
    let info = store.a.inspect(WORK).await.unwrap();
    assert_eq!((info.length, info.groups.len()), (0, 1));
    assert_eq!(info.groups[0].lag, Some(0));
}

pub(crate) async fn stores_do_not_see_each_other(engine: &dyn Engine) {
    let (one, two) = (engine.open().await, engine.open().await);
    let mut listener = two.a.listen(&[WORK, NOTICE]).await.unwrap();
    say(&*one.a, WORK, [1]).await;
    one.a.notify(message(NOTICE, 2)).await.unwrap();
    one.a.ensure_group(WORK, "g").await.unwrap();
    done(&*one.a, vec![add("count", 1, None)]).await;
    lease(&*one.a, "l", "me").await;
    assert!(snapshot(&*two.a).await.is_empty());
    assert!(all(&*two.a, WORK).await.is_empty());
    assert_eq!(two.a.inspect(WORK).await.unwrap().groups, []);
    assert_eq!(get(&*two.a, "count").await, None);
    assert_eq!(two.a.scan("", None, 100).await.unwrap().0, []);
    lease(&*two.a, "l", "somebody else").await;
    say(&*two.b, WORK, [3]).await;
    assert_eq!(hear(&mut listener).await.envelope, Some(envelope(3)));
}

pub(crate) async fn health_is_good(engine: &dyn Engine) {
    let store = engine.open().await;
    let health = store.a.health().await.unwrap();
    assert!(health.reachable);
    assert_eq!(health.engine, store.a.engine());
    assert!(!health.version.is_empty() && !health.durability.is_empty() && !health.location.is_empty());
}

pub(crate) async fn a_closed_bus_refuses(engine: &dyn Engine) {
    let store = engine.open().await;
    say(&*store.a, WORK, [1]).await;
    in_time("closing", store.a.close()).await;
    let refused = in_time("a call", store.a.commit(vec![Commit::of(vec![append(WORK, 2)])])).await;
    assert_eq!(refused, Err(BusError::Closed));
    assert_eq!(store.a.range(WORK, Range::newest(1)).await, Err(BusError::Closed));
    // The other handles go on.
    assert_eq!(numbers(&all(&*store.b, WORK).await), [1]);
    say(&*store.b, WORK, [3]).await;
}
