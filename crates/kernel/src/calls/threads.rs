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
            libc::SYS_membarrier => Ok(0),
            libc::SYS_personality => Ok(0),
            libc::SYS_prctl => self.prctl(args),
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

    fn prctl(&mut self, args: &Args) -> Result<u64, Errno> {
        let space = self.space_of(args.tid);
        let value = args.at(1);
        match args.int(0) {
            libc::PR_SET_NAME => {
                let mut name = self.mm.read_cstr(space, VirtAddr::new(value), 256)?;
                name.truncate(15);
                if args.tid.0 == self.pid_of(args.tid).0 {
                    self.process_of(args.tid).image.name.clone_from(&name);
                }
                self.task(args.tid).name = name;
                Ok(0)
            }
            libc::PR_GET_NAME => {
                let mut name = self.task(args.tid).name.clone();
                name.resize(16, 0);
                self.mm.write_all(space, VirtAddr::new(value), &name)?;
                Ok(0)
            }
            libc::PR_SET_PDEATHSIG => {
                self.process_of(args.tid).death_signal = value as i32;
                Ok(0)
            }
            libc::PR_GET_PDEATHSIG => {
                let signal = self.process_of(args.tid).death_signal;
                self.mm.write_all(space, VirtAddr::new(value), &signal.to_le_bytes())?;
                Ok(0)
            }
            libc::PR_GET_DUMPABLE => Ok(self.process_of(args.tid).dumpable),
            libc::PR_SET_DUMPABLE if value > 1 => Err(Errno::EINVAL),
            libc::PR_SET_DUMPABLE => {
                self.process_of(args.tid).dumpable = value;
                Ok(0)
            }
            libc::PR_CAPBSET_READ => Ok(u64::from(value <= 40 && host::files::identity()[1] == 0)),
            libc::PR_SET_CHILD_SUBREAPER => {
                self.process_of(args.tid).is_subreaper = value != 0;
                Ok(0)
            }
            libc::PR_GET_KEEPCAPS | libc::PR_GET_SECCOMP | libc::PR_GET_NO_NEW_PRIVS | libc::PR_GET_TIMERSLACK => Ok(0),
            libc::PR_SET_NO_NEW_PRIVS | libc::PR_SET_KEEPCAPS | libc::PR_SET_TIMERSLACK => Ok(0),
            libc::PR_SET_VMA if value == 0 => self.name_areas(args),
            libc::PR_SET_THP_DISABLE | libc::PR_SET_PTRACER => Ok(0),
            libc::PR_GET_THP_DISABLE => Ok(0),
            _ => Err(Errno::EINVAL),
        }
    }
    /// `PR_SET_VMA_ANON_NAME`, the only thing that PR_SET_VMA sets.
    fn name_areas(&mut self, args: &Args) -> Result<u64, Errno> {
        let space = self.space_of(args.tid);
        let name = match args.at(4) {
            0 => None,
            // A name that does not end in time is one that cannot be.
            at => match self.mm.read_cstr(space, VirtAddr::new(at), 80) {
                Err(Errno::ENAMETOOLONG) => return Err(Errno::EINVAL),
                name => Some(name?),
            },
        };
        self.mm.name_areas(space, args.at(2), args.at(3), name.as_deref()).map(|()| 0)
    }
}
