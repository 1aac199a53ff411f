//! Channels: one live pane for each channel in a grid.
//!
//! Owns the grid. Where not all fit, it shows the rows of panes around the one that has the focus.

use ratatui::layout::{Constraint, Layout, Rect};

use super::Pane;
use crate::contracts::ChannelName;
use crate::tui::app::Model;

/// The channels, in the order of the wiring table.
pub const ALL: &[ChannelName] = ChannelName::ALL;

/// A pane is at least so wide and so high.
const LEAST: (u16, u16) = (36, 4);

/// Columns and rows of the whole grid, and the rows that fit.
fn grid(area: Rect) -> (usize, usize, usize) {
    let columns = usize::from(area.width / LEAST.0).clamp(1, 6);
    let rows = ALL.len().div_ceil(columns);
    let fitting = usize::from(area.height / LEAST.1).clamp(1, rows);
    (columns, rows, fitting)
}

/// Where the panes stand.
pub fn panes(model: &Model, area: Rect) -> Vec<(Pane, Rect)> {
    let (columns, rows, fitting) = grid(area);
    let focused = match model.chosen_pane() {
        Some(Pane::Channel(channel)) => ALL.iter().position(|it| *it == channel).unwrap_or(0),
        _ => 0,
    };
    // Pages of rows, so that the panes stand still while the focus moves among them.
    let first = (focused / columns / fitting * fitting).min(rows.saturating_sub(fitting));
    let lines = Layout::vertical(vec![Constraint::Fill(1); fitting]).split(area);
    let mut panes = Vec::new();
    for (row, line) in lines.iter().enumerate() {
        let cells = Layout::horizontal(vec![Constraint::Fill(1); columns]).split(*line);
        for (column, cell) in cells.iter().enumerate() {
            if let Some(channel) = ALL.get((first + row) * columns + column) {
                panes.push((Pane::Channel(*channel), *cell));
            }
        }
    }
    panes
}

/// The pane above or below in the grid.
pub fn neighbour(pane: Pane, area: Rect, down: bool) -> Option<Pane> {
    let Pane::Channel(channel) = pane else { return None };
    let (columns, ..) = grid(area);
    let at = ALL.iter().position(|it| *it == channel)?;
    let at = if down { at + columns } else { at.checked_sub(columns)? };
    ALL.get(at).map(|channel| Pane::Channel(*channel))
}
