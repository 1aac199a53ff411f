//! A list of people in a file, looked at: its columns, how many there are, the first of them.
//!
//! Owns the look for checks and for approvals, and what a column is called as a field. Reading a list for a run is the tool's. Blocks; must never read more than its limits.

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

impl Look {
    /// The fields of its people, as `csv_leads` with these parameters names them.
    pub fn fields(&self, params: &Map<String, Value>) -> Vec<String> {
        let renamed = params.get("columns").and_then(Value::as_object);
        let name = |column: &String| {
            let is_meant = |(_, meant): &(&String, &Value)| {
                meant.as_str().is_some_and(|meant| meant.trim().to_lowercase() == column.trim().to_lowercase())
            };
            let own = renamed.into_iter().flatten().find(is_meant);
            own.map_or_else(|| field_name(column), |(name, _)| name.clone())
        };
        let mut fields: Vec<String> = self.columns.iter().map(name).filter(|name| !name.is_empty()).collect();
        if let Some(Value::Array(only)) = params.get("fields") {
            fields.retain(|name| only.iter().any(|it| it.as_str() == Some(name)));
        }
        fields
    }
}

/// A column's name as a field's: `First Name` is `first_name`, and what people call an address is `email`.
pub fn field_name(head: &str) -> String {
    let mut name = String::new();
    for c in head.trim().to_lowercase().chars() {
        if c.is_alphanumeric() {
            name.push(c);
        } else if !name.ends_with('_') && !name.is_empty() {
            name.push('_');
        }
    }
    let name = name.trim_end_matches('_').to_owned();
    match name.as_str() {
        "e_mail" | "mail" | "email_address" | "e_mail_address" | "mail_address" | "e_mail_adresse" | "emailadresse" => {
            "email".to_owned()
        }
        "firstname" | "given_name" | "vorname" => "first_name".to_owned(),
        "lastname" | "surname" | "family_name" | "nachname" => "last_name".to_owned(),
        "organisation" | "organization" | "company_name" | "firma" => "company".to_owned(),
        _ => name,
    }
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
    use serde_json::json;

    use super::*;

    fn look_fields(path: &Path, params: &Value) -> Vec<String> {
        look(path, 0).unwrap().fields(params.as_object().unwrap())
    }

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
        assert_eq!(look_fields(&path, &json!({})), ["email", "first_name"]);
        assert_eq!(look_fields(&path, &json!({ "columns": { "who": "first name" }, "fields": ["who"] })), ["who"]);
        let missing = super::look(&folder.path().join("b.csv"), 1).unwrap_err();
        assert!(missing.contains("b.csv cannot be read"), "{missing}");
        assert!(super::look(folder.path(), 1).unwrap_err().contains("it is no file"));
    }
}
