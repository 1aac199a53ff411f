//! The search index over every entry's envelope and body.
//!
//! Owns what is indexed and how a query is read. It holds words only, no texts; entries that are trimmed leave it.

mod words;

use std::collections::VecDeque;

use rusqlite::{Connection, params};

use super::find;
use super::schema::{at_most, stream_table};
use super::store::{Store, id_of};
use crate::bus::{Entry, EntryId};
use crate::contracts::ChannelName;
use words::Phrase;

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

/// Entries of all channels that are looked at one by one before the index is asked. A word that is in every twentieth of them fills a
/// page by that; the index would have to collect all of its entries first, for beginnings of words have no order of their own.
const LOOKED_AT: usize = 20_000;
/// Entries of a channel that are read at a time.
const CHUNK: usize = 256;

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
    let mut look = Look::new(conn, words, before)?;
    let mut found = Vec::new();
    for _ in 0..LOOKED_AT {
        if found.len() >= limit {
            return Ok(Some(found));
        }
        match look.next()? {
            Some(entry) if look.is_wanted(&entry) => found.push(entry),
            Some(_) => {}
            None => return Ok(Some(found)),
        }
    }
    let mut rest = Vec::new();
    for (channel, until) in look.rest() {
        by_index(conn, &query, channel, until, limit - found.len(), &mut rest)?;
    }
    rest.sort_by_key(|entry| std::cmp::Reverse(entry.id));
    found.extend(rest);
    found.truncate(limit);
    Ok(Some(found))
}

/// Entries of a channel before a position, by the index.
fn by_index(
    conn: &Connection,
    query: &str,
    channel: ChannelName,
    until: i64,
    limit: usize,
    found: &mut Vec<Entry>,
) -> rusqlite::Result<()> {
    let (number, _) = indexed(conn, channel)?;
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
    Ok(())
}

/// Reads all channels backwards, by id.
struct Look<'a> {
    conn: &'a Connection,
    phrases: Vec<Phrase>,
    channels: Vec<Ahead>,
}

/// What of a channel was read and not yet given.
struct Ahead {
    channel: ChannelName,
    entries: VecDeque<(i64, Entry)>,
    /// Everything before this position was not read.
    until: i64,
}

impl<'a> Look<'a> {
    fn new(conn: &'a Connection, words: &[String], before: Option<EntryId>) -> rusqlite::Result<Self> {
        let mut channels = Vec::new();
        for channel in ChannelName::ALL.iter().copied() {
            let until = match (find::ends(conn, channel)?, before) {
                (None, _) => continue,
                (Some(_), Some(id)) => find::lower_bound(conn, channel, id)?,
                (Some((_, last)), None) => last + 1,
            };
            channels.push(Ahead { channel, entries: VecDeque::new(), until });
        }
        Ok(Self { conn, phrases: words.iter().filter_map(|word| Phrase::of(word)).collect(), channels })
    }

    /// The newest entry that was not given yet.
    fn next(&mut self) -> rusqlite::Result<Option<Entry>> {
        for ahead in &mut self.channels {
            if ahead.entries.is_empty() {
                ahead.read(self.conn)?;
            }
        }
        self.channels.retain(|ahead| !ahead.entries.is_empty());
        let newest = self.channels.iter_mut().max_by_key(|ahead| ahead.entries.front().map(|(_, entry)| entry.id));
        Ok(newest.and_then(|ahead| ahead.entries.pop_front()).map(|(_, entry)| entry))
    }

    fn is_wanted(&self, entry: &Entry) -> bool {
        self.phrases.iter().all(|phrase| phrase.is_in(&entry.e) || phrase.is_in(&entry.b))
    }

    /// The channels that have more, and the positions before which nothing was given.
    fn rest(self) -> impl Iterator<Item = (ChannelName, i64)> {
        self.channels.into_iter().map(|ahead| {
            let given = ahead.entries.front().map_or(ahead.until, |(pos, _)| pos + 1);
            (ahead.channel, given)
        })
    }
}

impl Ahead {
    fn read(&mut self, conn: &Connection) -> rusqlite::Result<()> {
        let sql = format!(
            "SELECT pos, ms, seq, e, b FROM {} WHERE pos < ?1 ORDER BY pos DESC LIMIT ?2",
            stream_table(self.channel)
        );
        let mut statement = conn.prepare_cached(&sql)?;
        let mut rows = statement.query(params![self.until, at_most(CHUNK)])?;
        while let Some(row) = rows.next()? {
            self.until = row.get(0)?;
            let entry = Entry::new(self.channel, id_of(row.get(1)?, row.get(2)?), row.get(3)?, row.get(4)?);
            self.entries.push_back((self.until, entry));
        }
        Ok(())
    }
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
