//! How long to wait before trying again.
//!
//! Owns the one formula for it: full jitter over a doubling, capped range ("Exponential Backoff And Jitter", AWS Architecture
//! Blog, 2015), so that many waiters do not come back in step.

use std::time::Duration;

/// A growing delay with full jitter.
#[derive(Debug, Clone)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    tries: u32,
    rng: fastrand::Rng,
}

impl Backoff {
    /// Doubles from `base` up to `cap`.
    pub fn new(base: Duration, cap: Duration, rng: fastrand::Rng) -> Self {
        Self { base, cap, tries: 0, rng }
    }

    /// For a store that is away: 100 ms up to 2 s.
    pub fn quick() -> Self {
        Self::new(Duration::from_millis(100), Duration::from_secs(2), fastrand::Rng::new())
    }

    /// The range that the next delay is drawn from.
    pub fn range(&self) -> Duration {
        self.base.saturating_mul(2_u32.saturating_pow(self.tries)).min(self.cap)
    }

    /// The next delay: anything from nothing to [`Backoff::range`].
    pub fn next_delay(&mut self) -> Duration {
        let range = self.range();
        self.tries = self.tries.saturating_add(1);
        range.mul_f64(self.rng.f64())
    }

    /// After a success: from the beginning.
    pub fn reset(&mut self) {
        self.tries = 0;
    }
}

/// The delay before attempt `attempt + 1` of a handler: full jitter over 1 s, doubling, at most 60 s.
pub fn retry_delay(attempt: u32, rng: &mut fastrand::Rng) -> Duration {
    let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_mins(1), rng.fork());
    backoff.tries = attempt.saturating_sub(1);
    backoff.next_delay()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_doubles_up_to_its_cap_and_delays_stay_within_it() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_mins(1), fastrand::Rng::with_seed(1));
        let mut ranges = Vec::new();
        for _ in 0..8 {
            let range = backoff.range();
            assert!(backoff.next_delay() <= range);
            ranges.push(range.as_secs());
        }
        assert_eq!(ranges, [1, 2, 4, 8, 16, 32, 60, 60]);
        backoff.reset();
        assert_eq!(backoff.range(), Duration::from_secs(1));
    }
}
