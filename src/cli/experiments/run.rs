//! `fullsend experiments run`: run one now.

use std::process::ExitCode;
use std::time::Duration;

use color_eyre::eyre::eyre;
use serde_json::json;
use tokio::time::Instant;

use super::{known, list};
use crate::bus::{Draft, Origin, Sender, SharedBus};
use crate::cli::output::{FAILED, OK};
use crate::cli::{Context, operator};
use crate::contracts::channel::grants;
use crate::contracts::messages::{ExecuteNow, RunNow};
use crate::contracts::wiring::EXECUTE_NOW;
use crate::contracts::{Trust, keys};

/// How long a bus that is away is tried again.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long it is waited for that an executor takes it.
const TAKEN: Duration = Duration::from_secs(5);
/// How often it is looked meanwhile.
const LOOK: Duration = Duration::from_millis(50);

/// Runs an experiment now, whatever its schedule says
///
/// One that is ready or measured runs. A draft, or one that is over, runs only with `--force`; what was never approved reaches nobody then.
///
/// Example: `fullsend experiments run exp_20260301_forum --wait`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The experiment, or the beginning of its id
    #[arg(value_name = "ID")]
    id: String,

    /// Though it is a draft, archived or over
    #[arg(long)]
    force: bool,

    /// Wait until the run is over; ends with 1 where it failed
    #[arg(long)]
    wait: bool,
}

pub(super) async fn run(args: &Args, cx: &Context, bus: &SharedBus) -> color_eyre::Result<ExitCode> {
    let id = known::find(bus, &args.id).await?;
    let origin = Origin::new(cx.clock.clone(), cx.ids.clone(), Trust::Operator);
    let order = RunNow {
        experiment_id: id.clone(),
        triggered_by: Some(operator()),
        reason: None,
        due_at: None,
        force: args.force,
        timestamp: Some(cx.clock.now()),
    };
    let draft = Draft::new(ExecuteNow::from(order)).subject(id.as_str());
    let message = origin.compose::<grants::ControlRoom, _>(EXECUTE_NOW, draft)?;
    let run_id = message.envelope.id.to_string();
    Sender::<grants::ControlRoom>::new(bus.clone(), origin, PATIENCE).send_composed(message).await?;
    let key = keys::experiment_run(&id, &run_id)?;
    let began = Instant::now();
    let mut told = String::new();
    loop {
        let Some(run) = known::document(bus, &key).await? else {
            if began.elapsed() >= TAKEN && !args.wait {
                tell(cx, &id, &run_id, "said", "it runs when an executor does (`fullsend serve`)")?;
                return Ok(OK);
            }
            tokio::time::sleep(LOOK).await;
            continue;
        };
        let status = run.get("status").unwrap_or_default().to_owned();
        let words = list::progress(&run);
        if words != told {
            tell(cx, &id, &run_id, &status, &words)?;
            told = words;
        }
        match status.as_str() {
            "completed" => return Ok(OK),
            "failed" | "cancelled" if args.wait => {
                return Err(eyre!(
                    "the run {run_id} of {id} {status}: {}",
                    run.get("error").unwrap_or("no reason is given")
                ));
            }
            "failed" | "cancelled" => return Ok(FAILED),
            _ if !args.wait => return Ok(OK),
            _ => tokio::time::sleep(LOOK).await,
        }
    }
}

fn tell(cx: &Context, id: &str, run_id: &str, status: &str, words: &str) -> color_eyre::Result<()> {
    if cx.out.is_json() {
        cx.out.json(&json!({ "experiment_id": id, "run_id": run_id, "status": status, "what": words }))
    } else {
        cx.out.text(&format!("run {run_id} of {id}: {words}"))
    }
}
