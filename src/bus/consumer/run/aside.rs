//! Channels that are left out: something else stands under a stream's key. The others are read on.
//!
//! Owns what is left out and when it is tried again. Must never leave out the last channel: a consumer that can read nothing ends.

use std::time::Duration;

use tokio::time::Instant;

use super::Loop;
use crate::bus::backoff::Backoff;
use crate::bus::consumer::Handler;
use crate::bus::{BusError, Commit, Expect, GroupFound, Key, Op, Ttl, letters};
use crate::contracts::envelope::rfc3339;
use crate::contracts::messages::Severity;
use crate::contracts::{ChannelName, Trust, keys};

/// A channel that is tried again at most this often, and at least every minute.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// The alert for a server that has lost everything; `doctor` looks for it.
pub const DATA_LOST: &str = "data-lost";

/// A channel that is left out.
pub(super) struct Aside {
    pub(super) channel: ChannelName,
    /// The key that holds something else.
    key: String,
    due: Instant,
    pause: Duration,
}

/// For what the bus refuses, as long as nobody sees to it: up to a minute.
pub(super) fn patient(rng: &mut fastrand::Rng) -> Backoff {
    Backoff::new(FIRST_PAUSE, LONGEST_PAUSE, rng.fork())
}

impl<H: Handler> Loop<'_, H> {
    /// Makes the group of each channel, and leaves out those where that cannot be.
    pub(super) async fn ensure_groups(&mut self) -> Result<(), BusError> {
        for channel in self.channels.clone() {
            match self.ensure_group(channel).await {
                Err(BusError::ForeignType { key, found, wanted }) if self.channels.len() > 1 => {
                    let err = BusError::ForeignType { key: key.clone(), found, wanted };
                    self.leave_out(channel, key, &err).await;
                }
                other => other?,
            }
        }
        Ok(())
    }

    async fn ensure_group(&mut self, channel: ChannelName) -> Result<(), BusError> {
        let found = self.consumer.bus.ensure_group(channel, self.consumer.group).await?;
        let known = !self.served.insert(channel);
        match found {
            GroupFound::Resumed(id) => {
                let message = format!(
                    "the group `{}` of {channel} had been deleted; it goes on after {id}, where its acknowledgements had come to",
                    self.consumer.group
                );
                let fix = "find out who deletes groups; messages that were handled out of order after that entry are handled again";
                self.alert("group-resumed", channel, Severity::High, &message, fix).await;
            }
            GroupFound::Created if known => self.say_lost(channel).await,
            GroupFound::Created | GroupFound::Existing => {}
        }
        Ok(())
    }

    /// A group that was there is new, and nothing says how far it had come: the server has lost its data. Said once, by whoever meets it
    /// first, and kept until a person has dealt with it.
    async fn say_lost(&mut self, channel: ChannelName) {
        let now = self.consumer.clock.now();
        let message = format!(
            "{channel} is empty and its group `{}` is new: the server lost what it held before {} (FLUSHALL, a restart without its data, or a stream that somebody deleted)",
            self.consumer.group,
            rfc3339(now)
        );
        tracing::error!(%message, alert_id = DATA_LOST);
        let fix = "restore a backup (`fullsend restore`) if you have one; look at how the server keeps its data, and who may flush it";
        let origin = self.consumer.origin(Trust::System);
        let mut ops = letters::alert(&origin, DATA_LOST.to_owned(), Severity::Critical, &message, fix);
        let field = |name: &str, text: String| (name.to_owned(), Some(text));
        let fields = vec![
            field("state", "triggered".to_owned()),
            field("severity", "critical".to_owned()),
            field("message", message),
            field("triggered_at", rfc3339(now)),
        ];
        let key = Key::new(keys::alert(DATA_LOST).unwrap_or_default());
        ops.push(Op::Change { key, expect: Expect::Any, fields, ttl: Ttl::Keep });
        // The groups of all services meet it at the same time.
        let once = Some(format!("{DATA_LOST}:{}", now.format("%Y-%m-%dT%H")));
        if let Err(err) = self.consumer.bus.commit(vec![Commit { once, ..Commit::of(ops) }]).await {
            tracing::error!(%err, "the alert could not be said on the bus");
        }
    }

    async fn leave_out(&mut self, channel: ChannelName, key: String, err: &BusError) {
        self.channels.retain(|other| *other != channel);
        self.aside.push(Aside { channel, key, due: Instant::now() + FIRST_PAUSE, pause: FIRST_PAUSE });
        let message = format!("the group `{}` does not read {channel}: {err}", self.consumer.group);
        let fix = "put the stream back, or delete what stands there; the channel is tried again by itself";
        self.alert_hourly("channel-left-out", channel, Severity::Critical, &message, fix).await;
    }

    /// After a call that met something else under a key: goes on without the channel that it belongs to.
    pub(super) async fn go_on_without(&mut self, err: &BusError) -> Result<(), BusError> {
        let before = self.channels.len();
        self.ensure_groups().await?;
        // A read that was under way when its channel was left out may say the same once more.
        let known = |key: &str| self.aside.iter().any(|aside| aside.key == key);
        match err {
            _ if self.channels.len() < before => Ok(()),
            BusError::ForeignType { key, .. } if known(key) => Ok(()),
            _ => Err(err.clone()),
        }
    }

    /// Tries the channels that are left out, those that are due.
    pub(super) async fn take_back(&mut self) {
        let now = Instant::now();
        let (due, later) = std::mem::take(&mut self.aside).into_iter().partition(|aside: &Aside| aside.due <= now);
        self.aside = later;
        for aside in due {
            if self.ensure_group(aside.channel).await.is_ok() {
                tracing::info!(channel = %aside.channel, group = self.consumer.group, "the channel is read again");
                self.channels.push(aside.channel);
            } else {
                let pause = (aside.pause * 2).min(LONGEST_PAUSE);
                self.aside.push(Aside { due: now + pause, pause, ..aside });
            }
        }
    }
}
