//! The engine for Redis and Valkey: several machines share the groups.
//!
//! Owns the connection, the scripts that run inside the server, and the keys `bus:*` of a workspace's prefix. Streams are the
//! truth, pub/sub is the doorbell. Must never try again what may have happened; callers do, for they know what is safe.
//!
//! | key (after the prefix) | type | what |
//! |---|---|---|
//! | `<channel>:stream` | stream | entries with the fields `e` (envelope) and `b` (body) |
//! | `bus:once:{key}` | string, a day | the ids that a unit with this idempotency key appended |
//! | `bus:lease:{name}`, `bus:fence:{name}` | string | `owner\|number` while it is held; the last number |
//! | `bus:timers`, `bus:timer:messages` | sorted set, hash | ids by time; messages by id |
//! | `bus:progress` | hash | `channel\|group`: where its acknowledgements have come to |
//! | `bus:schema` | string | version of all this |

mod check;
mod commit;
mod fault;
mod groups;
mod health;
mod keep;
mod link;
mod names;
mod queue;
mod script;
mod starts;
mod store;
mod target;
mod transfer;
mod value;
mod view;
mod wire;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::mpsc;

use self::link::Link;
use self::names::Names;
use self::queue::Queue;
use self::target::Target;
use super::{
    Bus, BusError, ChannelInfo, Claimed, Claims, Commit, Entry, EntryId, Got, GroupFound, Health, Key, LeaseFence,
    Listener, Outcome, Outgoing, Range, Reader, Record, State, Want,
};
use crate::contracts::{ChannelName, Clock};

/// How to reach a server, and what to call things there.
#[derive(Clone)]
pub struct RedisOptions {
    /// `redis://`, `rediss://`, `unix://` or `redis+unix://` as other programs write them; or
    /// `redis+sentinel://user:password@host:26379,host:26379/master-name/database` (`rediss+sentinel://` with TLS).
    pub url: SecretString,
    /// Stands before every key and channel, and separates workspaces. Usually empty.
    pub prefix: String,
    /// How long an answer, or a connection, is awaited.
    pub response_timeout: Duration,
    /// A file with the certificates (PEM) that are trusted instead of the public ones.
    pub ca_file: Option<PathBuf>,
    /// The password of the Sentinels, where it is not their master's.
    pub sentinel_password: Option<SecretString>,
    /// For the times in backups.
    pub clock: Arc<dyn Clock>,
}

impl RedisOptions {
    /// Options for a URL: no prefix, five seconds for an answer, public certificates.
    pub fn new(url: impl Into<String>, clock: Arc<dyn Clock>) -> Self {
        Self {
            url: SecretString::from(url.into()),
            prefix: String::new(),
            response_timeout: Duration::from_secs(5),
            ca_file: None,
            sentinel_password: None,
            clock,
        }
    }
}

impl fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisOptions")
            .field("prefix", &self.prefix)
            .field("response_timeout", &self.response_timeout)
            .field("ca_file", &self.ca_file)
            .finish_non_exhaustive()
    }
}

/// A store on a Redis or Valkey server.
pub struct RedisBus {
    link: Arc<Link>,
    queue: Queue,
    clock: Arc<dyn Clock>,
    /// Counts reads, so that each channel has its turn.
    turns: AtomicUsize,
    closing: AtomicBool,
}

impl fmt::Debug for RedisBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RedisBus").field(&self.link.target).finish()
    }
}

impl RedisBus {
    /// Connects, and looks at the server first.
    ///
    /// # Errors
    /// [`BusError::Unreachable`] where nothing answers; [`BusError::Unsupported`] for a URL that cannot be read, a refused
    /// password, a user who may not do all that is needed, a server older than 6.2, a cluster, or a newer schema;
    /// [`BusError::ReadOnly`] for a replica.
    pub async fn connect(options: RedisOptions) -> Result<Self, BusError> {
        let authority = match &options.ca_file {
            Some(path) => Some(tokio::fs::read(path).await.map_err(|error| {
                BusError::Unsupported(format!("the certificates {} cannot be read: {error}", path.display()))
            })?),
            None => None,
        };
        let target = Target::parse(options.url.expose_secret(), authority)?
            .with_sentinel_password(options.sentinel_password.clone());
        let link = Link::new(target, Names::new(&options.prefix), options.response_timeout);
        link.open().await?;
        Ok(Self {
            queue: Queue::new(link.clone()),
            link,
            clock: options.clock,
            turns: AtomicUsize::new(0),
            closing: AtomicBool::new(false),
        })
    }

    fn open(&self) -> Result<(), BusError> {
        if self.closing.load(Ordering::Acquire) {
            return Err(BusError::Closed);
        }
        Ok(())
    }
}

#[async_trait]
impl Bus for RedisBus {
    fn engine(&self) -> &'static str {
        "redis"
    }

    async fn commit(&self, units: Vec<Commit>) -> Result<Vec<Outcome>, BusError> {
        self.open()?;
        self.queue.commit(&units).await
    }

    async fn notify(&self, notice: Outgoing) -> Result<(), BusError> {
        self.open()?;
        self.do_notify(&notice).await
    }

    async fn ensure_group(&self, channel: ChannelName, group: &str) -> Result<GroupFound, BusError> {
        self.open()?;
        self.do_ensure_group(channel, group).await
    }

    async fn read(
        &self,
        reader: &Reader,
        channels: &[ChannelName],
        want: Want,
        patience: Duration,
    ) -> Result<Vec<Claimed>, BusError> {
        self.open()?;
        self.do_read(reader, channels, want, patience).await
    }

    async fn own_pending(&self, reader: &Reader, channels: &[ChannelName], limit: usize) -> Result<Claims, BusError> {
        self.open()?;
        self.do_claim(reader, channels, None, limit).await
    }

    async fn extend(
        &self,
        reader: &Reader,
        held: &[(ChannelName, EntryId)],
    ) -> Result<Vec<(ChannelName, EntryId)>, BusError> {
        self.open()?;
        self.do_hold("extend", reader, held).await
    }

    async fn claim_stale(
        &self,
        reader: &Reader,
        channels: &[ChannelName],
        idle: Duration,
        limit: usize,
    ) -> Result<Claims, BusError> {
        self.open()?;
        self.do_claim(reader, channels, Some(idle), limit).await
    }

    async fn release(&self, reader: &Reader, held: &[(ChannelName, EntryId)]) -> Result<(), BusError> {
        self.open()?;
        self.do_hold("release", reader, held).await.map(drop)
    }

    async fn range(&self, channel: ChannelName, range: Range) -> Result<Vec<Entry>, BusError> {
        self.open()?;
        self.do_range(channel, range).await
    }

    async fn newest(&self, channels: &[ChannelName]) -> Result<Vec<(ChannelName, Option<EntryId>)>, BusError> {
        self.open()?;
        self.do_newest(channels).await
    }

    async fn watch(
        &self,
        cursors: &[(ChannelName, EntryId)],
        limit: usize,
        wait: Duration,
    ) -> Result<Vec<Entry>, BusError> {
        self.open()?;
        self.do_watch(cursors, limit, wait).await
    }

    async fn listen(&self, channels: &[ChannelName]) -> Result<Listener, BusError> {
        self.open()?;
        self.do_listen(channels).await
    }

    async fn get(&self, key: &Key) -> Result<Option<State>, BusError> {
        self.open()?;
        Ok(self.state_with_ttl(key).await?.map(|(state, _)| state))
    }

    async fn get_many(&self, keys: &[Key], only: Option<&[&str]>) -> Result<Vec<Got>, BusError> {
        self.open()?;
        self.do_get_many(keys, only).await
    }

    async fn scan(
        &self,
        prefix: &str,
        cursor: Option<String>,
        limit: usize,
    ) -> Result<(Vec<Key>, Option<String>), BusError> {
        self.open()?;
        self.do_scan(prefix, cursor, limit).await
    }

    async fn lease(&self, name: &str, owner: &str, ttl: Duration) -> Result<Option<LeaseFence>, BusError> {
        self.open()?;
        self.do_lease(name, owner, ttl.max(Duration::from_millis(1))).await
    }

    async fn unlease(&self, name: &str, owner: &str) -> Result<(), BusError> {
        self.open()?;
        self.do_lease(name, owner, Duration::ZERO).await.map(drop)
    }

    async fn fire_timers(&self, now: DateTime<Utc>, limit: usize, under: &LeaseFence) -> Result<usize, BusError> {
        self.open()?;
        self.do_fire_timers(now, limit, under).await
    }

    async fn next_timer(&self) -> Result<Option<DateTime<Utc>>, BusError> {
        self.open()?;
        self.do_next_timer().await
    }

    async fn trim(&self, channel: ChannelName, older_than: DateTime<Utc>, keep: u64) -> Result<u64, BusError> {
        self.open()?;
        self.do_trim(channel, older_than, keep).await
    }

    async fn inspect(&self, channel: ChannelName) -> Result<ChannelInfo, BusError> {
        self.open()?;
        Ok(self.do_inspect(channel).await?.0)
    }

    async fn drop_group(&self, channel: ChannelName, group: &str) -> Result<bool, BusError> {
        self.open()?;
        self.do_drop_group(channel, group).await
    }

    async fn health(&self) -> Result<Health, BusError> {
        self.open()?;
        Ok(self.do_health().await)
    }

    async fn export(&self, sink: mpsc::Sender<Record>) -> Result<(), BusError> {
        self.open()?;
        self.do_export(&sink).await
    }

    async fn import(&self, source: mpsc::Receiver<Record>) -> Result<u64, BusError> {
        self.open()?;
        self.do_import(source).await
    }

    async fn close(&self) {
        if !self.closing.swap(true, Ordering::AcqRel) {
            self.queue.finish().await;
            self.link.close();
        }
    }
}
