//! Little-endian words, one after the other, as the structures of a core file are made of.

/// Bytes that grow at their end.
#[derive(Default)]
pub struct Words(pub Vec<u8>);

impl Words {
    /// Two bytes.
    pub fn u16(&mut self, value: u16) -> &mut Self {
        self.raw(&value.to_le_bytes())
    }

    /// Four bytes.
    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.raw(&value.to_le_bytes())
    }

    /// Eight bytes.
    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.raw(&value.to_le_bytes())
    }

    /// Bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// A text in a field of so many bytes, cut so that a zero follows it.
    pub fn text(&mut self, text: &[u8], field_bytes: usize) -> &mut Self {
        let bytes = &text[..text.len().min(field_bytes - 1)];
        self.raw(bytes).raw(&vec![0; field_bytes - bytes.len()])
    }

    /// A note (`Elf64_Nhdr`): the name with its zero and the body are padded to four bytes.
    pub fn note(&mut self, name: &str, kind: u32, body: &[u8]) {
        self.u32(name.len() as u32 + 1).u32(body.len() as u32).u32(kind).raw(name.as_bytes()).raw(&[0]);
        self.pad().raw(body).pad();
    }

    fn pad(&mut self) -> &mut Self {
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }
}
