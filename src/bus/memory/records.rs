//! The store in memory as records, and back.
//!
//! Owns their order. Must never lose a record that it cannot place: that is an error.

use super::data::{Data, Group, Held, Lease, Moment, Once, Pending};
use crate::bus::Record;

impl Data {
    /// Everything that is there, in the order that [`Record`] asks for.
    pub(super) fn records(&self, now: Moment) -> Vec<Record> {
        let mut records = Vec::new();
        for channel in self.streams.keys() {
            self.stream_records(*channel, &mut records);
        }
        for (key, held) in &self.keys {
            if let (Some(_), Some(state)) = (self.live(key, now), &held.state) {
                records.push(Record::State { key: key.clone(), state: state.clone(), expires_at: held.expires_at });
            }
        }
        records.extend(self.timers.values().map(|timer| Record::Timer { timer: timer.clone() }));
        let remembered = self.once.iter().filter(|(_, once)| once.expires_at > now.wall);
        records.extend(remembered.map(|(key, once)| Record::Once {
            key: key.clone(),
            entries: once.entries.clone(),
            expires_at: once.expires_at,
        }));
        records
            .extend(self.leases.iter().map(|(name, lease)| Record::Fence { name: name.clone(), number: lease.number }));
        records
    }

    fn stream_records(&self, channel: crate::contracts::ChannelName, records: &mut Vec<Record>) {
        let Some(stream) = self.streams.get(&channel).filter(|stream| !stream.is_untouched()) else {
            return;
        };
        records.extend(stream.entries.iter().map(|(id, (e, b))| Record::Entry {
            channel,
            id: *id,
            e: e.clone(),
            b: b.clone(),
        }));
        let last = stream.last;
        records.push(Record::Channel { channel, last });
        for (name, group) in &stream.groups {
            records.push(Record::Group { channel, group: name.clone(), last_delivered: group.last_delivered });
            records.extend(group.pending.iter().map(|(id, held)| Record::Pending {
                channel,
                group: name.clone(),
                consumer: held.consumer.clone(),
                id: *id,
                attempt: held.attempt,
            }));
        }
    }

    /// Whether nothing was ever put into it, or all of it has gone.
    pub(super) fn is_empty(&self, now: Moment) -> bool {
        self.records(now).is_empty() && self.keys.keys().all(|key| self.live(key, now).is_none())
    }

    /// Puts one record back.
    pub(super) fn put_back(&mut self, record: Record, now: Moment) -> Result<(), String> {
        match record {
            Record::Entry { channel, id, e, b } => {
                let stream = self.stream(channel);
                if id <= stream.last {
                    return Err(format!("entry {id} of {channel} does not come after {}", stream.last));
                }
                stream.last = id;
                stream.entries.insert(id, (e, b));
            }
            Record::Channel { channel, last } => {
                let stream = self.stream(channel);
                if last < stream.last {
                    return Err(format!("{channel} has an entry above its newest id {last}"));
                }
                stream.last = last;
            }
            Record::Group { channel, group, last_delivered } => {
                let stream = self.stream(channel);
                let fresh = Group { last_delivered, ..Group::default() };
                stream.groups.insert(group.clone(), fresh);
                stream.raise_watermark(&group);
            }
            Record::Pending { channel, group, consumer, id, attempt } => {
                let stream = self.stream(channel);
                let Some(found) = stream.groups.get_mut(&group) else {
                    return Err(format!("{channel} has no group `{group}`"));
                };
                let pending = Pending { consumer: consumer.clone(), attempt, since: Some(now.monotonic) };
                found.consumers.insert(consumer, now.monotonic);
                found.pending.insert(id, pending);
                stream.watermarks.remove(&group);
                stream.raise_watermark(&group);
            }
            Record::State { key, state, expires_at } => {
                let state = Some(state);
                self.keys.insert(key, Held { state, expires_at });
            }
            Record::Timer { timer } => {
                self.timers.insert(timer.id.clone(), timer);
            }
            Record::Once { key, entries, expires_at } => {
                self.once.insert(key, Once { entries, expires_at });
            }
            Record::Fence { name, number } => {
                self.leases.insert(name, Lease { number, holder: None });
            }
        }
        Ok(())
    }
}

impl super::data::Stream {
    /// Whether nobody has written to it or read from it.
    fn is_untouched(&self) -> bool {
        self.last == crate::bus::EntryId::ZERO && self.groups.is_empty()
    }
}
