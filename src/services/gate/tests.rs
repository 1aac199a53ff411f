//! The gate in its consumer loop, on paused time: every wait takes no time and happens in order.

mod control;
mod notified;
mod policies;
mod verdicts;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::approvals::policy::Limits;
use crate::approvals::{self, ApprovalState, Record, Wanted};
use crate::bus::leased::hold;
use crate::bus::testing::World;
use crate::bus::timers::Timers;
use crate::bus::{Consumer, ConsumerOptions, Document, Expect, Key, Op, Outgoing, State, Ttl};
use crate::contracts::lifecycle::LifecycleEvent;
use crate::contracts::messages::{
    ApprovalCompleted, ApprovalCreated, ApprovalVerdict, ApprovalVerdicts, Approvals, Audit, AuditRecord, Control,
    FromOrchestrator, Intent, Proposal, Proposals, Verdict,
};
use crate::contracts::notes::{NoteChange, NoteName, Section};
use crate::contracts::{Body, Envelope, Priority, ServiceName, Trust};
use crate::telemetry::audit::Checker;

/// A world with a gate in it, and timers that fire.
struct Story {
    world: World,
    stop: CancellationToken,
}

/// Tests take minutes where people have hours: each second is a few turns of every loop.
const MINUTE: Duration = Duration::from_mins(1);

impl Story {
    fn new(mode: Mode) -> Self {
        let story = Self { world: World::new(), stop: CancellationToken::new() };
        story.gate(mode);
        let (bus, clock, ids) = (story.world.bus(), Arc::clone(&story.world.clock), Arc::clone(&story.world.ids));
        let stop = story.stop.clone();
        tokio::spawn(async move {
            let timers = Timers { bus: Arc::clone(&bus), clock: Arc::clone(&clock) };
            hold(&timers, &bus, &clock, &ids, stop).await
        });
        story
    }

    /// Another gate on the same bus.
    fn gate(&self, mode: Mode) {
        let options = GateOptions {
            mode,
            limits: Limits { per_day: 2, cents: 500 },
            deadline: 24 * MINUTE,
            outward_deadline: 4 * MINUTE,
        };
        let consumer_options = ConsumerOptions { seed: Some(1), ..ConsumerOptions::default() };
        let (clock, ids) = (Arc::clone(&self.world.clock), Arc::clone(&self.world.ids));
        let consumer = Consumer::new(self.world.bus(), Gate::new(options), consumer_options, clock, ids);
        let stop = self.stop.clone();
        tokio::spawn(async move { consumer.run(stop).await });
    }

    /// A document, changed.
    async fn document(&self, key: &str, fields: &[(&str, &str)]) {
        let fields = fields.iter().map(|(name, text)| ((*name).to_owned(), Some((*text).to_owned()))).collect();
        self.world.commit(vec![Op::Change { key: Key::new(key), expect: Expect::Any, fields, ttl: Ttl::Keep }]).await;
    }

    async fn experiment(&self, id: &str, state: &str) {
        self.document(&format!("experiments:{id}"), &[("state", state), ("mode", "live")]).await;
    }

    async fn read(&self, key: &str) -> Option<Document> {
        self.world.bus().get(&Key::new(key)).await.unwrap()?.document().cloned()
    }

    async fn field(&self, key: &str, field: &str) -> Option<String> {
        self.read(key).await?.get(field).map(str::to_owned)
    }

    async fn record(&self, id: &str) -> Record {
        Record::load(&self.world.bus(), id).await.unwrap().unwrap_or_else(|| panic!("no approval {id}"))
    }

    /// What the orchestrator wants, as a proposal.
    async fn proposal(&self, intents: Vec<Intent>, trust: Trust) -> Proposal {
        let wanted = Wanted {
            proposer: ServiceName::Orchestrator,
            title: "do it".to_owned(),
            reason: "because".to_owned(),
            intents,
            facts: Vec::new(),
            details: Map::new(),
            cost_usd: None,
            trust,
        };
        approvals::propose(&self.world.bus(), wanted).await.unwrap()
    }

    /// Says a proposal as the orchestrator, and waits until it was handled.
    async fn propose(&self, proposal: &Proposal, trust: Trust) -> Envelope {
        let envelope = self.world.origin(trust).envelope("proposal", "orchestrator");
        let body = Proposals::from(proposal.clone()).write().unwrap();
        self.say(Outgoing::new(ChannelName::Proposals, envelope.clone(), body).unwrap()).await;
        envelope
    }

    /// Wants it and proposes it.
    async fn want(&self, intents: Vec<Intent>, trust: Trust) -> Proposal {
        let proposal = self.proposal(intents, trust).await;
        self.propose(&proposal, trust).await;
        proposal
    }

    /// Says something, and waits until the gate has handled everything.
    async fn say(&self, message: Outgoing) {
        self.world.say(message).await;
        self.settled().await;
    }

    async fn settled(&self) {
        self.world
            .until(async |world| {
                for channel in [ChannelName::Proposals, ChannelName::ApprovalVerdicts, ChannelName::Control] {
                    let groups = world.bus().inspect(channel).await.unwrap().groups;
                    if groups.len() != 1 || groups.iter().any(|group| group.pending > 0 || group.lag != Some(0)) {
                        return false;
                    }
                }
                true
            })
            .await;
    }

    /// Says a verdict.
    async fn answer(&self, verdict: ApprovalVerdict, source: &'static str, trust: Trust) {
        let envelope = self.world.origin(trust).envelope("approval_verdict", source);
        let body = ApprovalVerdicts::from(verdict).write().unwrap();
        self.say(Outgoing::new(ChannelName::ApprovalVerdicts, envelope, body).unwrap()).await;
    }

    /// The operator's answer to what he was shown.
    async fn verdict(&self, id: &str, verdict: Verdict) {
        let digest = Some(self.record(id).await.proposal.digest);
        self.answer(ApprovalVerdict { digest, ..plain(id, verdict) }, "control_room", Trust::Operator).await;
    }

    /// Says an order.
    async fn order(&self, body: Value, source: &'static str, trust: Trust) {
        let text = body.to_string();
        let kind = ChannelName::Control.check(&text).unwrap();
        let envelope = self.world.origin(trust).envelope(kind, source);
        self.say(Outgoing::new(ChannelName::Control, envelope, text).unwrap()).await;
    }

    async fn created(&self) -> Vec<ApprovalCreated> {
        let entries = self.world.entries(ChannelName::Approvals).await;
        let created = entries.iter().filter_map(|entry| match Approvals::read(&entry.b).unwrap() {
            Approvals::Created(created) => Some(created),
            Approvals::Completed(_) => None,
        });
        created.collect()
    }

    async fn completed(&self) -> Vec<ApprovalCompleted> {
        let entries = self.world.entries(ChannelName::Approvals).await;
        let completed = entries.iter().filter_map(|entry| match Approvals::read(&entry.b).unwrap() {
            Approvals::Completed(completed) => Some(completed),
            Approvals::Created(_) => None,
        });
        completed.collect()
    }

    /// What people were told.
    async fn told(&self) -> Vec<String> {
        let entries = self.world.entries(ChannelName::FromOrchestrator).await;
        let told = entries.iter().filter_map(|entry| match FromOrchestrator::read(&entry.b).unwrap() {
            FromOrchestrator::Status(status) => Some(status.payload.message),
            _ => None,
        });
        told.collect()
    }

    /// The audit chain, which must hold, and end where the bus says.
    async fn audited(&self) -> Vec<AuditRecord> {
        let entries = self.world.entries(ChannelName::Audit).await;
        let mut checker = Checker::default();
        for entry in &entries {
            checker.next(&entry.b, false).unwrap();
        }
        let head = self.read("audit:head").await.map(|head| unit::head(&head)).unwrap_or_default();
        checker.ends_at(&head).unwrap();
        entries
            .iter()
            .map(|entry| match Audit::read(&entry.b).unwrap() {
                Audit::Record(record) => record,
            })
            .collect()
    }

    async fn events(&self) -> Vec<String> {
        self.audited().await.into_iter().map(|record| record.event).collect()
    }

    /// Lets time pass, with what happens in it.
    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
        self.settled().await;
    }

    async fn nothing_went_wrong(&self) {
        assert!(self.world.entries(ChannelName::DeadLetter).await.is_empty());
    }
}

impl Drop for Story {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn plain(id: &str, verdict: Verdict) -> ApprovalVerdict {
    ApprovalVerdict {
        approval_id: id.to_owned(),
        verdict,
        digest: None,
        reason: Some("looked at it".to_owned()),
        edited: None,
        always: false,
        until: None,
        per_day: None,
        by: Some("mara".to_owned()),
        surface: None,
    }
}

fn say(channel: ChannelName, body: Value) -> Intent {
    let Value::Object(body) = body else { panic!("{body}") };
    Intent::Say { channel, body, priority: Priority::High, subject: Some("idea_1".to_owned()) }
}

/// Class 2.
fn dispatch(idea: &str) -> Intent {
    say(ChannelName::ToFullsend, json!({ "type": "experiment_request", "idea": { "description": idea } }))
}

/// Class 1.
fn round_table() -> Intent {
    say(ChannelName::Roundtable, json!({ "type": "roundtable_topic", "prompt": "what now?" }))
}

fn step(event: LifecycleEvent, id: &str) -> Intent {
    Intent::Step { experiment_id: id.to_owned(), event }
}
