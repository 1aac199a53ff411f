//! What criteria and formulas come to, with three values: true, false and unknown.
//!
//! Must never take what is missing for zero, nor what is unknown for false.

use std::fmt;
use std::time::Duration;

use super::{Comparison, Condition, Criterion, Formula, Name, Sign};
use crate::config::duration;

/// Whether something holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Truth {
    /// It does.
    True,
    /// It does not.
    False,
    /// That cannot be said, and why.
    Unknown(Unknown),
}

impl Truth {
    /// Whether it is known to hold.
    pub fn is_true(&self) -> bool {
        *self == Self::True
    }

    /// Whether it cannot be said.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown(_))
    }

    fn and(self, other: impl FnOnce() -> Self) -> Self {
        match self {
            Self::True => other(),
            Self::False => Self::False,
            // One that is false settles it.
            unknown @ Self::Unknown(_) => {
                if other() == Self::False {
                    Self::False
                } else {
                    unknown
                }
            }
        }
    }

    fn or(self, other: impl FnOnce() -> Self) -> Self {
        match self {
            Self::True => Self::True,
            Self::False => other(),
            unknown @ Self::Unknown(_) => {
                if other() == Self::True {
                    Self::True
                } else {
                    unknown
                }
            }
        }
    }
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

impl From<Unknown> for Truth {
    fn from(why: Unknown) -> Self {
        Self::Unknown(why)
    }
}

/// Why something cannot be said.
#[derive(Debug, Clone, PartialEq)]
pub enum Unknown {
    /// Nothing was measured under this name.
    Missing(String),
    /// This is zero, and something is divided by it.
    Zero(String),
    /// It is too large for a number.
    TooLarge,
    /// Not so many of an event yet.
    TooFew {
        /// How many there were.
        found: f64,
        /// How many are wanted.
        wanted: u64,
        /// Of what.
        event: String,
    },
    /// The experiment has not run for so long yet.
    TooEarly {
        /// How much longer.
        left: Duration,
    },
    /// It holds so far, and what is still to come may change that.
    NotOver {
        /// How much longer.
        left: Duration,
    },
    /// Its time is over, and until then it could not be said.
    Over,
    /// Nothing that the experiment does says that this happens.
    Unsaid(String),
    /// The experiment has not run yet.
    NotBegun,
    /// It holds, but not for so long yet.
    NotLasting {
        /// How much longer.
        left: Duration,
    },
}

impl Unknown {
    /// Nothing was measured under this name.
    pub fn missing(name: &Name) -> Self {
        Self::Missing(name.to_string())
    }
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(name) => write!(f, "no `{name}` was measured"),
            Self::Zero(what) => write!(f, "`{what}` is zero"),
            Self::TooLarge => f.write_str("it is too large for a number"),
            Self::TooFew { found, wanted, event } => write!(f, "{found} of {wanted} {event}"),
            Self::TooEarly { left } => write!(f, "too early, {} to go", whole(*left)),
            Self::NotOver { left } => write!(f, "it holds so far, {} to go", whole(*left)),
            Self::Over => f.write_str("its time is over"),
            Self::Unsaid(name) => {
                write!(
                    f,
                    "nothing in it says `{name}`; `fullsend metrics add` does, with `--count 0` where there is none"
                )
            }
            Self::NotBegun => f.write_str("it has not run yet"),
            Self::NotLasting { left } => write!(f, "it holds, {} to go", whole(*left)),
        }
    }
}

/// A length of time for people: without what is too small to matter.
fn whole(length: Duration) -> String {
    let step = match length.as_secs() {
        0..60 => 1_000,
        60..86_400 => 60_000,
        _ => 3_600_000,
    };
    let millis = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
    duration::show(Duration::from_millis(millis.div_ceil(step).saturating_mul(step)))
}

/// When a criterion is looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moment {
    /// How long the experiment has run; none where it has not begun.
    pub age: Option<Duration>,
    /// How long the condition has held without a break; none where it did not hold when it was looked at last.
    pub held: Option<Duration>,
    /// What the criterion was when it was looked at last: true, false, or unknown.
    pub was: Option<bool>,
    /// It is looked at when the time is over within which something counts.
    pub closes: bool,
}

impl Criterion {
    /// Whether its condition holds and may be judged, without regard to how long it must hold.
    pub fn holds(&self, of: &impl Fn(&Name) -> Result<f64, Unknown>, at: &Moment) -> Truth {
        let left = self.within.filter(|_| !at.closes).map(|within| within.checked_sub(at.age.unwrap_or_default()));
        if left == Some(None) {
            // What came later does not count: it stays as it was, unknown too.
            return at.was.map_or(Unknown::Over.into(), Truth::from);
        }
        if let Some(sample) = &self.sample {
            // An event that nobody counted did not happen.
            let found = of(&Name::event(&sample.event)).unwrap_or(0.0);
            #[expect(
                clippy::cast_precision_loss,
                reason = "numbers of events are far below what a float holds exactly"
            )]
            if found < sample.count as f64 {
                return Unknown::TooFew { found, wanted: sample.count, event: sample.event.clone() }.into();
            }
        }
        if let Some(settled) = self.settled {
            let Some(age) = at.age else { return Unknown::NotBegun.into() };
            if age < settled {
                return Unknown::TooEarly { left: settled.saturating_sub(age) }.into();
            }
        }
        self.condition.truth_until(of, left.flatten())
    }

    /// Whether it holds, with all its suffixes.
    pub fn judge(&self, of: &impl Fn(&Name) -> Result<f64, Unknown>, at: &Moment) -> Truth {
        match (self.holds(of, at), self.lasting) {
            (Truth::True, Some(lasting)) if at.was != Some(true) => {
                let held = at.held.unwrap_or_default();
                if held >= lasting {
                    return Truth::True;
                }
                Unknown::NotLasting { left: lasting.saturating_sub(held) }.into()
            }
            (truth, _) => truth,
        }
    }
}

impl Condition {
    /// Whether it holds of these numbers.
    pub fn truth(&self, of: &impl Fn(&Name) -> Result<f64, Unknown>) -> Truth {
        self.truth_until(of, None)
    }

    /// The same where things count for so much longer: what is below a line may still reach it, so it is not known until the time is over.
    fn truth_until(&self, of: &impl Fn(&Name) -> Result<f64, Unknown>, left: Option<Duration>) -> Truth {
        match self {
            Self::Compare(one, how, other) => {
                let how_seen = if one.constant().is_some() { how.mirrored() } else { *how };
                let is_bound = matches!(how_seen, Comparison::Below | Comparison::AtMost | Comparison::Equal);
                match (one.value(of), other.value(of), left) {
                    (Ok(one), Ok(other), Some(left)) if is_bound && how.holds(one, other) => {
                        Unknown::NotOver { left }.into()
                    }
                    (Ok(one), Ok(other), _) => how.holds(one, other).into(),
                    (Err(why), ..) | (_, Err(why), _) => why.into(),
                }
            }
            Self::And(one, other) => one.truth_until(of, left).and(|| other.truth_until(of, left)),
            Self::Or(one, other) => one.truth_until(of, left).or(|| other.truth_until(of, left)),
        }
    }
}

impl Formula {
    /// Its value.
    ///
    /// # Errors
    /// Where it cannot be computed: a name has no value, something is divided by zero.
    pub fn value(&self, of: &impl Fn(&Name) -> Result<f64, Unknown>) -> Result<f64, Unknown> {
        let value = match self {
            Self::Number { written, is_percent } => {
                if *is_percent {
                    written / 100.0
                } else {
                    *written
                }
            }
            Self::Name(name) => of(name)?,
            Self::Of(left, sign, right) => {
                let (first, second) = (left.value(of)?, right.value(of)?);
                match sign {
                    Sign::Plus => first + second,
                    Sign::Minus => first - second,
                    Sign::Times => first * second,
                    Sign::Over if second == 0.0 => return Err(Unknown::Zero(right.to_string())),
                    Sign::Over => first / second,
                }
            }
        };
        if value.is_finite() { Ok(value) } else { Err(Unknown::TooLarge) }
    }
}
