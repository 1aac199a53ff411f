//! Backups: a store as lines of JSON, and back.
//!
//! Owns the file's format. The first line is a [`Header`], then one [`Record`] a line, then a [`Footer`] with how many there are
//! of each kind and the SHA-256 of everything before it: a file that was cut off or altered is known before anything is put
//! back. Must never hold more than a few records in memory, and never take a file that has no end.

mod tally;

pub use tally::{Tally, copy, tally};

use std::collections::BTreeMap;
use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use super::{BusError, Record, SCHEMA_VERSION, SharedBus};
use crate::contracts::envelope::millis;

/// The version of the format.
pub const FORMAT: u32 = 1;
/// Records on their way between a store and a file.
const QUEUE: usize = 256;
/// A longer line is none of ours.
const LONGEST_LINE: u64 = 1 << 30;

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The version of the format.
    pub fullsend_backup: u32,
    /// The version of what the store held.
    pub schema: u32,
    /// The engine that it came from.
    pub engine: String,
    /// When it was made.
    #[serde(with = "millis")]
    pub at: DateTime<Utc>,
    /// The program that made it.
    pub version: String,
}

/// The last line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Footer {
    /// All records.
    pub fullsend_backup_end: u64,
    /// How many of each kind.
    pub counts: Counts,
    /// SHA-256 of all lines before this one, with their line breaks, in hexadecimal digits.
    pub sha256: String,
}

/// How the last line begins, and no other.
const END: &[u8] = b"{\"fullsend_backup_end\":";

/// How many records there are of each kind, by what people call it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Counts(pub BTreeMap<String, u64>);

impl Counts {
    /// Counts a record.
    pub fn add(&mut self, record: &Record) {
        match self.0.get_mut(kind(record)) {
            Some(count) => *count += 1,
            None => {
                self.0.insert(kind(record).to_owned(), 1);
            }
        }
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            return f.write_str("nothing");
        }
        let parts: Vec<_> = self.0.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        f.write_str(&parts.join(", "))
    }
}

/// What people call records of this kind.
pub fn kind(record: &Record) -> &'static str {
    match record {
        Record::Entry { .. } => "messages",
        Record::Channel { .. } => "channels",
        Record::Group { .. } => "groups",
        Record::Pending { .. } => "pending",
        Record::State { .. } => "keys",
        Record::Timer { .. } => "timers",
        Record::Once { .. } => "idempotency keys",
        Record::Fence { .. } => "lease numbers",
    }
}

/// Why a store could not be written to a file, or put back from one.
#[derive(Debug, Error)]
pub enum BackupError {
    /// The file cannot be read or written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The file is not what it should be; nothing of it was put back.
    #[error("line {line}: {reason}")]
    Line {
        /// Counted from 1.
        line: u64,
        /// What is wrong there.
        reason: String,
    },
    /// The store failed.
    #[error(transparent)]
    Bus(#[from] BusError),
}

/// Writes everything in the store, and returns the last line. `progress` hears the number of records now and then.
///
/// # Errors
/// Where the store cannot be read or `out` not written; what was written until then has no end, and is no backup.
pub async fn write(
    bus: &SharedBus,
    at: DateTime<Utc>,
    out: &mut (impl AsyncWrite + Unpin + Send),
    mut progress: impl FnMut(u64) + Send,
) -> Result<Footer, BackupError> {
    let header = Header {
        fullsend_backup: FORMAT,
        schema: SCHEMA_VERSION,
        engine: bus.engine().to_owned(),
        at,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let mut lines = Lines { out, hasher: Sha256::new() };
    lines.put(&header).await?;
    let (sink, mut records) = mpsc::channel(QUEUE);
    // The queue goes with the block, so that an export whose file is full ends too.
    let writing = async move {
        let mut counts = Counts::default();
        while let Some(record) = records.recv().await {
            lines.put(&record).await?;
            counts.add(&record);
            progress(counts.total());
        }
        Ok::<_, BackupError>((lines, counts))
    };
    let (exported, written) = tokio::join!(bus.export(sink), writing);
    let (mut lines, counts) = written?;
    exported?;
    let sha256 = hex(lines.hasher.clone());
    let footer = Footer { fullsend_backup_end: counts.total(), counts, sha256 };
    lines.put(&footer).await?;
    lines.out.flush().await?;
    Ok(footer)
}

struct Lines<'a, W> {
    out: &'a mut W,
    hasher: Sha256,
}

impl<W: AsyncWrite + Unpin> Lines<'_, W> {
    async fn put(&mut self, line: &impl Serialize) -> Result<(), BackupError> {
        let mut text = serde_json::to_vec(line).map_err(std::io::Error::from)?;
        text.push(b'\n');
        self.hasher.update(&text);
        Ok(self.out.write_all(&text).await?)
    }
}

fn hex(hasher: Sha256) -> String {
    hasher.finalize().iter().fold(String::new(), |mut text, byte| {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Reads a backup record by record, and knows at its end whether it is whole.
pub struct Reader<R> {
    input: R,
    header: Header,
    hasher: Sha256,
    counts: Counts,
    line: u64,
    buffer: Vec<u8>,
}

impl<R: AsyncBufRead + Unpin> Reader<R> {
    /// Reads the first line.
    ///
    /// # Errors
    /// Where it is no backup, or one that this version cannot put back.
    pub async fn open(input: R) -> Result<Self, BackupError> {
        let header = Header {
            fullsend_backup: FORMAT,
            schema: SCHEMA_VERSION,
            engine: String::new(),
            at: DateTime::UNIX_EPOCH,
            version: String::new(),
        };
        let (hasher, counts) = (Sha256::new(), Counts::default());
        let mut reader = Self { input, header, hasher, counts, line: 0, buffer: Vec::new() };
        reader.next_line().await?;
        reader.header = serde_json::from_slice(&reader.buffer)
            .map_err(|err| reader.wrong(format!("this is no backup of fullsend ({err})")))?;
        let Header { fullsend_backup, schema, version, .. } = &reader.header;
        if *fullsend_backup != FORMAT || *schema != SCHEMA_VERSION {
            return Err(reader.wrong(format!(
                "the backup was made by version {} (format {fullsend_backup}, schema {schema}); this one reads format {FORMAT}, schema {SCHEMA_VERSION}. Restore it with a program of its version",
                crate::contracts::untrusted::sanitize_line(version, 40)
            )));
        }
        reader.hasher.update(&reader.buffer);
        Ok(reader)
    }

    /// The first line.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// What was read so far; after the end: all of it.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The next record; none after the last, when the file has proved to be whole.
    ///
    /// # Errors
    /// Where a line is no record, the file ends too soon or goes on after its end, or is not what was written.
    pub async fn next(&mut self) -> Result<Option<Record>, BackupError> {
        self.next_line().await?;
        if self.buffer.starts_with(END) {
            return self.end().await.map(|()| None);
        }
        let record = serde_json::from_slice(&self.buffer).map_err(|err| self.wrong(format!("no record: {err}")))?;
        self.hasher.update(&self.buffer);
        self.counts.add(&record);
        Ok(Some(record))
    }

    async fn end(&mut self) -> Result<(), BackupError> {
        let footer: Footer =
            serde_json::from_slice(&self.buffer).map_err(|err| self.wrong(format!("not the last line: {err}")))?;
        if footer.counts != self.counts || footer.fullsend_backup_end != self.counts.total() {
            return Err(self.wrong(format!(
                "the lines before hold {}, and there should be {}: lines are missing or were added",
                self.counts, footer.counts
            )));
        }
        if footer.sha256 != hex(self.hasher.clone()) {
            return Err(self.wrong("something in the lines before was altered (their SHA-256 differs)".to_owned()));
        }
        self.buffer.clear();
        if (&mut self.input).take(1).read_until(b'\n', &mut self.buffer).await? > 0 {
            self.line += 1;
            return Err(self.wrong("the file goes on after its last line".to_owned()));
        }
        Ok(())
    }

    async fn next_line(&mut self) -> Result<(), BackupError> {
        self.buffer.clear();
        self.line += 1;
        (&mut self.input).take(LONGEST_LINE).read_until(b'\n', &mut self.buffer).await?;
        match self.buffer.last() {
            Some(b'\n') => Ok(()),
            Some(_) => Err(self.wrong("the file is cut off in the middle of this line".to_owned())),
            None => Err(self.wrong("the file ends here, without the last line of a backup: it is cut off".to_owned())),
        }
    }

    fn wrong(&self, reason: String) -> BackupError {
        BackupError::Line { line: self.line, reason }
    }
}

/// Reads a backup to its end without keeping any of it, and says what it holds.
///
/// # Errors
/// As [`Reader::open`] and [`Reader::next`].
pub async fn verify(input: impl AsyncBufRead + Unpin) -> Result<(Header, Counts), BackupError> {
    let mut reader = Reader::open(input).await?;
    while reader.next().await?.is_some() {}
    Ok((reader.header, reader.counts))
}

/// Puts a backup into an empty store, and returns what it held. `progress` hears the number of records now and then.
///
/// Verify it first: what is found wrong on the way is found when the records before are already in the store.
///
/// # Errors
/// As [`Reader::next`], and where the store is not empty or cannot be written.
pub async fn put_back(
    bus: &SharedBus,
    input: impl AsyncBufRead + Unpin + Send,
    mut progress: impl FnMut(u64) + Send,
) -> Result<Counts, BackupError> {
    let mut reader = Reader::open(input).await?;
    let (sink, source) = mpsc::channel(QUEUE);
    // The queue's end goes with the block: the import then knows that nothing more comes.
    let reading = async move {
        while let Some(record) = reader.next().await? {
            if sink.send(record).await.is_err() {
                break;
            }
            progress(reader.counts.total());
        }
        Ok::<_, BackupError>(reader.counts)
    };
    let (imported, read) = tokio::join!(bus.import(source), reading);
    match imported {
        // The header is a line, too.
        Err(BusError::BadRecord { line, reason }) => Err(BackupError::Line { line: line + 1, reason }),
        Err(err) => Err(err.into()),
        Ok(_) => read,
    }
}

#[cfg(test)]
mod tests;
