//! Which instructions are executed as they stand, which by hand, and which not at all.

use iced_x86::{Code, CpuidFeature, EncodingKind, Instruction, Mnemonic, OpKind, Register};

/// Whether the announced CPU has the instruction: user-mode x86-64-v3 and the extensions programs find by CPUID.
pub fn is_executable(instruction: &Instruction) -> bool {
    use CpuidFeature::*;
    if matches!(
        instruction.encoding(),
        EncodingKind::EVEX | EncodingKind::XOP | EncodingKind::D3NOW | EncodingKind::MVEX
    ) {
        return false;
    }
    !uses_opmask(instruction)
        && instruction.cpuid_features().iter().all(|feature| {
            matches!(
                feature,
                INTEL8086
                    | INTEL8086_ONLY
                    | INTEL186
                    | INTEL286
                    | INTEL286_ONLY
                    | INTEL386
                    | INTEL386_ONLY
                    | INTEL386_A0_ONLY
                    | INTEL486
                    | INTEL486_A_ONLY
                    | X64
                    | ADX
                    | AES
                    | AVX
                    | AVX2
                    | BMI1
                    | BMI2
                    | CET_IBT
                    | CET_SS
                    | CLFLUSHOPT
                    | CLFSH
                    | CLWB
                    | CMOV
                    | CMPXCHG16B
                    | CPUID
                    | CX8
                    | F16C
                    | FMA
                    | FPU
                    | FPU287
                    | FPU287XL_ONLY
                    | FPU387
                    | FPU387SL_ONLY
                    | FSGSBASE
                    | FXSR
                    | LZCNT
                    | MMX
                    | MOVBE
                    | MULTIBYTENOP
                    | PAUSE
                    | PCLMULQDQ
                    | POPCNT
                    | PREFETCHW
                    | RDPID
                    | RDRAND
                    | RDSEED
                    | RDTSCP
                    | SHA
                    | SSE
                    | SSE2
                    | SSE3
                    | SSE4_1
                    | SSE4_2
                    | SSSE3
                    | SYSCALL
                    | TSC
                    | XSAVE
                    | XSAVEC
                    | XSAVEOPT
                    | PREFETCHWT1
            )
        })
}

/// Whether an instruction is a kernel's alone, on any processor: some of these belong to extensions that programs cannot
/// use.
pub fn is_refused(instruction: &Instruction) -> bool {
    use Mnemonic::*;
    matches!(
        instruction.mnemonic(),
        Rdmsr | Wrmsr | Rdpmc | Wbnoinvd | Invpcid | Xsaves | Xsaves64 | Xrstors | Xrstors64 | Sysexit | Sysexitq
    )
}

/// Whether an instruction names a mask register of AVX-512.
pub fn uses_opmask(instruction: &Instruction) -> bool {
    (0..instruction.op_count())
        .any(|index| instruction.op_kind(index) == OpKind::Register && instruction.op_register(index).is_k())
}

/// Whether an executable instruction is done by hand: it touches memory in a way that one lookup cannot serve, or
/// shows or changes state that is ours.
pub fn is_by_hand(instruction: &Instruction) -> bool {
    use Mnemonic::*;
    if instruction.is_privileged()
        || instruction.is_vsib()
        || (instruction.is_string_instruction() && !is_inline_string(instruction))
    {
        return true;
    }
    match instruction.mnemonic() {
        Cpuid | Xgetbv | Rdtscp | Rdpid | Rdfsbase | Rdgsbase | Wrfsbase | Wrgsbase | Xsave | Xsave64 | Xsavec
        | Xsavec64 | Xsaveopt | Xsaveopt64 | Xrstor | Xrstor64 | Pushf | Pushfd | Pushfq | Popf | Popfd | Popfq
        | Enter | Xlatb | Maskmovq | Maskmovdqu | Vmaskmovdqu | Vmaskmovps | Vmaskmovpd | Vpmaskmovd | Vpmaskmovq
        | Syscall | Int | Int1 | Int3 | Into | Ud0 | Ud1 | Ud2 | Hlt | Sgdt | Sidt | Sldt | Str | Smsw | Lgdt
        | Lidt | Lfs | Lgs | Lss | Lds | Les | Sysenter | Sysexit | Iret | Iretd | Iretq | Fxsave | Fxsave64
        | Fxrstor | Fxrstor64 | Monitor | Mwait => true,
        Bt | Bts | Btr | Btc => instruction.op0_kind() == OpKind::Memory && instruction.op1_kind() == OpKind::Register,
        Pop => instruction.op0_kind() == OpKind::Memory,
        Mov => writes_segment(instruction),
        _ => false,
    }
}

/// Whether a string instruction is done inline as long as it stays in its pages and goes upwards: `rep movs` and
/// `rep stos` with 64-bit addresses and flat segments.
pub fn is_inline_string(instruction: &Instruction) -> bool {
    use Mnemonic::*;
    let moves = matches!(instruction.mnemonic(), Movsb | Movsw | Movsd | Movsq);
    let stores = matches!(instruction.mnemonic(), Stosb | Stosw | Stosd | Stosq);
    let flat = !matches!(instruction.segment_prefix(), Register::FS | Register::GS);
    let wide = (0..instruction.op_count())
        .all(|index| !matches!(instruction.op_kind(index), OpKind::MemorySegESI | OpKind::MemoryESEDI));
    (moves || stores) && instruction.has_rep_prefix() && flat && wide
}

fn writes_segment(instruction: &Instruction) -> bool {
    (0..instruction.op_count()).any(|index| {
        instruction.op_kind(index) == OpKind::Register && is_special_register(instruction.op_register(index))
    })
}

fn is_special_register(register: Register) -> bool {
    register.is_segment_register() || register.is_cr() || register.is_dr() || register.is_tr()
}

/// Whether an instruction belongs to the x87 unit.
pub fn is_x87(code: Code) -> bool {
    use CpuidFeature::*;
    code.cpuid_features()
        .iter()
        .any(|feature| matches!(feature, FPU | FPU287 | FPU287XL_ONLY | FPU387 | FPU387SL_ONLY | MMX))
        || matches!(code.mnemonic(), Mnemonic::Fisttp | Mnemonic::Emms)
}

/// Whether an instruction raises a pending x87 exception before it does anything.
pub fn waits_for_x87(instruction: &Instruction) -> bool {
    use Mnemonic::*;
    let names_mmx = (0..instruction.op_count())
        .any(|index| instruction.op_kind(index) == OpKind::Register && instruction.op_register(index).is_mm());
    let passes = matches!(instruction.mnemonic(), Fnclex | Fninit | Fnsave | Fnstcw | Fnstenv | Fnstsw);
    names_mmx || instruction.mnemonic() == Wait || is_x87(instruction.code()) && !passes
}

/// The alignment of an instruction's memory operand that the hardware sees to before it looks at pages, if it is done
/// through a lookup: of operands of 16 bytes of SSE, but for the moves and the string comparisons that exist for
/// unaligned ones, and of the aligned moves of AVX. Operands of SHA are looked up first (on Zen).
pub fn alignment(instruction: &Instruction) -> Option<u64> {
    use Mnemonic::*;
    let bytes = instruction.memory_size().size() as u64;
    let needs = match (instruction.encoding(), instruction.mnemonic()) {
        (_, Movups | Movupd | Movdqu | Lddqu) => false,
        (_, Sha1msg1 | Sha1msg2 | Sha1nexte | Sha1rnds4 | Sha256msg1 | Sha256msg2 | Sha256rnds2) => false,
        (_, Pcmpestri | Pcmpestri64 | Pcmpestrm | Pcmpestrm64 | Pcmpistri | Pcmpistrm) => false,
        (EncodingKind::Legacy, _) => bytes == 16,
        (_, Vmovaps | Vmovapd | Vmovdqa | Vmovntps | Vmovntpd | Vmovntdq | Vmovntdqa) => true,
        _ => false,
    };
    needs.then_some(bytes)
}

/// Whether the memory operand is in the stack segment: its base is RSP or RBP. In 64-bit mode prefixes for other segments
/// than FS and GS say nothing (SDM vol. 2, 2.1.1).
pub fn is_in_stack_segment(instruction: &Instruction) -> bool {
    let base = instruction.memory_base().full_register();
    matches!(base, Register::RSP | Register::RBP)
        && !matches!(instruction.memory_segment(), Register::FS | Register::GS)
}

/// `mov` with an absolute 64-bit address.
pub fn is_moffs(code: Code) -> bool {
    use Code::*;
    matches!(
        code,
        Mov_AL_moffs8
            | Mov_AX_moffs16
            | Mov_EAX_moffs32
            | Mov_RAX_moffs64
            | Mov_moffs8_AL
            | Mov_moffs16_AX
            | Mov_moffs32_EAX
            | Mov_moffs64_RAX
    )
}

/// Bytes that the memory operand covers, never less than are touched.
pub fn memory_bytes(instruction: &Instruction) -> u16 {
    // The 16-bit forms are shorter, and iced-x86 knows the size of neither.
    match instruction.code() {
        Code::Fnsave_m94byte | Code::Frstor_m94byte => return 94,
        Code::Fnstenv_m14byte | Code::Fldenv_m14byte => return 14,
        _ => {}
    }
    match instruction.mnemonic() {
        Mnemonic::Fnsave | Mnemonic::Fsave | Mnemonic::Frstor => 108,
        Mnemonic::Fnstenv | Mnemonic::Fstenv | Mnemonic::Fldenv => 28,
        _ => match instruction.memory_size().size() {
            0 => 64,
            size => size as u16,
        },
    }
}
