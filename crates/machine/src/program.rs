//! The program that a machine is to run: where its file is, and whether it can be one.

use object::Endianness;
use object::elf::{self, FileHeader64};
use object::read::elf::{FileHeader, ProgramHeader};
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Bytes of the file that are looked at beforehand: the headers of any sane program.
const HEAD_BYTES: u64 = 64 << 10;

/// A program with its arguments and environment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Program {
    /// Its file.
    pub path: PathBuf,
    /// The argument vector, the program's own name included.
    pub arguments: Vec<Vec<u8>>,
    /// The environment, each `NAME=value`.
    pub environment: Vec<Vec<u8>>,
}

/// Why a program cannot be run, in one sentence.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Unrunnable {
    /// There is no such file.
    Missing(String),
    /// There is one, and it cannot be run.
    Unfit(String),
}

impl Program {
    /// A program as the shell finds it, with the arguments and the environment of pagewalk itself.
    ///
    /// # Errors
    /// When there is none, or the file cannot be run.
    pub fn find(name: &OsStr, arguments: &[OsString]) -> Result<Self, Unrunnable> {
        let path = search(name)?;
        check(&path)?;
        let own = std::iter::once(name.as_bytes().to_vec());
        let environment = std::env::vars_os().map(|(mut variable, value)| {
            variable.push("=");
            variable.push(value);
            variable.into_vec()
        });
        Ok(Self {
            path,
            arguments: own.chain(arguments.iter().map(|argument| argument.as_bytes().to_vec())).collect(),
            environment: environment.collect(),
        })
    }

    /// Whether the file asks for the rights of its owner or group, which pagewalk does not give.
    pub fn is_setuid(&self) -> bool {
        let mode = std::fs::metadata(&self.path).map_or(0, |metadata| metadata.mode());
        mode & libc::S_ISUID != 0 || (mode & libc::S_ISGID != 0 && mode & libc::S_IXGRP != 0)
    }
}

/// A name with a slash is a path; any other is looked for in PATH.
fn search(name: &OsStr) -> Result<PathBuf, Unrunnable> {
    if name.is_empty() {
        return Err(Unrunnable::Missing("the name of the program is empty".to_owned()));
    }
    if name.as_bytes().contains(&b'/') {
        return Ok(PathBuf::from(name));
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    let found: Vec<PathBuf> =
        std::env::split_paths(&path).map(|directory| directory.join(name)).filter(|file| file.is_file()).collect();
    let runnable = found.iter().find(|file| file.metadata().is_ok_and(|metadata| is_executable(&metadata)));
    runnable
        .or(found.first())
        .cloned()
        .ok_or_else(|| Unrunnable::Missing(format!("{} is not found in PATH", name.display())))
}

/// Looks at a file before a machine is built for it. The guest kernel decides in the end; this finds words for what
/// execve(2) would answer with a bare number.
fn check(path: &Path) -> Result<(), Unrunnable> {
    let unfit = |why: &str| Unrunnable::Unfit(format!("{} {why}", path.display()));
    let metadata = std::fs::metadata(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Unrunnable::Missing(format!("{} does not exist", path.display())),
        std::io::ErrorKind::NotADirectory => {
            Unrunnable::Missing(format!("{} does not exist: a part of the path is no directory", path.display()))
        }
        _ => unfit(&format!("cannot be looked at: {error}")),
    })?;
    if metadata.is_dir() {
        return Err(unfit("is a directory"));
    }
    if !metadata.is_file() {
        return Err(unfit("is not a regular file"));
    }
    if !is_executable(&metadata) {
        return Err(unfit("is not executable: permission denied"));
    }
    let mut head = Vec::new();
    let file = File::open(path).map_err(|error| unfit(&format!("cannot be read: {error}")))?;
    file.take(HEAD_BYTES).read_to_end(&mut head).map_err(|error| unfit(&format!("cannot be read: {error}")))?;
    if head.starts_with(b"#!") {
        return Ok(());
    }
    check_elf(&head, metadata.len()).map_err(|why| unfit(&why))
}

fn is_executable(metadata: &Metadata) -> bool {
    metadata.is_file() && metadata.mode() & 0o111 != 0
}

fn check_elf(head: &[u8], file_bytes: u64) -> Result<(), String> {
    if !head.starts_with(&elf::ELFMAG) {
        return Err("is neither an ELF file nor a script".to_owned());
    }
    if head.get(4) == Some(&elf::ELFCLASS32.0) {
        return Err("is a 32-bit program; pagewalk runs x86-64 programs".to_owned());
    }
    let header = FileHeader64::<Endianness>::parse(head).map_err(|_| "is a truncated ELF file".to_owned())?;
    let endian = header.endian().map_err(|_| "is an ELF file of an unknown byte order".to_owned())?;
    if header.e_machine(endian) != elf::EM_X86_64 {
        let machine = header.e_machine(endian);
        return Err(format!(
            "is a program for another processor (ELF machine {machine}); pagewalk runs x86-64 programs"
        ));
    }
    if !matches!(header.e_type(endian), elf::ET_EXEC | elf::ET_DYN) {
        return Err("is an ELF file but not a program".to_owned());
    }
    let segments = header
        .program_headers(endian, head)
        .map_err(|_| "is a truncated ELF file: its program headers lie beyond its end".to_owned())?;
    check_segments(segments, endian, file_bytes)?;
    check_interpreter(segments, endian, head)
}

fn check_segments(
    segments: &[elf::ProgramHeader64<Endianness>],
    endian: Endianness,
    file_bytes: u64,
) -> Result<(), String> {
    let loaded = segments.iter().filter(|segment| segment.p_type(endian) == elf::PT_LOAD);
    let mut end = 0;
    for segment in loaded {
        let (start, size) = (segment.p_vaddr(endian), segment.p_memsz(endian));
        let file_end = segment.p_offset(endian).checked_add(segment.p_filesz(endian));
        if file_end.is_none_or(|file_end| file_end > file_bytes) {
            return Err("is a truncated ELF file: a segment lies beyond its end".to_owned());
        }
        if segment.p_filesz(endian) > size {
            return Err("has a segment that is larger in the file than in memory".to_owned());
        }
        if start < end {
            return Err("has segments that overlap or are out of order".to_owned());
        }
        end = start.checked_add(size).ok_or("has a segment that wraps around the address space")?;
    }
    if end == 0 { Err("has nothing to load".to_owned()) } else { Ok(()) }
}

fn check_interpreter(
    segments: &[elf::ProgramHeader64<Endianness>],
    endian: Endianness,
    head: &[u8],
) -> Result<(), String> {
    let Some(segment) = segments.iter().find(|segment| segment.p_type(endian) == elf::PT_INTERP) else { return Ok(()) };
    let name =
        segment.data(endian, head).map_err(|()| "is a truncated ELF file: the name of its interpreter is missing")?;
    let name = Path::new(OsStr::from_bytes(name.strip_suffix(&[0]).unwrap_or(name)));
    if name.exists() {
        return Ok(());
    }
    Err(format!("needs the interpreter {}, which does not exist", name.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own_head() -> Vec<u8> {
        std::fs::read(std::env::current_exe().unwrap()).unwrap()
    }

    #[test]
    fn this_test_is_a_program() {
        let bytes = own_head();
        assert_eq!(check_elf(&bytes, bytes.len() as u64), Ok(()));
    }

    #[test]
    fn each_defect_has_its_sentence() {
        let bytes = own_head();
        let defect = |change: &dyn Fn(&mut Vec<u8>), file_bytes: u64| {
            let mut bytes = bytes[..4096].to_vec();
            change(&mut bytes);
            check_elf(&bytes, file_bytes).unwrap_err()
        };
        let whole = bytes.len() as u64;
        assert!(defect(&|bytes| bytes[18] = 183, whole).contains("another processor (ELF machine 183)"));
        assert!(defect(&|bytes| bytes[4] = 1, whole).contains("32-bit"));
        assert!(defect(&|bytes| bytes[0] = 0, whole).contains("neither an ELF file nor a script"));
        assert!(defect(&|bytes| bytes.truncate(40), 40).contains("truncated"));
        assert!(defect(&|bytes| bytes.truncate(100), 100).contains("program headers"));
        assert!(defect(&|_| {}, 4096).contains("a segment lies beyond its end"));
        assert!(defect(&|bytes| bytes[16] = 1, whole).contains("not a program"));
    }

    #[test]
    fn what_is_not_there_is_missing() {
        let find = |name: &str| Program::find(OsStr::new(name), &[]);
        assert!(matches!(find("no-such-program-anywhere"), Err(Unrunnable::Missing(_))));
        assert!(matches!(find("/no/such/program"), Err(Unrunnable::Missing(_))));
        assert!(matches!(find("/proc/version"), Err(Unrunnable::Unfit(_))));
        assert!(matches!(find("/"), Err(Unrunnable::Unfit(_))));
        assert_eq!(find("ls").unwrap().arguments, [b"ls".to_vec()]);
    }
}
