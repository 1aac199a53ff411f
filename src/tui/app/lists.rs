//! Lists: what is selected in a pane, and whether it follows what comes.
//!
//! What is selected is remembered by the line's number or the entry's id, never by its row, so that nothing moves under the reader.

use std::sync::Arc;

use ratatui::layout::Rect;

use super::{Effect, Model};
use crate::tui::screens::Pane;
use crate::tui::screens::content::{Content, Entry, Target, content};
use crate::tui::store::{Ring, Source, Toward, What};

/// What is selected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    /// The line with this number.
    Line(u64),
    /// The entry with this id.
    Entry(String),
}

/// The state of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListState {
    /// What is selected; none while it follows.
    pub selected: Option<Mark>,
    /// The number of the first line that is shown, while it is held still.
    pub top: u64,
    /// The newest line when it was held still.
    pub held_at: u64,
    /// Whether the room selected it, so that what a key means stays what is shown; not the person.
    pub is_pinned: bool,
}

impl ListState {
    /// Whether it shows what comes.
    pub fn is_following(&self) -> bool {
        !matches!(self.selected, Some(Mark::Line(_)))
    }

    /// The number of the selected line.
    pub fn line(&self) -> Option<u64> {
        match self.selected {
            Some(Mark::Line(number)) => Some(number),
            _ => None,
        }
    }

    /// The id of the selected entry.
    pub fn entry_id(&self) -> Option<&str> {
        match &self.selected {
            Some(Mark::Entry(id)) => Some(id),
            _ => None,
        }
    }

    /// The lines of a ring that are shown in so many rows: from where to where in its view.
    pub fn window(&self, ring: &Ring, rows: usize) -> (usize, usize) {
        let view = ring.view();
        let len = view.len();
        let first = match self.line() {
            None => len.saturating_sub(rows),
            Some(_) => view.position(self.top).min(len.saturating_sub(rows.min(len))),
        };
        (first, (first + rows).min(len))
    }

    /// How many came since it was held still.
    pub fn new_since(&self, ring: &Ring) -> usize {
        if self.is_following() { 0 } else { ring.shown().len() - ring.position(self.held_at + 1) }
    }

    /// Where the selected entry stands.
    pub fn entry(&self, entries: &[Entry], at_end: bool) -> Option<usize> {
        let found = match &self.selected {
            Some(Mark::Entry(id)) => entries.iter().position(|entry| entry.id == *id),
            _ => None,
        };
        found.or_else(|| if at_end { entries.len().checked_sub(1) } else { (!entries.is_empty()).then_some(0) })
    }
}

/// A way to go in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// So many lines, down or (negative) up.
    By(isize),
    /// A page.
    Page(isize),
    /// To the oldest.
    First,
    /// To the newest.
    Last,
}

/// Rows inside of a pane.
fn rows(area: Rect) -> usize {
    usize::from(area.height.saturating_sub(2)).max(1)
}

impl Model {
    /// Goes on in a list. Where it comes to an end of what is kept, more is read.
    pub(super) fn go(&mut self, pane: Pane, area: Rect, step: Step) -> Vec<Effect> {
        let rows = rows(area);
        let old = self.lists.get(&pane).cloned().unwrap_or_default();
        let target = |at: usize, len: usize| -> usize {
            let by = |n: isize| at.saturating_add_signed(n).min(len.saturating_sub(1));
            match step {
                Step::By(n) => by(n),
                Step::Page(n) => by(n.saturating_mul(isize::try_from(rows).unwrap_or(1))),
                Step::First => 0,
                Step::Last => len.saturating_sub(1),
            }
        };
        let is_up = matches!(step, Step::By(n) | Step::Page(n) if n < 0) || step == Step::First;
        match content(self, pane, area.width.saturating_sub(2)) {
            Content::Messages(ring) => {
                let view = ring.view();
                let (source, len, is_whole) = (ring.source(), view.len(), ring.back().reaches_ring());
                let at = old.line().map_or(len.saturating_sub(1), |number| view.position(number).min(len.max(1) - 1));
                // Where it follows, the newest line is marked already: the first step up takes hold of it.
                let is_taking_hold = old.is_following() && step == Step::By(-1);
                let to = if is_taking_hold { at } else { target(at, len) };
                let is_last = to + 1 >= len && at + 1 >= len && is_whole && !is_up;
                if step == Step::Last || is_last {
                    // Going on at the end follows again.
                    self.lists.insert(pane, ListState::default());
                    return self.leave_past(source);
                }
                let state = if len == 0 { ListState::default() } else { held(ring, &old, to, rows) };
                let far_below = view.read_back().saturating_add(2 * rows);
                let is_past_left = is_whole && self.filter.is_empty() && view.read_back() > 0 && to > far_below;
                self.lists.insert(pane, state);
                if is_past_left {
                    return self.leave_past(source);
                }
                if is_up && to < rows {
                    return self.read_back(source, Toward::Older).into_iter().collect();
                }
                if !is_up && !is_whole && to + rows >= len {
                    return self.read_back(source, Toward::Newer).into_iter().collect();
                }
            }
            Content::Entries { entries, at_end, .. } => {
                let to = old.entry(&entries, at_end).map(|at| target(at, entries.len()));
                // At the end it follows again.
                let to = to.filter(|to| !at_end || to + 1 < entries.len());
                let selected = to.and_then(|at| entries.get(at)).map(|entry| Mark::Entry(entry.id.clone()));
                self.lists.insert(pane, ListState { selected, ..ListState::default() });
            }
        }
        Vec::new()
    }

    /// Selects the first entry of the list whose keys act at once, where nothing is: what comes above it later is not what was meant.
    pub(super) fn pin(&mut self) {
        use crate::tui::screens::Screen;
        let pane = match self.screen {
            Screen::Alerts => Pane::Alerts,
            Screen::Experiments => Pane::Experiments,
            _ => return,
        };
        if self.lists.get(&pane).is_some_and(|list| list.entry_id().is_some_and(|id| self.is_there(pane, id))) {
            return;
        }
        let first = match pane {
            Pane::Alerts => self.store.alerts.all().first().map(|alert| alert.id.clone()),
            _ => crate::tui::screens::experiments::sorted(self).first().map(|it| it.id.clone()),
        };
        let Some(id) = first else { return };
        self.lists.insert(pane, ListState { selected: Some(Mark::Entry(id)), is_pinned: true, ..ListState::default() });
    }

    fn is_there(&self, pane: Pane, id: &str) -> bool {
        match pane {
            Pane::Alerts => self.store.alerts.all().iter().any(|alert| alert.id == id),
            _ => self.store.experiments.get(id).is_some(),
        }
    }

    /// What the person did not select himself is not selected any more.
    pub(super) fn unpin(&mut self) {
        self.lists.retain(|_, list| !list.is_pinned);
    }

    /// Nobody looks at what was read back for a list any more; while a filter is searched for, it stays.
    fn leave_past(&mut self, source: Source) -> Vec<Effect> {
        let is_left = self.filter.is_empty() && self.store.forget_back(source);
        if is_left { vec![Effect::StopReading(source)] } else { Vec::new() }
    }

    /// Holds a list of messages still, or lets it follow.
    pub(super) fn toggle_pause(&mut self, pane: Pane, area: Rect) -> Vec<Effect> {
        let old = self.lists.get(&pane).cloned().unwrap_or_default();
        let Content::Messages(ring) = content(self, pane, area.width) else { return Vec::new() };
        let (source, len) = (ring.source(), ring.view().len());
        if old.is_following() && len > 0 {
            let state = held(ring, &old, len - 1, rows(area));
            self.lists.insert(pane, state);
            return Vec::new();
        }
        self.lists.insert(pane, ListState::default());
        self.leave_past(source)
    }

    /// Selects what stands in this row of a pane, counted from 0 below its frame.
    pub(super) fn select_row(&mut self, pane: Pane, area: Rect, row: usize) {
        let old = self.lists.get(&pane).cloned().unwrap_or_default();
        let rows = rows(area);
        let state = match content(self, pane, area.width.saturating_sub(2)) {
            Content::Messages(ring) => {
                let (first, end) = old.window(ring, rows);
                let at = first + row;
                if at >= end {
                    return;
                }
                held(ring, &old, at, rows)
            }
            Content::Entries { entries, at_end, .. } => {
                let first = first_entry(old.entry(&entries, at_end), entries.len(), rows);
                let Some(entry) = entries.get(first + row) else { return };
                ListState { selected: Some(Mark::Entry(entry.id.clone())), ..ListState::default() }
            }
        };
        self.lists.insert(pane, state);
    }

    /// What is selected in the pane with the focus.
    pub fn target(&self) -> Option<Target> {
        let (pane, area) = self.focused()?;
        let state = self.lists.get(&pane).cloned().unwrap_or_default();
        match content(self, pane, area.width.saturating_sub(2)) {
            Content::Messages(ring) => {
                let view = ring.view();
                let at = state.line().map_or(view.len().checked_sub(1), |number| Some(view.position(number)))?;
                match &view.get(at)?.what {
                    What::Said(row) => Some(Target::Message(row.clone())),
                    What::Log(line) => Some(Target::Log(line.clone())),
                    What::Gap(_) => None,
                }
            }
            Content::Entries { entries, at_end, .. } => {
                let at = state.entry(&entries, at_end)?;
                match entries.get(at)?.target.clone()? {
                    Target::Entry(channel, id) => {
                        self.store.find(channel, id).map(|row| Target::Message(Arc::clone(row)))
                    }
                    other => Some(other),
                }
            }
        }
    }

    /// Names the entry that is selected in this pane.
    pub fn selected(&self, pane: Pane) -> Option<String> {
        let state = self.lists.get(&pane).cloned().unwrap_or_default();
        let Content::Entries { entries, at_end, .. } = content(self, pane, self.area.width) else { return None };
        state.entry(&entries, at_end).and_then(|at| entries.get(at)).map(|entry| entry.id.clone())
    }
}

/// The first entry that is shown, so that the selected one is.
pub fn first_entry(selected: Option<usize>, len: usize, rows: usize) -> usize {
    selected.map_or(0, |at| (at + 1).saturating_sub(rows)).min(len.saturating_sub(1))
}

/// The list held still with the line at `to` selected, moved no more than is needed to show it.
fn held(ring: &Ring, old: &ListState, to: usize, rows: usize) -> ListState {
    let (first, _) = old.window(ring, rows);
    let first = first.min(to).max((to + 1).saturating_sub(rows));
    let view = ring.view();
    let number = |at: usize| view.get(at).map_or(0, |line| line.number);
    let held_at = if old.is_following() { ring.newest() } else { old.held_at };
    ListState { selected: Some(Mark::Line(number(to))), top: number(first), held_at, is_pinned: false }
}
