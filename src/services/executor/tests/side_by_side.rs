//! Two runs of one experiment at a time, where its specification says so.

use pretty_assertions::assert_eq;

use super::*;

fn overlapping(overlap: &str, tool: &str, times: usize) -> Value {
    let steps: Vec<Value> = (0..times).map(|n| json!({ "id": format!("s{n}"), "tool": tool })).collect();
    json!({ "execution": { "steps": steps, "overlap": overlap } })
}

#[tokio::test(start_paused = true)]
async fn two_runs_go_side_by_side_only_where_that_is_allowed() {
    for (overlap, second_is, most) in [("allow", "completed", 2), ("queue", "cancelled", 1), ("skip", "cancelled", 1)] {
        let story = Story::new();
        story.experiment("exp_a", "dry_run", json!([]), overlapping(overlap, "slow", 1)).await;
        let first = story.run_now("exp_a", false).await;
        story.until("exp_a", &first, "running").await;
        story.pass(Duration::from_secs(5)).await;
        let second = story.run_now("exp_a", false).await;
        story.until("exp_a", &second, second_is).await;
        story.until("exp_a", &first, "completed").await;
        assert_eq!(story.stage.most.load(Ordering::SeqCst), most, "{overlap}");
        // The state is that of the one that began it: measured, and then over.
        story.pass(Duration::from_secs(20)).await;
        assert_eq!(story.state("exp_a").await, "completed", "{overlap}");
        assert_eq!(story.said(ChannelName::DeadLetter).await, Vec::<Value>::new());
    }
}

#[tokio::test(start_paused = true)]
async fn a_schedule_overlaps_waits_or_leaves_out_as_its_specification_says() {
    // Each run takes seventy seconds, each minute one is due.
    for (overlap, begun, most) in [("allow", 4..=4, 2), ("queue", 3..=4, 1), ("skip", 2..=2, 1)] {
        let story = Story::new();
        story.experiment("exp_a", "dry_run", json!([]), overlapping(overlap, "slow", 7)).await;
        story.schedule("exp_a", "* * * * *", "once").await;
        story.pass(Duration::from_secs(4 * 60 + 30)).await;
        let runs = story.runs("exp_a").await;
        let count = runs.values().filter(|run| run.get("started_at").is_some()).count();
        assert!(begun.contains(&count), "{overlap}: {count}");
        assert_eq!(story.stage.most.load(Ordering::SeqCst), most, "{overlap}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_specification_says_of_missed_runs_is_obeyed() {
    let story = Story::empty();
    let steps = json!([{ "id": "s", "tool": "people", "params": { "rows": [] } }]);
    let more = json!({ "execution": { "steps": steps, "missed": "skip" } });
    let (stop, task) = story.executor();
    story.experiment("exp_a", "dry_run", json!([]), more).await;
    let created = ScheduleCreated {
        experiment_id: "exp_a".to_owned(),
        schedule: "*/10 * * * *".to_owned(),
        timezone: None,
        source: None,
        timestamp: None,
    };
    let origin = story.world.origin(Trust::Operator);
    let message = origin.compose::<grants::Fullsend, _>(SCHEDULES, Schedules::from(created)).unwrap();
    story.world.say(message).await;
    story.world.until(async |_| story.field("schedules:exp_a", "missed").await == "skip").await;
    stop.cancel();
    task.await.unwrap();
    story.pass(Duration::from_mins(55)).await;
    story.executor();
    story.pass(Duration::from_mins(6)).await;
    assert_eq!(story.runs("exp_a").await.len(), 1, "those that passed are left out");
}

#[tokio::test(start_paused = true)]
async fn two_runs_that_write_to_the_same_people_write_to_each_once() {
    let story = Story::new();
    let people = ["a@x.io", "b@x.io", "c@x.io", "d@x.io"];
    let rows: Vec<Value> = people.iter().map(|address| json!({ "email": address })).collect();
    let steps = json!([{ "id": "list", "tool": "people", "params": { "rows": rows } }]);
    let more = json!({
        "execution": { "steps": steps, "overlap": "allow" },
        "outreach": { "channel": "email", "template": "hello", "subject": "hi" },
    });
    story.experiment("exp_a", "live", json!([]), more).await;
    // The first hangs in the midst of an act: it has gone out, and that is not told yet.
    story.stage.hangs.store(true, Ordering::SeqCst);
    let first = story.run_now("exp_a", false).await;
    story.world.until(async |_| story.stage.sent().len() == 1).await;
    story.stage.hangs.store(false, Ordering::SeqCst);
    let second = story.run_now("exp_a", false).await;
    story.until("exp_a", &second, "completed").await;
    assert_eq!(story.stage.sent(), people);
    let summary = story.run_of("exp_a", &second).await.get("result_summary").unwrap().to_owned();
    let summary: Value = serde_json::from_str(&summary).unwrap();
    assert_eq!((&summary["sent"], &summary["skipped"]), (&json!(3), &json!(1)), "what the other does is not its own");
    assert_eq!(story.said(ChannelName::Alerts).await, Vec::<Value>::new(), "the act is under way, and known to be");
    assert_eq!(story.state("exp_a").await, "running", "the first one goes on");
    // Now the first one is stopped: of its act nobody knows, and that is told.
    let fields = vec![field("cancel_requested", "now"), field("cancel_by", "mara")];
    let key = Key::new(format!("experiment_runs:exp_a:{first}"));
    story.world.commit(vec![Op::Change { key, expect: Expect::Any, fields, ttl: Ttl::Keep }]).await;
    story.until("exp_a", &first, "cancelled").await;
    assert_eq!(story.said(ChannelName::Alerts).await.len(), 1);
    assert_eq!(story.stage.sent(), people);
}

#[tokio::test(start_paused = true)]
async fn what_ran_beside_is_measured_as_long_as_what_it_ran_beside() {
    let story = Story::new();
    story.experiment("exp_a", "live", json!([]), overlapping("allow", "slow", 1)).await;
    let first = story.run_now("exp_a", false).await;
    story.until("exp_a", &first, "running").await;
    story.pass(Duration::from_secs(6)).await;
    let second = story.run_now("exp_a", false).await;
    story.until("exp_a", &first, "completed").await;
    let until = story.field("experiments:exp_a", "observe_until").await;
    story.until("exp_a", &second, "completed").await;
    let longer = story.field("experiments:exp_a", "observe_until").await;
    assert!(longer > until, "{until} {longer}");
    story.pass(Duration::from_mins(119)).await;
    assert_eq!(story.state("exp_a").await, "measuring");
    story.pass(Duration::from_mins(2)).await;
    assert_eq!(story.state("exp_a").await, "completed");
}
