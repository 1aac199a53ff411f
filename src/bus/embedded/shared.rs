//! What the handle, the writer and the background threads share: the queue to the writer, the bell, connections to read with.
//!
//! Owns how calls reach the threads. Must never block a task: reading happens on threads made for blocking.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;

use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use super::group::Answer;
use super::open::{self, Presence};
use super::queue::{Call, Message};
use super::schema::{Role, connect, is_damage, told};
use super::store::{Channels, Store};
use super::writer::channels_of;
use crate::bus::{BusError, EntryId};
use crate::contracts::{ChannelName, Clock};

/// Calls that may wait for the writer; beyond that, callers wait for a place.
const QUEUE: usize = 1_024;
/// Room for messages that need no place: ends of waits, and rings of the bell.
pub(super) const QUEUE_ROOM: usize = 4 * QUEUE;
/// Connections to read with.
const READERS: usize = 2;

/// A mutex's content, also where a thread died holding it: everything here is whole at every step.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What all parts share.
pub(super) struct Shared {
    path: PathBuf,
    pub(super) clock: Arc<dyn Clock>,
    inbox: SyncSender<Message>,
    places: Arc<Semaphore>,
    /// Calls are refused.
    closed: AtomicBool,
    /// The writer ends without doing what still waits.
    abandoned: AtomicBool,
    bell: watch::Sender<u64>,
    newest: Mutex<Vec<EntryId>>,
    idle: Mutex<Vec<Connection>>,
    reading: Semaphore,
    /// How many wait for what other processes may say.
    attentive: AtomicUsize,
    /// Writes asked for so far; the search index waits for a quiet moment.
    pub(super) asked: AtomicU64,
    pub(super) doorbell: OnceLock<Thread>,
    /// Says that this process has the file open, until the last part has let go of it.
    presence: Mutex<Option<Presence>>,
}

/// While it lives, the bell is rung for what other processes write.
pub(super) struct Attention<'a>(&'a Shared);

impl Drop for Attention<'_> {
    fn drop(&mut self) {
        self.0.attentive.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Shared {
    pub(super) fn new(path: PathBuf, clock: Arc<dyn Clock>, inbox: SyncSender<Message>, presence: Presence) -> Self {
        Self {
            path,
            clock,
            inbox,
            places: Arc::new(Semaphore::new(QUEUE)),
            closed: AtomicBool::new(false),
            abandoned: AtomicBool::new(false),
            bell: watch::Sender::new(0),
            newest: Mutex::new(vec![EntryId::ZERO; ChannelName::ALL.len()]),
            idle: Mutex::default(),
            reading: Semaphore::new(READERS),
            attentive: AtomicUsize::new(0),
            asked: AtomicU64::new(0),
            doorbell: OnceLock::new(),
            presence: Mutex::new(Some(presence)),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Milliseconds since 1970.
    pub(super) fn wall(&self) -> i64 {
        self.clock.now().timestamp_millis().max(0)
    }

    /// What an error means to a caller; a damaged file is marked, so that the next start looks at all of it.
    pub(super) fn told(&self, error: &rusqlite::Error) -> BusError {
        if is_damage(error) {
            open::suspect(&self.path);
        }
        told(error, &self.path)
    }

    // ---- writing -------------------------------------------------------------------------------------------------------

    /// Waits for a place in the writer's queue.
    pub(super) async fn place(&self) -> Result<OwnedSemaphorePermit, BusError> {
        if self.is_closed() {
            return Err(BusError::Closed);
        }
        self.asked.fetch_add(1, Ordering::Relaxed);
        Arc::clone(&self.places).acquire_owned().await.map_err(|_| BusError::Closed)
    }

    /// Tells the writer something that has a place, or needs none.
    pub(super) fn tell(&self, message: Message) -> Result<(), BusError> {
        self.inbox.try_send(message).map_err(|_| BusError::Closed)
    }

    /// Has the writer do something in a transaction, and waits for the commit.
    pub(super) async fn write<T, F>(&self, units: usize, work: F) -> Result<T, BusError>
    where
        T: Send + 'static,
        F: FnMut(&mut Store) -> Answer<T> + Send + 'static,
    {
        let permit = self.place().await?;
        let (reply, answer) = oneshot::channel();
        self.tell(Message::Job { job: Box::new(Call::new(work, reply)), units, permit })?;
        answer.await.map_err(|_| BusError::Closed)?
    }

    /// As [`Shared::write`], from a thread that may block. None where the writer is gone or too busy.
    pub(super) fn write_blocking<T, F>(&self, work: F) -> Option<Result<T, BusError>>
    where
        T: Send + 'static,
        F: FnMut(&mut Store) -> Answer<T> + Send + 'static,
    {
        let permit = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let (reply, answer) = oneshot::channel();
        self.tell(Message::Job { job: Box::new(Call::new(work, reply)), units: 64, permit }).ok()?;
        answer.blocking_recv().ok()
    }

    // ---- reading -------------------------------------------------------------------------------------------------------

    /// Reads on a thread made for blocking.
    pub(super) async fn read_only<T, F>(self: &Arc<Self>, work: F) -> Result<T, BusError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        if self.is_closed() {
            return Err(BusError::Closed);
        }
        let permit = self.reading.acquire().await.map_err(|_| BusError::Closed)?;
        let shared = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || {
            let kept = lock(&shared.idle).pop();
            let conn = match kept {
                Some(conn) => conn,
                None => connect(&shared.path, Role::Reader)?,
            };
            let done = work(&conn);
            if !shared.is_closed() {
                lock(&shared.idle).push(conn);
            }
            done
        });
        let done = done.await;
        drop(permit);
        match done {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(error)) => Err(self.told(&error)),
            Err(_) => Err(BusError::Closed),
        }
    }

    // ---- the bell ------------------------------------------------------------------------------------------------------

    /// Asks for the bell to be rung for other processes' writes, too.
    pub(super) fn attend(&self) -> Attention<'_> {
        if self.attentive.fetch_add(1, Ordering::SeqCst) == 0
            && let Some(doorbell) = self.doorbell.get()
        {
            doorbell.unpark();
        }
        Attention(self)
    }

    pub(super) fn is_attended(&self) -> bool {
        self.attentive.load(Ordering::SeqCst) > 0
    }

    /// Rings after every commit that says something.
    pub(super) fn bell(&self) -> watch::Receiver<u64> {
        self.bell.subscribe()
    }

    /// Makes the newest ids known (of the channels that changed, or all) and rings.
    pub(super) fn publish(&self, store: &Store, appended: Option<Channels>) {
        {
            let mut newest = lock(&self.newest);
            for channel in channels_of(appended) {
                newest[channel as usize] = store.channels[channel as usize].last.id;
            }
        }
        self.bell.send_modify(|rings| *rings += 1);
    }

    /// Whether one of the channels has something after its cursor, by what this process knows.
    pub(super) fn has_after(&self, cursors: &[(ChannelName, EntryId)]) -> bool {
        let newest = lock(&self.newest);
        cursors.iter().any(|(channel, after)| newest[*channel as usize] > *after)
    }

    // ---- the end -------------------------------------------------------------------------------------------------------

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::SeqCst)
    }

    /// Waits for reads that are under way, and closes the readers.
    pub(super) async fn let_go(&self) {
        let all = u32::try_from(READERS).unwrap_or(1);
        if let Ok(permits) = self.reading.acquire_many(all).await {
            lock(&self.idle).clear();
            drop(permits);
        }
    }

    /// Says that this process no longer has the file open.
    pub(super) fn leave(&self) {
        lock(&self.presence).take();
    }

    /// Refuses further calls and has all threads end; what is in the queue is still done.
    pub(super) fn stop(&self) {
        if self.closed.swap(true, Ordering::SeqCst) {
            return;
        }
        if self.inbox.try_send(Message::Stop).is_err() {
            self.abandoned.store(true, Ordering::SeqCst);
        }
        lock(&self.idle).clear();
        self.bell.send_modify(|rings| *rings += 1);
        if let Some(doorbell) = self.doorbell.get() {
            doorbell.unpark();
        }
    }
}
