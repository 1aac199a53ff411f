//! Whether an experiment reaches anybody is said wherever it is a row, and its compiled steps wherever it is whole.

use insta::assert_snapshot;
use rstest::rstest;
use serde_json::{Value, json};

use super::{has, picture, shown};
use crate::contracts::ChannelName;
use crate::tui::app::tests::{Speaker, document, empty, need_with, press};
use crate::tui::app::{Effect, Model, Saying};

/// A specification as FULLSEND writes it.
fn spec(id: &str, mode: &str) -> Value {
    json!({ "experiment": {
        "id": id, "hypothesis": "people who asked about self-hosting answer a short mail", "mode": mode,
        "target": { "description": "people who asked" },
        "execution": { "steps": [{ "id": "list", "tool": "csv_leads", "params": { "path": "leads.csv", "limit": 40 } }] },
        "outreach": { "channel": "email", "sender": "mara@acme.example", "subject": "Your question",
            "template": "Hi {{first_name}}", "daily_limit": 20,
            "variants": [{ "name": "a" }, { "name": "b", "subject": "Self-hosting?" }],
            "follow_ups": [{ "after": "3d", "template": "Once more, {{first_name}}" }] },
        "metrics": [{ "name": "email_sent", "type": "counter" }],
        "success_criteria": ["reply_rate >= 8%"], "failure_criteria": ["bounce_rate > 10%"],
        "manual_steps_required": ["fill in leads.csv"],
    } })
}

fn experiment(model: &mut Model, id: &str, mode: &str, state: &str) {
    let spec = spec(id, mode).to_string();
    let fields = [
        ("state", state),
        ("mode", mode),
        ("spec_json", spec.as_str()),
        ("hypothesis", "people who asked about self-hosting answer a short mail"),
        ("design_cost_nano_usd", "12000000"),
    ];
    document(model, &format!("experiments:{id}"), &fields);
}

/// A room with one experiment of each kind, and something about each.
fn room(width: u16, height: u16) -> Model {
    let mut model = empty(width, height);
    for (id, mode, state) in [
        ("exp_20261121_a", "simulation", "measuring"),
        ("exp_20261121_b", "dry_run", "draft"),
        ("exp_20261121_c", "live", "ready"),
    ] {
        experiment(&mut model, id, mode, state);
        let alert = [
            ("state", "triggered"),
            ("severity", "high"),
            ("experiment_id", id),
            ("message", "the rate is below its line"),
            ("triggered_at", "2026-11-21T14:00:00Z"),
        ];
        document(&mut model, &format!("alerts:{id}:rate"), &alert);
    }
    for (approval, id, minutes) in
        [("apr_1", "exp_20261121_a", 10), ("apr_2", "exp_20261121_b", 20), ("apr_3", "exp_20261121_c", 30)]
    {
        need_with(&mut model, approval, "Kill it", minutes, |record| {
            let step = json!([{ "do": "step", "experiment_id": id, "event": "archive" }]);
            record.proposal.intents = serde_json::from_value(step).unwrap();
        });
    }
    model
}

fn row<'a>(text: &'a str, words: &str) -> &'a str {
    text.lines().find(|line| line.contains(words)).unwrap_or_else(|| panic!("`{words}` is not in\n{text}"))
}

#[rstest]
#[case(80, 24)]
#[case(120, 40)]
#[case(200, 60)]
fn a_simulation_is_called_one_wherever_it_is_a_row(#[case] width: u16, #[case] height: u16) {
    let mut model = room(width, height);
    let deck = shown(&model, width, height);
    has(&deck, &["sim ", "dry ", "LIVE "]);
    let alarms = deck.lines().filter(|line| line.contains("▲ high sim") || line.contains("▲ high LIVE")).count();
    assert!(alarms >= 2, "{deck}");
    let needs = deck.lines().filter(|line| line.contains("Kill it")).collect::<Vec<_>>().join("\n");
    has(&needs, &["sim  Kill it", "dry  Kill it"]);
    assert_snapshot!(format!("modes_deck_{width}x{height}"), picture(&model, width, height));
    press(&mut model, "4");
    let text = shown(&model, width, height);
    let word = |long: &'static str, short: &'static str| if width >= 100 { long } else { short };
    for (state, mode) in
        [("measuring", word("simulation", "sim")), ("draft", word("dry run", "dry")), ("ready", "LIVE")]
    {
        assert!(row(&text, &format!(" {state} ")).contains(mode), "{text}");
    }
    has(&text, &["mode", "simulation: its people do not exist"]);
    assert_snapshot!(format!("modes_experiments_{width}x{height}"), picture(&model, width, height));
    press(&mut model, "6");
    let text = shown(&model, width, height);
    has(&text, &[word("simulation", "sim"), word("dry run", "dry"), "LIVE", "exp_20261121_a (simulation)"]);
    press(&mut model, "a");
    let text = shown(&model, width, height);
    has(&text, &["mode", "simulation: its people do not exist"]);
    if width >= 140 {
        has(&text, &["class 3", "simulation by ", "dry run    by", "LIVE       by"]);
        let lines: Vec<&str> = text.lines().collect();
        let at = lines.iter().position(|line| line.contains("simulation by")).unwrap();
        assert!(lines[at + 1].contains("Kill it"), "the title has a row of its own\n{text}");
    }
    press(&mut model, "esc");
    press(&mut model, "4");
    press(&mut model, "x");
    has(&shown(&model, width, height), &["It is measuring now (simulation)."]);
}

#[test]
fn the_steps_are_those_that_are_run_with_what_timers_do_afterwards() {
    let mut model = empty(200, 60);
    experiment(&mut model, "exp_20261121_c", "live", "ready");
    press(&mut model, "4");
    let text = shown(&model, 200, 60);
    has(
        &text,
        &[
            "live: it writes to people",
            "first, by hand: fill in leads.csv",
            "1. list: csv_leads path=leads.csv limit=40",
        ],
    );
    has(&text, &["2. outreach: email_send recipients={{list.rows}}", "in 2 variants", "(compiled from"]);
    has(&text, &["later: follow_up_0: 3d after a run, email_send to whom did not answer"]);
    has(&text, &["later: collection: every 15m", "later: judgement: 7d after a run"]);
    has(&text, &["Verdict", "not yet", "Cost", "$0.0120 for its design"]);
    experiment(&mut model, "exp_20261121_c", "simulation", "ready");
    let text = shown(&model, 200, 60);
    has(&text, &["2. outreach: email_send", "later: judgement: right after a run; replies are simulated"]);
    assert!(!text.contains("follow_up_0") && !text.contains("collection:"), "{text}");
}

#[test]
fn steps_that_have_no_order_are_shown_with_the_reason() {
    let mut model = empty(120, 40);
    let mut spec = spec("exp_1", "dry_run");
    spec["experiment"]["execution"]["steps"][0]["params"]["path"] = json!("{{nobody.rows}}");
    spec["experiment"]["execution"]["steps"][0]["depends_on"] = json!(["nobody"]);
    document(&mut model, "experiments:exp_1", &[("state", "draft"), ("spec_json", &spec.to_string())]);
    press(&mut model, "4");
    has(&shown(&model, 120, 40), &["it cannot be run: the step `list` needs `nobody`", "1. list: csv_leads"]);
}

#[test]
fn how_far_a_run_is_stands_beside_its_steps() {
    let mut model = empty(160, 50);
    experiment(&mut model, "exp_1", "live", "running");
    let run = [
        ("status", "running"),
        ("steps", r#"["list","outreach"]"#),
        ("outputs", r#"{"list":{"rows":[]}}"#),
        ("step", "outreach"),
        ("progress", r#"{"step":"outreach","done":10,"total":40,"message":null}"#),
    ];
    document(&mut model, "experiment_runs:exp_1:r1", &run);
    press(&mut model, "4");
    let text = shown(&model, 160, 50);
    has(
        &text,
        &["● 1. list: csv_leads", "◐ 2. outreach: email_send", "62% outreach 10/40", "█████████████░░░░░░░ 62%"],
    );
    model.about.is_plain = true;
    has(&shown(&model, 160, 50), &["#############....... 62%"]);
}

#[test]
fn one_mail_can_be_had_before_a_yes_and_from_the_table() {
    let mut model = empty(120, 40);
    experiment(&mut model, "exp_1", "live", "draft");
    press(&mut model, "4");
    has(shown(&model, 120, 40).lines().last().unwrap(), &["s sample"]);
    let order = |effects: &[Effect]| match effects {
        [Effect::Say(_, Saying::Body(ChannelName::ExecuteNow, body))] => serde_json::from_str::<Value>(body).unwrap(),
        other => panic!("{other:?}"),
    };
    let wanted = json!({ "type": "sample_experiment", "experiment_id": "exp_1", "by": "mara" });
    assert_eq!(order(&press(&mut model, "s")), wanted);
    need_with(&mut model, "apr_1", "Go live: exp_1", 30, |record| {
        record.proposal.details = serde_json::from_value(
            json!({ "experiment_id": "exp_1", "mode": "live: it writes to people", "mails": [{ "to": "ada@example.com", "subject": "Hi", "text": "Hi Ada" }] }),
        )
        .unwrap();
    });
    press(&mut model, "a");
    let text = shown(&model, 120, 40);
    has(&text, &["s sample to me", "Mail 1 to ada@example.com"]);
    assert_eq!(order(&press(&mut model, "s")), wanted);
    assert!(shown(&model, 120, 40).contains("Go live: exp_1"), "nothing is answered by that");
    let mut speaker = Speaker::new();
    crate::tui::app::tests::apply(&mut model, crate::tui::store::Item::Filled);
    let answer =
        json!({ "type": "status_update", "payload": { "message": "A sample of exp_1 went to mara@acme.example" } });
    speaker.say(&mut model, ChannelName::FromOrchestrator, "executor", &answer);
    assert!(model.toast.as_ref().unwrap().words.contains("A sample of exp_1 went to"), "{:?}", model.toast);
}

#[test]
fn where_no_mail_is_written_there_is_no_sample() {
    let mut model = room(120, 40);
    press(&mut model, "a");
    assert!(!shown(&model, 120, 40).contains("sample to me"));
    assert_eq!(press(&mut model, "s"), []);
    assert!(model.toast.as_ref().unwrap().words.contains("writes no mail"), "{:?}", model.toast);
}

#[test]
fn times_are_those_of_the_persons_clock_and_say_whose_they_are() {
    let mut model = empty(120, 40);
    model.about.zone = crate::tui::zone::Zone::of(Some("Europe/Berlin"), chrono::FixedOffset::east_opt(0).unwrap());
    has(shown(&model, 120, 40).lines().next().unwrap(), &["15:02:11 CET"]);
    // A run before the clocks change is an hour nearer to UTC than one after it.
    let schedule = [("cron", "0 9 * * *"), ("next_at", "2027-04-01T07:00:00Z")];
    experiment(&mut model, "exp_1", "live", "ready");
    document(&mut model, "schedules:exp_1", &schedule);
    press(&mut model, "4");
    press(&mut model, "tab");
    press(&mut model, "z");
    has(&shown(&model, 120, 40), &["next 2027-04-01 09:00:00"]);
    press(&mut model, "0");
    crate::tui::app::tests::machine(&mut model);
    has(&shown(&model, 120, 40), &["Europe/Berlin (CET, UTC+01:00)"]);
}
