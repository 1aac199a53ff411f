//! Money: what is spent of each budget, and how the models do.

use std::collections::BTreeMap;

use super::super::content::Entry;
use super::entry;
use crate::contracts::money::show_usd;
use crate::contracts::untrusted::sanitize_line;
use crate::llm::breaker::FAILURES;
use crate::llm::ledger::Unit;
use crate::llm::ledger::report::{Line, Sums};
use crate::tui::app::Model;
use crate::tui::draw::text::{self, Piece};
use crate::tui::store::Call;
use crate::tui::theme::Role;

/// What is spent, reserved and allowed, by scope.
pub fn budgets(model: &Model) -> Vec<Entry> {
    let Some(report) = &model.store.system.budgets else { return Vec::new() };
    report.budgets.iter().map(|line| budget(line, model)).collect()
}

fn budget(line: &Line, model: &Model) -> Entry {
    let unit = Unit::ALL.into_iter().find(|unit| unit.as_str() == line.unit).unwrap_or(Unit::Nano);
    let role = match line.percent {
        Some(100..) => Role::Danger,
        Some(80..) => Role::Warn,
        _ => Role::Text,
    };
    let scope = sanitize_line(&line.scope, 60);
    let mut pieces = vec![Piece::new(Role::Name, text::padded(&scope, 18))];
    let limit = line.limit.map_or_else(|| "no limit".to_owned(), |limit| format!("of {}", unit.show(limit)));
    if line.scope == "call" {
        let limit = line.limit.map_or_else(|| "no limit".to_owned(), |limit| format!("at most {}", unit.show(limit)));
        pieces.push(Piece::new(Role::Text, limit));
    } else {
        let estimated = if line.estimated > 0 { "~" } else { "" };
        pieces.push(Piece::new(role, format!("{estimated}{} {limit}", unit.show(line.spent))));
        if let Some(percent) = line.percent {
            pieces.push(Piece::new(role, format!("  {percent}%")));
        }
        if line.reserved > 0 {
            pieces.push(Piece::new(Role::Accent, format!("  {} reserved", unit.show(line.reserved))));
        }
    }
    if let Some(until) = line.until {
        pieces.push(Piece::new(Role::Muted, format!("  for {}", text::left(until, model.now.wall))));
    }
    entry(format!("{} {}", line.scope, line.unit), pieces)
}

/// What is known of a model.
#[derive(Default)]
struct Known<'a> {
    calls: usize,
    open: usize,
    /// Failures in a row, up to now.
    failing: u32,
    last: Option<&'a Call>,
    today: Option<&'a Sums>,
}

/// The models that were asked: how they answer, and what they cost today.
pub fn models(model: &Model) -> Vec<Entry> {
    let mut known: BTreeMap<&str, Known<'_>> = BTreeMap::new();
    for call in model.store.calls.all() {
        let name = if call.model.is_empty() { "not said" } else { call.model.as_str() };
        let it = known.entry(name).or_default();
        it.calls += 1;
        match &call.end {
            None => it.open += 1,
            Some(end) if end.error.is_some() => it.failing += 1,
            Some(_) => it.failing = 0,
        }
        it.last = Some(call);
    }
    let today = model.store.system.budgets.iter().flat_map(|report| &report.today.models);
    for sums in today {
        known.entry(sums.name.as_str()).or_default().today = Some(sums);
    }
    known.into_iter().flat_map(|(name, known)| lines(name, &known)).collect()
}

fn lines(name: &str, known: &Known<'_>) -> Vec<Entry> {
    let (sign, role) = match known.failing {
        0 => ("●", Role::Ok),
        failures if failures < FAILURES => ("▲", Role::Warn),
        _ => ("▼", Role::Danger),
    };
    let mut pieces = vec![
        Piece::new(role, format!("{sign} ")),
        Piece::new(Role::Text, text::padded(&sanitize_line(name, 60), 24)),
        Piece::new(Role::Muted, format!("{} calls  ", known.calls)),
    ];
    if let Some(took) = known.last.and_then(|call| call.end.as_ref()?.took_ms) {
        pieces.push(Piece::new(Role::Muted, format!("{took:.0} ms  ")));
    }
    if known.open > 0 {
        pieces.push(Piece::new(Role::Accent, format!("{} under way  ", known.open)));
    }
    if let Some(sums) = known.today {
        pieces.push(Piece::new(Role::Text, format!("{} today", show_usd(sums.nano_usd))));
    }
    let mut lines = vec![entry(name, pieces)];
    if known.failing > 0 {
        let why = known.last.and_then(|call| call.end.as_ref()?.error.clone()).unwrap_or_default();
        let rest = if known.failing >= FAILURES { "; its breaker opens: it is not asked for a while" } else { "" };
        let words = format!("  {} failed in a row{rest}: {why}", known.failing);
        lines.push(entry(format!("{name} failed"), vec![Piece::new(role, words)]));
    }
    lines
}
