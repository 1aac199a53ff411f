//! The machine: how the engine is, what is spent, and notes that somebody changed without a word on the bus.
//!
//! Must never ask more often than a person needs, nor hand over what has not changed.

use std::time::Duration;

use tokio::sync::mpsc;

use super::{Feed, Gone};
use crate::bus::{Health, Key, State};
use crate::contracts::notes::NoteName;
use crate::llm::ledger::report::{Report, report};
use crate::tui::store::Item;

/// How long the engine and the budgets are good for.
const EVERY: Duration = Duration::from_secs(15);
/// After money was spent the budgets are read again, but not more often than this.
const AT_MOST: Duration = Duration::from_secs(3);
/// How often the notes are looked at. A person's own changes in the files and by the verbs ring no bell.
const NOTES: Duration = Duration::from_secs(2);

impl Feed {
    /// Looks at the engine and the budgets, again when `rings` says that money was spent.
    pub(super) async fn keep_machine(self, mut rings: mpsc::Receiver<()>) -> Result<(), Gone> {
        let (mut health, mut budgets): (Option<Health>, Option<Report>) = (None, None);
        loop {
            if let Ok(found) = self.bus.health().await
                && health.as_ref() != Some(&found)
            {
                health = Some(found.clone());
                self.give(vec![Item::Health(Box::new(found))]).await?;
            }
            match report(&self.bus, &self.beside.budgets, self.clock.now()).await {
                Ok(found) if budgets.as_ref() != Some(&found) => {
                    budgets = Some(found.clone());
                    self.give(vec![Item::Budgets(Box::new(found))]).await?;
                }
                Ok(_) => {}
                Err(err) => tracing::debug!(%err, "the budgets were not read"),
            }
            tokio::time::sleep(AT_MOST).await;
            if let Ok(None) = tokio::time::timeout(EVERY, rings.recv()).await {
                return Err(Gone);
            }
        }
    }

    /// Looks at the notes.
    pub(super) async fn keep_notes(self) -> Result<(), Gone> {
        let keys = NoteName::ALL.map(crate::memory::note::key).to_vec();
        let mut known = vec![None; keys.len()];
        loop {
            tokio::time::sleep(NOTES).await;
            if self.queue.is_closed() {
                return Err(Gone);
            }
            let Ok(found) = self.bus.get_many(&keys, Some(&["digest"])).await else { continue };
            for ((key, known), found) in keys.iter().zip(&mut known).zip(found) {
                let Ok(found) = found else { continue };
                if *known != found {
                    *known = found;
                    self.note(key).await?;
                }
            }
        }
    }

    async fn note(&self, key: &Key) -> Result<(), Gone> {
        let Ok(state) = self.bus.get(key).await else { return Ok(()) };
        let state: Option<State> = state;
        self.give(vec![Item::Document { key: key.clone(), state }]).await
    }
}
