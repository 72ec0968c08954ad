//! CPU time of this process's threads.

/// Nanoseconds of a tick as programs are told them.
pub const TICK_NS: u64 = 10_000_000;

/// What a thread has used, in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct CpuTime {
    /// In programs.
    pub user_ns: u64,
    /// In kernels.
    pub system_ns: u64,
}

impl CpuTime {
    /// The first in ticks of `sysconf(_SC_CLK_TCK)`.
    pub fn user_ticks(self) -> u64 {
        self.user_ns / TICK_NS
    }

    /// The second likewise.
    pub fn system_ticks(self) -> u64 {
        self.system_ns / TICK_NS
    }

    /// Both together.
    pub fn total_ns(self) -> u64 {
        self.user_ns + self.system_ns
    }

    /// The same sum, divided so that neither part is less than it was `before`: ticks that are counted later change
    /// the division of what was used earlier.
    #[must_use]
    pub fn going_on_from(self, before: Self) -> Self {
        let total = self.total_ns();
        if total <= before.total_ns() {
            return before;
        }
        let user_ns = self.user_ns.clamp(before.user_ns, total - before.system_ns);
        Self { user_ns, system_ns: total - user_ns }
    }
}

impl std::ops::AddAssign for CpuTime {
    fn add_assign(&mut self, other: Self) {
        self.user_ns += other.user_ns;
        self.system_ns += other.system_ns;
    }
}

/// The kinds of clocks that a thread has (linux/posix-timers.h).
const ALL_TICKS: i32 = 0;
const USER_TICKS: i32 = 1;
const EXACT: i32 = 2;
const OF_A_THREAD: i32 = 4;

/// What a thread of this process has used; nothing for one that has ended. The sum is exact, its parts are as the host
/// divides it by ticks.
pub fn of_thread(tid: i32) -> CpuTime {
    if tid <= 0 {
        return CpuTime::default();
    }
    let clock = |kind: i32| crate::files::clock_ns(!tid << 3 | OF_A_THREAD | kind).unwrap_or(0);
    let total = clock(EXACT);
    let (all, user) = (clock(ALL_TICKS), clock(USER_TICKS));
    let user_ns = match all.saturating_sub(user) {
        0 => total,
        _ => (u128::from(total) * u128::from(user) / u128::from(all)) as u64,
    };
    CpuTime { user_ns, system_ns: total - user_ns }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_computes_uses_time() {
        let tid = crate::guest_thread::host_tid();
        let before = of_thread(tid);
        while of_thread(tid).total_ns() < before.total_ns() + 1_000_000 {
            std::hint::spin_loop();
        }
        assert_eq!(of_thread(i32::MAX >> 4), CpuTime::default());
    }

    #[test]
    fn neither_part_goes_back() {
        let time = |user_ns, system_ns| CpuTime { user_ns, system_ns };
        assert_eq!(time(90, 30).going_on_from(time(100, 0)), time(100, 20));
        assert_eq!(time(120, 0).going_on_from(time(80, 20)), time(100, 20));
        assert_eq!(time(110, 30).going_on_from(time(100, 0)), time(110, 30));
        assert_eq!(time(50, 40).going_on_from(time(90, 10)), time(90, 10));
    }
}
