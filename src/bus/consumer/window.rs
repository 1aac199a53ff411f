//! The window: what a consumer holds and has not started, and which comes next.
//!
//! Pure: time comes in, a choice comes out. Must never lose a message that was put in.

use std::time::Duration;

use super::super::{Claimed, EntryId};
use crate::contracts::{ChannelName, Envelope, Priority, ShapeError};

/// Waiting this long in the window is worth one step of priority, so that nothing starves.
pub(super) const AGEING: Duration = Duration::from_secs(10);

/// A message held by the consumer.
#[derive(Debug)]
pub(super) struct Held {
    /// The message, and the attempts that its claim record shows.
    pub(super) claimed: Claimed,
    /// Its envelope, if it has one that can be read.
    pub(super) envelope: Result<Envelope, ShapeError>,
    /// Attempts that were really started.
    pub(super) attempts: u32,
    /// The claim record already counts the attempt that comes next.
    pub(super) marked: bool,
    /// When it came into the window.
    since: Duration,
}

pub(super) type HeldKey = (ChannelName, EntryId);

impl Held {
    /// A message handed out at `now`; `started` if its record counts the attempt that is about to start.
    pub(super) fn new(claimed: Claimed, started: bool, now: Duration) -> Self {
        let channel = claimed.entry.channel;
        let envelope = match claimed.entry.message().map(|message| message.envelope) {
            Ok(envelope) if !channel.believes(&envelope.source) => {
                Err(ShapeError::NotTheTeams { channel, by: envelope.source.into_owned() })
            }
            envelope => envelope,
        };
        let attempts = if started { claimed.attempt.saturating_sub(1) } else { claimed.attempt };
        Self { claimed, envelope, attempts, marked: started, since: now }
    }

    pub(super) fn key(&self) -> HeldKey {
        (self.claimed.entry.channel, self.claimed.entry.id)
    }

    fn rank(&self, now: Duration) -> u128 {
        let priority = self.envelope.as_ref().map_or(Priority::Medium, |envelope| envelope.priority);
        let aged = now.saturating_sub(self.since).as_millis() / AGEING.as_millis();
        priority as u128 + aged
    }
}

/// Messages waiting to be started.
#[derive(Debug, Default)]
pub(super) struct Window {
    waiting: Vec<Held>,
}

impl Window {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn put(&mut self, held: Held) {
        self.waiting.push(held);
    }

    /// Takes the next to start: highest priority with ageing, then oldest.
    pub(super) fn next(&mut self, now: Duration) -> Option<Held> {
        let best = self
            .waiting
            .iter()
            .enumerate()
            .max_by_key(|(_, held)| {
                (held.rank(now), std::cmp::Reverse((held.claimed.entry.id, held.claimed.entry.channel)))
            })
            .map(|(index, _)| index)?;
        Some(self.waiting.remove(best))
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = HeldKey> + '_ {
        self.waiting.iter().map(Held::key)
    }

    /// Forgets those that somebody else has taken.
    pub(super) fn forget(&mut self, lost: &[HeldKey]) {
        self.waiting.retain(|held| !lost.contains(&held.key()));
    }

    /// Forgets those of a channel whose group is gone: nothing is pending any more, and what is still to be done is read again. Kept, one
    /// of them could start out of turn, before older ones that are read again.
    pub(super) fn forget_channel(&mut self, channel: ChannelName) {
        self.waiting.retain(|held| held.claimed.entry.channel != channel);
    }

    pub(super) fn drain(&mut self) -> Vec<Held> {
        std::mem::take(&mut self.waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::Entry;
    use crate::contracts::{Ids, Trust, clock::ManualClock};
    use std::sync::Arc;

    fn held(ms: u64, priority: Priority, since: u64) -> Held {
        let clock = Arc::new(ManualClock::at(chrono::DateTime::from_timestamp_millis(0).unwrap()));
        let origin = crate::bus::Origin::new(clock, Arc::new(Ids::seeded(ms)), Trust::System);
        let mut envelope = origin.envelope("echo_request", "control_room");
        envelope.priority = priority;
        let entry = Entry::new(ChannelName::Echo, EntryId { ms, seq: 0 }, envelope.to_json(), "{}".to_owned());
        Held::new(Claimed { entry, attempt: 0 }, false, Duration::from_secs(since))
    }

    fn order(window: &mut Window, now: u64) -> Vec<u64> {
        std::iter::from_fn(|| window.next(Duration::from_secs(now))).map(|held| held.claimed.entry.id.ms).collect()
    }

    #[test]
    fn urgent_comes_before_old_and_old_before_new() {
        let mut window = Window::default();
        for (ms, priority) in [
            (1, Priority::Low),
            (2, Priority::Medium),
            (3, Priority::Urgent),
            (4, Priority::Medium),
            (5, Priority::High),
        ] {
            window.put(held(ms, priority, 0));
        }
        assert_eq!(order(&mut window, 1), [3, 5, 2, 4, 1]);
        assert_eq!(window.len(), 0);
    }

    #[test]
    fn what_waits_long_enough_overtakes_urgent_newcomers() {
        let mut window = Window::default();
        window.put(held(1, Priority::Low, 0));
        window.put(held(2, Priority::Urgent, 29));
        assert_eq!(order(&mut window, 29), [2, 1], "not yet");
        window.put(held(1, Priority::Low, 0));
        window.put(held(2, Priority::Urgent, 40));
        assert_eq!(order(&mut window, 40), [1, 2], "40 s of waiting are worth four steps");
    }

    #[test]
    fn an_unreadable_envelope_waits_like_any_other() {
        let mut window = Window::default();
        let entry = Entry::new(ChannelName::Echo, EntryId { ms: 1, seq: 0 }, "{".into(), "{}".into());
        window.put(Held::new(Claimed { entry, attempt: 0 }, false, Duration::ZERO));
        window.put(held(2, Priority::High, 0));
        assert_eq!(order(&mut window, 0), [2, 1]);
    }
}
