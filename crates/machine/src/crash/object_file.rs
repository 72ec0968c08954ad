//! One file of code that a dead process had mapped: from addresses to functions, source lines and callers.

use addr2line::gimli::{self, BaseAddresses, CfaRule, EhFrame, EndianSlice, LittleEndian, RegisterRule, UnwindSection};
use addr2line::{Loader, demangle_auto};
use object::{Object, ObjectSection, ObjectSegment};
use std::borrow::Cow;
use std::path::Path;

/// The registers that a caller's frame is found with, indexed by their DWARF numbers (psABI, figure 3.36): 7 is RSP
/// and 16 the return address.
pub type FrameRegisters = [u64; 17];
/// RSP in [`FrameRegisters`].
pub const RSP: usize = 7;
/// The return address in [`FrameRegisters`].
pub const RETURN_ADDRESS: usize = 16;

/// A file of code.
pub struct ObjectFile {
    bytes: Vec<u8>,
    loader: Option<Loader>,
}

/// A point in the source, as far as the file tells.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Source {
    /// The function's name, demangled.
    pub function: Option<String>,
    /// How far into the function's code.
    pub offset: u64,
    /// The file and line.
    pub line: Option<(String, u32)>,
}

impl ObjectFile {
    /// Reads a file; `None` if it is gone or is no object.
    pub fn open(path: &str) -> Option<Self> {
        let bytes = std::fs::read(path).ok()?;
        object::File::parse(&*bytes).ok()?;
        Some(Self { bytes, loader: Loader::new(Path::new(path)).ok() })
    }

    /// The address in the file's own numbering of the byte at an offset of the file.
    pub fn own_address(&self, file_offset: u64) -> Option<u64> {
        let object = object::File::parse(&*self.bytes).ok()?;
        object.segments().find_map(|segment| {
            let (start, bytes) = segment.file_range();
            let distance = file_offset.checked_sub(start).filter(|distance| *distance < bytes)?;
            segment.address().checked_add(distance)
        })
    }

    /// What the source calls the instruction at an address of the file's own numbering.
    pub fn source(&self, own_address: u64) -> Source {
        let Some(loader) = &self.loader else { return Source::default() };
        let symbol = loader.find_symbol_info(own_address);
        let mut source = Source {
            function: symbol.as_ref().map(|symbol| demangle_auto(Cow::from(symbol.name()), None).into_owned()),
            offset: symbol.map_or(0, |symbol| own_address.saturating_sub(symbol.address())),
            line: None,
        };
        if let Ok(Some(location)) = loader.find_location(own_address) {
            source.line = location.file.map(|file| (file.to_owned(), location.line.unwrap_or(0)));
        }
        if let Ok(mut frames) = loader.find_frames(own_address)
            && let Ok(Some(frame)) = frames.next()
            && let Some(name) = frame.function.as_ref().and_then(|name| name.demangle().ok())
        {
            source.function = Some(name.into_owned());
        }
        source
    }

    /// The registers in the caller, by the unwinding rules of `.eh_frame`; `None` at the outermost frame and where the
    /// rules end. `load` reads a word of the process.
    pub fn caller(
        &self,
        own_address: u64,
        registers: &FrameRegisters,
        load: &mut dyn FnMut(u64) -> Option<u64>,
    ) -> Option<FrameRegisters> {
        let object = object::File::parse(&*self.bytes).ok()?;
        let section = object.section_by_name(".eh_frame")?;
        let text = object.section_by_name(".text")?.address();
        let frames = EhFrame::from(EndianSlice::new(section.data().ok()?, LittleEndian));
        let bases = BaseAddresses::default().set_eh_frame(section.address()).set_text(text);
        let mut context = gimli::UnwindContext::new();
        let row = frames.unwind_info_for_address(&bases, &mut context, own_address, EhFrame::cie_from_offset).ok()?;
        let CfaRule::RegisterAndOffset { register, offset } = *row.cfa() else { return None };
        let cfa = registers.get(usize::from(register.0))?.wrapping_add_signed(offset);
        let mut caller = *registers;
        caller[RETURN_ADDRESS] = 0;
        for (register, rule) in row.registers() {
            let Some(slot) = caller.get_mut(usize::from(register.0)) else { continue };
            match *rule {
                RegisterRule::Offset(offset) => *slot = load(cfa.wrapping_add_signed(offset))?,
                RegisterRule::ValOffset(offset) => *slot = cfa.wrapping_add_signed(offset),
                RegisterRule::Undefined => *slot = 0,
                RegisterRule::SameValue => {}
                _ => return None,
            }
        }
        caller[RSP] = cfa;
        (caller[RETURN_ADDRESS] != 0).then_some(caller)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_very_test_is_found_in_its_own_file() {
        let path = std::env::current_exe().unwrap();
        let file = ObjectFile::open(path.to_str().unwrap()).unwrap();
        let object = object::File::parse(&*file.bytes).unwrap();
        let entry = file.source(object.entry());
        assert_eq!(entry.function.as_deref(), Some("_start"));
        assert_eq!(entry.offset, 0);
    }

    #[test]
    fn what_is_no_object_is_none() {
        assert!(ObjectFile::open("/proc/self/maps").is_none());
        assert!(ObjectFile::open("/nonexistent").is_none());
    }
}
