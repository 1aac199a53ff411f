use clap::Parser;
use pretty_assertions::assert_eq;
use rstest::rstest;
use serde_json::Value;

use super::*;
use crate::bus::{EntryId, Range};
use crate::cli::testing::{Stage, json_lines};
use crate::contracts::{Body, ChannelName, ServiceName};
use crate::llm::TaskName;
use crate::llm::ledger::{Call, Ledger, Prices, Sweeper};

fn args(words: &[&str]) -> Args {
    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }
    Line::try_parse_from([&["budget"], words].concat()).unwrap_or_else(|err| panic!("{err}")).args
}

async fn run(stage: &Stage, json: bool, words: &[&str]) -> (color_eyre::Result<ExitCode>, String) {
    let (cx, results, _) = stage.context(json);
    let ended = act(&args(words), "ana", &cx, &stage.bus).await;
    (ended, results.text())
}

async fn json(stage: &Stage) -> Value {
    let (ended, text) = run(stage, true, &[]).await;
    assert_eq!(ended.unwrap(), OK);
    json_lines(&text).remove(0)
}

fn ledger(stage: &Stage) -> Ledger {
    let (cx, _, _) = stage.context(false);
    Ledger::new(std::sync::Arc::clone(&stage.bus), Prices::built_in(), cx.config.budget, cx.clock, cx.ids)
}

fn call(id: &str, service: ServiceName, task: TaskName, model: &str) -> Call {
    Call {
        id: id.to_owned(),
        service,
        task,
        trace: None,
        provider: "anthropic".to_owned(),
        model: model.to_owned(),
        is_local: false,
        prompt_bytes: 3_000,
        max_tokens: 1_000,
        within: std::time::Duration::from_mins(1),
    }
}

fn used() -> crate::contracts::messages::Tokens {
    crate::contracts::messages::Tokens { uncached: 1_000, cache_write: 0, cache_read: 0, output: 500 }
}

/// A call yesterday, one today, one that was left over by a crash today, and one under way.
async fn stage() -> Stage {
    let stage = Stage::new();
    let ledger = ledger(&stage);
    let decide = |id| call(id, ServiceName::Orchestrator, TaskName::Decide, "claude-opus-4-5");
    // 2026-03-01 is a Sunday and the first: what was before is another month.
    ledger.reserve(decide("c1")).await.unwrap().settle(used(), false).await.unwrap();
    drop(ledger.reserve(call("c2", ServiceName::Watcher, TaskName::Classify, "claude-haiku-4-5")).await.unwrap());
    stage.clock.advance(std::time::Duration::from_hours(1));
    assert_eq!(Sweeper { ledger: ledger.clone() }.sweep(None).await.unwrap(), 1);
    stage.clock.advance(std::time::Duration::from_hours(24));
    ledger.reserve(decide("c3")).await.unwrap().settle(used(), false).await.unwrap();
    drop(ledger.reserve(decide("c4")).await.unwrap());
    stage
}

#[tokio::test]
async fn what_is_spent_reserved_and_allowed_is_listed() {
    let stage = stage().await;
    let (ended, text) = run(&stage, false, &["list"]).await;
    assert_eq!(ended.unwrap(), OK);
    // A call: 1,000 x 5,000 + 500 x 25,000 = 17,500,000; reserved: 1,064 x 6,250 + 1,000 x 25,000 = 31,650,000.
    // Left over by the crash: 1,064 x 1,250 + 1,000 x 5,000 = 6,330,000.
    insta::assert_snapshot!(text, @r"
    BUDGET  SPENT     RESERVED  LIMIT    USED  UNTIL
    call    -         -         $2.00    -     -
    day     $0.0175   $0.0317   $5.00    0%    -
    month   ~$0.0413  $0.0317   $100.00  0%    -

    ON       NAME                        TODAY    CALLS  TOKENS  THIS MONTH  CALLS  TOKENS
    task     decide                      $0.0175  1      1500    $0.0350     2      3000
    task     classify                    $0.00    0      0       ~$0.0063    1      2064
    service  orchestrator                $0.0175  1      1500    $0.0350     2      3000
    service  watcher                     $0.00    0      0       ~$0.0063    1      2064
    model    anthropic/claude-opus-4-5   $0.0175  1      1500    $0.0350     2      3000
    model    anthropic/claude-haiku-4-5  $0.00    0      0       ~$0.0063    1      2064
    ");
    let report = json(&stage).await;
    let month = &report["budgets"][2];
    assert_eq!((month["scope"].as_str(), month["unit"].as_str()), (Some("month"), Some("nano")));
    assert_eq!(month["spent"], 2 * 17_500_000 + 6_330_000);
    assert_eq!((&month["estimated"], &month["reserved"]), (&Value::from(6_330_000), &Value::from(31_650_000)));
    let classify = &report["month"]["tasks"][1];
    assert_eq!((&classify["name"], &classify["estimated_calls"]), (&Value::from("classify"), &Value::from(1)));
    assert_eq!(classify["tokens"]["uncached"], 1_064);
}

#[tokio::test]
async fn a_limit_is_set_for_a_while_and_the_order_is_said() {
    let stage = Stage::new();
    let (ended, text) = run(&stage, false, &["set", "day", "$7.50", "--until", "6h", "--reason", "launch"]).await;
    assert_eq!(ended.unwrap(), OK);
    assert_eq!(text, "budget day: $7.50 until 2026-03-01 15:30:00Z\n");
    let (ended, text) = run(&stage, false, &["set", "task:decide", "50 calls"]).await;
    assert_eq!((ended.unwrap(), text.as_str()), (OK, "budget task:decide: 50 calls\n"));

    let report = json(&stage).await;
    let line = |scope: &str, unit: &str| {
        let lines = report["budgets"].as_array().unwrap();
        lines.iter().find(|line| line["scope"] == scope && line["unit"] == unit).unwrap().clone()
    };
    assert_eq!(line("day", "nano")["limit"], 7_500_000_000_u64);
    assert_eq!(line("day", "nano")["until"], "2026-03-01T15:30:00Z");
    assert_eq!(line("task:decide", "calls")["limit"], 50);
    stage.clock.advance(std::time::Duration::from_hours(7));
    assert_eq!(json(&stage).await["budgets"][1]["limit"], 5_000_000_000_u64, "the former limit holds again");

    let said = stage.bus.range(ChannelName::Control, Range::after(EntryId::ZERO, 10)).await.unwrap();
    assert_eq!(said.len(), 2);
    let Control::SetBudget(order) = Control::read(&said[0].b).unwrap() else { panic!("{}", said[0].b) };
    assert_eq!((order.scope.as_str(), order.limit, order.by.as_deref()), ("day", 7.5, Some("ana")));
    assert_eq!(order.reason.as_deref(), Some("launch"));
}

#[tokio::test]
async fn what_is_set_here_holds_there_at_once() {
    let stage = Stage::new();
    let ledger = ledger(&stage);
    run(&stage, false, &["set", "service:watcher", "0.001"]).await.0.unwrap();
    let classify = |id| call(id, ServiceName::Watcher, TaskName::Classify, "claude-haiku-4-5");
    let refused = ledger.reserve(classify("c1")).await.unwrap_err().to_string();
    assert!(refused.starts_with("the budget `service:watcher` does not allow it: $0.00 of $0.0010"), "{refused}");
    run(&stage, false, &["set", "service:watcher", "1"]).await.0.unwrap();
    drop(ledger.reserve(classify("c1")).await.unwrap());
}

#[rstest]
#[case(&["set", "week", "5"], "is no scope of a budget")]
#[case(&["set", "day", "five"], "is no amount of dollars")]
#[case(&["set", "--", "day", "-5"], "is no amount of dollars")]
#[case(&["set", "day", "5", "--until", "soon"], "is neither a time")]
#[case(&["set", "day", "5", "--until", "2020-01-01T00:00:00Z"], "is past")]
#[tokio::test]
async fn what_cannot_be_set_is_refused(#[case] words: &[&str], #[case] why: &str) {
    let stage = Stage::new();
    let (cx, _, _) = stage.context(false);
    let err = act(&args(words), "ana", &cx, &stage.bus).await.unwrap_err();
    assert!(err.is::<Usage>(), "{err:?}");
    assert!(err.to_string().contains(why), "{err}");
    assert!(stage.bus.range(ChannelName::Control, Range::newest(1)).await.unwrap().is_empty());
}
