//! A ring of lines: the newest messages, as many as its caps allow, and those of them that match the filter.
//!
//! Owns what is forgotten: the oldest, counted. Line numbers ascend and are never given twice, so a place that is remembered by number
//! stays where it is whatever comes or goes. Must never hold more than its caps.

use std::collections::VecDeque;
use std::sync::Arc;

use super::item::Row;
use crate::bus::filter::{EntryView, Filter};

/// What a ring may keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// Lines.
    pub lines: usize,
    /// Bytes.
    pub bytes: usize,
}

impl Caps {
    /// What the store keeps of all channels: 50,000 lines and 48 MiB.
    pub const DEFAULT: Self = Self { lines: 50_000, bytes: 48 << 20 };

    /// What is kept of one channel: a twenty-fifth of the lines and of the bytes.
    #[must_use]
    pub fn of_channel(self) -> Self {
        Self { lines: (self.lines / 25).max(1), bytes: (self.bytes / 25).max(1) }
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
    /// Something may be missing here; why, harmless.
    Gap(Arc<str>),
}

impl Line {
    /// The message, if it is one.
    pub fn row(&self) -> Option<&Arc<Row>> {
        match &self.what {
            What::Said(row) => Some(row),
            What::Gap(_) => None,
        }
    }

    fn weight(&self) -> usize {
        match &self.what {
            What::Said(row) => row.weight(),
            What::Gap(words) => words.len(),
        }
    }

    /// Whether a filter lets it through. A gap is always shown.
    pub fn is_wanted(&self, filter: &Filter) -> bool {
        let Some(row) = self.row() else { return true };
        filter.matches(&EntryView { channel: row.channel, envelope: row.envelope.as_ref(), body: &row.body })
    }
}

/// The newest lines.
#[derive(Debug, Clone)]
pub struct Ring {
    caps: Caps,
    lines: VecDeque<Line>,
    /// Those that match; none where everything does.
    matching: Option<VecDeque<Line>>,
    bytes: usize,
    dropped: u64,
}

impl Ring {
    /// An empty one.
    pub fn new(caps: Caps) -> Self {
        Self { caps, lines: VecDeque::new(), matching: None, bytes: 0, dropped: 0 }
    }

    /// Adds a line, and forgets the oldest that no longer fit.
    pub fn push(&mut self, line: Line, filter: &Filter) {
        self.bytes += line.weight();
        if let Some(matching) = self.matching.as_mut().filter(|_| line.is_wanted(filter)) {
            matching.push_back(line.clone());
        }
        self.lines.push_back(line);
        while self.lines.len() > self.caps.lines || self.bytes > self.caps.bytes {
            let Some(oldest) = self.lines.pop_front() else { break };
            self.bytes -= oldest.weight();
            self.dropped += 1;
            if let Some(matching) = &mut self.matching
                && matching.front().is_some_and(|line| line.number <= oldest.number)
            {
                matching.pop_front();
            }
        }
    }

    /// Finds the matching lines anew.
    pub fn refilter(&mut self, filter: &Filter) {
        self.matching =
            (!filter.is_empty()).then(|| self.lines.iter().filter(|line| line.is_wanted(filter)).cloned().collect());
    }

    /// The lines that are shown, oldest first.
    pub fn shown(&self) -> &VecDeque<Line> {
        self.matching.as_ref().unwrap_or(&self.lines)
    }

    /// All lines that are kept, oldest first, whatever the filter.
    pub fn lines(&self) -> impl Iterator<Item = &Line> {
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
        self.shown().back().map_or(0, |line| line.number)
    }

    /// Where the line with this number stands among those that are shown, or the first after it.
    pub fn position(&self, number: u64) -> usize {
        self.shown().partition_point(|line| line.number < number)
    }
}
