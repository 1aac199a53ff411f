//! Whether a failed attempt is made again, and when.
//!
//! Owns the policy: by what went wrong, never by a status alone. Must never wait itself.

use std::time::Duration;

use super::provider::ProviderError;
use crate::bus::backoff::Backoff;

/// Attempts at one model, the first included.
pub const ATTEMPTS: u32 = 3;

/// The first range that a delay is drawn from, and the widest; those of Anthropic's own client.
const BASE: Duration = Duration::from_millis(500);
const CAP: Duration = Duration::from_secs(8);

/// Those whom a server tells the same time do not all come in the same instant: at most so much is added.
const SPREAD: Duration = Duration::from_millis(250);

/// The delays of one call.
#[derive(Debug)]
pub struct Retry {
    backoff: Backoff,
    rng: fastrand::Rng,
    failed: u32,
}

impl Retry {
    /// For a new call.
    pub fn new(mut rng: fastrand::Rng) -> Self {
        Self { backoff: Backoff::new(BASE, CAP, rng.fork()), rng, failed: 0 }
    }

    /// How long to wait after this failure, with so much time left for the whole call; none to give up.
    ///
    /// Half of the time must be left for the answer itself: a wait that takes more is not worth it.
    pub fn delay(&mut self, err: &ProviderError, left: Duration) -> Option<Duration> {
        self.failed += 1;
        let is_worth_it = match err.should_retry {
            Some(said) => said && !err.fault.is_lasting(),
            None => err.fault.is_passing(),
        };
        if !is_worth_it || self.failed >= ATTEMPTS {
            return None;
        }
        let drawn = self.backoff.next_delay();
        let delay = err.retry_after.map_or(drawn, |wait| wait + SPREAD.mul_f64(self.rng.f64()));
        (delay <= left / 2).then_some(delay)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::llm::provider::Fault;

    const MINUTE: Duration = Duration::from_mins(1);

    fn retry() -> Retry {
        Retry::new(fastrand::Rng::with_seed(7))
    }

    #[rstest]
    #[case(Fault::Unreachable, true)]
    #[case(Fault::Silent, true)]
    #[case(Fault::CutOff, true)]
    #[case(Fault::RateLimited, true)]
    #[case(Fault::Overloaded, true)]
    #[case(Fault::Server, true)]
    #[case(Fault::Malformed, true)]
    #[case(Fault::Exhausted, false)]
    #[case(Fault::Key, false)]
    #[case(Fault::Billing, false)]
    #[case(Fault::NoModel, false)]
    #[case(Fault::Request, false)]
    #[case(Fault::TooLarge, false)]
    #[case(Fault::Refused, false)]
    #[case(Fault::Truncated, false)]
    #[case(Fault::TooLong, false)]
    fn only_what_passes_is_tried_again(#[case] fault: Fault, #[case] again: bool) {
        let mut err = ProviderError::new(fault, "x");
        assert_eq!(retry().delay(&err, MINUTE).is_some(), again);
        err.should_retry = Some(false);
        assert_eq!(retry().delay(&err, MINUTE), None);
        err.should_retry = Some(true);
        assert_eq!(retry().delay(&err, MINUTE).is_some(), !fault.is_lasting(), "the server knows better");
    }

    #[test]
    fn the_servers_wait_is_kept_and_attempts_are_counted() {
        let err = |seconds| ProviderError {
            retry_after: Some(Duration::from_secs(seconds)),
            ..ProviderError::new(Fault::RateLimited, "x")
        };
        let mut it = retry();
        for _ in 1..ATTEMPTS {
            let delay = it.delay(&err(7), MINUTE).unwrap();
            assert!((7_000..=7_250).contains(&delay.as_millis()), "{delay:?}");
        }
        assert_eq!(it.delay(&err(7), MINUTE), None);
        assert_eq!(retry().delay(&err(31), MINUTE), None, "too little would be left for the answer");
    }

    #[test]
    fn without_a_word_of_the_server_delays_are_drawn_from_growing_ranges() {
        let err = ProviderError::new(Fault::Overloaded, "x");
        for seed in 0..50 {
            let mut it = Retry::new(fastrand::Rng::with_seed(seed));
            assert!(it.delay(&err, MINUTE).unwrap() <= BASE);
            assert!(it.delay(&err, MINUTE).unwrap() <= BASE * 2);
        }
    }
}
