//! Experiments: what they are made of, the language of their criteria, their statistics, their schedules.
//!
//! Owns the specification and everything that is computed from it. Must never run anything, and never say anything: that is
//! the services'.

pub mod aliases;
pub mod by_hand;
pub mod check;
pub mod criteria;
pub mod document;
pub mod events;
pub mod fix;
pub mod judgement;
pub mod learned;
pub mod list;
pub mod numbers;
pub mod outreach;
pub mod playbooks;
pub mod read;
pub mod schedule;
pub mod spec;
pub mod statistics;
pub mod steps;
