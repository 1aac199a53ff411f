//! The verb on a bus in memory, with a gate that runs, and without.

use pretty_assertions::assert_eq;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::cli::output::{FAILED, OK};
use crate::cli::testing::{Desk, Kept, json_lines};
use crate::contracts::lifecycle::LifecycleEvent;
use crate::contracts::messages::Intent;
use crate::contracts::notes::{NoteChange, NoteName};
use crate::contracts::{ChannelName, Trust};

fn say(channel: ChannelName, body: Value) -> Intent {
    let Value::Object(body) = body else { panic!("{body}") };
    Intent::Say { channel, body, priority: crate::contracts::Priority::Medium, subject: None }
}

/// Class 2.
fn dispatch(idea: &str) -> Intent {
    say(ChannelName::ToFullsend, json!({ "type": "experiment_request", "idea": { "description": idea } }))
}

/// Class 3.
fn go_live() -> Intent {
    Intent::Step { experiment_id: "e".to_owned(), event: LifecycleEvent::Approve }
}

/// Runs the verb as a person called mara. Answers its end, its results and its remarks.
async fn run(desk: &Desk, args: &[&str], ask: Ask) -> (color_eyre::Result<ExitCode>, String, String) {
    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }
    let line = <Line as clap::Parser>::try_parse_from(["approvals"].iter().chain(args)).unwrap();
    let (cx, results, remarks) = desk.verb(false);
    let ended = act(&line.args, "mara", ask, &cx, &desk.world.bus()).await;
    (ended, results.text(), remarks.text())
}

async fn json(desk: &Desk, action: Action) -> Vec<Value> {
    let (cx, results, _): (_, Kept, Kept) = desk.verb(true);
    act(&Args { action }, "mara", None, &cx, &desk.world.bus()).await.unwrap();
    json_lines(&results.text())
}

fn refusal(ended: color_eyre::Result<ExitCode>) -> String {
    format!("{:#}", ended.unwrap_err())
}

async fn state(desk: &Desk, id: &str) -> ApprovalState {
    Record::load(&desk.world.bus(), id).await.unwrap().unwrap().state
}

use crate::approvals::ApprovalState;

#[tokio::test(start_paused = true)]
async fn what_waits_is_listed_with_what_changed_since() {
    let desk = Desk::new();
    desk.gate();
    assert_eq!(run(&desk, &["list"], None).await.2, "nothing waits for a yes\n");
    desk.document("experiments:e", &[("state", "draft")]).await;
    let live = desk.propose(vec![go_live()], Trust::Member).await;
    let idea = desk.propose(vec![dispatch("x")], Trust::External).await;
    let (_, listed, _) = run(&desk, &["list"], None).await;
    let lines: Vec<Vec<&str>> = listed.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[1], [&live, "pending", "3", "member", "orchestrator", "3h59m", "mail", "them", "-"], "{listed}");
    assert_eq!(lines[2][..4], [&idea, "pending", "2", "external"], "the first deadline comes first");
    desk.document("experiments:e", &[("state", "archived")]).await;
    let (_, listed, _) = run(&desk, &["list"], None).await;
    assert!(listed.lines().nth(1).unwrap().ends_with("experiments:e state"), "{listed}");
    let (_, shown, _) = run(&desk, &["show", &live], None).await;
    assert!(
        shown.contains("CHANGED   experiments:e state: was `draft`, is `archived` now; a yes asks again"),
        "{shown}"
    );
    run(&desk, &["deny", &idea, "--reason", "not now"], None).await.0.unwrap();
    let all = json(&desk, Action::List { all: true }).await;
    let states: Vec<_> = all[0].as_array().unwrap().iter().map(|it| it["approval"]["state"].clone()).collect();
    assert_eq!(states, ["pending", "denied"]);
}

#[tokio::test(start_paused = true)]
async fn everything_is_shown_and_nothing_of_it_reaches_the_terminal_raw() {
    let desk = Desk::new();
    desk.gate();
    let learn = NoteChange::Learn {
        headline: "CTOs answer".to_owned(),
        evidence: vec!["2 of 5\u{202e}".to_owned()],
        experiment_id: None,
    };
    let note = Intent::Note { name: NoteName::Learnings, change: learn };
    let id = desk.propose(vec![dispatch("x\u{1b}]52;c;AAAA\u{7}y"), note], Trust::External).await;
    let (ended, shown, _) = run(&desk, &["show", &id[..8]], None).await;
    assert_eq!(ended.unwrap(), OK);
    for part in [
        "what      mail them\n",
        "why       two of five answered\n",
        "class     2 (starts work, no contact outside)\n",
        "trust     external\n",
        "cost      at most $1.50\n",
        "without an answer it is denied\n",
        "\"channel\": \"fullsend:to_fullsend\"",
        "the note learnings changes:\n",
        "CTOs answer",
        "digest    sha256:",
    ] {
        assert!(shown.contains(part), "no `{part}` in {shown}");
    }
    assert!(shown.chars().all(|c| c == '\n' || !c.is_control()) && !shown.contains('\u{202e}'), "{shown:?}");
    let value = json(&desk, Action::Show { id: id.clone() }).await.remove(0);
    assert_eq!(value["approval"]["proposal"]["approval_id"], json!(id));
    assert!(value["notes"][0]["diff"].as_str().unwrap().contains('+'), "{value}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_given_and_what_came_of_it_is_told() {
    let desk = Desk::new();
    desk.gate();
    let id = desk.propose(vec![dispatch("x")], Trust::Member).await;
    let (ended, said, _) = run(&desk, &["approve", &id[4..12], "--reason", "go"], None).await;
    assert_eq!((ended.unwrap(), said), (OK, format!("{id}: approved by mara: go\n")));
    assert_eq!(desk.world.entries(ChannelName::ToFullsend).await.len(), 1);
    let (ended, said, _) = run(&desk, &["deny", &id], None).await;
    assert_eq!(ended.unwrap(), FAILED);
    assert!(said.starts_with(&format!("{id} is approved already, by mara at ")), "{said}");
}

#[tokio::test(start_paused = true)]
async fn without_a_gate_the_answer_is_kept_for_it() {
    let desk = Desk::new();
    desk.gate();
    let id = desk.propose(vec![dispatch("x")], Trust::Member).await;
    let alone = Desk::new();
    alone.world.commit(Record::load(&desk.world.bus(), &id).await.unwrap().map(fresh).unwrap().ops()).await;
    let (ended, said, _) = run(&alone, &["approve", &id], None).await;
    assert_eq!(ended.unwrap(), OK);
    assert_eq!(said, format!("{id}: said; no gate runs now, it is handled when `fullsend serve` does\n"));
    alone.gate();
    alone.world.until(async |world| !world.entries(ChannelName::ToFullsend).await.is_empty()).await;
    assert_eq!(state(&alone, &id).await, ApprovalState::Approved);
}

fn fresh(record: Record) -> Record {
    Record { expect: crate::bus::Expect::Absent, ..record }
}

#[tokio::test(start_paused = true)]
async fn class_three_is_answered_alone_and_after_it_was_seen() {
    let desk = Desk::new();
    desk.gate();
    desk.document("experiments:e", &[("state", "draft")]).await;
    let live = desk.propose(vec![go_live()], Trust::Member).await;
    let idea = desk.propose(vec![dispatch("x")], Trust::Member).await;
    let (ended, ..) = run(&desk, &["approve", &live, &idea], None).await;
    assert_eq!(refusal(ended), "class 3 is answered one at a time");
    let (ended, ..) = run(&desk, &["approve", &live], None).await;
    assert!(refusal(ended).contains("there is nobody to ask whether it was seen"));
    let (ended, ..) = run(&desk, &["approve", &live, "--digest", "sha256:000000000000"], None).await;
    assert!(refusal(ended).contains("not that of what waits now"));
    let (ended, ..) = run(&desk, &["approve", &live, "--always", "--digest", "x"], None).await;
    assert!(refusal(ended).contains("needs `--until DATE`"));
    let (ended, said, seen) = run(&desk, &["approve", &live], Some(|| Ok("n\n".to_owned()))).await;
    assert_eq!((ended.unwrap(), said.as_str()), (FAILED, ""));
    assert!(seen.contains("outward: people, money") && seen.contains("\"event\": \"approve\""), "{seen}");
    assert_eq!(state(&desk, &live).await, ApprovalState::Pending);
    let digest = Record::load(&desk.world.bus(), &live).await.unwrap().unwrap().proposal.digest;
    let (ended, ..) = run(&desk, &["approve", &live, "--digest", &digest[..20]], None).await;
    assert_eq!(ended.unwrap(), OK);
    assert_eq!(state(&desk, &live).await, ApprovalState::Approved);
}

#[tokio::test(start_paused = true)]
async fn an_edit_from_a_file_is_checked_before_it_is_said() {
    let desk = Desk::new();
    desk.gate();
    let id = desk.propose(vec![dispatch("mail all")], Trust::Member).await;
    let file = desk.home.path().join("intents.json");
    let path = file.to_str().unwrap();
    let write = |text: &str| std::fs::write(&file, text).unwrap();
    write(r#"[{"do":"say","channel":"fullsend:to_fullsend"}]"#);
    assert!(refusal(run(&desk, &["edit", &id, "--file", path], None).await.0).contains("these are no intents"));
    write(r#"[{"do":"say","channel":"fullsend:schedules","body":{"experiment_id":"e","schedule":"x"}}]"#);
    assert!(refusal(run(&desk, &["edit", &id, "--file", path], None).await.0).contains("does not let `orchestrator`"));
    write(&serde_json::to_string(&[dispatch("mail all")]).unwrap());
    assert!(run(&desk, &["edit", &id, "--file", path], None).await.2.contains("nothing was changed"));
    write(&serde_json::to_string(&[dispatch("mail ten")]).unwrap());
    let (ended, said, _) = run(&desk, &["edit", &id, "--file", path], None).await;
    assert_eq!((ended.unwrap(), said), (OK, format!("{id}: approved by mara\n")));
    assert!(desk.world.entries(ChannelName::ToFullsend).await[0].b.contains("mail ten"));
}

#[tokio::test(start_paused = true)]
async fn a_rule_is_made_with_its_limits() {
    let desk = Desk::new();
    desk.gate();
    let id = desk.propose(vec![dispatch("x")], Trust::Member).await;
    let until = ["--always", "--until", "2027-02-01", "--per-day", "3"];
    let (ended, ..) = run(&desk, &[&["approve", id.as_str()], until.as_slice()].concat(), None).await;
    assert_eq!(ended.unwrap(), OK);
    let rules = crate::approvals::policy::rules(&desk.world.bus()).await.unwrap();
    assert_eq!((rules.len(), rules[0].per_day, rules[0].created_by.as_str()), (1, Some(3), "mara"));
    assert_eq!(rules[0].until, read_time("2027-02-01"));
}

#[rstest]
#[case::unknown("apr_none", "there is no approval `apr_none`")]
#[case::nothing("", "is named by its id")]
#[case::hostile("\u{1b}[2Jx", "there is no approval `x`")]
#[case::several("apr_", "is the beginning of apr_")]
#[tokio::test(start_paused = true)]
async fn an_approval_must_be_named(#[case] id: &str, #[case] why: &str) {
    let desk = Desk::new();
    desk.gate();
    desk.propose(vec![dispatch("x")], Trust::Member).await;
    desk.propose(vec![dispatch("y")], Trust::Member).await;
    let refused = refusal(run(&desk, &["show", id], None).await.0);
    assert!(refused.contains(why), "{refused}");
}
