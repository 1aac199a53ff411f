//! Echo: answers requests on `fullsend:echo`, and counts what it handles.
//!
//! `doctor` and tests use it to see that what is said is handled once. Must never do anything but count and answer.

#[cfg(test)]
mod tests;

use crate::bus::{Context, Effects, Failure, Handler, Key, Received};
use crate::contracts::ChannelName;
use crate::contracts::channel::grants;
use crate::contracts::messages::{EchoReply, Echoes};
use crate::contracts::wiring::ECHO;

/// The service.
#[derive(Debug, Clone)]
pub struct Echo {
    slots: usize,
}

impl Echo {
    /// Handles up to `slots` messages at the same time.
    pub fn new(slots: usize) -> Self {
        Self { slots }
    }

    /// Where it counts what it handled on `channel`: the field `handled` of this document.
    pub fn counter(channel: ChannelName) -> Key {
        Key::new(format!("echo:{}", channel.short()))
    }
}

impl Default for Echo {
    fn default() -> Self {
        Self::new(8)
    }
}

impl Handler for Echo {
    type Grant = grants::Echo;

    fn channels(&self) -> &[ChannelName] {
        &[ChannelName::Echo]
    }

    fn slots(&self) -> usize {
        self.slots
    }

    async fn handle(&self, message: Received, cx: Context<grants::Echo>) -> Result<Effects<grants::Echo>, Failure> {
        let mut effects = cx.effects();
        match message.read::<Echoes>()? {
            Echoes::Request(request) => {
                effects.send(ECHO, Echoes::from(EchoReply { text: request.text, by: cx.consumer().to_owned() }))?;
                effects.add(Self::counter(message.entry.channel), "handled", 1, None);
            }
            // Its own answers come back to its group; there is nothing to do about them, and nothing to count.
            Echoes::Reply(_) => {}
        }
        Ok(effects)
    }
}
