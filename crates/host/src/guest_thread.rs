//! Host threads that run guest threads, and the descriptor tables that they stand in.
//!
//! A guest descriptor is a host descriptor: the first thread of each guest process leaves the descriptor table of the
//! thread that spawned it ([`own_files`]), and its other threads are spawned from it and share what it has.

use std::io;
use std::os::fd::RawFd;
use std::ptr;
use std::thread::{Builder, JoinHandle};

/// Stack of a thread that runs a guest: the kernel's deepest path with room to spare. Untouched pages cost nothing.
const STACK_BYTES: usize = 1 << 20;
/// Stack of its signal handlers: an AVX-512 frame is 3 KiB, and the handlers are small.
const SIGNAL_STACK_BYTES: usize = 64 << 10;

/// Starts a host thread with a signal stack of its own. While generated code runs, the stack pointer is the guest's, so
/// every handler must run on that stack.
///
/// # Errors
/// The host's, when it cannot start another thread.
pub fn spawn(name: String, body: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    Builder::new().name(name).stack_size(STACK_BYTES).spawn(move || {
        let _stack = SignalStack::install();
        body();
    })
}

/// Gives the calling thread a copy of its descriptor table and of its working directory and umask, shared with nobody.
///
/// # Errors
/// The host's, when it cannot copy the table.
pub fn own_files() -> io::Result<()> {
    own_descriptors()?;
    own_directory()
}

/// Gives the calling thread a copy of its descriptor table.
///
/// # Errors
/// The host's, when it cannot copy the table.
pub fn own_descriptors() -> io::Result<()> {
    // SAFETY: changes only which table the calling thread's later system calls use; no memory is involved.
    succeeded(unsafe { libc::unshare(libc::CLONE_FILES) })
}

/// Gives the calling thread a working directory and umask of its own.
///
/// # Errors
/// The host's, when it has no room.
pub fn own_directory() -> io::Result<()> {
    // SAFETY: as above.
    succeeded(unsafe { libc::unshare(libc::CLONE_FS) })
}

/// Closes what is pagewalk's own in the calling thread's table: whatever would be closed by execve(2), because that is
/// what the first program of a machine is. The caller stands in a table of its own ([`own_files`]), so that the owners
/// of these descriptors, which are in another table, keep theirs.
///
/// # Errors
/// The host's, when /proc cannot be read.
pub fn close_private_files() -> io::Result<()> {
    let names = std::fs::read_dir("/proc/thread-self/fd")?.map(|entry| entry.map(|entry| entry.file_name()));
    let names = names.collect::<io::Result<Vec<_>>>()?;
    for descriptor in names.iter().filter_map(|name| name.to_str()?.parse::<RawFd>().ok()) {
        // SAFETY: asks for flags, and closes a copy in a table in which no Rust value owns it. The descriptor of the
        // directory itself is gone by now, which both calls notice.
        unsafe {
            let flags = libc::fcntl(descriptor, libc::F_GETFD);
            if flags >= 0 && flags & libc::FD_CLOEXEC != 0 {
                libc::close(descriptor);
            }
        }
    }
    Ok(())
}

/// Closes every descriptor in the calling thread's table: its process ends. As for [`close_private_files`], the table
/// is the process's own.
pub fn close_all_files() {
    // SAFETY: as in `close_private_files`: no Rust value owns a descriptor of this table.
    unsafe { libc::syscall(libc::SYS_close_range, 0, u32::MAX, 0) };
}

/// The calling thread's number in the host.
pub fn host_tid() -> i32 {
    // SAFETY: asks for a number.
    unsafe { libc::gettid() }
}

/// A signal stack, in force until it is dropped.
struct SignalStack {
    base: *mut libc::c_void,
    previous: libc::stack_t,
}

impl SignalStack {
    fn install() -> Self {
        // SAFETY: a fresh anonymous mapping at an address of the host's choice aliases nothing.
        let base = unsafe {
            libc::mmap(
                ptr::null_mut(),
                SIGNAL_STACK_BYTES,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK,
                -1,
                0,
            )
        };
        assert_ne!(base, libc::MAP_FAILED, "the host has memory for a signal stack");
        let stack = libc::stack_t { ss_sp: base, ss_flags: 0, ss_size: SIGNAL_STACK_BYTES };
        let mut previous = libc::stack_t { ss_sp: ptr::null_mut(), ss_flags: libc::SS_DISABLE, ss_size: 0 };
        // SAFETY: the stack was mapped just above and stays until `drop` has replaced it; both pointers are valid.
        let answer = unsafe { libc::sigaltstack(&raw const stack, &raw mut previous) };
        assert_eq!(answer, 0, "a signal stack of 64 KiB is accepted");
        Self { base, previous }
    }
}

impl Drop for SignalStack {
    fn drop(&mut self) {
        // SAFETY: puts back what was in force before, and only then unmaps what `install` mapped; a thread that leaves
        // is not running on its signal stack.
        unsafe {
            libc::sigaltstack(&raw const self.previous, ptr::null_mut());
            libc::munmap(self.base, SIGNAL_STACK_BYTES);
        }
    }
}

fn succeeded(answer: i32) -> io::Result<()> {
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::AsRawFd;

    #[test]
    fn a_thread_with_files_of_its_own_closes_only_its_own() {
        let file = File::open("/proc/self/maps").unwrap();
        let descriptor = file.as_raw_fd();
        let thread = spawn("guest".to_owned(), move || {
            own_files().unwrap();
            close_private_files().unwrap();
            // SAFETY: asks about a number.
            assert_eq!(unsafe { libc::fcntl(descriptor, libc::F_GETFD) }, -1);
            close_all_files();
        });
        thread.unwrap().join().unwrap();
        assert!(file.metadata().is_ok());
    }

    #[test]
    fn a_guest_thread_has_a_signal_stack() {
        let thread = spawn("guest".to_owned(), || {
            let mut stack = libc::stack_t { ss_sp: ptr::null_mut(), ss_flags: 0, ss_size: 0 };
            // SAFETY: asks for the stack in force.
            unsafe { libc::sigaltstack(ptr::null(), &raw mut stack) };
            assert_eq!(stack.ss_size, SIGNAL_STACK_BYTES);
        });
        thread.unwrap().join().unwrap();
    }
}
