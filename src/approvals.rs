//! Approvals: how much harm something can do, what needs a yes, and what came of it.
//!
//! Owns the risk classes, the policy, how a proposal is made, the documents `approvals:{id}` and `policy:{rule}`. Everything here
//! is computed by code from what is to be done, to what, and how far its cause can be trusted; a model's opinion is not asked. Must
//! never do what a proposal holds: `services::gate` does.

pub mod facts;
pub mod policy;
pub mod record;
pub mod risk;
#[cfg(test)]
mod tests;

use serde::Serialize;
use serde_json::{Map, Value};
use thiserror::Error;

pub use facts::{Difference, differences, fact};
pub use policy::{Answer, Rule};
pub use record::{ApprovalState, Record};
pub use risk::{Targets, classify};

use crate::bus::{BusError, Key, SharedBus};
use crate::contracts::canonical::digest;
use crate::contracts::keys;
use crate::contracts::messages::{Fact, Intent, Proposal};
use crate::contracts::{ChannelName, ServiceName, Trust};

/// Characters of an id's hash: 64 bits, and short enough to be typed.
const ID_LENGTH: usize = 16;

/// Something that a service wants to happen.
///
/// The same intents are the same proposal: put nothing into them that changes by itself (no time of composing).
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Who wants it, and whose grants apply.
    pub proposer: ServiceName,
    /// What, in a line.
    pub title: String,
    /// Why.
    pub reason: String,
    /// What is to happen, in order.
    pub intents: Vec<Intent>,
    /// What it rests on (see [`fact`]). The states of experiments that take a step are added.
    pub facts: Vec<Fact>,
    /// What a person should see: recipients, samples, limits, differences.
    pub details: Map<String, Value>,
    /// What it will cost at most, in dollars.
    pub cost_usd: Option<f64>,
    /// The lowest trust of what led to it.
    pub trust: Trust,
}

/// Why something cannot even be proposed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BadIntent {
    /// Nothing is to happen.
    #[error("a proposal without intents: nothing would happen on a yes")]
    Nothing,
    /// The proposer may not say this.
    #[error("the wiring table does not let `{proposer}` speak on {channel}")]
    NotGranted {
        /// Who wants to.
        proposer: String,
        /// Where.
        channel: ChannelName,
    },
    /// A message that its channel does not carry.
    #[error("what is to be said does not fit {channel}: {reason}")]
    Misfit {
        /// Where.
        channel: ChannelName,
        /// What is wrong with it.
        reason: String,
    },
    /// A key that no proposal may set.
    #[error("`{key}` cannot be set by a proposal: {reason}")]
    Key {
        /// The key, harmless.
        key: String,
        /// Why not.
        reason: &'static str,
    },
}

/// Why a proposal could not be made.
#[derive(Debug, Error)]
pub enum ProposeError {
    /// What is wanted is wrong.
    #[error(transparent)]
    Bad(#[from] BadIntent),
    /// What it is about could not be read.
    #[error(transparent)]
    Bus(#[from] BusError),
}

/// The proposal for what is wanted, with its class, its id and its digest, as things stand now.
///
/// # Errors
/// Where an intent can never be done, or the bus cannot be read.
pub async fn propose(bus: &SharedBus, wanted: Wanted) -> Result<Proposal, ProposeError> {
    check(wanted.proposer.as_str(), &wanted.intents)?;
    let targets = Targets::look(bus, &wanted.intents).await?;
    Ok(compose(wanted, &targets))
}

/// The proposal for what is wanted, where the targets are known already and the intents were checked.
pub fn compose(wanted: Wanted, targets: &Targets) -> Proposal {
    let mut facts = wanted.facts;
    for (key, state) in targets.states_of(&wanted.intents) {
        if !facts.iter().any(|fact| fact.key == key && fact.field.as_deref() == Some("state")) {
            facts.push(Fact { key, field: Some("state".to_owned()), was: state });
        }
    }
    let class = classify(&wanted.intents, &facts, wanted.trust, targets);
    Proposal {
        approval_id: id_of(wanted.proposer.as_str(), &wanted.intents, None),
        proposer: wanted.proposer.as_str().to_owned(),
        title: wanted.title,
        reason: wanted.reason,
        class,
        digest: digest_of(&wanted.intents, &facts),
        intents: wanted.intents,
        facts,
        details: wanted.details,
        cost_usd: wanted.cost_usd,
        supersedes: None,
        expires_at: None,
    }
}

/// Names a proposal: the same for the same action with the same arguments; another one where it replaces an earlier proposal.
pub fn id_of(proposer: &str, intents: &[Intent], supersedes: Option<&str>) -> String {
    #[derive(Serialize)]
    struct Named<'a> {
        proposer: &'a str,
        intents: &'a [Intent],
        #[serde(skip_serializing_if = "Option::is_none")]
        supersedes: Option<&'a str>,
    }
    let hash = digest(&Named { proposer, intents, supersedes });
    format!("apr_{}", &hash[..ID_LENGTH])
}

/// What a verdict refers to: what is to happen, and what that rests on.
pub fn digest_of(intents: &[Intent], facts: &[Fact]) -> String {
    #[derive(Serialize)]
    struct Shown<'a> {
        intents: &'a [Intent],
        facts: &'a [Fact],
    }
    format!("sha256:{}", digest(&Shown { intents, facts }))
}

/// What kind of thing it is, for a rule of the operator: who wants it, and what the intents do, without their arguments.
/// `orchestrator: note worklist, say to_fullsend/experiment_request`.
pub fn kind_of(proposer: &str, intents: &[Intent]) -> String {
    let mut kinds: Vec<String> = intents
        .iter()
        .map(|intent| match intent {
            Intent::Say { channel, body, .. } => {
                let kind = body_text(body).and_then(|body| channel.check(&body).ok()).unwrap_or("unknown");
                format!("say {}/{kind}", channel.short())
            }
            Intent::Set { key, .. } => {
                format!("set {}", keys::family_of(key).map_or("unknown", |family| family.pattern))
            }
            Intent::Note { name, .. } => format!("note {name}"),
            Intent::Step { event, .. } => format!("step {event}"),
        })
        .collect();
    kinds.sort_unstable();
    kinds.dedup();
    format!("{proposer}: {}", kinds.join(", "))
}

/// Whether each intent could be done at all: granted to its proposer, fit for its channel, on a key that a proposal may set.
///
/// # Errors
/// The first one that could not.
pub fn check(proposer: &str, intents: &[Intent]) -> Result<(), BadIntent> {
    if intents.is_empty() {
        return Err(BadIntent::Nothing);
    }
    intents.iter().try_for_each(|intent| match intent {
        Intent::Say { channel, body, .. } => check_said(proposer, *channel, body),
        Intent::Set { key, fields } => check_set(key, fields.keys().map(String::as_str)),
        Intent::Step { experiment_id, .. } => match keys::experiment(experiment_id) {
            Ok(_) if experiment_id.contains(':') => Err(bad_key(experiment_id, "an experiment's id has no `:`")),
            Ok(_) => Ok(()),
            Err(bad) => Err(bad_key(experiment_id, bad.reason)),
        },
        Intent::Note { .. } => Ok(()),
    })
}

fn check_said(proposer: &str, channel: ChannelName, body: &Map<String, Value>) -> Result<(), BadIntent> {
    // An order from outside is proposed by the gate, whose own channel this is.
    let own = proposer == ServiceName::Gate.as_str() && channel == ChannelName::Control;
    let granted = own || channel.route().publishers.iter().any(|service| service.as_str() == proposer);
    // What the gate lives by is never said through it.
    let ours = matches!(
        channel,
        ChannelName::Proposals | ChannelName::Approvals | ChannelName::ApprovalVerdicts | ChannelName::Audit
    );
    if !granted || ours {
        let proposer = crate::contracts::untrusted::sanitize_line(proposer, 60);
        return Err(BadIntent::NotGranted { proposer, channel });
    }
    let misfit = |reason: String| BadIntent::Misfit { channel, reason };
    if body.contains_key("meta") {
        return Err(misfit("it has a key `meta`, where its envelope travels".to_owned()));
    }
    let text = body_text(body).ok_or_else(|| misfit("it is no JSON".to_owned()))?;
    if text.len() > crate::contracts::body::BODY_LIMIT {
        return Err(misfit(crate::contracts::ShapeError::TooLarge(text.len()).to_string()));
    }
    channel.check(&text).map(|_| ()).map_err(|err| misfit(err.to_string()))
}

/// A body as its channel carries it.
pub fn body_text(body: &Map<String, Value>) -> Option<String> {
    serde_json::to_string(body).ok()
}

fn bad_key(key: &str, reason: &'static str) -> BadIntent {
    BadIntent::Key { key: crate::contracts::untrusted::sanitize_line(key, 80), reason }
}

/// The families whose documents a proposal may set. All others change by what is made for them.
const SETTABLE: &[&str] = &[
    "experiments:{id}",
    "schedules:{id}",
    "metrics_specs:{id}",
    "tools:{name}",
    "tool_requests:{id}",
    "learnings:tactical:{id}",
    "decisions:{id}",
    "actions:{id}",
    "budgets:{scope}",
];

fn check_set<'a>(key: &str, mut fields: impl Iterator<Item = &'a str>) -> Result<(), BadIntent> {
    let id = key.split_once(':').map_or("", |(_, id)| id);
    if let Err(bad) = keys::check_id(id) {
        return Err(bad_key(key, bad.reason));
    }
    let family = keys::family_of(key).map_or("", |family| family.pattern);
    if !SETTABLE.contains(&family) {
        return Err(bad_key(key, "it is none of the documents that proposals change"));
    }
    if fields.any(|field| field == "version" || family == "experiments:{id}" && matches!(field, "state" | "status")) {
        return Err(bad_key(key, "its state changes by a step of the lifecycle, its version by itself"));
    }
    Ok(())
}

/// The key of an approval's document.
pub fn key(approval_id: &str) -> Option<Key> {
    keys::approval(approval_id).ok().map(Key::new)
}
