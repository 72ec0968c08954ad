//! The virtual CPUs: a small pool from which guest threads borrow.
//!
//! A CPU remembers translations of the space that it ran last, so a thread gets one that ran its space, if any is
//! there, or else the one that has been idle the longest. Which CPU runs which thread, and every switch, is an event.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Virtual CPUs that nobody runs on now. `C` is the engine's CPU; nothing here depends on what it is.
pub struct Vcpus<C> {
    idle: Mutex<Vec<Vcpu<C>>>,
}

/// A virtual CPU, with what it did last.
pub struct Vcpu<C> {
    /// Its number.
    pub number: u32,
    /// The engine's part.
    pub cpu: C,
    last_space: Option<u64>,
    last_tid: Option<u32>,
}

/// A CPU that turned to another thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Turned {
    /// Whom it ran before.
    pub from_tid: Option<u32>,
}

impl<C> Vcpus<C> {
    /// A pool of these.
    pub fn new(cpus: impl IntoIterator<Item = C>) -> Self {
        let vcpu = |(number, cpu)| Vcpu { number, cpu, last_space: None, last_tid: None };
        Self { idle: Mutex::new((0..).zip(cpus).map(vcpu).collect()) }
    }

    /// Borrows a CPU for a thread that is about to run in a space, and says whether it turned to another thread.
    ///
    /// # Panics
    /// When all are lent: there are as many as threads that may run at a time.
    pub fn borrow(&self, space: u64, tid: u32) -> (Vcpu<C>, Option<Turned>) {
        let mut idle = self.idle();
        // The most recently used one is last.
        let place = idle.iter().rposition(|vcpu| vcpu.last_space == Some(space)).unwrap_or(0);
        assert!(place < idle.len(), "a thread with the run token finds an idle CPU");
        let mut vcpu = idle.remove(place);
        let turned = (vcpu.last_tid != Some(tid)).then_some(Turned { from_tid: vcpu.last_tid });
        vcpu.last_space = Some(space);
        vcpu.last_tid = Some(tid);
        (vcpu, turned)
    }

    /// Takes one back.
    pub fn give_back(&self, vcpu: Vcpu<C>) {
        self.idle().push(vcpu);
    }

    /// Does something to each idle CPU that ran a space last.
    pub fn for_each_idle(&self, space: u64, mut act: impl FnMut(&mut C)) {
        let mut idle = self.idle();
        idle.iter_mut().filter(|vcpu| vcpu.last_space == Some(space)).for_each(|vcpu| act(&mut vcpu.cpu));
    }

    /// Takes all of them out: the machine has ended.
    pub fn take_all(&self) -> Vec<C> {
        self.idle().drain(..).map(|vcpu| vcpu.cpu).collect()
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Vcpu<C>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_gets_the_cpu_that_knows_its_space() {
        let pool = Vcpus::new(["a", "b"]);
        let (first, turned) = pool.borrow(7, 1);
        assert_eq!((first.cpu, turned), ("a", Some(Turned { from_tid: None })));
        pool.give_back(first);
        let (second, _) = pool.borrow(8, 2);
        assert_eq!(second.cpu, "b");
        pool.give_back(second);
        let (again, turned) = pool.borrow(7, 1);
        assert_eq!((again.cpu, turned), ("a", None));
        pool.give_back(again);
        let (other, turned) = pool.borrow(9, 3);
        assert_eq!((other.cpu, turned), ("b", Some(Turned { from_tid: Some(2) })));
    }
}
