//! The Deck: everything at a glance.
//!
//! Owns where its panes stand in each size. Below 120 columns or 30 rows it has fewer of them, never broken ones.

use ratatui::layout::{Constraint, Layout, Rect};

use super::Pane;
use crate::contracts::notes::NoteName;

/// Its panes, in the order of the focus.
pub const ALL: &[Pane] = &[
    Pane::Traffic,
    Pane::Needs,
    Pane::Reasoning,
    Pane::Alerts,
    Pane::Experiments,
    Pane::Services,
    Pane::Note(NoteName::Worklist),
    Pane::Note(NoteName::Learnings),
];

/// From so many columns on there are three columns of panes.
const WIDE: u16 = 120;
/// From so many rows on the notes have a place.
const HIGH: u16 = 28;
/// Rows of the services, with their frame.
const SERVICES: u16 = 11;

/// Where its panes stand.
pub fn panes(area: Rect) -> Vec<(Pane, Rect)> {
    if area.width < WIDE { narrow(area) } else { wide(area) }
}

fn narrow(area: Rect) -> Vec<(Pane, Rect)> {
    let [left, right] = Layout::horizontal([Constraint::Length(27), Constraint::Fill(1)]).areas(area);
    let [services, experiments] = Layout::vertical([Constraint::Length(SERVICES), Constraint::Fill(1)]).areas(left);
    let [traffic, reasoning, low] =
        Layout::vertical([Constraint::Fill(2), Constraint::Fill(1), Constraint::Length(5)]).areas(right);
    let [needs, alerts] = Layout::horizontal([Constraint::Fill(3), Constraint::Fill(2)]).areas(low);
    vec![
        (Pane::Traffic, traffic),
        (Pane::Needs, needs),
        (Pane::Reasoning, reasoning),
        (Pane::Alerts, alerts),
        (Pane::Experiments, experiments),
        (Pane::Services, services),
    ]
}

fn wide(area: Rect) -> Vec<(Pane, Rect)> {
    let (near, side) = match area.width {
        160.. => (42, 46),
        _ => (27, 34),
    };
    let [left, middle, right] =
        Layout::horizontal([Constraint::Length(near), Constraint::Fill(1), Constraint::Length(side)]).areas(area);
    let [services, experiments] = Layout::vertical([Constraint::Length(SERVICES), Constraint::Fill(1)]).areas(left);
    let [needs, reasoning, alerts] =
        Layout::vertical([Constraint::Percentage(28), Constraint::Fill(1), Constraint::Percentage(25)]).areas(right);
    let mut panes = vec![
        (Pane::Needs, needs),
        (Pane::Reasoning, reasoning),
        (Pane::Alerts, alerts),
        (Pane::Experiments, experiments),
        (Pane::Services, services),
    ];
    if area.height < HIGH {
        panes.insert(0, (Pane::Traffic, middle));
        return panes;
    }
    let [traffic, notes] = Layout::vertical([Constraint::Fill(2), Constraint::Fill(1)]).areas(middle);
    let [worklist, learnings] = Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).areas(notes);
    panes.insert(0, (Pane::Traffic, traffic));
    panes.extend([(Pane::Note(NoteName::Worklist), worklist), (Pane::Note(NoteName::Learnings), learnings)]);
    panes
}
