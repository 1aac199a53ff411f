//! Slots: a consumer's name is a lease, and only its holder reads what is pending under that name.
//!
//! Must never hand the same name to two consumers at the same time.

use std::time::Duration;

use super::super::{BusError, LeaseFence, Reader, SharedBus};

/// More consumers of one group on one host than this are refused.
const MOST_SLOTS: u32 = 256;

/// A held slot.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) reader: Reader,
    fence: LeaseFence,
    owner: String,
    ttl: Duration,
}

impl Slot {
    /// Takes the first free slot of the group on this host.
    pub(super) async fn take(
        bus: &SharedBus,
        group: &str,
        host: &str,
        owner: String,
        ttl: Duration,
    ) -> Result<Self, BusError> {
        for number in 0..MOST_SLOTS {
            let consumer = format!("{group}@{host}#{number}");
            if let Some(fence) = bus.lease(&lease_name(&consumer), &owner, ttl).await? {
                return Ok(Self { reader: Reader { group: group.to_owned(), consumer }, fence, owner, ttl });
            }
        }
        Err(BusError::Unsupported(format!(
            "all {MOST_SLOTS} slots of `{group}` on {host} are taken; stop some of its consumers"
        )))
    }

    /// Keeps the slot. False where somebody else holds it, or held it meanwhile.
    pub(super) async fn renew(&mut self, bus: &SharedBus) -> Result<bool, BusError> {
        let Some(fence) = bus.lease(&self.fence.name, &self.owner, self.ttl).await? else { return Ok(false) };
        // Lapsed and taken again by us, as after a restart of the server: the next number says that nobody was in between.
        let unbroken = fence.number <= self.fence.number + 1;
        self.fence = fence;
        Ok(unbroken)
    }

    pub(super) async fn give_up(&self, bus: &SharedBus) -> Result<(), BusError> {
        bus.unlease(&self.fence.name, &self.owner).await
    }
}

fn lease_name(consumer: &str) -> String {
    format!("slot:{consumer}")
}
