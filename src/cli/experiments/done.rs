//! `fullsend experiments done`: what a person was asked to do is done, or is not.

use std::process::ExitCode;

use color_eyre::Section;
use color_eyre::eyre::eyre;
use serde_json::json;

use super::known;
use crate::bus::{Document, Draft, Origin, Sender, SharedBus};
use crate::cli::output::OK;
use crate::cli::{Context, operator};
use crate::contracts::channel::grants;
use crate::contracts::messages::{ActionComplete, ActionOutcome, ActionStatus, DiscordRaw};
use crate::contracts::untrusted::sanitize_line;
use crate::contracts::wiring::DISCORD_RAW;
use crate::contracts::{Trust, Untrusted};

/// How long a bus that is away is tried again.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);

/// Says that a step that a person does is done, or that a message arrived of which nobody knows
///
/// The run goes on then. Where several things are open, name one with `--action`.
///
/// Example: `fullsend experiments done exp_20260301_forum`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The experiment, or the beginning of its id
    #[arg(value_name = "ID")]
    id: String,

    /// Which of several, or the beginning of its id
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,

    /// It is not done, and will not be
    #[arg(long)]
    rejected: bool,
}

pub(super) async fn run(args: &Args, cx: &Context, bus: &SharedBus) -> color_eyre::Result<ExitCode> {
    let id = known::find(bus, &args.id).await?;
    let wanted = args.action.as_deref().unwrap_or_default();
    let mut open = known::all(bus, "actions:").await?;
    open.retain(|(action, record)| is_open(record, &id) && action.starts_with(wanted));
    let (action, record) = match open.as_slice() {
        [] => return Err(eyre!("nobody is asked to do anything for {id}")),
        [only] => only,
        several => {
            let lines: Vec<_> =
                several.iter().map(|(action, it)| format!("{} ({})", short(action), what(it))).collect();
            return Err(eyre!("several things are open: {}", lines.join(", ")).suggestion("Name one with `--action`"));
        }
    };
    let status = if args.rejected { ActionStatus::Rejected } else { ActionStatus::Completed };
    let complete = ActionComplete {
        payload: ActionOutcome {
            action_id: action.clone(),
            status,
            completed_by: Some(operator()),
            username: Some(Untrusted::from(operator())),
        },
        source: Some("control_room".to_owned()),
        user_id: None,
        timestamp: Some(cx.clock.now()),
    };
    let origin = Origin::new(cx.clock.clone(), cx.ids.clone(), Trust::Operator);
    let draft = Draft::new(DiscordRaw::from(complete)).subject(id.as_str());
    Sender::<grants::ControlRoom>::new(bus.clone(), origin, PATIENCE).send(DISCORD_RAW, draft).await?;
    if cx.out.is_json() {
        cx.out.json(&json!({ "experiment_id": id, "action_id": action, "rejected": args.rejected }))?;
    } else {
        let word = if args.rejected { "rejected" } else { "done" };
        cx.out.text(&format!("said: {} is {word}", what(record)))?;
    }
    Ok(OK)
}

fn is_open(record: &Document, experiment: &str) -> bool {
    let waits = record.get("kind") == Some("person") && record.get("state") == Some("started");
    record.get("experiment_id") == Some(experiment) && (waits || record.get("state") == Some("unknown"))
}

fn what(record: &Document) -> String {
    let get = |field: &str| sanitize_line(record.get(field).unwrap_or_default(), 80);
    format!("{} to {}", get("kind"), get("target"))
}

fn short(action: &str) -> String {
    action.chars().take(12).collect()
}
