//! The log of the recorder library: slots of four words, one order for all threads.
//!
//! The recorder's source has the drawing. Addresses become block numbers here: a block's number is free again when it is.
//! A forked child's heap is a copy of its parent's, so its trace begins with the parent's log up to the fork.

use super::{Op, Trace};
use std::collections::HashMap;
use std::io::{self, Read};

const MALLOC: u64 = 1;
const CALLOC: u64 = 2;
const ALIGNED: u64 = 3;
const FREE: u64 = 4;
const REALLOC_BEGINS: u64 = 5;
const REALLOC_ENDS: u64 = 6;

/// What the first two slots of a log say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogHead {
    /// The program's name, or the first 15 bytes of it.
    pub name: String,
    /// How many slots follow.
    pub slots: u64,
    /// Whose heap it began with, if the process was forked.
    pub parent: Option<LogParent>,
    /// Whether recording ended early, because there was no room for more.
    pub is_cut: bool,
}

/// The log of the process that forked this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogParent {
    /// Its process id.
    pub process: u32,
    /// Which image of that process.
    pub image: u32,
    /// How many of its slots came before the fork.
    pub slots: u64,
}

impl LogHead {
    /// Reads the head; the calls' slots follow.
    ///
    /// # Errors
    /// The reader's; also when the log has no head.
    pub fn read(log: &mut impl Read) -> io::Result<Self> {
        let [slots, identity, before, cut] = slot(log)?;
        let parent = LogParent { process: (identity >> 32) as u32, image: identity as u32, slots: before };
        let name: Vec<u8> =
            slot(log)?.iter().flat_map(|word| word.to_le_bytes()).take_while(|&byte| byte != 0).collect();
        let name = String::from_utf8_lossy(&name).into_owned();
        Ok(Self { name, slots, parent: (identity != 0).then_some(parent), is_cut: cut != 0 })
    }
}

/// Logs as a trace, and what of them is in none.
#[derive(Default)]
pub struct Recorded {
    /// The trace, without a name.
    pub trace: Trace,
    /// Frees of blocks that were allocated before the recorder was there.
    pub unknown_frees: u64,
    blocks: HashMap<u64, u32>,
    /// Blocks in the hands of a realloc, by their old address.
    moving: HashMap<u64, Vec<u32>>,
    free_ids: Vec<u32>,
}

impl Recorded {
    /// Appends `slots` slots of a log whose head was read. Those of a child follow its parent's up to the fork.
    ///
    /// # Errors
    /// The reader's; a log that ends early is what was written of it.
    pub fn append(&mut self, slots: u64, mut log: impl Read) -> io::Result<()> {
        for _ in 0..slots {
            match slot(&mut log) {
                Ok(words) => self.step(words),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
                Err(error) => return Err(error),
            }
        }
        // What another thread of the parent was moving, the child has twice and can reach neither.
        self.moving.clear();
        Ok(())
    }

    fn step(&mut self, [kind, at, bytes, other]: [u64; 4]) {
        match kind {
            MALLOC => self.allocate(at, |id| Op::Malloc { id, bytes }),
            CALLOC => self.allocate(at, |id| Op::Calloc { id, bytes }),
            ALIGNED => {
                let alignment = other.max(1).checked_next_power_of_two().unwrap_or(1);
                self.allocate(at, |id| Op::Aligned { id, alignment, bytes });
            }
            FREE => match self.blocks.remove(&at) {
                Some(id) => self.release(id),
                None => self.unknown_frees += 1,
            },
            REALLOC_BEGINS => {
                if let Some(id) = self.blocks.remove(&at) {
                    self.moving.entry(at).or_default().push(id);
                }
            }
            REALLOC_ENDS => self.realloc_ends(at, bytes, other),
            // A slot whose writer was killed between taking and filling it.
            _ => {}
        }
    }

    fn realloc_ends(&mut self, at: u64, bytes: u64, old: u64) {
        let id = self.moving.get_mut(&old).and_then(Vec::pop);
        match (id, at, bytes) {
            (Some(id), 0, 0) => self.release(id),
            (Some(id), 0, _) => drop(self.blocks.insert(old, id)),
            // An allocator that answers a size of 0 with a block.
            (Some(id), _, 0) => {
                self.release(id);
                self.allocate(at, |id| Op::Malloc { id, bytes });
            }
            (Some(id), ..) => {
                self.forget(at);
                self.blocks.insert(at, id);
                self.trace.ops.push(Op::Realloc { id, bytes });
            }
            (None, 0, _) => {}
            (None, ..) => self.allocate(at, |id| Op::Malloc { id, bytes }),
        }
    }

    fn allocate(&mut self, at: u64, op: impl FnOnce(u32) -> Op) {
        self.forget(at);
        let id = self.free_ids.pop().unwrap_or(self.trace.ids);
        self.trace.ids = self.trace.ids.max(id + 1);
        self.blocks.insert(at, id);
        self.trace.ops.push(op(id));
    }

    /// A block that the allocator gives out again was freed where the recorder did not see it.
    fn forget(&mut self, at: u64) {
        if let Some(id) = self.blocks.remove(&at) {
            self.release(id);
        }
    }

    fn release(&mut self, id: u32) {
        self.trace.ops.push(Op::Free { id });
        self.free_ids.push(id);
    }
}

fn slot(log: &mut impl Read) -> io::Result<[u64; 4]> {
    let mut bytes = [0; 32];
    log.read_exact(&mut bytes)?;
    let mut words = bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().expect("eight bytes")));
    Ok(std::array::from_fn(|_| words.next().expect("four words")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_become_numbers_and_threads_one_order() {
        let slots: [[u64; 4]; 10] = [
            [8, 0, 0, 0],
            [u64::from_le_bytes(*b"python3\0"), 0, 0, 0],
            [MALLOC, 0x10, 5, 0],
            [FREE, 0x99, 0, 0],
            [REALLOC_BEGINS, 0x10, 50, 0],
            // Another thread is given the address before the realloc has said where its block went.
            [CALLOC, 0x10, 7, 0],
            [REALLOC_ENDS, 0x40, 50, 0x10],
            [0, 0, 0, 0],
            [FREE, 0x10, 0, 0],
            [ALIGNED, 0x100, 9, 64],
        ];
        let (head, recorded) = read(&mut Recorded::default(), &slots, u64::MAX);
        let ops = [
            Op::Malloc { id: 0, bytes: 5 },
            Op::Calloc { id: 1, bytes: 7 },
            Op::Realloc { id: 0, bytes: 50 },
            Op::Free { id: 1 },
            Op::Aligned { id: 1, alignment: 64, bytes: 9 },
        ];
        assert_eq!(recorded, (ops.to_vec(), 1));
        assert_eq!(head, LogHead { name: "python3".into(), slots: 8, parent: None, is_cut: false });
    }

    #[test]
    fn a_child_begins_with_its_parents_heap() {
        let parent = [[2, 0, 0, 1], [0; 4], [MALLOC, 0x10, 5, 0], [FREE, 0x10, 0, 0]];
        let child = [[2, 7 << 32 | 3, 1, 0], [0; 4], [MALLOC, 0x20, 6, 0], [FREE, 0x10, 0, 0]];
        let mut both = Recorded::default();
        assert!(read(&mut both, &parent, 1).0.is_cut);
        let (head, recorded) = read(&mut both, &child, u64::MAX);
        assert_eq!(head.parent, Some(LogParent { process: 7, image: 3, slots: 1 }));
        let ops = [Op::Malloc { id: 0, bytes: 5 }, Op::Malloc { id: 1, bytes: 6 }, Op::Free { id: 0 }];
        assert_eq!(recorded, (ops.to_vec(), 0));
    }

    fn read(recorded: &mut Recorded, slots: &[[u64; 4]], most: u64) -> (LogHead, (Vec<Op>, u64)) {
        let bytes: Vec<u8> = slots.iter().flatten().flat_map(|word| word.to_le_bytes()).collect();
        let mut log = bytes.as_slice();
        let head = LogHead::read(&mut log).expect("a head");
        recorded.append(head.slots.min(most), log).expect("a whole log");
        (head, (recorded.trace.ops.clone(), recorded.unknown_frees))
    }
}
