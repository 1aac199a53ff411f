//! The copy of the audit chain in the home: every record of the stream, once, in a file that only its owner can read.
//!
//! Owns `audit.jsonl`. Work of one process at a time. Must never change a line that was written; a last line that a kill cut off is
//! written again.

use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::bus::leased::Singleton;
use crate::bus::{BusError, EntryId, LeaseFence, Range, SharedBus};
use crate::contracts::ChannelName;
use crate::contracts::canonical::canonical;

/// Records read at a time.
const PAGE: usize = 500;
/// A blocked read comes back after this long, so that a stop is never far.
const WAIT: Duration = Duration::from_millis(500);
/// How long a file that cannot be written is left alone.
const PAUSE: Duration = Duration::from_secs(5);

/// The holder of the lease `audit`.
pub struct AuditCopy {
    /// The bus.
    pub bus: SharedBus,
    /// The file.
    pub path: PathBuf,
}

impl std::fmt::Debug for AuditCopy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuditCopy").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Singleton for AuditCopy {
    fn lease(&self) -> &'static str {
        "audit"
    }

    async fn work(&self, _fence: LeaseFence, stop: CancellationToken) -> Result<(), BusError> {
        while !stop.is_cancelled() {
            match self.copy(&stop).await {
                Ok(()) => {}
                Err(Trouble::Bus(err)) => return Err(err),
                Err(Trouble::File(err)) => {
                    tracing::error!(%err, file = %self.path.display(), "the audit chain cannot be copied; it is tried again");
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = tokio::time::sleep(PAUSE) => {}
                    }
                }
            }
        }
        Ok(())
    }
}

enum Trouble {
    Bus(BusError),
    File(io::Error),
}

impl AuditCopy {
    /// Copies what the file lacks, and then what comes.
    async fn copy(&self, stop: &CancellationToken) -> Result<(), Trouble> {
        let path = self.path.clone();
        let mut last = in_background(move || last_number(&path)).await?;
        let mut cursor = EntryId::ZERO;
        while !stop.is_cancelled() {
            let mut entries =
                self.bus.range(ChannelName::Audit, Range::after(cursor, PAGE)).await.map_err(Trouble::Bus)?;
            if entries.is_empty() {
                let after = [(ChannelName::Audit, cursor)];
                entries = tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    watched = self.bus.watch(&after, PAGE, WAIT) => watched.map_err(Trouble::Bus)?,
                };
            }
            let Some(newest) = entries.last().map(|entry| entry.id) else { continue };
            let mut lines = String::new();
            for entry in &entries {
                // What is no record is copied as it is: `verify` names it.
                let record = serde_json::from_str::<Value>(&entry.b).ok();
                let number = record.as_ref().and_then(|record| record.get("number")).and_then(Value::as_u64);
                if number.is_some_and(|number| number <= last) {
                    continue;
                }
                last = number.unwrap_or(last);
                lines.push_str(&record.map_or_else(|| entry.b.replace('\n', " "), |record| canonical(&record)));
                lines.push('\n');
            }
            if !lines.is_empty() {
                let path = self.path.clone();
                in_background(move || append(&path, &lines)).await?;
            }
            cursor = newest;
        }
        Ok(())
    }
}

async fn in_background<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T, Trouble> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|err| Trouble::File(io::Error::other(err))).and_then(|done| done.map_err(Trouble::File))
}

fn open(path: &Path) -> io::Result<std::fs::File> {
    std::fs::OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)
}

/// The number of the last record in the file; 0 where there is none. A line that was cut off goes.
fn last_number(path: &Path) -> io::Result<u64> {
    let mut file = open(path)?;
    file.seek(SeekFrom::Start(0))?;
    let mut reader = BufReader::new(&file);
    let (mut last, mut whole, mut line) = (0, 0_u64, Vec::new());
    loop {
        line.clear();
        let length = reader.read_until(b'\n', &mut line)?;
        if length == 0 || line.last() != Some(&b'\n') {
            break;
        }
        whole += length as u64;
        let record = serde_json::from_slice::<Value>(&line).ok();
        last = record.and_then(|record| record.get("number")?.as_u64()).unwrap_or(last);
    }
    if file.metadata()?.len() > whole {
        file.set_len(whole)?;
    }
    Ok(last)
}

fn append(path: &Path, lines: &str) -> io::Result<()> {
    let mut file = open(path)?;
    file.write_all(lines.as_bytes())?;
    file.sync_data()
}
