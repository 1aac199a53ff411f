//! What is told must be so: who is too young to be judged, what counts twice, what hovers, what is trusted.

use pretty_assertions::assert_eq;

use super::*;

/// The documents of an experiment that was published.
async fn published(story: &Story, mode: &str, tool: &str, success: &[&str], failure: &[&str]) {
    let spec = json!({
        "id": "exp_20260301_a", "hypothesis": "h", "mode": mode, "target": { "description": "people" },
        "execution": { "steps": [{ "id": "list", "tool": tool }] }, "metrics": [],
        "success_criteria": success, "failure_criteria": failure, "measuring": { "window": "6h" },
        "outreach": { "channel": "email", "sender": "a@b.example", "template": "Hi" },
    });
    story.experiment(success, failure).await;
    story.change("experiments:exp_1", &[("mode", mode.to_owned()), ("spec_json", spec.to_string())]).await;
}

/// Something happens to as many people as there are numbers.
async fn to_people(story: &Story, event: &str, round: &str, people: std::ops::Range<u32>) {
    for person in people {
        let body = json!({"event": event, "round": round, "person": format!("{person:012x}{}", "0".repeat(52)), "experiment_id": EXP});
        story.raw(&body.to_string()).await;
    }
    story.settled().await;
}

/// Answers are waited for as long as the experiment says, and so long nobody is taken for silent.
#[tokio::test(start_paused = true)]
async fn messages_are_young_for_as_long_as_the_experiment_waits() {
    let story = Story::new();
    published(&story, "live", "csv_leads", &[], &["reply_rate < 5%"]).await;
    story.happen("email_sent", 400).await;
    assert_eq!(story.recommended().await, ["watch"]);
    story.pass(360 * MINUTE).await;
    assert_eq!(
        story.recommended().await,
        ["watch"],
        "two hours are the setting, six the window, and its hour is not over"
    );
    story.pass(46 * MINUTE).await;
    assert_eq!(story.recommended().await, ["watch", "kill:"]);
}

/// What is delivered is as young as what was sent.
#[tokio::test(start_paused = true)]
async fn whatever_a_share_is_taken_of_grows_old_first() {
    let story = Story::new();
    story.experiment(&[], &["replies / emails_delivered < 5%"]).await;
    story.change("experiments:exp_1", &[("mode", "live".to_owned())]).await;
    story.happen("email_delivered", 400).await;
    assert_eq!(story.recommended().await, ["watch"]);
    assert!(story.told().await[0].recommendation.as_deref().unwrap().contains("400 too young to judge"));
    story.pass(181 * MINUTE).await;
    assert_eq!(story.recommended().await, ["watch", "kill:"]);
}

/// A follow-up reaches nobody new, and who answers twice is one.
#[tokio::test(start_paused = true)]
async fn people_are_counted_and_not_their_mail() {
    let story = Story::new();
    story.experiment(&["reply_rate >= 8%"], &["reply_rate < 5% after 50 sends"]).await;
    to_people(&story, "email_sent", "first", 0..40).await;
    to_people(&story, "reply", "first", 0..3).await;
    to_people(&story, "email_sent", "first", 40..60).await;
    let rate = async || story.sums().await.get("reply_rate").unwrap_or_default().to_owned();
    assert_eq!(rate().await, "0.05");
    to_people(&story, "email_sent", "followup-1", 3..60).await;
    assert_eq!(rate().await, "0.05");
    to_people(&story, "reply", "followup-1", 3..6).await;
    to_people(&story, "reply", "unknown", 0..6).await;
    assert_eq!(rate().await, "0.1");
    let sums = story.sums().await;
    let of = |name: &str| sums.get(name).unwrap_or_default();
    assert_eq!([of("events.email_sent"), of("events.follow_up_sent"), of("events.reply")], ["60", "57", "6"]);
    assert_eq!(story.told().await.len(), 1, "the success, and no failure: {:#?}", story.told().await);
}

/// In a simulation everybody is written to on its first day, and nobody answered by then.
#[tokio::test(start_paused = true)]
async fn a_simulation_is_judged_by_its_own_days() {
    let story = Story::new();
    published(&story, "simulation", "simulated_audience", &[], &["reply_rate < 5%"]).await;
    let say = async |event: &str, count: u64, day: f64| {
        let body = json!({"event": event, "count": count, "simulation": true, "day": day, "experiment_id": EXP});
        story.raw(&body.to_string()).await;
        story.settled().await;
    };
    let run = async |event: &str| {
        story.raw(&json!({"event": event, "run_id": "r", "experiment_id": EXP}).to_string()).await;
        story.settled().await;
    };
    run("run_started").await;
    say("email_sent", 400, 0.0).await;
    assert_eq!(story.recommended().await, ["watch"]);
    say("reply", 4, 0.1).await;
    story.pass(6 * MINUTE).await;
    assert_eq!(story.recommended().await, ["watch"], "its window is a quarter of a day");
    run("run_completed").await;
    assert_eq!(story.recommended().await, ["watch", "kill:"], "nothing more comes of it");
}

/// Fewer than three within two hours: nobody knows before they are over, and what comes later does not count.
#[tokio::test(start_paused = true)]
async fn what_is_to_stay_below_a_line_is_judged_when_the_time_is_over() {
    let story = Story::new();
    story.experiment(&["reply_rate >= 50% after 10 sends within 2h"], &["replies < 3 within 2h"]).await;
    story.raw(&json!({"event": "run_started", "run_id": "r", "experiment_id": EXP}).to_string()).await;
    story.happen("reply", 2).await;
    assert_eq!(story.told().await, []);
    assert_eq!(story.outcome().await.criteria[1].why.as_deref(), Some("it holds so far, 2h to go"));
    story.pass(121 * MINUTE).await;
    assert_eq!(story.recommended().await, ["look "], "it is a fact now");
    story.happen("reply", 5).await;
    story.happen("email_sent", 10).await;
    let outcome = story.outcome().await;
    let (success, failure) = (&outcome.criteria[0], &outcome.criteria[1]);
    assert_eq!((failure.holds, failure.proven, failure.value), (Some(true), true, Some(2.0)));
    assert_eq!(
        (success.holds, success.why.as_deref()),
        (None, Some("0 of 10 sends, when its time was over")),
        "what could not be said is not false"
    );
    assert_eq!(story.alerts().await, (1, 0));
}

/// What comes after the time in one go with its end does not count either.
#[tokio::test(start_paused = true)]
async fn a_late_look_judges_by_what_was_there_in_time() {
    let mut story = Story::new();
    story.experiment(&["replies >= 3 within 2h"], &["spam_complaints > 5"]).await;
    story.raw(&json!({"event": "run_started", "run_id": "r", "experiment_id": EXP}).to_string()).await;
    story.happen("reply", 1).await;
    story.agent.cancel();
    tokio::time::sleep(180 * MINUTE).await;
    for _ in 0..5 {
        story.raw(&json!({"event": "reply", "experiment_id": EXP}).to_string()).await;
    }
    story.start();
    story.settled().await;
    assert_eq!(story.sums().await.get("events.reply"), Some("6"));
    assert_eq!(story.outcome().await.criteria[0].holds, Some(false));
}

/// A kill resolves the alerts; who takes it back hears again of what is so.
#[tokio::test(start_paused = true)]
async fn after_a_kill_is_taken_back_alerts_come_again() {
    let story = Story::new();
    story.experiment(&[], &["spam_complaints >= 1", "meetings_booked == 0 after 3h"]).await;
    story.happen("spam_complaint", 1).await;
    assert_eq!(story.told().await.len(), 1);
    story.change("experiments:exp_1", &[("state", "archived".to_owned())]).await;
    story.pass(240 * MINUTE).await;
    assert_eq!(story.told().await.len(), 1, "what was due meanwhile is not told");
    let restored = crate::contracts::envelope::rfc3339(story.world.clock.now());
    story.change("experiments:exp_1", &[("state", "measuring".to_owned()), ("restored_at", restored)]).await;
    story.raw(&json!({"event": "look_again", "experiment_id": EXP}).to_string()).await;
    story.settled().await;
    let told: Vec<String> = story.told().await.into_iter().filter_map(|alert| alert.criterion).collect();
    assert_eq!(told[1..], ["spam_complaints >= 1", "meetings_booked == 0 after 3h"]);
    story.raw(&json!({"event": "look_again", "experiment_id": EXP}).to_string()).await;
    story.pass(60 * MINUTE).await;
    assert_eq!(story.told().await.len(), 3, "once");
}

/// A share that hovers about its line crosses it with every message.
#[tokio::test(start_paused = true)]
async fn what_hovers_about_its_line_is_told_now_and_then() {
    let story = Story::new();
    story.experiment(&[], &["reply_rate < 10%"]).await;
    story.happen("email_sent", 19).await;
    story.happen("reply", 2).await;
    for _ in 0..20 {
        // 2 of 21, 3 of 22, …: below, and above again.
        story.happen("email_sent", 10).await;
        story.pass(6 * MINUTE).await;
        story.happen("reply", 1).await;
        story.pass(6 * MINUTE).await;
    }
    let (raised, resolved) = story.alerts().await;
    assert!((1..=5).contains(&raised), "{raised} alerts of 219 messages");
    assert!(resolved <= raised, "{resolved} of {raised}");
    assert_eq!(story.told().await.len(), raised);
}

/// Where an outsider's events are among the numbers, an alert is no more to be trusted than those.
#[tokio::test(start_paused = true)]
async fn an_alert_is_trusted_as_far_as_its_numbers() {
    let story = Story::new();
    story.experiment(&[], &["spam_complaints >= 2", "email_bounced >= 1"]).await;
    let say = async |event: &str, trust| {
        story.say(&json!({"event": event, "experiment_id": EXP}).to_string(), trust).await;
        story.settled().await;
    };
    say("spam_complaint", Trust::External).await;
    say("spam_complaint", Trust::System).await;
    say("email_bounced", Trust::System).await;
    let entries = story.world.entries(ChannelName::ToOrchestrator).await;
    let trust =
        |entry: &crate::bus::Entry| serde_json::from_str::<serde_json::Value>(&entry.e).unwrap()["trust"].clone();
    assert_eq!(entries.iter().map(trust).collect::<Vec<_>>(), [json!("external"), json!("system")]);
}

/// A formula in percent is told in percent, once.
#[tokio::test(start_paused = true)]
async fn a_share_is_told_as_one_whatever_its_formula_multiplies_it_by() {
    let story = Story::new();
    story.experiment(&[], &["replies / emails_sent * 100 < 5"]).await;
    story.happen("email_sent", 400).await;
    story.happen("reply", 4).await;
    story.pass(6 * MINUTE).await;
    let alert = story.told().await.pop().unwrap();
    let message = alert.message.unwrap();
    assert!(message.starts_with("replies / emails_sent * 100 of exp_1 is 0.0 %, below 5.0 %: "), "{message}");
    assert_eq!((alert.value, alert.threshold, alert.proven), (Some(0.0), Some(0.05), Some(true)));
}

/// Numbers that are no facts and no shares prove nothing.
#[tokio::test(start_paused = true)]
async fn what_can_be_no_evidence_recommends_no_kill() {
    let story = Story::new();
    story.experiment(&[], &["hours.avg > 48", "open_rate > 25%"]).await;
    story.raw(&json!({"event": "reply", "hours": 90, "experiment_id": EXP}).to_string()).await;
    story.happen("email_opened", 3).await;
    story.happen("email_sent", 2).await;
    let told = story.told().await;
    assert_eq!(story.recommended().await, ["watch", "watch"]);
    assert!(told.iter().all(|alert| alert.proven == Some(false) && alert.severity == Severity::Warning), "{told:#?}");
    assert_eq!(story.outcome().await.verdict.as_str(), "at_risk");
}

/// Whoever archives it meanwhile is not told of its errors.
#[tokio::test(start_paused = true)]
async fn an_error_is_told_by_the_version_of_the_experiment() {
    let story = Story::new();
    story.experiment(&[], &[]).await;
    let before = story.read("experiments:exp_1").await.version;
    let error = |kind: usize| json!({"event": "error", "message": "oh", "error_type": format!("E{kind}"), "experiment_id": EXP});
    story.raw(&error(0).to_string()).await;
    story.settled().await;
    let after = story.read("experiments:exp_1").await;
    assert!(after.version > before && after.get("alerted_at").is_some(), "{after:?}");
    for kind in 1..=260 {
        story.raw(&error(kind).to_string()).await;
    }
    story.settled().await;
    assert_eq!(story.told().await.len(), 251, "what is too much to remember is one kind");
}

#[tokio::test(start_paused = true)]
async fn metrics_take_no_field_that_is_not_theirs_and_leave_none_behind() {
    let story = Story::new();
    let metrics = |names: &[&str]| {
        let of = |name: &&str| json!({"name": name, "type": "percentage", "formula": "replies / emails_sent"});
        json!(names.iter().map(of).collect::<Vec<_>>()).to_string()
    };
    story.experiment(&[], &["spam_complaints >= 1"]).await;
    let names = ["recent_sends", "watch_json", "old_rate"];
    story.change("metrics_specs:exp_1", &[("metrics", metrics(&names))]).await;
    story.happen("email_sent", 4).await;
    story.happen("reply", 1).await;
    let sums = story.sums().await;
    assert_eq!((sums.get("recent_sends"), sums.get("old_rate")), (None, Some("0.25")));
    // Another definition is seen at once, and what it no longer computes is gone.
    story.change("metrics_specs:exp_1", &[("metrics", metrics(&["new_rate"]))]).await;
    story.happen("reply", 1).await;
    let sums = story.sums().await;
    assert_eq!((sums.get("old_rate"), sums.get("new_rate")), (None, Some("0.5")));
}

/// A variant that was added today is compared by what is old of it.
#[tokio::test(start_paused = true)]
async fn variants_are_compared_by_what_is_old() {
    let story = Story::new();
    story.experiment(&["reply_rate >= 8%"], &["bounce_rate > 10%"]).await;
    story.change("experiments:exp_1", &[("mode", "live".to_owned())]).await;
    let say = async |event: &str, variant: &str, count: u64| {
        let body = json!({"event": event, "count": count, "variant": variant, "experiment_id": EXP});
        story.raw(&body.to_string()).await;
        story.settled().await;
    };
    say("email_sent", "a", 400).await;
    say("reply", "a", 60).await;
    story.pass(181 * MINUTE).await;
    say("email_sent", "b", 400).await;
    let variants = story.outcome().await.variants.unwrap();
    assert_eq!((variants.arms[0].name.as_str(), variants.decided), ("a", false), "b was sent today");
    story.pass(181 * MINUTE).await;
    story.happen("email_delivered", 1).await;
    assert!(story.outcome().await.variants.unwrap().decided);
}
