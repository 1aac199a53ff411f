//! Channels and the services that speak on them, by name.
//!
//! Owns how a channel and a service are called, everywhere. Who may say what on which is [`super::wiring`]'s.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::body::Body;
pub use super::wiring::ChannelName;

/// Whether what is said on a channel must be handled, or may be missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ChannelKind {
    /// Durable: a stream with groups; at least once to each.
    Work,
    /// Lossy: for whoever looks right now.
    Notice,
}

/// A channel that carries `M`, and nothing else.
pub struct Channel<M> {
    /// Its name.
    pub name: ChannelName,
    carries: PhantomData<fn() -> M>,
}

impl<M: Body> Channel<M> {
    pub(super) const fn new(name: ChannelName) -> Self {
        Self { name, carries: PhantomData }
    }
}

impl<M> Clone for Channel<M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M> Copy for Channel<M> {}

impl<M> fmt::Debug for Channel<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)
    }
}

/// A name that is not one of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown {what} `{found}`{}", nearest.map(|near| format!(", did you mean `{near}`?")).unwrap_or_default())]
pub struct UnknownName {
    /// What kind of name was meant.
    pub what: &'static str,
    /// What was given.
    pub found: String,
    /// The known name that is most like it.
    pub nearest: Option<&'static str>,
}

impl UnknownName {
    /// The error for `found`, with the nearest of `known`.
    pub fn among(what: &'static str, found: &str, known: impl IntoIterator<Item = &'static str>) -> Self {
        let nearest = known
            .into_iter()
            .map(|name| (strsim::damerau_levenshtein(found, name), name))
            .min()
            .filter(|(distance, name)| *distance <= 1 + name.len() / 3)
            .map(|(_, name)| name);
        Self { what, found: found.chars().take(120).collect(), nearest }
    }
}

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ChannelName {
    type Err = UnknownName;

    /// Reads `fullsend:metrics`, or short `metrics`; `fullsend:builder_requests` is read as `builder_tasks`.
    fn from_str(text: &str) -> Result<Self, UnknownName> {
        let short = text.strip_prefix("fullsend:").unwrap_or(text);
        Self::ALL
            .iter()
            .copied()
            .find(|channel| {
                let former = channel.former_name().and_then(|name| name.strip_prefix("fullsend:"));
                channel.short() == short || former == Some(short)
            })
            .ok_or_else(|| UnknownName::among("channel", short, Self::ALL.iter().map(|channel| channel.short())))
    }
}

impl Serialize for ChannelName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ChannelName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl ChannelName {
    /// Another name that the founding systems published on; what is heard there belongs here.
    pub const fn former_name(self) -> Option<&'static str> {
        match self {
            Self::BuilderTasks => Some("fullsend:builder_requests"),
            _ => None,
        }
    }

    /// Whether only the team speaks here: what somebody else says would be taken for an answer, a record or an alarm of the team's.
    pub const fn is_the_teams_own(self) -> bool {
        matches!(self, Self::Proposals | Self::Approvals | Self::Alerts | Self::Audit | Self::DeadLetter)
    }

    /// Whether a message in the name of `source` counts here: on a channel of the team's own, only where the table names it.
    pub fn believes(self, source: &str) -> bool {
        !self.is_the_teams_own() || self.route().publishers.iter().any(|service| service.as_str() == source)
    }

    /// The name without `fullsend:`, as screens show it.
    pub fn short(self) -> &'static str {
        let name = self.as_str();
        name.strip_prefix("fullsend:").unwrap_or(name)
    }
}

macro_rules! services {
    ($( $(#[$doc:meta])* $name:ident = $text:literal, built $built:literal ;)+) => {
        /// Who speaks and listens: the team, the parts that serve it, and the person's surfaces.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ServiceName { $( $(#[$doc])* $name, )+ }

        impl ServiceName {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// As it is written on the bus, in settings and on the screen.
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$name => $text, )+ }
            }

            /// Whether this version of the program contains it.
            pub const fn is_built(self) -> bool {
                match self { $( Self::$name => $built, )+ }
            }
        }

        /// One type for each service: holding it is what lets code speak as that service.
        pub mod grants {
            $( $(#[$doc])* #[derive(Debug, Clone, Copy)] pub struct $name; )+
            $( impl super::super::wiring::Grant for $name {
                const SERVICE: super::ServiceName = super::ServiceName::$name;
            } )+
        }
    };
}

services! {
    /// Brings in what people say, and says what the team answers.
    Discord = "discord", built false;
    /// Classifies what people say.
    Watcher = "watcher", built true;
    /// Decides what to work on.
    Orchestrator = "orchestrator", built true;
    /// Designs experiments.
    Fullsend = "fullsend", built true;
    /// Makes missing tools.
    Builder = "builder", built false;
    /// Runs experiments.
    Executor = "executor", built true;
    /// Watches the numbers.
    RedisAgent = "redis_agent", built true;
    /// Debates when the team is stuck.
    Roundtable = "roundtable", built false;
    /// The only door to an outward effect: approvals.
    Gate = "gate", built true;
    /// Keeps the notes.
    Memory = "memory", built true;
    /// Keeps the budget.
    Ledger = "ledger", built true;
    /// Every surface of the operator: screen and verbs.
    ControlRoom = "control_room", built true;
    /// Starts, watches and stops the services.
    Supervisor = "supervisor", built true;
    /// The bus itself: dead letters and its own alerts.
    Bus = "bus", built true;
    /// Wraps bare bodies that others publish.
    Bridge = "bridge", built true;
    /// Answers `doctor` and tests; keeps a count of what it saw.
    Echo = "echo", built true;
    /// Says what was to be said at a time.
    Timers = "timers", built true;
    /// Keeps streams at their age and length.
    Trimmer = "trimmer", built true;
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for ServiceName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl FromStr for ServiceName {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        Self::ALL
            .iter()
            .copied()
            .find(|service| service.as_str() == text)
            .ok_or_else(|| UnknownName::among("service", text, Self::ALL.iter().map(|service| service.as_str())))
    }
}
