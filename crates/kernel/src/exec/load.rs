//! Opening programs and mapping their segments.

use super::elf::{Elf, Kind, Segment};
use super::{LoadError, Program, script};
use crate::kernel::Kernel;
use crate::mm::{FileId, MappedFile, MmapRequest, Mount, OpenMode, SpaceId};
use addr::{PAGE_BYTES, Perms, VirtAddr};
use host::FileIdentity;
use std::fs::{File, Metadata};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{FileExt, MetadataExt};

/// How often a script's interpreter may be a script.
const MAX_SCRIPTS: usize = 5;

/// A program file.
pub(super) struct Opened {
    /// As the host resolves it.
    pub path: Vec<u8>,
    pub dev_ino: (u64, u64),
    pub elf: Elf,
    /// Whether its set-user-ID or set-group-ID bit would give other rights, which nobody gets here.
    pub is_set_id: bool,
    file: FileId,
    interpreter: Option<Vec<u8>>,
}

/// Where a program went.
pub(super) struct Loaded {
    /// What is added to the addresses in the file.
    pub bias: u64,
    pub entry: u64,
    pub headers_at: u64,
    /// Past its last byte.
    pub end: u64,
    pub code: (u64, u64),
    /// First byte and end of what the file has of the writable segments.
    pub data: (u64, u64),
}

impl Kernel {
    /// Follows scripts to a binary; returns it and the arguments that it gets.
    pub(super) fn find_binary(&mut self, program: &Program) -> Result<(Opened, Vec<Vec<u8>>), LoadError> {
        let (mut path, mut argv) = (program.path.clone(), program.argv.clone());
        for depth in 0..MAX_SCRIPTS {
            let (file, resolved) = self.open_program(&path).map_err(|error| match (depth, error) {
                (1.., LoadError::NotFound) => LoadError::MissingInterpreter(String::from_utf8_lossy(&path).into()),
                (_, error) => error,
            })?;
            let mut start = [0; script::LINE_BYTES];
            let got = file.read_at(&mut start, 0)?;
            let Some((interpreter, argument)) = script::interpreter_of(&start[..got]) else {
                return Ok((self.open_elf(&file, resolved)?, argv));
            };
            let rest = argv.split_off(argv.len().min(1));
            argv = [interpreter.clone()].into_iter().chain(argument).chain([path]).chain(rest).collect();
            path = interpreter;
        }
        Err(LoadError::ScriptDepth)
    }

    /// The interpreter that an ELF file names.
    pub(super) fn open_interpreter(&mut self, file: &Opened) -> Result<Option<Opened>, LoadError> {
        let Some(path) = &file.interpreter else { return Ok(None) };
        let name = String::from_utf8_lossy(path).into_owned();
        let (file, resolved) = self.open_program(path).map_err(|error| match error {
            LoadError::NotFound => LoadError::MissingInterpreter(name.clone()),
            error => error,
        })?;
        let opened = self.open_elf(&file, resolved).map_err(|_| LoadError::BrokenInterpreter(name))?;
        Ok(Some(opened))
    }

    /// Maps the program itself.
    pub(super) fn map_program(
        &mut self,
        space: SpaceId,
        file: &Opened,
        has_interpreter: bool,
    ) -> Result<Loaded, LoadError> {
        let (first, end) = file.elf.span();
        let bias = match file.elf.kind {
            Kind::Fixed => 0,
            Kind::Relocatable if has_interpreter => {
                let base = self.mm.layout(space).pie_base.get();
                (base / file.elf.alignment * file.elf.alignment).wrapping_sub(first)
            }
            Kind::Relocatable => self.mm.free_place(space, end - first)?.get().wrapping_sub(first),
        };
        self.map_segments(space, file, bias)
    }

    /// Maps the interpreter where mmap would put it.
    pub(super) fn map_interpreter(&mut self, space: SpaceId, file: &Opened) -> Result<Loaded, LoadError> {
        let (first, end) = file.elf.span();
        let bias = match file.elf.kind {
            Kind::Fixed => 0,
            Kind::Relocatable => self.mm.free_place(space, end - first)?.get().wrapping_sub(first),
        };
        self.map_segments(space, file, bias)
    }

    fn map_segments(&mut self, space: SpaceId, file: &Opened, bias: u64) -> Result<Loaded, LoadError> {
        for segment in &file.elf.segments {
            self.map_segment(space, file.file, segment, bias)?;
        }
        let code = file.elf.segments.iter().find(|segment| segment.perms.contains(Perms::EXECUTE));
        let code = code.map_or((0, 0), |code| (bias.wrapping_add(code.addr), bias.wrapping_add(code.end())));
        let data = file.elf.segments.iter().filter(|segment| segment.perms.contains(Perms::WRITE));
        let data =
            data.map(|data| (bias.wrapping_add(data.addr), bias.wrapping_add(data.addr + data.file_bytes))).next_back();
        let last = file.elf.segments.iter().map(Segment::end).max().unwrap_or(0);
        Ok(Loaded {
            bias,
            entry: bias.wrapping_add(file.elf.entry),
            headers_at: bias.wrapping_add(file.elf.headers_at),
            end: bias.wrapping_add(last),
            code,
            data: data.unwrap_or((0, 0)),
        })
    }

    /// Bytes of the file first, then zeros: to the end of the last page of the file by writing them, if the segment is
    /// writable, and beyond it by anonymous pages.
    fn map_segment(&mut self, space: SpaceId, file: FileId, segment: &Segment, bias: u64) -> Result<(), LoadError> {
        let addr = bias.wrapping_add(segment.addr);
        let offset_in_page = addr % PAGE_BYTES;
        let file_end = addr + segment.file_bytes;
        let prot = prot_of(segment.perms);
        let flags = (libc::MAP_PRIVATE | libc::MAP_FIXED) as u64;
        let mut mapped_to = addr - offset_in_page;
        if segment.file_bytes > 0 {
            let file = MappedFile { id: file, mode: OpenMode::ReadOnly, mount: Mount::Exec };
            let bytes = offset_in_page + segment.file_bytes;
            let offset = segment.offset - segment.offset % PAGE_BYTES;
            let request = MmapRequest { addr: mapped_to, bytes, prot, flags, offset, file: Some(file) };
            self.mm.mmap(space, &request)?;
            mapped_to = file_end.next_multiple_of(PAGE_BYTES);
        }
        let end = (bias.wrapping_add(segment.end())).next_multiple_of(PAGE_BYTES);
        if end > mapped_to {
            let flags = flags | libc::MAP_ANONYMOUS as u64;
            let request = MmapRequest { addr: mapped_to, bytes: end - mapped_to, prot, flags, offset: 0, file: None };
            self.mm.mmap(space, &request)?;
        }
        let zeros = (mapped_to.saturating_sub(file_end)).min(segment.memory_bytes - segment.file_bytes);
        if zeros > 0 && segment.file_bytes > 0 && segment.perms.contains(Perms::WRITE) {
            let tail = vec![0; (mapped_to - file_end) as usize];
            self.mm.write(space, VirtAddr::new(file_end), &tail);
        }
        Ok(())
    }

    /// Opens a file to be run and keeps it; also the path as the host resolves it.
    fn open_program(&mut self, path: &[u8]) -> Result<(File, Vec<u8>), LoadError> {
        if path.is_empty() {
            return Err(LoadError::NotFound);
        }
        let file = host::files::open(path)?;
        let described = host::files::describe(file.as_raw_fd())?;
        match described.kind {
            libc::S_IFREG => {}
            libc::S_IFDIR => return Err(LoadError::Directory),
            _ => return Err(LoadError::NoPermission),
        }
        host::files::check_executable(path)?;
        if !host::files::allows_execution(file.as_raw_fd()) {
            return Err(LoadError::NoPermission);
        }
        if self.is_being_written(&file, &described.identity)? {
            return Err(LoadError::BeingWritten);
        }
        let resolved = host::files::path_of(file.as_raw_fd());
        Ok((file, resolved))
    }

    /// Whether somebody else than the page cache has a file open for writing.
    fn is_being_written(&mut self, file: &File, identity: &FileIdentity) -> Result<bool, LoadError> {
        if !host::files::is_being_written(file) {
            return Ok(false);
        }
        let Some(id) = self.mm.known_file(identity.dev, identity.ino) else { return Ok(true) };
        let reader = self.vault.keep(file.as_fd())?;
        Ok(!self.mm.only_read(id, reader) || host::files::is_being_written(file))
    }

    fn open_elf(&mut self, file: &File, path: Vec<u8>) -> Result<Opened, LoadError> {
        let identity = host::files::describe(file.as_raw_fd())?.identity;
        let elf = Elf::parse(identity.size, |offset, to| file.read_at(to, offset).unwrap_or(0))?;
        let interpreter = match elf.interpreter {
            None => None,
            Some((offset, bytes)) => {
                let mut name = vec![0; bytes as usize];
                let got = file.read_at(&mut name, offset)?;
                if got < name.len() || name.pop() != Some(0) || name.contains(&0) {
                    return Err(LoadError::BadInterpreter);
                }
                Some(name)
            }
        };
        let is_set_id = gives_other_rights(&file.metadata()?);
        let file = self.cached_file(file.as_fd(), &identity, &String::from_utf8_lossy(&path), OpenMode::ReadOnly)?;
        Ok(Opened { path, dev_ino: (identity.dev, identity.ino), elf, is_set_id, file, interpreter })
    }
}

fn gives_other_rights(file: &Metadata) -> bool {
    let [_, user, _, group] = host::files::identity();
    let gives_user = file.mode() & libc::S_ISUID != 0 && u64::from(file.uid()) != user;
    let gives_group = file.mode() & (libc::S_ISGID | libc::S_IXGRP) == libc::S_ISGID | libc::S_IXGRP;
    gives_user || gives_group && u64::from(file.gid()) != group
}

fn prot_of(perms: Perms) -> u64 {
    let bits = [(Perms::READ, libc::PROT_READ), (Perms::WRITE, libc::PROT_WRITE), (Perms::EXECUTE, libc::PROT_EXEC)];
    bits.into_iter().filter(|(perm, _)| perms.contains(*perm)).fold(0, |prot, (_, bit)| prot | bit as u64)
}
