//! `fullsend:alerts`: what somebody should look at.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::contracts::body::{Example, bodies};
use crate::contracts::envelope::millis_option;

bodies! {
    /// What somebody should look at, and what became of it.
    Alerts {
        /// Something crossed a line.
        Triggered(AlertTriggered) = "alert_triggered",
        /// A person has seen it.
        Acknowledged(AlertAcknowledged) = "alert_acknowledged",
        /// It is over.
        Resolved(AlertResolved) = "alert_resolved",
    }
}

/// How bad it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    #[default]
    Info,
    /// Look at it today.
    #[serde(alias = "medium", alias = "warn")]
    Warning,
    /// Look at it soon.
    High,
    /// Look at it now.
    Critical,
}

/// Something crossed a line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AlertTriggered {
    /// Names the alert; the same trouble of the same thing has the same name, so that it rings once. A key is made of it: no spaces.
    pub alert_id: String,
    /// How bad it is.
    #[serde(default)]
    pub severity: Severity,
    /// What happened, to what, in one line.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// The experiment it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experiment_id: Option<String>,
    /// The criterion that was crossed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub criterion: Option<String>,
    /// The metric that crossed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<String>,
    /// Its value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// The line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
}

impl Example for AlertTriggered {
    fn example() -> Self {
        Self {
            alert_id: "exp_20261121_hn:response_rate<5%".to_owned(),
            severity: Severity::High,
            message: "response_rate of exp_20261121_hn is 1.8%, below 5%, after 212 sends".to_owned(),
            fix: Some("look at the replies, then kill the experiment or revise it".to_owned()),
            experiment_id: Some("exp_20261121_hn".to_owned()),
            criterion: Some("response_rate < 5% after 200 email_sent".to_owned()),
            metric: Some("response_rate".to_owned()),
            value: Some(0.018),
            threshold: Some(0.05),
        }
    }
}

/// A person has seen it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AlertAcknowledged {
    /// Which alert.
    pub alert_id: String,
    /// Who saw it.
    pub by: String,
    /// It stays quiet until then.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    pub until: Option<DateTime<Utc>>,
}

impl Example for AlertAcknowledged {
    fn example() -> Self {
        Self {
            alert_id: AlertTriggered::example().alert_id,
            by: "operator".to_owned(),
            until: crate::contracts::envelope::read_time("2026-11-21T18:00:00Z"),
        }
    }
}

/// It is over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AlertResolved {
    /// Which alert.
    pub alert_id: String,
    /// Who or what ended it.
    pub by: String,
    /// How.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Example for AlertResolved {
    fn example() -> Self {
        Self {
            alert_id: AlertTriggered::example().alert_id,
            by: "operator".to_owned(),
            reason: Some("the experiment was killed".to_owned()),
        }
    }
}
