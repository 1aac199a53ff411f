use pretty_assertions::assert_eq;

use super::super::output::FAILED;
use super::super::testing::{Kept, Place};
use super::*;
use crate::bus::SharedBus;

struct Desk {
    place: Place,
    bus: SharedBus,
}

impl Desk {
    fn new(json: bool) -> Self {
        let place = Place::new(json);
        let bus: SharedBus = place.memory();
        Self { place, bus }
    }

    async fn act(&self, action: Action) -> color_eyre::Result<ExitCode> {
        act(&Args { action }, "mara", &self.place.cx, &self.bus).await
    }

    async fn input(&self, text: &str) -> ExitCode {
        let input = std::io::Cursor::new(text.to_owned());
        edit::from_input(NoteName::Worklist, input, "mara", &self.place.cx, &self.bus).await.unwrap()
    }

    fn results(&self) -> &Kept {
        &self.place.results
    }
}

const NAME: NoteName = NoteName::Worklist;

#[tokio::test]
async fn a_note_is_written_shown_compared_and_brought_back() {
    let desk = Desk::new(false);
    assert_eq!(desk.input("one\ntwo\n").await, OK);
    assert_eq!(desk.input("one\nthree\n").await, OK);
    desk.act(Action::Show { name: NAME, version: Some(1) }).await.unwrap();
    desk.act(Action::Diff { name: NAME, a: None, b: None }).await.unwrap();
    desk.act(Action::Revert { name: NAME, version: 1 }).await.unwrap();
    desk.act(Action::Show { name: NAME, version: None }).await.unwrap();
    assert_eq!(
        desk.results().text(),
        "worklist is at version 1\nworklist is at version 2\none\ntwo\n\
         --- worklist 1\n+++ worklist 2\n@@ -1,2 +1,2 @@\n one\n-two\n+three\n\
         worklist is at version 3\none\ntwo\n"
    );
    assert_eq!(desk.input("one\ntwo\n").await, OK);
    assert!(desk.results().text().ends_with("the worklist says that already; nothing was changed\n"));
    assert!(
        desk.act(Action::Show { name: NAME, version: Some(9) }).await.unwrap_err().to_string().contains("no version 9")
    );
}

#[tokio::test]
async fn the_list_and_the_history_say_who_wrote_what() {
    let desk = Desk::new(false);
    desk.input("one\n").await;
    desk.act(Action::List).await.unwrap();
    desk.act(Action::History { name: NAME, limit: 5 }).await.unwrap();
    let text = desk.results().text();
    assert!(text.contains("worklist         1        4      1      2026-03-01T09:30:00.000Z  mara\n"), "{text}");
    assert!(text.contains("1        2026-03-01T09:30:00.000Z  mara  4      edited by hand\n"), "{text}");
    let desk = Desk::new(true);
    desk.input("one\n").await;
    desk.act(Action::History { name: NAME, limit: 5 }).await.unwrap();
    desk.act(Action::List).await.unwrap();
    let lines = super::super::testing::json_lines(&desk.results().text());
    assert_eq!(
        (&lines[0]["version"], &lines[1][0]["by"], &lines[2][1]["bytes"]),
        (&json!(1), &json!("mara"), &json!(4))
    );
}

#[tokio::test]
async fn an_editor_changes_a_note_and_a_conflict_keeps_the_text() {
    let desk = Desk::new(false);
    desk.input("one\ntwo\nthree\n").await;
    let edit = async |editor: &str| edit::edit_with(editor, NAME, "mara", &desk.place.cx, &desk.bus).await;
    assert_eq!(edit("sed -i s/two/2/").await.unwrap(), OK);
    assert_eq!(NoteState::read(&desk.bus, NAME).await.unwrap().text, "one\n2\nthree\n");
    let drafts = || {
        std::fs::read_dir(desk.place.home.path().join("drafts"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect::<Vec<_>>()
    };
    assert!(drafts().is_empty());

    // The editor that fails leaves the text where it is.
    let failed = edit("false").await.unwrap_err();
    assert!(failed.to_string().contains("the editor `false` ended with"), "{failed}");
    assert_eq!(drafts().len(), 1);
    std::fs::remove_file(&drafts()[0]).unwrap();

    // While the editor is open, the same line changes on the bus.
    let other = "ours";
    let during = tempfile::tempdir().unwrap();
    let (open, go) = (during.path().join("open"), during.path().join("go"));
    let editor = format!(
        "sh -c 'touch {}; while [ ! -e {} ]; do sleep 0.01; done; sed -i s/2/theirs/ \"$0\"'",
        open.display(),
        go.display()
    );
    let (code, ()) = tokio::join!(edit(&editor), async {
        while !open.exists() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        desk.input(&format!("one\n{other}\nthree\n")).await;
        std::fs::write(&go, "").unwrap();
    });
    assert_eq!(code.unwrap(), FAILED);
    assert_eq!(NoteState::read(&desk.bus, NAME).await.unwrap().text, "one\nours\nthree\n");
    let kept = std::fs::read_to_string(&drafts()[0]).unwrap();
    assert!(kept.contains("ours\n") && kept.contains("theirs\n") && kept.contains("<<<<<<<"), "{kept}");
}
