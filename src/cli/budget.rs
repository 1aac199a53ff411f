//! `fullsend budget`: what is spent on models, and the limits.
//!
//! A limit is changed in one commit with the order that says so on `fullsend:control`, whether `serve` runs or not. Must never set anything
//! but what was asked for.

#[cfg(test)]
mod tests;

use std::process::ExitCode;

use clap::Subcommand;
use color_eyre::eyre::eyre;
use serde_json::json;

use super::Context;
use super::output::{OK, Usage};
use crate::bus::sender::commit_patiently;
use crate::bus::{Commit, Op, Origin, Outcome, SharedBus};
use crate::contracts::channel::grants;
use crate::contracts::messages::{Control, SetBudget};
use crate::contracts::wiring::CONTROL;
use crate::contracts::{Trust, money};
use crate::llm::ledger::report::{Line, Report, Sums, report};
use crate::llm::ledger::{Scope, Unit, limits};

/// How often an order is tried again that another order was quicker than.
const TRIES: usize = 5;
/// How long an unreachable bus is asked again.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);

/// Shows what is spent on models, and changes the limits
///
/// Days and months are those of UTC. `reserved` is held by calls under way. `~` marks what is partly estimated: calls that were cut off
/// before the provider said what they used.
///
/// Example: fullsend budget set day 7.50 --until 6h
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Subcommand)]
enum Action {
    /// What is spent, reserved and allowed, and on what it went
    List,
    /// Changes a limit
    Set {
        /// `call`, `day`, `month`, `task:NAME`, `service:NAME`, `model:PROVIDER/MODEL` or `trace:ID`
        scope: String,
        /// Dollars (`5`, `7.50`), `"200000 tokens"` or `"50 calls"`
        amount: String,
        /// The former limit holds again after this: a time (RFC 3339), or a length of time from now (`6h`)
        #[arg(long, value_name = "TIME")]
        until: Option<String>,
        /// Why
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
}

impl Args {
    /// Whether it changes anything, which is worth a log.
    pub(super) fn changes(&self) -> bool {
        matches!(self.action, Some(Action::Set { .. }))
    }
}

/// Does it.
///
/// # Errors
/// Where the bus cannot be used, or an order cannot be followed.
pub fn run(args: &Args, cx: &Context) -> color_eyre::Result<ExitCode> {
    super::with_bus(cx, async |bus| act(args, &super::operator(), cx, bus).await)
}

async fn act(args: &Args, by: &str, cx: &Context, bus: &SharedBus) -> color_eyre::Result<ExitCode> {
    match &args.action {
        None | Some(Action::List) => list(&report(bus, &cx.config.budget, cx.clock.now()).await?, cx),
        Some(Action::Set { scope, amount, until, reason }) => {
            let order = limits::order(scope, amount, until.as_deref(), reason.as_deref(), by, cx.clock.now());
            let order = order
                .map_err(|bad| Usage(if bad.field == "until" { format!("--until: {}", bad.why) } else { bad.why }))?;
            set(&order, amount, cx, bus).await
        }
    }
}

async fn set(order: &SetBudget, amount: &str, cx: &Context, bus: &SharedBus) -> color_eyre::Result<ExitCode> {
    let scope: Scope = order.scope.parse()?;
    let origin = Origin::new(std::sync::Arc::clone(&cx.clock), std::sync::Arc::clone(&cx.ids), Trust::Operator);
    let message = origin.compose::<grants::ControlRoom, _>(CONTROL, Control::from(order.clone()))?;
    let id = message.envelope.id;
    for _ in 0..TRIES {
        let found = limits::ordered(bus, &scope).await?;
        let change = limits::follow(order, id, found.as_ref(), cx.clock.now())?;
        let Some(change) = change else {
            return Err(eyre!("a later order for the budget `{scope}` holds; look at `fullsend budget`"));
        };
        let once = Some(id.to_string());
        let unit = Commit { once, ..Commit::of(vec![change, Op::Append(message.clone())]) };
        match commit_patiently(bus, unit, PATIENCE).await? {
            Outcome::Committed(_) | Outcome::Duplicate(_) => {
                said(order, amount, cx)?;
                return Ok(OK);
            }
            Outcome::Conflict { .. } => {}
            Outcome::Refused(refusal) => return Err(refusal.into()),
            other => return Err(eyre!("the budget `{scope}` was not changed: {other:?}")),
        }
    }
    Err(eyre!("the budget `{scope}` was not changed, because others change it all the time; try again"))
}

fn said(order: &SetBudget, amount: &str, cx: &Context) -> color_eyre::Result<()> {
    if cx.out.is_json() {
        return cx.out.json(order);
    }
    let amount = amount.trim().trim_start_matches('$');
    let dollar = if amount.ends_with(|c: char| c.is_ascii_digit()) { "$" } else { "" };
    let until = order.until.map(|until| format!(" until {}", until.format("%Y-%m-%d %H:%M:%SZ"))).unwrap_or_default();
    cx.out.text(&format!("budget {}: {dollar}{amount}{until}", order.scope))
}

fn list(report: &Report, cx: &Context) -> color_eyre::Result<ExitCode> {
    if cx.out.is_json() {
        cx.out.json(&json!(report))?;
        return Ok(OK);
    }
    let rows: Vec<_> = report.budgets.iter().map(budget_row).collect();
    cx.out.table(["BUDGET", "SPENT", "RESERVED", "LIMIT", "USED", "UNTIL"], &rows)?;
    let mut rows = Vec::new();
    for (what, today, month) in [
        ("task", &report.today.tasks, &report.month.tasks),
        ("service", &report.today.services, &report.month.services),
        ("model", &report.today.models, &report.month.models),
    ] {
        for of_month in month.iter().take(TOP) {
            let of_today = today.iter().find(|sums| sums.name == of_month.name);
            rows.push(spending_row(what, of_today.unwrap_or(&Sums::default()), of_month));
        }
    }
    if rows.is_empty() {
        return Ok(OK);
    }
    cx.out.text("")?;
    cx.out.table(["ON", "NAME", "TODAY", "CALLS", "TOKENS", "THIS MONTH", "CALLS", "TOKENS"], &rows)?;
    Ok(OK)
}

/// How many of each are shown; `--json` has all.
const TOP: usize = 10;

fn budget_row(line: &Line) -> [String; 6] {
    let unit = Unit::ALL.into_iter().find(|unit| unit.as_str() == line.unit).unwrap_or(Unit::Nano);
    let is_call = line.scope == Scope::Call.to_string();
    let sum = |shown: String| if is_call { "-".to_owned() } else { shown };
    [
        line.scope.clone(),
        sum(format!("{}{}", mark(line.estimated), unit.show(line.spent))),
        sum(unit.show(line.reserved)),
        line.limit.map_or_else(|| "none".to_owned(), |limit| unit.show(limit)),
        sum(line.percent.map_or_else(|| "-".to_owned(), |percent| format!("{percent}%"))),
        line.until.map_or_else(|| "-".to_owned(), |until| until.format("%Y-%m-%d %H:%MZ").to_string()),
    ]
}

fn spending_row(what: &str, today: &Sums, month: &Sums) -> [String; 8] {
    let cells = |sums: &Sums| {
        let tokens = sums.tokens;
        let total = tokens.uncached + tokens.cache_write + tokens.cache_read + tokens.output;
        let dollars = format!("{}{}", mark(sums.estimated_calls), money::show_usd(sums.nano_usd));
        [dollars, sums.calls.to_string(), total.to_string()]
    };
    let [today_usd, today_calls, today_tokens] = cells(today);
    let [month_usd, month_calls, month_tokens] = cells(month);
    let name = month.name.clone();
    [what.to_owned(), name, today_usd, today_calls, today_tokens, month_usd, month_calls, month_tokens]
}

/// Marks what is partly estimated.
fn mark(estimated: u64) -> &'static str {
    if estimated > 0 { "~" } else { "" }
}
