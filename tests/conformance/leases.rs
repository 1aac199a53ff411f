//! Leases with fencing numbers, and timers under them.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use fullsend::bus::{Commit, LeaseFence, Op, Outcome, Timer};
use pretty_assertions::assert_eq;

use crate::stores::Engine;
use crate::tools::*;

/// The time `seconds` after a fixed one.
fn at(seconds: i64) -> DateTime<Utc> {
    envelope(0).at + TimeDelta::seconds(seconds)
}

fn timer(id: &str, seconds: i64, n: u64) -> Op {
    Op::Schedule(Timer { id: id.to_owned(), at: at(seconds), message: message(WORK, n) })
}

pub(crate) async fn a_lease_is_exclusive_and_renewed_by_its_owner(engine: &dyn Engine) {
    let store = engine.open().await;
    let fence = lease(&*store.a, "l", "one").await;
    assert_eq!(fence.name, "l");
    assert_eq!(store.b.lease("l", "two", LONG).await, Ok(None));
    assert_eq!(store.a.lease("l", "one", LONG).await, Ok(Some(fence.clone())));
    assert_eq!(store.b.lease("l", "one", LONG).await, Ok(Some(fence)));
    assert_eq!(store.b.lease("l", "two", LONG).await, Ok(None));
    assert!(store.b.lease("another", "two", LONG).await.unwrap().is_some());
}

pub(crate) async fn a_lease_ends_and_its_number_rises(engine: &dyn Engine) {
    let store = engine.open().await;
    let mut last = 0;
    for owner in ["one", "two", "three"] {
        store.pass(SHORT * 2);
        let fence = eventually("the lease to be free", async || store.b.lease("l", owner, SHORT).await.unwrap());
        let fence = fence.await;
        assert!(fence.number > last, "{} after {last}", fence.number);
        last = fence.number;
    }
    // A renewal counts from when it was made.
    let kept = lease(&*store.a, "kept", "me").await;
    assert_eq!(store.a.lease("kept", "me", SHORT).await, Ok(Some(kept.clone())));
    store.pass(SHORT * 2);
    let next = eventually("the lease to be free", async || store.b.lease("kept", "you", LONG).await.unwrap());
    assert!(next.await.number > kept.number);
}

pub(crate) async fn a_lease_that_is_given_up_is_free(engine: &dyn Engine) {
    let store = engine.open().await;
    let first = lease(&*store.a, "l", "one").await;
    store.b.unlease("l", "two").await.unwrap();
    store.b.unlease("never", "two").await.unwrap();
    assert_eq!(store.b.lease("l", "two", LONG).await, Ok(None), "given up by another");
    store.a.unlease("l", "one").await.unwrap();
    let second = lease(&*store.b, "l", "two").await;
    assert!(second.number > first.number);
    store.a.unlease("l", "one").await.unwrap();
    assert_eq!(store.a.lease("l", "one", LONG).await, Ok(None), "given up by an old holder");
}

pub(crate) async fn an_old_holder_is_fenced(engine: &dyn Engine) {
    let store = engine.open().await;
    let under = |fence: &LeaseFence| Commit {
        under: Some(fence.clone()),
        ..Commit::of(vec![append(WORK, 1), add("count", 1, None)])
    };
    let old = lease(&*store.a, "l", "one").await;
    assert!(commit(&*store.a, under(&old)).await.is_done());
    store.a.unlease("l", "one").await.unwrap();
    let new = lease(&*store.b, "l", "two").await;
    assert_eq!(commit(&*store.a, under(&old)).await, Outcome::Fenced);
    assert!(commit(&*store.b, under(&new)).await.is_done());
    assert_eq!(count(&*store.a, "count").await, 2);
    assert_eq!(all(&*store.a, WORK).await.len(), 2);
}

pub(crate) async fn a_number_never_given_is_fenced(engine: &dyn Engine) {
    let store = engine.open().await;
    let held = lease(&*store.a, "l", "me").await;
    for (name, number) in [("never", 0), ("never", 1), ("l", held.number + 1), ("l", 0)] {
        let name = name.to_owned();
        let unit = Commit { under: Some(LeaseFence { name, number }), ..Commit::of(vec![append(WORK, 1)]) };
        assert_eq!(commit(&*store.a, unit).await, Outcome::Fenced);
    }
    assert!(all(&*store.a, WORK).await.is_empty());
}

pub(crate) async fn timers_fire_once_in_order_and_not_before(engine: &dyn Engine) {
    let store = engine.open().await;
    let fence = lease(&*store.a, "timers", "me").await;
    let ops = [("c", 30, 3), ("a", 10, 1), ("d", 40, 4), ("b", 20, 2)];
    done(&*store.a, ops.map(|(id, seconds, n)| timer(id, seconds, n)).into()).await;
    let fire = async |now| store.b.fire_timers(now, 100, &fence).await.unwrap();
    assert_eq!(store.b.next_timer().await, Ok(Some(at(10))));
    assert_eq!(fire(at(10) - TimeDelta::milliseconds(1)).await, 0);
    assert_eq!(fire(at(10)).await, 1);
    assert_eq!(store.b.next_timer().await, Ok(Some(at(20))));
    assert_eq!(fire(at(10)).await, 0);
    assert_eq!(fire(at(35)).await, 2);
    assert_eq!(numbers(&all(&*store.a, WORK).await), [1, 2, 3]);
    assert_eq!(fire(at(1_000)).await, 1);
    assert_eq!(fire(at(1_000)).await, 0);
    assert_eq!(store.b.next_timer().await, Ok(None));
    let said = all(&*store.a, WORK).await;
    assert_eq!(numbers(&said), [1, 2, 3, 4]);
    let meant = message(WORK, 4);
    assert_eq!((&said[3].e, &said[3].b), (&meant.envelope.to_json(), &meant.body));
}

pub(crate) async fn timers_fire_up_to_the_limit(engine: &dyn Engine) {
    let store = engine.open().await;
    let fence = lease(&*store.a, "timers", "me").await;
    // Ids in another order than the times.
    done(&*store.a, (0..7_u8).map(|n| timer(&(20 - n).to_string(), n.into(), n.into())).collect()).await;
    let mut fired = Vec::new();
    for _ in 0..4 {
        fired.push(store.a.fire_timers(at(60), 3, &fence).await.unwrap());
    }
    assert_eq!(fired, [3, 3, 1, 0]);
    assert_eq!(numbers(&all(&*store.a, WORK).await), (0..7).collect::<Vec<_>>());
}

pub(crate) async fn timers_are_replaced_and_cancelled(engine: &dyn Engine) {
    let store = engine.open().await;
    let fence = lease(&*store.a, "timers", "me").await;
    let fire = async |now| store.b.fire_timers(now, 100, &fence).await.unwrap();
    let cancel = |id: &str| Op::Cancel { timer: id.to_owned() };
    done(&*store.a, vec![timer("later", 10, 1), timer("sooner", 90, 2), timer("never", 10, 3)]).await;
    done(&*store.a, vec![timer("later", 50, 4), timer("sooner", 20, 5), cancel("never"), cancel("unknown")]).await;
    assert_eq!(fire(at(30)).await, 1);
    assert_eq!(fire(at(100)).await, 1);
    assert_eq!(numbers(&all(&*store.a, WORK).await), [5, 4]);
    // One that has fired can be cancelled without harm and set again.
    done(&*store.a, vec![cancel("later"), timer("later", 10, 6)]).await;
    assert_eq!(fire(at(100)).await, 1);
    // Within one unit, the last word counts.
    done(&*store.a, vec![timer("x", 10, 7), cancel("x"), timer("y", 10, 8), timer("y", 10, 9)]).await;
    assert_eq!(fire(at(100)).await, 1);
    assert_eq!(numbers(&all(&*store.a, WORK).await), [5, 4, 6, 9]);
}

pub(crate) async fn timers_need_the_lease(engine: &dyn Engine) {
    let store = engine.open().await;
    let old = lease(&*store.a, "timers", "one").await;
    done(&*store.a, vec![timer("t", 10, 1)]).await;
    store.a.unlease("timers", "one").await.unwrap();
    let new = lease(&*store.b, "timers", "two").await;
    assert_eq!(store.a.fire_timers(at(60), 10, &old).await, Ok(0));
    assert!(all(&*store.a, WORK).await.is_empty());
    assert_eq!(store.b.fire_timers(at(60), 10, &new).await, Ok(1));
    assert_eq!(numbers(&all(&*store.a, WORK).await), [1]);
}

pub(crate) async fn timers_never_fire_twice(engine: &dyn Engine) {
    let store = engine.open().await;
    let fence = lease(&*store.a, "timers", "me").await;
    let timers = (0..60).map(|n| timer(&format!("t{n}"), 10, n));
    done(&*store.a, timers.collect()).await;
    let firing = [&store.a, &store.b, &store.c].map(|bus| {
        let (bus, fence) = (bus.clone(), fence.clone());
        tokio::spawn(async move {
            let mut sum = 0;
            loop {
                let fired = bus.fire_timers(at(60), 4, &fence).await.unwrap();
                if fired == 0 {
                    return sum;
                }
                sum += fired;
                assert!(sum <= 60, "some have fired twice");
            }
        })
    });
    let fired = in_time("the firing", futures::future::join_all(firing)).await;
    assert_eq!(fired.into_iter().map(Result::unwrap).sum::<usize>(), 60);
    let mut said = numbers(&all(&*store.a, WORK).await);
    said.sort_unstable();
    assert_eq!(said, (0..60).collect::<Vec<_>>());
}

pub(crate) async fn fired_messages_are_announced(engine: &dyn Engine) {
    let store = engine.open().await;
    let who = reader("g", "a");
    store.a.ensure_group(WORK, "g").await.unwrap();
    let fence = lease(&*store.a, "timers", "me").await;
    let mut listener = store.b.listen(&[WORK]).await.unwrap();
    done(&*store.a, vec![timer("t", 10, 1)]).await;
    assert_eq!(store.a.fire_timers(at(60), 10, &fence).await, Ok(1));
    assert_eq!(hear(&mut listener).await.envelope, Some(envelope(1)));
    assert_eq!(attempts(&read(&*store.b, &who, 5).await), [(1, 1)]);
    assert_eq!(store.a.range(WORK, fullsend::bus::Range::newest(5)).await.unwrap().len(), 1);
    assert_eq!(store.b.watch(&[(WORK, fullsend::bus::EntryId::ZERO)], 5, Duration::ZERO).await.unwrap().len(), 1);
}
