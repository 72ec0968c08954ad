//! The run token: the permission to execute generated code and to make the kernel act for a guest thread.
//!
//! ```text
//! Free --take--> Running(tid) --enter_host--> InHost(tid, n) --take_back--> Running(tid)
//!   ^               |                            |
//!   '----give-------'                            '--taken over by the first waiter, once the call has lasted--> Running(other)
//! ```
//! A thread that enters the host only marks the token stealable, and takes it back with one compare-exchange when
//! nobody took it over meanwhile: handing it over at every system call would cost 14 us each time. The first of the waiters
//! watches: a call that is still in the host after [`PATIENCE`] loses the token, and a thread that has run for [`SLICE`] is
//! kicked, so that it passes the token on. Where a call is going to wait, as for a pipe that is empty, the thread gives the
//! token before.
//!
//! The token can be reserved: while some threads have to end, for the memory that they hold, nobody else takes it.
//!
//! Kernel data has a lock of its own, which is taken after the token and given back before it.

use mmu::CpuView;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
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
    /// Whether the queue knows of threads that it is reserved for.
    is_reserved: AtomicBool,
    queue: Mutex<Queue>,
    views: Vec<Arc<CpuView>>,
}

/// Who waits for the token, in turn.
#[derive(Default)]
struct Queue {
    waiters: VecDeque<Arc<Waiter>>,
    /// The only threads that may have it, if it is reserved.
    reserved_for: Option<Vec<u32>>,
}

struct Waiter {
    tid: u32,
    wake: Condvar,
}

impl Queue {
    fn lets(&self, tid: u32) -> bool {
        self.reserved_for.as_ref().is_none_or(|tids| tids.contains(&tid))
    }

    /// Who is next; the one that watches the holder.
    fn first(&self) -> Option<&Arc<Waiter>> {
        self.waiters.iter().find(|waiter| self.lets(waiter.tid))
    }

    fn is_first(&self, waiter: &Arc<Waiter>) -> bool {
        self.first().is_some_and(|first| Arc::ptr_eq(first, waiter))
    }

    fn wake_first(&self) {
        if let Some(first) = self.first() {
            first.wake.notify_one();
        }
    }
}

impl RunToken {
    /// A free token for the virtual CPUs that have these views.
    pub fn new(views: Vec<Arc<CpuView>>) -> Self {
        Self {
            state: AtomicU64::new(FREE),
            waiting: AtomicUsize::new(0),
            is_reserved: AtomicBool::new(false),
            queue: Mutex::default(),
            views,
        }
    }

    /// Waits for the token.
    pub fn take(&self, tid: u32) {
        if !self.is_wanted() && self.lets(tid) && self.change(FREE, running(tid)) {
            self.forget_kicks();
            return;
        }
        self.wait(tid);
    }

    /// Gives it up: the thread sleeps or ends.
    pub fn give(&self, tid: u32) {
        let was = self.state.swap(FREE, Ordering::AcqRel);
        debug_assert_eq!(was as u32, tid, "the holder gives the token");
        if self.is_wanted() {
            self.queue().wake_first();
        }
    }

    /// The holder has another number from now on.
    pub fn rename(&self, from: u32, to: u32) {
        let was = self.state.swap(running(to), Ordering::AcqRel);
        debug_assert_eq!(was, running(from), "the holder is renamed");
    }

    /// Lets the others run, if there are any, and waits for its own next turn.
    pub fn pass(&self, tid: u32) -> Passed {
        if !self.is_wanted() && self.lets(tid) {
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
        let lets = self.lets(mark.tid);
        if self.change(mark.state, if lets { mark.state & !IN_HOST } else { FREE }) && lets {
            return TakenBack::Kept;
        }
        self.take(mark.tid);
        TakenBack::Anew
    }

    /// From now on only these threads take the token, and whoever has it is made to leave it to them.
    pub fn reserve(&self, tids: Vec<u32>) {
        let mut queue = self.queue();
        queue.reserved_for = Some(tids);
        self.is_reserved.store(true, Ordering::Release);
        self.views.iter().for_each(|view| view.kick());
        queue.wake_first();
    }

    /// All threads take it again.
    pub fn unreserve(&self) {
        let mut queue = self.queue();
        queue.reserved_for = None;
        self.is_reserved.store(false, Ordering::Release);
        queue.wake_first();
    }

    /// Makes a thread leave generated code, if it is the one that runs.
    pub fn kick(&self, tid: u32) {
        if self.state.load(Ordering::Acquire) as u32 == tid {
            self.views.iter().for_each(|view| view.kick());
        }
    }

    fn wait(&self, tid: u32) {
        let me = Arc::new(Waiter { tid, wake: Condvar::new() });
        let mut queue = self.queue();
        self.waiting.fetch_add(1, Ordering::AcqRel);
        queue.waiters.push_back(Arc::clone(&me));
        let mut watched = None;
        while !self.is_taken(tid, &mut watched, &me, &queue) {
            queue = if watched.is_some() {
                me.wake.wait_timeout(queue, PATIENCE).unwrap_or_else(PoisonError::into_inner).0
            } else {
                me.wake.wait(queue).unwrap_or_else(PoisonError::into_inner)
            };
        }
        self.forget_kicks();
        queue.waiters.retain(|waiter| !Arc::ptr_eq(waiter, &me));
        self.waiting.fetch_sub(1, Ordering::AcqRel);
        queue.wake_first();
    }

    /// Takes the token for the first of the waiters, if it is free or the holder can lose it; else watches the holder.
    fn is_taken(&self, tid: u32, watched: &mut Option<Watched>, me: &Arc<Waiter>, queue: &Queue) -> bool {
        if !queue.is_first(me) {
            *watched = None;
            return false;
        }
        if self.change(FREE, running(tid)) {
            return true;
        }
        let state = self.state.load(Ordering::Acquire);
        let watched = watched.get_or_insert_with(|| Watched::new(state));
        watched.see(state);
        if state & IN_HOST != 0 && watched.call.elapsed() >= PATIENCE && self.change(state, running(tid)) {
            return true;
        }
        if watched.slice.elapsed() >= SLICE || !queue.lets(state as u32) {
            self.views.iter().for_each(|view| view.kick());
        }
        false
    }

    /// Kicks were for whoever had the token before. A waiter kicks every CPU, its own too, and would otherwise pass the
    /// token on as soon as it gets it. What else a kick is for, the new holder looks at before it runs.
    fn forget_kicks(&self) {
        self.views.iter().for_each(|view| _ = view.take_kick());
    }

    /// Whether somebody waits for it.
    fn is_wanted(&self) -> bool {
        self.waiting.load(Ordering::Acquire) > 0
    }

    /// Whether a thread may have the token.
    fn lets(&self, tid: u32) -> bool {
        !self.is_reserved.load(Ordering::Acquire) || self.queue().lets(tid)
    }

    fn change(&self, from: u64, to: u64) -> bool {
        self.state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a waiter has seen of the holder.
struct Watched {
    state: u64,
    /// Since when it is in this state: in a call, if that lasts.
    call: Instant,
    /// Since when it is this holder, be it in many short calls.
    slice: Instant,
}

impl Watched {
    fn new(state: u64) -> Self {
        let now = Instant::now();
        Self { state, call: now, slice: now }
    }

    fn see(&mut self, state: u64) {
        let now = Instant::now();
        if state != self.state {
            self.call = now;
        }
        if state as u32 != self.state as u32 {
            self.slice = now;
        }
        self.state = state;
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
    fn while_it_is_reserved_nobody_else_takes_it() {
        let token = token();
        token.take(1);
        let order = Arc::new(Mutex::new(Vec::new()));
        // The first of the waiters is not let, and neither is who is in a call, nor who comes anew.
        let waiters: Vec<_> = [2, 3]
            .map(|tid| {
                while token.waiting.load(Ordering::Acquire) < tid as usize - 2 {
                    thread::yield_now();
                }
                let (token, order) = (Arc::clone(&token), Arc::clone(&order));
                thread::spawn(move || {
                    token.take(tid);
                    order.lock().unwrap().push(tid);
                    token.give(tid);
                })
            })
            .into();
        while token.waiting.load(Ordering::Acquire) < 2 {
            thread::yield_now();
        }
        let mark = token.enter_host(1);
        token.reserve(vec![3]);
        let (other, log) = (Arc::clone(&token), Arc::clone(&order));
        let first = thread::spawn(move || {
            assert_eq!(token.take_back(mark), TakenBack::Anew);
            log.lock().unwrap().push(1);
            token.give(1);
        });
        while order.lock().unwrap().is_empty() {
            thread::yield_now();
        }
        thread::sleep(4 * PATIENCE);
        assert_eq!(*order.lock().unwrap(), [3]);
        other.unreserve();
        first.join().unwrap();
        waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
        assert_eq!(order.lock().unwrap().len(), 3);
    }

    #[test]
    fn who_runs_while_it_is_reserved_for_others_is_kicked_until_it_leaves() {
        let token = token();
        token.take(1);
        token.reserve(vec![2]);
        assert_eq!(token.views[0].take_kick(), Kicked::Yes);
        let other = Arc::clone(&token);
        let waiter = thread::spawn(move || {
            other.take(2);
            other.unreserve();
            other.give(2);
        });
        while token.views[0].take_kick() == Kicked::No {
            thread::yield_now();
        }
        // Though nobody may wait yet, the token is not the thread's to keep.
        assert_eq!(token.pass(1), Passed::ToOthers);
        waiter.join().unwrap();
        token.give(1);
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
