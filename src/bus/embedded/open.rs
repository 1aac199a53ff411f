//! Opening the store: is the place fit for it, is the file whole, is its schema ours?
//!
//! Owns everything that happens before the first call. Must never change a file that another program has open, and never throw
//! away what is damaged: that is moved aside.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rusqlite::{Connection, OptionalExtension};

use super::background::log_of;
use super::salvage::{self, Salvage};
use super::schema::{self, MIGRATIONS, Migration, Role, connect, is_damage, told};
use super::shared::lock;
use super::{Durability, EmbeddedOptions, wal};
use crate::bus::{BusError, SCHEMA_VERSION};
use crate::contracts::Clock;

/// What was found when the store was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// Bytes at the end of the log that did not belong to a whole transaction, and were dropped.
    pub torn_bytes: u64,
    /// Whole transactions that were still in the log, and were taken over.
    pub recovered_transactions: u64,
    /// The older schema that the file had.
    pub migrated_from: Option<u32>,
    /// What became of a damaged file.
    pub salvaged: Option<Salvage>,
}

impl OpenReport {
    /// What a person should know, a sentence each; nothing where all was well.
    pub fn sentences(&self) -> Vec<String> {
        let mut said = Vec::new();
        if self.torn_bytes > 0 {
            said.push(format!(
                "the store's log ended in an unfinished transaction: its last {} bytes were dropped, the {} transactions before \
                 them are kept. Something that was sent right before a power cut may have to be sent again",
                self.torn_bytes, self.recovered_transactions
            ));
        }
        if let Some(version) = self.migrated_from {
            said.push(format!("the store was migrated from schema {version} to {SCHEMA_VERSION}; a copy of the old one stands beside it"));
        }
        if let Some(salvage) = &self.salvaged {
            said.push(salvage.to_string());
        }
        said
    }
}

/// Files that this process has open, with how often. SQLite's locks belong to the process and are lost when any descriptor of
/// the file is closed: a file in this list must not be opened by hand.
static OPEN: Mutex<Option<HashMap<PathBuf, usize>>> = Mutex::new(None);

/// Keeps a file in the list.
#[derive(Debug)]
pub(super) struct Presence(PathBuf);

impl Presence {
    /// Puts the file into the list, and says whether it is the first.
    fn enter(path: PathBuf) -> (Self, bool) {
        let mut open = lock(&OPEN);
        let count = open.get_or_insert_default().entry(path.clone()).or_default();
        *count += 1;
        (Self(path), *count == 1)
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let mut open = lock(&OPEN);
        let open = open.get_or_insert_default();
        if let Some(count) = open.get_mut(&self.0) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.0);
            }
        }
    }
}

/// An open store.
pub(super) struct Opened {
    pub(super) path: PathBuf,
    pub(super) conn: Connection,
    pub(super) report: OpenReport,
    pub(super) presence: Presence,
}

/// Opens the store, and makes or mends it where necessary.
pub(super) fn open(options: &EmbeddedOptions) -> Result<Opened, BusError> {
    let given = &options.path;
    let folder = given.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| unusable(folder, &error))?;
    refuse_network(folder)?;
    let folder = folder.canonicalize().map_err(|error| unusable(folder, &error))?;
    let name = given.file_name().ok_or_else(|| BusError::Unsupported(format!("{} names no file", given.display())))?;
    let path = folder.join(name);
    let (presence, first) = Presence::enter(path.clone());
    // One program at a time opens, so that making, migrating and mending happen once.
    let gate = private(&beside(&path, ".opening")).map_err(|error| unusable(&path, &error))?;
    gate.lock().map_err(|error| unusable(&path, &error))?;
    let alone = first && !is_open_elsewhere(&path);
    let mut report = OpenReport::default();
    if alone {
        inspect_files(&path, options.clock.as_ref(), &mut report)?;
    }
    create(&path)?;
    let role = Role::Writer { full: options.durability == Durability::Full };
    let conn = match prepare(&path, role, &mut report) {
        Ok(conn) => conn,
        Err(error) if alone && is_damage(&error) => {
            report.salvaged = Some(salvage::salvage(&path, options.clock.now(), &error.to_string())?);
            prepare(&path, role, &mut report).map_err(|error| told(&error, &path))?
        }
        Err(error) => return Err(met(&error, &path)),
    };
    let stored = schema::version(&conn).map_err(|error| met(&error, &path))?;
    if stored > SCHEMA_VERSION {
        return Err(BusError::Unsupported(format!(
            "{} has schema {stored}, this program knows up to {SCHEMA_VERSION}. Use the newer program, or another `--home`",
            path.display()
        )));
    }
    begin_boot(&conn, &options.clock.boot()).map_err(|error| met(&error, &path))?;
    for sentence in report.sentences() {
        tracing::warn!(store = %path.display(), "{sentence}");
    }
    Ok(Opened { path, conn, report, presence })
}

/// Connects and brings the schema up to date; a newer one is left alone.
fn prepare(path: &Path, role: Role, report: &mut OpenReport) -> rusqlite::Result<Connection> {
    let conn = connect(path, role)?;
    let stored = schema::version(&conn)?;
    if stored > SCHEMA_VERSION {
        return Ok(conn);
    }
    if stored > 0 && stored < SCHEMA_VERSION {
        migrate(&conn, path, stored, MIGRATIONS)?;
        report.migrated_from = Some(stored);
    }
    schema::complete(&conn)?;
    // Touches every table that a first call would.
    for channel in crate::contracts::ChannelName::ALL {
        super::store::last_place(&conn, *channel)?;
    }
    conn.query_row("SELECT count(*) FROM groups", [], |_| Ok(()))?;
    Ok(conn)
}

/// Copies the file, then takes it step by step to the newest schema.
fn migrate(conn: &Connection, path: &Path, from: u32, steps: &[Migration]) -> rusqlite::Result<()> {
    let copy = beside(path, &format!(".schema-{from}"));
    if !copy.exists() {
        conn.execute("VACUUM INTO ?1", [copy.to_string_lossy()])?;
    }
    conn.execute_batch("BEGIN IMMEDIATE")?;
    let mut version = from;
    for step in steps.iter().skip(from as usize - 1) {
        step(conn)?;
        version += 1;
    }
    conn.pragma_update(None, "user_version", version)?;
    conn.execute_batch("COMMIT")
}

/// After a boot, times of the monotonic clock mean nothing any more: leases have lapsed, all work is stale.
fn begin_boot(conn: &Connection, boot: &str) -> rusqlite::Result<()> {
    let query = "SELECT value FROM meta WHERE name = 'boot'";
    let stored: Option<String> = conn.query_row(query, [], |row| row.get(0)).optional()?;
    if stored.as_deref() == Some(boot) {
        return Ok(());
    }
    conn.execute_batch("BEGIN IMMEDIATE")?;
    conn.execute("INSERT OR REPLACE INTO meta(name, value) VALUES('boot', ?1)", [boot])?;
    conn.execute_batch(
        "UPDATE leases SET until = 0; UPDATE pending SET since = -1; UPDATE consumers SET seen = 0;
         UPDATE groups SET seen = 0 WHERE seen IS NOT NULL; COMMIT",
    )
}

// ---- the files ---------------------------------------------------------------------------------------------------------

fn unusable(path: &Path, error: &std::io::Error) -> BusError {
    BusError::Unsupported(format!(
        "{} cannot be used: {error}. Look at its owner, mode and disk, or choose another `--home`",
        path.display()
    ))
}

/// A file with a suffix beside the store.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn private(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)
}

/// Creates the file with the right mode where there is none; SQLite gives the log and the index of the log the same.
pub(super) fn create(path: &Path) -> Result<(), BusError> {
    match OpenOptions::new().create_new(true).write(true).mode(0o600).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(unusable(path, &error)),
    }
}

/// Marks the store as damaged, so that the next start looks at all of it.
pub(super) fn suspect(path: &Path) {
    // Where not even that can be written there is nothing more to do; the caller is told anyway.
    let _ = private(&beside(path, ".suspect"));
}

/// Whether the store is marked as damaged.
pub(super) fn is_suspect(path: &Path) -> bool {
    beside(path, ".suspect").exists()
}

/// What an error means to a caller; where it means damage, the store is marked.
pub(super) fn met(error: &rusqlite::Error, path: &Path) -> BusError {
    if is_damage(error) {
        suspect(path);
    }
    told(error, path)
}

/// Looks at the files as bytes, before SQLite does, and mends what cannot be opened. Only while nobody has them open.
fn inspect_files(path: &Path, clock: &dyn Clock, report: &mut OpenReport) -> Result<(), BusError> {
    let walk = wal::walk(&log_of(path)).map_err(|error| unusable(path, &error))?;
    report.torn_bytes = walk.torn_bytes;
    report.recovered_transactions = walk.transactions;
    let marked = beside(path, ".suspect");
    let mut wrong = header_fault(path, walk.transactions).map_err(|error| unusable(path, &error))?;
    if wrong.is_none() && marked.exists() {
        wrong = full_check(path);
    }
    if let Some(fault) = wrong {
        report.salvaged = Some(salvage::salvage(path, clock.now(), &fault)?);
    }
    if marked.exists() {
        fs::remove_file(&marked).map_err(|error| unusable(&marked, &error))?;
    }
    Ok(())
}

/// What is wrong with the whole file, by SQLite's own check.
fn full_check(path: &Path) -> Option<String> {
    let checked = connect(path, Role::Reader)
        .and_then(|conn| conn.query_row("PRAGMA integrity_check(1)", [], |row| row.get::<_, String>(0)));
    match checked {
        Ok(found) if found == "ok" => None,
        Ok(found) => Some(found),
        Err(error) => Some(error.to_string()),
    }
}

/// What is wrong with the file's first page and length, if anything.
fn header_fault(path: &Path, transactions_in_log: u64) -> std::io::Result<Option<String>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let length = file.metadata()?.len();
    // Nothing was ever moved from the log into the file: SQLite starts from the log.
    if length == 0 {
        return Ok(None);
    }
    let mut header = [0_u8; 100];
    if file.read_exact(&mut header).is_err() || !header.starts_with(b"SQLite format 3\0") {
        return Ok((transactions_in_log == 0).then(|| "it does not begin as a store does".to_owned()));
    }
    let word = |at: usize| u64::from(u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]));
    let page = match u64::from(u16::from_be_bytes([header[16], header[17]])) {
        1 => 65_536,
        size => size,
    };
    let told = word(28) * page;
    // The length in the header counts only where it is as new as the header; with a log, the log completes the file.
    let cut = word(24) == word(92) && length < told && transactions_in_log == 0;
    Ok(cut.then(|| format!("it is cut off: {length} bytes of {told}")))
}

/// Whether another process has the store open: SQLite keeps a lock on a byte of the log's index for that.
fn is_open_elsewhere(path: &Path) -> bool {
    const ALIVE_BYTE: i64 = 128;
    // The constants' types differ between systems; all are small.
    let small = |number: i32| i16::try_from(number).unwrap_or_default();
    let Ok(index) = OpenOptions::new().read(true).write(true).open(beside(path, "-shm")) else {
        return false;
    };
    let mut probe = nix::libc::flock {
        l_type: small(nix::libc::F_WRLCK),
        l_whence: small(nix::libc::SEEK_SET),
        l_start: ALIVE_BYTE,
        l_len: 1,
        l_pid: 0,
    };
    match nix::fcntl::fcntl(&index, nix::fcntl::FcntlArg::F_GETLK(&mut probe)) {
        Ok(_) => probe.l_type != small(nix::libc::F_UNLCK),
        // Cannot tell: as if it were.
        Err(_) => true,
    }
}

/// SQLite's log needs memory shared between processes, which network file systems do not give.
fn refuse_network(folder: &Path) -> Result<(), BusError> {
    match network_type(folder) {
        Some(kind) => Err(BusError::Unsupported(format!(
            "{} is on a network file system ({kind}), where the store could be damaged. Choose a folder on a local disk by \
             `--home`, or use Redis (REDIS_URL) to share a bus between machines",
            folder.display()
        ))),
        None => Ok(()),
    }
}

#[cfg(target_os = "linux")]
fn network_type(folder: &Path) -> Option<&'static str> {
    // linux/magic.h, and the file systems' own headers.
    const NETWORK: &[(u32, &str)] = &[
        (0x6969, "NFS"),
        (0x517b, "SMB"),
        (0xff53_4d42, "CIFS"),
        (0xfe53_4d42, "SMB"),
        (0x7375_7245, "Coda"),
        (0x5346_414f, "AFS"),
        (0x00c3_6400, "Ceph"),
        (0x0bd0_0bd0, "Lustre"),
        (0x564c, "NCP"),
    ];
    let kind = nix::sys::statfs::statfs(folder).ok()?.filesystem_type().0;
    // The number's type differs between systems; its lower 32 bits are what counts.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the lower 32 bits are meant")]
    let kind = kind as u32;
    let known = NETWORK.iter().find(|(magic, _)| *magic == kind).map(|(_, name)| *name);
    known.or_else(|| (kind == 0x6573_5546 && is_remote_fuse(folder)).then_some("FUSE over a network"))
}

#[cfg(not(target_os = "linux"))]
fn network_type(_folder: &Path) -> Option<&'static str> {
    None
}

/// Local and remote file systems share one FUSE number; the list of mounts tells them apart.
#[cfg(target_os = "linux")]
fn is_remote_fuse(folder: &Path) -> bool {
    const REMOTE: &[&str] =
        &["fuse.sshfs", "fuse.glusterfs", "fuse.s3fs", "fuse.rclone", "fuse.davfs", "fuse.gcsfuse", "fuse.curlftpfs"];
    let (Ok(mounts), Ok(folder)) = (fs::read_to_string("/proc/self/mounts"), folder.canonicalize()) else {
        return false;
    };
    let mount = mounts
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ').skip(1);
            Some((words.next()?, words.next()?))
        })
        .filter(|(place, _)| folder.starts_with(place))
        .max_by_key(|(place, _)| place.len());
    mount.is_some_and(|(_, kind)| REMOTE.contains(&kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_schema_is_copied_and_taken_up_step_by_step() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a.db");
        let conn = Connection::open(&path).unwrap();
        conn.execute_batch("CREATE TABLE t(x); PRAGMA user_version = 1").unwrap();
        let steps: &[Migration] = &[
            |conn| conn.execute_batch("ALTER TABLE t ADD COLUMN y"),
            |conn| conn.execute_batch("INSERT INTO t(x, y) VALUES(1, 2)"),
        ];
        migrate(&conn, &path, 1, steps).unwrap();
        assert_eq!(schema::version(&conn).unwrap(), 3);
        assert_eq!(conn.query_row("SELECT y FROM t", [], |row| row.get::<_, i64>(0)).unwrap(), 2);
        let old = Connection::open(beside(&path, ".schema-1")).unwrap();
        assert_eq!(schema::version(&old).unwrap(), 1);
        assert!(old.query_row("SELECT y FROM t", [], |_| Ok(())).is_err(), "the copy is as it was");
    }

    #[test]
    fn a_local_folder_is_no_network() {
        assert_eq!(network_type(tempfile::tempdir().unwrap().path()), None);
    }
}
