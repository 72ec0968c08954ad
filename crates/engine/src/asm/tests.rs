use super::*;
use iced_x86::{Decoder, DecoderOptions, Formatter, NasmFormatter};

fn text(emit: impl Fn(&mut Assembler)) -> String {
    let mut asm = Assembler::new(Vec::new(), 0x1000);
    emit(&mut asm);
    let mut decoder = Decoder::with_ip(64, asm.bytes(), 0x1000, DecoderOptions::NONE);
    let mut out = String::new();
    while decoder.can_decode() {
        let instruction = decoder.decode();
        if !out.is_empty() {
            out.push_str("; ");
        }
        NasmFormatter::new().format(&instruction, &mut out);
    }
    out
}

#[test]
fn what_is_emitted_is_what_is_meant() {
    for r in 0..16u8 {
        if r == RSP {
            continue;
        }
        let name = iced_x86::Register::RAX + u32::from(r);
        let name = format!("{name:?}").to_lowercase();
        assert_eq!(text(|a| a.load(r, r)), format!("mov {name},[{name}]"));
        assert_eq!(text(|a| a.add_gs(r, Gs::Indexed(r, 0x40))), format!("add {name},[gs:{name}+40h]"));
        assert_eq!(text(|a| a.load_gs(Width::B64, r, Gs::At(0x40))), format!("mov {name},[gs:40h]"));
        assert_eq!(text(|a| a.cmp(r, 4088)), format!("cmp {name},0FF8h"));
        assert_eq!(text(|a| a.cmp_registers(r, 10)), format!("cmp {name},r10"));
        assert_eq!(
            text(|a| a.lea(Width::B64, r, Mem { base: Some(RSP), index: Some(r), scale: 4, disp: 8 })),
            format!("lea {name},[rsp+{name}*4+8]")
        );
    }
    assert_eq!(
        text(|a| a.lea(Width::B64, 3, Mem { base: None, index: Some(9), scale: 8, disp: 8 })),
        "lea rbx,[r9*8+8]"
    );
    assert_eq!(text(|a| a.store_imm(13, -1)), "mov qword [r13],0FFFFFFFFFFFFFFFFh");
    assert_eq!(text(|a| a.store_gs_imm(Gs::At(16), 7)), "mov dword [gs:10h],7");
    assert_eq!(text(|a| a.cmp_gs_imm(Width::B32, Gs::At(16), 0)), "cmp dword [gs:10h],0");
    assert_eq!(text(|a| a.jmp_gs(Gs::Indexed(2, 8))), "jmp qword [gs:rdx+8]");
    assert_eq!(text(|a| a.jmp_gs_scaled(2, 8)), "jmp qword [gs:rdx*8+8]");
    assert_eq!(text(|a| a.jmp_gs_scaled(10, 8)), "jmp qword [gs:r10*8+8]");
    assert_eq!(text(|a| a.zero_extend16(2, 1)), "movzx edx,cx");
    assert_eq!(text(|a| a.zero_extend16(10, 11)), "movzx r10d,r11w");
    assert_eq!(text(|a| a.load_ymm_gs(9, 32)), "vmovdqu ymm9,[gs:20h]");
    assert_eq!(text(|a| a.store_ymm_gs(32, 3)), "vmovdqu [gs:20h],ymm3");
    assert_eq!(text(|a| a.ldmxcsr_gs(Gs::At(8))), "ldmxcsr [gs:8]");
    assert_eq!(text(|a| a.push_gs(Gs::At(8))), "push qword [gs:8]");
    assert_eq!(text(|a| a.mov_imm(8, u64::MAX)), "mov r8,0FFFFFFFFFFFFFFFFh");
    assert_eq!(
        text(|a| {
            a.jmp(0x1005);
        }),
        "jmp 0000000000001005h"
    );
}
