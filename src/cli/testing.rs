//! What the tests of verbs share: an output that is kept, and a bus in memory.

use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::Context;
use super::output::Output;
use crate::bus::memory::MemoryBus;
use crate::bus::{Commit, EntryId, Op, Origin, Outcome, Outgoing, SharedBus};
use crate::config::Config;
use crate::contracts::{ChannelName, Ids, ManualClock, Trust};

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
