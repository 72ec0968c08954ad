//! Addresses through the TLB, walk-cache and cache models, one core: `cargo bench -p pagewalk-model --bench translation`.

#![allow(missing_docs)]

use addr::{Access, PhysAddr, VirtAddr};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use pagewalk_model::{
    CacheLevel, Caches, EntryRead, Inclusion, Random, Scope, Serves, Shape, TlbEntry, TlbStructure, Tlbs,
    TranslationModel, WalkCache, WalkCaches,
};

const ADDRESSES: usize = 1_000_000;
const PAGE: u64 = 4096;
/// Pages in use: 64 MiB.
const PAGES: u64 = 16_384;

/// Three accesses in four stay within 64 bytes of the one before; the others go to pages of small number more often.
fn addresses() -> Vec<(VirtAddr, Access)> {
    let mut random = Random::new(42);
    let mut at = 0;
    let mut next = || {
        if random.below(4) == 0 {
            let bound = 1 + random.below(PAGES);
            at = random.below(bound) * PAGE + random.below(PAGE);
        } else {
            at = (at + random.below(64)) % (PAGES * PAGE);
        }
        (VirtAddr::new(at), if random.below(4) == 0 { Access::Write } else { Access::Read })
    };
    (0..ADDRESSES).map(|_| next()).collect()
}

fn tlbs() -> Tlbs {
    let tlb = |level, serves, shape| TlbStructure { level, serves, page_bytes: vec![PAGE], shape };
    Tlbs::new(&[tlb(1, Serves::Data, Shape::lru(64, 4)), tlb(2, Serves::Both, Shape::lru(1536, 12))])
}

fn fully_associative_tlb() -> Tlbs {
    let shape = Shape::fully_associative(72);
    Tlbs::new(&[TlbStructure { level: 1, serves: Serves::Data, page_bytes: vec![PAGE, PAGE << 9], shape }])
}

fn cache(bytes: usize, ways: usize, inclusion: Inclusion) -> CacheLevel {
    CacheLevel { inclusion, ..CacheLevel::new(Shape::lru(bytes / 64, ways)) }
}

fn one_cache() -> Caches {
    Caches::new(64, &[cache(32 << 10, 8, Inclusion::NonInclusive)])
}

fn three_caches(last: Inclusion) -> Caches {
    let first = cache(32 << 10, 8, Inclusion::NonInclusive);
    Caches::new(64, &[first, cache(256 << 10, 8, Inclusion::NonInclusive), cache(8 << 20, 16, last)])
}

fn whole() -> TranslationModel {
    let walk = |level: usize, entries| WalkCache {
        level,
        span_bytes: PAGE << (9 * (level - 1)),
        shape: Shape::fully_associative(entries),
    };
    TranslationModel {
        tlbs: tlbs(),
        walk_caches: WalkCaches::new(&[walk(2, 32), walk(3, 4)]),
        caches: three_caches(Inclusion::Inclusive),
    }
}

/// The four entries of a walk, the root's first.
fn walk_of(addr: VirtAddr) -> ([EntryRead; 4], TlbEntry) {
    let entries = [4, 3, 2, 1].map(|level: usize| EntryRead {
        level,
        at: PhysAddr::new((5 - level as u64) << 32 | (addr.get() >> (3 + 9 * level)) & !7),
        target: PhysAddr::new(level as u64 - 1),
    });
    (entries, TlbEntry { frame: addr.get() / PAGE, page_bytes: PAGE, scope: Scope::Space(0) })
}

fn look_up(tlbs: &mut Tlbs, addresses: &[(VirtAddr, Access)]) {
    for &(addr, access) in addresses {
        if tlbs.lookup(addr, access, 0).is_none() {
            tlbs.fill(addr, access, walk_of(addr).1);
        }
    }
}

fn reference(caches: &mut Caches, addresses: &[(VirtAddr, Access)]) {
    for &(addr, access) in addresses {
        caches.access(PhysAddr::new(addr.get()), access);
    }
}

fn models(criterion: &mut Criterion) {
    let addresses = addresses();
    let mut group = criterion.benchmark_group("models");
    group.throughput(Throughput::Elements(ADDRESSES as u64)).sample_size(10);
    for (name, make) in [("tlb-2-levels", tlbs as fn() -> Tlbs), ("tlb-72-ways", fully_associative_tlb)] {
        group.bench_function(name, |bencher| {
            bencher.iter_batched_ref(make, |tlbs| look_up(tlbs, &addresses), BatchSize::PerIteration);
        });
    }
    for (name, make) in [
        ("cache-1-level", one_cache as fn() -> Caches),
        ("caches-3-inclusive", || three_caches(Inclusion::Inclusive)),
        ("caches-3-exclusive", || three_caches(Inclusion::Exclusive)),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter_batched_ref(make, |caches| reference(caches, &addresses), BatchSize::PerIteration);
        });
    }
    group.bench_function("tlbs-walks-caches", |bencher| {
        let all = |model: &mut TranslationModel| {
            for &(addr, access) in &addresses {
                model.access(addr, access, 0, || walk_of(addr));
            }
        };
        bencher.iter_batched_ref(whole, all, BatchSize::PerIteration);
    });
    group.finish();
}

criterion_group!(benches, models);
criterion_main!(benches);
