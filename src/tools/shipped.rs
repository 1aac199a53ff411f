//! The tools that we ship: subcommands of the program itself, so that nothing needs installing.
//!
//! Owns their side of the contract: reading the input, writing lines, asking before each outward act. Each is run as a program like any
//! other (the hidden verb `fullsend tool NAME`), with no more than its manifest says. Must never reach anybody without having asked, and
//! never read anything of the system: no bus, no home, no settings.

mod conditions;
mod csv_leads;
mod email_replies;
mod email_send;
mod github_stargazers;
mod hn_who_is_hiring;
mod html;
mod http;
mod message_id;
mod refusal;
mod simulated_audience;
#[cfg(test)]
mod testing;
mod web_page;
mod webhook_post;

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _};

pub use csv_leads::{Leads, leads};

use super::contract::{ActOutcome, Action, ActionDone, Answer, Input, Line, Progress};
use crate::contracts::messages::ErrorCode;
use crate::contracts::untrusted::sanitize_line;
use crate::contracts::{Clock, SystemClock, Untrusted};
use crate::experiments::spec::Mode;

/// Most bytes of the input.
const INPUT_LIMIT: u64 = 32 * 1_024 * 1_024;
/// Most bytes of the rows of a result: it is one line, and becomes part of a document.
const ROWS_LIMIT: usize = 236 * 1_024;
/// Most characters of what a tool says of itself.
const SAID_LIMIT: usize = 500;

macro_rules! shipped {
    ($( $name:ident $(. $waits:tt)? );+ $(;)?) => {
        /// The shipped tools, by name, with their manifests.
        pub const MANIFESTS: &[(&str, &str)] =
            &[$( (stringify!($name), include_str!(concat!("shipped/", stringify!($name), ".toml"))) ),+];

        async fn dispatch(name: &str, job: &mut Job) -> Option<Result<Map<String, Value>, Failed>> {
            match name {
                $( stringify!($name) => Some($name::run(job)$(.$waits)?), )+
                _ => None,
            }
        }
    };
}

shipped! {
    csv_leads;
    email_replies;
    email_send.await;
    github_stargazers.await;
    hn_who_is_hiring.await;
    simulated_audience.await;
    web_page.await;
    webhook_post.await;
}

/// Why a tool failed.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
struct Failed {
    /// The kind of error.
    code: ErrorCode,
    /// What happened, to what, what next.
    message: String,
    /// What it had until then.
    partial: Map<String, Value>,
}

impl Failed {
    fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), partial: Map::new() }
    }

    fn params(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidParams, message)
    }

    fn with(mut self, partial: Map<String, Value>) -> Self {
        self.partial = partial;
        self
    }
}

/// A tool at work: what it was given, and whoever runs it.
struct Job {
    input: Input,
    clock: Arc<dyn Clock>,
    answers: Box<dyn AsyncBufRead + Send + Unpin>,
    out: Box<dyn Write + Send>,
}

impl Job {
    /// Reads the first line.
    async fn open(
        mut answers: Box<dyn AsyncBufRead + Send + Unpin>,
        out: Box<dyn Write + Send>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, (Failed, Box<dyn Write + Send>)> {
        let mut line = String::new();
        let read = (&mut answers).take(INPUT_LIMIT).read_line(&mut line).await;
        let input = match read {
            Ok(0) => Err("nothing came on its standard input; a tool is run by `fullsend tools run NAME`".to_owned()),
            Ok(_) => serde_json::from_str(&line).map_err(|err| format!("its input is no input of a tool: {err}")),
            Err(err) => Err(format!("its input cannot be read: {err}")),
        };
        match input {
            Ok(input) => Ok(Self { input, clock, answers, out }),
            Err(why) => Err((Failed::params(why), out)),
        }
    }

    /// Its parameters; what they should be is also in its manifest.
    fn params<P: DeserializeOwned>(&self) -> Result<P, Failed> {
        serde_path_to_error::deserialize(Value::Object(self.input.params.clone())).map_err(|err| {
            let at = err.path().to_string();
            let place = if at == "." { String::new() } else { format!("parameter `{at}`: ") };
            Failed::params(sanitize_line(&format!("{place}{}", err.inner()), SAID_LIMIT))
        })
    }

    /// A secret, where it was given.
    fn secret(&self, name: &str) -> Option<&str> {
        self.input.secrets.get(name).map(String::as_str).filter(|secret| !secret.is_empty())
    }

    /// Whether it may reach anybody.
    fn is_live(&self) -> bool {
        self.input.run.mode == Mode::Live
    }

    fn write(&mut self, line: &Line) -> Result<(), Failed> {
        write_line(&mut *self.out, line)
    }

    /// Something happened.
    fn metric(&mut self, event: Value) -> Result<(), Failed> {
        let Value::Object(event) = event else { return Ok(()) };
        self.write(&Line::Metric(event))
    }

    /// It is so far.
    fn progress(&mut self, done: u64, total: Option<u64>, message: &str) -> Result<(), Failed> {
        let message = (!message.is_empty()).then(|| Untrusted::from(sanitize_line(message, SAID_LIMIT).as_str()));
        self.write(&Line::Progress(Progress { done, total, message }))
    }

    /// Something for people to read.
    fn log(&mut self, text: &str) -> Result<(), Failed> {
        self.write(&Line::Log(sanitize_line(text, SAID_LIMIT).as_str().into()))
    }

    /// Asks before an outward act. Nobody there to answer means stop.
    async fn ask(&mut self, action: Action) -> Result<Answer, Failed> {
        self.write(&Line::Action(action))?;
        let mut word = String::new();
        match (&mut self.answers).take(64).read_line(&mut word).await {
            Ok(_) => Ok(Answer::read(&word)),
            Err(_) => Ok(Answer::Stop),
        }
    }

    /// It has acted.
    fn done(&mut self, key: &str, receipt: &str) -> Result<(), Failed> {
        let receipt = Some(Untrusted::from(sanitize_line(receipt, SAID_LIMIT).as_str()));
        self.write(&Line::Done(ActionDone { key: key.to_owned(), outcome: ActOutcome::Done, error: None, receipt }))
    }

    /// It tried to, and this became of it.
    fn not_done(&mut self, key: &str, outcome: ActOutcome, why: &str) -> Result<(), Failed> {
        let error = Some(Untrusted::from(sanitize_line(why, SAID_LIMIT).as_str()));
        self.write(&Line::Done(ActionDone { key: key.to_owned(), outcome, error, receipt: None }))
    }
}

fn write_line(out: &mut dyn Write, line: &Line) -> Result<(), Failed> {
    let gone = |why: String| Failed::new(ErrorCode::Cancelled, format!("nobody reads what it says: {why}"));
    let mut text = serde_json::to_vec(line).map_err(|err| gone(err.to_string()))?;
    text.push(b'\n');
    out.write_all(&text).and_then(|()| out.flush()).map_err(|err| gone(err.to_string()))
}

/// Rows as far as they fit into a result, and how many did not.
fn fit(rows: Vec<Map<String, Value>>) -> (Vec<Value>, usize) {
    let (mut kept, mut size, all) = (Vec::new(), 0, rows.len());
    for row in rows {
        let row = Value::Object(row);
        size += row.to_string().len() + 1;
        if size > ROWS_LIMIT {
            break;
        }
        kept.push(row);
    }
    let left_out = all - kept.len();
    (kept, left_out)
}

/// The object of a `json!`.
fn object(value: Value) -> Map<String, Value> {
    if let Value::Object(fields) = value { fields } else { Map::new() }
}

/// The last line.
fn result_line(came: Result<Map<String, Value>, Failed>) -> Line {
    Line::Result(Value::Object(match came {
        Ok(result) => result,
        Err(failed) => {
            let mut result = failed.partial;
            result.insert("success".to_owned(), json!(false));
            result.insert("error".to_owned(), json!(sanitize_line(&failed.message, SAID_LIMIT)));
            result.insert("code".to_owned(), json!(failed.code));
            result
        }
    }))
}

/// Runs the shipped tool of this name on standard input and output. It ends with 0 where it could say what came of it.
pub fn run(name: &str) -> ExitCode {
    // A tool is a process of its own: its one thread waits for one thing at a time.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(err) => {
            let _ = writeln!(io::stderr(), "the tool cannot be started: {err}");
            return ExitCode::FAILURE;
        }
    };
    let answers = Box::new(tokio::io::BufReader::new(tokio::io::stdin()));
    let ended = runtime.block_on(work(name, answers, Box::new(io::stdout()), Arc::new(SystemClock)));
    // Somebody may still hold standard input open.
    runtime.shutdown_background();
    if ended { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Does it, and says what came of it. False where that could not be said.
pub(crate) async fn work(
    name: &str,
    answers: Box<dyn AsyncBufRead + Send + Unpin>,
    out: Box<dyn Write + Send>,
    clock: Arc<dyn Clock>,
) -> bool {
    let (came, mut out) = match Job::open(answers, out, clock).await {
        Err((failed, out)) => (Err(failed), out),
        Ok(mut job) => {
            let unknown = || Failed::new(ErrorCode::NotFound, format!("no tool `{name}` is shipped"));
            let came = dispatch(name, &mut job).await.unwrap_or_else(|| Err(unknown()));
            (came, job.out)
        }
    };
    write_line(&mut *out, &result_line(came)).is_ok()
}

#[cfg(test)]
mod tests;
