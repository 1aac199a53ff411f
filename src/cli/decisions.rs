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
use crate::services::orchestrator::record::{self, Record, dollars};

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
        cx.out.text(&in_words(&found))?;
    }
    Ok(OK)
}

fn in_words(record: &Record) -> String {
    let line = |(name, words): (&str, String)| format!("{name:<12}{}\n", words.replace('\n', "\n            "));
    record.told().into_iter().map(line).collect()
}
