//! Records of outward acts: what was begun, what came of it, and what nobody knows.
//!
//! Owns `actions:{id}` as it is read and written. An act is written down as begun before it is done; one that was begun by somebody who died,
//! or does not know it, is unknown: a person decides about it, and what the person says is put on record ([`answered`]).

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value, json};

use super::events::{self, Of};
use super::people;
use super::record::at;
use super::{Said, document, field, gone, terminal};
use crate::bus::{Context, Document, Draft, Expect, Failure, Key, Op, SharedBus, Ttl};
use crate::contracts::channel::grants;
use crate::contracts::messages::{
    ActionAsked, ActionRequest, ActionType, AlertResolved, AlertTriggered, Alerts, FromOrchestrator, ScheduleDue,
    Severity,
};
use crate::contracts::untrusted::sanitize_line;
use crate::contracts::wiring::{ALERTS, FROM_ORCHESTRATOR};
use crate::contracts::{Priority, keys};
use crate::experiments::spec::Mode;
use crate::tools::contract::{ActOutcome, Action, ActionDone};

/// How long the record of an act that reached nobody is kept.
const KEPT_DRY: std::time::Duration = std::time::Duration::from_hours(7 * 24);
/// When an act that was not taken now is tried again; after the last it has failed.
const LATER: [TimeDelta; 3] = [TimeDelta::minutes(15), TimeDelta::hours(1), TimeDelta::hours(4)];

/// The id of an act. One that reaches nobody is another in each run, so that it stands in the way of no real one.
pub(super) fn id_of(action: &Action, run: &str, mode: Mode) -> String {
    match mode {
        Mode::Live => keys::person(&action.key),
        Mode::DryRun | Mode::Simulation => keys::person(&format!("{mode}:{run}:{}", action.key)),
    }
}

/// What is known of an act.
#[derive(Debug, Clone)]
pub(super) struct ActionRecord {
    pub(super) key: String,
    pub(super) document: Option<Document>,
}

impl ActionRecord {
    pub(super) async fn read(bus: &SharedBus, id: &str) -> Result<Self, Failure> {
        let key = keys::action(id).map_err(terminal)?;
        let document = document(bus, &key).await?;
        Ok(Self { key, document })
    }

    pub(super) fn get(&self, field: &str) -> Option<&str> {
        self.document.as_ref()?.get(field)
    }

    /// A change of it, if nobody changed it since.
    pub(super) fn change(&self, fields: Vec<(String, Option<String>)>, mode: Mode) -> Op {
        let expect = self.document.as_ref().map_or(Expect::Absent, |document| Expect::Version(document.version));
        let ttl = if mode == Mode::Live { Ttl::Clear } else { Ttl::Set(KEPT_DRY) };
        Op::Change { key: Key::new(self.key.as_str()), expect, fields, ttl }
    }
}

/// The fields of an act's record that say what it is.
pub(super) fn what(action: &Action, experiment: &str, run: &str, mode: Mode) -> Vec<(String, Option<String>)> {
    let text = |name: &str| action.details.get(name).and_then(Value::as_str).map(|text| sanitize_line(text, 300));
    vec![
        field("key", sanitize_line(&action.key, 500)),
        field("kind", sanitize_line(&action.kind, 60)),
        field("target", sanitize_line(&action.target, 300)),
        field("experiment_id", experiment),
        field("run_id", run),
        field("mode", mode.as_str()),
        ("subject".to_owned(), text("subject")),
        ("variant".to_owned(), text("variant")),
        ("round".to_owned(), text("round")),
        ("message_id".to_owned(), text("message_id")),
    ]
}

/// The fields of what came of it, where that is known, with when it is tried again, where it is.
pub(super) fn outcome(
    record: &ActionRecord,
    done: &ActionDone,
    mode: Mode,
    now: DateTime<Utc>,
) -> Vec<(String, Option<String>)> {
    let tries: usize = record.get("tries").and_then(|tries| tries.parse().ok()).unwrap_or_default();
    // What may simply be done again is not unknown for long.
    let may = mode == Mode::Live && matches!(done.outcome, ActOutcome::Later | ActOutcome::Unknown);
    let wait = LATER.get(tries).filter(|_| may);
    let again = wait.map(|wait| now + *wait);
    let mut fields = vec![
        field("state", if done.outcome == ActOutcome::Done { "done" } else { "failed" }),
        field("at", at(now)),
        ("error".to_owned(), done.error.as_ref().map(|error| error.line(300))),
        ("receipt".to_owned(), done.receipt.as_ref().map(|receipt| receipt.line(300))),
        (AGAIN_AT.to_owned(), again.map(at)),
        gone("holder"),
    ];
    if again.is_some() {
        fields.push(field("tries", (tries + 1).to_string()));
    }
    fields
}

/// The field that says when an act that failed for now is tried again.
pub(super) const AGAIN_AT: &str = "again_at";

/// What an act says of itself that is counted when it is done: a mail that went out. None where nothing is.
pub(super) fn counted(record: &ActionRecord, person: Option<&str>) -> Option<Map<String, Value>> {
    (record.get("kind") == Some("email")).then(|| {
        let mut event = object(json!({ "event": "email_sent" }));
        event.extend(person.map(|person| ("person".to_owned(), person.into())));
        for name in ["variant", "round"] {
            event.extend(record.get(name).map(|value| (name.to_owned(), value.into())));
        }
        event
    })
}

/// The alert about an act of which nobody knows.
fn alert_of(experiment: &str, id: &str) -> String {
    format!("{experiment}:action:{}", id.get(..16).unwrap_or(id))
}

/// That nobody knows whether an act was done: its record, an alert that lasts, and a person who is asked. `why` is what is known of it.
pub(super) fn unknown(
    record: &ActionRecord,
    id: &str,
    why: &str,
    cx: &Context<grants::Executor>,
    mode: Mode,
) -> Result<Vec<Op>, Failure> {
    let get = |name: &str| record.get(name).map(|text| sanitize_line(text, 200)).unwrap_or_default();
    let (experiment, kind, target) = (get("experiment_id"), get("kind"), get("target"));
    let message = format!("It is not known whether the {kind} to {target} went out: {why}. It is not done again.");
    let short = id.get(..12).unwrap_or(id);
    let fix = format!(
        "look whether it arrived, then say so: `fullsend experiments done {experiment} --action {short}`, or with `--rejected` where it did not"
    );
    let alert_id = alert_of(&experiment, id);
    let alert = AlertTriggered {
        alert_id: alert_id.clone(),
        severity: Severity::High,
        message: message.clone(),
        fix: Some(fix),
        experiment_id: Some(experiment.clone()),
        criterion: None,
        metric: None,
        value: None,
        threshold: None,
    };
    let asked = ActionAsked {
        id: Some(id.to_owned()),
        description: format!(
            "Did the {kind} to {target} arrive? Say that it is done, or that it is rejected where it did not."
        ),
        action_type: ActionType::Decision,
        details: object(json!({ "experiment_id": experiment, "run_id": get("run_id"), "key": get("key") })),
        assignee: None,
        deadline: None,
    };
    let asked = ActionRequest { payload: asked, priority: Priority::High, timestamp: Some(cx.now()) };
    let origin = cx.origin();
    let mut ops = vec![
        record.change(
            vec![field("state", "unknown"), field("at", at(cx.now())), field("error", why), gone("holder")],
            mode,
        ),
        Op::Append(
            origin
                .compose::<grants::Executor, _>(ALERTS, Draft::new(Alerts::Triggered(alert)).subject(&*experiment))?,
        ),
        Op::Append(origin.compose::<grants::Executor, _>(
            FROM_ORCHESTRATOR,
            Draft::new(FromOrchestrator::from(asked)).subject(&*experiment),
        )?),
    ];
    if let Ok(key) = keys::alert(&alert_id) {
        let fields = vec![
            field("state", "triggered"),
            field("severity", "high"),
            field("message", message),
            field("triggered_at", at(cx.now())),
        ];
        ops.push(Op::Change { key: Key::new(key), expect: Expect::Any, fields, ttl: Ttl::Keep });
    }
    Ok(ops)
}

/// A person said what became of an act of which nobody knew: its alert ends, and what arrived is counted like what is known to.
pub(super) async fn answered(due: &ScheduleDue, cx: &Context<grants::Executor>) -> Said {
    let mut effects = cx.effects();
    let Some(id) = due.action_id.as_deref() else {
        return Err(Failure::Terminal(color_eyre::eyre::eyre!("what was answered names no action")));
    };
    let record = ActionRecord::read(cx.bus(), id).await?;
    let Some(state @ ("done" | "rejected")) = record.get("state") else { return Ok(effects) };
    let experiment = due.experiment_id.as_str();
    let alert_id = alert_of(experiment, id);
    let key = keys::alert(&alert_id).map_err(terminal)?;
    let alert = document(cx.bus(), &key).await?;
    if let Some(alert) = alert.filter(|alert| alert.get("state") != Some("resolved")) {
        let by = record.get("completed_by").map_or_else(|| "somebody".to_owned(), |by| sanitize_line(by, 60));
        let reason = format!("it is {state}");
        let fields = vec![
            field("state", "resolved"),
            field("resolved_at", at(cx.now())),
            field("resolved_by", by.as_str()),
            field("resolution", reason.as_str()),
        ];
        effects.change(Key::new(key), Expect::Version(alert.version), fields, Ttl::Keep);
        let resolved = AlertResolved { alert_id, by, reason: Some(reason) };
        effects.send(ALERTS, Draft::new(Alerts::Resolved(resolved)).subject(experiment))?;
    }
    // Once, however often it is said.
    if state == "done" && record.get("counted_at").is_none() {
        let (key, kind, target) = (record.get("key"), record.get("kind"), record.get("target"));
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        let act = Action { key: text(key), kind: text(kind), target: text(target), details: Map::new() };
        let person = people::reached(&act).ok().flatten();
        if let Some(event) = counted(&record, person.as_deref()) {
            let run = record.get("run_id").unwrap_or_default();
            match events::message(event, Of { experiment, run, mode: Mode::Live }, cx) {
                Ok(message) => effects.extend([Op::Append(message)]),
                Err(why) => tracing::warn!(experiment, why, "an event was not said"),
            }
        }
        effects.extend([record.change(vec![field("counted_at", at(cx.now()))], Mode::Live)]);
    }
    Ok(effects)
}

/// The fields of an object.
pub(super) fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}
