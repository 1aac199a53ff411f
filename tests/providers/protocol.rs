//! The three protocols as a server speaks them.

use fullsend::config::{Config, Link, LlmConfig};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::http_server::{Step, reply, stream};

/// A key that must never be seen anywhere.
pub(crate) const KEY: &str = "canary-key-of-a-model";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Anthropic,
    Gemini,
    Openai,
}

impl Protocol {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
            Self::Openai => "openai",
        }
    }

    pub(crate) fn model(self) -> &'static str {
        match self {
            Self::Anthropic => "claude-opus-4-6",
            Self::Gemini => "gemini-3.6-flash",
            Self::Openai => "qwen3:8b",
        }
    }

    /// Settings that ask only this provider, at this URL, and then the rules.
    pub(crate) fn config(self, url: &str) -> LlmConfig {
        let mut config = Config::at(std::path::Path::new("/nowhere")).llm;
        let provider = match self {
            Self::Anthropic => &mut config.anthropic,
            Self::Gemini => &mut config.gemini,
            Self::Openai => &mut config.openai,
        };
        provider.url = Some(url.to_owned());
        provider.key = Some(SecretString::from(KEY));
        config.decide =
            vec![Link::parse(&format!("{}:{}", self.name(), self.model())).unwrap(), Link::parse("rules").unwrap()];
        config
    }

    /// A whole stream with this answer, in two pieces, after some reasoning.
    pub(crate) fn whole(self, text: &str) -> String {
        self.ending(text, self.good_end())
    }

    fn good_end(self) -> &'static str {
        match self {
            Self::Anthropic => "end_turn",
            Self::Gemini => "STOP",
            Self::Openai => "stop",
        }
    }

    /// A stream with this answer that ends for this reason. It uses 100 tokens of input, 20 of them cached, and 60 of output.
    pub(crate) fn ending(self, text: &str, reason: &str) -> String {
        let half = (0..=text.len() / 2).rev().find(|at| text.is_char_boundary(*at)).unwrap();
        let (first, second) = text.split_at(half);
        match self {
            Self::Anthropic => [
                event(json!({ "type": "message_start", "message": { "id": "msg_1", "role": "assistant", "content": [],
                    "usage": { "input_tokens": 80, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 20, "output_tokens": 1 } } })),
                event(json!({ "type": "content_block_start", "index": 0,
                    "content_block": { "type": "thinking", "thinking": "", "signature": "" } })),
                event(json!({ "type": "ping" })),
                event(json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "thinking_delta", "thinking": "Let me " } })),
                event(json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "thinking_delta", "thinking": "think." } })),
                event(json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "signature_delta", "signature": "c2ln/+==" } })),
                event(json!({ "type": "content_block_stop", "index": 0 })),
                event(json!({ "type": "something_new", "index": "x" })),
                event(json!({ "type": "content_block_start", "index": 1, "content_block": { "type": "text", "text": "" } })),
                event(json!({ "type": "content_block_delta", "index": 1, "delta": { "type": "text_delta", "text": first } })),
                event(json!({ "type": "content_block_delta", "index": 1, "delta": { "type": "text_delta", "text": second } })),
                event(json!({ "type": "content_block_stop", "index": 1 })),
                event(json!({ "type": "message_delta", "delta": { "stop_reason": reason, "stop_sequence": null,
                    "stop_details": { "type": "refusal", "category": "cyber", "explanation": "no" } }, "usage": { "output_tokens": 60 } })),
                event(json!({ "type": "message_stop" })),
            ]
            .concat(),
            Self::Gemini => {
                let part = |part: Value| {
                    event(json!({ "candidates": [{ "content": { "role": "model", "parts": [part] }, "index": 0 }],
                        "usageMetadata": { "promptTokenCount": 100, "cachedContentTokenCount": 20 }, "modelVersion": "g" }))
                };
                [
                    part(json!({ "text": "Let me ", "thought": true })),
                    part(json!({ "text": "think.", "thought": true })),
                    part(json!({ "text": first })),
                    event(json!({ "candidates": [{ "content": { "role": "model", "parts": [{ "text": second, "thoughtSignature": "c2ln" }] },
                        "finishReason": reason, "index": 0 }],
                        "usageMetadata": { "promptTokenCount": 100, "cachedContentTokenCount": 20, "candidatesTokenCount": 40,
                            "thoughtsTokenCount": 20, "totalTokenCount": 160 } })),
                ]
                .concat()
            }
            Self::Openai => {
                let delta = |delta: Value, end: Value| {
                    event(json!({ "id": "c", "object": "chat.completion.chunk", "usage": null,
                        "choices": [{ "index": 0, "delta": delta, "finish_reason": end }] }))
                };
                [
                    ": a comment to keep the line open\n\n".to_owned(),
                    delta(json!({ "role": "assistant", "reasoning_content": "Let me " }), Value::Null),
                    delta(json!({ "content": null, "reasoning": "think." }), Value::Null),
                    delta(json!({ "content": first }), Value::Null),
                    delta(json!({ "content": second }), Value::Null),
                    delta(json!({}), json!(reason)),
                    event(json!({ "id": "c", "choices": [], "usage": { "prompt_tokens": 100, "completion_tokens": 60,
                        "prompt_tokens_details": { "cached_tokens": 20 } } })),
                    "data: [DONE]\n\n".to_owned(),
                ]
                .concat()
            }
        }
    }

    /// A whole answer.
    pub(crate) fn answer(self, text: &str) -> Vec<Step> {
        stream(&self.whole(text), 512)
    }

    /// One event with so much text, as it comes in the middle.
    pub(crate) fn delta(self, text: &str) -> String {
        match self {
            Self::Anthropic => event(
                json!({ "type": "content_block_delta", "index": 1, "delta": { "type": "text_delta", "text": text } }),
            ),
            Self::Gemini => event(json!({ "candidates": [{ "content": { "parts": [{ "text": text }] } }] })),
            Self::Openai => event(json!({ "choices": [{ "delta": { "content": text } }] })),
        }
    }

    /// The beginning of a stream, up to the middle of its text.
    pub(crate) fn beginning(self) -> String {
        let whole = self.whole(r#"{"action":"no_action","reasoning":"cut"#);
        let at = whole.find("no_acti").unwrap();
        let blank = |end: &str| whole[at..].find(end).map_or(usize::MAX, |found| found + end.len());
        let end = blank("\n\n").min(blank("\r\n\r\n"));
        whole[..at + end].to_owned()
    }

    /// An error that comes when the stream is under way.
    pub(crate) fn late_error(self) -> String {
        match self {
            Self::Anthropic => {
                event(json!({ "type": "error", "error": { "type": "overloaded_error", "message": "Overloaded" } }))
            }
            Self::Gemini => {
                event(json!({ "error": { "code": 503, "status": "UNAVAILABLE", "message": "Overloaded" } }))
            }
            Self::Openai => event(json!({ "error": { "code": 503, "message": "Overloaded" } })),
        }
    }

    /// An error instead of a stream.
    pub(crate) fn error(self, status: u16, kind: &str, message: &str) -> String {
        match self {
            Self::Anthropic => {
                json!({ "type": "error", "error": { "type": kind, "message": message }, "request_id": "req_1" })
                    .to_string()
            }
            Self::Gemini => json!({ "error": { "code": status, "status": kind, "message": message } }).to_string(),
            Self::Openai => json!({ "error": { "type": kind, "message": message, "code": kind } }).to_string(),
        }
    }

    /// An error with its status and the protocol's word for it.
    pub(crate) fn rejection(self, status: u16, message: &str) -> Vec<Step> {
        let kind = match (self, status) {
            (Self::Anthropic, 400) => "invalid_request_error",
            (Self::Anthropic, 401) => "authentication_error",
            (Self::Anthropic, 402) => "billing_error",
            (Self::Anthropic, 404) => "not_found_error",
            (Self::Anthropic, 413) => "request_too_large",
            (Self::Anthropic, 429) => "rate_limit_error",
            (Self::Anthropic, 529) => "overloaded_error",
            (Self::Anthropic, _) => "api_error",
            (Self::Gemini, 400) => "INVALID_ARGUMENT",
            (Self::Gemini, 401) => "UNAUTHENTICATED",
            (Self::Gemini, 404) => "NOT_FOUND",
            (Self::Gemini, 429) => "RESOURCE_EXHAUSTED",
            (Self::Gemini, 500) => "INTERNAL",
            (Self::Gemini, _) => "SOMETHING_ELSE",
            (Self::Openai, _) => "error",
        };
        reply(status, &[], &self.error(status, kind, message))
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is made where it is given")]
pub(crate) fn event(data: Value) -> String {
    match data["type"].as_str() {
        Some(kind) => format!("event: {kind}\ndata: {data}\n\n"),
        None => format!("data: {data}\r\n\r\n"),
    }
}
