//! `fullsend:dead_letter`: messages that could not be handled.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::contracts::body::{Example, bodies};

bodies! {
    /// Messages that could not be handled, with the reason; each can be replayed.
    DeadLetters, default "dead_letter" {
        /// One of them.
        DeadLetter(DeadLetter) = "dead_letter",
    }
}

/// A message that could not be handled: what it was, who gave it up, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DeadLetter {
    /// The channel it stood on.
    pub channel: String,
    /// Its entry in that channel's stream.
    pub entry: String,
    /// The group that gave it up; none where it never reached one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Why, in words, with the path of the offending field where there is one.
    pub reason: String,
    /// Why, as a name to match on.
    pub code: DeadLetterCode,
    /// How many times a handler was started on it.
    pub attempts: u32,
    /// Its envelope as it was stored, JSON or not. At most 256 KiB: see `envelope_cut`.
    pub original_envelope: String,
    /// Its body as it was stored, JSON or not. Where another program added an entry that is no message and has other fields
    /// than `e` and `b`: all its fields, as a JSON object. At most 256 KiB: see `body_cut`.
    pub original_body: String,
    /// What `original_envelope` is the beginning of; none where it is whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub envelope_cut: Option<Cut>,
    /// What `original_body` is the beginning of; none where it is whole. A letter that lacks a part of its body cannot be replayed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_cut: Option<Cut>,
}

impl DeadLetter {
    /// The type of the original message: as its envelope says, or its body where it came without one. Raw.
    pub fn original_type(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Typed {
            r#type: String,
        }
        let of = |json: &str| serde_json::from_str::<Typed>(json).ok().map(|typed| typed.r#type);
        of(&self.original_envelope).or_else(|| of(&self.original_body))
    }
}

/// The whole of a text of which only the beginning is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cut {
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal digits.
    pub sha256: String,
}

/// Why a message was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeadLetterCode {
    /// It is not JSON, no object, or of an unknown type or a wrong shape.
    Malformed,
    /// Its handler failed on every attempt.
    Exhausted,
    /// Its handler said that no attempt can succeed.
    Terminal,
    /// Its time was over before it could be handled.
    Expired,
}

impl DeadLetterCode {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Exhausted => "exhausted",
            Self::Terminal => "terminal",
            Self::Expired => "expired",
        }
    }
}

impl Example for DeadLetter {
    fn example() -> Self {
        Self {
            channel: "fullsend:to_orchestrator".to_owned(),
            entry: "1772357400000-0".to_owned(),
            group: Some("orchestrator".to_owned()),
            reason: "escalation: missing field `original_message` (at `original_message`)".to_owned(),
            code: DeadLetterCode::Malformed,
            attempts: 0,
            original_envelope: "{}".to_owned(),
            original_body: r#"{"type":"escalation"}"#.to_owned(),
            envelope_cut: None,
            body_cut: None,
        }
    }
}
