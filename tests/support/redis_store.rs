//! Stores of the redis engine: one server for the whole test binary, a prefix of its own for each store.

use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use fullsend::bus::redis::{RedisBus, RedisOptions};
use fullsend::bus::{EntryId, Key, SharedBus};
use fullsend::contracts::{ChannelName, SystemClock};
use redis::aio::MultiplexedConnection;

use crate::stores::{ByHand, Engine, TestBus};

/// The redis engine, on a real server.
pub(crate) struct Redis;

/// A server that ends when the test binary does, however that ends.
struct Server {
    url: String,
    _files: tempfile::TempDir,
    /// Its input closes with this process; then the shell stops the server.
    _shell: Mutex<Child>,
}

/// Starts the server and keeps it until its input ends.
const SHELL: &str = r#"redis-server "$@" >/dev/null 2>&1 & read -r _; kill $!; wait"#;

fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        let files = tempfile::tempdir().unwrap();
        let socket = files.path().join("redis.sock");
        let shell = Command::new("sh")
            .args(["-c", SHELL, "sh", "--port", "0", "--appendonly", "yes", "--save", "", "--dir"])
            .arg(files.path())
            .arg("--unixsocket")
            .arg(&socket)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        let server = Server {
            url: format!("unix://{}", socket.display()),
            _files: files,
            _shell: Mutex::new(shell),
        };
        let end = Instant::now() + Duration::from_secs(10);
        let client = redis::Client::open(server.url.as_str()).unwrap();
        while client.get_connection().is_err() {
            assert!(Instant::now() < end, "redis-server does not answer");
            std::thread::park_timeout(Duration::from_millis(10));
        }
        server
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
        let url = tokio::task::spawn_blocking(|| server().url.clone()).await.unwrap();
        let prefix = format!("test{:016x}:", fastrand::u64(..));
        let client = redis::Client::open(url.as_str()).unwrap();
        let connection = client.get_multiplexed_async_connection().await.unwrap();
        TestBus {
            a: handle(&url, &prefix).await,
            b: handle(&url, &prefix).await,
            c: handle(&url, &prefix).await,
            clock: None,
            by_hand: Box::new(RedisByHand { prefix, connection }),
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
