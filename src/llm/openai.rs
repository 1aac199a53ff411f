//! Any server that speaks the chat-completions protocol: Ollama, vLLM, llama.cpp, LM Studio, gateways.
//!
//! Owns the protocol's many spellings: reasoning in two fields or in `<think>`, usage in a chunk of its own, errors of three shapes. Must
//! never trust a server to keep to a schema.

use async_trait::async_trait;
use reqwest::header::{AUTHORIZATION, HeaderMap};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::anthropic::{instructions, refused, secret_header};
use super::capabilities::{Capabilities, Capability};
use super::gemini::COOL;
use super::http::{Events, Http, Rejection};
use super::ledger::OpenAiUsage;
use super::provider::{Answer, Fault, Progress, Provider, ProviderError, Request, Turn};
use crate::config::ProviderName;
use crate::contracts::messages::LlmPart;
use crate::contracts::untrusted::sanitize_line;
use think::Splitter;

mod think;

/// Where it usually is.
pub const URL: &str = "https://api.openai.com/v1";

/// A chat-completions server.
#[derive(Debug)]
pub struct Openai {
    http: Http,
    url: String,
    headers: HeaderMap,
    capabilities: Capabilities,
}

impl Openai {
    /// The server at `url`, with this key, if it needs one.
    pub fn new(http: Http, url: &str, key: Option<&SecretString>, capabilities: Capabilities) -> Self {
        let mut headers = HeaderMap::new();
        if let Some(key) = key {
            crate::telemetry::register(key);
            secret_header(&mut headers, AUTHORIZATION, &format!("Bearer {}", key.expose_secret()));
        }
        let url = url.trim_end_matches('/');
        let last = url.rsplit('/').next().unwrap_or_default();
        let has_version = last.strip_prefix('v').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        let url = if has_version { format!("{url}/chat/completions") } else { format!("{url}/v1/chat/completions") };
        Self { http, url, headers, capabilities }
    }

    async fn attempt(&self, request: &Request, progress: &mut Progress) -> Result<Answer, ProviderError> {
        let known = self.capabilities.of(ProviderName::Openai, &request.model);
        let body = Body::of(request, &known);
        match self.http.post(&self.url, self.headers.clone(), &body, progress).await {
            Ok(events) => read(events, progress).await,
            Err(Ok(rejection)) => Err(rejected(&rejection)),
            Err(Err(err)) => Err(err),
        }
    }
}

#[async_trait]
impl Provider for Openai {
    fn name(&self) -> ProviderName {
        ProviderName::Openai
    }

    async fn call(&self, request: &Request, progress: &mut Progress) -> Result<Answer, ProviderError> {
        loop {
            let err = match self.attempt(request, progress).await {
                Ok(answer) => return Ok(answer),
                Err(err) => err,
            };
            let refused = refused(&err);
            if !refused.is_some_and(|it| self.capabilities.learn(ProviderName::Openai, &request.model, it)) {
                return Err(err);
            }
        }
    }
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<Message<'a>>,
    max_tokens: u32,
    temperature: f64,
    stream: bool,
    stream_options: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<Value>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Message<'a> {
    Ours { role: &'static str, content: std::borrow::Cow<'a, str> },
    Theirs(&'a RawValue),
}

impl<'a> Body<'a> {
    fn of(request: &'a Request, known: &Capability) -> Self {
        let system = Message::Ours { role: "system", content: instructions(request, known).into() };
        let turns = request.turns.iter().map(|turn| match turn {
            Turn::User(text) => Message::Ours { role: "user", content: text.into() },
            Turn::Model(raw) => Message::Theirs(raw),
        });
        Self {
            model: &request.model,
            messages: std::iter::once(system).chain(turns).collect(),
            max_tokens: request.max_tokens.min(known.max_output),
            temperature: COOL,
            stream: true,
            stream_options: json!({ "include_usage": true }),
            response_format: known.structured.then(|| {
                let format = json!({ "name": "answer", "strict": true, "schema": &*request.schema });
                json!({ "type": "json_schema", "json_schema": format })
            }),
        }
    }
}

/// Reads a stream to its end.
///
/// # Errors
/// Where it breaks off, says an error, or ends with something else than an answer.
pub async fn read(mut events: Events, progress: &mut Progress) -> Result<Answer, ProviderError> {
    let mut reader = Reader::default();
    loop {
        match events.next().await {
            Ok(Some(data)) if data.trim() == "[DONE]" => {
                reader.is_done = true;
                break;
            }
            Ok(Some(data)) => reader.event(&data, progress)?,
            Ok(None) => break,
            // The reason to stop has come, and only the count was still to come: that is then an estimate.
            Err(_) if reader.finish.is_some() => break,
            Err(err) => return Err(err),
        }
    }
    reader.finish(progress)
}

/// An answer as far as it has come.
#[derive(Debug, Default)]
pub struct Reader {
    splitter: Splitter,
    text: String,
    reasoning: String,
    refusal: String,
    finish: Option<String>,
    usage: Option<OpenAiUsage>,
    /// Whether the server said that it is done.
    is_done: bool,
}

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
    usage: Option<OpenAiUsage>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    delta: Option<Delta>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Delta {
    content: Option<String>,
    reasoning_content: Option<String>,
    reasoning: Option<String>,
    refusal: Option<String>,
}

impl Reader {
    /// Takes a chunk.
    ///
    /// # Errors
    /// Where it is an error, or not what the protocol says.
    pub fn event(&mut self, data: &str, progress: &mut Progress) -> Result<(), ProviderError> {
        let chunk: Chunk = serde_json::from_str(data)
            .map_err(|err| ProviderError::new(Fault::Malformed, format!("a chunk cannot be read: {err}")))?;
        if let Some(error) = chunk.error.filter(|error| !error.is_null()) {
            let what = format!("in the middle of its answer: {}", said(&error));
            return Err(ProviderError::new(fault(&error).unwrap_or(Fault::Server), what));
        }
        // The last chunk, with the usage, has no choice.
        if let Some(choice) = chunk.choices.into_iter().next() {
            if let Some(delta) = choice.delta {
                self.grow(delta, progress);
            }
            self.finish = choice.finish_reason.or(self.finish.take());
        }
        if let Some(usage) = chunk.usage {
            self.usage = Some(usage);
            // Some servers say it with each chunk.
            progress.used(usage, self.finish.is_some());
        }
        Ok(())
    }

    fn grow(&mut self, delta: Delta, progress: &mut Progress) {
        if let Some(thought) = delta.reasoning_content.or(delta.reasoning) {
            progress.piece(LlmPart::Reasoning, &thought);
            self.reasoning.push_str(&thought);
        }
        let (text, reasoning) = (&mut self.text, &mut self.reasoning);
        if let Some(content) = delta.content {
            self.splitter.push(&content, &mut |part, piece| {
                progress.piece(part, piece);
                if part == LlmPart::Text { text.push_str(piece) } else { reasoning.push_str(piece) }
            });
        }
        self.refusal.push_str(&delta.refusal.unwrap_or_default());
    }

    /// The answer.
    ///
    /// # Errors
    /// Where it has not come to an end, or not to that of an answer.
    pub fn finish(mut self, progress: &mut Progress) -> Result<Answer, ProviderError> {
        let (text, reasoning) = (&mut self.text, &mut self.reasoning);
        self.splitter.finish(&mut |part, piece| {
            progress.piece(part, piece);
            if part == LlmPart::Text { text.push_str(piece) } else { reasoning.push_str(piece) }
        });
        let is_whole = self.finish.is_some() || self.is_done;
        if let Some(usage) = self.usage.filter(|_| is_whole) {
            progress.used(usage, true);
        }
        let refuse = |fault, what: String| Err(ProviderError::new(fault, what));
        if !self.refusal.is_empty() {
            return refuse(Fault::Refused, format!("the model refuses to answer: {}", self.refusal));
        }
        match self.finish.as_deref() {
            Some("stop" | "eos" | "stop_sequence" | "end_turn") => {}
            None if self.is_done && !self.text.is_empty() => {}
            None => return refuse(Fault::CutOff, "the answer broke off before its end".to_owned()),
            Some("length" | "max_tokens") => {
                let what = "the answer was cut at max_tokens; raise llm.max_tokens";
                return refuse(Fault::Truncated, what.to_owned());
            }
            Some("content_filter") => return refuse(Fault::Refused, "a filter withholds the answer".to_owned()),
            Some(other) => {
                let shown = sanitize_line(other, 60);
                tracing::warn!(reason = %shown, "the server ended its answer unexpectedly");
                return refuse(Fault::Malformed, format!("the answer ended for an unexpected reason: {shown}"));
            }
        }
        // Templates that open the thinking themselves show only its end.
        if let Some((thought, rest)) = self.text.split_once("</think>") {
            self.reasoning.push_str(thought.trim());
            self.text = rest.trim_start().to_owned();
        }
        // Reasoning is not sent back: servers drop it, and some refuse it.
        let raw = serde_json::value::to_raw_value(&json!({ "role": "assistant", "content": self.text }))
            .map_err(|err| ProviderError::new(Fault::Malformed, err.to_string()))?;
        Ok(Answer { text: self.text, reasoning: self.reasoning, raw })
    }
}

/// What a refusal before the stream means.
fn rejected(rejection: &Rejection) -> ProviderError {
    let error = match &rejection.json["error"] {
        Value::Null => &rejection.json,
        error => error,
    };
    if error.is_null() {
        return rejection.error(None, None);
    }
    rejection.error(fault(error), Some(said(error)))
}

/// `{"error":"…"}`, `{"error":{"message":…}}`, `{"message":…}`, `{"detail":…}`.
fn said(error: &Value) -> String {
    let text = error.as_str().or_else(|| error["message"].as_str()).or_else(|| error["detail"].as_str());
    text.map_or_else(|| error.to_string(), str::to_owned)
}

/// What an error means, by its own words; none where only HTTP's status can tell.
fn fault(error: &Value) -> Option<Fault> {
    let word = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
    let status = error["code"].as_u64();
    match (word("code").as_str(), word("type").as_str()) {
        ("insufficient_quota" | "billing_hard_limit_reached", _) | (_, "insufficient_quota") => Some(Fault::Exhausted),
        ("model_not_found", _) => Some(Fault::NoModel),
        ("invalid_api_key", _) => Some(Fault::Key),
        ("context_length_exceeded", _) => Some(Fault::TooLarge),
        ("rate_limit_exceeded", _) => Some(Fault::RateLimited),
        _ => match status {
            Some(429) => Some(Fault::RateLimited),
            Some(503 | 529) => Some(Fault::Overloaded),
            _ => None,
        },
    }
}
