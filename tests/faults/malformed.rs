//! What is no message: each becomes a dead letter that says why, and the work goes on.

use std::sync::Arc;
use std::time::Duration;

use color_eyre::eyre::{OptionExt as _, ensure};
use fullsend::bus::bridge::Bridge;
use fullsend::bus::{
    Commit, Consumer, ConsumerOptions, Context, Draft, Effects, Failure, Handler, Key, Op, Origin, Outgoing, Received,
    leased, letters,
};
use fullsend::contracts::channel::grants;
use fullsend::contracts::messages::{EchoRequest, Echoes};
use fullsend::contracts::wiring::ECHO;
use fullsend::contracts::{ChannelName, Clock, Ids, SystemClock, Trust};
use tokio_util::sync::CancellationToken;

use crate::Run;
use crate::process::Store;
use crate::redis_server::RedisServer;
use crate::rig::{Rig, eventually};
use crate::work::{self, Kind, Piece, Sent};

fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

fn large() -> Vec<u8> {
    let mut body = br#"{"type":"echo_request","text":""#.to_vec();
    body.resize(300 * 1024, b'x');
    body.extend(br#""}"#);
    body
}

/// Bodies that are none, with a word that the reason must hold.
fn bad_bodies() -> Vec<(Vec<u8>, &'static str)> {
    let mut bodies: Vec<(Vec<u8>, &'static str)> = [
        ("{not json", "JSON"),
        ("", "JSON"),
        ("[1,2]", "a list"),
        ("\"text\"", "a text"),
        ("17", "a number"),
        ("null", "null"),
        (r#"{"type":"echo_request"}"#, "text"),
        (r#"{"type":"echo_request","text":5}"#, "text"),
        (r#"{"type":17,"text":"x"}"#, "type"),
        (r#"{"type":"echo_rquest","text":"x"}"#, "did you mean `echo_request`"),
        (r#"{"type":"drop_tables"}"#, "unknown type `drop_tables`"),
        (r#"{"text":"x"}"#, "no `type`"),
        ("{\"type\":\"echo_request\",\"text\":\"a\0b\"}", "JSON"),
        ("\0", "JSON"),
    ]
    .into_iter()
    .map(|(body, word)| (body.as_bytes().to_vec(), word))
    .collect();
    bodies.push((large(), "262144"));
    bodies.push((b"{\"type\":\"echo_request\",\"text\":\"\xff\xfe".to_vec(), "JSON"));
    // Deeper than any parser goes.
    bodies.push(([b"{\"a\":".repeat(5_000), b"1".to_vec(), b"}".repeat(5_000)].concat(), ""));
    bodies
}

fn publish(server: &RedisServer, body: &[u8]) {
    let mut connection = server.connection();
    let heard: i64 = redis::cmd("PUBLISH").arg(ChannelName::Echo.as_str()).arg(body).query(&mut connection).unwrap();
    assert!(heard > 0, "nobody listens");
}

/// Fields of an entry.
type Fields<'a> = Vec<(&'a str, &'a [u8])>;

fn xadd(server: &RedisServer, fields: &[(&str, &[u8])]) {
    let mut cmd = redis::cmd("XADD");
    cmd.arg("fullsend:echo:stream").arg("*");
    for (name, value) in fields {
        cmd.arg(name).arg(value);
    }
    cmd.query::<String>(&mut server.connection()).unwrap();
}

async fn reasons(rig: &Rig) -> color_eyre::Result<Vec<String>> {
    Ok(work::dead_letters(&*rig.bus).await?.into_iter().map(|(_, reason)| reason).collect())
}

/// The next dead letter must say `word`.
async fn buried(rig: &Rig, number: usize, word: &str) -> color_eyre::Result<()> {
    eventually("a dead letter", async || Ok(reasons(rig).await?.len() >= number)).await?;
    let reasons = reasons(rig).await?;
    ensure!(reasons.len() == number, "{} dead letters instead of {number}: {reasons:?}", reasons.len());
    let last = reasons.last().ok_or_eyre("no reason")?;
    ensure!(last.contains(word) && last.len() < 1_000, "`{word}` is not in the reason: {last}");
    Ok(())
}

/// Published bare by another program, with the bridge listening.
pub(crate) async fn bare_bodies(_run: Run) -> color_eyre::Result<()> {
    let server = RedisServer::durable();
    let bus = Store::Redis { url: server.url(), prefix: String::new() }.open(clock(), None).await?;
    let rig = Rig::start(&bus, 1, clock());
    let (stop, ids) = (CancellationToken::new(), Arc::new(Ids::random()));
    let bridge = Bridge { bus: Arc::clone(&bus), clock: clock(), ids: Arc::clone(&ids) };
    let bridging = tokio::spawn({
        let (bus, stop) = (Arc::clone(&bus), stop.clone());
        async move { leased::hold(&bridge, &bus, &clock(), &ids, stop).await }
    });
    eventually("the bridge listens", async || Ok(bus.get(&Key::new("bus:bridge")).await?.is_some())).await?;

    for (number, (body, word)) in bad_bodies().iter().enumerate() {
        publish(&server, body);
        buried(&rig, number + 1, word).await?;
    }
    // A NUL that is written as JSON writes it is a text like any other.
    publish(&server, br#"{"type":"echo_request","text":"a\u0000b"}"#);
    publish(&server, br#"{"type":"echo_request","text":"bare","priority":"urgent"}"#);
    eventually("good bare bodies are handled", async || {
        Ok(rig.others("a\0b").await? == 1 && rig.others("bare").await? == 1)
    })
    .await?;

    // Announced by us, and once more by somebody who only repeats what was heard: not handled again.
    let origin = Origin::new(clock(), Arc::new(Ids::random()), Trust::Operator);
    let said = origin.compose::<grants::ControlRoom, _>(ECHO, Draft::new(request("original")))?;
    let sender = work::sender(&bus, clock(), Duration::from_secs(5));
    sender.send_composed(said.clone()).await?;
    for _ in 0..3 {
        publish(&server, said.announcement().as_bytes());
    }
    // The id of a known message around another body: that is a message of its own.
    let forged = Outgoing { body: r#"{"type":"echo_request","text":"forged"}"#.to_owned(), ..said.clone() };
    publish(&server, forged.announcement().as_bytes());
    // `meta` that is none.
    publish(&server, br#"{"meta":{"id":"not an id"},"type":"echo_request","text":"odd meta"}"#);
    publish(&server, br#"{"meta":17,"type":"echo_request","text":"number meta"}"#);
    publish(&server, br#"{"type":"echo_request","text":"last"}"#);
    eventually("the last is handled", async || Ok(rig.others("last").await? == 1)).await?;
    work::settle(&*bus, Duration::from_secs(10)).await.map_err(color_eyre::Report::msg)?;
    for text in ["original", "forged", "odd meta", "number meta", "bare"] {
        let times = rig.others(text).await?;
        ensure!(times == 1, "`{text}` was handled {times} times; dead: {:?}", reasons(&rig).await?);
    }
    let dead = reasons(&rig).await?.len();
    ensure!(dead == bad_bodies().len(), "{dead} dead letters");
    ensure!(rig.errors().is_empty(), "{:?}", rig.errors());
    stop.cancel();
    bridging.await??;
    rig.stop().await
}

fn request(text: &str) -> Echoes {
    EchoRequest { text: text.to_owned() }.into()
}

/// Added to the stream by another program.
pub(crate) async fn garbage_in_the_stream(_run: Run) -> color_eyre::Result<()> {
    let server = RedisServer::durable();
    let bus = Store::Redis { url: server.url(), prefix: String::new() }.open(clock(), None).await?;
    let rig = Rig::start(&bus, 1, clock());
    let origin = Origin::new(clock(), Arc::new(Ids::random()), Trust::Operator);
    let good = origin.compose::<grants::ControlRoom, _>(ECHO, Draft::new(request("good")))?.envelope.to_json();
    let mut dead = 0;
    let entries: Vec<(Fields<'_>, &str)> = vec![
        (vec![("foo", b"bar")], "no field `e`"),
        (vec![("b", br#"{"type":"echo_request"}"#)], "text"),
        (vec![("e", b""), ("b", b"")], "no field `e`"),
        (vec![("e", b"{")], "JSON"),
        (vec![("e", b"[]"), ("b", b"{}")], "envelope"),
        (vec![("e", b"{\"id\":1}"), ("b", b"{}")], "id"),
        (vec![("e", b"\0\xff\xfe"), ("b", b"\xff")], "JSON"),
        (vec![("e", good.as_bytes()), ("b", b"\xff\0")], "JSON"),
        (vec![("e", good.as_bytes())], "JSON"),
    ];
    for (fields, word) in &entries {
        xadd(&server, fields);
        dead += 1;
        buried(&rig, dead, word).await?;
    }
    // A body without an envelope is one that the bridge would wrap.
    xadd(&server, &[("b", br#"{"type":"echo_request","text":"bare"}"#), ("more", b"1")]);
    eventually("the bare body is handled", async || Ok(rig.others("bare").await? == 1)).await?;
    // What is no message is kept with all that came with it.
    for (fields, kept) in [
        (vec![("foo", &b"bar"[..]), ("n", b"1"), ("n", b"2")], r#"{"foo":"bar","n":["1","2"]}"#),
        (vec![("b", b"[1]"), ("why", b"\xff\0")], r#"{"b":"[1]","why":{"hex":"ff00"}}"#),
    ] {
        xadd(&server, &fields);
        dead += 1;
        buried(&rig, dead, "").await?;
        let entries = work::entries(&*bus, ChannelName::DeadLetter).await?;
        let letter = letters::read(entries.last().ok_or_eyre("no letter")?)?;
        ensure!(letter.original_body == kept, "{} was kept", letter.original_body);
    }
    for (body, word) in bad_bodies() {
        xadd(&server, &[("e", good.as_bytes()), ("b", &body)]);
        dead += 1;
        // In the stream a large body is what it is: only those who send are held to the limit.
        if word == "262144" {
            dead -= 1;
        } else {
            buried(&rig, dead, word).await?;
        }
    }
    // The same id twice in the stream, by somebody who copied an entry: two entries, two messages. Their effects are counted.
    for _ in 0..2 {
        xadd(&server, &[("e", good.as_bytes()), ("b", br#"{"type":"echo_request","text":"copied"}"#), ("more", b"1")]);
    }
    eventually("the copies are handled", async || Ok(rig.others("copied").await? == 2)).await?;
    work::settle(&*bus, Duration::from_secs(10)).await.map_err(color_eyre::Report::msg)?;
    ensure!(reasons(&rig).await?.len() == dead, "{:?}", reasons(&rig).await?);
    ensure!(rig.errors().is_empty(), "{:?}", rig.errors());
    rig.stop().await
}

/// Somebody puts a text where the dead letters go: what cannot be handled waits, the rest goes on, and nothing is lost.
pub(crate) async fn dead_letters_refused(_run: Run) -> color_eyre::Result<()> {
    let server = RedisServer::durable();
    let bus = Store::Redis { url: server.url(), prefix: String::new() }.open(clock(), None).await?;
    let rig = Rig::start(&bus, 2, clock());
    server.run(&["SET", "fullsend:dead_letter:stream", "mine"]);
    for n in 0..5 {
        xadd(&server, &[("foo", n.to_string().as_bytes())]);
        xadd(&server, &[("b", format!(r#"{{"type":"echo_request","text":"good{n}"}}"#).as_bytes())]);
    }
    for n in 0..5 {
        eventually("the others are handled", async || Ok(rig.others(&format!("good{n}")).await? == 1)).await?;
    }
    eventually("what is no message waits", async || {
        Ok(work::group(&*bus).await?.is_some_and(|(group, _)| group.pending == 5))
    })
    .await?;
    eventually("it is said", async || Ok(!work::entries(&*bus, ChannelName::Alerts).await?.is_empty())).await?;
    let alerts = work::entries(&*bus, ChannelName::Alerts).await?;
    ensure!(alerts.len() == 1 && alerts[0].b.contains("dead-letter-refused:"), "{alerts:?}");
    server.run(&["DEL", "fullsend:dead_letter:stream"]);
    eventually("all are kept", async || Ok(reasons(&rig).await?.len() == 5)).await?;
    work::settle(&*bus, Duration::from_secs(10)).await.map_err(color_eyre::Report::msg)?;
    ensure!(rig.errors().is_empty(), "{:?}", rig.errors());
    rig.stop().await
}

/// Counts what is on the echo channel, and reads another one beside it.
struct Two;

impl Handler for Two {
    type Grant = grants::Echo;

    fn channels(&self) -> &[ChannelName] {
        &[ChannelName::Metrics, ChannelName::Echo]
    }

    async fn handle(&self, message: Received, cx: Context<grants::Echo>) -> Result<Effects<grants::Echo>, Failure> {
        let mut effects = cx.effects();
        effects.add(Key::new("faults:two"), message.entry.channel.as_str().to_owned(), 1, None);
        Ok(effects)
    }
}

/// Somebody puts a text under one of two streams: the other is read on, and when it is a stream again, so is the first.
pub(crate) async fn one_stream_is_none(_run: Run) -> color_eyre::Result<()> {
    let server = RedisServer::durable();
    let bus = Store::Redis { url: server.url(), prefix: String::new() }.open(clock(), None).await?;
    let options = ConsumerOptions { heartbeat: Duration::from_millis(100), ..ConsumerOptions::default() };
    let consumer = Consumer::new(Arc::clone(&bus), Two, options, clock(), Arc::new(Ids::random()));
    let stop = CancellationToken::new();
    let running = tokio::spawn({
        let stop = stop.clone();
        async move { consumer.run(stop).await }
    });
    let counted = async |channel: ChannelName, times: &str| -> color_eyre::Result<bool> {
        let state = bus.get(&Key::new("faults:two")).await?;
        let document = state.as_ref().and_then(|state| state.document());
        Ok(document.and_then(|document| document.get(channel.as_str())).is_some_and(|count| count == times))
    };
    let body: Fields<'_> = vec![("b", br#"{"type":"echo_request","text":"x"}"#)];
    xadd(&server, &body);
    eventually("the first is handled", async || counted(ChannelName::Echo, "1").await).await?;
    server.run(&["DEL", "fullsend:metrics:stream"]);
    server.run(&["SET", "fullsend:metrics:stream", "mine"]);
    for times in ["2", "3", "4"] {
        xadd(&server, &body);
        eventually("the others are handled", async || counted(ChannelName::Echo, times).await).await?;
    }
    let left_out = async || {
        let alerts = work::entries(&*bus, ChannelName::Alerts).await?;
        Ok(alerts.iter().any(|alert| alert.b.contains("channel-left-out:echo:metrics")))
    };
    eventually("it is said", left_out).await?;
    server.run(&["DEL", "fullsend:metrics:stream"]);
    server.run(&["XADD", "fullsend:metrics:stream", "*", "b", r#"{"event":"email_sent","experiment_id":"exp_1"}"#]);
    eventually("it is read again", async || {
        let letters = work::dead_letters(&*bus).await?;
        ensure!(letters.is_empty(), "{letters:?}");
        counted(ChannelName::Metrics, "1").await
    })
    .await?;
    ensure!(!running.is_finished(), "the consumer has ended");
    stop.cancel();
    Ok(running.await??)
}

/// Said by a program of ours that does not check, on both engines.
pub(crate) async fn bodies_on_every_engine(_run: Run) -> color_eyre::Result<()> {
    let (server, folder) = (RedisServer::durable(), tempfile::tempdir()?);
    let stores = [
        Store::Redis { url: server.url(), prefix: "w:".to_owned() },
        Store::Embedded { path: folder.path().join("bus.db") },
    ];
    for store in stores {
        let bus = store.open(clock(), None).await?;
        let rig = Rig::start(&bus, 2, clock());
        let origin = Origin::new(clock(), Arc::new(Ids::random()), Trust::Operator);
        let mut dead = 0;
        for (body, word) in bad_bodies() {
            let (Ok(body), true) = (String::from_utf8(body), word != "262144") else { continue };
            let good = origin.compose::<grants::ControlRoom, _>(ECHO, Draft::new(request("x")))?;
            bus.commit(vec![Commit::of(vec![Op::Append(Outgoing { body, ..good })])]).await?;
            dead += 1;
            buried(&rig, dead, word).await?;
        }
        // The ordinary way refuses what is too large before it is said.
        let sender = work::sender(&bus, clock(), Duration::from_secs(5));
        let refused = sender.send(ECHO, Draft::new(request(&"x".repeat(300 * 1024)))).await;
        ensure!(refused.is_err_and(|err| err.to_string().contains("at most 262144")), "a body of 300 KiB was sent");
        let mut sent = Sent::default();
        let errors = work::send_all(&sender, [Piece::first(1, Kind::Plain)], &mut sent).await;
        ensure!(errors.is_empty(), "{errors:?}");
        work::settle(&*bus, Duration::from_secs(10)).await.map_err(color_eyre::Report::msg)?;
        let counts = work::counts_at(&*bus, 2).await?;
        ensure!(counts.get(&1) == Some(&1), "the work did not go on: {counts:?}");
        ensure!(rig.errors().is_empty(), "{:?}", rig.errors());
        rig.stop().await?;
        bus.close().await;
    }
    Ok(())
}
