//! Authors: how often each person may have a model look at what they say.
//!
//! Owns the count. Whoever says more is still heard: the rules look at it, which costs nothing.

use std::collections::{HashMap, VecDeque};

use chrono::{DateTime, TimeDelta, Utc};

/// Messages of one author that a model looks at, a minute.
const A_MINUTE: usize = 5;
/// And a day.
const A_DAY: usize = 100;
/// Authors that are remembered; beyond that, those who were silent the longest are forgotten.
const AUTHORS: usize = 10_000;

/// When each author last spoke.
#[derive(Debug, Default)]
pub(super) struct Authors {
    spoke: HashMap<String, VecDeque<DateTime<Utc>>>,
}

impl Authors {
    /// Counts a message of this author; false where it is more than a model should look at.
    pub(super) fn admits(&mut self, author: &str, now: DateTime<Utc>) -> bool {
        if self.spoke.len() >= AUTHORS && !self.spoke.contains_key(author) {
            let day = now - TimeDelta::days(1);
            self.spoke.retain(|_, times| times.back().is_some_and(|last| *last > day));
            if self.spoke.len() >= AUTHORS {
                return false;
            }
        }
        let times = self.spoke.entry(author.to_owned()).or_default();
        while times.front().is_some_and(|first| now - *first > TimeDelta::days(1)) {
            times.pop_front();
        }
        let lately = times.iter().rev().take_while(|time| now - **time < TimeDelta::minutes(1)).count();
        if lately >= A_MINUTE || times.len() >= A_DAY {
            return false;
        }
        times.push_back(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_a_minute_and_a_hundred_a_day() {
        let mut authors = Authors::default();
        let start = DateTime::<Utc>::UNIX_EPOCH;
        let at = |seconds: i64| start + TimeDelta::seconds(seconds);
        assert_eq!((0..6).filter(|second| authors.admits("mara", at(*second))).count(), 5);
        assert!(authors.admits("jake", at(5)), "each has their own");
        assert!(authors.admits("mara", at(61)));
        let admitted = (0..500).filter(|n| authors.admits("bot", at(n * 30))).count();
        assert_eq!(admitted, 100);
        assert!(authors.admits("bot", at(86_400 + 60)));
    }
}
