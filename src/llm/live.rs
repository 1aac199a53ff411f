//! What viewers see of a call while it runs: `llm_start`, `llm_delta`, `llm_complete`, in the name of the service that asks.
//!
//! Owns their pace: pieces are put together, at most [`PER_SECOND`] notices a second. Must never slow a call down, and never fail one:
//! what nobody could be told is dropped and counted.

use crate::contracts::messages::LlmPart;

/// Most deltas a second.
pub const PER_SECOND: u32 = 20;

/// A call that viewers see.
#[derive(Debug, Clone)]
pub struct Live {}

impl Live {
    /// A piece of the answer came.
    pub fn piece(&self, _part: LlmPart, _text: &str) {}
}
