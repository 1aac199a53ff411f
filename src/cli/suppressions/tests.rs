use clap::Parser;
use pretty_assertions::assert_eq;
use serde_json::json;

use super::*;
use crate::bus::Range;
use crate::cli::forget;
use crate::cli::testing::{Stage, json_lines};
use crate::contracts::{Body, ChannelName};

fn args(words: &[&str]) -> Args {
    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }
    Line::try_parse_from([&["suppressions"], words].concat()).unwrap_or_else(|err| panic!("{err}")).args
}

async fn run(stage: &Stage, json: bool, words: &[&str]) -> (color_eyre::Result<ExitCode>, String) {
    let (cx, results, _) = stage.context(json);
    let ended = act(&args(words), "ana", &cx, &stage.bus).await;
    (ended, results.text())
}

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: forget::Args,
}

#[tokio::test]
async fn people_come_onto_the_list_and_off_it_with_an_order_on_record() {
    let stage = Stage::new();
    let (_, text) = run(&stage, false, &["add", "Grace@One.example", "--reason", "by telephone"]).await;
    assert_eq!(text, "grace@one.example is not written to any more\n");
    let (_, text) = run(&stage, false, &["add", "grace@one.example"]).await;
    assert_eq!(text, "grace@one.example was on the list already\n");
    let (_, text) = run(&stage, true, &["list"]).await;
    let listed = &json_lines(&text)[0]["suppressions"];
    assert_eq!(listed[0]["person"], json!(keys::person("grace@one.example")));
    assert_eq!((&listed[0]["reason"], &listed[0]["by"]), (&json!("by telephone"), &json!("ana")));
    assert!(!text.contains("grace"), "{text}");
    let said = stage.bus.range(ChannelName::Control, Range::newest(10)).await.unwrap();
    assert_eq!(said.len(), 1, "what changes nothing is no order");
    assert!(matches!(Control::read(&said[0].b), Ok(Control::SetSuppression(_))) && !said[0].b.contains("grace"));
    let (_, text) = run(&stage, false, &["remove", "grace@one.example"]).await;
    assert_eq!(text, "grace@one.example may be written to again\n");
    let (_, text) = run(&stage, false, &[]).await;
    assert_eq!(text, "nobody is on the list\n");
}

#[tokio::test]
async fn what_is_no_address_changes_nothing() {
    let stage = Stage::new();
    let (ended, _) = run(&stage, false, &["add", "grace@one.example", "nobody"]).await;
    assert_eq!(ended.unwrap_err().to_string(), "`nobody` is no mail address");
    assert_eq!(run(&stage, false, &[]).await.1, "nobody is on the list\n");
}

#[tokio::test]
async fn whoever_is_forgotten_is_on_the_list_and_what_remains_is_told() {
    let stage = Stage::new();
    let fields = vec![
        ("target".to_owned(), Some("grace@one.example".to_owned())),
        ("state".to_owned(), Some("done".to_owned())),
    ];
    let op = Op::Change { key: Key::new("actions:a1"), expect: Expect::Any, fields, ttl: Ttl::Keep };
    stage.commit(vec![op]).await;
    stage.say(ChannelName::Echo, "control_room", r#"{"type":"echo_request","text":"mail to grace@one.example"}"#).await;
    // Who left before is forgotten all the same.
    run(&stage, false, &["add", "grace@one.example", "--reason", "unsubscribed"]).await.0.unwrap();
    let line = Line::parse_from(["forget", "Grace <GRACE@one.example>"]);
    let (cx, results, _) = stage.context(true);
    forget::act(&line.args, "ana", &cx, &stage.bus).await.unwrap();
    let said = &json_lines(&results.text())[0];
    assert_eq!((&said["suppressed"], &said["documents"]), (&json!(true), &json!(["actions:a1"])));
    // The order itself names them too, by the hash alone.
    let remains: Vec<_> = said["remains"].as_array().unwrap().iter().map(|it| (&it["place"], &it["count"])).collect();
    assert_eq!(remains, [(&json!("fullsend:control"), &json!(2)), (&json!("fullsend:echo"), &json!(1))]);
    assert_eq!(said["remains"][1]["until"], json!("2026-03-08T09:30:00Z"));
    let (_, text) = run(&stage, true, &["list"]).await;
    assert_eq!(json_lines(&text)[0]["suppressions"][0]["reason"], json!("forgotten"));
}
