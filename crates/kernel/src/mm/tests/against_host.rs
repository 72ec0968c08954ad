//! The same calls in an empty process of the host and in a space of ours: the same answers, maps and faults.

use super::*;
use addr::{Gpr, Registers, VirtRange};
use host::KeptFile;
use host::traced::{Pace, Stop, Traced};
use proptest::prelude::*;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use tempfile::NamedTempFile;

/// Where the play goes on: nothing of the host's is near.
const WINDOW: u64 = 0x1000_0000_0000;
const WINDOW_PAGES: u64 = 48;
/// A page number that asks for no place.
const NOWHERE: u64 = u64::MAX;
/// Where the loads and stores of the traced process are.
const CODE: u64 = 0x6e00_0000_0000;
/// `mov al, [rdi]; int3` and `mov [rdi], sil; int3`.
const TOUCHES: [u8; 16] = [0x8a, 0x07, 0xcc, 0, 0, 0, 0, 0, 0x40, 0x88, 0x37, 0xcc, 0, 0, 0, 0];

#[derive(Clone, Copy, Debug)]
enum Step {
    Map { page: u64, pages: u64, prot: u64, flags: u64 },
    Unmap { page: u64, pages: u64 },
    Protect { page: u64, pages: u64, prot: u64 },
    Remap { page: u64, old: u64, new: u64, flags: u64, to: u64 },
    Advise { page: u64, pages: u64, advice: u64 },
    Lock { page: u64, pages: u64, call: i64 },
    Sync { page: u64, pages: u64, flags: u64 },
    Break { pages: u64 },
    MapFile { page: u64, pages: u64, prot: u64, flags: u64, offset: u64 },
    Truncate { halves: u64 },
    WriteFile { halves: u64, byte: u8 },
    ReadFile,
    Load { page: u64 },
    Store { page: u64, byte: u8 },
}

fn any_step() -> impl Strategy<Value = Step> {
    let page = 0..WINDOW_PAGES - 12;
    let pages = prop_oneof![9 => 1..8_u64, 1 => Just(0)];
    let prot = prop_oneof![6 => 0..8_u64, 4 => Just(3_u64)];
    let kind = prop::sample::select(vec![
        PRIVATE,
        PRIVATE,
        PRIVATE,
        SHARED,
        PRIVATE | libc::MAP_NORESERVE as u64,
        PRIVATE | libc::MAP_POPULATE as u64,
        PRIVATE | libc::MAP_GROWSDOWN as u64,
        PRIVATE | libc::MAP_LOCKED as u64,
    ]);
    let place = prop::sample::select(vec![FIXED, FIXED, FIXED, 0, libc::MAP_FIXED_NOREPLACE as u64]);
    let moving = prop::sample::select(vec![0, 1, 1, 3, 3, 5, 7, 2]);
    let advice = prop::sample::select(vec![
        0, 1, 2, 3, 4, 4, 4, 8, 9, 10, 11, 14, 15, 16, 17, 18, 19, 20, 22, 23, 24, 25, 99, 102, 102, 103,
    ]);
    let lock = prop::sample::select(vec![libc::SYS_mlock, libc::SYS_munlock]);
    prop_oneof![
        6 => (page.clone(), pages.clone(), prot.clone(), kind, place)
            .prop_map(|(page, pages, prot, kind, place)| Step::Map { page, pages, prot, flags: kind | place }),
        3 => (page.clone(), pages.clone()).prop_map(|(page, pages)| Step::Unmap { page, pages }),
        5 => (page.clone(), pages.clone(), prot).prop_map(|(page, pages, prot)| Step::Protect { page, pages, prot }),
        4 => (page.clone(), 0..8_u64, 0..8_u64, moving, page.clone())
            .prop_map(|(page, old, new, flags, to)| Step::Remap { page, old, new, flags, to }),
        4 => (page.clone(), pages.clone(), advice)
            .prop_map(|(page, pages, advice)| Step::Advise { page, pages, advice }),
        1 => (page.clone(), pages.clone(), lock).prop_map(|(page, pages, call)| Step::Lock { page, pages, call }),
        1 => (page.clone(), pages, 0..8_u64).prop_map(|(page, pages, flags)| Step::Sync { page, pages, flags }),
        1 => (0..6_u64).prop_map(|pages| Step::Break { pages }),
        4 => any_file_map(),
        1 => any_large_map(),
        2 => (0..18_u64).prop_map(|halves| Step::Truncate { halves }),
        2 => (0..16_u64, any::<u8>()).prop_map(|(halves, byte)| Step::WriteFile { halves, byte }),
        2 => Just(Step::ReadFile),
        6 => page.clone().prop_map(|page| Step::Load { page }),
        8 => (page, any::<u8>()).prop_map(|(page, byte)| Step::Store { page, byte }),
    ]
}

fn any_file_map() -> impl Strategy<Value = Step> {
    let flags = prop::sample::select(vec![1, 1, 2, 2, 3, 0, 0x101, 0x201, 0x102]);
    (0..WINDOW_PAGES - 12, 1..8_u64, 0..8_u64, flags, 0..6_u64).prop_map(|(page, pages, prot, flags, offset)| {
        Step::MapFile { page, pages, prot, flags: flags | FIXED, offset: offset * K }
    })
}

/// Maps that large pages could serve, wherever the kernel likes.
fn any_large_map() -> impl Strategy<Value = Step> {
    let pages = prop_oneof![500..1100_u64, Just(512), Just(1024), Just(2048)];
    let kind = prop::sample::select(vec![PRIVATE, SHARED, 1, 2]);
    (0..WINDOW_PAGES, pages, kind, 0..1100_u64).prop_map(|(page, pages, flags, offset)| match flags {
        PRIVATE | SHARED => Step::Map { page, pages, prot: 0, flags },
        _ => Step::MapFile { page: NOWHERE, pages, prot: 0, flags, offset: offset * K },
    })
}

fn any_mode() -> impl Strategy<Value = OpenMode> {
    prop_oneof![6 => Just(OpenMode::ReadWrite), 3 => Just(OpenMode::ReadOnly), 1 => Just(OpenMode::WriteOnly)]
}

/// What a step answered: a value, an error, or how an access ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Answer {
    Value(u64),
    Error(i32),
    Signal { signal: i32, code: i32, addr: u64 },
}

fn at(page: u64) -> u64 {
    if page == NOWHERE { 0 } else { WINDOW + page * K }
}

/// One file on each side, eight pages long at first.
struct Files {
    theirs: NamedTempFile,
    ours: NamedTempFile,
    /// How it is opened: one way in a play, because Linux does not merge maps of two descriptors.
    mode: OpenMode,
    /// The traced process's descriptor.
    descriptor: u64,
    id: FileId,
}

struct Pair {
    host: Traced,
    ours: World,
    heap: u64,
    files: Files,
}

impl Pair {
    fn new(mode: OpenMode) -> Self {
        let mut host = Traced::spawn().expect("this host lets us trace");
        let code = VirtRange::new(VirtAddr::new(CODE), VirtAddr::new(CODE + K));
        host.map(code, Perms::READ_EXECUTE).expect("the process is empty");
        host.write(code.start, &TOUCHES).expect("it was just mapped");
        let mut ours = World::new();
        let files = Files::new(&mut host, &mut ours, mode);
        let heap = host.syscall(libc::SYS_brk, [0; 6]).expect("brk does not fail");
        ours.mm.set_heap(ours.id, VirtAddr::new(heap));
        // The first map of an empty space ends at the host's mmap_base.
        let top = host.syscall(libc::SYS_mmap, [0, K, 0, PRIVATE, u64::MAX, 0]).expect("there is room");
        host.unmap(VirtRange::new(VirtAddr::new(top), VirtAddr::new(top + K))).expect("it was just mapped");
        ours.mm.space_mut(ours.id).layout.mmap_base = VirtAddr::new(top + K);
        ours.map(CODE, K, RX, PRIVATE | FIXED).expect("the space is empty");
        Self { host, ours, heap, files }
    }

    /// The system call of a step.
    fn call(&self, step: Step) -> Option<(i64, [u64; 6])> {
        Some(match step {
            Step::Map { page, pages, prot, flags } => {
                let addr = if flags & (FIXED | libc::MAP_FIXED_NOREPLACE as u64) == 0 { 0 } else { at(page) };
                (libc::SYS_mmap, [addr, pages * K, prot, flags, u64::MAX, 0])
            }
            Step::Unmap { page, pages } => (libc::SYS_munmap, [at(page), pages * K, 0, 0, 0, 0]),
            Step::Protect { page, pages, prot } => (libc::SYS_mprotect, [at(page), pages * K, prot, 0, 0, 0]),
            Step::Remap { page, old, new, flags, to } => {
                let to = if flags & 6 == 0 { 0 } else { at(to) };
                (libc::SYS_mremap, [at(page), old * K, new * K, flags, to, 0])
            }
            Step::Advise { page, pages, advice } => (libc::SYS_madvise, [at(page), pages * K, advice, 0, 0, 0]),
            Step::Lock { page, pages, call } => (call, [at(page), pages * K, 0, 0, 0, 0]),
            Step::Sync { page, pages, flags } => (libc::SYS_msync, [at(page), pages * K, flags, 0, 0, 0]),
            Step::Break { pages } => (libc::SYS_brk, [self.heap.next_multiple_of(K) + pages * K, 0, 0, 0, 0, 0]),
            Step::MapFile { page, pages, prot, flags, offset } => {
                let descriptor = self.files.descriptor;
                (libc::SYS_mmap, [at(page), pages * K, prot, flags, descriptor, offset])
            }
            _ => return None,
        })
    }

    fn on_host(&mut self, step: Step) -> Answer {
        if let Some((number, args)) = self.call(step) {
            return match self.host.syscall(number, args) {
                Ok(value) => Answer::Value(value),
                Err(error) => Answer::Error(error.raw_os_error().expect("an errno")),
            };
        }
        let (page, offset, byte) = match step {
            Step::Truncate { .. } | Step::WriteFile { .. } | Step::ReadFile => {
                return Answer::Value(change_file(self.files.theirs.as_file(), step));
            }
            Step::Store { page, byte } => (page, 8, byte),
            Step::Load { page } => (page, 0, 0),
            _ => unreachable!("the others are calls"),
        };
        let mut registers = Registers::at_entry(VirtAddr::new(CODE + offset), VirtAddr::new(0));
        registers.set(Gpr::Rdi, at(page));
        registers.set(Gpr::Rsi, u64::from(byte));
        self.host.set_registers(&registers).expect("the process lives");
        match self.host.resume(Pace::Run).expect("the process lives") {
            Stop::Breakpoint => Answer::Value(self.host.registers().expect("the process lives").get(Gpr::Rax)),
            Stop::Signal(info) => Answer::Signal { signal: info.signal, code: info.code, addr: info.addr.get() },
            stop => panic!("{stop:?} after a load or store"),
        }
    }

    fn on_ours(&mut self, step: Step) -> Answer {
        let call = self.call(step).map(|(number, args)| (number, args, step));
        let (mm, id) = (&mut self.ours.mm, self.ours.id);
        let value = |result: Result<VirtAddr, Errno>| match result {
            Ok(addr) => Answer::Value(addr.get()),
            Err(errno) => Answer::Error(errno.code()),
        };
        let done = |result: Result<(), Errno>| value(result.map(|()| VirtAddr::new(0)));
        let access = |result: Result<u8, FaultError>, page| match result {
            Ok(byte) => Answer::Value(u64::from(byte)),
            Err(FaultError::MapErr) => Answer::Signal { signal: libc::SIGSEGV, code: 1, addr: at(page) },
            Err(FaultError::AccErr) => Answer::Signal { signal: libc::SIGSEGV, code: 2, addr: at(page) },
            Err(FaultError::BusAdrErr) => Answer::Signal { signal: libc::SIGBUS, code: 2, addr: at(page) },
            Err(FaultError::OutOfMemory) => panic!("RAM is large enough"),
        };
        match call {
            None => match step {
                Step::Truncate { .. } | Step::WriteFile { .. } | Step::ReadFile => {
                    mm.sync_file(self.files.id);
                    let answer = change_file(self.files.ours.as_file(), step);
                    match step {
                        Step::WriteFile { halves, .. } => mm.file_written(self.files.id, halves * K / 2, 1),
                        _ => mm.file_changed(self.files.id),
                    }
                    Answer::Value(answer)
                }
                Step::Store { page, byte } => access(self.ours.store(at(page), byte).map(|()| 0), page),
                Step::Load { page } => access(self.ours.load(at(page)), page),
                _ => unreachable!("the others are calls"),
            },
            Some((_, [addr, bytes, prot, flags, ..], Step::Map { .. })) => {
                value(mm.mmap(id, &MmapRequest { addr, bytes, prot, flags, offset: 0, file: None }))
            }
            Some((_, [addr, bytes, prot, flags, _, offset], Step::MapFile { .. })) => {
                let file = Some(MappedFile { id: self.files.id, mode: self.files.mode, mount: Mount::Exec });
                value(mm.mmap(id, &MmapRequest { addr, bytes, prot, flags, offset, file }))
            }
            Some((_, [addr, old_bytes, new_bytes, flags, new_addr, _], Step::Remap { .. })) => {
                value(mm.mremap(id, &MremapRequest { addr, old_bytes, new_bytes, flags, new_addr }))
            }
            Some((number, [start, bytes, third, ..], _)) => match number {
                libc::SYS_munmap => done(mm.munmap(id, start, bytes)),
                libc::SYS_mprotect => done(mm.mprotect(id, start, bytes, third)),
                libc::SYS_madvise => done(mm.madvise(id, start, bytes, third)),
                libc::SYS_mlock => done(mm.mlock(id, start, bytes, 0)),
                libc::SYS_munlock => done(mm.munlock(id, start, bytes)),
                libc::SYS_msync => done(mm.msync(id, start, bytes, third)),
                libc::SYS_brk => value(Ok(mm.brk(id, start))),
                _ => unreachable!("no other call is made"),
            },
        }
    }

    /// The lines of the host's maps that are the play's, without what differs by nature: inode numbers.
    fn maps_on_host(&self) -> Vec<String> {
        let text = self.host.maps().expect("the process lives");
        let lines = text.lines().filter(|line| !line.contains("[vsyscall]") && !line.starts_with("6f0000000000-"));
        lines.map(plain).collect()
    }

    fn maps_of_ours(&self) -> Vec<String> {
        self.ours.mm.maps_text(self.ours.id).lines().map(plain).collect()
    }
}

impl Files {
    fn new(host: &mut Traced, ours: &mut World, mode: OpenMode) -> Self {
        let [their_file, our_file] = [(); 2].map(|()| {
            let file = NamedTempFile::new().expect("a temporary file");
            file.as_file().write_all_at(&[7; 8 * K as usize], 0).expect("it takes bytes");
            file
        });
        // The path goes where the stores and loads are, behind them.
        let path = [their_file.path().as_os_str().as_bytes(), b"\0"].concat();
        host.write(VirtAddr::new(CODE + 0x100), &path).expect("it fits in a page");
        let number = match mode {
            OpenMode::ReadOnly => libc::O_RDONLY,
            OpenMode::WriteOnly => libc::O_WRONLY,
            OpenMode::ReadWrite | OpenMode::Sealed => libc::O_RDWR,
        };
        let descriptor = host.syscall(libc::SYS_open, [CODE + 0x100, number as u64, 0, 0, 0, 0]).expect("it exists");
        let kept = KeptFile::of(our_file.reopen().expect("it exists"));
        let id = ours.mm.adopt_file(kept, "/tmp/file", OpenMode::ReadWrite).expect("it exists");
        Self { theirs: their_file, ours: our_file, mode, descriptor, id }
    }
}

/// What a step does to a file without a map; answers with what the file holds.
fn change_file(file: &File, step: Step) -> u64 {
    match step {
        Step::Truncate { halves } => file.set_len(halves * K / 2).expect("it is a file"),
        Step::WriteFile { halves, byte } => file.write_all_at(&[byte], halves * K / 2).expect("it takes bytes"),
        _ => {}
    }
    let bytes = std::fs::read(format!("/proc/self/fd/{}", file.as_raw_fd())).expect("it is open");
    bytes.iter().fold(bytes.len() as u64, |hash, byte| hash.wrapping_mul(31).wrapping_add(u64::from(*byte)))
}

/// Address, rights, offset and name of a line of maps; a file's name is not compared.
fn plain(line: &str) -> String {
    let words: Vec<_> = line.split_whitespace().collect();
    let name = words.get(5..).unwrap_or_default().join(" ");
    let is_ours = name.starts_with("/tmp/") || name.starts_with(&*std::env::temp_dir().to_string_lossy());
    format!("{} {}", words[..3].join(" "), if is_ours { "file" } else { &name })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, max_shrink_iters: 4000, ..ProptestConfig::default() })]

    #[test]
    fn a_space_behaves_as_the_hosts(mode in any_mode(), steps in prop::collection::vec(any_step(), 1..70)) {
        let mut pair = Pair::new(mode);
        for (number, step) in steps.iter().enumerate() {
            let (theirs, ours) = (pair.on_host(*step), pair.on_ours(*step));
            // A load answers with a byte; the rest of the register, and what a store leaves there, is no answer.
            match step {
                Step::Store { .. } if matches!((theirs, ours), (Answer::Value(_), Answer::Value(_))) => {}
                _ => prop_assert_eq!(theirs, ours, "step {}: {:x?}", number, step),
            }
            prop_assert_eq!(pair.maps_on_host(), pair.maps_of_ours(), "after step {}: {:x?}", number, step);
            pair.ours.mm.check();
        }
        pair.ours.end();
    }
}
