//! The desk: answers a tool that wants to act, and keeps account of what it says.
//!
//! Owns when somebody may be reached: not who is suppressed, not twice within the time between experiments, not in the quiet hours of the
//! zone, not above the limits of a day, not on hold. First it is waited, then looked, then written down: what was true before a wait may not
//! be true after it. Where that is only for now, the run is to go on later ([`Pause`]). Must never say `go` before the act is written down.

mod acts;

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use serde_json::{Map, Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::acts::{Acting, Look};
use super::actions::{self, ActionRecord};
use super::collect::Posting;
use super::events::{self, Events, Of};
use super::pen::{Pen, Unwritten};
use super::people;
use super::{field, shown};
use crate::bus::{Context, Failure, Key, SharedBus, State};
use crate::config::OutreachConfig;
use crate::contracts::channel::grants;
use crate::contracts::{Untrusted, keys};
use crate::experiments::spec::Mode;
use crate::tools::contract::{ActOutcome, Action, ActionDone, Answer, Desk, Progress};

/// How often progress is written down.
const PROGRESS_EVERY: Duration = Duration::from_millis(500);
/// How often a hold is looked at while it is waited for.
const LOOK: Duration = Duration::from_millis(250);
/// So often an act's record may change under the answer.
const TRIES: usize = 5;
/// Longest key of an act.
const KEY_LIMIT: usize = 500;
/// An act whose documents changed all the time is tried again after this.
const BUSY: TimeDelta = TimeDelta::minutes(1);
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
    /// How often it wants answers to be read.
    pub(super) collect_every: Duration,
    /// When the run began, or was to: it goes on the next day at this time of day.
    pub(super) began: DateTime<Utc>,
    /// The zone of its schedule: that of people whose own is not known.
    pub(super) zone: Option<Tz>,
}

/// Why a run has to go on later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pause {
    pub(super) until: DateTime<Utc>,
    pub(super) why: String,
}

/// The desk of one step of a run.
pub(super) struct RunDesk<'a> {
    matter: Matter,
    outreach: &'a OutreachConfig,
    cx: &'a Context<grants::Executor>,
    pen: &'a mut Pen,
    events: Events,
    posting: Posting,
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
            posting: Posting::default(),
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
            self.lost(&acting).await?;
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
    async fn lost(&mut self, acting: &Acting) -> Result<(), Unwritten> {
        let done =
            ActionDone { key: acting.action.key.clone(), outcome: ActOutcome::Unknown, error: None, receipt: None };
        self.ended(acting, &done).await
    }

    /// Reads, for as long as the bus is away.
    async fn patiently<T, E, F>(&self, read: impl Fn() -> F) -> Result<T, Unwritten>
    where
        E: Into<Failure>,
        F: Future<Output = Result<T, E>>,
    {
        loop {
            match read().await.map_err(Into::into) {
                Ok(found) => return Ok(found),
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

    async fn record(&self, id: &str) -> Result<ActionRecord, Unwritten> {
        self.patiently(|| ActionRecord::read(self.cx.bus(), id)).await
    }

    async fn answer(&mut self, action: &Action) -> Result<Answer, Unwritten> {
        if action.key.is_empty() || action.key.len() > KEY_LIMIT || action.kind.is_empty() || action.target.is_empty() {
            return Err(Unwritten::Refused(
                "it wants to act and does not say what: an action has a key, a kind and a target".to_owned(),
            ));
        }
        let id = actions::id_of(action, &self.matter.run, self.matter.mode);
        for _ in 0..TRIES {
            if !self.go_ahead().await {
                return Ok(Answer::Stop);
            }
            let record = self.record(&id).await?;
            let Some(answer) = self.known(&record, &id).await? else { continue };
            if answer != Answer::Go {
                return Ok(answer);
            }
            let person = match people::reached(action) {
                Ok(person) => person,
                Err(why) => return self.left_out(action, &record, why).await,
            };
            let before = match self.look(action, person.as_deref(), &record).await? {
                Look::Left(answer) => return Ok(answer),
                Look::Free(contact) => contact,
            };
            let acting = Acting { id: id.clone(), action: action.clone(), person, begun: self.cx.now(), before };
            match self.start(&acting, &record).await {
                // While that was written, perhaps for long, somebody may have held everything.
                Ok(()) if self.stop.is_cancelled() || on_hold(self.cx.bus()).await => self.take_back(&acting).await?,
                Ok(()) => {
                    self.last_go = Some(Instant::now());
                    self.acting = Some(acting);
                    return Ok(Answer::Go);
                }
                Err(Unwritten::Changed(_)) => {}
                Err(Unwritten::Ceiling(key)) => {
                    self.at_limit(&key, action);
                    return Ok(Answer::Stop);
                }
                Err(err) => return Err(err),
            }
        }
        self.later(self.cx.now() + BUSY, "what is known of somebody changes all the time".to_owned());
        Ok(Answer::Skip)
    }

    /// The limit of a day is reached: it goes on the next.
    fn at_limit(&mut self, key: &Key, action: &Action) {
        let now = self.cx.now();
        let Matter { sender, began, zone, .. } = &self.matter;
        let of = people::counted_for(sender, &action.kind);
        let why = if people::limit(&of, now.date_naive()).as_ref() == Some(key) {
            format!("the limit of {} messages a day of {sender}", self.outreach.daily_limit)
        } else {
            format!("the limit of {} messages a day of the experiment", self.matter.daily_limit.unwrap_or_default())
        };
        let until = people::next_day(now, *began, self.outreach.zone(*zone).unwrap_or(Tz::UTC));
        self.later(until, why);
    }

    /// The run goes on then, with what was left out; the earliest moment counts.
    fn later(&mut self, until: DateTime<Utc>, why: String) {
        if self.pause.as_ref().is_none_or(|pause| until < pause.until) {
            self.pause = Some(Pause { until, why });
        }
    }

    /// Waits while everything is on hold, and for the pause between two acts. False where the run is to stop.
    async fn go_ahead(&mut self) -> bool {
        if let (true, Some(last)) = (self.live(), self.last_go) {
            let pause = tokio::time::sleep_until(last + self.matter.delay);
            if self.stop.run_until_cancelled(pause).await.is_none() {
                return false;
            }
        }
        while on_hold(self.cx.bus()).await {
            if self.stop.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_none() {
                return false;
            }
        }
        !self.stop.is_cancelled()
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
            && let Err(err) = self.lost(&acting).await
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
        let is_done = done.outcome == ActOutcome::Done;
        self.done += u64::from(is_done);
        let is_counted = is_done && self.live() && acting.action.kind == "email";
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
        let ops = people::heard_of(name, person, &self.matter.experiment, self.cx.now());
        if !ops.is_empty()
            && let Err(err) = self.pen.apply(ops).await
        {
            self.broke(err);
        }
    }
}

/// Whether nothing is to act outward; where nobody can say, so it is.
pub(super) async fn on_hold(bus: &SharedBus) -> bool {
    match bus.get(&Key::new(keys::STATUS)).await {
        Ok(Some(State::String(text))) => text.trim() == "paused",
        Ok(_) => false,
        Err(err) => {
            tracing::warn!(%err, "an act waits, because it is not known whether everything is on hold");
            true
        }
    }
}
