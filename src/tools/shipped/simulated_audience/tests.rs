use pretty_assertions::assert_eq;
use serde_json::json;

use super::super::testing::Run;
use crate::experiments::spec::Mode;

#[tokio::test]
async fn it_is_called_a_simulation_wherever_it_is_seen() {
    let ran = Run::of("simulated_audience", json!({ "size": 50, "seed": 7 })).mode(Mode::Simulation).go().await;
    assert!(ran.metrics().iter().all(|event| event["simulation"] == json!(true)));
    assert_eq!(ran.result()["simulation"], json!(true));
    let rows = ran.result()["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 50);
    for row in rows {
        assert_eq!(row["simulation"], json!(true));
        assert!(row["email"].as_str().unwrap().ends_with(".invalid"), "{row}");
    }
    assert!(ran.logs()[0].contains("simulation"), "{:?}", ran.logs());
}

#[tokio::test]
async fn it_is_no_part_of_a_live_experiment() {
    let ran = Run::of("simulated_audience", json!({})).mode(Mode::Live).go().await;
    assert_eq!(ran.error().0, "invalid_params");
    assert!(ran.metrics().is_empty());
}

#[tokio::test]
async fn the_same_seed_gives_the_same_and_another_gives_another() {
    let run = |params| Run::of("simulated_audience", params).mode(Mode::Simulation).go();
    let first = run(json!({ "size": 100, "seed": 1 })).await;
    assert_eq!(first.text, run(json!({ "size": 100, "seed": 1 })).await.text);
    assert_ne!(first.text, run(json!({ "size": 100, "seed": 2 })).await.text);
    // The same run, started again.
    assert_eq!(run(json!({ "size": 100 })).await.text, run(json!({ "size": 100 })).await.text);
}

#[tokio::test]
async fn rates_are_those_that_were_asked_for() {
    let rates = json!({ "bounce": 0.1, "open": 0.5, "reply": 0.2, "positive": 0.5, "meeting": 0.5, "unsubscribe": 0.05, "spam": 0.01 });
    let ran = Run::of("simulated_audience", json!({ "size": 4000, "seed": 3, "rates": rates }))
        .mode(Mode::Simulation)
        .go()
        .await;
    let count = |event: &str| f64::from(u32::try_from(ran.events(event)).unwrap());
    let delivered = count("email_delivered");
    assert_eq!((count("email_sent"), delivered + count("email_bounced")), (4000.0, 4000.0));
    // Four standard deviations are never exceeded by chance; and chance is seeded here.
    for (event, of, rate) in [
        ("email_bounced", 4000.0, 0.1),
        ("email_opened", delivered, 0.2 + 0.8 * 0.5),
        ("reply", delivered, 0.2),
        ("positive_reply", count("reply"), 0.5),
        ("meeting_booked", count("positive_reply"), 0.5),
        ("unsubscribe", delivered, 0.05),
        ("spam_complaint", delivered, 0.01),
    ] {
        let (expected, deviation) = (of * rate, (of * rate * (1.0 - rate)).sqrt());
        assert!((count(event) - expected).abs() < 4.0 * deviation, "{event}: {} of {of}, {rate}", count(event));
    }
    assert_eq!(ran.result()["campaign_stats"]["reply"], json!(ran.events("reply")));
    let ids: std::collections::BTreeSet<_> = ran.metrics().iter().map(|event| event["id"].to_string()).collect();
    assert_eq!(ids.len(), ran.metrics().len(), "each event has an id of its own");
}

#[tokio::test]
async fn segments_and_variants_differ_as_they_were_told_to() {
    let params = json!({
        "size": 3000, "seed": 5, "rates": { "reply": 0.1 },
        "segments": [
            { "name": "warm", "share": 3, "times": { "reply": 3 }, "fields": { "country": "DE" } }, { "name": "cold" }
        ],
        "variants": [{ "name": "plain" }, { "name": "bold", "times": { "reply": 0 } }],
    });
    let ran = Run::of("simulated_audience", params).mode(Mode::Simulation).go().await;
    let rows = ran.result()["rows"].as_array().unwrap();
    assert!(rows.iter().all(|row| (row["segment"] == json!("warm")) == (row["country"] == json!("DE"))));
    let replies: Vec<_> = ran.metrics().into_iter().filter(|event| event["event"] == json!("reply")).collect();
    assert!(replies.iter().all(|event| event["variant"] == json!("plain")));
    let of = |segment: &str| replies.iter().filter(|event| event["segment"] == json!(segment)).count();
    assert!(of("warm") > 5 * of("cold"), "{} and {}", of("warm"), of("cold"));
}

#[tokio::test(start_paused = true)]
async fn days_take_as_long_as_they_are_told_to() {
    let start = tokio::time::Instant::now();
    let params = json!({ "size": 300, "seed": 5, "seconds_per_day": 2 });
    Run::of("simulated_audience", params).mode(Mode::Simulation).go().await;
    let took = start.elapsed().as_secs_f64();
    assert!((2.0..=20.1).contains(&took), "{took}");
}

#[tokio::test]
async fn recipients_of_a_list_answer() {
    let recipients: Vec<_> =
        (0..200).map(|n| json!({ "email": format!("p{n}@one.invalid"), "variant": "b" })).collect();
    let params = json!({ "part": "answers", "recipients": recipients, "variants": [{ "name": "a" }, { "name": "b" }] });
    let ran = Run::of("simulated_audience", params).mode(Mode::Simulation).go().await;
    assert_eq!(ran.events("email_sent"), 200);
    assert!(ran.events("email_delivered") > 150);
    assert!(ran.metrics().iter().all(|event| event["variant"] == json!("b")));
}
