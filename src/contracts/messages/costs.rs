//! `fullsend:costs`: what was spent. Notices; what counts is the ledger's record.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::control::BudgetUnit;
use super::read;
use crate::contracts::body::{Example, bodies};

bodies! {
    /// What was spent.
    Costs {
        /// A call was paid for.
        Recorded(CostRecorded) = "cost_recorded",
        /// Most of a budget is gone.
        Warning(BudgetWarning) = "budget_warning",
        /// A budget is used up.
        Exceeded(BudgetExceeded) = "budget_exceeded",
    }
}

/// Tokens by class; no token is in two of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tokens {
    /// Read at the full price.
    #[serde(default, deserialize_with = "read::or_default")]
    pub uncached: u64,
    /// Written to the provider's cache.
    #[serde(default, deserialize_with = "read::or_default")]
    pub cache_write: u64,
    /// Read from the provider's cache.
    #[serde(default, deserialize_with = "read::or_default")]
    pub cache_read: u64,
    /// Written by the model, its reasoning included.
    #[serde(default, deserialize_with = "read::or_default")]
    pub output: u64,
}

impl Example for Tokens {
    fn example() -> Self {
        Self { uncached: 812, cache_write: 0, cache_read: 0, output: 175 }
    }
}

/// A call was paid for, whether it came to an end or not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CostRecorded {
    /// The call; each billed attempt is one.
    #[serde(deserialize_with = "read::id")]
    pub call_id: String,
    /// Who called.
    pub service: String,
    /// What for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// Who was paid.
    pub provider: String,
    /// For which model.
    pub model: String,
    /// What it used.
    #[serde(default, deserialize_with = "read::or_default")]
    pub tokens: Tokens,
    /// What it cost, in billionths of a dollar, so that sums are exact.
    pub nano_usd: u64,
    /// Whether the call was cut off, so that this is an estimate.
    #[serde(default, deserialize_with = "read::or_default")]
    pub estimated: bool,
}

impl Example for CostRecorded {
    fn example() -> Self {
        Self {
            call_id: "c1".to_owned(),
            service: "watcher".to_owned(),
            task: Some("classify".to_owned()),
            provider: "anthropic".to_owned(),
            model: "claude-opus-4-20250514".to_owned(),
            tokens: Tokens::example(),
            nano_usd: 25_305_000,
            estimated: false,
        }
    }
}

/// Most of a budget is gone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BudgetWarning {
    /// Which, as in `budget_set`.
    pub scope: String,
    /// What is counted.
    #[serde(default, deserialize_with = "read::or_default")]
    pub unit: BudgetUnit,
    /// The most that may be spent.
    pub limit: f64,
    /// What is spent or reserved.
    pub spent: f64,
}

impl Example for BudgetWarning {
    fn example() -> Self {
        Self { scope: "day".to_owned(), unit: BudgetUnit::Usd, limit: 5.0, spent: 4.1 }
    }
}

/// A budget is used up: new calls are refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BudgetExceeded {
    /// Which, as in `budget_set`.
    pub scope: String,
    /// What is counted.
    #[serde(default, deserialize_with = "read::or_default")]
    pub unit: BudgetUnit,
    /// The most that may be spent.
    pub limit: f64,
    /// What is spent or reserved.
    pub spent: f64,
    /// What was refused for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

impl Example for BudgetExceeded {
    fn example() -> Self {
        Self {
            scope: "day".to_owned(),
            unit: BudgetUnit::Usd,
            limit: 5.0,
            spent: 4.99,
            refused: Some("orchestrator: decide".to_owned()),
        }
    }
}
