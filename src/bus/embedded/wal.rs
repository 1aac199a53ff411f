//! The write-ahead log as bytes: is its end torn?
//!
//! Owns a reading of the log by SQLite's published file format. Must never change the file: SQLite itself drops a torn end.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;

/// What stands in a log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Walk {
    /// Whole transactions that SQLite will take over.
    pub(super) transactions: u64,
    /// Bytes of this log's own after the last whole transaction: they are dropped.
    pub(super) torn_bytes: u64,
}

/// Walks the log frame by frame. A file that is not there is an empty log.
pub(super) fn walk(path: &Path) -> std::io::Result<Walk> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Walk::default()),
        Err(error) => return Err(error),
    };
    let length = file.metadata()?.len();
    let mut input = BufReader::with_capacity(1 << 16, file);
    let mut walk = Walk::default();
    let mut header = [0_u8; HEADER];
    let got = fill(&mut input, &mut header)?;
    let Some(mut sums) = (got == HEADER).then(|| Sums::of_header(&header)).flatten() else {
        walk.torn_bytes = length;
        return Ok(walk);
    };
    let page = usize::try_from(word(&header, 8)).unwrap_or(0);
    if !(512..=65_536).contains(&page) {
        walk.torn_bytes = length;
        return Ok(walk);
    }
    let mut frame = vec![0_u8; FRAME_HEADER + page];
    let mut good_until = HEADER as u64;
    let mut at = HEADER as u64;
    loop {
        let got = fill(&mut input, &mut frame)?;
        if got == 0 {
            break;
        }
        // What an earlier turn of the log left behind has other salts and is no loss.
        let own = got < 16 || frame[8..16] == header[16..24];
        if !own {
            break;
        }
        at += got as u64;
        if got < frame.len() || !sums.admits(&frame) {
            // The rest of the file may hold more of the same transaction; none of it can be used.
            walk.torn_bytes = length - good_until;
            return Ok(walk);
        }
        if word(&frame, 4) != 0 {
            walk.transactions += 1;
            good_until = at;
        }
    }
    walk.torn_bytes = at - good_until;
    Ok(walk)
}

/// Reads until the buffer is full or the input ends.
fn fill(input: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut got = 0;
    while got < buffer.len() {
        match input.read(&mut buffer[got..]) {
            Ok(0) => break,
            Ok(n) => got += n,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}

/// The big-endian number at `at`.
fn word(bytes: &[u8], at: usize) -> u32 {
    let mut four = [0; 4];
    four.copy_from_slice(&bytes[at..at + 4]);
    u32::from_be_bytes(four)
}

/// The log's running checksum.
struct Sums {
    big_endian: bool,
    sums: (u32, u32),
}

impl Sums {
    /// Starts with the log's header; none where that is damaged.
    fn of_header(header: &[u8; HEADER]) -> Option<Self> {
        let big_endian = match word(header, 0) {
            0x377f_0682 => false,
            0x377f_0683 => true,
            _ => return None,
        };
        let mut start = Self { big_endian, sums: (0, 0) };
        start.add(&header[..24]);
        (start.sums == (word(header, 24), word(header, 28))).then_some(start)
    }

    /// Adds a frame, and says whether its checksum is right.
    fn admits(&mut self, frame: &[u8]) -> bool {
        self.add(&frame[..8]);
        self.add(&frame[FRAME_HEADER..]);
        self.sums == (word(frame, 16), word(frame, 20))
    }

    fn add(&mut self, bytes: &[u8]) {
        let (mut a, mut b) = self.sums;
        for pair in bytes.chunks_exact(8) {
            let (x, y) = pair.split_at(4);
            let read = |four: &[u8]| {
                let mut array = [0; 4];
                array.copy_from_slice(four);
                if self.big_endian { u32::from_be_bytes(array) } else { u32::from_le_bytes(array) }
            };
            a = a.wrapping_add(read(x)).wrapping_add(b);
            b = b.wrapping_add(read(y)).wrapping_add(a);
        }
        self.sums = (a, b);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_cut_anywhere_is_seen_to_be_torn_unless_the_cut_is_between_transactions() {
        let home = tempfile::tempdir().unwrap();
        let db = home.path().join("a.db");
        let conn = rusqlite::Connection::open(&db).unwrap();
        conn.pragma_update(None, "journal_mode", "wal").unwrap();
        conn.execute_batch("CREATE TABLE t(x); INSERT INTO t VALUES(1); INSERT INTO t VALUES(2)").unwrap();
        let log = std::fs::read(home.path().join("a.db-wal")).unwrap();
        let copy = home.path().join("copy-wal");
        let mut whole = 0;
        // Every byte around each border, and some in between.
        let near = |cut: &usize| cut.is_multiple_of(61) || cut.saturating_sub(HEADER) % (FRAME_HEADER + 4096) < 32;
        for cut in (1..=log.len()).filter(near) {
            std::fs::write(&copy, &log[..cut]).unwrap();
            let walk = walk(&copy).unwrap();
            let frames = cut.saturating_sub(HEADER) / (FRAME_HEADER + 4096);
            let between = cut >= HEADER && (cut - HEADER).is_multiple_of(FRAME_HEADER + 4096);
            assert!(walk.transactions <= frames as u64);
            if !between {
                assert!(walk.torn_bytes > 0, "cut at {cut}");
            }
            whole = walk.transactions;
        }
        assert_eq!(whole, 3, "one for the table and one for each row");
        assert_eq!(walk(&home.path().join("none")).unwrap(), Walk::default());
    }

    #[test]
    fn one_changed_bit_is_seen() {
        let home = tempfile::tempdir().unwrap();
        let db = home.path().join("a.db");
        let conn = rusqlite::Connection::open(&db).unwrap();
        conn.pragma_update(None, "journal_mode", "wal").unwrap();
        conn.execute_batch("CREATE TABLE t(x)").unwrap();
        let mut log = std::fs::read(home.path().join("a.db-wal")).unwrap();
        let copy = home.path().join("copy-wal");
        std::fs::write(&copy, &log).unwrap();
        assert_eq!(walk(&copy).unwrap().torn_bytes, 0);
        let last = log.len() - 100;
        log[last] ^= 1;
        std::fs::write(&copy, &log).unwrap();
        assert!(walk(&copy).unwrap().torn_bytes > 0);
    }
}
