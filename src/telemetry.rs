//! Logs: JSON lines in daily files below the home, with the fields of the spans around each event; nothing on the terminal.
//!
//! Every span that works on a message carries its trace id in a field `trace`, so one search shows everything that came of a
//! message. Must never let a secret through: every line passes [`redact()`].

pub mod audit;
mod hooks;
pub mod redact;
mod writer;

use std::os::unix::fs::PermissionsExt;

use color_eyre::Section;
use color_eyre::eyre::WrapErr;
use tracing::Subscriber;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_appender::rolling::{RollingFileAppender, Rotation};
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

pub use hooks::{install_hooks, readable};
pub use redact::{redact, register};

use crate::config::{Config, private_folder};

/// Lines that may wait for the disk. Further ones are dropped and counted: a slow disk must not stop the work.
const WAITING_LINES: usize = 16_384;

/// Keeps the log going; what waits is written when it is dropped.
#[must_use = "the log ends when this is dropped"]
pub struct Guard {
    dropped: ErrorCounter,
    _worker: WorkerGuard,
}

impl Guard {
    /// How many lines did not fit into the queue before the disk.
    pub fn dropped(&self) -> usize {
        self.dropped.dropped_lines()
    }
}

/// Starts the log of this process in [`Config::logs`], and makes the home for it.
///
/// # Errors
/// Where the folder or the file cannot be made, or a log was started before.
pub fn install(config: &Config) -> color_eyre::Result<Guard> {
    let folder = config.logs();
    config
        .make_home()
        .and_then(|()| private_folder(&folder))
        .suggestion("Choose another folder with `--home DIR`, or make this one writable")?;
    let file = RollingFileAppender::builder()
        .rotation(Rotation::DAILY)
        .filename_prefix("fullsend")
        .filename_suffix("log")
        .max_log_files(usize::try_from(config.log.keep).unwrap_or(usize::MAX))
        .build(&folder)
        .wrap_err_with(|| format!("the log in {} cannot be opened", folder.display()))
        .suggestion("Choose another folder with `--home DIR`, or make this one writable")?;
    // The appender makes files as the process's umask says; the folder is closed anyway.
    for entry in folder.read_dir()?.flatten() {
        let _ = std::fs::set_permissions(entry.path(), std::fs::Permissions::from_mode(0o600));
    }
    let (writer, worker) =
        NonBlockingBuilder::default().buffered_lines_limit(WAITING_LINES).lossy(true).thread_name("log").finish(file);
    let dropped = writer.error_counter();
    let filter =
        EnvFilter::try_new(&config.log.level).wrap_err_with(|| format!("`{}` is no log filter", config.log.level))?;
    subscriber(writer, filter).try_init().wrap_err("the log was started before")?;
    Ok(Guard { dropped, _worker: worker })
}

/// Formats events as JSON lines, one write a line, without secrets.
fn subscriber<W>(writer: W, filter: EnvFilter) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(true)
        .with_writer(writer::Redacting(writer));
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        // Error reports then say in which spans, so of which trace, they happened.
        .with(tracing_error::ErrorLayer::default())
}

#[cfg(test)]
mod tests;
