//! The desk of a tool that a person runs: what it says is shown, and what it asks is asked.

use std::io::{self, IsTerminal};

use async_trait::async_trait;
use serde_json::{Map, Value};

use crate::cli::output::Output;
use crate::contracts::Untrusted;
use crate::contracts::untrusted::sanitize_line;
use crate::experiments::spec::Mode;
use crate::tools::contract::{ActOutcome, Action, ActionDone, Answer, Desk, Progress};

/// Characters of a line.
const LIMIT: usize = 300;
/// Events that are kept for the result.
const KEPT: usize = 10_000;

/// Shows and asks on the terminal.
pub(super) struct TerminalDesk<'a> {
    out: &'a Output,
    mode: Mode,
    /// The answers of a test, in order; none for asking.
    script: Option<Vec<Answer>>,
    /// What it said that happened.
    pub(super) metrics: Vec<Map<String, Value>>,
    shown: Option<String>,
}

impl<'a> TerminalDesk<'a> {
    pub(super) fn new(out: &'a Output, mode: Mode) -> Self {
        Self { out, mode, script: None, metrics: Vec::new(), shown: None }
    }

    /// One that says nothing, and answers by this script, then `go`.
    pub(super) fn scripted(out: &'a Output, mode: Mode, script: Vec<Answer>) -> Self {
        Self { script: Some(script), ..Self::new(out, mode) }
    }

    fn say(&self, text: &str) {
        if self.script.is_none() {
            self.out.remark(text);
        }
    }
}

#[async_trait]
impl Desk for TerminalDesk<'_> {
    async fn metric(&mut self, event: Map<String, Value>) {
        let line = sanitize_line(&Value::Object(event.clone()).to_string(), LIMIT);
        self.say(&format!("event     {line}"));
        if self.metrics.len() < KEPT {
            self.metrics.push(event);
        }
    }

    async fn progress(&mut self, progress: Progress) {
        let of = progress.total.map(|total| format!(" of {total}")).unwrap_or_default();
        let message = progress.message.map(|message| message.line(LIMIT)).unwrap_or_default();
        let line = format!("progress  {}{of}  {message}", progress.done);
        if self.shown.as_ref() != Some(&line) {
            self.say(line.trim_end());
            self.shown = Some(line);
        }
    }

    async fn log(&mut self, text: Untrusted) {
        self.say(&format!("says      {}", text.line(LIMIT)));
    }

    async fn asked(&mut self, action: &Action) -> Answer {
        let line = sanitize_line(&format!("{} to {} ({})", action.kind, action.target, action.key), LIMIT);
        if let Some(script) = &mut self.script {
            return if script.is_empty() { Answer::Go } else { script.remove(0) };
        }
        if self.mode != Mode::Live {
            self.say(&format!("go        {line}: {}, nothing goes out", self.mode));
            return Answer::Go;
        }
        if !io::stdin().is_terminal() {
            self.say(&format!("stop      {line}: nobody is here to say yes"));
            return Answer::Stop;
        }
        self.say(&format!("It wants to act: {line}\nfor real? [y]es, [s]kip this one, anything else stops it:"));
        let typed = tokio::task::spawn_blocking(|| {
            let mut typed = String::new();
            io::stdin().read_line(&mut typed).map(|_| typed)
        });
        match typed.await {
            Ok(Ok(typed)) => match typed.trim() {
                "y" | "yes" => Answer::Go,
                "s" | "skip" => Answer::Skip,
                _ => Answer::Stop,
            },
            _ => Answer::Stop,
        }
    }

    async fn done(&mut self, done: ActionDone) {
        let key = sanitize_line(&done.key, LIMIT);
        let error = done.error.map(|error| format!(": {}", error.line(LIMIT))).unwrap_or_default();
        let word = match done.outcome {
            ActOutcome::Done => "done    ",
            ActOutcome::Failed => "not done",
            ActOutcome::Later => "not now ",
            ActOutcome::Unknown => "unknown ",
        };
        self.say(&format!("{word}  {key}{error}"));
    }
}
