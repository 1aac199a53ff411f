//! The Redis Agent in its consumer loop, on paused time: every wait takes no time and happens in order.

use std::sync::Arc;
use std::time::Duration;

use pretty_assertions::assert_eq;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::bus::leased::hold;
use crate::bus::testing::World;
use crate::bus::timers::Timers;
use crate::bus::{Consumer, ConsumerOptions, Expect, Op, Outgoing, Ttl, letters};
use crate::contracts::messages::{Alerts, Direction, MetricAlert, Severity, ToOrchestrator};
use crate::contracts::{Body, Trust};
use crate::experiments::judgement::Outcome;

const MINUTE: Duration = Duration::from_mins(1);
const EXP: &str = "exp_1";

mod verdicts;

/// A world with an agent in it, and timers that fire.
struct Story {
    world: World,
    agent: CancellationToken,
    stop: CancellationToken,
}

impl Story {
    fn new() -> Self {
        let mut story = Self { world: World::new(), agent: CancellationToken::new(), stop: CancellationToken::new() };
        story.start();
        let (bus, clock, ids) = (story.world.bus(), Arc::clone(&story.world.clock), Arc::clone(&story.world.ids));
        let stop = story.stop.clone();
        tokio::spawn(async move {
            let timers = Timers { bus: Arc::clone(&bus), clock: Arc::clone(&clock) };
            hold(&timers, &bus, &clock, &ids, stop).await
        });
        story
    }

    /// Starts an agent that knows nothing but what is on the bus.
    fn start(&mut self) {
        self.agent = self.stop.child_token();
        let options = ConsumerOptions { seed: Some(1), ..ConsumerOptions::default() };
        let (clock, ids) = (Arc::clone(&self.world.clock), Arc::clone(&self.world.ids));
        let consumer = Consumer::new(
            self.world.bus(),
            RedisAgent::new(AgentOptions { cooldown: 5 * MINUTE, settle: 120 * MINUTE }),
            options,
            clock,
            ids,
        );
        let stop = self.agent.clone();
        tokio::spawn(async move { consumer.run(stop).await });
    }

    async fn experiment(&self, success: &[&str], failure: &[&str]) {
        let fields = [
            ("state", "measuring".to_owned()),
            ("mode", "simulation".to_owned()),
            ("success_criteria", json!(success).to_string()),
            ("failure_criteria", json!(failure).to_string()),
        ];
        self.change("experiments:exp_1", &fields.map(|(name, text)| (name, text))).await;
    }

    async fn change(&self, key: &str, fields: &[(&str, String)]) {
        let fields = fields.iter().map(|(name, text)| ((*name).to_owned(), Some(text.clone()))).collect();
        self.world.commit(vec![Op::Change { key: Key::new(key), expect: Expect::Any, fields, ttl: Ttl::Keep }]).await;
    }

    async fn raw(&self, body: &str) {
        self.say(body, Trust::Operator).await;
    }

    async fn say(&self, body: &str, trust: Trust) {
        let envelope = self.world.origin(trust).envelope("event", "control_room");
        self.world.say(Outgoing::new(ChannelName::Metrics, envelope, body.to_owned()).unwrap()).await;
    }

    /// Something happens so often, and is handled.
    async fn happen(&self, event: &str, count: u64) {
        self.raw(&json!({"event": event, "count": count, "experiment_id": EXP}).to_string()).await;
        self.settled().await;
    }

    async fn settled(&self) {
        self.world
            .until(async |world| {
                let groups = world.bus().inspect(ChannelName::Metrics).await.unwrap().groups;
                groups.len() == 1 && groups.iter().all(|group| group.pending == 0 && group.lag == Some(0))
            })
            .await;
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
        self.settled().await;
    }

    async fn read(&self, key: &str) -> Document {
        let state = self.world.bus().get(&Key::new(key)).await.unwrap();
        state.and_then(|state| state.document().cloned()).unwrap_or_default()
    }

    async fn sums(&self) -> Document {
        self.read("metrics_aggregated:exp_1").await
    }

    async fn told(&self) -> Vec<MetricAlert> {
        let entries = self.world.entries(ChannelName::ToOrchestrator).await;
        let alerts = entries.iter().filter_map(|entry| match ToOrchestrator::read(&entry.b).unwrap() {
            ToOrchestrator::MetricAlert(alert) => Some(alert),
            _ => None,
        });
        alerts.collect()
    }

    /// What was recommended, so far as it tells one from the other.
    async fn recommended(&self) -> Vec<String> {
        let told = self.told().await;
        told.iter().map(|alert| alert.recommendation.clone().unwrap_or_default().chars().take(5).collect()).collect()
    }

    /// Alerts that were raised and resolved.
    async fn alerts(&self) -> (usize, usize) {
        let entries = self.world.entries(ChannelName::Alerts).await;
        let alerts: Vec<Alerts> = entries.iter().map(|entry| Alerts::read(&entry.b).unwrap()).collect();
        let raised = alerts.iter().filter(|alert| matches!(alert, Alerts::Triggered(_))).count();
        (raised, alerts.len() - raised)
    }

    async fn outcome(&self) -> Outcome {
        serde_json::from_str(self.sums().await.get("verdict_json").unwrap()).unwrap()
    }
}

impl Drop for Story {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[tokio::test(start_paused = true)]
async fn what_happens_is_added_up_and_kept() {
    let story = Story::new();
    for body in [
        json!({"event": "run_started", "run_id": "r", "experiment_id": EXP}),
        json!({"event": "emails_sent", "count": 40, "variant": "a", "experiment_id": EXP}),
        json!({"event": "reply", "hours": 3.5, "text": "hello", "experiment_id": EXP}),
        json!({"event": "reply", "hours": 1, "experiment_id": "exp_2"}),
    ] {
        story.raw(&body.to_string()).await;
    }
    story.settled().await;
    let sums = story.sums().await;
    let of = |name: &str| sums.get(name).unwrap_or("nothing").to_owned();
    let names = ["events.email_sent", "events.email_sent@a", "events.reply", "events.run_started", "fields.hours.sum"];
    assert_eq!(names.map(of), ["40", "40", "1", "1", "3.5"]);
    assert!(of("last_updated").starts_with("2027-01-15T08:00:0"), "{}", of("last_updated"));
    let Some(State::List(events)) = story.world.bus().get(&Key::new("metrics:exp_1")).await.unwrap() else { panic!() };
    assert_eq!(events.len(), 3);
    assert!(events[2].contains(r#""text":"hello""#) && events[2].contains("received_at"), "{}", events[2]);
    assert_eq!(story.read("metrics_aggregated:exp_2").await.get("events.reply"), Some("1"));
    assert_eq!(story.alerts().await, (0, 0), "nothing is known of it, so nothing is said");
}

/// A line that is crossed is told at once, a kill only once chance does not explain it.
#[tokio::test(start_paused = true)]
async fn a_kill_is_recommended_when_the_evidence_says_so() {
    let story = Story::new();
    story.experiment(&["reply_rate >= 8%"], &["reply_rate < 5% after 100 sends"]).await;
    story.happen("email_sent", 60).await;
    assert_eq!(story.told().await, [], "too few to judge");
    assert_eq!(story.sums().await.get("verdict"), Some("undecided"));
    story.happen("reply", 4).await;
    story.happen("email_sent", 60).await;
    let told = story.told().await;
    let first = &told[0];
    assert_eq!((told.len(), first.direction, first.severity), (1, Some(Direction::Failure), Severity::Warning));
    assert!(first.recommendation.as_deref().unwrap().starts_with("watch, not enough evidence: 4 of 120"), "{first:?}");
    assert_eq!(story.read("experiments:exp_1").await.get("verdict"), Some("at_risk"));
    // More of the same: now it is no chance. What is told of it waits until the cooldown is over, and is not forgotten.
    story.happen("email_sent", 280).await;
    assert_eq!(story.told().await.len(), 1);
    assert_eq!(story.read("experiments:exp_1").await.get("verdict"), Some("failing"));
    story.pass(6 * MINUTE).await;
    let told = story.told().await;
    let kill = &told[1];
    assert_eq!((told.len(), kill.severity, kill.sample_size), (2, Severity::High, Some(400)));
    assert!(kill.confidence.unwrap() > 0.95, "{kill:?}");
    assert!(kill.recommendation.as_deref().unwrap().starts_with("kill: 4 of 400, 1.0 % ("), "{kill:?}");
    assert!(kill.recommendation.as_deref().unwrap().ends_with("fails: 99.9 % sure"), "{kill:?}");
    assert_eq!(kill.message.as_deref().unwrap().split(':').next(), Some("reply_rate of exp_1 is 1.0 %, below 5.0 %"));
    assert_eq!((kill.metric.as_deref(), kill.threshold), (Some("reply_rate"), Some(0.05)));
    // It stays so, and is not said again.
    story.happen("email_sent", 10).await;
    story.pass(60 * MINUTE).await;
    assert_eq!(story.told().await.len(), 2);
    assert_eq!(story.sums().await.get("reply_rate").map(|rate| &rate[..6]), Some("0.0097"));
}

/// Whoever was written to today may answer tomorrow.
#[tokio::test(start_paused = true)]
async fn no_kill_is_recommended_before_anybody_could_answer() {
    let story = Story::new();
    story.experiment(&[], &["reply_rate < 5% after 100 sends", "bounce_rate > 10%"]).await;
    story.change("experiments:exp_1", &[("mode", "live".to_owned())]).await;
    story.happen("email_sent", 400).await;
    let told = story.told().await;
    assert!(told[0].recommendation.as_deref().unwrap().starts_with("watch, not enough evidence: 0 of 400"), "{told:?}");
    assert!(told[0].recommendation.as_deref().unwrap().contains("400 too young to judge"), "{told:?}");
    // What bounced did so at once.
    story.happen("bounce", 90).await;
    assert_eq!(story.recommended().await, ["watch", "kill:"]);
    story.pass(120 * MINUTE).await;
    assert_eq!(story.recommended().await.len(), 2, "the hour in which they were sent is not over for so long");
    story.pass(61 * MINUTE).await;
    assert_eq!(story.recommended().await, ["watch", "kill:", "kill:"]);
    assert!(story.told().await[2].recommendation.as_deref().unwrap().contains("0 of 400, 0.0 % (0.0–"));
}

#[tokio::test(start_paused = true)]
async fn an_alert_fires_on_the_edge_and_is_armed_again_when_it_is_over() {
    let story = Story::new();
    story.experiment(&[], &["bounces / sends > 50%"]).await;
    story.happen("email_sent", 1).await;
    story.happen("bounce", 1).await;
    assert_eq!((story.alerts().await, story.recommended().await), ((1, 0), vec!["watch".to_owned()]));
    let alert_id = story.world.alerts().await[0].alert_id.clone();
    let alert = story.read(&format!("alerts:{alert_id}")).await;
    let of = |name: &str| alert.get(name).unwrap_or_default();
    assert_eq!(
        [of("state"), of("phase"), of("criterion"), of("count")],
        ["triggered", "firing", "bounces / sends > 50%", "1"]
    );
    story.happen("email_sent", 9).await;
    assert_eq!(story.alerts().await, (1, 1), "over");
    let alert = story.read(&format!("alerts:{alert_id}")).await;
    assert_eq!((alert.get("state"), alert.get("phase")), (Some("resolved"), Some("ok")));
    // True again within the cooldown: it is told when that is over, by a timer.
    story.happen("bounce", 9).await;
    assert_eq!(story.alerts().await, (1, 1));
    story.pass(6 * MINUTE).await;
    assert_eq!(story.alerts().await, (2, 1));
    let alert = story.read(&format!("alerts:{alert_id}")).await;
    assert_eq!((alert.get("state"), alert.get("resolution"), alert.get("count")), (Some("triggered"), None, Some("2")));
}

#[tokio::test(start_paused = true)]
async fn each_criterion_has_a_cooldown_of_its_own() {
    let story = Story::new();
    story.experiment(&["meetings_booked >= 1"], &["spam_complaints >= 1", "unsubscribes >= 1"]).await;
    for event in ["spam_complaint", "unsubscribe", "meeting_booked"] {
        story.happen(event, 1).await;
    }
    assert_eq!(story.recommended().await, ["look ", "look ", "reach"]);
    assert_eq!(story.outcome().await.verdict.as_str(), "failing");
}

#[tokio::test(start_paused = true)]
async fn a_restart_forgets_nothing() {
    let mut story = Story::new();
    story.experiment(&[], &["spam_complaints >= 1", "bounces > 0 for 1h"]).await;
    story.happen("spam_complaint", 1).await;
    story.happen("bounce", 1).await;
    assert_eq!(story.told().await.len(), 1);
    story.agent.cancel();
    tokio::time::sleep(30 * MINUTE).await;
    story.start();
    story.happen("spam_complaint", 1).await;
    assert_eq!(story.told().await.len(), 1, "that was told before");
    assert_eq!(story.sums().await.get("events.spam_complaint"), Some("2"));
    story.pass(31 * MINUTE).await;
    assert_eq!(story.told().await.len(), 2, "it has held for an hour, that before the restart included");
}

#[tokio::test(start_paused = true)]
async fn time_alone_may_fulfil_a_criterion() {
    let story = Story::new();
    story.experiment(&["replies >= 3 within 2h"], &["meetings_booked == 0 after 3h", "replies < 2 for 1h"]).await;
    story.raw(&json!({"event": "run_started", "run_id": "r", "experiment_id": EXP}).to_string()).await;
    story.happen("reply", 1).await;
    story.pass(59 * MINUTE).await;
    assert_eq!(story.told().await.len(), 0);
    story.pass(2 * MINUTE).await;
    assert_eq!(story.told().await.last().unwrap().criterion.as_deref(), Some("replies < 2 for 1h"));
    story.pass(60 * MINUTE).await;
    let judged = &story.outcome().await.criteria[0];
    assert_eq!((judged.holds, judged.why.as_deref()), (Some(false), None), "its time is over");
    story.happen("reply", 5).await;
    assert_eq!(story.outcome().await.criteria[0].holds, Some(false), "what comes later does not count");
    story.pass(61 * MINUTE).await;
    assert_eq!(story.told().await.last().unwrap().criterion.as_deref(), Some("meetings_booked == 0 after 3h"));
    assert_eq!(story.world.bus().next_timer().await.unwrap(), None, "nothing more is to come");
}

#[tokio::test(start_paused = true)]
async fn what_is_archived_raises_no_alert() {
    let story = Story::new();
    story.experiment(&[], &["spam_complaints >= 1", "bounces > 0 for 1h"]).await;
    story.happen("bounce", 1).await;
    story.change("experiments:exp_1", &[("state", "archived".to_owned())]).await;
    story.happen("spam_complaint", 1).await;
    story.raw(&json!({"event": "error", "message": "oh", "experiment_id": EXP}).to_string()).await;
    story.pass(120 * MINUTE).await;
    assert_eq!((story.told().await.len(), story.alerts().await), (0, (0, 0)));
    assert_eq!(story.sums().await.get("events.spam_complaint"), Some("1"), "it is counted all the same");
    // Whoever takes the kill back is told how it stands.
    story.change("experiments:exp_1", &[("state", "ready".to_owned())]).await;
    story.happen("email_sent", 1).await;
    assert_eq!(story.told().await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_error_is_told_at_once_and_a_flood_of_them_once() {
    let story = Story::new();
    story.experiment(&[], &[]).await;
    for n in 0..50 {
        let body = json!({"event": "error", "message": "no answer\u{1b}[2J", "error_type": "ToolTimeoutError", "run_id": n.to_string(), "experiment_id": EXP});
        story.raw(&body.to_string()).await;
    }
    story
        .raw(
            &json!({"event": "error", "message": "other", "error_type": "ToolError", "experiment_id": EXP}).to_string(),
        )
        .await;
    story.settled().await;
    let told = story.told().await;
    let words: Vec<&str> = told.iter().map(|alert| alert.message.as_deref().unwrap()).collect();
    assert_eq!(
        words,
        ["a run of exp_1 failed (ToolTimeoutError): no answer", "a run of exp_1 failed (ToolError): other"]
    );
    assert_eq!(story.sums().await.get("events.error"), Some("51"));
    story.pass(6 * MINUTE).await;
    story
        .raw(
            &json!({"event": "error", "message": "again", "error_type": "ToolError", "experiment_id": EXP}).to_string(),
        )
        .await;
    story.settled().await;
    assert_eq!(story.told().await.len(), 3);
}

/// What cannot be counted is put to the dead letters with the reason, and what came with it is counted.
#[tokio::test(start_paused = true)]
async fn bad_numbers_are_refused_aloud_and_stop_nothing() {
    let story = Story::new();
    for body in [
        r#"{"event":"reply","experiment_id":"exp_1"}"#,
        r#"{"event":"reply","count":-3,"experiment_id":"exp_1"}"#,
        r#"{"event":"reply","count":1e999,"experiment_id":"exp_1"}"#,
        r#"{"event":"reply","count":NaN,"experiment_id":"exp_1"}"#,
        r#"{"event":"reply","hours":1e300,"experiment_id":"exp_1"}"#,
        r#"{"event":"reply"}"#,
        r#"{"event":"reply","experiment_id":"  "}"#,
        r#"{"event":"reply","experiment_id":"a b"}"#,
        r#"{"event":"","experiment_id":"exp_1"}"#,
        r#"{"event":"reply","experiment_id":"exp_1"}"#,
    ] {
        story.raw(body).await;
    }
    story.settled().await;
    assert_eq!(story.sums().await.get("events.reply"), Some("2"));
    let letters = story.world.entries(ChannelName::DeadLetter).await;
    let reasons: Vec<String> = letters.iter().map(|entry| letters::read(entry).unwrap().reason).collect();
    assert_eq!(reasons.len(), 8, "{reasons:#?}");
    for part in ["`-3` is no number of events", "`hours` is", "experiment_id", "has a space", "no name of an event"] {
        assert!(reasons.iter().any(|reason| reason.contains(part)), "{part}: {reasons:#?}");
    }
}

/// Documents that other programs wrote, as in the founding designs' own probes.
#[tokio::test(start_paused = true)]
async fn experiments_of_other_programs_are_judged_too() {
    let story = Story::new();
    let spec = json!({"experiment": {"failure_criteria": ["my_rate > 10%"], "metrics": [
        {"name": "my_rate", "type": "percentage", "calculation": "bounces / emails_sent"}
    ]}});
    story.change("experiments:exp_1", &[("status", "active".to_owned()), ("spec_json", spec.to_string())]).await;
    story.happen("email_sent", 100).await;
    story.happen("email_bounced", 40).await;
    let told = story.told().await;
    assert_eq!((told.len(), told[0].value), (1, Some(0.4)));
    assert!(told[0].recommendation.as_deref().unwrap().starts_with("kill: 40 of 100"), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn how_things_stand_is_said_every_hour_once() {
    let story = Story::new();
    let (clock, ids) = (Arc::clone(&story.world.clock), Arc::clone(&story.world.ids));
    for _ in 0..2 {
        let bus = story.world.bus();
        let summaries = Summaries {
            bus: Arc::clone(&bus),
            clock: Arc::clone(&clock),
            ids: Arc::clone(&ids),
            interval: 60 * MINUTE,
        };
        let (clock, ids, stop) = (Arc::clone(&clock), Arc::clone(&ids), story.stop.clone());
        tokio::spawn(async move { hold(&summaries, &bus, &clock, &ids, stop).await });
    }
    let said = async || {
        let entries = story.world.entries(ChannelName::ToOrchestrator).await;
        let all = entries.iter().filter_map(|entry| match ToOrchestrator::read(&entry.b).unwrap() {
            ToOrchestrator::PeriodicSummary(summary) => Some(summary),
            _ => None,
        });
        all.collect::<Vec<_>>()
    };
    tokio::time::sleep(61 * MINUTE).await;
    assert_eq!(said().await, [], "there is no experiment");
    story.experiment(&["meetings_booked >= 1"], &["spam_complaints >= 1"]).await;
    story.change("experiments:exp_2", &[("state", "archived".to_owned())]).await;
    story.happen("meeting_booked", 1).await;
    tokio::time::sleep(60 * MINUTE).await;
    let all = said().await;
    assert_eq!((all.len(), all[0].experiment_count), (1, Some(1)));
    assert_eq!(
        all[0].summary,
        "1 experiment under way: 1 succeeded. exp_1 (measuring): succeeded, meetings_booked >= 1: 1, reached."
    );
    tokio::time::sleep(121 * MINUTE).await;
    assert_eq!(said().await.len(), 3);
}

/// A clock that was set back neither silences an alert nor makes it last.
#[test]
fn a_clock_set_back_is_no_reason_to_be_silent() {
    use super::watch::{Look, Watched};
    use crate::contracts::envelope::read_time;
    use crate::experiments::judgement::{Plan, Values};
    use crate::experiments::numbers::Numbers;

    let fields = [("failure_criteria".to_owned(), r#"["spam_complaints >= 1 for 1h"]"#.to_owned())].into();
    let plan = Plan::read(&Document { version: 1, fields }, None);
    let counted = |n: u64| {
        let mut numbers = Numbers::default();
        let body = json!({"event": "spam_complaint", "count": n, "experiment_id": EXP});
        let happened = Happened::of(&Metrics::read(&body.to_string()).unwrap()).unwrap();
        numbers.add(&happened, read_time("2026-03-01T12:00:00Z").unwrap()).unwrap();
        numbers
    };
    let mut watched = Watched::default();
    let mut look = |n: u64, now: &str| {
        let numbers = counted(n);
        let values = Values::of(&numbers, &plan, None);
        let (now, began_at) = (read_time(now).unwrap(), numbers.began_at());
        let look = Look { now, began_at, cooldown: 5 * MINUTE, restored_at: None, total: numbers.total() };
        let seen = watched.look(&plan.criteria[0], &plan, &values, &values, look);
        (seen.alert, seen.again_at.map(crate::contracts::envelope::rfc3339))
    };
    assert_eq!(look(1, "2026-03-01T12:00:00Z"), (false, Some("2026-03-01T13:00:00.000Z".to_owned())));
    // A day back: it holds since now.
    assert_eq!(look(1, "2026-02-28T12:00:00Z"), (false, Some("2026-02-28T13:00:00.000Z".to_owned())));
    assert_eq!(look(1, "2026-03-01T13:00:00Z"), (true, None));
    assert_eq!(look(0, "2026-03-01T13:01:00Z"), (false, None));
    // The alert was sent tomorrow, as this clock has it.
    assert!(!look(1, "2026-02-28T12:00:00Z").0);
    assert!(look(1, "2026-02-28T13:00:00Z").0);
}
