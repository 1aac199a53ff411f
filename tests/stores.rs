//! Backups and moves as a person makes them: on real stores, by the program itself.
#![expect(clippy::unwrap_used, reason = "a test may stop at what it did not expect, also in its helpers")]

#[path = "support/redis_server.rs"]
mod redis_server;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use redis_server::{RedisServer, Settings, Transport};
use serde_json::Value;
use tempfile::TempDir;

fn fullsend(home: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fullsend"));
    command.args(args).env_clear().env("HOME", home).current_dir(home);
    command
}

fn run(home: &Path, args: &[&str]) -> Output {
    fullsend(home, args).output().unwrap()
}

/// What a verb that must go well printed as JSON.
fn json(home: &Path, args: &[&str]) -> Value {
    let output = run(home, &[args, &["--json"]].concat());
    assert_eq!(output.status.code(), Some(0), "{args:?}: {}", stderr(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A home whose bus holds a few messages.
fn furnished() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    for text in ["one", "two"] {
        let body = format!(r#"{{"type":"echo_request","text":"{text}"}}"#);
        json(home.path(), &["publish", "echo", &body]);
    }
    home
}

#[test]
fn a_backup_comes_back_by_file_and_by_pipe() {
    let home = furnished();
    let home = home.path();
    let made = json(home, &["backup", "b.jsonl"]);
    assert_eq!(made["counts"]["messages"], 2);
    assert_eq!(run(home, &["backup", "b.jsonl"]).status.code(), Some(2));

    let restored = json(home, &["restore", "b.jsonl", "--home", "second"]);
    assert_eq!(restored["counts"], made["counts"]);
    let again = run(home, &["restore", "b.jsonl", "--home", "second"]);
    assert!(again.status.code() == Some(1) && stderr(&again).contains("is not empty"), "{}", stderr(&again));

    let piped = run(home, &["backup", "-", "--home", "second"]);
    let lines = |bytes: &[u8]| std::str::from_utf8(bytes).unwrap().lines().count();
    assert_eq!(lines(&piped.stdout), lines(&fs::read(home.join("b.jsonl")).unwrap()));
    let mut child = fullsend(home, &["restore", "-", "--home", "third"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&piped.stdout).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(json(home, &["backup", "third.jsonl", "--home", "third"])["counts"]["messages"], 2);

    fs::write(home.join("cut.jsonl"), &piped.stdout[..piped.stdout.len() - 9]).unwrap();
    let cut = run(home, &["restore", "cut.jsonl", "--home", "fourth"]);
    assert!(cut.status.code() == Some(1) && stderr(&cut).contains("cut off"), "{}", stderr(&cut));
    assert!(!home.join("fourth/fullsend.db").exists());
}

#[test]
fn every_way_to_a_server_may_stand_in_the_settings() {
    let home = tempfile::tempdir().unwrap();
    let server = RedisServer::fleeting();
    let port = server.port().to_string();
    let sentinel = RedisServer::start(Settings {
        sentinel: true,
        more: ["--sentinel", "monitor", "main", "127.0.0.1", &port, "1"].map(str::to_owned).to_vec(),
        ..Settings::default()
    });
    let [unix, tls] = [Transport::Unix, Transport::Tls]
        .map(|transport| RedisServer::start(Settings { transport, ..Settings::default() }));
    let authority = tls.ca_file();
    for url in [
        server.url(),
        format!("valkey://127.0.0.1:{port}"),
        format!("redis+sentinel://127.0.0.1:{}/main", sentinel.port()),
        unix.url(),
        tls.url(),
    ] {
        let said = fullsend(home.path(), &["publish", "echo", r#"{"type":"echo_request","text":"x"}"#])
            .env("REDIS_URL", &url)
            .env("FULLSEND_BUS__CA", &authority)
            .output()
            .unwrap();
        assert_eq!(said.status.code(), Some(0), "{url}: {}", stderr(&said));
    }
    assert_eq!(server.run(&["XLEN", "fullsend:echo:stream"]), redis::Value::Int(3));
}

#[test]
fn a_bus_moves_to_redis_and_back() {
    let server = RedisServer::durable();
    let url = server.url();
    let home = furnished();
    let home = home.path();
    let there = json(home, &["move", "--to", &url]);
    assert_eq!((&there["to"]["engine"], &there["counts"]["messages"]), (&"redis".into(), &2.into()));
    let back = json(home, &["move", "--to", "embedded", "--bus", &url, "--home", "second"]);
    assert_eq!((&back["to"]["engine"], &back["counts"]["messages"]), (&"embedded".into(), &2.into()));
    // The numbers of leases go up whenever somebody asks for one.
    let counts = |value: &Value| (value["counts"]["idempotency keys"].clone(), value["counts"]["channels"].clone());
    assert_eq!(counts(&there), counts(&back));

    let same = run(home, &["move", "--to", &url, "--bus", &url]);
    assert!(same.status.code() == Some(2) && stderr(&same).contains("already"), "{}", stderr(&same));
    let full = run(home, &["move", "--to", &url]);
    assert!(full.status.code() == Some(1) && stderr(&full).contains("is not empty"), "{}", stderr(&full));
}

#[test]
fn doctor_ends_with_1_where_the_promise_does_not_hold() {
    let server = RedisServer::fleeting();
    let home = tempfile::tempdir().unwrap();
    let output = run(home.path(), &["doctor", "--bus", &server.url()]);
    let said = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("ERROR    the append-only file is off"), "{said}");

    let nowhere = run(home.path(), &["doctor", "--bus", "unix:///nowhere.sock"]);
    let said = String::from_utf8(nowhere.stdout.clone()).unwrap();
    assert!(nowhere.status.code() == Some(1) && said.contains("the bus cannot be reached"), "{said}");
}
