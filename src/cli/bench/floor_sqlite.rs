//! The floor on SQLite: the same rows, inserted in transactions by one thread.

use std::path::Path;
use std::time::Instant;

use rusqlite::{Connection, params};

const ENVELOPE: &str = r#"{"id":"01a1fc68-71a8-71c1-9880-be41a7e9c8ca","type":"discord_message","v":1,"source":"control_room","at":"2026-11-21T04:41:05.704Z","trace":"01a1fc68-71a8-71c1-9880-be41a7e9c8ca","priority":"medium","trust":"system"}"#;
const BODY: &str = r#"{"type":"discord_message","message_id":"120001","channel_id":"880042","channel_name":"gtm","username":"mara","user_id":"5551","content":"0","mentions_bot":false,"timestamp":"2026-03-01T09:30:00.000Z"}"#;

/// Inserts entries and idempotency keys, `group` messages a transaction, with the engine's settings; messages a second.
///
/// # Errors
/// Where SQLite fails.
pub fn insert_grouped(file: &Path, count: usize, group: usize) -> color_eyre::Result<f64> {
    let mut connection = Connection::open(file)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.execute_batch(
        "CREATE TABLE entries(rowid INTEGER PRIMARY KEY, channel INTEGER, ms INTEGER, seq INTEGER, e TEXT, b TEXT);
         CREATE UNIQUE INDEX by_id ON entries(channel, ms, seq);
         CREATE TABLE once(key TEXT PRIMARY KEY, entries TEXT, expires INTEGER) WITHOUT ROWID;",
    )?;
    let began = Instant::now();
    let mut number = 0_i64;
    for _ in 0..count.div_ceil(group) {
        let transaction = connection.transaction()?;
        for _ in 0..group {
            number += 1;
            transaction
                .prepare_cached("INSERT INTO entries(channel, ms, seq, e, b) VALUES(1, ?1, 0, ?2, ?3)")?
                .execute(params![number, ENVELOPE, BODY])?;
            transaction
                .prepare_cached("INSERT INTO once(key, entries, expires) VALUES(?1, ?2, ?3)")?
                .execute(params![format!("01a1fc68-71a8-71c1-9880-{number:012}"), format!("{number}-0"), number])?;
        }
        transaction.commit()?;
    }
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    Ok(count as f64 / began.elapsed().as_secs_f64())
}
