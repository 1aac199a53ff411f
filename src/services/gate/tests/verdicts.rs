//! Answers: which count, and what comes of silence.

use pretty_assertions::assert_eq;
use rstest::rstest;

use super::*;
use crate::contracts::messages::{ApprovalOutcome, FromOrchestrator};

#[tokio::test(start_paused = true)]
async fn a_yes_commits_exactly_what_was_shown() {
    let story = Story::new(Mode::Guarded);
    let proposal = story.proposal(vec![dispatch("mail them")], Trust::External).await;
    let cause = story.propose(&proposal, Trust::External).await;
    story.verdict(&proposal.approval_id, Verdict::Approve).await;
    let said = story.world.entries(ChannelName::ToFullsend).await;
    let Intent::Say { body, .. } = &proposal.intents[0] else { panic!() };
    assert_eq!(serde_json::from_str::<Map<String, Value>>(&said[0].b).unwrap(), *body);
    let envelope = said[0].message().unwrap().envelope;
    assert_eq!(
        (envelope.source.as_ref(), envelope.trace, envelope.cause),
        ("orchestrator", cause.trace, Some(cause.id))
    );
    assert_eq!(envelope.trust, Trust::Operator, "a person confirmed it");
    let record = story.record(&proposal.approval_id).await;
    assert_eq!((record.state, record.by.as_deref()), (ApprovalState::Approved, Some("mara")));
    let audited = story.audited().await;
    assert_eq!((audited[0].event.as_str(), audited[0].by.as_str()), ("approved", "mara"));
    assert_eq!(audited[0].details["digest"], json!(proposal.digest), "what was shown");
    assert_eq!(audited[0].surface.as_deref(), Some("control_room"));
    story.nothing_went_wrong().await;
}

#[tokio::test(start_paused = true)]
async fn the_first_verdict_counts_and_the_late_one_is_told_so() {
    let story = Story::new(Mode::Guarded);
    let id = story.want(vec![dispatch("x")], Trust::Member).await.approval_id;
    story.answer(plain(&id, Verdict::Deny), "discord", Trust::Member).await;
    story.verdict(&id, Verdict::Approve).await;
    assert!(story.world.entries(ChannelName::ToFullsend).await.is_empty());
    let record = story.record(&id).await;
    assert_eq!((record.state, record.surface.as_deref()), (ApprovalState::Denied, Some("discord")));
    let completed = story.completed().await;
    assert_eq!(completed.len(), 1);
    assert_eq!(completed[0].reason.as_deref(), Some("looked at it"));
    let told = story.told().await;
    assert!(told[0].starts_with(&format!("{id} is denied already, by mara at ")), "{told:?}");
    assert_eq!(story.events().await, ["denied"]);
}

#[rstest]
#[case::from_outside(dispatch("x"), Trust::External, true, "comes from outside")]
#[case::on_something_else(dispatch("x"), Trust::Operator, false, "not what waits now")]
#[case::class_three_by_a_member(step(LifecycleEvent::Approve, "e"), Trust::Member, true, "only the operator")]
#[tokio::test(start_paused = true)]
async fn an_answer_that_does_not_count_changes_nothing(
    #[case] intent: Intent,
    #[case] trust: Trust,
    #[case] on_what_was_shown: bool,
    #[case] why: &str,
) {
    let story = Story::new(Mode::Guarded);
    story.experiment("e", "draft").await;
    let proposal = story.want(vec![intent], Trust::Member).await;
    let digest = Some(if on_what_was_shown { proposal.digest.clone() } else { "sha256:0".to_owned() });
    let verdict = ApprovalVerdict { digest, ..plain(&proposal.approval_id, Verdict::Approve) };
    story.answer(verdict, "discord", trust).await;
    assert_eq!(story.record(&proposal.approval_id).await.state, ApprovalState::Pending);
    assert!(story.world.entries(ChannelName::ToFullsend).await.is_empty());
    if trust == Trust::External {
        assert!(story.world.alerts().await[0].message.contains("came from outside"));
    } else {
        assert!(story.told().await[0].contains(why), "{:?}", story.told().await);
    }
    assert!(story.events().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn class_three_wants_to_know_what_was_shown() {
    let story = Story::new(Mode::Guarded);
    story.experiment("e", "draft").await;
    let id = story.want(vec![step(LifecycleEvent::Approve, "e")], Trust::Member).await.approval_id;
    story.answer(plain(&id, Verdict::Approve), "control_room", Trust::Operator).await;
    assert_eq!(story.record(&id).await.state, ApprovalState::Pending, "as a batch would answer");
    story.verdict(&id, Verdict::Approve).await;
    assert_eq!(story.field("experiments:e", "state").await.as_deref(), Some("ready"));
    assert_eq!(story.field("experiments:e", "approved_by").await.as_deref(), Some("mara"));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_approval_is_said_to_be_unknown() {
    let story = Story::new(Mode::Guarded);
    story.answer(plain("apr_\x1b[2Jnone", Verdict::Approve), "control_room", Trust::Operator).await;
    assert_eq!(story.told().await, ["there is no approval apr_none"]);
    story.nothing_went_wrong().await;
}

#[tokio::test(start_paused = true)]
async fn silence_escalates_at_half_time_and_then_means_no() {
    let story = Story::new(Mode::Guarded);
    let id = story.want(vec![dispatch("x")], Trust::Member).await.approval_id;
    story.pass(11 * MINUTE).await;
    assert!(story.world.alerts().await.is_empty());
    story.pass(MINUTE + MINUTE / 6).await;
    let entries = story.world.entries(ChannelName::Alerts).await;
    assert_eq!(entries.len(), 1);
    assert!(story.world.alerts().await[0].message.contains("half of its time is over"));
    let asked = story.world.entries(ChannelName::FromOrchestrator).await;
    let FromOrchestrator::Action(action) = FromOrchestrator::read(&asked[0].b).unwrap() else { panic!("{asked:?}") };
    assert_eq!(action.payload.id.as_deref(), Some(id.as_str()), "the second surface can answer it");
    assert!(story.record(&id).await.escalated);
    story.pass(12 * MINUTE).await;
    let record = story.record(&id).await;
    assert_eq!(record.state, ApprovalState::Expired);
    assert_eq!(story.completed().await[0].outcome, ApprovalOutcome::Expired);
    assert_eq!(story.events().await, ["expired"]);
    assert_eq!(story.field(&format!("alerts:approval:{id}:waiting"), "state").await.as_deref(), Some("resolved"));
    assert_eq!(story.field(&format!("alerts:approval:{id}:expired"), "state").await.as_deref(), Some("triggered"));
    story.verdict(&id, Verdict::Approve).await;
    assert!(story.world.entries(ChannelName::ToFullsend).await.is_empty(), "too late");
    story.nothing_went_wrong().await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_takes_the_deadlines_away() {
    let story = Story::new(Mode::Guarded);
    let id = story.want(vec![dispatch("x")], Trust::Member).await.approval_id;
    story.verdict(&id, Verdict::Approve).await;
    story.pass(30 * MINUTE).await;
    assert!(story.world.alerts().await.is_empty());
    assert_eq!(story.completed().await.len(), 1);
    assert_eq!(story.world.bus().next_timer().await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_yes_on_facts_that_changed_is_asked_again_with_the_difference() {
    let story = Story::new(Mode::Guarded);
    story.experiment("e", "ready").await;
    let id = story.want(vec![step(LifecycleEvent::Pause, "e")], Trust::Member).await.approval_id;
    story.experiment("e", "running").await;
    story.verdict(&id, Verdict::Approve).await;
    let old = story.record(&id).await;
    assert_eq!(old.state, ApprovalState::Superseded);
    let next = old.superseded_by.unwrap();
    let new = story.record(&next).await;
    assert_eq!((new.state, new.proposal.supersedes.as_deref()), (ApprovalState::Pending, Some(id.as_str())));
    assert_eq!((new.changed[0].was.as_deref(), new.changed[0].now.as_deref()), (Some("ready"), Some("running")));
    assert_eq!(new.proposal.intents, old.proposal.intents);
    assert_eq!(story.completed().await[0].superseded_by.as_ref(), Some(&next));
    story.experiment("e", "ready").await;
    story.verdict(&next, Verdict::Approve).await;
    let last = story.record(&next).await.superseded_by.unwrap();
    story.verdict(&last, Verdict::Approve).await;
    assert_eq!(story.field("experiments:e", "state").await.as_deref(), Some("paused"));
    assert_eq!(story.events().await, ["superseded", "superseded", "approved"]);
    story.nothing_went_wrong().await;
}

#[tokio::test(start_paused = true)]
async fn a_newer_proposal_on_other_facts_takes_the_place_of_one_that_waits() {
    let story = Story::new(Mode::Guarded);
    story.experiment("e", "ready").await;
    let first = story.want(vec![step(LifecycleEvent::Pause, "e")], Trust::Member).await;
    story.experiment("e", "paused").await;
    let second = story.want(vec![step(LifecycleEvent::Pause, "e")], Trust::Member).await;
    assert_eq!(first.approval_id, second.approval_id);
    let old = story.record(&first.approval_id).await;
    assert_eq!(old.state, ApprovalState::Superseded);
    let new = story.record(&old.superseded_by.unwrap()).await;
    assert_eq!((new.changed[0].was.as_deref(), new.changed[0].now.as_deref()), (Some("ready"), Some("paused")));
    assert_eq!(approvals::record::pending(&story.world.bus()).await.unwrap(), [new.proposal.approval_id]);
}

#[tokio::test(start_paused = true)]
async fn an_edit_is_what_happens_if_it_fits() {
    let story = Story::new(Mode::Guarded);
    let id = story.want(vec![dispatch("mail all")], Trust::Member).await.approval_id;
    let edited = |intent: Intent| ApprovalVerdict { edited: Some(vec![intent]), ..plain(&id, Verdict::Approve) };
    let misfit = say(ChannelName::ToFullsend, json!({ "type": "experiment_request", "ideas": 1 }));
    story.answer(edited(misfit), "control_room", Trust::Operator).await;
    let ungranted = say(ChannelName::Schedules, json!({ "experiment_id": "e", "schedule": "0 9 * * *" }));
    story.answer(edited(ungranted), "control_room", Trust::Operator).await;
    assert_eq!(story.record(&id).await.state, ApprovalState::Pending);
    assert!(story.told().await.iter().all(|told| told.contains("the edit cannot be done")), "{:?}", story.told().await);
    story.answer(edited(dispatch("mail ten")), "control_room", Trust::Operator).await;
    let said = story.world.entries(ChannelName::ToFullsend).await;
    assert_eq!(said.len(), 1);
    assert!(said[0].b.contains("mail ten"));
    let completed = story.completed().await;
    assert!(completed[0].edited && completed[0].outcome == ApprovalOutcome::Approved);
    assert_eq!(story.audited().await[0].details["digest"], json!(completed[0].digest));
}

#[tokio::test(start_paused = true)]
async fn an_edit_that_raises_the_class_asks_again() {
    let story = Story::new(Mode::Guarded);
    let tool = |network: bool| {
        say(ChannelName::BuilderTasks, json!({ "type": "tool_prd", "prd": { "name": "t", "network": network } }))
    };
    let id = story.want(vec![tool(false)], Trust::Member).await.approval_id;
    let verdict = ApprovalVerdict { edited: Some(vec![tool(true)]), ..plain(&id, Verdict::Approve) };
    story.answer(verdict, "control_room", Trust::Operator).await;
    assert!(story.world.entries(ChannelName::BuilderTasks).await.is_empty());
    let next = story.record(&id).await.superseded_by.unwrap();
    let record = story.record(&next).await;
    assert_eq!((record.state, record.proposal.class), (ApprovalState::Pending, RiskClass::Outward));
    story.verdict(&next, Verdict::Approve).await;
    assert_eq!(story.world.entries(ChannelName::BuilderTasks).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn always_makes_a_rule_of_the_operators_and_of_nobody_elses() {
    let story = Story::new(Mode::Guarded);
    let always = |id: &str| ApprovalVerdict { always: true, per_day: Some(1), ..plain(id, Verdict::Approve) };
    let first = story.want(vec![dispatch("one")], Trust::Member).await.approval_id;
    story.answer(always(&first), "discord", Trust::Member).await;
    assert!(story.told().await[0].contains("only the operator makes rules"));
    let second = story.want(vec![dispatch("two")], Trust::Member).await.approval_id;
    story.answer(always(&second), "control_room", Trust::Operator).await;
    story.want(vec![dispatch("three")], Trust::Member).await;
    assert_eq!(story.world.entries(ChannelName::ToFullsend).await.len(), 3);
    story.want(vec![dispatch("four")], Trust::Member).await;
    story.want(vec![dispatch("five")], Trust::External).await;
    assert_eq!(story.world.entries(ChannelName::ToFullsend).await.len(), 3, "one a day, and not from outside");
    assert_eq!(story.events().await, ["approved", "approved", "policy_changed", "approved"]);
    let by = story.completed().await.pop().unwrap().by;
    assert!(by.starts_with("rule r_") && by.ends_with(" of mara"), "{by}");
    let rules = crate::approvals::policy::rules(&story.world.bus()).await.unwrap();
    let drop = json!({ "type": "rule_drop", "rule_id": rules[0].id });
    story.order(drop.clone(), "discord", Trust::Member).await;
    assert_eq!(crate::approvals::policy::rules(&story.world.bus()).await.unwrap(), rules, "the operator alone");
    story.order(drop, "control_room", Trust::Operator).await;
    assert_eq!(crate::approvals::policy::rules(&story.world.bus()).await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn a_rule_for_class_three_needs_an_end() {
    let story = Story::new(Mode::Autopilot);
    story.document("tools:t", &[("state", "building")]).await;
    let intent = |host: &str| Intent::Set {
        key: "tools:t".to_owned(),
        fields: [("network".to_owned(), host.to_owned())].into(),
    };
    let answer = async |id: String, until| {
        let digest = Some(story.record(&id).await.proposal.digest);
        let verdict = ApprovalVerdict { digest, always: true, until, ..plain(&id, Verdict::Approve) };
        story.answer(verdict, "control_room", Trust::Operator).await;
    };
    let first = story.want(vec![intent("a.example")], Trust::Member).await.approval_id;
    answer(first, None).await;
    assert_eq!(story.field("tools:t", "network").await.as_deref(), Some("a.example"), "the yes counts");
    assert!(story.told().await[0].contains("needs an end"));
    let second = story.want(vec![intent("b.example")], Trust::Member).await.approval_id;
    let until = story.world.clock.now() + chrono::TimeDelta::minutes(24);
    answer(second, Some(until)).await;
    story.want(vec![intent("c.example")], Trust::Member).await;
    assert_eq!(story.field("tools:t", "network").await.as_deref(), Some("c.example"));
    story.pass(25 * MINUTE).await;
    story.want(vec![intent("d.example")], Trust::Member).await;
    assert_eq!(story.field("tools:t", "network").await.as_deref(), Some("c.example"), "the rule has ended");
}
