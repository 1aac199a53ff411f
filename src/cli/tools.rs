//! `fullsend tools`: the programs that experiments run.
//!
//! Owns how they are listed, tried and checked by hand. Must never run one in another way than an experiment does: in the sandbox, by its
//! manifest; only that a person answers what it asks.

mod check;
mod desk;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;
use color_eyre::eyre::WrapErr;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use self::desk::TerminalDesk;
use super::output::{FAILED, OK, Usage};
use super::{Context, given, open};
use crate::config::duration;
use crate::contracts::untrusted::{sanitize, sanitize_line};
use crate::experiments::spec::Mode;
use crate::tools::contract::{Call, Outcome, RunContext};
use crate::tools::manifest::SecretName;
use crate::tools::registry::{Listed, Place, Tool};

/// Shows, tries and checks the tools that experiments run
///
/// A tool is a program in any language in the folder `tools` of the home, with a `tool.toml` that says what it takes, gives and may reach; or
/// one that comes with this program. It runs in a sandbox: its own work folder, the files that its parameters name, the places that its
/// manifest names, and nothing else.
///
/// Example: fullsend tools list
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Lists them, and what is wrong with those that cannot be used
    List,
    /// Shows what a tool takes, gives and may reach
    Show {
        /// Which
        name: String,
    },
    /// Runs a tool here; a dry run unless you say otherwise
    ///
    /// Without an experiment there are no limits, no quiet hours and no list of those who want no mail: in live mode each act is asked here.
    ///
    /// Example: fullsend tools run finder --params '{"word": "rust"}'
    Run {
        /// Which
        name: String,
        /// Its parameters: a JSON object, or `-` for one on standard input
        #[arg(long, value_name = "JSON", default_value = "{}")]
        params: String,
        /// Whether it reaches anybody: `dry_run`, `simulation` or `live`
        #[arg(long = "as", value_name = "MODE", default_value = "dry_run", value_parser = mode)]
        run_as: Mode,
        /// How long it may take
        #[arg(long, value_name = "TIME", value_parser = duration::parse)]
        timeout: Option<Duration>,
    },
    /// Checks the tool in a folder, and runs its own tests (`tests/*.json`) in the sandbox
    ///
    /// A test is an object: `params`, `expected` (what the result must at least hold) or `error` (its code, or words of it), and where they
    /// matter `mode` and `answers` (`go`, `skip` or `stop` for each act, in order).
    ///
    /// Example: fullsend tools check ./finder
    Check {
        /// The folder
        folder: PathBuf,
    },
}

fn mode(word: &str) -> Result<Mode, String> {
    serde_json::from_value(Value::String(word.to_owned())).map_err(|_| "write dry_run, simulation or live".to_owned())
}

impl Args {
    /// Whether it changes anything, which is worth a log.
    pub(super) fn changes(&self) -> bool {
        matches!(self.action, Action::Run { .. })
    }
}

/// Does it.
///
/// # Errors
/// Where there is no such tool, or it cannot be run.
pub async fn run(args: &Args, cx: &Context) -> color_eyre::Result<ExitCode> {
    match &args.action {
        Action::List => list(&open::registry(cx).list(), cx),
        Action::Show { name } => show(name, cx),
        Action::Run { name, params, run_as, timeout } => run_one(name, params, (*run_as, *timeout), cx).await,
        Action::Check { folder } => check::check(folder, cx).await,
    }
}

/// What a tool may reach, in a few words.
fn reach(tool: &Tool) -> String {
    let manifest = &tool.manifest;
    let places = manifest.network.iter().map(ToString::to_string);
    let all: Vec<String> = places.chain(manifest.network_params.iter().map(|name| format!("{{{name}}}"))).collect();
    if all.is_empty() { "-".to_owned() } else { all.join(", ") }
}

fn secrets(names: &[SecretName]) -> String {
    if names.is_empty() { "-".to_owned() } else { names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ") }
}

fn list(listed: &[Listed], cx: &Context) -> color_eyre::Result<ExitCode> {
    let code = if listed.iter().all(|listed| listed.tool.is_ok()) { OK } else { FAILED };
    if cx.out.is_json() {
        let one = |listed: &Listed| match &listed.tool {
            Ok(tool) => {
                json!({ "name": listed.name, "state": "active", "place": tool.place.as_str(), "manifest": tool.manifest })
            }
            Err(why) => json!({ "name": listed.name, "state": "broken", "place": "home", "errors": why.0 }),
        };
        cx.out.json(&listed.iter().map(one).collect::<Vec<_>>())?;
        return Ok(code);
    }
    if listed.is_empty() {
        cx.out.remark(&format!("there are no tools; they belong into {}", open::registry(cx).folder().display()));
        return Ok(code);
    }
    let rows: Vec<_> = listed
        .iter()
        .map(|listed| match &listed.tool {
            Ok(tool) => [
                listed.name.clone(),
                tool.manifest.version.clone(),
                tool.place.as_str().to_owned(),
                tool.manifest.effect.as_str().to_owned(),
                reach(tool),
                secrets(&tool.manifest.secrets),
                tool.manifest.description.clone(),
            ],
            Err(why) => {
                let dash = || "-".to_owned();
                [listed.name.clone(), dash(), "home".to_owned(), "BROKEN".to_owned(), dash(), dash(), why.to_string()]
            }
        })
        .collect();
    let headings = ["TOOL", "VERSION", "FROM", "EFFECT", "REACHES", "SECRETS", "WHAT"];
    cx.out.table_that_fits((headings, &rows), || {
        let width = cx.out.width().unwrap_or(80);
        let narrow = rows.iter().map(|row| {
            let left = width.saturating_sub(46).max(20);
            [row[0].clone(), row[2].clone(), row[3].clone(), sanitize_line(&row[6], left)]
        });
        (["TOOL", "FROM", "EFFECT", "WHAT"], narrow.collect())
    })?;
    Ok(code)
}

fn show(name: &str, cx: &Context) -> color_eyre::Result<ExitCode> {
    let tool = open::registry(cx).find(name)?;
    let manifest = &tool.manifest;
    if cx.out.is_json() {
        let folder = match &tool.place {
            Place::Folder(folder) => Some(folder),
            Place::Shipped => None,
        };
        cx.out.json(&json!({ "place": tool.place.as_str(), "folder": folder, "manifest": manifest }))?;
        return Ok(OK);
    }
    let place = match &tool.place {
        Place::Folder(folder) => folder.display().to_string(),
        Place::Shipped => "comes with this program".to_owned(),
    };
    let timeout = manifest.timeout.map_or_else(|| "as the settings say".to_owned(), String::from);
    let simulation = if manifest.simulation { ", A SIMULATION" } else { "" };
    let twice = if manifest.idempotent {
        "may be run again after a fault"
    } else {
        "is not run again once it has begun to act"
    };
    for line in [
        format!("{} {}  ({place})", manifest.name, manifest.version),
        manifest.description.clone(),
        String::new(),
        format!("effect    {}{simulation}; {twice}", manifest.effect.as_str()),
        format!("reaches   {}", reach(&tool)),
        format!(
            "reads     {}",
            if manifest.path_params.is_empty() { "-".to_owned() } else { manifest.path_params.join(", ") }
        ),
        format!("secrets   {}", secrets(&manifest.secrets)),
        format!("takes at most {timeout}"),
        String::new(),
    ] {
        cx.out.text(&line)?;
    }
    let required: Vec<&str> =
        manifest.inputs["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let properties = manifest.inputs.get("properties").and_then(Value::as_object);
    let rows: Vec<_> = properties
        .into_iter()
        .flatten()
        .map(|(name, schema)| {
            let kind = schema.get("type").map_or_else(|| "any".to_owned(), |kind| kind.to_string().replace('"', ""));
            let default = schema.get("default").map_or_else(|| "-".to_owned(), Value::to_string);
            let needed = if required.contains(&name.as_str()) { "yes" } else { "no" };
            let about = schema.get("description").and_then(Value::as_str).unwrap_or_default();
            [name, needed, &kind, &default, about].map(|cell| sanitize_line(cell, 300))
        })
        .collect();
    if rows.is_empty() {
        cx.out.text("It takes no parameters.")?;
    } else {
        cx.out.table(["PARAMETER", "NEEDED", "TYPE", "DEFAULT", "WHAT"], &rows)?;
    }
    Ok(OK)
}

async fn run_one(
    name: &str,
    params: &str,
    (mode, timeout): (Mode, Option<Duration>),
    cx: &Context,
) -> color_eyre::Result<ExitCode> {
    let text = if params == "-" { given::text(Some("-"))? } else { params.to_owned() };
    let params: Map<String, Value> =
        serde_json::from_str(&text).map_err(|err| Usage(format!("--params is no JSON object: {err}")))?;
    cx.config.make_home()?;
    let runner = open::runner(cx);
    let run_id = cx.ids.next(cx.clock.now()).to_string();
    let run = RunContext { experiment_id: String::new(), run_id, step: name.to_owned(), mode };
    let work = runner.work_folder(&run.run_id, name);
    let call = Call { tool: name.to_owned(), params, run, timeout };
    if !runner.sandbox().level().await.is_whole() && runner.sandbox().options().unsandboxed {
        let level = runner.sandbox().level().await.line();
        cx.out.remark(&format!(
            "WARNING: the tool is not shut in as it should be ({level}); tools.unsandboxed lets it run"
        ));
    }
    let stop = CancellationToken::new();
    let interrupted = stop.clone();
    let listening = tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            interrupted.cancel();
        }
    });
    let mut desk = TerminalDesk::new(&cx.out, mode);
    let outcome = runner.run(call, &mut desk, stop).await;
    listening.abort();
    let metrics = desk.metrics;
    let left = std::fs::read_dir(&work).map_or(0, Iterator::count);
    if left == 0 {
        // Nothing to look at; both folders were made for this run.
        std::fs::remove_dir(&work).ok();
        work.parent().map(std::fs::remove_dir);
    } else {
        cx.out.remark(&format!("it left {left} files in {}", work.display()));
    }
    ended(&outcome, &metrics, cx)
}

/// Says what came of it.
fn ended(outcome: &Outcome, metrics: &[Map<String, Value>], cx: &Context) -> color_eyre::Result<ExitCode> {
    if outcome.dropped > 0 {
        cx.out.remark(&format!("{} bytes of what it said were left out", outcome.dropped));
    }
    let took = outcome.took.as_secs_f64();
    match &outcome.result {
        Ok(result) if cx.out.is_json() => {
            cx.out
                .json(&json!({ "result": result, "metrics": metrics, "seconds": took, "dropped": outcome.dropped }))?;
            Ok(OK)
        }
        Ok(result) => {
            let text = serde_json::to_string_pretty(result).wrap_err("its result cannot be written")?;
            cx.out.text(&sanitize(&text, usize::MAX))?;
            cx.out.remark(&format!("took {took:.2} s; {} events", metrics.len()));
            Ok(OK)
        }
        Err(err) if cx.out.is_json() => {
            let json = json!({ "error": err.message, "code": err.code, "partial": err.partial, "metrics": metrics, "seconds": took });
            cx.out.json(&json)?;
            Ok(FAILED)
        }
        Err(err) => {
            cx.out.error(&err.message);
            if !err.partial.is_empty() {
                cx.out.text(&sanitize(&serde_json::to_string_pretty(&err.partial)?, usize::MAX))?;
            }
            Ok(FAILED)
        }
    }
}
