//! Detail: a message or a document, whole: its envelope, its JSON laid out with each value folded or not, or as it came.
//!
//! What is shown is laid out when something changes, not for each frame. Must never show anything of it that was not made harmless.

use std::collections::BTreeSet;
use std::sync::Arc;

use ratatui::Frame;
use ratatui::layout::Rect;
use serde_json::{Map, Value};

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

/// Columns of the widest frame.
const WIDTH: u16 = 120;

/// What is shown, and how.
#[derive(Debug, Clone)]
pub struct Detail {
    target: Target,
    at: usize,
    top: usize,
    is_raw: bool,
    /// The values that are folded, by number.
    folded: BTreeSet<usize>,
    laid: Laid,
}

/// What is shown, laid out.
#[derive(Debug, Clone, Default)]
struct Laid {
    /// As they are drawn: a long line takes several.
    rows: Vec<Line>,
    /// The columns that they were made for.
    width: u16,
    /// The value that is laid out; none where it is no JSON.
    value: Option<Value>,
    /// The document that it was made from.
    state: Option<State>,
}

/// What there is to read of something, before it was broken to a width.
#[derive(Debug, Clone, Default)]
struct Whole {
    lines: Vec<Line>,
    value: Option<Value>,
    state: Option<State>,
}

/// A line, and the value that it belongs to.
#[derive(Debug, Clone)]
struct Line {
    pieces: Vec<Piece>,
    node: Option<(usize, usize)>,
}

impl Detail {
    /// Shows this.
    pub fn of(model: &Model, target: Target) -> Self {
        let mut detail = Self { target, at: 0, top: 0, is_raw: false, folded: BTreeSet::new(), laid: Laid::default() };
        detail.laid = detail.lay_out(model);
        detail
    }

    pub(super) fn act(&mut self, model: &mut Model, input: &Input) -> Then {
        let page = isize::try_from(model.area.height.saturating_sub(6)).unwrap_or(10);
        self.refresh(model);
        match input {
            Input::Act(Action::DetailUp) => self.go(model, -1),
            Input::Act(Action::DetailDown) => self.go(model, 1),
            Input::Act(Action::DetailPageUp) => self.go(model, -page),
            Input::Act(Action::DetailPageDown) => self.go(model, page),
            Input::Wheel(lines) => self.go(model, *lines),
            Input::Act(Action::DetailRaw) => {
                self.is_raw = !self.is_raw;
                self.laid = self.lay_out(model);
                self.go(model, 0);
            }
            Input::Act(Action::DetailFold) => self.fold(model),
            Input::Act(Action::DetailFoldAll) => self.fold_all(model),
            Input::Act(Action::DetailCopy) => {
                let (what, text) = self.value();
                model.tell(Role::Ok, format!("copied: {what}"));
                return Then::stay().and([Effect::Copy(text.unwrap_or_else(|| self.raw(model)))]);
            }
            Input::Act(Action::DetailCopyAll) => {
                model.tell(Role::Ok, "copied: all of it");
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
        Then::stay()
    }

    /// Lays out what has changed.
    fn refresh(&mut self, model: &Model) {
        if self.is_stale(model) {
            self.laid = self.lay_out(model);
        }
    }

    fn is_stale(&self, model: &Model) -> bool {
        let has_changed = match &self.target {
            Target::Document(key) => model.store.state(key.as_str()) != self.laid.state.as_ref(),
            _ => false,
        };
        has_changed || self.laid.width != popup::inside(model.body(), WIDTH)
    }

    /// Goes to another line; what is shown moves no more than is needed.
    fn go(&mut self, model: &Model, by: isize) {
        let rows = usize::from(model.body().height.saturating_sub(2)).max(1);
        self.at = self.at.saturating_add_signed(by).min(self.laid.rows.len().saturating_sub(1));
        self.top = self.top.min(self.at).max((self.at + 1).saturating_sub(rows));
    }

    /// Folds the value of this line, or what holds it; or unfolds it.
    fn fold(&mut self, model: &Model) {
        let Some((node, level)) = self.laid.rows.get(self.at).and_then(|line| line.node) else { return };
        let is_nested = |value: &Value| matches!(value, Value::Object(_) | Value::Array(_));
        let is_own = self.laid.value.as_ref().and_then(|value| json::node(value, node)).is_some_and(is_nested);
        let node = if is_own {
            Some(node)
        } else {
            // A line above that is less deep begins what holds this one.
            let above = self.laid.rows.iter().take(self.at).rev();
            above.filter_map(|line| line.node).find(|(_, other)| *other < level).map(|(node, _)| node)
        };
        let Some(node) = node else { return };
        if !self.folded.remove(&node) {
            self.folded.insert(node);
        }
        self.laid = self.lay_out(model);
        // The line stays under the cursor, whatever went above it.
        let head = self.laid.rows.iter().position(|line| line.node.is_some_and(|(it, _)| it == node));
        self.at = head.unwrap_or(self.at);
        self.go(model, 0);
    }

    /// Folds everything that is nested in the outermost value, or unfolds all.
    fn fold_all(&mut self, model: &Model) {
        if self.folded.is_empty() {
            let nodes = self.laid.rows.iter().filter_map(|line| line.node);
            self.folded = nodes.filter(|(_, level)| *level >= 1).map(|(node, _)| node).collect();
        } else {
            self.folded.clear();
        }
        self.laid = self.lay_out(model);
        self.go(model, 0);
    }

    /// The value of this line; none where it is all of it.
    fn value(&self) -> (String, Option<String>) {
        let node = self.laid.rows.get(self.at).and_then(|line| line.node);
        let value = node.zip(self.laid.value.as_ref()).and_then(|((node, _), value)| json::node(value, node));
        match value {
            Some(Value::String(text)) => ("this text".to_owned(), Some(text.clone())),
            Some(value) => ("this value".to_owned(), serde_json::to_string_pretty(value).ok()),
            None => ("all of it".to_owned(), None),
        }
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
            Target::Log(line) => line.raw.to_string(),
            Target::Document(key) => {
                let state = model.store.state(key.as_str());
                state.and_then(|state| serde_json::to_string_pretty(state).ok()).unwrap_or_default()
            }
            Target::Need(id) => id.clone(),
            Target::Entry(_, id) => id.to_string(),
        }
    }

    /// What there is to read, in rows of the width that there is.
    fn lay_out(&self, model: &Model) -> Laid {
        let Whole { lines, value, state } = self.whole(model);
        let width = popup::inside(model.body(), WIDTH);
        let rows = lines.into_iter().flat_map(|line| {
            let node = line.node;
            popup::broken(&line.pieces, width).into_iter().map(move |pieces| Line { pieces, node })
        });
        Laid { rows: rows.collect(), width, value, state }
    }

    fn whole(&self, model: &Model) -> Whole {
        match &self.target {
            Target::Message(row) => {
                let mut whole = self.body(&row.body, serde_json::from_str(&row.body).ok());
                whole.lines.splice(0..0, head(model, row));
                whole
            }
            Target::Document(key) => match model.store.state(key.as_str()) {
                Some(state) => {
                    let raw = serde_json::to_string_pretty(state).unwrap_or_default();
                    Whole { state: Some(state.clone()), ..self.body(&raw, Some(readable(state))) }
                }
                None => {
                    let line = plain(vec![Piece::new(Role::Muted, "it is gone")]);
                    Whole { lines: vec![line], ..Whole::default() }
                }
            },
            Target::Log(line) => self.body(&line.raw, serde_json::from_str(&line.raw).ok()),
            Target::Need(_) | Target::Entry(..) => Whole::default(),
        }
    }

    /// JSON, laid out, or as it came.
    fn body(&self, raw: &str, value: Option<Value>) -> Whole {
        match value {
            Some(value) if !self.is_raw => {
                let lines = json::laid_out(&value, &|node, _| self.folded.contains(&node));
                let line = |it: json::Line| Line { pieces: it.pieces, node: Some((it.node, it.level)) };
                Whole { lines: lines.into_iter().map(line).collect(), value: Some(value), state: None }
            }
            value => {
                let clean = sanitize(raw, usize::MAX);
                let lines = clean.lines().map(|line| plain(vec![Piece::new(Role::Value, line)])).collect();
                Whole { lines, value, state: None }
            }
        }
    }

    pub(super) fn draw(&self, frame: &mut Frame<'_>, area: Rect, model: &Model) {
        let title = match &self.target {
            Target::Message(row) => format!("{} · {}", row.channel.short(), row.kind()),
            Target::Document(key) => sanitize_line(key.as_str(), 80),
            Target::Log(line) => format!("log · {}", line.target),
            Target::Entry(_, id) => id.to_string(),
            Target::Need(id) => sanitize_line(id, 80),
        };
        let fresh = self.is_stale(model).then(|| self.lay_out(model));
        let laid = fresh.as_ref().unwrap_or(&self.laid);
        let len = laid.rows.len();
        let title = if len > 1 { format!("{title} · line {} of {len}", (self.at + 1).min(len)) } else { title };
        let height = u16::try_from(len.saturating_add(2)).unwrap_or(u16::MAX).max(area.height.min(12));
        let inner = popup::frame(frame, area, model, &title, WIDTH, height);
        // Whatever has changed since, the selected row is among those that are shown.
        let at_most = (self.at + 1).saturating_sub(usize::from(inner.height));
        let shown = laid.rows.iter().enumerate().skip(self.top.max(at_most));
        for (row, (at, line)) in crate::tui::draw::rows(inner).zip(shown) {
            let selection = (at == self.at && len > 1).then_some(Role::Selection);
            text::draw(frame, row, model, &line.pieces, selection);
        }
    }
}

/// All that there is to read of it.
pub(crate) fn lines(model: &Model, target: &Target) -> Vec<Vec<Piece>> {
    let detail =
        Detail { target: target.clone(), at: 0, top: 0, is_raw: false, folded: BTreeSet::new(), laid: Laid::default() };
    detail.whole(model).lines.into_iter().map(|line| line.pieces).collect()
}

fn plain(pieces: Vec<Piece>) -> Line {
    Line { pieces, node: None }
}

/// What stands above a message's body.
fn head(model: &Model, row: &Arc<Row>) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut field = |name: &str, value: String| {
        if !value.is_empty() {
            lines.push(plain(vec![Piece::new(Role::Muted, text::padded(name, 10)), Piece::new(Role::Text, value)]));
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
        lines.push(plain(vec![Piece::new(Role::Danger, format!("malformed: {fault}"))]));
    }
    lines.push(plain(vec![]));
    lines
}

/// A document as a value: what is JSON in its fields is laid out with it.
fn readable(state: &State) -> Value {
    let State::Hash(document) = state else { return serde_json::to_value(state).unwrap_or_default() };
    let mut fields = Map::new();
    fields.insert("version".to_owned(), document.version.into());
    for (name, text) in &document.fields {
        let is_nested = text.trim_start().starts_with(['{', '[']);
        let nested = is_nested.then(|| serde_json::from_str(text).ok()).flatten();
        fields.insert(name.clone(), nested.unwrap_or_else(|| Value::String(text.clone())));
    }
    Value::Object(fields)
}
