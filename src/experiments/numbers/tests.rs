use super::*;
use crate::contracts::Body;
use crate::contracts::messages::Metrics;
use crate::experiments::criteria::Formula;
use pretty_assertions::assert_eq;
use proptest::prelude::*;
use rstest::rstest;
use serde_json::Value;
use serde_json::json;

fn now() -> DateTime<Utc> {
    read_time("2026-03-01T09:00:00Z").unwrap()
}

fn happened(mut body: Value) -> Result<Happened, Refused> {
    body["experiment_id"] = "exp_1".into();
    Happened::of(&Metrics::read(&body.to_string()).unwrap())
}

fn added(bodies: &[Value]) -> Numbers {
    let mut numbers = Numbers::default();
    for body in bodies {
        numbers.add(&happened(body.clone()).unwrap(), now()).unwrap();
    }
    numbers
}

/// As they are after they were written and read again.
fn stored(mut numbers: Numbers) -> Numbers {
    let fields = numbers.take_changes(now()).into_iter().collect();
    Numbers::read(&Document { version: 1, fields })
}

fn value(numbers: &Numbers, text: &str) -> Result<f64, String> {
    let of = |name: &Name| numbers.get(name, None, None);
    Formula::parse(text).unwrap().value(&of).map_err(|why| why.to_string())
}

#[rstest]
#[case("sends", Ok(42.0))]
#[case("emails_sent", Ok(42.0))]
#[case("email_sent.count", Ok(42.0))]
#[case("events.email_sent", Ok(42.0))]
#[case("replies", Ok(1.0))]
#[case("replies.rate", Ok(1.0 / 42.0))]
#[case("bounces", Ok(0.0))]
#[case("signups", Ok(2.0))]
#[case("hours", Ok(12.0))]
#[case("hours.avg", Ok(4.0))]
#[case("hours.min", Ok(2.0))]
#[case("hours.max", Ok(7.0))]
#[case("hours.latest", Ok(7.0))]
#[case("hours.count", Ok(3.0))]
#[case("fields.hours.sum", Ok(12.0))]
#[case("llamas", Err("no `llamas` was measured"))]
#[case("fields.signup", Err("no `fields.signup` was measured"))]
#[case("replies.p95", Err("no `replies.p95` was measured"))]
fn names_mean_what_was_added_up(#[case] text: &str, #[case] expected: Result<f64, &str>) {
    let numbers = added(&[
        json!({"event": "email_sent", "count": 40}),
        json!({"event": "emails_sent", "count": 2.0}),
        json!({"event": "reply", "hours": 3, "text": "hello", "ok": true}),
        json!({"event": "signup", "hours": 2}),
        json!({"event": "signup", "hours": 7}),
    ]);
    let expected = expected.map_err(str::to_owned);
    assert_eq!(value(&numbers, text), expected);
    assert_eq!(value(&stored(numbers), text), expected, "read from its document");
}

#[test]
fn an_event_and_a_field_may_share_a_name() {
    let numbers = added(&[json!({"event": "cost", "cost": 2.5}), json!({"event": "cost", "cost": 1.5})]);
    assert_eq!(value(&numbers, "cost"), Ok(2.0), "the event");
    assert_eq!(value(&numbers, "fields.cost"), Ok(4.0));
    assert_eq!(value(&numbers, "cost.avg"), Ok(2.0), "only a field has one");
}

#[test]
fn of_nothing_nothing_is_known() {
    assert_eq!(value(&Numbers::default(), "replies"), Err("no `replies` was measured".to_owned()));
    assert_eq!(value(&added(&[json!({"event": "run_started", "run_id": "r"})]), "replies"), Ok(0.0));
}

#[test]
fn variants_are_counted_by_themselves_too() {
    let numbers = stored(added(&[
        json!({"event": "email_sent", "count": 10, "variant": "a"}),
        json!({"event": "email_sent", "count": 20, "variant": "b b"}),
        json!({"event": "reply", "variant": "a"}),
    ]));
    let of = |name: &str, variant| numbers.get(&Name::plain(name), None, variant).unwrap();
    assert_eq!((of("sends", None), of("sends", Some("a")), of("replies", Some("b b"))), (30.0, 10.0, 0.0));
    assert_eq!(numbers.variants().into_iter().collect::<Vec<_>>(), ["a", "b b"]);
    assert_eq!(numbers.events().collect::<Vec<_>>(), [("email_sent", 30), ("reply", 1)]);
}

#[test]
fn what_a_metric_is_declared_as_tells_what_its_name_means() {
    let numbers = added(&[json!({"event": "reply", "hours": 2}), json!({"event": "reply", "hours": 4})]);
    let of = |kind| numbers.get(&Name::plain("hours"), kind, None).unwrap();
    assert_eq!((of(Some(MetricKind::Duration)), of(Some(MetricKind::Percentage)), of(None)), (3.0, 4.0, 6.0));
    assert_eq!(
        numbers.get(&Name::plain("llamas"), Some(MetricKind::Counter), None),
        Ok(0.0),
        "declared, and none came"
    );
}

#[rstest]
#[case(json!({"event": "x", "count": -1}), "`-1` is no number of events")]
#[case(json!({"event": "x", "count": 1.5}), "`1.5` is no number of events")]
#[case(json!({"event": "x", "count": "3"}), "no number of events")]
#[case(json!({"event": "x", "count": 1e12}), "no number of events")]
#[case(json!({"event": "x", "cost": 1e16}), "`cost` is")]
#[case(json!({"event": "größe"}), "no name of an event")]
#[case(json!({"event": ""}), "no name of an event")]
#[case(json!({"event": "x".repeat(65)}), "no name of an event")]
#[case(json!({"event": "items_processed", "count": 5_000_000_000_u64}), "no number of events")]
fn what_cannot_be_counted_is_refused(#[case] body: Value, #[case] part: &str) {
    let refused = happened(body).unwrap_err().to_string();
    assert!(refused.contains(part), "{refused}");
}

#[test]
fn messages_are_young_for_a_while() {
    let bodies = [
        json!({"event": "email_sent", "count": 30, "variant": "a"}),
        json!({"event": "dm_sent", "count": 10}),
        json!({"event": "reply"}),
    ];
    let numbers = stored(added(&bodies));
    let two = TimeDelta::hours(2);
    let young = |name: &str, variant, at: &str| {
        numbers.young(name, variant, numbers.young_from(read_time(at).unwrap(), two).unwrap())
    };
    assert_eq!(young("sends", None, "2026-03-01T11:54:00Z"), 30);
    assert_eq!(young("sends", None, "2026-03-01T11:55:00Z"), 0);
    assert_eq!(young("sends", Some("a"), "2026-03-01T11:54:00Z"), 30);
    assert_eq!(young("sends", Some("b"), "2026-03-01T11:54:00Z"), 0);
    assert_eq!(young(events::ALL_SENT, None, "2026-03-01T11:54:00Z"), 40);
    assert_eq!(young("replies", None, "2026-03-01T09:00:00Z"), 0, "no share is taken of them");
    let from = numbers.young_from(now(), two).unwrap();
    assert_eq!(numbers.next_old(from, two), read_time("2026-03-01T11:55:00Z"));
    assert_eq!(numbers.young_from(now(), TimeDelta::zero()), None);
}

#[test]
fn whatever_a_share_is_taken_of_is_young_for_a_while() {
    let mut numbers = Numbers::default().growing_old(Ageing::ByClock, ["email_delivered".to_owned()].into());
    numbers.add(&happened(json!({"event": "email_delivered", "count": 7})).unwrap(), now()).unwrap();
    let from = numbers.young_from(now(), TimeDelta::days(1)).unwrap();
    assert_eq!(numbers.young("emails_delivered", None, from), 7);
    let dry = Numbers::default().growing_old(Ageing::AtOnce, BTreeSet::new());
    assert_eq!(dry.young_from(now(), TimeDelta::days(1)), None);
}

/// A simulation has days of its own, and when it is over nothing more comes of it.
#[test]
fn in_a_simulation_its_own_days_count() {
    let totals = BTreeSet::new();
    let mut fields = BTreeMap::new();
    let mut say = |body: Value| {
        let numbers = Numbers::read(&Document { version: 1, fields: fields.clone() });
        let mut numbers = numbers.growing_old(Ageing::BySimulation, totals.clone());
        numbers.add(&happened(body).unwrap(), now()).unwrap();
        fields.extend(numbers.take_changes(now()));
        let from = numbers.young_from(now(), TimeDelta::days(2));
        from.map_or(0, |from| numbers.young("sends", None, from))
    };
    assert_eq!(say(json!({"event": "run_started", "run_id": "r"})), 0);
    assert_eq!(say(json!({"event": "email_sent", "count": 9, "simulation": true, "day": 0.0})), 9);
    assert_eq!(say(json!({"event": "reply", "simulation": true, "day": 1.5})), 9);
    assert_eq!(say(json!({"event": "email_sent", "count": 2, "simulation": true, "day": 1.0})), 11);
    assert_eq!(say(json!({"event": "reply", "simulation": true, "day": 2.1})), 2);
    assert_eq!(say(json!({"event": "run_completed", "run_id": "r"})), 0);
    assert_eq!(say(json!({"event": "email_sent", "count": 3, "simulation": true})), 0, "it names no day");
}

/// People are counted: what the same person does again adds nothing, and a second mail goes to nobody new.
#[test]
fn a_person_counts_once() {
    let person = |digit: &str| digit.repeat(64);
    let (mut numbers, mut fields) = (Numbers::default(), BTreeMap::new());
    for body in [
        json!({"event": "email_sent", "round": "first", "person": person("a")}),
        json!({"event": "email_sent", "round": "first", "person": person("b")}),
        json!({"event": "email_sent", "round": "followup-1", "person": person("b")}),
        json!({"event": "reply", "person": person("a"), "id": "1", "variant": "x"}),
        json!({"event": "replies", "person": person("A"), "id": "2", "variant": "x", "hours": 7}),
        json!({"event": "reply", "person": person("b"), "round": "followup-1"}),
        json!({"event": "reply", "person": "somebody"}),
        json!({"event": "page_seen", "person": person("a")}),
        json!({"event": "page_seen", "person": person("a")}),
    ] {
        numbers.add(&happened(body).unwrap(), now()).unwrap();
        fields.extend(numbers.take_changes(now()));
        numbers = Numbers::read(&Document { version: 1, fields: fields.clone() });
    }
    let of = |name: &str| value(&numbers, name).unwrap();
    assert_eq!((of("sends"), of("follow_ups"), of("replies")), (2.0, 1.0, 3.0), "one of them names nobody");
    assert_eq!((of("page_seen"), of("replies.rate")), (2.0, 1.5), "what a team counts itself is as it says");
    assert_eq!(numbers.get(&Name::plain("replies"), None, Some("x")), Ok(1.0));
}

#[test]
fn numbers_are_trusted_as_far_as_the_least_of_them() {
    let mut numbers = Numbers::default();
    for (body, trust) in [
        (json!({"event": "email_sent"}), Trust::System),
        (json!({"event": "reply", "hours": 2}), Trust::System),
        (json!({"event": "replies", "hours": 2}), Trust::External),
        (json!({"event": "dm_sent"}), Trust::Operator),
    ] {
        let happened = happened(body).unwrap();
        numbers.add(&happened, now()).unwrap();
        numbers.rests_on(&happened, trust);
    }
    let numbers = stored(numbers);
    let of = |names: &[&str]| numbers.trust(names.iter().copied());
    assert_eq!(of(&["sends"]), Trust::System);
    assert_eq!(of(&["sends", "replies"]), Trust::External);
    assert_eq!(of(&["hours"]), Trust::External);
    assert_eq!(of(&[events::ALL_SENT]), Trust::Operator);
}

#[test]
fn names_do_not_grow_without_end() {
    let mut numbers = Numbers::default();
    let mut refused = 0;
    for n in 0..1_000 {
        let one = happened(json!({"event": format!("e{n}"), "variant": n})).unwrap();
        refused += usize::from(numbers.add(&one, now()).is_err());
    }
    assert_eq!((numbers.events.len(), refused), (MOST_NAMES, 1_000 - MOST_NAMES / 2));
    numbers.add(&happened(json!({"event": "e1", "variant": 1})).unwrap(), now()).unwrap();
}

#[test]
fn only_what_changed_is_written() {
    let mut numbers = stored(added(&[json!({"event": "reply", "hours": 2}), json!({"event": "email_sent"})]));
    assert_eq!(numbers.take_changes(now()), []);
    numbers.add(&happened(json!({"event": "reply"})).unwrap(), now()).unwrap();
    let names: Vec<String> = numbers.take_changes(now()).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["events.reply", "first_at", "last_updated"]);
}

#[test]
fn a_document_of_any_form_is_read() {
    let fields =
        [("events.a", "x"), ("fields.", "1"), ("fields.b.sum", "inf"), ("sketches.c", "zz"), ("sketches.d", "é")];
    let fields = fields.map(|(name, text)| (name.to_owned(), text.to_owned())).into();
    let numbers = Numbers::read(&Document { version: 3, fields });
    assert_eq!((numbers.version, numbers.count("a")), (Some(3), 0));
    assert_eq!(value(&numbers, "b.sum"), Err("no `b.sum` was measured".to_owned()));
}

proptest! {
    // Each case writes and reads a document after each of its events.
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn quantiles_are_exact_within_one_percent(mut values in prop::collection::vec(0.001_f64..1e9, 1..100)) {
        let bodies: Vec<Value> = values.iter().map(|value| json!({"event": "x", "v": value})).collect();
        // Written and read again after each, as if every event came in a commit of its own.
        let mut numbers = Numbers::default();
        let mut fields = BTreeMap::new();
        for body in bodies {
            numbers.add(&happened(body).unwrap(), now()).unwrap();
            fields.extend(numbers.take_changes(now()));
            numbers = Numbers::read(&Document { version: 1, fields: fields.clone() });
        }
        values.sort_by(f64::total_cmp);
        for (text, q) in [("v.p50", 0.5), ("v.p95", 0.95)] {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "an index")]
            let exact = values[(q * (values.len() - 1) as f64) as usize];
            let found = value(&numbers, text).unwrap();
            prop_assert!((found - exact).abs() <= 0.011 * exact, "{text} is {found}, exactly {exact}");
        }
    }
}
