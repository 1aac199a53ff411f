//! How many messages come: a count for each of the last seconds.
//!
//! Must never grow.

use chrono::{DateTime, Utc};

/// Seconds that are remembered.
const SECONDS: usize = 60;
/// Seconds over which the rate is taken.
const OVER: usize = 10;

/// Messages a second, lately.
#[derive(Debug, Clone)]
pub struct Rate {
    counts: [u32; SECONDS],
    /// The second that the last count is of.
    second: i64,
}

impl Default for Rate {
    fn default() -> Self {
        Self { counts: [0; SECONDS], second: 0 }
    }
}

impl Rate {
    /// One more.
    pub fn count(&mut self, now: DateTime<Utc>) {
        self.tick(now);
        let newest = &mut self.counts[SECONDS - 1];
        *newest = newest.saturating_add(1);
    }

    /// Moves on. A clock that went back counts in the same second.
    pub fn tick(&mut self, now: DateTime<Utc>) {
        let second = now.timestamp();
        let passed = usize::try_from(second - self.second).unwrap_or(0).min(SECONDS);
        if passed > 0 {
            self.counts.rotate_left(passed % SECONDS);
            self.counts[SECONDS - passed..].fill(0);
            self.second = second;
        }
    }

    /// Messages a second over the last ten whole seconds.
    pub fn per_second(&self) -> f64 {
        let sum: u32 = self.counts[SECONDS - 1 - OVER..SECONDS - 1].iter().sum();
        f64::from(sum) / f64::from(u32::try_from(OVER).unwrap_or(1))
    }

    /// The counts, oldest first.
    pub fn counts(&self) -> &[u32] {
        &self.counts
    }
}
