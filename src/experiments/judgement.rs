//! What an experiment's numbers say of its criteria: which hold, how sure that is, and what it comes to.
//!
//! Owns what is read for it ([`Plan`]), what comes of it ([`Outcome`], the JSON in `verdict_json`), and how both are put in words. Must never say more than
//! the numbers do: what is unknown is unknown, and what may be chance is undecided.

mod plan;
mod proof;
#[cfg(test)]
mod tests;
mod values;
mod words;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

pub use self::plan::{Plan, Planned};
use self::proof::{prove, tally};
pub use self::values::Values;
pub use self::words::{number, percent, side, sure};
use super::criteria::{Comparison, Criterion, Moment, Name, Share, Truth};
use super::numbers::{Numbers, YoungFrom};
use super::statistics::{self, Contest, Side};
use crate::contracts::envelope::millis;
use crate::contracts::messages::Direction;

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
    /// Whether it is proven that it holds: what was counted cannot change that any more, or chance does not explain it. Of what can be neither
    /// (an average, say) nothing is proven.
    #[serde(default)]
    pub proven: bool,
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
    /// The line, as a fraction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<f64>,
    /// How sure it is that the criterion holds, from 0 to 1.
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
    /// Each of them, the best first.
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

/// Judges a criterion by the values, at a moment. Whether that is proven is judged by the settled values too: those without what is too young to count
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
        proven: false,
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
    let proof = prove(criterion, plan, values, settled, moment);
    judged.proven = judged.holds == Some(true) && proof.proven == Some(true);
    judged.evidence = proof.evidence;
    judged
}

/// Compares the variants: by the first share that makes the experiment a success, else by the first that makes it fail; the best is the one that is
/// farthest on the good side. `young` is what cannot be judged yet.
pub fn variants(plan: &Plan, numbers: &Numbers, young: Option<YoungFrom>) -> Option<Variants> {
    let all = numbers.variants();
    if all.len() < 2 {
        return None;
    }
    let (criterion, share, direction) = compared_by(plan)?;
    let is_above = matches!(share.how, Comparison::Above | Comparison::AtLeast);
    let wanted = if is_above == (direction == Direction::Success) { Side::Above } else { Side::Below };
    let arm = |variant: &&str| {
        let values = Values::of(numbers, plan, Some(variant));
        let settled = values.settled(young);
        Some(((*variant).to_owned(), tally(&share, &values, &settled)?))
    };
    let Contest { arms, confidence, is_decided } = statistics::compare(all.iter().filter_map(arm), wanted)?;
    let metric = match criterion.comparison() {
        Some((left, _, right)) => if left.constant().is_some() { right } else { left }.to_string(),
        None => format!("{} / {}", share.hits, share.of),
    };
    let arm = |arm: statistics::Arm| {
        let count = arm.tally.count;
        Arm { name: arm.name, k: count.k, n: count.n, low: arm.low, high: arm.high }
    };
    Some(Variants { metric, arms: arms.into_iter().map(arm).collect(), sure: confidence, decided: is_decided })
}

/// The share by which variants are compared, and of which criterion.
fn compared_by(plan: &Plan) -> Option<(&Criterion, Share, Direction)> {
    let of = |direction: Direction| {
        let mut planned = plan.criteria.iter().filter(move |planned| planned.direction == direction);
        planned.find_map(|planned| {
            let criterion = planned.criterion.as_ref()?;
            let share = plan.definitions.shares(criterion).into_iter().find(Share::is_judged)?;
            Some((criterion, share, direction))
        })
    };
    of(Direction::Success).or_else(|| of(Direction::Failure))
}

/// What an experiment comes to, by what is known of its criteria.
pub fn standing(criteria: &[Judged]) -> Standing {
    let of = |direction| criteria.iter().filter(move |judged| judged.direction == direction);
    let holding = |direction| of(direction).filter(|judged| judged.holds == Some(true));
    if holding(Direction::Failure).any(|judged| judged.proven) {
        Standing::Failing
    } else if holding(Direction::Failure).next().is_some() {
        Standing::AtRisk
    } else if holding(Direction::Success).next().is_none() {
        Standing::Undecided
    } else if of(Direction::Success).all(|judged| judged.holds == Some(true) && judged.proven) {
        Standing::Succeeded
    } else {
        Standing::Promising
    }
}
