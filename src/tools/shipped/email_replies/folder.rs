//! New files of folders: those of a maildir, or saved webhook bodies.
//!
//! Owns the cursor: the names of what was read lately, and a time before which everything was. Must never trust a clock but the one that
//! stamped the files; whatever is read twice is told from its `id`.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{MAIL, short};

/// So long before the newest file another may still appear that is older, in seconds.
const OVERLAP: i64 = 24 * 3_600;
/// Names that are remembered.
const NAMES: usize = 2_000;
/// Most files that are looked at in a folder.
const FILES: usize = 200_000;

/// Where to go on.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Cursor {
    /// Everything that was put there before this second was read.
    from: i64,
    /// What was read since, by short names.
    names: BTreeSet<String>,
}

/// The contents of the files that were not read yet, the oldest first.
pub(super) fn new_files(folders: &[PathBuf], cursor: &mut Cursor, limit: usize) -> io::Result<Vec<Vec<u8>>> {
    let mut files = Vec::new();
    for folder in folders {
        for entry in std::fs::read_dir(folder)?.take(FILES) {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let Ok(meta) = entry.metadata() else { continue };
            // A hidden file is one that is being written. A link could lead anywhere.
            if name.starts_with('.') || !meta.is_file() {
                continue;
            }
            // What follows `:` are flags, and change when somebody reads the mail.
            let name = short(name.split(":2,").next().unwrap_or(&name).as_bytes());
            // When it was put there: the time of its contents may be much older.
            files.push((meta.ctime(), name, entry.path()));
        }
    }
    files.sort();
    let mut found = Vec::new();
    let (mut done, mut is_all) = (Vec::new(), true);
    for (at, name, path) in files {
        let is_known = at < cursor.from || cursor.names.contains(&name);
        if !is_known && found.len() >= limit {
            is_all = false;
            break;
        }
        if !is_known {
            let mut bytes = Vec::new();
            // Gone meanwhile, or moved from `new` to `cur`: the next time finds it there.
            let Ok(file) = File::open(&path) else { continue };
            file.take(MAIL).read_to_end(&mut bytes)?;
            found.push(bytes);
        }
        done.push((at, name));
    }
    cursor.advance(&done, is_all);
    Ok(found)
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
            new_files(&[dir.path().to_owned()], &mut cursor, limit).unwrap()
        };
        let mut all: Vec<_> = [turn(4), turn(4), turn(4), turn(4)].concat();
        all.sort();
        assert_eq!(all, (0..10).map(|n| format!("{n}").into_bytes()).collect::<Vec<_>>());
        // Flags that change make no new mail; a new mail does.
        std::fs::rename(dir.path().join("03.host:2,S"), dir.path().join("03.host:2,RS")).unwrap();
        assert!(turn(4).is_empty());
        std::fs::write(dir.path().join("10.host"), "10").unwrap();
        assert_eq!(turn(4), [b"10"]);
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
