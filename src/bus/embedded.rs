//! The embedded engine: a SQLite file (WAL) that the processes of one machine share. No server, no set-up.
//!
//! Owns how the port's calls become transactions. One thread writes and groups what waits; reads happen beside it; an append and
//! its delivery to a waiting reader are one transaction. Must never be used on a network file system.
//!
//! | file | what |
//! |---|---|
//! | `open`, `wal`, `salvage`, `schema` | the file: fit, whole, of our schema |
//! | `writer`, `queue`, `store`, `shared` | the writing thread, what it remembers, how calls reach it |
//! | `apply`, `state`, `group`, `lease` | commits, state, groups, leases, inside a transaction |
//! | `find`, `view`, `follow`, `search`, `health` | reading |
//! | `transfer` | export and import |
//! | `background` | doorbell, checkpoints, search index |

mod apply;
mod background;
mod find;
mod follow;
mod group;
mod health;
mod lease;
mod open;
mod queue;
mod salvage;
mod schema;
mod search;
mod shared;
mod state;
mod store;
mod transfer;
mod view;
mod wal;
mod writer;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use self::apply::Unit;
use self::group::{Hold, Take};
pub use self::open::OpenReport;
use self::queue::{Message, ReadRequest};
pub use self::salvage::Salvage;
use self::shared::{QUEUE_ROOM, Shared, lock};
use self::store::Store;
use self::writer::Writer;
use super::{
    Bus, BusError, ChannelInfo, Claimed, Claims, Commit, Entry, EntryId, Got, GroupFound, Health, Key, LeaseFence,
    Listener, Outcome, Outgoing, Range, Reader, Record, State, Want,
};
use crate::contracts::{ChannelName, Clock};

/// Entries that a trim removes in one transaction.
const TRIM_CHUNK: i64 = 500;

/// What survives a power cut. A kill of processes loses nothing either way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Durability {
    /// All but the last seconds.
    #[default]
    Normal,
    /// Everything: each transaction is synced to the disk.
    Full,
}

/// Where the writer is, for fault tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Before an entry is written.
    BeforeAppend,
    /// After it was written, before the commit.
    AfterAppend,
    /// Before a message is given to a consumer.
    BeforeClaim,
    /// After that was written, before the commit.
    AfterClaim,
    /// Before a transaction is committed.
    BeforeCommit,
    /// After it was committed, before anybody knows.
    AfterCommit,
}

/// Called by the writing thread at each step.
pub type StepHook = Arc<dyn Fn(Step) + Send + Sync>;

/// How a store is opened.
#[derive(Clone)]
pub struct EmbeddedOptions {
    /// The file, such as `fullsend.db` in the home. It and its folder are created where they are missing.
    pub path: PathBuf,
    /// What survives a power cut.
    pub durability: Durability,
    /// Wall time gives ids and times to live, monotonic time gives leases and idle times.
    pub clock: Arc<dyn Clock>,
    /// For fault tests only.
    pub on_step: Option<StepHook>,
    /// Most pages of 4 KiB that the file may have, for tests of a full disk only.
    pub max_pages: Option<u32>,
}

impl EmbeddedOptions {
    /// The ordinary options for a file.
    pub fn new(path: impl Into<PathBuf>, clock: Arc<dyn Clock>) -> Self {
        Self { path: path.into(), durability: Durability::default(), clock, on_step: None, max_pages: None }
    }
}

/// The bus in a file. Dropping it closes it; [`Bus::close`] also waits until that is done.
pub struct EmbeddedBus {
    shared: Arc<Shared>,
    durability: Durability,
    report: OpenReport,
    reads: AtomicU64,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Drop for EmbeddedBus {
    fn drop(&mut self) {
        self.stop();
    }
}

impl EmbeddedBus {
    /// Opens the store, making or mending it where necessary, and starts its threads. Blocks for some milliseconds, or longer
    /// where another program is just opening it.
    ///
    /// # Errors
    /// [`BusError::Unsupported`] where the place is not fit (a network file system, no rights) or the schema is newer;
    /// [`BusError::ReadOnly`] where the disk is full.
    pub fn open(options: EmbeddedOptions) -> Result<Self, BusError> {
        match Self::try_open(options.clone()) {
            // The damage was met beyond what opening looks at first. It is marked now, so all of it is looked at, and what can be read is
            // saved; unless another program has it open.
            Err(error) if open::is_suspect(&options.path) => {
                tracing::warn!(%error, "the store is opened again, to be mended");
                Self::try_open(options)
            }
            opened => opened,
        }
    }

    fn try_open(options: EmbeddedOptions) -> Result<Self, BusError> {
        let opened = open::open(&options)?;
        if let Some(pages) = options.max_pages {
            let limited = opened.conn.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()));
            limited.map_err(|error| schema::told(&error, &opened.path))?;
        }
        let (inbox, messages) = sync_channel(QUEUE_ROOM);
        let mut store = Store::new(opened.conn, Arc::clone(&options.clock), options.on_step);
        store.refresh().map_err(|error| open::met(&error, &opened.path))?;
        let shared = Arc::new(Shared::new(opened.path, options.clock, inbox, opened.presence));
        shared.publish(&store, None);
        let bus = Self {
            shared: Arc::clone(&shared),
            durability: options.durability,
            report: opened.report,
            reads: AtomicU64::new(0),
            threads: Mutex::default(),
        };
        let writer = Writer::new(store, messages, Arc::clone(&shared));
        bus.start("bus-writer", move || writer.run())?;
        let part = Arc::clone(&shared);
        let doorbell = bus.start("bus-doorbell", move || background::doorbell(&part))?;
        shared.doorbell.get_or_init(|| doorbell);
        let part = Arc::clone(&shared);
        bus.start("bus-checkpoint", move || background::checkpointer(&part))?;
        let part = Arc::clone(&shared);
        bus.start("bus-index", move || background::indexer(&part))?;
        Ok(bus)
    }

    fn start(&self, name: &str, work: impl FnOnce() + Send + 'static) -> Result<std::thread::Thread, BusError> {
        let thread = background::start(name, work)?;
        let handle = thread.thread().clone();
        lock(&self.threads).push(thread);
        Ok(handle)
    }

    /// Has all threads end, without waiting for them.
    fn stop(&self) {
        self.shared.stop();
        for thread in lock(&self.threads).iter() {
            thread.thread().unpark();
        }
    }

    /// What was found when the store was opened.
    pub fn opened(&self) -> &OpenReport {
        &self.report
    }

    async fn take(
        &self,
        reader: &Reader,
        channels: &[ChannelName],
        take: Take,
        limit: usize,
    ) -> Result<Claims, BusError> {
        let (reader, channels) = (reader.clone(), channels.to_vec());
        self.shared.write(1, move |store| store.take(&reader, &channels, take, limit)).await
    }

    async fn hold(
        &self,
        reader: &Reader,
        held: &[(ChannelName, EntryId)],
        what: Hold,
    ) -> Result<Vec<(ChannelName, EntryId)>, BusError> {
        if held.is_empty() {
            return Ok(Vec::new());
        }
        let (reader, held) = (reader.clone(), held.to_vec());
        self.shared.write(held.len(), move |store| store.hold(&reader, &held, what).map(Ok)).await
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[async_trait]
impl Bus for EmbeddedBus {
    fn engine(&self) -> &'static str {
        "embedded"
    }

    async fn commit(&self, units: Vec<Commit>) -> Result<Vec<Outcome>, BusError> {
        let units: Vec<Unit> = units.into_iter().map(Unit::new).collect();
        let apply =
            move |store: &mut Store| units.iter().map(|unit| store.apply(unit)).collect::<Result<_, _>>().map(Ok);
        self.shared.write(1, apply).await
    }

    async fn notify(&self, notice: Outgoing) -> Result<(), BusError> {
        let e = notice.envelope.to_json();
        self.shared.write(1, move |store| store.notify(notice.channel, &e, &notice.body).map(Ok)).await
    }

    async fn ensure_group(&self, channel: ChannelName, group: &str) -> Result<GroupFound, BusError> {
        let group = group.to_owned();
        self.shared.write(1, move |store| store.ensure_group(channel, &group).map(Ok)).await
    }

    async fn read(
        &self,
        reader: &Reader,
        channels: &[ChannelName],
        want: Want,
        patience: Duration,
    ) -> Result<Vec<Claimed>, BusError> {
        if want.start == 0 && want.ahead == 0 {
            return Ok(Vec::new());
        }
        let end = Instant::now() + patience;
        let id = self.reads.fetch_add(1, Ordering::Relaxed);
        let (reply, mut answer) = oneshot::channel();
        let request = ReadRequest {
            id,
            reader: reader.clone(),
            channels: channels.to_vec(),
            want,
            waits: !patience.is_zero(),
            reply,
        };
        // Before the writer looks: whatever other processes write after that look is rung for.
        let _attention = self.shared.attend();
        let permit = self.shared.place().await?;
        self.shared.tell(Message::Read(request, permit))?;
        if !patience.is_zero() {
            match tokio::time::timeout_at(end, &mut answer).await {
                Ok(answer) => return answer.map_err(|_| BusError::Closed)?,
                // What is being handed over at this moment still comes.
                Err(_) => self.shared.tell(Message::Enough(id))?,
            }
        }
        answer.await.map_err(|_| BusError::Closed)?
    }

    async fn own_pending(&self, reader: &Reader, channels: &[ChannelName], limit: usize) -> Result<Claims, BusError> {
        self.take(reader, channels, Take::Own, limit).await
    }

    async fn extend(
        &self,
        reader: &Reader,
        held: &[(ChannelName, EntryId)],
    ) -> Result<Vec<(ChannelName, EntryId)>, BusError> {
        self.hold(reader, held, Hold::Extend).await
    }

    async fn claim_stale(
        &self,
        reader: &Reader,
        channels: &[ChannelName],
        idle: Duration,
        limit: usize,
    ) -> Result<Claims, BusError> {
        self.take(reader, channels, Take::Stale(idle), limit).await
    }

    async fn release(&self, reader: &Reader, held: &[(ChannelName, EntryId)]) -> Result<(), BusError> {
        self.hold(reader, held, Hold::Release).await.map(|_| ())
    }

    async fn range(&self, channel: ChannelName, range: Range) -> Result<Vec<Entry>, BusError> {
        self.shared.read_only(move |conn| find::range(conn, channel, range)).await
    }

    async fn search(
        &self,
        words: &[String],
        limit: usize,
        before: Option<EntryId>,
    ) -> Result<Option<Vec<Entry>>, BusError> {
        let words = words.to_vec();
        self.shared.read_only(move |conn| search::search(conn, &words, limit, before)).await
    }

    async fn newest(&self, channels: &[ChannelName]) -> Result<Vec<(ChannelName, Option<EntryId>)>, BusError> {
        let channels = channels.to_vec();
        let newest = move |conn: &rusqlite::Connection| {
            channels.into_iter().map(|channel| Ok((channel, find::newest(conn, channel)?))).collect()
        };
        self.shared.read_only(newest).await
    }

    async fn watch(
        &self,
        cursors: &[(ChannelName, EntryId)],
        limit: usize,
        wait: Duration,
    ) -> Result<Vec<Entry>, BusError> {
        let end = Instant::now() + wait;
        let mut bell = self.shared.bell();
        let _attention = self.shared.attend();
        loop {
            bell.mark_unchanged();
            let wanted = cursors.to_vec();
            let entries = self.shared.read_only(move |conn| follow::after(conn, &wanted, limit)).await?;
            let news = follow::wait_for_news(&self.shared, &mut bell, cursors);
            if !entries.is_empty() || tokio::time::timeout_at(end, news).await.is_err() {
                return Ok(entries);
            }
        }
    }

    async fn listen(&self, channels: &[ChannelName]) -> Result<Listener, BusError> {
        follow::listen(&self.shared, channels).await
    }

    async fn get(&self, key: &Key) -> Result<Option<State>, BusError> {
        let (key, wall) = (key.clone(), self.shared.wall());
        let found = self.shared.read_only(move |conn| state::read(conn, &key, wall)).await?;
        found.map(|found| found.map(|(state, _)| state))
    }

    async fn get_many(&self, keys: &[Key], only: Option<&[&str]>) -> Result<Vec<Got>, BusError> {
        let (keys, wall) = (keys.to_vec(), self.shared.wall());
        let only: Option<Vec<String>> = only.map(|only| only.iter().map(|&field| field.to_owned()).collect());
        let read = move |conn: &rusqlite::Connection| state::read_many(conn, &keys, only.as_deref(), wall);
        self.shared.read_only(read).await
    }

    async fn scan(
        &self,
        prefix: &str,
        cursor: Option<String>,
        limit: usize,
    ) -> Result<(Vec<Key>, Option<String>), BusError> {
        let (prefix, wall) = (prefix.to_owned(), self.shared.wall());
        self.shared.read_only(move |conn| view::scan(conn, &prefix, cursor.as_deref(), limit, wall)).await
    }

    async fn lease(&self, name: &str, owner: &str, ttl: Duration) -> Result<Option<LeaseFence>, BusError> {
        let (lease, owner) = (name.to_owned(), owner.to_owned());
        let number = self.shared.write(1, move |store| store.lease(&lease, &owner, millis(ttl)).map(Ok)).await?;
        Ok(number.map(|number| LeaseFence { name: name.to_owned(), number }))
    }

    async fn unlease(&self, name: &str, owner: &str) -> Result<(), BusError> {
        let (name, owner) = (name.to_owned(), owner.to_owned());
        self.shared.write(1, move |store| store.unlease(&name, &owner).map(Ok)).await
    }

    async fn fire_timers(&self, now: DateTime<Utc>, limit: usize, under: &LeaseFence) -> Result<usize, BusError> {
        let (now, under) = (now.timestamp_millis(), under.clone());
        self.shared.write(limit, move |store| store.fire_timers(now, limit, &under).map(Ok)).await
    }

    async fn next_timer(&self) -> Result<Option<DateTime<Utc>>, BusError> {
        self.shared.read_only(view::next_timer).await
    }

    async fn trim(&self, channel: ChannelName, older_than: DateTime<Utc>, keep: u64) -> Result<u64, BusError> {
        let mut gone = 0;
        loop {
            let older_than = older_than.timestamp_millis();
            let trim = move |store: &mut Store| store.trim(channel, older_than, keep, TRIM_CHUNK).map(Ok);
            let chunk = self.shared.write(256, trim).await?;
            gone += chunk;
            if chunk < TRIM_CHUNK.unsigned_abs() {
                return Ok(gone);
            }
        }
    }

    async fn inspect(&self, channel: ChannelName) -> Result<ChannelInfo, BusError> {
        let monotonic = millis(self.shared.clock.monotonic());
        self.shared.read_only(move |conn| view::inspect(conn, channel, monotonic)).await
    }

    async fn drop_group(&self, channel: ChannelName, group: &str) -> Result<bool, BusError> {
        let group = group.to_owned();
        self.shared.write(1, move |store| store.drop_group(channel, &group).map(Ok)).await
    }

    async fn health(&self) -> Result<Health, BusError> {
        let reached = self.shared.read_only(store::data_version).await.err();
        let reached = reached.map(|error| error.to_string());
        Ok(health::health(self.shared.path(), self.durability, &self.report, reached))
    }

    async fn export(&self, sink: mpsc::Sender<Record>) -> Result<(), BusError> {
        transfer::export(&self.shared, sink).await
    }

    async fn import(&self, source: mpsc::Receiver<Record>) -> Result<u64, BusError> {
        transfer::import(&self.shared, source).await
    }

    async fn close(&self) {
        self.stop();
        let threads = std::mem::take(&mut *lock(&self.threads));
        let joined = tokio::task::spawn_blocking(move || {
            for thread in threads {
                // A thread that panicked has ended as well.
                let _ = thread.join();
            }
        });
        let _ = joined.await;
        self.shared.let_go().await;
        // Whoever closes last puts the log into the file, and a reader cannot: so a connection that writes is the last.
        let path = self.shared.path().to_owned();
        let last = move || rusqlite::Connection::open(path)?.execute_batch("PRAGMA wal_checkpoint(PASSIVE)");
        if let Ok(Err(err)) = tokio::task::spawn_blocking(last).await {
            tracing::debug!(%err, "the log stays beside the file; the next start reads it");
        }
        self.shared.leave();
    }
}
