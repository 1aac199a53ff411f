//! Reading and writing notes.

use pretty_assertions::assert_eq;

use super::*;
use crate::bus::{Document, Key, State};
use crate::contracts::notes::NoteName;
use crate::memory::{Hunk, MergeConflict, Written};
use crate::tui::actions::LayerKind;
use crate::tui::app::{Effect, Model, Msg, NoteDeed, NoteOutcome, Outcome, Toast, update};
use crate::tui::draw::tests::shown;
use crate::tui::screens::{Pane, Screen};
use crate::tui::store::Item;

const WORKLIST: &str = "# Fullsend Worklist\n\n## Active (In Progress)\n- [ ] stargazer campaign\n\n## Ready (Prioritized Queue)\n1. ask the CTOs\n";

/// The worklist, being edited.
fn editing() -> Model {
    let mut model = furnished(120, 40);
    press(&mut model, "5");
    press(&mut model, "e");
    model
}

fn became(model: &mut Model, written: Result<Written, String>) -> Vec<Effect> {
    update(model, Msg::Outcome(Outcome::Note(NoteName::Worklist, NoteOutcome::Written(written, None))))
}

fn written(text: &str, base: u64) -> Effect {
    Effect::Note(NoteName::Worklist, NoteDeed::Write { text: text.to_owned(), base })
}

fn toast(model: &Model) -> &str {
    model.toast.as_ref().map(|Toast { words, .. }| words.as_str()).unwrap_or_default()
}

#[test]
fn what_is_saved_is_the_text_and_the_version_that_it_was_made_from() {
    let mut model = editing();
    assert_eq!(write(&mut model, "New "), []);
    let text = format!("New {WORKLIST}");
    assert_eq!(press(&mut model, "ctrl-s"), [written(&text, 1)]);
    assert!(shown(&model, 120, 40).contains("saving…"));
    write(&mut model, "too late");
    let state = State::Hash(Document { version: 2, fields: [("text".to_owned(), text.clone())].into() });
    let outcome = NoteOutcome::Written(Ok(Written::Version { version: 2, is_merged: true }), Some(state));
    update(&mut model, Msg::Outcome(Outcome::Note(NoteName::Worklist, outcome)));
    assert!(model.layers.is_empty() && model.notes.is_empty());
    assert_eq!(toast(&model), "worklist is at version 2, merged with what the team wrote meanwhile");
    assert_eq!(model.store.documents.note("worklist"), text, "it is shown at once");
}

#[test]
fn a_letter_is_written_whatever_it_does_elsewhere() {
    let mut model = editing();
    assert_eq!(write(&mut model, "iaxqHeEh?/"), []);
    assert_eq!(model.layers.len(), 1);
    assert_eq!(press(&mut model, "ctrl-s"), [written(&format!("iaxqHeEh?/{WORKLIST}"), 1)]);
}

#[test]
fn what_is_written_is_kept_when_the_layer_closes_and_after_a_crash() {
    let mut model = editing();
    write(&mut model, "precious ");
    let effects = passes(&mut model, 1_000);
    let kept = effects.iter().find_map(|it| if let Effect::Keep(kept) = it { Some(kept) } else { None }).unwrap();
    assert!(kept.notes[&NoteName::Worklist].text.starts_with("precious "));
    press(&mut model, "esc");
    assert!(model.layers.is_empty());
    assert!(shown(&model, 120, 40).contains("not saved yet"));
    document(&mut model, "notes:worklist", &[("text", "somebody else's")]);
    press(&mut model, "e");
    assert_eq!(press(&mut model, "ctrl-s"), [written(&format!("precious {WORKLIST}"), 1)], "with its own base");
}

#[test]
fn closing_without_a_change_keeps_nothing() {
    let mut model = editing();
    write(&mut model, "x");
    press(&mut model, "backspace");
    press(&mut model, "esc");
    assert!(model.notes.is_empty() && model.layers.is_empty());
}

#[test]
fn that_somebody_wrote_meanwhile_is_said_before_saving() {
    let mut model = editing();
    let state = State::Hash(Document {
        version: 4,
        fields: [("text".to_owned(), "other".to_owned()), ("by".to_owned(), "orchestrator".to_owned())].into(),
    });
    apply(&mut model, Item::Document { key: Key::new("notes:worklist"), state: Some(state) });
    let text = shown(&model, 120, 40);
    assert!(text.contains("orchestrator wrote version 4 meanwhile: saving merges yours with it"), "{text}");
}

fn conflict() -> Written {
    let hunk = Hunk { line: 1, base: "a\n".to_owned(), ours: "b\n".to_owned(), theirs: "c\n".to_owned() };
    let marked = "<<<<<<< the note now\nb\n||||||| before\na\n=======\nc\n>>>>>>> to be written\n".to_owned();
    Written::Conflict(Box::new(MergeConflict {
        name: NoteName::Worklist,
        base: 1,
        version: 5,
        ours: "b\n".to_owned(),
        theirs: "c\n".to_owned(),
        hunks: vec![hunk],
        marked,
    }))
}

#[test]
fn a_conflict_shows_both_sides_and_is_saved_once_it_is_settled() {
    let mut model = editing();
    write(&mut model, "c");
    press(&mut model, "ctrl-s");
    assert_eq!(became(&mut model, Ok(conflict())), []);
    let text = shown(&model, 120, 40);
    assert!(text.contains("<<<<<<< the note now") && text.contains("both changed one place"), "{text}");
    assert_eq!(press(&mut model, "ctrl-s"), [], "the markers are still in it");
    assert!(toast(&model).contains("settle the places"), "{}", toast(&model));
    assert!(model.notes.contains_key(&NoteName::Worklist), "it is kept too");
    press(&mut model, "ctrl-o");
    update(&mut model, Msg::Outcome(Outcome::Edited(Ok("b and c".to_owned()))));
    assert_eq!(press(&mut model, "ctrl-s"), [written("b and c\n", 5)], "made from the version it collided with");
}

#[test]
fn a_conflict_is_one_also_after_the_layer_was_closed() {
    let mut model = editing();
    write(&mut model, "c");
    press(&mut model, "ctrl-s");
    became(&mut model, Ok(conflict()));
    press(&mut model, "esc");
    press(&mut model, "e");
    let text = shown(&model, 120, 40);
    assert!(text.contains("both changed one place"), "{text}");
    assert_eq!(press(&mut model, "ctrl-s"), [], "the markers are still in it");
    assert!(toast(&model).contains("settle the places"), "{}", toast(&model));
    press(&mut model, "esc");
    press(&mut model, "E");
    let left = "b\n=======\nc".to_owned();
    assert_eq!(update(&mut model, Msg::Outcome(Outcome::Edited(Ok(left)))), [], "the line between them is left");
}

#[test]
fn the_underline_of_a_heading_is_no_conflict() {
    let mut model = editing();
    press(&mut model, "ctrl-o");
    update(&mut model, Msg::Outcome(Outcome::Edited(Ok("Heading\n=======".to_owned()))));
    assert_eq!(press(&mut model, "ctrl-s"), [written("Heading\n=======\n", 1)]);
}

#[test]
fn what_could_not_be_written_stays() {
    let mut model = editing();
    write(&mut model, "x");
    press(&mut model, "ctrl-s");
    became(&mut model, Err("the bus is away".to_owned()));
    assert_eq!(toast(&model), "the worklist was not written: the bus is away");
    assert_eq!(press(&mut model, "ctrl-s"), [written(&format!("x{WORKLIST}"), 1)]);
}

#[test]
fn leaving_the_editor_saves_with_the_line_end_that_was_there() {
    let mut model = furnished(120, 40);
    press(&mut model, "5");
    assert_eq!(press(&mut model, "E"), [Effect::Edit(WORKLIST.to_owned())]);
    let effects = update(&mut model, Msg::Outcome(Outcome::Edited(Ok("all new".to_owned()))));
    assert_eq!(effects, [written("all new\n", 1)]);
    became(&mut model, Ok(Written::Same));
    assert!(model.layers.is_empty());
    press(&mut model, "E");
    update(&mut model, Msg::Outcome(Outcome::Edited(Err("`vi` cannot be run; set EDITOR".to_owned()))));
    assert_eq!(model.layers.last().unwrap().kind(), LayerKind::Note, "the text is still there");
}

#[test]
fn the_note_as_it_stands_can_be_taken_and_the_own_text_brought_back() {
    let mut model = editing();
    write(&mut model, "mine ");
    document(&mut model, "notes:worklist", &[("text", "theirs")]);
    press(&mut model, "ctrl-g");
    let text = shown(&model, 120, 40);
    assert!(text.contains("theirs") && !text.contains("mine # Fullsend"), "{text}");
    press(&mut model, "esc");
    press(&mut model, "e");
    let text = shown(&model, 120, 40);
    assert!(text.contains("mine # Fullsend"), "looking at it throws nothing away: {text}");
}

#[test]
fn what_the_team_sells_is_asked_for_with_a_form_to_fill_in() {
    for before in [None, Some(crate::memory::PRODUCT_TEMPLATE)] {
        let mut model = empty(120, 40);
        if let Some(text) = before {
            document(&mut model, "notes:product_context", &[("text", text)]);
        }
        press(&mut model, "5");
        let text = shown(&model, 120, 40);
        assert!(text.contains("The team does not know yet what it sells") && text.contains("e writes it"), "{text}");
        model.focus.insert(Screen::Notes, Pane::Note(NoteName::ProductContext));
        press(&mut model, "e");
        assert!(shown(&model, 120, 40).contains("What is being sold: (fill in)"));
    }
    let mut model = empty(120, 40);
    document(&mut model, "notes:product_context", &[("text", "We sell hosting.\n\nFor whom: (fill in)")]);
    press(&mut model, "5");
    let text = shown(&model, 120, 40);
    assert!(text.contains("We sell hosting.") && !text.contains("does not know yet"), "{text}");
}

#[test]
fn a_note_that_is_too_long_for_here_is_not_opened() {
    let mut model = empty(120, 40);
    document(&mut model, "notes:worklist", &[("text", &"x\n".repeat(200_000))]);
    press(&mut model, "5");
    assert_eq!(press(&mut model, "e"), []);
    assert!(model.layers.is_empty() && toast(&model).contains("fullsend notes edit worklist"), "{}", toast(&model));
}

#[test]
fn the_history_shows_what_each_version_changed() {
    let mut model = furnished(120, 40);
    press(&mut model, "5");
    let asked = |deed| [Effect::Note(NoteName::Worklist, deed)];
    assert_eq!(press(&mut model, "h"), asked(NoteDeed::Versions));
    let outcome = |outcome| Msg::Outcome(Outcome::Note(NoteName::Worklist, outcome));
    let effects = update(&mut model, outcome(NoteOutcome::Versions(Ok(versions(3)))));
    assert_eq!(effects, asked(NoteDeed::Compare(3)));
    assert_eq!(press(&mut model, "down"), asked(NoteDeed::Compare(2)));
    update(
        &mut model,
        outcome(NoteOutcome::Compared(2, Ok("--- a\n+++ b\n@@ -1 +1 @@\n-old\x1b[2J\n+new\n".to_owned()))),
    );
    let text = shown(&model, 120, 40);
    assert!(text.contains("What version 2 changed") && text.contains("-old\n") | text.contains("-old "), "{text}");
    assert!(text.contains("+new"), "{text}");
    press(&mut model, "down");
    assert!(shown(&model, 120, 40).contains("reading…"), "what is shown is of the selected one");
}

#[test]
fn a_version_comes_back_only_on_a_yes() {
    let mut model = furnished(120, 40);
    press(&mut model, "5");
    press(&mut model, "h");
    let outcome = |outcome| Msg::Outcome(Outcome::Note(NoteName::Worklist, outcome));
    update(&mut model, outcome(NoteOutcome::Versions(Ok(versions(3)))));
    assert_eq!(press(&mut model, "r"), []);
    assert_eq!(toast(&model), "that is how it stands already");
    press(&mut model, "down");
    press(&mut model, "r");
    assert!(shown(&model, 120, 40).contains("Bring version 2 back?"));
    assert_eq!(press(&mut model, "enter"), [], "no is the default");
    press(&mut model, "r");
    assert_eq!(press(&mut model, "y"), [Effect::Note(NoteName::Worklist, NoteDeed::Revert(2))]);
    let effects = became(&mut model, Ok(Written::Version { version: 4, is_merged: false }));
    assert_eq!(effects, [Effect::Note(NoteName::Worklist, NoteDeed::Versions)], "the list is read again");
}

#[test]
fn the_keys_of_the_notes_work_on_the_note_that_has_the_focus() {
    let mut model = furnished(80, 24);
    press(&mut model, "5");
    press(&mut model, "tab");
    assert_eq!(press(&mut model, "h"), [Effect::Note(NoteName::Learnings, NoteDeed::Versions)]);
}
