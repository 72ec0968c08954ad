//! The core file of a dead guest process: an ELF file that debuggers open (core(5), and the structures of
//! Linux's `linux/elfcore.h` for x86-64).
//!
//! ```text
//! ELF header | program headers: PT_NOTE, then one PT_LOAD an area | notes | contents, page by page, zeros as holes
//! ```

use addr::{Gpr, PAGE_BYTES, Perms, Registers, VirtAddr};
use kernel::mm::AreaInfo;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

const EHDR_BYTES: u64 = 64;
const PHDR_BYTES: u64 = 56;
const ET_CORE: u16 = 4;
const EM_X86_64: u16 = 62;
const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;
const NT_PRSTATUS: u32 = 1;
const NT_FPREGSET: u32 = 2;
const NT_PRPSINFO: u32 = 3;
const NT_AUXV: u32 = 6;
const NT_SIGINFO: u32 = 0x5349_4749;
const NT_FILE: u32 = 0x4649_4c45;
/// The user-mode code and stack selectors of Linux.
const USER_CS: u64 = 0x33;
const USER_SS: u64 = 0x2b;

/// A dead process.
pub struct DeadProcess<'a> {
    /// Its number.
    pub pid: u32,
    /// The signal it died of.
    pub signal: i32,
    /// The signal's si_code.
    pub code: i32,
    /// The signal's si_addr.
    pub addr: VirtAddr,
    /// The short name, as in /proc/PID/comm.
    pub name: &'a [u8],
    /// The arguments, each with a zero byte behind it.
    pub arguments: &'a [u8],
    /// The auxiliary vector, as the program got it.
    pub auxv: &'a [u8],
    /// Each thread, the one that died first.
    pub threads: &'a [(u32, Registers)],
    /// The address space, in address order.
    pub areas: &'a [AreaInfo],
}

/// Writes a core file, which may be `limit_bytes` long. `read` copies bytes of the dead process and says how many it
/// could.
///
/// # Errors
/// The host's, when the file cannot be created or written.
pub fn write(
    path: &Path,
    limit_bytes: u64,
    dead: &DeadProcess<'_>,
    read: &mut dyn FnMut(VirtAddr, &mut [u8]) -> usize,
) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    let notes = notes(dead);
    let headers = EHDR_BYTES + PHDR_BYTES * (1 + dead.areas.len() as u64);
    let contents = (headers + notes.len() as u64).next_multiple_of(PAGE_BYTES);
    let mut out = BufWriter::new(&file);
    out.write_all(&elf_header(1 + dead.areas.len() as u16))?;
    out.write_all(&program_header(PT_NOTE, 0, headers, 0, notes.len() as u64, 0, 4))?;
    let mut offset = contents;
    for area in dead.areas {
        let bytes = dumped_bytes(area);
        let (start, size) = (area.range.start.get(), area.range.count());
        out.write_all(&program_header(PT_LOAD, elf_flags(area.perms), offset, start, bytes, size, PAGE_BYTES))?;
        offset += bytes;
    }
    out.write_all(&notes)?;
    out.flush()?;
    drop(out);
    write_contents(&file, contents, limit_bytes, dead.areas, read)?;
    file.set_len(offset.min(limit_bytes))
}

/// What of an area is in the file: everything that the process could read, as Linux's default filter has it, except
/// the pages of files that nobody can write to, which a debugger finds in the files.
fn dumped_bytes(area: &AreaInfo) -> u64 {
    let in_its_file = area.name.starts_with('/') && !area.perms.contains(Perms::WRITE) && area.offset > 0;
    if area.perms.is_none() || in_its_file { 0 } else { area.range.count() }
}

fn write_contents(
    mut file: &File,
    start: u64,
    limit_bytes: u64,
    areas: &[AreaInfo],
    read: &mut dyn FnMut(VirtAddr, &mut [u8]) -> usize,
) -> io::Result<()> {
    let mut page = [0; PAGE_BYTES as usize];
    let mut offset = start;
    for area in areas.iter().filter(|area| dumped_bytes(area) > 0) {
        for page_number in area.range.pages().iter() {
            if offset + PAGE_BYTES > limit_bytes {
                return Ok(());
            }
            let copied = read(page_number.start(), &mut page);
            if page[..copied].iter().any(|byte| *byte != 0) {
                file.seek(SeekFrom::Start(offset))?;
                file.write_all(&page[..copied])?;
            }
            offset += PAGE_BYTES;
        }
    }
    Ok(())
}

fn elf_header(program_headers: u16) -> Vec<u8> {
    let mut bytes = Words::default();
    bytes.raw(b"\x7fELF\x02\x01\x01").raw(&[0; 9]);
    bytes.u16(ET_CORE).u16(EM_X86_64).u32(1);
    bytes.u64(0).u64(EHDR_BYTES).u64(0);
    bytes.u32(0).u16(EHDR_BYTES as u16).u16(PHDR_BYTES as u16).u16(program_headers).u16(0).u16(0).u16(0);
    bytes.0
}

fn program_header(kind: u32, flags: u32, offset: u64, addr: u64, file_bytes: u64, bytes: u64, align: u64) -> Vec<u8> {
    let mut words = Words::default();
    words.u32(kind).u32(flags).u64(offset).u64(addr).u64(0).u64(file_bytes).u64(bytes).u64(align);
    words.0
}

fn elf_flags(perms: Perms) -> u32 {
    let bits = [(Perms::EXECUTE, 1), (Perms::WRITE, 2), (Perms::READ, 4)];
    bits.iter().filter(|(perm, _)| perms.contains(*perm)).map(|(_, bit)| bit).sum()
}

fn notes(dead: &DeadProcess<'_>) -> Vec<u8> {
    let mut notes = Words::default();
    let mut threads = dead.threads.iter();
    if let Some((tid, registers)) = threads.next() {
        notes.note(NT_PRSTATUS, &prstatus(dead, *tid, registers));
        notes.note(NT_PRPSINFO, &prpsinfo(dead));
        notes.note(NT_SIGINFO, &siginfo(dead));
        notes.note(NT_AUXV, dead.auxv);
        notes.note(NT_FILE, &mapped_files(dead.areas));
        notes.note(NT_FPREGSET, &fpregset(registers));
    }
    for (tid, registers) in threads {
        notes.note(NT_PRSTATUS, &prstatus(dead, *tid, registers));
        notes.note(NT_FPREGSET, &fpregset(registers));
    }
    notes.0
}

/// `struct elf_prstatus`, 336 bytes: the registers are the 27 words from 112 on.
fn prstatus(dead: &DeadProcess<'_>, tid: u32, registers: &Registers) -> Vec<u8> {
    use Gpr::*;
    let mut words = Words::default();
    words.u32(dead.signal as u32).u32(dead.code as u32).u32(0);
    words.u16(dead.signal as u16).u16(0).u64(0).u64(0);
    words.u32(tid).u32(0).u32(dead.pid).u32(dead.pid);
    words.raw(&[0; 64]);
    for register in [R15, R14, R13, R12, Rbp, Rbx, R11, R10, R9, R8, Rax, Rcx, Rdx, Rsi, Rdi] {
        words.u64(registers.get(register));
    }
    words.u64(u64::MAX); // orig_rax: not in a system call
    words.u64(registers.rip.get()).u64(USER_CS).u64(registers.rflags).u64(registers.get(Rsp)).u64(USER_SS);
    words.u64(registers.fs_base).u64(registers.gs_base);
    words.u64(0).u64(0).u64(0).u64(0); // ds, es, fs, gs
    words.u32(1).u32(0); // pr_fpvalid
    words.0
}

/// `struct elf_prpsinfo`, 136 bytes.
fn prpsinfo(dead: &DeadProcess<'_>) -> Vec<u8> {
    let mut words = Words::default();
    words.raw(&[0, b'R', 0, 0]).u32(0).u64(0);
    words.u32(0).u32(0);
    words.u32(dead.pid).u32(0).u32(dead.pid).u32(dead.pid);
    let arguments: Vec<u8> = dead.arguments.iter().map(|byte| if *byte == 0 { b' ' } else { *byte }).collect();
    words.text(dead.name, 16).text(&arguments, 80);
    words.0
}

/// `siginfo_t`, 128 bytes.
fn siginfo(dead: &DeadProcess<'_>) -> Vec<u8> {
    let mut words = Words::default();
    words.u32(dead.signal as u32).u32(0).u32(dead.code as u32).u32(0).u64(dead.addr.get());
    words.0.resize(128, 0);
    words.0
}

/// The files that are mapped: their ranges and offsets in pages, then their names.
fn mapped_files(areas: &[AreaInfo]) -> Vec<u8> {
    let files: Vec<&AreaInfo> = areas.iter().filter(|area| area.name.starts_with('/')).collect();
    let mut words = Words::default();
    words.u64(files.len() as u64).u64(PAGE_BYTES);
    for area in &files {
        words.u64(area.range.start.get()).u64(area.range.end.get()).u64(area.offset / PAGE_BYTES);
    }
    for area in &files {
        words.raw(area.name.as_bytes()).raw(&[0]);
    }
    words.0
}

/// `struct user_fpregs_struct`: the FXSAVE image, 512 bytes.
fn fpregset(registers: &Registers) -> Vec<u8> {
    let mut image = registers.x87.to_vec();
    image[24..28].copy_from_slice(&registers.mxcsr.to_le_bytes());
    image[28..32].copy_from_slice(&0xffffu32.to_le_bytes());
    let mut words = Words(image);
    for ymm in &registers.ymm {
        words.u64(ymm[0]).u64(ymm[1]);
    }
    words.0.resize(512, 0);
    words.0
}

/// Little-endian words, one after the other.
#[derive(Default)]
struct Words(Vec<u8>);

impl Words {
    fn u16(&mut self, value: u16) -> &mut Self {
        self.raw(&value.to_le_bytes())
    }

    fn u32(&mut self, value: u32) -> &mut Self {
        self.raw(&value.to_le_bytes())
    }

    fn u64(&mut self, value: u64) -> &mut Self {
        self.raw(&value.to_le_bytes())
    }

    fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// A text in a field of so many bytes, cut so that a zero follows it.
    fn text(&mut self, text: &[u8], field_bytes: usize) -> &mut Self {
        let bytes = &text[..text.len().min(field_bytes - 1)];
        self.raw(bytes).raw(&vec![0; field_bytes - bytes.len()])
    }

    /// A note of the name "CORE", both parts padded to four bytes.
    fn note(&mut self, kind: u32, body: &[u8]) {
        self.u32(5).u32(body.len() as u32).u32(kind).raw(b"CORE\0\0\0\0").raw(body);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use addr::VirtRange;
    use kernel::mm::Sharing;
    use object::{Object, ObjectKind, ObjectSegment};

    #[test]
    fn structures_have_the_sizes_of_linux() {
        let registers = Registers::at_entry(VirtAddr::new(0x40_1000), VirtAddr::new(0x7fff_0000));
        let dead = dead(&[], &[]);
        assert_eq!(prstatus(&dead, 2, &registers).len(), 336);
        assert_eq!(prpsinfo(&dead).len(), 136);
        assert_eq!(fpregset(&registers).len(), 512);
        assert_eq!(siginfo(&dead).len(), 128);
    }

    #[test]
    fn memory_is_found_again_in_the_file() {
        let range = VirtRange::new(VirtAddr::new(0x40_0000), VirtAddr::new(0x40_2000));
        let area = AreaInfo {
            range,
            perms: Perms::READ_WRITE,
            offset: 0,
            sharing: Sharing::Private,
            dev: 0,
            ino: 0,
            name: String::new(),
        };
        let threads = [(2, Registers::at_entry(VirtAddr::new(0x40_0000), VirtAddr::new(0x40_2000)))];
        let areas = [area];
        let mut read = |at: VirtAddr, to: &mut [u8]| {
            to.fill((at.get() >> 12) as u8);
            to.len()
        };
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("core");
        write(&path, u64::MAX, &dead(&threads, &areas), &mut read).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let file = object::File::parse(&*bytes).unwrap();
        assert_eq!(file.kind(), ObjectKind::Core);
        let segment = file.segments().next().unwrap();
        assert_eq!((segment.address(), segment.size()), (0x40_0000, 0x2000));
        assert_eq!(segment.data_range(0x40_1ffc, 4).unwrap(), Some(&[1u8; 4][..]));
        write(&path, 0x1800, &dead(&threads, &areas), &mut read).unwrap();
        assert!(std::fs::metadata(&path).unwrap().len() <= 0x1800);
    }

    fn dead<'a>(threads: &'a [(u32, Registers)], areas: &'a [AreaInfo]) -> DeadProcess<'a> {
        DeadProcess {
            pid: 2,
            signal: libc::SIGSEGV,
            code: 1,
            addr: VirtAddr::new(0),
            name: b"segv",
            arguments: b"./segv\0",
            auxv: &[],
            threads,
            areas,
        }
    }
}
