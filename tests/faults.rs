//! Bad input and faults, with real processes: kills, broken connections, full disks, jumping clocks, garbage.
//!
//! A program of its own (`harness = false`), because it starts itself again as its worker processes. By name:
//!
//! ```text
//! cargo test --test faults -- [FILTER…] [--seed N] [--ignored] [--list]
//! ```
//!
//! `--ignored` runs what takes ten minutes: longer chaos, and a kill at every point. A failed run is repeated by its seed; what
//! the machine does in between is not repeatable.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a case that cannot go on has failed, and says so on the terminal"
)]

#[path = "faults/chaos.rs"]
mod chaos;
#[path = "faults/clocks.rs"]
mod clocks;
#[path = "faults/full.rs"]
mod full;
#[path = "support/kill_at.rs"]
mod kill_at;
#[path = "faults/kill_points.rs"]
mod kill_points;
#[path = "faults/malformed.rs"]
mod malformed;
#[path = "faults/meddling.rs"]
mod meddling;
#[path = "faults/process.rs"]
mod process;
#[path = "support/proxy.rs"]
mod proxy;
#[path = "support/redis_server.rs"]
mod redis_server;
#[path = "faults/rig.rs"]
mod rig;
#[path = "faults/takeover.rs"]
mod takeover;
#[path = "faults/torn.rs"]
mod torn;
#[path = "faults/work.rs"]
mod work;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::future::LocalBoxFuture;

/// What a case is run with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    pub(crate) seed: u64,
    /// Ten minutes for all, instead of a good minute.
    pub(crate) long: bool,
}

/// A case: its name, the most seconds that it may take (short and long), and whether it has a long form.
struct Case {
    name: &'static str,
    seconds: (u64, u64),
    run: fn(Run) -> LocalBoxFuture<'static, color_eyre::Result<()>>,
}

macro_rules! cases {
    ($( $module:ident :: $case:ident $short:literal $long:literal; )+) => {
        const CASES: &[Case] = &[ $( Case {
            name: concat!(stringify!($module), "::", stringify!($case)),
            seconds: ($short, $long),
            run: |run| Box::pin($module::$case(run)),
        } ),+ ];
    };
}

// 0: no long form.
cases! {
    work::audit_finds_faults 30 0;
    malformed::bare_bodies 60 0;
    malformed::garbage_in_the_stream 60 0;
    malformed::dead_letters_refused 90 0;
    malformed::one_stream_is_none 60 0;
    malformed::bodies_on_every_engine 60 0;
    meddling::flushall 60 0;
    meddling::script_flush 60 0;
    meddling::group_deleted 60 0;
    meddling::foreign_type_under_the_stream 60 0;
    meddling::foreign_type_under_a_document 90 0;
    meddling::ids_used_up 60 0;
    full::redis_cannot_save 60 0;
    full::redis_memory_is_full 60 0;
    full::redis_would_evict 60 0;
    full::redis_disk_is_full 90 0;
    full::embedded_disk_is_full 90 0;
    full::embedded_pages_are_used_up 90 0;
    clocks::embedded_clock_jumps 60 0;
    clocks::redis_clock_jumps 60 0;
    torn::log_cut_off 90 0;
    torn::file_overwritten 60 0;
    takeover::redis 90 0;
    takeover::embedded 90 0;
    kill_points::embedded 120 600;
    kill_points::redis 120 600;
    chaos::embedded 120 400;
    chaos::redis 180 700;
}

fn main() -> ExitCode {
    if let Ok(orders) = std::env::var(process::ORDERS) {
        return process::main(&orders);
    }
    let mut seed = None;
    let (mut long, mut also_short, mut list) = (false, true, false);
    let mut filters = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--seed" => seed = arguments.next().and_then(|seed| seed.parse().ok()),
            "--ignored" => (long, also_short) = (true, false),
            "--include-ignored" => long = true,
            "--list" => list = true,
            // Meant for the ordinary harness: `cargo test -- --nocapture` reaches this program too.
            "--test-threads" | "--format" | "--color" | "--skip" => drop(arguments.next()),
            flag if flag.starts_with('-') => {}
            filter => filters.push(filter.to_owned()),
        }
    }
    let wanted = |case: &&Case| filters.is_empty() || filters.iter().any(|filter| case.name.contains(filter.as_str()));
    let cases = CASES.iter().filter(wanted);
    if list {
        cases.for_each(|case| println!("{}: test", case.name));
        return ExitCode::SUCCESS;
    }
    let seed = seed.unwrap_or_else(|| fastrand::u64(0..1_000_000));
    println!("seed {seed} (`cargo test --test faults -- --seed {seed}`)");
    let (mut passed, mut failed) = (0, Vec::new());
    for case in cases {
        let has_long = case.seconds.1 > 0;
        if !(also_short || has_long) {
            continue;
        }
        let began = Instant::now();
        match run(case, Run { seed, long: long && has_long }) {
            Ok(()) => {
                passed += 1;
                println!("ok     {} ({:.1} s)", case.name, began.elapsed().as_secs_f64());
            }
            Err(reason) => {
                println!("FAILED {} ({:.1} s)\n{reason}", case.name, began.elapsed().as_secs_f64());
                failed.push(case.name);
            }
        }
    }
    if !failed.is_empty() {
        println!("failed with seed {seed}: {}", failed.join(", "));
    }
    println!("{passed} passed, {} failed", failed.len());
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(case: &Case, run: Run) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let seconds = if run.long { case.seconds.1 } else { case.seconds.0 };
    let running = std::panic::AssertUnwindSafe((case.run)(run)).catch_unwind();
    let ended = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(seconds), running).await });
    // What a failed case left behind must not hold up the others.
    runtime.shutdown_timeout(Duration::from_secs(2));
    match ended {
        Ok(Ok(Ok(()))) => Ok(()),
        Ok(Ok(Err(report))) => Err(format!("{report:#}")),
        Ok(Err(panic)) => {
            let text =
                panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
            Err(format!("panicked: {}", text.unwrap_or("without a text")))
        }
        Err(_) => Err(format!("still running after {seconds} s")),
    }
}
