//! Being told, and the copy of the chain.

use std::sync::Mutex;

use pretty_assertions::assert_eq;

use super::*;
use crate::services::gate::notifier::Notifier;

/// What the terminal of the tests was told. One test writes to it.
static RUNG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

fn ring(bytes: &[u8]) {
    RUNG.lock().unwrap().extend_from_slice(bytes);
}

fn notifiers(story: &Story, command: &[String], terminal: Option<fn(&[u8])>) {
    for _ in 0..2 {
        let (bus, clock, ids) = (story.world.bus(), Arc::clone(&story.world.clock), Arc::clone(&story.world.ids));
        let notifier =
            Notifier { bus: Arc::clone(&bus), clock: Arc::clone(&clock), command: command.to_vec(), terminal };
        let stop = story.stop.clone();
        tokio::spawn(async move { hold(&notifier, &bus, &clock, &ids, stop).await });
    }
}

async fn critical(story: &Story, alert_id: &str) {
    let body = json!({ "type": "alert_triggered", "alert_id": alert_id, "severity": "critical", "message": "fire\u{1b}]0;x\u{7}!" });
    let envelope = story.world.origin(Trust::System).envelope("alert_triggered", "bus");
    story.world.say(Outgoing::new(ChannelName::Alerts, envelope, body.to_string()).unwrap()).await;
}

#[tokio::test(start_paused = true)]
async fn the_bell_rings_once_for_the_first_that_waits_and_for_each_critical_alert() {
    let story = Story::new(Mode::Guarded);
    notifiers(&story, &[], Some(ring));
    story.pass(Duration::from_secs(5)).await;
    let rung = || String::from_utf8(std::mem::take(&mut *RUNG.lock().unwrap())).unwrap();
    let first = story.want(vec![dispatch("one")], Trust::Member).await.approval_id;
    let second = story.want(vec![dispatch("two")], Trust::Member).await.approval_id;
    story.pass(Duration::from_secs(5)).await;
    assert_eq!(rung(), "\x07\x1b]9;Fullsend: needs a yes: do it\x1b\\", "two wait, one is told");
    story.verdict(&first, Verdict::Approve).await;
    story.want(vec![dispatch("three")], Trust::Member).await;
    story.pass(Duration::from_secs(5)).await;
    assert_eq!(rung(), "", "something waited all the time");
    let third = approvals::record::pending(&story.world.bus()).await.unwrap();
    for id in third.iter().filter(|id| **id != second) {
        story.verdict(id, Verdict::Deny).await;
    }
    story.verdict(&second, Verdict::Deny).await;
    story.pass(Duration::from_secs(5)).await;
    story.want(vec![dispatch("four")], Trust::Member).await;
    story.pass(Duration::from_secs(5)).await;
    assert_eq!(rung(), "\x07\x1b]9;Fullsend: needs a yes: do it\x1b\\", "from none to some again");
    for _ in 0..3 {
        critical(&story, "fire").await;
    }
    story.pass(Duration::from_secs(5)).await;
    assert_eq!(rung(), "\x07\x1b]9;Fullsend: fire!\x1b\\", "the same alert rings once, and nothing in it is an escape");
    let records = story.world.bus().scan("actions:notify:", None, 100).await.unwrap().0;
    assert_eq!(records.len(), 3);
    for key in records {
        assert_eq!(story.field(key.as_str(), "state").await.as_deref(), Some("done"));
    }
}

#[tokio::test]
async fn the_command_gets_the_text_and_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let (script, out) = (folder.path().join("tell"), folder.path().join("out"));
    let text = format!(
        "#!/bin/sh\n{{ cat; echo \"$1 $FULLSEND_NOTIFY_EVENT $FULLSEND_NOTIFY_TEXT\"; env; }} > {0}.new; mv {0}.new {0}\n",
        out.display()
    );
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let story = Story::new(Mode::Guarded);
    let arguments = vec![script.display().to_string(), "$(id)".to_owned()];
    let (bus, clock, ids) = (story.world.bus(), Arc::clone(&story.world.clock), Arc::clone(&story.world.ids));
    let notifier = Notifier { bus: Arc::clone(&bus), clock: Arc::clone(&clock), command: arguments, terminal: None };
    let stop = story.stop.clone();
    tokio::spawn(async move { hold(&notifier, &bus, &clock, &ids, stop).await });
    story.world.until(async |world| world.bus().get(&Key::new("actions:notifier")).await.unwrap().is_some()).await;
    critical(&story, "fire").await;
    story.world.until(async |_| out.exists()).await;
    let told = std::fs::read_to_string(&out).unwrap();
    let lines: Vec<_> = told.lines().collect();
    assert_eq!(lines[..2], ["fire!", "$(id) critical fire!"], "no shell reads the arguments");
    let allowed = [
        "FULLSEND_NOTIFY_",
        "PATH=",
        "HOME=",
        "USER=",
        "LANG=",
        "LC_ALL=",
        "TERM=",
        "DISPLAY=",
        "WAYLAND_DISPLAY=",
        "XDG_RUNTIME_DIR=",
        "DBUS_SESSION_BUS_ADDRESS=",
        "TMUX=",
        "PWD=",
        "SHLVL=",
        "_=",
        "OLDPWD=",
    ];
    for line in &lines[2..] {
        assert!(allowed.iter().any(|name| line.starts_with(name)), "{line}");
    }
}

/// Copies the chain into a home until it is stopped.
fn copying(
    story: &Story,
    home: &std::path::Path,
    stop: &CancellationToken,
) -> tokio::task::JoinHandle<Result<(), BusError>> {
    let (bus, clock, ids) = (story.world.bus(), Arc::clone(&story.world.clock), Arc::clone(&story.world.ids));
    let (home, stop) = (home.to_owned(), stop.clone());
    tokio::spawn(async move {
        let copy = AuditCopy { bus: Arc::clone(&bus), home, clock: Arc::clone(&clock), ids: Arc::clone(&ids) };
        hold(&copy, &bus, &clock, &ids, stop).await
    })
}

async fn hold_everything(story: &Story) {
    story.order(json!({ "type": "hold" }), "control_room", Trust::Operator).await;
}

/// The file of the story's chain.
async fn file_of(story: &Story, home: &std::path::Path) -> std::path::PathBuf {
    copy_file(home, story.field("audit:head", "chain").await.as_deref())
}

fn lines(path: &std::path::Path) -> usize {
    std::fs::read_to_string(path).unwrap_or_default().lines().count()
}

#[tokio::test]
async fn the_chain_is_copied_once_and_a_cut_line_is_written_again() {
    let home = tempfile::tempdir().unwrap();
    let story = Story::new(Mode::Guarded);
    hold_everything(&story).await;
    hold_everything(&story).await;
    let path = file_of(&story, home.path()).await;
    let stop = CancellationToken::new();
    let copy = copying(&story, home.path(), &stop);
    story.world.until(async |_| lines(&path) == 2).await;
    stop.cancel();
    copy.await.unwrap().unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions()) & 0o777, 0o600);
    let whole = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 20]).unwrap();
    hold_everything(&story).await;
    copying(&story, home.path(), &story.stop);
    story.world.until(async |_| lines(&path) == 3).await;
    let text = std::fs::read_to_string(&path).unwrap();
    let mut checker = Checker::default();
    for line in text.lines() {
        checker.next(line, false).unwrap();
    }
    assert_eq!(checker.head(), unit::head(&story.read("audit:head").await.unwrap()));
}

#[tokio::test]
async fn two_chains_in_one_home_are_two_files() {
    let home = tempfile::tempdir().unwrap();
    let (one, two) = (Story::new(Mode::Guarded), Story::new(Mode::Guarded));
    for story in [&one, &two] {
        copying(story, home.path(), &story.stop);
    }
    hold_everything(&one).await;
    hold_everything(&one).await;
    two.order(json!({ "type": "hold", "reason": "another" }), "control_room", Trust::Operator).await;
    let (first, second) = (file_of(&one, home.path()).await, file_of(&two, home.path()).await);
    assert_ne!(first, second);
    one.world.until(async |_| lines(&first) == 2 && lines(&second) == 1).await;
    assert_eq!(one.world.alerts().await.len() + two.world.alerts().await.len(), 0);
}

#[tokio::test]
async fn a_copy_that_the_bus_does_not_go_on_from_is_set_aside_and_told() {
    let home = tempfile::tempdir().unwrap();
    let (before, after) = (Story::new(Mode::Guarded), Story::new(Mode::Guarded));
    for _ in 0..3 {
        hold_everything(&before).await;
    }
    let path = file_of(&before, home.path()).await;
    let stop = CancellationToken::new();
    let copy = copying(&before, home.path(), &stop);
    before.world.until(async |_| lines(&path) == 3).await;
    stop.cancel();
    copy.await.unwrap().unwrap();
    // As a backup has it that is older than the copy, and what was recorded since.
    after.order(json!({ "type": "hold", "reason": "another" }), "control_room", Trust::Operator).await;
    let chain = before.field("audit:head", "chain").await.unwrap();
    after.document("audit:head", &[("chain", &chain)]).await;
    copying(&after, home.path(), &after.stop);
    after.world.until(async |_| lines(&path) == 1).await;
    let aside = home.path().join(format!("audit-{chain}.old-1.jsonl"));
    assert_eq!(lines(&aside), 3, "nothing of it is lost");
    after.world.until(async |world| !world.entries(ChannelName::Alerts).await.is_empty()).await;
    let alerts = after.world.alerts().await;
    assert_eq!((alerts.len(), alerts[0].alert_id.as_str()), (1, "audit-copy"));
    assert!(alerts[0].message.contains("old-1.jsonl"), "{}", alerts[0].message);
    // From then on it is copied as ever.
    hold_everything(&after).await;
    after.world.until(async |_| lines(&path) == 2).await;
}

#[tokio::test]
async fn what_the_gate_did_not_say_is_no_record_and_is_told_once() {
    let home = tempfile::tempdir().unwrap();
    let story = Story::new(Mode::Guarded);
    hold_everything(&story).await;
    let mut forged = crate::contracts::schema::find("audit_record").unwrap().example();
    forged["number"] = json!(4_000_000_000_u64);
    let envelope = story.world.origin(Trust::External).envelope("audit_record", "bridge");
    story.world.say(Outgoing::new(ChannelName::Audit, envelope, forged.to_string()).unwrap()).await;
    copying(&story, home.path(), &story.stop);
    let path = file_of(&story, home.path()).await;
    story.world.until(async |_| lines(&path) == 1).await;
    hold_everything(&story).await;
    hold_everything(&story).await;
    story.world.until(async |_| lines(&path) == 3).await;
    let text = std::fs::read_to_string(&path).unwrap();
    let mut checker = Checker::default();
    text.lines().for_each(|line| checker.next(line, false).unwrap());
    checker.ends_at(&unit::head(&story.read("audit:head").await.unwrap())).unwrap();
    let alerts = story.world.alerts().await;
    assert_eq!(alerts.iter().map(|alert| alert.alert_id.as_str()).collect::<Vec<_>>(), ["audit-strangers"]);
    assert!(alerts[0].message.contains("by bridge"), "{}", alerts[0].message);
}

#[tokio::test(start_paused = true)]
async fn a_forged_question_and_a_forged_alarm_ring_for_nobody() {
    let story = Story::new(Mode::Guarded);
    notifiers(&story, &[], None);
    story.pass(Duration::from_secs(5)).await;
    for (channel, name) in [(ChannelName::Approvals, "approval_created"), (ChannelName::Alerts, "alert_triggered")] {
        let mut body = crate::contracts::schema::find(name).unwrap().example();
        if name == "alert_triggered" {
            body["severity"] = json!("critical");
        }
        let envelope = story.world.origin(Trust::External).envelope(name, "bridge");
        story.world.say(Outgoing::new(channel, envelope, body.to_string()).unwrap()).await;
    }
    story.pass(Duration::from_secs(5)).await;
    let records = story.world.bus().scan("actions:notify:", None, 100).await.unwrap().0;
    assert_eq!(records, [], "nothing was told");
}
