//! Tools as real processes: what they may, what they may not, and what becomes of those that do it all the same.
//!
//! Needs bubblewrap and python3 (`tests/run --install`).
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may stop at what it did not expect, also in its helpers"
)]

#[path = "tools/ends.rs"]
mod ends;
#[path = "tools/escapes.rs"]
mod escapes;
#[path = "tools/network.rs"]
mod network;
#[path = "tools/protocol.rs"]
mod protocol;
#[path = "tools/readme.rs"]
mod readme;
#[path = "tools/rig.rs"]
mod rig;
