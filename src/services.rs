//! The team: one module for each service.
//!
//! A service is a [`crate::bus::Handler`]: the channels it reads, the grant it speaks under, and what it does with a message. It
//! must never call another service or a screen; it reads and writes the bus.

pub mod echo;
pub mod executor;
pub mod fullsend;
pub mod gate;
pub mod mirror;
pub mod orchestrator;
pub mod redis_agent;
pub mod watcher;
pub mod wording;
