//! The requests of ioctl that are about a terminal and who has it.

use super::ioctl::no_such_request;
use super::{Args, Flow};
use crate::Errno;
use crate::kernel::Kernel;
use crate::task::Pid;
use crate::terminal::Use;
use addr::VirtAddr;
use host::tty::End;

const TCSETS: u32 = 0x5402;
const TCSETSF: u32 = 0x5404;
const TCSETA: u32 = 0x5406;
const TCSETAF: u32 = 0x5408;
const TCSBRK: u32 = 0x5409;
const TCFLSH: u32 = 0x540b;
const TIOCSCTTY: u32 = 0x540e;
const TIOCGPGRP: u32 = 0x540f;
const TIOCSPGRP: u32 = 0x5410;
const TIOCSWINSZ: u32 = 0x5414;
const TIOCNOTTY: u32 = 0x5422;
const TIOCGSID: u32 = 0x5429;
const TIOCSIG: u32 = 0x4004_5436;
const TCSETS2: u32 = 0x402c_542b;
const TCSETSF2: u32 = 0x402c_542d;
const LAST_SIGNAL: u32 = 64;

impl Kernel {
    /// What /dev/tty leads to: the terminal of the caller's session.
    pub(super) fn controlling_terminal(&mut self, args: &Args) -> Result<Vec<u8>, Errno> {
        let session = self.process_of_ref(args.tid).session;
        let path = self.terminals.of_session(session).map(|(device, _)| match self.terminals.is_own(device) {
            true => None,
            false => host::tty::path_of(device),
        });
        match path {
            Some(Some(path)) => Ok(path.into_bytes()),
            None if self.open_flags(args)?.is_some() => Err(Errno::ENXIO),
            None | Some(None) => Ok(b"/dev/tty".to_vec()),
        }
    }

    /// Whether a call opens a file that the caller may get as its terminal.
    pub(super) fn may_take_terminal(&mut self, args: &Args) -> Result<bool, Errno> {
        let process = self.process_of_ref(args.tid);
        let leads = process.pid.get() == process.session;
        Ok(leads && self.open_flags(args)?.is_some_and(|flags| flags & libc::O_NOCTTY == 0))
    }

    /// A request that concerns job control; `None` for those that are only the host's.
    pub(super) fn terminal_ioctl(&mut self, args: &Args) -> Option<Result<Flow, Errno>> {
        let request = args.at(1) as u32;
        let changes =
            matches!(request, TCSETS..=TCSETSF | TCSETA..=TCSETAF | TCSBRK..=TCFLSH | TCSETS2..=TCSETSF2 | TIOCSPGRP);
        let is_ours =
            matches!(request, TIOCGPGRP | TIOCSPGRP | TIOCGSID | TIOCSCTTY | TIOCNOTTY | TIOCSWINSZ | TIOCSIG);
        if !changes && !is_ours {
            return None;
        }
        let Some((device, end)) = host::tty::of_descriptor(args.int(0)) else {
            return Some(Err(no_such_request(args.int(0))));
        };
        if changes
            && end == End::Slave
            && let Err(errno) = self.check_use(args.tid, args.int(0), device, Use::Change)
        {
            return Some(Err(errno));
        }
        is_ours.then(|| self.job_control(args, request, device, end).map(Flow::Answer))
    }

    fn job_control(&mut self, args: &Args, request: u32, device: u64, end: End) -> Result<u64, Errno> {
        let space = self.space_of(args.tid);
        let at = VirtAddr::new(args.at(2));
        let pid = self.pid_of(args.tid);
        let session = self.processes[&pid].session;
        let controls_caller = self.terminals.of_session(session).is_some_and(|(own, _)| own == device);
        match request {
            TIOCSCTTY => self.take_terminal(args.tid, device, args.at(2) == 1)?,
            TIOCNOTTY if !controls_caller => return Err(Errno::ENOTTY),
            TIOCNOTTY => self.leave_terminal(pid),
            TIOCSWINSZ => {
                let size = self.mm.read_array::<8>(space, at)?;
                let is_new = host::tty::set_size(args.int(0), size);
                if is_new.map_err(|error| Errno::of_host(&error))? {
                    self.send_to_foreground(device, libc::SIGWINCH);
                }
            }
            TIOCSIG if end == End::Slave => return Err(Errno::ENOTTY),
            TIOCSIG if args.at(2) as u32 > LAST_SIGNAL || args.at(2) as u32 == 0 => return Err(Errno::EINVAL),
            TIOCSIG => self.send_to_foreground(device, args.int(2)),
            _ if end == End::Slave && !controls_caller => return Err(Errno::ENOTTY),
            TIOCSPGRP if !controls_caller => return Err(Errno::ENOTTY),
            TIOCSPGRP => {
                let group = self.mm.read_u32(space, at)?;
                self.set_foreground(device, session, group)?;
            }
            _ => {
                let terminal = self.terminals.at(device).copied();
                let number = match request {
                    TIOCGPGRP => terminal.map_or(0, |terminal| terminal.foreground),
                    _ => terminal.map(|terminal| terminal.session).ok_or(Errno::ENOTTY)?,
                };
                self.mm.write_all(space, at, &number.to_le_bytes())?;
            }
        }
        Ok(0)
    }

    fn set_foreground(&mut self, device: u64, session: u32, group: u32) -> Result<(), Errno> {
        if group as i32 <= 0 {
            return Err(Errno::EINVAL);
        }
        let members: Vec<Pid> =
            self.processes.values().filter(|process| process.group == group).map(|process| process.pid).collect();
        match members.first() {
            None => return Err(Errno::ESRCH),
            Some(pid) if self.processes[pid].session != session => return Err(Errno::EPERM),
            Some(_) => {}
        }
        if let Some(terminal) = self.terminals.at(device) {
            terminal.foreground = group;
        }
        Ok(())
    }

    fn send_to_foreground(&mut self, device: u64, signal: i32) {
        if let Some(terminal) = self.terminals.at(device).copied() {
            self.send_to_group(terminal.foreground, signal);
        }
    }
}
