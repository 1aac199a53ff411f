//! `fullsend forget`: a person is taken out of everything, and not written to any more.
//!
//! Must never say that nothing is left where something is.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use color_eyre::eyre::WrapErr;
use serde_json::json;

use super::output::OK;
use super::suppressions::{address, set};
use super::{Context, operator};
use crate::bus::SharedBus;
use crate::contracts::keys;
use crate::contracts::messages::SetSuppression;
use crate::memory::forget::{self, Forgotten, Remains, named_in, remove_files};

/// Removes a person from everything, and writes to them no more
///
/// First they come onto the list of those who are not written to, known there by the hash of their address alone. Then their rows, mails and
/// events are taken out of all documents and lists, and files that tools wrote about them are removed. What remains is told, with the time
/// when it is gone: what was said on the bus until retention removes it, your own files and notes until you change them.
///
/// Example: fullsend forget grace@one.example
#[derive(clap::Args)]
pub struct Args {
    /// The address
    #[arg(value_name = "ADDRESS")]
    address: String,
}

/// Forgets somebody.
///
/// # Errors
/// Where the bus cannot be used, or it is no address.
pub fn run(args: &Args, cx: &Context) -> color_eyre::Result<ExitCode> {
    super::with_bus(cx, async |bus| act(args, &operator(), cx, bus).await)
}

pub(super) async fn act(args: &Args, by: &str, cx: &Context, bus: &SharedBus) -> color_eyre::Result<ExitCode> {
    let address = address(&args.address)?;
    let person = keys::person(&address);
    let reason = Some(forget::REASON.to_owned());
    // First, so that nothing goes out while the rest is done.
    set(&SetSuppression { person, lifted: false, reason, by: Some(by.to_owned()) }, cx, bus).await?;
    let mut done = forget::forget(bus, &address, cx.config.retention.age).await?;
    let (work, sources) = (cx.config.work_folder(), std::mem::take(&mut done.sources));
    let looking = tokio::task::spawn_blocking({
        let address = address.clone();
        move || files(&work, &sources, &address)
    });
    let (removed, remains) = looking.await.wrap_err("the files were not looked at")?;
    done.remains.extend(remains);
    tell(&done, &removed, cx)?;
    Ok(OK)
}

/// Removes what tools wrote, and finds what is the person's own.
fn files(work: &Path, sources: &[String], address: &str) -> (Vec<PathBuf>, Vec<Remains>) {
    let (removed, left) = remove_files(work, address);
    let mut remains: Vec<_> = left
        .into_iter()
        .map(|(path, why)| Remains {
            place: path.display().to_string(),
            count: 1,
            why: format!("it could not be removed: {why}"),
            until: None,
        })
        .collect();
    for source in sources {
        let why = match named_in(Path::new(source), address) {
            Ok(0) => continue,
            Ok(_) => "a file of yours: take them out of it".to_owned(),
            Err(err) => format!("a file that an experiment reads; it cannot be looked at: {err}"),
        };
        let count = named_in(Path::new(source), address).unwrap_or(0);
        remains.push(Remains { place: source.clone(), count, why, until: None });
    }
    (removed, remains)
}

/// What is not looked into at all.
const NOT_LOOKED_AT: &str = "backups, recordings, log files and your mailbox are not looked into";

fn tell(done: &Forgotten, removed: &[PathBuf], cx: &Context) -> color_eyre::Result<()> {
    let files: Vec<_> = removed.iter().map(|path| path.display().to_string()).collect();
    if cx.out.is_json() {
        return cx.out.json(&json!({
            "person": done.person, "suppressed": true, "documents": done.documents, "lists": done.lists, "removed": done.removed,
            "files": files, "remains": done.remains, "not_looked_at": NOT_LOOKED_AT,
        }));
    }
    let changed = done.documents.len() + done.lists.len() + done.removed.len();
    cx.out.text(&format!("suppressed, and taken out of {changed} documents and lists and {} files", files.len()))?;
    for it in &done.remains {
        let until = it.until.map(|until| format!(", until {}", until.format("%Y-%m-%d %H:%M UTC"))).unwrap_or_default();
        cx.out.text(&format!("remains: {} in {}{until} ({})", it.count, it.place, it.why))?;
    }
    cx.out.text(NOT_LOOKED_AT)
}
