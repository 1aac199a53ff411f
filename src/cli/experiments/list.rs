//! `fullsend experiments list`: which there are, and how they stand.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::known;
use crate::bus::{Document, SharedBus};
use crate::cli::Context;
use crate::cli::output::OK;
use crate::contracts::lifecycle::ExperimentState;
use crate::contracts::untrusted::sanitize_line;
use crate::memory::experiments::under_way;

/// Lists experiments: state, run, what comes next, verdict
///
/// Those that are archived are left out, unless `--all` is given.
///
/// Example: fullsend experiments list
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Those that are archived, too
    #[arg(long)]
    all: bool,
}

pub(super) async fn run(args: &Args, cx: &Context, bus: &SharedBus) -> color_eyre::Result<ExitCode> {
    let schedules = known::all(bus, "schedules:").await?;
    let mut rows = Vec::new();
    for (id, experiment) in known::all(bus, "experiments:").await? {
        let state = ExperimentState::of(|field| experiment.get(field));
        if state == Some(ExperimentState::Archived) && !args.all {
            continue;
        }
        let run = match experiment.get("run_id") {
            Some(run) => known::document(bus, &crate::contracts::keys::experiment_run(&id, run)?).await?,
            None => None,
        };
        let schedule = schedules.iter().find(|(of, _)| *of == id).map(|(_, schedule)| schedule);
        if cx.out.is_json() {
            cx.out.json(&in_json(&id, &experiment, run.as_ref(), schedule))?;
        } else {
            rows.push([
                sanitize_line(&id, 80),
                state.map_or("?", ExperimentState::as_str).to_owned(),
                text(&experiment, "mode"),
                run.as_ref().map(progress).unwrap_or_default(),
                next(&experiment, schedule),
                text(&experiment, "verdict"),
                sanitize_line(experiment.get("hypothesis").unwrap_or_default(), 80),
            ]);
        }
    }
    if !cx.out.is_json() {
        cx.out.table(["EXPERIMENT", "STATE", "MODE", "RUN", "NEXT", "VERDICT", "WHAT"], &rows)?;
    }
    Ok(OK)
}

fn text(document: &Document, field: &str) -> String {
    sanitize_line(document.get(field).unwrap_or_default(), 60)
}

/// What comes next: the next moment of the schedule, or the end of the observation.
fn next(experiment: &Document, schedule: Option<&Document>) -> String {
    let is_active = |schedule: &&Document| schedule.get("state").is_none_or(|state| state == "active");
    let moment = schedule.filter(is_active).and_then(|schedule| schedule.get("next_at"));
    let observed = experiment.get("observe_until").map(|until| format!("observed until {until}"));
    sanitize_line(&moment.map(str::to_owned).or(observed).unwrap_or_default(), 60)
}

/// How far a run is, in a few words.
pub(super) fn progress(run: &Document) -> String {
    let status = run.get("status").unwrap_or("?");
    let more = match status {
        "waiting" | "running" => Some(under_way(run)),
        _ => run.get("error").map(str::to_owned),
    };
    sanitize_line(&format!("{status} {}", more.unwrap_or_default()), 100).trim().to_owned()
}

fn in_json(id: &str, experiment: &Document, run: Option<&Document>, schedule: Option<&Document>) -> Value {
    let state = ExperimentState::of(|field| experiment.get(field));
    let shown = |field: &str| experiment.get(field).map(|text| sanitize_line(text, 500));
    json!({
        "experiment_id": sanitize_line(id, 200),
        "state": state,
        "mode": shown("mode"),
        "hypothesis": shown("hypothesis"),
        "verdict": shown("verdict"),
        "run_id": shown("run_id"),
        "run_status": run.and_then(|run| run.get("status")),
        "run": run.map(progress),
        "observe_until": shown("observe_until"),
        "next_at": schedule.and_then(|schedule| schedule.get("next_at")),
    })
}
