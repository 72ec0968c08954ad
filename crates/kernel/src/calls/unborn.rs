//! A task that was made and that the host has no thread for.

use crate::Errno;
use crate::kernel::Kernel;
use crate::task::Tid;
use addr::{Gpr, Registers};

impl Kernel {
    /// Undoes the making of a task that has not begun: the call that made it answers `EAGAIN`, as Linux does when it can
    /// make no more.
    pub fn undo_spawn(&mut self, maker: Tid, child: Tid, registers: &mut Registers) {
        let pid = self.pid_of(child);
        let process = self.process_of(child);
        process.tasks.retain(|other| *other != child);
        if process.tasks.is_empty() {
            let space = process.space;
            self.processes.remove(&pid);
            if let Some(space) = space {
                self.mm.release_space(space);
            }
        }
        self.tasks.remove(&child);
        self.task(maker).waiting = None;
        registers.set(Gpr::Rax, Errno::EAGAIN.as_result());
    }
}
