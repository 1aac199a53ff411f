//! Intents, done: what was approved becomes changes and messages, in its proposer's name.
//!
//! Must never do more than the intents say, nor say anything that the wiring table does not grant the proposer
//! ([`approvals::check`] comes first).

use std::borrow::Cow;

use super::unit::Unit;
use super::{Undone, Who, orders, steps};
use crate::approvals;
use crate::bus::Outgoing;
use crate::contracts::messages::{Control, Intent, Proposal};
use crate::contracts::{Body, ChannelName, Trust};

/// Does all of them, or says why it cannot.
pub(super) async fn perform(unit: &mut Unit<'_>, proposal: &Proposal, trust: Trust, who: &Who) -> Result<(), Undone> {
    approvals::check(&proposal.proposer, &proposal.intents).map_err(|bad| Undone::Impossible(bad.to_string()))?;
    for intent in &proposal.intents {
        match intent {
            // An order is the gate's own to carry out, and there is nobody to tell it to but itself.
            Intent::Say { channel: ChannelName::Control, body, .. } => {
                let text = approvals::body_text(body).unwrap_or_default();
                orders::carry_out(unit, &Control::read(&text)?, who).await?;
            }
            Intent::Say { channel, body, priority, subject } => {
                let text = approvals::body_text(body).unwrap_or_default();
                let kind = channel.check(&text)?;
                let mut envelope = unit.origin().envelope(kind, Cow::Owned(proposal.proposer.clone()));
                envelope.priority = *priority;
                envelope.trust = trust;
                if subject.is_some() {
                    envelope.subject.clone_from(subject);
                }
                unit.say_composed(Outgoing::new(*channel, envelope, text)?);
            }
            Intent::Set { key, fields } => {
                let fields: Vec<_> = fields.iter().map(|(name, text)| (name.as_str(), Some(text.clone()))).collect();
                unit.set(key, fields).await?;
            }
            Intent::Note { name, change } => unit.note(*name, change.clone()),
            Intent::Step { experiment_id, event } => {
                steps::step(unit, experiment_id, *event, who).await?;
            }
        }
    }
    Ok(unit.write_notes(&proposal.proposer).await?)
}
