//! What the files held when they were last the same as the notes.
//!
//! Owns the record, a file in the home: for each folder and note a version and its digest. It tells a person's edit from a file that is
//! only behind. Must never be trusted where the history says otherwise: the folder may have belonged to another bus.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::contracts::notes::NoteName;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    version: u64,
    digest: String,
    /// The version that the file's text was about to become, and the digest of that text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    taking: Option<(u64, String)>,
}

/// By folder, then by note.
type Record = BTreeMap<String, BTreeMap<NoteName, Entry>>;

#[derive(Debug)]
pub(super) struct Synced {
    path: PathBuf,
    folder: String,
    entries: BTreeMap<NoteName, Entry>,
}

impl Synced {
    /// What is recorded of this folder; nothing where the record cannot be read.
    pub(super) fn read(path: &Path, folder: &Path) -> Self {
        let folder = folder.to_string_lossy().into_owned();
        let entries = record(path).remove(&folder).unwrap_or_default();
        Self { path: path.to_owned(), folder, entries }
    }

    /// The digest of what the file held when it was last the same as its note.
    pub(super) fn digest(&self, name: NoteName) -> Option<&str> {
        self.same(name).map(|(_, digest)| digest)
    }

    /// The version, and its digest, that the file held when it was last the same as its note.
    pub(super) fn same(&self, name: NoteName) -> Option<(u64, &str)> {
        let entry = self.entries.get(&name)?;
        Some((entry.version, entry.digest.as_str())).filter(|(_, digest)| !digest.is_empty())
    }

    /// The versions that the file may be made from, with their digests. One that did not come about is not in the history.
    pub(super) fn all(&self, name: NoteName) -> impl Iterator<Item = (u64, &str)> {
        self.entries.get(&name).into_iter().flat_map(|entry| {
            let taking = entry.taking.as_ref().map(|(version, digest)| (*version, digest.as_str()));
            [(entry.version, entry.digest.as_str())].into_iter().chain(taking)
        })
    }

    /// They are the same now.
    pub(super) async fn set(&mut self, name: NoteName, version: u64, digest: String) {
        self.put(name, Entry { version, digest, taking: None }).await;
    }

    /// The file's text, of this digest, is about to become this version.
    pub(super) async fn taking(&mut self, name: NoteName, version: u64, digest: String) {
        let former = self.entries.get(&name).cloned().unwrap_or_default();
        self.put(name, Entry { taking: Some((version, digest)), ..former }).await;
    }

    /// Where it cannot be put down, it is found out again after a restart.
    async fn put(&mut self, name: NoteName, entry: Entry) {
        if self.entries.get(&name) == Some(&entry) {
            return;
        }
        self.entries.insert(name, entry);
        let mut all = record(&self.path);
        all.insert(self.folder.clone(), self.entries.clone());
        let text = serde_json::to_string_pretty(&all).unwrap_or_default();
        if let Err(err) = super::files::write(&self.path, &text, None).await {
            tracing::warn!(%err, "what the files hold could not be put down");
        }
    }
}

fn record(path: &Path) -> Record {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}
