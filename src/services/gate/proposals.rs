//! Proposals: what goes by policy, what waits for a person, and what comes of it.
//!
//! Owns the way of a proposal from its first sight to its outcome. The same proposal is asked once; one that nobody was asked about
//! yet, or that a chain proposes again, is answered from its document. Must never commit what rests on facts that changed.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, json};

use super::unit::Unit;
use super::{GateOptions, Undone, WORDS_LIMIT, Who, deadlines, intents};
use crate::approvals::{self, Answer, ApprovalState, Difference, Record, Targets, policy};
use crate::bus::{Context, Draft, Failure, Op, Received};
use crate::contracts::channel::grants;
use crate::contracts::messages::{
    ApprovalCompleted, ApprovalCreated, ApprovalOutcome, Approvals, Fact, Intent, Proposal, Proposals, Severity,
};
use crate::contracts::notes::NoteChange;
use crate::contracts::untrusted::sanitize_line;
use crate::contracts::wiring::APPROVALS;
use crate::contracts::{Envelope, ServiceName, Trust};
use crate::memory::MergeConflict;

/// Handles a proposal.
pub(super) async fn handle<'a>(
    options: GateOptions,
    message: &Received,
    cx: &'a Context<grants::Gate>,
) -> Result<Unit<'a>, Failure> {
    let Proposals::Proposal(proposal) = message.read()?;
    let mut unit = Unit::new(cx.bus(), cx.origin(), message.envelope.id);
    let source = &message.envelope.source;
    if *source == ServiceName::Gate.as_str() {
        // Its own timers: look at the deadlines.
        if let Some(record) = Record::load(cx.bus(), &proposal.approval_id).await? {
            unit.caused_by(&record.envelope);
            deadlines::look(&mut unit, record).await?;
        }
        return Ok(unit);
    }
    if let Some(why) = refusal(&proposal, source) {
        refuse(&mut unit, &proposal, source, &why).await?;
        return Ok(unit);
    }
    consider(options, &mut unit, proposal, message.envelope.clone()).await?;
    Ok(unit)
}

/// Why something is no proposal that could be answered.
fn refusal(proposal: &Proposal, source: &str) -> Option<String> {
    if proposal.proposer != source {
        return Some(format!("`{}` proposes in the name of `{}`", name(source), name(&proposal.proposer)));
    }
    if let Err(bad) = approvals::check(&proposal.proposer, &proposal.intents) {
        return Some(bad.to_string());
    }
    let id = approvals::id_of(&proposal.proposer, &proposal.intents, proposal.supersedes.as_deref());
    let digest = approvals::digest_of(&proposal.intents, &proposal.facts);
    (id != proposal.approval_id || digest != proposal.digest)
        .then(|| "its id or its digest is not that of what it holds".to_owned())
}

fn name(text: &str) -> String {
    sanitize_line(text, super::NAME_LIMIT)
}

/// Says no to something that is no proposal; nobody is asked.
async fn refuse(unit: &mut Unit<'_>, proposal: &Proposal, source: &str, why: &str) -> Result<(), Failure> {
    let why = sanitize_line(why, WORDS_LIMIT);
    let id = name(&proposal.approval_id);
    let message = format!("a proposal of `{}` was refused: {why}", name(source));
    unit.alert("gate:refused-proposal", Severity::High, message, "find out what said it; nothing was done").await?;
    let details =
        json!({ "title": sanitize_line(&proposal.title, WORDS_LIMIT), "refused": why, "source": name(source) });
    unit.audit("denied", &id, &Who::gate(why.clone()), object(details)).await
}

pub(super) fn object(value: serde_json::Value) -> Map<String, serde_json::Value> {
    if let serde_json::Value::Object(fields) = value { fields } else { Map::new() }
}

/// Answers a sound proposal: by its document, by policy, or by asking.
pub(super) async fn consider(
    options: GateOptions,
    unit: &mut Unit<'_>,
    mut proposal: Proposal,
    envelope: Envelope,
) -> Result<(), Failure> {
    let targets = Targets::look(unit.bus(), &proposal.intents).await?;
    let computed = approvals::classify(&proposal.intents, &proposal.facts, envelope.trust, &targets);
    proposal.class = proposal.class.max(computed);
    let existing = Record::load(unit.bus(), &proposal.approval_id).await?;
    let changed = approvals::differences(unit.bus(), &proposal.facts).await?;
    let mut record = Record::new(proposal, envelope, unit.now());
    if let Some(existing) = existing {
        match existing.state {
            ApprovalState::Pending if existing.proposal.digest == record.proposal.digest => return Ok(()),
            ApprovalState::Pending => {
                let facts = now_holding(&record.proposal.facts, &changed);
                let differs = differing(&existing.proposal.facts, &facts);
                let (intents, why) = (record.proposal.intents, "what it rests on has changed since it was asked");
                return supersede(options, unit, existing, intents, facts, differs, why).await;
            }
            // The same chain wants the same again: it has its answer.
            _ if existing.envelope.trace == record.envelope.trace => return say_outcome(unit, &existing),
            _ => record.expect = existing.expect,
        }
    }
    if !changed.is_empty() {
        record.proposal.facts = now_holding(&record.proposal.facts, &changed);
        record.proposal.digest = approvals::digest_of(&record.proposal.intents, &record.proposal.facts);
        record.changed = changed;
        return ask(options, unit, record, "what it rests on changed before anybody saw it");
    }
    let (trust, now) = (record.trust, unit.now());
    let mode = super::mode::counting(unit.bus(), options.mode).await?;
    match policy::answer(unit.bus(), mode, options.limits, &record.proposal, trust, now).await? {
        Answer::Goes { policy, counts } => {
            let committed = approve(options, unit, record, trust, &Who::policy(policy)).await?;
            if let Some((key, most)) = counts.filter(|_| committed) {
                let ceiling = i64::try_from(most).ok();
                unit.push([Op::Add { key, field: policy::counter(now), n: 1, ceiling }]);
            }
            Ok(())
        }
        Answer::Asks(why) => ask(options, unit, record, &why),
    }
}

fn now_holding(facts: &[Fact], changed: &[Difference]) -> Vec<Fact> {
    approvals::facts::updated(facts, changed)
}

/// What differs between the facts of two proposals for the same.
fn differing(before: &[Fact], now: &[Fact]) -> Vec<Difference> {
    let changed = now.iter().filter_map(|fact| {
        let was = before.iter().find(|was| was.key == fact.key && was.field == fact.field).map(|was| was.was.clone());
        (was.as_ref() != Some(&fact.was)).then(|| Difference {
            key: fact.key.clone(),
            field: fact.field.clone(),
            was: was.flatten(),
            now: fact.was.clone(),
        })
    });
    changed.collect()
}

/// Puts a proposal before a person, with its deadlines.
pub(super) fn ask(options: GateOptions, unit: &mut Unit<'_>, mut record: Record, because: &str) -> Result<(), Failure> {
    let now = unit.now();
    let allowed = now + length(options.deadline_of(record.proposal.class));
    let expires_at = record.proposal.expires_at.map_or(allowed, |wanted| wanted.min(allowed));
    record.expires_at = Some(expires_at);
    record.escalates_at = Some(now + (expires_at - now) / 2);
    record.asked_because = Some(because.to_owned());
    record.created_at = now;
    let created = ApprovalCreated {
        approval_id: record.proposal.approval_id.clone(),
        proposer: record.proposal.proposer.clone(),
        title: record.proposal.title.clone(),
        reason: record.proposal.reason.clone(),
        class: record.proposal.class,
        trust: record.trust,
        digest: record.proposal.digest.clone(),
        details: record.proposal.details.clone(),
        cost_usd: record.proposal.cost_usd,
        escalates_at: record.escalates_at,
        expires_at: record.expires_at,
    };
    let subject = record.proposal.approval_id.clone();
    unit.say(APPROVALS, Draft::new(Approvals::Created(created)).subject(subject))?;
    deadlines::set(unit, &record)?;
    unit.push(record.ops());
    Ok(())
}

fn length(of: Duration) -> TimeDelta {
    TimeDelta::from_std(of).unwrap_or(TimeDelta::MAX)
}

/// Commits a proposal: its intents, its document, its outcome and its record. Where it can no longer be done, it is denied.
/// Says whether it was committed.
pub(super) async fn approve(
    options: GateOptions,
    unit: &mut Unit<'_>,
    record: Record,
    trust: Trust,
    who: &Who,
) -> Result<bool, Failure> {
    let before = unit.clone();
    match intents::perform(unit, &record.proposal, trust, who).await {
        Ok(()) => {
            complete(unit, record, ApprovalOutcome::Approved, who).await?;
            Ok(true)
        }
        Err(Undone::Failed(failure)) => Err(failure),
        Err(Undone::Conflict(conflict)) => {
            *unit = before;
            let intents = settled(&record.proposal.intents, &conflict);
            let facts = record.proposal.facts.clone();
            let why = format!("{conflict}. A yes writes the proposed words in those places, an edit other ones");
            supersede(options, unit, record, intents, facts, Vec::new(), &why).await?;
            Ok(false)
        }
        Err(Undone::Impossible(why)) => {
            // What was composed before it turned out to be impossible must not happen.
            *unit = before;
            let why = sanitize_line(&format!("it can no longer be done: {why}"), WORDS_LIMIT);
            complete(unit, record, ApprovalOutcome::Denied, &Who::gate(why)).await?;
            Ok(false)
        }
    }
}

/// The intents with a rewrite that holds what the note is now, but for the places that both changed.
fn settled(intents: &[Intent], conflict: &MergeConflict) -> Vec<Intent> {
    let settle = |intent: &Intent| match intent {
        Intent::Note { name, change: NoteChange::Rewrite { .. } } if *name == conflict.name => Intent::Note {
            name: *name,
            change: NoteChange::Rewrite { text: conflict.with_theirs(), base: conflict.version },
        },
        other => other.clone(),
    };
    intents.iter().map(settle).collect()
}

/// Gives a proposal its outcome.
pub(super) async fn complete(
    unit: &mut Unit<'_>,
    mut record: Record,
    outcome: ApprovalOutcome,
    who: &Who,
) -> Result<(), Failure> {
    let id = record.proposal.approval_id.clone();
    if record.state == ApprovalState::Pending && record.expires_at.is_some() {
        deadlines::cancel(unit, &id);
    }
    record.state = outcome.into();
    record.by = Some(who.by.clone());
    record.surface.clone_from(&who.surface);
    record.reason.clone_from(&who.reason);
    record.decided_at = Some(unit.now());
    unit.push(record.ops());
    say_outcome(unit, &record)?;
    if record.escalated {
        unit.resolve(&deadlines::alert_id(&id), who, record.state.as_str()).await?;
    }
    let details = json!({
        "title": sanitize_line(&record.proposal.title, WORDS_LIMIT),
        "proposer": record.proposal.proposer,
        "class": record.proposal.class,
        "digest": record.proposal.digest,
        "trust": record.trust,
        "edited": record.edited,
        "superseded_by": record.superseded_by,
        "trace": record.envelope.trace,
    });
    unit.audit(record.state.as_str(), &id, who, object(details)).await
}

/// Says what came of a proposal.
fn say_outcome(unit: &mut Unit<'_>, record: &Record) -> Result<(), Failure> {
    let Some(outcome) = record.state.outcome() else { return Ok(()) };
    let completed = ApprovalCompleted {
        approval_id: record.proposal.approval_id.clone(),
        proposer: record.proposal.proposer.clone(),
        outcome,
        by: record.by.clone().unwrap_or_default(),
        surface: record.surface.clone(),
        reason: record.reason.clone(),
        edited: record.edited,
        superseded_by: record.superseded_by.clone(),
        digest: Some(record.proposal.digest.clone()),
        at: record.decided_at,
    };
    let subject = record.proposal.approval_id.clone();
    Ok(unit.say(APPROVALS, Draft::new(Approvals::Completed(completed)).subject(subject))?)
}

/// Puts another proposal in the place of one that waits: with what it rests on as it is now, or with changed intents.
pub(super) async fn supersede(
    options: GateOptions,
    unit: &mut Unit<'_>,
    mut old: Record,
    intents: Vec<Intent>,
    facts: Vec<Fact>,
    changed: Vec<Difference>,
    because: &str,
) -> Result<(), Failure> {
    let former = old.proposal.approval_id.clone();
    let id = approvals::id_of(&old.proposal.proposer, &intents, Some(&former));
    let targets = Targets::look(unit.bus(), &intents).await?;
    let class = approvals::classify(&intents, &facts, old.trust, &targets);
    let proposal = Proposal {
        approval_id: id.clone(),
        class,
        digest: approvals::digest_of(&intents, &facts),
        intents,
        facts,
        supersedes: Some(former),
        expires_at: None,
        ..old.proposal.clone()
    };
    let mut new = Record::new(proposal, old.envelope.clone(), unit.now());
    new.trust = old.trust;
    new.changed = changed;
    // The same change, for the second time.
    if let Some(earlier) = Record::load(unit.bus(), &id).await? {
        new.expect = earlier.expect;
    }
    old.superseded_by = Some(id);
    complete(unit, old, ApprovalOutcome::Superseded, &Who::gate(because)).await?;
    ask(options, unit, new, because)
}

/// Whether a record's time is over.
pub(super) fn is_over(record: &Record, now: DateTime<Utc>) -> bool {
    record.expires_at.is_some_and(|at| at <= now)
}
