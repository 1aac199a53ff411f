//! On paused time: every wait takes no time and happens in order.

use std::sync::Arc;

use pretty_assertions::assert_eq;

use super::*;
use crate::bus::memory::MemoryBus;
use crate::bus::testing::World;
use crate::contracts::channel::grants;
use crate::contracts::messages::{EchoRequest, Echoes};
use crate::contracts::wiring::ECHO;
use crate::contracts::{ChannelName, Trust};

const PATIENCE: Duration = Duration::from_secs(10);

fn sender(world: &World) -> (Sender<grants::ControlRoom>, Arc<MemoryBus>) {
    let handle = Arc::new(world.store.another());
    (Sender::new(Arc::<MemoryBus>::clone(&handle), world.origin(Trust::Operator), PATIENCE), handle)
}

fn hello() -> Echoes {
    EchoRequest { text: "hello".to_owned() }.into()
}

fn away() -> BusError {
    BusError::Unreachable("a test".to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_does_not_say_it_twice() {
    let world = World::new();
    let (sender, handle) = sender(&world);
    handle.lose_next_answers(2);
    let id = sender.send(ECHO, hello()).await.unwrap();
    let entries = world.entries(ChannelName::Echo).await;
    assert_eq!(entries.iter().map(|entry| entry.id).collect::<Vec<_>>(), [id]);
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_bus_is_tried_again_until_it_is_back() {
    let world = World::new();
    let (sender, handle) = sender(&world);
    handle.fail_next(4, away());
    sender.send(ECHO, hello()).await.unwrap();
    assert_eq!(world.asked().await, ["hello"]);
}

#[tokio::test(start_paused = true)]
async fn a_bus_that_stays_away_is_reported_when_the_patience_is_over() {
    let world = World::new();
    let (sender, handle) = sender(&world);
    handle.fail_commits(away());
    let began = Instant::now();
    assert_eq!(sender.send(ECHO, hello()).await, Err(SendError::Bus(away())));
    let took = began.elapsed();
    assert!(took >= PATIENCE && took <= PATIENCE + Duration::from_secs(2), "{took:?}");
    assert!(world.asked().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_bus_that_takes_no_writes_is_reported_as_such() {
    let world = World::new();
    let (sender, handle) = sender(&world);
    let closed = BusError::Unsupported("too new".to_owned());
    handle.fail_commits(closed.clone());
    let began = Instant::now();
    assert_eq!(sender.send(ECHO, hello()).await, Err(SendError::Bus(closed)));
    assert_eq!(began.elapsed(), Duration::ZERO, "waiting does not help");
}

#[tokio::test(start_paused = true)]
async fn the_same_key_says_it_once_and_returns_the_first_entry() {
    let world = World::new();
    let (sender, _) = sender(&world);
    let first = sender.send_once("k".to_owned(), world.request("one")).await.unwrap();
    assert_eq!(sender.send_once("k".to_owned(), world.request("two")).await, Ok(first));
    assert_eq!(world.asked().await, ["one"]);
}
