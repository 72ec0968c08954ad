//! The load averages: how many tasks could run, averaged over one, five and fifteen minutes.

use std::time::Instant;

/// How often Linux samples.
const PERIOD_NS: f64 = 5.0 * 1e9;
/// The three averages' times, in nanoseconds.
const TIMES_NS: [f64; 3] = [60.0 * 1e9, 300.0 * 1e9, 900.0 * 1e9];

/// Exponentially damped means, brought up to date whenever the number of tasks that can run may have changed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoadAverage {
    at: Instant,
    means: [f64; 3],
}

impl LoadAverage {
    /// An idle machine.
    pub fn new(now: Instant) -> Self {
        Self { at: now, means: [0.0; 3] }
    }

    /// Until `now`, so many tasks could run. Less than a period is left for the next time.
    pub fn advance(&mut self, now: Instant, running: usize) {
        let passed_ns = now.saturating_duration_since(self.at).as_nanos() as f64;
        if passed_ns < PERIOD_NS {
            return;
        }
        self.at = now;
        for (mean, time_ns) in self.means.iter_mut().zip(TIMES_NS) {
            let keeps = (-passed_ns / time_ns).exp();
            *mean = *mean * keeps + running as f64 * (1.0 - keeps);
        }
    }

    /// Over one, five and fifteen minutes.
    pub fn means(&self) -> [f64; 3] {
        self.means
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_busy_minute_weighs_most_in_the_shortest_mean() {
        let start = Instant::now();
        let mut load = LoadAverage::new(start);
        load.advance(start + Duration::from_secs(1), 9);
        assert_eq!(load.means(), [0.0; 3]);
        load.advance(start + Duration::from_secs(60), 2);
        let [one, five, fifteen] = load.means();
        assert!((one - 1.264).abs() < 0.001, "{one}");
        assert!(one > five && five > fifteen && fifteen > 0.0);
        load.advance(start + Duration::from_secs(6000), 0);
        assert!(load.means()[2] < 0.01);
    }
}
