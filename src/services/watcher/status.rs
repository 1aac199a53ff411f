//! How things stand, counted from state.
//!
//! Owns the count. Must never guess: what cannot be read is not counted, and an error is an error.

use crate::bus::{BusError, Key, SharedBus, State};
use crate::contracts::keys;
use crate::contracts::lifecycle::ExperimentState;
use crate::llm::tasks::respond::Status;
use crate::memory::Memory;
use crate::services::wording::line;

/// Runs that are told of.
const RUNS: usize = 3;

/// How things stand.
///
/// # Errors
/// Where the store cannot be reached.
pub async fn gather(bus: &SharedBus, memory: &Memory) -> Result<Status, BusError> {
    let team = memory.load(bus).await?;
    let held = match bus.get(&Key::new(keys::STATUS)).await? {
        Some(State::String(status)) => Some(status == "paused"),
        _ => None,
    };
    let running = team
        .experiments
        .iter()
        .filter(|experiment| ExperimentState::read(&experiment.state) == Some(ExperimentState::Running))
        .count();
    let waiting = crate::approvals::record::pending(bus).await?.len();
    Ok(Status {
        held,
        experiments: count(team.experiments.len()),
        running: count(running),
        waiting: count(waiting),
        recent_runs: team.recent_runs.iter().take(RUNS).map(|run| line(run, 160)).collect(),
    })
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
