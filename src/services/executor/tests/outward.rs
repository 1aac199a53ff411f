use pretty_assertions::assert_eq;

use super::*;
use crate::config::QuietHours;

const FIVE: [&str; 5] = ["a@x.io", "b@x.io", "c@x.io", "d@x.io", "e@x.io"];

fn action(id: &str, address: &str, round: &str) -> String {
    format!("actions:{}", keys::person(&format!("email:{id}:{address}:{round}")))
}

#[tokio::test(start_paused = true)]
async fn what_goes_out_has_a_record_an_event_and_a_count() {
    let story = Story::new();
    story.outreach("exp_a", &["a@x.io", "bounce@x.io"], Value::Null).await;
    let run = story.run_now("exp_a", false).await;
    story.until("exp_a", &run, "completed").await;
    assert_eq!(story.stage.sent(), ["a@x.io", "bounce@x.io"]);
    let record = story.read(&action("exp_a", "a@x.io", "first")).await;
    assert_eq!(
        (record.get("state"), record.get("receipt"), record.get("run_id")),
        (Some("done"), Some("<id@x>"), Some(run.as_str()))
    );
    assert_eq!(story.field(&action("exp_a", "bounce@x.io", "first"), "state").await, "failed");
    let events = story.said(ChannelName::Metrics).await;
    let sent: Vec<_> = events.iter().filter(|event| event["event"] == "email_sent").collect();
    assert_eq!(sent.len(), 2, "one written down with the act, one as the tool said it of the bounce");
    assert_eq!(sent[0]["person"], keys::person("a@x.io"));
    assert!(!sent.iter().any(|event| event.to_string().contains('@')), "no address is said");
    assert_eq!(story.field("limits:mara@example.com:2027-01-15", "sent").await, "1");
    assert_eq!(story.field(&format!("contacts:{}", keys::person("a@x.io")), "experiment_id").await, "exp_a");
}

#[tokio::test(start_paused = true)]
async fn above_the_limit_of_a_day_it_goes_on_the_next_day() {
    let story = Story::empty();
    let (stop, task) = story.executor();
    story.outreach("exp_a", &FIVE[..3], json!({ "daily_limit": 2 })).await;
    let run = story.run_now("exp_a", false).await;
    story.world.until(async |_| story.run_of("exp_a", &run).await.get("waiting_until").is_some()).await;
    assert_eq!(story.stage.sent().len(), 2);
    let document = story.run_of("exp_a", &run).await;
    let until = document.get("waiting_until").unwrap();
    assert!(until.starts_with("2027-01-16T08:00:0"), "at the hour at which it began, and not in the night: {until}");
    assert_eq!(document.get("waiting_for"), Some("the limit of 2 messages a day of the experiment"));
    assert_eq!(story.state("exp_a").await, "running");
    stop.cancel();
    task.await.unwrap();
    story.pass(Duration::from_hours(24)).await;
    story.executor();
    story.until("exp_a", &run, "completed").await;
    assert_eq!(story.stage.sent(), FIVE[..3]);
    let summary: Value =
        serde_json::from_str(story.run_of("exp_a", &run).await.get("result_summary").unwrap()).unwrap();
    assert_eq!((&summary["sent"], &summary["skipped"]), (&json!(3), &json!(0)));
    assert_eq!(story.stage.begun(), ["list", "outreach", "outreach"]);
}

#[tokio::test(start_paused = true)]
async fn in_quiet_hours_of_their_zone_people_are_left_for_later() {
    let mut story = Story::empty();
    // It is 08:00 in UTC, 17:00 in Tokyo.
    story.outreach.quiet_hours = QuietHours::parse("16:30-18:00").unwrap();
    story.executor();
    let rows = json!([{ "email": "t@x.io", "timezone": "Asia/Tokyo" }, { "email": "u@x.io", "timezone": "UTC" }, { "email": "n@x.io" }]);
    let steps = json!([{ "id": "list", "tool": "people", "params": { "rows": rows } }]);
    story.experiment("exp_a", "live", steps, json!({ "outreach": { "channel": "email", "template": "hello" } })).await;
    let run = story.run_now("exp_a", false).await;
    story.world.until(async |_| story.run_of("exp_a", &run).await.get("waiting_until").is_some()).await;
    assert_eq!(story.stage.sent(), ["u@x.io", "n@x.io"]);
    assert_eq!(story.run_of("exp_a", &run).await.get("waiting_until"), Some("2027-01-15T09:00:00.000Z"));
    story.pass(Duration::from_mins(61)).await;
    story.until("exp_a", &run, "completed").await;
    assert_eq!(story.stage.sent(), ["u@x.io", "n@x.io", "t@x.io"]);
}

#[tokio::test(start_paused = true)]
async fn the_suppressed_and_those_whom_another_experiment_reached_lately_are_left_out() {
    let story = Story::new();
    story.write(&format!("suppressions:{}", keys::person("B@x.io")), &[("reason", "unsubscribed")]).await;
    let lately = [("last_at", "2027-01-10T00:00:00Z"), ("experiment_id", "exp_other")];
    story.write(&format!("contacts:{}", keys::person("c@x.io")), &lately).await;
    let long_ago = [("last_at", "2026-12-01T00:00:00Z"), ("experiment_id", "exp_other")];
    story.write(&format!("contacts:{}", keys::person("d@x.io")), &long_ago).await;
    story.outreach("exp_a", &FIVE, Value::Null).await;
    let run = story.run_now("exp_a", false).await;
    story.until("exp_a", &run, "completed").await;
    assert_eq!(story.stage.sent(), ["a@x.io", "d@x.io", "e@x.io"]);
    let why = async |address: &str| story.field(&action("exp_a", address, "first"), "error").await;
    assert_eq!(why("b@x.io").await, "suppressed: unsubscribed");
    assert_eq!(why("c@x.io").await, "written to lately for exp_other");
}

#[tokio::test(start_paused = true)]
async fn between_two_messages_there_is_a_pause_and_on_hold_none_goes_out() {
    let mut story = Story::empty();
    story.outreach.delay = Duration::from_secs(30);
    story.executor();
    story.outreach("exp_a", &FIVE, Value::Null).await;
    let run = story.run_now("exp_a", false).await;
    story.world.until(async |_| story.stage.sent().len() == 1).await;
    story.pass(Duration::from_secs(29)).await;
    assert_eq!(story.stage.sent().len(), 1);
    story.world.until(async |_| story.stage.sent().len() == 2).await;
    story
        .world
        .commit(vec![Op::State { key: Key::new(keys::STATUS), change: StateChange::SetString("paused".to_owned()) }])
        .await;
    story.pass(Duration::from_mins(10)).await;
    assert_eq!(story.stage.sent().len(), 2);
    story
        .world
        .commit(vec![Op::State { key: Key::new(keys::STATUS), change: StateChange::SetString("running".to_owned()) }])
        .await;
    story.until("exp_a", &run, "completed").await;
    assert_eq!(story.stage.sent(), FIVE);
}

#[tokio::test(start_paused = true)]
async fn an_act_whose_end_nobody_knows_is_not_done_again_and_a_person_is_asked() {
    let story = Story::empty();
    let (_, first) = story.executor();
    story.stage.hangs.store(true, Ordering::SeqCst);
    story.outreach("exp_a", &["a@x.io", "b@x.io"], Value::Null).await;
    let run = story.run_now("exp_a", false).await;
    story.world.until(async |_| story.stage.sent().len() == 1).await;
    first.abort();
    story.stage.hangs.store(false, Ordering::SeqCst);
    story.executor();
    story.until("exp_a", &run, "completed").await;
    assert_eq!(story.stage.sent(), ["a@x.io", "b@x.io"]);
    assert_eq!(story.field(&action("exp_a", "a@x.io", "first"), "state").await, "unknown");
    let alerts = story.said(ChannelName::Alerts).await;
    assert!(alerts[0]["message"].as_str().unwrap().contains("not known whether the email to a@x.io went out"));
    let asked = story.said(ChannelName::FromOrchestrator).await;
    assert!(asked.iter().any(|said| said["type"] == "action_request"));
    let (alerts, _) = story.world.bus().scan("alerts:exp_a:", None, 10).await.unwrap();
    assert_eq!(alerts.len(), 1, "a kill ends it");
}

#[tokio::test(start_paused = true)]
async fn a_stop_between_an_act_and_its_end_leaves_it_unknown_and_the_rest_to_go_on() {
    let story = Story::empty();
    let (stop, task) = story.executor();
    story.stage.hangs.store(true, Ordering::SeqCst);
    story.outreach("exp_a", &["a@x.io", "b@x.io"], Value::Null).await;
    let run = story.run_now("exp_a", false).await;
    story.world.until(async |_| story.stage.sent().len() == 1).await;
    stop.cancel();
    task.await.unwrap();
    assert_eq!(story.field(&action("exp_a", "a@x.io", "first"), "state").await, "unknown");
    story.stage.hangs.store(false, Ordering::SeqCst);
    story.executor();
    story.until("exp_a", &run, "completed").await;
    assert_eq!(story.stage.sent(), ["a@x.io", "b@x.io"]);
}

#[tokio::test(start_paused = true)]
async fn who_did_not_answer_hears_once_more() {
    let mut story = Story::empty();
    story.outreach.mailbox = Some("Maildir".into());
    story.executor();
    let more = json!({ "follow_ups": [{ "after": "30m", "template": "still there?" }, { "after": "3h", "template": "last one" }] });
    story.outreach("exp_a", &FIVE, more).await;
    let run = story.run_now("exp_a", false).await;
    story.until("exp_a", &run, "completed").await;
    for (address, event) in [("a@x.io", "reply"), ("c@x.io", "unsubscribe")] {
        let ops = people::heard_of(event, &keys::person(address), "exp_a", story.now());
        story.world.commit(ops).await;
    }
    story.pass(Duration::from_mins(31)).await;
    assert_eq!(story.stage.sent()[5..], ["b@x.io", "d@x.io", "e@x.io"]);
    assert_eq!(story.field(&action("exp_a", "b@x.io", "followup-0"), "state").await, "done");
    assert_eq!(story.state("exp_a").await, "measuring");
    // The window closes after two hours: the last one is not sent.
    story.pass(Duration::from_hours(4)).await;
    assert_eq!(story.stage.sent().len(), 8);
    assert_eq!(story.state("exp_a").await, "completed");
    let results = story.said(ChannelName::ExperimentResults).await;
    assert_eq!(results.len(), 1, "a follow-up is no run to decide about");
    let said = story.said(ChannelName::FromOrchestrator).await;
    assert!(said.iter().any(|it| it.to_string().contains("the follow-up 2 of exp_a was left out: it is completed")));
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_stands_in_the_way_of_no_real_one() {
    let story = Story::new();
    story.outreach("exp_a", &["a@x.io"], Value::Null).await;
    story.write("experiments:exp_a", &[("mode", "dry_run")]).await;
    let dry = story.run_now("exp_a", false).await;
    story.until("exp_a", &dry, "completed").await;
    assert_eq!(
        story.run_of("exp_a", &dry).await.get("mode"),
        Some("dry_run"),
        "where the two differ nobody is reached"
    );
    let events = story.said(ChannelName::Metrics).await;
    assert!(events.iter().filter(|event| event["event"] == "email_sent").all(|event| event["dry_run"] == json!(true)));
    assert_eq!(story.field("limits:mara@example.com:2027-01-15", "sent").await, "-");
    story.write("experiments:exp_a", &[("mode", "live"), ("state", "ready")]).await;
    let live = story.run_now("exp_a", false).await;
    story.until("exp_a", &live, "completed").await;
    assert_eq!(story.field(&action("exp_a", "a@x.io", "first"), "state").await, "done");
}

#[tokio::test(start_paused = true)]
async fn what_was_learned_is_in_the_notes() {
    let story = Story::new();
    story.outreach("exp_a", &["a@x.io"], Value::Null).await;
    let run = story.run_now("exp_a", false).await;
    story.until("exp_a", &run, "completed").await;
    story.write("experiments:exp_a", &[("verdict", "succeeded"), ("hypothesis", "people answer")]).await;
    story.pass(Duration::from_mins(121)).await;
    assert_eq!(story.state("exp_a").await, "completed");
    assert!(story.field("notes:learnings", "text").await.contains("**Works: people answer**"));
    assert!(story.field("notes:worklist", "text").await.contains("exp_a was measured to its end: succeeded"));
}
