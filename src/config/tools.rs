//! Settings of tools: what is allowed beyond the sandbox.
//!
//! Owns their table. Nothing here is on by default.

use super::room::Switch;
use super::setting::{Row, Slot};

/// Settings of tools.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolsConfig {
    /// `host:port` of private, loopback and link-local places that tools may reach where their manifests name them.
    pub allow_private: Vec<String>,
    /// Whether tools run without a sandbox where there can be none.
    pub unsandboxed: Switch,
    /// A program, with its arguments, that prints a secret whose name is added; empty for none.
    pub secrets_command: Vec<String>,
}

impl Default for ToolsConfig {
    fn default() -> Self {
        Self { allow_private: Vec::new(), unsandboxed: Switch::Off, secrets_command: Vec::new() }
    }
}

impl ToolsConfig {
    pub(super) fn rows(&mut self) -> Vec<Row<'_>> {
        vec![
            Row::new(
                "tools.allow_private",
                Slot::Places(&mut self.allow_private),
                "Private, loopback and link-local places that tools may reach, as HOST:PORT: a mail server of this machine, a test server.",
            ),
            Row::new(
                "tools.unsandboxed",
                Slot::Choice(&mut self.unsandboxed),
                "Whether tools run without a sandbox where this machine cannot give them one. Off: they do not run there.",
            ),
            Row::new(
                "secrets.command",
                Slot::Words(&mut self.secrets_command),
                "A program that prints a secret whose name is added to its arguments, like [\"pass\", \"show\"]; asked where neither the \
                 environment nor the home has it.",
            ),
        ]
    }
}
