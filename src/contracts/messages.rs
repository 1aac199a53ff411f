//! The bodies, channel by channel, as CONTRACTS and the founding designs name them.
//!
//! Owns the shapes. Reading is generous (all variants that the founding systems wrote; ask [`Body::read`](super::Body::read),
//! a struct alone reads only its own spelling), writing is one way. Texts that come from outside are [`Untrusted`](super::Untrusted).
//! Must never decide anything: what a message leads to is its handler's.

mod alerts;
mod approvals;
mod audit;
mod builds;
mod chat;
mod control;
mod costs;
mod dead_letter;
mod echo;
mod from_orchestrator;
mod health;
mod llm;
mod metrics;
mod progress;
mod read;
mod requests;
mod results;
mod to_orchestrator;

#[cfg(test)]
mod samples;

pub use alerts::*;
pub use approvals::*;
pub use audit::*;
pub use builds::*;
pub use chat::*;
pub use control::*;
pub use costs::*;
pub use dead_letter::*;
pub use echo::*;
pub use from_orchestrator::*;
pub use health::*;
pub use llm::*;
pub use metrics::*;
pub use progress::*;
pub use requests::*;
pub use results::*;
pub use to_orchestrator::*;
