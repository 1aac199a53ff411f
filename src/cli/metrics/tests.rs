use std::sync::Arc;

use clap::Parser;
use pretty_assertions::assert_eq;
use rstest::rstest;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::bus::{Commit, Consumer, ConsumerOptions, Expect, Op, Range, Ttl};
use crate::cli::testing::{Stage, json_lines};
use crate::contracts::ChannelName;
use crate::services::redis_agent::{AgentOptions, RedisAgent};

fn args(words: &[&str]) -> Args {
    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }
    Line::try_parse_from([&["metrics"], words].concat()).unwrap_or_else(|err| panic!("{err}")).args
}

async fn run(stage: &Stage, json: bool, words: &[&str]) -> (color_eyre::Result<ExitCode>, String, String) {
    let (cx, results, remarks) = stage.context(json);
    let ended = act(&args(words), "ana", &cx, &stage.bus).await;
    (ended, results.text(), remarks.text())
}

async fn change(stage: &Stage, key: &str, fields: &[(&str, &str)]) {
    let fields = fields.iter().map(|(name, text)| ((*name).to_owned(), Some((*text).to_owned()))).collect();
    let change = Op::Change { key: Key::new(key), expect: Expect::Any, fields, ttl: Ttl::Keep };
    assert!(stage.bus.commit(vec![Commit::of(vec![change])]).await.unwrap()[0].is_done());
}

/// Adds up what was said.
async fn add_up(stage: &Stage) {
    let (cx, ..) = stage.context(false);
    let options = ConsumerOptions { seed: Some(1), ..ConsumerOptions::default() };
    let agent = RedisAgent::new(AgentOptions { cooldown: Duration::from_mins(5), settle: Duration::from_hours(24) });
    let consumer = Consumer::new(Arc::clone(&stage.bus), agent, options, Arc::clone(&cx.clock), Arc::clone(&cx.ids));
    let stop = CancellationToken::new();
    let (stopped, counts) = (stop.clone(), consumer.counts());
    let task = tokio::spawn(async move { consumer.run(stopped).await });
    let said = stage.bus.inspect(ChannelName::Metrics).await.unwrap().length;
    while counts.handled.load(std::sync::atomic::Ordering::Relaxed) < said {
        tokio::task::yield_now().await;
    }
    stop.cancel();
    task.await.unwrap().unwrap();
}

#[tokio::test]
async fn what_is_added_is_said_as_the_operator() {
    let stage = Stage::new();
    let words = ["add", "exp_1", "meeting_booked", "--count", "2", "--field", "hours=3.5", "--field", "with=the CTO"];
    let (ended, text, remarks) = run(&stage, false, &words).await;
    assert_eq!(ended.unwrap(), OK);
    assert!(text.starts_with("exp_1: 2 meeting_booked said  "), "{text}");
    assert!(remarks.contains("there is no experiment `exp_1`"), "{remarks}");
    let entries = stage.bus.range(ChannelName::Metrics, Range::after(EntryId::ZERO, 10)).await.unwrap();
    let message = entries[0].message().unwrap();
    assert_eq!((message.envelope.source.as_ref(), message.envelope.trust), ("control_room", Trust::Operator));
    let body: Value = serde_json::from_str(&entries[0].b).unwrap();
    assert_eq!(
        (&body["count"], &body["hours"], &body["with"], &body["by"]),
        (&2.into(), &3.5.into(), &"the CTO".into(), &"ana".into())
    );
}

#[rstest]
#[case(&["add", "exp 1", "reply"], "has a space")]
#[case(&["add", "exp_1", "error"], "take another name")]
#[case(&["add", "exp_1", "größe"], "no name of an event")]
#[case(&["add", "exp_1", "reply", "--field", "hours"], "NAME=VALUE")]
#[case(&["add", "exp_1", "reply", "--field", "count=3"], "cannot be given")]
#[case(&["add", "exp_1", "reply", "--field", "x=1e300"], "no number that can be added up")]
#[case(&["add", "exp_1", "reply", "--count", "9999999999"], "no number of events")]
#[tokio::test]
async fn what_cannot_be_counted_is_not_said(#[case] words: &[&str], #[case] part: &str) {
    let stage = Stage::new();
    let (ended, ..) = run(&stage, false, words).await;
    let err = format!("{:#}", ended.unwrap_err());
    assert!(err.contains(part), "{err}");
    assert_eq!(stage.bus.inspect(ChannelName::Metrics).await.unwrap().length, 0);
}

#[tokio::test]
async fn numbers_are_shown_with_how_sure_they_are() {
    let stage = Stage::new();
    let (ended, ..) = run(&stage, false, &["show", "exp_1"]).await;
    assert!(format!("{:#}", ended.unwrap_err()).contains("there is no experiment `exp_1`"));
    change(
        &stage,
        "experiments:exp_1",
        &[
            ("state", "measuring"),
            ("mode", "simulation"),
            ("success_criteria", r#"["reply_rate >= 8%","spend < 100"]"#),
            ("failure_criteria", r#"["reply_rate < 5% after 100 sends"]"#),
        ],
    )
    .await;
    for words in [
        ["add", "exp_1", "email_sent", "--count", "200", "--variant", "a"],
        ["add", "exp_1", "email_sent", "--count", "200", "--variant", "b"],
        ["add", "exp_1", "reply", "--count", "4", "--variant", "a"],
    ] {
        run(&stage, false, &words).await.0.unwrap();
    }
    add_up(&stage).await;
    let (ended, text, _) = run(&stage, false, &["show", "exp_1"]).await;
    assert_eq!(ended.unwrap(), OK);
    for part in [
        "exp_1: failing, 2026-03-01T09:30:00.000Z",
        "works if  spend < 100                      unknown  unknown: no `spend` was measured",
        "fails if  reply_rate < 5% after 100 sends  yes      4 of 400, 1.0 % (0.1–",
        "fails: 99.9 % sure",
        "does not work: 99.9 % sure",
        "reply_rate: a 2.0 % (4 of 200), b 0.0 % (0 of 200): undecided: a is better, 0 % sure",
        "email_sent  400",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let (_, text, _) = run(&stage, true, &["show", "exp_1"]).await;
    let shown = json_lines(&text).remove(0);
    assert_eq!((&shown["events"]["email_sent"], &shown["outcome"]["verdict"]), (&400.into(), &"failing".into()));
    assert!(shown["outcome"]["criteria"][2]["evidence"]["sure"].as_f64().unwrap() > 0.99);
}
