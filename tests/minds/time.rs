//! Slow models: nobody waits for another's thought, a thought that takes too long is said aloud and kept, money that is not there is asked
//! for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use fullsend::config::{Budgets, Limits, OnExceeded};
use fullsend::contracts::{ChannelName, Trust};
use fullsend::services::orchestrator::record::Stage;
use pretty_assertions::assert_eq;
use serde_json::Value;
use tokio::sync::Notify;

use crate::http_server::{HttpServer, Step};
use crate::protocol::Protocol;
use crate::team::{DECISION, IDEA, Team, deciding, everybody};

const PROTOCOL: Protocol = Protocol::Anthropic;

/// An answer that begins when it is let.
fn when(go_on: &Arc<Notify>, answer: &str) -> Vec<Step> {
    let mut steps = vec![Step::Wait(Arc::clone(go_on))];
    steps.extend(PROTOCOL.answer(answer));
    steps
}

#[tokio::test]
async fn a_slow_thought_keeps_nobody_else_waiting() {
    let go_on = Arc::new(Notify::new());
    let server = HttpServer::start(vec![when(&go_on, DECISION), PROTOCOL.answer(DECISION)]).await;
    let team = Team::of(deciding(PROTOCOL, &server.url())).await;
    let slow = team.chat(Trust::Member, IDEA).await;
    server.wait_until_asked(1).await;
    let quick = team.chat(Trust::Member, "Could we sponsor the newsletter of Rust developers?").await;
    team.answers(&quick, 1).await;
    let status = team.chat(Trust::Member, "/status").await;
    team.until("the status", async || !team.said(ChannelName::FromOrchestrator, &status).await.is_empty()).await;
    assert_eq!(team.said(ChannelName::FromOrchestrator, &slow).await, Vec::<Value>::new(), "it still thinks");
    go_on.notify_one();
    team.answers(&slow, 1).await;
    assert_eq!(team.decisions(&slow).await[0].provider, "anthropic");
    team.end().await;
}

#[tokio::test]
async fn a_thought_that_takes_too_long_is_said_once_kept_and_decided_in_the_end() {
    let server = HttpServer::start(vec![vec![Step::Silence]]).await;
    let mut config = deciding(PROTOCOL, &server.url());
    config.thinking_timeout = Duration::from_millis(300);
    let team = Team::of(config).await;
    let asked = team.chat(Trust::Member, IDEA).await;
    let said = team.answers(&asked, 1).await;
    assert_eq!(said[0]["content"], "I'm still thinking about this. Will update soon.");
    for (tries, wait) in [(2, 31), (3, 61)] {
        let record = team.decisions(&asked).await.remove(0);
        assert_eq!((record.stage, record.tries), (Stage::Open, tries - 1), "{record:?}");
        assert!(record.reasoning.contains("no answer after 300ms"), "{}", record.reasoning);
        team.clock.jump(TimeDelta::seconds(wait));
        team.until("another try", async || team.decisions(&asked).await[0].tries != tries - 1).await;
    }
    let said = team.answers(&asked, 2).await;
    assert_eq!(said.len(), 2, "once that it takes long, once the answer: {said:?}");
    assert!(said[1]["content"].as_str().unwrap().starts_with("I want to test this: "), "{said:?}");
    let records = team.decisions(&asked).await;
    assert_eq!((records.len(), records[0].provider.as_str(), records[0].stage), (1, "rules", Stage::Proposed));
    let flags = records[0].flags.join("; ");
    assert!(flags.contains("no model answered in 3 tries: no answer after 300ms"), "{flags}");
    assert_eq!(server.asked().len(), 3);
    team.is_sound("too long").await;
}

/// One call is allowed, and no other.
fn one_call(on_exceeded: OnExceeded) -> Budgets {
    Budgets { day: Limits { calls: Some(1), ..Limits::NONE }, on_exceeded, ..Budgets::default() }
}

#[tokio::test]
async fn without_budget_the_rules_decide_and_one_alert_is_raised() {
    let server = HttpServer::start(vec![PROTOCOL.answer(DECISION)]).await;
    let team = Team::with(deciding(PROTOCOL, &server.url()), one_call(OnExceeded::Rules)).await;
    for (idea, by) in [
        (IDEA, "anthropic"),
        ("Could we sponsor a meetup of SREs?", "rules"),
        ("What if we mailed CTOs of banks?", "rules"),
    ] {
        let asked = team.chat(Trust::Member, idea).await;
        team.answers(&asked, 1).await;
        let record = team.decisions(&asked).await.remove(0);
        assert_eq!(record.provider, by, "{idea}: {:?}", record.flags);
        assert_eq!(record.flags.join("; ").contains("the budget `day` does not allow it"), by == "rules");
    }
    assert_eq!(server.asked().len(), 1);
    let alerts = team.all(ChannelName::Alerts).await;
    let about: Vec<_> = alerts.iter().map(|alert| alert["severity"].as_str().unwrap()).collect();
    assert_eq!(about, ["warning", "high"], "that it is nearly used up, and that it is: {alerts:?}");
}

#[tokio::test]
async fn where_the_settings_ask_for_money_a_message_waits_for_it() {
    let server = HttpServer::start(vec![PROTOCOL.answer(DECISION)]).await;
    let team = Team::with(deciding(PROTOCOL, &server.url()), one_call(OnExceeded::Ask)).await;
    let first = team.chat(Trust::Member, IDEA).await;
    team.answers(&first, 1).await;
    let asked = team.chat(Trust::Member, "Could we sponsor a meetup of SREs?").await;
    let said = team.answers(&asked, 1).await;
    assert!(
        said[0]["content"].as_str().unwrap().starts_with("The budget does not let me think about this now."),
        "{said:?}"
    );
    // More often than a thought that takes too long.
    for tries in 1..5 {
        assert_eq!(team.decisions(&asked).await[0].stage, Stage::Open);
        team.clock.jump(TimeDelta::seconds(30 * 2_i64.pow(tries) + 1));
        team.until("another try", async || team.decisions(&asked).await[0].tries == tries + 1).await;
    }
    // The next day begins.
    team.clock.jump(TimeDelta::days(1));
    team.until("a decision", async || team.decisions(&asked).await[0].stage == Stage::Proposed).await;
    assert_eq!(team.decisions(&asked).await[0].provider, "anthropic");
    assert_eq!(server.asked().len(), 2);
}

#[tokio::test]
async fn with_a_model_of_one_second_a_message_is_answered_within_two() {
    let escalates = r#"{"action":"escalate","reason":"an idea","priority":"high","suggested_response":null}"#;
    let greets = r#"{"action":"answer","reason":"a greeting","priority":"low","suggested_response":"Hello! What are we testing today?"}"#;
    for (content, answer, channel) in
        [(IDEA, escalates, ChannelName::ToOrchestrator), ("hello there", greets, ChannelName::FromOrchestrator)]
    {
        let go_on = Arc::new(Notify::new());
        let server = HttpServer::start(vec![when(&go_on, answer)]).await;
        let mut config = everybody(PROTOCOL, &server.url());
        config.decide = deciding(PROTOCOL, &server.url()).classify;
        let team = Team::of(config).await;
        let began = Instant::now();
        let asked = team.chat(Trust::Member, content).await;
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            go_on.notify_one();
        });
        team.until("what the watcher says", async || !team.said(channel, &asked).await.is_empty()).await;
        let took = began.elapsed();
        assert!((Duration::from_secs(1)..Duration::from_secs(2)).contains(&took), "{content}: {took:?}");
        assert_eq!(server.asked().len(), 1, "one call is enough: {content}");
    }
}

#[tokio::test]
async fn a_suggested_answer_with_numbers_or_about_the_status_is_not_said() {
    let invents =
        r#"{"action":"answer","reason":"status","priority":"low","suggested_response":"All is well, dozens run."}"#;
    let server = HttpServer::start(vec![PROTOCOL.answer(invents)]).await;
    let team = Team::of(everybody(PROTOCOL, &server.url())).await;
    let asked = team.chat(Trust::Member, "how many experiments are running?").await;
    team.until("an answer", async || !team.said(ChannelName::FromOrchestrator, &asked).await.is_empty()).await;
    let said = team.said(ChannelName::FromOrchestrator, &asked).await.remove(0);
    let content = said["content"].as_str().unwrap();
    assert!(content.contains("There are 0 experiments, 0 running now") && !content.contains("dozens"), "{content}");
}
