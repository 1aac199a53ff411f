use std::io;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{MANIFESTS, ROWS_LIMIT, fit, work};
use crate::contracts::SystemClock;
use crate::tools::manifest::{Effect, Manifest};

async fn said(name: &str, input: &str) -> Value {
    let file = tempfile::NamedTempFile::new().unwrap();
    let answers = Box::new(io::Cursor::new(input.as_bytes().to_vec()));
    assert!(work(name, answers, Box::new(file.reopen().unwrap()), Arc::new(SystemClock)).await);
    serde_json::from_str(std::fs::read_to_string(file.path()).unwrap().trim()).unwrap()
}

#[tokio::test]
async fn what_is_no_input_is_told_as_a_result() {
    for (input, expected) in [
        ("", "nothing came on its standard input"),
        ("{\"params\":", "its input is no input of a tool"),
        ("[]\n", "its input is no input of a tool"),
        (
            "{\"params\":{},\"run\":{\"experiment_id\":\"\",\"run_id\":\"\",\"step\":\"\",\"mode\":\"loud\"}}\n",
            "its input is no input",
        ),
    ] {
        let result = said("csv_leads", input).await;
        assert_eq!(result["result"]["code"], json!("invalid_params"), "{input}");
        assert!(result["result"]["error"].as_str().unwrap().contains(expected), "{result}");
    }
    let input = r#"{"params":{},"run":{"experiment_id":"e","run_id":"r","step":"s","mode":"dry_run"}}"#;
    assert_eq!(said("no_such_tool", input).await["result"]["code"], json!("not_found"));
}

#[test]
fn every_manifest_is_sound() {
    for (name, text) in MANIFESTS {
        let manifest = Manifest::read(text).unwrap_or_else(|err| panic!("{name}: {err}"));
        assert_eq!(manifest.name, *name);
        assert_eq!(manifest.inputs["additionalProperties"], json!(false), "{name}");
        for (param, schema) in manifest.inputs["properties"].as_object().unwrap() {
            assert!(schema.get("description").is_some(), "{name}: `{param}` is not described");
        }
        // What it does to the world is what its code does: those that ask before they act are outward.
        let acts = matches!(*name, "email_send" | "webhook_post");
        assert_eq!(manifest.effect == Effect::Outward, acts, "{name}");
        assert_eq!(manifest.simulation, *name == "simulated_audience");
    }
}

#[test]
fn rows_are_cut_where_they_no_longer_fit() {
    let row = || Map::from_iter([("x".to_owned(), json!("y".repeat(1_000)))]);
    let (kept, left_out) = fit((0..1_000).map(|_| row()).collect());
    assert_eq!(kept.len() + left_out, 1_000);
    assert!(kept.len() > ROWS_LIMIT / 1_100 && serde_json::to_vec(&kept).unwrap().len() <= ROWS_LIMIT + 2);
    assert_eq!(fit(vec![row()]).1, 0);
}
