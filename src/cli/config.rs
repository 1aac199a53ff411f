//! `fullsend config`: the settings in force, where each came from, and a template.

use std::process::ExitCode;

use serde_json::json;

use super::Context;
use super::output::{OK, Output};
use crate::config::template;

/// Shows the settings in force
///
/// Prints every setting with its value and where the value came from: a default, a line of the settings file, an environment
/// variable or a flag. Secrets are hidden.
///
/// Example: fullsend config --template > fullsend.toml
#[derive(clap::Args)]
pub struct Args {
    /// Print a settings file with every setting, its meaning and its default
    #[arg(long)]
    pub template: bool,
}

/// Prints the template. Needs no settings, so that it helps where they are broken.
///
/// # Errors
/// Where it cannot be written.
pub fn print_template(out: &Output) -> color_eyre::Result<ExitCode> {
    out.verbatim(&template())?;
    Ok(OK)
}

/// Prints the settings.
///
/// # Errors
/// Where they cannot be written.
pub fn run(cx: &Context) -> color_eyre::Result<ExitCode> {
    let settings = cx.config.settings();
    if cx.out.is_json() {
        let settings: Vec<_> = settings
            .iter()
            .map(|setting| {
                json!({
                    "key": setting.key,
                    "value": setting.value,
                    "source": setting.source.kind(),
                    "place": setting.source.to_string(),
                    "help": setting.help,
                })
            })
            .collect();
        let findings = cx.config.findings();
        cx.out.json(&json!({ "file": cx.config.file, "settings": settings, "findings": findings }))?;
        return Ok(OK);
    }
    let rows: Vec<_> = settings
        .iter()
        .map(|setting| [setting.key.to_owned(), setting.value.to_string(), setting.source.to_string()])
        .collect();
    cx.out.table(["SETTING", "VALUE", "FROM"], &rows)?;
    Ok(OK)
}
