use pretty_assertions::assert_eq;
use rstest::rstest;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::super::message_id::{MailId, tag};
use super::super::testing::{Ran, Run};
use crate::contracts::keys;

/// The Message-ID of the mail to this address.
fn id(address: &str) -> String {
    MailId::of("exp_1", "first", Some("bold"), address).text("acme.example")
}

fn maildir(mails: &[&str]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for name in ["new", "cur", "tmp"] {
        std::fs::create_dir(dir.path().join(name)).unwrap();
    }
    for (number, mail) in mails.iter().enumerate() {
        let folder = if number % 2 == 0 { "new" } else { "cur" };
        std::fs::write(dir.path().join(folder).join(format!("{number}.M1.host")), mail.replace('\n', "\r\n")).unwrap();
    }
    dir
}

async fn read(mails: &[&str]) -> Ran {
    let dir = maildir(mails);
    Run::of("email_replies", json!({ "mailbox": dir.path() })).go().await
}

fn reply(from: &str, refers: &str, more: &str, text: &str) -> String {
    format!(
        "From: Grace <{from}>\nTo: ada@acme.example\nSubject: Re: A question\nMessage-ID: <r1@one.example>\nDate: Mon, 2 Mar 2026 10:00:00 +0000\nIn-Reply-To: <{refers}>\n{more}\n{text}\n"
    )
}

fn bounce(recipient: &str, action: &str, status: &str, original: &str) -> String {
    format!(
        "From: MAILER-DAEMON@mx.one.example\nTo: ada@acme.example\nSubject: Undelivered Mail Returned to Sender\nDate: Mon, 2 Mar 2026 10:00:00 +0000\n\
         MIME-Version: 1.0\nContent-Type: multipart/report; report-type=delivery-status; boundary=\"b\"\n\n\
         --b\nContent-Type: text/plain\n\nI'm sorry.\n\n\
         --b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.one.example\n\nFinal-Recipient: rfc822; {recipient}\nAction: {action}\nStatus: {status}\n\n\
         --b\nContent-Type: message/rfc822\n\n{original}\n--b--\n"
    )
}

#[tokio::test]
async fn a_reply_is_told_with_what_was_written_and_whose_it_is() {
    let mail = reply(
        "grace@one.example",
        &id("grace@one.example"),
        "",
        "Sure, call me!\n\nOn Sun, Mar 1, 2026, Ada <ada@acme.example> wrote:\n> Hi Grace",
    );
    let ran = read(&[&mail]).await;
    let event = ran.metrics()[0];
    assert_eq!((&event["event"], &event["text"]), (&json!("reply"), &json!("Sure, call me!")));
    assert_eq!((&event["variant"], &event["round"]), (&json!("bold"), &json!("first")));
    assert_eq!(event["person"], json!(keys::person("grace@one.example")));
    assert!(event["id"].as_str().unwrap().starts_with("reply:"));
    assert_eq!(ran.result()["events"], json!({ "reply": 1 }));
}

#[tokio::test]
async fn a_mail_about_another_experiment_or_about_nothing_of_ours_counts_for_nothing() {
    let other = MailId::of("exp_2", "first", None, "grace@one.example").text("acme.example");
    let mails = [
        reply("grace@one.example", &other, "", "Hi"),
        reply("a@b.example", "x@y", "", "Hi"),
        "no mail at all".to_owned(),
    ];
    let ran = read(&mails.each_ref().map(String::as_str)).await;
    assert_eq!(ran.metrics().len(), 0);
    assert_eq!((&ran.result()["read"], &ran.result()["matched"]), (&json!(3), &json!(0)));
}

#[rstest]
#[case::header("Auto-Submitted: auto-replied\n", "Re: A question", "auto_reply")]
#[case::not_automatic("Auto-Submitted: no\n", "Re: A question", "reply")]
#[case::old_header("X-Autoreply: yes\n", "Re: A question", "auto_reply")]
#[case::precedence("Precedence: auto_reply\n", "Re: A question", "auto_reply")]
#[case::subject("", "Out of Office: Re: A question", "auto_reply")]
#[case::german("", "Automatische Antwort: A question", "auto_reply")]
#[case::unsubscribe("", "unsubscribe 0123", "unsubscribe")]
#[case::receipt(
    "Content-Type: multipart/report; report-type=disposition-notification; boundary=b\n",
    "Read: A question",
    ""
)]
#[tokio::test]
async fn machines_and_wishes_are_told_from_replies(#[case] more: &str, #[case] subject: &str, #[case] expected: &str) {
    let mail = reply("grace@one.example", &id("grace@one.example"), more, "I am away");
    let ran = read(&[&mail.replace("Subject: Re: A question", &format!("Subject: {subject}"))]).await;
    let events: Vec<_> = ran.metrics().iter().map(|event| event["event"].as_str().unwrap().to_owned()).collect();
    assert_eq!(events, if expected.is_empty() { Vec::new() } else { vec![expected.to_owned()] });
}

#[tokio::test]
async fn a_text_that_is_the_wish_alone_unsubscribes() {
    let ran = read(&[&reply("grace@one.example", &id("grace@one.example"), "", "Unsubscribe, please.\n\n> Hi")]).await;
    assert_eq!(ran.events("unsubscribe"), 1);
}

#[tokio::test]
async fn bounces_are_counted_once_a_mail_and_delays_are_not() {
    let original = format!("Message-ID: <{}>\nSubject: A question\n\nHi", id("gone@one.example"));
    let hard = bounce("gone@one.example", "failed", "5.1.1", &original);
    let soft = bounce("gone@one.example", "delayed", "4.4.1", &original);
    let ran = read(&[&hard, &soft, &hard]).await;
    let bounces: Vec<_> = ran.metrics();
    assert_eq!(bounces.len(), 2);
    assert_eq!((&bounces[0]["event"], &bounces[0]["status"]), (&json!("email_bounced"), &json!("5.1.1")));
    assert_eq!(bounces[0]["id"], bounces[1]["id"], "read twice, it is the same");
    // What is not about the address came back, and says nothing of it.
    let policy = bounce("gone@one.example", "failed", "5.7.1", &original);
    let ran = read(&[&policy]).await;
    assert_eq!((ran.events("email_bounced"), ran.events("email_refused")), (0, 1));
    // Those that follow no standard.
    let plain = |said: &str| {
        format!(
            "From: MAILER-DAEMON@x.example\nSubject: failure notice\nDate: Mon, 2 Mar 2026 10:00:00 +0000\n\nHi. This is qmail.\n<gone@one.example>: {said}\n\nMessage-ID: <{}>\n",
            id("gone@one.example")
        )
    };
    assert_eq!(read(&[&plain("no mailbox here by that name")]).await.events("email_bounced"), 1);
    assert_eq!(read(&[&plain("no")]).await.events("email_refused"), 1);
}

#[tokio::test]
async fn a_complaint_is_told() {
    let mail = format!(
        "From: fbl@isp.example\nSubject: FW: A question\nDate: Mon, 2 Mar 2026 10:00:00 +0000\nMIME-Version: 1.0\nContent-Type: multipart/report; report-type=feedback-report; boundary=b\n\n\
         --b\nContent-Type: text/plain\n\nThis is a report.\n\n--b\nContent-Type: message/feedback-report\n\nFeedback-Type: abuse\nOriginal-Rcpt-To: <grace@one.example>\n\n\
         --b\nContent-Type: message/rfc822\n\nMessage-ID: <{}>\nSubject: A question\n\nHi\n--b--\n",
        id("grace@one.example")
    );
    assert_eq!(read(&[&mail]).await.events("spam_complaint"), 1);
}

#[tokio::test]
async fn what_names_no_mail_of_ours_is_told_only_to_whoever_knows_who_was_written_to() {
    let stranger = reply("Grace@One.example", "x@y", "", "Hi there").replace("In-Reply-To: <x@y>\n", "");
    let token = keys::person("grace@one.example");
    let leaves = stranger.replace("Subject: Re: A question", &format!("Subject: Unsubscribe {token}"));
    let leaves = leaves.replace("Grace@One.example", "alias@two.example");
    let away = stranger.replace("Subject: Re: A question", "Subject: Out of office");
    let dir = maildir(&[&stranger, &leaves, &away]);
    let quiet = Run::of("email_replies", json!({ "mailbox": dir.path() })).go().await;
    assert_eq!(quiet.metrics().len(), 0);
    let ran = Run::of("email_replies", json!({ "mailbox": dir.path(), "strangers": true })).go().await;
    let of = |name: &str| *ran.metrics().iter().find(|event| event["event"] == json!(name)).unwrap();
    assert_eq!((ran.metrics().len(), &ran.result()["matched"]), (2, &json!(0)));
    assert_eq!(of("reply")["people"], json!([token]));
    assert_eq!((of("reply").get("id"), of("reply").get("experiment_id")), (None, None));
    // The token says whose mail it was, whatever account answers.
    assert_eq!(of("unsubscribe")["people"], json!([token, keys::person("alias@two.example")]));
}

#[tokio::test]
async fn what_was_put_there_long_before_is_not_read() {
    let mail = reply("grace@one.example", &id("grace@one.example"), "", "Hi");
    let dir = maildir(&[&mail]);
    let run = |since: &str| Run::of("email_replies", json!({ "mailbox": dir.path(), "since": since })).go();
    assert_eq!(run("2026-01-01T00:00:00Z").await.events("reply"), 1);
    assert_eq!(run("2200-01-01T00:00:00Z").await.events("reply"), 0);
}

#[tokio::test]
async fn a_tool_that_is_run_for_no_experiment_tells_of_all_and_says_whether_there_is_more() {
    let ids = ["exp_1", "exp_2"].map(|exp| MailId::of(exp, "first", None, "grace@one.example").text("acme.example"));
    let mails = ids.each_ref().map(|id| reply("grace@one.example", id, "", "Hi").replace("<r1@", &format!("<{id}")));
    let dir = maildir(&mails.each_ref().map(String::as_str));
    let mut run = json!({ "mailbox": dir.path(), "limit": 1 });
    let mut found = Vec::new();
    for is_more in [true, false] {
        let ran = Run::of("email_replies", run.clone()).alone().go().await;
        assert_eq!(ran.result()["more"], json!(is_more));
        run["state"] = ran.result()["state"].clone();
        found.push(ran.metrics()[0]["experiment_id"].as_str().unwrap().to_owned());
    }
    found.sort();
    assert_eq!(found, ["exp_1", "exp_2"]);
}

#[tokio::test]
async fn the_state_goes_on_where_it_was() {
    let mail = reply("grace@one.example", &id("grace@one.example"), "", "Hi");
    let dir = maildir(&[&mail]);
    let first = Run::of("email_replies", json!({ "mailbox": dir.path() })).go().await;
    let run = |state: &Value| Run::of("email_replies", json!({ "mailbox": dir.path(), "state": state })).go();
    let second = run(&first.result()["state"]).await;
    assert_eq!((first.events("reply"), second.events("reply")), (1, 0));
    std::fs::write(dir.path().join("new/9.M1.host"), mail.replace("<r1@", "<r2@")).unwrap();
    let third = run(&second.result()["state"]).await;
    assert_eq!(third.events("reply"), 1);
    assert_ne!(third.metrics()[0]["id"], first.metrics()[0]["id"]);
}

#[tokio::test]
async fn an_mbox_file_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mbox");
    let mail = reply("grace@one.example", &id("grace@one.example"), "", "Hi");
    std::fs::write(&path, format!("From grace@one.example Mon Mar  2 10:00:00 2026\n{mail}\n")).unwrap();
    let ran = Run::of("email_replies", json!({ "mailbox": path })).go().await;
    assert_eq!(ran.events("reply"), 1);
}

#[tokio::test]
async fn webhook_bodies_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let mail = tag(&id("grace@one.example")).unwrap();
    let body = |kind: &str, more: Value| {
        let mut data = json!({ "email_id": "e1", "to": ["grace@one.example"], "tags": { "fullsend": mail } });
        data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "type": kind, "created_at": "2026-03-02T10:00:00.000Z", "data": data }).to_string()
    };
    let bodies = [
        body("email.delivered", json!({})),
        body("email.opened", json!({ "tags": [{ "name": "fullsend", "value": mail }] })),
        body(
            "email.clicked",
            json!({ "tags": {}, "headers": [{ "name": "Message-ID", "value": format!("<{}>", id("grace@one.example")) }] }),
        ),
        body("email.bounced", json!({ "bounce": { "type": "Permanent", "subType": "General" } })),
        body("email.bounced", json!({ "bounce": { "type": "Transient" } })),
        body("email.complained", json!({})),
        body("email.sent", json!({})),
        body("contact.created", json!({})),
        body("email.opened", json!({ "tags": {} })),
        "{".to_owned(),
    ];
    for (number, body) in bodies.iter().enumerate() {
        std::fs::write(dir.path().join(format!("{number}.json")), body).unwrap();
    }
    let ran = Run::of("email_replies", json!({ "webhooks": dir.path() })).go().await;
    let expected =
        json!({ "email_bounced": 1, "email_delivered": 1, "email_opened": 1, "link_clicked": 1, "spam_complaint": 1 });
    assert_eq!(ran.result()["events"], expected);
    assert_eq!(ran.result()["unreadable"], json!(1));
}

#[tokio::test]
async fn what_is_no_mailbox_is_told() {
    let dir = tempfile::tempdir().unwrap();
    for (params, expected) in [
        (json!({}), "say where replies arrive"),
        (json!({ "mailbox": "/nowhere" }), "/nowhere cannot be read: No such file"),
        (json!({ "mailbox": dir.path() }), "it has neither `cur` nor `new`"),
        (json!({ "webhooks": "/nowhere" }), "/nowhere cannot be read"),
    ] {
        let ran = Run::of("email_replies", params).go().await;
        assert!(ran.error().1.contains(expected), "{:?}", ran.error());
    }
}

#[tokio::test]
async fn what_people_write_is_harmless_when_it_is_told() {
    let ran = read(&[&reply("grace@one.example", &id("grace@one.example"), "", "Hi \x1b[2J\u{202e}there")]).await;
    assert_eq!(ran.metrics()[0]["text"], json!("Hi there"));
}
