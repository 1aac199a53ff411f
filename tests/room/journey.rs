//! The journey of the README: an idea becomes an experiment that writes real mail to a real server by its schedule, fails, is judged, is
//! stopped, and leaves a learning.

use std::io::{BufRead as _, BufReader};
use std::process::{Child as Process, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};

use super::redis_server::RedisServer;
use super::*;

/// Longer than until a minute's schedule comes.
const MINUTES: Duration = Duration::from_mins(3);
/// Where the files of the journey are.
const FILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/journey");
/// What is said to the team, as the README tells.
const SOLD: &str = "We sell Pylon, which writes shift plans for cleaning firms";
const IDEA: &str = "/idea Mail the operations managers in leads.csv whose trial runs out, really send it, every minute";

/// The mail server of the journey.
struct MailServer {
    process: Process,
    port: u16,
    lines: Receiver<String>,
    text: String,
}

impl Drop for MailServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl MailServer {
    fn start() -> Self {
        let mut process = Command::new("/usr/bin/python3")
            .args([&format!("{FILES}/mail_server.py"), "0"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the system has no Python; run tests/run --install");
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let first = lines.next().expect("the mail server did not start; run tests/run --install").unwrap();
        let port = first.rsplit(':').next().unwrap().parse().unwrap();
        let (said, heard) = sync_channel(100_000);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let _ = said.send(line);
            }
        });
        Self { process, port, lines: heard, text: String::new() }
    }

    /// The mails that came so far.
    fn mails(&mut self) -> Vec<&str> {
        for line in self.lines.try_iter() {
            self.text.push_str(&line);
            self.text.push('\n');
        }
        self.text.split("--- for ").skip(1).collect()
    }
}

/// Puts the files of the journey into the folder where it begins, for a mail server that listens elsewhere.
fn lay_out(home: &Path, port: u16) {
    std::fs::copy(format!("{FILES}/leads.csv"), home.join("leads.csv")).unwrap();
    let settings = std::fs::read_to_string(format!("{FILES}/fullsend.toml")).unwrap();
    assert!(settings.contains(":8025"));
    std::fs::write(home.join("fullsend.toml"), settings.replace(":8025", &format!(":{port}"))).unwrap();
}

/// Waits with the patience that a schedule needs.
fn comes(screen: &Screen, what: &str, done: impl Fn(&str) -> bool) -> String {
    let began = Instant::now();
    loop {
        let text = screen.text();
        if done(&text) {
            return text;
        }
        assert!(began.elapsed() < MINUTES, "`{what}` never came:\n{text}");
        moment(100);
    }
}

/// Says something to the team.
fn say(screen: &mut Screen, words: &str) {
    screen.press("i");
    screen.shows("nothing is written yet");
    screen.press(words);
    screen.shows("a chat message of yours");
    screen.press("\x13");
    screen.until("it is said", |text| !text.contains("a chat message of yours"));
}

/// Looks at what waits, and says yes.
fn approve(screen: &mut Screen, title: &str) -> String {
    comes(screen, title, |text| text.contains("NEEDS YOU 1"));
    screen.press("a");
    let shown = comes(screen, "the request", |text| text.contains(title) && text.contains("y approve"));
    // The keys are armed a moment after it came up. Another request may follow at once: that one is not answered here.
    while screen.text().contains(title) {
        screen.press("y");
        moment(200);
    }
    screen.press("\x1b");
    // With what is pressed at once, a terminal takes it for Alt.
    moment(300);
    shown
}

fn journey(url: Option<&str>) -> String {
    let home = home();
    let mut server = MailServer::start();
    lay_out(home.path(), server.port);
    let more: Vec<(&str, &str)> = url.iter().map(|url| ("REDIS_URL", *url)).collect();
    let mut screen = Screen::with(home.path(), &[], 50, 160, &more);
    screen.shows("⏎ begins");
    screen.press("\r");
    say(&mut screen, SOLD);
    screen.shows("Noted: what we sell");
    say(&mut screen, IDEA);
    approve(&mut screen, "Design an experiment");
    let asked = approve(&mut screen, "Go live");
    for words in ["40", "mara@pylon.example", "leads.csv"] {
        assert!(asked.contains(words), "{words} is not shown:\n{asked}");
    }
    // Its minute comes, and mail goes out.
    let began = Instant::now();
    while server.mails().is_empty() {
        assert!(began.elapsed() < MINUTES, "no mail came:\n{}", screen.text());
        moment(100);
    }
    screen.press("4");
    comes(&screen, "a verdict", |text| text.contains("fails: 9") && text.contains("% sure"));
    while server.mails().len() < 20 {
        assert!(began.elapsed() < MINUTES, "{} of 20 mails came:\n{}", server.mails().len(), screen.text());
        moment(100);
    }
    screen.press("x");
    let text = comes(&screen, "the question", |text| text.contains("Kill exp_"));
    let id: String =
        text[text.find("exp_").unwrap()..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    let began = Instant::now();
    while !screen.text().contains("archived") {
        screen.press("y");
        moment(100);
    }
    assert!(began.elapsed() < Duration::from_secs(2), "it was stopped after {:?}", began.elapsed());
    let learnings = home.path().join(".local/state/fullsend/context/learnings.md");
    screen.until("the learning", |_| std::fs::read_to_string(&learnings).is_ok_and(|it| it.contains("Does not work")));
    let mails = server.mails();
    assert_eq!(mails.len(), 20, "twenty could be reached, each once");
    for mail in mails {
        let has = |words: &str| assert!(mail.contains(words), "{words} is not in it:\n{mail}");
        ["From: ", "mara@pylon.example", "1 Main Street", "List-Unsubscribe"].into_iter().for_each(has);
    }
    screen.press("\x03\x03");
    assert_eq!(screen.ended(), 0);
    id
}

#[test]
fn an_idea_becomes_mail_numbers_a_verdict_a_stop_and_a_learning() {
    journey(None);
}

/// What is left behind there can be read by anybody with `redis-cli`.
#[test]
fn an_idea_becomes_all_that_on_redis_too() {
    let server = RedisServer::durable();
    let id = journey(Some(&server.url()));
    let mut link = server.connection();
    let document: std::collections::HashMap<String, String> =
        redis::cmd("HGETALL").arg(format!("experiments:{id}")).query(&mut link).unwrap();
    assert_eq!(document["state"], "archived", "{document:?}");
    let metrics: u64 = redis::cmd("XLEN").arg("fullsend:metrics:stream").query(&mut link).unwrap();
    assert!(metrics > 0);
}

/// The README tells the journey as it is run here.
#[test]
fn the_readme_tells_it() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    for words in [SOLD, IDEA, "assets/journey", "mail_server.py"] {
        assert!(readme.contains(words), "the README does not say `{words}`");
    }
}
