use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use pretty_assertions::assert_eq;
use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::experiments::criteria::Criterion;
use crate::experiments::fix::fix;
use crate::experiments::steps::{By, plan};
use crate::experiments::{document, read};

fn data() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/experiments");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let name = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
    files.iter().map(|path| (name(path), std::fs::read_to_string(path).unwrap())).collect()
}

fn today() -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 3, 1).unwrap()
}

fn lines(findings: &[Finding]) -> String {
    findings.iter().fold(String::new(), |mut text, finding| {
        writeln!(text, "{finding}").unwrap();
        text
    })
}

#[test]
fn what_others_wrote_is_accepted_or_refused_with_reasons() {
    let files = data();
    assert_eq!(files.len(), 6);
    for (name, text) in files {
        let reading = read(&text);
        assert!(reading.draft.is_some(), "{name} could not be read at all");
        for error in reading.errors() {
            assert!(error.line > 0, "{name}: {error} has no place");
        }
        insta::assert_snapshot!(format!("read_{name}"), lines(&reading.findings));
    }
}

#[test]
fn most_of_what_others_wrote_is_put_right() {
    let mut good = Vec::new();
    for (name, text) in data() {
        let fixed = fix(&text, &Known::default(), today());
        insta::assert_snapshot!(format!("fixed_{name}"), lines(&fixed.findings));
        let Some(spec) = fixed.spec else { continue };
        // What is written is read again as the same, and nothing is wrong with it.
        let again = read(&document::yaml(&spec).unwrap());
        assert_eq!(again.errors().map(ToString::to_string).collect::<Vec<_>>(), Vec::<String>::new(), "{name}");
        assert_eq!(again.spec.as_ref(), Some(&spec), "{name}");
        let planned = plan(&spec).unwrap();
        if planned.iter().all(|it| it.by == By::Tool && Known::default().has_tool(&it.step.tool)) {
            good.push(name);
        }
    }
    assert!(good.len() >= 4, "only {good:?} can run");
}

/// A specification with nothing wrong.
fn whole() -> Value {
    json!({ "experiment": {
        "id": "exp_20260301_forum",
        "hypothesis": "People who asked about self-hosting answer a short mail",
        "target": { "description": "people who asked", "size": 120, "filters": [{ "has_email": true }] },
        "execution": {
            "steps": [{ "id": "people", "tool": "csv_leads", "params": { "path": "leads.csv" } }],
            "schedule": "0 9 * * MON", "timezone": "Europe/Berlin",
        },
        "outreach": {
            "channel": "email", "sender": "mara@acme.example", "subject": "Your question", "recipients": "{{people.rows}}",
            "template": "Hi {{first_name|there}}, did you solve it?",
            "variants": [{ "name": "a" }, { "name": "b", "subject": "Did you solve it?" }],
            "follow_ups": [{ "after": "4d", "template": "Once more, {{first_name|there}}." }],
        },
        "metrics": [
            { "name": "emails_sent", "type": "counter" },
            { "name": "reply_rate", "type": "percentage", "formula": "replies / emails_sent", "success_threshold": 0.08 },
        ],
        "success_criteria": ["reply_rate >= 8% after 50 emails_sent"],
        "failure_criteria": ["reply_rate < 2% after 50 emails_sent"],
        "sources": { "id": "idea" },
    } })
}

fn errors(value: &Value) -> Vec<String> {
    read(&value.to_string()).errors().map(|finding| format!("{}: {}", finding.path, finding.message)).collect()
}

#[test]
fn a_whole_one_is_accepted_as_json_and_as_yaml() {
    assert_eq!(errors(&whole()), Vec::<String>::new());
    let spec = read(&whole().to_string()).spec.unwrap();
    let yaml = document::yaml(&spec).unwrap();
    assert_eq!(read(&yaml).spec.unwrap(), spec, "{yaml}");
    assert_eq!(read(&whole()["experiment"].to_string()).spec, Some(spec), "without its root");
    let tabs = serde_json::to_string_pretty(&whole()).unwrap().replace("  ", "\t");
    assert!(read(&tabs).spec.is_some(), "JSON with tabs");
}

/// Each field that is missing, wrong or hostile, and what is said of it.
#[rstest]
#[case::no_id("/id", Value::Null, "id: it has no `id`")]
#[case::path("/id", json!("../../etc/passwd"), "id: `../../etc/passwd` cannot be an id")]
#[case::colon("/id", json!("exp_20260301_a:b"), "id: `exp_20260301_a:b` cannot be an id")]
#[case::space("/id", json!("exp 2026"), "id: `exp 2026` cannot be an id")]
#[case::escape("/id", json!("exp_20260301_\u{1b}[2Jx"), "cannot be an id")]
#[case::upper("/id", json!("Exp_20260301_Forum"), "is no id of an experiment")]
#[case::id_list("/id", json!(["a"]), "id: this is a list; it should be a text")]
#[case::no_hypothesis("/hypothesis", Value::Null, "hypothesis: it has no `hypothesis`")]
#[case::short("/hypothesis", json!("works"), "hypothesis: it has 5 characters; it should have 20 to 500")]
#[case::long("/hypothesis", json!("a".repeat(501)), "hypothesis: it has 501 characters")]
#[case::hidden("/hypothesis", json!("people\u{202e} answer a short mail of ours"), "characters that nobody sees")]
#[case::mode("/mode", json!("yolo"), "mode: `yolo` is no mode")]
#[case::no_target("/target", Value::Null, "target.description: it is not said whom it is about")]
#[case::target_number("/target", json!(7), "target: this is a number")]
#[case::size("/target/size", json!(-3), "target.size: this is a number; it should be a whole number")]
#[case::filter("/target/filters", json!(["has an address"]), "a condition in words filters nothing")]
#[case::no_execution("/execution", Value::Null, "needs `people`, and there is no such step")]
#[case::no_tool("/execution/steps/0/tool", Value::Null, "the step has no `tool`")]
#[case::tool_path("/execution/steps/0/tool", json!("../../bin/sh"), "is no name of a tool")]
#[case::alias("/execution/steps/0/tool", json!("github_stargazer_scraper"), "there is no tool `github_stargazer_scraper`")]
#[case::params("/execution/steps/0/params", json!("leads.csv"), "this is a text; it should be fields")]
#[case::parameter("/execution/steps/0/params", json!({ "path": "a.csv", "rm": "-rf" }), "has no parameter `rm`")]
#[case::no_path("/execution/steps/0/params", json!({}), "execution.steps[0].params: `csv_leads` needs `path`")]
#[case::limit("/execution/steps/0/params", json!({ "path": "a.csv", "limit": "many" }), "params.limit: `limit` of `csv_leads` does not fit: it should be a whole number, and is a text")]
#[case::everybody("/outreach/recipients", json!("everybody"), "outreach.recipients: `recipients` of `email_send` does not fit: it should be a list, and is a text")]
#[case::no_addresses("/execution/steps/0/params", json!({ "path": "a.csv", "fields": 3 }), "`fields` of `csv_leads` does not fit")]
#[case::cycle("/execution/steps/0/depends_on", json!(["people"]), "these steps wait for each other")]
#[case::needs("/execution/steps/0/depends_on", json!(["peopel"]), "did you mean `people`?")]
#[case::cron("/execution/schedule", json!("every day"), "is no schedule")]
#[case::cron_range("/execution/schedule", json!("99 9 * * MON"), "is no schedule")]
#[case::cron_never("/execution/schedule", json!("0 9 31 2 *"), "never comes")]
#[case::zone("/execution/timezone", json!("Mars/Olympus"), "execution.timezone:")]
#[case::missed("/execution/missed", json!("maybe"), "is no rule for missed runs")]
#[case::overlap("/execution/overlap", json!("always"), "is no rule for runs that overlap")]
#[case::channel("/outreach/channel", json!("pigeon"), "`pigeon` is no channel")]
#[case::sender("/outreach/sender", json!("Mara <m@acme.example>\r\nBcc: all"), "is no address")]
#[case::no_subject("/outreach/subject", Value::Null, "a mail needs a subject")]
#[case::subject("/outreach/subject", json!("Hi\r\nBcc: everybody@example.com"), "a subject has one line")]
#[case::no_template("/outreach/template", Value::Null, "there is nothing to say")]
#[case::placeholder("/outreach/template", json!("Hi there,\n\n[Your Name]"), "`[Your Name]` is a placeholder")]
#[case::todo("/outreach/template", json!("Hi there, TODO: write this"), "`TODO` is a placeholder")]
#[case::open("/outreach/template", json!("Hi {{first_name"), "has no end")]
#[case::nobody("/outreach/recipients", json!("{{lists.rows}}"), "needs `lists`")]
#[case::twice("/outreach/variants/0/name", json!("b"), "two variants are called `b`")]
#[case::late("/outreach/follow_ups/0/after", json!("0d"), "it would come 0s after the first message")]
#[case::too_late("/outreach/follow_ups/0/after", json!("7d"), "when nobody looks any more what comes of it (7d)")]
#[case::after("/outreach/follow_ups/0/after", json!("soon"), "is no length of time")]
#[case::nothing_measured("/metrics", Value::Null, "nothing counts what was sent")]
#[case::metric_type("/metrics/0/type", json!("vibe"), "`vibe` is no type of metric")]
#[case::metric_name("/metrics/0/name", json!("emails sent!"), "is no name of a metric")]
#[case::formula("/metrics/1/formula", json!("replies / "), "the formula of `reply_rate`")]
#[case::itself("/metrics/1/formula", json!("reply_rate / emails_sent"), "`reply_rate` needs itself")]
#[case::threshold("/metrics/1/success_threshold", json!(-0.5), "-0.5 can never be reached")]
#[case::threshold_text("/metrics/1/success_threshold", json!("high"), "this is a text; it should be a number")]
#[case::no_success("/success_criteria", Value::Null, "there are no success criteria")]
#[case::prose("/success_criteria/0", json!("It feels right"), "is no criterion")]
#[case::unknown("/success_criteria/0", json!("llamas_fed >= 3"), "nothing counts `llamas_fed`")]
#[case::sample("/failure_criteria/0", json!("reply_rate < 1% after 100 people"), "nothing counts `people`, so that nobody will ever know - write messages, like `after 100 sends`")]
#[case::typo("/failure_criteria/0", json!("replys.rate < 5%"), "nothing counts `replys.rate`, so that nobody will ever know - did you mean `reply.rate`?")]
#[case::space("/failure_criteria/0", json!("events.foo > 3"), "nothing counts `events.foo`")]
#[case::field("/failure_criteria/0", json!("hours.avg > 48"), "nothing measures `hours.avg`, so that nobody will ever know - add it to `metrics`: `name: hours`, `type: duration`")]
#[case::in_formula("/metrics/1/formula", json!("conversions / emails_sent"), "metrics[1].formula: nothing counts `conversions`")]
#[case::one("/metrics/1/success_threshold", json!(1), "1 may be 1 % or 100 % - write `1%` or `100%`")]
#[case::unit("/metrics/0", json!({ "name": "wait", "type": "duration", "unit": "moons" }), "`moons` is no unit of time")]
#[case::negative("/measuring", json!({ "window": -3 }), "measuring.window: -3 is no length of time")]
#[case::injection("/failure_criteria/0", json!("reply_rate < 2%; import os"), "is no criterion")]
#[case::window("/measuring", json!({ "window": "0d" }), "what comes of a run cannot be looked at for 0s")]
#[case::every("/measuring", json!({ "collect_every": "1s" }), "collecting every 1s")]
fn each_field_that_is_wrong_is_named(#[case] at: &str, #[case] value: Value, #[case] said: &str) {
    let mut spec = whole();
    let root = spec.pointer_mut("/experiment").unwrap();
    match root.pointer_mut(at) {
        Some(place) => *place = value,
        None => {
            let (parent, name) = at.rsplit_once('/').unwrap();
            root.pointer_mut(parent).unwrap().as_object_mut().unwrap().insert(name.to_owned(), value);
        }
    }
    let found: Vec<String> = read(&spec.to_string()).errors().map(ToString::to_string).collect();
    assert!(found.iter().any(|finding| finding.contains(said)), "{said}\n{found:#?}");
}

#[test]
fn everything_is_found_at_once_with_its_place() {
    let text = "experiment:\n  id: Bad Id\n  hypothesis: short\n  mode: yolo\n  target: {}\n  execution:\n    tool: csv_leads\n    \
                schedule: never\n  metrics: []\n  success_criteria: []\n  failure_criteria:\n    - It fails\n";
    let reading = read(text);
    assert_eq!(reading.spec, None);
    let places: Vec<_> = reading.errors().map(|finding| (finding.path.as_str(), finding.line)).collect();
    assert_eq!(
        places,
        [
            ("id", 2),
            ("hypothesis", 3),
            ("mode", 4),
            ("target.description", 5),
            ("execution.steps[0].params", 7),
            ("execution.schedule", 8),
            ("metrics", 9),
            ("success_criteria", 10),
            ("failure_criteria[0]", 12)
        ]
    );
}

#[rstest]
#[case("", "this is nothing")]
#[case("- a\n- b", "this is a list")]
#[case("experiment: 7", "`experiment` must have fields")]
#[case("a: [1, 2", "this is no YAML")]
#[case("name: x", "there is no `experiment`")]
#[case("experiment:\n  id: a\n  id: b\n", "this is no YAML")]
#[case("a: &a [x]\nb: &b [*a, *a]\nexperiment: {hypothesis: [*b, *b]}\n", "this is a list")]
fn what_is_no_specification_says_so(#[case] text: &str, #[case] said: &str) {
    let found: Vec<String> = read(text).errors().map(ToString::to_string).collect();
    assert!(found.iter().any(|finding| finding.contains(said)), "{said}\n{found:#?}");
}

#[test]
fn a_text_that_is_too_large_or_too_deep_is_refused() {
    let found = |text: &str| read(text).errors().map(ToString::to_string).collect::<String>();
    assert!(found(&"x".repeat(300_000)).contains("a specification may have"));
    let deep = format!("experiment: {}{}", "[".repeat(500), "]".repeat(500));
    assert!(found(&deep).contains("no YAML"), "{}", found(&deep));
}

#[test]
fn shares_are_read_as_they_were_meant() {
    let metric = |value: Value| {
        let mut spec = whole();
        spec["experiment"]["metrics"][1] = value;
        read(&spec.to_string()).draft.unwrap().metrics[1].clone()
    };
    let percent = |formula: &str, threshold: Value| {
        let read = metric(
            json!({ "name": "reply_rate", "type": "percentage", "calculation": formula, "success_threshold": threshold }),
        );
        (read.formula.unwrap(), read.success_threshold.unwrap())
    };
    let plain = "replies / emails_sent".to_owned();
    assert_eq!(percent("(replies / emails_sent) * 100", json!(8.0)), (plain.clone(), 0.08));
    assert_eq!(percent("100 * (replies / emails_sent)", json!(0.5)), (plain.clone(), 0.005));
    assert_eq!(percent("replies / emails_sent", json!(8)), (plain.clone(), 0.08));
    assert_eq!(percent("replies / emails_sent", json!("8%")), (plain.clone(), 0.08));
    assert_eq!(percent("replies / emails_sent", json!(0.08)), (plain, 0.08));
    assert_eq!(percent("(a) / (b) * 100", json!(3)), ("a / b".to_owned(), 0.03));
    assert_eq!(percent("replies * 100 / emails_sent", json!(3)), ("replies / emails_sent".to_owned(), 0.03));
    let score = metric(json!({ "name": "score", "type": "counter", "formula": "replies + meetings_booked * 100" }));
    assert_eq!(score.formula.as_deref(), Some("replies + meetings_booked * 100"), "it is no share");
    let hours =
        metric(json!({ "name": "time_to_first_reply", "type": "duration", "unit": "hours", "success_threshold": 72 }));
    assert_eq!(hours.success_threshold, Some(259_200.0));
}

/// What fitted a number of percent fits the fraction that is read, and it is said.
#[test]
fn criteria_go_with_the_formula_that_they_were_written_for() {
    let mut spec = whole();
    let root = &mut spec["experiment"];
    root["metrics"][1] =
        json!({ "name": "reply_rate", "type": "percentage", "formula": "replies / emails_sent * 100" });
    root["metrics"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "name": "score", "type": "counter", "formula": "reply_rate + 5" }));
    root["success_criteria"] = json!(["reply_rate >= 8% after 30 sends", "reply_rate + score > 20"]);
    root["failure_criteria"] = json!(["reply_rate < 3 and bounces > 2 after 30 sends"]);
    let read = read(&spec.to_string());
    let draft = read.draft.unwrap();
    assert_eq!(draft.metrics[1].formula.as_deref(), Some("replies / emails_sent"));
    assert_eq!(draft.metrics.last().unwrap().formula.as_deref(), Some("reply_rate * 100 + 5"));
    assert_eq!(draft.success_criteria, ["reply_rate >= 8% after 30 sends", "reply_rate * 100 + score > 20"]);
    assert_eq!(draft.failure_criteria, ["reply_rate < 3% and bounces > 2 after 30 sends"]);
    let said: Vec<String> = read.findings.iter().map(ToString::to_string).collect();
    for part in [
        "a share is a fraction: it is read as `replies / emails_sent`",
        "`reply_rate < 3 and bounces > 2 after 30 sends` is read as `reply_rate < 3% and bounces > 2 after 30 sends`",
    ] {
        assert!(said.iter().any(|line| line.contains(part)), "{part}: {said:#?}");
    }
}

/// A percent without its sign is a hundred times what is meant.
#[test]
fn a_line_that_no_share_can_reach_is_refused_with_what_was_meant() {
    let found = |criterion: &str| {
        let mut spec = whole();
        spec["experiment"]["failure_criteria"] = json!([criterion]);
        let read = read(&spec.to_string());
        read.findings.iter().filter(|it| it.path == "failure_criteria[0]").map(ToString::to_string).collect::<String>()
    };
    for (criterion, part) in [
        (
            "reply_rate < 2",
            "error: failure_criteria[0]: `reply_rate` is a share, and 2 of it are 200 % - write `reply_rate < 2%`",
        ),
        ("8 <= reply_rate after 30 sends", "write `8% <= reply_rate after 30 sends`"),
        ("reply_rate < 1", "write `reply_rate < 1%`, or `100%` where all are meant"),
        ("replies / emails_sent * 100 < 500", "are 500 % - a share lies between"),
        ("reply_rate < 500%", "a share lies between"),
        ("bounces > 2 and reply_rate < 3", "write `bounces > 2 and reply_rate < 3%`"),
    ] {
        assert!(found(criterion).contains(part), "{criterion}: {}", found(criterion));
    }
    for good in [
        "reply_rate < 2%",
        "reply_rate < 0.02",
        "replies / emails_sent * 100 < 5",
        "emails_sent / replies > 20",
        "reply_rate < 100%",
    ] {
        assert_eq!(found(good), "", "{good}");
    }
}

#[test]
fn what_no_step_says_is_warned_about() {
    let found = |criterion: &str, mode: &str| {
        let mut spec = whole();
        spec["experiment"]["mode"] = json!(mode);
        spec["experiment"]["failure_criteria"] = json!([criterion]);
        let read = read(&spec.to_string());
        read.findings.iter().filter(|it| it.path == "failure_criteria[0]").map(ToString::to_string).collect::<String>()
    };
    let opened = found("open_rate < 25%", "dry_run");
    assert!(opened.contains("no step of it says `emails_opened`: it is unknown, and not zero"), "{opened}");
    assert!(found("meetings_booked == 0 after 14d", "live").contains("metrics add"));
    assert!(found("reply_rate < 5% after 50 dms_sent", "live").contains("`dms_sent`"));
    assert_eq!(found("reply_rate < 5% after 50 sends", "live"), "");
}

#[test]
fn phases_are_steps_and_their_outputs_references() {
    let text = "
experiment:
  target: {description: x, companies: [{url: a.example}]}
  execution:
    phase_1_find: {tool: web_page, params: {urls: '{{target.companies}}'}, output: recipient_list}
    phase_2_send:
      tool: cold_email_sender
      depends_on: phase_1
      params:
        recipients: '{{phase_1.output.recipient_list}}'
        template: {subject: Hi, body: 'Hello {{first_name}}'}
      send_options: {sender_email: a@b.example, daily_limit: 30, delay_seconds: 3}
";
    let spec = read(text).draft.unwrap();
    let steps = serde_json::to_value(&spec.execution.steps).unwrap();
    assert_eq!(
        steps,
        json!([
            { "id": "phase_1_find", "tool": "web_page", "params": { "urls": [{ "url": "a.example" }] } },
            { "id": "phase_2_send", "tool": "cold_email_sender", "params": { "recipients": "{{phase_1_find.rows}}" },
              "depends_on": ["phase_1_find"] },
        ])
    );
    let outreach = spec.outreach.unwrap();
    assert_eq!((outreach.subject.as_deref(), outreach.template.as_str()), (Some("Hi"), "Hello {{first_name}}"));
    assert_eq!((outreach.sender.as_deref(), outreach.daily_limit), (Some("a@b.example"), Some(30)));
    assert_eq!(outreach.delay.unwrap().to_string(), "3s");
}

#[test]
fn an_id_is_made_where_there_is_none() {
    let id = |text: &str| fix(text, &Known::default(), today()).draft.unwrap().id;
    assert_eq!(
        id("experiment: {hypothesis: The people who left us answer one mail}"),
        "exp_20260301_people_left_us_answer"
    );
    assert_eq!(id("experiment: {id: ../../Foo Bar, hypothesis: x}"), "exp_20260301_foo_bar");
    assert_eq!(id("experiment: {id: exp-2025-02-03-Stars, hypothesis: x}"), "exp_20250203_stars");
}

/// What is no field of a specification, and what has no place, is said and kept.
#[test]
fn nothing_is_dropped_without_a_word() {
    let text = "
experiment:
  target: {description: x, size: 60, companies: [{url: a.example}], regions: [north, south]}
  execution:
    description: what-it-does
    params: {lonely: yes-lonely}
    schedule: {cron: '0 9 * * MON', jitter: some-jitter}
    steps:
      - {tool: csv_leads, description: finds-them, params: {path: a.csv}, retry: thrice, if: it-rains, schedule: at-noon}
      - tool: cold_email_sender
        timeout: two-hours
        params:
          recipients: '{{csv_leads.rows}}'
          template: {subject: Hi, body: Hello, footer: a-footer}
        send_options: {sender_email: a@b.example, reply_to: c@b.example, schedule_time: at-dawn, bcc: boss@b.example, daily_limit: many}
  outreach:
    channel: email
    subject: Another
    template: 'Subject: A third one

      Hello'
    follow_up: {enabled: false, template: never-sent}
    follow_up_delay_days: 3
  metrics: [{name: emails_sent, type: counter, unit: envelopes}]
";
    let reading = read(text);
    let spec = reading.draft.unwrap();
    let (notes, steps) = (spec.notes.clone().unwrap(), serde_json::to_value(&spec.execution.steps).unwrap());
    for words in [
        "north",
        "what-it-does",
        "yes-lonely",
        "some-jitter",
        "finds-them",
        "thrice",
        "it-rains",
        "at-noon",
        "two-hours",
        "a-footer",
        "at-dawn",
        "boss@b.example",
        "never-sent",
        "Hi",
        "A third one",
        "follow_up_delay_days: 3",
        "url: a.example",
    ] {
        assert!(notes.contains(words), "{words} is lost:\n{notes}");
    }
    assert_eq!(steps[1]["params"]["reply_to"], json!("c@b.example"), "{steps}");
    assert_eq!(steps[1]["params"]["daily_limit"], json!("many"), "the check says what is wrong with it");
    assert_eq!(spec.metrics[0].description.as_deref(), Some("unit: envelopes"));
    let said = lines(&reading.findings);
    for path in [
        "target.regions",
        "execution.steps[0].retry",
        "execution.steps[1].send_options.bcc",
        "execution.schedule.jitter",
    ] {
        assert!(said.contains(path), "{path} is not said:\n{said}");
    }
}

/// A home's tools: what they take, and names that mean ours elsewhere.
#[test]
fn a_tool_of_ones_own_is_what_it_says() {
    let takes = json!({
        "type": "object", "required": ["to"], "additionalProperties": false,
        "properties": { "to": { "type": "string" }, "template": { "type": "string" } },
    });
    let known = Known { tools: [("send_email".to_owned(), Some(takes))].into(), ..Known::default() };
    let mut spec = whole();
    let step =
        json!({ "id": "tell", "tool": "send_email", "params": { "to": "boss@acme.example", "template": "It begins" } });
    spec["experiment"]["execution"]["steps"].as_array_mut().unwrap().push(step.clone());
    let reading = read::read_with(&spec.to_string(), &known);
    assert_eq!(lines(&reading.findings), "");
    let kept = |spec: &Spec| serde_json::to_value(&spec.execution.steps[1]).unwrap();
    assert_eq!(kept(&reading.spec.unwrap()), step);
    assert_eq!(kept(&fix(&spec.to_string(), &known, today()).spec.unwrap()), step, "it is not replaced");
    spec["experiment"]["execution"]["steps"][1]["params"] = json!({ "to": 7, "subject": "x" });
    let found = lines(&read::read_with(&spec.to_string(), &known).findings);
    assert!(found.contains("`to` of `send_email` does not fit: it should be a text, and is a number"), "{found}");
    assert!(found.contains("`send_email` has no parameter `subject`"), "{found}");
}

/// A tool stands in for another only where it gives what is needed.
#[test]
fn pages_are_no_people() {
    let mut spec = whole();
    spec["experiment"]["execution"]["steps"][0] =
        json!({ "id": "people", "tool": "web_scraper", "params": { "url": "https://a.example" } });
    let reading = read(&spec.to_string());
    assert_eq!(reading.errors().count(), 0, "{}", lines(&reading.findings));
    assert!(lines(&reading.findings).contains("there is no tool `web_scraper`: it is asked for"));
    let fixed = fix(&spec.to_string(), &Known::default(), today());
    assert_eq!(fixed.draft.unwrap().execution.steps[0].tool, "web_scraper");
    // Where nobody is written to by what it gives, it does.
    spec["experiment"]["execution"]["steps"].as_array_mut().unwrap().insert(
        0,
        json!({
            "id": "look", "tool": "web_scraper", "params": { "url": "https://a.example" },
        }),
    );
    spec["experiment"]["execution"]["steps"][1] =
        json!({ "id": "people", "tool": "csv_leads", "params": { "path": "a.csv" } });
    let fixed = fix(&spec.to_string(), &Known::default(), today()).draft.unwrap();
    assert_eq!(fixed.execution.steps[0].tool, "web_page");
}

#[test]
fn people_are_kept_and_what_is_open_about_them_is_said() {
    let mut spec = whole();
    let people = json!([
        { "email": "ada@engines.example", "first_name": "Ada", "title": "[CTO]", "note": "TBD" },
        { "Email": "bo@looms.example", "first_name": "{{to_be_sourced}}" },
        { "email": "placeholder@company.com", "first_name": "{{to_be_sourced}}", "company": "Acme Ltd" },
    ]);
    let step = json!({ "id": "send", "tool": "email_send", "params": { "recipients": people } });
    spec["experiment"]["execution"]["steps"] = json!([step]);
    spec["experiment"]["outreach"].as_object_mut().unwrap().remove("recipients");
    spec["experiment"]["outreach"]["template"] = json!("Hi {{first_name}}");
    let fixed = fix(&spec.to_string(), &Known::default(), today());
    let draft = fixed.draft.clone().unwrap();
    let kept = draft.execution.steps[0].params["recipients"].as_array().unwrap().clone();
    assert_eq!(
        kept,
        people.as_array().unwrap()[..2].to_vec(),
        "nobody real is taken out, with all that is known of them"
    );
    assert!(draft.notes.unwrap().contains("Acme Ltd"), "who is taken out is in the notes");
    let said = lines(&fixed.findings);
    assert!(said.contains("recipients[1]: `first_name` is `{{to_be_sourced}}`, which they would read"), "{said}");
    assert!(!said.contains("recipients[0]"), "{said}");
}

#[test]
fn thresholds_that_judge_nothing_are_said_and_failures_become_criteria() {
    let mut spec = whole();
    let metrics = spec["experiment"]["metrics"].as_array_mut().unwrap();
    metrics.push(json!({ "name": "bounce_rate", "type": "percentage", "failure_threshold": "5%" }));
    metrics
        .push(json!({ "name": "meetings_booked", "type": "counter", "success_threshold": 5, "failure_threshold": 2 }));
    let said = lines(&read(&spec.to_string()).findings);
    assert!(
        said.contains("it judges nothing: criteria do - write `bounce_rate > 5%` into `failure_criteria`"),
        "{said}"
    );
    assert!(said.contains("metrics[3].success_threshold: it judges nothing"), "{said}");
    assert!(!said.contains("metrics[1]"), "a criterion says the same: {said}");
    let fixed = fix(&spec.to_string(), &Known::default(), today());
    let spec = fixed.spec.unwrap();
    assert_eq!(
        spec.failure_criteria,
        ["reply_rate < 2% after 50 emails_sent", "bounce_rate > 5%", "meetings_booked < 2 after 7d"]
    );
    assert_eq!(spec.success_criteria, ["reply_rate >= 8% after 50 emails_sent"], "nothing more is asked for");
    spec.failure_criteria.iter().for_each(|text| drop(Criterion::parse(text).unwrap()));
}

#[test]
fn counters_of_formulas_are_declared() {
    let mut spec = whole();
    spec["experiment"]["metrics"].as_array_mut().unwrap().push(json!({
        "name": "signup_share", "type": "percentage", "formula": "signups / trials",
    }));
    let fixed = fix(&spec.to_string(), &Known::default(), today()).spec.unwrap();
    let names: Vec<_> = fixed.metrics.iter().map(|metric| metric.name.as_str()).collect();
    assert_eq!(names, ["emails_sent", "reply_rate", "signup_share", "signups", "trials"]);
}

#[test]
fn percents_that_could_be_read_in_two_ways_are_asked_about() {
    let mut spec = whole();
    let metrics = spec["experiment"]["metrics"].as_array_mut().unwrap();
    metrics.push(json!({ "name": "open_rate", "type": "percentage", "success_threshold": 40 }));
    metrics.push(json!({ "name": "bounce_rate", "type": "percentage", "failure_threshold": 0.5 }));
    let said = errors(&spec).join("\n");
    assert!(said.contains("metrics[3].failure_threshold: 0.5 may be 0.5 % or 50 %"), "{said}");
}

/// A list whose columns are known, and one that cannot be seen.
#[test]
fn the_people_of_a_list_are_held_to_the_text() {
    let look = |columns: &[&str]| {
        let columns = columns.iter().map(|name| (*name).to_owned()).collect();
        crate::experiments::list::Look { columns, rows: 2, is_cut: false, first: Vec::new() }
    };
    let found = |look: Result<&crate::experiments::list::Look, String>| {
        let mut spec = whole();
        spec["experiment"]["outreach"]["template"] = json!("Hi {{frist_name}}");
        let text = spec.to_string();
        let mut known = Known::default();
        known.saw(&read(&text).draft.unwrap().execution.steps[0], look);
        lines(&read::read_with(&text, &known).findings)
    };
    let said = found(Ok(&look(&["E-Mail", "First Name"])));
    assert!(said.contains("`{{frist_name}}` - did you mean `{{first_name}}`?"), "{said}");
    assert!(!said.contains("`email`"), "{said}");
    let said = found(Ok(&look(&["Name", "frist name"])));
    assert!(
        said.contains("outreach.recipients: those who are written to have no `email`; they have name, frist_name"),
        "{said}"
    );
    let said = found(Err("leads.csv cannot be read: no such file".to_owned()));
    assert!(said.contains("warning: execution.steps[0].params.path: leads.csv cannot be read"), "{said}");
}

/// Values of every kind, hostile ones among them.
fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(|n| json!(n)),
        any::<f64>().prop_filter_map("finite", |n| serde_json::Number::from_f64(n).map(Value::Number)),
        ".{0,40}".prop_map(Value::String),
        prop_oneof![
            Just("{{"),
            Just("{{a.b}}"),
            Just("{{people.rows}}"),
            Just("../.."),
            Just("\u{1b}]52;c;x\u{7}"),
            Just("* * * * *"),
            Just("99999999999999999999d"),
            Just("8%"),
            Just("exp_20260301_a")
        ]
        .prop_map(|text| json!(text)),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            prop::collection::hash_map("[a-z_]{1,12}", inner, 0..5)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever stands in a field, it is read, said, and never more than findings; what can be put right stays put right.
    #[test]
    fn no_field_is_too_odd(
        place in prop::sample::select(vec![
            "/id", "/hypothesis", "/created_at", "/state", "/mode", "/target", "/target/size", "/target/filters", "/execution",
            "/execution/steps", "/execution/steps/0", "/execution/steps/0/params", "/execution/steps/0/depends_on",
            "/execution/schedule", "/execution/timezone", "/outreach", "/outreach/channel", "/outreach/sender", "/outreach/recipients",
            "/outreach/subject", "/outreach/template", "/outreach/variants", "/outreach/variants/0", "/outreach/follow_ups", "/metrics",
            "/metrics/0", "/metrics/1/formula", "/metrics/1/success_threshold", "/success_criteria", "/failure_criteria", "/sources",
        ]),
        value in values(),
    ) {
        let mut spec = whole();
        let root = spec.pointer_mut("/experiment").unwrap();
        if let Some(found) = root.pointer_mut(place) {
            *found = value;
        } else {
            root.as_object_mut().unwrap().insert(place[1..].to_owned(), value);
        }
        let reading = read(&spec.to_string());
        for finding in &reading.findings {
            prop_assert!(!finding.to_string().contains('\u{1b}'), "{finding:?}");
        }
        let fixed = fix(&spec.to_string(), &Known::default(), today());
        if let Some(spec) = fixed.spec {
            let again = read(&document::yaml(&spec).unwrap());
            prop_assert_eq!(again.spec, Some(spec));
        }
    }

    #[test]
    fn no_text_is_too_odd(text in "(?s).{0,300}") {
        let _ = read::read(&text);
        let _ = read::read(&format!("experiment:\n  hypothesis: {text}\n  execution: {text}"));
    }
}
