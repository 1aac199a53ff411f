//! The runner: runs one tool, shut in, and speaks with it.
//!
//! Owns a call from its parameters to its outcome: they are checked, secrets and places gathered, the tool is started in the sandbox, what
//! it writes is handed to a [`Desk`], and whatever happens it is ended within two seconds with all that came of it. Must never decide
//! whether a tool may act (the desk does), never give it anything that its manifest does not name, and never leave a process behind.

mod lines;
mod prepare;
mod process;
mod talk;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Map;
use tokio_util::sync::CancellationToken;

use self::prepare::Prepared;
pub(crate) use self::prepare::folder_name;
use super::contract::{Call, Desk, Outcome, ToolError};
use super::registry::{NoTool, Registry, Tool};
use super::sandbox::Sandbox;
use super::secrets::Secrets;
use crate::bus::backoff::Backoff;
use crate::contracts::messages::ErrorCode;

/// How long a tool may take, and how often what is only passing is tried again.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long a tool may take, all attempts together, where neither the call nor its manifest says.
    pub timeout: Duration,
    /// Attempts, the first included.
    pub attempts: u32,
    /// The first range that a pause between two is drawn from.
    pub pause: Duration,
    /// The widest.
    pub longest_pause: Duration,
}

impl Default for Limits {
    /// Those of the founding design.
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { timeout: seconds(300), attempts: 3, pause: seconds(1), longest_pause: seconds(30) }
    }
}

/// What a runner is made of.
pub struct RunnerParts {
    /// Which tools there are.
    pub registry: Registry,
    /// What they may be told.
    pub secrets: Secrets,
    /// How they are shut in.
    pub sandbox: Arc<Sandbox>,
    /// The folder of the work folders: one a run and step, which stays when the run has ended.
    pub work: PathBuf,
    /// Folders and files that no parameter may name: the program's own.
    pub forbidden: Vec<PathBuf>,
    /// Times.
    pub limits: Limits,
    /// For pauses and names of sockets.
    pub rng: fastrand::Rng,
}

/// Runs tools. Cheap to clone.
///
/// A tool ends with the thread that started it: call it from a runtime with threads that last (a worker, not one for blocking work).
#[derive(Clone)]
pub struct Runner {
    parts: Arc<RunnerParts>,
    rng: Arc<Mutex<fastrand::Rng>>,
}

impl std::fmt::Debug for Runner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runner").field("registry", &self.parts.registry).finish_non_exhaustive()
    }
}

/// How one attempt ended.
struct Attempt {
    outcome: Outcome,
    /// Whether it was told to act, or said what counts: doing it again would do it twice.
    acted: bool,
}

impl Runner {
    /// Of these parts.
    pub fn new(mut parts: RunnerParts) -> Self {
        let rng = Arc::new(Mutex::new(parts.rng.fork()));
        Self { parts: Arc::new(parts), rng }
    }

    /// Which tools there are.
    pub fn registry(&self) -> &Registry {
        &self.parts.registry
    }

    /// How tools are shut in.
    pub fn sandbox(&self) -> &Sandbox {
        &self.parts.sandbox
    }

    /// The work folder of a run's step.
    pub fn work_folder(&self, run: &str, step: &str) -> PathBuf {
        self.parts.work.join(folder_name(run)).join(folder_name(step))
    }

    /// Runs the tool that a call names. Ends within two seconds of `stop`.
    pub async fn run(&self, call: Call, desk: &mut dyn Desk, stop: CancellationToken) -> Outcome {
        let registry = self.parts.registry.clone();
        let name = call.tool.clone();
        let found = tokio::task::spawn_blocking(move || registry.find(&name)).await;
        let tool = match found {
            Ok(Ok(tool)) => tool,
            Ok(Err(err)) => return failed(no_tool(&err), Duration::ZERO),
            Err(err) => {
                return failed(error(ErrorCode::Tool, format!("the tool cannot be looked for: {err}")), Duration::ZERO);
            }
        };
        self.run_tool(tool, call, desk, stop).await
    }

    /// Runs a tool that is in no registry, or was taken out of one before.
    pub async fn run_tool(&self, tool: Tool, call: Call, desk: &mut dyn Desk, stop: CancellationToken) -> Outcome {
        let prepared = match self.prepare(tool, call).await {
            Ok(prepared) => prepared,
            Err(err) => return failed(err, Duration::ZERO),
        };
        let limits = self.parts.limits;
        let mut backoff = Backoff::new(limits.pause, limits.longest_pause, self.rng());
        let (mut spent, mut dropped) = (Duration::ZERO, 0);
        for attempt in 1.. {
            let Attempt { mut outcome, acted } = self.attempt(&prepared, spent, desk, &stop).await;
            spent += outcome.took;
            dropped += outcome.dropped;
            outcome.took = spent;
            outcome.dropped = dropped;
            let Err(err) = &mut outcome.result else { return outcome };
            if err.code != ErrorCode::Transient {
                return outcome;
            }
            let is_safe = prepared.tool.manifest.idempotent || !acted;
            let pause = backoff.next_delay();
            if !is_safe {
                err.message.push_str("; it is not tried again, because it had begun to act");
                return outcome;
            }
            if attempt >= limits.attempts || spent + pause >= prepared.timeout {
                err.code = ErrorCode::Exhausted;
                err.message = format!("after {attempt} attempts: {}", err.message);
                return outcome;
            }
            let told = format!(
                "attempt {attempt} failed ({}); the next one comes after {} ms",
                err.message,
                pause.as_millis()
            );
            desk.log(told.into()).await;
            tokio::select! {
                biased;
                () = stop.cancelled() => return failed(stopped(std::mem::take(&mut err.partial)), spent),
                () = tokio::time::sleep(pause) => {}
            }
        }
        failed(error(ErrorCode::Exhausted, "no attempt is left"), spent)
    }

    async fn attempt(&self, it: &Prepared, spent: Duration, desk: &mut dyn Desk, stop: &CancellationToken) -> Attempt {
        let refused = |err: ToolError| Attempt { outcome: failed(err, Duration::ZERO), acted: false };
        if stop.is_cancelled() {
            return refused(stopped(Map::new()));
        }
        let dialler = match self.dialler(it) {
            Ok(dialler) => dialler,
            Err(err) => {
                return refused(error(ErrorCode::Transient, format!("the tool's network cannot be made: {err}")));
            }
        };
        let plan = it.plan(dialler.as_ref().map(super::sandbox::dial::Dialler::folder));
        let shut = match self.parts.sandbox.command(&plan).await {
            Ok(shut) => shut,
            Err(err) => return refused(error(ErrorCode::Tool, err.to_string())),
        };
        let running = match process::Running::start(shut, &it.work) {
            Ok(running) => running,
            Err(err) => return refused(error(ErrorCode::Transient, format!("the tool cannot be started: {err}"))),
        };
        let timeout = it.timeout.saturating_sub(spent);
        let mut attempt = talk::Talk::new(it, desk, stop).with(running, timeout).await;
        if let (Some(dialler), Err(err)) = (&dialler, &mut attempt.outcome.result) {
            let troubles = dialler.places.troubles();
            for said in &troubles.said {
                err.message.push_str("; ");
                err.message.push_str(said);
            }
            // A tool of few words ends with 1 where a server does not answer.
            if troubles.unreachable && err.code == ErrorCode::Tool {
                err.code = ErrorCode::Transient;
            }
        }
        attempt
    }

    fn dialler(&self, it: &Prepared) -> std::io::Result<Option<super::sandbox::dial::Dialler>> {
        if it.hosts.is_empty() {
            return Ok(None);
        }
        let name = format!("{}-{:012x}", std::process::id(), self.rng().u64(..1 << 48));
        let private = &self.parts.sandbox.options().allow_private;
        super::sandbox::dial::Dialler::open(&name, &it.hosts, private).map(Some)
    }

    fn rng(&self) -> fastrand::Rng {
        self.rng.lock().unwrap_or_else(PoisonError::into_inner).fork()
    }
}

fn no_tool(err: &NoTool) -> ToolError {
    let code = match err {
        NoTool::Missing { .. } => ErrorCode::NotFound,
        NoTool::BadName(_) => ErrorCode::InvalidParams,
        NoTool::Broken { .. } => ErrorCode::Tool,
    };
    error(code, err.to_string())
}

fn error(code: ErrorCode, message: impl Into<String>) -> ToolError {
    ToolError { code, message: message.into(), partial: Map::new() }
}

fn stopped(partial: Map<String, serde_json::Value>) -> ToolError {
    ToolError { code: ErrorCode::Cancelled, message: "it was stopped".to_owned(), partial }
}

fn failed(err: ToolError, took: Duration) -> Outcome {
    Outcome { result: Err(err), took, dropped: 0 }
}
