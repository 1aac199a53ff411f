//! `fullsend:from_orchestrator`: what the team says to people.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::read::{self, object};
use crate::contracts::body::{Example, bodies};
use crate::contracts::envelope::{Priority, millis_option, read_time};

bodies! {
    /// What the team says to people.
    FromOrchestrator {
        /// The orchestrator answers.
        Orchestrator(OrchestratorResponse) = "orchestrator_response" via read_words,
        /// The watcher answers.
        Watcher(WatcherResponse) = "watcher_response" via read_words,
        /// How things stand.
        Status(StatusUpdate) = "status_update" via read_message,
        /// Somebody must do something.
        Action(ActionRequest) = "action_request" via read::wrap,
        /// An idea was taken.
        IdeaAck(IdeaAck) = "idea_ack" via read_message,
        /// The team asks for ideas.
        IdeaRequest(IdeaRequest) = "idea_request" via read_message,
        /// Something was learned.
        Learning(LearningShare) = "learning_share" via read_insight,
        /// Something worked.
        Win(WinAlert) = "win_alert" via read_achievement,
        /// Something went wrong.
        Error(ErrorNotice) = "error" via read_message,
    }
}

/// An answer whose words stand in an object, as a decision's payload, is read by the words.
fn read_words(body: &mut Map<String, Value>) {
    read::first_of(body, "content", &["message", "text"]);
    if let Some(Value::Object(inner)) = body.get_mut("content") {
        read::first_of(inner, "content", &["message", "text", "value"]);
        if let Some(words) = inner.remove("content") {
            body.insert("content".to_owned(), words);
        }
    }
}

fn read_message(body: &mut Map<String, Value>) {
    read::payload(body, "message", &["status", "content", "text", "prompt", "error"]);
}

fn read_insight(body: &mut Map<String, Value>) {
    read::payload(body, "insight", &["message", "learning"]);
}

fn read_achievement(body: &mut Map<String, Value>) {
    read::payload(body, "achievement", &["message"]);
}

/// The orchestrator answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OrchestratorResponse {
    /// Where; the status channel where none is named.
    #[serde(default, deserialize_with = "read::id_option", skip_serializing_if = "Option::is_none")]
    pub channel_id: Option<String>,
    /// The message it answers.
    #[serde(default, deserialize_with = "read::id_option", skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<String>,
    /// What it says.
    pub content: String,
    /// How soon it should be said.
    #[serde(default, deserialize_with = "read::or_default")]
    pub priority: Priority,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    pub timestamp: Option<DateTime<Utc>>,
}

impl Example for OrchestratorResponse {
    fn example() -> Self {
        Self {
            channel_id: Some("880042".to_owned()),
            reply_to: Some("120001".to_owned()),
            content: "Good idea; designing a test.".to_owned(),
            priority: Priority::High,
            timestamp: read_time("2026-03-01T09:30:21Z"),
        }
    }
}

/// The watcher answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WatcherResponse {
    /// Where; the status channel where none is named.
    #[serde(default, deserialize_with = "read::id_option", skip_serializing_if = "Option::is_none")]
    pub channel_id: Option<String>,
    /// The message it answers.
    #[serde(default, deserialize_with = "read::id_option", skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<String>,
    /// What it says.
    pub content: String,
    /// How soon it should be said.
    #[serde(default, deserialize_with = "read::or_default")]
    pub priority: Priority,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    pub timestamp: Option<DateTime<Utc>>,
}

impl Example for WatcherResponse {
    fn example() -> Self {
        Self {
            channel_id: Some("880042".to_owned()),
            reply_to: Some("120001".to_owned()),
            content: "Two experiments are running.".to_owned(),
            priority: Priority::Medium,
            timestamp: read_time("2026-03-01T09:30:01Z"),
        }
    }
}

/// How things stand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StatusUpdate {
    /// What to say.
    pub payload: Words,
    /// How soon it should be said.
    #[serde(default, deserialize_with = "read::or_default")]
    pub priority: Priority,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    pub timestamp: Option<DateTime<Utc>>,
}

impl Example for StatusUpdate {
    fn example() -> Self {
        Self { payload: Words::example(), priority: Priority::Medium, timestamp: read_time("2026-03-01T10:00:00Z") }
    }
}

/// Something to say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Words {
    /// The words.
    pub message: String,
}

impl Example for Words {
    fn example() -> Self {
        Self { message: "two experiments are running, one waits for a tool".to_owned() }
    }
}

/// An idea was taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct IdeaAck {
    /// What to say.
    pub payload: Words,
    /// How soon it should be said.
    #[serde(default, deserialize_with = "read::or_default")]
    pub priority: Priority,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    pub timestamp: Option<DateTime<Utc>>,
}

impl Example for IdeaAck {
    fn example() -> Self {
        Self {
            payload: Words { message: "noted: sponsor a meetup".to_owned() },
            priority: Priority::Low,
            timestamp: read_time("2026-03-01T10:00:00Z"),
        }
    }
}

/// The team asks for ideas.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct IdeaRequest {
    /// What to say.
    pub payload: Words,
    /// How soon it should be said.
    #[serde(default, deserialize_with = "read::or_default")]
    pub priority: Priority,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    pub timestamp: Option<DateTime<Utc>>,
}

impl Example for IdeaRequest {
    fn example() -> Self {
        Self {
            payload: Words { message: "replies are down; what else could we try?".to_owned() },
            priority: Priority::Medium,
            timestamp: read_time("2026-03-01T10:00:00Z"),
        }
    }
}

/// Something went wrong that people should know of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorNotice {
    /// What to say.
    pub payload: Words,
    /// How soon it should be said.
    #[serde(default, deserialize_with = "read::or_default")]
    pub priority: Priority,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    pub timestamp: Option<DateTime<Utc>>,
}

impl Example for ErrorNotice {
    fn example() -> Self {
        Self {
            payload: Words { message: "no model answers; rules decide until one does".to_owned() },
            priority: Priority::High,
            timestamp: read_time("2026-03-01T10:00:00Z"),
        }
    }
}

/// Something was learned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LearningShare {
    /// What.
    pub payload: Insight,
    /// How soon it should be said.
    #[serde(default, deserialize_with = "read::or_default")]
    pub priority: Priority,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    pub timestamp: Option<DateTime<Utc>>,
}

impl Example for LearningShare {
    fn example() -> Self {
        Self { payload: Insight::example(), priority: Priority::Medium, timestamp: read_time("2026-03-03T08:00:00Z") }
    }
}

/// A learning to share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Insight {
    /// What was learned.
    pub insight: String,
    /// The experiment that taught it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experiment_id: Option<String>,
}

impl Example for Insight {
    fn example() -> Self {
        Self {
            insight: "people who asked about self-hosting answer within a day".to_owned(),
            experiment_id: Some("exp_20260301_forum".to_owned()),
        }
    }
}

/// Something worked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WinAlert {
    /// What.
    pub payload: Achievement,
    /// How soon it should be said.
    #[serde(default, deserialize_with = "read::or_default")]
    pub priority: Priority,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    pub timestamp: Option<DateTime<Utc>>,
}

impl Example for WinAlert {
    fn example() -> Self {
        Self {
            payload: Achievement::example(),
            priority: Priority::Medium,
            timestamp: read_time("2026-03-03T09:00:00Z"),
        }
    }
}

/// A success to share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Achievement {
    /// What was achieved.
    pub achievement: String,
    /// The experiment that achieved it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experiment_id: Option<String>,
}

impl Example for Achievement {
    fn example() -> Self {
        Self { achievement: "first meeting booked".to_owned(), experiment_id: Some("exp_20260301_forum".to_owned()) }
    }
}

/// Somebody must do something; they answer with `action_complete`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ActionRequest {
    /// What.
    pub payload: ActionAsked,
    /// How soon it should be done.
    #[serde(default, deserialize_with = "read::or_default")]
    pub priority: Priority,
    /// When it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    pub timestamp: Option<DateTime<Utc>>,
}

impl Example for ActionRequest {
    fn example() -> Self {
        Self { payload: ActionAsked::example(), priority: Priority::High, timestamp: read_time("2026-03-01T10:00:00Z") }
    }
}

/// What somebody must do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ActionAsked {
    /// Names it, for the answer; the message's own id where none is given.
    #[serde(default, deserialize_with = "read::id_option", skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What to do.
    #[serde(alias = "message")]
    pub description: String,
    /// What kind of thing.
    #[serde(default, deserialize_with = "read::or_default")]
    pub action_type: ActionType,
    /// What to know for it.
    #[serde(default, deserialize_with = "read::or_default", skip_serializing_if = "Map::is_empty")]
    pub details: Map<String, Value>,
    /// Who should do it.
    #[serde(default, deserialize_with = "read::id_option", skip_serializing_if = "Option::is_none")]
    pub assignee: Option<String>,
    /// Until when.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    pub deadline: Option<DateTime<Utc>>,
}

impl Example for ActionAsked {
    fn example() -> Self {
        Self {
            id: Some("0d6f2c1e".to_owned()),
            description: "Top up mail credits".to_owned(),
            action_type: ActionType::ManualTask,
            details: object(json!({ "provider": "mail" })),
            assignee: Some("5551".to_owned()),
            deadline: read_time("2026-03-02T12:00:00Z"),
        }
    }
}

/// What kind of thing somebody is asked to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActionType {
    /// Do it by hand.
    #[default]
    ManualTask,
    /// Allow it or not.
    Approval,
    /// Look it over.
    Review,
    /// Decide it.
    Decision,
    /// Say what you think.
    Feedback,
}
