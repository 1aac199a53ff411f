//! Specifications: checked, handed in, shown.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use clap::Parser;
use pretty_assertions::assert_eq;
use serde_json::json;

use super::super::*;
use crate::bus::{Expect, Key, Op, Range, Ttl};
use crate::cli::output::{FAILED, OK};
use crate::cli::testing::{Kept, Place, Stage};
use crate::contracts::ChannelName;
use crate::experiments::check::Known;
use crate::experiments::{document, fix, read};

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

fn args(words: &[&str]) -> Args {
    Line::parse_from(["experiments"].iter().chain(words)).args
}

fn data(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/experiments").join(name);
    std::fs::read_to_string(path).unwrap()
}

/// One of them, put right.
fn good() -> String {
    let text = data("exp_20240115_github_stargazers.yaml");
    let day = chrono::NaiveDate::from_ymd_opt(2026, 3, 1).unwrap();
    document::yaml(&fix::fix(&text, &Known::default(), day).spec.unwrap()).unwrap()
}

#[test]
fn findings_are_listed_and_what_can_be_put_right_is_written_back() {
    let place = Place::new(false);
    let path = place.home.path().join("a.yaml");
    std::fs::write(&path, data("exp_20260201_cto_competitor_stars.yaml")).unwrap();
    let file = path.to_str().unwrap();
    assert_eq!(run(&args(&["validate", file]), &place.cx).unwrap(), FAILED);
    let said = place.results.text();
    assert!(said.contains(&format!("{file}:90:7 error: success_criteria[0]: `Reply rate >= 8%")), "{said}");
    assert!(said.contains("write `reply_rate >= 8%`") && said.contains("cannot be published"), "{said}");

    assert_eq!(run(&args(&["validate", file, "--fix", "--write"]), &place.cx).unwrap(), OK);
    let written = std::fs::read_to_string(&path).unwrap();
    assert!(read::read(&written).spec.is_some(), "{written}");
    let before = std::fs::read_to_string(place.home.path().join("a.yaml.orig")).unwrap();
    assert!(before.contains("# Every Monday at 9 AM"), "comments are kept: {before}");
    assert_eq!(run(&args(&["validate", file, "--fix", "--write"]), &place.cx).unwrap(), OK);
    assert!(!place.home.path().join("a.yaml.orig2").exists(), "nothing was left to be put right");
    let place = Place::new(true);
    assert_eq!(run(&args(&["validate", file]), &place.cx).unwrap(), OK);
    let told: serde_json::Value = serde_json::from_str(&place.results.text()).unwrap();
    assert_eq!((told[0]["valid"].clone(), told[0]["written"].clone()), (json!(true), json!(false)));
}

/// A specification whose text asks for what its list does not have.
const MISTYPED: &str = "experiment:\n  id: exp_20260301_a\n  hypothesis: People on our list answer a short mail\n  target: our list\n  \
                execution: {tool: csv_leads, params: {path: leads.csv}}\n  outreach:\n    channel: email\n    subject: Hi\n    \
                template: 'Hi {{frist_name}} of {{company}}'\n  metrics: [emails_sent, {name: reply_rate, formula: replies / emails_sent}]\n  \
                success_criteria: reply_rate > 5%\n  failure_criteria: reply_rate < 1%\n";

#[test]
fn the_columns_of_a_list_beside_the_file_are_known() {
    let place = Place::new(false);
    std::fs::write(place.home.path().join("leads.csv"), "email,first_name\na@example.com,Ada\n").unwrap();
    let path = place.home.path().join("a.yaml");
    std::fs::write(&path, MISTYPED).unwrap();
    assert_eq!(run(&args(&["validate", path.to_str().unwrap()]), &place.cx).unwrap(), FAILED);
    let said = place.results.text();
    assert!(said.contains("`{{frist_name}}` - did you mean `{{first_name}}`?"), "{said}");
    assert!(said.contains("`{{company}}` - they have email, first_name"), "{said}");
}

/// Puts a tool into a home, under a name that means one of ours elsewhere.
fn own_tool(home: &Path) {
    let tool = home.join("tools/webhook");
    std::fs::create_dir_all(&tool).unwrap();
    std::fs::write(tool.join("main"), "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(tool.join("main"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let manifest = "name = \"webhook\"\nversion = \"1\"\ndescription = \"d\"\neffect = \"none\"\nrun = [\"./main\"]\n[inputs]\ntype = \"object\"\n\
                    required = [\"room\"]\n[inputs.properties.room]\ntype = \"string\"\n";
    std::fs::write(tool.join("tool.toml"), manifest).unwrap();
}

async fn publish(stage: &Stage, text: &str) -> (color_eyre::Result<ExitCode>, Kept, Kept) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.yaml");
    std::fs::write(&path, text).unwrap();
    std::fs::write(folder.path().join("leads.csv"), "email,first_name\na@example.com,Ada\n").unwrap();
    let What::Publish(args) = args(&["publish", path.to_str().unwrap()]).what else { panic!() };
    own_tool(folder.path());
    let (mut cx, results, remarks) = stage.context(false);
    folder.path().clone_into(&mut cx.config.home);
    (publish::run(&args, &cx, &stage.bus).await, results, remarks)
}

#[tokio::test]
async fn a_good_one_is_handed_in_and_a_bad_one_refused_with_all_its_errors() {
    let stage = Stage::new();
    let (ended, _, remarks) = publish(&stage, &data("exp_20260201_cto_competitor_stars.yaml")).await;
    assert!(ended.unwrap_err().to_string().contains("errors and was not handed in"));
    assert!(remarks.text().contains("success_criteria[3]"), "{}", remarks.text());
    let (ended, _, remarks) = publish(&stage, MISTYPED).await;
    assert!(ended.is_err(), "the list is opened here, too");
    assert!(remarks.text().contains("did you mean `{{first_name}}`?"), "{}", remarks.text());
    // A tool of the home is what it says.
    let mut spec = read::read(&good()).spec.unwrap();
    let mut step = spec.execution.steps[0].clone();
    (step.id, step.tool, step.params) = ("tell".to_owned(), "webhook".to_owned(), serde_json::Map::new());
    spec.execution.steps.insert(0, step);
    let (ended, _, remarks) = publish(&stage, &document::yaml(&spec).unwrap()).await;
    assert!(ended.is_err() && remarks.text().contains("`webhook` needs `room`"), "{}", remarks.text());
    let (ended, results, _) = publish(&stage, &good()).await;
    assert_eq!(ended.unwrap(), OK);
    assert!(results.text().starts_with("exp_20240115_github_stargazers is handed in"), "{}", results.text());
    let said = stage.bus.range(ChannelName::ToFullsend, Range::newest(10)).await.unwrap();
    assert_eq!(said.len(), 1);
    assert!(said[0].b.contains("experiment_submit"), "{}", said[0].b);
}

#[tokio::test]
async fn an_experiment_is_shown_and_its_specification_begins_the_next() {
    let stage = Stage::new();
    let spec = read::read(&good()).spec.unwrap();
    let mut fields = document::fields(&spec, crate::cli::testing::noon()).unwrap();
    fields.push(("state".to_owned(), Some("draft".to_owned())));
    let key = Key::new(format!("experiments:{}", spec.id));
    stage.commit(vec![Op::Change { key, expect: Expect::Absent, fields, ttl: Ttl::Keep }]).await;
    let (cx, results, _) = stage.context(false);
    let What::Show(show) = args(&["show", &spec.id]).what else { panic!() };
    assert_eq!(show::run(&show, &cx, &stage.bus).await.unwrap(), OK);
    let said = results.text();
    assert!(said.contains("state         draft") && said.contains("2. outreach email_send recipients={{"), "{said}");

    let (cx, results, _) = stage.context(false);
    let What::Clone(again) = args(&["clone", &spec.id]).what else { panic!() };
    clone::run(&again, &cx, &stage.bus).await.unwrap();
    let cloned = read::read(&results.text()).spec.unwrap();
    assert_eq!(cloned.id, "exp_20260301_github_stargazers_again");
    assert_eq!(cloned.outreach, spec.outreach);
    let (cx, ..) = stage.context(false);
    let What::Show(show) = args(&["show", "exp_none"]).what else { panic!() };
    assert!(
        show::run(&show, &cx, &stage.bus).await.unwrap_err().to_string().contains("there is no experiment `exp_none`")
    );
}
