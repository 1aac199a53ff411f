//! The person's time zone: what a moment is called where the person is, before and after any change of the clocks.
//!
//! Must never be taken for the time of the bus, which is UTC.

use std::fmt;

use chrono::{DateTime, FixedOffset, NaiveDateTime, Offset, TimeZone, Utc};
use chrono_tz::Tz;

use crate::config::zone;

/// A time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zone {
    /// One with a name, and with rules for summer time.
    Named(Tz),
    /// So far from UTC at all times: nobody knows more.
    Fixed(FixedOffset),
}

impl Zone {
    /// The one of the bus.
    pub const UTC: Self = Self::Named(Tz::UTC);

    /// The one of this name, as `TZ` or the system has it; where no zone is called so, that of a clock which is this far from UTC.
    pub fn of(name: Option<&str>, offset: FixedOffset) -> Self {
        let name = name.map(|name| name.trim().trim_start_matches(':')).filter(|name| !name.is_empty());
        name.and_then(|name| zone::named(name).ok()).map_or(Self::Fixed(offset), Self::Named)
    }

    /// A moment as a clock there shows it.
    pub fn local(self, at: DateTime<Utc>) -> DateTime<FixedOffset> {
        match self {
            Self::Named(zone) => at.with_timezone(&zone).fixed_offset(),
            Self::Fixed(offset) => at.with_timezone(&offset),
        }
    }

    /// The moment at which a clock there shows this for the first time; where it jumps over that, none.
    pub fn moment(self, local: NaiveDateTime) -> Option<DateTime<Utc>> {
        match self {
            Self::Named(zone) => zone.from_local_datetime(&local).earliest().map(|at| at.to_utc()),
            Self::Fixed(offset) => offset.from_local_datetime(&local).earliest().map(|at| at.to_utc()),
        }
    }

    /// What its time is called at a moment: `CET`, `CEST`, `+01:00`.
    pub fn short(self, at: DateTime<Utc>) -> String {
        match self {
            Self::Named(zone) => at.with_timezone(&zone).format("%Z").to_string(),
            Self::Fixed(offset) if offset.local_minus_utc() == 0 => "UTC".to_owned(),
            Self::Fixed(offset) => offset.to_string(),
        }
    }

    /// Its name, and how far it is from UTC at a moment: `Europe/Berlin (CET, UTC+01:00)`.
    pub fn words(self, at: DateTime<Utc>) -> String {
        let offset = self.local(at).offset().fix();
        match self {
            Self::Named(Tz::UTC) => "UTC".to_owned(),
            Self::Named(_) => format!("{self} ({}, UTC{offset})", self.short(at)),
            Self::Fixed(_) => format!("UTC{offset}"),
        }
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(zone) => f.write_str(zone.name()),
            Self::Fixed(offset) => write!(f, "{offset}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn times_are_those_of_the_clock_on_both_sides_of_a_change() {
        let berlin = Zone::of(Some("Europe/Berlin"), FixedOffset::east_opt(0).unwrap());
        let shown = |text: &str| format!("{} {}", berlin.local(at(text)).format("%H:%M"), berlin.short(at(text)));
        assert_eq!(shown("2026-03-29T00:59:00Z"), "01:59 CET");
        assert_eq!(shown("2026-03-29T01:00:00Z"), "03:00 CEST");
        assert_eq!(shown("2026-10-25T00:59:00Z"), "02:59 CEST");
        assert_eq!(shown("2026-10-25T01:00:00Z"), "02:00 CET");
        assert_eq!(berlin.words(at("2026-07-01T00:00:00Z")), "Europe/Berlin (CEST, UTC+02:00)");
    }

    #[test]
    fn a_local_time_is_the_first_moment_of_that_name() {
        let berlin = Zone::Named(Tz::Europe__Berlin);
        let moment = |text: &str| berlin.moment(text.parse().unwrap());
        assert_eq!(moment("2026-07-01T00:00:00"), Some(at("2026-06-30T22:00:00Z")));
        assert_eq!(moment("2026-10-25T02:30:00"), Some(at("2026-10-25T00:30:00Z")), "it comes twice");
        assert_eq!(moment("2026-03-29T02:30:00"), None, "it is jumped over");
    }

    #[test]
    fn what_is_no_name_counts_by_the_clock() {
        let east = FixedOffset::east_opt(5 * 3_600 + 1_800).unwrap();
        for name in [None, Some(""), Some("CET-1CEST,M3.5.0,M10.5.0/3"), Some("\u{1b}[2J")] {
            assert_eq!(Zone::of(name, east), Zone::Fixed(east), "{name:?}");
        }
        assert_eq!(Zone::of(Some(":america/new_york"), east), Zone::Named(Tz::America__New_York));
        assert_eq!(Zone::Fixed(east).words(at("2026-07-01T00:00:00Z")), "UTC+05:30");
        assert_eq!(Zone::UTC.short(at("2026-07-01T00:00:00Z")), "UTC");
    }
}
