//! `fullsend schedules`: when experiments run by themselves.

#[cfg(test)]
mod tests;

use std::process::ExitCode;

use chrono::{DateTime, Local, Utc};
use serde_json::json;

use super::Context;
use super::experiments::known;
use super::output::OK;
use crate::bus::{Document, SharedBus};
use crate::contracts::envelope::{read_time, rfc3339};
use crate::contracts::untrusted::sanitize_line;
use crate::experiments::schedule::Schedule;

/// Shows when experiments run by themselves
///
/// The next moments by the clock of the schedule's zone and by the clock here, what becomes of moments that passed, and whether the
/// schedule is active.
///
/// Example: fullsend schedules --count 3
#[derive(clap::Args)]
pub struct Args {
    /// So many moments of each
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=100))]
    count: u8,

    /// Those that are cancelled or done, too
    #[arg(long)]
    all: bool,
}

/// Prints them.
///
/// # Errors
/// Where the bus cannot be used.
pub fn run(args: &Args, cx: &Context) -> color_eyre::Result<ExitCode> {
    super::with_bus(cx, async |bus| show(args, cx, bus).await)
}

async fn show(args: &Args, cx: &Context, bus: &SharedBus) -> color_eyre::Result<ExitCode> {
    let mut rows = Vec::new();
    for (id, document) in known::all(bus, "schedules:").await? {
        let state = document.get("state").unwrap_or("active");
        if state != "active" && !args.all {
            continue;
        }
        let read = Schedule::parse(document.get("cron").unwrap_or_default(), document.get("timezone"));
        let moments = moments(&document, read.as_ref().ok(), usize::from(args.count));
        let missed = document.get("missed").unwrap_or("once");
        if cx.out.is_json() {
            let zoned = |at: &DateTime<Utc>| read.as_ref().ok().map(|read| at.with_timezone(&read.zone()).to_rfc3339());
            cx.out.json(&json!({
                "experiment_id": sanitize_line(&id, 200),
                "cron": document.get("cron").map(|cron| sanitize_line(cron, 100)),
                "timezone": read.as_ref().ok().map(|read| read.zone().name()),
                "words": read.as_ref().ok().map(Schedule::describe),
                "error": read.as_ref().err().map(ToString::to_string),
                "state": sanitize_line(state, 40),
                "missed": sanitize_line(missed, 40),
                "next": moments.iter().map(|at| rfc3339(*at)).collect::<Vec<_>>(),
                "next_in_zone": moments.iter().map(zoned).collect::<Vec<_>>(),
                "last_run_id": document.get("last_run_id").map(|run| sanitize_line(run, 100)),
            }))?;
            continue;
        }
        let words = match &read {
            Ok(read) => read.describe(),
            Err(err) => err.to_string(),
        };
        let in_zone = |at: &DateTime<Utc>| match &read {
            Ok(read) => at.with_timezone(&read.zone()).format("%a %Y-%m-%d %H:%M %Z").to_string(),
            Err(_) => rfc3339(*at),
        };
        let here = |at: &DateTime<Utc>| at.with_timezone(&Local).format("%a %Y-%m-%d %H:%M %:z").to_string();
        rows.push([
            sanitize_line(&id, 80),
            sanitize_line(state, 40),
            words.clone(),
            moments.first().map(in_zone).unwrap_or_default(),
            moments.first().map(here).unwrap_or_default(),
            sanitize_line(missed, 40),
        ]);
        rows.extend(
            moments
                .iter()
                .skip(1)
                .map(|at| [String::new(), String::new(), String::new(), in_zone(at), here(at), String::new()]),
        );
    }
    if !cx.out.is_json() {
        cx.out.table(["EXPERIMENT", "STATE", "WHEN", "NEXT", "NEXT HERE", "MISSED"], &rows)?;
    }
    Ok(OK)
}

/// The next moments: the one that is waited for, and those after it.
fn moments(document: &Document, schedule: Option<&Schedule>, count: usize) -> Vec<DateTime<Utc>> {
    let Some(next) = document.get("next_at").and_then(read_time) else { return Vec::new() };
    let later = schedule.map(|schedule| schedule.upcoming(next, count.saturating_sub(1))).unwrap_or_default();
    std::iter::once(next).chain(later).collect()
}
