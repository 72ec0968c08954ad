//! The run token: the permission to execute generated code and to make the kernel act for a guest thread.
//!
//! ```text
//! Free --take--> Running(tid) --enter_host--> InHost(tid, n) --take_back--> Running(tid)
//!   ^               |                            |
//!   '----give-------'                            '--taken over by the first waiter, once the call has lasted--> Running(other)
//! ```
//! A thread that enters the host only marks the token stealable, and takes it back with one compare-exchange when
//! nobody took it over meanwhile: handing it over at every system call would cost 14 us each time. The first of the
//! waiters watches: a call that is still in the host after [`PATIENCE`] loses the token, and a thread that has run for
//! [`SLICE`] is kicked, so that it passes the token on.
//!
//! Kernel data has a lock of its own, which is taken after the token and given back before it.

use mmu::CpuView;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a call may be in the host before another thread may run.
const PATIENCE: Duration = Duration::from_micros(100);
/// How long a thread may run while others wait.
const SLICE: Duration = Duration::from_millis(5);

/// Nobody runs.
const FREE: u64 = 0;
/// Set while the holder is in the host.
const IN_HOST: u64 = 1 << 32;
/// Counts the calls, so that two calls of one thread are two states.
const CALL: u64 = 1 << 33;

/// The run token of one machine. A word: the holder's tid, whether it is in the host, and a count of its calls.
pub struct RunToken {
    state: AtomicU64,
    waiting: AtomicUsize,
    queue: Mutex<VecDeque<Arc<Waiter>>>,
    views: Vec<Arc<CpuView>>,
}

#[derive(Default)]
struct Waiter {
    wake: Condvar,
}

impl RunToken {
    /// A free token for the virtual CPUs that have these views.
    pub fn new(views: Vec<Arc<CpuView>>) -> Self {
        Self { state: AtomicU64::new(FREE), waiting: AtomicUsize::new(0), queue: Mutex::new(VecDeque::new()), views }
    }

    /// Waits for the token.
    pub fn take(&self, tid: u32) {
        if self.waiting.load(Ordering::Acquire) == 0 && self.change(FREE, running(tid)) {
            self.forget_kicks();
            return;
        }
        self.wait(tid);
    }

    /// Gives it up: the thread sleeps or ends.
    pub fn give(&self, tid: u32) {
        let was = self.state.swap(FREE, Ordering::AcqRel);
        debug_assert_eq!(was as u32, tid, "the holder gives the token");
        if self.waiting.load(Ordering::Acquire) > 0 {
            self.wake_first(&self.queue());
        }
    }

    /// The holder has another number from now on.
    pub fn rename(&self, from: u32, to: u32) {
        let was = self.state.swap(running(to), Ordering::AcqRel);
        debug_assert_eq!(was, running(from), "the holder is renamed");
    }

    /// Lets the others run, if there are any, and waits for its own next turn.
    pub fn pass(&self, tid: u32) -> Passed {
        if self.waiting.load(Ordering::Acquire) == 0 {
            return Passed::ToNobody;
        }
        self.give(tid);
        self.wait(tid);
        Passed::ToOthers
    }

    /// The holder enters the host: from now on the token can be taken over.
    pub fn enter_host(&self, tid: u32) -> InHost {
        let call = self.state.load(Ordering::Relaxed) & !u64::from(u32::MAX) & !IN_HOST;
        let state = u64::from(tid) | IN_HOST | call.wrapping_add(CALL);
        self.state.store(state, Ordering::Release);
        InHost { tid, state }
    }

    /// The thread is back from the host and needs the token again. Says whether it had kept it.
    pub fn take_back(&self, mark: InHost) -> TakenBack {
        if self.change(mark.state, mark.state & !IN_HOST) {
            return TakenBack::Kept;
        }
        self.take(mark.tid);
        TakenBack::Anew
    }

    /// Makes a thread leave generated code, if it is the one that runs.
    pub fn kick(&self, tid: u32) {
        if self.state.load(Ordering::Acquire) as u32 == tid {
            self.views.iter().for_each(|view| view.kick());
        }
    }

    fn wait(&self, tid: u32) {
        let me = Arc::new(Waiter::default());
        let mut queue = self.queue();
        self.waiting.fetch_add(1, Ordering::AcqRel);
        queue.push_back(Arc::clone(&me));
        while !queue.front().is_some_and(|first| Arc::ptr_eq(first, &me)) {
            queue = me.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        let state = self.state.load(Ordering::Acquire);
        // A state for a call that lasts, a holder for a slice that is used up, be it in many short calls.
        let (mut seen, mut holder) = ((state, Instant::now()), (state as u32, Instant::now()));
        while !self.change(FREE, running(tid)) {
            let state = self.state.load(Ordering::Acquire);
            let lasts = seen.1.elapsed();
            if state != seen.0 {
                seen = (state, Instant::now());
            } else if state & IN_HOST != 0 && lasts >= PATIENCE && self.change(state, running(tid)) {
                break;
            }
            if state as u32 != holder.0 {
                holder = (state as u32, Instant::now());
            } else if holder.1.elapsed() >= SLICE {
                self.views.iter().for_each(|view| view.kick());
            }
            queue = me.wake.wait_timeout(queue, PATIENCE).unwrap_or_else(PoisonError::into_inner).0;
        }
        self.forget_kicks();
        queue.pop_front();
        self.waiting.fetch_sub(1, Ordering::AcqRel);
        self.wake_first(&queue);
    }

    /// Kicks were for whoever had the token before. A waiter kicks every CPU, its own too, and would otherwise pass the
    /// token on as soon as it gets it. What else a kick is for, the new holder looks at before it runs.
    fn forget_kicks(&self) {
        self.views.iter().for_each(|view| _ = view.take_kick());
    }

    fn wake_first(&self, queue: &VecDeque<Arc<Waiter>>) {
        if let Some(first) = queue.front() {
            first.wake.notify_one();
        }
    }

    fn change(&self, from: u64, to: u64) -> bool {
        self.state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    fn queue(&self) -> MutexGuard<'_, VecDeque<Arc<Waiter>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The mark of a thread that is in the host; [`RunToken::take_back`] takes it.
#[must_use]
pub struct InHost {
    tid: u32,
    state: u64,
}

/// Whether somebody else had a turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Passed {
    /// Others waited for it.
    ToOthers,
    /// Nobody did.
    ToNobody,
}

/// How a thread came by the token after a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TakenBack {
    /// Nobody else had it.
    Kept,
    /// Another thread had taken it over.
    Anew,
}

fn running(tid: u32) -> u64 {
    u64::from(tid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mmu::Kicked;
    use std::thread;

    fn token() -> Arc<RunToken> {
        Arc::new(RunToken::new(vec![CpuView::new()]))
    }

    #[test]
    fn a_short_call_keeps_the_token() {
        let token = token();
        token.take(1);
        let mark = token.enter_host(1);
        assert_eq!(token.take_back(mark), TakenBack::Kept);
        token.give(1);
    }

    #[test]
    fn a_call_that_lasts_loses_it() {
        let token = token();
        token.take(1);
        let mark = token.enter_host(1);
        let other = Arc::clone(&token);
        thread::spawn(move || {
            other.take(2);
            other.give(2);
        })
        .join()
        .unwrap();
        assert_eq!(token.take_back(mark), TakenBack::Anew);
        token.give(1);
    }

    #[test]
    fn who_makes_many_short_calls_is_kicked() {
        let view = CpuView::new();
        let token = Arc::new(RunToken::new(vec![Arc::clone(&view)]));
        token.take(1);
        let other = Arc::clone(&token);
        let waiter = thread::spawn(move || {
            other.take(2);
            other.give(2);
        });
        while view.take_kick() == Kicked::No {
            let mark = token.enter_host(1);
            if token.take_back(mark) == TakenBack::Anew {
                break;
            }
        }
        token.pass(1);
        token.give(1);
        waiter.join().unwrap();
    }

    #[test]
    fn who_runs_long_is_kicked_and_passes_it_on() {
        let token = token();
        token.take(1);
        let other = Arc::clone(&token);
        let waiter = thread::spawn(move || {
            other.take(2);
            other.give(2);
        });
        while token.views[0].take_kick() == Kicked::No {
            thread::yield_now();
        }
        token.pass(1);
        waiter.join().unwrap();
        token.give(1);
    }

    #[test]
    fn who_gets_it_is_not_kicked_by_its_own_impatience() {
        let token = Arc::new(RunToken::new(vec![CpuView::new(), CpuView::new()]));
        token.take(1);
        let other = Arc::clone(&token);
        let waiter = thread::spawn(move || {
            other.take(2);
            let kicked = other.views[1].take_kick();
            other.give(2);
            kicked
        });
        while token.views[0].take_kick() == Kicked::No {
            thread::yield_now();
        }
        token.give(1);
        assert_eq!(waiter.join().unwrap(), Kicked::No);
    }

    #[test]
    fn one_runs_at_a_time_and_all_get_their_turns() {
        let token = token();
        let inside = Arc::new(AtomicUsize::new(0));
        let threads: Vec<_> = (1..=6)
            .map(|tid| {
                let (token, inside) = (Arc::clone(&token), Arc::clone(&inside));
                thread::spawn(move || {
                    token.take(tid);
                    for round in 0..200 {
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        inside.fetch_sub(1, Ordering::SeqCst);
                        match round % 3 {
                            0 => _ = token.pass(tid),
                            _ => {
                                let mark = token.enter_host(tid);
                                token.take_back(mark);
                            }
                        }
                    }
                    token.give(tid);
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
}
