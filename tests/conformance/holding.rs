//! What a consumer holds: attempts, heartbeats, taking over, handing back, and what vanished.

use std::time::Duration;

use fullsend::bus::{Claims, Commit, Outcome, Want};
use pretty_assertions::assert_eq;

use crate::stores::{Engine, TestBus};
use crate::tools::*;

const GROUP: &str = "g";

/// Takes over what was silent for a moment, once that moment has passed for `count` messages.
async fn taken_over(store: &TestBus, who: &fullsend::bus::Reader, count: usize) -> Vec<(u64, u32)> {
    store.pass(SHORT * 2);
    let taken = tokio::sync::Mutex::new(Vec::new());
    eventually("taking over", async || {
        let claims = stale(&*store.b, who, SHORT).await;
        assert_eq!(claims.vanished, []);
        assert!(claims.claimed.is_sorted_by_key(|claimed| claimed.entry.id), "oldest first");
        let mut taken = taken.lock().await;
        taken.extend(attempts(&claims.claimed));
        (taken.len() >= count).then_some(())
    })
    .await;
    // On a busy machine they may have become stale one after the other.
    let mut taken = taken.into_inner();
    taken.sort_unstable();
    taken
}

pub(crate) async fn a_start_raises_the_attempts_and_is_taken_back(engine: &dyn Engine) {
    let store = engine.open().await;
    let who = reader(GROUP, "a");
    store.a.ensure_group(WORK, GROUP).await.unwrap();
    let given = say(&*store.a, WORK, 0..3).await;
    let want = Want { start: 1, ahead: 2 };
    store.a.read(&who, &[WORK], want, SHORT).await.unwrap();
    let now = async || attempts(&own(&*store.b, &who).await.claimed);
    done(&*store.a, vec![start(&who, given[1], 1)]).await;
    assert_eq!(now().await, [(0, 1), (1, 1), (2, 0)]);
    done(&*store.a, vec![start(&who, given[0], 2), start(&who, given[1], 0)]).await;
    assert_eq!(now().await, [(0, 2), (1, 0), (2, 0)]);
    done(&*store.a, vec![start(&who, given[0], 5)]).await;
    assert_eq!(now().await, [(0, 5), (1, 0), (2, 0)]);
}

pub(crate) async fn a_start_by_another_consumer_refuses_the_unit(engine: &dyn Engine) {
    let store = engine.open().await;
    let (who, other) = (reader(GROUP, "a"), reader(GROUP, "b"));
    store.a.ensure_group(WORK, GROUP).await.unwrap();
    let given = say(&*store.a, WORK, 0..2).await;
    read(&*store.a, &who, 1).await;
    let try_start = async |who: &_, id| {
        let ops = vec![add("count", 1, None), start(who, id, 2)];
        commit(&*store.a, Commit::of(ops)).await
    };
    assert_eq!(try_start(&other, given[0]).await, Outcome::NotPending, "held by another");
    assert_eq!(try_start(&who, given[1]).await, Outcome::NotPending, "not handed out");
    assert!(commit(&*store.a, handled(&who, given[0], Vec::new())).await.is_done());
    assert_eq!(try_start(&who, given[0]).await, Outcome::NotPending, "acknowledged");
    assert_eq!(count(&*store.a, "count").await, 0);
}

pub(crate) async fn own_pending_is_in_order_with_attempts(engine: &dyn Engine) {
    let store = engine.open().await;
    let who = reader(GROUP, "a");
    store.a.ensure_group(WORK, GROUP).await.unwrap();
    let given = say(&*store.a, WORK, 0..6).await;
    let want = Want { start: 2, ahead: 3 };
    let read = store.a.read(&who, &[WORK], want, SHORT).await.unwrap();
    done(&*store.a, vec![start(&who, given[3], 4)]).await;
    assert!(commit(&*store.a, handled(&who, given[1], Vec::new())).await.is_done());
    // As after a restart: the same consumer on another handle.
    let held = own(&*store.b, &who).await;
    assert_eq!(attempts(&held.claimed), [(0, 1), (2, 0), (3, 4), (4, 0)]);
    assert_eq!(held.claimed[0].entry, read[0].entry);
    assert_eq!(held.vanished, []);
}

pub(crate) async fn own_pending_is_only_own(engine: &dyn Engine) {
    let store = engine.open().await;
    let (who, other) = (reader(GROUP, "a"), reader(GROUP, "b"));
    store.a.ensure_group(WORK, GROUP).await.unwrap();
    say(&*store.a, WORK, 0..4).await;
    read(&*store.a, &who, 2).await;
    read(&*store.a, &other, 2).await;
    assert_eq!(attempts(&own(&*store.a, &who).await.claimed), [(0, 1), (1, 1)]);
    assert_eq!(attempts(&own(&*store.a, &other).await.claimed), [(2, 1), (3, 1)]);
    assert_eq!(own(&*store.a, &reader(GROUP, "nobody")).await, Claims::default());
}

pub(crate) async fn own_pending_stops_at_the_limit(engine: &dyn Engine) {
    let store = engine.open().await;
    let who = reader(GROUP, "a");
    store.a.ensure_group(WORK, GROUP).await.unwrap();
    say(&*store.a, WORK, 0..5).await;
    read(&*store.a, &who, 5).await;
    let held = store.a.own_pending(&who, &[WORK], 2).await.unwrap();
    assert_eq!(attempts(&held.claimed), [(0, 1), (1, 1)]);
}

pub(crate) async fn stale_messages_are_taken_over_with_their_attempts(engine: &dyn Engine) {
    let store = engine.open().await;
    let (dead, heir) = (reader(GROUP, "dead"), reader(GROUP, "heir"));
    store.a.ensure_group(WORK, GROUP).await.unwrap();
    let given = say(&*store.a, WORK, 0..3).await;
    let want = Want { start: 1, ahead: 2 };
    store.a.read(&dead, &[WORK], want, SHORT).await.unwrap();
    done(&*store.a, vec![start(&dead, given[0], 3)]).await;
    assert_eq!(stale(&*store.b, &heir, LONG).await, Claims::default(), "not idle yet");
    assert_eq!(taken_over(&store, &heir, 3).await, [(0, 3), (1, 0), (2, 0)]);
    assert_eq!(attempts(&own(&*store.b, &heir).await.claimed), [(0, 3), (1, 0), (2, 0)]);
    assert!(own(&*store.a, &dead).await.claimed.is_empty());
    // The new holder counts on from there.
    done(&*store.b, vec![start(&heir, given[0], 4)]).await;
    let late = commit(&*store.a, Commit::of(vec![start(&dead, given[0], 4)])).await;
    assert_eq!(late, Outcome::NotPending);
}

pub(crate) async fn looking_for_stale_messages_is_a_sign_of_life(engine: &dyn Engine) {
    let store = engine.open().await;
    let who = reader(GROUP, "a");
    store.a.ensure_group(WORK, GROUP).await.unwrap();
    let idle = async || store.b.inspect(WORK).await.unwrap().groups[0].idle;
    assert_eq!(idle().await, None, "nobody was ever there");
    assert_eq!(stale(&*store.a, &who, LONG).await, Claims::default());
    assert!(idle().await.is_some(), "nothing came, but somebody is there");
    store.pass(SHORT);
    let before = eventually("growing idle", async || idle().await.filter(|idle| *idle >= SHORT)).await;
    eventually("being seen again", async || {
        assert_eq!(stale(&*store.a, &who, LONG).await, Claims::default());
        idle().await.filter(|idle| *idle < before)
    })
    .await;
}

pub(crate) async fn the_oldest_stale_messages_come_first(engine: &dyn Engine) {
    let store = engine.open().await;
    let (one, two, heir) = (reader(GROUP, "z"), reader(GROUP, "a"), reader(GROUP, "heir"));
    store.a.ensure_group(WORK, GROUP).await.unwrap();
    say(&*store.a, WORK, 0..6).await;
    for who in [&one, &two, &one, &two, &one, &two] {
        read(&*store.a, who, 1).await;
    }
    let take = async |limit| {
        let claims = store.b.claim_stale(&heir, &[WORK], Duration::ZERO, limit).await.unwrap();
        numbers(claims.claimed.iter().map(|message| &message.entry))
    };
    assert_eq!(take(2).await, [0, 1]);
    assert_eq!(take(100).await.last(), Some(&5));
    assert_eq!(own(&*store.b, &heir).await.claimed.len(), 6);
}

pub(crate) async fn extending_keeps_messages(engine: &dyn Engine) {
    let store = engine.open().await;
    let (alive, dead, heir) = (reader(GROUP, "alive"), reader(GROUP, "dead"), reader(GROUP, "heir"));
    store.a.ensure_group(WORK, GROUP).await.unwrap();
    let given = say(&*store.a, WORK, 0..2).await;
    read(&*store.a, &alive, 1).await;
    read(&*store.a, &dead, 1).await;
    // Far longer than the time between an extension and the claim that follows it.
    let idle = Duration::from_millis(1_500);
    store.pass(idle * 2);
    let taken = eventually("the silent one's message to be taken", async || {
        let lost = store.a.extend(&alive, &[(WORK, given[0])]).await.unwrap();
        assert_eq!(lost, []);
        let claims = stale(&*store.b, &heir, idle).await;
        (!claims.claimed.is_empty()).then_some(claims.claimed)
    });
    assert_eq!(attempts(&taken.await), [(1, 1)]);
    assert_eq!(ids(&own(&*store.a, &alive).await.claimed), given[..1]);
}

pub(crate) async fn extending_names_what_was_lost(engine: &dyn Engine) {
    let store = engine.open().await;
    let (slow, heir) = (reader(GROUP, "slow"), reader(GROUP, "heir"));
    store.a.ensure_group(WORK, GROUP).await.unwrap();
    let given = say(&*store.a, WORK, 0..4).await;
    read(&*store.a, &slow, 3).await;
    let taken = store.b.claim_stale(&heir, &[WORK], Duration::ZERO, 1).await.unwrap();
    assert_eq!(ids(&taken.claimed), given[..1]);
    assert!(commit(&*store.b, handled(&slow, given[1], Vec::new())).await.is_done());
    let held: Vec<_> = given.iter().map(|id| (WORK, *id)).collect();
    // Taken over, acknowledged by somebody, and never its own.
    let lost = store.a.extend(&slow, &held).await.unwrap();
    assert_eq!(lost, [held[0], held[1], held[3]]);
    assert_eq!(ids(&own(&*store.b, &heir).await.claimed), given[..1], "extending took it back");
}

pub(crate) async fn starting_keeps_a_message(engine: &dyn Engine) {
    let store = engine.open().await;
    let (alive, dead, heir) = (reader(GROUP, "alive"), reader(GROUP, "dead"), reader(GROUP, "heir"));
    store.a.ensure_group(WORK, GROUP).await.unwrap();
    let given = say(&*store.a, WORK, 0..2).await;
    read(&*store.a, &alive, 1).await;
    read(&*store.a, &dead, 1).await;
    let idle = Duration::from_millis(1_500);
    store.pass(idle * 2);
    let taken = eventually("the silent one's message to be taken", async || {
        done(&*store.a, vec![start(&alive, given[0], 2)]).await;
        let claims = stale(&*store.b, &heir, idle).await;
        (!claims.claimed.is_empty()).then_some(claims.claimed)
    });
    assert_eq!(attempts(&taken.await), [(1, 1)]);
}

pub(crate) async fn released_messages_are_taken_at_once(engine: &dyn Engine) {
    let store = engine.open().await;
    let (leaving, heir) = (reader(GROUP, "leaving"), reader(GROUP, "heir"));
    store.a.ensure_group(WORK, GROUP).await.unwrap();
    let given = say(&*store.a, WORK, 0..4).await;
    let want = Want { start: 2, ahead: 2 };
    store.a.read(&leaving, &[WORK], want, SHORT).await.unwrap();
    done(&*store.a, vec![start(&leaving, given[1], 3)]).await;
    store.a.release(&leaving, &[(WORK, given[1]), (WORK, given[2])]).await.unwrap();
    let taken = stale(&*store.b, &heir, LONG).await;
    assert_eq!(attempts(&taken.claimed), [(1, 3), (2, 0)]);
    assert_eq!(ids(&own(&*store.b, &heir).await.claimed), given[1..3]);
    assert_eq!(ids(&own(&*store.a, &leaving).await.claimed), [given[0], given[3]]);
    assert_eq!(stale(&*store.b, &reader(GROUP, "late"), LONG).await, Claims::default());
}

pub(crate) async fn only_ones_own_messages_are_released(engine: &dyn Engine) {
    let store = engine.open().await;
    let (who, other) = (reader(GROUP, "a"), reader(GROUP, "b"));
    store.a.ensure_group(WORK, GROUP).await.unwrap();
    let given = say(&*store.a, WORK, 0..2).await;
    read(&*store.a, &who, 1).await;
    // Neither somebody else's, nor one that was not handed out, nor one that is done.
    let held = [(WORK, given[0]), (WORK, given[1])];
    store.a.release(&other, &held).await.unwrap();
    assert_eq!(stale(&*store.b, &other, LONG).await, Claims::default());
    assert!(commit(&*store.a, handled(&who, given[0], Vec::new())).await.is_done());
    store.a.release(&who, &held).await.unwrap();
    assert_eq!(stale(&*store.b, &other, LONG).await, Claims::default());
    assert_eq!(attempts(&read(&*store.a, &other, 5).await), [(1, 1)]);
}

pub(crate) async fn removed_messages_are_reported_to_their_holder(engine: &dyn Engine) {
    let store = engine.open().await;
    let who = reader(GROUP, "a");
    store.a.ensure_group(WORK, GROUP).await.unwrap();
    let given = say(&*store.a, WORK, 0..3).await;
    read(&*store.a, &who, 3).await;
    store.by_hand.delete_entry(WORK, given[1]).await;
    let held = own(&*store.a, &who).await;
    assert_eq!(held.vanished, [(WORK, given[1])]);
    assert_eq!(attempts(&held.claimed), [(0, 1), (2, 1)]);
    // Said once; no longer pending.
    assert_eq!(own(&*store.a, &who).await.vanished, []);
    let late = commit(&*store.a, handled(&who, given[1], Vec::new())).await;
    assert_eq!(late, Outcome::NotPending);
}

pub(crate) async fn removed_messages_are_reported_to_who_takes_over(engine: &dyn Engine) {
    let store = engine.open().await;
    let (dead, heir) = (reader(GROUP, "dead"), reader(GROUP, "heir"));
    store.a.ensure_group(WORK, GROUP).await.unwrap();
    let given = say(&*store.a, WORK, 0..3).await;
    read(&*store.a, &dead, 3).await;
    store.by_hand.delete_entry(WORK, given[0]).await;
    let taken = stale(&*store.b, &heir, Duration::ZERO).await;
    assert_eq!(taken.vanished, [(WORK, given[0])]);
    assert_eq!(attempts(&taken.claimed), [(1, 1), (2, 1)]);
    assert_eq!(stale(&*store.b, &heir, Duration::ZERO).await.vanished, []);
    assert_eq!(store.a.inspect(WORK).await.unwrap().groups[0].pending, 2);
}
