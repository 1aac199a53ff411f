//! Dead letters that the bus refuses: the messages stay pending, and the letters are tried again, ever more seldom.
//!
//! Must never let them stop the other messages, unless there are so many that nothing more can be held.

use tokio::time::Instant;

use super::{Loop, Settles, Unit};
use crate::bus::consumer::Handler;
use crate::bus::consumer::window::HeldKey;
use crate::contracts::messages::Severity;

/// With more of them nothing is read.
pub(super) const MOST_PARKED: usize = 1_000;

impl<H: Handler> Loop<'_, H> {
    /// A letter that was refused; `again` if it was one that was tried again.
    pub(super) fn park(&mut self, mut unit: Unit, again: bool, reason: &str) {
        if again || self.parked.is_empty() {
            self.parked_until = Instant::now() + self.parked_backoff.next_delay();
        }
        if self.park_reason.is_none() {
            let group = self.consumer.group;
            tracing::error!(reason, group, "a dead letter could not be written; its message stays pending");
            self.park_reason = Some((reason.to_owned(), false));
        }
        // The letter comes first. Without the alert: that may be what is not taken, and another says that the letter waits.
        unit.commit.ops.truncate(1);
        unit.settles = Settles::Dead { again: true };
        self.parked.push_back(unit);
    }

    /// Tries the letter that waits longest.
    pub(super) fn unpark_due(&mut self) {
        // One at a time: while one is refused, most likely all are.
        let under_way = self.committing.iter().flat_map(|committing| &committing.units).chain(&self.units);
        if self.parked_until > self.now || under_way.into_iter().any(|unit| unit.settles.is_again()) {
            return;
        }
        self.units.extend(self.parked.pop_front());
    }

    /// One that was tried again was taken: so the next may be.
    pub(super) fn unparked(&mut self) {
        self.parked_backoff.reset();
        self.parked_until = self.now;
        if self.parked.is_empty() {
            self.park_reason = None;
        }
    }

    /// Says once that letters wait.
    pub(super) async fn say_parked(&mut self) {
        let Some((reason, said @ false)) = &mut self.park_reason else { return };
        *said = true;
        let reason = reason.clone();
        let Some(channel) = self.parked.front().and_then(key).map(|(channel, _)| channel) else { return };
        let message = format!(
            "messages of the group `{}` can be neither handled nor put to the dead letters ({reason}); they stay pending",
            self.consumer.group
        );
        let fix = "see to what refuses the dead letters (`fullsend doctor`); they are tried again by themselves";
        self.alert_hourly("dead-letter-refused", channel, Severity::Critical, &message, fix).await;
    }
}

impl<H: Handler> Loop<'_, H> {
    /// Tells whoever watches the consumer what it cannot do.
    pub(super) fn tell_trouble(&self) {
        let aside = self.aside.iter().map(|aside| format!("{} is not read", aside.channel));
        let parked = self.park_reason.iter().map(|(reason, _)| format!("dead letters are refused: {reason}"));
        let trouble = aside.chain(parked).collect::<Vec<_>>().join("; ");
        let trouble = (!trouble.is_empty()).then_some(trouble);
        self.consumer.counts.trouble.send_if_modified(|told| {
            let changes = *told != trouble;
            *told = trouble;
            changes
        });
    }
}

/// The message that a letter is about.
pub(super) fn key(unit: &Unit) -> Option<HeldKey> {
    unit.commit.acknowledge.first().map(|pending| (pending.channel, pending.entry))
}
