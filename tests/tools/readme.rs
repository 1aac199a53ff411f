//! The tools of the README, as it tells them, and the verbs for them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use pretty_assertions::assert_eq;
use serde_json::{Value, json};
use tempfile::TempDir;

const README: &str = include_str!("../../README.md");

/// The block of this language that comes next after these words.
fn block(language: &str, after: &str) -> &'static str {
    let from = README.find(after).unwrap_or_else(|| panic!("the README does not say {after}"));
    let fence = format!("```{language}\n");
    let start = README[from..].find(&fence).unwrap() + from + fence.len();
    &README[start..start + README[start..].find("```").unwrap()]
}

fn program(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
}

fn fullsend(home: &TempDir, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fullsend"));
    command.args(words).env_clear().env("HOME", home.path()).env("PATH", "/usr/bin:/bin").current_dir(home.path());
    command.output().unwrap()
}

fn json(home: &TempDir, words: &[&str]) -> Value {
    let output = fullsend(home, &[&["--json"], words].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|err| panic!("{err}: {said}"))
}

#[test]
fn the_tools_of_the_readme_work_as_it_says() {
    let home = tempfile::tempdir().unwrap();
    let tools = home.path().join(".local/state/fullsend/tools");
    let members = tools.join("forum_members");
    fs::create_dir_all(members.join("tests")).unwrap();
    fs::write(members.join("tool.toml"), block("toml", "`tools/forum_members/tool.toml`")).unwrap();
    program(&members.join("main.py"), block("python", "`tools/forum_members/main.py`"));
    fs::write(members.join("tests/finds.json"), block("json", "tests/finds.json")).unwrap();
    fs::write(members.join("tests/members.txt"), "ada rust and more\nbob cobol\n").unwrap();
    let checked = json(&home, &["tools", "check", &members.display().to_string()]);
    assert_eq!(checked["tests"], json!([{ "test": "finds", "passed": true, "why": null }]));

    let list = home.path().join("members.txt");
    fs::write(&list, "ada rust\neve rust\nbob cobol\n").unwrap();
    let ran = json(&home, &["tools", "run", "forum_members", "--params", r#"{"list": "members.txt", "word": "rust"}"#]);
    assert_eq!(ran["result"], json!({ "rows": [{ "name": "ada" }, { "name": "eve" }], "count": 2 }));
    assert_eq!(ran["metrics"].as_array().unwrap().len(), 2);

    let poster = tools.join("note_poster");
    fs::create_dir_all(&poster).unwrap();
    let manifest = "name = \"note_poster\"\nversion = \"1\"\ndescription = \"Posts a note.\"\nrun = [\"./main.sh\"]\neffect = \"outward\"\n";
    fs::write(poster.join("tool.toml"), manifest).unwrap();
    program(&poster.join("main.sh"), block("sh", "`tools/note_poster/main.sh`"));
    let ran = json(&home, &["tools", "run", "note_poster"]);
    assert_eq!((&ran["result"], &ran["metrics"][0]["event"]), (&json!({ "answer": "go" }), &json!("note_sent")));
    let live = json(&home, &["tools", "run", "note_poster", "--as", "live"]);
    assert_eq!(live["result"], json!({ "answer": "stop" }), "nobody was there to say yes");
}

#[test]
fn a_shipped_tool_runs_shut_in_and_a_failure_is_told() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("leads.csv"), "email,name\nada@example.org,Ada\nada@example.org,Ada\n").unwrap();
    let ran = json(&home, &["tools", "run", "csv_leads", "--params", r#"{"path": "leads.csv"}"#]);
    assert_eq!((&ran["result"]["count"], &ran["result"]["rows"][0]["name"]), (&json!(1), &json!("Ada")));
    let output = fullsend(&home, &["tools", "run", "csv_leads", "--params", r#"{"path": "none.csv"}"#]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("`none.csv`, which cannot be read"));
    let output = fullsend(&home, &["tools", "run", "csv_lead"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("did you mean `csv_leads`?"));
    let output = fullsend(&home, &["tools", "run", "csv_leads", "--params", "[]"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_tool_that_fails_its_own_test_is_told_of() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("broken");
    fs::create_dir_all(folder.join("tests")).unwrap();
    let manifest =
        "name = \"broken\"\nversion = \"1\"\ndescription = \"d\"\nrun = [\"./main.sh\"]\neffect = \"none\"\n";
    fs::write(folder.join("tool.toml"), manifest).unwrap();
    program(&folder.join("main.sh"), "#!/bin/sh\necho '{\"result\": {\"a\": 1}}'\n");
    fs::write(folder.join("tests/one.json"), r#"{"expected": {"a": 2}}"#).unwrap();
    fs::write(folder.join("tests/two.json"), r#"{"error": "timeout"}"#).unwrap();
    let output = fullsend(&home, &["tools", "check", "broken"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.contains("FAILED  one: a is 1, not 2") && text.contains("FAILED  two: it should have failed"),
        "{text}"
    );
    fs::write(folder.join("tool.toml"), manifest.replace("./main.sh", "../main.sh")).unwrap();
    let output = fullsend(&home, &["tools", "check", "broken"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("leads out of the tool's folder"));
}

#[test]
fn secrets_are_taken_from_standard_input_and_never_shown() {
    let home = tempfile::tempdir().unwrap();
    let shell = |line: &str| {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", line]).env_clear().env("HOME", home.path()).env("PATH", "/usr/bin:/bin").output().unwrap()
    };
    let bin = env!("CARGO_BIN_EXE_fullsend");
    let output = shell(&format!(
        "printf 'value-of-the-key\\n' | {bin} secrets set FORUM_KEY; {bin} secrets list; {bin} --json secrets list"
    ));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("FORUM_KEY is kept") && text.contains("FORUM_KEY") && !text.contains("value-of"), "{text}");
}

#[test]
fn the_doctor_says_how_tools_are_shut_in() {
    let home = tempfile::tempdir().unwrap();
    let report = json(&home, &["doctor"]);
    assert_eq!(report["sandbox"]["namespaces"], json!(true), "{report:#}");
    assert_eq!(report["sandbox"]["landlock"], json!("full"));
    let output = Command::new(env!("CARGO_BIN_EXE_fullsend"))
        .args(["--json", "doctor"])
        .env_clear()
        .env("HOME", home.path())
        .env("PATH", "/nowhere")
        .env("FULLSEND_TOOLS__UNSANDBOXED", "on")
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = report["findings"].to_string();
    assert!(
        findings.contains("TOOLS RUN WITHOUT THE WHOLE SANDBOX") && findings.contains("there is no `bwrap`"),
        "{findings}"
    );
}
