//! Collection: one reader of the mailbox for the whole team, from the first mail that goes out until some weeks after the last.
//!
//! Owns `fullsend:mailbox`: since when it is read, where to go on, and when next. There is one timer for all, whatever the number of
//! experiments and executors, and no state of an experiment stops it: whoever leaves is heard when the experiment is long over. What is read
//! changes state in the commit that goes on. Must never act on what somebody wrote, other than to leave them alone.

mod taking;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value, json};

use self::taking::Taking;
use super::desk::Matter;
use super::record::at;
use super::{Executor, Said, actions, document, field, gone, warn};
use crate::bus::{
    BusError, Context, Document, Draft, Effects, Expect, Failure, Key, Op, Received, SharedBus, Timer, Ttl,
};
use crate::config::OutreachConfig;
use crate::contracts::channel::grants;
use crate::contracts::envelope::read_time;
use crate::contracts::messages::{CollectionDue, Schedules};
use crate::contracts::wiring::SCHEDULES;
use crate::contracts::{Untrusted, keys};
use crate::experiments::spec::Mode;
use crate::tools::contract::{Action, ActionDone, Answer, Call, Desk, Progress, RunContext};

/// The tool that reads what came of mail.
const READER: &str = "email_replies";
/// The timer of the next reading.
const TIMER: &str = "collection";
/// Mails of one reading; where there are more it goes on at once.
const MAILS: u64 = 100;
/// So long after the last mail it is read.
const AFTERWARDS: TimeDelta = TimeDelta::weeks(12);
/// How often, where no experiment has said it.
const EVERY: TimeDelta = TimeDelta::minutes(15);
/// That mail goes out is noted no more often than this by one step.
const NOTED_EVERY: TimeDelta = TimeDelta::hours(1);
/// A reading that did not happen for so long has lost its timer.
const OVERDUE: TimeDelta = TimeDelta::hours(1);

/// The field of a run's document that says that it reached somebody, and when that was noted.
pub(super) const REACHED: &str = "reached_at";

/// The document of the reader.
struct Mailbox(Option<Document>);

impl Mailbox {
    async fn read(bus: &SharedBus) -> Result<Self, BusError> {
        Ok(Self(document(bus, keys::MAILBOX).await?))
    }

    fn get(&self, field: &str) -> Option<&str> {
        self.0.as_ref()?.get(field)
    }

    fn time(&self, field: &str) -> Option<DateTime<Utc>> {
        read_time(self.get(field)?)
    }

    fn every(&self) -> Option<TimeDelta> {
        TimeDelta::try_seconds(self.get("every_seconds")?.parse().ok()?)
    }

    /// Whether answers may still come.
    fn is_awaited(&self, now: DateTime<Utc>) -> bool {
        self.time("last_sent_at").is_some_and(|last| now < last + AFTERWARDS)
    }

    /// Whether a timer waits for the next reading, as far as can be known.
    fn is_waited_for(&self, now: DateTime<Utc>) -> bool {
        self.time("next_at").is_some_and(|next| now < next + OVERDUE)
    }
}

/// Whether answers may come and nothing waits for them: mail went out before there was a place to look at, or the timer is gone.
pub(super) async fn is_forgotten(bus: &SharedBus, now: DateTime<Utc>) -> Result<bool, BusError> {
    let mailbox = Mailbox::read(bus).await?;
    Ok(mailbox.is_awaited(now) && !mailbox.is_waited_for(now))
}

/// The next reading. It belongs to no run: what comes of it is a chain of its own.
fn next(at: DateTime<Utc>, cx: &Context<grants::Executor>) -> Result<Op, Failure> {
    let draft = Draft::new(Schedules::from(CollectionDue { due_at: Some(at) })).subject("mailbox");
    let mut message = cx.origin().compose::<grants::Executor, _>(SCHEDULES, draft)?;
    message.envelope.trace = message.envelope.id.into();
    message.envelope.cause = None;
    Ok(Op::Schedule(Timer { id: TIMER.to_owned(), at, message }))
}

/// Notes that a step reaches people, so that what comes of it is read.
#[derive(Debug, Default)]
pub(super) struct Posting {
    noting: Option<DateTime<Utc>>,
    noted: Option<DateTime<Utc>>,
}

impl Posting {
    /// What is to be committed with an act of this kind, beside [`REACHED`] in the run's document; none where that was done lately.
    pub(super) async fn ops(
        &mut self,
        matter: &Matter,
        kind: &str,
        outreach: &OutreachConfig,
        cx: &Context<grants::Executor>,
    ) -> Option<Vec<Op>> {
        let now = cx.now();
        if self.noted.is_some_and(|noted| now - noted < NOTED_EVERY) {
            return None;
        }
        self.noting = Some(now);
        let posted = if kind == "email" { posted(matter, outreach, cx).await } else { Ok(Vec::new()) };
        // The next act notes it.
        posted.inspect_err(|err| tracing::warn!(%err, "it was not noted that mail goes out")).ok()
    }

    /// It was committed.
    pub(super) fn noted(&mut self) {
        self.noted = self.noting.take().or(self.noted);
    }
}

async fn posted(
    matter: &Matter,
    outreach: &OutreachConfig,
    cx: &Context<grants::Executor>,
) -> Result<Vec<Op>, Failure> {
    let now = cx.now();
    let mut ops = Vec::new();
    let mailbox = Mailbox::read(cx.bus()).await?;
    let wanted = TimeDelta::from_std(matter.collect_every).unwrap_or(EVERY).max(TimeDelta::seconds(1));
    let every = mailbox.every().filter(|_| mailbox.is_awaited(now)).map_or(wanted, |every| every.min(wanted));
    let mut fields = vec![field("last_sent_at", at(now)), field("every_seconds", every.num_seconds().to_string())];
    if mailbox.get("since").is_none() {
        fields.push(field("since", at(now)));
    }
    let is_sooner = mailbox.time("next_at").is_some_and(|next| now + every < next);
    if outreach.reads_answers() && (is_sooner || !mailbox.is_waited_for(now)) {
        fields.push(field("next_at", at(now + every)));
        ops.push(next(now + every, cx)?);
    }
    ops.push(Op::Change { key: Key::new(keys::MAILBOX), expect: Expect::Any, fields, ttl: Ttl::Keep });
    Ok(ops)
}

/// What the tool said.
#[derive(Default)]
struct Heard(Vec<Map<String, Value>>);

#[async_trait]
impl Desk for Heard {
    async fn metric(&mut self, event: Map<String, Value>) {
        self.0.push(event);
    }

    async fn progress(&mut self, _: Progress) {}

    async fn log(&mut self, text: Untrusted) {
        tracing::info!(line = text.line(400), "the reader of replies says");
    }

    async fn asked(&mut self, _: &Action) -> Answer {
        // Reading needs no act.
        Answer::Stop
    }

    async fn done(&mut self, _: ActionDone) {}
}

/// Reads what came, and sets the next reading.
pub(super) async fn collect(executor: &Executor, message: &Received, cx: &Context<grants::Executor>) -> Said {
    let (outreach, now) = (&executor.parts.outreach, cx.now());
    let mut effects = cx.effects();
    let mailbox = Mailbox::read(cx.bus()).await?;
    if let Some(later) = mailbox.time("next_at").filter(|next| *next > now) {
        // Another message was first, or the clock was set back.
        effects.extend([next(later, cx)?]);
        return Ok(effects);
    }
    if !mailbox.is_awaited(now) || !outreach.reads_answers() {
        rest(&mut effects, &mailbox);
        return Ok(effects);
    }
    let mut heard = Heard::default();
    let outcome = executor.parts.tools.run(call(&mailbox, outreach), &mut heard, cx.stop().clone()).await;
    let every = mailbox.every().unwrap_or(EVERY);
    let (mut fields, mut then) = (Vec::new(), now + every);
    match outcome.result {
        Ok(result) => {
            let mut taking = Taking::new(executor, message, cx, &mut effects);
            for event in heard.0 {
                taking.take(event).await?;
            }
            if result.get("more") == Some(&Value::Bool(true)) {
                then = now;
            }
            fields.extend(result.get("state").map(|state| field("state", state.to_string())));
            fields.extend([field("read_at", at(now)), gone("error")]);
        }
        // It is read again; nothing is lost.
        Err(err) => {
            tracing::warn!(err = err.message, "replies were not read");
            if mailbox.get("error") != Some(err.message.as_str()) {
                warn(
                    &mut effects,
                    "mailbox",
                    &format!("the replies to the team's mail were not read: {}", err.message),
                )?;
            }
            fields.push(field("error", err.message));
        }
    }
    if cx.stop().is_cancelled() {
        // The program stops: all of it is read again at its next start.
        effects = cx.effects();
        effects.extend([next(now, cx)?]);
        return Ok(effects);
    }
    fields.push(field("next_at", at(then)));
    effects.change(Key::new(keys::MAILBOX), Expect::Any, fields, Ttl::Keep);
    effects.extend([next(then, cx)?]);
    Ok(effects)
}

/// Nothing is read until mail goes out again, or there is a place to look at.
fn rest(effects: &mut Effects<grants::Executor>, mailbox: &Mailbox) {
    if let Some(document) = mailbox.0.as_ref().filter(|document| document.get("next_at").is_some()) {
        let fields = vec![gone("next_at"), gone("every_seconds")];
        effects.change(Key::new(keys::MAILBOX), Expect::Version(document.version), fields, Ttl::Keep);
    }
}

fn call(mailbox: &Mailbox, outreach: &OutreachConfig) -> Call {
    let mut params = actions::object(json!({ "strangers": true, "limit": MAILS }));
    for (name, place) in [("mailbox", &outreach.mailbox), ("webhooks", &outreach.webhooks)] {
        params.extend(place.as_ref().map(|place| (name.to_owned(), place.display().to_string().into())));
    }
    params.extend(mailbox.get("since").map(|since| ("since".to_owned(), since.into())));
    let state = mailbox.get("state").and_then(|text| serde_json::from_str::<Value>(text).ok());
    params.extend(state.map(|state| ("state".to_owned(), state)));
    let (run_id, step) = ("mailbox".to_owned(), "collection".to_owned());
    let run = RunContext { experiment_id: String::new(), run_id, step, mode: Mode::Live };
    Call { tool: READER.to_owned(), params, run, timeout: None }
}
