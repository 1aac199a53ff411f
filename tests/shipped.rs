//! The shipped tools as the programs that they are: real processes that speak over pipes, with real servers.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]
#![expect(clippy::needless_pass_by_value, reason = "literals are handed over")]

#[path = "support/http_server.rs"]
#[expect(dead_code, reason = "what tests of providers use")]
mod http_server;
#[path = "shipped/program.rs"]
mod program;
#[path = "support/smtp_server.rs"]
mod smtp_server;

#[path = "shipped/hiring.rs"]
mod hiring;
#[path = "shipped/mail.rs"]
mod mail;
#[path = "shipped/pages.rs"]
mod pages;
#[path = "shipped/posts.rs"]
mod posts;
#[path = "shipped/resend.rs"]
mod resend;
#[path = "shipped/specs.rs"]
mod specs;
#[path = "shipped/stargazers.rs"]
mod stargazers;
