//! The host's processor: what it has, and registers that only the host can set.

use std::arch::x86_64::__cpuid_count;

/// How many bytes the host's kernel wants on a stack for a signal beyond the processor's extended state: what
/// `AT_MINSIGSTKSZ` says less what CPUID says.
pub fn signal_frame_bytes() -> u64 {
    /// The largest frame without state, for a kernel that does not say (linux/arch/x86/kernel/signal.c).
    const USUAL: u64 = 928;
    const STATE_LEAF: u32 = 0xd;
    // SAFETY: reads a word of the auxiliary vector; 0 if it is not there.
    let whole = unsafe { libc::getauxval(libc::AT_MINSIGSTKSZ) };
    let state = u64::from(__cpuid_count(STATE_LEAF, 0).ebx);
    whole.checked_sub(state).filter(|bytes| (USUAL / 2..USUAL * 2).contains(bytes)).unwrap_or(USUAL)
}

/// Makes GS of the calling thread start at an address. Rust code does not use GS.
pub fn set_gs_base(base: u64) {
    const ARCH_SET_GS: i32 = 0x1001;
    const HWCAP2_FSGSBASE: u64 = 2;
    // SAFETY: reads a word of the auxiliary vector.
    let hwcap2 = unsafe { libc::getauxval(libc::AT_HWCAP2) };
    if hwcap2 & HWCAP2_FSGSBASE != 0 {
        // SAFETY: the host says that the instruction may be used; nothing in Rust or libc depends on GS.
        unsafe { std::arch::asm!("wrgsbase {}", in(reg) base, options(nomem, nostack, preserves_flags)) };
    } else {
        // SAFETY: ARCH_SET_GS changes nothing but the base of GS.
        unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_SET_GS, base) };
    }
}
