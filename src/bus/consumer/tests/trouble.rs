//! What a consumer does when the bus is away, emptied or meddled with, and when its own slot is lost.

use pretty_assertions::assert_eq;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_bus_that_is_away_is_waited_for() {
    let world = World::new();
    let store = Arc::new(world.store.another());
    world.say("before").await;
    store.fail_next(40, BusError::Unreachable("refused".to_owned()));
    let running = start(world.consumer_on(Arc::clone(&store) as SharedBus, 1, |_, _| Act::Handle));
    world.until_handled(1).await;
    store.fail_next(40, BusError::ReadOnly { reason: "MISCONF".into(), fix: "make room".into() });
    world.say("during").await;
    world.until_handled(2).await;
    stopped(running).await;
    assert_eq!(world.starts("during"), [1], "a bus that is away is no attempt");
}

#[tokio::test(start_paused = true)]
async fn a_group_deleted_by_hand_is_made_again_with_an_alert_and_nothing_is_repeated() {
    let world = World::new();
    for n in 0..5 {
        world.say(&format!("m{n}")).await;
    }
    let running = start(world.consumer(1, |_, _| Act::Handle));
    world.until_handled(5).await;
    assert!(world.store.delete_group(ChannelName::Echo, "echo"));
    world.say("after").await;
    world.until_handled(6).await;
    stopped(running).await;
    assert!(world.handled().await.values().all(|times| *times == 1), "{:?}", world.handled().await);
    assert_eq!(world.alerts().await, 1);
}

#[tokio::test(start_paused = true)]
async fn everything_deleted_is_survived() {
    let world = World::new();
    world.say("before").await;
    let running = start(world.consumer(1, |_, _| Act::Handle));
    world.until_handled(1).await;
    world.store.flush_all();
    world.say("after").await;
    world.until(async |world| world.handled().await.contains_key("after")).await;
    stopped(running).await;
}

#[tokio::test(start_paused = true)]
async fn an_expired_message_is_not_handled_and_not_silent() {
    let world = World::new();
    let soon = world.clock.now() + chrono::TimeDelta::seconds(5);
    world.say_with(Draft::new(Echoes::from(EchoRequest { text: "stale".into() })).expires_at(soon)).await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    let running = start(world.consumer(1, |_, _| Act::Handle));
    world.until(async |world| !world.letters().await.is_empty()).await;
    stopped(running).await;
    assert_eq!(world.letters().await[0].0, DeadLetterCode::Expired);
    assert!(world.starts("stale").is_empty());
}

#[tokio::test(start_paused = true)]
async fn entries_that_are_no_messages_become_dead_letters() {
    let world = World::new();
    let mut message =
        world.origin().compose::<grants::ControlRoom, _>(ECHO, Echoes::from(EchoRequest { text: "x".into() })).unwrap();
    message.body = "not json \u{0}".to_owned();
    world.bus().commit(vec![Commit::of(vec![Op::Append(message)])]).await.unwrap();
    world.say("fine").await;
    let running = start(world.consumer(1, |_, _| Act::Handle));
    world.until_handled(1).await;
    world.until(async |world| !world.letters().await.is_empty()).await;
    stopped(running).await;
    assert_eq!(world.letters().await[0].0, DeadLetterCode::Malformed);
}

#[tokio::test(start_paused = true)]
async fn messages_that_vanished_are_said_aloud() {
    let world = World::new();
    world.say("doomed").await;
    world.bus().ensure_group(ChannelName::Echo, "echo").await.unwrap();
    let dead = Reader { group: "echo".into(), consumer: "echo@elsewhere#0".into() };
    let want = crate::bus::Want { start: 1, ahead: 0 };
    let read = world.bus().read(&dead, &[ChannelName::Echo], want, Duration::ZERO).await.unwrap();
    assert!(world.store.delete_entry(ChannelName::Echo, read[0].entry.id));
    let running = start(world.consumer(1, |_, _| Act::Handle));
    world.until(async |world| world.alerts().await > 0).await;
    stopped(running).await;
    assert_eq!(world.pending().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_foreign_type_under_a_key_fails_the_attempt_and_nothing_else() {
    let world = World::new();
    let foreign = Op::State { key: Key::new("handled"), change: StateChange::SetString("not a document".into()) };
    let outcomes = world.bus().commit(vec![Commit::of(vec![foreign])]).await.unwrap();
    assert!(matches!(outcomes[0], Outcome::Committed(_)));
    world.say("m").await;
    let running = start(world.consumer(1, |_, _| Act::Handle));
    world.until(async |world| !world.letters().await.is_empty()).await;
    stopped(running).await;
    let (code, attempts, reason) = world.letters().await.remove(0);
    assert_eq!((code, attempts), (DeadLetterCode::Exhausted, 5));
    assert!(reason.contains("`handled` holds a string"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn two_consumers_on_one_host_take_two_slots_and_a_lost_one_ends_its_consumer() {
    let world = World::new();
    let first = start(world.consumer(1, |_, _| Act::Handle));
    let second = start(world.consumer(1, |_, _| Act::Handle));
    let bus = world.bus();
    world
        .until(async |world| {
            let info = world.bus().inspect(ChannelName::Echo).await.unwrap();
            info.groups.first().is_some_and(|group| group.consumers.len() == 2)
        })
        .await;
    let info = bus.inspect(ChannelName::Echo).await.unwrap();
    let names: Vec<&str> = info.groups[0].consumers.iter().map(|consumer| consumer.consumer.as_str()).collect();
    assert_eq!(names, ["echo@localhost#0", "echo@localhost#1"]);
    stopped(first).await;
    stopped(second).await;
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_was_lost_is_given_up() {
    let world = World::new();
    let store = Arc::new(world.store.another());
    world.say("first").await;
    let running = start(world.consumer_on(Arc::clone(&store) as SharedBus, 1, |_, _| Act::Handle));
    world.until_handled(1).await;
    store.fail_next(1_000_000, BusError::Unreachable("a test".to_owned()));
    // Its lease lapses, another has it for a while, and leaves.
    tokio::time::sleep(Duration::from_secs(10)).await;
    let taken = world.bus().lease("slot:echo@localhost#0", "another", Duration::from_mins(1)).await.unwrap();
    assert!(taken.is_some());
    world.bus().unlease("slot:echo@localhost#0", "another").await.unwrap();
    store.fail_next(0, BusError::Closed);
    world.say("second").await;
    world.until_handled(2).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let info = world.bus().inspect(ChannelName::Echo).await.unwrap();
    let names: Vec<&str> = info.groups[0].consumers.iter().map(|consumer| consumer.consumer.as_str()).collect();
    assert_eq!(names, ["echo@localhost#0"], "the slot that it has just given up is the first free one");
    stopped(running).await;
}
