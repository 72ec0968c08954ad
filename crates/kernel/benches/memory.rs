//! A minor fault on a recycled and on a virgin frame, and the fork of a process with 1 GiB touched.

use addr::{Access, PAGE_BYTES, VirtAddr};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use mmu::{Levels, Memory};
use pagewalk_kernel::mm::{Aslr, Layout, Limits, Mm, MmConfig, MmapRequest, SpaceId};
use std::hint::black_box;

const RW: u64 = 3;
const PRIVATE_ANONYMOUS: u64 = 0x22;
const GIB: u64 = 1 << 30;

/// A machine with one space in which `bytes` bytes are mapped.
fn machine(frames: u32, bytes: u64) -> (Mm, SpaceId, VirtAddr) {
    let memory = Memory::new(frames).expect("the host has room");
    let mut mm = Mm::new(&memory, MmConfig::default()).expect("RAM is large enough");
    let layout = Layout::new(Levels::Four, 8 << 20, Aslr::Off);
    let id = mm.create_space(layout, Limits::default()).expect("RAM is empty");
    let request = MmapRequest { addr: 0, bytes, prot: RW, flags: PRIVATE_ANONYMOUS, offset: 0, file: None };
    let start = mm.mmap(id, &request).expect("there is room");
    (mm, id, start)
}

fn fault(criterion: &mut Criterion) {
    let pages = 512;
    let (mut mm, id, start) = machine(1 << 14, pages * PAGE_BYTES);
    let touch_all = |mm: &mut Mm| {
        for page in 0..pages {
            black_box(mm.fault(id, start + page * PAGE_BYTES, Access::Write)).expect("it is mapped");
        }
    };
    let mut group = criterion.benchmark_group("fault");
    group.throughput(criterion::Throughput::Elements(pages));
    group.bench_function("zero-fill of recycled frames", |bencher| {
        bencher.iter(|| {
            touch_all(&mut mm);
            mm.madvise(id, start.get(), pages * PAGE_BYTES, 4).expect("it is mapped");
        });
    });
    group.bench_function("zero-fill of virgin frames", |bencher| {
        bencher.iter_batched(
            || machine(1 << 10, pages * PAGE_BYTES),
            |(mut mm, id, start)| {
                for page in 0..pages {
                    black_box(mm.fault(id, start + page * PAGE_BYTES, Access::Write)).expect("it is mapped");
                }
                mm
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn fork(criterion: &mut Criterion) {
    let (mut mm, id, start) = machine((GIB / PAGE_BYTES) as u32 + (1 << 14), GIB);
    for page in 0..GIB / PAGE_BYTES {
        mm.fault(id, start + page * PAGE_BYTES, Access::Write).expect("it is mapped");
    }
    let mut group = criterion.benchmark_group("fork");
    group.sample_size(20);
    group.bench_function("1 GiB touched", |bencher| {
        bencher.iter_custom(|times| {
            let mut spent = std::time::Duration::ZERO;
            for _ in 0..times {
                let begun = std::time::Instant::now();
                let child = mm.fork_space(id).expect("there is RAM");
                spent += begun.elapsed();
                mm.release_space(child);
            }
            spent
        });
    });
    group.bench_function("1 GiB touched, and the child's end", |bencher| {
        bencher.iter(|| {
            let child = mm.fork_space(id).expect("there is RAM");
            mm.release_space(child);
        });
    });
    group.finish();
}

criterion_group!(benches, fault, fork);
criterion_main!(benches);
