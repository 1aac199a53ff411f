//! The bodies, channel by channel, as CONTRACTS and the founding designs name them.
//!
//! Owns the shapes. Reading is generous (all variants that the founding systems wrote), writing is one way.

mod alerts;
mod dead_letter;
mod echo;
mod health;
mod rest;

pub use alerts::*;
pub use dead_letter::*;
pub use echo::*;
pub use health::*;
pub use rest::*;
