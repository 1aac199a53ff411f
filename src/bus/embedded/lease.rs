//! Leases on the embedded store.
//!
//! Owns who holds one, and that numbers only ascend. Must never measure with the wall clock, which jumps.

use rusqlite::{OptionalExtension, params};

use super::store::Store;
use crate::bus::LeaseFence;

impl Store {
    /// Whether this is still the lease's number.
    pub(super) fn holds(&self, fence: &LeaseFence) -> rusqlite::Result<bool> {
        let number: Option<i64> = self
            .conn
            .prepare_cached("SELECT number FROM leases WHERE name = ?1")?
            .query_row([&fence.name], |row| row.get(0))
            .optional()?;
        Ok(number == Some(fence.number.cast_signed()))
    }

    /// Takes or keeps a lease; its number, or none where another holds it.
    pub(super) fn lease(&self, name: &str, owner: &str, ttl_ms: i64) -> rusqlite::Result<Option<u64>> {
        let now = self.monotonic();
        let found: Option<(Option<String>, i64, i64)> = self
            .conn
            .prepare_cached("SELECT owner, number, until FROM leases WHERE name = ?1")?
            .query_row([name], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        let number = match found {
            Some((Some(holder), number, until)) if until > now => {
                if holder != owner {
                    return Ok(None);
                }
                number
            }
            Some((_, number, _)) => number + 1,
            None => 1,
        };
        self.conn
            .prepare_cached(
                "INSERT INTO leases(name, owner, number, until) VALUES(?1, ?2, ?3, ?4) ON CONFLICT(name)
                 DO UPDATE SET owner = excluded.owner, number = excluded.number, until = excluded.until",
            )?
            .execute(params![name, owner, number, now.saturating_add(ttl_ms)])?;
        Ok(Some(number.cast_unsigned()))
    }

    /// Gives a lease up; its number stays.
    pub(super) fn unlease(&self, name: &str, owner: &str) -> rusqlite::Result<()> {
        self.conn
            .prepare_cached("UPDATE leases SET owner = NULL WHERE name = ?1 AND owner = ?2")?
            .execute([name, owner])?;
        Ok(())
    }
}
