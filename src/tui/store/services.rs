//! Who runs, by what the services say of themselves.
//!
//! Must never take silence for health: who has not been heard for a while is shown as silent.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use crate::contracts::messages::{Health, RunState};
use crate::contracts::untrusted::sanitize_line;
use crate::supervisor::HEARTBEAT;

/// Instances of services that are remembered.
const MOST: usize = 500;
/// How long one that stopped is shown beside the one that runs instead.
const STOPPED: TimeDelta = TimeDelta::minutes(1);
/// How long one that fell silent is.
const SILENT: TimeDelta = TimeDelta::minutes(10);
/// Characters of a name or a reason.
const WORDS_LIMIT: usize = 200;

/// A service somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presence {
    /// Which; harmless.
    pub service: String,
    /// Where: host and process; harmless.
    pub instance: String,
    /// What it does.
    pub state: RunState,
    /// Why, or what it cannot do; harmless.
    pub reason: Option<String>,
    /// Restarts since its program started.
    pub restarts: u32,
    /// Messages handled since it started.
    pub handled: u64,
    /// Attempts that failed since it started.
    pub failed: u64,
    /// Messages it holds now.
    pub holding: u32,
    /// When it was heard last.
    pub heard: DateTime<Utc>,
}

impl Presence {
    /// Whether it has said nothing for longer than it should.
    pub fn is_silent(&self, now: DateTime<Utc>) -> bool {
        let patience = TimeDelta::from_std(HEARTBEAT * 3).unwrap_or(TimeDelta::MAX);
        self.state != RunState::Stopped && now - self.heard > patience
    }
}

/// Everybody who was heard.
#[derive(Debug, Clone, Default)]
pub struct Services {
    found: BTreeMap<(String, String), Presence>,
}

impl Services {
    /// Takes in what a service says of itself.
    pub fn apply(&mut self, said: Health, now: DateTime<Utc>) {
        let (service, instance) = match &said {
            Health::Heartbeat(beat) => (&beat.service, &beat.instance),
            Health::State(state) => (&state.service, &state.instance),
        };
        let clean = |text: &str| sanitize_line(text, WORDS_LIMIT);
        let key = (clean(service), clean(instance));
        if self.found.len() >= MOST && !self.found.contains_key(&key) {
            self.forget();
        }
        let it = self.found.entry(key.clone()).or_insert_with(|| Presence {
            service: key.0,
            instance: key.1,
            state: RunState::Running,
            reason: None,
            restarts: 0,
            handled: 0,
            failed: 0,
            holding: 0,
            heard: now,
        });
        it.heard = now;
        match said {
            Health::Heartbeat(beat) => {
                it.handled = beat.handled;
                it.failed = beat.failed;
                it.holding = beat.holding;
                if it.state == RunState::Stopped {
                    it.state = RunState::Running;
                }
            }
            Health::State(state) => {
                it.state = state.state;
                it.reason = state.reason.as_deref().map(clean);
                it.restarts = state.restarts;
            }
        }
        let service = it.service.clone();
        self.forget_replaced(&service, now);
    }

    /// Forgets who stopped, or fell silent, and was replaced: another instance of the service runs.
    fn forget_replaced(&mut self, service: &str, now: DateTime<Utc>) {
        let is_alive = |it: &Presence| it.state != RunState::Stopped && !it.is_silent(now);
        if !self.found.values().any(|it| it.service == service && is_alive(it)) {
            return;
        }
        self.found.retain(|_, it| {
            let stays = if it.state == RunState::Stopped { STOPPED } else { SILENT };
            it.service != service || is_alive(it) || now - it.heard < stays
        });
    }

    /// Forgets whoever was heard longest ago.
    fn forget(&mut self) {
        let oldest = self.found.values().min_by_key(|it| it.heard).map(|it| (it.service.clone(), it.instance.clone()));
        if let Some(oldest) = oldest {
            self.found.remove(&oldest);
        }
    }

    /// Everybody, by service.
    pub fn all(&self) -> impl Iterator<Item = &Presence> {
        self.found.values()
    }

    /// The one of a service that is most alive: running before others, then the one heard last.
    pub fn of(&self, service: &str) -> Option<&Presence> {
        self.all()
            .filter(|it| it.service == service)
            .max_by_key(|it| (it.state != RunState::Stopped, it.heard, it.instance.as_str()))
    }
}
