//! The traced process's bytes, with no descriptor held: the tracing thread may stand in the descriptor table of a guest,
//! which closes whatever it finds there.

use super::ptrace::Process;
use addr::VirtAddr;
use std::io;
use std::os::unix::fs::FileExt;

/// Copies bytes out, whatever the permissions.
pub fn read(process: &Process, at: VirtAddr, to: &mut [u8]) -> io::Result<()> {
    if process.read_permitted(at, to) {
        return Ok(());
    }
    process.memory()?.read_exact_at(to, at.get())
}

/// Copies bytes in, whatever the permissions.
pub fn write(process: &Process, at: VirtAddr, from: &[u8]) -> io::Result<()> {
    if process.write_permitted(at, from) {
        return Ok(());
    }
    process.memory()?.write_all_at(from, at.get())
}
