//! What is older than a ring keeps, read back from the streams when somebody scrolls or searches there.
//!
//! Owns the seam: which entries belong to the ring and which do not, so that none is shown twice and none is missing. Holds a window of
//! what was read, with a cap of its own; where it no longer reaches the ring, what is between is read again on the way down. Must never
//! read by itself: it says what is to be read ([`ReadBack`]), and takes what was found ([`Found`]).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::item::Row;
use super::ring::{Caps, Line, What};
use crate::bus::EntryId;
use crate::bus::filter::Filter;
use crate::contracts::ChannelName;

/// A place in each channel's stream.
pub type Places = BTreeMap<ChannelName, EntryId>;

/// Lines of a page, where everything is shown.
const PAGE: usize = 300;
/// Lines of a page, where a filter has to find them.
const FOUND: usize = 500;

/// Whose lines a ring holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// Of all channels, in the order of their ids.
    All,
    /// Of one.
    Channel(ChannelName),
    /// The program's log, which is in no stream.
    Log,
}

/// In which direction the streams are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Toward {
    /// To their beginning.
    Older,
    /// To what the ring holds.
    Newer,
}

/// What is to be read.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadBack {
    /// For whom.
    pub source: Source,
    /// Names the reading: what another one found is no longer wanted.
    pub serial: u64,
    /// In which direction.
    pub toward: Toward,
    /// From where on each channel; that entry itself is excluded.
    pub from: Places,
    /// Where to stop on each channel, on the way to the ring; excluded.
    pub until: Places,
    /// What is wanted only.
    pub filter: Filter,
    /// So many are enough.
    pub limit: usize,
}

/// What was found so far.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// What matches, in the order in which it was read.
    pub rows: Vec<Arc<Row>>,
    /// Where to go on from.
    pub from: Places,
    /// The time of what was read last.
    pub reached: Option<DateTime<Utc>>,
    /// Whether there is nothing more in this direction.
    pub is_end: bool,
    /// Whether the reading is over, for now.
    pub is_done: bool,
    /// Why it could not go on; harmless.
    pub failed: Option<String>,
}

/// How it stands with the reading.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Reading {
    /// Nothing was asked for.
    #[default]
    Idle,
    /// It goes on.
    Going(Toward),
    /// It could not go on; why, harmless.
    Failed(String),
}

/// The window of what was read back.
#[derive(Debug, Clone, Default)]
pub struct Back {
    lines: VecDeque<Line>,
    bytes: usize,
    /// From where older entries are read; empty where nothing was asked for.
    older: Places,
    /// From where newer ones are read; none where the lines reach the ring's.
    newer: Option<Places>,
    serial: u64,
    reading: Reading,
    is_beginning: bool,
    reached: Option<DateTime<Utc>>,
    found: usize,
}

/// The entry id right before this one.
fn before(id: EntryId) -> EntryId {
    match (id.seq.checked_sub(1), id.ms.checked_sub(1)) {
        (Some(seq), _) => EntryId { seq, ..id },
        (None, Some(ms)) => EntryId { ms, seq: u64::MAX },
        (None, None) => EntryId::ZERO,
    }
}

impl Back {
    /// The lines, oldest first.
    pub fn lines(&self) -> &VecDeque<Line> {
        &self.lines
    }

    /// Whether the lines end where those of the ring begin.
    pub fn reaches_ring(&self) -> bool {
        self.newer.is_none()
    }

    /// Whether somebody looks back.
    pub fn is_used(&self) -> bool {
        !self.older.is_empty() || self.is_beginning || self.reading != Reading::Idle
    }

    /// How it stands.
    pub fn reading(&self) -> &Reading {
        &self.reading
    }

    /// Whether the first line is the first of the streams.
    pub fn is_beginning(&self) -> bool {
        self.is_beginning
    }

    /// The time of what was read last.
    pub fn reached(&self) -> Option<DateTime<Utc>> {
        self.reached
    }

    /// How many were found, with those that the window has let go.
    pub fn found(&self) -> usize {
        self.found
    }

    /// What is to be read next in this direction; none where it is being read, or there is nothing. `floors`: where the ring begins.
    pub(super) fn wanted(
        &mut self,
        source: Source,
        toward: Toward,
        floors: &Places,
        filter: &Filter,
        serial: u64,
        caps: Caps,
    ) -> Option<ReadBack> {
        if matches!(self.reading, Reading::Going(_)) {
            return None;
        }
        let from = match toward {
            Toward::Older if self.is_beginning => return None,
            Toward::Older => {
                if self.older.is_empty() {
                    self.older.clone_from(floors);
                }
                self.older.clone()
            }
            Toward::Newer => self.newer.clone()?,
        };
        if from.is_empty() {
            self.is_beginning = true;
            return None;
        }
        self.serial = serial;
        self.reading = Reading::Going(toward);
        let until = if toward == Toward::Newer { floors.clone() } else { Places::new() };
        // A page never pushes out what it adjoins.
        let limit = if filter.is_empty() { PAGE } else { FOUND }.min(caps.lines / 2).max(1);
        Some(ReadBack { source, serial, toward, from, until, filter: filter.clone(), limit })
    }

    /// Takes what was found. `front` is the number of the ring's first line, or of the next one.
    pub(super) fn take(&mut self, serial: u64, found: Found, floors: &Places, front: u64, caps: Caps) {
        let Reading::Going(toward) = self.reading else { return };
        if serial != self.serial {
            return;
        }
        self.reached = found.reached.or(self.reached);
        match toward {
            Toward::Older => {
                self.found += found.rows.len();
                self.older = found.from;
                self.is_beginning = found.is_end;
                let mut number = self.lines.front().map_or(front, |line| line.number);
                for row in found.rows {
                    number = number.saturating_sub(1);
                    self.bytes += row.weight();
                    self.lines.push_front(Line { number, what: What::Said(row) });
                }
                self.let_newest_go(floors, caps);
            }
            Toward::Newer => {
                let mut number = self.lines.back().map_or(front, |line| line.number);
                for row in found.rows {
                    number += 1;
                    if number >= front {
                        // The way up found less than the way down (an index of words is not as exact): begin anew from the ring.
                        *self = Self::default();
                        return;
                    }
                    self.bytes += row.weight();
                    self.lines.push_back(Line { number, what: What::Said(row) });
                }
                let reaches = |(channel, floor): (&ChannelName, &EntryId)| {
                    found.from.get(channel).is_none_or(|place| *place >= before(*floor))
                };
                self.newer = (!floors.iter().all(reaches)).then_some(found.from);
                self.let_oldest_go(caps);
            }
        }
        if let Some(why) = found.failed {
            self.reading = Reading::Failed(why);
        } else if found.is_done {
            self.reading = Reading::Idle;
        }
    }

    fn is_over(&self, caps: Caps) -> bool {
        self.lines.len() > caps.lines || self.bytes > caps.bytes
    }

    fn let_newest_go(&mut self, floors: &Places, caps: Caps) {
        while self.is_over(caps) {
            let Some(line) = self.lines.pop_back() else { break };
            self.bytes -= line.weight();
            let newer = self.newer.get_or_insert_with(|| starts(floors));
            if let Some((channel, id)) = place(&line) {
                newer.insert(channel, before(id));
            }
        }
    }

    fn let_oldest_go(&mut self, caps: Caps) {
        while self.is_over(caps) {
            let Some(line) = self.lines.pop_front() else { break };
            self.bytes -= line.weight();
            self.is_beginning = false;
            if let Some((channel, id)) = place(&line) {
                self.older.insert(channel, EntryId { seq: id.seq.saturating_add(1), ..id });
            }
        }
    }

    /// The ring lets its first line go: it is ours now, if we reach so far and have room. `floors`: where the ring began with that line.
    pub(super) fn keep(&mut self, line: &Line, is_wanted: bool, floors: &Places, caps: Caps) {
        if !self.is_used() || self.newer.is_some() {
            return;
        }
        let has_room = self.lines.len() < caps.lines && self.bytes + line.weight() <= caps.bytes;
        if !has_room {
            self.newer = Some(starts(floors));
        } else if is_wanted {
            self.bytes += line.weight();
            self.lines.push_back(line.clone());
        }
    }
}

/// The places from which everything is read that a ring which begins at `floors` holds.
fn starts(floors: &Places) -> Places {
    floors.iter().map(|(channel, floor)| (*channel, before(*floor))).collect()
}

fn place(line: &Line) -> Option<(ChannelName, EntryId)> {
    let row = line.row()?;
    Some((row.channel, row.entry?))
}
