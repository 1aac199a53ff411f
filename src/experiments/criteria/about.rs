//! What a criterion is about: a share, which chance may have made, or counts, which chance has no part in.
//!
//! Must never take an average for a count, nor a quotient of anything but counts for a share.

use std::collections::BTreeSet;

use super::definitions::{Definitions, is_bare};
use super::{Aggregate, Comparison, Condition, Criterion, Formula, Name, Sign, Space};
use crate::experiments::events;
use crate::experiments::spec::MetricKind;

/// Names that stand for names, at most.
const LONGEST_CHAIN: usize = 16;
/// Parts of a formula that are looked at, with those of the formulas that it uses.
const MOST_PARTS: usize = 1_000;

/// A comparison of a share with a line: so many of so many, which chance may have made.
#[derive(Debug, Clone, PartialEq)]
pub struct Share {
    /// Those that count.
    pub hits: Formula,
    /// Out of these.
    pub of: Formula,
    /// On which side of the line it is to be.
    pub how: Comparison,
    /// The line, as a fraction. Where it is no fraction, no share is ever beyond it, or each is.
    pub line: f64,
}

impl Share {
    /// Whether a share can be on either side of the line, so that it says something on which side it is.
    pub fn is_judged(&self) -> bool {
        self.line > 0.0 && self.line < 1.0 && !matches!(self.how, Comparison::Equal | Comparison::Unequal)
    }
}

/// How a number changes while what happens is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Growth {
    Still,
    Up,
    Down,
    Either,
}

impl Growth {
    fn with(self, other: Self) -> Self {
        match (self, other) {
            (Self::Still, it) | (it, Self::Still) => it,
            (one, other) if one == other => one,
            _ => Self::Either,
        }
    }

    fn turned(self) -> Self {
        match self {
            Self::Up => Self::Down,
            Self::Down => Self::Up,
            same => same,
        }
    }

    fn times(self, factor: f64) -> Self {
        if factor > 0.0 {
            self
        } else if factor < 0.0 {
            self.turned()
        } else {
            Self::Still
        }
    }
}

impl Definitions {
    /// The share that a criterion is about; none where it is about anything else, or about several things.
    pub fn share(&self, criterion: &Criterion) -> Option<Share> {
        let (left, how, right) = criterion.comparison()?;
        self.share_of(left, how, right).filter(Share::is_judged)
    }

    /// The comparisons of shares with lines in a criterion, in their order.
    pub fn shares(&self, criterion: &Criterion) -> Vec<Share> {
        let mut shares = Vec::new();
        criterion.condition.each(&mut |left, how, right| shares.extend(self.share_of(left, how, right)));
        shares
    }

    /// The share that is compared with a line here; none where something else is compared.
    pub fn share_of(&self, left: &Formula, how: Comparison, right: &Formula) -> Option<Share> {
        let (side, how, line) = match (left.constant(), right.constant()) {
            (None, Some(line)) => (left, how, line),
            (Some(line), None) => (right, how.mirrored(), line),
            _ => return None,
        };
        let (hits, of, line) = self.quotient(side.clone(), line)?;
        let counts = |formula: &Formula| self.growth(formula, &mut MOST_PARTS.clone()).is_some();
        let is_measured = hits.constant().is_none() && of.constant().is_none();
        (is_measured && counts(&hits) && counts(&of)).then_some(Share { hits, of, how, line })
    }

    /// Numerator and denominator of a quotient; `q * 100` against a line is `q` against its hundredth part.
    fn quotient(&self, mut side: Formula, mut line: f64) -> Option<(Formula, Formula, f64)> {
        for _ in 0..LONGEST_CHAIN {
            let (inner, factor) = without_factor(side);
            line /= factor;
            side = match inner {
                Formula::Name(name) if is_bare(&name) => self.formula(&name.name)?,
                Formula::Name(name) if name.aggregate == Some(Aggregate::Rate) && name.space != Some(Space::Fields) => {
                    let hits = Formula::Name(Name { aggregate: None, ..name });
                    return Some((hits, Formula::Name(Name::event(events::ALL_SENT)), line));
                }
                Formula::Of(hits, Sign::Over, of) => {
                    let ((hits, more), (of, less)) = (without_factor(*hits), without_factor(*of));
                    return Some((hits, of, line * less / more));
                }
                _ => return None,
            };
        }
        None
    }

    /// The value that a comparison of counts keeps for ever once it has it: what was counted is not taken back, so what is above a line stays there.
    /// None where it may change again; an error where something is compared that is no count, so that nothing can be said.
    pub(in crate::experiments) fn kept(
        &self,
        left: &Formula,
        how: Comparison,
        right: &Formula,
    ) -> Result<Option<bool>, NoCount> {
        let mut parts = MOST_PARTS;
        let left = self.growth(left, &mut parts).ok_or(NoCount)?;
        let right = self.growth(right, &mut parts).ok_or(NoCount)?;
        let goes_up = match (left.with(right.turned()), how) {
            (Growth::Still | Growth::Either, _) | (_, Comparison::Equal | Comparison::Unequal) => return Ok(None),
            (Growth::Up, _) => true,
            (Growth::Down, _) => false,
        };
        let wants_up = matches!(how, Comparison::Above | Comparison::AtLeast);
        Ok(Some(goes_up == wants_up))
    }

    /// How what is counted here changes; none where it is no count: an average, a quotient, the last value of something.
    fn growth(&self, formula: &Formula, parts: &mut usize) -> Option<Growth> {
        *parts = parts.checked_sub(1)?;
        match formula {
            Formula::Number { .. } => Some(Growth::Still),
            Formula::Name(name) => self.growth_of(name, parts),
            Formula::Of(left, sign, right) => {
                let mut of = |formula| self.growth(formula, parts);
                match (sign, left.constant(), right.constant()) {
                    (Sign::Plus, ..) => Some(of(left)?.with(of(right)?)),
                    (Sign::Minus, ..) => Some(of(left)?.with(of(right)?.turned())),
                    (Sign::Times, Some(factor), _) => Some(of(right)?.times(factor)),
                    (Sign::Times, None, Some(factor)) => Some(of(left)?.times(factor)),
                    (Sign::Over, _, Some(by)) if by != 0.0 => Some(of(left)?.times(by)),
                    _ => None,
                }
            }
        }
    }

    fn growth_of(&self, name: &Name, parts: &mut usize) -> Option<Growth> {
        if is_bare(name) {
            if let Some(formula) = self.formula(&name.name) {
                return self.growth(&formula, parts);
            }
            let is_mean = matches!(self.kind(&name.name), Some(MetricKind::Percentage | MetricKind::Duration));
            return (!is_mean).then_some(Growth::Up);
        }
        match name.aggregate {
            None | Some(Aggregate::Sum | Aggregate::Count | Aggregate::Max) => Some(Growth::Up),
            Some(Aggregate::Min) => Some(Growth::Down),
            Some(Aggregate::Avg | Aggregate::Latest | Aggregate::P50 | Aggregate::P95 | Aggregate::Rate) => None,
        }
    }

    /// What a criterion rests on: the names of what is counted or measured for it, in the formulas that it uses too.
    pub fn rests_on(&self, criterion: &Criterion) -> BTreeSet<Name> {
        let mut found = BTreeSet::new();
        criterion.condition.each(&mut |left, _, right| {
            self.collect(left, &mut found);
            self.collect(right, &mut found);
        });
        found.extend(criterion.sample.iter().map(|sample| Name::event(&sample.event)));
        found
    }

    /// What the shares of a criterion are taken of.
    pub fn totals(&self, criterion: &Criterion) -> BTreeSet<Name> {
        let mut found = BTreeSet::new();
        for share in self.shares(criterion) {
            self.collect(&share.of, &mut found);
        }
        found
    }

    /// What a formula is made of: the names in it, and in those that it uses.
    pub fn parts(&self, formula: &Formula) -> BTreeSet<Name> {
        let mut found = BTreeSet::new();
        self.collect(formula, &mut found);
        found
    }

    fn collect(&self, formula: &Formula, found: &mut BTreeSet<Name>) {
        let (mut seen, mut open) = (BTreeSet::new(), vec![formula.clone()]);
        while let Some(formula) = open.pop() {
            for name in formula.names() {
                if !is_bare(name) {
                    found.insert(name.clone());
                } else if seen.insert(name.name.clone()) {
                    match self.formula(&name.name) {
                        Some(formula) => open.push(formula),
                        None => drop(found.insert(name.clone())),
                    }
                }
            }
        }
    }
}

/// What is compared is no count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::experiments) struct NoCount;

impl Condition {
    /// Its comparisons, in their order.
    pub(in crate::experiments) fn each<'a>(&'a self, see: &mut impl FnMut(&'a Formula, Comparison, &'a Formula)) {
        match self {
            Self::Compare(left, how, right) => see(left, *how, right),
            Self::And(left, right) | Self::Or(left, right) => {
                left.each(see);
                right.each(see);
            }
        }
    }
}

impl Formula {
    /// The same without the `* 100` that makes a share a number of percent; none where it is not a quotient with that factor.
    pub fn without_percent(&self) -> Option<Self> {
        let is_hundred = |factor: f64| (factor - 100.0).abs() < 1e-9;
        match without_factor(self.clone()) {
            (quotient @ Self::Of(_, Sign::Over, _), factor) if is_hundred(factor) => Some(quotient),
            (Self::Of(hits, Sign::Over, of), _) => match without_factor(*hits) {
                (hits, factor) if is_hundred(factor) => Some(Self::Of(Box::new(hits), Sign::Over, of)),
                _ => None,
            },
            _ => None,
        }
    }
}

/// A formula, and the number that it is multiplied by; 1 where there is none.
fn without_factor(mut formula: Formula) -> (Formula, f64) {
    let mut factor = 1.0;
    let is_factor = |it: &Formula| it.constant().filter(|it| *it > 0.0);
    loop {
        let Formula::Of(left, sign, right) = formula else { return (formula, factor) };
        (formula, factor) = match (sign, is_factor(&left), is_factor(&right)) {
            (Sign::Times, None, Some(by)) => (*left, factor * by),
            (Sign::Times, Some(by), None) => (*right, factor * by),
            (Sign::Over, None, Some(by)) => (*left, factor / by),
            _ => return (Formula::Of(left, sign, right), factor),
        };
    }
}
