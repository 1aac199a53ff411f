//! Whom acts reach, and whom they must not: two experiments at a time, what is not known, holds, limits, forgetting.

use pretty_assertions::assert_eq;

use super::*;
use crate::bus::BusError;
use crate::config::QuietHours;
use crate::contracts::messages::{DueFor, ScheduleDue};
use crate::memory::forget;

const FIVE: [&str; 5] = ["a@x.io", "b@x.io", "c@x.io", "d@x.io", "e@x.io"];

fn action(id: &str, address: &str) -> String {
    format!("actions:{}", keys::person(&format!("email:{id}:{address}:first")))
}

fn contact(address: &str) -> String {
    format!("contacts:{}", keys::person(address))
}

/// One with a pause between two messages.
fn slow(delay: Duration) -> Story {
    let mut story = Story::empty();
    story.outreach.delay = delay;
    story
}

#[tokio::test(start_paused = true)]
async fn two_experiments_at_one_time_reach_nobody_twice() {
    let story = slow(Duration::from_secs(30));
    story.executor();
    let mut runs = Vec::new();
    for id in ["exp_a", "exp_b"] {
        story.outreach(id, &FIVE, Value::Null).await;
        runs.push((id, story.run_now(id, false).await));
    }
    for (id, run) in &runs {
        story.until(id, run, "completed").await;
    }
    let mut sent = story.stage.sent();
    sent.sort();
    assert_eq!(sent, FIVE);
}

#[tokio::test(start_paused = true)]
async fn whom_a_message_did_not_reach_another_experiment_may_write_to() {
    let story = Story::new();
    for id in ["exp_a", "exp_b"] {
        story.outreach(id, &["bounce@x.io", "a@x.io"], Value::Null).await;
        let run = story.run_now(id, false).await;
        story.until(id, &run, "completed").await;
    }
    assert_eq!(story.stage.sent(), ["bounce@x.io", "a@x.io", "bounce@x.io"]);
    assert_eq!(story.field(&contact("bounce@x.io"), "last_at").await, "-");
    assert_eq!(story.field("limits:mara@example.com:2027-01-15", "sent").await, "1");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_known_is_asked_about_and_not_repeated_by_the_next_run() {
    let story = Story::new();
    story.outreach("exp_a", &["silent@x.io", "a@x.io"], Value::Null).await;
    let run = story.run_now("exp_a", false).await;
    story.until("exp_a", &run, "completed").await;
    let key = action("exp_a", "silent@x.io");
    assert_eq!(story.field(&key, "state").await, "unknown");
    assert_eq!(story.field(&contact("silent@x.io"), "experiment_id").await, "exp_a", "it may have arrived");
    assert_eq!(story.field("limits:mara@example.com:2027-01-15", "sent").await, "2");
    let alerts = story.said(ChannelName::Alerts).await;
    let id = key.trim_start_matches("actions:").to_owned();
    let fix = alerts[0]["fix"].as_str().unwrap();
    assert!(fix.contains(&format!("`fullsend experiments done exp_a --action {}`", &id[..12])), "{fix}");
    let asked = story.said(ChannelName::FromOrchestrator).await;
    assert!(asked.iter().any(|said| said["type"] == "action_request"));
    // It comes again, as one with a schedule does.
    let again = story.run_now("exp_a", false).await;
    story.until("exp_a", &again, "completed").await;
    assert_eq!(story.stage.sent(), ["silent@x.io", "a@x.io"]);

    // A person says that it arrived, and says it twice.
    let before = story.events().await.iter().filter(|event| *event == "email_sent").count();
    story.write(&key, &[("state", "done"), ("completed_by", "mara")]).await;
    for _ in 0..2 {
        let due = ScheduleDue {
            experiment_id: "exp_a".to_owned(),
            what: DueFor::Answer,
            run_id: Some(run.clone()),
            number: None,
            action_id: Some(id.clone()),
            due_at: None,
        };
        let origin = story.world.origin(Trust::Operator);
        story.world.say(origin.compose::<grants::Watcher, _>(SCHEDULES, Schedules::from(due)).unwrap()).await;
    }
    let alert = format!("alerts:exp_a:action:{}", &id[..16]);
    story.world.until(async |_| story.field(&alert, "state").await == "resolved").await;
    story.world.until(async |_| story.field(&key, "counted_at").await != "-").await;
    story.pass(Duration::from_secs(5)).await;
    assert_eq!(story.field(&alert, "resolved_by").await, "mara");
    let events = story.said(ChannelName::Metrics).await;
    let sent: Vec<_> = events.iter().filter(|event| event["event"] == "email_sent").collect();
    assert_eq!(sent.len(), before + 1, "counted once");
    assert_eq!(sent[before]["person"], keys::person("silent@x.io"));
    let resolved = story.said(ChannelName::Alerts).await;
    assert_eq!(resolved.iter().filter(|said| said["type"] == "alert_resolved").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_bus_that_is_away_during_a_hold_lets_nothing_out() {
    let story = slow(Duration::from_secs(30));
    let bus = Arc::new(story.world.store.another());
    story.executor_on(bus.clone());
    story.outreach("exp_a", &FIVE, Value::Null).await;
    let run = story.run_now("exp_a", false).await;
    story.world.until(async |_| story.stage.sent().len() == 1).await;
    story.hold(true).await;
    story.pass(Duration::from_mins(2)).await;
    for _ in 0..10 {
        bus.fail_next(30, BusError::Unreachable("it restarts".to_owned()));
        story.pass(Duration::from_mins(1)).await;
    }
    assert_eq!(story.stage.sent().len(), 1);
    story.hold(false).await;
    story.until("exp_a", &run, "completed").await;
    assert_eq!(story.stage.sent(), FIVE);
}

#[tokio::test(start_paused = true)]
async fn after_a_hold_it_is_looked_anew_who_may_be_reached() {
    let mut story = slow(Duration::from_secs(30));
    story.outreach.quiet_hours = QuietHours::parse("08:20-08:40").unwrap();
    story.outreach.timezone = Some("UTC".to_owned());
    story.executor();
    story.outreach("exp_a", &FIVE, Value::Null).await;
    let run = story.run_now("exp_a", false).await;
    story.world.until(async |_| story.stage.sent().len() == 1).await;
    story.hold(true).await;
    // By now the next one waits.
    story.pass(Duration::from_mins(1)).await;
    let ops = people::heard_of("unsubscribe", &keys::person("b@x.io"), "exp_other", story.now());
    story.world.commit(ops).await;
    story.write(&format!("suppressions:{}", keys::person("c@x.io")), &[("reason", forget::REASON)]).await;
    story.pass(Duration::from_mins(20)).await;
    story.hold(false).await;
    // The hours began meanwhile: nobody is written to at once.
    story.world.until(async |_| story.run_of("exp_a", &run).await.get("waiting_until").is_some()).await;
    assert_eq!(story.run_of("exp_a", &run).await.get("waiting_until"), Some("2027-01-15T08:40:00.000Z"));
    assert_eq!(story.stage.sent(), ["a@x.io"]);
    story.until("exp_a", &run, "completed").await;
    assert_eq!(story.stage.sent(), ["a@x.io", "d@x.io", "e@x.io"]);
    assert_eq!(story.field(&action("exp_a", "b@x.io"), "error").await, "suppressed: unsubscribed");
    assert_eq!(story.field(&action("exp_a", "c@x.io"), "target").await, "-", "nothing names them any more");
}

#[tokio::test(start_paused = true)]
async fn a_failed_act_is_taken_off_the_day_on_which_it_began() {
    let story = Story::empty();
    story.pass(Duration::from_mins(15 * 60 + 30)).await;
    story.executor();
    story.outreach("exp_a", &["slowly@x.io"], Value::Null).await;
    let run = story.run_now("exp_a", false).await;
    story.until("exp_a", &run, "completed").await;
    assert_eq!(story.now().date_naive().to_string(), "2027-01-16");
    assert_eq!(story.field("limits:mara@example.com:2027-01-15", "sent").await, "0");
    assert_eq!(story.field("limits:mara@example.com:2027-01-16", "sent").await, "-");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_taken_now_is_tried_again_later() {
    let story = Story::new();
    story.outreach("exp_a", &["later@x.io", "a@x.io"], Value::Null).await;
    let run = story.run_now("exp_a", false).await;
    story.world.until(async |_| story.run_of("exp_a", &run).await.get("waiting_until").is_some()).await;
    assert_eq!(story.stage.sent(), ["later@x.io", "a@x.io"]);
    let until = story.run_of("exp_a", &run).await.get("waiting_until").unwrap().to_owned();
    assert!(until.starts_with("2027-01-15T08:15:0"), "{until}");
    assert_eq!(story.field("limits:mara@example.com:2027-01-15", "sent").await, "1");
    story.until("exp_a", &run, "completed").await;
    assert_eq!(story.stage.sent(), ["later@x.io", "a@x.io", "later@x.io"]);
    assert_eq!(story.field(&action("exp_a", "later@x.io"), "state").await, "done");
}

#[tokio::test(start_paused = true)]
async fn what_is_never_taken_has_failed_some_day() {
    let story = Story::empty();
    let mut executor = story.executor();
    story.outreach("exp_a", &["never@x.io"], Value::Null).await;
    let run = story.run_now("exp_a", false).await;
    for (times, minutes) in [(1, 15), (2, 60), (3, 240)] {
        let waits = async || story.run_of("exp_a", &run).await.get("waiting_until").is_some();
        story.world.until(async |_| story.stage.sent().len() == times && waits().await).await;
        executor = story.pass_without(executor, Duration::from_mins(minutes)).await;
    }
    story.until("exp_a", &run, "completed").await;
    assert_eq!(story.stage.sent().len(), 4);
    assert_eq!(story.field(&action("exp_a", "never@x.io"), "state").await, "failed");
    drop(executor);
}

#[tokio::test(start_paused = true)]
async fn there_are_limits_and_gaps_for_those_who_have_no_address() {
    let mut story = Story::empty();
    story.outreach.daily_limit = 2;
    let executor = story.executor();
    let steps = |names: Value| json!([{ "id": "notes", "tool": "notes", "params": { "names": names } }]);
    story.experiment("exp_a", "live", steps(json!(["ada", "bo", "cyd"])), json!({})).await;
    let run = story.run_now("exp_a", false).await;
    story.world.until(async |_| story.run_of("exp_a", &run).await.get("waiting_until").is_some()).await;
    assert_eq!(story.stage.sent(), ["ada", "bo"]);
    assert_eq!(story.field("limits:dm~mara@example.com:2027-01-15", "sent").await, "2");
    let why = story.run_of("exp_a", &run).await.get("waiting_for").unwrap().to_owned();
    assert_eq!(why, "the limit of 2 messages a day of mara@example.com");
    story.pass_without(executor, Duration::from_hours(24)).await;
    story.until("exp_a", &run, "completed").await;
    story.experiment("exp_b", "live", steps(json!(["@Ada"])), json!({})).await;
    let run = story.run_now("exp_b", false).await;
    story.until("exp_b", &run, "completed").await;
    assert_eq!(story.stage.sent(), ["ada", "bo", "cyd"], "one of another experiment");
    let record = story.read(&format!("actions:{}", keys::person("dm:exp_b:@Ada"))).await;
    assert_eq!(record.get("error"), Some("written to lately for exp_a"));
}

#[tokio::test(start_paused = true)]
async fn an_address_is_known_however_it_is_written() {
    let story = Story::new();
    story.write(&format!("suppressions:{}", keys::person("ada@x.io")), &[("reason", "unsubscribed")]).await;
    let people = ["Ada <ADA@x.io>", "mailto:ada@x.io", "a@x.io, b@x.io", "Bo <bo@x.io>"];
    story.outreach("exp_a", &people, Value::Null).await;
    let run = story.run_now("exp_a", false).await;
    story.until("exp_a", &run, "completed").await;
    assert_eq!(story.stage.sent(), ["Bo <bo@x.io>"]);
    assert_eq!(story.field(&action("exp_a", people[2]), "error").await, "`a@x.io, b@x.io` is no address");
    assert_eq!(story.field(&contact("bo@x.io"), "experiment_id").await, "exp_a");
}

#[tokio::test(start_paused = true)]
async fn whoever_is_forgotten_while_it_runs_does_not_come_back() {
    let story = Story::new();
    let rows: Vec<Value> = FIVE.iter().map(|address| json!({ "email": address })).collect();
    let steps = json!([
        { "id": "list", "tool": "people", "params": { "rows": rows } },
        { "id": "wait", "tool": "slow", "params": {}, "depends_on": ["list"] },
    ]);
    let outreach = json!({ "channel": "email", "template": "hello", "recipients": "{{list.rows}}" });
    story.experiment("exp_a", "live", steps, json!({ "outreach": outreach })).await;
    let run = story.run_now("exp_a", false).await;
    story.world.until(async |_| story.stage.begun().contains(&"wait".to_owned())).await;
    story.pass(Duration::from_secs(2)).await;
    // As the verb does it: first the list of the suppressed, then everything else.
    story.write(&format!("suppressions:{}", keys::person("b@x.io")), &[("reason", forget::REASON)]).await;
    let done = forget::forget(&story.world.bus(), "b@x.io", Duration::from_hours(24)).await.unwrap();
    assert!(done.documents.contains(&format!("experiment_runs:exp_a:{run}")), "{done:?}");
    story.until("exp_a", &run, "completed").await;
    assert_eq!(story.stage.sent(), ["a@x.io", "c@x.io", "d@x.io", "e@x.io"]);
    for (key, document) in
        [("run", story.run_of("exp_a", &run).await), ("act", story.read(&action("exp_a", "b@x.io")).await)]
    {
        assert!(!document.fields.values().any(|text| text.contains("b@x.io")), "{key}: {document:?}");
    }
    assert!(story.run_of("exp_a", &run).await.get("outputs").unwrap().contains("c@x.io"));
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_was_taken_over_from_begins_no_act() {
    let story = slow(Duration::from_secs(30));
    story.executor();
    story.outreach("exp_a", &FIVE, Value::Null).await;
    let run = story.run_now("exp_a", false).await;
    story.world.until(async |_| story.stage.sent().len() == 1).await;
    // While it waited somebody else took the run over.
    story
        .write(&format!("experiment_runs:exp_a:{run}"), &[("holder", "other/1"), ("held_by", "another message")])
        .await;
    story.pass(Duration::from_mins(10)).await;
    assert_eq!(story.stage.sent(), ["a@x.io"]);
    assert_eq!(story.field(&action("exp_a", "b@x.io"), "state").await, "-");
    assert!(story.said(ChannelName::Alerts).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn each_run_of_one_that_comes_again_has_its_own_follow_ups() {
    let mut story = Story::empty();
    story.outreach.mailbox = Some("Maildir".into());
    story.executor();
    let more = json!({ "follow_ups": [{ "after": "30m", "template": "still there?" }] });
    story.outreach("exp_a", &["a@x.io", "b@x.io"], more.clone()).await;
    let first = story.run_now("exp_a", false).await;
    story.until("exp_a", &first, "completed").await;
    story.pass(Duration::from_mins(20)).await;
    story.outreach("exp_a", &["c@x.io"], more).await;
    let second = story.run_now("exp_a", false).await;
    story.until("exp_a", &second, "completed").await;
    story.pass(Duration::from_mins(12)).await;
    assert_eq!(story.stage.sent()[3..], ["a@x.io", "b@x.io"], "those of the first run, at their time");
    story.pass(Duration::from_mins(20)).await;
    assert_eq!(story.stage.sent()[5..], ["c@x.io"]);
}

#[tokio::test(start_paused = true)]
async fn where_nobody_reads_who_answered_no_follow_up_goes_out_and_that_is_said() {
    let story = Story::new();
    let more = json!({ "follow_ups": [{ "after": "30m", "template": "still there?" }] });
    story.outreach("exp_a", &["a@x.io"], more).await;
    let run = story.run_now("exp_a", false).await;
    story.until("exp_a", &run, "completed").await;
    story.pass(Duration::from_mins(31)).await;
    assert_eq!(story.stage.sent(), ["a@x.io"]);
    let said = story.said(ChannelName::FromOrchestrator).await;
    assert!(said.iter().any(|it| it.to_string().contains("set `outreach.mailbox`")), "{said:?}");
}
