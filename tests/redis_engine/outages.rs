//! A server that dies, is silent, or is another one; and a bus that was closed.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use fullsend::bus::{
    Bus, BusError, Commit, Consumer, ConsumerOptions, EntryId, Level, Origin, Outcome, Range, RedisBus, RedisOptions,
    Sender, SharedBus,
};
use fullsend::contracts::channel::grants;
use fullsend::contracts::messages::{EchoRequest, Echoes};
use fullsend::contracts::wiring::ECHO;
use fullsend::contracts::{ChannelName, Clock, Ids, SystemClock, Trust};
use fullsend::services::echo::Echo;
use tokio_util::sync::CancellationToken;

use crate::redis_server::{RedisServer, Settings};
use crate::{CHANNEL, GROUP, ONE, PATIENCE, STREAM, append, blocked, committed, connect, options, reader};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_by_a_kill_of_the_server() {
    let mut server = RedisServer::durable();
    let bus = connect(&server).await;
    bus.ensure_group(CHANNEL, GROUP).await.unwrap();
    let tasks: Vec<_> = (0..8_u64)
        .map(|task| {
            let bus = bus.clone();
            tokio::spawn(async move {
                let mut said = Vec::new();
                for n in 0.. {
                    match bus.commit(vec![append(task * 1_000_000 + n)]).await {
                        Ok(outcomes) => match &outcomes[0] {
                            Outcome::Committed(ids) => said.push(ids[0]),
                            other => panic!("{other:?}"),
                        },
                        Err(error) => {
                            assert!(error.is_passing(), "{error:?}");
                            return said;
                        }
                    }
                }
                said
            })
        })
        .collect();
    while bus.inspect(CHANNEL).await.is_ok_and(|info| info.length < 300) {}
    server.kill();
    let mut said = Vec::new();
    for task in tasks {
        said.extend(task.await.unwrap());
    }
    let down = bus.health().await.unwrap();
    assert!(!down.reachable && down.findings[0].level == Level::Error);
    assert!(matches!(bus.commit(vec![append(1)]).await, Err(BusError::Unreachable(_))));
    server.restart();
    let found = loop {
        match bus.range(CHANNEL, Range::after(EntryId::ZERO, 1_000_000)).await {
            Ok(found) => break found,
            Err(error) => assert!(error.is_passing(), "{error:?}"),
        }
    };
    let found: HashSet<_> = found.iter().map(|entry| entry.id).collect();
    assert!(said.len() >= 300);
    assert!(said.iter().all(|id| found.contains(id)), "{} of {} found", found.len(), said.len());
    let read = bus.read(&reader("a"), &[CHANNEL], ONE, PATIENCE).await.unwrap();
    assert_eq!(Some(&read[0].entry.id), found.iter().min());
}

#[tokio::test]
async fn a_consumer_goes_on_after_its_server_was_killed_and_started_again() {
    let mut server = RedisServer::durable();
    let bus: SharedBus = connect(&server).await;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let ids = Arc::new(Ids::seeded(5));
    let echo = Echo::default();
    let options = ConsumerOptions::default();
    let consumer = Consumer::new(bus.clone(), echo, options, clock.clone(), ids.clone());
    let stop = CancellationToken::new();
    let running = tokio::spawn({
        let stop = stop.clone();
        async move { consumer.run(stop).await }
    });
    let origin = Origin::new(clock, ids, Trust::Operator);
    let sender = Sender::<grants::ControlRoom>::new(bus.clone(), origin, PATIENCE);
    let counter = Echo::counter(ChannelName::Echo);
    for round in 1..=3 {
        let text = format!("round {round}");
        let request = EchoRequest { text };
        sender.send(ECHO, Echoes::from(request)).await.unwrap();
        let handled = async {
            loop {
                let state = bus.get(&counter).await.ok().flatten();
                let count = state.and_then(|state| state.document()?.get("handled")?.parse::<u32>().ok());
                if count == Some(round) {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, handled).await.unwrap();
        server.kill();
        server.restart();
    }
    stop.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn sentinel_is_asked_where_the_master_is() {
    let first = RedisServer::fleeting();
    let second = RedisServer::fleeting();
    let port = first.port().to_string();
    let sentinel = RedisServer::start(Settings {
        sentinel: true,
        more: ["--sentinel", "monitor", "main", "127.0.0.1", &port, "1"].map(str::to_owned).to_vec(),
        ..Settings::default()
    });
    let url = format!("redis+sentinel://127.0.0.1:1,127.0.0.1:{}/main/0", sentinel.port());
    let bus = RedisBus::connect(options(url)).await.unwrap();
    committed(&bus, append(1)).await;
    // Another server becomes the master, and the first is gone.
    let mut asked = sentinel.connection();
    let port = second.port().to_string();
    let _: () = redis::cmd("SENTINEL").arg(&["REMOVE", "main"]).query(&mut asked).unwrap();
    let monitor = ["MONITOR", "main", "127.0.0.1", &port, "1"];
    let _: () = redis::cmd("SENTINEL").arg(&monitor).query(&mut asked).unwrap();
    drop(first);
    while bus.commit(vec![append(2)]).await.is_err() {}
    assert_eq!(bus.inspect(CHANNEL).await.unwrap().length, 1);
    assert_eq!(second.run(&["XLEN", STREAM]), redis::Value::Int(1));
}

#[tokio::test]
async fn a_sentinel_may_have_a_password_of_its_own_or_its_masters() {
    let settings = Settings { password: Some("of-master".to_owned()), ..Settings::default() };
    let master = RedisServer::start(settings);
    let port = master.port().to_string();
    for (own, given, is_taken) in [
        (None, None, true),
        (Some("of-master"), None, true),
        (Some("of-sentinel"), Some("of-sentinel"), true),
        (Some("of-sentinel"), None, false),
        (Some("of-sentinel"), Some("of-master"), false),
    ] {
        let sentinel = RedisServer::start(Settings {
            sentinel: true,
            password: own.map(str::to_owned),
            more: ["--sentinel", "monitor", "main", "127.0.0.1", &port, "1"].map(str::to_owned).to_vec(),
            ..Settings::default()
        });
        let url = format!("redis+sentinel://:of-master@127.0.0.1:{}/main/0", sentinel.port());
        let given = given.map(secrecy::SecretString::from);
        let connected = RedisBus::connect(RedisOptions { sentinel_password: given, ..options(url) }).await;
        match connected {
            Ok(_) => assert!(is_taken),
            Err(error) => {
                assert!(!is_taken, "{error}");
                let text = error.to_string();
                assert!(text.contains("`bus.sentinel_password`") && !text.contains("of-"), "{text}");
            }
        }
    }
}

#[tokio::test]
async fn a_silent_server_is_told_from_one_that_is_not_there() {
    let patience = Duration::from_millis(100);
    let impatient = |url: String| RedisOptions { response_timeout: patience, ..options(url) };
    // It takes connections and never says a word.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}/0", silent.local_addr().unwrap());
    let error = RedisBus::connect(impatient(url)).await.unwrap_err();
    assert!(matches!(error, BusError::Unreachable(_)), "{error:?}");

    let server = RedisServer::fleeting();
    let bus = RedisBus::connect(impatient(server.url())).await.unwrap();
    let mut meddler = server.connection();
    let unit = Commit { once: Some("k".to_owned()), ..append(1) };
    let _: () = redis::cmd("CLIENT").arg(&["PAUSE", "600000", "WRITE"]).query(&mut meddler).unwrap();
    let error = bus.commit(vec![unit.clone()]).await.unwrap_err();
    assert!(error.unknown_outcome(), "{error:?}");
    let _: () = redis::cmd("CLIENT").arg("UNPAUSE").query(&mut meddler).unwrap();
    while bus.commit(vec![unit.clone()]).await.is_err() {}
    assert_eq!(bus.inspect(CHANNEL).await.unwrap().length, 1);
}

#[tokio::test]
async fn a_closed_bus_says_so() {
    let server = RedisServer::fleeting();
    let bus = connect(&server).await;
    bus.ensure_group(CHANNEL, GROUP).await.unwrap();
    let waiting = {
        let bus = bus.clone();
        tokio::spawn(async move { bus.read(&reader("a"), &[CHANNEL], ONE, PATIENCE).await })
    };
    blocked(&server, 1).await;
    bus.close().await;
    assert_eq!(waiting.await.unwrap(), Err(BusError::Closed));
    assert_eq!(bus.commit(vec![append(1)]).await, Err(BusError::Closed));
    blocked(&server, 0).await;
}
