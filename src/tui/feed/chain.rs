//! Chains, read from the streams: not only what a room happened to keep.
//!
//! A chain is named after its first message, whose id tells when it was said: nothing of the chain is older. So its streams are read from
//! then on, side by side in the order in which they were written. Must never read without a bound: what was not looked at is said.

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;

use crate::bus::{Bound, BusError, Entry, EntryId, Key, Range, SharedBus};
use crate::contracts::untrusted::sanitize_line;
use crate::contracts::{ChannelKind, ChannelName, MessageId, TraceId};
use crate::tui::store::{Chain, Row};

/// Entries of a channel that are read at a time.
const PAGE: usize = 500;
/// Clocks of senders and of the store may differ by so much.
const SKEW: TimeDelta = TimeDelta::minutes(10);
/// Documents that are read at a time.
const KEYS: usize = 500;

/// How much is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Entries, over all channels, from the chain's beginning on.
    pub entries: usize,
    /// The newest entries of each channel that are looked at where these did not reach the end.
    pub newest: usize,
    /// And no longer than this.
    pub time: Duration,
}

impl Bounds {
    /// Half a million entries, or 20 seconds.
    pub const DEFAULT: Self = Self { entries: 500_000, newest: 5_000, time: Duration::from_secs(20) };
}

/// When an id was made, if it says so.
fn made(id: uuid::Uuid) -> Option<DateTime<Utc>> {
    let (seconds, nanos) = id.get_timestamp()?.to_unix();
    DateTime::from_timestamp(i64::try_from(seconds).ok()?, nanos).filter(|at| at.timestamp() > 0)
}

/// All of a chain that the streams hold, with its documents.
///
/// # Errors
/// Where the store cannot be reached.
pub async fn read(bus: &SharedBus, trace: TraceId, bounds: Bounds) -> Result<Chain, BusError> {
    let mut chain = Chain::of(trace);
    let from = made(trace.0).and_then(|at| at.checked_sub_signed(SKEW)).map_or(Bound::Open, Bound::Time);
    let mut streams = Streams::from(from);
    let until = Instant::now() + bounds.time;
    let mut looked_at = 0;
    let mut cut = None;
    while let Some(entry) = streams.next(bus).await? {
        looked_at += 1;
        offer(&mut chain, entry);
        if looked_at >= bounds.entries || Instant::now() >= until {
            cut = streams.jump_to_newest(bus, bounds.newest).await?;
            break;
        }
    }
    while let Some(entry) = streams.read() {
        offer(&mut chain, entry);
    }
    documents(bus, &mut chain).await?;
    let lost = (!streams.lost.is_empty()).then(|| {
        let names: Vec<_> = streams.lost.iter().map(|channel| channel.short()).collect();
        format!("{} could not be read: something else stands there", names.join(", "))
    });
    let missing: Vec<String> = cut.into_iter().chain(lost).collect();
    chain.read((!missing.is_empty()).then(|| missing.join("; ")));
    Ok(chain)
}

fn offer(chain: &mut Chain, entry: Entry) {
    if chain.may_want(&entry) {
        chain.take(&Arc::new(Row::stored(entry)));
    }
}

/// Reads the documents that belong to a chain.
async fn documents(bus: &SharedBus, chain: &mut Chain) -> Result<(), BusError> {
    let keys: Vec<Key> = chain.wanted().iter().cloned().collect();
    for page in keys.chunks(KEYS) {
        let states = bus.get_many(page, None).await?;
        for (key, state) in page.iter().zip(states) {
            // What somebody else put there is none of ours.
            if let Ok(Some(state)) = state {
                chain.document(key, Some(&state));
            }
        }
    }
    Ok(())
}

/// All streams as one, oldest first.
struct Streams {
    pages: Vec<Page>,
    lost: Vec<ChannelName>,
    last: Option<EntryId>,
}

struct Page {
    channel: ChannelName,
    from: Bound,
    read: VecDeque<Entry>,
    is_done: bool,
}

impl Streams {
    fn from(from: Bound) -> Self {
        let work = ChannelName::ALL.iter().filter(|channel| channel.route().kind == ChannelKind::Work);
        let page = |channel: &ChannelName| Page { channel: *channel, from, read: VecDeque::new(), is_done: false };
        Self { pages: work.map(page).collect(), lost: Vec::new(), last: None }
    }

    /// The next entry, read from the bus where there is none left of a page.
    async fn next(&mut self, bus: &SharedBus) -> Result<Option<Entry>, BusError> {
        for page in self.pages.iter_mut().filter(|page| page.read.is_empty() && !page.is_done) {
            let range = Range { from: page.from, to: Bound::Open, newest_first: false, limit: PAGE };
            match bus.range(page.channel, range).await {
                Ok(read) => {
                    page.is_done = read.len() < PAGE;
                    page.from = read.last().map_or(page.from, |entry| Bound::Entry(entry.id));
                    page.read = read.into();
                }
                Err(BusError::ForeignType { .. }) => {
                    page.is_done = true;
                    self.lost.push(page.channel);
                }
                Err(err) => return Err(err),
            }
        }
        Ok(self.read())
    }

    /// The oldest entry that was read and not handed out yet.
    fn read(&mut self) -> Option<Entry> {
        let full = self.pages.iter_mut().filter(|page| !page.read.is_empty());
        let first = full.min_by_key(|page| page.read.front().map(|entry| (entry.id, entry.channel)))?;
        let entry = first.read.pop_front();
        self.last = entry.as_ref().map(|entry| entry.id).or(self.last);
        entry
    }

    /// Leaves out what lies between here and the newest entries of each channel. Returns in words what that was, if it was anything.
    async fn jump_to_newest(&mut self, bus: &SharedBus, newest: usize) -> Result<Option<String>, BusError> {
        let after = self.last.unwrap_or_default();
        let mut resumes: Option<EntryId> = None;
        for page in self.pages.iter_mut().filter(|page| !page.is_done) {
            let read_to = page.read.back().map_or(after, |entry| entry.id);
            let range = Range { from: Bound::Entry(read_to), to: Bound::Open, newest_first: true, limit: newest };
            let read = bus.range(page.channel, range).await?;
            if read.len() == newest {
                resumes = resumes.max(read.last().map(|entry| entry.id));
            }
            page.read.extend(read.into_iter().rev());
            page.is_done = true;
        }
        Ok(resumes.map(|to| {
            let time = |id: EntryId| id.at().format("%Y-%m-%d %H:%M:%S UTC").to_string();
            format!("not everything between {} and {} was looked at: too much was said", time(after), time(to))
        }))
    }
}

/// Which chain somebody means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meant {
    /// This one.
    One(TraceId),
    /// None that was found.
    None,
    /// One of several; some of them.
    Several(Vec<TraceId>),
}

/// The chain with this id, with a message of this id, or the only one with this part of an id, or about this approval or experiment.
///
/// # Errors
/// Where the store cannot be reached.
pub async fn find(bus: &SharedBus, text: &str, bounds: Bounds) -> Result<Meant, BusError> {
    let text = text.trim().to_ascii_lowercase();
    if let Ok(id) = text.parse::<MessageId>() {
        return find_message(bus, id, bounds).await;
    }
    let is_part = text.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    let mut streams = Streams::from(Bound::Open);
    let until = Instant::now() + bounds.time;
    // By how well they fit: the end of a chain's id, as `tail` prints it, before any other part of any id.
    let mut found: [BTreeSet<TraceId>; 2] = Default::default();
    let mut looked_at = 0;
    while let Some(entry) = streams.next(bus).await? {
        looked_at += 1;
        if looked_at >= bounds.entries || Instant::now() >= until {
            streams.jump_to_newest(bus, bounds.newest).await?;
        }
        let names = |envelope: &str, body: &str| envelope.contains(&text) || (!is_part && body.contains(&text));
        if !names(&entry.e, &entry.b) {
            continue;
        }
        let Ok(message) = entry.message() else { continue };
        let envelope = message.envelope;
        let trace = envelope.trace.to_string();
        if !is_part {
            // About an approval or an experiment: the chain that brought it up is the oldest one that names it.
            return Ok(Meant::One(envelope.trace));
        }
        if trace.ends_with(&text) {
            found[0].insert(envelope.trace);
        } else if trace.contains(&text) || envelope.id.to_string().contains(&text) {
            found[1].insert(envelope.trace);
        }
    }
    let best = found.into_iter().find(|all| !all.is_empty()).unwrap_or_default();
    let mut traces: Vec<TraceId> = best.into_iter().collect();
    Ok(match traces.len() {
        0 => Meant::None,
        1 => Meant::One(traces.remove(0)),
        _ => {
            traces.truncate(8);
            Meant::Several(traces)
        }
    })
}

async fn find_message(bus: &SharedBus, id: MessageId, bounds: Bounds) -> Result<Meant, BusError> {
    let from = made(id.0).and_then(|at| at.checked_sub_signed(SKEW)).map_or(Bound::Open, Bound::Time);
    let mut streams = Streams::from(from);
    let (mut looked_at, until) = (0, Instant::now() + bounds.time);
    let text = id.to_string();
    while let Some(entry) = streams.next(bus).await? {
        looked_at += 1;
        if looked_at >= bounds.entries || Instant::now() >= until {
            break;
        }
        let is_bare = entry.e.is_empty();
        if !is_bare && !entry.e.contains(&text) {
            continue;
        }
        if let Ok(message) = entry.message()
            && (message.envelope.trace.0 == id.0 || message.envelope.id == id)
        {
            return Ok(Meant::One(message.envelope.trace));
        }
    }
    Ok(Meant::None)
}

/// Why there is no chain, in words.
pub fn not_found(text: &str) -> String {
    format!(
        "no chain and no message has the id `{}`, or a part like it; `fullsend tail --since 1h` shows them in its last column",
        sanitize_line(text, 60)
    )
}
