//! The log: the newest lines of the program's own files, and what is written from now on.
//!
//! Must never read more of a file than a person can see: what comes faster is passed over, and said to be.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::{Feed, Gone};
use crate::tui::store::Item;
use crate::tui::store::system::LogLine;

/// How often the file is looked at.
const EVERY: Duration = Duration::from_secs(1);
/// Bytes of the newest file that are read at first.
const FIRST: u64 = 64 << 10;
/// Bytes of one look; what is older is passed over.
const MOST: u64 = 256 << 10;

impl Feed {
    pub(super) async fn keep_logs(self) -> Result<(), Gone> {
        let Some(folder) = self.beside.logs.clone() else {
            self.queue.closed().await;
            return Err(Gone);
        };
        let mut tail = Tail { folder, file: None, at: 0, rest: Vec::new() };
        loop {
            let looked = tokio::task::spawn_blocking(move || {
                let lines = tail.more();
                (tail, lines)
            });
            let Ok((kept, lines)) = looked.await else { return Ok(()) };
            tail = kept;
            let items = lines.iter().map(|line| Item::Log(Arc::new(LogLine::read(line))));
            self.give(items.collect()).await?;
            tokio::time::sleep(EVERY).await;
        }
    }
}

/// How far the files were read.
struct Tail {
    folder: PathBuf,
    file: Option<PathBuf>,
    at: u64,
    /// The beginning of a line whose end is not written yet.
    rest: Vec<u8>,
}

impl Tail {
    /// The lines that were written since the last look.
    fn more(&mut self) -> Vec<String> {
        let newest = newest(&self.folder);
        let mut lines = Vec::new();
        if let Some(file) = self.file.clone() {
            lines.extend(self.read(&file, MOST));
        }
        if newest.is_some() && newest != self.file {
            let is_first = self.file.is_none();
            (self.at, self.rest) = (0, Vec::new());
            if let Some(file) = newest {
                lines.extend(self.read(&file, if is_first { FIRST } else { MOST }));
                self.file = Some(file);
            }
        }
        lines
    }

    fn read(&mut self, path: &Path, most: u64) -> Vec<String> {
        let Ok(length) = path.metadata().map(|about| about.len()) else { return Vec::new() };
        if length == self.at {
            return Vec::new();
        }
        let Ok(mut file) = File::open(path) else { return Vec::new() };
        if length < self.at {
            (self.at, self.rest) = (0, Vec::new());
        }
        let mut lines = Vec::new();
        let over = (length - self.at).saturating_sub(most);
        let is_cut = over > 0;
        if is_cut {
            if self.at > 0 {
                lines.push(format!("… {} KiB of the log were passed over", over / 1024));
            }
            self.at += over;
            self.rest.clear();
        }
        let mut bytes = Vec::new();
        if file.seek(SeekFrom::Start(self.at)).is_err() || file.take(most).read_to_end(&mut bytes).is_err() {
            return lines;
        }
        self.at += bytes.len() as u64;
        let mut all = std::mem::take(&mut self.rest);
        all.extend(bytes);
        let mut parts = all.split(|byte| *byte == b'\n');
        if is_cut {
            // The line that the cut goes through.
            parts.next();
        }
        let mut parts: Vec<&[u8]> = parts.collect();
        self.rest = parts.pop().unwrap_or_default().to_vec();
        lines.extend(parts.into_iter().map(|line| String::from_utf8_lossy(line).into_owned()));
        lines.retain(|line| !line.trim().is_empty());
        lines
    }
}

/// The newest of the daily files: their names ascend.
fn newest(folder: &Path) -> Option<PathBuf> {
    let is_log = |path: &PathBuf| path.extension().is_some_and(|it| it == "log");
    folder.read_dir().ok()?.flatten().map(|entry| entry.path()).filter(is_log).max()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use pretty_assertions::assert_eq;

    use super::*;

    fn append(path: &Path, text: &str) {
        let mut file = File::options().create(true).append(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    #[test]
    fn whole_lines_are_read_once_in_their_order_over_midnight() {
        let folder = tempfile::tempdir().unwrap();
        let mut tail = Tail { folder: folder.path().to_owned(), file: None, at: 0, rest: Vec::new() };
        assert_eq!(tail.more(), Vec::<String>::new(), "there is no file yet");
        let (first, second) =
            (folder.path().join("fullsend.2026-11-21.log"), folder.path().join("fullsend.2026-11-22.log"));
        append(&first, "one\ntw");
        assert_eq!(tail.more(), ["one"]);
        append(&first, "o\n");
        assert_eq!(tail.more(), ["two"]);
        append(&first, "three\n");
        append(&second, "four\n");
        assert_eq!(tail.more(), ["three", "four"]);
        std::fs::write(&second, "a\n").unwrap();
        assert_eq!(tail.more(), ["a"], "a file that was emptied is begun anew");
    }

    #[test]
    fn a_flood_is_passed_over_and_said_to_be() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fullsend.2026-11-21.log");
        append(&path, &"old line\n".repeat(20_000));
        let mut tail = Tail { folder: folder.path().to_owned(), file: None, at: 0, rest: Vec::new() };
        let lines = tail.more();
        assert!(lines.len() < 8_000 && lines.iter().all(|line| line == "old line"), "{}", lines.len());
        append(&path, &"new line\n".repeat(200_000));
        let lines = tail.more();
        assert!(lines[0].ends_with("KiB of the log were passed over"), "{}", lines[0]);
        assert!(lines[1..].iter().all(|line| line == "new line") && lines.len() < 32_000);
    }
}
