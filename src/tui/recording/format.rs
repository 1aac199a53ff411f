//! The lines of a recording, and how they become items again.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::bus::{ChannelInfo, EntryId, Key, State};
use crate::contracts::envelope::millis;
use crate::contracts::untrusted::sanitize_line;
use crate::contracts::{ChannelName, Envelope};
use crate::telemetry::redact::redact;
use crate::tui::store::{EngineStatus, Item, Row};

/// A line: when, and what.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Line {
    #[serde(with = "millis")]
    pub(super) at: DateTime<Utc>,
    pub(super) item: Recorded,
}

/// An item as it is written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Recorded {
    Message {
        channel: ChannelName,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        entry: Option<EntryId>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        envelope: Option<Box<Envelope>>,
        body: String,
    },
    Document {
        key: Key,
        state: Option<State>,
    },
    LeftOut {
        prefix: String,
        count: usize,
    },
    Lag {
        channel: ChannelName,
        lag: Option<u64>,
    },
    Channel(ChannelInfo),
    Live,
    Away {
        #[serde(with = "millis")]
        since: DateTime<Utc>,
        reason: String,
    },
    Gap(String),
    Missed(u64),
    Filled,
}

impl Recorded {
    /// What is written of an item; none of one that only a room has.
    pub(super) fn of(item: &Item) -> Option<Self> {
        Some(match item {
            Item::Message(row) => Self::Message {
                channel: row.channel,
                entry: row.entry,
                envelope: row.envelope.clone().map(Box::new),
                body: row.body.to_string(),
            },
            Item::Document { key, state } => Self::Document { key: key.clone(), state: state.clone() },
            Item::Lag(channel, lag) => Self::Lag { channel: *channel, lag: *lag },
            Item::Channel(info) => Self::Channel(info.clone()),
            Item::Engine(EngineStatus::Live) => Self::Live,
            Item::Engine(EngineStatus::Away { since, reason }) => Self::Away { since: *since, reason: reason.clone() },
            Item::Gap(words) => Self::Gap(words.clone()),
            Item::Missed(count) => Self::Missed(*count),
            Item::Filled => Self::Filled,
            Item::LeftOut { prefix, count } => Self::LeftOut { prefix: prefix.clone(), count: *count },
            Item::Engine(EngineStatus::Opening)
            | Item::Documents { .. }
            | Item::Health(_)
            | Item::Budgets(_)
            | Item::Log(_)
            | Item::Chain(_)
            | Item::Playing(_)
            | Item::Rebuilt(_)
            | Item::Since(_)
            | Item::Found { .. } => return None,
        })
    }

    /// The same without secrets in its texts: within a text they look other than in the line that quotes it.
    pub(super) fn redacted(mut self) -> Self {
        match &mut self {
            Self::Message { body, .. } => *body = redact(body),
            Self::Document { state: Some(State::Hash(document)), .. } => {
                for value in document.fields.values_mut() {
                    *value = redact(value);
                }
            }
            Self::Document { state: Some(State::String(text)), .. } => *text = redact(text),
            _ => {}
        }
        self
    }

    /// The item again. Words that a room shows as they are were harmless when they were written; whoever wrote the file may not be us.
    pub(super) fn into_item(self) -> Item {
        match self {
            Self::Message { channel, entry, envelope, body } => {
                let row = Row::recorded(channel, entry, envelope.map(|it| *it), body.into_boxed_str());
                Item::Message(Arc::new(row))
            }
            Self::Document { key, state } => Item::Document { key, state },
            Self::LeftOut { prefix, count } => Item::LeftOut { prefix, count },
            Self::Lag { channel, lag } => Item::Lag(channel, lag),
            Self::Channel(info) => Item::Channel(info),
            Self::Live => Item::Engine(EngineStatus::Live),
            Self::Away { since, reason } => {
                Item::Engine(EngineStatus::Away { since, reason: sanitize_line(&reason, 200) })
            }
            Self::Gap(words) => Item::Gap(sanitize_line(&words, 200)),
            Self::Missed(count) => Item::Missed(count),
            Self::Filled => Item::Filled,
        }
    }
}
