//! What the room does with keys, time and messages. Fixtures here serve the other tests of the room.

mod actions;
mod doing;
mod fixtures;
mod measured;
mod notes;
mod numbers;
mod orders;
mod reading;
mod system;
mod told;

pub(crate) use fixtures::*;
pub(crate) use measured::measured;
