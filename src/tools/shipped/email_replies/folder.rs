//! New files of folders: those of a maildir, or saved webhook bodies.
//!
//! Owns the cursor: the names of what was read lately, and a time before which everything was. Must never trust a clock but the one that
//! stamped the files; whatever is read twice is told from its `id`.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Found, MAIL, MAILS, short};

/// So long before the newest file another may still appear that is older, in nanoseconds.
const OVERLAP: i64 = 24 * 3_600 * 1_000_000_000;
/// Names that are remembered.
const NAMES: usize = 2_000;
/// Most files that are remembered while folders are looked through; those that are younger are for the next time.
const FILES: usize = 20_000;

/// Where to go on.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Cursor {
    /// Everything that was put there before this was read, in nanoseconds from 1970: many files may be put there in a second.
    from: i64,
    /// What was read since, by short names.
    names: BTreeSet<String>,
}

/// A file: when it was put there, its name without flags, and where it is.
type Candidate = (i64, String, PathBuf);

/// The contents of the files that were not read yet, the oldest first; none that were put there before `since`.
pub(super) fn new_files(
    folders: &[PathBuf],
    cursor: &mut Cursor,
    since: Option<DateTime<Utc>>,
    limit: usize,
) -> io::Result<Found> {
    cursor.from = cursor.from.max(since.and_then(|since| since.timestamp_nanos_opt()).unwrap_or_default());
    let (files, mut is_all) = candidates(folders, cursor.from)?;
    let (mut mails, mut done, mut size) = (Vec::new(), Vec::new(), 0);
    for (at, name, path) in files {
        if !cursor.names.contains(&name) {
            if mails.len() >= limit || size >= MAILS {
                is_all = false;
                break;
            }
            // Gone meanwhile, or moved from `new` to `cur`: the next time finds it there.
            let Ok(bytes) = read(&path) else { continue };
            size += bytes.len();
            mails.push(bytes);
        }
        done.push((at, name));
    }
    cursor.advance(&done, is_all);
    Ok(Found { mails, is_all })
}

/// The files that may be new, the oldest first, and whether these are all.
fn candidates(folders: &[PathBuf], from: i64) -> io::Result<(Vec<Candidate>, bool)> {
    let (mut files, mut is_all) = (Vec::new(), true);
    for folder in folders {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let Ok(meta) = entry.metadata() else { continue };
            // When it was put there: the time of its contents may be much older.
            let at = meta.ctime().saturating_mul(1_000_000_000).saturating_add(meta.ctime_nsec());
            // A hidden file is one that is being written. A link could lead anywhere.
            if name.starts_with('.') || !meta.is_file() || at < from {
                continue;
            }
            // What follows `:` are flags, and change when somebody reads the mail.
            let name = short(name.split(":2,").next().unwrap_or(&name).as_bytes());
            files.push((at, name, entry.path()));
            if files.len() >= 2 * FILES {
                files.sort();
                files.truncate(FILES);
                is_all = false;
            }
        }
    }
    files.sort();
    Ok((files, is_all))
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAIL).read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl Cursor {
    /// Remembers what was read, in its order.
    fn advance(&mut self, done: &[(i64, String)], is_all: bool) {
        let Some((newest, _)) = done.last() else { return };
        // Where there is more to come, nothing that is as old as what was read may be passed over.
        let window = if is_all { newest - OVERLAP } else { self.from };
        let from = window.max(self.from);
        let lately: Vec<_> = done.iter().filter(|(at, _)| *at >= from).collect();
        let kept = &lately[lately.len().saturating_sub(NAMES)..];
        // Those that are no longer remembered are all older than the first that is; of its second some may be read again.
        self.from = if kept.len() < lately.len() { kept.first().map_or(from, |(at, _)| *at) } else { from };
        self.names = kept.iter().map(|(_, name)| name.clone()).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_is_read_once_in_as_many_turns_as_it_takes() {
        let dir = tempfile::tempdir().unwrap();
        for n in 0..10 {
            std::fs::write(dir.path().join(format!("{n:02}.host:2,S")), format!("{n}")).unwrap();
        }
        std::fs::write(dir.path().join(".tmp"), "hidden").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("link")).unwrap();
        let mut cursor = Cursor::default();
        let mut turn = |limit| {
            let text = serde_json::to_string(&cursor).unwrap();
            cursor = serde_json::from_str(&text).unwrap();
            let found = new_files(&[dir.path().to_owned()], &mut cursor, None, limit).unwrap();
            (found.mails, found.is_all)
        };
        let turns = [turn(4), turn(4), turn(4), turn(4)];
        assert_eq!(turns.each_ref().map(|(_, is_all)| *is_all), [false, false, true, true]);
        let mut all: Vec<_> = turns.into_iter().flat_map(|(mails, _)| mails).collect();
        all.sort();
        assert_eq!(all, (0..10).map(|n| format!("{n}").into_bytes()).collect::<Vec<_>>());
        // Flags that change make no new mail; a new mail does.
        std::fs::rename(dir.path().join("03.host:2,S"), dir.path().join("03.host:2,RS")).unwrap();
        assert!(turn(4).0.is_empty());
        std::fs::write(dir.path().join("10.host"), "10").unwrap();
        assert_eq!(turn(4).0, [b"10"]);
    }

    #[test]
    fn what_was_put_there_before_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("old"), "old").unwrap();
        let read = |since: DateTime<Utc>| {
            let found = new_files(&[dir.path().to_owned()], &mut Cursor::default(), Some(since), 10).unwrap();
            found.mails.len()
        };
        let at = std::fs::metadata(dir.path().join("old")).unwrap().ctime();
        let second = |at| DateTime::from_timestamp(at, 0).unwrap();
        assert_eq!((read(second(at)), read(second(at + 1))), (1, 0));
    }

    #[test]
    fn what_is_remembered_has_an_end() {
        let mut cursor = Cursor::default();
        let done: Vec<_> = (0..5_000).map(|n| (1_000_000 + n, format!("n{n}"))).collect();
        cursor.advance(&done, true);
        assert_eq!((cursor.names.len(), cursor.from), (NAMES, 1_000_000 + 3_000));
        cursor.advance(&[(1_000_000 + 5_000 + OVERLAP, "late".to_owned())], true);
        assert_eq!((cursor.names.len(), cursor.from), (1, 1_000_000 + 5_000));
    }
}
