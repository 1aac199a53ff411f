//! `fullsend themes`: how the control room can look.

use std::process::ExitCode;

use serde_json::json;

use super::output::{OK, Output};
use super::room;
use crate::tui::theme::{self, Theme, contrast, person};

/// Shows the themes of the control room
///
/// Every theme with the least contrast of what is read in it (4.5 and more is readable, WCAG 2.1 AA): the shipped ones, and your own from
/// `themes/NAME.toml` in the settings' folder, which the room reads again whenever you change them. `T` in the room chooses.
///
/// Example: fullsend themes
#[derive(clap::Args)]
pub struct Args {}

/// Prints them.
///
/// # Errors
/// Where it cannot be written.
pub fn run(out: &Output) -> color_eyre::Result<ExitCode> {
    let shipped = theme::SHIPPED.iter().filter_map(|(name, _)| theme::shipped(name));
    let mut found: Vec<(String, Theme)> = shipped.map(|theme| ("shipped".to_owned(), theme)).collect();
    let mut broken = Vec::new();
    for (path, read) in room::themes_folder()?.as_deref().map(person::of_folder).unwrap_or_default() {
        match read {
            Ok(theme) => {
                found.retain(|(_, known)| known.name != theme.name);
                found.push((path.display().to_string(), theme));
            }
            Err(err) => broken.push(err),
        }
    }
    if out.is_json() {
        let entry = |(from, it): &(String, Theme)| json!({ "theme": it.name, "from": from, "least_contrast": contrast::least(it) });
        let wrong =
            |it: &theme::ThemeError| json!({ "theme": it.theme, "from": it.file, "line": it.line, "problem": it.what });
        out.json(&found.iter().map(entry).chain(broken.iter().map(wrong)).collect::<Vec<_>>())?;
        return Ok(OK);
    }
    let row = |(from, it): &(String, Theme)| {
        let least = contrast::least(it).map_or_else(|| "the terminal's own".to_owned(), |ratio| format!("{ratio:.1}"));
        [it.name.clone(), least, from.clone()]
    };
    out.table(["THEME", "LEAST CONTRAST", "FROM"], &found.iter().map(row).collect::<Vec<_>>())?;
    for err in &broken {
        out.remark(&err.to_string());
    }
    Ok(OK)
}
