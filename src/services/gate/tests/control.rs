//! Orders: what they do, who may give them, and that they are recorded.

use pretty_assertions::assert_eq;
use rstest::rstest;

use super::*;
use crate::bus::StateChange;
use crate::contracts::keys;
use crate::contracts::messages::Alerts;

async fn a_running_experiment(story: &Story) {
    story.experiment("e", "running").await;
    story.document("schedules:e", &[("state", "active"), ("next_at", "2027-01-18T09:00:00Z")]).await;
    story.document("experiment_runs:e:e:1", &[("status", "running")]).await;
    story.document("experiment_runs:e:e:0", &[("status", "completed")]).await;
    story.document("experiment_runs:e2:e2:1", &[("status", "running")]).await;
    story.document("alerts:e:bounce_rate>10%", &[("state", "triggered")]).await;
    story.document("alerts:e2:bounce_rate>10%", &[("state", "triggered")]).await;
    let due = StateChange::Score { member: "e".to_owned(), score: 1.0 };
    story.world.commit(vec![Op::State { key: Key::new(keys::SCHEDULES_DUE), change: due }]).await;
}

async fn due(story: &Story) -> Vec<String> {
    match story.world.bus().get(&Key::new(keys::SCHEDULES_DUE)).await.unwrap() {
        Some(State::Sorted(members)) => members.into_keys().collect(),
        _ => Vec::new(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_kill_is_state_first_all_of_it_and_can_be_taken_back() {
    let story = Story::new(Mode::Manual);
    a_running_experiment(&story).await;
    let kill = json!({ "type": "kill_experiment", "experiment_id": "e", "reason": "bounces", "by": "mara" });
    story.order(kill.clone(), "control_room", Trust::Operator).await;
    let experiment = story.read("experiments:e").await.unwrap();
    assert_eq!(
        ["state", "former_state", "archived_by", "archived_reason"].map(|field| experiment.get(field)),
        [Some("archived"), Some("running"), Some("mara"), Some("bounces")]
    );
    assert_eq!(story.field("schedules:e", "state").await.as_deref(), Some("cancelled"));
    assert!(due(&story).await.is_empty());
    let run = story.read("experiment_runs:e:e:1").await.unwrap();
    assert!(run.get("cancel_requested").is_some() && run.get("cancel_by") == Some("mara"));
    assert_eq!(story.field("experiment_runs:e:e:0", "cancel_requested").await, None, "it is over");
    assert_eq!(story.field("experiment_runs:e2:e2:1", "cancel_requested").await, None, "another's");
    assert_eq!(story.field("alerts:e:bounce_rate>10%", "state").await.as_deref(), Some("resolved"));
    assert_eq!(story.field("alerts:e2:bounce_rate>10%", "state").await.as_deref(), Some("triggered"));
    let resolved = story.world.entries(ChannelName::Alerts).await;
    assert!(matches!(Alerts::read(&resolved[0].b), Ok(Alerts::Resolved(it)) if it.alert_id == "e:bounce_rate>10%"));

    let worklist = story.field("notes:worklist", "text").await.unwrap();
    assert!(worklist.contains("e was killed by mara: bounces"), "{worklist}");

    let before = experiment.version;
    story.order(kill, "control_room", Trust::Operator).await;
    assert_eq!(story.read("experiments:e").await.unwrap().version, before, "the same order twice is one");
    assert!(story.told().await[1].contains("was so already"));

    story.order(json!({ "type": "restore_experiment", "experiment_id": "e" }), "control_room", Trust::Operator).await;
    let experiment = story.read("experiments:e").await.unwrap();
    assert_eq!([experiment.get("state"), experiment.get("former_state")], [Some("ready"), None]);
    assert_eq!(story.field("schedules:e", "state").await.as_deref(), Some("active"));
    assert_eq!(due(&story).await, ["e"]);
    let looks = story.world.entries(ChannelName::Metrics).await;
    assert_eq!(looks.len(), 1, "its criteria are looked at again, so that its alerts come back");
    let audited = story.audited().await;
    let seen: Vec<_> = audited.iter().map(|it| (it.event.as_str(), it.subject.as_str(), it.by.as_str())).collect();
    assert_eq!(seen, [("ordered", "e", "mara"), ("ordered", "e", "mara"), ("ordered", "e", "control_room")]);
    assert_eq!((&audited[0].details["from"], &audited[0].details["to"]), (&json!("running"), &json!("archived")));
    story.nothing_went_wrong().await;
}

#[tokio::test(start_paused = true)]
async fn a_schedule_of_an_older_program_does_not_stop_a_kill() {
    let story = Story::new(Mode::Manual);
    story.experiment("e", "ready").await;
    let text = StateChange::SetString("0 9 * * MON".to_owned());
    story.world.commit(vec![Op::State { key: Key::new("schedules:e"), change: text }]).await;
    story.order(json!({ "type": "kill_experiment", "experiment_id": "e" }), "control_room", Trust::Operator).await;
    assert_eq!(story.field("experiments:e", "state").await.as_deref(), Some("archived"));
    assert_eq!(story.world.bus().get(&Key::new("schedules:e")).await.unwrap(), None);
    story.order(json!({ "type": "restore_experiment", "experiment_id": "e" }), "control_room", Trust::Operator).await;
    let back = story.world.bus().get(&Key::new("schedules:e")).await.unwrap();
    assert_eq!(back, Some(State::String("0 9 * * MON".to_owned())));
    story.nothing_went_wrong().await;
}

#[tokio::test(start_paused = true)]
async fn pause_and_resume_follow_the_lifecycle() {
    let story = Story::new(Mode::Manual);
    story.experiment("e", "ready").await;
    let order = |kind: &str| json!({ "type": kind, "experiment_id": "e", "by": "mara" });
    let state = async || story.field("experiments:e", "state").await;
    story.order(order("pause_experiment"), "discord", Trust::Member).await;
    assert_eq!(state().await.as_deref(), Some("paused"));
    story.order(order("resume_experiment"), "control_room", Trust::Operator).await;
    assert_eq!(state().await.as_deref(), Some("ready"));
    story.order(order("resume_experiment"), "control_room", Trust::Operator).await;
    assert_eq!(
        story.told().await[2],
        "resume_experiment was not done: `e`: a ready experiment cannot resume; it can start, pause, archive"
    );
    assert_eq!(story.events().await.len(), 3, "what was refused is recorded, too");
}

#[rstest]
#[case::no_experiment(json!({ "type": "kill_experiment", "experiment_id": "nobody" }), "there is no experiment `nobody`")]
#[case::no_id(json!({ "type": "pause_experiment", "experiment_id": "a b" }), "it has a space")]
#[case::no_run(json!({ "type": "cancel_run", "run_id": "r" }), "there is no run `r`")]
#[case::no_alert(json!({ "type": "alert_resolve", "alert_id": "a" }), "there is no alert `a`")]
#[case::no_person(json!({ "type": "suppression_set", "person": "grace@one.example" }), "named by the SHA-256")]
#[case::no_limit(json!({ "type": "budget_set", "scope": "day", "limit": -1.0 }), "limit")]
#[tokio::test(start_paused = true)]
async fn what_cannot_be_done_is_told_and_changes_nothing(#[case] order: Value, #[case] why: &str) {
    let story = Story::new(Mode::Manual);
    story.order(order, "control_room", Trust::Operator).await;
    let told = story.told().await;
    assert!(told.len() == 1 && told[0].contains("was not done") && told[0].contains(why), "{told:?}");
    assert!(story.audited().await[0].details.contains_key("refused"));
    story.nothing_went_wrong().await;
}

#[tokio::test(start_paused = true)]
async fn whoever_is_not_to_be_written_to_is_on_record_and_only_the_operator_lifts_it() {
    let story = Story::new(Mode::Manual);
    let person = keys::person("grace@one.example");
    let key = keys::suppression(&person).unwrap();
    let order = |lifted: bool| json!({ "type": "suppression_set", "person": person, "lifted": lifted, "reason": "asked", "by": "mara" });
    story.order(order(false), "discord", Trust::Member).await;
    assert_eq!(story.field(&key, "reason").await.as_deref(), Some("asked"));
    story.order(order(true), "discord", Trust::Member).await;
    assert_eq!(story.created().await.len(), 1, "to write to them again is asked for");
    assert!(story.read(&key).await.is_some());
    story.order(order(true), "control_room", Trust::Operator).await;
    assert_eq!(story.read(&key).await, None);
    assert_eq!(story.audited().await[0].details["suppressed"], json!(true));
    story.nothing_went_wrong().await;
}

#[tokio::test(start_paused = true)]
async fn a_run_is_asked_to_stop() {
    let story = Story::new(Mode::Manual);
    story.document("experiment_runs:e:e:1", &[("status", "running")]).await;
    story.document("experiment_runs:e:odd", &[("status", "running")]).await;
    for run in ["e:1", "odd"] {
        story
            .order(json!({ "type": "cancel_run", "run_id": run, "by": "mara" }), "control_room", Trust::Operator)
            .await;
        let key = format!("experiment_runs:e:{run}");
        assert_eq!(story.field(&key, "cancel_by").await.as_deref(), Some("mara"));
    }
    assert_eq!(story.told().await.len(), 2);
}

async fn status(story: &Story) -> Option<State> {
    story.world.bus().get(&Key::new(keys::STATUS)).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn whoever_is_one_of_us_can_hold_and_nobody_from_outside_holds_or_lets_go() {
    let story = Story::new(Mode::Autopilot);
    let paused = Some(State::String("paused".to_owned()));
    let hold = json!({ "type": "hold", "reason": "stop!", "by": "eve" });
    story.order(hold.clone(), "bridge", Trust::External).await;
    assert_eq!(status(&story).await, None, "a stranger does not stop the company");
    assert_eq!(story.created().await[0].class, RiskClass::Internal, "somebody is asked");
    story.order(hold.clone(), "discord", Trust::Member).await;
    assert_eq!(status(&story).await, paused);
    let document = story.read(keys::HOLD).await.unwrap();
    assert_eq!(["by", "reason", "level"].map(|field| document.get(field)), [Some("eve"), Some("stop!"), Some("hold")]);
    story.order(hold, "control_room", Trust::Operator).await;
    assert_eq!(story.field(keys::HOLD, "by").await.as_deref(), Some("eve"), "who was first");
    story.order(json!({ "type": "go" }), "bridge", Trust::External).await;
    assert_eq!(status(&story).await, paused, "it became a proposal");
    let created = story.created().await;
    assert_eq!((created[1].class, created[1].trust), (RiskClass::Outward, Trust::External));
    story.verdict(&created[1].approval_id, Verdict::Approve).await;
    assert_eq!(status(&story).await, Some(State::String("running".to_owned())));
    assert_eq!(story.read(keys::HOLD).await, None);
    story.order(json!({ "type": "go" }), "control_room", Trust::Operator).await;
    assert_eq!(story.events().await, ["ordered", "ordered", "ordered", "approved", "ordered"]);
    story.nothing_went_wrong().await;
}

#[rstest]
#[case::kill(json!({ "type": "kill_experiment", "experiment_id": "e" }), "bridge", Trust::External)]
#[case::chat(json!({ "type": "pause_experiment", "experiment_id": "e" }), "discord", Trust::External)]
#[case::a_mind(json!({ "type": "kill_experiment", "experiment_id": "e" }), "orchestrator", Trust::System)]
#[case::money_of_a_member(json!({ "type": "budget_set", "scope": "day", "limit": 100.0 }), "discord", Trust::Member)]
#[tokio::test(start_paused = true)]
async fn an_order_that_may_not_act_becomes_a_proposal(
    #[case] order: Value,
    #[case] source: &'static str,
    #[case] trust: Trust,
) {
    let story = Story::new(Mode::Guarded);
    story.experiment("e", "ready").await;
    story.order(order.clone(), source, trust).await;
    assert_eq!(story.field("experiments:e", "state").await.as_deref(), Some("ready"));
    assert_eq!(story.read("budgets:day").await, None);
    let created = story.created().await;
    assert_eq!(created.len(), 1);
    assert_eq!(created[0].proposer, if source == "bridge" { "gate" } else { source });
    story.order(order, source, trust).await;
    assert_eq!(story.created().await.len(), 1, "the same is asked once");
    story.verdict(&created[0].approval_id, Verdict::Approve).await;
    let changed = story.field("experiments:e", "state").await.as_deref() != Some("ready");
    assert!(changed || story.read("budgets:day").await.is_some());
    story.nothing_went_wrong().await;
}

#[tokio::test(start_paused = true)]
async fn alerts_are_acknowledged_and_resolved() {
    let story = Story::new(Mode::Manual);
    // One that was said, and has no document.
    let origin = story.world.origin(Trust::System);
    let body = r#"{"type":"alert_triggered","alert_id":"dead-letter:x","severity":"warning","message":"m"}"#;
    let envelope = origin.envelope("alert_triggered", "bus");
    story.world.say(Outgoing::new(ChannelName::Alerts, envelope, body.to_owned()).unwrap()).await;
    let order = |kind: &str| json!({ "type": kind, "alert_id": "dead-letter:x", "by": "mara" });
    story.order(order("alert_acknowledge"), "control_room", Trust::Operator).await;
    let key = "alerts:dead-letter:x";
    assert_eq!(story.field(key, "state").await.as_deref(), Some("acknowledged"));
    for _ in 0..2 {
        story.order(order("alert_resolve"), "control_room", Trust::Operator).await;
    }
    assert_eq!(story.field(key, "state").await.as_deref(), Some("resolved"));
    let said: Vec<_> = story
        .world
        .entries(ChannelName::Alerts)
        .await
        .iter()
        .map(|entry| Alerts::read(&entry.b).unwrap().type_name())
        .collect();
    assert_eq!(said, ["alert_triggered", "alert_acknowledged", "alert_resolved"]);
}

#[tokio::test(start_paused = true)]
async fn a_word_about_who_ordered_it_is_harmless() {
    let story = Story::new(Mode::Manual);
    story
        .order(
            json!({ "type": "hold", "by": "\u{1b}[2Jmara\n\u{202e}x", "reason": "a\u{7}b" }),
            "control_room",
            Trust::Operator,
        )
        .await;
    let document = story.read(keys::HOLD).await.unwrap();
    assert_eq!(document.get("by"), Some("mara⏎x"));
    assert!(!document.get("reason").unwrap().contains('\u{7}'));
    assert!(matches!(Control::read(r#"{"type":"hold"}"#), Ok(Control::Hold(_))));
}
