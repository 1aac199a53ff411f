//! Bookings: what a call adds to the sums of its scopes, at each point of its life.
//!
//! Owns the fields of sums. A change of state is the difference of two bookings, so that sums are exact whatever order things
//! happen in. Must never read anything.

use std::collections::BTreeMap;

use super::scope::Unit;
use super::usage::Usage;
use crate::bus::{Key, Op};

/// Spent by calls whose usage is not known exactly.
pub const ESTIMATED_NANO: &str = "estimated_nano";
/// How many calls those were.
pub const ESTIMATED_CALLS: &str = "estimated_calls";

/// Amounts by field of a document of sums.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Booking(BTreeMap<&'static str, i64>);

impl Booking {
    /// Before a call, and after one that was not billed.
    pub(super) fn nothing() -> Self {
        Self::default()
    }

    /// While a call is under way: the most that it may use.
    pub(super) fn reserved(nano: u64, tokens: u64) -> Self {
        Self::of([(Unit::Nano.claimed(), nano), (Unit::Tokens.claimed(), tokens), (Unit::Calls.claimed(), 1)])
    }

    /// After a call that was billed.
    pub(super) fn settled(nano: u64, usage: &Usage, estimated: bool) -> Self {
        let tokens = usage.tokens;
        Self::of([
            (Unit::Nano.claimed(), nano),
            (Unit::Tokens.claimed(), usage.total()),
            (Unit::Calls.claimed(), 1),
            (Unit::Nano.spent(), nano),
            (Unit::Tokens.spent(), usage.total()),
            (Unit::Calls.spent(), 1),
            ("uncached", tokens.uncached),
            ("cache_write", tokens.cache_write),
            ("cache_read", tokens.cache_read),
            ("output", tokens.output),
            (ESTIMATED_NANO, if estimated { nano } else { 0 }),
            (ESTIMATED_CALLS, u64::from(estimated)),
        ])
    }

    fn of<const N: usize>(amounts: [(&'static str, u64); N]) -> Self {
        Self(amounts.into_iter().map(|(field, amount)| (field, i64::try_from(amount).unwrap_or(i64::MAX))).collect())
    }

    /// What a document must be given so that it holds this booking in place of the former one.
    pub(super) fn in_place_of(&self, former: &Self, key: &Key) -> Vec<Op> {
        let fields = former.0.keys().chain(self.0.keys().filter(|field| !former.0.contains_key(*field)));
        fields
            .map(|field| {
                let amount = |booking: &Self| booking.0.get(field).copied().unwrap_or(0);
                (*field, amount(self).saturating_sub(amount(former)))
            })
            .filter(|(_, n)| *n != 0)
            .map(|(field, n)| Op::Add { key: key.clone(), field: field.to_owned(), n, ceiling: None })
            .collect()
    }
}
