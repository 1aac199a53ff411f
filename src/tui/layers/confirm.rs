//! Confirm: a yes or no before something that stops work. No is the default, and the key for yes is another one than that which asked.

use ratatui::Frame;
use ratatui::layout::Rect;

use super::{Input, Then};
use crate::contracts::envelope::read_time;
use crate::contracts::messages::KillExperiment;
use crate::contracts::untrusted::sanitize_line;
use crate::tui::actions::Action;
use crate::tui::app::{Effect, LetterDeed, Model, Saying};
use crate::tui::draw::popup;
use crate::tui::draw::text::{self, Piece};
use crate::tui::store::system::Letter;
use crate::tui::theme::Role;

/// A question, and what a yes says.
#[derive(Debug, Clone, PartialEq)]
pub struct Confirm {
    title: String,
    lines: Vec<String>,
    yes: Yes,
}

/// What a yes does.
#[derive(Debug, Clone, PartialEq)]
enum Yes {
    /// Has this effect.
    Do(Effect),
    /// Says something.
    Say(Saying),
    /// Approves these requests, each by its digest.
    Approve(Vec<(String, String)>),
}

impl Confirm {
    /// A question; a yes has this effect.
    pub fn of(title: String, lines: Vec<String>, effect: Effect) -> Self {
        Self { title, lines, yes: Yes::Do(effect) }
    }

    /// Whether a dead letter should be said again, or be done with.
    pub fn letter(letter: &Letter, deed: LetterDeed) -> Self {
        let id = letter.id;
        let mut lines = vec![format!("{} on {}: {}", letter.kind, letter.channel, letter.reason), String::new()];
        let title = match deed {
            LetterDeed::Replay => {
                lines.push(format!("It is said again on {}, with the trust that it had.", letter.channel));
                if letter.is_cut {
                    lines.push("Only its beginning is kept: it cannot be said again.".to_owned());
                }
                format!("Replay {id}?")
            }
            LetterDeed::Drop => {
                lines.push("It is marked as done with. It stays in the history.".to_owned());
                format!("Drop {id}?")
            }
        };
        Self { title, lines, yes: Yes::Do(Effect::Letter(id, deed)) }
    }

    /// Whether to kill an experiment: names it, and says what stops.
    pub fn kill(model: &Model, id: &str) -> Self {
        let documents = &model.store.documents;
        let shown = sanitize_line(id, 60);
        let state =
            documents.document(&format!("experiments:{id}")).and_then(|it| it.get("state")).unwrap_or("unknown");
        let mode = model.store.experiments.mode(id).map(|mode| format!(" ({})", mode.words())).unwrap_or_default();
        let mut lines = vec![format!("It is {} now{mode}.", sanitize_line(state, 20)), String::new()];
        let runs = documents.runs(id).count();
        lines.push(match (state, runs) {
            (_, 2..) => format!("Its {runs} runs stop within two seconds."),
            (_, 1) | ("running", 0) => "Its run stops within two seconds.".to_owned(),
            _ => "It has no run under way.".to_owned(),
        });
        lines.push(match documents.document(&format!("schedules:{id}")) {
            Some(schedule) => {
                let time =
                    |at: &str| read_time(at).map_or_else(|| sanitize_line(at, 30), |at| text::date_time(at, model));
                let next = schedule.get("next_at").map(|at| format!(" (next: {})", time(at)));
                format!("Its schedule ends{}.", next.unwrap_or_default())
            }
            None => "It has no schedule.".to_owned(),
        });
        let about = |(_, state): &(&crate::bus::Key, &crate::bus::State)| {
            let alert = state.document();
            alert.is_some_and(|it| it.get("experiment_id") == Some(id) && it.get("state") != Some("resolved"))
        };
        lines.push(match documents.of("alerts:").filter(about).count() {
            0 => "It has no alerts.".to_owned(),
            count => format!("Its alerts are resolved: {count}."),
        });
        let undo = model.keymap.short(Action::Undo).unwrap_or_default();
        lines.push(format!("Nothing is deleted: {undo} brings it back."));
        let order = KillExperiment {
            experiment_id: id.to_owned(),
            reason: Some("killed in the control room".to_owned()),
            by: Some(model.about.operator.clone()),
        };
        Self { title: format!("Kill {shown}?"), lines, yes: Yes::Say(Saying::Control(order.into())) }
    }

    /// Whether to approve these requests at once.
    pub fn approve_all(title: String, lines: Vec<String>, wanted: Vec<(String, String)>) -> Self {
        Self { title, lines, yes: Yes::Approve(wanted) }
    }

    pub(super) fn act(&self, model: &mut Model, input: &Input) -> Then {
        match input {
            Input::Act(Action::ConfirmYes) => Then::close().and(match &self.yes {
                Yes::Do(effect) => vec![effect.clone()],
                Yes::Say(saying) => vec![Effect::Say(model.ticket(), saying.clone())],
                Yes::Approve(wanted) => super::needs_you::approve_all(model, wanted),
            }),
            Input::Act(Action::ConfirmNo | Action::Close) => Then::close(),
            _ => Then::stay(),
        }
    }

    pub(super) fn draw(&self, frame: &mut Frame<'_>, area: Rect, model: &Model) {
        let key = |action| model.keymap.chords(action).iter().map(|it| it.short()).collect::<Vec<_>>().join(" ");
        let mut lines: Vec<Vec<Piece>> =
            self.lines.iter().map(|line| vec![Piece::new(Role::Text, line.clone())]).collect();
        lines.push(vec![]);
        lines.push(vec![
            Piece::new(Role::Danger, format!("  {} yes   ", key(Action::ConfirmYes))),
            Piece::new(Role::Selection, format!(" ▸ {} no ", key(Action::ConfirmNo))),
        ]);
        popup::lines(frame, area, model, &self.title, &lines, 60);
    }
}
