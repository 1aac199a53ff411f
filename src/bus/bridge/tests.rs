//! On paused time: every wait takes no time and happens in order.

use pretty_assertions::assert_eq;
use tokio::task::JoinHandle;

use super::*;
use crate::bus::Bus as _;
use crate::bus::leased::hold;
use crate::bus::testing::World;
use crate::contracts::Priority;

type Holder = (CancellationToken, JoinHandle<Result<(), BusError>>);

/// A holder that listens.
async fn listening(world: &World) -> Holder {
    let before = mark(world).await;
    let stop = CancellationToken::new();
    let (token, bus, clock, ids) = (stop.clone(), world.bus(), Arc::clone(&world.clock), Arc::clone(&world.ids));
    let bridge = Bridge { bus: world.bus(), clock: Arc::clone(&clock), ids: Arc::clone(&ids) };
    let task = tokio::spawn(async move { hold(&bridge, &bus, &clock, &ids, token).await });
    world.until(async |world| mark(world).await != before).await;
    (stop, task)
}

async fn mark(world: &World) -> Option<String> {
    let state = world.bus().get(&Key::new(MARK_KEY)).await.unwrap()?;
    state.document()?.get("heard_until").map(str::to_owned)
}

async fn stopped((stop, task): Holder) {
    stop.cancel();
    task.await.unwrap().unwrap();
}

async fn letter(world: &World) -> crate::contracts::messages::DeadLetter {
    world.until(async |world| !world.entries(ChannelName::DeadLetter).await.is_empty()).await;
    let entries = world.entries(ChannelName::DeadLetter).await;
    assert_eq!(entries.len(), 1);
    letters::read(&entries[0]).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_bare_body_becomes_one_message_that_is_not_announced_again() {
    let world = World::new();
    let bridge = listening(&world).await;
    let mut ear = world.bus().listen(&[ChannelName::Echo]).await.unwrap();
    let body = r#"{"type":"echo_request","text":"bare","priority":"critical"}"#;
    world.store.publish_bare(ChannelName::Echo, body);
    world.until(async |world| !world.asked().await.is_empty()).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let entries = world.entries(ChannelName::Echo).await;
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].b, body);
    let envelope = entries[0].message().unwrap().envelope;
    assert_eq!((envelope.kind.as_ref(), envelope.source.as_ref()), ("echo_request", "bridge"));
    assert_eq!((envelope.trust, envelope.priority), (Trust::External, Priority::Urgent));
    assert_eq!((envelope.trace, envelope.cause), (envelope.id.into(), None));
    assert_eq!(ear.heard.try_recv().unwrap().envelope, None, "as it was published");
    assert!(ear.heard.try_recv().is_err(), "and not once more");
    stopped(bridge).await;
}

#[tokio::test(start_paused = true)]
async fn what_we_announced_ourselves_is_passed_over() {
    let world = World::new();
    world.say(world.request("before")).await;
    let bridge = listening(&world).await;
    world.say(world.request("after")).await;
    // An old announcement that arrives late.
    let old = world.entries(ChannelName::Echo).await[0].clone();
    world.store.publish_bare(ChannelName::Echo, &crate::bus::commit::announcement(&old.e, &old.b));
    tokio::time::sleep(Duration::from_secs(10)).await;
    stopped(bridge).await;
    assert_eq!(world.asked().await, ["before", "after"]);
    assert!(world.entries(ChannelName::DeadLetter).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_known_id_around_another_body_is_a_new_message_from_outside() {
    let world = World::new();
    let bridge = listening(&world).await;
    let real = world.request("real");
    world.say(real.clone()).await;
    let forged = Outgoing { body: r#"{"type":"echo_request","text":"forged"}"#.to_owned(), ..real.clone() };
    world.store.publish_bare(ChannelName::Echo, &forged.announcement());
    world.until(async |world| world.asked().await.len() >= 2).await;
    stopped(bridge).await;
    assert_eq!(world.asked().await, ["real", "forged"]);
    let envelope = world.entries(ChannelName::Echo).await[1].message().unwrap().envelope;
    assert_ne!(envelope.id, real.envelope.id);
    assert_eq!((envelope.source.as_ref(), envelope.trust), ("bridge", Trust::External));
}

#[tokio::test(start_paused = true)]
async fn nonsense_becomes_a_dead_letter_with_an_alert() {
    for nonsense in ["hello?", "[1,2]", r#"{"type":"echo_request"}"#, r#"{"type":"no_such_type"}"#] {
        let world = World::new();
        let bridge = listening(&world).await;
        world.store.publish_bare(ChannelName::Echo, nonsense);
        let letter = letter(&world).await;
        assert_eq!((letter.channel.as_str(), letter.code), ("fullsend:echo", DeadLetterCode::Malformed));
        assert_eq!((letter.original_body.as_str(), letter.group), (nonsense, None));
        let alerts = world.alerts().await;
        assert_eq!(alerts.len(), 1);
        assert_eq!(alerts[0].alert_id, "dead-letter:bus:echo:malformed");
        let envelope = world.entries(ChannelName::DeadLetter).await[0].message().unwrap().envelope;
        assert_eq!(envelope.trust, Trust::External);
        assert!(world.entries(ChannelName::Echo).await.is_empty());
        stopped(bridge).await;
    }
}

#[tokio::test(start_paused = true)]
async fn where_only_the_team_speaks_a_bare_body_is_a_dead_letter() {
    for (channel, name) in [
        (ChannelName::Proposals, "proposal"),
        (ChannelName::Approvals, "approval_completed"),
        (ChannelName::Alerts, "alert_triggered"),
        (ChannelName::Audit, "audit_record"),
        (ChannelName::DeadLetter, "dead_letter"),
    ] {
        let world = World::new();
        let bridge = listening(&world).await;
        let body = crate::contracts::schema::find(name).unwrap().example().to_string();
        world.store.publish_bare(channel, &body);
        let letter = letter(&world).await;
        assert_eq!((letter.channel.as_str(), letter.code), (channel.as_str(), DeadLetterCode::Malformed));
        let said =
            format!("published bare: only the team speaks on {channel}; what `bridge` says there does not count");
        assert_eq!(letter.reason, said);
        assert!(
            channel == ChannelName::DeadLetter
                || channel == ChannelName::Alerts
                || world.entries(channel).await.is_empty()
        );
        stopped(bridge).await;
    }
}

#[tokio::test(start_paused = true)]
async fn of_a_body_of_3_mib_the_beginning_is_kept_as_a_dead_letter() {
    let world = World::new();
    let bridge = listening(&world).await;
    let body = format!(r#"{{"type":"echo_request","text":"{}"}}"#, "ü".repeat(3 * 512 * 1024));
    world.store.publish_bare(ChannelName::Echo, &body);
    let letter = letter(&world).await;
    assert_eq!(letter.original_body.len(), BODY_LIMIT - 1, "up to a whole character");
    assert!(body.starts_with(&letter.original_body));
    let cut = letter.body_cut.unwrap();
    assert_eq!(cut.bytes, body.len() as u64);
    assert_eq!(cut.sha256, format!("{:x}", Sha256::digest(&body)));
    assert!(world.entries(ChannelName::Echo).await.is_empty());
    stopped(bridge).await;
}

#[tokio::test(start_paused = true)]
async fn a_gap_between_two_holders_is_said_with_both_times() {
    let world = World::new();
    let first = listening(&world).await;
    assert_eq!(world.alerts().await, [], "there was no holder before the first");
    stopped(first).await;
    let from = world.clock.now();
    tokio::time::sleep(Duration::from_secs(90)).await;
    let to = world.clock.now();
    stopped(listening(&world).await).await;
    let alerts = world.alerts().await;
    assert_eq!(alerts.len(), 1);
    assert_eq!(alerts[0].alert_id, "bridge-gap");
    let said = &alerts[0].message;
    assert!(said.contains(&rfc3339(from)) && said.contains(&rfc3339(to)) && said.contains("90.0 s"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn what_was_heard_before_the_end_is_still_wrapped() {
    let world = World::new();
    let (stop, task) = listening(&world).await;
    world.store.publish_bare(ChannelName::Echo, r#"{"type":"echo_request","text":"last"}"#);
    stop.cancel();
    task.await.unwrap().unwrap();
    assert_eq!(world.asked().await, ["last"]);
}

#[tokio::test(start_paused = true)]
async fn what_we_announce_is_known_also_where_the_stream_begins_again_with_lower_ids() {
    let world = World::new();
    let later = crate::bus::memory::MemoryBus::new(Arc::new(crate::contracts::TokioClock::from(
        world.clock.now() + chrono::TimeDelta::days(365),
    )));
    later.commit(vec![Commit::of(vec![Op::Append(world.request("of next year"))])]).await.unwrap();
    world.store.adopt(&later, ChannelName::Echo);
    let bridge = listening(&world).await;
    world.store.adopt(&crate::bus::memory::MemoryBus::new(Arc::clone(&world.clock)), ChannelName::Echo);
    world.say(world.request("one")).await;
    world.say(world.request("two")).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    stopped(bridge).await;
    assert_eq!(world.asked().await, ["one", "two"], "nothing is wrapped a second time");
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_nonsense_is_one_alert() {
    let world = World::new();
    let bridge = listening(&world).await;
    for n in 0..40 {
        world.store.publish_bare(ChannelName::Echo, &format!("nonsense {n}"));
    }
    world.until(async |world| world.entries(ChannelName::DeadLetter).await.len() == 40).await;
    stopped(bridge).await;
    assert_eq!(world.alerts().await.len(), 1);
}
