//! Scheduling priorities of host threads: what nice(1) sets.

use std::io;

/// The nice value of a host thread, -20 to 19.
///
/// # Errors
/// `ESRCH`.
pub fn nice_of(tid: i32) -> io::Result<i32> {
    // SAFETY: asks for a number.
    let answer = unsafe { libc::syscall(libc::SYS_getpriority, libc::PRIO_PROCESS, tid) };
    // The bare call answers 20 minus the value, so that no answer is negative.
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(20 - answer as i32) }
}

/// Changes the nice value of a host thread.
///
/// # Errors
/// The host's: who may not raise a priority gets `EACCES`.
pub fn set_nice(tid: i32, nice: i32) -> io::Result<()> {
    // SAFETY: changes how a thread is scheduled; no memory is involved.
    let answer = unsafe { libc::syscall(libc::SYS_setpriority, libc::PRIO_PROCESS, tid, nice) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_gets_nicer() {
        let thread = std::thread::spawn(|| {
            let tid = crate::guest_thread::host_tid();
            let before = nice_of(tid).unwrap();
            set_nice(tid, before + 1).unwrap();
            (before, nice_of(tid).unwrap())
        });
        let (before, after) = thread.join().unwrap();
        assert_eq!(after, (before + 1).min(19));
        assert!(nice_of(-1).is_err());
    }
}
