//! What becomes of content that cannot all be read from the guest's memory: how much of it a call gets from Linux.

use super::Args;
use crate::Errno;
use addr::PAGE_BYTES;

/// Content that a call sends, as far as it could be read.
pub(crate) struct Content {
    pub bytes: Vec<u8>,
    pub extent: Extent,
}

/// Whether it is all of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    Whole,
    Cut,
}

impl Content {
    /// What of it the call transfers. A file takes all that can be read, a pipe whole pages, everybody else nothing
    /// (measured; TCP and large writes to stream sockets, which go out in parts, are not followed in this).
    ///
    /// # Errors
    /// `EFAULT` if that is nothing.
    pub fn transferred(mut self, args: &Args) -> Result<Vec<u8>, Errno> {
        if self.extent == Extent::Whole {
            return Ok(self.bytes);
        }
        let writes = matches!(
            args.nr as i64,
            libc::SYS_write
                | libc::SYS_writev
                | libc::SYS_pwrite64
                | libc::SYS_pwritev
                | libc::SYS_pwritev2
                | libc::SYS_vmsplice
        );
        let kind = host::files::describe(args.int(0)).map_err(|_| Errno::EBADF).map(|file| file.kind);
        match kind {
            Ok(libc::S_IFREG | libc::S_IFBLK | libc::S_IFCHR) if writes => {}
            Ok(libc::S_IFIFO) if writes => {
                self.bytes.truncate(self.bytes.len() / PAGE_BYTES as usize * PAGE_BYTES as usize)
            }
            Err(errno) if writes => return Err(errno),
            _ => self.bytes.clear(),
        }
        if self.bytes.is_empty() { Err(Errno::EFAULT) } else { Ok(self.bytes) }
    }
}
