//! What happens inside the sandbox, before a tool begins: this program shuts itself in, and becomes the tool.
//!
//! Started by bubblewrap as `sandbox-exec POLICY -- PROGRAM ARGUMENTS…`, before anything else of the program: one thread, nothing read.
//! Owns the order: network, limits, Landlock, filter, tool. Must never start a tool with less than its policy says.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, NetPort, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetStatus, Scope, path_beneath_rules,
};
use nix::sys::signal::SigSet;
use rlimit::Resource;
use serde::{Deserialize, Serialize};

use super::{Landlock, Route, VERB, filter, relay};

/// The exit code where the sandbox itself failed; what it says then begins with [`FAILED`].
pub const BROKEN: u8 = 125;
/// How a failure of the sandbox begins.
pub const FAILED: &str = "sandbox: ";

/// The newest Landlock whose rules are written here; an older kernel enforces those that it knows.
const NEWEST: ABI = ABI::V7;
const MIB: u64 = 1 << 20;
/// The most that a tool may have of each: open files, processes, bytes of one file, of private memory, of addresses.
pub const FILES: u64 = 256;
/// See [`FILES`].
pub const PROCESSES: u64 = 64;
const FILE_SIZE: u64 = 64 * MIB;
/// See [`FILES`].
pub const MEMORY: u64 = 1_024 * MIB;
/// Runtimes reserve addresses that they never use.
const ADDRESSES: u64 = 8 * 1_024 * MIB;
/// Devices that do nothing but what programs expect.
const DEVICES: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];

/// What is enforced.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Policy {
    /// Say what could be enforced, and end.
    pub report: bool,
    /// Whether Landlock must hold.
    pub must: bool,
    /// What may be read and run.
    pub reads: Vec<PathBuf>,
    /// What may be written, too.
    pub writes: Vec<PathBuf>,
    /// Seconds of a processor.
    pub seconds: u64,
    /// Places of the network that are still to be listened for.
    pub routes: Vec<Route>,
    /// Ports that may be connected to.
    pub ports: Vec<u16>,
    /// Whether connections are not restricted, because there is no network of its own.
    pub open_network: bool,
}

/// What could be enforced.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// Landlock.
    pub landlock: Landlock,
    /// The filter of system calls.
    pub filter: bool,
    /// Why something is missing.
    pub missing: Vec<String>,
}

/// Where this process was started to become a tool: does that, and gives the exit code where it could not. Must be asked first of all.
pub fn entered() -> Option<ExitCode> {
    let mut words = std::env::args_os().skip(1);
    if words.next()? != VERB {
        return None;
    }
    let code = match become_tool(words.collect()) {
        Ok(code) => code,
        Err(why) => {
            // Where nobody hears it, the exit code says enough.
            let _ = writeln!(io::stderr(), "{FAILED}{why}");
            BROKEN
        }
    };
    Some(ExitCode::from(code))
}

fn become_tool(words: Vec<OsString>) -> Result<u8, String> {
    let mut words = words.into_iter();
    let text = words.next().and_then(|text| text.into_string().ok()).ok_or("there is no policy")?;
    let policy: Policy = serde_json::from_str(&text).map_err(|err| format!("the policy cannot be read: {err}"))?;
    let argv: Vec<OsString> = words.skip_while(|word| word == "--").collect();
    if !policy.routes.is_empty() {
        return relay::run(&policy, &argv);
    }
    // The relay's own may be blocked.
    SigSet::empty().thread_set_mask().map_err(|err| format!("signals: {err}"))?;
    limit(&policy).map_err(|err| format!("limits of resources: {err}"))?;
    let landlock = restrict(&policy).map_err(|err| format!("Landlock: {err}"));
    let filtered = filter::apply();
    if policy.report {
        return report(&landlock, &filtered);
    }
    if landlock? == Landlock::None && policy.must {
        return Err("Landlock is not enforced".to_owned());
    }
    filtered.map_err(|err| format!("the filter of system calls: {err}"))?;
    let (program, arguments) = argv.split_first().ok_or("there is no program")?;
    let err = Command::new(program).args(arguments).exec();
    let hint = match err.kind() {
        io::ErrorKind::NotFound => " (is the program that its first line names there?)",
        _ => "",
    };
    Err(format!("the tool's program cannot be started: {err}{hint}"))
}

fn report(landlock: &Result<Landlock, String>, filtered: &Result<(), String>) -> Result<u8, String> {
    let mut missing: Vec<String> = landlock.as_ref().err().into_iter().cloned().collect();
    if landlock.as_ref().is_ok_and(|it| *it == Landlock::None) {
        missing.push("Landlock (the kernel has none)".to_owned());
    }
    missing.extend(filtered.as_ref().err().map(|err| format!("the filter of system calls ({err})")));
    let landlock = landlock.clone().unwrap_or(Landlock::None);
    let report = Report { landlock, filter: filtered.is_ok(), missing };
    let text = serde_json::to_string(&report).map_err(|err| err.to_string())?;
    writeln!(io::stdout(), "{text}").map_err(|err| err.to_string())?;
    Ok(0)
}

fn limit(policy: &Policy) -> io::Result<()> {
    for (resource, most) in [
        (Resource::CORE, 0),
        (Resource::CPU, policy.seconds),
        (Resource::FSIZE, FILE_SIZE),
        (Resource::NOFILE, FILES),
        (Resource::NPROC, PROCESSES),
        (Resource::DATA, MEMORY),
        (Resource::AS, ADDRESSES),
    ] {
        // What the machine allows less of stays less.
        let (_, hard) = resource.get()?;
        let most = most.min(hard);
        resource.set(most, most)?;
    }
    Ok(())
}

/// Restricts this process, and what comes of it, to its files and ports.
fn restrict(policy: &Policy) -> Result<Landlock, landlock::RulesetError> {
    let all = AccessFs::from_all(NEWEST);
    let mut rules = Ruleset::default().set_compatibility(CompatLevel::BestEffort).handle_access(all)?;
    if !policy.open_network {
        rules = rules.handle_access(AccessNet::from_all(NEWEST))?;
    }
    let ports = if policy.open_network { &[] } else { policy.ports.as_slice() };
    let ports = ports.iter().map(|port| Ok::<_, landlock::RulesetError>(NetPort::new(*port, AccessNet::ConnectTcp)));
    let status = rules
        .scope(Scope::from_all(NEWEST))?
        .create()?
        .add_rules(path_beneath_rules(&policy.reads, AccessFs::from_read(NEWEST)))?
        .add_rules(path_beneath_rules(DEVICES, AccessFs::ReadFile | AccessFs::WriteFile))?
        .add_rules(path_beneath_rules(&policy.writes, all))?
        .add_rules(ports)?
        .restrict_self()?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => Landlock::Full,
        RulesetStatus::PartiallyEnforced => Landlock::Partial,
        RulesetStatus::NotEnforced => Landlock::None,
    })
}

/// The command that goes on inside, once the relay is there: the same, without its routes.
pub(super) fn next(policy: &Policy, argv: &[OsString]) -> Result<(PathBuf, Vec<OsString>), String> {
    let program = std::env::current_exe().map_err(|err| format!("this program is gone: {err}"))?;
    let policy = Policy { routes: Vec::new(), ..policy.clone() };
    let text = serde_json::to_string(&policy).map_err(|err| err.to_string())?;
    let words = [OsString::from(VERB), text.into(), "--".into()];
    Ok((program, words.into_iter().chain(argv.iter().cloned()).collect()))
}
