//! Records of outward acts: what was begun, what came of it, and what nobody knows.
//!
//! Owns `actions:{id}`, `suppressions:{id}`, `contacts:{id}` and `limits:{sender}:{date}` as they are read and written. An act is written
//! down as begun before it is done; one that was begun by somebody who died is unknown, and a person decides about it. Must never hold an
//! address in a key.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value, json};

use super::record::at;
use super::{document, field, gone, shown, terminal};
use crate::bus::{BusError, Context, Document, Draft, Expect, Failure, Key, Op, SharedBus, Ttl};
use crate::contracts::channel::grants;
use crate::contracts::messages::{
    ActionAsked, ActionRequest, ActionType, AlertTriggered, Alerts, FromOrchestrator, Severity,
};
use crate::contracts::untrusted::sanitize_line;
use crate::contracts::wiring::{ALERTS, FROM_ORCHESTRATOR};
use crate::contracts::{Priority, keys};
use crate::experiments::spec::Mode;
use crate::tools::contract::{Action, ActionDone};

/// How long the record of an act that reached nobody is kept.
const KEPT_DRY: std::time::Duration = std::time::Duration::from_hours(7 * 24);

/// The id of an act. One that reaches nobody is another in each run, so that it stands in the way of no real one.
pub(super) fn id_of(action: &Action, run: &str, mode: Mode) -> String {
    match mode {
        Mode::Live => keys::person(&action.key),
        Mode::DryRun | Mode::Simulation => keys::person(&format!("{mode}:{run}:{}", action.key)),
    }
}

/// The address that an act reaches, where it reaches one.
pub(super) fn address(action: &Action) -> Option<&str> {
    Some(action.target.as_str()).filter(|target| target.contains('@') && !target.contains('/'))
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
        ("message_id".to_owned(), text("message_id")),
    ]
}

/// The fields of what came of it.
pub(super) fn outcome(done: &ActionDone, now: DateTime<Utc>) -> Vec<(String, Option<String>)> {
    vec![
        field("state", if done.ok { "done" } else { "failed" }),
        field("at", at(now)),
        ("error".to_owned(), done.error.as_ref().map(|error| error.line(300))),
        ("receipt".to_owned(), done.receipt.as_ref().map(|receipt| receipt.line(300))),
        gone("holder"),
    ]
}

/// Whether somebody, by the hash of the address, must not be written to, and why.
pub(super) async fn suppressed(bus: &SharedBus, person: &str) -> Result<Option<String>, BusError> {
    let Ok(key) = keys::suppression(person) else { return Ok(None) };
    let found = document(bus, &key).await?;
    Ok(found.map(|found| found.get("reason").map_or_else(|| "suppressed".to_owned(), shown)))
}

/// Puts somebody on the list of those who are not written to.
pub(super) fn suppress(person: &str, reason: &str, by: &str, now: DateTime<Utc>) -> Option<Op> {
    let key = keys::suppression(person).ok()?;
    let fields = vec![field("reason", reason), field("at", at(now)), field("by", by)];
    Some(Op::Change { key: Key::new(key), expect: Expect::Any, fields, ttl: Ttl::Keep })
}

/// The experiment that somebody was written to for lately, if it is another one.
pub(super) async fn written_to(
    bus: &SharedBus,
    person: &str,
    experiment: &str,
    gap: TimeDelta,
    now: DateTime<Utc>,
) -> Result<Option<String>, BusError> {
    let Ok(key) = keys::contact(person) else { return Ok(None) };
    let Some(contact) = document(bus, &key).await? else { return Ok(None) };
    let other = contact.get("experiment_id").filter(|other| *other != experiment);
    let last = contact.get("last_at").and_then(crate::contracts::envelope::read_time);
    Ok(match (other, last) {
        (Some(other), Some(last)) if now - last < gap => Some(shown(other)),
        _ => None,
    })
}

/// Notes when somebody was written to, or what somebody did.
pub(super) fn contact(person: &str, fields: Vec<(String, Option<String>)>) -> Option<Op> {
    let key = keys::contact(person).ok()?;
    Some(Op::Change { key: Key::new(key), expect: Expect::Any, fields, ttl: Ttl::Keep })
}

/// One more message of a sender, or of an experiment, on this day; refused above `most`.
pub(super) fn count(of: &str, now: DateTime<Utc>, n: i64, most: Option<u64>) -> Option<Op> {
    let key = Key::new(keys::limit(of, now.date_naive()).ok()?);
    let ceiling = most.map(|most| i64::try_from(most).unwrap_or(i64::MAX));
    Some(Op::Add { key, field: "sent".to_owned(), n, ceiling })
}

/// When the day after this one begins (UTC).
pub(super) fn tomorrow(now: DateTime<Utc>) -> DateTime<Utc> {
    let next = now.date_naive().succ_opt().unwrap_or_default();
    next.and_time(chrono::NaiveTime::MIN).and_utc()
}

/// That nobody knows whether an act was done: its record, an alert that lasts, and a person who is asked.
pub(super) fn unknown(
    record: &ActionRecord,
    id: &str,
    cx: &Context<grants::Executor>,
    mode: Mode,
) -> Result<Vec<Op>, Failure> {
    let get = |name: &str| record.get(name).map(|text| sanitize_line(text, 200)).unwrap_or_default();
    let (experiment, kind, target) = (get("experiment_id"), get("kind"), get("target"));
    let message = format!(
        "It is not known whether the {kind} to {target} went out: whoever did it ended before saying so. It is not done again."
    );
    let fix =
        "look whether it arrived, then say so: `fullsend experiments done ID --action ACTION`, or with `--rejected`";
    let alert_id = format!("{experiment}:action:{}", id.get(..16).unwrap_or(id));
    let alert = AlertTriggered {
        alert_id: alert_id.clone(),
        severity: Severity::High,
        message: message.clone(),
        fix: Some(fix.to_owned()),
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
        record.change(vec![field("state", "unknown"), field("at", at(cx.now())), gone("holder")], mode),
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

/// The fields of an object.
pub(super) fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}
