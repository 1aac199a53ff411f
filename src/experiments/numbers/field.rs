//! Numbers of one name, added up, with a sketch of how they are spread.
//!
//! Must never give a number of nothing.

use std::fmt::Write as _;

use sketches_ddsketch::{Config, DDSketch};

use super::as_float;
use crate::experiments::criteria::Aggregate;

/// How exact quantiles are.
const EXACT: f64 = 0.01;

/// Numbers of one name, added up.
#[derive(Clone)]
pub(super) struct Field {
    pub(super) sum: f64,
    pub(super) count: u64,
    pub(super) min: f64,
    pub(super) max: f64,
    pub(super) latest: f64,
    pub(super) sketch: DDSketch,
}

impl std::fmt::Debug for Field {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Field").field("sum", &self.sum).field("count", &self.count).finish_non_exhaustive()
    }
}

impl Default for Field {
    fn default() -> Self {
        let sketch = DDSketch::new(Config::new(EXACT, 2048, 1e-9));
        Self { sum: 0.0, count: 0, min: f64::INFINITY, max: f64::NEG_INFINITY, latest: 0.0, sketch }
    }
}

impl Field {
    pub(super) fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.latest = value;
        self.sketch.add(value);
    }

    pub(super) fn value(&self, aggregate: Aggregate) -> Option<f64> {
        if self.count == 0 {
            return None;
        }
        let quantile = |q| self.sketch.quantile(q).ok().flatten();
        match aggregate {
            Aggregate::Sum => Some(self.sum),
            Aggregate::Avg => Some(self.sum / as_float(self.count)),
            Aggregate::Min => Some(self.min),
            Aggregate::Max => Some(self.max),
            Aggregate::Latest => Some(self.latest),
            Aggregate::Count => Some(as_float(self.count)),
            Aggregate::P50 => quantile(0.5),
            Aggregate::P95 => quantile(0.95),
            Aggregate::Rate => None,
        }
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}
