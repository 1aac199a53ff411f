//! The loop against the engine in memory, on paused time: every wait takes no time and happens in order.

mod refused;
mod together;
mod trouble;

use std::collections::HashMap;
use std::sync::Mutex;

use pretty_assertions::assert_eq;
use tokio::task::JoinHandle;

use super::*;
use crate::bus::memory::MemoryBus;
use crate::bus::{Bound, Commit, Key, Op, Outcome, Range, Reader, StateChange, letters};
use crate::contracts::channel::grants;
use crate::contracts::messages::{Alerts, DeadLetterCode, EchoRequest, Echoes};
use crate::contracts::wiring::ECHO;
use crate::contracts::{Priority, TokioClock};

/// What a test handler does with a text.
type Plan = dyn Fn(&str, u32) -> Act + Send + Sync;

enum Act {
    Handle,
    Fail,
    FailAfter(Duration),
    Terminal,
    Panic,
    Hang,
    Work(Duration),
    /// Changes a document that somebody else changes in the meantime, the first `n` times.
    Race(u32),
}

struct Planned {
    channels: Vec<ChannelName>,
    plan: Box<Plan>,
    slots: usize,
    log: Arc<Mutex<Vec<(String, u32)>>>,
    races: Mutex<HashMap<String, u32>>,
}

impl Handler for Planned {
    type Grant = grants::Echo;

    fn channels(&self) -> &[ChannelName] {
        &self.channels
    }

    fn slots(&self) -> usize {
        self.slots
    }

    async fn handle(&self, message: Received, cx: Context<grants::Echo>) -> Result<Effects<grants::Echo>, Failure> {
        let Echoes::Request(EchoRequest { text }) = message.read::<Echoes>()? else {
            return Ok(cx.effects());
        };
        self.log.lock().unwrap().push((text.clone(), message.attempt));
        let mut effects = cx.effects();
        effects.add(Key::new("handled"), text.clone(), 1, None);
        match (self.plan)(&text, message.attempt) {
            Act::Handle => {}
            Act::Fail => return Err(color_eyre::eyre::eyre!("no luck with {text}").into()),
            Act::FailAfter(after) => {
                return Err(Failure::Retry { reason: color_eyre::eyre::eyre!("come back later"), after: Some(after) });
            }
            Act::Terminal => return Err(Failure::Terminal(color_eyre::eyre::eyre!("never"))),
            Act::Panic => panic!("at the disco"),
            Act::Hang => std::future::pending::<()>().await,
            Act::Work(time) => tokio::time::sleep(time).await,
            Act::Race(times) => {
                let key = Key::new("raced");
                let version = cx.bus().get(&key).await?.and_then(|state| Some(state.document()?.version)).unwrap_or(0);
                let lost = {
                    let mut races = self.races.lock().unwrap();
                    let count = races.entry(text.clone()).or_default();
                    *count += 1;
                    *count <= times
                };
                let expect =
                    if version == 0 { crate::bus::Expect::Absent } else { crate::bus::Expect::Version(version) };
                if lost {
                    let change = Op::Change {
                        key: key.clone(),
                        expect: crate::bus::Expect::Any,
                        fields: vec![("by".into(), Some("somebody else".into()))],
                        ttl: crate::bus::Ttl::Keep,
                    };
                    cx.bus().commit(vec![Commit::of(vec![change])]).await?;
                }
                effects.change(key, expect, vec![("by".into(), Some(text))], crate::bus::Ttl::Keep);
            }
        }
        Ok(effects)
    }
}

struct World {
    store: MemoryBus,
    clock: Arc<dyn Clock>,
    ids: Arc<Ids>,
    log: Arc<Mutex<Vec<(String, u32)>>>,
    options: ConsumerOptions,
    channels: Vec<ChannelName>,
}

impl World {
    fn new() -> Self {
        let clock: Arc<dyn Clock> =
            Arc::new(TokioClock::from(chrono::DateTime::from_timestamp_millis(1_800_000_000_000).unwrap()));
        Self {
            store: MemoryBus::new(Arc::clone(&clock)),
            clock,
            ids: Arc::new(Ids::seeded(1)),
            log: Arc::default(),
            options: ConsumerOptions { seed: Some(1), ..ConsumerOptions::default() },
            channels: vec![ChannelName::Echo],
        }
    }

    fn bus(&self) -> SharedBus {
        Arc::new(self.store.another())
    }

    fn origin(&self) -> Origin {
        Origin::new(Arc::clone(&self.clock), Arc::clone(&self.ids), Trust::System)
    }

    async fn say(&self, text: &str) {
        self.say_with(Draft::new(Echoes::from(EchoRequest { text: text.to_owned() }))).await;
    }

    async fn say_with(&self, draft: Draft<Echoes>) {
        let message = self.origin().compose::<grants::ControlRoom, _>(ECHO, draft).unwrap();
        let outcomes = self.bus().commit(vec![Commit::of(vec![Op::Append(message)])]).await.unwrap();
        assert!(outcomes[0].is_done());
    }

    fn consumer(&self, slots: usize, plan: impl Fn(&str, u32) -> Act + Send + Sync + 'static) -> Consumer<Planned> {
        self.consumer_on(self.bus(), slots, plan)
    }

    fn consumer_on(
        &self,
        bus: SharedBus,
        slots: usize,
        plan: impl Fn(&str, u32) -> Act + Send + Sync + 'static,
    ) -> Consumer<Planned> {
        let (channels, log) = (self.channels.clone(), Arc::clone(&self.log));
        let handler = Planned { channels, plan: Box::new(plan), slots, log, races: Mutex::default() };
        Consumer::new(bus, handler, self.options.clone(), Arc::clone(&self.clock), Arc::clone(&self.ids))
    }

    /// How often the effects of each text were committed.
    async fn handled(&self) -> HashMap<String, u32> {
        let state = self.bus().get(&Key::new("handled")).await.unwrap();
        state
            .and_then(|state| state.document().cloned())
            .map(|document| document.fields.into_iter().map(|(text, n)| (text, n.parse().unwrap())).collect())
            .unwrap_or_default()
    }

    async fn until_handled(&self, texts: usize) {
        self.until(async |world| world.handled().await.len() >= texts).await;
    }

    async fn until(&self, done: impl AsyncFn(&Self) -> bool) {
        let deadline = tokio::time::Instant::now() + Duration::from_mins(10);
        while !done(self).await {
            let log = || self.log.lock().unwrap().iter().rev().take(50).cloned().collect::<Vec<_>>();
            assert!(tokio::time::Instant::now() < deadline, "it never happened; newest first: {:?}", log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn letters(&self) -> Vec<(DeadLetterCode, u32, String)> {
        let entries =
            self.bus().range(ChannelName::DeadLetter, Range::after(crate::bus::EntryId::ZERO, 100)).await.unwrap();
        entries.iter().map(|entry| letters::read(entry).unwrap()).map(|l| (l.code, l.attempts, l.reason)).collect()
    }

    async fn alerts(&self) -> usize {
        self.alerted().await.len()
    }

    /// The names and texts of the alerts.
    async fn alerted(&self) -> Vec<(String, String)> {
        let all = Range { from: Bound::Open, to: Bound::Open, newest_first: false, limit: 1_000 };
        let entries = self.bus().range(ChannelName::Alerts, all).await.unwrap();
        let alerts = entries.iter().map(|entry| match Alerts::read(&entry.b).unwrap() {
            Alerts::Triggered(alert) => (alert.alert_id, alert.message),
            other => panic!("{other:?}"),
        });
        alerts.collect()
    }

    /// Somebody puts a text under a channel's stream.
    fn spoil(&self, channel: ChannelName) {
        self.store.set_foreign(&Key::new(format!("{channel}:stream")));
    }

    /// Somebody deletes what stands under a channel's stream.
    async fn mend(&self, channel: ChannelName) {
        let delete = Op::Delete { key: Key::new(format!("{channel}:stream")), expect: crate::bus::Expect::Any };
        assert!(self.bus().commit(vec![Commit::of(vec![delete])]).await.unwrap()[0].is_done());
    }

    async fn pending(&self) -> u64 {
        self.bus().inspect(ChannelName::Echo).await.unwrap().groups.iter().map(|group| group.pending).sum()
    }

    fn starts(&self, text: &str) -> Vec<u32> {
        self.log.lock().unwrap().iter().filter(|(said, _)| said == text).map(|(_, attempt)| *attempt).collect()
    }
}

fn start(consumer: Consumer<Planned>) -> (CancellationToken, JoinHandle<Result<(), BusError>>) {
    let stop = CancellationToken::new();
    let token = stop.clone();
    (stop, tokio::spawn(async move { consumer.run(token).await }))
}

async fn stopped((stop, task): (CancellationToken, JoinHandle<Result<(), BusError>>)) {
    stop.cancel();
    task.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn every_message_is_handled_once_and_acknowledged_with_its_effects() {
    let world = World::new();
    for n in 0..100 {
        world.say(&format!("m{n}")).await;
    }
    let consumer = world.consumer(4, |_, _| Act::Handle);
    let counts = consumer.counts();
    let running = start(consumer);
    world.until_handled(100).await;
    stopped(running).await;
    assert!(world.handled().await.values().all(|times| *times == 1));
    assert_eq!(world.pending().await, 0);
    assert_eq!(counts.handled.load(Ordering::Relaxed), 100);
    assert_eq!(counts.holding.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn with_one_slot_messages_start_in_order_and_urgent_ones_first() {
    let world = World::new();
    world.say("first").await;
    for (text, priority) in [("low", Priority::Low), ("medium", Priority::Medium), ("urgent", Priority::Urgent)] {
        world.say_with(Draft::new(Echoes::from(EchoRequest { text: text.into() })).priority(priority)).await;
    }
    let running = start(world.consumer(1, |_, _| Act::Work(Duration::from_millis(50))));
    world.until_handled(4).await;
    stopped(running).await;
    let order: Vec<String> = world.log.lock().unwrap().iter().map(|(text, _)| text.clone()).collect();
    assert_eq!(order, ["first", "urgent", "medium", "low"]);
}

#[tokio::test(start_paused = true)]
async fn a_failing_message_is_tried_five_times_and_becomes_a_dead_letter_with_an_alert() {
    let world = World::new();
    world.say("bad").await;
    world.say("good").await;
    let running = start(world.consumer(1, |text, _| if text == "bad" { Act::Fail } else { Act::Handle }));
    world.until(async |world| !world.letters().await.is_empty()).await;
    stopped(running).await;
    assert_eq!(world.starts("bad"), [1, 2, 3, 4, 5]);
    assert_eq!(world.letters().await, [(DeadLetterCode::Exhausted, 5, "no luck with bad".to_owned())]);
    assert_eq!(world.alerts().await, 1);
    assert_eq!(world.handled().await, HashMap::from([("good".to_owned(), 1)]), "a failure does not stop the others");
    assert_eq!(world.pending().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_terminal_error_and_a_wrong_shape_are_given_up_at_once() {
    let world = World::new();
    world.say("never").await;
    let mut message =
        world.origin().compose::<grants::ControlRoom, _>(ECHO, Echoes::from(EchoRequest { text: "x".into() })).unwrap();
    message.body = r#"{"type":"echo_request","text":17}"#.to_owned();
    world.bus().commit(vec![Commit::of(vec![Op::Append(message)])]).await.unwrap();
    let running = start(world.consumer(1, |_, _| Act::Terminal));
    world.until(async |world| world.letters().await.len() == 2).await;
    stopped(running).await;
    let letters = world.letters().await;
    assert_eq!(letters[0], (DeadLetterCode::Terminal, 1, "never".to_owned()));
    assert_eq!((letters[1].0, letters[1].1), (DeadLetterCode::Malformed, 1));
    assert!(letters[1].2.contains("at `text`"), "the reason names the field: {}", letters[1].2);
}

#[tokio::test(start_paused = true)]
async fn panics_and_timeouts_are_failed_attempts() {
    let world = World::new();
    world.say("panics").await;
    world.say("hangs").await;
    let consumer = world.consumer(2, |text, attempt| match (text, attempt) {
        ("panics", 1) => Act::Panic,
        ("hangs", 1) => Act::Hang,
        _ => Act::Handle,
    });
    let counts = consumer.counts();
    let running = start(consumer);
    world.until_handled(2).await;
    stopped(running).await;
    assert_eq!((world.starts("panics"), world.starts("hangs")), (vec![1, 2], vec![1, 2]));
    assert_eq!(counts.failed.load(Ordering::Relaxed), 2);
    assert!(world.letters().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_retry_waits_at_least_as_long_as_it_was_told() {
    let world = World::new();
    world.say("busy").await;
    let began = tokio::time::Instant::now();
    let running = start(
        world.consumer(1, |_, attempt| if attempt == 1 { Act::FailAfter(Duration::from_mins(2)) } else { Act::Handle }),
    );
    world.until_handled(1).await;
    assert!(began.elapsed() >= Duration::from_mins(2));
    stopped(running).await;
}

#[tokio::test(start_paused = true)]
async fn a_version_conflict_runs_the_handler_again_and_is_no_attempt() {
    let world = World::new();
    world.say("racer").await;
    let running = start(world.consumer(1, |_, _| Act::Race(3)));
    world.until_handled(1).await;
    stopped(running).await;
    assert_eq!(world.starts("racer"), [1, 1, 1, 1], "three conflicts, one success, all attempt 1");
    assert_eq!(world.handled().await["racer"], 1);
}

#[tokio::test(start_paused = true)]
async fn with_one_slot_the_order_holds_through_conflicts() {
    let world = World::new();
    for n in 0..4 {
        world.say(&format!("m{n}")).await;
    }
    let running = start(world.consumer(1, |text, _| if text == "m1" { Act::Race(2) } else { Act::Handle }));
    world.until_handled(4).await;
    stopped(running).await;
    let order: Vec<String> = world.log.lock().unwrap().iter().map(|(text, _)| text.clone()).collect();
    assert_eq!(order, ["m0", "m1", "m1", "m1", "m2", "m3"]);
}

#[tokio::test(start_paused = true)]
async fn long_work_is_kept_alive_and_nobody_takes_it_over() {
    let world = World::new();
    world.say("long").await;
    let first = start(world.consumer(1, |_, _| Act::Work(Duration::from_secs(25))));
    world.until(async |world| !world.starts("long").is_empty()).await;
    let second = start(world.consumer(1, |_, _| Act::Handle));
    world.until_handled(1).await;
    assert_eq!(world.starts("long"), [1]);
    stopped(first).await;
    stopped(second).await;
}

#[tokio::test(start_paused = true)]
async fn work_of_a_dead_consumer_is_taken_over_within_three_seconds_and_its_effects_come_once() {
    let world = World::new();
    for n in 0..40 {
        world.say(&format!("m{n}")).await;
    }
    let (_, dies) = start(world.consumer(4, |_, _| Act::Hang));
    world.until(async |world| world.pending().await > 30).await;
    dies.abort();
    let died = tokio::time::Instant::now();
    let running = start(world.consumer(4, |_, _| Act::Handle));
    world.until_handled(40).await;
    assert!(died.elapsed() <= Duration::from_secs(3), "it took {:?}", died.elapsed());
    stopped(running).await;
    assert!(world.handled().await.values().all(|times| *times == 1));
    let started: Vec<u32> = (0..4).filter_map(|n| world.starts(&format!("m{n}")).last().copied()).collect();
    assert_eq!(started, [2, 2, 2, 2], "those that had been started are in their second attempt");
    assert_eq!(world.starts("m20"), [1], "those that were only read ahead are in their first");
}

#[tokio::test(start_paused = true)]
async fn a_busy_consumer_takes_all_that_a_dead_one_held_at_once() {
    let world = World::new();
    for n in 0..2_000 {
        world.say(&format!("m{n}")).await;
    }
    let (_, dies) = start(world.consumer(8, |_, _| Act::Hang));
    world.until(async |world| world.pending().await == 40).await;
    let running = start(world.consumer(8, |_, _| Act::Work(Duration::from_millis(20))));
    world.until(async |world| world.handled().await.len() > 200).await;
    dies.abort();
    let died = tokio::time::Instant::now();
    world.until(async |world| (0..40).all(|n| world.starts(&format!("m{n}")).len() == if n < 8 { 2 } else { 1 })).await;
    // Stale after 2 s, seen at the next heartbeat, then five rounds of work.
    assert!(died.elapsed() <= Duration::from_millis(2_650), "it took {:?}", died.elapsed());
    world.until_handled(2_000).await;
    stopped(running).await;
    assert!(world.handled().await.values().all(|times| *times == 1));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_kills_its_process_is_given_up_and_its_neighbours_are_not() {
    let world = World::new();
    world.say("poison").await;
    for n in 0..10 {
        world.say(&format!("m{n}")).await;
    }
    for _ in 0..6 {
        // The process dies as soon as it has started the poison.
        let before = world.starts("poison").len();
        let (_, dies) = start(
            world.consumer(1, |text, _| if text == "poison" { Act::Hang } else { Act::Work(Duration::from_hours(1)) }),
        );
        world.until(async |world| world.starts("poison").len() > before || !world.letters().await.is_empty()).await;
        dies.abort();
        dies.await.unwrap_err();
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
    let letters = world.letters().await;
    assert_eq!(
        letters.iter().map(|(code, attempts, _)| (*code, *attempts)).collect::<Vec<_>>(),
        [(DeadLetterCode::Exhausted, 5)]
    );
    let running = start(world.consumer(1, |_, _| Act::Handle));
    world.until_handled(10).await;
    stopped(running).await;
    assert_eq!(world.letters().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn stopping_finishes_what_runs_and_hands_back_what_has_not_started() {
    let world = World::new();
    for n in 0..20 {
        world.say(&format!("m{n}")).await;
    }
    let first = start(world.consumer(2, |_, _| Act::Work(Duration::from_secs(3))));
    world.until(async |world| world.pending().await > 10).await;
    stopped(first).await;
    assert_eq!(world.handled().await.len(), 2, "the two that were running have finished");
    let began = tokio::time::Instant::now();
    let second = start(world.consumer(32, |_, _| Act::Handle));
    world.until_handled(20).await;
    assert!(
        began.elapsed() < Duration::from_millis(600),
        "what was handed back is free at once: {:?}",
        began.elapsed()
    );
    stopped(second).await;
    assert!((2..20).all(|n| world.starts(&format!("m{n}")) == [1]), "handing back is no attempt");
}

#[tokio::test(start_paused = true)]
async fn stopping_with_a_full_window_comes_to_an_end() {
    let world = World::new();
    for n in 0..100 {
        world.say(&format!("m{n}")).await;
    }
    let first = start(world.consumer(4, |_, _| Act::Work(Duration::from_secs(8))));
    world.until(async |world| world.pending().await == 36).await;
    let began = tokio::time::Instant::now();
    stopped(first).await;
    assert!(began.elapsed() <= Duration::from_secs(10), "it took {:?}", began.elapsed());
    let second = start(world.consumer(32, |_, _| Act::Handle));
    world.until_handled(100).await;
    stopped(second).await;
    assert!(world.handled().await.values().all(|times| *times == 1));
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_does_not_finish_in_the_drain_is_stopped_and_its_message_stays() {
    let mut world = World::new();
    world.options.drain = Duration::from_secs(1);
    world.say("endless").await;
    let first = start(world.consumer(1, |_, _| Act::Hang));
    world.until(async |world| !world.starts("endless").is_empty()).await;
    stopped(first).await;
    let second = start(world.consumer(1, |_, _| Act::Handle));
    world.until_handled(1).await;
    stopped(second).await;
    assert_eq!(world.starts("endless"), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_lost_does_not_repeat_effects() {
    let world = World::new();
    let store = Arc::new(world.store.another());
    for n in 0..20 {
        world.say(&format!("m{n}")).await;
    }
    let running =
        start(world.consumer_on(Arc::clone(&store) as SharedBus, 4, |_, _| Act::Work(Duration::from_millis(5))));
    world.until(async |world| !world.handled().await.is_empty()).await;
    store.lose_next_answers(3);
    world.until_handled(20).await;
    stopped(running).await;
    assert!(world.handled().await.values().all(|times| *times == 1), "{:?}", world.handled().await);
    assert_eq!(world.pending().await, 0);
}
