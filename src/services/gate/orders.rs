//! Orders: kill, restore, pause, resume, stop a run, hold, go, alerts, budgets.
//!
//! Owns which orders act and which become proposals. Every order is audited with who gave it; what cannot be done is told to people
//! and changes nothing. Must never act on an order from outside.

use serde_json::{Map, Value, json};

use super::steps::{self, RunFound};
use super::unit::Unit;
use super::{GateOptions, Undone, WORDS_LIMIT, Who, proposals};
use crate::approvals::{self, Targets, Wanted};
use crate::bus::{Context, Expect, Failure, Key, Op, Range, Received, State, StateChange};
use crate::contracts::channel::grants;
use crate::contracts::lifecycle::LifecycleEvent;
use crate::contracts::messages::{AlertAcknowledged, Alerts, Control, Intent, SetBudget, SetSuppression};
use crate::contracts::untrusted::sanitize_line;
use crate::contracts::wiring::ALERTS;
use crate::contracts::{Body, ChannelName, ServiceName, Trust, keys};
use crate::llm::ledger::{BadScope, Scope, limits};

/// The newest alerts among which one without a document is looked for.
const ALERTS_LOOKED_AT: usize = 2_000;

/// What an order did.
#[derive(Debug)]
pub(super) struct Done {
    /// What it was about.
    subject: String,
    /// What it did, for the audit; none where everything was so already.
    changed: Option<Map<String, Value>>,
}

/// Carries out an order, or makes a proposal of it.
pub(super) async fn handle<'a>(
    options: GateOptions,
    message: &Received,
    cx: &'a Context<grants::Gate>,
) -> Result<Unit<'a>, Failure> {
    let order: Control = message.read()?;
    let mut unit = Unit::new(cx.bus(), cx.origin(), message.envelope.id);
    if !acts(&order, &message.envelope.source, message.envelope.trust) {
        let proposal = proposal(&mut unit, message, &order).await?;
        proposals::consider(options, &mut unit, proposal, message.envelope.clone()).await?;
        return Ok(unit);
    }
    let (by, reason) = said(&order);
    let who = Who::said(by, &message.envelope.source, reason);
    let done = match carry_out(&mut unit, &order, &who).await {
        Ok(()) => unit.write_notes(&who.by).await.map_err(Undone::from),
        undone => undone,
    };
    match done {
        Ok(()) => Ok(unit),
        Err(Undone::Failed(failure)) => Err(failure),
        Err(Undone::Conflict(conflict)) => Err(Failure::Terminal(color_eyre::Report::new(*conflict))),
        Err(Undone::Impossible(why)) => {
            // What was composed before it turned out to be impossible must not happen.
            let mut unit = Unit::new(cx.bus(), cx.origin(), message.envelope.id);
            let why = sanitize_line(&why, WORDS_LIMIT);
            let details = [("order".to_owned(), json!(order.type_name())), ("refused".to_owned(), json!(why))];
            unit.audit("ordered", &subject(&order), &who, details.into_iter().collect()).await?;
            unit.tell(&subject(&order), format!("{} was not done: {why}", order.type_name()))?;
            Ok(unit)
        }
    }
}

/// Whether an order acts by itself. A mind's orders are proposals like all that it wants, and money is the operator's alone.
fn acts(order: &Control, source: &str, trust: Trust) -> bool {
    let by_a_mind = source == ServiceName::Orchestrator.as_str();
    match order {
        Control::SetBudget(_) | Control::DropRule(_) => !by_a_mind && trust >= Trust::Operator,
        Control::SetSuppression(order) if order.lifted => !by_a_mind && trust >= Trust::Operator,
        // A hold, too: it stops the company. Whoever is one of us may, and anybody else is asked about.
        _ => !by_a_mind && trust > Trust::External,
    }
}

/// What an order from outside, or from a mind, becomes.
async fn proposal(
    unit: &mut Unit<'_>,
    message: &Received,
    order: &Control,
) -> Result<crate::contracts::messages::Proposal, Failure> {
    let envelope = &message.envelope;
    let (by, reason) = said(order);
    let who = Who::said(by, &envelope.source, reason);
    let Ok(Value::Object(body)) = serde_json::to_value(order) else {
        return Err(color_eyre::eyre::eyre!("an order that was read cannot be written").into());
    };
    let subject = subject(order);
    let intents = vec![Intent::Say { channel: ChannelName::Control, body, priority: envelope.priority, subject: None }];
    let targets = Targets::look(unit.bus(), &intents).await?;
    let granted = ChannelName::Control.route().publishers.iter().find(|it| it.as_str() == envelope.source);
    let wanted = Wanted {
        proposer: granted.copied().unwrap_or(ServiceName::Gate),
        title: format!("{}: {subject}", order.type_name()),
        reason: who.reason.clone().unwrap_or_else(|| "no reason was given".to_owned()),
        intents,
        facts: Vec::new(),
        details: proposals::object(json!({ "ordered_by": who.by, "surface": who.surface })),
        cost_usd: None,
        trust: envelope.trust,
    };
    Ok(approvals::compose(wanted, &targets))
}

/// Who an order says gave it, and why.
fn said(order: &Control) -> (Option<&str>, Option<&str>) {
    let (by, reason) = match order {
        Control::Kill(it) => (&it.by, &it.reason),
        Control::Restore(it) => (&it.by, &it.reason),
        Control::Pause(it) => (&it.by, &it.reason),
        Control::Resume(it) => (&it.by, &it.reason),
        Control::CancelRun(it) => (&it.by, &it.reason),
        Control::Hold(it) => (&it.by, &it.reason),
        Control::Go(it) => (&it.by, &it.reason),
        Control::AcknowledgeAlert(it) => (&it.by, &None),
        Control::ResolveAlert(it) => (&it.by, &it.reason),
        Control::SetBudget(it) => (&it.by, &it.reason),
        Control::DropRule(it) => (&it.by, &it.reason),
        Control::SetSuppression(it) => (&it.by, &it.reason),
    };
    (by.as_deref(), reason.as_deref())
}

/// What an order is about.
fn subject(order: &Control) -> String {
    let subject = match order {
        Control::Kill(it) => &it.experiment_id,
        Control::Restore(it) => &it.experiment_id,
        Control::Pause(it) => &it.experiment_id,
        Control::Resume(it) => &it.experiment_id,
        Control::CancelRun(it) => &it.run_id,
        Control::Hold(_) | Control::Go(_) => return "everything".to_owned(),
        Control::AcknowledgeAlert(it) => &it.alert_id,
        Control::ResolveAlert(it) => &it.alert_id,
        Control::SetBudget(it) => &it.scope,
        Control::DropRule(it) => &it.rule_id,
        Control::SetSuppression(it) => &it.person,
    };
    sanitize_line(subject, super::NAME_LIMIT)
}

/// Does what an order says, with its record in the audit chain and a word to people.
pub(super) async fn carry_out(unit: &mut Unit<'_>, order: &Control, who: &Who) -> Result<(), Undone> {
    let done = match order {
        Control::Kill(it) => step(unit, &it.experiment_id, LifecycleEvent::Archive, who).await?,
        Control::Restore(it) => step(unit, &it.experiment_id, LifecycleEvent::Restore, who).await?,
        Control::Pause(it) => step(unit, &it.experiment_id, LifecycleEvent::Pause, who).await?,
        Control::Resume(it) => step(unit, &it.experiment_id, LifecycleEvent::Resume, who).await?,
        Control::CancelRun(it) => cancel_run(unit, &it.run_id, it.experiment_id.as_deref(), who).await?,
        Control::Hold(_) => hold(unit, who).await?,
        Control::Go(_) => go(unit).await?,
        Control::AcknowledgeAlert(it) => acknowledge(unit, &it.alert_id, it.until, who).await?,
        Control::ResolveAlert(it) => resolve(unit, &it.alert_id, who).await?,
        Control::SetBudget(it) => set_budget(unit, it, who).await?,
        Control::DropRule(it) => drop_rule(unit, &it.rule_id).await?,
        Control::SetSuppression(it) => set_suppression(unit, it, who).await?,
    };
    let mut details: Map<String, Value> = [("order".to_owned(), json!(order.type_name()))].into_iter().collect();
    let what = match done.changed {
        Some(changed) => {
            details.extend(changed);
            "done"
        }
        None => {
            details.insert("unchanged".to_owned(), json!(true));
            "was so already"
        }
    };
    unit.audit("ordered", &done.subject, who, details).await?;
    unit.tell(&done.subject, format!("{} {}: {what}, ordered by {}", order.type_name(), done.subject, who.by))?;
    Ok(())
}

fn done(subject: &str, changed: Value) -> Done {
    let changed = if let Value::Object(fields) = changed { Some(fields) } else { None };
    Done { subject: sanitize_line(subject, super::NAME_LIMIT), changed }
}

async fn step(unit: &mut Unit<'_>, id: &str, event: LifecycleEvent, who: &Who) -> Result<Done, Undone> {
    // The same order twice is one: what it leads to is there already.
    let reached = match event {
        LifecycleEvent::Archive => Some("archived"),
        LifecycleEvent::Pause => Some("paused"),
        _ => None,
    };
    let key = keys::experiment(id).map_err(|bad| Undone::Impossible(bad.to_string()))?;
    let state = unit.document(&key).await?.and_then(|experiment| experiment.get("state")).map(str::to_owned);
    if state.is_some() && state.as_deref() == reached {
        return Ok(done(id, Value::Null));
    }
    let taken = steps::step(unit, id, event, who).await?;
    Ok(done(id, json!({ "from": taken.from, "to": taken.to })))
}

async fn cancel_run(unit: &mut Unit<'_>, run: &str, experiment: Option<&str>, who: &Who) -> Result<Done, Undone> {
    match steps::find_run(unit.bus(), run, experiment).await? {
        RunFound::Running(key) => {
            let changed = json!({ "run": key });
            steps::request_cancel(unit, key, who);
            Ok(done(run, changed))
        }
        RunFound::Over => Ok(done(run, Value::Null)),
        RunFound::Unknown => Err(Undone::Impossible(format!("there is no run `{}`", sanitize_line(run, 120)))),
    }
}

/// Whether everything is on hold.
async fn is_held(unit: &Unit<'_>) -> Result<bool, Undone> {
    let status = unit.bus().get(&Key::new(keys::STATUS)).await?;
    Ok(matches!(status, Some(State::String(text)) if text == PAUSED))
}

/// `fullsend:status` while everything is on hold.
const PAUSED: &str = "paused";

async fn hold(unit: &mut Unit<'_>, who: &Who) -> Result<Done, Undone> {
    if is_held(unit).await? {
        return Ok(done("everything", Value::Null));
    }
    unit.state(keys::STATUS, StateChange::SetString(PAUSED.to_owned()));
    let fields = [
        ("by", Some(who.by.clone())),
        ("since", Some(unit.at())),
        ("reason", who.reason.clone()),
        ("level", Some("hold".to_owned())),
        ("surface", who.surface.clone()),
    ];
    unit.set(keys::HOLD, fields).await?;
    Ok(done("everything", json!({ "status": PAUSED })))
}

async fn go(unit: &mut Unit<'_>) -> Result<Done, Undone> {
    if !is_held(unit).await? {
        return Ok(done("everything", Value::Null));
    }
    let was = unit.document(keys::HOLD).await?.cloned().unwrap_or_default();
    unit.state(keys::STATUS, StateChange::SetString("running".to_owned()));
    unit.push([Op::Delete { key: Key::new(keys::HOLD), expect: Expect::Any }]);
    Ok(done("everything", json!({ "status": "running", "held_by": was.get("by"), "held_since": was.get("since") })))
}

/// Whether an alert is known: by its document, or because it was said lately.
async fn known_alert(unit: &mut Unit<'_>, alert_id: &str) -> Result<String, Undone> {
    let unknown = || Undone::Impossible(format!("there is no alert `{}`", sanitize_line(alert_id, 120)));
    let key = keys::alert(alert_id).map_err(|bad| Undone::Impossible(bad.to_string()))?;
    if unit.document(&key).await?.is_some() {
        return Ok(key);
    }
    let said = unit.bus().range(ChannelName::Alerts, Range::newest(ALERTS_LOOKED_AT)).await?;
    let names_it =
        |body: &str| matches!(Alerts::read(body), Ok(Alerts::Triggered(alert)) if alert.alert_id == alert_id);
    if said.iter().any(|entry| entry.is_believed() && names_it(&entry.b)) { Ok(key) } else { Err(unknown()) }
}

async fn acknowledge(
    unit: &mut Unit<'_>,
    alert_id: &str,
    until: Option<chrono::DateTime<chrono::Utc>>,
    who: &Who,
) -> Result<Done, Undone> {
    let key = known_alert(unit, alert_id).await?;
    let state = unit.document(&key).await?.and_then(|alert| alert.get("state")).map(str::to_owned);
    if state.as_deref() == Some("resolved") {
        return Ok(done(alert_id, Value::Null));
    }
    let fields = [
        ("state", Some("acknowledged".to_owned())),
        ("acknowledged_by", Some(who.by.clone())),
        ("acknowledged_at", Some(unit.at())),
        ("quiet_until", until.map(crate::contracts::envelope::rfc3339)),
    ];
    unit.set(&key, fields).await?;
    let said = AlertAcknowledged { alert_id: alert_id.to_owned(), by: who.by.clone(), until };
    unit.say(ALERTS, Alerts::Acknowledged(said))?;
    Ok(done(alert_id, json!({ "state": "acknowledged", "until": until })))
}

async fn resolve(unit: &mut Unit<'_>, alert_id: &str, who: &Who) -> Result<Done, Undone> {
    let key = known_alert(unit, alert_id).await?;
    if unit.document(&key).await?.is_none() {
        unit.set(&key, [("state", Some("triggered".to_owned()))]).await?;
    }
    let reason = who.reason.clone().unwrap_or_else(|| "somebody said that it is over".to_owned());
    let resolved = unit.resolve(alert_id, who, &reason).await?;
    Ok(done(alert_id, if resolved { json!({ "state": "resolved" }) } else { Value::Null }))
}

/// What it counted goes with it.
async fn drop_rule(unit: &mut Unit<'_>, id: &str) -> Result<Done, Undone> {
    let shown = sanitize_line(id, super::NAME_LIMIT);
    let key = keys::policy_rule(id).map_err(|bad| Undone::Impossible(bad.to_string()))?;
    let Some(rule) = unit.document(&key).await?.filter(|rule| rule.get("kind").is_some()) else {
        return Err(Undone::Impossible(format!("there is no rule `{shown}`; `fullsend approvals rules` shows them")));
    };
    let kind = rule.get("kind").map(str::to_owned);
    unit.push([Op::Delete { key: Key::new(key), expect: Expect::Any }]);
    Ok(done(id, json!({ "kind": kind })))
}

/// Whoever ordered it has mostly done it already, in one commit with the order.
async fn set_suppression(unit: &mut Unit<'_>, order: &SetSuppression, who: &Who) -> Result<Done, Undone> {
    let key = keys::suppression(&order.person).map_err(|bad| Undone::Impossible(bad.to_string()))?;
    if order.person.len() != 64 || !order.person.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Undone::Impossible("a person is named by the SHA-256 of the address, in hex".to_owned()));
    }
    let was = unit.document(&key).await?.is_some();
    if was != order.lifted {
        return Ok(done(&order.person, json!({ "suppressed": was })));
    }
    if order.lifted {
        unit.push([Op::Delete { key: Key::new(key), expect: Expect::Any }]);
    } else {
        let fields = [("reason", who.reason.clone()), ("at", Some(unit.at())), ("by", Some(who.by.clone()))];
        unit.set(&key, fields).await?;
    }
    Ok(done(&order.person, json!({ "suppressed": !order.lifted })))
}

/// How the limit is written is the ledger's.
async fn set_budget(unit: &mut Unit<'_>, order: &SetBudget, who: &Who) -> Result<Done, Undone> {
    if order.until.is_some_and(|until| until <= unit.now()) {
        return Err(Undone::Impossible("the time until which it should hold is over".to_owned()));
    }
    let scope: Scope = order.scope.parse().map_err(|bad: BadScope| Undone::Impossible(bad.to_string()))?;
    let key = scope.limit_key();
    let found = unit.document(key.as_str()).await?.cloned();
    let order = SetBudget { by: Some(who.by.clone()), reason: who.reason.clone(), ..order.clone() };
    let followed = limits::follow(&order, unit.id(), found.as_ref(), unit.now());
    let Some(change) = followed.map_err(|bad| Undone::Impossible(bad.to_string()))? else {
        return Ok(done(&order.scope, Value::Null));
    };
    let before = found.map(|budget| budget.fields).unwrap_or_default();
    if let Op::Change { fields, .. } = &change {
        unit.set(key.as_str(), fields.iter().map(|(name, text)| (name.as_str(), text.clone()))).await?;
    }
    Ok(done(&order.scope, json!({ "limit": order.limit, "unit": order.unit, "until": order.until, "before": before })))
}
