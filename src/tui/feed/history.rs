//! The newest history of every channel, in the order in which it was said.

use std::sync::Arc;

use super::{Cursor, Feed, Gone, left_out};
use crate::bus::backoff::Backoff;
use crate::bus::{BusError, Entry, EntryId, Range};
use crate::contracts::{ChannelKind, ChannelName};
use crate::tui::store::{EngineStatus, Item, Row};

/// Entries of each channel that are read at the start.
const NEWEST: usize = 300;
/// Entries of `fullsend:metrics`: numbers over time are made of them.
const NUMBERS: usize = 2_000;

impl Feed {
    /// Hands the newest history over, and says where to go on from. Waits for a bus that is away.
    pub(super) async fn fill(&self) -> Result<Vec<Cursor>, Gone> {
        let mut backoff = Backoff::quick();
        let mut is_away = false;
        let mut channels: Vec<ChannelName> =
            ChannelName::ALL.iter().copied().filter(|it| it.route().kind == ChannelKind::Work).collect();
        loop {
            match self.newest_of(&channels).await {
                Ok(newest) => {
                    let rows = newest.entries.into_iter().map(|entry| Item::Message(Arc::new(Row::stored(entry))));
                    let since = newest.since.map(Item::Since);
                    let items = std::iter::once(Item::Engine(EngineStatus::Live)).chain(since).chain(rows);
                    self.give(items.collect()).await?;
                    return Ok(newest.cursors);
                }
                Err(err) => {
                    let lost = left_out(&err);
                    channels.retain(|channel| !lost.contains(channel));
                    if lost.is_empty() && !std::mem::replace(&mut is_away, true) {
                        self.say_away(&err).await?;
                    }
                    tokio::time::sleep(backoff.next_delay()).await;
                }
            }
        }
    }

    async fn newest_of(&self, channels: &[ChannelName]) -> Result<Newest, BusError> {
        let mut newest = Newest { entries: Vec::new(), cursors: Vec::new(), since: None };
        for channel in channels {
            let most = if *channel == ChannelName::Metrics { NUMBERS } else { NEWEST };
            let entries = self.bus.range(*channel, Range::newest(most)).await?;
            newest.cursors.push((*channel, entries.first().map_or(EntryId::ZERO, |entry| entry.id)));
            if entries.len() >= most {
                newest.since = newest.since.max(entries.last().map(|entry| entry.id));
            }
            newest.entries.extend(entries);
        }
        newest.entries.sort_by_key(|entry| (entry.id, entry.channel));
        Ok(newest)
    }
}

/// The newest history of some channels.
struct Newest {
    entries: Vec<Entry>,
    cursors: Vec<Cursor>,
    /// From here on it has everything of all of them; none where that is so from the beginning.
    since: Option<EntryId>,
}
