//! Which instruction forms are tried.

use iced_x86::{Code, CpuidFeature, EncodingKind, OpCodeInfo, OpCodeOperandKind};
use std::collections::HashMap;

/// What the announced CPU has: user-mode x86-64-v3 and what programs find by CPUID beside it.
const ANNOUNCED: &[CpuidFeature] = {
    use CpuidFeature::*;
    &[
        INTEL8086,
        INTEL186,
        INTEL286,
        INTEL386,
        INTEL486,
        X64,
        ADX,
        AES,
        AVX,
        AVX2,
        BMI1,
        BMI2,
        CLFLUSHOPT,
        CLFSH,
        CLWB,
        CMOV,
        CMPXCHG16B,
        CX8,
        CET_IBT,
        F16C,
        FMA,
        FPU,
        FPU287,
        FPU387,
        FSGSBASE,
        FXSR,
        LZCNT,
        MMX,
        MOVBE,
        MULTIBYTENOP,
        PAUSE,
        PCLMULQDQ,
        POPCNT,
        PREFETCHW,
        SHA,
        SSE,
        SSE2,
        SSE3,
        SSE4_1,
        SSE4_2,
        SSSE3,
        XSAVE,
    ]
};

/// A row of `excluded.txt`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Exclusion {
    /// The kind and the name, as in the file.
    pub what: &'static str,
    /// Why.
    pub reason: &'static str,
}

/// Every form to try, in iced-x86's order.
pub fn forms() -> Vec<Code> {
    let excluded: HashMap<&str, &str> = exclusions().into_iter().map(|row| (row.what, row.reason)).collect();
    Code::values().filter(|code| is_announced(code.op_code())).filter(|code| !is_listed(*code, &excluded)).collect()
}

/// Every form of AVX-512 that a program could execute on a host that has it: each is illegal on the announced CPU.
pub fn hidden_forms() -> Vec<Code> {
    let names_mask = |form: &OpCodeInfo| form.op_kinds().iter().any(|kind| is_opmask(*kind));
    let is_hidden = |form: &OpCodeInfo| {
        form.is_instruction()
            && form.mode64()
            && (form.encoding() == EncodingKind::EVEX || form.encoding() == EncodingKind::VEX && names_mask(form))
    };
    Code::values().filter(|code| is_hidden(code.op_code())).collect()
}

/// What is left out by name, and why.
pub fn exclusions() -> Vec<Exclusion> {
    let rows = include_str!("excluded.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    rows.map(|line| {
        let (what, reason) = line.split_once("  ").expect("a reason follows after two blanks");
        Exclusion { what, reason }
    })
    .collect()
}

/// Whether the form exists for a program in 64-bit mode on the announced CPU.
fn is_announced(form: &OpCodeInfo) -> bool {
    let code = form.code();
    form.is_instruction()
        && form.mode64()
        && matches!(form.encoding(), EncodingKind::Legacy | EncodingKind::VEX)
        && !(form.is_privileged() || form.must_be_cpl0() || form.is_input_output())
        && code.cpuid_features().iter().all(|feature| ANNOUNCED.contains(feature))
        && !form.op_kinds().iter().any(|kind| is_foreign(*kind))
        && !form.is_reserved_nop()
        && form.intel_decoder64()
        // A wait and the instruction itself: two instructions.
        && !form.fwait()
}

fn is_opmask(kind: OpCodeOperandKind) -> bool {
    use OpCodeOperandKind::*;
    matches!(kind, k_reg | kp1_reg | k_rm | k_vvvv | k_or_mem)
}

/// Operands that no announced instruction has, or that belong to the host's segments and control registers.
fn is_foreign(kind: OpCodeOperandKind) -> bool {
    use OpCodeOperandKind::*;
    is_opmask(kind)
        || matches!(
            kind,
            farbr2_2
                | farbr4_2
                | cr_reg
                | dr_reg
                | tr_reg
                | seg_reg
                | es
                | cs
                | ss
                | ds
                | fs
                | gs
                | br16_1
                | br16_2
                | br32_1
                | br32_4
        )
}

fn is_listed(code: Code, excluded: &HashMap<&str, &str>) -> bool {
    let names = [format!("mnemonic {:?}", code.mnemonic()), format!("code {code:?}")];
    let features = code.cpuid_features().iter().map(|feature| format!("feature {feature:?}"));
    names.into_iter().chain(features).any(|name| excluded.contains_key(name.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_are_many_and_every_exclusion_excludes_something() {
        let forms = forms();
        assert!(forms.len() > 1890, "{}", forms.len());
        for code in [Code::Add_rm32_r32, Code::VEX_Vfmadd231pd_ymm_ymm_ymmm256, Code::Fld_m80fp, Code::Movsb_m8_m8] {
            assert!(forms.contains(&code), "{code:?}");
        }
        for row in exclusions() {
            let one = HashMap::from([(row.what, row.reason)]);
            assert!(Code::values().any(|code| is_listed(code, &one)), "{} names nothing", row.what);
        }
    }
}
