//! `fullsend:health`: heartbeats and states of the services.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::contracts::body::{Example, bodies};

bodies! {
    /// How the services are.
    Health {
        /// It is alive.
        Heartbeat(Heartbeat) = "heartbeat",
        /// It changed its state.
        State(ServiceState) = "service_state",
    }
}

/// A service is alive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Heartbeat {
    /// Which.
    pub service: String,
    /// Where: host and process.
    pub instance: String,
    /// Messages handled since it started.
    pub handled: u64,
    /// Attempts that failed since it started.
    pub failed: u64,
    /// Messages it holds now, started or waiting.
    pub holding: u32,
    /// Seconds for which its loop has not turned; it is started again after a minute of that.
    #[serde(default)]
    pub still_s: u64,
}

impl Example for Heartbeat {
    fn example() -> Self {
        Self {
            service: "echo".to_owned(),
            instance: "host/4711".to_owned(),
            handled: 1204,
            failed: 3,
            holding: 2,
            still_s: 0,
        }
    }
}

/// What a service is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Getting ready.
    Starting,
    /// At work.
    Running,
    /// Failed; will be started again.
    Restarting,
    /// Finishing what it holds.
    Draining,
    /// Not running.
    Stopped,
}

/// A service changed its state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceState {
    /// Which.
    pub service: String,
    /// Where: host and process.
    pub instance: String,
    /// What it is doing now.
    pub state: RunState,
    /// Why, where something went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Restarts since the program started.
    pub restarts: u32,
}

impl Example for ServiceState {
    fn example() -> Self {
        Self {
            service: "echo".to_owned(),
            instance: "host/4711".to_owned(),
            state: RunState::Restarting,
            reason: Some("the bus is unreachable".to_owned()),
            restarts: 1,
        }
    }
}
