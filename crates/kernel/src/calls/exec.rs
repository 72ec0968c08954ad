//! execve: alone first, then the new program.

use super::host_call::PATH_BYTES;
use super::{Args, Flow};
use crate::Errno;
use crate::exec::{NewProgram, Program};
use crate::kernel::Kernel;
use crate::task::Tid;
use crate::waiting::Waiting;
use addr::{Registers, VirtAddr};

/// Arguments or environment strings at most.
const MAX_STRINGS: usize = 1 << 20;
/// Bytes of one of them, with the final zero.
const MAX_STRING_BYTES: usize = 128 << 10;

impl Kernel {
    pub(super) fn execve(&mut self, args: &Args) -> Result<Flow, Errno> {
        let (path_at, strings_at) = if args.nr as i64 == libc::SYS_execveat { (1, 2) } else { (0, 1) };
        let space = self.space_of(args.tid);
        let mut path = self.mm.read_cstr(space, VirtAddr::new(args.at(path_at)), PATH_BYTES)?;
        if args.nr as i64 == libc::SYS_execveat {
            path = path_from(args.int(0), path, args.int(4))?;
        }
        path = self.program_path(args.tid, path)?;
        let argv = self.strings_at(args.tid, args.at(strings_at))?;
        let envp = self.strings_at(args.tid, args.at(strings_at + 1))?;
        let argv = if argv.is_empty() { vec![Vec::new()] } else { argv };
        let prepared = self.prepare_program(args.tid, &Program { path, argv, envp });
        let prepared = prepared.map_err(|error| error.errno())?;
        self.new_program.insert(args.tid, prepared);
        let others: Vec<Tid> = self.siblings(args.tid).into_iter().skip(1).collect();
        if others.is_empty() {
            return Ok(Flow::Exec);
        }
        for other in others {
            self.task(other).is_killed = true;
            self.notify(other);
        }
        self.process_of(args.tid).alone = Some(args.tid);
        Ok(Flow::Sleep(Waiting::Alone))
    }

    /// A task that is alone becomes the program that it has prepared: its number, and the registers it begins with.
    pub(super) fn begin_program(&mut self, tid: Tid) -> (Tid, Registers) {
        let NewProgram { space, registers, image } = self.new_program.remove(&tid).expect("execve prepared it");
        self.process_of(tid).alone = None;
        let tid = self.take_leaders_number(tid);
        let files = &mut self.task(tid).files;
        // Those that another process shares stay open there.
        if !files.is_shared() || host::guest_thread::own_descriptors().is_ok() {
            files.leave();
            host::files::close_on_exec();
        }
        self.become_program(tid, space, image);
        (tid, registers)
    }

    /// The task that executes a new program is the first task of its process from now on, whoever that was before.
    fn take_leaders_number(&mut self, tid: Tid) -> Tid {
        let leader = Tid(self.pid_of(tid).0);
        if leader == tid {
            return tid;
        }
        let mut task = self.tasks.remove(&tid).expect("the task is executing");
        task.tid = leader;
        self.tasks.insert(leader, task);
        self.process_of(leader).tasks = vec![leader];
        leader
    }

    /// A task ends before it could become what it has prepared.
    pub(crate) fn drop_new_program(&mut self, tid: Tid) {
        if let Some(prepared) = self.new_program.remove(&tid) {
            self.mm.release_space(prepared.space);
        }
    }

    /// An array of strings that a null pointer ends.
    fn strings_at(&mut self, tid: Tid, array: u64) -> Result<Vec<Vec<u8>>, Errno> {
        let space = self.space_of(tid);
        let mut strings = Vec::new();
        if array == 0 {
            return Ok(strings);
        }
        for index in 0.. {
            if index >= MAX_STRINGS {
                return Err(Errno::E2BIG);
            }
            let at = self.mm.read_u64(space, VirtAddr::new(array).wrapping_add(index as u64 * 8))?;
            if at == 0 {
                break;
            }
            let text = self.mm.read_cstr(space, VirtAddr::new(at), MAX_STRING_BYTES);
            strings.push(text.map_err(|errno| if errno == Errno::ENAMETOOLONG { Errno::E2BIG } else { errno })?);
        }
        Ok(strings)
    }
}

/// The path that execveat names.
fn path_from(directory: i32, path: Vec<u8>, flags: i32) -> Result<Vec<u8>, Errno> {
    if path.starts_with(b"/") || directory == libc::AT_FDCWD && !path.is_empty() {
        return Ok(path);
    }
    if path.is_empty() && flags & libc::AT_EMPTY_PATH == 0 {
        return Err(Errno::ENOENT);
    }
    let base = format!("/proc/thread-self/fd/{directory}").into_bytes();
    Ok(if path.is_empty() { base } else { [base, b"/".to_vec(), path].concat() })
}
