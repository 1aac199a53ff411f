//! The specification of an experiment: one shape, in which every one of them is written.
//!
//! Its fields are those of the founding design (root key `experiment` in YAML and JSON). Reading the many forms that others wrote
//! is not done here. Must never hold what changes while an experiment runs: that is its document's.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::config::duration;
use crate::contracts::envelope::millis_option;

/// An experiment, as it was designed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// `exp_YYYYMMDD_short_name`, in snake case.
    pub id: String,
    /// What is believed, so that it can be tested; 20 to 500 characters.
    pub hypothesis: String,
    /// When it was designed.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    pub created_at: Option<DateTime<Utc>>,
    /// Whether it reaches anybody.
    #[serde(default)]
    pub mode: Mode,
    /// Whom it is about.
    pub target: Target,
    /// What it does, and when.
    pub execution: Execution,
    /// What it says to people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outreach: Option<Outreach>,
    /// What is counted and computed.
    pub metrics: Vec<Metric>,
    /// When it worked: criteria of [`crate::experiments`], at least one.
    pub success_criteria: Vec<String>,
    /// When it should be stopped: the same, at least one.
    pub failure_criteria: Vec<String>,
    /// How long is looked at what comes of a run.
    #[serde(default)]
    pub measuring: Measuring,
    /// What comes next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iteration_plan: Option<IterationPlan>,
    /// What should be known afterwards.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub learnings_to_capture: Vec<String>,
    /// What a person has to do first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub manual_steps_required: Vec<String>,
    /// Where each filled field came from, by path: `idea`, `product_context`, `learning: …`, `playbook: NAME`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sources: BTreeMap<String, String>,
    /// Anything else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
}

/// Whether an experiment reaches anybody. What is not said is a dry run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Everything is done but the outward acts: they are written down where they would have gone out.
    #[default]
    DryRun,
    /// It contacts people.
    Live,
    /// Its audience is simulated; nothing leaves, and it is called a simulation wherever it is seen.
    Simulation,
}

impl Mode {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DryRun => "dry_run",
            Self::Live => "live",
            Self::Simulation => "simulation",
        }
    }

    /// In few words, for people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::DryRun => "dry run",
            Self::Live => "LIVE",
            Self::Simulation => "simulation",
        }
    }

    /// What it means, for people.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::DryRun => "dry run: nothing leaves, what would have gone out is written down",
            Self::Live => "live: it writes to people",
            Self::Simulation => "simulation: its people do not exist",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whom an experiment is about.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// In words.
    pub description: String,
    /// How many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Where they come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Conditions on them, one name each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Map<String, Value>>,
}

/// What an experiment does, and when.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Execution {
    /// What it does, in order.
    pub steps: Vec<Step>,
    /// When, as cron with five fields; none where it runs when it is told to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// The IANA zone that the schedule counts in; UTC where none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// What becomes of runs whose time passed while nobody could start them.
    #[serde(default)]
    pub missed: Missed,
    /// What becomes of a run whose time comes while another is under way.
    #[serde(default, skip_serializing_if = "Overlap::is_default")]
    pub overlap: Overlap,
}

/// A tool with its parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Names it within the experiment: `{{ID.rows}}` is what it gave.
    pub id: String,
    /// The tool.
    pub tool: String,
    /// Its parameters. A text that is one `{{step.path}}` becomes the value, within other text its text.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub params: Map<String, Value>,
    /// Steps that must have ended well before it, besides those that its parameters name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<String>,
}

/// What becomes of runs whose time passed while nobody could start them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Missed {
    /// They do not happen.
    Skip,
    /// One happens, late.
    #[default]
    Once,
    /// All happen, one after the other.
    All,
}

impl Missed {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Once => "once",
            Self::All => "all",
        }
    }
}

/// What becomes of a run whose time comes while another of the same experiment is under way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// One waits for the end of the other; where what is missed does not happen, it is left out.
    #[default]
    Queue,
    /// It is left out.
    Skip,
    /// Both run side by side.
    Allow,
}

impl Overlap {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Skip => "skip",
            Self::Allow => "allow",
        }
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What an experiment says to people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Outreach {
    /// Through what.
    pub channel: OutreachChannel,
    /// The address that it comes from; none for the one of the settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender: Option<String>,
    /// The name that it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender_name: Option<String>,
    /// The people: `{{STEP.rows}}`; none for what the last step gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipients: Option<String>,
    /// The subject; `{{variables}}` are fields of a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The text; `{{variables}}` are fields of a person.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub template: String,
    /// Ways to say it that are compared. A person gets one, by a hash of the address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variants: Vec<Variant>,
    /// What is said later to whom did not answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub follow_ups: Vec<FollowUp>,
    /// Most messages a day; none for what the settings say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub daily_limit: Option<u64>,
    /// Pause between two messages; none for what the settings say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<Span>,
}

/// Through what people are reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutreachChannel {
    /// Mail.
    Email,
    /// `LinkedIn`: by a person.
    Linkedin,
    /// Twitter: by a person.
    Twitter,
    /// A telephone call: by a person.
    ColdCall,
}

/// One of several ways to say something.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// Names it; events carry it as `variant`.
    pub name: String,
    /// What is different about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub angle: Option<String>,
    /// Its subject; none for the common one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Its text; none for the common one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
}

/// What is said later to whom did not answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FollowUp {
    /// How long after the first message.
    pub after: Span,
    /// The subject; none for `Re:` the first one's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The text.
    pub template: String,
}

/// What is counted or computed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Metric {
    /// Its name; of a counter, the event that is counted.
    pub name: String,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: MetricKind,
    /// How it is computed; a percentage has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub formula: Option<String>,
    /// From here on it is good; a share as a fraction, 0.08 for 8 %.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success_threshold: Option<f64>,
    /// From here on it is bad.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_threshold: Option<f64>,
    /// In words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MetricKind {
    /// Events, counted.
    Counter,
    /// A share, as a fraction.
    Percentage,
    /// Seconds.
    Duration,
}

/// How long is looked at what comes of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Measuring {
    /// From the end of a run until it is judged.
    pub window: Span,
    /// How often replies and bounces are collected meanwhile.
    pub collect_every: Span,
}

impl Default for Measuring {
    fn default() -> Self {
        Self { window: Span(Duration::from_hours(7 * 24)), collect_every: Span(Duration::from_mins(15)) }
    }
}

/// What comes next.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct IterationPlan {
    /// Where it worked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub if_success: Option<String>,
    /// Where it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub if_failure: Option<String>,
}

/// A length of time, written as people do: `7d`, `1h30m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(pub Duration);

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        duration::parse(&text).map(Self)
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        duration::show(span.0)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&duration::show(self.0))
    }
}

impl JsonSchema for Span {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "description": "a length of time: `7d`, `1h30m`, `500ms`" })
    }
}
