//! Deadlines: half of one, and a second surface is asked; the whole, and no answer means no.
//!
//! A timer says the proposal again, in the gate's own name; that is the sign to look. Must never let silence be a yes.

use super::proposals::{complete, is_over};
use super::unit::Unit;
use super::{WORDS_LIMIT, Who};
use crate::approvals::{ApprovalState, Record};
use crate::bus::{Draft, Failure};
use crate::contracts::messages::{
    ActionAsked, ActionRequest, ActionType, ApprovalOutcome, FromOrchestrator, Proposals, Severity,
};
use crate::contracts::untrusted::sanitize_line;
use crate::contracts::wiring::{FROM_ORCHESTRATOR, PROPOSALS};
use crate::contracts::{Priority, ShapeError};

/// Sets both timers.
pub(super) fn set(unit: &mut Unit<'_>, record: &Record) -> Result<(), ShapeError> {
    let id = &record.proposal.approval_id;
    let again = || Proposals::Proposal(record.proposal.clone());
    if let Some(at) = record.escalates_at.filter(|_| !record.escalated) {
        unit.say_at(escalation(id), at, PROPOSALS, Draft::new(again()).subject(id.as_str()))?;
    }
    if let Some(at) = record.expires_at {
        unit.say_at(expiry(id), at, PROPOSALS, Draft::new(again()).subject(id.as_str()))?;
    }
    Ok(())
}

/// Takes both timers back.
pub(super) fn cancel(unit: &mut Unit<'_>, approval_id: &str) {
    unit.cancel(escalation(approval_id));
    unit.cancel(expiry(approval_id));
}

fn escalation(approval_id: &str) -> String {
    format!("approval:{approval_id}:escalation")
}

fn expiry(approval_id: &str) -> String {
    format!("approval:{approval_id}:expiry")
}

/// The alert that a proposal has waited for long.
pub(super) fn alert_id(approval_id: &str) -> String {
    format!("approval:{approval_id}:waiting")
}

/// Looks whether a deadline has come.
pub(super) async fn look(unit: &mut Unit<'_>, mut record: Record) -> Result<(), Failure> {
    if record.state != ApprovalState::Pending {
        return Ok(());
    }
    let now = unit.now();
    if is_over(&record, now) {
        return expire(unit, record).await;
    }
    if !record.escalated && record.escalates_at.is_some_and(|at| at <= now) {
        escalate(unit, &record).await?;
        record.escalated = true;
        unit.push(record.ops());
        return Ok(());
    }
    // The holder of the timers is ahead of our clock: look again.
    Ok(set(unit, &record)?)
}

/// Nobody answered in time: no, said aloud.
pub(super) async fn expire(unit: &mut Unit<'_>, record: Record) -> Result<(), Failure> {
    let id = record.proposal.approval_id.clone();
    let title = sanitize_line(&record.proposal.title, WORDS_LIMIT);
    let message = format!("{id} was not answered in time, which means no: {title}");
    complete(unit, record, ApprovalOutcome::Expired, &Who::gate("nobody answered in time")).await?;
    let fix = "if it is still wanted, ask for it again; `fullsend approvals list` shows what waits";
    unit.alert(&format!("approval:{id}:expired"), Severity::Warning, message, fix).await
}

/// Half of the time is over: an alert, and the chat is asked.
async fn escalate(unit: &mut Unit<'_>, record: &Record) -> Result<(), Failure> {
    let proposal = &record.proposal;
    let id = &proposal.approval_id;
    let title = sanitize_line(&proposal.title, WORDS_LIMIT);
    let message = format!("{id} waits for an answer, half of its time is over: {title}");
    let fix = format!("`fullsend approvals show {id}`, then approve or deny it");
    unit.alert(&alert_id(id), Severity::High, message, &fix).await?;
    let asked = ActionRequest {
        payload: ActionAsked {
            id: Some(id.clone()),
            description: title,
            action_type: ActionType::Approval,
            details: proposal.details.clone(),
            assignee: None,
            deadline: record.expires_at,
        },
        priority: Priority::High,
        timestamp: Some(unit.now()),
    };
    unit.say(FROM_ORCHESTRATOR, Draft::new(FromOrchestrator::Action(asked)).subject(id.as_str()))?;
    Ok(())
}
