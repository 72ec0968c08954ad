//! prctl(2): what a process says of itself.

use super::{Args, Flow};
use crate::Errno;
use crate::kernel::Kernel;
use crate::outcome::Then;
use addr::VirtAddr;
use host::call::Call;

const PR_GET_TID_ADDRESS: i32 = 40;
const PR_TIMING_STATISTICAL: u64 = 0;
/// What the host does for the calling thread alone: a guest thread's credentials are those of its host thread, and so
/// is what happens to it when memory breaks. A thread that is made inherits both.
const OF_THE_HOST_THREAD: [i32; 9] = [
    libc::PR_CAPBSET_READ,
    libc::PR_CAPBSET_DROP,
    libc::PR_CAP_AMBIENT,
    libc::PR_GET_SECUREBITS,
    libc::PR_SET_SECUREBITS,
    libc::PR_GET_KEEPCAPS,
    libc::PR_SET_KEEPCAPS,
    libc::PR_MCE_KILL,
    libc::PR_MCE_KILL_GET,
];
const USUAL_SLACK_NS: u64 = 50_000;

/// What a process has said of itself that nothing here depends on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Wishes {
    has_no_new_privileges: bool,
    has_no_huge_pages: bool,
    slack_ns: u64,
}

impl Default for Wishes {
    fn default() -> Self {
        Self { has_no_new_privileges: false, has_no_huge_pages: false, slack_ns: USUAL_SLACK_NS }
    }
}

impl Kernel {
    pub(super) fn prctl(&mut self, args: &Args) -> Result<Flow, Errno> {
        if OF_THE_HOST_THREAD.contains(&args.int(0)) {
            return Ok(Flow::host(Call::plain(args.nr, args.words), Then::Answer(Vec::new())));
        }
        self.own_prctl(args).map(Flow::Answer)
    }

    fn own_prctl(&mut self, args: &Args) -> Result<u64, Errno> {
        let value = args.at(1);
        match args.int(0) {
            libc::PR_SET_NAME => self.set_name(args),
            libc::PR_GET_NAME => {
                let mut name = self.task(args.tid).name.clone();
                name.resize(16, 0);
                self.tell(args, &name)
            }
            libc::PR_SET_PDEATHSIG if value > 64 => Err(Errno::EINVAL),
            libc::PR_SET_PDEATHSIG => {
                self.process_of(args.tid).death_signal = value as i32;
                Ok(0)
            }
            libc::PR_GET_PDEATHSIG => {
                let signal = self.process_of(args.tid).death_signal;
                self.tell(args, &signal.to_le_bytes())
            }
            libc::PR_GET_DUMPABLE => Ok(self.process_of(args.tid).dumpable),
            libc::PR_SET_DUMPABLE if value > 1 => Err(Errno::EINVAL),
            libc::PR_SET_DUMPABLE => {
                self.process_of(args.tid).dumpable = value;
                Ok(0)
            }
            libc::PR_SET_CHILD_SUBREAPER => {
                self.process_of(args.tid).is_subreaper = value != 0;
                Ok(0)
            }
            libc::PR_GET_CHILD_SUBREAPER => {
                let is_subreaper = i32::from(self.process_of(args.tid).is_subreaper);
                self.tell(args, &is_subreaper.to_le_bytes())
            }
            // Filters would filter pagewalk; nobody has any.
            libc::PR_GET_SECCOMP => Ok(0),
            libc::PR_GET_TSC => self.tell(args, &libc::PR_TSC_ENABLE.to_le_bytes()),
            // Reading it cannot be forbidden: pagewalk's own clocks do.
            libc::PR_SET_TSC if value == libc::PR_TSC_ENABLE as u64 => Ok(0),
            libc::PR_GET_TIMING => Ok(PR_TIMING_STATISTICAL),
            libc::PR_SET_TIMING if value == PR_TIMING_STATISTICAL => Ok(0),
            // Nothing of a guest is counted by the host.
            libc::PR_TASK_PERF_EVENTS_DISABLE | libc::PR_TASK_PERF_EVENTS_ENABLE => Ok(0),
            PR_GET_TID_ADDRESS => {
                let at = self.task(args.tid).clear_tid;
                self.tell(args, &at.to_le_bytes())
            }
            libc::PR_SET_VMA if value == 0 => self.name_areas(args),
            libc::PR_SET_PTRACER => Ok(0),
            _ => self.wish(args),
        }
    }

    fn wish(&mut self, args: &Args) -> Result<u64, Errno> {
        let value = args.at(1);
        let wishes = &mut self.process_of(args.tid).wishes;
        match args.int(0) {
            libc::PR_SET_NO_NEW_PRIVS if value != 1 => return Err(Errno::EINVAL),
            libc::PR_SET_NO_NEW_PRIVS => wishes.has_no_new_privileges = true,
            libc::PR_GET_NO_NEW_PRIVS => return Ok(wishes.has_no_new_privileges.into()),
            libc::PR_SET_TIMERSLACK => wishes.slack_ns = if value == 0 { USUAL_SLACK_NS } else { value },
            libc::PR_GET_TIMERSLACK => return Ok(wishes.slack_ns),
            libc::PR_SET_THP_DISABLE => wishes.has_no_huge_pages = value != 0,
            libc::PR_GET_THP_DISABLE => return Ok(wishes.has_no_huge_pages.into()),
            _ => return Err(Errno::EINVAL),
        }
        Ok(0)
    }

    fn set_name(&mut self, args: &Args) -> Result<u64, Errno> {
        let space = self.space_of(args.tid);
        let mut name = self.mm.read_cstr(space, VirtAddr::new(args.at(1)), 256)?;
        name.truncate(15);
        if args.tid.0 == self.pid_of(args.tid).0 {
            self.process_of(args.tid).image.name.clone_from(&name);
        }
        self.task(args.tid).name = name;
        Ok(0)
    }

    fn tell(&mut self, args: &Args, bytes: &[u8]) -> Result<u64, Errno> {
        let space = self.space_of(args.tid);
        self.mm.write_all(space, VirtAddr::new(args.at(1)), bytes).map(|()| 0)
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
