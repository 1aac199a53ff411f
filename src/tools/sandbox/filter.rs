//! The filter of system calls (seccomp): what no tool needs, and what holes in kernels were found behind.
//!
//! Owns the list. What is on it is refused as not permitted, so that a program that only tries goes on; `clone3` as unknown, so that the C
//! library takes `clone`, whose flags can be looked at. Must never allow a call by its other name: on x86-64 every number has a twin.

use std::collections::BTreeMap;

use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, apply_filter,
};

/// Calls that are refused, whatever their arguments.
const REFUSED: &[libc::c_long] = &[
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    libc::SYS_perf_event_open,
    // Another world.
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    // The kernel's own.
    libc::SYS_bpf,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_kexec_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    // The machine.
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_syslog,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_lookup_dcookie,
];

/// Kinds of sockets that are allowed.
const SOCKETS: [libc::c_int; 3] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6];
/// What makes a new namespace, among the flags of `clone`.
const NAMESPACES: [libc::c_int; 7] = [
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWCGROUP,
];
/// Puts characters into a terminal's input, as if they were typed: `TIOCSTI`, `TIOCLINUX`.
const TYPES_FOR_YOU: [u64; 2] = [0x5412, 0x541c];
/// The twin of a number on x86-64 (its 32-bit variant), and where that one has numbers of its own (`ptrace`).
#[cfg(target_arch = "x86_64")]
const TWIN: i64 = 0x4000_0000;
#[cfg(target_arch = "x86_64")]
const TWINS_OWN: [i64; 2] = [TWIN + 521, TWIN + 539];

/// Filters the calls of this process and all that comes of it, for good.
///
/// # Errors
/// Where this kernel or this machine has no such filter.
pub(super) fn apply() -> Result<(), String> {
    for program in programs()? {
        apply_filter(&program).map_err(|err| err.to_string())?;
    }
    Ok(())
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

#[expect(clippy::useless_conversion, reason = "the numbers' types differ between systems")]
fn programs() -> Result<[BpfProgram; 2], String> {
    let mut refused: Rules = REFUSED.iter().map(|call| (i64::from(*call), Vec::new())).collect();
    refused.insert(libc::SYS_socket.into(), vec![rule(other_sockets()?)?]);
    let typing = TYPES_FOR_YOU.iter().map(|request| rule(vec![is(1, SeccompCmpOp::Eq, *request)?]));
    refused.insert(libc::SYS_ioctl.into(), typing.collect::<Result<_, _>>()?);
    let flags = NAMESPACES.iter().map(|flag| u64::try_from(*flag).map_err(|err| err.to_string()));
    let spaces = flags.map(|flag| flag.and_then(|flag| rule(vec![is(0, SeccompCmpOp::MaskedEq(flag), flag)?])));
    refused.insert(libc::SYS_clone.into(), spaces.collect::<Result<_, _>>()?);
    let unknown: Rules = [(i64::from(libc::SYS_clone3), Vec::new())].into();
    Ok([program(refused, libc::EPERM)?, program(unknown, libc::ENOSYS)?])
}

/// Neither of the allowed kinds.
fn other_sockets() -> Result<Vec<SeccompCondition>, String> {
    SOCKETS.iter().map(|kind| is(0, SeccompCmpOp::Ne, u64::try_from(*kind).map_err(|err| err.to_string())?)).collect()
}

fn is(argument: u8, op: SeccompCmpOp, value: u64) -> Result<SeccompCondition, String> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, op, value).map_err(|err| err.to_string())
}

fn rule(conditions: Vec<SeccompCondition>) -> Result<SeccompRule, String> {
    SeccompRule::new(conditions).map_err(|err| err.to_string())
}

fn program(mut rules: Rules, errno: libc::c_int) -> Result<BpfProgram, String> {
    #[cfg(target_arch = "x86_64")]
    {
        let twins: Vec<_> = rules.iter().map(|(call, rules)| (call | TWIN, rules.clone())).collect();
        rules.extend(twins);
        rules.extend(TWINS_OWN.map(|call| (call, Vec::new())));
    }
    let errno = u32::try_from(errno).map_err(|err| err.to_string())?;
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(|err| err.to_string())?;
    SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(errno), arch)
        .and_then(BpfProgram::try_from)
        .map_err(|err| err.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_compiles_and_has_every_call_and_its_twin() {
        let [refused, unknown] = programs().unwrap();
        assert!(refused.len() > REFUSED.len() && !unknown.is_empty());
        assert!(refused.len() < 4_096, "the kernel takes no longer ones: {}", refused.len());
    }
}
