//! The frame that a signal handler finds on its stack, as Linux lays it out.
//!
//! ```text
//! old rsp - 128            below the red zone, or the top of the alternate stack
//!   state   836 bytes      64-aligned: FXSAVE area, XSAVE header, upper halves of ymm, a magic number
//!                          (without XSAVE: 512 bytes, the FXSAVE area)
//!   siginfo 128
//!   context 304            flags, link, stack, 23 registers, pointer to the state, mask
//! rsp ->    8              where the handler returns to: the restorer, which calls rt_sigreturn
//! ```

use super::set::{Cause, SigInfo, SigSet};
use crate::Errno;
use crate::kernel::Processor;
use crate::task::AltStack;
use addr::{Gpr, Registers, VirtAddr};

const CONTEXT: usize = 8;
const STACK: usize = CONTEXT + 16;
const REGISTERS: usize = CONTEXT + 40;
const STATE_POINTER: usize = REGISTERS + 23 * 8;
const MASK: usize = CONTEXT + 296;
const INFO: usize = CONTEXT + 304;
/// Bytes of the frame without the state.
pub(super) const FRAME_BYTES: usize = INFO + 128;
/// Bytes of the largest state: x87 and SSE, header, AVX.
const MAX_STATE_BYTES: usize = 832;
const FXSAVE_BYTES: usize = 512;
const MAGIC_1: u32 = 0x4650_5853;
const MAGIC_2: u32 = 0x4650_5845;
const X87_COMPONENT: u64 = 1;
const SSE_COMPONENT: u64 = 2;
/// Which every state has.
const LEGACY_COMPONENTS: u64 = X87_COMPONENT | SSE_COMPONENT;
const AVX_COMPONENT: u64 = 4;
/// The bits of MXCSR that are not reserved.
const MXCSR_BITS: u32 = 0xffff;
/// SIGCONTEXT_SS, STRICT_RESTORE_SS.
const CONTEXT_FLAGS: u64 = 6;
/// FP_XSTATE: the state has a header.
const EXTENDED_CONTEXT: u64 = 1;
const RED_ZONE: u64 = 128;
/// Flags that a handler may change in what it returns to.
const RESTORED_FLAGS: u64 = 0x5_0dd5;
const USER_SEGMENTS: u64 = 0x33 | 0x2b << 48;

/// Registers as the context orders them, from r8 to rsp; rip and the flags follow.
const ORDER: [Gpr; 16] = [
    Gpr::R8,
    Gpr::R9,
    Gpr::R10,
    Gpr::R11,
    Gpr::R12,
    Gpr::R13,
    Gpr::R14,
    Gpr::R15,
    Gpr::Rdi,
    Gpr::Rsi,
    Gpr::Rbp,
    Gpr::Rbx,
    Gpr::Rdx,
    Gpr::Rax,
    Gpr::Rcx,
    Gpr::Rsp,
];
const RIP: usize = REGISTERS + 16 * 8;
const FLAGS: usize = REGISTERS + 17 * 8;
const SEGMENTS: usize = REGISTERS + 18 * 8;
const ERROR: usize = REGISTERS + 19 * 8;
const TRAP: usize = REGISTERS + 20 * 8;
const OLD_MASK: usize = REGISTERS + 21 * 8;
const CR2: usize = REGISTERS + 22 * 8;

/// A frame and where it goes.
pub(super) struct Frame {
    pub at: VirtAddr,
    pub bytes: Vec<u8>,
}

impl Frame {
    /// Where siginfo is.
    pub fn info_at(&self) -> u64 {
        self.at.get() + INFO as u64
    }

    /// Where the context is.
    pub fn context_at(&self) -> u64 {
        self.at.get() + CONTEXT as u64
    }
}

/// Builds a frame below `stack`, or below the red zone of the interrupted program.
pub(super) fn build(
    registers: &Registers,
    info: &SigInfo,
    mask: SigSet,
    alternate: AltStack,
    stack: Option<u64>,
    restorer: u64,
    processor: Processor,
) -> Option<Frame> {
    let state = state_bytes(registers, processor);
    let top = stack.map_or_else(|| registers.get(Gpr::Rsp).checked_sub(RED_ZONE), Some)?;
    let state_at = top.checked_sub(state.len() as u64)? & !63;
    let at = (state_at.checked_sub(FRAME_BYTES as u64)? & !15).checked_sub(8)?;
    let mut bytes = vec![0; (state_at - at) as usize];
    put(&mut bytes, 0, restorer);
    let extended = if processor.state_components == 0 { 0 } else { EXTENDED_CONTEXT };
    put(&mut bytes, CONTEXT, CONTEXT_FLAGS | extended);
    put(&mut bytes, STACK, alternate.start);
    put(&mut bytes, STACK + 8, alternate.flags.into());
    put(&mut bytes, STACK + 16, alternate.bytes);
    for (index, register) in ORDER.into_iter().enumerate() {
        put(&mut bytes, REGISTERS + index * 8, registers.get(register));
    }
    put(&mut bytes, RIP, registers.rip.get());
    put(&mut bytes, FLAGS, registers.rflags);
    put(&mut bytes, SEGMENTS, USER_SEGMENTS);
    if let Cause::Raised { trap, error, cr2, .. } = info.cause {
        put(&mut bytes, ERROR, error);
        put(&mut bytes, TRAP, trap);
        put(&mut bytes, CR2, cr2.unwrap_or(0));
    }
    put(&mut bytes, OLD_MASK, mask.0);
    put(&mut bytes, STATE_POINTER, state_at);
    put(&mut bytes, MASK, mask.0);
    bytes[INFO..INFO + 128].copy_from_slice(&info_bytes(info));
    bytes.extend(state);
    Some(Frame { at: VirtAddr::new(at), bytes })
}

/// What a frame says when its handler returns.
pub(super) struct Restored {
    pub mask: SigSet,
    pub alternate: AltStack,
    /// Where the state is; 0 for nowhere.
    pub state_at: u64,
}

/// Reads the context of a frame back into the registers.
pub(super) fn restore(context: &[u8; 304], registers: &mut Registers) -> Restored {
    let word = |at: usize| u64::from_le_bytes(context[at - CONTEXT..at - CONTEXT + 8].try_into().expect("eight bytes"));
    for (index, register) in ORDER.into_iter().enumerate() {
        registers.set(register, word(REGISTERS + index * 8));
    }
    registers.rip = VirtAddr::new(word(RIP));
    registers.rflags = registers.rflags & !RESTORED_FLAGS | word(FLAGS) & RESTORED_FLAGS | 0x202;
    Restored {
        mask: SigSet(word(MASK)),
        alternate: AltStack { start: word(STACK), flags: word(STACK + 8) as u32, bytes: word(STACK + 16) },
        state_at: word(STATE_POINTER),
    }
}

/// Bytes of the state that every frame has.
pub(super) const LEGACY_STATE_BYTES: usize = FXSAVE_BYTES;

/// How long a state is that begins like this: longer if its magic number says that there is a header.
pub(super) fn whole_state_bytes(legacy: &[u8; LEGACY_STATE_BYTES]) -> usize {
    match legacy[464..468] == MAGIC_1.to_le_bytes() {
        true => MAX_STATE_BYTES,
        false => LEGACY_STATE_BYTES,
    }
}

/// Reads a state back. Components that its header leaves out go to what they are after a reset.
///
/// # Errors
/// `EFAULT` for what XRSTOR refuses: reserved bits of MXCSR, a compacted header, components that nobody knows
/// (SDM vol. 1, 13.8.1). Then the registers are as before.
pub(super) fn restore_state(state: &[u8], registers: &mut Registers) -> Result<(), Errno> {
    let word = |at: usize| u64::from_le_bytes(state[at..at + 8].try_into().expect("eight bytes"));
    let is_extended = state.len() > LEGACY_STATE_BYTES;
    let components = if is_extended { word(LEGACY_STATE_BYTES) } else { LEGACY_COMPONENTS };
    let is_compacted = is_extended && word(LEGACY_STATE_BYTES + 8) != 0;
    let mxcsr = word(24) as u32;
    if mxcsr & !MXCSR_BITS != 0 || is_compacted || components & !(LEGACY_COMPONENTS | AVX_COMPONENT) != 0 {
        return Err(Errno::EFAULT);
    }
    registers.reset_extended_state();
    if components & X87_COMPONENT != 0 {
        registers.x87.copy_from_slice(&state[..160]);
    }
    registers.mxcsr = mxcsr;
    for (index, ymm) in registers.ymm.iter_mut().enumerate() {
        let part = |component: u64, at: usize| match components & component {
            0 => [0, 0],
            _ => [word(at), word(at + 8)],
        };
        let (low, high) = (part(SSE_COMPONENT, 160 + index * 16), part(AVX_COMPONENT, 576 + index * 16));
        *ymm = [low[0], low[1], high[0], high[1]];
    }
    Ok(())
}

impl SigInfo {
    /// siginfo_t.
    pub(crate) fn to_bytes(self) -> [u8; 128] {
        info_bytes(&self)
    }
}

fn info_bytes(info: &SigInfo) -> [u8; 128] {
    let mut bytes = [0; 128];
    let mut int = |at: usize, value: i32| bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    int(0, info.signal);
    int(8, info.code);
    match info.cause {
        Cause::Sent { pid, uid, value } => {
            int(16, pid as i32);
            int(20, uid as i32);
            bytes[24..32].copy_from_slice(&value.to_le_bytes());
        }
        Cause::Raised { addr, .. } => bytes[16..24].copy_from_slice(&addr.to_le_bytes()),
        Cause::Child { pid, uid, status, used } => {
            int(16, pid as i32);
            int(20, uid as i32);
            int(24, status);
            put(&mut bytes, 32, used.user_ticks());
            put(&mut bytes, 40, used.system_ticks());
        }
        Cause::Ready { band, descriptor } => {
            int(24, descriptor);
            put(&mut bytes, 16, band as u64);
        }
        Cause::Timer { id, overrun, value } => {
            int(16, id);
            int(20, overrun);
            bytes[24..32].copy_from_slice(&value.to_le_bytes());
        }
    }
    bytes
}

fn state_bytes(registers: &Registers, processor: Processor) -> Vec<u8> {
    let bytes = processor.state_bytes as usize;
    let mut state = vec![0; bytes];
    state[..160].copy_from_slice(&registers.x87);
    state[24..28].copy_from_slice(&registers.mxcsr.to_le_bytes());
    state[28..32].copy_from_slice(&MXCSR_BITS.to_le_bytes());
    for (index, ymm) in registers.ymm.iter().enumerate() {
        put(&mut state, 160 + index * 16, ymm[0]);
        put(&mut state, 168 + index * 16, ymm[1]);
        if processor.state_components & AVX_COMPONENT != 0 {
            put(&mut state, 576 + index * 16, ymm[2]);
            put(&mut state, 584 + index * 16, ymm[3]);
        }
    }
    if processor.state_components != 0 {
        state[464..468].copy_from_slice(&MAGIC_1.to_le_bytes());
        state[468..472].copy_from_slice(&(bytes as u32 + 4).to_le_bytes());
        put(&mut state, 472, processor.state_components);
        state[480..484].copy_from_slice(&(bytes as u32).to_le_bytes());
        put(&mut state, LEGACY_STATE_BYTES, processor.state_components);
        state.extend(MAGIC_2.to_le_bytes());
    }
    state
}

fn put(bytes: &mut [u8], at: usize, value: u64) {
    bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use host::cpu_time::CpuTime;
    use std::mem::offset_of;

    const V3: Processor = Processor { features: 0, more_features: 0, state_components: 7, state_bytes: 832 };

    #[test]
    fn offsets_are_those_of_the_c_structures() {
        let gregs = CONTEXT + offset_of!(libc::ucontext_t, uc_mcontext) + offset_of!(libc::mcontext_t, gregs);
        assert_eq!(REGISTERS, gregs);
        assert_eq!(STACK, CONTEXT + offset_of!(libc::ucontext_t, uc_stack));
        assert_eq!(
            STATE_POINTER,
            CONTEXT + offset_of!(libc::ucontext_t, uc_mcontext) + offset_of!(libc::mcontext_t, fpregs)
        );
        assert_eq!(MASK, CONTEXT + offset_of!(libc::ucontext_t, uc_sigmask));
        for (number, at) in [
            (libc::REG_RIP, RIP),
            (libc::REG_EFL, FLAGS),
            (libc::REG_CSGSFS, SEGMENTS),
            (libc::REG_ERR, ERROR),
            (libc::REG_TRAPNO, TRAP),
            (libc::REG_OLDMASK, OLD_MASK),
            (libc::REG_CR2, CR2),
            (libc::REG_RSP, REGISTERS + 15 * 8),
            (libc::REG_RDI, REGISTERS + 8 * 8),
        ] {
            assert_eq!(gregs + number as usize * 8, at);
        }
        assert_eq!(size_of::<libc::siginfo_t>(), 128);
        assert_eq!(FRAME_BYTES, 440);
    }

    #[test]
    fn what_is_built_is_restored() {
        let mut registers = Registers::at_entry(VirtAddr::new(0x40_1234), VirtAddr::new(0x7fff_ffff_e008));
        for (index, word) in registers.gpr.iter_mut().enumerate().filter(|(index, _)| *index != 4) {
            *word = index as u64 * 0x1111;
        }
        registers.ymm[15] = [1, 2, 3, 4];
        registers.mxcsr = 0x1f81;
        registers.x87[32] = 9;
        let cause = Cause::Raised { addr: 0x10, trap: 14, error: 6, cr2: Some(0x10) };
        let info = SigInfo { signal: libc::SIGSEGV, code: 1, cause };
        let frame = build(&registers, &info, SigSet(5), AltStack::default(), None, 0x77, V3).unwrap();
        assert_eq!(frame.at.get() % 16, 8);
        assert!(frame.at.get() + frame.bytes.len() as u64 <= 0x7fff_ffff_e008 - 128);
        let context = frame.bytes[CONTEXT..CONTEXT + 304].try_into().unwrap();
        let mut restored = Registers::at_entry(VirtAddr::new(0), VirtAddr::new(0));
        let found = restore(context, &mut restored);
        assert_eq!((found.mask, found.state_at % 64), (SigSet(5), 0));
        let state_at = (found.state_at - frame.at.get()) as usize;
        let legacy = frame.bytes[state_at..state_at + 512].try_into().unwrap();
        assert_eq!(whole_state_bytes(legacy), 832);
        restore_state(&frame.bytes[state_at..state_at + 832], &mut restored).unwrap();
        restored.x87[24..32].copy_from_slice(&registers.x87[24..32]);
        assert_eq!(restored, registers);
        assert_eq!(&frame.bytes[state_at + 832..state_at + 836], MAGIC_2.to_le_bytes());
    }

    #[test]
    fn a_state_that_the_processor_refuses_changes_nothing() {
        let registers = Registers::at_entry(VirtAddr::new(0), VirtAddr::new(0));
        let good = state_bytes(&registers, V3);
        for (at, byte) in [(27, 0x80), (512, 0x0f), (520, 1)] {
            let mut bad = good.clone();
            bad[at] |= byte;
            let mut restored = registers.clone();
            restored.ymm[0] = [5; 4];
            let before = restored.clone();
            assert_eq!(restore_state(&bad[..832], &mut restored), Err(Errno::EFAULT));
            assert_eq!(restored, before);
        }
    }

    #[test]
    fn without_xsave_the_state_is_the_legacy_one() {
        let mut registers = Registers::at_entry(VirtAddr::new(0x40_1234), VirtAddr::new(0x7fff_ffff_e008));
        registers.ymm[3] = [1, 2, 0, 0];
        let (info, mask) = (SigInfo::kernel(libc::SIGHUP), SigSet::default());
        let frame = build(&registers, &info, mask, AltStack::default(), None, 0, Processor::default()).unwrap();
        let context: &[u8; 304] = frame.bytes[CONTEXT..CONTEXT + 304].try_into().unwrap();
        assert_eq!(context[0], 6);
        let mut restored = Registers::at_entry(VirtAddr::new(0), VirtAddr::new(0));
        let state_at = (restore(context, &mut restored).state_at - frame.at.get()) as usize;
        assert_eq!(frame.bytes.len(), state_at + 512);
        let legacy = frame.bytes[state_at..].try_into().unwrap();
        assert_eq!(whole_state_bytes(legacy), 512);
        restore_state(legacy, &mut restored).unwrap();
        assert_eq!(restored.ymm[3], [1, 2, 0, 0]);
    }

    #[test]
    fn siginfo_is_as_c_reads_it() {
        let used = CpuTime { user_ns: 125_000_000, system_ns: 39_000_000 };
        let cause = Cause::Child { pid: 7, uid: 8, status: 9, used };
        let bytes = info_bytes(&SigInfo { signal: libc::SIGCHLD, code: libc::CLD_EXITED, cause });
        let int = |at: usize| i32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        assert_eq!([int(0), int(4), int(8), int(16), int(20), int(24)], [libc::SIGCHLD, 0, libc::CLD_EXITED, 7, 8, 9]);
        assert_eq!([int(32), int(36), int(40), int(44)], [12, 0, 3, 0]);
    }
}
