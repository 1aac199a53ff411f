//! How sure a share is: verdicts that stay valid however often they are looked at.
//!
//! A share is `k` of `n`, each of the `n` counting or not by chance. Three things are computed from these two numbers alone, so that nothing has to
//! be remembered, and each holds at all times together and not only at one that was fixed before:
//!
//! - **Evidence** that a share is on one side of a line ([`evidence`]). An e-process: the likelihood ratio of a mixture of shares on that side, and the
//!   line itself. Where the share is really on the other side, or on the line, each further event multiplies it by 1 or less on average; so it ever
//!   reaches `1 / level` with a probability of at most `level` (Ville's inequality), whenever one stops. Robbins, "Statistical methods related to the law
//!   of the iterated logarithm", Ann. Math. Statist. 41 (1970); as a test for product experiments: Johari, Koomen, Pekelis, Walsh, "Always valid inference:
//!   continuous monitoring of A/B tests", Operations Research 70 (2022).
//! - **Bounds** of a share ([`bounds`]): the shares that the same kind of mixture, taken over all shares, does not speak against. A confidence
//!   sequence: Howard, Ramdas, McAuliffe, Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence sequences", Ann. Statist. 49 (2021).
//! - **Evidence that two shares differ** ([`difference`]): the mixture likelihood of both, each by itself, over the greatest likelihood that one common share
//!   can have. Whatever the common share is, this is at most a likelihood ratio with an average of 1, so it is an e-process too: Wasserman, Ramdas,
//!   Balakrishnan, "Universal inference", PNAS 117 (2020). (The e-variables of Turner, Ly, Grünwald, "Generic E-variables for exact sequential k-sample
//!   tests", 2021, need the variants' events in blocks of a fixed shape, which messages to people do not come in.)
//!
//! Evidence is put together ([`Weight`]): for one of several claims it is the mean of theirs, for all of them the least of them. A mean of e-values is an
//! e-value however they depend on each other, and the least of them is one as soon as one of the claims is wrong: Vovk, Wang, "E-values: calibration,
//! combination and applications", Ann. Statist. 49 (2021).
//!
//! All of it wants that each of the `n` had its chance to count. What is too young is left out where it would speak against a share, and taken in where it
//! would speak for it ([`Tally`]): the evidence is then no more than that of the full count will be, and the promise holds for it too.
//!
//! Must never round in favour of a verdict: where it cannot be computed, there is no evidence.

#[cfg(test)]
mod tests;

use statrs::function::beta::{checked_beta_reg, checked_ln_beta};

use super::criteria::Comparison;

/// How often, at most, an experiment on the line is taken for one beyond it, however long it is watched.
pub const LEVEL: f64 = 0.05;
/// Nothing is surer than this: a model of chance is not the world.
const SUREST: f64 = 0.9999;
/// How much the mixture knows beforehand of a share that is beyond the line, in events that count. Where little is known a share of half the line
/// (or twice) is expected, and any other on that side is possible.
const PRIOR: f64 = 2.5;
/// Of a mixture over all shares: Jeffreys' prior.
const EVEN: f64 = 0.5;

/// A share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// Those that count.
    pub k: u64,
    /// Out of so many.
    pub n: u64,
}

impl Count {
    /// `k` of `n`; none where that is no share: more than all of them, or no whole numbers.
    pub fn of(k: f64, n: f64) -> Option<Self> {
        let whole = |number: f64| {
            let fits = number.fract() == 0.0 && (0.0..9e15).contains(&number);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a whole number within the range"
            )]
            fits.then_some(number as u64)
        };
        let (k, n) = (whole(k)?, whole(n)?);
        (k <= n).then_some(Self { k, n })
    }

    /// The share; none of nothing.
    pub fn share(self) -> Option<f64> {
        (self.n > 0).then(|| as_float(self.k) / as_float(self.n))
    }

    fn parts(self) -> (f64, f64) {
        (as_float(self.k), as_float(self.n.saturating_sub(self.k)))
    }
}

#[expect(clippy::cast_precision_loss, reason = "numbers of events are far below what a float holds exactly")]
pub(super) fn as_float(count: u64) -> f64 {
    count as f64
}

/// A share of which not all had their chance to count yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// What was counted so far.
    pub count: Count,
    /// Of its `n`, those that are old enough.
    pub settled: u64,
}

impl Tally {
    /// The lowest that the share can be: nobody else answers.
    pub fn lowest(self) -> Count {
        self.count
    }

    /// The highest that it can be: those who did not answer and still may are left out.
    pub fn highest(self) -> Count {
        let Count { k, n } = self.count;
        Count { k, n: self.settled.clamp(k, n) }
    }
}

/// Evidence for something and against it: logarithms of e-values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weight {
    /// For it.
    pub holds: f64,
    /// Against it.
    pub fails: f64,
}

impl Weight {
    /// Nothing speaks for it or against it.
    pub const NONE: Self = Self { holds: f64::NEG_INFINITY, fails: f64::NEG_INFINITY };

    /// A fact.
    pub fn fact(holds: bool) -> Self {
        let certain = Self { holds: f64::INFINITY, fails: f64::NEG_INFINITY };
        if holds { certain } else { Self { holds: certain.fails, fails: certain.holds } }
    }

    /// That both hold.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { holds: self.holds.min(other.holds), fails: mean(self.fails, other.fails) }
    }

    /// That one of both holds.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self { holds: mean(self.holds, other.holds), fails: self.fails.min(other.fails) }
    }

    /// What is decided: the evidence for one side reaches `1 / LEVEL`, and not that for the other.
    pub fn state(self) -> State {
        let enough = -LEVEL.ln();
        match (self.holds >= enough, self.fails >= enough) {
            (true, false) => State::Holds,
            (false, true) => State::DoesNotHold,
            _ => State::Undecided,
        }
    }
}

/// The logarithm of the mean of two numbers that are given by theirs.
fn mean(one: f64, other: f64) -> f64 {
    let (most, least) = (one.max(other), one.min(other));
    if most.is_infinite() { most } else { most + ((least - most).exp() + 1.0).ln() - 2.0_f64.ln() }
}

/// Whether a comparison with a line holds, as far as can be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Both are possible.
    Undecided,
    /// It does.
    Holds,
    /// It does not.
    DoesNotHold,
}

impl State {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Undecided => "undecided",
            Self::Holds => "holds",
            Self::DoesNotHold => "does_not_hold",
        }
    }
}

/// What is known of a share and a line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Verdict {
    /// On which side of the line the share is said to be.
    pub how: Comparison,
    /// The line, as a fraction.
    pub line: f64,
    /// The share.
    pub count: Count,
    /// Of the `n`, those of which it is known whether they count.
    pub settled: u64,
    /// The evidence for the comparison, and against it.
    pub weight: Weight,
    /// Whether the comparison holds: decided once the evidence for either side reaches `1 / LEVEL`.
    pub state: State,
    /// How sure it is that it holds, from 0 to just below 1. Valid whenever it is looked at: 1 − 1/e.
    pub holds: f64,
    /// How sure it is that it does not.
    pub fails: f64,
    /// The share is not below this, as sure as [`LEVEL`] says.
    pub low: f64,
    /// And not above this.
    pub high: f64,
}

impl Verdict {
    /// Which of both is likelier, and how sure that is.
    pub fn leaning(&self) -> (bool, f64) {
        if self.holds >= self.fails { (true, self.holds) } else { (false, self.fails) }
    }
}

/// What is known of a comparison with a line; none where it is no such comparison.
///
/// Only `settled` of the `n` are old enough that it is known whether they count; of the others that did not count so far, some still may. So
/// a share is below a line if it would be with the settled ones alone, and all that count; and above it if it would be with all. Both err on the side of
/// no verdict.
pub fn judge(count: Count, settled: u64, how: Comparison, line: f64) -> Option<Verdict> {
    let (this, other) = match how {
        Comparison::Above | Comparison::AtLeast => (Side::Above, Side::Below),
        Comparison::Below | Comparison::AtMost => (Side::Below, Side::Above),
        Comparison::Equal | Comparison::Unequal => return None,
    };
    if !(line > 0.0 && line < 1.0) {
        return None;
    }
    let tally = Tally { count, settled };
    let old = tally.highest();
    let of = |side| if side == Side::Below { old } else { tally.lowest() };
    let weight = Weight { holds: evidence(of(this), this, line), fails: evidence(of(other), other, line) };
    let (low, high) = (bounds(count, LEVEL).0, bounds(old, LEVEL).1);
    Some(Verdict {
        how,
        line,
        count,
        settled: old.n,
        weight,
        state: weight.state(),
        holds: sureness(weight.holds),
        fails: sureness(weight.fails),
        low,
        high,
    })
}

/// How sure evidence makes, from 0 to just below 1: 1 − 1/e.
pub fn sureness(evidence: f64) -> f64 {
    if evidence.is_nan() { 0.0 } else { (1.0 - (-evidence).exp()).clamp(0.0, SUREST) }
}

/// A side of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Smaller.
    Below,
    /// Greater.
    Above,
}

/// The logarithm of the evidence that a share is on this side of the line.
///
/// With a prior Beta(a, b), cut off at the line `p` and so wholly on that side, it is the integral of `(q/p)^k ((1−q)/(1−p))^(n−k)` over it, in closed
/// form: `B(k+a, n−k+b) I(k+a, n−k+b) / (B(a,b) I(a,b) p^k (1−p)^(n−k))`, with `I` the part of the Beta distribution that lies on that side. Each factor
/// of the integrand is 1 on average if the share is the line, and less if it is on the other side of it.
pub fn evidence(count: Count, side: Side, line: f64) -> f64 {
    let (k, m) = count.parts();
    let expected = match side {
        Side::Below => line / 2.0,
        Side::Above => (2.0 * line).min(f64::midpoint(1.0, line)),
    };
    let (a, b) = (PRIOR, PRIOR * (1.0 - expected) / expected);
    let part = |a: f64, b: f64| {
        let part = match side {
            Side::Below => checked_beta_reg(a, b, line),
            Side::Above => checked_beta_reg(b, a, 1.0 - line),
        };
        part.unwrap_or(0.0).clamp(0.0, 1.0).ln()
    };
    let after = ln_beta(k + a, m + b) + part(k + a, m + b);
    let before = ln_beta(a, b) + part(a, b);
    let evidence = after - before - k * line.ln() - m * (-line).ln_1p();
    if evidence.is_nan() { f64::NEG_INFINITY } else { evidence }
}

/// The shares that are possible, all the time, with a probability of at least `1 − level`: from, to.
pub fn bounds(count: Count, level: f64) -> (f64, f64) {
    let Some(share) = count.share() else { return (0.0, 1.0) };
    let (k, m) = count.parts();
    let mixture = marginal(count);
    let against = |p: f64| mixture - likelihood(k, m, p);
    let enough = -level.ln();
    // Between where it is surely spoken against and where it is not, by halves.
    let edge = |mut out: f64, mut inside: f64| {
        for _ in 0..60 {
            let middle = f64::midpoint(out, inside);
            if against(middle) >= enough { out = middle } else { inside = middle }
        }
        out
    };
    let low = if count.k == 0 { 0.0 } else { edge(0.0, share) };
    let high = if m == 0.0 { 1.0 } else { edge(1.0, share) };
    (low, high)
}

/// The logarithm of the evidence that two shares differ.
pub fn difference(one: Count, other: Count) -> f64 {
    let both = Count { k: one.k.saturating_add(other.k), n: one.n.saturating_add(other.n) };
    let Some(common) = both.share() else { return 0.0 };
    let (k, m) = both.parts();
    let evidence = marginal(one) + marginal(other) - likelihood(k, m, common);
    if evidence.is_nan() { f64::NEG_INFINITY } else { evidence }
}

/// A way to do something, and what came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Arm {
    /// Its name.
    pub name: String,
    /// Its share.
    pub tally: Tally,
    /// Not below this.
    pub low: f64,
    /// And not above this.
    pub high: f64,
}

/// Ways to do something, compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Contest {
    /// The ways, the best first.
    pub arms: Vec<Arm>,
    /// How sure it is that the first is better than all others; valid whenever it is looked at.
    pub confidence: f64,
    /// Whether that is enough.
    pub is_decided: bool,
}

/// Compares ways to do something; the best has its share on the side that is wanted. None where fewer than two were tried.
///
/// What is too young is taken for the others and against the first, so that a way that was added later neither wins nor loses by it.
pub fn compare(arms: impl IntoIterator<Item = (String, Tally)>, wanted: Side) -> Option<Contest> {
    let arm = |(name, tally): (String, Tally)| {
        let share = tally.count.share()?;
        let (low, high) = (bounds(tally.lowest(), LEVEL).0, bounds(tally.highest(), LEVEL).1);
        Some((share, Arm { name, tally, low, high }))
    };
    let mut arms: Vec<(f64, Arm)> = arms.into_iter().filter_map(arm).collect();
    arms.sort_by(|(left, one), (right, other)| {
        let order = if wanted == Side::Above { right.total_cmp(left) } else { left.total_cmp(right) };
        order.then_with(|| one.name.cmp(&other.name))
    });
    let arms: Vec<Arm> = arms.into_iter().map(|(_, arm)| arm).collect();
    let (first, rest) = arms.split_first()?;
    // Which one leads was not said beforehand: each pair may be wrong, and together they may be no more often than one.
    let pairs = as_float(u64::try_from(arms.len() * (arms.len() - 1) / 2).unwrap_or(u64::MAX));
    let weakest = rest.iter().map(|arm| better(first.tally, arm.tally, wanted)).reduce(f64::min)? - pairs.ln();
    Some(Contest { confidence: sureness(weakest), is_decided: weakest >= -LEVEL.ln(), arms })
}

/// The logarithm of the evidence that one share is better than another, whatever becomes of what is too young.
fn better(one: Tally, other: Tally, wanted: Side) -> f64 {
    let (one, other) = match wanted {
        Side::Above => (one.lowest(), other.highest()),
        Side::Below => (one.highest(), other.lowest()),
    };
    let (Some(left), Some(right)) = (one.share(), other.share()) else { return f64::NEG_INFINITY };
    let leads = if wanted == Side::Above { left > right } else { left < right };
    if leads { difference(one, other) } else { f64::NEG_INFINITY }
}

/// The logarithm of the likelihood that all shares together, mixed evenly, give to what was seen.
fn marginal(count: Count) -> f64 {
    let (k, m) = count.parts();
    ln_beta(k + EVEN, m + EVEN) - ln_beta(EVEN, EVEN)
}

/// The logarithm of the likelihood that one share gives to it.
fn likelihood(k: f64, m: f64, p: f64) -> f64 {
    let part = |times: f64, logarithm: f64| if times == 0.0 { 0.0 } else { times * logarithm };
    part(k, p.ln()) + part(m, (-p).ln_1p())
}

fn ln_beta(a: f64, b: f64) -> f64 {
    checked_ln_beta(a, b).unwrap_or(f64::NAN)
}
