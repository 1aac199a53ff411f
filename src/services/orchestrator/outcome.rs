//! What came of proposals: a yes is told to whoever asked; a no with a reason is decided again.
//!
//! Owns the second round. Must never decide a third time: then a person has said no twice, and that is the answer.

use color_eyre::eyre::eyre;

use super::record::{self, Record, Stage};
use super::subject::{Subject, report};
use super::{Orchestrator, Said, Turn, answer, by_rules, input, terminal};
use crate::bus::{BusError, Context, Effects, Expect, Received, Ttl};
use crate::contracts::channel::grants;
use crate::contracts::messages::{ApprovalCompleted, ApprovalOutcome, ExperimentResults, ToOrchestrator};
use crate::contracts::{Body, Priority, ServiceName};
use crate::llm::NoAnswer;
use crate::llm::tasks::decide::Denied;
use crate::services::wording::line;

/// Rounds of a message that is refused.
const ROUNDS: u32 = 2;

impl Orchestrator {
    /// A proposal of ours has its answer.
    pub(super) async fn answered(
        &self,
        done: &ApprovalCompleted,
        message: &Received,
        cx: &Context<grants::Orchestrator>,
    ) -> Said {
        if done.proposer != ServiceName::Orchestrator.as_str() {
            return Ok(cx.effects());
        }
        let Some((record, version)) = waiting(done, cx).await? else {
            return Ok(cx.effects());
        };
        let (stage, outcome) = outcome(done);
        let mut effects = cx.effects();
        let fields = vec![
            ("state".to_owned(), Some(stage.as_str().to_owned())),
            ("outcome".to_owned(), Some(outcome.clone())),
            ("approval_id".to_owned(), done.superseded_by.clone().or_else(|| record.approval_id.clone())),
        ];
        effects.change(record::key(&record.id).map_err(terminal)?, Expect::Version(version), fields, Ttl::Keep);
        // What the policy allows was told when it was proposed.
        let by_a_person = done.surface.as_deref().is_some_and(|surface| surface != "policy");
        if let Some(asker) = record.asker.as_ref().filter(|_| by_a_person || done.outcome != ApprovalOutcome::Approved)
        {
            let what =
                record.payload.title.as_deref().map(|title| format!("{}: ", line(title, 120))).unwrap_or_default();
            answer(&mut effects, asker, &format!("{what}{outcome}"), Priority::Medium)?;
        }
        match &done.reason {
            Some(reason)
                if done.outcome == ApprovalOutcome::Denied && done.surface.is_some() && record.round < ROUNDS =>
            {
                self.again(&record, reason, effects, message, cx).await
            }
            _ => Ok(effects),
        }
    }

    /// Decides a refused message again, knowing why it was refused.
    async fn again(
        &self,
        former: &Record,
        reason: &str,
        mut effects: Effects<grants::Orchestrator>,
        message: &Received,
        cx: &Context<grants::Orchestrator>,
    ) -> Said {
        let round = former.round + 1;
        let body = serde_json::to_string(&former.message).unwrap_or_default();
        let Some(subject) = Subject::of_record(former, &body, round) else {
            return Ok(effects);
        };
        let team = self.memory.load(cx.bus()).await?;
        let denied = Denied { action: former.action, reason: line(reason, 1_000) };
        let input = input(&subject, &team, Some(denied));
        let answered = match self.ask(&input, message, cx).await {
            Ok(answered) => answered,
            Err(NoAnswer::Stopped) => return Err(eyre!("the orchestrator was stopped while it thought").into()),
            Err(err) => by_rules(&input, format!("no model answered: {err}")),
        };
        let turn = Turn { message, cx, team: &team, expect: Expect::Absent, round };
        effects.join(self.carry_out(&subject, answered, turn).await?);
        Ok(effects)
    }
}

/// The record that waits for this answer.
async fn waiting(
    done: &ApprovalCompleted,
    cx: &Context<grants::Orchestrator>,
) -> Result<Option<(Record, u64)>, BusError> {
    let approval = crate::approvals::Record::load(cx.bus(), &done.approval_id).await?;
    let Some(id) = approval.as_ref().and_then(|approval| approval.proposal.details.get("decision")?.as_str()) else {
        return Ok(None);
    };
    let found = record::get(cx.bus(), id).await?;
    Ok(found.filter(|(record, _)| {
        record.approval_id.as_deref() == Some(done.approval_id.as_str()) && record.stage == Stage::Proposed
    }))
}

fn outcome(done: &ApprovalCompleted) -> (Stage, String) {
    let by = line(&done.by, 60);
    let why = done.reason.as_deref().map(|reason| format!(": {}", line(reason, 300))).unwrap_or_default();
    match done.outcome {
        ApprovalOutcome::Approved => (Stage::Done, format!("Approved by {by}{why}")),
        ApprovalOutcome::Denied => (Stage::Denied, format!("Refused by {by}{why}")),
        ApprovalOutcome::Expired => (Stage::Denied, "Nobody answered in time, so it is a no.".to_owned()),
        ApprovalOutcome::Superseded => match &done.superseded_by {
            Some(_) => (Stage::Proposed, "What it rested on has changed; it is proposed anew.".to_owned()),
            None => (Stage::Superseded, format!("What it rested on has changed{why}")),
        },
    }
}

impl Subject {
    /// What a record was about, for another round: its words are trusted no more than before.
    fn of_record(record: &Record, body: &str, round: u32) -> Option<Self> {
        let again = ToOrchestrator::read(body).ok().or_else(|| ExperimentResults::read(body).ok().map(report))?;
        let first = record
            .id
            .rsplit_once('.')
            .filter(|(_, n)| n.parse::<u32>().is_ok())
            .map_or(record.id.as_str(), |(id, _)| id);
        Some(Self {
            id: format!("{first}.{round}"),
            kind: record.kind.clone(),
            body: record.message.clone(),
            trust: record.trust,
            asker: record.asker.clone(),
            experiment_id: record.experiment_id.clone(),
            by_code: None,
            again,
        })
    }
}
