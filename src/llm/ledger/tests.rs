use std::sync::Arc;

use pretty_assertions::assert_eq;
use rstest::rstest;

use super::*;
use crate::bus::memory::MemoryBus;
use crate::bus::testing::World;
use crate::bus::{Document, Listener, leased};
use crate::contracts::messages::{AlertTriggered, Alerts, BudgetUnit, Costs, SetBudget, Tokens};
use crate::contracts::{Body, ChannelName, ManualClock, money};

mod orders;
mod sweeping;
mod telling;

/// A store, its clock, and a ledger on it.
struct Desk {
    store: MemoryBus,
    clock: Arc<ManualClock>,
    ids: Arc<Ids>,
    ledger: Ledger,
}

const NOON: &str = "2026-11-21T12:00:00Z";

impl Desk {
    fn new(budgets: Budgets) -> Self {
        Self::at(NOON, budgets)
    }

    fn at(time: &str, budgets: Budgets) -> Self {
        let clock = Arc::new(ManualClock::at(time.parse().unwrap()));
        let store = MemoryBus::new(Arc::clone(&clock) as Arc<dyn Clock>);
        let ids = Arc::new(Ids::seeded(1));
        let ledger = ledger(&store, budgets, &clock, &ids);
        Self { store, clock, ids, ledger }
    }

    /// As another process has it.
    fn another(&self, budgets: Budgets) -> Ledger {
        ledger(&self.store, budgets, &self.clock, &self.ids)
    }

    fn bus(&self) -> SharedBus {
        Arc::new(self.store.another())
    }

    async fn document(&self, key: &str) -> Option<Document> {
        let state = self.bus().get(&Key::new(key)).await.unwrap();
        state.and_then(|state| state.document().cloned())
    }

    /// Fields of a document of sums; those that are not there are 0.
    async fn sums<const N: usize>(&self, key: &str, fields: [&str; N]) -> [i64; N] {
        let document = self.document(&format!("budgets:{key}")).await.unwrap_or_default();
        fields.map(|field| document.get(field).map_or(0, |text| text.parse().unwrap()))
    }

    /// Spent or reserved, and spent, in nano-dollars.
    async fn nano(&self, key: &str) -> [i64; 2] {
        self.sums(key, ["claimed_nano", "spent_nano"]).await
    }

    async fn alerts(&self) -> Vec<AlertTriggered> {
        let all = crate::bus::Range::after(crate::bus::EntryId::ZERO, 1_000);
        let entries = self.bus().range(ChannelName::Alerts, all).await.unwrap();
        let read = |entry: &crate::bus::Entry| match Alerts::read(&entry.b).unwrap() {
            Alerts::Triggered(alert) => alert,
            other => panic!("{other:?}"),
        };
        entries.iter().map(read).collect()
    }

    async fn order(&self, scope: &str, limit: f64, until: Option<&str>) {
        self.order_unit(scope, BudgetUnit::Usd, limit, until).await;
    }

    async fn order_unit(&self, scope: &str, unit: BudgetUnit, limit: f64, until: Option<&str>) {
        let until = until.map(|time| time.parse().unwrap());
        let order = SetBudget { scope: scope.to_owned(), unit, limit, until, reason: None, by: None };
        let now = self.clock.now();
        let found = limits::ordered(&self.bus(), &scope.parse().unwrap()).await.unwrap();
        let op = limits::follow(&order, self.ids.message(now), found.as_ref(), now).unwrap().unwrap();
        assert!(self.bus().commit(vec![Commit::of(vec![op])]).await.unwrap()[0].is_done());
    }
}

fn ledger(store: &MemoryBus, budgets: Budgets, clock: &Arc<ManualClock>, ids: &Arc<Ids>) -> Ledger {
    let clock = Arc::clone(clock) as Arc<dyn Clock>;
    Ledger::new(Arc::new(store.another()), Prices::built_in(), budgets, clock, Arc::clone(ids))
}

/// No limit at all.
fn unlimited() -> Budgets {
    let none = Limits::NONE;
    let on_exceeded = OnExceeded::Rules;
    Budgets { call: none, trace: none, task: none, service: none, day: none, month: none, on_exceeded }
}

/// So many times what [`call`] reserves, and a nano-dollar less than once more.
fn room_for(calls: u64) -> Limits {
    Limits { nano: Some(MOST * (calls + 1) - 1), ..Limits::NONE }
}

/// 1,064 tokens of input at the 5 dollars of a cache write, 1,000 of output at 20: 1,064 x 5,000 + 1,000 x 20,000.
const MOST: u64 = 25_320_000;
/// 700 x 4,000 + 300 x 200 + 120 x 20,000.
const COST: u64 = 5_260_000;

fn call(id: &str) -> Call {
    Call {
        id: id.to_owned(),
        service: ServiceName::Orchestrator,
        task: TaskName::Decide,
        trace: Some("01a1fc9c-89c2-7b64-ab17-2b03d3951fc3".parse().unwrap()),
        provider: "anthropic".to_owned(),
        model: "claude-opus-5-5".to_owned(),
        is_local: false,
        prompt_bytes: 3_000,
        max_tokens: 1_000,
        within: Duration::from_mins(1),
    }
}

fn used() -> Tokens {
    Tokens { uncached: 700, cache_write: 0, cache_read: 300, output: 120 }
}

/// Every scope of [`call`], with the period of [`NOON`].
const SCOPES: [&str; 6] = [
    "trace:01a1fc9c-89c2-7b64-ab17-2b03d3951fc3",
    "task:decide:2026-11-21",
    "service:orchestrator:2026-11-21",
    "model:anthropic/claude-opus-5-5:2026-11-21",
    "day:2026-11-21",
    "month:2026-11",
];

fn signed(nano: u64) -> i64 {
    i64::try_from(nano).unwrap()
}

fn over(refused: NotReserved) -> OverBudget {
    match refused {
        NotReserved::OverBudget(over) => over,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_call_is_reserved_at_its_most_and_settled_at_its_cost_in_every_scope() {
    let desk = Desk::new(Budgets::default());
    let reservation = desk.ledger.reserve(call("c1")).await.unwrap();
    assert_eq!(reservation.nano_usd(), MOST);
    for scope in SCOPES {
        assert_eq!(desk.nano(scope).await, [signed(MOST), 0], "{scope}");
        assert_eq!(desk.sums(scope, ["claimed_tokens", "claimed_calls"]).await, [2_064, 1], "{scope}");
    }
    let document = desk.document("reservations:c1").await.unwrap();
    assert_eq!(document.get("deadline"), Some("2026-11-21T12:02:00+00:00"));

    assert_eq!(reservation.settle(used(), false).await.unwrap(), COST);
    let fields = [
        "claimed_nano",
        "spent_nano",
        "claimed_tokens",
        "spent_tokens",
        "claimed_calls",
        "spent_calls",
        "uncached",
        "cache_write",
        "cache_read",
        "output",
        ESTIMATED_NANO,
        ESTIMATED_CALLS,
    ];
    for scope in SCOPES {
        let cost = signed(COST);
        assert_eq!(desk.sums(scope, fields).await, [cost, cost, 1_120, 1_120, 1, 1, 700, 0, 300, 120, 0, 0], "{scope}");
    }
    assert_eq!(desk.document("reservations:c1").await, None);
}

#[tokio::test]
async fn a_month_of_calls_is_right_to_the_cent_and_the_nano_dollar() {
    let desk = Desk::new(unlimited());
    for n in 0..1_000 {
        let reservation = desk.ledger.reserve(call(&format!("c{n}"))).await.unwrap();
        reservation.settle(used(), false).await.unwrap();
        desk.clock.advance(Duration::from_mins(10));
    }
    // 600,000 s from noon of the 21st on: all within November, seven days and a bit.
    let [claimed, spent] = desk.nano("month:2026-11").await;
    assert_eq!((claimed, spent), (5_260_000_000, 5_260_000_000));
    assert_eq!(money::show_usd(u64::try_from(spent).unwrap()), "$5.26");
    let mut days = 0;
    for day in 21..=30 {
        days += desk.nano(&format!("day:2026-11-{day}")).await[1];
    }
    assert_eq!(days, spent, "the days add up to the month");
}

#[tokio::test]
async fn a_call_that_was_not_billed_leaves_nothing() {
    let desk = Desk::new(Budgets::default());
    desk.ledger.reserve(call("c1")).await.unwrap().release().await.unwrap();
    for scope in SCOPES {
        let sums = desk.sums(scope, ["claimed_nano", "claimed_tokens", "claimed_calls", "spent_calls"]).await;
        assert_eq!(sums, [0; 4], "{scope}");
    }
    assert_eq!(desk.document("reservations:c1").await, None);
}

#[tokio::test]
async fn an_aborted_call_counts_as_an_estimate_and_is_marked() {
    let desk = Desk::new(Budgets::default());
    let reservation = desk.ledger.reserve(call("c1")).await.unwrap();
    let usage = reservation.estimate(301);
    assert_eq!(usage.tokens, Tokens { uncached: 1_064, cache_write: 0, cache_read: 0, output: 101 });
    // 1,064 x 4,000 + 101 x 20,000
    assert_eq!(reservation.settle(usage, true).await.unwrap(), 6_276_000);
    let fields = ["claimed_nano", "spent_nano", ESTIMATED_NANO, ESTIMATED_CALLS];
    assert_eq!(desk.sums("day:2026-11-21", fields).await, [6_276_000, 6_276_000, 6_276_000, 1]);
}

#[tokio::test]
async fn a_local_model_costs_nothing_and_its_tokens_and_calls_count() {
    let desk = Desk::new(Budgets { day: Limits { nano: Some(0), tokens: None, calls: Some(1) }, ..unlimited() });
    let local = |id| Call { provider: "openai".to_owned(), model: "qwen3:8b".to_owned(), is_local: true, ..call(id) };
    let reservation = desk.ledger.reserve(local("c1")).await.unwrap();
    assert_eq!(reservation.nano_usd(), 0);
    assert_eq!(reservation.settle(used(), false).await.unwrap(), 0);
    assert_eq!(desk.sums("day:2026-11-21", ["spent_nano", "spent_tokens", "spent_calls"]).await, [0, 1_120, 1]);
    let over = over(desk.ledger.reserve(local("c2")).await.unwrap_err());
    assert_eq!((over.scope, over.unit, over.limit, over.spent, over.asked), (Scope::Day, Unit::Calls, 1, 1, 1));
}

#[rstest]
#[case::trace(Budgets { trace: room_for(1), ..unlimited() }, "trace:01a1fc9c-89c2-7b64-ab17-2b03d3951fc3")]
#[case::task(Budgets { task: room_for(1), ..unlimited() }, "task:decide")]
#[case::service(Budgets { service: room_for(1), ..unlimited() }, "service:orchestrator")]
#[case::day(Budgets { day: room_for(1), ..unlimited() }, "day")]
#[case::month(Budgets { month: room_for(1), ..unlimited() }, "month")]
#[tokio::test]
async fn a_refusal_names_the_scope_and_leaves_nothing_in_the_others(#[case] budgets: Budgets, #[case] scope: &str) {
    let desk = Desk::new(budgets);
    let first = desk.ledger.reserve(call("c1")).await.unwrap();
    let over = over(desk.ledger.reserve(call("c2")).await.unwrap_err());
    let expected =
        OverBudget { scope: scope.parse().unwrap(), unit: Unit::Nano, limit: 2 * MOST - 1, spent: MOST, asked: MOST };
    assert_eq!(over, expected);
    let text = over.to_string();
    assert!(
        text.starts_with(&format!("the budget `{scope}` does not allow it: $0.0253 of $0.0506 are spent or reserved")),
        "{text}"
    );
    for scope in SCOPES {
        assert_eq!(desk.sums(scope, ["claimed_nano", "claimed_calls"]).await, [signed(MOST), 1], "{scope}");
    }
    assert_eq!(desk.document("reservations:c2").await, None);
    // What the first gives back makes room.
    first.settle(used(), false).await.unwrap();
    desk.ledger.reserve(call("c2")).await.unwrap().release().await.unwrap();
}

#[tokio::test]
async fn a_call_that_is_dearer_than_a_call_may_be_is_refused() {
    let desk = Desk::new(Budgets { call: Limits { nano: Some(MOST - 1), ..Limits::NONE }, ..unlimited() });
    let over = over(desk.ledger.reserve(call("c1")).await.unwrap_err());
    assert_eq!((over.scope, over.limit, over.asked), (Scope::Call, MOST - 1, MOST));
    let cheaper = Call { max_tokens: 999, ..call("c2") };
    desk.ledger.reserve(cheaper).await.unwrap().release().await.unwrap();
}

#[tokio::test]
async fn a_limit_in_tokens_holds_as_well() {
    let desk = Desk::new(Budgets { task: Limits { tokens: Some(4_127), ..Limits::NONE }, ..unlimited() });
    let first = desk.ledger.reserve(call("c1")).await.unwrap();
    let over = over(desk.ledger.reserve(call("c2")).await.unwrap_err());
    assert_eq!((over.unit, over.limit, over.spent, over.asked), (Unit::Tokens, 4_127, 2_064, 2_064));
    assert!(over.to_string().contains("2064 tokens of 4127 tokens"), "{over}");
    first.settle(used(), false).await.unwrap();
    desk.ledger.reserve(call("c2")).await.unwrap().release().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_never_pass_the_ceiling() {
    let desk = Desk::new(Budgets { day: room_for(3), ..unlimited() });
    let ledgers = [desk.another(Budgets { day: room_for(3), ..unlimited() }), desk.ledger.clone()];
    let tries = (0..64).map(|n| {
        let ledger = ledgers[n % 2].clone();
        tokio::spawn(async move { ledger.reserve(call(&format!("c{n}"))).await })
    });
    let mut held = Vec::new();
    for tried in futures::future::join_all(tries).await {
        match tried.unwrap() {
            Ok(reservation) => held.push(reservation),
            Err(refused) => assert_eq!(over(refused).scope, Scope::Day),
        }
    }
    assert_eq!(held.len(), 3, "exactly as many as there is room for");
    assert_eq!(desk.nano("day:2026-11-21").await, [signed(3 * MOST), 0]);
    let settled = futures::future::join_all(held.into_iter().map(|held| held.settle(used(), false))).await;
    assert!(settled.into_iter().all(|cost| cost == Ok(COST)));
    assert_eq!(desk.nano("day:2026-11-21").await, [signed(3 * COST); 2]);
}

#[tokio::test(start_paused = true)]
async fn lost_answers_count_nothing_twice() {
    let desk = Desk::new(unlimited());
    let store = Arc::new(desk.store.another());
    let clock = Arc::clone(&desk.clock) as Arc<dyn Clock>;
    let bus = Arc::clone(&store) as SharedBus;
    let ledger = Ledger::new(bus, Prices::built_in(), unlimited(), clock, Arc::clone(&desk.ids));
    store.lose_next_answers(1);
    let reserved = ledger.reserve(call("c1")).await.unwrap();
    assert_eq!(desk.nano("day:2026-11-21").await, [signed(MOST), 0]);
    store.lose_next_answers(2);
    assert_eq!(reserved.settle(used(), false).await.unwrap(), COST);
    assert_eq!(desk.nano("day:2026-11-21").await, [signed(COST); 2]);
    assert_eq!(desk.sums("day:2026-11-21", ["spent_calls", "claimed_calls"]).await, [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn without_the_store_nothing_is_spent() {
    let desk = Desk::new(unlimited());
    let store = Arc::new(desk.store.another());
    let clock = Arc::clone(&desk.clock) as Arc<dyn Clock>;
    let ledger = Ledger::new(store.clone(), Prices::built_in(), unlimited(), clock, Arc::clone(&desk.ids));
    store.fail_next(1_000, BusError::Unreachable("refused".to_owned()));
    let refused = ledger.reserve(call("c1")).await.unwrap_err();
    assert!(matches!(refused, NotReserved::Bus(BusError::Unreachable(_))), "{refused}");
    let bad = desk.ledger.reserve(call("a b")).await.unwrap_err();
    assert!(matches!(bad, NotReserved::BadId(_)), "{bad}");
}

#[tokio::test]
async fn a_call_counts_in_the_month_in_which_it_was_reserved() {
    let desk = Desk::at("2026-11-30T23:59:50Z", Budgets { month: room_for(1), ..unlimited() });
    let reservation = desk.ledger.reserve(call("c1")).await.unwrap();
    desk.clock.advance(Duration::from_secs(20));
    // December begins with nothing, although November's call is under way.
    let december = desk.ledger.reserve(call("c2")).await.unwrap();
    assert!(desk.ledger.reserve(call("c3")).await.is_err());
    reservation.settle(used(), false).await.unwrap();
    december.settle(used(), false).await.unwrap();
    for key in ["month:2026-11", "day:2026-11-30", "month:2026-12", "day:2026-12-01", "task:decide:2026-12-01"] {
        assert_eq!(desk.nano(key).await, [signed(COST); 2], "{key}");
    }
    assert_eq!(desk.nano("trace:01a1fc9c-89c2-7b64-ab17-2b03d3951fc3").await, [signed(2 * COST); 2]);
}

#[tokio::test]
async fn sums_go_some_time_after_the_last_call() {
    let desk = Desk::new(unlimited());
    desk.ledger.reserve(call("c1")).await.unwrap().settle(used(), false).await.unwrap();
    desk.clock.advance(Duration::from_hours(44 * 24));
    assert_eq!(desk.nano("day:2026-11-21").await, [signed(COST); 2]);
    desk.clock.advance(Duration::from_hours(48));
    assert_eq!(desk.document("budgets:day:2026-11-21").await, None);
    assert_eq!(desk.nano("month:2026-11").await, [signed(COST); 2]);
    desk.clock.advance(Duration::from_hours(24 * 360));
    assert_eq!(desk.document("budgets:month:2026-11").await, None);
}

#[test]
fn scopes_read_back_and_odd_names_make_sound_keys() {
    for text in ["call", "day", "month", "task:decide", "service:watcher", "model:openai/qwen3:8b"] {
        assert_eq!(text.parse::<Scope>().unwrap().to_string(), text);
    }
    for wrong in ["", "days", "task:", "task:a b", "experiment:e1", "trace:x", "week:1"] {
        assert!(wrong.parse::<Scope>().is_err(), "{wrong}");
    }
    let odd = Scope::model("openai", &format!("a b\n{}", "x".repeat(500)));
    let at = NOON.parse().unwrap();
    let key = odd.sums_key(at).unwrap();
    assert!(keys::check_id(key.as_str().strip_prefix("budgets:").unwrap()).is_ok(), "{key}");
    assert!(key.as_str().starts_with("budgets:model:openai/a_b_xxx"));
}
