//! The ptrace requests, each as a safe method of one stopped child.

use super::{SignalInfo, Stop};
use addr::VirtAddr;
use libc::{c_int, c_long, c_void, iovec, user_regs_struct};
use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// Run on; a system call stops instead of being executed.
pub const SYSEMU: c_long = 31;
/// One instruction; a system call stops instead of being executed.
pub const SYSEMU_SINGLESTEP: c_long = 32;
/// One instruction, system calls included.
pub const SINGLESTEP: c_long = libc::PTRACE_SINGLESTEP as c_long;

const NT_PRSTATUS: usize = 1;
const NT_X86_XSTATE: usize = 0x202;
/// What the system-call bit adds to SIGTRAP under PTRACE_O_TRACESYSGOOD.
const SYSCALL_STOP: c_int = libc::SIGTRAP | 0x80;
/// si_code of a trap that `int3` raised.
const SI_KERNEL: c_int = 0x80;

/// A child that this thread traces. It is stopped whenever no method runs.
pub struct Process {
    pid: libc::pid_t,
}

impl Process {
    /// Starts the program in `image`, stopped before its first instruction.
    pub fn spawn(image: &[u8]) -> io::Result<Self> {
        let file = memory_file(c"pagewalk-traced", image)?;
        let mut command = Command::new(format!("/proc/self/fd/{}", file.as_raw_fd()));
        command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // SAFETY: between fork and exec the closure makes only async-signal-safe system calls.
        let command = unsafe {
            command.pre_exec(|| {
                check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL).into())?;
                check(libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0)).map(drop)
            })
        };
        let child = command.spawn()?;
        let process = Self { pid: child.id() as libc::pid_t };
        process.wait()?;
        let options = libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_EXITKILL;
        process.request(libc::PTRACE_SETOPTIONS as c_long, 0, options as usize)?;
        Ok(process)
    }

    /// Its process id on the host.
    pub fn pid(&self) -> libc::pid_t {
        self.pid
    }

    /// Lets it go on by one of the requests above and waits until it has stopped again.
    pub fn resume(&self, request: c_long) -> io::Result<Stop> {
        self.request(request, 0, 0)?;
        let signal = self.wait()?;
        if signal == SYSCALL_STOP {
            return Ok(Stop::Syscall);
        }
        let info = self.signal_info()?;
        Ok(match (signal, info.code) {
            (libc::SIGTRAP, SI_KERNEL) => Stop::Breakpoint,
            (libc::SIGTRAP, _) => Stop::Stepped,
            _ => Stop::Signal(info),
        })
    }

    /// The general registers.
    pub fn general(&self) -> io::Result<user_regs_struct> {
        // SAFETY: the struct is plain words, for which zero is a value.
        let mut general: user_regs_struct = unsafe { std::mem::zeroed() };
        self.regset(libc::PTRACE_GETREGSET as c_long, NT_PRSTATUS, bytes_of(&mut general))?;
        Ok(general)
    }

    /// Sets the general registers.
    pub fn set_general(&self, general: &user_regs_struct) -> io::Result<()> {
        let mut general = *general;
        self.regset(libc::PTRACE_SETREGSET as c_long, NT_PRSTATUS, bytes_of(&mut general)).map(drop)
    }

    /// Sets the general registers but for the segments and their bases: a program can give itself a base that a tracer
    /// cannot.
    pub fn set_integers(&self, general: &user_regs_struct) -> io::Result<()> {
        let mut general = *general;
        let integers = &mut bytes_of(&mut general)[..std::mem::offset_of!(user_regs_struct, fs_base)];
        self.regset(libc::PTRACE_SETREGSET as c_long, NT_PRSTATUS, integers).map(drop)
    }

    /// The XSAVE image, of at most `bytes` bytes.
    pub fn xstate(&self, bytes: usize) -> io::Result<Vec<u8>> {
        let mut image = vec![0; bytes];
        let got = self.regset(libc::PTRACE_GETREGSET as c_long, NT_X86_XSTATE, &mut image)?;
        image.truncate(got);
        Ok(image)
    }

    /// Sets the XSAVE image.
    pub fn set_xstate(&self, image: &mut [u8]) -> io::Result<()> {
        self.regset(libc::PTRACE_SETREGSET as c_long, NT_X86_XSTATE, image).map(drop)
    }

    /// Copies bytes out, if the process itself may read all of them.
    pub fn read_permitted(&self, at: VirtAddr, to: &mut [u8]) -> bool {
        let here = iovec { iov_base: to.as_mut_ptr().cast(), iov_len: to.len() };
        let there = iovec { iov_base: at.get() as *mut c_void, iov_len: to.len() };
        // SAFETY: fills the caller's bytes and no others; the other process's addresses are the kernel's to check.
        let count = unsafe { libc::process_vm_readv(self.pid, &here, 1, &there, 1, 0) };
        count == to.len() as isize
    }

    /// Copies bytes in, if the process itself may write all of them; else some of them, perhaps.
    pub fn write_permitted(&self, at: VirtAddr, from: &[u8]) -> bool {
        let here = iovec { iov_base: from.as_ptr().cast_mut().cast(), iov_len: from.len() };
        let there = iovec { iov_base: at.get() as *mut c_void, iov_len: from.len() };
        // SAFETY: reads the caller's bytes; the other process's addresses are the kernel's to check.
        let count = unsafe { libc::process_vm_writev(self.pid, &here, 1, &there, 1, 0) };
        count == from.len() as isize
    }

    /// The process's memory as a file, whose bytes can be read and written whatever the permissions.
    pub fn memory(&self) -> io::Result<File> {
        File::options().read(true).write(true).open(format!("/proc/{}/mem", self.pid))
    }

    fn signal_info(&self) -> io::Result<SignalInfo> {
        // SAFETY: the struct is plain bytes, for which zero is a value.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        self.request(libc::PTRACE_GETSIGINFO as c_long, 0, &raw mut info as usize)?;
        // SAFETY: the kernel has filled the struct, and for the faults, the only signals here, the address is valid.
        let addr = unsafe { info.si_addr() };
        Ok(SignalInfo { signal: info.si_signo, code: info.si_code, addr: VirtAddr::new(addr as u64) })
    }

    fn regset(&self, request: c_long, set: usize, buffer: &mut [u8]) -> io::Result<usize> {
        let mut window = iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
        self.request(request, set, &raw mut window as usize)?;
        Ok(window.iov_len)
    }

    fn request(&self, request: c_long, addr: usize, data: usize) -> io::Result<()> {
        // SAFETY: each caller passes what its request reads or writes in this process: nothing, a word, or a live
        // buffer with its true length.
        let result =
            unsafe { libc::ptrace(request as libc::c_uint, self.pid, addr as *mut c_void, data as *mut c_void) };
        check(result).map(drop)
    }

    /// Waits for the next stop and gives its signal.
    fn wait(&self) -> io::Result<c_int> {
        let mut status = 0;
        // SAFETY: the status is ours to write.
        check(unsafe { libc::waitpid(self.pid, &mut status, libc::__WALL) }.into())?;
        if libc::WIFSTOPPED(status) {
            return Ok(libc::WSTOPSIG(status));
        }
        Err(io::Error::other(format!("the traced process ended with wait status {status:#x}")))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // SAFETY: the child is ours and not yet reaped, so its id is still its own.
        unsafe { libc::kill(self.pid, libc::SIGKILL) };
        while self.wait().is_ok() {}
    }
}

fn memory_file(name: &CStr, bytes: &[u8]) -> io::Result<File> {
    // SAFETY: the name is a C string; the descriptor returned is new and nobody else's.
    let descriptor = check(unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC) }.into())?;
    // SAFETY: as above.
    let mut file = unsafe { File::from_raw_fd(descriptor as c_int) };
    file.write_all(bytes)?;
    Ok(file)
}

fn bytes_of(general: &mut user_regs_struct) -> &mut [u8] {
    let length = size_of::<user_regs_struct>();
    // SAFETY: the struct is words without padding, and any bytes are a value of it.
    unsafe { std::slice::from_raw_parts_mut((&raw mut *general).cast(), length) }
}

fn check(result: c_long) -> io::Result<c_long> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
