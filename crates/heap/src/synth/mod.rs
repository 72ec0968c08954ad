//! Traces of our own, generated from a seed: the shapes of programs, of the malloc lab, and of the literature.
//!
//! | name | sizes (bytes) | lifetimes |
//! |---|---|---|
//! | compiler | nodes of 16 to 96, strings of 1 to 40, one table of 4 KiB in a hundred | each function's nodes die together at its end, one in ten lives to the end |
//! | browser | 16 to 64 common, 1 KiB to 64 KiB one in fifteen | two thirds die among the next 50, the rest when their tab closes |
//! | key-value | keys of 8 to 40, values log-uniform from 16 to 4 KiB | a key is overwritten at random (free, then malloc), some values grow by realloc |
//! | game-loop | per frame 20 to 60 blocks of 32 to 512; a level's assets of 4 to 64 KiB | frame blocks die at the end of their frame, assets with the level |
//! | coalescing | two blocks of 4095, then one of 8190 | the pair dies before the large one is asked for, over and over |
//! | binary | 2,000 times 64 and 448 by turns, then 512 | all blocks of 448 die before the first of 512; rounds |
//! | random | uniform from 1 to 32 KiB | uniform |
//! | realloc-growth | four vectors that grow by half, strings that grow by 1 to 64, small blocks between | to the end |
//! | realloc-lab | one block from 512 that grows by 128, blocks of 128 beside it | the small block before the last dies; 4,800 steps at most |
//! | larson | uniform from 10 to 500 | Larson and Krishnan 1998: a random one of 1,000 blocks is replaced, over and over |
//! | steady-state | exponential with mean 64, from 8 | Knuth, TAOCP 2.5: as many as arrive, exponential lifetimes with mean 500 operations |
//! | queue | 24 to 280, each burst of one size | first in, first out, up to 2,000 waiting |
//! | robson | powers of two, one to 1,024 units of 32 | Robson 1974's adversary, played against first fit |

mod adversary;
mod programs;
mod rng;

pub use adversary::{Robson, robson};
pub use rng::Rng;

use crate::{Op, Trace, Weight};

/// The traces, by name.
pub const NAMES: [&str; 13] = [
    "compiler",
    "browser",
    "key-value",
    "game-loop",
    "coalescing",
    "binary",
    "random",
    "realloc-growth",
    "realloc-lab",
    "larson",
    "steady-state",
    "queue",
    "robson",
];

/// Those whose shapes are the malloc lab's own traces': a compiler's, and its synthetic ones.
pub const LAB: [&str; 5] = ["compiler", "coalescing", "random", "binary", "realloc-lab"];

/// The trace of that name with about `ops` operations, or `None` if there is no such name.
pub fn generate(name: &str, ops: usize, seed: u64) -> Option<Trace> {
    let mut writer = Writer { rng: Rng::new(seed), ops: Vec::with_capacity(ops), free_ids: Vec::new(), ids: 0 };
    match name {
        "compiler" => programs::compiler(&mut writer, ops),
        "browser" => programs::browser(&mut writer, ops),
        "key-value" => programs::key_value(&mut writer, ops),
        "game-loop" => programs::game_loop(&mut writer, ops),
        "coalescing" => programs::coalescing(&mut writer, ops),
        "binary" => programs::binary(&mut writer, ops),
        "random" => programs::random(&mut writer, ops),
        "realloc-growth" => programs::realloc_growth(&mut writer, ops),
        "realloc-lab" => programs::realloc_lab(&mut writer, ops),
        "larson" => programs::larson(&mut writer, ops),
        "steady-state" => programs::steady_state(&mut writer, ops),
        "queue" => programs::queue(&mut writer, ops),
        "robson" => adversary::trace(&mut writer, ops),
        _ => return None,
    }
    Some(Trace { name: name.into(), ids: writer.ids, weight: Weight::Both, ops: writer.ops })
}

/// A trace being written.
struct Writer {
    rng: Rng,
    ops: Vec<Op>,
    free_ids: Vec<u32>,
    ids: u32,
}

impl Writer {
    fn malloc(&mut self, bytes: u64) -> u32 {
        let id = self.free_ids.pop().unwrap_or(self.ids);
        self.ids = self.ids.max(id + 1);
        self.ops.push(Op::Malloc { id, bytes });
        id
    }

    fn realloc(&mut self, id: u32, bytes: u64) {
        self.ops.push(Op::Realloc { id, bytes });
    }

    fn free(&mut self, id: u32) {
        self.ops.push(Op::Free { id });
        self.free_ids.push(id);
    }

    fn free_all(&mut self, ids: &mut Vec<u32>) {
        ids.drain(..).for_each(|id| self.free(id));
    }

    /// Takes a random one out of `ids`.
    fn pick(&mut self, ids: &mut Vec<u32>) -> u32 {
        let which = self.rng.below(ids.len() as u64) as usize;
        ids.swap_remove(which)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_a_sound_trace_and_one_seed_one_trace() {
        for name in NAMES {
            let trace = generate(name, 5000, 7).expect("it is in the list");
            assert_eq!(Trace::parse(name, &trace.to_compact()).as_ref(), Ok(&trace), "{name}");
            assert_eq!(generate(name, 5000, 7).as_ref(), Some(&trace));
            assert!((3000..=6000).contains(&trace.ops.len()), "{name}: {} operations", trace.ops.len());
        }
        assert_eq!(generate("nobody", 1, 1), None);
    }
}
