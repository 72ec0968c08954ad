//! The two ways into the kernel: `syscall`, and `int 0x80` with the numbers and registers of 32-bit Linux.
//!
//! The old way is open to 64-bit programs, too, and many lessons in assembly take it. Its calls are told by those of
//! x86-64 that do the same with the same structures; the others, which know 32-bit structures or addresses that are cut, are
//! missing.

use addr::{Gpr, Registers};

/// How a program made a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Gate {
    /// By `syscall`.
    Syscall,
    /// By `int 0x80`.
    Interrupt,
}

/// A call of 32-bit Linux.
struct Old {
    nr: u32,
    /// The same of x86-64.
    stands_for: i64,
    /// How many arguments it has. The others of the new one are zero.
    arguments: usize,
}

const fn old(nr: u32, stands_for: i64, arguments: usize) -> Old {
    Old { nr, stands_for, arguments }
}

/// By number (arch/x86/entry/syscalls/syscall_32.tbl).
#[rustfmt::skip]
const OLD: &[Old] = &[
    old(1, libc::SYS_exit, 1),
    old(2, libc::SYS_fork, 0),
    old(3, libc::SYS_read, 3),
    old(4, libc::SYS_write, 3),
    old(5, libc::SYS_open, 3),
    old(6, libc::SYS_close, 1),
    old(7, libc::SYS_wait4, 3),
    old(8, libc::SYS_creat, 2),
    old(9, libc::SYS_link, 2),
    old(10, libc::SYS_unlink, 1),
    old(12, libc::SYS_chdir, 1),
    old(14, libc::SYS_mknod, 3),
    old(15, libc::SYS_chmod, 2),
    old(19, libc::SYS_lseek, 3),
    old(20, libc::SYS_getpid, 0),
    old(27, libc::SYS_alarm, 1),
    old(29, libc::SYS_pause, 0),
    old(33, libc::SYS_access, 2),
    old(36, libc::SYS_sync, 0),
    old(37, libc::SYS_kill, 2),
    old(38, libc::SYS_rename, 2),
    old(39, libc::SYS_mkdir, 2),
    old(40, libc::SYS_rmdir, 1),
    old(41, libc::SYS_dup, 1),
    old(42, libc::SYS_pipe, 1),
    old(45, libc::SYS_brk, 1),
    old(54, libc::SYS_ioctl, 3),
    old(57, libc::SYS_setpgid, 2),
    old(60, libc::SYS_umask, 1),
    old(63, libc::SYS_dup2, 2),
    old(64, libc::SYS_getppid, 0),
    old(65, libc::SYS_getpgrp, 0),
    old(66, libc::SYS_setsid, 0),
    old(83, libc::SYS_symlink, 2),
    old(85, libc::SYS_readlink, 3),
    old(91, libc::SYS_munmap, 2),
    old(92, libc::SYS_truncate, 2),
    old(93, libc::SYS_ftruncate, 2),
    old(94, libc::SYS_fchmod, 2),
    old(118, libc::SYS_fsync, 1),
    old(122, libc::SYS_uname, 1),
    old(125, libc::SYS_mprotect, 3),
    old(132, libc::SYS_getpgid, 1),
    old(133, libc::SYS_fchdir, 1),
    old(147, libc::SYS_getsid, 1),
    old(148, libc::SYS_fdatasync, 1),
    old(158, libc::SYS_sched_yield, 0),
    old(168, libc::SYS_poll, 3),
    old(183, libc::SYS_getcwd, 2),
    old(199, libc::SYS_getuid, 0),
    old(200, libc::SYS_getgid, 0),
    old(201, libc::SYS_geteuid, 0),
    old(202, libc::SYS_getegid, 0),
    old(224, libc::SYS_gettid, 0),
    old(252, libc::SYS_exit_group, 1),
    old(295, libc::SYS_openat, 4),
    old(296, libc::SYS_mkdirat, 3),
    old(301, libc::SYS_unlinkat, 3),
    old(302, libc::SYS_renameat, 4),
    old(331, libc::SYS_pipe2, 2),
    old(355, libc::SYS_getrandom, 3),
    old(403, libc::SYS_clock_gettime, 2),
    old(407, libc::SYS_clock_nanosleep, 4),
];

/// restart_syscall has a number of its own.
const OLD_RESTART: u64 = 0;

impl Gate {
    /// The number of the call that registers ask for, and its arguments; `None` if it is missing.
    pub fn asked(self, registers: &Registers) -> Option<(u64, [u64; 6])> {
        let nr = registers.get(Gpr::Rax);
        if self == Self::Syscall {
            let words = [Gpr::Rdi, Gpr::Rsi, Gpr::Rdx, Gpr::R10, Gpr::R8, Gpr::R9];
            return Some((nr, words.map(|register| registers.get(register))));
        }
        let registers =
            [Gpr::Rbx, Gpr::Rcx, Gpr::Rdx, Gpr::Rsi, Gpr::Rdi, Gpr::Rbp].map(|register| registers.get(register));
        let mut words = registers.map(|word| u64::from(word as u32));
        if nr as u32 == OLD_RESTART as u32 {
            return Some((libc::SYS_restart_syscall as u64, words));
        }
        let old = OLD.iter().find(|old| old.nr == nr as u32)?;
        words[old.arguments..].fill(0);
        // The only arguments that are longs and can be negative: distances in files, and lengths of them.
        if matches!(old.stands_for, libc::SYS_lseek | libc::SYS_truncate | libc::SYS_ftruncate) {
            words[1] = words[1] as i32 as u64;
        }
        Some((old.stands_for as u64, words))
    }

    /// What restart_syscall is called by.
    pub(crate) fn restart(self) -> u64 {
        match self {
            Self::Syscall => libc::SYS_restart_syscall as u64,
            Self::Interrupt => OLD_RESTART,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table;
    use addr::VirtAddr;

    fn registers(rax: u64) -> Registers {
        let mut registers = Registers::at_entry(VirtAddr::new(0), VirtAddr::new(0));
        for (number, register) in [Gpr::Rbx, Gpr::Rcx, Gpr::Rdx, Gpr::Rsi, Gpr::Rdi, Gpr::Rbp].into_iter().enumerate() {
            registers.set(register, u64::MAX - number as u64);
        }
        registers.set(Gpr::Rax, rax);
        registers
    }

    #[test]
    fn old_calls_are_in_order_and_exist() {
        assert!(OLD.is_sorted_by(|one, next| one.nr < next.nr));
        assert!(
            OLD.iter().all(|old| table::find(old.stands_for as u64).is_some_and(|row| row.args.len() >= old.arguments))
        );
    }

    #[test]
    fn upper_halves_do_not_count() {
        let asked = |rax: u64| Gate::Interrupt.asked(&registers(rax));
        assert_eq!(asked(7), Some((libc::SYS_wait4 as u64, [0xffff_ffff, 0xffff_fffe, 0xffff_fffd, 0, 0, 0])));
        assert_eq!(asked(u64::MAX << 32 | 7), asked(7));
        assert_eq!(asked(19).map(|(_, words)| words[1]), Some(u64::MAX - 1), "a distance is signed");
        assert_eq!(asked(0).map(|(nr, _)| nr), Some(libc::SYS_restart_syscall as u64));
        assert_eq!(asked(11), None);
    }
}
