//! History without a group: ranges, newest, watching.

use std::time::Duration;

use fullsend::bus::{Bound, EntryId, Range};
use pretty_assertions::assert_eq;
use tokio::time::Instant;

use crate::stores::Engine;
use crate::tools::*;

pub(crate) async fn ranges_have_bounds_and_directions(engine: &dyn Engine) {
    let store = engine.open().await;
    let given = say(&*store.a, WORK, 0..6).await;
    let ask = async |from, to, newest_first| {
        let range = Range { from, to, newest_first, limit: 100 };
        numbers(&store.b.range(WORK, range).await.unwrap())
    };
    let at = |n: usize| Bound::Entry(given[n]);
    for (from, to, expected) in [
        (Bound::Open, Bound::Open, 0..6),
        (at(1), Bound::Open, 2..6),
        (Bound::Open, at(4), 0..4),
        (at(1), at(4), 2..4),
        (at(2), at(3), 3..3),
        (at(5), Bound::Open, 6..6),
        (Bound::Open, at(0), 0..0),
        (at(4), at(1), 0..0),
        (Bound::Entry(EntryId::ZERO), Bound::Entry(EntryId::MAX), 0..6),
    ] {
        let forwards: Vec<u64> = expected.collect();
        let backwards: Vec<u64> = forwards.iter().rev().copied().collect();
        assert_eq!(ask(from, to, false).await, forwards, "{from:?} to {to:?}");
        assert_eq!(ask(from, to, true).await, backwards, "{from:?} to {to:?}, newest first");
    }
}

pub(crate) async fn ranges_are_limited(engine: &dyn Engine) {
    let store = engine.open().await;
    let given = say(&*store.a, WORK, 0..10).await;
    let ask = async |range| numbers(&store.b.range(WORK, range).await.unwrap());
    assert_eq!(ask(Range::newest(3)).await, [9, 8, 7]);
    assert_eq!(ask(Range::after(given[3], 2)).await, [4, 5]);
    let older = Range { to: Bound::Entry(given[7]), ..Range::newest(2) };
    assert_eq!(ask(older).await, [6, 5]);
}

pub(crate) async fn ranges_go_by_time(engine: &dyn Engine) {
    let store = engine.open().await;
    let mut given = Vec::new();
    for n in 0..6 {
        given.extend(say(&*store.a, WORK, [n]).await);
        store.pass(Duration::from_millis(10));
        // Spreads the entries where time is real; what is expected is told from their ids.
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    let entries = all(&*store.a, WORK).await;
    for (n, m) in [(0, 5), (1, 4), (2, 3), (3, 3), (4, 1)] {
        let (from, to) = (given[n].at(), given[m].at());
        let range = Range { from: Bound::Time(from), to: Bound::Time(to), newest_first: false, limit: 100 };
        let expected: Vec<_> =
            (entries.iter().filter(|entry| entry.id.at() >= from && entry.id.at() < to)).cloned().collect();
        assert_eq!(store.b.range(WORK, range).await.unwrap(), expected, "{n} to {m}");
        let since = Range { to: Bound::Open, ..range };
        let later = entries.iter().filter(|entry| entry.id.at() >= from);
        assert_eq!(numbers(&store.b.range(WORK, since).await.unwrap()), numbers(later));
    }
}

pub(crate) async fn the_newest_entries_are_known(engine: &dyn Engine) {
    let store = engine.open().await;
    assert_eq!(store.a.newest(&[WORK, OTHER]).await.unwrap(), [(WORK, None), (OTHER, None)]);
    let given = say(&*store.a, WORK, 0..3).await;
    let newest = store.b.newest(&[OTHER, WORK]).await.unwrap();
    assert_eq!(newest, [(OTHER, None), (WORK, Some(given[2]))]);
}

pub(crate) async fn a_watch_returns_what_is_there(engine: &dyn Engine) {
    let store = engine.open().await;
    let work = say(&*store.a, WORK, 0..5).await;
    let other = say(&*store.a, OTHER, 5..7).await;
    let cursors = [(WORK, work[1]), (OTHER, EntryId::ZERO)];
    let seen = store.b.watch(&cursors, 2, LONG).await.unwrap();
    let of = |channel| numbers(seen.iter().filter(move |entry| entry.channel == channel));
    assert_eq!((of(WORK), of(OTHER)), (vec![2, 3], vec![5, 6]));
    let cursors = [(WORK, work[4]), (OTHER, other[0])];
    assert_eq!(numbers(&store.b.watch(&cursors, 9, LONG).await.unwrap()), [6]);
}

pub(crate) async fn a_watch_wakes_for_another_handle(engine: &dyn Engine) {
    let store = engine.open().await;
    let mut cursor = EntryId::ZERO;
    for n in 0..3 {
        let bus = store.a.clone();
        let cursors = [(OTHER, EntryId::ZERO), (WORK, cursor)];
        let waiting = tokio::spawn(async move { bus.watch(&cursors, 10, LONG).await });
        let given = say(&*store.b, WORK, [n]).await;
        let seen = in_time("the watch", waiting).await.unwrap().unwrap();
        assert_eq!(numbers(&seen), [n]);
        cursor = given[0];
    }
}

pub(crate) async fn an_empty_watch_waits_as_long_as_asked(engine: &dyn Engine) {
    let store = engine.open().await;
    let given = say(&*store.a, WORK, [1]).await;
    let cursors = [(WORK, given[0]), (OTHER, EntryId::ZERO)];
    let watch = store.a.watch(&cursors, 5, Duration::ZERO);
    assert_eq!(in_time("an empty watch", watch).await, Ok(Vec::new()));
    let begun = Instant::now();
    let watch = store.a.watch(&cursors, 5, SHORT);
    assert_eq!(in_time("an empty watch", watch).await, Ok(Vec::new()));
    assert!(begun.elapsed() >= SHORT * 9 / 10, "back after {:?}", begun.elapsed());
}
