//! RLIMIT_NOFILE: descriptors of guests are the host's, but how many a process may have is its own limit.

use super::Args;
use crate::Errno;
use crate::kernel::Kernel;

impl Kernel {
    /// Before a call that makes descriptors: whether the process may have them.
    pub(super) fn may_make_descriptors(&self, args: &Args) -> Result<(), Errno> {
        let (wanted, from) = match args.nr as i64 {
            libc::SYS_dup2 | libc::SYS_dup3 => {
                let is_beyond = args.at(1) as u32 as u64 >= self.descriptor_limit(args);
                return if is_beyond { Err(Errno::EBADF) } else { Ok(()) };
            }
            libc::SYS_fcntl if matches!(args.int(1), libc::F_DUPFD | libc::F_DUPFD_CLOEXEC) => {
                if args.at(2) >= self.descriptor_limit(args) {
                    return Err(Errno::EINVAL);
                }
                (1, args.int(2))
            }
            nr => (made_by(nr), 0),
        };
        if wanted == 0 {
            return Ok(());
        }
        let limit = self.descriptor_limit(args).min(i32::MAX as u64) as i32;
        if host::files::has_room(from, limit, wanted) { Ok(()) } else { Err(Errno::EMFILE) }
    }

    fn descriptor_limit(&self, args: &Args) -> u64 {
        self.soft_limit(args.tid, libc::RLIMIT_NOFILE as usize)
    }
}

/// How many descriptors a call makes.
fn made_by(nr: i64) -> usize {
    match nr {
        libc::SYS_pipe | libc::SYS_pipe2 | libc::SYS_socketpair => 2,
        libc::SYS_open
        | libc::SYS_openat
        | libc::SYS_openat2
        | libc::SYS_creat
        | libc::SYS_dup
        | libc::SYS_socket
        | libc::SYS_accept
        | libc::SYS_accept4
        | libc::SYS_epoll_create
        | libc::SYS_epoll_create1
        | libc::SYS_eventfd
        | libc::SYS_eventfd2
        | libc::SYS_signalfd
        | libc::SYS_signalfd4
        | libc::SYS_timerfd_create
        | libc::SYS_inotify_init
        | libc::SYS_inotify_init1
        | libc::SYS_pidfd_open
        | libc::SYS_memfd_create
        | libc::SYS_mq_open => 1,
        _ => 0,
    }
}
