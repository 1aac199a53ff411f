//! What became of what was wanted: told, and taken into the model. In a replay, why nothing does.
//!
//! Must never leave somebody waiting for an outcome that does not come.

use super::{Effect, Model, NoteDeed, NoteOutcome, Outcome, Saying, deeds};
use crate::contracts::untrusted::sanitize_line;
use crate::tui::layers::Layer;
use crate::tui::theme::{Role, Theme, person};

/// In a replay nothing is said, and nothing is remembered: there is no bus, and it is not the person's room.
pub(super) fn without_saying(model: &mut Model, effects: Vec<Effect>) -> Vec<Effect> {
    let mut allowed = Vec::new();
    for effect in effects {
        match effect {
            Effect::Say(ticket, saying) => {
                let digest = if let Saying::Verdict(verdict) = saying { verdict.digest } else { None };
                let failed = Some("this is a replay, there is no bus".to_owned());
                happened(model, Outcome::Said { ticket, what: "it".to_owned(), failed, digest });
            }
            Effect::Note(name, deed) => {
                let why = || "this is a replay: it can be looked at, not changed".to_owned();
                let outcome = match deed {
                    NoteDeed::Write { .. } | NoteDeed::Revert(_) => NoteOutcome::Written(Err(why()), None),
                    NoteDeed::Versions => NoteOutcome::Versions(Err("a recording has no former versions".to_owned())),
                    NoteDeed::Compare(version) => NoteOutcome::Compared(version, Err(why())),
                };
                happened(model, Outcome::Note(name, outcome));
            }
            Effect::Letter(id, _) => {
                let why = "this is a replay: it can be looked at, not changed".to_owned();
                happened(model, Outcome::Letter(id, Err(why), None));
            }
            Effect::Keep(_) => {}
            other => allowed.push(other),
        }
    }
    allowed
}

pub(super) fn happened(model: &mut Model, outcome: Outcome) -> Vec<Effect> {
    match outcome {
        Outcome::Said { what, failed: None, .. } => model.tell(Role::Ok, format!("said: {what}")),
        Outcome::Said { what, failed: Some(why), digest, .. } => {
            if let Some(digest) = digest {
                model.answered.remove(&digest);
            }
            model.tell(Role::Danger, format!("{what} was not said: {why}"));
        }
        Outcome::Edited(Ok(text)) => {
            let mut layer = model.layers.pop();
            let mut effects = Vec::new();
            match &mut layer {
                Some(Layer::Inject(inject)) => {
                    inject.replace(&text);
                    model.draft = Some(inject.draft());
                }
                Some(Layer::Note(note)) => effects = note.edited(model, &text),
                Some(Layer::NeedsYou(needs)) => drop(needs.edited(&text)),
                _ => {}
            }
            model.layers.extend(layer);
            model.is_unsaved = true;
            return effects;
        }
        Outcome::Note(name, outcome) => return deeds::note(model, name, &outcome),
        Outcome::Letter(id, told, mark) => deeds::letter(model, id, told, mark),
        Outcome::Edited(Err(why)) | Outcome::Failed(why) => model.tell(Role::Danger, why),
        Outcome::Themes(found) => themes(model, *found),
    }
    Vec::new()
}

/// Takes themes that changed. The one that is shown stays as it was while its file is broken.
fn themes(model: &mut Model, found: person::Found) {
    let person::Found { themes, broken } = found;
    let is_broken = |theme: &Theme| broken.iter().any(|err| err.theme == theme.name);
    let kept = model.themes.iter().filter(|old| is_broken(old)).cloned();
    let mut themes: Vec<Theme> = themes.into_iter().filter(|new| !is_broken(new)).collect();
    themes.extend(kept.collect::<Vec<_>>());
    if let Some(theme) = themes.iter().find(|theme| theme.name == model.theme.name)
        && *theme != model.theme
    {
        model.tell(Role::Ok, format!("theme: {}, as it is now", theme.name));
        model.theme = theme.clone();
    }
    model.themes = themes;
    if let Some(err) = broken.first() {
        let words = sanitize_line(&err.to_string(), 300);
        model.tell(Role::Danger, format!("{words} (the old theme stays)"));
    }
}
