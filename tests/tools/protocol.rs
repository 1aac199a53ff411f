//! What a tool says and is answered.

use std::time::Duration;

use fullsend::contracts::messages::ErrorCode;
use fullsend::tools::contract::Answer;
use pretty_assertions::assert_eq;
use serde_json::json;

use crate::rig::Rig;

const OUTWARD: &str = "effect = \"outward\"";

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_a_tool_says_reaches_the_desk() {
    let mut rig = Rig::new();
    rig.python(
        OUTWARD,
        r#"
say(progress={"done": 1, "total": 2, "message": "half"})
print("for people, by mistake")
say(log="for people")
print("on standard error", file=sys.stderr)
say(metric={"event": "email_sent", "variant": "a"})
say(metric={"event": "email_sent", "id": "mine"})
said = []
for key in ("a", "b", "c"):
    say(action={"key": key, "kind": "email", "target": key + "@example.org", "subject": "Hello"})
    said.append(sys.stdin.readline().strip())
    if said[-1] == "go": say(done={"key": key, "receipt": "id-" + key})
say(result={"said": said, "mode": given["run"]["mode"], "params": params})
"#,
    );
    rig.notes.answers = vec![Answer::Go, Answer::Skip, Answer::Stop];
    let result = rig.gives(json!({ "x": [1, { "y": "ü" }] })).await;
    assert_eq!(result, json!({ "said": ["go", "skip", "stop"], "mode": "live", "params": { "x": [1, { "y": "ü" }] } }));
    let notes = &rig.notes;
    assert_eq!((notes.progress[0].done, notes.progress[0].total), (1, Some(2)));
    for said in ["for people, by mistake", "for people", "on standard error"] {
        assert!(notes.logs.iter().any(|log| log == said), "{said}: {:?}", notes.logs);
    }
    let ids: Vec<_> = notes.metrics.iter().map(|event| event["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["run-1:s:1", "mine"], "what has none gets one that is the same each time");
    assert_eq!(notes.asked[1].target, "b@example.org");
    assert_eq!(notes.asked[1].details["subject"], json!("Hello"));
    assert_eq!(notes.done.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn time_in_which_an_answer_is_awaited_is_not_the_tools() {
    let mut rig = Rig::new();
    rig.python(
        OUTWARD,
        "say(action={'key': 'k', 'kind': 'email', 'target': 'a'})\nsys.stdin.readline()\nsay(result={})",
    );
    rig.notes.thinks = Duration::from_millis(2_500);
    let outcome = rig.run_within(json!({}), Some(Duration::from_secs(2))).await;
    assert!(outcome.result.is_ok(), "{outcome:?}");
    assert!(outcome.took < Duration::from_secs(2), "{:?}", outcome.took);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_told_with_what_there_was() {
    let mut rig = Rig::new();
    rig.python(
        "",
        r#"say(result={"success": False, "error": "the list is empty", "code": "unauthorized", "rows": 3})"#,
    );
    let err = rig.fails().await;
    assert_eq!((err.code, err.message.as_str()), (ErrorCode::Unauthorized, "the tool `t` failed: the list is empty"));
    assert_eq!(err.partial["rows"], json!(3));

    rig.python("", r#"say(result={"rows": 3}); print("Traceback: boom", file=sys.stderr); sys.exit(3)"#);
    let err = rig.fails().await;
    assert_eq!(err.message, "the tool `t` failed: it ended with exit code 3: Traceback: boom");
    assert_eq!((err.code, &err.partial["rows"]), (ErrorCode::Tool, &json!(3)));

    rig.python("", r#"sys.stdout.write('{"result": {"rows": [1, 2'); sys.stdout.flush()"#);
    let err = rig.fails().await;
    assert!(err.message.contains("without a result; its last line has no end: {\"result\""), "{}", err.message);

    rig.python("", "pass");
    assert!(rig.fails().await.message.contains("ended without a result"));

    rig.shell("", "echo '{\"result\": {}}' && kill -SEGV $$");
    assert!(rig.fails().await.message.contains("ended by SIGSEGV"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_half_line_that_is_whole_counts() {
    let mut rig = Rig::new();
    rig.shell("", "printf '{\"result\": {\"a\": 1}}'");
    assert_eq!(rig.gives(json!({})).await, json!({ "a": 1 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_and_results_are_held_to_the_manifest() {
    let mut rig = Rig::new();
    let manifest = "[inputs]\nrequired = [\"n\"]\n[inputs.properties]\nn = { type = \"integer\" }\nm = { default = 7 }\n\
                    [outputs]\ntype = \"object\"\nrequired = [\"n\"]";
    rig.python(manifest, "say(result={'n': params['n'], 'm': params['m']} if params['n'] else {})");
    assert_eq!(rig.gives(json!({ "n": 1 })).await, json!({ "n": 1, "m": 7 }));
    let err = rig.run(json!({ "n": "one", "nn": 1 })).await.result.unwrap_err();
    assert_eq!(err.code, ErrorCode::InvalidParams);
    assert!(err.message.contains("n: ") && err.message.contains("nn"), "{}", err.message);
    let err = rig.run(json!({ "n": 0 })).await.result.unwrap_err();
    assert!(err.code == ErrorCode::Tool && err.message.contains("not what its manifest says"), "{err:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_acts_against_its_manifest_is_ended() {
    let mut rig = Rig::new();
    rig.python(
        "effect = \"read\"",
        "say(action={'key': 'k', 'kind': 'email', 'target': 'a'})\nsys.stdin.readline()\nsay(result={})",
    );
    let err = rig.fails().await;
    assert!(err.message.contains("its manifest says `effect = \"read\"`"), "{}", err.message);
    assert!(rig.notes.asked.is_empty(), "nobody was even asked");
    rig.python(OUTWARD, "say(action={'key': '', 'kind': 'email', 'target': 'a'})\ntime.sleep(60)");
    assert!(rig.fails().await.message.contains("key, kind or target"));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_such_tool_and_no_such_secret_are_told_by_code() {
    let mut rig = Rig::new();
    assert_eq!(rig.fails().await.code, ErrorCode::NotFound);
    rig.python("secrets = [\"NOWHERE\"]", "say(result={})");
    let err = rig.fails().await;
    assert!(err.code == ErrorCode::Unauthorized && err.message.contains("fullsend secrets set NOWHERE"), "{err:?}");
    rig.python("secrets = [\"NOWHERE?\", \"API_KEY\"]", "say(result=sorted(given['secrets']))");
    assert_eq!(rig.gives(json!({})).await, json!(["API_KEY"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_passing_is_tried_again_where_that_is_safe() {
    let mut rig = Rig::new();
    let again = r#"
count = len(os.listdir("."))
open(str(count), "w").close()
if count < 2: say(result={"success": False, "code": "transient", "error": "busy"})
else: say(result={"attempts": count + 1})
"#;
    rig.python("", again);
    assert_eq!(rig.gives(json!({})).await, json!({ "attempts": 3 }));

    // One that said what counts says it twice, unless it is the same when it is run again.
    let mut rig = Rig::new();
    rig.python("", &format!("say(metric={{'event': 'x'}})\n{again}"));
    let err = rig.fails().await;
    assert!(err.code == ErrorCode::Transient && err.message.contains("not tried again"), "{err:?}");

    let mut rig = Rig::new();
    rig.python("idempotent = true", &format!("say(metric={{'event': 'x'}})\n{again}"));
    assert_eq!(rig.gives(json!({})).await, json!({ "attempts": 3 }));
    let ids: Vec<_> = rig.notes.metrics.iter().map(|event| event["id"].clone()).collect();
    assert_eq!(ids, [json!("run-1:s:1"), json!("run-1:s:1"), json!("run-1:s:1")]);

    let mut rig = Rig::new();
    rig.python("", "say(result={'success': False, 'code': 'transient', 'error': 'busy'})");
    let err = rig.fails().await;
    assert_eq!(err.code, ErrorCode::Exhausted);
    assert!(err.message.starts_with("after 3 attempts: "), "{}", err.message);
}
