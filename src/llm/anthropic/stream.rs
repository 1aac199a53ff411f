//! The events of an answer, put together again.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::{fault, said};
use crate::contracts::messages::LlmPart;
use crate::contracts::untrusted::sanitize_line;
use crate::llm::http::Events;
use crate::llm::ledger::AnthropicUsage;
use crate::llm::provider::{Answer, Fault, Progress, ProviderError};

/// Blocks of an answer; ours have two or three.
const BLOCKS: usize = 1_024;

/// Reads a stream to its end.
///
/// # Errors
/// Where it breaks off, says an error, or ends with something else than an answer.
pub async fn read(mut events: Events, progress: &mut Progress) -> Result<Answer, ProviderError> {
    let mut reader = Reader::default();
    while let Some(data) = events.next().await? {
        if reader.event(&data, progress)? {
            break;
        }
    }
    reader.finish()
}

/// An answer as far as it has come.
#[derive(Debug, Default)]
pub struct Reader {
    blocks: Vec<Option<Block>>,
    usage: AnthropicUsage,
    stop: Option<String>,
    details: Option<Value>,
}

/// A block of the answer.
#[derive(Debug)]
struct Block {
    /// As it began.
    start: Box<RawValue>,
    kind: Kind,
    text: String,
    signature: String,
    /// Whether anything was added to its beginning.
    has_grown: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Thinking,
    Input,
    Other,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(default)]
    index: usize,
    #[serde(borrow)]
    delta: Option<Delta<'a>>,
    content_block: Option<Box<RawValue>>,
    message: Option<Start>,
    usage: Option<AnthropicUsage>,
    error: Option<Value>,
    request_id: Option<String>,
}

#[derive(Deserialize)]
struct Start {
    usage: Option<AnthropicUsage>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow, default)]
    text: Piece<'a>,
    #[serde(borrow, default)]
    thinking: Piece<'a>,
    #[serde(borrow, default)]
    signature: Piece<'a>,
    #[serde(borrow, default)]
    partial_json: Piece<'a>,
    stop_reason: Option<String>,
    stop_details: Option<Value>,
}

/// How a block begins; of an event, its type alone.
#[derive(Deserialize)]
struct Peek {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    text: String,
    #[serde(default)]
    thinking: String,
    #[serde(default)]
    signature: String,
}

/// A text that is not copied where it has no escapes.
#[derive(Default, Deserialize)]
#[serde(transparent)]
struct Piece<'a>(#[serde(borrow)] Cow<'a, str>);

impl Reader {
    /// Takes an event; true after the last.
    ///
    /// # Errors
    /// Where it is an error, or not what the protocol says.
    pub fn event(&mut self, data: &str, progress: &mut Progress) -> Result<bool, ProviderError> {
        let event: Event<'_> = match serde_json::from_str(data) {
            Ok(event) => event,
            Err(err) => return unreadable(data, &err),
        };
        match &*event.kind {
            "message_start" => self.used(event.message.and_then(|start| start.usage), false, progress),
            "content_block_start" => self.begin(event.index, event.content_block, progress)?,
            "content_block_delta" => self.grow(event.index, event.delta, progress)?,
            "message_delta" => {
                let delta = event.delta;
                let is_final = delta.as_ref().is_some_and(|delta| delta.stop_reason.is_some());
                self.used(event.usage, is_final, progress);
                if let Some(delta) = delta.filter(|_| is_final) {
                    self.stop = delta.stop_reason;
                    self.details = delta.stop_details;
                }
            }
            "message_stop" => return Ok(true),
            "error" => {
                let error = event.error.unwrap_or_default();
                let fault = fault(&error, None).unwrap_or(Fault::Server);
                let what = format!("in the middle of its answer: {}", said(&error, event.request_id.as_deref()));
                return Err(ProviderError::new(fault, what));
            }
            // `ping`, `content_block_stop`, and whatever there will be.
            _ => {}
        }
        Ok(false)
    }

    fn used(&mut self, usage: Option<AnthropicUsage>, is_final: bool, progress: &mut Progress) {
        if let Some(usage) = usage {
            self.usage.update(usage);
            progress.used(self.usage, is_final);
        }
    }

    fn begin(
        &mut self,
        index: usize,
        start: Option<Box<RawValue>>,
        progress: &mut Progress,
    ) -> Result<(), ProviderError> {
        let start = start.ok_or_else(|| malformed("a block begins without its content"))?;
        if index >= BLOCKS {
            return Err(malformed("the answer has too many blocks"));
        }
        let peek: Peek = serde_json::from_str(start.get()).map_err(|_| malformed("a block begins without its type"))?;
        let (kind, text) = match peek.kind.as_str() {
            "text" => (Kind::Text, peek.text),
            "thinking" => (Kind::Thinking, peek.thinking),
            "tool_use" | "server_tool_use" => (Kind::Input, String::new()),
            _ => (Kind::Other, String::new()),
        };
        match kind {
            Kind::Text => progress.piece(LlmPart::Text, &text),
            Kind::Thinking => progress.piece(LlmPart::Reasoning, &text),
            Kind::Input | Kind::Other => {}
        }
        if self.blocks.len() <= index {
            self.blocks.resize_with(index + 1, || None);
        }
        self.blocks[index] = Some(Block { start, kind, text, signature: peek.signature, has_grown: false });
        Ok(())
    }

    fn grow(&mut self, index: usize, delta: Option<Delta<'_>>, progress: &mut Progress) -> Result<(), ProviderError> {
        let block = self.blocks.get_mut(index).and_then(Option::as_mut);
        let (Some(block), Some(delta)) = (block, delta) else {
            return Err(malformed("a piece belongs to no block"));
        };
        match block.kind {
            Kind::Text => {
                progress.piece(LlmPart::Text, &delta.text.0);
                block.text.push_str(&delta.text.0);
            }
            Kind::Thinking => {
                progress.piece(LlmPart::Reasoning, &delta.thinking.0);
                block.text.push_str(&delta.thinking.0);
                block.signature.push_str(&delta.signature.0);
            }
            Kind::Input => block.text.push_str(&delta.partial_json.0),
            Kind::Other => return Ok(()),
        }
        block.has_grown = true;
        Ok(())
    }

    /// The answer.
    ///
    /// # Errors
    /// Where it has not come to an end, or not to that of an answer.
    pub fn finish(self) -> Result<Answer, ProviderError> {
        match self.stop.as_deref() {
            Some("end_turn" | "stop_sequence") => {}
            Some("max_tokens") => {
                let what = "the answer was cut at max_tokens; raise llm.max_tokens, or lower llm.thinking_budget";
                return Err(ProviderError::new(Fault::Truncated, what));
            }
            Some("model_context_window_exceeded") => {
                return Err(ProviderError::new(Fault::Truncated, "the model's context is full"));
            }
            Some("refusal") => return Err(refusal(self.details.as_ref())),
            Some(other) => {
                let what = format!("the answer ended for an unexpected reason: {}", sanitize_line(other, 60));
                tracing::warn!(%what, "anthropic");
                return Err(malformed(&what));
            }
            None => return Err(ProviderError::new(Fault::CutOff, "the answer broke off before its end")),
        }
        let (mut text, mut reasoning) = (String::new(), String::new());
        let mut raw = Vec::new();
        for block in self.blocks.into_iter().flatten() {
            match block.kind {
                Kind::Text => text.push_str(&block.text),
                Kind::Thinking => reasoning.push_str(&block.text),
                Kind::Input | Kind::Other => {}
            }
            raw.push(block.whole()?);
        }
        let raw = RawValue::from_string(format!("[{}]", raw.join(","))).map_err(|err| malformed(&err.to_string()))?;
        Ok(Answer { text, reasoning, raw })
    }
}

impl Block {
    /// The block's JSON: as it came where it came at once, else its beginning with what was added.
    fn whole(&self) -> Result<String, ProviderError> {
        if !self.has_grown {
            return Ok(self.start.get().to_owned());
        }
        let mut fields: Map<String, Value> =
            serde_json::from_str(self.start.get()).map_err(|err| malformed(&err.to_string()))?;
        match self.kind {
            Kind::Text => drop(fields.insert("text".to_owned(), json!(self.text))),
            Kind::Thinking => {
                fields.insert("thinking".to_owned(), json!(self.text));
                fields.insert("signature".to_owned(), json!(self.signature));
            }
            Kind::Input => {
                let input = if self.text.is_empty() { "{}" } else { &self.text };
                let input: Value = serde_json::from_str(input).map_err(|_| malformed("a tool's input is no JSON"))?;
                fields.insert("input".to_owned(), input);
            }
            Kind::Other => {}
        }
        Ok(Value::Object(fields).to_string())
    }
}

fn malformed(what: &str) -> ProviderError {
    ProviderError::new(Fault::Malformed, what)
}

fn refusal(details: Option<&Value>) -> ProviderError {
    let detail = |name: &str| details.and_then(|details| details[name].as_str());
    let category = detail("category").map(|it| format!(" ({it})")).unwrap_or_default();
    let explanation = detail("explanation").map(|it| format!(": {it}")).unwrap_or_default();
    ProviderError::new(Fault::Refused, format!("the model refuses to answer{category}{explanation}"))
}

/// An event that cannot be read is an error where its type is one that we need, and nothing otherwise.
fn unreadable(data: &str, err: &serde_json::Error) -> Result<bool, ProviderError> {
    const NEEDED: [&str; 6] =
        ["message_start", "content_block_start", "content_block_delta", "message_delta", "message_stop", "error"];
    match serde_json::from_str::<Peek>(data) {
        Ok(peek) if !NEEDED.contains(&peek.kind.as_str()) => Ok(false),
        _ => Err(malformed(&format!("an event cannot be read: {err}"))),
    }
}
