//! What an experiment's numbers say of its criteria: which hold, how sure that is, and what it comes to.
//!
//! Owns what is read for it ([`Plan`]), what comes of it ([`Outcome`], the JSON in `verdict_json`), and how both are put in words. Must never say more than
//! the numbers do: what is unknown is unknown, and what may be chance is undecided.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::criteria::{Aggregate, Comparison, Criterion, Definitions, Formula, Moment, Name, Space, Truth, Unknown};
use super::numbers::Numbers;
use super::spec::{Metric, MetricKind};
use super::statistics::{self, Contest, Count, State};
use crate::bus::Document;
use crate::contracts::envelope::millis;
use crate::contracts::messages::Direction;
use crate::contracts::untrusted::sanitize_line;

/// Criteria and metrics of one experiment that are looked at.
const MOST: usize = 100;
/// Characters of a criterion.
const LONGEST: usize = 400;

/// What an experiment measures, and by what it is judged.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// Its criteria, in their order: those for success first.
    pub criteria: Vec<Planned>,
    /// Its metrics.
    pub definitions: Definitions,
}

/// A criterion of an experiment.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    /// As it was written; harmless.
    pub text: String,
    /// Whether it says that the experiment worked, or that it did not.
    pub direction: Direction,
    /// What it says; none where it is prose, which is unknown.
    pub criterion: Option<Criterion>,
}

impl Plan {
    /// What the documents `experiments:{id}` and `metrics_specs:{id}` say; what cannot be read is left out.
    pub fn read(experiment: &Document, specs: Option<&Document>) -> Self {
        let sources = [experiment.get("spec_json"), experiment.get("spec")];
        let specs_json: Vec<Value> =
            sources.into_iter().flatten().filter_map(|text| inner(text, "experiment")).collect();
        let list = |field: &str| {
            let direct = experiment.get(field).and_then(|text| serde_json::from_str(text).ok());
            let within = || specs_json.iter().find_map(|spec| spec.get(field).cloned());
            let beside = || specs.and_then(|specs| serde_json::from_str(specs.get(field)?).ok());
            match direct.or_else(within).or_else(beside) {
                Some(Value::Array(items)) => items,
                _ => Vec::new(),
            }
        };
        let criteria = [(Direction::Success, "success_criteria"), (Direction::Failure, "failure_criteria")];
        let criteria = criteria.into_iter().flat_map(|(direction, field)| {
            list(field).into_iter().take(MOST).filter_map(move |value| Planned::read(direction, &value))
        });
        let metrics: Vec<Metric> = list("metrics").iter().take(MOST).filter_map(metric).collect();
        Self { criteria: criteria.collect(), definitions: Definitions::of(&metrics).0 }
    }
}

/// A JSON object in a text, or the one within it under this name.
fn inner(text: &str, name: &str) -> Option<Value> {
    let value: Value = serde_json::from_str(text).ok()?;
    Some(value.get(name).cloned().unwrap_or(value)).filter(Value::is_object)
}

impl Planned {
    fn read(direction: Direction, value: &Value) -> Option<Self> {
        let text = match value {
            Value::String(text) => text.as_str(),
            other => other.get("criterion").or_else(|| other.get("text"))?.as_str()?,
        };
        let text = sanitize_line(text.trim(), LONGEST);
        (!text.is_empty()).then(|| Self { criterion: Criterion::parse(&text).ok(), text, direction })
    }
}

/// A metric, as any of those that write them does.
fn metric(value: &Value) -> Option<Metric> {
    let text = |field: &str| value.get(field).and_then(Value::as_str);
    let name = value.as_str().or_else(|| text("name"))?;
    let formula = text("formula").or_else(|| text("calculation"));
    let kind = match text("type") {
        Some("percentage") => MetricKind::Percentage,
        Some("duration") => MetricKind::Duration,
        None if formula.is_some() || name.ends_with("_rate") => MetricKind::Percentage,
        Some(_) | None => MetricKind::Counter,
    };
    Some(Metric {
        name: name.to_owned(),
        kind,
        formula: formula.map(str::to_owned),
        success_threshold: None,
        failure_threshold: None,
        description: None,
    })
}

/// What an experiment came to so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Nothing can be said.
    #[default]
    Undecided,
    /// Criteria for success hold, but not all of them, or not for sure.
    Promising,
    /// All criteria for success hold, and chance does not explain it.
    Succeeded,
    /// A criterion for failure holds, but that may be chance.
    AtRisk,
    /// A criterion for failure holds, and chance does not explain it.
    Failing,
}

impl Standing {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Undecided => "undecided",
            Self::Promising => "promising",
            Self::Succeeded => "succeeded",
            Self::AtRisk => "at_risk",
            Self::Failing => "failing",
        }
    }
}

/// What an experiment's numbers say: the JSON of `verdict_json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// What it comes to.
    pub verdict: Standing,
    /// Each criterion.
    pub criteria: Vec<Judged>,
    /// Its variants, compared; none where it has fewer than two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variants: Option<Variants>,
    /// When it was judged.
    #[serde(with = "millis")]
    pub at: DateTime<Utc>,
}

/// What is known of a criterion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// As it was written; harmless.
    pub criterion: String,
    /// Which of both.
    pub direction: Direction,
    /// Whether it holds; none where that is unknown.
    pub holds: Option<bool>,
    /// Why it is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What it compares with its line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<String>,
    /// Its value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// The line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// How sure it is, where it is about a share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
}

/// How sure it is that a share is on one side of a line. Valid whenever it is looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Those that count.
    pub k: u64,
    /// Out of these.
    pub n: u64,
    /// Of which so many are old enough that it is known whether they count.
    pub settled: u64,
    /// The share is not below this.
    pub low: f64,
    /// And not above this.
    pub high: f64,
    /// How sure it is that the comparison holds, from 0 to 1.
    pub sure: f64,
    /// How sure it is that it does not.
    pub sure_not: f64,
    /// Whether one of both is enough: true and false are proven, none is undecided.
    pub proven: Option<bool>,
}

/// Variants, compared by one share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Variants {
    /// The share.
    pub metric: String,
    /// Each of them, the one with the greatest share first.
    pub arms: Vec<Arm>,
    /// How sure it is that the first is better than the others, from 0 to 1.
    pub sure: f64,
    /// Whether that is enough.
    pub decided: bool,
}

/// A variant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Arm {
    /// Its name.
    pub name: String,
    /// Those that count.
    pub k: u64,
    /// Out of these.
    pub n: u64,
    /// Its share is not below this.
    pub low: f64,
    /// And not above this.
    pub high: f64,
}

/// The values of an experiment's names.
#[derive(Debug)]
pub struct Values<'a> {
    numbers: &'a Numbers,
    definitions: &'a Definitions,
    computed: BTreeMap<String, Result<f64, Unknown>>,
    variant: Option<&'a str>,
    /// Messages that were sent later are left out.
    before: Option<DateTime<Utc>>,
}

impl<'a> Values<'a> {
    /// Those of all, or of one variant.
    pub fn of(numbers: &'a Numbers, definitions: &'a Definitions, variant: Option<&'a str>) -> Self {
        Self { numbers, definitions, computed: BTreeMap::new(), variant, before: None }.compute()
    }

    /// The same without messages to people that were sent after `before`: they may still be answered.
    #[must_use]
    pub fn settled(&self, before: DateTime<Utc>) -> Self {
        let (numbers, definitions, variant) = (self.numbers, self.definitions, self.variant);
        Self { numbers, definitions, computed: BTreeMap::new(), variant, before: Some(before) }.compute()
    }

    fn compute(mut self) -> Self {
        self.computed = self.definitions.computed(&|name: &Name| self.measured(name));
        self
    }

    fn measured(&self, name: &Name) -> Result<f64, Unknown> {
        let value = self.numbers.get(name, self.definitions.kind(&name.name), self.variant)?;
        let is_count = name.space != Some(Space::Fields)
            && matches!(name.aggregate, None | Some(Aggregate::Count | Aggregate::Sum));
        match self.before {
            #[expect(
                clippy::cast_precision_loss,
                reason = "numbers of events are far below what a float holds exactly"
            )]
            Some(before) if is_count => Ok((value - self.numbers.sent_since(&name.name, before) as f64).max(0.0)),
            _ => Ok(value),
        }
    }

    /// The value of a name.
    ///
    /// # Errors
    /// Where it has none.
    pub fn get(&self, name: &Name) -> Result<f64, Unknown> {
        self.definitions.look_up(name, &self.computed, &|name: &Name| self.measured(name))
    }

    /// Metrics that are computed, with their values where they have one.
    pub fn computed(&self) -> impl Iterator<Item = (&str, f64)> {
        self.computed.iter().filter_map(|(name, value)| Some((name.as_str(), value.clone().ok()?)))
    }
}

/// Judges a criterion by the values, at a moment. How sure that is, is judged by the settled values too: those without what is too young to count
/// against a share.
pub fn judge(planned: &Planned, plan: &Plan, values: &Values<'_>, settled: &Values<'_>, moment: &Moment) -> Judged {
    let mut judged = Judged {
        criterion: planned.text.clone(),
        direction: planned.direction,
        holds: None,
        why: None,
        metric: None,
        value: None,
        threshold: None,
        evidence: None,
    };
    let Some(criterion) = &planned.criterion else {
        judged.why = Some("it is prose, which cannot be measured".to_owned());
        return judged;
    };
    let of = |name: &Name| values.get(name);
    match criterion.judge(&of, moment) {
        Truth::True => judged.holds = Some(true),
        Truth::False => judged.holds = Some(false),
        Truth::Unknown(why) => judged.why = Some(why.to_string()),
    }
    if let Some((left, _, right)) = criterion.comparison() {
        let (side, line) = if left.constant().is_some() { (right, left) } else { (left, right) };
        judged.metric = Some(side.to_string());
        judged.value = side.value(&of).ok();
        judged.threshold = line.value(&of).ok();
    }
    judged.evidence = evidence(criterion, plan, values, settled);
    judged
}

fn evidence(criterion: &Criterion, plan: &Plan, values: &Values<'_>, settled: &Values<'_>) -> Option<Evidence> {
    let share = plan.definitions.share(criterion)?;
    let count = counted(&share.hits, &share.of, values)?;
    // Of more than was counted, none is settled.
    let settled = counted(&Formula::number(0.0), &share.of, settled).map_or(0, |count| count.n);
    let verdict = statistics::judge(count, settled, share.how, share.line)?;
    let proven = match verdict.state {
        State::Holds => Some(true),
        State::DoesNotHold => Some(false),
        State::Undecided => None,
    };
    let (k, n, settled) = (count.k, count.n, verdict.settled);
    Some(Evidence {
        k,
        n,
        settled,
        low: verdict.low,
        high: verdict.high,
        sure: verdict.holds,
        sure_not: verdict.fails,
        proven,
    })
}

fn counted(hits: &Formula, of: &Formula, values: &Values<'_>) -> Option<Count> {
    let value = |formula: &Formula| formula.value(&|name: &Name| values.get(name)).ok();
    Count::of(value(hits)?, value(of)?)
}

/// Compares the variants, by the share of the first criterion that is about one.
pub fn variants(plan: &Plan, numbers: &Numbers) -> Option<Variants> {
    let all = numbers.variants();
    if all.len() < 2 {
        return None;
    }
    let mut criteria = plan.criteria.iter().filter_map(|planned| planned.criterion.as_ref());
    let (criterion, share) = criteria.find_map(|criterion| Some((criterion, plan.definitions.share(criterion)?)))?;
    let arm = |variant: &&str| {
        let values = Values::of(numbers, &plan.definitions, Some(variant));
        Some(((*variant).to_owned(), counted(&share.hits, &share.of, &values)?))
    };
    let Contest { arms, confidence, is_decided } = statistics::compare(all.iter().filter_map(arm))?;
    let (left, _, right) = criterion.comparison()?;
    let metric = if left.constant().is_some() { right } else { left }.to_string();
    let arm =
        |arm: statistics::Arm| Arm { name: arm.name, k: arm.count.k, n: arm.count.n, low: arm.low, high: arm.high };
    Some(Variants { metric, arms: arms.into_iter().map(arm).collect(), sure: confidence, decided: is_decided })
}

/// What an experiment comes to, by what is known of its criteria.
pub fn standing(criteria: &[Judged]) -> Standing {
    let of = |direction| criteria.iter().filter(move |judged| judged.direction == direction);
    let holding = |direction| of(direction).filter(|judged| judged.holds == Some(true));
    if holding(Direction::Failure).any(Judged::is_proven) {
        Standing::Failing
    } else if holding(Direction::Failure).next().is_some() {
        Standing::AtRisk
    } else if holding(Direction::Success).next().is_none() {
        Standing::Undecided
    } else if of(Direction::Success).all(|judged| judged.holds == Some(true) && judged.is_proven()) {
        Standing::Succeeded
    } else {
        Standing::Promising
    }
}

impl Judged {
    /// Whether it is no matter of chance that it holds: it counts, or there is enough evidence.
    pub fn is_proven(&self) -> bool {
        self.evidence.as_ref().is_none_or(|evidence| evidence.proven == Some(true))
    }

    /// In a line: `12 of 400, 3.0 % (1.4–5.6 %), fails: 97 % sure`.
    pub fn words(&self) -> String {
        if let Some(why) = &self.why {
            let seen = self.evidence.as_ref().filter(|it| it.n > 0).map(|it| format!(" ({})", it.figures()));
            // The document may be anybody's.
            return format!("unknown: {}{}", sanitize_line(why, 200), seen.unwrap_or_default());
        }
        let is_failure = self.direction == Direction::Failure;
        match (&self.evidence, self.holds) {
            (Some(evidence), _) => format!("{}, {}", evidence.figures(), evidence.claim(is_failure)),
            (None, Some(holds)) => {
                let value = self.value.map(|value| format!("{}, ", number(value))).unwrap_or_default();
                let claim = match (is_failure, holds) {
                    (true, true) => "fails",
                    (true, false) => "does not fail",
                    (false, true) => "reached",
                    (false, false) => "not reached",
                };
                format!("{value}{claim}")
            }
            (None, None) => "unknown".to_owned(),
        }
    }
}

impl Evidence {
    /// `12 of 400, 3.0 % (1.4–5.6 %)`
    pub fn figures(&self) -> String {
        let young = self.n.saturating_sub(self.settled);
        let young = if young > 0 { format!(", {young} too young to judge") } else { String::new() };
        format!("{}{young}", figures(self.k, self.n, self.low, self.high))
    }

    /// What it says, and how sure that is.
    fn claim(&self, is_failure: bool) -> String {
        match (is_failure, self.proven) {
            (true, Some(true)) => format!("fails: {} sure", sure(self.sure)),
            (true, Some(false)) => format!("does not fail: {} sure", sure(self.sure_not)),
            (false, Some(true)) => format!("works: {} sure", sure(self.sure)),
            (false, Some(false)) => format!("does not work: {} sure", sure(self.sure_not)),
            (_, None) if self.sure == 0.0 && self.sure_not == 0.0 => "undecided".to_owned(),
            (_, None) => {
                let (holds, how_sure) =
                    if self.sure >= self.sure_not { (true, self.sure) } else { (false, self.sure_not) };
                let claim = match (is_failure, holds) {
                    (true, true) => "fails",
                    (true, false) => "does not fail",
                    (false, true) => "works",
                    (false, false) => "does not work",
                };
                format!("undecided: {claim}, {} sure", sure(how_sure))
            }
        }
    }
}

impl Variants {
    /// In a line: `reply_rate: b 8.0 % (40 of 500), a 4.0 % (20 of 500): b is better: 96 % sure`.
    pub fn words(&self) -> String {
        let arm = |arm: &Arm| {
            let share = Count { k: arm.k, n: arm.n }.share().unwrap_or_default();
            format!("{} {} ({} of {})", sanitize_line(&arm.name, 40), percent(share), arm.k, arm.n)
        };
        let arms: Vec<String> = self.arms.iter().map(arm).collect();
        format!("{}: {}: {}", sanitize_line(&self.metric, 60), arms.join(", "), self.claim())
    }

    /// Which is better, and how sure that is.
    pub fn claim(&self) -> String {
        let first = self.arms.first().map(|arm| sanitize_line(&arm.name, 40)).unwrap_or_default();
        if self.decided {
            format!("{first} is better: {} sure", sure(self.sure))
        } else {
            format!("undecided: {first} is better, {} sure", sure(self.sure))
        }
    }
}

impl Arm {
    /// `12 of 400, 3.0 % (1.4–5.6 %)`
    pub fn figures(&self) -> String {
        figures(self.k, self.n, self.low, self.high)
    }
}

fn figures(k: u64, n: u64, low: f64, high: f64) -> String {
    let share = Count { k, n }.share().map(percent).unwrap_or_default();
    if n == 0 {
        return "0 of 0".to_owned();
    }
    let [low, high] = [low, high].map(|edge| edge.clamp(0.0, 1.0) * 100.0);
    format!("{k} of {n}, {share} ({low:.1}–{high:.1} %)")
}

/// A share for people.
pub fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// A number for people: without digits that say nothing.
pub fn number(value: f64) -> String {
    if value.abs() >= 1e15 {
        format!("{value:e}")
    } else if value.fract() == 0.0 {
        format!("{value}")
    } else {
        format!("{}", (value * 10_000.0).round() / 10_000.0)
    }
}

/// How sure, in percent; never rounded up.
pub fn sure(confidence: f64) -> String {
    let percent = (confidence * 100.0).clamp(0.0, 100.0);
    if percent >= 99.0 {
        format!("{:.1} %", (percent * 10.0).floor() / 10.0)
    } else {
        format!("{:.0} %", percent.floor())
    }
}

/// On which side of the line a value is, for people.
pub fn side(how: Comparison) -> &'static str {
    match how {
        Comparison::Above => "above",
        Comparison::AtLeast => "at or above",
        Comparison::Below => "below",
        Comparison::AtMost => "at or below",
        Comparison::Equal => "equal to",
        Comparison::Unequal => "not",
    }
}
