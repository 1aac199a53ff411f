//! What the founding systems really sent must be read, and is written one way.

use pretty_assertions::assert_eq;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::contracts::{Body, ChannelName, ShapeError};

/// The body as it is written after it was read.
fn rewritten<M: Body>(sample: &Value) -> Value {
    let body = M::read(&sample.to_string()).unwrap_or_else(|err| panic!("{err}: {sample}"));
    serde_json::from_str(&body.write().unwrap()).unwrap()
}

/// Every JSON sample of the founding designs, with the type that it is read as. What is in canonical form already is written as it came.
const SAMPLES: &str = r#"
discord_raw discord_message = {"type":"discord_message","message_id":"120001","channel_id":"880042","channel_name":"gtm","username":"mara","user_id":"5551","content":"could we email people who asked about self-hosting?","mentions_bot":false,"timestamp":"2026-03-01T09:30:00Z"}
discord_raw discord_message = {"message_id":"120001","channel_id":"880042","channel_name":"gtm","username":"mara","user_id":"5551","content":"hi","mentions_bot":true}
discord_raw idea_submit = {"type":"idea_submit","payload":{"content":"sponsor a meetup","source_channel":"880042","submitted_by":"5551","context":{"username":"mara","guild_id":"77","channel_name":"gtm"}},"source":"discord","user_id":"5551","timestamp":"2026-03-01T09:31:00Z"}
discord_raw action_complete = {"type":"action_complete","payload":{"action_id":"0d6f…","status":"completed","completed_by":"5551","username":"mara"},"source":"discord","user_id":"5551","timestamp":"2026-03-01T09:40:00Z"}
discord_raw action_complete = {"type":"action_complete","payload":{"action_id":"0d6f…","status":"rejected","completed_by":"5551","username":"mara"},"source":"discord","user_id":"5551","timestamp":"2026-03-01T09:40:00Z"}
discord_raw command = {"type":"command","payload":{"command":"pause","args":{}},"source":"web","user_id":"web_user","timestamp":"2026-03-01T09:41:00Z"}
from_orchestrator action_request = {"type":"action_request","priority":"high","timestamp":"2026-03-01T10:00:00Z","payload":{"id":"0d6f…","description":"Top up mail credits","action_type":"manual_task","details":{"provider":"mail"},"assignee":"5551","deadline":"2026-03-02T12:00:00Z"}}
from_orchestrator win_alert = {"type":"win_alert","priority":"normal","timestamp":"2026-03-01T10:00:00Z","payload":{"achievement":"first meeting booked"}}
from_orchestrator watcher_response = {"type":"watcher_response","channel_id":"880042","reply_to":"120001","content":"Two experiments are running."}
from_orchestrator orchestrator_response = {"type":"orchestrator_response","channel_id":"880042","reply_to":"120001","content":"Good idea; designing a test.","priority":"high"}
llm_calls llm_complete = {"type":"llm_complete","source":"watcher","operation":"llm.watcher.classify","timestamp":"2026-03-01T10:00:00Z","meta":{"model":"m","prompt_chars":812},"duration_ms":640,"error":null}
to_orchestrator escalation = {"type":"escalation","source":"watcher","priority":"high","reason":"new idea from a user","original_message":{"message_id":"120001","channel_id":"880042","channel_name":"gtm","username":"mara","user_id":"5551","content":"…","mentions_bot":false},"context":{"channel":"gtm","user":"mara","summary":"new idea from a user"},"timestamp":"2026-03-01T09:30:01+00:00"}
to_fullsend experiment_request = {"type":"experiment_request","idea":{"title":"…","description":"…","spawn_ralph":false},"context":"…","priority":"high","requested_at":"2026-03-01T09:30:20+00:00","orchestrator_reasoning":"…"}
builder_tasks tool_prd = {"type":"tool_prd","prd":{"name":"forum_member_finder","description":"…","inputs":[],"outputs":[],"requirements":[]},"requested_by":"orchestrator","priority":"high","requested_at":"2026-03-01T09:30:20+00:00","orchestrator_reasoning":"…","notify_channel":"880042","notify_message":"tool is ready"}
builder_tasks tool_prd = {"prd":{"tool_name":"forum_member_finder","description":"needed by exp_…","auto_requested":true},"requested_by":"fullsend_listener","request_id":"auto_exp_20260301_forum_forum_member_finder"}
builder_tasks tool_prd = {"type":"tool_requested","request_id":"req_20260301_001","tool_name":"forum_member_finder","source":"fullsend","timestamp":"2026-03-01T09:30:20Z","spec_key":"tool_requests:req_20260301_001"}
execute_now execute_now = {"experiment_id":"exp_20260301_forum","triggered_by":"fullsend_listener","timestamp":"2026-03-01T09:30:20Z"}
experiments experiment_created = {"type":"experiment_created","experiment_id":"exp_20260301_forum","source":"fullsend","timestamp":"2026-03-01T09:30:20Z","spec_key":"experiments:exp_20260301_forum"}
schedules schedule_created = {"type":"schedule_created","experiment_id":"exp_20260301_forum","schedule":"0 9 * * MON","timezone":"UTC","source":"fullsend","timestamp":"2026-03-01T09:30:20Z"}
to_orchestrator experiment_ready = {"type":"experiment_ready","source":"fullsend","timestamp":"2026-03-01T09:30:20Z","experiment_id":"exp_20260301_forum","summary":"<hypothesis>","has_schedule":true,"needs_tool":false}
builder_results tool_built = {"type":"tool_built","source":"builder_listener","timestamp":"2026-03-01T09:30:20Z","request_id":"r1","tool_name":"forum_member_finder","output_preview":"…≤500…"}
builder_results tool_build_failed = {"type":"tool_build_failed","source":"builder_listener","timestamp":"2026-03-01T09:30:20Z","request_id":"r1","tool_name":"forum_member_finder","error":"…"}
to_orchestrator tool_build_failed = {"type":"tool_build_failed","source":"fullsend_listener","tool_name":"forum_member_finder","error":"…","request_id":"r1"}
to_orchestrator tool_complete = {"type":"builder_completed","source":"builder_listener","timestamp":"2026-03-01T09:30:20Z","request_id":"r1","tool_name":"…","notify_channel":"880042","notify_message":"…","original_reasoning":"…"}
to_orchestrator tool_build_failed = {"type":"builder_failed","source":"builder_listener","timestamp":"2026-03-01T09:30:20Z","request_id":"r1","tool_name":"…","error":"…","notify_channel":"880042"}
builder_results tool_built = {"type":"builder_completed","source":"builder_listener","request_id":"r1","tool_name":"…"}
builder_results tool_build_failed = {"type":"builder_failed","source":"builder_listener","request_id":"r1","tool_name":"…","error":"…"}
metrics run_started = {"event":"run_started","run_id":"exp_20260301_forum:1772357400","timestamp":1772357400.12,"experiment_id":"exp_20260301_forum"}
metrics items_processed = {"event":"items_processed","count":42,"run_id":"exp_20260301_forum:1772357400","experiment_id":"exp_20260301_forum"}
metrics run_completed = {"event":"run_completed","run_id":"r","timestamp":1772357409.9,"experiment_id":"exp_20260301_forum"}
metrics error = {"event":"error","experiment_id":"exp_20260301_forum","run_id":"r","message":"…","error_type":"ToolTimeoutError","timestamp":"2026-03-01T09:35:09+00:00","timeout_seconds":300,"retry_attempts":3}
metrics look_again = {"event":"look_again","experiment_id":"exp_20260301_forum"}
metrics event = {"experiment_id":"exp_test","event":"email_sent","count":1}
metrics event = {"event":"partial_completion","experiment_id":"exp_test","done":3}
experiment_results experiment_completed = {"type":"experiment_completed","experiment_id":"exp_20260301_forum","run_id":"r","status":"success","duration":9.8,"result_summary":{"emails_sent":42}}
experiment_results experiment_failed = {"type":"experiment_failed","experiment_id":"exp_20260301_forum","run_id":"r","error":"…","error_type":"ToolNotFoundError","timeout_seconds":300,"retry_attempts":3,"partial_results":{"emails_sent":10}}
to_orchestrator metric_alert = {"type":"failure_threshold","experiment_id":"exp_20260301_forum","criterion":"bounce_rate > 0.10","current_value":{"bounce_rate":0.14,"last_updated":"…"},"message":"…","severity":"high","timestamp":"2026-03-01T09:35:09Z","source":"redis_agent"}
to_orchestrator metric_alert = {"type":"error","experiment_id":"exp_1","message":"…","severity":"high","timestamp":"2026-03-01T09:35:09Z","source":"redis_agent"}
to_orchestrator periodic_summary = {"type":"periodic_summary","source":"redis_agent","timestamp":"2026-03-01T09:35:09Z","summary":"two or three sentences","experiment_count":2}
to_orchestrator metric_alert = {"type":"metric_alert","source":"redis_agent","experiment_id":"exp_1","alert_type":"threshold_crossed","metric":"response_rate","value":0.02,"threshold":0.05,"recommendation":"consider stopping"}
to_orchestrator experiment_success = {"type":"experiment_completed","experiment_id":"exp_1","message":"all runs done","severity":"info","source":"redis_agent"}
to_orchestrator fullsend_started = {"type":"fullsend_started","source":"fullsend_listener","request_id":"20260301_093020"}
to_orchestrator fullsend_completed = {"type":"fullsend_completed","source":"fullsend_listener","request_id":"20260301_093020","output_preview":"…"}
to_orchestrator fullsend_failed = {"type":"fullsend_failed","source":"fullsend_listener","request_id":"20260301_093020","error":"…"}
to_orchestrator experiment_error = {"type":"experiment_error","experiment_id":"exp_1","run_id":"r","error":"…","error_type":"ToolError","note":"no tool name found"}
to_orchestrator api_key_required = {"type":"api_key_required","experiment_id":"exp_1","error":"401","suggestion":"set the key"}
to_orchestrator design_started = {"type":"design_started","source":"fullsend","whatever":"it is"}
to_orchestrator roundtable_request = {"type":"roundtable_request","prompt":"what now?"}
to_orchestrator escalation = {"type":"escalation","source":"watcher","original_message":{"content":"Scrape HN Who is Hiring posts"}}
to_orchestrator escalation = {"type":"escalation","source":"watcher","priority":"high","reason":"New GTM idea from user","original_message":{"username":"jake","content":"What if we scraped GitHub stargazers?"}}
to_orchestrator metric_alert = {"type":"metric_alert","source":"redis_agent","experiment_id":"exp_123","alert_type":"threshold_crossed","metric":"response_rate","value":0.02,"threshold":0.05,"recommendation":"Consider killing this experiment"}
to_orchestrator experiment_ready = {"type":"experiment_ready","source":"fullsend","experiment_id":"exp_456","summary":"GitHub stargazer cold email campaign","needs_tool":false,"scheduled_for":"2024-01-16T09:00:00Z"}
to_orchestrator tool_complete = {"type":"tool_complete","source":"builder","tool_name":"github_stargazer_scraper","status":"active","location":"tools/github_stargazer_scraper.py"}
roundtable roundtable_topic = {"prompt":"…","context":"…","learnings":["…"],"max_rounds":3}
"#;

#[test]
fn every_founding_sample_is_read_as_its_type() {
    let mut seen = 0;
    for line in SAMPLES.lines().filter(|line| !line.is_empty()) {
        let (head, json) = line.split_once(" = ").unwrap();
        let (channel, kind) = head.split_once(' ').unwrap();
        let channel: ChannelName = channel.parse().unwrap();
        assert_eq!(channel.check(json).as_deref(), Ok(kind), "{line}");
        seen += 1;
    }
    assert_eq!(seen, SAMPLES.matches(" = {").count());
}

/// What all channels share: read again, a written body is the same.
#[test]
fn what_is_written_reads_back_unchanged() {
    fn stable<M: Body + PartialEq + std::fmt::Debug>(channel: ChannelName) {
        for line in SAMPLES.lines() {
            let Some((head, json)) = line.split_once(" = ") else {
                continue;
            };
            if head.starts_with(&format!("{} ", channel.short())) {
                let first = M::read(json).unwrap();
                let again = M::read(&first.write().unwrap()).unwrap();
                assert_eq!(again, first, "{line}");
            }
        }
    }
    stable::<DiscordRaw>(ChannelName::DiscordRaw);
    stable::<ToOrchestrator>(ChannelName::ToOrchestrator);
    stable::<FromOrchestrator>(ChannelName::FromOrchestrator);
    stable::<ToFullsend>(ChannelName::ToFullsend);
    stable::<BuilderTasks>(ChannelName::BuilderTasks);
    stable::<BuilderResults>(ChannelName::BuilderResults);
    stable::<Metrics>(ChannelName::Metrics);
    stable::<ExperimentResults>(ChannelName::ExperimentResults);
    stable::<RoundtableTopics>(ChannelName::Roundtable);
    stable::<LlmCalls>(ChannelName::LlmCalls);
}

#[test]
fn chat_is_read_with_numbers_for_ids_and_without_type() {
    let read = rewritten::<DiscordRaw>(
        &json!({"message_id": 120_001, "channel_id": 88, "content": "hi", "mentions_bot": null}),
    );
    assert_eq!(
        read,
        json!({"type": "discord_message", "message_id": "120001", "channel_id": "88", "content": "hi", "mentions_bot": false})
    );
}

#[rstest]
#[case::with_slash(json!({"type": "command", "payload": {"command": "/go", "args": null}}))]
#[case::without_wrapper(json!({"type": "command", "command": "go"}))]
fn commands_are_read_as_people_write_them(#[case] sample: Value) {
    assert_eq!(rewritten::<DiscordRaw>(&sample), json!({"type": "command", "payload": {"command": "go"}}));
}

#[rstest]
#[case::failure(
    json!({"type": "failure_threshold", "experiment_id": "e", "criterion": "bounce_rate > 10%", "current_value": {"bounce_rate": 0.14}}),
    json!({"type": "metric_alert", "experiment_id": "e", "alert_type": "threshold_crossed", "criterion": "bounce_rate > 10%",
        "direction": "failure", "metric": "bounce_rate", "value": 0.14, "threshold": 0.1, "severity": "high"})
)]
#[case::success(
    json!({"type": "success_threshold", "experiment_id": "e", "criterion": "replies >= 5 after 100 sends", "current_value": 6}),
    json!({"type": "metric_alert", "experiment_id": "e", "alert_type": "threshold_crossed", "criterion": "replies >= 5 after 100 sends",
        "direction": "success", "metric": "replies", "value": 6.0, "threshold": 5.0, "severity": "info"})
)]
#[case::error(
    json!({"type": "error", "experiment_id": "e", "message": "boom"}),
    json!({"type": "metric_alert", "experiment_id": "e", "alert_type": "error", "severity": "high", "message": "boom"})
)]
#[case::anomaly(
    json!({"type": "anomaly", "experiment_id": "e", "severity": "medium"}),
    json!({"type": "metric_alert", "experiment_id": "e", "alert_type": "anomaly", "severity": "warning"})
)]
#[case::old_name_in_alert_type(
    json!({"type": "metric_alert", "experiment_id": "e", "alert_type": "failure_threshold"}),
    json!({"type": "metric_alert", "experiment_id": "e", "alert_type": "threshold_crossed", "direction": "failure", "severity": "high"})
)]
#[case::prose_is_no_criterion(
    json!({"type": "failure_threshold", "experiment_id": "e", "criterion": "nobody answers within 7 days"}),
    json!({"type": "metric_alert", "experiment_id": "e", "alert_type": "threshold_crossed", "criterion": "nobody answers within 7 days",
        "direction": "failure", "severity": "high"})
)]
fn older_alerts_are_read_as_metric_alerts(#[case] sample: Value, #[case] written: Value) {
    assert_eq!(rewritten::<ToOrchestrator>(&sample), written);
}

#[rstest]
#[case::nested(json!({"type": "tool_prd", "prd": {"prd": {"name": "x"}, "notify_channel": "88"}}))]
#[case::tool_name(json!({"prd": {"tool_name": "x"}, "notify_channel": 88}))]
#[case::both_names(json!({"prd": {"tool_name": "y", "name": "x"}, "notify_channel": "88"}))]
#[case::flat(json!({"type": "tool_prd", "name": "x", "notify_channel": "88"}))]
#[case::of_the_helper(json!({"type": "tool_requested", "tool_name": "x", "notify_channel": "88"}))]
fn tool_requests_are_read_in_every_form(#[case] sample: Value) {
    assert_eq!(
        rewritten::<BuilderTasks>(&sample),
        json!({"type": "tool_prd", "prd": {"name": "x", "auto_requested": false}, "priority": "medium", "notify_channel": "88"})
    );
}

#[rstest]
#[case::text(json!("mail them"))]
#[case::value(json!({"value": "mail them"}))]
#[case::nested(json!({"idea": "mail them"}))]
#[case::nested_object(json!({"idea": {"description": "mail them"}}))]
fn ideas_are_read_in_every_form(#[case] idea: Value) {
    assert_eq!(
        rewritten::<ToFullsend>(&json!({"idea": idea, "context": {"limit": 50}, "priority": "critical"})),
        json!({"type": "experiment_request", "idea": {"description": "mail them", "spawn_ralph": false},
            "context": "{\"limit\":50}", "priority": "urgent"})
    );
}

#[rstest]
#[case::both(json!({"payload": {"message": "all is well", "status": "running"}}))]
#[case::status(json!({"payload": {"status": "all is well"}}))]
#[case::text(json!({"payload": "all is well"}))]
#[case::without_wrapper(json!({"message": "all is well"}))]
fn status_updates_say_their_message_or_status(#[case] mut sample: Value) {
    sample["type"] = json!("status_update");
    sample["priority"] = json!("normal");
    assert_eq!(
        rewritten::<FromOrchestrator>(&sample),
        json!({"type": "status_update", "payload": {"message": "all is well"}, "priority": "medium"})
    );
}

#[test]
fn the_words_of_shared_news_have_two_names() {
    for (kind, field) in [("learning_share", "insight"), ("win_alert", "achievement")] {
        for name in [field, "message"] {
            let read = rewritten::<FromOrchestrator>(&json!({"type": kind, "payload": {name: "it works"}}));
            assert_eq!(read["payload"], json!({field: "it works"}), "{kind} {name}");
        }
    }
}

#[test]
fn an_answer_may_be_a_decisions_payload() {
    let read = rewritten::<FromOrchestrator>(
        &json!({"type": "orchestrator_response", "channel_id": null, "content": {"message": "not now"}}),
    );
    assert_eq!(read, json!({"type": "orchestrator_response", "content": "not now", "priority": "medium"}));
}

#[test]
fn metrics_are_told_apart_by_event() {
    let read = rewritten::<Metrics>(
        &json!({"event": "run_started", "run_id": "r", "experiment_id": "e", "timestamp": 1_772_357_400.12}),
    );
    assert_eq!(
        read,
        json!({"event": "run_started", "run_id": "r", "experiment_id": "e", "timestamp": "2026-03-01T09:30:00.120Z"})
    );
    for sample in [
        json!({"event": "meeting_booked", "experiment_id": "e", "value": 2}),
        json!({"type": "meeting_booked", "experiment_id": "e", "value": 2}),
        json!({"type": "event", "event": "meeting_booked", "experiment_id": "e", "value": 2}),
    ] {
        assert_eq!(rewritten::<Metrics>(&sample), json!({"event": "meeting_booked", "experiment_id": "e", "value": 2}));
    }
    let refused = |sample: Value| Metrics::read(&sample.to_string()).unwrap_err().to_string();
    assert!(refused(json!({"experiment_id": "e"})).contains("missing field `event`"));
    assert!(refused(json!({"event": 3, "experiment_id": "e"})).contains("(at `event`)"));
    assert!(refused(json!({"event": "email_sent"})).contains("missing field `experiment_id`"));
}

#[rstest]
#[case::list(json!([1, 2, 3]), json!({"items": 3, "type": "list"}))]
#[case::number(json!(7), json!({"value": 7}))]
#[case::object(json!({"emails_sent": 42}), json!({"emails_sent": 42}))]
#[case::nothing(Value::Null, json!({}))]
fn results_are_summarised(#[case] summary: Value, #[case] written: Value) {
    let sample = json!({"type": "experiment_completed", "experiment_id": "e", "run_id": "r", "state": "run", "result_summary": summary});
    let read = rewritten::<ExperimentResults>(&sample);
    assert_eq!((&read["status"], &read["result_summary"]), (&json!("success"), &written));
}

#[test]
fn a_failure_has_a_code_whoever_wrote_it() {
    let code = |fields: Value| {
        let mut sample = json!({"type": "experiment_failed", "experiment_id": "e", "error": "x"});
        sample.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        match ExperimentResults::read(&sample.to_string()).unwrap() {
            ExperimentResults::Failed(failed) => failed.code(),
            ExperimentResults::Completed(_) => panic!("it failed"),
        }
    };
    assert_eq!(code(json!({"error_type": "ToolNotFoundError"})), ErrorCode::NotFound);
    assert_eq!(code(json!({"error_type": "ToolTimeoutError"})), ErrorCode::Timeout);
    assert_eq!(code(json!({"error_type": "ToolTimeoutError", "code": "cancelled"})), ErrorCode::Cancelled);
    assert_eq!(code(json!({})), ErrorCode::Tool);
}

#[test]
fn learnings_and_summaries_are_texts_or_lists() {
    let topic = |learnings: Value| {
        rewritten::<RoundtableTopics>(&json!({"prompt": "?", "learnings": learnings}))["learnings"].clone()
    };
    assert_eq!(topic(json!("one")), json!(["one"]));
    assert_eq!(topic(json!(["one", "two"])), json!(["one", "two"]));
    assert_eq!(topic(json!("")), Value::Null);
    let failed = rewritten::<ToOrchestrator>(
        &json!({"type": "roundtable_concluded", "error": "no model", "transcript": [], "summary": ""}),
    );
    assert_eq!(failed, json!({"type": "roundtable_concluded", "transcript": "", "error": "no model"}));
}

#[test]
fn free_fields_are_kept_and_type_is_not_doubled() {
    let sample = json!({"type": "learning_recorded", "learning": "CTOs answer", "confidence": "high"});
    let body = ToOrchestrator::read(&sample.to_string()).unwrap().write().unwrap();
    assert_eq!(body, r#"{"type":"learning_recorded","text":"CTOs answer","confidence":"high"}"#);
}

#[test]
fn an_edited_or_unknown_approval_answer_is_read_or_refused() {
    let verdict = |verdict: &str| ApprovalVerdicts::read(&json!({"approval_id": "a", "verdict": verdict}).to_string());
    assert_eq!(verdict("approved").unwrap(), verdict("approve").unwrap());
    assert!(verdict("maybe").is_err());
    let class = |class: u8| {
        let mut proposal =
            serde_json::to_value(Proposals::Proposal(crate::contracts::body::Example::example())).unwrap();
        proposal["class"] = class.into();
        Proposals::read(&proposal.to_string())
    };
    assert!(class(3).is_ok());
    let refused = class(4).unwrap_err().to_string();
    assert!(refused.contains("risk class 4; there are 0 to 3 (at `class`)"), "{refused}");
}

#[rstest]
#[case::nested(
    "to_orchestrator",
    r#"{"type":"escalation","original_message":{"content":5}}"#,
    "original_message.content"
)]
#[case::missing("to_orchestrator", r#"{"type":"escalation"}"#, "original_message")]
#[case::missing_within("to_orchestrator", r#"{"type":"escalation","original_message":{}}"#, "original_message.content")]
#[case::of_a_tidied_body("discord_raw", r#"{"type":"command","payload":{"command":"dance"}}"#, "payload.command")]
#[case::of_an_id("discord_raw", r#"{"content":"x","channel_id":[]}"#, "channel_id")]
fn a_wrong_field_is_named_by_its_path(#[case] channel: ChannelName, #[case] json: &str, #[case] expected: &str) {
    match channel.check(json).unwrap_err() {
        ShapeError::Field { path, .. } => assert_eq!(path, expected),
        other => panic!("{other}"),
    }
}
