//! The screens of experiments, alerts and decisions, and what hostile documents make of them.

use insta::assert_snapshot;
use rstest::rstest;
use serde_json::json;

use super::{has, picture, shown};
use crate::contracts::ChannelName;
use crate::tui::app::tests::{Speaker, document, empty, measured, passes, press};

#[rstest]
#[case(80, 24)]
#[case(120, 40)]
#[case(200, 60)]
fn experiments_have_a_table_the_selected_one_and_its_numbers_over_time(#[case] width: u16, #[case] height: u16) {
    let mut model = measured(width, height);
    press(&mut model, "4");
    let text = shown(&model, width, height);
    has(&text, &["▸Experiments (6)", "state", "next", "now", "verdict", "cost"]);
    has(&text, &["● ", "running", "in 41h", "1.9%", "▼ fails", "$0.0051", "○ ", "draft", "paused", "completed"]);
    has(&text, &["People who ask for help", "response_rate (1 of 4) 1.9%", "fails < 5%", "4 Experiments"]);
    if height >= 40 {
        has(&text, &["0 9 * * MON", "fails 97%", "1. email_send", "▼ fails if", "works at 8%"]);
    }
    if height >= 60 {
        has(
            &text,
            &[
                "212 of 200 email_sent",
                "97% sure of 212",
                "prose: nothing measures it",
                "now 1: it is not so, nobody said how sure",
            ],
        );
        has(
            &text,
            &["Runs (2)", "smtp.example did not answer", "What people wrote (5)", "jo@example.org", "Send me a link?"],
        );
    }
    assert_snapshot!(format!("experiments_{width}x{height}"), picture(&model, width, height));
}

/// What the agent judged: shares with where they can lie and how sure that is, what is unknown as unknown, variants against each other.
#[test]
fn verdicts_are_shown_with_how_sure_they_are() {
    let mut model = empty(160, 60);
    let fields = [
        ("state", "measuring"),
        ("hypothesis", "people who asked answer a short mail"),
        ("success_criteria", r#"["reply_rate >= 8%","spend < 100","The founders like it"]"#),
        ("failure_criteria", r#"["reply_rate < 5% after 100 sends","spam_complaints > 2"]"#),
    ];
    document(&mut model, "experiments:exp_1", &fields);
    let evidence = json!({ "k": 12, "n": 400, "settled": 400, "low": 0.014, "high": 0.056, "sure": 0.972, "sure_not": 0.0, "proven": true });
    let open = json!({ "k": 12, "n": 400, "settled": 380, "low": 0.014, "high": 0.056, "sure": 0.0, "sure_not": 0.71, "proven": null });
    let outcome = json!({
        "verdict": "at_risk",
        "at": "2026-11-21T14:00:00Z",
        "criteria": [
            { "criterion": "reply_rate < 5% after 100 sends", "direction": "failure", "holds": true, "metric": "reply_rate", "value": 0.03, "threshold": 0.05, "evidence": evidence },
            { "criterion": "spam_complaints > 2", "direction": "failure", "holds": false, "metric": "spam_complaints", "value": 1.0, "threshold": 2.0 },
            { "criterion": "reply_rate >= 8%", "direction": "success", "holds": false, "metric": "reply_rate", "value": 0.03, "threshold": 0.08, "evidence": open },
            { "criterion": "spend < 100", "direction": "success", "holds": null, "why": "no `spend` was measured" },
        ],
        "variants": { "metric": "reply_rate", "sure": 0.64, "decided": false, "arms": [
            { "name": "b", "k": 9, "n": 200, "low": 0.015, "high": 0.101 },
            { "name": "a", "k": 3, "n": 200, "low": 0.001, "high": 0.061 },
        ] },
    });
    let sums = [
        ("verdict", "at_risk".to_owned()),
        ("verdict_json", outcome.to_string()),
        ("events.email_sent", "400".to_owned()),
    ];
    let sums: Vec<(&str, &str)> = sums.iter().map(|(name, text)| (*name, text.as_str())).collect();
    document(&mut model, "metrics_aggregated:exp_1", &sums);
    press(&mut model, "4");
    let text = shown(&model, 160, 60);
    has(&text, &["measuring", "▼ at risk 97%"]);
    has(&text, &["12 of 400, 3.0 % (1.4–5.6 %), fails: 97 % sure", "1, does not fail"]);
    has(&text, &["20 too young to judge, undecided: does not", "work, 71 % sure"]);
    has(&text, &["unknown: no `spend` was measured", "prose: nothing measures it"]);
    has(&text, &["Variants by reply_rate", "9 of 200, 4.5 % (1.5–10.1 %)", "undecided: b is better, 64 % sure"]);
}

#[test]
fn a_verdict_is_told_by_the_criterion_that_is_proven() {
    let mut model = empty(120, 40);
    let criteria = r#"["reply_rate < 4%","bounce_rate > 8%"]"#;
    document(&mut model, "experiments:exp_1", &[("state", "measuring"), ("failure_criteria", criteria)]);
    let judged = |criterion: &str, sure: f64, proven: Option<bool>| {
        json!({ "criterion": criterion, "direction": "failure", "holds": true, "metric": "rate", "value": 0.5, "threshold": 0.08,
            "proven": proven == Some(true),
            "evidence": { "k": 20, "n": 40, "settled": 40, "low": 0.3, "high": 0.7, "sure": sure, "sure_not": 0.0, "proven": proven } })
    };
    let outcome = json!({ "verdict": "failing", "at": "2026-11-21T14:00:00Z",
        "criteria": [judged("reply_rate < 4%", 0.1, None), judged("bounce_rate > 8%", 0.997, Some(true))] });
    document(&mut model, "metrics_aggregated:exp_1", &[("verdict_json", &outcome.to_string())]);
    press(&mut model, "4");
    has(&shown(&model, 120, 40), &["▼ fails 99.7%", "bounce_rate > 8%: 20 of 40", "fails: 99.7 % sure"]);
}

#[test]
fn the_whole_experiment_is_read_by_scrolling() {
    let mut model = measured(200, 60);
    press(&mut model, "4");
    press(&mut model, "tab");
    press(&mut model, "z");
    let mut text = shown(&model, 200, 60);
    for key in ["pagedown", "pagedown", "pagedown", "end"] {
        press(&mut model, key);
        text.push_str(&shown(&model, 200, 60));
    }
    has(&text, &["What was done to it", "mara ordered approve draft → ready", "Specification, as it was written"]);
    has(&text, &["\"failure_criteria\"", "Europe/Berlin · next 2026-11-23 08:00:00"]);
}

#[rstest]
#[case(80, 24)]
#[case(120, 40)]
#[case(200, 60)]
fn mind_has_what_is_thought_what_was_decided_and_the_selected_decision_whole(#[case] width: u16, #[case] height: u16) {
    let mut model = measured(width, height);
    press(&mut model, "3");
    press(&mut model, "down");
    let text = shown(&model, width, height);
    has(
        &text,
        &[
            "▸Decisions (2)",
            "dispatch_to_fullsend",
            "kill_experiment",
            "proposed",
            "Reasoning",
            "212 sends and 4 replies.",
        ],
    );
    has(&text, &["○ proposed → kill_experiment", "3 Mind"]);
    if height >= 40 {
        has(
            &text,
            &[
                "metric_alert",
                "claude-opus-4",
                "640 ms $0.0051 812 tokens read, 175 written",
                "Why",
                "a third of the line",
                "What was thought",
            ],
        );
        has(&text, &["Who answers", "● anthropic/claude-opus-4", "answered 1, 640 ms each", "1 failed in a row: 503"]);
    }
    if height >= 60 {
        has(&text, &["worklist@7 learnings@3", "812 tokens read and 175 written", "openai: 503, asked the next"]);
        has(
            &text,
            &[
                "The approval",
                "apr_2",
                "pending",
                "What it was about",
                "\"value\": 0.018",
                "cannot be read as a decision",
            ],
        );
    }
    assert_snapshot!(format!("mind_{width}x{height}"), picture(&model, width, height));
}

#[test]
fn what_the_rules_decide_is_reasons_and_not_thinking() {
    let mut model = measured(120, 40);
    document(
        &mut model,
        "decisions:rules",
        &[
            ("at", "2026-11-21T14:02:00Z"),
            ("kind", "escalation"),
            ("action", "no_action"),
            ("provider", "rules"),
            ("thoughts", "nothing new"),
        ],
    );
    press(&mut model, "3");
    let text = shown(&model, 120, 40);
    has(&text, &["Reasons of the rules", "nothing new", "cost         nothing, 0 ms"]);
    assert!(!text.contains("What was thought"), "{text}");
}

#[rstest]
#[case(80, 24)]
#[case(120, 40)]
#[case(200, 60)]
fn alerts_have_the_open_ones_first_the_selected_one_and_its_metric_over_time(#[case] width: u16, #[case] height: u16) {
    let mut model = measured(width, height);
    press(&mut model, "6");
    let text = shown(&model, width, height);
    has(&text, &["▸Alerts (2)", "▲ triggered high", "△ seen", "· over", "the disk has 2% left", "response_rate 1.9%"]);
    let at = |words: &str| text.lines().position(|line| line.contains(words)).unwrap();
    assert!(at("▲ triggered") < at("△ seen") && at("△ seen") < at("· over"), "{text}");
    if height >= 40 {
        has(
            &text,
            &[
                "1.8% < 5%",
                "97%, of 212 observations",
                "look at the replies",
                "fails < 5%",
                "A it was seen · R it is over",
            ],
        );
    }
    assert_snapshot!(format!("alerts_{width}x{height}"), picture(&model, width, height));
}

#[test]
fn an_alert_about_no_number_says_so_in_place_of_a_chart() {
    let mut model = measured(120, 40);
    press(&mut model, "6");
    press(&mut model, "down");
    has(&shown(&model, 120, 40), &["this alert is about no number of an experiment", "seen by      jo"]);
}

#[rstest]
#[case("3")]
#[case("4")]
#[case("6")]
fn plain_screens_hold_no_lines_that_are_read_aloud(#[case] key: &str) {
    let mut model = measured(120, 40);
    model.about.is_plain = true;
    press(&mut model, key);
    let text = shown(&model, 120, 40);
    let is_drawn = |c: char| ('\u{2500}'..='\u{259f}').contains(&c) || ('\u{2800}'..='\u{28ff}').contains(&c);
    assert!(!text.contains(is_drawn), "{text}");
}

#[rstest]
#[case(80, 24)]
#[case(120, 40)]
#[case(160, 48)]
#[case(200, 60)]
fn the_deck_shows_where_each_experiment_stands_and_goes(#[case] width: u16, #[case] height: u16) {
    let model = measured(width, height);
    let text = shown(&model, width, height);
    has(&text, &["Experiments (6)", "hn", "1.9%", "stars", "150", "↗", "Alerts (2)"]);
    if width >= 160 {
        has(&text, &["exp_20261119_meetup", "watcher", "· escalation", "212 sends and 4 replies.", "640 ms"]);
    }
    assert_snapshot!(format!("deck_measured_{width}x{height}"), picture(&model, width, height));
}

#[test]
fn channels_show_how_many_come_as_small_bars() {
    let mut model = measured(200, 60);
    let mut speaker = Speaker::new();
    for second in 0..30 {
        passes(&mut model, second * 1_000);
        for _ in 0..second % 5 {
            speaker.chat(&mut model, "hello");
        }
    }
    passes(&mut model, 30_000);
    press(&mut model, "2");
    press(&mut model, "z");
    has(&shown(&model, 200, 60), &["discord_raw 2.0/s · live ", "▁", "█"]);
}

/// What no reader should trip over.
const ODD: [&str; 12] = [
    "",
    "NaN",
    "-inf",
    "1e400",
    "99999999999999999999999999",
    "null",
    "[[[[[[[[]]]]]]]]",
    "{\"experiment\":{\"metrics\":[1,null,{\"name\":7},{\"name\":\"x\",\"formula\":\"(((\"}],\"steps\":{\"a\":1},\"target\":[]}}",
    "\u{1b}[2J\u{1b}]52;c;aGk=\u{7}",
    "\u{202e}desrever\u{2066}",
    "0001-01-01T00:00:00Z",
    "世界👩‍👩‍👧‍👦 \u{0}\u{9b}",
];

#[test]
fn documents_of_any_kind_are_shown_harmlessly_on_each_screen() {
    let prefixes = ["experiments", "schedules", "metrics_specs", "metrics_aggregated", "alerts", "decisions"];
    let fields = [
        "state",
        "status",
        "spec",
        "spec_json",
        "hypothesis",
        "metrics",
        "success_criteria",
        "failure_criteria",
        "steps",
        "params",
        "cron",
        "next_at",
        "timezone",
        "severity",
        "message",
        "value",
        "threshold",
        "confidence",
        "triggered_at",
        "experiment_id",
        "at",
        "kind",
        "action",
        "thoughts",
        "payload",
        "tokens",
        "nano_usd",
        "response_rate",
        "error",
        "duration_seconds",
        "verdict",
        "verdict_json",
    ];
    let mut model = measured(120, 40);
    for (at, odd) in ODD.iter().enumerate() {
        let all: Vec<(&str, &str)> = fields.iter().map(|field| (*field, *odd)).collect();
        for prefix in prefixes {
            document(&mut model, &format!("{prefix}:exp_{at}"), &all);
            crate::tui::app::tests::text(&mut model, &format!("{prefix}:text_{at}"), odd);
        }
        document(&mut model, &format!("experiment_runs:exp_{at}:1"), &all);
        // One that can be read, with one odd field.
        for field in ["at", "tokens", "trace", "payload", "trust"] {
            let base = [("at", "2026-11-21T14:00:00Z"), ("kind", *odd), ("action", "no_action"), (field, *odd)];
            document(&mut model, &format!("decisions:{field}_{at}"), &base);
        }
    }
    let mut speaker = Speaker::new();
    for odd in ODD {
        let event =
            json!({ "event": odd, "experiment_id": "exp_1", "text": odd, "from": odd, "count": odd, odd: 1e308 });
        speaker.say(&mut model, ChannelName::Metrics, "executor", &event);
        let alert = json!({ "type": "alert_triggered", "alert_id": odd, "message": odd, "metric": odd, "experiment_id": odd, "value": 1e308, "threshold": -1e308 });
        speaker.say(&mut model, ChannelName::Alerts, "gate", &alert);
    }
    passes(&mut model, 10);
    for (width, height) in [(80, 24), (200, 60)] {
        model.area = ratatui::layout::Rect::new(0, 0, width, height);
        for screen in ["1", "3", "4", "6"] {
            press(&mut model, screen);
            press(&mut model, "home");
            for _ in 0..16 {
                super::hostile::only_ours(&model, width, height);
                press(&mut model, "down");
                press(&mut model, "]");
            }
        }
    }
}

#[test]
fn many_experiments_with_much_in_them_are_drawn_in_time() {
    let mut model = empty(200, 60);
    for at in 0..500 {
        let fields = [("state", "running"), ("failure_criteria", r#"["rate < 5%"]"#), ("hypothesis", "many of them")];
        document(&mut model, &format!("experiments:exp_{at:04}"), &fields);
    }
    press(&mut model, "4");
    has(&shown(&model, 200, 60), &["Experiments (500)", "exp_0000"]);
    press(&mut model, "end");
    has(&shown(&model, 200, 60), &["exp_0499"]);
}
