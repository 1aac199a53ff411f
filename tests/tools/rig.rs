//! A home with tools that a test writes, a runner for them, and a desk that notes everything.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fullsend::contracts::Untrusted;
use fullsend::experiments::spec::Mode;
use fullsend::tools::contract::{Action, ActionDone, Answer, Call, Desk, Outcome, Progress, RunContext, ToolError};
use fullsend::tools::manifest::HostPort;
use fullsend::tools::registry::Registry;
use fullsend::tools::runner::{Limits, Runner, RunnerParts};
use fullsend::tools::sandbox::{Options, Sandbox};
use fullsend::tools::secrets::Secrets;
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// Notes what a tool says, and answers as it is told to.
pub(crate) struct Notes {
    pub(crate) metrics: Vec<Map<String, Value>>,
    pub(crate) progress: Vec<Progress>,
    pub(crate) logs: Vec<String>,
    pub(crate) asked: Vec<Action>,
    pub(crate) done: Vec<ActionDone>,
    pub(crate) answers: Vec<Answer>,
    /// How long an answer takes.
    pub(crate) thinks: Duration,
    /// Cancelled at the first log line with this text.
    pub(crate) stop_at: Option<(&'static str, CancellationToken)>,
}

impl Default for Notes {
    fn default() -> Self {
        Self {
            metrics: Vec::new(),
            progress: Vec::new(),
            logs: Vec::new(),
            asked: Vec::new(),
            done: Vec::new(),
            answers: vec![Answer::Go; 100],
            thinks: Duration::ZERO,
            stop_at: None,
        }
    }
}

#[async_trait]
impl Desk for Notes {
    async fn metric(&mut self, event: Map<String, Value>) {
        self.metrics.push(event);
    }

    async fn progress(&mut self, progress: Progress) {
        self.progress.push(progress);
    }

    async fn log(&mut self, text: Untrusted) {
        if let Some((at, stop)) = &self.stop_at
            && text.raw().contains(at)
        {
            stop.cancel();
        }
        if self.logs.len() < 1_000 {
            self.logs.push(text.raw().to_owned());
        }
    }

    async fn asked(&mut self, action: &Action) -> Answer {
        self.asked.push(action.clone());
        if !self.thinks.is_zero() {
            tokio::time::sleep(self.thinks).await;
        }
        if self.answers.is_empty() { Answer::Stop } else { self.answers.remove(0) }
    }

    async fn done(&mut self, done: ActionDone) {
        self.done.push(done);
    }
}

/// A home with tools.
pub(crate) struct Rig {
    pub(crate) home: TempDir,
    pub(crate) runner: Runner,
    pub(crate) notes: Notes,
    pub(crate) stop: CancellationToken,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    /// With these changes of how tools are shut in.
    pub(crate) fn with(change: impl FnOnce(&mut Options)) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut options = Options {
            program: PathBuf::from(env!("CARGO_BIN_EXE_fullsend")),
            unsandboxed: false,
            allow_private: Vec::new(),
        };
        change(&mut options);
        let variable = |name: &str| (name == "FROM_ENV").then(|| "secret-of-the-environment".to_owned());
        let secrets = Secrets::new(home.path(), Vec::new(), Arc::new(variable));
        secrets.set("API_KEY", "secret-of-the-file-0123").unwrap();
        let ms = Duration::from_millis;
        let runner = Runner::new(RunnerParts {
            registry: Registry::new(home.path().join("tools"), &[]),
            secrets,
            sandbox: Arc::new(Sandbox::new(options)),
            work: home.path().join("work"),
            forbidden: vec![home.path().to_owned()],
            limits: Limits { pause: ms(1), longest_pause: ms(5), ..Limits::default() },
            rng: fastrand::Rng::new(),
        });
        Self { home, runner, notes: Notes::default(), stop: CancellationToken::new() }
    }

    /// One whose tools may reach this private place.
    pub(crate) fn allowing(place: &HostPort) -> Self {
        Self::with(|options| options.allow_private.push(place.clone()))
    }

    /// Puts a tool there, `t`, written in Python.
    pub(crate) fn python(&self, manifest: &str, program: &str) {
        let frame = "import json, os, sys, time\ngiven = json.loads(sys.stdin.readline())\nparams = given['params']\n\
                     def say(**line): print(json.dumps(line), flush=True)\n";
        self.tool("t", manifest, &format!("#!/usr/bin/env python3\n{frame}{program}\n"));
    }

    /// Puts a tool there, `t`, written for a shell.
    pub(crate) fn shell(&self, manifest: &str, program: &str) {
        self.tool("t", manifest, &format!("#!/bin/sh\n{program}\n"));
    }

    pub(crate) fn tool(&self, name: &str, manifest: &str, program: &str) {
        let folder = self.runner.registry().folder().join(name);
        fs::create_dir_all(&folder).unwrap();
        let effect = if manifest.contains("effect") { "" } else { "effect = \"read\"\n" };
        let inputs = if manifest.contains("[inputs]") { "" } else { "[inputs]\nadditionalProperties = true\n" };
        let head = format!("name = \"{name}\"\nversion = \"1\"\ndescription = \"d\"\nrun = [\"./main\"]\n");
        fs::write(folder.join("tool.toml"), format!("{head}{effect}{manifest}\n{inputs}")).unwrap();
        fs::write(folder.join("main"), program).unwrap();
        fs::set_permissions(folder.join("main"), fs::Permissions::from_mode(0o700)).unwrap();
    }

    /// Runs the tool `t`.
    pub(crate) async fn run(&mut self, params: Value) -> Outcome {
        self.run_within(params, None).await
    }

    pub(crate) async fn run_within(&mut self, params: Value, timeout: Option<Duration>) -> Outcome {
        let run = RunContext {
            experiment_id: "exp_1".to_owned(),
            run_id: "run-1".to_owned(),
            step: "s".to_owned(),
            mode: Mode::Live,
        };
        let call = Call { tool: "t".to_owned(), params: params.as_object().cloned().unwrap_or_default(), run, timeout };
        self.runner.run(call, &mut self.notes, self.stop.clone()).await
    }

    /// What the tool `t` gives.
    pub(crate) async fn gives(&mut self, params: Value) -> Value {
        let outcome = self.run(params).await;
        outcome.result.unwrap_or_else(|err| panic!("{err:?}\n{:?}", self.notes.logs))
    }

    /// How the tool `t` fails.
    pub(crate) async fn fails(&mut self) -> ToolError {
        self.run(json!({})).await.result.unwrap_err()
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.runner.work_folder("run-1", "s")
    }

    /// How many processes there are that have this word among their arguments.
    pub(crate) fn alive(word: &str) -> usize {
        let all = fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().parse::<u32>().is_ok());
        let lines = all.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
        lines.filter(|line| line.split(|byte| *byte == 0).any(|part| part == word.as_bytes())).count()
    }
}
