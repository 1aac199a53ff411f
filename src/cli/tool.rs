//! `fullsend tool`: one of the shipped tools, as the program that it is to whoever runs it.
//!
//! Must never be more than the door: it reads no settings, opens no home, and writes no log.

use std::process::ExitCode;

use crate::tools::shipped;

/// Runs a shipped tool on standard input and output, as the executor does
///
/// It reads one line of JSON (parameters, run, secrets) and writes lines of JSON. For people there is `fullsend tools run`.
///
/// Example: fullsend tool NAME < input.json
#[derive(clap::Args)]
pub struct Args {
    /// The tool
    #[arg(value_name = "NAME")]
    name: String,
}

/// Runs it.
pub fn run(args: &Args) -> ExitCode {
    shipped::run(&args.name)
}
