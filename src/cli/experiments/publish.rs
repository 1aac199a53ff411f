//! `fullsend experiments publish`: hands a specification in.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use color_eyre::Section;
use color_eyre::eyre::{WrapErr, eyre};
use serde_json::json;

use super::validate;
use crate::bus::{Draft, Origin, Sender, SharedBus};
use crate::cli::output::OK;
use crate::cli::{Context, given, operator};
use crate::contracts::channel::grants;
use crate::contracts::messages::{ExperimentSubmit, ToFullsend};
use crate::contracts::wiring::TO_FULLSEND;
use crate::contracts::{Trust, Untrusted};
use crate::experiments::read::read_with;

/// How long a bus that is away is tried again.
const PATIENCE: Duration = Duration::from_secs(5);

/// Hands a specification in
///
/// It is checked here first; what has errors is refused with all of them. FULLSEND then makes a draft of it and asks for its going live, as
/// for a designed one.
///
/// Example: fullsend experiments publish stargazers.yaml
#[derive(clap::Args)]
pub(super) struct Args {
    /// The file; `-` for standard input
    #[arg(value_name = "FILE|-")]
    file: String,

    /// The experiment that it changes
    #[arg(long, value_name = "ID")]
    revises: Option<String>,
}

pub(super) async fn run(args: &Args, cx: &Context, bus: &SharedBus) -> color_eyre::Result<ExitCode> {
    let text = given::text(Some(&args.file)).wrap_err_with(|| format!("{} cannot be handed in", args.file))?;
    let reading = read_with(&text, &validate::known(&text, Path::new(&args.file), cx));
    for finding in &reading.findings {
        cx.out.remark(&format!("{}:{finding}", args.file));
    }
    let Some(spec) = reading.spec else {
        let errors = reading.errors().count();
        return Err(eyre!("{} has {errors} errors and was not handed in", args.file)
            .suggestion("`fullsend experiments validate FILE --fix` puts right what can be"));
    };
    let body = ToFullsend::from(ExperimentSubmit {
        // A list beside the file is meant, whatever folder the team runs in.
        spec: Untrusted::from(with_places(&text, &spec, Path::new(&args.file))),
        revises: args.revises.clone(),
        by: Some(operator()),
        timestamp: Some(cx.clock.now()),
    });
    let origin = Origin::new(cx.clock.clone(), cx.ids.clone(), Trust::Operator);
    let sender = Sender::<grants::ControlRoom>::new(bus.clone(), origin, PATIENCE);
    let entry = sender.send(TO_FULLSEND, Draft::new(body).subject(spec.id.clone())).await?;
    if cx.out.is_json() {
        cx.out.json(&json!({ "experiment_id": spec.id, "entry": entry }))?;
    } else {
        let next = "`fullsend approvals list` shows it when it waits for a yes";
        cx.out.text(&format!("{} is handed in, for FULLSEND to make a draft of; {next}", spec.id))?;
    }
    Ok(OK)
}

/// The specification with whole paths of its lists, where they are there.
fn with_places(text: &str, spec: &crate::experiments::spec::Spec, file: &Path) -> String {
    let mut spec = spec.clone();
    let mut changed = false;
    for step in spec.execution.steps.iter_mut().filter(|step| step.tool == "csv_leads") {
        let Some(path) = step.params.get("path").and_then(|path| path.as_str()) else { continue };
        let beside = file.parent().map(|folder| folder.join(path));
        let found =
            [Some(Path::new(path).to_owned()), beside].into_iter().flatten().find_map(|path| path.canonicalize().ok());
        if let Some(whole) = found.filter(|_| Path::new(path).is_relative()) {
            step.params.insert("path".to_owned(), json!(whole.display().to_string()));
            changed = true;
        }
    }
    let written = changed.then(|| crate::experiments::document::yaml(&spec).ok()).flatten();
    written.unwrap_or_else(|| text.to_owned())
}
