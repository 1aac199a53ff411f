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

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;
    use proptest::prelude::*;
    use rstest::rstest;

    fn count(k: u64, n: u64) -> Count {
        Count { k, n }
    }

    fn verdict(k: u64, n: u64, how: Comparison, line: f64) -> Verdict {
        judge(count(k, n), n, how, line).unwrap()
    }

    /// Experiments whose share is `truth`, watched after every event: how many ever say that it is on this side of the line, and after how
    /// many events each.
    fn watched(rounds: u64, events: u64, truth: f64, side: Side, line: f64) -> Vec<u64> {
        let round = |seed| {
            let (mut rng, mut so_far) = (fastrand::Rng::with_seed(seed), count(0, 0));
            (1..=events).find(|_| {
                so_far = count(so_far.k + u64::from(rng.f64() < truth), so_far.n + 1);
                evidence(so_far, side, line) >= -LEVEL.ln()
            })
        };
        (0..rounds).filter_map(round).collect()
    }

    #[rstest]
    #[case(Side::Below, 0.05)]
    #[case(Side::Above, 0.05)]
    #[case(Side::Below, 0.4)]
    #[case(Side::Above, 0.4)]
    fn on_the_line_it_is_seldom_wrong_however_often_one_looks(#[case] side: Side, #[case] line: f64) {
        let alarms = watched(200, 600, line, side, line).len();
        // Ten of 200 on average, at most; chance alone makes seventeen of it in one of fifty such tests. The bench `statistics` takes 10,000.
        assert!(alarms <= 17, "{alarms} of 200 at level 5 %");
        // A test for a fixed size, looked at as often, is wrong much more often.
        let naive = (0..200).filter(|seed| {
            let (mut rng, mut k) = (fastrand::Rng::with_seed(*seed), 0_u32);
            (1..=600_u32).any(|n| {
                k += u32::from(rng.f64() < line);
                let distance = f64::from(k) / f64::from(n) - line;
                let towards = if side == Side::Above { distance } else { -distance };
                n >= 100 && towards / (line * (1.0 - line) / f64::from(n)).sqrt() > 1.645
            })
        });
        assert!(naive.count() > 25);
    }

    /// The average of the evidence over all that can happen.
    fn average(n: u64, truth: f64, side: Side, line: f64) -> f64 {
        let term = |hits: u64| {
            let (k, m) = count(hits, n).parts();
            let ways = -ln_beta(k + 1.0, m + 1.0) - (as_float(n) + 1.0).ln();
            (ways + likelihood(k, m, truth) + evidence(count(hits, n), side, line)).exp()
        };
        (0..=n).map(term).sum()
    }

    /// The promise rests on this: on the line the average is 1, and beyond it, on the wrong side, less.
    #[rstest]
    #[case(0.05)]
    #[case(0.4)]
    #[case(0.9)]
    fn on_the_line_the_average_of_the_evidence_is_one(#[case] line: f64) {
        for (n, side) in [1, 10, 300].into_iter().flat_map(|n| [(n, Side::Below), (n, Side::Above)]) {
            let on_it = average(n, line, side, line);
            assert!((on_it - 1.0).abs() < 1e-6, "{n} events, {side:?} {line}: {on_it}");
            let wrong = if side == Side::Below { f64::midpoint(line, 1.0) } else { line / 2.0 };
            assert!(average(n, wrong, side, line) < 1.0);
        }
    }

    #[test]
    fn at_half_the_line_it_is_found_in_time() {
        // A test with a fixed size needs 498 events for 5 % against 2.5 % (level 5 %, power 90 %).
        let found = watched(100, 1_245, 0.025, Side::Below, 0.05).len();
        assert!(found >= 90, "{found} of 100");
    }

    #[test]
    fn a_verdict_says_how_sure_it_is() {
        let unlucky = verdict(0, 20, Comparison::Below, 0.05);
        assert_eq!(unlucky.state, State::Undecided);
        assert!(unlucky.holds < 0.6, "one unlucky day says little: {unlucky:?}");
        let failing = verdict(4, 400, Comparison::Below, 0.05);
        assert_eq!(failing.state, State::Holds);
        assert!(failing.holds > 0.99 && failing.fails == 0.0 && failing.high < 0.05, "{failing:?}");
        let fine = verdict(60, 400, Comparison::Below, 0.05);
        assert_eq!((fine.state, fine.leaning().0), (State::DoesNotHold, false));
        let on_it = verdict(20, 400, Comparison::AtLeast, 0.05);
        assert_eq!(on_it.state, State::Undecided);
        assert!(on_it.low < 0.05 && on_it.high > 0.05);
    }

    #[test]
    fn nothing_is_known_of_nothing() {
        let nothing = verdict(0, 0, Comparison::Below, 0.05);
        assert_eq!((nothing.state, nothing.holds, nothing.fails), (State::Undecided, 0.0, 0.0));
        assert_eq!((nothing.low, nothing.high), (0.0, 1.0));
        assert_eq!(judge(count(1, 2), 2, Comparison::Equal, 0.05), None);
        assert_eq!(judge(count(1, 2), 2, Comparison::Below, 1.0), None);
        assert_eq!(judge(count(1, 2), 2, Comparison::Below, f64::NAN), None);
    }

    /// Messages that nobody could answer yet are no failures; those that bounced did.
    #[test]
    fn what_is_too_young_does_not_count_against_a_share() {
        let judged = |k, n, settled, how| judge(count(k, n), settled, how, 0.05).unwrap();
        let just_sent = judged(0, 400, 0, Comparison::Below);
        assert_eq!((just_sent.state, just_sent.holds, just_sent.high), (State::Undecided, 0.0, 1.0));
        assert_eq!(judged(0, 400, 400, Comparison::Below).state, State::Holds);
        assert_eq!(judged(2, 400, 10, Comparison::Below).state, State::Undecided);
        assert_eq!(judged(80, 400, 0, Comparison::Above).state, State::Holds);
    }

    #[rstest]
    #[case(3.0, 2.0)]
    #[case(-1.0, 2.0)]
    #[case(0.5, 2.0)]
    #[case(f64::NAN, 2.0)]
    #[case(1.0, f64::INFINITY)]
    fn what_is_no_share_is_none(#[case] k: f64, #[case] n: f64) {
        assert_eq!(Count::of(k, n), None);
    }

    #[test]
    fn bounds_hold_the_share_and_narrow() {
        let (low, high) = bounds(count(12, 400), LEVEL);
        assert!(low > 0.005 && low < 0.03 && high > 0.03 && high < 0.08, "{low} to {high}");
        let (closer, near) = bounds(count(120, 4_000), LEVEL);
        assert!(closer > low && near < high);
        assert!(bounds(count(0, 10), LEVEL).0 <= 0.0);
        assert!(bounds(count(10, 10), LEVEL).1 >= 1.0);
    }

    #[test]
    fn bounds_hold_the_truth_all_the_time() {
        let round = |seed| {
            let (mut rng, mut so_far) = (fastrand::Rng::with_seed(seed), count(0, 0));
            (1..=300).all(|_| {
                so_far = count(so_far.k + u64::from(rng.f64() < 0.1), so_far.n + 1);
                let (low, high) = bounds(so_far, LEVEL);
                low <= 0.1 && high >= 0.1
            })
        };
        let wrong = (0..200).filter(|seed| !round(*seed)).count();
        assert!(wrong <= 10, "{wrong} of 200");
    }

    #[test]
    fn variants_that_do_not_differ_are_seldom_told_apart() {
        let round = |seed| {
            let mut rng = fastrand::Rng::with_seed(seed);
            let (mut one, mut other) = (count(0, 0), count(0, 0));
            (1..=600).any(|_| {
                let arm = if rng.bool() { &mut one } else { &mut other };
                *arm = count(arm.k + u64::from(rng.f64() < 0.2), arm.n + 1);
                difference(one, other) >= -LEVEL.ln()
            })
        };
        let wrong = (0..200).filter(|seed| round(*seed)).count();
        assert!(wrong <= 17, "{wrong} of 200");
    }

    #[test]
    fn the_better_variant_is_found() {
        let old = |count: Count| Tally { count, settled: count.n };
        let arms = |one: Count, other: Count| [("a".to_owned(), old(one)), ("b".to_owned(), old(other))];
        let contest = compare(arms(count(10, 200), count(40, 200)), Side::Above).unwrap();
        assert_eq!((contest.arms[0].name.as_str(), contest.is_decided), ("b", true));
        assert!(contest.confidence > 0.99, "{contest:?}");
        // Of bounces the fewest are the best.
        let contest = compare(arms(count(10, 200), count(40, 200)), Side::Below).unwrap();
        assert_eq!((contest.arms[0].name.as_str(), contest.is_decided), ("a", true));
        let even = compare(arms(count(10, 200), count(12, 200)), Side::Above).unwrap();
        assert!(!even.is_decided && even.confidence < 0.5, "{even:?}");
        assert_eq!(compare(arms(count(1, 2), count(0, 0)), Side::Above), None);
        // Of three, the leader must be better than both.
        let three = compare(
            [("a", count(10, 200)), ("b", count(40, 200)), ("c", count(38, 200))].map(|(n, c)| (n.to_owned(), old(c))),
            Side::Above,
        );
        assert!(!three.unwrap().is_decided);
    }

    /// A way that was added yesterday has no answers yet, which is no reason to drop it; nor do its first answers make it the best.
    #[test]
    fn a_variant_that_is_young_neither_wins_nor_loses_by_it() {
        let arm = |name: &str, k, n, settled| (name.to_owned(), Tally { count: count(k, n), settled });
        let contest = compare([arm("old", 40, 400, 400), arm("new", 0, 400, 0)], Side::Above).unwrap();
        assert_eq!((contest.arms[0].name.as_str(), contest.is_decided, contest.confidence), ("old", false, 0.0));
        let contest = compare([arm("old", 8, 400, 400), arm("new", 10, 400, 0)], Side::Above).unwrap();
        assert!(!contest.is_decided, "{contest:?}");
        let contest = compare([arm("old", 8, 400, 400), arm("new", 60, 400, 0)], Side::Above).unwrap();
        assert_eq!((contest.arms[0].name.as_str(), contest.is_decided), ("new", true), "what is to come adds to it");
        assert!(contest.arms[0].high >= 1.0, "{contest:?}");
    }

    #[test]
    fn evidence_is_put_together_so_that_it_stays_evidence() {
        let weight = |holds: f64, fails: f64| Weight { holds: holds.ln(), fails: fails.ln() };
        let (one, other) = (weight(40.0, 0.1), weight(10.0, 0.3));
        let near = |found: f64, wanted: f64| assert!((found.exp() - wanted).abs() < 1e-9, "{} {wanted}", found.exp());
        near(one.and(other).holds, 10.0);
        near(one.and(other).fails, 0.2);
        near(one.or(other).holds, 25.0);
        near(one.or(other).fails, 0.1);
        assert_eq!(one.and(Weight::fact(true)).state(), State::Holds);
        assert_eq!(one.and(Weight::fact(false)).state(), State::DoesNotHold);
        assert_eq!(one.and(Weight::NONE).state(), State::Undecided, "of the other nothing is known");
        assert_eq!(one.or(Weight::NONE).state(), State::Holds);
        assert_eq!(other.or(Weight::NONE).state(), State::Undecided);
        assert_eq!(Weight::fact(false).or(Weight::fact(true)).state(), State::Holds);
        assert_eq!(Weight::NONE.or(Weight::NONE).state(), State::Undecided);
    }

    /// Two criteria in one, both on their lines: one of them is taken for failing no more often than one alone would be.
    #[test]
    fn one_of_several_is_no_more_often_wrong_than_one() {
        let round = |seed| {
            let (mut rng, mut one, mut other) = (fastrand::Rng::with_seed(seed), count(0, 0), count(0, 0));
            (1..=600).any(|n| {
                one = count(one.k + u64::from(rng.f64() < 0.05), n);
                other = count(other.k + u64::from(rng.f64() < 0.1), n);
                let weigh = |count: Count, line| judge(count, count.n, Comparison::Below, line).unwrap().weight;
                weigh(one, 0.05).or(weigh(other, 0.1)).state() == State::Holds
            })
        };
        let wrong = (0..200).filter(|seed| round(*seed)).count();
        assert!(wrong <= 17, "{wrong} of 200");
    }

    proptest! {
        #[test]
        fn whatever_was_counted_is_judged(k in 0_u64..10_000_000, more in 0_u64..10_000_000, line in 0.000_001_f64..0.999_999) {
            let count = count(k, k + more);
            let verdict = judge(count, count.n, Comparison::Below, line).unwrap();
            let share = count.share().unwrap_or(0.5);
            prop_assert!((0.0..1.0).contains(&verdict.holds) && (0.0..1.0).contains(&verdict.fails));
            prop_assert!(0.0 <= verdict.low && verdict.low <= share && share <= verdict.high && verdict.high <= 1.0);
            // Both sides are never claimed at once, nor the one on which the share is not.
            prop_assert!(verdict.holds == 0.0 || verdict.fails == 0.0, "{:?}", verdict);
            prop_assert!(verdict.state != State::Holds || share < line);
            prop_assert!(verdict.state != State::DoesNotHold || share > line);
        }
    }
}
