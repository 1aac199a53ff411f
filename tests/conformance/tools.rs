//! What the cases share: messages, short ways to say and read them, and waiting for a thing itself.

use std::time::Duration;

use fullsend::bus::{
    Bus, Claimed, Claims, Commit, Document, Entry, EntryId, Heard, Key, LeaseFence, Listener, Op, Outcome, Outgoing,
    PendingRef, Range, Reader, Record, State, Want,
};
use fullsend::contracts::{ChannelName, Envelope, Ids, Priority, TraceId, Trust};
use tokio::sync::mpsc;

/// Until when something has to become true.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);
/// Until when a case has to be over.
pub(crate) const CASE_DEADLINE: Duration = Duration::from_secs(90);
/// A moment, for engines that live in real time.
pub(crate) const SHORT: Duration = Duration::from_millis(150);
/// Longer than any test runs.
pub(crate) const LONG: Duration = Duration::from_hours(1);

pub(crate) const WORK: ChannelName = ChannelName::Metrics;
pub(crate) const OTHER: ChannelName = ChannelName::Alerts;
pub(crate) const NOTICE: ChannelName = ChannelName::Costs;

/// Asks until there is an answer.
pub(crate) async fn eventually<T>(what: &str, ask: impl AsyncFn() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    match tokio::time::timeout(DEADLINE, asking).await {
        Ok(answer) => answer,
        Err(late) => panic!("{what} did not happen: {late}"),
    }
}

/// What a future gives, if it does so in time.
pub(crate) async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(answer) => answer,
        Err(late) => panic!("{what} takes too long: {late}"),
    }
}

// ---- messages ----------------------------------------------------------------------------------------------------------

/// An envelope of its own for each number.
pub(crate) fn envelope(n: u64) -> Envelope {
    let at = chrono::DateTime::from_timestamp_millis(1_772_357_400_000).unwrap();
    let id = Ids::seeded(n).message(at);
    Envelope {
        id,
        kind: "test".into(),
        v: 1,
        source: "executor".into(),
        at,
        trace: TraceId::from(id),
        cause: None,
        subject: Some(format!("subject \"{n}\"")),
        priority: Priority::High,
        trust: Trust::System,
        expires_at: None,
    }
}

pub(crate) fn message(channel: ChannelName, n: u64) -> Outgoing {
    Outgoing::new(channel, envelope(n), format!(r#"{{"type":"test","n":{n}}}"#)).unwrap()
}

pub(crate) fn append(channel: ChannelName, n: u64) -> Op {
    Op::Append(message(channel, n))
}

/// The number of the message in an entry.
pub(crate) fn number(entry: &Entry) -> u64 {
    let body: serde_json::Value = serde_json::from_str(&entry.b).unwrap();
    body["n"].as_u64().unwrap()
}

pub(crate) fn numbers<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Vec<u64> {
    entries.into_iter().map(number).collect()
}

/// Number and attempt of each.
pub(crate) fn attempts(claimed: &[Claimed]) -> Vec<(u64, u32)> {
    let one = |message: &Claimed| (number(&message.entry), message.attempt);
    claimed.iter().map(one).collect()
}

pub(crate) fn ids(claimed: &[Claimed]) -> Vec<EntryId> {
    claimed.iter().map(|message| message.entry.id).collect()
}

// ---- saying and reading ------------------------------------------------------------------------------------------------

/// Commits one unit.
pub(crate) async fn commit(bus: &dyn Bus, unit: Commit) -> Outcome {
    let mut outcomes = bus.commit(vec![unit]).await.unwrap();
    assert_eq!(outcomes.len(), 1);
    outcomes.remove(0)
}

/// Commits ops that must be committed.
pub(crate) async fn done(bus: &dyn Bus, ops: Vec<Op>) -> Vec<EntryId> {
    match commit(bus, Commit::of(ops)).await {
        Outcome::Committed(ids) => ids,
        other => panic!("not committed: {other:?}"),
    }
}

/// Appends one message for each number, each in a unit of its own, all in one call.
pub(crate) async fn say(bus: &dyn Bus, channel: ChannelName, numbers: impl IntoIterator<Item = u64>) -> Vec<EntryId> {
    let units = numbers.into_iter().map(|n| Commit::of(vec![append(channel, n)]));
    let outcomes = bus.commit(units.collect()).await.unwrap();
    let ids = outcomes.into_iter().map(|outcome| match outcome {
        Outcome::Committed(ids) => ids[0],
        other => panic!("not committed: {other:?}"),
    });
    ids.collect()
}

pub(crate) fn reader(group: &str, consumer: &str) -> Reader {
    Reader { group: group.to_owned(), consumer: format!("{group}@host#{consumer}") }
}

/// Reads what is there, to start at once.
pub(crate) async fn read(bus: &dyn Bus, reader: &Reader, count: usize) -> Vec<Claimed> {
    let want = Want { start: count, ahead: 0 };
    bus.read(reader, &[WORK], want, Duration::ZERO).await.unwrap()
}

pub(crate) fn pending(reader: &Reader, id: EntryId) -> PendingRef {
    PendingRef { channel: WORK, group: reader.group.clone(), entry: id }
}

/// A unit that acknowledges and does `ops`.
pub(crate) fn handled(reader: &Reader, id: EntryId, ops: Vec<Op>) -> Commit {
    Commit { acknowledge: vec![pending(reader, id)], ..Commit::of(ops) }
}

pub(crate) fn start(reader: &Reader, id: EntryId, attempt: u32) -> Op {
    Op::Start { pending: pending(reader, id), consumer: reader.consumer.clone(), attempt }
}

/// Everything that the reader holds.
pub(crate) async fn own(bus: &dyn Bus, reader: &Reader) -> Claims {
    bus.own_pending(reader, &[WORK], 1_000).await.unwrap()
}

/// Takes over what was silent for `idle`.
pub(crate) async fn stale(bus: &dyn Bus, reader: &Reader, idle: Duration) -> Claims {
    bus.claim_stale(reader, &[WORK], idle, 1_000).await.unwrap()
}

/// All entries of a channel.
pub(crate) async fn all(bus: &dyn Bus, channel: ChannelName) -> Vec<Entry> {
    bus.range(channel, Range::after(EntryId::ZERO, 100_000)).await.unwrap()
}

pub(crate) async fn hear(listener: &mut Listener) -> Heard {
    in_time("hearing", listener.heard.recv()).await.expect("the listener ended")
}

// ---- state -------------------------------------------------------------------------------------------------------------

pub(crate) fn add(key: &str, n: i64, ceiling: Option<i64>) -> Op {
    Op::Add { key: Key::new(key), field: "n".to_owned(), n, ceiling }
}

pub(crate) async fn get(bus: &dyn Bus, key: &str) -> Option<State> {
    bus.get(&Key::new(key)).await.unwrap()
}

pub(crate) async fn document(bus: &dyn Bus, key: &str) -> Option<Document> {
    get(bus, key).await.map(|state| state.document().unwrap().clone())
}

/// The counter `n` under a key.
pub(crate) async fn count(bus: &dyn Bus, key: &str) -> i64 {
    match document(bus, key).await {
        Some(document) => document.get("n").unwrap().parse().unwrap(),
        None => 0,
    }
}

pub(crate) async fn lease(bus: &dyn Bus, name: &str, owner: &str) -> LeaseFence {
    bus.lease(name, owner, LONG).await.unwrap().expect("the lease is free")
}

// ---- the whole store ---------------------------------------------------------------------------------------------------

/// Everything in the store, through a queue that is shorter than it.
pub(crate) async fn export(bus: &dyn Bus) -> Vec<Record> {
    let (sink, mut source) = mpsc::channel(2);
    let collect = async {
        let mut records = Vec::new();
        while let Some(record) = source.recv().await {
            records.push(record);
        }
        records
    };
    let (exported, records) = in_time("the export", async { tokio::join!(bus.export(sink), collect) }).await;
    exported.unwrap();
    records
}

/// Everything in the store, as sorted lines: two stores are the same if these are.
pub(crate) async fn snapshot(bus: &dyn Bus) -> Vec<String> {
    let records = export(bus).await;
    let mut lines: Vec<String> = records.iter().map(|record| serde_json::to_string(record).unwrap()).collect();
    lines.sort();
    lines
}
