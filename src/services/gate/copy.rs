//! The copy of the audit chain in the home: every record of the stream, once, in a file that only its owner can read.
//!
//! Owns `audit-….jsonl`, one file for each chain: a bus that is new, or another one, begins another. Where the bus's records do not
//! follow those of the file, the file is set aside and a person is told. Work of one process at a time. Must never change a line that was
//! written; a last line that a kill cut off is written again. What the gate did not say is no record, and is passed over.

use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::unit::{self, Unit};
use crate::bus::leased::Singleton;
use crate::bus::{BusError, Commit, Entry, EntryId, Key, LeaseFence, Origin, Range, SharedBus, State};
use crate::contracts::canonical::canonical;
use crate::contracts::messages::Severity;
use crate::contracts::{ChannelName, Clock, Ids, Trust, keys};
use crate::telemetry::audit::Head;

/// Records read at a time.
const PAGE: usize = 500;
/// A blocked read comes back after this long, so that a stop is never far.
const WAIT: Duration = Duration::from_millis(500);
/// How long a file that cannot be written is left alone.
const PAUSE: Duration = Duration::from_secs(5);

/// The file of a chain in a home. A chain without a name is that of an older version.
pub fn copy_file(home: &Path, chain: Option<&str>) -> PathBuf {
    home.join(chain.map_or_else(|| "audit.jsonl".to_owned(), |chain| format!("audit-{chain}.jsonl")))
}

/// The holder of the lease `audit`.
pub struct AuditCopy {
    /// The bus.
    pub bus: SharedBus,
    /// The folder of the files.
    pub home: PathBuf,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// For its alerts.
    pub ids: Arc<Ids>,
}

impl std::fmt::Debug for AuditCopy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuditCopy").field("home", &self.home).finish_non_exhaustive()
    }
}

impl Singleton for AuditCopy {
    fn lease(&self) -> &'static str {
        "audit"
    }

    async fn work(&self, fence: LeaseFence, stop: CancellationToken) -> Result<(), BusError> {
        while !stop.is_cancelled() {
            match self.copy(&fence, &stop).await {
                Ok(()) => {}
                Err(Trouble::Bus(err)) => return Err(err),
                Err(Trouble::File(err)) => {
                    tracing::error!(%err, home = %self.home.display(), "the audit chain cannot be copied; it is tried again");
                    pause(PAUSE, &stop).await;
                }
            }
        }
        Ok(())
    }
}

async fn pause(time: Duration, stop: &CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = tokio::time::sleep(time) => {}
    }
}

enum Trouble {
    Bus(BusError),
    File(io::Error),
}

impl From<BusError> for Trouble {
    fn from(err: BusError) -> Self {
        Self::Bus(err)
    }
}

/// The chain that a bus has: its name and its end.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Chain {
    name: Option<String>,
    head: Head,
}

/// What the copy needs to know of a record.
struct Link {
    number: u64,
    hash: String,
    previous: String,
}

impl Link {
    fn of(json: &[u8]) -> Option<Self> {
        let record: Value = serde_json::from_slice(json).ok()?;
        let text = |name: &str| record.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        Some(Self { number: record.get("number")?.as_u64()?, hash: text("hash"), previous: text("previous") })
    }
}

impl AuditCopy {
    /// The bus's chain; none where nothing was recorded yet.
    async fn chain(&self) -> Result<Option<Chain>, BusError> {
        Ok(match self.bus.get(&Key::new(keys::AUDIT_HEAD)).await? {
            Some(State::Hash(document)) => {
                Some(Chain { name: unit::chain(&document).map(str::to_owned), head: unit::head(&document) })
            }
            _ => None,
        })
    }

    /// Copies what the file lacks, and then what comes; until there is another chain.
    async fn copy(&self, fence: &LeaseFence, stop: &CancellationToken) -> Result<(), Trouble> {
        let Some(Chain { name, .. }) = self.chain().await? else {
            pause(WAIT, stop).await;
            return Ok(());
        };
        let path = copy_file(&self.home, name.as_deref());
        let mut last = last_in(&path).await?;
        if !self.continues(&last).await? {
            self.begin_anew(&path, &last, fence).await?;
            last = last_in(&path).await?;
        }
        let mut cursor = EntryId::ZERO;
        while !stop.is_cancelled() {
            let mut entries = self.bus.range(ChannelName::Audit, Range::after(cursor, PAGE)).await?;
            if entries.is_empty() {
                let after = [(ChannelName::Audit, cursor)];
                entries = tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    watched = self.bus.watch(&after, PAGE, WAIT) => watched?,
                };
            }
            // Before anything of another chain gets into this one's file.
            if self.chain().await?.is_none_or(|now| now.name != name) {
                return Ok(());
            }
            let Some(newest) = entries.last().map(|entry| entry.id) else { continue };
            let (ours, others): (Vec<_>, Vec<_>) = entries.iter().partition(|entry| entry.is_believed());
            self.tell_others(&others, fence).await?;
            let mut lines = String::new();
            for entry in ours {
                // What is no record is copied as it is: `verify` names it.
                let link = Link::of(entry.b.as_bytes());
                if link.as_ref().is_some_and(|link| link.number <= last.number) {
                    continue;
                }
                if let Some(Link { number, hash, .. }) = link {
                    last = Head { number, hash };
                }
                let record = serde_json::from_str::<Value>(&entry.b);
                lines.push_str(&record.map_or_else(|_| entry.b.replace('\n', " "), |record| canonical(&record)));
                lines.push('\n');
            }
            if !lines.is_empty() {
                let path = path.clone();
                in_background(move || append(&path, &lines)).await?;
            }
            cursor = newest;
        }
        Ok(())
    }

    /// Whether the bus's chain goes on where the file ends. Where the records in between were trimmed, it is taken to.
    async fn continues(&self, last: &Head) -> Result<bool, BusError> {
        if last.number == 0 {
            return Ok(true);
        }
        // Read after the file: what was copied is not newer than this.
        let head = self.chain().await?.map(|chain| chain.head).unwrap_or_default();
        if head.number <= last.number {
            return Ok(head == *last);
        }
        let mut cursor = EntryId::ZERO;
        loop {
            let page = self.bus.range(ChannelName::Audit, Range::after(cursor, PAGE)).await?;
            let Some(newest) = page.last() else { return Ok(true) };
            for link in links(&page) {
                if link.number == last.number {
                    return Ok(link.hash == last.hash);
                }
                if link.number > last.number {
                    return Ok(link.number > last.number + 1 || link.previous == last.hash);
                }
            }
            cursor = newest.id;
        }
    }

    /// Sets the file aside, and begins another with what both have in common and the bus no longer holds.
    async fn begin_anew(&self, path: &Path, last: &Head, fence: &LeaseFence) -> Result<(), Trouble> {
        let page = self.bus.range(ChannelName::Audit, Range::after(EntryId::ZERO, PAGE)).await?;
        let first = links(&page).next();
        let old = path.to_owned();
        let aside = in_background(move || set_aside(&old, first.as_ref())).await?;
        let message = format!(
            "the audit records on the bus do not follow those in {}, of which the last is number {}: the bus is older than its copy, or \
             its records were replaced. The copy is kept as {}, and a new one begins",
            path.display(),
            last.number,
            aside.display()
        );
        let fix = "a backup that was restored explains it; otherwise find out who wrote on the bus or in the file";
        self.alert("audit-copy", Severity::High, message, fix, &last.hash, fence).await
    }

    /// Tells of entries that the gate did not say.
    async fn tell_others(&self, others: &[&Entry], fence: &LeaseFence) -> Result<(), Trouble> {
        let Some(first) = others.first() else { return Ok(()) };
        let by = first.message().map_or_else(|_| "nobody known".to_owned(), |it| it.envelope.source.to_string());
        let message = format!(
            "{} entries of {} are not the gate's and are passed over; the first is {}, by {}",
            others.len(),
            ChannelName::Audit,
            first.id,
            crate::contracts::untrusted::sanitize_line(&by, super::NAME_LIMIT),
        );
        let fix = "find out who can write on the server; `fullsend audit verify` checks the records themselves";
        self.alert("audit-strangers", Severity::High, message, fix, &first.id.to_string(), fence).await
    }

    /// Raises an alert, once for the same trouble with the same thing.
    async fn alert(
        &self,
        id: &str,
        severity: Severity,
        message: String,
        fix: &str,
        what: &str,
        fence: &LeaseFence,
    ) -> Result<(), Trouble> {
        tracing::warn!(%message, id);
        let origin = Origin::new(Arc::clone(&self.clock), Arc::clone(&self.ids), Trust::System);
        let mut unit = Unit::new(&self.bus, &origin, self.ids.message(origin.now()));
        if let Err(err) = unit.alert(id, severity, message, fix).await {
            tracing::error!(?err, id, "an alert could not be raised");
            return Ok(());
        }
        let once = Some(format!("{id}:{what}"));
        let unit = Commit { once, under: Some(fence.clone()), ..Commit::of(unit.into_ops()) };
        self.bus.commit(vec![unit]).await?;
        Ok(())
    }
}

/// The records among these entries.
fn links(entries: &[Entry]) -> impl Iterator<Item = Link> + '_ {
    entries.iter().filter(|entry| entry.is_believed()).filter_map(|entry| Link::of(entry.b.as_bytes()))
}

async fn in_background<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T, Trouble> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|err| Trouble::File(io::Error::other(err))).and_then(|done| done.map_err(Trouble::File))
}

fn open(path: &Path) -> io::Result<std::fs::File> {
    std::fs::OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)
}

/// The last record in the file; number 0 where there is none. A line that was cut off goes.
async fn last_in(path: &Path) -> Result<Head, Trouble> {
    let path = path.to_owned();
    in_background(move || {
        let mut last = Head::default();
        let mut file = open(&path)?;
        let whole = whole_lines(&mut file, |_, link| {
            if let Some(Link { number, hash, .. }) = link {
                last = Head { number, hash };
            }
        })?;
        if file.metadata()?.len() > whole {
            file.set_len(whole)?;
        }
        Ok(last)
    })
    .await
}

/// Goes through the whole lines of a file, and says how many bytes they have.
fn whole_lines(file: &mut std::fs::File, mut look: impl FnMut(&[u8], Option<Link>)) -> io::Result<u64> {
    file.seek(SeekFrom::Start(0))?;
    let mut reader = BufReader::new(file);
    let (mut whole, mut line) = (0, Vec::new());
    loop {
        line.clear();
        let length = reader.read_until(b'\n', &mut line)?;
        if length == 0 || line.last() != Some(&b'\n') {
            return Ok(whole);
        }
        whole += length as u64;
        look(&line, Link::of(&line));
    }
}

/// Puts a file under another name. The new one has the records before `first`, where that follows them.
fn set_aside(path: &Path, first: Option<&Link>) -> io::Result<PathBuf> {
    let (mut before, mut follows) = (Vec::new(), false);
    if let Some(first) = first.filter(|first| first.number > 1) {
        whole_lines(&mut open(path)?, |line, link| {
            let Some(link) = link.filter(|link| link.number < first.number) else { return };
            before.extend_from_slice(line);
            follows = link.number + 1 == first.number && link.hash == first.previous;
        })?;
    }
    let name = path.with_extension("");
    let free = |number: &u32| !name.with_extension(format!("old-{number}.jsonl")).exists();
    let number = (1..10_000).find(free).ok_or_else(|| io::Error::other("too many old copies of the audit chain"))?;
    let aside = name.with_extension(format!("old-{number}.jsonl"));
    std::fs::rename(path, &aside)?;
    append(path, if follows { before.as_slice() } else { &[] })?;
    Ok(aside)
}

fn append(path: &Path, lines: impl AsRef<[u8]>) -> io::Result<()> {
    let mut file = open(path)?;
    file.write_all(lines.as_ref())?;
    file.sync_data()
}
