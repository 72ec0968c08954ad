//! The kernel's way to a program's memory: page by page, through the tables, with faults on the way.

use super::space::Space;
use super::store::Store;
use crate::Errno;
use addr::{Access, PAGE_BYTES, PhysAddr, Privilege, VirtAddr};

impl Space {
    /// Copies bytes out; returns how many before one could not be read.
    pub fn read(&mut self, from: VirtAddr, to: &mut [u8], store: &mut Store) -> usize {
        let mut done = 0;
        while done < to.len() {
            let Some((at, bytes)) = self.chunk(from, done, to.len(), Access::Read, store) else { break };
            store.frames.memory().ram().read(at, &mut to[done..done + bytes]);
            done += bytes;
        }
        done
    }

    /// Copies bytes in; returns how many before one could not be written.
    pub fn write(&mut self, to: VirtAddr, from: &[u8], store: &mut Store) -> usize {
        let mut done = 0;
        while done < from.len() {
            let Some((at, bytes)) = self.chunk(to, done, from.len(), Access::Write, store) else { break };
            store.frames.memory().ram().write(at, &from[done..done + bytes]);
            store.frames.memory().code().note_write(at.pfn());
            done += bytes;
        }
        done
    }

    /// The bytes up to a zero byte, which is not among them.
    ///
    /// # Errors
    /// `EFAULT` before one was found, `ENAMETOOLONG` if there is none among the first `max`.
    pub fn read_cstr(&mut self, from: VirtAddr, max: usize, store: &mut Store) -> Result<Vec<u8>, Errno> {
        let mut text = Vec::new();
        while text.len() < max {
            let (at, bytes) = self.chunk(from, text.len(), max, Access::Read, store).ok_or(Errno::EFAULT)?;
            let start = text.len();
            text.resize(start + bytes, 0);
            store.frames.memory().ram().read(at, &mut text[start..]);
            if let Some(end) = text[start..].iter().position(|byte| *byte == 0) {
                text.truncate(start + end);
                return Ok(text);
            }
        }
        Err(Errno::ENAMETOOLONG)
    }

    /// Where byte `done` of `total` lies, and how many of them follow in its page. Brings the page in; `None` if the
    /// program may not do this there.
    fn chunk(
        &mut self,
        start: VirtAddr,
        done: usize,
        total: usize,
        access: Access,
        store: &mut Store,
    ) -> Option<(PhysAddr, usize)> {
        let addr = start.checked_add(done as u64).filter(|addr| *addr < self.layout.task_size)?;
        let bytes = (total - done).min((PAGE_BYTES - addr.page_offset()) as usize);
        loop {
            if let Ok(found) = self.tables.walk(addr, access, Privilege::User) {
                return Some((found.phys, bytes));
            }
            let resolved = self.resolve(addr, access, store).ok()?;
            self.usage.faults.count(resolved.kind, resolved.cost);
        }
    }
}
