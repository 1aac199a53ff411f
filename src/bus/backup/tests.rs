use std::sync::Arc;

use super::*;
use crate::bus::memory::MemoryBus;
use crate::bus::{Commit, Expect, Key, Op, Origin, Outgoing, Reader as Consumer, StateChange, Timer, Ttl, Want};
use crate::contracts::channel::grants;
use crate::contracts::messages::{EchoRequest, Echoes};
use crate::contracts::wiring::ECHO;
use crate::contracts::{ChannelName, Clock, Ids, ManualClock, Trust};

fn start() -> DateTime<Utc> {
    DateTime::from_timestamp_millis(1_772_357_400_000).unwrap()
}

fn memory() -> (SharedBus, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(start()));
    (Arc::new(MemoryBus::new(Arc::clone(&clock) as Arc<dyn Clock>)), clock)
}

fn message(origin: &Origin, text: &str) -> Outgoing {
    let body = Echoes::from(EchoRequest { text: text.to_owned() });
    origin.compose::<grants::ControlRoom, _>(ECHO, body).unwrap()
}

/// A store with something of everything.
async fn furnished() -> (SharedBus, Arc<ManualClock>) {
    let (bus, clock) = memory();
    let origin = Origin::new(Arc::clone(&clock) as Arc<dyn Clock>, Arc::new(Ids::seeded(1)), Trust::Operator);
    let append = |text| Op::Append(message(&origin, text));
    bus.commit(vec![
        Commit { once: Some("a".to_owned()), ..Commit::of(vec![append("one")]) },
        Commit::of(vec![append("two \u{0} \u{2028} 😀\n")]),
        Commit::of(vec![
            Op::State { key: Key::new("fullsend:status"), change: StateChange::SetString("paused".to_owned()) },
            Op::Add { key: Key::new("echo:echo"), field: "handled".to_owned(), n: 3, ceiling: None },
            Op::Change {
                key: Key::new("alerts:x"),
                expect: Expect::Any,
                fields: vec![("a".to_owned(), Some("b".to_owned()))],
                ttl: Ttl::Set(std::time::Duration::from_mins(5)),
            },
            Op::Schedule(Timer {
                id: "t".to_owned(),
                at: start() + chrono::TimeDelta::hours(1),
                message: message(&origin, "later"),
            }),
        ]),
    ])
    .await
    .unwrap();
    bus.ensure_group(ChannelName::Echo, "echo").await.unwrap();
    let reader = Consumer { group: "echo".to_owned(), consumer: "echo@h#0".to_owned() };
    let want = Want { start: 1, ahead: 0 };
    bus.read(&reader, &[ChannelName::Echo], want, std::time::Duration::ZERO).await.unwrap();
    bus.lease("trimmer", "me", std::time::Duration::from_secs(1)).await.unwrap();
    (bus, clock)
}

async fn written(bus: &SharedBus) -> Vec<u8> {
    let mut file = Vec::new();
    write(bus, start(), &mut file, |_| {}).await.unwrap();
    file
}

fn line_of(err: BackupError) -> (u64, String) {
    match err {
        BackupError::Line { line, reason } => (line, reason),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn everything_comes_back() {
    let (bus, _) = furnished().await;
    let file = written(&bus).await;
    let text = String::from_utf8(file.clone()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[0].starts_with(r#"{"fullsend_backup":1,"schema":1,"engine":"memory","at":"2026-03-01T09:30:00.000Z""#)
    );
    let (header, counts) = verify(file.as_slice()).await.unwrap();
    assert_eq!(header.engine, "memory");
    assert_eq!(
        counts.to_string(),
        "1 channels, 1 groups, 1 idempotency keys, 3 keys, 1 lease numbers, 2 messages, 1 pending, 1 timers"
    );
    assert_eq!(lines.len() as u64, counts.total() + 2);

    let (fresh, clock) = memory();
    let mut heard = 0;
    assert_eq!(put_back(&fresh, file.as_slice(), |n| heard = n).await.unwrap(), counts);
    assert_eq!(heard, counts.total());
    assert_eq!(written(&fresh).await, file);
    let (before, after) = (tally(&bus).await.unwrap(), tally(&fresh).await.unwrap());
    assert_eq!(before.difference(&after, clock.now()), None);

    let full = put_back(&fresh, file.as_slice(), |_| {}).await.unwrap_err();
    assert!(matches!(full, BackupError::Bus(BusError::NotEmpty(_))), "{full:?}");
}

#[tokio::test]
async fn a_file_cut_off_anywhere_is_refused() {
    let (bus, _) = furnished().await;
    let file = written(&bus).await;
    for length in 0..file.len() {
        let lines = std::str::from_utf8(&file).unwrap_or_default().char_indices().take_while(|(at, _)| *at < length);
        let lines = lines.filter(|(_, letter)| *letter == '\n').count() as u64;
        let (line, reason) = line_of(verify(&file[..length]).await.unwrap_err());
        assert_eq!(line, lines + 1, "at {length}: {reason}");
        assert!(reason.contains("cut off"), "at {length}: {reason}");
    }
}

#[tokio::test]
async fn an_altered_file_is_refused() {
    let (bus, _) = furnished().await;
    let file = written(&bus).await;
    for at in 0..file.len() {
        let mut other = file.clone();
        other[at] = if other[at] == b'7' { b'8' } else { b'7' };
        assert!(verify(other.as_slice()).await.is_err(), "byte {at} does not matter");
    }
    let text = String::from_utf8(file.clone()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let last = lines.len() as u64;

    let one_less = text.replacen(&format!("{}\n", lines[2]), "", 1);
    let (line, reason) = line_of(verify(one_less.as_bytes()).await.unwrap_err());
    assert!(line == last - 1 && reason.contains("missing"), "{line}: {reason}");

    let changed = text.replacen("one", "two", 1);
    let (line, reason) = line_of(verify(changed.as_bytes()).await.unwrap_err());
    assert!(line == last && reason.contains("altered"), "{line}: {reason}");

    let longer = format!("{text}\n");
    let (line, reason) = line_of(verify(longer.as_bytes()).await.unwrap_err());
    assert!(line == last + 1 && reason.contains("goes on"), "{line}: {reason}");

    let odd = text.replacen(lines[1], r#"{"record":"entry","channel":"fullsend:nowhere"}"#, 1);
    let (line, reason) = line_of(verify(odd.as_bytes()).await.unwrap_err());
    assert!(line == 2 && reason.contains("nowhere"), "{line}: {reason}");
}

#[tokio::test]
async fn a_newer_one_is_refused() {
    let (bus, _) = memory();
    let text = String::from_utf8(written(&bus).await).unwrap();
    for (from, to) in [("\"schema\":1", "\"schema\":2"), ("backup\":1", "backup\":2")] {
        let (line, reason) = line_of(verify(text.replacen(from, to, 1).as_bytes()).await.unwrap_err());
        assert!(line == 1 && reason.contains("Restore it with a program of its version"), "{reason}");
    }
    let (line, reason) = line_of(verify(&b"{\"name\":\"x\"}\n"[..]).await.unwrap_err());
    assert!(line == 1 && reason.contains("no backup"), "{reason}");
}

#[tokio::test]
async fn a_record_that_does_not_fit_names_its_line() {
    let (bus, _) = furnished().await;
    let text = String::from_utf8(written(&bus).await).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.swap(1, 2);
    let text = format!("{}\n", lines.join("\n"));
    let (fresh, _) = memory();
    let (line, reason) = line_of(put_back(&fresh, text.as_bytes(), |_| {}).await.unwrap_err());
    assert!(line == 3 && reason.contains("does not come after"), "{line}: {reason}");
}

#[tokio::test]
async fn a_full_disk_ends_the_export() {
    let (bus, _) = furnished().await;
    let mut space = [0_u8; 700];
    let err = write(&bus, start(), &mut std::io::Cursor::new(&mut space[..]), |_| {}).await.unwrap_err();
    assert!(matches!(err, BackupError::Io(_)), "{err:?}");
}

#[tokio::test]
async fn a_failing_store_leaves_no_end() {
    let clock = Arc::new(ManualClock::at(start()));
    let memory = MemoryBus::new(clock);
    memory.fail_next(1, BusError::NoAnswer("gone".to_owned()));
    let bus: SharedBus = Arc::new(memory);
    let mut file = Vec::new();
    assert!(matches!(write(&bus, start(), &mut file, |_| {}).await, Err(BackupError::Bus(BusError::NoAnswer(_)))));
    assert!(verify(file.as_slice()).await.is_err());
}

#[tokio::test]
async fn tallies_see_every_difference_but_what_went_by_itself() {
    let (bus, clock) = furnished().await;
    let before = tally(&bus).await.unwrap();
    let (fresh, _) = memory();
    let copied = copy(&bus, &fresh, |_| {}).await.unwrap();
    assert_eq!(copied, before);
    assert_eq!(before.difference(&tally(&fresh).await.unwrap(), clock.now()), None);

    // A key whose time is over is no difference; one that goes before its time is.
    let ops = vec![Op::Delete { key: Key::new("alerts:x"), expect: Expect::Any }];
    fresh.commit(vec![Commit::of(ops)]).await.unwrap();
    let without = tally(&fresh).await.unwrap();
    assert!(before.difference(&without, clock.now()).unwrap().contains("time to live"));
    clock.advance(std::time::Duration::from_secs(301));
    assert_eq!(before.difference(&without, clock.now()), None);

    let ops = vec![Op::Add { key: Key::new("echo:echo"), field: "handled".to_owned(), n: 1, ceiling: None }];
    fresh.commit(vec![Commit::of(ops)]).await.unwrap();
    let said = before.difference(&tally(&fresh).await.unwrap(), clock.now()).unwrap();
    assert!(said.contains("the other"), "{said}");

    let refused = copy(&bus, &fresh, |_| {}).await;
    assert_eq!(refused, Err(BusError::NotEmpty("memory".to_owned())));
}
