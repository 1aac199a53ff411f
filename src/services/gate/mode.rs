//! The modes that gates on this bus run in: where they differ, the stricter one counts, whoever takes a proposal.
//!
//! Owns the documents `gate:mode:{mode}`, each of which lives as long as a gate of that mode does. Must never make anything less strict
//! than this process is told to be.

use std::convert::Infallible;
use std::time::Duration;

use crate::bus::{BusError, Commit, Expect, Key, Op, SharedBus, Ttl};
use crate::config::Mode;
use crate::contracts::keys;

/// The strictest first.
const MODES: [Mode; 3] = [Mode::Manual, Mode::Guarded, Mode::Autopilot];
/// How often a gate says in which mode it runs.
const EVERY: Duration = Duration::from_secs(2);
/// A gate that is silent for so long is gone.
const KEPT: Duration = Duration::from_secs(8);

fn key(mode: Mode) -> Key {
    // The name of a mode can be part of a key.
    Key::new(keys::gate_mode(&mode.to_string()).unwrap_or_default())
}

/// The modes that gates run in now, the strictest first.
///
/// # Errors
/// Where the bus cannot be read.
pub async fn running(bus: &SharedBus) -> Result<Vec<Mode>, BusError> {
    let found = bus.get_many(&MODES.map(key), Some(&["mode"])).await?;
    // What somebody else put there is no mode of anybody's.
    let there = MODES.into_iter().zip(found).filter(|(_, found)| matches!(found, Ok(Some(_))));
    Ok(there.map(|(mode, _)| mode).collect())
}

/// The mode that counts for a gate of this one.
pub(super) async fn counting(bus: &SharedBus, own: Mode) -> Result<Mode, BusError> {
    if own == MODES[0] {
        return Ok(own);
    }
    let running = running(bus).await?;
    Ok(MODES.into_iter().find(|mode| *mode == own || running.contains(mode)).unwrap_or(own))
}

/// Says that a gate runs in this mode, for as long as it is polled. Where the bus is away it is said when it is back.
pub async fn keep_saying(bus: &SharedBus, mode: Mode) -> Infallible {
    loop {
        let fields = vec![("mode".to_owned(), Some(mode.to_string()))];
        let op = Op::Change { key: key(mode), expect: Expect::Any, fields, ttl: Ttl::Set(KEPT) };
        if let Err(err) = bus.commit(vec![Commit::of(vec![op])]).await {
            tracing::debug!(%err, %mode, "the mode of this gate could not be said");
        }
        tokio::time::sleep(EVERY).await;
    }
}
