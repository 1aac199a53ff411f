//! The sandbox that a tool runs in.
//!
//! Two layers, one inside the other, so that a hole in one is not a hole. Outside, bubblewrap: namespaces of its own for users, processes,
//! network, mounts, messages and names; of the disk only the system's programs, the tool's folder and the files that its parameters name,
//! all read-only, and its work folder; no environment. Inside, this program itself ([`inside`]): limits of resources, Landlock,
//! a filter of system calls; then it becomes the tool. Around both, a control group where this machine lets one be made ([`group`]). The network is none but the places that the run names ([`relay`], [`dial`]).
//!
//! Owns what a tool can reach, and how much of that this machine enforces ([`Level`]). Fails closed: where a layer is missing nothing
//! runs, unless the operator said otherwise (`tools.unsandboxed`); then what there is is used all the same. Must never run anything itself.

pub mod dial;
mod filter;
pub mod group;
pub mod inside;
pub mod relay;

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::process::Command;
use tokio::sync::OnceCell;

use self::group::{Group, Groups, Version};
use self::inside::{PROCESSES, Policy, Report};
use super::manifest::HostPort;
use crate::contracts::untrusted::sanitize_line;

/// The word by which this program is told to become a tool. It is no verb: only the sandbox says it.
pub const VERB: &str = "sandbox-exec";

/// Where things are inside.
const PROGRAM: &str = "/sandbox/program";
const TOOL: &str = "/sandbox/tool";
const WORK: &str = "/sandbox/work";
const SOCKET: &str = "/sandbox/net";
/// Everything that a tool may write beyond its work folder, in memory, each.
const MEMORY_DISK: &str = "67108864";
/// Bubblewrap.
const BWRAP: &str = "bwrap";
/// The system's own folders, where a machine has them: programs, libraries, certificates.
const SYSTEM: [&str; 7] = ["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store"];
const OF_ETC: [&str; 9] = [
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/alternatives",
    "/etc/ssl",
    "/etc/ca-certificates",
    "/etc/pki",
    "/etc/localtime",
    "/etc/mime.types",
];
/// Folders whose files no parameter may name: the system's own state, and what is already something else inside.
const NOT_READ: [&str; 7] = ["/proc", "/sys", "/dev", "/run", "/boot", "/etc", "/sandbox"];
/// How long the probe may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// How tools are shut in.
#[derive(Debug, Clone)]
pub struct Options {
    /// This program.
    pub program: PathBuf,
    /// Whether a tool runs where a layer is missing.
    pub unsandboxed: bool,
    /// Private places that tools may reach where they are named to them.
    pub allow_private: Vec<HostPort>,
}

/// What one run needs.
#[derive(Debug)]
pub struct Plan<'a> {
    /// The tool's folder; none for one of ours.
    pub tool: Option<&'a Path>,
    /// The program and its arguments: within the folder, or ours.
    pub argv: &'a [String],
    /// Its work folder.
    pub work: &'a Path,
    /// Files and folders that it may read, absolute.
    pub reads: &'a [PathBuf],
    /// Places that it may speak to.
    pub hosts: &'a [HostPort],
    /// A folder of the run's own, with `hosts` and `net.sock`; needed where there are places.
    pub run: Option<&'a Path>,
    /// How long it may take.
    pub timeout: Duration,
}

/// Why nothing runs.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NotSandboxed {
    /// A layer is missing on this machine.
    #[error(
        "no tool runs, because it could not be shut in: {0}. Install bubblewrap, and see `fullsend doctor`; or, where you trust every tool, \
         set tools.unsandboxed"
    )]
    Missing(String),
    /// A place cannot be made to look as if it were inside.
    #[error(
        "`{0}` cannot be reached from a sandbox: an address that is not this machine's needs a name; give the place one in DNS or /etc/hosts"
    )]
    Address(HostPort),
    /// A file that a parameter names is not for tools.
    #[error("`{0}` is not given to tools; copy what is needed elsewhere")]
    Forbidden(String),
}

/// How much of the sandbox this machine enforces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Level {
    /// Whether bubblewrap gives namespaces.
    pub namespaces: bool,
    /// Landlock: `full`, `partial` (an older kernel), `none`.
    pub landlock: Landlock,
    /// Whether system calls are filtered.
    pub filter: bool,
    /// What holds a tool to its number of processes.
    pub processes: Processes,
    /// Why something is missing.
    pub missing: Vec<String>,
}

/// What holds a tool to its number of processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Processes {
    /// A control group of each run's own (cgroup v2).
    CgroupV2,
    /// The same, of the older kind (cgroup v1, `pids`).
    CgroupV1,
    /// The limit of a user's processes (`RLIMIT_NPROC`), which does not bind root.
    Rlimit,
    /// Nothing: they are counted while it runs, and it is ended when there are more.
    Counted,
}

impl Processes {
    fn of(groups: Option<&Groups>) -> Self {
        match groups.map(|groups| groups.version) {
            Some(Version::V2) => Self::CgroupV2,
            Some(Version::V1) => Self::CgroupV1,
            None if is_root() => Self::Counted,
            None => Self::Rlimit,
        }
    }

    /// In words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::CgroupV2 => "a cgroup (v2)",
            Self::CgroupV1 => "a cgroup (v1)",
            Self::Rlimit => "RLIMIT_NPROC",
            Self::Counted => "counting",
        }
    }
}

/// Whether this process is the machine's root, not only that of a container which is a plain user outside.
fn is_root() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let mut words = map.split_whitespace();
    let maps_to_itself = words.next() == words.next();
    // What a process has in `/proc` is its user's.
    let uid = std::fs::metadata("/proc/self").map(|found| std::os::unix::fs::MetadataExt::uid(&found));
    uid.is_ok_and(|uid| uid == 0) && maps_to_itself
}

/// How much of its rules Landlock enforces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Landlock {
    /// All.
    Full,
    /// Those that this kernel knows.
    Partial,
    /// None.
    None,
}

impl Level {
    /// Whether every layer is there.
    pub fn is_whole(&self) -> bool {
        self.namespaces && self.filter && self.landlock != Landlock::None
    }

    /// In a line.
    pub fn line(&self) -> String {
        let landlock = match self.landlock {
            Landlock::Full => "Landlock",
            Landlock::Partial => "Landlock (in part: the kernel is older)",
            Landlock::None => "",
        };
        let layers = [
            if self.namespaces { "namespaces" } else { "" },
            landlock,
            if self.filter { "a filter of system calls" } else { "" },
        ];
        let layers: Vec<_> = layers.into_iter().filter(|layer| !layer.is_empty()).collect();
        let there = if layers.is_empty() { "nothing".to_owned() } else { layers.join(", ") };
        let there = format!("{there}; at most {PROCESSES} processes, by {}", self.processes.words());
        if self.missing.is_empty() { there } else { format!("{there}; missing: {}", self.missing.join("; ")) }
    }
}

/// Shuts tools in. What this machine can enforce is found out once.
#[derive(Debug)]
pub struct Sandbox {
    options: Options,
    found: OnceCell<Found>,
}

/// What this machine has.
#[derive(Debug)]
struct Found {
    level: Level,
    groups: Option<Groups>,
}

/// A tool's command, shut in, and what it takes along.
#[derive(Debug)]
pub struct Shut {
    /// To be started.
    pub command: Command,
    /// The control group that it goes into, where there are such.
    pub group: Option<Group>,
    /// Whether bubblewrap is around it.
    pub is_wrapped: bool,
}

impl Sandbox {
    /// By these options.
    pub fn new(options: Options) -> Self {
        Self { options, found: OnceCell::new() }
    }

    /// How tools are shut in.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// How much of it this machine enforces. Runs it once, with this program in the place of a tool.
    pub async fn level(&self) -> &Level {
        &self.found().await.level
    }

    async fn found(&self) -> &Found {
        let find = async {
            let groups = tokio::task::spawn_blocking(Groups::find).await.ok().flatten();
            Found { level: self.probe(Processes::of(groups.as_ref())).await, groups }
        };
        self.found.get_or_init(|| find).await
    }

    async fn probe(&self, processes: Processes) -> Level {
        let mut missing = Vec::new();
        let folder = std::env::temp_dir();
        let plan = Plan { tool: None, argv: &[], work: &folder, reads: &[], hosts: &[], run: None, timeout: PATIENCE };
        for namespaces in [true, false] {
            let policy = Policy { report: true, ..self.policy(&plan, namespaces, false) };
            match self.asked(&plan, &policy).await {
                Ok(report) => {
                    missing.extend(report.missing);
                    return Level { namespaces, landlock: report.landlock, filter: report.filter, processes, missing };
                }
                Err(why) if namespaces => missing.push(format!("namespaces by bubblewrap ({why})")),
                Err(why) => missing.push(format!("everything ({why})")),
            }
        }
        Level { namespaces: false, landlock: Landlock::None, filter: false, processes, missing }
    }

    /// What this program says when it is shut in.
    async fn asked(&self, plan: &Plan<'_>, policy: &Policy) -> Result<Report, String> {
        let mut command = self.built(plan, policy, None).map_err(|err| err.to_string())?;
        command.stdin(Stdio::null()).kill_on_drop(true);
        let output =
            tokio::time::timeout(PATIENCE, command.output()).await.map_err(|_| "it did not answer".to_owned())?;
        let output = output.map_err(|err| match err.kind() {
            std::io::ErrorKind::NotFound => "there is no `bwrap`".to_owned(),
            _ => err.to_string(),
        })?;
        if let Ok(report) = serde_json::from_slice(&output.stdout) {
            return Ok(report);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().last().unwrap_or("it said nothing");
        Err(sanitize_line(said, 200))
    }

    /// The command that runs a tool shut in, in a process group of its own.
    ///
    /// # Errors
    /// Where it cannot be shut in, and the operator did not say that it runs all the same.
    pub async fn command(&self, plan: &Plan<'_>) -> Result<Shut, NotSandboxed> {
        let Found { level, groups } = self.found().await;
        if !level.is_whole() && !self.options.unsandboxed {
            return Err(NotSandboxed::Missing(level.missing.join("; ")));
        }
        let must = level.landlock != Landlock::None;
        let group = match groups.clone() {
            Some(groups) => Some(grouped(groups).await?),
            None => None,
        };
        let mut command = self.built(plan, &self.policy(plan, level.namespaces, must), group.as_ref())?;
        command.process_group(0).kill_on_drop(true);
        Ok(Shut { command, group, is_wrapped: level.namespaces })
    }

    fn policy(&self, plan: &Plan<'_>, namespaces: bool, must: bool) -> Policy {
        let place = |inside: &str, outside: &Path| if namespaces { PathBuf::from(inside) } else { outside.to_owned() };
        let mut reads: Vec<PathBuf> = ["/usr", "/etc", "/proc"].iter().chain(&SYSTEM).map(PathBuf::from).collect();
        reads.push(place(PROGRAM, &self.options.program));
        reads.extend(plan.tool.map(|tool| place(TOOL, tool)));
        reads.extend(plan.reads.iter().cloned());
        // Without namespaces `/tmp` is everybody's, and other users' sockets are in it.
        let mut writes = vec![place(WORK, plan.work)];
        if namespaces {
            writes.extend(["/tmp", "/dev/shm"].map(PathBuf::from));
        }
        Policy {
            report: false,
            must,
            reads,
            writes,
            seconds: plan.timeout.as_secs().max(60),
            routes: if namespaces { routes(plan.hosts) } else { Vec::new() },
            ports: plan.hosts.iter().map(|place| place.port).collect(),
            open_network: !namespaces && !plan.hosts.is_empty(),
        }
    }

    fn built(&self, plan: &Plan<'_>, policy: &Policy, group: Option<&Group>) -> Result<Command, NotSandboxed> {
        let policy_text = serde_json::to_string(policy).map_err(|err| NotSandboxed::Missing(err.to_string()))?;
        let is_wrapped = policy.writes.first().is_some_and(|work| work == Path::new(WORK));
        let (program, tool) = if is_wrapped {
            (Path::new(PROGRAM), plan.tool.map(|_| Path::new(TOOL)))
        } else {
            (self.options.program.as_path(), plan.tool)
        };
        let begins = |with: &Path| match group {
            Some(group) => {
                let mut command = Command::from(group::joined(&group.procs()));
                command.arg(with);
                command
            }
            None => Command::new(with),
        };
        let mut command = if is_wrapped {
            let mut command = begins(Path::new(BWRAP));
            command.args(self.wrapping(plan, policy)?).arg("--").arg(program);
            command
        } else {
            let mut command = begins(program);
            command.env_clear().envs(environment(plan.work)).current_dir(plan.work);
            command
        };
        command.arg(VERB).arg(policy_text).arg("--");
        match (tool, plan.argv.split_first()) {
            (Some(tool), Some((first, rest))) => command.arg(tool.join(first)).args(rest),
            (None, _) => command.arg(program).args(plan.argv),
            (Some(tool), None) => command.arg(tool),
        };
        Ok(command)
    }

    /// The arguments of bubblewrap.
    fn wrapping(&self, plan: &Plan<'_>, policy: &Policy) -> Result<Vec<OsString>, NotSandboxed> {
        let mut it = Arguments::default();
        it.words(&[
            "--unshare-user",
            "--unshare-ipc",
            "--unshare-pid",
            "--unshare-net",
            "--unshare-uts",
            "--unshare-cgroup-try",
        ]);
        // Its own nobody: a root of a world with nothing in it, and without a single capability.
        it.words(&["--uid", "0", "--gid", "0", "--cap-drop", "ALL", "--hostname", "sandbox"]);
        if policy.routes.iter().any(|route| route.port < 1_024) {
            // Only over its own loopback; the ports of real services are below 1024.
            it.words(&["--cap-add", "CAP_NET_BIND_SERVICE"]);
        }
        it.words(&["--die-with-parent", "--new-session", "--clearenv"]);
        for (name, value) in environment(Path::new(WORK)) {
            it.words(&["--setenv", name, &value]);
        }
        it.words(&["--ro-bind", "/usr", "/usr"]);
        for folder in SYSTEM {
            it.system(Path::new(folder));
        }
        for path in OF_ETC {
            it.words(&["--ro-bind-try", path, path]);
        }
        it.words(&["--proc", "/proc", "--dev", "/dev", "--size", MEMORY_DISK, "--tmpfs", "/dev/shm"]);
        it.words(&["--size", MEMORY_DISK, "--tmpfs", "/tmp"]);
        it.bind("--ro-bind", &self.options.program, PROGRAM);
        if let Some(tool) = plan.tool {
            it.bind("--ro-bind", tool, TOOL);
        }
        it.bind("--bind", plan.work, WORK);
        for path in plan.reads {
            let path_text = path.display().to_string();
            if NOT_READ.iter().any(|not| path.starts_with(not)) {
                return Err(NotSandboxed::Forbidden(sanitize_line(&path_text, 120)));
            }
            it.bind("--ro-bind", path, path);
        }
        if let (Some(run), false) = (plan.run, policy.routes.is_empty()) {
            if let Some(place) = plan.hosts.iter().find(|place| !is_routable(place)) {
                return Err(NotSandboxed::Address(place.clone()));
            }
            it.bind("--ro-bind", &run.join("hosts"), "/etc/hosts");
            it.bind("--ro-bind", &run.join("nsswitch.conf"), "/etc/nsswitch.conf");
            it.bind("--ro-bind", &run.join("net.sock"), SOCKET);
        }
        // What is left of the root and of `/dev` is memory; it must not be filled either.
        it.words(&["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", WORK]);
        Ok(it.0)
    }
}

/// A control group for a run.
async fn grouped(groups: Groups) -> Result<Group, NotSandboxed> {
    let made = tokio::task::spawn_blocking(move || groups.make()).await;
    let made = made.unwrap_or_else(|err| Err(std::io::Error::other(err)));
    made.map_err(|err| NotSandboxed::Missing(format!("its control group ({err})")))
}

/// The arguments of bubblewrap, as they come together.
#[derive(Default)]
struct Arguments(Vec<OsString>);

impl Arguments {
    fn words(&mut self, words: &[&str]) {
        self.0.extend(words.iter().map(OsString::from));
    }

    fn bind(&mut self, how: &str, from: &Path, to: impl AsRef<Path>) {
        self.0.extend([OsString::from(how), from.as_os_str().to_owned(), to.as_ref().as_os_str().to_owned()]);
    }

    /// A folder of the system: as a link where it is one, as on most machines today.
    fn system(&mut self, folder: &Path) {
        match std::fs::read_link(folder) {
            Ok(target) => self.bind("--symlink", &target, folder),
            Err(_) => self.bind("--ro-bind-try", folder, folder),
        }
    }
}

/// All that a tool has of an environment.
fn environment(work: &Path) -> [(&'static str, String); 7] {
    let work = work.display().to_string();
    [
        ("PATH", "/usr/local/bin:/usr/bin:/bin".to_owned()),
        ("HOME", work.clone()),
        ("PWD", work),
        ("TMPDIR", "/tmp".to_owned()),
        ("LANG", "C.UTF-8".to_owned()),
        // A question that stays in a buffer is never answered.
        ("PYTHONUNBUFFERED", "1".to_owned()),
        ("PYTHONDONTWRITEBYTECODE", "1".to_owned()),
    ]
}

/// A place as it looks from inside: an address of the tool's own loopback.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The place.
    pub to: String,
    /// Its address inside.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
}

/// Gives each host an address of its own: several have the same port.
fn routes(hosts: &[HostPort]) -> Vec<Route> {
    let mut routes = Vec::new();
    for place in hosts {
        let to = place.to_string();
        for address in addresses(place, hosts) {
            let route = Route { to: to.clone(), address, port: place.port };
            if !routes.contains(&route) {
                routes.push(route);
            }
        }
    }
    routes
}

fn addresses(place: &HostPort, hosts: &[HostPort]) -> Vec<IpAddr> {
    if let Ok(address) = place.host.parse::<IpAddr>() {
        return vec![address];
    }
    if place.host == "localhost" {
        return vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    }
    let mut names: Vec<&str> =
        hosts.iter().map(|place| place.host.as_str()).filter(|name| name.parse::<IpAddr>().is_err()).collect();
    names.sort_unstable();
    names.dedup();
    let at = names.iter().position(|name| *name == place.host).unwrap_or(0);
    // From 127.0.1.1: what says 127.0.0.1 means itself.
    let [high, low] = u16::try_from(257 + at).unwrap_or(u16::MAX).to_be_bytes();
    vec![Ipv4Addr::new(127, 0, high, low).into()]
}

/// Whether a place can be listened for inside: a name, or an address of the loopback.
fn is_routable(place: &HostPort) -> bool {
    place.host.parse::<IpAddr>().map_or(true, |address| address.is_loopback())
}

/// The file by which names of hosts are found inside.
pub fn hosts_file(hosts: &[HostPort]) -> String {
    let mut lines = vec!["127.0.0.1 localhost sandbox".to_owned(), "::1 localhost".to_owned()];
    for place in hosts.iter().filter(|place| place.host.parse::<IpAddr>().is_err() && place.host != "localhost") {
        lines.extend(addresses(place, hosts).into_iter().map(|address| format!("{address} {}", place.host)));
    }
    lines.dedup();
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;

    use super::*;

    fn places(texts: &[&str]) -> Vec<HostPort> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn each_host_has_an_address_of_its_own() {
        let hosts = places(&["b.example:443", "a.example:443", "a.example:80", "localhost:25", "127.0.0.1:8080"]);
        let routes: Vec<_> =
            routes(&hosts).iter().map(|route| format!("{} {}:{}", route.to, route.address, route.port)).collect();
        assert_eq!(
            routes,
            [
                "b.example:443 127.0.1.2:443",
                "a.example:443 127.0.1.1:443",
                "a.example:80 127.0.1.1:80",
                "localhost:25 127.0.0.1:25",
                "localhost:25 ::1:25",
                "127.0.0.1:8080 127.0.0.1:8080"
            ]
        );
        let file = hosts_file(&hosts);
        assert!(file.contains("127.0.1.1 a.example\n") && file.contains("127.0.1.2 b.example\n"), "{file}");
        assert!(is_routable(&hosts[0]) && is_routable(&hosts[4]));
        assert!(!is_routable(&places(&["10.0.0.1:80"])[0]));
    }

    #[test]
    fn a_level_reads_as_a_line() {
        let mut level = Level {
            namespaces: true,
            landlock: Landlock::Full,
            filter: true,
            processes: Processes::CgroupV2,
            missing: Vec::new(),
        };
        let by = "at most 64 processes, by a cgroup (v2)";
        assert_eq!(level.line(), format!("namespaces, Landlock, a filter of system calls; {by}"));
        assert!(level.is_whole());
        level.namespaces = false;
        level.missing.push("namespaces by bubblewrap (there is no `bwrap`)".to_owned());
        assert!(!level.is_whole());
        assert_eq!(
            level.line(),
            format!(
                "Landlock, a filter of system calls; {by}; missing: namespaces by bubblewrap (there is no `bwrap`)"
            )
        );
    }
}
