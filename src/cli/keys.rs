//! `fullsend keys`: what every key of the control room does.

use std::process::ExitCode;

use serde_json::json;

use super::output::{OK, Output};
use super::room;
use crate::tui::actions::ACTIONS;

/// Shows what the keys of the control room do
///
/// Every action with its name, its keys and the place where it works; with the changes of `keys.toml` in the settings' folder, where a
/// line like `inject = ["n", "ctrl-n"]` gives an action other keys. Keys that contradict each other are refused with their line.
///
/// Example: fullsend keys
#[derive(clap::Args)]
pub struct Args {}

/// Prints them.
///
/// # Errors
/// Where `keys.toml` cannot be used, or it cannot be written.
pub fn run(out: &Output) -> color_eyre::Result<ExitCode> {
    let keymap = room::keymap()?;
    let keys = |row: &crate::tui::actions::Row| -> Vec<String> {
        keymap.chords(row.action).iter().map(ToString::to_string).collect()
    };
    if out.is_json() {
        let entry = |row| {
            let row: &crate::tui::actions::Row = row;
            json!({ "action": row.name, "keys": keys(row), "where": row.scope.title(), "help": row.help })
        };
        out.json(&ACTIONS.iter().map(entry).collect::<Vec<_>>())?;
        return Ok(OK);
    }
    let row = |row: &crate::tui::actions::Row| {
        [row.name.to_owned(), keys(row).join(" "), row.scope.title(), row.help.to_owned()]
    };
    out.table(["ACTION", "KEYS", "WHERE", "WHAT"], &ACTIONS.iter().map(row).collect::<Vec<_>>())?;
    Ok(OK)
}
