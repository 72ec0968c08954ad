//! Deaths described without a guest: this process's own address space stands for a dead one.

use super::*;
use addr::VirtRange;
use kernel::mm::Sharing;

fn area(start: u64, end: u64, perms: Perms, name: &str) -> AreaInfo {
    let range = VirtRange::new(VirtAddr::new(start), VirtAddr::new(end));
    AreaInfo { range, perms, offset: 0, sharing: Sharing::Private, dev: 0, ino: 0, name: name.to_owned() }
}

fn described(signal: i32, code: i32, addr: u64, access: Access) -> String {
    let registers = Registers::at_entry(VirtAddr::new(0x40_1000), VirtAddr::new(0x7fff_0000));
    let areas = [area(0x40_0000, 0x40_2000, Perms::READ_EXECUTE, "[code]")];
    let death = Death {
        signal,
        code,
        addr: VirtAddr::new(addr),
        access: Some(access),
        protection: None,
        registers: &registers,
        areas: &areas,
    };
    Crash::describe(&death, &mut |_, _| 0).to_string()
}

#[test]
fn a_null_write_says_that_nothing_is_there() {
    assert_eq!(
        described(libc::SIGSEGV, 1, 0, Access::Write),
        "SIGSEGV: a write at 0x0, where nothing is mapped, by code without a symbol (in [code], 0x401000)\n\
         nearest: 4 MiB before 400000-402000 r-x [code]"
    );
}

#[test]
fn a_refused_write_says_what_is_allowed() {
    let text = described(libc::SIGSEGV, 2, 0x40_0010, Access::Write);
    assert!(
        text.starts_with("SIGSEGV: a write at 0x400010, where only reading and executing is allowed, by"),
        "{text}"
    );
    assert!(text.ends_with("nearest: 16 bytes into 400000-402000 r-x [code]"), "{text}");
}

#[test]
fn other_deaths_have_no_neighbours() {
    let text = described(libc::SIGFPE, 1, 0, Access::Read);
    assert!(text.starts_with("SIGFPE: an integer division by zero"), "{text}");
    assert!(!text.contains("nearest"), "{text}");
}

#[test]
fn a_jump_to_nowhere_is_traced_back_to_its_caller() {
    let registers = Registers::at_entry(VirtAddr::new(0x666), VirtAddr::new(0x1000));
    let areas = [area(0x40_0000, 0x40_2000, Perms::READ_EXECUTE, "[code]")];
    let death = Death {
        signal: libc::SIGSEGV,
        code: 1,
        addr: VirtAddr::new(0x666),
        access: Some(Access::Execute),
        protection: None,
        registers: &registers,
        areas: &areas,
    };
    let mut read = |at: VirtAddr, to: &mut [u8]| {
        assert_eq!(at, VirtAddr::new(0x1000));
        to.copy_from_slice(&0x40_1234u64.to_le_bytes());
        8
    };
    let text = Crash::describe(&death, &mut read).to_string();
    assert!(text.starts_with("SIGSEGV: a jump to 0x666, where nothing is mapped"), "{text}");
    assert!(text.ends_with("called from code without a symbol (in [code], 0x401234)"), "{text}");
}
