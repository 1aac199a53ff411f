//! Scopes: what a budget covers, and under which key its sums stand.
//!
//! Owns the names. A scope without a period (`day`) names the limit, one with it (`day:2026-11-21`) the sums of that period (UTC).

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, NaiveDate, Utc};

use crate::bus::Key;
use crate::contracts::messages::BudgetUnit;
use crate::contracts::{TraceId, keys};

/// What a budget covers, as `budget_set` names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// One call; it has no sums.
    Call,
    /// Everything of a day.
    Day,
    /// Everything of a month.
    Month,
    /// A task, a day.
    Task(String),
    /// A service, a day.
    Service(String),
    /// A model (`PROVIDER/MODEL`), a day.
    Model(String),
    /// A chain of messages.
    Trace(String),
}

/// A scope that cannot have a budget.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{shown}` is no scope of a budget; there are: call, day, month, task:NAME, service:NAME, model:PROVIDER/MODEL, trace:ID"
)]
pub struct BadScope {
    /// What was given, cut and made harmless.
    pub shown: String,
}

impl Scope {
    /// The scope of a task.
    pub fn task(name: &str) -> Self {
        Self::Task(clean(name))
    }

    /// The scope of a model.
    pub fn model(provider: &str, model: &str) -> Self {
        Self::Model(clean(&format!("{provider}/{model}")))
    }

    /// The scope of a chain.
    pub fn trace(trace: TraceId) -> Self {
        Self::Trace(trace.to_string())
    }

    /// Where its limit stands, if the operator set one. That of a chain stands with its sums.
    pub fn limit_key(&self) -> Key {
        Key::new(format!("{BUDGETS}{self}"))
    }

    /// Where its sums of that time stand; none for a call.
    pub fn sums_key(&self, at: DateTime<Utc>) -> Option<Key> {
        match self {
            Self::Call => None,
            Self::Trace(_) => Some(self.limit_key()),
            Self::Month => Some(Key::new(format!("{BUDGETS}{self}:{}", at.format("%Y-%m")))),
            _ => Some(self.sums_key_of(at.date_naive())),
        }
    }

    /// Where the sums of a scope that is counted by the day stand.
    pub(super) fn sums_key_of(&self, day: NaiveDate) -> Key {
        Key::new(format!("{BUDGETS}{self}:{day}"))
    }
}

/// With what the keys of budgets begin.
pub(super) const BUDGETS: &str = "budgets:";

/// A name as part of a key: what may not stand in one becomes `_`, and it is cut.
fn clean(name: &str) -> String {
    let name: String =
        name.chars().take(120).map(|c| if c.is_whitespace() || c.is_control() { '_' } else { c }).collect();
    if name.is_empty() { "_".to_owned() } else { name }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call => f.write_str("call"),
            Self::Day => f.write_str("day"),
            Self::Month => f.write_str("month"),
            Self::Task(name) => write!(f, "task:{name}"),
            Self::Service(name) => write!(f, "service:{name}"),
            Self::Model(name) => write!(f, "model:{name}"),
            Self::Trace(id) => write!(f, "trace:{id}"),
        }
    }
}

impl FromStr for Scope {
    type Err = BadScope;

    fn from_str(text: &str) -> Result<Self, BadScope> {
        let bad = || BadScope { shown: crate::contracts::untrusted::sanitize_line(text, 80) };
        match text.split_once(':') {
            None => match text {
                "call" => Ok(Self::Call),
                "day" => Ok(Self::Day),
                "month" => Ok(Self::Month),
                _ => Err(bad()),
            },
            Some((kind, name)) => {
                let name = keys::check_id(name).map_err(|_| bad())?.to_owned();
                match kind {
                    "task" => Ok(Self::Task(name)),
                    "service" => Ok(Self::Service(name)),
                    "model" => Ok(Self::Model(name)),
                    "trace" => name.parse::<TraceId>().map(Self::trace).map_err(|_| bad()),
                    _ => Err(bad()),
                }
            }
        }
    }
}

/// What a ledger counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unit {
    /// Nano-dollars.
    Nano,
    /// Tokens of all classes.
    Tokens,
    /// Calls.
    Calls,
}

impl Unit {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Nano, Self::Tokens, Self::Calls];

    /// As it ends the names of fields.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nano => "nano",
            Self::Tokens => "tokens",
            Self::Calls => "calls",
        }
    }

    /// The field with what is spent or reserved: what a limit holds against.
    pub const fn claimed(self) -> &'static str {
        match self {
            Self::Nano => "claimed_nano",
            Self::Tokens => "claimed_tokens",
            Self::Calls => "claimed_calls",
        }
    }

    /// The field with what is spent.
    pub const fn spent(self) -> &'static str {
        match self {
            Self::Nano => "spent_nano",
            Self::Tokens => "spent_tokens",
            Self::Calls => "spent_calls",
        }
    }

    /// As messages name it.
    pub const fn of_message(self) -> BudgetUnit {
        match self {
            Self::Nano => BudgetUnit::Usd,
            Self::Tokens => BudgetUnit::Tokens,
            Self::Calls => BudgetUnit::Calls,
        }
    }

    /// The unit that a message names; none for one that is not counted here.
    pub const fn from_message(unit: BudgetUnit) -> Option<Self> {
        match unit {
            BudgetUnit::Usd => Some(Self::Nano),
            BudgetUnit::Tokens => Some(Self::Tokens),
            BudgetUnit::Calls => Some(Self::Calls),
            BudgetUnit::Seconds | BudgetUnit::Depth => None,
        }
    }

    /// An amount for people.
    pub fn show(self, amount: u64) -> String {
        match self {
            Self::Nano => crate::contracts::money::show_usd(amount),
            Self::Tokens => format!("{amount} tokens"),
            Self::Calls => format!("{amount} calls"),
        }
    }

    /// An amount as messages write it.
    pub fn number(self, amount: u64) -> f64 {
        match self {
            Self::Nano => crate::contracts::money::usd_of(amount),
            Self::Tokens | Self::Calls => amount.to_string().parse().unwrap_or(f64::MAX),
        }
    }
}
