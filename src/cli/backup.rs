//! `fullsend backup`: everything on the bus, in a file.
//!
//! Owns where the file appears: whole and at once, or not at all. Must never write over what is no backup of ours to write over.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::ExitCode;
use std::task::{Context as Task, Poll};

use color_eyre::Section;
use color_eyre::eyre::{WrapErr, bail};
use serde_json::json;
use tokio::fs::{self, File, OpenOptions};
use tokio::io::{AsyncWrite, AsyncWriteExt, BufWriter};

use super::output::{Closed, OK, Output, Usage};
use super::{Context, open};
use crate::bus::SharedBus;
use crate::bus::backup::{self, BackupError, Footer};

/// Bytes written in one go.
const BUFFER: usize = 256 * 1024;

/// Writes everything on the bus into a file
///
/// Messages, groups with what they have not handled, state, timers. The file holds one JSON object a line and ends with a
/// checksum; it appears under its name only when it is whole, and only its owner may read it. `-` writes to standard output.
/// Programs may go on running; a backup made meanwhile may hold a message and not yet what came of it.
///
/// Example: fullsend backup fullsend-monday.jsonl
#[derive(clap::Args)]
pub struct Args {
    /// The file, or `-`
    #[arg(id = "backup_file", value_name = "FILE")]
    pub file: PathBuf,

    /// Write over a file that is there
    #[arg(long)]
    pub force: bool,
}

/// Writes the backup.
///
/// # Errors
/// Where the bus cannot be read, or the file not written.
pub async fn run(args: &Args, cx: &Context) -> color_eyre::Result<ExitCode> {
    let to_screen = args.file == Path::new("-");
    if to_screen && io::IsTerminal::is_terminal(&io::stdout()) {
        return Err(Usage("a backup is not for the screen: name a file, or send `-` into a program".to_owned()).into());
    }
    let bus = open::bus(cx).await?;
    let work = async { if to_screen { to_output(&bus, cx).await } else { to_file(&bus, args, cx).await } };
    let done = tokio::select! {
        done = work => done,
        _ = tokio::signal::ctrl_c() => Err(color_eyre::eyre::eyre!("interrupted; no backup was written")),
    };
    bus.close().await;
    done
}

async fn to_output(bus: &SharedBus, cx: &Context) -> color_eyre::Result<ExitCode> {
    let mut out = BufWriter::with_capacity(BUFFER, Printed(&cx.out));
    match backup::write(bus, cx.clock.now(), &mut out, |_| {}).await {
        Ok(footer) => {
            cx.out.remark(&format!("wrote {}", footer.counts));
            Ok(OK)
        }
        Err(BackupError::Io(err)) if err.kind() == io::ErrorKind::BrokenPipe => Err(Closed.into()),
        Err(err) => Err(err.into()),
    }
}

async fn to_file(bus: &SharedBus, args: &Args, cx: &Context) -> color_eyre::Result<ExitCode> {
    let path = target(&args.file, args.force, &cx.config.store()).await?;
    let temporary = Temporary::beside(&path)?;
    let footer = write(bus, cx, &temporary.path)
        .await
        .wrap_err_with(|| format!("the backup {} was not written", path.display()))
        .suggestion("Where the disk is full, choose another; where the bus failed, see `fullsend doctor`")?;
    // Somebody may have made one meanwhile.
    target(&args.file, args.force, &cx.config.store()).await?;
    temporary.keep_as(&path).await.wrap_err_with(|| format!("{} cannot be put in place", path.display()))?;
    if cx.out.is_json() {
        cx.out.json(&json!({ "file": path, "counts": footer.counts, "records": footer.counts.total(), "sha256": footer.sha256 }))?;
    } else {
        cx.out.text(&format!("wrote {}: {}", path.display(), footer.counts))?;
    }
    Ok(OK)
}

/// Where the backup goes: nothing is there, or an ordinary file that may be replaced.
async fn target(file: &Path, force: bool, store: &Path) -> color_eyre::Result<PathBuf> {
    let shown = file.display();
    let Ok(found) = fs::metadata(file).await else {
        if file.file_name().is_none() {
            bail!(Usage(format!("{shown} names no file")));
        }
        return Ok(file.to_owned());
    };
    if !found.is_file() {
        bail!(Usage(format!("{shown} is there and no ordinary file; name another, or `-` for standard output")));
    }
    // Through a link, so that the link stays one.
    let file = fs::canonicalize(file).await?;
    if fs::canonicalize(store).await.is_ok_and(|store| store == file) {
        bail!(Usage(format!("{shown} is the store itself; name another file")));
    }
    if !force {
        bail!(Usage(format!("{shown} is there already; name another file, or write over it with `--force`")));
    }
    Ok(file)
}

async fn write(bus: &SharedBus, cx: &Context, path: &Path) -> Result<Footer, BackupError> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).await?;
    let mut out = BufWriter::with_capacity(BUFFER, file);
    let footer = backup::write(bus, cx.clock.now(), &mut out, |_| {}).await?;
    out.flush().await?;
    out.get_ref().sync_all().await?;
    Ok(footer)
}

/// A file that goes away unless it is kept.
struct Temporary {
    path: PathBuf,
}

impl Temporary {
    fn beside(path: &Path) -> color_eyre::Result<Self> {
        let Some(name) = path.file_name() else { bail!("{} names no file", path.display()) };
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}.tmp", std::process::id()));
        Ok(Self { path: path.with_file_name(hidden) })
    }

    async fn keep_as(self, path: &Path) -> io::Result<()> {
        fs::rename(&self.path, path).await?;
        // The name must survive a power cut, too.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).await?.sync_all().await
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Gone where it was kept.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Our output, as something to write lines to.
struct Printed<'a>(&'a Output);

impl AsyncWrite for Printed<'_> {
    fn poll_write(self: Pin<&mut Self>, _: &mut Task<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        // The buffer above hands on whole lines.
        let text = std::str::from_utf8(bytes).map_err(io::Error::other)?;
        Poll::Ready(match self.0.verbatim(text) {
            Ok(()) => Ok(bytes.len()),
            Err(report) if report.is::<Closed>() => Err(io::ErrorKind::BrokenPipe.into()),
            Err(report) => Err(io::Error::other(report.to_string())),
        })
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Task<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Task<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests;
