//! Models: the questions that the system asks, and who answers them.
//!
//! Owns tasks, prompts, providers and what is spent on them. A [`Task`] is one question, with its input, its answer and a rule of
//! thumb; a provider answers tasks; [`Mind::ask`] goes down the chain of providers until one answers, journals the raw answer, and
//! says what it cost. Must never act on an answer: that is the service's that asked.

pub mod anthropic;
pub mod breaker;
pub mod capabilities;
pub mod chain;
pub mod eval;
pub mod gemini;
pub mod http;
mod journal;
pub mod ledger;
pub mod live;
pub mod mind;
pub mod openai;
pub mod prompt;
pub mod provider;
pub mod reading;
pub mod retry;
pub mod schema;
pub mod task;
pub mod tasks;

pub use mind::{Answered, Asking, Mind, MindParts, NoAnswer};
pub use task::{Ruled, Task, TaskName};
