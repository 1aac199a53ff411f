//! From a decision to what is to happen: intents, for the gate.
//!
//! Owns what each action means on the bus. The worklist moves with every dispatch and kill, in the same commit. Must never name
//! a channel, a key or an experiment that the decision's faults were not checked for, and never hold a time: the same action with
//! the same arguments is the same proposal.

use serde::Serialize;
use serde_json::{Map, Value};

use super::subject::Subject;
use crate::contracts::lifecycle::LifecycleEvent;
use crate::contracts::messages::{
    BuilderTasks, ExperimentRequest, FromOrchestrator, Idea, Insight, Intent, LearningShare, Prd, RoundtableTopic,
    RoundtableTopics, ToFullsend, ToOrchestrator, ToolPrd,
};
use crate::contracts::notes::{NoteChange, NoteName, Section};
use crate::contracts::{Body, ChannelName, Priority, ShapeError, Trust};
use crate::llm::tasks::{Action, Decision};
use crate::memory::TeamContext;
use crate::services::wording::{line, outgoing};

/// Most characters of a line on the worklist.
const ITEM_LIMIT: usize = 160;

/// What a decision wants to happen, and its title. Nothing for those that need no gate.
pub(super) fn of(
    decision: &Decision,
    subject: &Subject,
    team: &TeamContext,
) -> Result<(String, Vec<Intent>), ShapeError> {
    let content = decision.payload.content.clone().unwrap_or_default();
    let title = decision.payload.title.clone().unwrap_or_else(|| line(&content, 80));
    let request = request(&title, &content);
    let channel = subject.asker.as_ref().and_then(|asker| asker.channel_id.clone());
    let say = |channel, body: &dyn Written| say(channel, body, decision.priority, subject.experiment_id.clone());
    Ok(match decision.action {
        Action::NoAction => (title, Vec::new()),
        Action::RespondToDiscord => match (decision.payload.title.as_deref(), decision.context_for_fullsend.as_deref())
        {
            // Asked back about something worth keeping: it waits on the worklist, under the name that its dispatch will have.
            (Some(title), Some(idea)) => {
                let asked = content.split_inclusive('?').next().unwrap_or(&content);
                let text =
                    format!("**{}** - waits for an answer: {}", line(title, ITEM_LIMIT), line(asked, ITEM_LIMIT));
                let kept = item(self::request(title, idea), Section::Blocked, text);
                (format!("Keep on the worklist until it is answered: {}", line(title, 120)), vec![kept])
            }
            _ => (title, Vec::new()),
        },
        Action::DispatchToFullsend => {
            let body = ToFullsend::from(ExperimentRequest {
                idea: Idea {
                    title: Some(title.clone()),
                    description: content,
                    goal: decision.payload.goal.clone(),
                    spawn_ralph: false,
                },
                context: decision.context_for_fullsend.clone(),
                priority: decision.priority,
                revises: decision.experiment_id.clone(),
                request_id: Some(request.clone()),
                notify_channel: channel,
                orchestrator_reasoning: Some(decision.reasoning.clone()),
                requested_at: None,
            });
            let key = decision.experiment_id.clone().unwrap_or(request);
            let item = item(key, Section::Active, format!("**{}** - FULLSEND designing", line(&title, ITEM_LIMIT)));
            let what = decision
                .experiment_id
                .as_ref()
                .map_or_else(|| format!("Design an experiment: {title}"), |id| format!("Change {id}: {title}"));
            (what, vec![say(ChannelName::ToFullsend, &body)?, item])
        }
        Action::DispatchToBuilder => {
            let body = task(decision, subject, title.clone(), request);
            let item = item(title.clone(), Section::Active, format!("**{title} tool** - Builder working on it"));
            (format!("Build the tool {title}"), vec![say(ChannelName::BuilderTasks, &body)?, item])
        }
        Action::UpdateWorklist => {
            let change = NoteChange::Rewrite { text: content, base: team.worklist.version };
            ("Rewrite the worklist".to_owned(), vec![Intent::Note { name: NoteName::Worklist, change }])
        }
        Action::RecordLearning => {
            let mut evidence = decision.payload.inputs.clone();
            if let Some(more) = decision.payload.content.as_ref().filter(|more| **more != title) {
                evidence.insert(0, more.clone());
            }
            let experiment_id = decision.experiment_id.clone().or_else(|| subject.experiment_id.clone());
            let share = FromOrchestrator::from(LearningShare {
                payload: Insight { insight: outgoing(&title), experiment_id: experiment_id.clone() },
                priority: Priority::Low,
                timestamp: None,
            });
            let change = NoteChange::Learn { headline: line(&title, ITEM_LIMIT), evidence, experiment_id };
            let intents =
                vec![Intent::Note { name: NoteName::Learnings, change }, say(ChannelName::FromOrchestrator, &share)?];
            (format!("Record a learning: {title}"), intents)
        }
        Action::KillExperiment => {
            let id = decision.experiment_id.clone().unwrap_or_default();
            let why = line(decision.payload.content.as_deref().unwrap_or(&decision.reasoning), ITEM_LIMIT);
            let intents = vec![
                Intent::Step { experiment_id: id.clone(), event: LifecycleEvent::Archive },
                item(id.clone(), Section::Completed, format!("{id} - killed: {why}")),
            ];
            (format!("Kill {id}"), intents)
        }
        Action::InitiateRoundtable => {
            let body = RoundtableTopics::from(RoundtableTopic {
                topic_id: Some(request.clone()),
                prompt: content.clone(),
                context: decision.context_for_fullsend.clone().or_else(|| Some(decision.reasoning.clone())),
                learnings: Vec::new(),
                max_rounds: Some(3),
                timestamp: None,
            });
            let item = item(request, Section::Active, format!("**Round table** - {}", line(&content, ITEM_LIMIT)));
            (format!("Ask the round table: {title}"), vec![say(ChannelName::Roundtable, &body)?, item])
        }
    })
}

/// What Builder is told of a tool.
fn task(decision: &Decision, subject: &Subject, name: String, request: String) -> BuilderTasks {
    let named = |members: &[String]| members.iter().map(|member| Value::String(member.clone())).collect();
    BuilderTasks::from(ToolPrd {
        prd: Prd {
            name,
            id: None,
            description: Some(decision.payload.content.clone().unwrap_or_default()),
            requested_by: Some("orchestrator".to_owned()),
            experiment_blocked: subject.experiment_id.clone(),
            inputs: named(&decision.payload.inputs),
            outputs: named(&decision.payload.outputs),
            requirements: decision.payload.requirements.clone(),
            example_usage: None,
            auto_requested: false,
        },
        requested_by: Some("orchestrator".to_owned()),
        request_id: Some(request),
        priority: decision.priority,
        notify_channel: subject.asker.as_ref().and_then(|asker| asker.channel_id.clone()),
        notify_message: None,
        spec_key: None,
        orchestrator_reasoning: Some(decision.reasoning.clone()),
        requested_at: None,
    })
}

/// Names a request: the same idea is the same request.
fn request(title: &str, content: &str) -> String {
    let hash = crate::contracts::canonical::digest(&[title, content]);
    format!("req_{}", &hash[..12])
}

/// How the end of a run moves its item on the worklist.
pub(super) fn of_result(subject: &Subject) -> Option<NoteChange> {
    let id = subject.experiment_id.clone()?;
    let (section, text) = match &subject.again {
        ToOrchestrator::ExperimentSuccess(_) => (Section::Active, format!("**{id}** - the last run ended well")),
        ToOrchestrator::ExperimentError(failed) => {
            (Section::Blocked, format!("{id} - the last run failed: {}", failed.error.line(ITEM_LIMIT)))
        }
        _ => return None,
    };
    Some(NoteChange::Item { key: id, section, text })
}

/// What whoever asked is told about a decision that is not an answer.
pub(super) fn reply(decision: &Decision, title: &str, trust: Trust) -> String {
    let why = line(&decision.reasoning, 400);
    match decision.action {
        Action::NoAction => format!("Not now. {why}"),
        Action::DispatchToFullsend => format!("I want to test this: {why}"),
        Action::DispatchToBuilder => format!("This needs a tool first ({title}): {why}"),
        Action::KillExperiment => format!("I want to stop an experiment ({title}): {why}"),
        Action::InitiateRoundtable => format!("The team should talk about this. {why}"),
        Action::UpdateWorklist | Action::RecordLearning if trust == Trust::External => {
            format!("I ask whoever runs the team: {title}")
        }
        Action::UpdateWorklist | Action::RecordLearning | Action::RespondToDiscord => format!("Noted. {why}"),
    }
}

/// What a person's command wants to happen.
pub(super) fn of_focus(text: &str) -> (String, Vec<Intent>) {
    let change = NoteChange::Focus { text: line(text, 300) };
    (format!("Focus: {}", line(text, 80)), vec![Intent::Note { name: NoteName::Worklist, change }])
}

/// What a person learned.
pub(super) fn of_learning(text: &str, who: Option<&str>) -> (String, Vec<Intent>) {
    let evidence = who.map(|who| format!("- said by {}", line(who, 60))).into_iter().collect();
    let change = NoteChange::Learn { headline: line(text, 300), evidence, experiment_id: None };
    (format!("Record a learning: {}", line(text, 80)), vec![Intent::Note { name: NoteName::Learnings, change }])
}

fn item(key: String, section: Section, text: String) -> Intent {
    Intent::Note { name: NoteName::Worklist, change: NoteChange::Item { key, section, text } }
}

/// A body of any channel, as JSON.
trait Written {
    fn fields(&self) -> Result<Map<String, Value>, ShapeError>;
}

impl<M: Body + Serialize> Written for M {
    fn fields(&self) -> Result<Map<String, Value>, ShapeError> {
        serde_json::from_str(&self.write()?).map_err(|err| ShapeError::Json(err.to_string()))
    }
}

fn say(
    channel: ChannelName,
    body: &dyn Written,
    priority: Priority,
    subject: Option<String>,
) -> Result<Intent, ShapeError> {
    Ok(Intent::Say { channel, body: body.fields()?, priority, subject })
}
