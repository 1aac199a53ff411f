use super::*;
use crate::bus::Document;
use crate::contracts::Body;
use crate::contracts::envelope::read_time;
use crate::contracts::messages::Metrics;
use crate::experiments::criteria::Formula;
use crate::experiments::numbers::Happened;
use pretty_assertions::assert_eq;
use rstest::rstest;
use serde_json::json;
use std::time::Duration;

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

fn judged_at(plan: &Plan, numbers: &Numbers, moment: &Moment) -> Vec<Judged> {
    let values = Values::of(numbers, plan, None);
    plan.criteria.iter().map(|planned| judge(planned, plan, &values, &values, moment)).collect()
}

fn judged(plan: &Plan, numbers: &Numbers) -> Vec<Judged> {
    judged_at(plan, numbers, &Moment::default())
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
    let found = variants(&plan, &of(8, 40), None).unwrap();
    assert!(
        found.words().starts_with("reply_rate: b 20.0 % (40 of 200), a 4.0 % (8 of 200): b is better: 99"),
        "{}",
        found.words()
    );
    let found = variants(&plan, &of(8, 9), None).unwrap();
    assert_eq!(found.words(), "reply_rate: b 4.5 % (9 of 200), a 4.0 % (8 of 200): undecided: b is better, 0 % sure");
    assert_eq!(variants(&plan, &numbers(&[("email_sent", 200, Some("a"))]), None), None);
}

/// What is not judged by chance is no proof, and nobody is killed by it.
#[rstest]
#[case("reply_rate < 5% and emails_sent > 80", &[("email_sent", 81), ("reply", 3)])]
#[case("reply_rate < 5% or hours.avg > 3", &[("email_sent", 81), ("reply", 3)])]
#[case("open_rate > 25%", &[("email_sent", 20), ("email_opened", 30)])]
#[case("open_rate > reply_rate", &[("email_sent", 100), ("email_opened", 30)])]
#[case("reply_rate == 0", &[("email_sent", 400)])]
#[case("reply_rate <= 0%", &[("email_sent", 400)])]
#[case("replies < 3", &[("email_sent", 400)])]
#[case("bounces > replies", &[("email_sent", 400), ("email_bounced", 1)])]
fn what_nothing_proves_is_not_proven(#[case] text: &str, #[case] events: &[(&str, u64)]) {
    let plan = plan(&[], &[text]);
    let events: Vec<_> = events.iter().map(|(event, count)| (*event, *count, None)).collect();
    let (standing, words) = told(&plan, &numbers(&events));
    assert_eq!(standing, Standing::AtRisk, "{words:?}");
}

#[rstest]
#[case("reply_rate < 5% and emails_sent > 80", &[("email_sent", 400), ("reply", 4)], Some(400))]
#[case("emails_sent > 80 and replies / emails_sent * 100 < 5", &[("email_sent", 400), ("reply", 4)], Some(400))]
#[case("reply_rate < 5% or bounce_rate > 10%", &[("email_sent", 400), ("reply", 4)], Some(400))]
#[case("replies.rate < 5%", &[("email_sent", 400), ("reply", 4)], Some(400))]
#[case("spam_complaints >= 2 or bounces > 90", &[("email_sent", 40), ("spam_complaint", 2)], None)]
#[case("spam_complaints >= 2", &[("spam_complaint", 2)], None)]
fn facts_and_evidence_prove_also_together(#[case] text: &str, #[case] events: &[(&str, u64)], #[case] of: Option<u64>) {
    let plan = plan(&[], &[text]);
    let events: Vec<_> = events.iter().map(|(event, count)| (*event, *count, None)).collect();
    let judged = judged(&plan, &numbers(&events));
    assert_eq!((standing(&judged), judged[0].proven), (Standing::Failing, true), "{judged:?}");
    assert_eq!(judged[0].evidence.as_ref().map(|evidence| evidence.n), of);
}

/// Too few is a fact when it is time, and not before.
#[test]
fn a_count_below_its_line_is_proven_when_it_is_time() {
    let plan = plan(&[], &["replies < 3 after 14d"]);
    let two = numbers(&[("email_sent", 40, None), ("reply", 2, None)]);
    let at = |days: u64| Moment { age: Some(Duration::from_hours(24 * days)), ..Moment::default() };
    assert_eq!(judged_at(&plan, &two, &at(13))[0].holds, None);
    let judged = &judged_at(&plan, &two, &at(14))[0];
    assert_eq!((judged.holds, judged.proven), (Some(true), true));
}

/// A plan that is known: what none of its steps says is unknown, and not zero.
#[test]
fn what_nobody_says_is_unknown() {
    let spec = json!({
        "id": "exp_20260301_a", "hypothesis": "h", "target": { "description": "people" },
        "execution": { "steps": [{ "id": "list", "tool": "csv_leads" }] }, "metrics": [], "success_criteria": [],
        "failure_criteria": ["open_rate < 25%", "meetings_booked == 0 after 1d", "reply_rate < 5%"],
        "outreach": { "channel": "email", "sender": "a@b.example", "template": "Hi" },
        "measuring": { "window": "9d" },
    });
    let read = |mode: &str| {
        let fields = [("spec_json".to_owned(), spec.to_string()), ("mode".to_owned(), mode.to_owned())].into();
        Plan::read(&Document { version: 1, fields }, None)
    };
    let live = read("live");
    assert_eq!(live.window, Some(Duration::from_hours(9 * 24)));
    let moment = Moment { age: Some(Duration::from_hours(48)), ..Moment::default() };
    let of = |plan: &Plan, events: &[(&str, u64, Option<&str>)]| -> Vec<Option<bool>> {
        judged_at(plan, &numbers(events), &moment).into_iter().map(|judged| judged.holds).collect()
    };
    let sent = ("email_sent", 400, None);
    assert_eq!(of(&live, &[sent]), [None, None, Some(true)]);
    assert!(judged_at(&live, &numbers(&[sent]), &moment)[0].words().contains("nothing in it says `emails_opened`"));
    // Once somebody says it, if only that there was none, it is known.
    assert_eq!(of(&live, &[sent, ("meeting_booked", 0, None)]), [None, Some(true), Some(true)]);
    // Whoever hears that mail was delivered hears that it was opened.
    assert_eq!(of(&live, &[sent, ("email_delivered", 390, None)]), [Some(true), None, Some(true)]);
    // A dry run hears of nobody.
    assert_eq!(of(&read("dry_run"), &[sent]), [None, None, None]);
    // Of a tool that is not ours nobody knows what it says.
    let own = spec.to_string().replace("csv_leads", "our_own");
    let plan = Plan::read(&Document { version: 1, fields: [("spec_json".to_owned(), own)].into() }, None);
    assert_eq!(of(&plan, &[sent]), [Some(true), Some(true), Some(true)]);
}

/// Of what is to be avoided the variant is the best that has the least of it.
#[test]
fn variants_are_compared_in_the_direction_of_the_criterion() {
    let of = |plan: &Plan| {
        let numbers = numbers(&[
            ("email_sent", 200, Some("a")),
            ("email_sent", 200, Some("b")),
            ("email_bounced", 2, Some("a")),
            ("email_bounced", 60, Some("b")),
            ("reply", 40, Some("a")),
            ("reply", 4, Some("b")),
        ]);
        let found = variants(plan, &numbers, None).unwrap();
        (found.metric.clone(), found.arms[0].name.clone(), found.decided)
    };
    let best = |metric: &str| (metric.to_owned(), "a".to_owned(), true);
    assert_eq!(of(&plan(&["meetings_booked >= 2"], &["bounce_rate > 8%"])), best("bounce_rate"));
    assert_eq!(of(&plan(&["meetings_booked >= 2"], &["reply_rate < 2%"])), best("reply_rate"));
    assert_eq!(of(&plan(&["bounce_rate < 5%"], &["reply_rate < 2%"])), best("bounce_rate"));
    assert_eq!(of(&plan(&["reply_rate > 5%"], &["bounce_rate > 8%"])), best("reply_rate"), "success comes first");
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
