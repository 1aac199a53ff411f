//! The mirror: the files in the context folder and the notes on the bus are the same, both ways.
//!
//! Owns `product_context.md`, `worklist.md` and `learnings.md` in the folder, under the lease `mirror`. A person's edit becomes a new
//! version, merged with what the team wrote meanwhile; a new version is written into its file. Must never overwrite a text that is in no
//! version of this bus, and never take a text in while it is still being written.

mod conflict;
mod files;
mod synced;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::Watcher as _;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::bus::leased::Singleton;
use crate::bus::{BusError, Commit, LeaseFence, Op, Origin, Outcome, SharedBus};
use crate::config::private_folder;
use crate::contracts::canonical::sha256;
use crate::contracts::channel::grants;
use crate::contracts::messages::{AlertTriggered, Alerts, Severity};
use crate::contracts::notes::{NoteChange, NoteName};
use crate::contracts::wiring::ALERTS;
use crate::contracts::{Clock, Ids, Trust};
use crate::memory::{self, Author, NoteEdit, NoteError, NoteState, history, note};
use files::{Found, Mark};
use synced::Synced;

/// How often the notes are looked at, and the files where the system does not say that they changed.
const EVERY: Duration = Duration::from_millis(500);
/// Every so many looks all is read, whether it seems changed or not: another program may have written past the versions.
const WHOLE_EVERY: u32 = 10;
/// A file is taken in once it has stood still for so long.
const STILL: Duration = Duration::from_millis(120);
/// An empty one after so long: some editors empty a file before they fill it.
const STILL_EMPTY: Duration = Duration::from_secs(1);
/// Who edits the files.
const OPERATOR: &str = "operator";
/// So often a note is merged again because somebody else wrote it at the same moment.
const TRIES: u32 = 20;
/// So many versions are looked through for a text that is already known.
const LOOK_BACK: usize = 200;

/// The singleton.
pub struct Mirror {
    /// The bus that holds the notes.
    pub bus: SharedBus,
    /// The folder of the files.
    pub folder: PathBuf,
    /// Where it is kept what the files held when they were last the same as the notes.
    pub record: PathBuf,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// For what it says.
    pub ids: Arc<Ids>,
}

impl std::fmt::Debug for Mirror {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mirror").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Singleton for Mirror {
    fn lease(&self) -> &'static str {
        "mirror"
    }

    async fn work(&self, fence: LeaseFence, stop: CancellationToken) -> Result<(), BusError> {
        let ours = !self.folder.is_dir();
        if let Err(err) = private_folder(&self.folder) {
            tracing::error!(%err, "the notes are kept on the bus alone");
            let fix = "make the folder writable, or name another one with `--context DIR`, and start again";
            Holder::new(self, fence, ours).alert("folder", "", Severity::High, err.to_string(), fix).await?;
            stop.cancelled().await;
            return Ok(());
        }
        for name in NoteName::ALL {
            if let Err(err) = files::clear(&self.folder.join(format!("{name}.md"))).await {
                tracing::debug!(%err, "what a process that was killed left behind stays there");
            }
        }
        let changed = Arc::new(Notify::new());
        let _watcher = watch(&self.folder, &changed);
        let mut holder = Holder::new(self, fence, ours);
        for look in 0_u32.. {
            if !holder.look(look.is_multiple_of(WHOLE_EVERY)).await? {
                return Ok(());
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = changed.notified() => {}
                () = tokio::time::sleep(EVERY) => {}
            }
        }
        Ok(())
    }
}

/// Rings when something in the folder changes, as long as it is held. Where the system cannot say so, looking now and then does.
fn watch(folder: &Path, changed: &Arc<Notify>) -> Option<notify::RecommendedWatcher> {
    let bell = Arc::clone(changed);
    let ring = move |event: notify::Result<notify::Event>| {
        if !event.is_ok_and(|event| event.kind.is_access()) {
            bell.notify_one();
        }
    };
    let watching = notify::recommended_watcher(ring).and_then(|mut watcher| {
        watcher.watch(folder, notify::RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    watching.inspect_err(|err| tracing::warn!(%err, "the context folder is looked at twice a second")).ok()
}

/// What was seen of a note and its file when they were last dealt with.
#[derive(Debug, Clone, Default, PartialEq)]
struct Seen {
    document: Option<(u64, Option<String>)>,
    file: Option<Mark>,
}

/// What became of a look at one note.
enum Step {
    /// File and note are the same, or somebody was told why not.
    Settled,
    /// Something changed in between: look again.
    Again,
    /// The lease is another's.
    Lost,
}

/// The mirror while it holds the lease.
struct Holder<'a> {
    mirror: &'a Mirror,
    fence: LeaseFence,
    origin: Origin,
    /// Whether we made the folder.
    ours: bool,
    seen: [Seen; NoteName::ALL.len()],
    /// Whether it was said that the file is missing: once is enough, until it is there again.
    is_missed: [bool; NoteName::ALL.len()],
    synced: Synced,
}

impl<'a> Holder<'a> {
    fn new(mirror: &'a Mirror, fence: LeaseFence, ours: bool) -> Self {
        let origin = Origin::new(Arc::clone(&mirror.clock), Arc::clone(&mirror.ids), Trust::Operator);
        let synced = Synced::read(&mirror.record, &mirror.folder);
        Self { mirror, fence, origin, ours, seen: Default::default(), is_missed: Default::default(), synced }
    }

    fn bus(&self) -> &SharedBus {
        &self.mirror.bus
    }

    fn file(&self, name: NoteName) -> PathBuf {
        self.mirror.folder.join(format!("{name}.md"))
    }

    /// Deals with what changed since the last look. False: the lease is another's.
    async fn look(&mut self, whole: bool) -> Result<bool, BusError> {
        let keys = NoteName::ALL.map(note::key);
        let documents = self.bus().get_many(&keys, Some(&["digest"])).await?;
        for (index, (name, document)) in NoteName::ALL.into_iter().zip(documents).enumerate() {
            let document = match document {
                Ok(state) => state
                    .as_ref()
                    .and_then(|state| state.document())
                    .map(|document| (document.version, document.get("digest").map(str::to_owned))),
                Err(err) => {
                    self.foreign(name, &err).await?;
                    continue;
                }
            };
            let now = Seen { document, file: files::mark(&self.file(name)).await };
            self.is_missed[index] &= now.file.is_none();
            if !whole && self.seen[index] == now {
                continue;
            }
            let mut settled = false;
            for _ in 0..TRIES {
                match self.settle(name).await {
                    Ok(Step::Settled) => settled = true,
                    Ok(Step::Again) => continue,
                    Ok(Step::Lost) => return Ok(false),
                    Err(err @ BusError::ForeignType { .. }) => self.foreign(name, &err).await?,
                    Err(err) => return Err(err),
                }
                break;
            }
            // What changed since is seen at the next look, for it then differs from this.
            self.seen[index] = if settled { now } else { Seen::default() };
        }
        Ok(true)
    }

    async fn foreign(&self, name: NoteName, err: &BusError) -> Result<(), BusError> {
        let fix = format!("rename or delete `notes:{name}`; its file is left as it is");
        self.alert(&format!("foreign:{name}"), "", Severity::High, err.to_string(), &fix).await
    }

    /// Makes a note and its file the same.
    async fn settle(&mut self, name: NoteName) -> Result<Step, BusError> {
        let path = self.file(name);
        let text = match files::read(&path).await {
            Found::Nothing => return self.without_file(name).await,
            Found::Unfit(why) => {
                let (id, fix) = (
                    format!("unfit:{name}"),
                    "mend the file; until then the note on the bus stays as it is, and is not written there",
                );
                let mark = files::mark(&path).await.map_or_else(String::new, |mark| mark.to_string());
                self.alert(&id, &mark, Severity::High, format!("{} is not taken in: {why}", path.display()), fix)
                    .await?;
                return Ok(Step::Settled);
            }
            Found::Text(text) => text,
        };
        let mut document = NoteState::read(self.bus(), name).await?;
        if !document.is_recorded() {
            // Written past the history: it becomes a version as it is.
            let as_it_is = document.text.clone();
            let Some(edit) = self.edit(NoteEdit::new(document, as_it_is, String::new()), &path).await? else {
                return Ok(Step::Settled);
            };
            match self.commit(edit.ops(&self.author("unknown"))).await? {
                Outcome::Committed(_) => document = edit.after(),
                outcome => return Ok(stepped(&outcome)),
            }
        }
        let digest = sha256(text.as_bytes());
        if text == document.text {
            self.synced.set(name, document.version, digest).await;
            return Ok(Step::Settled);
        }
        if document.version > 0 && self.is_only_behind(name, &digest).await? {
            return self.write(name, &text, &document).await;
        }
        if !self.stands_still(&path, &text).await {
            return Ok(Step::Again);
        }
        if document.version == 0 {
            // The bus is new, or another one, or has lost the note: the file may be the last that holds the text.
            return self.take_in(name, text, 0, &document).await;
        }
        match self.base(name, &digest).await? {
            Base::Stale => self.write(name, &text, &document).await,
            Base::Version(base) => self.take_in(name, text, base, &document).await,
        }
    }

    /// There is no file.
    async fn without_file(&mut self, name: NoteName) -> Result<Step, BusError> {
        let path = self.file(name);
        let document = NoteState::read(self.bus(), name).await?;
        if document.version > 0 || !document.text.is_empty() {
            if self.synced.digest(name).is_some() {
                // Some editors take a file away before they put the new one there.
                tokio::time::sleep(STILL_EMPTY).await;
                if files::read(&path).await != Found::Nothing {
                    return Ok(Step::Again);
                }
                let message =
                    format!("{} was deleted; the note is kept, and its file was written again", path.display());
                let fix = format!("to empty it: `fullsend notes edit {name}`, or empty the file");
                let version = document.version.to_string();
                self.alert(&format!("deleted:{name}"), &version, Severity::Info, message, &fix).await?;
            }
            return self.write(name, "", &document).await;
        }
        if name == NoteName::ProductContext && self.ours {
            // It is the person's from now on: what they make of it is taken in.
            if let Err(err) = files::write(&path, memory::PRODUCT_TEMPLATE, None).await {
                tracing::error!(%err, file = %path.display(), "not written");
                return Ok(Step::Settled);
            }
            return Ok(Step::Again);
        }
        if !std::mem::replace(&mut self.is_missed[name as usize], true) {
            tracing::warn!(file = %path.display(), "the file is missing; the note is empty");
        }
        Ok(Step::Settled)
    }

    /// Whether the file holds this text for some time.
    async fn stands_still(&self, path: &Path, text: &str) -> bool {
        tokio::time::sleep(if text.trim().is_empty() { STILL_EMPTY } else { STILL }).await;
        matches!(files::read(path).await, Found::Text(now) if now == text)
    }

    /// Whether the file holds, untouched, what we wrote there, and this bus has that as a version. The record alone does not say so: the
    /// folder may have belonged to another bus, and a bus may have been set back.
    async fn is_only_behind(&self, name: NoteName, digest: &str) -> Result<bool, BusError> {
        let Some((version, synced)) = self.synced.same(name) else { return Ok(false) };
        if synced != digest {
            return Ok(false);
        }
        match history::version(self.bus(), name, version).await {
            Ok(known) => Ok(known.digest == digest),
            Err(history::HistoryError::Bus(err)) => Err(err),
            Err(_) => Ok(false),
        }
    }

    /// What the file's text was made from.
    async fn base(&self, name: NoteName, digest: &str) -> Result<Base, BusError> {
        let versions = history::list(self.bus(), name, LOOK_BACK).await?;
        // Of this bus, and not of another one that the folder belonged to before.
        let here = |(version, digest): &(u64, &str)| {
            versions.iter().any(|known| known.version == *version && known.digest == *digest)
        };
        let since = self.synced.all(name).filter(here).map(|(version, _)| version).max().unwrap_or(0);
        // A text that stands in the history since then was written by us, and we were stopped before it was put down.
        if versions.iter().any(|known| known.version > since && known.digest == digest) {
            return Ok(Base::Stale);
        }
        Ok(Base::Version(since))
    }

    /// A person's edit becomes a version.
    async fn take_in(
        &mut self,
        name: NoteName,
        text: String,
        base: u64,
        document: &NoteState,
    ) -> Result<Step, BusError> {
        let change = NoteChange::Rewrite { text: text.clone(), base };
        let current = NoteState::read_for(self.bus(), name, &change).await?;
        if current.version != document.version {
            return Ok(Step::Again);
        }
        let made = memory::apply(&change, &current, self.origin.now())
            .and_then(|edit| NoteEdit::new(current.clone(), edit.text().to_owned(), "edited in the file".to_owned()));
        if let (Err(NoteError::Conflict(_)), Some(later)) = (&made, self.later(name, &text, base, &current).await?) {
            return Box::pin(self.take_in(name, text, later, document)).await;
        }
        let edit = match made {
            Err(NoteError::Conflict(conflict)) => return self.offer(conflict, &current).await,
            made => match self.edit(made, &self.file(name)).await? {
                Some(edit) => edit,
                None => return Ok(Step::Settled),
            },
        };
        if edit.changes() {
            // Should we be stopped before the end is put down, this is what the person goes on from.
            self.synced.taking(name, edit.version(), sha256(text.as_bytes())).await;
        }
        match self.commit(edit.ops(&self.author(OPERATOR))).await? {
            Outcome::Committed(_) => {
                tracing::info!(note = %name, version = edit.version(), "the file's text is the note's");
                self.write(name, &text, &edit.after()).await
            }
            outcome => Ok(stepped(&outcome)),
        }
    }

    /// A later version than `base` that stands in the file whole: we wrote it there, and were stopped before that was put down. Taken as
    /// the base it can undo nothing.
    async fn later(&self, name: NoteName, text: &str, base: u64, current: &NoteState) -> Result<Option<u64>, BusError> {
        for version in (base + 1..=current.version).rev().take(LOOK_BACK) {
            match history::text(self.bus(), name, version).await {
                Ok(known) if memory::merge::only_adds(&known, text) => return Ok(Some(version)),
                Err(history::HistoryError::Bus(err)) => return Err(err),
                Ok(_) | Err(_) => {}
            }
        }
        Ok(None)
    }

    /// The edit; where it cannot be made, that is said.
    async fn edit(&self, made: Result<NoteEdit, NoteError>, path: &Path) -> Result<Option<NoteEdit>, BusError> {
        match made {
            Ok(edit) => Ok(Some(edit)),
            Err(err) => {
                let mark = files::mark(path).await.map_or_else(String::new, |mark| mark.to_string());
                let message = format!("{} is not taken in: {err}", path.display());
                self.alert("edit", &mark, Severity::High, message, "shorten the file").await?;
                Ok(None)
            }
        }
    }

    /// Writes a note into its file, which held `former` until now.
    async fn write(&mut self, name: NoteName, former: &str, document: &NoteState) -> Result<Step, BusError> {
        let path = self.file(name);
        if former != document.text || !path.exists() {
            match files::write(&path, &document.text, Some(former)).await {
                Ok(true) => {}
                // Somebody wrote it in this moment.
                Ok(false) => return Ok(Step::Again),
                Err(err) => {
                    let message = format!("{} cannot be written: {err}", path.display());
                    let fix = "make the folder writable, or make room on its disk";
                    self.alert("write", &document.version.to_string(), Severity::High, message, fix).await?;
                    return Ok(Step::Settled);
                }
            }
        }
        self.synced.set(name, document.version, sha256(document.text.as_bytes())).await;
        Ok(Step::Settled)
    }

    fn author(&self, by: &str) -> Author {
        Author::of(by, &self.origin)
    }

    async fn commit(&self, ops: Vec<Op>) -> Result<Outcome, BusError> {
        self.commit_once(ops, None).await
    }

    async fn commit_once(&self, ops: Vec<Op>, once: Option<String>) -> Result<Outcome, BusError> {
        if ops.is_empty() {
            return Ok(Outcome::Committed(Vec::new()));
        }
        let unit = Commit { once, under: Some(self.fence.clone()), ..Commit::of(ops) };
        let mut outcomes = self.bus().commit(vec![unit]).await?;
        outcomes.pop().ok_or_else(|| BusError::Protocol("no outcome for a unit".to_owned()))
    }

    /// Tells a person, once for the same trouble with the same thing.
    async fn alert(
        &self,
        id: &str,
        what: &str,
        severity: Severity,
        message: String,
        fix: &str,
    ) -> Result<(), BusError> {
        tracing::warn!(%message, id);
        let op = self.alert_op(id, severity, message, fix);
        let once = format!("mirror:{id}:{what}:{}", self.origin.now().format("%Y-%m-%d"));
        self.commit_once(op.into_iter().collect(), Some(once)).await.map(drop)
    }

    fn alert_op(&self, id: &str, severity: Severity, message: String, fix: &str) -> Option<Op> {
        let alert = Alerts::from(AlertTriggered {
            alert_id: format!("notes:{id}"),
            severity,
            message,
            fix: Some(fix.to_owned()),
            experiment_id: None,
            criterion: None,
            metric: None,
            value: None,
            threshold: None,
        });
        let composed = self.origin.compose::<grants::Memory, _>(ALERTS, alert);
        composed.inspect_err(|err| tracing::error!(%err, "an alert could not be composed")).ok().map(Op::Append)
    }
}

/// What a file's text was made from.
enum Base {
    /// It is an older version as it is: nobody edited it.
    Stale,
    /// This version; 0 where nothing is known.
    Version(u64),
}

fn stepped(outcome: &Outcome) -> Step {
    match outcome {
        Outcome::Fenced => Step::Lost,
        Outcome::Refused(refusal) => {
            tracing::error!(%refusal, "a note cannot be written");
            Step::Settled
        }
        _ => Step::Again,
    }
}
