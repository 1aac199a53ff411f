//! A control group (cgroup) of a run's own: how many processes a tool may have, and how much memory all of them together.
//!
//! Owns where such groups can be made on this machine, the group of each run, and its end: nothing that is in it outlives it. The limit of
//! processes that [`inside`](super::inside) sets does not bind root; this one binds everybody. Must never move or limit a process that is
//! no tool's.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::inside::{MEMORY, PROCESSES};

/// How the groups of this program are called: this, its process, a number.
const PREFIX: &str = "fullsend-";
/// What is in a group besides the tool: the wrapper's two processes, the relay, and one that is on its way.
const BESIDE: u64 = 4;
/// Most bytes of memory of all processes together: those of one, and what it may write into disks of memory.
const TOGETHER: u64 = MEMORY + (128 << 20);
/// How often it is looked whether a group is empty.
const LOOK: Duration = Duration::from_millis(10);
/// And how many times.
const LOOKS: u32 = 60;
/// A shell goes into the group, and becomes what it is given. Whoever fails says so as the sandbox does.
const JOIN: &str =
    "echo 0 > \"$0\" || { echo 'sandbox: it could not be put into its control group' >&2; exit 125; }; exec \"$@\"";

/// Numbers of groups.
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// Which of the two kinds of control groups a machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    V2,
}

/// Where groups can be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Groups {
    at: PathBuf,
    pub(super) version: Version,
}

impl Groups {
    /// Finds a place by trying: a group is made, a process put into it, and both are gone again. Waits for the kernel.
    pub(super) fn find() -> Option<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let groups = places(&mounts, &own).into_iter().find(Self::works)?;
        groups.sweep();
        Some(groups)
    }

    fn works(&self) -> bool {
        self.hand_on();
        let Ok(group) = self.make() else { return false };
        let trial = joined(&group.procs()).arg("true").stdin(Stdio::null()).stderr(Stdio::null()).status();
        let works = trial.is_ok_and(|status| status.success());
        drop(group);
        works
    }

    /// The topmost group of all may have to be told that those below it are limited. Any other is somebody's own affair.
    fn hand_on(&self) {
        let is_topmost = self.version == Version::V2 && !self.at.join("cgroup.type").exists();
        let on = fs::read_to_string(self.at.join("cgroup.subtree_control")).unwrap_or_default();
        for limit in ["pids", "memory"] {
            if is_topmost && !on.split_whitespace().any(|word| word == limit) {
                put(&self.at.join("cgroup.subtree_control"), &format!("+{limit}")).ok();
            }
        }
    }

    /// Makes a group with its limits.
    pub(super) fn make(&self) -> io::Result<Group> {
        let mut made = Err(io::Error::other("no name is free"));
        // Another program may have the same number in a world of its own.
        for _ in 0..16 {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let path = self.at.join(format!("{PREFIX}{}-{number}", std::process::id()));
            made = fs::create_dir(&path).map(|()| Group { path, is_over: false });
            if made.as_ref().err().is_none_or(|err| err.kind() != io::ErrorKind::AlreadyExists) {
                break;
            }
        }
        let group = made?;
        group.write("pids.max", PROCESSES + BESIDE)?;
        // Not everywhere; each process has its own limit anyway.
        group.write("memory.max", TOGETHER).ok();
        group.write("memory.swap.max", 0).ok();
        group.write("memory.oom.group", 1).ok();
        Ok(group)
    }

    /// Groups of programs that are gone.
    fn sweep(&self) {
        for entry in fs::read_dir(&self.at).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let whose = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('-')?.0.parse::<u32>().ok());
            if whose.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
                // One in which something is left stays: it is somebody's whom this process does not see.
                fs::remove_dir(entry.path()).ok();
            }
        }
    }
}

/// Where groups may be made, the likeliest first: below this process's own, or below one that holds it.
fn places(mounts: &str, own: &str) -> Vec<Groups> {
    let of = |version: Version| {
        let is_it = |kind: &str, options: &str| match version {
            Version::V2 => kind == "cgroup2",
            Version::V1 => kind == "cgroup" && options.split(',').any(|option| option == "pids"),
        };
        let mount = mounts.lines().find_map(|line| {
            let mut words = line.split(' ').skip(1);
            let (at, kind, options) = (words.next()?, words.next()?, words.next()?);
            is_it(kind, options).then(|| PathBuf::from(at))
        });
        let mine = own.lines().find_map(|line| {
            let mut words = line.splitn(3, ':');
            let (number, limits, path) = (words.next()?, words.next()?, words.next()?);
            let is_it = match version {
                Version::V2 => number == "0" && limits.is_empty(),
                Version::V1 => limits.split(',').any(|limit| limit == "pids"),
            };
            // Outside of what is seen here.
            (is_it && !path.contains("/..")).then(|| path.trim_matches('/').to_owned())
        });
        let mine = mine.unwrap_or_default();
        let below = mount.into_iter().flat_map(move |mount| {
            let all: Vec<_> = Path::new(&mine).ancestors().map(|path| mount.join(path)).collect();
            all
        });
        below.map(move |at| Groups { at, version }).collect::<Vec<_>>()
    };
    [of(Version::V2), of(Version::V1)].concat()
}

/// Writes into a file of the kernel's, which is never made where it is not: it would limit nothing.
fn put(file: &Path, text: &str) -> io::Result<()> {
    fs::OpenOptions::new().write(true).open(file)?.write_all(text.as_bytes())
}

/// A command that goes into a group before it becomes what its further arguments say.
pub(super) fn joined(procs: &Path) -> Command {
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(JOIN).arg(procs);
    command
}

/// The group of a run. Whatever is still in it ends with it.
#[derive(Debug)]
pub struct Group {
    path: PathBuf,
    is_over: bool,
}

impl Group {
    /// The file through which a process goes in.
    pub(super) fn procs(&self) -> PathBuf {
        self.path.join("cgroup.procs")
    }

    fn write(&self, file: &str, number: u64) -> io::Result<()> {
        put(&self.path.join(file), &number.to_string())
    }

    /// The limit that it met, in words.
    pub fn met(&self) -> Option<String> {
        let times = |file: &str, what: &str| {
            let events = fs::read_to_string(self.path.join(file)).unwrap_or_default();
            let of = |line: &str| line.split_once(' ').filter(|(name, _)| *name == what)?.1.trim().parse::<u64>().ok();
            events.lines().find_map(of).unwrap_or_default()
        };
        if times("memory.events", "oom_kill") > 0 {
            return Some(format!("it used more than {} MiB of memory in all", TOGETHER >> 20));
        }
        (times("pids.events", "max") > 0).then(|| format!("it wanted more than {PROCESSES} processes at once"))
    }

    /// Ends everything that is in it.
    pub fn kill(&self) {
        // Nothing new from here on.
        self.write("pids.max", 0).ok();
        if self.write("cgroup.kill", 1).is_ok() {
            return;
        }
        let all = fs::read_to_string(self.procs()).unwrap_or_default();
        for pid in all.lines().filter_map(|line| line.trim().parse().ok()) {
            kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
        }
    }

    /// Ends everything that is in it, and takes it away. False where something stays all the same.
    pub async fn end(mut self) -> bool {
        for _ in 0..LOOKS {
            let turn = tokio::task::spawn_blocking(move || {
                if fs::remove_dir(&self.path).is_ok() {
                    self.is_over = true;
                } else {
                    self.kill();
                }
                self
            });
            // It was dropped over there, and has tried once more.
            let Ok(group) = turn.await else { return false };
            self = group;
            if self.is_over {
                return true;
            }
            tokio::time::sleep(LOOK).await;
        }
        false
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.is_over && fs::remove_dir(&self.path).is_err() {
            self.kill();
            fs::remove_dir(&self.path).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;

    use super::*;

    fn found(mounts: &str, own: &str) -> Vec<(Version, String)> {
        places(mounts, own).into_iter().map(|groups| (groups.version, groups.at.display().to_string())).collect()
    }

    #[test]
    fn places_are_looked_for_from_ones_own_group_upwards() {
        let v2 = "proc /proc proc rw 0 0\ncgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n";
        let own = "0::/user.slice/user-1000.slice/app.scope\n";
        let at = |path: &str| (Version::V2, format!("/sys/fs/cgroup{path}"));
        let all = [
            at("/user.slice/user-1000.slice/app.scope"),
            at("/user.slice/user-1000.slice"),
            at("/user.slice"),
            at("/"),
        ];
        assert_eq!(found(v2, own), all);
        let v1 = "cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\ncgroup /sys/fs/cgroup/pids cgroup rw,pids 0 0\n";
        assert_eq!(found(v1, "8:pids:/\n7:cpu:/x\n0::/\n"), [(Version::V1, "/sys/fs/cgroup/pids/".to_owned())]);
        // Both, as some have it: the newer one first, and whoever lives outside of what is seen begins at the top.
        let both = format!("{v1}cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n");
        let versions: Vec<_> = found(&both, "8:pids:/a\n0::/../x\n").into_iter().map(|(version, _)| version).collect();
        assert_eq!(versions, [Version::V2, Version::V1, Version::V1]);
        assert_eq!(found("tmpfs / tmpfs rw 0 0\n", own), []);
        assert_eq!(found("", ""), []);
    }

    #[test]
    fn a_folder_that_is_no_control_group_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let groups = Groups { at: folder.path().to_owned(), version: Version::V2 };
        assert!(!groups.works());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left of the trial");
        let nowhere = Groups { at: folder.path().join("none"), version: Version::V1 };
        assert!(!nowhere.works());
    }

    #[test]
    fn what_it_met_is_told_and_groups_of_the_dead_are_swept() {
        let folder = tempfile::tempdir().unwrap();
        let group = Group { path: folder.path().join("g"), is_over: true };
        fs::create_dir(&group.path).unwrap();
        assert_eq!(group.met(), None);
        fs::write(group.path.join("pids.events"), "max 3\n").unwrap();
        assert_eq!(group.met().as_deref(), Some("it wanted more than 64 processes at once"));
        fs::write(group.path.join("memory.events"), "low 0\noom 1\noom_kill 1\n").unwrap();
        assert_eq!(group.met().as_deref(), Some("it used more than 1152 MiB of memory in all"));
        let me = std::process::id();
        for name in ["fullsend-4294967295-0", &format!("fullsend-{me}-0"), "others-4294967295-0", "fullsend-x"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        Groups { at: folder.path().to_owned(), version: Version::V1 }.sweep();
        let mut left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(
            left,
            [format!("fullsend-{me}-0").as_str(), "fullsend-x", "g", "others-4294967295-0"]
                .map(std::ffi::OsString::from)
        );
    }
}
