//! New mails of an mbox file.
//!
//! Owns the cursor: where the last mail that was read begins, and how its first line reads, so that a file that was rewritten is noticed. The
//! last mail is read again each time: it may not have been whole.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{MAIL, short};

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
}

/// The mails from the cursor on; the one at the cursor again.
pub(super) fn new_mails(path: &Path, cursor: &mut Cursor, limit: usize) -> io::Result<Vec<Vec<u8>>> {
    let mut file = BufReader::new(File::open(path)?);
    if cursor.offset > 0 {
        file.seek(SeekFrom::Start(cursor.offset))?;
        let mut first = Vec::new();
        (&mut file).take(LINE).read_until(b'\n', &mut first)?;
        if short(&first) != cursor.line {
            // It is another file now, or was made shorter.
            *cursor = Cursor::default();
        }
    }
    file.seek(SeekFrom::Start(cursor.offset))?;
    let mut mails: Vec<Vec<u8>> = Vec::new();
    let mut at = cursor.offset;
    let mut after_blank = true;
    let mut line = Vec::new();
    loop {
        line.clear();
        let length = (&mut file).take(LINE).read_until(b'\n', &mut line)? as u64;
        if length == 0 {
            return Ok(mails);
        }
        if after_blank && line.starts_with(b"From ") {
            if mails.len() >= limit {
                return Ok(mails);
            }
            *cursor = Cursor { offset: at, line: short(&line) };
            mails.push(Vec::new());
        } else if let Some(mail) = mails.last_mut().filter(|mail| mail.len() as u64 + length <= MAIL) {
            // A line of the text that begins like a mail was quoted.
            let quoted = line.starts_with(b">") && line.iter().find(|byte| **byte != b'>') == Some(&b'F');
            let is_quoted = quoted && line.windows(5).any(|part| part == b"From ");
            mail.extend_from_slice(&line[usize::from(is_quoted)..]);
        }
        after_blank = line.iter().all(u8::is_ascii_whitespace);
        at += length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(path: &Path, cursor: &mut Cursor, limit: usize) -> Vec<String> {
        let mails = new_mails(path, cursor, limit).unwrap();
        mails.into_iter().map(|mail| String::from_utf8(mail).unwrap()).collect()
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
        // The last one again, and what came after it.
        std::fs::write(&path, format!("{}{}{}", mail(1), mail(2), mail(3))).unwrap();
        let read = texts(&path, &mut cursor, 10);
        assert_eq!(read.iter().map(|mail| &mail[..10]).collect::<Vec<_>>(), ["Subject: 2", "Subject: 3"]);
        let mut turn = Cursor::default();
        assert_eq!(texts(&path, &mut turn, 2).len(), 2);
        assert!(texts(&path, &mut turn, 2)[1].starts_with("Subject: 3"));
        // A file that was compacted.
        std::fs::write(&path, mail(7).replace("09:30", "10:00")).unwrap();
        assert!(texts(&path, &mut cursor, 10)[0].starts_with("Subject: 7"));
        std::fs::write(&path, "").unwrap();
        assert!(texts(&path, &mut cursor, 10).is_empty());
    }
}
