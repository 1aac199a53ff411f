//! System: how the machine is: engine, services, groups, dead letters, budgets, models, wiring, the log.
//!
//! Owns where its panes stand and what they say. Where there is no room for all, it shows two of them, and goes with the focus. Must
//! never say more of the machine than was heard or read.

mod engine;
mod money;
mod work;

use ratatui::layout::{Constraint, Layout, Rect};

use super::Pane;
use super::content::Entry;
use crate::tui::app::Model;
use crate::tui::draw::text::{self, Piece};
use crate::tui::theme::Role;

pub use engine::{engine, services, wiring};
pub use money::{budgets, models};
pub use work::{groups, letters, open_letters};

/// Its panes, in the order of the focus.
pub const ALL: &[Pane] =
    &[Pane::Engine, Pane::Services, Pane::Groups, Pane::Letters, Pane::Budgets, Pane::Models, Pane::Wiring, Pane::Logs];

/// From this size on all of them have a place: in two columns, and in three.
const ALL_FIT: (u16, u16) = (110, 34);
const THREE: (u16, u16) = (160, 40);

/// Where its panes stand.
pub fn panes(model: &Model, area: Rect) -> Vec<(Pane, Rect)> {
    if area.width >= THREE.0 && area.height >= THREE.1 {
        return three(model, area);
    }
    if area.width >= ALL_FIT.0 && area.height >= ALL_FIT.1 {
        return two(model, area);
    }
    let chosen = model.chosen_pane().and_then(|pane| ALL.iter().position(|it| *it == pane)).unwrap_or(0);
    let first = chosen / 2 * 2;
    let halves: [Rect; 2] = Layout::vertical([Constraint::Fill(1); 2]).areas(area);
    ALL.iter().copied().skip(first).zip(halves).collect()
}

fn two(model: &Model, area: Rect) -> Vec<(Pane, Rect)> {
    let [left, right] = Layout::horizontal([Constraint::Fill(1); 2]).areas(area);
    let [engine, services, budgets, models]: [Rect; 4] = Layout::vertical([
        engine_height(model, left, 3),
        Constraint::Fill(4),
        Constraint::Fill(3),
        Constraint::Fill(2),
    ])
    .areas(left);
    let [groups, letters, wiring, logs]: [Rect; 4] =
        Layout::vertical([Constraint::Fill(4), Constraint::Fill(2), Constraint::Fill(3), Constraint::Fill(4)])
            .areas(right);
    placed([engine, services, groups, letters, budgets, models, wiring, logs])
}

fn three(model: &Model, area: Rect) -> Vec<(Pane, Rect)> {
    let [top, below] = Layout::vertical([Constraint::Fill(3), Constraint::Fill(2)]).areas(area);
    let [left, middle, right]: [Rect; 3] =
        Layout::horizontal([Constraint::Fill(4), Constraint::Fill(5), Constraint::Fill(4)]).areas(top);
    let [engine, services] = Layout::vertical([engine_height(model, left, 2), Constraint::Fill(1)]).areas(left);
    let [groups, letters] = Layout::vertical([Constraint::Fill(2), Constraint::Fill(1)]).areas(middle);
    let [budgets, models] = Layout::vertical([Constraint::Fill(1); 2]).areas(right);
    let [wiring, logs] = Layout::horizontal([Constraint::Fill(4), Constraint::Fill(9)]).areas(below);
    placed([engine, services, groups, letters, budgets, models, wiring, logs])
}

/// As high as what there is to say of the engine: it ends in advice. No higher than a part of the column.
fn engine_height(model: &Model, column: Rect, part: u16) -> Constraint {
    let lines = engine(model, column.width.saturating_sub(2)).len();
    Constraint::Length(u16::try_from(lines + 2).unwrap_or(u16::MAX).clamp(9, (column.height / part).max(9)))
}

fn placed(areas: [Rect; 8]) -> Vec<(Pane, Rect)> {
    ALL.iter().copied().zip(areas).collect()
}

/// A line, named by its words.
fn entry(id: impl Into<String>, pieces: Vec<Piece>) -> Entry {
    Entry { id: id.into(), pieces, target: None }
}

/// A name and what belongs to it, over as many lines as it takes.
fn fact(name: &str, role: Role, value: &str, columns: u16) -> Vec<Entry> {
    const NAME: u16 = 11;
    let parts = text::wrapped(value, columns.saturating_sub(NAME).max(10));
    let line = |(at, part): (usize, String)| {
        let head = if at == 0 { name } else { "" };
        let head = Piece::new(Role::Muted, text::padded(head, usize::from(NAME)));
        entry(format!("{name}:{at}"), vec![head, Piece::new(role, part)])
    };
    parts.into_iter().enumerate().map(line).collect()
}
