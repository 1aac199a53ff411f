//! What the tests of the shipped tools share: a tool that asks nothing is run in this process. Those that ask are run as programs in
//! `tests/shipped.rs`.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use chrono::DateTime;
use serde_json::{Map, Value, json};

use super::work;
use crate::contracts::{Clock, ManualClock};
use crate::experiments::spec::Mode;
use crate::tools::contract::Line;

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A tool that is to be run.
pub(super) struct Run {
    name: &'static str,
    mode: Mode,
    params: Value,
    experiment: &'static str,
}

impl Run {
    /// In a dry run.
    pub(super) fn of(name: &'static str, params: Value) -> Self {
        Self { name, mode: Mode::DryRun, params, experiment: "exp_1" }
    }

    /// For no experiment.
    pub(super) fn alone(self) -> Self {
        Self { experiment: "", ..self }
    }

    pub(super) fn mode(self, mode: Mode) -> Self {
        Self { mode, ..self }
    }

    pub(super) async fn go(self) -> Ran {
        let run = json!({ "experiment_id": self.experiment, "run_id": "r1", "step": "s1", "mode": self.mode });
        let input = json!({ "params": self.params, "run": run });
        let answers = io::Cursor::new(format!("{input}\n").into_bytes());
        let out = Kept::default();
        let now = DateTime::parse_from_rfc3339("2026-03-01T09:30:00Z").unwrap().to_utc();
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(now));
        assert!(work(self.name, Box::new(answers), Box::new(out.clone()), clock).await);
        let text = String::from_utf8(out.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<Line> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(matches!(lines.last(), Some(Line::Result(_))), "{text}");
        Ran { lines, text }
    }
}

/// What a tool wrote.
pub(super) struct Ran {
    lines: Vec<Line>,
    /// As it is.
    pub(super) text: String,
}

impl Ran {
    pub(super) fn result(&self) -> &Value {
        match self.lines.last() {
            Some(Line::Result(result)) => result,
            other => panic!("{other:?}"),
        }
    }

    /// The error's code and text.
    pub(super) fn error(&self) -> (&str, &str) {
        let result = self.result();
        assert_eq!(result["success"], json!(false), "{result}");
        (result["code"].as_str().unwrap(), result["error"].as_str().unwrap())
    }

    pub(super) fn metrics(&self) -> Vec<&Map<String, Value>> {
        self.lines.iter().filter_map(|line| if let Line::Metric(event) = line { Some(event) } else { None }).collect()
    }

    pub(super) fn events(&self, name: &str) -> usize {
        self.metrics().iter().filter(|event| event["event"] == json!(name)).count()
    }

    pub(super) fn logs(&self) -> Vec<&str> {
        self.lines.iter().filter_map(|line| if let Line::Log(text) = line { Some(text.raw()) } else { None }).collect()
    }
}
