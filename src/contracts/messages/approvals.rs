//! `fullsend:proposals`, `fullsend:approvals`, `fullsend:approval_verdicts`: what needs a yes, and what came of it.
//!
//! A proposal holds intents and the facts they rest on, not versions: on a yes the gate looks at the facts again, and commits
//! the intents only if they still hold.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::read::{self, object};
use crate::contracts::ChannelName;
use crate::contracts::body::{Example, bodies};
use crate::contracts::envelope::{Priority, Trust, millis_option, read_time};
use crate::contracts::lifecycle::LifecycleEvent;
use crate::contracts::notes::{NoteChange, NoteName};

bodies! {
    /// What needs a yes.
    Proposals, default "proposal" {
        /// One of them.
        Proposal(Proposal) = "proposal",
    }
}

bodies! {
    /// What came of proposals.
    Approvals {
        /// It waits for an answer.
        Created(ApprovalCreated) = "approval_created",
        /// It has its answer.
        Completed(ApprovalCompleted) = "approval_completed",
    }
}

bodies! {
    /// A person's answers to proposals.
    ApprovalVerdicts, default "approval_verdict" {
        /// One of them.
        Verdict(ApprovalVerdict) = "approval_verdict",
    }
}

/// How much harm something can do. Computed by code from the action, its target and its trust, never by a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "u8", into = "u8")]
pub enum RiskClass {
    /// 0: nothing is done, or the team channel that asked is answered.
    Harmless,
    /// 1: worklist, learnings, round table, pausing or killing what only simulates.
    Internal,
    /// 2: dispatches, pause, a kill on metric evidence, going live of dry runs and simulations.
    Reversible,
    /// 3: outward contact, a tool with network or secrets, money, a kill whose only reason came from outside.
    Outward,
}

impl From<RiskClass> for u8 {
    fn from(class: RiskClass) -> Self {
        class as Self
    }
}

impl TryFrom<u8> for RiskClass {
    type Error = String;

    fn try_from(number: u8) -> Result<Self, String> {
        [Self::Harmless, Self::Internal, Self::Reversible, Self::Outward]
            .get(usize::from(number))
            .copied()
            .ok_or_else(|| format!("risk class {number}; there are 0 to 3"))
    }
}

/// Something that is to happen once there is a yes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Intent {
    /// A message is said, in the proposer's name and by its grants.
    Say {
        /// Where.
        #[schemars(with = "String")]
        channel: ChannelName,
        /// The body, with its type.
        body: Map<String, Value>,
        /// How soon it wants to be handled.
        #[serde(default)]
        priority: Priority,
        /// What it is about.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        subject: Option<String>,
    },
    /// Fields of a document are set.
    Set {
        /// The document's key.
        key: String,
        /// The fields and their new texts.
        fields: std::collections::BTreeMap<String, String>,
    },
    /// A note of the team changes.
    Note {
        /// Which.
        name: NoteName,
        /// How.
        change: NoteChange,
    },
    /// An experiment takes a step of its lifecycle. `archive` also cancels its schedule and its run, and resolves its alerts.
    Step {
        /// Which experiment.
        experiment_id: String,
        /// Which step.
        event: LifecycleEvent,
    },
}

/// Something that a proposal rests on: a document's field, as it was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Fact {
    /// The document's key.
    pub key: String,
    /// The field; none for the whole document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Its text; none where it was absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub was: Option<String>,
}

impl Example for Fact {
    fn example() -> Self {
        Self {
            key: "experiments:exp_20260301_forum".to_owned(),
            field: Some("state".to_owned()),
            was: Some("draft".to_owned()),
        }
    }
}

/// Something that needs a yes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Proposal {
    /// Names it: the same for the same action with the same arguments.
    pub approval_id: String,
    /// The service that wants it, and whose grants apply.
    pub proposer: String,
    /// What, in a line.
    pub title: String,
    /// Why.
    pub reason: String,
    /// How much harm it can do.
    pub class: RiskClass,
    /// What happens on a yes, in order.
    pub intents: Vec<Intent>,
    /// What it rests on; if one no longer holds, the proposal is superseded.
    #[serde(default, deserialize_with = "read::or_default")]
    pub facts: Vec<Fact>,
    /// Digest of intents and facts: what a verdict refers to.
    pub digest: String,
    /// What a person should see: recipients, samples, limits, differences.
    #[serde(default, deserialize_with = "read::or_default", skip_serializing_if = "Map::is_empty")]
    pub details: Map<String, Value>,
    /// What it will cost at most, in dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
    /// The proposal it replaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supersedes: Option<String>,
    /// No answer until then means no.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    pub expires_at: Option<DateTime<Utc>>,
}

impl Example for Proposal {
    fn example() -> Self {
        Self {
            approval_id: "apr_5b1c9e".to_owned(),
            proposer: "fullsend".to_owned(),
            title: "Go live: exp_20260301_forum".to_owned(),
            reason: "the sample was answered by 2 of 5; limits are 50 mails a day".to_owned(),
            class: RiskClass::Outward,
            intents: vec![Intent::Step {
                experiment_id: "exp_20260301_forum".to_owned(),
                event: LifecycleEvent::Approve,
            }],
            facts: vec![Fact::example()],
            digest: "sha256:6f1f2a9c".to_owned(),
            details: object(json!({ "recipients": 50, "sender": "mara@acme.example" })),
            cost_usd: Some(1.5),
            supersedes: None,
            expires_at: read_time("2026-03-02T09:35:00Z"),
        }
    }
}

/// A proposal waits for an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ApprovalCreated {
    /// Which.
    pub approval_id: String,
    /// The service that wants it.
    pub proposer: String,
    /// What, in a line.
    pub title: String,
    /// Why.
    pub reason: String,
    /// How much harm it can do.
    pub class: RiskClass,
    /// How far the words that led to it can be trusted.
    pub trust: Trust,
    /// What a verdict refers to.
    pub digest: String,
    /// What a person should see.
    #[serde(default, deserialize_with = "read::or_default", skip_serializing_if = "Map::is_empty")]
    pub details: Map<String, Value>,
    /// What it will cost at most, in dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
    /// If nobody has answered until then, a second surface is asked.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    pub escalates_at: Option<DateTime<Utc>>,
    /// No answer until then means no.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    pub expires_at: Option<DateTime<Utc>>,
}

impl Example for ApprovalCreated {
    fn example() -> Self {
        Self {
            approval_id: "apr_5b1c9e".to_owned(),
            proposer: "fullsend".to_owned(),
            title: "Go live: exp_20260301_forum".to_owned(),
            reason: "the sample was answered by 2 of 5; limits are 50 mails a day".to_owned(),
            class: RiskClass::Outward,
            trust: Trust::Operator,
            digest: "sha256:6f1f2a9c".to_owned(),
            details: object(json!({ "recipients": 50, "sender": "mara@acme.example" })),
            cost_usd: Some(1.5),
            escalates_at: read_time("2026-03-01T21:35:00Z"),
            expires_at: read_time("2026-03-02T09:35:00Z"),
        }
    }
}

/// A proposal has its answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ApprovalCompleted {
    /// Which.
    pub approval_id: String,
    /// The service that wanted it.
    pub proposer: String,
    /// The answer.
    pub outcome: ApprovalOutcome,
    /// Who gave it: a person, or the policy's name.
    pub by: String,
    /// Where it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub surface: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether the intents were changed before the yes.
    #[serde(default, deserialize_with = "read::or_default")]
    pub edited: bool,
    /// The proposal that replaces it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_by: Option<String>,
    /// What was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    pub at: Option<DateTime<Utc>>,
}

impl Example for ApprovalCompleted {
    fn example() -> Self {
        Self {
            approval_id: "apr_5b1c9e".to_owned(),
            proposer: "fullsend".to_owned(),
            outcome: ApprovalOutcome::Approved,
            by: "operator".to_owned(),
            surface: Some("control_room".to_owned()),
            reason: Some("looks right".to_owned()),
            edited: false,
            superseded_by: None,
            digest: Some("sha256:6f1f2a9c".to_owned()),
            at: read_time("2026-03-01T09:50:00Z"),
        }
    }
}

/// What came of a proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalOutcome {
    /// Yes; it was committed.
    Approved,
    /// No.
    #[serde(alias = "rejected")]
    Denied,
    /// Nobody answered in time: no.
    #[serde(alias = "timed_out")]
    Expired,
    /// What it rested on has changed; it is proposed anew.
    Superseded,
}

/// A person's answer to a proposal. The first one counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ApprovalVerdict {
    /// Which.
    pub approval_id: String,
    /// The answer.
    pub verdict: Verdict,
    /// What was shown; a verdict on something else does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Why; a denial's reason goes back to the orchestrator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The intents as the person changed them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited: Option<Vec<Intent>>,
    /// Whether the same shall be allowed from now on without asking.
    #[serde(default, deserialize_with = "read::or_default")]
    pub always: bool,
    /// That holds until then; class 3 needs an end.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "millis_option")]
    #[schemars(with = "Option<DateTime<Utc>>")]
    pub until: Option<DateTime<Utc>>,
    /// That holds for so many a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_day: Option<u64>,
    /// Who answers.
    #[serde(default, deserialize_with = "read::id_option", skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub surface: Option<String>,
}

impl Example for ApprovalVerdict {
    fn example() -> Self {
        Self {
            approval_id: "apr_5b1c9e".to_owned(),
            verdict: Verdict::Approve,
            digest: Some("sha256:6f1f2a9c".to_owned()),
            reason: Some("looks right".to_owned()),
            edited: None,
            always: false,
            until: None,
            per_day: None,
            by: Some("operator".to_owned()),
            surface: Some("control_room".to_owned()),
        }
    }
}

/// Yes or no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Yes.
    #[serde(alias = "approved", alias = "yes")]
    Approve,
    /// No.
    #[serde(alias = "denied", alias = "rejected", alias = "no")]
    Deny,
}
