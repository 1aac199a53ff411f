//! Who else serves this bus already.
//!
//! Must never take a consumer for alive because it was so a moment ago: one that was just stopped looks like that too.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::bus::{BusError, SharedBus};
use crate::contracts::untrusted::sanitize_line;
use crate::contracts::{ChannelName, ServiceName};

/// A consumer that lives gives a sign of it at least this often: its heartbeat, or a read that comes back.
const SIGN: Duration = Duration::from_millis(1_500);
/// How long between two looks.
const LOOK: Duration = Duration::from_millis(100);
/// Characters of a name that are shown.
const NAME_LIMIT: usize = 100;

/// The consumers that give a sign of life while we look. Takes no time where none gave one lately, and at most [`SIGN`].
pub(super) async fn others(bus: &SharedBus) -> Result<Vec<String>, BusError> {
    let began = Instant::now();
    loop {
        // Before the look, so that a slow answer does not make a sign from before the beginning count.
        let looked_for = began.elapsed();
        let found = idle(bus).await?;
        let alive = found.iter().filter(|(_, idle)| **idle < looked_for);
        let alive: Vec<String> = alive.map(|(name, _)| name.clone()).collect();
        if !alive.is_empty() || !found.values().any(|idle| *idle < SIGN) {
            return Ok(alive);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The consumers of the groups that this version serves, and since when each has been silent.
async fn idle(bus: &SharedBus) -> Result<BTreeMap<String, Duration>, BusError> {
    let served = |channel: &ChannelName| channel.route().groups.iter().any(|service| service.is_built());
    let mut found = BTreeMap::new();
    for channel in ChannelName::ALL.iter().copied().filter(served) {
        let groups = match bus.inspect(channel).await {
            Ok(info) => info.groups,
            // `doctor` names it.
            Err(BusError::ForeignType { .. }) => continue,
            Err(err) => return Err(err),
        };
        let ours = groups.into_iter().filter(|group| group.group.parse().is_ok_and(ServiceName::is_built));
        for consumer in ours.flat_map(|group| group.consumers) {
            let idle = found.entry(sanitize_line(&consumer.consumer, NAME_LIMIT)).or_insert(consumer.idle);
            *idle = consumer.idle.min(*idle);
        }
    }
    Ok(found)
}
