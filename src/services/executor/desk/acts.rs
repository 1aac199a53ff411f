//! Acts at the desk: whether one may be done now, that it is begun, and what came of it.
//!
//! Owns what is looked at and written for one act, each as one commit. Who was taken over from begins nothing any more; what came of what
//! was begun is written down by whoever began it. Must never take an act for not done where that is not certain.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde_json::{Map, Value};

use super::super::actions::{self, ActionRecord};
use super::super::collect::REACHED;
use super::super::events::{self, Of};
use super::super::pen::{HOLDER, Unwritten};
use super::super::people::{self, Contact};
use super::super::record::{RunRecord, Status, at};
use super::super::{field, gone};
use super::{Matter, RunDesk, TRIES};
use crate::bus::Op;
use crate::contracts::envelope::read_time;
use crate::experiments::spec::Mode;
use crate::memory::forget;
use crate::tools::contract::{ActOutcome, Action, ActionDone, Answer};

/// Why a run goes on later with those whom the other side did not take.
const NOT_NOW: &str = "what was not taken at once to be tried again";

/// An act under way.
pub(super) struct Acting {
    pub(super) id: String,
    pub(super) action: Action,
    /// Whom it reaches.
    pub(super) person: Option<String>,
    /// When it was begun: it counts for that day.
    pub(super) begun: DateTime<Utc>,
    /// What was known of the person before.
    pub(super) before: Option<Contact>,
}

/// Whether somebody may be reached now.
pub(super) enum Look {
    /// No: this is the answer.
    Left(Answer),
    /// Yes; with what is known of them.
    Free(Option<Contact>),
}

impl RunDesk<'_> {
    /// What the record of an act says: go where it is new; none where the record changed meanwhile.
    pub(super) async fn known(&mut self, record: &ActionRecord, id: &str) -> Result<Option<Answer>, Unwritten> {
        let same_run = record.get("run_id") == Some(self.matter.run.as_str());
        if record.get("state") == Some("started") && !same_run && self.is_under_way(record).await? {
            return Ok(Some(Answer::Skip));
        }
        let again = record.get(actions::AGAIN_AT).and_then(read_time);
        Ok(Some(match (record.get("state"), again) {
            (Some("done"), _) => {
                self.before += u64::from(same_run);
                Answer::Skip
            }
            (Some("unknown" | "rejected"), _) => Answer::Skip,
            (Some("failed"), Some(again)) if same_run && self.live() && again > self.cx.now() => {
                self.later(again, NOT_NOW.to_owned());
                Answer::Skip
            }
            (Some("failed"), None) if same_run && self.live() => Answer::Skip,
            // Begun by somebody who died, or who does not know it any more.
            (Some("started"), _) if self.live() && !self.matter.idempotent => {
                let why = "whoever did it ended before saying so";
                let ops = actions::unknown(record, id, why, self.cx, self.matter.mode)
                    .map_err(|err| Unwritten::Refused(err.to_string()))?;
                match self.pen.act(ops).await {
                    Ok(()) => Answer::Skip,
                    Err(Unwritten::Changed(_)) => return Ok(None),
                    Err(err) => return Err(err),
                }
            }
            _ => Answer::Go,
        }))
    }

    /// Whether another run of the experiment, one that runs beside this one, is about to do it.
    async fn is_under_way(&self, record: &ActionRecord) -> Result<bool, Unwritten> {
        let (Some(experiment), Some(run)) = (record.get("experiment_id"), record.get("run_id")) else {
            return Ok(false);
        };
        let found = self.patiently(|| RunRecord::read(self.cx.bus(), experiment, run)).await?;
        // Whoever takes a run over is another holder, and knows no more about it than this one.
        Ok(found.is_some_and(|run| {
            run.status() == Some(Status::Running) && run.get(HOLDER).is_some() && run.get(HOLDER) == record.get(HOLDER)
        }))
    }

    /// Whether somebody must not be reached, for good or for now. What reaches nobody is only kept from the suppressed.
    pub(super) async fn look(
        &mut self,
        action: &Action,
        person: Option<&str>,
        record: &ActionRecord,
    ) -> Result<Look, Unwritten> {
        let bus = self.cx.bus();
        let now = self.cx.now();
        let mut contact = None;
        if let Some(person) = person {
            if let Some(why) = self.patiently(|| people::suppressed(bus, person)).await? {
                if why == forget::REASON {
                    // Nothing names them any more, this neither.
                    return Ok(Look::Left(Answer::Skip));
                }
                return Ok(Look::Left(self.left_out(action, record, format!("suppressed: {why}")).await?));
            }
            if self.live() {
                contact = self.patiently(|| Contact::read(bus, person)).await?;
                let gap = TimeDelta::from_std(self.outreach.contact_gap).unwrap_or(TimeDelta::MAX);
                let written = |contact: &Contact| contact.written_to(&self.matter.experiment, gap, now);
                if let Some(other) = contact.as_ref().and_then(written) {
                    let why = format!("written to lately for {other}");
                    return Ok(Look::Left(self.left_out(action, record, why).await?));
                }
            }
        }
        let zone = action.details.get("timezone").and_then(Value::as_str);
        if self.live()
            && (person.is_some() || zone.is_some())
            && let Some(until) = self.outreach.quiet_until(zone, self.matter.zone, now)
        {
            self.later(until, "quiet hours of those who are written to".to_owned());
            return Ok(Look::Left(Answer::Skip));
        }
        Ok(Look::Free(contact))
    }

    /// Somebody is not written to, and the record says why.
    pub(super) async fn left_out(
        &mut self,
        action: &Action,
        record: &ActionRecord,
        why: String,
    ) -> Result<Answer, Unwritten> {
        let mut fields = actions::what(action, &self.matter.experiment, &self.matter.run, self.matter.mode);
        fields.extend([field("state", "skipped"), field("error", why), field("at", at(self.cx.now()))]);
        // Somebody who changed it meanwhile knows better.
        match self.pen.act(vec![record.change(fields, self.matter.mode)]).await {
            Ok(()) | Err(Unwritten::Changed(_)) => Ok(Answer::Skip),
            Err(err) => Err(err),
        }
    }

    /// Writes down that it is begun, within the limits of the day, and that the person is written to by nobody else.
    pub(super) async fn start(&mut self, acting: &Acting, record: &ActionRecord) -> Result<(), Unwritten> {
        let Matter { experiment, run, mode, daily_limit, .. } = &self.matter;
        let Acting { action, begun, before, .. } = acting;
        let mut fields = actions::what(action, experiment, run, *mode);
        fields.extend([
            field("state", "started"),
            field("at", at(*begun)),
            field(HOLDER, self.pen.holder()),
            gone("error"),
            gone(actions::AGAIN_AT),
        ]);
        let mut ops = vec![record.change(fields, *mode)];
        if self.live() {
            ops.extend(self.count(acting, 1, Some(self.outreach.daily_limit), *daily_limit));
            ops.extend(before.as_ref().map(|contact| contact.claim(experiment, *begun)));
        }
        let mut reached = Vec::new();
        if *mode == Mode::Live
            && let Some(noted) = self.posting.ops(&self.matter, &action.kind, self.outreach, self.cx).await
        {
            ops.extend(noted);
            reached.push(field(REACHED, at(*begun)));
        }
        self.pen.write(reached, ops).await?;
        self.posting.noted();
        Ok(())
    }

    /// One more act of the day on which it was begun, or one less: of the sender, and of the experiment where that has a limit.
    fn count(&self, acting: &Acting, n: i64, most: Option<u64>, most_of_its: Option<u64>) -> Vec<Op> {
        let Matter { experiment, sender, daily_limit, .. } = &self.matter;
        let day: NaiveDate = acting.begun.date_naive();
        let of = people::counted_for(sender, &acting.action.kind);
        let its = daily_limit.and_then(|_| people::count(experiment, day, n, most_of_its));
        people::count(&of, day, n, most).into_iter().chain(its).collect()
    }

    /// It was certainly not done: it counts for no limit, and the person may be written to.
    async fn not_done(&self, acting: &Acting) -> Result<Vec<Op>, Unwritten> {
        if !self.live() {
            return Ok(Vec::new());
        }
        let mut ops = self.count(acting, -1, None, None);
        if let (Some(person), Some(before)) = (&acting.person, &acting.before) {
            let now = self.patiently(|| Contact::read(self.cx.bus(), person)).await?;
            ops.extend(now.and_then(|now| now.release(before, &self.matter.experiment, acting.begun)));
        }
        Ok(ops)
    }

    /// Nobody was told to do it yet, and is not now.
    pub(super) async fn take_back(&mut self, acting: &Acting) -> Result<(), Unwritten> {
        self.settle(acting, None).await
    }

    /// Writes down what came of it, with the event that belongs to it.
    pub(super) async fn ended(&mut self, acting: &Acting, done: &ActionDone) -> Result<(), Unwritten> {
        self.settle(acting, Some(done)).await?;
        if self.live() && matches!(done.outcome, ActOutcome::Later | ActOutcome::Unknown) {
            let record = self.record(&acting.id).await?;
            if let Some(again) = record.get(actions::AGAIN_AT).and_then(read_time) {
                self.later(again, NOT_NOW.to_owned());
            }
        }
        Ok(())
    }

    /// Changes the record of an act that is this desk's, and what belongs to it: what came of it, or that it was taken back. Where somebody
    /// else took it for lost, that stays.
    async fn settle(&mut self, acting: &Acting, done: Option<&ActionDone>) -> Result<(), Unwritten> {
        for _ in 0..TRIES {
            let record = self.record(&acting.id).await?;
            if record.get("state") != Some("started") || record.get(HOLDER) != Some(self.pen.holder()) {
                return Ok(());
            }
            let ops = match done {
                Some(done) => self.came(acting, done, &record).await?,
                None => {
                    let why = "everything was held, or the run was stopped, before it was done";
                    let fields = vec![
                        field("state", "skipped"),
                        field("error", why),
                        field("at", at(self.cx.now())),
                        gone(HOLDER),
                    ];
                    let mut ops = vec![record.change(fields, self.matter.mode)];
                    ops.extend(self.not_done(acting).await?);
                    ops
                }
            };
            match self.pen.apply(ops).await {
                Err(Unwritten::Changed(_)) => {}
                ended => return ended,
            }
        }
        Ok(())
    }

    /// What is written down of the end of an act.
    async fn came(&self, acting: &Acting, done: &ActionDone, record: &ActionRecord) -> Result<Vec<Op>, Unwritten> {
        let (now, mode) = (self.cx.now(), self.matter.mode);
        if done.outcome == ActOutcome::Unknown && self.live() && !self.matter.idempotent {
            let why = done.error.as_ref().map(|error| error.line(300));
            let why = why.as_deref().unwrap_or("whoever did it ended before saying so");
            let ops = actions::unknown(record, &acting.id, why, self.cx, mode);
            return ops.map_err(|err| Unwritten::Refused(err.to_string()));
        }
        let mut ops = vec![record.change(actions::outcome(record, done, mode, now), mode)];
        if done.outcome != ActOutcome::Done {
            ops.extend(self.not_done(acting).await?);
        } else if let Some(event) = self.own_event(acting, record) {
            let of = Of { experiment: &self.matter.experiment, run: &self.matter.run, mode };
            match events::message(event, of, self.cx) {
                Ok(message) => ops.push(Op::Append(message)),
                Err(why) => tracing::warn!(why, "an event was not said"),
            }
        }
        Ok(ops)
    }

    /// A mail that went out is counted in the same step in which that is written down.
    pub(super) fn own_event(&self, acting: &Acting, record: &ActionRecord) -> Option<Map<String, Value>> {
        self.live().then(|| actions::counted(record, acting.person.as_deref())).flatten()
    }
}
