//! One experiment's account in one commit: what happened is added, its criteria are looked at, and what came of it is said.
//!
//! Owns what stands in `metrics_aggregated:{id}` besides the numbers: `watch_json` (what was judged and told), `look_at` (when time alone may change
//! something), `verdict`, `verdict_json`, and metrics that are computed, under their names. Must never write an experiment's document without
//! looking whether it is still the one that was read: it may be archived by now.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::watch::{Look, Seen, Watched, earlier};
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
use crate::experiments::numbers::Numbers;

/// Events of an experiment that are kept as they came.
const KEPT_EVENTS: usize = 1_000;
/// Criteria, and kinds of errors, that are remembered.
const MOST_WATCHED: usize = 250;
/// Fields that no computed metric may take.
const OURS: [&str; 8] =
    ["verdict", "verdict_json", "watch_json", "look_at", "first_at", "first_run_at", "last_updated", "version"];

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
        let stored = document.map(|document| document.fields).unwrap_or_default();
        let watched = stored.get("watch_json").and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
        Self { id, numbers, stored, watched, known, options, cx, now: cx.now() }
    }

    /// Adds these events, looks, and says what is to be said. Gives back those that are refused.
    pub(super) fn settle(
        mut self,
        events: Vec<Event>,
        effects: &mut Effects<grants::RedisAgent>,
    ) -> Result<Vec<(ChannelName, EntryId, Failure)>, Failure> {
        let mut refused = Vec::new();
        let mut taken: Vec<Event> = Vec::with_capacity(events.len());
        for event in events {
            // What says that it happens in the future, happens now.
            let at = event.message.envelope.at.min(self.now);
            match self.numbers.add(&event.happened, at) {
                Ok(()) => taken.push(event),
                Err(err) => refused.push((event.message.entry.channel, event.message.entry.id, refusal(&err).into())),
            }
        }
        // What is said because of them is said because of the last.
        let Some(last) = taken.last() else { return Ok(refused) };
        let origin = self.cx.origin().caused_by(&last.message.envelope);
        let mut said = Effects::new(origin.clone());
        self.keep_events(&taken, &mut said)?;
        self.say_errors(&taken, &mut said)?;
        let looked = self.look(&mut said)?;
        self.write(looked, &origin, &mut said)?;
        effects.join(said);
        Ok(refused)
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
            let name = format!("error:{}", &sha256(kind.as_bytes())[..16]);
            if self.watched.len() >= MOST_WATCHED && !self.watched.contains_key(&name) {
                continue;
            }
            if self.watched.entry(name.clone()).or_default().occurred(self.now, self.options.cooldown) {
                tell::error(said, self.id, format!("{}:{name}", self.id), error)?;
            }
        }
        Ok(())
    }

    /// Looks at each criterion; none where nothing is known of the experiment, or it is archived.
    fn look(&mut self, said: &mut Effects<grants::RedisAgent>) -> Result<Option<Looked>, Failure> {
        let plan = std::sync::Arc::clone(&self.known.plan);
        if self.is_archived() || plan.criteria.is_empty() {
            return Ok(None);
        }
        let values = Values::of(&self.numbers, &plan.definitions, None);
        let within = self.known.settles_within(self.options.settle);
        let settled_by = (!within.is_zero()).then(|| self.now - within);
        let settled = settled_by.map(|settled_by| values.settled(settled_by));
        let settled = settled.as_ref().unwrap_or(&values);
        let look = Look { now: self.now, began_at: self.numbers.began_at(), cooldown: self.options.cooldown };
        let mut looked = Looked { outcome: Outcome::default(), again_at: None, computed: BTreeMap::new() };
        let mut names = BTreeSet::new();
        for planned in &plan.criteria {
            let name = name_of(planned);
            let watched = self.watched.entry(name.clone()).or_default();
            let Seen { judged, alert, over, again_at } = watched.look(planned, &plan, &values, settled, look);
            let alert_id = format!("{}:{name}", self.id);
            if alert {
                tell::crossed(said, self.id, &alert_id, &judged, watched)?;
            } else if over {
                tell::over(said, self.id, alert_id, &judged, watched)?;
            }
            names.insert(name);
            looked.again_at = earlier(looked.again_at, again_at);
            looked.outcome.criteria.push(judged);
        }
        // What is too young now is not so for ever.
        let is_young = |judged: &Judged| judged.evidence.as_ref().is_some_and(|it| it.settled < it.n);
        if let Some(settled_by) = settled_by
            && looked.outcome.criteria.iter().any(is_young)
        {
            let settles = self.numbers.oldest_since(settled_by).map(|oldest| oldest + within);
            looked.again_at = earlier(looked.again_at, settles.filter(|at| *at > self.now));
        }
        // Criteria that the experiment no longer has.
        self.watched.retain(|name, _| name.starts_with("error:") || names.contains(name));
        let shares = looked.outcome.criteria.iter().filter(|judged| judged.evidence.is_some()).filter_map(share);
        looked.computed = values.computed().map(|(name, value)| (name.to_owned(), value)).chain(shares).collect();
        looked.computed.retain(|name, _| !OURS.contains(&name.as_str()) && !name.contains(['.', ' ', '@']));
        looked.outcome.verdict = judgement::standing(&looked.outcome.criteria);
        looked.outcome.variants = judgement::variants(&plan, &self.numbers);
        looked.outcome.at = self.now;
        Ok(Some(looked))
    }

    /// Writes the numbers and what was seen; and the verdict into the experiment's document, where it changed.
    fn write(
        mut self,
        looked: Option<Looked>,
        origin: &Origin,
        said: &mut Effects<grants::RedisAgent>,
    ) -> Result<(), Failure> {
        let mut fields: BTreeMap<String, Option<String>> = BTreeMap::new();
        fields.extend(self.numbers.take_changes(self.now).into_iter().map(|(name, text)| (name, Some(text))));
        let watch = (!self.watched.is_empty()).then(|| serde_json::to_string(&self.watched)).transpose();
        fields.insert("watch_json".to_owned(), watch.map_err(|err| Failure::Terminal(err.into()))?);
        if let Some(looked) = looked {
            let verdict = looked.outcome.verdict.as_str();
            let json = serde_json::to_string(&looked.outcome).map_err(|err| Failure::Terminal(err.into()))?;
            self.say_when(looked.again_at, origin, said, &mut fields)?;
            fields.insert("verdict".to_owned(), Some(verdict.to_owned()));
            fields.insert("verdict_json".to_owned(), Some(json.clone()));
            fields.extend(looked.computed.into_iter().map(|(name, value)| (name, Some(value.to_string()))));
            self.write_verdict(verdict, json, said)?;
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
        origin: &Origin,
        said: &mut Effects<grants::RedisAgent>,
        fields: &mut BTreeMap<String, Option<String>>,
    ) -> Result<(), Failure> {
        let stored = self.stored.get("look_at").and_then(|text| read_time(text));
        let timer = format!("look:{}", self.id);
        match again_at {
            // It is kept in milliseconds.
            Some(at) if stored.map(|at| at.timestamp_millis()) != Some(at.timestamp_millis()) => {
                let look = Metrics::Look(LookAgain { experiment_id: self.id.to_owned() });
                let mut timed = Effects::<grants::RedisAgent>::new(origin.clone());
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
    /// Whoever raises an alert writes it too, so that nothing is told of an experiment that was archived meanwhile.
    fn write_verdict(
        &self,
        verdict: &str,
        json: String,
        said: &mut Effects<grants::RedisAgent>,
    ) -> Result<(), Failure> {
        let Some(version) = self.known.version else { return Ok(()) };
        let alerts = self.watched.values().any(|watched| watched.last_sent == Some(self.now));
        if alerts || self.known.verdict.as_deref() != Some(verdict) {
            let fields = [("verdict", verdict.to_owned()), ("verdict_json", json)];
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
