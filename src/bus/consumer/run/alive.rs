//! Keeping what is held alive, taking over what others left, and coming to an end.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::Instant;

use super::{Loop, next_answer, take_slot};
use crate::bus::consumer::Handler;
use crate::bus::consumer::window::HeldKey;
use crate::bus::{BusError, Commit, Reader, letters};
use crate::contracts::messages::Severity;
use crate::contracts::{ChannelName, Trust};

/// More than a consumer can hold: its window, its slots, its retries, and what a takeover brought.
const MOST_HANDED_BACK: usize = 10_000;

impl<H: Handler> Loop<'_, H> {
    pub(super) async fn beat(&mut self) -> Result<(), BusError> {
        let bus = Arc::clone(&self.consumer.bus);
        match self.slot.renew(&bus).await {
            Ok(true) => {}
            Ok(false) => {
                // Somebody else reads what is pending under the old name. What runs goes on: the first commit wins.
                tracing::warn!(
                    slot = self.slot.reader.consumer,
                    "the slot was lost: this process stood still for too long"
                );
                self.window.drain();
                self.delayed.clear();
                match take_slot(self.consumer).await {
                    Ok(slot) => self.slot = slot,
                    Err(err) => return self.bus_failed(&err, "slot").await,
                }
            }
            Err(err) => return self.bus_failed(&err, "heartbeat").await,
        }
        let held: Vec<HeldKey> = self.held_keys().into_iter().collect();
        if !held.is_empty() {
            match bus.extend(&self.slot.reader, &held).await {
                Ok(lost) => {
                    self.window.forget(&lost);
                    self.delayed.retain(|(_, held, _)| !lost.contains(&held.key()));
                }
                Err(err) => return self.bus_failed(&err, "heartbeat").await,
            }
        }
        self.take_over(&bus).await
    }

    pub(super) async fn take_over(&mut self, bus: &crate::bus::SharedBus) -> Result<(), BusError> {
        let options = &self.consumer.options;
        // All that a dead consumer can have held, at once, beside the own window: it is older than what waits there.
        let room = (2 * options.window + self.slots).saturating_sub(self.window.len());
        if room == 0 {
            return Ok(());
        }
        match bus.claim_stale(&self.slot.reader, &self.channels, options.stale_after, room).await {
            Ok(claims) => {
                if !claims.claimed.is_empty() {
                    tracing::info!(group = self.consumer.group, count = claims.claimed.len(), "took over stale work");
                }
                self.take_claims(claims).await;
                Ok(())
            }
            Err(err) => self.bus_failed(&err, "takeover").await,
        }
    }

    pub(super) async fn alert(
        &mut self,
        what: &str,
        channel: ChannelName,
        severity: Severity,
        message: &str,
        fix: &str,
    ) {
        let origin = self.consumer.origin(Trust::System);
        let alert_id = format!("{what}:{}:{}", self.consumer.group, channel.short());
        tracing::error!(%message, alert_id);
        let ops = letters::alert(&origin, alert_id, severity, message, fix);
        if let Err(err) = self.consumer.bus.commit(vec![Commit::of(ops)]).await {
            tracing::error!(%err, "the alert could not be said on the bus");
        }
    }

    /// Lets running handlers finish, hands back everything else, and gives up the slot.
    pub(super) async fn wind_down(&mut self) -> Result<(), BusError> {
        self.reading = None;
        let deadline = Instant::now() + self.consumer.options.drain;
        let mut heartbeat = tokio::time::interval(self.consumer.options.heartbeat);
        self.push_out();
        while (!self.running.is_empty() || !self.units.is_empty() || self.committing.is_some())
            && Instant::now() < deadline
        {
            tokio::select! {
                answer = next_answer(&mut self.committing) => self.take_answer(answer).await?,
                Some(done) = self.running.join_next() => self.settle(done),
                _ = heartbeat.tick() => {
                    let held: Vec<HeldKey> = self.running_keys.iter().copied().collect();
                    self.consumer.bus.extend(&self.slot.reader, &held).await.ok();
                }
                () = tokio::time::sleep_until(deadline) => {}
            }
            // A bus that is away is asked again with the next heartbeat, until the deadline.
            self.quiet_until = None;
            self.push_out();
        }
        self.running.shutdown().await;
        self.hand_back().await;
        self.consumer.counts.holding.store(0, Ordering::Relaxed);
        Ok(())
    }

    /// Whatever is still pending under our name, a dropped read's messages included, is free for others at once.
    async fn hand_back(&mut self) {
        let bus = &self.consumer.bus;
        let reader: &Reader = &self.slot.reader;
        self.window.drain();
        self.delayed.clear();
        // All in one go: what is released stays under our name until somebody takes it.
        match bus.own_pending(reader, &self.channels, MOST_HANDED_BACK).await {
            Ok(claims) => {
                let held: Vec<HeldKey> =
                    claims.claimed.iter().map(|claimed| (claimed.entry.channel, claimed.entry.id)).collect();
                tracing::debug!(count = held.len(), "handing back");
                if let Err(err) = bus.release(reader, &held).await {
                    tracing::warn!(%err, "could not hand back; others take over when the messages are stale");
                }
            }
            Err(err) => tracing::warn!(%err, "could not hand back; others take over when the messages are stale"),
        }
        if let Err(err) = self.slot.give_up(bus).await {
            tracing::debug!(%err, "the slot was not given up; it lapses");
        }
    }
}
