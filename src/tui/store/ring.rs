//! A ring of lines: the newest messages, as many as its caps allow, and those of them that match the filter.
//!
//! Owns what is forgotten: the oldest, counted. Line numbers ascend and are never given twice, so a place that is remembered by number
//! stays where it is whatever comes or goes. Above the ring may stand what was read back ([`View`]). Must never hold more than its caps.

use std::collections::VecDeque;
use std::sync::Arc;

use super::back::{Back, Found, Places, ReadBack, Source, Toward};
use super::item::Row;
use super::system::SharedLine;
use crate::bus::EntryId;
use crate::bus::filter::{EntryView, Filter};
use crate::contracts::ChannelName;

/// What a ring may keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// Lines.
    pub lines: usize,
    /// Bytes.
    pub bytes: usize,
}

impl Caps {
    /// What the store keeps of all channels: 100,000 lines and 64 MiB.
    pub const DEFAULT: Self = Self { lines: 100_000, bytes: 64 << 20 };

    /// So many lines, and the bytes of as many usual messages.
    #[must_use]
    pub fn of_lines(lines: usize) -> Self {
        let bytes = lines.saturating_mul(Self::DEFAULT.bytes / Self::DEFAULT.lines).max(8 << 20);
        Self { lines, bytes }
    }

    /// What is kept of one channel: a twenty-fifth of the lines and of the bytes.
    #[must_use]
    pub fn of_channel(self) -> Self {
        Self { lines: (self.lines / 25).max(1), bytes: (self.bytes / 25).max(1) }
    }

    /// What is kept of what was read back for one list: an eighth.
    #[must_use]
    pub fn of_back(self) -> Self {
        Self { lines: (self.lines / 8).max(1), bytes: (self.bytes / 8).max(1) }
    }
}

/// A line of a ring.
#[derive(Debug, Clone)]
pub struct Line {
    /// Names it; ascending over all rings.
    pub number: u64,
    /// What it is.
    pub what: What,
}

/// What a line is.
#[derive(Debug, Clone)]
pub enum What {
    /// A message.
    Said(Arc<Row>),
    /// A line of the program's log.
    Log(SharedLine),
    /// Something may be missing here; why, harmless.
    Gap(Arc<str>),
}

impl Line {
    /// The message, if it is one.
    pub fn row(&self) -> Option<&Arc<Row>> {
        match &self.what {
            What::Said(row) => Some(row),
            What::Log(_) | What::Gap(_) => None,
        }
    }

    pub(super) fn weight(&self) -> usize {
        match &self.what {
            What::Said(row) => row.weight(),
            What::Log(line) => line.weight(),
            What::Gap(words) => words.len(),
        }
    }

    /// Whether a filter lets it through. A gap is always shown.
    pub fn is_wanted(&self, filter: &Filter) -> bool {
        if let What::Log(line) = &self.what {
            return filter.matches_text(&line.raw);
        }
        let Some(row) = self.row() else { return true };
        filter.matches(&EntryView { channel: row.channel, envelope: row.envelope.as_ref(), body: &row.body })
    }
}

/// The newest lines.
#[derive(Debug, Clone)]
pub struct Ring {
    source: Source,
    caps: Caps,
    lines: VecDeque<Line>,
    /// Those that match, by how many lines were there before them since the beginning; none where everything does.
    matching: Option<VecDeque<u64>>,
    bytes: usize,
    dropped: u64,
    /// From which entry on it has had everything of a channel, and not let it go.
    floors: Places,
    back: Back,
    back_caps: Caps,
}

impl Ring {
    /// An empty one.
    pub fn new(source: Source, caps: Caps, back_caps: Caps) -> Self {
        Self {
            source,
            caps,
            lines: VecDeque::new(),
            matching: None,
            bytes: 0,
            dropped: 0,
            floors: Places::new(),
            back: Back::default(),
            back_caps,
        }
    }

    /// Whose lines they are.
    pub fn source(&self) -> Source {
        self.source
    }

    /// It has everything of a channel from this entry on.
    pub(super) fn begins(&mut self, channel: ChannelName, id: EntryId) {
        self.floors.entry(channel).or_insert(id);
    }

    /// Adds a line, and forgets the oldest that no longer fit.
    pub fn push(&mut self, line: Line, filter: &Filter) {
        self.bytes += line.weight();
        let place = self.dropped + self.lines.len() as u64;
        if let Some(matching) = self.matching.as_mut().filter(|_| line.is_wanted(filter)) {
            matching.push_back(place);
        }
        self.lines.push_back(line);
        while self.lines.len() > self.caps.lines || self.bytes > self.caps.bytes {
            let Some(oldest) = self.lines.pop_front() else { break };
            self.bytes -= oldest.weight();
            let mut is_wanted = self.matching.is_none();
            if let Some(matching) = self.matching.as_mut().filter(|it| it.front() == Some(&self.dropped)) {
                matching.pop_front();
                is_wanted = true;
            }
            self.dropped += 1;
            self.back.keep(&oldest, is_wanted, &self.floors, self.back_caps);
            if let Some((channel, id)) = oldest.row().and_then(|row| Some((row.channel, row.entry?))) {
                self.floors.insert(channel, EntryId { seq: id.seq.saturating_add(1), ..id });
            }
        }
    }

    /// Finds the matching lines anew. `is_narrower`: only among those that matched.
    pub fn refilter(&mut self, filter: &Filter, is_narrower: bool) {
        self.forget_back();
        if filter.is_empty() {
            self.matching = None;
            return;
        }
        let former = self.matching.take().filter(|_| is_narrower);
        let candidates = former.unwrap_or_else(|| (self.dropped..).take(self.lines.len()).collect());
        self.matching = Some(wanted(&self.lines, self.dropped, candidates, filter));
    }

    /// What was read back.
    pub fn back(&self) -> &Back {
        &self.back
    }

    /// Forgets what was read back. True where something was, or is being read.
    pub(super) fn forget_back(&mut self) -> bool {
        let is_used = self.back.is_used();
        self.back = Back::default();
        is_used
    }

    pub(super) fn read_back(&mut self, toward: Toward, filter: &Filter, serial: u64) -> Option<ReadBack> {
        self.back.wanted(self.source, toward, &self.floors, filter, serial, self.back_caps)
    }

    pub(super) fn found(&mut self, serial: u64, found: Found, next_line: u64) {
        let front = self.lines.front().map_or(next_line, |line| line.number);
        self.back.take(serial, found, &self.floors, front, self.back_caps);
    }

    /// What was read back, and then the lines of the ring, where the one goes on in the other.
    pub fn view(&self) -> View<'_> {
        View { back: self.back.lines(), own: self.back.reaches_ring().then(|| self.shown()) }
    }

    /// The lines that are shown, oldest first.
    pub fn shown(&self) -> Shown<'_> {
        Shown { lines: &self.lines, dropped: self.dropped, matching: self.matching.as_ref() }
    }

    /// All lines that are kept, oldest first, whatever the filter.
    pub fn lines(&self) -> impl DoubleEndedIterator<Item = &Line> {
        self.lines.iter()
    }

    /// How many lines are kept.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// About how many bytes they take.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many were forgotten.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The number of the newest line that is shown; 0 where there is none.
    pub fn newest(&self) -> u64 {
        self.shown().newest().map_or(0, |line| line.number)
    }

    /// Where the line with this number stands among those that are shown, or the first after it.
    pub fn position(&self, number: u64) -> usize {
        self.shown().position(number)
    }
}

/// Lines from which on two threads look for those that match.
const SHARED: usize = 16_384;

/// Those of the candidates that a filter lets through. Of many, half are looked at by another thread meanwhile.
fn wanted(lines: &VecDeque<Line>, dropped: u64, mut places: VecDeque<u64>, filter: &Filter) -> VecDeque<u64> {
    let is_wanted = |place: &u64, filter: &Filter| at(lines, dropped, *place).is_some_and(|it| it.is_wanted(filter));
    if places.len() < SHARED {
        places.retain(|place| is_wanted(place, filter));
        return places;
    }
    let newer = places.split_off(places.len() / 2);
    let those = |filter: &Filter| newer.iter().copied().filter(|place| is_wanted(place, filter)).collect();
    // An expression of its own: the copies of one share what they work with.
    let own = filter.clone();
    let found = std::thread::scope(|scope| {
        let other = std::thread::Builder::new().spawn_scoped(scope, || -> VecDeque<u64> { those(&own) });
        places.retain(|place| is_wanted(place, filter));
        other.ok()?.join().ok()
    });
    // Where no thread could be had, this one does all of it.
    places.extend(found.unwrap_or_else(|| those(filter)));
    places
}

/// The line before which so many were there since the beginning.
fn at(lines: &VecDeque<Line>, dropped: u64, place: u64) -> Option<&Line> {
    lines.get(usize::try_from(place.checked_sub(dropped)?).ok()?)
}

/// The lines of a ring that are shown.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    lines: &'a VecDeque<Line>,
    dropped: u64,
    matching: Option<&'a VecDeque<u64>>,
}

impl<'a> Shown<'a> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.matching.map_or(self.lines.len(), VecDeque::len)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The line at this place.
    pub fn get(&self, place: usize) -> Option<&'a Line> {
        match self.matching {
            None => self.lines.get(place),
            Some(matching) => at(self.lines, self.dropped, *matching.get(place)?),
        }
    }

    /// The newest.
    pub fn newest(&self) -> Option<&'a Line> {
        self.get(self.len().checked_sub(1)?)
    }

    /// All of them, oldest first.
    pub fn iter(self) -> impl DoubleEndedIterator<Item = &'a Line> {
        (0..self.len()).filter_map(move |place| self.get(place))
    }

    /// Where the line with this number stands, or the first after it.
    pub fn position(&self, number: u64) -> usize {
        let is_before = |line: Option<&Line>| line.is_some_and(|line| line.number < number);
        match self.matching {
            None => self.lines.partition_point(|line| line.number < number),
            Some(matching) => matching.partition_point(|place| is_before(at(self.lines, self.dropped, *place))),
        }
    }
}

/// What is shown of a ring, with what was read back above it.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    back: &'a VecDeque<Line>,
    own: Option<Shown<'a>>,
}

impl<'a> View<'a> {
    /// How many lines it has.
    pub fn len(&self) -> usize {
        self.back.len() + self.own.map_or(0, |own| own.len())
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many of them were read back.
    pub fn read_back(&self) -> usize {
        self.back.len()
    }

    /// The line at this place.
    pub fn get(&self, at: usize) -> Option<&'a Line> {
        match at.checked_sub(self.back.len()) {
            None => self.back.get(at),
            Some(at) => self.own?.get(at),
        }
    }

    /// Where the line with this number stands, or the first after it.
    pub fn position(&self, number: u64) -> usize {
        let older = self.back.partition_point(|line| line.number < number);
        let own = self.own.filter(|_| older == self.back.len());
        older + own.map_or(0, |own| own.position(number))
    }

    /// The lines from one place up to another.
    pub fn range(self, from: usize, to: usize) -> impl Iterator<Item = &'a Line> {
        (from..to.min(self.len())).filter_map(move |at| self.get(at))
    }
}
