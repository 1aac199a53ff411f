//! Time from outside.
//!
//! Owns the one way to ask what time it is. Nothing else in the program reads a clock, so that tests decide what time it is.
//! Must never be used to wait: waiting is tokio's (whose clock tests pause).

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

/// Where the time comes from.
pub trait Clock: Send + Sync + 'static {
    /// The wall clock, UTC. It may jump, either way; use it for what people read and for deadlines that people set.
    fn now(&self) -> DateTime<Utc>;

    /// Time since a moment that all processes of this machine share and that never jumps (`CLOCK_MONOTONIC`).
    ///
    /// Leases and idle times are measured with it. It starts again at boot, see [`Clock::boot`].
    fn monotonic(&self) -> Duration;

    /// Names the boot that [`Clock::monotonic`] counts from; readings of two boots cannot be compared.
    fn boot(&self) -> String;
}

/// The machine's own clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the machine")]
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    fn monotonic(&self) -> Duration {
        // The call cannot fail for this clock; zero would only make leases look old, which is safe.
        nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from)
    }

    fn boot(&self) -> String {
        // Linux only; elsewhere every start looks like a new boot, so leases of a dead holder lapse at once.
        std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
            .map_or_else(|_| format!("process-{}", std::process::id()), |id| id.trim().to_owned())
    }
}

/// A clock that stands still until a test moves it.
#[derive(Debug)]
pub struct ManualClock {
    wall_ms: AtomicI64,
    monotonic_ms: AtomicU64,
}

impl ManualClock {
    /// A clock that shows `at`.
    pub fn at(at: DateTime<Utc>) -> Self {
        Self { wall_ms: AtomicI64::new(at.timestamp_millis()), monotonic_ms: AtomicU64::new(1_000_000) }
    }

    /// Lets `by` pass on both clocks.
    pub fn advance(&self, by: Duration) {
        let ms = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.monotonic_ms.fetch_add(ms, Ordering::SeqCst);
        self.jump(TimeDelta::from_std(by).unwrap_or(TimeDelta::MAX));
    }

    /// Moves the wall clock alone, forwards or backwards, as an administrator or a time server does.
    pub fn jump(&self, by: TimeDelta) {
        self.wall_ms.fetch_add(by.num_milliseconds(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.wall_ms.load(Ordering::SeqCst)).unwrap_or_default()
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.monotonic_ms.load(Ordering::SeqCst))
    }

    fn boot(&self) -> String {
        "manual".to_owned()
    }
}

/// A clock that follows tokio's own time, which tests pause and advance: waiting and reading the time then agree.
#[derive(Debug, Clone)]
pub struct TokioClock {
    began: tokio::time::Instant,
    base: DateTime<Utc>,
}

impl TokioClock {
    /// A clock that shows `base` now. Must be made inside a runtime whose time is the one to follow.
    pub fn from(base: DateTime<Utc>) -> Self {
        Self { began: tokio::time::Instant::now(), base }
    }
}

impl Clock for TokioClock {
    fn now(&self) -> DateTime<Utc> {
        self.base + TimeDelta::from_std(self.began.elapsed()).unwrap_or(TimeDelta::MAX)
    }

    fn monotonic(&self) -> Duration {
        self.began.elapsed() + Duration::from_secs(1_000)
    }

    fn boot(&self) -> String {
        "tokio".to_owned()
    }
}
