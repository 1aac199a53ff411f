//! New mails of an mbox file.
//!
//! Owns the cursor: where the last mail that was read begins, how its first line reads, so that a file that was rewritten is noticed, and
//! where the file ended. The last mail is read again when the file has grown: it may not have been whole.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Found, MAIL, MAILS, short};

/// Most bytes of a line.
const LINE: u64 = 1_024 * 1_024;

/// Where to go on.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Cursor {
    /// The byte at which the last mail begins.
    offset: u64,
    /// Its first line, as a short name.
    line: String,
    /// Where the file ended when all of it was read; 0 where there was more.
    end: u64,
}

/// The mails from the cursor on; none that were put there before `since`, as the lines between mails have it.
pub(super) fn new_mails(
    path: &Path,
    cursor: &mut Cursor,
    since: Option<DateTime<Utc>>,
    limit: usize,
) -> io::Result<Found> {
    let mut file = BufReader::new(File::open(path)?);
    let length = file.get_ref().metadata()?.len();
    if !cursor.line.is_empty() {
        file.seek(SeekFrom::Start(cursor.offset))?;
        let mut first = Vec::new();
        (&mut file).take(LINE).read_until(b'\n', &mut first)?;
        if short(&first) != cursor.line || length < cursor.end {
            // It is another file now, or was made shorter.
            *cursor = Cursor::default();
        }
    }
    if cursor.end > 0 && length == cursor.end {
        return Ok(Found { mails: Vec::new(), is_all: true });
    }
    file.seek(SeekFrom::Start(cursor.offset))?;
    let (mut mails, mut size): (Vec<Vec<u8>>, usize) = (Vec::new(), 0);
    let (mut after_blank, mut is_taken) = (true, false);
    let mut at = cursor.offset;
    let mut line = Vec::new();
    loop {
        line.clear();
        let length = (&mut file).take(LINE).read_until(b'\n', &mut line)? as u64;
        if length == 0 {
            cursor.end = at;
            return Ok(Found { mails, is_all: true });
        }
        if after_blank && line.starts_with(b"From ") {
            *cursor = Cursor { offset: at, line: short(&line), end: 0 };
            is_taken = since.is_none_or(|since| put_there(&line).is_none_or(|at| at >= since));
            if is_taken && (mails.len() >= limit || size >= MAILS) {
                return Ok(Found { mails, is_all: false });
            }
            if is_taken {
                mails.push(Vec::new());
            }
        } else if let Some(mail) = mails.last_mut().filter(|mail| is_taken && mail.len() as u64 + length <= MAIL) {
            // A line of the text that begins like a mail was quoted.
            let quoted = line.starts_with(b">") && line.iter().find(|byte| **byte != b'>') == Some(&b'F');
            let is_quoted = quoted && line.windows(5).any(|part| part == b"From ");
            let line = &line[usize::from(is_quoted)..];
            size += line.len();
            mail.extend_from_slice(line);
        }
        after_blank = line.iter().all(u8::is_ascii_whitespace);
        at += length;
    }
}

/// When a mail was put there, by its first line: `From ada@one.example Mon Mar  2 10:00:00 2026`, perhaps with a zone at its end.
fn put_there(line: &[u8]) -> Option<DateTime<Utc>> {
    let line = String::from_utf8_lossy(line);
    let words: Vec<&str> = line.split_whitespace().collect();
    let is_year = |word: &&str| word.len() == 4 && word.bytes().all(|byte| byte.is_ascii_digit());
    let year = words.iter().rposition(is_year)?;
    let date = words.get(year.checked_sub(3)?..=year)?.join(" ");
    Some(NaiveDateTime::parse_from_str(&date, "%b %d %H:%M:%S %Y").ok()?.and_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(path: &Path, cursor: &mut Cursor, limit: usize) -> Vec<String> {
        let found = new_mails(path, cursor, None, limit).unwrap();
        found.mails.into_iter().map(|mail| String::from_utf8(mail).unwrap()).collect()
    }

    #[test]
    fn it_goes_on_where_it_was_and_begins_anew_with_another_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mbox");
        let mail = |n: u32| {
            format!("From a@b Sun Mar  1 09:30:00 2026\nSubject: {n}\n\nHi\n>From here\nFrom a line that is text\n\n")
        };
        std::fs::write(&path, format!("{}{}", mail(1), mail(2))).unwrap();
        let mut cursor = Cursor::default();
        let read = texts(&path, &mut cursor, 10);
        assert_eq!(read.len(), 2);
        assert_eq!(read[0], "Subject: 1\n\nHi\nFrom here\nFrom a line that is text\n\n");
        assert!(texts(&path, &mut cursor, 10).is_empty(), "it did not grow");
        // The last one again, and what came after it.
        std::fs::write(&path, format!("{}{}{}", mail(1), mail(2), mail(3))).unwrap();
        let read = texts(&path, &mut cursor, 10);
        assert_eq!(read.iter().map(|mail| &mail[..10]).collect::<Vec<_>>(), ["Subject: 2", "Subject: 3"]);
        let mut turn = Cursor::default();
        assert_eq!(texts(&path, &mut turn, 2).len(), 2);
        assert!(texts(&path, &mut turn, 2)[0].starts_with("Subject: 3"));
        let mut one = Cursor::default();
        let turns: Vec<_> = (0..4).map(|_| new_mails(&path, &mut one, None, 1).unwrap()).collect();
        let turns: Vec<_> = turns.iter().map(|found| (found.mails.len(), found.is_all)).collect();
        assert_eq!(turns, [(1, false), (1, false), (1, true), (0, true)], "each is read, in as many turns as it takes");
        // A file that was compacted.
        std::fs::write(&path, mail(7).replace("09:30", "10:00")).unwrap();
        assert!(texts(&path, &mut cursor, 10)[0].starts_with("Subject: 7"));
        std::fs::write(&path, "").unwrap();
        assert!(texts(&path, &mut cursor, 10).is_empty());
    }

    #[test]
    fn what_was_put_there_before_is_not_read_and_counts_for_no_turn() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mbox");
        let mail = |day: u32| format!("From a@b Sun Mar {day:>2} 09:30:00 2026\nSubject: {day}\n\nHi\n\n");
        let odd = "From nobody\nSubject: odd\n\nHi\n\n";
        std::fs::write(&path, format!("{}{}{odd}{}{}", mail(1), mail(2), mail(3), mail(14))).unwrap();
        let since = put_there(b"From a@b Tue Mar  3 09:30:00 2026 +0000\n").unwrap();
        let mut cursor = Cursor::default();
        let mut turn = || {
            let found = new_mails(&path, &mut cursor, Some(since), 2).unwrap();
            found.mails.into_iter().map(|mail| String::from_utf8(mail).unwrap()).collect::<Vec<_>>()
        };
        let (first, second) = (turn(), turn());
        assert!(first[0].starts_with("Subject: odd") && first[1].starts_with("Subject: 3"), "{first:?}");
        assert!(second[0].starts_with("Subject: 14"), "{second:?}");
        assert_eq!((first.len(), second.len(), turn().len()), (2, 1, 0));
    }
}
