//! Tools: programs that experiments run, in any language, each in a process of its own.
//!
//! Owns the contract with them, their manifests, how they are found and how they are run. Must never load anybody's code into this process, and
//! never decide what an experiment may do: whoever runs a tool answers what it asks ([`contract::Desk`]).

pub mod contract;
pub mod manifest;
pub mod registry;
pub mod runner;
pub mod sandbox;
pub mod schema;
pub mod secrets;
pub mod shipped;
