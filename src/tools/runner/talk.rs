//! The talk with a tool: what it writes is read, told to the desk, answered; until it ends, or is ended.
//!
//! Owns the order of things and the clock. Time in which the desk has the word is not the tool's. Must never believe a line, and never
//! let one without an end, a flood or a lie do more than fail the run.

use std::process::ExitStatus;
use std::time::Duration;

use secrecy::ExposeSecret;
use serde_json::{Map, Value};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::lines::Came;
use super::prepare::Prepared;
use super::process::{Happened, Running};
use super::{Attempt, error, stopped};
use crate::contracts::Untrusted;
use crate::contracts::messages::ErrorCode;
use crate::contracts::untrusted::sanitize_line;
use crate::telemetry::redact;
use crate::tools::contract::{Action, Answer, Desk, Line, Outcome, ToolError};
use crate::tools::manifest::Effect;
use crate::tools::sandbox::inside::{BROKEN, FAILED};
use crate::tools::schema;

/// Bytes of what it says for people, on each stream; what is beyond is left out and counted.
const SAID_LIMIT: u64 = 1 << 20;
/// So much beyond is a flood, and so are so many lines.
const FLOOD: u64 = 64 << 20;
const FLOOD_LINES: u64 = 200_000;
/// Events of one attempt.
const METRICS: u64 = 200_000;
/// How long it has after it was asked to end.
const GRACE: Duration = Duration::from_millis(900);
/// How long it has to end after its result.
const AFTER_RESULT: Duration = Duration::from_secs(5);
/// How long its output is still read after it has ended, where something else holds the pipe.
const AFTER_END: Duration = Duration::from_millis(300);
/// How long the desk has for what is under way when everything is to stop.
const DESK: Duration = Duration::from_millis(600);
/// Most characters of an action's key, kind and target.
const KEY_LIMIT: usize = 500;
/// Most characters of what a failure says.
const MESSAGE_LIMIT: usize = 600;

/// What happened next.
enum Next {
    Of(Happened),
    TimeIsUp,
    Stop,
}

/// A talk under way.
pub(super) struct Talk<'a> {
    it: &'a Prepared,
    desk: &'a mut dyn Desk,
    stop: &'a CancellationToken,
    result: Option<Value>,
    acted: bool,
    metrics: u64,
    /// Bytes said for people on standard output and error.
    said: [u64; 2],
    dropped: u64,
    dropped_lines: u64,
    /// The last line on standard error.
    last_words: String,
    /// Why it was asked to end.
    ending: Option<ToolError>,
    /// A last line without an end.
    half: Option<String>,
}

impl<'a> Talk<'a> {
    pub(super) fn new(it: &'a Prepared, desk: &'a mut dyn Desk, stop: &'a CancellationToken) -> Self {
        Self {
            it,
            desk,
            stop,
            result: None,
            acted: false,
            metrics: 0,
            said: [0; 2],
            dropped: 0,
            dropped_lines: 0,
            last_words: String::new(),
            ending: None,
            half: None,
        }
    }

    /// Talks until the tool has ended.
    pub(super) async fn with(mut self, mut running: Running, timeout: Duration) -> Attempt {
        running.give(self.it.input.expose_secret().as_bytes().to_vec());
        let (mut left, mut took) = (timeout, Duration::ZERO);
        let (mut was_asked, mut has_ended) = (false, false);
        loop {
            let began = Instant::now();
            let next = tokio::select! {
                biased;
                () = self.stop.cancelled(), if self.ending.is_none() => Next::Stop,
                happened = running.next() => Next::Of(happened),
                () = tokio::time::sleep(left) => Next::TimeIsUp,
            };
            took += began.elapsed();
            left = left.saturating_sub(began.elapsed());
            match next {
                Next::Of(Happened::Over) => break,
                Next::Of(Happened::Line(came)) => {
                    let had = self.result.is_some();
                    self.line(came, &mut running).await;
                    if self.result.is_some() && !had {
                        running.close();
                        left = left.min(AFTER_RESULT);
                    }
                }
                Next::Of(Happened::Said(came)) => self.hears(came).await,
                Next::Of(Happened::Ended) => {
                    has_ended = true;
                    left = left.min(AFTER_END);
                }
                Next::Of(Happened::TooMuch(why)) => self.end_it(ErrorCode::Tool, format!("it was ended: {why}")),
                Next::Stop => self.ending = Some(stopped(Map::new())),
                Next::TimeIsUp if was_asked || has_ended || self.result.is_some() => break,
                Next::TimeIsUp => {
                    self.end_it(ErrorCode::Timeout, format!("it took longer than {} s", self.it.timeout.as_secs_f64()));
                }
            }
            if self.ending.is_some() && !was_asked {
                was_asked = true;
                left = GRACE;
                running.ask_to_end().await;
            }
        }
        let (status, met) = running.end().await;
        self.finish(status, met, took)
    }

    /// From now on it is to end; the first reason counts.
    fn end_it(&mut self, code: ErrorCode, message: impl Into<String>) {
        self.ending.get_or_insert_with(|| error(code, message));
    }

    /// Hears a line on standard error.
    async fn hears(&mut self, came: Came) {
        match came {
            Came::Line { bytes, .. } => {
                let text = Untrusted::from_bytes(&bytes);
                let text = redact::known(text.raw()).into_owned();
                if !text.trim().is_empty() {
                    self.last_words = sanitize_line(&text, MESSAGE_LIMIT / 2);
                }
                self.says(1, text).await;
            }
            Came::TooLong(length) => self.drops(length),
            Came::End => {}
        }
    }

    /// Tells a text for people, as long as there are not too many.
    async fn says(&mut self, stream: usize, text: String) {
        let length = text.len() as u64;
        self.said[stream] += length;
        if self.said[stream] > SAID_LIMIT {
            return self.drops(length);
        }
        let told = self.desk.log(text.into());
        within(self.stop, told).await;
    }

    fn drops(&mut self, bytes: u64) {
        self.dropped += bytes;
        self.dropped_lines += 1;
        if self.dropped > FLOOD || self.dropped_lines > FLOOD_LINES {
            self.end_it(
                ErrorCode::Tool,
                format!(
                    "it was ended: it wrote {} MiB in {} lines that nobody reads",
                    self.dropped >> 20,
                    self.dropped_lines
                ),
            );
        }
    }

    /// Reads a line of standard output.
    async fn line(&mut self, came: Came, running: &mut Running) {
        let (bytes, is_whole) = match came {
            Came::Line { bytes, is_whole } => (bytes, is_whole),
            Came::TooLong(length) => {
                self.drops(length);
                return self.end_it(
                    ErrorCode::Tool,
                    format!("it was ended: it wrote a line of {length} bytes; at most 262144 are read"),
                );
            }
            Came::End => return,
        };
        let text = Untrusted::from_bytes(&bytes);
        let text = redact::known(text.raw());
        let line = serde_json::from_str::<Line>(text.trim());
        match line {
            _ if text.trim().is_empty() => {}
            Ok(line) if self.result.is_none() => self.takes(line, running).await,
            // After its result nothing counts.
            Ok(_) => self.drops(bytes.len() as u64),
            Err(_) => {
                if !is_whole && text.trim_start().starts_with('{') {
                    self.half = Some(sanitize_line(&text, 80));
                }
                // What it prints for people, or by mistake.
                self.says(0, text.into_owned()).await;
            }
        }
    }

    async fn takes(&mut self, line: Line, running: &mut Running) {
        match line {
            Line::Metric(mut event) => {
                self.metrics += 1;
                if self.metrics > METRICS {
                    return self.end_it(ErrorCode::Tool, format!("it was ended: it said more than {METRICS} events"));
                }
                // The same number when it is run again, so that what it says again counts once.
                let run = &self.it.run;
                event.entry("id").or_insert_with(|| format!("{}:{}:{}", run.run_id, run.step, self.metrics).into());
                self.acted = true;
                let told = self.desk.metric(event);
                within(self.stop, told).await;
            }
            Line::Progress(progress) => {
                let told = self.desk.progress(progress);
                within(self.stop, told).await;
            }
            Line::Log(text) => {
                let text = text.raw().to_owned();
                self.says(0, text).await;
            }
            Line::Action(action) => {
                if let Some(answer) = self.answers(&action).await {
                    running.give(answer.as_str().as_bytes().to_vec());
                }
            }
            Line::Done(done) => {
                let told = self.desk.done(done);
                within(self.stop, told).await;
            }
            Line::Result(result) => self.result = Some(result),
        }
    }

    /// What it is answered that wants to act; none where it asks what it may not.
    async fn answers(&mut self, action: &Action) -> Option<Answer> {
        if self.it.tool.manifest.effect != Effect::Outward {
            let effect = self.it.tool.manifest.effect.as_str();
            self.end_it(
                ErrorCode::Tool,
                format!("it was ended: it wants to act outward, and its manifest says `effect = \"{effect}\"`"),
            );
            return None;
        }
        let is_text =
            |text: &str| !text.is_empty() && text.chars().count() <= KEY_LIMIT && !text.chars().any(char::is_control);
        if ![&action.key, &action.kind, &action.target].into_iter().all(|text| is_text(text)) {
            self.end_it(
                ErrorCode::Tool,
                "it was ended: it asks for an act whose key, kind or target is empty, too long or no line of text",
            );
            return None;
        }
        if self.ending.is_some() {
            return Some(Answer::Stop);
        }
        let answer = tokio::select! {
            biased;
            () = self.stop.cancelled() => Answer::Stop,
            answer = self.desk.asked(action) => answer,
        };
        self.acted |= answer == Answer::Go;
        Some(answer)
    }

    /// What came of it.
    fn finish(mut self, status: Option<ExitStatus>, met: Option<String>, took: Duration) -> Attempt {
        let ended = self.ending.take();
        let result = match ended {
            Some(err) => Err(err),
            None => self.judged(status),
        };
        let partial = || match &self.result {
            Some(Value::Object(fields)) => fields.clone(),
            Some(Value::Array(items)) => Map::from_iter([("items".to_owned(), items.len().into())]),
            Some(other) => Map::from_iter([("value".to_owned(), other.clone())]),
            None => Map::new(),
        };
        let result = result.map_err(|err| {
            let met = met.map(|met| format!("; {met}")).unwrap_or_default();
            let message = format!("the tool `{}` failed: {}{met}", self.it.tool.manifest.name, err.message);
            ToolError { message, partial: partial(), ..err }
        });
        Attempt { outcome: Outcome { result, took, dropped: self.dropped }, acted: self.acted }
    }

    /// What its exit and its result say.
    fn judged(&self, status: Option<ExitStatus>) -> Result<Value, ToolError> {
        let fault = |message: String| Err(error(ErrorCode::Tool, message));
        let words = if self.last_words.is_empty() { String::new() } else { format!(": {}", self.last_words) };
        let code = status.and_then(|status| status.code());
        let broke = self.last_words.strip_prefix(FAILED);
        if let (Some(why), true) = (broke, code == Some(i32::from(BROKEN))) {
            return fault(format!("it was not started: {why}"));
        }
        // One that had said its result, and was ended because it stayed, is taken at its word.
        let was_ended =
            self.result.is_some() && status.is_none_or(|status| status.code().is_none_or(|code| code == 128 + 9));
        if !status.is_some_and(|status| status.success()) && !was_ended {
            return fault(format!("{}{words}", ending(status)));
        }
        let Some(result) = &self.result else {
            let half = self.half.as_ref().map(|half| format!("; its last line has no end: {half}")).unwrap_or_default();
            return fault(format!("it ended without a result{half}{words}"));
        };
        if result.get("success") == Some(&Value::Bool(false)) {
            let said = |name: &str| result.get(name).and_then(Value::as_str);
            let code = result.get("code").and_then(|code| serde_json::from_value(code.clone()).ok());
            let message =
                sanitize_line(said("error").or_else(|| said("message")).unwrap_or("it says so itself"), MESSAGE_LIMIT);
            return Err(error(code.unwrap_or(ErrorCode::Tool), message));
        }
        match schema::check(result, &self.it.tool.manifest.outputs) {
            Ok(()) => Ok(result.clone()),
            Err(faults) => fault(format!("its result is not what its manifest says: {}", faults.join("; "))),
        }
    }
}

/// How it ended, in words. A wrapper gives a signal as 128 and its number.
fn ending(status: Option<ExitStatus>) -> String {
    use std::os::unix::process::ExitStatusExt;
    let Some(status) = status else { return "it did not end".to_owned() };
    let signal =
        status.signal().or_else(|| status.code().filter(|code| (129..=160).contains(code)).map(|code| code - 128));
    match signal {
        Some(24) => "it used more of a processor than it may (SIGXCPU)".to_owned(),
        Some(25) => "it wrote a larger file than it may (SIGXFSZ)".to_owned(),
        Some(signal) => {
            let name = nix::sys::signal::Signal::try_from(signal).map_or("a signal", nix::sys::signal::Signal::as_str);
            format!("it was ended by {name}")
        }
        None => format!("it ended with exit code {}", status.code().unwrap_or_default()),
    }
}

/// Waits for the desk; not much longer when everything is to stop.
async fn within(stop: &CancellationToken, told: impl Future<Output = ()>) {
    let late = async {
        stop.cancelled().await;
        tokio::time::sleep(DESK).await;
    };
    tokio::select! {
        biased;
        () = told => {}
        () = late => {}
    }
}
