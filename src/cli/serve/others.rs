//! Who else serves this bus: whoever says that it is alive while we listen.
//!
//! Must never take what a stopped process left behind (a lease, a consumer) for a process that runs.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use crate::bus::{BusError, SharedBus};
use crate::contracts::messages::Health;
use crate::contracts::untrusted::sanitize_line;
use crate::contracts::{Body, ChannelName};
use crate::supervisor::HEARTBEAT;

/// Long enough to hear a heartbeat of everybody.
const LISTEN: Duration = HEARTBEAT.saturating_add(Duration::from_secs(1));
/// Characters of a name that are shown.
const NAME_LIMIT: usize = 100;

/// The other instances (`host/pid`) that give a sign of life. Takes [`LISTEN`].
pub(super) async fn others(bus: &SharedBus, own: &str) -> Result<Vec<String>, BusError> {
    let until = Instant::now() + LISTEN;
    let mut listener = bus.listen(&[ChannelName::Health]).await?;
    let mut found = BTreeSet::new();
    while let Ok(Some(heard)) = tokio::time::timeout_at(until, listener.heard.recv()).await {
        if let Ok(Health::Heartbeat(beat)) = Health::read(&heard.body)
            && beat.instance != own
        {
            found.insert(sanitize_line(&beat.instance, NAME_LIMIT));
        }
    }
    Ok(found.into_iter().collect())
}
