//! The one place that writes to the terminal.
//!
//! What leaves here holds no control characters but line breaks, and errors hold no secrets. Must never decide what is said:
//! verbs do. A reader that goes away (`| head`) ends the program quietly: see [`Closed`].

use std::fmt;
use std::io::{self, ErrorKind, IsTerminal, Write};
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
    /// Columns of the terminal that shows the results; none where nobody looks on.
    width: Option<usize>,
    results: Mutex<Box<dyn Write + Send>>,
    remarks: Mutex<Box<dyn Write + Send>>,
}

impl Output {
    /// Standard output and standard error. With `json`, verbs print JSON (see [`Output::is_json`]).
    pub fn standard(json: bool) -> Self {
        let stdout = io::stdout();
        let size = if stdout.is_terminal() { terminal_size::terminal_size_of(&stdout) } else { None };
        let width = size.map(|(width, _)| usize::from(width.0));
        Self { width, ..Self::to(json, Box::new(stdout), Box::new(io::stderr())) }
    }

    /// Somewhere else, for tests.
    pub fn to(json: bool, results: Box<dyn Write + Send>, remarks: Box<dyn Write + Send>) -> Self {
        Self { json, width: None, results: Mutex::new(results), remarks: Mutex::new(remarks) }
    }

    /// The same on a terminal of so many columns.
    #[must_use]
    pub fn within(self, width: usize) -> Self {
        Self { width: Some(width), ..self }
    }

    /// Columns of the terminal that shows the results; none where they go to a file or a program, which gets all.
    pub fn width(&self) -> Option<usize> {
        self.width
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
        self.result(&aligned(headings, rows))
    }

    /// Prints rows in aligned columns; where they are wider than the terminal, the `narrow` ones instead, which leave out what can
    /// be missed. Returns whether these were printed.
    ///
    /// # Errors
    /// [`Closed`], or why it cannot be written.
    pub fn table_that_fits<const N: usize, const M: usize>(
        &self,
        (headings, rows): ([&str; N], &[[String; N]]),
        narrow: impl FnOnce() -> ([&'static str; M], Vec<[String; M]>),
    ) -> color_eyre::Result<bool> {
        let text = aligned(headings, rows);
        if self.width.is_none_or(|width| text.lines().all(|line| line.width() <= width)) {
            return self.result(&text).map(|()| false);
        }
        let (headings, rows) = narrow();
        self.result(&aligned(headings, &rows)).map(|()| true)
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

    /// Says something that is no result, as one line of JSON.
    fn remark_json(&self, value: &impl Serialize) {
        let json = serde_json::to_string(value).unwrap_or_default();
        let clean = redact::visible_json(&redact::redact(&json));
        let mut remarks = self.remarks.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = remarks.write_all(format!("{clean}\n").as_bytes());
        let _ = remarks.flush();
    }

    /// Says what is wrong and what to do about it.
    pub fn finding(&self, finding: &Finding) {
        if self.json {
            return self.remark_json(finding);
        }
        let level = match finding.level {
            Level::Note => "note",
            Level::Warning => "warning",
            Level::Error => "error",
        };
        self.remark(&format!("{level}: {}. {}.", finding.what, finding.fix));
    }

    /// Says that something has failed without ending the verb.
    pub fn error(&self, what: &str) {
        self.failure(&Failure { error: what.to_owned(), ..Failure::default() });
    }

    fn failure(&self, failure: &Failure) {
        if self.json {
            self.remark_json(failure);
        } else {
            self.remark(&failure.to_string());
        }
    }

    /// Ends a verb: reports what failed, and gives the exit code.
    pub fn finish(&self, ended: color_eyre::Result<ExitCode>) -> ExitCode {
        match ended {
            Ok(code) => code,
            Err(report) if report.chain().any(<dyn std::error::Error>::is::<Closed>) => OK,
            Err(report) => {
                tracing::error!(report = %format!("{report:?}"), "failed");
                self.failure(&Failure::of(&report));
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
            match text.strip_prefix("error: ") {
                Some(error) if self.json => {
                    let mut lines = error.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned);
                    let error = lines.next().unwrap_or_default();
                    self.failure(&Failure { error, hints: lines.collect(), ..Failure::default() });
                }
                _ => self.remark(&text),
            }
            ExitCode::from(USAGE)
        } else {
            self.finish(self.text(&text).map(|()| OK))
        }
    }
}

/// What happened, why, and what to do next.
#[derive(Debug, Default, Serialize)]
struct Failure {
    error: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    causes: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hints: Vec<String>,
}

impl Failure {
    fn of(report: &Report) -> Self {
        if let Some(ConfigError { problems }) = report.chain().find_map(|cause| cause.downcast_ref()) {
            return Self {
                error: ConfigError::WHAT.to_owned(),
                causes: problems.iter().map(ToString::to_string).collect(),
                hints: vec![ConfigError::HINT.to_owned()],
            };
        }
        let mut causes = report.chain().map(ToString::to_string);
        let error = causes.next().unwrap_or_default();
        // color-eyre gives its sections away in the full report only.
        let full = format!("{report:?}");
        let hints = full.lines().filter_map(|line| line.strip_prefix("Suggestion: ")).map(str::to_owned);
        Self { error, causes: causes.collect(), hints: hints.collect() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.error)?;
        self.causes.iter().try_for_each(|cause| write!(f, "\n  because: {cause}"))?;
        self.hints.iter().try_for_each(|hint| write!(f, "\n  next: {hint}"))
    }
}

/// Rows in aligned columns below their headings.
fn aligned<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> String {
    let clean = |cell: &str| redact::visible(&cell.replace(['\n', '\t'], " "));
    let headings = headings.map(str::to_owned);
    let rows: Vec<[String; N]> =
        std::iter::once(&headings).chain(rows).map(|row| std::array::from_fn(|column| clean(&row[column]))).collect();
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
    text
}

/// Tells a panic's report on standard error, for [`telemetry::install_hooks`].
pub fn tell(report: &str) {
    // Where it cannot be written, nobody could be told of that either.
    let _ = writeln!(io::stderr().lock(), "{report}");
}

#[cfg(test)]
mod tests;
