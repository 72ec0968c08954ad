use super::*;
use crate::analysis::decode;
use addr::VirtAddr;
use proptest::prelude::*;

/// Instructions with any of the opcodes, of which most have operands.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let prefixes = prop::collection::vec(prop::sample::select(vec![0x66, 0x67, 0x64, 0xf2, 0xf3, 0xf0]), 0..2);
    let rex = prop::option::of(0x40..0x50u8);
    let operands = prop::collection::vec(any::<u8>(), 12);
    (prefixes, rex, any::<bool>(), any::<u8>(), operands).prop_map(|(prefixes, rex, two_bytes, opcode, operands)| {
        let escape = two_bytes.then_some(0x0f);
        prefixes.into_iter().chain(rex).chain(escape).chain([opcode]).chain(operands).collect()
    })
}

proptest! {
    #[test]
    fn common_shapes_are_those_of_the_closer_look(all in prop::collection::vec(bytes(), 300)) {
        let mut forms = CommonForms::new();
        let mut factory = InstructionInfoFactory::new();
        let mut common = 0;
        for instruction in all.iter().filter_map(|bytes| decode(bytes, VirtAddr::new(0x1000))) {
            if let Some(shape) = forms.of(&instruction, &mut factory) {
                prop_assert_eq!(shape, find_out(&instruction, &mut factory), "{}: {:?}", instruction, instruction.code());
                common += 1;
            }
        }
        prop_assert!(common > 30, "{} of 300 are common", common);
    }
}

#[test]
fn registers_are_where_the_table_has_them() {
    for register in Register::values() {
        let bit = if register.is_gpr() { 1 << register.full_register().number() } else { 0 };
        let Bits { all, whole } = Bits::of(register);
        assert_eq!((all, whole), (bit, if register.size() >= 4 { bit } else { 0 }), "{register:?}");
    }
}
