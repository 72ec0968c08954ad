//! The core file of a dead guest process: an ELF file that debuggers open (core(5), and the structures of
//! Linux's `linux/elfcore.h` for x86-64).
//!
//! ```text
//! ELF header | program headers: PT_NOTE, then one PT_LOAD an area | notes | contents, page by page, zeros as holes
//! ```

mod notes;
mod words;

use addr::{PAGE_BYTES, Page, PageRange, Perms, Registers, VirtAddr};
use kernel::Identity;
use kernel::mm::{DumpedArea, PageBytes};
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use words::Words;

const EHDR_BYTES: u64 = 64;
const PHDR_BYTES: u64 = 56;
const ET_CORE: u16 = 4;
const EM_X86_64: u16 = 62;
const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;

/// A dead process.
pub struct DeadProcess<'a> {
    /// Its number.
    pub pid: u32,
    /// Its parent, group and session.
    pub identity: Identity,
    /// Its real user.
    pub user: u64,
    /// Its real group of users.
    pub group: u64,
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
    pub threads: &'a [DeadThread],
    /// The address space, in address order.
    pub areas: &'a [DumpedArea],
}

/// A thread of a dead process.
pub struct DeadThread {
    /// Its number.
    pub tid: u32,
    /// Its registers when the process died.
    pub registers: Registers,
    /// The system call that it was in.
    pub call: Option<u64>,
}

/// Shows the pages of a range that may hold something, in order, until told to stop.
pub type PeekPages<'a> = dyn FnMut(PageRange, &mut dyn FnMut(Page, &PageBytes) -> bool) + 'a;

/// Writes a core file, which may be `limit_bytes` long.
///
/// # Errors
/// The host's, when the file cannot be created or written, or something that is no file of the user's own is there.
pub fn write(path: &Path, limit_bytes: u64, dead: &DeadProcess<'_>, peek: &mut PeekPages<'_>) -> io::Result<()> {
    let file = create(path)?;
    let notes = notes::all(dead);
    let headers = EHDR_BYTES + PHDR_BYTES * (1 + dead.areas.len() as u64);
    let contents = (headers + notes.len() as u64).next_multiple_of(PAGE_BYTES);
    let mut out = BufWriter::new(&file);
    out.write_all(&elf_header(1 + dead.areas.len() as u16))?;
    out.write_all(&program_header(PT_NOTE, 0, headers, 0, notes.len() as u64, 0, 4))?;
    let mut offset = contents;
    for DumpedArea { info, bytes } in dead.areas {
        let (start, size) = (info.range.start.get(), info.range.count());
        out.write_all(&program_header(PT_LOAD, elf_flags(info.perms), offset, start, *bytes, size, PAGE_BYTES))?;
        offset += bytes;
    }
    out.write_all(&notes)?;
    out.flush()?;
    drop(out);
    write_contents(&file, contents, limit_bytes, dead.areas, peek)?;
    file.set_len(offset.min(limit_bytes))
}

/// As Linux does: no link is followed, and only a file that is the user's own and has no other name is overwritten.
fn create(path: &Path) -> io::Result<File> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file =
        OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).custom_flags(flags).open(path)?;
    let found = file.metadata()?;
    if !found.is_file() || found.nlink() != 1 || u64::from(found.uid()) != host::files::identity()[1] {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "what is there is not to be overwritten"));
    }
    file.set_len(0)?;
    Ok(file)
}

fn write_contents(
    mut file: &File,
    start: u64,
    limit_bytes: u64,
    areas: &[DumpedArea],
    peek: &mut PeekPages<'_>,
) -> io::Result<()> {
    let mut offset = start;
    let mut written = Ok(());
    for DumpedArea { info, bytes } in areas {
        let pages = PageRange::from_count(info.range.start.page(), bytes / PAGE_BYTES);
        peek(pages, &mut |page, contents| {
            let at = offset + (page - pages.start) * PAGE_BYTES;
            if at + PAGE_BYTES > limit_bytes {
                return false;
            }
            if contents.iter().any(|byte| *byte != 0) {
                written = file.seek(SeekFrom::Start(at)).and_then(|_| file.write_all(contents));
            }
            written.is_ok()
        });
        if written.is_err() {
            break;
        }
        offset += bytes;
    }
    written
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

#[cfg(test)]
mod tests {
    use super::*;
    use addr::VirtRange;
    use kernel::mm::{AreaInfo, Sharing};
    use object::{Object, ObjectKind, ObjectSegment};

    #[test]
    fn memory_is_found_again_in_the_file() {
        let range = VirtRange::new(VirtAddr::new(0x40_0000), VirtAddr::new(0x40_2000));
        let info = AreaInfo {
            range,
            perms: Perms::READ_WRITE,
            offset: 0,
            sharing: Sharing::Private,
            dev: 0,
            ino: 0,
            name: String::new(),
        };
        let registers = Registers::at_entry(VirtAddr::new(0x40_0000), VirtAddr::new(0x40_2000));
        let threads = [DeadThread { tid: 2, registers, call: None }];
        let areas = [DumpedArea { info, bytes: range.count() }];
        let mut peek = |pages: PageRange, show: &mut dyn FnMut(Page, &PageBytes) -> bool| {
            for page in pages.iter() {
                show(page, &[page.get() as u8; PAGE_BYTES as usize]);
            }
        };
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("core");
        write(&path, u64::MAX, &dead(&threads, &areas), &mut peek).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let file = object::File::parse(&*bytes).unwrap();
        assert_eq!(file.kind(), ObjectKind::Core);
        let segment = file.segments().next().unwrap();
        assert_eq!((segment.address(), segment.size()), (0x40_0000, 0x2000));
        assert_eq!(segment.data_range(0x40_1ffc, 4).unwrap(), Some(&[1u8; 4][..]));
        write(&path, 0x1800, &dead(&threads, &areas), &mut peek).unwrap();
        assert!(std::fs::metadata(&path).unwrap().len() <= 0x1800);
    }

    #[test]
    fn a_link_is_not_written_through() {
        let directory = tempfile::tempdir().unwrap();
        let (target, link, twin) =
            (directory.path().join("target"), directory.path().join("link"), directory.path().join("twin"));
        std::fs::write(&target, "precious").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        std::fs::hard_link(&target, &twin).unwrap();
        assert!(create(&link).is_err() && create(&twin).is_err() && create(directory.path()).is_err());
        assert_eq!(std::fs::read(&target).unwrap(), b"precious");
    }

    pub(super) fn dead<'a>(threads: &'a [DeadThread], areas: &'a [DumpedArea]) -> DeadProcess<'a> {
        DeadProcess {
            pid: 2,
            identity: Identity::default(),
            user: 0,
            group: 0,
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
