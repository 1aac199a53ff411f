//! The past: several channels' histories as one, in the order in which they were said.

use std::collections::VecDeque;

use tokio_util::sync::CancellationToken;

use super::follow::{Patience, left_out};
use super::{Context, Plan, Since, line};
use crate::bus::{Bound, Bus, BusError, Entry, EntryId, Range, SharedBus};
use crate::contracts::ChannelName;

/// Entries read at a time.
const PAGE: usize = 256;

/// Shows the past, as far as it is wanted, and returns where to go on from. Nothing lies between.
pub(super) async fn show(
    plan: &Plan,
    cx: &Context,
    bus: &SharedBus,
    stop: &CancellationToken,
) -> color_eyre::Result<Vec<(ChannelName, EntryId)>> {
    let mut patience = Patience::new(&cx.out);
    let mut ends = Vec::new();
    for &channel in &plan.work {
        let found = tokio::select! {
            () = stop.cancelled() => return Ok(ends),
            found = patience.ask(|| bus.newest(std::slice::from_ref(&channel))) => found,
        };
        match found {
            Ok(newest) => {
                let end = newest.first().and_then(|(_, id)| *id);
                ends.push((channel, end.unwrap_or(EntryId::ZERO)));
            }
            Err(err) if left_out(&err).contains(&channel) => {
                cx.out.remark(&format!("warning: {channel} is left out: {err}"));
            }
            Err(err) => return Err(err.into()),
        }
    }
    let wanted = plan.since != Since::Now || plan.lines.is_some();
    if wanted {
        tokio::select! {
            () = stop.cancelled() => {}
            shown = past(plan, cx, bus, &ends, &mut patience) => shown?,
        }
    }
    Ok(ends)
}

async fn past(
    plan: &Plan,
    cx: &Context,
    bus: &SharedBus,
    ends: &[(ChannelName, EntryId)],
    patience: &mut Patience<'_>,
) -> color_eyre::Result<()> {
    let from = match plan.since {
        Since::Time(at) => Bound::Time(at),
        Since::Now | Since::Beginning => Bound::Open,
    };
    let mut merge = Merge::new(ends, from, plan.lines.is_some());
    let Some(lines) = plan.lines else {
        while let Some(entry) = merge.next(bus.as_ref(), patience).await? {
            line::show(plan, cx, &line::Shown::stored(&entry))?;
        }
        return Ok(());
    };
    let mut newest = Vec::new();
    while newest.len() < lines {
        let Some(entry) = merge.next(bus.as_ref(), patience).await? else { break };
        if line::Shown::stored(&entry).is_wanted(&plan.filter) {
            newest.push(entry);
        }
    }
    newest.iter().rev().try_for_each(|entry| line::show(plan, cx, &line::Shown::stored(entry)))
}

/// Several channels' histories, merged by entry id.
struct Merge {
    newest_first: bool,
    from: Bound,
    channels: Vec<Page>,
}

/// What was read of one channel, and where the next page begins.
struct Page {
    channel: ChannelName,
    /// The newest entry that belongs to the past.
    end: EntryId,
    read: VecDeque<Entry>,
    last: Option<EntryId>,
    done: bool,
}

impl Merge {
    fn new(ends: &[(ChannelName, EntryId)], from: Bound, newest_first: bool) -> Self {
        let page = |&(channel, end): &(ChannelName, EntryId)| Page {
            channel,
            end,
            read: VecDeque::new(),
            last: None,
            done: end == EntryId::ZERO,
        };
        Self { newest_first, from, channels: ends.iter().map(page).collect() }
    }

    /// The next entry in order.
    async fn next(&mut self, bus: &dyn Bus, patience: &mut Patience<'_>) -> Result<Option<Entry>, BusError> {
        for page in &mut self.channels {
            while page.read.is_empty() && !page.done {
                page.turn(bus, self.from, self.newest_first, patience).await?;
            }
        }
        let first = self.channels.iter_mut().filter(|page| !page.read.is_empty()).min_by(|a, b| {
            let order = a.read.front().map(|entry| entry.id).cmp(&b.read.front().map(|entry| entry.id));
            if self.newest_first { order.reverse() } else { order }
        });
        Ok(first.and_then(|page| page.read.pop_front()))
    }
}

impl Page {
    /// Reads on.
    async fn turn(
        &mut self,
        bus: &dyn Bus,
        from: Bound,
        newest_first: bool,
        patience: &mut Patience<'_>,
    ) -> Result<(), BusError> {
        let mut range = Range { from, to: Bound::Open, newest_first, limit: PAGE };
        match self.last {
            Some(last) if newest_first => range.to = Bound::Entry(last),
            Some(last) => range.from = Bound::Entry(last),
            None => {}
        }
        let read = patience.ask(|| bus.range(self.channel, range)).await?;
        self.last = read.last().map(|entry| entry.id).or(self.last);
        self.done = read.is_empty() || (!newest_first && self.last >= Some(self.end));
        self.read.extend(read.into_iter().filter(|entry| entry.id <= self.end));
        Ok(())
    }
}
