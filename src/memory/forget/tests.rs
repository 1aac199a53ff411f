use std::collections::BTreeMap;
use std::time::Duration;

use pretty_assertions::assert_eq;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::bus::testing::World;

const GRACE: &str = "Grace@One.example";

fn wanted() -> Wanted {
    Wanted::new(GRACE)
}

#[test]
fn an_address_is_found_as_a_whole() {
    for (text, expected) in [
        ("grace@one.example", true),
        ("to GRACE@ONE.EXAMPLE.", true),
        ("<grace@one.example>, x", true),
        ("email:exp_1:grace@one.example:first", true),
        ("mary.grace@one.example", false),
        ("grace@one.example.com", false),
        ("grace@one.examples", false),
        ("grace@one", false),
    ] {
        assert_eq!(wanted().is_in(text), expected, "{text}");
    }
}

#[test]
fn rows_go_as_a_whole_and_other_text_loses_the_address() {
    let rows = json!({ "list": { "rows": [{ "email": "Grace@one.example", "name": "Grace" }, { "email": "b@x.example", "note": "knows grace@one.example" }] } });
    let clean: Value = serde_json::from_str(&wanted().out_of(&rows.to_string()).unwrap()).unwrap();
    assert_eq!(clean, json!({ "list": { "rows": [{ "email": "b@x.example", "note": format!("knows {NOBODY}") }] } }));
    assert_eq!(wanted().out_of("mail to grace@one.example failed").unwrap(), format!("mail to {NOBODY} failed"));
    assert_eq!(wanted().out_of("nobody here"), None);
    let hashed =
        json!({ "event": "reply", "person": keys::person(GRACE), "id": format!("reply:{}", keys::person(GRACE)) });
    assert!(!wanted().out_of(&hashed.to_string()).unwrap().contains(&keys::person(GRACE)));
}

proptest! {
    #[test]
    fn nothing_is_left_of_them_and_nothing_of_others_is_lost(before in "[a-z .,<>]{0,20}", after in "[a-z ,<>]{0,20}") {
        let text = format!("{before} grace@one.example {after} b@one.example");
        let clean = wanted().out_of(&text).unwrap();
        prop_assert!(!wanted().is_in(&clean));
        prop_assert!(clean.contains("b@one.example") && clean.starts_with(&before));
    }
}

async fn write(world: &World, key: &str, fields: &[(&str, &str)]) {
    let fields = fields.iter().map(|(name, text)| ((*name).to_owned(), Some((*text).to_owned()))).collect();
    let op = Op::Change { key: Key::new(key), expect: Expect::Any, fields, ttl: Ttl::Keep };
    world.commit(vec![op]).await;
}

async fn fields(world: &World, key: &str) -> BTreeMap<String, String> {
    match world.bus().get(&Key::new(key)).await.unwrap() {
        Some(State::Hash(document)) => document.fields,
        other => panic!("{key}: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_person_is_taken_out_of_all_state_and_what_remains_is_told() {
    let world = World::new();
    let hash = keys::person(GRACE);
    let rows =
        json!({ "list": { "rows": [{ "email": "grace@one.example" }, { "email": "b@x.example" }] } }).to_string();
    write(&world, "experiment_runs:exp_1:r1", &[("outputs", &rows), ("status", "completed")]).await;
    let spec = json!({ "id": "exp_1", "execution": { "steps": [{ "id": "list", "tool": "csv_leads", "params": { "path": "/data/leads.csv" } }] } });
    write(&world, "experiments:exp_1", &[("spec_json", &spec.to_string()), ("spec", "email: grace@one.example\n")])
        .await;
    write(
        &world,
        "actions:a1",
        &[
            ("key", "email:exp_1:grace@one.example:first"),
            ("target", "grace@one.example"),
            ("subject", "Hi Grace"),
            ("state", "done"),
        ],
    )
    .await;
    write(&world, "actions:a2", &[("key", "email:exp_1:b@x.example:first"), ("subject", "Hi B"), ("state", "done")])
        .await;
    write(&world, &format!("contacts:{hash}"), &[("last_at", "2026-03-01T09:30:00Z")]).await;
    write(&world, "approvals:p1", &[("state", "pending"), ("details", "to grace@one.example")]).await;
    write(&world, "approvals:p2", &[("state", "approved"), ("details", "to grace@one.example")]).await;
    write(&world, "notes:learnings", &[("text", "grace@one.example said no")]).await;
    for event in [json!({ "event": "reply", "person": hash }), json!({ "event": "reply", "person": "x" })] {
        let change = StateChange::Push { value: event.to_string(), keep: 100 };
        world.commit(vec![Op::State { key: Key::new("metrics:exp_1"), change }]).await;
    }
    let done = forget(&world.bus(), GRACE, Duration::from_hours(24)).await.unwrap();
    let left = fields(&world, "experiment_runs:exp_1:r1").await;
    assert_eq!(left["outputs"], json!({ "list": { "rows": [{ "email": "b@x.example" }] } }).to_string());
    assert_eq!(fields(&world, "experiments:exp_1").await["spec"], format!("email: {NOBODY}\n"));
    let action = fields(&world, "actions:a1").await;
    assert_eq!((action["state"].as_str(), action.get("subject"), action["target"].as_str()), ("done", None, NOBODY));
    assert_eq!(fields(&world, "actions:a2").await["subject"], "Hi B");
    assert_eq!(fields(&world, "approvals:p1").await["details"], "to grace@one.example");
    assert_eq!(fields(&world, "approvals:p2").await["details"], format!("to {NOBODY}"));
    let Some(State::List(events)) = world.bus().get(&Key::new("metrics:exp_1")).await.unwrap() else {
        panic!("no list")
    };
    assert!(events.len() == 2 && !events.iter().any(|event| event.contains(&hash)), "{events:?}");
    assert_eq!(done.removed, [format!("contacts:{hash}")]);
    assert_eq!(done.lists, ["metrics:exp_1"]);
    assert_eq!(done.documents, ["experiments:exp_1", "experiment_runs:exp_1:r1", "approvals:p2", "actions:a1"]);
    assert_eq!(done.sources, ["/data/leads.csv"]);
    let remains: Vec<_> = done.remains.iter().map(|it| (it.place.as_str(), it.count)).collect();
    assert_eq!(remains, [("approvals:p1", 1), ("notes", 1)]);
    // Doing it again changes nothing more.
    let again = forget(&world.bus(), GRACE, Duration::from_hours(24)).await.unwrap();
    assert!(again.documents.is_empty() && again.lists.is_empty() && again.removed.is_empty(), "{again:?}");
}

#[test]
fn files_of_tools_go_and_others_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let outbox = dir.path().join("r1/outreach/outbox");
    std::fs::create_dir_all(&outbox).unwrap();
    std::fs::write(outbox.join("a.eml"), "To: Grace@one.example\r\n\r\nHi").unwrap();
    std::fs::write(outbox.join("b.eml"), "To: b@x.example\r\n\r\nHi").unwrap();
    let own = dir.path().join("leads.csv");
    std::fs::write(&own, "email\ngrace@one.example\nb@x.example\n").unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::write(elsewhere.path().join("x"), "grace@one.example").unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), outbox.join("link")).unwrap();
    assert_eq!(named_in(&own, GRACE).unwrap(), 1);
    let (removed, left) = remove_files(&dir.path().join("r1"), GRACE);
    assert_eq!((removed, left), (vec![outbox.join("a.eml")], Vec::new()));
    assert!(outbox.join("b.eml").exists() && own.exists() && elsewhere.path().join("x").exists());
}
