//! Filter: which messages are shown. Applied as it is typed, and searched for in what is older than the lists keep; errors are told inline.

use ratatui::Frame;
use ratatui::layout::Rect;

use super::field::Field;
use super::{Input, Then};
use crate::bus::filter::Filter;
use crate::tui::actions::Action;
use crate::tui::app::Model;
use crate::tui::draw::popup;
use crate::tui::draw::text::{self, Piece};
use crate::tui::theme::Role;

/// What is being written, and what held before.
#[derive(Debug, Clone)]
pub struct FilterLayer {
    field: Field,
    before: String,
}

impl FilterLayer {
    /// Goes on with the filter that holds.
    pub fn open(filter: &str) -> Self {
        Self { field: Field::with(filter), before: filter.to_owned() }
    }

    fn error(&self) -> Option<String> {
        Filter::parse(&self.field.text()).err().map(|err| err.to_string())
    }

    pub(super) fn act(&mut self, model: &mut Model, input: Input) -> Then {
        match input {
            Input::Key(key) => {
                self.field.key(key);
                Then::stay().and(model.set_filter(self.field.text()))
            }
            Input::Paste(text) => {
                self.field.paste(text.lines().next().unwrap_or_default());
                Then::stay().and(model.set_filter(self.field.text()))
            }
            Input::Act(Action::FilterApply) => {
                if self.error().is_some() {
                    return Then::stay();
                }
                model.is_unsaved = true;
                Then::close().and(model.set_filter(self.field.text()))
            }
            Input::Act(Action::FilterClear) => {
                self.field = Field::default();
                Then::stay().and(model.set_filter(String::new()))
            }
            Input::Act(Action::Close) => Then::close().and(model.set_filter(std::mem::take(&mut self.before))),
            Input::Act(_) | Input::Wheel(_) => Then::stay(),
        }
    }

    pub(super) fn draw(&self, frame: &mut Frame<'_>, area: Rect, model: &Model) {
        let inner = popup::frame(frame, area, model, "Filter", 84, 5);
        let Some((head, rest)) = popup::split_first(inner, 1) else { return };
        self.field.draw(
            frame,
            head,
            model,
            "words \"phrases\" -not channel: type: source: priority:>=high trace: /regex/",
        );
        let said = match self.error() {
            Some(error) => vec![Piece::new(Role::Danger, error)],
            None => {
                let ring = &model.store.all;
                let mut said =
                    vec![Piece::new(Role::Muted, format!("{} of {} messages match", ring.shown().len(), ring.len()))];
                let searched = model.searched().and_then(|source| model.store.ring(source));
                if let Some(past) = searched.and_then(|ring| text::past(model, ring)) {
                    said.push(Piece::new(Role::Muted, " · "));
                    said.push(past);
                }
                said
            }
        };
        popup::body(frame, rest, model, &[said], 0);
    }
}
