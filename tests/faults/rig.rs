//! A consumer in this process, started again when it ends with an error, as the supervisor does.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use color_eyre::eyre::eyre;
use fullsend::bus::{Consumer, ConsumerOptions, Key, SharedBus};
use fullsend::contracts::{Clock, Ids};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::work::Relay;

/// Until when something must have happened.
pub(crate) const DEADLINE: Duration = Duration::from_secs(15);

/// A running consumer.
pub(crate) struct Rig {
    pub(crate) bus: SharedBus,
    stop: CancellationToken,
    running: JoinHandle<()>,
    errors: Arc<Mutex<Vec<String>>>,
}

impl Rig {
    /// Starts it with `slots`; stale work is taken over after half a second.
    pub(crate) fn start(bus: &SharedBus, slots: usize, clock: Arc<dyn Clock>) -> Self {
        let options = ConsumerOptions {
            stale_after: Duration::from_millis(500),
            heartbeat: Duration::from_millis(100),
            max_attempts: 2,
            ..ConsumerOptions::default()
        };
        let relay = Relay { pace: Duration::ZERO, slow: Duration::from_secs(1), slots, signs: false };
        let consumer = Consumer::new(Arc::clone(bus), relay, options, clock, Arc::new(Ids::random()));
        let (stop, errors) = (CancellationToken::new(), Arc::<Mutex<Vec<String>>>::default());
        let (stopped, said) = (stop.clone(), Arc::clone(&errors));
        let running = tokio::spawn(async move {
            while !stopped.is_cancelled() {
                if let Err(err) = consumer.run(stopped.clone()).await {
                    said.lock().unwrap_or_else(PoisonError::into_inner).push(err.to_string());
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        });
        Self { bus: Arc::clone(bus), stop, running, errors }
    }

    /// What ended it so far.
    pub(crate) fn errors(&self) -> Vec<String> {
        self.errors.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How often a text of somebody else's was handled.
    pub(crate) async fn others(&self, text: &str) -> color_eyre::Result<u64> {
        let state = self.bus.get(&Key::new("faults:others")).await?;
        let count = state.as_ref().and_then(|state| state.document()).and_then(|document| document.get(text));
        Ok(count.and_then(|count| count.parse().ok()).unwrap_or(0))
    }

    /// Ends it in order.
    pub(crate) async fn stop(self) -> color_eyre::Result<()> {
        self.stop.cancel();
        Ok(tokio::time::timeout(DEADLINE, self.running).await??)
    }
}

/// Asks until the answer is yes.
pub(crate) async fn eventually(what: &str, ask: impl AsyncFn() -> color_eyre::Result<bool>) -> color_eyre::Result<()> {
    let until = tokio::time::Instant::now() + DEADLINE;
    loop {
        let asked = ask().await;
        if matches!(asked, Ok(true)) {
            return Ok(());
        }
        if tokio::time::Instant::now() > until {
            return Err(eyre!("{what}: not within {DEADLINE:?} (last asked: {asked:?})"));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
