//! What viewers see of a call while it runs: `llm_start`, `llm_delta`, `llm_complete`, in the name of the service that asks.
//!
//! Owns their pace: pieces are put together, at most [`PER_SECOND`] deltas a second. Must never slow a call down, and never fail one:
//! what nobody could be told is dropped, and the deltas' numbers show it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::bus::{Origin, Outgoing, SharedBus};
use crate::contracts::messages::{LlmCalls, LlmComplete, LlmDelta, LlmPart, LlmStart};
use crate::contracts::wiring::LLM_CALLS;
use crate::contracts::{Body, MessageId, ServiceName, TraceId, Untrusted};
use crate::llm::Asking;

/// Most deltas a second.
pub const PER_SECOND: u32 = 20;

/// Bytes that may wait to be told.
const WAITING: usize = 256 * 1_024;

/// How long a notice may take; a bus that is slower loses it.
const PATIENCE: Duration = Duration::from_secs(1);

/// A call that viewers see. Dropped without [`Live::complete`], it is told as cut off.
#[derive(Debug)]
pub struct Live {
    shared: Arc<Shared>,
    start: LlmStart,
}

#[derive(Debug)]
struct Shared {
    waiting: Mutex<Waiting>,
    news: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    pieces: VecDeque<(LlmPart, String)>,
    bytes: usize,
    /// Pieces that did not fit.
    lost: u64,
    end: Option<LlmComplete>,
}

/// Whom notices go to, and in whose name.
#[derive(Debug, Clone)]
pub(super) struct Audience {
    bus: BusRef,
    origin: Origin,
    service: ServiceName,
    cause: Option<MessageId>,
    trace: Option<TraceId>,
}

#[derive(Clone)]
struct BusRef(SharedBus);

impl std::fmt::Debug for BusRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.engine())
    }
}

impl Audience {
    /// The viewers of `bus`, told in the service's name; none where the wiring does not let it speak of calls.
    pub(super) fn new(bus: &SharedBus, origin: &Origin, asking: &Asking) -> Option<Self> {
        let Asking { service, message: cause, trace, trust, .. } = *asking;
        let may_speak = LLM_CALLS.name.route().publishers.contains(&service);
        let origin = origin.trusting(trust);
        may_speak.then(|| Self { bus: BusRef(SharedBus::clone(bus)), origin, service, cause, trace })
    }

    async fn tell(&self, body: impl Into<LlmCalls>) {
        let body = body.into();
        let mut envelope = self.origin.envelope(body.type_name(), self.service.as_str());
        envelope.cause = self.cause;
        envelope.trace = self.trace.unwrap_or(envelope.trace);
        let Ok(notice) = body.write().and_then(|text| Outgoing::new(LLM_CALLS.name, envelope, text)) else { return };
        match tokio::time::timeout(PATIENCE, self.bus.0.notify(notice)).await {
            Ok(Ok(())) => {}
            Ok(Err(err)) => tracing::debug!(%err, "nobody could be told of a call"),
            Err(_) => tracing::debug!("nobody could be told of a call in time"),
        }
    }
}

impl Live {
    /// Tells that a call begins, and from then on what comes of it.
    pub(super) fn start(audience: Audience, start: LlmStart) -> Self {
        let shared = Arc::new(Shared { waiting: Mutex::default(), news: Notify::new() });
        tokio::spawn(speak(audience, start.clone(), Arc::clone(&shared)));
        Self { shared, start }
    }

    /// A piece of the answer came.
    pub fn piece(&self, part: LlmPart, text: &str) {
        let mut waiting = self.shared.lock();
        if waiting.bytes + text.len() > WAITING {
            waiting.lost += 1;
            return;
        }
        waiting.bytes += text.len();
        match waiting.pieces.back_mut() {
            Some((last, so_far)) if *last == part => so_far.push_str(text),
            _ => waiting.pieces.push_back((part, text.to_owned())),
        }
        drop(waiting);
        self.shared.news.notify_one();
    }

    /// Tells that the call is over.
    pub fn complete(self, end: LlmComplete) {
        let end = LlmComplete {
            call_id: self.start.call_id.clone(),
            source: self.start.source.clone(),
            operation: self.start.operation.clone(),
            meta: self.start.meta.clone(),
            ..end
        };
        self.shared.lock().end = Some(end);
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let mut waiting = self.shared.lock();
        if waiting.end.is_none() {
            waiting.end = Some(LlmComplete {
                call_id: self.start.call_id.clone(),
                source: self.start.source.clone(),
                operation: self.start.operation.clone(),
                meta: self.start.meta.clone(),
                duration_ms: None,
                error: Some(Untrusted::from("the call was cut off")),
                tokens: None,
                nano_usd: None,
                timestamp: None,
            });
        }
        drop(waiting);
        self.shared.news.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next run of pieces, how many were lost before it, and the end, where nothing else is left.
    fn take(&self) -> (Option<(LlmPart, String)>, u64, Option<LlmComplete>, bool) {
        let mut waiting = self.lock();
        let piece = waiting.pieces.pop_front();
        waiting.bytes -= piece.as_ref().map_or(0, |(_, text)| text.len());
        let lost = std::mem::take(&mut waiting.lost);
        let is_ending = waiting.end.is_some();
        let end = if waiting.pieces.is_empty() { waiting.end.take() } else { None };
        (piece, lost, end, is_ending)
    }
}

/// Tells what comes, at its pace, until the call is over.
async fn speak(audience: Audience, start: LlmStart, shared: Arc<Shared>) {
    let call_id = start.call_id.clone().unwrap_or_default();
    let (source, operation) = (start.source.clone(), start.operation.clone());
    audience.tell(start).await;
    let mut seq = 0;
    loop {
        let (piece, lost, end, is_ending) = shared.take();
        seq += lost;
        let is_news = piece.is_some();
        if let Some((part, text)) = piece {
            let delta = LlmDelta {
                call_id: call_id.clone(),
                source: source.clone(),
                operation: Some(operation.clone()),
                part,
                text: Untrusted::from(text),
                seq: Some(seq),
            };
            seq += 1;
            audience.tell(delta).await;
        }
        if let Some(end) = end {
            return audience.tell(end).await;
        }
        match (is_news, is_ending) {
            // Two or three runs are left at most: reasoning and text.
            (_, true) => {}
            (true, false) => tokio::time::sleep(Duration::from_secs(1) / PER_SECOND).await,
            (false, false) => shared.news.notified().await,
        }
    }
}
