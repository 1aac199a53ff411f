//! The document `approvals:{id}`: a proposal, what was asked about it, and what came of it.
//!
//! Owns its fields, readable with `redis-cli`. Must never be changed without the version it was read at.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::facts::Difference;
use crate::bus::{BusError, Document, Expect, Op, SharedBus, State, StateChange, Ttl};
use crate::contracts::envelope::{read_time, rfc3339};
use crate::contracts::messages::{ApprovalOutcome, Proposal};
use crate::contracts::{Envelope, Trust, keys};

/// What has its answer is kept for so long.
const KEPT: Duration = Duration::from_hours(90 * 24);

/// How it stands with a proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ApprovalState {
    /// It waits for a person.
    Pending,
    /// Yes; it was committed.
    Approved,
    /// No.
    Denied,
    /// Nobody answered in time: no.
    Expired,
    /// Another one took its place.
    Superseded,
}

impl ApprovalState {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::Superseded => "superseded",
        }
    }

    fn read(text: &str) -> Option<Self> {
        [Self::Pending, Self::Approved, Self::Denied, Self::Expired, Self::Superseded]
            .into_iter()
            .find(|state| state.as_str() == text)
    }

    /// The outcome; none while it waits.
    pub const fn outcome(self) -> Option<ApprovalOutcome> {
        match self {
            Self::Pending => None,
            Self::Approved => Some(ApprovalOutcome::Approved),
            Self::Denied => Some(ApprovalOutcome::Denied),
            Self::Expired => Some(ApprovalOutcome::Expired),
            Self::Superseded => Some(ApprovalOutcome::Superseded),
        }
    }
}

impl From<ApprovalOutcome> for ApprovalState {
    fn from(outcome: ApprovalOutcome) -> Self {
        match outcome {
            ApprovalOutcome::Approved => Self::Approved,
            ApprovalOutcome::Denied => Self::Denied,
            ApprovalOutcome::Expired => Self::Expired,
            ApprovalOutcome::Superseded => Self::Superseded,
        }
    }
}

impl fmt::Display for ApprovalState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A proposal and how it stands with it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Record {
    /// How it stands.
    pub state: ApprovalState,
    /// The proposal, as it was made; after an edit, as it was edited.
    pub proposal: Proposal,
    /// Its envelope: whose cause it has, and in which chain.
    pub envelope: Envelope,
    /// The lowest trust of what led to it.
    pub trust: Trust,
    /// Why a person was asked; none where the policy let it go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked_because: Option<String>,
    /// When it was asked.
    pub created_at: DateTime<Utc>,
    /// When a second surface is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub escalates_at: Option<DateTime<Utc>>,
    /// Whether that has happened.
    pub escalated: bool,
    /// When no answer means no.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
    /// What had changed since the proposal that it replaces.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<Difference>,
    /// Who answered: a person, or the policy's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub surface: Option<String>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<DateTime<Utc>>,
    /// Whether the intents were changed by the person.
    pub edited: bool,
    /// The proposal that took its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub superseded_by: Option<String>,
    /// What a change must expect.
    #[serde(skip)]
    pub expect: Expect,
}

impl Record {
    /// A proposal that nobody has answered.
    pub fn new(proposal: Proposal, envelope: Envelope, now: DateTime<Utc>) -> Self {
        Self {
            state: ApprovalState::Pending,
            trust: envelope.trust,
            proposal,
            envelope,
            asked_because: None,
            created_at: now,
            escalates_at: None,
            escalated: false,
            expires_at: None,
            changed: Vec::new(),
            by: None,
            surface: None,
            reason: None,
            decided_at: None,
            edited: false,
            superseded_by: None,
            expect: Expect::Absent,
        }
    }

    /// The record of an approval; none where there is none.
    ///
    /// # Errors
    /// Where the bus cannot be read, or something else stands under the key.
    pub async fn load(bus: &SharedBus, approval_id: &str) -> Result<Option<Self>, BusError> {
        let Some(key) = super::key(approval_id) else { return Ok(None) };
        match bus.get(&key).await? {
            None => Ok(None),
            Some(State::Hash(document)) => Ok(Self::read(&document)),
            Some(other) => {
                Err(BusError::ForeignType { key: key.to_string(), found: other.type_name().to_owned(), wanted: "hash" })
            }
        }
    }

    /// Reads the document; none where it is not ours.
    pub fn read(document: &Document) -> Option<Self> {
        let text = |field| document.get(field).map(str::to_owned);
        let time = |field| document.get(field).and_then(read_time);
        Some(Self {
            state: ApprovalState::read(document.get("state")?)?,
            proposal: serde_json::from_str(document.get("proposal")?).ok()?,
            envelope: serde_json::from_str(document.get("envelope")?).ok()?,
            trust: serde_json::from_value(document.get("trust")?.into()).ok()?,
            asked_because: text("asked_because"),
            created_at: time("created_at")?,
            escalates_at: time("escalates_at"),
            escalated: document.get("escalated") == Some("true"),
            expires_at: time("expires_at"),
            changed: document.get("changed").and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default(),
            by: text("by"),
            surface: text("surface"),
            reason: text("reason"),
            decided_at: time("decided_at"),
            edited: document.get("edited") == Some("true"),
            superseded_by: text("superseded_by"),
            expect: Expect::Version(document.version),
        })
    }

    /// Writes it, and whether it waits for a person: its place in the set of those that do.
    pub fn ops(&self) -> Vec<Op> {
        let id = &self.proposal.approval_id;
        let Some(key) = super::key(id) else { return Vec::new() };
        let json = |value: serde_json::Result<String>| value.ok();
        let flag = |set: bool| set.then(|| "true".to_owned());
        let changed = (!self.changed.is_empty()).then(|| serde_json::to_string(&self.changed));
        let fields: Vec<(&str, Option<String>)> = vec![
            ("state", Some(self.state.to_string())),
            ("proposal", json(serde_json::to_string(&self.proposal))),
            ("envelope", Some(self.envelope.to_json())),
            ("proposer", Some(self.proposal.proposer.clone())),
            ("title", Some(self.proposal.title.clone())),
            ("class", Some(u8::from(self.proposal.class).to_string())),
            ("digest", Some(self.proposal.digest.clone())),
            ("trust", serde_json::to_value(self.trust).ok().and_then(|trust| trust.as_str().map(str::to_owned))),
            ("asked_because", self.asked_because.clone()),
            ("created_at", Some(rfc3339(self.created_at))),
            ("escalates_at", self.escalates_at.map(rfc3339)),
            ("escalated", flag(self.escalated)),
            ("expires_at", self.expires_at.map(rfc3339)),
            ("changed", changed.and_then(json)),
            ("by", self.by.clone()),
            ("surface", self.surface.clone()),
            ("reason", self.reason.clone()),
            ("decided_at", self.decided_at.map(rfc3339)),
            ("edited", flag(self.edited)),
            ("superseded_by", self.superseded_by.clone()),
        ];
        let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let waits = self.state == ApprovalState::Pending;
        let ttl = if waits { Ttl::Clear } else { Ttl::Set(KEPT) };
        let member = id.clone();
        let place = if waits { StateChange::AddMember(member) } else { StateChange::RemoveMember(member) };
        vec![
            Op::Change { key, expect: self.expect, fields, ttl },
            Op::State { key: crate::bus::Key::new(keys::PENDING_APPROVALS), change: place },
        ]
    }
}

/// The ids of the approvals that wait for a person.
///
/// # Errors
/// Where the bus cannot be read.
pub async fn pending(bus: &SharedBus) -> Result<Vec<String>, BusError> {
    let state = bus.get(&crate::bus::Key::new(keys::PENDING_APPROVALS)).await?;
    Ok(match state {
        Some(State::Set(ids)) => ids.into_iter().collect(),
        _ => Vec::new(),
    })
}
