//! The store: what the screens show, built only from [`Item`]s by one [`Store::apply`].
//!
//! Owns the read models: rings of messages (bounded by count and bytes, with visible drops), the documents, the services, the model
//! calls, the rates. Must never read the bus, a clock or the keyboard, and never decide how something looks.

pub mod alerts;
pub mod back;
pub mod builds;
pub mod calls;
pub mod chain;
pub mod debates;
pub mod decisions;
pub mod documents;
pub mod experiments;
pub mod item;
pub mod rates;
pub mod ring;
pub mod series;
pub mod services;
pub mod system;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};

pub use alerts::{Alert, Alerts};
pub use back::{Back, Found, Places, ReadBack, Reading, Source, Toward};
pub use calls::{Call, Calls};
pub use chain::Chain;
pub use decisions::Decisions;
pub use documents::{Documents, Need};
pub use experiments::{Experiment, Experiments};
pub use item::{EngineStatus, Item, Row};
pub use rates::Rate;
pub use ring::{Caps, Line, Ring, Shown, View, What};
pub use series::AllSeries;
pub use services::{Presence, Services};

use crate::bus::EntryId;
use crate::bus::filter::Filter;
use crate::bus::{Key, State};
use crate::contracts::messages::{self, Health, LlmCalls, Metrics, ToOrchestrator};
use crate::contracts::{Body, ChannelKind, ChannelName, TraceId};
use crate::experiments::spec::Mode;
use crate::tui::replay::Playing;

/// Speakers of whom it is remembered what they said last.
const SPEAKERS: usize = 100;

/// Everything that is shown.
#[derive(Debug, Clone)]
pub struct Store {
    /// All channels as one, without what only pulses (see [`Row::is_pulse`]).
    pub all: Ring,
    channels: BTreeMap<ChannelName, Channel>,
    /// State, by key.
    pub documents: Documents,
    /// Who runs, and how.
    pub services: Services,
    /// Model calls.
    pub calls: Calls,
    /// Tools that are asked for.
    pub builds: builds::Builds,
    /// Debates of the round table.
    pub debates: debates::Debates,
    /// How the machine is.
    pub system: system::System,
    /// Experiments, as their documents and what was counted say.
    pub experiments: Experiments,
    /// What was decided.
    pub decisions: Decisions,
    /// What somebody should look at.
    pub alerts: Alerts,
    /// What was counted, over time.
    pub series: AllSeries,
    /// What each of those who speak said last.
    deeds: BTreeMap<String, String>,
    /// How many messages come on all channels, without what only pulses.
    pub rate: Rate,
    /// How the bus is.
    pub engine: EngineStatus,
    /// What the feed could not hand over in time, or the engine dropped before us.
    pub missed: u64,
    /// Whether the newest history has been read.
    pub is_filled: bool,
    /// The chain that is followed.
    pub chain: Option<Chain>,
    /// Where the replay stands; none where this is none.
    pub playing: Option<Playing>,
    filter: Filter,
    next_line: u64,
    next_reading: u64,
    /// What is older than this is only in the list of its channel, because of others the same time was not read.
    since: EntryId,
    now: DateTime<Utc>,
}

/// The number of the first line: there is room before it for what is read back.
const FIRST_LINE: u64 = 1 << 40;

/// What is kept of one channel.
#[derive(Debug, Clone)]
pub struct Channel {
    /// Its messages.
    pub ring: Ring,
    /// How many come.
    pub rate: Rate,
    /// Messages that its slowest group has not handled; none where that is not known.
    pub lag: Option<u64>,
}

impl Store {
    /// An empty store; rings keep what the caps allow.
    pub fn new(caps: Caps) -> Self {
        let each = caps.of_channel();
        let back = caps.of_back();
        let channel = |name: &ChannelName| {
            let ring = Ring::new(Source::Channel(*name), each, back);
            (*name, Channel { ring, rate: Rate::default(), lag: None })
        };
        Self {
            all: Ring::new(Source::All, caps, back),
            channels: ChannelName::ALL.iter().map(channel).collect(),
            documents: Documents::default(),
            services: Services::default(),
            calls: Calls::default(),
            builds: builds::Builds::default(),
            debates: debates::Debates::default(),
            system: system::System::default(),
            experiments: Experiments::default(),
            decisions: Decisions::default(),
            alerts: Alerts::default(),
            series: AllSeries::default(),
            rate: Rate::default(),
            deeds: BTreeMap::new(),
            engine: EngineStatus::Opening,
            missed: 0,
            is_filled: false,
            chain: None,
            playing: None,
            filter: Filter::default(),
            next_line: FIRST_LINE,
            next_reading: 1,
            since: EntryId::ZERO,
            now: DateTime::UNIX_EPOCH,
        }
    }

    /// The type of what somebody said last; harmless.
    pub fn deed(&self, source: &str) -> Option<&str> {
        self.deeds.get(source).map(String::as_str)
    }

    /// A channel.
    pub fn channel(&self, name: ChannelName) -> Option<&Channel> {
        self.channels.get(&name)
    }

    /// The message with this entry, if it is still kept.
    pub fn find(&self, channel: ChannelName, entry: EntryId) -> Option<&Arc<Row>> {
        let lines = self.channels.get(&channel)?.ring.lines();
        lines.rev().filter_map(Line::row).find(|row| row.entry == Some(entry))
    }

    /// Takes in what was heard or read. The only way in which the store changes, but for its clock and its filter.
    pub fn apply(&mut self, item: Item) {
        match item {
            Item::Message(row) => self.message(row),
            Item::Document { key, state } => {
                if let Some(chain) = &mut self.chain {
                    chain.document(&key, state.as_ref());
                }
                let changed = self.documents.put(key, state);
                self.changed(&changed);
            }
            Item::Documents { prefix, found, left_out } => {
                if let Some(chain) = &mut self.chain {
                    for (key, state) in &found {
                        chain.document(key, Some(state));
                    }
                }
                let changed = self.documents.replace(&prefix, found, left_out);
                self.changed(&changed);
            }
            Item::Chain(chain) => self.take_chain(*chain),
            Item::LeftOut { prefix, count } => self.documents.leave_out(prefix, count),
            Item::Playing(playing) => {
                self.tick(playing.at);
                self.playing = Some(playing);
            }
            Item::Rebuilt(store) => {
                let filter = std::mem::take(&mut self.filter);
                *self = *store;
                self.set_filter(filter);
            }
            Item::Lag(channel, lag) => {
                if let Some(channel) = self.channels.get_mut(&channel) {
                    channel.lag = lag;
                }
            }
            Item::Channel(info) => self.system.channel(info),
            Item::Health(health) => self.system.health = Some(*health),
            Item::Budgets(report) => self.system.budgets = Some(*report),
            Item::Log(line) => {
                let line = self.line(What::Log(line));
                self.system.logs.push(line, &self.filter);
            }
            Item::Engine(status) => self.engine = status,
            Item::Gap(words) => {
                let line = self.line(What::Gap(words.into()));
                self.all.push(line.clone(), &self.filter);
                for channel in self.channels.values_mut() {
                    channel.ring.push(line.clone(), &self.filter);
                }
            }
            Item::Missed(count) => self.missed = self.missed.saturating_add(count),
            Item::Filled => self.is_filled = true,
            Item::Since(id) => {
                self.since = id;
                let kept = ChannelName::ALL.iter().filter(|it| it.route().kind == ChannelKind::Work);
                kept.for_each(|channel| self.all.begins(*channel, id));
            }
            Item::Found { source, serial, found } => {
                let next = self.next_line;
                if let Some(ring) = self.ring_mut(source) {
                    ring.found(serial, *found, next);
                }
            }
        }
    }

    /// The lines of a source.
    pub fn ring(&self, source: Source) -> Option<&Ring> {
        match source {
            Source::All => Some(&self.all),
            Source::Log => None,
            Source::Channel(name) => self.channels.get(&name).map(|it| &it.ring),
        }
    }

    fn ring_mut(&mut self, source: Source) -> Option<&mut Ring> {
        match source {
            Source::All => Some(&mut self.all),
            Source::Log => None,
            Source::Channel(name) => self.channels.get_mut(&name).map(|it| &mut it.ring),
        }
    }

    /// What is to be read back for a list, in this direction; none where it is being read, or there is nothing.
    pub fn read_back(&mut self, source: Source, toward: Toward) -> Option<ReadBack> {
        let serial = self.next_reading;
        self.next_reading += 1;
        let filter = self.filter.clone();
        self.ring_mut(source)?.read_back(toward, &filter, serial)
    }

    /// Forgets what was read back for a list. True where something was, or is being read.
    pub fn forget_back(&mut self, source: Source) -> bool {
        self.ring_mut(source).is_some_and(Ring::forget_back)
    }

    /// What is read out of documents is read again where they changed.
    fn changed(&mut self, keys: &[Key]) {
        self.experiments.look(&self.documents, &mut self.series, keys, self.now);
        self.decisions.look(&self.documents, keys);
        self.alerts.look(&self.documents, keys);
    }

    fn message(&mut self, row: Arc<Row>) {
        match row.channel {
            ChannelName::Metrics => {
                if let Ok(said) = Metrics::read(&row.body) {
                    let at = row.at().unwrap_or(self.now);
                    if let Some(experiment) = self.series.said(&said, row.entry, at) {
                        self.experiments.counted(experiment, &said, &row);
                    }
                }
            }
            ChannelName::Alerts if row.is_believed() => {
                if let Ok(said) = messages::Alerts::read(&row.body) {
                    self.alerts.said(said, row.at().unwrap_or(self.now));
                }
            }
            ChannelName::ToOrchestrator => {
                // The channel carries much else, and reading it whole costs more than looking.
                if row.envelope.as_ref().is_some_and(|it| it.kind == "metric_alert")
                    && let Ok(ToOrchestrator::MetricAlert(said)) = ToOrchestrator::read(&row.body)
                {
                    self.alerts.measured(said);
                }
            }
            ChannelName::Health => {
                if let Ok(health) = Health::read(&row.body) {
                    self.services.apply(health, self.now);
                }
            }
            ChannelName::LlmCalls => {
                if let Ok(call) = LlmCalls::read(&row.body) {
                    self.calls.apply(call, row.envelope.as_ref(), self.now);
                }
            }
            ChannelName::DeadLetter => self.system.letter(&row),
            _ => {}
        }
        self.builds.apply(&row);
        self.debates.apply(&row);
        if let Some(chain) = &mut self.chain
            && chain.take(&row)
        {
            self.complete_chain();
        }
        let is_pulse = row.is_pulse();
        let name = row.channel;
        let is_full = self.deeds.len() >= SPEAKERS;
        if let Some(envelope) = row.envelope.as_ref().filter(|_| !is_pulse) {
            match self.deeds.get_mut(envelope.source.as_ref()) {
                Some(kind) if *kind == envelope.kind => {}
                Some(kind) => *kind = row.kind(),
                None if !is_full => {
                    self.deeds.insert(envelope.source.to_string(), row.kind());
                }
                None => {}
            }
        }
        let entry = row.entry;
        let line = self.line(What::Said(row));
        if !is_pulse && self.is_filled {
            self.rate.count(self.now);
        }
        if entry.is_none_or(|id| id >= self.since) {
            if let Some(id) = entry {
                self.all.begins(name, id);
            }
            if !is_pulse {
                self.all.push(line.clone(), &self.filter);
            }
        }
        if let Some(channel) = self.channels.get_mut(&name) {
            if let Some(id) = entry {
                channel.ring.begins(name, id);
            }
            channel.ring.push(line, &self.filter);
            if self.is_filled {
                channel.rate.count(self.now);
            }
        }
    }

    fn line(&mut self, what: What) -> Line {
        let number = self.next_line;
        self.next_line += 1;
        Line { number, what }
    }

    /// Follows a chain from now on, beginning with what is kept of it.
    pub fn follow(&mut self, trace: TraceId) {
        let mut chain = Chain::of(trace);
        for row in self.all.lines().filter_map(Line::row) {
            chain.take(row);
        }
        self.chain = Some(chain);
        self.complete_chain();
    }

    /// The chain with the most messages of those that are kept.
    pub fn longest_chain(&self) -> Option<TraceId> {
        let mut counts: BTreeMap<TraceId, usize> = BTreeMap::new();
        for envelope in self.all.lines().filter_map(|line| line.row()?.envelope.as_ref()) {
            *counts.entry(envelope.trace).or_default() += 1;
        }
        counts.into_iter().max_by_key(|(trace, count)| (*count, *trace)).map(|(trace, _)| trace)
    }

    /// Whether documents were read at all.
    pub fn has_documents(&self) -> bool {
        self.documents.is_read()
    }

    /// The streams were read for the chain that is followed; what came meanwhile stays in it.
    fn take_chain(&mut self, mut read: Chain) {
        let Some(live) = self.chain.take_if(|live| live.trace() == read.trace()) else { return };
        for row in live.rows() {
            read.take(row);
        }
        for (key, state) in live.documents() {
            read.document(key, Some(state));
        }
        self.chain = Some(read);
        self.complete_chain();
    }

    /// Gives the chain the documents of its messages that are known here.
    fn complete_chain(&mut self) {
        let Some(chain) = &mut self.chain else { return };
        let known: Vec<_> =
            chain.wanted().iter().filter_map(|key| Some((key.clone(), self.documents.get(key.as_str())?))).collect();
        for (key, state) in known {
            chain.document(&key, Some(state));
        }
    }

    /// Sets what time it is, for rates and for how long ago something was.
    pub fn tick(&mut self, now: DateTime<Utc>) {
        self.now = now;
        self.rate.tick(now);
        self.experiments.tick(&self.series);
        self.alerts.tick(&self.documents);
        for channel in self.channels.values_mut() {
            channel.rate.tick(now);
        }
    }

    /// Shows only what matches from now on.
    pub fn set_filter(&mut self, filter: Filter) {
        let is_narrower = filter.narrows(&self.filter);
        self.filter = filter;
        self.all.refilter(&self.filter, is_narrower);
        self.system.logs.refilter(&self.filter, is_narrower);
        for channel in self.channels.values_mut() {
            channel.ring.refilter(&self.filter, is_narrower);
        }
    }

    /// Whether what a request is about reaches anybody; none where it is about no experiment that is known.
    pub fn mode_of(&self, need: &Need) -> Option<Mode> {
        self.experiments.mode(need.experiment()?)
    }

    /// What stands under a key, also where only the chain that is followed knows it.
    pub fn state(&self, key: &str) -> Option<&State> {
        let of_chain = || self.chain.as_ref()?.documents().get(&Key::new(key));
        self.documents.get(key).or_else(of_chain)
    }

    /// What is shown only.
    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    /// The time that it was told last.
    pub fn now(&self) -> DateTime<Utc> {
        self.now
    }
}
