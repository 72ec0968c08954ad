use super::*;

fn analysed(bytes: &[u8]) -> Analysed {
    let instruction = decode(bytes, VirtAddr::new(0x1000)).expect("the test's bytes are an instruction");
    analyse(&instruction, &mut Shapes::new())
}

#[test]
fn a_destination_in_its_own_address_is_killed_but_also_read() {
    let load = analysed(&[0x48, 0x8b, 0x40, 0x08]); // mov rax,[rax+8]
    assert_eq!((load.reads, load.kills), (1, 1));
    let sum = analysed(&[0x48, 0x03, 0x40, 0x08]); // add rax,[rax+8]
    assert_eq!((sum.reads, sum.kills), (1, 0));
    let mulx = analysed(&[0xc4, 0xe2, 0xfb, 0xf6, 0x11]); // mulx rdx,rax,[rcx]
    assert_eq!(mulx.kills & 4, 0, "rdx is a factor too");
}

#[test]
fn narrow_writes_kill_nothing() {
    assert_eq!(analysed(&[0xb0, 1]).kills, 0); // mov al,1
    assert_eq!(analysed(&[0x66, 0xb8, 1, 0]).kills, 0); // mov ax,1
    assert_eq!(analysed(&[0xb8, 1, 0, 0, 0]).kills, 1); // mov eax,1
    assert_eq!(analysed(&[0x0f, 0xbc, 0xc1]).kills, 0); // bsf eax,ecx
    assert_eq!(analysed(&[0x0f, 0x44, 0xc1]).kills, 0); // cmove eax,ecx
    assert_eq!(analysed(&[0x0f, 0xb1, 0xd1]).kills, 0); // cmpxchg ecx,edx
}

#[test]
fn shifts_by_cl_need_the_flags_they_may_leave() {
    assert_eq!(analysed(&[0xd3, 0xe0]).flags_kill, 0); // shl eax,cl
    assert_eq!(analysed(&[0xd3, 0xe0]).flags_read, ARITHMETIC_FLAGS);
    assert_eq!(analysed(&[0xc1, 0xe0, 0x20]).flags_kill, 0); // shl eax,32
    assert_ne!(analysed(&[0xc1, 0xe0, 0x03]).flags_kill, 0); // shl eax,3
    assert_eq!(analysed(&[0xff, 0xc0]).flags_kill & 0x10, 0); // inc eax keeps CF
}

#[test]
fn classes() {
    assert_eq!(analysed(&[0x0f, 0x05]).class, Class::Helper); // syscall
    assert_eq!(analysed(&[0x74, 0x02]).class, Class::Branch(4, VirtAddr::new(0x1004)));
    assert_eq!(analysed(&[0x48, 0x8d, 0x05, 1, 0, 0, 0]).class, Class::LoadAddress { to: 0, value: 0x1008, bits: 64 });
    assert_eq!(analysed(&[0xc3]).class, Class::Return(0));
    assert!(matches!(analysed(&[0xa1, 1, 2, 3, 4, 5, 6, 7, 8]).class, Class::Moffs(_)));
    assert_eq!(analysed(&[0x0f, 0xab, 0x08]).class, Class::Helper); // bts [rax],ecx
    assert!(matches!(analysed(&[0x0f, 0xba, 0x28, 3]).class, Class::Memory(_))); // bts [rax],3
    assert_eq!(analysed(&[0xf3, 0x48, 0xab]).class, Class::RepeatedStore(8)); // rep stosq
    assert_eq!(analysed(&[0xf2, 0xae]).class, Class::Helper); // repne scasb
    assert_eq!(analysed(&[0x62, 0xf1, 0x7c, 0x48, 0x28, 0xc1]).class, Class::Helper); // vmovaps zmm0,zmm1
}

#[test]
fn what_decides_on_a_shape_keeps_shapes_apart() {
    let mut shapes = Shapes::new();
    let mut twice = |bytes: &[u8]| {
        let instruction = decode(bytes, VirtAddr::new(0x1000)).expect("the test's bytes are an instruction");
        let first = shapes.of(&instruction);
        assert_eq!(first, shapes.of(&instruction));
        assert_eq!(first, Shapes::new().of(&instruction), "as if no other shape had been seen");
        first
    };
    let pairs: [(&[u8], &[u8]); 7] = [
        (&[0x31, 0xc0], &[0x31, 0xd8]),                   // xor eax,eax; xor eax,ebx
        (&[0xc1, 0xe0, 0], &[0xc1, 0xe0, 1]),             // shl eax,0; shl eax,1
        (&[0xa4], &[0xf3, 0xa4]),                         // movsb; rep movsb
        (&[0xf3, 0xa4], &[0xf3, 0x64, 0xa4]),             // rep movsb; rep movsb from fs
        (&[0x8b, 0x03], &[0x8b, 0x04, 0x0b]),             // mov eax,[rbx]; mov eax,[rbx+rcx]
        (&[0x8b, 0x03], &[0x48, 0x8b, 0x03]),             // mov eax,[rbx]; mov rax,[rbx]
        (&[0x0f, 0xba, 0xe0, 1], &[0x0f, 0xba, 0x20, 1]), // bt eax,1; bt dword [rax],1
    ];
    for (one, other) in pairs {
        assert_ne!(twice(one), twice(other), "{one:02x?} and {other:02x?}");
    }
}
