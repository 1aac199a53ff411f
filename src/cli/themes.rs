//! `fullsend themes`: how the control room can look.

use std::process::ExitCode;

use serde_json::json;

use super::output::{OK, Output};
use crate::tui::theme::{self, Role, contrast};

/// Shows the themes of the control room
///
/// Every theme with the least contrast of what is read in it (4.5 and more is readable, WCAG 2.1 AA). `T` in the room takes the next one.
///
/// Example: fullsend themes
#[derive(clap::Args)]
pub struct Args {}

/// Prints them.
///
/// # Errors
/// Where it cannot be written.
pub fn run(out: &Output) -> color_eyre::Result<ExitCode> {
    let themes: Vec<_> = theme::SHIPPED.iter().filter_map(|(name, _)| theme::shipped(name)).collect();
    if out.is_json() {
        let entry = |it: &theme::Theme| json!({ "theme": it.name, "least_contrast": contrast::least(it) });
        out.json(&themes.iter().map(entry).collect::<Vec<_>>())?;
        return Ok(OK);
    }
    let row = |it: &theme::Theme| {
        let least = contrast::least(it).map_or_else(|| "the terminal's own".to_owned(), |ratio| format!("{ratio:.1}"));
        [it.name.clone(), least, Role::ALL.len().to_string()]
    };
    out.table(["THEME", "LEAST CONTRAST", "ROLES"], &themes.iter().map(row).collect::<Vec<_>>())?;
    Ok(OK)
}
