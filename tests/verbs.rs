//! The verbs as a person meets them, as far as they need no bus.
#![expect(clippy::unwrap_used, reason = "a test may stop at what it did not expect, also in its helpers")]

use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fullsend"));
    command.args(args).env_clear().env("HOME", "/nonexistent");
    command
}

fn run(args: &[&str]) -> Output {
    command(args).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn wiring_holds() {
    let text = run(&["wiring"]);
    assert_eq!(text.status.code(), Some(0), "{}", stderr(&text));
    assert!(stdout(&text).contains("fullsend:to_orchestrator"));
    let json: Value = serde_json::from_str(&stdout(&run(&["wiring", "--json"]))).unwrap();
    assert_eq!(json["orphans"], serde_json::json!([]));
    assert!(stdout(&run(&["wiring", "--mermaid"])).starts_with("flowchart LR"));
}

#[test]
fn schema_prints_what_publish_takes() {
    let schema = run(&["schema", "escalation"]);
    assert_eq!(schema.status.code(), Some(0));
    assert!(serde_json::from_slice::<Value>(&schema.stdout).unwrap()["properties"].is_object());
    let ambiguous = run(&["schema", "tool_build_failed"]);
    assert_eq!(ambiguous.status.code(), Some(2));
    assert!(stderr(&ambiguous).contains("builder_results/tool_build_failed"), "{}", stderr(&ambiguous));
    assert!(stderr(&run(&["schema", "escalatoin"])).contains("did you mean `escalation`?"));
    assert_eq!(run(&["schema", "--example"]).status.code(), Some(2));
}

#[test]
fn publish_refuses_what_does_not_fit_and_says_what_would() {
    let said = |args: &[&str]| {
        let output = run(args);
        assert_eq!((output.status.code(), stdout(&output)), (Some(1), String::new()), "{args:?}");
        stderr(&output)
    };
    let near = said(&["publish", "echo", r#"{"type":"echo_requst"}"#]);
    assert!(near.contains("did you mean `echo_request`?"), "{near}");
    assert!(near.contains("next: `fullsend schema echo/echo_request --example` prints one that fits"), "{near}");
    assert!(near.contains("next: `--force` says it all the same"), "{near}");
    let far = said(&["publish", "echo", r#"{"type":"\u001b[2Jx"}"#]);
    assert!(far.contains("next: fullsend:echo carries echo_request, echo_reply"), "{far}");
    assert!(!far.contains('\u{1b}'), "{far}");
    let field = said(&["publish", "echo", r#"{"type":"echo_request","text":[]}"#]);
    assert!(field.contains("(at `text`)"), "{field}");

    let channel = run(&["publish", "ecko", "{}"]);
    assert_eq!(channel.status.code(), Some(2));
    assert!(stderr(&channel).contains("did you mean `echo`?"), "{}", stderr(&channel));
    let priority = run(&["publish", "echo", "{}", "--priority", "soon"]);
    assert!(stderr(&priority).contains("one of low, medium, high, urgent"), "{}", stderr(&priority));
}

#[test]
fn publish_reads_standard_input() {
    for args in [&["publish", "echo"][..], &["publish", "echo", "-"]] {
        let mut child = command(args).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"{\"type\":7}\n").unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(stderr(&output).contains("(at `type`)"), "{}", stderr(&output));
    }
}
