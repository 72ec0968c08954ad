//! The shapes of programs and of the malloc lab's traces.

use super::Writer;
use std::collections::{BinaryHeap, VecDeque};

pub(super) fn compiler(w: &mut Writer, ops: usize) {
    let (mut kept, mut function) = (Vec::new(), Vec::new());
    while w.ops.len() + kept.len() < ops {
        for _ in 0..w.rng.between(40, 400) {
            let bytes = match w.rng.below(100) {
                0 => 4096,
                1..40 => w.rng.between(1, 40),
                _ => 16 * w.rng.between(1, 6),
            };
            let id = w.malloc(bytes);
            if w.rng.once_in(10) { kept.push(id) } else { function.push(id) }
        }
        w.free_all(&mut function);
    }
    w.free_all(&mut kept);
}

pub(super) fn browser(w: &mut Writer, ops: usize) {
    let mut tabs: Vec<Vec<u32>> = vec![Vec::new(); 6];
    let mut young = VecDeque::new();
    while w.ops.len() + young.len() + tabs.iter().map(Vec::len).sum::<usize>() < ops {
        let bytes = if w.rng.once_in(15) { w.rng.log_between(1024, 1 << 16) } else { w.rng.between(16, 64) };
        let id = w.malloc(bytes);
        if w.rng.once_in(3) {
            let tab = w.rng.below(6) as usize;
            tabs[tab].push(id);
        } else {
            young.push_back(id);
        }
        if young.len() > 50 {
            let which = w.rng.below(50) as usize;
            let id = young.remove(which).expect("more than fifty");
            w.free(id);
        }
        if w.rng.once_in(3000) {
            let tab = w.rng.below(6) as usize;
            w.free_all(&mut tabs[tab]);
        }
    }
    tabs.iter_mut().for_each(|tab| w.free_all(tab));
    w.free_all(&mut young.into());
}

pub(super) fn key_value(w: &mut Writer, ops: usize) {
    let mut values = Vec::new();
    let mut keys = Vec::new();
    while w.ops.len() + values.len() + keys.len() < ops {
        let bytes = w.rng.log_between(16, 4096);
        if values.len() < (ops / 20).min(5000) {
            let key = w.rng.between(8, 40);
            keys.push(w.malloc(key));
            values.push(w.malloc(bytes));
            continue;
        }
        let which = w.rng.below(values.len() as u64) as usize;
        if w.rng.once_in(5) {
            w.realloc(values[which], bytes + 64);
        } else {
            w.free(values[which]);
            values[which] = w.malloc(bytes);
        }
    }
    w.free_all(&mut keys);
    w.free_all(&mut values);
}

pub(super) fn game_loop(w: &mut Writer, ops: usize) {
    let mut assets = Vec::new();
    while w.ops.len() + assets.len() < ops {
        for _ in 0..w.rng.between(10, 40) {
            let bytes = w.rng.log_between(4096, 1 << 16);
            assets.push(w.malloc(bytes));
        }
        for _ in 0..50 {
            let mut frame = Vec::new();
            for _ in 0..w.rng.between(20, 60) {
                let bytes = w.rng.between(32, 512);
                frame.push(w.malloc(bytes));
            }
            w.free_all(&mut frame);
            if w.ops.len() + assets.len() >= ops {
                break;
            }
        }
        w.free_all(&mut assets);
    }
}

pub(super) fn coalescing(w: &mut Writer, ops: usize) {
    while w.ops.len() + 6 <= ops {
        let pair = [w.malloc(4095), w.malloc(4095)];
        pair.into_iter().for_each(|id| w.free(id));
        let large = w.malloc(8190);
        w.free(large);
    }
}

pub(super) fn binary(w: &mut Writer, ops: usize) {
    /// Pairs in a round, as many as in the lab's trace.
    const PAIRS: usize = 2000;
    while w.ops.len() + 12 <= ops {
        let pairs = ((ops - w.ops.len()) / 6).min(PAIRS);
        let (mut small, mut large) = (Vec::new(), Vec::new());
        for _ in 0..pairs {
            small.push(w.malloc(64));
            large.push(w.malloc(448));
        }
        w.free_all(&mut large);
        for _ in 0..pairs {
            large.push(w.malloc(512));
        }
        w.free_all(&mut small);
        w.free_all(&mut large);
    }
}

pub(super) fn random(w: &mut Writer, ops: usize) {
    let mut live = Vec::new();
    while w.ops.len() + live.len() < ops {
        if live.is_empty() || w.rng.below(1000) < if live.len() < ops / 20 { 600 } else { 400 } {
            let bytes = w.rng.between(1, 1 << 15);
            live.push(w.malloc(bytes));
        } else {
            let id = w.pick(&mut live);
            w.free(id);
        }
    }
    w.free_all(&mut live);
}

pub(super) fn realloc_growth(w: &mut Writer, ops: usize) {
    let mut growing: Vec<(u32, u64)> = [64, 64, 64, 64, 16, 16].map(|bytes| (w.malloc(bytes), bytes)).to_vec();
    let mut between = Vec::new();
    while w.ops.len() + between.len() + growing.len() < ops {
        let which = w.rng.below(growing.len() as u64) as usize;
        let (id, bytes) = growing[which];
        let more = if which < 4 { bytes + bytes / 2 } else { bytes + w.rng.between(1, 64) };
        if more > 1 << 18 {
            w.free(id);
            growing[which] = (w.malloc(64), 64);
        } else {
            w.realloc(id, more);
            growing[which] = (id, more);
        }
        let bytes = w.rng.between(16, 128);
        between.push(w.malloc(bytes));
        if between.len() > 20 {
            let id = w.pick(&mut between);
            w.free(id);
        }
    }
    growing.into_iter().for_each(|(id, _)| w.free(id));
    w.free_all(&mut between);
}

pub(super) fn realloc_lab(w: &mut Writer, ops: usize) {
    /// As many as in the lab's trace; more would be quadratic in what is copied and verified.
    const STEPS: u64 = 4800;
    let growing = w.malloc(512);
    let mut between = w.malloc(128);
    for step in 1..=STEPS.min((ops as u64).saturating_sub(4) / 3) {
        w.realloc(growing, 512 + 128 * step);
        let next = w.malloc(128);
        w.free(between);
        between = next;
    }
    w.free(growing);
    w.free(between);
}

pub(super) fn larson(w: &mut Writer, ops: usize) {
    let mut live = Vec::new();
    while w.ops.len() + live.len() < ops {
        if live.len() == 1000 {
            let id = w.pick(&mut live);
            w.free(id);
        }
        let bytes = w.rng.between(10, 500);
        live.push(w.malloc(bytes));
    }
    w.free_all(&mut live);
}

pub(super) fn steady_state(w: &mut Writer, ops: usize) {
    let mut deaths: BinaryHeap<std::cmp::Reverse<(u64, u32)>> = BinaryHeap::new();
    let mut now = 0;
    while w.ops.len() + deaths.len() < ops {
        while let Some(&std::cmp::Reverse((when, id))) = deaths.peek()
            && when <= now
        {
            deaths.pop();
            w.free(id);
        }
        let (bytes, life) = (8 + w.rng.exponential(56), 1 + w.rng.exponential(500));
        let id = w.malloc(bytes);
        deaths.push(std::cmp::Reverse((now + life, id)));
        now += 1;
    }
    deaths.into_sorted_vec().into_iter().rev().for_each(|std::cmp::Reverse((_, id))| w.free(id));
}

pub(super) fn queue(w: &mut Writer, ops: usize) {
    let mut waiting = VecDeque::new();
    while w.ops.len() + waiting.len() < ops {
        let bytes = 8 * w.rng.between(3, 35);
        for _ in 0..w.rng.between(1, 100) {
            waiting.push_back(w.malloc(bytes));
        }
        let keep = w.rng.below(2000) as usize;
        while waiting.len() > keep {
            let id = waiting.pop_front().expect("more than are kept");
            w.free(id);
        }
    }
    w.free_all(&mut waiting.into());
}
