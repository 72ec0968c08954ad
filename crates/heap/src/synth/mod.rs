//! Traces of our own, generated from a seed: the shapes of programs, of the malloc lab, and of the literature.
//!
//! docs/heap.md has a table of their sizes and lifetimes.

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
