//! A CPU, its memory and nothing else.

use addr::{PAGE_BYTES, Perms, Registers, VirtAddr};
use mmu::{CpuView, Entry, Frames, Leaf, Levels, Memory, Origin, Tables, UpperHalf};
use pagewalk_engine::{Archive, Budget, CacheCounts, Cpu, Engine, EngineConfig, Exit};
use std::sync::Arc;

pub const CODE: u64 = 0x40_0000;
pub const DATA: u64 = 0x60_0000;
pub const STACK_TOP: u64 = 0x7000_0000;

pub struct Rig {
    engine: Arc<Engine>,
    pub registers: Registers,
    memory: Arc<Memory>,
    frames: Frames,
    upper: UpperHalf,
    tables: Arc<Tables>,
    cpu: Cpu,
}

impl Rig {
    pub fn new() -> Self {
        Self::with(EngineConfig::default())
    }

    pub fn with(config: EngineConfig) -> Self {
        let memory = Memory::new(4096).expect("16 MiB can be reserved");
        let mut frames = Frames::new(&memory);
        let upper = UpperHalf::new(Levels::Four, &mut frames).expect("there are frames");
        let tables = Arc::new(Tables::new(&upper, &mut frames).expect("there are frames"));
        let engine = Engine::new(Arc::clone(&memory), config).expect("the host allows code memory");
        let engine = Arc::new(engine);
        let cpu = Cpu::new(&engine);
        let registers = Registers::at_entry(VirtAddr::new(CODE), VirtAddr::new(STACK_TOP));
        Self { engine, registers, memory, frames, upper, tables, cpu }
    }

    /// Says that the memory holds a program whose translations are kept in an archive.
    pub fn keep_translations(&mut self, archive: impl Archive + 'static) {
        self.engine.keep_translations(Some(Box::new(archive)));
        self.engine.begin_program(&self.tables, b"the program");
    }

    pub fn save_translations(&self) {
        self.engine.save_translations();
    }

    pub fn counts(&self) -> CacheCounts {
        self.engine.cache_counts()
    }

    pub fn view(&self) -> Arc<CpuView> {
        Arc::clone(self.cpu.view())
    }

    pub fn map(&mut self, start: u64, pages: u64, perms: Perms) {
        for page in 0..pages {
            let pfn = self.frames.alloc_zeroed(0).expect("there are frames").into_pfn();
            let leaf = Entry::Leaf(Leaf::user(pfn, perms, Origin::Anonymous));
            let page = VirtAddr::new(start + page * PAGE_BYTES).page();
            self.tables.set(page, leaf, &mut self.frames).expect("there are frames");
        }
    }

    /// The program forks, and ends; the rig is its child, which has no page of its own yet. The frames of what the parent
    /// had at `start` are free, and other trees have come since.
    pub fn become_child(&mut self, start: u64, pages: u64) {
        let child = Arc::new(Tables::new(&self.upper, &mut self.frames).expect("there are frames"));
        self.engine.share_code(&self.tables, &child);
        let parent = std::mem::replace(&mut self.tables, child);
        let leaf = |page: u64| match parent.entry(VirtAddr::new(start + page * PAGE_BYTES).page()) {
            Entry::Leaf(leaf) => leaf.pfn,
            entry => panic!("the page is mapped, not {entry:?}"),
        };
        let frames: Vec<_> = (0..pages).map(leaf).collect();
        self.cpu.detach();
        drop(parent);
        let other = Arc::new(Tables::new(&self.upper, &mut self.frames).expect("there are frames"));
        let mut registers = self.registers.clone();
        assert!(matches!(self.cpu.run(&mut registers, &other, Budget::Unlimited), Exit::Fault(_)));
        frames.into_iter().for_each(|pfn| _ = self.frames.release(pfn));
    }

    pub fn protect(&mut self, start: u64, pages: u64, perms: Perms) {
        for page in 0..pages {
            let page = VirtAddr::new(start + page * PAGE_BYTES).page();
            let Entry::Leaf(leaf) = self.tables.entry(page) else { panic!("the page is mapped") };
            self.tables.set(page, Entry::Leaf(leaf.with_perms(perms)), &mut self.frames).expect("no table is needed");
        }
    }

    pub fn poke(&mut self, start: u64, bytes: &[u8]) {
        for (offset, byte) in bytes.iter().enumerate() {
            let addr = VirtAddr::new(start + offset as u64);
            let Entry::Leaf(leaf) = self.tables.entry(addr.page()) else { panic!("the page is mapped") };
            self.memory.ram().write(leaf.pfn.start() + addr.page_offset(), &[*byte]);
        }
    }

    pub fn peek(&self, start: u64, bytes: usize) -> Vec<u8> {
        let byte = |offset| {
            let addr = VirtAddr::new(start + offset as u64);
            let Entry::Leaf(leaf) = self.tables.entry(addr.page()) else { panic!("the page is mapped") };
            let mut byte = [0];
            self.memory.ram().read(leaf.pfn.start() + addr.page_offset(), &mut byte);
            byte[0]
        };
        (0..bytes).map(byte).collect()
    }

    pub fn run(&mut self) -> Exit {
        self.run_with(Budget::Unlimited)
    }

    pub fn run_with(&mut self, budget: Budget) -> Exit {
        self.cpu.run(&mut self.registers, &self.tables, budget)
    }
}
