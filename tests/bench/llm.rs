//! How fast a model's stream is parsed, and what a model call costs this program itself.
//!
//! ```text
//! cargo bench --bench llm
//! ```
//!
//! The stream is Anthropic's, in pieces of 16 KiB; beside it the floor: a plain scan of the same bytes. The call goes over HTTP to a server
//! of this process, on a thread of its own; counted is the processor time of the thread that asks: prompt, request, stream, parse, and
//! the commits of ledger and journal on a bus in memory.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::naive_bytecount,
    reason = "a benchmark that cannot go on ends, and prints figures"
)]

#[path = "../support/http_server.rs"]
#[expect(dead_code, reason = "what the tests of faults use")]
mod http_server;
#[path = "../providers/protocol.rs"]
#[expect(dead_code, reason = "what the tests of faults use")]
mod protocol;
#[path = "../providers/rig.rs"]
#[expect(dead_code, reason = "what the tests of faults use")]
mod rig;

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fullsend::config::Budgets;
use fullsend::contracts::{Clock as _, Ids, SystemClock};
use fullsend::llm::anthropic;
use fullsend::llm::http::Events;
use fullsend::llm::provider::Progress;
use http_server::HttpServer;
use protocol::Protocol;

/// Bytes of the stream; an answer may have at most ten million.
const STREAM: usize = 8_000_000;
const ROUNDS: usize = 15;
const CALLS: u32 = 200;

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        println!("not measured; run it by `cargo bench --bench llm`");
        return;
    }
    if cfg!(debug_assertions) {
        println!("warning: this is a debug build; its figures mean nothing");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // As long as a token and as long as a sentence: providers send both.
    for text in [" answers", &" CTOs who came to the meetup answer three times as often as those on a list.".repeat(3)]
    {
        let (parsed, floor) = runtime.block_on(parsing(text));
        println!(
            "stream of {:>3}-byte pieces   {parsed:>7.0} MB/s   (reach 100; a plain byte scan {floor:.0})",
            text.len()
        );
    }
    let used = runtime.block_on(calls());
    println!("own CPU a model call       {:>7.2} ms     (reach 3)", used.as_secs_f64() * 1e3);
}

/// Megabytes a second: parsed, and scanned. The best of the rounds, as others use the machine as well.
async fn parsing(text: &str) -> (f64, f64) {
    let protocol = Protocol::Anthropic;
    let whole = protocol.whole("{}");
    let at = whole.find("event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":1").unwrap();
    let delta = protocol.delta(text);
    let stream = whole[..at].to_owned() + &delta.repeat(STREAM / delta.len()) + &whole[at..];
    let stream = Bytes::from(stream);
    let (mut parsed, mut scanned) = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        let pieces: Vec<_> =
            (0..stream.len()).step_by(16_384).map(|at| stream.slice(at..(at + 16_384).min(stream.len()))).collect();
        let began = Instant::now();
        let answer = anthropic::read(Events::of_bytes(futures::stream::iter(pieces)), &mut Progress::default()).await;
        parsed = parsed.min(began.elapsed());
        assert!(answer.unwrap().text.len() >= STREAM / delta.len() * text.len());
        let began = Instant::now();
        black_box(black_box(&stream).iter().filter(|byte| **byte == b'\n').count());
        scanned = scanned.min(began.elapsed());
    }
    let rate = |took: Duration| stream.len() as f64 / 1e6 / took.as_secs_f64();
    (rate(parsed), rate(scanned))
}

/// The processor time of this thread for one call, on average.
async fn calls() -> Duration {
    let (tell, told) = std::sync::mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            // An answer of a usual length, as the orchestrator's model gives it.
            let reasoning = "The learnings say that developers answer. ".repeat(40);
            let answer = rig::GOOD.replace("CTOs — über all — answer", &reasoning);
            let server = HttpServer::start(vec![Protocol::Anthropic.answer(&answer)]).await;
            tell.send(server.url()).unwrap();
            std::future::pending::<()>().await;
        });
    });
    let url = told.recv().unwrap();
    let mind = rig::mind_on(&rig::bus(), Protocol::Anthropic.config(&url), Budgets::default());
    let ids = Ids::random();
    rig::ask(&mind, &rig::about(ids.message(SystemClock.now()))).await.unwrap();
    let before = processor_time();
    for _ in 0..CALLS {
        let answer = rig::ask(&mind, &rig::about(ids.message(SystemClock.now()))).await.unwrap();
        assert_eq!(answer.provider, "anthropic");
    }
    processor_time().saturating_sub(before) / CALLS
}

/// What this thread has used of a processor so far: the first number of Linux's `schedstat`, in nanoseconds.
fn processor_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}
