//! Whether what holds is proven: by counts that stay as they are, or by evidence that chance does not explain it.
//!
//! There are three cases. Of counts it is a fact, once what was counted cannot change it any more. Of a share there is evidence. Of anything else (an
//! average, two shares against each other, more hits than there was to hit) nothing can be said, and then nothing is proven. Several comparisons in one
//! criterion are put together as [`Weight`] says. Must never take the lack of evidence for proof.

use super::{Evidence, Plan, Values};
use crate::experiments::criteria::{Comparison, Condition, Criterion, Formula, Moment, Name, Share};
use crate::experiments::statistics::{self, Count, State, Tally, Verdict, Weight, sureness};

/// What proves a criterion, or does not.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Proof {
    /// True and false are proven, none is undecided.
    pub(super) proven: Option<bool>,
    /// The figures, where it is about a share: of the first, where it is about several.
    pub(super) evidence: Option<Evidence>,
}

/// What a criterion is weighed by.
struct Scales<'a> {
    plan: &'a Plan,
    values: &'a Values<'a>,
    settled: &'a Values<'a>,
    /// The specification says when counts are judged, and it is time.
    is_time: bool,
}

pub(super) fn prove(
    criterion: &Criterion,
    plan: &Plan,
    values: &Values<'_>,
    settled: &Values<'_>,
    moment: &Moment,
) -> Proof {
    let has_run = criterion.settled.is_some_and(|settled| moment.age.is_some_and(|age| age >= settled));
    // As many as it wants, without those that may still be answered.
    let sample = criterion.sample.as_ref().and_then(|sample| {
        let found = settled.get(&Name::event(&sample.event)).ok()?;
        Some(Comparison::AtLeast.holds(found, statistics::as_float(sample.count)))
    });
    let scales = Scales { plan, values, settled, is_time: moment.closes || has_run || sample == Some(true) };
    let weight = scales.weigh(&criterion.condition);
    let proven = match weight.state() {
        State::Holds => Some(true),
        State::DoesNotHold => Some(false),
        State::Undecided => None,
    };
    let shares = plan.definitions.shares(criterion);
    let first = shares.iter().find_map(|share| Some((share, scales.verdict(share)?)));
    let evidence = first.map(|(share, verdict)| Evidence {
        k: verdict.count.k,
        n: verdict.count.n,
        settled: verdict.settled,
        low: verdict.low,
        high: verdict.high,
        line: Some(share.line),
        sure: sureness(weight.holds),
        sure_not: sureness(weight.fails),
        proven,
    });
    Proof { proven, evidence }
}

impl Scales<'_> {
    fn weigh(&self, condition: &Condition) -> Weight {
        match condition {
            Condition::Compare(left, how, right) => self.compare(left, *how, right),
            Condition::And(one, other) => self.weigh(one).and(self.weigh(other)),
            Condition::Or(one, other) => self.weigh(one).or(self.weigh(other)),
        }
    }

    fn compare(&self, left: &Formula, how: Comparison, right: &Formula) -> Weight {
        if let Some(share) = self.plan.definitions.share_of(left, how, right) {
            return self.verdict(&share).map_or(Weight::NONE, |verdict| verdict.weight);
        }
        let (Ok(kept), Ok(one), Ok(other)) =
            (self.plan.definitions.kept(left, how, right), self.value(left), self.value(right))
        else {
            return Weight::NONE;
        };
        let holds = how.holds(one, other);
        if kept == Some(holds) || self.is_time { Weight::fact(holds) } else { Weight::NONE }
    }

    fn value(&self, formula: &Formula) -> Result<f64, crate::experiments::criteria::Unknown> {
        formula.value(&|name: &Name| self.values.get(name))
    }

    fn verdict(&self, share: &Share) -> Option<Verdict> {
        let parts = |formula: &Formula| self.plan.definitions.parts(formula);
        let are_events = |formula: &Formula| parts(formula).iter().all(|name| self.values.counts_events(name));
        if !share.is_judged() || !are_events(&share.hits) || !are_events(&share.of) {
            return None;
        }
        let Tally { count, settled } = tally(share, self.values, self.settled)?;
        statistics::judge(count, settled, share.how, share.line)
    }
}

/// What was counted of a share; none where that is none.
pub(super) fn tally(share: &Share, values: &Values<'_>, settled: &Values<'_>) -> Option<Tally> {
    let value = |formula: &Formula, of: &Values<'_>| formula.value(&|name: &Name| of.get(name)).ok();
    let count = Count::of(value(&share.hits, values)?, value(&share.of, values)?)?;
    // Of more than was counted, none is settled.
    let settled = value(&share.of, settled).and_then(|of| Count::of(0.0, of)).map_or(0, |count| count.n);
    Some(Tally { count, settled })
}
