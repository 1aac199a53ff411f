//! The audit chain: what was approved, denied, ordered and done, each record with the hash of the one before.
//!
//! Owns how records are linked and checked. Changing, leaving out or reordering one breaks the chain there; cutting off its end
//! shows against the head that the bus keeps. Must never know where records are kept.

#[cfg(test)]
mod tests;

use serde_json::Value;
use thiserror::Error;

use crate::contracts::canonical::{canonical, sha256};
use crate::contracts::messages::AuditRecord;

/// The end of a chain: the last record's number and hash.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Head {
    /// 0 where there is no record yet.
    pub number: u64,
    /// 64 zeros where there is none.
    pub hash: String,
}

impl Default for Head {
    fn default() -> Self {
        Self { number: 0, hash: "0".repeat(64) }
    }
}

/// Puts a record at the end of the chain: gives it its number, the hash of the one before, and its own.
#[must_use]
pub fn link(head: &Head, record: AuditRecord) -> AuditRecord {
    let mut record = AuditRecord { number: head.number + 1, previous: head.hash.clone(), ..record };
    record.hash = hash(&serde_json::to_value(&record).unwrap_or_default());
    record
}

/// The hash of a record as it is stored: over the former hash and its canonical JSON without `hash` (and `type`, its body's tag).
fn hash(record: &Value) -> String {
    let mut fields = record.as_object().cloned().unwrap_or_default();
    fields.remove("hash");
    fields.remove("type");
    let previous = fields.get("previous").and_then(Value::as_str).unwrap_or_default().to_owned();
    sha256(format!("{previous}{}", canonical(&Value::Object(fields))).as_bytes())
}

/// What is wrong with a chain, and where.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Broken {
    /// A line that is no record.
    #[error("line {line} is no audit record: {reason}")]
    NotARecord {
        /// Counted from 1.
        line: usize,
        /// Why not.
        reason: String,
    },
    /// It does not begin with record 1.
    #[error("records 1 to {} are missing: the first is number {found}", found - 1)]
    Beginning {
        /// The first number.
        found: u64,
    },
    /// Records between two others are gone.
    #[error("records {after_next} to {} are missing: {found} follows {after}", found - 1, after_next = after + 1)]
    Missing {
        /// The last good record.
        after: u64,
        /// What follows it.
        found: u64,
    },
    /// A record stands where another belongs.
    #[error("record {found} stands after {after}: the records were reordered, or one was said twice")]
    Order {
        /// The last good record.
        after: u64,
        /// What follows it.
        found: u64,
    },
    /// A record was changed.
    #[error("record {number} was changed: its hash is not that of its content")]
    Tampered {
        /// Which.
        number: u64,
    },
    /// A record does not follow the one before it.
    #[error("record {number} does not continue record {}: one of them was replaced", number - 1)]
    Unlinked {
        /// Which.
        number: u64,
    },
    /// The end is gone.
    #[error("the end is missing: the last record is {found}, the bus knows {head}")]
    Truncated {
        /// The last record.
        found: u64,
        /// The last number that the bus knows.
        head: u64,
    },
    /// The end is not the one that the bus knows.
    #[error("record {number} is not the one that the bus knows under this number: the chain was rewritten")]
    Rewritten {
        /// Which.
        number: u64,
    },
}

/// Checks records one by one.
#[derive(Debug, Clone, Default)]
pub struct Checker {
    last: Option<Head>,
    line: usize,
}

impl Checker {
    /// Checks the next record, given as its JSON. The first one must have the number 1, unless the beginning was trimmed.
    ///
    /// # Errors
    /// Where the chain is broken there.
    pub fn next(&mut self, json: &str, trimmed: bool) -> Result<(), Broken> {
        self.line += 1;
        let no_record = |reason: String| Broken::NotARecord { line: self.line, reason };
        let value: Value = serde_json::from_str(json).map_err(|err| no_record(err.to_string()))?;
        let record: AuditRecord = serde_json::from_value(value.clone()).map_err(|err| no_record(err.to_string()))?;
        let found = record.number;
        match &self.last {
            Some(last) if found == last.number + 1 => {}
            Some(last) if found > last.number => return Err(Broken::Missing { after: last.number, found }),
            Some(last) => return Err(Broken::Order { after: last.number, found }),
            None if found > 1 && !trimmed => return Err(Broken::Beginning { found }),
            None => {}
        }
        if hash(&value) != record.hash {
            return Err(Broken::Tampered { number: found });
        }
        let before = match &self.last {
            None if found > 1 => None,
            last => Some(last.clone().unwrap_or_default().hash),
        };
        if before.is_some_and(|before| before != record.previous) {
            return Err(Broken::Unlinked { number: found });
        }
        self.last = Some(Head { number: found, hash: record.hash });
        Ok(())
    }

    /// The last good record.
    pub fn head(&self) -> Head {
        self.last.clone().unwrap_or_default()
    }

    /// Whether what was checked ends where the bus says that it does.
    ///
    /// # Errors
    /// Where it ends before, or otherwise.
    pub fn ends_at(&self, head: &Head) -> Result<(), Broken> {
        let found = self.head();
        if found.number < head.number {
            return Err(Broken::Truncated { found: found.number, head: head.number });
        }
        if found.number > head.number || found.hash != head.hash {
            return Err(Broken::Rewritten { number: found.number });
        }
        Ok(())
    }
}
