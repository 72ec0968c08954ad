//! How guest threads sleep and are woken: the meeting place of the host threads of one machine.

use addr::Registers;
use host::call::Interrupt;
use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

/// One guest thread, as the others reach it.
pub struct Sleeper {
    interrupt: Interrupt,
    registers: Mutex<Registers>,
    attention: Mutex<Attention>,
    wake: Condvar,
}

/// What a guest thread has noticed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Attention {
    /// Nothing; it runs, or is in the host.
    Elsewhere,
    /// Nothing; it sleeps here.
    Asleep,
    /// That it is wanted.
    Noticed,
}

impl Sleeper {
    /// For the calling thread, which begins with these registers.
    pub fn for_this_thread(registers: Registers) -> Arc<Self> {
        Arc::new(Self {
            interrupt: Interrupt::for_this_thread(),
            registers: Mutex::new(registers),
            attention: Mutex::new(Attention::Elsewhere),
            wake: Condvar::new(),
        })
    }

    /// Its registers. They are in the hands of whoever has the run token: the thread itself while it runs or is in the
    /// kernel, and another one that looks at it meanwhile.
    pub fn registers(&self) -> MutexGuard<'_, Registers> {
        self.registers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What ends its host calls.
    pub fn interrupt(&self) -> &Interrupt {
        &self.interrupt
    }

    /// Brings the thread to the kernel: out of its sleep or its host call.
    pub fn notice(&self) {
        let was = std::mem::replace(&mut *self.attention(), Attention::Noticed);
        self.wake.notify_one();
        // A signal would only be in the way of one that sleeps.
        if was != Attention::Asleep {
            self.interrupt.raise();
        }
    }

    /// Forgets notices. The thread itself calls this before it looks at what it was noticed for.
    pub fn clear(&self) {
        *self.attention() = Attention::Elsewhere;
        self.interrupt.clear();
    }

    /// Sleeps until a notice, or until a time.
    pub fn sleep(&self, until: Option<Instant>) {
        let mut attention = self.attention();
        while *attention != Attention::Noticed {
            *attention = Attention::Asleep;
            attention = match until {
                None => self.wake.wait(attention).unwrap_or_else(PoisonError::into_inner),
                Some(until) => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        break;
                    }
                    self.wake.wait_timeout(attention, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        *attention = Attention::Elsewhere;
    }

    fn attention(&self) -> MutexGuard<'_, Attention> {
        self.attention.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All guest threads of a machine.
#[derive(Default)]
pub struct Tasks {
    sleepers: Mutex<HashMap<u32, Arc<Sleeper>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Tasks {
    /// A guest thread begins.
    pub fn enter(&self, tid: u32, sleeper: &Arc<Sleeper>) {
        self.sleepers().insert(tid, Arc::clone(sleeper));
    }

    /// A guest thread ends, or has another number from now on. Its number may be another thread's by now.
    pub fn leave(&self, tid: u32, sleeper: &Arc<Sleeper>) {
        let mut sleepers = self.sleepers();
        if sleepers.get(&tid).is_some_and(|known| Arc::ptr_eq(known, sleeper)) {
            sleepers.remove(&tid);
        }
    }

    /// Whether there is one guest thread and no other.
    pub fn is_one(&self) -> bool {
        self.sleepers().len() == 1
    }

    /// Brings a guest thread to the kernel. One that has not begun yet looks at the kernel when it begins.
    pub fn notice(&self, tid: u32) {
        let sleeper = self.sleepers().get(&tid).cloned();
        if let Some(sleeper) = sleeper {
            sleeper.notice();
        }
    }

    /// The registers of a guest thread, which the holder of the run token may look at.
    pub fn registers_of(&self, tid: u32) -> Option<Registers> {
        let sleeper = self.sleepers().get(&tid).cloned()?;
        let registers = sleeper.registers().clone();
        Some(registers)
    }

    /// Keeps the host thread of a guest thread until [`Tasks::join_all`].
    pub fn keep(&self, thread: JoinHandle<()>) {
        let mut threads = self.threads();
        threads.retain(|thread| !thread.is_finished());
        threads.push(thread);
    }

    /// Waits until every guest thread has ended, those included that begin meanwhile.
    ///
    /// # Panics
    /// When one of them panicked.
    pub fn join_all(&self) {
        loop {
            let Some(thread) = self.threads().pop() else { return };
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
    }

    fn sleepers(&self) -> MutexGuard<'_, HashMap<u32, Arc<Sleeper>>> {
        self.sleepers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn threads(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use addr::VirtAddr;
    use std::time::Duration;

    #[test]
    fn a_notice_before_the_sleep_is_not_lost() {
        let sleeper = Sleeper::for_this_thread(Registers::at_entry(VirtAddr::new(0), VirtAddr::new(0)));
        sleeper.notice();
        sleeper.sleep(None);
        let start = Instant::now();
        sleeper.sleep(Some(start + Duration::from_millis(5)));
        assert!(start.elapsed() >= Duration::from_millis(5));
        sleeper.clear();
    }

    #[test]
    fn one_that_sleeps_is_woken_and_its_next_call_begins() {
        let (sender, receiver) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let sleeper = Sleeper::for_this_thread(Registers::at_entry(VirtAddr::new(0), VirtAddr::new(0)));
            sender.send(Arc::clone(&sleeper)).unwrap();
            sleeper.sleep(None);
            host::call::Call::plain(libc::SYS_sched_yield as u64, [0; 6]).perform(sleeper.interrupt())
        });
        let sleeper = receiver.recv().unwrap();
        while *sleeper.attention() != Attention::Asleep {
            std::thread::yield_now();
        }
        sleeper.notice();
        assert_eq!(thread.join().unwrap(), 0);
    }
}
