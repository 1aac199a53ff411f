//! Palette: every action of the room by fuzzy name, with its key.

use nucleo_matcher::pattern::{CaseMatching, Normalization, Pattern};
use nucleo_matcher::{Config, Matcher};
use ratatui::Frame;
use ratatui::layout::Rect;

use super::field::Field;
use super::{Input, Then};
use crate::tui::actions::{ACTIONS, Action, Row, Scope};
use crate::tui::app::Model;
use crate::tui::draw::popup;
use crate::tui::draw::text::{self, Piece};
use crate::tui::theme::Role;

/// What was typed, and what is selected.
#[derive(Debug, Clone, Default)]
pub struct Palette {
    field: Field,
    selected: usize,
}

impl Palette {
    /// The actions that fit what was typed, the best first.
    pub fn found(&self, model: &Model) -> Vec<&'static Row> {
        let is_replay = model.store.playing.is_some();
        let rows = ACTIONS.iter().filter(|row| match row.scope {
            Scope::Room | Scope::List | Scope::Screen(_) => true,
            Scope::Replay => is_replay,
            Scope::Layer | Scope::In(_) => false,
        });
        let rows: Vec<&'static Row> = rows.collect();
        let wanted = self.field.text();
        if wanted.trim().is_empty() {
            return rows;
        }
        let pattern = Pattern::parse(&wanted, CaseMatching::Ignore, Normalization::Smart);
        let mut matcher = Matcher::new(Config::DEFAULT);
        let mut scored: Vec<(u32, usize, &'static Row)> = rows
            .into_iter()
            .enumerate()
            .filter_map(|(at, row)| {
                let told = format!("{} {}", row.name, row.help);
                let mut buffer = Vec::new();
                let name = pattern.score(nucleo_matcher::Utf32Str::new(row.name, &mut buffer), &mut matcher);
                let mut buffer = Vec::new();
                let all = pattern.score(nucleo_matcher::Utf32Str::new(&told, &mut buffer), &mut matcher)?;
                // A name is worth more than a word of the explanation.
                Some((name.map_or(all, |score| score + 1_000), at, row))
            })
            .collect();
        scored.sort_by_key(|(score, at, _)| (std::cmp::Reverse(*score), *at));
        scored.into_iter().map(|(.., row)| row).collect()
    }

    pub(super) fn act(&mut self, model: &mut Model, input: Input) -> Then {
        let last = self.found(model).len().saturating_sub(1);
        match input {
            Input::Key(key) => {
                self.field.key(key);
                self.selected = 0;
            }
            Input::Paste(text) => self.field.paste(text.lines().next().unwrap_or_default()),
            Input::Act(Action::PaletteUp) => self.selected = self.selected.saturating_sub(1),
            Input::Act(Action::PaletteDown) => self.selected = (self.selected + 1).min(last),
            Input::Wheel(by) => self.selected = self.selected.saturating_add_signed(by).min(last),
            Input::Act(Action::PaletteRun) => {
                let Some(row) = self.found(model).get(self.selected).copied() else { return Then::stay() };
                return Then::close().and(crate::tui::app::perform(model, row.action));
            }
            Input::Act(Action::Close) => return Then::close(),
            Input::Act(_) => {}
        }
        Then::stay()
    }

    pub(super) fn draw(&self, frame: &mut Frame<'_>, area: Rect, model: &Model) {
        let inner = popup::frame(frame, area, model, "Commands", 74, 18);
        let Some((head, list)) = popup::split_first(inner, 1) else { return };
        self.field.draw(frame, head, model, "type a part of a name");
        let rows = usize::from(list.height);
        let first = (self.selected + 1).saturating_sub(rows);
        for (at, row) in self.found(model).into_iter().enumerate().skip(first).take(rows) {
            let keys = model.keymap.chords(row.action).iter().map(|it| it.short()).collect::<Vec<_>>().join(" ");
            let pieces = [
                Piece::new(Role::Accent, format!("{} ", text::padded(&keys, 12))),
                Piece::new(Role::Title, format!("{} ", text::padded(row.name, 16))),
                Piece::new(Role::Muted, row.help.to_owned()),
            ];
            let y = list.y + u16::try_from(at - first).unwrap_or(u16::MAX);
            text::draw(
                frame,
                Rect { y, height: 1, ..list },
                model,
                &pieces,
                (at == self.selected).then_some(Role::Selection),
            );
        }
    }
}
