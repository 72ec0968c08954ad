//! The CPU on bare memory: a program is bytes, and the kernel is the test.

mod kept;
mod rig;
mod sequences;

use addr::{Access, Perms, Registers, VirtAddr};
use iced_x86::code_asm::*;
use pagewalk_engine::{EngineConfig, Exception, Exit};
use rig::{CODE, DATA, Rig, STACK_TOP};

fn program(build: impl FnOnce(&mut CodeAssembler) -> Result<(), iced_x86::IcedError>) -> Rig {
    let mut asm = CodeAssembler::new(64).expect("64 bits are supported");
    build(&mut asm).expect("the test's instructions exist");
    let bytes = asm.assemble(CODE).expect("the test's program assembles");
    let mut rig = Rig::new();
    rig.map(CODE, 4, Perms::READ_EXECUTE);
    rig.map(DATA, 4, Perms::READ_WRITE);
    rig.map(STACK_TOP - 0x4000, 4, Perms::READ_WRITE);
    rig.poke(CODE, &bytes);
    rig
}

#[test]
fn a_loop_sums_memory() {
    let mut rig = program(|a| {
        let mut top = a.create_label();
        a.mov(rsi, DATA)?;
        a.xor(eax, eax)?;
        a.mov(ecx, 100)?;
        a.set_label(&mut top)?;
        a.mov(dword_ptr(rsi + rcx * 4), ecx)?;
        a.add(eax, dword_ptr(rsi + rcx * 4))?;
        a.dec(ecx)?;
        a.jne(top)?;
        a.syscall()
    });
    assert_eq!(rig.run(), Exit::Syscall);
    assert_eq!(rig.registers.gpr[0], 5050);
}

#[test]
fn calls_and_returns() {
    let mut rig = program(|a| {
        let mut fib = a.create_label();
        let mut recurse = a.create_label();
        a.mov(edi, 15)?;
        a.call(fib)?;
        a.syscall()?;
        a.set_label(&mut fib)?;
        a.cmp(edi, 2)?;
        a.jae(recurse)?;
        a.mov(eax, edi)?;
        a.ret()?;
        a.set_label(&mut recurse)?;
        a.push(rbx)?;
        a.push(rdi)?;
        a.sub(edi, 1)?;
        a.call(fib)?;
        a.mov(ebx, eax)?;
        a.pop(rdi)?;
        a.sub(edi, 2)?;
        a.call(fib)?;
        a.add(eax, ebx)?;
        a.pop(rbx)?;
        a.ret()
    });
    assert_eq!(rig.run(), Exit::Syscall);
    assert_eq!(rig.registers.gpr[0], 610);
    assert_eq!(rig.registers.gpr[4], STACK_TOP);
}

#[test]
fn flags_survive_indirect_jumps() {
    // A carry and an overflow pass a jump, a call and a return, each taken often enough to be linked; between the return
    // and who reads them nothing is looked up.
    let mut rig = program(|a| {
        let (mut top, mut leaf, mut jumped) = (a.create_label(), a.create_label(), a.create_label());
        a.mov(edi, 20)?;
        a.xor(ebx, ebx)?;
        a.lea(rsi, qword_ptr(leaf))?;
        a.lea(rbp, qword_ptr(jumped))?;
        a.set_label(&mut top)?;
        a.mov(al, 0x80u32 as i32)?;
        a.add(al, al)?;
        a.jmp(rbp)?;
        a.set_label(&mut jumped)?;
        a.seto(cl)?;
        a.adc(bl, cl)?;
        a.mov(al, 0x80u32 as i32)?;
        a.add(al, al)?;
        a.call(rsi)?;
        a.seto(cl)?;
        a.adc(bl, cl)?;
        a.stc()?;
        a.call(rsi)?;
        a.adc(bl, 0)?;
        a.dec(edi)?;
        a.jne(top)?;
        a.syscall()?;
        a.nops_with_size(32)?;
        a.set_label(&mut leaf)?;
        a.lea(rsp, qword_ptr(rsp - 8))?;
        a.mov(qword_ptr(rsp), rbx)?;
        a.lea(rsp, qword_ptr(rsp + 8))?;
        a.ret()
    });
    assert_eq!(rig.run(), Exit::Syscall);
    assert_eq!(rig.registers.gpr[3], 20 * 5);
}

#[test]
fn accesses_that_cross_pages() {
    let mut rig = program(|a| {
        a.mov(rsi, DATA + 0xffd)?;
        a.mov(rax, 0x1122_3344_5566_7788u64)?;
        a.mov(qword_ptr(rsi), rax)?;
        a.add(qword_ptr(rsi), 1)?;
        a.mov(rbx, qword_ptr(rsi))?;
        a.movzx(edx, byte_ptr(rsi + 3))?;
        a.syscall()
    });
    assert_eq!(rig.run(), Exit::Syscall);
    assert_eq!(rig.registers.gpr[3], 0x1122_3344_5566_7789);
    assert_eq!(rig.registers.gpr[2], 0x55);
}

#[test]
fn a_fault_is_exact_and_can_be_repaired() {
    let mut rig = program(|a| {
        a.mov(rdi, DATA + 0x10_0ffc)?;
        a.mov(eax, 7)?;
        a.mov(rax, qword_ptr(rdi))?;
        a.syscall()
    });
    rig.map(DATA + 0x10_0000, 1, Perms::READ_WRITE);
    let Exit::Fault(fault) = rig.run() else { panic!("the second page is absent") };
    assert_eq!(fault.addr, VirtAddr::new(DATA + 0x10_1000), "the second page is reported");
    assert_eq!(fault.access, Access::Read);
    assert_eq!(rig.registers.gpr[0], 7, "the destination is as before");
    rig.map(DATA + 0x10_1000, 1, Perms::READ_WRITE);
    assert_eq!(rig.run(), Exit::Syscall);
    assert_eq!(rig.registers.gpr[0], 0);
}

#[test]
fn code_that_patches_its_next_instruction() {
    let mut rig = program(|a| {
        // The immediate of the last mov is at a known distance: patch it, then run it.
        let mut patched = a.create_label();
        a.lea(rdi, ptr(patched))?;
        a.mov(ecx, 3)?;
        a.mov(byte_ptr(rdi + 1), ecx_low())?;
        a.set_label(&mut patched)?;
        a.mov(eax, 1)?;
        a.syscall()
    });
    rig.protect(CODE, 1, Perms::ALL);
    assert_eq!(rig.run(), Exit::Syscall);
    assert_eq!(rig.registers.gpr[0], 3);
}

fn ecx_low() -> AsmRegister8 {
    cl
}

#[test]
fn exceptions_are_the_guests() {
    let mut rig = program(|a| {
        a.xor(ecx, ecx)?;
        a.mov(eax, 9)?;
        a.cdq()?;
        a.div(ecx)?;
        a.syscall()
    });
    assert_eq!(rig.run(), Exit::Exception(Exception::DivideError));
    assert_eq!(rig.registers.gpr[0], 9);
    let mut rig = program(|a| {
        a.mov(rsi, DATA + 8)?;
        a.movaps(xmm0, xmmword_ptr(rsi))?;
        a.syscall()
    });
    assert_eq!(rig.run(), Exit::Exception(Exception::GeneralProtection));
    assert_eq!(rig.registers.gpr[6], DATA + 8);
    let mut rig = program(|a| a.int3());
    assert_eq!(rig.run(), Exit::Exception(Exception::Breakpoint));
}

#[test]
fn a_kick_ends_an_endless_loop() {
    let mut rig = program(|a| {
        let mut top = a.create_label();
        a.set_label(&mut top)?;
        a.jmp(top)
    });
    let view = rig.view();
    let kicker = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(20));
        view.kick();
    });
    assert_eq!(rig.run(), Exit::Kicked);
    kicker.join().expect("the kicker ends");
}

#[test]
fn repeated_moves_stay_in_their_pages_or_go_by_hand() {
    let mut rig = program(|a| {
        let mut top = a.create_label();
        a.mov(ebx, 3)?;
        a.set_label(&mut top)?;
        a.mov(rdi, DATA)?;
        a.mov(eax, 0x41)?;
        a.mov(ecx, 0x1800)?;
        a.rep().stosb()?;
        a.mov(rsi, DATA)?;
        a.mov(rdi, DATA + 0x2000)?;
        a.mov(ecx, 0x1ff)?;
        a.rep().movsq()?;
        a.dec(ebx)?;
        a.jne(top)?;
        a.mov(eax, dword_ptr(DATA + 0x2ff4))?;
        a.syscall()
    });
    assert_eq!(rig.run(), Exit::Syscall);
    assert_eq!(rig.registers.gpr[0], 0x4141_4141);
    assert_eq!((rig.registers.gpr[6], rig.registers.gpr[7]), (DATA + 0xff8, DATA + 0x2ff8));
}

#[test]
fn strings_follow_the_direction_flag() {
    let mut rig = program(|a| {
        a.mov(rdi, DATA)?;
        a.mov(eax, 0x6162)?;
        a.mov(ecx, 3000)?;
        a.rep().stosw()?;
        a.mov(rsi, DATA)?;
        a.mov(rdi, DATA + 1)?;
        a.mov(ecx, 100)?;
        a.rep().movsb()?;
        a.mov(rsi, DATA + 0x200)?;
        a.mov(rdi, DATA + 0x204)?;
        a.mov(ecx, 2)?;
        a.std()?;
        a.rep().movsd()?;
        a.cld()?;
        a.mov(eax, dword_ptr(DATA + 60))?;
        a.syscall()
    });
    assert_eq!(rig.run(), Exit::Syscall);
    assert_eq!(rig.registers.gpr[0], 0x6262_6262);
    assert_eq!(rig.registers.gpr[7], DATA + 0x204 - 8);
}

#[test]
fn a_jump_to_no_address_is_refused_where_it_stands() {
    let nowhere = 0x4141_4141_4141_4141u64;
    let mut rig = program(|a| {
        a.mov(rcx, nowhere)?;
        a.mov(edx, 7)?;
        a.call(rcx)
    });
    assert_eq!(rig.run(), Exit::Exception(Exception::GeneralProtection));
    assert_eq!((rig.registers.gpr[4], rig.registers.gpr[1], rig.registers.gpr[2]), (STACK_TOP, nowhere, 7));
    assert_eq!(rig.registers.rip, VirtAddr::new(CODE + 15));
    let mut rig = program(|a| {
        a.mov(rax, nowhere)?;
        a.push(rax)?;
        a.ret_1(24)
    });
    assert_eq!(rig.run(), Exit::Exception(Exception::GeneralProtection));
    assert_eq!((rig.registers.rip, rig.registers.gpr[4]), (VirtAddr::new(CODE + 11), STACK_TOP - 8));
}

/// As the host's processor has it.
#[test]
fn an_instruction_of_more_than_fifteen_bytes_is_refused_for_its_length() {
    let exit_of = |bytes: &[u8]| {
        let mut rig = program(|a| a.db(bytes));
        (rig.run(), rig.registers.rip.get() - CODE)
    };
    let prefixed = |count: usize, rest: &[u8]| [&vec![0x66; count], rest, &[0x0f, 0x05]].concat();
    let store = [0xc7, 0x05, 0, 0, 0, 0, 1, 2]; // mov word [rip],201h
    let refused = (Exit::Exception(Exception::GeneralProtection), 0);
    assert_eq!(exit_of(&prefixed(14, &[0x90])), (Exit::Syscall, 17));
    assert_eq!(exit_of(&prefixed(15, &[0x90])), refused);
    assert_eq!(exit_of(&prefixed(40, &[0x90])), refused);
    assert_eq!(exit_of(&prefixed(8, &store)), refused);
    assert_eq!(exit_of(&[0x2e, 0x66, 0x2e, 0x66, 0x2e, 0x66, 0x2e, 0x66, 0xc7, 0x05, 0, 0, 0, 0, 1, 2]), refused);
    // No instruction at all, however many prefixes it has.
    for bytes in [[0x0f, 0x0b], [0x06, 0x90]] {
        for prefixes in [0, 3, 13] {
            let (exit, at) = exit_of(&prefixed(prefixes, &bytes));
            assert!(matches!(exit, Exit::Exception(Exception::InvalidOpcode(_))) && at == 0, "{prefixes}: {exit:?}");
        }
    }
    assert!(matches!(exit_of(&prefixed(14, &[0x06])).0, Exit::Exception(Exception::InvalidOpcode(_))));
    assert_eq!(exit_of(&prefixed(14, &[0x0f, 0x0b])), refused);
}

/// An address outside the space that has the lower bits of a page does not lead there, also where a lookup serves several
/// accesses.
#[test]
fn no_access_goes_to_no_address() {
    let mut rig = program(|a| {
        a.mov(rbx, DATA)?;
        a.mov(dword_ptr(rbx), 7)?;
        a.bts(rbx, 60)?;
        a.mov(rax, qword_ptr(rbx))?;
        a.mov(rcx, qword_ptr(rbx + 8))?;
        a.syscall()
    });
    assert_eq!(rig.run(), Exit::Exception(Exception::GeneralProtection));
    assert_eq!((rig.registers.rip, rig.registers.gpr[3]), (VirtAddr::new(CODE + 21), DATA | 1 << 60));
}

#[test]
fn what_surely_comes_next_is_translated_with_what_leads_there() {
    let mut rig = program(|a| {
        let mut callee = a.create_label();
        a.call(callee)?;
        a.mov(eax, 1)?;
        a.syscall()?;
        a.set_label(&mut callee)?;
        a.mov(ebx, 2)?;
        a.syscall()?;
        a.ret()
    });
    assert_eq!(rig.run(), Exit::Syscall);
    assert_eq!(
        (rig.registers.gpr[3], rig.counts().blocks),
        (2, 3),
        "the call, what it calls, and where that returns to"
    );
    let elsewhere = CODE + 0x10_0000;
    let mut rig = program(|a| {
        a.call(elsewhere)?;
        a.syscall()
    });
    let Exit::Fault(fault) = rig.run() else { panic!("what is called is absent") };
    assert_eq!((fault.addr, fault.access), (VirtAddr::new(elsewhere), Access::Execute));
    assert_eq!((rig.registers.rip, rig.counts().blocks), (fault.addr, 2), "only where it would return to");
}

/// The last 96 bytes of the area are the program's (SDM vol. 2, FXSAVE): not stored, but checked.
#[test]
fn fxsave_checks_the_whole_area() {
    let save = |to: u64| {
        let mut rig = program(|a| {
            a.fxsave(ptr(rdi))?;
            a.syscall()
        });
        rig.registers.gpr[7] = to;
        rig.run()
    };
    let end = DATA + 0x4000;
    assert_eq!(save(end - 512), Exit::Syscall);
    let Exit::Fault(fault) = save(end - 496) else { panic!("its last bytes are absent") };
    assert_eq!((fault.addr.page(), fault.access), (VirtAddr::new(end).page(), Access::Write));
}

#[test]
fn a_trap_follows_each_instruction_when_the_flag_is_set() {
    let mut rig = program(|a| {
        let mut next = a.create_label();
        a.mov(ecx, 2)?;
        a.mov(edi, DATA as u32)?;
        a.rep().stosb()?;
        a.lea(rax, ptr(next))?;
        a.jmp(rax)?;
        a.set_label(&mut next)?;
        a.syscall()
    });
    rig.registers.rflags |= 0x100;
    let mut stops = Vec::new();
    while rig.run() == Exit::Exception(Exception::Step) {
        stops.push(rig.registers.rip.get() - CODE);
    }
    assert_eq!(stops, [5, 10, 10, 12, 19, 21]);
    assert_eq!(rig.registers.rip, VirtAddr::new(CODE + 23));
}

/// Translations that a forked child has from its parent say where the parent had the page. Once that frame served
/// something else, the child was given code from there.
#[test]
fn a_child_fetches_from_its_own_page_when_the_parents_is_gone() {
    let mut rig = program(|a| {
        a.mov(eax, 1)?;
        a.syscall()
    });
    assert_eq!((rig.run(), rig.registers.gpr[0]), (Exit::Syscall, 1));
    rig.become_child(CODE, 4);
    rig.map(CODE, 4, Perms::READ_EXECUTE);
    rig.poke(CODE, &[0xb8, 2, 0, 0, 0, 0x0f, 0x05]);
    rig.registers = Registers::at_entry(VirtAddr::new(CODE), VirtAddr::new(STACK_TOP));
    assert_eq!((rig.run(), rig.registers.gpr[0]), (Exit::Syscall, 2));
}

#[test]
fn ways_into_blocks_that_are_there_find_room_too() {
    const BLOCKS: usize = 3000;
    // add rbx, 16; test edx, edx; jz .next; jmp rbx; .next:
    let block = [0x48, 0x83, 0xc3, 16, 0x85, 0xd2, 0x74, 8, 0xff, 0xe3, 0, 0, 0, 0, 0, 0];
    let syscall = [0x0f, 0x05];
    for code_cache_bytes in (192 << 10..640 << 10).step_by(16 << 10) {
        let mut rig = Rig::with(EngineConfig { code_cache_bytes, ..EngineConfig::default() });
        rig.map(CODE, 13, Perms::READ_EXECUTE);
        rig.poke(CODE, &[&block.repeat(BLOCKS)[..], &syscall].concat());
        for by_direct_jumps in [true, false] {
            rig.registers.rip = VirtAddr::new(CODE);
            rig.registers.gpr[2] = u64::from(!by_direct_jumps);
            rig.registers.gpr[3] = CODE;
            assert_eq!(rig.run(), Exit::Syscall);
            assert_eq!(rig.registers.gpr[3], CODE + (BLOCKS * block.len()) as u64);
        }
    }
}

/// Functions whose addresses end in the same sixteen bits share an entry of the jump cache, and their ways in lead on to each
/// other. Each time the code of another changes.
#[test]
fn functions_that_share_an_entry_of_the_jump_cache_are_told_apart() {
    // Some that one chain has room for, and more.
    [6, 20].into_iter().for_each(call_and_change);
}

fn call_and_change(functions: u64) {
    const APART: u64 = 0x1_0000;
    const ROUNDS: u64 = 60;
    let function = |number: u64| CODE + (number + 1) * APART;
    let mut rig = program(|a| {
        let (mut round, mut top) = (a.create_label(), a.create_label());
        // A row each: what is stored where, and then what the functions answer.
        a.mov(r8, DATA)?;
        a.mov(r12d, ROUNDS as u32)?;
        a.set_label(&mut round)?;
        a.mov(rcx, qword_ptr(r8))?;
        a.mov(r9, qword_ptr(r8 + 8))?;
        a.mov(byte_ptr(r9 + 2), cl)?;
        a.xor(eax, eax)?;
        a.mov(edi, functions as u32)?;
        a.lea(rsi, qword_ptr(function(0)))?;
        a.set_label(&mut top)?;
        a.cmp(edi, 2)?;
        a.call(rsi)?;
        a.add(rsi, APART as i32)?;
        a.dec(edi)?;
        a.jne(top)?;
        a.mov(qword_ptr(r8), rax)?;
        a.add(r8, 16)?;
        a.dec(r12d)?;
        a.jne(round)?;
        a.syscall()
    });
    for number in 0..functions {
        // Into some, flags are brought back: `add eax, number; ret` or `adc eax, number; ret`.
        let operation = if number % 2 == 0 { 0xc0 } else { 0xd0 };
        rig.map(function(number), 1, Perms::ALL);
        rig.poke(function(number), &[0x83, operation, number as u8, 0xc3]);
    }
    let changed = |round: u64| round * 7 % functions;
    for round in 0..ROUNDS {
        let row = [(round + 1).to_le_bytes(), function(changed(round)).to_le_bytes()];
        rig.poke(DATA + round * 16, &row.concat());
    }
    assert_eq!(rig.run(), Exit::Syscall);
    let mut addends: Vec<u64> = (0..functions).collect();
    for round in 0..ROUNDS {
        addends[changed(round) as usize] = round + 1;
        // The last one is called with a carry.
        let expected = addends.iter().sum::<u64>() + 1;
        assert_eq!(rig.peek(DATA + round * 16, 8), expected.to_le_bytes(), "round {round}");
    }
}
