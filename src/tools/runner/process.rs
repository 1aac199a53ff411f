//! A tool's process, and all that came of it.
//!
//! Owns starting it, its streams, what it may take while it runs, and its end: gently, then for good. Must never leave a process behind, and
//! never wait for a tool that does not read what it is given.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::lines::{Came, Lines};
use crate::tools::sandbox::Shut;
use crate::tools::sandbox::group::Group;
use crate::tools::sandbox::inside::PROCESSES;

/// Most bytes of a line.
const LINE_LIMIT: usize = 256 * 1_024;
/// How often it is looked at what it takes.
const LOOK: Duration = Duration::from_millis(100);
/// Every so many looks, at its work folder.
const FOLDER: u32 = 5;
/// Most bytes of its work folder, and most files.
const DISK: u64 = 256 << 20;
const FILES: u64 = 100_000;
/// How long the parts of an end may take; together less than two seconds.
const HARD: Duration = Duration::from_millis(500);
/// Lines of standard error that wait.
const WAITING: usize = 64;

/// What happened.
pub(super) enum Happened {
    /// It wrote a line.
    Line(Came),
    /// It said a line on standard error.
    Said(Came),
    /// It takes more than it may.
    TooMuch(String),
    /// It ended; something may still be read.
    Ended,
    /// It ended, and everything is read.
    Over,
}

/// A tool that runs.
#[expect(clippy::struct_excessive_bools, reason = "its three ends come in any order")]
pub(super) struct Running {
    child: Child,
    pid: Option<Pid>,
    is_wrapped: bool,
    group: Option<Group>,
    /// Whether each of these has come to its end: itself, its output, what it says.
    has_ended: bool,
    is_read: bool,
    is_heard: bool,
    status: Option<ExitStatus>,
    stdout: Lines<BufReader<ChildStdout>>,
    said: mpsc::Receiver<Came>,
    stdin: Option<mpsc::Sender<Vec<u8>>>,
    too_much: mpsc::Receiver<String>,
    /// End with it.
    _helpers: JoinSet<()>,
}

impl Running {
    /// Starts it. `work` is its work folder.
    pub(super) fn start(shut: Shut, work: &Path) -> io::Result<Self> {
        let Shut { mut command, group, is_wrapped } = shut;
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let missing = || io::Error::other("a stream of the tool is missing");
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (stdin, stdout, stderr) =
            (stdin.ok_or_else(missing)?, stdout.ok_or_else(missing)?, stderr.ok_or_else(missing)?);
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).map(Pid::from_raw);
        let mut helpers = JoinSet::new();
        let (give, given) = mpsc::channel(4);
        helpers.spawn(feed(stdin, given));
        let (say, said) = mpsc::channel(WAITING);
        helpers.spawn(hear(stderr, say));
        let (warn, too_much) = mpsc::channel(1);
        helpers.spawn(look(pid, work.to_owned(), warn));
        Ok(Self {
            child,
            pid,
            is_wrapped,
            group,
            has_ended: false,
            is_read: false,
            is_heard: false,
            status: None,
            stdout: Lines::new(BufReader::with_capacity(64 * 1_024, stdout), LINE_LIMIT),
            said,
            stdin: Some(give),
            too_much,
            _helpers: helpers,
        })
    }

    /// What happens next. May be dropped at any time.
    pub(super) async fn next(&mut self) -> Happened {
        let Self { child, stdout, said, too_much, status, .. } = self;
        loop {
            if self.has_ended && self.is_read && self.is_heard {
                return Happened::Over;
            }
            tokio::select! {
                biased;
                // A pipe that breaks is one that ended.
                came = stdout.next(), if !self.is_read => match came.unwrap_or(Came::End) {
                    Came::End => self.is_read = true,
                    came => return Happened::Line(came),
                },
                came = said.recv(), if !self.is_heard => match came {
                    None => self.is_heard = true,
                    Some(came) => return Happened::Said(came),
                },
                Some(why) = too_much.recv() => return Happened::TooMuch(why),
                ended = child.wait(), if !self.has_ended => {
                    self.has_ended = true;
                    *status = ended.ok();
                    return Happened::Ended;
                }
            }
        }
    }

    /// Gives it a line. Where it does not read, the line waits, and this does not.
    pub(super) fn give(&self, mut line: Vec<u8>) {
        line.push(b'\n');
        if let Some(stdin) = &self.stdin {
            // More than it was asked for is not given, so the place is there; one that has ended needs nothing.
            stdin.try_send(line).ok();
        }
    }

    /// Closes its standard input.
    pub(super) fn close(&mut self) {
        self.stdin = None;
    }

    /// Waits a moment for its end.
    async fn wait(&mut self) {
        if let Ok(ended) = tokio::time::timeout(HARD, self.child.wait()).await {
            self.has_ended = true;
            self.status = ended.ok();
        }
    }

    /// Asks it to end: it may still say what it had begun.
    pub(super) async fn ask_to_end(&mut self) {
        self.close();
        let Some(pid) = self.pid.filter(|_| !self.has_ended) else { return };
        // Of the wrapper's two processes neither may go: everything else would go with it.
        let spared = if self.is_wrapped { 2 } else { 0 };
        for process in tree(pid).await.into_iter().skip(spared) {
            kill(process, Signal::SIGTERM).ok();
        }
    }

    /// Ends it, and all that came of it, and waits until they are gone. How it ended, and the limit that it met, in words.
    pub(super) async fn end(&mut self) -> (Option<ExitStatus>, Option<String>) {
        self.close();
        let Some(group) = self.group.take() else { return (self.end_tree().await, None) };
        let met = group.met();
        if !self.has_ended {
            // All at once: nothing in it can make another.
            group.kill();
            self.wait().await;
        }
        if !group.end().await {
            tracing::warn!(pid = self.pid.map(Pid::as_raw), "something of a tool does not end");
        }
        (self.status, met)
    }

    async fn end_tree(&mut self) -> Option<ExitStatus> {
        if !self.has_ended
            && let Some(pid) = self.pid
        {
            // The first process of its world takes all others with it, and the wrapper then ends by itself, having waited for it.
            let all = tree(pid).await;
            let spared = usize::from(self.is_wrapped);
            for process in all.into_iter().skip(spared) {
                kill(process, Signal::SIGKILL).ok();
            }
            if self.is_wrapped {
                self.wait().await;
            }
            if !self.has_ended {
                killpg(pid, Signal::SIGKILL).ok();
                self.wait().await;
            }
        }
        if let (Some(pid), false) = (self.pid, self.is_wrapped) {
            // What it left behind in its group.
            killpg(pid, Signal::SIGKILL).ok();
        }
        self.status
    }
}

/// Writes what is given, until it is closed.
async fn feed(mut stdin: ChildStdin, mut given: mpsc::Receiver<Vec<u8>>) {
    while let Some(line) = given.recv().await {
        if stdin.write_all(&line).await.is_err() || stdin.flush().await.is_err() {
            return;
        }
    }
}

/// Hands on what it says on standard error.
async fn hear(stderr: ChildStderr, say: mpsc::Sender<Came>) {
    let mut lines = Lines::new(BufReader::new(stderr), LINE_LIMIT);
    while let Ok(came) = lines.next().await {
        if came == Came::End || say.send(came).await.is_err() {
            return;
        }
    }
}

/// Looks at what it takes, until it is too much.
async fn look(pid: Option<Pid>, work: PathBuf, warn: mpsc::Sender<String>) {
    for turn in 1_u32.. {
        tokio::time::sleep(LOOK).await;
        let work = turn.is_multiple_of(FOLDER).then(|| work.clone());
        let looked = tokio::task::spawn_blocking(move || {
            let most = usize::try_from(PROCESSES).unwrap_or(usize::MAX);
            // The shell, the wrapper and the relay are not the tool's. Where a control group holds it, it never comes to that.
            let processes = pid.map_or(0, |pid| walk(pid, most + 9).len());
            if processes > most + 8 {
                return Some(format!("it had more than {PROCESSES} processes"));
            }
            let taken = work.map_or((0, 0), |work| size(&work));
            let is_too_much = taken.0 > DISK || taken.1 > FILES;
            is_too_much.then(|| format!("it wrote more than {} MiB or {FILES} files into its work folder", DISK >> 20))
        });
        if let Ok(Some(why)) = looked.await {
            warn.send(why).await.ok();
            return;
        }
    }
}

/// A process and all that came of it, itself first, its children next.
async fn tree(pid: Pid) -> Vec<Pid> {
    tokio::task::spawn_blocking(move || walk(pid, 4_096)).await.unwrap_or_else(|_| vec![pid])
}

fn walk(pid: Pid, most: usize) -> Vec<Pid> {
    let mut found = Vec::new();
    let mut next = VecDeque::from([pid]);
    while let Some(pid) = next.pop_front() {
        found.push(pid);
        if found.len() >= most {
            break;
        }
        for thread in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            next.extend(children.split_whitespace().filter_map(|pid| pid.parse().ok()).map(Pid::from_raw));
        }
    }
    found
}

/// Bytes on the disk and files below a folder. Links are not followed.
fn size(folder: &Path) -> (u64, u64) {
    let (mut bytes, mut files) = (0, 0);
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            files += 1;
            let Ok(found) = entry.metadata() else { continue };
            bytes += found.blocks() * 512;
            if bytes > DISK || files > FILES {
                return (bytes, files);
            }
            if found.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    (bytes, files)
}
