//! Keeping what is held alive, taking over what others left, and coming to an end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::Instant;

use super::parked::{self, MOST_PARKED};
use super::{Loop, next_answer, take_slot};
use crate::bus::consumer::Handler;
use crate::bus::consumer::window::{Held, HeldKey};
use crate::bus::{BusError, Claims, Commit, EntryId, Outcome, Reader, letters};
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
                    "the slot was lost: this process stood still for too long, or the server lost its data"
                );
                self.window.drain();
                self.delayed.clear();
                self.parked.clear();
                // Where it has lapsed again meanwhile, renewing has just made it ours: another process may have it.
                if let Err(err) = self.slot.give_up(&bus).await {
                    tracing::debug!(%err, "the lost slot was not given up; it lapses");
                }
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
                    self.parked.retain(|unit| parked::key(unit).is_none_or(|key| !lost.contains(&key)));
                }
                Err(err) => return self.bus_failed(&err, "heartbeat").await,
            }
        }
        self.take_back().await;
        self.take_over(&bus).await
    }

    pub(super) async fn take_over(&mut self, bus: &crate::bus::SharedBus) -> Result<(), BusError> {
        let options = &self.consumer.options;
        // All that a dead consumer can have held, at once, beside the own window: it is older than what waits there.
        let room = (2 * options.window + self.slots).saturating_sub(self.window.len());
        if room == 0 || self.parked.len() >= MOST_PARKED {
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

    pub(super) async fn take_claims(&mut self, claims: Claims) {
        let now = self.consumer.clock.monotonic();
        for claimed in claims.claimed {
            let key = (claimed.entry.channel, claimed.entry.id);
            let known = self.held_keys().contains(&key);
            if !known {
                self.window.put(Held::new(claimed, false, now));
            }
        }
        self.say_vanished(&claims.vanished).await;
    }

    async fn say_vanished(&mut self, vanished: &[HeldKey]) {
        let mut gone: BTreeMap<ChannelName, Vec<EntryId>> = BTreeMap::new();
        for (channel, id) in vanished {
            gone.entry(*channel).or_default().push(*id);
        }
        for (channel, ids) in gone {
            let first = ids.iter().min().copied().unwrap_or_default();
            let message = format!(
                "{} unhandled messages of {channel} are gone from its stream (the first is {first}): somebody trimmed or deleted them",
                ids.len()
            );
            let fix = "let only `fullsend` trim its streams; it never removes what a group still needs";
            self.alert("messages-vanished", channel, Severity::Critical, &message, fix).await;
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
        self.say_alert(what, channel, severity, message, fix, None).await;
    }

    /// An alert for something that lasts: at most one an hour, whichever consumers meet it.
    pub(super) async fn alert_hourly(
        &mut self,
        what: &str,
        channel: ChannelName,
        severity: Severity,
        message: &str,
        fix: &str,
    ) {
        let hour = self.consumer.clock.now().format("%Y-%m-%dT%H").to_string();
        self.say_alert(what, channel, severity, message, fix, Some(&hour)).await;
    }

    async fn say_alert(
        &mut self,
        what: &str,
        channel: ChannelName,
        severity: Severity,
        message: &str,
        fix: &str,
        once: Option<&str>,
    ) {
        let origin = self.consumer.origin(Trust::System);
        let alert_id = format!("{what}:{}:{}", self.consumer.group, channel.short());
        tracing::error!(%message, alert_id);
        let once = once.map(|time| format!("{alert_id}:{time}"));
        let ops = letters::alert(&origin, alert_id, severity, message, fix);
        match self.consumer.bus.commit(vec![Commit { once, ..Commit::of(ops) }]).await {
            Ok(outcomes) => {
                if let Some(Outcome::Refused(refusal)) = outcomes.first() {
                    tracing::error!(%refusal, "the alert could not be said on the bus");
                }
            }
            Err(err) => tracing::error!(%err, "the alert could not be said on the bus"),
        }
    }

    /// Lets running handlers finish, hands back everything else, and gives up the slot.
    pub(super) async fn wind_down(&mut self) -> Result<(), BusError> {
        self.reading = None;
        let (drained, ours) = self.drain().await;
        self.running.shutdown().await;
        if ours {
            self.hand_back().await;
        }
        if let Err(err) = self.slot.give_up(&self.consumer.bus).await {
            tracing::debug!(%err, "the slot was not given up; it lapses");
        }
        self.consumer.counts.holding.store(0, Ordering::Relaxed);
        self.consumer.counts.trouble.send_replace(None);
        drained
    }

    /// What runs and what is on its way comes to its end, until the deadline; meanwhile it is kept alive. False where the slot was
    /// lost: what is pending under its name is somebody else's.
    async fn drain(&mut self) -> (Result<(), BusError>, bool) {
        let bus = Arc::clone(&self.consumer.bus);
        let deadline = Instant::now() + self.consumer.options.drain;
        let mut heartbeat = tokio::time::interval(self.consumer.options.heartbeat);
        heartbeat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut ours = true;
        loop {
            self.now = Instant::now();
            self.quiet_until = self.quiet_until.filter(|until| *until > self.now);
            self.push_out();
            let busy = !self.running.is_empty() || !self.units.is_empty() || self.committing.is_some();
            if !busy || self.now >= deadline {
                return (Ok(()), ours);
            }
            // A bus that is away is asked again after a while, until the deadline.
            let wake = self.quiet_until.map_or(deadline, |until| until.min(deadline));
            tokio::select! {
                answer = next_answer(&mut self.committing) => {
                    if let Err(err) = self.take_answer(answer).await {
                        return (Err(err), ours);
                    }
                }
                Some(done) = self.running.join_next() => self.settle(done),
                _ = heartbeat.tick(), if ours => {
                    ours = !matches!(self.slot.renew(&bus).await, Ok(false));
                    let busy: Vec<HeldKey> = self.busy_keys().collect();
                    bus.extend(&self.slot.reader, &busy).await.ok();
                }
                () = tokio::time::sleep_until(wake) => {}
            }
        }
    }

    /// Whatever is still pending under our name, a dropped read's messages included, is free for others at once.
    async fn hand_back(&mut self) {
        let bus = &self.consumer.bus;
        let reader: &Reader = &self.slot.reader;
        self.window.drain();
        self.delayed.clear();
        self.parked.clear();
        // All in one go: what is released stays under our name until somebody takes it.
        match bus.own_pending(reader, &self.channels, MOST_HANDED_BACK).await {
            Ok(claims) => {
                let held: Vec<HeldKey> =
                    claims.claimed.iter().map(|claimed| (claimed.entry.channel, claimed.entry.id)).collect();
                tracing::debug!(count = held.len(), "handing back");
                if let Err(err) = bus.release(reader, &held).await {
                    tracing::warn!(%err, "could not hand back; others take over when the messages are stale");
                }
                self.say_vanished(&claims.vanished).await;
            }
            Err(err) => tracing::warn!(%err, "could not hand back; others take over when the messages are stale"),
        }
    }
}
