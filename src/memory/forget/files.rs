//! Files that name a person: those that tools wrote in their work folders go, those that are people's own are named.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use super::Wanted;

/// How deep work folders are looked into.
const DEPTH: usize = 6;
/// Most bytes of a line.
const LINE: u64 = 4 * 1_024 * 1_024;

/// Removes the files below a folder that name the person. Answers which, and those that could not be removed. Blocks.
pub fn remove_files(folder: &Path, address: &str) -> (Vec<PathBuf>, Vec<(PathBuf, String)>) {
    let wanted = Wanted::new(address);
    let (mut removed, mut left) = (Vec::new(), Vec::new());
    let mut open = vec![(folder.to_owned(), 0)];
    while let Some((folder, depth)) = open.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            // A link leads out of the folder; what it leads to is somebody else's.
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() && depth < DEPTH {
                open.push((entry.path(), depth + 1));
            } else if kind.is_file() && is_in_file(&wanted, &entry.path()).unwrap_or(false) {
                match fs::remove_file(entry.path()) {
                    Ok(()) => removed.push(entry.path()),
                    Err(err) => left.push((entry.path(), err.to_string())),
                }
            }
        }
    }
    removed.sort();
    (removed, left)
}

/// In how many lines of a file the person is named. Blocks.
///
/// # Errors
/// Where it cannot be read.
pub fn named_in(path: &Path, address: &str) -> io::Result<u64> {
    count(&Wanted::new(address), path)
}

fn is_in_file(wanted: &Wanted, path: &Path) -> io::Result<bool> {
    count(wanted, path).map(|count| count > 0)
}

fn count(wanted: &Wanted, path: &Path) -> io::Result<u64> {
    let mut file = BufReader::new(File::open(path)?);
    let (mut count, mut line) = (0, Vec::new());
    loop {
        line.clear();
        if (&mut file).take(LINE).read_until(b'\n', &mut line)? == 0 {
            return Ok(count);
        }
        count += u64::from(wanted.is_in(&String::from_utf8_lossy(&line)));
    }
}
