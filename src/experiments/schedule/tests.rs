use proptest::prelude::*;
use rstest::rstest;

use super::*;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn schedule(cron: &str, zone: &str) -> Schedule {
    Schedule::parse(cron, Some(zone)).unwrap()
}

fn next(cron: &str, zone: &str, after: &str) -> String {
    let found = schedule(cron, zone).next_after(at(after)).unwrap();
    found.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

#[rstest]
#[case("0 9 * * MON", "UTC", "2026-03-01T00:00:00Z", "2026-03-02T09:00:00Z")]
#[case("0 9 * * MON", "UTC", "2026-03-02T09:00:00Z", "2026-03-09T09:00:00Z")]
#[case("0 9 * * MON", "America/Los_Angeles", "2026-02-28T00:00:00Z", "2026-03-02T17:00:00Z")]
#[case("0 9 * * tue,thu", "Europe/Berlin", "2026-07-01T00:00:00Z", "2026-07-02T07:00:00Z")]
#[case("*/15 * * * *", "UTC", "2026-03-01T00:14:59Z", "2026-03-01T00:15:00Z")]
#[case("30 8 1 * *", "Asia/Kolkata", "2026-03-01T03:00:00Z", "2026-04-01T03:00:00Z")]
fn the_next_moment_is_strictly_after(#[case] cron: &str, #[case] zone: &str, #[case] after: &str, #[case] due: &str) {
    assert_eq!(next(cron, zone, after), due);
}

#[test]
fn what_the_clock_leaves_out_comes_when_it_goes_on_and_once() {
    // Berlin, 29 March 2026: after 01:59 comes 03:00.
    assert_eq!(next("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z"), "2026-03-29T01:00:00Z");
    assert_eq!(next("30 2 * * *", "Europe/Berlin", "2026-03-29T01:00:00Z"), "2026-03-30T00:30:00Z");
    assert_eq!(next("*/15 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z"), "2026-03-29T01:00:00Z");
    assert_eq!(next("*/15 2 * * *", "Europe/Berlin", "2026-03-29T01:00:00Z"), "2026-03-30T00:00:00Z");
    assert_eq!(next("30 1,2 * * *", "Europe/Berlin", "2026-03-29T00:30:00Z"), "2026-03-29T01:00:00Z");
    // A whole day that was left out.
    assert_eq!(next("0 12 30 12 *", "Pacific/Apia", "2011-12-29T00:00:00Z"), "2011-12-30T10:00:00Z");
}

#[test]
fn what_the_clock_repeats_comes_once_where_hours_are_named_and_as_time_passes_where_not() {
    // Berlin, 25 October 2026: after 02:59 comes 02:00 again.
    assert_eq!(next("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z"), "2026-10-25T00:30:00Z");
    assert_eq!(next("30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00Z"), "2026-10-26T01:30:00Z");
    assert_eq!(next("30 1,2 * * *", "Europe/Berlin", "2026-10-25T00:30:00Z"), "2026-10-26T00:30:00Z");
    let every_half_hour = schedule("*/30 * * * *", "Europe/Berlin").upcoming(at("2026-10-24T23:59:00Z"), 6);
    let steps: Vec<_> = every_half_hour.windows(2).map(|two| two[1] - two[0]).collect();
    assert!(steps.iter().all(|step| *step == TimeDelta::minutes(30)), "{every_half_hour:?}");
}

#[test]
fn a_moment_that_is_late_is_run_left_out_or_made_up_for() {
    let hourly = schedule("0 * * * *", "UTC");
    let (due, now) = (at("2026-03-01T09:00:00Z"), at("2026-03-01T12:30:00Z"));
    let claim = |missed| hourly.claim(due, now, missed);
    assert_eq!(claim(Missed::Skip), Claim { runs: false, next: Some(at("2026-03-01T13:00:00Z")) });
    assert_eq!(claim(Missed::Once), Claim { runs: true, next: Some(at("2026-03-01T13:00:00Z")) });
    assert_eq!(claim(Missed::All), Claim { runs: true, next: Some(at("2026-03-01T10:00:00Z")) });
    for missed in [Missed::Skip, Missed::Once, Missed::All] {
        let in_time = hourly.claim(due, due + TimeDelta::seconds(3), missed);
        assert_eq!(in_time, Claim { runs: true, next: Some(at("2026-03-01T10:00:00Z")) }, "{missed:?}");
        let set_back = hourly.claim(due, due - TimeDelta::days(2), missed);
        assert_eq!(set_back, Claim { runs: true, next: Some(at("2026-03-01T10:00:00Z")) }, "{missed:?}");
    }
}

#[test]
fn what_is_made_up_for_is_bounded() {
    let every_minute = schedule("* * * * *", "UTC");
    let (due, now) = (at("2026-03-01T00:00:00Z"), at("2026-03-02T00:00:30Z"));
    let mut runs = 0;
    let mut moment = Some(due);
    while let Some(due) = moment.filter(|due| *due <= now) {
        let claim = every_minute.claim(due, now, Missed::All);
        runs += usize::from(claim.runs);
        moment = claim.next;
    }
    assert_eq!(runs, 1 + MOST_MADE_UP);
}

#[rstest]
#[case("0 9 * * MON", "Mondays at 09:00 UTC")]
#[case("0 9 * * 1-5", "Mondays to Fridays at 09:00 UTC")]
#[case("5 7,19 * * *", "every day at 07:05 and 19:05 UTC")]
#[case("0 9 1 * *", "on day 1 of each month at 09:00 UTC")]
#[case("*/15 * * * *", "every 15 minutes")]
#[case("0 * * * *", "every hour")]
#[case("0 9 * * TUE,7", "Tuesdays and Sundays at 09:00 UTC")]
fn a_schedule_is_told_in_words(#[case] cron: &str, #[case] words: &str) {
    assert_eq!(schedule(cron, "UTC").describe(), words);
}

#[rstest]
#[case("", "it has 0 fields in place of five")]
#[case("0 9 * *", "it has 4 fields in place of five")]
#[case("0 0 9 * * MON", "it has 6 fields in place of five")]
#[case("0 25 * * *", "")]
#[case("0 9 * * someday", "")]
#[case("every monday at nine please", "")]
fn what_is_no_schedule_is_refused(#[case] cron: &str, #[case] reason: &str) {
    let err = Schedule::parse(cron, None).unwrap_err();
    assert!(matches!(&err, ScheduleError::Cron { reason: said, .. } if said.contains(reason)), "{err}");
}

#[test]
fn a_day_that_never_comes_and_a_zone_that_is_none_are_refused() {
    assert_eq!(Schedule::parse("0 9 30 2 *", None).unwrap_err(), ScheduleError::Never("0 9 30 2 *".to_owned()));
    let err = Schedule::parse("0 9 * * *", Some("Europe/Berln")).unwrap_err();
    assert!(err.to_string().contains("did you mean `Europe/Berlin`?"), "{err}");
    assert_eq!(Schedule::parse("0 9 * * *", Some(" ")).unwrap().zone(), Tz::UTC);
    assert_eq!(Schedule::parse("0 9 * * *", Some("europe/berlin")).unwrap().zone(), Tz::Europe__Berlin);
}

proptest! {
    #[test]
    fn no_text_is_worse_than_refused(text in "\\PC{0,40}", zone in proptest::option::of("\\PC{0,20}")) {
        let _ = Schedule::parse(&text, zone.as_deref());
    }

    /// In zones with all kinds of clocks, moments go on ascending and fit what the clock shows.
    #[test]
    fn moments_ascend(
        minute in 0_u32..60, hour in 0_u32..24, start in 0_i64..1_900_000_000,
        zone in proptest::sample::select(vec!["UTC", "Europe/Berlin", "America/Sao_Paulo", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia"]),
    ) {
        let schedule = schedule(&format!("{minute} {hour} * * *"), zone);
        let start = DateTime::from_timestamp(start, 0).unwrap();
        let found = schedule.upcoming(start, 400);
        prop_assert_eq!(found.len(), 400);
        prop_assert!(found[0] > start);
        for two in found.windows(2) {
            let apart = two[1] - two[0];
            prop_assert!(apart > TimeDelta::zero() && apart <= TimeDelta::hours(26), "{:?}", two);
        }
    }
}
