//! Where the time goes: the same operations on an allocator of ours and on the system's, payloads untouched.

use crate::{Allocator, Arena, ByteArena, Op, Ptr, Quad, Refusal, Spec, Trace};
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

/// An allocator that looks at more blocks than this for each operation spends its time searching: repeats would tell nothing
/// that the calls in `Measured` do not.
const SLOW_SEARCH: u64 = 50;

/// Times allocators and the system's malloc on a trace: `repeats` rounds, in each of which everyone replays it once, so
/// that what else the machine does falls on all alike. A round before them touches the memory. An allocator that refuses
/// an operation, or spends its time searching, is left out.
///
/// Payloads are not touched, but where `realloc` moves one. Our heaps begin empty in each round, in memory that the last
/// one left; the system's is as the last one left it. The system's takes locks in a process that ever had two threads, so
/// time it before there are any.
pub fn race(specs: &[Spec], trace: &Trace, limit: u64, repeats: usize) -> (Speed, Vec<Option<Speed>>) {
    let mut slots = vec![Ptr::NULL; trace.ids as usize];
    let needs: Vec<Option<u64>> = specs.iter().map(|spec| rehearse(spec, trace, limit, &mut slots)).collect();
    let largest = needs.iter().flatten().max().copied().unwrap_or(0);
    let mut memory = ByteArena::reserve(largest);
    let mut system = Vec::new();
    let mut ours: Vec<Vec<Duration>> = specs.iter().map(|_| Vec::new()).collect();
    for round in 0..=repeats {
        let keep = |times: &mut Vec<Duration>, time| {
            if round > 0 {
                times.push(time)
            }
        };
        keep(&mut system, time_system(trace));
        for ((spec, times), _) in specs.iter().zip(&mut ours).zip(&needs).filter(|(_, need)| need.is_some()) {
            let time = time_heap(spec, trace, &mut memory, &mut slots);
            keep(times, time.expect("it went through the rehearsal, with as much memory"));
        }
    }
    let speed = |times| Speed::of(trace, times);
    (speed(system), ours.into_iter().map(|times| (!times.is_empty()).then(|| speed(times))).collect())
}

/// The memory that an allocator needs for a trace, unless it refuses an operation or spends its time searching.
fn rehearse(spec: &Spec, trace: &Trace, limit: u64, slots: &mut [Ptr]) -> Option<u64> {
    let mut heap = spec.open(ByteArena::new(limit)).ok()?;
    let patience = SLOW_SEARCH * trace.ops.len() as u64;
    for ops in trace.ops.chunks(64) {
        replay(heap.as_mut(), ops, slots).ok()?;
        if heap.counters().searched > patience {
            return None;
        }
    }
    Some(heap.arena().bytes())
}

/// Now, just after a pause: the scheduler then gives a whole time slice, and others interrupt what follows less.
fn fresh_slice() -> Instant {
    std::thread::sleep(Duration::from_micros(100));
    Instant::now()
}

fn time_heap(spec: &Spec, trace: &Trace, memory: &mut [Quad], slots: &mut [Ptr]) -> Result<Duration, Refusal> {
    let mut heap = spec.open(ByteArena::over(memory))?;
    let start = fresh_slice();
    replay(heap.as_mut(), &trace.ops, slots)?;
    Ok(start.elapsed())
}

fn replay<A: Arena>(heap: &mut dyn Allocator<A>, ops: &[Op], slots: &mut [Ptr]) -> Result<(), Refusal> {
    for op in ops {
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

/// Larger than any threshold of glibc's for blocks that it maps one by one.
const MAPPED_BYTES: u64 = 64 << 20;

/// The system's `malloc`: Rust's `Vec<u8>` is exactly one `malloc`, `calloc`, `realloc` or `free` a call. Aligned
/// allocations are plain ones of the size and the alignment together. A request that the system refuses is a call like
/// any other, and leaves an empty vector.
fn time_system(trace: &Trace) -> Duration {
    let mut slots: Vec<Vec<u8>> = vec![Vec::new(); trace.ids as usize];
    let start = fresh_slice();
    for op in &trace.ops {
        let slot = &mut slots[op.id() as usize];
        match *op {
            Op::Malloc { bytes, .. } => _ = slot.try_reserve_exact(bytes.max(1) as usize),
            // So large a block is fresh from the kernel, zeros already, in either function.
            Op::Calloc { bytes, .. } if bytes > MAPPED_BYTES => _ = slot.try_reserve_exact(bytes as usize),
            Op::Calloc { bytes, .. } => *slot = vec![0; bytes.max(1) as usize],
            Op::Aligned { alignment, bytes, .. } => _ = slot.try_reserve_exact((bytes + alignment) as usize),
            Op::Realloc { bytes, .. } if bytes as usize > slot.capacity() => {
                slot.clear();
                _ = slot.try_reserve_exact(bytes as usize);
            }
            Op::Realloc { bytes, .. } => slot.shrink_to(bytes as usize),
            Op::Free { .. } => *slot = Vec::new(),
        }
        black_box(slot);
    }
    start.elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synth;

    #[test]
    fn who_searches_or_refuses_is_not_timed() {
        let specs = ["segregated-fits", "implicit", "bump"].map(|spec| spec.parse().expect("a spec"));
        let trace = synth::generate("robson", 20_000, 1).expect("one of ours");
        let timed = |limit| race(&specs, &trace, limit, 1).1.iter().map(Option::is_some).collect::<Vec<_>>();
        assert_eq!(timed(1 << 30), [true, false, true]);
        assert_eq!(timed(1 << 20), [false; 3]);
    }
}
