//! What the store in memory holds, and how groups, views, leases and housekeeping work on it.
//!
//! Owns everything but commits ([`super::apply`]) and records ([`super::records`]). Must never wait or announce.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::bus::entry::{Entry, EntryId};
use crate::bus::{
    Bound, BusError, ChannelInfo, Claimed, Claims, ConsumerInfo, GroupFound, GroupInfo, Key, LeaseFence, Range, Reader,
    State, Timer, Want,
};
use crate::contracts::ChannelName;

/// Both clocks, read once for a call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) wall: DateTime<Utc>,
    pub(super) monotonic: Duration,
}

#[derive(Debug, Default)]
pub(super) struct Data {
    pub(super) streams: BTreeMap<ChannelName, Stream>,
    pub(super) keys: BTreeMap<Key, Held>,
    pub(super) timers: BTreeMap<String, Timer>,
    pub(super) once: BTreeMap<String, Once>,
    pub(super) leases: BTreeMap<String, Lease>,
}

#[derive(Debug, Default)]
pub(super) struct Stream {
    /// Envelope and body by id.
    pub(super) entries: BTreeMap<EntryId, (String, String)>,
    /// The newest id ever given.
    pub(super) last: EntryId,
    pub(super) groups: BTreeMap<String, Group>,
    /// Where each group's acknowledgements have come to; outlives a group that somebody deletes.
    pub(super) watermarks: BTreeMap<String, EntryId>,
}

#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) last_delivered: EntryId,
    pub(super) pending: BTreeMap<EntryId, Pending>,
    /// When each consumer last read or extended.
    pub(super) consumers: BTreeMap<String, Duration>,
    /// When any of them last read, extended or acknowledged.
    pub(super) touched: Option<Duration>,
}

#[derive(Debug)]
pub(super) struct Pending {
    pub(super) consumer: String,
    pub(super) attempt: u32,
    /// When its holder last gave a sign of life; none once it was handed back.
    pub(super) since: Option<Duration>,
}

#[derive(Debug, Clone)]
pub(super) struct Held {
    /// None: a type that no key of ours has.
    pub(super) state: Option<State>,
    pub(super) expires_at: Option<DateTime<Utc>>,
}

#[derive(Debug)]
pub(super) struct Once {
    pub(super) entries: Vec<EntryId>,
    pub(super) expires_at: DateTime<Utc>,
}

#[derive(Debug)]
pub(super) struct Lease {
    pub(super) number: u64,
    /// Whose it is, and until when.
    pub(super) holder: Option<(String, Duration)>,
}

impl Group {
    fn touch(&mut self, consumer: &str, now: Moment) {
        self.consumers.insert(consumer.to_owned(), now.monotonic);
        self.touched = Some(now.monotonic);
    }
}

impl Stream {
    fn claimed(&self, channel: ChannelName, id: EntryId, attempt: u32) -> Option<Claimed> {
        let (e, b) = self.entries.get(&id).cloned()?;
        let entry = Entry::new(channel, id, e, b);
        Some(Claimed { entry, attempt })
    }

    /// Moves a group's watermark up to where its acknowledgements have come.
    pub(super) fn raise_watermark(&mut self, group: &str) {
        let Some(found) = self.groups.get(group) else { return };
        let reached = match found.pending.keys().next() {
            Some(oldest) => self.entries.range(..oldest).next_back().map(|(id, _)| *id),
            None => Some(found.last_delivered),
        };
        let watermark = self.watermarks.entry(group.to_owned()).or_default();
        *watermark = reached.unwrap_or_default().max(*watermark);
    }

    /// The oldest entry that a group still needs; everything below may go.
    fn needed_from(&self) -> EntryId {
        self.groups
            .values()
            .map(|group| match group.pending.keys().next() {
                Some(oldest) => *oldest,
                None => EntryId { seq: group.last_delivered.seq.saturating_add(1), ..group.last_delivered },
            })
            .min()
            .unwrap_or(EntryId::MAX)
    }
}

impl Data {
    pub(super) fn stream(&mut self, channel: ChannelName) -> &mut Stream {
        self.streams.entry(channel).or_default()
    }

    fn group(&mut self, channel: ChannelName, group: &str) -> Result<&mut Group, BusError> {
        self.expect_stream(channel)?;
        self.stream(channel).groups.get_mut(group).ok_or_else(|| BusError::NoGroup { channel, group: group.to_owned() })
    }

    pub(super) fn stream_key(channel: ChannelName) -> Key {
        Key::new(format!("{channel}:stream"))
    }

    fn expect_stream(&self, channel: ChannelName) -> Result<(), BusError> {
        let key = Self::stream_key(channel);
        if self.keys.contains_key(&key) {
            return Err(BusError::ForeignType { key: key.to_string(), found: "foreign".to_owned(), wanted: "stream" });
        }
        Ok(())
    }

    pub(super) fn set_foreign(&mut self, key: &Key) {
        let held = Held { state: None, expires_at: None };
        self.keys.insert(key.clone(), held);
    }

    // ---- groups --------------------------------------------------------------------------------------------------------

    pub(super) fn ensure_group(&mut self, channel: ChannelName, group: &str) -> Result<GroupFound, BusError> {
        self.expect_stream(channel)?;
        let stream = self.stream(channel);
        if stream.groups.contains_key(group) {
            return Ok(GroupFound::Existing);
        }
        let watermark = stream.watermarks.get(group).copied();
        let fresh = Group { last_delivered: watermark.unwrap_or_default(), ..Group::default() };
        stream.groups.insert(group.to_owned(), fresh);
        stream.watermarks.entry(group.to_owned()).or_default();
        Ok(watermark.map_or(GroupFound::Created, GroupFound::Resumed))
    }

    pub(super) fn delete_group(&mut self, channel: ChannelName, group: &str) -> bool {
        self.stream(channel).groups.remove(group).is_some()
    }

    pub(super) fn read(
        &mut self,
        reader: &Reader,
        channels: &[ChannelName],
        want: Want,
        now: Moment,
    ) -> Result<Vec<Claimed>, BusError> {
        let mut next = Vec::new();
        for &channel in channels {
            let group = self.group(channel, &reader.group)?;
            group.touch(&reader.consumer, now);
            let after = group.last_delivered;
            let entries = &self.stream(channel).entries;
            next.extend(entries.keys().filter(|id| **id > after).map(|id| (*id, channel)));
        }
        next.sort_unstable();
        next.truncate(want.start + want.ahead);
        let mut claimed = Vec::new();
        for (place, (id, channel)) in next.into_iter().enumerate() {
            let attempt = u32::from(place < want.start);
            let pending = Pending { consumer: reader.consumer.clone(), attempt, since: Some(now.monotonic) };
            let group = self.group(channel, &reader.group)?;
            group.last_delivered = id;
            group.pending.insert(id, pending);
            claimed.extend(self.stream(channel).claimed(channel, id, attempt));
        }
        Ok(claimed)
    }

    /// Gives the reader those pending messages of its group that `chosen` names, oldest first.
    pub(super) fn take(
        &mut self,
        reader: &Reader,
        channels: &[ChannelName],
        limit: usize,
        now: Moment,
        chosen: impl Fn(&Pending) -> bool,
    ) -> Result<Claims, BusError> {
        let mut found = Vec::new();
        for &channel in channels {
            let group = self.group(channel, &reader.group)?;
            group.touch(&reader.consumer, now);
            let ids = group.pending.iter().filter(|(_, held)| chosen(held));
            found.extend(ids.map(|(id, _)| (*id, channel)));
        }
        found.sort_unstable();
        found.truncate(limit);
        let mut claims = Claims::default();
        for (id, channel) in found {
            let there = self.stream(channel).entries.contains_key(&id);
            let group = self.group(channel, &reader.group)?;
            if !there {
                group.pending.remove(&id);
                claims.vanished.push((channel, id));
            } else if let Some(held) = group.pending.get_mut(&id) {
                reader.consumer.clone_into(&mut held.consumer);
                held.since = Some(now.monotonic);
                let attempt = held.attempt;
                claims.claimed.extend(self.stream(channel).claimed(channel, id, attempt));
            }
        }
        Ok(claims)
    }

    /// Sets the last sign of life of what the reader holds, and returns what it does not hold.
    pub(super) fn keep(
        &mut self,
        reader: &Reader,
        messages: &[(ChannelName, EntryId)],
        since: Option<Duration>,
        now: Moment,
    ) -> Vec<(ChannelName, EntryId)> {
        let mut lost = Vec::new();
        for &(channel, id) in messages {
            let group = self.stream(channel).groups.get_mut(&reader.group);
            let held = group.and_then(|group| {
                group.touch(&reader.consumer, now);
                group.pending.get_mut(&id)
            });
            match held.filter(|held| held.consumer == reader.consumer) {
                Some(held) => held.since = since,
                None => lost.push((channel, id)),
            }
        }
        lost
    }

    // ---- views ---------------------------------------------------------------------------------------------------------

    pub(super) fn range(&mut self, channel: ChannelName, range: Range) -> Vec<Entry> {
        let after = |id: &EntryId| match range.from {
            Bound::Open => true,
            Bound::Entry(from) => *id > from,
            Bound::Time(from) => id.at() >= from,
        };
        let before = |id: &EntryId| match range.to {
            Bound::Open => true,
            Bound::Entry(to) => *id < to,
            Bound::Time(to) => id.at() < to,
        };
        let within = self.stream(channel).entries.iter();
        let within = within.filter(|(id, _)| after(id) && before(id));
        let entry = |(id, (e, b)): (&EntryId, &(String, String))| Entry::new(channel, *id, e.clone(), b.clone());
        if range.newest_first {
            within.rev().take(range.limit).map(entry).collect()
        } else {
            within.take(range.limit).map(entry).collect()
        }
    }

    pub(super) fn live(&self, key: &Key, now: Moment) -> Option<&Held> {
        let held = self.keys.get(key)?;
        held.expires_at.is_none_or(|at| at > now.wall).then_some(held)
    }

    pub(super) fn get(&self, key: &Key, now: Moment) -> Result<Option<State>, BusError> {
        match self.live(key, now) {
            None => Ok(None),
            Some(Held { state: Some(state), .. }) => Ok(Some(state.clone())),
            Some(Held { state: None, .. }) => {
                Err(BusError::ForeignType { key: key.to_string(), found: "foreign".to_owned(), wanted: "hash" })
            }
        }
    }

    pub(super) fn scan(
        &self,
        prefix: &str,
        cursor: Option<String>,
        limit: usize,
        now: Moment,
    ) -> (Vec<Key>, Option<String>) {
        let after = cursor.map(Key);
        let mut keys: Vec<Key> = (self.keys.keys())
            .filter(|key| key.as_str().starts_with(prefix) && after.as_ref().is_none_or(|after| *key > after))
            .filter(|key| self.live(key, now).is_some())
            .take(limit.max(1) + 1)
            .cloned()
            .collect();
        if keys.len() <= limit.max(1) {
            return (keys, None);
        }
        keys.pop();
        let next = keys.last().map(|key| key.as_str().to_owned());
        (keys, next)
    }

    // ---- leases --------------------------------------------------------------------------------------------------------

    pub(super) fn lease(&mut self, name: &str, owner: &str, ttl: Duration, now: Moment) -> Option<LeaseFence> {
        let lease = self.leases.entry(name.to_owned()).or_insert(Lease { number: 0, holder: None });
        let holder = lease.holder.as_ref().filter(|(_, until)| *until > now.monotonic);
        match holder {
            Some((holder, _)) if holder != owner => return None,
            Some(_) => {}
            None => lease.number += 1,
        }
        lease.holder = Some((owner.to_owned(), now.monotonic.saturating_add(ttl)));
        Some(LeaseFence { name: name.to_owned(), number: lease.number })
    }

    pub(super) fn unlease(&mut self, name: &str, owner: &str) {
        if let Some(lease) = self.leases.get_mut(name) {
            lease.holder.take_if(|(holder, _)| holder == owner);
        }
    }

    /// Whether this is still the lease's number.
    pub(super) fn holds(&self, fence: &LeaseFence) -> bool {
        self.leases.get(&fence.name).is_some_and(|lease| lease.number == fence.number)
    }

    // ---- housekeeping --------------------------------------------------------------------------------------------------

    pub(super) fn trim(&mut self, channel: ChannelName, older_than: DateTime<Utc>, keep: u64) -> u64 {
        let stream = self.stream(channel);
        let needed = stream.needed_from();
        let mut gone = 0;
        while let Some((&oldest, _)) = stream.entries.first_key_value() {
            let too_many = stream.entries.len() as u64 > keep;
            if oldest >= needed || !(too_many || oldest.at() < older_than) {
                break;
            }
            stream.entries.pop_first();
            gone += 1;
        }
        gone
    }

    pub(super) fn inspect(&mut self, channel: ChannelName, now: Moment) -> ChannelInfo {
        let stream = self.stream(channel);
        let since = |at: Duration| now.monotonic.saturating_sub(at);
        let groups = stream.groups.iter().map(|(name, group)| GroupInfo {
            group: name.clone(),
            last_delivered: group.last_delivered,
            pending: group.pending.len() as u64,
            oldest_pending: group.pending.keys().next().copied(),
            lag: Some(stream.entries.keys().filter(|id| **id > group.last_delivered).count() as u64),
            idle: group.touched.map(since),
            consumers: (group.consumers.iter())
                .map(|(consumer, at)| ConsumerInfo {
                    consumer: consumer.clone(),
                    pending: group.pending.values().filter(|held| held.consumer == *consumer).count() as u64,
                    idle: since(*at),
                })
                .collect(),
        });
        ChannelInfo {
            channel,
            length: stream.entries.len() as u64,
            first: stream.entries.keys().next().copied(),
            last: stream.entries.keys().next_back().copied(),
            groups: groups.collect(),
        }
    }
}
