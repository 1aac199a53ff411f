//! On paused time: every wait takes no time and happens in order.

use chrono::TimeDelta;
use pretty_assertions::assert_eq;
use tokio::task::JoinHandle;

use super::*;
use crate::bus::leased::hold;
use crate::bus::testing::World;
use crate::bus::{Op, Timer};
use crate::contracts::ChannelName;

fn holder(world: &World) -> (CancellationToken, JoinHandle<Result<(), BusError>>) {
    let stop = CancellationToken::new();
    let (token, bus, clock, ids) = (stop.clone(), world.bus(), Arc::clone(&world.clock), Arc::clone(&world.ids));
    let timers = Timers { bus: Arc::clone(&bus), clock: Arc::clone(&clock) };
    (stop, tokio::spawn(async move { hold(&timers, &bus, &clock, &ids, token).await }))
}

async fn schedule(world: &World, text: &str, seconds: i64) {
    let at = world.clock.now() + TimeDelta::seconds(seconds);
    world.commit(vec![Op::Schedule(Timer { id: text.to_owned(), at, message: world.request(text) })]).await;
}

#[tokio::test(start_paused = true)]
async fn a_message_is_said_at_its_time_once_with_two_holders_running() {
    let world = World::new();
    schedule(&world, "tea", 60).await;
    let due = world.clock.now() + TimeDelta::seconds(60);
    let holders = [holder(&world), holder(&world)];
    tokio::time::sleep(Duration::from_millis(59_900)).await;
    assert!(world.asked().await.is_empty(), "said before its time");
    world.until(async |world| !world.asked().await.is_empty()).await;
    let said = world.entries(ChannelName::Echo).await[0].id.at();
    assert!(said >= due && said <= due + TimeDelta::milliseconds(400), "due {due}, said {said}");
    tokio::time::sleep(Duration::from_mins(5)).await;
    assert_eq!(world.asked().await, ["tea"]);
    for (stop, task) in holders {
        stop.cancel();
        task.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_timer_is_never_said() {
    let world = World::new();
    schedule(&world, "never", 30).await;
    schedule(&world, "later", 60).await;
    let _holder = holder(&world);
    tokio::time::sleep(Duration::from_secs(10)).await;
    world.commit(vec![Op::Cancel { timer: "never".to_owned() }]).await;
    world.until(async |world| !world.asked().await.is_empty()).await;
    assert_eq!(world.asked().await, ["later"]);
}

#[tokio::test(start_paused = true)]
async fn more_timers_than_one_call_takes_are_all_said() {
    let world = World::new();
    for n in 0..BATCH + 10 {
        schedule(&world, &format!("t{n}"), 5).await;
    }
    let _holder = holder(&world);
    world.until(async |world| world.asked().await.len() >= BATCH + 10).await;
    assert_eq!(world.bus().next_timer().await, Ok(None));
}

#[tokio::test(start_paused = true)]
async fn a_timer_survives_its_holder_whether_it_was_stopped_or_killed() {
    for killed in [false, true] {
        let world = World::new();
        schedule(&world, "tea", 60).await;
        let (stop, first) = holder(&world);
        tokio::time::sleep(Duration::from_secs(10)).await;
        if killed {
            first.abort();
        } else {
            stop.cancel();
            first.await.unwrap().unwrap();
        }
        tokio::time::sleep(Duration::from_mins(2)).await;
        assert!(world.asked().await.is_empty(), "nobody held the lease");
        let _second = holder(&world);
        world.until(async |world| !world.asked().await.is_empty()).await;
        tokio::time::sleep(Duration::from_mins(1)).await;
        assert_eq!(world.asked().await, ["tea"]);
    }
}
