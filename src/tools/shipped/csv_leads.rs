//! `csv_leads`: a list of people from a CSV file.
//!
//! Owns how lists are read: their encoding, separators, names of columns. Must never hold more of a file than the rows that it gives and a
//! short hash of each that it has seen; and never drop a row in silence.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Take};

use chrono::{DateTime, Utc};
use csv::{ByteRecord, ReaderBuilder, Trim};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::conditions::{self, Condition};
use super::{Failed, Job, fit, object};
use crate::contracts::messages::ErrorCode;
use crate::contracts::untrusted::sanitize_line;
use crate::experiments::list::field_name;

/// Bad rows that are named.
const NAMED: usize = 20;
/// Most bytes of a row: a quote that is never closed makes one row of the rest of the file.
const ROW_LIMIT: usize = 256 * 1_024;
/// Most columns.
const COLUMNS: usize = 500;
/// Rows between two words on how far it is.
const REPORT_EVERY: u64 = 50_000;
/// Bytes that are looked at before a run.
const LOOK: u64 = 64 * 1_024 * 1_024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Params {
    path: String,
    #[serde(default)]
    columns: BTreeMap<String, String>,
    #[serde(default)]
    filters: Vec<Map<String, Value>>,
    dedupe_by: Option<String>,
    require_email: Option<bool>,
    fields: Option<Vec<String>>,
    #[serde(default = "thousand")]
    limit: usize,
    #[serde(default)]
    skip: usize,
    delimiter: Option<char>,
}

fn thousand() -> usize {
    1_000
}

/// A list that is open.
type Rows = csv::Reader<BufReader<Take<File>>>;

/// What became of the rows.
#[derive(Default)]
struct Counts {
    read: u64,
    duplicates: u64,
    filtered_out: BTreeMap<String, u64>,
    bad_rows: u64,
    bad: Vec<Value>,
    passed: usize,
    left_out: usize,
}

/// How a list is read.
struct Plan {
    fields: Vec<String>,
    conditions: Vec<Condition>,
    dedupe_by: Option<String>,
    require_email: bool,
    keep: Option<BTreeSet<String>>,
}

pub(super) fn run(job: &mut Job) -> Result<Map<String, Value>, Failed> {
    let params: Params = job.params()?;
    let (mut rows, plan) = open(&params, u64::MAX)?;
    let now = job.clock.now();
    let (rows, counts) = read(&mut rows, &plan, &params, now, &mut |read| job.progress(read, None, "rows read"))?;
    let wanted = rows.len();
    let (rows, cut) = fit(rows);
    if cut > 0 {
        job.log(&format!(
            "{cut} of {wanted} rows do not fit into one result; name fewer `fields`, or take the rest with `skip`"
        ))?;
    }
    Ok(object(json!({
        "count": rows.len(), "rows": rows, "columns": plan.fields, "read": counts.read, "duplicates": counts.duplicates,
        "filtered_out": counts.filtered_out, "bad_rows": counts.bad_rows, "bad": counts.bad, "left_out": counts.left_out + cut,
    })))
}

/// The people that a run with these parameters would find now.
#[derive(Debug)]
pub struct Leads {
    /// Those of its result.
    pub people: Vec<Value>,
    /// Rows of the file.
    pub read: u64,
    /// Rows that are like an earlier one.
    pub duplicates: u64,
    /// Rows that a filter leaves out.
    pub filtered_out: u64,
    /// Rows that cannot be used: without an address, say.
    pub bad: u64,
}

/// Reads a list as a run would; what is behind its first 64 MiB is not looked at. Blocks.
///
/// # Errors
/// In words, where a run would fail.
pub fn leads(params: &Map<String, Value>, now: DateTime<Utc>) -> Result<Leads, String> {
    let params: Params = serde_json::from_value(Value::Object(params.clone())).map_err(|err| err.to_string())?;
    let said = |failed: Failed| failed.message;
    // Whoever waits for a pipe waits for ever.
    if !std::fs::metadata(&params.path).is_ok_and(|it| it.is_file()) {
        return Err(format!("the list `{}` cannot be read: it is no file", sanitize_line(&params.path, 200)));
    }
    let (mut rows, plan) = open(&params, LOOK).map_err(said)?;
    let (rows, counts) = read(&mut rows, &plan, &params, now, &mut |_| Ok(())).map_err(said)?;
    let (people, _) = fit(rows);
    let filtered_out = counts.filtered_out.values().sum();
    Ok(Leads { people, read: counts.read, duplicates: counts.duplicates, filtered_out, bad: counts.bad_rows })
}

/// Opens a list, and reads what its first line says; no more than `limit` bytes are ever read of it.
fn open(params: &Params, limit: u64) -> Result<(Rows, Plan), Failed> {
    let unreadable = |why: &dyn std::fmt::Display| {
        let path = sanitize_line(&params.path, 200);
        Failed::params(format!("the list `{path}` cannot be read: {why}"))
    };
    let file = File::open(&params.path).map_err(|err| unreadable(&err))?;
    if file.metadata().is_ok_and(|it| it.is_dir()) {
        return Err(unreadable(&"it is a folder"));
    }
    let mut bytes = BufReader::with_capacity(256 * 1_024, file.take(limit));
    let start = bytes.fill_buf().map_err(|err| unreadable(&err))?;
    let mark = mark(start).map_err(|why| unreadable(&why))?;
    let delimiter = params.delimiter.map_or_else(|| Ok(sniff(start)), |c| u8::try_from(u32::from(c)));
    let delimiter = delimiter.map_err(|_| Failed::params("parameter `delimiter`: it is one ASCII character"))?;
    bytes.consume(mark);
    let mut rows =
        ReaderBuilder::new().delimiter(delimiter).flexible(true).has_headers(false).trim(Trim::All).from_reader(bytes);
    let plan = plan(&mut rows, params).map_err(|why| unreadable(&why))?;
    Ok((rows, plan))
}

/// How many bytes its byte order mark has.
fn mark(start: &[u8]) -> Result<usize, &'static str> {
    if start.starts_with(b"\xff\xfe") || start.starts_with(b"\xfe\xff") {
        return Err("it is UTF-16; save it as UTF-8");
    }
    if start.starts_with(b"PK\x03\x04") {
        return Err("it is a spreadsheet or an archive; save it as CSV");
    }
    Ok(if start.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 })
}

/// What separates the fields of the first line: what it has most often outside of quotes.
fn sniff(start: &[u8]) -> u8 {
    let mut counts = [(b',', 0_u32), (b';', 0), (b'\t', 0), (b'|', 0)];
    let mut quoted = false;
    for byte in start {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' | b'\r' if !quoted => break,
            byte if !quoted => {
                if let Some((_, count)) = counts.iter_mut().find(|(known, _)| known == byte) {
                    *count += 1;
                }
            }
            _ => {}
        }
    }
    // Of those that are equally often, the first.
    counts.iter().rev().max_by_key(|(_, count)| *count).map_or(b',', |(byte, _)| *byte)
}

/// Reads the names of the columns, and what they make of the parameters.
fn plan<R: Read>(rows: &mut csv::Reader<R>, params: &Params) -> Result<Plan, String> {
    let mut first = ByteRecord::new();
    if !rows.read_byte_record(&mut first).map_err(|err| err.to_string())? {
        return Err("it is empty".to_owned());
    }
    if first.len() > COLUMNS {
        return Err(format!("it has more than {COLUMNS} columns"));
    }
    let heads: Vec<String> = first.iter().map(text).collect();
    let mut fields: Vec<String> = Vec::new();
    for head in &heads {
        let mapped = params.columns.iter().find(|(_, column)| same(column, head));
        let name = mapped.map_or_else(|| field_name(head), |(name, _)| name.clone());
        let name = if name.is_empty() { format!("column_{}", fields.len() + 1) } else { name };
        let taken = fields.iter().filter(|known| **known == name || known.starts_with(&format!("{name}_"))).count();
        fields.push(if fields.contains(&name) { format!("{name}_{}", taken + 1) } else { name });
    }
    let missing = params.columns.iter().find(|(_, column)| !heads.iter().any(|head| same(column, head)));
    if let Some((name, column)) = missing {
        let heads: Vec<_> = heads.iter().map(|head| sanitize_line(head, 40)).collect();
        return Err(format!("it has no column `{column}` (for `{name}`); it has: {}", heads.join(", ")));
    }
    let set: BTreeSet<String> = fields.iter().cloned().collect();
    let conditions = conditions::read(&params.filters, &set)?;
    let has_email = set.contains("email");
    let there = |field: &str, what: &str| {
        let all: Vec<_> = fields.iter().map(String::as_str).collect();
        if set.contains(field) {
            Ok(())
        } else {
            Err(format!("{what}: it has no field `{field}`; it has: {}", all.join(", ")))
        }
    };
    if let Some(field) = &params.dedupe_by {
        there(field, "`dedupe_by`")?;
    }
    if params.require_email == Some(true) {
        there("email", "`require_email`")?;
    }
    params.fields.iter().flatten().try_for_each(|field| there(field, "`fields`"))?;
    Ok(Plan {
        conditions,
        dedupe_by: params.dedupe_by.clone().or_else(|| has_email.then(|| "email".to_owned())),
        require_email: params.require_email.unwrap_or(has_email),
        keep: params.fields.as_ref().map(|fields| fields.iter().cloned().collect()),
        fields,
    })
}

fn same(column: &str, head: &str) -> bool {
    column.trim().to_lowercase() == head.trim().to_lowercase()
}

/// A field's text: UTF-8, or else Windows' Latin-1.
fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|byte| latin(*byte)).collect(),
    }
}

/// A character of Windows-1252, as the WHATWG encoding standard has it.
fn latin(byte: u8) -> char {
    const HIGH: [char; 32] = [
        '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}', '‘',
        '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
    ];
    match byte {
        0x80..=0x9f => HIGH[usize::from(byte - 0x80)],
        byte => char::from(byte),
    }
}

/// Reads the rows; `tell` hears now and then how many there were.
fn read<R: Read>(
    rows: &mut csv::Reader<R>,
    plan: &Plan,
    params: &Params,
    now: DateTime<Utc>,
    tell: &mut dyn FnMut(u64) -> Result<(), Failed>,
) -> Result<(Vec<Map<String, Value>>, Counts), Failed> {
    let (mut kept, mut counts) = (Vec::new(), Counts::default());
    let mut seen: HashSet<[u8; 16]> = HashSet::new();
    let mut record = ByteRecord::new();
    loop {
        match rows.read_byte_record(&mut record) {
            Ok(false) => break,
            Ok(true) => {}
            Err(err) => {
                let what = format!("the list broke off after {} rows: {err}", counts.read);
                return Err(Failed::new(ErrorCode::Tool, what));
            }
        }
        counts.read += 1;
        let line = record.position().map_or(0, csv::Position::line);
        if record.as_slice().len() > ROW_LIMIT {
            let what = format!("the row in line {line} has more than {ROW_LIMIT} bytes; a quote is not closed there");
            return Err(Failed::params(what));
        }
        let row = match person(&record, plan) {
            Ok(row) => row,
            Err(why) => {
                counts.bad_rows += 1;
                if counts.bad.len() < NAMED {
                    counts.bad.push(json!({ "line": line, "reason": why }));
                }
                continue;
            }
        };
        if let Some(unmet) = conditions::unmet(&plan.conditions, &row, now) {
            *counts.filtered_out.entry(unmet.to_owned()).or_default() += 1;
        } else if !is_new(&row, plan, &mut seen) {
            counts.duplicates += 1;
        } else if counts.passed < params.skip {
            counts.passed += 1;
        } else if kept.len() < params.limit {
            kept.push(only(row, plan));
        } else {
            counts.left_out += 1;
        }
        if counts.read.is_multiple_of(REPORT_EVERY) {
            tell(counts.read)?;
        }
    }
    Ok((kept, counts))
}

/// A row as a person.
fn person(record: &ByteRecord, plan: &Plan) -> Result<Map<String, Value>, String> {
    if record.iter().all(<[u8]>::is_empty) {
        return Err("it is empty".to_owned());
    }
    if record.len() > plan.fields.len() {
        return Err(format!("it has {} fields, the first line has {}", record.len(), plan.fields.len()));
    }
    let mut row: Map<String, Value> =
        plan.fields.iter().zip(record.iter()).map(|(name, value)| (name.clone(), Value::String(text(value)))).collect();
    for name in plan.fields.iter().skip(record.len()) {
        row.insert(name.clone(), json!(""));
    }
    if plan.require_email {
        let address = row.get("email").and_then(Value::as_str).unwrap_or_default();
        if address.is_empty() {
            return Err("it has no address".to_owned());
        }
        if address.parse::<lettre::Address>().is_err() {
            return Err(format!("`{}` is no address", sanitize_line(address, 60)));
        }
    }
    Ok(row)
}

/// Whether nobody like that was seen before.
fn is_new(row: &Map<String, Value>, plan: &Plan, seen: &mut HashSet<[u8; 16]>) -> bool {
    let Some(value) = plan.dedupe_by.as_ref().and_then(|field| row.get(field)).and_then(Value::as_str) else {
        return true;
    };
    // Nothing is like nothing else.
    if value.is_empty() {
        return true;
    }
    let hash: [u8; 32] = Sha256::digest(value.to_lowercase().as_bytes()).into();
    let mut short = [0; 16];
    short.copy_from_slice(&hash[..16]);
    seen.insert(short)
}

fn only(row: Map<String, Value>, plan: &Plan) -> Map<String, Value> {
    match &plan.keep {
        Some(keep) => row.into_iter().filter(|(name, _)| keep.contains(name)).collect(),
        None => row,
    }
}

#[cfg(test)]
mod tests;
