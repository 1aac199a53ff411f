//! The life of an experiment: its states, the events that change them, and the one table of what is legal.
//!
//! Owns the table. Everything that changes an experiment's state asks [`transition`]; must never be gone around.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Where an experiment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ExperimentState {
    /// Designed, not approved.
    Draft,
    /// Approved; runs when its time comes.
    Ready,
    /// A run is under way.
    Running,
    /// The run is over; what comes of it (replies, bounces) is still being counted.
    Measuring,
    /// Approved, and resting by somebody's order.
    Paused,
    /// It did what it should; `run`, as older executors wrote, is read as this.
    #[serde(alias = "run")]
    Completed,
    /// It came to nothing.
    Failed,
    /// Killed, or put away.
    Archived,
}

impl ExperimentState {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Draft,
        Self::Ready,
        Self::Running,
        Self::Measuring,
        Self::Paused,
        Self::Completed,
        Self::Failed,
        Self::Archived,
    ];

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Ready => "ready",
            Self::Running => "running",
            Self::Measuring => "measuring",
            Self::Paused => "paused",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Archived => "archived",
        }
    }

    /// Reads a state as any of the founding systems wrote it; none where it is no state.
    pub fn read(text: &str) -> Option<Self> {
        match text.trim().to_ascii_lowercase().as_str() {
            "run" => Some(Self::Completed),
            name => Self::ALL.into_iter().find(|state| state.as_str() == name),
        }
    }

    /// The state in an experiment's document: its field `state`, or `status` as some wrote it.
    pub fn of<'a>(field: impl Fn(&str) -> Option<&'a str>) -> Option<Self> {
        field("state").or_else(|| field("status")).and_then(Self::read)
    }
}

impl fmt::Display for ExperimentState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What can happen to an experiment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LifecycleEvent {
    /// It may run from now on.
    Approve,
    /// A run begins.
    Start,
    /// The run is over, and is being measured.
    Measure,
    /// A recurring one waits for its next run.
    Recur,
    /// It did what it should.
    Complete,
    /// It came to nothing.
    Fail,
    /// Somebody lets it rest.
    Pause,
    /// Somebody lets it go on.
    Resume,
    /// Somebody kills it, or puts it away.
    Archive,
    /// Somebody takes that back.
    Restore,
}

impl LifecycleEvent {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Approve,
        Self::Start,
        Self::Measure,
        Self::Recur,
        Self::Complete,
        Self::Fail,
        Self::Pause,
        Self::Resume,
        Self::Archive,
        Self::Restore,
    ];

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Start => "start",
            Self::Measure => "measure",
            Self::Recur => "recur",
            Self::Complete => "complete",
            Self::Fail => "fail",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Archive => "archive",
            Self::Restore => "restore",
        }
    }
}

impl fmt::Display for LifecycleEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where an event leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// To this state.
    State(ExperimentState),
    /// To what the experiment was before it was archived; see [`restored`].
    Former,
}

/// The table: an event, the states in which it is legal, and where it leads.
pub const LIFECYCLE: &[(LifecycleEvent, &[ExperimentState], Target)] = {
    use ExperimentState::{Archived, Completed, Draft, Failed, Measuring, Paused, Ready, Running};
    use LifecycleEvent::{Approve, Archive, Complete, Fail, Measure, Pause, Recur, Restore, Resume, Start};
    &[
        (Approve, &[Draft], Target::State(Ready)),
        (Start, &[Ready], Target::State(Running)),
        (Measure, &[Running], Target::State(Measuring)),
        (Recur, &[Measuring], Target::State(Ready)),
        (Complete, &[Measuring], Target::State(Completed)),
        (Fail, &[Running, Measuring], Target::State(Failed)),
        (Pause, &[Ready], Target::State(Paused)),
        (Resume, &[Paused], Target::State(Ready)),
        (Archive, &[Draft, Ready, Running, Measuring, Paused, Completed, Failed], Target::State(Archived)),
        (Restore, &[Archived], Target::Former),
    ]
};

/// An event that is not legal in a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a {from} experiment cannot {event}; {}", legal(*from))]
pub struct IllegalTransition {
    /// The state.
    pub from: ExperimentState,
    /// The event.
    pub event: LifecycleEvent,
}

fn legal(from: ExperimentState) -> String {
    let events: Vec<_> = events_of(from).map(LifecycleEvent::as_str).collect();
    format!("it can {}", events.join(", "))
}

/// What can happen in a state.
pub fn events_of(from: ExperimentState) -> impl Iterator<Item = LifecycleEvent> {
    LIFECYCLE.iter().filter(move |(_, states, _)| states.contains(&from)).map(|(event, ..)| *event)
}

/// The state that an event leads to. `former` is what the experiment was before it was archived; it is asked for by
/// [`LifecycleEvent::Restore`] only.
///
/// # Errors
/// Where the event is not legal in that state.
pub fn transition(
    from: ExperimentState,
    event: LifecycleEvent,
    former: Option<ExperimentState>,
) -> Result<ExperimentState, IllegalTransition> {
    LIFECYCLE
        .iter()
        .find(|(named, states, _)| *named == event && states.contains(&from))
        .map(|(.., target)| match target {
            Target::State(state) => *state,
            Target::Former => restored(former),
        })
        .ok_or(IllegalTransition { from, event })
}

/// What a restored experiment becomes: its former state, ready if it was running. Where nobody noted what it was, it is a draft:
/// it must be approved again.
pub fn restored(former: Option<ExperimentState>) -> ExperimentState {
    match former {
        Some(ExperimentState::Running) => ExperimentState::Ready,
        None | Some(ExperimentState::Archived) => ExperimentState::Draft,
        Some(state) => state,
    }
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;

    use super::*;

    /// Rows are states, columns are events in the order of `LifecycleEvent::ALL`; `-` is illegal.
    const EXPECTED: &str = "
        draft      ready  -        -          -      -          -       -       -      archived  -
        ready      -      running  -          -      -          -       paused  -      archived  -
        running    -      -        measuring  -      -          failed  -       -      archived  -
        measuring  -      -        -          ready  completed  failed  -       -      archived  -
        paused     -      -        -          -      -          -       -       ready  archived  -
        completed  -      -        -          -      -          -       -       -      archived  -
        failed     -      -        -          -      -          -       -       -      archived  -
        archived   -      -        -          -      -          -       -       -      -         paused
    ";

    #[test]
    fn every_event_in_every_state_leads_where_the_contract_says() {
        let rows: Vec<Vec<&str>> = EXPECTED
            .lines()
            .map(|line| line.split_whitespace().collect())
            .filter(|row: &Vec<&str>| !row.is_empty())
            .collect();
        assert_eq!(rows.len(), ExperimentState::ALL.len());
        for row in rows {
            let from = ExperimentState::read(row[0]).unwrap();
            assert_eq!(row.len(), 1 + LifecycleEvent::ALL.len());
            for (event, expected) in LifecycleEvent::ALL.into_iter().zip(&row[1..]) {
                let to = transition(from, event, Some(ExperimentState::Paused));
                let expected = ExperimentState::read(expected).ok_or(IllegalTransition { from, event });
                assert_eq!(to, expected, "{from} {event}");
            }
        }
    }

    #[test]
    fn a_restored_experiment_is_what_it_was_but_never_running() {
        use ExperimentState::{Archived, Draft, Ready, Running};
        for former in ExperimentState::ALL {
            let expected = match former {
                Running => Ready,
                Archived => Draft,
                other => other,
            };
            assert_eq!(transition(Archived, LifecycleEvent::Restore, Some(former)), Ok(expected));
        }
        assert_eq!(transition(Archived, LifecycleEvent::Restore, None), Ok(Draft));
    }

    #[test]
    fn an_illegal_event_says_what_is_legal() {
        let refused = transition(ExperimentState::Running, LifecycleEvent::Pause, None).unwrap_err();
        assert_eq!(refused.to_string(), "a running experiment cannot pause; it can measure, fail, archive");
    }

    #[test]
    fn older_names_are_read() {
        let state = |text: &str| serde_json::from_str::<ExperimentState>(text).ok();
        assert_eq!(state(r#""run""#), Some(ExperimentState::Completed));
        assert_eq!(state(r#""walk""#), None);
        let of = |name: &'static str, value: &'static str| {
            ExperimentState::of(|field| Some(value).filter(|_| field == name))
        };
        assert_eq!(of("state", "Running"), Some(ExperimentState::Running));
        assert_eq!(of("status", "run"), Some(ExperimentState::Completed));
        assert_eq!(of("stage", "run"), None);
        for state in ExperimentState::ALL {
            assert_eq!(serde_json::to_string(&state).unwrap(), format!("\"{state}\""));
            assert_eq!(ExperimentState::read(state.as_str()), Some(state));
        }
        for event in LifecycleEvent::ALL {
            assert_eq!(serde_json::to_string(&event).unwrap(), format!("\"{event}\""));
        }
    }
}
