//! Groups: who is given what, once; acknowledgement; waiting.

use std::collections::BTreeSet;
use std::time::Duration;

use fullsend::bus::{BusError, Commit, GroupFound, Outcome, Want};
use pretty_assertions::assert_eq;
use tokio::time::Instant;

use crate::stores::Engine;
use crate::tools::*;

const GROUP: &str = "g";

pub(crate) async fn a_group_starts_at_the_beginning(engine: &dyn Engine) {
    let store = engine.open().await;
    say(&*store.a, WORK, 0..3).await;
    store.b.ensure_group(WORK, GROUP).await.unwrap();
    say(&*store.a, WORK, 3..5).await;
    let read = read(&*store.b, &reader(GROUP, "a"), 10).await;
    assert_eq!(attempts(&read), (0..5).map(|n| (n, 1)).collect::<Vec<_>>());
    assert!(read.iter().all(|message| message.entry.channel == WORK));
}

pub(crate) async fn a_group_is_created_once(engine: &dyn Engine) {
    let store = engine.open().await;
    assert_eq!(store.a.ensure_group(WORK, GROUP).await, Ok(GroupFound::Created));
    assert_eq!(store.b.ensure_group(WORK, GROUP).await, Ok(GroupFound::Existing));
    assert_eq!(store.b.ensure_group(OTHER, GROUP).await, Ok(GroupFound::Created));
    say(&*store.a, WORK, 0..2).await;
    let who = reader(GROUP, "a");
    assert_eq!(read(&*store.a, &who, 1).await.len(), 1);
    // Asking again does not start it again.
    assert_eq!(store.a.ensure_group(WORK, GROUP).await, Ok(GroupFound::Existing));
    assert_eq!(attempts(&read(&*store.a, &who, 9).await), [(1, 1)]);
}

pub(crate) async fn consumers_share_and_get_each_message_once(engine: &dyn Engine) {
    let store = engine.open().await;
    store.a.ensure_group(WORK, GROUP).await.unwrap();
    let mut readers = tokio::task::JoinSet::new();
    for (bus, consumer) in [(&store.a, "a"), (&store.b, "b"), (&store.c, "c")] {
        let bus = bus.clone();
        readers.spawn(async move {
            let mut got = Vec::new();
            loop {
                let all_said = bus.inspect(WORK).await.unwrap().length == 300;
                let want = Want { start: 7, ahead: 3 };
                let read = bus.read(&reader(GROUP, consumer), &[WORK], want, SHORT).await.unwrap();
                got.extend(read.iter().map(|message| number(&message.entry)));
                if read.is_empty() && all_said {
                    return got;
                }
            }
        });
    }
    for first in (0..300).step_by(20) {
        say(&*store.c, WORK, first..first + 20).await;
    }
    let mut got = Vec::new();
    for part in in_time("the readers", readers.join_all()).await {
        assert!(part.is_sorted_by(|a, b| a < b), "out of order: {part:?}");
        got.extend(part);
    }
    assert_eq!(got.len(), 300);
    assert_eq!(got.into_iter().collect::<BTreeSet<_>>(), (0..300).collect());
}

pub(crate) async fn every_group_gets_every_message(engine: &dyn Engine) {
    let store = engine.open().await;
    let (one, two) = (reader("one", "a"), reader("two", "a"));
    store.a.ensure_group(WORK, "one").await.unwrap();
    store.a.ensure_group(WORK, "two").await.unwrap();
    let given = say(&*store.a, WORK, 0..3).await;
    assert_eq!(ids(&read(&*store.a, &one, 10).await), given);
    assert_eq!(ids(&read(&*store.a, &two, 10).await), given);
    let outcome = commit(&*store.a, handled(&one, given[0], Vec::new())).await;
    assert_eq!(outcome, Outcome::Committed(Vec::new()));
    assert_eq!(own(&*store.a, &one).await.claimed.len(), 2);
    assert_eq!(own(&*store.a, &two).await.claimed.len(), 3);
}

pub(crate) async fn reads_are_handed_out_started_then_ahead(engine: &dyn Engine) {
    let store = engine.open().await;
    let who = reader(GROUP, "a");
    store.a.ensure_group(WORK, GROUP).await.unwrap();
    say(&*store.a, WORK, 0..10).await;
    let want = |start, ahead| Want { start, ahead };
    let next = async |want| attempts(&store.a.read(&who, &[WORK], want, SHORT).await.unwrap());
    assert_eq!(next(want(2, 3)).await, [(0, 1), (1, 1), (2, 0), (3, 0), (4, 0)]);
    assert_eq!(next(want(0, 2)).await, [(5, 0), (6, 0)]);
    assert_eq!(next(want(9, 5)).await, [(7, 1), (8, 1), (9, 1)]);
}

pub(crate) async fn several_channels_are_read_together(engine: &dyn Engine) {
    let store = engine.open().await;
    let who = reader(GROUP, "a");
    for channel in [WORK, OTHER] {
        store.a.ensure_group(channel, GROUP).await.unwrap();
        say(&*store.a, channel, 0..4).await;
    }
    let mut got = Vec::new();
    while got.len() < 8 {
        let want = Want { start: 1, ahead: 2 };
        let read = store.b.read(&who, &[WORK, OTHER], want, SHORT).await.unwrap();
        assert!(!read.is_empty(), "only {got:?}");
        got.extend(read.iter().map(|message| (message.entry.channel, number(&message.entry))));
    }
    for channel in [WORK, OTHER] {
        let of_channel = got.iter().filter(|(of, _)| *of == channel).map(|(_, n)| *n);
        assert_eq!(of_channel.collect::<Vec<_>>(), [0, 1, 2, 3]);
    }
    let held = store.a.own_pending(&who, &[WORK, OTHER], 100).await.unwrap();
    assert_eq!(held.claimed.len(), 8);
}

pub(crate) async fn calls_without_a_group_say_so(engine: &dyn Engine) {
    let store = engine.open().await;
    let who = reader("nobody", "a");
    store.a.ensure_group(WORK, GROUP).await.unwrap();
    say(&*store.a, WORK, 0..1).await;
    let no_group = BusError::NoGroup { channel: WORK, group: "nobody".to_owned() };
    let want = Want { start: 1, ahead: 0 };
    assert_eq!(store.a.read(&who, &[WORK], want, Duration::ZERO).await, Err(no_group.clone()));
    assert_eq!(store.a.own_pending(&who, &[WORK], 1).await, Err(no_group.clone()));
    assert_eq!(store.a.claim_stale(&who, &[WORK], LONG, 1).await, Err(no_group));
}

pub(crate) async fn a_group_deleted_by_hand_resumes(engine: &dyn Engine) {
    let store = engine.open().await;
    let who = reader(GROUP, "a");
    store.a.ensure_group(WORK, GROUP).await.unwrap();
    let given = say(&*store.a, WORK, 0..6).await;
    read(&*store.a, &who, 5).await;
    for id in &given[..3] {
        assert!(commit(&*store.a, handled(&who, *id, Vec::new())).await.is_done());
    }
    store.by_hand.delete_group(WORK, GROUP).await;
    let want = Want { start: 1, ahead: 0 };
    let error = store.b.read(&who, &[WORK], want, Duration::ZERO).await.unwrap_err();
    assert!(matches!(error, BusError::NoGroup { .. }), "{error:?}");
    let found = store.b.ensure_group(WORK, GROUP).await.unwrap();
    assert!(
        matches!(found, GroupFound::Resumed(after) if after >= given[2] && after < given[3]),
        "{found:?} of {given:?}"
    );
    assert_eq!(store.a.ensure_group(WORK, GROUP).await, Ok(GroupFound::Existing));
    // What was handled is not given again; what was pending or not handed out is.
    assert_eq!(ids(&read(&*store.a, &who, 10).await), given[3..]);
}

pub(crate) async fn a_dropped_group_is_gone_with_what_it_held(engine: &dyn Engine) {
    let store = engine.open().await;
    let who = reader(GROUP, "a");
    store.a.ensure_group(WORK, GROUP).await.unwrap();
    let given = say(&*store.a, WORK, 0..2).await;
    read(&*store.a, &who, 2).await;
    assert!(commit(&*store.a, handled(&who, given[0], Vec::new())).await.is_done());
    assert_eq!(store.b.drop_group(WORK, GROUP).await, Ok(true));
    assert_eq!(store.b.drop_group(WORK, GROUP).await, Ok(false));
    assert_eq!(store.a.inspect(WORK).await.unwrap().groups, []);
    assert_eq!(commit(&*store.a, handled(&who, given[1], Vec::new())).await, Outcome::NotPending);
    // One that is made again has what was not handled; what was handled may come again, or not.
    let found = store.a.ensure_group(WORK, GROUP).await.unwrap();
    assert_ne!(found, GroupFound::Existing);
    let again = ids(&read(&*store.a, &who, 10).await);
    assert!(again == given || again == given[1..], "{again:?} of {given:?}");
}

pub(crate) async fn an_empty_read_waits_as_long_as_asked(engine: &dyn Engine) {
    let store = engine.open().await;
    let who = reader(GROUP, "a");
    for channel in [WORK, OTHER] {
        store.a.ensure_group(channel, GROUP).await.unwrap();
    }
    let want = Want { start: 1, ahead: 3 };
    let read = store.a.read(&who, &[WORK, OTHER], want, Duration::ZERO);
    assert_eq!(in_time("an empty read", read).await, Ok(Vec::new()));
    let begun = Instant::now();
    let read = store.a.read(&who, &[WORK, OTHER], want, SHORT);
    assert_eq!(in_time("an empty read", read).await, Ok(Vec::new()));
    // A caller loops over this: one that came back too early would spin.
    assert!(begun.elapsed() >= SHORT * 9 / 10, "back after {:?}", begun.elapsed());
}

pub(crate) async fn a_waiting_read_wakes(engine: &dyn Engine) {
    let store = engine.open().await;
    for channel in [WORK, OTHER] {
        store.a.ensure_group(channel, GROUP).await.unwrap();
    }
    for (n, said_on) in [(1, WORK), (2, OTHER), (3, WORK)] {
        let bus = store.a.clone();
        let waiting = tokio::spawn(async move {
            let want = Want { start: 1, ahead: 0 };
            bus.read(&reader(GROUP, "a"), &[WORK, OTHER], want, LONG).await
        });
        // Whether it waits already or is about to, it must see this.
        say(&*store.b, said_on, [n]).await;
        let read = in_time("the waiting read", waiting).await.unwrap().unwrap();
        assert_eq!(attempts(&read), [(n, 1)]);
    }
}

pub(crate) async fn a_dropped_read_loses_nothing(engine: &dyn Engine) {
    let store = engine.open().await;
    let who = reader(GROUP, "a");
    store.a.ensure_group(WORK, GROUP).await.unwrap();
    let mut seen = BTreeSet::new();
    for n in 0..20 {
        let want = Want { start: 1, ahead: 0 };
        let wait = Duration::from_micros(n * 100);
        let (read, _) = tokio::join!(
            tokio::time::timeout(wait, store.a.read(&who, &[WORK], want, LONG)),
            say(&*store.b, WORK, [n])
        );
        seen.extend(read.ok().into_iter().flat_map(|read| ids(&read.unwrap())));
    }
    // Whatever was not seen is held by this consumer, or still to come.
    let given: Vec<_> = all(&*store.a, WORK).await.iter().map(|entry| entry.id).collect();
    let found = eventually("everything to be found", async || {
        let rest = read(&*store.a, &who, 100).await;
        let held = ids(&own(&*store.a, &who).await.claimed);
        (rest.is_empty() && held.len() == 20).then_some(held)
    });
    assert_eq!(found.await, given);
    assert!(seen.iter().all(|id| given.contains(id)));
}

pub(crate) async fn acknowledging_is_won_by_the_first(engine: &dyn Engine) {
    let store = engine.open().await;
    let who = reader(GROUP, "a");
    store.a.ensure_group(WORK, GROUP).await.unwrap();
    let given = say(&*store.a, WORK, 0..25).await;
    read(&*store.a, &who, 25).await;
    for (n, id) in (0..).zip(given) {
        let unit = handled(&who, id, vec![append(OTHER, n), add("count", 1, None)]);
        let callers = [&store.a, &store.b].map(|bus| {
            let (bus, unit) = (bus.clone(), unit.clone());
            tokio::spawn(async move { commit(&*bus, unit).await })
        });
        let outcomes = futures::future::join_all(callers).await.into_iter().map(Result::unwrap);
        let (won, lost): (Vec<_>, Vec<_>) = outcomes.partition(Outcome::is_done);
        assert_eq!((won.len(), lost), (1, vec![Outcome::NotPending]), "message {n}");
    }
    assert_eq!(count(&*store.a, "count").await, 25);
    assert_eq!(numbers(&all(&*store.a, OTHER).await), (0..25).collect::<Vec<_>>());
    assert!(own(&*store.a, &who).await.claimed.is_empty());
}

pub(crate) async fn who_holds_a_message_does_not_matter_for_its_acknowledgement(engine: &dyn Engine) {
    let store = engine.open().await;
    let (old, new) = (reader(GROUP, "old"), reader(GROUP, "new"));
    store.a.ensure_group(WORK, GROUP).await.unwrap();
    let given = say(&*store.a, WORK, [1]).await;
    read(&*store.a, &old, 1).await;
    assert_eq!(ids(&stale(&*store.b, &new, Duration::ZERO).await.claimed), given);
    // The old holder was slow, not dead: it comes first, and wins.
    let unit = handled(&old, given[0], vec![add("count", 1, None)]);
    assert!(commit(&*store.a, unit.clone()).await.is_done());
    assert_eq!(commit(&*store.b, unit).await, Outcome::NotPending);
    assert!(own(&*store.b, &new).await.claimed.is_empty());
    assert_eq!(count(&*store.a, "count").await, 1);
}

pub(crate) async fn several_acknowledgements_are_all_or_nothing(engine: &dyn Engine) {
    let store = engine.open().await;
    let who = reader(GROUP, "a");
    store.a.ensure_group(WORK, GROUP).await.unwrap();
    let given = say(&*store.a, WORK, 0..4).await;
    read(&*store.a, &who, 4).await;
    let unit = |ids: &[_]| Commit {
        acknowledge: ids.iter().map(|id| pending(&who, *id)).collect(),
        ..Commit::of(vec![add("count", 1, None)])
    };
    assert!(commit(&*store.b, unit(&given[2..3])).await.is_done());
    assert_eq!(commit(&*store.a, unit(&given)).await, Outcome::NotPending);
    assert_eq!(ids(&own(&*store.a, &who).await.claimed), [given[0], given[1], given[3]]);
    assert_eq!(count(&*store.a, "count").await, 1);
    assert!(commit(&*store.a, unit(&[given[0], given[1], given[3]])).await.is_done());
    assert!(own(&*store.a, &who).await.claimed.is_empty());
    assert_eq!(count(&*store.a, "count").await, 2);
}

pub(crate) async fn what_was_not_handed_out_cannot_be_acknowledged(engine: &dyn Engine) {
    let store = engine.open().await;
    let who = reader(GROUP, "a");
    let id = say(&*store.a, WORK, [1]).await[0];
    let unit = handled(&who, id, vec![add("count", 1, None)]);
    assert_eq!(commit(&*store.a, unit.clone()).await, Outcome::NotPending, "without a group");
    store.a.ensure_group(WORK, GROUP).await.unwrap();
    assert_eq!(commit(&*store.a, unit.clone()).await, Outcome::NotPending, "before a read");
    assert_eq!(count(&*store.a, "count").await, 0);
    read(&*store.a, &who, 1).await;
    assert!(commit(&*store.a, unit).await.is_done());
}
