//! What goes by policy, what asks, and what is refused.

use pretty_assertions::assert_eq;

use super::*;
use crate::contracts::messages::ApprovalOutcome;

#[tokio::test(start_paused = true)]
async fn what_goes_is_committed_as_it_is_in_its_proposers_name_and_chain() {
    let story = Story::new(Mode::Guarded);
    let proposal = story.proposal(vec![round_table()], Trust::Member).await;
    let cause = story.propose(&proposal, Trust::Member).await;
    let said = story.world.entries(ChannelName::Roundtable).await;
    assert_eq!(said.len(), 1);
    let envelope = said[0].message().unwrap().envelope;
    assert_eq!((envelope.source.as_ref(), envelope.kind.as_ref()), ("orchestrator", "roundtable_topic"));
    assert_eq!((envelope.trace, envelope.cause, envelope.trust), (cause.trace, Some(cause.id), Trust::Member));
    assert_eq!((envelope.priority, envelope.subject.as_deref()), (Priority::High, Some("idea_1")));
    assert!(story.created().await.is_empty(), "nobody was asked");
    let completed = story.completed().await;
    assert_eq!((completed[0].outcome, completed[0].by.as_str()), (ApprovalOutcome::Approved, "guarded: class 1"));
    assert_eq!(completed[0].surface.as_deref(), Some("policy"));
    assert_eq!(story.record(&proposal.approval_id).await.state, ApprovalState::Approved);
    assert_eq!(story.events().await, ["approved"]);
    story.nothing_went_wrong().await;
}

#[tokio::test(start_paused = true)]
async fn what_needs_a_yes_waits_and_nothing_of_it_happens() {
    for (mode, intent, trust) in [
        (Mode::Manual, round_table(), Trust::Member),
        (Mode::Guarded, round_table(), Trust::External),
        (Mode::Guarded, dispatch("x"), Trust::System),
        (Mode::Autopilot, step(LifecycleEvent::Approve, "e"), Trust::Operator),
    ] {
        let story = Story::new(mode);
        story.experiment("e", "draft").await;
        let proposal = story.want(vec![intent], trust).await;
        let created = story.created().await;
        assert_eq!(created.len(), 1);
        assert_eq!((&created[0].approval_id, &created[0].digest), (&proposal.approval_id, &proposal.digest));
        let length = if u8::from(created[0].class) == 3 { 4 * MINUTE } else { 24 * MINUTE };
        let record = story.record(&proposal.approval_id).await;
        assert_eq!((record.expires_at.unwrap() - record.created_at).to_std().unwrap(), length);
        assert_eq!((record.escalates_at.unwrap() - record.created_at).to_std().unwrap(), length / 2);
        assert_eq!(approvals::record::pending(&story.world.bus()).await.unwrap(), [proposal.approval_id]);
        assert_eq!(story.field("experiments:e", "state").await.as_deref(), Some("draft"));
        assert!(story.world.entries(ChannelName::ToFullsend).await.is_empty());
        story.nothing_went_wrong().await;
    }
}

#[tokio::test(start_paused = true)]
async fn autopilot_asks_again_when_the_days_limit_is_reached() {
    let story = Story::new(Mode::Autopilot);
    for idea in ["one", "two", "three"] {
        story.want(vec![dispatch(idea)], Trust::Member).await;
    }
    assert_eq!(story.world.entries(ChannelName::ToFullsend).await.len(), 2);
    assert_eq!(story.created().await.len(), 1);
    story.nothing_went_wrong().await;
}

#[tokio::test(start_paused = true)]
async fn the_same_proposal_asks_once_and_a_chain_that_repeats_it_gets_its_answer() {
    let story = Story::new(Mode::Guarded);
    let proposal = story.proposal(vec![dispatch("x")], Trust::Member).await;
    let id = proposal.approval_id.clone();
    let first = story.propose(&proposal, Trust::Member).await;
    story.propose(&proposal, Trust::Member).await;
    assert_eq!(story.created().await.len(), 1);
    story.verdict(&id, Verdict::Deny).await;
    let mut again = story.world.origin(Trust::Member).envelope("proposal", "orchestrator");
    again.trace = first.trace;
    let body = Proposals::from(proposal.clone()).write().unwrap();
    story.say(Outgoing::new(ChannelName::Proposals, again, body).unwrap()).await;
    let outcomes: Vec<_> = story.completed().await.into_iter().map(|it| (it.outcome, it.reason)).collect();
    let denied = (ApprovalOutcome::Denied, Some("looked at it".to_owned()));
    assert_eq!(outcomes, [denied.clone(), denied], "with the reason, for whoever decides again");
    assert_eq!(story.created().await.len(), 1);
    story.propose(&proposal, Trust::Member).await;
    assert_eq!(story.created().await.len(), 2, "in another chain it is another question");
    assert_eq!(story.record(&id).await.state, ApprovalState::Pending);
    story.nothing_went_wrong().await;
}

#[tokio::test(start_paused = true)]
async fn nobody_proposes_in_anothers_name_or_without_a_grant() {
    let story = Story::new(Mode::Autopilot);
    let good = story.proposal(vec![dispatch("x")], Trust::System).await;
    let foreign = Proposal { proposer: "fullsend".to_owned(), ..good.clone() };
    let renamed = Proposal { approval_id: "apr_0000000000000000".to_owned(), ..good.clone() };
    let understated = Proposal { digest: "sha256:0".to_owned(), ..good.clone() };
    let beyond =
        Proposal { intents: vec![say(ChannelName::Experiments, json!({"experiment_id":"e"}))], ..good.clone() };
    for bad in [foreign, renamed, understated, beyond] {
        story.propose(&bad, Trust::System).await;
    }
    let envelope = story.world.origin(Trust::External).envelope("proposal", "bridge");
    let body = Proposals::from(good).write().unwrap();
    story.say(Outgoing::new(ChannelName::Proposals, envelope, body).unwrap()).await;
    assert!(story.world.entries(ChannelName::ToFullsend).await.is_empty());
    assert!(story.world.entries(ChannelName::Experiments).await.is_empty());
    assert!(story.created().await.is_empty() && story.completed().await.is_empty());
    assert_eq!(story.events().await, ["denied"; 4]);
    // What nobody of the team says does not even get there.
    let letters = story.world.entries(ChannelName::DeadLetter).await;
    assert_eq!(letters.len(), 1);
    assert!(letters[0].b.contains("only the team speaks on fullsend:proposals"), "{}", letters[0].b);
    assert_eq!(story.world.alerts().await.len(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_proposal_that_calls_itself_harmless_is_classed_by_code() {
    let story = Story::new(Mode::Guarded);
    story.experiment("e", "draft").await;
    let mut proposal = story.proposal(vec![step(LifecycleEvent::Approve, "e")], Trust::Member).await;
    proposal.class = RiskClass::Harmless;
    story.propose(&proposal, Trust::Member).await;
    assert_eq!(story.created().await[0].class, RiskClass::Outward);
}

#[tokio::test(start_paused = true)]
async fn what_changed_before_anybody_saw_it_is_asked_with_the_difference() {
    let story = Story::new(Mode::Autopilot);
    story.document("experiments:sim", &[("state", "ready"), ("mode", "simulation")]).await;
    let proposal = story.proposal(vec![step(LifecycleEvent::Pause, "sim")], Trust::Member).await;
    story.document("experiments:sim", &[("state", "running")]).await;
    story.propose(&proposal, Trust::Member).await;
    let record = story.record(&proposal.approval_id).await;
    assert_eq!(record.state, ApprovalState::Pending);
    assert_eq!((record.changed[0].was.as_deref(), record.changed[0].now.as_deref()), (Some("ready"), Some("running")));
    assert_ne!(record.proposal.digest, proposal.digest);
    assert_eq!(story.field("experiments:sim", "state").await.as_deref(), Some("running"));
}

#[tokio::test(start_paused = true)]
async fn of_two_gates_in_different_modes_the_stricter_counts_whoever_is_asked() {
    let story = Story::new(Mode::Autopilot);
    let manual = tokio::spawn({
        let bus = story.world.bus();
        async move { mode::keep_saying(&bus, Mode::Manual).await }
    });
    story.world.until(async |world| mode::running(&world.bus()).await.unwrap() == [Mode::Manual]).await;
    story.want(vec![round_table()], Trust::System).await;
    assert_eq!(story.created().await.len(), 1, "it is asked");
    // Once that gate is gone its mode is, too.
    manual.abort();
    story.pass(Duration::from_secs(10)).await;
    assert_eq!(mode::running(&story.world.bus()).await.unwrap(), []);
    story.want(vec![dispatch("x")], Trust::System).await;
    assert_eq!(story.created().await.len(), 1);
    assert_eq!(story.world.entries(ChannelName::ToFullsend).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn several_intents_happen_together_or_not_at_all() {
    let story = Story::new(Mode::Manual);
    story.experiment("e", "ready").await;
    let intents = vec![
        Intent::Set { key: "decisions:d".to_owned(), fields: [("state".to_owned(), "done".to_owned())].into() },
        Intent::Set { key: "decisions:d".to_owned(), fields: [("note".to_owned(), "x".to_owned())].into() },
        dispatch("x"),
        // Not legal, and no fact says so: the experiment is not measuring.
        step(LifecycleEvent::Complete, "e"),
    ];
    let whole = story.want(intents[..3].to_vec(), Trust::Member).await;
    let broken = story.want(intents, Trust::Member).await;
    story.verdict(&broken.approval_id, Verdict::Approve).await;
    assert_eq!(story.read("decisions:d").await, None);
    let completed = story.completed().await;
    assert_eq!((completed[0].outcome, completed[0].by.as_str()), (ApprovalOutcome::Denied, "gate"));
    assert!(completed[0].reason.as_ref().unwrap().contains("a ready experiment cannot complete"), "{completed:?}");
    story.verdict(&whole.approval_id, Verdict::Approve).await;
    let document = story.read("decisions:d").await.unwrap();
    assert_eq!((document.version, document.get("state"), document.get("note")), (1, Some("done"), Some("x")));
    assert_eq!(story.world.entries(ChannelName::ToFullsend).await.len(), 1);
    story.nothing_went_wrong().await;
}

#[tokio::test(start_paused = true)]
async fn two_gates_keep_one_chain() {
    let story = Story::new(Mode::Guarded);
    story.gate(Mode::Guarded);
    for number in 0..20 {
        let body = json!({ "type": "roundtable_topic", "prompt": format!("{number}") });
        let proposal = story.proposal(vec![say(ChannelName::Roundtable, body)], Trust::Member).await;
        let envelope = story.world.origin(Trust::Member).envelope("proposal", "orchestrator");
        let body = Proposals::from(proposal).write().unwrap();
        story.world.say(Outgoing::new(ChannelName::Proposals, envelope, body).unwrap()).await;
    }
    story.settled().await;
    assert_eq!(story.events().await, ["approved"; 20]);
    assert_eq!(story.world.entries(ChannelName::Roundtable).await.len(), 20);
    story.nothing_went_wrong().await;
}

fn rewrite(text: &str, base: u64) -> Intent {
    Intent::Note { name: NoteName::Worklist, change: NoteChange::Rewrite { text: text.to_owned(), base } }
}

#[tokio::test(start_paused = true)]
async fn a_note_changes_with_its_history_in_the_same_commit() {
    let story = Story::new(Mode::Guarded);
    let item =
        |key: &str| NoteChange::Item { key: key.to_owned(), section: Section::Active, text: format!("{key} runs") };
    let intents = ["idea_1", "idea_2"].map(|key| Intent::Note { name: NoteName::Worklist, change: item(key) });
    story.want(intents.to_vec(), Trust::Member).await;
    let note = story.read("notes:worklist").await.unwrap();
    assert!(note.get("text").unwrap().contains("idea_1 runs") && note.get("text").unwrap().contains("idea_2 runs"));
    assert_eq!(note.get("by"), Some("orchestrator"));
    assert!(story.read("note_versions:worklist:2").await.is_some(), "two changes, two versions");
    let misplaced = Intent::Note { name: NoteName::Learnings, change: item("x") };
    story.want(vec![misplaced], Trust::Member).await;
    assert_eq!(story.completed().await[1].outcome, ApprovalOutcome::Denied);
    story.nothing_went_wrong().await;
}

#[tokio::test(start_paused = true)]
async fn words_that_meet_a_persons_in_the_same_place_are_asked_about() {
    let story = Story::new(Mode::Guarded);
    story.want(vec![rewrite("# Work\n\none\ntwo\n\nthree\n", 0)], Trust::Member).await;
    story.want(vec![rewrite("# Work\n\none\ntwo by mara\n\nthree and four\n", 1)], Trust::Operator).await;
    assert!(story.created().await.is_empty());
    story.want(vec![rewrite("# Work\n\none\ntwo by a mind\n\nthree\n", 1)], Trust::Member).await;
    let created = story.created().await;
    assert_eq!(created.len(), 1);
    let record = story.record(&created[0].approval_id).await;
    assert!(record.asked_because.as_ref().unwrap().contains("Somebody must choose"), "{record:?}");
    let text = async || story.field("notes:worklist", "text").await.unwrap();
    assert_eq!(text().await, "# Work\n\none\ntwo by mara\n\nthree and four\n", "nothing was lost");
    story.verdict(&created[0].approval_id, Verdict::Approve).await;
    assert_eq!(text().await, "# Work\n\none\ntwo by a mind\n\nthree and four\n");
    let outcomes: Vec<_> = story.completed().await.into_iter().map(|it| it.outcome).collect();
    let (approved, superseded) = (ApprovalOutcome::Approved, ApprovalOutcome::Superseded);
    assert_eq!(outcomes, [approved, approved, superseded, approved]);
    story.nothing_went_wrong().await;
}
