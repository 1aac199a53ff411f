//! Criteria and formulas: the one language in which specifications say when an experiment worked and when it did not.
//!
//! ```text
//! criterion := or suffix*                  response_rate < 5% after 200 sends
//! or        := and ("or" and)*             bounces / emails_sent > 10% and bounces > 5
//! and       := cmp ("and" cmp)*            (replies + bounces) / emails_sent < 0.02 or spam_complaints > 2
//! cmp       := sum op sum | "(" or ")"     op: > >= < <= == !=
//! sum       := product (("+" | "-") product)*
//! product   := atom (("*" | "/") atom)*
//! atom      := number["%"] | name["." agg] | "(" sum ")"
//! agg       := sum avg min max latest count p50 p95 rate
//! suffix    := "after" N event             not judged before so many of it
//!            | "after" duration            not judged before the experiment has run for so long
//!            | "within" duration           only what happens by then counts
//!            | "for" duration              it must hold for so long
//! ```
//!
//! Suffixes stand at the end and hold for the whole criterion. `events.reply` and `fields.hours` say which of both is meant where a counter and
//! a field have the same name. A share is a fraction: `8%` and `0.08` are the same number. What cannot be computed (nothing was measured, or a
//! division by zero) is *unknown*, which is neither true nor false.
//!
//! Owns the grammar, how it is written, and what it means. Must never guess: prose is refused, with what it may have meant as a
//! suggestion that a person has to take.

mod about;
mod definitions;
mod eval;
mod parse;
mod prose;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use thiserror::Error;

pub use about::Share;
pub use definitions::{DefinitionError, Definitions};
pub use eval::{Moment, Truth, Unknown};

use crate::config::duration;

/// Longest criterion or formula that is read, in bytes.
pub const LONGEST: usize = 400;

/// When an experiment worked, or did not.
#[derive(Debug, Clone, PartialEq)]
pub struct Criterion {
    /// What must hold.
    pub condition: Condition,
    /// Not judged before there were so many of an event.
    pub sample: Option<Sample>,
    /// Not judged before the experiment has run for so long.
    pub settled: Option<Duration>,
    /// What comes later than this does not count.
    pub within: Option<Duration>,
    /// It must hold for so long without a break.
    pub lasting: Option<Duration>,
}

/// A least number of events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// How many.
    pub count: u64,
    /// Of what: an event or a counter.
    pub event: String,
}

/// What is true or false of numbers.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// Two numbers, compared.
    Compare(Formula, Comparison, Formula),
    /// Both hold.
    And(Box<Self>, Box<Self>),
    /// One of both holds.
    Or(Box<Self>, Box<Self>),
}

/// How two numbers are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// `>`
    Above,
    /// `>=`
    AtLeast,
    /// `<`
    Below,
    /// `<=`
    AtMost,
    /// `==`
    Equal,
    /// `!=`
    Unequal,
}

impl Comparison {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Above => ">",
            Self::AtLeast => ">=",
            Self::Below => "<",
            Self::AtMost => "<=",
            Self::Equal => "==",
            Self::Unequal => "!=",
        }
    }

    /// The same with both sides exchanged: `a < b` is `b > a`.
    #[must_use]
    pub const fn mirrored(self) -> Self {
        match self {
            Self::Above => Self::Below,
            Self::AtLeast => Self::AtMost,
            Self::Below => Self::Above,
            Self::AtMost => Self::AtLeast,
            same @ (Self::Equal | Self::Unequal) => same,
        }
    }

    /// Whether it holds of these. What was computed is equal where it differs in the last digits only.
    pub fn holds(self, left: f64, right: f64) -> bool {
        let is_same = (left - right).abs() <= 1e-12 * left.abs().max(right.abs());
        match self {
            Self::Above => left > right && !is_same,
            Self::AtLeast => left > right || is_same,
            Self::Below => left < right && !is_same,
            Self::AtMost => left < right || is_same,
            Self::Equal => is_same,
            Self::Unequal => !is_same && !left.is_nan() && !right.is_nan(),
        }
    }
}

/// A number, or how it is computed.
#[derive(Debug, Clone, PartialEq)]
pub enum Formula {
    /// A number as it was written; of a percentage, before it is divided.
    Number {
        /// The digits.
        written: f64,
        /// With `%`.
        is_percent: bool,
    },
    /// What was measured.
    Name(Name),
    /// Two of them together.
    Of(Box<Self>, Sign, Box<Self>),
}

/// What is done with two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sign {
    /// `+`
    Plus,
    /// `-`
    Minus,
    /// `*`
    Times,
    /// `/`
    Over,
}

impl Sign {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Plus => "+",
            Self::Minus => "-",
            Self::Times => "*",
            Self::Over => "/",
        }
    }

    const fn binds(self) -> u8 {
        match self {
            Self::Plus | Self::Minus => 1,
            Self::Times | Self::Over => 2,
        }
    }
}

/// The name of something that is measured.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// Which kind, where it is said.
    pub space: Option<Space>,
    /// The name.
    pub name: String,
    /// Which number of it, where it is said.
    pub aggregate: Option<Aggregate>,
}

/// Where a name stands, said where a counter and a field share it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Space {
    /// `events.`: what happened, counted.
    Events,
    /// `fields.`: numbers that came with it.
    Fields,
}

impl Space {
    const ALL: [Self; 2] = [Self::Events, Self::Fields];

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Fields => "fields",
        }
    }
}

/// Which number of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Aggregate {
    /// All together.
    Sum,
    /// On average.
    Avg,
    /// The least.
    Min,
    /// The greatest.
    Max,
    /// The one that came last.
    Latest,
    /// How many there were.
    Count,
    /// The median.
    P50,
    /// The one that 95 of 100 are not above.
    P95,
    /// Of an event, its number for each message that was sent.
    Rate,
}

impl Aggregate {
    /// All of them.
    pub const ALL: [Self; 9] =
        [Self::Sum, Self::Avg, Self::Min, Self::Max, Self::Latest, Self::Count, Self::P50, Self::P95, Self::Rate];

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Avg => "avg",
            Self::Min => "min",
            Self::Max => "max",
            Self::Latest => "latest",
            Self::Count => "count",
            Self::P50 => "p50",
            Self::P95 => "p95",
            Self::Rate => "rate",
        }
    }
}

/// Why a text is no criterion, or no formula.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message} (at column {column})")]
pub struct CriterionError {
    /// What was found, and what was wanted instead.
    pub message: String,
    /// Where, in characters, the first being 1.
    pub column: usize,
    /// A criterion that it may have meant: for a person to take, never taken by itself.
    pub suggestion: Option<String>,
}

impl Criterion {
    /// Reads a criterion.
    ///
    /// # Errors
    /// Where it is none; with a suggestion where one can be read out of it.
    pub fn parse(text: &str) -> Result<Self, CriterionError> {
        parse::criterion(text).map_err(|err| CriterionError { suggestion: prose::suggestion(text), ..err })
    }

    /// The names in it, those of its suffixes excluded.
    pub fn names(&self) -> Vec<&Name> {
        let mut names = Vec::new();
        self.condition.each(&mut |left, _, right| {
            left.collect(&mut names);
            right.collect(&mut names);
        });
        names
    }

    /// The one comparison that it is; none where several are put together.
    pub fn comparison(&self) -> Option<(&Formula, Comparison, &Formula)> {
        match &self.condition {
            Condition::Compare(left, how, right) => Some((left, *how, right)),
            Condition::And(..) | Condition::Or(..) => None,
        }
    }
}

impl Formula {
    /// Reads a formula.
    ///
    /// # Errors
    /// Where it is none.
    pub fn parse(text: &str) -> Result<Self, CriterionError> {
        parse::formula(text)
    }

    /// The names in it.
    pub fn names(&self) -> Vec<&Name> {
        let mut names = Vec::new();
        self.collect(&mut names);
        names
    }

    /// This number.
    pub const fn number(written: f64) -> Self {
        Self::Number { written, is_percent: false }
    }

    /// This name, without anything else.
    pub fn name(name: &str) -> Self {
        Self::Name(Name::plain(name))
    }

    /// Its value where it is a number, or made of numbers only.
    pub fn constant(&self) -> Option<f64> {
        self.value(&|name: &Name| Err(Unknown::missing(name))).ok()
    }

    fn collect<'a>(&'a self, names: &mut Vec<&'a Name>) {
        match self {
            Self::Number { .. } => {}
            Self::Name(name) => names.push(name),
            Self::Of(left, _, right) => {
                left.collect(names);
                right.collect(names);
            }
        }
    }
}

impl Name {
    /// A name, without anything else.
    pub fn plain(name: &str) -> Self {
        Self { space: None, name: name.to_owned(), aggregate: None }
    }

    /// A counter of events.
    pub fn event(name: &str) -> Self {
        Self { space: Some(Space::Events), ..Self::plain(name) }
    }
}

impl fmt::Display for Criterion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.condition)?;
        if let Some(Sample { count, event }) = &self.sample {
            write!(f, " after {count} {event}")?;
        }
        for (word, length) in [("after", self.settled), ("within", self.within), ("for", self.lasting)] {
            if let Some(length) = length {
                write!(f, " {word} {}", duration::show(length))?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // On the right side of a chain, and where `or` stands within `and`, it takes parentheses to say the same again.
        let nested = |f: &mut fmt::Formatter<'_>, inner: &Self, wraps: bool| {
            if wraps { write!(f, "({inner})") } else { write!(f, "{inner}") }
        };
        match self {
            Self::Compare(left, how, right) => write!(f, "{left} {} {right}", how.as_str()),
            Self::And(left, right) => {
                nested(f, left, matches!(**left, Self::Or(..)))?;
                f.write_str(" and ")?;
                nested(f, right, !matches!(**right, Self::Compare(..)))
            }
            Self::Or(left, right) => {
                nested(f, left, false)?;
                f.write_str(" or ")?;
                nested(f, right, matches!(**right, Self::Or(..)))
            }
        }
    }
}

impl fmt::Display for Formula {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nested = |f: &mut fmt::Formatter<'_>, inner: &Self, wraps: bool| {
            if wraps { write!(f, "({inner})") } else { write!(f, "{inner}") }
        };
        match self {
            Self::Number { written, is_percent } => write!(f, "{written}{}", if *is_percent { "%" } else { "" }),
            Self::Name(name) => write!(f, "{name}"),
            Self::Of(left, sign, right) => {
                let binds = |inner: &Self| if let Self::Of(_, sign, _) = inner { sign.binds() } else { 3 };
                nested(f, left, binds(left) < sign.binds())?;
                write!(f, " {} ", sign.as_str())?;
                nested(f, right, binds(right) <= sign.binds())
            }
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(space) = self.space {
            write!(f, "{}.", space.as_str())?;
        }
        f.write_str(&self.name)?;
        self.aggregate.map_or(Ok(()), |aggregate| write!(f, ".{}", aggregate.as_str()))
    }
}
