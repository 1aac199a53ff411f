//! `fullsend completions`: what a shell needs to complete our command line.

use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;

use super::Cli;
use super::output::{OK, Output};

/// Prints completions for a shell
///
/// Example: fullsend completions bash > ~/.local/share/bash-completion/completions/fullsend
#[derive(clap::Args)]
pub struct Args {
    /// Which shell
    pub shell: Shell,
}

/// Prints them.
///
/// # Errors
/// Where they cannot be written.
pub fn run(args: &Args, out: &Output) -> color_eyre::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "fullsend", &mut script);
    out.verbatim(&String::from_utf8_lossy(&script))?;
    Ok(OK)
}
