//! What the tests of verbs share: an output that is kept, a bus in memory, a clock that they move.

use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::Context;
use super::output::Output;
use crate::approvals::Wanted;
use crate::bus::memory::MemoryBus;
use crate::bus::testing::World;
use crate::bus::{
    Commit, Consumer, ConsumerOptions, EntryId, Op, Origin, Outcome, Outgoing, Reader, SharedBus, Timer, Want,
};
use crate::config::Config;
use crate::contracts::channel::grants;
use crate::contracts::messages::{EchoRequest, Echoes, Intent, Proposals};
use crate::contracts::wiring::{ECHO, PROPOSALS};
use crate::contracts::{ChannelName, Clock, Ids, ManualClock, ServiceName, Trust};
use crate::services::gate::Gate;

/// Bytes that were written, for somebody who wants to read them.
#[derive(Clone, Default)]
pub(super) struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Kept {
    pub(super) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// An output whose texts are kept.
pub(super) struct Page {
    pub(super) out: Output,
    results: Kept,
    remarks: Kept,
}

impl Page {
    pub(super) fn new(json: bool) -> Self {
        let (results, remarks) = (Kept::default(), Kept::default());
        let out = Output::to(json, Box::new(results.clone()), Box::new(remarks.clone()));
        Self { out, results, remarks }
    }

    pub(super) fn results(&self) -> String {
        self.results.text()
    }

    pub(super) fn remarks(&self) -> String {
        self.remarks.text()
    }

    pub(super) fn json(&self) -> Vec<Value> {
        json_lines(&self.results())
    }
}

pub(super) fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// When tests happen: 2026-03-01 09:30 UTC.
pub(super) fn noon() -> DateTime<Utc> {
    DateTime::from_timestamp_millis(1_772_357_400_000).unwrap()
}

/// A bus in memory, its clock, and what a verb gets.
pub(super) struct Stage {
    pub(super) memory: Arc<MemoryBus>,
    pub(super) bus: SharedBus,
    pub(super) clock: Arc<ManualClock>,
    ids: Arc<Ids>,
}

impl Stage {
    pub(super) fn new() -> Self {
        let clock = Arc::new(ManualClock::at(noon()));
        let memory = Arc::new(MemoryBus::new(Arc::<ManualClock>::clone(&clock)));
        let bus: SharedBus = Arc::<MemoryBus>::clone(&memory);
        Self { memory, bus, clock, ids: Arc::new(Ids::seeded(1)) }
    }

    /// A verb's context, and what it writes.
    pub(super) fn context(&self, json: bool) -> (Context, Kept, Kept) {
        let Page { out, results, remarks } = Page::new(json);
        let cx = Context {
            config: Config::at(Path::new("/nowhere")),
            clock: Arc::<ManualClock>::clone(&self.clock),
            ids: Arc::clone(&self.ids),
            out,
        };
        (cx, results, remarks)
    }

    pub(super) fn origin(&self) -> Origin {
        Origin::new(Arc::<ManualClock>::clone(&self.clock), Arc::clone(&self.ids), Trust::System)
    }

    /// A message as a service would say it.
    pub(super) fn message(&self, channel: ChannelName, source: &'static str, body: &str) -> Outgoing {
        let kind = channel.check(body).unwrap_or("unknown");
        Outgoing::new(channel, self.origin().envelope(kind, source), body.to_owned()).unwrap()
    }

    /// Says it.
    pub(super) async fn say(&self, channel: ChannelName, source: &'static str, body: &str) -> EntryId {
        self.append(self.message(channel, source, body)).await
    }

    /// Says it.
    pub(super) async fn append(&self, message: Outgoing) -> EntryId {
        match self.commit(vec![Op::Append(message)]).await {
            Outcome::Committed(ids) => ids[0],
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn commit(&self, ops: Vec<Op>) -> Outcome {
        self.bus.commit(vec![Commit::of(ops)]).await.unwrap().remove(0)
    }
}

/// A person's place: a home, a clock, an output.
pub(super) struct Place {
    pub(super) home: TempDir,
    pub(super) clock: Arc<ManualClock>,
    pub(super) cx: Context,
    pub(super) results: Kept,
    pub(super) remarks: Kept,
}

impl Place {
    pub(super) fn new(json: bool) -> Self {
        let home = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(start()));
        let (results, remarks) = (Kept::default(), Kept::default());
        let cx = Context {
            config: Config::at(home.path()),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            ids: Arc::new(Ids::seeded(1)),
            out: Output::to(json, Box::new(results.clone()), Box::new(remarks.clone())),
        };
        Self { home, clock, cx, results, remarks }
    }

    /// An empty bus in memory, on the same clock.
    pub(super) fn memory(&self) -> Arc<MemoryBus> {
        Arc::new(MemoryBus::new(Arc::clone(&self.clock) as Arc<dyn Clock>))
    }

    /// A bus with two messages, one of them in the hands of a consumer, a key, and a timer for in an hour.
    pub(super) async fn furnished(&self) -> SharedBus {
        let bus: SharedBus = self.memory();
        self.say(&bus, "one").await;
        self.say(&bus, "two").await;
        let at = start() + chrono::TimeDelta::hours(1);
        let timer = Timer { id: "t".to_owned(), at, message: self.message("later") };
        let key = crate::bus::Key::new("echo:echo");
        let add = Op::Add { key, field: "handled".to_owned(), n: 3, ceiling: None };
        bus.commit(vec![Commit::of(vec![Op::Schedule(timer), add])]).await.unwrap();
        take(&bus, ChannelName::Echo, 1).await;
        bus
    }

    fn message(&self, text: &str) -> crate::bus::Outgoing {
        let origin = Origin::new(Arc::clone(&self.cx.clock), Arc::clone(&self.cx.ids), Trust::Operator);
        let body = Echoes::from(EchoRequest { text: text.to_owned() });
        origin.compose::<grants::ControlRoom, _>(ECHO, body).unwrap()
    }

    /// Says an echo request.
    pub(super) async fn say(&self, bus: &SharedBus, text: &str) {
        bus.commit(vec![Commit::of(vec![Op::Append(self.message(text))])]).await.unwrap();
    }
}

/// When tests begin.
pub(super) fn start() -> DateTime<Utc> {
    noon()
}

/// The consumer `echo@h#0` takes messages and does nothing with them.
pub(super) async fn take(bus: &SharedBus, channel: ChannelName, count: usize) {
    bus.ensure_group(channel, "echo").await.unwrap();
    let reader = Reader { group: "echo".to_owned(), consumer: "echo@h#0".to_owned() };
    bus.read(&reader, &[channel], Want { start: count, ahead: 0 }, Duration::ZERO).await.unwrap();
}

/// A bus on paused time, where a gate runs if a test lets one.
pub(super) struct Desk {
    pub(super) world: World,
    pub(super) home: TempDir,
    stop: CancellationToken,
}

impl Desk {
    pub(super) fn new() -> Self {
        Self { world: World::new(), home: tempfile::tempdir().unwrap(), stop: CancellationToken::new() }
    }

    /// Runs a gate until the desk goes.
    pub(super) fn gate(&self) {
        let page = Page::new(false);
        let cx = self.context(page.out);
        let options = ConsumerOptions { seed: Some(1), ..ConsumerOptions::default() };
        let gate = Gate::new(super::open::gate_options(&cx));
        let consumer = Consumer::new(self.world.bus(), gate, options, cx.clock, cx.ids);
        let stop = self.stop.clone();
        tokio::spawn(async move { consumer.run(stop).await });
    }

    fn context(&self, out: Output) -> Context {
        let (clock, ids) = (Arc::clone(&self.world.clock), Arc::clone(&self.world.ids));
        Context { config: Config::at(self.home.path()), clock, ids, out }
    }

    /// A verb's context, and what it writes.
    pub(super) fn verb(&self, json: bool) -> (Context, Kept, Kept) {
        let Page { out, results, remarks } = Page::new(json);
        (self.context(out), results, remarks)
    }

    /// What the orchestrator wants, as a proposal that was said. Answers its id.
    pub(super) async fn propose(&self, intents: Vec<Intent>, trust: Trust) -> String {
        let wanted = Wanted {
            proposer: ServiceName::Orchestrator,
            title: "mail\u{1b}[2J them".to_owned(),
            reason: "two of five answered".to_owned(),
            intents,
            facts: Vec::new(),
            details: serde_json::Map::new(),
            cost_usd: Some(1.5),
            trust,
        };
        let proposal = crate::approvals::propose(&self.world.bus(), wanted).await.unwrap();
        let id = proposal.approval_id.clone();
        let body = Proposals::from(proposal);
        self.world.say(self.world.origin(trust).compose::<grants::Orchestrator, _>(PROPOSALS, body).unwrap()).await;
        self.world
            .until(async |world| {
                let groups = world.bus().inspect(ChannelName::Proposals).await.unwrap().groups;
                groups.len() == 1 && groups.iter().all(|group| group.pending == 0 && group.lag == Some(0))
            })
            .await;
        id
    }

    /// A document, changed.
    pub(super) async fn document(&self, key: &str, fields: &[(&str, &str)]) {
        let fields = fields.iter().map(|(name, text)| ((*name).to_owned(), Some((*text).to_owned()))).collect();
        let (key, expect) = (crate::bus::Key::new(key), crate::bus::Expect::Any);
        self.world.commit(vec![Op::Change { key, expect, fields, ttl: crate::bus::Ttl::Keep }]).await;
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
