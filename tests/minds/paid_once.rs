//! A process that dies between a model's answer and the commit of what comes of it, at every point: what was journalled is not paid again,
//! and everything happens once.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use fullsend::bus::embedded::{EmbeddedBus, EmbeddedOptions};
use fullsend::bus::{Commit, Op};
use fullsend::bus::{Consumer, ConsumerOptions, EntryId, Key, Origin, Outgoing, Range, SharedBus};
use fullsend::config::Budgets;
use fullsend::contracts::{ChannelName, Clock, Envelope, Ids, SystemClock, Trust};
use fullsend::llm::ledger::{Ledger, Prices};
use fullsend::llm::{Mind, MindParts};
use fullsend::memory::Memory;
use fullsend::services::orchestrator::Orchestrator;
use fullsend::services::orchestrator::record::{self, Stage};
use pretty_assertions::assert_eq;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::http_server::HttpServer;
use crate::protocol::Protocol;
use crate::team::{DECISION, IDEA, deciding};
use kill_at::{KillAt, Points};

#[path = "../support/kill_at.rs"]
#[expect(dead_code, clippy::print_stderr, reason = "what the tests of faults use")]
mod kill_at;

const PROTOCOL: Protocol = Protocol::Anthropic;
/// How the process that is killed is told what to do.
const HOME: &str = "FULLSEND_TEST_HOME";
const URL: &str = "FULLSEND_TEST_URL";
const DEADLY: &str = "FULLSEND_TEST_DEADLY";

fn open(home: &Path) -> SharedBus {
    let options = EmbeddedOptions::new(home.join("fullsend.db"), Arc::new(SystemClock));
    Arc::new(EmbeddedBus::open(options).unwrap())
}

/// The orchestrator in a process of its own: decides about what waits, and ends by itself or at its deadly point.
#[test]
#[ignore = "a process that the other test starts"]
fn orchestrator() {
    let (Ok(home), Ok(url)) = (std::env::var(HOME), std::env::var(URL)) else { return };
    let deadly = std::env::var(DEADLY).ok().and_then(|text| text.parse().ok());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let ids = Arc::new(Ids::random());
        let bus: SharedBus = Arc::new(KillAt { inner: open(Path::new(&home)), points: Arc::new(Points::new(deadly)) });
        let config = deciding(PROTOCOL, &url);
        let ledger =
            Ledger::new(Arc::clone(&bus), Prices::built_in(), Budgets::default(), Arc::clone(&clock), Arc::clone(&ids));
        let parts = MindParts {
            config,
            context: "/nowhere".into(),
            bus: Some(Arc::clone(&bus)),
            ledger: Some(ledger),
            clock: Arc::clone(&clock),
            ids: Arc::clone(&ids),
        };
        let orchestrator =
            Orchestrator::new(Mind::new(parts).unwrap(), Arc::new(Memory::default()), Duration::from_mins(1));
        // What a dead one held is taken over soon.
        let options = ConsumerOptions {
            stale_after: Duration::from_millis(300),
            heartbeat: Duration::from_millis(100),
            ..ConsumerOptions::default()
        };
        let consumer = Consumer::new(Arc::clone(&bus), orchestrator, options, clock, ids);
        let stop = CancellationToken::new();
        let done = async {
            loop {
                let groups = bus.inspect(ChannelName::ToOrchestrator).await.unwrap().groups;
                if groups.iter().any(|group| group.pending == 0 && group.lag == Some(0)) {
                    return stop.cancel();
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let (ended, ()) = tokio::join!(consumer.run(stop.clone()), done);
        ended.unwrap();
    });
}

/// Runs it; true where it came to its end.
fn run(home: &Path, url: &str, deadly: Option<u64>) -> bool {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "paid_once::orchestrator", "--ignored", "--nocapture"]).env(HOME, home).env(URL, url);
    if let Some(deadly) = deadly {
        command.env(DEADLY, deadly.to_string());
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
}

/// An idea that waits for the orchestrator.
async fn said(bus: &SharedBus) -> Envelope {
    let body = json!({ "type": "escalation", "source": "watcher", "priority": "high",
        "original_message": { "message_id": "7", "channel_id": "42", "username": "jake", "content": IDEA } });
    let origin = Origin::new(Arc::new(SystemClock), Arc::new(Ids::random()), Trust::Member);
    let envelope = origin.envelope("escalation", "watcher");
    let message = Outgoing::new(ChannelName::ToOrchestrator, envelope.clone(), body.to_string()).unwrap();
    assert!(bus.commit(vec![Commit::of(vec![Op::Append(message)])]).await.unwrap()[0].is_done());
    envelope
}

async fn count(bus: &SharedBus, channel: ChannelName) -> usize {
    bus.range(channel, Range::after(EntryId::ZERO, 100)).await.unwrap().len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_decision_is_paid_once_wherever_its_process_dies() {
    let (mut deadly, mut kept) = (0, 0);
    loop {
        deadly += 1;
        let folder = tempfile::tempdir().unwrap();
        let server = HttpServer::start(vec![PROTOCOL.answer(DECISION)]).await;
        let (home, url) = (folder.path().to_owned(), server.url());
        let bus = open(&home);
        let about = said(&bus).await;
        let first = |deadly| {
            let (home, url) = (home.clone(), url.clone());
            tokio::task::spawn_blocking(move || run(&home, &url, deadly))
        };
        let came_to_its_end = first(Some(deadly)).await.unwrap();
        let asked = server.asked().len();
        let journal = bus.get(&Key::new(format!("journal:{}", about.id))).await.unwrap();
        assert!(asked <= 1, "point {deadly}: {asked} calls before anybody died");
        if !came_to_its_end {
            assert!(first(None).await.unwrap(), "point {deadly}");
        }
        if journal.is_some() {
            kept += 1;
            assert_eq!((asked, server.asked().len()), (1, 1), "point {deadly}: a journalled answer was paid again");
        }
        assert!(server.asked().len() <= asked + 1, "point {deadly}");
        assert_eq!(count(&bus, ChannelName::Proposals).await, 1, "point {deadly}");
        assert_eq!(count(&bus, ChannelName::FromOrchestrator).await, 1, "point {deadly}");
        let records = record::newest(&bus, 10).await.unwrap();
        let [record] = &records[..] else { panic!("point {deadly}: {records:?}") };
        assert_eq!((record.provider.as_str(), record.stage), ("anthropic", Stage::Proposed), "point {deadly}");
        assert!(record.nano_usd > 0, "point {deadly}");
        bus.close().await;
        if came_to_its_end {
            break;
        }
    }
    assert!(kept >= 3, "it died {kept} times between the journal and the end, at one of {deadly} points");
}
