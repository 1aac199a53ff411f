//! Palette: every action of the room by fuzzy name, with its key.

use nucleo_matcher::pattern::{CaseMatching, Normalization, Pattern};
use nucleo_matcher::{Config, Matcher};
use ratatui::Frame;
use ratatui::layout::Rect;

use super::field::Field;
use super::{Input, Then};
use crate::tui::actions::{ACTIONS, Action, Row, Scope, other_words};
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
        let wanted = self.field.text().trim().to_lowercase().replace(' ', "-");
        if wanted.is_empty() {
            return rows;
        }
        let pattern = Pattern::parse(self.field.text().trim(), CaseMatching::Ignore, Normalization::Smart);
        let mut matcher = Matcher::new(Config::DEFAULT);
        let mut score = |text: &str| {
            let mut buffer = Vec::new();
            pattern.score(nucleo_matcher::Utf32Str::new(text, &mut buffer), &mut matcher)
        };
        // A name that begins so is meant before one that holds it, that before another word for it, and all before the explanation.
        let mut scored: Vec<((u8, u32), usize, &'static Row)> = rows
            .into_iter()
            .enumerate()
            .filter_map(|(at, row)| {
                let words = other_words(row.action);
                let is_said_so = words.split(' ').any(|word| word.starts_with(&wanted));
                let rank = match () {
                    () if row.name == wanted => (5, 0),
                    () if row.name.starts_with(&wanted) => (4, 0),
                    () if row.name.contains(&wanted) => (3, 0),
                    () if is_said_so && !words.is_empty() => (2, 0),
                    () => match score(row.name) {
                        Some(score) => (1, score),
                        None => (0, score(&format!("{} {words} {}", row.name, row.help))?),
                    },
                };
                Some((rank, at, row))
            })
            .collect();
        scored.sort_by_key(|(rank, at, _)| (std::cmp::Reverse(*rank), *at));
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
        let found = self.found(model);
        if found.is_empty() {
            let key = model.keymap.short(Action::Help).unwrap_or_default();
            let words = format!("no action is called so; {key} shows all keys");
            popup::body(frame, list, model, &[vec![Piece::new(Role::Muted, words)]], 0);
        }
        for (at, row) in found.into_iter().enumerate().skip(first).take(rows) {
            let keys = model.keymap.chords(row.action).iter().map(|it| it.short()).collect::<Vec<_>>().join(" ");
            let pieces = [
                Piece::new(Role::Accent, format!("{} ", text::padded(&keys, 10))),
                Piece::new(Role::Title, format!("{} ", text::padded(row.name, 21))),
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
