//! Hold: a consumer whose handler heeds it starts nothing while `fullsend:status` says `paused`.
//!
//! Owns looking, often enough that a change is seen within half a second. Must never stop what runs.

#[cfg(test)]
mod tests;

use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::bus::{BusError, Key, SharedBus, State};
use crate::contracts::keys;

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(250);

/// Whether everything is on hold, as far as is known.
pub(super) struct OnHold {
    bus: SharedBus,
    heeds: bool,
    on: bool,
    looking: BoxFuture<'static, Result<bool, BusError>>,
}

impl OnHold {
    /// Looks for the first time, so that nothing starts before it is known; one that does not heed it is never on hold.
    pub(super) async fn new(bus: &SharedBus, heeds: bool) -> Result<Self, BusError> {
        let on = heeds && look(bus).await?;
        Ok(Self { bus: SharedBus::clone(bus), heeds, on, looking: later(bus) })
    }

    /// Whether nothing may start.
    pub(super) fn is_on(&self) -> bool {
        self.on
    }

    /// Waits for the next look; a bus that is away leaves what is known.
    pub(super) async fn next(&mut self) {
        if !self.heeds {
            return std::future::pending().await;
        }
        let looked = (&mut self.looking).await;
        self.looking = later(&self.bus);
        match looked {
            Ok(on) => self.on = on,
            Err(err) => tracing::debug!(%err, "whether everything is on hold cannot be read"),
        }
    }
}

fn later(bus: &SharedBus) -> BoxFuture<'static, Result<bool, BusError>> {
    let bus = SharedBus::clone(bus);
    async move {
        tokio::time::sleep(LOOK).await;
        look(&bus).await
    }
    .boxed()
}

async fn look(bus: &SharedBus) -> Result<bool, BusError> {
    match bus.get(&Key::new(keys::STATUS)).await {
        // Something foreign there is no order.
        Err(BusError::ForeignType { .. }) => Ok(false),
        read => Ok(matches!(read?, Some(State::String(status)) if status.trim() == "paused")),
    }
}
