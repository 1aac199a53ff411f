//! On paused time: every wait takes no time and happens in order.

use pretty_assertions::assert_eq;

use super::*;
use crate::bus::leased::hold;
use crate::bus::testing::World;
use crate::bus::{Op, PendingRef, Reader, Want};

const DAY: Duration = Duration::from_hours(24);

fn trimmer(world: &World, days: u32, length: u64) -> Trimmer {
    let policy = RetentionPolicy { age: DAY * days, length };
    Trimmer { bus: world.bus(), policy, clock: Arc::clone(&world.clock), ids: Arc::clone(&world.ids) }
}

async fn say(world: &World, texts: &[&str]) {
    for text in texts {
        world.say(world.request(text)).await;
    }
}

fn reader() -> Reader {
    Reader { group: "echo".to_owned(), consumer: "echo@h#0".to_owned() }
}

/// The group is given `count` messages, and acknowledges those at `done`.
async fn handle(world: &World, count: usize, done: &[usize]) {
    let bus = world.bus();
    bus.ensure_group(ChannelName::Echo, "echo").await.unwrap();
    let want = Want { start: count, ahead: 0 };
    let given = bus.read(&reader(), &[ChannelName::Echo], want, Duration::ZERO).await.unwrap();
    let acknowledge = done
        .iter()
        .map(|&n| PendingRef { channel: ChannelName::Echo, group: "echo".to_owned(), entry: given[n].entry.id })
        .collect();
    assert!(bus.commit(vec![Commit { acknowledge, ..Commit::default() }]).await.unwrap()[0].is_done());
}

#[tokio::test(start_paused = true)]
async fn what_is_too_old_goes_and_the_rest_stays() {
    let world = World::new();
    say(&world, &["old", "older"]).await;
    tokio::time::sleep(DAY * 5).await;
    say(&world, &["young"]).await;
    tokio::time::sleep(DAY * 3).await;
    assert_eq!(trimmer(&world, 7, 100).trim(&CancellationToken::new()).await, Ok(2));
    assert_eq!(world.asked().await, ["young"]);
    assert_eq!(trimmer(&world, 7, 100).trim(&CancellationToken::new()).await, Ok(0));
}

#[tokio::test(start_paused = true)]
async fn the_oldest_beyond_the_length_go() {
    let world = World::new();
    say(&world, &["a", "b", "c", "d", "e"]).await;
    assert_eq!(trimmer(&world, 7, 2).trim(&CancellationToken::new()).await, Ok(3));
    assert_eq!(world.asked().await, ["d", "e"]);
}

#[tokio::test(start_paused = true)]
async fn nothing_goes_that_a_group_has_not_been_given_or_not_acknowledged() {
    let world = World::new();
    say(&world, &["a", "b", "c", "d", "e"]).await;
    handle(&world, 3, &[0, 2]).await;
    tokio::time::sleep(DAY * 30).await;
    assert_eq!(trimmer(&world, 7, 0).trim(&CancellationToken::new()).await, Ok(1));
    assert_eq!(world.asked().await, ["b", "c", "d", "e"], "`b` is pending, `d` was never handed out");
    assert_eq!(world.bus().drop_group(ChannelName::Echo, "echo").await, Ok(true));
    assert_eq!(trimmer(&world, 7, 0).trim(&CancellationToken::new()).await, Ok(4));
}

#[tokio::test(start_paused = true)]
async fn an_idle_group_raises_one_alert_a_day_with_the_way_out() {
    let world = World::new();
    say(&world, &["a", "b"]).await;
    handle(&world, 1, &[0]).await;
    let stop = CancellationToken::new();
    let (trimmer, bus, token) = (trimmer(&world, 365, 1_000), world.bus(), stop.clone());
    let (clock, ids) = (Arc::clone(&world.clock), Arc::clone(&world.ids));
    let task = tokio::spawn(async move { hold(&trimmer, &bus, &clock, &ids, token).await });
    tokio::time::sleep(Duration::from_mins(24 * 60 - 1)).await;
    assert_eq!(world.alerts().await, []);
    // It is 08:00 when the test begins: the first alert is of the second day, the others of the two that follow.
    tokio::time::sleep(Duration::from_hours(50)).await;
    stop.cancel();
    task.await.unwrap().unwrap();
    let alerts = world.alerts().await;
    assert_eq!(alerts.len(), 3);
    assert_eq!(alerts[0].alert_id, "idle-group:echo:echo");
    assert!(alerts[0].message.contains("24 hours") && alerts[0].message.contains("1 messages wait"), "{alerts:?}");
    assert!(alerts[0].fix.as_deref().unwrap().contains("fullsend groups drop echo echo"), "{alerts:?}");
}

#[tokio::test(start_paused = true)]
async fn a_live_group_raises_no_alert() {
    let world = World::new();
    say(&world, &["a"]).await;
    handle(&world, 1, &[0]).await;
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_hours(20)).await;
        world.bus().own_pending(&reader(), &[ChannelName::Echo], 1).await.unwrap();
        tokio::time::sleep(Duration::from_hours(1)).await;
        trimmer(&world, 365, 1_000).look_for_idle_groups(None, &CancellationToken::new()).await.unwrap();
    }
    assert_eq!(world.alerts().await, []);
}

#[tokio::test(start_paused = true)]
async fn a_trimmer_whose_lease_has_gone_alerts_nobody() {
    let world = World::new();
    world.commit(vec![Op::Append(world.request("a"))]).await;
    handle(&world, 1, &[]).await;
    tokio::time::sleep(DAY * 2).await;
    let lapsed = LeaseFence { name: "trimmer".to_owned(), number: 7 };
    trimmer(&world, 7, 10).look_for_idle_groups(Some(&lapsed), &CancellationToken::new()).await.unwrap();
    assert_eq!(world.alerts().await, []);
    trimmer(&world, 7, 10).look_for_idle_groups(None, &CancellationToken::new()).await.unwrap();
    assert_eq!(world.alerts().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_group_that_nobody_ever_read_for_raises_an_alert_when_its_messages_have_waited_a_day() {
    let world = World::new();
    world.bus().ensure_group(ChannelName::Echo, "builder").await.unwrap();
    tokio::time::sleep(DAY * 3).await;
    let look =
        async || trimmer(&world, 365, 1_000).look_for_idle_groups(None, &CancellationToken::new()).await.unwrap();
    look().await;
    assert_eq!(world.alerts().await, [], "nothing waits for it");
    say(&world, &["a", "b"]).await;
    tokio::time::sleep(Duration::from_hours(23)).await;
    look().await;
    assert_eq!(world.alerts().await, []);
    tokio::time::sleep(Duration::from_hours(2)).await;
    look().await;
    let alerts = world.alerts().await;
    assert_eq!(alerts.len(), 1);
    assert!(alerts[0].message.contains("`builder` for 25 hours; 2 messages wait"), "{alerts:?}");
}

#[tokio::test(start_paused = true)]
async fn a_trimmer_that_is_to_stop_begins_no_further_channel() {
    let world = World::new();
    say(&world, &["a", "b"]).await;
    let stop = CancellationToken::new();
    stop.cancel();
    assert_eq!(trimmer(&world, 7, 0).trim(&stop).await, Ok(0));
    assert_eq!(world.asked().await, ["a", "b"]);
}
