//! Replays of a zipf-like reference string, one core: `cargo bench -p pagewalk-model --bench policies`.

#![allow(missing_docs)]

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use pagewalk_model::policies::Future;
use pagewalk_model::{PolicyKind, Random, Reference, Settings};

/// Distinct pages: 400 MiB of 4 KiB pages.
const PAGES: usize = 100_000;
const REFERENCES: usize = 4_000_000;

/// Page `rank` is drawn with a weight of 1 / rank, and pages are numbered in no order.
fn zipf() -> Vec<Reference> {
    let mut generator = Random::new(42);
    let mut cumulative: Vec<f64> = (1..=PAGES).map(|rank| 1.0 / rank as f64).collect();
    for rank in 1..PAGES {
        cumulative[rank] += cumulative[rank - 1];
    }
    let mut numbers: Vec<u64> = (0..PAGES as u64).collect();
    for place in (1..PAGES).rev() {
        numbers.swap(place, generator.below(place as u64 + 1) as usize);
    }
    let total = cumulative[PAGES - 1];
    let mut draw = || {
        let wanted = generator.fraction() * total;
        numbers[cumulative.partition_point(|&sum| sum < wanted).min(PAGES - 1)]
    };
    (0..REFERENCES).map(|_| Reference::read(draw())).collect()
}

fn replays(criterion: &mut Criterion) {
    let references = zipf();
    let future = Future::of(&references);
    for frames in [10_000, 50_000] {
        let mut group = criterion.benchmark_group(format!("zipf-{frames}"));
        group.throughput(Throughput::Elements(REFERENCES as u64)).sample_size(10);
        for &kind in PolicyKind::ALL {
            let make = || kind.replayed(frames, &Settings::default(), &future);
            let miss_ratio = make().replay(&references) as f64 / REFERENCES as f64;
            group.bench_function(format!("{} (misses {:.4})", kind.name(), miss_ratio), |bencher| {
                bencher.iter_batched(make, |mut policy| policy.replay(&references), BatchSize::PerIteration);
            });
        }
        group.finish();
    }
}

criterion_group!(benches, replays);
criterion_main!(benches);
