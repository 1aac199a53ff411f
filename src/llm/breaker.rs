//! Breakers: who failed again and again is not asked for a while.
//!
//! Owns one state for each model of each provider, in this process. Must never wait, and never let more than one through to try.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::provider::{Fault, ProviderError};
use crate::config::ProviderName;
use crate::contracts::Clock;

/// Failures in a row that open a breaker.
pub const FAILURES: u32 = 5;

/// How long it is open the first time; twice as long each time that the one try fails, up to [`LONGEST`].
const COOLDOWN: Duration = Duration::from_secs(30);

/// The longest that it is open, unless the server asks for more.
const LONGEST: Duration = Duration::from_mins(10);

/// A server that asks to come back later than this is not asked before.
const LONG_WAIT: Duration = Duration::from_secs(10);

type Name = (ProviderName, String);

/// The breakers of this process.
#[derive(Clone)]
pub struct Breakers {
    all: Arc<Mutex<HashMap<Name, Breaker>>>,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Breakers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Breakers").field("all", &self.all).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Breaker {
    failures: u32,
    /// Open until then (monotonic).
    until: Option<Duration>,
    cooldown: Duration,
    /// Whether one is let through to try.
    is_tried: bool,
}

/// Why somebody is not asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IsOpen {
    /// For so long; none while another call tries.
    pub remaining: Option<Duration>,
}

/// Leave to make one call. Dropped without a word, it counts as none.
#[derive(Debug)]
pub struct Pass {
    breakers: Breakers,
    name: Name,
    is_try: bool,
}

impl Breakers {
    /// All closed.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { all: Arc::default(), clock }
    }

    fn with<R>(&self, name: &Name, change: impl FnOnce(&mut Breaker) -> R) -> R {
        change(self.all.lock().unwrap_or_else(PoisonError::into_inner).entry(name.clone()).or_default())
    }

    /// Leave to call.
    ///
    /// # Errors
    /// While the breaker is open.
    pub fn admit(&self, provider: ProviderName, model: &str) -> Result<Pass, IsOpen> {
        let name = (provider, model.to_owned());
        let now = self.clock.monotonic();
        let is_try = self.with(&name, |breaker| match breaker.until {
            None => Ok(false),
            Some(until) if now < until => Err(IsOpen { remaining: Some(until.saturating_sub(now)) }),
            Some(_) if breaker.is_tried => Err(IsOpen { remaining: None }),
            Some(_) => {
                breaker.is_tried = true;
                Ok(true)
            }
        })?;
        Ok(Pass { breakers: self.clone(), name, is_try })
    }

    /// How it stands, in a word or two.
    pub fn state(&self, provider: ProviderName, model: &str) -> String {
        let now = self.clock.monotonic();
        self.with(&(provider, model.to_owned()), |breaker| match breaker.until {
            None => "closed".to_owned(),
            Some(until) if now < until => format!("open for {} s", until.saturating_sub(now).as_secs() + 1),
            Some(_) => "half open".to_owned(),
        })
    }
}

impl Pass {
    /// It answered.
    pub fn succeeded(self) {
        self.breakers.with(&self.name, |breaker| *breaker = Breaker::default());
    }

    /// It failed.
    pub fn failed(self, err: &ProviderError) {
        if !counts(err.fault) {
            return;
        }
        let now = self.breakers.clock.monotonic();
        self.breakers.with(&self.name, |breaker| {
            breaker.failures = breaker.failures.saturating_add(1);
            let wait = err.retry_after.unwrap_or_default();
            let opens = breaker.failures >= FAILURES || self.is_try || err.fault.is_lasting() || wait > LONG_WAIT;
            if opens {
                let doubled = if breaker.cooldown.is_zero() { COOLDOWN } else { (breaker.cooldown * 2).min(LONGEST) };
                breaker.cooldown = if err.fault.is_lasting() { LONGEST } else { doubled };
                breaker.until = Some(now + breaker.cooldown.max(wait));
                let (provider, model) = &self.name;
                tracing::warn!(%provider, model, cooldown = ?breaker.cooldown, %err, "a breaker opens");
            }
        });
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if self.is_try {
            self.breakers.with(&self.name, |breaker| breaker.is_tried = false);
        }
    }
}

/// Whether a fault is the provider's, so that others would meet it as well.
fn counts(fault: Fault) -> bool {
    !matches!(fault, Fault::TooLarge | Fault::Truncated | Fault::TooLong)
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;

    use super::*;
    use crate::contracts::ManualClock;

    const NAME: ProviderName = ProviderName::Gemini;

    fn breakers() -> (Breakers, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::at(chrono::DateTime::UNIX_EPOCH));
        (Breakers::new(Arc::<ManualClock>::clone(&clock)), clock)
    }

    fn fail(breakers: &Breakers, fault: Fault) {
        breakers.admit(NAME, "m").unwrap().failed(&ProviderError::new(fault, "x"));
    }

    fn remaining(breakers: &Breakers) -> Option<Duration> {
        breakers.admit(NAME, "m").unwrap_err().remaining
    }

    #[test]
    fn it_opens_after_failures_in_a_row_refusals_too() {
        let (breakers, _) = breakers();
        for _ in 0..FAILURES - 1 {
            fail(&breakers, Fault::Refused);
        }
        breakers.admit(NAME, "m").unwrap().succeeded();
        for _ in 0..FAILURES {
            assert_eq!(breakers.state(NAME, "m"), "closed");
            fail(&breakers, Fault::Server);
        }
        assert_eq!(remaining(&breakers), Some(COOLDOWN));
        assert_eq!(breakers.state(NAME, "m"), "open for 31 s");
        assert!(breakers.admit(NAME, "other").is_ok(), "another model is another breaker");
    }

    #[test]
    fn one_try_goes_through_and_each_failed_one_doubles_the_wait() {
        let (breakers, clock) = breakers();
        (0..FAILURES).for_each(|_| fail(&breakers, Fault::Overloaded));
        let mut cooldown = COOLDOWN;
        for _ in 0..6 {
            clock.advance(cooldown);
            let pass = breakers.admit(NAME, "m").unwrap();
            assert_eq!(breakers.admit(NAME, "m").unwrap_err(), IsOpen { remaining: None }, "only one");
            pass.failed(&ProviderError::new(Fault::Overloaded, "x"));
            cooldown = (cooldown * 2).min(LONGEST);
            assert_eq!(remaining(&breakers), Some(cooldown));
        }
        clock.advance(cooldown);
        drop(breakers.admit(NAME, "m").unwrap());
        breakers.admit(NAME, "m").expect("a try that was cut off makes room for the next").succeeded();
        assert_eq!(breakers.state(NAME, "m"), "closed");
    }

    #[test]
    fn what_no_retry_can_mend_opens_it_at_once_and_what_is_the_questions_fault_never() {
        for fault in [Fault::Key, Fault::Billing, Fault::Exhausted, Fault::NoModel] {
            let (breakers, _) = breakers();
            fail(&breakers, fault);
            assert_eq!(remaining(&breakers), Some(LONGEST), "{fault:?}");
        }
        let (breakers, _) = breakers();
        (0..20).for_each(|_| fail(&breakers, Fault::Truncated));
        assert_eq!(breakers.state(NAME, "m"), "closed");
    }

    #[test]
    fn a_server_that_asks_for_a_long_wait_gets_it() {
        let (breakers, clock) = breakers();
        let wait = Duration::from_mins(20);
        let err = ProviderError { retry_after: Some(wait), ..ProviderError::new(Fault::RateLimited, "x") };
        breakers.admit(NAME, "m").unwrap().failed(&err);
        assert_eq!(remaining(&breakers), Some(wait));
        clock.advance(wait);
        assert!(breakers.admit(NAME, "m").is_ok());
    }
}
