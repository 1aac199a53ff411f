//! A list of people in a file, looked at: its columns, how many there are, the first of them.
//!
//! Owns the look for checks and for approvals. Reading a list for a run is the tool's. Blocks; must never read more than its limits.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use serde_json::{Map, Value};

/// Bytes that are looked at; what is behind them is not counted.
const LIMIT: u64 = 64 * 1_024 * 1_024;
/// Columns that are looked at.
const COLUMNS: usize = 200;

/// What a list looks like.
#[derive(Debug, Clone, PartialEq)]
pub struct Look {
    /// Its columns, as it names them.
    pub columns: Vec<String>,
    /// Rows with something in them.
    pub rows: u64,
    /// Whether there is more than was looked at.
    pub is_cut: bool,
    /// The first rows.
    pub first: Vec<Map<String, Value>>,
}

/// Looks at a list; `sample` is how many rows are given.
///
/// # Errors
/// In words, where it cannot be read.
pub fn look(path: &Path, sample: usize) -> Result<Look, String> {
    let refused = |why: String| format!("{} cannot be read: {why}", path.display());
    let file = File::open(path).map_err(|err| refused(err.to_string()))?;
    let length = file.metadata().map_err(|err| refused(err.to_string()))?;
    if !length.is_file() {
        return Err(refused("it is no file".to_owned()));
    }
    let mut file = BufReader::new(file.take(LIMIT));
    // What separates fields shows in the first line.
    let head = file.fill_buf().map_err(|err| refused(err.to_string()))?;
    let line: Vec<u8> = head.iter().copied().take_while(|byte| *byte != b'\n').collect();
    let line = String::from_utf8_lossy(&line);
    let count = |byte: u8| line.matches(char::from(byte)).count();
    let delimiter =
        [b',', b';', b'\t', b'|'].into_iter().max_by_key(|byte| (count(*byte), *byte == b',')).unwrap_or(b',');
    if head.starts_with(&[0xef, 0xbb, 0xbf]) {
        file.consume(3);
    }
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(file);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    let columns: Vec<String> =
        reader.byte_headers().map_err(|err| refused(err.to_string()))?.iter().take(COLUMNS).map(text).collect();
    let mut look = Look { columns, rows: 0, is_cut: length.len() > LIMIT, first: Vec::new() };
    for record in reader.byte_records() {
        let record = record.map_err(|err| refused(err.to_string()))?;
        if record.iter().all(|field| field.trim_ascii().is_empty()) {
            continue;
        }
        look.rows += 1;
        if look.first.len() < sample {
            let row = look.columns.iter().cloned().zip(record.iter().map(|field| Value::String(text(field)))).collect();
            look.first.push(row);
        }
    }
    Ok(look)
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;

    use super::*;

    #[test]
    fn a_list_is_looked_at_whatever_separates_its_fields() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        std::fs::write(&path, "\u{feff}email;First Name\nada@example.com;Ada, L.\n;\nbo@example.com;\n").unwrap();
        let look = look(&path, 1).unwrap();
        assert_eq!(
            (look.columns, look.rows, look.is_cut),
            (vec!["email".to_owned(), "First Name".to_owned()], 2, false)
        );
        assert_eq!(look.first.len(), 1);
        assert_eq!(look.first[0]["First Name"], "Ada, L.");
        let missing = super::look(&folder.path().join("b.csv"), 1).unwrap_err();
        assert!(missing.contains("b.csv cannot be read"), "{missing}");
        assert!(super::look(folder.path(), 1).unwrap_err().contains("it is no file"));
    }
}
