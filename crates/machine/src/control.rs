//! The hold that somebody outside has on a machine while it runs.

use crate::Report;
use crate::accounts::Accounts;
use crate::machine::told_by_kernel;
use crate::shared::Shared;
use kernel::{Kernel, ProcessMaps};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use trace::Kinds;

/// How often processes that are born while all are being killed are killed too.
const KILL_AGAIN: Duration = Duration::from_millis(50);

/// A hold on a machine that runs; every thread of pagewalk's own may have one. When the machine has ended it answers
/// `None` and does nothing.
#[derive(Clone)]
pub struct Control {
    shared: Weak<Shared>,
    accounts: Arc<Accounts>,
}

impl Control {
    pub(crate) fn new(shared: &Arc<Shared>, accounts: &Arc<Accounts>) -> Self {
        Self { shared: Arc::downgrade(shared), accounts: Arc::clone(accounts) }
    }

    /// The report as of now.
    pub fn report(&self) -> Option<Report> {
        let shared = self.shared.upgrade()?;
        let (instructions, wall) = (shared.instructions(), self.accounts.elapsed());
        shared.with_kernel_if_running(|kernel| self.accounts.report(kernel, instructions, wall))
    }

    /// The address spaces of all processes, as they are now.
    pub fn maps(&self) -> Option<Vec<ProcessMaps>> {
        self.shared.upgrade()?.with_kernel_if_running(|kernel| kernel.all_maps())
    }

    /// Says from now on these kinds of events.
    pub fn set_events(&self, kinds: Kinds) -> Option<()> {
        let shared = self.shared.upgrade()?;
        shared.with_kernel_if_running(|kernel| kernel.keep_events(told_by_kernel(kinds)))?;
        shared.voice.set_kinds(kinds);
        Some(())
    }

    /// Ends the machine: every process gets SIGTERM, and those that are still there after `grace` get SIGKILL. Returns
    /// when all have ended.
    pub fn stop(&self, grace: Duration) {
        let Some(shared) = self.shared.upgrade() else { return };
        shared.with_kernel_if_running(|kernel| {
            kernel.signal_all(libc::SIGTERM);
            // One that is stopped would not notice.
            kernel.signal_all(libc::SIGCONT);
        });
        let mut patience = grace;
        while !shared.wait_for_end(Instant::now() + patience) {
            shared.with_kernel_if_running(|kernel: &mut Kernel| kernel.signal_all(libc::SIGKILL));
            patience = KILL_AGAIN;
        }
    }

    /// Waits until the machine has ended, at most so long; whether it has.
    pub fn wait_for_end(&self, at_most: Duration) -> bool {
        self.shared.upgrade().is_none_or(|shared| shared.wait_for_end(Instant::now() + at_most))
    }
}
