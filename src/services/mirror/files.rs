//! The files themselves.
//!
//! Owns reading with a limit, and writing whole files at once. Must never leave a half-written file where a note's should be.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::config::private_file;
use crate::memory::note::NOTE_LIMIT;

/// What stands where a file should be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing.
    Nothing,
    /// A text.
    Text(String),
    /// Something that cannot be taken in, and why.
    Unfit(String),
}

/// What a file looks like from outside: where it changes, so does this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    inode: u64,
    length: u64,
    changed: (i64, i64),
}

impl std::fmt::Display for Mark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}-{}.{}", self.inode, self.length, self.changed.0, self.changed.1)
    }
}

/// None where there is no file.
pub(super) async fn mark(path: &Path) -> Option<Mark> {
    let found = tokio::fs::metadata(path).await.ok()?;
    Some(Mark { inode: found.ino(), length: found.len(), changed: (found.mtime(), found.mtime_nsec()) })
}

/// Runs work on files where it holds up nobody.
async fn beside<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|err| Err(io::Error::other(err)))
}

pub(super) async fn read(path: &Path) -> Found {
    let path = path.to_owned();
    match beside(move || bytes(&path)).await {
        Err(err) if err.kind() == io::ErrorKind::NotFound => Found::Nothing,
        Err(err) => Found::Unfit(err.to_string()),
        Ok(bytes) if bytes.len() > NOTE_LIMIT => Found::Unfit(format!("it is larger than {} KiB", NOTE_LIMIT / 1024)),
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) if text.contains('\0') => Found::Unfit("it holds zero bytes: it is no text".to_owned()),
            Ok(text) => Found::Text(text),
            Err(_) => Found::Unfit("it is not UTF-8".to_owned()),
        },
    }
}

/// At most one byte more than is taken in.
fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    // A pipe or a device would never end.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut bytes = Vec::new();
    let limit = u64::try_from(NOTE_LIMIT).unwrap_or(u64::MAX);
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Writes a whole file at once, mode 0600. Does nothing, and answers false, where there is
/// a file that does not hold `former`.
pub(super) async fn write(path: &Path, text: &str, former: Option<&str>) -> io::Result<bool> {
    let (path, text, former) = (path.to_owned(), text.to_owned(), former.map(str::to_owned));
    beside(move || replace(&path, &text, former.as_deref())).await
}

fn replace(path: &Path, text: &str, former: Option<&str>) -> io::Result<bool> {
    // Through a link, so that it stays one.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let new = beside_it(&target);
    let mut file = private_file(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    drop(file);
    let holds = |path: &Path, former: &str| match bytes(path) {
        Ok(bytes) => bytes == former.as_bytes(),
        Err(err) => err.kind() == io::ErrorKind::NotFound,
    };
    let done = match former {
        Some(former) if !holds(&target, former) => false,
        // Exchanged and looked at again: nothing that was written in between is overwritten.
        Some(former) if exchange(&new, &target).is_ok() => {
            let held = holds(&new, former);
            if !held {
                exchange(&new, &target)?;
            }
            held
        }
        _ => {
            fs::rename(&new, &target)?;
            true
        }
    };
    // By now it is what nobody wants: the text that was not put there, or the one that was there.
    match fs::remove_file(&new) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
        _ => {}
    }
    if let Some(folder) = target.parent().filter(|_| done) {
        File::open(folder)?.sync_all()?;
    }
    Ok(done)
}

/// Each takes the other's place, at once. Where the system or the disk cannot do that, nothing happens.
#[cfg(target_os = "linux")]
fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
    Ok(renameat2(AT_FDCWD, one, AT_FDCWD, other, RenameFlags::RENAME_EXCHANGE)?)
}

/// Elsewhere it cannot be done.
#[cfg(not(target_os = "linux"))]
fn exchange(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// A name that nobody else writes to, not even a former holder of the lease that is just ending.
fn beside_it(target: &Path) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let name = target.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let (process, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    target.with_file_name(format!(".{name}.{process}-{count}.new"))
}

/// Removes what a process that was killed left beside a file.
pub(super) async fn clear(path: &Path) -> io::Result<()> {
    let path = path.to_owned();
    let clear = move || {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
        let start = format!(".{}.", name.to_string_lossy());
        let ours = format!("{start}{}-", std::process::id());
        for entry in folder.read_dir()? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name.starts_with(&start) && name.strip_suffix(".new").is_some() && !name.starts_with(&ours) {
                fs::remove_file(folder.join(name))?;
            }
        }
        Ok(())
    };
    beside(clear).await
}
