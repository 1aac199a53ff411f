//! Export and import, within an engine and between engines.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use fullsend::bus::{
    Bus, BusError, Commit, EntryId, Expect, Key, Op, Outcome, Outgoing, Record, StateChange, Timer, Ttl, Want,
};
use fullsend::contracts::ChannelName;
use pretty_assertions::assert_eq;
use tokio::sync::mpsc;

use crate::stores::{Engine, TestBus};
use crate::tools::*;

const ECHO: ChannelName = ChannelName::Echo;

fn once(key: &str, n: u64) -> Commit {
    Commit { once: Some(key.to_owned()), ..Commit::of(vec![append(OTHER, n)]) }
}

fn due() -> DateTime<Utc> {
    envelope(0).at + TimeDelta::seconds(1)
}

/// A store with something of everything.
async fn furnished(engine: &dyn Engine) -> TestBus {
    let store = engine.open().await;
    let (one, two) = (reader("g", "one"), reader("g", "two"));
    let given = say(&*store.a, WORK, 0..40).await;
    for group in ["g", "h"] {
        store.a.ensure_group(WORK, group).await.unwrap();
    }
    let want = Want { start: 5, ahead: 5 };
    store.a.read(&one, &[WORK], want, Duration::ZERO).await.unwrap();
    store.a.read(&two, &[WORK], want, Duration::ZERO).await.unwrap();
    done(&*store.a, vec![start(&one, given[3], 4)]).await;
    assert!(commit(&*store.a, handled(&one, given[0], Vec::new())).await.is_done());
    assert!(commit(&*store.a, handled(&two, given[12], Vec::new())).await.is_done());
    assert!(commit(&*store.a, once("it's once", 1)).await.is_done());
    let odd = r#"{ "type":"test", "text":"😀 \u0000 \" \n ' % \\" }"#.to_owned();
    done(&*store.a, vec![Op::Append(Outgoing::new(OTHER, envelope(1), odd).unwrap())]).await;
    // A channel whose entries have gone; what an engine keeps when it trims, somebody deletes.
    say(&*store.a, ECHO, 0..3).await;
    store.a.trim(ECHO, DateTime::UNIX_EPOCH, 0).await.unwrap();
    for entry in all(&*store.a, ECHO).await {
        store.by_hand.delete_entry(ECHO, entry.id).await;
    }
    done(&*store.a, state()).await;
    for name in ["timers", "given up"] {
        lease(&*store.a, name, "one").await;
        store.a.unlease(name, "one").await.unwrap();
        lease(&*store.a, name, "two").await;
    }
    store.a.unlease("given up", "two").await.unwrap();
    store
}

fn state() -> Vec<Op> {
    let change = |key: &str, ttl| Op::Change {
        key: Key::new(key),
        expect: Expect::Any,
        fields: vec![("text".to_owned(), Some("a\u{0}b 😀".to_owned())), (String::new(), Some(String::new()))],
        ttl,
    };
    let state = |key: &str, change| Op::State { key: Key::new(key), change };
    let push = |value: &str| StateChange::Push { value: value.to_owned(), keep: 9 };
    let score = |member: &str, score| StateChange::Score { member: member.to_owned(), score };
    let timer = |id: &str, seconds| {
        Op::Schedule(Timer { id: id.to_owned(), at: due() + TimeDelta::seconds(seconds), message: message(NOTICE, 7) })
    };
    vec![
        change("doc", Ttl::Keep),
        change("doc", Ttl::Keep),
        change("ends", Ttl::Set(LONG)),
        add("doc", -5, None),
        add("only a count", 7, None),
        state("string", StateChange::SetString(String::new())),
        state("list", push("b")),
        state("list", push("a")),
        state("list", push("b")),
        state("set", StateChange::AddMember("x".to_owned())),
        state("set", StateChange::AddMember(String::new())),
        state("zset", score("z", -1.5)),
        state("zset", score("a", 0.1 + 0.2)),
        timer("sooner", 0),
        timer("later", 600),
    ]
}

/// Sends records as an import wants them: through a short queue, as JSON lines.
async fn import(bus: &dyn Bus, records: &[Record]) -> Result<u64, BusError> {
    let (sink, source) = mpsc::channel(2);
    let send = async move {
        for record in records {
            let line = serde_json::to_string(record).unwrap();
            // An import that refuses stops taking.
            if sink.send(serde_json::from_str(&line).unwrap()).await.is_err() {
                return;
            }
        }
    };
    let (imported, ()) = in_time("the import", async { tokio::join!(bus.import(source), send) }).await;
    imported
}

/// The records with ends rounded away, and the ends.
fn compared(records: &[Record]) -> (Vec<String>, Vec<(String, DateTime<Utc>)>) {
    let mut lines = Vec::new();
    let mut ends = Vec::new();
    for record in records {
        let mut record = record.clone();
        match &mut record {
            Record::State { key, expires_at, .. } => {
                ends.extend(expires_at.take().map(|end| (key.to_string(), end)));
            }
            Record::Once { key, expires_at, .. } => {
                ends.push((format!("once {key}"), *expires_at));
                *expires_at = DateTime::UNIX_EPOCH;
            }
            _ => {}
        }
        lines.push(serde_json::to_string(&record).unwrap());
    }
    lines.sort();
    ends.sort();
    (lines, ends)
}

/// Whether two stores hold the same; an end may differ by what a server's clock and ours do.
fn assert_same(before: &[Record], after: &[Record]) {
    let ((lines, ends), (new_lines, new_ends)) = (compared(before), compared(after));
    assert_eq!(lines, new_lines);
    assert_eq!(ends.len(), new_ends.len());
    for ((key, end), (new_key, new_end)) in ends.iter().zip(&new_ends) {
        assert_eq!(key, new_key);
        assert!((*end - *new_end).abs() < TimeDelta::seconds(20), "{key}: {end} became {new_end}");
    }
}

/// What a record is, in short, for counting.
fn kind(record: &Record) -> &'static str {
    match record {
        Record::Entry { .. } => "entry",
        Record::Channel { .. } => "channel",
        Record::Group { .. } => "group",
        Record::Pending { .. } => "pending",
        Record::State { .. } => "state",
        Record::Timer { .. } => "timer",
        Record::Once { .. } => "once",
        Record::Fence { .. } => "fence",
    }
}

pub(crate) async fn everything_is_put_back(engine: &dyn Engine) {
    everything_moves(engine, engine).await;
}

/// Everything in a store of one engine is put into one of another, and is the same there.
pub(crate) async fn everything_moves(from: &dyn Engine, to: &dyn Engine) {
    let (old, new) = (furnished(from).await, to.open().await);
    let records = export(&*old.b).await;
    let of = |wanted| records.iter().filter(move |record| kind(record) == wanted).count();
    let counts = ["entry", "group", "pending", "state", "timer", "once", "fence"].map(of);
    assert_eq!(counts, [42, 2, 18, 7, 2, 1, 2]);
    assert_eq!(import(&*new.a, &records).await, Ok(records.len() as u64));
    assert_same(&records, &export(&*new.b).await);
    // Exporting has changed nothing, and what was moved is read as before.
    assert_same(&records, &export(&*old.a).await);
    for channel in [WORK, OTHER, ECHO] {
        assert_eq!(all(&*new.b, channel).await, all(&*old.b, channel).await);
    }
    for key in ["doc", "ends", "only a count", "string", "list", "set", "zset"] {
        assert_eq!(get(&*new.b, key).await, get(&*old.b, key).await, "{key}");
    }
}

pub(crate) async fn a_moved_store_goes_on(engine: &dyn Engine) {
    let (old, store) = (furnished(engine).await, engine.open().await);
    let records = export(&*old.b).await;
    import(&*store.a, &records).await.unwrap();
    let (one, two) = (reader("g", "one"), reader("g", "two"));
    // Groups: own pending with attempts, then what comes next; the other group from the beginning.
    let held = attempts(&own(&*store.b, &one).await.claimed);
    assert_eq!(held, [(1, 1), (2, 1), (3, 4), (4, 1), (5, 0), (6, 0), (7, 0), (8, 0), (9, 0)]);
    assert_eq!(own(&*store.b, &two).await.claimed.len(), 9);
    assert_eq!(attempts(&read(&*store.b, &one, 1).await), [(20, 1)]);
    assert_eq!(read(&*store.b, &reader("h", "a"), 100).await.len(), 40);
    assert_eq!(store.b.ensure_group(WORK, "g").await, Ok(fullsend::bus::GroupFound::Existing));
    // Ids go on above the newest that was ever given.
    let newest = records.iter().find_map(|record| match record {
        Record::Channel { channel, last } if *channel == ECHO => Some(*last),
        _ => None,
    });
    assert!(say(&*store.b, ECHO, [9]).await[0] > newest.unwrap());
    // Idempotency keys.
    let said = all(&*store.b, OTHER).await[0].id;
    assert_eq!(commit(&*store.b, once("it's once", 2)).await, Outcome::Duplicate(vec![said]));
    // Versions.
    let change = |version| {
        Commit::of(vec![Op::Change {
            key: Key::new("doc"),
            expect: Expect::Version(version),
            fields: Vec::new(),
            ttl: Ttl::Keep,
        }])
    };
    assert!(matches!(commit(&*store.b, change(1)).await, Outcome::Conflict { found: Some(2), .. }));
    assert!(commit(&*store.b, change(2)).await.is_done());
    // Fencing numbers rise on; nobody holds a lease.
    for name in ["timers", "given up"] {
        let number = records.iter().find_map(|record| match record {
            Record::Fence { name: of, number } if of == name => Some(*number),
            _ => None,
        });
        assert!(lease(&*store.b, name, "three").await.number > number.unwrap());
    }
    // Timers.
    let fence = lease(&*store.b, "timers", "three").await;
    assert_eq!(store.b.fire_timers(due(), 10, &fence).await, Ok(1));
    assert_eq!(numbers(&all(&*store.b, NOTICE).await), [7]);
}

pub(crate) async fn an_import_wants_an_empty_store(engine: &dyn Engine) {
    let record =
        |n| Record::Entry { channel: WORK, id: EntryId { ms: n, seq: 0 }, e: String::new(), b: "{}".to_owned() };
    for filled in 0..4 {
        let store = engine.open().await;
        match filled {
            0 => drop(say(&*store.a, OTHER, [1]).await),
            1 => drop(done(&*store.a, vec![add("count", 1, None)]).await),
            2 => drop(store.a.ensure_group(OTHER, "g").await),
            _ => drop(done(&*store.a, vec![state().remove(13)]).await),
        }
        let before = snapshot(&*store.a).await;
        assert!(!before.is_empty());
        let refused = import(&*store.b, &[record(1)]).await;
        assert!(matches!(refused, Err(BusError::NotEmpty(_))), "{filled}: {refused:?}");
        assert_eq!(snapshot(&*store.a).await, before);
    }
    let store = engine.open().await;
    assert_eq!(import(&*store.a, &[]).await, Ok(0));
    assert_eq!(import(&*store.a, &[record(1), record(2)]).await, Ok(2));
    assert!(matches!(import(&*store.b, &[record(3)]).await, Err(BusError::NotEmpty(_))));
}

pub(crate) async fn a_record_that_does_not_fit_is_refused(engine: &dyn Engine) {
    let entry = |ms| Record::Entry { channel: WORK, id: EntryId { ms, seq: 0 }, e: String::new(), b: "{}".to_owned() };
    let pending = Record::Pending {
        channel: WORK,
        group: "never".to_owned(),
        consumer: "a".to_owned(),
        id: EntryId { ms: 5, seq: 0 },
        attempt: 1,
    };
    for unfit in [entry(4), entry(5), pending] {
        let store = engine.open().await;
        let refused = import(&*store.a, &[entry(5), unfit]).await;
        assert!(matches!(refused, Err(BusError::BadRecord { line: 2, .. })), "{refused:?}");
    }
}

pub(crate) async fn an_export_stops_when_nobody_takes_it(engine: &dyn Engine) {
    let store = furnished(engine).await;
    let (sink, mut source) = mpsc::channel(1);
    let take_one = async {
        assert!(source.recv().await.is_some());
        drop(source);
    };
    let (exported, ()) = in_time("the export", async { tokio::join!(store.a.export(sink), take_one) }).await;
    assert!(exported.is_err());
}
