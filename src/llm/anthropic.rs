//! Anthropic's Messages API, streamed.
//!
//! Owns its three dialects of thinking, its events and its errors. The model's blocks are kept as they came: a signed block that was
//! touched is refused when it is sent back. Must never send a sampling setting along (thinking models refuse it), and never force a tool.

use async_trait::async_trait;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::capabilities::{Capabilities, Capability, Refused, Thinking, effort};
use super::http::{Http, Rejection};
use super::provider::{Answer, Fault, Progress, Provider, ProviderError, Request, Turn};
use crate::config::ProviderName;
use crate::telemetry;

mod stream;

pub use stream::{Reader, read};

/// Where it usually is.
pub const URL: &str = "https://api.anthropic.com";

/// The version of the protocol.
const VERSION: &str = "2023-06-01";

/// The least budget that a model takes.
const LEAST_BUDGET: u32 = 1_024;

/// Anthropic.
#[derive(Debug)]
pub struct Anthropic {
    http: Http,
    url: String,
    headers: HeaderMap,
    capabilities: Capabilities,
}

impl Anthropic {
    /// Anthropic at `url`, with this key.
    pub fn new(http: Http, url: &str, key: Option<&SecretString>, capabilities: Capabilities) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert("anthropic-version", HeaderValue::from_static(VERSION));
        if let Some(key) = key {
            secret_header(&mut headers, HeaderName::from_static("x-api-key"), key.expose_secret());
        }
        // Some people's variable has the version in it, most have not.
        let url = format!("{}/v1/messages", url.trim_end_matches('/').trim_end_matches("/v1"));
        Self { http, url, headers, capabilities }
    }

    async fn attempt(&self, request: &Request, progress: &mut Progress) -> Result<Answer, ProviderError> {
        let known = self.capabilities.of(ProviderName::Anthropic, &request.model);
        let body = Body::of(request, &known);
        match self.http.post(&self.url, self.headers.clone(), &body, progress).await {
            Ok(events) => read(events, progress).await,
            Err(Ok(rejection)) => Err(rejected(&rejection)),
            Err(Err(err)) => Err(err),
        }
    }
}

/// Puts a secret into a header, where neither logs nor errors show it.
pub(super) fn secret_header(headers: &mut HeaderMap, name: HeaderName, secret: &str) {
    telemetry::register(&SecretString::from(secret));
    // A key that cannot stand in a header was refused by the settings.
    if let Ok(mut value) = HeaderValue::from_str(secret) {
        value.set_sensitive(true);
        headers.insert(name, value);
    }
}

#[async_trait]
impl Provider for Anthropic {
    fn name(&self) -> ProviderName {
        ProviderName::Anthropic
    }

    async fn call(&self, request: &Request, progress: &mut Progress) -> Result<Answer, ProviderError> {
        loop {
            let err = match self.attempt(request, progress).await {
                Ok(answer) => return Ok(answer),
                Err(err) => err,
            };
            let refused = refused(&err);
            if !refused.is_some_and(|it| self.capabilities.learn(ProviderName::Anthropic, &request.model, it)) {
                return Err(err);
            }
        }
    }
}

/// Which optional part of a request a server does not take, by its own words.
pub(super) fn refused(err: &ProviderError) -> Option<Refused> {
    let said = err.what.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
    match err.fault {
        Fault::Request if says(&["thinking", "effort", "budget_tokens"]) => Some(Refused::Thinking),
        Fault::Request if says(&["format", "schema", "structured", "grammar", "mime"]) => Some(Refused::Structure),
        _ => None,
    }
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    max_tokens: u32,
    stream: bool,
    system: [Value; 1],
    messages: Vec<Message<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_config: Option<Value>,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: Content<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Text(&'a str),
    Raw(&'a RawValue),
}

impl<'a> Body<'a> {
    fn of(request: &'a Request, known: &Capability) -> Self {
        let max_tokens = request.max_tokens.min(known.max_output);
        let (thinking, effort) = thinking(request.thinking, max_tokens, known.thinking);
        let mut output = serde_json::Map::new();
        if let Some(effort) = effort {
            output.insert("effort".to_owned(), json!(effort));
        }
        if known.structured {
            output.insert("format".to_owned(), json!({ "type": "json_schema", "schema": &*request.schema }));
        }
        let system = instructions(request, known);
        // The stable part: everything up to here is the same for each message of the task.
        let system = json!({ "type": "text", "text": system, "cache_control": { "type": "ephemeral" } });
        let messages = request.turns.iter().map(|turn| match turn {
            Turn::User(text) => Message { role: "user", content: Content::Text(text) },
            Turn::Model(raw) => Message { role: "assistant", content: Content::Raw(raw) },
        });
        Self {
            model: &request.model,
            max_tokens,
            stream: true,
            system: [system],
            messages: messages.collect(),
            thinking,
            output_config: (!output.is_empty()).then_some(Value::Object(output)),
        }
    }
}

/// The instructions, with the schema in words where the model cannot be held to it.
pub(super) fn instructions(request: &Request, known: &Capability) -> String {
    if known.structured {
        return request.system.to_string();
    }
    format!("{}\n\nThe answer fits this JSON Schema:\n\n{}\n", request.system.trim_end(), request.schema)
}

/// How a model is asked to think: `thinking`, and the effort.
fn thinking(budget: Option<u32>, max_tokens: u32, dialect: Thinking) -> (Option<Value>, Option<&'static str>) {
    let budget = budget.filter(|budget| *budget > 0);
    match (dialect, budget) {
        (Thinking::Budget, Some(budget)) if max_tokens > LEAST_BUDGET => {
            let budget = budget.clamp(LEAST_BUDGET, max_tokens - 1);
            (Some(json!({ "type": "enabled", "budget_tokens": budget })), None)
        }
        // What is not asked for is not shown: the default of newer models is to hide their reasoning.
        (Thinking::Both | Thinking::Adaptive, Some(_)) | (Thinking::Adaptive, None) => {
            (Some(json!({ "type": "adaptive", "display": "summarized" })), Some(effort(budget)))
        }
        _ => (None, None),
    }
}

/// What a refusal before the stream means.
fn rejected(rejection: &Rejection) -> ProviderError {
    let error = &rejection.json["error"];
    let request_id = rejection.json["request_id"].as_str();
    match error["message"].as_str() {
        Some(_) => rejection.error(fault(error, Some(rejection.status.as_u16())), Some(said(error, request_id))),
        None => rejection.error(None, None),
    }
}

/// What a server says of an error, in a line.
fn said(error: &Value, request_id: Option<&str>) -> String {
    let kind = error["type"].as_str().unwrap_or("error");
    let message = error["message"].as_str().unwrap_or("no reason");
    let request = request_id.map(|id| format!(" (request {id})")).unwrap_or_default();
    format!("{kind}: {message}{request}")
}

/// What an error means, by its type; none where only its status can tell.
fn fault(error: &Value, status: Option<u16>) -> Option<Fault> {
    let message = error["message"].as_str().unwrap_or_default().to_ascii_lowercase();
    let code = error["details"]["error_code"].as_str().unwrap_or_default();
    let is_spent = code == "enforced_spend_limit_reached"
        || ["spend limit", "credit balance", "usage limit"].iter().any(|words| message.contains(words));
    Some(match error["type"].as_str()? {
        "invalid_request_error" | "rate_limit_error" if is_spent => Fault::Exhausted,
        "invalid_request_error" if status != Some(413) => Fault::Request,
        "authentication_error" | "permission_error" => Fault::Key,
        "billing_error" => Fault::Billing,
        "not_found_error" => Fault::NoModel,
        "request_too_large" => Fault::TooLarge,
        "rate_limit_error" => Fault::RateLimited,
        "overloaded_error" => Fault::Overloaded,
        "api_error" | "timeout_error" | "conflict_error" => Fault::Server,
        _ => return if status.is_some() { None } else { Some(Fault::Server) },
    })
}
