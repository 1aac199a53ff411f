//! Google's Gemini API, streamed (`streamGenerateContent`).
//!
//! Owns its two dialects of thinking, its chunks, blocked prompts and errors. Must never loop on a quota of a day.

use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::{HeaderMap, HeaderName};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::anthropic::{instructions, refused, secret_header};
use super::capabilities::{Capabilities, Capability, Least, Thinking, effort};
use super::http::{Events, Http, Rejection};
use super::ledger::GeminiUsage;
use super::provider::{Answer, Fault, Progress, Provider, ProviderError, Request, Turn};
use crate::config::ProviderName;
use crate::contracts::messages::LlmPart;
use crate::contracts::untrusted::sanitize_line;

/// Where it usually is.
pub const URL: &str = "https://generativelanguage.googleapis.com";

/// How little the answer varies where nobody has to think; the founding watcher's.
pub(super) const COOL: f64 = 0.1;

/// Gemini.
#[derive(Debug)]
pub struct Gemini {
    http: Http,
    url: String,
    headers: HeaderMap,
    capabilities: Capabilities,
}

impl Gemini {
    /// Gemini at `url`, with this key.
    pub fn new(http: Http, url: &str, key: Option<&SecretString>, capabilities: Capabilities) -> Self {
        let mut headers = HeaderMap::new();
        if let Some(key) = key {
            secret_header(&mut headers, HeaderName::from_static("x-goog-api-key"), key.expose_secret());
        }
        let url = format!("{}/v1beta", url.trim_end_matches('/').trim_end_matches("/v1beta"));
        Self { http, url, headers, capabilities }
    }

    async fn attempt(&self, request: &Request, progress: &mut Progress) -> Result<Answer, ProviderError> {
        let known = self.capabilities.of(ProviderName::Gemini, &request.model);
        let url = format!("{}/models/{}:streamGenerateContent?alt=sse", self.url, request.model);
        let body = Body::of(request, &known);
        match self.http.post(&url, self.headers.clone(), &body, progress).await {
            Ok(events) => read(events, progress).await,
            Err(Ok(rejection)) => Err(rejected(&rejection)),
            Err(Err(err)) => Err(err),
        }
    }
}

#[async_trait]
impl Provider for Gemini {
    fn name(&self) -> ProviderName {
        ProviderName::Gemini
    }

    async fn call(&self, request: &Request, progress: &mut Progress) -> Result<Answer, ProviderError> {
        loop {
            let err = match self.attempt(request, progress).await {
                Ok(answer) => return Ok(answer),
                Err(err) => err,
            };
            let refused = refused(&err);
            if !refused.is_some_and(|it| self.capabilities.learn(ProviderName::Gemini, &request.model, it)) {
                return Err(err);
            }
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    system_instruction: Value,
    contents: Vec<Content<'a>>,
    generation_config: Value,
}

#[derive(Serialize)]
struct Content<'a> {
    role: &'static str,
    parts: Parts<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Parts<'a> {
    Text([Text<'a>; 1]),
    Raw(&'a RawValue),
}

#[derive(Serialize)]
struct Text<'a> {
    text: &'a str,
}

impl<'a> Body<'a> {
    fn of(request: &'a Request, known: &Capability) -> Self {
        let contents = request.turns.iter().map(|turn| match turn {
            Turn::User(text) => Content { role: "user", parts: Parts::Text([Text { text }]) },
            Turn::Model(raw) => Content { role: "model", parts: Parts::Raw(raw) },
        });
        let mut config = json!({ "maxOutputTokens": request.max_tokens.min(known.max_output) });
        if known.structured {
            config["responseMimeType"] = json!("application/json");
            config["responseJsonSchema"] = (*request.schema).clone();
        }
        match thinking(request.thinking, known) {
            Some(thinking) => config["thinkingConfig"] = thinking,
            None if known.thinking == Thinking::None => config["temperature"] = json!(COOL),
            None => {}
        }
        Self {
            system_instruction: json!({ "parts": [{ "text": instructions(request, known) }] }),
            contents: contents.collect(),
            generation_config: config,
        }
    }
}

fn thinking(budget: Option<u32>, known: &Capability) -> Option<Value> {
    let budget = budget.filter(|budget| *budget > 0);
    match (known.thinking, budget, &known.least) {
        (Thinking::Budget, Some(budget), _) => Some(json!({ "includeThoughts": true, "thinkingBudget": budget })),
        (Thinking::Budget, None, Some(Least::Tokens(least))) => Some(json!({ "thinkingBudget": least })),
        (Thinking::Level, Some(budget), _) => {
            // It has three or four levels; the highest is what more than `high` comes to.
            let level = match effort(Some(budget)) {
                "low" => "LOW",
                "medium" => "MEDIUM",
                _ => "HIGH",
            };
            Some(json!({ "includeThoughts": true, "thinkingLevel": level }))
        }
        (Thinking::Level, None, Some(Least::Level(least))) => Some(json!({ "thinkingLevel": least })),
        _ => None,
    }
}

/// Reads a stream to its end, which is the end of the connection.
///
/// # Errors
/// Where it breaks off, says an error, or ends with something else than an answer.
pub async fn read(mut events: Events, progress: &mut Progress) -> Result<Answer, ProviderError> {
    let mut reader = Reader::default();
    loop {
        match events.next().await {
            Ok(Some(data)) => reader.event(&data, progress)?,
            Ok(None) => break,
            // What follows the last chunk is of no use to anybody.
            Err(_) if reader.is_whole() => break,
            Err(err) => return Err(err),
        }
    }
    reader.finish(progress)
}

/// An answer as far as it has come.
#[derive(Debug, Default)]
pub struct Reader {
    parts: Vec<Box<RawValue>>,
    text: String,
    reasoning: String,
    finish: Option<(String, Option<String>)>,
    blocked: Option<String>,
    usage: Option<GeminiUsage>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Chunk {
    #[serde(default)]
    candidates: Vec<Candidate>,
    prompt_feedback: Option<Feedback>,
    usage_metadata: Option<GeminiUsage>,
    error: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Candidate {
    content: Option<ModelContent>,
    finish_reason: Option<String>,
    finish_message: Option<String>,
}

#[derive(Deserialize)]
struct ModelContent {
    #[serde(default)]
    parts: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Part {
    text: Option<String>,
    #[serde(default)]
    thought: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Feedback {
    block_reason: Option<String>,
}

impl Reader {
    /// Takes a chunk.
    ///
    /// # Errors
    /// Where it is an error, or not what the protocol says.
    pub fn event(&mut self, data: &str, progress: &mut Progress) -> Result<(), ProviderError> {
        let chunk: Chunk = serde_json::from_str(data)
            .map_err(|err| ProviderError::new(Fault::Malformed, format!("a chunk cannot be read: {err}")))?;
        if let Some(error) = chunk.error {
            let err = ProviderError::new(
                fault(&error).unwrap_or(Fault::Server),
                format!("in the middle of its answer: {}", said(&error)),
            );
            return Err(ProviderError { retry_after: retry_delay(&error), ..err });
        }
        if let Some(reason) = chunk.prompt_feedback.and_then(|feedback| feedback.block_reason) {
            self.blocked = Some(reason);
        }
        // One candidate was asked for.
        if let Some(candidate) = chunk.candidates.into_iter().next() {
            for raw in candidate.content.map(|content| content.parts).unwrap_or_default() {
                self.part(&raw, progress);
                self.parts.push(raw);
            }
            if let Some(reason) = candidate.finish_reason {
                self.finish = Some((reason, candidate.finish_message));
            }
        }
        if let Some(usage) = chunk.usage_metadata {
            self.usage = Some(usage);
            progress.used(usage, self.is_whole());
        }
        Ok(())
    }

    fn part(&mut self, raw: &RawValue, progress: &mut Progress) {
        // Parts of other kinds (calls, files) have no text, and were not asked for.
        let Ok(Part { text: Some(text), thought }) = serde_json::from_str::<Part>(raw.get()) else { return };
        if thought {
            progress.piece(LlmPart::Reasoning, &text);
            self.reasoning.push_str(&text);
        } else {
            progress.piece(LlmPart::Text, &text);
            self.text.push_str(&text);
        }
    }

    /// Whether the last chunk has come.
    fn is_whole(&self) -> bool {
        self.finish.is_some() || self.blocked.is_some()
    }

    /// The answer.
    ///
    /// # Errors
    /// Where it has not come to an end, or not to that of an answer.
    pub fn finish(self, progress: &mut Progress) -> Result<Answer, ProviderError> {
        if let Some(usage) = self.usage.filter(|_| self.is_whole()) {
            progress.used(usage, true);
        }
        let refuse = |fault, what: String| Err(ProviderError::new(fault, what));
        if let Some(reason) = &self.blocked {
            return refuse(Fault::Refused, format!("the prompt is blocked: {}", sanitize_line(reason, 60)));
        }
        let Some((reason, message)) = &self.finish else {
            return refuse(Fault::CutOff, "the answer broke off before its end".to_owned());
        };
        let more = message.as_ref().map(|it| format!(": {}", sanitize_line(it, 200))).unwrap_or_default();
        let shown = sanitize_line(reason, 60);
        match reason.as_str() {
            "STOP" => {}
            "MAX_TOKENS" => {
                let what = "the answer was cut at maxOutputTokens; raise llm.max_tokens, or lower llm.thinking_budget";
                return refuse(Fault::Truncated, what.to_owned());
            }
            "SAFETY" | "RECITATION" | "LANGUAGE" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII" => {
                return refuse(Fault::Refused, format!("the answer is withheld: {shown}{more}"));
            }
            reason if reason.starts_with("IMAGE_") => {
                return refuse(Fault::Refused, format!("the answer is withheld: {shown}{more}"));
            }
            _ => {
                tracing::warn!(reason = %shown, "gemini ended its answer unexpectedly");
                return refuse(Fault::Malformed, format!("the answer ended for an unexpected reason: {shown}{more}"));
            }
        }
        let parts: Vec<_> = self.parts.iter().map(|part| part.get()).collect();
        let raw = RawValue::from_string(format!("[{}]", parts.join(",")))
            .map_err(|err| ProviderError::new(Fault::Malformed, err.to_string()))?;
        Ok(Answer { text: self.text, reasoning: self.reasoning, raw })
    }
}

/// What a refusal before the stream means.
fn rejected(rejection: &Rejection) -> ProviderError {
    // Some front ends wrap the error in a list.
    let json = rejection.json.get(0).unwrap_or(&rejection.json);
    let error = &json["error"];
    if error["message"].as_str().is_none() {
        return rejection.error(None, None);
    }
    let mut err = rejection.error(fault(error), Some(said(error)));
    err.retry_after = retry_delay(error).or(err.retry_after);
    err
}

fn said(error: &Value) -> String {
    let status = error["status"].as_str().unwrap_or("error");
    format!("{status}: {}", error["message"].as_str().unwrap_or("no reason"))
}

/// What an error means, by its status; none where only HTTP's can tell.
fn fault(error: &Value) -> Option<Fault> {
    let message = error["message"].as_str().unwrap_or_default();
    Some(match error["status"].as_str()? {
        "INVALID_ARGUMENT" if message.contains("API key") => Fault::Key,
        "INVALID_ARGUMENT" | "FAILED_PRECONDITION" | "OUT_OF_RANGE" => Fault::Request,
        "PERMISSION_DENIED" | "UNAUTHENTICATED" => Fault::Key,
        "NOT_FOUND" => Fault::NoModel,
        "RESOURCE_EXHAUSTED" if is_daily(error) => Fault::Exhausted,
        "RESOURCE_EXHAUSTED" => Fault::RateLimited,
        "UNAVAILABLE" => Fault::Overloaded,
        "INTERNAL" | "DEADLINE_EXCEEDED" | "UNKNOWN" | "ABORTED" | "CANCELLED" => Fault::Server,
        _ => return None,
    })
}

fn details(error: &Value) -> impl Iterator<Item = &Value> {
    error["details"].as_array().into_iter().flatten()
}

/// Whether the quota that is used up is one of a day (or longer).
fn is_daily(error: &Value) -> bool {
    let violations = details(error).flat_map(|detail| detail["violations"].as_array().into_iter().flatten());
    let names = violations.flat_map(|it| [it["quotaId"].as_str(), it["quotaMetric"].as_str()]).flatten();
    names.map(str::to_ascii_lowercase).any(|name| name.contains("perday") || name.contains("per_day"))
}

/// `RetryInfo`: when to come back (`"17s"`).
fn retry_delay(error: &Value) -> Option<Duration> {
    let text = details(error).find_map(|detail| detail["retryDelay"].as_str())?;
    Duration::try_from_secs_f64(text.strip_suffix('s')?.parse().ok()?).ok()
}
