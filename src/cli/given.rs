//! What a verb is given: a file, or standard input.
//!
//! Owns the reading. Never more than a body may have, and never anything but UTF-8.

use std::fs::File;
use std::io::{self, IsTerminal, Read};

use color_eyre::Section;
use color_eyre::eyre::{WrapErr, eyre};

use super::output::Usage;
use crate::contracts::body::BODY_LIMIT;

/// The text of the file with this name; of standard input for `-`, or for nothing.
///
/// # Errors
/// Where it cannot be read, is too long or no UTF-8; for nothing, where a person would have to type it.
pub(super) fn text(name: Option<&str>) -> color_eyre::Result<String> {
    match name {
        None if io::stdin().is_terminal() => {
            Err(Usage("nothing was given: name a file, pipe it in, or write `-` to type it".to_owned()).into())
        }
        None | Some("-") => read_all(io::stdin().lock(), "standard input"),
        Some(path) => read_all(File::open(path).wrap_err_with(|| format!("{path} cannot be opened"))?, path),
    }
}

/// Everything from a stream, without the line end that programs put after their output.
///
/// # Errors
/// Where it cannot be read, is too long, or no UTF-8.
pub(super) fn read_all(from: impl Read, name: &str) -> color_eyre::Result<String> {
    let limit = BODY_LIMIT + 1_024;
    let mut bytes = Vec::new();
    from.take(limit as u64).read_to_end(&mut bytes).wrap_err_with(|| format!("{name} cannot be read"))?;
    if bytes.len() == limit {
        return Err(eyre!("{name} holds more than {BODY_LIMIT} bytes, the most that a body may have")
            .suggestion("Put the bulk into a file and send its path"));
    }
    let text = String::from_utf8(bytes).map_err(|err| {
        eyre!("{name} is not UTF-8 (at byte {})", err.utf8_error().valid_up_to()).suggestion("Convert it first")
    })?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}
