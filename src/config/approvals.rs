//! Settings of the gate: deadlines of answers, and how far autopilot goes.
//!
//! Owns their table. What asks at all is the mode's and the operator's rules'.

use std::time::Duration;

use super::setting::{Row, Slot};
use super::{DAY, seconds};

/// How the gate asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approvals {
    /// No answer after this means no.
    pub deadline: Duration,
    /// The same for class 3.
    pub outward_deadline: Duration,
    /// So many proposals of class 2 a day go without asking on autopilot.
    pub autopilot_per_day: u64,
    /// What one of them may cost at most, in cents.
    pub autopilot_cents: u64,
}

impl Default for Approvals {
    fn default() -> Self {
        Self { deadline: DAY, outward_deadline: seconds(4 * 3_600), autopilot_per_day: 50, autopilot_cents: 500 }
    }
}

impl Approvals {
    pub(super) fn rows(&mut self) -> Vec<Row<'_>> {
        let lengths = || seconds(10)..=30 * DAY;
        vec![
            Row::new(
                "approvals.deadline",
                Slot::Duration(&mut self.deadline, lengths()),
                "No answer to a proposal after this means no. At half of it a second surface is asked.",
            ),
            Row::new(
                "approvals.outward_deadline",
                Slot::Duration(&mut self.outward_deadline, lengths()),
                "The same for class 3: outward contact, a tool with network or secrets, money.",
            ),
            Row::new(
                "approvals.autopilot_per_day",
                Slot::Count(&mut self.autopilot_per_day, 0..=1_000_000),
                "So many dispatches and the like (class 2) go without asking on autopilot a day (UTC); further ones ask.",
            ),
            Row::new(
                "approvals.autopilot_cents",
                Slot::Count(&mut self.autopilot_cents, 0..=100_000_000),
                "What one of them may cost at most, in cents; a dearer one asks.",
            ),
        ]
    }
}
