//! Which servers are used: users, prefixes, transports, and refusals.

use std::sync::Arc;

use fullsend::bus::{Bus, BusError, Commit, Key, Level, Op, RedisBus, RedisOptions};

use crate::redis_server::{RedisServer, Settings, Transport};
use crate::{CHANNEL, GROUP, ONE, PATIENCE, add, append, committed, connect, message, options, pending, reader};

#[tokio::test]
async fn workspaces_with_prefixes_do_not_meet() {
    let server = RedisServer::fleeting();
    let with = |prefix: &str| RedisOptions { prefix: prefix.to_owned(), ..options(server.url()) };
    let a = Arc::new(RedisBus::connect(with("a:")).await.unwrap());
    let b = RedisBus::connect(with("b:")).await.unwrap();
    let mut heard = a.listen(&[CHANNEL]).await.unwrap().heard;
    committed(&b, Commit::of(vec![Op::Append(message(1)), add("c", 1, None)])).await;
    assert_eq!(a.inspect(CHANNEL).await.unwrap().length, 0);
    assert_eq!(a.get(&Key::new("c")).await.unwrap(), None);
    assert_eq!(b.scan("", None, 9).await.unwrap().0, [Key::new("c")]);
    committed(&a, append(2)).await;
    assert_eq!(heard.recv().await.unwrap().envelope, Some(message(2).envelope));
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query(&mut server.connection()).unwrap();
    assert!(keys.iter().all(|key| key.starts_with("a:") || key.starts_with("b:")), "{keys:?}");
}

#[tokio::test]
async fn users_need_their_permissions_at_once() {
    let server = RedisServer::start(Settings {
        users: vec![
            "good on >secret1 ~w:* &w:* +@all -@dangerous".to_owned(),
            "full on >secret4 ~w:* &w:* +@all -@dangerous +info +config|get".to_owned(),
            "deaf on >secret2 ~w:* resetchannels +@all".to_owned(),
            "poor on >secret3 ~w:* &w:* +@all -xack".to_owned(),
        ],
        ..Settings::default()
    });
    let with =
        |user: &str, password: &str| RedisOptions { prefix: "w:".to_owned(), ..options(server.url_of(user, password)) };
    let bus = Arc::new(RedisBus::connect(with("good", "secret1")).await.unwrap());
    bus.ensure_group(CHANNEL, GROUP).await.unwrap();
    let id = committed(&bus, append(1)).await;
    bus.read(&reader("a"), &[CHANNEL], ONE, PATIENCE).await.unwrap();
    committed(&bus, Commit { acknowledge: vec![pending(id)], ..append(2) }).await;
    let health = bus.health().await.unwrap();
    assert!(health.reachable && health.findings.iter().all(|finding| finding.level == Level::Note), "{health:?}");
    assert!(!format!("{health:?} {bus:?}").contains("secret"));
    // The permissions that the errors advise are enough for everything.
    let full = RedisBus::connect(with("full", "secret4")).await.unwrap();
    let findings = full.health().await.unwrap().findings;
    assert!(findings.iter().all(|finding| finding.what.contains("append-only")), "{findings:?}");
    for (user, password, word) in
        [("deaf", "secret2", "PUBLISH"), ("poor", "secret3", "XACK"), ("good", "secret9", "password")]
    {
        let error = RedisBus::connect(with(user, password)).await.unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(matches!(error, BusError::Unsupported(_)) && text.contains(word), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }
}

#[tokio::test]
async fn a_password_tls_and_a_unix_socket() {
    let server = RedisServer::start(Settings { password: Some("s3cret".to_owned()), ..Settings::default() });
    committed(&*connect(&server).await, append(1)).await;

    let server = RedisServer::start(Settings { transport: Transport::Unix, ..Settings::default() });
    let bus = connect(&server).await;
    committed(&bus, append(1)).await;
    assert!(bus.health().await.unwrap().location.starts_with("unix:///"));

    let server = RedisServer::start(Settings { transport: Transport::Tls, ..Settings::default() });
    let stranger = RedisBus::connect(options(server.url())).await;
    assert!(
        matches!(stranger, Err(BusError::Unsupported(text)) if text.contains("bus.ca")),
        "its certificate is nobody's"
    );
    let trusting = RedisOptions { ca_file: Some(server.ca_file()), ..options(server.url()) };
    let bus = Arc::new(RedisBus::connect(trusting).await.unwrap());
    let mut heard = bus.listen(&[CHANNEL]).await.unwrap().heard;
    committed(&bus, append(1)).await;
    assert!(heard.recv().await.is_some());
}

#[tokio::test]
async fn a_cluster_a_replica_and_a_newer_store_are_refused() {
    let server = RedisServer::start(Settings {
        more: vec!["--cluster-enabled".to_owned(), "yes".to_owned()],
        ..Settings::default()
    });
    let error = RedisBus::connect(options(server.url())).await.unwrap_err();
    assert!(matches!(&error, BusError::Unsupported(text) if text.contains("cluster")), "{error}");

    let server = RedisServer::fleeting();
    server.run(&["SET", "bus:schema", "2"]);
    let error = RedisBus::connect(options(server.url())).await.unwrap_err();
    assert!(matches!(&error, BusError::Unsupported(text) if text.contains("newer")), "{error}");
    server.run(&["DEL", "bus:schema"]);
    server.run(&["REPLICAOF", "127.0.0.1", "1"]);
    let error = RedisBus::connect(options(server.url())).await.unwrap_err();
    assert!(matches!(error, BusError::ReadOnly { .. }), "{error}");
}
