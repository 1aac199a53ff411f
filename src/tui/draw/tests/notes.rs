//! The Notes screen and its layers.

use insta::assert_snapshot;
use rstest::rstest;

use super::{has, picture, shown};
use crate::contracts::notes::NoteName;
use crate::tui::app::tests::{document, furnished, press, versions};
use crate::tui::app::{Model, Msg, NoteOutcome, Outcome, update};

/// Notes with something of everything.
fn written(width: u16, height: u16) -> Model {
    let mut model = furnished(width, height);
    let learnings = "# Strategic Learnings\n\n## 2026-11-20\n\n**Event lists beat cold lists**\n- 12% against 3%, see [the run](https://example.org/runs/7)\n- [x] told the team\n\n> Ask for the *event* first.\n\n```\nfullsend tail metrics\n```\n\n| list | answers |\n|---|---|\n| event | 12% |\n";
    document(&mut model, "notes:learnings", &[("text", learnings), ("by", "mara")]);
    press(&mut model, "5");
    model
}

#[rstest]
#[case(80, 24)]
#[case(120, 40)]
#[case(200, 60)]
fn notes_are_read_as_markdown(#[case] width: u16, #[case] height: u16) {
    let mut model = written(width, height);
    let text = shown(&model, width, height);
    has(&text, &["▸Worklist · version 1 · orchestrator 2026-11-21 13:58:00", "Active (In Progress)"]);
    has(&text, &["[ ] stargazer campaign", "1. ask the CTOs", "e edit", "h history", "5 Notes"]);
    assert!(!text.contains("##"), "headings are shown, not marked: {text}");
    if width == 80 {
        has(&text, &["tab Learnings"]);
        press(&mut model, "tab");
    }
    let text = shown(&model, width, height);
    has(&text, &["Event lists beat cold lists", "- 12% against 3%, see the run", "(https://example.org/runs/7)"]);
    has(&text, &["[x] told the team", "> Ask for the event first.", "fullsend tail metrics", "event | 12%"]);
    assert!(!text.contains("**") && !text.contains("```"), "{text}");
    assert_snapshot!(format!("notes_{width}x{height}"), picture(&model, width, height));
}

#[rstest]
#[case(80, 24)]
#[case(120, 40)]
fn a_note_is_edited_in_place(#[case] width: u16, #[case] height: u16) {
    let mut model = written(width, height);
    press(&mut model, "e");
    let text = shown(&model, width, height);
    has(
        &text,
        &["Worklist · from version 1", "## Active (In Progress)", "as it stands", "ctrl-s save", "ctrl-o $EDITOR"],
    );
    press(&mut model, "x");
    has(&shown(&model, width, height), &["changed; saved, it is your new version", "x# Fullsend Worklist"]);
    assert_snapshot!(format!("note_edit_{width}x{height}"), picture(&model, width, height));
}

#[rstest]
#[case(80, 24)]
#[case(120, 40)]
#[case(200, 60)]
fn the_history_lists_versions_and_what_each_changed(#[case] width: u16, #[case] height: u16) {
    let mut model = written(width, height);
    press(&mut model, "h");
    has(&shown(&model, width, height), &["Worklist · history", "reading…"]);
    let outcome = |outcome| Msg::Outcome(Outcome::Note(NoteName::Worklist, outcome));
    update(&mut model, outcome(NoteOutcome::Versions(Ok(versions(4)))));
    let diff = "--- worklist 3\n+++ worklist 4\n@@ -1,2 +1,2 @@\n ## Active\n-- [ ] old item\n+- [ ] new item\n";
    update(&mut model, outcome(NoteOutcome::Compared(4, Ok(diff.to_owned()))));
    let text = shown(&model, width, height);
    has(&text, &["4  2026-11-21 14:02:11  mara", "edited by hand", "3  2026-11-21 13:02:11  orchestrator"]);
    has(&text, &["What version 4 changed", "-- [ ] old item", "+- [ ] new item", "r bring back"]);
    assert!(!text.contains("+++"), "the versions are named above: {text}");
    assert_snapshot!(format!("note_history_{width}x{height}"), picture(&model, width, height));
}

#[test]
fn the_deck_shows_the_same_notes_without_what_takes_room() {
    let mut model = written(200, 60);
    press(&mut model, "1");
    let text = shown(&model, 200, 60);
    has(&text, &["[ ] stargazer campaign", "Event lists beat cold lists"]);
    assert!(!text.contains("Strategic Learnings") && !text.contains("Fullsend Worklist"), "{text}");
}
