//! Folders and files that only their owner may read.
//!
//! Must never loosen or tighten what was there before: a folder that somebody else made is reported, not changed.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Makes a folder of mode 0700, and those above it, where they are not there.
///
/// # Errors
/// Where it cannot be made; the text names the folder.
pub fn private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|err| io::Error::new(err.kind(), format!("the folder {} cannot be made: {err}", path.display())))
}

/// Opens a file for writing, of mode 0600 where it is new; what it held is cut off.
///
/// # Errors
/// Where it cannot be opened; the text names the file.
pub fn private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(|err| io::Error::new(err.kind(), format!("{} cannot be written: {err}", path.display())))
}

/// Whether others than the owner may do something with what is there. False where nothing is there.
pub(super) fn is_open_to_others(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| found.permissions().mode() & 0o077 != 0)
}
