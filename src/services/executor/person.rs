//! A step that a person does: asked for, waited for, and given up aloud.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value, json};

use super::actions::{ActionRecord, object};
use super::pen::Unwritten;
use super::record::at;
use super::run::Work;
use super::{field, shown};
use crate::bus::{Draft, Op};
use crate::contracts::channel::grants;
use crate::contracts::envelope::read_time;
use crate::contracts::messages::{ActionAsked, ActionRequest, ActionType, FromOrchestrator};
use crate::contracts::wiring::FROM_ORCHESTRATOR;
use crate::contracts::{Priority, keys};
use crate::experiments::by_hand;
use crate::experiments::spec::{Mode, Step};

/// People who are named in a request; the rest is in the run's document.
const PEOPLE_SHOWN: usize = 50;

/// What became of the request.
pub(super) enum Asked {
    /// It is done.
    Done(Value),
    /// It is waited for, until then.
    Waits(DateTime<Utc>),
    /// Somebody said no.
    Refused(String),
    /// Nobody did it in time.
    TooLate(String),
}

/// Asks for a step, or looks what became of it.
pub(super) async fn ask(work: &mut Work<'_>, step: &Step, params: &Map<String, Value>) -> Result<Asked, Unwritten> {
    let refused = |err: crate::bus::Failure| Unwritten::Refused(err.to_string());
    let id = keys::person(&format!("person:{}:{}:{}", work.experiment.id, work.run.id, step.id));
    let record = ActionRecord::read(work.cx.bus(), &id).await.map_err(refused)?;
    let now = work.cx.now();
    let deadline = record.get("deadline").and_then(read_time);
    let who = || record.get("completed_by").map_or_else(|| "somebody".to_owned(), shown);
    match (record.get("state"), deadline) {
        (Some("done"), _) => Ok(Asked::Done(json!({ "by": "person", "done_by": who() }))),
        (Some("rejected"), _) => Ok(Asked::Refused(format!("{} said no", who()))),
        (Some(_), Some(deadline)) if now < deadline => Ok(Asked::Waits(deadline)),
        (Some(_), _) => Ok(Asked::TooLate("nobody did it in time".to_owned())),
        (None, _) => {
            let wait = TimeDelta::from_std(work.executor.parts.settings.person_deadline).unwrap_or(TimeDelta::MAX);
            let deadline = now.checked_add_signed(wait).unwrap_or(DateTime::<Utc>::MAX_UTC);
            let fields = vec![
                field("kind", "person"),
                field("key", format!("person:{}:{}", work.experiment.id, step.id)),
                field("target", shown(&step.tool)),
                field("experiment_id", work.experiment.id.as_str()),
                field("run_id", work.run.id.as_str()),
                field("state", "started"),
                field("at", at(now)),
                field("deadline", at(deadline)),
            ];
            let asked = request(work, step, params, &id, deadline);
            let draft = Draft::new(FromOrchestrator::from(asked)).subject(work.experiment.id.as_str());
            let message = work.cx.origin().compose::<grants::Executor, _>(FROM_ORCHESTRATOR, draft);
            let message = message.map_err(|err| Unwritten::Refused(err.to_string()))?;
            work.pen.apply(vec![record.change(fields, Mode::Live), Op::Append(message)]).await?;
            Ok(Asked::Waits(deadline))
        }
    }
}

fn request(
    work: &Work<'_>,
    step: &Step,
    params: &Map<String, Value>,
    id: &str,
    deadline: DateTime<Utc>,
) -> ActionRequest {
    let mut details = params.clone();
    if let Some(Value::Array(people)) = details.get_mut("recipients") {
        let count = people.len();
        people.truncate(PEOPLE_SHOWN);
        details.insert("recipients_in_all".to_owned(), count.into());
    }
    let more = json!({ "experiment_id": work.experiment.id, "run_id": work.run.id, "step": step.id });
    details.extend(object(more));
    let count = details.get("recipients_in_all").and_then(Value::as_u64);
    let whom = count.map(|count| format!(" to {count} people")).unwrap_or_default();
    let numbers = by_hand::to_say(&work.spec).map(|how| format!(" Please {how}.")).unwrap_or_default();
    let description = format!(
        "{}: please do the step {} ({}{whom}) by hand. `fullsend experiments done {}` when it is done, with `--rejected` where it is not.{numbers}",
        shown(&work.experiment.id),
        shown(&step.id),
        shown(&step.tool),
        shown(&work.experiment.id),
    );
    ActionRequest {
        payload: ActionAsked {
            id: Some(id.to_owned()),
            description,
            action_type: ActionType::ManualTask,
            details,
            assignee: None,
            deadline: Some(deadline),
        },
        priority: Priority::High,
        timestamp: Some(work.cx.now()),
    }
}
