//! Making a new program of a file: execve's work.

mod elf;
mod error;
mod load;
mod script;
mod stack;

pub use error::{Architecture, ByteOrder, LoadError};

use crate::kernel::Kernel;
use crate::mm::{Layout, SpaceId};
use crate::task::Tid;
use crate::warning::Warning;
use addr::{PAGE_BYTES, Registers, VirtAddr};
use load::{Loaded, Opened};

/// The largest argument or environment string (MAX_ARG_STRLEN).
const MAX_STRING_BYTES: usize = 128 << 10;
/// The most that arguments and environment take, whatever the stack's limit.
const MAX_ARGUMENT_BYTES: u64 = 6 << 20;
/// What a stack has below its arguments from the start.
const STACK_SLACK_BYTES: u64 = 128 << 10;

/// What to run.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub path: Vec<u8>,
    pub argv: Vec<Vec<u8>>,
    pub envp: Vec<Vec<u8>>,
}

/// The program that a process runs.
#[derive(Clone, Debug, Default)]
pub struct Image {
    /// The path of the file, as the host resolves it.
    pub path: Vec<u8>,
    /// The file's device, and its number there.
    pub file: Option<(u64, u64)>,
    /// comm: the last part of the path it was asked for by, at most 15 bytes.
    pub name: Vec<u8>,
    /// First byte and end of the argument strings.
    pub arguments: (u64, u64),
    /// First byte and end of the environment strings.
    pub environment: (u64, u64),
    /// The auxiliary vector.
    pub auxiliary: Vec<u8>,
    /// rsp at the start.
    pub stack_start: u64,
    /// First byte and end of the code, as far as /proc/PID/stat tells.
    pub code: (u64, u64),
    /// First byte and end of the data that the file initialises.
    pub data: (u64, u64),
}

/// A program that is ready to run.
pub(crate) struct NewProgram {
    pub space: SpaceId,
    pub registers: Registers,
    pub image: Image,
}

impl Kernel {
    /// Makes a space for a new program and fills it; nothing runs there yet.
    pub(crate) fn prepare_program(&mut self, tid: Tid, program: &Program) -> Result<NewProgram, LoadError> {
        let asked = &program.path;
        let (file, argv) = self.find_binary(program)?;
        let stack_limit = self.process_of_ref(tid).limits[libc::RLIMIT_STACK as usize].soft;
        let limit = (stack_limit / 4).clamp(PAGE_BYTES * 32, MAX_ARGUMENT_BYTES);
        let is_long = |text: &Vec<u8>| text.len() >= MAX_STRING_BYTES;
        if stack::argument_bytes(&argv, &program.envp) > limit || argv.iter().chain(&program.envp).any(is_long) {
            return Err(LoadError::TooManyArguments);
        }
        let interpreter = self.open_interpreter(&file)?;
        let layout = Layout::new(self.config.mm.levels, stack_limit, self.next_aslr());
        let space = self.mm.create_space(layout, self.mm_limits(tid))?;
        match self.fill_space(space, &file, interpreter.as_ref(), asked, &argv, &program.envp) {
            Ok((registers, image)) => {
                if file.is_set_id {
                    self.warnings.add(Warning::IgnoredBits(file.path));
                }
                Ok(NewProgram { space, registers, image })
            }
            Err(error) => {
                self.mm.release_space(space);
                Err(error)
            }
        }
    }

    /// Maps program, interpreter and stack, and writes the stack.
    fn fill_space(
        &mut self,
        space: SpaceId,
        file: &Opened,
        interpreter: Option<&Opened>,
        asked: &[u8],
        argv: &[Vec<u8>],
        envp: &[Vec<u8>],
    ) -> Result<(Registers, Image), LoadError> {
        let needed = stack::argument_bytes(argv, envp) + 2 * PAGE_BYTES + STACK_SLACK_BYTES;
        let stack_bytes = needed.next_multiple_of(PAGE_BYTES).max(132 << 10);
        let stack_range = self.mm.map_stack(space, stack_bytes, file.elf.stack_perms)?;
        let program = self.map_program(space, file, interpreter.is_some())?;
        let start_of_rest = match interpreter {
            Some(interpreter) => Some(self.map_interpreter(space, interpreter)?),
            None => None,
        };
        self.place_heap(space, file, &program, interpreter.is_some());
        let facts = stack::AuxiliaryFacts {
            headers_at: program.headers_at,
            header_count: file.elf.header_count,
            interpreter_base: start_of_rest.as_ref().map_or(0, |loaded| loaded.bias),
            entry: program.entry,
            ids: host::files::identity(),
            processor: self.config.processor,
        };
        let image = stack::lay_out(stack_range.end, asked, argv, envp, &facts, self.random_bytes());
        if self.mm.write(space, image.start, &image.bytes) < image.bytes.len() {
            return Err(LoadError::NoMemory);
        }
        let entry = start_of_rest.map_or(program.entry, |loaded| loaded.entry);
        let described = Image {
            path: file.path.clone(),
            file: Some(file.dev_ino),
            name: comm_of(asked),
            arguments: image.arguments,
            environment: image.environment,
            auxiliary: image.auxiliary,
            stack_start: image.start.get(),
            code: program.code,
            data: program.data,
        };
        Ok((Registers::at_entry(VirtAddr::new(entry), image.start), described))
    }

    /// The heap follows the program; a program without an interpreter that may lie anywhere lies among the maps, and
    /// its heap where programs usually lie.
    fn place_heap(&mut self, space: SpaceId, file: &Opened, program: &Loaded, has_interpreter: bool) {
        let end = match file.elf.kind {
            elf::Kind::Relocatable if !has_interpreter => self.mm.layout(space).pie_base.get() + PAGE_BYTES,
            elf::Kind::Relocatable | elf::Kind::Fixed => program.end,
        };
        self.mm.set_heap(space, VirtAddr::new(end));
    }

    fn random_bytes(&mut self) -> [u8; 16] {
        let (first, second) = (self.next_random(), self.next_random());
        [first.to_le_bytes(), second.to_le_bytes()].concat().try_into().expect("two words are sixteen bytes")
    }
}

/// The last part of a path, at most 15 bytes.
pub(crate) fn comm_of(path: &[u8]) -> Vec<u8> {
    let last = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    last[..last.len().min(15)].to_vec()
}
