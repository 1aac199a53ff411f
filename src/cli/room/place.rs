//! The place of whoever runs the services beside a screen in a home: a lock, and in its file the number of the process that has it.
//!
//! Must never stop a process that does not hold the lock.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::Duration;

use color_eyre::Section;
use color_eyre::eyre::{WrapErr, eyre};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::cli::Context;

/// How long the end of a team is waited for: what is handled gets ten seconds.
const PATIENCE: Duration = Duration::from_secs(15);
/// How often it is looked whether it has ended.
const LOOKS: Duration = Duration::from_millis(100);

fn path(cx: &Context) -> PathBuf {
    cx.config.home.join("room.lock")
}

/// Takes the place; none where it is taken.
///
/// # Errors
/// Where the home cannot be locked.
pub(in crate::cli) fn take(cx: &Context) -> color_eyre::Result<Option<Flock<File>>> {
    let path = path(cx);
    // What it holds is of whoever has the lock.
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = file.wrap_err_with(|| format!("{} cannot be written", path.display()))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => {
            lock.set_len(0)
                .and_then(|()| writeln!(&*lock, "{}", std::process::id()))
                .wrap_err("the place was not marked")?;
            Ok(Some(lock))
        }
        Err((_, Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, err)) => Err(eyre!("the home cannot be locked: {err}")
            .suggestion("Is it on a network file system? Choose another folder with `--home DIR`")),
    }
}

/// The process that has the place; none where nobody has, or it did not say which it is.
pub(in crate::cli) fn holder(cx: &Context) -> Option<u32> {
    let mut text = String::new();
    let mut file = File::open(path(cx)).ok()?;
    file.read_to_string(&mut text).ok()?;
    match Flock::lock(file, FlockArg::LockSharedNonblock) {
        Err((_, Errno::EWOULDBLOCK)) => text.trim().parse().ok(),
        _ => None,
    }
}

/// Tells the team of this home to stop, whichever process runs it now, and waits for its end.
///
/// # Errors
/// Where it has no such process any more, or it cannot be told.
pub(in crate::cli) async fn stop(cx: &Context) -> color_eyre::Result<()> {
    let Some(pid) = holder(cx) else {
        cx.out.remark("the team has stopped already");
        return Ok(());
    };
    // Numbers mean other processes in another container.
    let name = |of: &str| std::fs::read(format!("/proc/{of}/comm")).ok();
    let is_seen = name("self").is_none() || name("self") == name(&pid.to_string());
    let target = i32::try_from(pid).map(Pid::from_raw).ok().filter(|_| is_seen);
    let target =
        target.ok_or_else(|| eyre!("the team's process {pid} cannot be seen from here; stop it where it runs"))?;
    kill(target, Signal::SIGTERM).wrap_err_with(|| format!("process {pid} could not be told to stop"))?;
    cx.out.remark(&format!("stopping the team (process {pid}); what is being handled gets ten seconds to finish"));
    let ended = tokio::time::timeout(PATIENCE, async {
        while holder(cx) == Some(pid) {
            tokio::time::sleep(LOOKS).await;
        }
    });
    let words = if ended.await.is_ok() { "stopped" } else { "it still finishes what it handles, and ends then" };
    cx.out.remark(words);
    Ok(())
}
