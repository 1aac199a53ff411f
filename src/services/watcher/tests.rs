use std::sync::Arc;

use pretty_assertions::assert_eq;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::bus::testing::World;
use crate::bus::{Consumer, ConsumerOptions, Op, Outgoing, State, StateChange};
use crate::contracts::Envelope;

/// Says a body on `discord_raw`, waits until it is handled, and returns what came of it: channel, envelope, body.
async fn heard(world: &World, trust: Trust, body: Value) -> Vec<(ChannelName, Envelope, Value)> {
    let channel = ChannelName::DiscordRaw;
    channel.check(&body.to_string()).unwrap();
    let kind = body["type"].as_str().unwrap().to_owned();
    let envelope = world.origin(trust).envelope(kind, "control_room");
    let cause = envelope.id;
    world.say(Outgoing::new(channel, envelope, body.to_string()).unwrap()).await;
    let watcher = Watcher::new(Mind::default(), Arc::default(), Arc::clone(&world.clock));
    let consumer =
        Consumer::new(world.bus(), watcher, ConsumerOptions::default(), world.clock.clone(), world.ids.clone());
    let stop = CancellationToken::new();
    let running = tokio::spawn({
        let stop = stop.clone();
        async move { consumer.run(stop).await }
    });
    world
        .until(async |world| {
            let groups = world.bus().inspect(channel).await.unwrap().groups;
            groups.len() == 1 && groups[0].pending == 0 && groups[0].lag == Some(0)
        })
        .await;
    stop.cancel();
    running.await.unwrap().unwrap();
    let mut said = Vec::new();
    for channel in [
        ChannelName::ToOrchestrator,
        ChannelName::FromOrchestrator,
        ChannelName::Schedules,
        ChannelName::Control,
        ChannelName::DeadLetter,
    ] {
        for entry in world.entries(channel).await {
            let message = entry.message().unwrap();
            if message.envelope.cause == Some(cause) {
                said.push((channel, message.envelope.clone(), serde_json::from_str(&entry.b).unwrap()));
            }
        }
    }
    said
}

fn chat(content: &str) -> Value {
    json!({ "type": "discord_message", "message_id": "7", "channel_id": "42", "channel_name": "gtm", "username": "mara",
        "user_id": "5551", "content": content, "mentions_bot": false })
}

fn command(name: &str, text: &str) -> Value {
    json!({ "type": "command", "payload": { "command": name, "args": { "content": text, "channel_id": "42" } }, "user_id": "5551" })
}

#[tokio::test(start_paused = true)]
async fn an_idea_is_handed_on_with_its_words_and_whom_to_answer() {
    let world = World::new();
    let said = heard(&world, Trust::Member, chat("What if we scraped GitHub stargazers?")).await;
    let [(ChannelName::ToOrchestrator, envelope, escalation)] = said.as_slice() else { panic!("{said:?}") };
    assert_eq!(
        (envelope.kind.as_ref(), envelope.source.as_ref(), envelope.trust),
        ("escalation", "watcher", Trust::Member)
    );
    assert_eq!(escalation["original_message"]["content"], "What if we scraped GitHub stargazers?");
    assert_eq!(escalation["original_message"]["channel_id"], "42");
    assert!(!escalation["reason"].as_str().unwrap().is_empty());
    assert!(escalation["context"].get("command").is_none(), "nothing that people type is a command by itself");
}

#[tokio::test(start_paused = true)]
async fn a_question_about_how_things_stand_is_answered_from_state() {
    let world = World::new();
    for (id, state) in [("exp_1", "running"), ("exp_2", "ready"), ("exp_3", "archived")] {
        let fields = vec![("state".to_owned(), Some(state.to_owned()))];
        let key = Key::new(keys::experiment(id).unwrap());
        world.commit(vec![Op::Change { key, expect: Expect::Any, fields, ttl: Ttl::Keep }]).await;
    }
    world
        .commit(vec![Op::State { key: Key::new(keys::STATUS), change: StateChange::SetString("paused".to_owned()) }])
        .await;
    for asked in [chat("how many experiments are running?"), chat("/status"), command("status", "")] {
        let said = heard(&world, Trust::Member, asked).await;
        let [(ChannelName::FromOrchestrator, _, reply)] = said.as_slice() else { panic!("{said:?}") };
        assert_eq!((reply["type"].as_str(), reply["channel_id"].as_str()), (Some("watcher_response"), Some("42")));
        let content = reply["content"].as_str().unwrap().to_lowercase();
        assert!(content.contains('2') && content.contains('1'), "two that are not archived, one running: {content}");
        assert!(content.contains("hold") || content.contains("paused"), "{content}");
    }
}

#[tokio::test(start_paused = true)]
async fn said_to_the_team_by_name_the_same_question_has_the_same_answer() {
    let world = World::new();
    let mut named = chat("how many experiments are running?");
    named["mentions_bot"] = json!(true);
    let said = heard(&world, Trust::Member, named).await;
    let [(ChannelName::FromOrchestrator, _, reply)] = said.as_slice() else { panic!("{said:?}") };
    assert!(reply["content"].as_str().unwrap().contains("There are 0 experiments"), "{reply}");
}

#[tokio::test(start_paused = true)]
async fn a_telephone_may_write_commands_with_a_capital_and_an_unknown_one_is_told() {
    let world = World::new();
    let said = heard(&world, Trust::Member, chat("/Status")).await;
    assert!(said[0].2["content"].as_str().unwrap().starts_with("The team is running."), "{said:?}");
    let said = heard(&world, Trust::Member, chat("/statsu now")).await;
    let [(ChannelName::FromOrchestrator, _, reply)] = said.as_slice() else { panic!("{said:?}") };
    let told = reply["content"].as_str().unwrap();
    assert!(told.contains("no command /statsu") && told.contains("/wtf"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn an_idea_is_handed_on_without_the_command_that_it_was_said_with() {
    let world = World::new();
    let said = heard(&world, Trust::Member, chat("/idea mail everyone who starred us")).await;
    let handed = said.iter().find(|(channel, ..)| *channel == ChannelName::ToOrchestrator).unwrap();
    assert_eq!(handed.2["original_message"]["content"], "mail everyone who starred us");
}

#[tokio::test(start_paused = true)]
async fn what_needs_nothing_gets_nothing() {
    let world = World::new();
    assert_eq!(heard(&world, Trust::Member, chat("🎉🎉")).await, []);
}

#[tokio::test(start_paused = true)]
async fn pause_holds_and_go_needs_a_member() {
    let world = World::new();
    for trust in [Trust::External, Trust::Member] {
        let said = heard(&world, trust, chat("/pause the sender is blocked")).await;
        assert_eq!(said[1].2["type"], "hold");
        assert_eq!(
            (said[1].2["reason"].as_str(), said[1].2["by"].as_str()),
            (Some("the sender is blocked"), Some("5551"))
        );
        assert_eq!(said[1].1.priority, Priority::Urgent);
        let told = said[0].2["content"].as_str().unwrap();
        assert_eq!(told.starts_with("Holding"), trust == Trust::Member, "whoever is outside only asks: {told}");
    }
    let refused = heard(&world, Trust::External, command("go", "")).await;
    let [(ChannelName::FromOrchestrator, _, reply)] = refused.as_slice() else { panic!("{refused:?}") };
    assert!(reply["content"].as_str().unwrap().contains("Only a member"));
    let gone = heard(&world, Trust::Member, command("go", "")).await;
    assert_eq!(gone[1].2["type"], "go");
}

#[tokio::test(start_paused = true)]
async fn what_people_focus_on_and_learn_goes_to_the_orchestrator_as_a_command() {
    let world = World::new();
    for (body, name) in [
        (chat("/focus enterprise"), "focus"),
        (command("learn", "enterprise"), "learn"),
        (command("idea", "enterprise"), "idea"),
        (json!({ "type": "idea_submit", "payload": { "content": "enterprise", "source_channel": "42" } }), "idea"),
    ] {
        let said = heard(&world, Trust::Member, body).await;
        assert_eq!(said[0].0, ChannelName::ToOrchestrator);
        assert_eq!(
            (&said[0].2["context"]["command"], &said[0].2["context"]["text"]),
            (&json!(name), &json!("enterprise"))
        );
        assert_eq!(said.get(1).map(|(_, _, body)| &body["type"]), Some(&json!("idea_ack")).filter(|_| name == "idea"));
    }
    let empty = heard(&world, Trust::Member, chat("/learn")).await;
    assert!(empty[0].2["content"].as_str().unwrap().contains("/learn TEXT"));
}

#[tokio::test(start_paused = true)]
async fn a_finished_action_is_recorded_and_reported() {
    let world = World::new();
    let body = json!({ "type": "action_complete", "payload": { "action_id": "0d6f", "status": "completed", "completed_by": "5551", "username": "mara" } });
    let said = heard(&world, Trust::Member, body).await;
    assert_eq!(said[0].2["context"]["command"], "action_complete");
    let Some(State::Hash(record)) = world.bus().get(&Key::new("actions:0d6f")).await.unwrap() else { panic!() };
    assert_eq!((record.get("state"), record.get("completed_by")), (Some("done"), Some("5551")));
}

#[tokio::test(start_paused = true)]
async fn what_a_person_says_of_an_act_that_nobody_knew_goes_to_the_executor() {
    let world = World::new();
    let fields = [("kind", "email"), ("state", "unknown"), ("experiment_id", "exp_1"), ("run_id", "r1")];
    let fields = fields.map(|(name, text)| (name.to_owned(), Some(text.to_owned()))).to_vec();
    let (key, expect) = (Key::new("actions:0d6f"), crate::bus::Expect::Any);
    world.commit(vec![crate::bus::Op::Change { key, expect, fields, ttl: crate::bus::Ttl::Keep }]).await;
    let body = json!({ "type": "action_complete", "payload": { "action_id": "0d6f", "status": "completed", "completed_by": "mara" } });
    let said = heard(&world, Trust::Operator, body).await;
    let (_, _, due) = said.iter().find(|(channel, ..)| *channel == ChannelName::Schedules).unwrap();
    assert_eq!((&due["what"], &due["action_id"], &due["run_id"]), (&json!("answer"), &json!("0d6f"), &json!("r1")));
}

#[tokio::test(start_paused = true)]
async fn what_happened_is_told_with_its_reasons() {
    let world = World::new();
    let nothing = heard(&world, Trust::Member, chat("/wtf")).await;
    assert_eq!(nothing[0].2["content"], "Nothing happened in the last hour.");
    let failed = json!({ "type": "experiment_failed", "experiment_id": "exp_1", "run_id": "r1", "error": "no leads" });
    let envelope = world.origin(Trust::System).envelope("experiment_failed", "executor");
    world.say(Outgoing::new(ChannelName::ExperimentResults, envelope, failed.to_string()).unwrap()).await;
    let told = heard(&world, Trust::Member, chat("/wtf")).await;
    let content = told[0].2["content"].as_str().unwrap();
    assert!(content.contains("exp_1 failed: no leads"), "{content}");
}

async fn product(world: &World) -> String {
    NoteState::read(&world.bus(), NoteName::ProductContext).await.unwrap().text
}

#[tokio::test(start_paused = true)]
async fn what_the_operator_says_is_sold_is_the_product_context_where_there_is_none() {
    let world = World::new();
    let said = heard(&world, Trust::Operator, chat("We sell a build cache to platform teams.")).await;
    assert_eq!(product(&world).await, "# Product context\n\nWe sell a build cache to platform teams.\n");
    let [(channel, _, body)] = &said[..] else { panic!("{said:?}") };
    assert_eq!(*channel, ChannelName::FromOrchestrator);
    assert!(body["content"].as_str().unwrap().starts_with("Noted: what we sell"), "{body}");
    // It was an answer once; now such words are a message like any other.
    let said = heard(&world, Trust::Operator, chat("We sell it to banks, too.")).await;
    assert_eq!(said[0].0, ChannelName::ToOrchestrator);
    heard(&world, Trust::Operator, command("product", "It costs 200 dollars a month.")).await;
    assert!(product(&world).await.ends_with("platform teams.\n\nIt costs 200 dollars a month.\n"));
}

#[tokio::test(start_paused = true)]
async fn nobody_else_says_what_is_sold() {
    let world = World::new();
    let said = heard(&world, Trust::Member, command("product", "We sell tea.")).await;
    assert!(said[0].2["content"].as_str().unwrap().contains("control room"), "{said:?}");
    heard(&world, Trust::Member, chat("We sell tea.")).await;
    assert_eq!(product(&world).await, "");
}
