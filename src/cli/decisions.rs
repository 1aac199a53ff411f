//! `fullsend decisions`: what was decided, why, what it cost and what came of it.
//!
//! Must never change one.

use std::process::ExitCode;

use color_eyre::eyre::eyre;

use super::Context;
use super::output::OK;
use crate::bus::SharedBus;
use crate::contracts::envelope::rfc3339;
use crate::contracts::untrusted::sanitize_line;
use crate::services::orchestrator::record::{self, Record};

/// What was decided, and why
///
/// Lists the newest decisions, or shows one with its reasons, what it was made from, what it cost, and what came of it.
///
/// Example: fullsend decisions list --limit 5
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(clap::Subcommand)]
enum What {
    /// The newest decisions
    List {
        /// At most so many
        #[arg(long, default_value_t = 20, value_name = "N")]
        limit: usize,
    },
    /// One of them
    Show {
        /// Its id, or the end of it
        id: String,
    },
}

/// Prints them.
///
/// # Errors
/// Where the bus cannot be opened, or there is no such decision.
pub fn run(args: &Args, cx: &Context) -> color_eyre::Result<ExitCode> {
    super::with_bus(cx, async |bus| match &args.what {
        None => list(cx, bus, 20).await,
        Some(What::List { limit }) => list(cx, bus, *limit).await,
        Some(What::Show { id }) => show(cx, bus, id).await,
    })
}

async fn list(cx: &Context, bus: &SharedBus, limit: usize) -> color_eyre::Result<ExitCode> {
    let records = record::newest(bus, limit).await?;
    if cx.out.is_json() {
        cx.out.json(&records)?;
    } else if records.is_empty() {
        cx.out.remark("nothing was decided yet");
    } else {
        let rows: Vec<_> = records.iter().map(row).collect();
        cx.out.table(["ID", "TIME", "ABOUT", "ACTION", "STATE", "BY", "COST", "WHY"], &rows)?;
    }
    Ok(OK)
}

fn row(record: &Record) -> [String; 8] {
    [
        tail(&record.id),
        rfc3339(record.at),
        sanitize_line(&record.kind, 40),
        record.action.to_string(),
        record.stage.to_string(),
        sanitize_line(&record.model, 40),
        dollars(record.nano_usd),
        sanitize_line(&record.reasoning, 100),
    ]
}

/// The end of an id, which is enough to name it.
fn tail(id: &str) -> String {
    let end: Vec<char> = id.chars().rev().take(12).collect();
    end.into_iter().rev().collect()
}

/// Billionths of a dollar as people write it.
fn dollars(nano: u64) -> String {
    if nano == 0 { "-".to_owned() } else { format!("${}.{:06}", nano / 1_000_000_000, nano % 1_000_000_000 / 1_000) }
}

async fn show(cx: &Context, bus: &SharedBus, id: &str) -> color_eyre::Result<ExitCode> {
    let found = match record::get(bus, id).await? {
        Some((record, _)) => record,
        None => {
            let mut fitting: Vec<_> =
                record::newest(bus, usize::MAX).await?.into_iter().filter(|record| record.id.ends_with(id)).collect();
            match (fitting.pop(), fitting.len()) {
                (Some(only), 0) => only,
                (None, _) => {
                    return Err(eyre!(
                        "there is no decision `{}`; `fullsend decisions list` shows them",
                        sanitize_line(id, 60)
                    ));
                }
                (Some(_), more) => {
                    return Err(eyre!(
                        "{} decisions end in `{}`; give more of the id",
                        more + 1,
                        sanitize_line(id, 60)
                    ));
                }
            }
        }
    };
    if cx.out.is_json() {
        cx.out.json(&found)?;
    } else {
        cx.out.text(&in_words(&found)?)?;
    }
    Ok(OK)
}

fn in_words(record: &Record) -> color_eyre::Result<String> {
    use std::fmt::Write as _;
    let mut text = String::new();
    let mut line = |name: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            let _ = writeln!(text, "{name:<12}{}", value.replace('\n', "\n            "));
        }
    };
    line("id", Some(record.id.clone()));
    line("at", Some(rfc3339(record.at)));
    line("about", Some(format!("{} (trust {:?})", record.kind, record.trust).to_lowercase()));
    line("trace", record.trace.map(|trace| trace.to_string()));
    line("action", Some(format!("{} ({:?})", record.action, record.priority).to_lowercase()));
    line("experiment", record.experiment_id.clone());
    line("state", Some(record.stage.to_string()));
    line("outcome", record.outcome.clone());
    line("approval", record.approval_id.clone());
    line("why", Some(record.reasoning.clone()));
    line("thoughts", Some(record.thoughts.clone()));
    line("by", Some(format!("{} ({})", record.model, record.provider)));
    let tokens = &record.tokens;
    let read = tokens.uncached + tokens.cache_write + tokens.cache_read;
    line(
        "cost",
        Some(format!(
            "{} for {read} tokens read and {} written, {} ms",
            dollars(record.nano_usd),
            tokens.output,
            record.took_ms
        )),
    );
    line("made from", Some(record.context_digest.clone()));
    line("flags", Some(record.flags.join("\n")));
    line("payload", Some(serde_json::to_string_pretty(&record.payload)?));
    line("message", Some(serde_json::to_string_pretty(&record.message)?));
    Ok(text)
}
