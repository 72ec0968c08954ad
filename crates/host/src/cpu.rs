//! Registers of the host thread that only the host can set.

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
