//! The notes of a core file: threads, registers, the signal, the files that were mapped.

use super::words::Words;
use super::{DeadProcess, DeadThread};
use addr::{Gpr, PAGE_BYTES, Registers};
use kernel::mm::DumpedArea;

const NT_PRSTATUS: u32 = 1;
const NT_FPREGSET: u32 = 2;
const NT_PRPSINFO: u32 = 3;
const NT_AUXV: u32 = 6;
const NT_X86_XSTATE: u32 = 0x202;
const NT_SIGINFO: u32 = 0x5349_4749;
const NT_FILE: u32 = 0x4649_4c45;
const CORE: &str = "CORE";
const LINUX: &str = "LINUX";

/// The user-mode code and stack selectors of Linux.
const USER_CS: u64 = 0x33;
const USER_SS: u64 = 0x2b;
/// orig_rax of a thread that is not in a system call.
const NO_CALL: u64 = u64::MAX;

/// Bytes of the FXSAVE image, with which an XSAVE area begins (SDM vol. 1, 13.4.1).
const FXSAVE_BYTES: usize = 512;
/// Where in it debuggers find XCR0, and so which components follow: in the bytes that the processor leaves to software.
const XCR0_AT: usize = 464;
/// The XSAVE header (13.4.2).
const XSAVE_HEADER_BYTES: usize = 64;
/// Where the upper halves of the YMM registers follow (13.4.3), and how much room they take.
const YMM_HIGH_AT: usize = FXSAVE_BYTES + XSAVE_HEADER_BYTES;
const YMM_HIGH_BYTES: usize = 256;
/// x87, SSE and AVX.
const COMPONENTS: u64 = 7;

/// All notes. The thread that died comes first, and the process's own notes follow its status.
pub fn all(dead: &DeadProcess<'_>) -> Vec<u8> {
    let mut notes = Words::default();
    for (index, thread) in dead.threads.iter().enumerate() {
        notes.note(CORE, NT_PRSTATUS, &prstatus(dead, thread));
        if index == 0 {
            notes.note(CORE, NT_PRPSINFO, &prpsinfo(dead));
            notes.note(CORE, NT_SIGINFO, &siginfo(dead));
            notes.note(CORE, NT_AUXV, dead.auxv);
            notes.note(CORE, NT_FILE, &mapped_files(dead.areas));
        }
        notes.note(CORE, NT_FPREGSET, &fpregset(&thread.registers));
        notes.note(LINUX, NT_X86_XSTATE, &xstate(&thread.registers));
    }
    notes.0
}

/// `struct elf_prstatus`, 336 bytes: the registers are the 27 words from 112 on.
fn prstatus(dead: &DeadProcess<'_>, thread: &DeadThread) -> Vec<u8> {
    use Gpr::*;
    let registers = &thread.registers;
    let mut words = Words::default();
    words.u32(dead.signal as u32).u32(dead.code as u32).u32(0);
    words.u16(dead.signal as u16).u16(0).u64(0).u64(0);
    words.u32(thread.tid).u32(dead.identity.parent).u32(dead.identity.group).u32(dead.identity.session);
    words.raw(&[0; 64]);
    for register in [R15, R14, R13, R12, Rbp, Rbx, R11, R10, R9, R8, Rax, Rcx, Rdx, Rsi, Rdi] {
        words.u64(registers.get(register));
    }
    words.u64(thread.call.unwrap_or(NO_CALL));
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
    words.u32(dead.user as u32).u32(dead.group as u32);
    words.u32(dead.pid).u32(dead.identity.parent).u32(dead.identity.group).u32(dead.identity.session);
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
fn mapped_files(areas: &[DumpedArea]) -> Vec<u8> {
    let files: Vec<_> = areas.iter().map(|area| &area.info).filter(|area| area.name.starts_with('/')).collect();
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

/// `struct user_fpregs_struct`: the FXSAVE image.
fn fpregset(registers: &Registers) -> Vec<u8> {
    let mut image = registers.x87.to_vec();
    image[24..28].copy_from_slice(&registers.mxcsr.to_le_bytes());
    image[28..32].copy_from_slice(&0xffffu32.to_le_bytes());
    let mut words = Words(image);
    for ymm in &registers.ymm {
        words.u64(ymm[0]).u64(ymm[1]);
    }
    words.0.resize(FXSAVE_BYTES, 0);
    words.0
}

/// The XSAVE area in the standard format, with all components that the machine's processor has.
fn xstate(registers: &Registers) -> Vec<u8> {
    let mut area = fpregset(registers);
    area[XCR0_AT..XCR0_AT + 8].copy_from_slice(&COMPONENTS.to_le_bytes());
    let mut words = Words(area);
    words.u64(COMPONENTS).raw(&[0; XSAVE_HEADER_BYTES - 8]);
    for ymm in &registers.ymm {
        words.u64(ymm[2]).u64(ymm[3]);
    }
    debug_assert_eq!(words.0.len(), YMM_HIGH_AT + YMM_HIGH_BYTES, "the area of AVX has 832 bytes");
    words.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core_file::tests::dead;
    use addr::VirtAddr;

    #[test]
    fn structures_have_the_sizes_of_linux() {
        let mut registers = Registers::at_entry(VirtAddr::new(0x40_1000), VirtAddr::new(0x7fff_0000));
        registers.ymm[1] = [1, 2, 3, 4];
        let thread = DeadThread { tid: 2, registers, call: None };
        let dead = dead(&[], &[]);
        assert_eq!(prstatus(&dead, &thread).len(), 336);
        assert_eq!(prpsinfo(&dead).len(), 136);
        assert_eq!(fpregset(&thread.registers).len(), 512);
        assert_eq!(siginfo(&dead).len(), 128);
        let area = xstate(&thread.registers);
        assert_eq!(area.len(), 832);
        assert_eq!(area[160 + 16], 1);
        assert_eq!(area[YMM_HIGH_AT + 16], 3);
    }
}
