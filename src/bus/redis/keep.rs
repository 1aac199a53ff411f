//! Housekeeping: trimming, looking at groups, removing them.
//!
//! Must never remove what a group still needs.

use std::time::Duration;

use chrono::{DateTime, Utc};
use redis::Value;

use super::{RedisBus, fault, value};
use crate::bus::error::BusError;
use crate::bus::{ChannelInfo, ConsumerInfo, GroupInfo};
use crate::contracts::ChannelName;

impl RedisBus {
    pub(super) async fn do_trim(
        &self,
        channel: ChannelName,
        older_than: DateTime<Utc>,
        keep: u64,
    ) -> Result<u64, BusError> {
        let mut gone = 0;
        // First in large, cheap steps, whole nodes each; then exactly, at most a node's worth at a time.
        for (mode, steps) in [("~", 100_000), ("=", 8)] {
            for _ in 0..steps {
                let step = self.trim_step(channel, older_than, keep, mode).await?;
                gone += step;
                if step == 0 {
                    break;
                }
            }
        }
        Ok(gone)
    }

    async fn trim_step(
        &self,
        channel: ChannelName,
        older_than: DateTime<Utc>,
        keep: u64,
        mode: &str,
    ) -> Result<u64, BusError> {
        let script = &self.link.scripts.trim;
        let mut cmd = script.call(&[self.link.names.stream(channel)]);
        cmd.arg(format!("{}-0", older_than.timestamp_millis().max(0))).arg(keep).arg(mode);
        match self.link.run(script, &cmd).await? {
            Value::Array(refusal) => Err(self.foreign(channel, &refusal)),
            count => value::count(&count),
        }
    }

    /// The error for `{'T', type}`.
    fn foreign(&self, channel: ChannelName, refusal: &[Value]) -> BusError {
        let found = refusal.get(1).and_then(|found| value::text(found).ok()).unwrap_or_default();
        self.foreign_stream(channel, &found)
    }

    /// The channel, and the newest id that its stream ever gave.
    pub(super) async fn do_inspect(&self, channel: ChannelName) -> Result<(ChannelInfo, Value), BusError> {
        let script = &self.link.scripts.inspect;
        let cmd = script.call(&[self.link.names.stream(channel)]);
        let answer = value::items(self.link.run(script, &cmd).await?)?;
        if answer.len() == 2 {
            return Err(self.foreign(channel, &answer));
        }
        let [length, first, last, groups, newest] = value::parts(Value::Array(answer))?;
        let groups = value::items(groups)?.into_iter().map(group).collect::<Result<_, _>>()?;
        let info = ChannelInfo {
            channel,
            length: value::count(&length)?,
            first: value::id_or_nil(&first)?,
            last: value::id_or_nil(&last)?,
            groups,
        };
        Ok((info, newest))
    }

    pub(super) async fn do_drop_group(&self, channel: ChannelName, group: &str) -> Result<bool, BusError> {
        let mut cmd = redis::cmd("XGROUP");
        cmd.arg("DESTROY").arg(self.link.names.stream(channel)).arg(group);
        match self.link.try_send(&cmd).await? {
            Ok(count) => Ok(value::int(&count)? == 1),
            // The server says so where there is no stream.
            Err(error) if error.to_string().contains("requires the key to exist") => Ok(false),
            Err(error) => match fault::of_call(&error) {
                BusError::ForeignType { .. } => Err(self.foreign_stream(channel, "value of another type")),
                other => Err(other),
            },
        }
    }
}

fn group(parts: Value) -> Result<GroupInfo, BusError> {
    let [name, last, pending, oldest, lag, consumers] = value::parts(parts)?;
    let consumers: Vec<ConsumerInfo> = value::items(consumers)?.into_iter().map(consumer).collect::<Result<_, _>>()?;
    Ok(GroupInfo {
        group: value::into_text(name)?,
        last_delivered: value::id(&last)?,
        pending: value::count(&pending)?,
        oldest_pending: value::id_or_nil(&oldest)?,
        lag: match lag {
            Value::Nil => None,
            lag => Some(value::count(&lag)?),
        },
        idle: consumers.iter().map(|consumer| consumer.idle).min(),
        consumers,
    })
}

fn consumer(parts: Value) -> Result<ConsumerInfo, BusError> {
    let [name, pending, idle] = value::parts(parts)?;
    Ok(ConsumerInfo {
        consumer: value::into_text(name)?,
        pending: value::count(&pending)?,
        idle: Duration::from_millis(value::count(&idle)?),
    })
}
