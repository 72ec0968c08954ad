//! Looks after the host's memory while guests run.
//!
//! What guests take of it is bounded where they ask for it: RAM, memory files, buffers of calls. But bounds leave gaps: a user may
//! give a machine more RAM than the host has, other programs may take theirs, and what the host holds for guests itself, in
//! pipes and sockets, is in no account of ours. Where memory ends the host kills whoever has most, which is pagewalk with all
//! guests in it. So, before:
//! ```text
//! left, of what the host can give      RAM that guests have freed goes back to it
//!   below the reserve                  |
//!   below three quarters of it         |  and a guest is killed, as Linux would choose; then the next, if that was not enough
//!   below one quarter                  |  and all of them: the host would do no less
//! ```
//! While that one ends, the others wait: what they take meanwhile could be the rest. It is looked at the more often the less
//! there is: again before anybody could have come to half of the reserve.

use crate::shared::Shared;
use host::{HostMemory, MemoryTellers};
use kernel::{Kernel, Pid, Victim};
use std::time::{Duration, Instant};

/// The host clears and hands out no more than this: about what several cores can write.
const FASTEST_BYTES_PER_NS: u64 = 16;
/// It is looked at no more often, and no less often.
const PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(1));
/// How long a killed guest may take to end before another is killed.
const PATIENCE: Duration = Duration::from_secs(1);

/// When the host's memory is looked at next, and who was killed for it last.
pub struct MemoryWatch {
    tellers: Option<MemoryTellers>,
    next_look: Instant,
    victim: Option<(Pid, Instant)>,
    /// The threads of all that were killed since there was enough.
    ending: Vec<u32>,
}

/// What is to be done about the host's memory.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Need {
    Nothing,
    /// Free RAM is to be given back.
    Little,
    /// Somebody has to end.
    Much,
    /// All have to: it goes too fast.
    All,
}

impl MemoryWatch {
    /// A watch that has not looked yet.
    pub fn new() -> Self {
        Self { tellers: MemoryTellers::open(), next_look: Instant::now(), victim: None, ending: Vec::new() }
    }

    /// When the host is to be looked at; `None` if it does not say what it has.
    pub fn next_look(&self) -> Option<Instant> {
        self.tellers.as_ref().map(|_| self.next_look)
    }

    /// Looks at the host, and does what has to be done.
    pub fn look(&mut self, shared: &Shared) {
        let Some(now) = self.tellers.as_ref().and_then(MemoryTellers::read) else {
            self.tellers = None;
            return self.release(shared);
        };
        let need = need(&now);
        if need != Need::Nothing {
            let given = shared.with_kernel_if_running(|kernel| kernel.mm_mut().give_back_free_frames());
            if need >= Need::Much && given == Some(false) {
                self.kill(shared, need);
            }
        }
        if need < Need::Much {
            self.release(shared);
        }
        let pause = if self.victim.is_some() { PAUSES.0 } else { pause(&now) };
        self.next_look = Instant::now() + pause;
    }

    /// Kills a guest, unless one is about to end that was killed before; or all.
    fn kill(&mut self, shared: &Shared, need: Need) {
        let is_ending = |pid| shared.with_kernel_if_running(|kernel| kernel.is_alive(pid)) == Some(true);
        let waits = self.victim.is_some_and(|(pid, since)| since.elapsed() < PATIENCE && is_ending(pid));
        if waits && need < Need::All {
            return;
        }
        let most = if need == Need::All { usize::MAX } else { 1 };
        let kill = |kernel: &mut Kernel| std::iter::from_fn(|| kernel.kill_for_memory()).take(most).collect();
        let victims: Vec<Victim> = shared.with_kernel_if_running(kill).unwrap_or_default();
        match victims.last() {
            Some(victim) => {
                self.victim = Some((victim.pid, Instant::now()));
                self.ending.extend(victims.iter().flat_map(|victim| &victim.threads).map(|tid| tid.get()));
                shared.token.reserve(self.ending.clone());
            }
            // Those that were killed before take their time.
            None if waits => {}
            None => self.release(shared),
        }
    }

    /// Lets the others go on: there is memory again, or nobody who could give some.
    fn release(&mut self, shared: &Shared) {
        if self.victim.take().is_some() {
            self.ending.clear();
            shared.token.unreserve();
        }
    }
}

fn need(now: &HostMemory) -> Need {
    match now.left {
        left if left < now.reserve() / 4 => Need::All,
        left if left < now.reserve() / 4 * 3 => Need::Much,
        left if left < now.reserve() => Need::Little,
        _ => Need::Nothing,
    }
}

/// How long nobody can have come to half of the reserve.
fn pause(now: &HostMemory) -> Duration {
    let room = now.left.saturating_sub(now.reserve() / 2);
    Duration::from_nanos(room / FASTEST_BYTES_PER_NS).clamp(PAUSES.0, PAUSES.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const M: u64 = 1 << 20;

    fn left(left: u64) -> HostMemory {
        HostMemory { total: 16 << 30, available: left, shared: 0, left }
    }

    #[test]
    fn guests_are_killed_when_a_quarter_of_the_reserve_is_gone() {
        let needs = |bytes: &[u64]| bytes.iter().map(|bytes| need(&left(*bytes))).collect::<Vec<_>>();
        assert_eq!(needs(&[0, 256 * M - 1]), [Need::All; 2]);
        assert_eq!(needs(&[256 * M, 768 * M - 1]), [Need::Much; 2]);
        assert_eq!(needs(&[768 * M, 1024 * M - 1, 1024 * M]), [Need::Little, Need::Little, Need::Nothing]);
        // Others swap, and cache files: that is no need.
        assert_eq!(need(&HostMemory { left: 2048 * M, ..left(0) }), Need::Nothing);
    }

    #[test]
    fn it_is_looked_at_the_more_often_the_less_there_is() {
        let pauses = [0, 512 * M, 528 * M, 2560 * M, 1 << 40].map(|bytes| pause(&left(bytes)).as_micros());
        assert_eq!(pauses, [1_000, 1_000, 1_048, 134_217, 1_000_000]);
    }
}
