//! The search index over every entry's envelope and body.
//!
//! Owns what is indexed and how a query is read. It holds words only, no texts; entries that are trimmed leave it.

use rusqlite::{Connection, params};

use super::find;
use super::schema::{at_most, stream_table};
use super::store::{Store, id_of, known};
use crate::bus::{Entry, EntryId};
use crate::contracts::ChannelName;

/// Positions within a channel's part of the index.
const POSITION_BITS: i64 = 40;

fn row_of(number: i64, pos: i64) -> i64 {
    (number << POSITION_BITS) + pos
}

/// A channel's number in the index, and how far that has come.
fn indexed(conn: &Connection, channel: ChannelName) -> rusqlite::Result<(i64, i64)> {
    conn.prepare_cached("SELECT number, indexed FROM channels WHERE name = ?1")?
        .query_row([channel.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
}

/// Whether there are entries that are not in the index.
pub(super) fn is_behind(conn: &Connection) -> rusqlite::Result<bool> {
    for channel in ChannelName::ALL {
        let last = find::ends(conn, *channel)?.map_or(0, |(_, last)| last);
        if last > indexed(conn, *channel)?.1 {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Store {
    /// Takes up to `limit` further entries into the index. Returns how many.
    pub(super) fn index(&mut self, limit: usize) -> rusqlite::Result<usize> {
        let mut taken = 0;
        for channel in ChannelName::ALL {
            let head = &self.channels[*channel as usize];
            let (number, done) = indexed(&self.conn, *channel)?;
            if head.last.pos <= done || taken >= limit {
                continue;
            }
            let mut until = head.last.pos;
            let mut found = 0;
            let mut statement = self.conn.prepare_cached(&head.after)?;
            let mut rows = statement.query(params![done, at_most(limit - taken)])?;
            while let Some(row) = rows.next()? {
                let pos: i64 = row.get(0)?;
                let e = row.get_ref(3)?.as_str()?;
                let b = row.get_ref(4)?.as_str()?;
                self.conn.prepare_cached("INSERT INTO words(rowid, e, b) VALUES(?1, ?2, ?3)")?.execute(params![
                    row_of(number, pos),
                    e,
                    b
                ])?;
                until = pos;
                found += 1;
            }
            self.conn
                .prepare_cached("UPDATE channels SET indexed = ?2 WHERE name = ?1")?
                .execute(params![channel.as_str(), until])?;
            taken += found;
        }
        Ok(taken)
    }

    /// Takes entries out of the index that are about to go.
    pub(super) fn unindex(&self, channel: ChannelName, first: i64, until: i64) -> rusqlite::Result<()> {
        let (number, done) = indexed(&self.conn, channel)?;
        let mut statement = self.conn.prepare_cached("DELETE FROM words WHERE rowid = ?1")?;
        for pos in first..=until.min(done) {
            statement.execute([row_of(number, pos)])?;
        }
        Ok(())
    }
}

/// A person's words as a query: each must occur, at least as the beginning of one. None where there are no words.
fn query_of(words: &[String]) -> Option<String> {
    let words: Vec<String> = words
        .iter()
        .filter(|word| word.chars().any(char::is_alphanumeric))
        .map(|word| format!("\"{}\" *", word.replace('"', "\"\"").replace('\0', "")))
        .collect();
    (!words.is_empty()).then(|| words.join(" "))
}

/// Entries with all the words, newest first, of ids before `before`.
pub(super) fn search(
    conn: &Connection,
    words: &[String],
    limit: usize,
    before: Option<EntryId>,
) -> rusqlite::Result<Option<Vec<Entry>>> {
    let Some(query) = query_of(words) else {
        return Ok(None);
    };
    let mut channels = conn.prepare_cached("SELECT name, number FROM channels")?;
    let channels: Vec<(String, i64)> =
        channels.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<rusqlite::Result<_>>()?;
    let mut found = Vec::new();
    for (name, number) in channels {
        let Some(channel) = known(&name) else { continue };
        let until = match before {
            Some(id) => find::lower_bound(conn, channel, id)?,
            None => 1 << POSITION_BITS,
        };
        let sql = format!(
            "SELECT s.ms, s.seq, s.e, s.b FROM
             (SELECT rowid AS id FROM words WHERE words MATCH ?1 AND rowid >= ?2 AND rowid < ?3 ORDER BY rowid DESC LIMIT ?4) w
             JOIN {} s ON s.pos = w.id - ?2",
            stream_table(channel)
        );
        let mut statement = conn.prepare_cached(&sql)?;
        let mut rows = statement.query(params![query, row_of(number, 0), row_of(number, until), at_most(limit)])?;
        while let Some(row) = rows.next()? {
            found.push(Entry::new(channel, id_of(row.get(0)?, row.get(1)?), row.get(2)?, row.get(3)?));
        }
    }
    found.sort_by_key(|entry| std::cmp::Reverse(entry.id));
    found.truncate(limit);
    Ok(Some(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_person_types_is_a_query() {
        let query = |words: &[&str]| query_of(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        assert_eq!(query(&["win", "rate"]), Some(r#""win" * "rate" *"#.to_owned()));
        assert_eq!(query(&["say", "\"hi\" AND", "-x*"]), Some(r#""say" * """hi"" AND" * "-x*" *"#.to_owned()));
        assert_eq!(query(&[" ", "\"", "- *"]), None);
    }
}
