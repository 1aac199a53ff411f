//! What a crash leaves.

use pretty_assertions::assert_eq;

use super::*;

fn estimated() -> [&'static str; 4] {
    ["claimed_nano", "spent_nano", ESTIMATED_NANO, ESTIMATED_CALLS]
}

#[tokio::test]
async fn what_a_crash_left_is_settled_as_an_estimate_after_its_deadline_and_not_before() {
    let desk = Desk::new(unlimited());
    drop(desk.ledger.reserve(call("c1")).await.unwrap());
    let sweeper = Sweeper { ledger: desk.another(unlimited()) };
    let mut costs = desk.bus().listen(&[ChannelName::Costs]).await.unwrap();
    desk.clock.advance(Duration::from_secs(119));
    assert_eq!(sweeper.sweep(None).await.unwrap(), 0);
    desk.clock.advance(Duration::from_secs(1));
    assert_eq!(sweeper.sweep(None).await.unwrap(), 1);
    let most = signed(MOST);
    for scope in SCOPES {
        assert_eq!(desk.sums(scope, estimated()).await, [most, most, most, 1], "{scope}");
    }
    let heard = costs.heard.recv().await.unwrap();
    let Costs::Recorded(said) = Costs::read(&heard.body).unwrap() else { panic!("{}", heard.body) };
    assert_eq!((said.call_id.as_str(), said.nano_usd, said.estimated), ("c1", MOST, true));
    assert_eq!(heard.envelope.unwrap().trace, call("c1").trace.unwrap());
    assert_eq!(sweeper.sweep(None).await.unwrap(), 0, "once");
    desk.clock.advance(Duration::from_hours(25));
    assert_eq!(desk.document("reservations:c1").await, None, "it goes after a day");
}

#[tokio::test]
async fn a_call_that_ends_after_its_estimate_takes_its_place() {
    let desk = Desk::new(unlimited());
    let (billed, unbilled) =
        (desk.ledger.reserve(call("c1")).await.unwrap(), desk.ledger.reserve(call("c2")).await.unwrap());
    desk.clock.advance(Duration::from_hours(1));
    assert_eq!(Sweeper { ledger: desk.ledger.clone() }.sweep(None).await.unwrap(), 2);
    billed.settle(used(), false).await.unwrap();
    unbilled.release().await.unwrap();
    let fields = ["spent_tokens", "claimed_tokens", "uncached", "cache_read", "output", "spent_calls", "claimed_calls"];
    for scope in SCOPES {
        assert_eq!(desk.sums(scope, estimated()).await, [signed(COST), signed(COST), 0, 0], "{scope}");
        assert_eq!(desk.sums(scope, fields).await, [1_120, 1_120, 700, 300, 120, 1, 1], "{scope}");
    }
    assert_eq!(desk.document("reservations:c1").await, None);
}

#[tokio::test]
async fn a_sweeper_that_lost_its_lease_settles_nothing() {
    let desk = Desk::new(unlimited());
    drop(desk.ledger.reserve(call("c1")).await.unwrap());
    desk.clock.advance(Duration::from_hours(1));
    let old = desk.bus().lease("ledger", "old", Duration::from_secs(3)).await.unwrap().unwrap();
    desk.clock.advance(Duration::from_secs(10));
    let new = desk.bus().lease("ledger", "new", Duration::from_secs(3)).await.unwrap().unwrap();
    let sweeper = Sweeper { ledger: desk.ledger.clone() };
    assert_eq!(sweeper.sweep(Some(&old)).await.unwrap(), 0);
    assert_eq!(desk.nano("day:2026-11-21").await, [signed(MOST), 0]);
    assert_eq!(sweeper.sweep(Some(&new)).await.unwrap(), 1);
}

#[tokio::test]
async fn a_store_that_was_emptied_still_counts_what_was_paid() {
    let desk = Desk::new(unlimited());
    let reservation = desk.ledger.reserve(call("c1")).await.unwrap();
    desk.store.flush_all();
    assert_eq!(reservation.settle(used(), false).await.unwrap(), COST);
    assert_eq!(desk.nano("day:2026-11-21").await, [signed(COST); 2]);
}

#[tokio::test(start_paused = true)]
async fn the_holder_of_the_lease_sweeps_by_itself() {
    let world = World::new();
    let parts = (Arc::clone(&world.clock), Arc::clone(&world.ids));
    let ledger = Ledger::new(world.bus(), Prices::built_in(), unlimited(), parts.0, parts.1);
    drop(ledger.reserve(call("c1")).await.unwrap());
    let stop = tokio_util::sync::CancellationToken::new();
    let (bus, clock, ids, stopped) = (world.bus(), Arc::clone(&world.clock), Arc::clone(&world.ids), stop.clone());
    let sweeper = Sweeper { ledger };
    let running = tokio::spawn(async move { leased::hold(&sweeper, &bus, &clock, &ids, stopped).await });
    let key = Key::new("reservations:c1");
    world
        .until(async |world| {
            let state = world.bus().get(&key).await.unwrap();
            state.is_some_and(|state| state.document().unwrap().get("swept_at").is_some())
        })
        .await;
    let waited = world.clock.now() - chrono::DateTime::from_timestamp_millis(1_800_000_000_000).unwrap();
    assert!((120..140).contains(&waited.num_seconds()), "{waited}");
    stop.cancel();
    running.await.unwrap().unwrap();
}
