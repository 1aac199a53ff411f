//! The service in its consumer loop, on paused time: every wait takes no time and happens in order.

use std::sync::Arc;

use pretty_assertions::assert_eq;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::bus::testing::World;
use crate::bus::{Consumer, ConsumerOptions, Outgoing, letters};
use crate::contracts::messages::DeadLetterCode;
use crate::contracts::{Body, Envelope, Trust};

fn start(world: &World) -> CancellationToken {
    let options = ConsumerOptions { seed: Some(1), ..ConsumerOptions::default() };
    let consumer =
        Consumer::new(world.bus(), Echo::default(), options, Arc::clone(&world.clock), Arc::clone(&world.ids));
    let stop = CancellationToken::new();
    let token = stop.clone();
    tokio::spawn(async move { consumer.run(token).await });
    stop
}

async fn counted(world: &World, channel: ChannelName) -> Option<String> {
    let state = world.bus().get(&Echo::counter(channel)).await.unwrap()?;
    state.document()?.get("handled").map(str::to_owned)
}

/// Waits until the group has nothing to do any more, its own answers included.
async fn settled(world: &World) {
    world
        .until(async |world| {
            let groups = world.bus().inspect(ChannelName::Echo).await.unwrap().groups;
            groups.len() == 1 && groups.iter().all(|group| group.pending == 0 && group.lag == Some(0))
        })
        .await;
}

async fn envelopes(world: &World, channel: ChannelName) -> Vec<Envelope> {
    world.entries(channel).await.iter().map(|entry| entry.message().unwrap().envelope).collect()
}

#[tokio::test(start_paused = true)]
async fn a_request_is_answered_once_in_its_own_chain_and_counted_once() {
    for trust in [Trust::External, Trust::Operator] {
        let world = World::new();
        let mut request = world.request("is anybody there?");
        request.envelope.trust = trust;
        // A chain that began before this message, so that its trace is not its id.
        request.envelope.trace = world.ids.message(world.clock.now()).into();
        let asked = request.envelope.clone();
        world.say(request).await;
        start(&world);
        world.until(async |world| world.entries(ChannelName::Echo).await.len() >= 2).await;
        settled(&world).await;

        let entries = world.entries(ChannelName::Echo).await;
        assert_eq!(entries.len(), 2, "answers are not answered");
        let Echoes::Reply(reply) = Echoes::read(&entries[1].b).unwrap() else { panic!("{:?}", entries[1]) };
        assert_eq!((reply.text.as_str(), reply.by.as_str()), ("is anybody there?", "echo@localhost#0"));
        let answer = entries[1].message().unwrap().envelope;
        assert_eq!((answer.kind.as_ref(), answer.source.as_ref()), ("echo_reply", "echo"));
        assert_eq!((answer.trace, answer.cause), (asked.trace, Some(asked.id)));
        assert_eq!(answer.trust, trust);
        assert_eq!(counted(&world, ChannelName::Echo).await.as_deref(), Some("1"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_wrong_shape_becomes_a_dead_letter_of_the_same_chain() {
    let world = World::new();
    let envelope = world.origin(Trust::Member).envelope("echo_request", "control-room");
    let body = r#"{"type":"echo_request","text":7}"#;
    world.say(Outgoing::new(ChannelName::Echo, envelope.clone(), body.to_owned()).unwrap()).await;
    start(&world);
    world.until(async |world| !world.entries(ChannelName::DeadLetter).await.is_empty()).await;
    settled(&world).await;
    let kept = world.entries(ChannelName::DeadLetter).await;
    assert_eq!(kept.len(), 1);
    let letter = letters::read(&kept[0]).unwrap();
    assert_eq!((letter.code, letter.original_body.as_str()), (DeadLetterCode::Malformed, body));
    assert!(letter.reason.contains("text"), "{}", letter.reason);
    let of_letter = &envelopes(&world, ChannelName::DeadLetter).await[0];
    assert_eq!((of_letter.trace, of_letter.cause), (envelope.trace, Some(envelope.id)));
    assert!(of_letter.trust <= Trust::Member, "{:?}", of_letter.trust);
    assert_eq!(counted(&world, ChannelName::Echo).await, None, "what is not handled is not counted");
}
