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

#[tokio::test]
async fn the_chain_is_copied_once_and_a_cut_line_is_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let story = Story::new(Mode::Guarded);
    let copy = |stop: &CancellationToken| {
        let (bus, clock, ids) = (story.world.bus(), Arc::clone(&story.world.clock), Arc::clone(&story.world.ids));
        let (path, stop) = (path.clone(), stop.clone());
        tokio::spawn(async move {
            let copy = AuditCopy { bus: Arc::clone(&bus), path };
            hold(&copy, &bus, &clock, &ids, stop).await
        })
    };
    let lines = || std::fs::read_to_string(&path).unwrap_or_default().lines().count();
    let order = json!({ "type": "hold" });
    story.order(order.clone(), "control_room", Trust::Operator).await;
    story.order(order.clone(), "control_room", Trust::Operator).await;
    let stop = CancellationToken::new();
    let copying = copy(&stop);
    story.world.until(async |_| lines() == 2).await;
    stop.cancel();
    copying.await.unwrap().unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions()) & 0o777, 0o600);
    let whole = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 20]).unwrap();
    story.order(order, "control_room", Trust::Operator).await;
    copy(&story.stop);
    story.world.until(async |_| lines() == 3).await;
    let text = std::fs::read_to_string(&path).unwrap();
    let mut checker = Checker::default();
    for line in text.lines() {
        checker.next(line, false).unwrap();
    }
    assert_eq!(checker.head(), unit::head(&story.read("audit:head").await.unwrap()));
}
