//! Limits: those of the settings, and what the operator ordered while it runs.
//!
//! Owns the documents `budgets:SCOPE`. For each unit (`nano`, `tokens`, `calls`) they hold `limit_UNIT`, and where it is only for a while
//! `until_UNIT` and `former_UNIT`, which holds again afterwards (none: that of the settings). `set_by` is the id of the order, so that an
//! older one that is handled again changes nothing.

use chrono::{DateTime, TimeDelta, Utc};

use super::Ledger;
use super::scope::{BadScope, Scope, Unit};
use crate::bus::{BusError, Document, Expect, Op, SharedBus, Ttl};
use crate::config::{self, Budgets, Limits};
use crate::contracts::messages::SetBudget;
use crate::contracts::{MessageId, money};

/// An order that cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadOrder {
    /// It names no scope.
    #[error(transparent)]
    Scope(#[from] BadScope),
    /// It counts what is not counted for models.
    #[error("budgets count usd, tokens and calls; `{0}` is not counted here")]
    Unit(&'static str),
    /// It is no amount.
    #[error("{0} is no limit; it is a number from 0 on")]
    Amount(String),
}

/// The limit of a unit.
pub fn limit_of(limits: &Limits, unit: Unit) -> Option<u64> {
    match unit {
        Unit::Nano => limits.nano,
        Unit::Tokens => limits.tokens,
        Unit::Calls => limits.calls,
    }
}

/// The limits that the settings give a scope.
pub fn of_settings(budgets: &Budgets, scope: &Scope) -> Limits {
    match scope {
        Scope::Call => budgets.call,
        Scope::Day => budgets.day,
        Scope::Month => budgets.month,
        Scope::Task(_) => budgets.task,
        Scope::Service(_) => budgets.service,
        Scope::Model(_) => Limits::NONE,
        Scope::Trace(_) => budgets.trace,
    }
}

/// The limits that hold for a scope now: the operator's over those of the settings.
pub fn in_force(settings: Limits, ordered: Option<&Document>, now: DateTime<Utc>) -> Limits {
    let of = |unit| ordered.and_then(|document| ordered_limit(document, unit, now)).or(limit_of(&settings, unit));
    Limits { nano: of(Unit::Nano), tokens: of(Unit::Tokens), calls: of(Unit::Calls) }
}

/// Until when an ordered limit of a unit holds, where it is only for a while and holds now.
pub fn until(ordered: &Document, unit: Unit, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    time(ordered, unit).filter(|until| now < *until)
}

fn time(document: &Document, unit: Unit) -> Option<DateTime<Utc>> {
    let text = document.get(&format!("until_{}", unit.as_str()))?;
    Some(DateTime::parse_from_rfc3339(text).ok()?.to_utc())
}

fn ordered_limit(document: &Document, unit: Unit, now: DateTime<Utc>) -> Option<u64> {
    let is_over = time(document, unit).is_some_and(|until| now >= until);
    let field = if is_over { "former" } else { "limit" };
    document.get(&format!("{field}_{}", unit.as_str()))?.parse().ok()
}

/// A form that is no order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadForm {
    /// The field: `scope`, `limit` or `until`.
    pub field: &'static str,
    /// What is wrong with it.
    pub why: String,
}

/// The order that somebody writes in words.
///
/// # Errors
/// Where a field cannot be read.
pub fn order(
    scope: &str,
    amount: &str,
    until: Option<&str>,
    reason: Option<&str>,
    by: &str,
    now: DateTime<Utc>,
) -> Result<SetBudget, BadForm> {
    let bad = |field, why| BadForm { field, why };
    let scope: Scope = scope.parse().map_err(|err: BadScope| bad("scope", err.to_string()))?;
    let (unit, amount) = config::amount(amount).map_err(|why| bad("limit", why))?;
    let counted = || bad("limit", "budgets count dollars, tokens and calls".to_owned());
    let unit = Unit::from_message(unit).ok_or_else(counted)?;
    let until = until.map(|text| moment(text, now)).transpose().map_err(|why| bad("until", why))?;
    Ok(SetBudget {
        scope: scope.to_string(),
        unit: unit.of_message(),
        limit: unit.number(amount),
        until,
        reason: reason.map(str::to_owned),
        by: Some(by.to_owned()),
    })
}

/// A time, or a length of time from now.
fn moment(text: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>, String> {
    let at = match DateTime::parse_from_rfc3339(text) {
        Ok(at) => Some(at.to_utc()),
        Err(_) => {
            let length = config::duration::parse(text).ok().and_then(|length| TimeDelta::from_std(length).ok());
            length.and_then(|length| now.checked_add_signed(length))
        }
    };
    let neither = || format!("`{text}` is neither a time (`2026-03-01T18:00:00Z`) nor a length of time (`6h`)");
    let at = at.ok_or_else(neither)?;
    if at > now { Ok(at) } else { Err(format!("{text} is past")) }
}

/// What follows an order, given the document that stands under its scope's [`Scope::limit_key`]; none where a later order was already followed.
///
/// # Errors
/// Where the order cannot be followed.
pub fn follow(
    order: &SetBudget,
    id: MessageId,
    found: Option<&Document>,
    now: DateTime<Utc>,
) -> Result<Option<Op>, BadOrder> {
    let scope: Scope = order.scope.parse()?;
    let unit = Unit::from_message(order.unit).ok_or(BadOrder::Unit(match order.unit {
        crate::contracts::messages::BudgetUnit::Depth => "depth",
        _ => "seconds",
    }))?;
    let bad = || BadOrder::Amount(order.limit.to_string());
    let limit = match unit {
        Unit::Nano => money::nano_of(order.limit).map_err(|_| bad())?,
        Unit::Tokens | Unit::Calls => whole(order.limit).ok_or_else(bad)?,
    };
    let set_by = format!("set_by_{}", unit.as_str());
    let followed = found.and_then(|document| document.get(&set_by)?.parse::<MessageId>().ok());
    if followed.is_some_and(|followed| followed >= id) {
        return Ok(None);
    }
    let field = |name: &str| format!("{name}_{}", unit.as_str());
    // What holds again afterwards is what holds without an end now.
    let former = order.until.and(found).and_then(|document| {
        let is_for_a_while = document.get(&field("until")).is_some();
        document.get(&field(if is_for_a_while { "former" } else { "limit" })).map(str::to_owned)
    });
    let fields = vec![
        (field("limit"), Some(limit.to_string())),
        (field("until"), order.until.map(|until| until.to_rfc3339())),
        (field("former"), former),
        (set_by, Some(id.to_string())),
        (field("by"), order.by.clone()),
        (field("reason"), order.reason.clone()),
        (field("set_at"), Some(now.to_rfc3339())),
    ];
    let expect = found.map_or(Expect::Absent, |document| Expect::Version(document.version));
    Ok(Some(Op::Change { key: scope.limit_key(), expect, fields, ttl: Ttl::Keep }))
}

/// A whole number that a message writes as a float.
fn whole(number: f64) -> Option<u64> {
    let text = format!("{number:.0}");
    text.parse().ok().filter(|whole: &u64| i64::try_from(*whole).is_ok() && (number - number.round()).abs() < 1e-9)
}

/// The operator's limits of a scope, if there are any.
///
/// # Errors
/// Where the bus cannot be reached.
pub async fn ordered(bus: &SharedBus, scope: &Scope) -> Result<Option<Document>, BusError> {
    let state = bus.get(&scope.limit_key()).await?;
    Ok(state.and_then(|state| state.document().cloned()))
}

impl Ledger {
    /// The limits of a single call, and those that hold for the scopes.
    pub(super) async fn limits(&self, scopes: &[Scope], now: DateTime<Utc>) -> Result<(Limits, Vec<Limits>), BusError> {
        let of = async |scope: &Scope| {
            let ordered = ordered(&self.parts.bus, scope).await?;
            Ok::<_, BusError>(in_force(of_settings(&self.parts.budgets, scope), ordered.as_ref(), now))
        };
        let (call, all) = futures::join!(of(&Scope::Call), futures::future::join_all(scopes.iter().map(of)));
        Ok((call?, all.into_iter().collect::<Result<_, _>>()?))
    }
}
