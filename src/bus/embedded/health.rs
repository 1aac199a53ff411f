//! How the embedded store is, for `doctor` and the screen.
//!
//! Owns the findings about the file and its disk. Must never fail: what cannot be found out is a finding.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::Durability;
use super::background::log_of;
use super::open::OpenReport;
use crate::bus::{Finding, Health, Level};

/// Less free space than this is a finding.
const LEAST_FREE: u64 = 1 << 30;
/// So is less than this part of the disk, in percent.
const LEAST_FREE_PERCENT: u64 = 5;
/// A log of this size means that something keeps it from being moved into the file.
const MOST_LOG: u64 = 256 << 20;

/// What there is to say; `reached` is an error of reading, if there was one.
pub(super) fn health(path: &Path, durability: Durability, report: &OpenReport, reached: Option<String>) -> Health {
    let mut findings = Vec::new();
    let reachable = reached.is_none();
    if let Some(error) = reached {
        add(
            &mut findings,
            Level::Error,
            error,
            "Look at the file and its disk; a backup can be put back by `fullsend restore`",
        );
    }
    let log = size(&log_of(path));
    if log > MOST_LOG {
        let what = format!("the store's log has grown to {} MiB", log >> 20);
        add(
            &mut findings,
            Level::Warning,
            what,
            "Close programs that keep the store open for reading, or restart this one",
        );
    }
    disk(path, &mut findings);
    mode(path, &mut findings);
    for sentence in report.sentences() {
        let level = if report.salvaged.is_some() { Level::Warning } else { Level::Note };
        add(&mut findings, level, sentence, "Nothing has to be done, if nothing is missing");
    }
    Health {
        engine: "embedded",
        location: path.display().to_string(),
        reachable,
        version: format!("SQLite {}", rusqlite::version()),
        durability: match durability {
            Durability::Normal => "survives a kill of every process; a power cut may take the last seconds",
            Durability::Full => "survives a kill of every process and a power cut",
        }
        .to_owned(),
        bytes: Some(size(path) + log),
        findings,
    }
}

fn add(findings: &mut Vec<Finding>, level: Level, what: String, fix: &str) {
    findings.push(Finding { level, what, fix: fix.to_owned() });
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |meta| meta.len())
}

fn disk(path: &Path, findings: &mut Vec<Finding>) {
    let Some(Ok(disk)) = path.parent().map(nix::sys::statvfs::statvfs) else {
        return;
    };
    #[expect(clippy::useless_conversion, reason = "the numbers' types differ between systems")]
    let (block, free, all) =
        (u64::from(disk.fragment_size()), u64::from(disk.blocks_available()), u64::from(disk.blocks()));
    if free.saturating_mul(block) < LEAST_FREE || free.saturating_mul(100) < all.saturating_mul(LEAST_FREE_PERCENT) {
        let level = if free.saturating_mul(block) < LEAST_FREE / 16 { Level::Error } else { Level::Warning };
        let what = format!("the disk of {} has {} MiB left", path.display(), free.saturating_mul(block) >> 20);
        add(findings, level, what, "Free some space, shorten `retention`, or move the home by `--home`");
    }
}

fn mode(path: &Path, findings: &mut Vec<Finding>) {
    let Ok(meta) = std::fs::metadata(path) else { return };
    let mode = meta.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let what = format!("{} can be opened by others (mode {mode:o})", path.display());
        add(findings, Level::Warning, what, &format!("chmod 600 '{}'", path.display()));
    }
}
