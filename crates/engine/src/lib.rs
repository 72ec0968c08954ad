//! The CPU: same-ISA translation of basic blocks with an inline software TLB.
//!
//! The host's CPU runs the guest's instructions. A block of them is decoded, each memory operand is replaced by one that
//! goes through a lookup in the software TLB, and the rest is copied as it stands ([`Engine`], [`Cpu::run`]). The engine
//! fills its software TLB by walking the page tables, and returns an [`Exit`] when the walk refuses. It knows pages; it
//! never knows processes.
//!
//! ```text
//! run ─ code cache ─ translator          which block is at RIP; make it
//!  │      └ gate ─ generated code        enter it; it leaves with a Reason
//!  └ miss: walk, fill, resume            by hand: instructions that one lookup cannot serve
//! ```

mod analysis;
mod asm;
mod block;
mod bounce;
mod by_hand;
mod cache;
mod code_map;
mod context;
mod cpu;
mod exit;
mod features;
mod flags;
mod gate;
mod guest;
mod layout;
mod order;
mod protection;
mod run;
mod sabotage;
mod slow;
mod source;
mod state;
mod step;
mod store;
mod translate;
mod trap;
mod x87;

pub use cache::CacheCounts;
pub use cpu::{Budget, Cpu, instructions};
pub use exit::{Exception, Exit, Fault, Name, Opcode};
pub use flags::cpu_flags;
pub use protection::Protection;
pub use sabotage::Sabotage;
pub use store::Archive;
pub use translate::{Chaos, Count, Extent, Plan, Verify};

use cache::CodeCache;
use mmu::{Memory, Tables};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use store::Store;

/// The CPU that is announced to programs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Isa {
    /// x86-64-v2: SSE4.2, no AVX.
    V2,
    /// x86-64-v3: AVX2, FMA, BMI, F16C, MOVBE.
    V3,
}

impl Isa {
    /// The most that this host can run.
    pub fn of_host() -> Self {
        let v3 = std::is_x86_feature_detected!("avx2")
            && std::is_x86_feature_detected!("fma")
            && std::is_x86_feature_detected!("bmi1")
            && std::is_x86_feature_detected!("bmi2")
            && std::is_x86_feature_detected!("f16c")
            && std::is_x86_feature_detected!("movbe")
            && std::is_x86_feature_detected!("lzcnt");
        if v3 { Self::V3 } else { Self::V2 }
    }
}

/// What CPUID tells programs that a kernel tells them too.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Announced {
    /// Leaf 1, EDX.
    pub features: u32,
    /// Whether FS and GS bases may be set by instructions.
    pub has_base_instructions: bool,
    /// XCR0; 0 without XSAVE.
    pub state_components: u64,
    /// Bytes of an XSAVE area with these components; of an FXSAVE area without XSAVE.
    pub state_bytes: u32,
}

impl Isa {
    /// What this CPU announces on this host.
    pub fn announced(self) -> Announced {
        by_hand::announced(self)
    }
}

/// Whether blocks jump to each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Linking {
    /// They do.
    On,
    /// Each returns to the engine: for lockstep, and for `--verify-code`.
    Off,
}

/// How an [`Engine`] is made.
#[derive(Clone, Copy, Debug)]
pub struct EngineConfig {
    /// What is announced.
    pub isa: Isa,
    /// Whether instructions are counted.
    pub count: Count,
    /// Every how many lookups one fails; `None` for never. At least [`EngineConfig::LEAST_CHAOS`], or an instruction
    /// with several operands makes no progress.
    pub chaos: Option<u32>,
    /// How far blocks go.
    pub extent: Extent,
    /// Whether blocks jump to each other.
    pub linking: Linking,
    /// Whether each block is compared with its source whenever it is entered; then no block jumps to another.
    pub verify: Verify,
    /// A mistake to make in every translation, for tests of the checkers; debug builds only.
    pub sabotage: Option<Sabotage>,
    /// Bytes of the code cache; it is emptied when it is full.
    pub code_cache_bytes: usize,
}

impl EngineConfig {
    /// The least interval of `chaos`.
    pub const LEAST_CHAOS: u32 = 4;
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            isa: Isa::of_host(),
            count: Count::No,
            chaos: None,
            extent: Extent::Superblock,
            linking: Linking::On,
            verify: Verify::No,
            sabotage: None,
            code_cache_bytes: 64 << 20,
        }
    }
}

/// What all CPUs of a machine share: the code cache and its plan.
pub struct Engine {
    memory: Arc<Memory>,
    config: EngineConfig,
    cache: Mutex<CodeCache>,
}

impl Engine {
    /// An engine that runs code in `memory`.
    ///
    /// # Errors
    /// The host's, when it refuses executable memory.
    pub fn new(memory: Arc<Memory>, config: EngineConfig) -> io::Result<Self> {
        // Files that are mapped may be shortened under our hands, also before anything runs.
        trap::prepare_process();
        let plan = plan_of(&config);
        let cache = CodeCache::new(Arc::clone(&memory), config.code_cache_bytes, plan, config.linking)?;
        Ok(Self { memory, config, cache: Mutex::new(cache) })
    }

    /// Keeps translations from now on, for other processes and in an archive. Those of a run for torture are no other
    /// run's business, and stay unkept.
    pub fn keep_translations(&self, archive: Option<Box<dyn Archive>>) {
        let Plan { count, chaos, extent, verify, sabotage } = self.plan();
        let is_plain = (chaos, extent, verify, sabotage) == (Chaos::No, Extent::Superblock, Verify::No, None);
        if is_plain && self.linking() == Linking::On {
            let translator = format!("{count:?} {:?}", self.config.isa);
            self.cache().keep_in(Store::new(archive, &translator));
        }
    }

    /// Says which program a tree is about to run, by a name that is the same in every run.
    pub fn begin_program(&self, tables: &Arc<Tables>, name: &[u8]) {
        self.cache().begin_program(tables, name);
    }

    /// Puts the translations of all programs into the archive, as far as that is worth it.
    pub fn save_translations(&self) {
        self.cache().save();
    }

    /// How it was made.
    pub fn config(&self) -> &EngineConfig {
        &self.config
    }

    /// What was translated so far.
    pub fn cache_counts(&self) -> CacheCounts {
        self.cache().counts()
    }

    /// Bytes of host memory that translated code and its tables take.
    pub fn overhead_bytes(&self) -> u64 {
        self.cache().overhead_bytes()
    }

    /// Lets a tree that was just forked from another use the code translated for that one, until the mappings of
    /// either change.
    pub fn share_code(&self, parent: &Tables, child: &Arc<Tables>) {
        self.cache().share(parent, child);
    }

    pub(crate) fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    pub(crate) fn plan(&self) -> Plan {
        plan_of(&self.config)
    }

    pub(crate) fn isa(&self) -> Isa {
        self.config.isa
    }

    pub(crate) fn linking(&self) -> Linking {
        if self.config.verify == Verify::Yes { Linking::Off } else { self.config.linking }
    }

    pub(crate) fn chaos_interval(&self) -> u32 {
        self.config.chaos.unwrap_or(0)
    }

    pub(crate) fn cache(&self) -> MutexGuard<'_, CodeCache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn plan_of(config: &EngineConfig) -> Plan {
    let chaos = if config.chaos.is_some() { Chaos::Yes } else { Chaos::No };
    let sabotage = config.sabotage.filter(|_| cfg!(debug_assertions));
    Plan { count: config.count, chaos, extent: config.extent, verify: config.verify, sabotage }
}
