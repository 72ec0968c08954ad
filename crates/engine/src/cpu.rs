//! A virtual CPU: finds blocks, enters them, and sees to what they leave for.

use crate::asm::RCX;
use crate::context::{self, Slot};
use crate::exit::Exit;
use crate::gate::Gate;
use crate::run::{After, Exactness, Run};
use crate::state::State;
use crate::{Engine, trap};
use addr::{Registers, VirtAddr};
use mmu::{CpuView, Kicked, Tables};
use std::ops::Range;
use std::sync::Arc;

/// Instructions that a CPU has executed, when they are counted. Others may ask while it runs.
pub fn instructions(view: &CpuView) -> u64 {
    Slot::COUNT.get(view)
}

/// How long to run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Budget {
    /// Until something happens.
    Unlimited,
    /// So many blocks; exact only with [`crate::Linking::Off`], where every block returns to the engine.
    Blocks(u64),
}

/// One virtual CPU. It is borrowed by one guest thread at a time.
pub struct Cpu {
    pub(crate) engine: Arc<Engine>,
    pub(crate) view: Arc<CpuView>,
    pub(crate) gate: Gate,
    /// The host addresses that hold generated code.
    code: Range<u64>,
    /// The tree that the software TLB and the jump cache are about.
    pub(crate) tables: Option<Arc<Tables>>,
    jump_cache: JumpCache,
}

/// Whether a CPU's jump cache was filled; one that never runs takes no memory.
#[derive(Clone, Copy, PartialEq, Eq)]
enum JumpCache {
    Untouched,
    Filled,
}

impl Cpu {
    /// A CPU that has run nothing yet.
    pub fn new(engine: &Arc<Engine>) -> Self {
        let view = CpuView::new();
        Slot::CHAOS.set(&view, u64::from(engine.chaos_interval()));
        let mut cache = engine.cache();
        cache.add_view(&view);
        let (gate, code) = (cache.gate(), cache.host_range());
        drop(cache);
        Self { engine: Arc::clone(engine), view, gate, code, tables: None, jump_cache: JumpCache::Untouched }
    }

    /// What the kernel marks when it changes tables, and kicks.
    pub fn view(&self) -> &Arc<CpuView> {
        &self.view
    }

    /// Runs a guest thread until something happens that only the kernel can see to.
    pub fn run(&mut self, registers: &mut Registers, tables: &Arc<Tables>, budget: Budget) -> Exit {
        self.switch_to(tables);
        trap::prepare_thread(&self.view, &self.code, self.gate.exits.main);
        host::set_gs_base(self.view.base());
        let state = State { view: &self.view };
        state.load(registers);
        let (rip, exit) = self.run_from(registers.rip, tables, budget);
        state.save(registers);
        registers.rip = rip;
        if exit == Exit::Syscall {
            registers.gpr[usize::from(RCX)] = rip.get();
            registers.gpr[11] = registers.rflags;
        }
        exit
    }

    /// Forgets what the software TLB and the jump cache say of another tree.
    fn switch_to(&mut self, tables: &Arc<Tables>) {
        if self.tables.as_ref().is_some_and(|current| current.id() == tables.id()) {
            return;
        }
        self.detach();
        if self.jump_cache == JumpCache::Untouched {
            context::begin_jump_cache(&self.view, self.gate.nowhere);
            self.jump_cache = JumpCache::Filled;
        }
        self.engine.cache().register(tables);
        tables.attach(&self.view);
        self.tables = Some(Arc::clone(tables));
    }

    /// Forgets the tree it ran, so that it can be freed.
    pub fn detach(&mut self) {
        if let Some(old) = self.tables.take() {
            old.detach(&self.view);
            self.view.reset();
            context::flush_jump_cache(&self.view, self.gate.nowhere);
        }
    }

    fn run_from(&self, start: VirtAddr, tables: &Tables, budget: Budget) -> (VirtAddr, Exit) {
        let mut run = Run {
            cpu: self,
            engine: &self.engine,
            memory: self.engine.memory(),
            tables,
            pending_link: None,
            exactness: Exactness::Any,
        };
        let mut rip = start;
        let mut blocks_left = match budget {
            Budget::Unlimited => u64::MAX,
            Budget::Blocks(count) => count,
        };
        loop {
            if self.view.take_kick() == Kicked::Yes {
                return (rip, Exit::Kicked);
            }
            if blocks_left == 0 {
                return (rip, Exit::Budget);
            }
            blocks_left -= 1;
            let is_stepping = run.state().is_stepping();
            match if is_stepping { run.step(rip) } else { run.block(rip) } {
                After::At(next) => rip = next,
                After::Exactly(next) => {
                    // Nothing of the block at that address was executed.
                    rip = next;
                    run.exactness = Exactness::Exact;
                    blocks_left = blocks_left.saturating_add(1);
                }
                After::Stop(rip, exit) => return (rip, run.without_address(rip, exit)),
            }
        }
    }
}
