//! What waits for a group: how much, and for how long, also where the engine cannot tell.
//!
//! Must never read more of a stream than a count needs to be of use.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{BusError, EntryId, GroupInfo, Range, SharedBus};
use crate::contracts::ChannelName;

/// Counted are at most so many.
const MOST: u64 = 10_000;
/// Entries read at a time, to be counted.
const PAGE: usize = 250;

/// How many messages have not been handed out yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// So many.
    pub count: u64,
    /// There are more: this is where the counting ended.
    pub or_more: bool,
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.count, if self.or_more { " or more" } else { "" })
    }
}

/// How many messages of the channel wait for the group: what the engine says, or else counted.
///
/// # Errors
/// As [`super::Bus::range`].
pub async fn waiting(bus: &SharedBus, channel: ChannelName, group: &GroupInfo) -> Result<Waiting, BusError> {
    if let Some(count) = group.lag {
        return Ok(Waiting { count, or_more: false });
    }
    let (mut count, mut after) = (0, group.last_delivered);
    while count <= MOST {
        let page = bus.range(channel, Range::after(after, PAGE)).await?;
        count += page.len() as u64;
        match page.last() {
            Some(last) if page.len() == PAGE => after = last.id,
            _ => return Ok(Waiting { count: count.min(MOST), or_more: count > MOST }),
        }
    }
    Ok(Waiting { count: MOST, or_more: true })
}

/// For how long nobody has read for the group: since a consumer's last sign of life, or, where there is no consumer, since the
/// oldest message that waits was said. None where neither is there.
///
/// # Errors
/// As [`super::Bus::range`].
pub async fn unread_for(
    bus: &SharedBus,
    channel: ChannelName,
    group: &GroupInfo,
    now: DateTime<Utc>,
) -> Result<Option<Duration>, BusError> {
    if group.idle.is_some() {
        return Ok(group.idle);
    }
    let oldest = bus.range(channel, Range::after(group.last_delivered, 1)).await?;
    let age = |id: EntryId| (now - id.at()).to_std().unwrap_or_default();
    Ok(oldest.first().map(|entry| age(entry.id)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::testing::World;
    use crate::bus::{Commit, Op};

    #[tokio::test(start_paused = true)]
    async fn what_the_engine_cannot_tell_is_counted_up_to_a_cap() {
        const CHANNEL: ChannelName = ChannelName::Echo;
        let world = World::new();
        let bus = world.bus();
        bus.ensure_group(CHANNEL, "echo").await.unwrap();
        let mut group = bus.inspect(CHANNEL).await.unwrap().groups.remove(0);
        assert_eq!(unread_for(&bus, CHANNEL, &group, world.clock.now()).await, Ok(None));
        group.lag = None;
        let mut said = 0;
        // The edges of a page, and of the cap.
        for upto in [0, 1, PAGE, PAGE + 1, 10_000, 10_001] {
            let units = (said..upto).map(|_| Commit::of(vec![Op::Append(world.request("x"))])).collect();
            bus.commit(units).await.unwrap();
            said = upto;
            let expected = if upto > 10_000 { "10000 or more".to_owned() } else { upto.to_string() };
            assert_eq!(waiting(&bus, CHANNEL, &group).await.unwrap().to_string(), expected);
        }
        group.lag = Some(3);
        assert_eq!(waiting(&bus, CHANNEL, &group).await, Ok(Waiting { count: 3, or_more: false }));
        tokio::time::sleep(Duration::from_mins(7)).await;
        assert_eq!(unread_for(&bus, CHANNEL, &group, world.clock.now()).await, Ok(Some(Duration::from_mins(7))));
    }
}
