//! Allocation traces: what a program asked of its allocator, in order.

mod compact;
mod log;
mod rep;

pub use log::{LogHead, LogParent, Recorded};
use std::fmt;

/// One call. Blocks are named by number; a number is used again only after its block was freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// `malloc(bytes)`
    Malloc {
        /// The new block.
        id: u32,
        /// Its size.
        bytes: u64,
    },
    /// `calloc(1, bytes)`
    Calloc {
        /// The new block.
        id: u32,
        /// Its size.
        bytes: u64,
    },
    /// `aligned_alloc(alignment, bytes)`
    Aligned {
        /// The new block.
        id: u32,
        /// A power of two.
        alignment: u64,
        /// Its size.
        bytes: u64,
    },
    /// `realloc(block, bytes)` of a live block, to a size that is not 0.
    Realloc {
        /// The block.
        id: u32,
        /// Its new size.
        bytes: u64,
    },
    /// `free(block)`
    Free {
        /// The block.
        id: u32,
    },
}

impl Op {
    /// The block it is about.
    pub fn id(&self) -> u32 {
        match *self {
            Self::Malloc { id, .. }
            | Self::Calloc { id, .. }
            | Self::Aligned { id, .. }
            | Self::Realloc { id, .. }
            | Self::Free { id } => id,
        }
    }

    /// The size that it asks for; 0 for a free.
    fn bytes(&self) -> u64 {
        match *self {
            Self::Malloc { bytes, .. } | Self::Calloc { bytes, .. } => bytes,
            Self::Aligned { bytes, .. } | Self::Realloc { bytes, .. } => bytes,
            Self::Free { .. } => 0,
        }
    }
}

/// No address space has room for more, so a larger size or alignment is a mistake in the trace.
const MOST_BYTES: u64 = 1 << 47;
/// So many blocks may be announced by a trace of any length.
const FEW_BLOCKS: u64 = 1 << 20;

/// Which scores of the lab's performance index a trace counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Weight {
    /// Neither.
    None,
    /// Both.
    #[default]
    Both,
    /// Utilisation only.
    Utilisation,
    /// Throughput only.
    Throughput,
}

/// A trace. Every operation makes sense: nothing is freed twice or reallocated unallocated.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Trace {
    /// What to call it in tables.
    pub name: String,
    /// How many block numbers there are.
    pub ids: u32,
    /// What it counts for.
    pub weight: Weight,
    /// The calls.
    pub ops: Vec<Op>,
}

/// Why a file is no trace: where, and the reason. Lines count from 1; a binary trace has byte offsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// "line 7" or "byte 123".
    pub place: String,
    /// A sentence without the place.
    pub reason: String,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.reason)
    }
}

impl std::error::Error for Malformed {}

impl Trace {
    /// Reads either format: the malloc lab's text (`.rep`, both header forms) or our compact one.
    ///
    /// # Errors
    /// The place and the reason of the first thing that makes no sense.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Self, Malformed> {
        let trace = if bytes.starts_with(compact::MAGIC) { compact::parse(bytes) } else { rep::parse(bytes) }?;
        Ok(Self { name: name.into(), ..trace })
    }

    /// The compact format: about three bytes an operation, and lossless.
    pub fn to_compact(&self) -> Vec<u8> {
        compact::write(self)
    }

    /// The malloc lab's text, which has no zeroed or aligned allocation: they become plain ones.
    pub fn to_rep(&self) -> String {
        rep::write(self)
    }

    /// The largest sum of payloads at any time, and the number of the operation after which it is first reached.
    pub fn peak_payload(&self) -> (u64, usize) {
        let mut sizes = vec![0; self.ids as usize];
        let (mut now, mut peak, mut peak_at) = (0_u128, 0, 0);
        for (step, op) in self.ops.iter().enumerate() {
            let size: &mut u64 = &mut sizes[op.id() as usize];
            now -= u128::from(*size);
            *size = op.bytes();
            now += u128::from(*size);
            if now > peak {
                (peak, peak_at) = (now, step + 1);
            }
        }
        (u64::try_from(peak).unwrap_or(u64::MAX), peak_at)
    }
}

/// Which blocks are allocated, while a trace is read.
struct Live(Vec<bool>);

impl Live {
    /// None of the blocks that a trace of `trace_bytes` bytes announces. Each that is used has an operation, of a byte at
    /// least, so many more are a mistake, and would cost memory.
    fn none_of(ids: u64, trace_bytes: usize) -> Result<Self, String> {
        match u32::try_from(ids) {
            Ok(count) if ids <= FEW_BLOCKS.max(trace_bytes as u64) => Ok(Self(vec![false; count as usize])),
            _ => Err(format!("{ids} blocks, and the trace is too short for so many")),
        }
    }

    /// Why the operation makes no sense, if so.
    fn step(&mut self, op: &Op) -> Result<(), String> {
        let id = op.id();
        if op.bytes() > MOST_BYTES {
            return Err(format!("{} bytes, more than an address space has", op.bytes()));
        }
        let count = self.0.len();
        let live =
            self.0.get_mut(id as usize).ok_or_else(|| format!("block {id}, but the header says {count} blocks"))?;
        match (op, *live) {
            (Op::Free { .. } | Op::Realloc { .. }, false) => Err(format!("block {id} is not allocated")),
            (Op::Free { .. }, true) => {
                *live = false;
                Ok(())
            }
            (Op::Realloc { bytes: 0, .. }, true) => Err("a realloc to 0 bytes, which is a free".into()),
            (Op::Realloc { .. }, true) => Ok(()),
            (_, true) => Err(format!("block {id} is allocated already")),
            (Op::Aligned { alignment, .. }, false) if !alignment.is_power_of_two() => {
                Err(format!("alignment {alignment} is not a power of two"))
            }
            (Op::Aligned { alignment, .. }, false) if *alignment > MOST_BYTES => {
                Err(format!("alignment {alignment}, more than an address space has"))
            }
            (_, false) => {
                *live = true;
                Ok(())
            }
        }
    }
}
