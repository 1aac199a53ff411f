//! Dead letters that are refused, flood or go back, and channels that cannot be read.

use pretty_assertions::assert_eq;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_bare_body_in_the_stream_is_handled_as_a_message_from_outside() {
    let world = World::new();
    let (sender, source) = tokio::sync::mpsc::channel(2);
    for (seq, text) in [(0, "bare"), (1, "gone")] {
        let b = format!(r#"{{"type":"echo_request","text":"{text}"}}"#);
        let id = crate::bus::EntryId { ms: 1_799_999_999_000, seq };
        let record = crate::bus::Record::Entry { channel: ChannelName::Echo, id, e: String::new(), b };
        sender.send(record).await.unwrap();
    }
    drop(sender);
    world.bus().import(source).await.unwrap();
    let running = start(world.consumer(1, |text, _| if text == "gone" { Act::Terminal } else { Act::Handle }));
    world.until_handled(1).await;
    world.until(async |world| !world.letters().await.is_empty()).await;
    stopped(running).await;
    assert_eq!(world.starts("bare"), [1]);
    let entries = world.bus().range(ChannelName::DeadLetter, Range::newest(1)).await.unwrap();
    let (envelope, letter) = (entries[0].message().unwrap().envelope, letters::read(&entries[0]).unwrap());
    assert_eq!((envelope.trust, letter.code), (Trust::External, DeadLetterCode::Terminal));
    assert_eq!(letter.original_body, r#"{"type":"echo_request","text":"gone"}"#);
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_that_is_refused_waits_with_one_alert_and_the_others_go_on() {
    let world = World::new();
    world.spoil(ChannelName::DeadLetter);
    for n in 0..20 {
        world.say(&format!("never{n}")).await;
        world.say(&format!("good{n}")).await;
    }
    let consumer = world.consumer(4, |text, _| if text.starts_with("never") { Act::Terminal } else { Act::Handle });
    let counts = consumer.counts();
    let running = start(consumer);
    world.until_handled(20).await;
    tokio::time::sleep(Duration::from_mins(20)).await;
    assert_eq!(world.pending().await, 20, "those that cannot be given up stay pending");
    assert_eq!(counts.holding.load(Ordering::Relaxed), 20);
    let trouble = counts.trouble.borrow().clone();
    assert!(trouble.is_some_and(|text| text.starts_with("dead letters are refused: `fullsend:dead_letter:stream`")));
    assert!((0..20).all(|n| world.starts(&format!("never{n}")) == [1]), "waiting is no attempt");
    let alerted = world.alerted().await;
    assert_eq!(alerted.len(), 1, "{alerted:?}");
    assert_eq!(alerted[0].0, "dead-letter-refused:echo:echo");
    assert!(alerted[0].1.contains("a stream belongs there"), "{alerted:?}");
    world.mend(ChannelName::DeadLetter).await;
    let mended = tokio::time::Instant::now();
    world.until(async |world| world.letters().await.len() == 20).await;
    assert!(mended.elapsed() <= Duration::from_secs(61), "it took {:?}", mended.elapsed());
    assert_eq!(world.pending().await, 0);
    assert_eq!(*counts.trouble.borrow(), None);
    stopped(running).await;
}

#[tokio::test(start_paused = true)]
async fn an_alert_that_is_refused_does_not_keep_the_dead_letter() {
    let world = World::new();
    world.spoil(ChannelName::Alerts);
    world.say("never").await;
    let running = start(world.consumer(1, |_, _| Act::Terminal));
    world.until(async |world| world.letters().await.len() == 1).await;
    assert_eq!(world.pending().await, 0);
    stopped(running).await;
}

#[tokio::test(start_paused = true)]
async fn letters_that_wait_go_back_when_the_consumer_stops() {
    let world = World::new();
    world.spoil(ChannelName::DeadLetter);
    world.say("never").await;
    let running = start(world.consumer(1, |_, _| Act::Terminal));
    world.until(async |world| world.alerts().await == 1).await;
    stopped(running).await;
    world.mend(ChannelName::DeadLetter).await;
    let running = start(world.consumer(1, |_, _| Act::Terminal));
    world.until(async |world| world.letters().await.len() == 1).await;
    stopped(running).await;
    assert_eq!(world.starts("never"), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_dead_letters_is_one_alert_a_minute_that_counts_them() {
    let world = World::new();
    for n in 0..50 {
        world.say(&format!("m{n}")).await;
    }
    let running = start(world.consumer(4, |_, _| Act::Terminal));
    world.until(async |world| world.letters().await.len() == 50).await;
    assert_eq!(world.alerts().await, 1);
    tokio::time::sleep(Duration::from_secs(61)).await;
    world.say("one more").await;
    world.until(async |world| world.letters().await.len() == 51).await;
    stopped(running).await;
    let alerted = world.alerted().await;
    assert_eq!(alerted.len(), 2);
    assert!(alerted.iter().all(|(id, _)| id == "dead-letter:echo:echo:terminal"), "{alerted:?}");
    assert!(alerted[1].1.contains("and 49 more"), "{alerted:?}");
}

#[tokio::test(start_paused = true)]
async fn messages_that_vanished_are_said_aloud_when_they_are_handed_back() {
    let world = World::new();
    world.say("long").await;
    world.say("doomed").await;
    let running = start(world.consumer(1, |_, _| Act::Work(Duration::from_secs(5))));
    world.until(async |world| world.pending().await == 2).await;
    let newest = world.bus().range(ChannelName::Echo, Range::newest(1)).await.unwrap();
    assert!(world.store.delete_entry(ChannelName::Echo, newest[0].id));
    stopped(running).await;
    let alerted = world.alerted().await;
    assert_eq!(alerted.len(), 1);
    assert!(alerted[0].1.starts_with("1 unhandled messages of fullsend:echo are gone"), "{alerted:?}");
}

#[tokio::test(start_paused = true)]
async fn a_channel_whose_stream_is_none_is_left_out_until_it_is_one_again() {
    for spoilt_at_start in [true, false] {
        let mut world = World::new();
        world.channels = vec![ChannelName::Metrics, ChannelName::Echo];
        if spoilt_at_start {
            world.spoil(ChannelName::Metrics);
        }
        world.say("before").await;
        let consumer = world.consumer(1, |_, _| Act::Handle);
        let counts = consumer.counts();
        let running = start(consumer);
        world.until_handled(1).await;
        world.spoil(ChannelName::Metrics);
        for n in 0..20 {
            world.say(&format!("m{n}")).await;
            tokio::time::sleep(Duration::from_mins(1)).await;
        }
        world.until_handled(21).await;
        let alerted = world.alerted().await;
        assert_eq!(alerted.len(), 1, "{alerted:?}");
        assert_eq!(alerted[0].0, "channel-left-out:echo:metrics");
        assert_eq!(counts.trouble.borrow().as_deref(), Some("fullsend:metrics is not read"));
        world.mend(ChannelName::Metrics).await;
        tokio::time::sleep(Duration::from_secs(61)).await;
        let groups = world.bus().inspect(ChannelName::Metrics).await.unwrap().groups;
        assert!(groups[0].idle.is_some_and(|idle| idle < Duration::from_secs(5)), "it is read again: {groups:?}");
        stopped(running).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_consumer_without_a_channel_that_can_be_read_ends_and_says_why() {
    let world = World::new();
    world.spoil(ChannelName::Echo);
    let (_, task) = start(world.consumer(1, |_, _| Act::Handle));
    let ended = task.await.unwrap();
    assert!(matches!(ended, Err(BusError::ForeignType { .. })), "{ended:?}");
    let slot = world.bus().lease("slot:echo@localhost#0", "another", Duration::from_secs(1)).await.unwrap();
    assert!(slot.is_some(), "its slot is free");
}

#[tokio::test(start_paused = true)]
async fn what_is_on_its_way_to_the_bus_is_kept_alive_while_the_consumer_stops() {
    let world = World::new();
    let store = Arc::new(world.store.another());
    store.fail_commits(BusError::ReadOnly { reason: "OOM".into(), fix: "make room".into() });
    world.say("never").await;
    let (stop, task) = start(world.consumer_on(Arc::clone(&store) as SharedBus, 1, |_, _| Act::Terminal));
    world.until(async |world| !world.starts("never").is_empty()).await;
    stop.cancel();
    let other = start(world.consumer(1, |_, _| Act::Handle));
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert_eq!(world.starts("never"), [1], "nobody takes it over while its commit is tried");
    task.await.unwrap().unwrap();
    world.until_handled(1).await;
    stopped(other).await;
}
