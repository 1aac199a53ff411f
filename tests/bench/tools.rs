//! What the sandbox costs a tool's start: beside a bare start of the same program.
//!
//! ```text
//! cargo bench --bench tools
//! ```
//!
//! The tool is a shell script that reads its input and writes a result; counted is the time until it has ended and been waited for. Once it is
//! started barely, once by the runner without a network, once with a place that it may speak to, which needs a relay beside it.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark that cannot go on ends, and prints figures"
)]

#[path = "../tools/rig.rs"]
#[expect(dead_code, reason = "what the tests use")]
mod rig;

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rig::Rig;
use serde_json::json;

const ROUNDS: usize = 40;

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        println!("not measured; run it by `cargo bench --bench tools`");
        return;
    }
    if cfg!(debug_assertions) {
        println!("warning: this is a debug build; a release build starts faster");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(measure());
}

async fn measure() {
    let mut rig = Rig::new();
    let level = rig.runner.sandbox().level().await.line();
    let program = "read -r line; echo '{\"result\": {}}'";
    rig.shell("", program);
    let script = rig.runner.registry().folder().join("t/main");
    // In turns, as others use the machine as well.
    let (mut bare, mut alone, mut placed) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let began = Instant::now();
        let mut child = Command::new(&script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"{}\n").unwrap();
        assert!(child.wait_with_output().unwrap().status.success());
        bare.push(began.elapsed());
        rig.shell("", program);
        alone.push(started(&mut rig).await);
        rig.shell("network = [\"a.invalid:443\"]", program);
        placed.push(started(&mut rig).await);
    }
    let [bare, alone, placed] = [bare, alone, placed].map(median);
    let over = |took: Duration| (took.saturating_sub(bare)).as_secs_f64() * 1e3;
    println!("shut in by {level}");
    println!("bare start                 {:>7.1} ms", bare.as_secs_f64() * 1e3);
    println!("over it, shut in           {:>7.1} ms     (reach 30)", over(alone));
    println!("over it, with a network    {:>7.1} ms", over(placed));
}

async fn started(rig: &mut Rig) -> Duration {
    let began = Instant::now();
    rig.gives(json!({})).await;
    began.elapsed()
}

fn median(mut all: Vec<Duration>) -> Duration {
    all.sort_unstable();
    all[all.len() / 2]
}
