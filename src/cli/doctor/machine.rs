//! The machine: home, logs, disk.
//!
//! Must never make or change a folder.

use std::path::Path;

use nix::unistd::{AccessFlags, access};

use super::{Area, Report};
use crate::bus::{Finding, Level};
use crate::config::Config;

const MIB: u64 = 1 << 20;
/// Less free space is an error.
const NOTHING_LEFT: u64 = 100 * MIB;
/// Less is a warning, and so is less than [`LITTLE_PERCENT`].
const LITTLE: u64 = 1024 * MIB;
const LITTLE_PERCENT: u64 = 5;

/// Looks at the home and the disk that it is on.
pub(super) fn look(config: &Config, report: &mut Report) {
    for (folder, about) in [(config.home.clone(), "the home"), (config.logs(), "the folder of the logs")] {
        if let Some(finding) = writable(&folder, about) {
            report.take(Area::Machine, finding);
        }
    }
    // The embedded engine looks at the disk of its store itself.
    let looked = report.bus.as_ref().is_some_and(|health| health.engine == "embedded");
    if !looked && let Some(finding) = disk(&config.home) {
        report.take(Area::Machine, finding);
    }
}

/// The nearest folder that is there: what is missing is made when it is needed.
fn nearest(path: &Path) -> &Path {
    path.ancestors().find(|path| path.symlink_metadata().is_ok()).unwrap_or(path)
}

fn writable(path: &Path, about: &str) -> Option<Finding> {
    let there = nearest(path);
    let what = if !there.is_dir() {
        format!("{about} {} cannot be: {} is no folder", path.display(), there.display())
    } else if access(there, AccessFlags::W_OK | AccessFlags::X_OK).is_err() {
        format!("{about} {} cannot be written ({} does not let this user)", path.display(), there.display())
    } else {
        return None;
    };
    let fix = format!("chown or chmod {}, or choose another home by `--home DIR`", there.display());
    Some(Finding { level: Level::Error, what, fix })
}

fn disk(path: &Path) -> Option<Finding> {
    let disk = nix::sys::statvfs::statvfs(nearest(path)).ok()?;
    #[expect(clippy::useless_conversion, reason = "the numbers' types differ between systems")]
    let (block, free, all) =
        (u64::from(disk.fragment_size()), u64::from(disk.blocks_available()), u64::from(disk.blocks()));
    space(path, free.saturating_mul(block), all.saturating_mul(block))
}

fn space(path: &Path, free: u64, all: u64) -> Option<Finding> {
    let little = free < LITTLE || free / LITTLE_PERCENT < all / 100;
    little.then(|| Finding {
        level: if free < NOTHING_LEFT { Level::Error } else { Level::Warning },
        what: format!("the disk of {} has {} MiB left of {} MiB", path.display(), free / MIB, all / MIB),
        fix: "Free some space, shorten `retention`, or move the home by `--home`".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_space_is_a_warning_and_none_an_error() {
        let gib = 1024 * MIB;
        let level = |free, all| space(Path::new("/x"), free, all).map(|finding| finding.level);
        assert_eq!(level(50 * gib, 100 * gib), None);
        assert_eq!(level(gib, 10 * gib), None);
        assert_eq!(level(gib - 1, 10 * gib), Some(Level::Warning));
        assert_eq!(level(4 * gib, 100 * gib), Some(Level::Warning));
        assert_eq!(level(NOTHING_LEFT, 100 * gib), Some(Level::Warning));
        assert_eq!(level(NOTHING_LEFT - 1, 100 * gib), Some(Level::Error));
        let said = space(Path::new("/x"), 50 * MIB, 200 * MIB).unwrap();
        assert_eq!(said.what, "the disk of /x has 50 MiB left of 200 MiB");
    }

    #[test]
    fn a_home_that_cannot_be_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(writable(dir.path(), "the home"), None);
        assert_eq!(writable(&dir.path().join("a/b/c"), "the home"), None);
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        for path in [file.clone(), file.join("logs")] {
            let finding = writable(&path, "the home").unwrap();
            assert!(finding.level == Level::Error && finding.what.contains("is no folder"), "{finding:?}");
        }
    }
}
