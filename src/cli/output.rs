//! The one place that writes to the terminal.
//!
//! What leaves here holds no control characters but line breaks, and errors hold no secrets. Must never decide what is said:
//! verbs do. A reader that goes away (`| head`) ends the program quietly: see [`Closed`].

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use color_eyre::eyre::Report;
use serde::Serialize;
use thiserror::Error;
use unicode_width::UnicodeWidthStr;

use crate::bus::{Finding, Level};
use crate::config::ConfigError;
use crate::telemetry::{self, redact};

/// Everything went well.
pub const OK: ExitCode = ExitCode::SUCCESS;
/// Something failed, or something was found wrong.
pub const FAILED: ExitCode = ExitCode::FAILURE;
/// The exit code for a command line or settings that cannot be used.
const USAGE: u8 = 2;

/// Nobody reads our output any more. Not an error for people: the program ends with 0.
#[derive(Debug, Error)]
#[error("the reader of the output is gone")]
pub struct Closed;

/// The command line asks for something that cannot be done. Ends the program with 2.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct Usage(pub String);

/// Where verbs write: results to the one stream, everything else to the other.
pub struct Output {
    json: bool,
    results: Mutex<Box<dyn Write + Send>>,
    remarks: Mutex<Box<dyn Write + Send>>,
}

impl Output {
    /// Standard output and standard error. With `json`, verbs print JSON (see [`Output::is_json`]).
    pub fn standard(json: bool) -> Self {
        Self::to(json, Box::new(io::stdout()), Box::new(io::stderr()))
    }

    /// Somewhere else, for tests.
    pub fn to(json: bool, results: Box<dyn Write + Send>, remarks: Box<dyn Write + Send>) -> Self {
        Self { json, results: Mutex::new(results), remarks: Mutex::new(remarks) }
    }

    /// Whether results are wanted as JSON.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Prints text, as one or several lines, harmless whatever it holds: control characters are written out. (What comes from
    /// outside reads better if its verb sanitises it first.)
    ///
    /// # Errors
    /// [`Closed`], or why it cannot be written.
    pub fn text(&self, text: &str) -> color_eyre::Result<()> {
        let mut clean = redact::visible(text.strip_suffix('\n').unwrap_or(text));
        clean.push('\n');
        self.result(&clean)
    }

    /// Prints a text of our own (a script, a template) as it is.
    ///
    /// # Errors
    /// [`Closed`], or why it cannot be written.
    pub fn verbatim(&self, text: &str) -> color_eyre::Result<()> {
        self.result(text)
    }

    /// Prints a value as one line of JSON.
    ///
    /// # Errors
    /// [`Closed`], or why it cannot be written.
    pub fn json(&self, value: &impl Serialize) -> color_eyre::Result<()> {
        let mut json = redact::visible_json(&serde_json::to_string(value)?);
        json.push('\n');
        self.result(&json)
    }

    /// Prints rows in aligned columns below their headings.
    ///
    /// # Errors
    /// [`Closed`], or why it cannot be written.
    pub fn table<const N: usize>(&self, headings: [&str; N], rows: &[[String; N]]) -> color_eyre::Result<()> {
        let clean = |cell: &str| redact::visible(&cell.replace(['\n', '\t'], " "));
        let headings = headings.map(str::to_owned);
        let rows: Vec<[String; N]> = std::iter::once(&headings)
            .chain(rows)
            .map(|row| std::array::from_fn(|column| clean(&row[column])))
            .collect();
        let widths: [usize; N] =
            std::array::from_fn(|column| rows.iter().map(|row| row[column].width()).max().unwrap_or(0));
        let mut text = String::new();
        for row in &rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(widths) {
                line.push_str(cell);
                line.push_str(&" ".repeat(width.saturating_sub(cell.width()) + 2));
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        self.result(&text)
    }

    fn result(&self, text: &str) -> color_eyre::Result<()> {
        let mut results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        match results.write_all(text.as_bytes()).and_then(|()| results.flush()) {
            Err(err) if err.kind() == ErrorKind::BrokenPipe => Err(Closed.into()),
            written => Ok(written?),
        }
    }

    /// Says something that is no result. Where nobody hears it, there is nobody to tell.
    pub fn remark(&self, text: &str) {
        let mut remarks = self.remarks.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = remarks.write_all(format!("{}\n", telemetry::readable(text.trim_end())).as_bytes());
        let _ = remarks.flush();
    }

    /// Says what is wrong and what to do about it.
    pub fn finding(&self, finding: &Finding) {
        let level = match finding.level {
            Level::Note => "note",
            Level::Warning => "warning",
            Level::Error => "error",
        };
        self.remark(&format!("{level}: {}. {}.", finding.what, finding.fix));
    }

    /// Ends a verb: reports what failed, and gives the exit code.
    pub fn finish(&self, ended: color_eyre::Result<ExitCode>) -> ExitCode {
        match ended {
            Ok(code) => code,
            Err(report) if report.chain().any(<dyn std::error::Error>::is::<Closed>) => OK,
            Err(report) => {
                tracing::error!(report = %format!("{report:?}"), "failed");
                self.remark(&format!("error: {}", explained(&report)));
                if report.chain().any(|cause| cause.is::<Usage>() || cause.is::<ConfigError>()) {
                    ExitCode::from(USAGE)
                } else {
                    FAILED
                }
            }
        }
    }

    /// Prints what clap has to say (help, the version, or what is wrong with the command line), and gives the exit code.
    pub fn clap(&self, said: &clap::Error) -> ExitCode {
        let text = said.render().to_string();
        if said.use_stderr() {
            self.remark(&text);
            ExitCode::from(USAGE)
        } else {
            self.finish(self.text(&text).map(|()| OK))
        }
    }
}

/// What happened, why, and what to do next.
fn explained(report: &Report) -> String {
    let causes: Vec<String> = report.chain().map(ToString::to_string).collect();
    let mut text = causes.join("\n  because: ");
    // color-eyre gives its sections away in the full report only.
    for line in format!("{report:?}").lines() {
        if let Some(advice) = line.strip_prefix("Suggestion: ") {
            text.push_str("\n  next: ");
            text.push_str(advice);
        }
    }
    text
}

/// Tells a panic's report on standard error, for [`telemetry::install_hooks`].
pub fn tell(report: &str) {
    // Where it cannot be written, nobody could be told of that either.
    let _ = writeln!(io::stderr().lock(), "{report}");
}

#[cfg(test)]
mod tests;
