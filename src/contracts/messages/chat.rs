//! `fullsend:discord_raw`: what people say, as it came.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::read::{self, object};
use crate::contracts::body::{Example, bodies};
use crate::contracts::envelope::{millis_option, read_time};
use crate::contracts::{Envelope, Untrusted};

bodies! {
    /// What people say: in a chat, by a command, with a reaction. A body without a type is a chat message.
    DiscordRaw, default "discord_message" {
        /// Somebody wrote in a chat.
        Message(ChatMessage) = "discord_message",
        /// Somebody hands in an idea.
        Idea(IdeaSubmit) = "idea_submit" via read::wrap,
        /// Somebody did, or refused, what they were asked to do.
        Action(ActionComplete) = "action_complete" via read::wrap,
        /// Somebody gives a command.
        Command(Command) = "command" via read::wrap,
        /// Somebody changes a setting of the chat service.
        Config(ConfigUpdate) = "config_update" via read::wrap,
    }
}

impl DiscordRaw {
    /// A chat message in plain words, by whoever runs this program.
    pub fn by_operator(words: String, operator: &str, envelope: &Envelope) -> Self {
        Self::Message(ChatMessage {
            message_id: Some(envelope.id.to_string()),
            channel_id: None,
            channel_name: Some("operator".to_owned()),
            guild_id: None,
            username: Some(Untrusted::from(operator)),
            user_id: None,
            content: Untrusted::from(words),
            mentions_bot: true,
            timestamp: Some(envelope.at),
        })
    }
}

/// A chat message. Only its words are needed to read it; the ids are needed to answer it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ChatMessage {
    /// Names it in the chat; an answer refers to it.
    #[serde(default, deserialize_with = "read::id_option", skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// Where it was written, and where an answer goes.
    #[serde(default, deserialize_with = "read::id_option", skip_serializing_if = "Option::is_none")]
    pub channel_id: Option<String>,
    /// What people call that place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel_name: Option<String>,
    /// The server it was written on.
    #[serde(default, deserialize_with = "read::id_option", skip_serializing_if = "Option::is_none")]
    pub guild_id: Option<String>,
    /// Who wrote it, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<Untrusted>,
    /// Who wrote it, by id.
    #[serde(default, deserialize_with = "read::id_option", skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// What they wrote.
    pub content: Untrusted,
    /// Whether it speaks to the team by name.
    #[serde(default, deserialize_with = "read::or_default")]
    pub mentions_bot: bool,
    /// When it was written.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    pub timestamp: Option<DateTime<Utc>>,
}

impl Example for ChatMessage {
    fn example() -> Self {
        Self {
            message_id: Some("120001".to_owned()),
            channel_id: Some("880042".to_owned()),
            channel_name: Some("gtm".to_owned()),
            guild_id: None,
            username: Some(Untrusted::from("mara")),
            user_id: Some("5551".to_owned()),
            content: Untrusted::from("could we email people who asked about self-hosting?"),
            mentions_bot: false,
            timestamp: read_time("2026-03-01T09:30:00Z"),
        }
    }
}

/// Somebody hands in an idea.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct IdeaSubmit {
    /// The idea.
    pub payload: IdeaPayload,
    /// The surface it came from: `discord`, `web`, `control_room`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Who hands it in.
    #[serde(default, deserialize_with = "read::id_option", skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    pub timestamp: Option<DateTime<Utc>>,
}

impl Example for IdeaSubmit {
    fn example() -> Self {
        Self {
            payload: IdeaPayload::example(),
            source: Some("discord".to_owned()),
            user_id: Some("5551".to_owned()),
            timestamp: read_time("2026-03-01T09:31:00Z"),
        }
    }
}

/// An idea in somebody's words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct IdeaPayload {
    /// The idea.
    #[serde(alias = "text", alias = "idea")]
    pub content: Untrusted,
    /// Where it was said, and where an answer goes.
    #[serde(
        alias = "channel_id",
        default,
        deserialize_with = "read::id_option",
        skip_serializing_if = "Option::is_none"
    )]
    pub source_channel: Option<String>,
    /// Who said it.
    #[serde(default, deserialize_with = "read::id_option", skip_serializing_if = "Option::is_none")]
    pub submitted_by: Option<String>,
    /// What the surface knew about it: `username`, `guild_id`, `channel_name`.
    #[serde(default, deserialize_with = "read::or_default", skip_serializing_if = "Map::is_empty")]
    pub context: Map<String, Value>,
}

impl Example for IdeaPayload {
    fn example() -> Self {
        Self {
            content: Untrusted::from("sponsor a meetup"),
            source_channel: Some("880042".to_owned()),
            submitted_by: Some("5551".to_owned()),
            context: object(json!({ "username": "mara", "guild_id": "77", "channel_name": "gtm" })),
        }
    }
}

/// Somebody did, or refused, what an `action_request` asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ActionComplete {
    /// Which, and what became of it.
    pub payload: ActionOutcome,
    /// The surface it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Who answered.
    #[serde(default, deserialize_with = "read::id_option", skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    pub timestamp: Option<DateTime<Utc>>,
}

impl Example for ActionComplete {
    fn example() -> Self {
        Self {
            payload: ActionOutcome::example(),
            source: Some("discord".to_owned()),
            user_id: Some("5551".to_owned()),
            timestamp: read_time("2026-03-01T09:40:00Z"),
        }
    }
}

/// What became of a requested action.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ActionOutcome {
    /// The `id` of the request.
    #[serde(alias = "id", deserialize_with = "read::id")]
    pub action_id: String,
    /// Done or refused.
    #[serde(alias = "state", default, deserialize_with = "read::or_default")]
    pub status: ActionStatus,
    /// Who did it.
    #[serde(default, deserialize_with = "read::id_option", skip_serializing_if = "Option::is_none")]
    pub completed_by: Option<String>,
    /// Who did it, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<Untrusted>,
}

impl Example for ActionOutcome {
    fn example() -> Self {
        Self {
            action_id: "0d6f2c1e".to_owned(),
            status: ActionStatus::Completed,
            completed_by: Some("5551".to_owned()),
            username: Some(Untrusted::from("mara")),
        }
    }
}

/// Done or refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActionStatus {
    /// Done (✅).
    #[default]
    #[serde(alias = "done", alias = "run")]
    Completed,
    /// Refused (❌).
    Rejected,
}

/// Somebody gives a command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Command {
    /// Which.
    pub payload: CommandPayload,
    /// The surface it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Who gives it.
    #[serde(default, deserialize_with = "read::id_option", skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    pub timestamp: Option<DateTime<Utc>>,
}

impl Example for Command {
    fn example() -> Self {
        Self {
            payload: CommandPayload::example(),
            source: Some("web".to_owned()),
            user_id: Some("web_user".to_owned()),
            timestamp: read_time("2026-03-01T09:41:00Z"),
        }
    }
}

/// A command and what it is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CommandPayload {
    /// The command.
    pub command: CommandName,
    /// Its arguments: `content` for the text of `idea`, `focus`, `learn` and `product`; `channel_id` for where to answer.
    #[serde(default, deserialize_with = "read::or_default", skip_serializing_if = "Map::is_empty")]
    pub args: Map<String, Value>,
}

impl Example for CommandPayload {
    fn example() -> Self {
        Self { command: CommandName::Pause, args: Map::new() }
    }
}

/// What can be commanded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CommandName {
    /// Say how things are.
    #[serde(alias = "/status")]
    Status,
    /// Hold everything that acts outwards.
    #[serde(alias = "/pause")]
    Pause,
    /// Go on.
    #[serde(alias = "/go")]
    Go,
    /// Take an idea.
    #[serde(alias = "/idea")]
    Idea,
    /// What matters now: top of the worklist.
    #[serde(alias = "/focus")]
    Focus,
    /// A learning from a person.
    #[serde(alias = "/learn")]
    Learn,
    /// What is being sold, into the product context.
    #[serde(alias = "/product")]
    Product,
    /// What happened in the last hour, and why.
    #[serde(alias = "/wtf")]
    Wtf,
}

/// Somebody changes a setting of the chat service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigUpdate {
    /// The settings by name, with their new values.
    #[serde(default, deserialize_with = "read::or_default", skip_serializing_if = "Map::is_empty")]
    pub payload: Map<String, Value>,
    /// The surface it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Who changes it.
    #[serde(default, deserialize_with = "read::id_option", skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    pub timestamp: Option<DateTime<Utc>>,
}

impl Example for ConfigUpdate {
    fn example() -> Self {
        Self {
            payload: object(json!({ "listening_channels": ["ideas", "gtm"] })),
            source: Some("discord".to_owned()),
            user_id: Some("5551".to_owned()),
            timestamp: read_time("2026-03-01T09:42:00Z"),
        }
    }
}
