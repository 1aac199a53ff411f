//! Experiments, listed and steered.

use clap::Parser;
use pretty_assertions::assert_eq;

use super::super::*;
use crate::bus::{EntryId, Key, Range};
use crate::cli::output::OK;
use crate::cli::testing::{Desk, json_lines};
use crate::contracts::ChannelName;

#[derive(Parser)]
struct Line {
    #[command(subcommand)]
    what: What,
}

/// Gives a command line to the verb; what it answers.
async fn said(desk: &Desk, words: &str, json: bool) -> (color_eyre::Result<ExitCode>, String) {
    let line = Line::try_parse_from(std::iter::once("experiments").chain(words.split(' '))).unwrap();
    let (cx, results, _) = desk.verb(json);
    let bus = desk.world.bus();
    let ended = on(&line.what, &cx, &bus).await;
    (ended, results.text())
}

async fn bodies(desk: &Desk, channel: ChannelName) -> Vec<serde_json::Value> {
    let entries = desk.world.bus().range(channel, Range::after(EntryId::ZERO, 100)).await.unwrap();
    entries.iter().map(|entry| serde_json::from_str(&entry.b).unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn experiments_are_listed_with_their_run_and_what_comes_next() {
    let desk = Desk::new();
    let fields = [
        ("state", "running"),
        ("mode", "live"),
        ("hypothesis", "they\u{1b}[2J answer"),
        ("run_id", "r1"),
        ("verdict", "undecided"),
    ];
    desk.document("experiments:exp_a", &fields).await;
    let run = [("status", "running"), ("step", "outreach"), ("progress", r#"{"step":"outreach","done":3,"total":10}"#)];
    desk.document("experiment_runs:exp_a:r1", &run).await;
    desk.document("schedules:exp_a", &[("next_at", "2027-01-18T08:00:00.000Z")]).await;
    desk.document("experiments:exp_b", &[("state", "archived")]).await;
    let (ended, text) = said(&desk, "list", false).await;
    assert_eq!(ended.unwrap(), OK);
    assert!(text.contains("running outreach 3/10") && text.contains("2027-01-18T08:00:00.000Z"), "{text}");
    assert!(!text.contains("exp_b") && !text.contains('\u{1b}'), "{text}");
    let (_, text) = said(&desk, "list --all", true).await;
    let lines = json_lines(&text);
    assert_eq!((lines.len(), &lines[0]["run_status"], &lines[1]["state"]), (2, &"running".into(), &"archived".into()));
}

#[tokio::test(start_paused = true)]
async fn orders_go_to_the_gate_and_tell_what_came_of_them() {
    let desk = Desk::new();
    desk.gate();
    desk.world.until(async |world| !world.bus().inspect(ChannelName::Control).await.unwrap().groups.is_empty()).await;
    desk.document("experiments:exp_a", &[("state", "ready"), ("mode", "live")]).await;
    desk.document(
        "schedules:exp_a",
        &[("cron", "0 9 * * *"), ("state", "active"), ("next_at", "2027-01-18T08:00:00.000Z")],
    )
    .await;
    for (words, state) in [
        ("pause exp_a", "paused"),
        ("resume exp_a", "ready"),
        ("kill exp_a it annoys", "archived"),
        ("undo exp_a", "ready"),
    ] {
        let (ended, _) = said(&desk, words, false).await;
        assert_eq!(ended.unwrap(), OK, "{words}");
        let found = desk.world.bus().get(&Key::new("experiments:exp_a")).await.unwrap().unwrap();
        assert_eq!(found.document().unwrap().get("state"), Some(state), "{words}");
    }
    let said_again = bodies(&desk, ChannelName::Schedules).await;
    assert_eq!(said_again[0]["type"], "schedule_created", "the schedule of what is brought back is set again");
    let (ended, text) = said(&desk, "resume exp_a", false).await;
    assert_eq!(ended.unwrap(), OK);
    assert!(text.contains("was not done"), "{text}");
    assert!(said(&desk, "kill exp_zzz", false).await.0.unwrap_err().to_string().contains("no experiment"));
}

#[tokio::test(start_paused = true)]
async fn a_run_is_asked_for_and_its_end_is_waited_for() {
    let desk = Desk::new();
    desk.document("experiments:exp_a", &[("state", "ready")]).await;
    let (ended, text) = said(&desk, "run exp_a", false).await;
    assert_eq!(ended.unwrap(), OK);
    assert!(text.contains("it runs when an executor does"), "{text}");
    let asked = bodies(&desk, ChannelName::ExecuteNow).await;
    assert_eq!((&asked[0]["experiment_id"], &asked[0]["force"]), (&"exp_a".into(), &false.into()));
    let waits = said(&desk, "run exp --force --wait", true);
    let plays = async {
        desk.world.until(async |world| world.entries(ChannelName::ExecuteNow).await.len() == 2).await;
        let entry = desk.world.entries(ChannelName::ExecuteNow).await.pop().unwrap();
        let run = entry.message().unwrap().envelope.id.to_string();
        desk.document(&format!("experiment_runs:exp_a:{run}"), &[("status", "failed"), ("error", "it broke")]).await;
    };
    let ((ended, text), ()) = tokio::join!(waits, plays);
    assert!(ended.unwrap_err().to_string().contains("it broke"));
    assert_eq!(json_lines(&text)[0]["status"], "failed");
}

#[tokio::test(start_paused = true)]
async fn what_a_person_did_is_said() {
    let desk = Desk::new();
    desk.document("experiments:exp_a", &[("state", "running")]).await;
    assert!(said(&desk, "done exp_a", false).await.0.unwrap_err().to_string().contains("nobody is asked"));
    let asked = [("kind", "person"), ("state", "started"), ("experiment_id", "exp_a"), ("target", "linkedin")];
    desk.document("actions:abc", &asked).await;
    let unknown = [("kind", "email"), ("state", "unknown"), ("experiment_id", "exp_a"), ("target", "a@x.io")];
    desk.document("actions:def", &unknown).await;
    assert!(said(&desk, "done exp_a", false).await.0.unwrap_err().to_string().contains("several things are open"));
    let (ended, text) = said(&desk, "done exp_a --action de --rejected", false).await;
    assert_eq!((ended.unwrap(), text.as_str()), (OK, "said: email to a@x.io is rejected\n"));
    let said = bodies(&desk, ChannelName::DiscordRaw).await;
    assert_eq!((&said[0]["payload"]["action_id"], &said[0]["payload"]["status"]), (&"def".into(), &"rejected".into()));
}

#[tokio::test(start_paused = true)]
async fn watching_ends_with_the_experiment() {
    let desk = Desk::new();
    desk.document("experiments:exp_a", &[("state", "running"), ("run_id", "r1")]).await;
    desk.document("experiment_runs:exp_a:r1", &[("status", "waiting"), ("waiting_for", "quiet hours")]).await;
    let plays = async {
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        desk.document("experiments:exp_a", &[("state", "completed"), ("verdict", "succeeded")]).await;
    };
    let ((ended, text), ()) = tokio::join!(said(&desk, "watch exp_a", true), plays);
    assert_eq!(ended.unwrap(), OK);
    let lines = json_lines(&text);
    assert_eq!(
        (lines.len(), &lines[0]["run"], &lines[1]["verdict"]),
        (2, &"waiting for quiet hours".into(), &"succeeded".into())
    );
}
