//! Budgets across processes, on every engine: several ledgers with handles of their own on one store.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may stop at what it did not expect, also in its helpers"
)]

#[path = "support/embedded_store.rs"]
mod embedded_store;
#[path = "support/redis_store.rs"]
mod redis_store;
#[path = "support/stores.rs"]
#[expect(dead_code, reason = "what other suites use")]
mod stores;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use fullsend::bus::{Document, SharedBus};
use fullsend::config::{Budgets, Limits, OnExceeded};
use fullsend::contracts::messages::{Alerts, Tokens};
use fullsend::contracts::{Body, ChannelName, Clock, Ids, ManualClock, ServiceName, SystemClock};
use fullsend::llm::TaskName;
use fullsend::llm::ledger::{Call, Ledger, NotReserved, Prices, Reservation, Scope, Sweeper};

use stores::{Engine, TestBus};

/// What the support of the stores wants.
mod tools {
    pub(crate) const DEADLINE: std::time::Duration = std::time::Duration::from_secs(10);
}

/// 1,064 tokens of input at the 5 dollars of a cache write, 1,000 of output at 20.
const MOST: u64 = 25_320_000;
/// 700 x 4,000 + 300 x 200 + 120 x 20,000.
const COST: u64 = 5_260_000;
/// How many calls have room at once.
const ROOM: u64 = 5;
/// How many are tried.
const TRIED: u64 = 60;

fn call(id: &str) -> Call {
    Call {
        id: id.to_owned(),
        service: ServiceName::Orchestrator,
        task: TaskName::Decide,
        trace: None,
        provider: "anthropic".to_owned(),
        model: "claude-opus-5-5".to_owned(),
        is_local: false,
        prompt_bytes: 3_000,
        max_tokens: 1_000,
        within: Duration::from_secs(1),
    }
}

fn used() -> Tokens {
    Tokens { uncached: 700, cache_write: 0, cache_read: 300, output: 120 }
}

/// The ledgers of three processes. Time stands still for them, so that no midnight comes between.
struct Team {
    store: TestBus,
    clock: Arc<ManualClock>,
    ledgers: Vec<Ledger>,
}

impl Team {
    async fn on(engine: &dyn Engine) -> Self {
        let store = engine.open().await;
        let clock = Arc::new(ManualClock::at(SystemClock.now()));
        let nano = Some(MOST * (ROOM + 1) - 1);
        let none = Limits::NONE;
        let budgets = Budgets {
            call: none,
            trace: none,
            task: none,
            service: none,
            day: Limits { nano, ..none },
            month: none,
            on_exceeded: OnExceeded::Rules,
        };
        let ledgers = [&store.a, &store.b, &store.c].into_iter().zip(1..).map(|(bus, seed)| {
            let clock = Arc::clone(&clock) as Arc<dyn Clock>;
            Ledger::new(Arc::clone(bus), Prices::built_in(), budgets.clone(), clock, Arc::new(Ids::seeded(seed)))
        });
        Self { ledgers: ledgers.collect(), store, clock }
    }

    fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    async fn sums(&self, scope: &Scope) -> Document {
        let state = self.store.a.get(&scope.sums_key(self.now()).unwrap()).await.unwrap();
        state.and_then(|state| state.document().cloned()).unwrap_or_default()
    }
}

fn number(document: &Document, field: &str) -> u64 {
    document.get(field).map_or(0, |text| text.parse().unwrap())
}

async fn reserve(ledger: Ledger, id: String) -> Option<Reservation> {
    match ledger.reserve(call(&id)).await {
        Ok(reservation) => Some(reservation),
        Err(NotReserved::OverBudget(over)) => {
            assert_eq!((over.scope, over.asked), (Scope::Day, MOST));
            assert!(over.spent <= over.limit && over.spent + MOST > over.limit);
            None
        }
        Err(other) => panic!("{other}"),
    }
}

/// Many calls race for room, from three processes; some are settled, one is left over by a crash.
async fn budgets_hold(engine: &dyn Engine) {
    let team = Team::on(engine).await;
    let mut costs = team.store.b.listen(&[ChannelName::Costs]).await.unwrap();
    let racing = (0..TRIED).zip(team.ledgers.iter().cycle().cloned());
    let racing: Vec<_> = racing.map(|(n, ledger)| tokio::spawn(reserve(ledger, format!("c{n}")))).collect();
    let mut held = Vec::new();
    for tried in racing {
        held.extend(tried.await.unwrap());
    }
    assert_eq!(held.len(), usize::try_from(ROOM).unwrap(), "exactly as many as there is room for");
    assert_eq!(number(&team.sums(&Scope::Day).await, "claimed_nano"), ROOM * MOST);

    // One process dies with its call; the others settle theirs.
    drop(held.pop());
    let settled = ROOM - 1;
    for reservation in held {
        assert_eq!(reservation.settle(used(), false).await.unwrap(), COST);
    }
    for scope in [Scope::Day, Scope::Month, Scope::task("decide"), Scope::model("anthropic", "claude-opus-5-5")] {
        let sums = team.sums(&scope).await;
        assert_eq!(number(&sums, "claimed_nano"), settled * COST + MOST, "{scope}");
        assert_eq!(number(&sums, "spent_nano"), settled * COST, "{scope}");
        assert_eq!(number(&sums, "spent_calls"), settled, "{scope}");
    }
    let before = team.now();
    team.clock.advance(Duration::from_secs(61));
    let sweeper = Sweeper { ledger: team.ledgers[2].clone() };
    assert_eq!(sweeper.sweep(None).await.unwrap(), 1);
    assert_eq!(sweeper.sweep(None).await.unwrap(), 0);
    let key = Scope::Day.sums_key(before).unwrap();
    let state = team.store.a.get(&key).await.unwrap().unwrap();
    let sums = state.document().unwrap();
    for (field, expected) in [
        ("claimed_nano", settled * COST + MOST),
        ("spent_nano", settled * COST + MOST),
        ("estimated_nano", MOST),
        ("estimated_calls", 1),
        ("spent_calls", ROOM),
        ("claimed_calls", ROOM),
        ("uncached", settled * 700 + 1_064),
        ("output", settled * 120 + 1_000),
        ("spent_tokens", settled * 1_120 + 2_064),
        ("claimed_tokens", settled * 1_120 + 2_064),
    ] {
        assert_eq!(number(sums, field), expected, "{field}");
    }
    assert_eq!(alerts(&team.store.a).await, ["budget:day", "budget:day"], "one warning, one for all refusals");
    let mut recorded = 0;
    while recorded < ROOM {
        let heard = tokio::time::timeout(tools::DEADLINE, costs.heard.recv()).await.unwrap().unwrap();
        recorded += u64::from(heard.body.contains("cost_recorded"));
    }
    let (left, _) = team.store.a.scan("reservations:", None, 100).await.unwrap();
    assert_eq!(left.len(), 1, "only what was swept stays, for a day: {left:?}");
}

async fn alerts(bus: &SharedBus) -> Vec<String> {
    let all = fullsend::bus::Range::after(fullsend::bus::EntryId::ZERO, 100);
    let entries = bus.range(ChannelName::Alerts, all).await.unwrap();
    let read = |entry: &fullsend::bus::Entry| match Alerts::read(&entry.b).unwrap() {
        Alerts::Triggered(alert) => alert.alert_id,
        other => panic!("{other:?}"),
    };
    entries.iter().map(read).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn budgets_hold_across_processes_in_memory() {
    budgets_hold(&stores::Memory).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn budgets_hold_across_processes_on_the_embedded_engine() {
    budgets_hold(&embedded_store::Embedded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn budgets_hold_across_processes_on_redis() {
    budgets_hold(&redis_store::Redis).await;
}
