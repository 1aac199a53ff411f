//! Reads back what is older than the lists keep: page by page, merged over the channels by id, or found by the engine's index of words.
//!
//! Says what it found as it goes, so that nobody waits for the end of a long search. Must never hold more than a page of each channel,
//! and never go on for somebody who no longer wants it: dropping its future ends it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::time::{Duration, Instant};

use super::Batch;
use crate::bus::filter::EntryView;
use crate::bus::{Bound, BusError, Entry, EntryId, Range, SharedBus};
use crate::contracts::ChannelName;
use crate::contracts::untrusted::sanitize_line;
use crate::tui::store::{Found, Item, Places, ReadBack, Row, Source, Toward};

/// Entries of a page of one channel, where everything is shown.
const PAGE: usize = 300;
/// And where a filter has to find what it wants among many.
const SEARCHED: usize = 1_000;
/// What was found is said so often.
const SAID: Duration = Duration::from_millis(50);
/// A filter that is being typed is not searched for until it rests for so long.
pub(in crate::tui) const RESTS: Duration = Duration::from_millis(120);

/// Reads, and says what it finds.
pub async fn read(bus: SharedBus, wanted: ReadBack, queue: mpsc::Sender<Batch>) {
    let mut reader = Reader { found: Found::default(), said: Instant::now(), left: wanted.limit, bus, wanted, queue };
    reader.found.from.clone_from(&reader.wanted.from);
    let ended = match reader.wanted.toward {
        Toward::Older => match reader.by_words().await {
            Ok(true) => Ok(()),
            Ok(false) => reader.by_pages().await,
            Err(err) => Err(err),
        },
        Toward::Newer => reader.by_pages().await,
    };
    if let Err(Stopped::Bus(err)) = ended {
        reader.found.failed = Some(sanitize_line(&err.to_string(), 200));
    }
    reader.found.is_done = true;
    reader.say().await.ok();
}

/// Why a reading stops early.
enum Stopped {
    Bus(BusError),
    /// Nobody is there to be told.
    Gone,
}

impl From<BusError> for Stopped {
    fn from(err: BusError) -> Self {
        Self::Bus(err)
    }
}

struct Reader {
    bus: SharedBus,
    wanted: ReadBack,
    queue: mpsc::Sender<Batch>,
    found: Found,
    said: Instant,
    /// So many more are wanted.
    left: usize,
}

/// A page of one channel that is being merged.
#[derive(Default)]
struct Page {
    entries: VecDeque<Entry>,
    is_end: bool,
}

impl Reader {
    /// Says what was found since the last time.
    async fn say(&mut self) -> Result<(), Stopped> {
        self.said = Instant::now();
        let next = Found { from: self.found.from.clone(), reached: self.found.reached, ..Found::default() };
        let found = Box::new(std::mem::replace(&mut self.found, next));
        let item = Item::Found { source: self.wanted.source, serial: self.wanted.serial, found };
        self.queue.send(vec![item]).await.map_err(|_| Stopped::Gone)
    }

    /// Looks at an entry: the next one in the order of the reading.
    fn look(&mut self, entry: Entry) {
        self.found.from.insert(entry.channel, entry.id);
        self.found.reached = Some(entry.id.at());
        if !self.wanted.filter.is_empty() {
            let message = entry.message().ok();
            let envelope = message.as_ref().map(|message| &message.envelope);
            let body = match (envelope, &entry.fields) {
                (None, Some(fields)) => fields,
                _ => entry.b.as_str(),
            };
            if !self.wanted.filter.matches(&EntryView { channel: entry.channel, envelope, body }) {
                return;
            }
        }
        let row = Row::stored(entry);
        if self.wanted.source == Source::All && row.is_pulse() {
            return;
        }
        self.left = self.left.saturating_sub(1);
        self.found.rows.push(Arc::new(row));
    }

    /// By the engine's index of words. False where it cannot.
    async fn by_words(&mut self) -> Result<bool, Stopped> {
        let words: Vec<String> = self.wanted.filter.words().into_iter().map(str::to_owned).collect();
        let Some(mut before) = self.wanted.from.values().max().copied().filter(|_| !words.is_empty()) else {
            return Ok(false);
        };
        let mut limit = self.wanted.limit;
        while self.left > 0 {
            let Some(mut page) = self.bus.search(&words, limit, Some(before)).await? else { return Ok(false) };
            let is_full = page.len() >= limit;
            if let Some(last) = page.last().map(|entry| entry.id).filter(|_| is_full) {
                // Another channel may have an entry of the same id, which is on the next page.
                let rest = page.partition_point(|entry| entry.id > last);
                if rest == 0 {
                    limit *= 2;
                    continue;
                }
                page.truncate(rest);
                before = EntryId { seq: last.seq.saturating_add(1), ..last };
            }
            for entry in page {
                if self.wanted.from.get(&entry.channel).is_some_and(|from| entry.id < *from) {
                    self.look(entry);
                }
            }
            if !is_full {
                self.found.is_end = true;
                break;
            }
            for place in self.found.from.values_mut() {
                *place = before.min(*place);
            }
            self.say().await?;
        }
        Ok(true)
    }

    /// Page by page, over all channels by id.
    async fn by_pages(&mut self) -> Result<(), Stopped> {
        let mut pages: BTreeMap<ChannelName, Page> =
            self.wanted.from.keys().map(|channel| (*channel, Page::default())).collect();
        while self.left > 0 {
            self.fill(&mut pages).await?;
            let next = |(channel, page): (&ChannelName, &Page)| Some((page.entries.front()?.id, *channel));
            let next = match self.wanted.toward {
                Toward::Older => pages.iter().filter_map(next).max(),
                Toward::Newer => pages.iter().filter_map(next).min(),
            };
            let Some((_, channel)) = next else {
                self.found.is_end = true;
                self.reach_ring();
                break;
            };
            // Everything of this channel up to where another one's is next.
            if let Some(entry) = pages.get_mut(&channel).and_then(|page| page.entries.pop_front()) {
                self.look(entry);
            }
            if self.said.elapsed() >= SAID {
                self.say().await?;
            }
        }
        Ok(())
    }

    /// On the way to the ring nothing is left: the next places are where it begins.
    fn reach_ring(&mut self) {
        if self.wanted.toward == Toward::Newer {
            for (channel, floor) in &self.wanted.until {
                let place = self.found.from.entry(*channel).or_insert(*floor);
                *place = (*place).max(*floor);
            }
        }
    }

    /// Reads the next page of each channel that has none.
    async fn fill(&self, pages: &mut BTreeMap<ChannelName, Page>) -> Result<(), Stopped> {
        let empty = pages.iter().filter(|(_, page)| page.entries.is_empty() && !page.is_end);
        let empty: Vec<ChannelName> = empty.map(|(channel, _)| *channel).collect();
        if empty.is_empty() {
            return Ok(());
        }
        let limit = if self.wanted.filter.is_empty() { PAGE } else { SEARCHED };
        let place = |places: &Places, channel| places.get(&channel).map_or(Bound::Open, |id| Bound::Entry(*id));
        let read = empty.into_iter().map(|channel| {
            let here = place(&self.found.from, channel);
            let range = match self.wanted.toward {
                Toward::Older => Range { from: Bound::Open, to: here, newest_first: true, limit },
                Toward::Newer => {
                    let to = place(&self.wanted.until, channel);
                    Range { from: here, to, newest_first: false, limit }
                }
            };
            async move { self.bus.range(channel, range).await.map(|entries| (channel, entries)) }
        });
        for (channel, entries) in futures::future::try_join_all(read).await? {
            pages.insert(channel, Page { is_end: entries.len() < limit, entries: entries.into() });
        }
        Ok(())
    }
}
