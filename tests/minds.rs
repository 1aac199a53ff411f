//! The whole team that thinks, over real HTTP: what a person gets who says something, whatever the models do.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

#[path = "support/http_server.rs"]
#[expect(dead_code, reason = "what the tests of single providers use")]
mod http_server;
#[path = "providers/protocol.rs"]
mod protocol;
#[path = "support/redis_server.rs"]
mod redis_server;
#[path = "minds/team.rs"]
mod team;

#[path = "minds/faults.rs"]
mod faults;
#[path = "minds/founding.rs"]
mod founding;
#[path = "minds/hostile.rs"]
mod hostile;
#[path = "minds/paid_once.rs"]
mod paid_once;
#[path = "minds/served.rs"]
mod served;
#[path = "minds/time.rs"]
mod time;
