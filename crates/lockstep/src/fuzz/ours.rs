//! A case on our engine, over bare page tables: no kernel.

use super::arena::{self, ArenaPage, CODE, CODE_PAGES};
use super::case::Case;
use super::outcome::{Ending, Exception, Outcome};
use super::world::World;
use addr::{PAGE_BYTES, Page, Perms, Pfn, Registers};
use engine::{Budget, Cpu, Engine, EngineConfig, Exit};
use mmu::{Entry, Frames, Leaf, Levels, Memory, Origin, Tables, UpperHalf};
use std::io;
use std::sync::Arc;

/// Enough for the arena and its tables.
const FRAMES: u32 = 512;
/// Entries of blocks after which a case is taken for endless.
const MOST_BLOCKS: u64 = 100_000;

/// One CPU of the engine with the arena mapped.
pub struct Ours {
    memory: Arc<Memory>,
    frames: Frames,
    tables: Arc<Tables>,
    cpu: Cpu,
    code: Vec<Pfn>,
    data: Vec<Pfn>,
    background: Vec<u8>,
    registers: Registers,
}

impl Ours {
    /// Makes a small machine for an engine of the given configuration, and maps the arena.
    ///
    /// # Errors
    /// The host's.
    pub fn new(config: EngineConfig) -> io::Result<Self> {
        let memory = Memory::new(FRAMES)?;
        let mut frames = Frames::new(&memory);
        let upper = UpperHalf::new(Levels::Four, &mut frames).expect("512 frames hold the upper half");
        let tables = Tables::new(&upper, &mut frames).expect("512 frames hold a tree");
        let engine = Arc::new(Engine::new(Arc::clone(&memory), config)?);
        let mut map = |page: Page, perms: Perms| {
            let pfn = frames.alloc_zeroed(0).expect("512 frames hold the arena").into_pfn();
            tables.set(page, entry(pfn, perms), &mut frames).expect("512 frames hold the tables");
            pfn
        };
        let code = (0..CODE_PAGES).map(|index| map(CODE.page() + index, Perms::ALL)).collect();
        let data: Vec<Pfn> = arena::data_pages().map(|page| map(page.start.page(), page.perms)).collect();
        let background: Vec<u8> = arena::data_pages().flat_map(arena::background).collect();
        let registers = Registers::at_entry(CODE, CODE);
        let cpu = Cpu::new(&engine);
        Ok(Self { memory, frames, tables: Arc::new(tables), cpu, code, data, background, registers })
    }

    fn write(&self, pfn: Pfn, bytes: &[u8]) {
        self.memory.ram().write(pfn.start(), bytes);
        self.memory.code().note_write(pfn);
    }

    fn set(&mut self, page: ArenaPage, perms: Perms) {
        let index = arena::data_pages().position(|other| other == page).expect("a page of the arena");
        let number = page.start.page();
        self.tables
            .set(number, entry(self.data[index], perms), &mut self.frames)
            .expect("the tables are there since the start");
        let mut shootdown = self.tables.shootdown();
        shootdown.forget(number);
        shootdown.complete(&mut self.frames);
    }
}

impl World for Ours {
    fn start(&mut self, case: &Case) -> io::Result<Outcome> {
        for (pfn, bytes) in self.data.iter().zip(self.background.chunks(PAGE_BYTES as usize)) {
            self.write(*pfn, bytes);
        }
        for (pfn, bytes) in self.code.iter().zip(case.code_bytes().chunks(PAGE_BYTES as usize)) {
            self.write(*pfn, bytes);
        }
        self.registers = case.registers.clone();
        self.resume()
    }

    fn resume(&mut self) -> io::Result<Outcome> {
        let exit = loop {
            match self.cpu.run(&mut self.registers, &self.tables, Budget::Blocks(MOST_BLOCKS)) {
                Exit::Kicked | Exit::Chaos(_) => {}
                exit => break exit,
            }
        };
        let mut memory = vec![0; self.background.len()];
        for (pfn, bytes) in self.data.iter().zip(memory.chunks_mut(PAGE_BYTES as usize)) {
            self.memory.ram().read(pfn.start(), bytes);
        }
        Ok(Outcome { ending: ending(exit), registers: self.registers.clone(), memory })
    }

    fn repair(&mut self, page: ArenaPage) -> io::Result<()> {
        self.set(page, Perms::READ_WRITE);
        Ok(())
    }

    fn damage(&mut self, page: ArenaPage) -> io::Result<()> {
        self.set(page, page.perms);
        Ok(())
    }
}

fn entry(pfn: Pfn, perms: Perms) -> Entry {
    if perms.is_none() { Entry::Absent } else { Entry::Leaf(Leaf::user(pfn, perms, Origin::Anonymous)) }
}

fn ending(exit: Exit) -> Ending {
    match exit {
        Exit::Syscall | Exit::OldSyscall => Ending::Syscall,
        Exit::Fault(fault) => Ending::Fault { addr: fault.addr, access: Some(fault.access) },
        Exit::Exception(exception) => match exception {
            engine::Exception::Breakpoint => Ending::Trap,
            engine::Exception::DivideError => Ending::Exception(Exception::Divide),
            engine::Exception::Debug | engine::Exception::Step => Ending::Exception(Exception::Debug),
            engine::Exception::InvalidOpcode(_) => Ending::Exception(Exception::InvalidOpcode),
            engine::Exception::GeneralProtection | engine::Exception::Selector(_) | engine::Exception::Overflow => {
                Ending::Exception(Exception::GeneralProtection)
            }
            engine::Exception::StackSegment => Ending::Exception(Exception::StackSegment),
            engine::Exception::X87(_) | engine::Exception::Simd(_) => Ending::Exception(Exception::FloatingPoint),
            engine::Exception::AlignmentCheck => Ending::Exception(Exception::Alignment),
        },
        Exit::Budget | Exit::Kicked | Exit::Chaos(_) => Ending::Endless,
    }
}
