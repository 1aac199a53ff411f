//! The providers over real HTTP: streams as they should be, and a table of everything that goes wrong.
#![expect(clippy::unwrap_used, reason = "a test may stop at what it did not expect")]

#[path = "support/http_server.rs"]
mod http_server;
#[path = "providers/protocol.rs"]
mod protocol;
#[path = "providers/rig.rs"]
mod rig;

#[path = "providers/faults.rs"]
mod faults;
#[path = "providers/golden.rs"]
mod golden;
#[path = "providers/work.rs"]
mod work;
