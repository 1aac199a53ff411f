//! A damaged file: moved aside, and read row by row into a new one.
//!
//! Owns what is saved and how the loss is told. Must never delete or change the damaged file.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, params_from_iter};

use super::background::log_of;
use super::open::beside;
use super::schema::{self, Role, SALVAGED, STREAM_COLUMNS, connect, stream_table, told};
use crate::bus::BusError;
use crate::contracts::ChannelName;

/// What became of a damaged file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Salvage {
    /// What was wrong with it.
    pub fault: String,
    /// Where it is now.
    pub moved_to: PathBuf,
    /// Rows that were saved.
    pub rows: u64,
    /// What was lost, in words.
    pub lost: Vec<String>,
}

/// Losses that are told one by one.
const SHOWN: usize = 3;

impl fmt::Display for Salvage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lost = match self.lost.as_slice() {
            [] => "nothing that could be counted".to_owned(),
            few if few.len() <= SHOWN => few.join("; "),
            // The rest is in the log; it tends to be the same fault again and again.
            many => format!("{}; and {} more", many[..SHOWN].join("; "), many.len() - SHOWN),
        };
        write!(
            f,
            "the store was damaged ({}): {} rows were saved into a new one, lost: {lost}. The damaged file is kept at {}; \
             restore a backup if you have one",
            self.fault.lines().next().unwrap_or_default().chars().take(200).collect::<String>(),
            self.rows,
            self.moved_to.display()
        )
    }
}

/// Moves the file aside and saves what can be read.
pub(super) fn salvage(path: &Path, now: DateTime<Utc>, fault: &str) -> Result<Salvage, BusError> {
    let moved_to = free_name(path, now);
    move_aside(path, &moved_to).map_err(|error| {
        BusError::Unsupported(format!(
            "{} is damaged and cannot be moved aside: {error}. Move it yourself",
            path.display()
        ))
    })?;
    let mut salvage = Salvage { fault: fault.to_owned(), moved_to, rows: 0, lost: Vec::new() };
    let saved = super::open::create(path).and_then(|()| {
        let fresh = connect(path, Role::Writer { full: false }).map_err(|error| told(&error, path))?;
        schema::complete(&fresh).map_err(|error| told(&error, path))?;
        match Connection::open_with_flags(&salvage.moved_to, OpenFlags::SQLITE_OPEN_READ_WRITE) {
            Ok(damaged) => {
                // Without this SQLite reads nothing of a file that is shorter than it says. Nothing is written to it.
                let _ = damaged.pragma_update(None, "writable_schema", "ON");
                save(&damaged, &fresh, &mut salvage).map_err(|error| told(&error, path))
            }
            Err(error) => {
                salvage.lost.push(format!("everything: it cannot be opened ({error})"));
                Ok(())
            }
        }
    });
    tracing::error!(fault = salvage.fault, rows = salvage.rows, lost = ?salvage.lost, "a damaged store was salvaged");
    saved.map(|()| salvage)
}

fn free_name(path: &Path, now: DateTime<Utc>) -> PathBuf {
    let stamp = now.format("%Y%m%dT%H%M%SZ");
    let first = beside(path, &format!(".damaged-{stamp}"));
    let names = std::iter::once(first).chain((2..).map(|n| beside(path, &format!(".damaged-{stamp}-{n}"))));
    let mut names = names.filter(|name| !name.exists());
    names.next().unwrap_or_else(|| beside(path, ".damaged"))
}

fn move_aside(path: &Path, to: &Path) -> std::io::Result<()> {
    fs::rename(path, to)?;
    for (from, to) in [(log_of(path), log_of(to)), (beside(path, "-shm"), beside(to, "-shm"))] {
        if from.exists() {
            fs::rename(from, to)?;
        }
    }
    Ok(())
}

/// Copies every table. Errors are the new file's only; those of the damaged one are what was lost.
fn save(damaged: &Connection, fresh: &Connection, salvage: &mut Salvage) -> rusqlite::Result<()> {
    fresh.execute_batch("BEGIN IMMEDIATE")?;
    let channels = "INSERT INTO channels(name, last_pos, last_ms, last_seq, number) VALUES(?1, ?2, ?3, ?4, -1)
        ON CONFLICT(name) DO UPDATE SET last_pos = excluded.last_pos, last_ms = excluded.last_ms, last_seq = excluded.last_seq";
    let copy = Copy { damaged, fresh };
    copy.table("channels", "name, last_pos, last_ms, last_seq", "name", channels, salvage)?;
    for (table, columns, order) in SALVAGED {
        let marks = vec!["?"; columns.split(',').count()].join(", ");
        let insert = format!("INSERT OR REPLACE INTO {table}({columns}) VALUES({marks})");
        copy.table(table, columns, order, &insert, salvage)?;
    }
    for channel in ChannelName::ALL {
        let table = stream_table(*channel);
        let insert = format!("INSERT OR REPLACE INTO {table}({STREAM_COLUMNS}) VALUES(?, ?, ?, ?, ?, ?)");
        copy.table(&table, STREAM_COLUMNS, "pos", &insert, salvage)?;
    }
    fresh.execute_batch("COMMIT")
}

struct Copy<'a> {
    damaged: &'a Connection,
    fresh: &'a Connection,
}

impl Copy<'_> {
    /// Copies a table from its beginning up to the damage, then from its end down to it.
    fn table(
        &self,
        table: &str,
        columns: &str,
        order: &str,
        insert: &str,
        salvage: &mut Salvage,
    ) -> rusqlite::Result<()> {
        let (ahead, first_fault) = self.rows(table, columns, order, insert)?;
        salvage.rows += ahead.count;
        let Some(fault) = first_fault else { return Ok(()) };
        let backwards: Vec<String> = order.split(", ").map(|column| format!("{column} DESC")).collect();
        let (back, _) = self.rows(table, columns, &backwards.join(", "), insert)?;
        salvage.rows += back.count;
        let lost = match (ahead.last, back.last) {
            (Some(Value::Integer(a)), Some(Value::Integer(b))) if table.starts_with("stream_") => {
                format!("{} entries of {table}", b.saturating_sub(a).saturating_sub(1).max(0))
            }
            _ => format!("part of {table} ({} rows saved)", ahead.count + back.count),
        };
        salvage.lost.push(format!("{lost}: {fault}"));
        Ok(())
    }

    fn rows(
        &self,
        table: &str,
        columns: &str,
        order: &str,
        insert: &str,
    ) -> rusqlite::Result<(Copied, Option<String>)> {
        let mut copied = Copied::default();
        let mut insert = self.fresh.prepare_cached(insert)?;
        let mut select = match self.damaged.prepare(&format!("SELECT {columns} FROM {table} ORDER BY {order}")) {
            Ok(select) => select,
            Err(error) => return Ok((copied, Some(error.to_string()))),
        };
        let width = select.column_count();
        let mut rows = match select.query([]) {
            Ok(rows) => rows,
            Err(error) => return Ok((copied, Some(error.to_string()))),
        };
        loop {
            let row = match rows.next() {
                Ok(Some(row)) => row,
                Ok(None) => return Ok((copied, None)),
                Err(error) => return Ok((copied, Some(error.to_string()))),
            };
            let values: rusqlite::Result<Vec<Value>> = (0..width).map(|column| row.get(column)).collect();
            // A row whose text is no text any more is damaged, too.
            let Ok(values) = values else { continue };
            if insert.execute(params_from_iter(&values)).is_ok() {
                copied.count += 1;
                copied.last = values.into_iter().next();
            }
        }
    }
}

#[derive(Default)]
struct Copied {
    count: u64,
    /// The first column of the last row.
    last: Option<Value>,
}
