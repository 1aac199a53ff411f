//! `fullsend serve` as a person meets it: a server that is not there yet, a second one beside it, signals.
#![expect(clippy::unwrap_used, reason = "a test may stop at what it did not expect, also in its helpers")]

#[path = "support/redis_server.rs"]
mod redis_server;

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use redis_server::{RedisServer, Settings};
use tempfile::TempDir;

/// Longer than any machine needs; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for something that must happen.
fn until(done: impl Fn() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < PATIENCE, "it never happened");
        std::thread::yield_now();
    }
}

/// A running `fullsend serve` with a home of its own; killed when dropped.
struct Serve {
    home: TempDir,
    child: Child,
    lines: Receiver<String>,
}

impl Serve {
    fn at(url: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_fullsend"));
        command.args(["serve"]).env_clear().env("HOME", home.path()).env("REDIS_URL", url).current_dir(home.path());
        let mut child = command.stderr(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (said, lines) = mpsc::sync_channel(100);
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| said.send(line)));
        Self { home, child, lines }
    }

    /// The next line that it says.
    fn line(&mut self) -> String {
        self.lines.recv_timeout(PATIENCE).unwrap()
    }

    /// Reads on to a line with these words.
    fn says(&mut self, words: &str) -> String {
        loop {
            let line = self.line();
            if line.contains(words) {
                return line;
            }
        }
    }

    fn interrupt(&self) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), Signal::SIGINT).unwrap();
    }

    fn code(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    fn log(&self) -> String {
        let folder = self.home.path().join(".local/state/fullsend/logs");
        let files = fs::read_dir(folder).unwrap().map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap());
        files.collect()
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[test]
fn a_server_that_is_not_there_is_waited_for_and_who_else_serves_is_named() {
    let mut server = RedisServer::fleeting();
    server.kill();
    let mut first = Serve::at(&server.url());
    let waiting = first.line();
    assert!(waiting.contains("cannot be reached") && waiting.ends_with("waiting for it. Ctrl-C ends"), "{waiting}");
    assert!(waiting.contains(&server.port().to_string()), "{waiting}");
    server.restart();
    let serving = first.line();
    assert!(
        serving.starts_with("serving ") && serving.contains(" on redis ("),
        "said once, then it goes on: {serving}"
    );

    let mut second = Serve::at(&server.url());
    let other = second.says("another");
    let process = format!("/{}): they share the work", first.child.id());
    assert!(
        other.starts_with("another `fullsend serve` is running on this bus (") && other.ends_with(&process),
        "{other}"
    );
    for serve in [&mut second, &mut first] {
        serve.interrupt();
        serve.says("stopped; everything that was being handled has finished");
        assert_eq!(serve.code(), Some(0));
    }
}

#[test]
fn the_wait_for_a_server_can_be_ended() {
    let mut server = RedisServer::fleeting();
    server.kill();
    let mut serve = Serve::at(&server.url());
    serve.says("waiting for it");
    serve.interrupt();
    assert_eq!(serve.line(), "stopped before the bus could be reached");
    assert_eq!(serve.code(), Some(0));
}

#[test]
fn what_waiting_does_not_help_against_ends_at_once() {
    let server = RedisServer::start(Settings { password: Some("s3cret".to_owned()), ..Settings::default() });
    let mut wrong = Serve::at(&format!("redis://:wrong@127.0.0.1:{}", server.port()));
    assert_eq!(wrong.line(), "error: the bus cannot be opened");
    assert!(wrong.line().contains("refuses the user or the password"));
    assert_eq!(wrong.code(), Some(1));

    let server = RedisServer::fleeting();
    server.run(&["SET", "bus:schema", "9999"]);
    let mut newer = Serve::at(&server.url());
    newer.says("written by a newer program");
    assert_eq!(newer.code(), Some(1));
}

#[test]
fn a_second_signal_ends_at_once_and_the_log_is_whole() {
    let server = RedisServer::fleeting();
    let mut serve = Serve::at(&server.url());
    serve.says("serving");
    until(|| server.run(&["EXISTS", "fullsend:echo:stream"]) == redis::Value::Int(1));
    // Nothing can be handed back while the server does not answer.
    server.run(&["CLIENT", "PAUSE", "600000", "ALL"]);
    serve.interrupt();
    until(|| serve.log().contains("asked to stop"));
    serve.interrupt();
    assert_eq!(serve.code(), Some(130));
    assert!(serve.log().contains("a second signal: ending without finishing"), "{}", serve.log());
}
