//! `fullsend experiments sample`: a mail as a recipient would get it, to oneself.

use std::process::ExitCode;
use std::time::Duration;

use color_eyre::Section;
use color_eyre::eyre::eyre;
use serde_json::json;
use tokio::time::Instant;

use super::known;
use crate::bus::{Draft, Origin, Sender, SharedBus};
use crate::cli::output::OK;
use crate::cli::{Context, operator};
use crate::contracts::channel::grants;
use crate::contracts::messages::{ExecuteNow, SampleExperiment};
use crate::contracts::untrusted::sanitize_line;
use crate::contracts::wiring::EXECUTE_NOW;
use crate::contracts::{Trust, keys};
use crate::services::executor::record_of_sample;

/// How long a bus that is away is tried again.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it is looked.
const LOOK: Duration = Duration::from_millis(50);

/// Sends you a mail of it, as one of its recipients would get it
///
/// Before you let it go live, say. The people are found as a run finds them, and the mail is rendered for the first of them, marked as a
/// sample in its subject, and sent to you alone: to `outreach.operator_email` of the settings, or `--to`. Nothing is counted, and nobody
/// counts as written to. An address that is on its list is refused.
///
/// Example: `fullsend experiments sample exp_20260301_forum`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The experiment, or the beginning of its id
    #[arg(value_name = "ID")]
    id: String,

    /// Your address, where it is not `outreach.operator_email`
    #[arg(long, value_name = "ADDRESS")]
    to: Option<String>,

    /// How long it is waited for; it is sent all the same
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = crate::config::duration::parse)]
    timeout: Duration,
}

pub(super) async fn run(args: &Args, cx: &Context, bus: &SharedBus) -> color_eyre::Result<ExitCode> {
    let id = known::find(bus, &args.id).await?;
    let to = args.to.clone().or_else(|| cx.config.outreach.operator_email.clone());
    let Some(to) = to else {
        return Err(eyre!("nobody said where the sample should go"))
            .suggestion("name your address with `--to`, or set `outreach.operator_email`");
    };
    let origin = Origin::new(cx.clock.clone(), cx.ids.clone(), Trust::Operator);
    let order = SampleExperiment { experiment_id: id.clone(), to: Some(to), by: Some(operator()) };
    let draft = Draft::new(ExecuteNow::from(order)).subject(id.as_str());
    let message = origin.compose::<grants::ControlRoom, _>(EXECUTE_NOW, draft)?;
    let key = keys::action(&record_of_sample(&message.envelope.id.to_string()))?;
    Sender::<grants::ControlRoom>::new(bus.clone(), origin, PATIENCE).send_composed(message).await?;
    let began = Instant::now();
    loop {
        let record = known::document(bus, &key).await?;
        let get = |name: &str| record.as_ref().and_then(|it| it.get(name)).map(|text| sanitize_line(text, 400));
        match get("state").as_deref() {
            Some("done") => {
                let (target, subject) = (get("target").unwrap_or_default(), get("subject").unwrap_or_default());
                if cx.out.is_json() {
                    cx.out.json(&json!({ "experiment_id": id, "state": "done", "to": target, "subject": subject }))?;
                } else {
                    cx.out.text(&format!("sent to {target}: {subject}"))?;
                }
                return Ok(OK);
            }
            Some("failed" | "unknown") => {
                return Err(eyre!("no sample of {id}: {}", get("error").unwrap_or_default()));
            }
            _ if began.elapsed() < args.timeout => tokio::time::sleep(LOOK).await,
            state => {
                let what = if state.is_some() {
                    "it is being sent"
                } else {
                    "said; it is sent when an executor runs (`fullsend serve`)"
                };
                if cx.out.is_json() {
                    cx.out.json(&json!({ "experiment_id": id, "state": state.unwrap_or("said") }))?;
                } else {
                    cx.out.text(what)?;
                }
                return Ok(OK);
            }
        }
    }
}
