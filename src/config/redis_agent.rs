//! Settings of the Redis Agent: how often it says the same, and how things stand.
//!
//! Owns their table. The names of their variables and their defaults are those of the founding designs, in seconds.

use std::time::Duration;

use super::setting::{Row, Slot};
use super::{DAY, seconds};

/// Settings of the Redis Agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisAgentConfig {
    /// The same criterion does not raise two alerts within this.
    pub alert_cooldown: Duration,
    /// A message counts against a share of answers only after this, or the experiment's own window where that is longer.
    pub settle: Duration,
    /// How often a summary says how things stand.
    pub summary_interval: Duration,
}

impl Default for RedisAgentConfig {
    fn default() -> Self {
        Self { alert_cooldown: seconds(300), settle: DAY, summary_interval: seconds(3_600) }
    }
}

impl RedisAgentConfig {
    pub(super) fn rows(&mut self) -> Vec<Row<'_>> {
        vec![
            Row::new(
                "redis_agent.alert_cooldown",
                Slot::Duration(&mut self.alert_cooldown, seconds(0)..=7 * DAY),
                "The same criterion of an experiment does not raise two alerts within this; the second waits for it.",
            )
            .founding_seconds(&["ALERT_COOLDOWN_SECONDS"]),
            Row::new(
                "redis_agent.settle",
                Slot::Duration(&mut self.settle, seconds(0)..=30 * DAY),
                "A message that was sent to a person counts against a share of answers only after this, or after the experiment's own \
                 `measuring.window` where that is longer: before, it may still be answered. In a simulation its own days count.",
            ),
            Row::new(
                "redis_agent.summary_interval",
                Slot::Duration(&mut self.summary_interval, seconds(60)..=7 * DAY),
                "How often it is said how the experiments stand, if there are any.",
            )
            .founding_seconds(&["SUMMARY_INTERVAL_SECONDS"]),
        ]
    }
}
