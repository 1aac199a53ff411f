//! The risk table and the policy, cell by cell.

use pretty_assertions::assert_eq;
use rstest::rstest;
use serde_json::json;

use super::policy::{counter, table};
use super::*;
use crate::bus::testing::World;
use crate::bus::{Document, Expect, Op, Ttl};
use crate::config::Mode;
use crate::contracts::lifecycle::LifecycleEvent;
use crate::contracts::messages::RiskClass;
use crate::contracts::notes::{NoteChange, NoteName};

fn say(channel: ChannelName, body: Value) -> Intent {
    let Value::Object(body) = body else { panic!("{body}") };
    Intent::Say { channel, body, priority: crate::contracts::Priority::Medium, subject: None }
}

fn set(key: &str, field: &str, text: &str) -> Intent {
    Intent::Set { key: key.to_owned(), fields: [(field.to_owned(), text.to_owned())].into() }
}

fn note(name: NoteName) -> Intent {
    Intent::Note { name, change: NoteChange::Focus { text: "x".to_owned() } }
}

fn step(event: LifecycleEvent, experiment_id: &str) -> Intent {
    Intent::Step { experiment_id: experiment_id.to_owned(), event }
}

fn document(fields: &[(&str, &str)]) -> Document {
    let fields = fields.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    Document { version: 1, fields }
}

/// `sim` only simulates; `live` and `paused` contact people; `draft` is not approved; `fetch` is a tool with network.
fn targets() -> Targets {
    Targets::of([
        ("experiments:sim".to_owned(), document(&[("state", "ready"), ("mode", "simulation")])),
        ("experiments:dry".to_owned(), document(&[("state", "draft"), ("mode", "dry_run")])),
        ("experiments:live".to_owned(), document(&[("state", "ready"), ("mode", "live")])),
        ("experiments:draft".to_owned(), document(&[("state", "draft")])),
        ("tools:fetch".to_owned(), document(&[("state", "active"), ("network", "true")])),
    ])
}

fn alert_of(experiment: &str) -> Vec<Fact> {
    let key = format!("alerts:{experiment}:bounce_rate>10%");
    vec![Fact { key, field: Some("state".to_owned()), was: Some("triggered".to_owned()) }]
}

#[rstest]
// Class 0.
#[case::an_answer(say(ChannelName::FromOrchestrator, json!({"type":"orchestrator_response","content":"hi"})), 0)]
// Class 1.
#[case::worklist(note(NoteName::Worklist), 1)]
#[case::learning(note(NoteName::Learnings), 1)]
#[case::round_table(say(ChannelName::Roundtable, json!({"prompt":"what now?"})), 1)]
#[case::pausing_a_simulation(step(LifecycleEvent::Pause, "sim"), 1)]
#[case::killing_a_simulation(step(LifecycleEvent::Archive, "sim"), 1)]
#[case::killing_a_dry_run(step(LifecycleEvent::Archive, "dry"), 1)]
#[case::bookkeeping(step(LifecycleEvent::Complete, "live"), 1)]
#[case::a_seen_alert(say(ChannelName::Control, json!({"type":"alert_acknowledge","alert_id":"a"})), 1)]
// Class 2.
#[case::dispatch_to_fullsend(say(ChannelName::ToFullsend, json!({"idea":{"description":"d"}})), 2)]
#[case::dispatch_to_builder(say(ChannelName::BuilderTasks, json!({"prd":{"name":"t","network":false}})), 2)]
#[case::pause(step(LifecycleEvent::Pause, "live"), 2)]
#[case::pause_of_something_unknown(step(LifecycleEvent::Pause, "nobody"), 2)]
#[case::kill(step(LifecycleEvent::Archive, "live"), 2)]
#[case::going_live_of_a_simulation(step(LifecycleEvent::Resume, "sim"), 2)]
#[case::going_live_of_a_dry_run(step(LifecycleEvent::Approve, "dry"), 2)]
#[case::running_a_simulation(say(ChannelName::ExecuteNow, json!({"experiment_id":"sim"})), 2)]
#[case::a_tool_without_network(set("tools:plain", "state", "active"), 2)]
#[case::a_draft_changes(set("experiments:draft", "hypothesis", "h"), 2)]
#[case::the_product(note(NoteName::ProductContext), 2)]
#[case::a_run_is_stopped(say(ChannelName::Control, json!({"type":"cancel_run","run_id":"r"})), 2)]
// Class 3.
#[case::going_live(step(LifecycleEvent::Approve, "draft"), 3)]
#[case::going_live_of_something_unknown(step(LifecycleEvent::Approve, "nobody"), 3)]
#[case::going_on(step(LifecycleEvent::Resume, "live"), 3)]
#[case::coming_back(step(LifecycleEvent::Restore, "live"), 3)]
#[case::running(say(ChannelName::ExecuteNow, json!({"experiment_id":"live"})), 3)]
#[case::a_tool_with_network(say(ChannelName::BuilderTasks, json!({"prd":{"name":"t","network":true}})), 3)]
#[case::a_tool_with_secrets(say(ChannelName::BuilderTasks, json!({"prd":{"name":"t","secrets":["MAIL_KEY"]}})), 3)]
#[case::a_tool_gets_network(set("tools:plain", "network", "api.github.com"), 3)]
#[case::a_tool_that_has_network(set("tools:fetch", "state", "active"), 3)]
#[case::money(say(ChannelName::Control, json!({"type":"budget_set","scope":"day","limit":50})), 3)]
#[case::a_budget(set("budgets:day", "limit_nano", "1"), 3)]
#[case::everything_goes_out(say(ChannelName::Control, json!({"type":"go"})), 3)]
#[case::what_is_approved_changes(set("experiments:live", "params", "{}"), 3)]
#[case::a_simulation_becomes_real(set("experiments:sim", "mode", "live"), 3)]
#[case::an_order_nobody_knows(say(ChannelName::Control, json!({"type":"launch"})), 3)]
fn an_action_has_the_class_of_the_table(#[case] intent: Intent, #[case] class: u8) {
    let intents = [intent];
    assert_eq!(u8::from(classify(&intents, &[], Trust::Operator, &targets())), class, "{intents:?}");
    let worse = [note(NoteName::Worklist), intents[0].clone()];
    assert_eq!(u8::from(classify(&worse, &[], Trust::Operator, &targets())), class.max(1), "the worst counts");
}

#[rstest]
#[case::by_words_alone("live", vec![], Trust::External, 3)]
#[case::by_an_alert("live", alert_of("live"), Trust::External, 2)]
#[case::by_the_alert_of_another("live", alert_of("liver"), Trust::External, 3)]
#[case::by_an_alert_that_is_not_there("live", vec![Fact { was: None, ..alert_of("live").remove(0) }], Trust::External, 3)]
#[case::by_a_member("live", vec![], Trust::Member, 2)]
#[case::of_a_simulation("sim", vec![], Trust::External, 1)]
fn a_kill_needs_more_than_words_from_outside(
    #[case] id: &str,
    #[case] facts: Vec<Fact>,
    #[case] trust: Trust,
    #[case] class: u8,
) {
    for intent in [
        step(LifecycleEvent::Archive, id),
        say(ChannelName::Control, json!({"type": "kill_experiment", "experiment_id": id})),
    ] {
        assert_eq!(u8::from(classify(&[intent], &facts, trust, &targets())), class);
    }
}

/// CONTRACTS "Risk": rows are classes, columns manual, guarded, autopilot; the second table is for causes from outside.
#[test]
fn the_policy_is_the_table() {
    let expected = [
        (Trust::Member, ["auto auto auto", "asks auto auto", "asks asks auto", "asks asks asks"]),
        (Trust::External, ["auto auto auto", "asks asks asks", "asks asks auto", "asks asks asks"]),
    ];
    for (trust, rows) in expected {
        for (class, row) in (0..).zip(rows) {
            let class = RiskClass::try_from(class).unwrap();
            for (mode, cell) in [Mode::Manual, Mode::Guarded, Mode::Autopilot].into_iter().zip(row.split(' ')) {
                let found = if table(mode, class, trust).is_none() { "auto" } else { "asks" };
                assert_eq!(found, cell, "{mode} {class:?} {trust:?}");
            }
        }
    }
}

fn wanted(intents: Vec<Intent>) -> Wanted {
    Wanted {
        proposer: ServiceName::Orchestrator,
        title: "t".to_owned(),
        reason: "r".to_owned(),
        intents,
        facts: Vec::new(),
        details: Map::new(),
        cost_usd: None,
        trust: Trust::Member,
    }
}

const LIMITS: policy::Limits = policy::Limits { per_day: 2, cents: 100 };

async fn goes(world: &World, mode: Mode, proposal: &Proposal, trust: Trust) -> Result<String, String> {
    let answer = policy::answer(&world.bus(), mode, LIMITS, proposal, trust, world.clock.now()).await.unwrap();
    match answer {
        Answer::Goes { policy, .. } => Ok(policy),
        Answer::Asks(why) => Err(why),
    }
}

#[tokio::test(start_paused = true)]
async fn autopilot_goes_within_its_limits() {
    let world = World::new();
    let intent = say(ChannelName::ToFullsend, json!({"idea":{"description":"d"}}));
    let proposal = compose(wanted(vec![intent]), &Targets::default());
    assert_eq!(goes(&world, Mode::Autopilot, &proposal, Trust::Member).await, Ok("autopilot: class 2".to_owned()));
    for cost in [1.01, f64::NAN, f64::INFINITY, -1.0] {
        let dear = Proposal { cost_usd: Some(cost), ..proposal.clone() };
        let why = "it costs more than goes without asking".to_owned();
        assert_eq!(goes(&world, Mode::Autopilot, &dear, Trust::Member).await, Err(why), "{cost}");
    }
    let key = Key::new("policy:autopilot");
    world.commit(vec![Op::Add { key, field: counter(world.clock.now()), n: 2, ceiling: None }]).await;
    assert!(goes(&world, Mode::Autopilot, &proposal, Trust::Member).await.unwrap_err().contains("day's limit"));
    tokio::time::advance(std::time::Duration::from_hours(24)).await;
    assert!(goes(&world, Mode::Autopilot, &proposal, Trust::Member).await.is_ok(), "tomorrow is another day");
}

#[tokio::test(start_paused = true)]
async fn a_rule_covers_its_kind_its_class_and_its_trust_until_it_ends() {
    let world = World::new();
    let intent = say(ChannelName::ToFullsend, json!({"idea":{"description":"d"}}));
    let proposal = compose(wanted(vec![intent]), &Targets::default());
    let kind = kind_of("orchestrator", &proposal.intents);
    assert_eq!(kind, "orchestrator: say to_fullsend/experiment_request");
    let now = world.clock.now();
    let until = now + chrono::TimeDelta::days(1);
    let rule = Rule::allowing(kind.clone(), RiskClass::Reversible, Trust::Member, Some(1), Some(until), "mara", now);
    world.commit(vec![rule.set()]).await;
    assert_eq!(policy::rules(&world.bus()).await.unwrap(), std::slice::from_ref(&rule), "it reads back as it was");
    assert_eq!(goes(&world, Mode::Guarded, &proposal, Trust::Member).await, Ok(format!("rule {} of mara", rule.id)));
    assert!(goes(&world, Mode::Manual, &proposal, Trust::Member).await.is_err(), "manual asks");
    assert!(goes(&world, Mode::Guarded, &proposal, Trust::External).await.is_err(), "less trust");
    let other = Proposal { proposer: "fullsend".to_owned(), ..proposal.clone() };
    assert!(goes(&world, Mode::Guarded, &other, Trust::Member).await.is_err(), "another proposer");
    let worse = Proposal { class: RiskClass::Outward, ..proposal.clone() };
    assert!(goes(&world, Mode::Autopilot, &worse, Trust::Member).await.is_err(), "a higher class");
    world.commit(vec![Op::Add { key: rule.key(), field: counter(now), n: 1, ceiling: Some(1) }]).await;
    assert!(goes(&world, Mode::Guarded, &proposal, Trust::Member).await.is_err(), "once a day");
    tokio::time::advance(std::time::Duration::from_hours(25)).await;
    assert!(goes(&world, Mode::Guarded, &proposal, Trust::Member).await.is_err(), "it has ended");
}

#[tokio::test(start_paused = true)]
async fn class_three_goes_only_by_a_dated_rule_for_it_and_on_autopilot() {
    let world = World::new();
    let now = world.clock.now();
    let proposal = compose(wanted(vec![step(LifecycleEvent::Approve, "draft")]), &targets());
    assert_eq!(proposal.class, RiskClass::Outward);
    let kind = kind_of("orchestrator", &proposal.intents);
    let rule = |class, until| Rule::allowing(kind.clone(), class, Trust::Member, None, until, "mara", now);
    let tomorrow = Some(now + chrono::TimeDelta::days(1));
    for (rule, mode, covered) in [
        (rule(RiskClass::Outward, None), Mode::Autopilot, false),
        (rule(RiskClass::Reversible, tomorrow), Mode::Autopilot, false),
        (rule(RiskClass::Outward, tomorrow), Mode::Guarded, false),
        (rule(RiskClass::Outward, tomorrow), Mode::Autopilot, true),
    ] {
        world.commit(vec![rule.set()]).await;
        assert_eq!(goes(&world, mode, &proposal, Trust::Member).await.is_ok(), covered, "{rule:?} {mode}");
    }
}

#[test]
fn the_same_intents_have_the_same_id_and_a_changed_fact_another_digest() {
    let fact = |was: &str| Fact { key: "experiments:live".into(), field: Some("state".into()), was: Some(was.into()) };
    let make = |reason: &str, facts| {
        let intents = vec![step(LifecycleEvent::Pause, "live")];
        compose(Wanted { reason: reason.to_owned(), facts, ..wanted(intents) }, &targets())
    };
    let (one, other) = (make("a", vec![fact("ready")]), make("b", vec![fact("ready")]));
    assert_eq!((&one.approval_id, &one.digest), (&other.approval_id, &other.digest));
    let changed = make("a", vec![fact("running")]);
    assert_eq!(changed.approval_id, one.approval_id);
    assert_ne!(changed.digest, one.digest);
    let elsewhere = compose(wanted(vec![step(LifecycleEvent::Pause, "sim")]), &targets());
    assert_ne!(elsewhere.approval_id, one.approval_id);
    assert_ne!(id_of("fullsend", &one.intents, None), one.approval_id);
    assert_ne!(id_of("orchestrator", &one.intents, Some("apr_1")), one.approval_id);
    assert!(one.approval_id.starts_with("apr_") && one.approval_id.len() == 20);
    assert_eq!(make("a", Vec::new()).facts, [fact("ready")], "the state of what takes a step is a fact");
}

#[rstest]
#[case::nothing("orchestrator", vec![], "without intents")]
#[case::not_granted("executor", vec![say(ChannelName::ToFullsend, json!({"idea":{"description":"d"}}))], "does not let `executor`")]
#[case::a_verdict("control_room", vec![say(ChannelName::ApprovalVerdicts, json!({"approval_id":"a","verdict":"approve"}))], "does not let")]
#[case::another_proposal("orchestrator", vec![say(ChannelName::Proposals, json!({}))], "does not let")]
#[case::misfit("orchestrator", vec![say(ChannelName::ToFullsend, json!({"ideas":1}))], "does not fit")]
#[case::envelope("orchestrator", vec![say(ChannelName::ToFullsend, json!({"idea":"d","meta":{}}))], "`meta`")]
#[case::policy("orchestrator", vec![set("policy:r", "kind", "x")], "none of the documents")]
#[case::approval("orchestrator", vec![set("approvals:a", "state", "approved")], "none of the documents")]
#[case::audit("orchestrator", vec![set("audit:head", "number", "0")], "none of the documents")]
#[case::run("orchestrator", vec![set("experiment_runs:a:1", "state", "x")], "none of the documents")]
#[case::state("orchestrator", vec![set("experiments:a", "state", "ready")], "step of the lifecycle")]
#[case::version("orchestrator", vec![set("tools:a", "version", "9")], "by itself")]
#[case::escape("orchestrator", vec![set("tools:a\n", "x", "y")], "control character")]
#[case::other_id("orchestrator", vec![step(LifecycleEvent::Archive, "a:b")], "has no `:`")]
fn what_can_never_be_done_is_refused(#[case] proposer: &str, #[case] intents: Vec<Intent>, #[case] part: &str) {
    let refused = check(proposer, &intents).unwrap_err().to_string();
    assert!(refused.contains(part), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn a_fact_that_changed_is_a_difference() {
    let world = World::new();
    let bus = world.bus();
    let change = |fields: &[(&str, &str)]| {
        let fields = fields.iter().map(|(name, text)| ((*name).to_owned(), Some((*text).to_owned()))).collect();
        vec![Op::Change { key: Key::new("experiments:e"), expect: Expect::Any, fields, ttl: Ttl::Keep }]
    };
    let absent = fact(&bus, "experiments:e", None).await.unwrap();
    world.commit(change(&[("state", "ready"), ("n", "1")])).await;
    let facts = [
        absent,
        fact(&bus, "experiments:e", Some("state")).await.unwrap(),
        fact(&bus, "experiments:e", Some("nothing")).await.unwrap(),
        fact(&bus, "experiments:e", None).await.unwrap(),
    ];
    assert_eq!(differences(&bus, &facts[1..]).await.unwrap(), []);
    world.commit(change(&[("n", "2")])).await;
    let changed = differences(&bus, &facts).await.unwrap();
    let shown: Vec<_> = changed.iter().map(|it| (it.field.as_deref(), it.was.is_some())).collect();
    assert_eq!(shown, [(None, false), (None, true)], "the whole document is another; the fields that count are not");
    assert_eq!(differences(&bus, &facts::updated(&facts[1..], &changed[1..])).await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn a_record_reads_back_as_it_was_written() {
    let world = World::new();
    let proposal = compose(wanted(vec![step(LifecycleEvent::Pause, "live")]), &targets());
    let id = proposal.approval_id.clone();
    let envelope = world.origin(Trust::External).envelope("proposal", "orchestrator");
    let mut record = Record::new(proposal, envelope, world.clock.now());
    record.asked_because = Some("class 2 asks".to_owned());
    record.expires_at = Some(world.clock.now() + chrono::TimeDelta::hours(1));
    world.commit(record.ops()).await;
    let read = Record::load(&world.bus(), &id).await.unwrap().unwrap();
    assert_eq!(read, Record { expect: Expect::Version(1), ..record });
    assert_eq!(record::pending(&world.bus()).await.unwrap(), std::slice::from_ref(&id));
    let done = Record { state: ApprovalState::Denied, reason: Some("no".to_owned()), edited: true, ..read };
    world.commit(done.ops()).await;
    assert_eq!(Record::load(&world.bus(), &id).await.unwrap().unwrap(), Record { expect: Expect::Version(2), ..done });
    assert!(record::pending(&world.bus()).await.unwrap().is_empty());
    assert_eq!(Record::load(&world.bus(), "no such").await.unwrap(), None);
}
