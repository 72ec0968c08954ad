//! capget and capset. A guest thread's capabilities are those of its host thread; of processes of the host nothing is
//! told.

use super::{Args, Flow, answered};
use crate::Errno;
use crate::kernel::Kernel;
use crate::task::Tid;
use addr::VirtAddr;
use host::capabilities::{self, BYTES};

/// `_LINUX_CAPABILITY_VERSION_1`, whose sets have 32 bits, and the second, which is laid out as the third.
const NARROW_VERSION: u32 = 0x1998_0330;
const SECOND_VERSION: u32 = 0x2007_1026;

/// What both calls are told first.
struct Header {
    /// How many bytes the sets have in the version that the program speaks.
    set_bytes: usize,
    thread: i32,
}

impl Kernel {
    pub(super) fn capability_call(&mut self, args: &Args) -> Option<Result<Flow, Errno>> {
        answered(match args.nr as i64 {
            libc::SYS_capget => self.capget(args),
            libc::SYS_capset => self.capset(args),
            _ => return None,
        })
    }

    fn capget(&mut self, args: &Args) -> Result<u64, Errno> {
        let header = match self.capability_header(args) {
            // Who gives no place for the sets asks for the version.
            Ok(_) | Err(Errno::EINVAL) if args.at(1) == 0 => return Ok(0),
            header => header?,
        };
        let tid = match header.thread {
            0 => args.tid,
            ..0 => return Err(Errno::EINVAL),
            tid => Tid(tid as u32),
        };
        let host_tid = if tid == args.tid { 0 } else { self.tasks.get(&tid).ok_or(Errno::ESRCH)?.host_tid };
        let sets = capabilities::of_thread(host_tid).map_err(|_| Errno::ESRCH)?;
        let space = self.space_of(args.tid);
        self.mm.write_all(space, VirtAddr::new(args.at(1)), &sets[..header.set_bytes])?;
        Ok(0)
    }

    /// A program sets its own capabilities only.
    fn capset(&mut self, args: &Args) -> Result<u64, Errno> {
        let header = self.capability_header(args)?;
        if header.thread != 0 && header.thread != args.tid.0 as i32 {
            return Err(Errno::EPERM);
        }
        let space = self.space_of(args.tid);
        let given = self.bytes_in(space, args.at(1), header.set_bytes)?;
        let mut sets = [0; BYTES];
        sets[..given.len()].copy_from_slice(&given);
        capabilities::set(&sets).map_err(|error| Errno::of_host(&error))?;
        Ok(0)
    }

    /// A version that nobody knows is replaced in the program's memory by the one that it should speak.
    fn capability_header(&mut self, args: &Args) -> Result<Header, Errno> {
        let space = self.space_of(args.tid);
        let at = VirtAddr::new(args.at(0));
        let [a, b, c, d, e, f, g, h] = self.mm.read_array::<8>(space, at)?;
        let set_bytes = match u32::from_le_bytes([a, b, c, d]) {
            NARROW_VERSION => BYTES / 2,
            SECOND_VERSION | capabilities::VERSION => BYTES,
            _ => {
                self.mm.write_all(space, at, &capabilities::VERSION.to_le_bytes())?;
                return Err(Errno::EINVAL);
            }
        };
        Ok(Header { set_bytes, thread: i32::from_le_bytes([e, f, g, h]) })
    }
}
