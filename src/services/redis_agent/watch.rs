//! What is remembered of a criterion between two looks, and what changes by a look.
//!
//! Pure: the time comes in. Must never tell the same twice before it was armed again, nor forget what is still to be told.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::contracts::envelope::millis_option;
use crate::experiments::criteria::{Criterion, Moment, Name, Truth};
use crate::experiments::judgement::{Judged, Plan, Planned, Values, judge};

/// Where a criterion stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Phase {
    /// It cannot be said.
    #[default]
    Unknown,
    /// It does not hold.
    Ok,
    /// It holds.
    Firing,
}

impl Phase {
    /// As it is written.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Ok => "ok",
            Self::Firing => "firing",
        }
    }
}

/// How much was told of a criterion since it was armed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Told {
    /// Nothing.
    #[default]
    Nothing,
    /// That it holds, which may be chance.
    Crossed,
    /// That it holds, and chance does not explain it.
    Proven,
}

/// What is remembered of a criterion.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Watched {
    /// Where it stands.
    pub(super) phase: Phase,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    pub(super) since: Option<DateTime<Utc>>,
    /// Since when its condition has held without a break.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    held_since: Option<DateTime<Utc>>,
    /// What was told.
    told: Told,
    /// When an alert was raised last.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    pub(super) last_sent: Option<DateTime<Utc>>,
    /// Alerts that were raised.
    pub(super) count: u64,
    /// How much had been seen when it was told last that it holds, which may be chance.
    #[serde(default, skip_serializing_if = "is_zero")]
    seen: u64,
    /// What it came to when the time was over within which something counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    closed: Option<Judged>,
    /// When the experiment was restored, as far as that is known here.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    restored_at: Option<DateTime<Utc>>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// When it is looked, and how long an alert keeps the next away.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    pub(super) now: DateTime<Utc>,
    /// When the experiment began.
    pub(super) began_at: Option<DateTime<Utc>>,
    pub(super) cooldown: Duration,
    /// When a kill of it was taken back.
    pub(super) restored_at: Option<DateTime<Utc>>,
    /// How much was counted in all.
    pub(super) total: u64,
}

/// What a look at a criterion came to.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) judged: Judged,
    /// An alert is to be raised.
    pub(super) alert: bool,
    /// It held, which was told, and holds no longer.
    pub(super) over: bool,
    /// Time alone may change something then.
    pub(super) again_at: Option<DateTime<Utc>>,
}

impl Watched {
    /// Looks at a criterion, and remembers what was seen.
    pub(super) fn look(
        &mut self,
        planned: &Planned,
        plan: &Plan,
        values: &Values<'_>,
        settled: &Values<'_>,
        look: Look,
    ) -> Seen {
        self.arm_again(look.restored_at);
        if planned.criterion.as_ref().and_then(|criterion| closes_at(criterion, look)).is_some_and(|at| at < look.now) {
            self.close(planned, plan, values, settled, look);
        }
        let judged = match &self.closed {
            Some(closed) => closed.clone(),
            None => self.judge(planned, plan, values, settled, look, false),
        };
        let was = self.phase;
        let phase = match judged.holds {
            Some(true) => Phase::Firing,
            Some(false) => Phase::Ok,
            // What held is not over because a number is missing.
            None if was == Phase::Firing => Phase::Firing,
            None => Phase::Unknown,
        };
        if phase != was || self.since.is_none() {
            self.phase = phase;
            self.since = Some(look.now);
        }
        let mut again_at = planned.criterion.as_ref().and_then(|criterion| self.due(criterion, look));
        let over = phase == Phase::Ok && self.told > Told::Nothing;
        let seen = judged.evidence.as_ref().map_or(look.total, |evidence| evidence.n);
        let alert = self.owed(&judged, seen).is_some_and(|told| self.raise(told, look, &mut again_at));
        if alert && self.told == Told::Crossed {
            self.seen = seen;
        }
        Seen { judged, alert, over, again_at }
    }

    /// The time is over within which something counts: what it comes to stays.
    pub(super) fn close(
        &mut self,
        planned: &Planned,
        plan: &Plan,
        values: &Values<'_>,
        settled: &Values<'_>,
        look: Look,
    ) {
        let Some(at) = planned.criterion.as_ref().and_then(|criterion| closes_at(criterion, look)) else { return };
        if self.closed.is_some() {
            return;
        }
        let mut judged = self.judge(planned, plan, values, settled, Look { now: at, ..look }, true);
        judged.why = judged.why.map(|why| format!("{why}, when its time was over"));
        self.closed = Some(judged);
    }

    fn judge(
        &mut self,
        planned: &Planned,
        plan: &Plan,
        values: &Values<'_>,
        settled: &Values<'_>,
        look: Look,
        closes: bool,
    ) -> Judged {
        let of = |name: &Name| values.get(name);
        let was = match self.phase {
            Phase::Unknown => None,
            phase => Some(phase == Phase::Firing),
        };
        let age = look.began_at.map(|began| since(began, look.now));
        let mut moment = Moment { age, held: None, was, closes };
        let holds = planned.criterion.as_ref().map(|criterion| criterion.holds(&of, &moment));
        self.held_since = match holds {
            // A clock that was set back has not held it for longer than until now.
            Some(Truth::True) => Some(self.held_since.map_or(look.now, |since| since.min(look.now))),
            _ => None,
        };
        moment.held = self.held_since.map(|held| since(held, look.now));
        judge(planned, plan, values, settled, &moment)
    }

    /// What was told before a kill was resolved by it: it is told again once the kill is taken back.
    fn arm_again(&mut self, restored_at: Option<DateTime<Utc>>) {
        if restored_at.is_some() && self.restored_at != restored_at {
            (self.phase, self.told, self.seen) = (Phase::Unknown, Told::Nothing, 0);
            self.restored_at = restored_at;
        }
    }

    /// Whether what it came to stays.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.is_some()
    }

    /// Something happened that is told at once; whether it is, or was told too short a time ago.
    pub(super) fn occurred(&mut self, now: DateTime<Utc>, cooldown: Duration) -> bool {
        let look = Look { now, began_at: None, cooldown, restored_at: None, total: 0 };
        self.raise(Told::Nothing, look, &mut None)
    }

    /// What is to be told and was not. What hovers about its line crosses it all the time: that it may be chance is told again only once twice as
    /// much was seen, or the contrary was proven meanwhile.
    fn owed(&mut self, judged: &Judged, seen: u64) -> Option<Told> {
        if judged.evidence.as_ref().is_some_and(|evidence| evidence.proven == Some(false)) {
            self.seen = 0;
        }
        match judged.holds {
            Some(true) if judged.proven => Some(Told::Proven).filter(|proven| *proven > self.told),
            Some(true) => {
                let is_news = self.told == Told::Nothing && seen >= self.seen.saturating_mul(2);
                is_news.then_some(Told::Crossed)
            }
            Some(false) => {
                self.told = Told::Nothing;
                None
            }
            None => None,
        }
    }

    /// Raises the alert, or says when it may be raised.
    fn raise(&mut self, told: Told, look: Look, again_at: &mut Option<DateTime<Utc>>) -> bool {
        let free_at = self.last_sent.and_then(|last| add(last, look.cooldown));
        // One that was sent in the future was sent by a clock that has been set back since.
        let waits =
            free_at.is_some_and(|free_at| free_at > look.now) && self.last_sent.is_some_and(|at| at <= look.now);
        if waits {
            *again_at = earlier(*again_at, free_at);
            return false;
        }
        self.told = told;
        self.last_sent = Some(look.now);
        self.count = self.count.saturating_add(1);
        true
    }

    /// When time alone changes what is true of it.
    fn due(&self, criterion: &Criterion, look: Look) -> Option<DateTime<Utc>> {
        let from_start = |length: Option<Duration>| add(look.began_at?, length?);
        let settled = from_start(criterion.settled);
        // Later than that is what is meant.
        let closed = closes_at(criterion, look).and_then(|at| add(at, Duration::from_millis(1)));
        let lasted = criterion.lasting.and_then(|lasting| add(self.held_since?, lasting));
        let lasted = lasted.filter(|_| self.phase != Phase::Firing);
        [settled, closed, lasted].into_iter().flatten().filter(|at| *at > look.now).min()
    }
}

/// When the time is over within which something counts.
pub(super) fn closes_at(criterion: &Criterion, look: Look) -> Option<DateTime<Utc>> {
    add(look.began_at?, criterion.within?)
}

/// The earlier of both.
pub(super) fn earlier(one: Option<DateTime<Utc>>, other: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
    [one, other].into_iter().flatten().min()
}

fn since(then: DateTime<Utc>, now: DateTime<Utc>) -> Duration {
    now.signed_duration_since(then).to_std().unwrap_or_default()
}

fn add(at: DateTime<Utc>, length: Duration) -> Option<DateTime<Utc>> {
    at.checked_add_signed(TimeDelta::from_std(length).ok()?)
}
