//! What a verb says to the gate, and what came of it.
//!
//! Owns the wait: bounded, and only where a gate runs. Must never do the gate's work itself.

use std::time::Duration;

use color_eyre::eyre::eyre;
use tokio::time::Instant;

use super::Context;
use crate::bus::{Draft, EntryId, Origin, Range, Sender, SharedBus};
use crate::contracts::channel::grants;
use crate::contracts::messages::FromOrchestrator;
use crate::contracts::{Body, Channel, ChannelName, Says, ServiceName, Trust};

/// How long a bus that is away is tried again.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the gate is waited for.
const WAIT: Duration = Duration::from_secs(5);
/// How often it is looked meanwhile.
const LOOK: Duration = Duration::from_millis(25);
/// A gate that runs reads at least this often.
const SILENT: Duration = Duration::from_secs(4);
/// The newest messages among which the gate's words are looked for.
const WORDS: usize = 200;

/// What became of something that was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Handled {
    /// The gate has handled it; what it told people about it.
    Yes(Vec<String>),
    /// No gate runs: it is handled when one does.
    Later,
}

/// Says something in the operator's name, and waits until the gate has handled it, if one runs.
pub(super) async fn say<M: Body>(
    cx: &Context,
    bus: &SharedBus,
    channel: Channel<M>,
    draft: impl Into<Draft<M>> + Send,
    subject: &str,
) -> color_eyre::Result<Handled>
where
    grants::ControlRoom: Says<M>,
{
    let words_from = newest(bus, ChannelName::FromOrchestrator).await?;
    let origin = Origin::new(cx.clock.clone(), cx.ids.clone(), Trust::Operator);
    let sender = Sender::<grants::ControlRoom>::new(bus.clone(), origin, PATIENCE);
    let entry = sender.send(channel, draft).await?;
    let until = Instant::now() + WAIT;
    loop {
        match seen(bus, channel.name, entry).await? {
            Seen::Done => return Ok(Handled::Yes(words(bus, subject, words_from).await?)),
            Seen::Nobody => return Ok(Handled::Later),
            Seen::NotYet if Instant::now() >= until => {
                return Err(eyre!("the gate has not handled it within {WAIT:?}; it is stored, and will be"));
            }
            Seen::NotYet => tokio::time::sleep(LOOK).await,
        }
    }
}

enum Seen {
    Done,
    NotYet,
    Nobody,
}

async fn seen(bus: &SharedBus, channel: ChannelName, entry: EntryId) -> color_eyre::Result<Seen> {
    let info = bus.inspect(channel).await?;
    let Some(gate) = info.groups.iter().find(|group| group.group == ServiceName::Gate.as_str()) else {
        return Ok(Seen::Nobody);
    };
    let acknowledged = gate.last_delivered >= entry && gate.oldest_pending.is_none_or(|oldest| oldest > entry);
    Ok(match gate.idle {
        _ if acknowledged => Seen::Done,
        Some(idle) if idle < SILENT => Seen::NotYet,
        _ => Seen::Nobody,
    })
}

async fn newest(bus: &SharedBus, channel: ChannelName) -> color_eyre::Result<EntryId> {
    let newest = bus.newest(&[channel]).await?;
    Ok(newest.first().and_then(|(_, id)| *id).unwrap_or_default())
}

/// What the gate told people about something since then, the oldest first.
async fn words(bus: &SharedBus, subject: &str, since: EntryId) -> color_eyre::Result<Vec<String>> {
    let said = bus.range(ChannelName::FromOrchestrator, Range::after(since, WORDS)).await?;
    let words = said.iter().filter_map(|entry| {
        let envelope = entry.message().ok()?.envelope;
        let ours = envelope.source == ServiceName::Gate.as_str() && envelope.subject.as_deref() == Some(subject);
        match FromOrchestrator::read(&entry.b) {
            Ok(FromOrchestrator::Status(status)) if ours => Some(status.payload.message),
            _ => None,
        }
    });
    Ok(words.collect())
}
