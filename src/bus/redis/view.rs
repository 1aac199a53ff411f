//! Looking on without a group: history, the doorbell, and what is announced.
//!
//! Owns nothing that is kept: a viewer holds nothing back. Must never act on what it hears.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use redis::Value;
use serde_json::value::RawValue;
use tokio::sync::mpsc;

use super::groups::{LONGEST_WAIT, block_ms};
use super::{RedisBus, fault, value};
use crate::bus::entry::{Entry, EntryId};
use crate::bus::error::BusError;
use crate::bus::{Bound, Heard, Listener, Outgoing, Range};
use crate::contracts::ChannelName;

/// How much is heard ahead of who reads it.
const HEARD_AHEAD: usize = 10_000;
/// A listener asks this often whether the server is still there, for a half-open connection says nothing.
const ASK_EVERY: Duration = Duration::from_secs(10);

impl RedisBus {
    pub(super) async fn do_notify(&self, notice: &Outgoing) -> Result<(), BusError> {
        let mut cmd = redis::cmd("PUBLISH");
        cmd.arg(self.link.names.channel(notice.channel)).arg(notice.announcement());
        self.link.send(&cmd).await.map(drop)
    }

    /// Fills in which key an error about a type is about.
    async fn named(&self, error: BusError, channels: &[ChannelName]) -> BusError {
        if !matches!(error, BusError::ForeignType { .. }) {
            return error;
        }
        for channel in channels {
            let cmd = {
                let mut cmd = redis::cmd("TYPE");
                cmd.arg(self.link.names.stream(*channel));
                cmd
            };
            let found = self.link.send(&cmd).await;
            let found = found.as_ref().ok().and_then(|found| value::text(found).ok());
            if let Some(found) = found
                && found != "stream"
                && found != "none"
            {
                return self.foreign_stream(*channel, &found);
            }
        }
        error
    }

    pub(super) async fn do_range(&self, channel: ChannelName, range: Range) -> Result<Vec<Entry>, BusError> {
        if range.limit == 0 {
            return Ok(Vec::new());
        }
        let from = match range.from {
            Bound::Open => "-".to_owned(),
            Bound::Entry(EntryId::MAX) => return Ok(Vec::new()),
            Bound::Entry(id) => format!("({id}"),
            Bound::Time(at) => at.timestamp_millis().max(0).to_string(),
        };
        let to = match range.to {
            Bound::Open => "+".to_owned(),
            Bound::Entry(EntryId::ZERO) => return Ok(Vec::new()),
            Bound::Entry(id) => format!("({id}"),
            Bound::Time(at) if at.timestamp_millis() <= 0 => return Ok(Vec::new()),
            Bound::Time(at) => format!("({}-0", at.timestamp_millis()),
        };
        let key = self.link.names.stream(channel);
        let mut cmd = redis::Cmd::new();
        if range.newest_first {
            cmd.arg("XREVRANGE").arg(key).arg(to).arg(from);
        } else {
            cmd.arg("XRANGE").arg(key).arg(from).arg(to);
        }
        cmd.arg("COUNT").arg(value::at_most(range.limit));
        match self.link.send(&cmd).await {
            Ok(answer) => value::entries(channel, answer),
            Err(error) => Err(self.named(error, &[channel]).await),
        }
    }

    pub(super) async fn do_newest(
        &self,
        channels: &[ChannelName],
    ) -> Result<Vec<(ChannelName, Option<EntryId>)>, BusError> {
        let newest = channels.iter().map(|channel| async move {
            let entries = self.do_range(*channel, Range::newest(1)).await?;
            Ok((*channel, entries.first().map(|entry| entry.id)))
        });
        futures::future::try_join_all(newest).await
    }

    pub(super) async fn do_watch(
        &self,
        cursors: &[(ChannelName, EntryId)],
        limit: usize,
        wait: Duration,
    ) -> Result<Vec<Entry>, BusError> {
        if cursors.is_empty() || limit == 0 {
            return Ok(Vec::new());
        }
        let wait = wait.min(LONGEST_WAIT);
        let mut cmd = redis::cmd("XREAD");
        cmd.arg("COUNT").arg(value::at_most(limit));
        let waits = wait >= Duration::from_millis(1);
        if waits {
            cmd.arg("BLOCK").arg(block_ms(wait));
        }
        cmd.arg("STREAMS");
        for (channel, _) in cursors {
            cmd.arg(self.link.names.stream(*channel));
        }
        for (_, id) in cursors {
            cmd.arg(id.to_string());
        }
        let answer = if waits {
            let answer = self.link.wait_on(&cmd, wait).await?;
            answer.map_err(|error| fault::of_call(&error))
        } else {
            self.link.send(&cmd).await
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                let channels: Vec<_> = cursors.iter().map(|(channel, _)| *channel).collect();
                return Err(self.named(error, &channels).await);
            }
        };
        let mut seen = Vec::new();
        for (key, entries) in value::streams(answer)? {
            if let Some(channel) = self.link.names.channel_of_stream(&key) {
                seen.extend(value::entries(channel, entries)?);
            }
        }
        Ok(seen)
    }

    pub(super) async fn do_listen(&self, channels: &[ChannelName]) -> Result<Listener, BusError> {
        let (mut sink, mut stream) = self.link.pubsub().await?.split();
        let names: Vec<_> = channels.iter().flat_map(|channel| self.link.names.heard_at(*channel)).collect();
        if !names.is_empty() {
            let subscribed = tokio::time::timeout(self.link.patience, sink.subscribe(&names));
            subscribed
                .await
                .map_err(|_| BusError::NoAnswer("the subscription was not confirmed".to_owned()))?
                .map_err(|error| fault::of_call(&error))?;
        }
        let (sender, heard) = mpsc::channel(HEARD_AHEAD);
        let dropped = Arc::new(AtomicU64::new(0));
        let lost = dropped.clone();
        let link = self.link.clone();
        tokio::spawn(async move {
            let mut ask = tokio::time::interval(ASK_EVERY);
            loop {
                tokio::select! {
                    () = sender.closed() => return,
                    () = link.closed.cancelled() => return,
                    _ = ask.tick() => {
                        let answer = tokio::time::timeout(link.patience, sink.ping::<Value>()).await;
                        if !matches!(answer, Ok(Ok(_))) {
                            return;
                        }
                    }
                    message = stream.next() => {
                        let Some(message) = message else { return };
                        let Some(channel) = link.names.channel_named(message.get_channel_name()) else { continue };
                        let payload = String::from_utf8_lossy(message.get_payload_bytes());
                        if sender.try_send(heard_on(channel, &payload)).is_err() {
                            lost.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            }
        });
        Ok(Listener { heard, dropped })
    }
}

/// Takes the envelope out of what was announced; the rest stays as it is written, number for number.
fn heard_on(channel: ChannelName, payload: &str) -> Heard {
    let Ok(Object(parts)) = serde_json::from_str(payload) else {
        return Heard { channel, envelope: None, body: payload.to_owned() };
    };
    let mut envelope = None;
    let mut body = String::with_capacity(payload.len());
    for (name, value) in &parts {
        if name == "meta" {
            envelope = serde_json::from_str(value.get()).ok();
            continue;
        }
        body.push(if body.is_empty() { '{' } else { ',' });
        // Writing into memory cannot fail; a name is written as JSON again.
        let _ = write!(body, "{}:{}", serde_json::Value::from(name.as_str()), value.get());
    }
    body.push_str(if body.is_empty() { "{}" } else { "}" });
    Heard { channel, envelope, body }
}

/// An object's parts in their order, each as written.
struct Object(Vec<(String, Box<RawValue>)>);

impl<'de> serde::Deserialize<'de> for Object {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Parts;
        impl<'de> serde::de::Visitor<'de> for Parts {
            type Value = Object;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut parts = Vec::new();
                while let Some(part) = map.next_entry()? {
                    parts.push(part);
                }
                Ok(Object(parts))
            }
        }
        deserializer.deserialize_map(Parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_heard_is_the_body_as_it_was_said() {
        let envelope = r#"{"id":"0192f1a0-0000-7000-8000-000000000001","type":"echo","source":"echo","at":0,"trace":"0192f1a0-0000-7000-8000-000000000001"}"#;
        for (payload, body, has_envelope) in [
            (format!(r#"{{"meta":{envelope},"n":1.50}}"#), r#"{"n":1.50}"#, true),
            (format!(r#"{{"meta":{envelope}}}"#), "{}", true),
            (
                r#"{"n":12345678901234567890123,"s":"a\"b"}"#.to_owned(),
                r#"{"n":12345678901234567890123,"s":"a\"b"}"#,
                false,
            ),
            ("hello".to_owned(), "hello", false),
            ("[1]".to_owned(), "[1]", false),
        ] {
            let heard = heard_on(ChannelName::Echo, &payload);
            assert_eq!(heard.body, body);
            assert_eq!(heard.envelope.is_some(), has_envelope, "{payload}");
        }
    }
}
