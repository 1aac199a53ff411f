//! Fullsend.

pub mod bus;
pub mod contracts;
pub mod services;
pub mod supervisor;
