//! `fullsend restore`: a backup, back on an empty bus.
//!
//! Must never write anything before the whole file has proved to be what was written.

use std::io::{self, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use color_eyre::Section;
use color_eyre::eyre::{Report, WrapErr};
use serde_json::json;
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncRead, AsyncSeekExt, BufReader};

use super::output::OK;
use super::{Context, open};
use crate::bus::SharedBus;
use crate::bus::backup::{self, BackupError, Counts};

/// Bytes read in one go.
const BUFFER: usize = 256 * 1024;
/// Progress is told every so many records.
const TELL: u64 = 100_000;

/// Puts a backup back on an empty bus
///
/// The file is read to its end first: one that was cut off or altered is refused, and nothing is written. The bus must be empty;
/// choose a fresh one with `--home`, `--bus` or `--prefix`. `-` reads standard input.
///
/// Example: fullsend restore fullsend-monday.jsonl --home ~/second
#[derive(clap::Args)]
pub struct Args {
    /// The file, or `-`
    #[arg(id = "backup_file", value_name = "FILE")]
    pub file: PathBuf,
}

/// Puts the backup back.
///
/// # Errors
/// Where the file is no whole backup, or the bus is not empty.
pub async fn run(args: &Args, cx: &Context) -> color_eyre::Result<ExitCode> {
    let mut file = if args.file == Path::new("-") {
        cx.config.make_home()?;
        let spool = cx.config.home.join(format!(".restore.{}.tmp", std::process::id()));
        spooled(tokio::io::stdin(), &spool).await.wrap_err("standard input cannot be kept")?
    } else {
        File::open(&args.file).await.wrap_err_with(|| format!("{} cannot be read", args.file.display()))?
    };
    let name = args.file.display().to_string();
    // A file that is none is refused before the bus is touched.
    let total = verify(&mut file, &name).await?.total();
    let bus = open::bus(cx).await?;
    let done = restore(&bus, cx, &mut file, &name, total).await;
    bus.close().await;
    done
}

/// Keeps what comes in a file that has no name any more.
async fn spooled(mut from: impl AsyncRead + Unpin, path: &Path) -> io::Result<File> {
    let mut file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path).await?;
    tokio::fs::remove_file(path).await?;
    tokio::io::copy(&mut from, &mut file).await?;
    Ok(file)
}

async fn verify(file: &mut File, name: &str) -> color_eyre::Result<Counts> {
    let refused = || format!("{name} is not restored; nothing was written");
    file.seek(SeekFrom::Start(0)).await.wrap_err_with(refused)?;
    let read = backup::verify(BufReader::with_capacity(BUFFER, &mut *file)).await;
    let (_, counts) = read.wrap_err_with(refused).suggestion("Take another copy of the backup")?;
    Ok(counts)
}

async fn restore(
    bus: &SharedBus,
    cx: &Context,
    file: &mut File,
    name: &str,
    total: u64,
) -> color_eyre::Result<ExitCode> {
    file.seek(SeekFrom::Start(0)).await?;
    let tell = |count: u64| {
        if count.is_multiple_of(TELL) {
            cx.out.remark(&format!("{count} of {total}"));
        }
    };
    let counts =
        backup::put_back(bus, BufReader::with_capacity(BUFFER, file), tell).await.map_err(|err| failed(err, name))?;
    let health = bus.health().await?;
    if cx.out.is_json() {
        let (engine, location) = (health.engine, health.location);
        cx.out.json(&json!({ "file": name, "engine": engine, "location": location, "counts": counts, "records": counts.total() }))?;
    } else {
        cx.out.text(&format!("restored {counts} from {name} to {} ({})", health.engine, health.location))?;
    }
    Ok(OK)
}

fn failed(err: BackupError, name: &str) -> Report {
    match err {
        // It says all that is needed, and nothing has happened.
        BackupError::Bus(err @ crate::bus::BusError::NotEmpty(_)) => Report::new(err),
        err => Report::new(err)
            .wrap_err(format!("{name} was not restored"))
            .suggestion("The bus may hold a part of it: choose an empty one before the next attempt"),
    }
}

#[cfg(test)]
mod tests;
