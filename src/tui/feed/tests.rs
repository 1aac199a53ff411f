use std::sync::Arc;
use std::time::Duration;

use pretty_assertions::assert_eq;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::bus::memory::MemoryBus;
use crate::bus::testing::World;
use crate::bus::{Expect, Key, Op, Ttl};
use crate::contracts::Trust;
use crate::contracts::channel::grants;
use crate::contracts::messages::Alerts;
use crate::contracts::wiring::ALERTS;

/// What a feed brings.
struct Fed {
    world: World,
    bus: Arc<MemoryBus>,
    batches: mpsc::Receiver<Batch>,
    waiting: Vec<Item>,
    stop: CancellationToken,
}

impl Fed {
    async fn new(before: &[&str]) -> Self {
        let world = World::new();
        for text in before {
            world.say(world.request(text)).await;
        }
        let bus = Arc::new(world.store.another());
        let (queue, batches) = mpsc::channel(QUEUE);
        let feed = Feed {
            bus: Arc::<MemoryBus>::clone(&bus),
            clock: Arc::clone(&world.clock),
            queue,
            beside: Beside::default(),
        };
        let stop = CancellationToken::new();
        tokio::spawn(feed.run(stop.clone()));
        Self { world, bus, batches, waiting: Vec::new(), stop }
    }

    /// The next item that this is about; others are passed over.
    async fn next<T>(&mut self, wanted: impl Fn(&Item) -> Option<T>) -> T {
        loop {
            while !self.waiting.is_empty() {
                if let Some(found) = wanted(&self.waiting.remove(0)) {
                    return found;
                }
            }
            let batch = tokio::time::timeout(Duration::from_hours(1), self.batches.recv()).await;
            self.waiting = batch.expect("it never came").expect("the feed ended");
        }
    }

    async fn said(&mut self) -> String {
        self.next(|item| match item {
            Item::Message(row) if row.channel == ChannelName::Echo => Some(row.gist().to_owned()),
            _ => None,
        })
        .await
    }
}

#[tokio::test(start_paused = true)]
async fn first_the_past_in_its_order_then_what_comes_and_nothing_twice() {
    let mut fed = Fed::new(&["one", "two"]).await;
    assert_eq!((fed.said().await, fed.said().await), ("one".to_owned(), "two".to_owned()));
    fed.next(|item| matches!(item, Item::Filled).then_some(())).await;
    fed.world.say(fed.world.request("three")).await;
    assert_eq!(fed.said().await, "three");
    fed.world.say(fed.world.request("four")).await;
    assert_eq!(fed.said().await, "four");
    fed.stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn a_bus_that_goes_away_is_said_once_and_what_was_said_meanwhile_is_not_lost() {
    let mut fed = Fed::new(&[]).await;
    fed.next(|item| matches!(item, Item::Filled).then_some(())).await;
    fed.bus.fail_next(40, BusError::Unreachable("refused \x1b[31m".to_owned()));
    fed.world.say(fed.world.request("wakes the watch")).await;
    let reason = fed
        .next(|item| match item {
            Item::Engine(EngineStatus::Away { reason, .. }) => Some(reason.clone()),
            _ => None,
        })
        .await;
    assert!(reason.contains("refused") && !reason.contains('\x1b'), "{reason}");
    fed.world.say(fed.world.request("meanwhile")).await;
    let live = |item: &Item| match item {
        Item::Engine(status) => Some(status.clone()),
        _ => None,
    };
    assert_eq!(fed.next(live).await, EngineStatus::Live);
    fed.next(|item| matches!(item, Item::Gap(_)).then_some(())).await;
    while fed.said().await != "meanwhile" {}
}

#[tokio::test(start_paused = true)]
async fn a_bell_has_the_documents_read_again() {
    let mut fed = Fed::new(&[]).await;
    let alerts = |item: &Item| match item {
        Item::Documents { prefix, found, .. } if prefix == "alerts:" => Some(found.len()),
        _ => None,
    };
    assert_eq!(fed.next(alerts).await, 0);
    let fields = vec![("state".to_owned(), Some("triggered".to_owned()))];
    let change = Op::Change { key: Key::new("alerts:a"), expect: Expect::Any, fields, ttl: Ttl::Keep };
    let body = Alerts::Triggered(crate::contracts::body::Example::example());
    let said = fed.world.origin(Trust::System).compose::<grants::Gate, _>(ALERTS, body).unwrap();
    fed.world.commit(vec![change, Op::Append(said)]).await;
    assert_eq!(fed.next(alerts).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_channel_whose_key_holds_something_else_is_left_out_and_the_others_go_on() {
    let world = World::new();
    world.store.set_foreign(&Key::new(keys::stream(ChannelName::Alerts)));
    let bus = Arc::new(world.store.another());
    let (queue, batches) = mpsc::channel(QUEUE);
    let feed =
        Feed { bus: Arc::<MemoryBus>::clone(&bus), clock: Arc::clone(&world.clock), queue, beside: Beside::default() };
    let stop = CancellationToken::new();
    tokio::spawn(feed.run(stop.clone()));
    let mut fed = Fed { world, bus, batches, waiting: Vec::new(), stop };
    fed.next(|item| matches!(item, Item::Filled).then_some(())).await;
    fed.world.say(fed.world.request("goes on")).await;
    assert_eq!(fed.said().await, "goes on");
}

#[tokio::test(start_paused = true)]
async fn the_feed_ends_with_the_room() {
    let world = World::new();
    let (queue, batches) = mpsc::channel(QUEUE);
    let feed = Feed { bus: world.bus(), clock: Arc::clone(&world.clock), queue, beside: Beside::default() };
    drop(batches);
    tokio::time::timeout(Duration::from_hours(1), feed.run(CancellationToken::new()))
        .await
        .expect("it goes on for nobody");
}

#[tokio::test(start_paused = true)]
async fn documents_that_change_with_every_number_are_read_once_a_second() {
    let mut fed = Fed::new(&[]).await;
    fed.next(|item| matches!(item, Item::Filled).then_some(())).await;
    let body = crate::contracts::messages::Metrics::Event(crate::contracts::body::Example::example());
    let numbers = |item: &Item| match item {
        Item::Documents { prefix, .. } if prefix == "metrics_aggregated:" => Some(()),
        _ => None,
    };
    let mut reads = 0;
    for _ in 0..100 {
        let origin = fed.world.origin(Trust::Operator);
        let said = origin.compose::<grants::ControlRoom, _>(crate::contracts::wiring::METRICS, body.clone()).unwrap();
        fed.world.commit(vec![Op::Append(said)]).await;
        let until = tokio::time::Instant::now() + Duration::from_millis(40);
        while tokio::time::timeout_at(until, fed.next(numbers)).await.is_ok() {
            reads += 1;
        }
    }
    assert!((3..=6).contains(&reads), "{reads} in four seconds");
}
