//! `fullsend experiments watch`: how one goes on, a line for each change.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::json;

use super::{known, list};
use crate::bus::SharedBus;
use crate::cli::Context;
use crate::cli::output::OK;
use crate::contracts::envelope::rfc3339;
use crate::contracts::keys;
use crate::contracts::lifecycle::ExperimentState;
use crate::contracts::untrusted::sanitize_line;

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(250);

/// Shows how an experiment goes on, a line for each change
///
/// Ends when the experiment is over, or with Ctrl-C.
///
/// Example: `fullsend experiments watch exp_20260301_forum`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The experiment, or the beginning of its id
    #[arg(value_name = "ID")]
    id: String,
}

pub(super) async fn run(args: &Args, cx: &Context, bus: &SharedBus) -> color_eyre::Result<ExitCode> {
    let id = known::find(bus, &args.id).await?;
    let mut last = None;
    let stop = tokio::signal::ctrl_c();
    let mut stop = std::pin::pin!(stop);
    loop {
        let Some(experiment) = known::read(bus, &id).await? else { return Ok(OK) };
        let state = ExperimentState::of(|field| experiment.get(field));
        let waiting = experiment.get("next_run_id");
        let run_id = waiting.or_else(|| experiment.get("run_id")).map(str::to_owned);
        let run = match &run_id {
            Some(run) => known::document(bus, &keys::experiment_run(&id, run)?).await?,
            None => None,
        };
        let words = run.as_ref().map(list::progress).unwrap_or_default();
        let verdict = experiment.get("verdict").map(|verdict| sanitize_line(verdict, 200));
        let now = (state, run_id.clone(), words.clone(), verdict.clone());
        if last.as_ref() != Some(&now) {
            if cx.out.is_json() {
                cx.out.json(&json!({
                    "at": rfc3339(cx.clock.now()), "experiment_id": id, "state": state, "run_id": run_id, "run": words,
                    "verdict": verdict,
                }))?;
            } else {
                let state = state.map_or("?", ExperimentState::as_str);
                let verdict = verdict.map(|verdict| format!("  verdict: {verdict}")).unwrap_or_default();
                cx.out.text(&format!("{}  {state}  {words}{verdict}", rfc3339(cx.clock.now())))?;
            }
            last = Some(now);
        }
        if matches!(state, Some(ExperimentState::Archived | ExperimentState::Completed | ExperimentState::Failed)) {
            return Ok(OK);
        }
        tokio::select! {
            _ = &mut stop => return Ok(OK),
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}
