//! Model calls as they happen: who asks whom, what is thought, what it took.
//!
//! Must never show more than was said: a call whose end was not heard stays open, and says since when.

use std::collections::VecDeque;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use crate::contracts::messages::{LlmCalls, LlmPart, Tokens};
use crate::contracts::untrusted::{LINE_LIMIT, sanitize, sanitize_line};
use crate::contracts::{Envelope, TraceId};

/// Calls that are remembered.
const MOST: usize = 200;
/// Bytes of a call's texts that are kept: the newest.
const TEXT_LIMIT: usize = 64 * 1024;
const NAME_LIMIT: usize = 80;

/// A call.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// Names it; a call without an id has an empty one.
    pub id: String,
    /// Who asks; harmless.
    pub source: String,
    /// What for; harmless.
    pub operation: String,
    /// Provider and model, where they are said; harmless.
    pub model: String,
    /// The chain.
    pub trace: Option<TraceId>,
    /// When it began.
    pub began: DateTime<Utc>,
    /// What was thought; harmless, the newest part.
    pub reasoning: String,
    /// What was answered; harmless, the newest part.
    pub text: String,
    /// How it ended; none while it goes on.
    pub end: Option<CallEnd>,
    /// Pieces that were missed.
    pub missed: u64,
    next_seq: u64,
}

impl Call {
    /// Who answers, where that is said.
    pub fn provider(&self) -> &str {
        self.model.split('/').next().unwrap_or_default()
    }
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq)]
pub struct CallEnd {
    /// How long it took, in milliseconds.
    pub took_ms: Option<f64>,
    /// Why it failed; harmless.
    pub error: Option<String>,
    /// What it cost, in billionths of a dollar.
    pub nano_usd: Option<u64>,
    /// What it used.
    pub tokens: Option<Tokens>,
}

/// The newest calls.
#[derive(Debug, Clone, Default)]
pub struct Calls {
    calls: VecDeque<Call>,
}

impl Calls {
    /// Takes in what was said of a call.
    pub fn apply(&mut self, said: LlmCalls, envelope: Option<&Envelope>, now: DateTime<Utc>) {
        let trace = envelope.map(|envelope| envelope.trace);
        let at = envelope.map_or(now, |envelope| envelope.at);
        let speaker = envelope.map(|envelope| envelope.source.as_ref()).unwrap_or_default();
        match said {
            LlmCalls::Start(start) => {
                let source = start.source.as_deref().unwrap_or(speaker);
                let id = start.call_id.unwrap_or_default();
                let call = self.begin(&id, source, &start.operation, at, trace);
                call.model = model(&start.meta);
            }
            LlmCalls::Delta(delta) => {
                let source = delta.source.as_deref().unwrap_or(speaker);
                let operation = delta.operation.as_deref().unwrap_or_default();
                let call = match self.calls.iter().rposition(|call| call.id == delta.call_id) {
                    Some(at) => &mut self.calls[at],
                    None => self.begin(&delta.call_id, source, operation, at, trace),
                };
                if let Some(seq) = delta.seq {
                    call.missed += seq.saturating_sub(call.next_seq);
                    call.next_seq = seq + 1;
                }
                let into = match delta.part {
                    LlmPart::Reasoning => &mut call.reasoning,
                    LlmPart::Text => &mut call.text,
                };
                into.push_str(&sanitize(delta.text.raw(), LINE_LIMIT));
                keep_newest(into);
            }
            LlmCalls::Complete(complete) => {
                let source = complete.source.as_deref().unwrap_or(speaker);
                let id = complete.call_id.unwrap_or_default();
                let open = |call: &Call| call.end.is_none() && call.id == id && !id.is_empty();
                let call = match self.calls.iter().rposition(open) {
                    Some(at) => &mut self.calls[at],
                    None => self.begin(&id, source, &complete.operation, at, trace),
                };
                if call.model.is_empty() {
                    call.model = model(&complete.meta);
                }
                call.end = Some(CallEnd {
                    took_ms: complete.duration_ms,
                    error: complete.error.map(|error| error.line(200)),
                    nano_usd: complete.nano_usd,
                    tokens: complete.tokens,
                });
            }
        }
    }

    fn begin(
        &mut self,
        id: &str,
        source: &str,
        operation: &str,
        at: DateTime<Utc>,
        trace: Option<TraceId>,
    ) -> &mut Call {
        if self.calls.len() >= MOST {
            self.calls.pop_front();
        }
        self.calls.push_back(Call {
            id: id.to_owned(),
            source: sanitize_line(source, NAME_LIMIT),
            operation: sanitize_line(operation, NAME_LIMIT),
            model: String::new(),
            trace,
            began: at,
            reasoning: String::new(),
            text: String::new(),
            end: None,
            missed: 0,
            next_seq: 0,
        });
        let last = self.calls.len() - 1;
        &mut self.calls[last]
    }

    /// The calls, oldest first.
    pub fn all(&self) -> impl DoubleEndedIterator<Item = &Call> {
        self.calls.iter()
    }

    /// The newest call that is under way for this service.
    pub fn open_of(&self, service: &str) -> Option<&Call> {
        self.all().rev().find(|call| call.end.is_none() && call.source == service)
    }
}

/// `provider/model`, as far as it is said.
fn model(meta: &Map<String, Value>) -> String {
    let said = |name: &str| meta.get(name).and_then(Value::as_str).map(|text| sanitize_line(text, NAME_LIMIT));
    match (said("provider"), said("model")) {
        (Some(provider), Some(model)) if provider != model => format!("{provider}/{model}"),
        (Some(name), _) | (None, Some(name)) => name,
        (None, None) => String::new(),
    }
}

fn keep_newest(text: &mut String) {
    if text.len() > TEXT_LIMIT {
        let cut = text.len() - TEXT_LIMIT / 2;
        let cut = (cut..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
        text.drain(..cut);
    }
}
