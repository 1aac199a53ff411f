use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{MANIFESTS, ROWS_LIMIT, fit, work};
use crate::contracts::SystemClock;

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
    let known: BTreeSet<_> =
        "name version description effect idempotent timeout secrets optional_secrets network network_params \
        path_params simulation inputs outputs"
            .split_whitespace()
            .collect();
    for (name, text) in MANIFESTS {
        let manifest: Value = toml::from_str(text).unwrap_or_else(|err| panic!("{name}: {err}"));
        assert_eq!(manifest["name"], json!(name));
        let unknown: Vec<_> =
            manifest.as_object().unwrap().keys().filter(|key| !known.contains(key.as_str())).collect();
        assert!(unknown.is_empty(), "{name}: {unknown:?}");
        for schema in ["inputs", "outputs"] {
            jsonschema::validator_for(&manifest[schema]).unwrap_or_else(|err| panic!("{name}: {schema}: {err}"));
        }
        assert_eq!(manifest["inputs"]["additionalProperties"], json!(false), "{name}");
        let properties = manifest["inputs"]["properties"].as_object().unwrap();
        for list in ["path_params", "network_params"] {
            for param in manifest.get(list).and_then(Value::as_array).into_iter().flatten() {
                assert!(properties.contains_key(param.as_str().unwrap()), "{name}: {list}: {param}");
            }
        }
        for (param, schema) in properties {
            assert!(schema.get("description").is_some(), "{name}: `{param}` is not described");
        }
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
