//! The ledger: what model calls cost, and that they stay within their budgets.
//!
//! Owns prices, reservations and sums. Before a call, the most that it can cost is reserved in every scope that it belongs to, in one
//! commit with the ceilings; afterwards the difference is given back. So no number of processes together passes a limit by more than what
//! an estimate was short of. Must never let a call go where the store cannot be asked, and never count in floating point.
//!
//! | document | what it holds |
//! |---|---|
//! | `budgets:SCOPE` | the operator's limit, see [`limits`] |
//! | `budgets:SCOPE:PERIOD` | sums of a day or a month (UTC); of a chain: `budgets:trace:ID`. They go 45 days after the last call, a month's after 400 |
//! | `reservations:CALL` | a call under way; one that is past its deadline is settled by the [`Sweeper`] |
//!
//! A call counts in the period in which it was reserved, whenever it ends. An estimate is a token for each three bytes of the prompt (texts in
//! Latin letters have about four a token, others three) and [`PROMPT_OVERHEAD`], all of it at the dearer of the prices of input and of a five-minute
//! cache write, and `max_tokens` of output.

mod booking;
pub mod limits;
mod notices;
pub mod prices;
pub mod report;
pub mod scope;
mod sweep;
#[cfg(test)]
mod tests;
pub mod usage;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use thiserror::Error;

use self::booking::Booking;
pub use self::booking::{ESTIMATED_CALLS, ESTIMATED_NANO};
use self::limits::limit_of;
pub use self::prices::{ModelPrice, Price, Prices};
pub use self::scope::{BadScope, Scope, Unit};
pub use self::sweep::Sweeper;
pub use self::usage::{AnthropicUsage, GeminiUsage, OpenAiUsage, Usage};
use super::task::TaskName;
use crate::bus::sender::commit_patiently;
use crate::bus::{BusError, Commit, Expect, Key, Op, Origin, Outcome, Refusal, SharedBus, Ttl};
use crate::config::{Budgets, Limits, OnExceeded};
use crate::contracts::{Clock, Ids, ServiceName, TraceId, Trust, keys};

/// Tokens that every prompt is estimated to have besides its text: roles, separators, a schema's frame.
pub const PROMPT_OVERHEAD: u64 = 64;

/// How long an unreachable store is asked again before a call is refused, or left to the sweeper.
const PATIENCE: Duration = Duration::from_secs(2);
/// A reservation is settled as an estimate this long after the call should have ended.
const GRACE: TimeDelta = TimeDelta::seconds(60);
/// Models that are told of as unknown; beyond, they are only told of again.
const TOLD_LIMIT: usize = 1_000;

/// The tokens that a text of so many bytes has at most, as good as certainly.
pub fn estimate_tokens(bytes: u64) -> u64 {
    bytes.div_ceil(3)
}

/// A call that is to be made. Each attempt that may be billed is one.
#[derive(Debug, Clone)]
pub struct Call {
    /// Names it: that of `llm_start`. A key is made of it.
    pub id: String,
    /// Who calls.
    pub service: ServiceName,
    /// What for.
    pub task: TaskName,
    /// The chain that it belongs to.
    pub trace: Option<TraceId>,
    /// Who is paid.
    pub provider: String,
    /// For which model.
    pub model: String,
    /// Whether the server is the operator's own, and costs nothing; its tokens and calls count all the same.
    pub is_local: bool,
    /// How long the prompt is, in bytes: system, messages, schema.
    pub prompt_bytes: u64,
    /// The most that the model may write, its reasoning included.
    pub max_tokens: u64,
    /// The longest that it may take.
    pub within: Duration,
}

impl Call {
    /// The input that is estimated.
    pub fn input_tokens(&self) -> u64 {
        estimate_tokens(self.prompt_bytes).saturating_add(PROMPT_OVERHEAD)
    }

    /// The scopes with sums that it belongs to, the narrowest first: that one is named where several refuse.
    fn scopes(&self) -> Vec<Scope> {
        let mut scopes: Vec<Scope> = self.trace.map(Scope::trace).into_iter().collect();
        scopes.extend([
            Scope::task(self.task.as_str()),
            Scope::Service(self.service.as_str().to_owned()),
            Scope::model(&self.provider, &self.model),
            Scope::Day,
            Scope::Month,
        ]);
        scopes
    }
}

/// A budget does not allow a call.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "the budget `{scope}` does not allow it: {} of {} are spent or reserved, and this call may take {}; raise it with `fullsend budget set {scope} AMOUNT --until TIME`{}",
    unit.show(*spent), unit.show(*limit), unit.show(*asked),
    match scope { Scope::Day | Scope::Task(_) | Scope::Service(_) | Scope::Model(_) => ", or wait for the next day (UTC)", Scope::Month => ", or wait for the next month (UTC)", _ => "" }
)]
pub struct OverBudget {
    /// Which budget.
    pub scope: Scope,
    /// What it counts.
    pub unit: Unit,
    /// The most that may be spent.
    pub limit: u64,
    /// What is spent or reserved.
    pub spent: u64,
    /// What the call may take, by its estimate.
    pub asked: u64,
}

/// Why a call may not be made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NotReserved {
    /// A budget does not allow it.
    #[error(transparent)]
    OverBudget(#[from] OverBudget),
    /// The store cannot be asked; without it nothing is spent.
    #[error("nothing could be reserved for the call: {0}")]
    Bus(#[from] BusError),
    /// What stands in the store cannot be added to.
    #[error("nothing could be reserved for the call: {0}")]
    Refused(#[from] Refusal),
    /// The call's id cannot be part of a key.
    #[error(transparent)]
    BadId(#[from] keys::BadId),
}

/// Keeps the budgets. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Ledger {
    parts: Arc<Parts>,
}

struct Parts {
    bus: SharedBus,
    prices: Prices,
    budgets: Budgets,
    clock: Arc<dyn Clock>,
    origin: Origin,
    /// Models that are not listed, and were told of.
    told: Mutex<BTreeSet<String>>,
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger").field("budgets", &self.parts.budgets).finish_non_exhaustive()
    }
}

/// A limit and the document with the sums that it holds for.
struct Covered {
    scope: Scope,
    key: Key,
    limits: Limits,
}

impl Ledger {
    /// The ledger of this bus, with the limits of the settings.
    pub fn new(bus: SharedBus, prices: Prices, budgets: Budgets, clock: Arc<dyn Clock>, ids: Arc<Ids>) -> Self {
        let origin = Origin::new(Arc::clone(&clock), ids, Trust::System);
        Self { parts: Arc::new(Parts { bus, prices, budgets, clock, origin, told: Mutex::default() }) }
    }

    /// What is to happen to a call that no budget allows.
    pub fn on_exceeded(&self) -> OnExceeded {
        self.parts.budgets.on_exceeded
    }

    /// What a model costs now; a model that is not listed is told of once.
    pub fn price(&self, provider: &str, model: &str, is_local: bool) -> ModelPrice {
        if is_local {
            return ModelPrice::free();
        }
        let price = self.parts.prices.of(provider, model, self.parts.clock.now().date_naive());
        if !price.is_known {
            let mut told = self.parts.told.lock().unwrap_or_else(PoisonError::into_inner);
            if told.len() < TOLD_LIMIT && told.insert(format!("{provider}/{model}")) {
                tracing::warn!(
                    provider,
                    model,
                    "no price is listed for this model, so it counts as the dearest; put its price into prices.toml"
                );
            }
        }
        price
    }

    /// Reserves the most that a call can take, in every scope, or in none.
    ///
    /// # Errors
    /// Where a budget does not allow it, or the store cannot be asked within two seconds: then the call must not be made.
    pub async fn reserve(&self, call: Call) -> Result<Reservation, NotReserved> {
        let now = self.parts.clock.now();
        let price = self.price(&call.provider, &call.model, call.is_local);
        let nano = price.most(call.input_tokens(), call.max_tokens);
        let tokens = call.input_tokens().saturating_add(call.max_tokens);
        let scopes = call.scopes();
        let (of_call, limits) = self.limits(&scopes, now).await?;
        let covered: Vec<Covered> = scopes
            .into_iter()
            .zip(limits)
            .filter_map(|(scope, limits)| Some(Covered { key: scope.sums_key(now)?, scope, limits }))
            .collect();
        if let Some(over) = over_call(&of_call, nano, tokens) {
            return Err(self.refuse(&call, over, &covered).await.into());
        }
        let reservation = Reservation {
            ledger: self.clone(),
            key: Key::new(keys::reservation(&call.id)?),
            sums: covered.iter().map(|covered| covered.key.clone()).collect(),
            nano,
            tokens,
            price,
            call,
        };
        let mut ops = vec![reservation.document(now)];
        for covered in &covered {
            ops.push(kept(covered, now));
            ops.extend(claims(covered, nano, tokens));
        }
        let once = Some(format!("reserve:{}", reservation.call.id));
        match commit_patiently(&self.parts.bus, Commit { once, ..Commit::of(ops) }, PATIENCE).await? {
            // A duplicate is this very call's: the answer to the first try was lost.
            Outcome::Committed(_) | Outcome::Duplicate(_) => {}
            Outcome::Ceiling { key, field, value } => {
                let over = exceeded(&covered, &key, &field, value, nano, tokens);
                return Err(match over {
                    Some(over) => self.refuse(&reservation.call, over, &covered).await.into(),
                    None => BusError::Protocol(format!("a ceiling of `{field}` of `{key}`, which has none")).into(),
                });
            }
            Outcome::Refused(refusal) => return Err(refusal.into()),
            other => return Err(BusError::Protocol(format!("{other:?} to a reservation")).into()),
        }
        self.warn_where_due(&covered).await;
        Ok(reservation)
    }

    async fn refuse(&self, call: &Call, over: OverBudget, covered: &[Covered]) -> OverBudget {
        tracing::warn!(service = %call.service, task = %call.task, model = call.model, %over, "a model call is refused");
        self.say_exceeded(call, &over, covered).await;
        over
    }
}

/// The sums' documents go some time after the last call.
fn kept(covered: &Covered, now: DateTime<Utc>) -> Op {
    let days = if covered.scope == Scope::Month { 400 } else { 45 };
    let fields = vec![("updated_at".to_owned(), Some(now.to_rfc3339()))];
    let ttl = Ttl::Set(Duration::from_hours(24 * days));
    Op::Change { key: covered.key.clone(), expect: Expect::Any, fields, ttl }
}

/// The claims of a call on one scope.
fn claims(covered: &Covered, nano: u64, tokens: u64) -> Vec<Op> {
    let mut ops = Booking::reserved(nano, tokens).in_place_of(&Booking::nothing(), &covered.key);
    for op in &mut ops {
        if let Op::Add { field, ceiling, .. } = op {
            let unit = Unit::ALL.into_iter().find(|unit| unit.claimed() == field);
            *ceiling =
                unit.and_then(|unit| limit_of(&covered.limits, unit)).and_then(|limit| i64::try_from(limit).ok());
        }
    }
    ops
}

fn asked(unit: Unit, nano: u64, tokens: u64) -> u64 {
    match unit {
        Unit::Nano => nano,
        Unit::Tokens => tokens,
        Unit::Calls => 1,
    }
}

fn over_call(limits: &Limits, nano: u64, tokens: u64) -> Option<OverBudget> {
    Unit::ALL.into_iter().find_map(|unit| {
        let (limit, asked) = (limit_of(limits, unit)?, asked(unit, nano, tokens));
        (asked > limit).then_some(OverBudget { scope: Scope::Call, unit, limit, spent: 0, asked })
    })
}

fn exceeded(covered: &[Covered], key: &Key, field: &str, value: i64, nano: u64, tokens: u64) -> Option<OverBudget> {
    let covered = covered.iter().find(|covered| covered.key == *key)?;
    let unit = Unit::ALL.into_iter().find(|unit| unit.claimed() == field)?;
    Some(OverBudget {
        scope: covered.scope.clone(),
        unit,
        limit: limit_of(&covered.limits, unit)?,
        spent: u64::try_from(value).unwrap_or(0),
        asked: asked(unit, nano, tokens),
    })
}

/// A call that may be made. It must be settled or released; one that is dropped stays reserved until its deadline, and is then settled
/// as an estimate.
#[derive(Debug)]
#[must_use = "settle it when the call is over, or release it where nothing was billed"]
pub struct Reservation {
    ledger: Ledger,
    call: Call,
    key: Key,
    sums: Vec<Key>,
    nano: u64,
    tokens: u64,
    price: ModelPrice,
}

impl Reservation {
    /// What is reserved, in nano-dollars.
    pub fn nano_usd(&self) -> u64 {
        self.nano
    }

    /// What this usage costs, in nano-dollars.
    pub fn cost(&self, usage: &Usage) -> u64 {
        self.price.cost(usage)
    }

    /// What an attempt used that was cut off after so many bytes of output, where the provider has not said.
    pub fn estimate(&self, output_bytes: u64) -> Usage {
        let output = estimate_tokens(output_bytes).min(self.call.max_tokens);
        crate::contracts::messages::Tokens { uncached: self.call.input_tokens(), output, ..Default::default() }.into()
    }

    /// The call is over and is billed: counts what it used, once, and gives the rest back. Returns what it cost, in nano-dollars.
    ///
    /// `estimated` where the provider has not said what was used.
    ///
    /// # Errors
    /// Where the store cannot be reached within two seconds; the sweeper then settles the reservation as an estimate.
    pub async fn settle(self, usage: impl Into<Usage>, estimated: bool) -> Result<u64, BusError> {
        let usage = usage.into();
        let nano = self.cost(&usage);
        self.book(&Booking::settled(nano, &usage, estimated)).await?;
        self.ledger.say_recorded(&self.call, usage.tokens, nano, estimated).await;
        Ok(nano)
    }

    /// The call was not billed (nothing was sent, or it was refused before it began): gives everything back.
    ///
    /// # Errors
    /// As [`Reservation::settle`].
    pub async fn release(self) -> Result<(), BusError> {
        self.book(&Booking::nothing()).await
    }

    /// Puts a booking in the place of the reservation; or of the estimate, where the sweeper was first.
    async fn book(&self, booking: &Booking) -> Result<(), BusError> {
        let reserved = Booking::reserved(self.nano, self.tokens);
        let outcome = self.replace(Some(RESERVED), &reserved, booking).await?;
        let outcome = match outcome {
            Outcome::Conflict { found: Some(SWEPT), .. } => {
                let estimate = swept(self.nano, self.call.input_tokens(), self.call.max_tokens);
                self.replace(Some(SWEPT), &estimate, booking).await?
            }
            Outcome::Conflict { found: None, .. } => {
                tracing::error!(
                    call = self.call.id,
                    "its reservation is gone from the store; what it cost is counted anew"
                );
                self.replace(None, &Booking::nothing(), booking).await?
            }
            other => other,
        };
        match outcome {
            Outcome::Committed(_) | Outcome::Duplicate(_) => Ok(()),
            other => Err(BusError::Protocol(format!("{other:?} to the settling of the call {}", self.call.id))),
        }
    }

    async fn replace(&self, version: Option<u64>, former: &Booking, booking: &Booking) -> Result<Outcome, BusError> {
        let delete = |version| Op::Delete { key: self.key.clone(), expect: Expect::Version(version) };
        let mut ops: Vec<Op> = version.map(delete).into_iter().collect();
        ops.extend(self.sums.iter().flat_map(|key| booking.in_place_of(former, key)));
        let once = Some(format!("settle:{}", self.call.id));
        commit_patiently(&self.ledger.parts.bus, Commit { once, ..Commit::of(ops) }, PATIENCE).await
    }

    /// Everything that the sweeper needs to settle it.
    fn document(&self, now: DateTime<Utc>) -> Op {
        let within = TimeDelta::from_std(self.call.within).unwrap_or(TimeDelta::zero());
        let deadline = now + within.min(TimeDelta::days(1)) + GRACE;
        let sums: Vec<&str> = self.sums.iter().map(Key::as_str).collect();
        let fields = [
            ("service", self.call.service.to_string()),
            ("task", self.call.task.to_string()),
            ("trace", self.call.trace.map(|trace| trace.to_string()).unwrap_or_default()),
            ("provider", self.call.provider.clone()),
            ("model", self.call.model.clone()),
            ("nano", self.nano.to_string()),
            ("input_tokens", self.call.input_tokens().to_string()),
            ("max_tokens", self.call.max_tokens.to_string()),
            ("sums", serde_json::to_string(&sums).unwrap_or_default()),
            ("at", now.to_rfc3339()),
            ("deadline", deadline.to_rfc3339()),
        ];
        let fields = fields.into_iter().map(|(field, value)| (field.to_owned(), Some(value))).collect();
        Op::Change { key: self.key.clone(), expect: Expect::Absent, fields, ttl: Ttl::Keep }
    }
}

/// The version of a reservation's document while the call is under way.
const RESERVED: u64 = 1;
/// Its version once the sweeper has settled it as an estimate.
const SWEPT: u64 = 2;

/// What a call counts as that never said how it ended: all that was reserved for it.
fn swept(nano: u64, input: u64, output: u64) -> Booking {
    let tokens = crate::contracts::messages::Tokens { uncached: input, output, ..Default::default() };
    Booking::settled(nano, &tokens.into(), true)
}
