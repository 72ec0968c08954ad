//! Where the time goes: the same operations on an allocator of ours and on the system's, payloads untouched.

use crate::{Allocator, ByteArena, Op, Ptr, Refusal, Spec, Trace};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// How long one replay took, as the median of several.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Speed {
    /// Of one replay.
    pub median: Duration,
    /// The operations of the trace.
    pub ops: usize,
}

impl Speed {
    fn of(trace: &Trace, mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self { median: times[times.len() / 2], ops: trace.ops.len() }
    }

    /// Operations a second.
    pub fn ops_per_second(&self) -> f64 {
        self.ops as f64 / self.median.as_secs_f64().max(1e-9)
    }
}

/// Times an allocator on a trace, `repeats` times after a replay that touches the memory first, as the system's was
/// touched.
///
/// # Errors
/// The first refusal.
pub fn time_heap(spec: &Spec, trace: &Trace, limit: u64, repeats: usize) -> Result<Speed, Refusal> {
    let mut times = Vec::new();
    let mut slots = vec![Ptr::NULL; trace.ids as usize];
    let mut arena = ByteArena::new(limit);
    for _ in 0..=repeats {
        arena.reset();
        let mut heap = spec.open(&mut arena)?;
        let start = Instant::now();
        replay(heap.as_mut(), trace, &mut slots)?;
        times.push(start.elapsed());
    }
    times.remove(0);
    Ok(Speed::of(trace, times))
}

fn replay(heap: &mut dyn Allocator<&mut ByteArena>, trace: &Trace, slots: &mut [Ptr]) -> Result<(), Refusal> {
    for op in &trace.ops {
        match *op {
            Op::Malloc { id, bytes } => slots[id as usize] = heap.malloc(bytes)?,
            Op::Calloc { id, bytes } => slots[id as usize] = heap.calloc(1, bytes)?,
            Op::Aligned { id, alignment, bytes } => slots[id as usize] = heap.aligned_alloc(alignment, bytes)?,
            Op::Realloc { id, bytes } => slots[id as usize] = heap.realloc(slots[id as usize], bytes)?,
            Op::Free { id } => heap.free(slots[id as usize])?,
        }
    }
    Ok(())
}

/// Times the system's `malloc` on a trace: Rust's `Vec<u8>` is exactly one `malloc`, `calloc`, `realloc` or `free` a
/// call. Aligned allocations are plain ones of the size and the alignment together.
pub fn system_speed(trace: &Trace, repeats: usize) -> Speed {
    let mut times = Vec::new();
    for _ in 0..=repeats {
        let mut slots: Vec<Vec<u8>> = vec![Vec::new(); trace.ids as usize];
        let start = Instant::now();
        for op in &trace.ops {
            let slot = &mut slots[op.id() as usize];
            match *op {
                Op::Malloc { bytes, .. } => *slot = Vec::with_capacity(bytes.max(1) as usize),
                Op::Calloc { bytes, .. } => *slot = vec![0; bytes.max(1) as usize],
                Op::Aligned { alignment, bytes, .. } => *slot = Vec::with_capacity((bytes + alignment) as usize),
                Op::Realloc { bytes, .. } if bytes as usize > slot.capacity() => {
                    slot.clear();
                    slot.reserve_exact(bytes as usize);
                }
                Op::Realloc { bytes, .. } => slot.shrink_to(bytes as usize),
                Op::Free { .. } => *slot = Vec::new(),
            }
            black_box(slot);
        }
        times.push(start.elapsed());
    }
    times.remove(0);
    Speed::of(trace, times)
}
