//! Random programs: translated as far as blocks go, they do what they do one instruction at a time.
//!
//! Single instructions are compared with the host's CPU by the fuzzer; here it is what instructions of a block have to do
//! with each other: registers that are scratch, shared lookups, flags that are put aside, jumps of all kinds.

use crate::rig::{CODE, DATA, Rig, STACK_TOP};
use addr::Perms;
use iced_x86::IcedError;
use iced_x86::code_asm::*;
use pagewalk_engine::{Count, EngineConfig, Exit, Extent};

const PAGES: u64 = 4;
const COUNTER: u64 = DATA + 0x1000 * PAGES;
const STEPS: u32 = 24;
const AUXILIARY_CARRY: u64 = 0x10;
/// Registers that hold addresses in the data pages throughout; the others hold anything, RSP the stack.
const POINTERS: [AsmRegister64; 4] = [rbx, rbp, r10, r11];
const OTHERS: [AsmRegister64; 11] = [rax, rcx, rdx, rsi, rdi, r8, r9, r12, r13, r14, r15];

/// xorshift64 (Marsaglia, 2003).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.roll(from.len() as u64) as usize]
    }

    /// An address in the data pages, often near the end of one, with room for an operand on either side.
    fn address(&mut self) -> u64 {
        let near = self.roll(2) == 0;
        let offset = if near { 0x1000 * (1 + self.roll(PAGES - 1)) - self.roll(80) } else { self.roll(0x1000 * PAGES) };
        DATA + offset.clamp(0x100, 0x1000 * PAGES - 0x200)
    }

    /// An operand of eight bytes, rarely one that nothing is mapped at.
    fn operand(&mut self) -> AsmMemoryOperand {
        if self.roll(60) == 0 {
            return qword_ptr(DATA - 0x1000 + self.roll(0x100));
        }
        let disp = self.roll(129) as i32 - 64;
        match self.roll(5) {
            // Below the stack pointer: return addresses stay.
            0 => qword_ptr(rsp - 8 - disp.abs()),
            1 => qword_ptr(self.address()),
            _ => qword_ptr(self.pick(&POINTERS) + disp),
        }
    }
}

struct Writer {
    asm: CodeAssembler,
    dice: Dice,
    functions: [CodeLabel; 3],
    /// Words pushed and not popped yet.
    pushed: u32,
}

impl Writer {
    fn program(seed: u64) -> Result<Vec<u8>, IcedError> {
        let mut asm = CodeAssembler::new(64)?;
        let functions = [asm.create_label(), asm.create_label(), asm.create_label()];
        let mut writer = Self { asm, dice: Dice(seed | 1 << 40), functions, pushed: 0 };
        for pointer in POINTERS {
            writer.aim(pointer)?;
        }
        for _ in 0..STEPS {
            writer.step()?;
        }
        writer.asm.lea(rsp, rsp + 8 * writer.pushed)?;
        writer.asm.syscall()?;
        for mut function in functions {
            writer.asm.set_label(&mut function)?;
            for _ in 0..writer.dice.roll(5) {
                writer.compute()?;
            }
            let saved = writer.dice.roll(5) as usize;
            for register in &OTHERS[OTHERS.len() - saved..] {
                writer.asm.push(*register)?;
            }
            writer.access()?;
            for register in OTHERS[OTHERS.len() - saved..].iter().rev() {
                writer.asm.pop(*register)?;
            }
            writer.asm.ret()?;
        }
        writer.asm.assemble(CODE)
    }

    fn aim(&mut self, pointer: AsmRegister64) -> Result<(), IcedError> {
        let address = self.dice.address();
        self.asm.mov(pointer, address)
    }

    fn step(&mut self) -> Result<(), IcedError> {
        match self.dice.roll(16) {
            0..=4 => self.compute(),
            5..=9 => self.access(),
            10 | 11 => self.stack(),
            12 => self.skip(),
            13 => self.turn(),
            14 => self.string(),
            _ => self.call(),
        }
    }

    fn compute(&mut self) -> Result<(), IcedError> {
        let (to, from) = (self.dice.pick(&OTHERS), self.dice.pick(&OTHERS));
        let pointer = self.dice.pick(&POINTERS);
        let small = self.dice.roll(200) as i32 - 100;
        let asm = &mut self.asm;
        match self.dice.roll(14) {
            0 => asm.add(to, from),
            1 => asm.adc(to, from),
            2 => asm.sub(to, small),
            3 => asm.cmp(to, from),
            4 => asm.inc(to),
            // What these leave undefined nobody reads: all flags are written after a multiplication, and shifts are by one at
            // most.
            5 => {
                asm.imul_2(to, from)?;
                asm.cmp(from, small)
            }
            6 => asm.shl(to, 1),
            7 => {
                asm.and(ecx, 1)?;
                asm.cmp(to, small)?;
                asm.sar(to, cl)
            }
            8 => asm.setc(al),
            9 => asm.cmovge(to, from),
            10 => asm.lea(to, pointer + from * 4 + small),
            11 => asm.xor(to, pointer),
            12 => asm.xchg(to, from),
            _ => self.aim(pointer),
        }
    }

    fn access(&mut self) -> Result<(), IcedError> {
        let operand = self.dice.operand();
        let (register, other) = (self.dice.pick(&OTHERS), self.dice.pick(&OTHERS));
        let pointer = self.dice.pick(&POINTERS);
        let asm = &mut self.asm;
        match self.dice.roll(12) {
            0..=2 => asm.mov(register, operand),
            3..=5 => asm.mov(operand, register),
            6 => asm.add(operand, register),
            7 => asm.sbb(register, operand),
            8 => asm.cmp(operand, pointer),
            9 => asm.cmpxchg(operand, other),
            10 => asm.xchg(operand, register),
            // The pointer is the destination, and one again right after it.
            _ => {
                asm.mov(pointer, operand)?;
                self.aim(pointer)
            }
        }
    }

    fn stack(&mut self) -> Result<(), IcedError> {
        if self.pushed > 0 && self.dice.roll(2) == 0 {
            self.pushed -= 1;
            let pointer = self.dice.pick(&POINTERS);
            if self.dice.roll(4) > 0 {
                let register = self.dice.pick(&OTHERS);
                return self.asm.pop(register);
            }
            self.asm.pop(pointer)?;
            return self.aim(pointer);
        }
        self.pushed += 1;
        match self.dice.roll(4) {
            0 => {
                let operand = self.dice.operand();
                self.asm.push(operand)
            }
            1 => self.asm.push(0x1234),
            2 => self.asm.push(rsp),
            _ => {
                let register = self.dice.pick(&[rax, rcx, r10, r11, r15]);
                self.asm.push(register)
            }
        }
    }

    fn skip(&mut self) -> Result<(), IcedError> {
        let mut behind = self.asm.create_label();
        match self.dice.roll(4) {
            0 => self.asm.jb(behind)?,
            1 => self.asm.jo(behind)?,
            2 => self.asm.jns(behind)?,
            _ => self.asm.jne(behind)?,
        }
        for _ in 0..1 + self.dice.roll(3) {
            if self.dice.roll(2) == 0 { self.compute()? } else { self.access()? }
        }
        self.asm.set_label(&mut behind)?;
        self.asm.zero_bytes()
    }

    /// A loop of a few turns, its counter where nothing else is.
    fn turn(&mut self) -> Result<(), IcedError> {
        let mut top = self.asm.create_label();
        self.asm.mov(qword_ptr(COUNTER), 3 + self.dice.roll(4) as i32)?;
        self.asm.set_label(&mut top)?;
        for _ in 0..1 + self.dice.roll(4) {
            if self.dice.roll(2) == 0 { self.compute()? } else { self.access()? }
        }
        self.asm.dec(qword_ptr(COUNTER))?;
        self.asm.jg(top)
    }

    fn string(&mut self) -> Result<(), IcedError> {
        let (from, to) = (self.dice.address(), self.dice.address());
        self.asm.mov(rsi, from)?;
        self.asm.mov(rdi, to)?;
        self.asm.mov(ecx, self.dice.roll(12) as u32)?;
        match self.dice.roll(4) {
            0 => self.asm.rep().movsb(),
            1 => self.asm.rep().stosq(),
            2 => self.asm.rep().movsq(),
            _ => self.asm.repne().scasb(),
        }
    }

    /// Calls and jumps through registers and memory.
    fn call(&mut self) -> Result<(), IcedError> {
        let function = self.dice.pick(&self.functions);
        let register = self.dice.pick(&[rax, rcx, r10, r11, r14]);
        let restored = register == r10 || register == r11;
        let operand = qword_ptr(self.dice.pick(&[rbx, rbp]) + self.dice.roll(64) as i32);
        let mut behind = self.asm.create_label();
        match self.dice.roll(6) {
            0 => self.asm.call(function)?,
            1 => {
                self.asm.lea(register, ptr(function))?;
                self.asm.call(register)?;
            }
            2 => {
                self.asm.lea(register, ptr(function))?;
                self.asm.mov(operand, register)?;
                self.asm.call(operand)?;
            }
            3 => {
                self.asm.lea(register, ptr(function))?;
                self.asm.push(register)?;
                self.asm.push(rcx)?;
                self.asm.call(qword_ptr(rsp + 8))?;
                self.pushed += 2;
            }
            4 => {
                self.asm.lea(register, ptr(behind))?;
                self.asm.push(register)?;
                self.asm.ret()?;
            }
            _ => {
                self.asm.lea(register, ptr(behind))?;
                self.asm.jmp(register)?;
            }
        }
        self.asm.set_label(&mut behind)?;
        self.asm.zero_bytes()?;
        if restored { self.aim(register) } else { Ok(()) }
    }
}

/// How a program ends, all registers, and the data.
fn outcome(program: &[u8], extent: Extent, count: Count) -> (Exit, Vec<u64>, Vec<u8>) {
    let mut rig = Rig::with(EngineConfig { extent, count, ..EngineConfig::default() });
    rig.map(CODE, 2, Perms::READ_EXECUTE);
    rig.map(DATA, PAGES + 1, Perms::READ_WRITE);
    rig.map(STACK_TOP - 0x4000, 5, Perms::READ_WRITE);
    rig.poke(CODE, program);
    for (number, register) in rig.registers.gpr.iter_mut().enumerate().filter(|(number, _)| *number != 4) {
        *register = 0x0102_0304_0506_0708u64.wrapping_mul(number as u64 + 1);
    }
    let exit = rig.run();
    if exit == Exit::Syscall {
        // AF is undefined after logical instructions and shifts; SYSCALL copied it.
        rig.registers.rflags &= !AUXILIARY_CARRY;
        rig.registers.gpr[11] &= !AUXILIARY_CARRY;
    } else {
        // At a fault the flags that nobody reads any more may be old.
        rig.registers.rflags = 0;
    }
    let mut state = rig.registers.gpr.to_vec();
    state.extend([rig.registers.rip.get(), rig.registers.rflags]);
    let data = rig.peek(DATA, (0x1000 * PAGES) as usize);
    (exit, state, data)
}

#[test]
fn blocks_do_what_their_instructions_do() {
    let seeds = std::env::var("PAGEWALK_SEQUENCES").ok().and_then(|count| count.parse().ok()).unwrap_or(400);
    let mut ended = 0;
    for seed in 0..seeds {
        let program = Writer::program(seed).expect("the program assembles");
        let count = if seed % 2 == 0 { Count::No } else { Count::Yes };
        let whole = outcome(&program, Extent::Superblock, count);
        let single = outcome(&program, Extent::Instruction, Count::No);
        assert!(
            whole == single,
            "seed {seed}: {:x?} but one at a time {:x?}",
            (whole.0, whole.1),
            (single.0, single.1)
        );
        ended += u64::from(single.0 == Exit::Syscall);
    }
    assert!(ended * 2 > seeds, "most programs come to their end: {ended} of {seeds}");
}
