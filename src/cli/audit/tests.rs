use pretty_assertions::assert_eq;
use serde_json::json;

use super::*;
use crate::bus::{Origin, Outgoing};
use crate::cli::testing::Desk;
use crate::contracts::Trust;
use crate::contracts::messages::{Control, Hold};
use crate::contracts::wiring::CONTROL;

/// Three orders, recorded.
async fn recorded() -> Desk {
    let desk = Desk::new();
    desk.gate();
    for reason in ["one", "two\u{1b}[2J", "three"] {
        let order = Control::from(Hold { reason: Some(reason.to_owned()), by: Some("mara".to_owned()) });
        let origin: Origin = desk.world.origin(Trust::Operator);
        let said: Outgoing =
            origin.compose::<crate::contracts::channel::grants::ControlRoom, _>(CONTROL, order).unwrap();
        desk.world.say(said).await;
    }
    desk.world.until(async |world| world.entries(ChannelName::Audit).await.len() == 3).await;
    desk
}

async fn run(desk: &Desk, action: Action, as_json: bool) -> (ExitCode, String) {
    let (cx, results, _) = desk.verb(as_json);
    let ended = act(&Args { action }, &cx, &desk.world.bus()).await.unwrap();
    (ended, results.text())
}

fn verify(file: Option<&Path>) -> Action {
    Action::Verify { file: file.map(Path::to_owned) }
}

#[tokio::test(start_paused = true)]
async fn a_whole_chain_is_said_to_be_whole() {
    let desk = recorded().await;
    let on_bus = (OK, "fullsend:audit: whole, 3 records\n".to_owned());
    assert_eq!(run(&desk, verify(None), false).await, on_bus);
    let entries = desk.world.entries(ChannelName::Audit).await;
    let chain = serde_json::from_str::<Value>(&entries[0].b).unwrap()["hash"].as_str().unwrap()[..12].to_owned();
    let file = gate::copy_file(desk.home.path(), Some(&chain));
    std::fs::write(&file, format!("{}\n{}\n", entries[0].b, entries[1].b)).unwrap();
    // The copy of another bus's chain is nobody's fault.
    std::fs::write(desk.home.path().join("audit-0123456789ab.jsonl"), "{}\n").unwrap();
    let (ended, text) = run(&desk, verify(None), false).await;
    assert_eq!(ended, OK);
    assert!(text.ends_with(".jsonl: whole, 3 records (1 of them not copied yet)\n"), "{text}");
    let empty = Desk::new();
    assert_eq!(run(&empty, verify(None), false).await.1, "fullsend:audit: whole, 0 records\n");
}

#[tokio::test(start_paused = true)]
async fn a_broken_copy_is_found_with_its_first_bad_record() {
    let desk = recorded().await;
    let lines: Vec<_> = desk.world.entries(ChannelName::Audit).await.into_iter().map(|entry| entry.b).collect();
    let file = desk.home.path().join("copy");
    for (text, broken) in [
        (format!("{}\n{}\n", lines[0], lines[1].replace("mara", "eve")), "record 2 was changed"),
        (format!("{}\n{}\n", lines[0], lines[2]), "records 2 to 2 are missing"),
        (format!("{}\n{}\n", lines[1], lines[2]), "records 1 to 1 are missing"),
        ("{}\n".to_owned(), "line 1 is no audit record"),
        ("\u{0}\n".to_owned(), "line 1 is no audit record"),
    ] {
        std::fs::write(&file, text).unwrap();
        let (ended, said) = run(&desk, verify(Some(&file)), false).await;
        assert_eq!(ended, FAILED);
        assert!(said.contains(broken), "{said}");
        let (_, said) = run(&desk, verify(Some(&file)), true).await;
        assert_eq!(serde_json::from_str::<Value>(&said).unwrap()["whole"], json!(false));
    }
    // The end is cut off on the bus as well.
    desk.document("audit:head", &[("number", "4")]).await;
    let (ended, said) = run(&desk, verify(None), false).await;
    assert_eq!(ended, FAILED);
    assert!(said.contains("the end is missing: the last record is 3, the bus knows 4"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn the_newest_records_are_shown_harmless() {
    let desk = recorded().await;
    let (_, text) = run(&desk, Action::Tail { lines: 2 }, false).await;
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 3);
    assert!(lines[1].starts_with("2 ") && lines[1].ends_with("hold: two"), "{text}");
    assert!(lines[2].starts_with("3 ") && !text.contains('\u{1b}'), "{text}");
    let (_, text) = run(&desk, Action::Tail { lines: 1 }, true).await;
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["number"], json!(3));
}

#[tokio::test(start_paused = true)]
async fn what_the_gate_did_not_say_is_no_record() {
    let desk = recorded().await;
    let mut forged = crate::contracts::schema::find("audit_record").unwrap().example();
    forged["number"] = json!(4);
    let envelope = desk.world.origin(Trust::External).envelope("audit_record", "bridge");
    desk.world.say(Outgoing::new(ChannelName::Audit, envelope, forged.to_string()).unwrap()).await;
    let (ended, text) = run(&desk, verify(None), false).await;
    assert_eq!((ended, text.as_str()), (OK, "fullsend:audit: whole, 3 records\n"));
    let (_, text) = run(&desk, Action::Tail { lines: 1 }, true).await;
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["number"], json!(3));
}
