//! A room in which experiments are measured, alerts are open and decisions were made.

use chrono::TimeDelta;
use serde_json::json;

use super::*;
use crate::contracts::ChannelName;
use crate::contracts::envelope::rfc3339;
use crate::tui::app::Model;

const SPEC: &str = r#"{"experiment":{"id":"exp_20261121_hn","hypothesis":"People who ask for help on Hacker News answer a short offer","state":"running",
"target":{"description":"people who asked for help with API docs","size":500,"source":"hn_who_is_hiring"},
"execution":{"tool":"email_send","params":{"daily_limit":50},"schedule":"0 9 * * MON","timezone":"Europe/Berlin"},
"outreach":{"channel":"email","subject":"Your question on HN"},
"metrics":[{"name":"email_sent","type":"counter"},{"name":"reply","type":"counter"},{"name":"meeting_booked","type":"counter"},
{"name":"response_rate","type":"percentage","formula":"reply / email_sent","success_threshold":8}],
"success_criteria":["meeting_booked >= 2","The founders like it"],
"failure_criteria":["response_rate < 5% after 200 email_sent"]}}"#;

/// [`furnished`], with numbers.
pub(crate) fn measured(width: u16, height: u16) -> Model {
    let mut model = furnished(width, height);
    let mut speaker = Speaker::new();
    experiments(&mut model);
    numbers(&mut model, &mut speaker);
    alerts(&mut model, &mut Speaker::new());
    decisions(&mut model);
    calls(&mut model, &mut Speaker::new());
    passes(&mut model, 2);
    model
}

fn experiments(model: &mut Model) {
    let hn = "exp_20261121_hn";
    document(
        model,
        "experiments:exp_20261121_hn",
        &[("state", "running"), ("spec_json", SPEC), ("created_at", "2026-11-21T09:00:00Z"), ("approved_by", "mara")],
    );
    let schedule = [("cron", "0 9 * * MON"), ("timezone", "Europe/Berlin"), ("next_at", "2026-11-23T08:00:00Z")];
    document(model, &format!("schedules:{hn}"), &schedule);
    let run = [
        ("status", "completed"),
        ("duration_seconds", "9.8"),
        ("result_summary", r#"{"emails_sent":42}"#),
        ("timestamp", "2026-11-21T13:30:00Z"),
    ];
    document(model, &format!("experiment_runs:{hn}:1772357400"), &run);
    let failed = [("status", "failed"), ("error", "smtp.example did not answer"), ("error_type", "ToolTimeoutError")];
    document(model, &format!("experiment_runs:{hn}:1772357500"), &failed);
    let more = [
        ("exp_20261101_events", "completed", "Event lists beat cold lists"),
        ("exp_20261110_cfo", "archived", "CFOs answer at quarter end"),
        ("exp_20261119_meetup", "draft", "Sponsoring a meetup brings three meetings"),
        ("exp_20261120_forum", "paused", "Forum members who asked about self-hosting answer"),
    ];
    for (id, state, hypothesis) in more {
        let fields = [("state", state), ("hypothesis", hypothesis), ("success_criteria", r#"["signups > 10"]"#)];
        document(model, &format!("experiments:{id}"), &fields);
    }
    document(
        model,
        "metrics_aggregated:exp_20261101_events",
        &[("events.signups", "31"), ("last_updated", "2026-11-20T10:00:00Z")],
    );
}

fn numbers(model: &mut Model, speaker: &mut Speaker) {
    let mut event = |body: serde_json::Value| speaker.say(model, ChannelName::Metrics, "executor", &body);
    for at in 0..53_i64 {
        let time = rfc3339(now() - TimeDelta::minutes(106 - 2 * at));
        event(json!({ "event": "email_sent", "experiment_id": "exp_20261121_hn", "count": 4, "timestamp": time }));
        if matches!(at, 10 | 20 | 21 | 44) {
            event(json!({ "event": "reply", "experiment_id": "exp_20261121_hn", "count": 1, "timestamp": time,
                "from": "jo@example.org", "class": "positive", "text": "Sounds useful.\nSend me a link?" }));
        }
        let signups =
            json!({ "event": "signups", "experiment_id": "exp_20261121_stars", "count": at / 8, "timestamp": time });
        event(signups);
    }
    event(
        json!({ "event": "meeting_booked", "experiment_id": "exp_20261121_hn", "count": 1, "by": "mara", "note": "with the CTO" }),
    );
    let mut envelope = speaker.envelope("audit_record", "gate");
    envelope.subject = Some("exp_20261121_hn".to_owned());
    let body = json!({ "number": 7, "at": "2026-11-21T09:10:00Z", "event": "ordered", "subject": "exp_20261121_hn", "by": "mara",
        "details": { "order": "approve", "from": "draft", "to": "ready" }, "previous": "00", "hash": "ff" });
    let entry = crate::bus::Entry::new(
        ChannelName::Audit,
        crate::bus::EntryId { ms: 1, seq: 1 },
        envelope.to_json(),
        body.to_string(),
    );
    apply(model, crate::tui::store::Item::Message(std::sync::Arc::new(crate::tui::store::Row::stored(entry))));
}

fn alerts(model: &mut Model, speaker: &mut Speaker) {
    let id = "exp_20261121_hn:response_rate";
    let triggered = json!({ "type": "alert_triggered", "alert_id": id, "severity": "high",
        "message": "response_rate of exp_20261121_hn is 1.8%, below 5%, after 212 sends", "experiment_id": "exp_20261121_hn",
        "criterion": "response_rate < 5% after 200 email_sent", "metric": "response_rate", "value": 0.018, "threshold": 0.05,
        "fix": "look at the replies, then kill the experiment or revise it" });
    speaker.say(model, ChannelName::Alerts, "redis_agent", &triggered);
    let sure = json!({ "type": "metric_alert", "source": "redis_agent", "experiment_id": "exp_20261121_hn", "metric": "response_rate",
        "direction": "failure", "value": 0.018, "threshold": 0.05, "severity": "high", "sample_size": 212, "confidence": 0.97,
        "recommendation": "consider stopping" });
    speaker.say(model, ChannelName::ToOrchestrator, "redis_agent", &sure);
    let over = [
        ("state", "resolved"),
        ("severity", "warning"),
        ("message", "the day's budget is 80% spent"),
        ("triggered_at", "2026-11-20T17:00:00Z"),
        ("resolved_at", "2026-11-20T18:00:00Z"),
        ("resolved_by", "mara"),
        ("resolution", "launch week"),
    ];
    document(model, "alerts:budget:day", &over);
    let seen = [
        ("state", "acknowledged"),
        ("severity", "critical"),
        ("message", "the disk has 2% left"),
        ("triggered_at", "2026-11-21T12:00:00Z"),
        ("acknowledged_at", "2026-11-21T12:05:00Z"),
        ("acknowledged_by", "jo"),
    ];
    document(model, "alerts:disk", &seen);
}

fn decisions(model: &mut Model) {
    let base = [
        ("at", "2026-11-21T13:50:00Z"),
        ("kind", "metric_alert"),
        ("message", r#"{"type":"metric_alert","experiment_id":"exp_20261121_hn","value":0.018}"#),
        ("trust", "system"),
        ("trace", "0192f1a0-0000-7000-8000-000000000001"),
        ("action", "kill_experiment"),
        ("reasoning", "the rate is a third of the line, after enough sends to be sure"),
        ("thoughts", "212 sends and 4 replies.\nAt 5% ten would be expected."),
        ("payload", r#"{"reason":"1.8% after 212 sends"}"#),
        ("experiment_id", "exp_20261121_hn"),
        ("priority", "high"),
        ("provider", "anthropic"),
        ("model", "claude-opus-4"),
        ("tokens", r#"{"uncached":812,"output":175}"#),
        ("nano_usd", "5061000"),
        ("took_ms", "640"),
        ("context_digest", "worklist@7 learnings@3 product_context@1"),
        ("state", "proposed"),
        ("approval_id", "apr_2"),
        ("flags", r#"["openai: 503, asked the next"]"#),
    ];
    document(model, "decisions:0192f1a0-0000-7000-8000-00000000000a", &base);
    document(model, "decisions:odd", &[("action", "what?")]);
}

fn calls(model: &mut Model, speaker: &mut Speaker) {
    let mut call = |body: serde_json::Value| speaker.notice(model, ChannelName::LlmCalls, "orchestrator", &body);
    let meta = json!({ "provider": "anthropic", "model": "claude-opus-4" });
    call(json!({ "type": "llm_complete", "call_id": "c0", "source": "watcher", "operation": "llm.watcher.classify",
        "meta": { "provider": "openai", "model": "gpt-5" }, "error": "503 from the provider" }));
    call(
        json!({ "type": "llm_start", "call_id": "c7", "source": "orchestrator", "operation": "llm.orchestrator.decide", "meta": meta }),
    );
    call(
        json!({ "type": "llm_delta", "call_id": "c7", "part": "reasoning", "seq": 0, "text": "212 sends and 4 replies." }),
    );
    call(json!({ "type": "llm_delta", "call_id": "c7", "part": "text", "seq": 1, "text": "kill_experiment" }));
    call(
        json!({ "type": "llm_complete", "call_id": "c7", "source": "orchestrator", "operation": "llm.orchestrator.decide",
        "meta": meta, "duration_ms": 640.0, "nano_usd": 5_061_000, "tokens": { "uncached": 812, "output": 175 } }),
    );
}
