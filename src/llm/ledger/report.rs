//! Reports: what is spent, and of what, for people.
//!
//! Must never change anything.
