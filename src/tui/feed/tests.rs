use std::sync::Arc;
use std::time::Duration;

use pretty_assertions::assert_eq;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::bus::memory::MemoryBus;
use crate::bus::testing::World;
use crate::bus::{Expect, Key, Op, Ttl};
use crate::contracts::Trust;
use crate::contracts::channel::grants;
use crate::contracts::messages::Alerts;
use crate::contracts::wiring::ALERTS;
use crate::tui::store::{Caps, Reading, Source, Store, Toward};

/// What a feed brings.
struct Fed {
    world: World,
    bus: Arc<MemoryBus>,
    batches: mpsc::Receiver<Batch>,
    waiting: Vec<Item>,
    stop: CancellationToken,
}

impl Fed {
    async fn new(before: &[&str]) -> Self {
        let world = World::new();
        for text in before {
            world.say(world.request(text)).await;
        }
        let bus = Arc::new(world.store.another());
        let (queue, batches) = mpsc::channel(QUEUE);
        let feed = Feed {
            bus: Arc::<MemoryBus>::clone(&bus),
            clock: Arc::clone(&world.clock),
            queue,
            beside: Beside::default(),
        };
        let stop = CancellationToken::new();
        tokio::spawn(feed.run(stop.clone()));
        Self { world, bus, batches, waiting: Vec::new(), stop }
    }

    /// The next item that this is about; others are passed over.
    async fn next<T>(&mut self, wanted: impl Fn(&Item) -> Option<T>) -> T {
        loop {
            while !self.waiting.is_empty() {
                if let Some(found) = wanted(&self.waiting.remove(0)) {
                    return found;
                }
            }
            let batch = tokio::time::timeout(Duration::from_hours(1), self.batches.recv()).await;
            self.waiting = batch.expect("it never came").expect("the feed ended");
        }
    }

    async fn said(&mut self) -> String {
        self.next(|item| match item {
            Item::Message(row) if row.channel == ChannelName::Echo => Some(row.gist().to_owned()),
            _ => None,
        })
        .await
    }
}

/// A store that is fed by hand, and all that was ever said.
struct Scroller {
    world: World,
    store: Store,
    cursors: Vec<Cursor>,
    said: Vec<(EntryId, ChannelName)>,
}

impl Scroller {
    /// After so many messages on one channel and on another, with a ring for so many lines.
    async fn new(echoes: usize, chats: usize, lines: usize) -> Self {
        let world = World::new();
        for at in 0..echoes.max(chats) {
            if at < echoes {
                world.say(world.request(&format!("echo {at}"))).await;
            }
            if at < chats {
                world.say(chat(&world, &format!("chat {at}"))).await;
            }
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        let (queue, mut batches) = mpsc::channel(QUEUE);
        let feed = Feed { bus: world.bus(), clock: Arc::clone(&world.clock), queue, beside: Beside::default() };
        let cursors = feed.fill().await.unwrap();
        drop(feed);
        let mut store = Store::new(Caps { lines, bytes: 8 << 20 });
        while let Some(batch) = batches.recv().await {
            for item in batch {
                store.apply(item);
            }
        }
        let mut scroller = Self { world, store, cursors, said: Vec::new() };
        scroller.look_at_streams().await;
        scroller
    }

    async fn look_at_streams(&mut self) {
        self.said.clear();
        for channel in [ChannelName::Echo, ChannelName::DiscordRaw] {
            self.said.extend(self.world.entries(channel).await.iter().map(|entry| (entry.id, channel)));
        }
        self.said.sort_unstable();
    }

    /// Something new is said, and heard.
    async fn says(&mut self, is_chat: bool) {
        let message = if is_chat { chat(&self.world, "new") } else { self.world.request("new") };
        self.world.say(message).await;
        tokio::time::advance(Duration::from_millis(1)).await;
        let entries = self.world.bus().watch(&self.cursors, 100, Duration::ZERO).await.unwrap();
        for entry in entries {
            self.cursors.iter_mut().filter(|it| it.0 == entry.channel).for_each(|it| it.1 = entry.id);
            self.store.apply(Item::Message(Arc::new(Row::stored(entry))));
        }
        self.look_at_streams().await;
    }

    /// A page is read, while so many new messages come.
    async fn reads(&mut self, source: Source, toward: Toward, meanwhile: usize) {
        let Some(wanted) = self.store.read_back(source, toward) else { return };
        let (queue, mut batches) = mpsc::channel(QUEUE);
        let found = tokio::spawn(back::read(self.world.bus(), wanted, queue));
        let mut items = Vec::new();
        while let Some(batch) = batches.recv().await {
            items.extend(batch);
        }
        found.await.unwrap();
        for at in 0..meanwhile {
            self.says(at % 2 == 0).await;
        }
        for item in items {
            self.store.apply(item);
        }
    }

    /// What is shown is a part of the streams without a seam; where it reaches the ring, up to their end.
    fn is_whole(&self, source: Source) {
        let ring = self.store.ring(source).unwrap();
        let view = ring.view();
        let shown: Vec<(EntryId, ChannelName)> = view
            .range(0, view.len())
            .filter_map(|line| line.row())
            .map(|row| (row.entry.unwrap(), row.channel))
            .collect();
        let all: Vec<_> =
            self.said.iter().copied().filter(|it| source == Source::All || source == Source::Channel(it.1)).collect();
        let Some(first) = shown.first() else { return };
        let from = all.iter().position(|it| it == first).unwrap();
        assert_eq!(shown, all[from..from + shown.len()], "a line is missing, doubled or out of its order");
        if ring.back().reaches_ring() {
            assert_eq!(from + shown.len(), all.len(), "the newest are missing");
        }
        let numbers: Vec<u64> = view.range(0, view.len()).map(|line| line.number).collect();
        assert!(numbers.is_sorted() && numbers.windows(2).all(|it| it[0] != it[1]), "{numbers:?}");
        assert!(ring.back().lines().len() <= 100 / 8 + 1 && ring.len() <= 100);
    }
}

fn chat(world: &World, words: &str) -> crate::bus::Outgoing {
    use crate::contracts::Body;
    use crate::contracts::messages::DiscordRaw;
    let envelope = world.origin(Trust::Operator).envelope("discord_message", "control_room");
    let body = DiscordRaw::by_operator(words.to_owned(), "mara", &envelope).write().unwrap();
    crate::bus::Outgoing::new(ChannelName::DiscordRaw, envelope, body).unwrap()
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(24))]
    #[test]
    fn whatever_is_read_back_and_said_meanwhile_the_lines_are_those_of_the_streams(
        echoes in 0_usize..340, chats in 0_usize..60, lines in 1_usize..100,
        steps in proptest::collection::vec((0_u8..6, 0_usize..4), 0..30),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mut scroller = Scroller::new(echoes, chats, lines).await;
            let sources = [Source::All, Source::Channel(ChannelName::Echo)];
            for (what, meanwhile) in steps {
                match what {
                    0 => scroller.says(meanwhile % 2 == 0).await,
                    1 => scroller.reads(Source::All, Toward::Newer, meanwhile).await,
                    2 => scroller.reads(sources[1], Toward::Newer, meanwhile).await,
                    3 => drop(scroller.store.forget_back(sources[meanwhile % 2])),
                    4 => scroller.reads(sources[1], Toward::Older, meanwhile).await,
                    _ => scroller.reads(Source::All, Toward::Older, meanwhile).await,
                }
                for source in sources {
                    scroller.is_whole(source);
                }
            }
            // All the way up, then all the way down.
            for source in sources {
                for _ in 0..1_000 {
                    scroller.reads(source, Toward::Older, 0).await;
                    scroller.is_whole(source);
                    if scroller.store.ring(source).unwrap().back().is_beginning() {
                        break;
                    }
                }
                let ring = scroller.store.ring(source).unwrap();
                let first = ring.view().get(0).and_then(|line| line.row()?.entry);
                let is_own = |it: &&(EntryId, ChannelName)| source == Source::All || it.1 == ChannelName::Echo;
                assert_eq!(first, scroller.said.iter().find(is_own).map(|it| it.0), "the beginning was not reached");
                for _ in 0..1_000 {
                    if scroller.store.ring(source).unwrap().back().reaches_ring() {
                        break;
                    }
                    scroller.reads(source, Toward::Newer, 0).await;
                    scroller.is_whole(source);
                }
                assert!(scroller.store.ring(source).unwrap().back().reaches_ring(), "it never came back");
            }
        });
    }
}

#[tokio::test(start_paused = true)]
async fn a_search_finds_what_is_older_says_how_far_it_came_and_ends_at_the_beginning() {
    let mut scroller = Scroller::new(700, 3, 50).await;
    scroller.store.set_filter("\"echo 1\" -10".parse().unwrap());
    let shown = scroller.store.all.view().len();
    scroller.reads(Source::All, Toward::Older, 0).await;
    while !scroller.store.all.back().is_beginning() {
        scroller.reads(Source::All, Toward::Older, 0).await;
    }
    let back = scroller.store.all.back();
    assert_eq!(back.found() + shown, 111 - 12, "echo 1, 1x, 1xx without those with a 10");
    assert_eq!(back.reached(), scroller.said.first().map(|it| it.0.at()));
    scroller.store.set_filter("\"echo 2\"".parse().unwrap());
    assert_eq!((scroller.store.all.back().found(), scroller.store.all.back().is_used()), (0, false), "another filter");
}

#[tokio::test(start_paused = true)]
async fn a_past_that_cannot_be_read_is_said_and_what_an_older_search_found_is_not_taken() {
    let mut scroller = Scroller::new(400, 0, 50).await;
    let bus = Arc::new(scroller.world.store.another());
    bus.fail_next(40, BusError::Unreachable("refused \x1b[31m".to_owned()));
    let wanted = scroller.store.read_back(Source::All, Toward::Older).unwrap();
    assert_eq!(scroller.store.read_back(Source::All, Toward::Older), None, "it is being read");
    let (queue, mut batches) = mpsc::channel(QUEUE);
    back::read(bus, wanted.clone(), queue.clone()).await;
    for item in batches.recv().await.unwrap() {
        scroller.store.apply(item);
    }
    match scroller.store.all.back().reading() {
        Reading::Failed(why) => assert!(why.contains("refused") && !why.contains('\x1b'), "{why}"),
        other => panic!("{other:?}"),
    }
    let again = scroller.store.read_back(Source::All, Toward::Older).unwrap();
    assert_ne!(again.serial, wanted.serial);
    back::read(scroller.world.bus(), wanted, queue).await;
    for item in batches.recv().await.unwrap() {
        scroller.store.apply(item);
    }
    assert_eq!(scroller.store.all.back().lines().len(), 0, "that was asked for before");
}

#[tokio::test(start_paused = true)]
async fn first_the_past_in_its_order_then_what_comes_and_nothing_twice() {
    let mut fed = Fed::new(&["one", "two"]).await;
    assert_eq!((fed.said().await, fed.said().await), ("one".to_owned(), "two".to_owned()));
    fed.next(|item| matches!(item, Item::Filled).then_some(())).await;
    fed.world.say(fed.world.request("three")).await;
    assert_eq!(fed.said().await, "three");
    fed.world.say(fed.world.request("four")).await;
    assert_eq!(fed.said().await, "four");
    fed.stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn a_bus_that_goes_away_is_said_once_and_what_was_said_meanwhile_is_not_lost() {
    let mut fed = Fed::new(&[]).await;
    fed.next(|item| matches!(item, Item::Filled).then_some(())).await;
    fed.bus.fail_next(40, BusError::Unreachable("refused \x1b[31m".to_owned()));
    fed.world.say(fed.world.request("wakes the watch")).await;
    let reason = fed
        .next(|item| match item {
            Item::Engine(EngineStatus::Away { reason, .. }) => Some(reason.clone()),
            _ => None,
        })
        .await;
    assert!(reason.contains("refused") && !reason.contains('\x1b'), "{reason}");
    fed.world.say(fed.world.request("meanwhile")).await;
    let live = |item: &Item| match item {
        Item::Engine(status) => Some(status.clone()),
        _ => None,
    };
    assert_eq!(fed.next(live).await, EngineStatus::Live);
    fed.next(|item| matches!(item, Item::Gap(_)).then_some(())).await;
    while fed.said().await != "meanwhile" {}
}

#[tokio::test(start_paused = true)]
async fn a_bell_has_the_documents_read_again() {
    let mut fed = Fed::new(&[]).await;
    let alerts = |item: &Item| match item {
        Item::Documents { prefix, found, .. } if prefix == "alerts:" => Some(found.len()),
        _ => None,
    };
    assert_eq!(fed.next(alerts).await, 0);
    let fields = vec![("state".to_owned(), Some("triggered".to_owned()))];
    let change = Op::Change { key: Key::new("alerts:a"), expect: Expect::Any, fields, ttl: Ttl::Keep };
    let body = Alerts::Triggered(crate::contracts::body::Example::example());
    let said = fed.world.origin(Trust::System).compose::<grants::Gate, _>(ALERTS, body).unwrap();
    fed.world.commit(vec![change, Op::Append(said)]).await;
    assert_eq!(fed.next(alerts).await, 1);
}

/// Commits an experiment's document with a message, and says how long it takes until the room has the document.
async fn until_read(fed: &mut Fed, id: &str, said: crate::bus::Outgoing) -> Duration {
    let fields = vec![("state".to_owned(), Some("draft".to_owned()))];
    let key = Key::new(format!("experiments:{id}"));
    let change = Op::Change { key: key.clone(), expect: Expect::Any, fields, ttl: Ttl::Keep };
    let began = tokio::time::Instant::now();
    fed.world.commit(vec![change, Op::Append(said)]).await;
    fed.next(|item| match item {
        Item::Documents { found, .. } if found.iter().any(|(found, _)| *found == key) => Some(()),
        _ => None,
    })
    .await;
    began.elapsed()
}

#[tokio::test(start_paused = true)]
async fn an_experiment_is_read_again_with_whatever_is_said_about_it() {
    use crate::contracts::body::Example;
    use crate::contracts::messages::{
        ExperimentReady, FullsendCompleted, Metrics, Proposal, Proposals, RunStarted, ToOrchestrator,
    };
    use crate::contracts::wiring::{METRICS, PROPOSALS, TO_ORCHESTRATOR};
    let mut fed = Fed::new(&[]).await;
    fed.next(|item| matches!(item, Item::Filled).then_some(())).await;
    // What is read at the start: these are its last.
    fed.next(|item| matches!(item, Item::Documents { prefix, .. } if prefix == "tools:").then_some(())).await;
    let origin = fed.world.origin(Trust::System);
    let of_fullsend = |body: ToOrchestrator| origin.compose::<grants::Fullsend, _>(TO_ORCHESTRATOR, body).unwrap();
    let proposal = origin.compose::<grants::Fullsend, _>(PROPOSALS, Proposals::from(Proposal::example())).unwrap();
    let started = Metrics::RunStarted(RunStarted::example());
    let said = [
        ("designed", of_fullsend(FullsendCompleted::example().into())),
        ("ready", of_fullsend(ExperimentReady::example().into())),
        ("proposed", proposal),
        ("started", origin.compose::<grants::Executor, _>(METRICS, started).unwrap()),
    ];
    for (id, said) in said {
        let took = until_read(&mut fed, id, said).await;
        assert!(took < Duration::from_secs(1), "{id}: {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_others_change_is_read_however_much_is_said() {
    let mut fed = Fed::new(&[]).await;
    fed.next(|item| matches!(item, Item::Filled).then_some(())).await;
    let fields = vec![("state".to_owned(), Some("paused".to_owned()))];
    let change = Op::Change { key: Key::new("experiments:x"), expect: Expect::Any, fields, ttl: Ttl::Keep };
    fed.world.commit(vec![change]).await;
    let began = tokio::time::Instant::now();
    let body = crate::contracts::messages::Metrics::Event(crate::contracts::body::Example::example());
    let read = |item: &Item| match item {
        Item::Documents { prefix, found, .. } if prefix == "experiments:" && !found.is_empty() => Some(()),
        _ => None,
    };
    loop {
        let origin = fed.world.origin(Trust::Operator);
        let said = origin.compose::<grants::ControlRoom, _>(crate::contracts::wiring::METRICS, body.clone()).unwrap();
        fed.world.commit(vec![Op::Append(said)]).await;
        if tokio::time::timeout(Duration::from_millis(500), fed.next(read)).await.is_ok() {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(25), "it is never read");
    }
}

#[tokio::test(start_paused = true)]
async fn a_channel_whose_key_holds_something_else_is_left_out_and_the_others_go_on() {
    let world = World::new();
    world.store.set_foreign(&Key::new(keys::stream(ChannelName::Alerts)));
    let bus = Arc::new(world.store.another());
    let (queue, batches) = mpsc::channel(QUEUE);
    let feed =
        Feed { bus: Arc::<MemoryBus>::clone(&bus), clock: Arc::clone(&world.clock), queue, beside: Beside::default() };
    let stop = CancellationToken::new();
    tokio::spawn(feed.run(stop.clone()));
    let mut fed = Fed { world, bus, batches, waiting: Vec::new(), stop };
    fed.next(|item| matches!(item, Item::Filled).then_some(())).await;
    fed.world.say(fed.world.request("goes on")).await;
    assert_eq!(fed.said().await, "goes on");
}

#[tokio::test(start_paused = true)]
async fn the_feed_ends_with_the_room() {
    let world = World::new();
    let (queue, batches) = mpsc::channel(QUEUE);
    let feed = Feed { bus: world.bus(), clock: Arc::clone(&world.clock), queue, beside: Beside::default() };
    drop(batches);
    tokio::time::timeout(Duration::from_hours(1), feed.run(CancellationToken::new()))
        .await
        .expect("it goes on for nobody");
}

#[tokio::test(start_paused = true)]
async fn documents_that_change_with_every_number_are_read_once_a_second() {
    let mut fed = Fed::new(&[]).await;
    fed.next(|item| matches!(item, Item::Filled).then_some(())).await;
    let body = crate::contracts::messages::Metrics::Event(crate::contracts::body::Example::example());
    let numbers = |item: &Item| match item {
        Item::Documents { prefix, .. } if prefix == "metrics_aggregated:" => Some(()),
        _ => None,
    };
    let mut reads = 0;
    for _ in 0..100 {
        let origin = fed.world.origin(Trust::Operator);
        let said = origin.compose::<grants::ControlRoom, _>(crate::contracts::wiring::METRICS, body.clone()).unwrap();
        fed.world.commit(vec![Op::Append(said)]).await;
        let until = tokio::time::Instant::now() + Duration::from_millis(40);
        while tokio::time::timeout_at(until, fed.next(numbers)).await.is_ok() {
            reads += 1;
        }
    }
    assert!((3..=6).contains(&reads), "{reads} in four seconds");
}
