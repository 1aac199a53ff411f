mod goes_live;
mod learned;

use std::sync::Arc;
use std::time::Duration;

use pretty_assertions::assert_eq;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::approvals::policy::Limits;
use crate::bus::leased::hold;
use crate::bus::testing::World;
use crate::bus::timers::Timers;
use crate::bus::{Consumer, ConsumerOptions, Expect, Outgoing, Ttl};
use crate::config::Mode as Policy;
use crate::contracts::Trust;
use crate::experiments::check::Known;
use crate::experiments::fix::fix;
use crate::services::gate::{Gate, GateOptions};

/// A team with this service and a gate, in memory.
struct Team {
    world: World,
    stop: CancellationToken,
    folder: tempfile::TempDir,
}

impl Drop for Team {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Team {
    async fn new(policy: Policy) -> Self {
        let team = Self { world: World::new(), stop: CancellationToken::new(), folder: tempfile::tempdir().unwrap() };
        let outreach = OutreachConfig {
            sender: Some("mara@acme.example".to_owned()),
            postal_address: Some("1 Main Street, Springfield".to_owned()),
            ..OutreachConfig::default()
        };
        let folders = vec![team.folder.path().to_owned()];
        let fullsend = Fullsend::new(Mind::default(), Arc::default(), outreach, folders, Duration::from_mins(1));
        let limits = Limits { per_day: 100, cents: 10_000 };
        let (deadline, outward_deadline) = (Duration::from_hours(1), Duration::from_hours(1));
        let gate = Gate::new(GateOptions { mode: policy, limits, deadline, outward_deadline });
        team.run(fullsend);
        team.run(gate);
        let text = "# Product context\n\nWhat is being sold: Tessera scans APIs for leaks before they ship.\n";
        team.document("notes:product_context", &[("text", text)]).await;
        team
    }

    fn run<H: Handler>(&self, handler: H) {
        let (clock, ids) = (self.world.clock.clone(), self.world.ids.clone());
        let consumer = Consumer::new(self.world.bus(), handler, ConsumerOptions::default(), clock, ids);
        let stop = self.stop.clone();
        tokio::spawn(async move { consumer.run(stop).await });
    }

    async fn document(&self, key: &str, fields: &[(&str, &str)]) {
        let fields = fields.iter().map(|(name, text)| ((*name).to_owned(), Some((*text).to_owned()))).collect();
        self.world.commit(vec![Op::Change { key: Key::new(key), expect: Expect::Any, fields, ttl: Ttl::Keep }]).await;
    }

    /// Says a body, and waits until all that reads it has handled it.
    async fn say(&self, channel: ChannelName, source: &'static str, body: Value) {
        let kind = channel.check(&body.to_string()).unwrap();
        let envelope = self.world.origin(Trust::Operator).envelope(kind, source);
        self.world.say(Outgoing::new(channel, envelope, body.to_string()).unwrap()).await;
        self.settled().await;
    }

    /// Everything that these two read is handled, also what came of it.
    async fn settled(&self) {
        // In this order: what one says, a later one reads.
        let read = [
            ChannelName::ToFullsend,
            ChannelName::ExperimentResults,
            ChannelName::BuilderResults,
            ChannelName::ApprovalVerdicts,
            ChannelName::Proposals,
            ChannelName::Approvals,
        ];
        self.world
            .until(async |world| {
                for channel in read {
                    let groups = world.bus().inspect(channel).await.unwrap().groups;
                    let ours = [ServiceName::Fullsend, ServiceName::Gate];
                    for service in channel.route().groups.iter().filter(|service| ours.contains(service)) {
                        let done = groups.iter().find(|group| group.group == service.as_str());
                        if done.is_none_or(|group| group.pending > 0 || group.lag != Some(0)) {
                            return false;
                        }
                    }
                }
                true
            })
            .await;
        assert_eq!(self.world.entries(ChannelName::DeadLetter).await, []);
    }

    async fn said(&self, channel: ChannelName) -> Vec<Value> {
        self.world.entries(channel).await.iter().map(|entry| serde_json::from_str(&entry.b).unwrap()).collect()
    }

    /// The types of what was said.
    async fn types(&self, channel: ChannelName) -> Vec<String> {
        self.said(channel).await.iter().map(|body| body["type"].as_str().unwrap_or_default().to_owned()).collect()
    }

    async fn get(&self, key: &str) -> Option<State> {
        self.world.bus().get(&Key::new(key)).await.unwrap()
    }

    async fn experiment(&self, id: &str) -> Document {
        match self.get(&format!("experiments:{id}")).await {
            Some(State::Hash(document)) => document,
            other => panic!("{id}: {other:?}"),
        }
    }

    /// The only proposal.
    async fn proposal(&self) -> Value {
        let mut said = self.said(ChannelName::Proposals).await;
        assert_eq!(said.len(), 1, "{said:#?}");
        said.remove(0)
    }

    async fn worklist(&self) -> String {
        match self.get("notes:worklist").await {
            Some(State::Hash(note)) => note.get("text").unwrap_or_default().to_owned(),
            _ => String::new(),
        }
    }

    async fn verdict(&self, proposal: &Value, verdict: &str, reason: &str) {
        let body = json!({ "type": "approval_verdict", "approval_id": proposal["approval_id"], "verdict": verdict,
            "digest": proposal["digest"], "reason": reason, "by": "mara", "surface": "control_room" });
        self.say(ChannelName::ApprovalVerdicts, "control_room", body).await;
    }
}

fn request(idea: &str) -> Value {
    json!({ "type": "experiment_request", "idea": { "title": "Leaking APIs", "description": idea }, "request_id": "req_1",
        "priority": "high" })
}

const ID: &str = "exp_20270115_leaking_apis";

#[tokio::test(start_paused = true)]
async fn an_idea_becomes_a_draft_and_a_request_that_shows_what_would_go_out() {
    let team = Team::new(Policy::Guarded).await;
    let list = "email,first_name,company\nada@example.com,Ada,Engines\nbo@example.com,,Looms\nchi@example.com,Chi,\ndo@example.com,Do,D\n";
    std::fs::write(team.folder.path().join("leads.csv"), list).unwrap();
    team.say(
        ChannelName::ToFullsend,
        "orchestrator",
        request("cold email to leads.csv about leaking APIs, really send it"),
    )
    .await;

    let document = team.experiment(ID).await;
    assert_eq!((document.get("state"), document.get("mode")), (Some("draft"), Some("live")));
    let spec = document::read_spec(&document).unwrap();
    assert!(spec.execution.steps[0].params["path"].as_str().unwrap().ends_with("/leads.csv"));
    assert!(matches!(team.get(&format!("metrics_specs:{ID}")).await, Some(State::Hash(_))));
    assert_eq!(
        team.types(ChannelName::ToOrchestrator).await,
        ["fullsend_started", "design_started", "fullsend_completed"]
    );

    let proposal = team.proposal().await;
    assert_eq!((proposal["class"].clone(), proposal["title"].clone()), (json!(3), json!("Go live: Leaking APIs")));
    let details = &proposal["details"];
    assert!(details["recipients"].as_str().unwrap().starts_with("at most 4 of 4 in "), "{}", details["recipients"]);
    let mails = details["mails"].as_array().unwrap();
    assert_eq!(mails.len(), 3);
    assert_eq!(mails[0]["to"], "ada@example.com");
    assert!(mails[0]["text"].as_str().unwrap().starts_with("Hi Ada,"), "{}", mails[0]);
    assert!(mails[1]["text"].as_str().unwrap().starts_with("Hi there,"), "{}", mails[1]);
    assert!(details["sender"].as_str().unwrap().contains("mara@acme.example>; 1 Main Street"), "{}", details["sender"]);
    assert!(details["limits"].as_str().unwrap().contains("a day"), "{}", details["limits"]);
    assert!(
        team.worklist().await.contains(&format!("**Leaking APIs** - {ID} waits for a yes, req_1")),
        "{}",
        team.worklist().await
    );
    assert_eq!(team.said(ChannelName::ExecuteNow).await, Vec::<Value>::new(), "nothing happens before a yes");

    team.verdict(&proposal, "approve", "looks right").await;
    assert_eq!(team.experiment(ID).await.get("state"), Some("ready"));
    assert_eq!(team.types(ChannelName::Experiments).await, ["experiment_created"]);
    assert_eq!(team.said(ChannelName::ExecuteNow).await[0]["experiment_id"], ID);
    assert_eq!(team.types(ChannelName::ToOrchestrator).await.last().unwrap(), "experiment_ready");
    assert!(
        team.worklist().await.contains(&format!("**{ID}** - approved (live), runs now")),
        "{}",
        team.worklist().await
    );
}

#[tokio::test(start_paused = true)]
async fn a_simulation_goes_by_itself_on_autopilot_and_is_called_one() {
    let team = Team::new(Policy::Autopilot).await;
    team.say(
        ChannelName::ToFullsend,
        "orchestrator",
        request("simulate a cold email about leaking APIs every Monday at 10"),
    )
    .await;
    let document = team.experiment(ID).await;
    assert_eq!((document.get("state"), document.get("mode")), (Some("ready"), Some("simulation")));
    let schedule = &team.said(ChannelName::Schedules).await[0];
    assert_eq!((schedule["schedule"].clone(), schedule["experiment_id"].clone()), (json!("0 10 * * MON"), json!(ID)));
    assert_eq!(team.said(ChannelName::ExecuteNow).await, Vec::<Value>::new(), "its schedule starts it");
    let proposal = team.proposal().await;
    assert!(proposal["details"]["mode"].as_str().unwrap().starts_with("simulation"), "{proposal}");
    assert!(proposal["details"]["mails"][0]["example"].is_string(), "{proposal}");
}

#[tokio::test(start_paused = true)]
async fn a_no_is_told_with_its_reason_and_the_draft_stays() {
    let team = Team::new(Policy::Guarded).await;
    team.say(ChannelName::ToFullsend, "orchestrator", request("simulate a cold email about leaking APIs")).await;
    let proposal = team.proposal().await;
    team.verdict(&proposal, "deny", "not this month").await;
    assert_eq!(team.experiment(ID).await.get("state"), Some("draft"));
    let told = team.said(ChannelName::ToOrchestrator).await.pop().unwrap();
    assert_eq!((told["type"].clone(), told["experiment_id"].clone()), (json!("design_failed"), json!(ID)));
    assert!(told["error"].as_str().unwrap().contains("mara said no: not this month"), "{told}");
    assert!(
        team.worklist().await.contains(&format!("**{ID}** - mara said no: not this month")),
        "{}",
        team.worklist().await
    );
}

#[tokio::test(start_paused = true)]
async fn a_draft_that_changed_is_asked_about_again() {
    let team = Team::new(Policy::Guarded).await;
    team.say(ChannelName::ToFullsend, "orchestrator", request("simulate a cold email about leaking APIs")).await;
    let proposal = team.proposal().await;
    team.document(&format!("experiments:{ID}"), &[("spec_json", "{}")]).await;
    team.verdict(&proposal, "approve", "").await;
    assert_eq!(team.experiment(ID).await.get("state"), Some("draft"), "what was approved is not what is there");
}

/// A specification of a person, with this tool.
fn written(id: &str, tool: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/experiments/exp_20240115_github_stargazers.yaml");
    let text = std::fs::read_to_string(path).unwrap();
    let day = chrono::NaiveDate::from_ymd_opt(2026, 3, 1).unwrap();
    let mut spec = fix(&text, &Known::default(), day).spec.unwrap();
    spec.id = id.to_owned();
    spec.execution.steps[0].tool = tool.to_owned();
    document::yaml(&spec).unwrap()
}

fn submit(spec: &str) -> Value {
    json!({ "type": "experiment_submit", "spec": spec, "by": "mara" })
}

#[tokio::test(start_paused = true)]
async fn all_that_wait_for_a_tool_go_on_when_it_is_there() {
    let team = Team::new(Policy::Guarded).await;
    let ids = ["exp_20260301_one", "exp_20260301_two"];
    for id in ids {
        team.say(ChannelName::ToFullsend, "control_room", submit(&written(id, "forum_member_finder"))).await;
        assert_eq!(team.experiment(id).await.get("waiting_for"), Some(r#"["forum_member_finder"]"#));
    }
    assert_eq!(team.said(ChannelName::Proposals).await, Vec::<Value>::new(), "nothing can go live yet");
    let tasks = team.said(ChannelName::BuilderTasks).await;
    assert_eq!((tasks.len(), tasks[0]["prd"]["name"].clone()), (2, json!("forum_member_finder")));
    assert!(
        tasks[0]["prd"]["inputs"]
            .as_array()
            .unwrap()
            .iter()
            .any(|input| input["name"] == "repo" || input["name"] == "limit")
    );
    assert!(
        matches!(team.get("pending_experiments:forum_member_finder").await, Some(State::Set(ids)) if ids.len() == 2)
    );
    let worklist = team.worklist().await;
    assert!(
        worklist.contains("waits for the tool forum_member_finder until")
            && worklist.contains("Builder is not in this version"),
        "{worklist}"
    );

    team.say(
        ChannelName::BuilderResults,
        "builder",
        json!({ "type": "tool_built", "tool_name": "forum_member_finder" }),
    )
    .await;
    let proposed: Vec<_> =
        team.said(ChannelName::Proposals).await.iter().map(|it| it["details"]["experiment_id"].clone()).collect();
    assert_eq!(proposed, ids.map(|id| json!(id)));
    assert_eq!(team.get("pending_experiments:forum_member_finder").await, None);
    assert_eq!(team.experiment(ids[0]).await.get("waiting_for"), None);
    let proposal = team.said(ChannelName::Proposals).await.remove(0);
    team.verdict(&proposal, "approve", "").await;
    assert_eq!(
        team.experiment(ids[0]).await.get("state"),
        Some("ready"),
        "the proposal rests on the draft as it is now"
    );
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_aloud_and_a_build_that_failed_ends_it_too() {
    let team = Team::new(Policy::Guarded).await;
    team.say(ChannelName::ToFullsend, "control_room", submit(&written("exp_20260301_one", "forum_member_finder")))
        .await;
    let due = team.world.bus().next_timer().await.unwrap().unwrap();
    assert_eq!((due - team.world.clock.now()).num_days(), 2, "people and the team are told in three days");
    let failed = json!({ "type": "tool_build_failed", "tool_name": "forum_member_finder", "error": "no such forum" });
    team.say(ChannelName::BuilderResults, "builder", failed).await;
    assert_eq!(team.get("pending_experiments:forum_member_finder").await, None);
    assert_eq!(team.experiment("exp_20260301_one").await.get("waiting_for"), None);
    assert_eq!(team.types(ChannelName::ToOrchestrator).await.last().unwrap(), "tool_build_failed");
    let told = team.said(ChannelName::FromOrchestrator).await.pop().unwrap().to_string();
    assert!(told.contains("exp_20260301_one cannot run"), "{told}");
    assert_eq!(team.world.bus().next_timer().await.unwrap(), None);
}

/// The list that it reads is opened, and the team's own tools say what they take.
#[tokio::test(start_paused = true)]
async fn what_a_person_wrote_is_held_to_its_list_and_to_the_teams_tools() {
    let team = Team::new(Policy::Guarded).await;
    std::fs::write(team.folder.path().join("leads.csv"), "E-Mail,First Name\nada@example.com,Ada\n").unwrap();
    let inputs = r#"{"type":"object","required":["room"],"properties":{"room":{"type":"string"}}}"#;
    team.document("tools:webhook", &[("state", "active"), ("inputs", inputs)]).await;
    let spec = |name: &str, room: &str| {
        format!(
            "experiment:\n  id: exp_20260301_one\n  hypothesis: People on our list answer a short mail\n  target: our list\n  execution:\n    \
             steps:\n      - {{tool: webhook, params: {{{room}}}}}\n      - {{tool: csv_leads, params: {{path: leads.csv}}}}\n  outreach:\n    \
             channel: email\n    subject: Hi\n    template: 'Hi {{{{{name}}}}}'\n  metrics: [emails_sent, {{name: reply_rate, formula: replies / emails_sent}}]\n  \
             success_criteria: reply_rate > 5%\n  failure_criteria: reply_rate < 1%\n"
        )
    };
    team.say(ChannelName::ToFullsend, "control_room", submit(&spec("frist_name", ""))).await;
    assert_eq!(team.get("experiments:exp_20260301_one").await, None);
    let told = team.said(ChannelName::FromOrchestrator).await.pop().unwrap().to_string();
    assert!(told.contains("nothing is known of the people for `{{frist_name}}`"), "{told}");
    assert!(told.contains("`webhook` needs `room`"), "{told}");
    team.say(ChannelName::ToFullsend, "control_room", submit(&spec("first_name", "room: here"))).await;
    assert_eq!(team.experiment("exp_20260301_one").await.get("state"), Some("draft"));
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_a_tool_that_nobody_builds_lapses_aloud_after_three_days_whoever_joins_it() {
    let team = Team::new(Policy::Guarded).await;
    let (bus, clock, ids) = (team.world.bus(), team.world.clock.clone(), team.world.ids.clone());
    let stop = team.stop.clone();
    tokio::spawn(async move {
        let timers = Timers { bus: Arc::clone(&bus), clock: Arc::clone(&clock) };
        hold(&timers, &bus, &clock, &ids, stop).await
    });
    let waits = |id: &str| submit(&written(id, "forum_member_finder"));
    team.say(ChannelName::ToFullsend, "control_room", waits("exp_20260301_one")).await;
    // One that is ready finds the tool gone each day, as its schedule has it; another joins: none of them makes the wait longer.
    let lost = json!({ "type": "experiment_failed", "experiment_id": "exp_20260301_two", "run_id": "r", "code": "not_found",
        "tool_name": "forum_member_finder", "error": "there is no tool `forum_member_finder`" });
    for _ in 0..2 {
        passes(24).await;
        team.say(ChannelName::ExperimentResults, "executor", lost.clone()).await;
    }
    passes(23).await;
    assert_eq!(team.said(ChannelName::Alerts).await, Vec::<Value>::new());
    passes(2).await;
    let alerts = team.said(ChannelName::Alerts).await;
    assert_eq!(alerts.len(), 1, "{alerts:#?}");
    assert_eq!(alerts[0]["alert_id"], "tool:forum_member_finder");
    assert!(alerts[0]["message"].as_str().unwrap().contains("Builder is not in this version"), "{alerts:#?}");
    let told = team.types(ChannelName::ToOrchestrator).await;
    assert_eq!(told.iter().filter(|kind| *kind == "tool_build_failed").count(), 1, "{told:?}");
    assert_eq!(team.said(ChannelName::BuilderTasks).await.len(), 2, "each of them asked once");
    // Both still go on when it comes after all: the draft is proposed, the one that is ready runs.
    team.document("experiments:exp_20260301_two", &[("state", "ready"), ("spec_json", &ready_spec())]).await;
    let built = json!({ "type": "tool_built", "tool_name": "forum_member_finder" });
    team.say(ChannelName::BuilderResults, "builder", built).await;
    assert_eq!(team.proposal().await["details"]["experiment_id"], "exp_20260301_one");
    let runs = team.said(ChannelName::ExecuteNow).await;
    assert_eq!((runs.len(), &runs[0]["experiment_id"]), (1, &json!("exp_20260301_two")));
}

/// So many hours at once, and the moment after them in which timers are looked at.
async fn passes(hours: u64) {
    tokio::time::advance(Duration::from_hours(hours)).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
}

/// A specification that needs the tool, as a document holds it.
fn ready_spec() -> String {
    let spec = fix(&written("exp_20260301_two", "forum_member_finder"), &Known::default(), chrono::NaiveDate::MIN).spec;
    serde_json::to_string(&spec.unwrap()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_a_person_wrote_is_held_to_the_same_rules() {
    let team = Team::new(Policy::Guarded).await;
    let bad = written("exp_20260301_one", "csv_leads").replace("response_rate > 0.08", "people like it");
    team.say(ChannelName::ToFullsend, "control_room", submit(&bad)).await;
    assert_eq!(team.get("experiments:exp_20260301_one").await, None);
    let told = team.said(ChannelName::FromOrchestrator).await.pop().unwrap().to_string();
    assert!(told.contains("`people like it` is no criterion"), "{told}");
    assert_eq!(team.types(ChannelName::ToOrchestrator).await, ["fullsend_started", "design_failed", "fullsend_failed"]);

    let good = written("exp_20260301_one", "github_stargazers");
    team.say(ChannelName::ToFullsend, "control_room", submit(&good)).await;
    let proposal = team.proposal().await;
    team.verdict(&proposal, "approve", "").await;
    // What lives is not overwritten.
    team.say(ChannelName::ToFullsend, "control_room", submit(&good)).await;
    let told = team.said(ChannelName::FromOrchestrator).await.pop().unwrap().to_string();
    assert!(told.contains("there is an experiment `exp_20260301_one` already"), "{told}");
    let mut again = submit(&good);
    again["revises"] = json!("exp_20260301_one");
    team.say(ChannelName::ToFullsend, "control_room", again).await;
    let next = team.experiment("exp_20260301_one_v2").await;
    assert_eq!((next.get("state"), next.get("revises")), (Some("draft"), Some("exp_20260301_one")));
    let proposal = team.said(ChannelName::Proposals).await.pop().unwrap();
    assert!(proposal["intents"].to_string().contains(r#""event":"archive""#), "{proposal}");
    team.verdict(&proposal, "approve", "").await;
    assert_eq!(team.experiment("exp_20260301_one").await.get("state"), Some("archived"));
    assert_eq!(team.experiment("exp_20260301_one_v2").await.get("state"), Some("ready"));
}

#[tokio::test(start_paused = true)]
async fn results_are_reported_by_their_code_and_taught_once() {
    let team = Team::new(Policy::Guarded).await;
    let done = json!({ "type": "experiment_completed", "experiment_id": "exp_1", "run_id": "r1", "status": "success", "duration": 9.8,
        "result_summary": { "outreach": { "sent": 38, "failed": 2 } } });
    team.say(ChannelName::ExperimentResults, "executor", done).await;
    let learned = team.get("learnings:tactical:exp_1").await.unwrap();
    let text = learned.document().and_then(|it| it.get("text")).unwrap_or_default().to_owned();
    assert_eq!(text, "A run gave: 38 outreach sent, 2 outreach failed in 10 s");
    let failed = |code: &str, tool: Value| {
        json!({ "type": "experiment_failed", "experiment_id": "exp_1", "run_id": "r2", "code": code, "tool_name": tool,
            "error": "the api key of example.com said 401" })
    };
    // The words speak of keys, the code does not: codes count.
    team.say(ChannelName::ExperimentResults, "executor", failed("timeout", json!("web_page"))).await;
    team.say(ChannelName::ExperimentResults, "executor", failed("unauthorized", json!("email_send"))).await;
    team.say(ChannelName::ExperimentResults, "executor", failed("not_found", json!("forum_member_finder"))).await;
    team.say(ChannelName::ExperimentResults, "executor", failed("not_found", Value::Null)).await;
    team.say(ChannelName::ExperimentResults, "executor", failed("not_found", json!("../../bin/sh"))).await;
    assert_eq!(
        team.types(ChannelName::ToOrchestrator).await,
        [
            "experiment_success",
            "experiment_error",
            "api_key_required",
            "experiment_error",
            "experiment_error",
            "experiment_error"
        ]
    );
    assert_eq!(team.said(ChannelName::BuilderTasks).await.len(), 1);
    assert!(matches!(team.get("learnings:tactical:index").await, Some(State::Sorted(index)) if index.len() == 2));
}

#[tokio::test(start_paused = true)]
async fn an_idea_changes_a_draft_in_its_place() {
    let team = Team::new(Policy::Guarded).await;
    team.say(ChannelName::ToFullsend, "orchestrator", request("simulate a cold email about leaking APIs")).await;
    let mut wish = request("make it 80 people");
    wish["revises"] = json!(ID);
    team.say(ChannelName::ToFullsend, "orchestrator", wish).await;
    let spec = document::read_spec(&team.experiment(ID).await).unwrap();
    assert_eq!(spec.target.size, Some(80));
    let mut unknown = request("make it 80 people");
    unknown["revises"] = json!("exp_none");
    team.say(ChannelName::ToFullsend, "orchestrator", unknown).await;
    let told = team.said(ChannelName::FromOrchestrator).await.pop().unwrap().to_string();
    assert!(told.contains("there is no experiment `exp_none`"), "{told}");
}
