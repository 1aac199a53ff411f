//! Fullsend.

pub mod bus;
pub mod contracts;
