//! What stands in the writer's queue.
//!
//! Owns the shapes only; when and how it is done is [`super::writer`]'s.

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::group::Answer;
use super::store::Store;
use crate::bus::{BusError, Claimed, Reader, Want};
use crate::contracts::ChannelName;

/// Something to be done in a transaction. It may be run again if the transaction has to be repeated.
pub(super) trait Job: Send {
    /// Does it and keeps the answer.
    fn run(&mut self, store: &mut Store) -> rusqlite::Result<()>;
    /// Gives the answer, or the error that undid it.
    fn finish(self: Box<Self>, undone: Option<BusError>);
}

/// A job made of a closure.
pub(super) struct Call<T, F> {
    work: F,
    answer: Option<Result<T, BusError>>,
    reply: oneshot::Sender<Result<T, BusError>>,
}

impl<T, F> Call<T, F> {
    pub(super) fn new(work: F, reply: oneshot::Sender<Result<T, BusError>>) -> Self {
        Self { work, answer: None, reply }
    }
}

impl<T: Send, F: FnMut(&mut Store) -> Answer<T> + Send> Job for Call<T, F> {
    fn run(&mut self, store: &mut Store) -> rusqlite::Result<()> {
        self.answer = Some((self.work)(store)?);
        Ok(())
    }

    fn finish(self: Box<Self>, undone: Option<BusError>) {
        let answer = match undone {
            Some(error) => Err(error),
            None => self.answer.unwrap_or(Err(BusError::Closed)),
        };
        // Whoever asked may have gone.
        let _ = self.reply.send(answer);
    }
}

/// A reader that wants messages, now or when there are some.
pub(super) struct ReadRequest {
    pub(super) id: u64,
    pub(super) reader: Reader,
    pub(super) channels: Vec<ChannelName>,
    pub(super) want: Want,
    /// Whether it waits where there is nothing.
    pub(super) waits: bool,
    pub(super) reply: oneshot::Sender<Result<Vec<Claimed>, BusError>>,
}

/// What the writer is told.
pub(super) enum Message {
    /// Do this.
    Job {
        /// What.
        job: Box<dyn Job>,
        /// How much it is, in units.
        units: usize,
        /// Its place in the queue.
        permit: OwnedSemaphorePermit,
    },
    /// Give this reader messages.
    Read(ReadRequest, OwnedSemaphorePermit),
    /// The reader with this number waits no longer: answer it.
    Enough(u64),
    /// Another process has written.
    Rung,
    /// Close.
    Stop,
}

/// Something in a transaction.
pub(super) enum Work {
    Job(Box<dyn Job>),
    Read {
        request: ReadRequest,
        answer: Option<Result<Vec<Claimed>, BusError>>,
        /// Whether it had been waiting: then an error of a transaction is none of its own.
        waited: bool,
    },
}

impl Work {
    /// Does it.
    pub(super) fn run(&mut self, store: &mut Store) -> rusqlite::Result<()> {
        match self {
            Self::Job(job) => job.run(store),
            Self::Read { request, answer, .. } => {
                *answer = Some(store.read(&request.reader, &request.channels, request.want)?);
                Ok(())
            }
        }
    }
}
