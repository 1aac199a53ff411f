use std::fs;

use pretty_assertions::assert_eq;

use super::*;
use crate::cli::testing::Stage;

/// Two scenarios, of which the rules miss one; and what the answer to the first would do.
fn file(forbidden: &str) -> (tempfile::TempDir, Args) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("two.toml");
    let text = format!(
        r#"
[[scenario]]
name = "hello"
about = "a greeting"
channel = "fullsend:discord_raw"
message = '{{"type":"discord_message","content":"hello"}}'
expected = "answer"
forbidden = {forbidden}

[[scenario]]
name = "started"
about = "not what is expected"
channel = "fullsend:to_orchestrator"
message = '{{"type":"builder_started","request_id":"r1","tool_name":"x"}}'
expected = "update_worklist"
"#
    );
    fs::write(&path, text).unwrap();
    (folder, Args { paths: vec![path], provider: Who::Rules, task: None, show_misses: true })
}

#[tokio::test]
async fn the_right_answers_are_counted_and_the_wrong_ones_are_shown() {
    let (_folder, args) = file("[]");
    let (cx, results, _) = Stage::new().context(false);
    assert_eq!(run(&args, &cx).await.unwrap(), OK);
    let text = results.text();
    let of_all = text.lines().find(|line| line.starts_with("all ")).unwrap();
    assert_eq!(of_all.split_whitespace().collect::<Vec<_>>(), ["all", "2", "1", "50.0", "%", "0"]);
    assert!(text.contains("wrong: started (builder_started): no_action, expected update_worklist"), "{text}");
}

#[tokio::test]
async fn a_harmful_answer_fails_and_is_shown() {
    let (_folder, args) = file(r#"["ignore"]"#);
    let args = Args { show_misses: false, ..args };
    let (cx, results, _) = Stage::new().context(true);
    assert_eq!(run(&args, &cx).await.unwrap(), OK);
    let said: serde_json::Value = serde_json::from_str(&results.text()).unwrap();
    assert_eq!((&said["all"]["answers"], &said["all"]["forbidden"]), (&json!(2), &json!(0)));

    let (_folder, args) = file(r#"["answer"]"#);
    let (cx, results, _) = Stage::new().context(false);
    assert_eq!(run(&args, &cx).await.unwrap(), FAILED);
    assert!(results.text().contains("HARMFUL: hello (discord_message): answer"), "{}", results.text());
}

#[tokio::test]
async fn one_task_can_be_judged_alone() {
    let (_folder, args) = file("[]");
    let args = Args { task: Some(Asked::Classify), ..args };
    let (cx, results, _) = Stage::new().context(true);
    assert_eq!(run(&args, &cx).await.unwrap(), OK);
    let said: serde_json::Value = serde_json::from_str(&results.text()).unwrap();
    assert_eq!((&said["accuracy"], &said["answers"][0]["name"]), (&json!(1.0), &json!("hello")));
}
