//! The orchestrator: decides what the team does about what it hears, and answers for it.
//!
//! Owns decisions: each message is decided upon once, with what the team knows at that moment, and recorded with its reasons, what it
//! cost and what came of it. Answers to people it gives itself; everything else it proposes to the gate. Must never lose a message to
//! a provider's failure, never name what does not exist, and never act on a decision that was refused.

mod intents;
mod outcome;
pub mod record;
mod subject;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use color_eyre::eyre::eyre;
use serde_json::{Map, Value};

use super::wording::{line, outgoing};
use crate::approvals::{self, ProposeError, Wanted};
use crate::bus::{Context, Draft, Effects, Expect, Failure, Handler, Received, Ttl};
use crate::contracts::channel::grants;
use crate::contracts::messages::{
    Approvals, ErrorNotice, ExperimentResults, FromOrchestrator, Intent, OrchestratorResponse, Proposals,
    ToOrchestrator, Words,
};
use crate::contracts::notes::NoteName;
use crate::contracts::wiring::{FROM_ORCHESTRATOR, PROPOSALS, TO_ORCHESTRATOR};
use crate::contracts::{ChannelName, Envelope, Priority, ServiceName, ShapeError, Trust};
use crate::llm::tasks::decide::{DecideInput, Denied};
use crate::llm::tasks::{Action, Decide, Decision, Payload};
use crate::llm::{Answered, Asking, Mind, NoAnswer, Ruled, Task};
use crate::memory::{self, Memory, TeamContext};
use record::{Asker, Record, Stage};
use subject::{ByCode, Subject};

/// Messages thought about side by side: a slow one never keeps the next waiting.
const SLOTS: usize = 16;
/// A message that no model answered in time is looked at so often; then the rules decide.
const TRIES: u32 = 3;
/// The same where a person is asked to raise a budget: about a day.
const TRIES_FOR_MONEY: u32 = 18;
/// How long after the first try; it doubles, up to two hours.
const AGAIN_AFTER: TimeDelta = TimeDelta::seconds(30);
/// Where only the budget is in the way, it is looked at again at least this often.
const OVER_BUDGET: TimeDelta = TimeDelta::minutes(5);

type Said = Result<Effects<grants::Orchestrator>, Failure>;

/// The service.
#[derive(Debug)]
pub struct Orchestrator {
    mind: Mind,
    memory: Arc<Memory>,
    time_limit: Duration,
}

impl Orchestrator {
    /// Decides with this mind, from this memory. `thinking` is how long one decision may take; with its repair and its fall back a
    /// message may take twice that.
    pub fn new(mind: Mind, memory: Arc<Memory>, thinking: Duration) -> Self {
        Self { mind, memory, time_limit: thinking * 2 + Duration::from_secs(30) }
    }

    async fn consider(&self, subject: Subject, message: &Received, cx: &Context<grants::Orchestrator>) -> Said {
        let former = record::get(cx.bus(), &subject.id).await?;
        let (expect, tries) = match former {
            Some((record, version)) if stands(&record, &subject) => return also(&subject, version, message, cx),
            Some((record, version)) => (Expect::Version(version), record.tries),
            None => (Expect::Absent, 0),
        };
        let team = self.memory.load(cx.bus()).await?;
        let turn = Turn { message, cx, team: &team, expect, round: 1 };
        if let Some(what) = &subject.by_code {
            return by_code_decided(&subject, what, turn).await;
        }
        let input = input(&subject, &team, None);
        let err = match self.ask(&input, message, cx).await {
            Ok(answered) => return self.carry_out(&subject, answered, turn).await,
            Err(NoAnswer::Stopped) => return Err(eyre!("the orchestrator was stopped while it thought").into()),
            Err(err) => err,
        };
        let tries = tries + 1;
        let most = if matches!(err, NoAnswer::OverBudget(_)) { TRIES_FOR_MONEY } else { TRIES };
        if tries < most {
            return stays_open(&subject, &err, tries, turn);
        }
        let answered = by_rules(&input, format!("no model answered in {tries} tries: {err}"));
        self.carry_out(&subject, answered, turn).await
    }

    async fn ask(
        &self,
        input: &DecideInput,
        message: &Received,
        cx: &Context<grants::Orchestrator>,
    ) -> Result<Answered<Decision>, NoAnswer> {
        let asking = Asking {
            service: ServiceName::Orchestrator,
            message: Some(message.envelope.id),
            trace: Some(message.envelope.trace),
            trust: message.envelope.trust,
            stop: cx.stop().clone(),
        };
        self.mind.ask::<Decide>(&asking, input).await
    }

    /// Does what the orchestrator may do itself, and proposes the rest.
    async fn carry_out(&self, subject: &Subject, answered: Answered<Decision>, turn: Turn<'_>) -> Said {
        let mut effects = turn.cx.effects();
        let mut record = turn.record(subject, &answered);
        let decision = &answered.output;
        let (mut title, mut intents) = intents::of(decision, subject, turn.team)?;
        if decision.action == Action::RespondToDiscord {
            let content = decision.payload.content.as_deref().unwrap_or_default();
            answer(&mut effects, &subject.asker.clone().unwrap_or_default(), content, decision.priority)?;
        } else if let Some(asker) = &subject.asker {
            answer(&mut effects, asker, &intents::reply(decision, &title, subject.trust), decision.priority)?;
        }
        if answered.flagged {
            warn(&mut effects, &record)?;
        }
        // The end of a run moves its item on the worklist, whatever is decided about it.
        if let Some(change) = intents::of_result(subject) {
            if subject.trust > Trust::External {
                let by = ServiceName::Orchestrator.as_str();
                memory::try_change(&mut effects, turn.cx.bus(), NoteName::Worklist, &change, by).await?;
            } else {
                // What somebody outside says of a run is a claim: it moves the item when a person says so.
                if intents.is_empty() {
                    title = format!("Note on the worklist what is said of a run: {}", change.gist());
                }
                intents.push(Intent::Note { name: NoteName::Worklist, change });
            }
        }
        if !intents.is_empty() {
            turn.propose(&mut effects, &mut record, title, intents).await?;
        }
        turn.write(&mut effects, &record)?;
        Ok(effects)
    }
}

/// Says to the team that a model's answer could not be used as it was.
fn warn(effects: &mut Effects<grants::Orchestrator>, record: &Record) -> Result<(), Failure> {
    let what = format!(
        "A person should look at the decision {} ({}, by {}): {}. `fullsend decisions show {}`",
        record.id,
        record.action,
        record.model,
        line(&record.flags.join("; "), 600),
        record.id,
    );
    let payload = Words { message: outgoing(&what) };
    let notice = ErrorNotice { payload, priority: Priority::High, timestamp: Some(effects.now()) };
    effects.send(FROM_ORCHESTRATOR, Draft::new(FromOrchestrator::from(notice)).subject(record.id.clone()))?;
    Ok(())
}

/// What a decision would make happen: its title, and the intents that would go to the gate.
///
/// # Errors
/// Where it does not fit into a message.
pub fn preview(
    envelope: &Envelope,
    body: ToOrchestrator,
    decision: &Decision,
    team: &TeamContext,
) -> Result<(String, Vec<Intent>), ShapeError> {
    intents::of(decision, &Subject::of(envelope, body)?, team)
}

/// What all that is done about a message has in common.
#[derive(Clone, Copy)]
struct Turn<'a> {
    message: &'a Received,
    cx: &'a Context<grants::Orchestrator>,
    team: &'a TeamContext,
    /// What the record must be now.
    expect: Expect,
    /// Counts the rounds of a message that was refused.
    round: u32,
}

impl Turn<'_> {
    fn record(&self, subject: &Subject, answered: &Answered<Decision>) -> Record {
        let decision = &answered.output;
        let mut flags = answered.fell_back.clone();
        if answered.flagged {
            flags.push(
                "a person should look: the answer was repaired, or came from the rules in a model's place".to_owned(),
            );
        }
        Record {
            id: subject.id.clone(),
            at: self.cx.now(),
            kind: subject.kind.clone(),
            message: subject.body.clone(),
            trust: subject.trust,
            trace: Some(self.message.envelope.trace),
            asker: subject.asker.clone(),
            action: decision.action,
            reasoning: decision.reasoning.clone(),
            thoughts: answered.reasoning.clone(),
            payload: decision.payload.clone(),
            experiment_id: decision.experiment_id.clone().or_else(|| subject.experiment_id.clone()),
            priority: decision.priority,
            provider: answered.provider.to_owned(),
            model: answered.model.clone(),
            tokens: answered.tokens,
            nano_usd: answered.nano_usd,
            took_ms: u64::try_from(answered.took.as_millis()).unwrap_or(u64::MAX),
            context_digest: self.team.digest(),
            stage: Stage::Done,
            approval_id: None,
            outcome: None,
            flags,
            round: self.round,
            tries: 0,
        }
    }

    fn write(&self, effects: &mut Effects<grants::Orchestrator>, record: &Record) -> Result<(), Failure> {
        effects.change(
            record::key(&record.id).map_err(terminal)?,
            self.expect,
            record.fields(),
            Ttl::Set(record::KEPT),
        );
        Ok(())
    }

    async fn propose(
        &self,
        effects: &mut Effects<grants::Orchestrator>,
        record: &mut Record,
        title: String,
        intents: Vec<Intent>,
    ) -> Result<(), Failure> {
        let mut details = Map::new();
        let mut put = |name: &str, text: String| details.insert(name.to_owned(), Value::String(text));
        put("decision", record.id.clone());
        put("provider", record.provider.clone());
        put("thoughts", line(&record.thoughts, 2_000));
        let wanted = Wanted {
            proposer: ServiceName::Orchestrator,
            title: line(&title, 200),
            reason: record.reasoning.clone(),
            intents,
            facts: Vec::new(),
            details,
            cost_usd: None,
            trust: self.message.envelope.trust,
        };
        let proposal = approvals::propose(self.cx.bus(), wanted).await.map_err(|err| match err {
            ProposeError::Bus(err) => Failure::from(err),
            ProposeError::Bad(err) => terminal(err),
        })?;
        record.approval_id = Some(proposal.approval_id.clone());
        record.stage = Stage::Proposed;
        let draft = Draft::new(Proposals::from(proposal)).priority(record.priority).subject(record.id.clone());
        effects.send(PROPOSALS, draft)?;
        Ok(())
    }
}

impl Handler for Orchestrator {
    type Grant = grants::Orchestrator;

    fn channels(&self) -> &[ChannelName] {
        &[ChannelName::ToOrchestrator, ChannelName::ExperimentResults, ChannelName::Approvals]
    }

    fn slots(&self) -> usize {
        SLOTS
    }

    fn time_limit(&self) -> Option<Duration> {
        Some(self.time_limit)
    }

    fn heeds_hold(&self) -> bool {
        true
    }

    async fn handle(&self, message: Received, cx: Context<grants::Orchestrator>) -> Said {
        match message.entry.channel {
            ChannelName::Approvals => match message.read::<Approvals>()? {
                Approvals::Created(_) => Ok(cx.effects()),
                Approvals::Completed(done) => self.answered(&done, &message, &cx).await,
            },
            ChannelName::ExperimentResults => {
                let subject = Subject::of_result(&message.envelope, message.read::<ExperimentResults>()?)?;
                self.consider(subject, &message, &cx).await
            }
            _ => {
                let subject = Subject::of(&message.envelope, message.read::<ToOrchestrator>()?)?;
                self.consider(subject, &message, &cx).await
            }
        }
    }
}

/// No mind answered: that is said once, and the message stays open work.
fn stays_open(subject: &Subject, err: &NoAnswer, tries: u32, turn: Turn<'_>) -> Said {
    let mut effects = turn.cx.effects();
    let priority = turn.message.envelope.priority;
    let why = format!("Not decided yet: {}. It is looked at again.", line(&err.to_string(), 300));
    let mut record = turn.record(subject, &by_code(nothing(why, priority)));
    record.stage = Stage::Open;
    record.tries = tries;
    turn.write(&mut effects, &record)?;
    if let (1, Some(asker)) = (tries, &subject.asker) {
        answer(&mut effects, asker, unanswered(err), Priority::Medium)?;
    }
    let mut wait = AGAIN_AFTER * 2_i32.pow(tries.saturating_sub(1).min(8));
    if matches!(err, NoAnswer::OverBudget(_)) {
        // Whoever raised the budget is not kept waiting.
        wait = wait.min(OVER_BUDGET);
    }
    let at = turn.cx.now() + wait;
    let draft = Draft::new(subject.again.clone()).subject(subject::again(&subject.id)).priority(priority);
    effects.send_at(format!("open:{}", subject.id), at, TO_ORCHESTRATOR, draft)?;
    Ok(effects)
}

/// What whoever asked is told where no mind answered.
fn unanswered(err: &NoAnswer) -> &'static str {
    match err {
        NoAnswer::TimedOut(_) => "I'm still thinking about this. Will update soon.",
        NoAnswer::OverBudget(_) => {
            "The budget does not let me think about this now. It waits until somebody raises it, or the next day begins."
        }
        _ => "Nobody can think about this right now. It is kept, and looked at again soon.",
    }
}

async fn by_code_decided(subject: &Subject, what: &ByCode, turn: Turn<'_>) -> Said {
    let priority = turn.message.envelope.priority;
    let who = subject.body.get("context").and_then(|context| context.get("user")).and_then(Value::as_str);
    let (action, why, proposed) = match what {
        ByCode::Progress(why) => (Action::NoAction, (*why).to_owned(), None),
        ByCode::ActionComplete { action_id, status } => {
            let why = format!("The action {} is {}; its record says so.", line(action_id, 80), line(status, 40));
            (Action::NoAction, why, None)
        }
        ByCode::Focus(text) => {
            (Action::UpdateWorklist, "A person said what matters now.".to_owned(), Some(intents::of_focus(text)))
        }
        ByCode::Learn(text) => (
            Action::RecordLearning,
            "A person said what they learned.".to_owned(),
            Some(intents::of_learning(text, who)),
        ),
    };
    let mut effects = turn.cx.effects();
    let decision = Decision { action, ..nothing(why, priority) };
    let mut record = turn.record(subject, &by_code(decision));
    if let Some((title, intents)) = proposed {
        if let Some(asker) = &subject.asker {
            answer(&mut effects, asker, &format!("Noted. {title}"), priority)?;
        }
        turn.propose(&mut effects, &mut record, title, intents).await?;
    }
    turn.write(&mut effects, &record)?;
    Ok(effects)
}

/// The decision to do nothing.
fn nothing(reasoning: String, priority: Priority) -> Decision {
    Decision {
        action: Action::NoAction,
        reasoning,
        payload: Payload::default(),
        priority,
        experiment_id: None,
        context_for_fullsend: None,
    }
}

fn terminal(err: impl std::error::Error + Send + Sync + 'static) -> Failure {
    Failure::Terminal(err.into())
}

fn input(subject: &Subject, team: &Arc<TeamContext>, denied: Option<Denied>) -> DecideInput {
    let (kind, trust, message) = (subject.kind.clone(), subject.trust, subject.body.clone());
    DecideInput { kind, trust, message, team: Arc::clone(team), denied }
}

/// What the rules decide in a model's place, for this reason; a person should look.
fn by_rules(input: &DecideInput, why: String) -> Answered<Decision> {
    Answered { fell_back: vec![why], flagged: true, ..Answered::by_rules(Decide::rule(input)) }
}

/// What code decided, in the form of a mind's answer.
fn by_code(decision: Decision) -> Answered<Decision> {
    let (provider, model) = ("code", "code".to_owned());
    Answered { provider, model, ..Answered::by_rules(Ruled { output: decision, reasons: Vec::new() }) }
}

/// Whether a record stands. An open one is decided now; and so is the result of a run where only its report came before, and led to nothing.
fn stands(record: &Record, subject: &Subject) -> bool {
    let is_report = |kind: &str| matches!(kind, "experiment_success" | "experiment_error");
    let has_more = is_report(&record.kind) && record.action == Action::NoAction && !is_report(&subject.kind);
    record.stage != Stage::Open && !has_more
}

/// The message belongs to something that is decided already: a run that two report.
fn also(subject: &Subject, version: u64, message: &Received, cx: &Context<grants::Orchestrator>) -> Said {
    let mut effects = cx.effects();
    let field = format!("also:{}", subject.kind);
    let fields = vec![(field, Some(message.envelope.id.to_string()))];
    effects.change(record::key(&subject.id).map_err(terminal)?, Expect::Version(version), fields, Ttl::Keep);
    Ok(effects)
}

/// Says something to whoever asked.
fn answer(
    effects: &mut Effects<grants::Orchestrator>,
    asker: &Asker,
    content: &str,
    priority: Priority,
) -> Result<(), Failure> {
    let response = OrchestratorResponse {
        channel_id: asker.channel_id.clone(),
        reply_to: asker.reply_to.clone(),
        content: outgoing(content),
        priority,
        timestamp: Some(effects.now()),
    };
    effects.send(FROM_ORCHESTRATOR, FromOrchestrator::from(response))?;
    Ok(())
}
