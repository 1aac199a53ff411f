//! The embedded engine beyond the conformance suite: two processes on one file, parked delivery, a full disk, kills and torn logs.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::similar_names,
    reason = "a test that cannot go on has failed; its names are short"
)]

use std::collections::HashSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::DateTime;
use fullsend::bus::embedded::{EmbeddedBus, EmbeddedOptions, Step};
use fullsend::bus::*;
use fullsend::contracts::*;

const WORK: ChannelName = ChannelName::Echo;
const NEXT: ChannelName = ChannelName::Metrics;
const LONG: Duration = Duration::from_secs(20);
const NOW: Duration = Duration::ZERO;
const ONE: Want = Want { start: 1, ahead: 0 };

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(DateTime::from_timestamp_millis(1_800_000_000_000).unwrap()))
}

fn open_with(path: &Path, clock: &Arc<ManualClock>) -> EmbeddedBus {
    EmbeddedBus::open(EmbeddedOptions::new(path, Arc::clone(clock) as Arc<dyn Clock>)).unwrap()
}

fn message(channel: ChannelName, body: &str) -> Outgoing {
    let id = Ids::seeded(1).message(DateTime::UNIX_EPOCH);
    let envelope = Envelope {
        id,
        kind: "echo_request".into(),
        v: 1,
        source: "echo".into(),
        at: DateTime::UNIX_EPOCH,
        trace: id.into(),
        cause: None,
        subject: None,
        priority: Priority::Medium,
        trust: Trust::System,
        expires_at: None,
    };
    Outgoing::new(channel, envelope, format!(r#"{{"type":"echo_request","text":"{body}"}}"#)).unwrap()
}

fn say(body: &str) -> Vec<Commit> {
    vec![Commit::of(vec![Op::Append(message(WORK, body))])]
}

async fn send(bus: &dyn Bus, body: &str) -> EntryId {
    match bus.commit(say(body)).await.unwrap().remove(0) {
        Outcome::Committed(ids) => ids[0],
        other => panic!("{other:?}"),
    }
}

fn reader(name: &str) -> Reader {
    Reader { group: "echo".to_owned(), consumer: name.to_owned() }
}

fn text(claimed: &[Claimed]) -> Vec<String> {
    claimed.iter().map(|c| c.entry.b.split('"').nth(7).unwrap_or_default().to_owned()).collect()
}

fn ack(id: EntryId) -> Commit {
    let pending = PendingRef { channel: WORK, group: "echo".to_owned(), entry: id };
    Commit { acknowledge: vec![pending], ..Commit::default() }
}

struct Home {
    dir: tempfile::TempDir,
    clock: Arc<ManualClock>,
}

impl Home {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), clock: clock() }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("home/fullsend.db")
    }

    fn open(&self) -> EmbeddedBus {
        open_with(&self.path(), &self.clock)
    }

    fn sql(&self, sql: &str) {
        rusqlite::Connection::open(self.path()).unwrap().execute_batch(sql).unwrap();
    }
}

// ---- delivery ----------------------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_reader_is_given_what_is_said_in_the_transaction_that_says_it() {
    let home = Home::new();
    let commits = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&commits);
    let mut options = EmbeddedOptions::new(home.path(), home.clock.clone());
    options.on_step = Some(Arc::new(move |step| {
        if step == Step::AfterCommit {
            counted.fetch_add(1, Ordering::SeqCst);
        }
    }));
    let bus = Arc::new(EmbeddedBus::open(options).unwrap());
    bus.ensure_group(WORK, "echo").await.unwrap();
    assert!(bus.read(&reader("a"), &[WORK], ONE, NOW).await.unwrap().is_empty());
    let waiting = tokio::spawn({
        let bus = Arc::clone(&bus);
        async move { bus.read(&reader("a"), &[WORK], ONE, LONG).await.unwrap() }
    });
    // A sign of life of the waiting reader would be a transaction of its own; it was given just now, so there is none.
    let before = commits.load(Ordering::SeqCst);
    while !waiting.is_finished() {
        if commits.load(Ordering::SeqCst) == before {
            send(bus.as_ref(), "hello").await;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(text(&waiting.await.unwrap()), ["hello"]);
    // Either it waited already and one transaction did both, or it came later and found the message.
    assert!(commits.load(Ordering::SeqCst) - before <= 2);
}

#[tokio::test]
async fn a_reader_that_comes_just_before_the_news_is_given_them_in_the_same_transaction() {
    let home = Home::new();
    let commits = Arc::new(AtomicUsize::new(0));
    let (go, gone) = std::sync::mpsc::sync_channel::<()>(1);
    let (armed, gone) = (Arc::new(AtomicBool::new(false)), Mutex::new(gone));
    let mut options = EmbeddedOptions::new(home.path(), home.clock.clone());
    options.on_step = Some(Arc::new({
        let (commits, armed) = (Arc::clone(&commits), Arc::clone(&armed));
        move |step| match step {
            Step::AfterCommit => {
                commits.fetch_add(1, Ordering::SeqCst);
            }
            // Holds the transaction open until more has come.
            Step::AfterAppend if armed.swap(false, Ordering::SeqCst) => gone.lock().unwrap().recv().unwrap(),
            _ => {}
        }
    }));
    let bus = Arc::new(EmbeddedBus::open(options).unwrap());
    bus.ensure_group(WORK, "echo").await.unwrap();
    let before = commits.load(Ordering::SeqCst);
    armed.store(true, Ordering::SeqCst);
    let spawn = |units: Vec<Commit>| {
        let bus = Arc::clone(&bus);
        tokio::spawn(async move { bus.commit(units).await.unwrap() })
    };
    let first = spawn(vec![Commit::of(vec![Op::Append(message(NEXT, "first"))])]);
    while armed.load(Ordering::SeqCst) {
        tokio::task::yield_now().await;
    }
    let reading = tokio::spawn({
        let (bus, commits) = (Arc::clone(&bus), Arc::clone(&commits));
        async move {
            let claimed = bus.read(&reader("a"), &[WORK], ONE, LONG).await.unwrap();
            (text(&claimed), commits.load(Ordering::SeqCst))
        }
    });
    // On this runtime of one thread each task has spoken to the writer before the next line runs.
    tokio::task::yield_now().await;
    let news = spawn(say("news"));
    tokio::task::yield_now().await;
    go.send(()).unwrap();
    assert_eq!(reading.await.unwrap(), (vec!["news".to_owned()], before + 1));
    first.await.unwrap();
    news.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_and_leaves_nothing_behind() {
    let home = Home::new();
    let bus = home.open();
    bus.ensure_group(WORK, "echo").await.unwrap();
    assert!(bus.read(&reader("a"), &[WORK], ONE, Duration::from_secs(3)).await.unwrap().is_empty());
    send(&bus, "later").await;
    assert!(bus.own_pending(&reader("a"), &[WORK], 9).await.unwrap().claimed.is_empty());
    assert_eq!(text(&bus.read(&reader("b"), &[WORK], ONE, NOW).await.unwrap()), ["later"]);
}

#[tokio::test]
async fn waiting_readers_of_one_group_share_and_groups_do_not() {
    let home = Home::new();
    let bus = Arc::new(home.open());
    for group in ["echo", "other"] {
        bus.ensure_group(WORK, group).await.unwrap();
    }
    let mut waiting = tokio::task::JoinSet::new();
    for (group, consumer) in [("echo", "a"), ("echo", "b"), ("other", "a")] {
        let bus = Arc::clone(&bus);
        let reader = Reader { group: group.to_owned(), consumer: consumer.to_owned() };
        waiting.spawn(async move {
            let claimed = bus.read(&reader, &[WORK], ONE, LONG).await.unwrap();
            (group, claimed[0].entry.id)
        });
    }
    let first = send(bus.as_ref(), "1").await;
    let second = send(bus.as_ref(), "2").await;
    let got: HashSet<_> = waiting.join_all().await.into_iter().collect();
    assert_eq!(got, HashSet::from([("echo", first), ("echo", second), ("other", first)]));
}

#[tokio::test]
async fn several_channels_are_read_oldest_first_and_only_the_first_are_started() {
    let home = Home::new();
    let bus = home.open();
    for channel in [WORK, NEXT] {
        bus.ensure_group(channel, "echo").await.unwrap();
    }
    for (channel, body) in [(WORK, "1"), (NEXT, "2"), (WORK, "3"), (NEXT, "4")] {
        bus.commit(vec![Commit::of(vec![Op::Append(message(channel, body))])]).await.unwrap();
        home.clock.advance(Duration::from_millis(1));
    }
    let want = Want { start: 1, ahead: 2 };
    let claimed = bus.read(&reader("a"), &[NEXT, WORK], want, NOW).await.unwrap();
    assert_eq!(text(&claimed), ["1", "2", "3"]);
    assert_eq!(claimed.iter().map(|c| c.attempt).collect::<Vec<_>>(), [1, 0, 0]);
    assert_eq!(text(&bus.read(&reader("a"), &[NEXT, WORK], want, NOW).await.unwrap()), ["4"]);
}

// ---- two processes -----------------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_process_says_wakes_readers_watchers_and_listeners() {
    let home = Home::new();
    let (here, there) = (Arc::new(home.open()), home.open());
    here.ensure_group(WORK, "echo").await.unwrap();
    let mut listener = here.listen(&[WORK, ChannelName::Costs]).await.unwrap();
    let reading = tokio::spawn({
        let here = Arc::clone(&here);
        async move { here.read(&reader("a"), &[WORK], ONE, LONG).await.unwrap() }
    });
    let watching = tokio::spawn({
        let here = Arc::clone(&here);
        async move { here.watch(&[(WORK, EntryId::ZERO)], 10, LONG).await.unwrap() }
    });
    let id = send(&there, "across").await;
    assert_eq!(text(&reading.await.unwrap()), ["across"]);
    assert_eq!(watching.await.unwrap()[0].id, id);
    assert_eq!(listener.heard.recv().await.unwrap().channel, WORK);
    there.notify(message(ChannelName::Costs, "cheap")).await.unwrap();
    let heard = listener.heard.recv().await.unwrap();
    assert!(heard.channel == ChannelName::Costs && heard.envelope.is_some() && heard.body.contains("cheap"));
}

#[tokio::test]
async fn two_processes_give_each_message_once_and_ids_that_ascend() {
    let home = Home::new();
    let (a, b) = (home.open(), home.open());
    a.ensure_group(WORK, "echo").await.unwrap();
    let mut ids = Vec::new();
    for n in 0..20 {
        let bus = if n % 3 == 0 { &a } else { &b };
        ids.push(send(bus, &n.to_string()).await);
    }
    assert!(ids.is_sorted_by(|x, y| x < y), "{ids:?}");
    let mut given = Vec::new();
    for n in 0..20 {
        let bus = if n % 2 == 0 { &a } else { &b };
        given.extend(bus.read(&reader("x"), &[WORK], ONE, NOW).await.unwrap().into_iter().map(|c| c.entry.id));
    }
    assert_eq!(given, ids);
    // The first commit wins, whoever makes it.
    assert_eq!(a.commit(vec![ack(ids[0])]).await.unwrap(), [Outcome::Committed(vec![])]);
    assert_eq!(b.commit(vec![ack(ids[0])]).await.unwrap(), [Outcome::NotPending]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_process_gets_in_during_a_flood() {
    let home = Home::new();
    let flooder = Arc::new(EmbeddedBus::open(EmbeddedOptions::new(home.path(), Arc::new(SystemClock))).unwrap());
    let other = EmbeddedBus::open(EmbeddedOptions::new(home.path(), Arc::new(SystemClock))).unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let mut flood = tokio::task::JoinSet::new();
    for _ in 0..32 {
        let (bus, done) = (Arc::clone(&flooder), Arc::clone(&done));
        flood.spawn(async move {
            while !done.load(Ordering::SeqCst) {
                bus.commit(say("flood")).await.unwrap();
            }
        });
    }
    for n in 0..5 {
        send(&other, &n.to_string()).await;
    }
    done.store(true, Ordering::SeqCst);
    flood.join_all().await;
}

/// Set for the second process of the test below: the file it works on.
const FILE_OF_CHILD: &str = "EMBEDDED_ENGINE_TEST_FILE";

/// Not a test of its own: the second process of [`a_process_killed_at_any_moment_loses_nothing_it_was_told`].
#[tokio::test]
async fn child_process() {
    let Ok(file) = std::env::var(FILE_OF_CHILD) else { return };
    let bus = EmbeddedBus::open(EmbeddedOptions::new(file, Arc::new(SystemClock))).unwrap();
    for n in 0.. {
        let id = send(&bus, &n.to_string()).await;
        println!("said {id}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_killed_at_any_moment_loses_nothing_it_was_told() {
    use std::io::{BufRead, BufReader};
    let home = Home::new();
    let ours = EmbeddedBus::open(EmbeddedOptions::new(home.path(), Arc::new(SystemClock))).unwrap();
    ours.ensure_group(WORK, "echo").await.unwrap();
    for round in 1..4 {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_process", "--nocapture"])
            .env(FILE_OF_CHILD, home.path())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let mut told = Vec::new();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        for line in lines.map_while(Result::ok) {
            told.extend(line.split_once("said ").map(|(_, id)| id.parse::<EntryId>().unwrap()));
            if told.len() == 40 * round {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        let stored = ours.range(WORK, Range::after(EntryId::ZERO, usize::MAX)).await.unwrap();
        let stored: HashSet<EntryId> = stored.into_iter().map(|entry| entry.id).collect();
        assert!(told.len() >= 40 * round && told.iter().all(|id| stored.contains(id)));
    }
    send(&ours, "and we go on").await;
}

// ---- commits -----------------------------------------------------------------------------------------------------------

fn change(key: &str, expect: Expect, field: &str) -> Op {
    let fields = vec![(field.to_owned(), Some("1".to_owned()))];
    Op::Change { key: Key::new(key), expect, fields, ttl: Ttl::Keep }
}

#[tokio::test]
async fn a_refused_unit_leaves_nothing_and_does_not_stop_the_next() {
    let home = Home::new();
    let bus = home.open();
    let units = vec![
        Commit::of(vec![change("a", Expect::Absent, "x")]),
        Commit::of(vec![
            Op::Append(message(WORK, "never")),
            change("b", Expect::Absent, "x"),
            change("a", Expect::Version(7), "y"),
        ]),
        Commit::of(vec![change("a", Expect::Version(1), "z"), Op::Append(message(WORK, "yes"))]),
    ];
    let outcomes = bus.commit(units).await.unwrap();
    assert_eq!(outcomes[0], Outcome::Committed(vec![]));
    assert_eq!(outcomes[1], Outcome::Conflict { key: Key::new("a"), found: Some(1) });
    assert!(matches!(&outcomes[2], Outcome::Committed(ids) if ids.len() == 1));
    assert_eq!(bus.get(&Key::new("b")).await.unwrap(), None);
    let all = bus.range(WORK, Range::newest(9)).await.unwrap();
    assert!(all.len() == 1 && all[0].b.contains("yes"));
}

#[tokio::test]
async fn two_acknowledgements_of_one_unit_are_both_or_none() {
    let home = Home::new();
    let bus = home.open();
    bus.ensure_group(WORK, "echo").await.unwrap();
    let (one, two) = (send(&bus, "1").await, send(&bus, "2").await);
    bus.read(&reader("a"), &[WORK], Want { start: 2, ahead: 0 }, NOW).await.unwrap();
    assert_eq!(bus.commit(vec![ack(two)]).await.unwrap(), [Outcome::Committed(vec![])]);
    let mut both = ack(one);
    both.acknowledge.extend(ack(two).acknowledge);
    assert_eq!(bus.commit(vec![both]).await.unwrap(), [Outcome::NotPending]);
    assert_eq!(bus.inspect(WORK).await.unwrap().groups[0].oldest_pending, Some(one));
}

#[tokio::test]
async fn clocks_that_jump_do_not_disturb_ids_leases_or_idle_times() {
    let home = Home::new();
    let bus = home.open();
    bus.ensure_group(WORK, "echo").await.unwrap();
    let first = send(&bus, "1").await;
    bus.read(&reader("a"), &[WORK], ONE, NOW).await.unwrap();
    let fence = bus.lease("bridge", "me", Duration::from_secs(10)).await.unwrap().unwrap();
    for hours in [-5, 9] {
        home.clock.jump(chrono::TimeDelta::hours(hours));
        assert!(send(&bus, "2").await > first);
        assert_eq!(bus.lease("bridge", "you", Duration::from_secs(10)).await.unwrap(), None);
        let stale = bus.claim_stale(&reader("b"), &[WORK], Duration::from_secs(3), 9).await.unwrap();
        assert!(stale.claimed.is_empty());
    }
    home.clock.advance(Duration::from_secs(10));
    let stale = bus.claim_stale(&reader("b"), &[WORK], Duration::from_secs(3), 9).await.unwrap();
    assert_eq!(stale.claimed[0].entry.id, first);
    let next = bus.lease("bridge", "you", Duration::from_secs(10)).await.unwrap().unwrap();
    assert!(next.number > fence.number);
    let stale = Commit { under: Some(fence), ..Commit::of(vec![]) };
    assert_eq!(bus.commit(vec![stale]).await.unwrap(), [Outcome::Fenced]);
}

// ---- groups and trimming -----------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_group_deleted_by_hand_fails_its_readers_and_resumes() {
    let home = Home::new();
    let bus = home.open();
    bus.ensure_group(WORK, "echo").await.unwrap();
    let ids = [send(&bus, "1").await, send(&bus, "2").await, send(&bus, "3").await];
    bus.read(&reader("a"), &[WORK], Want { start: 3, ahead: 0 }, NOW).await.unwrap();
    bus.commit(vec![ack(ids[0]), ack(ids[2])]).await.unwrap();
    home.sql("DELETE FROM groups");
    let gone = bus.read(&reader("a"), &[WORK], ONE, NOW).await.unwrap_err();
    assert!(matches!(gone, BusError::NoGroup { .. }), "{gone}");
    assert_eq!(bus.ensure_group(WORK, "echo").await.unwrap(), GroupFound::Resumed(ids[0]));
    let again = bus.read(&reader("a"), &[WORK], Want { start: 9, ahead: 0 }, NOW).await.unwrap();
    assert_eq!(text(&again), ["2", "3"]);
    assert_eq!(bus.ensure_group(WORK, "echo").await.unwrap(), GroupFound::Existing);
}

#[tokio::test]
async fn a_waiting_reader_is_told_that_its_group_is_gone() {
    let home = Home::new();
    let bus = Arc::new(home.open());
    bus.ensure_group(WORK, "echo").await.unwrap();
    let waiting = tokio::spawn({
        let bus = Arc::clone(&bus);
        async move { bus.read(&reader("a"), &[WORK], ONE, LONG).await }
    });
    tokio::task::yield_now().await;
    home.sql("DELETE FROM groups");
    assert!(matches!(waiting.await.unwrap(), Err(BusError::NoGroup { .. })));
}

#[tokio::test]
async fn trimming_never_takes_what_a_group_needs_and_ids_go_on_afterwards() {
    let home = Home::new();
    let bus = home.open();
    bus.ensure_group(WORK, "echo").await.unwrap();
    let mut ids = Vec::new();
    for n in 0..1_300 {
        ids.push(send(&bus, &n.to_string()).await);
    }
    let future = Clock::now(home.clock.as_ref()) + chrono::TimeDelta::hours(1);
    assert_eq!(bus.trim(WORK, future, 0).await.unwrap(), 0, "nothing was handed out");
    let all = Want { start: 1_300, ahead: 0 };
    bus.read(&reader("a"), &[WORK], all, NOW).await.unwrap();
    bus.commit(ids[..1_200].iter().map(|id| ack(*id)).collect()).await.unwrap();
    assert_eq!(bus.trim(WORK, future, 0).await.unwrap(), 1_200);
    assert_eq!(bus.inspect(WORK).await.unwrap().first, Some(ids[1_200]));
    bus.commit(ids[1_200..].iter().map(|id| ack(*id)).collect()).await.unwrap();
    assert_eq!(bus.trim(WORK, future, 10).await.unwrap(), 100, "both age and length may take it");
    let empty = bus.inspect(WORK).await.unwrap();
    assert_eq!((empty.length, empty.first), (0, None));
    bus.close().await;
    assert!(send(&home.open(), "after").await > ids[1_299]);
}

#[tokio::test]
async fn history_is_found_by_id_and_time_also_with_holes() {
    let home = Home::new();
    let bus = home.open();
    let mut ids = Vec::new();
    for n in 0..50 {
        ids.push(send(&bus, &n.to_string()).await);
        if n % 3 == 0 {
            home.clock.advance(Duration::from_millis(7));
        }
    }
    home.sql("DELETE FROM stream_echo WHERE pos IN (1, 20, 21, 22, 50)");
    let there: Vec<EntryId> =
        ids.iter().enumerate().filter(|(n, _)| ![0, 19, 20, 21, 49].contains(n)).map(|(_, id)| *id).collect();
    for id in &ids {
        let after = bus.range(WORK, Range::after(*id, 99)).await.unwrap();
        let wanted: Vec<_> = there.iter().filter(|x| *x > id).copied().collect();
        assert_eq!(after.iter().map(|e| e.id).collect::<Vec<_>>(), wanted, "after {id}");
        let range = Range { from: Bound::Time(id.at()), to: Bound::Entry(*id), newest_first: true, limit: 99 };
        let before = bus.range(WORK, range).await.unwrap();
        let wanted: Vec<_> = there.iter().rev().filter(|x| x.ms >= id.ms && *x < id).copied().collect();
        assert_eq!(before.iter().map(|e| e.id).collect::<Vec<_>>(), wanted);
    }
}

// ---- search ------------------------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_said_is_found_newest_first_and_not_once_it_is_trimmed() {
    let home = Home::new();
    let bus = home.open();
    for (channel, body) in [(WORK, "a blue whale"), (NEXT, "the blue sky"), (WORK, "a red whale")] {
        bus.commit(vec![Commit::of(vec![Op::Append(message(channel, body))])]).await.unwrap();
        home.clock.advance(Duration::from_millis(1));
    }
    let found = |query: &'static str| {
        let bus = &bus;
        let words: Vec<String> = query.split(' ').map(str::to_owned).collect();
        async move {
            let found = bus.search(&words, 10, None).await.unwrap();
            found.map(|found| found.into_iter().map(|e| e.b).collect::<Vec<_>>())
        }
    };
    while found("whale").await.unwrap().len() < 2 {
        tokio::task::yield_now().await;
    }
    let whales = found("wha").await.unwrap();
    assert!(whales[0].contains("red") && whales[1].contains("blue"));
    assert_eq!(found("blue").await.unwrap().len(), 2);
    assert_eq!(found("blu whale").await.unwrap().len(), 1, "the beginning of a word is enough");
    assert_eq!(found("\"*").await, None, "there are no words in it");
    let whale = ["whale".to_owned()];
    let newest = bus.search(&whale, 1, None).await.unwrap().unwrap().remove(0);
    assert!(bus.search(&whale, 9, Some(newest.id)).await.unwrap().unwrap()[0].b.contains("blue"));
    bus.trim(WORK, Clock::now(home.clock.as_ref()), 1).await.unwrap();
    assert_eq!(found("whale").await.unwrap().len(), 0);
    assert_eq!(found("sky").await.unwrap().len(), 1);
}

// ---- faults ------------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_full_disk_is_said_and_passes() {
    let home = Home::new();
    let mut options = EmbeddedOptions::new(home.path(), home.clock.clone());
    options.max_pages = Some(200);
    let bus = EmbeddedBus::open(options).unwrap();
    bus.ensure_group(WORK, "echo").await.unwrap();
    let big = "x".repeat(100_000);
    let mut said = 0;
    let error = loop {
        match bus.commit(say(&big)).await {
            Ok(_) => said += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(&error, BusError::ReadOnly { .. }), "{error}");
    assert!(!error.unknown_outcome());
    assert!(said > 0 && bus.range(WORK, Range::newest(99)).await.unwrap().len() == said);
    let all = bus.read(&reader("a"), &[WORK], Want { start: 99, ahead: 0 }, NOW).await.unwrap();
    bus.commit(all.iter().map(|c| ack(c.entry.id)).collect()).await.unwrap();
    assert_eq!(bus.trim(WORK, Clock::now(home.clock.as_ref()), 0).await.unwrap(), said as u64);
    send(&bus, "there is room again").await;
}

/// Copies the store's files as they are at this moment, as a kill would leave them.
fn freeze(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for suffix in ["", "-wal"] {
        let name = format!("fullsend.db{suffix}");
        if from.join(&name).exists() {
            std::fs::copy(from.join(&name), to.join(&name)).unwrap();
        }
    }
}

#[tokio::test]
async fn a_kill_at_any_step_leaves_each_unit_whole() {
    let home = Home::new();
    let frozen = home.dir.path().join("frozen");
    let folder = home.path().parent().unwrap().to_owned();
    let steps = Arc::new(Mutex::new(Vec::new()));
    let mut options = EmbeddedOptions::new(home.path(), home.clock.clone());
    options.on_step = Some({
        let (steps, frozen) = (Arc::clone(&steps), frozen.clone());
        Arc::new(move |step| {
            let mut steps = steps.lock().unwrap();
            freeze(&folder, &frozen.join(steps.len().to_string()));
            steps.push(step);
        })
    });
    let bus = EmbeddedBus::open(options).unwrap();
    bus.ensure_group(WORK, "echo").await.unwrap();
    let id = send(&bus, "1").await;
    bus.read(&reader("a"), &[WORK], ONE, NOW).await.unwrap();
    let unit = Commit { ops: vec![Op::Append(message(NEXT, "2")), change("doc", Expect::Absent, "x")], ..ack(id) };
    bus.commit(vec![unit]).await.unwrap();
    bus.close().await;
    let steps = steps.lock().unwrap().clone();
    assert!(steps.len() >= 10, "{steps:?}");
    let mut seen = HashSet::new();
    for (n, step) in steps.iter().enumerate() {
        let copy = open_with(&frozen.join(n.to_string()).join("fullsend.db"), &home.clock);
        assert_eq!(copy.opened().salvaged, None);
        let info = copy.inspect(WORK).await.unwrap();
        let pending = info.groups.first().map_or(0, |group| group.pending);
        let lag = info.groups.first().and_then(|group| group.lag).unwrap_or(0);
        let effects = copy.range(NEXT, Range::newest(9)).await.unwrap().len() as u64;
        let doc = u64::from(copy.get(&Key::new("doc")).await.unwrap().is_some());
        // Said, then held, then handled: in exactly one of these, and the effects are all there or none.
        assert_eq!(effects, doc);
        assert_eq!(info.length, pending + lag + effects, "at {n}, {step:?}");
        seen.insert((info.length, pending, lag, effects));
    }
    assert_eq!(seen, HashSet::from([(0, 0, 0, 0), (1, 0, 1, 0), (1, 1, 0, 0), (1, 0, 0, 1)]));
}

#[tokio::test]
async fn a_log_torn_anywhere_opens_and_says_so() {
    let home = Home::new();
    let bus = home.open();
    let mut ids = Vec::new();
    for n in 0..6 {
        ids.push(send(&bus, &n.to_string()).await);
    }
    let folder = home.path().parent().unwrap().to_owned();
    let torn = home.dir.path().join("torn");
    freeze(&folder, &torn);
    let log = std::fs::read(torn.join("fullsend.db-wal")).unwrap();
    let db = std::fs::read(torn.join("fullsend.db")).unwrap();
    let frame = 4096 + 24;
    for cut in (log.len() - 4 * frame..=log.len()).step_by(97).chain([log.len() - 1, log.len()]) {
        std::fs::remove_dir_all(&torn).unwrap();
        std::fs::create_dir_all(&torn).unwrap();
        std::fs::write(torn.join("fullsend.db"), &db).unwrap();
        std::fs::write(torn.join("fullsend.db-wal"), &log[..cut]).unwrap();
        let copy = open_with(&torn.join("fullsend.db"), &home.clock);
        let stored: Vec<EntryId> =
            copy.range(WORK, Range::after(EntryId::ZERO, 99)).await.unwrap().iter().map(|e| e.id).collect();
        assert_eq!(stored, ids[..stored.len()], "what is left is the beginning, whole");
        if (cut - 32) % frame != 0 {
            assert!(copy.opened().torn_bytes > 0 && !copy.opened().sentences().is_empty(), "cut at {cut}");
            assert!(copy.health().await.unwrap().findings.iter().any(|f| f.what.contains("unfinished")));
        }
        if cut == log.len() {
            assert_eq!((copy.opened().torn_bytes, stored.len()), (0, 6));
        }
        send(&copy, "and it goes on").await;
        copy.close().await;
    }
}

#[tokio::test]
async fn a_damaged_file_is_moved_aside_and_what_can_be_read_is_saved() {
    let home = Home::new();
    let bus = home.open();
    bus.ensure_group(WORK, "echo").await.unwrap();
    let padding = "p".repeat(1_500);
    for n in 0..200 {
        send(&bus, &format!("{n} {padding}")).await;
    }
    bus.commit(vec![Commit::of(vec![change("doc", Expect::Absent, "x")])]).await.unwrap();
    bus.close().await;
    // Everything is in the main file now; a page in the middle of the stream gets overwritten.
    let mut bytes = std::fs::read(home.path()).unwrap();
    let at = bytes.windows(5).position(|w| w == b"\"100 ").unwrap() / 4096 * 4096;
    bytes[at..at + 4096].fill(0xA5);
    std::fs::write(home.path(), &bytes).unwrap();
    // It is noticed where it is read, and mended at the next start.
    let bus = home.open();
    let error = bus.range(WORK, Range::after(EntryId::ZERO, 999)).await.unwrap_err();
    assert!(error.to_string().contains("damaged"), "{error}");
    bus.close().await;
    let bus = home.open();
    let salvage = bus.opened().salvaged.clone().unwrap();
    assert!(salvage.moved_to.exists() && !salvage.lost.is_empty(), "{salvage}");
    let left = bus.range(WORK, Range::after(EntryId::ZERO, 999)).await.unwrap();
    assert!((190..200).contains(&left.len()), "{} left: {salvage}", left.len());
    assert!(left[0].b.contains("\"0 ") && left[left.len() - 1].b.contains("\"199 "));
    assert!(bus.get(&Key::new("doc")).await.unwrap().is_some());
    assert_eq!(bus.ensure_group(WORK, "echo").await.unwrap(), GroupFound::Existing);
    assert!(send(&bus, "next").await > left[left.len() - 1].id);
}

/// Whichever pages are hit, and whenever that is noticed: a start, or the one after it, saves what can be read.
#[tokio::test]
async fn damage_that_the_start_itself_meets_is_mended_by_it() {
    let mut chance = fastrand::Rng::with_seed(5);
    for first in [1, 2, 4, 5, 9, 16, 30] {
        let home = Home::new();
        let bus = home.open();
        bus.ensure_group(WORK, "echo").await.unwrap();
        for n in 0..200 {
            send(&bus, &format!("{n} {}", "p".repeat(1_500))).await;
        }
        bus.close().await;
        let mut bytes = std::fs::read(home.path()).unwrap();
        let at = first * 4096;
        assert!(bytes.len() > at + 20 * 4096, "{} bytes", bytes.len());
        bytes[at..at + 20 * 4096].fill_with(|| chance.u8(..));
        std::fs::write(home.path(), &bytes).unwrap();
        let bus = home.open();
        let is_mended = bus.opened().salvaged.is_some();
        let read = bus.range(WORK, Range::after(EntryId::ZERO, 999)).await;
        bus.close().await;
        assert!(is_mended || read.is_ok() || home.open().opened().salvaged.is_some(), "page {first}: {read:?}");
        send(&home.open(), "it goes on").await;
    }
}

#[tokio::test]
async fn a_file_cut_short_or_of_another_kind_still_opens() {
    for keep in [10_000, 4096, 50, 0] {
        let home = Home::new();
        let bus = home.open();
        send(&bus, "1").await;
        bus.close().await;
        let bytes = std::fs::read(home.path()).unwrap();
        std::fs::write(home.path(), &bytes[..keep]).unwrap();
        let bus = home.open();
        assert_eq!(bus.opened().salvaged.is_some(), keep > 0, "kept {keep}");
        send(&bus, "2").await;
    }
    let home = Home::new();
    std::fs::create_dir_all(home.path().parent().unwrap()).unwrap();
    std::fs::write(home.path(), "this is a letter, not a store ".repeat(500)).unwrap();
    let bus = home.open();
    let moved = bus.opened().salvaged.clone().unwrap().moved_to;
    assert!(std::fs::read_to_string(moved).unwrap().starts_with("this is a letter"));
    send(&bus, "1").await;
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_alone() {
    let home = Home::new();
    home.open().close().await;
    home.sql("PRAGMA user_version = 99");
    let refused = EmbeddedBus::open(EmbeddedOptions::new(home.path(), home.clock.clone())).err().unwrap();
    assert!(matches!(&refused, BusError::Unsupported(text) if text.contains("99")), "{refused}");
}

#[tokio::test]
async fn only_the_owner_can_open_the_files() {
    let home = Home::new();
    let bus = home.open();
    send(&bus, "1").await;
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(home.path().parent().unwrap()), 0o700);
    for suffix in ["", "-wal", "-shm"] {
        assert_eq!(mode(&PathBuf::from(format!("{}{suffix}", home.path().display()))), 0o600, "{suffix}");
    }
    assert!(bus.health().await.unwrap().findings.iter().all(|f| !f.fix.contains("chmod")));
    std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(bus.health().await.unwrap().findings.iter().any(|f| f.fix.contains("chmod 600")));
}

// ---- backups -----------------------------------------------------------------------------------------------------------

async fn records(bus: &EmbeddedBus) -> Vec<Record> {
    let (sink, mut source) = tokio::sync::mpsc::channel(4096);
    bus.export(sink).await.unwrap();
    let mut records = Vec::new();
    while let Some(record) = source.recv().await {
        records.push(record);
    }
    records
}

async fn put(bus: &EmbeddedBus, records: Vec<Record>) -> Result<u64, BusError> {
    let (sink, source) = tokio::sync::mpsc::channel(4096);
    for record in records {
        sink.send(record).await.unwrap();
    }
    drop(sink);
    bus.import(source).await
}

#[tokio::test]
async fn a_backup_put_back_is_the_same_store() {
    let (home, other) = (Home::new(), Home::new());
    let bus = home.open();
    bus.ensure_group(WORK, "echo").await.unwrap();
    let ids = [send(&bus, "1").await, send(&bus, "2").await, send(&bus, "3").await];
    bus.read(&reader("a"), &[WORK], Want { start: 1, ahead: 1 }, NOW).await.unwrap();
    bus.commit(vec![ack(ids[0])]).await.unwrap();
    let state = |change| Op::State { key: Key::new("s"), change };
    let timer = Timer { id: "t".to_owned(), at: DateTime::UNIX_EPOCH, message: message(NEXT, "late") };
    let ops = vec![
        change("d", Expect::Absent, "x"),
        state(StateChange::Score { member: "m".into(), score: 1.5 }),
        Op::Schedule(timer),
    ];
    bus.commit(vec![Commit { once: Some("k".to_owned()), ..Commit::of(ops) }]).await.unwrap();
    bus.lease("l", "me", LONG).await.unwrap();
    let saved = records(&bus).await;
    let copy = other.open();
    assert_eq!(put(&copy, saved.clone()).await.unwrap(), saved.len() as u64);
    assert_eq!(records(&copy).await, saved);
    assert!(matches!(put(&copy, saved.clone()).await, Err(BusError::NotEmpty(_))));
    let stale = copy.claim_stale(&reader("b"), &[WORK], LONG, 9).await.unwrap();
    assert_eq!((text(&stale.claimed), stale.claimed[0].attempt), (vec!["2".to_owned()], 0));
    assert_eq!(text(&copy.read(&reader("b"), &[WORK], ONE, NOW).await.unwrap()), ["3"]);
}

#[tokio::test]
async fn a_record_that_does_not_fit_is_named_and_nothing_stays() {
    let home = Home::new();
    let bus = home.open();
    let entry = |ms| Record::Entry { channel: WORK, id: EntryId { ms, seq: 0 }, e: String::new(), b: "{}".to_owned() };
    let bad = put(&bus, vec![entry(5), entry(4)]).await.unwrap_err();
    assert!(matches!(bad, BusError::BadRecord { line: 2, .. }), "{bad}");
    assert_eq!(put(&bus, vec![entry(4), entry(5)]).await.unwrap(), 2);
}
