//! The sweeper: settles what a crash has left reserved.
//!
//! Must never settle a call before its deadline. A call that ends later after all takes the place of its estimate.

use std::time::Duration;

use chrono::DateTime;
use tokio_util::sync::CancellationToken;

use super::{Ledger, RESERVED, swept};
use crate::bus::commit::ONCE_TTL;
use crate::bus::leased::Singleton;
use crate::bus::{BusError, Commit, Document, Expect, Key, LeaseFence, Op, Outcome, Ttl};
use crate::contracts::messages::{CostRecorded, Tokens};

/// How often it looks.
const EVERY: Duration = Duration::from_secs(15);
/// Keys of one look-up.
const PAGE: usize = 256;
/// With what the keys of reservations begin.
const RESERVATIONS: &str = "reservations:";

/// The holder of the lease `ledger`.
#[derive(Debug, Clone)]
pub struct Sweeper {
    /// Whose reservations it looks after.
    pub ledger: Ledger,
}

/// A reservation as it stands in the store.
struct Found {
    call: String,
    service: String,
    task: String,
    trace: Option<crate::contracts::TraceId>,
    provider: String,
    model: String,
    nano: u64,
    tokens: Tokens,
    sums: Vec<Key>,
}

impl Found {
    /// None where it is not one of ours, or was swept already, or its time has not come.
    fn overdue(key: &Key, document: &Document, now: DateTime<chrono::Utc>) -> Option<Self> {
        let number = |field: &str| document.get(field)?.parse::<u64>().ok();
        let deadline = DateTime::parse_from_rfc3339(document.get("deadline")?).ok()?;
        if document.version != RESERVED || now < deadline {
            return None;
        }
        let text = |field: &str| document.get(field).unwrap_or_default().to_owned();
        Some(Self {
            call: key.as_str().strip_prefix(RESERVATIONS)?.to_owned(),
            service: text("service"),
            task: text("task"),
            trace: document.get("trace").and_then(|trace| trace.parse().ok()),
            provider: text("provider"),
            model: text("model"),
            nano: number("nano")?,
            tokens: Tokens { uncached: number("input_tokens")?, output: number("max_tokens")?, ..Tokens::default() },
            sums: serde_json::from_str(document.get("sums")?).ok()?,
        })
    }
}

impl Sweeper {
    /// Settles every reservation that is past its deadline, as an estimate; returns how many.
    ///
    /// # Errors
    /// Where the bus cannot be reached.
    pub async fn sweep(&self, fence: Option<&LeaseFence>) -> Result<usize, BusError> {
        let parts = &self.ledger.parts;
        let mut settled = 0;
        let mut cursor = None;
        loop {
            let (keys, next) = parts.bus.scan(RESERVATIONS, cursor, PAGE).await?;
            for key in keys {
                let state = parts.bus.get(&key).await?;
                let document = state.as_ref().and_then(|state| state.document());
                if let Some(found) = document.and_then(|found| Found::overdue(&key, found, parts.clock.now())) {
                    settled += usize::from(self.settle(&key, found, fence).await?);
                }
            }
            cursor = next;
            if cursor.is_none() {
                return Ok(settled);
            }
        }
    }

    async fn settle(&self, key: &Key, found: Found, fence: Option<&LeaseFence>) -> Result<bool, BusError> {
        let tokens = found.tokens;
        let total = tokens.uncached.saturating_add(tokens.output);
        let reserved = super::Booking::reserved(found.nano, total);
        let estimate = swept(found.nano, tokens.uncached, tokens.output);
        let swept_at = self.ledger.parts.clock.now().to_rfc3339();
        // It stays for a day, so that a call that ends after all finds what it counted as.
        let mut ops = vec![Op::Change {
            key: key.clone(),
            expect: Expect::Version(RESERVED),
            fields: vec![("swept_at".to_owned(), Some(swept_at))],
            ttl: Ttl::Set(ONCE_TTL),
        }];
        ops.extend(found.sums.iter().flat_map(|sums| estimate.in_place_of(&reserved, sums)));
        let unit = Commit { under: fence.cloned(), ..Commit::of(ops) };
        match self.ledger.parts.bus.commit(vec![unit]).await?.first() {
            Some(Outcome::Committed(_)) => {}
            // It was settled in this moment, or the lease is another's.
            Some(Outcome::Conflict { .. } | Outcome::Fenced) => return Ok(false),
            other => {
                tracing::error!(call = found.call, outcome = ?other, "a reservation could not be settled");
                return Ok(false);
            }
        }
        tracing::warn!(
            call = found.call,
            service = found.service,
            model = found.model,
            nano_usd = found.nano,
            "a call never said how it ended; it counts as everything that was reserved for it"
        );
        let recorded = CostRecorded {
            call_id: found.call,
            service: found.service,
            task: Some(found.task),
            provider: found.provider,
            model: found.model,
            tokens,
            nano_usd: found.nano,
            estimated: true,
        };
        self.ledger.notify(recorded.into(), found.trace).await;
        Ok(true)
    }
}

impl Singleton for Sweeper {
    fn lease(&self) -> &'static str {
        "ledger"
    }

    async fn work(&self, fence: LeaseFence, stop: CancellationToken) -> Result<(), BusError> {
        while !stop.is_cancelled() {
            self.sweep(Some(&fence)).await?;
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(EVERY) => {}
            }
        }
        Ok(())
    }
}
