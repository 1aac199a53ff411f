//! Stores of the embedded engine: a file in a folder of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use fullsend::bus::embedded::{EmbeddedBus, EmbeddedOptions};
use fullsend::bus::{EntryId, Key, SharedBus};
use fullsend::contracts::{ChannelName, Clock, ManualClock, SystemClock};

use crate::stores::{ByHand, Engine, TestBus};

/// The embedded engine.
pub(crate) struct Embedded;

struct EmbeddedByHand {
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl EmbeddedByHand {
    /// Changes exactly one row, as somebody with the `sqlite3` shell would.
    fn delete_row(&self, sql: &str, values: impl rusqlite::Params) {
        let connection = rusqlite::Connection::open(&self.path).unwrap();
        connection.busy_timeout(crate::tools::DEADLINE).unwrap();
        assert_eq!(connection.execute(sql, values).unwrap(), 1);
    }
}

async fn handle(path: &Path, clock: &Arc<ManualClock>) -> SharedBus {
    let options = EmbeddedOptions::new(path, Arc::<ManualClock>::clone(clock));
    let opened = tokio::task::spawn_blocking(|| EmbeddedBus::open(options)).await;
    Arc::new(opened.unwrap().unwrap())
}

#[async_trait]
impl Engine for Embedded {
    async fn open(&self) -> TestBus {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fullsend.db");
        let clock = Arc::new(ManualClock::at(SystemClock.now()));
        TestBus {
            a: handle(&path, &clock).await,
            b: handle(&path, &clock).await,
            c: handle(&path, &clock).await,
            clock: Some(clock),
            by_hand: Box::new(EmbeddedByHand { path, _folder: folder }),
        }
    }
}

#[async_trait]
impl ByHand for EmbeddedByHand {
    async fn delete_group(&self, channel: ChannelName, group: &str) {
        let sql = "DELETE FROM groups WHERE channel = ?1 AND name = ?2";
        self.delete_row(sql, (channel.as_str(), group));
    }

    async fn delete_entry(&self, channel: ChannelName, id: EntryId) {
        let sql = format!("DELETE FROM stream_{} WHERE ms = ?1 AND seq = ?2", channel.short());
        self.delete_row(&sql, (i64::try_from(id.ms).unwrap(), i64::try_from(id.seq).unwrap()));
    }

    async fn set_foreign(&self, _key: &Key) -> bool {
        // All tables are the engine's own.
        false
    }

    async fn publish_bare(&self, _channel: ChannelName, _payload: &str) -> bool {
        // There is no pub/sub that others could use.
        false
    }
}
