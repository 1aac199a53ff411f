//! Detail: a message or a document, whole: its envelope, its JSON laid out, folded or as it came.
//!
//! Must never show anything of it that was not made harmless.

use std::sync::Arc;

use ratatui::Frame;
use ratatui::layout::Rect;

use super::json;
use super::{Input, Then};
use crate::bus::State;
use crate::contracts::untrusted::{sanitize, sanitize_line};
use crate::tui::actions::Action;
use crate::tui::app::{Effect, Model, trace_of};
use crate::tui::draw::popup;
use crate::tui::draw::text::{self, Piece};
use crate::tui::screens::content::Target;
use crate::tui::store::Row;
use crate::tui::theme::Role;

/// Characters of a line that are shown.
const LINE_LIMIT: usize = 2_000;

/// What is shown, and how.
#[derive(Debug, Clone)]
pub struct Detail {
    target: Target,
    top: usize,
    is_raw: bool,
    is_folded: bool,
}

impl Detail {
    /// Shows this.
    pub fn of(target: Target) -> Self {
        Self { target, top: 0, is_raw: false, is_folded: false }
    }

    pub(super) fn act(&mut self, model: &mut Model, input: &Input) -> Then {
        let page = isize::try_from(model.area.height.saturating_sub(6)).unwrap_or(10);
        let mut by = 0;
        match input {
            Input::Act(Action::DetailUp) => by = -1,
            Input::Act(Action::DetailDown) => by = 1,
            Input::Act(Action::DetailPageUp) => by = -page,
            Input::Act(Action::DetailPageDown) => by = page,
            Input::Wheel(lines) => by = *lines,
            Input::Act(Action::DetailRaw) => self.is_raw = !self.is_raw,
            Input::Act(Action::DetailFold) => self.is_folded = !self.is_folded,
            Input::Act(Action::DetailCopy) => {
                model.tell(Role::Ok, "copied");
                return Then::stay().and([Effect::Copy(self.raw(model))]);
            }
            Input::Act(Action::DetailAgain) => return self.again(model),
            Input::Act(Action::DetailTrace) => {
                let effects = trace_of(model, &self.target);
                return Then::close().and(effects);
            }
            Input::Act(Action::Close) => return Then::close(),
            Input::Act(_) | Input::Key(_) | Input::Paste(_) => {}
        }
        let most = self.lines(model).len().saturating_sub(3);
        self.top = self.top.saturating_add_signed(by).min(most);
        Then::stay()
    }

    /// Opens the form with the same, so that the person sees it before it is said.
    fn again(&self, model: &mut Model) -> Then {
        if let Target::Message(row) = &self.target {
            let inject = super::inject::Inject::again(model, row);
            model.layers.push(super::Layer::Inject(Box::new(inject)));
            return Then::close();
        }
        model.tell(Role::Warn, "only a message can be said again");
        Then::stay()
    }

    /// What it is, as it came: for the clipboard.
    fn raw(&self, model: &Model) -> String {
        match &self.target {
            Target::Message(row) => row.body.to_string(),
            Target::Document(key) => {
                let state = model.store.state(key.as_str());
                state.and_then(|state| serde_json::to_string_pretty(state).ok()).unwrap_or_default()
            }
            Target::Need(id) => id.clone(),
        }
    }

    fn lines(&self, model: &Model) -> Vec<Vec<Piece>> {
        lines(model, &self.target, self.is_raw, self.is_folded)
    }

    pub(super) fn draw(&self, frame: &mut Frame<'_>, area: Rect, model: &Model) {
        let title = match &self.target {
            Target::Message(row) => format!("{} · {}", row.channel.short(), row.kind()),
            Target::Document(key) => sanitize_line(key.as_str(), 80),
            Target::Need(id) => sanitize_line(id, 80),
        };
        popup::scrolled(frame, area, model, &title, &self.lines(model), self.top, 120);
    }
}

/// All that there is to read of it.
pub(crate) fn lines(model: &Model, target: &Target, is_raw: bool, is_folded: bool) -> Vec<Vec<Piece>> {
    match target {
        Target::Message(row) => message(model, row, is_raw, is_folded),
        Target::Document(key) => match model.store.state(key.as_str()) {
            Some(state) => document(state, is_raw, is_folded),
            None => vec![vec![Piece::new(Role::Muted, "it is gone".to_owned())]],
        },
        Target::Need(_) => Vec::new(),
    }
}

fn message(model: &Model, row: &Arc<Row>, is_raw: bool, is_folded: bool) -> Vec<Vec<Piece>> {
    let mut lines = Vec::new();
    let mut field = |name: &str, value: String| {
        if !value.is_empty() {
            lines.push(vec![Piece::new(Role::Muted, text::padded(name, 10)), Piece::new(Role::Text, value)]);
        }
    };
    field("channel", row.channel.to_string());
    field("entry", row.entry.map(|id| id.to_string()).unwrap_or_default());
    if let Some(envelope) = &row.envelope {
        field("type", row.kind());
        field("source", row.source());
        field("at", text::date_time(envelope.at, model));
        field("id", envelope.id.to_string());
        field("trace", envelope.trace.to_string());
        field("cause", envelope.cause.map(|id| id.to_string()).unwrap_or_default());
        field("subject", envelope.subject.as_deref().map(|it| sanitize_line(it, 100)).unwrap_or_default());
        field("priority", format!("{:?}", envelope.priority).to_lowercase());
        field("trust", format!("{:?}", envelope.trust).to_lowercase());
    }
    if let Some(fault) = row.fault() {
        lines.push(vec![Piece::new(Role::Danger, format!("malformed: {fault}"))]);
    }
    lines.push(vec![]);
    lines.extend(body(&row.body, is_raw, is_folded));
    lines
}

/// JSON, laid out, folded, or as it came.
fn body(raw: &str, is_raw: bool, is_folded: bool) -> Vec<Vec<Piece>> {
    if !is_raw && let Some(lines) = json::lines(raw, if is_folded { 1 } else { usize::MAX }) {
        return lines;
    }
    sanitize(raw, LINE_LIMIT).lines().map(|line| vec![Piece::new(Role::Value, line.to_owned())]).collect()
}

fn document(state: &State, is_raw: bool, is_folded: bool) -> Vec<Vec<Piece>> {
    let State::Hash(document) = state else {
        return body(&serde_json::to_string(state).unwrap_or_default(), is_raw, is_folded);
    };
    let mut lines = vec![vec![
        Piece::new(Role::Muted, text::padded("version", 16)),
        Piece::new(Role::Text, document.version.to_string()),
    ]];
    for (name, value) in &document.fields {
        let name = text::padded(&sanitize_line(name, 40), 16);
        let nested = value.trim_start().starts_with(['{', '[']) || value.contains('\n');
        if nested && !is_folded {
            lines.push(vec![Piece::new(Role::Name, name)]);
            lines.extend(body(value, is_raw, is_folded).into_iter().map(|mut line| {
                line.insert(0, Piece::new(Role::Text, "  ".to_owned()));
                line
            }));
        } else {
            lines.push(vec![Piece::new(Role::Name, name), Piece::new(Role::Value, sanitize_line(value, LINE_LIMIT))]);
        }
    }
    lines
}
