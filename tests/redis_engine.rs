//! The Redis engine against a real server: what the conformance suite cannot ask of every engine. By subject, in modules.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

#[path = "redis_engine/commits.rs"]
mod commits;
#[path = "redis_engine/groups.rs"]
mod groups;
#[path = "redis_engine/moving.rs"]
mod moving;
#[path = "redis_engine/outages.rs"]
mod outages;
#[path = "support/redis_server.rs"]
mod redis_server;
#[path = "redis_engine/servers.rs"]
mod servers;
#[path = "redis_engine/view.rs"]
mod view;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use fullsend::bus::{
    Bus, Commit, EntryId, Expect, Key, Op, Outcome, Outgoing, PendingRef, Reader, RedisBus, RedisOptions, Ttl, Want,
};
use fullsend::contracts::{ChannelName, Envelope, Ids, Priority, SystemClock, Trust};
use redis_server::RedisServer;

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
