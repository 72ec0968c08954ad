//! The machine's physical memory.

use crate::CodeMarks;
use host::Ram;
use std::io;
use std::sync::Arc;

/// Simulated RAM together with the marks of its frames. Shared by every CPU and by the kernel.
pub struct Memory {
    ram: Ram,
    code: CodeMarks,
}

impl Memory {
    /// Reserves `frame_count` frames of RAM; the host commits them as they are touched.
    ///
    /// # Errors
    /// The host's, when it cannot reserve the address range.
    pub fn new(frame_count: u32) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self { ram: Ram::new(frame_count)?, code: CodeMarks::new(frame_count) }))
    }

    /// The bytes.
    pub fn ram(&self) -> &Ram {
        &self.ram
    }

    /// Which frames hold translated code.
    pub fn code(&self) -> &CodeMarks {
        &self.code
    }
}
