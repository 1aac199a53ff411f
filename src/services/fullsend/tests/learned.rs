//! What runs teach in passing.

use pretty_assertions::assert_eq;

use super::*;
use crate::bus::StateChange;
use crate::memory::load::TACTICAL;

/// A result as `email_send` gives it and the executor passes it on.
fn mailed(experiment: &str, run: &str, numbers: &Value, flag: Option<&str>) -> Value {
    let mut summary = json!({
        "sent": 0, "skipped": 0, "failed": 0, "bounced": 0, "unknown": 0, "duplicates": 0, "failures": [], "left": 0,
        "campaign_stats": { "total_sent": 0, "total_failed": 0, "total_skipped": 0, "by_variant": { "a": 1 } },
    });
    for (name, value) in numbers.as_object().unwrap() {
        summary[name] = value.clone();
    }
    if let Some(flag) = flag {
        summary[flag] = json!(true);
    }
    json!({ "type": "experiment_completed", "experiment_id": experiment, "run_id": run, "status": "success", "duration": 9.8,
        "result_summary": summary })
}

async fn texts(team: &Team) -> Vec<String> {
    let mut found = memory::load(&team.world.bus()).await.unwrap().tactical;
    found.sort();
    found
}

#[tokio::test(start_paused = true)]
async fn a_run_teaches_numbers_that_say_something_and_is_called_what_it_was() {
    let team = Team::new(Policy::Guarded).await;
    let say = async |body| team.say(ChannelName::ExperimentResults, "executor", body).await;
    let stats = json!({ "sent": 38, "bounced": 2, "campaign_stats": { "total_sent": 38, "by_variant": { "a": 38 } } });
    say(mailed("exp_live", "r1", &stats, None)).await;
    say(mailed("exp_dry", "r2", &json!({ "would_send": 4 }), Some("dry_run"))).await;
    let answers = json!({ "seed": 7, "campaign_stats": { "reply": 12, "email_sent": 150 } });
    say(mailed("exp_simulated", "r3", &answers, Some("simulation"))).await;
    say(mailed("exp_nothing", "r4", &json!({}), Some("dry_run"))).await;
    let wanted = [
        "A dry run (nothing went out) gave: 4 would have been sent in 10 s (exp_dry)",
        "A run gave: 38 sent, 2 bounced in 10 s (exp_live)",
        "A simulation (its people do not exist) gave: 12 reply, 150 email sent in 10 s (exp_simulated)",
    ];
    assert_eq!(texts(&team).await, wanted, "and one that did nothing teaches nothing");
    let failed = json!({ "type": "experiment_failed", "experiment_id": "exp_dry", "run_id": "r5", "code": "timeout",
        "tool_name": "web_page", "error": "no end", "partial_results": { "dry_run": true } });
    say(failed).await;
    let learned = texts(&team).await;
    assert_eq!(learned[0], "A dry run (nothing went out) by web_page failed (timeout): no end (exp_dry)");
}

#[tokio::test(start_paused = true)]
async fn however_often_it_runs_what_is_remembered_has_an_end() {
    let team = Team::new(Policy::Guarded).await;
    for run in ["r1", "r2", "r3"] {
        let body = mailed("exp_hourly", run, &json!({ "sent": 5 }), None);
        team.say(ChannelName::ExperimentResults, "executor", body).await;
    }
    assert_eq!(texts(&team).await, ["A run gave: 5 sent in 10 s (exp_hourly)"], "of each experiment the last");

    for n in 0..TACTICAL + 3 {
        let key = format!("learnings:tactical:old{n}");
        let source = if n == 1 { "a person" } else { "fullsend" };
        team.document(&key, &[("text", "x"), ("source", source)]).await;
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        let change = StateChange::Score { member: key, score: n as f64 };
        team.world.commit(vec![Op::State { key: Key::new("learnings:tactical:index"), change }]).await;
    }
    let body = mailed("exp_new", "r1", &json!({ "sent": 5 }), None);
    team.say(ChannelName::ExperimentResults, "executor", body).await;
    let Some(State::Sorted(index)) = team.get("learnings:tactical:index").await else { panic!("no index") };
    assert_eq!(index.len(), TACTICAL);
    assert!(index.contains_key("learnings:tactical:exp_new") && index.contains_key("learnings:tactical:exp_hourly"));
    assert_eq!(team.get("learnings:tactical:old0").await, None);
    assert!(team.get("learnings:tactical:old1").await.is_some(), "what somebody else wrote is not thrown away");
    assert_eq!(team.get("learnings:tactical:old4").await, None);
    assert!(team.get("learnings:tactical:old5").await.is_some());
}
