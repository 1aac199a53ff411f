//! State on the embedded store: documents, lists, sets, sorted sets and texts under keys.
//!
//! Owns how a change is checked and written. Must never write before its own check has passed.

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OptionalExtension, params};

use super::group::Answer;
use super::schema::at_most;
use crate::bus::state::VERSION_FIELD;
use crate::bus::{BusError, Document, Expect, Got, Key, Outcome, Refusal, State, StateChange, Ttl};

/// What stands under a key, without its value.
pub(super) struct Doc {
    id: i64,
    kind: String,
    version: u64,
}

/// Either done, or what became of the unit instead.
pub(super) type Applied = rusqlite::Result<Result<(), Outcome>>;

/// Finds what stands under a key now.
pub(super) fn find(conn: &Connection, key: &Key, wall: i64) -> rusqlite::Result<Option<Doc>> {
    conn.prepare_cached("SELECT id, type, version FROM docs WHERE key = ?1 AND (expires IS NULL OR expires > ?2)")?
        .query_row(params![key.as_str(), wall], |row| {
            let version: i64 = row.get(2)?;
            Ok(Doc { id: row.get(0)?, kind: row.get(1)?, version: version.cast_unsigned() })
        })
        .optional()
}

fn foreign(key: &Key, doc: &Doc, wanted: &str) -> Outcome {
    Outcome::Refused(Refusal::ForeignType { key: key.to_string(), found: doc.kind.clone(), wanted: wanted.to_owned() })
}

fn met(key: &Key, expect: Expect, doc: Option<&Doc>) -> Result<(), Outcome> {
    let found = doc.filter(|doc| doc.kind == "hash").map(|doc| doc.version);
    let met = match expect {
        Expect::Any => true,
        Expect::Absent => doc.is_none(),
        Expect::Version(version) => found == Some(version),
    };
    if met { Ok(()) } else { Err(Outcome::Conflict { key: key.clone(), found }) }
}

/// Removes whatever stands under a key, also what has expired there.
fn remove(conn: &Connection, key: &Key) -> rusqlite::Result<()> {
    let id: Option<i64> = conn
        .prepare_cached("DELETE FROM docs WHERE key = ?1 RETURNING id")?
        .query_row([key.as_str()], |row| row.get(0))
        .optional()?;
    if let Some(id) = id {
        conn.prepare_cached("DELETE FROM fields WHERE doc = ?1")?.execute([id])?;
        conn.prepare_cached("DELETE FROM items WHERE doc = ?1")?.execute([id])?;
    }
    Ok(())
}

/// Removes what has expired, at most `limit` keys.
pub(super) fn purge(conn: &Connection, wall: i64, limit: usize) -> rusqlite::Result<usize> {
    let keys: Vec<Key> = conn
        .prepare_cached("SELECT key FROM docs WHERE expires <= ?1 LIMIT ?2")?
        .query_map(params![wall, at_most(limit)], |row| row.get(0).map(Key))?
        .collect::<rusqlite::Result<_>>()?;
    for key in &keys {
        remove(conn, key)?;
    }
    Ok(keys.len())
}

/// Makes a key, in the place of what may have expired there.
fn create(conn: &Connection, key: &Key, kind: &str, expires: Option<i64>) -> rusqlite::Result<i64> {
    remove(conn, key)?;
    conn.prepare_cached("INSERT INTO docs(key, type, version, expires) VALUES(?1, ?2, 0, ?3)")?.execute(params![
        key.as_str(),
        kind,
        expires
    ])?;
    Ok(conn.last_insert_rowid())
}

fn set_field(conn: &Connection, doc: i64, name: &str, value: &dyn rusqlite::ToSql) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO fields(doc, name, value) VALUES(?1, ?2, ?3) ON CONFLICT DO UPDATE SET value = excluded.value",
    )?
    .execute(params![doc, name, value])?;
    Ok(())
}

fn remove_field(conn: &Connection, doc: i64, name: &str) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM fields WHERE doc = ?1 AND name = ?2")?.execute(params![doc, name])?;
    Ok(())
}

/// Changes a document's fields.
pub(super) fn change(
    conn: &Connection,
    wall: i64,
    key: &Key,
    expect: Expect,
    fields: &[(String, Option<String>)],
    ttl: Ttl,
) -> Applied {
    let doc = find(conn, key, wall)?;
    if let Some(doc) = doc.as_ref().filter(|doc| doc.kind != "hash") {
        return Ok(Err(foreign(key, doc, "hash")));
    }
    if let Err(outcome) = met(key, expect, doc.as_ref()) {
        return Ok(Err(outcome));
    }
    let id = match doc {
        Some(doc) => doc.id,
        None => create(conn, key, "hash", None)?,
    };
    match ttl {
        Ttl::Keep => conn.prepare_cached("UPDATE docs SET version = version + 1 WHERE id = ?1")?.execute([id])?,
        Ttl::Set(_) | Ttl::Clear => {
            let expires = match ttl {
                Ttl::Set(length) => Some(wall.saturating_add(i64::try_from(length.as_millis()).unwrap_or(i64::MAX))),
                Ttl::Keep | Ttl::Clear => None,
            };
            conn.prepare_cached("UPDATE docs SET version = version + 1, expires = ?2 WHERE id = ?1")?
                .execute(params![id, expires])?
        }
    };
    for (name, value) in fields.iter().filter(|(name, _)| name != VERSION_FIELD) {
        match value {
            Some(value) => set_field(conn, id, name, value)?,
            None => remove_field(conn, id, name)?,
        }
    }
    Ok(Ok(()))
}

/// Adds to a counter.
pub(super) fn add(conn: &Connection, wall: i64, key: &Key, field: &str, n: i64, ceiling: Option<i64>) -> Applied {
    let doc = find(conn, key, wall)?;
    if let Some(doc) = doc.as_ref().filter(|doc| doc.kind != "hash") {
        return Ok(Err(foreign(key, doc, "hash")));
    }
    let not_a_number = || Outcome::Refused(Refusal::NotANumber { key: key.to_string(), field: field.to_owned() });
    if field == VERSION_FIELD {
        return Ok(Err(not_a_number()));
    }
    let text: Option<String> = match &doc {
        None => None,
        Some(doc) => conn
            .prepare_cached("SELECT value FROM fields WHERE doc = ?1 AND name = ?2")?
            .query_row(params![doc.id, field], |row| row.get(0))
            .optional()?,
    };
    // Only as it would be written: Redis takes `007` or `+7` for a text, too.
    let text = text.as_deref().unwrap_or("0");
    let Some(value) = text.parse::<i64>().ok().filter(|value| value.to_string() == text) else {
        return Ok(Err(not_a_number()));
    };
    let Some(sum) = value.checked_add(n) else {
        return Ok(Err(not_a_number()));
    };
    if ceiling.is_some_and(|ceiling| sum > ceiling) {
        return Ok(Err(Outcome::Ceiling { key: key.clone(), field: field.to_owned(), value }));
    }
    let id = match doc {
        Some(doc) => doc.id,
        None => create(conn, key, "hash", None)?,
    };
    set_field(conn, id, field, &sum.to_string())?;
    Ok(Ok(()))
}

/// Deletes a key.
pub(super) fn delete(conn: &Connection, wall: i64, key: &Key, expect: Expect) -> Applied {
    let doc = find(conn, key, wall)?;
    if let Err(outcome) = met(key, expect, doc.as_ref()) {
        return Ok(Err(outcome));
    }
    remove(conn, key)?;
    Ok(Ok(()))
}

/// Changes what is no document.
pub(super) fn apply(conn: &Connection, wall: i64, key: &Key, change: &StateChange) -> Applied {
    let doc = find(conn, key, wall)?;
    if let Some(doc) = &doc {
        let fits = match change.wants() {
            Some(wanted) => doc.kind == wanted,
            None => doc.kind == "set" || doc.kind == "zset",
        };
        if !fits {
            return Ok(Err(foreign(key, doc, change.wants().unwrap_or("set"))));
        }
    }
    if let StateChange::Score { member, score } = change
        && score.is_nan()
    {
        let refusal = Refusal::NotANumber { key: key.to_string(), field: member.clone() };
        return Ok(Err(Outcome::Refused(refusal)));
    }
    let id = match (&doc, change.wants()) {
        (Some(doc), _) => doc.id,
        (None, Some(kind)) => create(conn, key, kind, None)?,
        (None, None) => return Ok(Ok(())),
    };
    match change {
        StateChange::SetString(text) => {
            conn.prepare_cached("UPDATE docs SET text = ?2 WHERE id = ?1")?.execute(params![id, text])?;
        }
        StateChange::Push { value, keep } => push(conn, key, id, value, *keep)?,
        StateChange::AddMember(member) => set_field(conn, id, member, &rusqlite::types::Null)?,
        StateChange::Score { member, score } => set_field(conn, id, member, score)?,
        StateChange::RemoveMember(member) => {
            remove_field(conn, id, member)?;
            let empty: bool = conn
                .prepare_cached("SELECT NOT EXISTS(SELECT 1 FROM fields WHERE doc = ?1)")?
                .query_row([id], |row| row.get(0))?;
            if empty {
                remove(conn, key)?;
            }
        }
    }
    Ok(Ok(()))
}

fn push(conn: &Connection, key: &Key, id: i64, value: &str, keep: usize) -> rusqlite::Result<()> {
    if keep == 0 {
        return remove(conn, key);
    }
    conn.prepare_cached(
        "INSERT INTO items(doc, pos, value) SELECT ?1, coalesce(max(pos), 0) + 1, ?2 FROM items WHERE doc = ?1",
    )?
    .execute(params![id, value])?;
    conn.prepare_cached(
        "DELETE FROM items WHERE doc = ?1 AND pos <= (SELECT max(pos) FROM items WHERE doc = ?1) - ?2",
    )?
    .execute(params![id, at_most(keep)])?;
    Ok(())
}

// ---- reading -----------------------------------------------------------------------------------------------------------

/// State, and when it goes.
pub(super) type Standing = (State, Option<i64>);

/// Reads what stands under a key.
pub(super) fn read(conn: &Connection, key: &Key, wall: i64) -> Answer<Option<Standing>> {
    let found: Option<(Doc, Option<i64>, Option<String>)> = conn
        .prepare_cached(
            "SELECT id, type, version, expires, text FROM docs WHERE key = ?1 AND (expires IS NULL OR expires > ?2)",
        )?
        .query_row(params![key.as_str(), wall], |row| {
            let version: i64 = row.get(2)?;
            let doc = Doc { id: row.get(0)?, kind: row.get(1)?, version: version.cast_unsigned() };
            Ok((doc, row.get(3)?, row.get(4)?))
        })
        .optional()?;
    let Some((doc, expires, text)) = found else {
        return Ok(Ok(None));
    };
    let state = match doc.kind.as_str() {
        "hash" => State::Hash(Document { version: doc.version, fields: pairs(conn, doc.id, text_of)?.collect() }),
        "string" => State::String(text.unwrap_or_default()),
        "list" => State::List(
            conn.prepare_cached("SELECT value FROM items WHERE doc = ?1 ORDER BY pos")?
                .query_map([doc.id], |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?,
        ),
        "set" => State::Set(pairs(conn, doc.id, |_| ())?.map(|(name, ())| name).collect()),
        "zset" => State::Sorted(pairs(conn, doc.id, |value| value.as_f64().unwrap_or_default())?.collect()),
        _ => {
            return Ok(Err(BusError::ForeignType { key: key.to_string(), found: doc.kind, wanted: "hash" }));
        }
    };
    Ok(Ok(Some((state, expires))))
}

/// Reads what stands under each of these keys, as of one moment; documents with some of their fields alone.
pub(super) fn read_many(
    conn: &Connection,
    keys: &[Key],
    only: Option<&[String]>,
    wall: i64,
) -> rusqlite::Result<Vec<Got>> {
    // One transaction: each statement by itself would begin and end one.
    conn.execute_batch("BEGIN")?;
    let found = keys.iter().map(|key| read_reduced(conn, key, only, wall)).collect();
    conn.execute_batch("COMMIT")?;
    found
}

fn read_reduced(conn: &Connection, key: &Key, only: Option<&[String]>, wall: i64) -> Answer<Option<State>> {
    let whole = || Ok(read(conn, key, wall)?.map(|found| found.map(|(state, _)| state)));
    let Some(only) = only else { return whole() };
    let doc = match find(conn, key, wall)? {
        None => return Ok(Ok(None)),
        Some(doc) if doc.kind != "hash" => return whole(),
        Some(doc) => doc,
    };
    let mut document = Document { version: doc.version, ..Document::default() };
    // One statement for all: with one for each field the statements cost more than the reading.
    let places = ", ?".repeat(only.len());
    let sql = format!("SELECT name, value FROM fields WHERE doc = ? AND name IN ({})", places.trim_start_matches(", "));
    let mut fields = conn.prepare_cached(&sql)?;
    let values = std::iter::once(&doc.id as &dyn rusqlite::ToSql).chain(only.iter().map(|name| name as _));
    let mut rows = fields.query(rusqlite::params_from_iter(values))?;
    while let Some(row) = rows.next()? {
        document.fields.insert(row.get(0)?, text_of(row.get_ref(1)?));
    }
    let there = document.version > 0 || !document.fields.is_empty();
    Ok(Ok(there.then_some(State::Hash(document))))
}

fn text_of(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        ValueRef::Null => String::new(),
        ValueRef::Integer(n) => n.to_string(),
        ValueRef::Real(n) => n.to_string(),
    }
}

fn pairs<T>(
    conn: &Connection,
    doc: i64,
    value: impl Fn(ValueRef<'_>) -> T,
) -> rusqlite::Result<impl Iterator<Item = (String, T)>> {
    let pairs: Vec<(String, T)> = conn
        .prepare_cached("SELECT name, value FROM fields WHERE doc = ?1")?
        .query_map([doc], |row| Ok((row.get(0)?, value(row.get_ref(1)?))))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(pairs.into_iter())
}

/// Puts state back as it was, in an empty store.
pub(super) fn put_back(conn: &Connection, key: &Key, state: &State, expires: Option<i64>) -> rusqlite::Result<()> {
    let id = create(conn, key, state.type_name(), expires)?;
    match state {
        State::Hash(document) => {
            conn.execute("UPDATE docs SET version = ?2 WHERE id = ?1", [id, document.version.cast_signed()])?;
            for (name, value) in &document.fields {
                set_field(conn, id, name, value)?;
            }
        }
        State::String(text) => {
            conn.execute("UPDATE docs SET text = ?2 WHERE id = ?1", params![id, text])?;
        }
        State::List(values) => {
            for (pos, value) in (1_i64..).zip(values) {
                conn.prepare_cached("INSERT INTO items(doc, pos, value) VALUES(?1, ?2, ?3)")?
                    .execute(params![id, pos, value])?;
            }
        }
        State::Set(members) => {
            for member in members {
                set_field(conn, id, member, &Value::Null)?;
            }
        }
        State::Sorted(members) => {
            for (member, score) in members {
                set_field(conn, id, member, score)?;
            }
        }
    }
    Ok(())
}
