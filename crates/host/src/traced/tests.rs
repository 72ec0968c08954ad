use super::*;
use addr::Gpr;

const CODE: VirtAddr = VirtAddr::new(0x40_0000);
const DATA: VirtAddr = VirtAddr::new(0x7fff_f7fc_3000);

fn page(start: VirtAddr) -> VirtRange {
    VirtRange::new(start, start + PAGE_BYTES)
}

/// A process with `code` at CODE and one page at DATA, about to run.
fn about_to_run(code: &[u8]) -> Traced {
    let mut traced = Traced::spawn().expect("this host lets us trace");
    traced.map(page(CODE), Perms::READ_EXECUTE).unwrap();
    traced.map(page(DATA), Perms::READ_WRITE).unwrap();
    traced.write(CODE, code).unwrap();
    traced.set_registers(&registers()).unwrap();
    traced
}

fn registers() -> Registers {
    let mut registers = Registers::at_entry(CODE, DATA + 0x800);
    for (index, ymm) in registers.ymm.iter_mut().enumerate() {
        *ymm = [index as u64, 1 << index, !0, 0x0102_0304_0506_0708 * index as u64];
    }
    registers.gpr[..4].copy_from_slice(&[DATA.get() + 0x10, 2, 3, 4]);
    registers
}

#[test]
fn registers_survive_the_trip() {
    let mut traced = about_to_run(&[0x90]);
    let mut wanted = registers();
    wanted.rflags = 0xed7;
    wanted.mxcsr = 0x7f80;
    wanted.fs_base = 0x1234_5678;
    wanted.gs_base = 0x7fff_0000_0000;
    wanted.x87[..2].copy_from_slice(&0x27fu16.to_le_bytes());
    wanted.x87[4] = 0x80;
    wanted.x87[32..42].copy_from_slice(&[1, 2, 3, 4, 5, 6, 7, 0x88, 0x12, 0x40]);
    traced.set_registers(&wanted).unwrap();
    assert_eq!(traced.registers().unwrap(), wanted);
    wanted.rflags |= ID_FLAG;
    traced.set_registers(&wanted).unwrap();
    assert_eq!(traced.registers().unwrap(), wanted);
    wanted.rflags &= !ID_FLAG;
    traced.set_registers(&wanted).unwrap();
    assert_eq!(traced.resume(Pace::Step).unwrap(), Stop::Stepped);
    wanted.rip = CODE + 1;
    assert_eq!(traced.registers().unwrap(), wanted);
}

#[test]
fn a_store_is_done_and_a_fault_is_told() {
    // mov byte ptr [rax], 0x5a; mov byte ptr [rcx], 1
    let mut traced = about_to_run(&[0xc6, 0x00, 0x5a, 0xc6, 0x01, 0x01]);
    assert_eq!(traced.resume(Pace::Step).unwrap(), Stop::Stepped);
    let mut byte = [0];
    traced.read(DATA + 0x10, &mut byte).unwrap();
    assert_eq!(byte, [0x5a]);
    let fault = SignalInfo { signal: libc::SIGSEGV, code: 1, addr: VirtAddr::new(2) };
    assert_eq!(traced.resume(Pace::Step).unwrap(), Stop::Signal(fault));
    assert_eq!(traced.registers().unwrap().rip, CODE + 3);
    // The page is made writable under the very instruction, which then completes.
    let mut repaired = traced.registers().unwrap();
    repaired.set(Gpr::Rcx, DATA.get());
    traced.set_registers(&repaired).unwrap();
    assert_eq!(traced.resume(Pace::Step).unwrap(), Stop::Stepped);
}

#[test]
fn bytes_are_copied_whatever_the_permissions() {
    let mut traced = about_to_run(&[0x90]);
    for (round, perms) in [Perms::READ_WRITE, Perms::READ, Perms::NONE].into_iter().enumerate() {
        let bytes: [u8; 21] = std::array::from_fn(|index| (index * 3 + round) as u8);
        traced.protect(page(DATA), perms).unwrap();
        traced.write(DATA + 0x13, &bytes).unwrap();
        let mut read = [0xff; 23];
        traced.read(DATA + 0x12, &mut read).unwrap();
        assert_eq!((read[0], &read[1..22], read[22]), (0, &bytes[..], 0), "{perms:?}");
    }
    assert!(traced.read(DATA + PAGE_BYTES - 4, &mut [0; 8]).is_err());
    assert!(traced.write(DATA + PAGE_BYTES - 4, &[0; 8]).is_err());
}

#[test]
fn permissions_are_the_hosts() {
    // mov byte ptr [rax], 0x5a; int3
    let mut traced = about_to_run(&[0xc6, 0x00, 0x5a, 0xcc]);
    traced.protect(page(DATA), Perms::READ).unwrap();
    let fault = SignalInfo { signal: libc::SIGSEGV, code: 2, addr: DATA + 0x10 };
    assert_eq!(traced.resume(Pace::Run).unwrap(), Stop::Signal(fault));
    traced.protect(page(DATA), Perms::READ_WRITE).unwrap();
    assert_eq!(traced.resume(Pace::Run).unwrap(), Stop::Breakpoint);
    assert_eq!(traced.registers().unwrap().rip, CODE + 4);
}

#[test]
fn a_system_call_is_reported_and_not_made() {
    // mov eax, 39 (getpid); syscall; inc ecx; int3
    let mut traced = about_to_run(&[0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xff, 0xc1, 0xcc]);
    assert_eq!(traced.resume(Pace::Step).unwrap(), Stop::Stepped);
    assert_eq!(traced.resume(Pace::Step).unwrap(), Stop::Syscall);
    let mut after = traced.registers().unwrap();
    assert_eq!(after.rip, CODE + 7);
    assert_eq!(after.get(Gpr::Rcx), after.rip.get());
    after.set(Gpr::Rcx, 41);
    // A map in between, as the checker does to follow an mmap of the program.
    traced.map(page(VirtAddr::new(0x50_0000)), Perms::READ).unwrap();
    traced.set_registers(&after).unwrap();
    assert_eq!(traced.resume(Pace::Step).unwrap(), Stop::Stepped);
    assert_eq!(traced.registers().unwrap().get(Gpr::Rcx), 42);
    assert_eq!(traced.resume(Pace::Step).unwrap(), Stop::Breakpoint);
}

#[test]
fn nothing_but_the_stub_is_mapped() {
    let traced = Traced::spawn().unwrap();
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", traced.process.pid())).unwrap();
    let mapped: Vec<&str> = maps.lines().filter(|line| !line.contains("[vsyscall]")).collect();
    assert_eq!(mapped.len(), 1, "{maps}");
    assert!(mapped[0].starts_with(&format!("{:x}-", STUB.get())));
}
