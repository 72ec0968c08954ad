//! clone3(2): clone with its arguments in a structure.

use super::clone::{CLEAR_SIGHAND, Clone};
use super::{Args, Flow};
use crate::Errno;
use crate::kernel::Kernel;
use addr::Registers;

/// The first version of struct clone_args.
const FIRST_BYTES: u64 = 64;
/// The largest that may be passed: a page.
const MAX_BYTES: u64 = 4096;
/// What is known of it: eleven words.
const KNOWN_BYTES: usize = 88;
/// Not to be among the flags; the highest bit of what was clone's signal is a namespace here.
const CSIGNAL: u64 = 0x7f;
const NEWTIME: u64 = 0x80;
/// One number for each level of PID namespaces.
const MOST_TIDS: u64 = 32;
const LAST_SIGNAL: u64 = 64;
/// `CLONE_INTO_CGROUP`, since control groups are the host's, and what only clone ignores.
const REFUSED: u64 = libc::CLONE_DETACHED as u64 | 1 << 33;
const THREAD_OR_PARENT: u64 = libc::CLONE_THREAD as u64 | libc::CLONE_PARENT as u64;
const SIGHAND: u64 = libc::CLONE_SIGHAND as u64;
const FLAGS_END: u64 = 1 << 34;

impl Kernel {
    pub(super) fn clone3(&mut self, args: &Args, registers: &Registers) -> Result<Flow, Errno> {
        let (at, bytes) = (args.at(0), args.at(1));
        match bytes {
            ..FIRST_BYTES => return Err(Errno::EINVAL),
            _ if bytes > MAX_BYTES => return Err(Errno::E2BIG),
            _ => {}
        }
        let space = self.space_of(args.tid);
        let mut structure = self.bytes_in(space, at, bytes as usize)?;
        if structure.iter().skip(KNOWN_BYTES).any(|byte| *byte != 0) {
            return Err(Errno::E2BIG);
        }
        structure.resize(KNOWN_BYTES, 0);
        let mut words = structure.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().expect("eight bytes")));
        let mut next = || words.next().expect("eleven words");
        let [flags, pid_file, child_tid, parent_tid, exit_signal, stack] = std::array::from_fn(|_| next());
        let [stack_bytes, tls, set_tids, set_tid_count, _] = std::array::from_fn(|_| next());
        if set_tid_count > MOST_TIDS || (set_tids == 0) != (set_tid_count == 0) {
            return Err(Errno::EINVAL);
        }
        if set_tids != 0 {
            return Err(Errno::EPERM);
        }
        let has_signal = exit_signal != 0;
        let is_wrong = flags & (CSIGNAL | REFUSED) != 0
            || flags >= FLAGS_END
            || exit_signal > LAST_SIGNAL
            || flags & THREAD_OR_PARENT != 0 && has_signal
            || flags & SIGHAND != 0 && flags & CLEAR_SIGHAND != 0
            || (stack == 0) != (stack_bytes == 0);
        if is_wrong {
            return Err(Errno::EINVAL);
        }
        if flags & NEWTIME != 0 {
            return Err(Errno::EPERM);
        }
        let stack = stack.checked_add(stack_bytes).ok_or(Errno::EINVAL)?;
        let clone = Clone { flags: flags | exit_signal, stack, parent_tid, child_tid, tls, pid_file };
        self.clone_task(args.tid, registers, &clone)
    }
}
