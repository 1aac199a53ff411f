//! Stores of the redis engine: one server for the whole test binary, a prefix of its own for each store.

#[path = "redis_server.rs"]
mod redis_server;

use std::sync::{Arc, Mutex, PoisonError, Weak};

use async_trait::async_trait;
use fullsend::bus::redis::{RedisBus, RedisOptions};
use fullsend::bus::{EntryId, Key, SharedBus};
use fullsend::contracts::{ChannelName, SystemClock};
use redis::aio::MultiplexedConnection;

use self::redis_server::RedisServer;
use crate::stores::{ByHand, Engine, TestBus};

/// The redis engine, on a real server.
pub(crate) struct Redis;

/// The server; it lives as long as a store on it.
fn server() -> Arc<RedisServer> {
    static SERVER: Mutex<Weak<RedisServer>> = Mutex::new(Weak::new());
    let mut server = SERVER.lock().unwrap_or_else(PoisonError::into_inner);
    server.upgrade().unwrap_or_else(|| {
        let started = Arc::new(RedisServer::fleeting());
        *server = Arc::downgrade(&started);
        started
    })
}

async fn handle(url: &str, prefix: &str) -> SharedBus {
    let mut options = RedisOptions::new(url, Arc::new(SystemClock));
    prefix.clone_into(&mut options.prefix);
    Arc::new(RedisBus::connect(options).await.unwrap())
}

struct RedisByHand {
    prefix: String,
    connection: MultiplexedConnection,
    /// Keeps it running.
    _server: Arc<RedisServer>,
}

impl RedisByHand {
    async fn do_it(&self, command: &[&str]) -> redis::Value {
        let mut cmd = redis::cmd(command[0]);
        cmd.arg(&command[1..]);
        cmd.query_async(&mut self.connection.clone()).await.unwrap()
    }

    fn stream(&self, channel: ChannelName) -> String {
        format!("{}{channel}:stream", self.prefix)
    }
}

#[async_trait]
impl Engine for Redis {
    async fn open(&self) -> TestBus {
        let server = tokio::task::spawn_blocking(server).await.unwrap();
        let url = server.url();
        let prefix = format!("test{:016x}:", fastrand::u64(..));
        let client = redis::Client::open(url.as_str()).unwrap();
        let connection = client.get_multiplexed_async_connection().await.unwrap();
        TestBus {
            a: handle(&url, &prefix).await,
            b: handle(&url, &prefix).await,
            c: handle(&url, &prefix).await,
            clock: None,
            by_hand: Box::new(RedisByHand { prefix, connection, _server: server }),
        }
    }
}

#[async_trait]
impl ByHand for RedisByHand {
    async fn delete_group(&self, channel: ChannelName, group: &str) {
        let gone = self.do_it(&["XGROUP", "DESTROY", &self.stream(channel), group]).await;
        assert_eq!(gone, redis::Value::Int(1));
    }

    async fn delete_entry(&self, channel: ChannelName, id: EntryId) {
        let gone = self.do_it(&["XDEL", &self.stream(channel), &id.to_string()]).await;
        assert_eq!(gone, redis::Value::Int(1));
    }

    async fn set_foreign(&self, key: &Key) -> bool {
        let key = format!("{}{key}", self.prefix);
        // A stream where a key of ours belongs; anything else where a stream does.
        if key.ends_with(":stream") {
            self.do_it(&["SET", &key, "x"]).await;
        } else {
            self.do_it(&["XADD", &key, "*", "f", "v"]).await;
        }
        true
    }

    async fn publish_bare(&self, channel: ChannelName, payload: &str) -> bool {
        self.do_it(&["PUBLISH", &format!("{}{channel}", self.prefix), payload]).await;
        true
    }
}
