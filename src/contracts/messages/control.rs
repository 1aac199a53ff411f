//! `fullsend:control`: orders. State changes first, then the bell rings; what the operator orders needs no approval.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::read;
use crate::contracts::body::{Example, bodies};
use crate::contracts::envelope::{millis_option, read_time};

bodies! {
    /// Orders.
    Control {
        /// Stop an experiment for good (it can be restored).
        Kill(KillExperiment) = "kill_experiment",
        /// Take a kill back.
        Restore(RestoreExperiment) = "restore_experiment",
        /// Let an experiment rest.
        Pause(PauseExperiment) = "pause_experiment",
        /// Let it go on.
        Resume(ResumeExperiment) = "resume_experiment",
        /// Stop one run.
        CancelRun(CancelRun) = "cancel_run",
        /// Nothing acts outwards from now on.
        Hold(Hold) = "hold",
        /// Things may act again.
        Go(Go) = "go",
        /// An alert was seen.
        AcknowledgeAlert(AcknowledgeAlert) = "alert_acknowledge",
        /// An alert is over.
        ResolveAlert(ResolveAlert) = "alert_resolve",
        /// A budget changes.
        SetBudget(SetBudget) = "budget_set",
        /// What was always allowed is asked for again.
        DropRule(DropRule) = "rule_drop",
        /// Somebody is not to be written to any more, or may be again.
        SetSuppression(SetSuppression) = "suppression_set",
    }
}

/// Stop an experiment for good: it is archived, its schedule and run are cancelled, its alerts resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct KillExperiment {
    /// Which.
    pub experiment_id: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who orders it.
    #[serde(default, deserialize_with = "read::id_option", skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

impl Example for KillExperiment {
    fn example() -> Self {
        Self {
            experiment_id: "exp_20260301_forum".to_owned(),
            reason: Some("bounce_rate is 14% after 210 sends".to_owned()),
            by: Some("operator".to_owned()),
        }
    }
}

/// Take a kill back: the experiment is what it was, ready if it was running.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RestoreExperiment {
    /// Which.
    pub experiment_id: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who orders it.
    #[serde(default, deserialize_with = "read::id_option", skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

impl Example for RestoreExperiment {
    fn example() -> Self {
        Self {
            experiment_id: "exp_20260301_forum".to_owned(),
            reason: Some("the bounces were one dead domain".to_owned()),
            by: Some("operator".to_owned()),
        }
    }
}

/// Let an experiment rest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PauseExperiment {
    /// Which.
    pub experiment_id: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who orders it.
    #[serde(default, deserialize_with = "read::id_option", skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

impl Example for PauseExperiment {
    fn example() -> Self {
        Self {
            experiment_id: "exp_20260301_forum".to_owned(),
            reason: Some("new copy is being written".to_owned()),
            by: Some("operator".to_owned()),
        }
    }
}

/// Let a resting experiment go on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ResumeExperiment {
    /// Which.
    pub experiment_id: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who orders it.
    #[serde(default, deserialize_with = "read::id_option", skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

impl Example for ResumeExperiment {
    fn example() -> Self {
        Self { experiment_id: "exp_20260301_forum".to_owned(), reason: None, by: Some("operator".to_owned()) }
    }
}

/// Stop one run; the experiment stays.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CancelRun {
    /// Which.
    pub run_id: String,
    /// Whose run it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experiment_id: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who orders it.
    #[serde(default, deserialize_with = "read::id_option", skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

impl Example for CancelRun {
    fn example() -> Self {
        Self {
            run_id: "exp_20260301_forum:1772357400".to_owned(),
            experiment_id: Some("exp_20260301_forum".to_owned()),
            reason: Some("wrong list".to_owned()),
            by: Some("operator".to_owned()),
        }
    }
}

/// Nothing acts outwards from now on, until [`Go`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Hold {
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who orders it.
    #[serde(default, deserialize_with = "read::id_option", skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

impl Example for Hold {
    fn example() -> Self {
        Self { reason: Some("the mail provider complains".to_owned()), by: Some("operator".to_owned()) }
    }
}

/// Things may act again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Go {
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who orders it.
    #[serde(default, deserialize_with = "read::id_option", skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

impl Example for Go {
    fn example() -> Self {
        Self { reason: Some("settled with the provider".to_owned()), by: Some("operator".to_owned()) }
    }
}

/// An alert was seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AcknowledgeAlert {
    /// Which.
    pub alert_id: String,
    /// It stays quiet until then.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    pub until: Option<DateTime<Utc>>,
    /// Who saw it.
    #[serde(default, deserialize_with = "read::id_option", skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

impl Example for AcknowledgeAlert {
    fn example() -> Self {
        Self {
            alert_id: "exp_20260301_forum:bounce_rate>0.10".to_owned(),
            until: read_time("2026-03-01T18:00:00Z"),
            by: Some("operator".to_owned()),
        }
    }
}

/// An alert is over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ResolveAlert {
    /// Which.
    pub alert_id: String,
    /// How.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who says so.
    #[serde(default, deserialize_with = "read::id_option", skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

impl Example for ResolveAlert {
    fn example() -> Self {
        Self {
            alert_id: "exp_20260301_forum:bounce_rate>0.10".to_owned(),
            reason: Some("the experiment was killed".to_owned()),
            by: Some("operator".to_owned()),
        }
    }
}

/// A budget changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SetBudget {
    /// What it covers: `call`, `day`, `month`, `task:…`, `service:…`, `trace:…`, `experiment:…`.
    pub scope: String,
    /// What is counted.
    #[serde(default, deserialize_with = "read::or_default")]
    pub unit: BudgetUnit,
    /// The most that may be spent.
    pub limit: f64,
    /// The former limit holds again after this.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    pub until: Option<DateTime<Utc>>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who orders it.
    #[serde(default, deserialize_with = "read::id_option", skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

impl Example for SetBudget {
    fn example() -> Self {
        Self {
            scope: "day".to_owned(),
            unit: BudgetUnit::Usd,
            limit: 5.0,
            until: None,
            reason: Some("launch week".to_owned()),
            by: Some("operator".to_owned()),
        }
    }
}

/// A rule that allowed something without asking ends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DropRule {
    /// Which.
    pub rule_id: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who orders it.
    #[serde(default, deserialize_with = "read::id_option", skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

impl Example for DropRule {
    fn example() -> Self {
        Self {
            rule_id: "rule_5b1c9e".to_owned(),
            reason: Some("mails are to be looked at again".to_owned()),
            by: Some("operator".to_owned()),
        }
    }
}

/// Somebody is not to be written to any more, or may be again. Whoever orders it changes the list in the same commit; the gate sees to it
/// that it is so, and puts it on record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SetSuppression {
    /// Who: the SHA-256 of the address in lower case, in hex. The address itself is said nowhere.
    pub person: String,
    /// Whether it is lifted.
    #[serde(default)]
    pub lifted: bool,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who orders it.
    #[serde(default, deserialize_with = "read::id_option", skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

impl Example for SetSuppression {
    fn example() -> Self {
        Self {
            person: crate::contracts::keys::person("grace@one.example"),
            lifted: false,
            reason: Some("asked for it by telephone".to_owned()),
            by: Some("operator".to_owned()),
        }
    }
}

/// What a budget counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BudgetUnit {
    /// Dollars.
    #[default]
    Usd,
    /// Tokens of all classes.
    Tokens,
    /// Model calls.
    Calls,
    /// Seconds of work.
    Seconds,
    /// Links of a chain of self-made work.
    Depth,
}
