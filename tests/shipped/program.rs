//! A tool as a program: its input is written, its lines are read, its questions are answered.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Map, Value, json};
use tempfile::TempDir;

/// A tool that is to be run in a folder of its own.
pub(crate) struct Tool {
    name: &'static str,
    params: Value,
    mode: &'static str,
    secrets: Map<String, Value>,
    answer: Box<dyn FnMut(&Value) -> &'static str>,
}

/// What it said.
pub(crate) struct Said {
    pub(crate) lines: Vec<Value>,
    pub(crate) dir: TempDir,
}

impl Tool {
    /// Live, and told to go on whatever it asks.
    pub(crate) fn live(name: &'static str, params: Value) -> Self {
        Self { name, params, mode: "live", secrets: Map::new(), answer: Box::new(|_| "go") }
    }

    /// In a dry run.
    pub(crate) fn dry(name: &'static str, params: Value) -> Self {
        Self { mode: "dry_run", ..Self::live(name, params) }
    }

    pub(crate) fn secret(mut self, name: &str, secret: &str) -> Self {
        self.secrets.insert(name.to_owned(), json!(secret));
        self
    }

    pub(crate) fn answering(self, answer: impl FnMut(&Value) -> &'static str + 'static) -> Self {
        Self { answer: Box::new(answer), ..self }
    }

    /// Runs it to its end, beside what the test serves meanwhile.
    pub(crate) async fn go(self) -> Said
    where
        Self: 'static,
    {
        let (name, input) = (self.name, self.input());
        let mut answer = self.answer;
        // The test's own servers live on this thread.
        let (ask, mut asked) = tokio::sync::mpsc::channel::<(Value, tokio::sync::oneshot::Sender<&'static str>)>(1);
        let running = tokio::task::spawn_blocking(move || {
            run(name, &input, |action| {
                let (tell, told) = tokio::sync::oneshot::channel();
                ask.blocking_send((action.clone(), tell)).unwrap();
                told.blocking_recv().unwrap()
            })
        });
        while let Some((action, tell)) = asked.recv().await {
            let _ = tell.send(answer(&action));
        }
        running.await.unwrap()
    }

    fn input(&self) -> String {
        let run =
            json!({ "experiment_id": "exp_20260301_forum", "run_id": "r1", "step": "outreach", "mode": self.mode });
        json!({ "params": self.params, "run": run, "secrets": self.secrets }).to_string()
    }
}

fn run(name: &str, input: &str, mut answer: impl FnMut(&Value) -> &'static str) -> Said {
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_fullsend"))
        .args(["tool", name])
        .current_dir(dir.path())
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, "{input}").unwrap();
    let mut lines = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
        if let Some(action) = line.get("action") {
            writeln!(stdin, "{}", answer(action)).unwrap();
        }
        lines.push(line);
    }
    // Standard input is still open: it ends all the same.
    assert!(child.wait().unwrap().success());
    Said { lines, dir }
}

impl Said {
    fn all(&self, kind: &str) -> Vec<&Value> {
        self.lines.iter().filter_map(|line| line.get(kind)).collect()
    }

    pub(crate) fn result(&self) -> &Value {
        &self.lines.last().unwrap()["result"]
    }

    pub(crate) fn error(&self) -> (&str, &str) {
        let result = self.result();
        assert_eq!(result["success"], json!(false), "{result}");
        (result["code"].as_str().unwrap(), result["error"].as_str().unwrap())
    }

    pub(crate) fn metrics(&self) -> Vec<&Value> {
        self.all("metric")
    }

    pub(crate) fn events(&self, name: &str) -> usize {
        self.metrics().iter().filter(|event| event["event"] == json!(name)).count()
    }

    pub(crate) fn actions(&self) -> Vec<&Value> {
        self.all("action")
    }

    pub(crate) fn done(&self) -> Vec<&Value> {
        self.all("done")
    }

    pub(crate) fn logs(&self) -> Vec<&str> {
        self.all("log").into_iter().filter_map(Value::as_str).collect()
    }

    /// The files that it wrote, by name.
    pub(crate) fn outbox(&self) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(self.dir.path().join("outbox")) else { return Vec::new() };
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }
}
