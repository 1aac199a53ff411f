//! What the store is fed with.
//!
//! Owns how an entry or a notice becomes a row. A row's texts are raw; only [`Row::gist`] and the other texts that say so are harmless.

use std::sync::{Arc, OnceLock};

use chrono::{DateTime, Utc};

use super::back::{Found, Source};
use super::system::SharedLine;
use crate::bus::{ChannelInfo, Entry, EntryId, Health, Heard, Key, State};
use crate::contracts::gist::gist;
use crate::contracts::untrusted::sanitize_line;
use crate::contracts::{ChannelName, Envelope, Untrusted};
use crate::llm::ledger::report::Report;
use crate::tui::replay::Playing;

/// Characters of a gist that are kept: more than the widest pane shows.
const GIST_LIMIT: usize = 400;
/// Characters of a name that somebody else chose.
const NAME_LIMIT: usize = 60;

/// Something heard, read back, or learned about the bus.
#[derive(Debug, Clone)]
pub enum Item {
    /// A message heard, or read back.
    Message(Arc<Row>),
    /// A document as it stands now; none where it is gone.
    Document {
        /// Its key.
        key: Key,
        /// What stands there.
        state: Option<State>,
    },
    /// All that stands under keys with this prefix now.
    Documents {
        /// The prefix.
        prefix: String,
        /// The documents.
        found: Vec<(Key, State)>,
        /// How many more there are than are kept.
        left_out: usize,
    },
    /// What a channel's slowest group has not handled; none where that is not known.
    Lag(ChannelName, Option<u64>),
    /// A channel and its groups as they are now.
    Channel(ChannelInfo),
    /// How the engine says that it is.
    Health(Box<Health>),
    /// What is spent, reserved and allowed.
    Budgets(Box<Report>),
    /// A line of the program's log.
    Log(SharedLine),
    /// How the bus is.
    Engine(EngineStatus),
    /// Something may be missing here; why, harmless.
    Gap(String),
    /// So many messages came faster than they could be taken in.
    Missed(u64),
    /// Of what is older than this, only some channels' messages follow: it belongs to their lists alone.
    Since(EntryId),
    /// The newest history has been read; what follows is new.
    Filled,
    /// What was found further back.
    Found {
        /// For whom.
        source: Source,
        /// By which reading.
        serial: u64,
        /// What.
        found: Box<Found>,
    },
    /// A chain, as it was read from the streams.
    Chain(Box<super::Chain>),
    /// How many documents of a prefix there are that are not kept.
    LeftOut {
        /// The prefix.
        prefix: String,
        /// How many.
        count: usize,
    },
    /// Where a replay stands.
    Playing(Playing),
    /// Everything as it was at another moment of a replay.
    Rebuilt(Box<super::Store>),
}

/// How the bus is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineStatus {
    /// Not asked yet.
    Opening,
    /// It answers.
    Live,
    /// It cannot be reached.
    Away {
        /// Since when.
        since: DateTime<Utc>,
        /// What it said, harmless.
        reason: String,
    },
}

/// A message, or what stands in place of one.
#[derive(Debug)]
pub struct Row {
    /// The channel.
    pub channel: ChannelName,
    /// Its entry; none for a notice, which has no place in a stream.
    pub entry: Option<EntryId>,
    /// The envelope, where it can be read.
    pub envelope: Option<Envelope>,
    /// The body as it came. Raw.
    pub body: Box<str>,
    gist: OnceLock<Box<str>>,
    fault: OnceLock<Option<Box<str>>>,
    speaker: OnceLock<Box<str>>,
}

impl Row {
    /// An entry of a stream.
    pub fn stored(entry: Entry) -> Self {
        let envelope = entry.message().ok().map(|message| message.envelope);
        // What is no message is shown with all that came with it.
        let body = match (&envelope, entry.fields) {
            (None, Some(fields)) => fields,
            _ => entry.b.into_boxed_str(),
        };
        Self::new(entry.channel, Some(entry.id), envelope, body)
    }

    /// Something announced.
    pub fn heard(heard: Heard) -> Self {
        Self::new(heard.channel, None, heard.envelope, heard.body.into_boxed_str())
    }

    /// A message of a recording.
    pub fn recorded(channel: ChannelName, entry: Option<EntryId>, envelope: Option<Envelope>, body: Box<str>) -> Self {
        Self::new(channel, entry, envelope, body)
    }

    fn new(channel: ChannelName, entry: Option<EntryId>, envelope: Option<Envelope>, body: Box<str>) -> Self {
        Self { channel, entry, envelope, body, gist: OnceLock::new(), fault: OnceLock::new(), speaker: OnceLock::new() }
    }

    /// Whether it counts: on a channel of the team's own, only what the team said.
    pub fn is_believed(&self) -> bool {
        self.envelope.as_ref().is_some_and(|envelope| self.channel.believes(&envelope.source))
    }

    /// Whether it only says that something goes on, many times a minute: kept with its channel, not among all.
    pub fn is_pulse(&self) -> bool {
        self.envelope.as_ref().is_some_and(|it| match it.kind.as_ref() {
            "heartbeat" | "llm_delta" | "llm_start" => true,
            // That one runs as it should is no news; that one does not comes with its reason.
            "service_state" => !self.body.contains("\"reason\""),
            _ => false,
        })
    }

    /// When it was said; where nobody knows, when it was stored.
    pub fn at(&self) -> Option<DateTime<Utc>> {
        self.envelope.as_ref().map(|envelope| envelope.at).or(self.entry.map(EntryId::at))
    }

    /// Who said it, harmless.
    pub fn source(&self) -> String {
        self.envelope.as_ref().map_or_else(|| "-".to_owned(), |envelope| sanitize_line(&envelope.source, NAME_LIMIT))
    }

    /// Whose words it holds: on a chat the person, else who said it; harmless.
    pub fn speaker(&self) -> &str {
        #[derive(serde::Deserialize)]
        struct Chat {
            username: Option<Untrusted>,
        }
        self.speaker.get_or_init(|| {
            let chat = (self.channel == ChannelName::DiscordRaw).then(|| serde_json::from_str::<Chat>(&self.body).ok());
            let name = chat.flatten().and_then(|chat| chat.username).map(|name| name.line(NAME_LIMIT));
            name.unwrap_or_else(|| self.source()).into_boxed_str()
        })
    }

    /// Its type, harmless.
    pub fn kind(&self) -> String {
        self.envelope.as_ref().map_or_else(|| "-".to_owned(), |envelope| sanitize_line(&envelope.kind, NAME_LIMIT))
    }

    /// What it says in one line, harmless. Made when it is first asked for: most rows of a flood are never shown.
    pub fn gist(&self) -> &str {
        self.gist.get_or_init(|| gist(&self.body).line(GIST_LIMIT).into_boxed_str())
    }

    /// Why it is no message of its channel, harmless; none where it is one.
    pub fn fault(&self) -> Option<&str> {
        let look = || {
            let Some(envelope) = &self.envelope else { return Some("it has no envelope that can be read".into()) };
            if !self.is_believed() {
                let (channel, by) = (self.channel, envelope.source.to_string());
                return Some(crate::contracts::ShapeError::NotTheTeams { channel, by }.to_string().into_boxed_str());
            }
            let err = self.channel.check(&self.body).err()?;
            Some(sanitize_line(&err.to_string(), GIST_LIMIT).into_boxed_str())
        };
        self.fault.get_or_init(look).as_deref()
    }

    /// About how many bytes it takes.
    pub fn weight(&self) -> usize {
        let names = self
            .envelope
            .as_ref()
            .map_or(0, |it| it.kind.len() + it.source.len() + it.subject.as_ref().map_or(0, String::len));
        // The line of the gist, which may be made later, is counted as if it was.
        size_of::<Self>() + self.body.len() + names + self.body.len().min(GIST_LIMIT)
    }
}
