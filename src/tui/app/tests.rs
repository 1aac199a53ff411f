//! What the room does with keys, time and messages. Fixtures here serve the other tests of the room.

mod actions;
mod doing;
mod fixtures;
mod notes;
mod reading;
mod system;

pub(crate) use fixtures::*;
