//! Singletons: work that exactly one process does at a time, under a lease.
//!
//! Owns taking, renewing and losing the lease. What is written under it carries the fencing number, so a holder that stood still
//! writes nothing once another has taken over. Must never let the work go on past the lease.

#[cfg(test)]
mod tests;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::backoff::Backoff;
use super::consumer::Counts;
use super::{BusError, LeaseFence, SharedBus};
use crate::contracts::{Clock, Ids};

/// How long a lease lives without renewal: another process takes over this long after a kill.
const TTL: Duration = Duration::from_secs(3);
/// How often it is renewed, and asked for by those who wait.
const RENEW: Duration = Duration::from_millis(800);
/// The work stops this long before the lease could have gone to somebody else.
const MARGIN: Duration = Duration::from_millis(500);

tokio::task_local! {
    /// Where the turns of the singleton that runs in this task are counted, for whoever watches it.
    pub static COUNTS: Arc<Counts>;
}

/// It has come round once more.
fn turned() {
    // Without a watcher there is nobody to tell.
    COUNTS.try_with(|counts| counts.turned()).ok();
}

/// Counts a turn each time something has come that the work waited for. What wakes others, such as the renewal of the lease, does
/// not count: it says nothing about the work.
async fn counted<T>(work: impl Future<Output = T> + Send) -> T {
    let mut work = std::pin::pin!(work);
    // It polls only what was woken itself.
    let mut alone = FuturesUnordered::new();
    alone.push(std::future::poll_fn(|cx| {
        turned();
        work.as_mut().poll(cx)
    }));
    match alone.next().await {
        Some(ended) => ended,
        None => std::future::pending().await,
    }
}

/// Work for one process at a time.
pub trait Singleton: Send + Sync + 'static {
    /// The lease's name.
    fn lease(&self) -> &'static str;

    /// Works until `stop` is cancelled (by shutdown, or because the lease is lost), and comes round at least twice a minute:
    /// what does not is taken for stalled.
    fn work(&self, fence: LeaseFence, stop: CancellationToken) -> impl Future<Output = Result<(), BusError>> + Send;
}

/// Waits for the lease, works while it is held, and waits again when it is lost, until `stop` is cancelled.
///
/// # Errors
/// What the work could not go on with.
pub async fn hold<S: Singleton>(
    singleton: &S,
    bus: &SharedBus,
    clock: &Arc<dyn Clock>,
    ids: &Ids,
    stop: CancellationToken,
) -> Result<(), BusError> {
    let owner = ids.next(clock.now()).to_string();
    let mut backoff = Backoff::quick();
    while !stop.is_cancelled() {
        turned();
        let asked = Instant::now();
        match bus.lease(singleton.lease(), &owner, TTL).await {
            Ok(Some(fence)) => {
                backoff.reset();
                tracing::info!(lease = singleton.lease(), number = fence.number, "holding the lease");
                let lost = stop.child_token();
                let guard = lost.clone().drop_guard();
                let worked = {
                    let work = counted(singleton.work(fence.clone(), lost.clone()));
                    let keep = keep(singleton.lease(), &owner, &fence, bus, asked, &lost);
                    tokio::pin!(work);
                    tokio::select! {
                        biased;
                        worked = &mut work => worked,
                        // Whatever it would write later is fenced off.
                        ours_until = keep => tokio::time::timeout_at(ours_until, work).await.unwrap_or_else(|_| {
                            tracing::error!(lease = singleton.lease(), "the work did not end with its lease, and is dropped");
                            Ok(())
                        }),
                    }
                };
                drop(guard);
                bus.unlease(singleton.lease(), &owner).await.ok();
                match worked {
                    Err(err) if !err.is_passing() => return Err(err),
                    Err(err) => tracing::warn!(lease = singleton.lease(), %err, "the work was interrupted"),
                    Ok(()) => {}
                }
            }
            Ok(None) => {}
            Err(err) if err.is_passing() => {
                tracing::debug!(lease = singleton.lease(), %err, "the lease cannot be had yet");
            }
            Err(err) => return Err(err),
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(RENEW + backoff.next_delay()) => {}
        }
    }
    Ok(())
}

/// Renews until the lease is lost or the work is to stop; then cancels the work, and says until when nobody else can hold the lease.
async fn keep(
    name: &str,
    owner: &str,
    fence: &LeaseFence,
    bus: &SharedBus,
    asked: Instant,
    lost: &CancellationToken,
) -> Instant {
    // Counted from before the lease was asked for, on a clock that does not jump.
    let mut safe_until = asked + TTL.saturating_sub(MARGIN);
    loop {
        tokio::select! {
            () = lost.cancelled() => return safe_until + MARGIN,
            // The last try comes while the lease is still ours, however long the pause would be.
            () = tokio::time::sleep_until(safe_until.min(Instant::now() + RENEW)) => {}
        }
        let asked = Instant::now();
        match tokio::time::timeout_at(safe_until, bus.lease(name, owner, TTL)).await {
            Ok(Ok(Some(now))) if now.number == fence.number => safe_until = asked + TTL.saturating_sub(MARGIN),
            Ok(Ok(_)) | Err(_) => break,
            Ok(Err(err)) => {
                tracing::warn!(lease = name, %err, "the lease was not renewed");
                if Instant::now() >= safe_until {
                    break;
                }
            }
        }
    }
    tracing::warn!(lease = name, "the lease is lost; the work stops");
    lost.cancel();
    safe_until + MARGIN
}
