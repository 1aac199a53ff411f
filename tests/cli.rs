//! The program as a person meets it: arguments, environment, files, exit codes, streams.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may stop at what it did not expect, also in its helpers"
)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// A user with an empty home folder and an empty environment.
struct User {
    home: TempDir,
}

impl User {
    fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap() }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fullsend"));
        command.args(args).env_clear().env("HOME", self.home.path()).current_dir(self.home.path());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.home.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

/// A setting as `fullsend config --json` shows it.
fn setting(output: &Output, key: &str) -> (Value, String) {
    assert_eq!(code(output), 0, "{}", stderr(output));
    let all: Value = serde_json::from_str(&stdout(output)).unwrap();
    let found = all["settings"].as_array().unwrap().iter().find(|setting| setting["key"] == key);
    let found = found.unwrap_or_else(|| panic!("no {key}"));
    (found["value"].clone(), found["place"].as_str().unwrap().to_owned())
}

#[test]
fn help_version_and_usage() {
    let user = User::new();
    let bare = user.run(&[]);
    assert_eq!(code(&bare), 2);
    assert_eq!(stdout(&bare), "");
    assert!(stderr(&bare).contains("the control room needs a terminal"), "{}", stderr(&bare));

    let help = user.run(&["--help"]);
    assert_eq!(code(&help), 0);
    assert!(stdout(&help).contains("--mode <manual|guarded|autopilot>"), "{}", stdout(&help));
    let verb = user.run(&["config", "--help"]);
    assert!(stdout(&verb).contains("Example: fullsend config --template"), "{}", stdout(&verb));

    let version = user.run(&["--version"]);
    assert_eq!(stdout(&version), format!("fullsend {}\n", env!("CARGO_PKG_VERSION")));

    let unknown = user.run(&["confg", "redis://u:canary@h\u{1b}[2J"]);
    assert_eq!(code(&unknown), 2);
    let said = stderr(&unknown);
    assert!(said.contains("config") && !said.contains("canary") && !said.contains('\u{1b}'), "{said}");
}

#[test]
fn layers_from_the_real_process() {
    let user = User::new();
    let home = user.home.path();
    let plain = user.run(&["config", "--json"]);
    let state = home.join(".local/state/fullsend");
    assert_eq!(setting(&plain, "home"), (state.to_str().unwrap().into(), "default".to_owned()));
    assert_eq!(setting(&plain, "bus.url").0, "embedded");
    assert_eq!(setting(&plain, "services.only").0, serde_json::json!([]));
    assert_eq!(setting(&plain, "bus.ca").0, Value::Null);
    assert!(!state.exists(), "looking at settings makes nothing");

    user.write(".config/fullsend/fullsend.toml", "mode = \"manual\"\n[log]\nkeep = 3\n");
    let file = home.join(".config/fullsend/fullsend.toml");
    let by_file = user.run(&["config", "--json"]);
    assert_eq!(setting(&by_file, "log.keep"), (3.into(), format!("{}:3:1", file.display())));

    let mut command = user.command(&["config", "--json", "--prefix", "team:"]);
    command.env("XDG_STATE_HOME", home.join("st")).env("FULLSEND_MODE", "autopilot").env("REDIS_URL", "redis://h");
    let mixed = command.output().unwrap();
    assert_eq!(setting(&mixed, "mode"), ("autopilot".into(), "env FULLSEND_MODE".to_owned()));
    assert_eq!(setting(&mixed, "bus.url"), ("redis://h".into(), "env REDIS_URL".to_owned()));
    assert_eq!(setting(&mixed, "bus.prefix"), ("team:".into(), "flag --prefix".to_owned()));
    assert_eq!(setting(&mixed, "home").0, home.join("st/fullsend").to_str().unwrap());
    assert_eq!(setting(&mixed, "log.keep").0, 3);

    let back = user.command(&["--bus=embedded", "config", "--json"]).env("REDIS_URL", "redis://h").output().unwrap();
    assert_eq!(setting(&back, "bus.url"), ("embedded".into(), "flag --bus".to_owned()));

    user.write("c/fullsend/fullsend.toml", "mode = \"autopilot\"\n");
    let elsewhere = user.command(&["config", "--json"]).env("XDG_CONFIG_HOME", home.join("c")).output().unwrap();
    assert_eq!(setting(&elsewhere, "mode").0, "autopilot");
    user.write("fullsend.toml", "mode = \"guarded\"\n");
    assert!(setting(&user.run(&["config", "--json"]), "mode").1.ends_with("fullsend.toml:1:1"));
}

#[test]
fn every_flag_sets_its_setting() {
    let user = User::new();
    for (flag, value, key, shown) in [
        ("--mode", "manual", "mode", "manual"),
        ("--home", "/h", "home", "/h"),
        ("--context", "/c", "context", "/c"),
        ("--bus", "redis://a", "bus.url", "redis://a"),
        ("--redis-url", "redis://b", "bus.url", "redis://b"),
        ("--prefix", "p:", "bus.prefix", "p:"),
        ("--durability", "full", "bus.durability", "full"),
        ("--log", "debug", "log.level", "debug"),
    ] {
        let (found, place) = setting(&user.run(&["config", "--json", flag, value]), key);
        assert_eq!(found, shown, "{flag}");
        assert!(place.starts_with("flag --"), "{flag}: {place}");
    }
}

#[test]
fn wrong_settings_are_refused() {
    let user = User::new();
    user.write("fullsend.toml", "\n[bus]\nprefx = \"a\"\n");
    let refused = user.command(&["config", "--mode", "manuel"]).env("FULLSEND_MOD", "x").output().unwrap();
    assert_eq!(code(&refused), 2);
    assert_eq!(stdout(&refused), "");
    let said = stderr(&refused);
    for part in [
        "fullsend.toml:3:1: unknown setting `bus.prefx`; did you mean `bus.prefix`?",
        "env FULLSEND_MOD: no setting has this name; did you mean `FULLSEND_MODE`?",
        "flag --mode: mode: `manuel` is none of: manual, guarded, autopilot; did you mean `manual`?",
    ] {
        assert!(said.contains(part), "{said}");
    }

    // The way out works all the same.
    let template = user.run(&["config", "--template"]);
    assert_eq!(code(&template), 0);
    user.write("fullsend.toml", &stdout(&template));
    assert_eq!(code(&user.run(&["config"])), 0);
}

#[test]
fn a_password_is_never_shown() {
    let user = User::new();
    let url = "redis://user:canary%2Fword@host:6379/2";
    for args in [&["config"][..], &["config", "--json"]] {
        let shown = user.command(args).env("REDIS_URL", url).output().unwrap();
        assert_eq!(code(&shown), 0);
        let all = stdout(&shown) + &stderr(&shown);
        assert!(all.contains("redis://user:***@host:6379/2") && !all.contains("canary"), "{all}");
        assert_eq!(stderr(&shown), "");
    }
    let by_flag = user.run(&["config", "--redis-url", url]);
    assert!(stderr(&by_flag).starts_with("warning: --bus holds a password"), "{}", stderr(&by_flag));
    assert!(!(stdout(&by_flag) + &stderr(&by_flag)).contains("canary"));

    user.write("fullsend.toml", &format!("bus.url = \"{url}\"\n"));
    let file = user.home.path().join("fullsend.toml");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let open = user.run(&["config"]);
    assert!(stderr(&open).contains("is open to other users. chmod 600 "), "{}", stderr(&open));
    assert!(!(stdout(&open) + &stderr(&open)).contains("canary"));

    let wrong =
        user.command(&["config", "--config", "canary-key-0001"]).env("X_API_KEY", "canary-key-0001").output().unwrap();
    assert_eq!(code(&wrong), 2);
    assert!(!stderr(&wrong).contains("canary"), "{}", stderr(&wrong));
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let user = User::new();
    for args in [&["completions", "zsh"][..], &["config"], &["config", "--json"], &["--help"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ended = user.command(args).stdout(writer).output().unwrap();
        assert_eq!((code(&ended), stderr(&ended)), (0, String::new()), "{args:?}");
    }
}

#[test]
fn completions_for_the_shells() {
    let user = User::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = user.run(&["completions", shell]);
        assert_eq!(code(&script), 0);
        assert!(stdout(&script).contains("durability"), "{shell}");
    }
}

#[test]
fn the_table_is_aligned() {
    let output = User::new().run(&["config"]);
    let lines: Vec<String> = BufReader::new(&output.stdout[..]).lines().map(Result::unwrap).collect();
    let column = lines[0].find("VALUE").unwrap();
    assert!(lines.len() > 15, "{lines:?}");
    for line in &lines {
        assert_eq!(&line[column - 1..column], " ", "{line}");
        assert_ne!(&line[column..=column], " ", "{line}");
    }
}

#[test]
fn a_program_gets_errors_as_json() {
    let user = User::new();
    let error = |output: &Output| -> Value {
        assert_eq!(stdout(output), "");
        serde_json::from_str(&stderr(output)).unwrap_or_else(|err| panic!("{err}: {}", stderr(output)))
    };
    // Nobody listens on a socket that is not there.
    let away = user.run(&["groups", "list", "--json", "--bus", "unix:///nonexistent/redis.sock"]);
    let said = error(&away);
    assert_eq!((code(&away), &said["error"]), (1, &"the bus cannot be opened".into()));
    assert!(
        said["causes"][0].as_str().unwrap().starts_with("the bus cannot be reached: unix:///nonexistent"),
        "{said}"
    );
    assert!(said["hints"][0].as_str().unwrap().contains("`fullsend doctor` says more"), "{said}");
    assert!(!said.to_string().contains("by itself"), "a verb that ends tries nothing again: {said}");

    let unknown = user.run(&["confg", "--json"]);
    assert_eq!((code(&unknown), error(&unknown)["error"].as_str()), (2, Some("unrecognized subcommand 'confg'")));
    let refused = user.run(&["config", "--mode", "manuel", "--json"]);
    assert!(code(&refused) == 2 && error(&refused)["error"].is_string(), "{}", stderr(&refused));
}

#[test]
fn looking_makes_nothing_and_a_refused_backup_opens_nothing() {
    let user = User::new();
    let doctor = user.run(&["doctor", "--home", "typo"]);
    assert_eq!(code(&doctor), 0);
    assert!(stdout(&doctor).contains("there is no store in "), "{}", stdout(&doctor));
    assert!(!user.home.path().join("typo").exists());

    user.write("b.jsonl", "{\"no\":\"backup\"}\n");
    for bus in ["embedded", "unix:///nonexistent/redis.sock"] {
        let refused = user.run(&["restore", "b.jsonl", "--home", "fresh", "--bus", bus]);
        assert_eq!(code(&refused), 1);
        let said = stderr(&refused);
        assert!(said.starts_with("error: b.jsonl is not restored; nothing was written"), "{said}");
        assert!(!user.home.path().join("fresh/fullsend.db").exists());
    }
}
