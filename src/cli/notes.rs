//! `fullsend notes`: the team's notes and every version of them.
//!
//! A change is merged with what the team wrote meanwhile. Must never lose a text: what cannot be merged stays where it was written.

mod edit;
#[cfg(test)]
mod tests;

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::json;

use super::output::{OK, Usage};
use super::{Context, operator};
use crate::bus::SharedBus;
use crate::contracts::envelope::rfc3339;
use crate::contracts::notes::NoteName;
use crate::contracts::untrusted::{sanitize, sanitize_line};
use crate::memory::{NoteState, history};

/// Shows and changes the team's notes: what is sold, the worklist, the learnings
///
/// They are named `product_context`, `worklist` and `learnings`. Every version is kept, whoever wrote it: the team, a person here, or a person in the file of the context folder.
///
/// Example: fullsend notes show worklist
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Lists the notes
    List,
    /// Prints a note
    Show {
        /// Which
        name: NoteName,
        /// As it was in this version
        #[arg(long, value_name = "N")]
        version: Option<u64>,
    },
    /// Shows what changed between two versions: the last two, or A and the present one, or A and B
    Diff {
        /// Which
        name: NoteName,
        /// The older version
        a: Option<u64>,
        /// The newer version
        b: Option<u64>,
    },
    /// Lists the versions, the newest first
    History {
        /// Which
        name: NoteName,
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: usize,
    },
    /// Changes a note in $VISUAL or $EDITOR, or to what comes on standard input (`-`)
    Edit {
        /// Which
        name: NoteName,
        /// `-`: the text comes on standard input
        #[arg(value_name = "-", value_parser = ["-"])]
        from: Option<String>,
    },
    /// Brings the text of an earlier version back, as a new version
    Revert {
        /// Which
        name: NoteName,
        /// The version
        version: u64,
    },
}

impl Args {
    /// Whether it changes anything, which is worth a log.
    pub(super) fn changes(&self) -> bool {
        matches!(self.action, Action::Edit { .. } | Action::Revert { .. })
    }
}

/// Does it.
///
/// # Errors
/// Where there is no such version, a text cannot be merged, or the bus cannot be used.
pub fn run(args: &Args, cx: &Context) -> color_eyre::Result<ExitCode> {
    super::with_bus(cx, async |bus| act(args, &operator(), cx, bus).await)
}

async fn act(args: &Args, by: &str, cx: &Context, bus: &SharedBus) -> color_eyre::Result<ExitCode> {
    match &args.action {
        Action::List => list(cx, bus).await?,
        Action::Show { name, version } => show(*name, *version, cx, bus).await?,
        Action::Diff { name, a, b } => diff(*name, *a, *b, cx, bus).await?,
        Action::History { name, limit } => versions(*name, *limit, cx, bus).await?,
        Action::Edit { name, from: Some(_) } => return edit::from_input(*name, std::io::stdin(), by, cx, bus).await,
        Action::Edit { name, from: None } => return edit::in_editor(*name, by, cx, bus).await,
        Action::Revert { name, version } => return edit::revert(*name, *version, by, cx, bus).await,
    }
    Ok(OK)
}

async fn list(cx: &Context, bus: &SharedBus) -> color_eyre::Result<()> {
    let mut notes = Vec::new();
    for name in NoteName::ALL {
        notes.push(NoteState::read(bus, name).await?);
    }
    if cx.out.is_json() {
        let one = |note: &NoteState| json!({ "name": note.name, "version": note.version, "bytes": note.text.len(), "updated_at": note.updated_at, "by": note.by });
        return cx.out.json(&notes.iter().map(one).collect::<Vec<_>>());
    }
    let or_dash =
        |text: &Option<String>| text.as_deref().map_or_else(|| "-".to_owned(), |text| sanitize_line(text, 60));
    let rows: Vec<_> = notes
        .iter()
        .map(|note| {
            let lines = note.text.lines().count();
            let size = [note.version.to_string(), note.text.len().to_string(), lines.to_string()];
            let [version, bytes, lines] = size;
            [note.name.to_string(), version, bytes, lines, or_dash(&note.updated_at), or_dash(&note.by)]
        })
        .collect();
    cx.out.table(["NOTE", "VERSION", "BYTES", "LINES", "CHANGED", "BY"], &rows)
}

async fn show(name: NoteName, version: Option<u64>, cx: &Context, bus: &SharedBus) -> color_eyre::Result<()> {
    let current = NoteState::read(bus, name).await?;
    let (version, text) = match version {
        Some(version) => (version, history::text(bus, name, version).await?),
        None => (current.version, current.text),
    };
    if cx.out.is_json() {
        let about = if version == 0 { None } else { history::version(bus, name, version).await.ok() };
        return cx.out.json(&json!({ "name": name, "version": version, "text": text, "about": about }));
    }
    if text.is_empty() {
        cx.out.remark(&if version == 0 { format!("there is no {name} yet") } else { format!("the {name} is empty") });
        return Ok(());
    }
    cx.out.text(&sanitize(&text, usize::MAX))
}

async fn diff(name: NoteName, a: Option<u64>, b: Option<u64>, cx: &Context, bus: &SharedBus) -> color_eyre::Result<()> {
    let newest = NoteState::read(bus, name).await?.version;
    let b = b.unwrap_or(newest);
    let a = a.unwrap_or_else(|| b.saturating_sub(1));
    if newest == 0 {
        return Err(Usage(format!("there is no {name} yet, and so nothing to compare")).into());
    }
    let told = history::diff(bus, name, a, b).await?;
    if cx.out.is_json() {
        return cx.out.json(&json!({ "name": name, "a": a, "b": b, "diff": told }));
    }
    if told.is_empty() {
        cx.out.remark(&format!("versions {a} and {b} of the {name} say the same"));
        return Ok(());
    }
    cx.out.text(&sanitize(&told, usize::MAX))
}

async fn versions(name: NoteName, limit: usize, cx: &Context, bus: &SharedBus) -> color_eyre::Result<()> {
    let versions = history::list(bus, name, limit).await?;
    if cx.out.is_json() {
        return cx.out.json(&versions);
    }
    if versions.is_empty() {
        cx.out.remark(&format!("there is no {name} yet"));
        return Ok(());
    }
    let rows: Vec<_> = versions
        .iter()
        .map(|version| {
            [
                version.version.to_string(),
                version.at.map_or_else(|| "-".to_owned(), rfc3339),
                sanitize_line(&version.by, 40),
                version.bytes.to_string(),
                sanitize_line(&version.reason, 100),
            ]
        })
        .collect();
    cx.out.table(["VERSION", "TIME", "BY", "BYTES", "WHAT"], &rows)
}
