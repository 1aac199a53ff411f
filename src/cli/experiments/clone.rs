//! `fullsend experiments clone`: an experiment's specification under another name, to begin the next one with.

use std::process::ExitCode;

use color_eyre::eyre::eyre;

use super::show;
use crate::bus::SharedBus;
use crate::cli::Context;
use crate::cli::output::{OK, Usage};
use crate::experiments::check::slug;
use crate::experiments::document;

/// Prints an experiment's specification under another id
///
/// What was its past (when it was designed, approved, run) is left out. Change it, and hand it in with `experiments publish`.
///
/// Example: fullsend experiments clone ID --as NEW > again.yaml
#[derive(clap::Args)]
pub(super) struct Args {
    /// Its id
    id: String,

    /// The new id; otherwise that of today, with the same name
    #[arg(long = "as", value_name = "ID")]
    new: Option<String>,
}

pub(super) async fn run(args: &Args, cx: &Context, bus: &SharedBus) -> color_eyre::Result<ExitCode> {
    let document = show::document(bus, &args.id).await?;
    let mut spec = document::read_spec(&document)?;
    let id = match &args.new {
        Some(id) => id.clone(),
        None => {
            let name = slug(&spec.id);
            let name = name.trim_start_matches("exp_").trim_start_matches(|c: char| c.is_ascii_digit() || c == '_');
            format!("exp_{}_{name}_again", cx.clock.now().format("%Y%m%d"))
        }
    };
    if id == spec.id {
        return Err(Usage(format!("`{id}` is the experiment itself; give another id with --as")).into());
    }
    spec.id = id;
    spec.created_at = None;
    if cx.out.is_json() {
        cx.out.json(&serde_json::json!({ "experiment": spec }))?;
    } else {
        cx.out.text(&document::yaml(&spec).map_err(|why| eyre!("it cannot be written: {why}"))?)?;
    }
    Ok(OK)
}
