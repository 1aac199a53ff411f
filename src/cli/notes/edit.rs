//! Changing a note from the command line.
//!
//! Owns the way from a text to a new version. Must never throw a text away that somebody wrote.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use color_eyre::Section;
use color_eyre::eyre::{Report, WrapErr, eyre};
use serde_json::json;

use super::super::Context;
use super::super::output::{FAILED, OK};
use crate::bus::{Origin, SharedBus};
use crate::config::{private_file, private_folder};
use crate::contracts::Trust;
use crate::contracts::notes::NoteName;
use crate::memory::note::{EDITED, NOTE_LIMIT};
use crate::memory::{self, Author, NoteState, Written};

/// Who writes here.
fn author(by: &str, cx: &Context) -> Author {
    let origin = Origin::new(std::sync::Arc::clone(&cx.clock), std::sync::Arc::clone(&cx.ids), Trust::Operator);
    Author::of(by, &origin)
}

/// Tells what became of it.
fn tell(name: NoteName, written: &Written, cx: &Context) -> color_eyre::Result<ExitCode> {
    let said = match written {
        Written::Version { version, is_merged } => {
            let merged = if *is_merged { ", merged with what the team wrote meanwhile" } else { "" };
            (format!("{name} is at version {version}{merged}"), json!({ "name": name, "version": version }), OK)
        }
        Written::Same => {
            (format!("the {name} says that already; nothing was changed"), json!({ "name": name, "version": null }), OK)
        }
        Written::Conflict(conflict) => {
            (format!("error: {conflict}"), json!({ "name": name, "version": null, "conflict": conflict }), FAILED)
        }
    };
    let (text, value, code) = said;
    if cx.out.is_json() {
        cx.out.json(&value)?;
    } else if code == OK {
        cx.out.text(&text)?;
    } else {
        cx.out.remark(&text);
    }
    Ok(code)
}

/// The text that comes in becomes the note.
pub(super) async fn from_input(
    name: NoteName,
    input: impl Read + Send + 'static,
    by: &str,
    cx: &Context,
    bus: &SharedBus,
) -> color_eyre::Result<ExitCode> {
    let limit = u64::try_from(NOTE_LIMIT).unwrap_or(u64::MAX);
    let read = move || {
        let mut text = String::new();
        input.take(limit + 1).read_to_string(&mut text).map(|_| text)
    };
    let text = tokio::task::spawn_blocking(read).await?.wrap_err("the text cannot be read; it must be UTF-8")?;
    let base = NoteState::read(bus, name).await?.version;
    let written = memory::write(bus, &author(by, cx), name, &text, base, EDITED).await?;
    tell(name, &written, cx)
}

/// An earlier version's text becomes the note again.
pub(super) async fn revert(
    name: NoteName,
    version: u64,
    by: &str,
    cx: &Context,
    bus: &SharedBus,
) -> color_eyre::Result<ExitCode> {
    let written = memory::revert(bus, &author(by, cx), name, version).await?;
    tell(name, &written, cx)
}

/// The note is opened in the person's editor, and what they made of it is merged.
pub(super) async fn in_editor(name: NoteName, by: &str, cx: &Context, bus: &SharedBus) -> color_eyre::Result<ExitCode> {
    let editor =
        ["VISUAL", "EDITOR"].iter().find_map(|name| std::env::var(name).ok().filter(|text| !text.trim().is_empty()));
    let editor = editor.unwrap_or_else(|| "vi".to_owned());
    edit_with(&editor, name, by, cx, bus).await
}

pub(super) async fn edit_with(
    editor: &str,
    name: NoteName,
    by: &str,
    cx: &Context,
    bus: &SharedBus,
) -> color_eyre::Result<ExitCode> {
    let before = NoteState::read(bus, name).await?;
    let draft = draft(cx, name, &before.text)?;
    let kept = |report: Report| report.suggestion(format!("Your text is in {}", draft.display()));
    let (command, file) = (editor.to_owned(), draft.clone());
    let ran = tokio::task::spawn_blocking(move || open(&command, &file)).await?;
    ran.map_err(kept)?;
    let text = std::fs::read_to_string(&draft).wrap_err("the text cannot be read; it must be UTF-8").map_err(kept)?;
    let written = memory::write(bus, &author(by, cx), name, &text, before.version, EDITED).await;
    let written = written.map_err(|err| kept(err.into()))?;
    if let Written::Conflict(conflict) = &written {
        let code = tell(name, &written, cx)?;
        std::fs::write(&draft, &conflict.marked)?;
        cx.out.remark(&format!(
            "next: {} holds both, between markers. Settle it there, then: fullsend notes edit {name} - < {}",
            draft.display(),
            draft.display()
        ));
        return Ok(code);
    }
    std::fs::remove_file(&draft)?;
    tell(name, &written, cx)
}

/// A file for the editor, that nobody else may read.
fn draft(cx: &Context, name: NoteName, text: &str) -> color_eyre::Result<PathBuf> {
    let folder = cx.config.home.join("drafts");
    private_folder(&folder)?;
    let path = folder.join(format!("{name}-{}.md", cx.ids.next(cx.clock.now()).simple()));
    std::io::Write::write_all(&mut private_file(&path)?, text.as_bytes())?;
    Ok(path)
}

/// Runs the editor as a shell would, for it may come with arguments.
fn open(editor: &str, file: &Path) -> color_eyre::Result<()> {
    let run = Command::new("sh").arg("-c").arg(format!("{editor} \"$1\"")).arg("sh").arg(file).status();
    let status = run.wrap_err_with(|| format!("the editor `{editor}` cannot be started"))?;
    if status.success() {
        return Ok(());
    }
    Err(eyre!("the editor `{editor}` ended with {status}; nothing was changed")
        .suggestion("Set $EDITOR to another one"))
}
