//! The store: what the screens show, built only from [`Item`]s by one [`Store::apply`].
//!
//! Owns the read models: rings of messages (bounded by count and bytes, with visible drops), the documents, the services, the model
//! calls, the rates. Must never read the bus, a clock or the keyboard, and never decide how something looks.

pub mod builds;
pub mod calls;
pub mod debates;
pub mod documents;
pub mod item;
pub mod rates;
pub mod ring;
pub mod services;
pub mod system;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};

pub use calls::{Call, Calls};
pub use documents::{Documents, Need};
pub use item::{EngineStatus, Item, Row};
pub use rates::Rate;
pub use ring::{Caps, Line, Ring, What};
pub use services::{Presence, Services};

use crate::bus::EntryId;
use crate::bus::filter::Filter;
use crate::contracts::messages::{Health, LlmCalls};
use crate::contracts::{Body, ChannelName};

/// Everything that is shown.
#[derive(Debug)]
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
    /// How the bus is.
    pub engine: EngineStatus,
    /// What the feed could not hand over in time, or the engine dropped before us.
    pub missed: u64,
    /// Whether the newest history has been read.
    pub is_filled: bool,
    filter: Filter,
    next_line: u64,
    now: DateTime<Utc>,
}

/// What is kept of one channel.
#[derive(Debug)]
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
        let channel = |name: &ChannelName| (*name, Channel { ring: Ring::new(each), rate: Rate::default(), lag: None });
        Self {
            all: Ring::new(caps),
            channels: ChannelName::ALL.iter().map(channel).collect(),
            documents: Documents::default(),
            services: Services::default(),
            calls: Calls::default(),
            builds: builds::Builds::default(),
            debates: debates::Debates::default(),
            system: system::System::default(),
            engine: EngineStatus::Opening,
            missed: 0,
            is_filled: false,
            filter: Filter::default(),
            next_line: 1,
            now: DateTime::UNIX_EPOCH,
        }
    }

    /// A channel.
    pub fn channel(&self, name: ChannelName) -> Option<&Channel> {
        self.channels.get(&name)
    }

    /// The message with this entry, if it is still kept.
    pub fn find(&self, channel: ChannelName, entry: EntryId) -> Option<&Arc<Row>> {
        let lines = self.channels.get(&channel)?.ring.all();
        lines.rev().filter_map(Line::row).find(|row| row.entry == Some(entry))
    }

    /// Takes in what was heard or read. The only way in which the store changes, but for its clock and its filter.
    pub fn apply(&mut self, item: Item) {
        match item {
            Item::Message(row) => self.message(row),
            Item::Document { key, state } => self.documents.put(key, state),
            Item::Documents { prefix, found, left_out } => self.documents.replace(&prefix, found, left_out),
            Item::Channel(info) => {
                if let Some(channel) = self.channels.get_mut(&info.channel) {
                    let waiting = info.groups.iter().map(|group| group.lag.map(|lag| lag + group.pending));
                    channel.lag = waiting.max().flatten();
                }
                self.system.channel(info);
            }
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
        }
    }

    fn message(&mut self, row: Arc<Row>) {
        match row.channel {
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
        let is_pulse = row.is_pulse();
        let name = row.channel;
        let line = self.line(What::Said(row));
        if !is_pulse {
            self.all.push(line.clone(), &self.filter);
        }
        if let Some(channel) = self.channels.get_mut(&name) {
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

    /// Sets what time it is, for rates and for how long ago something was.
    pub fn tick(&mut self, now: DateTime<Utc>) {
        self.now = now;
        for channel in self.channels.values_mut() {
            channel.rate.tick(now);
        }
    }

    /// Shows only what matches from now on.
    pub fn set_filter(&mut self, filter: Filter) {
        self.filter = filter;
        self.all.refilter(&self.filter);
        self.system.logs.refilter(&self.filter);
        for channel in self.channels.values_mut() {
            channel.ring.refilter(&self.filter);
        }
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
