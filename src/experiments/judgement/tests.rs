use super::*;
use crate::contracts::Body;
use crate::contracts::envelope::read_time;
use crate::contracts::messages::Metrics;
use crate::experiments::numbers::Happened;
use pretty_assertions::assert_eq;
use serde_json::json;

fn numbers(events: &[(&str, u64, Option<&str>)]) -> Numbers {
    let mut numbers = Numbers::default();
    for (event, count, variant) in events {
        let mut body = json!({"event": event, "count": count, "experiment_id": "e"});
        if let Some(variant) = variant {
            body["variant"] = (*variant).into();
        }
        let happened = Happened::of(&Metrics::read(&body.to_string()).unwrap()).unwrap();
        numbers.add(&happened, read_time("2026-03-01").unwrap()).unwrap();
    }
    numbers
}

fn plan(success: &[&str], failure: &[&str]) -> Plan {
    let document = [("success_criteria", json!(success)), ("failure_criteria", json!(failure))];
    let fields = document.map(|(name, value)| (name.to_owned(), value.to_string())).into();
    Plan::read(&Document { version: 1, fields }, None)
}

fn judged(plan: &Plan, numbers: &Numbers) -> Vec<Judged> {
    let values = Values::of(numbers, &plan.definitions, None);
    plan.criteria.iter().map(|planned| judge(planned, plan, &values, &values, &Moment::default())).collect()
}

fn told(plan: &Plan, numbers: &Numbers) -> (Standing, Vec<String>) {
    let judged = judged(plan, numbers);
    (standing(&judged), judged.iter().map(Judged::words).collect())
}

#[test]
fn a_share_says_how_sure_it_is() {
    let plan = plan(&["reply_rate >= 8%"], &["reply_rate < 5% after 100 sends"]);
    let (standing, words) = told(&plan, &numbers(&[("email_sent", 60, None)]));
    assert_eq!(standing, Standing::Undecided, "too few for the criterion");
    assert_eq!(words[1], "unknown: 60 of 100 sends (0 of 60, 0.0 % (0.0–8.9 %))");
    let (standing, words) = told(&plan, &numbers(&[("email_sent", 120, None), ("reply", 4, None)]));
    assert_eq!(standing, Standing::AtRisk);
    assert!(words[1].starts_with("4 of 120, 3.3 % (") && words[1].ends_with("undecided"), "{}", words[1]);
    let (standing, words) = told(&plan, &numbers(&[("email_sent", 400, None), ("reply", 4, None)]));
    assert_eq!(standing, Standing::Failing);
    assert!(words[1].ends_with(", fails: 99.9 % sure"), "{}", words[1]);
    assert!(words[0].contains("does not work: 99.9 % sure"), "{}", words[0]);
    let (standing, words) = told(&plan, &numbers(&[("email_sent", 400, None), ("reply", 60, None)]));
    assert_eq!(standing, Standing::Succeeded);
    assert!(words[0].starts_with("60 of 400, 15.0 % (") && words[0].ends_with("works: 99.9 % sure"), "{}", words[0]);
    assert!(words[1].contains("does not fail"), "{}", words[1]);
}

#[test]
fn a_count_is_a_fact_and_what_is_missing_unknown() {
    let plan = plan(&["meetings_booked >= 2", "spend < 100"], &["spam_complaints > 2", "make it good"]);
    let (standing, words) =
        told(&plan, &numbers(&[("email_sent", 10, None), ("spam_complaint", 3, None), ("meeting_booked", 2, None)]));
    assert_eq!(standing, Standing::Failing);
    assert_eq!(
        words,
        [
            "2, reached",
            "unknown: no `spend` was measured",
            "3, fails",
            "unknown: it is prose, which cannot be measured",
        ]
    );
}

#[test]
fn variants_are_compared_by_the_first_share() {
    let plan = plan(&["meetings_booked >= 2", "reply_rate > 5%"], &["bounce_rate > 10%"]);
    let of = |a: u64, b: u64| {
        numbers(&[
            ("email_sent", 200, Some("a")),
            ("email_sent", 200, Some("b")),
            ("reply", a, Some("a")),
            ("reply", b, Some("b")),
        ])
    };
    let found = variants(&plan, &of(8, 40)).unwrap();
    assert!(
        found.words().starts_with("reply_rate: b 20.0 % (40 of 200), a 4.0 % (8 of 200): b is better: 99"),
        "{}",
        found.words()
    );
    let found = variants(&plan, &of(8, 9)).unwrap();
    assert_eq!(found.words(), "reply_rate: b 4.5 % (9 of 200), a 4.0 % (8 of 200): undecided: b is better, 0 % sure");
    assert_eq!(variants(&plan, &numbers(&[("email_sent", 200, Some("a"))])), None);
}

#[test]
fn documents_of_any_form_are_read() {
    let spec = json!({"experiment": {"success_criteria": ["a > 1"], "metrics": [
        {"name": "a", "type": "counter"}, "b_rate", {"name": "c", "calculation": "a / b"}, {"nonsense": 1}, 7
    ]}});
    let document = Document {
        version: 0,
        fields: [
            ("spec_json".to_owned(), spec.to_string()),
            ("failure_criteria".to_owned(), r#"[{"criterion":"c > 5%"}, 3, "\u001b[2J"]"#.to_owned()),
        ]
        .into(),
    };
    let plan = Plan::read(&document, None);
    let texts: Vec<&str> = plan.criteria.iter().map(|planned| planned.text.as_str()).collect();
    assert_eq!(texts, ["a > 1", "c > 5%"]);
    assert_eq!(plan.definitions.formula("c"), Formula::parse("a / b").ok());
    assert_eq!(Plan::read(&Document::default(), None), Plan::default());
    let beside =
        Document { version: 1, fields: [("metrics".to_owned(), r#"[{"name":"x","formula":"a"}]"#.to_owned())].into() };
    assert!(Plan::read(&Document::default(), Some(&beside)).definitions.formula("x").is_some());
}

#[test]
fn sureness_is_never_rounded_up() {
    assert_eq!([0.0, 0.979, 0.989_9, 0.999_9, 1.0].map(sure), ["0 %", "97 %", "98 %", "99.9 %", "100.0 %"]);
}
