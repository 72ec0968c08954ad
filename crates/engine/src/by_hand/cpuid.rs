//! What the CPU says of itself (SDM vol. 2, CPUID): the host's answers, less what is not announced.

use crate::asm::{RAX, RCX, RDX};
use crate::exit::{Exception, Exit};
use crate::state::State;
use crate::{Announced, Isa};
use std::arch::x86_64::__cpuid_count;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

const RBX: u8 = 3;
const LAST_LEAF: u32 = 0xd;
const LAST_EXTENDED_LEAF: u32 = 0x8000_0008;
/// No leaf has more: from here on its answers are empty.
const LAST_SUBLEAF: u32 = 31;

/// Leaf 1, ECX: SSE3, PCLMULQDQ, SSSE3, CX16, SSE4.1, SSE4.2, POPCNT, AES.
const LEAF1_ECX_V2: u32 = 1 | 1 << 1 | 1 << 9 | 1 << 13 | 1 << 19 | 1 << 20 | 1 << 23 | 1 << 25;
/// And FMA, MOVBE, XSAVE, OSXSAVE, AVX, F16C.
const LEAF1_ECX_V3: u32 = LEAF1_ECX_V2 | 1 << 12 | 1 << 22 | 1 << 26 | 1 << 27 | 1 << 28 | 1 << 29;
/// Leaf 1, EDX: FPU, TSC, CX8, CMOV, CLFSH, MMX, FXSR, SSE, SSE2 and the system features every x86-64 has.
const LEAF1_EDX: u32 = 0x078b_fbff;
/// Leaf 7, EBX: FSGSBASE, ERMS.
const LEAF7_EBX_V2: u32 = 1 | 1 << 9;
/// And BMI1, AVX2, BMI2, ADX, CLFLUSHOPT, CLWB, SHA.
const LEAF7_EBX_V3: u32 = LEAF7_EBX_V2 | 1 << 3 | 1 << 5 | 1 << 8 | 1 << 19 | 1 << 23 | 1 << 24 | 1 << 29;
/// Leaf 7, EDX: FSRM.
const LEAF7_EDX: u32 = 1 << 4;
/// Leaf 0x80000001, ECX: LAHF, and PREFETCHW; with v3 LZCNT.
const EXTENDED_ECX_V2: u32 = 1 | 1 << 8;
const EXTENDED_ECX_V3: u32 = EXTENDED_ECX_V2 | 1 << 5;
/// Leaf 0x80000001, EDX: SYSCALL, NX, 1 GiB pages, RDTSCP, long mode, and AMD's copies of leaf 1.
const EXTENDED_EDX: u32 = 0x2c10_0800 | 0x0183_f3ff;

/// XCR0: x87, SSE, AVX.
pub const XCR0: u64 = 7;
/// Leaf 1, ECX.
const OSXSAVE: u32 = 1 << 27;
/// Bytes of an FXSAVE area.
const FXSAVE_BYTES: u32 = 512;
/// Bytes of an XSAVE area with those three: legacy region, header, upper halves of the YMM registers.
pub const XSAVE_BYTES: u32 = 512 + 64 + 256;

pub fn execute(state: State<'_>, isa: Isa) {
    let leaf = state.gpr(RAX) as u32;
    let subleaf = state.gpr(RCX) as u32;
    let answer = answer(leaf, subleaf, isa);
    for (register, value) in [(RAX, answer[0]), (RBX, answer[1]), (RCX, answer[2]), (RDX, answer[3])] {
        state.set_gpr(register, u64::from(value));
    }
}

pub fn announced(isa: Isa) -> Announced {
    let [_, ebx, _, _] = answer(7, 0, isa);
    let [_, _, ecx, features] = answer(1, 0, isa);
    let [components, bytes, _, _] = answer(0xd, 0, isa);
    let has_xsave = ecx & OSXSAVE != 0;
    Announced {
        features,
        has_base_instructions: ebx & 1 != 0,
        state_components: if has_xsave { u64::from(components) } else { 0 },
        state_bytes: if has_xsave { bytes } else { FXSAVE_BYTES },
    }
}

/// What the host's CPU answers; each question is put to it once, since in a virtual machine it takes microseconds.
fn host_answer(leaf: u32, subleaf: u32) -> [u32; 4] {
    static KNOWN: Mutex<BTreeMap<(u32, u32), [u32; 4]>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    *known.entry((leaf, subleaf)).or_insert_with(|| {
        let host = __cpuid_count(leaf, subleaf);
        [host.eax, host.ebx, host.ecx, host.edx]
    })
}

/// EAX, EBX, ECX, EDX.
pub fn answer(leaf: u32, subleaf: u32, isa: Isa) -> [u32; 4] {
    let v3 = isa == Isa::V3;
    // Most leaves take no notice of ECX. So there are few questions, and few answers to remember.
    let subleaf = match leaf {
        4 | 7 | 0xd => subleaf.min(LAST_SUBLEAF),
        0..=3 | 0x8000_0000..=LAST_EXTENDED_LEAF => 0,
        _ => return [0; 4],
    };
    let [eax, ebx, ecx, edx] = host_answer(leaf, subleaf);
    match (leaf, subleaf) {
        (0, _) => [eax.min(LAST_LEAF), ebx, ecx, edx],
        // The APIC number and the count of logical processors are the simulated machine's: 0 of 1.
        (1, _) => [eax, ebx & 0xff00 | 1 << 16, ecx & if v3 { LEAF1_ECX_V3 } else { LEAF1_ECX_V2 }, edx & LEAF1_EDX],
        (2..=4, _) => [eax, ebx, ecx, edx],
        (7, 0) => [0, ebx & if v3 { LEAF7_EBX_V3 } else { LEAF7_EBX_V2 }, 0, edx & LEAF7_EDX],
        (0xd, 0) if v3 => [XCR0 as u32, XSAVE_BYTES, XSAVE_BYTES, 0],
        // XSAVEOPT, XSAVEC and XGETBV with ECX 1.
        (0xd, 1) if v3 => [eax & 0b111, XSAVE_BYTES, 0, 0],
        (0xd, 2) if v3 => [256, 576, 0, 0],
        (0x8000_0000, _) => [eax.min(LAST_EXTENDED_LEAF), ebx, ecx, edx],
        (0x8000_0001, _) => [eax, ebx, ecx & if v3 { EXTENDED_ECX_V3 } else { EXTENDED_ECX_V2 }, edx & EXTENDED_EDX],
        (0x8000_0002..=0x8000_0006, _) => [eax, ebx, ecx, edx],
        // The time stamp counter does not depend on the clock rate.
        (0x8000_0007, _) => [0, 0, 0, edx & 1 << 8],
        (0x8000_0008, _) => [eax, 0, 0, 0],
        _ => [0; 4],
    }
}

pub fn xgetbv(state: State<'_>, isa: Isa) -> Result<(), Exit> {
    match (isa, state.gpr(RCX) as u32) {
        (Isa::V3, 0 | 1) => {
            state.set_gpr(RAX, XCR0);
            state.set_gpr(RDX, 0);
            Ok(())
        }
        (Isa::V3, _) => Err(Exit::Exception(Exception::GeneralProtection)),
        (Isa::V2, _) => Err(Exit::Exception(Exception::InvalidOpcode(crate::exit::Opcode::Undefined))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ecx_is_noticed_where_a_leaf_has_parts() {
        assert_eq!(answer(1, 0, Isa::V3), answer(1, 0xdead_beef, Isa::V3));
        assert_eq!(answer(7, 1, Isa::V3), [0; 4]);
        assert_eq!(answer(4, u32::MAX, Isa::V3)[0] & 31, 0, "there is no such cache");
        assert_eq!(answer(0x4000_0000, 0, Isa::V3), [0; 4], "no hypervisor");
        assert_ne!(answer(0xd, 1, Isa::V3), answer(0xd, 2, Isa::V3));
    }

    #[test]
    fn what_a_kernel_is_told_is_what_cpuid_says() {
        let [v2, v3] = [Isa::V2, Isa::V3].map(announced);
        assert_eq!((v2.state_components, v2.state_bytes), (0, 512));
        assert_eq!((v3.state_components, v3.state_bytes), (7, XSAVE_BYTES));
        assert_eq!(v3.features, answer(1, 0, Isa::V3)[3]);
    }

    #[test]
    fn avx_512_is_never_announced() {
        for isa in [Isa::V2, Isa::V3] {
            assert_eq!(answer(7, 0, isa)[1] & 1 << 16, 0);
            assert_eq!(answer(0xd, 0, isa)[0] & 0xe0, 0);
        }
        assert_eq!(answer(1, 0, Isa::V2)[2] & 1 << 27, 0, "v2 has no OSXSAVE, so nobody asks for AVX");
    }
}
