//! Schedules: cron with five fields in a time zone, and what becomes of moments that passed.
//!
//! Owns when a run is due. Hours that are named follow the zone's clock: a moment that a change of the clock leaves out comes when the
//! clock goes on, one that it repeats comes once. Schedules of every hour (`*` there) follow the time that passes. Must never look at a
//! clock itself, and never give a moment that is not after the one it was asked about.

mod words;

use chrono::{DateTime, NaiveDateTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use thiserror::Error;

use super::spec::Missed;
use crate::config::zone::{self, UnknownZone};
use crate::contracts::untrusted::sanitize_line;

/// A moment that is later than this is one that was missed.
pub const LATE: TimeDelta = TimeDelta::seconds(60);
/// So many missed moments are made up for; the older ones are left out.
const MOST_MADE_UP: usize = 100;
/// Moments of a zone's clock that are looked at for one that is still to come.
const MOST_LOOKED_AT: usize = 10_000;
/// The longest jump of a zone's clock, in minutes: a whole day, as on Samoa in 2011.
const LONGEST_GAP: i64 = 25 * 60;

/// When runs are due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    text: String,
    cron: Cron,
    zone: Tz,
    /// Whether it names the hours; otherwise it is every hour's.
    names_hours: bool,
}

/// Why something is no schedule.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ScheduleError {
    /// It has not five fields, or one of them cannot be read.
    #[error("`{shown}` is no schedule: {reason}; write minute, hour, day, month and weekday, like `0 9 * * MON`")]
    Cron {
        /// What was given.
        shown: String,
        /// What is wrong.
        reason: String,
    },
    /// No zone has this name.
    #[error(transparent)]
    Zone(#[from] UnknownZone),
    /// No moment will ever fit.
    #[error("`{0}` never comes: no day fits it")]
    Never(String),
}

impl Schedule {
    /// Reads a schedule. Without a zone it counts in UTC.
    ///
    /// # Errors
    /// Where it is none, or will never come.
    pub fn parse(cron: &str, zone: Option<&str>) -> Result<Self, ScheduleError> {
        let text = cron.split_whitespace().collect::<Vec<_>>().join(" ");
        let refused = |reason: String| ScheduleError::Cron { shown: sanitize_line(&text, 60), reason };
        let fields: Vec<&str> = text.split(' ').filter(|field| !field.is_empty()).collect();
        if fields.len() != 5 {
            return Err(refused(format!("it has {} fields in place of five", fields.len())));
        }
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let cron = parser.parse(&text).map_err(|err| refused(sanitize_line(&err.to_string(), 120)))?;
        let zone = match zone.map(str::trim).filter(|name| !name.is_empty()) {
            Some(name) => zone::named(name)?,
            None => Tz::UTC,
        };
        let schedule = Self { names_hours: !fields[1].contains('*'), cron, zone, text: text.clone() };
        // Years are looked through until a moment is found: once, here, and not by whoever waits for it.
        match schedule.next_after(DateTime::UNIX_EPOCH) {
            Some(_) => Ok(schedule),
            None => Err(ScheduleError::Never(sanitize_line(&text, 60))),
        }
    }

    /// As it was written, with single spaces.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The zone that it counts in.
    pub fn zone(&self) -> Tz {
        self.zone
    }

    /// The first moment after this one; none where there is none.
    pub fn next_after(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if !self.names_hours {
            let found = self.cron.find_next_occurrence(&after.with_timezone(&self.zone), false).ok()?;
            return Some(found.with_timezone(&Utc)).filter(|found| *found > after);
        }
        let mut local = after.with_timezone(&self.zone).naive_local();
        for _ in 0..MOST_LOOKED_AT {
            local = self.cron.find_next_occurrence(&local.and_utc(), false).ok()?.naive_utc();
            let at = instant(self.zone, local)?;
            if at > after {
                return Some(at);
            }
        }
        None
    }

    /// The next moments, at most `count`.
    pub fn upcoming(&self, after: DateTime<Utc>, count: usize) -> Vec<DateTime<Utc>> {
        std::iter::successors(self.next_after(after), |last| self.next_after(*last)).take(count).collect()
    }

    /// In words: `Mondays at 09:00 UTC`.
    pub fn describe(&self) -> String {
        words::describe(&self.text, self.zone).unwrap_or_else(|| format!("{} {}", self.cron.describe(), self.zone))
    }

    /// What becomes of the moment `due` now, and which one is next. A clock that was set back gives no moment twice.
    pub fn claim(&self, due: DateTime<Utc>, now: DateTime<Utc>, missed: Missed) -> Claim {
        let is_late = now - due > LATE;
        let runs = !(is_late && missed == Missed::Skip);
        let last = match missed {
            Missed::All if is_late => {
                // The older ones are left out where there are too many.
                let passed: Vec<_> = std::iter::successors(self.next_after(due), |last| self.next_after(*last))
                    .take_while(|at| *at <= now)
                    .take(MOST_LOOKED_AT)
                    .collect();
                let over = passed.len().saturating_sub(MOST_MADE_UP);
                if over > 0 { passed[over - 1] } else { due }
            }
            _ => due.max(now),
        };
        Claim { runs, next: self.next_after(last) }
    }
}

/// What becomes of a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Whether it is run.
    pub runs: bool,
    /// The moment after it; in the past where it is to be made up for.
    pub next: Option<DateTime<Utc>>,
}

/// The instant at which a zone's clock shows this: the first of two, and where it never does, when it goes on.
pub(crate) fn instant(zone: Tz, local: NaiveDateTime) -> Option<DateTime<Utc>> {
    (0..=LONGEST_GAP)
        .find_map(|minutes| zone.from_local_datetime(&(local + TimeDelta::minutes(minutes))).earliest())
        .map(|at| at.with_timezone(&Utc))
}

#[cfg(test)]
mod tests;
