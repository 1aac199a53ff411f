//! Note: a note's text, edited in place. Saved, it is the operator's new version, merged with what the team wrote meanwhile.
//!
//! What is written is kept when the layer closes, and after a crash. Must never throw a text away: what cannot be merged stays here,
//! with both sides between markers.

use ratatui::Frame;
use ratatui::layout::Rect;

use super::field::{self, Field};
use super::{Input, Then};
use crate::contracts::notes::NoteName;
use crate::memory::{PRODUCT_TEMPLATE, Written};
use crate::tui::actions::Action;
use crate::tui::app::{Effect, Model, NoteDeed, NoteDraft, NoteOutcome};
use crate::tui::draw::popup;
use crate::tui::draw::text::{self, Piece};
use crate::tui::screens::notes::title;
use crate::tui::theme::Role;

/// How the lines begin that stand around a place that somebody has to settle.
const MARKERS: [&str; 3] = ["<<<<<<< ", "||||||| ", ">>>>>>> "];
/// The line between both sides. It may be the underline of a heading: only beside the others it is a marker.
const BETWEEN: &str = "=======";

/// Places that are still to be settled in a text.
fn unsettled(text: &str) -> usize {
    let counts = MARKERS.map(|marker| text.lines().filter(|line| line.starts_with(marker)).count());
    counts.into_iter().max().unwrap_or(0)
}

/// A text that is being written.
#[derive(Debug, Clone)]
pub struct NoteEdit {
    name: NoteName,
    field: Field,
    /// The version that it is made from.
    base: u64,
    /// What was there when the layer was opened: closing without a change keeps no draft.
    before: String,
    /// Places that both changed; 0 where nothing is to be settled.
    places: usize,
    is_saving: bool,
    /// Saved as soon as the person leaves $EDITOR.
    saves_after_editor: bool,
    /// The text that is not shown, and its version: the own one while the note is shown as it stands.
    other: Option<(String, u64)>,
}

impl NoteEdit {
    /// The note's text, or what was being written of it. None where it is too long for here.
    pub fn open(model: &Model, name: NoteName) -> Option<Self> {
        let document = model.store.documents.document(&format!("notes:{name}"));
        let current = document.and_then(|note| note.get("text")).unwrap_or_default();
        let version = document.map_or(0, |note| note.version);
        let is_blank = current.trim().is_empty() && name == NoteName::ProductContext;
        let start = if is_blank { PRODUCT_TEMPLATE } else { current };
        let (base, text) = match model.notes.get(&name) {
            Some(draft) => (draft.base, draft.text.as_str()),
            None => (version, start),
        };
        (text.len() < field::MOST).then(|| Self {
            name,
            field: Field::at_start(text),
            base,
            before: start.to_owned(),
            // A note may hold such lines for reasons of its own.
            places: unsettled(text).saturating_sub(unsettled(start)),
            is_saving: false,
            saves_after_editor: false,
            other: None,
        })
    }

    /// Which note.
    pub fn name(&self) -> NoteName {
        self.name
    }

    /// The person goes on in $EDITOR; what comes back is saved.
    pub fn in_editor(&mut self) -> Effect {
        self.saves_after_editor = true;
        Effect::Edit(self.field.text())
    }

    /// What $EDITOR left, which has no line end at its end.
    pub fn edited(&mut self, model: &mut Model, text: &str) -> Vec<Effect> {
        let end = if self.before.ends_with('\n') && !text.is_empty() { "\n" } else { "" };
        let text = format!("{text}{end}");
        if text != self.field.text() {
            self.field = Field::at_start(&text);
        }
        self.keep(model);
        if std::mem::take(&mut self.saves_after_editor) { self.save(model) } else { Vec::new() }
    }

    fn is_changed(&self) -> bool {
        self.field.text() != self.before
    }

    /// Keeps what is written for the next time.
    fn keep(&self, model: &mut Model) {
        let shown = self.is_changed().then(|| (self.field.text(), self.base));
        match shown.or_else(|| self.other.clone()) {
            Some((text, base)) => drop(model.notes.insert(self.name, NoteDraft { base, text })),
            None => drop(model.notes.remove(&self.name)),
        }
        model.is_unsaved = true;
    }

    fn save(&mut self, model: &mut Model) -> Vec<Effect> {
        let text = self.field.text();
        let is_open = unsettled(&text) > unsettled(&self.before);
        if is_open || self.places > 0 && text.lines().any(|line| line == BETWEEN) {
            model.tell(Role::Warn, "settle the places between `<<<<<<<` and `>>>>>>>` first, and take these lines out");
            return Vec::new();
        }
        self.is_saving = true;
        vec![Effect::Note(self.name, NoteDeed::Write { text, base: self.base })]
    }

    /// Takes in what became of it. False where the layer is done.
    pub fn happened(&mut self, model: &mut Model, outcome: &NoteOutcome) -> bool {
        let NoteOutcome::Written(written, _) = outcome else { return true };
        self.is_saving = false;
        match written {
            Ok(Written::Version { .. } | Written::Same) => {
                model.notes.remove(&self.name);
                model.is_unsaved = true;
                false
            }
            Ok(Written::Conflict(conflict)) => {
                self.base = conflict.version;
                self.places = conflict.hunks.len();
                self.field = Field::at_start(&conflict.marked);
                self.keep(model);
                true
            }
            Err(_) => true,
        }
    }

    pub(super) fn act(&mut self, model: &mut Model, input: Input) -> Then {
        match input {
            Input::Act(Action::Close) => {
                self.keep(model);
                if model.notes.contains_key(&self.name) {
                    model.tell(Role::Text, "what you wrote is kept, and not saved yet");
                }
                return Then::close();
            }
            _ if self.is_saving => {}
            Input::Key(key) => {
                if self.field.key(key) {
                    self.keep(model);
                }
            }
            Input::Paste(text) => {
                self.field.paste(&text);
                self.keep(model);
            }
            Input::Act(Action::NoteSave) => return Then::stay().and(self.save(model)),
            Input::Act(Action::NoteInEditor) => return Then::stay().and([Effect::Edit(self.field.text())]),
            Input::Act(Action::NoteAnew) => self.turn(model),
            Input::Act(_) | Input::Wheel(_) => {}
        }
        Then::stay()
    }

    /// Shows the note as it stands in the place of what was written, or that again.
    fn turn(&mut self, model: &mut Model) {
        let shown = (self.field.text(), self.base);
        let (text, base) = self.other.take().unwrap_or_else(|| {
            let document = model.store.documents.document(&format!("notes:{}", self.name));
            let text = document.and_then(|note| note.get("text")).unwrap_or_default();
            text.clone_into(&mut self.before);
            (text.to_owned(), document.map_or(0, |note| note.version))
        });
        (self.field, self.base) = (Field::at_start(&text), base);
        self.places = unsettled(&text).saturating_sub(unsettled(&self.before));
        self.other = Some(shown);
        self.keep(model);
    }

    /// How it stands, in a line.
    fn told(&self, model: &Model) -> Piece {
        let document = model.store.documents.document(&format!("notes:{}", self.name));
        let version = document.map_or(0, |note| note.version);
        if self.is_saving {
            return Piece::new(Role::Muted, "saving…");
        }
        if self.places > 0 {
            let places = if self.places == 1 { "one place".to_owned() } else { format!("{} places", self.places) };
            let words = format!("both changed {places}: choose between the markers, take them out, then save");
            return Piece::new(Role::Danger, words);
        }
        if version > self.base {
            let by = document.and_then(|note| note.get("by")).unwrap_or("somebody");
            let by = crate::contracts::untrusted::sanitize_line(by, 40);
            return Piece::new(
                Role::Warn,
                format!("{by} wrote version {version} meanwhile: saving merges yours with it"),
            );
        }
        if self.is_changed() {
            Piece::new(Role::Text, "changed; saved, it is your new version")
        } else {
            Piece::new(Role::Muted, "as it stands")
        }
    }

    pub(super) fn draw(&self, frame: &mut Frame<'_>, area: Rect, model: &Model) {
        let from = if self.base == 0 { "new".to_owned() } else { format!("from version {}", self.base) };
        let head = format!("{} · {from}", title(self.name));
        let inner = popup::frame(frame, area, model, &head, 110, area.height);
        let (body, last) = popup::split_last(inner, 1);
        self.field.draw(frame, body, model, "Markdown: # heading, - item, - [ ] to do, **strong**");
        if let Some(last) = last {
            text::draw(frame, last, model, &[self.told(model)], None);
        }
    }
}
