use clap::Parser;
use pretty_assertions::assert_eq;
use serde_json::{Value, json};

use super::*;
use crate::bus::letters::{Bell, Letter, dead};
use crate::bus::{BusError, Key, Message};
use crate::cli::testing::{Stage, json_lines};
use crate::contracts::messages::DeadLetterCode;
use crate::contracts::{Envelope, Priority, Trust};

const BODY: &str = r#"{"type":"echo_request",  "text":"hi\u001b[2J"}"#;

/// The result, what was printed, and what was remarked.
async fn run(stage: &Stage, json: bool, words: &[&str]) -> (bool, String, String) {
    let (cx, results, remarks) = stage.context(json);
    let code = act(&args(words), "mara", &cx, &stage.bus).await.unwrap();
    (code == OK, results.text(), remarks.text())
}

fn args(words: &[&str]) -> Args {
    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }
    Line::try_parse_from([&["dead-letters"], words].concat()).unwrap_or_else(|err| panic!("{err}")).args
}

async fn list(stage: &Stage, words: &[&str]) -> Vec<Value> {
    let (_, results, _) = run(stage, true, &[&["list"], words].concat()).await;
    json_lines(&results)[0].as_array().unwrap().clone()
}

async fn entries(stage: &Stage, channel: ChannelName) -> Vec<Entry> {
    stage.bus.range(channel, Range::after(EntryId::ZERO, 100)).await.unwrap()
}

/// Gives a message up, and returns the letter's id.
async fn give_up(stage: &Stage, entry: &Entry, reason: &str) -> EntryId {
    let envelope = entry.message().ok().map(|message| message.envelope);
    let letter = Letter {
        entry,
        envelope: envelope.as_ref(),
        group: Some("echo"),
        attempts: 5,
        code: DeadLetterCode::Exhausted,
        reason: reason.to_owned(),
    };
    match stage.commit(dead(&stage.origin(), &letter, &mut Bell::default(), std::time::Duration::ZERO)).await {
        crate::bus::Outcome::Committed(ids) => ids[0],
        other => panic!("{other:?}"),
    }
}

fn message_on_echo(stage: &Stage) -> crate::bus::Outgoing {
    let mut message = stage.message(ChannelName::Echo, "watcher", BODY);
    message.envelope.trust = Trust::Member;
    message.envelope.priority = Priority::High;
    message.envelope.subject = Some("exp_1".to_owned());
    message
}

/// A message of a member's that was given up.
async fn one_letter(stage: &Stage) -> (Envelope, EntryId) {
    let message = message_on_echo(stage);
    let envelope = message.envelope.clone();
    stage.append(message).await;
    let entry = entries(stage, ChannelName::Echo).await.pop().unwrap();
    (envelope, give_up(stage, &entry, "the model\nwas away").await)
}

#[tokio::test]
async fn letters_are_listed_newest_first() {
    let stage = Stage::new();
    let (_, first) = one_letter(&stage).await;
    let (_, second) = one_letter(&stage).await;
    let (_, text, _) = run(&stage, false, &["list"]).await;
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].starts_with("ID "), "{text}");
    assert!(lines[1].starts_with(&second.to_string()) && lines[2].starts_with(&first.to_string()), "{text}");
    let words: Vec<_> = lines[2].split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
    assert_eq!(
        words[1..],
        [
            "2026-03-01T09:30:00.000Z",
            "open",
            "fullsend:echo",
            "echo_request",
            "echo",
            "exhausted",
            "5",
            "the model⏎was away"
        ]
    );

    let (_, text, remarks) = run(&stage, false, &["list", "--limit", "1"]).await;
    assert_eq!(text.lines().count(), 2);
    assert_eq!(remarks, "there are more than these 1; `--limit N` shows them\n");
    assert_eq!(run(&Stage::new(), false, &["list"]).await.2, "there are no dead letters that nothing was done about\n");
}

#[tokio::test]
async fn everything_about_a_letter_is_shown_and_harmless() {
    let stage = Stage::new();
    let (original, id) = one_letter(&stage).await;
    let (_, text, _) = run(&stage, false, &["show", &id.to_string()]).await;
    assert!(
        text.starts_with(&format!("dead letter {id}\n  time      2026-03-01T09:30:00.000Z\n  state     open\n")),
        "{text}"
    );
    assert!(text.contains(&format!("  trace     {}\n", original.trace)), "{text}");
    assert!(text.contains("  reason    the model⏎was away\n"), "{text}");
    assert!(text.contains("\noriginal body\n  {\n    \"type\": \"echo_request\",\n"), "{text}");
    assert!(text.contains(&format!("\"id\": \"{}\"", original.id)), "{text}");
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");

    let (_, json, _) = run(&stage, true, &["show", &id.to_string()]).await;
    let shown = &json_lines(&json)[0];
    assert_eq!(shown["letter"]["original_body"], BODY);
    assert_eq!(shown["mark"], json!({ "state": "open" }));

    let (cx, ..) = stage.context(false);
    let err = act(&args(&["show", "5-5"]), "mara", &cx, &stage.bus).await.unwrap_err();
    assert_eq!(err.to_string(), "there is no dead letter 5-5");
}

#[tokio::test]
async fn a_replay_says_the_same_again_in_the_same_chain() {
    let stage = Stage::new();
    let (original, id) = one_letter(&stage).await;
    let letter = entries(&stage, ChannelName::DeadLetter).await.pop().unwrap();
    let (well, results, _) = run(&stage, true, &["replay", &id.to_string()]).await;
    assert!(well);
    let said = entries(&stage, ChannelName::Echo).await.pop().unwrap();
    assert_eq!(said.b, BODY);
    let Message { envelope, .. } = said.message().unwrap();
    assert_eq!(envelope.trace, original.trace);
    assert_eq!(envelope.cause, Some(letter.message().unwrap().envelope.id));
    assert_ne!(envelope.id, original.id);
    assert_eq!((&*envelope.kind, &*envelope.source), ("echo_request", "control_room"));
    assert_eq!((envelope.trust, envelope.priority), (Trust::Member, Priority::High));
    assert_eq!(envelope.subject.as_deref(), Some("exp_1"));
    assert_eq!(
        json_lines(&results),
        [json!({
            "id": id, "outcome": "replayed", "channel": "fullsend:echo", "entry": said.id, "message": envelope.id,
        })]
    );

    assert_eq!(list(&stage, &[]).await, Vec::<Value>::new());
    let all = list(&stage, &["--all"]).await;
    assert_eq!(
        all[0]["mark"],
        json!({
            "state": "replayed", "by": "mara", "at": "2026-03-01T09:30:00.000Z", "message": envelope.id, "entry": said.id,
        })
    );
    let (_, shown, _) = run(&stage, false, &["show", &id.to_string()]).await;
    assert!(shown.contains(&format!("replayed by mara at 2026-03-01T09:30:00.000Z as {}", said.id)), "{shown}");
}

#[tokio::test]
async fn a_second_replay_says_nothing_unless_it_is_wanted_again() {
    let stage = Stage::new();
    let (_, id) = one_letter(&stage).await;
    let id = id.to_string();
    run(&stage, true, &["replay", &id]).await;
    let (well, text, _) = run(&stage, false, &["replay", &id]).await;
    assert!(well);
    assert!(text.contains("nothing done: it was replayed by mara"), "{text}");
    assert_eq!(entries(&stage, ChannelName::Echo).await.len(), 2);

    // Also where the mark is gone, within a day.
    let op = crate::bus::Op::Delete { key: Key::new(format!("dead_letters:{id}")), expect: crate::bus::Expect::Any };
    stage.commit(vec![op]).await;
    run(&stage, true, &["replay", &id]).await;
    assert_eq!(entries(&stage, ChannelName::Echo).await.len(), 2);

    for more in [3, 4] {
        assert!(run(&stage, true, &["replay", "--again", &id]).await.0);
        assert_eq!(entries(&stage, ChannelName::Echo).await.len(), more);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_replays_once() {
    let stage = Stage::new();
    let (_, id) = one_letter(&stage).await;
    stage.memory.lose_next_answers(2);
    let (well, results, _) = run(&stage, true, &["replay", &id.to_string()]).await;
    assert!(well);
    let said = entries(&stage, ChannelName::Echo).await;
    assert_eq!(said.len(), 2);
    assert_eq!(json_lines(&results)[0]["message"], json!(said[1].message().unwrap().envelope.id));
    assert_eq!(list(&stage, &["--all"]).await[0]["mark"]["state"], "replayed");
}

#[tokio::test]
async fn whoever_is_faster_wins() {
    let stage = Stage::new();
    let (_, id) = one_letter(&stage).await;
    let (cx, _, remarks) = stage.context(false);
    let mark = Marks::read(&stage.bus).await.unwrap().of(&stage.bus, id).await.unwrap();
    run(&stage, true, &["drop", &id.to_string()]).await;
    let entry = super::letter(&stage.bus, id).await.unwrap();
    let replayer = replay::Replayer { cx: &cx, bus: &stage.bus, by: "mara", again: false };
    assert!(!replayer.replay(id, Some(entry), mark).await.unwrap());
    assert!(remarks.text().contains("somebody else was faster"), "{}", remarks.text());
    assert_eq!(entries(&stage, ChannelName::Echo).await.len(), 1, "nothing of the commit has happened");
}

#[tokio::test]
async fn dropped_letters_stay_in_the_history() {
    let stage = Stage::new();
    let (_, id) = one_letter(&stage).await;
    let (well, text, _) = run(&stage, false, &["drop", &id.to_string()]).await;
    assert!(well);
    assert_eq!(text, format!("{id}  dropped; `list --all` still shows it\n"));
    assert_eq!(list(&stage, &[]).await, Vec::<Value>::new());
    assert_eq!(list(&stage, &["--all"]).await[0]["mark"]["state"], "dropped");
    // What is dropped is not replayed by the way.
    run(&stage, false, &["replay", "--all"]).await;
    run(&stage, false, &["replay", &id.to_string()]).await;
    assert_eq!(entries(&stage, ChannelName::Echo).await.len(), 1);
    run(&stage, false, &["replay", "--again", &id.to_string()]).await;
    assert_eq!(entries(&stage, ChannelName::Echo).await.len(), 2);
}

#[tokio::test]
async fn all_means_what_nothing_was_done_about() {
    let stage = Stage::new();
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(one_letter(&stage).await.1);
    }
    run(&stage, false, &["drop", &ids[1].to_string()]).await;
    let (well, results, _) = run(&stage, true, &["replay", "--all"]).await;
    assert!(well);
    let done: Vec<_> = json_lines(&results).iter().map(|line| line["id"].clone()).collect();
    assert_eq!(done, [json!(ids[0]), json!(ids[2])]);
    assert_eq!(entries(&stage, ChannelName::Echo).await.len(), 5);
    assert_eq!(run(&stage, true, &["replay", "--all"]).await.1, "");
}

#[tokio::test]
async fn what_nobody_vouched_for_is_replayed_as_external_and_said_to_be_malformed() {
    let stage = Stage::new();
    let entry = Entry::new(ChannelName::Echo, EntryId::ZERO, "{".to_owned(), "[1]".to_owned());
    let id = give_up(&stage, &entry, "not JSON").await;
    let mut listener = stage.bus.listen(&[ChannelName::Echo]).await.unwrap();
    let (well, _, remarks) = run(&stage, false, &["replay", &id.to_string()]).await;
    assert!(well);
    assert!(remarks.starts_with(&format!("note: {id} still does not fit fullsend:echo")), "{remarks}");
    let said = entries(&stage, ChannelName::Echo).await.pop().unwrap();
    assert_eq!((said.b.as_str(), said.message().unwrap().envelope.trust), ("[1]", Trust::External));
    assert!(listener.heard.try_recv().is_err(), "it cannot carry its envelope");
}

#[tokio::test]
async fn what_cannot_be_replayed_fails_and_stays() {
    let stage = Stage::new();
    let body = json!({ "type": "echo_request", "text": "x".repeat(300_000) }).to_string();
    let large = Entry::new(ChannelName::Echo, EntryId::ZERO, String::new(), body);
    let large = give_up(&stage, &large, "too large").await;
    let odd = stage.say(ChannelName::DeadLetter, "somebody", r#"{"type":"dead_letter"}"#).await;
    let (well, _, remarks) = run(&stage, false, &["replay", &large.to_string(), &odd.to_string(), "7-7"]).await;
    assert!(!well);
    assert!(remarks.contains("only the beginning of its 300033 bytes is kept"), "{remarks}");
    let (_, text, _) = run(&stage, false, &["show", &large.to_string()]).await;
    assert!(text.contains("original body: the beginning of 300033 bytes with the SHA-256 "), "{text}");
    assert!(remarks.contains("it is no dead letter: dead_letter: missing field `channel`"), "{remarks}");
    assert!(remarks.contains("error: 7-7: there is no such dead letter"), "{remarks}");
    assert_eq!(list(&stage, &[]).await.len(), 2);
    let (_, text, _) = run(&stage, false, &["list"]).await;
    assert!(text.contains("no dead letter: dead_letter: missing field"), "{text}");
    let (_, text, _) = run(&stage, false, &["show", &odd.to_string()]).await;
    assert!(text.contains("  malformed dead_letter: missing field"), "{text}");
}

#[tokio::test]
async fn something_foreign_in_the_place_of_a_mark_is_named() {
    let stage = Stage::new();
    let (_, id) = one_letter(&stage).await;
    let key = Key::new(format!("dead_letters:{id}"));
    stage.memory.set_foreign(&key);
    assert!(matches!(stage.bus.get(&key).await, Err(BusError::ForeignType { .. })));
    assert_eq!(list(&stage, &[]).await.len(), 1);
    let (well, _, remarks) = run(&stage, false, &["replay", &id.to_string()]).await;
    assert!(!well);
    assert!(remarks.contains(&format!("`dead_letters:{id}` holds a")), "{remarks}");
    assert_eq!(entries(&stage, ChannelName::Echo).await.len(), 1);
}
