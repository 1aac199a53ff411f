//! Every tool ends, and nothing is left of it.

use std::time::{Duration, Instant};

use fullsend::contracts::messages::ErrorCode;
use fullsend::tools::sandbox::Processes;
use fullsend::tools::sandbox::inside::PROCESSES;
use serde_json::json;

use crate::rig::Rig;

/// A word among the arguments of what a tool starts, by which it is found.
fn mark(name: &str) -> String {
    format!("{name}-{}", std::process::id())
}

/// How long an end may take.
const TWO_SECONDS: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn one_that_hangs_and_ignores_every_signal_is_killed_within_two_seconds() {
    let mark = mark("hangs");
    let mut rig = Rig::new();
    rig.python(
        "",
        &format!(
            "import signal, subprocess\nfor one in range(1, 32):\n  try: signal.signal(one, signal.SIG_IGN)\n  except OSError: pass\n\
             for _ in range(5): subprocess.Popen(['/bin/sh', '-c', 'trap \"\" TERM; sleep 600; :', '{mark}'], start_new_session=True)\n\
             say(log='ready')\nwhile True: time.sleep(600)"
        ),
    );
    let began = Instant::now();
    let outcome = rig.run_within(json!({}), Some(Duration::from_secs(1))).await;
    let err = outcome.result.unwrap_err();
    assert_eq!(err.code, ErrorCode::Timeout);
    assert!(rig.notes.logs.contains(&"ready".to_owned()), "{err:?}");
    assert!(began.elapsed() < Duration::from_secs(1) + TWO_SECONDS, "{:?}", began.elapsed());
    assert_eq!(Rig::alive(&mark), 0, "something is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_is_heeded_within_two_seconds_and_what_was_done_is_still_heard() {
    let mark = mark("stopped");
    let mut rig = Rig::new();
    rig.python(
        "effect = \"outward\"",
        &format!(
            "import signal, subprocess\ndef ends(*_):\n  say(done={{'key': 'k', 'receipt': 'r'}})\n  sys.exit(0)\n\
             signal.signal(signal.SIGTERM, ends)\nsubprocess.Popen(['/bin/sh', '-c', 'sleep 600; :', '{mark}'])\n\
             say(action={{'key': 'k', 'kind': 'email', 'target': 'a'}})\nsys.stdin.readline()\nsay(log='acting')\nwhile True: time.sleep(600)"
        ),
    );
    rig.notes.stop_at = Some(("acting", rig.stop.clone()));
    let began = Instant::now();
    let err = rig.fails().await;
    assert_eq!(err.code, ErrorCode::Cancelled);
    assert!(began.elapsed() < TWO_SECONDS + Duration::from_secs(3), "{:?}", began.elapsed());
    assert_eq!(rig.notes.done.len(), 1, "it said in its last moment that it had acted: {:?}", rig.notes.logs);
    assert_eq!(Rig::alive(&mark), 0, "something is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_while_an_answer_is_awaited_is_a_stop() {
    let mut rig = Rig::new();
    rig.python(
        "effect = \"outward\"",
        "say(log='asking')\nsay(action={'key': 'k', 'kind': 'email', 'target': 'a'})\nsay(result={'said': sys.stdin.readline()})",
    );
    rig.notes.thinks = Duration::from_mins(10);
    rig.notes.stop_at = Some(("asking", rig.stop.clone()));
    let began = Instant::now();
    let err = rig.fails().await;
    assert_eq!(err.code, ErrorCode::Cancelled);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_tool_leaves_behind_when_it_ends_well_is_gone_too() {
    let mark = mark("behind");
    let mut rig = Rig::new();
    rig.python(
        "",
        &format!("import subprocess\nsubprocess.Popen(['/bin/sh', '-c', 'sleep 600; :', '{mark}'], start_new_session=True)\nsay(result={{}})"),
    );
    rig.gives(json!({})).await;
    assert_eq!(Rig::alive(&mark), 0, "something is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_stays_after_its_result_is_ended_and_believed() {
    let mut rig = Rig::new();
    rig.python("", "say(result={'a': 1})\ntime.sleep(600)");
    assert_eq!(rig.gives(json!({})).await, json!({ "a": 1 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_is_cut_counted_and_ended() {
    let mut rig = Rig::new();
    rig.shell("", "yes some-words-that-nobody-reads");
    let outcome = rig.run(json!({})).await;
    let err = outcome.result.unwrap_err();
    assert!(err.message.contains("that nobody reads"), "{}", err.message);
    assert!(outcome.dropped > 4 << 20, "{}", outcome.dropped);

    rig.shell("", "yes 1>&2 & for i in 1 2 3; do echo $i; done; wait");
    assert!(rig.fails().await.message.contains("that nobody reads"));

    rig.shell("", "head -c 3000000 /dev/zero; echo; echo '{\"result\": {}}'");
    assert!(rig.fails().await.message.contains("a line of 3000000 bytes"));

    let mut rig = Rig::new();
    rig.shell(
        "",
        "for i in $(seq 50000); do echo 'thirty-two bytes and some more..'; done; echo '{\"result\": {\"a\": 1}}'",
    );
    let outcome = rig.run(json!({})).await;
    assert!(outcome.result.is_ok() && outcome.dropped > 100_000, "a long talk is only cut: {outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_does_not_read_its_input_is_not_waited_for() {
    let mut rig = Rig::new();
    rig.shell("", "exec 0<&-; echo '{\"result\": {}}'");
    let big = "x".repeat(4 << 20);
    rig.gives(json!({ "big": big })).await;
    rig.shell("", "sleep 0.3; echo '{\"result\": {}}'");
    rig.gives(json!({ "big": big })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_makes_more_processes_than_it_may_is_ended() {
    let mut rig = Rig::new();
    // As many as harm nobody, should nothing end them: a real fork bomb would take the other tests along.
    rig.shell("", "i=0; while [ $i -lt 400 ]; do i=$((i+1)); sleep 60 & done; wait");
    let began = Instant::now();
    let outcome = rig.run_within(json!({}), Some(Duration::from_secs(8))).await;
    assert!(outcome.result.is_err());
    assert!(began.elapsed() < Duration::from_secs(12), "{:?}", began.elapsed());
    let folder = rig.runner.registry().folder().join("t/main").display().to_string();
    assert_eq!(Rig::alive("/sandbox/tool/main") + Rig::alive(&folder), 0, "something is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_bomb_stays_within_its_limit_whoever_starts_it() {
    let mut rig = Rig::new();
    // It ends by itself, should nothing hold it.
    rig.python(
        "",
        "made = 0\nwhile made < 300:\n try: child = os.fork()\n except OSError: break\n if child == 0:\n  time.sleep(60)\n  os._exit(0)\n \
         made += 1\nsay(result={'made': made})",
    );
    let processes = rig.runner.sandbox().level().await.processes;
    let outcome = rig.run(json!({})).await;
    if processes == Processes::Counted {
        eprintln!("SKIPPED in part: nothing but counting holds a tool to its processes here");
    } else {
        let made = outcome.result.unwrap()["made"].as_u64().unwrap();
        assert!((20..=PROCESSES + 4).contains(&made), "{made}, held by {}", processes.words());
    }
    let folder = rig.runner.registry().folder().join("t/main").display().to_string();
    assert_eq!(Rig::alive("/sandbox/tool/main") + Rig::alive(&folder), 0, "something is left");
    rig.python("", "for _ in range(300):\n if os.fork() == 0:\n  time.sleep(60)\n  os._exit(0)");
    let err = rig.fails().await;
    if matches!(processes, Processes::CgroupV1 | Processes::CgroupV2) {
        assert!(err.message.ends_with("it wanted more than 64 processes at once"), "{}", err.message);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_is_not_filled() {
    let mut rig = Rig::new();
    rig.shell("", "set -e; head -c 70000000 /dev/zero > big; echo '{\"result\": {}}'");
    assert!(rig.fails().await.message.contains("SIGXFSZ"), "one file has its limit");

    let mut rig = Rig::new();
    rig.shell("", "i=0; while :; do i=$((i+1)); head -c 30000000 /dev/zero > big$i; done");
    let err = rig.fails().await;
    assert!(err.message.contains("into its work folder"), "all together too: {}", err.message);

    let mut rig = Rig::new();
    for place in ["/tmp", "/dev/shm"] {
        rig.shell("", &format!("head -c 60000000 /dev/zero > {place}/a && head -c 60000000 /dev/zero > {place}/b; echo '{{\"result\": {{}}}}'; ls {place} >&2"));
        rig.gives(json!({})).await;
        assert!(rig.notes.logs.iter().any(|log| log.contains("No space left")), "{place}: {:?}", rig.notes.logs);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_has_its_limit() {
    let mut rig = Rig::new();
    rig.python("", "try: held = bytearray(3 << 30)\nexcept MemoryError: say(result={'held': False})\nelse: say(result={'held': True})");
    assert_eq!(rig.gives(json!({})).await, json!({ "held": false }));
}
