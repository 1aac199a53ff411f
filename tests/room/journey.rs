//! The journey of the README: an idea becomes an experiment that writes real mail to a real server by its schedule, fails, is judged, is
//! stopped, and leaves a learning.

use super::smtp_server::SmtpServer;
use super::*;

/// Longer than until a minute's schedule comes.
const MINUTES: Duration = Duration::from_mins(3);

/// People to write to: every second address is unknown to the mail server.
fn leads() -> String {
    let rows = (0..40).map(|n| {
        let name = if n % 2 == 0 { "gone" } else { "anna" };
        format!("Anna,Operations manager,Cleaners {n},{name}{n}@cleaners{n}.example\n")
    });
    format!("first_name,title,company,email\n{}", rows.collect::<String>())
}

fn settings(server: &SmtpServer) -> String {
    format!(
        r#"[outreach]
sender = "mara@pylon.example"
sender_name = "Mara"
postal_address = "Pylon, 1 Main Street, Springfield"
unsubscribe = "unsubscribe@pylon.example"
smtp = "{}"
daily_limit = 500
delay = "0s"
quiet_hours = "none"

[tools]
allow_private = ["127.0.0.1:{}"]
"#,
        server.url(),
        server.port()
    )
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
    shown
}

#[test]
fn an_idea_becomes_mail_numbers_a_verdict_a_stop_and_a_learning() {
    let home = home();
    let server = SmtpServer::start();
    std::fs::write(home.path().join("leads.csv"), leads()).unwrap();
    std::fs::write(home.path().join("fullsend.toml"), settings(&server)).unwrap();
    let mut screen = Screen::open(home.path(), &[], 50, 160);
    screen.shows("⏎ begins");
    screen.press("\r");
    say(&mut screen, "We sell Pylon, which writes shift plans for cleaning firms");
    screen.shows("Noted: what we sell");
    say(
        &mut screen,
        "/idea Mail the operations managers in leads.csv whose trial runs out, really send it, every minute",
    );
    approve(&mut screen, "Design an experiment");
    let asked = approve(&mut screen, "Go live");
    for words in ["40", "mara@pylon.example", "leads.csv"] {
        assert!(asked.contains(words), "{words} is not shown:\n{asked}");
    }
    // Its minute comes, and mail goes out.
    let mut mails = Vec::new();
    let began = Instant::now();
    while mails.is_empty() {
        assert!(began.elapsed() < MINUTES, "no mail came:\n{}", screen.text());
        moment(100);
        mails.extend(server.further());
    }
    let first = mails[0].clone();
    assert_eq!(first["from"], "mara@pylon.example");
    let text = first["text"].as_str().unwrap();
    assert!(text.contains("1 Main Street") && text.contains("List-Unsubscribe"), "{text}");
    screen.press("4");
    comes(&screen, "a verdict", |text| text.contains("fails: 9") && text.contains("% sure"));
    while mails.len() < 20 {
        assert!(began.elapsed() < MINUTES, "{} of 20 mails came:\n{}", mails.len(), screen.text());
        moment(100);
        mails.extend(server.further());
    }
    screen.press("x");
    screen.shows("Kill exp_");
    let began = Instant::now();
    while !screen.text().contains("archived") {
        screen.press("y");
        moment(100);
    }
    assert!(began.elapsed() < Duration::from_secs(2), "it was stopped after {:?}", began.elapsed());
    let learnings = home.path().join(".local/state/fullsend/context/learnings.md");
    screen.until("the learning", |_| std::fs::read_to_string(&learnings).is_ok_and(|it| it.contains("Does not work")));
    mails.extend(server.further());
    assert_eq!(mails.len(), 20, "twenty could be reached, each once");
    screen.press("\x03\x03");
    assert_eq!(screen.ended(), 0);
}
