//! `fullsend:echo`: is the bus alive, and does somebody handle what is said on it?

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::contracts::body::{Example, bodies};

bodies! {
    /// A question to the echo service, and its answer.
    Echoes {
        /// Answer me.
        Request(EchoRequest) = "echo_request",
        /// The answer.
        Reply(EchoReply) = "echo_reply",
    }
}

/// Answer me.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EchoRequest {
    /// Anything; it comes back.
    pub text: String,
}

impl Example for EchoRequest {
    fn example() -> Self {
        Self { text: "is anybody there?".to_owned() }
    }
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EchoReply {
    /// What was asked.
    pub text: String,
    /// The consumer that answered.
    pub by: String,
}

impl Example for EchoReply {
    fn example() -> Self {
        Self { text: "is anybody there?".to_owned(), by: "echo@host#0".to_owned() }
    }
}
