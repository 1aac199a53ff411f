//! The control room as a person meets it: in a terminal, from the first key to the last.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may stop at what it did not expect, also in its helpers"
)]

#[path = "room/faults.rs"]
mod faults;
#[path = "room/journey.rs"]
mod journey;
#[path = "support/redis_server.rs"]
mod redis_server;
#[path = "room/together.rs"]
mod together;

use std::io::{Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use tempfile::TempDir;

/// Longer than any machine needs; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_mins(1);

/// A terminal with the program in it.
struct Screen {
    parser: Arc<Mutex<vt100::Parser>>,
    /// Everything that was written.
    bytes: Arc<Mutex<Vec<u8>>>,
    keys: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    master: Box<dyn MasterPty + Send>,
}

impl Screen {
    fn open(home: &Path, args: &[&str], rows: u16, cols: u16) -> Self {
        Self::with(home, args, rows, cols, &[])
    }

    /// With further variables of the environment, or others.
    fn with(home: &Path, args: &[&str], rows: u16, cols: u16, more: &[(&str, &str)]) -> Self {
        let pty = native_pty_system().openpty(PtySize { rows, cols, pixel_width: 0, pixel_height: 0 }).unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_fullsend"));
        command.args(args);
        command.env_clear();
        for (name, value) in
            [("HOME", home.to_str().unwrap()), ("TERM", "xterm-256color"), ("USER", "mara"), ("RUST_BACKTRACE", "0")]
        {
            command.env(name, value);
        }
        command.env("EDITOR", home.join("editor.sh"));
        for (name, value) in more {
            command.env(name, value);
        }
        command.cwd(home);
        let child = pty.slave.spawn_command(command).unwrap();
        drop(pty.slave);
        let keys = pty.master.take_writer().unwrap();
        let mut reader = pty.master.try_clone_reader().unwrap();
        let parser = Arc::new(Mutex::new(vt100::Parser::new(rows, cols, 0)));
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let (into, kept) = (Arc::clone(&parser), Arc::clone(&bytes));
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                into.lock().unwrap().process(&buffer[..count]);
                kept.lock().unwrap().extend_from_slice(&buffer[..count]);
            }
        });
        Self { parser, bytes, keys, child, master: pty.master }
    }

    fn text(&self) -> String {
        self.parser.lock().unwrap().screen().contents()
    }

    /// Waits for these words to be on the screen.
    fn shows(&self, words: &str) -> String {
        self.until(words, |text| text.contains(words))
    }

    fn until(&self, what: &str, done: impl Fn(&str) -> bool) -> String {
        let began = Instant::now();
        loop {
            let text = self.text();
            if done(&text) {
                return text;
            }
            assert!(began.elapsed() < PATIENCE, "`{what}` never came:\n{text}");
            std::thread::yield_now();
        }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Waits for its end, and returns its exit code.
    fn ended(&mut self) -> u32 {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.exit_code();
            }
            assert!(began.elapsed() < PATIENCE, "it does not end:\n{}", self.text());
            std::thread::yield_now();
        }
    }

    /// Whether the terminal is as it was: the first screen, the cursor, no modes of ours.
    fn is_restored(&self) {
        // The last that was written may still be on its way when the program has ended.
        let began = Instant::now();
        let is_ours =
            |screen: &vt100::Screen| screen.alternate_screen() || screen.hide_cursor() || screen.bracketed_paste();
        while is_ours(self.parser.lock().unwrap().screen()) && began.elapsed() < PATIENCE {
            std::thread::yield_now();
        }
        let parser = self.parser.lock().unwrap();
        let screen = parser.screen();
        assert!(!screen.alternate_screen(), "the other screen is left");
        assert!(!screen.hide_cursor(), "the cursor is back");
        assert!(!screen.bracketed_paste(), "paste is as it was");
        assert_eq!(screen.mouse_protocol_mode(), vt100::MouseProtocolMode::None, "the mouse is free");
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Not `kill`: that is SIGHUP first, which leaves the team running.
        if let Some(pid) = self.child.process_id().and_then(|pid| i32::try_from(pid).ok()) {
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).ok();
        }
        self.child.wait().ok();
    }
}

/// So many milliseconds in which nothing is done.
fn moment(ms: u64) {
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(ms) {
        std::thread::yield_now();
    }
}

fn home() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn a_newcomer_says_something_sees_it_and_leaves_a_clean_terminal() {
    let home = home();
    let mut screen = Screen::open(home.path(), &[], 30, 120);
    let welcome = screen.shows("enter begins".replace("enter", "⏎").as_str());
    assert!(welcome.contains("Team") && welcome.contains("runs inside this program"), "{welcome}");
    screen.press("\r");
    screen.until("the welcome goes", |text| !text.contains("⏎ begins"));
    screen.press("i");
    screen.shows("nothing is written yet");
    screen.press("is anybody there?");
    screen.shows("a chat message of yours");
    screen.press("\x13");
    screen.until("the message among the others", |text| {
        text.lines().any(|line| line.contains("is anybody there?") && line.contains("mara"))
    });
    screen.press("q");
    screen.shows("stop the team, and end");
    screen.press("s");
    assert_eq!(screen.ended(), 0);
    screen.shows("stopped; everything that was being handled has finished");
    screen.is_restored();
}

/// What a verb says in this home.
fn said(home: &Path, args: &[&str]) -> String {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_fullsend"));
    let output =
        command.args(args).env_clear().env("HOME", home).env("USER", "mara").current_dir(home).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_note_is_edited_in_the_persons_editor_and_is_a_new_version() {
    use std::os::unix::fs::PermissionsExt;
    let home = home();
    let editor = home.path().join("editor.sh");
    std::fs::write(&editor, "#!/bin/sh\necho '- [ ] written in the editor' >> \"$1\"\n").unwrap();
    std::fs::set_permissions(&editor, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut screen = Screen::open(home.path(), &[], 30, 120);
    screen.shows("⏎ begins");
    screen.press("\r");
    screen.press("5");
    screen.shows("The team does not know yet what it sells");
    screen.press("E");
    screen.shows("worklist is at version");
    screen.shows("[ ] written in the editor");
    let written = said(home.path(), &["notes", "show", "worklist"]);
    assert!(written.contains("- [ ] written in the editor"), "{written}");
    let history = said(home.path(), &["notes", "history", "worklist"]);
    assert!(history.lines().any(|line| line.contains("mara") && line.contains("edited by hand")), "{history}");
    // The terminal is the room's again.
    screen.press("h");
    screen.shows("+- [ ] written in the editor");
    screen.press("\x03\x03");
    assert_eq!(screen.ended(), 0);
    screen.is_restored();
}

#[test]
fn a_second_room_attaches_by_itself_and_both_show_the_same() {
    let home = home();
    let mut first = Screen::open(home.path(), &[], 30, 120);
    first.shows("⏎ begins");
    first.press("\r");
    let mut second = Screen::open(home.path(), &[], 30, 120);
    second.shows("attached");
    second.press("\r");
    second.press("i");
    second.press("said in the second room");
    second.shows("a chat message of yours");
    second.press("\x13");
    first.shows("said in the second ro");
    second.press("q");
    second.shows("The team runs in process");
    second.press("l");
    assert_eq!(second.ended(), 0);
    second.shows("the team goes on (process");
    second.is_restored();
    // Another one stops it.
    let mut third = Screen::open(home.path(), &[], 30, 120);
    third.shows("attached");
    third.press("q");
    third.shows("stop the team, and end");
    third.press("s");
    assert_eq!(third.ended(), 0);
    third.shows("stopping the team (process");
    assert_eq!(first.ended(), 0);
    first.is_restored();
}

#[test]
fn the_switch_for_screen_readers_opens_the_room_without_lines() {
    let home = home();
    let mut screen = Screen::with(home.path(), &[], 30, 120, &[("FULLSEND_PLAIN", "1")]);
    let text = screen.shows("+ Services");
    assert!(!text.contains('\u{2502}') && !text.contains('\u{2501}'), "{text}");
    screen.press("\x03\x03");
    assert_eq!(screen.ended(), 0);
}

#[test]
fn a_resize_storm_and_a_signal_leave_a_clean_terminal() {
    let home = home();
    let mut screen = Screen::open(home.path(), &["attach"], 24, 80);
    screen.shows("runs elsewhere");
    for (rows, cols) in [(1, 1), (5, 20), (200, 300), (2, 2), (18, 60), (60, 200), (1, 1), (24, 80)] {
        screen.master.resize(PtySize { rows, cols, pixel_width: 0, pixel_height: 0 }).unwrap();
        // The emulator cannot wrap what is two columns wide on a screen of one.
        screen.parser.lock().unwrap().screen_mut().set_size(rows, cols.max(2));
    }
    screen.press("\r");
    screen.shows("Traffic");
    let pid = screen.child.process_id().unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid.try_into().unwrap()), nix::sys::signal::Signal::SIGTERM)
        .unwrap();
    assert_eq!(screen.ended(), 0);
    screen.is_restored();
}

/// The processes of this home.
fn processes(home: &Path) -> Vec<i32> {
    let mark = format!("HOME={}\0", home.display()).into_bytes();
    let all = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let ours = |pid: &i32| {
        std::fs::read(format!("/proc/{pid}/environ")).is_ok_and(|it| it.windows(mark.len()).any(|part| part == mark))
    };
    all.filter(ours).collect()
}

#[test]
fn a_connection_that_is_lost_leaves_the_team_running_and_a_new_room_attaches() {
    let home = home();
    let mut screen = Screen::open(home.path(), &[], 30, 120);
    screen.shows("⏎ begins");
    let first = screen.child.process_id().unwrap();
    // The terminal goes away: its other end closes, and the program is told so.
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(first.try_into().unwrap()), nix::sys::signal::Signal::SIGHUP)
        .unwrap();
    assert_eq!(screen.ended(), 0);
    screen.is_restored();
    let left = processes(home.path());
    assert_eq!(left.len(), 1, "the team goes on in a process of its own: {left:?}");
    // A room that came before the other process had taken its place would run the team itself.
    let began = Instant::now();
    let has_place = || {
        let locks = std::fs::read_to_string("/proc/locks").unwrap();
        locks.lines().any(|line| line.contains("FLOCK") && line.split_whitespace().any(|it| it == left[0].to_string()))
    };
    while !has_place() {
        assert!(began.elapsed() < PATIENCE, "it takes no place");
        std::thread::yield_now();
    }
    let second = Screen::open(home.path(), &[], 30, 120);
    second.shows("runs elsewhere");
    for pid in left {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGTERM).unwrap();
    }
}

#[test]
fn without_a_terminal_it_names_what_works_without_one() {
    let home = home();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_fullsend"))
        .env_clear()
        .env("HOME", home.path())
        .current_dir(home.path())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        said.contains("needs a terminal") && said.contains("fullsend serve") && said.contains("fullsend tail"),
        "{said}"
    );
    assert!(output.stdout.is_empty());
}

#[test]
fn keys_that_contradict_each_other_are_refused_before_the_screen_is_taken() {
    let home = home();
    let folder = home.path().join(".config/fullsend");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("keys.toml"), "inject = \"q\"\n").unwrap();
    let mut screen = Screen::open(home.path(), &[], 24, 120);
    assert_ne!(screen.ended(), 0);
    let said = screen.shows("keys.toml:1");
    assert!(said.contains("`q` is the key of `inject` and of `quit`"), "{said}");
    let bytes = screen.bytes.lock().unwrap().clone();
    assert!(!String::from_utf8_lossy(&bytes).contains("\x1b[?1049h"), "the screen was taken");
}

#[test]
fn a_recording_is_replayed_with_a_scrubber_and_says_nothing() {
    let home = home();
    let story = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/story.recording");
    let mut screen = Screen::open(home.path(), &["replay", story, "--speed", "0.125"], 40, 140);
    screen.shows("REPLAY");
    screen.press(">");
    screen.until("the end", |text| text.contains("NEEDS YOU 2") && text.contains("nothing can be said here"));
    screen.press("<");
    screen.until("the beginning", |text| text.contains("· 0 of "));
    screen.press("\x1b[C\x1b[C\x1b[D");
    screen.until("a message on", |text| text.contains("⏸") && !text.contains("· 0 of "));
    screen.press("i");
    screen.shows("this is a replay: nothing can be said or done from here");
    screen.press(" ");
    screen.shows("▶ 0.125x");
    screen.press("q");
    assert_eq!(screen.ended(), 0);
    screen.is_restored();
    let left: Vec<_> = std::fs::read_dir(home.path()).unwrap().collect();
    assert!(left.is_empty(), "a replay leaves nothing behind: {left:?}");
}

#[test]
fn a_file_that_is_no_recording_is_refused_before_the_screen_is_taken() {
    let home = home();
    let file = home.path().join("notes.txt");
    std::fs::write(&file, "hello\n").unwrap();
    let mut screen = Screen::open(home.path(), &["replay", file.to_str().unwrap()], 24, 120);
    assert_eq!(screen.ended(), 1);
    screen.shows("it is no recording: its first line is not the head of one");
    screen.is_restored();
}

/// Runs a verb to its end in this home.
fn verb(home: &Path, args: &[&str]) -> std::process::Output {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_fullsend"));
    command.args(args).env_clear().env("HOME", home).env("USER", "mara").current_dir(home).output().unwrap()
}

#[test]
fn what_is_recorded_is_for_its_owner_and_is_printed_without_a_terminal() {
    use std::os::unix::fs::PermissionsExt;
    let home = home();
    assert!(verb(home.path(), &["publish", "discord_raw", "is anybody there?"]).status.success());
    let record = verb(home.path(), &["record", "a.recording", "--for", "1s"]);
    assert!(record.status.success(), "{record:?}");
    let said = String::from_utf8(record.stdout).unwrap();
    assert!(
        said.starts_with("wrote a.recording: ") && said.contains("`fullsend replay a.recording` plays it"),
        "{said}"
    );
    let mode = std::fs::metadata(home.path().join("a.recording")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let again = verb(home.path(), &["record", "a.recording", "--for", "1s"]);
    assert_eq!(again.status.code(), Some(2));
    assert!(String::from_utf8(again.stderr).unwrap().contains("is there already; `--force` writes over it"));
    let printed = String::from_utf8(verb(home.path(), &["replay", "a.recording", "--json"]).stdout).unwrap();
    assert!(printed.lines().next().unwrap().contains("\"fullsend_recording\":1"), "{printed}");
    assert_eq!(printed.matches("is anybody there?").count(), 1, "{printed}");
    let refused = verb(home.path(), &["replay", "a.recording"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8(refused.stderr).unwrap().contains("`replay --json` prints its items"));
    let late = verb(home.path(), &["replay", "a.recording", "--json", "--from", "+2h"]);
    assert!(String::from_utf8(late.stderr).unwrap().contains("`+2h` is not in it"));
}

#[test]
fn an_interrupt_ends_a_recording_well() {
    let home = home();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_fullsend"));
    command.args(["record", "a.recording"]).env_clear().env("HOME", home.path()).current_dir(home.path());
    let mut child = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    let mut remarks = std::io::BufReader::new(child.stderr.take().unwrap());
    std::io::BufRead::read_line(&mut remarks, &mut said).unwrap();
    assert!(said.starts_with("recording into a.recording"), "{said}");
    let file = home.path().join("a.recording");
    let began = Instant::now();
    while !std::fs::read_to_string(&file).is_ok_and(|text| text.contains("\"filled\"")) {
        assert!(began.elapsed() < PATIENCE, "nothing is recorded");
        std::thread::yield_now();
    }
    let pid = nix::unistd::Pid::from_raw(child.id().try_into().unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8(output.stdout).unwrap().starts_with("wrote a.recording"));
}
