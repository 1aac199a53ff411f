//! `fullsend:to_fullsend`, `fullsend:builder_tasks`, `fullsend:roundtable`: what the orchestrator asks of others.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::read;
use crate::contracts::Untrusted;
use crate::contracts::body::{Example, bodies};
use crate::contracts::envelope::{Priority, millis_option, read_time};

bodies! {
    /// Ideas to design an experiment for.
    ToFullsend, default "experiment_request" {
        /// One of them.
        Request(ExperimentRequest) = "experiment_request" via read_request,
        /// A finished one, of a person.
        Submit(ExperimentSubmit) = "experiment_submit",
    }
}

bodies! {
    /// Tools to make.
    BuilderTasks, default "tool_prd" {
        /// One of them.
        Prd(ToolPrd) = "tool_prd" | "tool_requested" via read_prd,
    }
}

bodies! {
    /// Questions for a debate.
    RoundtableTopics, default "roundtable_topic" {
        /// One of them.
        Topic(RoundtableTopic) = "roundtable_topic",
    }
}

/// Design an experiment for an idea, or change one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ExperimentRequest {
    /// The idea.
    pub idea: Idea,
    /// What to know for it: learnings, tools, limits.
    #[serde(default, deserialize_with = "read::text_option", skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// How soon it is wanted.
    #[serde(default, deserialize_with = "read::or_default")]
    pub priority: Priority,
    /// The experiment to change; none for a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revises: Option<String>,
    /// Names the request.
    #[serde(default, deserialize_with = "read::id_option", skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Where somebody waits for it.
    #[serde(default, deserialize_with = "read::id_option", skip_serializing_if = "Option::is_none")]
    pub notify_channel: Option<String>,
    /// Why it is wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orchestrator_reasoning: Option<String>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    pub requested_at: Option<DateTime<Utc>>,
}

impl Example for ExperimentRequest {
    fn example() -> Self {
        Self {
            idea: Idea::example(),
            context: Some("reuse the mail tool; 50 contacts at most".to_owned()),
            priority: Priority::High,
            revises: None,
            request_id: Some("20260301_093020".to_owned()),
            notify_channel: Some("880042".to_owned()),
            orchestrator_reasoning: Some("fits the developer-first learning".to_owned()),
            requested_at: read_time("2026-03-01T09:30:20Z"),
        }
    }
}

/// A specification that a person wrote: it goes the way of a designed one from here on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ExperimentSubmit {
    /// The specification, as text: YAML or JSON.
    pub spec: Untrusted,
    /// The experiment that it changes; none for a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revises: Option<String>,
    /// Who hands it in.
    #[serde(default, deserialize_with = "read::id_option", skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    pub timestamp: Option<DateTime<Utc>>,
}

impl Example for ExperimentSubmit {
    fn example() -> Self {
        Self {
            spec: Untrusted::from("experiment:\n  id: exp_20260301_forum\n  hypothesis: \"…\"\n"),
            revises: None,
            by: Some("operator".to_owned()),
            timestamp: read_time("2026-03-01T09:30:20Z"),
        }
    }
}

/// An idea. A text, or an object with other names, is read as its description.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Idea {
    /// In a few words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// In full.
    pub description: String,
    /// What it should achieve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goal: Option<String>,
    /// Whether it needs several steps of work.
    #[serde(default, deserialize_with = "read::or_default")]
    pub spawn_ralph: bool,
}

impl Example for Idea {
    fn example() -> Self {
        Self {
            title: Some("Mail people who asked about self-hosting".to_owned()),
            description: "find forum members who asked about self-hosting and mail them a short offer of help"
                .to_owned(),
            goal: None,
            spawn_ralph: false,
        }
    }
}

/// Reads an idea in any of the forms that decisions took.
fn read_request(body: &mut Map<String, Value>) {
    let Some(idea) = body.get_mut("idea") else { return };
    match idea {
        Value::String(text) => *idea = json!({ "description": text }),
        Value::Object(fields) => {
            if let Some(Value::Object(inner)) = fields.get("idea").cloned() {
                fields.extend(inner);
            }
            read::first_of(fields, "description", &["idea", "content", "text", "value", "goal", "title"]);
        }
        _ => {}
    }
}

/// Make a tool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ToolPrd {
    /// What it must do.
    pub prd: Prd,
    /// Who wants it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_by: Option<String>,
    /// Names the task.
    #[serde(default, deserialize_with = "read::id_option", skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// How soon it is wanted.
    #[serde(default, deserialize_with = "read::or_default")]
    pub priority: Priority,
    /// Where somebody waits for it.
    #[serde(default, deserialize_with = "read::id_option", skip_serializing_if = "Option::is_none")]
    pub notify_channel: Option<String>,
    /// What to tell them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify_message: Option<String>,
    /// The document that holds the rest of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec_key: Option<String>,
    /// Why it is wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orchestrator_reasoning: Option<String>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    pub requested_at: Option<DateTime<Utc>>,
}

impl Example for ToolPrd {
    fn example() -> Self {
        Self {
            prd: Prd::example(),
            requested_by: Some("orchestrator".to_owned()),
            request_id: Some("r1".to_owned()),
            priority: Priority::High,
            notify_channel: Some("880042".to_owned()),
            notify_message: Some("tool is ready".to_owned()),
            spec_key: None,
            orchestrator_reasoning: Some("no tool finds forum members yet".to_owned()),
            requested_at: read_time("2026-03-01T09:41:00Z"),
        }
    }
}

/// What a tool must do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Prd {
    /// Its name, in `snake_case`.
    pub name: String,
    /// Names the request, where it has a document of its own.
    #[serde(default, deserialize_with = "read::id_option", skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What it is for.
    #[serde(alias = "purpose", default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Who needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_by: Option<String>,
    /// The experiment that waits for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experiment_blocked: Option<String>,
    /// What it takes: objects with `name`, `type`, `description`, `required`, `default`.
    #[serde(default, deserialize_with = "read::or_default", skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<Value>,
    /// What it gives: objects with `name`, `type`, `schema`.
    #[serde(default, deserialize_with = "read::or_default", skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<Value>,
    /// What it must observe.
    #[serde(default, deserialize_with = "read::list", skip_serializing_if = "Vec::is_empty")]
    pub requirements: Vec<String>,
    /// How it is called.
    #[serde(default, deserialize_with = "read::text_option", skip_serializing_if = "Option::is_none")]
    pub example_usage: Option<String>,
    /// Whether a failed run asked for it, not a mind.
    #[serde(default, deserialize_with = "read::or_default")]
    pub auto_requested: bool,
}

impl Example for Prd {
    fn example() -> Self {
        Self {
            name: "forum_member_finder".to_owned(),
            id: Some("req_20260301_001".to_owned()),
            description: Some("find members of a forum who asked about a topic".to_owned()),
            requested_by: Some("fullsend".to_owned()),
            experiment_blocked: Some("exp_20260301_forum".to_owned()),
            inputs: vec![json!({ "name": "topic", "type": "string", "required": true })],
            outputs: vec![json!({ "name": "members", "type": "list" })],
            requirements: vec!["keep to the forum's rate limit".to_owned()],
            example_usage: Some("forum_member_finder --topic self-hosting".to_owned()),
            auto_requested: false,
        }
    }
}

/// Reads a PRD in any of the forms that were sent: nested twice, flat, with `tool_name`, or the `tool_requested` of FULLSEND's helper.
fn read_prd(body: &mut Map<String, Value>) {
    read::first_of(body, "requested_at", &["timestamp"]);
    read::first_of(body, "requested_by", &["source"]);
    let mut prd = match body.remove("prd").or_else(|| body.remove("tool_request")) {
        Some(Value::Object(prd)) => prd,
        Some(other) => {
            body.insert("prd".to_owned(), other);
            return;
        }
        None => body.clone(),
    };
    if let Some(Value::Object(inner)) = prd.remove("prd") {
        for field in ["notify_channel", "notify_message"] {
            if let Some(value) = prd.remove(field) {
                read::fill(body, field, value);
            }
        }
        prd = inner;
    }
    read::first_of(&mut prd, "name", &["tool_name"]);
    read::first_of(&mut prd, "experiment_blocked", &["experiment_id"]);
    if let Some(priority) = prd.get("priority") {
        read::fill(body, "priority", priority.clone());
    }
    body.insert("prd".to_owned(), Value::Object(prd));
}

/// A question for a debate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RoundtableTopic {
    /// Names it, for the conclusion.
    #[serde(default, deserialize_with = "read::id_option", skip_serializing_if = "Option::is_none")]
    pub topic_id: Option<String>,
    /// The question.
    #[serde(alias = "topic", alias = "question")]
    pub prompt: String,
    /// What is known about it.
    #[serde(default, deserialize_with = "read::text_option", skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// What was learned until now; a text is read as one.
    #[serde(default, deserialize_with = "read::list", skip_serializing_if = "Vec::is_empty")]
    pub learnings: Vec<String>,
    /// How many rounds at most; 3 where none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_rounds: Option<u64>,
    /// When it was asked.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    pub timestamp: Option<DateTime<Utc>>,
}

impl Example for RoundtableTopic {
    fn example() -> Self {
        Self {
            topic_id: Some("rt_20260301_1".to_owned()),
            prompt: "Replies stay below 2% whatever we try. What else could reach platform teams?".to_owned(),
            context: Some("three campaigns by mail, 600 sends in all".to_owned()),
            learnings: vec!["CTOs respond, CFOs don't".to_owned()],
            max_rounds: Some(3),
            timestamp: read_time("2026-03-01T12:00:00Z"),
        }
    }
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;
    use rstest::rstest;

    use super::*;
    use crate::contracts::Body as _;

    /// Requests for tools as an earlier system wrote them, in YAML.
    #[rstest]
    #[case(
        "req_20240115_001_github_stargazer_scraper",
        "github_stargazer_scraper",
        "exp_20240115_github_stargazers",
        4,
        4
    )]
    #[case(
        "req_20240120_001_linkedin_profile_enricher",
        "linkedin_profile_enricher",
        "exp_20240120_product_hunt_makers",
        4,
        4
    )]
    #[case("req_20260201_github_cto_enricher", "github_cto_enricher", "exp_20260201_cto_stargazer_email", 6, 1)]
    fn a_request_that_others_wrote_is_read(
        #[case] file: &str,
        #[case] name: &str,
        #[case] experiment: &str,
        #[case] inputs: usize,
        #[case] outputs: usize,
    ) {
        let path = format!("{}/tests/data/tool-requests/{file}.yaml", env!("CARGO_MANIFEST_DIR"));
        let value: Value = serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let BuilderTasks::Prd(task) = BuilderTasks::read(&value.to_string()).unwrap();
        assert_eq!((task.prd.name.as_str(), task.prd.experiment_blocked.as_deref()), (name, Some(experiment)));
        assert_eq!((task.prd.inputs.len(), task.prd.outputs.len()), (inputs, outputs));
        assert_eq!(task.priority, Priority::High);
        assert!(task.prd.description.is_some() && task.prd.requirements.len() > 5, "{:?}", task.prd);
    }
}
