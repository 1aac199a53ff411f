//! $EDITOR: a text in a file of its own, edited by the person's program.
//!
//! Must never leave the file behind, nor make it readable for others.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use color_eyre::eyre::{WrapErr, eyre};

use crate::config::private_file;

/// Lets the person edit the text in `$VISUAL` or `$EDITOR`. The terminal must have been given back.
///
/// # Errors
/// Where no editor can be run, or it ends with an error.
pub async fn edit(folder: &Path, text: &str) -> color_eyre::Result<String> {
    let wanted =
        ["VISUAL", "EDITOR"].into_iter().find_map(|name| std::env::var(name).ok().filter(|it| !it.trim().is_empty()));
    let command = wanted.unwrap_or_else(|| "vi".to_owned());
    let mut words = command.split_whitespace();
    let program = words.next().unwrap_or("vi");
    let path = folder.join(format!("draft-{}.txt", std::process::id()));
    let written = private_file(&path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.wrap_err("the text cannot be handed to an editor")?;
    let ended = tokio::process::Command::new(program)
        .args(words)
        .arg(&path)
        .stdin(Stdio::inherit())
        .stdout(Stdio::inherit())
        .stderr(Stdio::inherit())
        .status()
        .await;
    let edited = tokio::fs::read_to_string(&path).await;
    tokio::fs::remove_file(&path).await.ok();
    let status = ended.wrap_err_with(|| format!("`{program}` cannot be run; set EDITOR"))?;
    if !status.success() {
        return Err(eyre!("`{program}` ended with {status}; the text is as it was"));
    }
    let edited = edited.wrap_err("what the editor left cannot be read")?;
    Ok(edited.trim_end_matches('\n').to_owned())
}
