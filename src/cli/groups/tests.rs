use clap::Parser;
use pretty_assertions::assert_eq;
use rstest::rstest;

use super::*;
use crate::bus::{Reader, Want};
use crate::cli::testing::{Stage, json_lines};

const NOBODY: Ask = None;
const YES: Ask = Some(|| Ok("y\n".to_owned()));
const NO: Ask = Some(|| Ok("\n".to_owned()));

fn args(words: &[&str]) -> Args {
    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }
    Line::try_parse_from([&["groups"], words].concat()).unwrap_or_else(|err| panic!("{err}")).args
}

async fn run(stage: &Stage, json: bool, ask: Ask, words: &[&str]) -> (color_eyre::Result<ExitCode>, String, String) {
    let (cx, results, remarks) = stage.context(json);
    let ended = act(&args(words), ask, &cx, &stage.bus).await;
    (ended, results.text(), remarks.text())
}

/// Three messages on echo; the group `echo` holds one of them, `old_reader` and `builder` none.
async fn stage() -> Stage {
    let stage = Stage::new();
    for group in ["echo", "old_reader", "builder"] {
        stage.bus.ensure_group(ChannelName::Echo, group).await.unwrap();
    }
    for _ in 0..3 {
        stage.say(ChannelName::Echo, "control_room", r#"{"type":"echo_request","text":"hi"}"#).await;
    }
    let reader = Reader { group: "echo".to_owned(), consumer: "echo@host#0".to_owned() };
    let want = Want { start: 1, ahead: 0 };
    let read = stage.bus.read(&reader, &[ChannelName::Echo], want, Duration::ZERO).await.unwrap();
    assert_eq!(read.len(), 1);
    stage.clock.advance(Duration::from_secs(90));
    stage
}

#[tokio::test]
async fn groups_are_listed_with_what_they_have_to_do() {
    let stage = stage().await;
    let (ended, text, _) = run(&stage, false, NOBODY, &["list"]).await;
    assert_eq!(ended.unwrap(), OK);
    let cells = |name: &str| -> Vec<String> {
        let line = text.lines().find(|line| line.contains(name)).unwrap();
        line.split("  ").map(|cell| cell.trim().to_owned()).filter(|cell| !cell.is_empty()).collect()
    };
    assert_eq!(cells(" echo "), ["fullsend:echo", "echo", "built", "1", "2", "1m30s", "1m30s", "1"]);
    assert_eq!(cells("builder"), ["fullsend:echo", "builder", "not in this version", "0", "3", "-", "-", "0"]);
    assert_eq!(cells("old_reader")[2], "unknown");

    let (_, json, _) = run(&stage, true, NOBODY, &["list", "echo"]).await;
    let groups = json_lines(&json)[0].as_array().unwrap().clone();
    let echo = groups.iter().find(|group| group["group"] == "echo").unwrap();
    assert_eq!((&echo["pending"], &echo["lag"], &echo["oldest_pending_s"]), (&json!(1), &json!(2), &json!(90.0)));
    assert_eq!(echo["consumers"], json!([{ "consumer": "echo@host#0", "pending": 1, "idle_s": 90.0 }]));

    let (_, text, remarks) = run(&stage, false, NOBODY, &["list", "metrics"]).await;
    assert_eq!(
        (text.as_str(), remarks.as_str()),
        ("", "there are no groups; each is made when its service first starts\n")
    );
}

#[tokio::test]
async fn a_channel_of_a_foreign_type_does_not_hide_the_others() {
    let stage = stage().await;
    let foreign = BusError::ForeignType { key: "k".to_owned(), found: "hash".to_owned(), wanted: "stream" };
    stage.memory.fail_next(1, foreign);
    let (ended, text, remarks) = run(&stage, false, NOBODY, &["list", "metrics", "echo"]).await;
    assert_eq!(ended.unwrap(), FAILED);
    assert!(text.contains("old_reader"), "{text}");
    assert!(remarks.starts_with("error: fullsend:metrics: `k` holds a hash"), "{remarks}");
}

async fn is_there(stage: &Stage, name: &str) -> bool {
    stage.bus.inspect(ChannelName::Echo).await.unwrap().groups.iter().any(|group| group.group == name)
}

#[tokio::test]
async fn what_is_lost_is_named_before_a_group_goes() {
    let stage = stage().await;
    let (ended, _, remarks) = run(&stage, false, NO, &["drop", "echo", "echo"]).await;
    assert_eq!(ended.unwrap(), FAILED);
    assert!(
        remarks.contains("goes with 1 messages that were handed out and not acknowledged, and 2 not handed out yet"),
        "{remarks}"
    );
    assert!(remarks.contains("begins with the channel's oldest message (3 are stored)"), "{remarks}");
    assert!(remarks.ends_with("Drop it? [y/N]\nnothing done\n"), "{remarks}");
    assert!(is_there(&stage, "echo").await);

    let (ended, text, remarks) = run(&stage, false, YES, &["drop", "echo", "old_reader"]).await;
    assert_eq!(ended.unwrap(), OK);
    assert!(!remarks.contains("next starts"), "{remarks}");
    assert_eq!(text, "dropped the group `old_reader` of fullsend:echo\n");
    assert!(!is_there(&stage, "old_reader").await);
}

#[tokio::test]
async fn without_anybody_to_ask_it_takes_a_yes() {
    let stage = stage().await;
    let (ended, ..) = run(&stage, false, NOBODY, &["drop", "echo", "echo"]).await;
    let err = ended.unwrap_err();
    assert!(err.is::<Usage>() && err.to_string().ends_with("`--yes` does it"), "{err}");
    assert!(is_there(&stage, "echo").await);

    let (ended, json, remarks) = run(&stage, true, NOBODY, &["drop", "echo", "echo", "--yes"]).await;
    assert_eq!(ended.unwrap(), OK);
    assert_eq!(remarks, "");
    assert_eq!(
        json_lines(&json),
        [
            json!({ "channel": "fullsend:echo", "group": "echo", "dropped": true, "pending": 1, "lag": 2, "lag_or_more": false })
        ]
    );
    assert!(!is_there(&stage, "echo").await);

    let (ended, ..) = run(&stage, true, YES, &["drop", "echo", "echo"]).await;
    assert_eq!(ended.unwrap_err().to_string(), "fullsend:echo has no group `echo`");
}

#[rstest]
#[case(0, "0s")]
#[case(250, "250ms")]
#[case(61_500, "1m1s")]
#[case(3_661_000, "1h1m")]
#[case(90_061_000, "1d1h")]
fn times_are_rounded(#[case] ms: u64, #[case] shown: &str) {
    assert_eq!(rounded(Duration::from_millis(ms)), shown);
}

#[tokio::test]
async fn on_a_narrow_terminal_the_table_leaves_out_what_can_be_missed() {
    let stage = stage().await;
    stage.bus.ensure_group(ChannelName::ExperimentResults, &"x".repeat(70)).await.unwrap();
    let shown = async |width: usize| {
        let (mut cx, results, _) = stage.context(false);
        cx.out = cx.out.within(width);
        act(&args(&["list"]), NOBODY, &cx, &stage.bus).await.unwrap();
        results.text()
    };
    let narrow = shown(80).await;
    assert!(narrow.lines().all(|line| line.chars().count() <= 80), "{narrow}");
    let line = |name: &str| narrow.lines().find(|line| line.contains(name)).unwrap();
    assert_eq!(
        line(" echo ").split_whitespace().collect::<Vec<_>>(),
        ["echo", "echo", "1", "2", "1m30s", "1m30s", "1"]
    );
    assert!(line("builder").starts_with("echo                builder*"), "{narrow}");
    assert!(shown(200).await.contains("not in this version"));
}
