//! `fullsend record`: everything that a control room would be shown, in a file, until somebody ends it.
//!
//! A viewer: it changes nothing on the bus. Must never hold the bus back, nor write a secret.

use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use color_eyre::Section;
use color_eyre::eyre::{WrapErr, bail};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::output::{OK, Usage};
use super::{Context, room};
use crate::bus::SharedBus;
use crate::config::{duration, private_file};
use crate::contracts::Clock;
use crate::tui::feed::{Batch, Feed, QUEUE};
use crate::tui::recording::{Head, Recorder, Took};

/// Records what a control room would be shown
///
/// Messages, documents and notices, with their times, until Ctrl-C. Secrets are taken out, as they are out of logs; the file is readable
/// by its owner only. `fullsend replay` plays it.
///
/// Example: fullsend record launch.recording --for 10m
#[derive(clap::Args)]
pub struct Args {
    /// The file
    #[arg(id = "recording", value_name = "FILE")]
    pub file: PathBuf,

    /// End after this time
    #[arg(id = "length", long = "for", value_name = "DURATION", value_parser = duration::parse)]
    pub length: Option<Duration>,

    /// End where the file has so many MiB
    #[arg(long, default_value_t = 256, value_name = "N")]
    pub megabytes: u64,

    /// Write over a file that is there
    #[arg(long)]
    pub force: bool,
}

/// Records.
///
/// # Errors
/// Where the bus cannot be read, or the file not written.
pub fn run(args: &Args, cx: &Context) -> color_eyre::Result<ExitCode> {
    super::with_bus(cx, async |bus| record(args, cx, bus).await)
}

async fn record(args: &Args, cx: &Context, bus: &SharedBus) -> color_eyre::Result<ExitCode> {
    if !args.force && args.file.exists() {
        bail!(Usage(format!("{} is there already; `--force` writes over it", args.file.display())));
    }
    let about = room::about(cx, bus, false, None).await?;
    let file = private_file(&args.file).suggestion("Choose another file")?;
    let most = args.megabytes.saturating_mul(1 << 20);
    let recorder = Recorder::begin(BufWriter::new(file), &Head::of(&about, cx.clock.now()), most)?;
    let (queue, items) = mpsc::channel(QUEUE);
    let feed = Feed { bus: Arc::clone(bus), clock: Arc::clone(&cx.clock), queue };
    let stop = CancellationToken::new();
    let (clock, full) = (Arc::clone(&cx.clock), stop.clone());
    let written = tokio::task::spawn_blocking(move || write(recorder, items, &*clock, &full));
    let fed = tokio::spawn(feed.run(stop.clone()));
    let mut interrupted = signal(SignalKind::interrupt()).wrap_err("signals cannot be heard")?;
    let mut terminated = signal(SignalKind::terminate()).wrap_err("signals cannot be heard")?;
    cx.out.remark(&format!("recording into {}; Ctrl-C ends it", args.file.display()));
    let over = async {
        match args.length {
            Some(length) => tokio::time::sleep(length).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = interrupted.recv() => {}
        _ = terminated.recv() => {}
        () = over => {}
        () = stop.cancelled() => {}
    }
    stop.cancel();
    fed.await.wrap_err("the feed ended in disorder")?;
    let done = written.await.wrap_err("the recording ended in disorder")?;
    let (recorder, is_full) = done.wrap_err_with(|| format!("{} could not be written", args.file.display()))?;
    let (count, bytes) = recorder.written();
    if is_full {
        cx.out
            .remark(&format!("warning: it ended because {} MiB are full; `--megabytes N` allows more", args.megabytes));
    }
    if cx.out.is_json() {
        cx.out.json(&json!({ "file": args.file, "items": count, "bytes": bytes, "full": is_full }))?;
    } else {
        let shown = args.file.display();
        cx.out.text(&format!(
            "wrote {shown}: {count} items, {} KiB; `fullsend replay {shown}` plays it",
            bytes / 1_024
        ))?;
    }
    Ok(OK)
}

type Written = Recorder<BufWriter<File>>;

/// Writes what comes, beside the bus, until the feed ends or the file is full.
fn write(
    mut recorder: Written,
    mut items: mpsc::Receiver<Batch>,
    clock: &dyn Clock,
    full: &CancellationToken,
) -> std::io::Result<(Written, bool)> {
    let mut is_full = false;
    while let Some(batch) = items.blocking_recv() {
        let at = clock.now();
        for item in &batch {
            // What comes after the last that fits is let go, so that nobody waits.
            if is_full {
                break;
            }
            match recorder.take(at, item) {
                Ok(took) => is_full = took == Took::Full,
                Err(err) => {
                    full.cancel();
                    return Err(err);
                }
            }
        }
        if is_full {
            full.cancel();
        }
        // A crash leaves what came until a moment ago.
        if items.is_empty() {
            recorder.flush()?;
        }
    }
    recorder.flush()?;
    Ok((recorder, is_full))
}
