//! Figures and how they are shown: seconds as milliseconds, rates as whole numbers, ratios with two digits.

use serde::Serialize;

/// Times, in seconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Figure {
    /// Half of them are shorter.
    pub p50: f64,
    /// 99 of 100 are shorter.
    pub p99: f64,
}

/// One row: what was measured, the floor, and the ratio of ours to it.
#[derive(Debug, Clone, Serialize)]
pub struct Comparison {
    /// What was measured.
    pub what: &'static str,
    /// The floor's figures.
    pub floor: String,
    /// Ours.
    pub ours: String,
    /// Ours over the floor's.
    pub ratio: String,
    /// What we want to reach.
    pub reach: &'static str,
}

fn ms(figure: Figure) -> String {
    format!("p50 {:.3} ms, p99 {:.3} ms", figure.p50 * 1e3, figure.p99 * 1e3)
}

fn per_second(rate: f64) -> String {
    format!("{rate:.0}/s")
}

impl Comparison {
    /// The headings of a table of these.
    pub const HEADINGS: [&str; 5] = ["WHAT", "FLOOR", "OURS", "RATIO", "REACH"];

    /// Times beside times.
    pub fn times(what: &'static str, floor: Figure, ours: Figure, reach: &'static str) -> Self {
        let ratio = format!("p50 {:.2}, p99 {:.2}", ours.p50 / floor.p50, ours.p99 / floor.p99);
        Self { what, floor: ms(floor), ours: ms(ours), ratio, reach }
    }

    /// Rates beside rates.
    pub fn rates(what: &'static str, floor: f64, ours: f64, reach: &'static str) -> Self {
        Self { what, floor: per_second(floor), ours: per_second(ours), ratio: format!("{:.2}", ours / floor), reach }
    }

    /// As the row of a table.
    pub fn cells(&self) -> [String; 5] {
        [self.what.to_owned(), self.floor.clone(), self.ours.clone(), self.ratio.clone(), self.reach.to_owned()]
    }
}
