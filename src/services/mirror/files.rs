//! The files themselves.
//!
//! Owns reading with a limit, and writing whole files at once. Must never leave a half-written file where a note's should be.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

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
    if let Some(former) = former {
        let holds = match bytes(&target) {
            Ok(bytes) => bytes == former.as_bytes(),
            Err(err) => err.kind() == io::ErrorKind::NotFound,
        };
        if !holds {
            fs::remove_file(&new)?;
            return Ok(false);
        }
    }
    fs::rename(&new, &target)?;
    if let Some(folder) = target.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok(true)
}

fn beside_it(target: &Path) -> PathBuf {
    let name = target.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    target.with_file_name(format!(".{name}.new"))
}
