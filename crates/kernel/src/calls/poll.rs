//! Calls that wait for descriptors, some with a signal mask for the meantime.

use super::{Args, ERESTARTNOHAND, Flow};
use crate::Errno;
use crate::kernel::Kernel;
use crate::mm::SpaceId;
use crate::outcome::{CopyLength, CopyOut, Then};
use crate::signal::SigSet;
use addr::VirtAddr;
use host::call::{Arg, Call};

/// Descriptors that select can name.
const MAX_SELECT: u64 = 1 << 16;

impl Kernel {
    pub(super) fn poll_call(&mut self, args: &Args) -> Option<Result<Flow, Errno>> {
        Some(match args.nr as i64 {
            libc::SYS_ppoll => self.ppoll(args),
            libc::SYS_select | libc::SYS_pselect6 => self.select(args),
            libc::SYS_epoll_pwait => self.epoll_pwait(args),
            _ => return None,
        })
    }

    fn ppoll(&mut self, args: &Args) -> Result<Flow, Errno> {
        let space = self.space_of(args.tid);
        let mut build = Building::new(args.nr, [args.at(0), args.at(1), args.at(2), 0, 8, 0]);
        if args.at(1) > MAX_SELECT {
            return Err(Errno::EINVAL);
        }
        self.in_out(space, &mut build, 0, args.at(0), args.at(1) as usize * 8)?;
        self.in_out(space, &mut build, 2, args.at(2), 16)?;
        let mask = self.mask_at(space, args.at(3))?;
        self.with_mask(args, build, mask)
    }

    fn select(&mut self, args: &Args) -> Result<Flow, Errno> {
        let space = self.space_of(args.tid);
        let is_pselect = args.nr as i64 == libc::SYS_pselect6;
        let mut words = args.words;
        words[5] = 0;
        let mut build = Building::new(args.nr, words);
        if args.at(0) > MAX_SELECT {
            return Err(Errno::EINVAL);
        }
        let set_bytes = args.at(0).div_ceil(64) as usize * 8;
        for index in 1..4 {
            self.in_out(space, &mut build, index, args.at(index), set_bytes)?;
        }
        self.in_out(space, &mut build, 4, args.at(4), 16)?;
        let mask = match args.at(5) {
            0 => None,
            _ if !is_pselect => None,
            both => {
                let mask_at = self.mm.read_u64(space, VirtAddr::new(both))?;
                self.mask_at(space, mask_at)?
            }
        };
        self.with_mask(args, build, mask)
    }

    fn epoll_pwait(&mut self, args: &Args) -> Result<Flow, Errno> {
        let space = self.space_of(args.tid);
        let count = args.int(2);
        if !(1..=1 << 16).contains(&count) {
            return Err(Errno::EINVAL);
        }
        let mut build = Building::new(args.nr, [args.at(0), 0, args.at(2), args.at(3), 0, 8]);
        build.copies.push(CopyOut { buffer: 0, to: args.at(1), length: CopyLength::Elements(12) });
        build.call.args[1] = build.call.buffer(vec![0; count as usize * 12]);
        let mask = self.mask_at(space, args.at(4))?;
        self.with_mask(args, build, mask)
    }

    fn with_mask(&mut self, args: &Args, build: Building, mask: Option<SigSet>) -> Result<Flow, Errno> {
        let Building { call, copies } = build;
        let Some(mask) = mask else { return Ok(Flow::Host(call, Then::Answer(copies))) };
        let task = self.task(args.tid);
        let old = std::mem::replace(&mut task.blocked, mask.without(SigSet::UNBLOCKABLE));
        task.saved_mask = Some(old);
        if self.has_deliverable(args.tid) {
            return Err(ERESTARTNOHAND);
        }
        Ok(Flow::Host(call, Then::Unmask { copies }))
    }

    fn in_out(
        &mut self,
        space: SpaceId,
        build: &mut Building,
        index: usize,
        at: u64,
        bytes: usize,
    ) -> Result<(), Errno> {
        if at == 0 {
            build.call.args[index] = Arg::Value(0);
            return Ok(());
        }
        let buffer = build.call.buffers.len();
        let content = self.bytes_in(space, at, bytes)?;
        build.call.args[index] = build.call.buffer(content);
        build.copies.push(CopyOut { buffer, to: at, length: CopyLength::Whole });
        Ok(())
    }

    fn mask_at(&mut self, space: SpaceId, at: u64) -> Result<Option<SigSet>, Errno> {
        match at {
            0 => Ok(None),
            at => Ok(Some(SigSet(self.mm.read_u64(space, VirtAddr::new(at))?))),
        }
    }
}

struct Building {
    call: Call,
    copies: Vec<CopyOut>,
}

impl Building {
    fn new(nr: u64, words: [u64; 6]) -> Self {
        Self { call: Call::plain(nr, words), copies: Vec::new() }
    }
}
