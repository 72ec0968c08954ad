//! How two register states differ.

use addr::Registers;
use iced_x86::Register;
use std::ops::Range;

/// TF: the host does not show it to a tracer.
const TRAP_FLAG: u64 = 0x100;
/// Bytes of an FXSAVE image that name the last x87 instruction and its operand: host addresses in our engine.
const X87_POINTERS: Range<usize> = 6..24;
const GPRS: [Register; 16] = {
    use Register::*;
    [RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15]
};

/// One register that differs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// Which; none for flags, MXCSR and the x87 state.
    pub register: Register,
    /// Both values, for people.
    pub text: String,
}

/// The registers that differ between the host's state and ours; of the flags those in `flags`.
pub fn differences(host: &Registers, ours: &Registers, flags: u64) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut check = |register: Register, name: &str, left: u64, right: u64| {
        if left != right {
            found.push(Difference { register, text: format!("{name} {left:#x} on the host and {right:#x} here") });
        }
    };
    for (index, register) in GPRS.into_iter().enumerate() {
        check(register, &format!("{register:?}").to_lowercase(), host.gpr[index], ours.gpr[index]);
    }
    check(Register::RIP, "rip", host.rip.get(), ours.rip.get());
    let flags = flags & !TRAP_FLAG;
    check(Register::None, "rflags", host.rflags & flags, ours.rflags & flags);
    check(Register::FS, "fs base", host.fs_base, ours.fs_base);
    check(Register::GS, "gs base", host.gs_base, ours.gs_base);
    check(Register::None, "mxcsr", host.mxcsr.into(), ours.mxcsr.into());
    for (index, (left, right)) in host.ymm.iter().zip(&ours.ymm).enumerate() {
        if left != right {
            let text = format!("ymm{index} {left:x?} on the host and {right:x?} here");
            found.push(Difference { register: Register::YMM0 + index as u32, text });
        }
    }
    let (mut left, mut right) = (host.x87, ours.x87);
    left[X87_POINTERS].fill(0);
    right[X87_POINTERS].fill(0);
    if let Some(at) = left.iter().zip(&right).position(|(left, right)| left != right) {
        let text = format!("x87 from byte {at}: {:x?} on the host and {:x?} here", &left[at..], &right[at..]);
        found.push(Difference { register: Register::None, text });
    }
    found
}
