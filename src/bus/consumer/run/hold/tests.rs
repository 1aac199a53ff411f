use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pretty_assertions::assert_eq;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::bus::testing::World;
use crate::bus::{Consumer, ConsumerOptions, Context, Effects, Failure, Handler, Op, Received, StateChange};
use crate::contracts::ChannelName;
use crate::contracts::channel::grants;

/// Takes three seconds for each message.
#[derive(Clone, Default)]
struct Slow {
    heeds: bool,
    started: Arc<AtomicUsize>,
    ended: Arc<AtomicUsize>,
}

impl Handler for Slow {
    type Grant = grants::Echo;

    fn channels(&self) -> &[ChannelName] {
        &[ChannelName::Echo]
    }

    fn heeds_hold(&self) -> bool {
        self.heeds
    }

    async fn handle(&self, _: Received, cx: Context<grants::Echo>) -> Result<Effects<grants::Echo>, Failure> {
        self.started.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_secs(3)).await;
        self.ended.fetch_add(1, Ordering::SeqCst);
        Ok(cx.effects())
    }
}

impl Slow {
    fn counts(&self) -> (usize, usize) {
        (self.started.load(Ordering::SeqCst), self.ended.load(Ordering::SeqCst))
    }

    fn start(&self, world: &World) -> CancellationToken {
        let options = ConsumerOptions { seed: Some(1), ..ConsumerOptions::default() };
        let consumer =
            Consumer::new(world.bus(), self.clone(), options, Arc::clone(&world.clock), Arc::clone(&world.ids));
        let stop = CancellationToken::new();
        let token = stop.clone();
        tokio::spawn(async move { consumer.run(token).await });
        stop
    }
}

async fn set(world: &World, status: &str) {
    let change = StateChange::SetString(status.to_owned());
    world.commit(vec![Op::State { key: Key::new(keys::STATUS), change }]).await;
}

async fn pass(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

#[tokio::test(start_paused = true)]
async fn on_hold_nothing_starts_and_what_runs_comes_to_its_end() {
    let world = World::new();
    let slow = Slow { heeds: true, ..Slow::default() };
    let stop = slow.start(&world);
    for text in ["one", "two", "three"] {
        world.say(world.request(text)).await;
    }
    pass(1_000).await;
    assert_eq!(slow.counts(), (1, 0));
    set(&world, "paused").await;
    pass(60_000).await;
    assert_eq!(slow.counts(), (1, 1), "the second waits, though a slot was free for long");
    set(&world, "running").await;
    pass(500).await;
    assert_eq!(slow.counts(), (2, 1), "it is seen within half a second");
    pass(20_000).await;
    assert_eq!(slow.counts(), (3, 3), "nothing was lost or run twice");
    stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn a_hold_is_seen_within_half_a_second_also_by_a_read_that_waits() {
    let world = World::new();
    let slow = Slow { heeds: true, ..Slow::default() };
    let stop = slow.start(&world);
    pass(5_000).await;
    set(&world, "paused").await;
    pass(500).await;
    world.say(world.request("one")).await;
    pass(60_000).await;
    assert_eq!(slow.counts(), (0, 0));
    set(&world, "running").await;
    pass(5_000).await;
    assert_eq!(slow.counts(), (1, 1));
    stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_starts_on_hold_starts_nothing_and_one_that_does_not_heed_it_goes_on() {
    let world = World::new();
    set(&world, "paused").await;
    world.say(world.request("one")).await;
    let slow = Slow { heeds: true, ..Slow::default() };
    let stop = slow.start(&world);
    pass(10_000).await;
    assert_eq!(slow.counts(), (0, 0));
    stop.cancel();
    pass(20_000).await;
    let other = Slow::default();
    let stop = other.start(&world);
    pass(10_000).await;
    assert_eq!(other.counts(), (1, 1));
    stop.cancel();
}
