//! Opening, reading and writing nodes.

use super::node::{Node, What, Whose};
use crate::Errno;
use crate::kernel::Kernel;
use crate::task::Tid;
use addr::{Page, VirtAddr};

/// Bytes of a word of pagemap.
const WORD_BYTES: u64 = 8;

/// What a read of a stand-in gives.
pub(crate) enum Content {
    /// These bytes, from the position asked for.
    Bytes(Vec<u8>),
    /// The bytes that stand behind the descriptor, which the host has.
    Behind,
}

impl Kernel {
    /// Opens a node with flags of open(2): the descriptor, or `None` if the host's file serves.
    pub(crate) fn open_node(&mut self, tid: Tid, node: &Node, flags: i32) -> Result<Option<i32>, Errno> {
        let wants_write = flags & libc::O_ACCMODE != libc::O_RDONLY && flags & libc::O_PATH == 0;
        match node.what {
            What::Link(_) if flags & libc::O_PATH == 0 => return Err(Errno::ELOOP),
            // What the host's own kernel does is not for guests to set.
            What::Shown if wants_write && node.whose.is_none() => return Err(Errno::EPERM),
            What::Link(_) | What::Shown => return Ok(None),
            What::Directory(_) if wants_write || flags & libc::O_CREAT != 0 => return Err(Errno::EISDIR),
            What::Directory(_) => {}
            _ if flags & libc::O_DIRECTORY != 0 => return Err(Errno::ENOTDIR),
            _ if flags & libc::O_CREAT != 0 && flags & libc::O_EXCL != 0 => return Err(Errno::EEXIST),
            // Linux asks who may trace the process; guests trace nobody, so each may see its own memory only.
            What::Memory if node.whose.is_some_and(|whose| whose.pid != self.pid_of(tid)) => return Err(Errno::EACCES),
            What::Text(_) | What::Machine(_) | What::PageMap if wants_write && host::files::identity()[1] != 0 => {
                return Err(Errno::EACCES);
            }
            _ => {}
        }
        let descriptor = self.stand_ins.open(&node.path, flags).map_err(|error| Errno::of_host(&error))?;
        self.has_stand_ins = true;
        Ok(Some(descriptor))
    }

    /// What a read of `bytes` bytes at `at` gives; `descriptor` stands for the node.
    pub(crate) fn read_node(&mut self, node: &Node, descriptor: i32, at: u64, bytes: u64) -> Result<Content, Errno> {
        if let Some(whose) = node.whose
            && !self.processes.contains_key(&whose.pid)
        {
            return Err(Errno::ESRCH);
        }
        let text = match (node.what, node.whose) {
            (What::Directory(_), _) => return Err(Errno::EISDIR),
            (What::Memory, Some(whose)) => return self.read_memory(whose, at, bytes).map(Content::Bytes),
            (What::PageMap, Some(whose)) => return self.read_page_map(whose, at, bytes).map(Content::Bytes),
            _ if at > 0 => return Ok(Content::Behind),
            (What::Text(read) | What::Control { read, .. }, Some(whose)) => read(self, whose),
            (What::Machine(read) | What::MachineControl { read, .. }, _) => read(self, &node.path).into_bytes(),
            _ => return Err(Errno::EINVAL),
        };
        self.stand_ins.fill(descriptor, &text).map_err(|error| Errno::of_host(&error))?;
        Ok(Content::Behind)
    }

    /// Writes to a node: how many bytes it took.
    pub(crate) fn write_node(&mut self, node: &Node, at: u64, bytes: &[u8]) -> Result<u64, Errno> {
        match (node.what, node.whose) {
            (What::Memory, Some(whose)) => {
                let space = self.processes.get(&whose.pid).and_then(|process| process.space);
                let Some(space) = space else { return Ok(0) };
                match self.mm.write(space, VirtAddr::new(at), bytes) {
                    0 if !bytes.is_empty() => return Err(Errno::EIO),
                    done => return Ok(done as u64),
                }
            }
            (What::Control { write, .. }, Some(whose)) => write(self, whose, bytes)?,
            (What::MachineControl { write, .. }, _) => write(self, bytes)?,
            _ => return Err(Errno::EINVAL),
        }
        Ok(bytes.len() as u64)
    }

    fn read_memory(&mut self, whose: Whose, at: u64, bytes: u64) -> Result<Vec<u8>, Errno> {
        let space = self.processes.get(&whose.pid).and_then(|process| process.space);
        let Some(space) = space else { return Ok(Vec::new()) };
        let mut buffer = vec![0; bytes as usize];
        let done = self.mm.read(space, VirtAddr::new(at), &mut buffer);
        if done == 0 && bytes > 0 {
            return Err(Errno::EIO);
        }
        buffer.truncate(done);
        Ok(buffer)
    }

    /// Whole words only; beyond the last page that programs can have there are none.
    fn read_page_map(&mut self, whose: Whose, at: u64, bytes: u64) -> Result<Vec<u8>, Errno> {
        if !at.is_multiple_of(WORD_BYTES) || !bytes.is_multiple_of(WORD_BYTES) {
            return Err(Errno::EINVAL);
        }
        let space = self.processes.get(&whose.pid).and_then(|process| process.space);
        let Some(space) = space else { return Ok(Vec::new()) };
        let first = at / WORD_BYTES;
        let last = self.mm.layout(space).task_size.page().get();
        let end = first.saturating_add(bytes / WORD_BYTES).min(last);
        let is_root = host::files::identity()[1] == 0;
        let words = (first..end).map(|page| {
            let word = self.mm.pagemap_word(space, Page::new(page));
            if is_root { word } else { word & !FRAME_NUMBER }
        });
        Ok(words.flat_map(u64::to_le_bytes).collect())
    }
}

/// The bits of a pagemap word that only the privileged see.
const FRAME_NUMBER: u64 = (1 << 55) - 1;
