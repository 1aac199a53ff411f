//! The README's pictures against what the program draws: made from `assets/story.recording`, and stale ones fail.
//!
//! `UPDATE_PICTURES=1 cargo test --test pictures` draws them anew; `tests/pictures/record.sh` makes the recording anew.
#![expect(clippy::unwrap_used, reason = "a test may stop at what it did not expect, also in its helpers")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// The pictures: file, and how `fullsend screenshot` is asked for it.
const PICTURES: [(&str, &[&str]); 4] = [
    ("deck.svg", &["deck", "--size", "160x44"]),
    ("deck-light.svg", &["deck", "--size", "120x36", "--theme", "light"]),
    ("mind.svg", &["mind", "--size", "140x36"]),
    ("trace.svg", &["trace", "--size", "160x34", "--press", "down down down"]),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn recording() -> PathBuf {
    root().join("assets/story.recording")
}

/// What the real program draws, in a home of its own.
fn drawn(args: &[&str]) -> String {
    let home = tempfile::tempdir().unwrap();
    let out = Command::new(env!("CARGO_BIN_EXE_fullsend"))
        .arg("screenshot")
        .args(args)
        .arg("--from")
        .arg(recording())
        .env_clear()
        .env("HOME", home.path())
        .current_dir(home.path())
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

#[test]
fn the_pictures_are_what_the_program_draws() {
    let mut stale = Vec::new();
    for (name, args) in PICTURES {
        let (path, now) = (root().join("assets/pictures").join(name), drawn(args));
        if std::env::var_os("UPDATE_PICTURES").is_some() {
            std::fs::write(&path, &now).unwrap();
        } else if std::fs::read_to_string(&path).ok().as_deref() != Some(now.as_str()) {
            stale.push(name);
        }
    }
    assert!(
        stale.is_empty(),
        "{stale:?} are stale: `UPDATE_PICTURES=1 cargo test --test pictures` draws them anew, then look at them"
    );
}

#[test]
fn the_pictures_show_the_story() {
    let deck = drawn(&["deck", "--size", "160x44", "--text"]);
    for words in [
        "FULLSEND",
        "NEEDS YOU",
        "What if we scraped",
        "exp_20261120_hn",
        "response_rate",
        "Event lists beat cold lists",
    ] {
        assert!(deck.contains(words), "`{words}` is not in\n{deck}");
    }
    let trace = drawn(&["trace", "--size", "160x34", "--text"]);
    for words in [
        "@mara discord_message",
        "watcher escalation",
        "→ dispatch_to_fullsend",
        "@mara approval_verdict",
        "experiment_request",
    ] {
        assert!(trace.contains(words), "`{words}` is not in\n{trace}");
    }
}

#[test]
fn the_readme_shows_pictures_that_are_there() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let shown: Vec<&str> =
        readme.match_indices("](assets/pictures/").map(|(at, _)| readme[at + 2..].split(')').next().unwrap()).collect();
    assert!(shown.contains(&"assets/pictures/deck.svg"), "the Deck is shown: {shown:?}");
    for path in shown {
        assert!(root().join(path).is_file(), "{path} is not there");
    }
}

#[test]
fn the_recording_says_nothing_of_the_machine_it_was_made_on() {
    let text = std::fs::read_to_string(recording()).unwrap();
    let machine = nix::unistd::gethostname().unwrap().into_string().unwrap();
    for words in ["/tmp/", "/root", "/home/", "/work", machine.as_str()] {
        assert!(!text.contains(words), "`{words}` is in the recording");
    }
    assert!(text.contains("mara"), "it has a person in it");
}
