//! What is too young to be judged: a message that was sent today may be answered tomorrow.
//!
//! Owns how old what was counted is, in hours: by the clock, or by the days of a simulation. What is older than a month is kept by the day. Must never
//! take something for older than it is by more than an hour, or a day where it is older than a month.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

/// What is older is kept by the day.
const BY_THE_HOUR: i64 = 31 * 24;
/// What is older is not kept: no experiment is measured for so long.
const LONGEST: i64 = 401 * 24;
const HOUR: i64 = 3_600;

/// By what clock something grows old.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Ageing {
    /// It is old at once: nobody is written to.
    AtOnce,
    /// By the clock.
    #[default]
    ByClock,
    /// By the days that the events of a simulation name; what names none is old at once.
    BySimulation,
}

/// Since when something is too young: an hour, counted from 1970 or from the beginning of a simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct YoungFrom(i64);

/// What was counted, by name and hour.
#[derive(Debug, Clone, Default)]
pub(super) struct Recent {
    pub(super) hours: BTreeMap<String, BTreeMap<i64, u64>>,
}

impl Recent {
    pub(super) fn add(&mut self, name: &str, hour: i64, count: u64) {
        let counted = self.hours.entry(name.to_owned()).or_default().entry(hour).or_default();
        *counted = counted.saturating_add(count);
    }

    /// How much of this name is too young.
    pub(super) fn young(&self, name: &str, YoungFrom(from): YoungFrom) -> u64 {
        let hours = self.hours.get(name);
        hours.map_or(0, |hours| hours.range(from..).fold(0, |sum, (_, count)| u64::saturating_add(sum, *count)))
    }

    /// When the oldest of what is too young is no longer so.
    pub(super) fn next(&self, YoungFrom(from): YoungFrom, within: TimeDelta) -> Option<DateTime<Utc>> {
        let first = |hours: &BTreeMap<i64, u64>| hours.range(from..).next().map(|(hour, _)| *hour);
        let oldest = self.hours.values().filter_map(first).min()?;
        let ends = DateTime::from_timestamp(oldest.saturating_add(1).saturating_mul(HOUR), 0)?;
        ends.checked_add_signed(old_within(within))
    }

    /// Puts what is old together, and leaves out what is so old that nobody asks.
    pub(super) fn tidy(&mut self, now: DateTime<Utc>) {
        let now = hour(now);
        for hours in self.hours.values_mut() {
            let recent = hours.split_off(&(now - BY_THE_HOUR));
            let old = std::mem::replace(hours, recent).split_off(&(now - LONGEST));
            for (hour, count) in old {
                // As if all of a day had happened at its end.
                let counted = hours.entry(hour.div_euclid(24) * 24 + 23).or_default();
                *counted = counted.saturating_add(count);
            }
        }
        self.hours.retain(|_, hours| !hours.is_empty());
    }
}

/// Which hour it is, counted from 1970.
pub(super) fn hour(at: DateTime<Utc>) -> i64 {
    at.timestamp().div_euclid(HOUR)
}

/// Which hour of a simulation it is.
pub(super) fn hour_of(day: f64) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "some thousand days")]
    let hour = (day * 24.0).floor() as i64;
    hour
}

/// Since when something is too young by the clock, where it takes so long to be judged.
pub(super) fn by_clock(now: DateTime<Utc>, within: TimeDelta) -> YoungFrom {
    YoungFrom(now.checked_sub_signed(old_within(within)).map_or(i64::MIN, hour))
}

/// The same by the day of a simulation.
pub(super) fn by_day(day: f64, within: TimeDelta) -> YoungFrom {
    YoungFrom(hour_of(day - old_within(within).as_seconds_f64() / 86_400.0))
}

/// How long after its hour something is old. Hours begin when they begin: what was sent last in a run is old when its observation ends, and not
/// up to an hour later, when nobody looks any more.
fn old_within(within: TimeDelta) -> TimeDelta {
    within - (within / 24).min(TimeDelta::hours(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contracts::envelope::read_time;
    use pretty_assertions::assert_eq;

    #[test]
    fn what_is_old_is_kept_by_the_day_and_what_is_very_old_not_at_all() {
        let now = read_time("2026-03-01T09:30:00Z").unwrap();
        let mut recent = Recent::default();
        for days in [0, 1, 30, 60, 500] {
            for hours in 0..3 {
                recent.add("email_sent", hour(now - TimeDelta::days(days) - TimeDelta::hours(hours)), 1);
            }
        }
        for _ in 0..2 {
            recent.tidy(now);
            let kept: Vec<u64> = recent.hours["email_sent"].values().copied().collect();
            assert_eq!(kept, [3, 1, 1, 1, 1, 1, 1, 1, 1, 1], "the day, and then the hours");
        }
        assert_eq!(recent.young("email_sent", by_clock(now, TimeDelta::days(59))), 9);
        assert_eq!(recent.young("email_sent", by_clock(now, TimeDelta::days(62))), 12);
        recent.tidy(now + TimeDelta::days(500));
        assert!(recent.hours.is_empty());
    }

    #[test]
    fn what_was_sent_last_is_old_when_its_time_is_over() {
        let sent = read_time("2026-03-01T09:59:00Z").unwrap();
        let week = TimeDelta::days(7);
        let mut recent = Recent::default();
        recent.add("email_sent", hour(sent), 1);
        let young = |at| recent.young("email_sent", by_clock(at, week));
        assert_eq!((young(sent + week), young(sent + week - TimeDelta::hours(1))), (0, 1));
        let next = recent.next(by_clock(sent, week), week).unwrap();
        assert_eq!((young(next), young(next - TimeDelta::seconds(1))), (0, 1), "that is when it is looked again");
    }
}
