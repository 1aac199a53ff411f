//! Notes: what is done now, what was learned, what is sold; read as Markdown.
//!
//! Owns where the notes stand and how they read. Where not all fit, the one with the focus has the screen. Must never change a note.

use ratatui::layout::{Constraint, Layout, Rect};

use super::content::Entry;
use super::{Pane, Screen};
use crate::contracts::envelope::read_time;
use crate::contracts::notes::NoteName;
use crate::contracts::untrusted::sanitize_line;
use crate::memory::is_unwritten;
use crate::tui::actions::Action;
use crate::tui::app::Model;
use crate::tui::draw::markdown;
use crate::tui::draw::text::{self, Piece};
use crate::tui::theme::Role;

/// Its panes, in the order of the focus.
pub const ALL: &[Pane] =
    &[Pane::Note(NoteName::Worklist), Pane::Note(NoteName::Learnings), Pane::Note(NoteName::ProductContext)];

/// From so many columns on there are two of them, and three.
const TWO: u16 = 110;
const THREE: u16 = 170;
/// From so many rows on two stand one above the other.
const HIGH: u16 = 26;

/// For people.
pub const fn title(name: NoteName) -> &'static str {
    match name {
        NoteName::Worklist => "Worklist",
        NoteName::Learnings => "Learnings",
        NoteName::ProductContext => "Product context",
    }
}

/// Where they stand.
pub fn panes(model: &Model, area: Rect) -> Vec<(Pane, Rect)> {
    let all = |areas: &[Rect]| ALL.iter().copied().zip(areas.iter().copied()).collect();
    if area.width >= THREE {
        let areas: [Rect; 3] = Layout::horizontal([Constraint::Fill(1); 3]).areas(area);
        return all(&areas);
    }
    if area.width >= TWO && area.height >= HIGH {
        let [left, right] = Layout::horizontal([Constraint::Fill(1); 2]).areas(area);
        let [top, below] = Layout::vertical([Constraint::Fill(1); 2]).areas(right);
        return all(&[left, top, below]);
    }
    let chosen = model.chosen_pane().filter(|pane| ALL.contains(pane)).unwrap_or(ALL[0]);
    vec![(chosen, area)]
}

/// The note that has the focus.
pub fn focused(model: &Model) -> NoteName {
    match model.focused() {
        Some((Pane::Note(name), _)) => name,
        _ => NoteName::Worklist,
    }
}

/// What stands behind a note's title: its version, who wrote it and when; and that more of it is being written here.
pub fn about(model: &Model, name: NoteName) -> Vec<Piece> {
    let mut pieces = Vec::new();
    if let Some(note) = model.store.documents.document(&format!("notes:{name}"))
        && note.version > 0
    {
        let by = note.get("by").map(|by| format!(" · {}", sanitize_line(by, 20))).unwrap_or_default();
        let at = note.get("updated_at").and_then(read_time);
        let at = at.map(|at| format!(" {}", text::date_time(at, model))).unwrap_or_default();
        pieces.push(Piece::new(Role::Muted, format!("· version {}{by}{at} ", note.version)));
    }
    if model.notes.contains_key(&name) {
        pieces.push(Piece::new(Role::Warn, "· not saved yet "));
    }
    pieces
}

/// A note's lines. On the Deck, where there is little room, without its title and without empty ones.
pub fn entries(model: &Model, name: NoteName, columns: u16) -> Vec<Entry> {
    let raw = model.store.documents.note(name.as_str());
    let is_dense = model.screen == Screen::Deck && !model.is_zoomed;
    let mut lines = if is_dense { Vec::new() } else { guidance(model, name, raw, columns) };
    lines.extend(markdown::lines(raw, columns));
    if is_dense {
        let is_title = |line: &[Piece]| line.first().is_some_and(|piece| piece.role == Role::Accent);
        if lines.first().is_some_and(|line| is_title(line)) {
            lines.remove(0);
        }
        lines.retain(|line| !line.is_empty());
    }
    let entry = |(at, pieces): (usize, Vec<Piece>)| Entry { id: at.to_string(), pieces, target: None };
    lines.into_iter().enumerate().map(entry).collect()
}

/// What to write where nobody has written yet.
fn guidance(model: &Model, name: NoteName, raw: &str, columns: u16) -> Vec<Vec<Piece>> {
    let key = |action| model.keymap.short(action).unwrap_or_default();
    let (edit, outside, inject) = (key(Action::EditNote), key(Action::EditNoteOutside), key(Action::Inject));
    let is_empty = raw.trim().is_empty();
    let words = match name {
        NoteName::ProductContext if is_unwritten(raw) => format!(
            "The team does not know yet what it sells. Write here: what it is, for whom, what it costs, what makes it different, and \
             what may never be said or done. Every decision starts from this. {edit} writes it here, {outside} in $EDITOR."
        ),
        NoteName::Worklist if is_empty => format!(
            "Nothing is planned yet. The orchestrator keeps this list; {inject} and an idea give it something to do, {edit} writes \
             items yourself (- [ ] item)."
        ),
        NoteName::Learnings if is_empty => format!(
            "Nothing was learned yet. The orchestrator writes here what experiments teach; {edit} adds what you know already."
        ),
        _ => return Vec::new(),
    };
    let mut lines: Vec<Vec<Piece>> =
        text::wrapped(&words, columns).into_iter().map(|line| vec![Piece::new(Role::Warn, line)]).collect();
    lines.push(Vec::new());
    lines
}
