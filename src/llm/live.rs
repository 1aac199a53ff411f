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

/// Bytes that may wait to be told. As JSON a byte may take six, and all of them may go in one delta, which a body must hold.
const WAITING: usize = 40 * 1_024;

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

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::bus::testing::World;
    use crate::contracts::Trust;

    /// A call that viewers see, and what they hear of it.
    async fn call() -> (World, crate::bus::Listener, Live) {
        let world = World::new();
        let bus = world.bus();
        let heard = bus.listen(&[LLM_CALLS.name]).await.unwrap();
        let (service, stop) = (ServiceName::Orchestrator, CancellationToken::new());
        let asking = Asking { service, message: None, trace: None, trust: Trust::Member, stop };
        let audience = Audience::new(&bus, &world.origin(Trust::System), &asking).unwrap();
        let start = LlmStart {
            call_id: Some("c".to_owned()),
            source: None,
            operation: "llm.orchestrator.decide".to_owned(),
            meta: serde_json::Map::new(),
            timestamp: None,
        };
        (world, heard, Live::start(audience, start))
    }

    /// The deltas up to the end, which is the last.
    async fn deltas(mut heard: crate::bus::Listener) -> Vec<LlmDelta> {
        let mut deltas = Vec::new();
        loop {
            match LlmCalls::read(&heard.heard.recv().await.unwrap().body).unwrap() {
                LlmCalls::Start(_) => {}
                LlmCalls::Delta(delta) => deltas.push(delta),
                LlmCalls::Complete(_) => return deltas,
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_thousand_pieces_a_second_are_twenty_deltas() {
        let (_world, heard, live) = call().await;
        let seconds = 3;
        let speaking = async {
            for piece in 0..seconds * 1_000 {
                live.piece(LlmPart::Text, &format!("{piece} "));
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            drop(live);
        };
        let (deltas, ()) = tokio::join!(deltas(heard), speaking);
        let most = seconds * usize::try_from(PER_SECOND).unwrap() + 1;
        assert!((most - 3..=most).contains(&deltas.len()), "{} in {seconds} s", deltas.len());
        let text: String = deltas.iter().map(|delta| delta.text.raw()).collect();
        let whole: Vec<_> = (0..seconds * 1_000).map(|piece| format!("{piece} ")).collect();
        assert_eq!(text, whole.concat(), "nothing is lost by it");
        assert!(deltas.iter().enumerate().all(|(at, delta)| delta.seq == Some(at as u64)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_fit_is_counted_and_what_fits_can_be_said() {
        let (_world, heard, live) = call().await;
        // Each byte takes six as JSON.
        live.piece(LlmPart::Text, &"\u{1}".repeat(WAITING));
        live.piece(LlmPart::Text, "lost");
        live.piece(LlmPart::Reasoning, "lost as well");
        drop(live);
        let deltas = deltas(heard).await;
        let told: Vec<_> = deltas.iter().map(|delta| (delta.text.raw().len(), delta.seq)).collect();
        assert_eq!(told, [(WAITING, Some(2))], "its number shows that two are missing");
    }
}
