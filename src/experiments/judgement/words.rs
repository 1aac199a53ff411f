//! Verdicts in words.
//!
//! Must never round in favour of a verdict, nor repeat what somebody wrote without making it harmless.

use super::{Arm, Evidence, Judged, Variants};
use crate::contracts::messages::Direction;
use crate::contracts::untrusted::sanitize_line;
use crate::experiments::criteria::Comparison;
use crate::experiments::statistics::Count;

impl Judged {
    /// In a line: `12 of 400, 3.0 % (1.4–5.6 %), fails: 97 % sure`.
    pub fn words(&self) -> String {
        if let Some(why) = &self.why {
            let seen = self.evidence.as_ref().filter(|it| it.n > 0).map(|it| format!(" ({})", it.figures()));
            // The document may be anybody's.
            return format!("unknown: {}{}", sanitize_line(why, 200), seen.unwrap_or_default());
        }
        let is_failure = self.direction == Direction::Failure;
        match (&self.evidence, self.holds) {
            (Some(evidence), _) => format!("{}, {}", evidence.figures(), evidence.claim(is_failure)),
            (None, Some(holds)) => {
                let value = self.value.map(|value| format!("{}, ", number(value))).unwrap_or_default();
                let claim = match (is_failure, holds) {
                    (true, true) => "fails",
                    (true, false) => "does not fail",
                    (false, true) => "reached",
                    (false, false) => "not reached",
                };
                format!("{value}{claim}")
            }
            (None, None) => "unknown".to_owned(),
        }
    }
}

impl Evidence {
    /// `12 of 400, 3.0 % (1.4–5.6 %)`
    pub fn figures(&self) -> String {
        let young = self.n.saturating_sub(self.settled);
        let young = if young > 0 { format!(", {young} too young to judge") } else { String::new() };
        format!("{}{young}", figures(self.k, self.n, self.low, self.high))
    }

    /// What it says, and how sure that is.
    fn claim(&self, is_failure: bool) -> String {
        match (is_failure, self.proven) {
            (true, Some(true)) => format!("fails: {} sure", sure(self.sure)),
            (true, Some(false)) => format!("does not fail: {} sure", sure(self.sure_not)),
            (false, Some(true)) => format!("works: {} sure", sure(self.sure)),
            (false, Some(false)) => format!("does not work: {} sure", sure(self.sure_not)),
            (_, None) if self.sure == 0.0 && self.sure_not == 0.0 => "undecided".to_owned(),
            (_, None) => {
                let (holds, how_sure) =
                    if self.sure >= self.sure_not { (true, self.sure) } else { (false, self.sure_not) };
                let claim = match (is_failure, holds) {
                    (true, true) => "fails",
                    (true, false) => "does not fail",
                    (false, true) => "works",
                    (false, false) => "does not work",
                };
                format!("undecided: {claim}, {} sure", sure(how_sure))
            }
        }
    }
}

impl Variants {
    /// In a line: `reply_rate: b 8.0 % (40 of 500), a 4.0 % (20 of 500): b is better: 96 % sure`.
    pub fn words(&self) -> String {
        let arm = |arm: &Arm| {
            let share = Count { k: arm.k, n: arm.n }.share().unwrap_or_default();
            format!("{} {} ({} of {})", sanitize_line(&arm.name, 40), percent(share), arm.k, arm.n)
        };
        let arms: Vec<String> = self.arms.iter().map(arm).collect();
        format!("{}: {}: {}", sanitize_line(&self.metric, 60), arms.join(", "), self.claim())
    }

    /// Which is better, and how sure that is.
    pub fn claim(&self) -> String {
        let first = self.arms.first().map(|arm| sanitize_line(&arm.name, 40)).unwrap_or_default();
        if self.decided {
            format!("{first} is better: {} sure", sure(self.sure))
        } else {
            format!("undecided: {first} is better, {} sure", sure(self.sure))
        }
    }
}

impl Arm {
    /// `12 of 400, 3.0 % (1.4–5.6 %)`
    pub fn figures(&self) -> String {
        figures(self.k, self.n, self.low, self.high)
    }
}

fn figures(k: u64, n: u64, low: f64, high: f64) -> String {
    let share = Count { k, n }.share().map(percent).unwrap_or_default();
    if n == 0 {
        return "0 of 0".to_owned();
    }
    let [low, high] = [low, high].map(|edge| edge.clamp(0.0, 1.0) * 100.0);
    format!("{k} of {n}, {share} ({low:.1}–{high:.1} %)")
}

/// A share for people.
pub fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// A number for people: without digits that say nothing.
pub fn number(value: f64) -> String {
    if value.abs() >= 1e15 {
        format!("{value:e}")
    } else if value.fract() == 0.0 {
        format!("{value}")
    } else {
        format!("{}", (value * 10_000.0).round() / 10_000.0)
    }
}

/// How sure, in percent; never rounded up.
pub fn sure(confidence: f64) -> String {
    let percent = (confidence * 100.0).clamp(0.0, 100.0);
    if percent >= 99.0 {
        format!("{:.1} %", (percent * 10.0).floor() / 10.0)
    } else {
        format!("{:.0} %", percent.floor())
    }
}

/// On which side of the line a value is, for people.
pub fn side(how: Comparison) -> &'static str {
    match how {
        Comparison::Above => "above",
        Comparison::AtLeast => "at or above",
        Comparison::Below => "below",
        Comparison::AtMost => "at or below",
        Comparison::Equal => "equal to",
        Comparison::Unequal => "not",
    }
}
