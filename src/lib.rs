//! Fullsend.

pub mod bus;
pub mod cli;
pub mod config;
pub mod contracts;
pub mod services;
pub mod supervisor;
pub mod telemetry;
