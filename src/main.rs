//! The program: installs what is process-wide, and hands over to the command line.

use std::process::ExitCode;

use fullsend::bus::consumer::in_handler;
use fullsend::{cli, telemetry};
use nix::sys::stat::{Mode, umask};

/// Messages are made in one thread and let go in another. The system's allocator keeps a heap for each thread, and what is let go from
/// another one leaves holes: a room that was flooded for a minute held half as much again as it showed.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Before anything else: it is still alone, and becomes another program.
    if let Some(code) = fullsend::tools::sandbox::inside::entered() {
        return code;
    }
    // Whatever the program writes is its owner's alone, also files that libraries make.
    umask(Mode::from_bits_truncate(0o077));
    // Fails only where one is installed already, which is as good.
    rustls::crypto::ring::default_provider().install_default().ok();
    if let Err(report) = telemetry::install_hooks(tell_panic) {
        cli::output::tell(&report.to_string());
        return ExitCode::FAILURE;
    }
    cli::main()
}

/// A handler's panic is caught, counted and logged by its consumer; any other is also told to the person.
fn tell_panic(report: &str) {
    if !in_handler() && fullsend::tui::terminal::make_way() {
        cli::output::tell(report);
    }
}
