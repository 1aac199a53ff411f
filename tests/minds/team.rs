//! The watcher, the orchestrator, the gate and the timers on a store in memory, with models as a test has them.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fullsend::approvals::policy::Limits;
use fullsend::approvals::{self, Record};
use fullsend::bus::memory::MemoryBus;
use fullsend::bus::timers::Timers;
use fullsend::bus::{
    Commit, Consumer, ConsumerOptions, EntryId, Expect, Handler, Key, Op, Origin, Outgoing, Range, SharedBus, Ttl,
};
use fullsend::config::{Budgets, Config, Link, LlmConfig, Mode};
use fullsend::contracts::{ChannelKind, ChannelName, Clock, Envelope, Ids, ManualClock, Trust};
use fullsend::llm::ledger::{Ledger, Prices};
use fullsend::llm::{Mind, MindParts};
use fullsend::memory::Memory;
use fullsend::services::gate::{Gate, GateOptions};
use fullsend::services::orchestrator::Orchestrator;
use fullsend::services::orchestrator::record::{self, Record as Decision};
use fullsend::services::watcher::Watcher;
use fullsend::supervisor::{ConsumerService, LeasedService, Phase, Supervisor};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::protocol::{KEY, Protocol};

/// Longer than any machine needs.
const PATIENCE: Duration = Duration::from_mins(1);

/// The idea of the founding document.
pub(crate) const IDEA: &str = "What if we scraped GitHub stargazers?";

/// What a model decides about it.
pub(crate) const DECISION: &str = r#"{"action":"dispatch_to_fullsend","reasoning":"Stargazers know the field; the learnings say that developers answer.","payload":{"title":"Mail GitHub stargazers","content":"Mail people who starred projects like ours","goal":"replies","inputs":[],"outputs":[],"requirements":[]},"priority":"high","experiment_id":null,"context_for_fullsend":null}"#;

/// Settings that ask nobody but the rules.
pub(crate) fn rules() -> LlmConfig {
    Config::at(Path::new("/nowhere")).llm
}

/// The watcher by the rules; the orchestrator asks this model, and then the rules.
pub(crate) fn deciding(protocol: Protocol, url: &str) -> LlmConfig {
    let rules = || vec![Link::parse("rules").unwrap()];
    LlmConfig { classify: rules(), respond: rules(), ..protocol.config(url) }
}

/// Everybody asks this model, and then the rules.
pub(crate) fn everybody(protocol: Protocol, url: &str) -> LlmConfig {
    let config = protocol.config(url);
    LlmConfig { classify: config.decide.clone(), respond: config.decide.clone(), ..config }
}

/// Only this model, and nobody in its place.
pub(crate) fn alone(protocol: Protocol) -> Vec<Link> {
    vec![Link::parse(&format!("{}:{}", protocol.name(), protocol.model())).unwrap()]
}

pub(crate) struct Team {
    pub(crate) bus: SharedBus,
    pub(crate) clock: Arc<ManualClock>,
    ids: Arc<Ids>,
    stop: CancellationToken,
    running: tokio::task::JoinHandle<fullsend::supervisor::Ended>,
}

impl Drop for Team {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Team {
    /// A team that knows its product.
    pub(crate) async fn of(llm: LlmConfig) -> Self {
        Self::with(llm, Budgets::default()).await
    }

    pub(crate) async fn with(llm: LlmConfig, budgets: Budgets) -> Self {
        let clock = Arc::new(ManualClock::at(chrono::DateTime::from_timestamp_millis(1_800_000_000_000).unwrap()));
        let shared: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
        let bus: SharedBus = Arc::new(MemoryBus::new(Arc::clone(&shared)));
        let ids = Arc::new(Ids::random());
        let stop = CancellationToken::new();
        let supervisor = supervisor(&bus, &shared, &ids, llm, budgets);
        let running = tokio::spawn({
            let stop = stop.clone();
            async move { supervisor.run(stop).await }
        });
        let team = Self { bus, clock, ids, stop, running };
        let text = "Quill keeps the notes of engineers. Buyers: platform teams of 20 to 200.";
        team.document("notes:product_context", &[("text", text)]).await;
        team
    }

    /// Stops, and waits until everybody has.
    pub(crate) async fn end(mut self) {
        self.stop.cancel();
        let running = &mut self.running;
        assert_eq!(running.await.unwrap().stopped, Vec::<String>::new());
    }

    pub(crate) async fn document(&self, key: &str, fields: &[(&str, &str)]) {
        let fields = fields.iter().map(|(name, text)| ((*name).to_owned(), Some((*text).to_owned()))).collect();
        self.commit(Op::Change { key: Key::new(key), expect: Expect::Any, fields, ttl: Ttl::Keep }).await;
    }

    async fn commit(&self, op: Op) {
        let outcomes = self.bus.commit(vec![Commit::of(vec![op])]).await.unwrap();
        assert!(outcomes[0].is_done(), "{outcomes:?}");
    }

    /// Says something, and returns its envelope.
    pub(crate) async fn say(&self, channel: ChannelName, trust: Trust, body: &Value) -> Envelope {
        let text = body.to_string();
        let kind = channel.check(&text).unwrap().to_owned();
        let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&self.clock);
        let envelope = Origin::new(clock, Arc::clone(&self.ids), trust).envelope(kind, "control_room");
        self.commit(Op::Append(Outgoing::new(channel, envelope.clone(), text).unwrap())).await;
        envelope
    }

    /// Somebody says something in the chat.
    pub(crate) async fn chat(&self, trust: Trust, content: &str) -> Envelope {
        self.say(ChannelName::DiscordRaw, trust, &chat(content)).await
    }

    /// All bodies of a channel in this chain, oldest first.
    pub(crate) async fn said(&self, channel: ChannelName, about: &Envelope) -> Vec<Value> {
        let entries = self.bus.range(channel, Range::after(EntryId::ZERO, 10_000)).await.unwrap();
        let ours = entries.iter().filter(|entry| entry.message().unwrap().envelope.trace == about.trace);
        ours.map(|entry| serde_json::from_str(&entry.b).unwrap()).collect()
    }

    /// All bodies of a channel.
    pub(crate) async fn all(&self, channel: ChannelName) -> Vec<Value> {
        let entries = self.bus.range(channel, Range::after(EntryId::ZERO, 10_000)).await.unwrap();
        entries.iter().map(|entry| serde_json::from_str(&entry.b).unwrap()).collect()
    }

    /// Waits until this many answers of the orchestrator were said to whoever began the chain.
    pub(crate) async fn answers(&self, about: &Envelope, count: usize) -> Vec<Value> {
        let mut found = Vec::new();
        self.until("an answer", async || {
            found = self.said(ChannelName::FromOrchestrator, about).await;
            found.retain(|body| body["type"] == "orchestrator_response");
            found.len() >= count
        })
        .await;
        found
    }

    /// The decisions of this chain, the newest first.
    pub(crate) async fn decisions(&self, about: &Envelope) -> Vec<Decision> {
        let mut records = record::newest(&self.bus, 10_000).await.unwrap();
        records.retain(|record| record.trace == Some(about.trace));
        records
    }

    /// What waits for a yes.
    pub(crate) async fn pending(&self) -> Vec<Record> {
        let mut records = Vec::new();
        for id in approvals::record::pending(&self.bus).await.unwrap() {
            records.push(Record::load(&self.bus, &id).await.unwrap().unwrap());
        }
        records
    }

    pub(crate) async fn until(&self, what: &str, mut done: impl AsyncFnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done().await {
            assert!(Instant::now() < deadline, "it never happened: {what}");
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    }

    /// Nothing was given up, and no key is anywhere.
    pub(crate) async fn is_sound(&self, what: &str) {
        assert_eq!(self.all(ChannelName::DeadLetter).await, Vec::<Value>::new(), "{what}");
        for channel in ChannelName::ALL.iter().filter(|channel| channel.route().kind == ChannelKind::Work) {
            for body in self.all(*channel).await {
                assert!(!body.to_string().contains(KEY), "{what}: {body}");
            }
        }
    }
}

fn supervisor(bus: &SharedBus, clock: &Arc<dyn Clock>, ids: &Arc<Ids>, llm: LlmConfig, budgets: Budgets) -> Supervisor {
    let (thinking, prices) = (llm.thinking_timeout, Prices::built_in());
    let ledger = Ledger::new(Arc::clone(bus), prices, budgets, Arc::clone(clock), Arc::clone(ids));
    let mind = Mind::new(MindParts {
        config: llm,
        context: "/nowhere".into(),
        bus: Some(Arc::clone(bus)),
        ledger: Some(ledger),
        clock: Arc::clone(clock),
        ids: Arc::clone(ids),
    })
    .unwrap();
    let memory = Arc::new(Memory::default());
    let hour = Duration::from_hours(1);
    let limits = Limits { per_day: 20, cents: 500 };
    let options = GateOptions { mode: Mode::Guarded, limits, deadline: hour, outward_deadline: hour };
    let mut supervisor = Supervisor::new(
        Arc::clone(bus),
        Arc::clone(clock),
        Arc::clone(ids),
        "test/1".to_owned(),
        Duration::from_secs(5),
    );
    supervisor.add(consumer(bus, clock, ids, Watcher::new(mind.clone(), Arc::clone(&memory), Arc::clone(clock))));
    supervisor.add(consumer(bus, clock, ids, Orchestrator::new(mind, memory, thinking)));
    supervisor.add(consumer(bus, clock, ids, Gate::new(options)));
    let timers = Timers { bus: Arc::clone(bus), clock: Arc::clone(clock) };
    let at = (Arc::clone(bus), Arc::clone(clock), Arc::clone(ids));
    supervisor.add(LeasedService::new(timers, Phase::Housekeeping, at));
    supervisor
}

fn consumer<H: Handler>(bus: &SharedBus, clock: &Arc<dyn Clock>, ids: &Arc<Ids>, handler: H) -> ConsumerService<H> {
    let options = ConsumerOptions::default();
    ConsumerService::new(Consumer::new(Arc::clone(bus), handler, options, Arc::clone(clock), Arc::clone(ids)))
}

/// A chat message.
pub(crate) fn chat(content: &str) -> Value {
    json!({ "type": "discord_message", "message_id": "7", "channel_id": "42", "channel_name": "gtm", "username": "mara",
        "user_id": "5551", "content": content, "mentions_bot": false })
}
