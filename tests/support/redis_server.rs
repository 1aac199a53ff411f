//! A real Redis server for one test: its own directory, its own port, killed when dropped.
//!
//! Include it by `#[path = "support/redis_server.rs"] mod redis_server;`.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot be set up fails")]

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};

use tempfile::TempDir;

/// How the server is reached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Transport {
    #[default]
    Tcp,
    /// See [`RedisServer::ca_file`].
    Tls,
    Unix,
}

// A test uses only a part of all this.
const _: fn() = || {
    let _ = (RedisServer::durable, RedisServer::fleeting, RedisServer::ca_file, RedisServer::url_of);
    let _ = (RedisServer::port, RedisServer::run, RedisServer::path, RedisServer::kill);
    let _ = [Transport::Tls, Transport::Unix];
};

/// How the server is to be.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    /// Append-only file with this `appendfsync`. Without it nothing survives a kill; with `everysec` what is written while the
    /// disk is slow (up to two seconds) may not.
    pub(crate) durable: Option<&'static str>,
    /// Password of the default user.
    pub(crate) password: Option<String>,
    /// Users, as `ACL SETUSER` takes them: `ann on >secret ~* &* +@all`.
    pub(crate) users: Vec<String>,
    /// How it is reached.
    pub(crate) transport: Transport,
    /// Run as Sentinel.
    pub(crate) sentinel: bool,
    /// Further words of the command line: `["--maxmemory", "4mb"]`.
    pub(crate) more: Vec<String>,
}

/// A running server.
#[derive(Debug)]
pub(crate) struct RedisServer {
    settings: Settings,
    dir: TempDir,
    port: u16,
    child: Option<Child>,
}

impl RedisServer {
    /// A server that keeps what it has answered, whatever happens to it.
    pub(crate) fn durable() -> Self {
        Self::start(Settings { durable: Some("always"), ..Settings::default() })
    }

    /// A server that forgets: quicker to start.
    pub(crate) fn fleeting() -> Self {
        Self::start(Settings::default())
    }

    /// Starts a server, and returns when it takes connections.
    pub(crate) fn start(settings: Settings) -> Self {
        let dir = tempfile::tempdir().unwrap();
        // Free now; nobody else is given it while it is closed only for a moment.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut server = Self { settings, dir, port, child: None };
        server.write_files();
        server.restart();
        server
    }

    fn write_files(&self) {
        if self.settings.transport == Transport::Tls {
            let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
            let made = rcgen::generate_simple_self_signed(names).unwrap();
            fs::write(self.path("cert.pem"), made.cert.pem()).unwrap();
            fs::write(self.path("key.pem"), made.signing_key.serialize_pem()).unwrap();
        }
        let mut config = String::new();
        for user in &self.settings.users {
            writeln!(config, "user {user}").unwrap();
        }
        fs::write(self.path("redis.conf"), config).unwrap();
    }

    /// A file of the server.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The certificate to trust.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.path("cert.pem")
    }

    /// The port that it listens on.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The URL, with the password of the default user if there is one.
    pub(crate) fn url(&self) -> String {
        let password = self.settings.password.as_ref();
        let user = password.map(|password| format!(":{password}@")).unwrap_or_default();
        if self.settings.transport == Transport::Unix {
            return format!("unix://{}", self.path("redis.sock").display());
        }
        let scheme = if self.settings.transport == Transport::Tls { "rediss" } else { "redis" };
        format!("{scheme}://{user}127.0.0.1:{}/0", self.port)
    }

    /// The URL for another user.
    pub(crate) fn url_of(&self, user: &str, password: &str) -> String {
        format!("redis://{user}:{password}@127.0.0.1:{}/0", self.port)
    }

    /// Starts it on the same directory and port, and returns when it takes connections.
    pub(crate) fn restart(&mut self) {
        self.kill();
        let mut command = Command::new("redis-server");
        command.arg(self.path("redis.conf")).args(["--dir"]).arg(self.dir.path());
        command.args(["--bind", "127.0.0.1", "--save", ""]);
        let port = self.port.to_string();
        if self.settings.transport == Transport::Unix {
            command.args(["--port", "0", "--unixsocket"]).arg(self.path("redis.sock"));
        } else if self.settings.transport == Transport::Tls {
            command.args(["--port", "0", "--tls-auth-clients", "no", "--tls-port", &port]);
            command.arg("--tls-cert-file").arg(self.path("cert.pem"));
            command.arg("--tls-key-file").arg(self.path("key.pem"));
        } else {
            command.args(["--port", &port]);
        }
        if let Some(fsync) = self.settings.durable {
            command.args(["--appendonly", "yes", "--appendfsync", fsync]);
        }
        if let Some(password) = &self.settings.password {
            command.args(["--requirepass", password]);
        }
        command.args(&self.settings.more);
        if self.settings.sentinel {
            command.arg("--sentinel");
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server must be installed for these tests");
        let log = child.stdout.take().unwrap();
        self.child = Some(child);
        wait_until_ready(log, self.settings.sentinel);
    }

    /// Kills it at once, as a power cut of the process would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// A connection of the test's own, to look and to meddle.
    pub(crate) fn connection(&self) -> redis::Connection {
        redis::Client::open(self.url()).unwrap().get_connection().unwrap()
    }

    /// Runs one command of the test's own.
    pub(crate) fn run(&self, words: &[&str]) -> redis::Value {
        let mut cmd = redis::cmd(words[0]);
        for word in &words[1..] {
            cmd.arg(word);
        }
        cmd.query(&mut self.connection()).unwrap()
    }
}

/// The server says when it is ready; what it says later is read and forgotten, so that its pipe never fills.
fn wait_until_ready(log: ChildStdout, sentinel: bool) {
    let mut lines = BufReader::new(log).lines();
    let mut said = Vec::new();
    loop {
        let Some(Ok(line)) = lines.next() else {
            panic!("the server ended: {said:#?}");
        };
        let ready = if sentinel {
            line.contains("+monitor")
        } else {
            line.to_lowercase().contains("ready to accept connections")
        };
        said.push(line);
        if ready {
            break;
        }
    }
    std::thread::spawn(move || lines.for_each(drop));
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}
