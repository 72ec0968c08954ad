//! Where the memory goes: a replay that fills every payload, verifies it before it is freed or moved, and keeps count.

use super::touching::TouchingArena;
use crate::{Allocator, Arena, Counters, Op, Ptr, Refusal, Spec, Trace};
use std::fmt;
use std::time::{Duration, Instant};

/// How many samples of the heap over time a measurement keeps at most.
const SAMPLES: usize = 400;

/// The heap after some operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// After how many operations.
    pub op: usize,
    /// The sum of all payloads.
    pub payload_bytes: u64,
    /// The size of the heap: the arena, and the allocator's tables beside it.
    pub heap_bytes: u64,
    /// The allocated blocks with their tags and padding.
    pub block_bytes: u64,
}

/// What an allocator did with a trace.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The largest sum of payloads.
    pub peak_payload_bytes: u64,
    /// The largest heap: the arena, and the allocator's tables beside it.
    pub heap_bytes: u64,
    /// The tables alone.
    pub table_bytes: u64,
    /// The pages of it that were ever stored to, payloads included.
    pub touched_bytes: u64,
    /// At the peak: tags of allocated blocks.
    pub header_bytes: u64,
    /// At the peak: what the alignment adds to payloads and tags.
    pub alignment_bytes: u64,
    /// At the peak: what minimum sizes, classes and unsplit remainders add.
    pub rounding_bytes: u64,
    /// At the peak: the rest of the heap.
    pub external_bytes: u64,
    /// The mean over time of the share of the heap in no allocated block.
    pub external_mean: f64,
    /// How many blocks were asked for.
    pub allocations: u64,
    /// What the allocator counted.
    pub counters: Counters,
    /// The heap over time.
    pub samples: Vec<Sample>,
    /// How long the allocator's calls took, without the filling and the verifying, but with a clock read around each.
    pub in_calls: Duration,
}

impl Measured {
    /// Peak utilisation: the largest sum of payloads over the largest heap.
    pub fn utilisation(&self) -> f64 {
        if self.heap_bytes == 0 { 1.0 } else { self.peak_payload_bytes as f64 / self.heap_bytes as f64 }
    }
}

/// Why a replay ended early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failed {
    /// The allocator refused an operation (counted from 1) that makes sense.
    Refused(usize, Refusal),
    /// A payload lost its bytes.
    Overwritten(usize),
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(op, refusal) => write!(f, "operation {op}: {refusal}"),
            Self::Overwritten(op) => write!(f, "operation {op}: the payload is not as it was written"),
        }
    }
}

impl std::error::Error for Failed {}

#[derive(Clone, Copy, Default)]
struct Live {
    at: Ptr,
    bytes: u64,
    block_bytes: u64,
}

/// A replay in progress.
struct Replay<'a, A> {
    heap: &'a mut dyn Allocator<A>,
    live: Vec<Live>,
    payload_bytes: u64,
    block_bytes: u64,
    in_calls: Duration,
    buffer: [u8; BUFFER_BYTES],
}

/// Payloads are verified in parts of this size.
const BUFFER_BYTES: usize = 4096;

impl<A: Arena> Replay<'_, A> {
    fn step(&mut self, op: &Op) -> Result<(), Option<Refusal>> {
        let id = op.id() as usize;
        let old = std::mem::take(&mut self.live[id]);
        if !old.at.is_null() {
            self.verify(old.at, old.bytes, id)?;
            self.payload_bytes -= old.bytes;
            self.block_bytes -= old.block_bytes;
        }
        let (at, bytes) = match *op {
            Op::Malloc { bytes, .. } => (self.call(|heap| heap.malloc(bytes))?, bytes),
            Op::Calloc { bytes, .. } => (self.call(|heap| heap.calloc(1, bytes))?, bytes),
            Op::Aligned { alignment, bytes, .. } => (self.call(|heap| heap.aligned_alloc(alignment, bytes))?, bytes),
            Op::Realloc { bytes, .. } => {
                let at = self.call(|heap| heap.realloc(old.at, bytes))?;
                self.verify(at, old.bytes.min(bytes), id)?;
                (at, bytes)
            }
            Op::Free { .. } => {
                self.call(|heap| heap.free(old.at))?;
                return Ok(());
            }
        };
        self.heap.arena_mut().fill(at.get(), bytes, fill(id));
        let block_bytes = self.heap.block_bytes(at);
        self.live[id] = Live { at, bytes, block_bytes };
        self.payload_bytes += bytes;
        self.block_bytes += block_bytes;
        Ok(())
    }

    /// One call of the allocator, with its time.
    fn call<T>(&mut self, call: impl FnOnce(&mut dyn Allocator<A>) -> T) -> T {
        let start = Instant::now();
        let result = call(self.heap);
        self.in_calls += start.elapsed();
        result
    }

    fn verify(&mut self, at: Ptr, bytes: u64, id: usize) -> Result<(), Option<Refusal>> {
        let mut done = 0;
        while done < bytes {
            let part = &mut self.buffer[..(bytes - done).min(BUFFER_BYTES as u64) as usize];
            self.heap.arena().read(at.get() + done, part);
            // No early end: this loop takes many bytes at once, and all of them are right nearly always.
            if part.iter().fold(0, |differs, byte| differs | (byte ^ fill(id))) != 0 {
                return Err(None);
            }
            done += part.len() as u64;
        }
        Ok(())
    }

    fn sample(&self, op: usize) -> Sample {
        let (payload_bytes, block_bytes) = (self.payload_bytes, self.block_bytes);
        Sample { op, payload_bytes, block_bytes, heap_bytes: heap_bytes(self.heap) }
    }
}

fn heap_bytes<A: Arena>(heap: &dyn Allocator<A>) -> u64 {
    heap.arena().bytes() + heap.table_bytes()
}

fn fill(id: usize) -> u8 {
    (id * 7 + 1) as u8
}

/// Replays the first `ops` operations of a trace.
///
/// # Errors
/// The first operation that the allocator refused, or whose payload was overwritten.
pub fn replay_until<A: Arena>(heap: &mut dyn Allocator<A>, trace: &Trace, ops: usize) -> Result<(), Failed> {
    run(heap, trace, ops, |_, _| ()).map(drop)
}

/// Gives the time in the allocator's calls.
fn run<A: Arena>(
    heap: &mut dyn Allocator<A>,
    trace: &Trace,
    ops: usize,
    mut after: impl FnMut(&Replay<A>, usize),
) -> Result<Duration, Failed> {
    let live = vec![Live::default(); trace.ids as usize];
    let mut replay =
        Replay { heap, live, payload_bytes: 0, block_bytes: 0, in_calls: Duration::ZERO, buffer: [0; BUFFER_BYTES] };
    for (step, op) in trace.ops.iter().take(ops).enumerate() {
        replay.step(op).map_err(|refusal| match refusal {
            Some(refusal) => Failed::Refused(step + 1, refusal),
            None => Failed::Overwritten(step + 1),
        })?;
        after(&replay, step + 1);
    }
    Ok(replay.in_calls)
}

/// Replays a trace and says where the memory went.
///
/// # Errors
/// The first operation that the allocator refused, or whose payload was overwritten.
pub fn measure(spec: &Spec, trace: &Trace, limit: u64) -> Result<Measured, Failed> {
    let mut heap = spec.open(TouchingArena::new(limit)).map_err(|refusal| Failed::Refused(0, refusal))?;
    let (peak_payload_bytes, peak_at) = trace.peak_payload();
    let every = trace.ops.len().div_ceil(SAMPLES).max(1);
    let mut samples = Vec::new();
    let mut at_peak = (Sample { op: 0, payload_bytes: 0, heap_bytes: 0, block_bytes: 0 }, [0; 3]);
    let mut external_sum = 0.0;
    let in_calls = run(heap.as_mut(), trace, usize::MAX, |replay, op| {
        let sample = replay.sample(op);
        let arena_bytes = replay.heap.arena().bytes().max(1);
        external_sum += 1.0 - sample.block_bytes as f64 / arena_bytes as f64;
        if op % every == 0 || op == trace.ops.len() {
            samples.push(sample);
        }
        if op == peak_at {
            at_peak = (sample, internal(replay, spec));
        }
    })?;
    let (peak, [header_bytes, alignment_bytes, rounding_bytes]) = at_peak;
    Ok(Measured {
        peak_payload_bytes,
        heap_bytes: heap_bytes(heap.as_ref()),
        table_bytes: heap.table_bytes(),
        touched_bytes: heap.arena().touched_bytes(),
        header_bytes,
        alignment_bytes,
        rounding_bytes,
        external_bytes: peak.heap_bytes - heap.table_bytes() - peak.block_bytes,
        external_mean: external_sum / trace.ops.len().max(1) as f64,
        allocations: trace.ops.iter().filter(|op| !matches!(op, Op::Free { .. })).count() as u64,
        counters: heap.counters(),
        samples,
        in_calls,
    })
}

/// Internal fragmentation of all live blocks: tags, alignment, rounding.
fn internal<A: Arena>(replay: &Replay<A>, spec: &Spec) -> [u64; 3] {
    let (tags, align) = (replay.heap.tag_bytes(), spec.settings.align);
    let mut sums = [0; 3];
    for live in replay.live.iter().filter(|live| !live.at.is_null()) {
        let aligned = (live.bytes + tags).next_multiple_of(align);
        sums[0] += tags;
        sums[1] += aligned - live.bytes - tags;
        sums[2] += live.block_bytes.saturating_sub(aligned);
    }
    sums
}
