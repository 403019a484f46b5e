//! System calls that a relay has no use for, and who has taken it over would (seccomp): they answer EPERM.
//!
//! A list of what is denied, not of what is allowed: the C library and the runtime take up new calls with every release,
//! and a relay that dies of one on the day of an upgrade loses more than it protects. What counts is denied whole: no
//! other program, no other process, no other namespace, no raw sockets, nothing of the kernel's own.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter,
};

use super::Came;
use crate::config::Config;

pub(super) fn deny(config: &Config) -> Came {
    match apply(config) {
        Ok(count) => Came::InForce(format!("{count} denied")),
        Err(error) => Came::NotInForce(error.to_string()),
    }
}

fn apply(config: &Config) -> Result<usize, Box<dyn std::error::Error>> {
    let architecture = TargetArch::try_from(std::env::consts::ARCH)?;
    let denied = denied(config)?;
    let count = denied.len() + 1;
    // With this answer the C library makes threads by clone(2), whose flags a filter can see.
    let unknown = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    for (rules, errno) in [(unknown, libc::ENOSYS), (denied, libc::EPERM)] {
        let answer = SeccompAction::Errno(errno.cast_unsigned());
        let filter = SeccompFilter::new(rules, SeccompAction::Allow, answer, architecture)?;
        let program: BpfProgram = filter.try_into()?;
        apply_filter(&program)?;
    }
    Ok(count)
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn denied(config: &Config) -> Result<Rules, Box<dyn std::error::Error>> {
    let mut rules: Rules = DENIED.iter().map(|&call| (call, Vec::new())).collect();
    #[cfg(target_arch = "x86_64")]
    rules.extend(
        [
            libc::SYS_fork,
            libc::SYS_vfork,
            libc::SYS_iopl,
            libc::SYS_ioperm,
        ]
        .map(|call| (call, Vec::new())),
    );
    if config.rewritten.is_none() {
        // There is no map to be read.
        rules.insert(libc::SYS_bpf, Vec::new());
    }
    // Threads are made, processes are not.
    let thread = u64::try_from(libc::CLONE_THREAD)?;
    let clone = vec![argument(0, SeccompCmpOp::MaskedEq(thread), 0)?];
    rules.insert(libc::SYS_clone, vec![SeccompRule::new(clone)?]);
    let mut sockets = Vec::new();
    for family in [libc::AF_PACKET, libc::AF_XDP, libc::AF_ALG, libc::AF_VSOCK] {
        let is_family = argument(0, SeccompCmpOp::Eq, family)?;
        sockets.push(SeccompRule::new(vec![is_family])?);
    }
    // Of netlink raw sockets are the usual ones.
    let is_raw = argument(1, SeccompCmpOp::MaskedEq(SOCKET_KIND), libc::SOCK_RAW)?;
    let is_another = argument(0, SeccompCmpOp::Ne, libc::AF_NETLINK)?;
    sockets.push(SeccompRule::new(vec![is_raw, is_another])?);
    rules.insert(libc::SYS_socket, sockets);
    Ok(rules)
}

fn argument(
    number: u8,
    compared: SeccompCmpOp,
    value: i32,
) -> Result<SeccompCondition, Box<dyn std::error::Error>> {
    let value = u64::try_from(value)?;
    Ok(SeccompCondition::new(
        number,
        SeccompCmpArgLen::Dword,
        compared,
        value,
    )?)
}

/// The type of a socket without its flags.
const SOCKET_KIND: u64 = 0xf;
const DENIED: &[i64] = &[
    // Another program.
    libc::SYS_execve,
    libc::SYS_execveat,
    // Another process's memory.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    // Another view of the system.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_setns,
    libc::SYS_unshare,
    // Somebody else.
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setgroups,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
    libc::SYS_mknodat,
    // The machine.
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_syslog,
    // Large parts of the kernel that few programs enter, and many exploits.
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_personality,
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    libc::SYS_lookup_dcookie,
    libc::SYS_vhangup,
];
