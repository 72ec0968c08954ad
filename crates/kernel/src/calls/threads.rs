//! Threads: their futexes, names, and per-thread state.

use super::{Args, Flow, answered};
use crate::Errno;
use crate::kernel::Kernel;
use crate::task::Tid;
use addr::{Registers, VirtAddr};

const ARCH_SET_GS: u64 = 0x1001;
const ARCH_SET_FS: u64 = 0x1002;
const ARCH_GET_FS: u64 = 0x1003;
const ARCH_GET_GS: u64 = 0x1004;
/// The end of the addresses that a segment base may have.
const BASE_END: u64 = 0x7fff_ffff_f000;
/// Bytes of a robust list's head.
const ROBUST_BYTES: u64 = 24;

impl Kernel {
    pub(super) fn thread_call(&mut self, args: &Args) -> Option<Result<Flow, Errno>> {
        answered(match args.nr as i64 {
            libc::SYS_futex => return Some(self.futex(args)),
            libc::SYS_futex_waitv => return Some(self.futex_waitv(args)),
            libc::SYS_set_tid_address => {
                self.task(args.tid).clear_tid = args.at(0);
                Ok(args.tid.0.into())
            }
            libc::SYS_set_robust_list if args.at(1) != ROBUST_BYTES => Err(Errno::EINVAL),
            libc::SYS_set_robust_list => {
                self.task(args.tid).robust_list = args.at(0);
                Ok(0)
            }
            libc::SYS_get_robust_list => self.get_robust_list(args),
            libc::SYS_membarrier => self.membarrier(args),
            libc::SYS_personality => Ok(0),
            libc::SYS_prctl => return Some(self.prctl(args)),
            _ => return None,
        })
    }

    /// FS and GS bases are the task's registers.
    pub(super) fn arch_prctl(&mut self, args: &Args, registers: &mut Registers) -> Result<Flow, Errno> {
        let (code, value) = (args.at(0), args.at(1));
        let space = self.space_of(args.tid);
        match code {
            ARCH_SET_FS | ARCH_SET_GS if value >= BASE_END => return Err(Errno::EPERM),
            ARCH_SET_FS => registers.fs_base = value,
            ARCH_SET_GS => registers.gs_base = value,
            ARCH_GET_FS => self.mm.write_all(space, VirtAddr::new(value), &registers.fs_base.to_le_bytes())?,
            ARCH_GET_GS => self.mm.write_all(space, VirtAddr::new(value), &registers.gs_base.to_le_bytes())?,
            _ => return Err(Errno::EINVAL),
        }
        Ok(Flow::Answer(0))
    }

    fn get_robust_list(&mut self, args: &Args) -> Result<u64, Errno> {
        let space = self.space_of(args.tid);
        let head = match args.at(0) as u32 {
            0 => self.task(args.tid).robust_list,
            tid => self.tasks.get(&Tid(tid)).ok_or(Errno::ESRCH)?.robust_list,
        };
        self.mm.write_all(space, VirtAddr::new(args.at(1)), &head.to_le_bytes())?;
        self.mm.write_all(space, VirtAddr::new(args.at(2)), &ROBUST_BYTES.to_le_bytes())?;
        Ok(0)
    }
}
