//! Budgets as settings: how much may be spent on models.
//!
//! Owns the words for limits. What is spent, and what the operator changed while it runs, is the ledger's.

use std::fmt;

use super::setting::{Row, Slot, choice};
use crate::contracts::messages::BudgetUnit;
use crate::contracts::money;

choice! {
    /// What happens to a model call that a budget does not allow.
    OnExceeded {
        /// The rules of thumb answer, flagged.
        Rules = "rules",
        /// Nothing answers: a person is asked to raise the budget, and the work waits.
        Ask = "ask",
    }
}

/// The most of each unit; none where it is not limited. Written `5`, `$7.50`, `200000 tokens`, `50 calls`, several with commas, or
/// `none`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// In nano-dollars.
    pub nano: Option<u64>,
    /// Tokens of all classes.
    pub tokens: Option<u64>,
    /// Model calls.
    pub calls: Option<u64>,
}

impl Limits {
    /// No limit.
    pub const NONE: Self = Self { nano: None, tokens: None, calls: None };

    /// This many whole dollars.
    pub const fn dollars(dollars: u64) -> Self {
        Self { nano: Some(dollars * money::DOLLAR), tokens: None, calls: None }
    }

    /// Reads what a person wrote.
    ///
    /// # Errors
    /// In words, where it is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut limits = Self::NONE;
        if text.trim() == "none" {
            return Ok(limits);
        }
        for part in text.split(',') {
            let (unit, amount) = amount(part)?;
            *match unit {
                BudgetUnit::Tokens => &mut limits.tokens,
                BudgetUnit::Calls => &mut limits.calls,
                _ => &mut limits.nano,
            } = Some(amount);
        }
        Ok(limits)
    }
}

/// One amount with its unit: `5` and `$7.50` are dollars (as nano-dollars), `200000 tokens`, `50 calls`.
///
/// # Errors
/// In words, where it is none.
pub fn amount(text: &str) -> Result<(BudgetUnit, u64), String> {
    let text = text.trim();
    let count = |number: &str| {
        let number = number.trim().replace('_', "").parse::<u64>().ok();
        number
            .filter(|number| i64::try_from(*number).is_ok())
            .ok_or_else(|| "a whole number stands before `tokens` or `calls`".to_owned())
    };
    if let Some(number) = text.strip_suffix("tokens") {
        return Ok((BudgetUnit::Tokens, count(number)?));
    }
    if let Some(number) = text.strip_suffix("calls") {
        return Ok((BudgetUnit::Calls, count(number)?));
    }
    Ok((BudgetUnit::Usd, money::parse_usd(text).map_err(|err| err.to_string())?))
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            self.nano.map(money::exact_usd),
            self.tokens.map(|tokens| format!("{tokens} tokens")),
            self.calls.map(|calls| format!("{calls} calls")),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        if parts.is_empty() { f.write_str("none") } else { f.write_str(&parts.join(", ")) }
    }
}

/// How much may be spent on models, unless the operator orders otherwise while it runs.
#[derive(Debug, Clone)]
pub struct Budgets {
    /// One call.
    pub call: Limits,
    /// One chain of messages.
    pub trace: Limits,
    /// Each task, a day.
    pub task: Limits,
    /// Each service, a day.
    pub service: Limits,
    /// Everything, a day (UTC).
    pub day: Limits,
    /// Everything, a month (UTC).
    pub month: Limits,
    /// What happens to a call that is not allowed.
    pub on_exceeded: OnExceeded,
}

impl Budgets {
    pub(super) fn rows(&mut self) -> Vec<Row<'_>> {
        vec![
            Row::new(
                "budget.call",
                Slot::Limits(&mut self.call),
                "The most that one model call may cost, by its estimate.",
            ),
            Row::new(
                "budget.trace",
                Slot::Limits(&mut self.trace),
                "The most that one chain of messages may spend on models.",
            ),
            Row::new(
                "budget.task",
                Slot::Limits(&mut self.task),
                "The most that each task (classify, decide, …) may spend on models a day.",
            ),
            Row::new(
                "budget.service",
                Slot::Limits(&mut self.service),
                "The most that each service may spend on models a day.",
            ),
            Row::new(
                "budget.day",
                Slot::Limits(&mut self.day),
                "The most that may be spent on models a day (UTC). `fullsend budget set` changes it for a while.",
            ),
            Row::new(
                "budget.month",
                Slot::Limits(&mut self.month),
                "The most that may be spent on models a month (UTC).",
            ),
            Row::new(
                "budget.on_exceeded",
                Slot::Choice(&mut self.on_exceeded),
                "What happens to a model call that no budget allows: the rules of thumb answer, or a person is asked.",
            ),
        ]
    }
}

impl Default for Budgets {
    fn default() -> Self {
        Self {
            call: Limits::dollars(2),
            trace: Limits::NONE,
            task: Limits::NONE,
            service: Limits::NONE,
            day: Limits::dollars(5),
            month: Limits::dollars(100),
            on_exceeded: OnExceeded::Rules,
        }
    }
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;

    use super::*;

    #[test]
    fn limits_are_read_and_written_in_words() {
        for (text, shown) in [
            ("5", "5.00"),
            ("$7.50", "7.50"),
            ("none", "none"),
            ("50 calls", "50 calls"),
            ("2_000tokens , 0.25", "0.25, 2000 tokens"),
        ] {
            let limits = Limits::parse(text).unwrap();
            assert_eq!(limits.to_string(), shown);
            assert_eq!(Limits::parse(shown), Ok(limits), "it reads back");
        }
        for wrong in ["", "five", "-5", "1.5 calls", "tokens", "5,", "99999999999999999999 tokens"] {
            assert!(Limits::parse(wrong).is_err(), "{wrong}");
        }
    }
}
