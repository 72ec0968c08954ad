//! membarrier(2): barriers on the processors that run a program.
//!
//! One thread executes generated code at a time, and the run token that it hands on is a barrier: whoever makes this call
//! has had one since any other thread ran. What is left to do is to keep the registrations, which are answers.

use super::Args;
use crate::Errno;
use crate::kernel::Kernel;

const QUERY: u64 = 0;
const GLOBAL: u64 = 1;
const GLOBAL_EXPEDITED: u64 = 1 << 1;
const REGISTER_GLOBAL_EXPEDITED: u64 = 1 << 2;
const PRIVATE_EXPEDITED: u64 = 1 << 3;
const REGISTER_PRIVATE_EXPEDITED: u64 = 1 << 4;
const PRIVATE_EXPEDITED_SYNC_CORE: u64 = 1 << 5;
const REGISTER_PRIVATE_EXPEDITED_SYNC_CORE: u64 = 1 << 6;
const GET_REGISTRATIONS: u64 = 1 << 9;

/// What there is. The commands for rseq are not, as on a Linux without it.
const SUPPORTED: u64 = GLOBAL
    | GLOBAL_EXPEDITED
    | REGISTER_GLOBAL_EXPEDITED
    | PRIVATE_EXPEDITED
    | REGISTER_PRIVATE_EXPEDITED
    | PRIVATE_EXPEDITED_SYNC_CORE
    | REGISTER_PRIVATE_EXPEDITED_SYNC_CORE
    | GET_REGISTRATIONS;

impl Kernel {
    pub(super) fn membarrier(&mut self, args: &Args) -> Result<u64, Errno> {
        let (command, flags) = (u64::from(args.at(0) as u32), args.at(1) as u32);
        let space = self.space_of(args.tid);
        let registered = self.mm.barriers(space);
        if flags != 0 {
            return Err(Errno::EINVAL);
        }
        match command {
            QUERY => Ok(SUPPORTED),
            GLOBAL | GLOBAL_EXPEDITED => Ok(0),
            PRIVATE_EXPEDITED if *registered & REGISTER_PRIVATE_EXPEDITED == 0 => Err(Errno::EPERM),
            PRIVATE_EXPEDITED_SYNC_CORE if *registered & REGISTER_PRIVATE_EXPEDITED_SYNC_CORE == 0 => Err(Errno::EPERM),
            PRIVATE_EXPEDITED | PRIVATE_EXPEDITED_SYNC_CORE => Ok(0),
            REGISTER_GLOBAL_EXPEDITED | REGISTER_PRIVATE_EXPEDITED | REGISTER_PRIVATE_EXPEDITED_SYNC_CORE => {
                *registered |= command;
                Ok(0)
            }
            // The kind that was registered and, told with each private one, the plain one (measured).
            GET_REGISTRATIONS if *registered & REGISTER_PRIVATE_EXPEDITED_SYNC_CORE != 0 => {
                Ok(*registered | REGISTER_PRIVATE_EXPEDITED)
            }
            GET_REGISTRATIONS => Ok(*registered),
            _ => Err(Errno::EINVAL),
        }
    }
}
