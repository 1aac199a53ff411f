//! What becomes of a message once its handler is done: effects, another attempt, or a dead letter, and the commits that carry them.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::time::Instant;

use super::{Committing, Done, Loop, MOST_RERUNS, MOST_UNITS, Settles, Unit};
use crate::bus::backoff::retry_delay;
use crate::bus::consumer::window::Held;
use crate::bus::consumer::{Counts, Failure, Handler, Together};
use crate::bus::letters::{self, Letter};
use crate::bus::{BusError, Commit, Outcome, PendingRef};
use crate::contracts::Trust;
use crate::contracts::messages::DeadLetterCode;

impl<H: Handler> Loop<'_, H> {
    pub(super) fn settle(&mut self, done: Result<Done<H::Grant>, tokio::task::JoinError>) {
        let Ok(Done { held, reruns, result }) = done else {
            // Panics are caught inside the task, so it can only have been aborted, which happens when winding down.
            return;
        };
        match result {
            Ok(together) => self.handled(held, reruns, together),
            Err(failure) => self.all_failed(held, &failure),
        }
    }

    fn handled(&mut self, mut held: Vec<Held>, reruns: u32, Together { effects, refused }: Together<H::Grant>) {
        for (channel, entry, failure) in refused {
            if let Some(at) = held.iter().position(|one| one.key() == (channel, entry)) {
                let one = held.remove(at);
                self.running_keys.remove(&one.key());
                self.failed(one, &failure);
            }
        }
        if held.is_empty() {
            return;
        }
        let acknowledge = held.iter().map(|one| {
            let (channel, entry) = one.key();
            PendingRef { channel, group: self.consumer.group.to_owned(), entry }
        });
        let commit = Commit { acknowledge: acknowledge.collect(), ..Commit::of(effects.into_ops()) };
        self.units.push(Unit { commit, settles: Settles::Handled { held, reruns } });
    }

    /// One that failed by itself failed; of several together nobody knows which it was.
    fn all_failed(&mut self, mut held: Vec<Held>, failure: &Failure) {
        if held.len() > 1 {
            tracing::warn!(group = self.consumer.group, %failure, "several messages together failed; each is handled by itself");
            self.one_by_one(held);
        } else if let Some(one) = held.pop() {
            self.running_keys.remove(&one.key());
            self.failed(one, failure);
        }
    }

    /// Handles each by itself, in order. Their attempt goes on: it is no new one.
    fn one_by_one(&mut self, held: Vec<Held>) {
        for one in held {
            self.running_keys.remove(&one.key());
            self.delayed.push((Instant::now(), one, 1));
        }
    }

    pub(super) fn failed(&mut self, mut held: Held, failure: &Failure) {
        Counts::up(&self.consumer.counts.failed);
        let reason = crate::contracts::Untrusted::from(failure.to_string()).sanitized();
        let attempts = held.attempts;
        tracing::warn!(group = self.consumer.group, entry = %held.claimed.entry.id, attempts, %reason, "an attempt failed");
        match failure {
            Failure::Terminal(_) => self.give_up(&held, DeadLetterCode::Terminal, reason),
            Failure::Malformed(_) => self.give_up(&held, DeadLetterCode::Malformed, reason),
            Failure::Retry { .. } if attempts >= self.consumer.options.max_attempts => {
                self.give_up(&held, DeadLetterCode::Exhausted, reason);
            }
            Failure::Retry { after, .. } => {
                held.marked = false;
                let delay = retry_delay(attempts, &mut self.rng).max(after.unwrap_or_default());
                self.delayed.push((Instant::now() + delay, held, 0));
            }
        }
    }

    pub(super) fn give_up(&mut self, held: &Held, code: DeadLetterCode, reason: String) {
        let letter = Letter {
            entry: &held.claimed.entry,
            envelope: held.envelope.as_ref().ok(),
            group: Some(self.consumer.group),
            attempts: held.attempts,
            code,
            reason,
        };
        let (channel, entry) = held.key();
        let commit = Commit {
            acknowledge: vec![PendingRef { channel, group: self.consumer.group.to_owned(), entry }],
            ..Commit::of(letters::dead(
                &self.consumer.origin(Trust::System),
                &letter,
                &mut self.bell,
                self.consumer.clock.monotonic(),
            ))
        };
        self.units.push(Unit { commit, settles: Settles::Dead { again: false } });
    }

    /// Commits what is settled, together with the marks of what starts next. One call is under way at a time; meanwhile reading
    /// and handling go on, and what they bring comes with the next.
    pub(super) fn push_out(&mut self) {
        if self.committing.is_some() || self.quiet_until.is_some() {
            return;
        }
        if !self.stop.is_cancelled() {
            self.pick();
        }
        let most = if self.singly > 0 { 1 } else { MOST_UNITS };
        self.singly = self.singly.saturating_sub(1);
        let rest = self.units.split_off(self.units.len().min(most));
        let units = std::mem::replace(&mut self.units, rest);
        if !units.is_empty() {
            let commits = units.iter().map(|unit| unit.commit.clone()).collect();
            let bus = Arc::clone(&self.consumer.bus);
            let answer = async move { bus.commit(commits).await }.boxed();
            self.committing = Some(Committing { units, answer });
        }
    }

    pub(super) async fn take_answer(&mut self, answer: Result<Vec<Outcome>, BusError>) -> Result<(), BusError> {
        let Some(Committing { mut units, .. }) = self.committing.take() else { return Ok(()) };
        match answer {
            Ok(outcomes) => {
                self.backoff.reset();
                for (unit, outcome) in units.into_iter().zip(outcomes) {
                    self.conclude(unit, outcome);
                }
                self.say_parked().await;
                Ok(())
            }
            Err(err) if err.is_passing() => {
                // Not known to have happened: said again as it is. What did happen the first time is no longer pending.
                units.append(&mut self.units);
                self.units = units;
                self.bus_failed(&err, "commit").await
            }
            Err(err) if units.len() > 1 => {
                tracing::error!(%err, "a commit of several was refused; trying them one by one");
                self.singly = units.len();
                units.append(&mut self.units);
                self.units = units;
                Ok(())
            }
            Err(BusError::Closed) => Err(BusError::Closed),
            Err(err) => {
                for unit in units {
                    self.refused(unit, color_eyre::Report::new(err.clone()))?;
                }
                self.say_parked().await;
                Ok(())
            }
        }
    }

    /// A unit that the bus will not take counts as a failed attempt, a dead letter waits; what is neither ends the consumer.
    fn refused(&mut self, unit: Unit, reason: color_eyre::Report) -> Result<(), BusError> {
        match unit.settles {
            Settles::Handled { held, .. } => {
                self.all_failed(held, &Failure::from(reason));
                Ok(())
            }
            Settles::Dead { again } => {
                self.park(unit, again, &format!("{reason:#}"));
                Ok(())
            }
            Settles::Start { .. } | Settles::Unstart => Err(BusError::Protocol(format!("{reason:#}"))),
        }
    }

    fn conclude(&mut self, unit: Unit, outcome: Outcome) {
        match unit.settles {
            Settles::Handled { held, reruns } => self.conclude_handled(held, reruns, outcome),
            Settles::Start { mut held } => {
                // Otherwise somebody took it over meanwhile.
                if outcome.is_done() {
                    held.marked = true;
                    self.begin(*held, 0);
                }
            }
            Settles::Dead { again } => match outcome {
                Outcome::Refused(refusal) => self.park(unit, again, &refusal.to_string()),
                outcome => {
                    if outcome.is_done() {
                        Counts::up(&self.consumer.counts.dead);
                    }
                    if again {
                        self.unparked();
                    }
                }
            },
            Settles::Unstart => {}
        }
    }

    fn conclude_handled(&mut self, mut all: Vec<Held>, reruns: u32, outcome: Outcome) {
        for one in &all {
            self.running_keys.remove(&one.key());
        }
        if outcome.is_done() {
            Counts::up_by(&self.consumer.counts.handled, all.len());
            return;
        }
        if all.len() > 1 {
            match outcome {
                Outcome::Conflict { .. } if reruns < MOST_RERUNS => self.begin_together(all, reruns + 1),
                _ => self.one_by_one(all),
            }
            return;
        }
        let Some(held) = all.pop() else { return };
        match outcome {
            Outcome::Committed(_) | Outcome::Duplicate(_) => {}
            Outcome::NotPending => Counts::up(&self.consumer.counts.lost_races),
            Outcome::Conflict { key, found } if reruns >= MOST_RERUNS => {
                let reason =
                    color_eyre::eyre::eyre!("`{key}` changed under the handler {reruns} times (now version {found:?})");
                self.failed(held, &reason.into());
            }
            // In order, where that is promised; otherwise whoever raced it gets out of the way first.
            Outcome::Conflict { .. } if self.slots == 1 => self.begin(held, reruns + 1),
            Outcome::Conflict { .. } => {
                let jitter = Duration::from_millis(1).mul_f64(self.rng.f64() * f64::from(reruns + 1));
                self.delayed.push((Instant::now() + jitter, held, reruns + 1));
            }
            Outcome::Ceiling { key, field, value } => {
                let reason = color_eyre::eyre::eyre!(
                    "the counter `{field}` of `{key}` stands at {value} and may not rise by so much"
                );
                self.failed(held, &reason.into());
            }
            Outcome::Refused(refusal) => self.failed(held, &color_eyre::Report::new(refusal).into()),
            Outcome::Fenced => {
                self.failed(held, &color_eyre::eyre::eyre!("its lease has gone to somebody else").into());
            }
        }
    }
}
