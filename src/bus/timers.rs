//! Timers: says what was to be said at a time.
//!
//! Must never say anything before its time, or twice.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::leased::Singleton;
use super::{BusError, LeaseFence, SharedBus};
use crate::contracts::Clock;

/// How late a timer may be.
const TICK: Duration = Duration::from_millis(200);
/// Timers of one call.
const BATCH: usize = 256;

/// The holder of the lease `timers`.
pub struct Timers {
    /// The bus.
    pub bus: SharedBus,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Timers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Timers")
    }
}

impl Singleton for Timers {
    fn lease(&self) -> &'static str {
        "timers"
    }

    async fn work(&self, fence: LeaseFence, stop: CancellationToken) -> Result<(), BusError> {
        while !stop.is_cancelled() {
            let fired = self.bus.fire_timers(self.clock.now(), BATCH, &fence).await?;
            if fired < BATCH {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = tokio::time::sleep(TICK) => {}
                }
            }
        }
        Ok(())
    }
}
