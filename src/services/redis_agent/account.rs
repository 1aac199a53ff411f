//! One experiment's account in one commit: what happened is added, its criteria are looked at, and what came of it is said.
//!
//! Owns what stands in `metrics_aggregated:{id}` besides the numbers: `watch_json` (what was judged and told), `look_at` (when time alone may change
//! something), `verdict`, `verdict_json`, and metrics that are computed, under their names (`computed_json` lists them). Must never say of numbers
//! more than the least trusted of them may, and never write an experiment's document without
//! looking whether it is still the one that was read: it may be archived by now.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::watch::{Look, Seen, Watched, closes_at, earlier};
use super::{AgentOptions, Event, Known, key, refusal, tell};
use crate::bus::{Context, Document, Draft, Effects, EntryId, Expect, Failure, Origin, StateChange, Ttl};
use crate::contracts::canonical::sha256;
use crate::contracts::channel::grants;
use crate::contracts::envelope::{read_time, rfc3339};
use crate::contracts::lifecycle::ExperimentState;
use crate::contracts::messages::{LookAgain, Metrics};
use crate::contracts::wiring::METRICS;
use crate::contracts::{ChannelName, keys};
use crate::experiments::judgement::{self, Judged, Outcome, Planned, Values};
use crate::experiments::numbers::{Numbers, OWN_FIELDS};

/// Events of an experiment that are kept as they came.
const KEPT_EVENTS: usize = 1_000;
/// Criteria, and kinds of errors, that are remembered.
const MOST_WATCHED: usize = 250;
/// Fields that no computed metric may take, besides those of the numbers.
const OURS: [&str; 6] = ["verdict", "verdict_json", "watch_json", "look_at", "computed_json", "version"];

/// One experiment's account.
pub(super) struct Account<'a> {
    id: &'a str,
    numbers: Numbers,
    /// Fields as they stand, those of the numbers included.
    stored: BTreeMap<String, String>,
    watched: BTreeMap<String, Watched>,
    known: Known,
    options: AgentOptions,
    cx: &'a Context<grants::RedisAgent>,
    now: DateTime<Utc>,
}

/// A message that is not added, and why.
type Refusal = (ChannelName, EntryId, Failure);

/// What a look at all criteria came to.
struct Looked {
    outcome: Outcome,
    again_at: Option<DateTime<Utc>>,
    /// Computed metrics, and those that criteria are about.
    computed: BTreeMap<String, f64>,
}

impl<'a> Account<'a> {
    pub(super) fn new(
        id: &'a str,
        document: Option<Document>,
        known: Known,
        options: AgentOptions,
        cx: &'a Context<grants::RedisAgent>,
    ) -> Self {
        let numbers = document.as_ref().map(Numbers::read).unwrap_or_default();
        let numbers = numbers.growing_old(known.ageing, known.plan.totals.clone());
        let stored = document.map(|document| document.fields).unwrap_or_default();
        let watched = stored.get("watch_json").and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
        Self { id, numbers, stored, watched, known, options, cx, now: cx.now() }
    }

    /// Adds these events, looks, and says what is to be said. Gives back those that are refused.
    pub(super) fn settle(
        mut self,
        events: Vec<Event>,
        effects: &mut Effects<grants::RedisAgent>,
    ) -> Result<Vec<Refusal>, Failure> {
        let (taken, refused) = self.add_all(events);
        // What is said because of them is said because of the last.
        let Some(last) = taken.last() else { return Ok(refused) };
        let origin = self.cx.origin().caused_by(&last.message.envelope);
        let mut said = Effects::new(origin.clone());
        self.keep_events(&taken, &mut said)?;
        self.say_errors(&taken, &mut said)?;
        let looked = self.look(&origin, &mut said)?;
        self.write(looked, &mut said)?;
        effects.join(said);
        Ok(refused)
    }

    /// Adds what can be added. Where the time of a criterion is over, what comes later is added after that was judged.
    fn add_all(&mut self, mut events: Vec<Event>) -> (Vec<Event>, Vec<Refusal>) {
        let (mut taken, mut refused) = (Vec::with_capacity(events.len()), Vec::new());
        for at in self.closing() {
            let (before, later) = events.into_iter().partition(|event| self.time_of(event) <= at);
            events = later;
            self.add(before, &mut taken, &mut refused);
            self.close(at);
        }
        self.add(events, &mut taken, &mut refused);
        (taken, refused)
    }

    fn add(&mut self, events: Vec<Event>, taken: &mut Vec<Event>, refused: &mut Vec<Refusal>) {
        for event in events {
            match self.numbers.add(&event.happened, self.time_of(&event)) {
                Ok(()) => {
                    self.numbers.rests_on(&event.happened, event.message.envelope.trust);
                    taken.push(event);
                }
                Err(err) => refused.push((event.message.entry.channel, event.message.entry.id, refusal(&err).into())),
            }
        }
    }

    /// What says that it happens in the future, happens now.
    fn time_of(&self, event: &Event) -> DateTime<Utc> {
        event.message.envelope.at.min(self.now)
    }

    /// When the time of criteria was over that were not judged since, in order.
    fn closing(&self) -> BTreeSet<DateTime<Utc>> {
        let look = self.a_look();
        let is_open = |planned: &&Planned| !self.watched.get(&name_of(planned)).is_some_and(Watched::is_closed);
        let criteria = self.known.plan.criteria.iter().filter(is_open);
        let times = criteria.filter_map(|planned| closes_at(planned.criterion.as_ref()?, look));
        if self.is_archived() { BTreeSet::new() } else { times.filter(|at| *at < self.now).collect() }
    }

    fn close(&mut self, at: DateTime<Utc>) {
        let plan = Arc::clone(&self.known.plan);
        let look = self.a_look();
        let values = Values::of(&self.numbers, &plan, None);
        let settled = values.settled(self.numbers.young_from(at, self.known.settles_within(self.options.settle)));
        for planned in &plan.criteria {
            let closes_now = planned.criterion.as_ref().and_then(|criterion| closes_at(criterion, look)) == Some(at);
            if closes_now {
                self.watched.entry(name_of(planned)).or_default().close(planned, &plan, &values, &settled, look);
            }
        }
    }

    fn a_look(&self) -> Look {
        Look {
            now: self.now,
            began_at: self.numbers.began_at(),
            cooldown: self.options.cooldown,
            restored_at: self.known.restored_at,
            total: self.numbers.total(),
        }
    }

    fn is_archived(&self) -> bool {
        self.known.state == Some(ExperimentState::Archived)
    }

    /// The latest events as they came.
    fn keep_events(&self, taken: &[Event], said: &mut Effects<grants::RedisAgent>) -> Result<(), Failure> {
        let list = key(self.id, keys::metrics)?;
        let events = taken.iter().filter(|event| !matches!(event.said, Metrics::Look(_)));
        let events: Vec<&Event> = events.collect();
        for event in &events[events.len().saturating_sub(KEPT_EVENTS)..] {
            let Ok(Value::Object(mut body)) = serde_json::from_str(&event.message.entry.b) else { continue };
            body.insert("received_at".to_owned(), rfc3339(self.now).into());
            let value = Value::Object(body).to_string();
            said.state(list.clone(), StateChange::Push { value, keep: KEPT_EVENTS });
        }
        Ok(())
    }

    /// Errors are told at once; the same kind again only after the cooldown, so that a flood is one alert.
    fn say_errors(&mut self, taken: &[Event], said: &mut Effects<grants::RedisAgent>) -> Result<(), Failure> {
        if self.is_archived() {
            return Ok(());
        }
        for event in taken {
            let Metrics::Error(error) = &event.said else { continue };
            let kind = error.error_type.as_deref().unwrap_or("error");
            let mut name = format!("error:{}", &sha256(kind.as_bytes())[..16]);
            if self.watched.len() >= MOST_WATCHED && !self.watched.contains_key(&name) {
                // Too many kinds to remember each: they are one.
                "error:other".clone_into(&mut name);
            }
            if self.watched.entry(name.clone()).or_default().occurred(self.now, self.options.cooldown) {
                let mut told = Effects::new(self.cx.origin().caused_by(&event.message.envelope));
                tell::error(&mut told, self.id, format!("{}:{name}", self.id), error)?;
                said.join(told);
            }
        }
        Ok(())
    }

    /// Looks at each criterion; none where nothing is known of the experiment, or it is archived.
    fn look(&mut self, origin: &Origin, said: &mut Effects<grants::RedisAgent>) -> Result<Option<Looked>, Failure> {
        let plan = Arc::clone(&self.known.plan);
        if self.is_archived() || plan.criteria.is_empty() {
            return Ok(None);
        }
        let values = Values::of(&self.numbers, &plan, None);
        let within = self.known.settles_within(self.options.settle);
        let young = self.numbers.young_from(self.now, within);
        let settled = values.settled(young);
        let look = self.a_look();
        let mut looked = Looked { outcome: Outcome::default(), again_at: None, computed: BTreeMap::new() };
        let mut names = BTreeSet::new();
        for planned in &plan.criteria {
            let name = name_of(planned);
            let watched = self.watched.entry(name.clone()).or_default();
            let Seen { judged, alert, over, again_at } = watched.look(planned, &plan, &values, &settled, look);
            let alert_id = format!("{}:{name}", self.id);
            if alert {
                let rests_on = planned.criterion.iter().flat_map(|criterion| plan.definitions.rests_on(criterion));
                let names: Vec<String> = rests_on.map(|name| name.name).collect();
                let trust = self.numbers.trust(names.iter().map(String::as_str));
                let mut told = Effects::new(origin.trusting(trust));
                tell::crossed(&mut told, self.id, &alert_id, &judged, watched)?;
                said.join(told);
            } else if over {
                tell::over(said, self.id, alert_id, &judged, watched)?;
            }
            names.insert(name);
            looked.again_at = earlier(looked.again_at, again_at);
            looked.outcome.criteria.push(judged);
        }
        // What is too young now is not so for ever.
        let waits = !plan.totals.is_empty()
            || plan.criteria.iter().filter_map(|it| it.criterion.as_ref()).any(|it| it.sample.is_some());
        if let Some(young) = young.filter(|_| waits) {
            let settles = self.numbers.next_old(young, within);
            looked.again_at = earlier(looked.again_at, settles.filter(|at| *at > self.now));
        }
        // Criteria that the experiment no longer has.
        self.watched.retain(|name, _| name.starts_with("error:") || names.contains(name));
        let shares = looked.outcome.criteria.iter().filter(|judged| judged.evidence.is_some()).filter_map(share);
        looked.computed = values.computed().map(|(name, value)| (name.to_owned(), value)).chain(shares).collect();
        let is_taken =
            |name: &str| OURS.contains(&name) || OWN_FIELDS.contains(&name) || name.contains(['.', ' ', '@']);
        looked.computed.retain(|name, _| !is_taken(name));
        looked.outcome.verdict = judgement::standing(&looked.outcome.criteria);
        looked.outcome.variants = judgement::variants(&plan, &self.numbers, young);
        looked.outcome.at = self.now;
        Ok(Some(looked))
    }

    /// Writes the numbers and what was seen; and the verdict into the experiment's document, where it changed.
    fn write(mut self, looked: Option<Looked>, said: &mut Effects<grants::RedisAgent>) -> Result<(), Failure> {
        let mut fields: BTreeMap<String, Option<String>> = BTreeMap::new();
        fields.extend(self.numbers.take_changes(self.now).into_iter().map(|(name, text)| (name, Some(text))));
        let watch = (!self.watched.is_empty()).then(|| serde_json::to_string(&self.watched)).transpose();
        fields.insert("watch_json".to_owned(), watch.map_err(|err| Failure::Terminal(err.into()))?);
        if let Some(looked) = looked {
            let verdict = looked.outcome.verdict.as_str();
            let json = serde_json::to_string(&looked.outcome).map_err(|err| Failure::Terminal(err.into()))?;
            self.say_when(looked.again_at, said, &mut fields)?;
            fields.insert("verdict".to_owned(), Some(verdict.to_owned()));
            fields.insert("verdict_json".to_owned(), Some(json.clone()));
            let names = serde_json::to_string(&looked.computed.keys().collect::<Vec<_>>());
            let before: Vec<String> =
                self.stored.get("computed_json").and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
            // What is no longer computed is not left behind as if it were.
            fields.extend(before.into_iter().map(|name| (name, None)));
            fields.insert("computed_json".to_owned(), Some(names.map_err(|err| Failure::Terminal(err.into()))?));
            fields.extend(looked.computed.into_iter().map(|(name, value)| (name, Some(value.to_string()))));
            self.write_verdict(Some((verdict, json)), said)?;
        } else {
            self.write_verdict(None, said)?;
        }
        fields.retain(|name, text| self.stored.get(name) != text.as_ref());
        if !fields.is_empty() {
            let expect = self.numbers.version.map_or(Expect::Absent, Expect::Version);
            said.change(key(self.id, keys::metrics_aggregated)?, expect, fields.into_iter().collect(), Ttl::Keep);
        }
        Ok(())
    }

    /// Sets the timer for when time alone may change something.
    fn say_when(
        &self,
        again_at: Option<DateTime<Utc>>,
        said: &mut Effects<grants::RedisAgent>,
        fields: &mut BTreeMap<String, Option<String>>,
    ) -> Result<(), Failure> {
        let stored = self.stored.get("look_at").and_then(|text| read_time(text));
        let timer = format!("look:{}", self.id);
        match again_at {
            // It is kept in milliseconds.
            Some(at) if stored.map(|at| at.timestamp_millis()) != Some(at.timestamp_millis()) => {
                let look = Metrics::Look(LookAgain { experiment_id: self.id.to_owned() });
                // It is the clock that says it, whoever said what is looked at then.
                let mut timed = Effects::<grants::RedisAgent>::new(self.cx.origin().clone());
                timed.send_at(timer, at, METRICS, Draft::new(look).subject(self.id))?;
                said.join(timed);
            }
            None if stored.is_some() => said.cancel(timer),
            _ => {}
        }
        fields.insert("look_at".to_owned(), again_at.map(rfc3339));
        Ok(())
    }

    /// The experiment's own document says what it came to; in full when that changes, so that numbers do not get in the way of those who change it.
    /// Whoever raises an alert writes it too, that of an error as well, so that nothing is told of an experiment that was archived meanwhile.
    fn write_verdict(
        &self,
        verdict: Option<(&str, String)>,
        said: &mut Effects<grants::RedisAgent>,
    ) -> Result<(), Failure> {
        let Some(version) = self.known.version else { return Ok(()) };
        let alerts = self.watched.values().any(|watched| watched.last_sent == Some(self.now));
        let mut fields = Vec::new();
        if let Some((verdict, json)) = verdict
            && (alerts || self.known.verdict.as_deref() != Some(verdict))
        {
            fields.extend([("verdict", verdict.to_owned()), ("verdict_json", json)]);
        } else if alerts {
            fields.push(("alerted_at", rfc3339(self.now)));
        }
        if !fields.is_empty() {
            let fields = fields.into_iter().map(|(name, text)| (name.to_owned(), Some(text))).collect();
            said.change(key(self.id, keys::experiment)?, Expect::Version(version), fields, Ttl::Keep);
        }
        Ok(())
    }
}

/// Names a criterion of an experiment: the same words on the other side are another.
fn name_of(planned: &Planned) -> String {
    let text = format!("{:?} {}", planned.direction, planned.text);
    sha256(text.as_bytes())[..16].to_owned()
}

/// A share that a criterion names, with its value.
fn share(judged: &Judged) -> Option<(String, f64)> {
    Some((judged.metric.clone()?, judged.value?))
}
