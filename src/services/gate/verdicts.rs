//! Verdicts: a person's yes or no to a proposal.
//!
//! Owns whether a verdict counts. The first one does, on any surface; a later one is told so. Must never let words from outside count,
//! nor a verdict on something else than what was shown.

use serde_json::json;

use super::proposals::{approve, complete, is_over, object, supersede};
use super::unit::Unit;
use super::{GateOptions, Who, deadlines};
use crate::approvals::{self, ApprovalState, Record, Rule, Targets, facts};
use crate::bus::{Context, Failure, Received};
use crate::contracts::channel::grants;
use crate::contracts::envelope::rfc3339;
use crate::contracts::messages::{
    ApprovalOutcome, ApprovalVerdict, ApprovalVerdicts, Intent, RiskClass, Severity, Verdict,
};
use crate::contracts::untrusted::sanitize_line;
use crate::contracts::{Trust, keys};

/// Handles a verdict.
pub(super) async fn handle<'a>(
    options: GateOptions,
    message: &Received,
    cx: &'a Context<grants::Gate>,
) -> Result<Unit<'a>, Failure> {
    let ApprovalVerdicts::Verdict(verdict) = message.read()?;
    let mut unit = Unit::new(cx.bus(), cx.origin(), message.envelope.id);
    let trust = message.envelope.trust;
    let surface = verdict.surface.as_deref().unwrap_or(&message.envelope.source);
    let mut who = Who::said(verdict.by.as_deref(), surface, verdict.reason.as_deref());
    // Who says it counts for more than what it says of itself.
    who.surface = Some(sanitize_line(&message.envelope.source, super::NAME_LIMIT));
    let id = sanitize_line(&verdict.approval_id, super::NAME_LIMIT);
    if trust == Trust::External {
        let text = format!("a verdict on {id} came from outside and does not count");
        let fix = "answer it on a surface of yours: `fullsend approvals list`";
        unit.alert("gate:verdict-from-outside", Severity::High, text, fix).await?;
        return Ok(unit);
    }
    let Some(record) = Record::load(cx.bus(), &verdict.approval_id).await? else {
        unit.tell(&id, format!("there is no approval {id}"))?;
        return Ok(unit);
    };
    unit.caused_by(&record.envelope);
    if let Some(why) = does_not_count(&record, &verdict, trust) {
        unit.tell(&id, why)?;
        return Ok(unit);
    }
    if is_over(&record, unit.now()) {
        deadlines::expire(&mut unit, record).await?;
        unit.tell(&id, format!("{id}: the answer came after its deadline, and does not count"))?;
        return Ok(unit);
    }
    match verdict.verdict {
        Verdict::Deny => complete(&mut unit, record, ApprovalOutcome::Denied, &who).await?,
        Verdict::Approve => yes(options, &mut unit, record, verdict, trust, &who).await?,
    }
    Ok(unit)
}

/// Why a verdict does not count, in words for whoever gave it.
fn does_not_count(record: &Record, verdict: &ApprovalVerdict, trust: Trust) -> Option<String> {
    let id = &record.proposal.approval_id;
    if record.state != ApprovalState::Pending {
        let by = record.by.as_deref().unwrap_or("somebody");
        let at = record.decided_at.map(rfc3339).unwrap_or_default();
        let next = record.superseded_by.as_ref().map(|next| format!("; {next} is asked instead")).unwrap_or_default();
        return Some(format!("{id} is {} already, by {by} at {at}{next}. Your answer came later", record.state));
    }
    let outward = record.proposal.class == RiskClass::Outward;
    match &verdict.digest {
        Some(digest) if *digest != record.proposal.digest => {
            Some(format!("{id}: what you were shown is not what waits now; look at it again"))
        }
        None if outward => Some(format!("{id} is of class 3: an answer must say what was shown (`digest`)")),
        _ if outward && trust < Trust::Operator => Some(format!("{id} is of class 3: only the operator can answer it")),
        _ => None,
    }
}

/// A yes: to what was shown, or to what the person made of it.
async fn yes(
    options: GateOptions,
    unit: &mut Unit<'_>,
    mut record: Record,
    verdict: ApprovalVerdict,
    trust: Trust,
    who: &Who,
) -> Result<(), Failure> {
    let changed = approvals::differences(unit.bus(), &record.proposal.facts).await?;
    if !changed.is_empty() {
        let now = facts::updated(&record.proposal.facts, &changed);
        let intents = verdict.edited.unwrap_or_else(|| record.proposal.intents.clone());
        if let Err(bad) = approvals::check(&record.proposal.proposer, &intents) {
            return Ok(unit.tell(&record.proposal.approval_id, format!("the edit cannot be done: {bad}"))?);
        }
        let why = "what it rested on changed before the yes; look at it again";
        return supersede(options, unit, record, intents, now, changed, why).await;
    }
    if let Some(intents) = verdict.edited.filter(|edited| *edited != record.proposal.intents) {
        let id = record.proposal.approval_id.clone();
        if let Err(bad) = approvals::check(&record.proposal.proposer, &intents) {
            return Ok(unit.tell(&id, format!("{id} still waits: the edit cannot be done: {bad}"))?);
        }
        let facts = facts_of(unit, &record, &intents).await?;
        let targets = Targets::look(unit.bus(), &intents).await?;
        let class = approvals::classify(&intents, &facts, record.trust, &targets);
        if class > record.proposal.class {
            let why = format!("the edit raises it from class {} to {}", number(record.proposal.class), number(class));
            return supersede(options, unit, record, intents, facts, Vec::new(), &why).await;
        }
        record.proposal.digest = approvals::digest_of(&intents, &facts);
        record.proposal.intents = intents;
        record.proposal.facts = facts;
        record.edited = true;
    }
    // What a person confirmed is as good as said by him.
    let confirmed = record.trust.max(trust.min(Trust::Operator));
    let committed = approve(options, unit, record.clone(), confirmed, who).await?;
    if committed && verdict.always {
        allow_always(unit, &record, verdict.until, verdict.per_day, trust, who).await?;
    }
    Ok(())
}

fn number(class: RiskClass) -> u8 {
    class.into()
}

/// The facts of an edited proposal: those that it had, and the states of experiments that it did not step before.
async fn facts_of(
    unit: &Unit<'_>,
    record: &Record,
    intents: &[Intent],
) -> Result<Vec<crate::contracts::messages::Fact>, Failure> {
    let mut facts = record.proposal.facts.clone();
    for intent in intents {
        let Intent::Step { experiment_id, .. } = intent else { continue };
        let Ok(key) = keys::experiment(experiment_id) else { continue };
        if !facts.iter().any(|fact| fact.key == key && fact.field.as_deref() == Some("state")) {
            facts.push(approvals::fact(unit.bus(), &key, Some("state")).await?);
        }
    }
    Ok(facts)
}

/// Makes the rule by which the same kind of thing goes without asking from now on.
async fn allow_always(
    unit: &mut Unit<'_>,
    record: &Record,
    until: Option<chrono::DateTime<chrono::Utc>>,
    per_day: Option<u64>,
    trust: Trust,
    who: &Who,
) -> Result<(), Failure> {
    let proposal = &record.proposal;
    let id = &proposal.approval_id;
    if trust < Trust::Operator {
        return Ok(unit.tell(id, format!("{id}: only the operator makes rules; this one yes counts"))?);
    }
    let is_past = until.is_some_and(|until| until <= unit.now());
    if is_past || proposal.class == RiskClass::Outward && until.is_none() {
        let why = "a rule for class 3 needs an end that is still to come; this one yes counts";
        return Ok(unit.tell(id, format!("{id}: {why}"))?);
    }
    let kind = approvals::kind_of(&proposal.proposer, &proposal.intents);
    let rule = Rule::allowing(kind, proposal.class, record.trust, per_day, until, &who.by, unit.now());
    let details = json!({ "rule": rule, "approval_id": id });
    unit.push([rule.set()]);
    unit.audit("policy_changed", &rule.id, who, object(details)).await
}
