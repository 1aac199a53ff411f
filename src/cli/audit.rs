//! `fullsend audit`: what was approved, denied, ordered and done, and whether that record is whole.

#[cfg(test)]
mod tests;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use color_eyre::Section;
use color_eyre::eyre::WrapErr;
use serde_json::{Value, json};

use super::Context;
use super::output::{FAILED, OK};
use crate::bus::{Bound, EntryId, Key, Range, SharedBus, State};
use crate::contracts::envelope::rfc3339;
use crate::contracts::messages::{Audit, AuditRecord};
use crate::contracts::untrusted::sanitize_line;
use crate::contracts::{Body, ChannelName, keys};
use crate::services::gate;
use crate::telemetry::audit::{Broken, Checker, Head};

/// Records read at a time.
const PAGE: usize = 1_000;
/// Characters of a name or a reason in the list.
const LIMIT: usize = 80;

/// Shows the audit chain, and checks it
///
/// Each approval, denial, order and rule is a record that carries the hash of the one before, in `fullsend:audit` and in a copy in the
/// home: `audit-….jsonl`, a file for each chain.
///
/// Example: fullsend audit verify
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Checks that nothing was changed, left out, reordered or cut off
    Verify {
        /// A copy of the chain; otherwise that of this bus's chain in the home, or what the bus holds where there is none
        file: Option<PathBuf>,
    },
    /// Shows the newest records, the oldest of them first
    Tail {
        /// So many
        #[arg(long, short = 'n', value_name = "N", default_value_t = 20)]
        lines: usize,
    },
}

/// Does it.
///
/// # Errors
/// Where the file or the bus cannot be read.
pub fn run(args: &Args, cx: &Context) -> color_eyre::Result<ExitCode> {
    super::with_bus(cx, async |bus| act(args, cx, bus).await)
}

async fn act(args: &Args, cx: &Context, bus: &SharedBus) -> color_eyre::Result<ExitCode> {
    match &args.action {
        Action::Verify { file } => verify(file.as_deref(), cx, bus).await,
        Action::Tail { lines } => tail(*lines, cx, bus).await,
    }
}

/// What was checked, and how far it held.
struct Checked {
    place: String,
    checker: Checker,
    broken: Option<Broken>,
    /// Entries of the stream that the gate did not say: they are no records.
    strangers: usize,
}

impl Checked {
    fn of(place: String) -> Self {
        Self { place, checker: Checker::default(), broken: None, strangers: 0 }
    }
}

async fn verify(file: Option<&Path>, cx: &Context, bus: &SharedBus) -> color_eyre::Result<ExitCode> {
    let (chain, head) = match bus.get(&Key::new(keys::AUDIT_HEAD)).await? {
        Some(State::Hash(document)) => (gate::chain(&document).map(str::to_owned), gate::head(&document)),
        _ => (None, Head::default()),
    };
    // A file of another chain says nothing about this one.
    let copy = Some(gate::copy_file(&cx.config.home, chain.as_deref())).filter(|copy| head.number > 0 && copy.exists());
    let path = file.or(copy.as_deref());
    let mut checked = match path {
        Some(path) => check_file(path)?,
        None => Checked::of(ChannelName::Audit.to_string()),
    };
    let in_file = path.map(|_| checked.checker.head().number);
    if checked.broken.is_none() {
        // What the file does not hold yet must follow it on the bus.
        check_stream(bus, &mut checked, path.is_none()).await?;
    }
    if checked.broken.is_none() {
        checked.broken = checked.checker.ends_at(&head).err();
    }
    let last = checked.checker.head().number;
    let waiting = in_file.map(|number| last.saturating_sub(number)).filter(|_| checked.broken.is_none());
    if cx.out.is_json() {
        let broken = checked.broken.as_ref().map(ToString::to_string);
        cx.out.json(&json!({
            "place": checked.place, "records": last, "head": head, "whole": broken.is_none(), "broken": broken,
            "not_copied": waiting, "passed_over": checked.strangers,
        }))?;
    } else if let Some(broken) = &checked.broken {
        cx.out.text(&format!("{}: {broken}", checked.place))?;
        cx.out.remark(&format!(
            "the last good record is {last}; compare with another copy, and find out who wrote there"
        ));
    } else {
        let behind = match waiting {
            Some(count) if count > 0 => format!(" ({count} of them not copied yet)"),
            _ => String::new(),
        };
        cx.out.text(&format!("{}: whole, {last} records{behind}", checked.place))?;
    }
    if checked.strangers > 0 {
        cx.out.remark(&format!("{} entries of the stream are not the gate's, and were passed over", checked.strangers));
    }
    Ok(if checked.broken.is_none() { OK } else { FAILED })
}

fn check_file(path: &Path) -> color_eyre::Result<Checked> {
    let file = std::fs::File::open(path)
        .wrap_err_with(|| format!("{} cannot be read", path.display()))
        .suggestion("`fullsend audit verify` without a file checks what the bus holds")?;
    let mut checked = Checked::of(path.display().to_string());
    for line in BufReader::new(file).split(b'\n') {
        let line = line.wrap_err_with(|| format!("{} cannot be read", path.display()))?;
        if let Err(broken) = checked.checker.next(&String::from_utf8_lossy(&line), false) {
            checked.broken = Some(broken);
            break;
        }
    }
    Ok(checked)
}

/// Checks what the bus holds beyond what was checked. Its beginning may have been trimmed.
async fn check_stream(bus: &SharedBus, checked: &mut Checked, trimmed: bool) -> color_eyre::Result<()> {
    let mut cursor = EntryId::ZERO;
    loop {
        let page = bus.range(ChannelName::Audit, Range::after(cursor, PAGE)).await?;
        let Some(last) = page.last() else { return Ok(()) };
        cursor = last.id;
        for entry in &page {
            if !entry.is_believed() {
                checked.strangers += 1;
                continue;
            }
            let number = serde_json::from_str::<Value>(&entry.b).ok().and_then(|body| body.get("number")?.as_u64());
            let known = !trimmed && number.is_some_and(|number| number <= checked.checker.head().number);
            if known {
                continue;
            }
            if let Err(broken) = checked.checker.next(&entry.b, trimmed) {
                checked.broken = Some(broken);
                return Ok(());
            }
        }
    }
}

async fn tail(lines: usize, cx: &Context, bus: &SharedBus) -> color_eyre::Result<ExitCode> {
    let mut records = Vec::new();
    let mut range = Range::newest(PAGE.min(lines.max(1)));
    while records.len() < lines {
        let page = bus.range(ChannelName::Audit, range).await?;
        let Some(last) = page.last() else { break };
        range.to = Bound::Entry(last.id);
        records.extend(page.iter().filter(|entry| entry.is_believed()).filter_map(|entry| {
            match Audit::read(&entry.b) {
                Ok(Audit::Record(record)) => Some(record),
                Err(_) => None,
            }
        }));
    }
    records.truncate(lines);
    records.reverse();
    if cx.out.is_json() {
        records.iter().try_for_each(|record| cx.out.json(record))?;
    } else if records.is_empty() {
        cx.out.remark("nothing was approved, denied or ordered yet");
    } else {
        let rows: Vec<_> = records.iter().map(row).collect();
        cx.out.table(["NUMBER", "TIME", "EVENT", "SUBJECT", "BY", "WHERE", "WHAT"], &rows)?;
    }
    Ok(OK)
}

fn row(record: &AuditRecord) -> [String; 7] {
    let clean = |text: &str| sanitize_line(text, LIMIT);
    let text = |name: &str| record.details.get(name).and_then(Value::as_str);
    let what = text("title").or_else(|| text("order")).unwrap_or_default();
    let what = match text("refused").or_else(|| text("reason")) {
        Some(reason) if !what.is_empty() => format!("{what}: {reason}"),
        Some(reason) => reason.to_owned(),
        None => what.to_owned(),
    };
    [
        record.number.to_string(),
        rfc3339(record.at),
        clean(&record.event),
        clean(&record.subject),
        clean(&record.by),
        record.surface.as_deref().map_or_else(|| "-".to_owned(), clean),
        clean(&what),
    ]
}
