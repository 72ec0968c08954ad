use super::*;

const CODE: u64 = 0x40_1000;
const NOWHERE: u64 = 0x4141_4141_4141_4148;

/// What the instruction of some bytes is refused for, with a register set; a word of memory is at 0x5000.
fn of(bytes: &[u8], register: usize, value: u64) -> Option<Protection> {
    let mut registers = Registers::at_entry(VirtAddr::new(CODE), VirtAddr::new(0x5000));
    registers.gpr[register] = value;
    Protection::of(&registers, 48, &mut |at, to| {
        let from: &[u8] = if at.get() == CODE { bytes } else { &NOWHERE.to_le_bytes() };
        let length = from.len().min(to.len());
        to[..length].copy_from_slice(&from[..length]);
        length
    })
}

fn said(bytes: &[u8], register: usize, value: u64) -> String {
    match of(bytes, register, value).expect("it is an instruction") {
        Protection::NoAddress { addr, access } => format!("{access:?} {addr}"),
        Protection::NoTarget(addr) => format!("to {addr}"),
        Protection::Misaligned { name, addr, alignment } => format!("{name} {addr} {alignment}"),
        Protection::Privileged(name) => format!("privileged {name}"),
        Protection::Operand(name) => format!("operand of {name}"),
    }
}

#[test]
fn the_one_true_cause_is_told() {
    for (bytes, register, value, expected) in [
        (&[0x8b, 0x45, 0x08][..], 5, NOWHERE, "Read 0x4141414141414150"),
        (&[0x01, 0x03], 3, NOWHERE, "Write 0x4141414141414148"),
        (&[0x50], 4, NOWHERE, "Write 0x4141414141414140"),
        (&[0x48, 0x8b, 0x00], 0, 0x7fff_ffff_fffc, "Read 0x7ffffffffffc"),
        (&[0xf3, 0xa4], 6, NOWHERE, "Read 0x4141414141414148"),
        (&[0xff, 0xe0], 0, NOWHERE, "to 0x4141414141414148"),
        (&[0xff, 0x10], 0, 0x5000, "to 0x4141414141414148"),
        (&[0xc3], 0, 0, "to 0x4141414141414148"),
        (&[0x0f, 0x28, 0x01], 1, 0x5008, "movaps 0x5008 16"),
        (&[0xf0, 0x48, 0x0f, 0xc7, 0x0e], 6, 0x5008, "cmpxchg16b 0x5008 16"),
        (&[0x0f, 0x32], 0, 0, "privileged rdmsr"),
        (&[0xf4], 0, 0, "privileged hlt"),
        (&[0xcd, 0x80], 0, 0, "privileged int"),
        (&[0x0f, 0xae, 0x10], 0, 0x5000, "operand of ldmxcsr"),
    ] {
        assert_eq!(said(bytes, register, value), expected, "{bytes:02x?}");
    }
    assert_eq!(of(&[0x06], 0, 0), None);
}
