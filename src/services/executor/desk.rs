//! The desk: answers a tool that wants to act, and keeps account of what it says.
//!
//! Owns when somebody may be reached: not who is suppressed, not twice within the time between experiments, not in the quiet hours of the
//! zone, not above the limits of a day, not on hold. Where that is only for now, the run is to go on later ([`RunDesk::pause`]). Must never
//! say `go` before the act is written down.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::actions::{self, ActionRecord};
use super::events::{self, Events, Of};
use super::pen::{HOLDER, Pen, Unwritten};
use super::record::at;
use super::{field, shown};
use crate::bus::{Context, Failure, Key, Op, State};
use crate::config::OutreachConfig;
use crate::contracts::channel::grants;
use crate::contracts::{Untrusted, keys};
use crate::experiments::spec::Mode;
use crate::tools::contract::{Action, ActionDone, Answer, Desk, Progress};

/// How often progress is written down.
const PROGRESS_EVERY: Duration = Duration::from_millis(500);
/// How often a hold is looked at while it is waited for.
const LOOK: Duration = Duration::from_millis(250);
/// So often an act's record may change under the answer.
const TRIES: usize = 5;
/// Longest key of an act.
const KEY_LIMIT: usize = 500;
/// Lines of a tool that are kept.
const LINES_KEPT: usize = 20;

/// What a desk answers for.
#[derive(Debug, Clone)]
pub(super) struct Matter {
    pub(super) experiment: String,
    pub(super) run: String,
    pub(super) step: String,
    pub(super) mode: Mode,
    /// Whether what was begun may simply be done again.
    pub(super) idempotent: bool,
    /// Who sends, for the limit of a day.
    pub(super) sender: String,
    /// Most messages of the experiment a day; none for no limit of its own.
    pub(super) daily_limit: Option<u64>,
    /// The pause between two messages.
    pub(super) delay: Duration,
}

/// Why a run has to go on later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pause {
    pub(super) until: DateTime<Utc>,
    pub(super) why: String,
}

/// An act under way.
struct Acting {
    id: String,
    action: Action,
}

/// The desk of one step of a run.
pub(super) struct RunDesk<'a> {
    matter: Matter,
    outreach: &'a OutreachConfig,
    cx: &'a Context<grants::Executor>,
    pen: &'a mut Pen,
    events: Events,
    stop: CancellationToken,
    acting: Option<Acting>,
    /// The act that ended last, whether its mail is counted already, and how many events followed it.
    acted: Option<(String, bool, u64)>,
    number: u64,
    last_go: Option<Instant>,
    last_progress: Option<Instant>,
    lines: Vec<String>,
    /// What is to go on later.
    pause: Option<Pause>,
    /// Acts that were left out because they had been done before.
    before: u64,
    done: u64,
    broken: Option<Unwritten>,
}

/// What came of a step besides its result.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) pause: Option<Pause>,
    pub(super) before: u64,
    pub(super) done: u64,
    pub(super) lines: Vec<String>,
}

impl<'a> RunDesk<'a> {
    pub(super) fn new(
        matter: Matter,
        outreach: &'a OutreachConfig,
        cx: &'a Context<grants::Executor>,
        pen: &'a mut Pen,
        stop: CancellationToken,
    ) -> Self {
        let events = Events::new(cx.bus(), cx.stop().clone());
        Self {
            matter,
            outreach,
            cx,
            pen,
            events,
            stop,
            acting: None,
            acted: None,
            number: 0,
            last_go: None,
            last_progress: None,
            lines: Vec::new(),
            pause: None,
            before: 0,
            done: 0,
            broken: None,
        }
    }

    /// The tool has ended: all that it said is said, and an act that it did not end is unknown.
    pub(super) async fn close(mut self) -> Result<Account, Unwritten> {
        if let Some(acting) = self.acting.take() {
            self.lost(&acting.id).await?;
        }
        self.events.close().await?;
        match self.broken {
            Some(broken) => Err(broken),
            None => Ok(Account { pause: self.pause, before: self.before, done: self.done, lines: self.lines }),
        }
    }

    fn live(&self) -> bool {
        self.matter.mode == Mode::Live
    }

    fn of(&self) -> (String, String, Mode) {
        (self.matter.experiment.clone(), self.matter.run.clone(), self.matter.mode)
    }

    /// What was begun and not ended: nobody knows.
    async fn lost(&mut self, id: &str) -> Result<(), Unwritten> {
        for _ in 0..TRIES {
            let record = self.record(id).await?;
            if record.get("state") != Some("started") {
                return Ok(());
            }
            let mode = self.matter.mode;
            let ops = if self.live() && !self.matter.idempotent {
                actions::unknown(&record, id, self.cx, mode).map_err(|err| Unwritten::Refused(err.to_string()))?
            } else {
                vec![record.change(vec![field("state", "failed"), field("error", "it was cut off")], mode)]
            };
            match self.pen.apply(ops).await {
                Err(Unwritten::Changed(_)) => {}
                ended => return ended,
            }
        }
        Ok(())
    }

    async fn record(&mut self, id: &str) -> Result<ActionRecord, Unwritten> {
        loop {
            match ActionRecord::read(self.cx.bus(), id).await {
                Ok(record) => return Ok(record),
                Err(Failure::Retry { reason, .. }) => {
                    tracing::warn!(%reason, "an act waits for the bus");
                    if self.stop.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_none() {
                        return Err(Unwritten::Lost);
                    }
                }
                Err(err) => return Err(Unwritten::Refused(err.to_string())),
            }
        }
    }

    async fn answer(&mut self, action: &Action) -> Result<Answer, Unwritten> {
        if action.key.is_empty() || action.key.len() > KEY_LIMIT || action.kind.is_empty() || action.target.is_empty() {
            return Err(Unwritten::Refused(
                "it wants to act and does not say what: an action has a key, a kind and a target".to_owned(),
            ));
        }
        let id = actions::id_of(action, &self.matter.run, self.matter.mode);
        for _ in 0..TRIES {
            if self.stop.is_cancelled() {
                return Ok(Answer::Stop);
            }
            let record = self.record(&id).await?;
            let Some(answer) = self.known(&record, &id).await? else { continue };
            if answer != Answer::Go {
                return Ok(answer);
            }
            if let Some(answer) = self.refused(action, &record).await? {
                return Ok(answer);
            }
            if !self.go_ahead().await {
                return Ok(Answer::Stop);
            }
            match self.start(action, &record).await {
                Ok(()) => {
                    self.last_go = Some(Instant::now());
                    self.acting = Some(Acting { id, action: action.clone() });
                    return Ok(Answer::Go);
                }
                Err(Unwritten::Changed(_)) => {}
                Err(Unwritten::Ceiling(key)) => {
                    let now = self.cx.now();
                    let why = if key.as_str().contains(&self.matter.sender) {
                        format!("the limit of {} messages a day of {}", self.outreach.daily_limit, self.matter.sender)
                    } else {
                        format!(
                            "the limit of {} messages a day of the experiment",
                            self.matter.daily_limit.unwrap_or_default()
                        )
                    };
                    self.later(actions::tomorrow(now), why);
                    return Ok(Answer::Stop);
                }
                Err(err) => return Err(err),
            }
        }
        Ok(Answer::Skip)
    }

    /// What the record of an act says: go where it is new; none where the record changed meanwhile.
    async fn known(&mut self, record: &ActionRecord, id: &str) -> Result<Option<Answer>, Unwritten> {
        let same_run = record.get("run_id") == Some(self.matter.run.as_str());
        Ok(Some(match record.get("state") {
            Some("done") => {
                self.before += 1;
                Answer::Skip
            }
            Some("unknown" | "rejected") => Answer::Skip,
            Some("failed") if same_run && self.live() => Answer::Skip,
            // Begun by somebody who died, or who does not know it any more.
            Some("started") if self.live() && !self.matter.idempotent => {
                let ops = actions::unknown(record, id, self.cx, self.matter.mode)
                    .map_err(|err| Unwritten::Refused(err.to_string()))?;
                match self.pen.apply(ops).await {
                    Ok(()) => Answer::Skip,
                    Err(Unwritten::Changed(_)) => return Ok(None),
                    Err(err) => return Err(err),
                }
            }
            _ => Answer::Go,
        }))
    }

    /// Whether somebody must not be reached, for good or for now. What reaches nobody is only kept from the suppressed.
    async fn refused(&mut self, action: &Action, record: &ActionRecord) -> Result<Option<Answer>, Unwritten> {
        let Some(person) = actions::address(action).map(keys::person) else { return Ok(None) };
        let bus = self.cx.bus();
        let now = self.cx.now();
        let failed = |err: crate::bus::BusError| Unwritten::Refused(err.to_string());
        let mut why = actions::suppressed(bus, &person).await.map_err(failed)?.map(|why| format!("suppressed: {why}"));
        if why.is_none() && self.live() {
            let gap = TimeDelta::from_std(self.outreach.contact_gap).unwrap_or(TimeDelta::MAX);
            let other = actions::written_to(bus, &person, &self.matter.experiment, gap, now).await.map_err(failed)?;
            why = other.map(|other| format!("written to lately for {other}"));
        }
        if let Some(why) = why {
            let mut fields = actions::what(action, &self.matter.experiment, &self.matter.run, self.matter.mode);
            fields.extend([field("state", "skipped"), field("error", why), field("at", at(now))]);
            // Somebody who changed it meanwhile knows better.
            match self.pen.apply(vec![record.change(fields, self.matter.mode)]).await {
                Ok(()) | Err(Unwritten::Changed(_)) => return Ok(Some(Answer::Skip)),
                Err(err) => return Err(err),
            }
        }
        if self.live() {
            let zone = action.details.get("timezone").and_then(Value::as_str);
            if let Some(until) = self.outreach.quiet_until(zone, now) {
                self.later(until, "quiet hours of those who are written to".to_owned());
                return Ok(Some(Answer::Skip));
            }
        }
        Ok(None)
    }

    /// The run goes on then, with what was left out; the earliest moment counts.
    fn later(&mut self, until: DateTime<Utc>, why: String) {
        if self.pause.as_ref().is_none_or(|pause| until < pause.until) {
            self.pause = Some(Pause { until, why });
        }
    }

    /// Waits while everything is on hold, and for the pause between two acts. False where the run is to stop.
    async fn go_ahead(&mut self) -> bool {
        while self.on_hold().await {
            if self.stop.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_none() {
                return false;
            }
        }
        if let (true, Some(last)) = (self.live(), self.last_go) {
            let pause = tokio::time::sleep_until(last + self.matter.delay);
            if self.stop.run_until_cancelled(pause).await.is_none() {
                return false;
            }
            // Somebody may have held everything meanwhile.
            if self.on_hold().await {
                return Box::pin(self.go_ahead()).await;
            }
        }
        !self.stop.is_cancelled()
    }

    async fn on_hold(&self) -> bool {
        let status = self.cx.bus().get(&Key::new(keys::STATUS)).await;
        matches!(status, Ok(Some(State::String(text))) if text.trim() == "paused")
    }

    /// Writes down that it is begun, within the limits of the day.
    async fn start(&mut self, action: &Action, record: &ActionRecord) -> Result<(), Unwritten> {
        let Matter { experiment, run, mode, sender, daily_limit, .. } = &self.matter;
        let now = self.cx.now();
        let mut fields = actions::what(action, experiment, run, *mode);
        fields.extend([field("state", "started"), field("at", at(now)), field(HOLDER, self.pen.holder())]);
        let mut ops = vec![record.change(fields, *mode)];
        if self.live() && actions::address(action).is_some() {
            ops.extend(actions::count(sender, now, 1, Some(self.outreach.daily_limit)));
            ops.extend(daily_limit.and_then(|most| actions::count(experiment, now, 1, Some(most))));
        }
        self.pen.apply(ops).await
    }

    /// Writes down what came of it, with the event that belongs to it.
    async fn ended(&mut self, acting: &Acting, done: &ActionDone) -> Result<(), Unwritten> {
        let now = self.cx.now();
        let (experiment, run, mode) = self.of();
        for _ in 0..TRIES {
            let record = self.record(&acting.id).await?;
            if record.get(HOLDER) != Some(self.pen.holder()) {
                // Somebody else took it for lost; that stays.
                return Ok(());
            }
            let mut ops = vec![record.change(actions::outcome(done, now), mode)];
            if let (true, Some(address)) = (self.live(), actions::address(&acting.action)) {
                if done.ok {
                    let first = [field("last_at", at(now)), field("experiment_id", experiment.as_str())];
                    ops.extend(actions::contact(&keys::person(address), first.to_vec()));
                } else {
                    // It counts as not sent.
                    ops.extend(actions::count(&self.matter.sender, now, -1, None));
                    ops.extend(self.matter.daily_limit.and_then(|_| actions::count(&experiment, now, -1, None)));
                }
            }
            if let Some(event) = self.own_event(&acting.action, done) {
                let of = Of { experiment: &experiment, run: &run, mode };
                match events::message(event, of, self.cx) {
                    Ok(message) => ops.push(Op::Append(message)),
                    Err(why) => tracing::warn!(why, "an event was not said"),
                }
            }
            match self.pen.apply(ops).await {
                Err(Unwritten::Changed(_)) => {}
                ended => return ended,
            }
        }
        Ok(())
    }

    /// A mail that went out is counted in the same step in which that is written down.
    fn own_event(&self, action: &Action, done: &ActionDone) -> Option<Map<String, Value>> {
        let counts = self.live() && done.ok && action.kind == "email";
        counts.then(|| {
            let mut event = actions::object(json!({ "event": "email_sent" }));
            event.insert("person".to_owned(), keys::person(&action.target).into());
            for name in ["variant", "round"] {
                event.extend(action.details.get(name).map(|value| (name.to_owned(), value.clone())));
            }
            event
        })
    }

    /// What makes an event the same one when its step is run again; none where it was said with the act that it followed.
    fn identity(&mut self, event: &Map<String, Value>) -> Option<String> {
        let name = event.get("event").and_then(Value::as_str).unwrap_or_default();
        let id =
            event.get("id").and_then(|id| id.as_str().map(str::to_owned).or_else(|| Some(id.as_u64()?.to_string())));
        let Matter { experiment, run, .. } = &self.matter;
        // What reached nobody may be tried again and again, and counts each time.
        let of = if self.live() { experiment } else { run };
        let by_id = id.map(|id| format!("event:{of}:{}", keys::person(&format!("{name}:{id}"))));
        if let Some((act, is_counted, number)) = &mut self.acted {
            *number += 1;
            let by_act = format!("event:{act}:{name}:{number}");
            return (!(*is_counted && name == "email_sent")).then(|| by_id.unwrap_or(by_act));
        }
        if by_id.is_some() {
            return by_id;
        }
        self.number += 1;
        let Matter { run, step, .. } = &self.matter;
        Some(format!("event:{run}:{}:{}", keys::person(step), self.number))
    }

    fn broke(&mut self, err: Unwritten) {
        tracing::error!(%err, run = self.matter.run, "a run cannot go on");
        self.broken.get_or_insert(err);
        self.stop.cancel();
    }
}

#[async_trait]
impl Desk for RunDesk<'_> {
    async fn metric(&mut self, event: Map<String, Value>) {
        let Some(once) = self.identity(&event) else { return };
        if let Some(person) = events::person(&event) {
            self.heard_of(&event, &person).await;
        }
        let (experiment, run, mode) = self.of();
        match events::message(event, Of { experiment: &experiment, run: &run, mode }, self.cx) {
            Ok(message) => {
                if !self.events.say(once, message).await {
                    self.broke(Unwritten::Lost);
                }
            }
            Err(why) => self.note(&format!("an event was left out: {why}")),
        }
    }

    async fn progress(&mut self, progress: Progress) {
        if self.last_progress.is_some_and(|last| last.elapsed() < PROGRESS_EVERY) {
            return;
        }
        self.last_progress = Some(Instant::now());
        let message = progress.message.as_ref().map(|message| message.line(200));
        let text = json!({
            "step": self.matter.step, "done": progress.done, "total": progress.total, "message": message,
        });
        if let Err(err) = self.pen.write(vec![field("progress", text.to_string())], Vec::new()).await {
            self.broke(err);
        }
    }

    async fn log(&mut self, text: Untrusted) {
        let line = text.line(400);
        tracing::info!(run = self.matter.run, step = self.matter.step, line, "a tool says");
        self.note(&line);
    }

    async fn asked(&mut self, action: &Action) -> Answer {
        if self.broken.is_some() {
            return Answer::Stop;
        }
        if let Some(acting) = self.acting.take()
            && let Err(err) = self.lost(&acting.id).await
        {
            self.broke(err);
            return Answer::Stop;
        }
        self.acted = None;
        match self.answer(action).await {
            Ok(answer) => answer,
            Err(err) => {
                self.broke(err);
                Answer::Stop
            }
        }
    }

    async fn done(&mut self, done: ActionDone) {
        let Some(acting) = self.acting.take().filter(|acting| acting.action.key == done.key) else {
            self.note(&format!("it says that it did {}, which it was not told to do", shown(&done.key)));
            return;
        };
        if let Err(err) = self.ended(&acting, &done).await {
            self.broke(err);
        }
        self.done += u64::from(done.ok);
        let is_counted = self.own_event(&acting.action, &done).is_some();
        self.acted = Some((acting.id, is_counted, 0));
    }
}

impl RunDesk<'_> {
    fn note(&mut self, line: &str) {
        if self.lines.len() == LINES_KEPT {
            self.lines.remove(0);
        }
        self.lines.push(line.to_owned());
    }

    /// What somebody did: whoever left or cannot be reached is not written to again.
    async fn heard_of(&mut self, event: &Map<String, Value>, person: &str) {
        if !self.live() {
            return;
        }
        let name = event.get("event").and_then(Value::as_str).unwrap_or_default();
        let ops = heard_of(name, person, &self.matter.experiment, self.cx.now());
        if !ops.is_empty()
            && let Err(err) = self.pen.apply(ops).await
        {
            self.broke(err);
        }
    }
}

/// What follows from what somebody did.
pub(super) fn heard_of(name: &str, person: &str, experiment: &str, now: DateTime<Utc>) -> Vec<Op> {
    let suppressed = match name {
        "unsubscribe" => Some("unsubscribed"),
        "email_bounced" => Some("bounced"),
        "spam_complaint" => Some("complained"),
        _ => None,
    };
    let answered = matches!(name, "reply" | "positive_reply" | "meeting_booked") || suppressed.is_some();
    let mut ops = Vec::new();
    ops.extend(suppressed.and_then(|reason| actions::suppress(person, reason, experiment, now)));
    if answered {
        let fields = vec![field("answered_at", at(now)), field("answered", name), field("answered_for", experiment)];
        ops.extend(actions::contact(person, fields));
    }
    ops
}
