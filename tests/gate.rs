//! The gate in a real process that is killed while it commits.
#![expect(clippy::unwrap_used, reason = "a test may stop at what it did not expect, also in its helpers")]

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fullsend::approvals::{self, ApprovalState, Record, Wanted};
use fullsend::bus::embedded::{EmbeddedBus, EmbeddedOptions};
use fullsend::bus::{Draft, EntryId, Origin, Range, Sender, SharedBus};
use fullsend::contracts::channel::grants;
use fullsend::contracts::messages::{ApprovalVerdict, ApprovalVerdicts, Intent, Proposals, Verdict};
use fullsend::contracts::wiring::{APPROVAL_VERDICTS, PROPOSALS};
use fullsend::contracts::{ChannelName, Clock, Ids, Priority, ServiceName, SystemClock, Trust};
use serde_json::{Map, json};

const PROPOSED: usize = 24;

fn fullsend(home: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fullsend"));
    command.args(args).env_clear().env("HOME", home).env("USER", "mara");
    command.arg("--home").arg(home).stdin(Stdio::null());
    command
}

fn verb(home: &Path, args: &[&str]) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = fullsend(home, args).output().unwrap();
    (status.code(), format!("{}{}", String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap()))
}

fn serve(home: &Path) -> Child {
    fullsend(home, &["serve", "--only", "gate,timers"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

struct Bench {
    bus: SharedBus,
    origin: Origin,
}

impl Bench {
    fn open(home: &Path) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let bus = EmbeddedBus::open(EmbeddedOptions::new(home.join("fullsend.db"), Arc::clone(&clock))).unwrap();
        Self { bus: Arc::new(bus), origin: Origin::new(clock, Arc::new(Ids::random()), Trust::Operator) }
    }

    fn sender<G: fullsend::contracts::Grant>(&self) -> Sender<G> {
        Sender::new(Arc::clone(&self.bus), self.origin.clone(), Duration::from_secs(10))
    }

    /// Something that a person must allow. Answers its id.
    async fn propose(&self, number: usize) -> String {
        let body = json!({ "type": "experiment_request", "idea": { "description": format!("idea {number}") } });
        let intent = Intent::Say {
            channel: ChannelName::ToFullsend,
            body: body.as_object().unwrap().clone(),
            priority: Priority::Medium,
            subject: None,
        };
        let wanted = Wanted {
            proposer: ServiceName::Orchestrator,
            title: format!("idea {number}"),
            reason: "why not".to_owned(),
            intents: vec![intent],
            facts: Vec::new(),
            details: Map::new(),
            cost_usd: None,
            trust: Trust::Operator,
        };
        let proposal = approvals::propose(&self.bus, wanted).await.unwrap();
        let id = proposal.approval_id.clone();
        self.sender::<grants::Orchestrator>().send(PROPOSALS, Proposals::from(proposal)).await.unwrap();
        id
    }

    async fn answer(&self, id: &str) {
        let verdict = ApprovalVerdict {
            approval_id: id.to_owned(),
            verdict: Verdict::Approve,
            digest: None,
            reason: None,
            edited: None,
            always: false,
            until: None,
            per_day: None,
            by: Some("mara".to_owned()),
            surface: None,
        };
        let draft = Draft::new(ApprovalVerdicts::from(verdict));
        self.sender::<grants::ControlRoom>().send(APPROVAL_VERDICTS, draft).await.unwrap();
    }

    async fn until(&self, what: &str, done: impl AsyncFn(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_mins(1);
        while !done(self).await {
            assert!(Instant::now() < deadline, "it never happened: {what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn dispatched(&self) -> usize {
        self.bus.range(ChannelName::ToFullsend, Range::after(EntryId::ZERO, 1_000)).await.unwrap().len()
    }
}

#[tokio::test]
async fn a_gate_that_is_killed_commits_each_yes_once_and_leaves_its_chain_whole() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let (code, said) = verb(home, &["hold", "not yet"]);
    assert!(code == Some(0) && said.contains("no gate runs now"), "{said}");
    let bench = Bench::open(home);
    let mut ids = Vec::new();
    for number in 0..PROPOSED {
        ids.push(bench.propose(number).await);
    }
    let mut gate = serve(home);
    bench
        .until("every proposal is asked", async |bench| {
            approvals::record::pending(&bench.bus).await.unwrap().len() == PROPOSED
        })
        .await;
    assert!(verb(home, &["approvals", "list"]).1.contains("idea 7"));
    for id in &ids {
        bench.answer(id).await;
    }
    // In the middle of it, three times.
    for share in 1..4 {
        bench.until("some are dispatched", async |bench| bench.dispatched().await >= PROPOSED * share / 5).await;
        gate.kill().unwrap();
        gate.wait().unwrap();
        gate = serve(home);
    }
    bench.until("all are dispatched", async |bench| bench.dispatched().await >= PROPOSED).await;
    bench
        .until("all have their outcome", async |bench| approvals::record::pending(&bench.bus).await.unwrap().is_empty())
        .await;
    assert_eq!(bench.dispatched().await, PROPOSED, "each once");
    for id in &ids {
        assert_eq!(Record::load(&bench.bus, id).await.unwrap().unwrap().state, ApprovalState::Approved);
    }
    let (code, said) = verb(home, &["approvals", "deny", &ids[0]]);
    assert!(code == Some(1) && said.contains("is approved already, by mara"), "{said}");
    let (code, said) = verb(home, &["go"]);
    assert!(code == Some(0) && said.contains("go everything: done, ordered by mara"), "{said}");
    // The hold, each yes, and the go.
    let records = PROPOSED + 2;
    let copied = || verb(home, &["audit", "verify"]);
    bench
        .until("the chain is copied", async |_| {
            let (code, said) = copied();
            assert_eq!(code, Some(0), "{said}");
            said.contains(&format!(".jsonl: whole, {records} records\n"))
        })
        .await;
    gate.kill().unwrap();
    gate.wait().unwrap();
}
