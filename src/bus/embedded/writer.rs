//! The one thread that writes: it puts what waits into one transaction, and answers when that is committed.
//!
//! Owns the grouping of writes, the readers that wait for news, and the pauses in which other processes get in. An append and
//! its delivery to a waiting reader are one transaction. Must never answer before the commit, and must never die of an error.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::thread;
use std::time::Duration;

use super::queue::{Message, ReadRequest, Work};
use super::schema::is_disk;
use super::shared::Shared;
use super::state;
use super::store::{Channels, Store};
use crate::bus::BusError;
use crate::contracts::ChannelName;

/// Most units in one transaction.
const GROUP_UNITS: usize = 256;
/// Longest time that a transaction takes up more.
const GROUP_TIME: Duration = Duration::from_millis(5);
/// How often another process must be let in, how much of that time the lock must have been free, and how long a pause is.
const TURN: Duration = Duration::from_millis(50);
const TURN_FREE: Duration = Duration::from_millis(10);
const PAUSE: Duration = Duration::from_millis(2);
/// How often what has lapsed is removed.
const HOUSEKEEPING: Duration = Duration::from_secs(10);
/// How many looks at the queue it stays awake for after a transaction that came soon after another, some 50 µs: whoever it answered
/// often has the next one, and to be woken costs as much as to write.
const AWAKE: usize = 150;
/// What comes within this comes soon.
const SOON: Duration = Duration::from_micros(500);
/// How soon waiting readers are tried again after a transaction failed.
const RETRY: Duration = Duration::from_millis(250);

/// The writing thread.
pub(super) struct Writer {
    store: Store,
    inbox: Receiver<Message>,
    shared: Arc<Shared>,
    waiting: Vec<ReadRequest>,
    /// Waiting readers must be tried again though nothing new was said.
    retry: bool,
    /// When its last transaction ended, and whether that one came soon after the one before.
    ended: Duration,
    is_busy: bool,
    stopping: bool,
    turn: Turn,
    last_housekeeping: Duration,
    forget_cursor: String,
}

/// How long the lock was free lately.
struct Turn {
    since: Duration,
    free: Duration,
}

impl Writer {
    pub(super) fn new(store: Store, inbox: Receiver<Message>, shared: Arc<Shared>) -> Self {
        let now = store.clock.monotonic();
        Self {
            store,
            inbox,
            shared,
            waiting: Vec::new(),
            retry: false,
            ended: now,
            is_busy: false,
            stopping: false,
            turn: Turn { since: now, free: Duration::ZERO },
            last_housekeeping: now,
            forget_cursor: String::new(),
        }
    }

    /// Works until it is told to stop.
    pub(super) fn run(mut self) {
        while !self.stopping && !self.shared.is_abandoned() {
            let before = self.now();
            let patience = if self.retry { RETRY } else { HOUSEKEEPING };
            let next = self.next(patience);
            self.let_others_in(before);
            match next {
                Ok(message) => {
                    let mut batch = Vec::new();
                    let mut units = 0;
                    self.take(message, &mut batch, &mut units);
                    if !batch.is_empty() {
                        self.transaction(batch, units);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if self.retry {
                self.retry = false;
                self.transaction(Vec::new(), GROUP_UNITS);
            }
            if self.now().saturating_sub(self.last_housekeeping) >= HOUSEKEEPING {
                self.last_housekeeping = self.now();
                self.housekeeping();
            }
        }
        self.end();
    }

    fn now(&self) -> Duration {
        self.store.clock.monotonic()
    }

    /// The next message, which is waited for so long.
    fn next(&mut self, patience: Duration) -> Result<Message, RecvTimeoutError> {
        if std::mem::take(&mut self.is_busy) {
            for _ in 0..AWAKE {
                match self.inbox.try_recv() {
                    Ok(message) => return Ok(message),
                    Err(TryRecvError::Empty) => thread::yield_now(),
                    Err(TryRecvError::Disconnected) => return Err(RecvTimeoutError::Disconnected),
                }
            }
        }
        self.inbox.recv_timeout(patience)
    }

    /// Under steady load the lock would never be free for as long as others need to notice; then it pauses.
    fn let_others_in(&mut self, waited_since: Duration) {
        let now = self.now();
        self.turn.free += now.saturating_sub(waited_since);
        if now.saturating_sub(self.turn.since) < TURN {
            return;
        }
        if self.turn.free < TURN_FREE {
            thread::park_timeout(PAUSE);
        }
        self.turn = Turn { since: self.now(), free: Duration::ZERO };
    }

    // ---- taking in -----------------------------------------------------------------------------------------------------

    /// Takes a message in: into the batch, or done at once where it needs no transaction.
    fn take(&mut self, message: Message, batch: &mut Vec<Work>, units: &mut usize) {
        match message {
            Message::Job { job, units: weight, permit } => {
                drop(permit);
                *units += weight;
                batch.push(Work::Job(job));
            }
            Message::Read(request, permit) => {
                drop(permit);
                *units += 1;
                if batch.is_empty() && self.may_wait_at_once(&request) {
                    self.wait(request);
                } else {
                    batch.push(Work::Read { request, answer: None, waited: false });
                }
            }
            Message::Enough(id) => self.enough(id, batch),
            Message::Rung => {
                if batch.is_empty() {
                    self.rung();
                }
            }
            Message::Stop => self.stopping = true,
        }
    }

    /// Whether a read would find nothing and change nothing. Looks at the store only where it would wait in vain.
    fn may_wait_at_once(&mut self, request: &ReadRequest) -> bool {
        if self.store.has_news(&request.reader.group, &request.channels)
            || self.store.is_unseen(&request.reader, &request.channels)
        {
            return false;
        }
        match self.store.refresh() {
            Ok(true) => {
                self.shared.publish(&self.store, None);
                self.retry = true;
                !self.store.has_news(&request.reader.group, &request.channels)
            }
            Ok(false) => true,
            Err(_) => false,
        }
    }

    fn wait(&mut self, request: ReadRequest) {
        if request.waits {
            self.waiting.push(request);
        } else {
            let _ = request.reply.send(Ok(Vec::new()));
        }
    }

    fn enough(&mut self, id: u64, batch: &mut [Work]) {
        if let Some(index) = self.waiting.iter().position(|request| request.id == id) {
            let request = self.waiting.remove(index);
            let _ = request.reply.send(Ok(Vec::new()));
            return;
        }
        for work in batch {
            if let Work::Read { request, .. } = work
                && request.id == id
            {
                request.waits = false;
            }
        }
    }

    fn rung(&mut self) {
        match self.store.refresh() {
            Ok(false) => {}
            Ok(true) => {
                self.shared.publish(&self.store, None);
                let news = |request: &ReadRequest| self.store.has_news(&request.reader.group, &request.channels);
                self.retry |= self.waiting.iter().any(news);
            }
            Err(error) => tracing::warn!(%error, "the store could not be looked at"),
        }
    }

    // ---- transactions --------------------------------------------------------------------------------------------------

    /// Does everything in the batch, what comes in meanwhile, and what waiting readers can be given, in one transaction.
    fn transaction(&mut self, mut batch: Vec<Work>, mut units: usize) {
        let began = self.now();
        let until = began + GROUP_TIME;
        if let Err(error) = self.store.begin() {
            return self.undo(batch, &error);
        }
        let mut index = 0;
        loop {
            if index == batch.len() {
                if units >= GROUP_UNITS || self.now() >= until {
                    break;
                }
                match self.inbox.try_recv() {
                    Ok(message) => self.take_more(message, &mut batch, &mut units),
                    Err(_) => break,
                }
                continue;
            }
            if let Err(error) = batch[index].run(&mut self.store) {
                return self.undo(batch, &error);
            }
            index += 1;
        }
        if let Err(error) = self.deliver(&mut batch).and_then(|()| self.store.commit()) {
            return self.undo(batch, &error);
        }
        self.answer(batch);
        self.is_busy = began.saturating_sub(self.ended) < SOON;
        self.ended = self.now();
    }

    /// As [`Self::take`], inside a transaction: nothing may look at the store from outside it.
    fn take_more(&mut self, message: Message, batch: &mut Vec<Work>, units: &mut usize) {
        match message {
            Message::Read(request, permit) => {
                drop(permit);
                *units += 1;
                batch.push(Work::Read { request, answer: None, waited: false });
            }
            // Whatever rang was committed before this transaction began, and is known.
            Message::Rung => {}
            other => self.take(other, batch, units),
        }
    }

    /// Gives readers what there is for them now: first those that waited, then those of this batch that came before the news.
    fn deliver(&mut self, batch: &mut Vec<Work>) -> rusqlite::Result<()> {
        let come = batch.len();
        let mut index = 0;
        while index < self.waiting.len() {
            let request = &self.waiting[index];
            if request.reply.is_closed() {
                self.waiting.remove(index);
                continue;
            }
            if !self.store.has_news(&request.reader.group, &request.channels) {
                index += 1;
                continue;
            }
            let request = self.waiting.remove(index);
            batch.push(Work::Read { request, answer: None, waited: true });
            if let Some(work) = batch.last_mut() {
                work.run(&mut self.store)?;
            }
        }
        for work in &mut batch[..come] {
            if let Work::Read { request, answer, .. } = work
                && matches!(answer, Some(Ok(claimed)) if claimed.is_empty())
                && self.store.has_news(&request.reader.group, &request.channels)
            {
                work.run(&mut self.store)?;
            }
        }
        Ok(())
    }

    /// Answers everything after the commit.
    fn answer(&mut self, batch: Vec<Work>) {
        let appended = self.store.appended;
        for work in batch {
            match work {
                Work::Job(job) => job.finish(None),
                Work::Read { request, answer, .. } => match answer {
                    Some(Ok(claimed)) if claimed.is_empty() => self.wait(request),
                    Some(answer) => {
                        let _ = request.reply.send(answer);
                    }
                    None => self.wait(request),
                },
            }
        }
        if self.store.foreign {
            self.shared.publish(&self.store, None);
        } else if !appended.is_empty() || self.store.noticed {
            self.shared.publish(&self.store, Some(appended));
        }
    }

    /// Undoes the transaction. What the disk refused fails; a fault of one is found by doing each alone.
    fn undo(&mut self, batch: Vec<Work>, error: &rusqlite::Error) {
        self.store.roll_back();
        tracing::warn!(%error, calls = batch.len(), "a transaction was undone");
        let alone = batch.len() == 1 || is_disk(error) || is_common(error);
        for work in batch {
            match work {
                Work::Read { request, waited: true, .. } => {
                    self.waiting.push(request);
                    self.retry = true;
                }
                work if !alone => self.transaction_of_one(work),
                Work::Job(job) => job.finish(Some(self.shared.told(error))),
                Work::Read { request, .. } => {
                    let _ = request.reply.send(Err(self.shared.told(error)));
                }
            }
        }
    }

    fn transaction_of_one(&mut self, mut work: Work) {
        let done = self.store.begin().and_then(|()| work.run(&mut self.store)).and_then(|()| self.store.commit());
        match done {
            Ok(()) => {
                self.answer(vec![work]);
                self.retry = true;
            }
            Err(error) => self.undo(vec![work], &error),
        }
    }

    // ---- rest ----------------------------------------------------------------------------------------------------------

    /// Removes what has lapsed, a little at a time.
    fn housekeeping(&mut self) {
        let cursor = self.forget_cursor.clone();
        let wall = self.store.wall();
        let done = self.store.begin().and_then(|()| {
            state::purge(&self.store.conn, wall, 200)?;
            self.store.clear_notices()?;
            let next = self.store.forget(&cursor, 1_000)?;
            self.store.commit()?;
            Ok(next)
        });
        match done {
            Ok(next) => self.forget_cursor = next.unwrap_or_default(),
            Err(error) => {
                self.store.roll_back();
                tracing::warn!(%error, "what has lapsed could not be removed from the store; it is tried again");
            }
        }
    }

    /// Answers whoever is left.
    fn end(self) {
        for request in self.waiting {
            let _ = request.reply.send(Err(BusError::Closed));
        }
        while let Ok(message) = self.inbox.try_recv() {
            match message {
                Message::Job { job, .. } => job.finish(Some(BusError::Closed)),
                Message::Read(request, _) => {
                    let _ = request.reply.send(Err(BusError::Closed));
                }
                Message::Enough(_) | Message::Rung | Message::Stop => {}
            }
        }
    }
}

/// Whether an error concerns the whole store rather than one job.
fn is_common(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseBusy, DatabaseCorrupt, DatabaseLocked, NotADatabase, OutOfMemory};
    matches!(
        error.sqlite_error_code(),
        Some(DatabaseBusy | DatabaseLocked | DatabaseCorrupt | NotADatabase | OutOfMemory)
    )
}

/// The channels of a store's last transaction, or all of them.
pub(super) fn channels_of(appended: Option<Channels>) -> impl Iterator<Item = ChannelName> {
    let wanted = move |channel: &ChannelName| appended.is_none_or(|set| set.meets(Channels::of(&[*channel])));
    ChannelName::ALL.iter().copied().filter(wanted)
}
