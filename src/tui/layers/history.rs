//! History: the versions of a note, what each changed, and the way back to one.
//!
//! Owns which version is selected. Must never bring one back without a yes.

use ratatui::Frame;
use ratatui::layout::Rect;

use super::confirm::Confirm;
use super::{Input, Layer, Then};
use crate::contracts::notes::NoteName;
use crate::contracts::untrusted::{LINE_LIMIT, sanitize, sanitize_line};
use crate::memory::Written;
use crate::memory::history::Version;
use crate::tui::actions::Action;
use crate::tui::app::{Effect, Model, NoteDeed, NoteOutcome};
use crate::tui::draw::popup;
use crate::tui::draw::text::{self, Piece};
use crate::tui::screens::notes::title;
use crate::tui::theme::Role;

/// Lines of a difference that are shown.
const MOST: usize = 5_000;

/// What a version changed, in lines; or why it cannot be said.
type Diff = Result<Vec<Vec<Piece>>, String>;

/// The versions, and what the selected one changed.
#[derive(Debug, Clone)]
pub struct History {
    name: NoteName,
    /// None until they were read.
    versions: Option<Result<Vec<Version>, String>>,
    selected: usize,
    /// Of this version.
    diff: Option<(u64, Diff)>,
    top: usize,
}

impl History {
    /// The history of a note, and what is to be read for it.
    pub fn open(name: NoteName) -> (Self, Effect) {
        let layer = Self { name, versions: None, selected: 0, diff: None, top: 0 };
        (layer, Effect::Note(name, NoteDeed::Versions))
    }

    /// Which note.
    pub fn name(&self) -> NoteName {
        self.name
    }

    fn all(&self) -> &[Version] {
        match &self.versions {
            Some(Ok(versions)) => versions,
            _ => &[],
        }
    }

    /// Takes in what was read, and says what is to be read next.
    pub fn happened(&mut self, outcome: &NoteOutcome) -> Option<Effect> {
        match outcome {
            NoteOutcome::Versions(versions) => {
                self.versions = Some(versions.clone());
                self.selected = self.selected.min(self.all().len().saturating_sub(1));
                self.compare()
            }
            NoteOutcome::Compared(version, diff) => {
                self.diff = Some((*version, diff.as_deref().map(coloured).map_err(Clone::clone)));
                self.top = 0;
                None
            }
            NoteOutcome::Written(Ok(Written::Version { .. }), _) => {
                self.selected = 0;
                Some(Effect::Note(self.name, NoteDeed::Versions))
            }
            NoteOutcome::Written(..) => None,
        }
    }

    fn compare(&self) -> Option<Effect> {
        let version = self.all().get(self.selected)?.version;
        Some(Effect::Note(self.name, NoteDeed::Compare(version)))
    }

    fn scroll(&mut self, by: isize) {
        let lines = match &self.diff {
            Some((_, Ok(lines))) => lines.len(),
            _ => 0,
        };
        self.top = self.top.saturating_add_signed(by).min(lines.saturating_sub(1));
    }

    pub(super) fn act(&mut self, model: &mut Model, input: &Input) -> Then {
        let page = isize::try_from(model.area.height / 2).unwrap_or(10);
        let by = match input {
            Input::Act(Action::HistoryUp) => -1,
            Input::Act(Action::HistoryDown) => 1,
            Input::Act(Action::HistoryPageUp) => {
                self.scroll(-page);
                return Then::stay();
            }
            Input::Act(Action::HistoryPageDown) => {
                self.scroll(page);
                return Then::stay();
            }
            Input::Wheel(lines) => {
                self.scroll(*lines);
                return Then::stay();
            }
            Input::Act(Action::HistoryRevert) => {
                self.revert(model);
                return Then::stay();
            }
            Input::Act(Action::Close) => return Then::close(),
            _ => return Then::stay(),
        };
        let to = self.selected.saturating_add_signed(by).min(self.all().len().saturating_sub(1));
        if to == self.selected {
            return Then::stay();
        }
        self.selected = to;
        Then::stay().and(self.compare())
    }

    /// Asks whether the selected version should come back.
    fn revert(&self, model: &mut Model) {
        let Some(version) = self.all().get(self.selected) else {
            model.tell(Role::Warn, "there is no version to bring back");
            return;
        };
        let newest = self.all().first().map_or(0, |newest| newest.version);
        if version.version == newest {
            model.tell(Role::Warn, "that is how it stands already");
            return;
        }
        let lines = vec![
            format!("The {} says again what it said in version {}.", self.name, version.version),
            format!("That is version {} then; nothing is lost, the others stay in the history.", newest + 1),
        ];
        let heading = format!("Bring version {} back?", version.version);
        let effect = Effect::Note(self.name, NoteDeed::Revert(version.version));
        model.layers.push(Layer::Confirm(Confirm::of(heading, lines, effect)));
    }

    pub(super) fn draw(&self, frame: &mut Frame<'_>, area: Rect, model: &Model) {
        let head = format!("{} · history", title(self.name));
        let inner = popup::frame(frame, area, model, &head, 120, area.height);
        let say = |frame: &mut Frame<'_>, area, role, words: &str| {
            popup::body(frame, area, model, &[vec![Piece::new(role, words)]], 0);
        };
        match &self.versions {
            None => return say(frame, inner, Role::Muted, "reading…"),
            Some(Err(why)) => return say(frame, inner, Role::Danger, why),
            Some(Ok(versions)) if versions.is_empty() => {
                return say(frame, inner, Role::Muted, "Nobody has written it yet.");
            }
            Some(Ok(_)) => {}
        }
        let rows = (inner.height / 3).clamp(3, 12);
        let Some((list, rest)) = popup::split_first(inner, rows) else { return };
        let rows = usize::from(rows);
        let first = (self.selected + 1).saturating_sub(rows);
        for (at, version) in self.all().iter().enumerate().skip(first).take(rows) {
            let y = list.y + u16::try_from(at - first).unwrap_or(u16::MAX);
            let selection = (at == self.selected).then_some(Role::Selection);
            text::draw(frame, Rect { y, height: 1, ..list }, model, &line(version, model), selection);
        }
        let Some((bar, body)) = popup::split_first(rest, 1) else { return };
        let shown = self.all().get(self.selected).map_or(0, |version| version.version);
        let more = if self.top > 0 { format!(" · from line {}", self.top + 1) } else { String::new() };
        let words = format!("What version {shown} changed{more}");
        text::draw(frame, bar, model, &[Piece::new(Role::Title, words)], None);
        match &self.diff {
            Some((version, Ok(lines))) if *version == shown => {
                if lines.is_empty() {
                    say(frame, body, Role::Muted, "nothing");
                }
                popup::body(frame, body, model, lines, self.top);
            }
            Some((version, Err(why))) if *version == shown => say(frame, body, Role::Danger, why),
            _ => say(frame, body, Role::Muted, "reading…"),
        }
    }
}

/// Who wrote a version, when and why.
fn line(version: &Version, model: &Model) -> Vec<Piece> {
    let at = version.at.map_or_else(|| "-".to_owned(), |at| text::date_time(at, model));
    vec![
        Piece::new(Role::Title, format!("{:>4}  ", version.version)),
        Piece::new(Role::Muted, format!("{at}  ")),
        Piece::new(Role::Source, format!("{} ", text::padded(&sanitize_line(&version.by, 40), 13))),
        Piece::new(Role::Text, sanitize_line(&version.reason, 200)),
    ]
}

/// A unified diff as lines: what came and what went by more than colour.
fn coloured(diff: &str) -> Vec<Vec<Piece>> {
    let clean = sanitize(diff, LINE_LIMIT);
    // The first two name the versions.
    let lines = clean.lines().skip(2);
    let role = |line: &str| match line.as_bytes().first() {
        Some(b'+') => Role::Ok,
        Some(b'-') => Role::Danger,
        Some(b'@') => Role::Muted,
        _ => Role::Text,
    };
    lines.take(MOST).map(|line| vec![Piece::new(role(line), line)]).collect()
}
