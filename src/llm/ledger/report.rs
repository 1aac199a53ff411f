//! Reports: what is spent of each budget, and on what.
//!
//! Must never change anything.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, NaiveDate, Utc};
use serde::Serialize;

use super::limits::{self, in_force, limit_of, of_settings};
use super::notices::amount;
use super::scope::BUDGETS;
use super::{ESTIMATED_CALLS, ESTIMATED_NANO, Scope, Unit};
use crate::bus::{BusError, Document, SharedBus};
use crate::config::Budgets;
use crate::contracts::messages::Tokens;

/// Keys of one look-up.
const PAGE: usize = 1_000;

/// What is spent, reserved and allowed.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Report {
    /// Each scope that has a limit or was used today, with each unit that is limited; dollars always.
    pub budgets: Vec<Line>,
    /// What was spent today (UTC), by what, the dearest first.
    pub today: Spending,
    /// What was spent this month (UTC).
    pub month: Spending,
}

/// A budget.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line {
    /// As `budget set` takes it.
    pub scope: String,
    /// `nano` (nano-dollars), `tokens` or `calls`.
    pub unit: &'static str,
    /// Spent in its period.
    pub spent: u64,
    /// How much of that is estimated, in nano-dollars; for dollars only.
    pub estimated: u64,
    /// Reserved by calls under way.
    pub reserved: u64,
    /// The most; none for no limit.
    pub limit: Option<u64>,
    /// What is spent or reserved of the limit, in hundredths.
    pub percent: Option<u64>,
    /// Until when the operator's limit holds, where it is only for a while.
    pub until: Option<DateTime<Utc>>,
}

/// What was spent in a period.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Spending {
    /// By task.
    pub tasks: Vec<Sums>,
    /// By service.
    pub services: Vec<Sums>,
    /// By model, `PROVIDER/MODEL`.
    pub models: Vec<Sums>,
}

/// What one task, service or model has spent.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Sums {
    /// Its name.
    pub name: String,
    /// In nano-dollars.
    pub nano_usd: u64,
    /// How much of that is estimated.
    pub estimated_nano_usd: u64,
    /// Billed calls.
    pub calls: u64,
    /// How many of them are estimated.
    pub estimated_calls: u64,
    /// By class.
    pub tokens: Tokens,
}

impl Sums {
    fn add(&mut self, sums: &Document) {
        self.nano_usd += amount(sums, Unit::Nano.spent());
        self.estimated_nano_usd += amount(sums, ESTIMATED_NANO);
        self.calls += amount(sums, Unit::Calls.spent());
        self.estimated_calls += amount(sums, ESTIMATED_CALLS);
        self.tokens.uncached += amount(sums, "uncached");
        self.tokens.cache_write += amount(sums, "cache_write");
        self.tokens.cache_read += amount(sums, "cache_read");
        self.tokens.output += amount(sums, "output");
    }
}

/// What is known of the scopes of one kind.
#[derive(Default)]
struct Known {
    /// The operator's limits.
    ordered: Option<Document>,
    /// The sums of each day.
    days: BTreeMap<NaiveDate, Document>,
}

/// Looks at everything.
///
/// # Errors
/// Where the bus cannot be reached.
pub async fn report(bus: &SharedBus, budgets: &Budgets, now: DateTime<Utc>) -> Result<Report, BusError> {
    let mut report = Report::default();
    for scope in [Scope::Call, Scope::Day, Scope::Month] {
        let ordered = limits::ordered(bus, &scope).await?;
        let sums = match scope.sums_key(now) {
            Some(key) => bus.get(&key).await?,
            None => None,
        };
        let sums = sums.as_ref().and_then(|state| state.document());
        report.budgets.extend(lines(&scope, budgets, ordered.as_ref(), sums, now));
    }
    for (prefix, make) in KINDS {
        let known = known(bus, prefix).await?;
        let (mut today, mut month) = (Vec::new(), Vec::new());
        for (name, known) in known {
            let scope = make(name.clone());
            let sums = known.days.get(&now.date_naive());
            let all = lines(&scope, budgets, known.ordered.as_ref(), sums, now);
            report.budgets.extend(all.into_iter().filter(|line| line.limit.is_some()));
            let is_this_month = |day: &&NaiveDate| (day.year(), day.month()) == (now.year(), now.month());
            let of_month: Vec<_> =
                known.days.iter().filter(|(day, _)| is_this_month(day)).map(|(_, sums)| sums).collect();
            today.extend(sums.map(|sums| summed(&name, &[sums])));
            month.extend((!of_month.is_empty()).then(|| summed(&name, &of_month)));
        }
        report.today.put(prefix, today);
        report.month.put(prefix, month);
    }
    Ok(report)
}

type Make = fn(String) -> Scope;

/// The kinds of scopes that are counted by the day, with what their keys begin with.
const KINDS: [(&str, Make); 3] = [("task:", Scope::Task), ("service:", Scope::Service), ("model:", Scope::Model)];

impl Spending {
    fn put(&mut self, prefix: &str, mut sums: Vec<Sums>) {
        sums.sort_by(|a, b| (b.nano_usd, b.calls, &a.name).cmp(&(a.nano_usd, a.calls, &b.name)));
        match prefix {
            "task:" => self.tasks = sums,
            "service:" => self.services = sums,
            _ => self.models = sums,
        }
    }
}

fn summed(name: &str, documents: &[&Document]) -> Sums {
    let mut sums = Sums { name: name.to_owned(), ..Sums::default() };
    for document in documents {
        sums.add(document);
    }
    sums
}

/// A line for each unit that is limited; for dollars always.
fn lines(
    scope: &Scope,
    budgets: &Budgets,
    ordered: Option<&Document>,
    sums: Option<&Document>,
    now: DateTime<Utc>,
) -> Vec<Line> {
    let limits = in_force(of_settings(budgets, scope), ordered, now);
    let read = |field: &str| sums.map_or(0, |sums| amount(sums, field));
    let units = Unit::ALL.into_iter().filter(|unit| *unit == Unit::Nano || limit_of(&limits, *unit).is_some());
    units
        .map(|unit| {
            let (claimed, spent, limit) = (read(unit.claimed()), read(unit.spent()), limit_of(&limits, unit));
            let percent = |limit: u64| u128::from(claimed) * 100 / u128::from(limit.max(1));
            Line {
                scope: scope.to_string(),
                unit: unit.as_str(),
                spent,
                estimated: if unit == Unit::Nano { read(ESTIMATED_NANO) } else { 0 },
                reserved: claimed.saturating_sub(spent),
                limit,
                percent: limit.map(|limit| u64::try_from(percent(limit)).unwrap_or(u64::MAX)),
                until: ordered.and_then(|ordered| limits::until(ordered, unit, now)),
            }
        })
        .collect()
}

/// Everything under `budgets:PREFIX`, by name.
async fn known(bus: &SharedBus, prefix: &str) -> Result<BTreeMap<String, Known>, BusError> {
    let beginning = format!("{BUDGETS}{prefix}");
    let mut known: BTreeMap<String, Known> = BTreeMap::new();
    let mut cursor = None;
    loop {
        let (keys, next) = bus.scan(&beginning, cursor, PAGE).await?;
        for key in keys {
            let Some(name) = key.as_str().strip_prefix(&beginning) else { continue };
            let Some(document) = bus.get(&key).await?.and_then(|state| state.document().cloned()) else { continue };
            let dated = name.rsplit_once(':').and_then(|(name, day)| Some((name, day.parse::<NaiveDate>().ok()?)));
            match dated {
                Some((name, day)) => {
                    known.entry(name.to_owned()).or_default().days.insert(day, document);
                }
                None => known.entry(name.to_owned()).or_default().ordered = Some(document),
            }
        }
        cursor = next;
        if cursor.is_none() {
            return Ok(known);
        }
    }
}
