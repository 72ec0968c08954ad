//! What the announced CPU can do, in the words of /proc/cpuinfo: each flag is a bit that CPUID answers.

use crate::Isa;
use crate::by_hand::cpuid_answer;

/// A register of CPUID's answer.
#[derive(Clone, Copy)]
enum In {
    Eax = 0,
    Ebx = 1,
    Ecx = 2,
    Edx = 3,
}

/// Leaf, subleaf, register, and the names of bits.
type Named = (u32, u32, In, &'static [(u32, &'static str)]);

/// In Linux's order (arch/x86/include/asm/cpufeatures.h).
#[rustfmt::skip]
const NAMES: &[Named] = &[
    (1, 0, In::Edx, &[
        (0, "fpu"), (1, "vme"), (2, "de"), (3, "pse"), (4, "tsc"), (5, "msr"), (6, "pae"), (7, "mce"), (8, "cx8"),
        (9, "apic"), (11, "sep"), (12, "mtrr"), (13, "pge"), (14, "mca"), (15, "cmov"), (16, "pat"), (17, "pse36"),
        (19, "clflush"), (23, "mmx"), (24, "fxsr"), (25, "sse"), (26, "sse2"), (28, "ht"),
    ]),
    (0x8000_0001, 0, In::Edx, &[
        (11, "syscall"), (20, "nx"), (22, "mmxext"), (25, "fxsr_opt"), (26, "pdpe1gb"), (27, "rdtscp"), (29, "lm"),
    ]),
    (1, 0, In::Ecx, &[
        (0, "pni"), (1, "pclmulqdq"), (9, "ssse3"), (12, "fma"), (13, "cx16"), (19, "sse4_1"), (20, "sse4_2"),
        (22, "movbe"), (23, "popcnt"), (25, "aes"), (26, "xsave"), (28, "avx"), (29, "f16c"), (30, "rdrand"),
    ]),
    (0x8000_0001, 0, In::Ecx, &[(0, "lahf_lm"), (5, "abm"), (8, "3dnowprefetch")]),
    (7, 0, In::Ebx, &[
        (0, "fsgsbase"), (3, "bmi1"), (5, "avx2"), (8, "bmi2"), (9, "erms"), (18, "rdseed"), (19, "adx"),
        (23, "clflushopt"), (24, "clwb"), (29, "sha_ni"),
    ]),
    (0xd, 1, In::Eax, &[(0, "xsaveopt"), (1, "xsavec"), (2, "xgetbv1")]),
    (7, 0, In::Edx, &[(4, "fsrm")]),
];

/// The flags of the announced CPU on this host, with spaces between.
pub fn cpu_flags(isa: Isa) -> String {
    let has =
        |leaf, subleaf, register: In, bit: u32| cpuid_answer(leaf, subleaf, isa)[register as usize] >> bit & 1 == 1;
    let all = NAMES.iter().flat_map(|(leaf, subleaf, register, names)| {
        names.iter().filter(|(bit, _)| has(*leaf, *subleaf, *register, *bit)).map(|(_, name)| *name)
    });
    all.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_what_is_announced_and_what_the_host_has() {
        let v2 = cpu_flags(Isa::V2);
        assert!(v2.starts_with("fpu ") && v2.contains(" sse4_2 ") && !v2.contains("avx"), "{v2}");
        let v3 = cpu_flags(Isa::V3);
        assert!(!v3.contains("avx512"), "{v3}");
        let host = std::fs::read_to_string("/proc/cpuinfo").unwrap();
        let host: Vec<&str> = host.lines().find(|line| line.starts_with("flags")).unwrap().split(' ').collect();
        let unknown: Vec<&str> = v3.split(' ').filter(|flag| !host.contains(flag)).collect();
        // An Intel host lists AMD's copies and a few of leaf 7 under other conditions; sep is for 32-bit programs.
        let excused = ["sep", "mtrr", "mca", "vme", "mmxext", "fxsr_opt", "mce", "pse36"];
        assert!(unknown.iter().all(|flag| excused.contains(flag)), "{unknown:?}");
    }
}
