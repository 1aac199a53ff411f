//! Layers: what lies above a screen and takes the keys while it is there.
//!
//! A layer is a module with its state, `act` (what an action of its scope does) and `draw`. A layer with a text field gets characters
//! before any action does. Must never reach below itself but through the model and the effects that it returns.

pub mod budget;
pub mod confirm;
pub mod detail;
pub mod field;
pub mod filter;
pub mod held;
pub mod help;
pub mod history;
pub mod inject;
pub mod json;
pub mod needs_you;
pub mod note;
pub mod palette;
pub mod quit;
pub mod record;
pub mod themes;
pub mod welcome;

use crossterm::event::KeyEvent;
use ratatui::Frame;
use ratatui::layout::Rect;

use super::actions::{Action, LayerKind};
use super::app::{Effect, Model};

/// A layer.
#[derive(Debug)]
pub enum Layer {
    /// Say something.
    Inject(Box<inject::Inject>),
    /// A message or a document, whole.
    Detail(detail::Detail),
    /// Every action by name.
    Palette(palette::Palette),
    /// The keys of this place.
    Help(help::Help),
    /// A yes or no.
    Confirm(confirm::Confirm),
    /// What is shown only.
    Filter(filter::FilterLayer),
    /// How to end.
    Quit,
    /// The team is held: what now?
    Held,
    /// What waits for a person.
    NeedsYou(needs_you::NeedsYou),
    /// A note's text, edited.
    Note(Box<note::NoteEdit>),
    /// The versions of a note.
    History(history::History),
    /// A limit that is to be set.
    Budget(Box<budget::Budget>),
    /// How it looks.
    Themes(themes::Themes),
    /// What this is.
    Welcome,
    /// A number that no tool can know.
    Record(Box<record::Record>),
}

/// What a layer is given.
#[derive(Debug, Clone)]
pub enum Input {
    /// An action of its scope.
    Act(Action),
    /// A key for its text field.
    Key(KeyEvent),
    /// Text for its text field; harmless.
    Paste(String),
    /// The wheel turned by so many lines.
    Wheel(isize),
}

/// What becomes of a layer, and what is to be done.
#[derive(Debug)]
pub struct Then {
    is_open: bool,
    effects: Vec<Effect>,
}

impl Then {
    /// It stays.
    pub fn stay() -> Self {
        Self { is_open: true, effects: Vec::new() }
    }

    /// It goes.
    pub fn close() -> Self {
        Self { is_open: false, effects: Vec::new() }
    }

    /// This is to be done.
    #[must_use]
    pub fn and(mut self, effects: impl IntoIterator<Item = Effect>) -> Self {
        self.effects.extend(effects);
        self
    }
}

impl Layer {
    /// Its kind.
    pub fn kind(&self) -> LayerKind {
        match self {
            Self::Inject(_) => LayerKind::Inject,
            Self::Detail(_) => LayerKind::Detail,
            Self::Palette(_) => LayerKind::Palette,
            Self::Help(_) => LayerKind::Help,
            Self::Confirm(_) => LayerKind::Confirm,
            Self::Filter(_) => LayerKind::Filter,
            Self::Quit => LayerKind::Quit,
            Self::Held => LayerKind::Held,
            Self::Note(_) => LayerKind::Note,
            Self::History(_) => LayerKind::History,
            Self::Budget(_) => LayerKind::Budget,
            Self::NeedsYou(layer) => layer.kind(),
            Self::Themes(_) => LayerKind::Themes,
            Self::Welcome => LayerKind::Welcome,
            Self::Record(_) => LayerKind::Record,
        }
    }

    /// Whether a text field has the keys.
    pub fn takes_text(&self) -> bool {
        match self {
            Self::Inject(_)
            | Self::Palette(_)
            | Self::Filter(_)
            | Self::Note(_)
            | Self::Budget(_)
            | Self::Record(_) => true,
            Self::NeedsYou(layer) => layer.takes_text(),
            Self::Detail(_)
            | Self::Help(_)
            | Self::Confirm(_)
            | Self::History(_)
            | Self::Themes(_)
            | Self::Quit
            | Self::Held
            | Self::Welcome => false,
        }
    }

    fn act(&mut self, model: &mut Model, input: Input) -> Then {
        match self {
            Self::Inject(layer) => layer.act(model, input),
            Self::Detail(layer) => layer.act(model, &input),
            Self::Palette(layer) => layer.act(model, input),
            Self::Help(layer) => layer.act(model, &input),
            Self::Confirm(layer) => layer.act(model, &input),
            Self::Filter(layer) => layer.act(model, input),
            Self::Quit => quit::act(model, &input),
            Self::Held => held::act(model, &input),
            Self::NeedsYou(layer) => layer.act(model, input),
            Self::Note(layer) => layer.act(model, input),
            Self::History(layer) => layer.act(model, &input),
            Self::Budget(layer) => layer.act(model, input),
            Self::Themes(layer) => layer.act(model, &input),
            Self::Welcome => welcome::act(model, &input),
            Self::Record(layer) => layer.act(model, input),
        }
    }

    fn draw(&self, frame: &mut Frame<'_>, area: Rect, model: &Model) {
        match self {
            Self::Inject(layer) => layer.draw(frame, area, model),
            Self::Detail(layer) => layer.draw(frame, area, model),
            Self::Palette(layer) => layer.draw(frame, area, model),
            Self::Help(layer) => layer.draw(frame, area, model),
            Self::Confirm(layer) => layer.draw(frame, area, model),
            Self::Filter(layer) => layer.draw(frame, area, model),
            Self::Quit => quit::draw(frame, area, model),
            Self::Held => held::draw(frame, area, model),
            Self::NeedsYou(layer) => layer.draw(frame, area, model),
            Self::Note(layer) => layer.draw(frame, area, model),
            Self::History(layer) => layer.draw(frame, area, model),
            Self::Budget(layer) => layer.draw(frame, area, model),
            Self::Themes(_) => themes::Themes::draw(frame, area, model),
            Self::Welcome => welcome::draw(frame, area, model),
            Self::Record(layer) => layer.draw(frame, area, model),
        }
    }
}

/// Gives the uppermost layer what came for it.
pub fn handle(model: &mut Model, input: Input) -> Vec<Effect> {
    let Some(mut layer) = model.layers.pop() else { return Vec::new() };
    // What the layer opens lies above it.
    let depth = model.layers.len();
    let (kind, told) = (layer.kind(), model.toast.clone());
    model.is_in_layer = true;
    let then = layer.act(model, input);
    model.is_in_layer = false;
    if then.is_open {
        model.layers.insert(depth.min(model.layers.len()), layer);
    }
    // What a layer said goes with it, or under what it opens.
    let is_same = model.layers.len() == depth + 1 && model.layers.last().is_some_and(|layer| layer.kind() == kind);
    if !is_same && model.toast == told && told.is_some_and(|told| told.is_of_layer) {
        model.toast = None;
    }
    then.effects
}

/// Draws all layers, the lowest first.
pub fn draw(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    for layer in &model.layers {
        layer.draw(frame, area, model);
    }
}
