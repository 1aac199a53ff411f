use std::sync::Arc;

use chrono::TimeDelta;
use color_eyre::eyre::{WrapErr, eyre};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::bus::memory::MemoryBus;
use crate::bus::{Bus, Commit, Consumer, ConsumerOptions, EntryId, Expect, Key, Op, Reader, Record, StateChange, Ttl};
use crate::cli::testing::{Place, start, take};
use crate::contracts::envelope::rfc3339;
use crate::contracts::{ChannelName, ManualClock, TokioClock};
use crate::services::echo::Echo;

const ECHO: ChannelName = ChannelName::Echo;

/// A bus that nothing is wrong with, but that nobody answers.
async fn healthy(place: &Place) -> Arc<MemoryBus> {
    let bus = place.memory();
    heard(&bus, place.cx.clock.now()).await;
    bus
}

/// The bridge says that it listened until then.
async fn heard(bus: &MemoryBus, until: chrono::DateTime<chrono::Utc>) {
    let fields = vec![("heard_until".to_owned(), Some(rfc3339(until)))];
    let change = Op::Change { key: Key::new("bus:bridge"), expect: Expect::Any, fields, ttl: Ttl::Keep };
    bus.commit(vec![Commit::of(vec![change])]).await.unwrap();
}

async fn looked(place: &Place, bus: &Arc<MemoryBus>) -> Report {
    let mut report = Report::default();
    let bus: SharedBus = Arc::<MemoryBus>::clone(bus);
    look_at(&bus, &place.cx, &mut report).await;
    report
}

/// The one finding beside that nobody answers the echo.
fn only(report: &Report) -> (Level, &str) {
    let others: Vec<_> =
        report.findings.iter().filter(|found| !found.finding.what.contains("no echo service answered")).collect();
    assert_eq!(others.len(), 1, "{:#?}", report.findings);
    assert!(!others[0].finding.fix.is_empty());
    (others[0].finding.level, &others[0].finding.what)
}

fn state(key: &str, change: StateChange) -> Vec<Commit> {
    vec![Commit::of(vec![Op::State { key: Key::new(key), change }])]
}

#[tokio::test(start_paused = true)]
async fn a_bus_without_services_is_fine_but_for_the_echo() {
    let place = Place::new(false);
    let report = looked(&place, &healthy(&place).await).await;
    assert_eq!(report.findings.len(), 1, "{report:#?}");
    assert_eq!(report.findings[0].finding.level, Level::Note);
    assert!(report.findings[0].finding.what.contains("is `fullsend serve` running?"));
    assert!(report.commit_us.is_some() && report.echo_us.is_none());

    assert_eq!(print(report, &place.cx.out).unwrap(), OK);
    let text = place.results.text();
    for part in [
        "engine      memory (",
        "schema      1",
        "0 dead letters; 1 keys",
        "echo not answered",
        "\neverything is fine\n",
    ] {
        assert!(text.contains(part), "{part}:\n{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn with_an_echo_service_nothing_is_left_to_say() {
    let mut place = Place::new(true);
    place.cx.clock = Arc::new(TokioClock::from(start()));
    let bus = Arc::new(MemoryBus::new(Arc::clone(&place.cx.clock)));
    heard(&bus, start()).await;
    let shared: SharedBus = Arc::<MemoryBus>::clone(&bus);
    let options = ConsumerOptions::default();
    let (clock, ids) = (Arc::clone(&place.cx.clock), Arc::clone(&place.cx.ids));
    let consumer = Consumer::new(shared, Echo::default(), options, clock, ids);
    let stop = CancellationToken::new();
    let token = stop.clone();
    let serving = tokio::spawn(async move { consumer.run(token).await });
    let report = looked(&place, &bus).await;
    stop.cancel();
    serving.await.unwrap().unwrap();
    assert_eq!(report.findings, []);
    assert!(report.echo_us.is_some());
    assert_eq!(print(report, &place.cx.out).unwrap(), OK);
    let said: serde_json::Value = serde_json::from_str(&place.results.text()).unwrap();
    assert_eq!((said["bus"]["engine"].as_str(), said["findings"].as_array().map(Vec::len)), (Some("memory"), Some(0)));
}

#[tokio::test(start_paused = true)]
async fn an_engines_own_findings_are_passed_on_and_an_unreachable_one_ends_it() {
    let place = Place::new(false);
    let bus = healthy(&place).await;
    let planted = Finding { level: Level::Warning, what: "evicts".to_owned(), fix: "do not".to_owned() };
    bus.find(planted.clone());
    let report = looked(&place, &bus).await;
    assert_eq!(only(&report), (Level::Warning, "evicts"));

    bus.close().await;
    let report = looked(&place, &bus).await;
    assert_eq!(report.findings, [Found { area: Area::Bus, finding: planted }]);
    assert!(report.commit_us.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_bus_that_takes_no_writes_is_an_error() {
    let place = Place::new(false);
    let bus = healthy(&place).await;
    let full = BusError::ReadOnly { reason: "the disk is full".to_owned(), fix: "Free some".to_owned() };
    bus.fail_commits(full);
    let report = looked(&place, &bus).await;
    assert_eq!(only(&report), (Level::Error, "the bus takes no writes: the disk is full"));
    assert_eq!(print(report, &place.cx.out).unwrap(), FAILED);
    let text = place.results.text();
    assert!(text.contains("ERROR    the bus takes no writes: the disk is full\n           -> Free some\n"), "{text}");
    assert!(text.ends_with("\n1 errors, 0 warnings\n"), "{text}");
}

#[test]
fn a_bus_that_cannot_be_opened_is_a_finding() {
    let place = Place::new(false);
    let mut report = Report::default();
    let err =
        Err::<(), _>(BusError::Unreachable("refused".to_owned())).wrap_err("the bus cannot be opened").unwrap_err();
    unopened(&err, &place.cx, &mut report);
    unopened(&eyre!("odd"), &place.cx, &mut report);
    let what = &report.findings[0].finding.what;
    assert!(what.starts_with("the bus cannot be opened: the bus cannot be reached: refused"), "{what}");
    assert!(report.findings.iter().all(|found| found.finding.level == Level::Error));
    assert_eq!(print(report, &place.cx.out).unwrap(), FAILED);
}

#[tokio::test(start_paused = true)]
async fn a_group_that_does_not_run_is_named_with_what_waits() {
    let place = Place::new(false);
    let bus = healthy(&place).await;
    let shared: SharedBus = Arc::<MemoryBus>::clone(&bus);
    place.say(&shared, "one").await;
    place.say(&shared, "two").await;
    let report = looked(&place, &bus).await;
    let never = "2 messages on fullsend:echo wait for `echo`, which has never run here";
    assert_eq!(only(&report), (Level::Warning, never));

    // (`doctor` itself has said one.) Handed out and running: nothing to say.
    take(&shared, ECHO, 2).await;
    assert!(looked(&place, &bus).await.findings.iter().all(|found| found.finding.level == Level::Note));

    place.clock.advance(Duration::from_mins(5));
    heard(&bus, place.cx.clock.now()).await;
    let report = looked(&place, &bus).await;
    let said: Vec<_> = report.findings.iter().map(|found| found.finding.what.as_str()).collect();
    assert!(said[0].starts_with("2 messages on fullsend:echo wait for `echo`, whose last sign of life was 5 minutes"));
    assert!(said[1].starts_with("2 messages of fullsend:echo are stuck: handed to `echo`, the oldest said 5 minutes"));
    assert_eq!((report.pending, report.groups.len()), (2, 1));
    print(report, &place.cx.out).unwrap();
    let text = place.results.text();
    assert!(text.contains("echo     echo   2        2        1          5 minutes ago"), "{text}");

    place.clock.advance(Duration::from_hours(30));
    heard(&bus, place.cx.clock.now()).await;
    let report = looked(&place, &bus).await;
    let (level, what) = only(&report);
    assert_eq!(level, Level::Warning);
    assert!(what.starts_with("nobody has read fullsend:echo for `echo` for 30 hours; 3 messages wait"), "{what}");
    assert!(report.findings.iter().any(|found| found.finding.fix.contains("fullsend groups drop echo echo")));
}

#[tokio::test(start_paused = true)]
async fn a_silent_consumer_of_a_running_group_is_named() {
    let place = Place::new(false);
    let bus = healthy(&place).await;
    let shared: SharedBus = Arc::<MemoryBus>::clone(&bus);
    place.say(&shared, "one").await;
    take(&shared, ECHO, 1).await;
    place.clock.advance(Duration::from_mins(1));
    heard(&bus, place.cx.clock.now()).await;
    let other = Reader { group: "echo".to_owned(), consumer: "echo@h#1".to_owned() };
    bus.own_pending(&other, &[ECHO], 1).await.unwrap();
    let report = looked(&place, &bus).await;
    let (level, what) = only(&report);
    assert_eq!(level, Level::Warning);
    assert!(what.starts_with("`echo@h#0` has been silent for 60 s and still holds 1 messages"), "{what}");

    // One that works on it for longer than all attempts may take.
    let holder = Reader { group: "echo".to_owned(), consumer: "echo@h#0".to_owned() };
    place.clock.advance(Duration::from_mins(10));
    heard(&bus, place.cx.clock.now()).await;
    bus.own_pending(&holder, &[ECHO], 1).await.unwrap();
    let report = looked(&place, &bus).await;
    let (level, what) = only(&report);
    assert_eq!(level, Level::Note);
    assert!(what.contains("was said 11 minutes ago and is still in the hands of `echo`"), "{what}");
}

#[tokio::test(start_paused = true)]
async fn dead_letters_are_counted() {
    let place = Place::new(false);
    let bus = healthy(&place).await;
    put(&bus, ChannelName::DeadLetter, start()).await;
    let report = looked(&place, &bus).await;
    let (level, what) = only(&report);
    assert_eq!((level, report.dead_letters), (Level::Warning, 1));
    assert!(what.starts_with("1 messages could not be handled"), "{what}");
    let letter = EntryId { ms: u64::try_from(start().timestamp_millis()).unwrap(), seq: 0 };
    let add = Op::Add {
        key: crate::bus::Key::new(crate::contracts::keys::dead_letter(&letter.to_string()).unwrap()),
        field: "dropped".to_owned(),
        n: 1,
        ceiling: None,
    };
    bus.commit(vec![Commit::of(vec![add])]).await.unwrap();
    assert_eq!(looked(&place, &bus).await.dead_letters, 0, "what somebody has decided on is done with");
}

/// Puts an entry of this time on a channel.
async fn put(bus: &MemoryBus, channel: ChannelName, at: chrono::DateTime<chrono::Utc>) {
    // Only an import chooses ids.
    let fresh = MemoryBus::new(Arc::new(ManualClock::at(at)));
    let id = EntryId { ms: u64::try_from(at.timestamp_millis()).unwrap(), seq: 0 };
    let entry = Record::Entry { channel, id, e: String::new(), b: "{}".to_owned() };
    let (sink, source) = tokio::sync::mpsc::channel(1);
    sink.send(entry).await.unwrap();
    drop(sink);
    fresh.import(source).await.unwrap();
    bus.adopt(&fresh, channel);
}

#[tokio::test(start_paused = true)]
async fn a_message_of_the_future_shows_that_a_clock_was_set_back() {
    let place = Place::new(false);
    let bus = healthy(&place).await;
    put(&bus, ChannelName::Alerts, start() + TimeDelta::minutes(10)).await;
    let report = looked(&place, &bus).await;
    let (level, what) = only(&report);
    assert_eq!(level, Level::Warning);
    assert!(what.starts_with("the newest message of fullsend:alerts is from 10 minutes in the future"), "{what}");
}

#[tokio::test(start_paused = true)]
async fn a_store_of_another_time_is_a_finding() {
    for (by, word) in [(-60, "behind"), (60, "ahead of")] {
        let place = Place::new(false);
        let theirs = Arc::new(ManualClock::at(start() + TimeDelta::seconds(by)));
        let bus = Arc::new(MemoryBus::new(theirs));
        heard(&bus, start()).await;
        let report = looked(&place, &bus).await;
        let (level, what) = only(&report);
        assert_eq!(level, Level::Warning);
        assert_eq!(what, format!("the clock of the bus is 60 s {word} this machine's"));
    }
}

#[tokio::test(start_paused = true)]
async fn keys_of_a_wrong_type_are_named_and_unknown_ones_counted() {
    let place = Place::new(false);
    let bus = healthy(&place).await;
    bus.commit(state("fullsend:status", StateChange::SetString("running".to_owned()))).await.unwrap();
    bus.commit(state("alerts:a", StateChange::SetString("no hash".to_owned()))).await.unwrap();
    bus.set_foreign(&Key::new("experiments:b"));
    bus.set_foreign(&Key::new("fullsend:metrics:stream"));
    for n in 0..600 {
        bus.commit(state(&format!("session:{n:03}\u{1b}"), StateChange::AddMember("x".to_owned()))).await.unwrap();
    }
    let report = looked(&place, &bus).await;
    let said: Vec<_> = report
        .findings
        .iter()
        .filter(|found| found.area == Area::Keys)
        .map(|found| (found.finding.level, found.finding.what.as_str()))
        .collect();
    let wrong = |key, found, wanted, about| {
        format!("`{key}` holds a {found}, and a {wanted} belongs there ({about}); what needs it fails")
    };
    let expected = [
        (Level::Error, wrong("alerts:a", "string", "hash", "an alert")),
        (Level::Error, wrong("experiments:b", "foreign", "hash", "an experiment")),
        (Level::Error, wrong("fullsend:metrics:stream", "foreign", "stream", "a channel's messages")),
        (Level::Note, "600 keys are of no kind that this program knows, such as `session:000`".to_owned()),
    ];
    assert_eq!(said.iter().map(|(level, what)| (*level, (*what).to_owned())).collect::<Vec<_>>(), expected);
    assert_eq!(report.keys, 605);
    assert!(report.findings[0].finding.fix.contains("redis-cli TYPE 'alerts:a'"));
}

#[tokio::test(start_paused = true)]
async fn late_timers_and_a_deaf_bridge_are_findings() {
    let place = Place::new(false);
    let bus = place.memory();
    let report = looked(&place, &bus).await;
    let (level, what) = only(&report);
    assert!(level == Level::Note && what.starts_with("nobody has ever listened here"), "{what}");

    let furnished = place.furnished().await;
    let mut report = Report::default();
    upkeep::timers(&furnished, &place.cx, &mut report).await;
    assert_eq!(report.findings, [], "its time has not come");
    place.clock.advance(Duration::from_mins(61));
    upkeep::timers(&furnished, &place.cx, &mut report).await;
    let (level, what) = only(&report);
    assert_eq!((level, what), (Level::Warning, "a timer is 60 s late: nobody fires timers"));

    let bus = place.memory();
    heard(&bus, place.cx.clock.now() - TimeDelta::minutes(3)).await;
    let report = looked(&place, &bus).await;
    let (level, what) = only(&report);
    assert_eq!(level, Level::Warning);
    assert!(what.ends_with("published bare for 3 minutes; they are lost"), "{what}");
}

#[tokio::test(start_paused = true)]
async fn data_that_was_lost_is_an_error_until_somebody_has_dealt_with_it() {
    let place = Place::new(false);
    let bus = healthy(&place).await;
    let alert = async |state: &str| {
        let field = |name: &str, text: &str| (name.to_owned(), Some(text.to_owned()));
        let fields = vec![field("state", state), field("message", "the server lost what it held")];
        let change = Op::Change { key: Key::new("alerts:data-lost"), expect: Expect::Any, fields, ttl: Ttl::Keep };
        bus.commit(vec![Commit::of(vec![change])]).await.unwrap();
    };
    alert("triggered").await;
    let report = looked(&place, &bus).await;
    assert_eq!(only(&report), (Level::Error, "the server lost what it held"));
    alert("resolved").await;
    let mut report = Report::default();
    let bus: SharedBus = bus.clone();
    upkeep::lost(&bus, &mut report).await;
    assert_eq!(report.findings, []);
}

#[tokio::test(start_paused = true)]
async fn gates_of_different_modes_are_a_warning() {
    let place = Place::new(false);
    let bus = healthy(&place).await;
    for mode in ["autopilot", "guarded"] {
        let fields = vec![("mode".to_owned(), Some(mode.to_owned()))];
        let key = Key::new(format!("gate:mode:{mode}"));
        let change = Op::Change { key, expect: Expect::Any, fields, ttl: Ttl::Keep };
        bus.commit(vec![Commit::of(vec![change])]).await.unwrap();
    }
    let report = looked(&place, &bus).await;
    let told = "gates run on this bus in the modes guarded and autopilot; guarded counts";
    assert_eq!(only(&report), (Level::Warning, told));
}

#[tokio::test(start_paused = true)]
async fn a_store_of_another_schema_is_an_error() {
    let place = Place::new(false);
    let bus = healthy(&place).await;
    bus.commit(state("bus:schema", StateChange::SetString("7".to_owned()))).await.unwrap();
    let report = looked(&place, &bus).await;
    let (level, what) = only(&report);
    assert_eq!((level, report.schema), (Level::Error, Some(7)));
    assert_eq!(what, "the store says that its schema is `7`; this program knows 1");
}

#[tokio::test(start_paused = true)]
async fn findings_of_the_settings_and_the_machine_are_listed_without_a_bus() {
    let mut place = Place::new(true);
    std::fs::write(place.home.path().join("logs"), "in the way").unwrap();
    // No server: nothing listens on a socket that is not there.
    let url = format!("unix://{}/none.sock", place.home.path().display());
    place.cx.config.bus.url = Some(url.into());
    assert_eq!(run(&place.cx).await.unwrap(), FAILED);
    let said: serde_json::Value = serde_json::from_str(&place.results.text()).unwrap();
    let areas: Vec<_> =
        said["findings"].as_array().unwrap().iter().map(|found| found["area"].as_str().unwrap()).collect();
    assert_eq!((areas.first(), areas.last()), (Some(&"machine"), Some(&"bus")), "{said}");
    assert!(said["findings"][0]["what"].as_str().unwrap().contains("is no folder"), "{said}");
}

#[test]
fn lengths_and_sizes_read_well() {
    let long = |ms| long(Duration::from_millis(ms));
    assert_eq!(
        [3, 1_500, 119_000, 120_000, 7_200_000, 172_800_000].map(long),
        ["3 ms", "1 s", "119 s", "2 minutes", "2 hours", "2 days"]
    );
    let size = |bytes| {
        let health = Health {
            engine: "embedded",
            location: String::new(),
            reachable: true,
            version: String::new(),
            durability: String::new(),
            bytes: Some(bytes),
            findings: Vec::new(),
        };
        health.size().unwrap()
    };
    assert_eq!([2_048, 3 << 20, 5 << 29].map(size), ["2 KiB", "3.0 MiB", "2.5 GiB"]);
}

#[tokio::test(start_paused = true)]
async fn a_home_that_is_not_there_is_named_and_not_made() {
    let mut place = Place::new(false);
    let typo = place.home.path().join("typo");
    place.cx.config.home.clone_from(&typo);
    assert_eq!(run(&place.cx).await.unwrap(), OK);
    let text = place.results.text();
    assert!(text.contains(&format!("there is no store in {} yet", typo.display())), "{text}");
    assert!(!text.contains("everything is fine"), "{text}");
    assert!(!typo.exists());
}

#[tokio::test(start_paused = true)]
async fn messages_for_a_group_without_a_consumer_are_a_finding() {
    let place = Place::new(false);
    let bus = healthy(&place).await;
    let shared: SharedBus = Arc::<MemoryBus>::clone(&bus);
    for group in ["echo", "builder"] {
        shared.ensure_group(ECHO, group).await.unwrap();
    }
    let said = async || -> Vec<String> {
        let report = looked(&place, &bus).await;
        let work = report.findings.into_iter().filter(|found| found.area == Area::Work);
        work.map(|found| found.finding.what).collect()
    };
    assert_eq!(said().await, Vec::<String>::new(), "nothing waits (the echo request is said after the look)");
    let mut expected = ["builder", "echo"]
        .map(|name| format!("1 messages on fullsend:echo wait for `{name}`, which has never run here"));
    let mut found = said().await;
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}
