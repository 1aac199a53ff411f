use std::io::Cursor;
use std::sync::Arc;

use chrono::TimeDelta;
use pretty_assertions::assert_eq;
use secrecy::SecretString;
use serde_json::json;

use super::*;
use crate::bus::Document;
use crate::contracts::ChannelName;
use crate::tui::app::tests::{Speaker, about, now};
use crate::tui::store::EngineStatus;

fn hash(fields: &[(&str, &str)]) -> State {
    let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    State::Hash(Document { version: 1, fields })
}

fn documents(found: &[(&str, State)]) -> Item {
    let found = found.iter().map(|(key, state)| (Key::new(*key), state.clone())).collect();
    Item::Documents { prefix: "experiments:".to_owned(), found, left_out: 0 }
}

/// A recording of these items, a second apart.
pub(crate) fn recorded(items: &[Item]) -> Vec<u8> {
    let mut recorder = Recorder::begin(Vec::new(), &Head::of(&about(), now()), 1 << 20).unwrap();
    for (at, item) in items.iter().enumerate() {
        let at = now() + TimeDelta::seconds(i64::try_from(at).unwrap());
        assert_eq!(recorder.take(at, item).unwrap(), Took::Written);
    }
    recorder.to
}

pub(crate) fn chat(speaker: &mut Speaker, words: &str) -> Item {
    let body = json!({ "content": words, "username": "mara" });
    Item::Message(Arc::new(speaker.row(ChannelName::DiscordRaw, "discord", &body)))
}

fn read(bytes: &[u8]) -> Result<Recording, Unreadable> {
    Recording::read(Cursor::new(bytes))
}

#[test]
fn what_was_recorded_is_read_back_the_same() {
    let items = [
        Item::Engine(EngineStatus::Live),
        chat(&mut Speaker::new(), "hello\n\u{1b}[2J \"quoted\""),
        Item::Document { key: Key::new("experiments:a"), state: Some(hash(&[("state", "running")])) },
        Item::Lag(ChannelName::Metrics, Some(7)),
        Item::Gap("the bus was away".to_owned()),
        Item::Missed(3),
        Item::Filled,
        Item::Engine(EngineStatus::Away { since: now(), reason: "refused".to_owned() }),
    ];
    let recording = read(&recorded(&items)).unwrap();
    assert_eq!((recording.head.engine.as_str(), recording.head.at, recording.is_torn), ("embedded", now(), false));
    let shown = |items: &mut dyn Iterator<Item = &Item>| items.map(|item| format!("{item:?}")).collect::<Vec<_>>();
    assert_eq!(shown(&mut recording.items.iter().map(|(_, item)| item)), shown(&mut items.iter()));
    assert_eq!(recording.span(), (now(), now() + TimeDelta::seconds(7)));
}

#[test]
fn documents_are_written_where_they_changed_only() {
    let (a, b) = (hash(&[("state", "running")]), hash(&[("state", "ready")]));
    let bytes = recorded(&[
        documents(&[("experiments:a", a.clone()), ("experiments:b", b.clone())]),
        documents(&[("experiments:a", a.clone()), ("experiments:b", b.clone())]),
        documents(&[("experiments:a", b.clone())]),
    ]);
    let items = read(&bytes).unwrap().items;
    let told: Vec<_> = items
        .iter()
        .map(|(_, item)| match item {
            Item::Document { key, state } => (key.as_str().to_owned(), state.is_some()),
            other => panic!("{other:?}"),
        })
        .collect();
    let expected =
        [("experiments:a", true), ("experiments:b", true), ("experiments:b", false), ("experiments:a", true)];
    assert_eq!(told, expected.map(|(key, there)| (key.to_owned(), there)));
}

#[test]
fn no_secret_is_recorded_and_what_is_left_can_be_read() {
    crate::telemetry::register(&SecretString::from("tr0ub4dor\"&3"));
    let mut speaker = Speaker::new();
    let items = [
        chat(&mut speaker, "the key is tr0ub4dor\"&3, and sk-ant-abcdefgh12345678"),
        Item::Document { key: Key::new("tools:x"), state: Some(hash(&[("url", "redis://mara:hunter22@host/0")])) },
        Item::Document {
            key: Key::new("tools:y"),
            state: Some(hash(&[("config", "{\"api_key\":\"0123456789abc\"}")])),
        },
    ];
    let bytes = recorded(&items);
    let text = String::from_utf8(bytes.clone()).unwrap();
    for secret in ["tr0ub4dor", "sk-ant-abcdefgh", "hunter22", "0123456789abc"] {
        assert!(!text.contains(secret), "{secret} is in {text}");
    }
    assert_eq!(read(&bytes).unwrap().items.len(), 3);
}

#[test]
fn a_last_line_that_is_torn_is_left_out_and_said() {
    let bytes = recorded(&[Item::Filled, chat(&mut Speaker::new(), "one"), chat(&mut Speaker::new(), "two")]);
    for cut in 1..60 {
        let recording = read(&bytes[..bytes.len() - cut]).unwrap();
        assert_eq!((recording.items.len(), recording.is_torn), (if cut == 1 { 3 } else { 2 }, cut > 1), "{cut}");
    }
}

#[test]
fn what_is_no_recording_says_so() {
    let foreign: [&[u8]; 5] = [b"", b"\x7fELF", b"{}\n", b"{\"record\":\"entry\"}\n", b"[1]\n"];
    for bytes in foreign {
        assert!(matches!(read(bytes), Err(Unreadable::Foreign)), "{bytes:?}");
    }
    let newer = b"{\"fullsend_recording\":9,\"whatever\":1}\n";
    let said = read(newer).unwrap_err().to_string();
    assert_eq!(said, "it is of version 9 of the format, this program reads 1; a newer fullsend plays it");
    let mut bytes = recorded(&[Item::Filled]);
    bytes.extend(b"{\"at\":\"2026-11-21T14:02:11Z\",\"item\":{\"later\":1}}\n\n");
    let said = read(&bytes).unwrap_err().to_string();
    assert!(said.starts_with("line 3 is no item of a recording: unknown variant `later`"), "{said}");
}

#[test]
fn a_recording_that_is_full_takes_no_more() {
    let mut recorder = Recorder::begin(Vec::new(), &Head::of(&about(), now()), 1_500).unwrap();
    let mut speaker = Speaker::new();
    let took: Vec<Took> = (0..9).map(|_| recorder.take(now(), &chat(&mut speaker, "words")).unwrap()).collect();
    assert!(took[0] == Took::Written && took[8] == Took::Full, "{took:?}");
    assert!(recorder.written().1 <= 1_500);
    read(&recorder.to).unwrap();
}

#[test]
fn a_clock_that_stepped_back_leaves_the_order() {
    let mut recorder = Recorder::begin(Vec::new(), &Head::of(&about(), now()), 1 << 20).unwrap();
    for seconds in [5, 3, 9] {
        recorder.take(now() + TimeDelta::seconds(seconds), &Item::Missed(1)).unwrap();
    }
    let times: Vec<i64> = read(&recorder.to).unwrap().items.iter().map(|(at, _)| (*at - now()).num_seconds()).collect();
    assert_eq!(times, [5, 5, 9]);
}
