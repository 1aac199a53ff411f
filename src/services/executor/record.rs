//! The documents of runs: what is read of them, and their names.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{document, shown, terminal};
use crate::bus::{BusError, Document, Failure, SharedBus};
use crate::contracts::envelope::{read_time, rfc3339};
use crate::contracts::keys;
use crate::contracts::lifecycle::ExperimentState;
use crate::experiments::document::read_spec;
use crate::experiments::spec::{Mode, Overlap, Spec};

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Waiting,
    Running,
    Completed,
    Failed,
    Cancelled,
}

impl Status {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    pub(super) const fn is_over(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }

    pub(super) fn read(text: &str) -> Option<Self> {
        [Self::Waiting, Self::Running, Self::Completed, Self::Failed, Self::Cancelled]
            .into_iter()
            .find(|status| status.as_str() == text)
    }
}

/// A run's document.
#[derive(Debug, Clone)]
pub(super) struct RunRecord {
    pub(super) experiment: String,
    pub(super) id: String,
    pub(super) key: String,
    pub(super) document: Document,
}

impl RunRecord {
    pub(super) async fn read(bus: &SharedBus, experiment: &str, id: &str) -> Result<Option<Self>, Failure> {
        let key = keys::experiment_run(experiment, id).map_err(terminal)?;
        let document = document(bus, &key).await?;
        Ok(document.map(|document| Self { experiment: experiment.to_owned(), id: id.to_owned(), key, document }))
    }

    pub(super) fn get(&self, field: &str) -> Option<&str> {
        self.document.get(field)
    }

    pub(super) fn status(&self) -> Option<Status> {
        Status::read(self.get("status")?)
    }

    pub(super) fn time(&self, field: &str) -> Option<DateTime<Utc>> {
        read_time(self.get(field)?)
    }

    /// What ended steps gave, by their ids.
    pub(super) fn outputs(&self) -> BTreeMap<String, Value> {
        self.get("outputs").and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }

    /// Whether it is run without leave: it leaves the experiment's state as it is.
    pub(super) fn is_forced(&self) -> bool {
        self.get("forced") == Some("true")
    }

    /// The follow-up that it sends; none for a run of the whole.
    pub(super) fn follow_up(&self) -> Option<usize> {
        self.get("follow_up")?.parse().ok()
    }
}

/// Who wants a run to stop, and why, by its document; none where nobody does.
pub(super) fn cancelled(run: &Document) -> Option<String> {
    run.get("cancel_requested")?;
    let by = run.get("cancel_by").map_or_else(|| "somebody".to_owned(), shown);
    Some(match run.get("cancel_reason") {
        Some(reason) => format!("stopped by {by}: {}", crate::contracts::untrusted::sanitize_line(reason, 200)),
        None => format!("stopped by {by}"),
    })
}

/// An experiment's document.
#[derive(Debug, Clone)]
pub(super) struct Experiment {
    pub(super) id: String,
    pub(super) key: String,
    pub(super) document: Document,
}

impl Experiment {
    pub(super) async fn read(bus: &SharedBus, id: &str) -> Result<Option<Self>, Failure> {
        let key = keys::experiment(id).map_err(terminal)?;
        let document = document(bus, &key).await?;
        Ok(document.map(|document| Self { id: id.to_owned(), key, document }))
    }

    pub(super) fn get(&self, field: &str) -> Option<&str> {
        self.document.get(field)
    }

    pub(super) fn state(&self) -> Option<ExperimentState> {
        ExperimentState::of(|field| self.get(field))
    }

    pub(super) fn was_approved(&self) -> bool {
        self.get("approved_at").is_some()
    }

    pub(super) fn observe_until(&self) -> Option<DateTime<Utc>> {
        read_time(self.get("observe_until")?)
    }

    pub(super) fn mode(&self) -> Mode {
        let mode = self.get("mode").map(str::to_owned).map(Value::String);
        mode.and_then(|mode| serde_json::from_value(mode).ok()).unwrap_or_default()
    }

    /// What becomes of a run of it that begins while another is under way.
    pub(super) fn overlap(&self) -> Overlap {
        self.spec().map(|spec| spec.execution.overlap).unwrap_or_default()
    }

    /// Its specification, or why there is none, in words.
    pub(super) fn spec(&self) -> Result<Spec, String> {
        read_spec(&self.document).map_err(|err| err.to_string())
    }
}

/// An experiment's schedule.
#[derive(Debug, Clone)]
pub(super) struct ScheduleRecord {
    pub(super) key: String,
    pub(super) document: Document,
}

impl ScheduleRecord {
    pub(super) async fn read(bus: &SharedBus, id: &str) -> Result<Option<Self>, Failure> {
        let key = keys::schedule(id).map_err(terminal)?;
        Ok(document(bus, &key).await?.map(|document| Self { key, document }))
    }

    pub(super) fn is_active(&self) -> bool {
        self.document.get("state").is_none_or(|state| state == "active")
    }

    pub(super) fn next_at(&self) -> Option<DateTime<Utc>> {
        read_time(self.document.get("next_at")?)
    }
}

/// Whether an experiment comes again by its schedule.
pub(super) async fn recurs(bus: &SharedBus, id: &str) -> Result<bool, BusError> {
    let Ok(key) = keys::schedule(id) else { return Ok(false) };
    let schedule = document(bus, &key).await?.map(|document| ScheduleRecord { key, document });
    Ok(schedule.is_some_and(|schedule| schedule.is_active() && schedule.next_at().is_some()))
}

/// A time as documents have it.
pub(super) fn at(time: DateTime<Utc>) -> String {
    rfc3339(time)
}
