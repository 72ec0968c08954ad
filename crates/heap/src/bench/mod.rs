//! The bench: what an allocator does with a trace, in space and in time.

pub mod chart;
mod measure;
mod speed;
mod touching;

pub use measure::{Failed, Measured, Sample, measure, replay_until};
pub use speed::{Speed, race};

/// How the lab scores: a weighted sum of utilisation and of throughput relative to a reference, at most 1.
///
/// `utilisation` and `throughput` are the means over the traces; the throughput counts as full at the reference's.
pub fn performance_index(weight: f64, utilisation: f64, throughput: f64, reference: f64) -> f64 {
    let speed = if reference > 0.0 { (throughput / reference).min(1.0) } else { 0.0 };
    weight * utilisation + (1.0 - weight) * speed
}
