use pretty_assertions::assert_eq;

use super::*;
use crate::bus::leased::hold;
use crate::config::ScheduleMode;

fn quick() -> Value {
    json!([{ "id": "s", "tool": "people", "params": { "rows": [] } }])
}

#[tokio::test(start_paused = true)]
async fn each_moment_is_claimed_once_whatever_the_number_of_executors() {
    let story = Story::new();
    story.executor();
    story.executor();
    story.experiment("exp_a", "dry_run", quick(), Value::Null).await;
    story.schedule("exp_a", "* * * * *", "once").await;
    story.pass(Duration::from_secs(10 * 60 + 5)).await;
    let runs = story.runs("exp_a").await;
    let moments: Vec<_> = runs.values().map(|run| run.get("due_at").unwrap_or("-").to_owned()).collect();
    let unique: std::collections::BTreeSet<_> = moments.iter().cloned().collect();
    assert_eq!((moments.len(), unique.len()), (10, 10), "{moments:?}");
    let states: Vec<_> = runs.values().map(|run| run.get("status").unwrap_or("-").to_owned()).collect();
    assert!(states.iter().all(|status| status == "completed"), "{states:?}");
    assert_eq!(story.field("schedules:exp_a", "next_at").await, "2027-01-15T08:11:00.000Z");
}

#[tokio::test(start_paused = true)]
async fn moments_that_passed_are_left_out_run_once_or_made_up_for() {
    for (missed, expected) in [("skip", 1), ("once", 2), ("all", 6)] {
        let story = Story::empty();
        let (stop, task) = story.executor();
        story.experiment("exp_a", "dry_run", quick(), Value::Null).await;
        story.schedule("exp_a", "*/10 * * * *", missed).await;
        story.world.until(async |_| story.field("schedules:exp_a", "next_at").await != "-").await;
        stop.cancel();
        task.await.unwrap();
        // 08:10, 08:20, 08:30, 08:40 and 08:50 pass.
        story.pass(Duration::from_mins(55)).await;
        story.executor();
        story.pass(Duration::from_mins(6)).await;
        let runs = story.runs("exp_a").await;
        assert_eq!(runs.len(), expected, "{missed}: {runs:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_recurring_one_runs_again_even_after_a_failure() {
    let story = Story::new();
    story.experiment("exp_a", "dry_run", json!([{ "id": "s", "tool": "broken" }]), Value::Null).await;
    story.schedule("exp_a", "*/5 * * * *", "once").await;
    story.pass(Duration::from_mins(16)).await;
    let runs = story.runs("exp_a").await;
    assert_eq!(runs.len(), 3);
    assert!(runs.values().all(|run| run.get("status") == Some("failed")));
    assert_eq!(story.state("exp_a").await, "ready");
}

#[tokio::test(start_paused = true)]
async fn a_moment_that_comes_while_a_run_is_under_way_waits_for_it_or_is_left_out() {
    for (missed, expected) in [("once", 3..=4), ("skip", 2..=2)] {
        let story = Story::new();
        let slow = json!([{ "id": "s", "tool": "slow" }, { "id": "t", "tool": "slow" }, { "id": "u", "tool": "slow" },
            { "id": "v", "tool": "slow" }, { "id": "w", "tool": "slow" }, { "id": "x", "tool": "slow" }, { "id": "y", "tool": "slow" }]);
        story.experiment("exp_a", "dry_run", slow, Value::Null).await;
        story.schedule("exp_a", "* * * * *", missed).await;
        story.pass(Duration::from_secs(4 * 60 + 30)).await;
        let runs = story.runs("exp_a").await;
        let begun = runs.values().filter(|run| run.get("started_at").is_some()).count();
        assert!(expected.contains(&begun), "{missed}: {begun}");
        assert_eq!(story.stage.most.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_schedule_starts_nothing_and_one_that_is_paused_goes_on_later() {
    let story = Story::new();
    story.experiment("exp_a", "dry_run", quick(), Value::Null).await;
    story.schedule("exp_a", "*/5 * * * *", "once").await;
    story.write("experiments:exp_a", &[("state", "paused")]).await;
    story.pass(Duration::from_mins(6)).await;
    assert_eq!(story.runs("exp_a").await.len(), 0);
    story.write("experiments:exp_a", &[("state", "ready")]).await;
    story.pass(Duration::from_mins(5)).await;
    assert_eq!(story.runs("exp_a").await.len(), 1);
    story.write("schedules:exp_a", &[("state", "cancelled")]).await;
    story.pass(Duration::from_mins(20)).await;
    assert_eq!(story.runs("exp_a").await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_schedule_is_told_and_waits_for_nothing() {
    let story = Story::new();
    story.experiment("exp_a", "dry_run", quick(), Value::Null).await;
    story.schedule("exp_a", "every monday", "once").await;
    story.world.until(async |_| story.field("schedules:exp_a", "error").await != "-").await;
    let told = story.said(ChannelName::FromOrchestrator).await;
    assert!(told[0]["payload"]["message"].as_str().unwrap().contains("is no schedule"), "{told:?}");
    assert_eq!(story.field("schedules:exp_a", "next_at").await, "-");
}

#[tokio::test(start_paused = true)]
async fn on_hold_nothing_begins() {
    let story = Story::new();
    story.experiment("exp_a", "dry_run", quick(), Value::Null).await;
    story
        .world
        .commit(vec![Op::State { key: Key::new(keys::STATUS), change: StateChange::SetString("paused".to_owned()) }])
        .await;
    story.pass(Duration::from_secs(1)).await;
    let run = story.run_now("exp_a", false).await;
    story.pass(Duration::from_mins(5)).await;
    assert_eq!(story.runs("exp_a").await.len(), 0);
    story
        .world
        .commit(vec![Op::State { key: Key::new(keys::STATUS), change: StateChange::SetString("running".to_owned()) }])
        .await;
    story.until("exp_a", &run, "completed").await;
}

fn pacer(story: &Story) {
    let (bus, clock, ids) = (story.world.bus(), Arc::clone(&story.world.clock), Arc::clone(&story.world.ids));
    let (settings, reads_answers) = (story.settings.clone(), story.outreach.reads_answers());
    let pacer = Pacer { bus: bus.clone(), settings, reads_answers, clock: clock.clone(), ids: ids.clone() };
    let stop = story.stop.clone();
    tokio::spawn(async move { hold(&pacer, &bus, &clock, &ids, stop).await });
}

#[tokio::test(start_paused = true)]
async fn a_speedrun_starts_a_few_of_those_that_are_ready_each_time() {
    let mut story = Story::empty();
    story.settings.schedule_mode = ScheduleMode::Speedrun;
    story.executor();
    for number in 0..7 {
        story.experiment(&format!("exp_{number}"), "dry_run", quick(), Value::Null).await;
    }
    story.experiment("exp_draft", "dry_run", quick(), Value::Null).await;
    story.write("experiments:exp_draft", &[("state", "draft")]).await;
    pacer(&story);
    let mut begun = Vec::new();
    for _ in 0..4 {
        story.pass(Duration::from_millis(4_900)).await;
        begun.push(story.stage.begun().len());
    }
    assert_eq!(begun, [3, 6, 7, 7]);
}

#[tokio::test(start_paused = true)]
async fn schedules_that_others_wrote_are_found() {
    let mut story = Story::empty();
    story.settings.schedule_mode = ScheduleMode::Cron;
    story.executor();
    for id in ["exp_a", "exp_b", "exp_c"] {
        story.experiment(id, "dry_run", quick(), Value::Null).await;
    }
    story.write("schedules:exp_a", &[("cron", "*/5 * * * *"), ("timezone", "Europe/Berlin")]).await;
    story
        .world
        .commit(vec![Op::State {
            key: Key::new("schedules:exp_b"),
            change: StateChange::SetString("*/5 * * * *".to_owned()),
        }])
        .await;
    story.write("schedules:exp_c", &[("cron", "*/5 * * * *"), ("state", "cancelled")]).await;
    pacer(&story);
    story.pass(Duration::from_mins(6)).await;
    for (id, count) in [("exp_a", 1), ("exp_b", 1), ("exp_c", 0)] {
        assert_eq!(story.runs(id).await.len(), count, "{id}");
    }
}
