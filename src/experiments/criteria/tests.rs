use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pretty_assertions::assert_eq;
use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::experiments::spec::{Metric, MetricKind};

const DAY: Duration = Duration::from_hours(24);

fn read(text: &str) -> Criterion {
    Criterion::parse(text).unwrap_or_else(|err| panic!("{text}: {err}"))
}

fn refusal(text: &str) -> CriterionError {
    Criterion::parse(text).unwrap_err()
}

fn of(name: &Name) -> Result<f64, Unknown> {
    match name.to_string().as_str() {
        "emails_sent" | "events.sends" => Ok(200.0),
        "replies" | "events.replies" => Ok(9.0),
        "bounces" | "zero" => Ok(0.0),
        "hours.p95" => Ok(30.0),
        "fields.hours" => Ok(12.0),
        "tenth" => Ok(0.1),
        "huge" => Ok(f64::MAX),
        _ => Err(Unknown::missing(name)),
    }
}

// ---- reading -------------------------------------------------------------------------------------------------------

#[rstest]
#[case("response_rate<5%", "response_rate < 5%")]
#[case("bounce_rate > 0.10", "bounce_rate > 0.1")]
#[case("response_rate < 5% after 200 email_sent", "response_rate < 5% after 200 email_sent")]
#[case("a >= 2 AND b != 3 or c == 4", "a >= 2 and b != 3 or c == 4")]
#[case("a > 1 and (b > 2 or c > 3)", "a > 1 and (b > 2 or c > 3)")]
#[case("((a > 1))", "a > 1")]
#[case("(a + b) * 2 / c > 1", "(a + b) * 2 / c > 1")]
#[case("a - (b - c) > -1", "a - (b - c) > -1")]
#[case("a / (b / c) ≥ 1", "a / (b / c) >= 1")]
#[case("hours.p95 <= 24", "hours.p95 <= 24")]
#[case("events.replies.count > 1", "events.replies.count > 1")]
#[case("fields.hours.avg > 1", "fields.hours.avg > 1")]
#[case(
    "a > 1 after 10 sends after 3 days within 2 weeks for 1d12h",
    "a > 1 after 10 sends after 3d within 14d for 1d12h"
)]
#[case("a > 1 for 1d 12h", "a > 1 for 1d12h")]
#[case("5% > a", "5% > a")]
fn criteria_are_read_and_written_one_way(#[case] text: &str, #[case] written: &str) {
    let criterion = read(text);
    assert_eq!(criterion.to_string(), written);
    assert_eq!(read(written), criterion);
}

#[rstest]
#[case("", 1, "empty")]
#[case("   ", 1, "empty")]
#[case("response_rate", 1, "this is a number")]
#[case("response_rate 5", 15, "where a comparison")]
#[case("response_rate <", 16, "found the end where a number or a name")]
#[case("Reply rate < 3%", 7, "found `rate`")]
#[case("a = 5", 3, "write `==`")]
#[case("a < b < c", 7, "put `and` between them")]
#[case("a > 1 b > 2", 7, "found `b`")]
#[case("a > 1 and b", 11, "on both sides of `and`")]
#[case("a and b > 1", 1, "on both sides of `and`")]
#[case("(a > 1) + 2 > 3", 1, "where a number was expected")]
#[case("(a > 1", 7, "`)`")]
#[case("a > 5 %", 7, "behind a number, without a space")]
#[case("a.median > 5", 1, "none of sum, avg")]
#[case("a.b.c > 5", 1, "too many dots")]
#[case("a. > 5", 1, "none of")]
#[case("events > 5 after 3", 19, "the event that is counted")]
#[case("a > 5 after 3.5 sends", 13, "no number of events")]
#[case("a > 5 after soon", 13, "after 100 sends")]
#[case("a > 5 within 7", 15, "a unit of time")]
#[case("a > 5 within 7x", 14, "no length of time")]
#[case("a > 5 within 99999999w", 14, "hundred years")]
#[case("a > 5 for 1d for 2d", 14, "said twice")]
#[case("a > 5 after 10 sends or b > 1", 22, "write two criteria")]
#[case("a > 7d", 5, "lengths of time")]
#[case("a > 1.2.3", 5, "is no number")]
#[case("a > 1; DROP", 6, "has no meaning")]
#[case("größe > 1", 3, "has no meaning")]
#[case("and > 1", 1, "a number or a name")]
fn what_is_none_is_refused_where_it_goes_wrong(#[case] text: &str, #[case] column: usize, #[case] part: &str) {
    let err = refusal(text);
    assert!(err.message.contains(part), "{text}: {err}");
    assert_eq!(err.column, column, "{text}: {err}");
}

#[test]
fn nothing_is_read_that_is_too_long_or_too_deep() {
    assert!(refusal(&"(".repeat(300)).message.contains("nested"));
    assert!(refusal(&format!("a > {}", "1".repeat(500))).message.contains("bytes"));
    assert!(refusal(&format!("a > {}", "9".repeat(390))).message.contains("no number"));
    assert!(refusal(&format!("{} > 1", "a".repeat(65))).message.contains("no name"));
}

#[rstest]
#[case("replies / emails_sent", Ok(0.045))]
#[case("(replies + 1) / emails_sent * 100", Ok(5.0))]
#[case("emails_sent - replies - 1", Ok(190.0))]
#[case("8%", Ok(0.08))]
#[case("hours.p95 + fields.hours", Ok(42.0))]
#[case("replies / zero", Err("`zero` is zero"))]
#[case("replies / (bounces * 2)", Err("`bounces * 2` is zero"))]
#[case("replies / llamas", Err("no `llamas` was measured"))]
#[case("huge * huge", Err("it is too large for a number"))]
fn a_formula_has_a_value_where_its_names_have_one(#[case] text: &str, #[case] value: Result<f64, &str>) {
    let found = Formula::parse(text).unwrap().value(&of).map_err(|why| why.to_string());
    assert_eq!(found, value.map_err(str::to_owned));
}

#[rstest]
#[case("a > 1", "compares numbers")]
#[case("replies per send", "found `per`")]
#[case("replies /", "found the end")]
fn what_is_no_formula_is_refused(#[case] text: &str, #[case] part: &str) {
    let err = Formula::parse(text).unwrap_err();
    assert!(err.message.contains(part), "{err}");
}

// ---- what it comes to ----------------------------------------------------------------------------------------------

fn judged(text: &str, at: Moment) -> Truth {
    read(text).judge(&of, &at)
}

#[rstest]
#[case("replies / emails_sent < 5%", Truth::True)]
#[case("replies / emails_sent < 0.045", Truth::False)]
#[case("replies / emails_sent <= 0.045", Truth::True)]
#[case("tenth + tenth + tenth == 30%", Truth::True)]
#[case("tenth * 3 > 30%", Truth::False)]
#[case("replies != 9", Truth::False)]
#[case("replies > 1 and bounces > 0", Truth::False)]
#[case("replies > 100 or bounces == 0", Truth::True)]
fn numbers_are_compared(#[case] text: &str, #[case] truth: Truth) {
    assert_eq!(judged(text, Moment::default()), truth, "{text}");
}

/// Unknown is neither true nor false, and what the rest settles is settled.
#[rstest]
#[case("llamas > 1", None)]
#[case("llamas > 1 and replies > 1", None)]
#[case("llamas > 1 and replies > 100", Some(false))]
#[case("replies > 100 and llamas > 1", Some(false))]
#[case("llamas > 1 or replies > 1", Some(true))]
#[case("replies > 1 or llamas > 1", Some(true))]
#[case("llamas > 1 or replies > 100", None)]
#[case("replies > 100 or replies / zero > 1", None)]
#[case("llamas != 1", None)]
fn unknown_is_a_value(#[case] text: &str, #[case] known: Option<bool>) {
    let truth = judged(text, Moment::default());
    assert_eq!(known.map(Truth::from), (!truth.is_unknown()).then_some(truth), "{text}");
}

#[test]
fn a_least_number_must_have_happened_first() {
    assert!(judged("replies > 1 after 200 sends", Moment::default()).is_true());
    let few = judged("replies > 1 after 201 sends", Moment::default());
    assert_eq!(few, Unknown::TooFew { found: 200.0, wanted: 201, event: "sends".to_owned() }.into());
    // Of what nobody counted there was none.
    let none = judged("replies > 1 after 1 llamas", Moment::default());
    assert_eq!(none, Unknown::TooFew { found: 0.0, wanted: 1, event: "llamas".to_owned() }.into());
}

#[test]
fn a_time_must_have_passed_first() {
    let at = |age| Moment { age, ..Moment::default() };
    assert_eq!(judged("replies > 1 after 7d", at(None)), Unknown::NotBegun.into());
    assert_eq!(judged("replies > 1 after 7d", at(Some(6 * DAY))), Unknown::TooEarly { left: DAY }.into());
    assert!(judged("replies > 1 after 7d", at(Some(7 * DAY))).is_true());
}

#[test]
fn what_comes_too_late_does_not_count() {
    let at = |age, was| Moment { age: Some(age), was, ..Moment::default() };
    assert!(judged("replies > 1 within 7d", at(7 * DAY, Some(false))).is_true());
    assert_eq!(judged("replies > 1 within 7d", at(8 * DAY, Some(false))), Truth::False);
    // And what was reached in time stays so.
    assert!(judged("replies > 100 within 7d", at(8 * DAY, Some(true))).is_true());
    assert_eq!(judged("replies > 100 within 7d", at(7 * DAY, Some(true))), Truth::False);
    // What could not be said by then is not false.
    assert_eq!(judged("replies > 1 within 7d", at(8 * DAY, None)), Unknown::Over.into());
}

/// Fewer than so many within a week: that is known when the week is over, or once there are so many.
#[test]
fn what_is_to_stay_below_a_line_is_known_when_the_time_is_over() {
    let at = |age| Moment { age: Some(age), ..Moment::default() };
    let open = |text| judged(text, at(5 * DAY));
    let not_over = Truth::from(Unknown::NotOver { left: 2 * DAY });
    assert_eq!(open("replies < 10 within 7d"), not_over);
    assert_eq!(open("replies == 9 within 7d"), not_over);
    assert_eq!(open("10 > replies within 7d"), not_over);
    assert_eq!(open("replies < 9 within 7d"), Truth::False, "there are nine");
    assert_eq!(open("replies < 10 and replies > 100 within 7d"), Truth::False);
    assert!(open("replies < 10 or replies > 1 within 7d").is_true());
    assert_eq!(judged("replies < 10 within 7d", Moment::default()), Unknown::NotOver { left: 7 * DAY }.into());
    let closes = Moment { closes: true, ..at(7 * DAY) };
    assert!(judged("replies < 10 within 7d", closes).is_true());
    assert_eq!(judged("replies < 9 within 7d", closes), Truth::False);
}

#[test]
fn it_must_hold_for_a_while() {
    let at = |held, was| Moment { held, was: Some(was), ..Moment::default() };
    let left = |left| Truth::from(Unknown::NotLasting { left });
    assert_eq!(judged("replies > 1 for 2d", at(None, false)), left(2 * DAY));
    assert_eq!(judged("replies > 1 for 2d", at(Some(DAY), false)), left(DAY));
    assert!(judged("replies > 1 for 2d", at(Some(2 * DAY), false)).is_true());
    assert!(judged("replies > 1 for 2d", at(None, true)).is_true(), "it was true before, and goes on");
    assert_eq!(judged("replies > 100 for 2d", at(Some(9 * DAY), true)), Truth::False);
}

#[test]
fn why_it_is_unknown_is_said_shortly() {
    let too_early = Unknown::TooEarly { left: Duration::from_millis(3 * 86_400_000 + 1) };
    assert_eq!(too_early.to_string(), "too early, 3d1h to go");
    assert_eq!(Unknown::NotLasting { left: Duration::from_millis(90_001) }.to_string(), "it holds, 2m to go");
}

// ---- prose ---------------------------------------------------------------------------------------------------------

/// Sentences of real specifications.
#[rstest]
#[case("Reply rate >= 8% within 7 days (matching previous stargazer experiments)", Some("reply_rate >= 8% within 7d"))]
#[case("Positive reply rate >= 3% (1-2 interested CTOs from 50 emails)", Some("positive_reply_rate >= 3%"))]
#[case("At least 1 meeting booked to validate ICP", Some("meetings_booked >= 1"))]
#[case("Bounce rate < 5% (validates list quality)", Some("bounce_rate < 5%"))]
#[case("Subject line 'Re: building agents' generates curiosity without spam flags", None)]
#[case("Reply rate < 3% after 7 days", Some("reply_rate < 3% after 7d"))]
#[case("Unsubscribe rate > 10% (messaging completely off)", Some("unsubscribe_rate > 10%"))]
#[case("Zero positive replies after 10 days", Some("positive_replies == 0 after 10d"))]
#[case("At least 5 meetings booked (2.5% conversion)", Some("meetings_booked >= 5"))]
#[case("Positive sentiment in 75%+ of replies", Some("positive_replies / replies >= 75%"))]
#[case("Zero spam complaints or LinkedIn callouts", Some("spam_complaints == 0"))]
#[case("More than 2 spam complaints", Some("spam_complaints > 2"))]
#[case("Zero meetings booked after 2 weeks", Some("meetings_booked == 0 after 14d"))]
#[case("Negative sentiment in >50% of replies", Some("negative_replies / replies > 50%"))]
#[case("Reply rate >= 8% (16+ replies from 200 emails)", Some("reply_rate >= 8%"))]
#[case("At least 3 demo calls booked", Some("meetings_booked >= 3"))]
#[case("At least 1 'very interested' reply with clear next steps", Some("positive_replies >= 1"))]
#[case("Reply rate < 3% after 2 weeks", Some("reply_rate < 3% after 14d"))]
#[case("More than 5 unsubscribes or negative replies", Some("unsubscribes + negative_replies > 5"))]
#[case("Open rate < 25% (indicates bad targeting or subject line)", Some("open_rate < 25%"))]
#[case("Email discovery rate >= 70% (find contacts at 7 out of 10 companies)", Some("email_discovery_rate >= 70%"))]
#[case("Send at least 20 emails from discovered contacts", Some("emails_sent >= 20"))]
#[case("At least 1-2 positive replies (meetings, interest signals)", Some("positive_replies >= 1"))]
#[case("Automation works end-to-end without manual intervention", None)]
#[case("Reply rate < 5%", Some("reply_rate < 5%"))]
#[case("blocked_by_twitter: true", Some("blocked_by_twitter >= 1"))]
#[case("Reply rate < 8 after 100 sends", Some("reply_rate < 8% after 100 email_sent"))]
#[case("At least 5 qualified leads from the list", Some("qualified_leads >= 5"))]
#[case("no more than 3 bounces", Some("bounces <= 3"))]
#[case("between 3 and 5 replies", None)]
#[case("make it good", None)]
// Shares say of what they are one, and are never turned round.
#[case("More than 5% of emails bounce", Some("bounces / emails_sent > 5%"))]
#[case("More than 5 percent of our emails bounce", Some("bounces / emails_sent > 5%"))]
#[case("At least 50% of replies are positive responses", Some("positive_replies / replies >= 50%"))]
#[case("50% of replies are positive", Some("positive_replies / replies >= 50%"))]
#[case("Fewer than 1% of sends get replies", Some("replies / emails_sent < 1%"))]
#[case("At least 2% of all messages get a meeting", Some("meetings_booked / emails_sent >= 2%"))]
#[case("At least 10% of positive replies become meetings", Some("meetings_booked / positive_replies >= 10%"))]
#[case("Unsubscribes or spam complaints above 2%", None)]
#[case("More than 5% of emails do not bounce", None)]
#[case("More than 5% of people reply", None)]
#[case("5% bounces", None)]
#[case("Reply rate or open rate below 5%", None)]
#[case("At least 20 emails without a bounce", None)]
#[case("Our emails get at least 5 replies", Some("replies >= 5"))]
#[case("Emails that lead to meetings: more than 3", None)]
#[case("No replies within 7 days", Some("replies == 0 after 7d"))]
#[case("Fewer than 3 replies within 14 days", Some("replies < 3 after 14d"))]
#[case("At least 3 replies within 14 days", Some("replies >= 3 within 14d"))]
fn prose_is_refused_with_what_it_may_have_meant(#[case] text: &str, #[case] meant: Option<&str>) {
    assert_eq!(refusal(text).suggestion.as_deref(), meant, "{text}");
}

// ---- definitions ---------------------------------------------------------------------------------------------------

fn metrics(all: &[(&str, Option<&str>)]) -> Vec<Metric> {
    let metric = |(name, formula): &(&str, Option<&str>)| Metric {
        name: (*name).to_owned(),
        kind: if formula.is_some() { MetricKind::Percentage } else { MetricKind::Counter },
        formula: formula.map(str::to_owned),
        success_threshold: None,
        failure_threshold: None,
        description: None,
    };
    all.iter().map(metric).collect()
}

fn value(definitions: &Definitions, name: &str) -> Result<f64, String> {
    let computed = definitions.computed(&of);
    definitions.look_up(&Name::plain(name), &computed, &of).map_err(|why| why.to_string())
}

#[test]
fn formulas_may_use_formulas() {
    let (definitions, errors) = Definitions::of(&metrics(&[
        ("twice", Some("half_rate * 2")),
        ("half_rate", Some("my_rate / 2")),
        ("my_rate", Some("replies / emails_sent")),
        ("replies", None),
        ("none", Some("replies / zero")),
    ]));
    assert_eq!(errors, []);
    assert_eq!(value(&definitions, "twice"), Ok(0.045));
    assert_eq!(value(&definitions, "none"), Err("`zero` is zero".to_owned()));
    assert_eq!(value(&definitions, "replies"), Ok(9.0));
    assert_eq!(value(&definitions, "reply_rate"), Ok(0.045), "nobody said how, but that is how it is usually computed");
    assert_eq!(value(&definitions, "llama_rate"), Err("no `llama_rate` was measured".to_owned()));
}

#[test]
fn cycles_and_nonsense_are_refused_and_unknown() {
    let (definitions, errors) = Definitions::of(&metrics(&[
        ("a", Some("b + 1")),
        ("b", Some("c")),
        ("c", Some("a * 2")),
        ("reply_rate", Some("reply_rate / 2")),
        ("open_rate", Some("opens per send")),
        ("uses", Some("a + 1")),
        ("fine", Some("replies")),
        ("fine", Some("replies")),
    ]));
    let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "the formula of `open_rate`: found `per` where the end or an operator (`+`, `-`, `*`, `/`) was expected (at column 7)",
            "`fine` is defined twice",
            "`a` needs itself: a → b → c → a",
            "`reply_rate` needs itself: reply_rate → reply_rate",
        ]
    );
    for name in ["a", "b", "c", "reply_rate", "open_rate", "uses"] {
        assert!(value(&definitions, name).is_err(), "{name}");
    }
    assert_eq!(value(&definitions, "fine"), Ok(9.0));
}

#[test]
fn formulas_that_grow_are_computed_once_each() {
    let names: Vec<String> = (0..200).map(|n| format!("m{n}")).collect();
    let mut all = metrics(&[("m0", Some("1"))]);
    for pair in names.windows(2) {
        all.extend(metrics(&[(&pair[1], Some(&format!("{0} + {0} - {0}", pair[0])))]));
    }
    let (definitions, errors) = Definitions::of(&all);
    assert_eq!(errors, []);
    assert_eq!(value(&definitions, "m199"), Ok(1.0));
}

#[rstest]
#[case("my_rate < 5% after 200 sends", Some(("replies", "emails_sent", Comparison::Below, 0.05)))]
#[case("percents < 5", Some(("replies", "emails_sent", Comparison::Below, 0.05)))]
#[case("10% < bounces / emails_sent", Some(("bounces", "emails_sent", Comparison::Above, 0.1)))]
#[case("reply_rate >= 8%", Some(("replies", "emails_sent", Comparison::AtLeast, 0.08)))]
#[case("(replies + bounces) / emails_sent > 1%", Some(("replies + bounces", "emails_sent", Comparison::Above, 0.01)))]
#[case("replies >= 5", None)]
#[case("replies / 100 >= 5%", None)]
#[case("my_rate < 5% and replies > 1", None)]
#[case("my_rate == 5%", None)]
#[case("my_rate < reply_rate", None)]
#[case("my_rate < 500%", None)]
#[case("replies * 100 / emails_sent < 5", Some(("replies", "emails_sent", Comparison::Below, 0.05)))]
#[case("100 * (replies / emails_sent) >= 8", Some(("replies", "emails_sent", Comparison::AtLeast, 0.08)))]
#[case("replies / emails_sent / 2 < 5%", Some(("replies", "emails_sent", Comparison::Below, 0.1)))]
#[case("replies.rate < 5%", Some(("replies", "events.*_sent", Comparison::Below, 0.05)))]
#[case("hours.avg / emails_sent < 5%", None)]
fn a_share_is_found_in_a_criterion(#[case] text: &str, #[case] share: Option<(&str, &str, Comparison, f64)>) {
    let (definitions, _) =
        Definitions::of(&metrics(&[("my_rate", Some("replies / emails_sent")), ("percents", Some("my_rate * 100"))]));
    let found = definitions.share(&read(text));
    let found = found.map(|it| (it.hits.to_string(), it.of.to_string(), it.how, it.line));
    assert_eq!(found, share.map(|(hits, of, how, line)| (hits.to_owned(), of.to_owned(), how, line)), "{text}");
}

/// What was counted stays counted: what is above a line stays there, what is below may reach it.
#[rstest]
#[case("replies >= 2", Ok(Some(true)))]
#[case("2 <= replies", Ok(Some(true)))]
#[case("replies < 2", Ok(Some(false)))]
#[case("replies + bounces * 2 > 5", Ok(Some(true)))]
#[case("0 - replies < 2", Ok(Some(true)))]
#[case("replies - bounces > 2", Ok(None))]
#[case("replies > bounces", Ok(None))]
#[case("replies == 2", Ok(None))]
#[case("hours.max > 48", Ok(Some(true)))]
#[case("hours.avg > 48", Err(()))]
#[case("my_rate > 5%", Err(()))]
#[case("replies.rate > 5%", Err(()))]
#[case("replies * bounces > 5", Err(()))]
fn counts_keep_what_they_have_reached(#[case] text: &str, #[case] kept: Result<Option<bool>, ()>) {
    let (definitions, _) = Definitions::of(&metrics(&[("my_rate", Some("replies / emails_sent"))]));
    let criterion = read(text);
    let (left, how, right) = criterion.comparison().unwrap();
    assert_eq!(definitions.kept(left, how, right).map_err(|_| ()), kept);
}

#[test]
fn what_a_criterion_rests_on_is_known_through_its_formulas() {
    let (definitions, _) = Definitions::of(&metrics(&[
        ("my_rate", Some("replies / (emails_sent - bounces)")),
        ("twice", Some("my_rate * 2")),
    ]));
    let names = |found: BTreeSet<Name>| found.into_iter().map(|name| name.to_string()).collect::<Vec<_>>();
    let criterion = read("twice < 5% and hours.avg > 3 after 100 dms");
    assert_eq!(
        names(definitions.rests_on(&criterion)),
        ["bounces", "emails_sent", "hours.avg", "replies", "events.dms"]
    );
    assert_eq!(names(definitions.totals(&criterion)), ["bounces", "emails_sent"]);
}

#[rstest]
#[case("replies / emails_sent * 100", Some("replies / emails_sent"))]
#[case("100 * (replies / emails_sent)", Some("replies / emails_sent"))]
#[case("replies * 100 / emails_sent", Some("replies / emails_sent"))]
#[case("replies / emails_sent * 10", None)]
#[case("replies + meetings_booked * 100", None)]
#[case("100 * replies + bounces", None)]
#[case("replies * 100", None)]
fn only_a_share_times_a_hundred_is_a_number_of_percent(#[case] text: &str, #[case] fraction: Option<&str>) {
    let found = Formula::parse(text).unwrap().without_percent();
    assert_eq!(found.map(|it| it.to_string()).as_deref(), fraction);
}

// ---- whatever is written -------------------------------------------------------------------------------------------

fn names() -> impl Strategy<Value = Name> {
    let space = prop::option::of(prop::sample::select(Space::ALL.to_vec()));
    let aggregate = prop::option::of(prop::sample::select(Aggregate::ALL.to_vec()));
    (space, "[a-z_][a-z0-9_]{0,8}", aggregate)
        .prop_map(|(space, name, aggregate)| Name { space, name, aggregate })
        // `after` is no name, and of `events` alone with a name behind it nobody could tell which is which.
        .prop_filter("words of the language", |name| {
            !["and", "or", "after", "within", "for", "events", "fields"].contains(&name.name.as_str())
        })
}

fn formulas() -> impl Strategy<Value = Formula> {
    let number = (-1_000_000_000_i64..1_000_000_000, any::<bool>()).prop_map(|(number, is_percent)| {
        #[expect(clippy::cast_precision_loss, reason = "far below what a float holds exactly")]
        Formula::Number { written: number as f64 / 1000.0, is_percent }
    });
    let leaf = prop_oneof![number, names().prop_map(Formula::Name)];
    leaf.prop_recursive(4, 16, 2, |inner| {
        let signs = prop::sample::select(vec![Sign::Plus, Sign::Minus, Sign::Times, Sign::Over]);
        (inner.clone(), signs, inner).prop_map(|(left, sign, right)| Formula::Of(Box::new(left), sign, Box::new(right)))
    })
}

fn conditions() -> impl Strategy<Value = Condition> {
    let how = prop::sample::select(vec![
        Comparison::Above,
        Comparison::AtLeast,
        Comparison::Below,
        Comparison::AtMost,
        Comparison::Equal,
        Comparison::Unequal,
    ]);
    let leaf = (formulas(), how, formulas()).prop_map(|(left, how, right)| Condition::Compare(left, how, right));
    leaf.prop_recursive(2, 4, 2, |inner| {
        (inner.clone(), any::<bool>(), inner).prop_map(|(left, and, right)| {
            let (left, right) = (Box::new(left), Box::new(right));
            if and { Condition::And(left, right) } else { Condition::Or(left, right) }
        })
    })
}

fn criteria() -> impl Strategy<Value = Criterion> {
    let length = || prop::option::of((0_u64..10_000_000_000).prop_map(Duration::from_millis));
    let sample =
        prop::option::of((0_u64..1_000_000, names()).prop_map(|(count, name)| Sample { count, event: name.name }));
    (conditions(), sample, length(), length(), length())
        .prop_map(|(condition, sample, settled, within, lasting)| Criterion {
            condition,
            sample,
            settled,
            within,
            lasting,
        })
        .prop_filter("units of time are no events", |criterion| {
            let is_unit = |sample: &Sample| parse::time_in_words(1.0, &sample.event).is_some();
            !criterion.sample.as_ref().is_some_and(is_unit)
        })
        .prop_filter("what is too long is not read", |criterion| criterion.to_string().len() <= LONGEST)
}

proptest! {
    #[test]
    fn what_is_written_reads_back_the_same(criterion in criteria()) {
        let text = criterion.to_string();
        prop_assert_eq!(Criterion::parse(&text), Ok(criterion), "{}", text);
    }

    #[test]
    fn whatever_is_written_is_read_or_refused(text in ".{0,80}") {
        look(&text);
    }

    #[test]
    fn whatever_is_made_of_its_words_is_read_or_refused(
        words in prop::collection::vec(prop::sample::select(vec![
            "(", ")", "<", ">=", "=", "+", "-", "*", "/", "and", "or", "after", "within", "for", "5%", "3", "7d", "days", "a", "a.p95",
            "replies", "at least", "zero", "rate", "%", ".", ",", "é", "999999999999999999999999999999",
        ]), 0..30),
    ) {
        look(&words.join(" "));
    }
}

fn look(text: &str) {
    let measured = |name: &Name| {
        BTreeMap::from([("a", 0.0), ("replies", 3.0)])
            .get(name.name.as_str())
            .copied()
            .ok_or_else(|| Unknown::missing(name))
    };
    if let Ok(formula) = Formula::parse(text) {
        let _ = formula.value(&measured);
    }
    match Criterion::parse(text) {
        Ok(criterion) => {
            let _ = (criterion.judge(&measured, &Moment::default()), Definitions::default().share(&criterion));
            assert_eq!(Criterion::parse(&criterion.to_string()).as_ref(), Ok(&criterion));
        }
        Err(err) => {
            assert!(err.column >= 1 && err.column <= text.chars().count() + 1);
            if let Some(meant) = err.suggestion {
                Criterion::parse(&meant).unwrap();
            }
        }
    }
}
