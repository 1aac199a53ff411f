//! Brings concurrent commits together into few calls.
//!
//! Owns what is waiting to be sent. A lone commit goes out at once; while calls are under way, the next ones gather. What consumers
//! commit does not: each brings its own together, and has one call under way. Must never split a caller's unit, or reorder the units
//! of one call.

use std::sync::Arc;

use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;

use super::commit::{self, Unit};
use super::link::Link;
use crate::bus::commit::{Commit, Outcome};
use crate::bus::error::BusError;

const UNITS_A_CALL: usize = 64;
const BYTES_A_CALL: usize = 512 * 1024;
/// Two, so that the server has work while the answers of the first are handed out.
const CALLS_IN_FLIGHT: u32 = 2;
const WAITING: usize = 1_024;
/// Calls of consumers under way; more wait for their turn.
const CONSUMERS_CALLS: u32 = 64;

type Answer = Result<Vec<Outcome>, BusError>;

struct Job {
    units: Vec<Unit>,
    answer: oneshot::Sender<Answer>,
}

/// The way out for commits.
pub(super) struct Queue {
    link: Arc<Link>,
    calls: Arc<Semaphore>,
    consumers_calls: Semaphore,
    waiting: mpsc::Sender<Job>,
    gatherer: Mutex<Option<JoinHandle<()>>>,
}

impl Queue {
    pub(super) fn new(link: Arc<Link>) -> Self {
        let calls = Arc::new(Semaphore::new(CALLS_IN_FLIGHT as usize));
        let (waiting, jobs) = mpsc::channel(WAITING);
        let gatherer = tokio::spawn(gather(link.clone(), calls.clone(), jobs));
        let consumers_calls = Semaphore::new(CONSUMERS_CALLS as usize);
        Self { link, calls, consumers_calls, waiting, gatherer: Mutex::new(Some(gatherer)) }
    }

    /// Commits units; more than fit into one call go in several, one after the other.
    pub(super) async fn commit(&self, commits: &[Commit]) -> Answer {
        let mut outcomes = Vec::with_capacity(commits.len());
        let mut units = Vec::with_capacity(commits.len().min(UNITS_A_CALL));
        let mut size = 0;
        for commit in commits {
            let unit = Unit::of(commit, &self.link.names);
            if !units.is_empty() && (units.len() == UNITS_A_CALL || size + unit.size() > BYTES_A_CALL) {
                self.part(std::mem::take(&mut units), &mut outcomes).await?;
                size = 0;
            }
            size += unit.size();
            units.push(unit);
        }
        if !units.is_empty() {
            self.part(units, &mut outcomes).await?;
        }
        Ok(outcomes)
    }

    async fn part(&self, units: Vec<Unit>, outcomes: &mut Vec<Outcome>) -> Result<(), BusError> {
        match self.send(units).await {
            Ok(part) => {
                outcomes.extend(part);
                Ok(())
            }
            // An earlier part has happened: the caller must not take the whole for undone.
            Err(error) if !outcomes.is_empty() && !error.unknown_outcome() => {
                Err(BusError::NoAnswer(format!("after a part was applied: {error}")))
            }
            Err(error) => Err(error),
        }
    }

    async fn send(&self, units: Vec<Unit>) -> Answer {
        if units.iter().any(Unit::is_a_consumers) {
            let _call = self.consumers_calls.acquire().await.map_err(|_| BusError::Closed)?;
            return run(&self.link, &units).await;
        }
        // The semaphore is fair: while the gatherer waits for it, this fails, and nobody overtakes.
        if let Ok(_call) = self.calls.try_acquire() {
            return run(&self.link, &units).await;
        }
        let (answer, answered) = oneshot::channel();
        let job = Job { units, answer };
        self.waiting.send(job).await.map_err(|_| BusError::Closed)?;
        answered.await.unwrap_or(Err(BusError::Closed))
    }

    /// Sends what is waiting, and returns when nothing is under way. New commits are the caller's to refuse.
    pub(super) async fn finish(&self) {
        // Each pass of this gate is behind what was waiting before.
        let (answer, answered) = oneshot::channel();
        let gate = Job { units: Vec::new(), answer };
        if self.waiting.send(gate).await.is_ok() {
            let _ = answered.await;
        }
        let _ = self.calls.acquire_many(CALLS_IN_FLIGHT).await;
        let _ = self.consumers_calls.acquire_many(CONSUMERS_CALLS).await;
        if let Some(gatherer) = self.gatherer.lock().await.take() {
            gatherer.abort();
        }
    }
}

async fn run(link: &Link, units: &[Unit]) -> Answer {
    if units.is_empty() {
        return Ok(Vec::new());
    }
    let (script, cmd) = commit::call(&link.scripts, units, &link.names);
    commit::outcomes(link.run_alone(script, &cmd).await?, units)
}

async fn gather(link: Arc<Link>, calls: Arc<Semaphore>, mut jobs: mpsc::Receiver<Job>) {
    let mut held_over: Option<Job> = None;
    loop {
        let first = match held_over.take() {
            Some(job) => job,
            None => match jobs.recv().await {
                Some(job) => job,
                None => return,
            },
        };
        let Ok(call) = calls.clone().acquire_owned().await else {
            return;
        };
        let mut units = first.units.len();
        let mut size: usize = first.units.iter().map(Unit::size).sum();
        let mut batch = vec![first];
        while let Ok(job) = jobs.try_recv() {
            units += job.units.len();
            size += job.units.iter().map(Unit::size).sum::<usize>();
            if units > UNITS_A_CALL || size > BYTES_A_CALL {
                held_over = Some(job);
                break;
            }
            batch.push(job);
        }
        tokio::spawn(answer(link.clone(), call, batch));
    }
}

async fn answer(link: Arc<Link>, call: OwnedSemaphorePermit, batch: Vec<Job>) {
    let mut units = Vec::new();
    let mut callers = Vec::with_capacity(batch.len());
    for job in batch {
        callers.push((job.units.len(), job.answer));
        units.extend(job.units);
    }
    let result = run(&link, &units).await;
    // The next call may go out while the answers are handed out.
    drop(call);
    match result {
        Ok(outcomes) => {
            let mut outcomes = outcomes.into_iter();
            for (count, caller) in callers {
                // A caller that is gone has dropped its future; what it asked for has happened.
                let _ = caller.send(Ok(outcomes.by_ref().take(count).collect()));
            }
        }
        Err(error) => {
            for (_, caller) in callers {
                let _ = caller.send(Err(error.clone()));
            }
        }
    }
}
