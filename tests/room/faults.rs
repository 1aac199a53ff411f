//! What goes wrong around the room: the bus, the terminal, the process itself.

use super::redis_server::{RedisServer, Settings, Transport};
use super::*;

/// A server that keeps what it has answered, on a socket that no other test takes.
fn server() -> RedisServer {
    RedisServer::start(Settings { durable: Some("always"), transport: Transport::Unix, ..Settings::default() })
}

fn signal(screen: &Screen, signal: nix::sys::signal::Signal) {
    let pid = screen.child.process_id().unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid.try_into().unwrap()), signal).unwrap();
}

/// Says something in the room.
fn say(screen: &mut Screen, words: &str) {
    screen.press("i");
    screen.shows("nothing is written yet");
    screen.press(words);
    screen.shows("a chat message of yours");
    screen.press("\x13");
    // Its row, and not the field that it was written in: only then has the room read the bus.
    screen.until(words, |text| text.lines().any(|line| line.contains("discord_raw") && line.contains(words)));
}

#[test]
fn a_server_that_is_killed_and_comes_back_is_said_and_nothing_is_lost() {
    let home = home();
    let mut server = server();
    let mut screen = Screen::with(home.path(), &[], 40, 140, &[("REDIS_URL", &server.url())]);
    screen.shows("⏎ begins");
    screen.press("\r");
    say(&mut screen, "said before");
    server.kill();
    screen.shows("reconnecting");
    server.restart();
    screen.until("it is back", |text| !text.contains("reconnecting") && text.contains("the bus was away"));
    let text = screen.text();
    assert!(text.contains("said before") && text.contains("╌╌ the bus was away"), "{text}");
    say(&mut screen, "said after");
    screen.press("\x03\x03");
    assert_eq!(screen.ended(), 0);
    screen.is_restored();
}

#[test]
fn what_was_being_written_survives_a_kill() {
    let home = home();
    let mut screen = Screen::open(home.path(), &[], 30, 120);
    screen.shows("⏎ begins");
    screen.press("\r");
    screen.press("i");
    screen.shows("nothing is written yet");
    screen.press("half a thought");
    let memory = home.path().join(".local/state/fullsend/room.0.json");
    screen.until("it is written down", |_| {
        std::fs::read_to_string(&memory).is_ok_and(|text| text.contains("half a thought"))
    });
    signal(&screen, nix::sys::signal::Signal::SIGKILL);
    screen.ended();
    let mut screen = Screen::open(home.path(), &[], 30, 120);
    screen.shows("needs you: 0");
    screen.press("i");
    screen.shows("half a thought");
    screen.press("\x03\x03");
    assert_eq!(screen.ended(), 0);
}

#[test]
fn a_kill_is_taken_back_after_a_restart() {
    let home = home();
    let mut screen = Screen::open(home.path(), &[], 40, 140);
    screen.shows("⏎ begins");
    screen.press("\r");
    let fields = [("state", "ready"), ("hypothesis", "CTOs answer")];
    together::document(home.path(), "experiments:exp_20261121_ctos", &fields);
    screen.shows("…ctos");
    screen.press("4");
    screen.shows("4 Experiments");
    screen.press("x");
    screen.shows("Kill exp_20261121_ctos?");
    screen.press("x");
    screen.press("y");
    screen.until("it is archived", |text| text.contains("archived") && !text.contains("Kill exp"));
    screen.press("\x03\x03");
    assert_eq!(screen.ended(), 0);
    let mut screen = Screen::open(home.path(), &[], 40, 140);
    screen.until("the experiment", |text| text.contains("ctos") && text.contains("archived"));
    screen.press("u");
    screen.until("it is back", |text| text.lines().any(|line| line.contains("ctos") && line.contains("ready")));
    screen.press("\x03\x03");
    assert_eq!(screen.ended(), 0);
}

#[test]
fn a_terminal_that_takes_nothing_any_more_does_not_keep_it_from_ending() {
    let home = home();
    let pty = native_pty_system().openpty(PtySize { rows: 60, cols: 200, pixel_width: 0, pixel_height: 0 }).unwrap();
    let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_fullsend"));
    command.arg("attach");
    command.env_clear();
    for (name, value) in [("HOME", home.path().to_str().unwrap()), ("TERM", "xterm-256color"), ("USER", "mara")] {
        command.env(name, value);
    }
    command.cwd(home.path());
    let mut child = pty.slave.spawn_command(command).unwrap();
    drop(pty.slave);
    // Nobody reads what it writes; keys make it write more than the terminal holds. (They must fit into what the terminal keeps of them.)
    let mut keys = pty.master.take_writer().unwrap();
    keys.write_all("\r".as_bytes()).unwrap();
    keys.write_all("1\t2\t4\t".repeat(500).as_bytes()).unwrap();
    moment(3_000);
    let pid = nix::unistd::Pid::from_raw(child.process_id().unwrap().try_into().unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    let began = Instant::now();
    while child.try_wait().unwrap().is_none() {
        assert!(began.elapsed() < PATIENCE, "it waits for a terminal that takes nothing");
        std::thread::yield_now();
    }
}

#[test]
fn a_terminal_of_sixteen_colours_gets_no_others() {
    let home = home();
    let mut screen = Screen::with(home.path(), &["attach"], 30, 120, &[("TERM", "linux")]);
    screen.shows("Team");
    screen.press("\r");
    screen.shows("Traffic");
    let bytes = String::from_utf8_lossy(&screen.bytes.lock().unwrap()).into_owned();
    assert!(!bytes.contains("8;2;"), "a colour that it has not");
    let colours: Vec<u32> = bytes
        .split("8;5;")
        .skip(1)
        .map(|rest| rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap())
        .collect();
    assert!(!colours.is_empty() && colours.iter().all(|colour| *colour < 16), "{colours:?}");
    screen.press("\x03\x03");
    assert_eq!(screen.ended(), 0);
}

#[test]
fn a_dumb_terminal_and_a_screen_reader_get_plain_lines_and_no_colours() {
    for more in [[("TERM", "dumb"), ("USER", "mara")], [("ACCESSIBILITY_ENABLED", "1"), ("NO_COLOR", "1")]] {
        let home = home();
        let mut screen = Screen::with(home.path(), &["attach"], 30, 120, &more);
        screen.shows("Team");
        screen.press("\r");
        let text = screen.shows("Traffic");
        assert!(text.contains('+') && !text.contains('│') && !text.contains('┃') && !text.contains('─'), "{text}");
        let bytes = String::from_utf8_lossy(&screen.bytes.lock().unwrap()).into_owned();
        let coloured = |from: u32, to: u32| (from..=to).any(|code| bytes.contains(&format!("\x1b[{code}m")));
        assert!(!coloured(30, 37) && !coloured(90, 97) && !bytes.contains("8;5;") && !bytes.contains("8;2;"));
        screen.press("\x03\x03");
        assert_eq!(screen.ended(), 0);
        screen.is_restored();
    }
}

#[test]
fn a_request_is_told_by_bell_notification_and_title_and_the_title_is_given_back() {
    let home = home();
    let mut screen = Screen::open(home.path(), &[], 40, 140);
    screen.shows("⏎ begins");
    screen.press("\r");
    // The title is ours once it was read what waits.
    screen
        .until("the title", |_| String::from_utf8_lossy(&screen.bytes.lock().unwrap()).contains("\x1b]0;fullsend\x07"));
    together::propose(home.path(), 1);
    screen.shows("NEEDS YOU 1");
    screen.press("\x03\x03");
    assert_eq!(screen.ended(), 0);
    screen.is_restored();
    let bytes = String::from_utf8_lossy(&screen.bytes.lock().unwrap()).into_owned();
    assert_eq!(bytes.matches("\x1b]9;Fullsend needs you: idea 1\x1b\\\x07").count(), 1, "once");
    assert!(bytes.contains("\x1b]0;(1) fullsend\x07"), "the title counts");
    let (put_aside, taken_back) = (bytes.find("\x1b[22;2t").unwrap(), bytes.find("\x1b[23;2t").unwrap());
    assert!(put_aside < taken_back);
}
