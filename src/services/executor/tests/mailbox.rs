//! What came of mail, read from real mailboxes by the tool that is shipped.

use std::path::{Path, PathBuf};

use pretty_assertions::assert_eq;
use tempfile::TempDir;

use super::*;
use crate::bus::leased::hold;
use crate::config::Config;
use crate::contracts::{Clock, SystemClock};
use crate::llm::MindParts;
use crate::tools::contract::{Input, Line};
use crate::tools::shipped;

/// Runs the reader that is shipped, in this process, and tells the desk what it writes.
pub(super) async fn read(mut call: Call, stage: &Stage, desk: &mut dyn Desk, stop: &CancellationToken) -> Outcome {
    assert_eq!(call.run.experiment_id, "", "it reads for all");
    // Files are stamped by the clock of the machine, and the story has one of its own.
    if let Some(since) = call.params.get_mut("since") {
        let of_story = since.as_str().and_then(crate::contracts::envelope::read_time).unwrap();
        let began = chrono::DateTime::from_timestamp_millis(1_800_000_000_000).unwrap();
        *since = json!(SystemClock.now() + (of_story - began));
    }
    let input = Input { params: call.params, run: call.run, secrets: BTreeMap::new() };
    let input = serde_json::to_string(&input).unwrap() + "\n";
    let file = tempfile::NamedTempFile::new().unwrap();
    let answers = Box::new(std::io::Cursor::new(input.into_bytes()));
    shipped::work("email_replies", answers, Box::new(file.reopen().unwrap()), Arc::new(SystemClock)).await;
    let mut result = Err(failure(ErrorCode::Tool, "it ended without a result"));
    for line in std::fs::read_to_string(file.path()).unwrap().lines() {
        match serde_json::from_str(line).unwrap() {
            Line::Metric(event) => desk.metric(event).await,
            Line::Result(value) if value["success"] == json!(false) => {
                result = Err(failure(ErrorCode::Tool, value["error"].as_str().unwrap_or_default()));
            }
            Line::Result(value) => result = Ok(value),
            _ => {}
        }
    }
    stage.reads.fetch_add(1, Ordering::SeqCst);
    if stage.reader_hangs.load(Ordering::SeqCst) {
        stop.cancelled().await;
    }
    outcome(result)
}

/// The Message-ID of the first mail of an experiment to somebody, as the sender makes it.
fn id(experiment: &str, address: &str) -> String {
    format!("<fs1.{experiment}.first.+.{}@example.com>", keys::person(address))
}

/// A mail from somebody; `head` has what else stands above it.
fn mail(name: &str, from: &str, head: &str, text: &str) -> String {
    format!(
        "From: {from}\nTo: mara@example.com\nMessage-ID: <{name}@mx>\nDate: Fri, 15 Jan 2027 09:00:00 +0000\n{head}\n{text}\n"
    )
}

fn reply(name: &str, from: &str, to: &str, text: &str) -> String {
    mail(name, from, &format!("Subject: Re: hi\nIn-Reply-To: {to}\n"), text)
}

/// A report that a mail could not be delivered.
fn bounce(address: &str, of: &str) -> String {
    let head = "Subject: Undelivered\nMIME-Version: 1.0\nContent-Type: multipart/report; report-type=delivery-status; boundary=B\n";
    let text = format!(
        "--B\nContent-Type: text/plain\n\nNo such user.\n--B\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; x.io\n\n\
         Final-Recipient: rfc822; {address}\nAction: failed\nStatus: 5.1.1\n\n--B\nContent-Type: message/rfc822\n\nMessage-ID: {of}\nTo: {address}\n\nhello\n--B--"
    );
    mail(&format!("bounce-{address}"), "MAILER-DAEMON@x.io", head, &text)
}

/// A report that somebody called a mail spam.
fn complaint(address: &str, of: &str) -> String {
    let head = "Subject: Complaint\nMIME-Version: 1.0\nContent-Type: multipart/report; report-type=feedback-report; boundary=B\n";
    let text = format!(
        "--B\nContent-Type: text/plain\n\nSpam.\n--B\nContent-Type: message/feedback-report\n\nFeedback-Type: abuse\n\
         Original-Rcpt-To: <{address}>\n\n--B\nContent-Type: message/rfc822\n\nMessage-ID: {of}\nTo: {address}\n\nhello\n--B--"
    );
    mail(&format!("complaint-{address}"), "fbl@isp.io", head, &text)
}

/// A maildir.
struct Maildir(TempDir);

impl Maildir {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for part in ["new", "cur", "tmp"] {
            std::fs::create_dir(dir.path().join(part)).unwrap();
        }
        Self(dir)
    }

    fn path(&self) -> PathBuf {
        self.0.path().to_owned()
    }

    fn arrives(&self, name: &str, mail: &str) {
        std::fs::write(self.0.path().join("new").join(name), mail.replace('\n', "\r\n")).unwrap();
    }
}

const FIVE: [&str; 5] = ["yes@x.io", "away@x.io", "gone@x.io", "leave@x.io", "spam@x.io"];

/// What came of the mail to them.
fn answers(experiment: &str) -> [(&'static str, String); 5] {
    let id = |address: &str| id(experiment, address);
    let away = "I am on vacation until Monday, with limited access to email.";
    [
        ("1", reply("r1", "yes@x.io", &id("yes@x.io"), "Yes, I am interested. Let's talk on Tuesday.")),
        ("2", reply("r2", "away@x.io", &id("away@x.io"), away)),
        ("3", bounce("gone@x.io", &id("gone@x.io"))),
        ("4", reply("r4", "leave@x.io", &id("leave@x.io"), "unsubscribe")),
        ("5", complaint("spam@x.io", &id("spam@x.io"))),
    ]
}

/// What is counted of these.
const COUNTED: [(&str, usize); 6] = [
    ("auto_reply", 1),
    ("email_bounced", 1),
    ("positive_reply", 1),
    ("reply", 1),
    ("spam_complaint", 1),
    ("unsubscribe", 1),
];

impl Story {
    fn reading(mailbox: &Path) -> Self {
        let mut story = Self::empty();
        story.outreach.mailbox = Some(mailbox.to_owned());
        story
    }

    /// How often each event was said that the reader tells of.
    async fn counted(&self) -> Vec<(String, usize)> {
        let mut counts = BTreeMap::new();
        for event in self.said(ChannelName::Metrics).await {
            let name = event["event"].as_str().unwrap_or_default();
            if COUNTED.iter().any(|(known, _)| *known == name) {
                assert_eq!(event.get("people").or(event.get("mail")), None);
                *counts.entry(name.to_owned()).or_default() += 1;
            }
        }
        counts.into_iter().collect()
    }

    async fn has_counted(&self, expected: &[(&str, usize)]) {
        let expected: Vec<_> = expected.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        assert_eq!(self.counted().await, expected);
    }

    /// Why somebody is not written to.
    async fn suppressed(&self, address: &str) -> String {
        self.field(&format!("suppressions:{}", keys::person(address)), "reason").await
    }

    fn reads(&self) -> usize {
        self.stage.reads.load(Ordering::SeqCst)
    }
}

#[tokio::test(start_paused = true)]
async fn what_came_of_mail_counts_once_for_whichever_run_and_whoever_leaves_is_left_alone() {
    let maildir = Maildir::new();
    let story = Story::reading(&maildir.path());
    let (_, first) = story.executor();
    story.outreach("exp_a", &FIVE, Value::Null).await;
    story.schedule("exp_a", "5 8,11 * * *", "once").await;
    story.pass(Duration::from_mins(6)).await;
    assert_eq!(story.stage.sent(), FIVE);
    for (name, mail) in answers("exp_a") {
        maildir.arrives(name, &mail);
    }
    maildir.arrives("other", &reply("other", "friend@y.io", "<something@else>", "Yes, I am interested."));
    // Whoever reads it is killed before anything of it is written down.
    story.stage.reader_hangs.store(true, Ordering::SeqCst);
    story.world.until(async |_| story.reads() == 1).await;
    first.abort();
    assert_eq!((story.counted().await, story.suppressed("leave@x.io").await), (vec![], "-".to_owned()));
    story.stage.reader_hangs.store(false, Ordering::SeqCst);
    story.executor();
    story.world.until(async |_| story.reads() == 2).await;
    story.pass(Duration::from_secs(1)).await;
    story.has_counted(&COUNTED).await;
    for (address, reason) in [
        ("leave@x.io", "unsubscribed"),
        ("gone@x.io", "bounced"),
        ("spam@x.io", "complained"),
        ("yes@x.io", "-"),
        ("friend@y.io", "-"),
    ] {
        assert_eq!(story.suppressed(address).await, reason, "{address}");
    }
    // A mail client moves the mails, one comes twice, and the place to go on from is lost.
    for name in ["1", "2", "3", "4", "5"] {
        std::fs::rename(maildir.path().join("new").join(name), maildir.path().join(format!("cur/{name}:2,S"))).unwrap();
    }
    maildir.arrives("again", &answers("exp_a")[0].1);
    let lost =
        Op::Change { key: Key::new(keys::MAILBOX), expect: Expect::Any, fields: vec![gone("state")], ttl: Ttl::Keep };
    story.world.commit(vec![lost]).await;
    story.pass(Duration::from_hours(1)).await;
    assert!(story.reads() >= 5, "{}", story.reads());
    story.has_counted(&COUNTED).await;
    // The window closes, and it runs again.
    story.pass(Duration::from_hours(1)).await;
    assert_eq!(story.state("exp_a").await, "ready");
    story.pass(Duration::from_hours(1)).await;
    assert_eq!((story.runs("exp_a").await.len(), story.state("exp_a").await.as_str()), (2, "measuring"));
    story.has_counted(&COUNTED).await;
    let events = story.said(ChannelName::Metrics).await;
    assert!(!events.iter().any(|event| event.to_string().contains("@x.io")), "no address is said");
    let yes = events.iter().find(|event| event["event"] == "positive_reply").unwrap();
    assert_eq!((&yes["person"], &yes["experiment_id"]), (&json!(keys::person("yes@x.io")), &json!("exp_a")));
    assert_eq!((yes.get("run_id"), yes.get("text")), (None, None));
}

#[tokio::test(start_paused = true)]
async fn an_mbox_and_webhook_bodies_are_read_beside_each_other_and_the_experiment_ends() {
    let folder = tempfile::tempdir().unwrap();
    let (mbox, hooks) = (folder.path().join("mbox"), folder.path().join("hooks"));
    std::fs::write(&mbox, "").unwrap();
    std::fs::create_dir(&hooks).unwrap();
    let mut story = Story::reading(&mbox);
    story.outreach.webhooks = Some(hooks.clone());
    story.executor();
    story.outreach("exp_a", &FIVE, Value::Null).await;
    let run = story.run_now("exp_a", false).await;
    story.until("exp_a", &run, "completed").await;
    let put_there = SystemClock.now().format("%a %b %e %H:%M:%S %Y").to_string();
    let as_mbox = |mail: &str| format!("From a@x.io {put_there}\n{mail}\n");
    std::fs::write(&mbox, answers("exp_a").iter().map(|(_, mail)| as_mbox(mail)).collect::<String>()).unwrap();
    // Resend says the same once more, in words of its own.
    let body = |kind: &str, address: &str, more: Value| {
        let headers = json!([{ "name": "Message-ID", "value": id("exp_a", address) }]);
        let mut data = json!({ "to": [address], "headers": headers });
        data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "type": kind, "created_at": "2027-01-15T09:00:00Z", "data": data }).to_string()
    };
    let permanent = json!({ "bounce": { "type": "Permanent", "subType": "General" } });
    for (name, body) in [
        ("1.json", body("email.bounced", "gone@x.io", permanent.clone())),
        ("2.json", body("email.bounced", "gone@x.io", permanent)),
        ("3.json", body("email.complained", "spam@x.io", json!({}))),
        ("4.json", "{ not json".to_owned()),
    ] {
        std::fs::write(hooks.join(name), body).unwrap();
    }
    story.pass(Duration::from_mins(46)).await;
    assert_eq!(story.reads(), 3);
    story.has_counted(&COUNTED).await;
    assert_eq!(story.state("exp_a").await, "measuring");
    // More comes, and then the file is made anew, with what is old.
    let more = reply("r9", "away@x.io", &id("exp_a", "away@x.io"), "I am back: please send me the details.");
    let old = answers("exp_a").iter().map(|(_, mail)| as_mbox(mail)).collect::<String>();
    std::fs::write(&mbox, format!("{}{old}", as_mbox(&more))).unwrap();
    story.pass(Duration::from_mins(90)).await;
    let mut expected = COUNTED;
    expected[2].1 = 2;
    expected[3].1 = 2;
    story.has_counted(&expected).await;
    assert_eq!(story.state("exp_a").await, "completed", "its window of two hours closed");
}

#[tokio::test(start_paused = true)]
async fn whoever_leaves_is_heard_though_the_experiment_was_killed_and_from_whatever_account() {
    let maildir = Maildir::new();
    let story = Story::reading(&maildir.path());
    story.executor();
    let variants = json!({ "variants": [{ "name": "a", "template": "hello" }, { "name": "b", "template": "hi" }] });
    story.outreach("exp_a", &FIVE, variants).await;
    let run = story.run_now("exp_a", false).await;
    story.until("exp_a", &run, "completed").await;
    story.write("experiments:exp_a", &[("state", "archived")]).await;
    // Its window would have closed long ago.
    story.pass(Duration::from_hours(3)).await;
    // By the token of the header, from another address.
    let token = keys::person("leave@x.io");
    maildir.arrives("1", &mail("r1", "private@y.io", &format!("Subject: unsubscribe {token}\n"), ""));
    // By nothing but the address, and of somebody whom we never wrote to.
    maildir.arrives("2", &mail("r2", "Away@x.io", "Subject: Unsubscribe\n", "please"));
    maildir.arrives("3", &mail("r3", "nobody@y.io", "Subject: unsubscribe\n", ""));
    // An answer that names no mail, one that is too old to be any, and one to an experiment that there is not.
    maildir.arrives("4", &mail("r4", "yes@x.io", "Subject: your mail\n", "Yes, I am interested."));
    let old = mail("r5", "gone@x.io", "Subject: lunch\n", "Yes, I am interested.").replace("15 Jan 2027", "1 Jan 2027");
    maildir.arrives("5", &old);
    maildir.arrives("6", &reply("r6", "spam@x.io", &id("exp_none", "spam@x.io"), "Yes, I am interested."));
    story.pass(Duration::from_mins(31)).await;
    story.has_counted(&[("positive_reply", 1), ("reply", 1), ("unsubscribe", 2)]).await;
    for address in ["leave@x.io", "private@y.io", "away@x.io", "nobody@y.io"] {
        assert_eq!(story.suppressed(address).await, "unsubscribed", "{address}");
    }
    let events = story.said(ChannelName::Metrics).await;
    let yes = events.iter().find(|event| event["event"] == "reply").unwrap();
    assert!(["a", "b"].contains(&yes["variant"].as_str().unwrap()), "{yes}");
    // Somebody whom the operator lets back in stays, though the same mail is seen again, and leaves with another.
    let lifted = Op::Delete { key: Key::new(format!("suppressions:{token}")), expect: Expect::Any };
    story.world.commit(vec![lifted]).await;
    std::fs::rename(maildir.path().join("new/1"), maildir.path().join("cur/1:2,S")).unwrap();
    story.pass(Duration::from_mins(31)).await;
    assert_eq!(story.suppressed("leave@x.io").await, "-");
    maildir.arrives("7", &reply("r7", "leave@x.io", &id("exp_a", "leave@x.io"), "Unsubscribe!"));
    story.pass(Duration::from_mins(31)).await;
    assert_eq!(story.suppressed("leave@x.io").await, "unsubscribed");
    story.has_counted(&[("positive_reply", 1), ("reply", 1), ("unsubscribe", 2)]).await;
}

#[tokio::test(start_paused = true)]
async fn it_is_read_from_the_first_mail_on_while_the_run_goes_on_and_at_once_while_there_is_more() {
    let maildir = Maildir::new();
    let mut story = Story::reading(&maildir.path());
    story.outreach.daily_limit = 2;
    story.executor();
    story.outreach("exp_a", &FIVE, Value::Null).await;
    story.run_now("exp_a", false).await;
    story.world.until(async |_| story.stage.sent().len() == 2).await;
    let since = story.field(keys::MAILBOX, "since").await;
    assert!(since.starts_with("2027-01-15T08:00:0"), "{since}");
    for n in 0..250 {
        let answer = reply(&format!("r{n}"), "yes@x.io", &id("exp_a", "yes@x.io"), "Yes, I am interested.");
        maildir.arrives(&format!("{n}"), &answer);
    }
    story.pass(Duration::from_mins(15) + Duration::from_secs(5)).await;
    assert_eq!(story.reads(), 3);
    story.has_counted(&[("positive_reply", 250), ("reply", 250)]).await;
    assert_eq!((story.state("exp_a").await.as_str(), story.stage.sent().len()), ("running", 2));
    // Twelve weeks after the last mail nothing is read any more.
    story.write(keys::MAILBOX, &[("last_sent_at", "2026-10-01T00:00:00Z")]).await;
    story.pass(Duration::from_mins(31)).await;
    assert_eq!((story.reads(), story.field(keys::MAILBOX, "next_at").await), (3, "-".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_that_comes_later_is_read_from_the_first_mail_on_and_a_lost_timer_is_found() {
    let maildir = Maildir::new();
    let mut story = Story::new();
    story.outreach("exp_a", &FIVE, Value::Null).await;
    let run = story.run_now("exp_a", false).await;
    story.until("exp_a", &run, "completed").await;
    assert_eq!(story.field(keys::MAILBOX, "next_at").await, "-", "there is nothing to read");
    maildir.arrives("1", &answers("exp_a")[0].1);
    story.stop.cancel();
    let first = std::mem::replace(&mut story.stop, CancellationToken::new());
    assert!(first.is_cancelled());
    story.timers();
    story.outreach.mailbox = Some(maildir.path());
    story.executor();
    let (bus, clock, ids) = (story.world.bus(), Arc::clone(&story.world.clock), Arc::clone(&story.world.ids));
    let (settings, reads_answers) = (story.settings.clone(), story.outreach.reads_answers());
    let pacer = Pacer { bus: bus.clone(), settings, reads_answers, clock: clock.clone(), ids: ids.clone() };
    let stop = story.stop.clone();
    tokio::spawn(async move { hold(&pacer, &bus, &clock, &ids, stop).await });
    story.world.until(async |_| story.reads() == 1).await;
    story.pass(Duration::from_secs(1)).await;
    story.has_counted(&[("positive_reply", 1), ("reply", 1)]).await;
    story.world.commit(vec![Op::Cancel { timer: "collection".to_owned() }]).await;
    story.pass(Duration::from_hours(3)).await;
    assert!(story.reads() > 1, "the pacer says it");
}

#[tokio::test(start_paused = true)]
async fn where_no_mind_answers_a_reply_is_counted_and_whoever_plainly_leaves_is_left_alone() {
    let maildir = Maildir::new();
    let mut story = Story::reading(&maildir.path());
    let mut config = Config::at(Path::new("/nowhere")).llm;
    config.classify_reply = vec![crate::config::Link::parse("anthropic").unwrap()];
    story.mind = Mind::new(MindParts {
        config,
        context: "/nowhere".into(),
        bus: None,
        ledger: None,
        clock: Arc::clone(&story.world.clock),
        ids: Arc::clone(&story.world.ids),
    })
    .unwrap();
    story.executor();
    story.outreach("exp_a", &FIVE, Value::Null).await;
    let run = story.run_now("exp_a", false).await;
    story.until("exp_a", &run, "completed").await;
    maildir.arrives("1", &answers("exp_a")[0].1);
    let leaves = "Do not email me again, and take me off your list.";
    maildir.arrives("2", &reply("r2", "leave@x.io", &id("exp_a", "leave@x.io"), leaves));
    story.pass(Duration::from_mins(16)).await;
    story.has_counted(&[("reply", 2), ("unsubscribe", 1)]).await;
    let events = story.said(ChannelName::Metrics).await;
    let mut classes: Vec<_> = events.iter().filter_map(|event| event["class"].as_str()).collect();
    classes.sort_unstable();
    assert_eq!(classes, ["unclassified", "unsubscribe", "unsubscribe"]);
    assert_eq!(story.suppressed("leave@x.io").await, "unsubscribed");
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_that_cannot_be_read_is_told_once_and_read_when_it_can() {
    let maildir = Maildir::new();
    let missing = maildir.path().join("missing");
    let story = Story::reading(&missing);
    story.executor();
    story.outreach("exp_a", &FIVE, Value::Null).await;
    let run = story.run_now("exp_a", false).await;
    story.until("exp_a", &run, "completed").await;
    story.pass(Duration::from_mins(46)).await;
    let told = story.said(ChannelName::FromOrchestrator).await;
    let told = told.iter().filter(|said| said.to_string().contains("were not read"));
    assert_eq!(told.count(), 1);
    std::os::unix::fs::symlink(maildir.path(), &missing).unwrap();
    maildir.arrives("1", &answers("exp_a")[0].1);
    story.pass(Duration::from_mins(16)).await;
    story.has_counted(&[("positive_reply", 1), ("reply", 1)]).await;
    assert_eq!(story.field(keys::MAILBOX, "error").await, "-");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_stopped_after_it_reached_people_is_measured_to_its_end() {
    let maildir = Maildir::new();
    let mut story = Story::reading(&maildir.path());
    story.outreach.delay = Duration::from_mins(10);
    story.executor();
    for (id, recurs) in [("exp_a", false), ("exp_b", true)] {
        let people: Vec<String> = (0..3).map(|n| format!("{id}-{n}@x.io")).collect();
        let people: Vec<&str> = people.iter().map(String::as_str).collect();
        story.outreach(id, &people, Value::Null).await;
        if recurs {
            story.schedule(id, "0 7 * * *", "skip").await;
        }
        let before = story.stage.sent().len();
        let run = story.run_now(id, false).await;
        story.world.until(async |_| story.stage.sent().len() == before + 1).await;
        story
            .write(&format!("experiment_runs:{id}:{run}"), &[("cancel_requested", "now"), ("cancel_by", "mara")])
            .await;
        story.until(id, &run, "cancelled").await;
        assert_eq!(story.state(id).await, "measuring");
        let person = people[0];
        maildir.arrives(id, &reply(id, person, &super::mailbox::id(id, person), "Yes, I am interested."));
    }
    story.pass(Duration::from_mins(121)).await;
    story.has_counted(&[("positive_reply", 2), ("reply", 2)]).await;
    assert_eq!((story.state("exp_a").await, story.state("exp_b").await), ("completed".to_owned(), "ready".to_owned()));
}
