//! How fast the bus and the program are: the figures of `fullsend bench bus` on both engines, and those of the process.
//!
//! ```text
//! cargo bench --bench bus [-- [--quick] [--only TEXT]]
//! ```
//!
//! Starts a redis-server of its own (append-only file, `everysec`) and works in folders of its own. `--quick` takes fewer messages:
//! sooner done, less steady. `--only` takes only the figures whose names hold the text. Figures are worth something on a quiet
//! machine only: look at the load that is printed first.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark that cannot go on ends, and prints figures")]

#[path = "bus/process.rs"]
mod process;
#[path = "../support/redis_server.rs"]
mod redis_server;

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::Arc;

use fullsend::cli::bench::report::Comparison;
use fullsend::cli::bench::{self, Sizes};
use fullsend::cli::output::Output;
use fullsend::cli::runtime;
use fullsend::contracts::{Clock, SystemClock};
use redis_server::{RedisServer, Settings};
use secrecy::SecretString;

/// What is stored for the figures of a program with a past.
const STORED: usize = 1_000_000;
const STORED_QUICKLY: usize = 50_000;

struct Arguments {
    quick: bool,
    only: String,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (mut given, mut is_bench) = (Arguments { quick: false, only: String::new() }, false);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            // Cargo says this when it runs benchmarks, and not when it runs them as tests.
            "--bench" => is_bench = true,
            "--quick" => given.quick = true,
            "--only" => given.only = arguments.next().unwrap_or_default(),
            other => {
                println!("unknown argument {other}; there are --quick and --only TEXT");
                return ExitCode::from(2);
            }
        }
    }
    if is_bench {
        run(&given);
    } else {
        println!("not measured; run it by `cargo bench --bench bus`");
    }
    ExitCode::SUCCESS
}

fn run(given: &Arguments) {
    machine();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let sizes = if given.quick { Sizes::QUICK } else { Sizes::FULL };

    let server = durable_server();
    heading("redis");
    let rows =
        runtime().unwrap().block_on(bench::redis(&url(&server), None, Arc::clone(&clock), sizes, &given.only)).unwrap();
    table(&rows);
    drop(server);

    heading("embedded");
    let folder = tempfile::tempdir().unwrap();
    let rows =
        runtime().unwrap().block_on(bench::embedded(folder.path(), Arc::clone(&clock), sizes, &given.only)).unwrap();
    table(&rows);
    drop(folder);

    heading("process");
    let stored = if given.quick { STORED_QUICKLY } else { STORED };
    let rows = process::figures(stored, &given.only);
    Output::standard(false).table(["WHAT", "FIGURE", "REACH"], &rows).unwrap();
}

/// A server as people run it: what was answered is on the disk a second later.
fn durable_server() -> RedisServer {
    RedisServer::start(Settings { durable: Some("everysec"), ..Settings::default() })
}

fn url(server: &RedisServer) -> SecretString {
    SecretString::from(server.url())
}

fn heading(what: &str) {
    println!("\n== {what}");
}

fn table(rows: &[Comparison]) {
    let rows: Vec<_> = rows.iter().map(Comparison::cells).collect();
    Output::standard(false).table(Comparison::HEADINGS, &rows).unwrap();
}

/// What the figures were measured on.
fn machine() {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let first_line = |path: &str, start: &str| {
        let text = std::fs::read_to_string(PathBuf::from(path)).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(start)).unwrap_or("unknown");
        line.split_once(':').map_or(line, |(_, value)| value).trim().to_owned()
    };
    println!("cores   {cores}: {}", first_line("/proc/cpuinfo", "model name"));
    println!("memory  {}", first_line("/proc/meminfo", "MemTotal"));
    println!("load    {}", first_line("/proc/loadavg", ""));
    let version = Command::new("redis-server").arg("--version").output().unwrap().stdout;
    println!("server  {}", String::from_utf8_lossy(&version).trim());
    if cfg!(debug_assertions) {
        println!("warning: this is a debug build; its figures mean nothing");
    }
}
