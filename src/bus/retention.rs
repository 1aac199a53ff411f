//! Retention: keeps streams at their age and length, and says when a group stands still.
//!
//! Must never remove what a group still needs: a group that nobody reads any more holds trimming back until the operator drops it.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use tokio_util::sync::CancellationToken;

use super::effects::Origin;
use super::leased::Singleton;
use super::waiting::{unread_for, waiting};
use super::{BusError, Commit, GroupInfo, LeaseFence, SharedBus, letters};
use crate::contracts::messages::Severity;
use crate::contracts::{ChannelKind, ChannelName, Clock, Ids, Trust};

/// How often streams are trimmed.
const EVERY: Duration = Duration::from_secs(30);
/// A group whose consumers were silent for this long raises an alert, once a day.
pub const IDLE_ALERT: Duration = Duration::from_hours(24);

/// How much of a channel is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionPolicy {
    /// Nothing older.
    pub age: Duration,
    /// No more entries.
    pub length: u64,
}

impl Default for RetentionPolicy {
    fn default() -> Self {
        Self { age: Duration::from_hours(7 * 24), length: 100_000 }
    }
}

/// The holder of the lease `trimmer`.
pub struct Trimmer {
    /// The bus.
    pub bus: SharedBus,
    /// How much is kept.
    pub policy: RetentionPolicy,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// For the ids of alerts.
    pub ids: Arc<Ids>,
}

impl std::fmt::Debug for Trimmer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trimmer").field("policy", &self.policy).finish_non_exhaustive()
    }
}

impl Trimmer {
    /// Trims every work channel once, until `stop`; returns how many entries went.
    ///
    /// # Errors
    /// Where the bus cannot be reached.
    pub async fn trim(&self, stop: &CancellationToken) -> Result<u64, BusError> {
        let age = TimeDelta::from_std(self.policy.age).unwrap_or(TimeDelta::MAX);
        let older_than = self.clock.now().checked_sub_signed(age).unwrap_or_default();
        let mut gone = 0;
        for channel in work_channels() {
            // An engine trims in batches: dropped, it ends after the one that is under way.
            let trimmed = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                trimmed = self.bus.trim(channel, older_than, self.policy.length) => trimmed,
            };
            match trimmed {
                Ok(trimmed) => gone += trimmed,
                // One bad key does not keep the other channels from being trimmed; `doctor` names it.
                Err(err @ BusError::ForeignType { .. }) => tracing::error!(%channel, %err, "not trimmed"),
                Err(err) => return Err(err),
            }
        }
        Ok(gone)
    }

    /// Raises an alert for each group that nobody has read for a day, once a day.
    ///
    /// # Errors
    /// Where the bus cannot be reached.
    pub async fn look_for_idle_groups(
        &self,
        fence: Option<&LeaseFence>,
        stop: &CancellationToken,
    ) -> Result<(), BusError> {
        for channel in work_channels() {
            if stop.is_cancelled() {
                break;
            }
            let groups = match self.bus.inspect(channel).await {
                Ok(info) => info.groups,
                Err(BusError::ForeignType { .. }) => continue,
                Err(err) => return Err(err),
            };
            for group in groups {
                let unread = unread_for(&self.bus, channel, &group, self.clock.now()).await?;
                if let Some(idle) = unread.filter(|idle| *idle >= IDLE_ALERT) {
                    self.alert_idle(channel, &group, idle, fence).await?;
                }
            }
        }
        Ok(())
    }

    async fn alert_idle(
        &self,
        channel: ChannelName,
        group: &GroupInfo,
        idle: Duration,
        fence: Option<&LeaseFence>,
    ) -> Result<(), BusError> {
        let name = &group.group;
        let hours = idle.as_secs() / 3600;
        let waiting = waiting(&self.bus, channel, group).await?;
        let message = format!(
            "nobody has read {channel} for the group `{name}` for {hours} hours; {waiting} messages wait, and nothing is trimmed past them"
        );
        let fix =
            format!("start the service `{name}`, or drop the group: `fullsend groups drop {} {name}`", channel.short());
        let alert_id = format!("idle-group:{name}:{}", channel.short());
        let origin = Origin::new(Arc::clone(&self.clock), Arc::clone(&self.ids), Trust::System);
        let once = format!("{alert_id}:{}", self.clock.now().format("%Y-%m-%d"));
        let ops = letters::alert(&origin, alert_id, Severity::Warning, &message, &fix);
        self.bus.commit(vec![Commit { once: Some(once), under: fence.cloned(), ..Commit::of(ops) }]).await?;
        Ok(())
    }
}

fn work_channels() -> impl Iterator<Item = ChannelName> {
    ChannelName::ALL.iter().copied().filter(|channel| channel.route().kind == ChannelKind::Work)
}

impl Singleton for Trimmer {
    fn lease(&self) -> &'static str {
        "trimmer"
    }

    async fn work(&self, fence: LeaseFence, stop: CancellationToken) -> Result<(), BusError> {
        while !stop.is_cancelled() {
            let gone = self.trim(&stop).await?;
            if gone > 0 {
                tracing::info!(gone, "trimmed");
            }
            self.look_for_idle_groups(Some(&fence), &stop).await?;
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(EVERY) => {}
            }
        }
        Ok(())
    }
}
