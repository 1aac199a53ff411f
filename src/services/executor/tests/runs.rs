use pretty_assertions::assert_eq;

use super::*;

fn two_steps() -> Value {
    json!([
        { "id": "list", "tool": "people", "params": { "rows": [{ "email": "a@x.io" }, { "email": "b@x.io" }] } },
        { "id": "work", "tool": "slow", "params": { "people": "{{list.rows}}" } },
    ])
}

#[tokio::test(start_paused = true)]
async fn a_run_goes_through_its_steps_and_is_measured_to_its_end() {
    let story = Story::new();
    story.experiment("exp_a", "dry_run", two_steps(), Value::Null).await;
    let run = story.run_now("exp_a", false).await;
    story.until("exp_a", &run, "running").await;
    assert_eq!(story.state("exp_a").await, "running");
    story.until("exp_a", &run, "completed").await;
    assert_eq!(story.state("exp_a").await, "measuring");
    let document = story.run_of("exp_a", &run).await;
    assert_eq!(document.get("result_summary"), Some(r#"{"done":10,"dry_run":true}"#));
    let seconds: f64 = document.get("duration_seconds").unwrap().parse().unwrap();
    assert!((10.0..12.0).contains(&seconds), "{seconds}");
    assert_eq!((document.get("holder"), document.get("held_by"), document.get("waiting_for")), (None, None, None));
    let outputs: Value = serde_json::from_str(document.get("outputs").unwrap()).unwrap();
    assert_eq!(outputs["list"]["rows"][1]["email"], "b@x.io");
    assert_eq!(story.events().await, ["run_started", "items_processed", "run_completed"]);
    let results = story.said(ChannelName::ExperimentResults).await;
    assert_eq!((results.len(), &results[0]["type"]), (1, &json!("experiment_completed")));
    story.world.until(async |_| story.state("exp_a").await == "completed").await;
}

#[tokio::test(start_paused = true)]
async fn what_may_not_run_is_refused_with_a_reason_and_the_operators_word_runs_it_without_reaching_anybody() {
    let story = Story::new();
    story.outreach("exp_a", &["a@x.io"], Value::Null).await;
    for state in ["draft", "archived", "completed", "failed"] {
        story
            .world
            .commit(vec![Op::Change {
                key: Key::new("experiments:exp_a"),
                expect: Expect::Any,
                fields: vec![field("state", state), gone("approved_at")],
                ttl: Ttl::Keep,
            }])
            .await;
        let run = story.run_now("exp_a", false).await;
        story.until("exp_a", &run, "cancelled").await;
        let why = story.run_of("exp_a", &run).await.get("error").unwrap().to_owned();
        assert!(why.starts_with(&format!("it is {state}")), "{why}");
        let run = story.run_now("exp_a", true).await;
        story.until("exp_a", &run, "completed").await;
        assert_eq!(story.run_of("exp_a", &run).await.get("mode"), Some("dry_run"));
        assert_eq!(story.state("exp_a").await, state);
    }
    let kept = story.world.bus().scan("contacts:", None, 10).await.unwrap().0;
    assert_eq!(kept, [], "nobody was reached");
}

#[tokio::test(start_paused = true)]
async fn a_live_one_that_nobody_approved_is_not_run() {
    let story = Story::new();
    story.outreach("exp_a", &["a@x.io"], Value::Null).await;
    story
        .world
        .commit(vec![Op::Change {
            key: Key::new("experiments:exp_a"),
            expect: Expect::Any,
            fields: vec![gone("approved_at")],
            ttl: Ttl::Keep,
        }])
        .await;
    let run = story.run_now("exp_a", false).await;
    story.until("exp_a", &run, "failed").await;
    assert!(story.run_of("exp_a", &run).await.get("error").unwrap().contains("nobody has approved"));
    assert_eq!((story.state("exp_a").await.as_str(), story.stage.sent().len()), ("ready", 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_with_a_run_is_said_by_its_code() {
    let story = Story::new();
    for (id, steps, code, what) in [
        ("exp_a", json!([{ "id": "s", "tool": "nowhere" }]), "not_found", "there is no tool `nowhere`"),
        ("exp_b", json!([{ "id": "s", "tool": "broken" }]), "tool", "it broke"),
        (
            "exp_c",
            json!([{ "id": "s", "tool": "people", "params": { "rows": "{{s2.rows}}" } }]),
            "invalid_params",
            "s2",
        ),
        ("exp_d", json!([{ "id": "s", "tool": "acts_oddly" }]), "tool", "does not say what"),
    ] {
        story.experiment(id, "dry_run", steps, Value::Null).await;
        let run = story.run_now(id, false).await;
        story.until(id, &run, "failed").await;
        let document = story.run_of(id, &run).await;
        assert_eq!(document.get("code"), Some(code), "{id}");
        assert!(document.get("error").unwrap().contains(what), "{id}: {:?}", document.get("error"));
    }
    let results = story.said(ChannelName::ExperimentResults).await;
    let codes: Vec<_> = results.iter().map(|result| (result["tool_name"].clone(), result["code"].clone())).collect();
    assert_eq!(codes[0], (json!("nowhere"), json!("not_found")));
    // What could not begin for want of a tool runs when the tool is there.
    assert_eq!(story.state("exp_a").await, "ready");
    assert_eq!(story.state("exp_b").await, "failed");
    assert_eq!(story.events().await.iter().filter(|event| *event == "error").count(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_executor_is_killed_goes_on_after_the_last_ended_step() {
    let story = Story::empty();
    let (_, first) = story.executor();
    story.experiment("exp_a", "dry_run", two_steps(), Value::Null).await;
    let run = story.run_now("exp_a", false).await;
    story.world.until(async |_| story.stage.begun() == ["list", "work"]).await;
    first.abort();
    story.executor();
    story.until("exp_a", &run, "completed").await;
    assert_eq!(story.stage.begun(), ["list", "work", "work"]);
    assert_eq!(story.run_of("exp_a", &run).await.get("attempt"), Some("2"));
    assert_eq!(story.events().await, ["run_started", "items_processed", "run_completed"]);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_kills_whoever_runs_it_is_given_up() {
    let story = Story::empty();
    story.experiment("exp_a", "dry_run", json!([{ "id": "s", "tool": "hang" }]), Value::Null).await;
    let run = story.run_now("exp_a", false).await;
    for times in 1..=4 {
        let (_, task) = story.executor();
        story.world.until(async |_| story.stage.begun().len() == times).await;
        task.abort();
    }
    story.executor();
    story.until("exp_a", &run, "failed").await;
    assert_eq!(story.run_of("exp_a", &run).await.get("code"), Some("exhausted"));
    assert_eq!(story.stage.begun().len(), 4);
    assert_eq!(story.state("exp_a").await, "failed");
    assert_eq!(story.said(ChannelName::DeadLetter).await.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_program_that_stops_hands_its_run_on_and_that_is_no_attempt() {
    let story = Story::empty();
    story.experiment("exp_a", "dry_run", two_steps(), Value::Null).await;
    let run = story.run_now("exp_a", false).await;
    for times in 2..8 {
        let (stop, task) = story.executor();
        story.world.until(async |_| story.stage.begun().len() == times).await;
        stop.cancel();
        task.await.unwrap();
        let document = story.run_of("exp_a", &run).await;
        assert_eq!((document.get("status"), document.get("attempt")), (Some("waiting"), Some("1")));
        assert_eq!(document.get("waiting_for"), Some("the program to go on"));
    }
    story.executor();
    story.until("exp_a", &run, "completed").await;
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_cancelled_or_killed_stops_within_two_seconds() {
    let story = Story::new();
    for (id, killed, state) in [("exp_a", false, "failed"), ("exp_b", true, "archived")] {
        story.experiment(id, "dry_run", json!([{ "id": "s", "tool": "hang" }]), Value::Null).await;
        let run = story.run_now(id, false).await;
        story.until(id, &run, "running").await;
        let began = story.now();
        let mut ops = vec![Op::Change {
            key: Key::new(format!("experiment_runs:{id}:{run}")),
            expect: Expect::Any,
            fields: vec![
                field("cancel_requested", "now"),
                field("cancel_by", "mara"),
                field("cancel_reason", "enough"),
            ],
            ttl: Ttl::Keep,
        }];
        if killed {
            ops.push(Op::Change {
                key: Key::new(format!("experiments:{id}")),
                expect: Expect::Any,
                fields: vec![field("state", "archived")],
                ttl: Ttl::Keep,
            });
        }
        story.world.commit(ops).await;
        story.until(id, &run, "cancelled").await;
        assert!(story.now() - began < TimeDelta::seconds(2));
        assert_eq!(story.run_of(id, &run).await.get("error"), Some("stopped by mara: enough"));
        assert_eq!(story.state(id).await, state);
    }
    let results = story.said(ChannelName::ExperimentResults).await;
    assert_eq!((results.len(), &results[0]["code"]), (1, &json!("cancelled")), "a kill is known to whoever ordered it");
}

#[tokio::test(start_paused = true)]
async fn more_than_the_slots_wait_where_it_is_seen() {
    let mut story = Story::empty();
    story.settings.slots = 2;
    story.executor();
    let mut runs = Vec::new();
    for number in 0..7 {
        let id = format!("exp_{number}");
        story.experiment(&id, "dry_run", json!([{ "id": "s", "tool": "slow" }]), Value::Null).await;
        runs.push((id.clone(), story.run_now(&id, false).await));
    }
    story.pass(Duration::from_secs(2)).await;
    let mut waiting = 0;
    for (id, run) in &runs {
        let document = story.run_of(id, run).await;
        waiting += usize::from(
            document.get("status") == Some("waiting") && document.get("waiting_for") == Some("a free slot"),
        );
    }
    assert_eq!(waiting, 5);
    for (id, run) in &runs {
        story.until(id, run, "completed").await;
    }
    assert_eq!(story.stage.most.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn one_run_of_an_experiment_at_a_time() {
    let story = Story::new();
    story.experiment("exp_a", "dry_run", two_steps(), Value::Null).await;
    let first = story.run_now("exp_a", false).await;
    let second = story.run_now("exp_a", false).await;
    story.until("exp_a", &first, "running").await;
    let third = story.run_now("exp_a", false).await;
    story.until("exp_a", &second, "cancelled").await;
    story.until("exp_a", &third, "cancelled").await;
    story.until("exp_a", &first, "completed").await;
    assert_eq!(story.stage.most.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn an_experiment_whose_tool_is_gone_stays_ready_and_runs_when_it_is_back() {
    let story = Story::new();
    // Gone before the run, and gone in the midst of it.
    for (id, gone) in [("exp_a", true), ("exp_b", false)] {
        story.stage.gone().clear();
        if gone {
            story.stage.gone().push("vanishes".to_owned());
        }
        let steps =
            json!([{ "id": "list", "tool": "people", "params": { "rows": [] } }, { "id": "s", "tool": "vanishes" }]);
        story.experiment(id, "dry_run", steps, Value::Null).await;
        let run = story.run_now(id, false).await;
        story.until(id, &run, "failed").await;
        let document = story.run_of(id, &run).await;
        assert_eq!((document.get("code"), document.get("error_type")), (Some("not_found"), Some("ToolNotFoundError")));
        assert_eq!(story.state(id).await, "ready", "{id}");
        let result = story.said(ChannelName::ExperimentResults).await.pop().unwrap();
        assert_eq!((&result["code"], &result["tool_name"]), (&json!("not_found"), &json!("vanishes")), "{id}");
        // It comes: whoever waited for it says so, without the operator's word.
        story.stage.gone().clear();
        story.stage.gone().push("another".to_owned());
        let again = story.run_now(id, false).await;
        story.until(id, &again, "completed").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_asked_to_go_on_twice_goes_on_once() {
    let story = Story::new();
    story.executor();
    story.experiment("exp_a", "dry_run", two_steps(), Value::Null).await;
    let run = story.run_now("exp_a", false).await;
    for _ in 0..6 {
        let due = begin::due("exp_a", &run);
        let message = story.world.origin(Trust::System).compose::<grants::Executor, _>(SCHEDULES, due).unwrap();
        story.world.say(message).await;
        story.pass(Duration::from_millis(700)).await;
    }
    story.until("exp_a", &run, "completed").await;
    story.pass(Duration::from_secs(30)).await;
    assert_eq!(story.stage.begun(), ["list", "work"]);
}

#[tokio::test(start_paused = true)]
async fn a_persons_step_waits_until_it_is_done_or_lapses() {
    let mut story = Story::empty();
    story.settings.person_deadline = Duration::from_mins(10);
    story.executor();
    let outreach = json!({ "outreach": { "channel": "linkedin", "template": "hello", "recipients": "{{list.rows}}" } });
    for (id, state, status) in
        [("exp_a", Some("done"), "completed"), ("exp_b", Some("rejected"), "failed"), ("exp_c", None, "failed")]
    {
        story.experiment(id, "live", two_steps(), outreach.clone()).await;
        let run = story.run_now(id, false).await;
        story
            .world
            .until(async |_| {
                story.run_of(id, &run).await.get("waiting_for").is_some_and(|why| why.starts_with("a person"))
            })
            .await;
        let asked = story.said(ChannelName::FromOrchestrator).await;
        let asked = asked.iter().rev().find(|said| said["type"] == "action_request").unwrap();
        let action = asked["payload"]["id"].as_str().unwrap();
        if let Some(state) = state {
            story.write(&format!("actions:{action}"), &[("state", state), ("completed_by", "mara")]).await;
            let due = begin::due(id, &run);
            let message = story.world.origin(Trust::Operator).compose::<grants::Watcher, _>(SCHEDULES, due).unwrap();
            story.world.say(message).await;
        }
        story.until(id, &run, status).await;
        let error = story.run_of(id, &run).await.get("error").unwrap_or_default().to_owned();
        match state {
            Some("rejected") => assert!(error.contains("mara said no"), "{error}"),
            None => assert!(error.contains("nobody did it in time"), "{error}"),
            _ => assert_eq!(error, ""),
        }
    }
}
